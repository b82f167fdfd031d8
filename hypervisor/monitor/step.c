/*
 * One instruction of the guest, in every mode alike and without a trace that the guest could see.
 *
 * What the emulator knows (everything that could show the trap flag or is not the guest's to
 * execute) it executes on the canonical state. All else runs on the CPU with the trap flag set by
 * the mode, and whatever event that raises is delivered by deliver.c. So no stack frame is written
 * by a CPU that has the flag set. Interrupts of devices wait.
 */
#include "emulate.h"
#include "gmem.h"
#include "monitor.h"
#include "vm_loop.h"
#include "vmm.h"
#include "x86.h"

/* Entries that may be needed before an instruction is done: shadow fills, scans, interrupts of the
 * host. None comes back for ever. */
#define PATIENCE 1000

static const char *deliver(struct vcpu *vcpu, const struct event *event)
{
    if (!deliver_event(vcpu, event)) {
        vm_kill(vcpu->vm,
                "triple fault: an exception during the double fault's delivery, at EIP "
                "%08x ESP %08x CR2 %08x",
                vcpu->eip, vcpu->gpr[GPR_ESP], vcpu->cr2);
        return "the guest has ended";
    }
    return NULL;
}

/* What a mode has accepted and not delivered yet. */
static const char *deliver_pending(struct vcpu *vcpu)
{
    const struct event event = vcpu->pending;
    vcpu->pending.kind = EVENT_NONE;
    return deliver(vcpu, &event);
}

/* #DB of the guest's own single step (SDM vol. 3B section 17.3.1.4). */
static const char *deliver_step(struct vcpu *vcpu)
{
    const struct event db = {.kind = EVENT_EXCEPTION, .vector = VEC_DB};
    vcpu->dr[6] |= DR6_BS;
    vcpu->dr[7] &= ~DR7_GD;
    vcpu->dirty |= DIRTY_DR;
    return deliver(vcpu, &db);
}

static bool is_interrupt(const struct insn *insn)
{
    return insn->op == OP_INTN || insn->op == OP_INTO || insn->op == OP_INT3;
}

/* An exit of a step: common code does what there is to do; but exceptions are delivered at once. */
static const char *finish(struct vcpu *vcpu, struct exit *exit)
{
    if (exit->reason != EXIT_EXCEPTION) {
        exit_dispatch(vcpu, exit);
        vcpu->mode->sync(vcpu);
    } else {
        vcpu->pending = exit->exception.event;
    }
    return vcpu->pending.kind == EVENT_NONE ? NULL : deliver_pending(vcpu);
}

/* False: the emulator does not know the instruction, and nothing was done. */
static bool emulated(struct vcpu *vcpu, const char **why)
{
    struct exit exit = {.reason = EXIT_NONE};
    struct insn insn;
    const bool guest_steps = vcpu->eflags & FL_TF;
    const uint32_t eip = vcpu->eip;
    if (!fetch_decode(vcpu, &insn, &exit)) {
        *why = finish(vcpu, &exit);
        return true;
    }
    if (vcpu->mode->keeps && vcpu->mode->keeps(vcpu, &insn))
        return false;
    switch (emulate(vcpu, &insn, &exit)) {
    case EMU_UNHANDLED:
        return false;
    case EMU_FAULT:
        *why = finish(vcpu, &exit);
        return true;
    case EMU_EXIT:
        *why = finish(vcpu, &exit);
        if (!*why && guest_steps && (vcpu->eip != eip || vcpu->iterated))
            *why = deliver_step(vcpu);
        break;
    case EMU_DONE:
        if (guest_steps && traps_when_stepped(vcpu, is_interrupt(&insn)))
            *why = deliver_step(vcpu);
        break;
    }
    vcpu->iterated = false;
    return true;
}

static const char *run_one(struct vcpu *vcpu)
{
    const uint8_t shadow = vcpu->int_shadow;
    const uint32_t eip = vcpu->eip, cs = vcpu->seg[SREG_CS].base;
    for (int i = 0; i < PATIENCE && !vcpu->vm->stop_reason; i++) {
        struct exit exit = {.reason = EXIT_NONE};
        vcpu->int_shadow = 0;
        host_work = false; /* what waits there is for the loop */
        vcpu->mode->step(vcpu, &exit);
        vcpu->mode->sync(vcpu);
        const bool event = exit.reason == EXIT_EXCEPTION;
        const bool stepped = exit.reason == EXIT_STEP;
        const char *why = finish(vcpu, &exit);
        if (why || event || stepped || vcpu->eip != eip || vcpu->seg[SREG_CS].base != cs)
            return why;
        vcpu->int_shadow = shadow;
    }
    return vcpu->vm->stop_reason ? "the guest has ended"
                                 : "the instruction does not come to its end";
}

/* HLT ends with an interrupt: that is the step then. */
static const char *wake(struct vcpu *vcpu)
{
    struct devices *dev = &vcpu->vm->dev;
    devices_tick(dev);
    if (!devices_irq_pending(dev) || !vcpu->mode->can_take_irq(vcpu))
        return "the CPU is halted, and no interrupt waits: continue";
    const struct event irq = {.kind = EVENT_IRQ, .vector = devices_irq_ack(dev)};
    vcpu->halted = false;
    return deliver(vcpu, &irq);
}

static const char *step_bare(struct vcpu *vcpu)
{
    const char *why = NULL;
    if (vcpu->halted)
        return wake(vcpu);
    if (vcpu->pending.kind != EVENT_NONE)
        return deliver_pending(vcpu);
    return emulated(vcpu, &why) ? why : run_one(vcpu);
}

const char *step_once(struct vm *vm)
{
    struct vcpu *vcpu = &vm->vcpu;
    const struct vmm_mode *mode = vcpu->mode;
    if (!mode->step)
        return "this mode cannot step";
    mode->sync(vcpu);
    const gva_t pc = pc_of(vcpu);
    const bool due = vcpu->pending.kind == EVENT_NONE && !vcpu->halted;
    const unsigned lifted = due ? breaks_lift_here(vcpu) : 0;
    if (lifted && !(monitor.over && monitor.over_at == pc))
        breaks_note(vm, lifted);
    monitor.over = false;
    const char *why = step_bare(vcpu);
    if (lifted)
        breaks_replant(vm, lifted);
    mode->stepped(vcpu);
    host_work = true;
    mode->sync(vcpu);
    return why;
}
