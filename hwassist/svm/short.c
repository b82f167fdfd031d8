/* The short ways of svm mode; see short.h for the idea. The world switch calls them, with global
 * interrupts off; the guest's EAX, ESP, EIP and EFLAGS are in the VMCB. */
#include "short.h"

#include "svm.h"
#include "trace_format.h"

/* Plain instructions, as they lie in memory. One with a prefix goes the long way. */
#define BYTES_CPUID 0xA20Fu
#define BYTES_RDMSR 0x320Fu
#define BYTES_VMMCALL 0xD9010Fu

/*
 * Is what lies at EIP just this instruction? Known are places where the long way has decoded one,
 * and the entries of the guest's tables that lead there. They are compared, and the bytes
 * themselves: whatever the guest has done to its tables or to its code is seen.
 */
static inline bool is_plain(const struct svm *svm, const struct vmcb *v, uint32_t bytes,
                            uint32_t mask)
{
    const gva_t gva = (gva_t)v->seg[VS_CS].base + v->eip;
    const struct svm_site *site = &svm->site[svm_site_slot(gva)];
    return site->gva == gva && site->cr3 == (uint32_t)v->cr3 && *site->pde == site->pde_was &&
           *site->pte == site->pte_was && (*site->code & mask) == bytes;
}

/* Is the instruction done by stepping over it? */
static inline bool steps_over(const struct vmcb *v)
{
    return !(v->eflags & FL_LONG_WAY) && !((uint8_t)v->interrupt_shadow & 1);
}

/* Does the plain instruction end at EIP + len, or where next_rip says? false: let the long way find
 * out, which then is the one to finish it. */
static inline bool end_is_known(const struct svm *svm, struct vmcb *v, uint32_t bytes, uint32_t len,
                                uint32_t *eip)
{
    if (!steps_over(v))
        return false;
    *eip = v->eip + len;
    if (!svm->next_rip)
        return is_plain(svm, v, bytes, len == 2 ? 0xFFFF : 0xFFFFFF);
    *eip = (uint32_t)v->next_rip;
    return true;
}

/* The loop has something to do before the guest goes on. Returns false, for a way to return. */
static bool stop(struct svm *svm, enum exit_reason reason)
{
    svm->handled = reason;
    return false;
}

/* The guest goes on, unless an interrupt waits that it can take now. That one was waiting at the
 * entry already, which then asked for an exit; for those that a device raises see port_way(). */
static inline bool go_on(struct svm *svm, const struct vmcb *v, enum exit_reason reason)
{
    if ((v->intercept_misc1 & MISC1_VINTR) && (v->eflags & FL_IF))
        return stop(svm, reason);
    svm->short_entries++;
    return true;
}

static bool IN_REGISTERS cpuid_way(struct vcpu *vcpu, struct vmcb *v)
{
    struct svm *svm = svm_of(vcpu);
    uint32_t eip;
    if (!end_is_known(svm, v, BYTES_CPUID, 2, &eip))
        return false;
    v->eip = eip;
    guest_cpuid_to(vcpu, &v->eax);
    vcpu->exit_count[EXIT_CPUID]++;
    return go_on(svm, v, EXIT_CPUID);
}

/* A mode that gives its guests no services: see handle_hypercall(). */
static bool IN_REGISTERS vmmcall_way(struct vcpu *vcpu, struct vmcb *v)
{
    struct svm *svm = svm_of(vcpu);
    uint32_t eip;
    if (v->cpl || !end_is_known(svm, v, BYTES_VMMCALL, 3, &eip))
        return false;
    v->eip = eip;
    v->eax = UINT32_MAX;
    vcpu->exit_count[EXIT_HYPERCALL]++;
    return go_on(svm, v, EXIT_HYPERCALL);
}

/* RDMSR only: a write may leave something to load, and that is the long way's. */
static bool IN_REGISTERS msr_way(struct vcpu *vcpu, struct vmcb *v)
{
    struct svm *svm = svm_of(vcpu);
    uint32_t eip;
    if ((v->exit_info1 & 1) || !end_is_known(svm, v, BYTES_RDMSR, 2, &eip) || !guest_rdmsr(vcpu))
        return false;
    v->eip = eip;
    v->eax = vcpu->gpr[GPR_EAX];
    vcpu->exit_count[EXIT_MSR]++;
    return go_on(svm, v, EXIT_MSR);
}

