/* What the decoder says about the instructions a VMM cares about. Lengths and validity of all
 * others are compared with Zydis in decoder_zydis.c. */
#include <criterion/criterion.h>
#include <string.h>

#include "decoder.h"

#define I CLASS_INNOCUOUS
#define P CLASS_PRIVILEGED
#define S CLASS_SENSITIVE

static const struct {
    const char *bytes;
    size_t n;
    enum insn_op op;
    enum insn_class class;
    enum insn_flow flow;
} table[] = {
#define ROW(s, op, class, flow)                                                                    \
    {                                                                                              \
        s, sizeof(s) - 1, op, class, flow                                                          \
    }
    ROW("\xFA", OP_CLI, P, FLOW_NEXT),
    ROW("\xFB", OP_STI, P, FLOW_NEXT),
    ROW("\xF4", OP_HLT, P, FLOW_NEXT),
    ROW("\x9C", OP_PUSHF, S, FLOW_NEXT),
    ROW("\x9D", OP_POPF, S, FLOW_NEXT),
    ROW("\xCF", OP_IRET, S, FLOW_STOP),
    ROW("\xE4\x80", OP_IN, P, FLOW_NEXT),
    ROW("\xEC", OP_IN, P, FLOW_NEXT),
    ROW("\xE6\x80", OP_OUT, P, FLOW_NEXT),
    ROW("\xEF", OP_OUT, P, FLOW_NEXT),
    ROW("\xF3\x6D", OP_INS, P, FLOW_NEXT),
    ROW("\xF3\x6E", OP_OUTS, P, FLOW_NEXT),
    ROW("\xCC", OP_INT3, S, FLOW_NEXT),
    ROW("\xCD\x80", OP_INTN, P, FLOW_NEXT),
    ROW("\xCE", OP_INTO, S, FLOW_NEXT),
    ROW("\xF1", OP_INT1, S, FLOW_NEXT),
    ROW("\x0F\x20\xC0", OP_MOV_FROM_CR, P, FLOW_NEXT),
    ROW("\x0F\x22\xD8", OP_MOV_TO_CR, P, FLOW_NEXT),
    ROW("\x0F\x21\xF8", OP_MOV_FROM_DR, P, FLOW_NEXT),
    ROW("\x0F\x23\xF8", OP_MOV_TO_DR, P, FLOW_NEXT),
    ROW("\x0F\x06", OP_CLTS, P, FLOW_NEXT),
    ROW("\x0F\x01\xF0", OP_LMSW, P, FLOW_NEXT),
    ROW("\x0F\x01\xE0", OP_SMSW, S, FLOW_NEXT),
    ROW("\x0F\x01\x10", OP_LGDT, P, FLOW_NEXT),
    ROW("\x0F\x01\x18", OP_LIDT, P, FLOW_NEXT),
    ROW("\x0F\x01\x00", OP_SGDT, S, FLOW_NEXT),
    ROW("\x0F\x01\x08", OP_SIDT, S, FLOW_NEXT),
    ROW("\x0F\x00\xD0", OP_LLDT, P, FLOW_NEXT),
    ROW("\x0F\x00\xC0", OP_SLDT, S, FLOW_NEXT),
    ROW("\x0F\x00\xD8", OP_LTR, P, FLOW_NEXT),
    ROW("\x0F\x00\xC8", OP_STR, S, FLOW_NEXT),
    ROW("\x0F\x01\x38", OP_INVLPG, P, FLOW_NEXT),
    ROW("\x0F\x08", OP_INVD, P, FLOW_NEXT),
    ROW("\x0F\x09", OP_WBINVD, P, FLOW_NEXT),
    ROW("\x0F\x32", OP_RDMSR, P, FLOW_NEXT),
    ROW("\x0F\x30", OP_WRMSR, P, FLOW_NEXT),
    ROW("\x0F\x31", OP_RDTSC, I, FLOW_NEXT),
    ROW("\x0F\xA2", OP_CPUID, S, FLOW_NEXT),
    ROW("\x0F\x02\xC1", OP_LAR, S, FLOW_NEXT),
    ROW("\x0F\x03\xC1", OP_LSL, S, FLOW_NEXT),
    ROW("\x0F\x00\xE0", OP_VERR, S, FLOW_NEXT),
    ROW("\x0F\x00\xE8", OP_VERW, S, FLOW_NEXT),
    ROW("\x63\xC1", OP_ARPL, I, FLOW_NEXT),
    ROW("\x8C\xC8", OP_MOV_FROM_SREG, S, FLOW_NEXT), /* CS */
    ROW("\x8C\xD0", OP_MOV_FROM_SREG, S, FLOW_NEXT), /* SS */
    ROW("\x8C\xD8", OP_MOV_FROM_SREG, I, FLOW_NEXT), /* DS */
    ROW("\x8E\xD0", OP_MOV_TO_SREG, S, FLOW_NEXT),   /* SS */
    ROW("\x8E\xD8", OP_MOV_TO_SREG, I, FLOW_NEXT),   /* DS */
    ROW("\x0E", OP_PUSH_SREG, S, FLOW_NEXT),
    ROW("\x16", OP_PUSH_SREG, S, FLOW_NEXT),
    ROW("\x1E", OP_PUSH_SREG, I, FLOW_NEXT),
    ROW("\x17", OP_POP_SREG, S, FLOW_NEXT),
    ROW("\x1F", OP_POP_SREG, I, FLOW_NEXT),
    ROW("\x0F\xA1", OP_POP_SREG, I, FLOW_NEXT),
    ROW("\x0F\xB2\x00", OP_LSS, S, FLOW_NEXT),
    ROW("\xC5\x00", OP_LDS, I, FLOW_NEXT),
    ROW("\x9A\x01\x02\x03\x04\x08\x00", OP_CALL_FAR, S, FLOW_NEXT),
    ROW("\xEA\x01\x02\x03\x04\x08\x00", OP_JMP_FAR, S, FLOW_STOP),
    ROW("\xFF\x18", OP_CALL_FAR_MEM, S, FLOW_NEXT),
    ROW("\xFF\x28", OP_JMP_FAR_MEM, S, FLOW_STOP),
    ROW("\xCB", OP_RET_FAR, S, FLOW_STOP),
    ROW("\xCA\x08\x00", OP_RET_FAR, S, FLOW_STOP),
    ROW("\x0F\xB4\x00", OP_LFS, I, FLOW_NEXT),
    ROW("\x0F\xB5\x00", OP_LGS, I, FLOW_NEXT),
    ROW("\xC4\x00", OP_LES, I, FLOW_NEXT),
    ROW("\x0F\x33", OP_RDPMC, S, FLOW_NEXT),
    ROW("\x0F\x34", OP_SYSENTER, S, FLOW_STOP),
    ROW("\x0F\x35", OP_SYSEXIT, P, FLOW_STOP),
    ROW("\x0F\x01\xC8", OP_MONITOR, P, FLOW_NEXT),
    ROW("\x0F\x01\xC9", OP_MWAIT, P, FLOW_NEXT),
    ROW("\x0F\x01\xD1", OP_XSETBV, P, FLOW_NEXT),
    ROW("\x0F\x01\xF9", OP_RDTSCP, S, FLOW_NEXT),
    ROW("\x0F\x01\xC1", OP_VMCALL, P, FLOW_NEXT),
    ROW("\x0F\x01\xD9", OP_VMMCALL, P, FLOW_NEXT),
    ROW("\x0F\x01\xD8", OP_SVM_VMX, P, FLOW_NEXT),
    ROW("\x90", OP_OTHER, I, FLOW_NEXT),
    ROW("\x74\xFE", OP_OTHER, I, FLOW_BRANCH),
    ROW("\x0F\x84\x00\x01\x00\x00", OP_OTHER, I, FLOW_BRANCH),
    ROW("\xE2\xFE", OP_OTHER, I, FLOW_BRANCH),
    ROW("\xEB\xFE", OP_OTHER, I, FLOW_JUMP),
    ROW("\xE9\xFB\xFF\xFF\xFF", OP_OTHER, I, FLOW_JUMP),
    ROW("\xE8\xFB\xFF\xFF\xFF", OP_OTHER, I, FLOW_CALL),
    ROW("\xFF\xE0", OP_OTHER, I, FLOW_INDIRECT),
    ROW("\xFF\xD0", OP_OTHER, I, FLOW_CALL_IND),
    ROW("\xC3", OP_OTHER, I, FLOW_RETURN),
    ROW("\xC2\x04\x00", OP_OTHER, I, FLOW_RETURN),
#undef ROW
};

