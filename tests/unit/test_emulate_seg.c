/* The emulator: segment and descriptor-table registers, and questions about descriptors. */
#include "emulate_helpers.h"

TestSuite(emulate_seg, .init = machine_init);

#define GP VEC_GP, 0

/* --- descriptor-table registers --- */

Test(emulate_seg, lgdt_lidt)
{
    struct vcpu *v = &machine.vcpu;

    memcpy(machine_ram + DATA, (uint8_t[]){0x34, 0x12, 0x78, 0x56, 0xBC, 0x9A}, 6);
    expect_done("lidt", INSN(.op = OP_LIDT, MEM(3, DATA)));
    cr_assert(v->idtr.limit == 0x1234 && v->idtr.base == 0x9ABC5678);
    cr_assert_eq(v->dirty, DIRTY_TABLE);
    expect_done("lgdt, 16-bit operand", INSN(.op = OP_LGDT, .opsize = 2, MEM(2, DATA)));
    cr_assert(v->gdtr.limit == 0x1234 && v->gdtr.base == 0x00BC5678);
    expect_fault("a register", INSN(.op = OP_LGDT, REG(2, 0)), VEC_UD, 0);
    expect_fault("not mapped", INSN(.op = OP_LGDT, MEM(2, 0x00500000)), VEC_PF, 0);
    machine_user();
    expect_fault("user", INSN(.op = OP_LGDT, MEM(2, USER_DATA)), GP);
}

Test(emulate_seg, sgdt_sidt)
{
    machine.vcpu.gdtr = (struct table_reg){.base = 0xFEDCBA98, .limit = 0x7FFF};
    machine_user();
    expect_done("sgdt", INSN(.op = OP_SGDT, MEM(0, USER_DATA)));
    cr_assert_eq(get16(USER_DATA), 0x7FFF);
    cr_assert_eq(get32(USER_DATA + 2), 0xFEDCBA98u);
    expect_done("sgdt, 16-bit operand", INSN(.op = OP_SGDT, .opsize = 2, MEM(0, USER_DATA)));
    cr_assert_eq(get32(USER_DATA + 2), 0x00DCBA98u);
    expect_done("sidt", INSN(.op = OP_SIDT, MEM(1, USER_DATA)));
    cr_assert_eq(get32(USER_DATA + 2), (uint32_t)IDT);
    expect_fault("the kernel's page", INSN(.op = OP_SIDT, MEM(1, DATA)), VEC_PF, 7);
    expect_fault("a register", INSN(.op = OP_SIDT, REG(1, 0)), VEC_UD, 0);
}

Test(emulate_seg, lldt_ltr)
{
    struct vcpu *v = &machine.vcpu;

    v->gpr[GPR_ECX] = 0xABCD0000 | S_TSS_FREE;
    expect_done("ltr cx", INSN(.op = OP_LTR, REG(3, GPR_ECX)));
    cr_assert_eq(v->seg[SREG_TR].selector, S_TSS_FREE);
    cr_assert_eq(v->seg[SREG_TR].limit, 0x67u);
    expect_fault("again: busy", INSN(.op = OP_LTR, REG(3, GPR_ECX)), VEC_GP, S_TSS_FREE);
    put32(DATA, 0);
    expect_done("lldt [0]", INSN(.op = OP_LLDT, MEM(2, DATA)));
    cr_assert(v->seg[SREG_LDTR].attr & SEG_UNUSABLE);
    v->gpr[GPR_ECX] = ABSENT_LDT;
    expect_fault("absent", INSN(.op = OP_LLDT, REG(2, GPR_ECX)), VEC_NP, ABSENT_LDT);
    machine_user();
    expect_fault("user", INSN(.op = OP_LLDT, REG(2, GPR_ECX)), GP);
    machine_real();
    expect_fault("real mode", INSN(.op = OP_LLDT, REG(2, GPR_ECX)), VEC_UD, 0);
    expect_fault("real mode", INSN(.op = OP_LTR, REG(3, GPR_ECX)), VEC_UD, 0);
}

