/*
 * The emulator's dispatcher, and the instructions on flags, control registers and the rest that
 * needs no file of its own.
 *
 * Rules: each instruction's Operation section in SDM vol. 2. Virtual-8086 mode, PVI and UMIP are
 * not offered to guests, so their branches do not exist here. #AC is never raised.
 */
#include "emulator.h"

uint32_t next_eip(const struct vcpu *vcpu, const struct insn *insn)
{
    return vcpu->eip + insn->len;
}

enum emu_result emu_done(struct vcpu *vcpu, const struct insn *insn)
{
    vcpu->eip = next_eip(vcpu, insn);
    vcpu->eflags &= ~FL_RF;
    vcpu->int_shadow = 0;
    return EMU_DONE;
}

enum emu_result emu_faulted(struct exit *exit)
{
    exit->reason = EXIT_EXCEPTION;
    exit->insn_len = 0;
    return EMU_FAULT;
}

enum emu_result emu_fault(struct exit *exit, uint8_t vector, uint32_t error)
{
    raise_fault(&exit->exception.event, vector, error);
    return emu_faulted(exit);
}

enum emu_result emu_exit(struct exit *exit, const struct insn *insn, enum exit_reason reason)
{
    exit->reason = reason;
    exit->insn_len = insn->len;
    return EMU_EXIT;
}

/* --- flags --- */

static bool io_privileged(const struct vcpu *vcpu)
{
    return vcpu_cpl(vcpu) <= (vcpu->eflags & FL_IOPL) >> FL_IOPL_SHIFT;
}

static enum emu_result emu_cli_sti(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    bool was_on = vcpu->eflags & FL_IF;

    if (!io_privileged(vcpu))
        return emu_fault(exit, VEC_GP, 0);
    emu_done(vcpu, insn);
    if (insn->op == OP_CLI) {
        vcpu->eflags &= ~FL_IF;
    } else {
        vcpu->eflags |= FL_IF;
        if (!was_on)
            vcpu->int_shadow = SHADOW_STI;
    }
    return EMU_DONE;
}

static enum emu_result emu_pushf(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    struct stack stack = stack_current(vcpu);
    uint32_t image = vcpu->eflags & ~(FL_VM | FL_RF);

    if (!stack_push(vcpu, &stack, &image, 1, insn->opsize, &exit->exception.event))
        return emu_faulted(exit);
    stack_commit(vcpu, &stack);
    return emu_done(vcpu, insn);
}

static enum emu_result emu_popf(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    struct stack stack = stack_current(vcpu);
    uint32_t mask = FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_TF | FL_DF | FL_OF | FL_NT, image;

    if (!stack_pop(vcpu, &stack, &image, 1, insn->opsize, &exit->exception.event))
        return emu_faulted(exit);
    if (insn->opsize == 4)
        mask |= FL_AC | FL_ID;
    if (io_privileged(vcpu))
        mask |= FL_IF;
    if (vcpu_cpl(vcpu) == 0)
        mask |= FL_IOPL;
    vcpu->eflags = (vcpu->eflags & ~mask) | (image & mask);
    stack_commit(vcpu, &stack);
    return emu_done(vcpu, insn);
}

/* --- control and debug registers --- */

static enum emu_result emu_mov_cr(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    unsigned number = MODRM_REG(insn->modrm);

    if (number == 1 || number > 4)
        return emu_fault(exit, VEC_UD, 0);
    if (vcpu_cpl(vcpu) != 0)
        return emu_fault(exit, VEC_GP, 0);
    exit->cr.number = number;
    exit->cr.write = insn->op == OP_MOV_TO_CR;
    exit->cr.has_value = false;
    exit->cr.gpr = MODRM_RM(insn->modrm);
    return emu_exit(exit, insn, EXIT_CR);
}

static enum emu_result emu_mov_dr(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    unsigned number = MODRM_REG(insn->modrm);

    if ((number == 4 || number == 5) && (vcpu->cr4 & CR4_DE))
        return emu_fault(exit, VEC_UD, 0);
    if (vcpu_cpl(vcpu) != 0)
        return emu_fault(exit, VEC_GP, 0);
    exit->cr.number = number;
    exit->cr.write = insn->op == OP_MOV_TO_DR;
    exit->cr.has_value = false;
    exit->cr.gpr = MODRM_RM(insn->modrm);
    return emu_exit(exit, insn, EXIT_DR);
}

