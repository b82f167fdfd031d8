/*
 * The opcode tables (Intel SDM vol. 2D appendix A): for each opcode its operands' shape, and for
 * those that matter to a VMM its name, its class and where control goes next. The decoder reads
 * them; nothing else knows an opcode.
 *
 * Classes are those of code that runs deprivileged, at CPL 3, in place of a kernel:
 *  - privileged: raises an exception at CPL 3 by itself. INT n belongs here because the VMM's gates
 *    have DPL 0.
 *  - sensitive: does not, although its result depends on the privilege level or on registers that
 *    hold the VMM's values. INT3, INTO and INT1 are here because their gates must be open.
 *  - innocuous: all others. Also MOV and POP to DS, ES, FS, GS, and reads of them: the shadow
 *    descriptor tables give the same selectors and the same access. Also ARPL, which only works on
 *    its operands, and RDTSC, which traps when it must (CR4.TSD).
 */
#ifndef TRIVISOR_OPCODES_H
#define TRIVISOR_OPCODES_H

#include "decoder.h"

/* Shapes. */
#define F_M 0x0001u       /* ModRM follows */
#define F_I8 0x0002u      /* immediate of one byte */
#define F_IZ 0x0004u      /* immediate of the operand size */
#define F_I16 0x0008u     /* immediate of two bytes */
#define F_FAR 0x0010u     /* offset of the operand size, then a selector */
#define F_MOFFS 0x0020u   /* offset of the address size */
#define F_REL 0x0040u     /* the immediate is a branch displacement */
#define F_LOCK 0x0080u    /* LOCK allowed with a memory operand */
#define F_SYSREG 0x0100u  /* ModRM.reg is a control or segment register; see undefined */
#define F_REG 0x0200u     /* the ModRM byte always names registers */
#define F_GROUP 0x0400u   /* ModRM.reg selects from groups[], number in op */
#define F_X87 0x0800u     /* x87_memory[] and x87_registers[] say which forms are defined */
#define F_STRING 0x1000u  /* has an implicit memory operand that takes a segment override */
#define F_ADDRESS 0x2000u /* the memory operand is an address or a hint: nothing is accessed */
#define F_PREFIX 0x4000u  /* not an instruction but a prefix, its PFX_ bit in op */
#define F_IMMEDIATE (F_I8 | F_IZ | F_I16 | F_FAR | F_MOFFS)

struct opcode {
    uint16_t shape;
    uint8_t op;
    uint8_t class;
    uint8_t flow;
    uint8_t undefined; /* the forms (below) that raise #UD; with F_SYSREG, the registers: bit reg */
};

#define PRIV CLASS_PRIVILEGED
#define SENS CLASS_SENSITIVE

/*
 * The forms of an opcode: a mandatory prefix (SDM vol. 2A section 2.1.1; of several the last F2 or
 * F3 counts, else 66), times a memory or a register operand.
 */
#define NP_M 0x01 /* no mandatory prefix */
#define P66_M 0x02
#define PF3_M 0x04
#define PF2_M 0x08
#define NP_R 0x10
#define P66_R 0x20
#define PF3_R 0x40
#define PF2_R 0x80
#define NP (NP_M | NP_R)
#define P66 (P66_M | P66_R)
#define PF3 (PF3_M | PF3_R)
#define PF2 (PF2_M | PF2_R)
#define FORM_M (NP_M | P66_M | PF3_M | PF2_M)
#define FORM_R (NP_R | P66_R | PF3_R | PF2_R)
#define MMX_SSE (NP | P66) /* on MMX registers, with 66 on XMM; or packed single and double */

