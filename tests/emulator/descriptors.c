/* Random descriptors, gates and selectors, in a GDT whose slots have classes, an LDT and an IDT. */
#include "descriptors.h"

uint64_t pack(uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
    return (uint64_t)(base & 0xFF000000) << 32 | (uint64_t)(flags & 0xF) << 52 |
           (uint64_t)(limit >> 16 & 0xF) << 48 | (uint64_t)(access & 0xFF) << 40 |
           (uint64_t)(base & 0xFFFFFF) << 16 | (limit & 0xFFFF);
}

static uint64_t pack_gate(uint16_t selector, uint32_t offset, unsigned access, unsigned params)
{
    return (uint64_t)(offset >> 16) << 48 | (uint64_t)(access & 0xFF) << 40 |
           (uint64_t)(params & 0xFF) << 32 | (uint64_t)selector << 16 | (offset & 0xFFFF);
}

uint32_t random_base(void)
{
    static const uint32_t windows[] = {WINDOW_SAME, WINDOW_LARGE, WINDOW_HALF, WINDOW_TOP};

    if (!one_in(4))
        return 0;
    if (one_in(3))
        return rnd();
    return PICK(windows) + below(HOT_PAGES) * PAGE_SIZE - (one_in(2) ? below(16) : 0);
}

#define FLAG_G 8u
#define FLAG_DB 4u

/* A limit near an edge: of the segment's own pages, or of 64 KB. */
uint64_t random_segment(unsigned access, uint32_t base)
{
    unsigned flags = (one_in(6) ? 0 : FLAG_DB) | below(2);
    uint32_t limit = 0xFFFFF;

    switch (below(8)) {
    case 0:
        return pack(base, below(0x14), access, flags);
    case 1:
        return pack(base, 0xFFFF - below(4) * below(2), access, flags);
    case 2:
        limit = below(HOT_PAGES + 2) + (base ? 0 : one_in(2) ? 0 : WINDOW_SAME >> PAGE_SHIFT);
        break;
    case 3:
        return pack(base, (below(HOT_PAGES) << PAGE_SHIFT | below(PAGE_SIZE)) & 0xFFFFF, access,
                    flags);
    default:
        break;
    }
    return pack(base, limit, access, flags | FLAG_G);
}

unsigned random_access(unsigned type, unsigned dpl)
{
    return type | dpl << SEG_DPL_SHIFT | SEG_S | (one_in(12) ? 0 : SEG_P);
}

static uint64_t any_descriptor(void)
{
    return random_segment(random_access(below(16), below(4)), random_base());
}

uint32_t random_pad(bool wide)
{
    static const uint32_t windows[] = {WINDOW_ZERO, WINDOW_SAME, WINDOW_SAME, WINDOW_HALF};
    uint32_t pad = PAGE_PADS * PAGE_SIZE + 3 * below(PAGE_SIZE / 3);

    if (one_in(40))
        pad += below(3);
    return wide ? PICK(windows) + pad : pad;
}

uint16_t code_selector(unsigned cpl)
{
    static const uint8_t first[] = {SLOT_CODE, SLOT_CODE, SLOT_CODE, SLOT_CONF, SLOT_CODE16};
    unsigned level = one_in(3) ? below(4) : cpl;

    if (one_in(12))
        return random_selector(cpl);
    return (PICK(first) + level) << 3 | (one_in(4) ? below(4) : level);
}

static uint64_t random_gate(unsigned type)
{
    bool wide = type & 8;
    uint32_t offset = random_pad(wide);

    if (!wide && is_bochs && one_in(2)) /* no part of the offset, but for QEMU */
        offset |= rnd() & 0xFFFF0000;
    return pack_gate(code_selector(below(4)), offset,
                     type | (one_in(2) ? below(4) : 3u) << SEG_DPL_SHIFT | (one_in(10) ? 0 : SEG_P),
                     one_in(2) ? 0 : rnd());
}

static uint64_t random_call_gate(void)
{
    if (one_in(6))
        return random_gate(below(16));
    return random_gate(one_in(3) ? SYS_CALL_GATE16 : SYS_CALL_GATE32);
}

static uint64_t random_tss(void)
{
    static const uint8_t types[] = {SYS_TSS32_AVAIL, SYS_TSS32_AVAIL, SYS_TSS16_AVAIL,
                                    SYS_TSS32_BUSY};
    unsigned access = PICK(types) | (one_in(6) ? 0 : SEG_P) | below(4) << SEG_DPL_SHIFT;

    return pack(HOT_PAGE(PAGE_TSS) + below(PAGE_SIZE), one_in(3) ? below(0x70) : 0x2067, access, 0);
}

