/* The decoder: prefixes, opcode, ModRM, SIB, displacement, immediates (SDM vol. 2A chapter 2). */
#include "decoder.h"

#include <string.h>

/* The tables override most of a range with its exceptions, on purpose. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
#include "opcodes.h"
#pragma GCC diagnostic pop

struct cursor {
    const uint8_t *bytes;
    size_t n;
    size_t at;
};

/* Are k more bytes there? */
static enum decode_result need(const struct cursor *c, size_t k)
{
    if (c->at + k > INSN_MAX)
        return DECODE_LONG;
    return c->at + k > c->n ? DECODE_MORE : DECODE_OK;
}

static uint32_t take(struct cursor *c, unsigned size)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < size; i++)
        v |= (uint32_t)c->bytes[c->at++] << 8 * i;
    return v;
}

static int32_t take_signed(struct cursor *c, unsigned size)
{
    const uint32_t v = take(c, size);
    return size == 1 ? (int8_t)v : size == 2 ? (int16_t)v : (int32_t)v;
}

/* Returns the segment register of an override prefix, or -1. */
static int segment_prefix(uint8_t byte)
{
    switch (byte) {
    case 0x26:
        return 0;
    case 0x2E:
        return 1;
    case 0x36:
        return 2;
    case 0x3E:
        return 3;
    case 0x64:
        return 4;
    case 0x65:
        return 5;
    default:
        return -1;
    }
}

static uint8_t other_prefix(uint8_t byte)
{
    switch (byte) {
    case 0x66:
        return PFX_OPSIZE;
    case 0x67:
        return PFX_ADSIZE;
    case 0xF0:
        return PFX_LOCK;
    case 0xF2:
        return PFX_REPNE;
    case 0xF3:
        return PFX_REP;
    default:
        return 0;
    }
}

/* Prefixes in any order and number; of a group the last one counts. */
static enum decode_result prefixes(struct insn *insn, struct cursor *c, int bits)
{
    enum decode_result r;
    for (;; c->at++) {
        if ((r = need(c, 1)) != DECODE_OK)
            return r;
        const uint8_t byte = c->bytes[c->at];
        const int segment = segment_prefix(byte);
        const uint8_t other = other_prefix(byte);
        if (segment >= 0) {
            insn->prefixes |= PFX_SEG;
            insn->seg_override = (uint8_t)segment;
            insn->seg_off = (uint8_t)c->at;
        } else if (other & (PFX_REP | PFX_REPNE)) {
            insn->prefixes = (uint8_t)((insn->prefixes & ~(PFX_REP | PFX_REPNE)) | other);
        } else if (other) {
            insn->prefixes |= other;
        } else {
            break;
        }
    }
    insn->opsize = (bits == 32) != !!(insn->prefixes & PFX_OPSIZE) ? 4 : 2;
    insn->adsize = (bits == 32) != !!(insn->prefixes & PFX_ADSIZE) ? 4 : 2;
    return DECODE_OK;
}

/* Map 0F 38: SSSE3, SSE4, AES, MOVBE and CRC32, all with ModRM; and 80..82, INVEPT, INVVPID and
 * INVPCID. What is not listed belongs to extensions that guests do not have. */
static struct opcode map_0f38(uint8_t opcode)
{
    switch (opcode) {
    case 0x00 ... 0x0B:
    case 0x10:
    case 0x14 ... 0x15:
    case 0x17:
    case 0x1C ... 0x1E:
    case 0x20 ... 0x25:
    case 0x28 ... 0x2B:
    case 0x30 ... 0x35:
    case 0x37 ... 0x41:
    case 0xDB ... 0xDF:
    case 0xF0 ... 0xF1:
        return (struct opcode){.shape = F_M};
    case 0x80 ... 0x82:
        return (struct opcode){F_M | F_MEM, OP_SVM_VMX, PRIV, FLOW_NEXT};
    default:
        return (struct opcode){.shape = F_BAD};
    }
}

