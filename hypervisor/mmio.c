/*
 * Memory access to a guest physical hole, for modes that cannot let the instruction itself finish
 * it: reads give all ones, writes vanish, as on a bus where nobody answers. Only moves are
 * understood; anything else on a hole ends the guest with a reason.
 */
#include "emulate.h"
#include "host.h"
#include "vm_loop.h"
#include "x86.h"

/* Opcodes of moves between a register and memory (SDM vol. 2D appendix A). */
enum {
    LOAD8 = 0x8A,
    LOAD = 0x8B,
    STORE8 = 0x88,
    STORE = 0x89,
    STORE_IMM8 = 0xC6,
    STORE_IMM = 0xC7
};
enum { LOAD_AL = 0xA0, LOAD_EAX = 0xA1, STORE_AL = 0xA2, STORE_EAX = 0xA3 };
enum { MOVZX8 = 0xB6, MOVZX16 = 0xB7, MOVSX8 = 0xBE, MOVSX16 = 0xBF };

static bool complete(struct vcpu *vcpu, const struct insn *insn)
{
    const unsigned reg = MODRM_REG(insn->modrm), size = insn->opsize;
    if (insn->map == 1) {
        switch (insn->opcode) {
        case MOVZX8:
            gpr_write(vcpu, reg, size, 0xFF);
            return true;
        case MOVZX16:
            gpr_write(vcpu, reg, size, 0xFFFF);
            return true;
        case MOVSX8:
        case MOVSX16:
            gpr_write(vcpu, reg, size, 0xFFFFFFFFu);
            return true;
        }
        return false;
    }
    if (insn->map != 0)
        return false;
    switch (insn->opcode) {
    case LOAD8:
        gpr_write(vcpu, reg, 1, 0xFF);
        return true;
    case LOAD:
        gpr_write(vcpu, reg, size, 0xFFFFFFFFu);
        return true;
    case LOAD_AL:
        gpr_write(vcpu, GPR_EAX, 1, 0xFF);
        return true;
    case LOAD_EAX:
        gpr_write(vcpu, GPR_EAX, size, 0xFFFFFFFFu);
        return true;
    case STORE8:
    case STORE:
    case STORE_IMM8:
    case STORE_IMM:
    case STORE_AL:
    case STORE_EAX:
        return true;
    }
    return false;
}

void mmio_access(struct vcpu *vcpu, struct exit *exit)
{
    struct insn insn;
    struct exit fetch;
    const gpa_t gpa = exit->fault.gpa;
    vcpu->mode->sync(vcpu);
    if (!fetch_decode(vcpu, &insn, &fetch)) {
        vcpu->mode->inject(vcpu, &fetch.exception.event);
        return;
    }
    if (!complete(vcpu, &insn)) {
        vm_kill(vcpu->vm,
                "the instruction at EIP %08x (opcode %02x) uses guest physical address %08x, where "
                "there is no memory; only plain moves are supported there",
                vcpu->eip, insn.opcode, gpa);
        return;
    }
    vcpu->eip += insn.len;
    vcpu->eflags &= ~FL_RF;
    vcpu->int_shadow = 0;
}
