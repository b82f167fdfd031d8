/* Private to svm mode: the backend, and what its files offer to each other. */
#ifndef TRIVISOR_SVM_H
#define TRIVISOR_SVM_H

#include "tables.h"
#include "vcpu.h"
#include "vmcb.h"

struct svm {
    struct vmcb *vmcb;
    struct vmcb *host; /* VMSAVE area for the host's FS GS TR LDTR and SYSENTER MSRs */
    void *host_save;   /* VM_HSAVE_PA: what VMRUN saves of the host */
    void *iopm, *msrpm;
    struct nested_map map;
    uint64_t entries;
};

static inline struct svm *svm_of(struct vcpu *vcpu)
{
    return vcpu->backend;
}

void svm_enter(struct vcpu *vcpu, uint32_t vmcb_hpa, uint32_t host_vmcb_hpa);

/* state.c: canonical vCPU <-> VMCB state save area. load honours vcpu->dirty. */
void svm_load(struct vcpu *vcpu);
void svm_store(struct vcpu *vcpu);

/* exits.c: VMCB exit fields to a normalised exit. */
void svm_classify(struct vcpu *vcpu, struct exit *exit);

/* check.c: which consistency rule of VMRUN (APM vol. 2 section 15.5.1) the VMCB breaks; NULL: none.
 */
const char *svm_check(const struct vmcb *vmcb);

#endif
