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

/* The operations of the ABI that stay the plain instruction are its last ones. */
#define NEVER_PATCHED 6

static bool never_patched(uint8_t op)
{
    return op >= PV_OP_COUNT - NEVER_PATCHED;
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

Test(patcher, opens_applies_and_undoes)
{
    struct kernel *k = kernel_new();
    const char *why = open_it(k);
    cr_assert_null(why, "%s", why);
    cr_expect_eq(k->patcher.site_count, PV_OP_COUNT - 1);
    patcher_apply(&k->patcher, &k->vm);
    cr_expect_eq(k->patcher.shared->version, PV_ABI_VERSION);
    cr_expect_eq(k->patcher.shared->patched_sites, PV_OP_COUNT - 1 - NEVER_PATCHED);
    cr_expect_eq(k->patcher.patched, PV_OP_COUNT - 1 - NEVER_PATCHED);
    for (unsigned i = 0; i + 1 < PV_OP_COUNT; i++) {
        const bool same =
            !memcmp(k->vm.ram + GPA + 16 * i, k->image.pages[0] + 16 * i, PV_SITE_LEN);
        cr_expect_eq(same, never_patched((uint8_t)(i + 1)), "%s", pv_op_name((uint8_t)(i + 1)));
    }
    patcher_undo(&k->patcher, &k->vm);
    cr_expect_eq(memcmp(k->vm.ram + GPA, k->image.pages[0], PAGE_SIZE), 0);
    cr_expect_eq(k->patcher.shared->version, 0);
    cr_expect_eq(k->patcher.shared->patched_sites, 0);
    cr_expect_eq(k->patcher.patched, 0);
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
        if (op != PV_OP_POPF) /* begins with push eax */
            cr_expect_eq(insn.op, first[op], "%s", pv_op_name(op));
    }
    uint8_t none[PV_SITE_LEN];
    cr_expect_not(pv_plain_bytes(0, none));
    cr_expect_not(pv_plain_bytes(PV_OP_COUNT, none));
}

/* What is never patched is recorded for one reason: that it traps in ring 3, and is emulated. */
Test(patcher, sites_that_stay_plain_trap)
{
    const struct pv_note note = {PV_ABI_VERSION, HYPERCALL, SHARED, 0, 0};
    unsigned n = 0;
    for (uint8_t op = 1; op < PV_OP_COUNT; op++) {
        uint8_t plain[INSN_MAX] = {0}, patched[PV_SITE_LEN];
        struct insn insn;
        cr_expect_eq(pv_is_patched(op), !never_patched(op), "%s", pv_op_name(op));
        if (pv_is_patched(op))
            continue;
        n++;
        pv_plain_bytes(op, plain);
        pv_patched_bytes(&note, op, GVA, patched);
        cr_expect_eq(memcmp(plain, patched, PV_SITE_LEN), 0, "%s", pv_op_name(op));
        cr_assert_eq(decode(&insn, plain, sizeof(plain), 32), DECODE_OK);
        cr_expect_eq(insn.class, CLASS_PRIVILEGED, "%s", pv_op_name(op));
        cr_expect_eq(insn.flow, FLOW_NEXT, "%s", pv_op_name(op));
    }
    cr_expect_eq(n, NEVER_PATCHED);
    cr_expect_not(pv_is_patched(0));
    cr_expect_not(pv_is_patched(PV_OP_COUNT));
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

/* A site that is never patched is verified like the others. */
Test(patcher, sites_that_stay_plain_are_checked)
{
    struct kernel *k = kernel_new();
    cr_assert_null(open_it(k));
    for (uint32_t op = PV_OP_COUNT - NEVER_PATCHED; op < PV_OP_COUNT; op++) {
        uint8_t *site = k->vm.ram + GPA + 16 * (op - 1);
        site[1] ^= 1;
        cr_expect_not_null(open_it(k), "%s", pv_op_name((uint8_t)op));
        site[1] ^= 1;
    }
    cr_expect_null(open_it(k));
    kernel_free(k);
}

/* Patched sites are whole instructions that fill the site exactly, and every call lands on its
 * stub. */
Test(patcher, patched_bytes_decode_and_reach_their_stub)
{
    const struct pv_note note = {PV_ABI_VERSION, HYPERCALL, SHARED, 0, 0};
    for (uint8_t op = 1; op < PV_OP_COUNT; op++) {
        uint8_t bytes[INSN_MAX] = {0};
        struct insn insn;
        const uint32_t site = GVA + 0x123;
        pv_patched_bytes(&note, op, site, bytes);
        unsigned at = 0;
        while (pv_is_patched(op) && at < PV_SITE_LEN) {
            cr_assert_eq(decode(&insn, bytes + at, sizeof(bytes) - at, 32), DECODE_OK);
            if (insn.flow == FLOW_CALL)
                cr_expect_eq(site + at + insn.len + insn.imm, HYPERCALL + op * PV_STUB_SIZE);
            cr_expect_neq(insn.class, CLASS_SENSITIVE, "%s", pv_op_name(op));
            at += insn.len;
        }
        cr_expect_eq(at, pv_is_patched(op) ? PV_SITE_LEN : 0, "%s", pv_op_name(op));
    }
}

Test(patcher, stubs_decode_to_a_return)
{
    struct kernel *k = kernel_new();
    cr_assert_null(open_it(k));
    patcher_apply(&k->patcher, &k->vm);
    for (uint32_t stub = 0; stub < PV_OP_COUNT; stub++) {
        if (stub == PV_OP_IRET || stub == PV_OP_CLI || stub == PV_OP_READ_CR2)
            continue; /* patched inline */
        uint32_t at = stub * PV_STUB_SIZE;
        struct insn insn = {0};
        while (insn.flow != FLOW_RETURN) {
            cr_assert_eq(decode(&insn, k->patcher.hypercall_page + at, INSN_MAX, 32), DECODE_OK);
            cr_assert_neq(insn.op, OP_INT3, "stub %u runs off its end", stub);
            at += insn.len;
            cr_assert_leq(at, (stub + 1) * PV_STUB_SIZE);
        }
    }
    kernel_free(k);
}

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
    patcher_apply(&k->patcher, &k->vm);
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
