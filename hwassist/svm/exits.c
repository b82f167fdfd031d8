/* What the VMCB says about an exit, as a normalised exit. QEMU and old silicon give no next-RIP and
 * no decode assists: where the length or an operand matters, the instruction is decoded. */
#include "emulate.h"
#include "svm.h"
#include "vmm.h"
#include "x86.h"

static const uint8_t event_types[] = {[EVENT_IRQ] = EVENT_TYPE_INTR,
                                      [EVENT_NMI] = EVENT_TYPE_NMI,
                                      [EVENT_EXCEPTION] = EVENT_TYPE_EXCEPTION,
                                      [EVENT_SOFT_INT] = EVENT_TYPE_SOFT};

uint64_t svm_event_word(const struct event *event, bool protected_mode)
{
    uint64_t word =
        EVENT_VALID | event->vector | (uint64_t)event_types[event->kind] << EVENT_TYPE_SHIFT;
    if (event->has_error && protected_mode)
        word |= EVENT_HAS_ERROR | (uint64_t)event->error << 32;
    return word;
}

/* Was the exit a page fault at the gate of this vector? */
static bool at_gate(const struct vmcb *vmcb, uint8_t vector)
{
    return (uint32_t)vmcb->exit_code == VMEXIT_EXCEPTION + VEC_PF &&
           vmcb->exit_info2 - vmcb->seg[VS_IDTR].base - vector * 8u < 8;
}

/*
 * Bochs 2.7 does not say that a software interrupt was being delivered: it says again what it said
 * of the last event. So an instruction that is one is executed again, which also repeats the fault
 * that it may have had instead. What remains an event of its own there is one that was injected at
 * this place, unless the CPU was at the gate of the instruction's own vector; and the trap of a
 * single step.
 */
static bool left_over(struct vcpu *vcpu, const struct vmcb *vmcb)
{
    const struct svm *svm = svm_of(vcpu);
    const uint64_t word = vmcb->exit_int_info;
    const unsigned type = word >> EVENT_TYPE_SHIFT & 7;
    const bool injected = svm->injected != EVENT_NONE && svm->injected_at == vcpu->eip;
    struct insn insn;
    struct exit ignored;
    if (type == EVENT_TYPE_EXCEPTION && (uint8_t)word == VEC_DB && (vcpu->eflags & FL_TF))
        return false;
    svm_store_for_fetch(vcpu);
    if (!fetch_decode(vcpu, &insn, &ignored))
        return false;
    if (injected)
        return insn.op == OP_INTN && at_gate(vmcb, (uint8_t)insn.imm);
    return insn.op == OP_INTN || insn.op == OP_INT3 || insn.op == OP_INTO || insn.op == OP_INT1;
}

/* The event whose delivery the exit cut short is delivered again (APM vol. 2 section 15.7.2). A
 * software interrupt is not: EIP is still at the INT, which repeats it. */
static void keep_event(struct vcpu *vcpu, const struct vmcb *vmcb)
{
    const uint64_t word = vmcb->exit_int_info;
    if (left_over(vcpu, vmcb))
        return;
    for (int kind = EVENT_IRQ; kind <= EVENT_EXCEPTION; kind++) {
        if (event_types[kind] == (word >> EVENT_TYPE_SHIFT & 7))
            vcpu->pending = (struct event){.kind = (enum event_kind)kind,
                                           .vector = (uint8_t)word,
                                           .has_error = word & EVENT_HAS_ERROR,
                                           .error = (uint32_t)(word >> 32),
                                           .cr2 = (uint32_t)vmcb->cr2};
    }
}

static void exit_undefined(struct exit *exit)
{
    exit->reason = EXIT_EXCEPTION;
    exit->exception.event = (struct event){.kind = EVENT_EXCEPTION, .vector = VEC_UD};
}