Test(decoder, names_classes_and_flow)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        uint8_t bytes[INSN_MAX] = {0};
        struct insn insn;
        memcpy(bytes, table[i].bytes, table[i].n);
        cr_assert_eq(decode(&insn, bytes, sizeof(bytes), 32), DECODE_OK, "row %zu", i);
        cr_expect_eq(insn.len, table[i].n, "row %zu: length %u", i, insn.len);
        cr_expect_eq(insn.op, table[i].op, "row %zu: op %s", i, insn_op_name(insn.op));
        cr_expect_eq(insn.class, table[i].class, "row %zu (%s)", i, insn_op_name(insn.op));
        cr_expect_eq(insn.flow, table[i].flow, "row %zu (%s)", i, insn_op_name(insn.op));
    }
}

Test(decoder, every_named_op_has_a_name_and_an_encoding)
{
    bool seen[OP_COUNT] = {false};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        seen[table[i].op] = true;
    for (enum insn_op op = 0; op < OP_COUNT; op++) {
        cr_expect_str_neq(insn_op_name(op), "?", "op %d", op);
        cr_expect(seen[op], "no row for %s", insn_op_name(op));
    }
}

Test(decoder, undefined_encodings)
{
    static const char *const bad[] = {
        "\x0F\x0B",         /* UD2 */
        "\x8E\xC8",         /* MOV CS */
        "\x8C\xF0",         /* MOV from segment register 6 */
        "\x0F\x22\xC8",     /* CR1 */
        "\x0F\x22\xE8",     /* CR5 */
        "\xF0\x90",         /* LOCK NOP */
        "\xF0\x01\xC0",     /* LOCK ADD register */
        "\xC5\xF8\x77",     /* VEX */
        "\x62\xF1\x7C\x48", /* EVEX */
        "\xFF\xF8",         /* group 5, /7 */
        "\x8D\xC0",         /* LEA of a register */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t bytes[INSN_MAX] = {0};
        struct insn insn;
        memcpy(bytes, bad[i], strlen(bad[i]));
        cr_expect_eq(decode(&insn, bytes, sizeof(bytes), 32), DECODE_INVALID, "row %zu", i);
    }
}