Test(emulate_seg, sldt_str)
{
    struct vcpu *v = &machine.vcpu;

    machine_user();
    v->gpr[GPR_EDX] = 0xFFFFFFFF;
    expect_done("str edx", INSN(.op = OP_STR, REG(1, GPR_EDX)));
    cr_assert_eq(v->gpr[GPR_EDX], (uint32_t)S_TSS, "zero-extended");
    v->gpr[GPR_EDX] = 0xFFFFFFFF;
    expect_done("sldt dx", INSN(.op = OP_SLDT, .opsize = 2, REG(0, GPR_EDX)));
    cr_assert_eq(v->gpr[GPR_EDX], 0xFFFF0000u | S_LDT);
    put32(USER_DATA, 0xFFFFFFFF);
    expect_done("sldt [mem]", INSN(.op = OP_SLDT, MEM(0, USER_DATA)));
    cr_assert_eq(get32(USER_DATA), 0xFFFF0000u | S_LDT);
    machine_real();
    expect_fault("real mode", INSN(.op = OP_SLDT, REG(0, 0)), VEC_UD, 0);
    expect_fault("real mode", INSN(.op = OP_STR, REG(1, 0)), VEC_UD, 0);
}

/* --- LAR, LSL, VERR, VERW --- */

struct question {
    unsigned cpl;
    uint16_t selector;
    int64_t lar, lsl; /* -1: ZF clear and no result */
    bool verr, verw;
};

/* SDM vol. 2: LAR, LSL, VERR. */
static const struct question questions[] = {
    {0, KCODE, 0x00C09B00, 0xFFFFFFFF, true, false},
    {0, KDATA, 0x00C09300, 0xFFFFFFFF, true, true},
    {3, KDATA, -1, -1, false, false},
    {3, UDATA, 0x00C0F300, 0xFFFFFFFF, true, true},
    {0, KDATA | 3, -1, -1, false, false}, /* RPL counts */
    {3, CONFORMING | 3, 0x00C09E00, 0xFFFFFFFF, true, false},
    {0, EXEC_ONLY, 0x00C09800, 0xFFFFFFFF, false, false},
    {0, READONLY, 0x00C09000, 0xFFFFFFFF, true, false},
    {0, ABSENT_DATA, 0x00C01200, 0xFFFFFFFF, true, true}, /* P is not asked for */
    {0, DATA16, 0x00009200, 0xFFFF, true, true},
    {0, S_TSS, 0x00008B00, 0x2067, false, false},
    {0, S_TSS16, 0x00008100, 0x2B, false, false},
    {3, S_TSS, -1, -1, false, false},
    {0, S_LDT, 0x00008200, 0x1F, false, false},
    {3, CALL_GATE | 3, 0x0000EC00, -1, false, false},
    {0, TASK_GATE, 0x0000E500, -1, false, false},
    {0, CALL_GATE16, 0x0000E400, -1, false, false},
    {0, 0, -1, -1, false, false},
    {0, 3, -1, -1, false, false},
    {0, GDT_END, -1, -1, false, false},
    {0, 0x0C, 0x00C09200, 0xFFFFFFFF, true, true},
    {0, 0x04, -1, -1, false, false}, /* an empty descriptor: system type 0 */
};

static void check_result(unsigned i, enum insn_op op, int64_t want)
{
    struct vcpu *v = &machine.vcpu;

    v->gpr[GPR_EAX] = 0x5A5A5A5A;
    v->eflags = FL_R1 | FL_CF | (want < 0 ? FL_ZF : 0);
    expect_done("question", INSN(.op = op, REG(GPR_EAX, GPR_EBX)));
    cr_assert_eq(v->eflags, FL_R1 | FL_CF | (want < 0 ? 0 : FL_ZF), "case %u, op %d", i, op);
    cr_assert_eq(v->gpr[GPR_EAX], want < 0 ? 0x5A5A5A5A : (uint32_t)want, "case %u: %x", i,
                 v->gpr[GPR_EAX]);
}

static void check_verify(unsigned i, enum insn_op op, bool want)
{
    struct vcpu *v = &machine.vcpu;

    v->eflags = FL_R1 | (want ? 0 : FL_ZF);
    expect_done("verify", INSN(.op = op, REG(4, GPR_EBX)));
    cr_assert_eq(v->eflags, FL_R1 | (want ? FL_ZF : 0), "case %u, op %d", i, op);
}

Test(emulate_seg, questions)
{
    for (unsigned i = 0; i < ARRAY_LEN(questions); i++) {
        machine_init();
        if (questions[i].cpl == 3)
            machine_user();
        machine.vcpu.gpr[GPR_EBX] = 0xFFFF0000 | questions[i].selector;
        check_result(i, OP_LAR, questions[i].lar);
        check_result(i, OP_LSL, questions[i].lsl);
        check_verify(i, OP_VERR, questions[i].verr);
        check_verify(i, OP_VERW, questions[i].verw);
    }
}

