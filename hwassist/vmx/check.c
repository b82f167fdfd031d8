/*
 * The checks of VM entry in software: the VMX controls (SDM vol. 3C section 26.2.1), and the walk
 * through all. Pure code.
 */
#include "check.h"

#define PAGE_OFFSET 0xFFFu
#define CR3_TARGETS_MOST 4u
#define MISC_LENGTH_ZERO (1u << 30)       /* software events of length 0 may be injected */
#define BASIC_ANY_ERROR_CODE (1ull << 56) /* any exception may have an error code, or none */
#define VTPR 0x80u                        /* in the virtual-APIC page */
#define EPT_CAP_UNCACHED (1ull << 8)
#define EPT_CAP_WRITE_BACK (1ull << 14)
#define EPT_CAP_ACCESSED (1ull << 21)
#define EPTP_TYPE 7u
#define EPTP_UNCACHED 0u
#define EPTP_WRITE_BACK 6u
#define EPTP_WALK_SHIFT 3
#define EPTP_WALK_4 3u /* levels less one */
#define EPTP_ACCESSED (1u << 6)
#define EPTP_RESERVED 0xF80u
#define ERROR_CODE_RESERVED 0xFFFF0000u
#define MSR_ENTRY_SIZE 16u

const char *vmx_instruction_error(uint32_t number)
{
    static const char *const texts[] = {
        [1] = "VMCALL executed in VMX root operation",
        [2] = "VMCLEAR with an invalid physical address",
        [3] = "VMCLEAR with the VMXON pointer",
        [4] = "VMLAUNCH with a VMCS that is not clear",
        [5] = "VMRESUME with a VMCS that was not launched",
        [6] = "VMRESUME after VMXOFF",
        [VM_ERROR_CONTROLS] = "VM entry with invalid control fields (26.2.1)",
        [VM_ERROR_HOST_STATE] = "VM entry with invalid host-state fields (26.2.2)",
        [9] = "VMPTRLD with an invalid physical address",
        [10] = "VMPTRLD with the VMXON pointer",
        [11] = "VMPTRLD with a wrong VMCS revision identifier",
        [12] = "VMREAD or VMWRITE of a field that does not exist",
        [13] = "VMWRITE to a read-only field",
        [15] = "VMXON executed in VMX root operation",
        [26] = "VM entry with events blocked by MOV SS",
        [28] = "invalid operand to INVEPT or INVVPID",
    };
    return number < ARRAY_LEN(texts) && texts[number] ? texts[number]
                                                      : "an undocumented VM-instruction error";
}

static bool fits(const struct vmx_entry *e, enum vmx_word w)
{
    return fixed_bits(word(e, w), (uint32_t)e->cpu->allowed[w],
                      (uint32_t)(e->cpu->allowed[w] >> 32));
}

/* An address whose low bits must be 0, and that must be of memory. */
static bool bad_address(const struct vmx_entry *e, enum vmcs_field field, uint32_t low)
{
    const uint64_t hpa = get64(e, field);
    return (hpa & low) || beyond_memory(e, hpa);
}

static bool bad_page(const struct vmx_entry *e, enum vmcs_field field)
{
    return bad_address(e, field, PAGE_OFFSET);
}

/* --- 26.2.1.1: execution controls --- */

static void allowed_settings(struct vmx_entry *e)
{
    RULE(&e->rules, !fits(e, WORD_PIN), "26.2.1.1",
         "the pin-based controls are not what the CPU allows");
    RULE(&e->rules, !fits(e, WORD_CPU), "26.2.1.1",
         "the primary processor-based controls are not what the CPU allows");
    /* Not activated, they are not looked at. */
    RULE(&e->rules, on(e, WORD_CPU, CPU_SECONDARY) && !fits(e, WORD_CPU2), "26.2.1.1",
         "the secondary processor-based controls are not what the CPU allows");
    RULE(&e->rules, get(e, VMCS_CR3_TARGETS) > CR3_TARGETS_MOST, "26.2.1.1",
         "there are more than four CR3 targets");
}