Test(decoder, asks_for_more_and_refuses_too_long)
{
    struct insn insn;
    const uint8_t call[5] = {0xE8, 1, 2, 3, 4};
    for (size_t n = 0; n < 5; n++)
        cr_expect_eq(decode(&insn, call, n, 32), DECODE_MORE, "%zu bytes", n);
    cr_expect_eq(decode(&insn, call, 5, 32), DECODE_OK);

    uint8_t prefixes[20];
    memset(prefixes, 0x66, sizeof(prefixes));
    prefixes[14] = 0x90;
    cr_expect_eq(decode(&insn, prefixes, 20, 32), DECODE_OK, "15 bytes are allowed");
    cr_expect_eq(insn.len, 15);
    prefixes[14] = 0x66;
    prefixes[15] = 0x90;
    cr_expect_eq(decode(&insn, prefixes, 20, 32), DECODE_LONG, "16 are not");
}

Test(decoder, operands)
{
    struct insn insn;
    const uint8_t mov[] = {0x2E, 0x67, 0x66, 0xC7, 0x46, 0xFE, 0x34, 0x12};
    cr_assert_eq(decode(&insn, mov, sizeof(mov), 32), DECODE_OK);
    cr_expect_eq(insn.len, 8);
    cr_expect_eq(insn.opsize, 2);
    cr_expect_eq(insn.adsize, 2);
    cr_expect_eq(insn.disp, -2);
    cr_expect_eq(insn.imm, 0x1234);
    cr_expect(insn_reads_through_cs(&insn));
    cr_expect_eq(insn.seg_off, 0);

    const uint8_t far[] = {0xEA, 0x78, 0x56, 0x34, 0x12, 0x08, 0x00};
    cr_assert_eq(decode(&insn, far, sizeof(far), 32), DECODE_OK);
    cr_expect_eq(insn.imm, 0x12345678);
    cr_expect_eq(insn.imm2, 8);
    cr_assert_eq(decode(&insn, far, sizeof(far), 16), DECODE_OK);
    cr_expect_eq(insn.len, 5);
    cr_expect_eq(insn.imm2, 0x1234);

    const uint8_t sib[] = {0x8B, 0x84, 0x88, 0x78, 0x56, 0x34, 0x12};
    cr_assert_eq(decode(&insn, sib, sizeof(sib), 32), DECODE_OK);
    cr_expect(insn.has_sib);
    cr_expect_eq(insn.disp, 0x12345678);
    cr_expect_eq(insn.len, 7);

    const uint8_t direct[] = {0x8B, 0x06, 0x34, 0x82}; /* 16-bit: MOV AX, [8234h] */
    cr_assert_eq(decode(&insn, direct, sizeof(direct), 16), DECODE_OK);
    cr_expect_eq(insn.len, 4);
    cr_expect_eq((uint16_t)insn.disp, 0x8234);
    cr_assert_eq(decode(&insn, direct, sizeof(direct), 32), DECODE_OK);
    cr_expect_eq(insn.len, 2, "in 32-bit code [ESI]");

    const uint8_t back[] = {0x75, 0xF0};
    cr_assert_eq(decode(&insn, back, sizeof(back), 32), DECODE_OK);
    cr_expect_eq((int32_t)insn.imm, -16);
}

