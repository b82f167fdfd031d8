/*
 * The checks of VM entry in software: the host's state (SDM vol. 3C sections 26.2.2 to 26.2.4), and
 * the MSRs that an entry loads (section 26.4). Pure code.
 */
#include "check.h"

#define MSR_FS_BASE 0xC0000100u
#define MSR_GS_BASE 0xC0000101u
#define MSR_SMM_MONITOR_CTL 0x9Bu /* written in SMM only */
#define MSR_X2APIC_FIRST 0x800u
#define MSR_X2APIC_LAST 0x8FFu

bool vmx_valid_pat(uint64_t pat)
{
    for (unsigned i = 0; i < 8; i++) {
        const unsigned type = pat >> 8 * i & 0xFF;
        if (type > 7 || type == 2 || type == 3)
            return false;
    }
    return true;
}

static void control_registers(struct vmx_entry *e)
{
    const uint32_t cr0 = get(e, VMCS_HOST_CR0), cr4 = get(e, VMCS_HOST_CR4);
    RULE(&e->rules, !fixed_bits(cr0, e->cpu->cr0_on, e->cpu->cr0_may), "26.2.2",
         "the host's CR0 has bits that VMX operation fixes otherwise");
    RULE(&e->rules, !fixed_bits(cr4, e->cpu->cr4_on, e->cpu->cr4_may), "26.2.2",
         "the host's CR4 has bits that VMX operation fixes otherwise");
    RULE(&e->rules, (cr4 & CR4_CET) && !(cr0 & CR0_WP), "26.2.2",
         "the host's CR4.CET is set and CR0.WP is clear");
    RULE(&e->rules, cr4 & CR4_PCIDE, "26.2.4",
         "the host's CR4.PCIDE is set, which only a 64-bit host may have");
}

static void msrs(struct vmx_entry *e)
{
    const uint64_t efer = on(e, WORD_EXIT, EXIT_LOAD_EFER) ? get64(e, VMCS_HOST_EFER) : 0;
    RULE(&e->rules,
         on(e, WORD_EXIT, EXIT_LOAD_PERF_GLOBAL) &&
             (get64(e, VMCS_HOST_PERF_GLOBAL) & ~e->cpu->perf_global),
         "26.2.2", "the host's IA32_PERF_GLOBAL_CTRL has reserved bits set");
    RULE(&e->rules, on(e, WORD_EXIT, EXIT_LOAD_PAT) && !vmx_valid_pat(get64(e, VMCS_HOST_PAT)),
         "26.2.2", "the host's PAT has an impossible memory type");
    RULE(&e->rules, efer & ~(uint64_t)e->cpu->efer_may, "26.2.2",
         "the host's EFER has reserved bits set");
    RULE(&e->rules, efer & (EFER_LMA | EFER_LME), "26.2.2",
         "the host's EFER has bits of IA-32e mode, in which it is not");
}

static void selectors(struct vmx_entry *e)
{
    for (enum vmcs_field f = VMCS_HOST_ES_SEL; f <= VMCS_HOST_TR_SEL; f += 2)
        RULE(&e->rules, get(e, f) & (SEL_RPL | SEL_TI), "26.2.3",
             "a host selector has RPL or TI bits");
    RULE(&e->rules, !get(e, VMCS_HOST_CS_SEL), "26.2.3", "the host's CS selector is null");
    RULE(&e->rules, !get(e, VMCS_HOST_TR_SEL), "26.2.3", "the host's TR selector is null");
    RULE(&e->rules, !get(e, VMCS_HOST_SS_SEL), "26.2.3",
         "the host's SS selector is null, which only a 64-bit host may have");
}

void vmx_check_host(struct vmx_entry *e)
{
    control_registers(e);
    msrs(e);
    selectors(e);
    RULE(&e->rules, on(e, WORD_EXIT, EXIT_HOST_64BIT), "26.2.4",
         "a 64-bit host is asked for, outside of IA-32e mode");
    RULE(&e->rules, on(e, WORD_ENTRY, ENTRY_GUEST_64BIT), "26.2.4",
         "a 64-bit guest is asked for, outside of IA-32e mode");
}

/* --- 26.4 --- */

/* Would WRMSR fault? Known of the MSRs that this VMM knows; others are taken for good. */
static bool bad_value(const struct vmx_entry *e, uint32_t msr, uint64_t value)
{
    switch (msr) {
    case MSR_EFER:
        return value & ~(uint64_t)e->cpu->efer_may;
    case MSR_PAT:
        return !vmx_valid_pat(value);
    default:
        return false;
    }
}

static void loaded_msr(struct vmx_entry *e, const uint32_t entry[4])
{
    const uint32_t msr = entry[0];
    RULE(&e->rules, entry[1], "26.4", "an MSR that entry loads has reserved bits in its number");
    RULE(&e->rules, !entry[1] && (msr == MSR_FS_BASE || msr == MSR_GS_BASE), "26.4",
         "entry must not load FS.base or GS.base as MSRs");
    RULE(&e->rules, !entry[1] && msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST, "26.4",
         "entry must not load MSRs of the x2APIC");
    RULE(&e->rules, !entry[1] && msr == MSR_SMM_MONITOR_CTL, "26.4",
         "entry loads an MSR that can be written in SMM only");
    RULE(&e->rules, !entry[1] && bad_value(e, msr, (uint64_t)entry[3] << 32 | entry[2]), "26.4",
         "the value of an MSR that entry loads is one that WRMSR refuses");
}

void vmx_check_msrs(struct vmx_entry *e)
{
    const uint64_t area = get64(e, VMCS_ENTRY_MSR_LOAD_AREA);
    const uint32_t count = get(e, VMCS_ENTRY_MSR_LOADS);
    uint32_t entry[4];
    /* A broken area was found before, and may be of any length. */
    for (uint32_t i = 0; i < count && !e->rules.broken; i++) {
        if (!e->memory(area + i * sizeof(entry), entry, sizeof(entry)))
            return;
        loaded_msr(e, entry);
    }
}
