/* Private to svm mode: the backend, and what its files offer to each other. */
#ifndef TRIVISOR_SVM_H
#define TRIVISOR_SVM_H

#include "paging.h"
#include "rules.h"
#include "short.h"
#include "vcpu.h"
#include "vmcb.h"

/* Where the long way has decoded an instruction, and the entries of the guest's tables that led
 * there, as they were. With paging off, or in a page of 4 MB, some are missing: they point to a
 * zero then. */
struct svm_site {
    gva_t gva;
    uint32_t cr3, pde_was, pte_was;
    const uint32_t *pde, *pte;
    const uint32_t *code; /* the instruction; all four bytes are on its page */
    uint32_t unused;      /* a power of two is quickly found */
};
#define SVM_SITES 16u

static inline unsigned svm_site_slot(gva_t gva)
{
    return gva & (SVM_SITES - 1);
}

/* A short way: finishes an exit, or leaves it as it is for the long way. Returns whether the guest
 * goes on at once. */
typedef bool IN_REGISTERS svm_way(struct vcpu *vcpu, struct vmcb *vmcb);
#define SVM_WAY_NPF                                                                                \
    0x82u /* exit codes have their own number; that of nested faults is too large                  \
           */
#define SVM_WAYS (SVM_WAY_NPF + 1)
_Static_assert(VMEXIT_VMMCALL < SVM_WAY_NPF, "enter.asm: WAY_LAST, WAY_NPF");

/* enter.asm: the world switch, general registers included, and the short ways; and the same for a
 * trace (trace.h). */
typedef void svm_world_switch(struct vcpu *vcpu, struct vmcb *vmcb, hpa_t vmcb_hpa,
                              hpa_t host_vmcb_hpa, svm_way *const *ways);
svm_world_switch svm_enter, svm_enter_traced;

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
    enum event_kind injected; /* what the last entry did, ... */
    uint32_t injected_at;     /* ... and EIP then */
    uint64_t entries;
    svm_world_switch *enter;
    svm_way *const *ways;   /* the short ways that exits may take, by exit code */
    uint32_t short_entries; /* entries after one of them, not in entries yet */
    uint8_t handled;        /* the exit that one has finished (enum exit_reason), and the loop has
                             * something to do */
    bool next_rip;          /* exits say where the instruction ends (CPUID 8000000A EDX bit 3) */
    struct svm_site site[SVM_SITES];
};

static inline struct svm *svm_of(const struct vcpu *vcpu)
{
    return vcpu->backend;
}

/* short.c: exits that are finished without the vCPU loop, all of them and none. The places that it
 * knows: svm_site_learn() after the long way has decoded an instruction, and svm_sites_forget()
 * when CR0 or CR4 may have changed what the guest's tables mean. */
extern svm_way *const svm_short_ways[SVM_WAYS], *const svm_no_ways[SVM_WAYS];
extern const uint32_t svm_way_bits[SVM_WAYS]; /* of a record in a trace */
void svm_site_learn(struct vcpu *vcpu);

/* An empty slot has an address that belongs into another one. */
static inline void svm_sites_forget(struct svm *svm)
{
    for (unsigned i = 0; i < SVM_SITES; i++)
        svm->site[i].gva = ~i;
}

/* state.c: canonical vCPU <-> VMCB state save area. load honours vcpu->dirty. */
void svm_load(struct vcpu *vcpu);
void svm_store(struct vcpu *vcpu);

/* Only what fetch_decode() reads: CS, the CPL, CR0, CR3, CR4. For use right after an exit. */
void svm_store_for_fetch(struct vcpu *vcpu);

/* exits.c: VMCB exit fields to a normalised exit; sets vcpu->pending when the exit cut short the
 * delivery of an event. */
void svm_classify(struct vcpu *vcpu, struct exit *exit);

/* mode_svm.c: all that the next entry needs into the VMCB; and the entry itself, with what must be
 * current after any exit. */
void svm_prepare(struct vcpu *vcpu);
void svm_enter_guest(struct vcpu *vcpu);

/* debug.c: the operations for the monitor. svm_software_int: INT n or INT3 exited. */
void svm_watch(struct vcpu *vcpu, unsigned what);
void svm_step(struct vcpu *vcpu, struct exit *exit);
void svm_stepped(struct vcpu *vcpu);
bool svm_show(struct vcpu *vcpu, const char *topic, struct sink *sink);
void svm_explain(struct vcpu *vcpu, gva_t gva, gpa_t gpa, struct sink *sink);
void svm_software_int(struct vcpu *vcpu, struct exit *exit);

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

/* An event as EVENTINJ wants it (section 15.20). In real mode no error code is pushed. */
uint64_t svm_event_word(const struct event *event, bool protected_mode);

/* causes.c, pure: what is intercepted, into the VMCB. */
void svm_intercepts(struct vmcb *vmcb, bool shadowed);

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
