/* The emulator: flags, control registers, I/O, and the operands of instructions. */
#include "emulate_helpers.h"

TestSuite(emulate, .init = machine_init);

#define GP VEC_GP, 0

/* --- what common code finishes --- */

Test(emulate, exits_and_their_privilege)
{
    static const struct {
        enum insn_op op;
        enum exit_reason reason;
        bool user_too;
    } cases[] = {
        {OP_HLT, EXIT_HLT, false},      {OP_INVD, EXIT_CACHE, false},
        {OP_WBINVD, EXIT_CACHE, false}, {OP_RDMSR, EXIT_MSR, false},
        {OP_WRMSR, EXIT_MSR, false},    {OP_INVLPG, EXIT_INVLPG, false},
        {OP_CPUID, EXIT_CPUID, true},   {OP_RDTSC, EXIT_TSC, true},
        {OP_CLTS, EXIT_CR, false},      {OP_LMSW, EXIT_CR, false},
        {OP_MOV_TO_CR, EXIT_CR, false}, {OP_MOV_FROM_CR, EXIT_CR, false},
        {OP_MOV_TO_DR, EXIT_DR, false}, {OP_MOV_FROM_DR, EXIT_DR, false},
    };

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct insn insn = INSN(.op = cases[i].op, MEM(0, 0x9000));

        machine_init();
        expect_exit("kernel", insn, cases[i].reason);
        machine_user();
        if (cases[i].user_too)
            expect_exit("user", insn, cases[i].reason);
        else
            expect_fault("user", insn, GP);
        machine_real();
        expect_exit("real mode", insn, cases[i].reason);
    }
}

Test(emulate, exit_details)
{
    struct vcpu *v = &machine.vcpu;

    expect_exit("mov cr4, ebx", INSN(.op = OP_MOV_TO_CR, REG(4, GPR_EBX)), EXIT_CR);
    cr_assert(emu_exit_out.cr.number == 4 && emu_exit_out.cr.gpr == GPR_EBX);
    cr_assert(emu_exit_out.cr.write && !emu_exit_out.cr.has_value);
    expect_exit("mov esi, dr7", INSN(.op = OP_MOV_FROM_DR, REG(7, GPR_ESI)), EXIT_DR);
    cr_assert(emu_exit_out.cr.number == 7 && emu_exit_out.cr.gpr == GPR_ESI);
    cr_assert_not(emu_exit_out.cr.write);
    expect_fault("mov cr1", INSN(.op = OP_MOV_TO_CR, REG(1, 0)), VEC_UD, 0);
    expect_fault("mov cr5", INSN(.op = OP_MOV_FROM_CR, REG(5, 0)), VEC_UD, 0);
    expect_exit("mov dr4 is dr6", INSN(.op = OP_MOV_TO_DR, REG(4, 0)), EXIT_DR);
    v->cr4 |= CR4_DE;
    expect_fault("mov dr4 with DE", INSN(.op = OP_MOV_TO_DR, REG(4, 0)), VEC_UD, 0);
    expect_exit("wrmsr", INSN(.op = OP_WRMSR), EXIT_MSR);
    cr_assert(emu_exit_out.msr.write);
    v->gpr[GPR_EBP] = 0x1000;
    expect_exit("invlpg [ebp+4]",
                INSN(.op = OP_INVLPG, .has_modrm = true, .modrm = 0x7D, .disp = 4), EXIT_INVLPG);
    cr_assert_eq(emu_exit_out.invlpg.gva, 0x1004u);

    v->cr0 |= CR0_TS | CR0_EM;
    expect_exit("clts", INSN(.op = OP_CLTS), EXIT_CR);
    cr_assert_eq(emu_exit_out.cr.value, v->cr0 & ~CR0_TS);
    cr_assert(emu_exit_out.cr.write && emu_exit_out.cr.has_value);
    v->gpr[GPR_ECX] = 0xFFFF0002;
    expect_exit("lmsw cx", INSN(.op = OP_LMSW, REG(6, GPR_ECX)), EXIT_CR);
    cr_assert_eq(emu_exit_out.cr.value, (v->cr0 & ~(CR0_TS | CR0_EM)) | CR0_MP,
                 "PE cannot be cleared");
    machine_real();
    v->gpr[GPR_ECX] = 0xFFF1;
    expect_exit("lmsw cx", INSN(.op = OP_LMSW, REG(6, GPR_ECX)), EXIT_CR);
    cr_assert_eq(emu_exit_out.cr.value, CR0_ET | CR0_PE, "but set, and nothing above bit 3");
}

