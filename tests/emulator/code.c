/*
 * Random instructions: every one that the emulator knows, in all its forms, and some that it does
 * not; with an operand in memory, on the stack or in registers that makes them do something.
 */
#include <string.h>

#include "descriptors.h"

/* What the operand of an instruction is. */
enum operand {
    ANY,
    SELECTOR, /* 16 bits, in r/m or on the stack */
    POINTER,  /* an offset and a selector of data */
    TARGET,   /* an offset and a selector of code, a gate, ... */
    TABLE,    /* limit and base */
    FLAGS,    /* on the stack */
    FRAME,    /* of IRET, on the stack */
    RETURN,   /* of RET far, on the stack */
    CR,
    DR,
    MSR,
    PORT,
    STRING,
    WORD, /* a machine status word */
};

/* Shape of what follows the opcode. */
#define M 0x01   /* ModRM; the register field is random, or fixed with FIX */
#define FIX 0x02 /* ModRM.reg is reg */
#define MEM 0x04 /* memory only */
#define REG 0x08 /* registers only */
#define I8 0x10  /* immediates */
#define I16 0x20
#define IZ 0x40
#define FAR 0x80
#define MOFFS 0x100

struct form {
    uint8_t weight;
    uint8_t two_byte; /* 0F comes first */
    uint8_t opcode;
    uint16_t shape;
    uint8_t reg;
    enum operand operand;
    enum insn_op op;
};

