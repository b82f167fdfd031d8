/*
 * Far transfers: INT, IRET, far CALL, JMP and RET, call gates.
 *
 * Rules: the Operation sections in SDM vol. 2 and vol. 3A section 5.8. Not there: hardware task
 * switching and virtual-8086 mode. A transfer through a TSS or a task gate gives the guest #GP
 * with the selector; IRET with NT set, or to EFLAGS.VM = 1 from CPL 0, gives #GP(0).
 */
#include "emulator.h"

/* --- software interrupts --- */

/* A fault during delivery is returned: an INT is benign (SDM vol. 3A table 6-5), so its fault is
 * simply the guest's next exception, and it reports the INT's own EIP. */
enum emu_result emu_int(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    struct event event = {.kind = EVENT_SOFT_INT};

    switch (insn->op) {
    case OP_INT3:
        if (vcpu->vm->breakpoint && vcpu->vm->breakpoint(vcpu)) {
            exit->reason = EXIT_BREAKPOINT;
            exit->insn_len = 0;
            return EMU_EXIT;
        }
        event.vector = VEC_BP;
        break;
    case OP_INTO:
        if (!(vcpu->eflags & FL_OF))
            return emu_done(vcpu, insn);
        event.vector = VEC_OF;
        break;
    case OP_INT1: /* not subject to the gate's DPL (SDM vol. 3A section 6.12.1.2) */
        event.kind = EVENT_EXCEPTION;
        event.vector = VEC_DB;
        break;
    default:
        event.vector = insn->imm;
    }
    if (!deliver_once(vcpu, &event, next_eip(vcpu, insn), &exit->exception.event))
        return emu_faulted(exit);
    return EMU_DONE;
}

/* --- returns: IRET and RET --- */

/* A return of any kind is checked and computed in here before the vCPU is touched. */
struct far_return {
    struct stack stack; /* the stack of the returning code, then of the code returned to */
    struct segment cs;
    uint32_t eip;
    unsigned width;
    bool outer;
};

/* The code segment that a return names: its RPL is the privilege level that is returned to. */
static bool return_code_segment(struct vcpu *vcpu, uint16_t selector, struct segment *cs,
                                struct event *fault)
{
    unsigned rpl = selector & SEL_RPL, error = selector & ~SEL_RPL;
    uint64_t raw;

    if (is_null(selector))
        return raise_fault(fault, VEC_GP, 0);
    if (!read_descriptor(vcpu, selector, &raw, fault))
        return false;
    *cs = descriptor_decode(selector, raw);
    if (!is_code(cs) || rpl < vcpu_cpl(vcpu) ||
        (is_conforming(cs) ? seg_dpl(cs) > rpl : seg_dpl(cs) != rpl))
        return raise_fault(fault, VEC_GP, error);
    if (!(cs->attr & SEG_P))
        return raise_fault(fault, VEC_NP, error);
    return true;
}

/* To an outer level: SS:ESP come from the stack, after `release` bytes of parameters, which are
 * also released on the outer stack. */
static bool return_outer_stack(struct vcpu *vcpu, struct far_return *ret, uint32_t release,
                               struct event *fault)
{
    unsigned level = ret->cs.selector & SEL_RPL;
    struct stack outer = {.esp = vcpu->gpr[GPR_ESP], .level = level};
    uint32_t words[2], mask;

    stack_release(&ret->stack, release);
    if (!stack_pop(vcpu, &ret->stack, words, 2, ret->width, fault) ||
        !stack_segment(vcpu, words[1], level, VEC_GP, &outer.seg, fault))
        return false;
    /* A 16-bit outer stack gets SP only; the upper half of ESP stays. */
    mask = outer.seg.attr & SEG_DB ? 0xFFFFFFFFu : 0xFFFFu;
    outer.esp = (outer.esp & ~mask) | (words[0] & mask);
    stack_release(&outer, release);
    ret->stack = outer;
    return true;
}

/* words[0] = EIP and words[1] = CS were popped from ret->stack. EIP is the last to be checked
 * against its limit: in SDM vol. 2 that stands behind the checks of the outer stack. */