Test(emulate_seg, questions_16_bit_and_faults)
{
    static const enum insn_op ops[] = {OP_LAR, OP_LSL, OP_VERR, OP_VERW, OP_ARPL};
    struct vcpu *v = &machine.vcpu;

    v->gpr[GPR_EAX] = 0x5A5A5A5A;
    v->gpr[GPR_EBX] = KDATA;
    expect_done("lar ax", INSN(.op = OP_LAR, .opsize = 2, REG(GPR_EAX, GPR_EBX)));
    cr_assert_eq(v->gpr[GPR_EAX], 0x5A5A9300u);
    v->gdtr.base = 0x00500000;
    for (unsigned i = 0; i < 4; i++)
        expect_fault("GDT not mapped", INSN(.op = ops[i], REG(GPR_EAX, GPR_EBX)), VEC_PF, 0);
    machine_real();
    for (unsigned i = 0; i < ARRAY_LEN(ops); i++)
        expect_fault("real mode", INSN(.op = ops[i], REG(GPR_EAX, GPR_EBX)), VEC_UD, 0);
}

Test(emulate_seg, arpl)
{
    struct vcpu *v = &machine.vcpu;

    v->gpr[GPR_EAX] = 3;
    v->gpr[GPR_EBX] = 0xFFFF0011;
    expect_done("raise", INSN(.op = OP_ARPL, REG(GPR_EAX, GPR_EBX)));
    cr_assert_eq(v->gpr[GPR_EBX], 0xFFFF0013u);
    cr_assert(v->eflags & FL_ZF);
    expect_done("equal", INSN(.op = OP_ARPL, REG(GPR_EAX, GPR_EBX)));
    cr_assert_not(v->eflags & FL_ZF);
    v->gpr[GPR_EAX] = 1;
    expect_done("never lowered", INSN(.op = OP_ARPL, REG(GPR_EAX, GPR_EBX)));
    cr_assert_eq(v->gpr[GPR_EBX], 0xFFFF0013u);
    machine_user();
    put32(USER_DATA, 0x1234FFF8);
    v->gpr[GPR_EAX] = 1;
    expect_done("memory", INSN(.op = OP_ARPL, MEM(GPR_EAX, USER_DATA)));
    cr_assert_eq(get32(USER_DATA), 0x1234FFF9u);
}

/* --- segment registers --- */

Test(emulate_seg, mov)
{
    struct vcpu *v = &machine.vcpu;

    v->gpr[GPR_ECX] = 0xFFFFFFFF;
    expect_done("mov ecx, cs", INSN(.op = OP_MOV_FROM_SREG, REG(SREG_CS, GPR_ECX)));
    cr_assert_eq(v->gpr[GPR_ECX], (uint32_t)KCODE);
    put32(DATA, 0xFFFFFFFF);
    expect_done("mov [mem], ss", INSN(.op = OP_MOV_FROM_SREG, MEM(SREG_SS, DATA)));
    cr_assert_eq(get32(DATA), 0xFFFF0000u | KDATA, "16 bits");

    v->gpr[GPR_EDX] = 0xFFFF0000 | UDATA;
    expect_done("mov fs, dx", INSN(.op = OP_MOV_TO_SREG, REG(SREG_FS, GPR_EDX)));
    cr_assert_eq(v->seg[SREG_FS].selector, UDATA);
    cr_assert_eq(v->int_shadow, 0);
    v->gpr[GPR_EDX] = DATA16;
    expect_done("mov ss, dx", INSN(.op = OP_MOV_TO_SREG, REG(SREG_SS, GPR_EDX)));
    cr_assert_eq(v->int_shadow, SHADOW_MOV_SS);
    v->int_shadow = 0;
    expect_fault("mov cs", INSN(.op = OP_MOV_TO_SREG, REG(SREG_CS, GPR_EDX)), VEC_UD, 0);
    expect_fault("mov 6", INSN(.op = OP_MOV_TO_SREG, REG(6, GPR_EDX)), VEC_UD, 0);
    v->gpr[GPR_EDX] = ABSENT_DATA;
    expect_fault("absent", INSN(.op = OP_MOV_TO_SREG, REG(SREG_DS, GPR_EDX)), VEC_NP, ABSENT_DATA);
    expect_fault("absent", INSN(.op = OP_MOV_TO_SREG, REG(SREG_SS, GPR_EDX)), VEC_SS, ABSENT_DATA);
}