/* One row of the manual's map is easier to check than one opcode a line. */
/* clang-format off */
#define ONLY(forms) .undefined = (uint8_t)~(forms)
#define BAD {ONLY(0)}
#define NO_CR .undefined = 0xE2     /* CR1, CR5 to CR7; CR8 is for long mode */
#define NO_SREG {F_SYSREG, ONLY(0)} /* no such segment register */
enum group {
    GROUP_80, GROUP_8F, GROUP_C6, GROUP_F6, GROUP_F7, GROUP_FE, GROUP_FF, GROUP_0F00, GROUP_0F01,
    GROUP_0F71, GROUP_0F73, GROUP_0FBA, GROUP_0FC7, GROUP_0FAE, GROUP_8C, GROUP_8E, GROUP_COUNT
};

#define ALU(base)                                                                                  \
    [base] = {F_M | F_LOCK}, [base + 1] = {F_M | F_LOCK}, [base + 2 ... base + 3] = {F_M},         \
    [base + 4] = {F_I8}, [base + 5] = {F_IZ}

static const struct opcode one_byte[256] = {
    [0x26] = {F_PREFIX, PFX_SEG}, [0x2E] = {F_PREFIX, PFX_SEG}, [0x36] = {F_PREFIX, PFX_SEG},
    [0x3E] = {F_PREFIX, PFX_SEG}, [0x64 ... 0x65] = {F_PREFIX, PFX_SEG},
    [0x66] = {F_PREFIX, PFX_OPSIZE}, [0x67] = {F_PREFIX, PFX_ADSIZE},
    [0xF0] = {F_PREFIX, PFX_LOCK}, [0xF2] = {F_PREFIX, PFX_REPNE}, [0xF3] = {F_PREFIX, PFX_REP},
    ALU(0x00), ALU(0x08), ALU(0x10), ALU(0x18), ALU(0x20), ALU(0x28), ALU(0x30),
    [0x38 ... 0x3B] = {F_M}, [0x3C] = {F_I8}, [0x3D] = {F_IZ},
    [0x06] = {0, OP_PUSH_SREG}, [0x07] = {0, OP_POP_SREG},
    [0x0E] = {0, OP_PUSH_SREG, SENS},
    [0x16] = {0, OP_PUSH_SREG, SENS}, [0x17] = {0, OP_POP_SREG, SENS},
    [0x1E] = {0, OP_PUSH_SREG}, [0x1F] = {0, OP_POP_SREG},
    [0x62] = {F_M, ONLY(FORM_M)}, /* BOUND; with registers: EVEX, which guests have not */
    [0x63] = {F_M, OP_ARPL},
    [0x68] = {F_IZ}, [0x69] = {F_M | F_IZ}, [0x6A] = {F_I8}, [0x6B] = {F_M | F_I8},
    [0x6C ... 0x6D] = {0, OP_INS, PRIV}, [0x6E ... 0x6F] = {F_STRING, OP_OUTS, PRIV},
    [0x70 ... 0x7F] = {F_I8 | F_REL, 0, 0, FLOW_BRANCH},
    [0x80] = {F_M | F_I8 | F_GROUP, GROUP_80}, [0x81] = {F_M | F_IZ | F_GROUP, GROUP_80},
    [0x82] = {F_M | F_I8 | F_GROUP, GROUP_80}, [0x83] = {F_M | F_I8 | F_GROUP, GROUP_80},
    [0x84 ... 0x85] = {F_M}, [0x86 ... 0x87] = {F_M | F_LOCK}, [0x88 ... 0x8B] = {F_M},
    [0x8C] = {F_M | F_GROUP, GROUP_8C}, [0x8D] = {F_M | F_ADDRESS, ONLY(FORM_M)},
    [0x8E] = {F_M | F_GROUP, GROUP_8E}, [0x8F] = {F_M | F_GROUP, GROUP_8F},
    [0x9A] = {F_FAR, OP_CALL_FAR, SENS},
    [0x9C] = {0, OP_PUSHF, SENS}, [0x9D] = {0, OP_POPF, SENS},
    [0xA0 ... 0xA3] = {F_MOFFS}, [0xA4 ... 0xA7] = {F_STRING}, [0xA8] = {F_I8}, [0xA9] = {F_IZ},
    [0xAC ... 0xAD] = {F_STRING},
    [0xB0 ... 0xB7] = {F_I8}, [0xB8 ... 0xBF] = {F_IZ},
    [0xC0 ... 0xC1] = {F_M | F_I8}, [0xC2] = {F_I16, 0, 0, FLOW_RETURN},
    [0xC3] = {0, 0, 0, FLOW_RETURN},
    [0xC4] = {F_M, OP_LES, ONLY(FORM_M)}, [0xC5] = {F_M, OP_LDS, ONLY(FORM_M)}, /* else VEX */
    [0xC6] = {F_M | F_I8 | F_GROUP, GROUP_C6}, [0xC7] = {F_M | F_IZ | F_GROUP, GROUP_C6},
    [0xC8] = {F_I16 | F_I8},
    [0xCA] = {F_I16, OP_RET_FAR, SENS, FLOW_STOP}, [0xCB] = {0, OP_RET_FAR, SENS, FLOW_STOP},
    [0xCC] = {0, OP_INT3, SENS}, [0xCD] = {F_I8, OP_INTN, PRIV}, [0xCE] = {0, OP_INTO, SENS},
    [0xCF] = {0, OP_IRET, SENS, FLOW_STOP},
    [0xD0 ... 0xD3] = {F_M}, [0xD4 ... 0xD5] = {F_I8}, [0xD7] = {F_STRING},
    [0xD8 ... 0xDF] = {F_M | F_X87},
    [0xE0 ... 0xE3] = {F_I8 | F_REL, 0, 0, FLOW_BRANCH},
    [0xE4 ... 0xE5] = {F_I8, OP_IN, PRIV}, [0xE6 ... 0xE7] = {F_I8, OP_OUT, PRIV},
    [0xE8] = {F_IZ | F_REL, 0, 0, FLOW_CALL}, [0xE9] = {F_IZ | F_REL, 0, 0, FLOW_JUMP},
    [0xEA] = {F_FAR, OP_JMP_FAR, SENS, FLOW_STOP}, [0xEB] = {F_I8 | F_REL, 0, 0, FLOW_JUMP},
    [0xEC ... 0xED] = {0, OP_IN, PRIV}, [0xEE ... 0xEF] = {0, OP_OUT, PRIV},
    [0xF1] = {0, OP_INT1, SENS}, [0xF4] = {0, OP_HLT, PRIV},
    [0xF6] = {F_M | F_GROUP, GROUP_F6}, [0xF7] = {F_M | F_GROUP, GROUP_F7},
    [0xFA] = {0, OP_CLI, PRIV}, [0xFB] = {0, OP_STI, PRIV},
    [0xFE] = {F_M | F_GROUP, GROUP_FE}, [0xFF] = {F_M | F_GROUP, GROUP_FF},
};

