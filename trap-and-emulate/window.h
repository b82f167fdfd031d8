/*
 * The code window: a range of the VMM's linear space through which the guest kernel executes.
 *
 * The shadow CS has a base that maps the guest's EIPs onto WINDOW_BASE. One region of the guest's
 * space (16 MB, aligned) is visible at a time; a jump out of it faults, and the window moves. Each
 * region keeps its code pages and page tables, so that moving is eight directory entries.
 */
#ifndef TRIVISOR_WINDOW_H
#define TRIVISOR_WINDOW_H

#include "layout.h"
#include "scanner.h"

#define WINDOW_REGIONS 4
#define WINDOW_TABLES (WINDOW_SIZE >> 21)
#define WINDOW_PAGES (WINDOW_SIZE / PAGE_SIZE)
#define WINDOW_MAX_PAGES 1024 /* code pages over all regions; more and all are dropped */

struct window_region {
    bool used;
    gva_t base; /* guest linear address of the region's first byte */
    uint64_t *pt[WINDOW_TABLES];
    struct code_page **page; /* WINDOW_PAGES pointers */
};

struct window {
    struct window_region region[WINDOW_REGIONS];
    int current; /* -1: none is visible yet */
    struct code_page *all;
    unsigned count;
    int bits;           /* 16 or 32: how what is executable was decoded; 0: nothing is yet */
    unsigned untouched; /* pages bound since the last scan: not marked accessed yet */
    struct scan_stats stats;
    struct scan_source source;
    uint64_t moves;
};

struct sw;

void window_init(struct sw *sw);
void window_free(struct sw *sw); /* also before window_init() */

/* What must be added to a guest linear address to get its place in the window. */
uint32_t window_offset(const struct window *window);

/* Make the region that holds gva the visible one. Returns false when memory is short. */
bool window_show(struct sw *sw, gva_t gva);

/* The code page at gva if its region is visible and the page exists; else NULL. */
struct code_page *window_lookup(struct sw *sw, gva_t gva);

/* Scan from gva. The region must be visible. */
enum scan_result window_scan(struct sw *sw, gva_t gva, int bits);

/* The kernel's CS or SS changed, or a program (user) comes next. Pages that were scanned for code
 * of the other width are dropped, and those whose reads through CS go through an SS that is no
 * longer the same. The short ways lead from programs to 32-bit code in flat segments only. */
void window_follow_segments(struct sw *sw, bool user);

/* scan_open() */
bool window_open(struct sw *sw, gva_t gva, int bits);

/* The guest page changed: forget what was scanned from it. */
void window_drop_gpa(struct sw *sw, gpa_t page);

/* Translations may have changed (all, or only non-global ones): forget code pages that are now
 * mapped elsewhere. */
void window_revalidate(struct sw *sw, bool global_too);
void window_revalidate_page(struct sw *sw, gva_t gva);

#endif