/* Map 0F 3A: SSSE3, SSE4, AES and PCLMULQDQ, all with ModRM and a byte. */
static struct opcode map_0f3a(uint8_t opcode)
{
    switch (opcode) {
    case 0x08 ... 0x0F:
    case 0x14 ... 0x17:
    case 0x20 ... 0x22:
    case 0x40 ... 0x42:
    case 0x44:
    case 0x60 ... 0x63:
    case 0xDF:
        return (struct opcode){.shape = F_M | F_I8};
    default:
        return (struct opcode){.shape = F_BAD};
    }
}

/* The table's row of an opcode, before a group has refined it. */
static struct opcode table_row(uint8_t map, uint8_t opcode)
{
    switch (map) {
    case 0:
        return one_byte[opcode];
    case 1:
        return two_byte[opcode];
    case 2:
        return map_0f38(opcode);
    default:
        return map_0f3a(opcode);
    }
}

static enum decode_result opcode_bytes(struct insn *insn, struct cursor *c, struct opcode *opcode)
{
    enum decode_result r;
    uint8_t byte = (uint8_t)take(c, 1);
    if (byte == 0x0F) {
        if ((r = need(c, 1)) != DECODE_OK)
            return r;
        byte = (uint8_t)take(c, 1);
        insn->map = 1;
        if (byte == 0x38 || byte == 0x3A) {
            if ((r = need(c, 1)) != DECODE_OK)
                return r;
            insn->map = byte == 0x38 ? 2 : 3;
            byte = (uint8_t)take(c, 1);
        }
    }
    insn->opcode = byte;
    insn->opcode_off = (uint8_t)(c->at - 1);
    *opcode = table_row(insn->map, byte);
    return DECODE_OK;
}

/* Displacement bytes behind a ModRM byte (tables 2-1 and 2-2), after the SIB byte was taken. */
static uint8_t displacement_size(const struct insn *insn)
{
    const unsigned mod = MODRM_MOD(insn->modrm), rm = MODRM_RM(insn->modrm);
    if (insn->adsize == 2)
        return mod == 1 ? 1 : mod == 2 || (mod == 0 && rm == 6) ? 2 : 0;
    if (mod == 0 && insn->has_sib && (insn->sib & 7) == 5)
        return 4;
    return mod == 1 ? 1 : mod == 2 || (mod == 0 && rm == 5) ? 4 : 0;
}

static enum decode_result modrm_bytes(struct insn *insn, struct cursor *c, bool always_registers)
{
    enum decode_result r;
    if ((r = need(c, 1)) != DECODE_OK)
        return r;
    insn->has_modrm = true;
    insn->modrm = (uint8_t)take(c, 1);
    if (always_registers || MODRM_MOD(insn->modrm) == 3)
        return DECODE_OK;
    if (insn->adsize == 4 && MODRM_RM(insn->modrm) == 4) {
        if ((r = need(c, 1)) != DECODE_OK)
            return r;
        insn->has_sib = true;
        insn->sib = (uint8_t)take(c, 1);
    }
    insn->disp_size = displacement_size(insn);
    if ((r = need(c, insn->disp_size)) != DECODE_OK)
        return r;
    if (insn->disp_size)
        insn->disp = take_signed(c, insn->disp_size);
    return DECODE_OK;
}

/* 0F 01 with a register operand: single instructions in the places that need memory. */
static struct opcode decode_0f01(uint8_t modrm)
{
    static const struct opcode bad = {F_BAD, 0, 0, 0};
    switch (modrm) {
    case 0xC1:
        return (struct opcode){0, OP_VMCALL, PRIV, 0};
    case 0xC2 ... 0xC4: /* VMLAUNCH VMRESUME VMXOFF */
    case 0xD8:          /* VMRUN */
    case 0xDA ... 0xDF: /* VMLOAD VMSAVE STGI CLGI SKINIT INVLPGA */
        return (struct opcode){0, OP_SVM_VMX, PRIV, 0};
    case 0xD9:
        return (struct opcode){0, OP_VMMCALL, PRIV, 0};
    case 0xC8:
        return (struct opcode){0, OP_MONITOR, PRIV, 0};
    case 0xC9:
        return (struct opcode){0, OP_MWAIT, PRIV, 0};
    case 0xD1:
        return (struct opcode){0, OP_XSETBV, PRIV, 0};
    case 0xD0: /* XGETBV */
        return (struct opcode){0, OP_OTHER, SENS, 0};
    case 0xF9:
        return (struct opcode){0, OP_RDTSCP, SENS, 0};
    default:
        return bad;
    }
}

