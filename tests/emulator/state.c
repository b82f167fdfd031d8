/*
 * Random states: segments, registers that point at the edges of pages and of limits,
 * page-table entries, stacks and the TSS.
 */
#include <string.h>

#include "descriptors.h"

#define TSS_BASE (HOT_PAGE(PAGE_TSS) + tss_offset)

/* Few places for code: QEMU looks at all that it has translated of a page at each write there. */
#define CODE_STEP 96
#define CODE_PLACES 41

static unsigned tss_offset;

/* --- registers --- */

static uint32_t random_pointer(void)
{
    static const uint32_t windows[] = {WINDOW_SAME,  WINDOW_SAME, WINDOW_SAME, WINDOW_ZERO,
                                       WINDOW_LARGE, WINDOW_HALF, WINDOW_TOP};
    uint32_t at = PICK(windows) + (PAGE_GDT + below(HOT_PAGES - PAGE_GDT)) * PAGE_SIZE;

    if (one_in(20))
        at = PICK(windows) + PAGE_HOLE * PAGE_SIZE;
    if (one_in(30))
        at = 0xFFFFF000u;
    switch (below(3)) {
    case 0:
        return at + below(PAGE_SIZE);
    case 1:
        return at + PAGE_SIZE - below(10);
    default:
        return at + below(8);
    }
}

uint32_t random_hole(const struct vcpu *vcpu)
{
    return WINDOW_SAME + PAGE_HOLE * PAGE_SIZE + below(PAGE_SIZE) - vcpu->seg[SREG_DS].base;
}

uint32_t random_value(const struct vcpu *vcpu, enum sreg seg)
{
    const struct segment *s = vcpu ? &vcpu->seg[seg] : NULL;

    switch (below(16)) {
    case 0:
        return rnd();
    case 1:
        return below(256);
    case 2:
        return random_selector(vcpu ? vcpu_cpl(vcpu) : below(4)) | (rnd() & 0xFFFF0000);
    case 3:
        if (s && (s->attr & SEG_CE)) /* expand-down, perhaps: it begins behind the limit */
            return s->limit + 1 - below(3);
        return s ? s->limit + 2 - below(8) : rnd();
    case 4:
        return random_pointer() & 0xFFFF;
    case 5:
        return (uint32_t) - (int32_t)below(16);
    default:
        return random_pointer() - (s ? s->base : 0);
    }
}

static uint32_t random_flags(unsigned cpl)
{
    uint32_t flags = rnd() & (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF | FL_ID);

    flags |= FL_R1 | (one_in(3) ? FL_DF : 0) | (one_in(2) ? FL_IF : 0);
    flags |= (one_in(3) ? below(4) : cpl) << FL_IOPL_SHIFT;
    flags |= (one_in(20) ? FL_NT : 0) | (one_in(8) ? FL_RF : 0) | (one_in(20) ? FL_AC : 0);
    return flags;
}

/* Mostly as the table says it; now and then the table has changed since. */
static struct segment loaded_segment(unsigned slot, unsigned rpl, uint64_t raw)
{
    struct segment seg = descriptor_decode(slot << 3 | rpl, raw);

    seg.attr |= seg.attr & SEG_S ? SEG_ACCESSED : 0;
    return seg;
}

static void load_data(struct vcpu *vcpu, enum sreg reg, unsigned cpl)
{
    unsigned access = random_access(below(8), cpl + below(4 - cpl)) | SEG_P, slot;
    uint64_t raw;

    if (one_in(10)) {
        vcpu->seg[reg] = (struct segment){.selector = below(4), .attr = SEG_UNUSABLE};
        return;
    }
    if (one_in(6)) /* readable code */
        access |= SEG_CODE | SEG_RW;
    else if (one_in(2))
        access = (access & ~(SEG_CE | SEG_CODE)) | SEG_RW;
    slot = SLOT_ANY + reg;
    raw =
        one_in(2) ? pack(0, 0xFFFFF, 0x92 | cpl << 5, 0xC) : random_segment(access, random_base());
    raw |= (uint64_t)SEG_ACCESSED << 40;
    if (!one_in(8))
        poke(HOT_PAGE(PAGE_GDT) + slot * 8, &raw, sizeof(raw));
    vcpu->seg[reg] = loaded_segment(slot, cpl, raw);
}