static bool return_check(struct vcpu *vcpu, struct far_return *ret, const uint32_t *words,
                         uint32_t release, struct event *fault)
{
    ret->eip = words[0];
    if (!protected_mode(vcpu)) {
        ret->outer = false;
        ret->cs = segment_real(vcpu, SREG_CS, words[1]);
    } else {
        if (!return_code_segment(vcpu, words[1], &ret->cs, fault))
            return false;
        ret->outer = (ret->cs.selector & SEL_RPL) > vcpu_cpl(vcpu);
    }
    if (!ret->outer)
        stack_release(&ret->stack, release);
    else if (!return_outer_stack(vcpu, ret, release, fault))
        return false;
    if (ret->eip > ret->cs.limit)
        return raise_fault(fault, VEC_GP, 0);
    if (!protected_mode(vcpu))
        return true;
    return (!ret->outer || segment_touch(vcpu, &ret->stack.seg, fault)) &&
           segment_touch(vcpu, &ret->cs, fault);
}

/* Data segments that the outer level may not use become null (SDM vol. 2, RET and IRET,
 * "RETURN-TO-OUTER-PRIVILEGE-LEVEL"), and null ones lose their RPL. */
static void drop_inner_segments(struct vcpu *vcpu)
{
    static const uint8_t data[] = {SREG_ES, SREG_FS, SREG_GS, SREG_DS};

    for (unsigned i = 0; i < ARRAY_LEN(data); i++) {
        const struct segment *seg = &vcpu->seg[data[i]];
        struct segment null;

        if (!(seg->attr & SEG_UNUSABLE) && (is_conforming(seg) || seg_dpl(seg) >= vcpu_cpl(vcpu)))
            continue;
        null = segment_null(0);
        segment_set(vcpu, data[i], &null);
    }
}

static void return_commit(struct vcpu *vcpu, const struct far_return *ret)
{
    segment_set(vcpu, SREG_CS, &ret->cs);
    stack_commit(vcpu, &ret->stack);
    vcpu->eip = ret->eip;
    vcpu->int_shadow = 0;
    if (ret->outer)
        drop_inner_segments(vcpu);
}

/* Which flags IRET loads, at the privilege level it is executed at. */
static uint32_t iret_flags_mask(const struct vcpu *vcpu, unsigned width)
{
    uint32_t mask = FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_TF | FL_DF | FL_OF | FL_NT;
    unsigned cpl = vcpu_cpl(vcpu);

    if (width == 4)
        mask |= FL_RF | FL_AC | FL_ID;
    if (cpl <= (vcpu->eflags & FL_IOPL) >> FL_IOPL_SHIFT)
        mask |= FL_IF;
    if (cpl == 0)
        mask |= FL_IOPL;
    return mask;
}

enum emu_result emu_iret(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    struct event *fault = &exit->exception.event;
    struct far_return ret = {.stack = stack_current(vcpu), .width = insn->opsize};
    uint32_t words[3], mask = iret_flags_mask(vcpu, insn->opsize);

    if (protected_mode(vcpu) && (vcpu->eflags & FL_NT))
        return emu_fault(exit, VEC_GP, 0); /* a task return */
    if (!stack_pop(vcpu, &ret.stack, words, 3, ret.width, fault))
        return emu_faulted(exit);
    if (protected_mode(vcpu) && (words[2] & FL_VM) && vcpu_cpl(vcpu) == 0)
        return emu_fault(exit, VEC_GP, 0); /* to virtual-8086 mode */
    if (!return_check(vcpu, &ret, words, 0, fault))
        return emu_faulted(exit);
    vcpu->eflags = (vcpu->eflags & ~(mask | FL_RF)) | (words[2] & mask);
    return_commit(vcpu, &ret);
    return EMU_DONE;
}

enum emu_result emu_ret_far(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    struct event *fault = &exit->exception.event;
    struct far_return ret = {.stack = stack_current(vcpu), .width = insn->opsize};
    uint32_t words[2], release = insn->imm_size ? insn->imm & 0xFFFF : 0;

    if (!stack_pop(vcpu, &ret.stack, words, 2, ret.width, fault) ||
        !return_check(vcpu, &ret, words, release, fault))
        return emu_faulted(exit);
    return_commit(vcpu, &ret);
    vcpu->eflags &= ~FL_RF;
    return EMU_DONE;
}

