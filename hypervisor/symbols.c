/* Symbols of the VMM from the ELF section headers (System V ABI, chapter 4). */
#include "symbols.h"

#include "vmm.h"

struct section {
    uint32_t name, type, flags, addr, offset, size, link, info, align, entsize;
};
struct symbol {
    uint32_t name, value, size;
    uint8_t info, other;
    uint16_t shndx;
};

#define SHT_SYMTAB 2
#define STT_FUNC 2
#define STT_NOTYPE 0

static const struct symbol *symbols;
static uint32_t symbol_count;
static const char *names;
static uint32_t names_size;

static bool reachable(uint32_t addr, uint32_t size)
{
    return addr < DIRECT_MAP_SIZE && size < DIRECT_MAP_SIZE - addr;
}

void vmm_symbols_init(uint32_t num, uint32_t size, hpa_t headers, hpa_t *end)
{
    if (size != sizeof(struct section) || !reachable(headers, num * size))
        return;
    const struct section *s = hpa_to_ptr(headers);
    if (headers + num * size > *end)
        *end = headers + num * size;
    for (uint32_t i = 0; i < num; i++) {
        /* Sections of the loaded image have virtual addresses; the others were put somewhere. */
        if (s[i].addr && s[i].addr < VMM_BASE && reachable(s[i].addr, s[i].size) &&
            s[i].addr + s[i].size > *end)
            *end = s[i].addr + s[i].size;
        if (s[i].type != SHT_SYMTAB || s[i].link >= num || !reachable(s[i].addr, s[i].size))
            continue;
        symbols = hpa_to_ptr(s[i].addr);
        symbol_count = s[i].size / sizeof(struct symbol);
        names = hpa_to_ptr(s[s[i].link].addr);
        names_size = s[s[i].link].size;
    }
}

const char *vmm_symbol(uint32_t eip, uint32_t *offset)
{
    const struct symbol *best = NULL;
    for (uint32_t i = 0; i < symbol_count; i++) {
        const struct symbol *s = &symbols[i];
        unsigned type = s->info & 15;
        if ((type != STT_FUNC && type != STT_NOTYPE) || s->value > eip || s->value < VMM_BASE)
            continue;
        if (!best || s->value > best->value)
            best = s;
    }
    if (!best || best->name >= names_size)
        return NULL;
    *offset = eip - best->value;
    return names + best->name;
}
