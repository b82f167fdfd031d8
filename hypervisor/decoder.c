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
    unsigned at;
    unsigned end; /* what is given, or the limit of 15 bytes */
};

/* Are k more bytes there? */
static inline enum decode_result need(const struct cursor *c, unsigned k)
{
    if (c->at + k <= c->end)
        return DECODE_OK;
    return c->at + k > INSN_MAX ? DECODE_LONG : DECODE_MORE;
}

static inline uint32_t take(struct cursor *c, unsigned size)
{
    const uint8_t *b = c->bytes + c->at;
    c->at += size;
    switch (size) {
    case 1:
        return b[0];
    case 2:
        return b[0] | (uint32_t)b[1] << 8;
    case 4:
        return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    default:
        return 0;
    }
}

static inline int32_t take_signed(struct cursor *c, unsigned size)
{
    const uint32_t v = take(c, size);
    return size == 1 ? (int8_t)v : size == 2 ? (int16_t)v : (int32_t)v;
}

/* Prefixes come in any order and number; of a group the last one counts. size: that of CS.D. */
static void add_prefix(struct insn *insn, const struct cursor *c, uint8_t bit, uint8_t size)
{
    const uint8_t byte = c->bytes[c->at - 1];
    if (bit & (PFX_REP | PFX_REPNE))
        insn->prefixes &= (uint8_t) ~(PFX_REP | PFX_REPNE);
    insn->prefixes |= bit;
    if (bit == PFX_SEG) {
        /* 26 2E 36 3E 64 65, in the order of enum sreg */
        insn->seg_override = byte < 0x64 ? byte >> 3 & 3 : byte & 7;
        insn->seg_off = (uint8_t)(c->at - 1);
    } else if (bit == PFX_OPSIZE) {
        insn->opsize = 6 - size; /* the other one of 2 and 4 */
    } else if (bit == PFX_ADSIZE) {
        insn->adsize = 6 - size;
    }
}

/* Prefixes, escape bytes and the opcode. */
static inline enum decode_result opcode_bytes(struct insn *insn, struct cursor *c, uint8_t size,
                                              const struct opcode **row)
{
    enum decode_result r;
    uint8_t byte;
    for (;;) {
        if ((r = need(c, 1)) != DECODE_OK)
            return r;
        byte = (uint8_t)take(c, 1);
        *row = &one_byte[byte];
        if (!((*row)->shape & F_PREFIX))
            break;
        add_prefix(insn, c, (*row)->op, size);
    }
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
        *row = &maps[insn->map][byte];
    }
    insn->opcode = byte;
    insn->opcode_off = (uint8_t)(c->at - 1);
    return DECODE_OK;
}

/* Displacement bytes behind a ModRM byte (tables 2-1 and 2-2), after the SIB byte was taken. */
static inline uint8_t displacement_size(const struct insn *insn)
{
    const unsigned mod = MODRM_MOD(insn->modrm), rm = MODRM_RM(insn->modrm);
    if (mod == 1)
        return 1;
    if (mod == 2)
        return insn->adsize;
    if (insn->adsize == 2)
        return rm == 6 ? 2 : 0;
    return rm == 5 || (insn->has_sib && (insn->sib & 7) == 5) ? 4 : 0;
}

/* What follows a ModRM byte that names memory. */
static inline enum decode_result address_bytes(struct insn *insn, struct cursor *c)
{
    enum decode_result r;
    if (insn->adsize == 4 && MODRM_RM(insn->modrm) == 4) {
        if ((r = need(c, 1)) != DECODE_OK)
            return r;
        insn->has_sib = true;
        insn->sib = (uint8_t)take(c, 1);
    }
    insn->disp_size = displacement_size(insn);
    if (insn->disp_size) {
        if ((r = need(c, insn->disp_size)) != DECODE_OK)
            return r;
        insn->disp = take_signed(c, insn->disp_size);
    }
    return DECODE_OK;
}

/* The row that ModRM selects from a group. */
static const struct opcode *group_row(const struct insn *insn, uint8_t group)
{
    const bool registers = MODRM_MOD(insn->modrm) == 3;
    if (group == GROUP_0F01 && registers)
        return &registers_0f01[insn->modrm & 0x3F];
    return &groups[group][registers][MODRM_REG(insn->modrm)];
}

