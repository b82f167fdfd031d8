/*
 * The guest kernel's file, as far as mode para goes: its note, its sites, its symbols. Read with
 * the VMM's own pure code (hypervisor/elf.c), so that both see the same.
 */
#ifndef TOOLS_KERNEL_H
#define TOOLS_KERNEL_H

#include <stddef.h>

#include "pv_abi.h"

struct kernel_file {
    char *bytes;
    size_t size;
    struct pv_note note;
    const struct pv_site *sites;
    unsigned site_count;
};

/* Returns NULL, or one sentence, allocated. kernel_close() either way. */
char *kernel_open(struct kernel_file *kernel, const char *path);
void kernel_close(struct kernel_file *kernel);

/* The bytes of a site in the file, or NULL. */
const uint8_t *kernel_bytes(const struct kernel_file *kernel, uint32_t gva);

/* "symbol+0x12" of an address, or "?"; allocated. */
char *kernel_symbol(const struct kernel_file *kernel, uint32_t gva);

#endif
