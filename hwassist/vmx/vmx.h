/* Private to vtx mode: the backend, and what its files offer to each other. */
#ifndef TRIVISOR_VMX_H
#define TRIVISOR_VMX_H

#include "capability.h"
#include "tables.h"
#include "vcpu.h"
#include "vmcs.h"

struct vmx {
    struct vmx_controls controls;
    void *vmxon, *vmcs;
    struct nested_map map;
    bool launched;
    bool event_pending; /* VMCS_ENTRY_EVENT is valid */
    uint64_t entries;
};

static inline struct vmx *vmx_of(struct vcpu *vcpu)
{
    return vcpu->backend;
}

int vmx_enter(struct vcpu *vcpu, int launched);
void vmx_exit(void);

/* CR4 bits that the guest must not see or change: VMXE is the host's. */
#define CR4_HIDDEN CR4_VMXE

/* state.c: canonical vCPU <-> guest-state area. load honours vcpu->dirty. */
void vmx_load(struct vcpu *vcpu);
void vmx_store(struct vcpu *vcpu);

/* exits.c: exit information to a normalised exit. */
void vmx_classify(struct vcpu *vcpu, struct exit *exit);
/* An event as interruption information. */
uint32_t vmx_event_word(const struct event *event);

/* check.c: which rule of the checks on guest state (SDM vol. 3C section 26.3.1) the VMCS breaks;
 * NULL: none that is known. And the text of a VM-instruction error (section 30.4). */
const char *vmx_check_guest(const struct vmx_controls *controls);
const char *vmx_instruction_error(uint32_t number);

#endif
