/*
 * The scanner: decides what of the guest kernel's code may execute.
 *
 * A code page is the VMM's private copy of a guest page. It starts as all 0xCC (INT3: a trap).
 * The scanner follows control flow from an address that is really executed and copies the bytes of
 * innocuous instructions, and of privileged ones, which trap by themselves. Sensitive instructions
 * that would not trap keep their 0xCC: they are the trap sites. So the CPU can execute nothing that
 * was not scanned. Pure code.
 *
 * What it does not catch: a jump into the middle of a copied instruction. Then the guest may
 * execute a sensitive instruction unnoticed; it harms the guest's illusion, never the VMM.
 */
#ifndef TRIVISOR_SCANNER_H
#define TRIVISOR_SCANNER_H

#include "decoder.h"

#define TRAP_BYTE 0xCC

struct code_page {
    gva_t gva;                      /* page address in the guest's linear space */
    gpa_t gpa;                      /* the guest page it copies; valid while bound */
    bool bound;                     /* false: all 0xCC, nothing known */
    bool global, large;             /* the guest's mapping was global, or one of 4 MB */
    bool accessed;                  /* its accessed bits have been set, as a fetch does */
    bool straddles;                 /* its last scanned instruction reaches into the next page */
    bool reads_ss;                  /* holds reads through CS that were made reads through SS */
    uint8_t bits;                   /* 16 or 32: how it was decoded; 0: nothing scanned yet */
    uint8_t *copy;                  /* the executable copy, PAGE_SIZE bytes */
    uint32_t start[PAGE_SIZE / 32]; /* a scanned instruction begins at this byte */
    uint32_t body[PAGE_SIZE / 32];  /* this byte was copied as part of an instruction */
    struct code_page *next;
};

struct scan_stats {
    uint64_t scans, instructions, trap_sites, conflicts, drops;
};

/* Where the scanner gets its pages. */
struct scan_source {
    void *opaque;
    /* The code page for a linear address, bound to the guest page that the guest's tables map now;
     * NULL when the guest maps nothing there or the address is out of the window's reach, or when
     * the page is not bound yet and bind is false. */
    struct code_page *(*page)(void *opaque, gva_t gva, bool bind);
    /* The guest's own bytes of a bound page (PAGE_SIZE of them). */
    const uint8_t *(*bytes)(void *opaque, const struct code_page *page);
    /* Forget all that was scanned on the page (and on the one before, if it straddles). */
    void (*drop)(void *opaque, struct code_page *page);
    /* scan=off: sensitive instructions are copied like all others, so that a guest runs as it would
     * on a VMM that cannot scan. What the copy holds changes, not when it is made. */
    bool keep_sensitive;
    /* SS is not what CS is: instructions that read through CS are trap sites. */
    bool trap_cs_reads;
};

enum scan_result {
    SCAN_OK,       /* the byte at gva is now a scanned instruction's start */
    SCAN_UNMAPPED, /* the instruction, or its tail, lies on a page the guest has not mapped */
};

/*
 * Scan from the linear address gva along all direct control flow, up to budget instructions. Only
 * the instruction at gva binds pages, because only that is certain to be executed; the rest is
 * followed as far as pages are bound.
 * bits: 16 or 32 (CS.D).
 */
enum scan_result scan(const struct scan_source *source, gva_t gva, int bits, unsigned budget,
                      struct scan_stats *stats);

/*
 * The trap site at gva is an instruction that reads through CS: let it run once, as a read through
 * DS, and make it a trap site again. scan_open() returns false when its tail is not mapped, or when
 * it is no such instruction.
 */
bool scan_open(const struct scan_source *source, gva_t gva, int bits);
void scan_close(const struct scan_source *source, gva_t gva);

/* Does a scanned instruction start at gva? */
bool code_page_is_start(const struct code_page *page, gva_t gva);

/* Forget the contents: all 0xCC, unbound. */
void code_page_clear(struct code_page *page);

#endif
