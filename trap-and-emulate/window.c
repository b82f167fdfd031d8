/* The code window; see window.h. */
#include "window.h"

#include <string.h>

#include "engine.h"
#include "gmem.h"

#define REGION_MASK (~(WINDOW_SIZE - 1))
#define SCAN_BUDGET 4096

static struct window_region *current_region(struct window *w)
{
    return w->current >= 0 ? &w->region[w->current] : NULL;
}

uint32_t window_offset(const struct window *w)
{
    return w->current < 0 ? WINDOW_BASE : WINDOW_BASE - w->region[w->current].base;
}

static void unwatch(struct sw *sw, gpa_t gpa)
{
    const struct code_page *p;
    for (p = sw->window.all; p; p = p->next) {
        if (p->bound && p->gpa == gpa)
            return;
    }
    sw->vcpu->vm->page_watch[gpa >> PAGE_SHIFT] &= (uint8_t)~WATCH_CODE;
}

static void forget_sites(struct sw *sw, gva_t page)
{
    sw_fast_forget_sites(page);
    for (int i = 0; i < SITE_CACHE; i++) {
        if ((sw->site[i].gva & PAGE_MASK) == page)
            sw->site[i].valid = false;
    }
}

/* The filler goes in through the VMM's alias of the frame, and the frame stays mapped: Bochs keeps
 * a decoded instruction that straddles two pages until its bytes are written. */
static void clear_page(struct sw *sw, struct code_page *page)
{
    const bool bound = page->bound;
    code_page_clear(page);
    forget_sites(sw, page->gva);
    if (bound) {
        sw->window.stats.drops++;
        unwatch(sw, page->gpa);
    }
}

static struct code_page *page_of(struct window_region *r, gva_t gva)
{
    return (gva & REGION_MASK) == r->base ? r->page[(gva - r->base) >> PAGE_SHIFT] : NULL;
}

static struct code_page *any_region_page(struct sw *sw, gva_t gva)
{
    struct code_page *page = NULL;
    for (int i = 0; i < WINDOW_REGIONS && !page; i++) {
        if (sw->window.region[i].used)
            page = page_of(&sw->window.region[i], gva);
    }
    return page;
}

/* Drop a page, and those before it as long as their last instruction reaches into the next. */
static void drop(void *opaque, struct code_page *page)
{
    struct sw *sw = opaque;
    while (page) {
        struct code_page *before = any_region_page(sw, page->gva - PAGE_SIZE);
        clear_page(sw, page);
        page = before && before->bound && before->straddles ? before : NULL;
    }
}

/* NULL when there are too many code pages or too little memory. */
static struct code_page *new_page(struct sw *sw, struct window_region *r, gva_t gva)
{
    const uint32_t index = (gva - r->base) >> PAGE_SHIFT;
    uint64_t **pt = &r->pt[index >> 9];
    if (sw->window.count >= WINDOW_MAX_PAGES)
        return NULL;
    struct code_page *page = page_alloc();
    uint8_t *copy = page_alloc();
    if (!*pt)
        *pt = page_alloc();
    if (!page || !copy || !*pt) {
        if (page)
            page_free(page);
        if (copy)
            page_free(copy);
        return NULL;
    }
    page->gva = gva & PAGE_MASK;
    page->copy = copy;
    page->next = sw->window.all;
    sw->window.all = page;
    sw->window.count++;
    code_page_clear(page);
    r->page[index] = page;
    (*pt)[index & 511] = ptr_to_hpa(copy) | PTE_P | PTE_U;
    sw->shadow.pd[SHADOW_KERNEL][3][(WINDOW_BASE >> 21 & 511) + (index >> 9)] =
        ptr_to_hpa(*pt) | PTE_P | PTE_U;
    return page;
}

static void free_region(struct window_region *r)
{
    for (unsigned i = 0; i < WINDOW_TABLES; i++) {
        if (r->pt[i])
            page_free(r->pt[i]);
    }
    if (r->page)
        pages_free(r->page, WINDOW_PAGES * sizeof(void *) / PAGE_SIZE);
    memset(r, 0, sizeof(*r));
}