static void load_stack(struct vcpu *vcpu, unsigned cpl)
{
    static const uint8_t offsets[] = {0, 2, 4, 6, 8, 12, 16, 18, 20, 24};
    unsigned slot = SLOT_DATA + cpl;
    uint64_t raw = pack(0, 0xFFFFF, 0x93 | cpl << 5, 0xC);
    uint32_t top = HOT_PAGE(PAGE_STACK + below(4)), esp;

    if (one_in(3)) {
        slot = SLOT_STACK + 4 * cpl;
        raw = one_in(4) ? pack(0, HOT_PAGE(PAGE_STACK + below(4)) / PAGE_SIZE - 1,
                               0x93 | SEG_CE | cpl << 5, 0xC)
                        : random_segment(0x93 | cpl << 5 | (one_in(5) ? SEG_CE : 0), random_base());
    } else if (one_in(8)) { /* 16 bits wide */
        slot = SLOT_STACK + 4 * cpl;
        raw = pack(0, 0xFFFFF, 0x93 | cpl << 5, 0x8);
    }
    poke(HOT_PAGE(PAGE_GDT) + slot * 8, &raw, sizeof(raw));
    vcpu->seg[SREG_SS] = loaded_segment(slot, cpl, raw);
    if (one_in(3) || !(vcpu->seg[SREG_SS].attr & SEG_DB))
        top = WINDOW_ZERO + (top - WINDOW_SAME);
    esp =
        top - vcpu->seg[SREG_SS].base + (one_in(2) ? below(PAGE_SIZE) : PAGE_SIZE - PICK(offsets));
    if ((raw >> 40 & SEG_CE) && one_in(2)) /* the words end where the segment begins */
        esp =
            vcpu->seg[SREG_SS].limit + (one_in(2) ? 4 * (1 + below(4)) : PICK(offsets) + below(2));
    else if (one_in(12))
        esp = vcpu->seg[SREG_SS].limit + 1 - PICK(offsets);
    if (one_in(40))
        esp = PICK(offsets);
    if (!(vcpu->seg[SREG_SS].attr & SEG_DB) && one_in(3)) /* not the stack's, but pushed by gates */
        esp ^= rnd() & 0xFFFF0000;
    vcpu->gpr[GPR_ESP] = esp;
}

/* CS and EIP; 16-bit code needs a base that brings its instructions within 64 KB. */
static void load_code(struct test_case *test, unsigned cpl)
{
    struct vcpu *vcpu = &test->start;
    uint32_t at = HOT_PAGE(PAGE_CODE) + CODE_STEP * below(CODE_PLACES), base = 0;
    unsigned slot = SLOT_CODE + cpl, type = 0xB | (one_in(6) ? 4 : 0), flags = 0xC;
    unsigned dpl = type & 4 ? below(cpl + 1) : cpl;

    if (one_in(30))
        at = HOT_PAGE(PAGE_PADS) - 1 - below(6);
    if (one_in(8)) {
        slot = SLOT_CODE16 + cpl;
        flags = 0;
        base = HOT_PAGE(PAGE_CODE) - (one_in(2) ? 0 : 0xF000);
        if (one_in(3)) /* up to offset 0xFFFF, perhaps */
            at = HOT_PAGE(PAGE_PADS) - 1 - below(4);
    } else if (one_in(8)) {
        base = rnd();
    }
    vcpu->eip = at - base;
    uint64_t raw = pack(base, flags ? 0xFFFFF : 0xFFFF, 0x90 | type | dpl << 5, flags);
    poke(HOT_PAGE(PAGE_GDT) + slot * 8, &raw, sizeof(raw));
    vcpu->seg[SREG_CS] = loaded_segment(slot, cpl, raw);
    if (one_in(25)) /* a limit within the code */
        vcpu->seg[SREG_CS].limit = vcpu->eip + below(12);
}

/* --- tables --- */

static void poke32(gpa_t gpa, uint32_t value)
{
    poke(gpa, &value, sizeof(value));
}

/* What a page-table entry may lack. Code stays readable, its accessed bit set: the emulator only
 * looks at code. */
