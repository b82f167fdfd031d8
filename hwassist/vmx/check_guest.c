/* The checks of VM entry in software: the guest's state but for its segments (SDM vol. 3C section
 * 26.3.1). Pure code. */
#include "check.h"

#define FL_RESERVED 0xFFC08028u
#define DEBUGCTL_BTF 2u
#define DEBUGCTL_RESERVED 0xFFFFFFFFFFFF003Cull
#define PENDING_DEBUG_RESERVED 0xFFFFAFF0u
#define BLOCKING_KNOWN (BLOCKING_STI | BLOCKING_MOV_SS | BLOCKING_SMI | BLOCKING_NMI)
#define MISC_ACTIVITY_SHIFT                                                                        \
    5 /* bit 6 of IA32_VMX_MISC: HLT, which is activity state 1; and so on */
#define PDPTES 4
#define PDPTE_RESERVED 0x1E6ull /* vol. 3A table 4-8 */
#define PDPT_ADDRESS 0xFFFFFFE0u

/* --- 26.3.1.1: control registers, debug registers, MSRs --- */

static void control_registers(struct vmx_entry *e)
{
    const uint32_t cr0 = get(e, VMCS_GUEST_CR0), cr4 = get(e, VMCS_GUEST_CR4);
    const uint32_t ones = e->cpu->cr0_on & ~(unrestricted(e) ? CR0_PE | CR0_PG : 0);
    RULE(&e->rules, !fixed_bits(cr0, ones, e->cpu->cr0_may), "26.3.1.1",
         "CR0 has bits that VMX operation fixes otherwise");
    RULE(&e->rules, (cr0 & CR0_PG) && !(cr0 & CR0_PE), "26.3.1.1",
         "CR0.PG is set and CR0.PE is clear");
    RULE(&e->rules, !fixed_bits(cr4, e->cpu->cr4_on, e->cpu->cr4_may), "26.3.1.1",
         "CR4 has bits that VMX operation fixes otherwise");
    RULE(&e->rules, cr4 & CR4_PCIDE, "26.3.1.1",
         "CR4.PCIDE is set, which only a 64-bit guest may have");
    RULE(&e->rules, (cr4 & CR4_CET) && !(cr0 & CR0_WP), "26.3.1.1",
         "CR4.CET is set and CR0.WP is clear");
}

static void msrs(struct vmx_entry *e)
{
    const uint64_t efer = on(e, WORD_ENTRY, ENTRY_LOAD_EFER) ? get64(e, VMCS_GUEST_EFER) : 0;
    RULE(&e->rules,
         on(e, WORD_ENTRY, ENTRY_LOAD_DEBUG) && (get64(e, VMCS_GUEST_DEBUGCTL) & DEBUGCTL_RESERVED),
         "26.3.1.1", "IA32_DEBUGCTL has reserved bits set");
    RULE(&e->rules,
         on(e, WORD_ENTRY, ENTRY_LOAD_PERF_GLOBAL) &&
             (get64(e, VMCS_GUEST_PERF_GLOBAL) & ~e->cpu->perf_global),
         "26.3.1.1", "IA32_PERF_GLOBAL_CTRL has reserved bits set");
    RULE(&e->rules, on(e, WORD_ENTRY, ENTRY_LOAD_PAT) && !vmx_valid_pat(get64(e, VMCS_GUEST_PAT)),
         "26.3.1.1", "the PAT has an impossible memory type");
    RULE(&e->rules, efer & ~(uint64_t)e->cpu->efer_may, "26.3.1.1", "EFER has reserved bits set");
    RULE(&e->rules, efer & EFER_LMA, "26.3.1.1", "EFER.LMA is set for a 32-bit guest");
    RULE(&e->rules, (efer & EFER_LME) && (get(e, VMCS_GUEST_CR0) & CR0_PG), "26.3.1.1",
         "EFER.LME is set for a 32-bit guest with paging");
}

/* --- 26.3.1.4: EFLAGS --- */

