/* The patcher on a crafted kernel: checks, patched bytes, and that undo restores every byte. */
#include <criterion/criterion.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "decoder.h"
#include "patcher.h"

#define GVA 0xC0100000u /* page 0 sites, 1 hypercall page, 2 shared page, 3 tables */
#define GPA 0x00100000u
#define PAGES 4
#define HYPERCALL (GVA + 0x1000)
#define SHARED (GVA + 0x2000)
#define TABLE (GVA + 0x3000)

struct kernel {
    struct vm vm;
    struct {
        Elf32_Ehdr eh;
        Elf32_Phdr ph[2];
        struct {
            Elf32_Nhdr nh;
            char name[12];
            struct pv_note note;
        } note;
        uint8_t pad[PAGE_SIZE];
        uint8_t pages[PAGES][PAGE_SIZE];
    } image;
    struct patcher patcher;
    char why[200];
};

/* What a site becomes. */
enum form { PLAIN, INLINE, CALL };

/* By pv_abi.h and the switches of patcher.h; the patcher has no table like this one. */
static enum form form_of(uint8_t op, uint32_t features)
{
    switch (op) {
    case PV_OP_IRET:
        return INLINE;
    case PV_OP_CLI:
        return features & PV_FEATURE_STI ? INLINE : CALL;
    case PV_OP_READ_CR0:
    case PV_OP_READ_CR2:
        return features & PV_FEATURE_CR ? INLINE : CALL;
    case PV_OP_IN8:
    case PV_OP_IN16:
    case PV_OP_IN32:
    case PV_OP_OUT8:
    case PV_OP_OUT16:
    case PV_OP_OUT32:
        return features & PV_FEATURE_IO ? CALL : PLAIN;
    case PV_OP_SET_PTE:
    case PV_OP_SWITCH_CR3:
    case PV_OP_DROP_SPACE:
        return features & PV_FEATURE_MMU ? CALL : PLAIN;
    case PV_OP_INSW:
    case PV_OP_OUTSW:
    case PV_OP_LGDT:
    case PV_OP_LIDT:
    case PV_OP_LTR:
    case PV_OP_LLDT:
        return PLAIN;
    default:
        return CALL;
    }
}

static bool can_wait(uint8_t op)
{
    return op == PV_OP_INVLPG || op == PV_OP_WRITE_CR3 || op == PV_OP_SET_PTE ||
           op == PV_OP_SWITCH_CR3 || op == PV_OP_DROP_SPACE;
}

/* Sites that pv_abi.h allows no change of ECX. */
static bool keeps_ecx(uint8_t op)
{
    return op == PV_OP_CLI || op == PV_OP_STI || op == PV_OP_PUSHF || op == PV_OP_POPF ||
           op == PV_OP_READ_CR2;
}

static uint32_t offset_in_image(const struct kernel *k, const void *p)
{
    return (uint32_t)((const uint8_t *)p - (const uint8_t *)&k->image);
}

