/*
 * A guest that is in the middle of a site when its sites get patched: it executed the first part of
 * the plain form, and the rest is no longer there. Interrupts of the other modes do not spare
 * sites, so that this also comes later, with an IRET to an address that was saved before.
 */
#include "gmem.h"
#include "para.h"
#include "x86.h"

/* Offsets of the second instruction; all that is behind it are NOPs. */
#define POP_EAX_OF_PUSHF 1
#define POPF_OF_POPF 1
#define HLT_OF_STI_HLT 1

/* The word on top of the guest's stack, which goes. */
static bool pop(struct vcpu *vcpu, uint32_t *value, struct event *fault)
{
    if (!guest_read(vcpu, vcpu->seg[SREG_SS].base + vcpu->gpr[GPR_ESP], value, 4, 0, fault))
        return false;
    vcpu->gpr[GPR_ESP] += 4;
    return true;
}

enum pv_halfway pv_finish_site(struct vcpu *vcpu, const struct patcher *p, struct event *fault)
{
    const struct pv_site *site = patcher_site_around(p, vcpu->eip);
    uint32_t flags;
    if (!site || vcpu_cpl(vcpu))
        return PV_NOT_HALFWAY;
    const uint32_t offset = vcpu->eip - site->gva;
    enum pv_halfway result = PV_FINISHED;
    if (site->op == PV_OP_PUSHF && offset == POP_EAX_OF_PUSHF) {
        if (!pop(vcpu, &vcpu->gpr[GPR_EAX], fault))
            return PV_HALFWAY_FAULT;
    } else if (site->op == PV_OP_POPF && offset == POPF_OF_POPF) {
        if (!pop(vcpu, &flags, fault))
            return PV_HALFWAY_FAULT;
        vcpu->eflags = (vcpu->eflags & ~PV_KERNEL_MAY_POP) | (flags & PV_KERNEL_MAY_POP);
    } else if (site->op == PV_OP_STI_HLT && offset == HLT_OF_STI_HLT) {
        result = PV_HALFWAY_HLT;
    }
    vcpu->eip = site->gva + PV_SITE_LEN;
    vcpu->eflags &= ~FL_RF;
    vcpu->int_shadow = 0;
    return result;
}