static void make_pages(void)
{
    static const uint32_t windows[] = {WINDOW_ZERO, WINDOW_SAME, WINDOW_LARGE, WINDOW_HALF,
                                       WINDOW_TOP};
    const uint32_t all = PTE_P | PTE_W | PTE_U;

    for (unsigned i = 0; i < HOT_PAGES; i++) {
        uint32_t pte = HOT_PAGE(i) | all;

        if (one_in(2))
            continue;
        if (i < PAGE_GDT || one_in(2))
            pte |= PTE_A | (one_in(2) ? PTE_D : 0);
        if (one_in(5))
            pte &= ~PTE_W;
        if (i >= PAGE_GDT && i < PAGE_DATA ? !one_in(4) : one_in(i < PAGE_GDT ? 20 : 8))
            pte &= ~PTE_U;
        if (i >= PAGE_GDT && one_in(i < PAGE_DATA ? 40 : 12))
            pte &= ~PTE_P;
        poke32(PAGE_TABLE + i * 4, pte);
    }
    if (one_in(4)) {
        const gpa_t gpa = PAGE_DIR_A + (PICK(windows) >> 20);
        uint32_t pde;

        memcpy(&pde, cpu_image(gpa), sizeof(pde));
        pde ^= one_in(3) ? PTE_W : one_in(2) ? PTE_U : PTE_A | PTE_D;
        if (gpa - PAGE_DIR_A != WINDOW_SAME >> 20 && one_in(3))
            pde &= ~PTE_P;
        if (gpa - PAGE_DIR_A == WINDOW_LARGE >> 20 && one_in(3))
            pde |= 1u << 21; /* reserved, also with PSE-36 */
        if (gpa - PAGE_DIR_A == WINDOW_SAME >> 20)
            pde |= PTE_A;
        poke32(gpa, pde);
    }
}

/* An offset at the limit of a stack of the GDT. */
static uint32_t stack_edge(uint16_t selector)
{
    uint64_t raw;

    memcpy(&raw, cpu_image(HOT_PAGE(PAGE_GDT) + (selector & SEL_INDEX)), sizeof(raw));
    return descriptor_decode(selector, raw).limit + 17 - 2 * below(16);
}

/* The stacks that the TSS names, and its I/O map. */
static void make_tss(struct vcpu *vcpu)
{
    static const uint8_t offsets[] = {0, 4, 8, 12, 20, 24, 28, 40};
    const bool wide = !one_in(8);
    uint32_t limit = one_in(10) ? below(0x70) : 0x67 + (one_in(2) ? 0x82 : below(0x90));
    uint64_t raw;

    tss_offset = one_in(4) ? PAGE_SIZE - below(0x70) : below(PAGE_SIZE / 2);
    raw = pack(TSS_BASE, limit, wide ? 0x8B : 0x83, 0);
    poke(HOT_PAGE(PAGE_GDT) + SLOT_TSS * 8, &raw, sizeof(raw));
    vcpu->seg[SREG_TR] = descriptor_decode(SLOT_TSS << 3, raw);
    for (unsigned level = 0; level < 3; level++) {
        uint32_t esp = HOT_PAGE(PAGE_STACK + level) + PAGE_SIZE - PICK(offsets);
        uint16_t selector = (SLOT_DATA + level) << 3 | level;

        if (one_in(4)) {
            selector = stack_selector(level);
            esp = !one_in(3) ? stack_edge(selector) : esp ^ (one_in(2) ? rnd() & 0xFFFF0000 : 0);
        }
        if (one_in(20))
            selector = random_selector(level);
        if (one_in(20))
            esp = random_value(NULL, SREG_SS);
        poke(TSS_BASE + (wide ? 4 + 8 * level : 2 + 4 * level), &esp, wide ? 4 : 2);
        poke(TSS_BASE + (wide ? 8 + 8 * level : 4 + 4 * level), &selector, 2);
    }
    raw = one_in(12) ? below(0x100) : 0x68;
    poke(TSS_BASE + 0x66, &raw, 2);
    if (!one_in(3)) { /* the ports of the test are open, or some of them */
        raw = one_in(2) ? 0 : rnd();
        poke(TSS_BASE + 0x68 + 0x80 / 8, &raw, 2);
        poke(TSS_BASE + 0x68 + 0x2F8 / 8, &raw, 3);
    }
}

