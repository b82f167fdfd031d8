/* The scanner on crafted code: what it copies, what it leaves as traps, how it forgets. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "scanner.h"

#define BASE 0xC0100000u
#define PAGES 3

struct world {
    uint8_t guest[PAGES][PAGE_SIZE];
    uint8_t copy[PAGES][PAGE_SIZE];
    struct code_page page[PAGES];
    bool mapped[PAGES];
    struct scan_stats stats;
};

static struct code_page *page_at(void *opaque, gva_t gva, bool bind)
{
    struct world *w = opaque;
    uint32_t i = (gva - BASE) / PAGE_SIZE;
    if (i >= PAGES || !w->mapped[i])
        return NULL;
    if (!bind && !w->page[i].bound)
        return NULL;
    w->page[i].bound = true;
    return &w->page[i];
}

static const uint8_t *bytes_of(void *opaque, const struct code_page *page)
{
    struct world *w = opaque;
    return w->guest[page - w->page];
}

static void drop_page(void *opaque, struct code_page *page)
{
    struct world *w = opaque;
    if (page > w->page && page[-1].straddles)
        drop_page(opaque, page - 1);
    w->stats.drops++;
    code_page_clear(page);
}

static struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof(*w));
    memset(w->guest, 0xF4, sizeof(w->guest)); /* HLT everywhere else: privileged, harmless */
    for (int i = 0; i < PAGES; i++) {
        w->mapped[i] = true;
        w->page[i].copy = w->copy[i];
        w->page[i].gva = BASE + (gva_t)i * PAGE_SIZE;
        code_page_clear(&w->page[i]);
    }
    return w;
}

static enum scan_result scan_at(struct world *w, gva_t gva)
{
    const struct scan_source source = {w, page_at, bytes_of, drop_page, false, false};
    return scan(&source, gva, 32, 1000, &w->stats);
}

static void put(struct world *w, uint32_t offset, const char *code, size_t n)
{
    memcpy(&w->guest[0][offset], code, n);
}
#define CODE(w, offset, s) put(w, offset, s, sizeof(s) - 1)

static uint8_t at(struct world *w, uint32_t offset)
{
    return w->copy[0][offset];
}

/* scan=off: every byte is the guest's, but for what the CPU would not know. */
Test(scanner, copies_sensitive_when_told)
{
    static const char code[] = "\x89\xC3"         /* mov ebx, eax */
                               "\x9C"             /* pushf */
                               "\x0F\x01\x45\x00" /* sgdt [ebp] */
                               "\xCC"             /* int3 */
                               "\x8C\xC8"         /* mov eax, cs */
                               "\xCF";            /* iret */
    struct world *w = world_new();
    const struct scan_source source = {w, page_at, bytes_of, drop_page, true, false};
    CODE(w, 0, code);
    CODE(w, 0x100, "\x0F\xFF"); /* undefined */
    cr_assert_eq(scan(&source, BASE, 32, 1000, &w->stats), SCAN_OK);
    cr_assert_arr_eq(w->copy[0], code, sizeof(code) - 1);
    cr_assert_eq(w->stats.trap_sites, 0);
    cr_assert_eq(scan(&source, BASE + 0x100, 32, 1000, &w->stats), SCAN_OK);
    cr_assert_eq(at(w, 0x100), TRAP_BYTE);
    free(w);
}

Test(scanner, copies_innocuous_and_traps_sensitive)
{
    struct world *w = world_new();
    CODE(w, 0,
         "\x89\xC3" /* mov ebx, eax */
         "\x9C"     /* pushf: sensitive */
         "\xFA"     /* cli: privileged, traps by itself */
         "\x9D"     /* popf: sensitive */
         "\xC3");   /* ret */
    cr_assert_eq(scan_at(w, BASE), SCAN_OK);
    cr_expect_eq(at(w, 0), 0x89);
    cr_expect_eq(at(w, 1), 0xC3);
    cr_expect_eq(at(w, 2), TRAP_BYTE);
    cr_expect_eq(at(w, 3), 0xFA);
    cr_expect_eq(at(w, 4), TRAP_BYTE);
    cr_expect_eq(at(w, 5), 0xC3);
    cr_expect_eq(at(w, 6), TRAP_BYTE, "nothing behind RET is scanned");
    cr_expect_eq(w->stats.instructions, 5);
    cr_expect_eq(w->stats.trap_sites, 2);
    free(w);
}

