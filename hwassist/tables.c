/* Nested page tables; see tables.h. */
#include "tables.h"

#include <string.h>

#include "pte_words.h"
#include "sink.h"
#include "vmm.h"
#include "x86.h"

#define ENTRIES 512
#define LARGE_SIZE 0x200000u
#define UPPER_SPAN 0x40000000u /* what a table of level 2 maps */
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

/* The table that an entry of a higher one points to; makes it where there is none. NULL: there is
 * no memory for it. */
static uint64_t *next_table(struct nested_map *map, uint64_t *entry, int level)
{
    if (!present(map, *entry)) {
        void *next = map->alloc();
        if (!next)
            return NULL;
        *entry = table_entry(map, map->to_hpa(next), level);
    }
    return map->to_ptr((hpa_t)(*entry & ADDRESS));
}

/* The tables above the leaves, for all memory of vm. Later only tables of 4 KB pages are added: a
 * processor may hold the upper entries that a VM entry found (APM vol. 2 section 15.25.3). */
static bool upper_tables(struct nested_map *map, const struct vm *vm)
{
    for (uint64_t gpa = 0; gpa < vm->ram_size; gpa += UPPER_SPAN) {
        uint64_t *table = map->root;
        for (int level = levels(map); table && level > 2; level--)
            table = next_table(map, &table[index_at((gpa_t)gpa, level)], level);
        if (!table)
            return false;
    }
    return true;
}

/* The user's word for the size of pages. Returns NULL, or a sentence. */
static const char *page_size(struct nested_map *map, const char *options)
{
    char word[4];
    map->small_only = false;
    if (!options || !option_value(options, "nested", word, sizeof(word)))
        return NULL;
    map->small_only = !strcmp(word, "4k");
    return map->small_only || !strcmp(word, "2m") ? NULL : "nested= takes 4k or 2m";
}

const char *nested_open(struct nested_map *map, enum nested_format format, const struct vm *vm)
{
    map->format = format;
    map->small_pages = map->large_pages = 0;
    map->root = map->last_table = NULL;
    const char *why = page_size(map, vm->options);
    if (why)
        return why;
    map->root = map->alloc();
    if (map->root && upper_tables(map, vm))
        return NULL;
    nested_free(map);
    return "too little memory for the nested page tables";
}

bool nested_add_page(struct nested_map *map, gpa_t gpa, hpa_t hpa)
{
    const uint64_t write = map->format == NESTED_EPT ? EPT_W : PTE_W;
    uint64_t *table = map->root;
    for (int level = levels(map); table && level > 1; level--)
        table = next_table(map, &table[index_at(gpa, level)], level);
    if (table)
        table[index_at(gpa, 1)] = leaf_entry(map, hpa, false) & ~write;
    return table;
}

/* From 1 MB on RAM is contiguous, so an aligned 2 MB piece of it may be one page. */
static bool fits_large(const struct nested_map *map, const struct vm *vm, gpa_t gpa)
{
    const gpa_t start = gpa & ~(LARGE_SIZE - 1);
    return !map->small_only && start >= LARGE_SIZE && vm->ram_size - start >= LARGE_SIZE &&
           !(vm->ram_hpa & (LARGE_SIZE - 1));
}

/* The entry of level 2 for gpa. The tables above are there (upper_tables). */
static uint64_t *piece_entry(struct nested_map *map, gpa_t gpa)
{
    uint64_t *table = map->root;
    for (int level = levels(map); level > 2; level--)
        table = map->to_ptr((hpa_t)(table[index_at(gpa, level)] & ADDRESS));
    return &table[index_at(gpa, 2)];
}

static enum nested_result fill_large(struct nested_map *map, gpa_t gpa, hpa_t hpa)
{
    uint64_t *entry = piece_entry(map, gpa);
    if (present(map, *entry))
        return NESTED_HOLE;
    *entry = leaf_entry(map, hpa & ~(LARGE_SIZE - 1), true);
    map->large_pages++;
    return NESTED_FILLED;
}

static enum nested_result fill_small(struct nested_map *map, uint64_t *entry, hpa_t hpa)
{
    if (present(map, *entry))
        return NESTED_HOLE;
    *entry = leaf_entry(map, hpa, false);
    map->small_pages++;
    return NESTED_FILLED;
}

/* All memory of a piece that cannot be one large page: the guest will want most of it. */
static enum nested_result fill_piece(struct nested_map *map, const struct vm *vm, gpa_t gpa,
                                     uint64_t *table)
{
    const gpa_t start = gpa & ~(LARGE_SIZE - 1);
    hpa_t hpa;
    if (present(map, table[index_at(gpa, 1)]))
        return NESTED_HOLE;
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (vm_gpa_to_hpa(vm, start + i * PAGE_SIZE, &hpa))
            fill_small(map, &table[i], hpa);
    }
    return NESTED_FILLED;
}