static uint64_t slot_descriptor(unsigned slot)
{
    const unsigned level = (slot - 1) & 3;

    if (slot < SLOT_DATA)
        return one_in(8) ? random_segment(random_access(SEG_CODE | below(4), level), random_base())
                         : pack(0, 0xFFFFF, 0x9A | level << 5 | below(2), 0xC);
    if (slot < SLOT_ANY)
        return one_in(8) ? random_segment(random_access(below(8), level), random_base())
                         : pack(0, 0xFFFFF, 0x92 | level << 5 | below(2), 0xC);
    if (slot < SLOT_TSS)
        return any_descriptor();
    if (slot < SLOT_LDT)
        return random_tss();
    if (slot < SLOT_GATE)
        return pack(HOT_PAGE(PAGE_LDT) + (one_in(4) ? below(PAGE_SIZE) : 0),
                    one_in(4) ? below(0x48) : 0x3F, SYS_LDT | (one_in(8) ? 0 : SEG_P), 0);
    if (slot < SLOT_CONF)
        return random_call_gate();
    if (slot < SLOT_CODE16)
        return one_in(3) ? random_segment(random_access(SEG_CODE | SEG_CE | below(4), level),
                                          random_base())
                         : pack(0, 0xFFFFF, 0x9E | below(4) << 5, 0xC);
    if (slot >= SLOT_SYSTEM)
        return pack(rnd(), below(0x100000), below(16) | SEG_DPL | (one_in(4) ? 0 : SEG_P),
                    below(16));
    if (slot < SLOT_STACK)
        return pack(0, one_in(4) ? below(0x10000) : 0xFFFF, 0x9A | (slot - SLOT_CODE16) << 5, 0);
    const uint64_t raw =
        random_segment(random_access(SEG_RW | (one_in(5) ? SEG_CE : 0), (slot - SLOT_STACK) / 4) &
                           ~(one_in(8) ? SEG_P : 0u),
                       random_base());
    return one_in(3) ? raw & ~((uint64_t)FLAG_DB << 52) : raw;
}

void slot_fill(unsigned slot)
{
    const uint64_t raw = slot_descriptor(slot);

    poke(HOT_PAGE(PAGE_GDT) + slot * 8, &raw, sizeof(raw));
}

static unsigned random_slot(unsigned cpl)
{
    static const uint8_t firsts[] = {SLOT_CODE, SLOT_DATA,   SLOT_DATA, SLOT_ANY,
                                     SLOT_ANY,  SLOT_TSS,    SLOT_LDT,  SLOT_GATE,
                                     SLOT_CONF, SLOT_CODE16, SLOT_STACK};
    static const uint8_t sizes[] = {4, 4, 4, 8, 8, 4, 2, 8, 4, 4, 16};
    const unsigned i = below(ARRAY_LEN(firsts));

    if (one_in(2) && sizes[i] == 4)
        return firsts[i] + cpl;
    if (one_in(2) && sizes[i] == 16)
        return firsts[i] + cpl * 4 + below(4);
    return firsts[i] + below(sizes[i]);
}

uint16_t random_selector(unsigned cpl)
{
    unsigned rpl = one_in(3) ? below(4) : cpl;

    switch (below(24)) {
    case 0:
        return rpl;
    case 1:
        return rnd();
    case 2:
    case 3:
        return below(LDT_SLOTS + 1) << 3 | SEL_TI | rpl;
    default:
        return random_slot(cpl) << 3 | rpl;
    }
}

uint16_t gate_selector(unsigned cpl)
{
    const unsigned slot = SLOT_GATE + below(SLOT_CONF - SLOT_GATE);

    slot_fill(slot);
    return slot << 3 | (one_in(2) ? below(4) : cpl);
}

uint16_t stack_selector(unsigned level)
{
    const unsigned slot = SLOT_STACK + 4 * level + below(4);

    slot_fill(slot);
    return slot << 3 | level;
}

uint16_t limited_code_selector(unsigned cpl)
{
    const unsigned level = cpl + below(4 - cpl);

    return (SLOT_CODE16 + level) << 3 | level;
}

uint16_t operand_selector(enum insn_op op, unsigned cpl)
{
    if (op == OP_LTR && !one_in(3))
        return (SLOT_TSS + below(4)) << 3;
    if (op == OP_LLDT && !one_in(3))
        return (SLOT_LDT + below(2)) << 3;
    if ((op == OP_LAR || op == OP_LSL || op == OP_VERR || op == OP_VERW) && one_in(3))
        return (SLOT_SYSTEM + below(SLOT_END - SLOT_SYSTEM)) << 3 | below(4);
    if ((op == OP_MOV_TO_SREG || op == OP_POP_SREG || op == OP_LSS) && one_in(4))
        return stack_selector(cpl);
    return random_selector(cpl);
}

void ldt_fill(unsigned slot)
{
    const uint64_t raw = one_in(3) ? slot_descriptor(1 + below(SLOT_END - 1)) : any_descriptor();

    poke(HOT_PAGE(PAGE_LDT) + slot * 8, &raw, sizeof(raw));
}

void gate_fill(unsigned vector)
{
    static const uint8_t types[] = {SYS_INT_GATE32, SYS_INT_GATE32, SYS_TRAP_GATE32, SYS_INT_GATE16,
                                    SYS_TRAP_GATE16};
    const uint64_t raw = one_in(60) ? any_descriptor() : random_gate(PICK(types));

    poke(HOT_PAGE(PAGE_IDT) + vector * 8, &raw, sizeof(raw));
}

void state_make_base(void)
{
    for (unsigned slot = 1; slot < SLOT_END; slot++)
        slot_fill(slot);
    for (unsigned slot = 0; slot < LDT_SLOTS; slot++)
        ldt_fill(slot);
    for (unsigned vector = 0; vector < VECTORS; vector++)
        gate_fill(vector);
}