static void drop_everything(struct sw *sw)
{
    struct window *w = &sw->window;
    while (w->all) {
        struct code_page *page = w->all;
        clear_page(sw, page);
        w->all = page->next;
        page_free(page->copy);
        page_free(page);
    }
    w->count = 0;
    for (int i = 0; i < WINDOW_REGIONS; i++)
        free_region(&w->region[i]);
    w->current = -1;
    memset(&sw->shadow.pd[SHADOW_KERNEL][3][WINDOW_BASE >> 21 & 511], 0,
           WINDOW_TABLES * sizeof(uint64_t));
    sw->shadow.stale = true;
}

/* scan_source.page: the code page of gva, bound to the guest page it is mapped to now. */
static struct code_page *bind_page(void *opaque, gva_t gva, bool bind)
{
    struct sw *sw = opaque;
    struct window_region *r = current_region(&sw->window);
    struct vm *vm = sw->vcpu->vm;
    struct walk walk;
    uint32_t error;
    if (!r || (gva & REGION_MASK) != r->base)
        return NULL;
    struct code_page *page = page_of(r, gva);
    if (page && page->bound)
        return page;
    if (!bind)
        return NULL;
    if (!guest_walk(sw->vcpu, gva, ACCESS_FETCH | ACCESS_PEEK, &walk, &error) ||
        !guest_ram(vm, walk.gpa & PAGE_MASK, PAGE_SIZE))
        return NULL;
    if (!page)
        page = new_page(sw, r, gva);
    if (!page)
        return NULL;
    page->gpa = walk.gpa & PAGE_MASK;
    page->global = walk.global;
    page->large = walk.large;
    page->accessed = false;
    page->bound = true;
    sw->window.untouched++;
    uint8_t *watch = &vm->page_watch[page->gpa >> PAGE_SHIFT];
    if (!(*watch & WATCH_CODE)) {
        *watch |= WATCH_CODE;
        shadow_protect(&sw->shadow, page->gpa);
    }
    return page;
}

static const uint8_t *page_bytes(void *opaque, const struct code_page *page)
{
    const struct sw *sw = opaque;
    return guest_ram(sw->vcpu->vm, page->gpa, PAGE_SIZE);
}

void window_init(struct sw *sw)
{
    sw->window.current = -1;
    sw->window.source =
        (struct scan_source){.opaque = sw, .page = bind_page, .bytes = page_bytes, .drop = drop};
}

void window_free(struct sw *sw)
{
    if (sw->window.source.opaque)
        drop_everything(sw);
}

bool window_show(struct sw *sw, gva_t gva)
{
    struct window *w = &sw->window;
    int found = -1;
    for (int i = 0; i < WINDOW_REGIONS; i++) {
        if (w->region[i].used && w->region[i].base == (gva & REGION_MASK))
            found = i;
    }
    if (found < 0) {
        for (int i = 0; i < WINDOW_REGIONS && found < 0; i++) {
            if (!w->region[i].used)
                found = i;
        }
        if (found < 0) {
            drop_everything(sw);
            found = 0;
        }
        w->region[found].page = pages_alloc(WINDOW_PAGES * sizeof(void *) / PAGE_SIZE, PAGE_SIZE);
        if (!w->region[found].page)
            return false;
        w->region[found].used = true;
        w->region[found].base = gva & REGION_MASK;
    }
    w->current = found;
    w->moves++;
    uint64_t *pd = &sw->shadow.pd[SHADOW_KERNEL][3][WINDOW_BASE >> 21 & 511];
    for (unsigned i = 0; i < WINDOW_TABLES; i++) {
        const uint64_t *pt = w->region[found].pt[i];
        pd[i] = pt ? ptr_to_hpa(pt) | PTE_P | PTE_U : 0;
    }
    sw->shadow.stale = true;
    return true;
}

struct code_page *window_lookup(struct sw *sw, gva_t gva)
{
    struct window_region *r = current_region(&sw->window);
    return r ? page_of(r, gva) : NULL;
}

/*
 * A fetch sets accessed bits (SDM vol. 3A section 4.8); the CPU's own fetches are from the window,
 * so this does it. Not while scanning: a page table may lie on a code page, which is dropped then.
 */
