/*
 * Segment registers, descriptor-table registers, and the instructions that ask about descriptors.
 * Rules: each instruction's Operation section in SDM vol. 2; LAR, LSL, VERR, VERW also vol. 3A
 * section 5.10.
 */
#include "emulator.h"

/* --- questions about a descriptor: the answer is ZF, not a fault --- */

enum answer { ANSWER_NO, ANSWER_YES, ANSWER_FAULT };

/* Read the descriptor that a selector names, if it is one and the guest may see it. A page fault
 * on the table is a fault; everything else is "no". */
static enum answer visible_descriptor(struct vcpu *vcpu, uint16_t selector, uint64_t *raw,
                                      struct segment *seg, struct event *fault)
{
    unsigned dpl;

    if (is_null(selector))
        return ANSWER_NO;
    if (!read_descriptor(vcpu, selector, raw, fault))
        return fault->vector == VEC_PF ? ANSWER_FAULT : ANSWER_NO;
    *seg = descriptor_decode(selector, *raw);
    dpl = seg_dpl(seg);
    if (!is_conforming(seg) && (vcpu_cpl(vcpu) > dpl || (selector & SEL_RPL) > dpl))
        return ANSWER_NO;
    return ANSWER_YES;
}

static void set_zf(struct vcpu *vcpu, bool on)
{
    vcpu->eflags = on ? vcpu->eflags | FL_ZF : vcpu->eflags & ~FL_ZF;
}

/* System types that LAR and LSL know: SDM vol. 2, tables of LAR and LSL. */
static bool type_answers(const struct segment *seg, enum insn_op op)
{
    const uint32_t lsl = 1u << SYS_TSS16_AVAIL | 1u << SYS_LDT | 1u << SYS_TSS16_BUSY |
                         1u << SYS_TSS32_AVAIL | 1u << SYS_TSS32_BUSY;
    const uint32_t lar = lsl | 1u << SYS_CALL_GATE16 | 1u << SYS_TASK_GATE | 1u << SYS_CALL_GATE32;

    return (seg->attr & SEG_S) || ((op == OP_LAR ? lar : lsl) >> (seg->attr & SEG_TYPE) & 1);
}

enum emu_result emu_lar_lsl(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    struct event *fault = &exit->exception.event;
    struct segment seg;
    enum answer answer;
    uint16_t selector;
    uint64_t raw;

    if (!protected_mode(vcpu))
        return emu_fault(exit, VEC_UD, 0);
    if (!rm16_read(vcpu, insn, &selector, fault))
        return emu_faulted(exit);
    answer = visible_descriptor(vcpu, selector, &raw, &seg, fault);
    if (answer == ANSWER_FAULT)
        return emu_faulted(exit);
    if (answer == ANSWER_YES && type_answers(&seg, insn->op)) {
        /* LAR gives the second doubleword's access rights; bits 19:16 of it are undefined. */
        uint32_t value = insn->op == OP_LAR ? (uint32_t)(raw >> 32) & 0x00F0FF00 : seg.limit;

        gpr_write(vcpu, MODRM_REG(insn->modrm), insn->opsize, value);
        set_zf(vcpu, true);
    } else {
        set_zf(vcpu, false);
    }
    return emu_done(vcpu, insn);
}

enum emu_result emu_verr_verw(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    struct event *fault = &exit->exception.event;
    struct segment seg;
    enum answer answer;
    uint16_t selector;
    uint64_t raw;
    bool yes;

    if (!protected_mode(vcpu))
        return emu_fault(exit, VEC_UD, 0);
    if (!rm16_read(vcpu, insn, &selector, fault))
        return emu_faulted(exit);
    answer = visible_descriptor(vcpu, selector, &raw, &seg, fault);
    if (answer == ANSWER_FAULT)
        return emu_faulted(exit);
    yes = answer == ANSWER_YES && (seg.attr & SEG_S);
    if (yes && insn->op == OP_VERW)
        yes = is_writable_data(&seg);
    else if (yes)
        yes = !is_code(&seg) || (seg.attr & SEG_RW);
    set_zf(vcpu, yes);
    return emu_done(vcpu, insn);
}

/* The operand is read for writing: it is written back as it is when its RPL stays. */
enum emu_result emu_arpl(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    struct event *fault = &exit->exception.event;
    uint16_t selector, rpl = vcpu->gpr[MODRM_REG(insn->modrm)] & SEL_RPL;
    bool raised;

    if (!protected_mode(vcpu))
        return emu_fault(exit, VEC_UD, 0);
    if (!rm16_read_to_write(vcpu, insn, &selector, fault))
        return emu_faulted(exit);
    raised = (selector & SEL_RPL) < rpl;
    if (raised && !rm16_write(vcpu, insn, (selector & ~SEL_RPL) | rpl, false, fault))
        return emu_faulted(exit);
    set_zf(vcpu, raised);
    return emu_done(vcpu, insn);
}

/* --- segment registers --- */

enum emu_result emu_mov_from_sreg(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    uint16_t selector = vcpu->seg[MODRM_REG(insn->modrm)].selector;

    if (!rm16_write(vcpu, insn, selector, true, &exit->exception.event))
        return emu_faulted(exit);
    return emu_done(vcpu, insn);
}

/* Loading SS holds interrupts off until the next instruction has loaded ESP (SDM vol. 3A
 * section 6.8.3); LSS loads both and needs no shadow. */
static enum emu_result sreg_loaded(struct vcpu *vcpu, const struct insn *insn, enum sreg reg)
{
    emu_done(vcpu, insn);
    if (reg == SREG_SS)
        vcpu->int_shadow = SHADOW_MOV_SS;
    return EMU_DONE;
}

