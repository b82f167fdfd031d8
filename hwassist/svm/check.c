/*
 * The consistency checks of VMRUN in software (AMD APM vol. 2 section 15.5.1), so that a refused
 * entry names the broken rule. VMRUN checks no segment: what is loaded is used as it is. Pure code.
 */
#include "svm.h"
#include "x86.h"

#define HIGH32 0xFFFFFFFF00000000ull
#define CR3_LONG_RESERVED 0xFFF0000000000000ull
#define MAP_OFFSET 0xFFFull /* of the maps' addresses: ignored */
#define VS_ATTR_L 0x200u
#define VS_ATTR_D 0x400u
#define NESTED_ENABLE 1u
#define PDPTES 4
/* Section 5.3.2; but for bit 5, which QEMU 7.2 sets itself, as if it were an accessed bit. */
#define PDPTE_RESERVED 0x1C6ull
#define PDPT_ADDRESS 0xFFFFFFE0u

static void extended_features(struct svm_entry *e)
{
    const struct vmcb *v = e->vmcb;
    const bool paging = v->cr0 & CR0_PG;
    const bool lme = v->efer & EFER_LME, pae = v->cr4 & CR4_PAE;
    const uint16_t cs = v->seg[VS_CS].attr;
    RULE(&e->rules, !(v->efer & EFER_SVME), "15.5.1", "EFER.SVME is zero");
    RULE(&e->rules, v->efer & ~(e->cpu->efer_may | (EFER_LMA | EFER_LME)), "15.5.1",
         "reserved bits of EFER are set");
    RULE(&e->rules, (v->efer & (EFER_LMA | EFER_LME)) && !(e->cpu->efer_may & EFER_LME), "15.5.1",
         "EFER.LMA or EFER.LME is set, and this CPU has no long mode");
    RULE(&e->rules, lme && paging && !pae, "15.5.1",
         "EFER.LME and CR0.PG are set and CR4.PAE is zero");
    RULE(&e->rules, lme && paging && !(v->cr0 & CR0_PE), "15.5.1",
         "EFER.LME and CR0.PG are set and CR0.PE is zero");
    RULE(&e->rules, lme && paging && pae && (cs & VS_ATTR_L) && (cs & VS_ATTR_D), "15.5.1",
         "CS.L and CS.D are both set in long mode");
}

static void registers(struct svm_entry *e)
{
    const struct vmcb *v = e->vmcb;
    const bool long_mode = (v->efer & EFER_LME) && (v->cr0 & CR0_PG);
    RULE(&e->rules, !(v->cr0 & CR0_CD) && (v->cr0 & CR0_NW), "15.5.1",
         "CR0.CD is zero and CR0.NW is set");
    RULE(&e->rules, v->cr0 & HIGH32, "15.5.1", "CR0[63:32] are not zero");
    RULE(&e->rules, long_mode && (v->cr3 & (CR3_LONG_RESERVED | ~0ull << e->cpu->phys_bits)),
         "15.5.1", "reserved bits of CR3 are set in long mode");
    RULE(&e->rules, v->cr4 & HIGH32, "15.5.1", "CR4[63:32] are not zero");
    RULE(&e->rules, v->cr4 & ~e->cpu->cr4_may & ~HIGH32, "15.5.1",
         "CR4 has bits that this CPU does not know");
    RULE(&e->rules, (v->cr4 & CR4_CET) && !(v->cr0 & CR0_WP), "15.5.1",
         "CR4.CET is set and CR0.WP is zero");
    RULE(&e->rules, v->dr6 & HIGH32, "15.5.1", "DR6[63:32] are not zero");
    RULE(&e->rules, v->dr7 & HIGH32, "15.5.1", "DR7[63:32] are not zero");
}

/* Does a map of `size` bytes end above all memory? */
static bool beyond_memory(const struct svm_entry *e, uint64_t hpa, uint32_t size)
{
    const uint64_t end = 1ull << e->cpu->phys_bits;
    return hpa >= end || (hpa & ~MAP_OFFSET) + size > end;
}