static enum emu_result write_cr0(struct exit *exit, const struct insn *insn, uint32_t value)
{
    exit->cr.number = 0;
    exit->cr.write = true;
    exit->cr.has_value = true;
    exit->cr.value = value;
    return emu_exit(exit, insn, EXIT_CR);
}

static enum emu_result emu_clts(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    if (vcpu_cpl(vcpu) != 0)
        return emu_fault(exit, VEC_GP, 0);
    return write_cr0(exit, insn, vcpu->cr0 & ~CR0_TS);
}

/* LMSW reaches PE, MP, EM and TS only, and cannot clear PE. */
static enum emu_result emu_lmsw(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    const uint32_t reach = CR0_MP | CR0_EM | CR0_TS;
    uint16_t value;

    if (vcpu_cpl(vcpu) != 0)
        return emu_fault(exit, VEC_GP, 0);
    if (!rm16_read(vcpu, insn, &value, &exit->exception.event))
        return emu_faulted(exit);
    return write_cr0(exit, insn, (vcpu->cr0 & ~reach) | (value & (reach | CR0_PE)));
}

static enum emu_result emu_smsw(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    if (!rm16_write(vcpu, insn, vcpu->cr0, true, &exit->exception.event))
        return emu_faulted(exit);
    return emu_done(vcpu, insn);
}

#define CR0_DEFINED                                                                                \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)
/* What the guest's CPUID offers. */
#define CR4_ALLOWED (CR4_TSD | CR4_DE | CR4_PSE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT)

bool vcpu_write_cr(struct vcpu *vcpu, unsigned number, uint32_t value, struct event *fault)
{
    switch (number) {
    case 0:
        if ((value & (CR0_PG | CR0_PE)) == CR0_PG || (value & (CR0_NW | CR0_CD)) == CR0_NW)
            return raise_fault(fault, VEC_GP, 0);
        vcpu->cr0 = (value & CR0_DEFINED) | CR0_ET;
        break;
    case 2:
        vcpu->cr2 = value;
        vcpu->dirty |= DIRTY_CR2;
        return true;
    case 3:
        vcpu->cr3 = value;
        break;
    case 4:
        if (value & ~CR4_ALLOWED)
            return raise_fault(fault, VEC_GP, 0);
        vcpu->cr4 = value;
        break;
    default:
        return raise_fault(fault, VEC_UD, 0);
    }
    vcpu->dirty |= DIRTY_CR;
    return true;
}

/* --- the rest --- */

/* Privileged, and all the work is common code's. */
static enum emu_result emu_privileged(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    enum sreg seg;

    if (vcpu_cpl(vcpu) != 0)
        return emu_fault(exit, VEC_GP, 0);
    switch (insn->op) {
    case OP_HLT:
        return emu_exit(exit, insn, EXIT_HLT);
    case OP_INVLPG:
        exit->invlpg.gva = insn_operand_gva(vcpu, insn, &seg);
        return emu_exit(exit, insn, EXIT_INVLPG);
    case OP_RDMSR:
    case OP_WRMSR:
        exit->msr.write = insn->op == OP_WRMSR;
        return emu_exit(exit, insn, EXIT_MSR);
    default:
        return emu_exit(exit, insn, EXIT_CACHE);
    }
}

static enum emu_result emu_rdtsc(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    if ((vcpu->cr4 & CR4_TSD) && vcpu_cpl(vcpu) != 0)
        return emu_fault(exit, VEC_GP, 0);
    return emu_exit(exit, insn, EXIT_TSC);
}

static enum emu_result emu_cpuid(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    (void)vcpu;
    return emu_exit(exit, insn, EXIT_CPUID);
}

/* There are no performance counters; #GP is what an ECX outside of their number gives. */
static enum emu_result emu_rdpmc(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    (void)vcpu;
    (void)insn;
    return emu_fault(exit, VEC_GP, 0);
}

