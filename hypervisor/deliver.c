/*
 * Event delivery through the guest's IDT or, in real mode, its interrupt vector table.
 *
 * Rules: SDM vol. 3A chapter 6, vol. 2 "INT n" (the Operation section covers all events).
 * Not there: task gates (hardware task switching; reported to the guest as #GP with the gate's
 * error code) and virtual-8086 mode (IRET refuses to enter it).
 */
#include "emulator.h"

#define ERROR_EXT 1u /* SDM vol. 3A section 6.13: came up while an outside event was delivered */
#define ERROR_IDT 2u

/* The faults of SDM vol. 3A table 6-1: the saved EIP is the faulting instruction's and the saved
 * RF is set, so that an instruction breakpoint does not fire again (vol. 3B section 17.3.1.1). */
#define FAULT_VECTORS                                                                              \
    (1u << VEC_DE | 1u << VEC_BR | 1u << VEC_UD | 1u << VEC_NM | 1u << VEC_TS | 1u << VEC_NP |     \
     1u << VEC_SS | 1u << VEC_GP | 1u << VEC_PF | 1u << VEC_MF | 1u << VEC_AC | 1u << VEC_XM)
/* SDM vol. 3A table 6-4. */
#define CONTRIBUTORY (1u << VEC_DE | 1u << VEC_TS | 1u << VEC_NP | 1u << VEC_SS | 1u << VEC_GP)

struct gate {
    uint16_t selector;
    uint32_t offset;
    unsigned width; /* of the frame's words: 2 or 4 */
    bool clear_if;  /* an interrupt gate */
};

/* Read and check the gate; the order of the checks is that of "INT n" in SDM vol. 2. */
static bool read_gate(struct vcpu *vcpu, const struct event *event, struct gate *gate,
                      struct event *fault)
{
    uint32_t offset = event->vector * 8u, error = offset | ERROR_IDT, low, high, attr;
    uint64_t raw;

    if (offset + 7 > vcpu->idtr.limit)
        return raise_fault(fault, VEC_GP, error);
    if (!guest_read(vcpu, vcpu->idtr.base + offset, &raw, sizeof(raw), ACCESS_READ, fault))
        return false;
    low = raw;
    high = raw >> 32;
    attr = high >> 8 & 0xFF;
    switch (attr & (SEG_S | SEG_TYPE)) {
    case SYS_INT_GATE16:
    case SYS_TRAP_GATE16:
        gate->width = 2;
        break;
    case SYS_INT_GATE32:
    case SYS_TRAP_GATE32:
        gate->width = 4;
        break;
    default:
        return raise_fault(fault, VEC_GP, error);
    }
    if (event->kind == EVENT_SOFT_INT && (attr & SEG_DPL) >> SEG_DPL_SHIFT < vcpu_cpl(vcpu))
        return raise_fault(fault, VEC_GP, error);
    if (!(attr & SEG_P))
        return raise_fault(fault, VEC_NP, error);
    gate->selector = low >> 16;
    gate->offset = (low & 0xFFFF) | (gate->width == 4 ? high & 0xFFFF0000 : 0);
    gate->clear_if = !(attr & 1);
    return true;
}

static uint32_t saved_eflags(const struct vcpu *vcpu, const struct event *event)
{
    bool is_fault = event->kind == EVENT_EXCEPTION && (FAULT_VECTORS >> event->vector & 1);

    return vcpu->eflags | (is_fault ? FL_RF : 0);
}

static bool deliver_protected(struct vcpu *vcpu, const struct event *event, uint32_t return_eip,
                              struct event *fault)
{
    unsigned cpl = vcpu_cpl(vcpu), n = 0;
    struct stack stack = stack_current(vcpu);
    struct segment cs;
    struct gate gate;
    uint32_t words[6];

    if (!read_gate(vcpu, event, &gate, fault) ||
        !gate_code_segment(vcpu, gate.selector, true, &cs, fault))
        return false;
    if (!is_conforming(&cs) && seg_dpl(&cs) < cpl) {
        if (!stack_from_tss(vcpu, seg_dpl(&cs), &stack, fault))
            return false;
        words[n++] = vcpu->seg[SREG_SS].selector;
        words[n++] = vcpu->gpr[GPR_ESP];
    }
    words[n++] = saved_eflags(vcpu, event);
    words[n++] = vcpu->seg[SREG_CS].selector;
    words[n++] = return_eip;
    if (event->has_error)
        words[n++] = event->error;

