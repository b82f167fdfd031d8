/*
 * The checks of VM entry in software, so that a refused entry names the rule that was broken (SDM
 * vol. 3C sections 26.2 and 26.3). What cannot be wrong here is left out: 64-bit guests and hosts,
 * MSR lists, SMM, nested VMX. Pure code.
 */
#include "vmx.h"
#include "x86.h"

#define PAGE_OFFSET 0xFFFu
#define RIGHTS_RESERVED 0xFFFE0F00u
#define FL_RESERVED 0xFFC08028u

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

/* --- 26.2.1: control fields --- */

static bool fits(const struct vmx_controls *c, enum vmx_word word, uint32_t value)
{
    return (value & c->must[word]) == c->must[word] && !(value & ~c->may[word]);
}

static const char *check_entry_event(vmcs_reader get)
{
    const uint32_t info = get(VMCS_ENTRY_EVENT), vector = info & INFO_VECTOR;
    const uint32_t length = get(VMCS_ENTRY_EVENT_LENGTH);
    const enum info_type type = INFO_TYPE(info);
    const bool pushes = (1u << VEC_DF | 0x1Fu << VEC_TS | 1u << VEC_AC) >> (vector & 31) & 1;
    const bool protected = get(VMCS_GUEST_CR0) & CR0_PE;
    if (!(info & INFO_VALID))
        return NULL;
    if (type == INFO_TYPE_RESERVED || (info & INFO_RESERVED))
        return "an injected event has a reserved type or reserved bits (26.2.1.3)";
    if ((type == INFO_NMI && vector != VEC_NMI) || (type == INFO_EXCEPTION && vector > 31))
        return "an injected NMI or exception has an impossible vector (26.2.1.3)";
    if (!(info & INFO_HAS_ERROR) != !(type == INFO_EXCEPTION && pushes && protected))
        return "an injected event has an error code and should not, or the reverse (26.2.1.3)";
    if ((info & INFO_HAS_ERROR) && get(VMCS_ENTRY_EVENT_ERROR) >> 15)
        return "an injected error code is wider than 15 bits (26.2.1.3)";
    if (type >= INFO_SOFT_INT && type < INFO_OTHER && (!length || length > 15))
        return "an injected software event has no instruction length of 1 to 15 (26.2.1.3)";
    return NULL;
}

const char *vmx_check_controls(const struct vmx_controls *c, vmcs_reader get)
{
    const uint32_t cpu2 = get(VMCS_CPU_CONTROLS2), ept = get(VMCS_EPT_POINTER);
    if (!fits(c, WORD_PIN, get(VMCS_PIN_CONTROLS)))
        return "the pin-based controls are not what the CPU allows (26.2.1.1)";
    if (!fits(c, WORD_CPU, get(VMCS_CPU_CONTROLS)))
        return "the primary processor-based controls are not what the CPU allows (26.2.1.1)";
    if (!fits(c, WORD_CPU2, cpu2))
        return "the secondary processor-based controls are not what the CPU allows (26.2.1.1)";
    if (get(VMCS_CR3_TARGETS) > 4)
        return "there are more than four CR3 targets (26.2.1.1)";
    if ((cpu2 & CPU2_VPID) && !get(VMCS_VPID))
        return "VPIDs are enabled and the guest's is 0 (26.2.1.1)";
    if ((cpu2 & CPU2_UNRESTRICTED) && !(cpu2 & CPU2_EPT))
        return "an unrestricted guest needs EPT (26.2.1.1)";
    if ((cpu2 & CPU2_EPT) && ((ept & 7) != 0 && (ept & 7) != 6))
        return "the EPT pointer's memory type is neither uncached nor write-back (26.2.1.1)";
    if ((cpu2 & CPU2_EPT) && ((ept >> 3 & 7) != 3 || (ept & PAGE_OFFSET & ~0x7Fu)))
        return "the EPT pointer's levels are not four or reserved bits are set (26.2.1.1)";
    if (!fits(c, WORD_EXIT, get(VMCS_EXIT_CONTROLS)))
        return "the VM-exit controls are not what the CPU allows (26.2.1.2)";
    if (!fits(c, WORD_ENTRY, get(VMCS_ENTRY_CONTROLS)))
        return "the VM-entry controls are not what the CPU allows (26.2.1.3)";
    return check_entry_event(get);
}

/* --- 26.2.2 to 26.2.4: host state --- */