Test(scanner, follows_branches_and_calls_but_not_indirect_jumps)
{
    struct world *w = world_new();
    CODE(w, 0,
         "\x74\x10"             /* jz 0x12 */
         "\xE8\x19\x00\x00\x00" /* call 0x20 */
         "\xFF\xE0");           /* jmp eax */
    CODE(w, 0x12, "\x40\xC3");
    CODE(w, 0x20, "\x41\xEB\x0D"); /* inc ecx; jmp 0x30 */
    CODE(w, 0x30, "\x42\xC3");
    scan_at(w, BASE);
    cr_expect_eq(at(w, 0x12), 0x40);
    cr_expect_eq(at(w, 0x20), 0x41);
    cr_expect_eq(at(w, 0x30), 0x42);
    cr_expect_eq(at(w, 9), TRAP_BYTE);
    cr_expect(code_page_is_start(&w->page[0], BASE + 0x30));
    cr_expect_not(code_page_is_start(&w->page[0], BASE + 0x13 + 1));
    free(w);
}

Test(scanner, each_sensitive_instruction_is_left_as_a_trap)
{
    static const struct {
        const char *name, *code;
        size_t n;
    } cases[] = {
#define C(name, s) {name, s, sizeof(s) - 1}
        C("sgdt", "\x0F\x01\x00"),
        C("sidt", "\x0F\x01\x08"),
        C("sldt", "\x0F\x00\xC0"),
        C("smsw", "\x0F\x01\xE0"),
        C("str", "\x0F\x00\xC8"),
        C("pushf", "\x9C"),
        C("popf", "\x9D"),
        C("lar", "\x0F\x02\xC0"),
        C("lsl", "\x0F\x03\xC0"),
        C("verr", "\x0F\x00\xE0"),
        C("verw", "\x0F\x00\xE8"),
        C("push cs", "\x0E"),
        C("push ss", "\x16"),
        C("pop ss", "\x17"),
        C("mov eax, cs", "\x8C\xC8"),
        C("mov eax, ss", "\x8C\xD0"),
        C("mov ss, eax", "\x8E\xD0"),
        C("retf", "\xCB"),
        C("iret", "\xCF"),
        C("call far", "\x9A\x00\x00\x00\x00\x08\x00"),
        C("jmp far", "\xEA\x00\x00\x00\x00\x08\x00"),
        C("call far [eax]", "\xFF\x18"),
        C("jmp far [eax]", "\xFF\x28"),
        C("int3", "\xCC"),
        C("cpuid", "\x0F\xA2"),
        C("undefined", "\x0F\x0B"),
#undef C
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world *w = world_new();
        put(w, 0, cases[i].code, cases[i].n);
        cr_expect_eq(scan_at(w, BASE), SCAN_OK);
        if (strcmp(cases[i].name, "undefined")) /* UD2 traps by itself and may be copied */
            cr_expect_eq(at(w, 0), TRAP_BYTE, "%s was copied", cases[i].name);
        cr_expect(code_page_is_start(&w->page[0], BASE), "%s", cases[i].name);
        free(w);
    }
}

Test(scanner, an_instruction_across_pages_is_copied_in_both)
{
    struct world *w = world_new();
    CODE(w, PAGE_SIZE - 2, "\xB8\x11"); /* mov eax, 0x44332211; ret */
    memcpy(w->guest[1], "\x22\x33\x44\xC3", 4);
    cr_assert_eq(scan_at(w, BASE + PAGE_SIZE - 2), SCAN_OK);
    cr_expect_eq(w->copy[0][PAGE_SIZE - 1], 0x11);
    cr_expect_arr_eq(w->copy[1], "\x22\x33\x44\xC3", 4);
    cr_expect(w->page[0].straddles);
    drop_page(w, &w->page[1]);
    cr_expect_eq(w->copy[0][PAGE_SIZE - 2], TRAP_BYTE, "its first half must go with the second");
    free(w);
}

Test(scanner, a_missing_second_page_is_reported_only_when_executed)
{
    struct world *w = world_new();
    w->mapped[1] = false;
    CODE(w, PAGE_SIZE - 3, "\x90\xB8\x11");
    cr_expect_eq(scan_at(w, BASE + PAGE_SIZE - 3), SCAN_OK);
    cr_expect_eq(w->copy[0][PAGE_SIZE - 2], TRAP_BYTE);
    cr_expect_eq(scan_at(w, BASE + PAGE_SIZE - 2), SCAN_UNMAPPED);
    cr_expect_eq(scan_at(w, BASE + PAGE_SIZE), SCAN_UNMAPPED);
    free(w);
}

Test(scanner, a_jump_behind_a_trap_site_is_scanned_on_its_own)
{
    struct world *w = world_new();
    CODE(w, 0, "\x66\x9C\xC3"); /* pushfw; and, from 1: pushf */
    scan_at(w, BASE);
    cr_expect_eq(at(w, 1), TRAP_BYTE);
    cr_expect_not(code_page_is_start(&w->page[0], BASE + 1));
    scan_at(w, BASE + 1);
    cr_expect(code_page_is_start(&w->page[0], BASE + 1));
    free(w);
}

