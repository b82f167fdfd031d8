/* The choice of VMX controls; see capability.h. Pure code. */
#include "capability.h"
#include "vmcs_fields.h"

#define BASIC_REVISION 0x7FFFFFFFull
#define BASIC_INS_OUTS_INFO (1ull << 54)
#define MISC_TIMER_SHIFT 0x1Fu
#define EPT_4_LEVELS (1ull << 6)
#define EPT_WRITE_BACK (1ull << 14)
#define EPT_2MB (1ull << 16)
#define EPT_INVEPT (1ull << 20)
#define EPT_INVEPT_SINGLE (1ull << 25)
#define VPID_INVVPID (1ull << 32)
#define VPID_INVVPID_SINGLE (1ull << 41)

enum need {
    MUST,  /* without it the mode cannot run */
    LATER, /* must be there, but is off until it is needed */
    MAY,   /* used where it is there */
    NEVER, /* a CPU that forces it on is of no use */
};

/* A control: why the mode cannot run (MUST, LATER: without it; NEVER: with it), or what the guest
 * gets without it (MAY). Bits that are not listed are as the CPU forces them. */
static const struct control {
    enum vmx_word word;
    uint32_t bit;
    enum need need;
    const char *name, *why;
} table[] = {
    {WORD_PIN, PIN_EXTERNAL_INTERRUPT, MUST, "external-interrupt exiting",
     "its VT-x cannot exit on external interrupts"},
    {WORD_PIN, PIN_NMI, MUST, "NMI exiting", "its VT-x cannot exit on NMIs"},
    {WORD_PIN, PIN_PREEMPTION_TIMER, MAY, "VMX-preemption timer",
     "a guest that loops with IF clear may delay the host (in Bochs) until it ends"},
    {WORD_CPU, CPU_HLT, MUST, "HLT exiting", "its VT-x cannot exit on HLT"},
    {WORD_CPU, CPU_UNCONDITIONAL_IO, MUST, "unconditional I/O exiting",
     "its VT-x cannot exit on every port access"},
    {WORD_CPU, CPU_TSC_OFFSET, MUST, "use TSC offsetting",
     "its VT-x cannot offset the time stamp counter"},
    {WORD_CPU, CPU_INTERRUPT_WINDOW, LATER, "interrupt-window exiting",
     "its VT-x cannot exit when the guest becomes ready for an interrupt"},
    {WORD_CPU, CPU_CR3_LOAD, LATER, "CR3-load exiting", "its VT-x cannot exit on MOV to CR3"},
    {WORD_CPU, CPU_CR3_STORE, LATER, "CR3-store exiting", "its VT-x cannot exit on MOV from CR3"},
    {WORD_CPU, CPU_INVLPG, LATER, "INVLPG exiting", "its VT-x cannot exit on INVLPG"},
    {WORD_CPU, CPU_SECONDARY, MAY, "activate secondary controls", "it has none of those below"},
    {WORD_CPU, CPU_MWAIT, MAY, "MWAIT exiting", "MWAIT runs although CPUID does not offer it"},
    {WORD_CPU, CPU_MONITOR, MAY, "MONITOR exiting", "MONITOR runs although CPUID hides it"},
    {WORD_CPU, CPU_MSR_BITMAPS, MAY, "use MSR bitmaps", "every RDMSR and WRMSR exits"},
    {WORD_CPU, CPU_RDPMC, MAY, "RDPMC exiting", "the guest can read the host's event counters"},
    {WORD_CPU2, CPU2_EPT, MAY, "enable EPT", "shadow paging: the guest's page faults exit"},
    {WORD_CPU2, CPU2_UNRESTRICTED, MAY, "unrestricted guest",
     "a guest with paging off runs on a table of the VMM, and real mode in virtual-8086 mode"},
    {WORD_CPU2, CPU2_VPID, MAY, "enable VPID", "every world switch drops the guest's TLB entries"},
    {WORD_CPU2, CPU2_WBINVD, MAY, "WBINVD exiting", "the guest can write the host's caches back"},
    {WORD_EXIT, EXIT_SAVE_DEBUG, MUST, "save debug controls",
     "its VT-x cannot save the guest's DR7"},
    {WORD_EXIT, EXIT_HOST_64BIT, NEVER, "host address-space size", "its VT-x wants a 64-bit host"},
    {WORD_EXIT, EXIT_LOAD_PAT, MAY, "load PAT on exit", "the guest runs with the host's PAT"},
    {WORD_EXIT, EXIT_LOAD_EFER, MAY, "load EFER on exit", "the guest runs with the host's EFER"},
    {WORD_ENTRY, ENTRY_LOAD_DEBUG, MUST, "load debug controls",
     "its VT-x cannot load the guest's DR7"},
    {WORD_ENTRY, ENTRY_GUEST_64BIT, NEVER, "IA-32e mode guest", "its VT-x wants a 64-bit guest"},
    {WORD_ENTRY, ENTRY_LOAD_PAT, MAY, "load PAT on entry", "the guest runs with the host's PAT"},
    {WORD_ENTRY, ENTRY_LOAD_EFER, MAY, "load EFER on entry", "the guest runs with the host's EFER"},
};