/* --- far CALL and JMP --- */

/* Where a CALL or JMP goes, and how. */
struct far_target {
    struct segment cs;
    uint32_t eip;
    unsigned width;  /* of a CALL's pushes */
    unsigned params; /* words that a call gate copies to the inner stack */
    bool gate;
};

/* A call gate: SDM vol. 3A section 5.8.3 and figure 5-11. */
static bool call_gate_target(struct vcpu *vcpu, uint16_t selector, uint64_t raw, bool call,
                             struct far_target *target, struct event *fault)
{
    unsigned cpl = vcpu_cpl(vcpu), error = selector & ~SEL_RPL;
    uint32_t low = raw, high = raw >> 32, attr = high >> 8;
    unsigned dpl = (attr & SEG_DPL) >> SEG_DPL_SHIFT;
    bool wide = (attr & SEG_TYPE) == SYS_CALL_GATE32;

    if (dpl < cpl || (selector & SEL_RPL) > dpl)
        return raise_fault(fault, VEC_GP, error);
    if (!(attr & SEG_P))
        return raise_fault(fault, VEC_NP, error);
    if (!gate_code_segment(vcpu, low >> 16, call, &target->cs, fault))
        return false;
    target->eip = (low & 0xFFFF) | (wide ? high & 0xFFFF0000 : 0);
    target->width = wide ? 4 : 2;
    target->params = high & 0x1F;
    target->gate = true;
    return true;
}

static bool far_target(struct vcpu *vcpu, uint16_t selector, uint32_t offset, bool call,
                       struct far_target *target, struct event *fault)
{
    uint64_t raw;
    uint32_t type;

    target->eip = offset;
    target->gate = false;
    target->params = 0;
    if (!protected_mode(vcpu)) {
        target->cs = segment_real(vcpu, SREG_CS, selector);
        return true;
    }
    if (is_null(selector))
        return raise_fault(fault, VEC_GP, 0);
    if (!read_descriptor(vcpu, selector, &raw, fault))
        return false;
    type = raw >> 40 & (SEG_S | SEG_TYPE);
    if (type == SYS_CALL_GATE16 || type == SYS_CALL_GATE32)
        return call_gate_target(vcpu, selector, raw, call, target, fault);
    return direct_code_segment(vcpu, selector, raw, &target->cs, fault);
}

