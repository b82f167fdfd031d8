/* The consistency checks of VMRUN (AMD APM vol. 2 section 15.5.1), as far as a 32-bit guest can
 * break them, so that a refused entry names the rule. */
#include "svm.h"
#include "x86.h"

#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)
#define EFER_KNOWN 0x7FFFu
#define HIGH32 0xFFFFFFFF00000000ull

/* Section 15.20: types 1 and 5 to 7 are reserved; an exception is not an NMI, and below 32. */
static bool bad_event(uint64_t word)
{
    const unsigned type = word >> EVENT_TYPE_SHIFT & 7, vector = word & 0xFF;
    if (!(word & EVENT_VALID))
        return false;
    if (type == EVENT_TYPE_EXCEPTION)
        return vector == 2 || vector > 31;
    return type == 1 || type > EVENT_TYPE_SOFT;
}

const char *svm_check(const struct vmcb *vmcb)
{
    const struct {
        bool broken;
        const char *rule;
    } rules[] = {
        {!(vmcb->efer & EFER_SVME), "EFER.SVME is zero"},
        {!(vmcb->cr0 & CR0_CD) && (vmcb->cr0 & CR0_NW), "CR0.CD is zero and CR0.NW is set"},
        {vmcb->cr0 & HIGH32, "CR0[63:32] are not zero"},
        {vmcb->cr3 & HIGH32, "CR3[63:32] are not zero"},
        {vmcb->cr4 & HIGH32, "CR4[63:32] are not zero"},
        {vmcb->dr6 & HIGH32, "DR6[63:32] are not zero"},
        {vmcb->dr7 & HIGH32, "DR7[63:32] are not zero"},
        {vmcb->efer & ~(uint64_t)EFER_KNOWN, "reserved bits of EFER are set"},
        {vmcb->efer & (EFER_LMA | EFER_LME), "EFER.LMA or EFER.LME is set for a 32-bit guest"},
        {!(vmcb->intercept_misc2 & MISC2_VMRUN), "the VMRUN intercept bit is clear"},
        {vmcb->iopm_hpa & HIGH32, "the I/O permission map is beyond physical memory"},
        {vmcb->msrpm_hpa & HIGH32, "the MSR permission map is beyond physical memory"},
        {bad_event(vmcb->event_injection), "EVENTINJ holds no possible event"},
        {vmcb->asid == 0, "the ASID is zero"},
        {(vmcb->nested_control & 1) && (vmcb->nested_cr3 & HIGH32),
         "the nested page table is beyond physical memory"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rules); i++) {
        if (rules[i].broken)
            return rules[i].rule;
    }
    return NULL;
}