static void bitmaps(struct vmx_entry *e)
{
    RULE(&e->rules, on(e, WORD_CPU, CPU_IO_BITMAPS) && bad_page(e, VMCS_IO_BITMAP_A), "26.2.1.1",
         "I/O bitmap A is no page of memory");
    RULE(&e->rules, on(e, WORD_CPU, CPU_IO_BITMAPS) && bad_page(e, VMCS_IO_BITMAP_B), "26.2.1.1",
         "I/O bitmap B is no page of memory");
    RULE(&e->rules, on(e, WORD_CPU, CPU_MSR_BITMAPS) && bad_page(e, VMCS_MSR_BITMAP), "26.2.1.1",
         "the MSR bitmap is no page of memory");
}

/* The threshold against bits 7:4 of the virtual TPR. */
static bool threshold_above_tpr(const struct vmx_entry *e)
{
    uint32_t tpr;
    if (bad_page(e, VMCS_VIRTUAL_APIC) ||
        !e->memory(get64(e, VMCS_VIRTUAL_APIC) + VTPR, &tpr, sizeof(tpr)))
        return false;
    return (get(e, VMCS_TPR_THRESHOLD) & 0xF) > (tpr >> 4 & 0xF);
}

static void virtual_apic(struct vmx_entry *e)
{
    const bool shadow = on(e, WORD_CPU, CPU_TPR_SHADOW);
    const bool delivery = on(e, WORD_CPU2, CPU2_VIRTUAL_DELIVERY);
    RULE(&e->rules, shadow && bad_page(e, VMCS_VIRTUAL_APIC), "26.2.1.1",
         "the virtual-APIC page is no page of memory");
    RULE(&e->rules, shadow && !delivery && get(e, VMCS_TPR_THRESHOLD) > 0xF, "26.2.1.1",
         "the TPR threshold has more than four bits");
    RULE(&e->rules,
         shadow && !delivery && !on(e, WORD_CPU2, CPU2_APIC_ACCESS) && threshold_above_tpr(e),
         "26.2.1.1", "the TPR threshold is above the virtual TPR");
    RULE(&e->rules, on(e, WORD_CPU2, CPU2_APIC_ACCESS) && bad_page(e, VMCS_APIC_ACCESS), "26.2.1.1",
         "the APIC-access page is no page of memory");
    RULE(&e->rules,
         !shadow && on(e, WORD_CPU2, CPU2_X2APIC | CPU2_APIC_REGISTERS | CPU2_VIRTUAL_DELIVERY),
         "26.2.1.1",
         "x2APIC mode, APIC registers or interrupt delivery are virtual without a TPR shadow");
    RULE(&e->rules, on(e, WORD_CPU2, CPU2_X2APIC) && on(e, WORD_CPU2, CPU2_APIC_ACCESS), "26.2.1.1",
         "x2APIC mode and APIC accesses are both virtual");
    RULE(&e->rules, delivery && !on(e, WORD_PIN, PIN_EXTERNAL_INTERRUPT), "26.2.1.1",
         "virtual-interrupt delivery without external-interrupt exiting");
}

static void posted_interrupts(struct vmx_entry *e)
{
    if (!on(e, WORD_PIN, PIN_POSTED_INTERRUPTS))
        return;
    RULE(&e->rules, !on(e, WORD_CPU2, CPU2_VIRTUAL_DELIVERY), "26.2.1.1",
         "posted interrupts without virtual-interrupt delivery");
    RULE(&e->rules, !on(e, WORD_EXIT, EXIT_ACKNOWLEDGE), "26.2.1.1",
         "posted interrupts without acknowledging interrupts on exit");
    RULE(&e->rules, get(e, VMCS_POSTED_VECTOR) > 0xFF, "26.2.1.1",
         "the posted-interrupt vector has more than eight bits");
    RULE(&e->rules, bad_address(e, VMCS_POSTED_DESCRIPTOR, 0x3F), "26.2.1.1",
         "the posted-interrupt descriptor is no 64 bytes of memory");
}