Test(emulate, no_such_instruction)
{
    static const enum insn_op undefined[] = {OP_RDTSCP, OP_XSETBV, OP_MONITOR, OP_MWAIT};
    static const enum insn_op unknown[] = {OP_OTHER, OP_VMCALL, OP_VMMCALL, OP_SVM_VMX};

    for (unsigned i = 0; i < ARRAY_LEN(undefined); i++)
        expect_fault("not offered", INSN(.op = undefined[i]), VEC_UD, 0);
    for (unsigned i = 0; i < ARRAY_LEN(unknown); i++)
        cr_assert_eq(run(INSN(.op = unknown[i])), EMU_UNHANDLED);
    expect_fault("rdpmc", INSN(.op = OP_RDPMC), GP);
}

Test(emulate, rdtsc_under_tsd)
{
    machine.vcpu.cr4 |= CR4_TSD;
    expect_exit("kernel", INSN(.op = OP_RDTSC), EXIT_TSC);
    machine_user();
    expect_fault("user", INSN(.op = OP_RDTSC), GP);
}

/* --- flags --- */

Test(emulate, cli_sti)
{
    struct vcpu *v = &machine.vcpu;

    v->int_shadow = SHADOW_MOV_SS;
    v->eflags |= FL_RF;
    expect_done("cli", INSN(.op = OP_CLI));
    cr_assert_eq(v->eflags, FL_R1, "IF and RF are clear");
    cr_assert_eq(v->int_shadow, 0);
    expect_done("sti", INSN(.op = OP_STI));
    cr_assert(v->eflags & FL_IF);
    cr_assert_eq(v->int_shadow, SHADOW_STI);
    expect_done("sti again", INSN(.op = OP_STI));
    cr_assert_eq(v->int_shadow, 0, "only the STI that sets IF blocks");
    machine_user();
    expect_fault("cli", INSN(.op = OP_CLI), GP);
    v->eflags |= FL_IOPL;
    expect_done("cli with IOPL 3", INSN(.op = OP_CLI));
    v->eflags &= ~0x1000u;
    expect_fault("sti with IOPL 2", INSN(.op = OP_STI), GP);
}

Test(emulate, pushf)
{
    struct vcpu *v = &machine.vcpu;

    v->eflags = 0x00270FD7 & ~FL_VM;
    expect_done("pushf", INSN(.op = OP_PUSHF));
    cr_assert_eq(v->gpr[GPR_ESP], 0x8EFCu);
    cr_assert_eq(get32(0x8EFC), 0x00240FD7u, "RF and VM read as zero");
    expect_done("pushf 16", INSN(.op = OP_PUSHF, .opsize = 2));
    cr_assert_eq(v->gpr[GPR_ESP], 0x8EFAu);
    cr_assert_eq(get16(0x8EFA), 0x0FD7u);
    v->seg[SREG_SS].limit = 0x100;
    expect_fault("no room", INSN(.op = OP_PUSHF), VEC_SS, 0);
    machine_user();
    v->gpr[GPR_ESP] = 0x9000; /* the kernel's page */
    expect_fault("not the user's", INSN(.op = OP_PUSHF), VEC_PF, PF_P | PF_W | PF_U);
}

