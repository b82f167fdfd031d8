/*
 * What some exits mean, for modes that finish them without a turn of the vCPU loop.
 */
#ifndef TRIVISOR_SERVICES_H
#define TRIVISOR_SERVICES_H

#include "vm.h"

/* IN (to AL, AX or EAX) or OUT of size bytes. Sets host_work when the loop should look at time or
 * input before the guest goes on. */
void port_access(struct vcpu *vcpu, uint16_t port, unsigned size, bool in);

/* CPUID and MSRs as the guest sees them (features.c), from and to the vCPU's registers. */
void guest_cpuid(struct vcpu *vcpu);
bool guest_rdmsr(struct vcpu *vcpu); /* false: #GP */
bool guest_wrmsr(struct vcpu *vcpu);

#endif