static void nmis(struct vmx_entry *e)
{
    RULE(&e->rules, on(e, WORD_PIN, PIN_VIRTUAL_NMI) && !on(e, WORD_PIN, PIN_NMI), "26.2.1.1",
         "virtual NMIs without NMI exiting");
    RULE(&e->rules, on(e, WORD_CPU, CPU_NMI_WINDOW) && !on(e, WORD_PIN, PIN_VIRTUAL_NMI),
         "26.2.1.1", "NMI-window exiting without virtual NMIs");
}

static void nested_paging(struct vmx_entry *e)
{
    const bool ept = on(e, WORD_CPU2, CPU2_EPT);
    const uint64_t pointer = ept ? get64(e, VMCS_EPT_POINTER) : 0, cap = e->cpu->ept_vpid;
    const uint64_t type = pointer & EPTP_TYPE;
    RULE(&e->rules, on(e, WORD_CPU2, CPU2_VPID) && !get(e, VMCS_VPID), "26.2.1.1",
         "VPIDs are enabled and the guest's is 0");
    RULE(&e->rules, unrestricted(e) && !ept, "26.2.1.1", "an unrestricted guest needs EPT");
    RULE(&e->rules, on(e, WORD_CPU2, CPU2_MODE_EXECUTE) && !ept, "26.2.1.1",
         "mode-based execute control needs EPT");
    RULE(&e->rules, on(e, WORD_CPU2, CPU2_PML) && !ept, "26.2.1.1",
         "page-modification logging needs EPT");
    RULE(&e->rules, on(e, WORD_CPU2, CPU2_PML) && bad_page(e, VMCS_PML_ADDRESS), "26.2.1.1",
         "the page-modification log is no page of memory");
    RULE(&e->rules,
         ept && !(type == EPTP_UNCACHED && (cap & EPT_CAP_UNCACHED)) &&
             !(type == EPTP_WRITE_BACK && (cap & EPT_CAP_WRITE_BACK)),
         "26.2.1.1", "the EPT pointer's memory type is neither uncached nor write-back");
    RULE(&e->rules, ept && (pointer >> EPTP_WALK_SHIFT & 7) != EPTP_WALK_4, "26.2.1.1",
         "the EPT pointer's levels are not four");
    RULE(&e->rules, ept && (pointer & EPTP_ACCESSED) && !(cap & EPT_CAP_ACCESSED), "26.2.1.1",
         "the EPT pointer enables accessed bits, which this CPU has not");
    RULE(&e->rules, ept && ((pointer & EPTP_RESERVED) || pointer >> e->cpu->phys_bits), "26.2.1.1",
         "reserved bits of the EPT pointer are set");
}

/* --- 26.2.1.2: exit controls --- */

/* An area of `count` entries of 16 bytes. */
static bool bad_area(const struct vmx_entry *e, enum vmcs_field count, enum vmcs_field area)
{
    const uint64_t n = get(e, count), from = n ? get64(e, area) : 0;
    return n && ((from & (MSR_ENTRY_SIZE - 1)) || beyond_memory(e, from) ||
                 beyond_memory(e, from + n * MSR_ENTRY_SIZE - 1));
}

static void exit_controls(struct vmx_entry *e)
{
    RULE(&e->rules, !fits(e, WORD_EXIT), "26.2.1.2",
         "the VM-exit controls are not what the CPU allows");
    RULE(&e->rules, on(e, WORD_EXIT, EXIT_SAVE_TIMER) && !on(e, WORD_PIN, PIN_PREEMPTION_TIMER),
         "26.2.1.2", "an exit saves the preemption timer, which is not active");
    RULE(&e->rules, bad_area(e, VMCS_EXIT_MSR_STORES, VMCS_EXIT_MSR_STORE_AREA), "26.2.1.2",
         "the area where an exit stores MSRs is not aligned to 16 bytes or not in memory");
    RULE(&e->rules, bad_area(e, VMCS_EXIT_MSR_LOADS, VMCS_EXIT_MSR_LOAD_AREA), "26.2.1.2",
         "the area from which an exit loads MSRs is not aligned to 16 bytes or not in memory");
}

/* --- 26.2.1.3: entry controls --- */

