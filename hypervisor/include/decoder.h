/*
 * The instruction decoder: bytes to a struct insn. Pure, table-driven; one table (opcodes.h)
 * also knows each instruction's privilege class and sensitivity.
 *
 * Format: Intel SDM vol. 2A chapter 2; opcode maps: vol. 2D appendix A.
 */
#ifndef TRIVISOR_DECODER_H
#define TRIVISOR_DECODER_H

#include "types.h"

#define INSN_MAX 15 /* SDM vol. 2A section 2.3.11: longer is #GP */

/* The classes of Popek and Goldberg, for code that runs deprivileged at CPL 3. */
enum insn_class {
    CLASS_INNOCUOUS,  /* same result at any privilege level: may run as it is */
    CLASS_PRIVILEGED, /* traps by itself when executed at CPL 3 */
    CLASS_SENSITIVE,  /* does not trap, but its result depends on the privilege level, or it would
                         change state that is not the guest's: must be found by scanning */
};

/* Where control goes next: what a scanner needs. */
enum insn_flow {
    FLOW_NEXT,     /* the next instruction */
    FLOW_BRANCH,   /* conditional: next, or rel target (Jcc, LOOP, JCXZ) */
    FLOW_JUMP,     /* rel target only */
    FLOW_CALL,     /* rel target, and later the next instruction */
    FLOW_INDIRECT, /* near JMP through register or memory: unknown */
    FLOW_CALL_IND, /* near CALL through register or memory, later next */
    FLOW_RETURN,   /* near RET */
    FLOW_STOP,     /* far transfer, IRET, UD2, ...: the VMM or the guest's IDT decides */
};

/* Instructions that the VMM knows by name; all others are OP_OTHER. */
/* clang-format off */
enum insn_op {
    OP_OTHER = 0,
    OP_CLI, OP_STI, OP_HLT, OP_PUSHF, OP_POPF, OP_IRET,
    OP_IN, OP_OUT, OP_INS, OP_OUTS,
    OP_INT3, OP_INTN, OP_INTO, OP_INT1,
    OP_MOV_FROM_CR, OP_MOV_TO_CR, OP_MOV_FROM_DR, OP_MOV_TO_DR, OP_CLTS, OP_LMSW, OP_SMSW,
    OP_LGDT, OP_LIDT, OP_SGDT, OP_SIDT, OP_LLDT, OP_SLDT, OP_LTR, OP_STR,
    OP_INVLPG, OP_INVD, OP_WBINVD, OP_RDMSR, OP_WRMSR, OP_RDTSC, OP_RDTSCP, OP_RDPMC, OP_CPUID,
    OP_LAR, OP_LSL, OP_VERR, OP_VERW, OP_ARPL,
    OP_MOV_FROM_SREG, OP_MOV_TO_SREG, OP_PUSH_SREG, OP_POP_SREG,
    OP_LDS, OP_LES, OP_LSS, OP_LFS, OP_LGS,
    OP_CALL_FAR, OP_JMP_FAR,          /* ptr16:32 in the instruction */
    OP_CALL_FAR_MEM, OP_JMP_FAR_MEM,  /* m16:32 */
    OP_RET_FAR,                       /* imm holds the bytes to release */
    OP_SYSENTER, OP_SYSEXIT, OP_VMCALL, OP_VMMCALL, OP_SVM_VMX, /* other VMX and SVM ones */
    OP_XSETBV, OP_MONITOR, OP_MWAIT,
    OP_COUNT
};
/* clang-format on */

#define PFX_LOCK 0x01
#define PFX_REP 0x02   /* F3 */
#define PFX_REPNE 0x04 /* F2 */
#define PFX_OPSIZE 0x08
#define PFX_ADSIZE 0x10
#define PFX_SEG 0x20

struct insn {
    uint8_t len;          /* whole length in bytes, prefixes included */
    uint8_t opcode_off;   /* offset of the opcode's last byte (after prefixes and 0F) */
    uint8_t prefixes;     /* PFX_ bits */
    uint8_t seg_override; /* enum sreg, valid with PFX_SEG */
    uint8_t seg_off;      /* offset of the effective (last) segment-override prefix byte */
    uint8_t opsize;       /* 2 or 4 */
    uint8_t adsize;       /* 2 or 4 */
    uint8_t map;          /* 0: one byte, 1: 0F, 2: 0F 38, 3: 0F 3A */
    uint8_t opcode;
    bool has_modrm;
    uint8_t modrm, sib;
    bool has_sib;
    uint8_t disp_size, imm_size; /* bytes */
    int32_t disp;
    uint32_t imm;  /* zero-extended as stored; rel displacements are sign-extended */
    uint16_t imm2; /* second immediate: far selector; ENTER's level */
    enum insn_op op;
    enum insn_class class;
    enum insn_flow flow;
};

#define MODRM_MOD(m) ((m) >> 6)
#define MODRM_REG(m) (((m) >> 3) & 7)
#define MODRM_RM(m) (7 & (m))

enum decode_result {
    DECODE_OK,
    DECODE_MORE,    /* the bytes end inside the instruction: give more */
    DECODE_INVALID, /* #UD on the bare machine; insn->len is how far it was read */
    DECODE_LONG,    /* longer than 15 bytes: #GP on the bare machine */
};

/*
 * Decode one instruction.
 * bytes, n: what is available (more than INSN_MAX is not looked at). bits: 16 or 32, from CS.D.
 * Fills *insn completely on DECODE_OK; on DECODE_INVALID only len, prefixes, map and opcode count.
 * Only DECODE_MORE can change when more bytes are given; all of a good instruction's beginnings,
 * and no 15 bytes, are answered with it.
 */
enum decode_result decode(struct insn *insn, const uint8_t *bytes, size_t n, int bits);

/* The mnemonic of a named op ("cli", "mov-to-cr", ...), or "other". For reports. */
const char *insn_op_name(enum insn_op op);

/* Does an override prefix send a data access of the instruction through CS? False for what only
 * names an address (LEA, NOP, PREFETCH), and for branch hints. */
bool insn_reads_through_cs(const struct insn *insn);

#endif
