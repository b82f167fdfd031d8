/* Nested page tables in both formats: every guest page that is touched goes where the VM's memory
 * map says, and the others are not there. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tables.h"
#include "x86.h"

#define POOL 64
#define RAM_HPA 0x04000000u
#define LARGE 0x200000u

/* "Host physical" addresses are offsets in a pool of pages. */
static uint64_t pool[POOL][512] __attribute__((aligned(4096)));
static bool taken[POOL];
static unsigned limit;

static void *alloc(void)
{
    for (unsigned i = 0; i < limit; i++) {
        if (!taken[i]) {
            taken[i] = true;
            memset(pool[i], 0, sizeof(pool[i]));
            return pool[i];
        }
    }
    return NULL;
}

static void release(void *page)
{
    taken[(uint64_t(*)[512])page - pool] = false;
}

static hpa_t to_hpa(const void *page)
{
    return (hpa_t)((const uint8_t *)page - (const uint8_t *)pool);
}

static void *to_ptr(hpa_t hpa)
{
    return (uint8_t *)pool + hpa;
}

static unsigned in_use(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < POOL; i++)
        n += taken[i];
    return n;
}

static struct nested_map new_map(unsigned pages)
{
    memset(taken, 0, sizeof(taken));
    limit = pages;
    return (struct nested_map){
        .alloc = alloc, .release = release, .to_hpa = to_hpa, .to_ptr = to_ptr};
}

static const struct vm vm = {.ram_hpa = RAM_HPA, .ram_size = 32u << 20, .vga_hpa = 0xB8000};

/* Each page is a hole, or there after its first touch, and no page comes with it but those of its
 * 2 MB. */
static void touch_every_page(struct nested_map *map, const struct vm *of)
{
    for (gpa_t gpa = 0; gpa < of->ram_size + (8u << 20); gpa += PAGE_SIZE) {
        hpa_t want = 0, have = 0;
        const bool memory = vm_gpa_to_hpa(of, gpa, &want);
        const bool there = nested_lookup(map, gpa, &have);
        cr_assert(!there || (memory && !map->small_only && gpa % LARGE), "gpa %x came untouched",
                  gpa);
        const enum nested_result result = nested_fill(map, of, gpa + 0x123);
        cr_assert_eq(result, memory && !there ? NESTED_FILLED : NESTED_HOLE, "gpa %x", gpa);
        cr_assert_eq(nested_lookup(map, gpa + 0x123, &have), memory, "gpa %x", gpa);
        if (memory)
            cr_assert_eq(have, want + 0x123, "gpa %x goes to %x, not %x", gpa, have, want + 0x123);
    }
    cr_expect_eq(nested_fill(map, of, 0xFFFFF000u), NESTED_HOLE);
    cr_expect_eq(nested_fill(map, of, 0xFEE00000u), NESTED_HOLE);
}

/* Pages of the lowest 2 MB: all but the holes. */
#define LOW_PAGES (512 - (0xB8000 - 0xA0000) / 4096 - (0x100000 - 0xC0000) / 4096)

Test(nested_tables, npt_maps_what_the_vm_has)
{
    struct nested_map map = new_map(POOL);
    cr_assert_null(nested_open(&map, NESTED_NPT, &vm));
    cr_expect_eq(map.root[0] & 0x1E6, 0, "a PAE PDPTE has no access bits");
    cr_expect_eq(map.root[0] & PTE_P, PTE_P, "it is there from the start");
    touch_every_page(&map, &vm);
    cr_expect_eq(map.large_pages, 15, "2 MB pages from 2 MB on");
    cr_expect_eq(map.small_pages, LOW_PAGES);
    nested_free(&map);
    cr_expect_eq(in_use(), 0, "pages leaked");
}

Test(nested_tables, ept_maps_what_the_vm_has)
{
    struct nested_map map = new_map(POOL);
    cr_assert_null(nested_open(&map, NESTED_EPT, &vm));
    touch_every_page(&map, &vm);
    cr_expect_eq(map.large_pages, 15);
    cr_expect_eq(map.small_pages, LOW_PAGES);
    cr_expect_eq(map.root[0] & 7, 7, "readable, writable, executable");
    const uint64_t *pdpt = to_ptr((hpa_t)(map.root[0] & ~0xFFFull));
    const uint64_t *pd = to_ptr((hpa_t)(pdpt[0] & ~0xFFFull));
    const uint64_t *pt = to_ptr((hpa_t)(pd[0] & ~0xFFFull));
    cr_expect_eq(pd[1] & 0xFFF, 0xB7, "a write-back 2 MB leaf (SDM table 28-5)");
    cr_expect_eq(pt[1], (RAM_HPA + 0x1000) | 0x37, "a write-back 4 KB leaf (SDM table 28-6)");
    nested_free(&map);
    cr_expect_eq(in_use(), 0, "pages leaked");
}