/* A kernel with one site of every operation. */
static struct kernel *kernel_new(void)
{
    struct kernel *k = calloc(1, sizeof(*k));
    struct pv_site *sites = (struct pv_site *)k->image.pages[3];
    unsigned n = 0;
    for (uint8_t op = 1; op < PV_OP_COUNT; op++, n++) {
        sites[n] = (struct pv_site){GVA + 16u * n, PV_SITE_LEN, op, 0};
        pv_plain_bytes(op, &k->image.pages[0][16 * n]);
    }
    Elf32_Ehdr *eh = &k->image.eh;
    memcpy(eh->e_ident, ELFMAG, SELFMAG);
    eh->e_ident[EI_CLASS] = ELFCLASS32;
    eh->e_ident[EI_DATA] = ELFDATA2LSB;
    eh->e_ident[EI_VERSION] = EV_CURRENT;
    eh->e_type = ET_EXEC;
    eh->e_machine = EM_386;
    eh->e_version = EV_CURRENT;
    eh->e_ehsize = sizeof(*eh);
    eh->e_phoff = offset_in_image(k, k->image.ph);
    eh->e_phentsize = sizeof(Elf32_Phdr);
    eh->e_phnum = 2;
    k->image.ph[0] = (Elf32_Phdr){.p_type = PT_LOAD,
                                  .p_offset = offset_in_image(k, k->image.pages),
                                  .p_vaddr = GVA,
                                  .p_paddr = GPA,
                                  .p_filesz = sizeof(k->image.pages),
                                  .p_memsz = sizeof(k->image.pages)};
    k->image.ph[1] = (Elf32_Phdr){.p_type = PT_NOTE,
                                  .p_offset = offset_in_image(k, &k->image.note),
                                  .p_filesz = sizeof(k->image.note),
                                  .p_memsz = sizeof(k->image.note),
                                  .p_align = 4};
    k->image.note.nh = (Elf32_Nhdr){9, sizeof(struct pv_note), PV_NOTE_TYPE};
    memcpy(k->image.note.name, "Trivisor", 9);
    k->image.note.note = (struct pv_note){PV_ABI_VERSION, HYPERCALL, SHARED, TABLE,
                                          TABLE + n * (uint32_t)sizeof(struct pv_site)};
    k->vm.ram_size = 4u << 20;
    k->vm.ram = calloc(1, k->vm.ram_size);
    k->vm.image = &k->image;
    k->vm.image_size = sizeof(k->image);
    memcpy(k->vm.ram + GPA, k->image.pages, sizeof(k->image.pages));
    return k;
}

static void kernel_free(struct kernel *k)
{
    free(k->vm.ram);
    free(k);
}

static const char *open_it(struct kernel *k)
{
    return patcher_open(&k->patcher, &k->vm, k->why, sizeof(k->why));
}

/* The first byte that differs, outside of the sites, the hypercall page and the two words that the
 * VMM sets; ram_size when there is none. */
static uint32_t first_other_change(const struct kernel *k, const uint8_t *before)
{
    const uint32_t shared = GPA + (SHARED - GVA);
    const uint32_t version = shared + offsetof(struct pv_shared, version);
    const uint32_t patched = shared + offsetof(struct pv_shared, patched_sites);
    for (uint32_t at = 0; at < k->vm.ram_size; at++) {
        const bool site = at >= GPA && at < GPA + 16 * (PV_OP_COUNT - 1) && at % 16 < PV_SITE_LEN;
        const bool page = at - (GPA + (HYPERCALL - GVA)) < PAGE_SIZE;
        const bool word = at - version < 4 || at - patched < 4;
        if (before[at] != k->vm.ram[at] && !site && !page && !word)
            return at;
    }
    return k->vm.ram_size;
}

static unsigned count_patched(uint32_t features)
{
    unsigned n = 0;
    for (uint8_t op = 1; op < PV_OP_COUNT; op++)
        n += form_of(op, features) != PLAIN;
    return n;
}

/* Apply and undo with these switches: nothing but the sites changes, and they come back. */
static void apply_and_undo(struct kernel *k, const uint8_t *before, uint32_t features)
{
    const unsigned patched = count_patched(features);
    const char *why = open_it(k);
    cr_assert_null(why, "%s", why);
    cr_expect_eq(k->patcher.site_count, PV_OP_COUNT - 1);
    patcher_apply(&k->patcher, &k->vm, features);
    cr_expect_eq(k->patcher.shared->version, PV_ABI_VERSION);
    cr_expect_eq(k->patcher.shared->patched_sites, patched, "features %x", features);
    cr_expect_eq(k->patcher.patched, patched, "features %x", features);
    for (uint8_t op = 1; op < PV_OP_COUNT; op++) {
        const uint32_t at = 16u * (op - 1u);
        const bool same = !memcmp(k->vm.ram + GPA + at, k->image.pages[0] + at, PV_SITE_LEN);
        cr_expect_eq(same, form_of(op, features) == PLAIN, "%s, features %x", pv_op_name(op),
                     features);
    }
    cr_expect_eq(first_other_change(k, before), k->vm.ram_size, "features %x: byte at %x changed",
                 features, first_other_change(k, before));
    patcher_undo(&k->patcher, &k->vm);
    cr_expect_eq(memcmp(k->vm.ram + GPA, k->image.pages[0], PAGE_SIZE), 0, "features %x", features);
    cr_expect_eq(k->patcher.shared->version, 0);
    cr_expect_eq(k->patcher.shared->patched_sites, 0);
    cr_expect_eq(k->patcher.patched, 0);
}