/* Decode at EIP; false: *exit is the fault of the fetch. */
static bool decode_here(struct vcpu *vcpu, struct insn *insn, struct exit *exit)
{
    svm_store_for_fetch(vcpu);
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

static void undeliverable(struct exit *exit)
{
    exit_kill(exit, "an interrupt or exception could not be delivered: the IDT, the GDT, the TSS "
                    "or the stack is where the guest has no memory");
}

/* Memory that the guest has not touched before is mapped now; an event whose delivery touched it is
 * pending again. For a hole common code looks at the instruction at EIP to learn what it did to the
 * hole. When the processor itself made the access, delivering an event, there is no such
 * instruction. */
static void nested_fault(struct vcpu *vcpu, const struct vmcb *vmcb, struct exit *exit)
{
    const enum nested_result result =
        nested_fill(&svm_of(vcpu)->paging.map, vcpu->vm, (gpa_t)vmcb->exit_info2);
    if (result == NESTED_FILLED) {
        exit->reason = EXIT_NESTED_FILL;
        return;
    }
    if (result == NESTED_EXHAUSTED) {
        exit_kill(exit, "no memory is left for the nested page tables");
        return;
    }
    if (vmcb->exit_int_info & EVENT_VALID) {
        undeliverable(exit);
        return;
    }
    exit->reason = EXIT_NESTED_FAULT;
    exit->fault.gpa = (gpa_t)vmcb->exit_info2;
    exit->fault.error = (uint32_t)vmcb->exit_info1;
}

/* Writes of CR4 are intercepted because our CPUID decides which bits are legal; those of CR0, but
 * for TS and MP, because QEMU would let a guest set what VMRUN then refuses. */
static void cr_exit(struct vcpu *vcpu, struct exit *exit)
{
    struct insn insn;
    svm_store(vcpu);
    if (!fetch_decode(vcpu, &insn, exit))
        return;
    switch (emulate(vcpu, &insn, exit)) {
    case EMU_EXIT:
    case EMU_FAULT:
        break;
    case EMU_DONE:
        exit->reason = EXIT_NONE;
        break;
    case EMU_UNHANDLED:
        exit_undefined(exit);
        break;
    }
}

/* With shadow paging: the guest's page fault, or the shadow's. */
static void page_fault(struct vcpu *vcpu, const struct vmcb *vmcb, struct exit *exit)
{
    const struct event first = vcpu->pending;
    paging_fault(&svm_of(vcpu)->paging, first.kind == EVENT_NONE ? NULL : &first,
                 (gva_t)vmcb->exit_info2, (uint32_t)vmcb->exit_info1, exit);
    if (exit->reason == EXIT_NESTED_FAULT && (vmcb->exit_int_info & EVENT_VALID))
        undeliverable(exit);
    else if (exit->reason != EXIT_SHADOW_FILL)
        vcpu->pending.kind = EVENT_NONE;
}

/* Delivered by software, with the same result; it replaces the event that led to it. */
static void double_fault(struct vcpu *vcpu, struct exit *exit)
{
    const struct event event = {.kind = EVENT_EXCEPTION, .vector = VEC_DF, .has_error = true};
    svm_store(vcpu);
    vcpu->pending.kind = EVENT_NONE;
    exit->reason = deliver_event(vcpu, &event) ? EXIT_NONE : EXIT_TRIPLE_FAULT;
}

static void plain_exit(struct vcpu *vcpu, struct exit *exit, enum exit_reason reason)
{
    struct insn insn;
    if (!decode_here(vcpu, &insn, exit))
        return;
    svm_site_learn(vcpu); /* perhaps the next time there is a short way */
    exit->reason = reason;
}

void svm_classify(struct vcpu *vcpu, struct exit *exit)
{
    const struct vmcb *vmcb = svm_of(vcpu)->vmcb;
    if (vmcb->exit_int_info & EVENT_VALID)
        keep_event(vcpu, vmcb);
    switch ((uint32_t)vmcb->exit_code) {
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
        exit->msr.write = vmcb->exit_info1 & 1; /* first: a fault of the fetch takes its place */
        plain_exit(vcpu, exit, EXIT_MSR);
        break;
    case VMEXIT_INVD:
    case VMEXIT_WBINVD:
        plain_exit(vcpu, exit, EXIT_CACHE);
        break;
    case VMEXIT_CR_READ + 0:
    case VMEXIT_CR_READ + 3:
    case VMEXIT_CR_READ + 4:
    case VMEXIT_CR_WRITE + 0:
    case VMEXIT_CR_WRITE + 3:
    case VMEXIT_CR_WRITE + 4:
    case VMEXIT_CR0_SELECTIVE:
    case VMEXIT_DR_WRITE + 0:
    case VMEXIT_DR_WRITE + 1:
    case VMEXIT_DR_WRITE + 2:
    case VMEXIT_DR_WRITE + 3:
    case VMEXIT_DR_WRITE + 7:
    case VMEXIT_INVLPG:
        cr_exit(vcpu, exit);
        break;
    case VMEXIT_VMMCALL:
        plain_exit(vcpu, exit, EXIT_HYPERCALL);
        break;
    case VMEXIT_NPF:
        nested_fault(vcpu, vmcb, exit);
        break;
    case VMEXIT_EXCEPTION + VEC_PF:
        page_fault(vcpu, vmcb, exit);
        break;
    case VMEXIT_EXCEPTION + VEC_DF:
        double_fault(vcpu, exit);
        break;
    case VMEXIT_EXCEPTION + VEC_BP: /* these two only while there are breakpoints */
    case VMEXIT_SWINT:
        svm_software_int(vcpu, exit);
        break;
    case VMEXIT_SHUTDOWN:
        exit->reason = EXIT_TRIPLE_FAULT;
        break;
    case VMEXIT_TASK_SWITCH:
        exit_kill(exit, "the guest switched tasks in hardware, which is not supported");
        break;
    case VMEXIT_INVALID:
        exit->reason = EXIT_ENTRY_FAILED;
        exit->kill.reason = svm_refusal(vcpu);
        break;
    case VMEXIT_RDPMC: /* our CPUID offers no counter: each number is a wrong one */
        exit->reason = EXIT_EXCEPTION;
        exit->exception.event =
            (struct event){.kind = EVENT_EXCEPTION, .vector = VEC_GP, .has_error = true};
        break;
    default:
        /* What is left are instructions that our CPUID does not offer: SVM's own, MONITOR, ... */
        exit_undefined(exit);
    }
}