    if (!stack_room(vcpu, &stack, n, gate.width, fault))
        return false;
    if (gate.offset > cs.limit)
        return raise_fault(fault, VEC_GP, 0);
    if (!stack_push(vcpu, &stack, words, n, gate.width, fault) ||
        !segment_touch(vcpu, &cs, fault) || !segment_touch(vcpu, &stack.seg, fault))
        return false;

    cs.selector = (cs.selector & ~SEL_RPL) | stack.level;
    stack_commit(vcpu, &stack);
    segment_set(vcpu, SREG_CS, &cs);
    vcpu->eip = gate.offset;
    vcpu->eflags &= ~(FL_TF | FL_NT | FL_RF | FL_VM | (gate.clear_if ? FL_IF : 0));
    return true;
}

/* SDM vol. 3B section 20.1.4: four bytes a vector, no privileges, no error codes. The frame is
 * pushed before the vector is read (vol. 2, INT n, REAL-ADDRESS-MODE), which it may overwrite. */
static bool deliver_real(struct vcpu *vcpu, const struct event *event, uint32_t return_eip,
                         struct event *fault)
{
    uint32_t offset = event->vector * 4u, ip;
    struct stack stack = stack_current(vcpu);
    uint32_t words[3] = {vcpu->eflags, vcpu->seg[SREG_CS].selector, return_eip};
    struct segment cs;
    uint8_t entry[4];

    if (offset + 3 > vcpu->idtr.limit)
        return raise_fault(fault, VEC_GP, 0);
    if (!stack_push(vcpu, &stack, words, 3, 2, fault) ||
        !guest_read(vcpu, vcpu->idtr.base + offset, entry, sizeof(entry), ACCESS_READ, fault))
        return false;
    ip = entry[0] | entry[1] << 8;
    cs = segment_real(vcpu, SREG_CS, entry[2] | entry[3] << 8);
    if (ip > cs.limit)
        return raise_fault(fault, VEC_GP, 0);
    stack_commit(vcpu, &stack);
    segment_set(vcpu, SREG_CS, &cs);
    vcpu->eip = ip;
    vcpu->eflags &= ~(FL_IF | FL_TF | FL_AC | FL_RF);
    return true;
}

/* The CPU loads CR2 before it looks at the IDT; a fault in delivery does not take it back. */
static void load_cr2(struct vcpu *vcpu, const struct event *event)
{
    if (event->kind != EVENT_EXCEPTION || event->vector != VEC_PF)
        return;
    vcpu->cr2 = event->cr2;
    vcpu->dirty |= DIRTY_CR2;
}

bool deliver_once(struct vcpu *vcpu, const struct event *event, uint32_t return_eip,
                  struct event *fault)
{
    bool done;

    load_cr2(vcpu, event);
    done = protected_mode(vcpu) ? deliver_protected(vcpu, event, return_eip, fault)
                                : deliver_real(vcpu, event, return_eip, fault);
    if (!done) {
        if (fault->has_error && fault->vector != VEC_PF && event->kind != EVENT_SOFT_INT)
            fault->error |= ERROR_EXT;
        return false;
    }
    vcpu->int_shadow = 0;
    vcpu->halted = false;
    return true;
}

bool combine_faults(const struct event *first, struct event *fault)
{
    bool first_pf, second_pf = fault->vector == VEC_PF;

    if (first->kind != EVENT_EXCEPTION)
        return true; /* interrupts are benign */
    if (first->vector == VEC_DF)
        return false;
    first_pf = first->vector == VEC_PF;
    if (first_pf || (!second_pf && (CONTRIBUTORY >> first->vector & 1)))
        raise_fault(fault, VEC_DF, 0);
    return true;
}

bool deliver_event(struct vcpu *vcpu, const struct event *event)
{
    struct event now = *event, fault;

    while (!deliver_once(vcpu, &now, vcpu->eip, &fault)) {
        load_cr2(vcpu, &fault); /* also when the two become a double fault */
        if (!combine_faults(&now, &fault))
            return false;
        now = fault;
    }
    return true;
}
