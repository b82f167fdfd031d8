/* Where Bochs 2.7 departs from SDM vol. 3C chapter 26. */
#include "cpu.h"
#include "vmx_test.h"

static bool offers_perf_global(void)
{
    return controls_offered(WORD_ENTRY, ENTRY_LOAD_PERF_GLOBAL, 0);
}

static bool offers_nmi_blocking(void)
{
    return controls_offered(WORD_PIN, PIN_VIRTUAL_NMI, 0);
}

static bool offers_unrestricted(void)
{
    return controls_offered(WORD_CPU, CPU_SECONDARY, 0) &&
           controls_offered(WORD_CPU2, CPU2_UNRESTRICTED, 0);
}

static bool no_x2apic(void)
{
    uint32_t r[4];
    cpuid(1, r);
    return !(r[2] >> 21 & 1);
}

static bool unrestricted(void)
{
    return offers_unrestricted() && (field(VMCS_CPU_CONTROLS) & CPU_SECONDARY) &&
           (field(VMCS_CPU_CONTROLS2) & CPU2_UNRESTRICTED);
}

/* The rule about DPL and RPL of data segments is broken by readable, accessed, non-conforming code
 * alone. */
static bool only_type_11(void)
{
    static const enum sreg data[] = {SREG_ES, SREG_DS, SREG_FS, SREG_GS};
    for (unsigned i = 0; i < ARRAY_LEN(data); i++) {
        const uint32_t attr = field(VMCS_SEGMENT(VMCS_GUEST_ES_RIGHTS, data[i]));
        const uint32_t rpl = field(VMCS_SEGMENT(VMCS_GUEST_ES, data[i])) & SEL_RPL;
        if (!(attr & SEG_UNUSABLE) && (attr & SEG_TYPE) < 11 &&
            (attr & SEG_DPL) >> SEG_DPL_SHIFT < rpl)
            return false;
    }
    return true;
}

static bool halted(void)
{
    return field(VMCS_GUEST_ACTIVITY) == ACTIVITY_HLT;
}

struct unchecked vmx_unchecked[] = {
    {"an entry to SMM is asked for", NULL, NULL,
     "Bochs offers that control, and then refuses the guest's state, as SMIs are not blocked"},
    {"the host's IA32_PERF_GLOBAL_CTRL", NULL, offers_perf_global,
     "Bochs offers the control and has no such MSR"},
    {"IA32_PERF_GLOBAL_CTRL", NULL, offers_perf_global,
     "Bochs offers the control and has no such MSR"},
    {"IA32_DEBUGCTL", NULL, NULL, "Bochs stores that MSR and knows none of its bits"},
    {"the DPL of a data segment", only_type_11, NULL,
     "Bochs takes type 11 for conforming code, which begins at 12"},
    {"the DPL of non-conforming CS", unrestricted, offers_unrestricted,
     "Bochs compares it with the RPL of CS, which is the same only for guests that are restricted"},
    {"the DPL of conforming CS", unrestricted, offers_unrestricted,
     "Bochs compares it with the RPL of CS, which is the same only for guests that are restricted"},
    {"EFLAGS.VM is set in real mode", NULL, offers_unrestricted,
     "Bochs enters real mode then, with the flag set"},
    {"the injected event is none", halted, NULL, "Bochs lets any event wake a halted guest"},
    {"a virtual NMI is injected", NULL, offers_nmi_blocking,
     "Bochs looks at blocking by STI and MOV SS only"},
    {"events are blocked or the guest halts, EFLAGS.TF", NULL, NULL,
     "Bochs does not hold pending debug exceptions against EFLAGS.TF"},
    {"events are blocked or the guest halts, and a single", NULL, NULL,
     "Bochs does not hold pending debug exceptions against EFLAGS.TF"},
    {"entry loads an MSR that can be written in SMM", NULL, NULL,
     "Bochs has no such MSR, and ignores writes to MSRs that it has not"},
    {"entry must not load MSRs of the x2APIC", NULL, no_x2apic,
     "Bochs asks that of CPUs that have an x2APIC"},
    {.rule = NULL},
};

static bool other_event(void)
{
    const uint32_t event = field(VMCS_ENTRY_EVENT);
    return (event & INFO_VALID) && INFO_TYPE(event) == INFO_OTHER;
}

static bool dead(void)
{
    return field(VMCS_GUEST_ACTIVITY) > ACTIVITY_HLT;
}

static bool sleeps(void)
{
    return field(VMCS_GUEST_ACTIVITY) == ACTIVITY_HLT &&
           (!(field(VMCS_GUEST_EFLAGS) & FL_IF) ||
            !(field(VMCS_PIN_CONTROLS) & PIN_EXTERNAL_INTERRUPT));
}

static bool no_secondary(void)
{
    return (field(VMCS_CPU_CONTROLS) & CPU_SECONDARY) &&
           !controls_offered(WORD_CPU, CPU_SECONDARY, 0);
}

struct deadly vmx_deadly[] = {
    {other_event, "Bochs stops at the injection of a other event (a pending trap-flag exit)", true},
    {no_secondary, "Bochs stops at secondary controls that the CPU has not", true},
    {dead, "the guest is shut down or waits for SIPI: nothing ends that"},
    {sleeps, "the guest is halted and no interrupt can wake it"},
    {.when = NULL},
};

static bool entry_to_smm(void)
{
    return field(VMCS_ENTRY_CONTROLS) & ENTRY_TO_SMM;
}

/* The manual holds the DPL of CS against that of SS (section 26.3.1.2). */
static bool cs_rpl(void)
{
    const uint32_t attr = field(VMCS_GUEST_CS_RIGHTS), rpl = field(VMCS_GUEST_CS) & SEL_RPL;
    const uint32_t dpl = (attr & SEG_DPL) >> SEG_DPL_SHIFT;
    if (!unrestricted() || !(attr & SEG_CODE) || (field(VMCS_GUEST_EFLAGS) & FL_VM))
        return false;
    return attr & SEG_CE ? rpl < dpl : rpl != dpl;
}

struct too_strict vmx_too_strict[] = {
    {entry_to_smm, FAILS_GUEST, NULL, "entry to SMM", "see above"},
    {cs_rpl, FAILS_GUEST, offers_unrestricted, "the DPL of CS is not its RPL",
     "Bochs asks that also of unrestricted guests, where only the DPL of SS counts"},
    {.when = NULL},
};