static const char *choose_controls(struct vmx_controls *c)
{
    for (unsigned w = 0; w < WORD_COUNT; w++)
        c->word[w] = c->must[w];
    for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
        const struct control *t = &table[i];
        const bool can = c->may[t->word] & t->bit;
        if (t->need == NEVER ? c->must[t->word] & t->bit : !can && t->need != MAY)
            return t->why;
        if (can && (t->need == MUST || t->need == MAY))
            c->word[t->word] |= t->bit;
    }
    return NULL;
}

/* Entry and exit load the PAT and EFER both or not at all: else the host would keep the guest's. */
static void pair(struct vmx_controls *c, uint32_t on_entry, uint32_t on_exit)
{
    if ((c->word[WORD_ENTRY] & on_entry) && (c->word[WORD_EXIT] & on_exit))
        return;
    c->word[WORD_ENTRY] &= ~on_entry;
    c->word[WORD_EXIT] &= ~on_exit;
}

/* Why nested paging cannot be used, or NULL. */
static const char *choose_ept(const struct vmx_capabilities *cap, struct vmx_controls *c)
{
    const uint64_t has = cap->ept_vpid;
    if (!(c->word[WORD_CPU2] & CPU2_EPT))
        return "its VT-x has no EPT";
    if (!(has & EPT_4_LEVELS) || !(has & EPT_WRITE_BACK))
        return "its EPT does not walk four write-back levels";
    if (!(has & EPT_2MB))
        return "its EPT has no 2 MB pages";
    if (!(has & EPT_INVEPT))
        return "its EPT has no INVEPT";
    c->invept_type = has & EPT_INVEPT_SINGLE ? 1 : 2; /* single context, else all */
    return NULL;
}

static void choose_vpid(const struct vmx_capabilities *cap, struct vmx_controls *c)
{
    c->invvpid_type = cap->ept_vpid & VPID_INVVPID_SINGLE ? 1 : 2;
    if (!(cap->ept_vpid & VPID_INVVPID))
        c->word[WORD_CPU2] &= ~CPU2_VPID;
}

void vmx_without_ept(struct vmx_controls *c)
{
    c->word[WORD_CPU2] &= ~(CPU2_EPT | CPU2_UNRESTRICTED);
    c->word[WORD_CPU] |= CPU_CR3_LOAD | CPU_CR3_STORE | CPU_INVLPG;
    c->unrestricted = false;
}

const char *vmx_negotiate(const struct vmx_capabilities *cap, struct vmx_controls *c)
{
    for (unsigned w = 0; w < WORD_COUNT; w++) {
        c->must[w] = (uint32_t)cap->allowed[w];
        c->may[w] = (uint32_t)(cap->allowed[w] >> 32);
    }
    c->revision = (uint32_t)(cap->basic & BASIC_REVISION);
    c->cr0_on = cap->cr0_on;
    c->cr0_may = cap->cr0_may;
    c->cr4_on = cap->cr4_on;
    c->cr4_may = cap->cr4_may;
    c->timer_shift = (unsigned)cap->misc & MISC_TIMER_SHIFT;
    const char *why = choose_controls(c);
    if (why)
        return why;
    c->string_info = cap->basic & BASIC_INS_OUTS_INFO;
    pair(c, ENTRY_LOAD_PAT, EXIT_LOAD_PAT);
    pair(c, ENTRY_LOAD_EFER, EXIT_LOAD_EFER);
    c->no_ept = choose_ept(cap, c);
    c->unrestricted = c->word[WORD_CPU2] & CPU2_UNRESTRICTED;
    choose_vpid(cap, c);
    if (c->no_ept)
        vmx_without_ept(c);
    return NULL;
}

void vmx_controls_walk(const struct vmx_controls *c,
                       void (*tell)(const char *name, bool found, bool used,
                                    const char *consequence))
{
    for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
        const struct control *t = &table[i];
        if (t->need == MAY)
            tell(t->name, c->may[t->word] & t->bit, c->word[t->word] & t->bit, t->why);
    }
}