/* Which bits POPF may change: SDM vol. 2, POPF, table 4-15. */
Test(emulate, popf)
{
    static const struct {
        unsigned cpl, iopl, opsize;
        uint32_t change;
    } cases[] = {
        {0, 0, 4, 0x00247FD5}, {0, 3, 4, 0x00247FD5}, {0, 0, 2, 0x7FD5}, {3, 0, 4, 0x00244DD5},
        {3, 2, 4, 0x00244DD5}, {3, 3, 4, 0x00244FD5}, {3, 0, 2, 0x4DD5}, {3, 3, 2, 0x4FD5},
    };
    struct vcpu *v = &machine.vcpu;

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        uint32_t iopl = cases[i].iopl << FL_IOPL_SHIFT;

        for (int ones = 0; ones < 2; ones++) {
            machine_init();
            if (cases[i].cpl)
                machine_user();
            v->eflags = FL_R1 | iopl | (ones ? 0 : 0x00244FD5);
            put32(v->gpr[GPR_ESP], ones ? 0xFFFFFFFF : 0);
            uint32_t before = v->eflags, esp = v->gpr[GPR_ESP];
            expect_done("popf", INSN(.op = OP_POPF, .opsize = cases[i].opsize));
            cr_assert_eq(v->gpr[GPR_ESP], esp + cases[i].opsize);
            cr_assert_eq(v->eflags, (before & ~cases[i].change) | (ones ? cases[i].change : 0),
                         "case %u: %x from %x", i, v->eflags, before);
            cr_assert_eq(v->int_shadow, 0, "POPF does not block");
        }
    }
}

/* --- control registers --- */

Test(emulate, write_cr)
{
    static const struct {
        unsigned number;
        uint32_t value;
        int64_t want; /* -1: #GP */
    } cases[] = {
        {0, CR0_PE, CR0_PE | CR0_ET},
        {0, CR0_PG, -1},
        {0, CR0_PE | CR0_NW, -1},
        {0, CR0_PE | CR0_NW | CR0_CD, CR0_PE | CR0_NW | CR0_CD | CR0_ET},
        {0, CR0_PE | 0x1000 | 0x40, CR0_PE | CR0_ET},
        {0, 0, CR0_ET},
        {3, 0x00123018, 0x00123018},
        {4, CR4_PSE | CR4_PGE | CR4_TSD | CR4_DE, CR4_PSE | CR4_PGE | CR4_TSD | CR4_DE},
        {4, CR4_OSFXSR | CR4_OSXMMEXCPT, CR4_OSFXSR | CR4_OSXMMEXCPT},
        {4, CR4_PAE, -1},
        {4, CR4_VME, -1},
        {4, CR4_VMXE, -1},
        {4, CR4_UMIP, -1},
        {4, 0x80000000, -1},
    };
    struct vcpu *v = &machine.vcpu;

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct event fault;
        struct vcpu before;
        bool ok;

        machine_init();
        before = *v;
        ok = vcpu_write_cr(v, cases[i].number, cases[i].value, &fault);
        cr_assert_eq(ok, cases[i].want >= 0, "case %u", i);
        if (!ok) {
            cr_assert(fault.vector == VEC_GP && fault.error == 0 && fault.has_error);
            cr_assert_eq(memcmp(v, &before, sizeof(before)), 0, "case %u", i);
            continue;
        }
        uint32_t got = cases[i].number == 0 ? v->cr0 : cases[i].number == 3 ? v->cr3 : v->cr4;
        cr_assert_eq(got, (uint32_t)cases[i].want, "case %u: %x", i, got);
        cr_assert_eq(v->dirty, DIRTY_CR);
    }
}

Test(emulate, smsw)
{
    struct vcpu *v = &machine.vcpu;

    machine_user();
    v->gpr[GPR_ECX] = 0xFFFFFFFF;
    expect_done("smsw ecx", INSN(.op = OP_SMSW, REG(4, GPR_ECX)));
    cr_assert_eq(v->gpr[GPR_ECX], v->cr0);
    v->gpr[GPR_ECX] = 0xAAAAAAAA;
    expect_done("smsw cx", INSN(.op = OP_SMSW, .opsize = 2, REG(4, GPR_ECX)));
    cr_assert_eq(v->gpr[GPR_ECX], 0xAAAA0000u | (v->cr0 & 0xFFFF));
    put32(USER_DATA, 0xFFFFFFFF);
    expect_done("smsw [mem]", INSN(.op = OP_SMSW, MEM(4, USER_DATA)));
    cr_assert_eq(get32(USER_DATA), 0xFFFF0000u | (v->cr0 & 0xFFFF), "memory: 16 bits");
    expect_fault("smsw [kernel]", INSN(.op = OP_SMSW, MEM(4, DATA)), VEC_PF, 7);
}

