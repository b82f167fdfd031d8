/*
 * VM entry, looked at more closely: check=on asks for all rules before each entry, break=NAME
 * breaks one on purpose, to see what the CPU and the report say about it. And the report: which
 * rule the current VMCS breaks.
 */
#include <string.h>

#include "capability.h"
#include "entry.h"
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

/* The rule that the current VMCS breaks, or NULL. */
static const struct entry_rule *broken_rule(const struct vmx *vmx)
{
    static struct vmx_capabilities cpu; /* they never change */
    if (!cpu.basic)
        vmx_capabilities_read(&cpu);
    struct vmx_entry entry = {
        .cpu = &cpu, .get = vmcs_read, .memory = entry_memory, .vmcs = ptr_to_hpa(vmx->vmcs)};
    return vmx_check(&entry);
}

#define MANUAL "SDM vol. 3C"

const char *vmx_refusal(const struct vmx *vmx, const char *otherwise)
{
    return entry_report(broken_rule(vmx), "VM entry failed", MANUAL, otherwise);
}

static const char *name(unsigned i)
{
    return i < ARRAY_LEN(table) ? table[i].name : NULL;
}

const char *vmx_entry_options(struct vmx *vmx, const char *options)
{
    int broken;
    const char *why = entry_options(options, name, &vmx->checked, &broken);
    vmx->broken = broken < 0 ? NULL : &table[broken];
    vmx->watched = vmx->checked || vmx->broken;
    return why;
}

const char *vmx_before_entry(const struct vmx *vmx)
{
    const struct broken *b = vmx->broken;
    if (b)
        vmcs_write(b->field, (vmcs_read(b->field) & ~b->clear) | b->set);
    return entry_report(vmx->checked ? broken_rule(vmx) : NULL, "the check before VM entry", MANUAL,
                        NULL);
}
