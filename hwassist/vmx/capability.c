/* The VMX capability MSRs of this CPU; see capability.h. */
#include "capability.h"

#include "cpu.h"
#include "vmcs_fields.h"
#include "vmx.h"
#include "x86.h"

#define CPUID_VMX (1u << 5)      /* leaf 1 ECX */
#define CPUID_SYSCALL (1u << 11) /* leaf 80000001 EDX */
#define CPUID_NX (1u << 20)
#define CPUID_LONG_MODE (1u << 29)
#define LEAF_PERF 0x0Au
#define PERF_GLOBAL_FIXED 32 /* its fixed counters are enabled from this bit up */
#define PHYS_BITS_USUAL 36   /* of CPUs without leaf 80000008 */
#define MSR_VMX_BASIC 0x480u
#define MSR_VMX_PIN 0x481u
#define MSR_VMX_CPU 0x482u
#define MSR_VMX_EXIT 0x483u
#define MSR_VMX_ENTRY 0x484u
#define MSR_VMX_MISC 0x485u
#define MSR_VMX_CR0_FIXED0 0x486u
#define MSR_VMX_CR0_FIXED1 0x487u
#define MSR_VMX_CR4_FIXED0 0x488u
#define MSR_VMX_CR4_FIXED1 0x489u
#define MSR_VMX_CPU2 0x48Bu
#define MSR_VMX_EPT_VPID 0x48Cu
#define BASIC_TRUE_CONTROLS (1ull << 55)
#define TRUE_OFFSET 0x0Cu /* IA32_VMX_TRUE_x is IA32_VMX_x + 0x0C, and forces fewer bits on */

/* May the bit be one? */
static bool offered(uint64_t allowed, uint32_t bit)
{
    return allowed >> 32 & bit;
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

/* What the entry checks need besides the capability MSRs (SDM vol. 2A, CPUID; vol. 3B
 * section 18.2).
 */
static void read_limits(struct vmx_capabilities *cap)
{
    uint32_t r[4];
    cpuid(0x80000000u, r);
    const uint32_t last = r[0];
    cap->phys_bits = PHYS_BITS_USUAL;
    cap->efer_may = 0;
    if (last >= 0x80000001u) {
        cpuid(0x80000001u, r);
        cap->efer_may |= r[3] & CPUID_SYSCALL ? EFER_SCE : 0;
        cap->efer_may |= r[3] & CPUID_NX ? EFER_NXE : 0;
        cap->efer_may |= r[3] & CPUID_LONG_MODE ? EFER_LME | EFER_LMA | EFER_SCE : 0;
    }
    if (last >= 0x80000008u) {
        cpuid(0x80000008u, r);
        cap->phys_bits = r[0] & 0xFF;
    }
    cpuid(0, r);
    cap->perf_global = 0;
    if (r[0] >= LEAF_PERF) {
        cpuid(LEAF_PERF, r);
        cap->perf_global = ((1ull << (r[0] >> 8 & 0xFF)) - 1) | ((1ull << (r[3] & 0x1F)) - 1)
                                                                    << PERF_GLOBAL_FIXED;
    }
}

const char *vmx_capabilities_read(struct vmx_capabilities *cap)
{
    const char *why = usable();
    if (why)
        return why;
    cap->basic = rdmsr(MSR_VMX_BASIC);
    const uint32_t plus = cap->basic & BASIC_TRUE_CONTROLS ? TRUE_OFFSET : 0;
    cap->allowed[WORD_PIN] = rdmsr(MSR_VMX_PIN + plus);
    cap->allowed[WORD_CPU] = rdmsr(MSR_VMX_CPU + plus);
    cap->allowed[WORD_EXIT] = rdmsr(MSR_VMX_EXIT + plus);
    cap->allowed[WORD_ENTRY] = rdmsr(MSR_VMX_ENTRY + plus);
    cap->misc = rdmsr(MSR_VMX_MISC);
    cap->cr0_on = (uint32_t)rdmsr(MSR_VMX_CR0_FIXED0);
    cap->cr0_may = (uint32_t)rdmsr(MSR_VMX_CR0_FIXED1);
    cap->cr4_on = (uint32_t)rdmsr(MSR_VMX_CR4_FIXED0);
    cap->cr4_may = (uint32_t)rdmsr(MSR_VMX_CR4_FIXED1);
    /* These two exist only where the controls that they describe do. */
    cap->allowed[WORD_CPU2] =
        offered(cap->allowed[WORD_CPU], CPU_SECONDARY) ? rdmsr(MSR_VMX_CPU2) : 0;
    cap->ept_vpid =
        offered(cap->allowed[WORD_CPU2], CPU2_EPT | CPU2_VPID) ? rdmsr(MSR_VMX_EPT_VPID) : 0;
    read_limits(cap);
    return NULL;
}
