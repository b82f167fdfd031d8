/* The scanner; see scanner.h for the idea. */
#include "scanner.h"

#include <string.h>

#define OFFSET(gva) ((gva) & (PAGE_SIZE - 1))
#define PREFIX_SS 0x36
#define PREFIX_DS 0x3E

static bool bit_get(const uint32_t *map, gva_t gva)
{
    return map[OFFSET(gva) / 32] >> (OFFSET(gva) % 32) & 1;
}

static void bit_set(uint32_t *map, gva_t gva)
{
    map[OFFSET(gva) / 32] |= 1u << (OFFSET(gva) % 32);
}

bool code_page_is_start(const struct code_page *page, gva_t gva)
{
    return page->bound && bit_get(page->start, gva);
}

void code_page_clear(struct code_page *page)
{
    memset(page->copy, TRAP_BYTE, PAGE_SIZE);
    memset(page->start, 0, sizeof(page->start));
    memset(page->body, 0, sizeof(page->body));
    page->bound = false;
    page->straddles = false;
    page->reads_ss = false;
    page->bits = 0;
}

/* The first scan of a page decides how it is decoded. */
static struct code_page *get_page(const struct scan_source *src, gva_t gva, int bits, bool bind)
{
    struct code_page *page = src->page(src->opaque, gva, bind);
    if (page && !page->bits)
        page->bits = (uint8_t)bits;
    return page;
}

/* One instruction with the one or two pages it lies on. */
struct site {
    struct insn insn;
    gva_t gva;
    struct code_page *page[2]; /* page[1]: NULL unless it straddles */
    bool trap, reads_cs;
};

static struct code_page *site_page(const struct site *site, gva_t gva)
{
    return (gva & PAGE_MASK) == (site->gva & PAGE_MASK) ? site->page[0] : site->page[1];
}

/*
 * Fetch and decode at gva. An undefined or overlong encoding becomes a trap site of one byte: when
 * it is reached, the emulator finds out what the guest must get.
 * Returns false when a page is missing, or not bound and bind is false.
 */
static bool decode_site(const struct scan_source *src, struct site *site, gva_t gva, int bits,
                        bool bind)
{
    uint8_t buf[INSN_MAX];
    const uint32_t here = PAGE_SIZE - OFFSET(gva);
    uint32_t n = here < INSN_MAX ? here : INSN_MAX;
    memset(site, 0, sizeof(*site));
    site->gva = gva;
    site->page[0] = get_page(src, gva, bits, bind);
    if (!site->page[0])
        return false;
    memcpy(buf, src->bytes(src->opaque, site->page[0]) + OFFSET(gva), n);
    enum decode_result result = decode(&site->insn, buf, n, bits);
    if (result == DECODE_MORE) {
        site->page[1] = get_page(src, gva + n, bits, bind);
        if (!site->page[1])
            return false;
        memcpy(buf + n, src->bytes(src->opaque, site->page[1]), INSN_MAX - n);
        result = decode(&site->insn, buf, INSN_MAX, bits);
    }
    site->reads_cs = result == DECODE_OK && insn_reads_through_cs(&site->insn);
    site->trap = result != DECODE_OK ||
                 (site->insn.class == CLASS_SENSITIVE && !src->keep_sensitive) ||
                 (site->reads_cs && src->trap_cs_reads);
    if (result != DECODE_OK) {
        site->insn.len = 1;
        site->insn.flow = FLOW_STOP;
    }
    if (site->trap)
        site->page[1] = NULL; /* only the first byte matters */
    return true;
}

/* Byte i of the instruction as the copy must hold it. CS is moved onto the window, so data must not
 * go through it: it goes through SS, as long as that is what the guest's CS is. */
static uint8_t copy_byte(const struct scan_source *src, const struct site *site, unsigned i)
{
    const gva_t gva = site->gva + i;
    if (site->reads_cs && i == site->insn.seg_off)
        return PREFIX_SS;
    return src->bytes(src->opaque, site_page(site, gva))[OFFSET(gva)];
}

/* Does what is there already forbid to scan this instruction as it is? */
static bool conflicts(const struct scan_source *src, const struct site *site, int bits)
{
    if (site->page[0]->bits != bits || (site->page[1] && site->page[1]->bits != bits))
        return true;
    if (site->trap)
        return bit_get(site->page[0]->body, site->gva);
    for (unsigned i = 0; i < site->insn.len; i++) {
        const gva_t gva = site->gva + i;
        const struct code_page *page = site_page(site, gva);
        if (bit_get(page->body, gva) && page->copy[OFFSET(gva)] != copy_byte(src, site, i))
            return true; /* the same byte is a rewritten prefix in one of two decodings */
        if (bit_get(page->start, gva) && !bit_get(page->body, gva))
            return true; /* a trap site would be overwritten */
    }
    return false;
}