Test(scanner, overlapping_decodings_never_run_an_unscanned_byte)
{
    struct world *w = world_new();
    /* From 0: mov eax, imm32 whose last byte is PUSHF. From 4: PUSHF itself. */
    CODE(w, 0, "\xB8\x00\x00\x00\x9C\xC3");
    scan_at(w, BASE);
    cr_expect_eq(at(w, 4), 0x9C, "immediate of the first decoding");
    scan_at(w, BASE + 4);
    cr_expect_eq(w->stats.conflicts, 1);
    cr_expect_eq(at(w, 4), TRAP_BYTE, "now it is executed as an instruction");
    cr_expect_eq(at(w, 0), TRAP_BYTE, "and the older decoding is forgotten");
    scan_at(w, BASE);
    cr_expect_eq(w->stats.conflicts, 2);
    cr_expect_eq(at(w, 0), 0xB8);
    free(w);
}

Test(scanner, data_through_cs_is_redirected_to_ss)
{
    struct world *w = world_new();
    CODE(w, 0, "\x2E\xA1\x00\x00\x00\x00\xC3"); /* mov eax, [cs:0] */
    scan_at(w, BASE);
    cr_expect_eq(at(w, 0), 0x36);
    cr_expect_eq(at(w, 1), 0xA1);
    free(w);
}

/* The property the mode stands on: every byte that is not filler belongs to a scanned instruction,
 * and no scanned instruction that is sensitive has its bytes in the copy. */
Test(scanner, random_bytes_never_leave_a_sensitive_instruction_executable)
{
    srand(20260101);
    for (int round = 0; round < 300; round++) {
        struct world *w = world_new();
        for (uint32_t i = 0; i < PAGE_SIZE; i++)
            w->guest[0][i] = (uint8_t)rand();
        for (int entry = 0; entry < 20; entry++)
            scan_at(w, BASE + (uint32_t)rand() % PAGE_SIZE);
        for (uint32_t i = 0; i < PAGE_SIZE - 16; i++) {
            struct insn insn;
            const bool body = w->page[0].body[i / 32] >> (i % 32) & 1;
            if (!body)
                cr_assert_eq(w->copy[0][i], TRAP_BYTE);
            if (!code_page_is_start(&w->page[0], BASE + i))
                continue;
            if (decode(&insn, &w->guest[0][i], 16, 32) != DECODE_OK ||
                insn.class == CLASS_SENSITIVE) {
                cr_assert_eq(w->copy[0][i], TRAP_BYTE, "round %d offset %x", round, i);
            } else {
                for (uint32_t k = 0; k < insn.len; k++) {
                    if (insn_reads_through_cs(&insn) && k == insn.seg_off)
                        continue;
                    cr_assert_eq(w->copy[0][i + k], w->guest[0][i + k], "round %d offset %x+%u",
                                 round, i, k);
                }
            }
        }
        free(w);
    }
}

/* A read through CS: through SS where that is the same, else a trap site that can be opened. */
Test(scanner, reads_through_cs)
{
    static const char code[] = "\x2E\xA1\x44\x33\x22\x11" /* mov eax, cs:0x11223344 */
                               "\xC3";                    /* ret */
    struct world *w = world_new();
    struct scan_source source = {w, page_at, bytes_of, drop_page, false, true};
    CODE(w, 0, code);
    CODE(w, 0x100, code);
    cr_assert_eq(scan(&source, BASE, 32, 1000, &w->stats), SCAN_OK);
    cr_expect_eq(at(w, 0), TRAP_BYTE);
    cr_expect_eq(at(w, 1), TRAP_BYTE);
    cr_expect_eq(at(w, 6), 0xC3);
    cr_expect_not(w->page[0].reads_ss);
    cr_expect(scan_open(&source, BASE, 32));
    cr_expect_eq(at(w, 0), 0x3E);
    cr_expect_arr_eq(w->copy[0] + 1, code + 1, sizeof(code) - 2);
    scan_close(&source, BASE);
    for (uint32_t i = 0; i < 6; i++)
        cr_expect_eq(at(w, i), TRAP_BYTE, "byte %u", i);
    cr_expect_eq(at(w, 6), 0xC3);
    cr_expect_not(scan_open(&source, BASE + 6, 32), "RET is none");
    source.trap_cs_reads = false;
    cr_assert_eq(scan(&source, BASE + 0x100, 32, 1000, &w->stats), SCAN_OK);
    cr_expect_eq(at(w, 0x100), 0x36);
    cr_expect(w->page[0].reads_ss);
    free(w);
}

/* Only what is executed now is certain to be executed. */
Test(scanner, binds_no_page_for_a_branch)
{
    struct world *w = world_new();
    CODE(w, 0, "\x0F\x84\xFA\x0F\x00\x00\xC3"); /* jz the next page; ret */
    cr_assert_eq(scan_at(w, BASE), SCAN_OK);
    cr_expect_eq(at(w, 6), 0xC3);
    cr_expect_not(w->page[1].bound);
    cr_assert_eq(scan_at(w, BASE + PAGE_SIZE), SCAN_OK);
    cr_expect(w->page[1].bound);
    free(w);
}
