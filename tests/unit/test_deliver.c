/* Event delivery: frames, checks, double and triple faults, and the way back by IRET. */
#include "emulator.h"
#include "machine.h"

TestSuite(deliver, .init = machine_init);

static struct event exception(unsigned vector, bool has_error, uint32_t error)
{
    return (struct event){
        .kind = EVENT_EXCEPTION, .vector = vector, .has_error = has_error, .error = error};
}

static struct event irq(unsigned vector)
{
    return (struct event){.kind = EVENT_IRQ, .vector = vector};
}

static void check_frame(uint32_t esp, const uint32_t *want, unsigned n)
{
    cr_assert_eq(machine.vcpu.gpr[GPR_ESP], esp, "ESP %x", machine.vcpu.gpr[GPR_ESP]);
    for (unsigned i = 0; i < n; i++)
        cr_assert_eq(get32(esp + i * 4), want[i], "word %u: %x", i, get32(esp + i * 4));
}

Test(deliver, same_level)
{
    struct vcpu *v = &machine.vcpu;
    struct event e = irq(0x20);

    v->eflags = FL_R1 | FL_IF | FL_TF | FL_NT | FL_CF;
    v->int_shadow = SHADOW_STI;
    v->halted = true;
    v->dirty = 0;
    cr_assert(deliver_event(v, &e));
    check_frame(0x8F00 - 12, (uint32_t[]){CODE, KCODE, FL_R1 | FL_IF | FL_TF | FL_NT | FL_CF}, 3);
    cr_assert_eq(v->eip, HANDLER + 0x20u);
    cr_assert_eq(v->eflags, FL_R1 | FL_CF);
    cr_assert_eq(v->int_shadow, 0);
    cr_assert_not(v->halted);
    cr_assert_eq(v->dirty, 0u, "no segment register has changed");
}

Test(deliver, trap_gate_keeps_if)
{
    struct vcpu *v = &machine.vcpu;
    struct event e = irq(0x20);

    put_gate(IDT + 0x20 * 8, KCODE, HANDLER, 0x8F, 0);
    cr_assert(deliver_event(v, &e));
    cr_assert(v->eflags & FL_IF);
}

Test(deliver, inner_level_with_error_code)
{
    struct vcpu *v = &machine.vcpu;
    struct event e = exception(VEC_PF, true, PF_U | PF_W);

    machine_user();
    e.cr2 = 0xCAFE1234;
    cr_assert(deliver_event(v, &e));
    check_frame(
        KERNEL_STACK - 24,
        (uint32_t[]){PF_U | PF_W, USER_CODE, UCODE, FL_R1 | FL_IF | FL_RF, USER_STACK, UDATA}, 6);
    cr_assert_eq(v->seg[SREG_CS].selector, KCODE);
    cr_assert_eq(v->seg[SREG_SS].selector, KDATA);
    cr_assert_eq(v->seg[SREG_DS].selector, UDATA, "data segments stay");
    cr_assert_eq(vcpu_cpl(v), 0u);
    cr_assert_eq(v->cr2, 0xCAFE1234u);
    cr_assert_eq(v->dirty & (DIRTY_CR2 | DIRTY_SEG), DIRTY_CR2 | DIRTY_SEG);
}

Test(deliver, rf_in_the_saved_flags)
{
    static const struct {
        struct event event;
        bool rf;
    } cases[] = {
        {{.kind = EVENT_EXCEPTION, .vector = VEC_UD}, true},
        {{.kind = EVENT_EXCEPTION, .vector = VEC_GP, .has_error = true}, true},
        {{.kind = EVENT_EXCEPTION, .vector = VEC_DB}, false}, /* a trap here */
        {{.kind = EVENT_SOFT_INT, .vector = VEC_BP}, false},
        {{.kind = EVENT_IRQ, .vector = 0x20}, false},
        {{.kind = EVENT_NMI, .vector = VEC_NMI}, false},
    };

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        machine_init();
        cr_assert(deliver_event(&machine.vcpu, &cases[i].event));
        cr_assert_eq(get32(0x8F00 - 4) & FL_RF, cases[i].rf ? FL_RF : 0, "case %u", i);
    }
}

Test(deliver, gate16)
{
    struct vcpu *v = &machine.vcpu;
    struct event e = exception(VEC_GP, true, 0x12345678);

    put_gate(IDT + VEC_GP * 8, KCODE, 0xABCD1234, 0x86, 0);
    v->eip = 0x00015678;
    cr_assert(deliver_event(v, &e));
    cr_assert_eq(v->gpr[GPR_ESP], 0x8F00u - 8);
    cr_assert_eq(v->eip, 0x1234u, "16 bits of the offset");
    cr_assert_eq(get16(0x8EF8), 0x5678, "error code");
    cr_assert_eq(get16(0x8EFA), 0x5678, "IP");
    cr_assert_eq(get16(0x8EFC), KCODE);
    cr_assert_eq(get16(0x8EFE), (FL_R1 | FL_IF));
}

