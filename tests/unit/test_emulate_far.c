/* The emulator: INT, IRET, far CALL, JMP and RET, call gates. */
#include "emulate_helpers.h"

TestSuite(emulate_far, .init = machine_init);

#define GP VEC_GP, 0

/* Put words on the current stack, the first at ESP. */
static void push_words(unsigned n, const uint32_t *words)
{
    machine.vcpu.gpr[GPR_ESP] -= n * 4;
    for (unsigned i = 0; i < n; i++)
        put32(machine.vcpu.gpr[GPR_ESP] + i * 4, words[i]);
}
#define STACK(...) push_words(sizeof((uint32_t[]){__VA_ARGS__}) / 4, (uint32_t[]){__VA_ARGS__})

static void expect_at(const char *what, struct insn insn, uint16_t cs, uint32_t eip, uint32_t esp)
{
    enum emu_result result = run(insn);
    struct vcpu *v = &machine.vcpu;

    cr_assert_eq(result, EMU_DONE, "%s: result %d", what, result);
    cr_assert_eq(v->seg[SREG_CS].selector, cs, "%s: CS %x", what, v->seg[SREG_CS].selector);
    cr_assert_eq(v->eip, eip, "%s: EIP %x", what, v->eip);
    cr_assert_eq(v->gpr[GPR_ESP], esp, "%s: ESP %x", what, v->gpr[GPR_ESP]);
}

/* --- INT --- */

Test(emulate_far, software_interrupts)
{
    struct vcpu *v = &machine.vcpu;

    machine_user();
    expect_at("int 0x30", INSN(.op = OP_INTN, .imm = 0x30), KCODE, HANDLER + 0x30,
              KERNEL_STACK - 20);
    cr_assert_eq(get32(KERNEL_STACK - 20), USER_CODE + (uint32_t)LEN, "returns behind the INT");
    machine_user();
    expect_at("int3", INSN(.op = OP_INT3), KCODE, HANDLER + 3, KERNEL_STACK - 20);
    machine_user();
    expect_done("into without OF", INSN(.op = OP_INTO));
    v->eflags |= FL_OF;
    expect_at("into", INSN(.op = OP_INTO), KCODE, HANDLER + 4, KERNEL_STACK - 20);
    machine_user();
    expect_at("int1 ignores the DPL", INSN(.op = OP_INT1), KCODE, HANDLER + 1, KERNEL_STACK - 20);
    machine_user();
    expect_fault("int 0x20", INSN(.op = OP_INTN, .imm = 0x20), VEC_GP, 0x20 * 8 + 2);
    expect_fault("int 0x80", INSN(.op = OP_INTN, .imm = 0x80), VEC_GP, 0x80 * 8 + 2);
    put32(TSS + 8, 0);
    expect_fault("no stack, no EXT bit", INSN(.op = OP_INTN, .imm = 0x30), VEC_TS, 0);
}

/* --- IRET --- */

Test(emulate_far, iret_same_level)
{
    struct vcpu *v = &machine.vcpu;

    v->int_shadow = SHADOW_MOV_SS;
    STACK(0x1234, KCODE, 0x00257FD5);
    expect_at("iret", INSN(.op = OP_IRET), KCODE, 0x1234, 0x8F00);
    cr_assert_eq(v->eflags, 0x00257FD7u);
    cr_assert_eq(v->int_shadow, 0);
}

Test(emulate_far, iret_flags_by_privilege)
{
    static const struct {
        unsigned user, iopl, opsize;
        uint32_t change;
    } cases[] = {
        {0, 0, 4, 0x00257FD5}, {0, 0, 2, 0x7FD5},     {1, 0, 4, 0x00254DD5},
        {1, 3, 4, 0x00254FD5}, {1, 2, 2, 0x00004DD5},
    };
    struct vcpu *v = &machine.vcpu;

    for (unsigned i = 0; i < ARRAY_LEN(cases) * 2; i++) {
        unsigned user = cases[i / 2].user, size = cases[i / 2].opsize;
        uint32_t change = cases[i / 2].change, before, esp;
        /* From CPL 3, IRET ignores VM. */
        uint32_t ones = i & 1 ? (user ? 0xFFFFFFFF : ~FL_VM) : 0;

        machine_init();
        if (user)
            machine_user();
        v->eflags = FL_R1 | cases[i / 2].iopl << FL_IOPL_SHIFT | (i & 1 ? 0 : 0x00240FD5);
        before = v->eflags;
        v->eflags |= FL_RF; /* ends with the instruction, unless the image has it */
        esp = v->gpr[GPR_ESP] -= 3 * size;
        for (unsigned w = 0; w < 3; w++) {
            uint32_t word = w == 0 ? 0x4321 : w == 1 ? (user ? UCODE : KCODE) : ones;
            memcpy(machine_ram + esp + w * size, &word, size);
        }
        expect_at("iret", INSN(.op = OP_IRET, .opsize = size), user ? UCODE : KCODE, 0x4321,
                  esp + 3 * size);
        cr_assert_eq(v->eflags, (before & ~change) | (ones & change), "case %u: %x from %x", i,
                     v->eflags, before);
    }
}