static void flags(struct vmx_entry *e)
{
    const uint32_t eflags = get(e, VMCS_GUEST_EFLAGS);
    RULE(&e->rules, !(eflags & FL_R1) || (eflags & FL_RESERVED), "26.3.1.4",
         "reserved bits of EFLAGS are wrong");
    RULE(&e->rules, (eflags & FL_VM) && !(get(e, VMCS_GUEST_CR0) & CR0_PE), "26.3.1.4",
         "EFLAGS.VM is set in real mode");
    RULE(&e->rules, injects(e, INFO_EXTERNAL) && !(eflags & FL_IF), "26.3.1.4",
         "an external interrupt is injected and EFLAGS.IF is clear");
}

/* --- 26.3.1.5: non-register state --- */

/* Which events may enter a guest that does not execute instructions. */
static bool wakes(uint32_t activity, uint32_t event)
{
    const enum info_type type = INFO_TYPE(event);
    const uint32_t vector = event & INFO_VECTOR;
    const bool check = type == INFO_EXCEPTION && vector == VEC_MC;
    if (activity == ACTIVITY_HLT)
        return type == INFO_EXTERNAL || type == INFO_NMI || type == INFO_OTHER || check ||
               (type == INFO_EXCEPTION && vector == VEC_DB);
    return activity == ACTIVITY_SHUTDOWN && (type == INFO_NMI || check);
}

static bool known_activity(const struct vmx_entry *e, uint32_t activity)
{
    return activity <= ACTIVITY_WAIT_SIPI &&
           (activity == ACTIVITY_ACTIVE || (e->cpu->misc >> (activity + MISC_ACTIVITY_SHIFT) & 1));
}

static void activity(struct vmx_entry *e)
{
    const uint32_t state = get(e, VMCS_GUEST_ACTIVITY), event = get(e, VMCS_ENTRY_EVENT);
    RULE(&e->rules, !known_activity(e, state), "26.3.1.5",
         "the activity state is none that the CPU has");
    RULE(&e->rules, state == ACTIVITY_HLT && (get(e, VMCS_GUEST_SS_RIGHTS) & SEG_DPL), "26.3.1.5",
         "the activity state is HLT and the DPL of SS is not 0");
    RULE(&e->rules,
         state != ACTIVITY_ACTIVE &&
             (get(e, VMCS_GUEST_INTERRUPTIBILITY) & (BLOCKING_STI | BLOCKING_MOV_SS)),
         "26.3.1.5", "STI or MOV SS block interrupts while the guest is not active");
    RULE(&e->rules, state != ACTIVITY_ACTIVE && (event & INFO_VALID) && !wakes(state, event),
         "26.3.1.5", "the injected event is none that enters a guest in this activity state");
}

static void interruptibility(struct vmx_entry *e)
{
    const uint32_t blocking = get(e, VMCS_GUEST_INTERRUPTIBILITY);
    RULE(&e->rules, blocking & ~BLOCKING_KNOWN, "26.3.1.5",
         "reserved bits of the interruptibility state are set");
    RULE(&e->rules, (blocking & BLOCKING_STI) && !(get(e, VMCS_GUEST_EFLAGS) & FL_IF), "26.3.1.5",
         "blocking by STI and EFLAGS.IF clear");
    RULE(&e->rules, (blocking & BLOCKING_STI) && (blocking & BLOCKING_MOV_SS), "26.3.1.5",
         "blocking by STI and by MOV SS at once");
    RULE(&e->rules, injects(e, INFO_EXTERNAL) && (blocking & (BLOCKING_STI | BLOCKING_MOV_SS)),
         "26.3.1.5", "an external interrupt is injected while interrupts are blocked");
    RULE(&e->rules, injects(e, INFO_NMI) && (blocking & BLOCKING_MOV_SS), "26.3.1.5",
         "an NMI is injected while MOV SS blocks events");
    RULE(&e->rules, injects(e, INFO_NMI) && (blocking & BLOCKING_STI), "26.3.1.5",
         "an NMI is injected while STI blocks interrupts, which some CPUs refuse");
    RULE(&e->rules, blocking & BLOCKING_SMI, "26.3.1.5", "SMIs are blocked outside of SMM");
    RULE(&e->rules,
         injects(e, INFO_NMI) && (blocking & BLOCKING_NMI) && on(e, WORD_PIN, PIN_VIRTUAL_NMI),
         "26.3.1.5", "a virtual NMI is injected while NMIs are blocked");
}

