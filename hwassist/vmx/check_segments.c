/* The checks of VM entry in software: the guest's segment registers (SDM vol. 3C section 26.3.1.2).
 * Pure code. */
#include "check.h"

#define RIGHTS_RESERVED 0xFFFE0F00u
#define RIGHTS_V86 (SEG_P | SEG_DPL | SEG_S | SEG_RW | SEG_ACCESSED)
#define DATA_CS (SEG_RW | SEG_ACCESSED) /* the type that CS may have in real mode */

static uint32_t selector(const struct vmx_entry *e, enum sreg reg)
{
    return get(e, VMCS_SEGMENT(VMCS_GUEST_ES, reg));
}

static uint32_t rights(const struct vmx_entry *e, enum sreg reg)
{
    return get(e, VMCS_SEGMENT(VMCS_GUEST_ES_RIGHTS, reg));
}

static uint32_t limit(const struct vmx_entry *e, enum sreg reg)
{
    return get(e, VMCS_SEGMENT(VMCS_GUEST_ES_LIMIT, reg));
}

static unsigned dpl(uint32_t attr)
{
    return (attr & SEG_DPL) >> SEG_DPL_SHIFT;
}

/* A limit with G set ends in FFF, one with G clear is below 1 MB. */
static bool bad_granularity(const struct vmx_entry *e, enum sreg reg)
{
    return rights(e, reg) & SEG_G ? (limit(e, reg) & 0xFFF) != 0xFFF : limit(e, reg) > 0xFFFFF;
}

/* Of every usable segment, of CS always. */
static void common(struct vmx_entry *e, enum sreg reg)
{
    RULE(&e->rules, !(rights(e, reg) & SEG_P), "26.3.1.2", "a usable segment is not present");
    RULE(&e->rules, rights(e, reg) & RIGHTS_RESERVED, "26.3.1.2",
         "reserved access-rights bits of a segment are set");
    RULE(&e->rules, bad_granularity(e, reg), "26.3.1.2",
         "a segment's limit does not fit its granularity bit");
}

static bool good_cs_type(const struct vmx_entry *e, uint32_t type)
{
    return (type & SEG_CODE && type & SEG_ACCESSED) || (type == DATA_CS && unrestricted(e));
}

/* CS may be unusable: then what is left of it is undefined (section 26.3.2.2), but it is checked.
 */
static void code(struct vmx_entry *e)
{
    const uint32_t cs = rights(e, SREG_CS), type = cs & SEG_TYPE;
    const unsigned cs_dpl = dpl(cs), ss_dpl = dpl(rights(e, SREG_SS));
    RULE(&e->rules, !(cs & SEG_S), "26.3.1.2", "CS is a system segment");
    common(e, SREG_CS);
    RULE(&e->rules, !good_cs_type(e, type), "26.3.1.2",
         "CS must be accessed code, or, of an unrestricted guest, accessed data");
    RULE(&e->rules, type == DATA_CS && cs_dpl, "26.3.1.2", "CS of the data type must have DPL 0");
    RULE(&e->rules, (type & SEG_CODE) && !(type & SEG_CE) && cs_dpl != ss_dpl, "26.3.1.2",
         "the DPL of non-conforming CS must be that of SS");
    RULE(&e->rules, (type & SEG_CODE) && (type & SEG_CE) && cs_dpl > ss_dpl, "26.3.1.2",
         "the DPL of conforming CS must not be above that of SS");
}

