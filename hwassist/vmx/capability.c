/* VMX capabilities; see capability.h. */
#include "capability.h"

#include "cpu.h"
#include "vmcs.h"
#include "x86.h"

#define CPUID_VMX (1u << 5)
#define MSR_FEATURE_CONTROL 0x3Au
#define FEATURE_LOCKED 1u
#define FEATURE_VMXON 4u
#define MSR_VMX_BASIC 0x480u
#define MSR_VMX_PIN 0x481u
#define MSR_VMX_CPU 0x482u
#define MSR_VMX_EXIT 0x483u
#define MSR_VMX_ENTRY 0x484u
#define MSR_VMX_CR0_FIXED0 0x486u
#define MSR_VMX_CR0_FIXED1 0x487u
#define MSR_VMX_CR4_FIXED0 0x488u
#define MSR_VMX_CR4_FIXED1 0x489u
#define MSR_VMX_CPU2 0x48Bu
#define MSR_VMX_EPT_VPID 0x48Cu
#define BASIC_TRUE_CONTROLS (1ull << 55)
#define TRUE_OFFSET 0x0Cu /* IA32_VMX_TRUE_x is IA32_VMX_x + 0x0C */
#define EPT_4_LEVELS (1u << 6)
#define EPT_WRITE_BACK (1u << 14)
#define EPT_2MB (1u << 16)
#define VPID_INVVPID (1ull << 32)

/* A control bit we want, and why. Without the bit in `missing`, NULL means that we can do without.
 */
struct want {
    uint32_t bit;
    const char *missing;
};

/* The allowed-0 bits (low half) are forced on; the allowed-1 bits (high half) may be on. */
static const char *adjust(uint32_t msr, const struct want *wants, unsigned n, uint32_t *controls)
{
    const uint64_t allowed = rdmsr(msr);
    const uint32_t must = (uint32_t)allowed, may = (uint32_t)(allowed >> 32);
    *controls = must;
    for (unsigned i = 0; i < n; i++) {
        if (may & wants[i].bit)
            *controls |= wants[i].bit;
        else if (wants[i].missing)
            return wants[i].missing;
    }
    return NULL;
}

static const char *usable(void)
{
    uint32_t r[4];
    cpuid(1, r);
    if (!(r[2] & CPUID_VMX))
        return "it has no VT-x (CPUID.1:ECX bit 5 is clear)";
    const uint64_t feature = rdmsr(MSR_FEATURE_CONTROL);
    if ((feature & FEATURE_LOCKED) && !(feature & FEATURE_VMXON))
        return "the firmware has locked VT-x off (IA32_FEATURE_CONTROL)";
    return NULL;
}

static const char *ept_usable(struct vmx_controls *c)
{
    /* Reading this MSR kills CPUs that have neither EPT nor VPID: the controls were checked first.
     */
    const uint64_t cap = rdmsr(MSR_VMX_EPT_VPID);
    if (!(cap & EPT_4_LEVELS) || !(cap & EPT_WRITE_BACK))
        return "its EPT does not walk four write-back levels";
    if (!(cap & EPT_2MB))
        return "its EPT has no 2 MB pages";
    c->vpid = (c->cpu2 & CPU2_VPID) && (cap & VPID_INVVPID);
    return NULL;
}

const char *vmx_negotiate(struct vmx_controls *c)
{
    static const struct want pin[] = {
        {PIN_EXTERNAL_INTERRUPT, "it cannot exit on external interrupts"},
        {PIN_NMI, "it cannot exit on NMIs"},
    };
    static const struct want cpu[] = {
        {CPU_HLT, "it cannot exit on HLT"},
        {CPU_UNCONDITIONAL_IO, "it cannot exit on port access"},
        {CPU_SECONDARY, "it has no secondary controls, so neither EPT nor unrestricted guest"},
        {CPU_TSC_OFFSET, "it cannot offset the time stamp counter"},
        {CPU_MWAIT, NULL},
        {CPU_MONITOR, NULL},
        {CPU_RDPMC, NULL},
    };
    static const struct want cpu2[] = {
        {CPU2_EPT, "its VT-x has no EPT"},
        {CPU2_UNRESTRICTED, "its VT-x cannot run an unrestricted guest (paging off)"},
        {CPU2_VPID, NULL},
        {CPU2_WBINVD, NULL},
    };
    static const struct want on_exit[] = {{EXIT_LOAD_EFER, "it cannot load EFER on exit"},
                                          {EXIT_SAVE_PAT, NULL},
                                          {EXIT_LOAD_PAT, NULL}};
    static const struct want on_entry[] = {{ENTRY_LOAD_EFER, "it cannot load EFER on entry"},
                                           {ENTRY_LOAD_PAT, NULL}};
    const char *why = usable();
    if (why)
        return why;
    c->basic = rdmsr(MSR_VMX_BASIC);
    const uint32_t plus = c->basic & BASIC_TRUE_CONTROLS ? TRUE_OFFSET : 0;
    if ((why = adjust(MSR_VMX_PIN + plus, pin, ARRAY_LEN(pin), &c->pin)) ||
        (why = adjust(MSR_VMX_CPU + plus, cpu, ARRAY_LEN(cpu), &c->cpu)) ||
        (why = adjust(MSR_VMX_CPU2, cpu2, ARRAY_LEN(cpu2), &c->cpu2)) ||
        (why = adjust(MSR_VMX_EXIT + plus, on_exit, ARRAY_LEN(on_exit), &c->exit)) ||
        (why = adjust(MSR_VMX_ENTRY + plus, on_entry, ARRAY_LEN(on_entry), &c->entry)))
        return why;
    /* Forced on without the TRUE MSRs, and not wanted with EPT. */
    if (c->basic & BASIC_TRUE_CONTROLS)
        c->cpu &= ~(CPU_CR3_LOAD | CPU_CR3_STORE);
    c->cr0_on = (uint32_t)rdmsr(MSR_VMX_CR0_FIXED0);
    c->cr0_may = (uint32_t)rdmsr(MSR_VMX_CR0_FIXED1);
    c->cr4_on = (uint32_t)rdmsr(MSR_VMX_CR4_FIXED0);
    c->cr4_may = (uint32_t)rdmsr(MSR_VMX_CR4_FIXED1);
    return ept_usable(c);
}
