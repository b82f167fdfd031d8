/* What svm mode does for the monitor's steps and breakpoints (mode.h). */
#include "../debug.h"
#include "mode.h"
#include "svm.h"
#include "vm.h"
#include "vmm.h"
#include "x86.h"

#define VECTORS 32u

/* QEMU reports INT3 as an INT n, and not as the exception that it is (APM vol. 2 section 15.12.3).
 * So both exit; what is no breakpoint is executed in software. */
static void intercept_int3(struct vmcb *v, bool on)
{
    v->intercept_exceptions &= ~(1u << VEC_BP);
    v->intercept_misc1 &= ~MISC1_INTN;
    if (on) {
        v->intercept_exceptions |= 1u << VEC_BP;
        v->intercept_misc1 |= MISC1_INTN;
    }
    v->clean &= ~CLEAN_INTERCEPTS;
}

void svm_watch(struct vcpu *vcpu, unsigned what)
{
    struct svm *svm = svm_of(vcpu);
    svm->ways = svm->watched || (what & WATCH_EXITS) ? svm_no_ways : svm_short_ways;
    intercept_int3(svm->vmcb, what & WATCH_BREAKPOINTS);
}

void svm_software_int(struct vcpu *vcpu, struct exit *exit)
{
    svm_store(vcpu);
    hw_software_int(vcpu, exit);
}

static bool has_error_code(unsigned vector)
{
    return vector == VEC_DF || (vector >= VEC_TS && vector <= VEC_PF) || vector == VEC_AC;
}

/* The trap flag was ours, unless the guest steps itself, or a breakpoint of its own was hit, too.
 * DR6 becomes what the guest's own #DB would leave there. */
static void step_done(struct vmcb *v, bool guest_steps, uint32_t dr6_before, struct exit *exit)
{
    const uint32_t hit = (uint32_t)v->dr6 & ~dr6_before & DR6_BREAKPOINTS;
    v->dr6 = dr6_before | hit | (guest_steps ? DR6_BS : 0);
    v->clean &= ~CLEAN_DR;
    exit->reason = EXIT_STEP;
    if (!guest_steps && !hit)
        return;
    v->dr7 &= ~(uint64_t)DR7_GD;
    exit->reason = EXIT_EXCEPTION;
    exit->exception.event = (struct event){.kind = EVENT_EXCEPTION, .vector = VEC_DB};
}

static void step_exception(const struct vmcb *v, unsigned vector, struct exit *exit)
{
    exit->reason = EXIT_EXCEPTION;
    exit->exception.event = (struct event){.kind = EVENT_EXCEPTION,
                                           .vector = (uint8_t)vector,
                                           .has_error = has_error_code(vector),
                                           .error = (uint32_t)v->exit_info1,
                                           .cr2 = (uint32_t)v->exit_info2};
}

/* All exceptions exit meanwhile: none is delivered by a processor that has the trap flag set. */
void svm_step(struct vcpu *vcpu, struct exit *exit)
{
    struct svm *svm = svm_of(vcpu);
    struct vmcb *v = svm->vmcb;
    const uint32_t exceptions = v->intercept_exceptions;
    svm_way *const *ways = svm->ways;
    const bool guest_steps = vcpu->eflags & FL_TF;
    const uint32_t dr6 = vcpu->dr[6];
    exit->insn_len = 0;
    v->intercept_exceptions = UINT32_MAX & ~(1u << VEC_NMI);
    v->clean &= ~CLEAN_INTERCEPTS;
    svm->ways = svm_no_ways;
    svm->exit_eip = vcpu->eip; /* no #DB is due */
    vcpu->eflags |= FL_TF;
    svm_enter_guest(vcpu);
    svm->ways = ways;
    v->intercept_exceptions = exceptions;
    v->clean &= ~CLEAN_INTERCEPTS;
    if (!guest_steps)
        vcpu->eflags &= ~FL_TF;

    const uint32_t vector = (uint32_t)v->exit_code - VMEXIT_EXCEPTION;
    if (vector == VEC_DB)
        step_done(v, guest_steps, dr6, exit);
    else if (vector < VECTORS && vector != VEC_DF && !(vector == VEC_PF && svm->paging.shadowed))
        step_exception(v, vector, exit);
    else
        svm_classify(vcpu, exit);
}

void svm_stepped(struct vcpu *vcpu)
{
    svm_of(vcpu)->exit_eip = vcpu->eip;
}

bool svm_show(struct vcpu *vcpu, const char *topic, struct sink *sink)
{
    return paging_show(&svm_of(vcpu)->paging, topic, sink);
}

void svm_explain(struct vcpu *vcpu, gva_t gva, gpa_t gpa, struct sink *sink)
{
    paging_explain(&svm_of(vcpu)->paging, gva, gpa, sink);
}