static void stack(struct vmx_entry *e)
{
    const uint32_t ss = rights(e, SREG_SS), type = ss & SEG_TYPE;
    const uint32_t ss_rpl = selector(e, SREG_SS) & SEL_RPL;
    RULE(&e->rules, !unrestricted(e) && ss_rpl != (selector(e, SREG_CS) & SEL_RPL), "26.3.1.2",
         "the RPLs of CS and SS differ");
    RULE(&e->rules, !unrestricted(e) && dpl(ss) != ss_rpl, "26.3.1.2",
         "the DPL of SS must be its RPL");
    RULE(&e->rules,
         dpl(ss) &&
             (!(get(e, VMCS_GUEST_CR0) & CR0_PE) || (rights(e, SREG_CS) & SEG_TYPE) == DATA_CS),
         "26.3.1.2", "SS must have DPL 0 in real mode, and with CS of the data type");
    if (ss & SEG_UNUSABLE)
        return;
    common(e, SREG_SS);
    RULE(&e->rules,
         !(ss & SEG_S) || (type & (SEG_CODE | SEG_RW | SEG_ACCESSED)) != (SEG_RW | SEG_ACCESSED),
         "26.3.1.2", "SS must be writable, accessed data");
}

static void data(struct vmx_entry *e, enum sreg reg)
{
    const uint32_t attr = rights(e, reg), type = attr & SEG_TYPE;
    if (attr & SEG_UNUSABLE)
        return;
    common(e, reg);
    RULE(&e->rules,
         !(attr & SEG_S) || !(type & SEG_ACCESSED) || (type & (SEG_CODE | SEG_RW)) == SEG_CODE,
         "26.3.1.2", "DS, ES, FS and GS must be accessed data or readable code");
    RULE(&e->rules,
         !unrestricted(e) && type < (SEG_CODE | SEG_CE) && dpl(attr) < (selector(e, reg) & SEL_RPL),
         "26.3.1.2", "the DPL of a data segment must not be below its RPL");
}

static void system_segments(struct vmx_entry *e)
{
    const uint32_t ldtr = rights(e, SREG_LDTR), tr = rights(e, SREG_TR), type = tr & SEG_TYPE;
    RULE(&e->rules, tr & SEG_UNUSABLE, "26.3.1.2", "TR is unusable");
    common(e, SREG_TR);
    RULE(&e->rules, (tr & SEG_S) || (type != SYS_TSS32_BUSY && type != SYS_TSS16_BUSY), "26.3.1.2",
         "TR must be a busy TSS");
    RULE(&e->rules, selector(e, SREG_TR) & SEL_TI, "26.3.1.2",
         "TR's selector must point into the GDT");
    if (ldtr & SEG_UNUSABLE)
        return;
    common(e, SREG_LDTR);
    RULE(&e->rules, (ldtr & (SEG_TYPE | SEG_S)) != SYS_LDT, "26.3.1.2", "LDTR must be an LDT");
    RULE(&e->rules, selector(e, SREG_LDTR) & SEL_TI, "26.3.1.2",
         "LDTR's selector must point into the GDT");
}

/* In virtual-8086 mode the hidden parts are what the selectors say. */
static void virtual_8086(struct vmx_entry *e, enum sreg reg)
{
    const uint32_t base = get(e, VMCS_SEGMENT(VMCS_GUEST_ES_BASE, reg));
    RULE(&e->rules, base != selector(e, reg) << 4, "26.3.1.2",
         "a segment's base in virtual-8086 mode is not 16 times the selector");
    RULE(&e->rules, limit(e, reg) != 0xFFFF, "26.3.1.2",
         "a segment's limit in virtual-8086 mode is not FFFF");
    RULE(&e->rules, rights(e, reg) != RIGHTS_V86, "26.3.1.2",
         "a segment's access rights in virtual-8086 mode are not F3");
}

void vmx_check_segments(struct vmx_entry *e)
{
    system_segments(e);
    if (get(e, VMCS_GUEST_EFLAGS) & FL_VM) {
        for (enum sreg reg = SREG_ES; reg <= SREG_GS; reg++)
            virtual_8086(e, reg);
        return;
    }
    code(e);
    stack(e);
    for (enum sreg reg = SREG_ES; reg <= SREG_GS; reg++) {
        if (reg != SREG_CS && reg != SREG_SS)
            data(e, reg);
    }
}
