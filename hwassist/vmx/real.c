/*
 * Real mode on a CPU without unrestricted guest, where VM entry wants CR0.PE set (SDM vol. 3C
 * section 26.3.1.1). Real-mode code runs as a task in virtual-8086 mode (vol. 3B section 20.2): its
 * segments and its 16-bit code are those of real mode. What differs faults there, because IOPL is
 * 0, and the emulator does it: CLI, STI, PUSHF, POPF, INT n, IRET, HLT, ports, control registers.
 * All exceptions exit, and events are delivered in software, through the guest's vector table.
 *
 * On the way to and from protected mode there are states that are neither. CS:EIP is all that
 * matters then: the emulator executes what it knows (segment loads, far jumps, control registers),
 * and an instruction that touches no memory is stepped on the CPU, whose data segments do not
 * matter to it. Anything else, such as memory beyond 64 KB with real mode's long limits left from
 * protected mode, ends the guest with a reason.
 */
#include "cpu.h"
#include "emulate.h"
#include "vmcs.h"
#include "vmm.h"
#include "vmx.h"
#include "x86.h"

#define V86_LIMIT 0xFFFFu

static bool like_v86(const struct segment *s)
{
    return s->base == (uint32_t)s->selector << 4 && s->limit == V86_LIMIT && !(s->attr & SEG_DB);
}

/* Code that another selector would reach, too: left from protected mode, until a far jump. */
static bool code_in_reach(const struct segment *s)
{
    return !(s->base & 15) && s->base <= V86_LIMIT << 4 && s->limit >= V86_LIMIT &&
           !(s->attr & SEG_DB);
}

/* Section 26.3.1.2 for a guest that is not unrestricted: only what protected mode as such leaves
 * open. The rest holds for what the guest has loaded. */
static bool acceptable(const struct vcpu *vcpu)
{
    const struct segment *seg = vcpu->seg;
    const unsigned cpl = vcpu_cpl(vcpu);
    if ((seg[SREG_CS].selector & SEL_RPL) != cpl || (seg[SREG_SS].selector & SEL_RPL) != cpl ||
        (seg[SREG_CS].attr & (SEG_CODE | SEG_UNUSABLE)) != SEG_CODE)
        return false;
    for (enum sreg reg = SREG_ES; reg <= SREG_GS; reg++) {
        const unsigned dpl = (seg[reg].attr & SEG_DPL) >> SEG_DPL_SHIFT;
        const bool conforming = (seg[reg].attr & (SEG_CODE | SEG_CE)) == (SEG_CODE | SEG_CE);
        if (reg != SREG_CS && !(seg[reg].attr & SEG_UNUSABLE) && !conforming &&
            dpl < (seg[reg].selector & SEL_RPL))
            return false;
    }
    return true;
}

void vmx_choose_form(struct vcpu *vcpu)
{
    struct vmx *vmx = vmx_of(vcpu);
    if (vcpu->cr0 & CR0_PE) {
        vmx->form = acceptable(vcpu) ? FORM_PLAIN : FORM_NONE;
        return;
    }
    vmx->form = like_v86(&vcpu->seg[SREG_CS])        ? FORM_V86
                : code_in_reach(&vcpu->seg[SREG_CS]) ? FORM_V86_STEP
                                                     : FORM_NONE;
    for (enum sreg reg = SREG_ES; reg <= SREG_GS && vmx->form == FORM_V86; reg++) {
        if (!like_v86(&vcpu->seg[reg]))
            vmx->form = FORM_V86_STEP;
    }
}

uint32_t vmx_flags_in(const struct vmx *vmx, uint32_t eflags)
{
    if (!vmx_in_real_form(vmx))
        return eflags;
    return (eflags & ~FL_IOPL) | FL_VM | (vmx->form == FORM_V86_STEP ? FL_TF : 0);
}

uint32_t vmx_flags_out(const struct vmx *vmx, uint32_t before, uint32_t eflags)
{
    if (!vmx_in_real_form(vmx))
        return eflags;
    const uint32_t kept = FL_IOPL | FL_VM | (vmx->form == FORM_V86_STEP ? FL_TF : 0);
    return (eflags & ~kept) | (before & kept);
}

static void raise_debug(struct vcpu *vcpu, uint32_t dr6, struct exit *exit)
{
    vcpu->dr[6] |= dr6;
    vcpu->dr[7] &= ~DR7_GD; /* an injected #DB does not do that by itself */
    vcpu->dirty |= DIRTY_DR;
    exit->reason = EXIT_EXCEPTION;
    exit->exception.event = (struct event){.kind = EVENT_EXCEPTION, .vector = VEC_DB};
}

static bool is_interrupt(const struct insn *insn)
{
    return insn->op == OP_INTN || insn->op == OP_INTO || insn->op == OP_INT3;
}

