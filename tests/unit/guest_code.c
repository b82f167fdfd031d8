/* Loading ELF files for guest_sites.c; see guest_code.h. */
#include "guest_code.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "multiboot.h"

const struct area *area_of(const struct code *code, uint32_t gva)
{
    for (unsigned i = 0; i < code->areas; i++) {
        if (gva - code->area[i].gva < code->area[i].size)
            return &code->area[i];
    }
    return NULL;
}

static bool is_local_label(const struct symbol *s)
{
    return !s->function && strchr(s->name, '.');
}

const struct symbol *owner(const struct code *code, uint32_t gva)
{
    const struct symbol *best = NULL;
    for (unsigned i = 0; i < code->symbols && code->symbol[i].gva <= gva; i++) {
        if (!is_local_label(&code->symbol[i]))
            best = &code->symbol[i];
    }
    return best;
}

const char *owner_name(const struct code *code, uint32_t gva)
{
    const struct symbol *s = owner(code, gva);
    return s ? s->name : "(no symbol)";
}

const struct pv_site *site_at(const struct code *code, uint32_t gva)
{
    for (unsigned i = 0; i < code->sites; i++) {
        if (gva - code->site[i].gva < PV_SITE_LEN)
            return &code->site[i];
    }
    return NULL;
}

static void die(const char *path, const char *what)
{
    printf("Bail out! %s: %s\n", path, what);
    exit(1);
}

/* n bytes at offset of the file. */
static void *at(const char *path, const struct guest_file *f, uint32_t offset, uint32_t n)
{
    if (offset > f->size || n > f->size - offset)
        die(path, "damaged ELF file");
    return f->bytes + offset;
}

static void read_file(const char *path, struct guest_file *f)
{
    FILE *in = fopen(path, "rb");
    if (!in)
        die(path, "cannot be opened");
    fseek(in, 0, SEEK_END);
    const long size = ftell(in);
    rewind(in);
    f->size = (uint32_t)size;
    f->bytes = malloc(f->size + 1u);
    if (size < 0 || !f->bytes || fread(f->bytes, 1, f->size, in) != f->size)
        die(path, "cannot be read");
    f->bytes[f->size] = 0; /* ends the last string */
    fclose(in);
}

static int by_address(const void *a, const void *b)
{
    const struct symbol *x = a, *y = b;
    return x->gva != y->gva ? (x->gva < y->gva ? -1 : 1) : x->function - y->function;
}

/* The symbols of code: functions, and labels of assembly code. */
static void load_symbols(const char *path, struct guest_file *f, const Elf32_Shdr *sections,
                         const Elf32_Shdr *table)
{
    const unsigned n = table->sh_size / sizeof(Elf32_Sym);
    const Elf32_Sym *symbols = at(path, f, table->sh_offset, table->sh_size);
    const Elf32_Shdr *strings = &sections[table->sh_link];
    struct code *code = &f->code;
    code->symbol = calloc(n + 1, sizeof(*code->symbol));
    for (unsigned i = 0; i < n; i++) {
        const Elf32_Sym *s = &symbols[i];
        const unsigned type = ELF32_ST_TYPE(s->st_info);
        if ((type != STT_FUNC && type != STT_NOTYPE) || s->st_shndx == SHN_ABS)
            continue;
        if (!area_of(code, s->st_value)) {
            if (type == STT_FUNC && s->st_shndx != SHN_UNDEF)
                die(path, "a function outside of what is taken for code");
            continue;
        }
        const char *name = at(path, f, strings->sh_offset + s->st_name, 1);
        code->symbol[code->symbols++] =
            (struct symbol){s->st_value, s->st_size, name, type == STT_FUNC};
    }
    qsort(code->symbol, code->symbols, sizeof(*code->symbol), by_address);
}

static void add_area(const char *path, struct guest_file *f, uint32_t gva, uint32_t size,
                     const void *bytes)
{
    struct code *code = &f->code;
    if (code->areas == sizeof(code->area) / sizeof(code->area[0]))
        die(path, "too many pieces of code");
    code->area[code->areas++] = (struct area){gva, size, bytes, calloc(size, 1)};
}

/* .debug_aranges: of each unit a header of 12 bytes, padded to 16, and pairs of address and length
 * up to a pair of zeros. */
static void load_debug_ranges(const char *path, struct guest_file *f, const Elf32_Shdr *s)
{
    uint32_t at_unit = 0, length = 0;
    for (; at_unit < s->sh_size; at_unit += 4 + length) {
        memcpy(&length, at(path, f, s->sh_offset + at_unit, 16), 4);
        for (uint32_t i = 16; i + 8 <= 4 + length; i += 8) {
            uint32_t range[2];
            memcpy(range, at(path, f, s->sh_offset + at_unit + i, 8), 8);
            const void *bytes = elf_file_bytes(f->bytes, f->size, range[0], range[1]);
            if (range[1] && !bytes)
                die(path, "debug information of code that is not there");
            if (range[1])
                add_area(path, f, range[0], range[1], bytes);
        }
    }
}

void guest_load(const char *path, struct guest_file *f, bool by_debug_ranges)
{
    memset(f, 0, sizeof(*f));
    read_file(path, f);
    const Elf32_Ehdr *eh = at(path, f, 0, sizeof(*eh));
    if (memcmp(eh->e_ident, ELFMAG, SELFMAG) || eh->e_machine != EM_386 ||
        eh->e_shentsize != sizeof(Elf32_Shdr) || eh->e_shstrndx >= eh->e_shnum)
        die(path, "no 32-bit x86 ELF file with sections");
    f->code.entry = eh->e_entry;
    const Elf32_Shdr *sections = at(path, f, eh->e_shoff, eh->e_shnum * eh->e_shentsize);
    const Elf32_Shdr *names = &sections[eh->e_shstrndx];
    for (unsigned i = 0; i < eh->e_shnum; i++) {
        const Elf32_Shdr *s = &sections[i];
        if (by_debug_ranges &&
            !strcmp(at(path, f, names->sh_offset + s->sh_name, 1), ".debug_aranges"))
            load_debug_ranges(path, f, s);
        if (!by_debug_ranges && (s->sh_flags & SHF_EXECINSTR) && s->sh_size)
            add_area(path, f, s->sh_addr, s->sh_size, at(path, f, s->sh_offset, s->sh_size));
    }
    for (unsigned i = 0; i < eh->e_shnum; i++) {
        if (sections[i].sh_type == SHT_SYMTAB && sections[i].sh_link < eh->e_shnum)
            load_symbols(path, f, sections, &sections[i]);
    }
    if (!f->code.areas || !f->code.symbols)
        die(path, "no code, or no symbols");
}

void guest_unload(struct guest_file *f)
{
    for (unsigned i = 0; i < f->code.areas; i++)
        free(f->code.area[i].starts);
    free(f->code.symbol);
    free(f->bytes);
}

void guest_load_sites(const char *path, struct guest_file *f)
{
    const void *desc;
    uint32_t size;
    struct pv_note note;
    if (!multiboot_find_note(f->bytes, f->size, "Trivisor", PV_NOTE_TYPE, &desc, &size) ||
        size < sizeof(note))
        die(path, "no paravirtual note");
    memcpy(&note, desc, sizeof(note));
    f->code.sites = (note.sites_end - note.sites) / sizeof(struct pv_site);
    f->code.site = elf_file_bytes(f->bytes, f->size, note.sites, note.sites_end - note.sites);
    if (!f->code.site)
        die(path, "the site table is not in the file");
}