Test(patcher, opens_applies_and_undoes)
{
    struct kernel *k = kernel_new();
    uint8_t *before = malloc(k->vm.ram_size);
    memcpy(before, k->vm.ram, k->vm.ram_size);
    apply_and_undo(k, before, PV_FEATURES_ALL);
    apply_and_undo(k, before, 0);
    for (uint32_t bit = 1; bit < PV_FEATURES_ALL; bit <<= 1) {
        apply_and_undo(k, before, PV_FEATURES_ALL & ~bit);
        apply_and_undo(k, before, bit);
    }
    free(before);
    kernel_free(k);
}

Test(patcher, plain_bytes_are_the_named_instruction)
{
    static const enum insn_op first[PV_OP_COUNT] = {
        [PV_OP_CLI] = OP_CLI,
        [PV_OP_STI] = OP_STI,
        [PV_OP_PUSHF] = OP_PUSHF,
        [PV_OP_IRET] = OP_IRET,
        [PV_OP_HLT] = OP_HLT,
        [PV_OP_STI_HLT] = OP_STI,
        [PV_OP_IN8] = OP_IN,
        [PV_OP_IN16] = OP_IN,
        [PV_OP_IN32] = OP_IN,
        [PV_OP_OUT8] = OP_OUT,
        [PV_OP_OUT16] = OP_OUT,
        [PV_OP_OUT32] = OP_OUT,
        [PV_OP_READ_CR0] = OP_MOV_FROM_CR,
        [PV_OP_WRITE_CR0] = OP_MOV_TO_CR,
        [PV_OP_READ_CR2] = OP_MOV_FROM_CR,
        [PV_OP_READ_CR3] = OP_MOV_FROM_CR,
        [PV_OP_WRITE_CR3] = OP_MOV_TO_CR,
        [PV_OP_READ_CR4] = OP_MOV_FROM_CR,
        [PV_OP_WRITE_CR4] = OP_MOV_TO_CR,
        [PV_OP_INVLPG] = OP_INVLPG,
        [PV_OP_CPUID] = OP_CPUID,
        [PV_OP_SWITCH_CR3] = OP_MOV_TO_CR,
        [PV_OP_INSW] = OP_INS,
        [PV_OP_OUTSW] = OP_OUTS,
        [PV_OP_LGDT] = OP_LGDT,
        [PV_OP_LIDT] = OP_LIDT,
        [PV_OP_LTR] = OP_LTR,
        [PV_OP_LLDT] = OP_LLDT,
    };
    for (uint8_t op = 1; op < PV_OP_COUNT; op++) {
        uint8_t bytes[INSN_MAX] = {0};
        struct insn insn;
        cr_assert(pv_plain_bytes(op, bytes));
        cr_assert_eq(decode(&insn, bytes, sizeof(bytes), 32), DECODE_OK);
        cr_expect_eq(insn.op, first[op], "%s", pv_op_name(op));
        cr_expect_str_neq(pv_op_name(op), "?");
    }
    uint8_t none[PV_SITE_LEN];
    cr_expect_not(pv_plain_bytes(0, none));
    cr_expect_not(pv_plain_bytes(PV_OP_COUNT, none));
    cr_expect_str_eq(pv_op_name(0), "?");
    cr_expect_str_eq(pv_op_name(PV_OP_COUNT), "?");
}

/* The bytes that pv_abi.h writes down for the sites that say more than their instruction. */
Test(patcher, the_sites_that_tell_more_hold_these_instructions)
{
    static const uint8_t set_pte[] = {0x89, 0x02}, switch_cr3[] = {0x0F, 0x22, 0xD8};
    uint8_t bytes[PV_SITE_LEN];
    struct insn insn;
    cr_assert(pv_plain_bytes(PV_OP_SET_PTE, bytes));
    cr_expect_eq(memcmp(bytes, set_pte, sizeof(set_pte)), 0);
    cr_assert(pv_plain_bytes(PV_OP_SWITCH_CR3, bytes));
    cr_expect_eq(memcmp(bytes, switch_cr3, sizeof(switch_cr3)), 0);
    cr_assert(pv_plain_bytes(PV_OP_DROP_SPACE, bytes));
    cr_assert_eq(decode(&insn, bytes, sizeof(bytes), 32), DECODE_OK);
    cr_expect_eq(insn.len, PV_SITE_LEN, "one NOP");
    cr_expect_eq(insn.class, CLASS_INNOCUOUS);
}

