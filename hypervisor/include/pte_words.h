/* Page-table entries in words, for people. */
#ifndef TRIVISOR_PTE_WORDS_H
#define TRIVISOR_PTE_WORDS_H

#include "types.h"

/* The bits of an entry of a guest's table, or of one in PAE format, into to. Returns to. */
const char *pte_words(uint64_t entry, char *to, unsigned size);

#endif