static bool fixed_bits(uint32_t value, uint32_t on, uint32_t may)
{
    return (value & on) == on && !(value & ~may);
}

/* Eight memory types, each 0, 1, 4, 5, 6 or 7 (section 26.2.2). */
static bool valid_pat(vmcs_reader get, enum vmcs_field field)
{
    for (unsigned i = 0; i < 8; i++) {
        const uint32_t half = get((enum vmcs_field)(field + i / 4));
        const uint32_t type = half >> 8 * (i % 4) & 0xFF;
        if (type > 7 || type == 2 || type == 3)
            return false;
    }
    return true;
}

const char *vmx_check_host(const struct vmx_controls *c, vmcs_reader get)
{
    if (!fixed_bits(get(VMCS_HOST_CR0), c->cr0_on, c->cr0_may))
        return "the host's CR0 has bits that VMX operation fixes otherwise (26.2.2)";
    if (!fixed_bits(get(VMCS_HOST_CR4), c->cr4_on, c->cr4_may))
        return "the host's CR4 has bits that VMX operation fixes otherwise (26.2.2)";
    if ((get(VMCS_EXIT_CONTROLS) & EXIT_LOAD_PAT) && !valid_pat(get, VMCS_HOST_PAT))
        return "the host's PAT has an impossible memory type (26.2.2)";
    for (enum vmcs_field f = VMCS_HOST_ES_SEL; f <= VMCS_HOST_TR_SEL; f += 2) {
        if (get(f) & (SEL_RPL | SEL_TI))
            return "a host selector has RPL or TI bits (26.2.3)";
    }
    if (!get(VMCS_HOST_CS_SEL) || !get(VMCS_HOST_TR_SEL))
        return "the host's CS or TR selector is null (26.2.3)";
    if (!get(VMCS_HOST_SS_SEL))
        return "the host's SS selector is null, which only a 64-bit host may have (26.2.3)";
    if (get(VMCS_EXIT_CONTROLS) & EXIT_HOST_64BIT)
        return "a 64-bit host is asked for, outside of IA-32e mode (26.2.4)";
    return NULL;
}

/* --- 26.3.1: guest state --- */

static const char *check_control_registers(const struct vmx_controls *c, vmcs_reader get)
{
    const uint32_t cr0 = get(VMCS_GUEST_CR0), entry = get(VMCS_ENTRY_CONTROLS);
    const uint32_t free0 = get(VMCS_CPU_CONTROLS2) & CPU2_UNRESTRICTED ? CR0_PE | CR0_PG : 0;
    if (!fixed_bits(cr0, c->cr0_on & ~free0, c->cr0_may))
        return "CR0 has bits that VMX operation fixes otherwise (26.3.1.1)";
    if ((cr0 & CR0_PG) && !(cr0 & CR0_PE))
        return "CR0.PG is set and CR0.PE is clear (26.3.1.1)";
    if (!fixed_bits(get(VMCS_GUEST_CR4), c->cr4_on, c->cr4_may))
        return "CR4 has bits that VMX operation fixes otherwise (26.3.1.1)";
    if ((entry & ENTRY_LOAD_PAT) && !valid_pat(get, VMCS_GUEST_PAT))
        return "the PAT has an impossible memory type (26.3.1.1)";
    if ((entry & ENTRY_LOAD_EFER) && get(VMCS_GUEST_EFER) & ~EFER_NXE)
        return "EFER has reserved bits, or those of IA-32e mode (26.3.1.1)";
    return NULL;
}

static uint32_t rights(vmcs_reader get, enum sreg reg)
{
    return get(VMCS_SEGMENT(VMCS_GUEST_ES_RIGHTS, reg));
}

static unsigned dpl(uint32_t attr)
{
    return (attr & SEG_DPL) >> SEG_DPL_SHIFT;
}