/* --- I/O --- */

Test(emulate, in_out)
{
    struct vcpu *v = &machine.vcpu;

    v->gpr[GPR_EDX] = 0xABCD03F8;
    expect_exit("in al, dx", INSN(.op = OP_IN, .opcode = 0xEC), EXIT_IO);
    cr_assert(emu_exit_out.io.port == 0x3F8 && emu_exit_out.io.size == 1 && emu_exit_out.io.in);
    cr_assert(!emu_exit_out.io.string && !emu_exit_out.io.rep);
    expect_exit("out 0x80, ax", INSN(.op = OP_OUT, .opcode = 0xE7, .imm = 0x80, .opsize = 2),
                EXIT_IO);
    cr_assert(emu_exit_out.io.port == 0x80 && emu_exit_out.io.size == 2 && !emu_exit_out.io.in);
    expect_exit("rep outsd fs",
                INSN(.op = OP_OUTS, .opcode = 0x6F, .prefixes = PFX_REP | PFX_SEG,
                     .seg_override = SREG_FS, .adsize = 2),
                EXIT_IO);
    cr_assert(emu_exit_out.io.string && emu_exit_out.io.rep && emu_exit_out.io.size == 4);
    cr_assert(emu_exit_out.io.segment == SREG_FS && emu_exit_out.io.addr_size == 2);
}

Test(emulate, io_permission)
{
    struct vcpu *v = &machine.vcpu;
    struct insn in8 = INSN(.op = OP_IN, .opcode = 0xEC), in32 = INSN(.op = OP_IN, .opcode = 0xED);

    machine_user();
    v->gpr[GPR_EDX] = 0x3F8;
    expect_fault("closed", in8, GP);
    v->eflags |= FL_IOPL;
    expect_exit("IOPL 3", in8, EXIT_IO);
    v->eflags &= ~FL_IOPL;
    machine_ram[TSS + 0x68 + 0x7F] = 0xFE; /* port 0x3F8 alone */
    expect_exit("open", in8, EXIT_IO);
    expect_fault("two of four bytes closed", in32, GP);
    machine_ram[TSS + 0x68 + 0x7F] = 0x3F; /* 0x3FE and 0x3FF */
    machine_ram[TSS + 0x68 + 0x80] = 0xFC; /* 0x400 and 0x401 */
    v->gpr[GPR_EDX] = 0x3FE;
    expect_exit("over a byte of the map", in32, EXIT_IO);
    v->gpr[GPR_EDX] = 0x3FF;
    expect_fault("one too far", in32, GP);
    v->seg[SREG_TR].limit = 0x68 + 0x7F; /* the second byte is outside */
    v->gpr[GPR_EDX] = 0x3FE;
    expect_fault("map ends", in8, GP);
    v->seg[SREG_TR].limit = 0x68 + 0x80;
    expect_exit("map ends behind", in8, EXIT_IO);
    v->seg[SREG_TR].attr = 0x83;
    expect_fault("a 16-bit TSS has no map", in8, GP);
    put32(PAGE_TABLE + 5 * 4, 0);
    v->seg[SREG_TR].attr = 0x8B;
    expect_fault("TSS not mapped", in8, VEC_PF, 0);
}

