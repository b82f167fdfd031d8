/*
 * VM entry, looked at more closely: check=on asks for all rules before each entry, break=NAME
 * breaks one on purpose, to see what the CPU and the report say about it. And the report: which
 * rule the current VMCS breaks.
 */
#include <string.h>

#include "capability.h"
#include "vm.h"
#include "vmcs.h"
#include "vmm.h"
#include "vmx.h"
#include "x86.h"

/* What break= knows: one field changed to what VM entry refuses. */
static const struct broken {
    const char *name;
    enum vmcs_field field;
    uint32_t clear, set;
} table[] = {
    {"cr3-targets", VMCS_CR3_TARGETS, 0, 5},
    {"pin-controls", VMCS_PIN_CONTROLS, 0, 1u << 31},
    {"event-type", VMCS_ENTRY_EVENT, 7u << INFO_TYPE_SHIFT,
     INFO_VALID | INFO_TYPE_RESERVED << INFO_TYPE_SHIFT},
    {"host-cr4-vmxe", VMCS_HOST_CR4, CR4_VMXE, 0},
    {"host-tr", VMCS_HOST_TR_SEL, UINT32_MAX, 0},
    {"cr4-vmxe", VMCS_GUEST_CR4, CR4_VMXE, 0},
    {"cs-not-present", VMCS_GUEST_CS_RIGHTS, SEG_P, 0},
    {"tr-available", VMCS_GUEST_TR_RIGHTS, SYS_TSS32_BUSY ^ SYS_TSS32_AVAIL, 0},
    {"eflags", VMCS_GUEST_EFLAGS, FL_R1, 0},
    {"sti-and-mov-ss", VMCS_GUEST_INTERRUPTIBILITY, 0, BLOCKING_STI | BLOCKING_MOV_SS},
    {"link-pointer", VMCS_LINK_POINTER, 1, 0},
};

static bool read_memory(uint64_t hpa, void *to, unsigned n)
{
    if (hpa + n > DIRECT_MAP_SIZE)
        return false;
    memcpy(to, hpa_to_ptr((hpa_t)hpa), n);
    return true;
}

/* The rule that the current VMCS breaks, or NULL. */
static const struct entry_rule *broken_rule(const struct vmx *vmx)
{
    static struct vmx_capabilities cpu; /* they never change */
    if (!cpu.basic)
        vmx_capabilities_read(&cpu);
    struct vmx_entry entry = {
        .cpu = &cpu, .get = vmcs_read, .memory = read_memory, .vmcs = ptr_to_hpa(vmx->vmcs)};
    return vmx_check(&entry);
}

static const char *report(const char *who, const struct entry_rule *rule)
{
    static char text[200];
    ksnprintf(text, sizeof(text), "%s: %s (SDM vol. 3C section %s)", who, rule->sentence,
              rule->section);
    return text;
}

const char *vmx_refusal(const struct vmx *vmx, const char *otherwise)
{
    const struct entry_rule *rule = broken_rule(vmx);
    return rule ? report("VM entry failed", rule) : otherwise;
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

const char *vmx_entry_options(struct vmx *vmx, const char *options)
{
    char name[32];
    const char *why = option_switch(options, "check", &vmx->checked);
    if (!why && option_value(options, "break", name, sizeof(name)))
        why = choose_broken(name, &vmx->broken);
    vmx->watched = vmx->checked || vmx->broken;
    return why;
}

const char *vmx_before_entry(const struct vmx *vmx)
{
    const struct broken *b = vmx->broken;
    if (b)
        vmcs_write(b->field, (vmcs_read(b->field) & ~b->clear) | b->set);
    const struct entry_rule *rule = vmx->checked ? broken_rule(vmx) : NULL;
    return rule ? report("the check before VM entry", rule) : NULL;
}
