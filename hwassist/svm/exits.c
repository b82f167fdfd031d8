/* What the VMCB says about an exit, as a normalised exit. QEMU and old silicon give no next-RIP and
 * no decode assists: where the length or an operand matters, the instruction is decoded. */
#include "emulate.h"
#include "svm.h"
#include "vmm.h"
#include "x86.h"

/* IOIO: EXITINFO1, APM vol. 2 section 15.10.2. */
#define IO_IN 0x001u
#define IO_STRING 0x004u
#define IO_REP 0x008u
#define IO_SIZE_SHIFT 4
#define IO_ADDR16 0x080u
#define IO_SEGMENT_SHIFT 10

static void exit_kill(struct exit *exit, const char *reason)
{
    exit->reason = EXIT_KILL;
    exit->kill.reason = reason;
}

static void exit_undefined(struct exit *exit)
{
    exit->reason = EXIT_EXCEPTION;
    exit->exception.event = (struct event){.kind = EVENT_EXCEPTION, .vector = VEC_UD};
}

/* Decode at EIP; false: *exit is the fault of the fetch. */
static bool decode_here(struct vcpu *vcpu, struct insn *insn, struct exit *exit)
{
    svm_store(vcpu);
    if (!fetch_decode(vcpu, insn, exit))
        return false;
    exit->insn_len = insn->len;
    return true;
}

static void io_exit(struct vcpu *vcpu, const struct vmcb *vmcb, struct exit *exit)
{
    const uint32_t info = (uint32_t)vmcb->exit_info1;
    exit->reason = EXIT_IO;
    exit->insn_len = (uint8_t)(vmcb->exit_info2 - vmcb->rip); /* INFO2 is the next RIP */
    exit->io.port = (uint16_t)(info >> 16);
    exit->io.size = info >> IO_SIZE_SHIFT & 7;
    exit->io.in = info & IO_IN;
    exit->io.string = info & IO_STRING;
    exit->io.rep = info & IO_REP;
    if (!exit->io.string)
        return;
    struct insn insn;
    if (!decode_here(vcpu, &insn, exit))
        return;
    exit->io.addr_size = insn.adsize;
    exit->io.segment = insn.prefixes & PFX_SEG ? insn.seg_override : SREG_DS;
}

/* Only writes of CR4 are intercepted: our CPUID decides which bits are legal. */
static void cr_exit(struct vcpu *vcpu, struct exit *exit)
{
    struct insn insn;
    if (!decode_here(vcpu, &insn, exit))
        return;
    exit->reason = EXIT_CR;
    exit->cr.number = MODRM_REG(insn.modrm);
    exit->cr.write = true;
    exit->cr.has_value = false;
    exit->cr.gpr = MODRM_RM(insn.modrm);
}

static void plain_exit(struct vcpu *vcpu, struct exit *exit, enum exit_reason reason)
{
    struct insn insn;
    if (decode_here(vcpu, &insn, exit))
        exit->reason = reason;
}

void svm_classify(struct vcpu *vcpu, struct exit *exit)
{
    const struct vmcb *vmcb = svm_of(vcpu)->vmcb;
    const uint32_t code = (uint32_t)vmcb->exit_code;
    switch (code) {
    case VMEXIT_INTR:
        host_irq_poll();
        exit->reason = EXIT_HOST_IRQ;
        break;
    case VMEXIT_NMI:
        exit->reason = EXIT_NONE; /* the host's, and there is nothing to do about it */
        break;
    case VMEXIT_VINTR:
        exit->reason = EXIT_IRQ_WINDOW;
        break;
    case VMEXIT_IO:
        io_exit(vcpu, vmcb, exit);
        break;
    case VMEXIT_CPUID:
        plain_exit(vcpu, exit, EXIT_CPUID);
        break;
    case VMEXIT_HLT:
        plain_exit(vcpu, exit, EXIT_HLT);
        break;
    case VMEXIT_MSR:
        plain_exit(vcpu, exit, EXIT_MSR);
        exit->msr.write = vmcb->exit_info1 & 1;
        break;
    case VMEXIT_INVD:
    case VMEXIT_WBINVD:
        plain_exit(vcpu, exit, EXIT_CACHE);
        break;
    case VMEXIT_CR_WRITE + 4:
        cr_exit(vcpu, exit);
        break;
    case VMEXIT_VMMCALL:
        plain_exit(vcpu, exit, EXIT_HYPERCALL);
        break;
    case VMEXIT_NPF:
        svm_store(vcpu);
        exit->reason = EXIT_NESTED_FAULT;
        exit->fault.gpa = (gpa_t)vmcb->exit_info2;
        exit->fault.error = (uint32_t)vmcb->exit_info1;
        break;
    case VMEXIT_SHUTDOWN:
        exit->reason = EXIT_TRIPLE_FAULT;
        break;
    case VMEXIT_TASK_SWITCH:
        exit_kill(exit, "the guest switched tasks in hardware, which is not supported");
        break;
    case VMEXIT_INVALID: {
        const char *rule = svm_check(vmcb);
        exit->reason = EXIT_ENTRY_FAILED;
        exit->kill.reason = rule ? rule : "VMRUN refused the VMCB, and no known rule is broken";
        break;
    }
    default:
        /* What is left are instructions that our CPUID does not offer: SVM's own, MONITOR, ... */
        exit_undefined(exit);
    }
}
