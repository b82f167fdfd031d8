/*
 * Nested page tables: the guest-physical map of a VM, in the two formats that hardware walks.
 *   NESTED_NPT  AMD-V, in the host's own format, which is PAE here: three levels, AMD APM vol. 2
 *               section 15.25
 *   NESTED_EPT  VT-x: four levels of 64-bit entries whatever the host's format, SDM vol. 3C
 *               section 28.2
 * They are empty at first. The guest's first access to a piece of its memory leaves it with a
 * nested fault, and nested_fill() maps the piece, which is 2 MB: by one page where alignment
 * allows, else by pages of 4 KB. What is mapped stays, for the memory of a VM never moves. Pure
 * code; memory comes through the callbacks.
 */
#ifndef TRIVISOR_TABLES_H
#define TRIVISOR_TABLES_H

#include "vm.h"

struct sink;

enum nested_format { NESTED_NPT, NESTED_EPT };

struct nested_map {
    enum nested_format format;
    bool small_only; /* pages of 4 KB, one at a time, for who wants to see what that costs */
    uint64_t *root;
    void *(*alloc)(void); /* one zeroed page, or NULL */
    void (*release)(void *page);
    hpa_t (*to_hpa)(const void *page);
    void *(*to_ptr)(hpa_t hpa);
    unsigned small_pages, large_pages;
    uint64_t *last_table; /* of 4 KB pages, the one used last, or NULL */
    gpa_t last_piece;     /* which 2 MB it is for */
};

/*
 * Empty tables for vm. The callbacks must be set. The words for the VMM may hold nested=4k or
 * nested=2m (the default): which pages are made. Returns NULL, or a sentence; on failure nothing is
 * left allocated.
 */
const char *nested_open(struct nested_map *map, enum nested_format format, const struct vm *vm);
void nested_free(struct nested_map *map);

/*
 * The guest had no entry for gpa (any address in the page).
 * NESTED_FILLED: now it has. NESTED_HOLE: vm has no memory there, or the entry is there and is not
 * the reason. NESTED_EXHAUSTED: no memory is left for a table; nothing is mapped.
 */
enum nested_result { NESTED_FILLED, NESTED_HOLE, NESTED_EXHAUSTED };
enum nested_result nested_fill(struct nested_map *map, const struct vm *vm, gpa_t gpa);
/* Map one more page, that is no memory of the guest, to be read only. False: too little memory. */
bool nested_add_page(struct nested_map *map, gpa_t gpa, hpa_t hpa);

/* For people: the walk for gpa, and what is mapped. */
void nested_explain(const struct nested_map *map, gpa_t gpa, struct sink *sink);
void nested_show(const struct nested_map *map, struct sink *sink);

/* Where gpa goes; false when it is not mapped. */
bool nested_lookup(const struct nested_map *map, gpa_t gpa, hpa_t *hpa);

#endif
