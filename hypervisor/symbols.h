/* The VMM's own symbols, as GRUB hands them over (Multiboot 1 section 3.3, flag 5). */
#ifndef TRIVISOR_SYMBOLS_H
#define TRIVISOR_SYMBOLS_H

#include "types.h"

/* Remember the section headers (num entries of size bytes at hpa). They and what they point to
 * must stay where GRUB put them; *end receives the highest address in use. */
void vmm_symbols_init(uint32_t num, uint32_t size, hpa_t headers, hpa_t *end);

/* The function that holds eip, and how far inside; NULL when unknown. */
const char *vmm_symbol(uint32_t eip, uint32_t *offset);

#endif