Test(emulate, string_io_in_bulk)
{
    struct vcpu *v = &machine.vcpu;
    struct exit ins = {.reason = EXIT_IO,
                       .io = {.size = 2, .in = true, .string = true, .rep = true, .addr_size = 4}};
    struct exit outs = {
        .reason = EXIT_IO,
        .io = {.size = 4, .string = true, .rep = true, .addr_size = 4, .segment = SREG_DS}};
    uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8}, back[8];

    v->gpr[GPR_EDI] = 0x9000;
    v->gpr[GPR_ECX] = 1000;
    cr_assert_eq(string_io_span(v, &ins, 100), 100u);
    cr_assert_eq(string_io_span(v, &ins, 101), 100u, "whole words");
    cr_assert_eq(string_io_span(v, &ins, 100000), STRING_IO_SPAN);
    v->gpr[GPR_ECX] = 3;
    cr_assert_eq(string_io_span(v, &ins, 100), 6u, "as many as are wanted");
    v->gpr[GPR_ECX] = 1000;
    v->gpr[GPR_EDI] = 0x9FFD;
    cr_assert_eq(string_io_span(v, &ins, 100), 2u, "to the end of the page");
    v->gpr[GPR_EDI] = 0x9FFF;
    cr_assert_eq(string_io_span(v, &ins, 100), 0u, "a word across pages goes alone");
    v->gpr[GPR_EDI] = 0x9000;
    v->eflags |= FL_DF;
    cr_assert_eq(string_io_span(v, &ins, 100), 0u, "backwards");
    v->eflags &= ~FL_DF;
    ins.io.rep = false;
    cr_assert_eq(string_io_span(v, &ins, 100), 0u, "one only");
    ins.io.rep = true;
    ins.io.addr_size = 2;
    cr_assert_eq(string_io_span(v, &ins, 100), 0u, "DI wraps");
    ins.io.addr_size = 4;

    string_io_bytes(v, &ins, bytes, 8, true);
    cr_assert_not(string_io_advance_by(v, &ins, 8));
    cr_assert(get32(0x9004) == 0x08070605u && v->gpr[GPR_EDI] == 0x9008u);
    cr_assert_eq(v->gpr[GPR_ECX], 996u);
    v->gpr[GPR_ESI] = 0x9000;
    v->gpr[GPR_ECX] = 2;
    cr_assert_eq(string_io_span(v, &outs, 100), 8u);
    string_io_bytes(v, &outs, back, 8, false);
    cr_assert_arr_eq(back, bytes, 8);
    cr_assert(string_io_advance_by(v, &outs, 8));
    cr_assert_eq(v->gpr[GPR_ESI], 0x9008u);

    v->gpr[GPR_ECX] = 2;
    v->gpr[GPR_ESI] = 0x9000;
    v->seg[SREG_DS].limit = 0x9006;
    cr_assert_eq(string_io_span(v, &outs, 100), 0u, "beyond the limit: one by one, then #GP");
    put32(PAGE_TABLE + 9 * 4, 0x9000 | PTE_P);
    cr_assert_eq(string_io_span(v, &ins, 100), 0u, "a page that cannot be written");
}

Test(emulate, string_io)
{
    struct vcpu *v = &machine.vcpu;
    struct exit ins = {.reason = EXIT_IO,
                       .io = {.size = 2, .in = true, .string = true, .rep = true, .addr_size = 2}};
    struct exit outs = {.reason = EXIT_IO,
                        .io = {.size = 4, .string = true, .addr_size = 4, .segment = SREG_DS}};
    struct event fault;
    uint32_t value = 0xBEEF;

    v->gpr[GPR_EDI] = 0xFFFF0000u | 0x9000;
    v->gpr[GPR_ECX] = 0x00010002;
    cr_assert_not(string_io_finished(v, &ins));
    cr_assert(string_io_probe(v, &ins, &fault));
    cr_assert_eq(get32(0x9000), 0u, "a probe writes nothing");
    cr_assert(string_io_operand(v, &ins, &value, true, &fault));
    cr_assert_eq(get32(0x9000), 0xBEEFu);
    cr_assert_not(string_io_advance(v, &ins));
    cr_assert_eq(v->gpr[GPR_EDI], 0xFFFF9002u);
    v->eflags |= FL_DF;
    cr_assert(string_io_advance(v, &ins));
    cr_assert_eq(v->gpr[GPR_EDI], 0xFFFF9000u);
    cr_assert_eq(v->gpr[GPR_ECX], 0x00010000u, "CX only");
    cr_assert(string_io_finished(v, &ins));

    put32(DATA, 0x11223344);
    v->gpr[GPR_ESI] = DATA;
    cr_assert(string_io_operand(v, &outs, &value, false, &fault));
    cr_assert_eq(value, 0x11223344u);
    cr_assert(string_io_advance(v, &outs));
    cr_assert_eq(v->gpr[GPR_ESI], DATA - 4u);
    cr_assert_not(string_io_finished(v, &outs));

    put32(PAGE_TABLE + 9 * 4, 0x9000 | PTE_P);
    cr_assert_not(string_io_probe(v, &ins, &fault));
    cr_assert(fault.vector == VEC_PF && fault.error == (PF_P | PF_W) && fault.cr2 == 0x9000);
    v->seg[SREG_ES] = (struct segment){.attr = SEG_UNUSABLE};
    cr_assert_not(string_io_probe(v, &ins, &fault));
    cr_assert_eq(fault.vector, VEC_GP);
}

