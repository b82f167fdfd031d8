/* The short ways of vtx mode; see short.h for the idea. The world switch calls them, with
 * interrupts off and the VMCS of the vCPU current; the guest's ESP, EIP and EFLAGS are in it. */
#include "short.h"

#include "trace_format.h"
#include "vmcs.h"
#include "vmx.h"

/* Fields that every VMCS has, and the long way has used before: nothing can fail. */
static inline uint32_t vmcs_get(enum vmcs_field field)
{
    uint32_t value;
    __asm__ volatile("vmread %1, %0" : "=r"(value) : "r"((uint32_t)field) : "cc");
    return value;
}

static inline void vmcs_put(enum vmcs_field field, uint32_t value)
{
    __asm__ volatile("vmwrite %0, %1" : : "r"(value), "r"((uint32_t)field) : "cc");
}

/* The loop has something to do before the guest goes on. Returns false, for a way to return. */
static bool stop(struct vmx *vmx, enum exit_reason reason)
{
    vmx->handled = reason;
    return false;
}

/*
 * The guest goes on, unless an interrupt waits that it can take now. That one was waiting at the
 * entry already, which then asked for an exit; for those that a device raises see io_way(). With IF
 * clear the host's own interrupts are looked at here (host_interrupted() says why).
 */
static inline bool go_on(struct vmx *vmx, uint32_t eflags, enum exit_reason reason)
{
    if (!(eflags & FL_IF)) {
        host_irq_poll();
        if (host_work)
            return stop(vmx, reason);
    } else if (vmx->window) {
        return stop(vmx, reason);
    }
    vmx->short_entries++;
    return true;
}

/* Is the instruction done by stepping over it? */
static inline bool steps_over(uint32_t eflags)
{
    return !(eflags & FL_LONG_WAY) &&
           !(vmcs_get(VMCS_GUEST_INTERRUPTIBILITY) & (BLOCKING_STI | BLOCKING_MOV_SS));
}

static inline void step_over(void)
{
    vmcs_put(VMCS_GUEST_EIP, vmcs_get(VMCS_GUEST_EIP) + vmcs_get(VMCS_INSTRUCTION_LENGTH));
}

static bool IN_REGISTERS cpuid_way(struct vcpu *vcpu)
{
    const uint32_t eflags = vmcs_get(VMCS_GUEST_EFLAGS);
    if (!steps_over(eflags))
        return false;
    step_over();
    vcpu->exit_count[EXIT_CPUID]++;
    guest_cpuid_to(vcpu, &vcpu->gpr[GPR_EAX]);
    return go_on(vmx_of(vcpu), eflags, EXIT_CPUID);
}

/* A mode that gives its guests no services: see handle_hypercall(). */
static bool IN_REGISTERS vmcall_way(struct vcpu *vcpu)
{
    const uint32_t eflags = vmcs_get(VMCS_GUEST_EFLAGS);
    if (!steps_over(eflags) || (vmcs_get(VMCS_GUEST_SS_RIGHTS) & SEG_DPL))
        return false;
    step_over();
    vcpu->exit_count[EXIT_HYPERCALL]++;
    vcpu->gpr[GPR_EAX] = UINT32_MAX;
    return go_on(vmx_of(vcpu), eflags, EXIT_HYPERCALL);
}

static bool IN_REGISTERS rdmsr_way(struct vcpu *vcpu)
{
    const uint32_t eflags = vmcs_get(VMCS_GUEST_EFLAGS);
    if (!steps_over(eflags) || !guest_rdmsr(vcpu))
        return false;
    step_over();
    vcpu->exit_count[EXIT_MSR]++;
    return go_on(vmx_of(vcpu), eflags, EXIT_MSR);
}

static bool IN_REGISTERS io_way(struct vcpu *vcpu)
{
    const uint32_t q = vmcs_get(VMCS_QUALIFICATION), eflags = vmcs_get(VMCS_GUEST_EFLAGS);
    uint32_t *eax = &vcpu->gpr[GPR_EAX];
    if ((q & QUAL_IO_STRING) || !steps_over(eflags))
        return false;
    step_over();
    vcpu->exit_count[EXIT_IO]++;
    if (q & QUAL_IO_SIZE)
        short_port_wide(vcpu, eax, q >> QUAL_IO_PORT_SHIFT, (q & QUAL_IO_SIZE) + 1, q & QUAL_IO_IN);
    else
        short_port_byte(vcpu, eax, q >> QUAL_IO_PORT_SHIFT, q & QUAL_IO_IN);
    if (short_loop_must_look(vcpu, q >> QUAL_IO_PORT_SHIFT, vmx_of(vcpu)->window))
        return stop(vmx_of(vcpu), EXIT_IO);
    return go_on(vmx_of(vcpu), eflags, EXIT_IO);
}

/* The instruction starts anew. When it was the delivery of an event, that goes the long way. */
static bool IN_REGISTERS ept_way(struct vcpu *vcpu)
{
    struct vmx *vmx = vmx_of(vcpu);
    if ((vmcs_get(VMCS_IDT_EVENT) & INFO_VALID) ||
        nested_fill(&vmx->paging.map, vcpu->vm, vmcs_get(VMCS_GUEST_PHYSICAL)) != NESTED_FILLED)
        return false;
    vcpu->exit_count[EXIT_NESTED_FILL]++;
    return go_on(vmx, vmcs_get(VMCS_GUEST_EFLAGS), EXIT_NESTED_FILL);
}

vmx_way *const vmx_no_ways[VMX_WAYS] = {NULL};
vmx_way *const vmx_short_ways[VMX_WAYS] = {
    [VMX_CPUID] = cpuid_way, [VMX_VMCALL] = vmcall_way,     [VMX_IO] = io_way,
    [VMX_RDMSR] = rdmsr_way, [VMX_EPT_VIOLATION] = ept_way,
};

const uint32_t vmx_way_bits[VMX_WAYS] = {
    [VMX_CPUID] = TRACE_SHORT_BITS(EXIT_CPUID),
    [VMX_VMCALL] = TRACE_SHORT_BITS(EXIT_HYPERCALL),
    [VMX_IO] = TRACE_SHORT_BITS(EXIT_IO),
    [VMX_RDMSR] = TRACE_SHORT_BITS(EXIT_MSR),
    [VMX_EPT_VIOLATION] = TRACE_SHORT_BITS(EXIT_NESTED_FILL),
};
