/* What the exit-information fields say, as a normalised exit (SDM vol. 3C section 27.2). Reads only
 * the fields that the reason needs. */
#include "cpu.h"
#include "emulate.h"
#include "vmcs.h"
#include "vmm.h"
#include "vmx.h"
#include "x86.h"

static void exit_exception(struct exit *exit, uint8_t vector)
{
    exit->reason = EXIT_EXCEPTION;
    exit->exception.event =
        (struct event){.kind = EVENT_EXCEPTION, .vector = vector, .has_error = vector == VEC_GP};
}

/* An exit whose control was never set: the CPU forces it on, or we know too little of it. */
static void exit_unexpected(struct exit *exit, enum vmx_reason reason)
{
    static char text[120];
    const char *what = "a reason unknown to this VMM";
    switch (reason) {
#define X(name, number, meaning)                                                                   \
    case VMX_##name:                                                                               \
        what = meaning;                                                                            \
        break;
        VMX_REASONS(X)
#undef X
    }
    ksnprintf(text, sizeof(text), "VM exit %u, which was not asked for: %s", reason, what);
    exit_kill(exit, text);
}

static void entry_failed(struct vcpu *vcpu, struct exit *exit, enum vmx_reason reason)
{
    exit->reason = EXIT_ENTRY_FAILED;
    exit->kill.reason = "VM entry failed for another reason than the guest's state";
    if (reason == VMX_BAD_GUEST_STATE)
        exit->kill.reason = vmx_refusal(
            vmx_of(vcpu), "VM entry refused the guest state, and no known rule is broken");
}

/*
 * The exit came while an event was being delivered: it is pending again (section 27.2.4). For the
 * software ones the canonical EIP is behind the instruction.
 */
static bool take_event_back(struct vcpu *vcpu)
{
    const uint32_t info = vmcs_read(VMCS_IDT_EVENT);
    if (!(info & INFO_VALID))
        return false;
    vcpu->pending = vmx_event_decode(info, vmcs_read(VMCS_IDT_EVENT_ERROR));
    vcpu->pending.cr2 = read_cr2();
    if (INFO_TYPE(info) >= INFO_SOFT_INT)
        vcpu->eip += vmcs_read(VMCS_INSTRUCTION_LENGTH);
    return true;
}

/* The stack, the IDT, the GDT or the TSS is where the guest has no memory. The hardware would fail
 * for ever; the delivery in software reads ones there and loses what it writes, as a bus does. */
static void deliver_by_hand(struct vcpu *vcpu, struct exit *exit)
{
    const struct event event = vcpu->pending;
    vcpu->pending.kind = EVENT_NONE;
    vmx_store(vcpu);
    vcpu->int_shadow = 0;
    vmcs_write(VMCS_GUEST_PENDING_DEBUG, 0);
    exit->reason = deliver_event(vcpu, &event) ? EXIT_NONE : EXIT_TRIPLE_FAULT;
}

static void ept_violation(struct vcpu *vcpu, struct exit *exit)
{
    const uint32_t q = vmcs_read(VMCS_QUALIFICATION);
    const gpa_t gpa = (gpa_t)vmcs_read64(VMCS_GUEST_PHYSICAL);
    const bool delivering = take_event_back(vcpu);
    const enum nested_result result = nested_fill(&vmx_of(vcpu)->paging.map, vcpu->vm, gpa);
    if (result == NESTED_FILLED) { /* an event is delivered again, and the stack is there now */
        exit->reason = EXIT_NESTED_FILL;
        return;
    }
    if (result == NESTED_EXHAUSTED) {
        exit_kill(exit, "no memory is left for the nested page tables");
        return;
    }
    if (delivering) {
        deliver_by_hand(vcpu, exit);
        return;
    }
    if ((q & EPT_LINEAR_VALID) && !(q & EPT_FINAL_ACCESS)) {
        exit_kill(exit, "the guest's page tables are where it has no memory");
        return;
    }
    exit->reason = EXIT_NESTED_FAULT;
    exit->fault.gpa = gpa;
    exit->fault.gva = q & EPT_LINEAR_VALID ? vmcs_read(VMCS_GUEST_LINEAR) : 0;
    exit->fault.error = vmx_decode_access(q);
}

/* The CPU does not tell what INS or OUTS uses. */
static void decode_string(struct vcpu *vcpu, struct exit *exit)
{
    struct insn insn;
    if (!fetch_decode(vcpu, &insn, exit))
        return;
    exit->io.addr_size = insn.adsize;
    exit->io.segment = insn.prefixes & PFX_SEG ? insn.seg_override : SREG_DS;
}

/* With shadow paging (section 27.2.1: the qualification is the address): the guest's page fault, or
 * the shadow's. */
static void page_fault(struct vcpu *vcpu, struct exit *exit)
{
    const uint32_t eip = vcpu->eip;
    const bool delivering = take_event_back(vcpu);
    const struct event first = vcpu->pending;
    paging_fault(&vmx_of(vcpu)->paging, delivering ? &first : NULL, vmcs_read(VMCS_QUALIFICATION),
                 vmcs_read(VMCS_EXIT_EVENT_ERROR), exit);
    if (!delivering || exit->reason == EXIT_SHADOW_FILL)
        return;
    if (exit->reason == EXIT_NESTED_FAULT) {
        deliver_by_hand(vcpu, exit);
        return;
    }
    vcpu->pending.kind = EVENT_NONE;
    vcpu->eip = eip; /* the fault is one of INT n itself */
}