/* --- operands --- */

Test(emulate, registers_by_width)
{
    struct vcpu *v = &machine.vcpu;

    v->gpr[GPR_EBX] = 0x11223344;
    cr_assert_eq(gpr_read(v, 3, 4), 0x11223344u);
    cr_assert_eq(gpr_read(v, 3, 2), 0x3344u);
    cr_assert_eq(gpr_read(v, 3, 1), 0x44u);
    cr_assert_eq(gpr_read(v, 7, 1), 0x33u, "BH");
    gpr_write(v, 7, 1, 0xAABB);
    cr_assert_eq(v->gpr[GPR_EBX], 0x1122BB44u);
    gpr_write(v, 3, 2, 0x5555);
    cr_assert_eq(v->gpr[GPR_EBX], 0x11225555u);
    cr_assert_eq(v->gpr[GPR_EDI], 0u);
}

/* SDM vol. 2A tables 2-1 to 2-3; each register holds a value that shows which it was. */
Test(emulate, addressing)
{
    enum {
        AX = 1,
        CX = 0x10,
        DX = 0x100,
        BX = 0x1000,
        SP = 0x2,
        BP = 0x20,
        SI = 0x200,
        DI = 0x2000
    };
    static const struct {
        uint8_t adsize, modrm, sib;
        int32_t disp;
        uint32_t want;
        enum sreg seg;
    } cases[] = {
        {4, 0x00, 0, 0, AX, SREG_DS},
        {4, 0x05, 0, 0x7000, 0x7000, SREG_DS},
        {4, 0x45, 0, -4, BP - 4, SREG_SS},
        {4, 0x86, 0, 0x10000, SI + 0x10000, SREG_DS},
        {4, 0x04, 0x24, 0, SP, SREG_SS},               /* [esp] */
        {4, 0x44, 0xA4, 8, SP + 8, SREG_SS},           /* no index, scale ignored */
        {4, 0x04, 0x8D, 0x40, 4 * CX + 0x40, SREG_DS}, /* [ecx*4+disp32] */
        {4, 0x44, 0x6D, 0, BP + 2 * BP, SREG_SS},      /* [ebp+ebp*2] */
        {4, 0x04, 0xFB, 0, BX + 8 * DI, SREG_DS},
        {2, 0x00, 0, 0, BX + SI, SREG_DS},
        {2, 0x01, 0, 0, BX + DI, SREG_DS},
        {2, 0x02, 0, 0, BP + SI, SREG_SS},
        {2, 0x43, 0, 1, BP + DI + 1, SREG_SS},
        {2, 0x04, 0, 0, SI, SREG_DS},
        {2, 0x05, 0, 0, DI, SREG_DS},
        {2, 0x06, 0, 0x1234, 0x1234, SREG_DS},
        {2, 0x46, 0, -0x21, 0xFFFF, SREG_SS}, /* wraps at 64 KB */
        {2, 0x47, 0, 2, BX + 2, SREG_DS},
    };
    struct vcpu *v = &machine.vcpu;
    const uint32_t regs[8] = {AX, CX, DX, BX, SP, BP, SI, DI};

    memcpy(v->gpr, regs, sizeof(regs));
    v->seg[SREG_DS].base = 0x100000;
    v->seg[SREG_SS].base = 0x200000;
    v->seg[SREG_GS].base = 0xFFFFFFFF;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct insn insn = INSN(.has_modrm = true, .modrm = cases[i].modrm, .sib = cases[i].sib,
                                .disp = cases[i].disp);
        enum sreg seg;
        gva_t gva;

        insn.adsize = cases[i].adsize;
        insn.has_sib = cases[i].adsize == 4 && (cases[i].modrm & 7) == 4;
        gva = insn_operand_gva(v, &insn, &seg);
        cr_assert_eq(seg, cases[i].seg, "case %u", i);
        cr_assert_eq(gva, cases[i].want + v->seg[seg].base, "case %u: %x", i, gva);
        insn.prefixes = PFX_SEG;
        insn.seg_override = SREG_GS;
        gva = insn_operand_gva(v, &insn, &seg);
        cr_assert(seg == SREG_GS && gva == cases[i].want - 1, "case %u with an override", i);
    }
}

