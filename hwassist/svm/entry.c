/*
 * VMRUN, looked at more closely: check=on asks for all rules before each entry, break=NAME breaks
 * one on purpose, to see what the CPU and the report say about it. And the report: which rule the
 * VMCB breaks.
 */
#include <string.h>

#include "entry.h"
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
    struct svm_cpu cpu;
    svm_cpu_read(&cpu);
    struct svm_entry entry = {.cpu = &cpu, .vmcb = svm->vmcb, .memory = entry_memory};
    return entry_report(svm_check(&entry), who, "AMD APM vol. 2", otherwise);
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

static const char *name(unsigned i)
{
    return i < ARRAY_LEN(table) ? table[i].name : NULL;
}

const char *svm_entry_options(struct vcpu *vcpu)
{
    struct svm *svm = svm_of(vcpu);
    int broken;
    const char *why = entry_options(vcpu->vm->options, name, &svm->checked, &broken);
    svm->broken = broken < 0 ? NULL : &table[broken];
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
