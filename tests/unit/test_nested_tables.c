/* Nested page tables in both formats: every guest page goes where the VM's memory map says. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tables.h"
#include "x86.h"

#define POOL 64
#define RAM_HPA 0x04000000u

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

static void check_every_page(const struct nested_map *map)
{
    for (gpa_t gpa = 0; gpa < vm.ram_size + (8u << 20); gpa += PAGE_SIZE) {
        hpa_t want = 0, have = 0;
        const bool memory = vm_gpa_to_hpa(&vm, gpa, &want);
        cr_assert_eq(nested_lookup(map, gpa + 0x123, &have), memory, "gpa %x", gpa);
        if (memory)
            cr_assert_eq(have, want + 0x123, "gpa %x goes to %x, not %x", gpa, have, want + 0x123);
    }
    hpa_t hpa;
    cr_expect_not(nested_lookup(map, 0xFFFFF000u, &hpa));
    cr_expect_not(nested_lookup(map, 0xFEE00000u, &hpa));
}

Test(nested_tables, npt_maps_what_the_vm_has)
{
    struct nested_map map = new_map(POOL);
    cr_assert_null(nested_build(&map, NESTED_NPT, &vm));
    check_every_page(&map);
    cr_expect_eq(map.large_pages, 15, "2 MB pages from 2 MB on");
    cr_expect_eq(map.root[0] & 0x1E6, 0, "a PAE PDPTE has no access bits");
    cr_expect_eq(map.root[0] & PTE_P, PTE_P);
    nested_free(&map);
    cr_expect_eq(in_use(), 0, "pages leaked");
}

Test(nested_tables, ept_maps_what_the_vm_has)
{
    struct nested_map map = new_map(POOL);
    cr_assert_null(nested_build(&map, NESTED_EPT, &vm));
    check_every_page(&map);
    cr_expect_eq(map.root[0] & 7, 7, "readable, writable, executable");
    const uint64_t *pdpt = to_ptr((hpa_t)(map.root[0] & ~0xFFFull));
    const uint64_t *pd = to_ptr((hpa_t)(pdpt[0] & ~0xFFFull));
    cr_expect_eq(pd[1] & 0xFFF, 0xB7, "a write-back 2 MB leaf (SDM table 28-5)");
    nested_free(&map);
    cr_expect_eq(in_use(), 0, "pages leaked");
}

Test(nested_tables, npt_leaves_are_user_pages)
{
    struct nested_map map = new_map(POOL);
    cr_assert_null(nested_build(&map, NESTED_NPT, &vm));
    const uint64_t *pd = to_ptr((hpa_t)(map.root[0] & ~0xFFFull));
    cr_expect_eq(pd[1] & 0xFFF, PTE_P | PTE_W | PTE_U | PTE_PS);
    nested_free(&map);
}

/* The last page of a VM's memory need not end a 2 MB piece; its pages then are small ones. */
Test(nested_tables, odd_sizes_end_where_memory_ends)
{
    const struct vm odd = {.ram_hpa = RAM_HPA, .ram_size = (6u << 20) + 0x3000, .vga_hpa = 0xB8000};
    struct nested_map map = new_map(POOL);
    hpa_t hpa;
    cr_assert_null(nested_build(&map, NESTED_NPT, &odd));
    cr_expect_eq(map.large_pages, 2);
    cr_expect(nested_lookup(&map, (6u << 20) + 0x2FFF, &hpa));
    cr_expect_eq(hpa, RAM_HPA + (6u << 20) + 0x2FFF);
    cr_expect_not(nested_lookup(&map, (6u << 20) + 0x3000, &hpa));
    nested_free(&map);
    cr_expect_eq(in_use(), 0, "pages leaked");
}

/* Host memory that is not 2 MB aligned cannot be mapped by large pages. */
Test(nested_tables, unaligned_memory_gets_small_pages)
{
    const struct vm odd = {
        .ram_hpa = RAM_HPA + PAGE_SIZE, .ram_size = 4u << 20, .vga_hpa = 0xB8000};
    struct nested_map map = new_map(POOL);
    hpa_t hpa;
    cr_assert_null(nested_build(&map, NESTED_EPT, &odd));
    cr_expect_eq(map.large_pages, 0);
    cr_expect(nested_lookup(&map, 0x345678, &hpa));
    cr_expect_eq(hpa, RAM_HPA + PAGE_SIZE + 0x345678);
    nested_free(&map);
}

static void check_every_shortage(enum nested_format format, unsigned needed)
{
    for (unsigned pages = 0; pages <= needed; pages++) {
        struct nested_map map = new_map(pages);
        const char *why = nested_build(&map, format, &vm);
        cr_expect_eq(!why, pages == needed, "with %u pages: %s", pages, why ? why : "success");
        if (!why)
            nested_free(&map);
        cr_expect_eq(in_use(), 0, "with %u pages", pages);
    }
}

/* One table of each level. */
Test(nested_tables, failure_leaves_nothing_behind)
{
    check_every_shortage(NESTED_NPT, 3);
    check_every_shortage(NESTED_EPT, 4);
}
