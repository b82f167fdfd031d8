/*
 * Guest kernels: the Multiboot 1 specification (0.6.96) as seen from the boot loader's side, and
 * what else the VMM wants to know of an ELF file. Pure code; every field of the file is checked
 * before it is used, because the file is the user's.
 */
#ifndef TRIVISOR_MULTIBOOT_H
#define TRIVISOR_MULTIBOOT_H

#include "vm.h"

struct multiboot_guest_module {
    const void *data;
    uint32_t size;
    const char *cmdline; /* its string, for the kernel */
};

struct multiboot_loaded {
    gpa_t entry; /* physical address of the first instruction */
    gpa_t info;  /* the Multiboot information structure, for EBX */
    gpa_t end;   /* first byte behind kernel and modules */
};

/*
 * Load a kernel image and modules into the RAM of vm, and build the information structure.
 * Returns NULL and fills *out, or one sentence that says what is wrong with the image.
 */
const char *multiboot_load(struct vm *vm, const void *image, uint32_t size, const char *cmdline,
                           const struct multiboot_guest_module *mods, unsigned nmods,
                           struct multiboot_loaded *out);

/* The descriptor of the first ELF note with this name and type. Returns false when there is none.
 */
bool multiboot_find_note(const void *image, uint32_t size, const char *name, uint32_t type,
                         const void **desc, uint32_t *desc_size);

/* Virtual to physical address by the ELF's program headers (p_vaddr, p_paddr). */
bool elf_gva_to_gpa(const void *image, uint32_t size, uint32_t gva, gpa_t *gpa);

/* n bytes of the file that are loaded at gva, or NULL when they are not all in one segment's file
 * part. Unlike guest memory, the guest cannot change them. */
const void *elf_file_bytes(const void *image, uint32_t size, uint32_t gva, uint32_t n);

/* The function that holds gva and the offset inside it, from .symtab; NULL when unknown. */
const char *elf_symbol(const void *image, uint32_t size, uint32_t gva, uint32_t *offset);

/* The address of a function or label by its name; false when there is none. */
bool elf_address(const void *image, uint32_t size, const char *name, uint32_t *gva);

#endif
