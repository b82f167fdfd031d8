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

/*
 * CPUID and MSRs as the guest sees them (features.c), from and to the vCPU's registers.
 * guest_cpuid_to(): EAX may be somewhere else. The leaves that depend on the host alone, which
 * guests ask for most, are a table; guest_cpuid_init() fills it, once.
 */
enum { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX, CPUID_WORDS };
#define GUEST_CPUID_BASIC 2 /* leaves 0 and 1 */
extern uint32_t guest_cpuid_basic[GUEST_CPUID_BASIC][CPUID_WORDS];
void guest_cpuid_init(void);
void guest_cpuid_other(const struct vcpu *vcpu, uint32_t leaf, uint32_t r[CPUID_WORDS]);
void guest_cpuid(struct vcpu *vcpu);

static inline void guest_cpuid_to(struct vcpu *vcpu, uint32_t *eax)
{
    const uint32_t *r = guest_cpuid_basic[*eax & (GUEST_CPUID_BASIC - 1)];
    uint32_t other[CPUID_WORDS];
    if (__builtin_expect(*eax >= GUEST_CPUID_BASIC, 0)) {
        guest_cpuid_other(vcpu, *eax, other);
        r = other;
    }
    *eax = r[CPUID_EAX];
    vcpu->gpr[GPR_EBX] = r[CPUID_EBX];
    vcpu->gpr[GPR_ECX] = r[CPUID_ECX];
    vcpu->gpr[GPR_EDX] = r[CPUID_EDX];
}

bool guest_rdmsr(struct vcpu *vcpu); /* false: #GP */
bool guest_wrmsr(struct vcpu *vcpu);

#endif
