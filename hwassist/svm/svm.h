/* Private to svm mode: the backend, and what its files offer to each other. */
#ifndef TRIVISOR_SVM_H
#define TRIVISOR_SVM_H

#include "paging.h"
#include "vcpu.h"
#include "vmcb.h"

struct svm {
    struct vmcb *vmcb;
    struct vmcb *host; /* VMSAVE area for the host's FS GS TR LDTR and SYSENTER MSRs */
    void *host_save;   /* VM_HSAVE_PA: what VMRUN saves of the host */
    void *iopm, *msrpm;
    struct hw_paging paging;
    const char *broken_rule; /* of VMRUN's, by what was loaded last; NULL: none */
    uint32_t exit_eip; /* EIP at the last exit: where the guest is, unless common code moved it */
    uint64_t injected; /* the last event that an entry injected, as EVENTINJ has it */
    bool injecting;    /* the last entry did */
    uint64_t entries;
};

static inline struct svm *svm_of(const struct vcpu *vcpu)
{
    return vcpu->backend;
}

/* enter.asm: the world switch, general registers included. */
void svm_enter(struct vcpu *vcpu, uint32_t vmcb_hpa, uint32_t host_vmcb_hpa);

/* state.c: canonical vCPU <-> VMCB state save area. load honours vcpu->dirty. */
void svm_load(struct vcpu *vcpu);
void svm_store(struct vcpu *vcpu);

/* Only what fetch_decode() reads: CS, the CPL, CR0, CR3, CR4. For use right after an exit. */
void svm_store_for_fetch(struct vcpu *vcpu);

/* exits.c: VMCB exit fields to a normalised exit; sets vcpu->pending when the exit cut short the
 * delivery of an event. */
void svm_classify(struct vcpu *vcpu, struct exit *exit);

/* Why VMRUN refused the VMCB. */
const char *svm_refusal(const struct svm *svm);

/* An event as EVENTINJ wants it (section 15.20). */
uint64_t svm_event_word(const struct event *event);

/* check.c: the consistency rule of VMRUN (APM vol. 2 section 15.5.1) that the VMCB breaks, or NULL.
 */
const char *svm_check(const struct vmcb *vmcb);

#endif
