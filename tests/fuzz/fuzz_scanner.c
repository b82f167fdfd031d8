/*
 * libFuzzer on the scanner: whatever code the guest has and wherever it is entered, what may run is
 * what was scanned.
 * Input: a byte of flags, ENTRIES bytes that say where the code is entered, then code, which is
 * laid across the border of two pages.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scanner.h"

#define BASE 0xC0100000u
#define PAGES 2
#define ENTRIES 4
#define CODE_MAX 256

#define FLAG_32BIT 1      /* 16-bit or 32-bit code */
#define FLAG_UNMAPPED 2   /* the second page is missing */
#define FLAG_DROP 4       /* the second page is written to between the entries */
#define FLAG_BOTH_SIZES 8 /* the last entry is in code of the other size */

static uint8_t guest[PAGES * PAGE_SIZE], copies[PAGES * PAGE_SIZE];
static struct code_page pages[PAGES];
static unsigned mapped;

#define HOLDS(what, at) ((what) ? (void)0 : broken(#what, at))

static void broken(const char *what, uint32_t at)
{
    fprintf(stderr, "at offset %#x: \"%s\" does not hold\n", at, what);
    abort();
}

static struct code_page *page_at(void *opaque, gva_t gva, bool bind)
{
    const uint32_t i = (gva - BASE) / PAGE_SIZE;
    (void)opaque;
    if (i >= mapped || (!bind && !pages[i].bound))
        return NULL;
    pages[i].bound = true;
    return &pages[i];
}

static const uint8_t *bytes_of(void *opaque, const struct code_page *page)
{
    (void)opaque;
    return guest + (page - pages) * PAGE_SIZE;
}

static void drop_page(void *opaque, struct code_page *page)
{
    if (page > pages && page[-1].straddles)
        drop_page(opaque, page - 1);
    code_page_clear(page);
}

/* The bits of the 32 bytes at an offset, and of one. */
static uint32_t body_word(uint32_t at)
{
    return pages[at / PAGE_SIZE].body[at % PAGE_SIZE / 32];
}

static bool is_body(uint32_t at)
{
    return body_word(at) >> (at % 32) & 1;
}

/* The copy of an instruction that was scanned at this offset. */
static void check_insn(uint32_t at)
{
    const int bits = pages[at / PAGE_SIZE].bits;
    struct insn insn;
    const enum decode_result result = decode(&insn, guest + at, sizeof(guest) - at, bits);
    if (result != DECODE_OK || insn.class == CLASS_SENSITIVE) {
        HOLDS(copies[at] == TRAP_BYTE && !is_body(at), at);
        return;
    }
    for (uint32_t i = 0; i < insn.len; i++) {
        const bool rewritten = insn_reads_through_cs(&insn) && i == insn.seg_off;
        HOLDS(is_body(at + i), at + i);
        HOLDS(copies[at + i] == (rewritten ? 0x36 : guest[at + i]), at + i);
    }
}

static void check_word(uint32_t word)
{
    for (uint32_t at = word; at < word + 32; at++) {
        HOLDS(is_body(at) || copies[at] == TRAP_BYTE, at);
        if (code_page_is_start(&pages[at / PAGE_SIZE], BASE + at))
            check_insn(at);
    }
}

static void check_all(void)
{
    uint8_t filler[32];
    memset(filler, TRAP_BYTE, sizeof(filler));
    for (uint32_t at = 0; at < sizeof(guest); at += 32) {
        const uint32_t starts = pages[at / PAGE_SIZE].start[at % PAGE_SIZE / 32];
        HOLDS(at / PAGE_SIZE < mapped || !(body_word(at) | starts), at);
        if (body_word(at) | starts)
            check_word(at);
        else
            HOLDS(!memcmp(copies + at, filler, 32), at);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct scan_source source = {NULL, page_at, bytes_of, drop_page, false, false};
    struct scan_stats stats = {0};
    if (size < 1 + ENTRIES + 1)
        return 0;
    const uint8_t flags = data[0], *entries = data + 1, *code = data + 1 + ENTRIES;
    const uint32_t n = size - 1 - ENTRIES < CODE_MAX ? (uint32_t)(size - 1 - ENTRIES) : CODE_MAX;
    const uint32_t begin = PAGE_SIZE - n / 2;
    const int bits = flags & FLAG_32BIT ? 32 : 16;
    memset(guest, 0xF4, sizeof(guest)); /* HLT elsewhere: one byte, copied */
    memcpy(guest + begin, code, n);
    mapped = flags & FLAG_UNMAPPED ? 1 : PAGES;
    for (int i = 0; i < PAGES; i++) {
        pages[i].copy = copies + i * PAGE_SIZE;
        code_page_clear(&pages[i]);
    }
    for (int i = 0; i < ENTRIES; i++) {
        const gva_t gva = BASE + begin + entries[i] % n;
        const bool other = (flags & FLAG_BOTH_SIZES) && i == ENTRIES - 1;
        const enum scan_result result = scan(&source, gva, other ? 48 - bits : bits, 100, &stats);
        const struct code_page *page = page_at(NULL, gva, false);
        HOLDS(result == SCAN_UNMAPPED || (page && code_page_is_start(page, gva)), gva - BASE);
        check_all();
        if (flags & FLAG_DROP)
            drop_page(NULL, &pages[1]);
    }
    return 0;
}