/* What is never patched is recorded for one reason: that it traps in ring 3, and is emulated. */
Test(patcher, sites_that_stay_plain_trap)
{
    const struct pv_note note = {PV_ABI_VERSION, HYPERCALL, SHARED, 0, 0};
    unsigned n = 0;
    for (uint8_t op = 1; op < PV_OP_COUNT; op++) {
        uint8_t plain[INSN_MAX] = {0}, patched[PV_SITE_LEN];
        struct insn insn;
        if (form_of(op, PV_FEATURES_ALL) != PLAIN)
            continue;
        n++;
        pv_plain_bytes(op, plain);
        pv_patched_bytes(&note, op, PV_FEATURES_ALL, GVA, patched);
        cr_expect_eq(memcmp(plain, patched, PV_SITE_LEN), 0, "%s", pv_op_name(op));
        cr_assert_eq(decode(&insn, plain, sizeof(plain), 32), DECODE_OK);
        cr_expect_eq(insn.class, CLASS_PRIVILEGED, "%s", pv_op_name(op));
        cr_expect_eq(insn.flow, FLOW_NEXT, "%s", pv_op_name(op));
    }
    cr_expect_eq(n, 6);
    cr_expect_not(pv_is_patched(0, PV_FEATURES_ALL));
    cr_expect_not(pv_is_patched(PV_OP_COUNT, PV_FEATURES_ALL));
}

/* A site that a switch leaves plain traps, too, or does no harm. */
Test(patcher, sites_that_a_switch_leaves_plain_are_safe)
{
    for (uint32_t features = 0; features <= PV_FEATURES_ALL; features++) {
        for (uint8_t op = 1; op < PV_OP_COUNT; op++) {
            uint8_t plain[INSN_MAX] = {0};
            struct insn insn;
            cr_expect_eq(pv_is_patched(op, features), form_of(op, features) != PLAIN,
                         "%s, features %x", pv_op_name(op), features);
            pv_plain_bytes(op, plain);
            cr_assert_eq(decode(&insn, plain, sizeof(plain), 32), DECODE_OK);
            if (!pv_is_patched(op, features))
                cr_expect_neq(insn.class, CLASS_SENSITIVE, "%s", pv_op_name(op));
        }
    }
}

/* REP, 16 bits, and the right direction: the drivers move 256 words at a time. */
Test(patcher, string_sites_move_words)
{
    uint8_t bytes[INSN_MAX] = {0};
    struct insn insn;
    cr_assert(pv_plain_bytes(PV_OP_INSW, bytes));
    cr_assert_eq(decode(&insn, bytes, sizeof(bytes), 32), DECODE_OK);
    cr_expect_eq(insn.opcode, 0x6D);
    cr_expect_eq(insn.opsize, 2);
    cr_expect(insn.prefixes & PFX_REP);
    cr_assert(pv_plain_bytes(PV_OP_OUTSW, bytes));
    cr_assert_eq(decode(&insn, bytes, sizeof(bytes), 32), DECODE_OK);
    cr_expect_eq(insn.opcode, 0x6F);
    cr_expect_eq(insn.opsize, 2);
    cr_expect(insn.prefixes & PFX_REP);
}

/* Each operation's site is verified, also one that is never patched: every byte of it. */
Test(patcher, every_byte_of_every_site_is_checked)
{
    struct kernel *k = kernel_new();
    cr_assert_null(open_it(k));
    for (uint8_t op = 1; op < PV_OP_COUNT; op++) {
        for (unsigned i = 0; i < PV_SITE_LEN; i++) {
            uint8_t *byte = k->vm.ram + GPA + 16 * (op - 1) + i;
            *byte ^= 1;
            cr_expect_not_null(open_it(k), "%s, byte %u", pv_op_name(op), i);
            *byte ^= 1;
        }
    }
    cr_expect_null(open_it(k));
    kernel_free(k);
}

