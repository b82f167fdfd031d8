/*
 * A mode: one way to run the canonical vCPU. The VMM proper knows a mode only as this table.
 */
#ifndef TRIVISOR_MODE_H
#define TRIVISOR_MODE_H

#include "vcpu.h"

struct vmm_mode {
    const char *name; /* "trap", "para", "vtx", "svm": the word on the command line */
    const char *what; /* one line for people */

    /* Can this CPU run the mode? When not, *why becomes one sentence. Touches nothing. */
    bool (*supported)(const char **why);

    /* Do virtio devices belong to the mode? The user's virtio= goes before it. NULL: they do not.
     */
    bool (*virtio)(const char *options);

    /* Canonical state to backend. Called once before the first run(), with all state dirty.
     * Returns NULL, or one sentence that says why it failed (then nothing was changed). */
    const char *(*attach)(struct vcpu *vcpu);

    /* Backend to canonical state, complete; frees the backend. Inverse of attach(). */
    void (*detach)(struct vcpu *vcpu);

    /*
     * May the vCPU come to this mode as it is now, may it leave it? NULL: yes; else what is in the
     * way, as the end of a sentence ("the guest is in real mode"). stays() also sees to it that
     * what can be got out of the way by running the guest will be, soon. Optional: NULL when
     * nothing ever is. An event that waits to be delivered (vcpu->pending) is the caller's to wait
     * for.
     */
    const char *(*refuses)(const struct vcpu *vcpu);
    const char *(*stays)(struct vcpu *vcpu);

    /* Make every canonical field current without leaving the mode. */
    void (*sync)(struct vcpu *vcpu);

    /*
     * Enter the guest; return at the next exit with *exit filled in. Before the entry, loads what
     * vcpu->dirty names and delivers vcpu->pending. Called with host interrupts off, returns with
     * them off; host interrupts are on only while the guest runs. An exit for a host interrupt
     * (EXIT_HOST_IRQ) means that the host's handler has already run.
     */
    void (*run)(struct vcpu *vcpu, struct exit *exit);

    /* Handle an exit that only this mode knows (EXIT_SCAN, ...). Optional: NULL when none. */
    void (*handle)(struct vcpu *vcpu, struct exit *exit);

    /*
     * Deliver an event at the next entry. The caller has checked can_take_irq() for interrupts.
     * Precondition: vcpu->pending.kind == EVENT_NONE.
     */
    void (*inject)(struct vcpu *vcpu, const struct event *event);

    /* May an external interrupt be injected at the next entry (IF set, no shadow, nothing pending)?
     */
    bool (*can_take_irq)(struct vcpu *vcpu);

    /* Ask for EXIT_IRQ_WINDOW as soon as can_take_irq() becomes true (on), or no longer (off). */
    void (*irq_window)(struct vcpu *vcpu, bool on);

    /* The guest executed INVLPG (one page), or loaded CR3 (all but global pages), or changed a
     * control register that flushes everything (global pages too). */
    void (*tlb_flush)(struct vcpu *vcpu, gva_t gva);
    void (*tlb_flush_all)(struct vcpu *vcpu, bool global_too);

    /* Does the CPU walk nested page tables after the guest's own? Optional: NULL when it does not.
     */
    bool (*nested_paging)(const struct vcpu *vcpu);

    /* Mode-specific counters as JSON members ("\"scanned\":12,"...) into buf; returns length. */
    int (*stats)(struct vcpu *vcpu, char *buf, unsigned size);

    /* Records about what the mode did, at the end of a run with report=on. Optional. */
    void (*report)(struct vcpu *vcpu);
};

/* Every mode by its number - 1 (trap 1, para 2, vtx 3, svm 4); NULL where the build has it not. */
extern const struct vmm_mode *const vmm_modes[];
extern const unsigned vmm_mode_count;

#endif