Test(emulate_seg, push_pop)
{
    static const struct {
        uint8_t push, pop;
        enum sreg reg;
    } cases[] = {{0x06, 0x07, SREG_ES},
                 {0x16, 0x17, SREG_SS},
                 {0x1E, 0x1F, SREG_DS},
                 {0xA0, 0xA1, SREG_FS},
                 {0xA8, 0xA9, SREG_GS}};
    struct vcpu *v = &machine.vcpu;

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        for (unsigned size = 2; size <= 4; size += 2) {
            machine_init();
            v->seg[cases[i].reg].selector = DATA16;
            expect_done("push", INSN(.op = OP_PUSH_SREG, .opcode = cases[i].push, .opsize = size));
            cr_assert_eq(v->gpr[GPR_ESP], 0x8F00u - size);
            cr_assert_eq(size == 2 ? get16(0x8EFE) : get32(0x8EFC), (uint32_t)DATA16);
            expect_done("pop", INSN(.op = OP_POP_SREG, .opcode = cases[i].pop, .opsize = size));
            cr_assert_eq(v->gpr[GPR_ESP], 0x8F00u);
            cr_assert_eq(v->seg[cases[i].reg].limit, 0xFFFFu);
            cr_assert_eq(v->int_shadow, cases[i].reg == SREG_SS ? SHADOW_MOV_SS : 0);
        }
    }
    expect_done("push cs", INSN(.op = OP_PUSH_SREG, .opcode = 0x0E));
    cr_assert_eq(get32(v->gpr[GPR_ESP]), (uint32_t)KCODE);
    put32(v->gpr[GPR_ESP], S_TSS);
    expect_fault("pop a TSS", INSN(.op = OP_POP_SREG, .opcode = 0x1F), VEC_GP, S_TSS);
}

Test(emulate_seg, far_pointer_loads)
{
    static const struct {
        enum insn_op op;
        enum sreg reg;
    } cases[] = {
        {OP_LDS, SREG_DS}, {OP_LES, SREG_ES}, {OP_LSS, SREG_SS},
        {OP_LFS, SREG_FS}, {OP_LGS, SREG_GS},
    };
    struct vcpu *v = &machine.vcpu;

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        machine_init();
        put32(DATA, 0x89ABCDEF);
        put32(DATA + 4, DATA16);
        expect_done("48-bit", INSN(.op = cases[i].op, MEM(GPR_ESP, DATA)));
        cr_assert_eq(v->gpr[GPR_ESP], 0x89ABCDEFu);
        cr_assert_eq(v->seg[cases[i].reg].selector, DATA16);
        cr_assert_eq(v->int_shadow, 0);
    }
    machine_init();
    put32(DATA, (uint32_t)KDATA << 16 | 0xCDEF);
    v->gpr[GPR_EBX] = 0x11111111;
    expect_done("32-bit", INSN(.op = OP_LES, .opsize = 2, MEM(GPR_EBX, DATA)));
    cr_assert_eq(v->gpr[GPR_EBX], 0x1111CDEFu);
    put32(DATA, (uint32_t)S_TSS << 16 | 0xCDEF);
    expect_fault("bad selector", INSN(.op = OP_LES, .opsize = 2, MEM(GPR_EBX, DATA)), VEC_GP,
                 S_TSS);
    expect_fault("a register", INSN(.op = OP_LGS, REG(0, 0)), VEC_UD, 0);
}

Test(emulate_seg, real_mode)
{
    struct vcpu *v = &machine.vcpu;

    machine_real();
    v->gpr[GPR_EAX] = 0xB800;
    cr_assert_eq(run(INSN(.op = OP_MOV_TO_SREG, REG(SREG_ES, GPR_EAX))), EMU_DONE);
    cr_assert_eq(v->seg[SREG_ES].base, 0xB8000u);
    cr_assert_eq(v->seg[SREG_ES].limit, 0xFFFFu);
    memcpy(machine_ram + 0x500, (uint8_t[]){0xFF, 0x03, 0, 0, 0, 0}, 6);
    cr_assert_eq(run(INSN(.op = OP_LIDT, .opsize = 2, MEM(3, 0x500))), EMU_DONE);
    cr_assert_eq(v->idtr.limit, 0x3FF);
}