/* The one instruction of a patched site that is no call. */
static void check_inline(uint8_t op, const struct insn *insn)
{
    switch (op) {
    case PV_OP_IRET:
        cr_expect_eq(insn->op, OP_INTN);
        cr_expect_eq(insn->imm & 0xFF, PV_GATE_IRET);
        break;
    case PV_OP_CLI: /* AND byte: only IF goes */
        cr_expect_eq(insn->opcode, 0x80);
        cr_expect_eq(MODRM_REG(insn->modrm), 4);
        cr_expect_eq((uint32_t)insn->disp, SHARED + offsetof(struct pv_shared, virtual_flags) + 1);
        cr_expect_eq(insn->imm & 0xFF, 0xFD);
        cr_expect_eq(insn->len, PV_SITE_LEN);
        break;
    default: /* MOV EAX, moffs32 */
        cr_expect_eq(insn->opcode, 0xA1);
        break;
    }
}

static uint32_t moffs_of(const uint8_t *site)
{
    uint32_t moffs;
    memcpy(&moffs, site + 1, sizeof(moffs));
    return moffs;
}

/* Patched sites are whole instructions that fill the site exactly, every call lands on its stub,
 * and behind the one instruction there is one NOP at most. */
static void check_site_bytes(uint8_t op, uint32_t features)
{
    const struct pv_note note = {PV_ABI_VERSION, HYPERCALL, SHARED, 0, 0};
    const uint32_t site = GVA + 0x123;
    uint8_t bytes[INSN_MAX] = {0};
    unsigned at = 0, n = 0;
    pv_patched_bytes(&note, op, features, site, bytes);
    for (; at < PV_SITE_LEN; n++) {
        struct insn insn;
        cr_assert_eq(decode(&insn, bytes + at, sizeof(bytes) - at, 32), DECODE_OK);
        cr_expect(insn.op == OP_INTN || insn.class == CLASS_INNOCUOUS, "%s", pv_op_name(op));
        cr_expect_eq(insn.flow == FLOW_CALL, n == 0 && form_of(op, features) == CALL, "%s",
                     pv_op_name(op));
        if (insn.flow == FLOW_CALL)
            cr_expect_eq(site + at + insn.len + insn.imm, HYPERCALL + op * PV_STUB_SIZE);
        else if (n == 0)
            check_inline(op, &insn);
        at += insn.len;
    }
    cr_expect_eq(at, PV_SITE_LEN, "%s", pv_op_name(op));
    cr_expect_leq(n, 2, "%s", pv_op_name(op));
    if (form_of(op, features) == INLINE && op == PV_OP_READ_CR0)
        cr_expect_eq(moffs_of(bytes), SHARED + offsetof(struct pv_shared, cr0));
    if (form_of(op, features) == INLINE && op == PV_OP_READ_CR2)
        cr_expect_eq(moffs_of(bytes), SHARED + offsetof(struct pv_shared, cr2));
}

Test(patcher, patched_bytes_decode_and_reach_their_stub)
{
    for (uint32_t features = 0; features <= PV_FEATURES_ALL; features++) {
        for (uint8_t op = 1; op < PV_OP_COUNT; op++) {
            if (form_of(op, features) != PLAIN)
                check_site_bytes(op, features);
        }
    }
}

/* --- the stubs --- */

/* What a walk over a stub's instructions, one behind the other, has seen. */
struct stub_walk {
    bool starts[PV_STUB_SIZE]; /* an instruction begins here */
    unsigned end;              /* behind the last RET */
    unsigned traps, returns;
    bool queues; /* reaches the queue's entries */
};

static bool all_int3(const uint8_t *bytes, unsigned n)
{
    while (n && *bytes == 0xCC) {
        bytes++;
        n--;
    }
    return !n;
}