/* With small pages only, guests touch those of a piece one after the other. */
enum nested_result nested_fill(struct nested_map *map, const struct vm *vm, gpa_t gpa)
{
    hpa_t hpa;
    if (!vm_gpa_to_hpa(vm, gpa, &hpa))
        return NESTED_HOLE;
    if (fits_large(map, vm, gpa))
        return fill_large(map, gpa, hpa);
    if (!map->last_table || map->last_piece != gpa / LARGE_SIZE) {
        map->last_table = next_table(map, piece_entry(map, gpa), 2);
        map->last_piece = gpa / LARGE_SIZE;
        if (!map->last_table)
            return NESTED_EXHAUSTED;
    }
    if (!map->small_only)
        return fill_piece(map, vm, gpa, map->last_table);
    return fill_small(map, &map->last_table[index_at(gpa, 1)], hpa);
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

/* --- for people --- */

/* SDM vol. 3C tables 28-1 to 28-6; NPT entries are those of PAE. */
static const char *entry_words(const struct nested_map *map, uint64_t entry, int level, char *to,
                               unsigned size)
{
    if (map->format == NESTED_NPT)
        return pte_words(entry, to, size);
    ksnprintf(to, size, "%s%s%s%s", entry & 1 ? "readable" : "not readable",
              entry & EPT_W ? ", writable" : ", read-only", entry & 4 ? ", executable" : "",
              large(map, entry, level) ? ", large" : "");
    return present(map, entry) ? to : "not present";
}

void nested_explain(const struct nested_map *map, gpa_t gpa, struct sink *sink)
{
    const uint64_t *table = map->root;
    char words[120];
    for (int level = levels(map);; level--) {
        const uint64_t entry = table[index_at(gpa, level)];
        say(sink, "    level %d, entry %u is %08x%08x: %s", level, index_at(gpa, level),
            (uint32_t)(entry >> 32), (uint32_t)entry,
            level == 3 && map->format == NESTED_NPT && present(map, entry)
                ? "present (a pointer-table entry has no rights)"
                : entry_words(map, entry, level, words, sizeof(words)));
        if (!present(map, entry)) {
            say(sink,
                "    the first access leaves the guest by a nested fault, and the VMM fills the "
                "entry if the guest has memory there");
            return;
        }
        if (level == 1 || large(map, entry, level))
            break;
        table = map->to_ptr((hpa_t)(entry & ADDRESS));
    }
    hpa_t hpa = 0;
    nested_lookup(map, gpa, &hpa);
    say(sink, "    guest physical %08x is host physical %08x; the guest reaches it without an exit",
        gpa, hpa);
}

/* Neighbours that are mapped alike are one line. */
struct run {
    gpa_t start;
    hpa_t hpa;
    uint64_t length;
};

static void say_run(struct sink *sink, const struct run *r)
{
    if (r->length)
        say(sink, "  guest physical %08x to %08x: host physical %08x", r->start,
            (uint32_t)(r->start + r->length - 1), r->hpa);
}

/* How much from gpa on has no entry: at least up to the end of what the first missing entry maps.
 */
static uint64_t gap_at(const struct nested_map *map, gpa_t gpa)
{
    const uint64_t *table = map->root;
    int level = levels(map);
    while (level > 1 && present(map, table[index_at(gpa, level)])) {
        table = map->to_ptr((hpa_t)(table[index_at(gpa, level)] & ADDRESS));
        level--;
    }
    const uint64_t span = (uint64_t)PAGE_SIZE << 9 * (level - 1);
    return span - (gpa & (span - 1));
}

#define SHOW_END (1ull << 32)

void nested_show(const struct nested_map *map, struct sink *sink)
{
    struct run run = {0, 0, 0};
    for (uint64_t at = 0; at < SHOW_END; at += PAGE_SIZE) {
        const gpa_t gpa = (gpa_t)at;
        hpa_t hpa;
        if (!nested_lookup(map, gpa, &hpa)) {
            at += gap_at(map, gpa) - PAGE_SIZE;
            continue;
        }
        if (run.length && gpa == run.start + run.length && hpa == run.hpa + run.length) {
            run.length += PAGE_SIZE;
        } else {
            say_run(sink, &run);
            run = (struct run){gpa, hpa, PAGE_SIZE};
        }
    }
    say_run(sink, &run);
    say(sink, "%s: %u pages of 4 KB, %u of 2 MB", map->format == NESTED_EPT ? "EPT" : "NPT",
        map->small_pages, map->large_pages);
}