Test(emulate_far, sysenter_and_sysexit)
{
    struct vcpu *v = &machine.vcpu;

    expect_fault("sysenter without an entry", INSN(.op = OP_SYSENTER), VEC_GP, 0);
    expect_fault("sysexit without an entry", INSN(.op = OP_SYSEXIT), VEC_GP, 0);
    v->sysenter_cs = 0x33; /* the RPL does not count, nor do the tables */
    v->sysenter_eip = 0x12345;
    v->sysenter_esp = 0x6789;
    machine_user();
    expect_fault("sysexit by a program", INSN(.op = OP_SYSEXIT), VEC_GP, 0);
    v->eflags |= FL_IF | FL_IOPL;
    expect_at("sysenter", INSN(.op = OP_SYSENTER), 0x30, 0x12345, 0x6789);
    cr_assert_eq(vcpu_cpl(v), 0u);
    cr_assert_eq(v->seg[SREG_SS].selector, 0x38);
    cr_assert_eq(v->seg[SREG_CS].attr & (SEG_CODE | SEG_DPL), SEG_CODE);
    cr_assert_eq(v->seg[SREG_CS].limit, 0xFFFFFFFFu);
    cr_assert_eq(v->eflags & (FL_IF | FL_IOPL), FL_IOPL);
    v->gpr[GPR_EDX] = 0x1111;
    v->gpr[GPR_ECX] = 0x2222;
    expect_at("sysexit", INSN(.op = OP_SYSEXIT), 0x43, 0x1111, 0x2222);
    cr_assert_eq(vcpu_cpl(v), 3u);
    cr_assert_eq(v->seg[SREG_SS].selector, 0x4B);
    v->cr0 &= ~CR0_PE;
    expect_fault("sysenter in real mode", INSN(.op = OP_SYSENTER), VEC_GP, 0);
}

Test(emulate_far, iret_to_user)
{
    struct vcpu *v = &machine.vcpu;
    struct event fault;

    cr_assert(load_segment(v, SREG_ES, UDATA, &fault));
    cr_assert(load_segment(v, SREG_FS, CONFORMING, &fault));
    cr_assert(load_segment(v, SREG_GS, 0, &fault));
    v->dirty = 0;
    STACK(USER_CODE, UCODE, FL_R1 | FL_IF | FL_IOPL, USER_STACK, UDATA);
    expect_at("iret", INSN(.op = OP_IRET), UCODE, USER_CODE, USER_STACK);
    cr_assert_eq(v->seg[SREG_SS].selector, UDATA);
    cr_assert_eq(vcpu_cpl(v), 3u);
    cr_assert_eq(v->eflags, FL_R1 | FL_IF | FL_IOPL);
    cr_assert_eq(v->seg[SREG_ES].selector, UDATA, "the user may keep it");
    cr_assert_eq(v->seg[SREG_FS].selector, CONFORMING, "conforming code is everyone's");
    cr_assert(v->seg[SREG_DS].attr & SEG_UNUSABLE, "a kernel segment becomes null");
    cr_assert_eq(v->seg[SREG_DS].selector, 0);
    cr_assert_eq(v->dirty, DIRTY_SEG);
}

Test(emulate_far, iret_to_a_16_bit_stack)
{
    struct vcpu *v = &machine.vcpu;

    put_descriptor(GDT + DATA16, 0x20000, 0xFFFF, 0xF2, 0);
    STACK(USER_CODE, UCODE, FL_R1, 0xABCD1234, DATA16 | 3);
    expect_at("iret", INSN(.op = OP_IRET), UCODE, USER_CODE, (0x8F00 & 0xFFFF0000) | 0x1234);
    cr_assert_eq(v->seg[SREG_SS].base, 0x20000u);
}

