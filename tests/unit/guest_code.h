/*
 * The code of a finished ELF file: what guest_sites.c disassembles. Files come from our own build,
 * so whatever is wrong with one ends the program.
 */
#ifndef GUEST_CODE_H
#define GUEST_CODE_H

#include <stdbool.h>
#include <stdint.h>

#include "pv_abi.h"

struct symbol {
    uint32_t gva, size;
    const char *name;
    bool function;
};

struct area { /* executable */
    uint32_t gva, size;
    const uint8_t *bytes;
    uint8_t *starts; /* 1: an instruction of the sweep begins here */
};

struct code {
    struct area area[32];
    unsigned areas;
    struct symbol *symbol; /* by address */
    unsigned symbols;
    const struct pv_site *site;
    unsigned sites;
    uint32_t entry;
};

struct guest_file {
    uint8_t *bytes;
    uint32_t size;
    struct code code;
};

/*
 * Read a file. What is code? The executable sections; or, when data is among them as in Minnow's
 * programs, where the debug information says that code is (DWARF 4 section 6.1.2).
 */
void guest_load(const char *path, struct guest_file *f, bool by_debug_ranges);

/* Find the kernel's site table as the VMM finds it: by the note. */
void guest_load_sites(const char *path, struct guest_file *f);

void guest_unload(struct guest_file *f);

/* The area that holds gva, or NULL. */
const struct area *area_of(const struct code *code, uint32_t gva);

/* The symbol that gva belongs to, or NULL. NASM's local labels ("start.high") are inside of their
 * symbol; GCC's parts of functions ("f.part.0", "f.cold") are functions of their own. */
const struct symbol *owner(const struct code *code, uint32_t gva);

/* Its name, or something to print in place of one. */
const char *owner_name(const struct code *code, uint32_t gva);

/* The site that gva is inside of, or NULL. */
const struct pv_site *site_at(const struct code *code, uint32_t gva);

#endif