static void exception(struct vcpu *vcpu, struct exit *exit)
{
    const uint32_t info = vmcs_read(VMCS_EXIT_EVENT);
    if (INFO_TYPE(info) == INFO_NMI) {
        __asm__ volatile("int $2"); /* the host's */
        exit->reason = EXIT_NONE;
    } else if ((info & INFO_VECTOR) == VEC_PF && vmx_of(vcpu)->paging.shadowed) {
        page_fault(vcpu, exit);
    } else if (vmx_of(vcpu)->stepping) {
        vmx_step_exception(vcpu, info, exit);
    } else if ((info & INFO_VECTOR) == VEC_BP && vmx_of(vcpu)->breakpoints) {
        vmx_int3(vcpu, exit);
    } else {
        vmx_real_exception(vcpu, info, exit);
    }
}

/* Exits at an instruction that the guest has not executed: all but EPT violations. */
static void instruction_exit(struct vcpu *vcpu, struct exit *exit, enum vmx_reason reason)
{
    uint32_t q;
    exit->insn_len = (uint8_t)vmcs_read(VMCS_INSTRUCTION_LENGTH);
    switch (reason) {
    case VMX_IO:
        vmx_decode_io(vmcs_read(VMCS_QUALIFICATION), exit);
        if (!exit->io.string)
            break;
        vmx_store(vcpu); /* the memory operand goes through the guest's segments and tables */
        if (vmx_of(vcpu)->controls.string_info)
            vmx_decode_string(vmcs_read(VMCS_INSTRUCTION_INFO), exit);
        else
            decode_string(vcpu, exit);
        break;
    case VMX_CPUID:
        exit->reason = EXIT_CPUID;
        break;
    case VMX_HLT:
        exit->reason = EXIT_HLT;
        break;
    case VMX_CR:
        q = vmcs_read(VMCS_QUALIFICATION);
        vmx_store(vcpu);
        vmx_decode_cr(q, vcpu->cr0, exit);
        break;
    case VMX_RDMSR:
    case VMX_WRMSR:
        exit->reason = EXIT_MSR;
        exit->msr.write = reason == VMX_WRMSR;
        break;
    case VMX_VMCALL:
        exit->reason = EXIT_HYPERCALL;
        break;
    case VMX_INVLPG:
        exit->reason = EXIT_INVLPG;
        exit->invlpg.gva = vmcs_read(VMCS_QUALIFICATION);
        break;
    case VMX_INVD:
    case VMX_WBINVD:
        exit->reason = EXIT_CACHE;
        break;
    case VMX_RDPMC: /* our CPUID offers no counter: each number is a wrong one */
        exit_exception(exit, VEC_GP);
        break;
    case VMX_GETSEC:
    case VMX_VMCLEAR:
    case VMX_VMLAUNCH:
    case VMX_VMPTRLD:
    case VMX_VMPTRST:
    case VMX_VMREAD:
    case VMX_VMRESUME:
    case VMX_VMWRITE:
    case VMX_VMXOFF:
    case VMX_VMXON:
    case VMX_MWAIT:
    case VMX_MONITOR:
    case VMX_INVEPT:
    case VMX_INVVPID:
    case VMX_XSETBV: /* our CPUID offers none of these */
        exit_exception(exit, VEC_UD);
        break;
    default:
        exit_unexpected(exit, reason);
    }
}

void vmx_classify(struct vcpu *vcpu, struct exit *exit)
{
    const uint32_t raw = vmcs_read(VMCS_EXIT_REASON);
    const enum vmx_reason reason = raw & VMX_REASON_BASIC;
    if (raw & VMX_ENTRY_FAILED) {
        entry_failed(vcpu, exit, reason);
        return;
    }
    exit->insn_len = 0;
    switch (reason) {
    case VMX_EXTERNAL_INTERRUPT: /* it still waits: we do not acknowledge on exit */
    case VMX_PREEMPTION_TIMER:
        host_irq_poll();
        exit->reason = EXIT_HOST_IRQ;
        break;
    case VMX_EXCEPTION:
        exception(vcpu, exit);
        break;
    case VMX_INTERRUPT_WINDOW:
        exit->reason = EXIT_IRQ_WINDOW;
        break;
    case VMX_TRIPLE_FAULT:
        exit->reason = EXIT_TRIPLE_FAULT;
        break;
    case VMX_TASK_SWITCH:
        exit_kill(exit, "the guest switched tasks in hardware, which is not supported");
        break;
    case VMX_EPT_VIOLATION:
        ept_violation(vcpu, exit);
        break;
    case VMX_EPT_MISCONFIGURATION:
        panic("EPT misconfiguration at guest physical %08x",
              (uint32_t)vmcs_read64(VMCS_GUEST_PHYSICAL));
    default:
        instruction_exit(vcpu, exit, reason);
    }
}