Test(emulate, operand_checks)
{
    struct vcpu *v = &machine.vcpu;
    struct insn store = INSN(.op = OP_SIDT, MEM(1, 0x2000));
    struct insn load = INSN(.op = OP_LIDT, MEM(3, 0x2000));

    v->seg[SREG_DS].limit = 0x2004; /* five of six bytes */
    expect_fault("limit", load, GP);
    v->seg[SREG_DS].limit = 0x2005;
    expect_done("limit met", load);
    v->seg[SREG_DS] = flat(READONLY, 0xC091);
    expect_fault("read-only", store, GP);
    expect_done("read-only may be read", load);
    v->seg[SREG_DS] = flat(EXEC_ONLY, 0xC099);
    expect_fault("execute-only", load, GP);
    v->seg[SREG_DS] = (struct segment){.attr = SEG_UNUSABLE};
    expect_fault("null", load, GP);
    load.prefixes = PFX_SEG;
    load.seg_override = SREG_SS;
    v->seg[SREG_SS].limit = 0x2004;
    expect_fault("SS", load, VEC_SS, 0);
    v->seg[SREG_SS] = (struct segment){.attr = 0x4097, .limit = 0x2000};
    expect_fault("expand-down: at the limit", load, VEC_SS, 0);
    load.disp = 0x2001;
    expect_done("expand-down: above it", load);
    v->seg[SREG_SS].attr = 0x0097;
    load.disp = 0xFFFB;
    expect_fault("expand-down of 16 bits ends at 64 KB", load, VEC_SS, 0);
}

Test(emulate, eip_does_not_wrap_in_16_bit_code)
{
    machine.vcpu.seg[SREG_CS].attr &= ~SEG_DB;
    machine.vcpu.eip = 0xFFFE;
    cr_assert_eq(run(INSN(.op = OP_CLI)), EMU_DONE);
    cr_assert_eq(machine.vcpu.eip, 0x10001u);
}

Test(emulate, moffs)
{
    static const uint8_t mov_eax[] = {0x64, 0xA1, 0x78, 0x56, 0x34, 0x12};
    struct insn insn;
    enum sreg seg;

    machine.vcpu.seg[SREG_FS].base = 0x1000;
    cr_assert_eq(decode(&insn, mov_eax, sizeof(mov_eax), 32), DECODE_OK);
    cr_assert_eq(insn_operand_gva(&machine.vcpu, &insn, &seg), 0x12346678u);
    cr_assert_eq(seg, SREG_FS);
}

/* --- fetch --- */

