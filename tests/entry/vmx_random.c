/* Random ways: one to three fields of a random base, changed by a bit or two or to a value from the
 * edge. Left out: host state that no exit survives, MSR areas of random lengths, and tables from
 * which the guest could get out of its memory. */
#include "vmm.h"
#include "vmx_test.h"

struct target {
    uint16_t encoding;
    uint32_t keep; /* bits that stay */
};
#define WHOLE(name)                                                                                \
    {                                                                                              \
        VMCS_##name, 0                                                                             \
    }
#define BOTH(name)                                                                                 \
    {VMCS_##name, 0},                                                                              \
    {                                                                                              \
        VMCS_##name + 1, 0                                                                         \
    }
#define SEGMENT(name)                                                                              \
    WHOLE(GUEST_##name), WHOLE(GUEST_##name##_BASE), WHOLE(GUEST_##name##_LIMIT),                  \
        WHOLE(GUEST_##name##_RIGHTS)

static const struct target targets[] = {
    WHOLE(PIN_CONTROLS),
    WHOLE(CPU_CONTROLS),
    WHOLE(CPU_CONTROLS2),
    {VMCS_EXIT_CONTROLS, EXIT_ACKNOWLEDGE}, /* it would take the timer's interrupt */
    WHOLE(ENTRY_CONTROLS),
    WHOLE(VPID),
    {VMCS_EPT_POINTER, PAGE_MASK},
    {VMCS_EPT_POINTER + 1, 0},
    WHOLE(CR3_TARGETS),
    WHOLE(ENTRY_EVENT),
    WHOLE(ENTRY_EVENT),
    WHOLE(ENTRY_EVENT_ERROR),
    WHOLE(ENTRY_EVENT_LENGTH),
    WHOLE(TPR_THRESHOLD),
    BOTH(VIRTUAL_APIC),
    BOTH(IO_BITMAP_A),
    BOTH(MSR_BITMAP),
    BOTH(APIC_ACCESS),
    {VMCS_HOST_ES_SEL, ~7u},
    {VMCS_HOST_CS_SEL, ~7u},
    {VMCS_HOST_SS_SEL, ~7u},
    {VMCS_HOST_TR_SEL, ~7u},
    {VMCS_HOST_CR4, CR4_PAE},
    WHOLE(HOST_CR0),
    BOTH(HOST_PAT),
    WHOLE(GUEST_CR0),
    WHOLE(GUEST_CR0),
    WHOLE(GUEST_CR4),
    WHOLE(GUEST_CR4),
    {VMCS_GUEST_CR3, PAGE_MASK},
    BOTH(GUEST_PAT),
    BOTH(GUEST_EFER),
    BOTH(GUEST_DEBUGCTL),
    SEGMENT(ES),
    SEGMENT(CS),
    SEGMENT(SS),
    SEGMENT(DS),
    SEGMENT(FS),
    SEGMENT(GS),
    SEGMENT(LDTR),
    SEGMENT(TR),
    WHOLE(GUEST_CS_RIGHTS),
    WHOLE(GUEST_SS_RIGHTS),
    WHOLE(GUEST_GDTR_LIMIT),
    WHOLE(GUEST_IDTR_LIMIT),
    WHOLE(GUEST_EFLAGS),
    WHOLE(GUEST_EFLAGS),
    WHOLE(GUEST_ACTIVITY),
    WHOLE(GUEST_INTERRUPTIBILITY),
    WHOLE(GUEST_INTERRUPTIBILITY),
    WHOLE(GUEST_PENDING_DEBUG),
    BOTH(LINK_POINTER),
    BOTH(GUEST_PDPTE0),
    WHOLE(GUEST_DR7),
    WHOLE(GUEST_EIP),
    WHOLE(GUEST_ESP),
};

static uint32_t random_change(uint32_t value)
{
    static const uint32_t edges[] = {0,       1,      3,          0xF,       0xFF,
                                     0x93,    0xF3,   0xFFF,      0xFFFF,    0xFFFFF,
                                     0x10000, 0xC09B, 0x80000000, UINT32_MAX};
    switch (below(4)) {
    case 0:
        return PICK(edges);
    case 1:
        return value ^ 1u << below(32) ^ 1u << below(32);
    case 2:
        return value ^ 1u << below(16);
    default:
        return value ^ 1u << below(32);
    }
}

/* What was done, for the report. */
static char text[120];

static void change(unsigned *n)
{
    const struct target *t = &PICK(targets);
    if (!field_exists(t->encoding))
        return;
    const uint32_t was = field((enum vmcs_field)t->encoding);
    const uint32_t value = (was & t->keep) | (random_change(was) & ~t->keep);
    field_set(t->encoding, value);
    if (*n < sizeof(text))
        *n += (unsigned)ksnprintf(text + *n, sizeof(text) - *n, " %04x=%08x", t->encoding, value);
}

void vmx_random(uint32_t seed, uint32_t number)
{
    enum vmx_base base;
    rng_start(seed, number);
    do
        base = (enum vmx_base)below(BASE_COUNT);
    while (!base_make(base));
    unsigned n = (unsigned)ksnprintf(text, sizeof(text), "random %u:", number);
    for (uint32_t changes = 1 + below(3); changes; changes--)
        change(&n);
    vmx_compare(base_names[base], text, false);
}
