/* Naming the rule that a refused VM entry broke (SDM vol. 3C sections 26.3.1 and 30.4). */
#include "vmx.h"
#include "x86.h"

const char *vmx_instruction_error(uint32_t number)
{
    static const char *const texts[] = {
        [1] = "VMCALL executed in VMX root operation",
        [2] = "VMCLEAR with an invalid physical address",
        [3] = "VMCLEAR with the VMXON pointer",
        [4] = "VMLAUNCH with a VMCS that is not clear",
        [5] = "VMRESUME with a VMCS that was not launched",
        [7] = "VM entry with invalid control fields (section 26.2.1)",
        [8] = "VM entry with invalid host-state fields (section 26.2.2)",
        [9] = "VMPTRLD with an invalid physical address",
        [10] = "VMPTRLD with the VMXON pointer",
        [11] = "VMPTRLD with a wrong VMCS revision identifier",
        [12] = "VMREAD or VMWRITE of a field that does not exist",
        [13] = "VMWRITE to a read-only field",
        [15] = "VMXON executed in VMX root operation",
        [26] = "VM entry with events blocked by MOV SS",
    };
    return number < ARRAY_LEN(texts) && texts[number] ? texts[number]
                                                      : "an undocumented VM-instruction error";
}

static bool usable(enum sreg reg)
{
    return !(vmcs_read(VMCS_SEGMENT(VMCS_GUEST_ES_RIGHTS, reg)) & SEG_UNUSABLE);
}

static uint32_t rights(enum sreg reg)
{
    return vmcs_read(VMCS_SEGMENT(VMCS_GUEST_ES_RIGHTS, reg));
}

/* Section 26.3.1.2: a limit with G set ends in FFF; with G clear it is below 1 MB. */
static bool bad_granularity(enum sreg reg)
{
    const uint32_t limit = vmcs_read(VMCS_SEGMENT(VMCS_GUEST_ES_LIMIT, reg));
    if (!usable(reg))
        return false;
    return rights(reg) & SEG_G ? (limit & 0xFFF) != 0xFFF : limit > 0xFFFFF;
}

static const char *check_segments(void)
{
    const uint32_t cs = rights(SREG_CS), ss = rights(SREG_SS), tr = rights(SREG_TR);
    const uint32_t tr_type = tr & SEG_TYPE;
    if (!usable(SREG_TR) || !(tr & SEG_P) || (tr & SEG_S) ||
        (tr_type != SYS_TSS32_BUSY && tr_type != SYS_TSS16_BUSY))
        return "TR must be a usable, present, busy TSS (26.3.1.2)";
    if (usable(SREG_LDTR) &&
        ((rights(SREG_LDTR) & (SEG_TYPE | SEG_S | SEG_P)) != (SYS_LDT | SEG_P)))
        return "LDTR must be a present LDT (26.3.1.2)";
    if (!usable(SREG_CS) || !(cs & SEG_S) || !(cs & SEG_P) || !(cs & SEG_ACCESSED))
        return "CS must be usable, present, accessed code (26.3.1.2)";
    if (usable(SREG_SS) && (!(ss & SEG_S) || !(ss & SEG_P) || (ss & (SEG_CODE | SEG_RW)) != SEG_RW))
        return "SS must be present, writable data (26.3.1.2)";
    for (enum sreg reg = SREG_ES; reg <= SREG_TR; reg++) {
        if (bad_granularity(reg))
            return "a segment's limit does not fit its granularity bit (26.3.1.2)";
        if (reg <= SREG_GS && usable(reg) && (rights(reg) & 0xFFFE0F00u))
            return "reserved access-rights bits of a segment are set (26.3.1.2)";
    }
    return NULL;
}

const char *vmx_check_guest(const struct vmx_controls *c)
{
    const uint32_t cr0 = vmcs_read(VMCS_GUEST_CR0), cr4 = vmcs_read(VMCS_GUEST_CR4);
    const uint32_t eflags = vmcs_read(VMCS_GUEST_EFLAGS), event = vmcs_read(VMCS_ENTRY_EVENT);
    const uint32_t blocking = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);
    const uint32_t free0 = CR0_PE | CR0_PG;
    if ((cr0 & c->cr0_on & ~free0) != (c->cr0_on & ~free0) || (cr0 & ~c->cr0_may))
        return "CR0 has bits that VMX operation fixes otherwise (26.3.1.1)";
    if ((cr0 & CR0_PG) && !(cr0 & CR0_PE))
        return "CR0.PG is set and CR0.PE is clear (26.3.1.1)";
    if ((cr4 & c->cr4_on) != c->cr4_on || (cr4 & ~c->cr4_may))
        return "CR4 has bits that VMX operation fixes otherwise (26.3.1.1)";
    if (!(eflags & FL_R1) || (eflags & 0xFFC08028u))
        return "reserved bits of EFLAGS are wrong (26.3.1.4)";
    if ((event & INFO_VALID) && !(event >> INFO_TYPE_SHIFT & 7) && !(eflags & FL_IF))
        return "an external interrupt is injected and EFLAGS.IF is clear (26.3.1.4)";
    if ((blocking & BLOCKING_STI) && !(eflags & FL_IF))
        return "blocking by STI and EFLAGS.IF clear (26.3.1.5)";
    if ((blocking & 3) == 3)
        return "blocking by STI and by MOV SS at once (26.3.1.5)";
    if ((event & INFO_VALID) && !(event >> INFO_TYPE_SHIFT & 7) && (blocking & 3))
        return "an external interrupt is injected while interrupts are blocked (26.3.1.5)";
    if (vmcs_read64(VMCS_LINK_POINTER) != UINT64_MAX)
        return "the VMCS link pointer is not all ones (26.3.1.5)";
    return check_segments();
}
