/* The consistency checks of VMRUN (AMD APM vol. 2 section 15.5.1), so that a refused entry names
 * the rule that was broken. */
#include "svm.h"
#include "x86.h"

#define EFER_LMA (1u << 10)
#define HIGH32 0xFFFFFFFF00000000ull

const char *svm_check(const struct vmcb *vmcb)
{
    const struct {
        bool broken;
        const char *rule;
    } rules[] = {
        {!(vmcb->efer & EFER_SVME), "EFER.SVME is zero"},
        {!(vmcb->cr0 & CR0_CD) && (vmcb->cr0 & CR0_NW), "CR0.CD is zero and CR0.NW is set"},
        {vmcb->cr0 & HIGH32, "CR0[63:32] are not zero"},
        {(vmcb->cr0 & CR0_PG) && !(vmcb->cr0 & CR0_PE), "CR0.PG is set and CR0.PE is zero"},
        {vmcb->cr4 & HIGH32, "CR4[63:32] are not zero"},
        {vmcb->dr6 & HIGH32, "DR6[63:32] are not zero"},
        {vmcb->dr7 & HIGH32, "DR7[63:32] are not zero"},
        {vmcb->efer & EFER_LMA, "EFER.LMA is set for a 32-bit guest"},
        {!(vmcb->intercept_misc2 & MISC2_VMRUN), "the VMRUN intercept bit is clear"},
        {vmcb->iopm_hpa & 0xFFF, "the I/O permission map is not page aligned"},
        {vmcb->msrpm_hpa & 0xFFF, "the MSR permission map is not page aligned"},
        {vmcb->asid == 0, "the ASID is zero"},
        {(vmcb->event_injection & EVENT_VALID) &&
             (vmcb->event_injection >> EVENT_TYPE_SHIFT & 7) == EVENT_TYPE_EXCEPTION &&
             (vmcb->event_injection & 0xFF) > 31,
         "an exception with a vector above 31 is injected"},
        {(vmcb->nested_control & 1) && (vmcb->nested_cr3 & 0x1F),
         "the nested page table is not aligned"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rules); i++) {
        if (rules[i].broken)
            return rules[i].rule;
    }
    return NULL;
}