static struct opcode resolve_group(const struct insn *insn, struct opcode outer)
{
    const unsigned reg = MODRM_REG(insn->modrm);
    const bool registers = MODRM_MOD(insn->modrm) == 3;
    struct opcode inner = groups[outer.op][registers][reg];
    if (outer.op == GROUP_0F01 && registers && (inner.shape & F_BAD))
        inner = decode_0f01(insn->modrm);
    inner.shape |= outer.shape & (F_I8 | F_IZ);
    return inner;
}

static enum decode_result immediates(struct insn *insn, struct cursor *c, uint16_t shape)
{
    enum decode_result r;
    const uint8_t z = insn->opsize;
    uint8_t first = 0, second = 0;
    if (shape & F_FAR) {
        first = z;
        second = 2;
    } else if (shape & F_I16) {
        first = 2;
        second = shape & F_I8 ? 1 : 0; /* ENTER */
    } else if (shape & F_I8) {
        first = 1;
    } else if (shape & F_IZ) {
        first = z;
    }
    if (shape & F_MOFFS) {
        insn->disp_size = insn->adsize;
        if ((r = need(c, insn->disp_size)) != DECODE_OK)
            return r;
        insn->disp = (int32_t)take(c, insn->disp_size);
    }
    if ((r = need(c, first + second)) != DECODE_OK)
        return r;
    insn->imm_size = first;
    insn->imm = shape & F_REL && first ? (uint32_t)take_signed(c, first) : take(c, first);
    insn->imm2 = (uint16_t)take(c, second);
    return DECODE_OK;
}

/* Encodings that are undefined although the opcode is not. */
static bool undefined(const struct insn *insn, struct opcode opcode)
{
    const bool memory = insn->has_modrm && MODRM_MOD(insn->modrm) != 3;
    const unsigned reg = MODRM_REG(insn->modrm);
    if (opcode.shape & F_BAD)
        return true;
    if ((opcode.shape & F_MEM) && !memory)
        return true;
    if ((insn->prefixes & PFX_LOCK) && !((opcode.shape & F_LOCK) && memory))
        return true;
    /* MOV to and from CR0, CR2, CR3, CR4 only (no CR8 without long mode). */
    if (insn->op == OP_MOV_FROM_CR || insn->op == OP_MOV_TO_CR)
        return reg == 1 || reg > 4;
    /* VMREAD and VMWRITE take no prefix: with one these are SSE4A's EXTRQ and INSERTQ. */
    return insn->map == 1 && (insn->opcode == 0x78 || insn->opcode == 0x79) &&
           (insn->prefixes & (PFX_OPSIZE | PFX_REP | PFX_REPNE));
}

enum decode_result decode(struct insn *insn, const uint8_t *bytes, size_t n, int bits)
{
    struct cursor c = {bytes, n, 0};
    struct opcode opcode = {0};
    enum decode_result r;
    *insn = (struct insn){0};
    if ((r = prefixes(insn, &c, bits)) != DECODE_OK ||
        (r = opcode_bytes(insn, &c, &opcode)) != DECODE_OK)
        return r;
    if (!(opcode.shape & F_BAD) && (opcode.shape & F_M)) {
        if ((r = modrm_bytes(insn, &c, opcode.shape & F_REG)) != DECODE_OK)
            return r;
        if (opcode.shape & F_GROUP)
            opcode = resolve_group(insn, opcode);
    }
    insn->op = opcode.op;
    insn->class = opcode.class;
    insn->flow = opcode.flow;
    if (undefined(insn, opcode)) {
        insn->len = (uint8_t)c.at;
        return DECODE_INVALID;
    }
    if ((r = immediates(insn, &c, opcode.shape)) != DECODE_OK)
        return r;
    insn->len = (uint8_t)c.at;
    return DECODE_OK;
}