static const struct opcode two_byte[256] = { /* behind 0F */
    [0x00 ... 0xFF] = {F_M}, /* most of the map; the exceptions follow */
    [0x00] = {F_M | F_GROUP, GROUP_0F00}, [0x01] = {F_M | F_GROUP, GROUP_0F01},
    [0x02] = {F_M, OP_LAR, SENS}, [0x03] = {F_M, OP_LSL, SENS},
    [0x04] = BAD, [0x05] = BAD, /* SYSCALL: not in 32-bit mode on Intel, not offered */
    [0x06] = {0, OP_CLTS, PRIV}, [0x07] = BAD, [0x08] = {0, OP_INVD, PRIV},
    [0x09] = {0, OP_WBINVD, PRIV}, [0x0A ... 0x0C] = BAD,
    [0x0D] = {F_M | F_ADDRESS}, /* PREFETCH */
    [0x0E ... 0x0F] = BAD, /* 3DNow! */
    [0x12] = {F_M, ONLY(NP | P66_M | PF3 | PF2)}, [0x13] = {F_M, ONLY(NP_M | P66_M)},
    [0x14 ... 0x15] = {F_M, ONLY(MMX_SSE)}, [0x16] = {F_M, ONLY(NP | P66_M | PF3)},
    [0x17] = {F_M, ONLY(NP_M | P66_M)},
    [0x18 ... 0x1F] = {F_M | F_ADDRESS}, /* PREFETCH, multi-byte NOP */
    [0x20] = {F_M | F_REG | F_SYSREG, OP_MOV_FROM_CR, PRIV, NO_CR},
    [0x21] = {F_M | F_REG, OP_MOV_FROM_DR, PRIV},
    [0x22] = {F_M | F_REG | F_SYSREG, OP_MOV_TO_CR, PRIV, NO_CR},
    [0x23] = {F_M | F_REG, OP_MOV_TO_DR, PRIV}, [0x24 ... 0x27] = BAD,
    [0x28 ... 0x29] = {F_M, ONLY(MMX_SSE)}, [0x2B] = {F_M, ONLY(NP_M | P66_M)},
    [0x2E ... 0x2F] = {F_M, ONLY(MMX_SSE)},
    [0x30] = {0, OP_WRMSR, PRIV}, [0x31] = {0, OP_RDTSC}, [0x32] = {0, OP_RDMSR, PRIV},
    [0x33] = {0, OP_RDPMC, SENS}, [0x34] = {0, OP_SYSENTER, SENS, FLOW_STOP},
    [0x35] = {0, OP_SYSEXIT, PRIV, FLOW_STOP}, [0x36 ... 0x3F] = BAD, /* 38, 3A: next tables */
    [0x50] = {F_M, ONLY(NP_R | P66_R)}, [0x52 ... 0x53] = {F_M, ONLY(NP | PF3)},
    [0x54 ... 0x57] = {F_M, ONLY(MMX_SSE)}, [0x5B] = {F_M, ONLY(MMX_SSE | PF3)},
    [0x60 ... 0x6B] = {F_M, ONLY(MMX_SSE)}, [0x6C ... 0x6D] = {F_M, ONLY(P66)},
    [0x6E] = {F_M, ONLY(MMX_SSE)}, [0x6F] = {F_M, ONLY(MMX_SSE | PF3)},
    [0x70] = {F_M | F_I8}, [0x71 ... 0x72] = {F_M | F_I8 | F_GROUP, GROUP_0F71},
    [0x73] = {F_M | F_I8 | F_GROUP, GROUP_0F73}, [0x74 ... 0x76] = {F_M, ONLY(MMX_SSE)},
    [0x77] = {0, ONLY(NP)}, /* EMMS */
    [0x78 ... 0x79] = {F_M, OP_SVM_VMX, PRIV, ONLY(NP)}, /* VMREAD, VMWRITE */
    [0x7A ... 0x7B] = BAD, [0x7C ... 0x7D] = {F_M, ONLY(P66 | PF2)},
    [0x7E ... 0x7F] = {F_M, ONLY(MMX_SSE | PF3)},
    [0x80 ... 0x8F] = {F_IZ | F_REL, 0, 0, FLOW_BRANCH},
    [0xA0] = {0, OP_PUSH_SREG}, [0xA1] = {0, OP_POP_SREG}, [0xA2] = {0, OP_CPUID, SENS},
    [0xA4] = {F_M | F_I8}, [0xA6 ... 0xA7] = BAD,
    [0xA8] = {0, OP_PUSH_SREG}, [0xA9] = {0, OP_POP_SREG}, [0xAA] = BAD,
    [0xAB] = {F_M | F_LOCK}, [0xAC] = {F_M | F_I8}, [0xAE] = {F_M | F_GROUP, GROUP_0FAE},
    [0xB0 ... 0xB1] = {F_M | F_LOCK}, [0xB2] = {F_M, OP_LSS, SENS, ONLY(FORM_M)},
    [0xB3] = {F_M | F_LOCK},
    [0xB4] = {F_M, OP_LFS, ONLY(FORM_M)}, [0xB5] = {F_M, OP_LGS, ONLY(FORM_M)},
    [0xB8] = {F_M, ONLY(PF3)}, /* POPCNT */
    [0xB9] = BAD, [0xBA] = {F_M | F_I8 | F_GROUP, GROUP_0FBA}, [0xBB] = {F_M | F_LOCK},
    [0xC0 ... 0xC1] = {F_M | F_LOCK}, [0xC2] = {F_M | F_I8}, [0xC3] = {F_M, ONLY(NP_M)},
    [0xC4] = {F_M | F_I8, ONLY(MMX_SSE)}, [0xC5] = {F_M | F_I8, ONLY(NP_R | P66_R)},
    [0xC6] = {F_M | F_I8, ONLY(MMX_SSE)}, [0xC7] = {F_M | F_GROUP, GROUP_0FC7},
    [0xC8 ... 0xCF] = {0},
    [0xD0] = {F_M, ONLY(P66 | PF2)}, [0xD1 ... 0xFE] = {F_M, ONLY(MMX_SSE)},
    [0xD6] = {F_M, ONLY(P66 | PF3_R | PF2_R)}, [0xD7] = {F_M, ONLY(NP_R | P66_R)},
    [0xE6] = {F_M, ONLY(P66 | PF3 | PF2)}, [0xE7] = {F_M, ONLY(NP_M | P66_M)},
    [0xF0] = {F_M, ONLY(PF2_M)},
    [0xF7] = {F_M | F_STRING, ONLY(NP_R | P66_R)}, /* MASKMOVQ, MASKMOVDQU */
    [0xFF] = BAD,
};

