/*
 * What some exits mean, for modes that finish them without a turn of the vCPU loop.
 */
#ifndef TRIVISOR_SERVICES_H
#define TRIVISOR_SERVICES_H

#include "vm.h"

/* After an access to the port, the timer's deadline may have moved, or room for input appeared: the
 * loop should look before the guest goes on. */
static inline bool port_needs_a_look(uint16_t port)
{
    if (port - 0x40u > 0x71 - 0x40)
        return (port & ~7u) == 0x3F8;
    return (port & ~3u) == 0x40 || port == 0x60 || (port & ~1u) == 0x70;
}

/* CPUID and MSRs as the guest sees them (features.c), from and to the vCPU's registers. */
void guest_cpuid(struct vcpu *vcpu);
bool guest_rdmsr(struct vcpu *vcpu); /* false: #GP */
bool guest_wrmsr(struct vcpu *vcpu);

#endif