/* Instructions that the guest's CPUID does not offer. */
static enum emu_result emu_undefined(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    (void)vcpu;
    (void)insn;
    return emu_fault(exit, VEC_UD, 0);
}

/* Absent: OP_OTHER, and the VMX and SVM instructions, whose meaning is the mode's own. */
static emu_handler *const handlers[OP_COUNT] = {
    [OP_CLI] = emu_cli_sti,
    [OP_STI] = emu_cli_sti,
    [OP_HLT] = emu_privileged,
    [OP_PUSHF] = emu_pushf,
    [OP_POPF] = emu_popf,
    [OP_IRET] = emu_iret,
    [OP_IN] = emu_in_out,
    [OP_OUT] = emu_in_out,
    [OP_INS] = emu_ins_outs,
    [OP_OUTS] = emu_ins_outs,
    [OP_INT3] = emu_int,
    [OP_INTN] = emu_int,
    [OP_INTO] = emu_int,
    [OP_INT1] = emu_int,
    [OP_MOV_FROM_CR] = emu_mov_cr,
    [OP_MOV_TO_CR] = emu_mov_cr,
    [OP_MOV_FROM_DR] = emu_mov_dr,
    [OP_MOV_TO_DR] = emu_mov_dr,
    [OP_CLTS] = emu_clts,
    [OP_LMSW] = emu_lmsw,
    [OP_SMSW] = emu_smsw,
    [OP_LGDT] = emu_lgdt_lidt,
    [OP_LIDT] = emu_lgdt_lidt,
    [OP_SGDT] = emu_sgdt_sidt,
    [OP_SIDT] = emu_sgdt_sidt,
    [OP_LLDT] = emu_lldt_ltr,
    [OP_SLDT] = emu_sldt_str,
    [OP_LTR] = emu_lldt_ltr,
    [OP_STR] = emu_sldt_str,
    [OP_INVLPG] = emu_privileged,
    [OP_INVD] = emu_privileged,
    [OP_WBINVD] = emu_privileged,
    [OP_RDMSR] = emu_privileged,
    [OP_WRMSR] = emu_privileged,
    [OP_RDTSC] = emu_rdtsc,
    [OP_RDTSCP] = emu_undefined,
    [OP_RDPMC] = emu_rdpmc,
    [OP_CPUID] = emu_cpuid,
    [OP_LAR] = emu_lar_lsl,
    [OP_LSL] = emu_lar_lsl,
    [OP_VERR] = emu_verr_verw,
    [OP_VERW] = emu_verr_verw,
    [OP_ARPL] = emu_arpl,
    [OP_MOV_FROM_SREG] = emu_mov_from_sreg,
    [OP_MOV_TO_SREG] = emu_mov_to_sreg,
    [OP_PUSH_SREG] = emu_push_sreg,
    [OP_POP_SREG] = emu_pop_sreg,
    [OP_LDS] = emu_load_far,
    [OP_LES] = emu_load_far,
    [OP_LSS] = emu_load_far,
    [OP_LFS] = emu_load_far,
    [OP_LGS] = emu_load_far,
    [OP_CALL_FAR] = emu_call_far,
    [OP_JMP_FAR] = emu_jmp_far,
    [OP_CALL_FAR_MEM] = emu_call_far,
    [OP_JMP_FAR_MEM] = emu_jmp_far,
    [OP_RET_FAR] = emu_ret_far,
    [OP_SYSENTER] = emu_sysenter,
    [OP_SYSEXIT] = emu_sysexit,
    [OP_XSETBV] = emu_undefined,
    [OP_MONITOR] = emu_undefined,
    [OP_MWAIT] = emu_undefined,
};

bool traps_when_stepped(const struct vcpu *vcpu, bool interrupt)
{
    if (interrupt && !(vcpu->eflags & FL_TF))
        return false;
    return vcpu->int_shadow != SHADOW_MOV_SS;
}

enum emu_result emulate(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    emu_handler *handler = handlers[insn->op];

    return handler ? handler(vcpu, insn, exit) : EMU_UNHANDLED;
}