/* What is not listed in the next two belongs to extensions that guests do not have. */
static const struct opcode three_byte_38[256] = { /* behind 0F 38 */
    [0x00 ... 0xFF] = BAD,
    [0x00 ... 0x0B] = {F_M, ONLY(MMX_SSE)}, [0x1C ... 0x1E] = {F_M, ONLY(MMX_SSE)}, /* SSSE3 */
    [0x10] = {F_M, ONLY(P66)}, [0x14 ... 0x15] = {F_M, ONLY(P66)}, [0x17] = {F_M, ONLY(P66)},
    [0x20 ... 0x25] = {F_M, ONLY(P66)}, [0x28 ... 0x29] = {F_M, ONLY(P66)},
    [0x2A] = {F_M, ONLY(P66_M)}, [0x2B] = {F_M, ONLY(P66)}, [0x30 ... 0x35] = {F_M, ONLY(P66)},
    [0x37 ... 0x41] = {F_M, ONLY(P66)}, [0xDB ... 0xDF] = {F_M, ONLY(P66)}, /* SSE4, AES */
    [0x80 ... 0x82] = {F_M, OP_SVM_VMX, PRIV, ONLY(P66_M)}, /* INVEPT, INVVPID, INVPCID */
    [0xF0 ... 0xF1] = {F_M, ONLY(NP_M | P66_M | PF2)}, /* MOVBE, CRC32 */
};

