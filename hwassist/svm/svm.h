/* Private to svm mode: the backend, and what its files offer to each other. */
#ifndef TRIVISOR_SVM_H
#define TRIVISOR_SVM_H

#include "paging.h"
#include "rules.h"
#include "vcpu.h"
#include "vmcb.h"

struct svm {
    struct vmcb *vmcb;
    struct vmcb *host; /* VMSAVE area for the host's FS GS TR LDTR and SYSENTER MSRs */
    void *host_save;   /* VM_HSAVE_PA: what VMRUN saves of the host */
    void *iopm, *msrpm;
    struct hw_paging paging;
    bool watched;                /* check=on or break=: svm_before_entry() is asked */
    bool checked;                /* check=on */
    const struct broken *broken; /* what break= names, or NULL */
    const char *refused;         /* what check=on has found, or NULL */
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

/* mode_svm.c: all that the next entry needs into the VMCB. */
void svm_prepare(struct vcpu *vcpu);

/*
 * entry.c: the checks of an entry, and the entry that breaks a rule on purpose.
 * svm_entry_options: read check= and break= for this vCPU; NULL, or a sentence about a wrong one.
 * svm_before_entry: with svm->watched, after svm_prepare(). False: with check=on a rule is broken,
 * do not enter; the VMCB then says VMEXIT_INVALID, as after a VMRUN that was refused.
 * svm_refusal: why VMRUN refused, or would refuse, the VMCB, with the manual's section.
 */
const char *svm_entry_options(struct vcpu *vcpu);
bool svm_before_entry(struct vcpu *vcpu);
const char *svm_refusal(struct vcpu *vcpu);

/* An event as EVENTINJ wants it (section 15.20). */
uint64_t svm_event_word(const struct event *event);

/* capability.c: what VMRUN accepts on this CPU. */
struct svm_cpu {
    unsigned phys_bits;         /* width of a physical address */
    uint64_t cr4_may, efer_may; /* bits that may be one */
    bool nested;                /* it has nested paging */
    bool host_paging;           /* the host's CR0.PG */
};
void svm_cpu_read(struct svm_cpu *cpu);

/* check.c, pure: the consistency rules of VMRUN (APM vol. 2 section 15.5.1). svm_check walks
 * through them; the first one that is broken, or NULL. */
struct svm_entry {
    const struct svm_cpu *cpu;
    const struct vmcb *vmcb;
    /* Physical memory, n bytes at hpa; false where it cannot be read. What is there is good then.
     */
    bool (*memory)(uint64_t hpa, void *to, unsigned n);
    struct rule_walk rules;
};
const struct entry_rule *svm_check(struct svm_entry *entry);

#endif