Test(decoder, lock_needs_an_instruction_that_can_take_it)
{
    static const struct {
        const char *bytes;
        enum decode_result result;
    } rows[] = {
        {"\xF0\x01\x01", DECODE_OK},              /* ADD memory */
        {"\xF0\x03\x01", DECODE_INVALID},         /* ADD from memory */
        {"\xF0\x39\x01", DECODE_INVALID},         /* CMP */
        {"\xF0\x83\x01\x01", DECODE_OK},          /* ADD memory, byte */
        {"\xF0\x83\x39\x01", DECODE_INVALID},     /* CMP memory, byte */
        {"\xF0\x87\x01", DECODE_OK},              /* XCHG */
        {"\xF0\x89\x01", DECODE_INVALID},         /* MOV */
        {"\xF0\x0F\xB1\x01", DECODE_OK},          /* CMPXCHG */
        {"\xF0\x0F\xC7\x09", DECODE_OK},          /* CMPXCHG8B */
        {"\xF0\x0F\xBA\x29\x01", DECODE_OK},      /* BTS */
        {"\xF0\x0F\xBA\x21\x01", DECODE_INVALID}, /* BT */
        {"\xF0\xF6\x19", DECODE_OK},              /* NEG */
        {"\xF0\xF6\x21", DECODE_INVALID},         /* MUL */
        {"\xF0\xFF\x31", DECODE_INVALID},         /* PUSH */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t bytes[INSN_MAX] = {0};
        struct insn insn;
        memcpy(bytes, rows[i].bytes, strlen(rows[i].bytes));
        cr_expect_eq(decode(&insn, bytes, sizeof(bytes), 32), rows[i].result, "row %zu", i);
    }
}