static const struct opcode three_byte_3a[256] = { /* behind 0F 3A: SSE4, AES, PCLMULQDQ */
    [0x00 ... 0xFF] = BAD,
    [0x08 ... 0x0E] = {F_M | F_I8, ONLY(P66)}, [0x0F] = {F_M | F_I8, ONLY(MMX_SSE)},
    [0x14 ... 0x17] = {F_M | F_I8, ONLY(P66)}, [0x20 ... 0x22] = {F_M | F_I8, ONLY(P66)},
    [0x40 ... 0x42] = {F_M | F_I8, ONLY(P66)}, [0x44] = {F_M | F_I8, ONLY(P66)},
    [0x60 ... 0x63] = {F_M | F_I8, ONLY(P66)}, [0xDF] = {F_M | F_I8, ONLY(P66)},
};

static const struct opcode *const maps[4] = {one_byte, two_byte, three_byte_38, three_byte_3a};

/* What ModRM.reg makes of an opcode: [0] with a memory operand, [1] with a register. */
static const struct opcode groups[GROUP_COUNT][2][8] = {
    [GROUP_80] = {{[0 ... 6] = {F_LOCK}}, {{0}}},
    [GROUP_8F] = {{[1 ... 7] = BAD}, {[1 ... 7] = BAD}},
    [GROUP_C6] = {{[1 ... 7] = BAD}, {[1 ... 7] = BAD}},
    [GROUP_F6] = {{[0 ... 1] = {F_I8}, [2 ... 3] = {F_LOCK}}, {[0 ... 1] = {F_I8}}},
    [GROUP_F7] = {{[0 ... 1] = {F_IZ}, [2 ... 3] = {F_LOCK}}, {[0 ... 1] = {F_IZ}}},
    [GROUP_FE] = {{[0 ... 1] = {F_LOCK}, [2 ... 7] = BAD}, {[2 ... 7] = BAD}},
    [GROUP_FF] = {{[0 ... 1] = {F_LOCK},
                   [2] = {0, 0, 0, FLOW_CALL_IND},
                   [3] = {0, OP_CALL_FAR_MEM, SENS},
                   [4] = {0, 0, 0, FLOW_INDIRECT},
                   [5] = {0, OP_JMP_FAR_MEM, SENS, FLOW_STOP},
                   [7] = BAD},
                  {[2] = {0, 0, 0, FLOW_CALL_IND},
                   [3] = BAD,
                   [4] = {0, 0, 0, FLOW_INDIRECT},
                   [5] = BAD,
                   [7] = BAD}},
    [GROUP_0F00] = {{{0, OP_SLDT, SENS}, {0, OP_STR, SENS}, {0, OP_LLDT, PRIV}, {0, OP_LTR, PRIV},
                     {0, OP_VERR, SENS}, {0, OP_VERW, SENS}, BAD, BAD},
                    {{0, OP_SLDT, SENS}, {0, OP_STR, SENS}, {0, OP_LLDT, PRIV}, {0, OP_LTR, PRIV},
                     {0, OP_VERR, SENS}, {0, OP_VERW, SENS}, BAD, BAD}},
    /* With registers: see registers_0f01. */
    [GROUP_0F01] = {{{0, OP_SGDT, SENS}, {0, OP_SIDT, SENS}, {0, OP_LGDT, PRIV},
                     {0, OP_LIDT, PRIV}, {0, OP_SMSW, SENS}, BAD, {0, OP_LMSW, PRIV},
                     {0, OP_INVLPG, PRIV}}},
    [GROUP_0F71] = {{[0 ... 7] = BAD}, /* shifts by an immediate, also 0F 72 */
                    {BAD, BAD, {ONLY(MMX_SSE)}, BAD, {ONLY(MMX_SSE)}, BAD, {ONLY(MMX_SSE)}, BAD}},
    [GROUP_0F73] = {{[0 ... 7] = BAD},
                    {BAD, BAD, {ONLY(MMX_SSE)}, {ONLY(P66)}, BAD, BAD, {ONLY(MMX_SSE)},
                     {ONLY(P66)}}},
    [GROUP_0FBA] = {{[0 ... 3] = BAD, [5 ... 7] = {F_LOCK}}, {[0 ... 3] = BAD}},
    /* RDRAND and RDSEED are not offered to guests. VMPTRLD, VMCLEAR, VMXON; VMPTRST. */
    [GROUP_0FC7] = {{BAD, {F_LOCK}, BAD, BAD, BAD, BAD,
                     {0, OP_SVM_VMX, PRIV, ONLY(NP | P66 | PF3)}, {0, OP_SVM_VMX, PRIV, ONLY(NP)}},
                    {[0 ... 7] = BAD}},
    /* FXSAVE, FXRSTOR, LDMXCSR, STMXCSR, CLFLUSH; LFENCE, MFENCE, SFENCE. */
    [GROUP_0FAE] = {{[0 ... 3] = {ONLY(NP)}, [4 ... 6] = BAD, [7] = {ONLY(NP)}},
                    {[0 ... 4] = BAD, [5 ... 7] = {ONLY(NP)}}},
    [GROUP_8C] = {{[1] = {0, OP_MOV_FROM_SREG, SENS}, [2] = {0, OP_MOV_FROM_SREG, SENS},
                   [0] = {0, OP_MOV_FROM_SREG}, [3 ... 5] = {0, OP_MOV_FROM_SREG},
                   [6 ... 7] = NO_SREG},
                  {[1] = {0, OP_MOV_FROM_SREG, SENS}, [2] = {0, OP_MOV_FROM_SREG, SENS},
                   [0] = {0, OP_MOV_FROM_SREG}, [3 ... 5] = {0, OP_MOV_FROM_SREG},
                   [6 ... 7] = NO_SREG}},
    [GROUP_8E] = {{[0] = {0, OP_MOV_TO_SREG}, [1] = NO_SREG, [2] = {0, OP_MOV_TO_SREG, SENS},
                   [3 ... 5] = {0, OP_MOV_TO_SREG}, [6 ... 7] = NO_SREG},
                  {[0] = {0, OP_MOV_TO_SREG}, [1] = NO_SREG, [2] = {0, OP_MOV_TO_SREG, SENS},
                   [3 ... 5] = {0, OP_MOV_TO_SREG}, [6 ... 7] = NO_SREG}},
};