/* Each field in turn: an end of the bytes between two of them is answered as such. */
static enum decode_result immediates(struct insn *insn, struct cursor *c, uint16_t shape)
{
    enum decode_result r;
    uint8_t first, second = 0;
    if (shape & F_MOFFS) {
        insn->disp_size = insn->adsize;
        if ((r = need(c, insn->disp_size)) != DECODE_OK)
            return r;
        insn->disp = (int32_t)take(c, insn->disp_size);
        return DECODE_OK;
    }
    if (shape & F_I16) {
        first = 2;
        second = shape & F_I8 ? 1 : 0; /* ENTER */
    } else if (shape & F_I8) {
        first = 1;
    } else {
        first = insn->opsize;
        second = shape & F_FAR ? 2 : 0;
    }
    if ((r = need(c, first)) != DECODE_OK)
        return r;
    insn->imm_size = first;
    insn->imm = shape & F_REL ? (uint32_t)take_signed(c, first) : take(c, first);
    if (second) {
        if ((r = need(c, second)) != DECODE_OK)
            return r;
        insn->imm2 = (uint16_t)take(c, second);
    }
    return DECODE_OK;
}

/* Forms (opcodes.h) of the instruction: with memory and with registers. */
static unsigned forms(const struct insn *insn)
{
    if (insn->prefixes & PFX_REPNE)
        return PF2;
    if (insn->prefixes & PFX_REP)
        return PF3;
    return insn->prefixes & PFX_OPSIZE ? P66 : NP;
}

/* Does the ModRM byte make an undefined encoding of a defined opcode? */
static inline bool undefined(const struct insn *insn, const struct opcode *row, uint16_t shape)
{
    const unsigned reg = MODRM_REG(insn->modrm), rm = MODRM_RM(insn->modrm), x87 = insn->opcode & 7;
    const bool registers = MODRM_MOD(insn->modrm) == 3;
    if (shape & F_X87)
        return !(registers ? x87_registers[x87][reg] >> rm & 1 : x87_memory[x87] >> reg & 1);
    return !(shape & F_SYSREG) && (row->undefined & forms(insn) & (registers ? FORM_R : FORM_M));
}

/* What is only wrong when all the bytes are there. */
static inline bool undefined_at_last(const struct insn *insn, const struct opcode *row,
                                     uint16_t shape, bool memory)
{
    if ((insn->prefixes & PFX_LOCK) && !((shape & F_LOCK) && memory))
        return true;
    return (shape & F_SYSREG) && (row->undefined >> MODRM_REG(insn->modrm) & 1);
}

static enum decode_result reject(struct insn *insn, const struct cursor *c)
{
    insn->len = (uint8_t)c->at;
    return DECODE_INVALID;
}

/* An undefined opcode or form is known as such at its last byte; what follows is not asked for. */
enum decode_result decode(struct insn *insn, const uint8_t *bytes, size_t n, int bits)
{
    const uint8_t size = bits == 32 ? 4 : 2;
    struct cursor c = {bytes, 0, n < INSN_MAX ? (unsigned)n : INSN_MAX};
    const struct opcode *row;
    enum decode_result r;
    *insn = (struct insn){.opsize = size, .adsize = size};
    if ((r = opcode_bytes(insn, &c, size, &row)) != DECODE_OK)
        return r;
    uint16_t shape = row->shape;
    bool memory = false;
    if (shape & F_M) {
        if ((r = need(&c, 1)) != DECODE_OK)
            return r;
        insn->has_modrm = true;
        insn->modrm = (uint8_t)take(&c, 1);
        memory = MODRM_MOD(insn->modrm) != 3 && !(shape & F_REG);
        if (shape & F_GROUP) {
            row = group_row(insn, row->op);
            shape = row->shape | (shape & F_IMMEDIATE);
        }
        if (undefined(insn, row, shape))
            return reject(insn, &c);
        if (memory && (r = address_bytes(insn, &c)) != DECODE_OK)
            return r;
    } else if (row->undefined & forms(insn)) {
        return reject(insn, &c);
    }
    if ((shape & F_IMMEDIATE) && (r = immediates(insn, &c, shape)) != DECODE_OK)
        return r;
    if (undefined_at_last(insn, row, shape, memory))
        return reject(insn, &c);
    insn->op = row->op;
    insn->class = row->class;
    insn->flow = row->flow;
    insn->len = (uint8_t)c.at;
    return DECODE_OK;
}

bool insn_reads_through_cs(const struct insn *insn)
{
    if (!(insn->prefixes & PFX_SEG) || insn->seg_override != 1)
        return false;
    const uint16_t shape = maps[insn->map][insn->opcode].shape;
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