bool insn_reads_through_cs(const struct insn *insn)
{
    if (!(insn->prefixes & PFX_SEG) || insn->seg_override != 1)
        return false;
    const uint16_t shape = table_row(insn->map, insn->opcode).shape;
    if (shape & (F_STRING | F_MOFFS))
        return true;
    return insn->has_modrm && MODRM_MOD(insn->modrm) != 3 && !(shape & (F_REG | F_ADDRESS));
}

const char *insn_op_name(enum insn_op op)
{
    /* clang-format off */
    static const char *const names[OP_COUNT] = {
        [OP_OTHER] = "other",       [OP_CLI] = "cli",           [OP_STI] = "sti",
        [OP_HLT] = "hlt",           [OP_PUSHF] = "pushf",       [OP_POPF] = "popf",
        [OP_IRET] = "iret",         [OP_IN] = "in",             [OP_OUT] = "out",
        [OP_INS] = "ins",           [OP_OUTS] = "outs",         [OP_INT3] = "int3",
        [OP_INTN] = "int",          [OP_INTO] = "into",         [OP_INT1] = "int1",
        [OP_MOV_FROM_CR] = "mov-from-cr", [OP_MOV_TO_CR] = "mov-to-cr",
        [OP_MOV_FROM_DR] = "mov-from-dr", [OP_MOV_TO_DR] = "mov-to-dr",
        [OP_CLTS] = "clts",         [OP_LMSW] = "lmsw",         [OP_SMSW] = "smsw",
        [OP_LGDT] = "lgdt",         [OP_LIDT] = "lidt",         [OP_SGDT] = "sgdt",
        [OP_SIDT] = "sidt",         [OP_LLDT] = "lldt",         [OP_SLDT] = "sldt",
        [OP_LTR] = "ltr",           [OP_STR] = "str",           [OP_INVLPG] = "invlpg",
        [OP_INVD] = "invd",         [OP_WBINVD] = "wbinvd",     [OP_RDMSR] = "rdmsr",
        [OP_WRMSR] = "wrmsr",       [OP_RDTSC] = "rdtsc",       [OP_RDTSCP] = "rdtscp",
        [OP_RDPMC] = "rdpmc",       [OP_CPUID] = "cpuid",       [OP_LAR] = "lar",
        [OP_LSL] = "lsl",           [OP_VERR] = "verr",         [OP_VERW] = "verw",
        [OP_ARPL] = "arpl",         [OP_MOV_FROM_SREG] = "mov-from-sreg",
        [OP_MOV_TO_SREG] = "mov-to-sreg", [OP_PUSH_SREG] = "push-sreg",
        [OP_POP_SREG] = "pop-sreg", [OP_LDS] = "lds",           [OP_LES] = "les",
        [OP_LSS] = "lss",           [OP_LFS] = "lfs",           [OP_LGS] = "lgs",
        [OP_CALL_FAR] = "call-far", [OP_JMP_FAR] = "jmp-far",   [OP_CALL_FAR_MEM] = "call-far-mem",
        [OP_JMP_FAR_MEM] = "jmp-far-mem", [OP_RET_FAR] = "ret-far",
        [OP_SYSENTER] = "sysenter", [OP_SYSEXIT] = "sysexit",   [OP_VMCALL] = "vmcall",
        [OP_VMMCALL] = "vmmcall",   [OP_SVM_VMX] = "svm-vmx",   [OP_XSETBV] = "xsetbv",
        [OP_MONITOR] = "monitor",   [OP_MWAIT] = "mwait",
    };
    /* clang-format on */
    return op < OP_COUNT && names[op] ? names[op] : "?";
}