/* Some of the base image's are replaced. */
static void make_tables(struct vcpu *vcpu)
{
    uint64_t raw;

    vcpu->gdtr = (struct table_reg){.base = HOT_PAGE(PAGE_GDT), .limit = SLOT_END * 8 - 1};
    vcpu->idtr = (struct table_reg){.base = HOT_PAGE(PAGE_IDT), .limit = 0x7FF};
    if (one_in(30))
        vcpu->gdtr.limit = below(SLOT_END * 8);
    if (one_in(20))
        vcpu->idtr.limit = below(0x100);
    for (unsigned i = 0; i < 8; i++)
        slot_fill(1 + below(SLOT_END - 1));
    ldt_fill(below(LDT_SLOTS));
    for (unsigned i = 0; i < 3; i++)
        gate_fill(below(VECTORS));
    gate_fill(VEC_GP);
    gate_fill(VEC_PF);
    poke(HOT_PAGE(PAGE_GDT) + SLOT_LDT * 8,
         &(uint64_t){raw = pack(HOT_PAGE(PAGE_LDT), LDT_SLOTS * 8 - 1, SYS_LDT | SEG_P, 0)},
         sizeof(raw));
    vcpu->seg[SREG_LDTR] = descriptor_decode(SLOT_LDT << 3, raw);
    if (one_in(10))
        vcpu->seg[SREG_LDTR] = (struct segment){.attr = SEG_UNUSABLE};
}

/* --- real mode --- */

static void make_real(struct test_case *test)
{
    struct vcpu *vcpu = &test->start;
    uint32_t vector;

    for (int reg = SREG_ES; reg <= SREG_GS; reg++) {
        const uint16_t selector = (LOW >> 4) + (one_in(2) ? 0 : below(0x100));

        vcpu->seg[reg] = (struct segment){
            .selector = selector, .attr = 0x93, .limit = 0xFFFF, .base = (uint32_t)selector << 4};
    }
    vcpu->cr0 &= ~(CR0_PE | CR0_PG);
    vcpu->seg[SREG_CS].selector = LOW >> 4;
    vcpu->seg[SREG_CS].base = LOW;
    vcpu->eip = CODE_STEP * below(CODE_PLACES);
    vcpu->idtr.base = LOW + 12 * PAGE_SIZE;
    vcpu->idtr.limit = one_in(6) ? below(0x100) : 0x3FF;
    for (unsigned i = 0; i < 20; i++) {
        vector = LOW << 12 | (PAGE_SIZE + 3 * below(PAGE_SIZE / 3));
        poke(vcpu->idtr.base + i * 4, &vector, 4);
    }
    for (unsigned i = 0; i < ARRAY_LEN(vcpu->gpr); i++)
        vcpu->gpr[i] = one_in(12) ? rnd() : 8 * PAGE_SIZE + below(6 * PAGE_SIZE);
    if (one_in(10))
        vcpu->gpr[GPR_ESP] = below(8);
    vcpu->eflags &= ~FL_NT;
    vcpu->eflags |= one_in(3) ? FL_AC : 0;
}

void state_make(struct test_case *test)
{
    struct vcpu *vcpu = &test->start;
    const unsigned cpl = one_in(3) ? below(4) : one_in(2) ? 0 : 3;

    test->deliver = one_in(2);
    test->real = one_in(12);
    *vcpu = (struct vcpu){.vm = &vm, .mode = &emulated_mode, .dirty = 0};
    vcpu->cr0 =
        CR0_PE | CR0_PG | CR0_ET | CR0_NE | (one_in(3) ? 0 : CR0_WP) | (one_in(6) ? CR0_TS : 0);
    vcpu->cr2 = rnd();
    vcpu->cr3 = PAGE_DIR_A;
    vcpu->cr4 =
        CR4_PSE | (one_in(4) ? CR4_TSD : 0) | (one_in(4) ? CR4_DE : 0) | (one_in(4) ? CR4_PGE : 0);
    vcpu->pat = 0x0007040600070406ull;
    for (unsigned i = 0; i < 4; i++)
        vcpu->dr[i] = rnd();
    vcpu->dr[6] = 0xFFFF0FF0;
    vcpu->dr[7] = 0x400;
    vcpu->sysenter_cs = one_in(6) ? (is_bochs ? below(4) : 0) : (SLOT_CODE << 3) | below(4);
    vcpu->sysenter_esp = random_pointer();
    vcpu->sysenter_eip = random_pad(true);
    vcpu->eflags = random_flags(cpl);

    make_pages();
    make_tables(vcpu);
    make_tss(vcpu);
    load_code(test, cpl);
    load_stack(vcpu, cpl);
    for (int reg = SREG_ES; reg <= SREG_GS; reg++)
        if (reg != SREG_CS && reg != SREG_SS)
            load_data(vcpu, reg, cpl);
    for (unsigned i = 0; i < ARRAY_LEN(vcpu->gpr); i++)
        if (i != GPR_ESP)
            vcpu->gpr[i] = random_value(vcpu, i == GPR_EDI ? SREG_ES : SREG_DS);
    if (test->real)
        make_real(test);
}