/* Forms of an opcode: mandatory prefix, memory or register. */
Test(decoder, undefined_forms_of_defined_opcodes)
{
    static const struct {
        const char *bytes;
        enum decode_result result;
    } rows[] = {
        {"\x0F\x14\xC1", DECODE_OK},              /* UNPCKLPS */
        {"\x66\x0F\x14\xC1", DECODE_OK},          /* UNPCKLPD */
        {"\xF3\x0F\x14\xC1", DECODE_INVALID},     /* nothing */
        {"\xF3\x66\x0F\x14\xC1", DECODE_INVALID}, /* F3 counts, not 66 */
        {"\xF3\xF2\x0F\x7C\xC1", DECODE_OK},      /* HADDPS: the last of F2 and F3 */
        {"\xF2\xF3\x0F\x7C\xC1", DECODE_INVALID}, /* so here F3 */
        {"\x0F\x13\x01", DECODE_OK},              /* MOVLPS to memory */
        {"\x0F\x13\xC1", DECODE_INVALID},         /* to a register */
        {"\x0F\x50\x01", DECODE_INVALID},         /* MOVMSKPS the other way round */
        {"\x0F\x50\xC1", DECODE_OK},
        {"\x0F\x72\xE1\x01", DECODE_OK},      /* PSRAD, an immediate */
        {"\x0F\x72\xF9\x01", DECODE_INVALID}, /* group 13, /7 */
        {"\x66\x0F\x73\xF9\x01", DECODE_OK},  /* PSLLDQ */
        {"\x0F\x73\xF9\x01", DECODE_INVALID}, /* which is not for MMX */
        {"\x0F\x77", DECODE_OK},              /* EMMS */
        {"\x66\x0F\x77", DECODE_INVALID},
        {"\x0F\xB8\xC1", DECODE_INVALID},     /* JMPE, of another machine */
        {"\xF3\x0F\xB8\xC1", DECODE_OK},      /* POPCNT */
        {"\x0F\xAE\x39", DECODE_OK},          /* CLFLUSH */
        {"\x66\x0F\xAE\x39", DECODE_INVALID}, /* CLFLUSHOPT: not offered */
        {"\x0F\xAE\xE8", DECODE_OK},          /* LFENCE */
        {"\x0F\xC7\x39", DECODE_OK},          /* VMPTRST */
        {"\xF3\x0F\xC7\x39", DECODE_INVALID},
        {"\xF3\x0F\xC7\x31", DECODE_OK},      /* VMXON */
        {"\x0F\x78\xC1", DECODE_OK},          /* VMREAD */
        {"\x66\x0F\x78\xC1", DECODE_INVALID}, /* SSE4A's EXTRQ */
        {"\x0F\x01\xC1", DECODE_OK},          /* VMCALL */
        {"\x66\x0F\x01\xC1", DECODE_INVALID},
        {"\x0F\x01\xC0", DECODE_INVALID},    /* ENCLV: not offered */
        {"\x66\x0F\x38\x10\xC1", DECODE_OK}, /* PBLENDVB */
        {"\x0F\x38\x10\xC1", DECODE_INVALID},
        {"\x0F\x38\xF0\x01", DECODE_OK}, /* MOVBE */
        {"\x0F\x38\xF0\xC1", DECODE_INVALID},
        {"\xF2\x0F\x38\xF0\xC1", DECODE_OK}, /* CRC32 */
        {"\x66\x0F\x38\x80\x01", DECODE_OK}, /* INVEPT */
        {"\x0F\x38\x80\x01", DECODE_INVALID},
        {"\x66\x0F\x3A\x0B\xC1\x04", DECODE_OK}, /* ROUNDSD */
        {"\x0F\x3A\x0B\xC1\x04", DECODE_INVALID},
        {"\xD9\xD0", DECODE_OK}, /* FNOP */
        {"\xD9\xD1", DECODE_INVALID},
        {"\xD9\x09", DECODE_INVALID}, /* D9 /1 with memory */
        {"\xDA\xE9", DECODE_OK},      /* FUCOMPP */
        {"\xDA\xE8", DECODE_INVALID},
        {"\xDF\xE0", DECODE_OK}, /* FNSTSW AX */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t bytes[INSN_MAX] = {0};
        struct insn insn;
        memcpy(bytes, rows[i].bytes, strlen(rows[i].bytes));
        cr_expect_eq(decode(&insn, bytes, sizeof(bytes), 32), rows[i].result, "row %zu", i);
        cr_expect(rows[i].result != DECODE_OK || insn.len == strlen(rows[i].bytes),
                  "row %zu: length %u", i, insn.len);
    }
}

/* What is known to be undefined at a byte is not kept waiting for those behind it; but LOCK, and a
 * system register that there is not, are found when the instruction is complete. */
Test(decoder, says_undefined_as_soon_as_it_is_known)
{
    struct insn insn;
    const uint8_t sse[] = {0xF3, 0x0F, 0x14, 0x05, 1, 2, 3, 4};
    cr_expect_eq(decode(&insn, sse, 3, 32), DECODE_MORE);
    cr_expect_eq(decode(&insn, sse, 4, 32), DECODE_INVALID);
    cr_expect_eq(insn.len, 4);
    cr_expect_eq(insn.map, 1);
    cr_expect_eq(insn.opcode, 0x14);

    const uint8_t lock[] = {0xF0, 0x69, 0x05, 1, 2, 3, 4, 5, 6, 7, 8};
    for (size_t n = 0; n < sizeof(lock); n++)
        cr_expect_eq(decode(&insn, lock, n, 32), DECODE_MORE, "%zu bytes", n);
    cr_expect_eq(decode(&insn, lock, sizeof(lock), 32), DECODE_INVALID);

    const uint8_t segment[] = {0x8E, 0x7E, 0x01}; /* MOV from memory to segment register 7 */
    cr_expect_eq(decode(&insn, segment, 2, 32), DECODE_MORE);
    cr_expect_eq(decode(&insn, segment, 3, 32), DECODE_INVALID);
}