/* When no instruction boundary can have passed, a single step that TF asks for is pending. */
static void pending_debug(struct vmx_entry *e)
{
    const uint32_t pending = get(e, VMCS_GUEST_PENDING_DEBUG);
    const bool steps =
        (get(e, VMCS_GUEST_EFLAGS) & FL_TF) && !(get(e, VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF);
    const bool held = (get(e, VMCS_GUEST_INTERRUPTIBILITY) & (BLOCKING_STI | BLOCKING_MOV_SS)) ||
                      get(e, VMCS_GUEST_ACTIVITY) == ACTIVITY_HLT;
    RULE(&e->rules, pending & PENDING_DEBUG_RESERVED, "26.3.1.5",
         "reserved bits of the pending debug exceptions are set");
    RULE(&e->rules, held && steps && !(pending & PENDING_DEBUG_BS), "26.3.1.5",
         "events are blocked or the guest halts, EFLAGS.TF is set, and no single step is pending");
    RULE(&e->rules, held && !steps && (pending & PENDING_DEBUG_BS), "26.3.1.5",
         "events are blocked or the guest halts, and a single step is pending that TF or BTF "
         "excludes");
}

/* Must another VMCS be there with the right revision, and a shadow exactly where that is used? */
static bool wrong_revision(const struct vmx_entry *e, uint64_t hpa)
{
    const uint32_t revision = (uint32_t)e->cpu->basic & 0x7FFFFFFF;
    const uint32_t shadow = on(e, WORD_CPU2, CPU2_VMCS_SHADOWING) ? 1u << 31 : 0;
    uint32_t there;
    return e->memory(hpa, &there, sizeof(there)) && there != (revision | shadow);
}

static void link_pointer(struct vmx_entry *e)
{
    const uint64_t hpa = get64(e, VMCS_LINK_POINTER);
    if (hpa == UINT64_MAX)
        return;
    const bool page = !(hpa & ~PAGE_MASK & UINT32_MAX) && !beyond_memory(e, hpa);
    RULE(&e->rules, !page, "26.3.1.5",
         "the VMCS link pointer is neither all ones nor a page of memory");
    RULE(&e->rules, page && wrong_revision(e, hpa), "26.3.1.5",
         "the VMCS link pointer leads to no VMCS of this CPU's revision");
    RULE(&e->rules, hpa == e->vmcs, "26.3.1.5", "the VMCS link pointer leads to the VMCS itself");
}

/* --- 26.3.1.6: PDPTEs --- */

static bool good_pdpte(const struct vmx_entry *e, uint64_t pdpte)
{
    return !(pdpte & PTE_P) || !((pdpte & PDPTE_RESERVED) || pdpte >> e->cpu->phys_bits);
}

/* With EPT they are in the VMCS, without it in memory where CR3 points. */
static void pdptes(struct vmx_entry *e)
{
    const bool ept = on(e, WORD_CPU2, CPU2_EPT);
    const uint32_t pdpt = get(e, VMCS_GUEST_CR3) & PDPT_ADDRESS;
    if (!(get(e, VMCS_GUEST_CR0) & CR0_PG) || !(get(e, VMCS_GUEST_CR4) & CR4_PAE))
        return;
    for (unsigned i = 0; i < PDPTES; i++) {
        uint64_t pdpte = 0;
        if (ept)
            pdpte = get64(e, (enum vmcs_field)(VMCS_GUEST_PDPTE0 + 2 * i));
        else if (!e->memory(pdpt + i * sizeof(pdpte), &pdpte, sizeof(pdpte)))
            return;
        RULE(&e->rules, !good_pdpte(e, pdpte), "26.3.1.6",
             "a page-directory-pointer entry has reserved bits set");
    }
}

void vmx_check_guest(struct vmx_entry *e)
{
    control_registers(e);
    msrs(e);
    vmx_check_segments(e);
    RULE(&e->rules,
         get(e, VMCS_GUEST_GDTR_LIMIT) > 0xFFFF || get(e, VMCS_GUEST_IDTR_LIMIT) > 0xFFFF,
         "26.3.1.3", "a descriptor-table limit has more than 16 bits");
    flags(e);
    activity(e);
    interruptibility(e);
    pending_debug(e);
    link_pointer(e);
    pdptes(e);
}