Test(deliver, tss16_stack)
{
    struct vcpu *v = &machine.vcpu;
    struct event e = irq(0x20);

    machine_user();
    v->seg[SREG_TR] =
        (struct segment){.selector = S_TSS16, .attr = 0x83, .base = TSS16, .limit = 0x2B};
    put32(TSS16 + 2, (uint32_t)KDATA << 16 | 0x8800);
    cr_assert(deliver_event(v, &e));
    cr_assert_eq(v->gpr[GPR_ESP], 0x8800u - 20);
}

Test(deliver, conforming_handler_stays_at_cpl3)
{
    struct vcpu *v = &machine.vcpu;
    struct event e = irq(0x20);

    machine_user();
    put_gate(IDT + 0x20 * 8, CONFORMING, HANDLER, 0x8E, 0);
    cr_assert(deliver_event(v, &e));
    cr_assert_eq(v->seg[SREG_CS].selector, CONFORMING | 3);
    cr_assert_eq(vcpu_cpl(v), 3u);
    check_frame(USER_STACK - 12, (uint32_t[]){USER_CODE, UCODE, FL_R1 | FL_IF}, 3);
    cr_assert(machine_ram[GDT + CONFORMING + 5] & 1, "accessed");
}

Test(deliver, stack16_keeps_the_upper_half_of_esp)
{
    struct vcpu *v = &machine.vcpu;
    struct event e = irq(0x20);

    v->seg[SREG_SS] = (struct segment){.selector = DATA16, .attr = 0x93, .limit = 0xFFFF};
    v->gpr[GPR_ESP] = 0xABCD0004; /* wraps within the 64 KB segment */
    put32(PAGE_TABLE + 0xF * 4, 0xF000 | PTE_P | PTE_W);
    cr_assert(deliver_event(v, &e));
    cr_assert_eq(v->gpr[GPR_ESP], 0xABCDFFF8u);
    cr_assert_eq(get32(0), FL_R1 | FL_IF);
    cr_assert_eq(get32(0xFFFC), (uint32_t)KCODE);
    cr_assert_eq(get32(0xFFF8), (uint32_t)CODE);
}

/* How to spoil the machine, and the fault that the first attempt must then raise. */
struct bad_case {
    const char *what;
    void (*spoil)(void);
    bool user;
    enum event_kind kind;
    uint8_t vector;
    uint8_t want;
    uint32_t error;
};

static void no_gate(void)
{
    machine.vcpu.idtr.limit = 0x20 * 8 + 6;
}
static void gate_type(void)
{
    put_gate(IDT + 0x20 * 8, KCODE, HANDLER, 0x8C, 0);
}
static void gate_task(void)
{
    put_gate(IDT + 0x20 * 8, S_TSS_FREE, 0, 0x85, 0);
}
static void gate_absent(void)
{
    put_gate(IDT + 0x20 * 8, KCODE, HANDLER, 0x0E, 0);
}
static void cs_null(void)
{
    put_gate(IDT + 0x20 * 8, 0, HANDLER, 0x8E, 0);
}
static void cs_limit(void)
{
    put_gate(IDT + 0x20 * 8, 0x1F8, HANDLER, 0x8E, 0);
}
static void cs_data(void)
{
    put_gate(IDT + 0x20 * 8, KDATA, HANDLER, 0x8E, 0);
}
static void cs_outer(void)
{
    put_gate(IDT + 0x20 * 8, UCODE, HANDLER, 0x8E, 0);
}
static void cs_absent(void)
{
    put_gate(IDT + 0x20 * 8, ABSENT_CODE, HANDLER, 0x8E, 0);
}
static void eip_limit(void)
{
    put_gate(IDT + 0x20 * 8, CODE16, 0x10000, 0x8E, 0);
}
static void tss_limit(void)
{
    machine.vcpu.seg[SREG_TR].limit = 8;
}
static void ss_null(void)
{
    put32(TSS + 8, 0);
}
static void ss_limit(void)
{
    put32(TSS + 8, 0x1F8);
}
static void ss_rpl(void)
{
    put32(TSS + 8, KDATA | 3);
}
static void ss_outer(void)
{
    put32(TSS + 8, UDATA & ~3);
}
static void ss_readonly(void)
{
    put32(TSS + 8, READONLY);
}
static void ss_absent(void)
{
    put32(TSS + 8, ABSENT_DATA);
}
static void ss_room(void)
{
    put32(TSS + 8, SMALL_DATA);
    put32(TSS + 4, 16);
}
static void ss_here_room(void)
{
    machine.vcpu.seg[SREG_SS].limit = 0x8EF0;
}
static void stack_unmapped(void)
{
    put32(PAGE_TABLE + 8 * 4, 0);
}
static void nothing(void)
{
}