/* Execute one instruction in the emulator. False: it does not know it, and nothing was done. */
static bool emulate_one(struct vcpu *vcpu, struct insn *insn, struct exit *exit)
{
    const bool single_step = vcpu->eflags & FL_TF;
    if (!fetch_decode(vcpu, insn, exit))
        return true;
    switch (emulate(vcpu, insn, exit)) {
    case EMU_DONE:
        exit->reason = EXIT_NONE;
        vmx_of(vcpu)->exit_eip = vcpu->eip; /* no step is due for having moved on */
        if (single_step && traps_when_stepped(vcpu, is_interrupt(insn)))
            raise_debug(vcpu, DR6_BS, exit);
        break;
    case EMU_EXIT:
    case EMU_FAULT:
        break;
    case EMU_UNHANDLED:
        return false;
    }
    return true;
}

/* One-byte opcodes that use memory without a ModRM byte, or the stack: bit n of word n / 32. */
static const uint32_t implicit_memory[8] = {
    0xC0C0C0C0, /* 06 07 0E 0F, 16 17 1E 1F: segment registers on the stack (the emulator's) */
    0,
    0xFFFF0000,                                          /* 50 to 5F: PUSH, POP */
    1u << 0 | 1u << 1 | 1u << 8 | 1u << 10 | 0xFu << 12, /* PUSHA POPA PUSH imm INS OUTS */
    1u << 26 | 1u << 28 | 1u << 29,                      /* CALL far, PUSHF, POPF */
    0x0000FCFF,                                          /* MOV moffs, string instructions */
    1u << 2 | 1u << 3 | 0xFF00 | 1u << 23,               /* RET, ENTER LEAVE RETF INT IRET, XLAT */
    1u << 8,                                             /* CALL near */
};

static bool touches_memory(const struct insn *insn)
{
    if (insn->has_modrm) {
        const bool stack = insn->map == 0 && insn->opcode == 0xFF && MODRM_REG(insn->modrm) >= 2 &&
                           MODRM_REG(insn->modrm) != 4;
        return MODRM_MOD(insn->modrm) != 3 || stack;
    }
    return insn->map == 0 && implicit_memory[insn->opcode >> 5] >> (insn->opcode & 31) & 1;
}

/* The next instruction begins in a state that VM entry does not accept, or in one where only
 * instructions without memory operands can run. */
static bool pass_over(struct vcpu *vcpu, struct exit *exit)
{
    struct insn insn;
    if (emulate_one(vcpu, &insn, exit))
        return false;
    if (vmx_of(vcpu)->form == FORM_V86_STEP && !touches_memory(&insn))
        return true;
    exit->reason = EXIT_KILL;
    exit->kill.reason =
        "this CPU has no unrestricted guest, and the guest executes an instruction between real "
        "and protected mode, or with segments that are neither's, that the VMM cannot do for it";
    return false;
}

bool vmx_prepare_real(struct vcpu *vcpu, struct exit *exit)
{
    struct vmx *vmx = vmx_of(vcpu);
    if (vcpu->pending.kind != EVENT_NONE) {
        const struct event event = vcpu->pending;
        vcpu->pending.kind = EVENT_NONE;
        vmx_store(vcpu);
        exit->reason = deliver_event(vcpu, &event) ? EXIT_NONE : EXIT_TRIPLE_FAULT;
        vmcs_write(VMCS_GUEST_PENDING_DEBUG, 0); /* a step that an exit has saved is over */
        return false;
    }
    if (vmx->form == FORM_V86)
        return true;
    vmx_store(vcpu);
    if ((vcpu->eflags & FL_TF) && vcpu->eip != vmx->exit_eip) {
        vmx->exit_eip = vcpu->eip;
        raise_debug(vcpu, DR6_BS, exit);
        return false;
    }
    return pass_over(vcpu, exit);
}

/* The guest's own single step, or the end of ours. */
static void step(struct vcpu *vcpu, struct exit *exit)
{
    const uint32_t dr6 = vmcs_read(VMCS_QUALIFICATION) & (DR6_BREAKPOINTS | DR6_BD | DR6_BS);
    exit->reason = EXIT_NONE;
    if (vmx_of(vcpu)->form == FORM_V86_STEP && !(vcpu->eflags & FL_TF) && dr6 == DR6_BS)
        return;
    vmx_store(vcpu);
    raise_debug(vcpu, dr6, exit);
}

void vmx_real_exception(struct vcpu *vcpu, uint32_t info, struct exit *exit)
{
    const uint8_t vector = info & INFO_VECTOR;
    struct insn insn;
    exit->insn_len = 0;
    if (vector == VEC_DB && INFO_TYPE(info) != INFO_PRIVILEGED_SOFT) {
        step(vcpu, exit);
        return;
    }
    vmx_store(vcpu);
    if (vector == VEC_GP && emulate_one(vcpu, &insn, exit))
        return;
    exit->reason = EXIT_EXCEPTION;
    exit->exception.event = (struct event){.kind = EVENT_EXCEPTION, .vector = vector};
    if (INFO_TYPE(info) == INFO_SOFT_EXCEPTION)
        exit->exception.event.kind = EVENT_SOFT_INT;
    if (INFO_TYPE(info) >= INFO_PRIVILEGED_SOFT) /* INT1, INT3, INTO: behind the instruction */
        vcpu->eip += vmcs_read(VMCS_INSTRUCTION_LENGTH);
}