/* 0F 01 with a register operand: single instructions, by the low six bits of ModRM. */
static const struct opcode registers_0f01[64] = {
    [0x00 ... 0x3F] = BAD,
    [0x01] = {0, OP_VMCALL, PRIV, ONLY(NP)},
    [0x02 ... 0x04] = {0, OP_SVM_VMX, PRIV, ONLY(NP)}, /* VMLAUNCH VMRESUME VMXOFF */
    [0x08] = {0, OP_MONITOR, PRIV, ONLY(NP)}, [0x09] = {0, OP_MWAIT, PRIV, ONLY(NP)},
    [0x10] = {0, OP_OTHER, SENS, ONLY(NP)}, /* XGETBV */
    [0x11] = {0, OP_XSETBV, PRIV, ONLY(NP)},
    [0x18 ... 0x1F] = {0, OP_SVM_VMX, PRIV}, /* VMRUN VMLOAD VMSAVE STGI CLGI SKINIT INVLPGA */
    [0x19] = {0, OP_VMMCALL, PRIV},
    [0x20 ... 0x27] = {0, OP_SMSW, SENS}, [0x30 ... 0x37] = {0, OP_LMSW, PRIV},
    [0x39] = {0, OP_RDTSCP, SENS},
};

/* D8 to DF, the defined forms: a bit for each ModRM.reg; for each reg, a bit for each ModRM.rm. */
static const uint8_t x87_memory[8] = {0xFF, 0xFD, 0xFF, 0xAF, 0xFF, 0xDF, 0xFF, 0xFF};
static const uint8_t x87_registers[8][8] = {
    [0 ... 7] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF},
    [1] = {0xFF, 0xFF, 0x01, 0xFF, 0x33, 0x7F, 0xFF, 0xFF},
    [2] = {0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x02, 0x00, 0x00},
    [3] = {0xFF, 0xFF, 0xFF, 0xFF, 0x1F, 0xFF, 0xFF, 0x00},
    [5] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x00},
    [6] = {0xFF, 0xFF, 0xFF, 0x02, 0xFF, 0xFF, 0xFF, 0xFF},
    [7] = {0xFF, 0xFF, 0xFF, 0xFF, 0x01, 0xFF, 0xFF, 0x00},
};
/* clang-format on */

#endif
