/* Where QEMU 7.2 and Bochs 2.7 depart from AMD APM vol. 2 chapter 15. */
#include "svm_test.h"

#define EFER_FFXSR (1u << 14)
#define LOW32 0xFFFFFFFFull

static bool bochs(void)
{
    return is_bochs;
}

static bool bochs_long(void)
{
    return is_bochs && (svm_cpu.efer_may & EFER_LME);
}

static bool bochs_nested(void)
{
    return is_bochs && svm_cpu.nested;
}

static bool qemu(void)
{
    return !is_bochs;
}

/* What QEMU lets through whether CPUID offers it or not. */
static bool efer_lenient(void)
{
    return !(vmcb.efer & LOW32 & ~(svm_cpu.efer_may | EFER_SCE | EFER_FFXSR));
}

static bool cr4_lenient(void)
{
    return !(vmcb.cr4 & LOW32 & ~(svm_cpu.cr4_may | CR4_VME | CR4_PVI | CR4_PCIDE));
}

static bool io_map_begins(void)
{
    return !(vmcb.iopm_hpa >> svm_cpu.phys_bits);
}

static bool msr_map_begins(void)
{
    return !(vmcb.msrpm_hpa >> svm_cpu.phys_bits);
}

struct unchecked svm_unchecked[] = {
    {"reserved bits of EFER", efer_lenient, qemu,
     "QEMU's mask of reserved bits has 32 bits, so that the upper half is let through, and SCE and "
     "FFXSR pass whatever CPUID says"},
    {"CR4[63:32]", NULL, qemu, "a QEMU without 64-bit mode loads 32 bits"},
    {"CR4 has bits", cr4_lenient, qemu,
     "QEMU allows VME, PVI and PCIDE also where CPUID does not offer them"},
    {"DR6[63:32]", NULL, qemu, "a QEMU without 64-bit mode loads 32 bits"},
    {"DR7[63:32]", NULL, qemu, "a QEMU without 64-bit mode loads 32 bits"},
    {"the I/O permission map", io_map_begins, bochs,
     "Bochs looks at the beginning of the map only"},
    {"the MSR permission map", msr_map_begins, bochs,
     "Bochs looks at the beginning of the map only"},
    {"reserved bits of CR3", NULL, bochs_long, "Bochs does not check CR3"},
    {"the nested page table", NULL, bochs_nested, "Bochs checks it for a host in long mode only"},
    {"the nested page table", NULL, qemu, "QEMU does not check it"},
    {"nested paging is enabled, and", NULL, qemu,
     "QEMU takes the host's format without paging, too"},
    {"the guest's PAT", NULL, qemu, "QEMU has no memory types"},
    {"a page-directory-pointer", NULL, qemu, "QEMU reads them when it needs them"},
    {.rule = NULL},
};

static bool long_real_mode(void)
{
    return is_bochs && (vmcb.efer & EFER_LME) && (vmcb.cr0 & CR0_PG) && !(vmcb.cr0 & CR0_PE);
}

/* VMRUN does not check it, a push does. */
static bool pushes_on_no_stack(void)
{
    const uint16_t ss = vmcb.seg[VS_SS].attr;
    return is_bochs && (vmcb.event_injection & EVENT_VALID) &&
           ((ss & SEG_CODE) || !(ss & SEG_RW) || !(ss & SEG_S));
}

/* Such a CS has neither bit in Bochs, which looks at what is left on its own stack. */
static bool undefined_cs(void)
{
    return is_bochs && (vmcb.seg[VS_CS].attr & (0x600 | SEG_S)) == 0x600;
}

struct deadly svm_deadly[] = {
    {long_real_mode, "Bochs stops when EFER.LME and CR0.PG are set and CR0.PE is clear", true},
    {pushes_on_no_stack, "Bochs stops when an event is pushed where SS is no writable data"},
    {undefined_cs, "Bochs decides by chance about CS.L and CS.D of a system segment", true},
    {.when = NULL},
};

static bool long_code_of_32_bits(void)
{
    return (vmcb.seg[VS_CS].attr & (0x600 | SEG_S)) == (0x600 | SEG_S);
}

static bool exception_31(void)
{
    const uint64_t word = vmcb.event_injection;
    return (word & EVENT_VALID) && (word >> EVENT_TYPE_SHIFT & 7) == EVENT_TYPE_EXCEPTION &&
           (word & 0xFF) == 31;
}

struct too_strict svm_too_strict[] = {
    {long_code_of_32_bits, REFUSED, bochs, "CS.L and CS.D outside of long mode",
     "Bochs refuses them in every mode"},
    {exception_31, REFUSED, qemu, "exception 31",
     "QEMU begins at 31 where the manual says above 31"},
    {.when = NULL},
};