static void control_area(struct svm_entry *e)
{
    const struct vmcb *v = e->vmcb;
    RULE(&e->rules, !(v->intercept_misc2 & MISC2_VMRUN), "15.5.1",
         "the VMRUN intercept bit is clear");
    RULE(&e->rules, beyond_memory(e, v->iopm_hpa, IOPM_PAGES * PAGE_SIZE), "15.5.1",
         "the I/O permission map is beyond physical memory");
    RULE(&e->rules, beyond_memory(e, v->msrpm_hpa, MSRPM_PAGES * PAGE_SIZE), "15.5.1",
         "the MSR permission map is beyond physical memory");
    RULE(&e->rules, v->asid == 0, "15.5.1", "the ASID is zero, which is the host's");
}

/* Section 15.20. */
static void event(struct svm_entry *e)
{
    const uint64_t word = e->vmcb->event_injection;
    const unsigned type = word >> EVENT_TYPE_SHIFT & 7, vector = word & 0xFF;
    if (!(word & EVENT_VALID))
        return;
    RULE(&e->rules, type == 1 || type > EVENT_TYPE_SOFT, "15.20",
         "the event to inject has a reserved type");
    RULE(&e->rules, type == EVENT_TYPE_EXCEPTION && (vector == VEC_NMI || vector > 31), "15.20",
         "the exception to inject has the vector of the NMI, or one above 31");
}

/* Eight memory types, each 0, 1, 4, 5, 6 or 7 (section 7.8.1). */
static bool valid_pat(uint64_t pat)
{
    for (unsigned i = 0; i < 8; i++) {
        const unsigned type = pat >> 8 * i & 0xFF;
        if (type > 7 || type == 2 || type == 3)
            return false;
    }
    return true;
}

/* Section 15.25. Bit 0 of nested_control is ignored by a CPU without nested paging. */
static bool nested(const struct svm_entry *e)
{
    return (e->vmcb->nested_control & NESTED_ENABLE) && e->cpu->nested;
}

static void nested_paging(struct svm_entry *e)
{
    const struct vmcb *v = e->vmcb;
    if (!nested(e))
        return;
    RULE(&e->rules, !e->cpu->host_paging, "15.25.3",
         "nested paging is enabled, and the host's CR0.PG is zero");
    RULE(&e->rules, v->nested_cr3 >> e->cpu->phys_bits, "15.25.4",
         "the nested page table is beyond physical memory");
    RULE(&e->rules, !valid_pat(v->pat), "15.25.4", "the guest's PAT has an impossible memory type");
}

/* Without nested paging VMRUN loads the entries as MOV to CR3 does (section 5.3.2). */
static void pdptes(struct svm_entry *e)
{
    const struct vmcb *v = e->vmcb;
    uint64_t pdpte;
    if (nested(e) || !(v->cr0 & CR0_PE) || !(v->cr0 & CR0_PG) || !(v->cr4 & CR4_PAE) ||
        (v->efer & EFER_LME))
        return;
    for (unsigned i = 0; i < PDPTES; i++) {
        const uint32_t pdpt = (uint32_t)v->cr3 & PDPT_ADDRESS;
        if (!e->memory(pdpt + i * sizeof(pdpte), &pdpte, sizeof(pdpte)))
            return;
        RULE(&e->rules, (pdpte & PTE_P) && ((pdpte & PDPTE_RESERVED) || pdpte >> e->cpu->phys_bits),
             "5.3.2", "a page-directory-pointer entry has reserved bits set");
    }
}

const struct entry_rule *svm_check(struct svm_entry *e)
{
    e->rules.broken = NULL;
    extended_features(e);
    registers(e);
    control_area(e);
    event(e);
    nested_paging(e);
    pdptes(e);
    return e->rules.broken;
}