/* The pointer in the instruction or in memory. */
static bool far_pointer(struct vcpu *vcpu, const struct insn *insn, uint16_t *selector,
                        uint32_t *offset, struct event *fault)
{
    unsigned size = insn->opsize;
    uint8_t p[6];

    if (insn->op == OP_CALL_FAR || insn->op == OP_JMP_FAR) {
        *selector = insn->imm2;
        *offset = insn->imm;
        return true;
    }
    if (!operand_read(vcpu, insn, p, size + 2, fault))
        return false;
    *offset = p[0] | p[1] << 8;
    if (size == 4)
        *offset |= (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    *selector = p[size] | p[size + 1] << 8;
    return true;
}

/* Push what a far CALL pushes, on the inner stack when the gate leads inwards. EIP is checked
 * against its limit after the stack against its own, and both before parameters are read (SDM vol.
 * 2, CALL). */
static bool call_push(struct vcpu *vcpu, const struct insn *insn, const struct far_target *target,
                      struct stack *stack, struct event *fault)
{
    uint32_t words[31 + 4], params[31];
    unsigned n = 0, level = seg_dpl(&target->cs);
    const bool inner = target->gate && !is_conforming(&target->cs) && level < vcpu_cpl(vcpu);
    struct stack from = *stack;

    if (inner && !stack_from_tss(vcpu, level, stack, fault))
        return false;
    if (!stack_room(vcpu, stack, inner ? 4 + target->params : 2, target->width, fault))
        return false;
    if (target->eip > target->cs.limit)
        return raise_fault(fault, VEC_GP, 0);
    if (inner) {
        words[n++] = vcpu->seg[SREG_SS].selector;
        words[n++] = vcpu->gpr[GPR_ESP];
        if (target->params && !stack_pop(vcpu, &from, params, target->params, target->width, fault))
            return false;
        for (unsigned i = target->params; i > 0; i--)
            words[n++] = params[i - 1];
    }
    words[n++] = vcpu->seg[SREG_CS].selector;
    words[n++] = next_eip(vcpu, insn);
    return stack_push(vcpu, stack, words, n, target->width, fault) &&
           (!protected_mode(vcpu) || segment_touch(vcpu, &stack->seg, fault));
}

static enum emu_result far_transfer(struct vcpu *vcpu, const struct insn *insn, struct exit *exit,
                                    bool call)
{
    struct event *fault = &exit->exception.event;
    struct stack stack = stack_current(vcpu);
    struct far_target target = {.width = insn->opsize};
    uint16_t selector;
    uint32_t offset;

    if (!far_pointer(vcpu, insn, &selector, &offset, fault) ||
        !far_target(vcpu, selector, offset, call, &target, fault))
        return emu_faulted(exit);
    if (call && !call_push(vcpu, insn, &target, &stack, fault))
        return emu_faulted(exit);
    if (target.eip > target.cs.limit)
        return emu_fault(exit, VEC_GP, 0);
    if (protected_mode(vcpu) && !segment_touch(vcpu, &target.cs, fault))
        return emu_faulted(exit);

    if (protected_mode(vcpu))
        target.cs.selector = (target.cs.selector & ~SEL_RPL) | stack.level;
    stack_commit(vcpu, &stack);
    segment_set(vcpu, SREG_CS, &target.cs);
    vcpu->eip = target.eip;
    vcpu->eflags &= ~FL_RF;
    vcpu->int_shadow = 0;
    return EMU_DONE;
}

enum emu_result emu_call_far(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    return far_transfer(vcpu, insn, exit, true);
}

enum emu_result emu_jmp_far(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    return far_transfer(vcpu, insn, exit, false);
}

/* --- SYSENTER and SYSEXIT: flat segments, whatever the tables say (SDM vol. 2B) --- */

static void set_flat(struct vcpu *vcpu, uint16_t selector, unsigned cpl)
{
    const uint32_t data =
        SEG_P | SEG_S | SEG_RW | SEG_ACCESSED | SEG_DB | SEG_G | cpl << SEG_DPL_SHIFT;
    const struct segment cs = {
        .selector = selector | cpl, .attr = data | SEG_CODE, .limit = 0xFFFFFFFF};
    const struct segment ss = {.selector = (selector + 8) | cpl, .attr = data, .limit = 0xFFFFFFFF};

    segment_set(vcpu, SREG_SS, &ss);
    segment_set(vcpu, SREG_CS, &cs);
}

enum emu_result emu_sysenter(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    const uint16_t selector = vcpu->sysenter_cs & 0xFFFC;

    (void)insn;
    if (!protected_mode(vcpu) || !selector)
        return emu_fault(exit, VEC_GP, 0);
    set_flat(vcpu, selector, 0);
    vcpu->eip = vcpu->sysenter_eip;
    vcpu->gpr[GPR_ESP] = vcpu->sysenter_esp;
    vcpu->eflags &= ~(FL_IF | FL_RF | FL_VM);
    vcpu->int_shadow = 0;
    return EMU_DONE;
}

enum emu_result emu_sysexit(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    const uint16_t selector = vcpu->sysenter_cs & 0xFFFC;

    (void)insn;
    if (!protected_mode(vcpu) || !selector || vcpu_cpl(vcpu) != 0)
        return emu_fault(exit, VEC_GP, 0);
    set_flat(vcpu, selector + 16, 3);
    vcpu->eip = vcpu->gpr[GPR_EDX];
    vcpu->gpr[GPR_ESP] = vcpu->gpr[GPR_ECX];
    vcpu->eflags &= ~FL_RF;
    vcpu->int_shadow = 0;
    return EMU_DONE;
}