static void fetch_fault(const char *what, unsigned vector, uint32_t error, uint32_t cr2)
{
    struct insn insn;
    struct exit exit;

    cr_assert_not(fetch_decode(&machine.vcpu, &insn, &exit), "%s", what);
    cr_assert_eq(exit.reason, EXIT_EXCEPTION, "%s", what);
    cr_assert_eq(exit.exception.event.vector, vector, "%s: vector %u", what,
                 exit.exception.event.vector);
    cr_assert_eq(exit.exception.event.error, error, "%s", what);
    cr_assert_eq(exit.exception.event.cr2, cr2, "%s", what);
}

Test(emulate, fetch)
{
    static const uint8_t mov_eax[] = {0xB8, 1, 2, 3, 4};
    struct vcpu *v = &machine.vcpu;
    struct insn insn;
    struct exit exit;

    machine_ram[CODE] = 0xFA;
    put32(PAGE_TABLE + CODE / 4096 * 4, CODE | PTE_P);
    cr_assert(fetch_decode(v, &insn, &exit));
    cr_assert(insn.op == OP_CLI && insn.len == 1);
    cr_assert_eq(get32(PAGE_TABLE + CODE / 4096 * 4), (uint32_t)CODE | PTE_P, "looks only");

    memset(machine_ram + CODE, 0x66, 32);
    fetch_fault("16 prefixes", VEC_GP, 0, 0);
    memcpy(machine_ram + CODE, (uint8_t[]){0x0F, 0xFF, 0xC0}, 3);
    fetch_fault("UD0", VEC_UD, 0, 0);

    /* Over the end of a page: the second page matters only when it is reached. */
    memcpy(machine_ram + USER_CODE + 0xFFB, mov_eax, 5);
    machine_user();
    v->eip = USER_CODE + 0xFFB;
    put32(PAGE_TABLE + (USER_CODE / 4096 + 1) * 4, 0);
    cr_assert(fetch_decode(v, &insn, &exit));
    cr_assert_eq(insn.len, 5);
    memcpy(machine_ram + USER_CODE + 0xFFC, mov_eax, 4);
    v->eip++;
    fetch_fault("second page", VEC_PF, PF_U, USER_CODE + 0x1000u);
    put32(PAGE_TABLE + (USER_CODE / 4096 + 1) * 4, 0x30000 | PTE_P | PTE_U);
    machine_ram[0x30000] = 0x99;
    cr_assert(fetch_decode(v, &insn, &exit));
    cr_assert_eq(insn.imm, 0x99030201u);
    v->seg[SREG_CS].limit = v->eip + 3;
    fetch_fault("limit inside", VEC_GP, 0, 0);
    v->seg[SREG_CS].limit = v->eip - 1;
    fetch_fault("limit before", VEC_GP, 0, 0);
    v->seg[SREG_CS].limit = 0xFFFFFFFF;
    v->eip = CODE;
    fetch_fault("the kernel's page", VEC_PF, PF_P | PF_U, CODE);
}

/* --- the states in which a guest starts --- */

Test(emulate, reset_and_multiboot)
{
    struct vcpu *v = &machine.vcpu;

    v->tsc_offset = 77;
    vcpu_reset(v);
    cr_assert_eq(v->seg[SREG_CS].base + v->eip, 0xFFFFFFF0u);
    cr_assert_eq(v->cr0, 0x60000010u);
    cr_assert_eq(v->vm, &machine);
    cr_assert_eq(v->tsc_offset, 77u);
    cr_assert_eq(v->dirty, DIRTY_ALL);
    vcpu_multiboot_state(v, 0x100020, 0x9000);
    cr_assert_eq(v->eip, 0x100020u);
    cr_assert_eq(v->gpr[GPR_EAX], 0x2BADB002u);
    cr_assert_eq(v->gpr[GPR_EBX], 0x9000u);
    cr_assert_eq(v->cr0 & (CR0_PE | CR0_PG), CR0_PE);
    cr_assert_eq(v->eflags, FL_R1);
    cr_assert_eq(v->seg[SREG_CS].attr, 0xC09Bu);
    cr_assert_eq(v->seg[SREG_SS].attr, 0xC093u);
    cr_assert_eq(v->seg[SREG_GS].limit, 0xFFFFFFFFu);
    cr_assert_eq(vcpu_cpl(v), 0u);
}