/* Without patches services say that they are unknown: MOV EAX with that, RET; nothing else. */
static void check_no_service(const uint8_t *page)
{
    struct insn insn;
    cr_assert_eq(decode(&insn, page, PAGE_SIZE, 32), DECODE_OK);
    cr_expect_eq(insn.opcode, 0xB8 + GPR_EAX);
    cr_expect_eq((int32_t)insn.imm, PV_E_UNKNOWN);
    const unsigned at = insn.len;
    cr_assert_eq(decode(&insn, page + at, PAGE_SIZE - at, 32), DECODE_OK);
    cr_expect_eq(insn.flow, FLOW_RETURN);
    cr_expect(all_int3(page + at + insn.len, PAGE_SIZE - at - insn.len));
}

static bool is_shared(uint32_t gva)
{
    return gva - SHARED < sizeof(struct pv_shared);
}

static struct stub_walk walk_stub(const uint8_t *stub, unsigned op)
{
    struct stub_walk w = {0};
    struct insn insn = {0};
    for (unsigned at = 0; at < PV_STUB_SIZE && stub[at] != 0xCC; at += insn.len) {
        cr_assert_eq(decode(&insn, stub + at, PV_STUB_SIZE - at, 32), DECODE_OK,
                     "stub %u ends inside an instruction", op);
        w.starts[at] = true;
        w.end = at + insn.len;
        if (insn.op == OP_INTN) {
            w.traps++;
            cr_expect_eq(insn.imm & 0xFF, PV_GATE_CALL, "stub %u", op);
        }
        if (insn.disp_size == 4) {
            cr_expect(is_shared((uint32_t)insn.disp), "stub %u reaches %x", op, insn.disp);
            w.queues |= (uint32_t)insn.disp >= SHARED + offsetof(struct pv_shared, queue);
        }
        w.returns += insn.flow == FLOW_RETURN;
        cr_expect(insn.flow == FLOW_NEXT || insn.flow == FLOW_BRANCH || insn.flow == FLOW_RETURN ||
                      insn.op == OP_INTN,
                  "stub %u", op);
    }
    cr_assert_eq(insn.flow, FLOW_RETURN, "stub %u does not end in RET", op);
    cr_expect(all_int3(stub + w.end, PV_STUB_SIZE - w.end), "stub %u", op);
    return w;
}

/* Every jump lands on the beginning of an instruction of the same stub, and goes on to the trap:
 * what returns at once falls through. */
static void check_jumps(const uint8_t *stub, unsigned op, const struct stub_walk *w)
{
    for (unsigned at = 0; at < w->end; at++) {
        struct insn insn;
        if (!w->starts[at])
            continue;
        decode(&insn, stub + at, PV_STUB_SIZE - at, 32);
        const uint32_t target = at + insn.len + insn.imm;
        if (insn.flow == FLOW_BRANCH)
            cr_expect(target < w->end && w->starts[target] && stub[target] != 0xC3,
                      "stub %u jumps to %d", op, (int)target);
    }
}

/* The one trap: "mov ecx, number; int; ret", with ECX kept around it where the site keeps it. POPF
 * that finds an event waiting is STI then. */
static void check_trap(const uint8_t *stub, unsigned op, uint32_t features)
{
    const unsigned number = op == PV_OP_POPF && (features & PV_FEATURE_STI) ? PV_OP_STI : op;
    unsigned at = 0;
    while (stub[at] != 0xCD || stub[at + 1] != PV_GATE_CALL)
        cr_assert_lt(++at, PV_STUB_SIZE - 2u, "stub %u never traps", op);
    if (op == 0) {
        cr_expect_eq(at, 0);
        return;
    }
    cr_assert_geq(at, 5);
    cr_expect_eq(stub[at - 5], 0xB9, "stub %u", op);
    cr_expect_eq(stub[at - 4], number, "stub %u", op);
    cr_expect_eq(stub[at - 3] | stub[at - 2] | stub[at - 1], 0);
    if (keeps_ecx((uint8_t)op)) {
        cr_expect_eq(at >= 6 ? stub[at - 6] : 0, 0x51, "stub %u loses ECX", op);
        cr_expect_eq(stub[at + 2], 0x59, "stub %u loses ECX", op);
    }
}

