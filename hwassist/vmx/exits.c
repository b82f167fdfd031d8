/* What the exit-information fields say, as a normalised exit (SDM vol. 3C section 27.2). */
#include "cpu.h"
#include "emulate.h"
#include "vmm.h"
#include "vmx.h"
#include "x86.h"

/* Exit qualification for port access, table 27-5. */
#define IO_SIZE 7u
#define IO_IN (1u << 3)
#define IO_STRING (1u << 4)
#define IO_REP (1u << 5)
/* Instruction information for INS and OUTS, table 27-9. */
#define INFO_ADDRESS_SHIFT 7
#define INFO_SEGMENT_SHIFT 15

static void exit_kill(struct exit *exit, const char *reason)
{
    exit->reason = EXIT_KILL;
    exit->kill.reason = reason;
}

uint32_t vmx_event_word(const struct event *event)
{
    uint32_t type = INFO_TYPE_EXCEPTION;
    if (event->kind == EVENT_IRQ)
        type = INFO_TYPE_EXTERNAL;
    else if (event->kind == EVENT_NMI)
        type = INFO_TYPE_NMI;
    else if (event->kind == EVENT_SOFT_INT)
        type = event->vector == VEC_BP || event->vector == VEC_OF ? INFO_TYPE_SOFT_EXCEPTION
                                                                  : INFO_TYPE_SOFT_INT;
    return INFO_VALID | type << INFO_TYPE_SHIFT | event->vector |
           (event->has_error ? INFO_HAS_ERROR : 0);
}

static void io_exit(struct exit *exit)
{
    const uint32_t q = vmcs_read(VMCS_QUALIFICATION);
    exit->reason = EXIT_IO;
    exit->io.port = (uint16_t)(q >> 16);
    exit->io.size = (uint8_t)((q & IO_SIZE) + 1);
    exit->io.in = q & IO_IN;
    exit->io.string = q & IO_STRING;
    exit->io.rep = q & IO_REP;
    if (!exit->io.string)
        return;
    const uint32_t info = vmcs_read(VMCS_INSTRUCTION_INFO);
    exit->io.addr_size = (info >> INFO_ADDRESS_SHIFT & 7) == 0 ? 2 : 4;
    exit->io.segment = exit->io.in ? SREG_ES : (uint8_t)(info >> INFO_SEGMENT_SHIFT & 7);
}

/* Table 27-3. */
static void cr_exit(struct vcpu *vcpu, struct exit *exit)
{
    const uint32_t q = vmcs_read(VMCS_QUALIFICATION), access = q >> 4 & 3;
    exit->reason = EXIT_CR;
    exit->cr.number = q & 15;
    exit->cr.gpr = q >> 8 & 15;
    exit->cr.write = access != 1;
    exit->cr.has_value = access >= 2;
    if (!exit->cr.has_value)
        return;
    vmx_store(vcpu);
    exit->cr.value = access == 2 ? vcpu->cr0 & ~CR0_TS                    /* CLTS */
                                 : (vcpu->cr0 & ~0xEu) | (q >> 16 & 0xF); /* LMSW: PE only up */
}

static void entry_failed(struct vcpu *vcpu, struct exit *exit, enum vmx_reason reason)
{
    exit->reason = EXIT_ENTRY_FAILED;
    exit->kill.reason = "VM entry could not load the guest's MSRs";
    if (reason == VMX_BAD_GUEST_STATE) {
        const char *rule = vmx_check_guest(&vmx_of(vcpu)->controls);
        exit->kill.reason =
            rule ? rule : "VM entry refused the guest state; no known rule is broken";
    }
}

void vmx_classify(struct vcpu *vcpu, struct exit *exit)
{
    const uint32_t raw = vmcs_read(VMCS_EXIT_REASON);
    const enum vmx_reason reason = raw & 0xFFFF;
    if (raw & VMX_ENTRY_FAILED) {
        entry_failed(vcpu, exit, reason);
        return;
    }
    exit->insn_len = 0;
    switch (reason) {
    case VMX_EXTERNAL_INTERRUPT:
        host_irq_poll();
        exit->reason = EXIT_HOST_IRQ;
        return;
    case VMX_EXCEPTION: /* only NMIs exit: the host's */
        exit->reason = EXIT_NONE;
        return;
    case VMX_INTERRUPT_WINDOW:
        exit->reason = EXIT_IRQ_WINDOW;
        return;
    case VMX_TRIPLE_FAULT:
        exit->reason = EXIT_TRIPLE_FAULT;
        return;
    case VMX_TASK_SWITCH:
        exit_kill(exit, "the guest switched tasks in hardware, which is not supported");
        return;
    case VMX_EPT_VIOLATION:
        exit->reason = EXIT_NESTED_FAULT;
        exit->fault.gpa = (gpa_t)vmcs_read64(VMCS_GUEST_PHYSICAL);
        exit->fault.error = vmcs_read(VMCS_QUALIFICATION);
        return;
    case VMX_EPT_MISCONFIGURATION:
        panic("EPT misconfiguration at guest physical %08x",
              (uint32_t)vmcs_read64(VMCS_GUEST_PHYSICAL));
    default:
        break;
    }
    exit->insn_len = (uint8_t)vmcs_read(VMCS_INSTRUCTION_LENGTH);
    switch (reason) {
    case VMX_CPUID:
        exit->reason = EXIT_CPUID;
        break;
    case VMX_HLT:
        exit->reason = EXIT_HLT;
        break;
    case VMX_INVD:
    case VMX_WBINVD:
        exit->reason = EXIT_CACHE;
        break;
    case VMX_IO:
        io_exit(exit);
        break;
    case VMX_CR:
        cr_exit(vcpu, exit);
        break;
    case VMX_RDMSR:
    case VMX_WRMSR:
        exit->reason = EXIT_MSR;
        exit->msr.write = reason == VMX_WRMSR;
        break;
    case VMX_VMCALL:
        exit->reason = EXIT_HYPERCALL;
        break;
    default: /* VMX's own instructions and others that our CPUID does not offer */
        exit->reason = EXIT_EXCEPTION;
        exit->exception.event = (struct event){.kind = EVENT_EXCEPTION, .vector = VEC_UD};
    }
}