static const char *check_code_and_stack(vmcs_reader get)
{
    const uint32_t cs = rights(get, SREG_CS), ss = rights(get, SREG_SS);
    const uint32_t cs_type = cs & SEG_TYPE, ss_type = ss & SEG_TYPE;
    const bool unrestricted = get(VMCS_CPU_CONTROLS2) & CPU2_UNRESTRICTED;
    const bool real = !(get(VMCS_GUEST_CR0) & CR0_PE);
    const bool data_cs = cs_type == (SEG_RW | SEG_ACCESSED);
    if ((cs & SEG_UNUSABLE) || !(cs & SEG_S) || !(cs & SEG_P))
        return "CS must be usable, present and no system segment (26.3.1.2)";
    if (!(cs & SEG_ACCESSED) || !(cs & SEG_CODE || (data_cs && unrestricted)))
        return "CS must be accessed code, or accessed data in real mode (26.3.1.2)";
    if (data_cs && dpl(cs))
        return "CS of the data type must have DPL 0 (26.3.1.2)";
    if ((cs & SEG_CODE) && !(cs & SEG_CE) && dpl(cs) != dpl(ss))
        return "the DPL of non-conforming CS must be that of SS (26.3.1.2)";
    if ((cs & SEG_CODE) && (cs & SEG_CE) && dpl(cs) > dpl(ss))
        return "the DPL of conforming CS must not be above that of SS (26.3.1.2)";
    if ((real || data_cs) && dpl(ss))
        return "SS must have DPL 0 in real mode (26.3.1.2)";
    if (!unrestricted && ((get(VMCS_GUEST_SS) ^ get(VMCS_GUEST_CS)) & SEL_RPL))
        return "the RPLs of CS and SS differ (26.3.1.2)";
    if (!unrestricted && dpl(ss) != (get(VMCS_GUEST_SS) & SEL_RPL))
        return "the DPL of SS must be its RPL (26.3.1.2)";
    if (ss & SEG_UNUSABLE)
        return NULL;
    if (!(ss & SEG_S) || !(ss & SEG_P) ||
        (ss_type & (SEG_CODE | SEG_RW | SEG_ACCESSED)) != (SEG_RW | SEG_ACCESSED))
        return "SS must be present, writable, accessed data (26.3.1.2)";
    return NULL;
}

/* A limit with G set ends in FFF, one with G clear is below 1 MB. */
static bool bad_granularity(vmcs_reader get, enum sreg reg)
{
    const uint32_t limit = get(VMCS_SEGMENT(VMCS_GUEST_ES_LIMIT, reg));
    return rights(get, reg) & SEG_G ? (limit & 0xFFF) != 0xFFF : limit > 0xFFFFF;
}

static const char *check_data(vmcs_reader get)
{
    const bool unrestricted = get(VMCS_CPU_CONTROLS2) & CPU2_UNRESTRICTED;
    for (enum sreg reg = SREG_ES; reg <= SREG_TR; reg++) {
        const uint32_t attr = rights(get, reg), type = attr & SEG_TYPE;
        if (attr & SEG_UNUSABLE)
            continue;
        if (attr & RIGHTS_RESERVED)
            return "reserved access-rights bits of a segment are set (26.3.1.2)";
        if (bad_granularity(get, reg))
            return "a segment's limit does not fit its granularity bit (26.3.1.2)";
        if (reg == SREG_CS || reg == SREG_SS || reg >= SREG_LDTR)
            continue;
        if (!(attr & SEG_S) || !(attr & SEG_P) || !(type & SEG_ACCESSED) ||
            (type & (SEG_CODE | SEG_RW)) == SEG_CODE)
            return "DS, ES, FS and GS must be present, accessed, readable (26.3.1.2)";
        if (!unrestricted && type < (SEG_CODE | SEG_CE) &&
            dpl(attr) < (get(VMCS_SEGMENT(VMCS_GUEST_ES, reg)) & SEL_RPL))
            return "the DPL of a data segment must not be below its RPL (26.3.1.2)";
    }
    return NULL;
}

static const char *check_system_segments(vmcs_reader get)
{
    const uint32_t ldtr = rights(get, SREG_LDTR), tr = rights(get, SREG_TR);
    const uint32_t type = tr & SEG_TYPE;
    if ((tr & SEG_UNUSABLE) || !(tr & SEG_P) || (tr & SEG_S) ||
        (type != SYS_TSS32_BUSY && type != SYS_TSS16_BUSY))
        return "TR must be a usable, present, busy TSS (26.3.1.2)";
    if (get(VMCS_GUEST_TR) & SEL_TI)
        return "TR's selector must point into the GDT (26.3.1.2)";
    if (ldtr & SEG_UNUSABLE)
        return NULL;
    if ((ldtr & (SEG_TYPE | SEG_S | SEG_P)) != (SYS_LDT | SEG_P))
        return "LDTR must be a present LDT (26.3.1.2)";
    if (get(VMCS_GUEST_LDTR) & SEL_TI)
        return "LDTR's selector must point into the GDT (26.3.1.2)";
    return NULL;
}