#define IDT_ERROR(v) ((v)*8 + 2)

static const struct bad_case bad[] = {
    {"no gate", no_gate, false, EVENT_IRQ, 0x20, VEC_GP, IDT_ERROR(0x20) + 1},
    {"no gate, INT", no_gate, false, EVENT_SOFT_INT, 0x20, VEC_GP, IDT_ERROR(0x20)},
    {"type", gate_type, false, EVENT_IRQ, 0x20, VEC_GP, IDT_ERROR(0x20) + 1},
    {"task gate", gate_task, false, EVENT_IRQ, 0x20, VEC_GP, IDT_ERROR(0x20) + 1},
    {"gate absent", gate_absent, false, EVENT_IRQ, 0x20, VEC_NP, IDT_ERROR(0x20) + 1},
    {"INT from user", nothing, true, EVENT_SOFT_INT, 0x20, VEC_GP, IDT_ERROR(0x20)},
    {"DPL before P", gate_absent, true, EVENT_SOFT_INT, 0x20, VEC_GP, IDT_ERROR(0x20)},
    {"CS null", cs_null, false, EVENT_IRQ, 0x20, VEC_GP, 1},
    {"CS limit", cs_limit, false, EVENT_IRQ, 0x20, VEC_GP, 0x1F9},
    {"CS is data", cs_data, false, EVENT_IRQ, 0x20, VEC_GP, KDATA | 1},
    {"CS is data, INT", cs_data, false, EVENT_SOFT_INT, 0x20, VEC_GP, KDATA},
    {"CS outer", cs_outer, false, EVENT_IRQ, 0x20, VEC_GP, (UCODE & ~3) | 1},
    {"CS absent", cs_absent, false, EVENT_IRQ, 0x20, VEC_NP, ABSENT_CODE | 1},
    {"EIP", eip_limit, false, EVENT_IRQ, 0x20, VEC_GP, 1},
    {"TSS limit", tss_limit, true, EVENT_IRQ, 0x20, VEC_TS, S_TSS | 1},
    {"SS null", ss_null, true, EVENT_IRQ, 0x20, VEC_TS, 1},
    {"SS limit", ss_limit, true, EVENT_IRQ, 0x20, VEC_TS, 0x1F9},
    {"SS RPL", ss_rpl, true, EVENT_IRQ, 0x20, VEC_TS, KDATA | 1},
    {"SS DPL", ss_outer, true, EVENT_IRQ, 0x20, VEC_TS, (UDATA & ~3) | 1},
    {"SS read-only", ss_readonly, true, EVENT_IRQ, 0x20, VEC_TS, READONLY | 1},
    {"SS absent", ss_absent, true, EVENT_IRQ, 0x20, VEC_SS, ABSENT_DATA | 1},
    {"inner SS room", ss_room, true, EVENT_IRQ, 0x20, VEC_SS, SMALL_DATA | 1},
    {"SS room", ss_here_room, false, EVENT_IRQ, 0x20, VEC_SS, 1},
    {"no page", stack_unmapped, true, EVENT_IRQ, 0x20, VEC_PF, PF_W},
};

Test(deliver, each_check)
{
    struct vcpu *v = &machine.vcpu;

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        const struct bad_case *c = &bad[i];
        struct event e = {.kind = c->kind, .vector = c->vector}, fault;
        struct vcpu before;

        machine_init();
        if (c->user)
            machine_user();
        c->spoil();
        before = *v;
        cr_assert_not(deliver_once(v, &e, v->eip, &fault), "%s: delivered", c->what);
        cr_assert_eq(fault.vector, c->want, "%s: vector %u", c->what, fault.vector);
        cr_assert_eq(fault.error, c->error, "%s: error %x", c->what, fault.error);
        cr_assert_eq(memcmp(v, &before, sizeof(before)), 0, "%s: state changed", c->what);
    }
}

