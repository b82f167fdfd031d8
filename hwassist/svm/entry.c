/*
 * VMRUN, looked at more closely: check=on asks for all rules before each entry, break=NAME breaks
 * one on purpose, to see what the CPU and the report say about it. And the report: which rule the
 * VMCB breaks.
 */
#include <string.h>

#include "svm.h"
#include "vm.h"
#include "vmm.h"
#include "x86.h"

/* What break= knows: 64 bits of the VMCB changed to what VMRUN refuses. */
static const struct broken {
    const char *name;
    uint16_t offset;
    uint64_t clear, set;
} table[] = {
    {"efer-svme", offsetof(struct vmcb, efer), EFER_SVME, 0},
    {"cr0-nw", offsetof(struct vmcb, cr0), CR0_CD, CR0_NW},
    {"cr0-high", offsetof(struct vmcb, cr0), 0, 1ull << 32},
    {"cr4-high", offsetof(struct vmcb, cr4), 0, 1ull << 63},
    {"asid", offsetof(struct vmcb, asid), UINT32_MAX, 0},
    {"vmrun-intercept", offsetof(struct vmcb, intercept_misc2), MISC2_VMRUN, 0},
    {"io-map", offsetof(struct vmcb, iopm_hpa), 0, 1ull << 63},
    {"event-type", offsetof(struct vmcb, event_injection), 7u << EVENT_TYPE_SHIFT,
     EVENT_VALID | 1u << EVENT_TYPE_SHIFT},
};

static bool read_memory(uint64_t hpa, void *to, unsigned n)
{
    if (hpa + n > DIRECT_MAP_SIZE)
        return false;
    memcpy(to, hpa_to_ptr((hpa_t)hpa), n);
    return true;
}

static void break_it(const struct svm *svm)
{
    const struct broken *b = svm->broken;
    uint64_t word;
    if (!b)
        return;
    uint8_t *at = (uint8_t *)svm->vmcb + b->offset;
    memcpy(&word, at, sizeof(word));
    word = (word & ~b->clear) | b->set;
    memcpy(at, &word, sizeof(word));
    svm->vmcb->clean = 0;
}

static const char *report(const struct svm *svm, const char *who, const char *otherwise)
{
    static char text[200];
    struct svm_cpu cpu;
    svm_cpu_read(&cpu);
    struct svm_entry entry = {.cpu = &cpu, .vmcb = svm->vmcb, .memory = read_memory};
    const struct entry_rule *rule = svm_check(&entry);
    if (!rule)
        return otherwise;
    ksnprintf(text, sizeof(text), "%s: %s (AMD APM vol. 2 section %s)", who, rule->sentence,
              rule->section);
    return text;
}

/* QEMU has written the host's state over the guest's; the canonical state is what was refused. */
const char *svm_refusal(struct vcpu *vcpu)
{
    struct svm *svm = svm_of(vcpu);
    if (svm->refused)
        return svm->refused;
    vcpu->dirty = DIRTY_ALL;
    svm_prepare(vcpu);
    break_it(svm);
    return report(svm, "VMRUN failed", "VMRUN refused the VMCB, and no known rule is broken");
}

static const char *choose_broken(const char *name, const struct broken **choice)
{
    static char why[300];
    unsigned n = (unsigned)ksnprintf(why, sizeof(why),
                                     "break=%s: no rule that this mode can break; those are", name);
    for (unsigned i = 0; i < ARRAY_LEN(table) && n < sizeof(why); i++) {
        if (!strcmp(table[i].name, name)) {
            *choice = &table[i];
            return NULL;
        }
        n += (unsigned)ksnprintf(why + n, sizeof(why) - n, "%s %s", i ? "," : "", table[i].name);
    }
    return why;
}

const char *svm_entry_options(struct vcpu *vcpu)
{
    struct svm *svm = svm_of(vcpu);
    const char *options = vcpu->vm->options;
    char name[32];
    const char *why = option_switch(options, "check", &svm->checked);
    if (!why && option_value(options, "break", name, sizeof(name)))
        why = choose_broken(name, &svm->broken);
    svm->watched = svm->checked || svm->broken;
    return why;
}

bool svm_before_entry(struct vcpu *vcpu)
{
    struct svm *svm = svm_of(vcpu);
    break_it(svm);
    svm->refused = svm->checked ? report(svm, "the check before VMRUN", NULL) : NULL;
    if (svm->refused)
        svm->vmcb->exit_code = VMEXIT_INVALID;
    return !svm->refused;
}