/* A jump target inside the guest's address space: rel is from the end of the instruction. */
static gva_t branch_target(const struct site *site)
{
    return site->gva + site->insn.len + site->insn.imm;
}

static void copy_site(const struct scan_source *src, const struct site *site)
{
    for (unsigned i = 0; i < site->insn.len; i++) {
        gva_t gva = site->gva + i;
        struct code_page *page = site_page(site, gva);
        page->copy[OFFSET(gva)] = copy_byte(src, site, i);
        bit_set(page->body, gva);
    }
    site->page[0]->reads_ss |= site->reads_cs;
    if (site->page[1]) {
        site->page[0]->straddles = true;
        site->page[1]->reads_ss |= site->reads_cs;
    }
}

#define WORKLIST 64

struct scan_run {
    const struct scan_source *src;
    struct scan_stats *stats;
    int bits;
    unsigned budget;
    gva_t todo[WORKLIST];
    unsigned todo_count;
};

static void later(struct scan_run *run, gva_t gva)
{
    /* A full list loses nothing: what is not scanned now traps when it is reached. */
    if (run->todo_count < WORKLIST)
        run->todo[run->todo_count++] = gva;
}

static bool falls_through(const struct site *site)
{
    switch (site->insn.flow) {
    case FLOW_JUMP:
    case FLOW_INDIRECT:
    case FLOW_RETURN:
    case FLOW_STOP:
        return false;
    default:
        return true;
    }
}

/* Scan a straight line from gva. first: this address is being executed right now, so its pages are
 * bound and a conflict is resolved in its favour. */
static enum scan_result scan_line(struct scan_run *run, gva_t gva, bool first)
{
    struct site site;
    while (run->budget) {
        if (!decode_site(run->src, &site, gva, run->bits, first))
            return SCAN_UNMAPPED;
        if (conflicts(run->src, &site, run->bits)) {
            if (!first)
                return SCAN_OK;
            run->stats->conflicts++;
            run->src->drop(run->src->opaque, site.page[0]);
            if (site.page[1])
                run->src->drop(run->src->opaque, site.page[1]);
            if (!decode_site(run->src, &site, gva, run->bits, true))
                return SCAN_UNMAPPED;
        }
        if (bit_get(site.page[0]->start, gva))
            return SCAN_OK;
        bit_set(site.page[0]->start, gva);
        run->budget--;
        run->stats->instructions++;
        if (site.trap)
            run->stats->trap_sites++;
        else
            copy_site(run->src, &site);
        if (site.insn.flow == FLOW_BRANCH || site.insn.flow == FLOW_JUMP ||
            site.insn.flow == FLOW_CALL)
            later(run, branch_target(&site));
        if (!falls_through(&site))
            return SCAN_OK;
        gva += site.insn.len;
        first = false;
    }
    return SCAN_OK;
}

enum scan_result scan(const struct scan_source *src, gva_t gva, int bits, unsigned budget,
                      struct scan_stats *stats)
{
    struct scan_run run = {.src = src, .stats = stats, .bits = bits, .budget = budget};
    stats->scans++;
    if (scan_line(&run, gva, true) == SCAN_UNMAPPED) {
        struct code_page *page = src->page(src->opaque, gva, false);
        if (!page || !code_page_is_start(page, gva))
            return SCAN_UNMAPPED;
    }
    while (run.todo_count && run.budget)
        scan_line(&run, run.todo[--run.todo_count], false);
    return SCAN_OK;
}

/* Decode a read through CS as one that may run. */
static bool decode_read(const struct scan_source *src, struct site *site, gva_t gva, int bits)
{
    struct scan_source running = *src;
    running.trap_cs_reads = false;
    return decode_site(&running, site, gva, bits, true) && site->reads_cs && !site->trap;
}

bool scan_open(const struct scan_source *src, gva_t gva, int bits)
{
    struct site site;
    if (!decode_read(src, &site, gva, bits))
        return false;
    const gva_t prefix = gva + site.insn.seg_off;
    if (bit_get(site_page(&site, prefix)->body, prefix)) {
        /* Something was scanned that begins behind this one's first byte. */
        src->drop(src->opaque, site_page(&site, prefix));
        if (!decode_read(src, &site, gva, bits))
            return false;
    }
    for (gva_t at = gva; at < gva + site.insn.len; at++) {
        struct code_page *page = site_page(&site, at);
        page->copy[OFFSET(at)] =
            at == prefix ? PREFIX_DS : src->bytes(src->opaque, page)[OFFSET(at)];
    }
    return true;
}

void scan_close(const struct scan_source *src, gva_t gva)
{
    for (gva_t at = gva; at < gva + INSN_MAX; at++) {
        struct code_page *page = src->page(src->opaque, at, false);
        if (page && !bit_get(page->body, at))
            page->copy[OFFSET(at)] = TRAP_BYTE;
    }
}
