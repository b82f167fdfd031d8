/*
 * Nested page tables: the guest-physical map of a VM, in the two formats that hardware walks.
 *   NESTED_NPT  AMD-V, in the host's own format, which is PAE here: three levels, AMD APM vol. 2
 *               section 15.25
 *   NESTED_EPT  VT-x: four levels of 64-bit entries whatever the host's format, SDM vol. 3C
 *               section 28.3
 * Pure code; memory comes through the callbacks.
 */
#ifndef TRIVISOR_TABLES_H
#define TRIVISOR_TABLES_H

#include "vm.h"

enum nested_format { NESTED_NPT, NESTED_EPT };

struct nested_map {
    enum nested_format format;
    uint64_t *root;
    void *(*alloc)(void); /* one zeroed page, or NULL */
    void (*release)(void *page);
    hpa_t (*to_hpa)(const void *page);
    void *(*to_ptr)(hpa_t hpa);
    unsigned small_pages, large_pages;
};

/* Map all memory of vm: 2 MB pages where alignment allows, holes left out. The callbacks must be
 * set. Returns NULL, or a sentence; on failure nothing is left allocated. */
const char *nested_build(struct nested_map *map, enum nested_format format, const struct vm *vm);
void nested_free(struct nested_map *map);

/* Map one more page, that is no memory of the guest, to be read only. False: too little memory. */
bool nested_add_page(struct nested_map *map, gpa_t gpa, hpa_t hpa);

/* Where gpa goes; false when it is not mapped. */
bool nested_lookup(const struct nested_map *map, gpa_t gpa, hpa_t *hpa);

#endif