/* clang-format off */
static const struct form forms[] = {
    {6, 0, 0xFA, 0, 0, ANY, OP_CLI}, {6, 0, 0xFB, 0, 0, ANY, OP_STI}, {3, 0, 0xF4, 0, 0, ANY, OP_HLT},
    {8, 0, 0x9C, 0, 0, ANY, OP_PUSHF}, {8, 0, 0x9D, 0, 0, FLAGS, OP_POPF},
    {30, 0, 0xCF, 0, 0, FRAME, OP_IRET},
    {3, 0, 0xE4, I8, 0, PORT, OP_IN}, {3, 0, 0xE5, I8, 0, PORT, OP_IN},
    {3, 0, 0xEC, 0, 0, PORT, OP_IN}, {3, 0, 0xED, 0, 0, PORT, OP_IN},
    {3, 0, 0xE6, I8, 0, PORT, OP_OUT}, {3, 0, 0xE7, I8, 0, PORT, OP_OUT},
    {3, 0, 0xEE, 0, 0, PORT, OP_OUT}, {3, 0, 0xEF, 0, 0, PORT, OP_OUT},
    {6, 0, 0x6C, 0, 0, STRING, OP_INS}, {6, 0, 0x6D, 0, 0, STRING, OP_INS},
    {6, 0, 0x6E, 0, 0, STRING, OP_OUTS}, {6, 0, 0x6F, 0, 0, STRING, OP_OUTS},
    {6, 0, 0xCC, 0, 0, ANY, OP_INT3}, {12, 0, 0xCD, I8, 0, ANY, OP_INTN},
    {6, 0, 0xCE, 0, 0, ANY, OP_INTO}, {6, 0, 0xF1, 0, 0, ANY, OP_INT1},
    {6, 1, 0x20, M | REG, 0, CR, OP_MOV_FROM_CR}, {10, 1, 0x22, M | REG, 0, CR, OP_MOV_TO_CR},
    {6, 1, 0x21, M | REG, 0, DR, OP_MOV_FROM_DR}, {6, 1, 0x23, M | REG, 0, DR, OP_MOV_TO_DR},
    {4, 1, 0x06, 0, 0, ANY, OP_CLTS}, {6, 1, 0x01, M | FIX, 6, WORD, OP_LMSW},
    {6, 1, 0x01, M | FIX, 4, ANY, OP_SMSW},
    {6, 1, 0x01, M | FIX | MEM, 2, TABLE, OP_LGDT}, {6, 1, 0x01, M | FIX | MEM, 3, TABLE, OP_LIDT},
    {6, 1, 0x01, M | FIX | MEM, 0, ANY, OP_SGDT}, {6, 1, 0x01, M | FIX | MEM, 1, ANY, OP_SIDT},
    {8, 1, 0x00, M | FIX, 2, SELECTOR, OP_LLDT}, {5, 1, 0x00, M | FIX, 0, ANY, OP_SLDT},
    {8, 1, 0x00, M | FIX, 3, SELECTOR, OP_LTR}, {5, 1, 0x00, M | FIX, 1, ANY, OP_STR},
    {5, 1, 0x01, M | FIX | MEM, 7, ANY, OP_INVLPG},
    {3, 1, 0x08, 0, 0, ANY, OP_INVD}, {3, 1, 0x09, 0, 0, ANY, OP_WBINVD},
    {5, 1, 0x32, 0, 0, MSR, OP_RDMSR}, {5, 1, 0x30, 0, 0, MSR, OP_WRMSR},
    {4, 1, 0x31, 0, 0, ANY, OP_RDTSC}, {3, 1, 0x33, 0, 0, ANY, OP_RDPMC},
    {4, 1, 0xA2, 0, 0, ANY, OP_CPUID},
    {12, 1, 0x02, M, 0, SELECTOR, OP_LAR}, {12, 1, 0x03, M, 0, SELECTOR, OP_LSL},
    {9, 1, 0x00, M | FIX, 4, SELECTOR, OP_VERR}, {9, 1, 0x00, M | FIX, 5, SELECTOR, OP_VERW},
    {9, 0, 0x63, M, 0, SELECTOR, OP_ARPL},
    {8, 0, 0x8C, M, 0, ANY, OP_MOV_FROM_SREG}, {24, 0, 0x8E, M, 0, SELECTOR, OP_MOV_TO_SREG},
    {2, 0, 0x06, 0, 0, ANY, OP_PUSH_SREG}, {2, 0, 0x0E, 0, 0, ANY, OP_PUSH_SREG},
    {2, 0, 0x16, 0, 0, ANY, OP_PUSH_SREG}, {2, 0, 0x1E, 0, 0, ANY, OP_PUSH_SREG},
    {2, 1, 0xA0, 0, 0, ANY, OP_PUSH_SREG}, {2, 1, 0xA8, 0, 0, ANY, OP_PUSH_SREG},
    {4, 0, 0x07, 0, 0, SELECTOR, OP_POP_SREG}, {4, 0, 0x17, 0, 0, SELECTOR, OP_POP_SREG},
    {4, 0, 0x1F, 0, 0, SELECTOR, OP_POP_SREG}, {4, 1, 0xA1, 0, 0, SELECTOR, OP_POP_SREG},
    {4, 1, 0xA9, 0, 0, SELECTOR, OP_POP_SREG},
    {6, 0, 0xC5, M | MEM, 0, POINTER, OP_LDS}, {6, 0, 0xC4, M | MEM, 0, POINTER, OP_LES},
    {8, 1, 0xB2, M | MEM, 0, POINTER, OP_LSS}, {6, 1, 0xB4, M | MEM, 0, POINTER, OP_LFS},
    {6, 1, 0xB5, M | MEM, 0, POINTER, OP_LGS},
    {16, 0, 0x9A, FAR, 0, TARGET, OP_CALL_FAR}, {16, 0, 0xFF, M | FIX | MEM, 3, TARGET, OP_CALL_FAR_MEM},
    {12, 0, 0xEA, FAR, 0, TARGET, OP_JMP_FAR}, {12, 0, 0xFF, M | FIX | MEM, 5, TARGET, OP_JMP_FAR_MEM},
    {14, 0, 0xCB, 0, 0, RETURN, OP_RET_FAR}, {14, 0, 0xCA, I16, 0, RETURN, OP_RET_FAR},
    {5, 1, 0x34, 0, 0, ANY, OP_SYSENTER}, {5, 1, 0x35, 0, 0, ANY, OP_SYSEXIT},
    /* Moves, which the emulator does on device memory only. */
    {2, 0, 0x88, M, 0, ANY, OP_OTHER}, {2, 0, 0x89, M, 0, ANY, OP_OTHER},
    {2, 0, 0x8A, M, 0, ANY, OP_OTHER}, {2, 0, 0x8B, M, 0, ANY, OP_OTHER},
    {1, 0, 0xC6, M | FIX | I8, 0, ANY, OP_OTHER}, {1, 0, 0xC7, M | FIX | IZ, 0, ANY, OP_OTHER},
    {1, 0, 0xA0, MOFFS, 0, ANY, OP_OTHER}, {1, 0, 0xA1, MOFFS, 0, ANY, OP_OTHER},
    {1, 0, 0xA2, MOFFS, 0, ANY, OP_OTHER}, {1, 0, 0xA3, MOFFS, 0, ANY, OP_OTHER},
    {3, 1, 0xB6, M, 0, ANY, OP_OTHER}, {3, 1, 0xB7, M, 0, ANY, OP_OTHER},
    {3, 1, 0xBE, M, 0, ANY, OP_OTHER}, {3, 1, 0xBF, M, 0, ANY, OP_OTHER},
    /* Not the emulator's: arithmetic on memory. */
    {1, 0, 0x01, M, 0, ANY, OP_OTHER}, {1, 0, 0x87, M, 0, ANY, OP_OTHER},
};
/* clang-format on */