enum emu_result emu_mov_to_sreg(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    struct event *fault = &exit->exception.event;
    enum sreg reg = MODRM_REG(insn->modrm);
    uint16_t selector;

    if (reg == SREG_CS || reg > SREG_GS)
        return emu_fault(exit, VEC_UD, 0);
    if (!rm16_read(vcpu, insn, &selector, fault) || !load_segment(vcpu, reg, selector, fault))
        return emu_faulted(exit);
    return sreg_loaded(vcpu, insn, reg);
}

/* Opcodes 06 0E 16 1E and 0F A0/A1 A8/A9 carry the register in bits 5:3. */
static enum sreg opcode_sreg(const struct insn *insn)
{
    return insn->opcode >> 3 & 7;
}

enum emu_result emu_push_sreg(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    struct stack stack = stack_current(vcpu);
    uint32_t selector = vcpu->seg[opcode_sreg(insn)].selector;

    if (!stack_push(vcpu, &stack, &selector, 1, insn->opsize, &exit->exception.event))
        return emu_faulted(exit);
    stack_commit(vcpu, &stack);
    return emu_done(vcpu, insn);
}

enum emu_result emu_pop_sreg(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    struct event *fault = &exit->exception.event;
    struct stack stack = stack_current(vcpu);
    enum sreg reg = opcode_sreg(insn);
    uint32_t selector;

    if (!stack_pop(vcpu, &stack, &selector, 1, insn->opsize, fault) ||
        !load_segment(vcpu, reg, selector, fault))
        return emu_faulted(exit);
    vcpu->gpr[GPR_ESP] = stack.esp; /* as wide as the old stack: POP SS changes SS last */
    return sreg_loaded(vcpu, insn, reg);
}

static enum sreg far_sreg(enum insn_op op)
{
    switch (op) {
    case OP_LDS:
        return SREG_DS;
    case OP_LES:
        return SREG_ES;
    case OP_LSS:
        return SREG_SS;
    case OP_LFS:
        return SREG_FS;
    default:
        return SREG_GS;
    }
}

enum emu_result emu_load_far(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    struct event *fault = &exit->exception.event;
    unsigned size = insn->opsize;
    uint8_t p[6];
    uint32_t offset;

    if (MODRM_MOD(insn->modrm) == 3)
        return emu_fault(exit, VEC_UD, 0);
    if (!operand_read(vcpu, insn, p, size + 2, fault))
        return emu_faulted(exit);
    offset = p[0] | p[1] << 8;
    if (size == 4)
        offset |= (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    if (!load_segment(vcpu, far_sreg(insn->op), p[size] | p[size + 1] << 8, fault))
        return emu_faulted(exit);
    gpr_write(vcpu, MODRM_REG(insn->modrm), size, offset);
    return emu_done(vcpu, insn);
}

/* --- descriptor-table registers --- */

enum emu_result emu_lgdt_lidt(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    struct table_reg *table = insn->op == OP_LGDT ? &vcpu->gdtr : &vcpu->idtr;
    uint8_t p[6];

    if (MODRM_MOD(insn->modrm) == 3)
        return emu_fault(exit, VEC_UD, 0);
    if (vcpu_cpl(vcpu) != 0)
        return emu_fault(exit, VEC_GP, 0);
    if (!operand_read(vcpu, insn, p, sizeof(p), &exit->exception.event))
        return emu_faulted(exit);
    if (insn->opsize == 2)
        p[5] = 0; /* a 24-bit base, as on the 80286 */
    table->limit = p[0] | p[1] << 8;
    table->base = p[2] | p[3] << 8 | p[4] << 16 | (uint32_t)p[5] << 24;
    vcpu->dirty |= DIRTY_TABLE;
    return emu_done(vcpu, insn);
}

enum emu_result emu_sgdt_sidt(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    const struct table_reg *table = insn->op == OP_SGDT ? &vcpu->gdtr : &vcpu->idtr;
    uint32_t base = insn->opsize == 2 ? table->base & 0x00FFFFFF : table->base;
    uint8_t p[6] = {table->limit, table->limit >> 8, base, base >> 8, base >> 16, base >> 24};

    if (MODRM_MOD(insn->modrm) == 3)
        return emu_fault(exit, VEC_UD, 0);
    if (!operand_write(vcpu, insn, p, sizeof(p), &exit->exception.event))
        return emu_faulted(exit);
    return emu_done(vcpu, insn);
}

enum emu_result emu_lldt_ltr(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    struct event *fault = &exit->exception.event;
    enum sreg reg = insn->op == OP_LLDT ? SREG_LDTR : SREG_TR;
    uint16_t selector;

    if (!protected_mode(vcpu))
        return emu_fault(exit, VEC_UD, 0);
    if (vcpu_cpl(vcpu) != 0)
        return emu_fault(exit, VEC_GP, 0);
    if (!rm16_read(vcpu, insn, &selector, fault) || !load_segment(vcpu, reg, selector, fault))
        return emu_faulted(exit);
    return emu_done(vcpu, insn);
}

enum emu_result emu_sldt_str(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    uint16_t selector = vcpu->seg[insn->op == OP_SLDT ? SREG_LDTR : SREG_TR].selector;

    if (!protected_mode(vcpu))
        return emu_fault(exit, VEC_UD, 0);
    if (!rm16_write(vcpu, insn, selector, true, &exit->exception.event))
        return emu_faulted(exit);
    return emu_done(vcpu, insn);
}