struct iret_case {
    const char *what;
    uint32_t cs, ss;
    unsigned vector;
    uint32_t error;
};

Test(emulate_far, iret_checks)
{
    static const struct iret_case cases[] = {
        {"CS null", 3, UDATA, VEC_GP, 0},
        {"CS limit", 0x1F8, UDATA, VEC_GP, 0x1F8},
        {"CS is data", UDATA, UDATA, VEC_GP, UDATA & ~3},
        {"CS DPL is not RPL", KCODE | 3, UDATA, VEC_GP, KCODE},
        {"CS DPL over RPL", UCODE & ~3, UDATA, VEC_GP, UCODE & ~3},
        {"conforming DPL over RPL", UCODE_CONF | 1, UDATA, VEC_GP, UCODE_CONF},
        {"CS absent", ABSENT_CODE, UDATA, VEC_NP, ABSENT_CODE},
        {"SS null", UCODE, 0, VEC_GP, 0},
        {"SS RPL", UCODE, UDATA & ~3, VEC_GP, UDATA & ~3},
        {"SS DPL", UCODE, KDATA | 3, VEC_GP, KDATA},
        {"SS read-only", UCODE, READONLY | 3, VEC_GP, READONLY},
        {"SS limit", UCODE, 0x1FB, VEC_GP, 0x1F8},
    };

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        machine_init();
        STACK(USER_CODE, cases[i].cs, FL_R1, USER_STACK, cases[i].ss);
        expect_fault(cases[i].what, INSN(.op = OP_IRET), cases[i].vector, cases[i].error);
    }
    machine_init();
    put_descriptor(GDT + (UDATA & ~3), 0, 0xFFFFF, 0x73, 0xC);
    STACK(USER_CODE, UCODE, FL_R1, USER_STACK, UDATA);
    expect_fault("SS absent", INSN(.op = OP_IRET), VEC_SS, UDATA & ~3);
    machine_init();
    STACK(0x10000, CODE16, FL_R1);
    expect_fault("EIP", INSN(.op = OP_IRET), GP);
    machine_init();
    STACK(CODE, KCODE, FL_R1 | FL_VM);
    expect_fault("virtual-8086 mode", INSN(.op = OP_IRET), GP);
    machine_init();
    STACK(CODE, KCODE, FL_R1);
    machine.vcpu.eflags |= FL_NT;
    expect_fault("task return", INSN(.op = OP_IRET), GP);
    machine_init();
    machine_user();
    STACK(CODE, KCODE, FL_R1);
    expect_fault("inwards", INSN(.op = OP_IRET), VEC_GP, KCODE);
    machine_init();
    machine.vcpu.gpr[GPR_ESP] = 0x00500000;
    expect_fault("stack not mapped", INSN(.op = OP_IRET), VEC_PF, 0);
    machine_init();
    machine.vcpu.seg[SREG_SS].limit = 0x8F00 + 10;
    expect_fault("stack limit", INSN(.op = OP_IRET), VEC_SS, 0);
}

Test(emulate_far, iret_real_mode)
{
    struct vcpu *v = &machine.vcpu;

    machine_real();
    v->gpr[GPR_ESP] = 0x6FFA;
    put32(0x6FFA, 0x20001234);
    put32(0x6FFE, FL_IF | FL_NT | FL_ZF);
    expect_at("iret", INSN(.op = OP_IRET, .opsize = 2), 0x2000, 0x1234, 0x7000);
    cr_assert_eq(v->seg[SREG_CS].base, 0x20000u);
    cr_assert_eq(v->eflags, FL_R1 | FL_IF | FL_NT | FL_ZF);
}

/* --- far CALL and JMP --- */

static struct insn call(uint16_t selector, uint32_t offset)
{
    return INSN(.op = OP_CALL_FAR, .imm = offset, .imm2 = selector);
}

static struct insn jmp(uint16_t selector, uint32_t offset)
{
    return INSN(.op = OP_JMP_FAR, .imm = offset, .imm2 = selector);
}

