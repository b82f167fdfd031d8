/* Nested page tables; see tables.h. */
#include "tables.h"

#include "x86.h"

#define ENTRIES 512
#define LARGE_SIZE 0x200000u
#define ADDRESS 0x000FFFFFFFFFF000ull
#define EPT_RWX 0x7u
#define EPT_W 0x2u
#define EPT_WRITE_BACK (6u << 3)
#define EPT_LARGE (1u << 7)

static int levels(const struct nested_map *map)
{
    return map->format == NESTED_EPT ? 4 : 3;
}

/* Index of gpa in the table of a level: 1 page table ... 4 PML4. */
static unsigned index_at(gpa_t gpa, int level)
{
    return (unsigned)((uint64_t)gpa >> (12 + 9 * (level - 1))) & (ENTRIES - 1);
}

static bool present(const struct nested_map *map, uint64_t entry)
{
    return entry & (map->format == NESTED_EPT ? EPT_RWX : PTE_P);
}

static bool large(const struct nested_map *map, uint64_t entry, int level)
{
    return level == 2 && entry & (map->format == NESTED_EPT ? EPT_LARGE : PTE_PS);
}

/* An entry that points to a lower table. The entries of a PAE page-directory-pointer table have no
 * access bits (SDM vol. 3A table 4-8). */
static uint64_t table_entry(const struct nested_map *map, hpa_t table, int level)
{
    if (map->format == NESTED_EPT)
        return table | EPT_RWX;
    return table | (level == 3 ? PTE_P : PTE_P | PTE_W | PTE_U);
}

/* A nested walk is a user access (APM vol. 2 section 15.25.5), hence PTE_U. */
static uint64_t leaf_entry(const struct nested_map *map, hpa_t hpa, bool is_large)
{
    if (map->format == NESTED_EPT)
        return hpa | EPT_RWX | EPT_WRITE_BACK | (is_large ? EPT_LARGE : 0);
    return hpa | PTE_P | PTE_W | PTE_U | (is_large ? PTE_PS : 0);
}

static bool set_leaf(struct nested_map *map, gpa_t gpa, uint64_t leaf, int leaf_level)
{
    uint64_t *table = map->root;
    for (int level = levels(map); level > leaf_level; level--) {
        uint64_t *entry = &table[index_at(gpa, level)];
        if (!present(map, *entry)) {
            void *next = map->alloc();
            if (!next)
                return false;
            *entry = table_entry(map, map->to_hpa(next), level);
        }
        table = map->to_ptr((hpa_t)(*entry & ADDRESS));
    }
    table[index_at(gpa, leaf_level)] = leaf;
    if (leaf_level == 2)
        map->large_pages++;
    else
        map->small_pages++;
    return true;
}

const char *nested_build(struct nested_map *map, enum nested_format format, const struct vm *vm)
{
    map->format = format;
    map->small_pages = map->large_pages = 0;
    map->root = map->alloc();
    bool ok = map->root;
    for (gpa_t gpa = 0; ok && gpa < vm->ram_size;) {
        hpa_t hpa;
        const bool memory = vm_gpa_to_hpa(vm, gpa, &hpa);
        /* From 1 MB on RAM is contiguous, so an aligned 2 MB piece is one page. */
        const bool big = memory && gpa >= LARGE_SIZE && !(gpa % LARGE_SIZE) &&
                         !(hpa % LARGE_SIZE) && vm->ram_size - gpa >= LARGE_SIZE;
        if (memory)
            ok = set_leaf(map, gpa, leaf_entry(map, hpa, big), big ? 2 : 1);
        gpa += big ? LARGE_SIZE : PAGE_SIZE;
    }
    if (ok)
        return NULL;
    nested_free(map);
    return "too little memory for the nested page tables";
}

bool nested_add_page(struct nested_map *map, gpa_t gpa, hpa_t hpa)
{
    const uint64_t write = map->format == NESTED_EPT ? EPT_W : PTE_W;
    return set_leaf(map, gpa, leaf_entry(map, hpa, false) & ~write, 1);
}

static void free_table(struct nested_map *map, uint64_t *table, int level)
{
    for (int i = 0; level > 1 && i < ENTRIES; i++) {
        if (present(map, table[i]) && !large(map, table[i], level))
            free_table(map, map->to_ptr((hpa_t)(table[i] & ADDRESS)), level - 1);
    }
    map->release(table);
}

void nested_free(struct nested_map *map)
{
    if (map->root)
        free_table(map, map->root, levels(map));
    map->root = NULL;
}

bool nested_lookup(const struct nested_map *map, gpa_t gpa, hpa_t *hpa)
{
    const uint64_t *table = map->root;
    for (int level = levels(map);; level--) {
        const uint64_t entry = table[index_at(gpa, level)];
        if (!present(map, entry))
            return false;
        if (level == 1 || large(map, entry, level)) {
            const gpa_t mask = level == 1 ? PAGE_SIZE - 1 : LARGE_SIZE - 1;
            *hpa = (hpa_t)(entry & ADDRESS & ~(uint64_t)mask) | (gpa & mask);
            return true;
        }
        table = map->to_ptr((hpa_t)(entry & ADDRESS));
    }
}