static bool IN_REGISTERS port_way(struct vcpu *vcpu, struct vmcb *v)
{
    const uint32_t info = (uint32_t)v->exit_info1;
    if ((info & IO_STRING) || !steps_over(v))
        return false;
    v->eip = (uint32_t)v->exit_info2;
    vcpu->exit_count[EXIT_IO]++;
    if (info & IO_BYTE)
        short_port_byte(vcpu, &v->eax, info >> 16, info & IO_IN);
    else
        short_port_wide(vcpu, &v->eax, info >> 16, info >> IO_SIZE_SHIFT & 7, info & IO_IN);
    if (short_loop_must_look(vcpu, info >> 16, v->intercept_misc1 & MISC1_VINTR))
        return stop(svm_of(vcpu), EXIT_IO);
    return go_on(svm_of(vcpu), v, EXIT_IO);
}

/* The instruction starts anew. When it was the delivery of an event, that goes the long way. */
static bool IN_REGISTERS nested_way(struct vcpu *vcpu, struct vmcb *v)
{
    struct svm *svm = svm_of(vcpu);
    if (((uint32_t)v->exit_int_info & EVENT_VALID) ||
        nested_fill(&svm->paging.map, vcpu->vm, (gpa_t)v->exit_info2) != NESTED_FILLED)
        return false;
    vcpu->exit_count[EXIT_NESTED_FILL]++;
    svm->short_entries++;
    return true;
}

svm_way *const svm_short_ways[SVM_WAYS] = {
    [VMEXIT_CPUID] = cpuid_way, [VMEXIT_IO] = port_way,         [VMEXIT_MSR] = msr_way,
    [SVM_WAY_NPF] = nested_way, [VMEXIT_VMMCALL] = vmmcall_way,
};
svm_way *const svm_no_ways[SVM_WAYS] = {NULL};

const uint32_t svm_way_bits[SVM_WAYS] = {
    [VMEXIT_CPUID] = TRACE_SHORT_BITS(EXIT_CPUID),
    [VMEXIT_IO] = TRACE_SHORT_BITS(EXIT_IO),
    [VMEXIT_MSR] = TRACE_SHORT_BITS(EXIT_MSR),
    [SVM_WAY_NPF] = TRACE_SHORT_BITS(EXIT_NESTED_FILL),
    [VMEXIT_VMMCALL] = TRACE_SHORT_BITS(EXIT_HYPERCALL),
};

/* --- where instructions are that exit --- */

#define LARGE_OFFSET ((1u << LARGE_SHIFT) - 1)

static const uint32_t no_entry; /* what stands for a table entry where there is none */

/* The word of guest memory at gpa, or NULL. */
static const uint32_t *word_at(const struct vm *vm, gpa_t gpa)
{
    hpa_t hpa;
    return vm_gpa_to_hpa(vm, gpa, &hpa) ? hpa_to_ptr(hpa | (gpa & ~PAGE_MASK)) : NULL;
}

/* The guest's own tables, SDM vol. 3A section 4.3. The canonical CR0, CR3, CR4 and CS are current:
 * an instruction has been decoded at EIP. */
void svm_site_learn(struct vcpu *vcpu)
{
    const gva_t gva = vcpu->seg[SREG_CS].base + vcpu->eip;
    const struct hw_paging *paging = &svm_of(vcpu)->paging;
    struct svm_site site = {.gva = gva,
                            .cr3 = paging->shadowed ? paging->shadow_cr3 : vcpu->cr3,
                            .pde = &no_entry,
                            .pte = &no_entry};
    gpa_t gpa = gva;
    if ((gva & ~PAGE_MASK) > PAGE_SIZE - sizeof(uint32_t))
        return;
    if (vcpu->cr0 & CR0_PG) {
        site.pde = word_at(vcpu->vm, (vcpu->cr3 & PAGE_MASK) + (gva >> LARGE_SHIFT) * 4);
        if (!site.pde)
            return;
        site.pde_was = *site.pde;
        gpa = (site.pde_was & ~LARGE_OFFSET) | (gva & LARGE_OFFSET);
        if (!(site.pde_was & PTE_PS) || !(vcpu->cr4 & CR4_PSE)) {
            const unsigned index = gva >> PAGE_SHIFT & 1023;
            site.pte = word_at(vcpu->vm, (site.pde_was & PAGE_MASK) + index * 4);
            if (!site.pte)
                return;
            site.pte_was = *site.pte;
            gpa = (site.pte_was & PAGE_MASK) | (gva & ~PAGE_MASK);
        }
    }
    site.code = word_at(vcpu->vm, gpa);
    if (site.code)
        svm_of(vcpu)->site[svm_site_slot(gva)] = site;
}
