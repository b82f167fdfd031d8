/*
 * A mode: one way to run the canonical vCPU. The VMM proper knows a mode only as this table.
 */
#ifndef TRIVISOR_MODE_H
#define TRIVISOR_MODE_H

#include "vcpu.h"

struct insn;
struct sink;

/* What the monitor wants of a mode, for watch(). */
#define WATCH_EXITS 1u       /* every exit comes back from run(): no short ways */
#define WATCH_BREAKPOINTS 2u /* INT3 where vm->breakpoint() says so is EXIT_BREAKPOINT */

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

    /*
     * Let trace.h see where the guest is left and entered, also by short ways (on), or no longer.
     * Called while the mode is attached and the guest does not run. Without a trace the mode pays
     * nothing for it.
     */
    void (*trace)(struct vcpu *vcpu, bool on);

    /* Records about what the mode did, at the end of a run with report=on. Optional. */
    void (*report)(struct vcpu *vcpu);

    /* --- for the monitor; between two exits --- */

    /* From now on these WATCH_ bits. After attach() there are none. */
    void (*watch)(struct vcpu *vcpu, unsigned what);

    /*
     * One entry with the trap flag set, of which the guest sees nothing: EXIT_STEP after one
     * instruction (of a repeated one, after one iteration); or another exit, after which as much
     * of the instruction was done as after the same exit of run(). Exceptions are exits, and not
     * delivered yet. Nothing is pending, and the vCPU's interrupt shadow is gone.
     */
    void (*step)(struct vcpu *vcpu, struct exit *exit);

    /* Does the instruction at EIP mean something to the mode itself, so that the emulator must not
     * execute it? Optional. */
    bool (*keeps)(struct vcpu *vcpu, const struct insn *insn);

    /* Has the mode written an instruction over gva that begins before it, so that a breakpoint
     * there would be its operand? Optional: NULL where it writes none. */
    bool (*splits)(struct vcpu *vcpu, gva_t gva);

    /* The monitor has executed instructions on the canonical state: that EIP moved on means
     * nothing. */
    void (*stepped)(struct vcpu *vcpu);

    /* Tell about "patches", "scan" or "nested". False: there is no such thing in this mode. */
    bool (*show)(struct vcpu *vcpu, const char *topic, struct sink *sink);

    /* The guest's tables say that gva is at gpa: what the CPU really walks, level by level. */
    void (*explain)(struct vcpu *vcpu, gva_t gva, gpa_t gpa, struct sink *sink);
};

/* Every mode by its number - 1 (trap 1, para 2, vtx 3, svm 4); NULL where the build has it not. */
extern const struct vmm_mode *const vmm_modes[];
extern const unsigned vmm_mode_count;

#endif