/* --- writing code --- */

struct writer {
    struct test_case *test;
    unsigned start;   /* of the instruction */
    struct vcpu vcpu; /* the state of the case, to find operands with */
};

static void put(struct writer *w, uint32_t value, unsigned n)
{
    for (unsigned i = 0; i < n && w->test->code_size < CODE_MAX; i++)
        w->test->code[w->test->code_size++] = (uint8_t)(value >> (8 * i));
}

static unsigned cpl_of(const struct writer *w)
{
    return w->test->real ? 0 : vcpu_cpl(&w->test->start);
}

/* Returns how the prefixes are: the address and operand size. */
static void put_prefixes(struct writer *w, const struct form *form, unsigned *opsize,
                         unsigned *adsize)
{
    static const uint8_t segments[] = {0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65};
    const unsigned size = w->test->start.seg[SREG_CS].attr & SEG_DB ? 4 : 2;

    *opsize = *adsize = size;
    if (one_in(6)) {
        put(w, 0x66, 1);
        *opsize = 6 - size;
    }
    if (one_in(8)) {
        put(w, 0x67, 1);
        *adsize = 6 - size;
    }
    if (one_in(6))
        put(w, PICK(segments), 1);
    if (form->operand == STRING && !one_in(3))
        put(w, one_in(5) ? 0xF2 : 0xF3, 1);
    else if (one_in(60))
        put(w, one_in(2) ? 0xF2 : 0xF3, 1);
    if (one_in(100) && is_bochs && form->operand != CR) /* QEMU overlooks it; for AMD, CR8 */
        put(w, 0xF0, 1);
}

/* A memory operand; displacements are small or the whole address. */
static void put_memory(struct writer *w, unsigned reg, unsigned adsize, bool hole)
{
    unsigned mod = below(3), rm = below(8), disp = mod == 1 ? 1 : mod == 2 ? adsize : 0;

    if (hole || one_in(4)) {
        mod = 0;
        rm = adsize == 4 ? 5 : 6;
    }
    put(w, mod << 6 | reg << 3 | rm, 1);
    if (adsize == 4 && rm == 4) {
        const unsigned base = below(8);

        put(w, (one_in(3) ? below(4) << 6 | below(8) << 3 : 4u << 3) | base, 1);
        if (mod == 0 && base == 5)
            disp = 4;
    }
    if (mod == 0 && rm == (adsize == 4 ? 5u : 6u))
        disp = adsize;
    if (hole)
        put(w, random_hole(&w->test->start), disp);
    else if (disp == 1 || mod == 2)
        put(w, one_in(2) ? below(8) : (uint32_t) - (int32_t)below(8), disp);
    else
        put(w, random_value(&w->test->start, SREG_DS), disp);
}

