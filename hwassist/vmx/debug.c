/* What vtx mode does for the monitor's steps and breakpoints (mode.h). */
#include "../debug.h"
#include "emulate.h"
#include "mode.h"
#include "vm.h"
#include "vmcs.h"
#include "vmm.h"
#include "vmx.h"
#include "x86.h"

uint32_t vmx_exceptions(const struct vmx *vmx)
{
    if (vmx->stepping || vmx->form != FORM_PLAIN)
        return UINT32_MAX;
    return (vmx->paging.shadowed ? 1u << VEC_PF : 0) | (vmx->breakpoints ? 1u << VEC_BP : 0);
}

void vmx_watch(struct vcpu *vcpu, unsigned what)
{
    struct vmx *vmx = vmx_of(vcpu);
    vmx_make_current(vmx);
    vmx->ways = vmx->watched || (what & WATCH_EXITS) ? vmx_no_ways : vmx_short_ways;
    vmx->breakpoints = what & WATCH_BREAKPOINTS;
    vmcs_write(VMCS_EXCEPTION_BITMAP, vmx_exceptions(vmx));
}

void vmx_int3(struct vcpu *vcpu, struct exit *exit)
{
    vmx_store(vcpu);
    hw_software_int(vcpu, exit);
    if (exit->reason == EXIT_SOFT_INT)
        vmx_of(vcpu)->exit_eip = vcpu->eip; /* no step is due for having moved on */
}

/* A debug exception does not change DR6 when it exits; the qualification has what would be there
 * (SDM vol. 3C table 27-1). */
static void step_done(struct vcpu *vcpu, struct exit *exit)
{
    const struct vmx *vmx = vmx_of(vcpu);
    const uint32_t hit = vmcs_read(VMCS_QUALIFICATION) & (DR6_BREAKPOINTS | DR6_BD);
    vcpu->dr[6] = vmx->dr6_before | hit | (vmx->guest_steps ? DR6_BS : 0);
    vcpu->dirty |= DIRTY_DR;
    exit->reason = EXIT_STEP;
    if (!vmx->guest_steps && !hit)
        return;
    vcpu->dr[7] &= ~DR7_GD;
    exit->reason = EXIT_EXCEPTION;
    exit->exception.event = (struct event){.kind = EVENT_EXCEPTION, .vector = VEC_DB};
}

void vmx_step_exception(struct vcpu *vcpu, uint32_t info, struct exit *exit)
{
    const uint8_t vector = info & INFO_VECTOR;
    vmx_store(vcpu);
    exit->insn_len = 0;
    if (vector == VEC_DB) {
        step_done(vcpu, exit);
        return;
    }
    exit->reason = EXIT_EXCEPTION;
    exit->exception.event = (struct event){.kind = EVENT_EXCEPTION, .vector = vector};
    if (info & INFO_HAS_ERROR) {
        exit->exception.event.has_error = true;
        exit->exception.event.error = vmcs_read(VMCS_EXIT_EVENT_ERROR);
    }
    if (vector == VEC_PF)
        exit->exception.event.cr2 = vmcs_read(VMCS_QUALIFICATION);
}

/* All exceptions exit meanwhile: none is delivered by a processor that has the trap flag set. */
void vmx_step(struct vcpu *vcpu, struct exit *exit)
{
    struct vmx *vmx = vmx_of(vcpu);
    vmx_way *const *ways = vmx->ways;
    vmx_make_current(vmx);
    exit->insn_len = 0;
    vmx->stepping = true;
    vmx->guest_steps = vcpu->eflags & FL_TF;
    vmx->dr6_before = vcpu->dr[6];
    vmx->ways = vmx_no_ways;
    vmcs_write(VMCS_EXCEPTION_BITMAP, vmx_exceptions(vmx));
    vmcs_write(VMCS_GUEST_PENDING_DEBUG, 0);
    vmx->exit_eip = vcpu->eip; /* no #DB is due */
    vcpu->eflags |= FL_TF;
    vmx_run(vcpu, exit);
    if (!vmx->guest_steps)
        vcpu->eflags &= ~FL_TF;
    vmx->ways = ways;
    vmx->stepping = false;
    vmcs_write(VMCS_EXCEPTION_BITMAP, vmx_exceptions(vmx));
    vmcs_write(VMCS_GUEST_PENDING_DEBUG, 0);
}

void vmx_stepped(struct vcpu *vcpu)
{
    vmx_of(vcpu)->exit_eip = vcpu->eip;
}

bool vmx_show(struct vcpu *vcpu, const char *topic, struct sink *sink)
{
    return paging_show(&vmx_of(vcpu)->paging, topic, sink);
}

void vmx_explain(struct vcpu *vcpu, gva_t gva, gpa_t gpa, struct sink *sink)
{
    paging_explain(&vmx_of(vcpu)->paging, gva, gpa, sink);
}
