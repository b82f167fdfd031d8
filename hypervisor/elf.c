/* Reading ELF files that may be damaged or hostile. */
#include "elf32.h"

#include <string.h>

#include "multiboot.h"

#define EM_386 3
#define ET_EXEC 2

const void *elf_bytes(const struct elf_view *elf, uint32_t offset, uint32_t n)
{
    if (offset > elf->size || n > elf->size - offset)
        return NULL;
    return elf->bytes + offset;
}

bool elf_open(struct elf_view *elf, const void *image, uint32_t size)
{
    static const uint8_t ident[7] = {0x7F, 'E', 'L', 'F', 1, 1, 1};
    *elf = (struct elf_view){.bytes = image, .size = size};
    const struct elf_header *h = elf_bytes(elf, 0, sizeof(*h));
    if (!h || memcmp(h->ident, ident, sizeof(ident)) || h->machine != EM_386 ||
        h->type != ET_EXEC || h->phentsize != sizeof(struct elf_segment))
        return false;
    elf->segments = elf_bytes(elf, h->phoff, h->phnum * (uint32_t)sizeof(struct elf_segment));
    if (!elf->segments || h->phoff % 4)
        return false;
    elf->segment_count = h->phnum;
    elf->header = h;
    return true;
}

bool elf_gva_to_gpa(const void *image, uint32_t size, uint32_t gva, gpa_t *gpa)
{
    struct elf_view elf;
    if (!elf_open(&elf, image, size))
        return false;
    for (unsigned i = 0; i < elf.segment_count; i++) {
        const struct elf_segment *s = &elf.segments[i];
        if (s->type == PT_LOAD && gva >= s->vaddr && gva - s->vaddr < s->memsz) {
            *gpa = s->paddr + (gva - s->vaddr);
            return true;
        }
    }
    return false;
}

const void *elf_file_bytes(const void *image, uint32_t size, uint32_t gva, uint32_t n)
{
    struct elf_view elf;
    if (!elf_open(&elf, image, size))
        return NULL;
    for (unsigned i = 0; i < elf.segment_count; i++) {
        const struct elf_segment *s = &elf.segments[i];
        const uint32_t at = gva - s->vaddr;
        if (s->type == PT_LOAD && gva >= s->vaddr && at < s->filesz && n <= s->filesz - at &&
            s->offset <= size && at <= size - s->offset)
            return elf_bytes(&elf, s->offset + at, n);
    }
    return NULL;
}

static uint32_t round4(uint32_t n)
{
    return (n + 3) & ~3u;
}

/* Look through one PT_NOTE segment of n bytes. */
static bool find_in_notes(const uint8_t *at, uint32_t n, const char *name, uint32_t type,
                          const void **desc, uint32_t *desc_size)
{
    const uint32_t name_size = (uint32_t)strlen(name) + 1;
    while (n >= sizeof(struct elf_note)) {
        struct elf_note note;
        memcpy(&note, at, sizeof(note));
        at += sizeof(note);
        n -= (uint32_t)sizeof(note);
        if (note.name_size > n || round4(note.name_size) > n ||
            note.desc_size > n - round4(note.name_size))
            return false;
        const uint8_t *found = at + round4(note.name_size);
        if (note.type == type && note.name_size == name_size && !memcmp(at, name, name_size)) {
            *desc = found;
            *desc_size = note.desc_size;
            return true;
        }
        const uint32_t step = round4(note.name_size) + round4(note.desc_size);
        if (step > n)
            return false;
        at += step;
        n -= step;
    }
    return false;
}

bool multiboot_find_note(const void *image, uint32_t size, const char *name, uint32_t type,
                         const void **desc, uint32_t *desc_size)
{
    struct elf_view elf;
    if (!elf_open(&elf, image, size))
        return false;
    for (unsigned i = 0; i < elf.segment_count; i++) {
        const struct elf_segment *s = &elf.segments[i];
        const void *notes = s->type == PT_NOTE ? elf_bytes(&elf, s->offset, s->filesz) : NULL;
        if (notes && find_in_notes(notes, s->filesz, name, type, desc, desc_size))
            return true;
    }
    return false;
}

/* Functions, and labels of assembly code, which have no type; but no constants (SHN_ABS and the
 * other reserved section numbers). */
static bool is_code_symbol(const struct elf_symbol_entry *s)
{
    const unsigned type = s->info & 15;
    return (type == STT_FUNC || type == STT_NOTYPE) && s->shndx && s->shndx < SHN_LORESERVE;
}

/* Of two symbols below an address the nearer one names it, of two at one place the function. */
static bool is_better(const struct elf_symbol_entry *s, const struct elf_symbol_entry *than)
{
    if (!than || s->value != than->value)
        return !than || s->value > than->value;
    return (s->info & 15) == STT_FUNC && (than->info & 15) != STT_FUNC;
}

/* The symbol table and its names, checked; false: there is none that can be used. */
struct symbol_table {
    const struct elf_symbol_entry *symbols;
    uint32_t count;
    const char *names;
    uint32_t names_size;
};

static bool read_symbols(const struct elf_view *elf, struct symbol_table *t)
{
    if (elf->header->shentsize != sizeof(struct elf_section) || elf->header->shoff % 4)
        return false;
    const unsigned n = elf->header->shnum;
    const struct elf_section *sections =
        elf_bytes(elf, elf->header->shoff, n * (uint32_t)sizeof(struct elf_section));
    for (unsigned i = 0; sections && i < n; i++) {
        if (sections[i].type != SHT_SYMTAB || sections[i].link >= n)
            continue;
        const struct elf_section *table = &sections[i], *strings = &sections[sections[i].link];
        t->symbols = elf_bytes(elf, table->offset, table->size);
        t->count = table->size / (uint32_t)sizeof(*t->symbols);
        t->names = elf_bytes(elf, strings->offset, strings->size);
        t->names_size = strings->size;
        return t->symbols && t->names && strings->size && !t->names[strings->size - 1] &&
               table->offset % 4 == 0;
    }
    return false;
}

const char *elf_symbol(const void *image, uint32_t size, uint32_t gva, uint32_t *offset)
{
    const struct elf_symbol_entry *best = NULL;
    struct symbol_table t;
    struct elf_view elf;
    gpa_t gpa;
    /* Outside of the image the last symbol would claim everything above it. */
    if (!elf_gva_to_gpa(image, size, gva, &gpa) || !elf_open(&elf, image, size) ||
        !read_symbols(&elf, &t))
        return NULL;
    for (uint32_t i = 0; i < t.count; i++) {
        const struct elf_symbol_entry *s = &t.symbols[i];
        if (is_code_symbol(s) && s->value <= gva && s->name < t.names_size && t.names[s->name] &&
            is_better(s, best))
            best = s;
    }
    if (!best || (best->size && gva - best->value >= best->size))
        return NULL;
    *offset = gva - best->value;
    return t.names + best->name;
}

bool elf_address(const void *image, uint32_t size, const char *name, uint32_t *gva)
{
    struct symbol_table t;
    struct elf_view elf;
    if (!elf_open(&elf, image, size) || !read_symbols(&elf, &t))
        return false;
    for (uint32_t i = 0; i < t.count; i++) {
        const struct elf_symbol_entry *s = &t.symbols[i];
        if (s->shndx && s->shndx < SHN_LORESERVE && s->name < t.names_size &&
            !strcmp(t.names + s->name, name)) {
            *gva = s->value;
            return true;
        }
    }
    return false;
}