static bool pushes_error(uint32_t vector)
{
    return vector < 32 && ((1u << VEC_DF | 0x1Fu << VEC_TS | 1u << VEC_AC) >> vector & 1);
}

/* The error code goes with the vector, and real mode has none. */
static bool wants_error(const struct vmx_entry *e, uint32_t info)
{
    return INFO_TYPE(info) == INFO_EXCEPTION && pushes_error(info & INFO_VECTOR) &&
           (!unrestricted(e) || (get(e, VMCS_GUEST_CR0) & CR0_PE));
}

static bool impossible_vector(uint32_t info)
{
    const uint32_t vector = info & INFO_VECTOR;
    const enum info_type type = INFO_TYPE(info);
    return (type == INFO_NMI && vector != VEC_NMI) || (type == INFO_EXCEPTION && vector > 31) ||
           (type == INFO_OTHER && vector != 0);
}

static bool bad_length(const struct vmx_entry *e, enum info_type type)
{
    const uint32_t length = get(e, VMCS_ENTRY_EVENT_LENGTH);
    if (type < INFO_SOFT_INT || type == INFO_OTHER)
        return false;
    return length > 15 || (!length && !(e->cpu->misc & MISC_LENGTH_ZERO));
}

static void event(struct vmx_entry *e)
{
    const uint32_t info = get(e, VMCS_ENTRY_EVENT);
    const enum info_type type = INFO_TYPE(info);
    const bool has_error = info & INFO_HAS_ERROR;
    if (!(info & INFO_VALID))
        return;
    RULE(&e->rules,
         type == INFO_TYPE_RESERVED || (type == INFO_OTHER && !offered(e, WORD_CPU, CPU_TRAP_FLAG)),
         "26.2.1.3", "an injected event has a reserved type");
    RULE(&e->rules, info & INFO_RESERVED, "26.2.1.3", "an injected event has reserved bits set");
    RULE(&e->rules, impossible_vector(info), "26.2.1.3",
         "an injected NMI, exception or other event has an impossible vector");
    RULE(&e->rules,
         has_error != wants_error(e, info) &&
             !(type == INFO_EXCEPTION && (e->cpu->basic & BASIC_ANY_ERROR_CODE)),
         "26.2.1.3", "an injected event has an error code and should not, or the reverse");
    RULE(&e->rules, has_error && (get(e, VMCS_ENTRY_EVENT_ERROR) & ERROR_CODE_RESERVED), "26.2.1.3",
         "an injected error code is wider than 16 bits");
    RULE(&e->rules, bad_length(e, type), "26.2.1.3",
         "an injected software event has no instruction length of 1 to 15");
}

static void entry_controls(struct vmx_entry *e)
{
    RULE(&e->rules, !fits(e, WORD_ENTRY), "26.2.1.3",
         "the VM-entry controls are not what the CPU allows");
    RULE(&e->rules, on(e, WORD_ENTRY, ENTRY_TO_SMM), "26.2.1.3",
         "an entry to SMM is asked for, outside of SMM");
    RULE(&e->rules, on(e, WORD_ENTRY, ENTRY_LEAVE_DUAL_MONITOR), "26.2.1.3",
         "an end of dual-monitor treatment is asked for, outside of SMM");
    RULE(&e->rules, bad_area(e, VMCS_ENTRY_MSR_LOADS, VMCS_ENTRY_MSR_LOAD_AREA), "26.2.1.3",
         "the area from which an entry loads MSRs is not aligned to 16 bytes or not in memory");
    event(e);
}

void vmx_check_controls(struct vmx_entry *e)
{
    allowed_settings(e);
    bitmaps(e);
    virtual_apic(e);
    posted_interrupts(e);
    nmis(e);
    nested_paging(e);
    exit_controls(e);
    entry_controls(e);
}

const struct entry_rule *vmx_check(struct vmx_entry *e)
{
    e->rules.broken = NULL;
    vmx_check_controls(e);
    vmx_check_host(e);
    vmx_check_guest(e);
    vmx_check_msrs(e);
    return e->rules.broken;
}
