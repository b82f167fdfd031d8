/* Descriptors and segment loads: each rule once with a load that obeys it and one that does not. */
#include "machine.h"

TestSuite(segments, .init = machine_init);

Test(segments, decode_fields)
{
    struct segment s = descriptor_decode(0x1B, 0xABCD12345678F00Full);

    cr_assert_eq(s.selector, 0x1B);
    cr_assert_eq(s.base, 0xAB345678u);
    cr_assert_eq(s.limit, 0xDF00FFFFu, "G is set: 4 KB units");
    cr_assert_eq(s.attr, 0xC012u);
}

Test(segments, encode_is_the_inverse)
{
    static const uint64_t raw[] = {
        0x00CF9B000000FFFF, 0x00CFF3000000FFFF, 0x0000820060000000 | 0x1F,
        0x00008B005000206F, 0x12409ABCDEF01234, 0xFF8F92FFFFFF0000,
    };

    for (unsigned i = 0; i < ARRAY_LEN(raw); i++) {
        struct segment s = descriptor_decode(8, raw[i]), again;

        cr_assert_eq(descriptor_encode(&s), raw[i], "descriptor %u", i);
        again = descriptor_decode(8, descriptor_encode(&s));
        cr_assert_eq(again.limit, s.limit);
    }
}

Test(segments, encode_rounds_inwards)
{
    struct segment up = {.attr = 0x4093, .limit = 0x123456}, down = {.attr = 0x4097},
                   nothing = {.attr = SEG_UNUSABLE}, tiny = {.attr = 0xC093, .limit = 0x10};
    struct segment s = descriptor_decode(0, descriptor_encode(&up));

    cr_assert_eq(s.limit, 0x122FFFu);
    cr_assert(s.attr & SEG_G);
    down.limit = 0x123456;
    s = descriptor_decode(0, descriptor_encode(&down));
    cr_assert_eq(s.limit, 0x123FFFu, "expand-down: a higher limit is fewer bytes");
    s = descriptor_decode(0, descriptor_encode(&tiny));
    cr_assert_eq(s.limit, 0x10u);
    cr_assert_not(s.attr & SEG_G);
    cr_assert_eq(descriptor_encode(&nothing), 0u);
}

Test(segments, read_descriptor_limits)
{
    struct vcpu *v = &machine.vcpu;
    struct event fault;
    uint64_t raw;

    cr_assert(read_descriptor(v, KCODE | 3, &raw, &fault));
    cr_assert_eq(raw, 0x00CF9B000000FFFFull);
    cr_assert(read_descriptor(v, 0x0C, &raw, &fault), "LDT entry 1");
    cr_assert_not(read_descriptor(v, 0x27, &raw, &fault), "LDT entry 4 is past its limit");
    cr_assert_eq(fault.error, 0x24u);
    cr_assert_not(read_descriptor(v, GDT_END | 3, &raw, &fault));
    cr_assert_eq(fault.vector, VEC_GP);
    cr_assert_eq(fault.error, (uint32_t)GDT_END);
    v->gdtr.limit = KCODE + 6;
    cr_assert_not(read_descriptor(v, KCODE, &raw, &fault), "seven of eight bytes");
    v->seg[SREG_LDTR].attr = SEG_UNUSABLE;
    cr_assert_not(read_descriptor(v, 0x0C, &raw, &fault));
    v->gdtr = (struct table_reg){.base = 0x00900000, .limit = 0xFF};
    cr_assert_not(read_descriptor(v, KCODE, &raw, &fault));
    cr_assert_eq(fault.vector, VEC_PF);
    cr_assert_eq(fault.cr2, 0x00900008u);
    cr_assert_eq(fault.error, 0u, "a supervisor access");
}

struct load_case {
    uint16_t cpl, reg, selector;
    int vector; /* -1: loads */
    uint16_t error;
};