static void touch_pages(struct sw *sw)
{
    struct window *w = &sw->window;
    if (!w->untouched)
        return;
    w->untouched = 0;
    for (struct code_page *p = w->all; p; p = p->next) {
        struct walk walk;
        uint32_t error;
        if (!p->bound || p->accessed)
            continue;
        p->accessed = true;
        guest_walk(sw->vcpu, p->gva, ACCESS_FETCH, &walk, &error);
    }
}

/* Pages that one instruction needs: with fewer left, all are dropped and scanning starts again. */
#define PAGES_NEEDED 2

static bool make_room(struct sw *sw, gva_t gva)
{
    if (sw->window.count + PAGES_NEEDED <= WINDOW_MAX_PAGES)
        return true;
    drop_everything(sw);
    return window_show(sw, gva);
}

enum scan_result window_scan(struct sw *sw, gva_t gva, int bits)
{
    if (!make_room(sw, gva))
        return SCAN_UNMAPPED;
    const enum scan_result result =
        scan(&sw->window.source, gva, bits, SCAN_BUDGET, &sw->window.stats);
    touch_pages(sw);
    return result;
}

bool window_open(struct sw *sw, gva_t gva, int bits)
{
    const bool open = make_room(sw, gva) && scan_open(&sw->window.source, gva, bits);
    touch_pages(sw);
    return open;
}

static void follow_width(struct sw *sw, int bits)
{
    if (bits == sw->window.bits)
        return;
    sw->window.bits = bits;
    for (struct code_page *p = sw->window.all; p; p = p->next) {
        if (p->bound && p->bits != bits)
            drop(sw, p);
    }
}

/* Does SS give what the guest's CS gives to reads? */
static bool ss_reads_as_cs(const struct vcpu *vcpu)
{
    const struct segment *cs = &vcpu->seg[SREG_CS], *ss = &vcpu->seg[SREG_SS];
    const bool expands_down = (ss->attr & (SEG_CODE | SEG_CE)) == SEG_CE;
    return cs->base == ss->base && cs->limit == UINT32_MAX && ss->limit == UINT32_MAX &&
           (cs->attr & SEG_RW) && !expands_down && !(ss->attr & SEG_UNUSABLE);
}

static void trap_cs_reads(struct sw *sw)
{
    for (struct code_page *p = sw->window.all; p; p = p->next) {
        if (p->reads_ss)
            drop(sw, p);
    }
}

void window_follow_segments(struct sw *sw, bool user)
{
    follow_width(sw, user || (sw->vcpu->seg[SREG_CS].attr & SEG_DB) ? 32 : 16);
    if (user)
        return;
    const bool traps = !ss_reads_as_cs(sw->vcpu);
    if (traps && !sw->window.source.trap_cs_reads)
        trap_cs_reads(sw);
    sw->window.source.trap_cs_reads = traps;
}

void window_drop_gpa(struct sw *sw, gpa_t gpa)
{
    for (struct code_page *p = sw->window.all; p; p = p->next) {
        if (p->bound && p->gpa == gpa)
            drop(sw, p);
    }
}

static void revalidate(struct sw *sw, struct code_page *page)
{
    struct walk walk;
    uint32_t error;
    if (!guest_walk(sw->vcpu, page->gva, ACCESS_FETCH | ACCESS_PEEK, &walk, &error) ||
        (walk.gpa & PAGE_MASK) != page->gpa || !walk.accessed) {
        drop(sw, page);
    } else {
        page->global = walk.global;
        page->large = walk.large;
    }
}

void window_revalidate(struct sw *sw, bool global_too)
{
    for (struct code_page *p = sw->window.all; p; p = p->next) {
        if (p->bound && (global_too || !p->global))
            revalidate(sw, p);
    }
}

void window_revalidate_page(struct sw *sw, gva_t gva)
{
    for (struct code_page *p = sw->window.all; p; p = p->next) {
        if ((p->gva ^ gva) >> LARGE_SHIFT || !p->bound)
            continue;
        if (p->large || p->gva == (gva & PAGE_MASK))
            revalidate(sw, p);
    }
}