Test(emulate_far, direct)
{
    struct vcpu *v = &machine.vcpu;
    const uint32_t esp = 0x8F00;

    expect_at("jmp", jmp(KCODE, 0x4567), KCODE, 0x4567, esp);
    v->eip = CODE;
    expect_at("call", call(CONFORMING | 3, 0x4567), CONFORMING, 0x4567, esp - 8);
    cr_assert_eq(get32(esp - 8), CODE + (uint32_t)LEN);
    cr_assert_eq(get32(esp - 4), (uint32_t)KCODE);
    cr_assert(machine_ram[GDT + CONFORMING + 5] & 1);

    machine_init();
    expect_at("to 16-bit code", jmp(CODE16, 0x1234), CODE16, 0x1234, esp);
    cr_assert_not(v->seg[SREG_CS].attr & SEG_DB);
    expect_at("16-bit call back",
              INSN(.op = OP_CALL_FAR, .opsize = 2, .imm = 0x4567, .imm2 = KCODE), KCODE, 0x4567,
              esp - 4);
    cr_assert_eq(get32(esp - 4), (uint32_t)CODE16 << 16 | (0x1234 + LEN));

    machine_init();
    put32(DATA, 0x00012345);
    put32(DATA + 4, KCODE);
    expect_at("jmp m16:32", INSN(.op = OP_JMP_FAR_MEM, MEM(5, DATA)), KCODE, 0x12345, esp);
    put32(DATA, (uint32_t)KCODE << 16 | 0x2345);
    expect_at("call m16:16", INSN(.op = OP_CALL_FAR_MEM, .opsize = 2, MEM(3, DATA)), KCODE, 0x2345,
              esp - 4);

    machine_init();
    machine_user();
    expect_at("conforming from user", call(CONFORMING, 0x4567), CONFORMING | 3, 0x4567,
              USER_STACK - 8);
    cr_assert_eq(vcpu_cpl(v), 3u);
}

Test(emulate_far, direct_checks)
{
    static const struct {
        uint16_t selector;
        unsigned vector;
        uint32_t error;
    } cases[] = {
        {0, VEC_GP, 0},
        {0x1F8, VEC_GP, 0x1F8},
        {KDATA, VEC_GP, KDATA},
        {UCODE, VEC_GP, UCODE & ~3},
        {KCODE | 1, VEC_GP, KCODE},
        {UCODE_CONF, VEC_GP, UCODE_CONF},
        {ABSENT_CODE, VEC_NP, ABSENT_CODE},
        {S_LDT, VEC_GP, S_LDT},
        {S_TSS_FREE, VEC_GP, S_TSS_FREE}, /* no task switch */
        {TASK_GATE, VEC_GP, TASK_GATE},
        {ABSENT_GATE, VEC_NP, ABSENT_GATE},
    };

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        machine_init();
        expect_fault("call", call(cases[i].selector, CODE), cases[i].vector, cases[i].error);
        expect_fault("jmp", jmp(cases[i].selector, CODE), cases[i].vector, cases[i].error);
    }
    machine_init();
    expect_fault("EIP", jmp(CODE16, 0x10000), GP);
    machine.vcpu.seg[SREG_SS].limit = 0x8000;
    expect_fault("stack", call(KCODE, CODE), VEC_SS, 0);
    machine_user();
    expect_fault("inwards", call(KCODE, CODE), VEC_GP, KCODE);
}

Test(emulate_far, call_gate)
{
    struct vcpu *v = &machine.vcpu;

    expect_at("same level, no parameters copied", call(CALL_GATE, 0xDEAD), KCODE, HANDLER,
              0x8F00 - 8);
    machine_init();
    machine_user();
    STACK(0x1111, 0x2222);
    expect_at("inner level", call(CALL_GATE | 3, 0xDEAD), KCODE, HANDLER, KERNEL_STACK - 24);
    const uint32_t frame[] = {USER_CODE + LEN, UCODE, 0x1111, 0x2222, USER_STACK - 8, UDATA};
    for (unsigned i = 0; i < ARRAY_LEN(frame); i++)
        cr_assert_eq(get32(KERNEL_STACK - 24 + i * 4), frame[i], "word %u", i);
    cr_assert_eq(v->seg[SREG_SS].selector, KDATA);
    cr_assert_eq(v->eflags & FL_IF, FL_IF, "a call gate leaves IF alone");

    /* And back, releasing the parameters on both stacks. */
    expect_at("retf 8", INSN(.op = OP_RET_FAR, .imm = 8, .imm_size = 2), UCODE, USER_CODE + LEN,
              USER_STACK);
    cr_assert_eq(v->seg[SREG_SS].selector, UDATA);

    machine_init();
    machine_user();
    put32(USER_STACK, 0xAAAA9999);
    expect_at("16-bit gate", call(CALL_GATE16 | 3, 0), KCODE, 0x5678, KERNEL_STACK - 10);
    cr_assert_eq(get16(KERNEL_STACK - 6), 0x9999);
}

