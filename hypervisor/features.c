/*
 * The CPU that guests see: CPUID (SDM vol. 2A, CPUID) and MSRs (SDM vol. 4). The same in every
 * mode of one host, so that a guest may change modes. Leaves 0x40000000 and up follow the usage of
 * all public hypervisors: signature, then our own.
 */
#include <string.h>

#include "cpu.h"
#include "vm_loop.h"
#include "x86.h"

#define LEAF_SIGNATURE 0x40000000u
#define LEAF_MODE 0x40000001u

/* Leaf 1 EDX: FPU DE PSE TSC MSR CX8 PGE CMOV MMX FXSR SSE SSE2. No PAE, APIC, MTRR: the
 * guest has 32-bit paging and the 8259s. No SEP: SYSENTER works, but only by the emulator. */
#define FEATURES_EDX 0x0780A13Du
#define FEATURES_ECX 0x00000001u /* SSE3 */
#define HYPERVISOR_PRESENT 0x80000000u

static unsigned mode_number(const struct vcpu *vcpu)
{
    for (unsigned i = 0; i < vmm_mode_count; i++) {
        if (vmm_modes[i] == vcpu->mode)
            return i + 1;
    }
    return 0;
}

uint32_t guest_cpuid_basic[GUEST_CPUID_BASIC][CPUID_WORDS];

void guest_cpuid_init(void)
{
    uint32_t *leaf = guest_cpuid_basic[0];
    cpuid(0, leaf);
    leaf[CPUID_EAX] = GUEST_CPUID_BASIC - 1;
    leaf = guest_cpuid_basic[1];
    cpuid(1, leaf);
    leaf[CPUID_EBX] = 0;
    leaf[CPUID_ECX] = (leaf[CPUID_ECX] & FEATURES_ECX) | HYPERVISOR_PRESENT;
    leaf[CPUID_EDX] &= FEATURES_EDX;
}

void guest_cpuid_other(const struct vcpu *vcpu, uint32_t leaf, uint32_t r[CPUID_WORDS])
{
    memset(r, 0, CPUID_WORDS * sizeof(r[0]));
    switch (leaf) {
    case LEAF_SIGNATURE:
        r[CPUID_EAX] = LEAF_MODE;
        memcpy(&r[CPUID_EBX], "TrivisorTriv", 12);
        break;
    case LEAF_MODE:
        r[CPUID_EAX] = mode_number(vcpu);
        r[CPUID_EBX] = vcpu->mode->nested_paging && vcpu->mode->nested_paging(vcpu);
        break;
    case 0x80000000u:
        r[CPUID_EAX] = 0x80000000u;
        break;
    }
}

void guest_cpuid(struct vcpu *vcpu)
{
    guest_cpuid_to(vcpu, &vcpu->gpr[GPR_EAX]);
}

static void set_edx_eax(struct vcpu *vcpu, uint64_t v)
{
    vcpu->gpr[GPR_EAX] = (uint32_t)v;
    vcpu->gpr[GPR_EDX] = (uint32_t)(v >> 32);
}

bool guest_rdmsr(struct vcpu *vcpu)
{
    switch (vcpu->gpr[GPR_ECX]) {
    case MSR_TSC:
        set_edx_eax(vcpu, rdtsc() + vcpu->tsc_offset);
        return true;
    case MSR_SYSENTER_CS:
        set_edx_eax(vcpu, vcpu->sysenter_cs);
        return true;
    case MSR_SYSENTER_ESP:
        set_edx_eax(vcpu, vcpu->sysenter_esp);
        return true;
    case MSR_SYSENTER_EIP:
        set_edx_eax(vcpu, vcpu->sysenter_eip);
        return true;
    default:
        return false;
    }
}

bool guest_wrmsr(struct vcpu *vcpu)
{
    uint64_t v = (uint64_t)vcpu->gpr[GPR_EDX] << 32 | vcpu->gpr[GPR_EAX];
    switch (vcpu->gpr[GPR_ECX]) {
    case MSR_TSC:
        vcpu->tsc_offset = v - rdtsc();
        break;
    case MSR_SYSENTER_CS:
        vcpu->sysenter_cs = (uint32_t)v;
        break;
    case MSR_SYSENTER_ESP:
        vcpu->sysenter_esp = (uint32_t)v;
        break;
    case MSR_SYSENTER_EIP:
        vcpu->sysenter_eip = (uint32_t)v;
        break;
    default:
        return false;
    }
    vcpu->dirty |= DIRTY_MSR;
    return true;
}