static uint32_t random_cr(unsigned number)
{
    static const uint32_t cr4[] = {CR4_TSD,        CR4_DE, CR4_PGE,  CR4_OSFXSR,
                                   CR4_OSXMMEXCPT, 0,      1u << 30, 1u << 31};
    uint32_t value = CR0_PE | CR0_PG | CR0_ET | CR0_NE;

    switch (number) {
    case 0:
        value ^= one_in(3) ? CR0_WP : 0;
        value ^= one_in(3) ? CR0_TS : 0;
        value ^= one_in(6) ? CR0_NE : 0;
        value ^= one_in(6) ? CR0_MP | CR0_EM : 0;
        value ^= one_in(6) ? CR0_CD : 0;
        value ^= one_in(10) ? CR0_NW : 0;
        value ^= one_in(10) ? CR0_PG : 0;
        value ^= one_in(10) ? CR0_PE : 0;
        value ^= one_in(10) ? CR0_ET : 0;
        return value;
    case 3:
        return (one_in(2) ? PAGE_DIR_A : PAGE_DIR_B) | (one_in(3) ? PTE_PWT | PTE_PCD : 0);
    case 4:
        return (one_in(12) ? 0 : CR4_PSE) | PICK(cr4) | (one_in(2) ? PICK(cr4) : 0);
    default:
        return rnd();
    }
}

/* The register that a MOV to CR or DR reads gets a value for it. */
static void put_control(struct writer *w, const struct form *form)
{
    static const uint8_t numbers[] = {0, 0, 0, 2, 3, 3, 4, 4, 4, 1, 5};
    const unsigned reg = form->operand == CR ? PICK(numbers) : below(8), rm = below(8);
    struct vcpu *start = &w->test->start;

    put(w, (one_in(8) ? below(4) << 6 : 0xC0) | reg << 3 | rm, 1);
    if (form->op == OP_MOV_TO_CR)
        start->gpr[rm] = random_cr(reg);
    else if (form->op == OP_MOV_TO_DR && (reg == 7 || reg == 5))   /* no breakpoint is armed */
        start->gpr[rm] = rnd() & (one_in(12) ? ~0xFFu : ~0x20FFu); /* nor is GD set, mostly */
}

static void put_modrm(struct writer *w, const struct form *form, unsigned adsize)
{
    unsigned reg = form->shape & FIX ? form->reg : below(8);

    if ((form->op == OP_MOV_TO_SREG || form->op == OP_MOV_FROM_SREG) && reg > 5 && !one_in(8))
        reg = below(6);
    if (form->shape & REG)
        put_control(w, form);
    else if (!(form->shape & MEM) && one_in(3)) {
        const unsigned rm = below(8);

        put(w, 0xC0 | reg << 3 | rm, 1);
        if (form->operand == SELECTOR && rm != GPR_ESP)
            w->test->start.gpr[rm] = operand_selector(form->op, cpl_of(w)) | (rnd() & 0xFFFF0000);
        if (form->operand == WORD && rm != GPR_ESP)
            w->test->start.gpr[rm] = (w->test->start.gpr[rm] & ~15u) | below(16);
    } else
        put_memory(w, reg, adsize, form->op == OP_OTHER && !one_in(3));
}

/* --- operands --- */

/* Half of the code segments are code of the level. */
static uint16_t target_selector(const struct writer *w)
{
    if (w->test->real)
        return LOW >> 4;
    switch (below(8)) {
    case 0:
        return gate_selector(cpl_of(w));
    case 1:
    case 2:
        return random_selector(cpl_of(w));
    default:
        return code_selector(cpl_of(w));
    }
}

static uint32_t target_offset(const struct writer *w, bool wide)
{
    if (one_in(20))
        return random_value(&w->test->start, SREG_CS);
    return w->test->real ? 3 * below(PAGE_SIZE) : random_pad(wide);
}

static unsigned make_pointer(const struct writer *w, uint8_t *p, unsigned size, bool code,
                             enum insn_op op)
{
    const uint32_t offset = code ? target_offset(w, size == 4) : random_value(&w->vcpu, SREG_DS);
    const uint16_t selector = code            ? target_selector(w)
                              : w->test->real ? (LOW >> 4) + below(0x100)
                                              : operand_selector(op, cpl_of(w));

    memcpy(p, &offset, size);
    memcpy(p + size, &selector, 2);
    return size + 2;
}

static unsigned make_table(const struct writer *w, uint8_t *p, enum insn_op op)
{
    const struct vcpu *v = &w->test->start;
    const struct table_reg *t = op == OP_LGDT ? &v->gdtr : &v->idtr;
    const uint16_t limit = one_in(3) ? below(0x800) : t->limit;
    const uint32_t base = one_in(3) ? rnd() : one_in(2) ? t->base + 8 * below(4) : t->base;

    memcpy(p, &limit, 2);
    memcpy(p + 2, &base, 4);
    return 6;
}

