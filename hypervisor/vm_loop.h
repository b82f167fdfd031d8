/* Private to hypervisor/: running a VM and handling its exits. */
#ifndef TRIVISOR_VM_LOOP_H
#define TRIVISOR_VM_LOOP_H

#include "mode.h"
#include "services.h"
#include "vm.h"

/* Run the VM in the attached mode until it stops. */
void vm_run(struct vm *vm);

/* One turn of that loop, for the monitor, and what it saw. */
struct vm_watch {
    bool any; /* the guest was entered: the rest is valid */
    enum exit_reason reason;
    uint32_t eip;           /* of the guest after the exit */
    bool user;              /* its CPL is 3 there */
    uint64_t entered, left; /* TSC */
};
void vm_turn(struct vm *vm, struct vm_watch *watch);

/* Handle one normalised exit: exits.c. */
void exit_dispatch(struct vcpu *vcpu, struct exit *exit);

/* A write to or read from a guest physical hole: read all ones, drop writes. mmio.c. */
void mmio_access(struct vcpu *vcpu, struct exit *exit);

/* The last exits of all VMs, newest last, for a panic or a kill. */
void print_last_exits(void);

/* JSON object of the non-zero counts in exit_count[] minus base[] (base may be NULL). */
int exits_json(const struct vcpu *vcpu, const uint64_t *base, char *buf, unsigned size);

/* Statistics record of a VM on COM2. */
void vm_record_stats(struct vm *vm);

#endif