/* In virtual-8086 mode the hidden parts are what the selectors say. */
static const char *check_v86(vmcs_reader get)
{
    for (enum sreg reg = SREG_ES; reg <= SREG_GS; reg++) {
        if (get(VMCS_SEGMENT(VMCS_GUEST_ES_BASE, reg)) != get(VMCS_SEGMENT(VMCS_GUEST_ES, reg))
                                                              << 4 ||
            get(VMCS_SEGMENT(VMCS_GUEST_ES_LIMIT, reg)) != 0xFFFF ||
            rights(get, reg) != (SEG_P | SEG_DPL | SEG_S | SEG_RW | SEG_ACCESSED))
            return "a segment in virtual-8086 mode is not what its selector says (26.3.1.2)";
    }
    return NULL;
}

static const char *check_segments(vmcs_reader get)
{
    const char *why = check_system_segments(get);
    if (why)
        return why;
    if (get(VMCS_GUEST_EFLAGS) & FL_VM)
        return check_v86(get);
    why = check_code_and_stack(get);
    return why ? why : check_data(get);
}

static const char *check_flags(vmcs_reader get)
{
    const uint32_t eflags = get(VMCS_GUEST_EFLAGS), event = get(VMCS_ENTRY_EVENT);
    const bool irq = (event & INFO_VALID) && INFO_TYPE(event) == INFO_EXTERNAL;
    if (!(eflags & FL_R1) || (eflags & FL_RESERVED))
        return "reserved bits of EFLAGS are wrong (26.3.1.4)";
    if ((eflags & FL_VM) && !(get(VMCS_GUEST_CR0) & CR0_PE))
        return "EFLAGS.VM is set in real mode (26.3.1.4)";
    if (irq && !(eflags & FL_IF))
        return "an external interrupt is injected and EFLAGS.IF is clear (26.3.1.4)";
    return NULL;
}

static const char *check_interruptibility(vmcs_reader get)
{
    const uint32_t blocking = get(VMCS_GUEST_INTERRUPTIBILITY), event = get(VMCS_ENTRY_EVENT);
    const uint32_t eflags = get(VMCS_GUEST_EFLAGS);
    const bool injects = event & INFO_VALID;
    const enum info_type type = INFO_TYPE(event);
    if (get(VMCS_GUEST_ACTIVITY) > 3)
        return "the activity state is none of the four (26.3.1.5)";
    if (blocking & ~0x1Fu)
        return "reserved bits of the interruptibility state are set (26.3.1.5)";
    if ((blocking & BLOCKING_STI) && !(eflags & FL_IF))
        return "blocking by STI and EFLAGS.IF clear (26.3.1.5)";
    if ((blocking & BLOCKING_STI) && (blocking & BLOCKING_MOV_SS))
        return "blocking by STI and by MOV SS at once (26.3.1.5)";
    if (injects && type == INFO_EXTERNAL && (blocking & (BLOCKING_STI | BLOCKING_MOV_SS)))
        return "an external interrupt is injected while interrupts are blocked (26.3.1.5)";
    if (injects && type == INFO_NMI && (blocking & BLOCKING_MOV_SS))
        return "an NMI is injected while MOV SS blocks events (26.3.1.5)";
    if ((blocking & (BLOCKING_STI | BLOCKING_MOV_SS)) &&
        !(eflags & FL_TF) != !(get(VMCS_GUEST_PENDING_DEBUG) & PENDING_DEBUG_BS))
        return "interrupts are blocked, and a pending single step does not agree with EFLAGS.TF "
               "(26.3.1.5)";
    if (get(VMCS_LINK_POINTER) != UINT32_MAX ||
        get((enum vmcs_field)(VMCS_LINK_POINTER + 1)) != UINT32_MAX)
        return "the VMCS link pointer is not all ones (26.3.1.5)";
    return NULL;
}

const char *vmx_check_guest(const struct vmx_controls *c, vmcs_reader get)
{
    const char *why = check_control_registers(c, get);
    if (!why)
        why = check_segments(get);
    if (!why && (get(VMCS_GUEST_GDTR_LIMIT) > 0xFFFF || get(VMCS_GUEST_IDTR_LIMIT) > 0xFFFF))
        why = "a descriptor-table limit has more than 16 bits (26.3.1.3)";
    if (!why)
        why = check_flags(get);
    return why ? why : check_interruptibility(get);
}