static uint32_t random_eflags(void)
{
    uint32_t flags = rnd();

    if (!one_in(10))
        flags &= ~(FL_TF | FL_NT);
    return flags & ~(one_in(10) ? 0 : FL_VM | FL_VIF | FL_VIP | 0xFFC00000);
}

/* EIP, CS, EFLAGS, ESP, SS; or without EFLAGS and with what RET n releases between. */
static unsigned make_frame(const struct writer *w, uint8_t *p, unsigned width, bool flags,
                           unsigned release)
{
    uint32_t words[5], n = 0;
    const bool outer = !w->test->real && one_in(3), beyond = outer && one_in(2);
    const uint16_t cs = outer ? limited_code_selector(cpl_of(w)) : target_selector(w);
    const unsigned level = cs & 3;

    words[n++] = beyond                ? 0xFFFF + below(3)
                 : outer && !one_in(4) ? random_pad(false)
                                       : target_offset(w, width == 4);
    words[n++] = cs | (rnd() & 0xFFFF0000);
    if (flags)
        words[n++] = random_eflags();
    words[n++] =
        HOT_PAGE(PAGE_STACK + level) + (one_in(3) ? PAGE_SIZE - below(16) : below(PAGE_SIZE));
    words[n] = one_in(beyond ? 2 : 6) ? random_selector(level) : (5 + level) << 3 | level;
    if (outer && one_in(3)) { /* with 16 bits, the upper half of ESP is not for it */
        words[n] = stack_selector(level);
        words[n - 1] ^= rnd() & 0xFFFF0000;
    }
    n++;
    for (unsigned i = 0, at = 0; i < n; i++, at += width) {
        if (i == n - 2 && !flags)
            at += release;
        if (at < 40)
            memcpy(p + at, &words[i], width);
    }
    return 44;
}

/* Put bytes where the instruction finds its operand; a state where it cannot be found keeps what is
 * there. */
static void put_operand(struct writer *w, const struct form *form, unsigned opsize)
{
    struct vcpu *v = &w->test->start;
    const uint32_t mask = v->seg[SREG_SS].attr & SEG_DB ? 0xFFFFFFFF : 0xFFFF;
    uint8_t bytes[48];
    struct insn insn;
    enum sreg seg;
    unsigned n = 0;
    uint16_t selector;
    gva_t gva = v->seg[SREG_SS].base + (v->gpr[GPR_ESP] & mask);

    for (unsigned i = 0; i < sizeof(bytes); i += 4)
        memcpy(bytes + i, &(uint32_t){rnd()}, 4);
    if (decode(&insn, w->test->code + w->start, w->test->code_size - w->start,
               v->seg[SREG_CS].attr & SEG_DB ? 32 : 16) != DECODE_OK)
        return;
    if (insn.has_modrm && MODRM_MOD(insn.modrm) != 3)
        gva = insn_operand_gva(v, &insn, &seg);
    switch (form->operand) {
    case SELECTOR:
        n = 4;
        selector =
            w->test->real ? (LOW >> 4) + below(0x100) : operand_selector(form->op, cpl_of(w));
        memcpy(bytes, &selector, 2);
        break;
    case POINTER:
    case TARGET:
        n = make_pointer(w, bytes, opsize, form->operand == TARGET, form->op);
        break;
    case TABLE:
        n = make_table(w, bytes, form->op);
        break;
    case FLAGS:
        n = 4;
        memcpy(bytes, &(uint32_t){random_eflags()}, 4);
        break;
    case FRAME:
        n = make_frame(w, bytes, opsize, true, 0);
        break;
    case RETURN:
        n = make_frame(w, bytes, opsize, false, insn.imm_size ? insn.imm & 0xFFFF : 0);
        break;
    case WORD:
        n = 2;
        bytes[0] &= 15;
        break;
    default:
        return;
    }
    if (insn.has_modrm && MODRM_MOD(insn.modrm) == 3)
        return;
    poke_linear(v, gva, bytes, n);
}