/* SDM vol. 2, MOV, "Loading a segment register while in protected mode". */
static const struct load_case loads[] = {
    {0, SREG_DS, KDATA, -1, 0},
    {0, SREG_DS, UDATA, -1, 0},
    {0, SREG_DS, KDATA | 3, VEC_GP, KDATA}, /* RPL > DPL */
    {3, SREG_DS, KDATA, VEC_GP, KDATA},     /* CPL > DPL */
    {3, SREG_DS, UDATA, -1, 0},
    {3, SREG_ES, CONFORMING, -1, 0}, /* readable and conforming: for every level */
    {3, SREG_ES, CONFORMING | 3, -1, 0},
    {0, SREG_FS, KCODE, -1, 0},
    {0, SREG_FS, EXEC_ONLY, VEC_GP, EXEC_ONLY},
    {0, SREG_GS, S_TSS, VEC_GP, S_TSS},
    {0, SREG_GS, READONLY, -1, 0},
    {0, SREG_GS, ABSENT_DATA, VEC_NP, ABSENT_DATA},
    {3, SREG_GS, ABSENT_DATA, VEC_GP, ABSENT_DATA}, /* privilege comes first */
    {0, SREG_ES, GDT_END, VEC_GP, GDT_END},
    {0, SREG_ES, 0x0C, -1, 0},
    {0, SREG_ES, 0x04, VEC_GP, 0x04}, /* LDT entry 0 is no null selector */
    {0, SREG_ES, 0, -1, 0},
    {3, SREG_ES, 3, -1, 0},
    {0, SREG_SS, KDATA, -1, 0},
    {0, SREG_SS, DATA16, -1, 0},
    {0, SREG_SS, EXPAND_DOWN, -1, 0},
    {0, SREG_SS, 0, VEC_GP, 0},
    {3, SREG_SS, 3, VEC_GP, 0},
    {0, SREG_SS, KDATA | 1, VEC_GP, KDATA},
    {0, SREG_SS, UDATA, VEC_GP, UDATA & ~3},
    {0, SREG_SS, UDATA & ~3, VEC_GP, UDATA & ~3},
    {0, SREG_SS, READONLY, VEC_GP, READONLY},
    {0, SREG_SS, KCODE, VEC_GP, KCODE},
    {0, SREG_SS, S_TSS, VEC_GP, S_TSS},
    {0, SREG_SS, ABSENT_DATA, VEC_SS, ABSENT_DATA},
    {3, SREG_SS, UDATA, -1, 0},
    {0, SREG_CS, KCODE, -1, 0},
    {0, SREG_CS, KCODE | 3, VEC_GP, KCODE},
    {0, SREG_CS, UCODE, VEC_GP, UCODE & ~3},
    {3, SREG_CS, CONFORMING, -1, 0},
    {0, SREG_CS, UCODE_CONF, VEC_GP, UCODE_CONF},
    {0, SREG_CS, KDATA, VEC_GP, KDATA},
    {0, SREG_CS, ABSENT_CODE, VEC_NP, ABSENT_CODE},
    {0, SREG_CS, 2, VEC_GP, 0},
    {0, SREG_LDTR, S_LDT, -1, 0},
    {0, SREG_LDTR, 0, -1, 0},
    {0, SREG_LDTR, KDATA, VEC_GP, KDATA},
    {0, SREG_LDTR, S_LDT | SEL_TI, VEC_GP, S_LDT | SEL_TI},
    {0, SREG_LDTR, ABSENT_LDT, VEC_NP, ABSENT_LDT},
    {0, SREG_TR, S_TSS_FREE, -1, 0},
    {0, SREG_TR, S_TSS16, -1, 0},
    {0, SREG_TR, S_TSS, VEC_GP, S_TSS}, /* busy */
    {0, SREG_TR, 0, VEC_GP, 0},
    {0, SREG_TR, S_LDT, VEC_GP, S_LDT},
    {0, SREG_TR, ABSENT_TSS, VEC_NP, ABSENT_TSS},
};

