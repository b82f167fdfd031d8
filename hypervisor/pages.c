/*
 * Host memory: a bitmap of the 4 KB pages below DIRECT_MAP_SIZE. Pages are handed out from the
 * bottom, guests' RAM from the top, so that both stay contiguous.
 */
#include <string.h>

#include "host.h"

#define PAGES (DIRECT_MAP_SIZE / PAGE_SIZE)

static uint32_t taken[PAGES / 32];
static uint32_t first, last, next_hint, free_pages;

static bool is_taken(uint32_t page)
{
    return taken[page / 32] >> (page % 32) & 1;
}

static void mark(uint32_t page, uint32_t n, bool take)
{
    for (uint32_t i = page; i < page + n; i++) {
        if (take)
            taken[i / 32] |= 1u << (i % 32);
        else
            taken[i / 32] &= ~(1u << (i % 32));
    }
    free_pages = take ? free_pages - n : free_pages + n;
}

void pages_init(hpa_t start, hpa_t end)
{
    memset(taken, 0xFF, sizeof(taken));
    first = next_hint = (start + PAGE_SIZE - 1) / PAGE_SIZE;
    last = (end < DIRECT_MAP_SIZE ? end : DIRECT_MAP_SIZE) / PAGE_SIZE;
    if (last > first)
        mark(first, last - first, false);
}

static uint32_t run_length(uint32_t page, uint32_t want)
{
    uint32_t n = 0;
    while (n < want && page + n < last && !is_taken(page + n))
        n++;
    return n;
}

void *pages_alloc(uint32_t n, uint32_t align)
{
    uint32_t step = align > PAGE_SIZE ? align / PAGE_SIZE : 1;
    uint32_t from = n == 1 ? next_hint : first;
    for (uint32_t page = (from + step - 1) / step * step; page + n <= last; page += step) {
        if (run_length(page, n) < n)
            continue;
        mark(page, n, true);
        if (n == 1)
            next_hint = page + 1;
        return memset(hpa_to_ptr(page * PAGE_SIZE), 0, n * PAGE_SIZE);
    }
    return NULL;
}

void *page_alloc(void)
{
    return pages_alloc(1, PAGE_SIZE);
}

void pages_free(void *p, uint32_t n)
{
    uint32_t page = ptr_to_hpa(p) / PAGE_SIZE;
    ASSERT(page >= first && page + n <= last && is_taken(page));
    mark(page, n, false);
    if (page < next_hint)
        next_hint = page;
}

void page_free(void *page)
{
    pages_free(page, 1);
}

uint32_t pages_available(void)
{
    return free_pages;
}

hpa_t guest_ram_alloc(uint32_t bytes)
{
    const uint32_t n = bytes / PAGE_SIZE, step = 0x400000 / PAGE_SIZE;
    for (uint32_t page = (last - (last < n ? last : n)) / step * step; page >= first && page;
         page -= step) {
        if (run_length(page, n) < n)
            continue;
        mark(page, n, true);
        memset(hpa_to_ptr(page * PAGE_SIZE), 0, bytes);
        return page * PAGE_SIZE;
    }
    return 0;
}