/* Pushes go downwards: the first word that finds no page is the one in CR2. */
Test(deliver, cr2_of_a_push)
{
    struct vcpu *v = &machine.vcpu;
    struct event e = irq(0x20), fault;

    machine_user();
    stack_unmapped();
    cr_assert_not(deliver_once(v, &e, v->eip, &fault));
    cr_assert_eq(fault.vector, VEC_PF);
    cr_assert_eq(fault.cr2, KERNEL_STACK - 4u);
    put32(TSS + 4, KERNEL_STACK + 8); /* two words fit above the missing page */
    cr_assert_not(deliver_once(v, &e, v->eip, &fault));
    cr_assert_eq(fault.cr2, KERNEL_STACK - 4u);
    cr_assert_eq(fault.error, PF_W);
}

/* CR2 is that of the last page fault, whatever becomes of it. */
Test(deliver, cr2_of_a_fault_in_delivery)
{
    struct vcpu *v = &machine.vcpu;
    struct event e = {.kind = EVENT_EXCEPTION, .vector = VEC_PF, .has_error = true, .cr2 = 0x1234};

    machine_user();
    stack_unmapped();
    cr_assert_not(deliver_event(v, &e));
    cr_assert_eq(v->cr2, KERNEL_STACK - 4u);
}

Test(deliver, software_interrupt_needs_gate_dpl)
{
    struct event e = {.kind = EVENT_SOFT_INT, .vector = 0x30};

    machine_user();
    cr_assert(deliver_event(&machine.vcpu, &e));
    cr_assert_eq(machine.vcpu.eip, HANDLER + 0x30u);
}

/* SDM vol. 3A table 6-5: rows first, columns second exception. */
enum outcome { SERIAL, DOUBLE, SHUTDOWN };

Test(deliver, double_fault_table)
{
    static const struct {
        enum event_kind kind;
        uint8_t vector;
        enum outcome contributory, page_fault;
    } rows[] = {
        {EVENT_IRQ, 0x20, SERIAL, SERIAL},         {EVENT_NMI, VEC_NMI, SERIAL, SERIAL},
        {EVENT_SOFT_INT, 0x30, SERIAL, SERIAL},    {EVENT_EXCEPTION, VEC_UD, SERIAL, SERIAL},
        {EVENT_EXCEPTION, VEC_DB, SERIAL, SERIAL}, {EVENT_EXCEPTION, VEC_MF, SERIAL, SERIAL},
        {EVENT_EXCEPTION, VEC_DE, DOUBLE, SERIAL}, {EVENT_EXCEPTION, VEC_TS, DOUBLE, SERIAL},
        {EVENT_EXCEPTION, VEC_SS, DOUBLE, SERIAL}, {EVENT_EXCEPTION, VEC_GP, DOUBLE, SERIAL},
        {EVENT_EXCEPTION, VEC_PF, DOUBLE, DOUBLE}, {EVENT_EXCEPTION, VEC_DF, SHUTDOWN, SHUTDOWN},
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows) * 2; i++) {
        bool pf = i & 1;
        struct event e = {.kind = rows[i / 2].kind, .vector = rows[i / 2].vector};
        enum outcome want = pf ? rows[i / 2].page_fault : rows[i / 2].contributory;
        unsigned serial = pf ? VEC_PF : VEC_NP;
        bool ok;

        machine_init();
        /* A GDT that goes on into a page that is not mapped. */
        machine.vcpu.gdtr.limit = 0xFFFF;
        put32(PAGE_TABLE + 4 * 4, 0);
        machine.vcpu.idtr.base = 0xD000;
        memcpy(machine_ram + 0xD000, machine_ram + IDT, 64 * 8);
        if (pf)
            put_gate(0xD000 + e.vector * 8, 0x1000, 0, 0x8E, 0);
        else
            put_gate(0xD000 + e.vector * 8, KCODE, 0, e.vector == 0x30 ? 0x6E : 0x0E, 0);
        ok = deliver_event(&machine.vcpu, &e);
        cr_assert_eq(ok, want != SHUTDOWN, "row %u", i);
        if (want == SERIAL)
            cr_assert_eq(machine.vcpu.eip, HANDLER + serial, "row %u: EIP %x", i, machine.vcpu.eip);
        if (want == DOUBLE)
            cr_assert_eq(machine.vcpu.eip, HANDLER + VEC_DF + 0u, "row %u: EIP %x", i,
                         machine.vcpu.eip);
        if (want == DOUBLE)
            cr_assert_eq(get32(machine.vcpu.gpr[GPR_ESP]), 0u, "error code 0");
    }
}