Test(segments, loads)
{
    struct vcpu *v = &machine.vcpu;

    for (unsigned i = 0; i < ARRAY_LEN(loads); i++) {
        const struct load_case *c = &loads[i];
        struct vcpu before;
        struct event fault;
        bool ok;

        machine_init();
        if (c->cpl == 3)
            machine_user();
        before = *v;
        ok = load_segment(v, c->reg, c->selector, &fault);
        cr_assert_eq(ok, c->vector < 0, "case %u", i);
        if (!ok) {
            cr_assert_eq(fault.vector, c->vector, "case %u: vector %u", i, fault.vector);
            cr_assert_eq(fault.error, c->error, "case %u: error %x", i, fault.error);
            cr_assert_eq(memcmp(v, &before, sizeof(before)), 0, "case %u: state changed", i);
            continue;
        }
        cr_assert_eq(v->seg[c->reg].selector & ~3, c->selector & ~3, "case %u", i);
        if (c->selector < 4)
            cr_assert(v->seg[c->reg].attr & SEG_UNUSABLE, "case %u", i);
        else if (c->reg == SREG_TR)
            cr_assert_eq(machine_ram[GDT + (c->selector & ~7) + 5] & 2, 2, "busy, case %u", i);
        else if (c->reg != SREG_LDTR)
            cr_assert((v->seg[c->reg].attr & SEG_ACCESSED) &&
                          (machine_ram[(c->selector & 4 ? LDT : GDT) + (c->selector & ~7) + 5] & 1),
                      "case %u: accessed", i);
    }
}

Test(segments, hidden_part)
{
    struct vcpu *v = &machine.vcpu;
    struct event fault;

    cr_assert(load_segment(v, SREG_ES, 0x0C, &fault));
    cr_assert_eq(v->seg[SREG_ES].base, 0x1000u);
    cr_assert_eq(v->seg[SREG_ES].limit, 0xFFFFFFFFu);
    cr_assert_eq(v->dirty, DIRTY_SEG);
    v->dirty = 0;
    cr_assert(load_segment(v, SREG_DS, KDATA, &fault));
    cr_assert_eq(v->dirty, 0u, "the same value again");
    cr_assert(load_segment(v, SREG_TR, S_TSS_FREE, &fault));
    cr_assert_eq(v->seg[SREG_TR].attr, 0x8Bu, "the register says busy");
}

Test(segments, accessed_bit_on_a_read_only_page)
{
    struct vcpu *v = &machine.vcpu;
    struct event fault;

    put32(PAGE_TABLE + GDT / 4096 * 4, GDT | PTE_P);
    cr_assert(load_segment(v, SREG_ES, KDATA, &fault), "already accessed: nothing to write");
    cr_assert_not(load_segment(v, SREG_ES, READONLY, &fault));
    cr_assert_eq(fault.vector, VEC_PF);
    cr_assert_eq(fault.error, PF_P | PF_W);
    cr_assert_eq(fault.cr2, (uint32_t)GDT + READONLY + 5);
    cr_assert_eq(v->seg[SREG_ES].selector, KDATA);
    v->cr0 &= ~CR0_WP;
    cr_assert(load_segment(v, SREG_ES, READONLY, &fault));
}

Test(segments, real_mode)
{
    struct vcpu *v = &machine.vcpu;
    struct event fault;

    machine_real();
    v->seg[SREG_FS].limit = 0xFFFFFFFF; /* unreal mode */
    v->seg[SREG_FS].attr = 0xF3;        /* as a user segment left it */
    cr_assert(load_segment(v, SREG_FS, 0x1234, &fault));
    cr_assert_eq(v->seg[SREG_FS].base, 0x12340u);
    cr_assert_eq(v->seg[SREG_FS].selector, 0x1234);
    cr_assert_eq(v->seg[SREG_FS].limit, 0xFFFFFFFFu);
    cr_assert_eq(v->seg[SREG_FS].attr, 0x93u);
    v->seg[SREG_GS] = (struct segment){.attr = SEG_UNUSABLE};
    cr_assert(load_segment(v, SREG_GS, 0, &fault));
    cr_assert_eq(v->seg[SREG_GS].attr, 0x93u);
    cr_assert_eq(v->seg[SREG_GS].limit, 0xFFFFu);
}
