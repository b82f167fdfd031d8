/* ELF32, little endian, i386: only what loading and symbols need (System V ABI, chapters 4, 5). */
#ifndef TRIVISOR_ELF32_H
#define TRIVISOR_ELF32_H

#include "types.h"

struct elf_header {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version, entry, phoff, shoff, flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct elf_segment {
    uint32_t type, offset, vaddr, paddr, filesz, memsz, flags, align;
};
struct elf_section {
    uint32_t name, type, flags, addr, offset, size, link, info, addralign, entsize;
};
struct elf_symbol_entry {
    uint32_t name, value, size;
    uint8_t info, other;
    uint16_t shndx;
};
struct elf_note {
    uint32_t name_size, desc_size, type;
};

#define PT_LOAD 1u
#define PT_NOTE 4u
#define SHT_SYMTAB 2u
#define SHN_LORESERVE 0xFF00u
#define STT_NOTYPE 0
#define STT_FUNC 2

/* An image whose header and program headers lie inside its size; else header is NULL. */
struct elf_view {
    const uint8_t *bytes;
    uint32_t size;
    const struct elf_header *header;
    const struct elf_segment *segments;
    unsigned segment_count;
};

/* Returns false when the image is no 32-bit little-endian i386 executable. */
bool elf_open(struct elf_view *elf, const void *image, uint32_t size);

/* n bytes at offset of the image, or NULL when they are not all inside. */
const void *elf_bytes(const struct elf_view *elf, uint32_t offset, uint32_t n);

#endif