Test(emulate_far, call_gate_checks)
{
    machine_user();
    expect_fault("jmp inwards", jmp(CALL_GATE | 3, 0), VEC_GP, KCODE);
    put_gate(GDT + CALL_GATE, KCODE, HANDLER, 0x8C, 0);
    expect_fault("gate DPL", call(CALL_GATE, 0), VEC_GP, CALL_GATE);
    put_gate(GDT + CALL_GATE, 0, HANDLER, 0xEC, 0);
    expect_fault("CS null", call(CALL_GATE, 0), GP);
    put_gate(GDT + CALL_GATE, KDATA, HANDLER, 0xEC, 0);
    expect_fault("CS is data", call(CALL_GATE, 0), VEC_GP, KDATA);
    put_gate(GDT + CALL_GATE, ABSENT_CODE, HANDLER, 0xEC, 0);
    expect_fault("CS absent", call(CALL_GATE, 0), VEC_NP, ABSENT_CODE);
    expect_fault("jmp inwards, CS absent", jmp(CALL_GATE, 0), VEC_GP, ABSENT_CODE);
    put_gate(GDT + CALL_GATE, KCODE, HANDLER, 0xEC, 0);
    put32(TSS + 8, KDATA | 1);
    expect_fault("inner SS", call(CALL_GATE, 0), VEC_TS, KDATA);
    put32(TSS + 8, SMALL_DATA);
    put32(TSS + 4, 15);
    expect_fault("no room on the inner stack", call(CALL_GATE, 0), VEC_SS, SMALL_DATA);
    put_gate(GDT + CALL_GATE, KCODE, HANDLER, 0xEC, 2);
    machine.vcpu.seg[SREG_SS].limit = machine.vcpu.gpr[GPR_ESP] + 3;
    expect_fault("no room there, and no parameters", call(CALL_GATE, 0), VEC_SS, SMALL_DATA);
    machine_kernel();
    put_gate(GDT + CALL_GATE, KCODE, HANDLER, 0x8C, 0);
    expect_fault("RPL over the gate's DPL", call(CALL_GATE | 1, 0), VEC_GP, CALL_GATE);
    expect_fault("outwards", call(GATE_TO_USER, 0), VEC_GP, UCODE & ~3);
}

/* --- far RET --- */

Test(emulate_far, retf)
{
    struct vcpu *v = &machine.vcpu;

    STACK(0x5555, KCODE);
    expect_at("retf", INSN(.op = OP_RET_FAR), KCODE, 0x5555, 0x8F00);
    v->gpr[GPR_ESP] = 0x8E00;
    put32(0x8E00, 0x5555);
    put32(0x8E04, KCODE);
    expect_at("retf 0x10", INSN(.op = OP_RET_FAR, .imm = 0x10, .imm_size = 2), KCODE, 0x5555,
              0x8E18);
    machine_init();
    STACK(USER_CODE, UCODE, USER_STACK, UDATA);
    expect_at("retf outwards", INSN(.op = OP_RET_FAR), UCODE, USER_CODE, USER_STACK);
    cr_assert(v->seg[SREG_DS].attr & SEG_UNUSABLE);
    STACK(CODE, KCODE);
    expect_fault("retf inwards", INSN(.op = OP_RET_FAR), VEC_GP, KCODE);
}

Test(emulate_far, real_mode)
{
    struct vcpu *v = &machine.vcpu;

    machine_real();
    expect_at("call", INSN(.op = OP_CALL_FAR, .opsize = 2, .imm = 0x10, .imm2 = 0x2345), 0x2345,
              0x10, 0x6FFC);
    cr_assert_eq(v->seg[SREG_CS].base, 0x23450u);
    cr_assert_eq(get32(0x6FFC), 0x10000000u + LEN);
    expect_at("retf", INSN(.op = OP_RET_FAR, .opsize = 2), 0x1000, LEN, 0x7000);
    put32(0x30 * 4, 0x50000100);
    expect_at("int", INSN(.op = OP_INTN, .imm = 0x30), 0x5000, 0x100, 0x6FFA);
    cr_assert_eq(get16(0x6FFA), 2 * LEN);
}