Test(decoder, the_limit_may_fall_between_two_fields)
{
    struct insn insn;
    uint8_t far[20];
    memset(far, 0x3E, sizeof(far));
    far[8] = 0x9A; /* offset at 9 to 12, selector at 13 and 14 */
    cr_assert_eq(decode(&insn, far, 15, 32), DECODE_OK);
    cr_expect_eq(insn.len, 15);
    far[8] = 0x3E;
    far[10] = 0x9A; /* offset at 11 to 14, selector behind the limit */
    cr_expect_eq(decode(&insn, far, 14, 32), DECODE_MORE);
    cr_expect_eq(decode(&insn, far, 15, 32), DECODE_LONG);
    far[10] = 0x3E;
    far[11] = 0x9A; /* not even the offset fits */
    cr_expect_eq(decode(&insn, far, 12, 32), DECODE_LONG);
}

Test(decoder, finds_data_reached_through_cs)
{
    static const struct {
        const char *bytes;
        bool through_cs;
    } rows[] = {
        {"\x2E\x8B\x01", true},         /* MOV from memory */
        {"\x8B\x01", false},            /* no override */
        {"\x36\x8B\x01", false},        /* SS */
        {"\x2E\x36\x8B\x01", false},    /* the last override counts */
        {"\x36\x2E\x8B\x01", true},     /* both ways */
        {"\x2E\x8B\xC1", false},        /* registers */
        {"\x2E\xA1\x01\x02\x03", true}, /* MOV moffs */
        {"\x2E\xA4", true},             /* MOVS reads DS:ESI */
        {"\x2E\xAA", false},            /* STOS writes ES:EDI, no override */
        {"\x2E\xD7", true},             /* XLAT */
        {"\x2E\x0F\xF7\xC1", true},     /* MASKMOVQ writes DS:EDI */
        {"\x2E\x74\x01", false},        /* a branch hint */
        {"\x2E\x8D\x01", false},        /* LEA */
        {"\x2E\x0F\x1F\x01", false},    /* NOP, as compilers pad */
        {"\x2E\x0F\x20\x01", false},    /* MOV from CR0 ignores mod */
        {"\x2E\x55", false},            /* PUSH: SS whatever the prefix */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t bytes[INSN_MAX] = {0};
        struct insn insn;
        memcpy(bytes, rows[i].bytes, strlen(rows[i].bytes));
        cr_assert_eq(decode(&insn, bytes, sizeof(bytes), 32), DECODE_OK, "row %zu", i);
        cr_expect_eq(insn_reads_through_cs(&insn), rows[i].through_cs, "row %zu", i);
    }
}

Test(decoder, operand_size_prefix_shortens_branches)
{
    struct insn insn;
    const uint8_t jcc[] = {0x66, 0x0F, 0x84, 0xFE, 0xFF, 0x90, 0x90};
    cr_assert_eq(decode(&insn, jcc, sizeof(jcc), 32), DECODE_OK);
    cr_expect_eq(insn.len, 5);
    cr_expect_eq((int32_t)insn.imm, -2);
    cr_assert_eq(decode(&insn, jcc, sizeof(jcc), 16), DECODE_OK);
    cr_expect_eq(insn.len, 7, "in 16-bit code it lengthens them");

    const uint8_t enter[] = {0xC8, 0x34, 0x12, 0x05};
    cr_assert_eq(decode(&insn, enter, sizeof(enter), 32), DECODE_OK);
    cr_expect_eq(insn.imm, 0x1234);
    cr_expect_eq(insn.imm2, 5);
}

/* Whatever a prefix of an instruction is decoded to, it is "more", and no byte behind the
 * instruction matters. */
Test(decoder, depends_on_its_own_bytes_only)
{
    uint32_t x = 1;
    for (unsigned round = 0; round < 200000; round++) {
        uint8_t bytes[INSN_MAX];
        struct insn insn, again;
        for (unsigned i = 0; i < sizeof(bytes); i++) {
            x = x * 1664525 + 1013904223;
            bytes[i] = (uint8_t)(x >> 24);
        }
        if (round & 2)
            bytes[round & 1] = 0x0F;
        const int bits = round & 4 ? 16 : 32;
        if (decode(&insn, bytes, sizeof(bytes), bits) != DECODE_OK)
            continue;
        for (size_t n = 0; n < insn.len; n++)
            cr_assert_eq(decode(&again, bytes, n, bits), DECODE_MORE, "round %u", round);
        memset(bytes + insn.len, 0x5A, sizeof(bytes) - insn.len);
        cr_assert_eq(decode(&again, bytes, insn.len, bits), DECODE_OK);
        cr_assert_eq(memcmp(&insn, &again, sizeof(insn)), 0, "round %u", round);
    }
}