/* Registers with a meaning of their own. */
static void make_registers(struct writer *w, const struct form *form, unsigned adsize)
{
    static const uint32_t msrs[] = {MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP};
    static const uint16_t ports[] = {PORT_SCRATCH, PORT_SCRATCH, PORT_PAGES, PORT_PAGES + 1};
    static const uint32_t leaves[] = {0, 1, 0x80000000, 0x80000001, 2, 0x40000000};
    struct vcpu *v = &w->test->start;

    if (form->operand == MSR)
        v->gpr[GPR_ECX] = PICK(msrs), v->gpr[GPR_EDX] = 0; /* else not canonical */
    if (form->operand == PORT || form->operand == STRING)
        v->gpr[GPR_EDX] = (form->opcode & 1 ? 0x84 : PICK(ports)) | (rnd() & 0xFFFF0000);
    if (form->operand == STRING)
        v->gpr[GPR_ECX] = (adsize == 2 ? rnd() & 0xFFFF0000 : 0) | below(one_in(12) ? 300 : 6);
    if (form->op == OP_RDPMC)
        v->gpr[GPR_ECX] = 0x00123456;
    if (form->op == OP_CPUID)
        v->gpr[GPR_EAX] = PICK(leaves);
    if (form->op == OP_SYSEXIT) {
        v->gpr[GPR_EDX] = random_pad(true);
    }
}

static const struct form *random_form(void)
{
    unsigned total = 0, at;

    for (unsigned i = 0; i < ARRAY_LEN(forms); i++)
        total += forms[i].weight;
    at = below(total);
    for (unsigned i = 0;; i++) {
        if (at < forms[i].weight)
            return &forms[i];
        at -= forms[i].weight;
    }
}

/* The vector of an INT; the limit of its table is near it. */
static void put_int_at_limit(struct writer *w)
{
    const unsigned vector = below(VECTORS), size = w->test->real ? 4 : 8;

    put(w, vector, 1);
    w->test->start.idtr.limit = vector * size + below(size + 1);
}

/* The same in real mode; the frame goes over the vector. */
static void put_int_over_vector(struct writer *w)
{
    struct vcpu *v = &w->test->start;
    const unsigned vector = below(VECTORS);

    put(w, vector, 1);
    v->gpr[GPR_ESP] =
        v->idtr.base + vector * 4 - v->seg[SREG_SS].base + (one_in(2) ? 6 : 1 + below(9));
}

static void put_instruction(struct writer *w)
{
    static const uint8_t ports[] = {0x84, 0x85};
    const struct form *form = random_form();
    struct test_case *test = w->test;
    unsigned opsize, adsize;

    w->start = test->code_size;
    test->starts |= 1ull << w->start;
    put_prefixes(w, form, &opsize, &adsize);
    if (form->two_byte)
        put(w, 0x0F, 1);
    put(w, form->opcode, 1);
    if (form->shape & M)
        put_modrm(w, form, adsize);
    if (form->shape & MOFFS)
        put(w, random_hole(&test->start), adsize);
    if (form->shape & FAR) {
        uint8_t p[6] = {0};
        const unsigned n = make_pointer(w, p, opsize, true, form->op);
        for (unsigned i = 0; i < n; i++)
            put(w, p[i], 1);
    }
    if (form->op == OP_INTN && one_in(4))
        put_int_at_limit(w);
    else if (form->op == OP_INTN && w->test->real && one_in(3))
        put_int_over_vector(w);
    else if (form->shape & I8)
        put(w, form->operand == PORT ? PICK(ports) : below(VECTORS), 1);
    if (form->shape & I16)
        put(w, one_in(5) ? rnd() & (is_bochs ? 0xFFFF : 0x7FFF) : below(4) * (one_in(2) ? 4 : 2),
            2);
    if (form->shape & IZ)
        put(w, rnd(), opsize);
    make_registers(w, form, adsize);
    put_operand(w, form, opsize);
    test->ops[test->count++] = form->op;
}

void code_make(struct test_case *test)
{
    static const uint8_t end[] = {0x0F, 0x01, 0xD9};
    struct writer w = {.test = test, .vcpu = test->start};
    const unsigned count = one_in(2) ? 1 : 1 + below(3);

    test->code_size = test->count = 0;
    test->starts = 0;
    while (test->count < count)
        put_instruction(&w);
    memcpy(test->code + test->code_size, end, sizeof(end));
    test->code_size += sizeof(end);
    poke_linear(&test->start, test->start.seg[SREG_CS].base + test->start.eip, test->code,
                test->code_size);
}