Test(deliver, empty_idt_is_a_triple_fault)
{
    struct event e = irq(0x20);
    struct vcpu before;

    machine.vcpu.idtr.limit = 0;
    before = machine.vcpu;
    cr_assert_not(deliver_event(&machine.vcpu, &e));
    cr_assert_eq(memcmp(&before, &machine.vcpu, sizeof(before)), 0);
}

Test(deliver, real_mode)
{
    struct vcpu *v = &machine.vcpu;
    struct event e = exception(VEC_GP, true, 0x55);

    machine_real();
    v->eflags = FL_R1 | FL_IF | FL_TF | FL_ZF;
    put32(VEC_GP * 4, 0xF0001234);
    cr_assert(deliver_event(v, &e));
    cr_assert_eq(v->seg[SREG_CS].base, 0xF0000u);
    cr_assert_eq(v->seg[SREG_CS].selector, 0xF000);
    cr_assert_eq(v->eip, 0x1234u);
    cr_assert_eq(v->gpr[GPR_ESP], 0x6FFAu, "no error code");
    cr_assert_eq(get16(0x6FFA), 0);
    cr_assert_eq(get16(0x6FFC), 0x1000);
    cr_assert_eq(v->eflags, FL_R1 | FL_ZF);

    v->idtr.limit = 3;
    cr_assert_not(deliver_event(v, &e));
}

/* The frame goes over the vector, which is read when it is there: IP and CS become those of the
 * frame (SDM vol. 2, INT n: the pushes stand before the loads). */
Test(deliver, real_mode_reads_the_vector_last)
{
    struct vcpu *v = &machine.vcpu;
    struct event e = {.kind = EVENT_SOFT_INT, .vector = 0x30};

    machine_real();
    v->seg[SREG_SS].selector = 0;
    v->seg[SREG_SS].base = 0;
    v->gpr[GPR_ESP] = 0x30 * 4 + 6;
    v->eip = 0x2345;
    put32(0x30 * 4, 0xF0001234);
    cr_assert(deliver_event(v, &e));
    cr_assert_eq(v->eip, 0x2345u);
    cr_assert_eq(v->seg[SREG_CS].selector, 0x1000);
    cr_assert_eq(v->gpr[GPR_ESP], 0x30 * 4u);
}

/* --- there and back --- */

static uint32_t seed = 0x1234567;

static uint32_t random32(void)
{
    seed = seed * 1664525 + 1013904223;
    return seed >> 8 ^ seed << 16;
}

/* One random state, gate and way back. A conforming handler leaves a user at CPL 3, where IRET
 * cannot set IF again unless IOPL is 3; a 16-bit frame holds SP only. */
static void round_trip(unsigned i)
{
    struct vcpu *v = &machine.vcpu, before;
    struct insn iret = {.op = OP_IRET, .len = 1, .opcode = 0xCF, .opsize = 4, .adsize = 4};
    struct event e = {.kind = i & 1 ? EVENT_IRQ : EVENT_SOFT_INT, .vector = 0x30};
    bool user = random32() & 1, wide = random32() & 1, trap = random32() & 1;
    bool conforming = random32() & 1, inner = user && !conforming;
    uint32_t esp, eflags;
    struct exit exit;

    machine_init();
    if (user)
        machine_user();
    v->gpr[GPR_ESP] -= random32() % 0x200;
    v->eip = random32() & 0xFFFF;
    v->eflags = FL_R1 | (random32() & 0x00243ED5); /* all but TF and NT */
    put_gate(IDT + 0x30 * 8, conforming ? CONFORMING : KCODE, HANDLER, (wide ? 0xEE : 0xE6) | trap,
             0);
    before = *v;
    esp = inner && !wide ? before.gpr[GPR_ESP] & 0xFFFF : before.gpr[GPR_ESP];
    eflags = before.eflags;
    if (user && conforming && !trap && (eflags & FL_IOPL) != FL_IOPL)
        eflags &= ~FL_IF;

    cr_assert(deliver_event(v, &e));
    iret.opsize = wide ? 4 : 2;
    cr_assert_eq(emulate(v, &iret, &exit), EMU_DONE, "case %u", i);
    cr_assert_eq(v->eip, before.eip, "case %u", i);
    cr_assert_eq(v->gpr[GPR_ESP], esp, "case %u", i);
    cr_assert_eq(v->eflags, eflags, "case %u: %x, not %x", i, v->eflags, eflags);
    for (int s = 0; s < SREG_COUNT; s++)
        cr_assert_eq(memcmp(&v->seg[s], &before.seg[s], sizeof(struct segment)), 0,
                     "case %u, segment %d", i, s);
}

Test(deliver, round_trip_by_iret)
{
    for (unsigned i = 0; i < 500; i++)
        round_trip(i);
}
