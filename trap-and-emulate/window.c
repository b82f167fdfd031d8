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
static struct code_page *bind_page(void *opaque, gva_t gva)
{
    struct sw *sw = opaque;
    struct window_region *r = current_region(&sw->window);
    struct vm *vm = sw->vcpu->vm;
    struct walk walk;
    uint32_t error;
    if ((gva & REGION_MASK) != r->base)
        return NULL;
    struct code_page *page = page_of(r, gva);
    if (page && page->bound)
        return page;
    if (!guest_walk(sw->vcpu, gva, ACCESS_FETCH | ACCESS_PEEK, &walk, &error) ||
        !guest_ram(vm, walk.gpa & PAGE_MASK, PAGE_SIZE))
        return NULL;
    if (!page)
        page = new_page(sw, r, gva);
    if (!page)
        return NULL;
    page->gpa = walk.gpa & PAGE_MASK;
    page->global = walk.global;
    page->bound = true;
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

/* Pages that one instruction needs: with fewer left, all are dropped and scanning starts again. */
#define PAGES_NEEDED 2

enum scan_result window_scan(struct sw *sw, gva_t gva, int bits)
{
    if (sw->window.count + PAGES_NEEDED > WINDOW_MAX_PAGES) {
        drop_everything(sw);
        if (!window_show(sw, gva))
            return SCAN_UNMAPPED;
    }
    return scan(&sw->window.source, gva, bits, SCAN_BUDGET, &sw->window.stats);
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
        (walk.gpa & PAGE_MASK) != page->gpa)
        drop(sw, page);
    else
        page->global = walk.global;
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
    struct code_page *page = any_region_page(sw, gva);
    if (!(sw->vcpu->cr4 & CR4_PSE)) {
        if (page && page->bound)
            revalidate(sw, page);
        return;
    }
    for (page = sw->window.all; page; page = page->next) { /* large pages go as a whole */
        if (page->bound && (page->gva ^ gva) >> LARGE_SHIFT == 0)
            revalidate(sw, page);
    }
}