static void check_stubs(struct kernel *k, uint32_t features)
{
    cr_assert_null(open_it(k));
    patcher_apply(&k->patcher, &k->vm, features);
    for (unsigned op = 0; op < PV_OP_COUNT; op++) {
        const uint8_t *stub = k->patcher.hypercall_page + op * PV_STUB_SIZE;
        const struct stub_walk w = walk_stub(stub, op);
        const bool quick = (features & PV_FEATURE_STI) && op == PV_OP_PUSHF;
        cr_expect_eq(w.traps, !quick, "stub %u, features %x", op, features);
        cr_expect_eq(w.queues, (features & PV_FEATURE_BATCH) && can_wait((uint8_t)op),
                     "stub %u, features %x", op, features);
        check_jumps(stub, op, &w);
        if (w.traps)
            check_trap(stub, op, features);
    }
    cr_expect(all_int3(k->patcher.hypercall_page + PV_OP_COUNT * PV_STUB_SIZE,
                       PAGE_SIZE - PV_OP_COUNT * PV_STUB_SIZE));
    patcher_undo(&k->patcher, &k->vm);
    check_no_service(k->patcher.hypercall_page);
}

Test(patcher, stubs_decode_to_a_return)
{
    struct kernel *k = kernel_new();
    for (uint32_t features = 0; features <= PV_FEATURES_ALL; features++)
        check_stubs(k, features);
    kernel_free(k);
}

/* --- what is refused --- */

Test(patcher, refuses_what_does_not_fit)
{
    struct kernel *k = kernel_new();
    struct pv_note *note = &k->image.note.note;
    struct pv_site *sites = (struct pv_site *)k->image.pages[3];

    note->abi_version = 99;
    cr_expect_not_null(open_it(k));
    note->abi_version = PV_ABI_VERSION;
    note->hypercall_page++;
    cr_expect_not_null(open_it(k), "unaligned page");
    note->hypercall_page = 0xD0000000u;
    cr_expect_not_null(open_it(k), "page outside the kernel");
    note->hypercall_page = HYPERCALL;
    note->sites_end += 4;
    cr_expect_not_null(open_it(k), "half a site");
    note->sites_end = TABLE - 8;
    cr_expect_not_null(open_it(k), "negative table");
    note->sites_end = TABLE + 0x10000;
    cr_expect_not_null(open_it(k), "table runs out of the kernel");
    note->sites_end = TABLE + 8 * (PV_OP_COUNT - 1);
    cr_assert_null(open_it(k));

    k->vm.ram[GPA] ^= 1;
    cr_expect_not_null(open_it(k), "not the plain instruction");
    k->vm.ram[GPA] ^= 1;
    k->vm.ram[GPA + 7] ^= 1;
    cr_expect_not_null(open_it(k), "not padded with a NOP");
    k->vm.ram[GPA + 7] ^= 1;
    sites[0].op = PV_OP_COUNT;
    cr_expect_not_null(open_it(k), "unknown operation");
    sites[0].op = PV_OP_CLI;
    sites[0].gva = 0xFFFFFFFCu;
    cr_expect_not_null(open_it(k), "site wraps");
    sites[0].gva = HYPERCALL - 4;
    cr_expect_not_null(open_it(k), "site reaches into the hypercall page");
    sites[0].gva = SHARED + 0x20;
    cr_expect_not_null(open_it(k), "site on the shared page");
    sites[0].gva = GVA;
    note->shared_page = HYPERCALL;
    cr_expect_not_null(open_it(k), "one page for both");
    note->shared_page = SHARED;
    cr_assert_null(open_it(k));

    /* What the guest does to its own copy of the table later changes nothing. */
    memset(k->vm.ram + GPA + 0x3000, 0xFF, PAGE_SIZE);
    patcher_apply(&k->patcher, &k->vm, PV_FEATURES_ALL);
    patcher_undo(&k->patcher, &k->vm);
    cr_expect_eq(memcmp(k->vm.ram + GPA, k->image.pages[0], PAGE_SIZE), 0);
    kernel_free(k);
}

Test(patcher, a_kernel_without_the_note_is_refused)
{
    struct kernel *k = kernel_new();
    k->image.note.name[0] = 'X';
    cr_expect_not_null(open_it(k));
    kernel_free(k);
}