Test(nested_tables, npt_leaves_are_user_pages)
{
    struct nested_map map = new_map(POOL);
    cr_assert_null(nested_open(&map, NESTED_NPT, &vm));
    cr_expect_eq(nested_fill(&map, &vm, 0x2FF123), NESTED_FILLED);
    cr_expect_eq(nested_fill(&map, &vm, 0x1FF123), NESTED_FILLED);
    const uint64_t *pd = to_ptr((hpa_t)(map.root[0] & ~0xFFFull));
    const uint64_t *pt = to_ptr((hpa_t)(pd[0] & ~0xFFFull));
    cr_expect_eq(pd[1], (RAM_HPA + LARGE) | PTE_P | PTE_W | PTE_U | PTE_PS);
    cr_expect_eq(pt[0x1FF], (RAM_HPA + 0x1FF000) | PTE_P | PTE_W | PTE_U);
    cr_expect_eq(pt[0x1FE], (RAM_HPA + 0x1FE000) | PTE_P | PTE_W | PTE_U, "its piece is there");
    cr_expect_eq(pt[0xA0], 0, "but for the holes");
    cr_expect_eq(pd[2], 0, "and nothing else");
    nested_free(&map);
}

/* The word nested=4k, and what it is not. */
Test(nested_tables, pages_are_as_large_as_the_user_wants)
{
    struct vm small = vm;
    struct nested_map map = new_map(POOL);
    small.options = "mode=svm nested=4k";
    cr_assert_null(nested_open(&map, NESTED_NPT, &small));
    touch_every_page(&map, &small);
    cr_expect_eq(map.large_pages, 0);
    cr_expect_eq(map.small_pages, LOW_PAGES + 15 * 512);
    nested_free(&map);
    cr_expect_eq(in_use(), 0, "pages leaked");
    small.options = "nested=2m";
    cr_assert_null(nested_open(&map, NESTED_NPT, &small));
    cr_expect_not(map.small_only);
    nested_free(&map);
    static const char *const wrong[] = {"nested=", "nested=4", "nested=4kb", "nested=4K"};
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        small.options = wrong[i];
        cr_expect_not_null(nested_open(&map, NESTED_NPT, &small), "%s", wrong[i]);
        cr_expect_eq(in_use(), 0, "pages leaked");
    }
}

/* The last page of a VM's memory need not end a 2 MB piece; its pages then are small ones. */
Test(nested_tables, odd_sizes_end_where_memory_ends)
{
    const struct vm odd = {.ram_hpa = RAM_HPA, .ram_size = (6u << 20) + 0x3000, .vga_hpa = 0xB8000};
    struct nested_map map = new_map(POOL);
    cr_assert_null(nested_open(&map, NESTED_NPT, &odd));
    touch_every_page(&map, &odd);
    cr_expect_eq(map.large_pages, 2);
    cr_expect_eq(map.small_pages, LOW_PAGES + 3);
    nested_free(&map);
    cr_expect_eq(in_use(), 0, "pages leaked");
}

/* Host memory that is not 2 MB aligned cannot be mapped by large pages. */
Test(nested_tables, unaligned_memory_gets_small_pages)
{
    const struct vm odd = {
        .ram_hpa = RAM_HPA + PAGE_SIZE, .ram_size = 4u << 20, .vga_hpa = 0xB8000};
    struct nested_map map = new_map(POOL);
    cr_assert_null(nested_open(&map, NESTED_EPT, &odd));
    touch_every_page(&map, &odd);
    cr_expect_eq(map.large_pages, 0);
    nested_free(&map);
}

/* What starts has the tables of the upper levels; each piece of small pages then needs one. */
static void check_every_shortage(enum nested_format format, unsigned needed)
{
    for (unsigned pages = 0; pages <= needed; pages++) {
        struct nested_map map = new_map(pages);
        const char *why = nested_open(&map, format, &vm);
        cr_expect_eq(!why, pages == needed, "with %u pages: %s", pages, why ? why : "success");
        if (!why) {
            hpa_t hpa;
            cr_expect_eq(nested_fill(&map, &vm, 0x1000), NESTED_EXHAUSTED);
            cr_expect_not(nested_lookup(&map, 0x1000, &hpa));
            cr_expect_eq(nested_fill(&map, &vm, LARGE), NESTED_FILLED, "it needs no table");
            cr_expect_eq(map.small_pages, 0);
            limit++;
            cr_expect_eq(nested_fill(&map, &vm, 0x1000), NESTED_FILLED);
            nested_free(&map);
        }
        cr_expect_eq(in_use(), 0, "with %u pages", pages);
    }
}

Test(nested_tables, failure_leaves_nothing_behind)
{
    check_every_shortage(NESTED_NPT, 2);
    check_every_shortage(NESTED_EPT, 3);
}

/* More than what one table of level 2 maps. */
Test(nested_tables, large_memory_has_several_upper_tables)
{
    const struct vm large = {.ram_hpa = RAM_HPA, .ram_size = 0x80400000u, .vga_hpa = 0xB8000};
    for (int format = NESTED_NPT; format <= NESTED_EPT; format++) {
        struct nested_map map = new_map(POOL);
        hpa_t hpa;
        cr_assert_null(nested_open(&map, (enum nested_format)format, &large));
        cr_expect_eq(nested_fill(&map, &large, 0x80200000u), NESTED_FILLED);
        cr_expect(nested_lookup(&map, 0x80234567u, &hpa));
        cr_expect_eq(hpa, RAM_HPA + 0x80234567u);
        cr_expect_not(nested_lookup(&map, 0x40234567u, &hpa));
        nested_free(&map);
        cr_expect_eq(in_use(), 0, "pages leaked");
    }
}
