/* The guest loader on good, bad and hostile images. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "elf32.h"
#include "multiboot.h"

#define MAGIC 0x1BADB002u
#define RAM (8u << 20)
#define CODE 0x100

/* A kernel of one segment: header and code at 1 MB, virtual at 3 GB + 1 MB, with bss. */
struct image {
    struct elf_header eh;
    struct elf_segment ph[2];
    struct elf_section sh[3];
    struct elf_symbol_entry sym[3];
    char strings[32];
    uint8_t text[512];
};

struct setup {
    struct vm vm;
    struct image image;
    struct multiboot_loaded out;
};

#define AT(field) ((uint32_t)offsetof(struct image, field))

static struct setup *setup_new(void)
{
    struct setup *s = calloc(1, sizeof(*s));
    struct image *m = &s->image;
    s->vm.ram_size = RAM;
    s->vm.ram = malloc(RAM);
    memset(s->vm.ram, 0xEE, RAM);
    memcpy(m->eh.ident, "\177ELF\1\1\1", 7);
    m->eh = (struct elf_header){.type = 2,
                                .machine = 3,
                                .version = 1,
                                .entry = 0xC0100000 + CODE,
                                .phoff = AT(ph),
                                .shoff = AT(sh),
                                .ehsize = sizeof(m->eh),
                                .phentsize = sizeof(m->ph[0]),
                                .phnum = 1,
                                .shentsize = sizeof(m->sh[0]),
                                .shnum = 3};
    memcpy(m->eh.ident, "\177ELF\1\1\1", 7);
    m->ph[0] = (struct elf_segment){
        PT_LOAD, AT(text), 0xC0100000, 0x100000, sizeof(m->text), sizeof(m->text) + 0x1000,
        7,       4096};
    m->sh[1] = (struct elf_section){.type = SHT_SYMTAB,
                                    .offset = AT(sym),
                                    .size = sizeof(m->sym),
                                    .link = 2,
                                    .entsize = sizeof(m->sym[0])};
    m->sh[2] = (struct elf_section){.type = 3, .offset = AT(strings), .size = sizeof(m->strings)};
    memcpy(m->strings, "\0main\0helper", 13);
    m->sym[1] = (struct elf_symbol_entry){1, 0xC0100100, 0x20, STT_FUNC, 0, 1};
    m->sym[2] = (struct elf_symbol_entry){6, 0xC0100120, 0x10, STT_FUNC, 0, 1};
    const uint32_t header[3] = {MAGIC, 3, -(MAGIC + 3)};
    memcpy(m->text, header, sizeof(header));
    m->text[CODE] = 0xF4;
    return s;
}

static void setup_free(struct setup *s)
{
    free(s->vm.ram);
    free(s);
}

static const char *load(struct setup *s)
{
    return multiboot_load(&s->vm, &s->image, sizeof(s->image), "kernel run=x", NULL, 0, &s->out);
}

static uint32_t word(const struct setup *s, gpa_t gpa)
{
    uint32_t v;
    memcpy(&v, s->vm.ram + gpa, 4);
    return v;
}

Test(multiboot, loads_an_elf_kernel)
{
    struct setup *s = setup_new();
    const char *why = load(s);
    cr_assert_null(why, "%s", why);
    cr_expect_eq(s->out.entry, 0x100000 + CODE, "the virtual entry became physical");
    cr_expect_eq(s->vm.ram[s->out.entry], 0xF4);
    cr_expect_eq(s->vm.ram[0x100000 + 512], 0, "bss is cleared");
    cr_expect_eq(s->vm.ram[0x100000 + 512 + 0xFFF], 0);
    cr_expect_eq(s->vm.ram[0x100000 + 512 + 0x1000], 0xEE, "and nothing behind it");
    const gpa_t info = s->out.info;
    cr_expect_eq(word(s, info) & 0x245, 0x245, "memory, command line, map, loader name");
    cr_expect_eq(word(s, info + 8), RAM / 1024 - 1024, "mem_upper");
    cr_expect_str_eq((char *)s->vm.ram + word(s, info + 16), "kernel run=x");
    setup_free(s);
}

Test(multiboot, passes_modules_behind_the_kernel)
{
    struct setup *s = setup_new();
    const struct multiboot_guest_module mods[] = {{"first", 5, "one"}, {"second", 6, "two x"}};
    cr_assert_null(multiboot_load(&s->vm, &s->image, sizeof(s->image), "k", mods, 2, &s->out));
    const gpa_t table = word(s, s->out.info + 24);
    cr_expect_eq(word(s, s->out.info + 20), 2);
    const gpa_t start = word(s, table), second = word(s, table + 16);
    cr_expect_eq(start % PAGE_SIZE, 0);
    cr_expect_eq(word(s, table + 4), start + 5);
    cr_expect_eq(memcmp(s->vm.ram + start, "first", 5), 0);
    cr_expect_eq(memcmp(s->vm.ram + second, "second", 6), 0);
    cr_expect_str_eq((char *)s->vm.ram + word(s, table + 24), "two x");
    cr_expect_geq(start, 0x100000u + 512 + 0x1000);
    setup_free(s);
}

Test(multiboot, address_fields_override_the_elf)
{
    struct setup *s = setup_new();
    const uint32_t flags = 0x10003;
    const uint32_t header[8] = {MAGIC,
                                flags,
                                -(MAGIC + flags),
                                0x200000 + AT(text),
                                0x200000,
                                0x200000 + sizeof(struct image),
                                0x201000,
                                0x200000 + AT(text)};
    memcpy(s->image.text, header, sizeof(header));
    const char *why = load(s);
    cr_assert_null(why, "%s", why);
    cr_expect_eq(s->out.entry, 0x200000 + AT(text));
    cr_expect_eq(memcmp(s->vm.ram + 0x200000, &s->image, sizeof(s->image)), 0);
    setup_free(s);
}

Test(multiboot, refuses_bad_images_in_one_sentence)
{
    static const struct {
        const char *what;
        uint32_t offset, value;
    } cases[] = {
        {"no header", AT(text), 0},
        {"bad checksum", AT(text) + 8, 1},
        {"no ELF", 0, 0},
        {"64-bit ELF", 4, 0x00010102},
        {"not i386", AT(eh.type), 62u << 16 | 2},
        {"program headers outside", AT(eh.phoff), 0xFFFFFFF0},
        {"file offset outside", AT(ph[0].offset), 0xFFFFFF00},
        {"file size outside", AT(ph[0].filesz), 0x10000},
        {"more file than memory", AT(ph[0].memsz), 4},
        {"beyond the guest's memory", AT(ph[0].paddr), RAM - 16},
        {"wraps", AT(ph[0].paddr), 0xFFFFFF00},
        {"memory size wraps", AT(ph[0].memsz), 0xFFFFFFFF},
        {"entry outside", AT(eh.entry), 0xD0000000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct setup *s = setup_new();
        memcpy((uint8_t *)&s->image + cases[i].offset, &cases[i].value, 4);
        const char *why = load(s);
        cr_expect_not_null(why, "%s was accepted", cases[i].what);
        cr_expect(!why || !strchr(why, '\n'));
        setup_free(s);
    }
}

Test(multiboot, refuses_features_it_does_not_know)
{
    for (uint32_t bit = 2; bit < 16; bit++) {
        struct setup *s = setup_new();
        const uint32_t flags = 1u << bit, header[3] = {MAGIC, flags, -(MAGIC + flags)};
        memcpy(s->image.text, header, sizeof(header));
        cr_expect_not_null(load(s), "flag %u", bit);
        setup_free(s);
    }
}

Test(multiboot, symbols)
{
    struct setup *s = setup_new();
    uint32_t offset = 0;
    const void *m = &s->image;
    cr_expect_str_eq(elf_symbol(m, sizeof(s->image), 0xC0100104, &offset), "main");
    cr_expect_eq(offset, 4);
    cr_expect_str_eq(elf_symbol(m, sizeof(s->image), 0xC010012F, &offset), "helper");
    cr_expect_null(elf_symbol(m, sizeof(s->image), 0xC0100140, &offset), "behind the last one");
    cr_expect_null(elf_symbol(m, sizeof(s->image), 0x1000, &offset));
    gpa_t gpa;
    cr_expect(elf_gva_to_gpa(m, sizeof(s->image), 0xC0100010, &gpa));
    cr_expect_eq(gpa, 0x100010);
    cr_expect_not(elf_gva_to_gpa(m, sizeof(s->image), 0xC0200000, &gpa));
    setup_free(s);
}

/* Random damage must never read or write out of bounds: the sanitizers watch. */
Test(multiboot, survives_random_damage)
{
    struct setup *s = setup_new();
    const struct image intact = s->image;
    srand(20260102);
    for (int round = 0; round < 20000; round++) {
        s->image = intact;
        for (int n = rand() % 6; n >= 0; n--) {
            const uint32_t at = (uint32_t)rand() % (AT(strings) + 40);
            ((uint8_t *)&s->image)[at] = (uint8_t)rand();
        }
        const uint32_t size = rand() % 4 ? sizeof(s->image) : (uint32_t)rand() % sizeof(s->image);
        uint8_t *exact = malloc(size ? size : 1); /* so that an overrun is seen */
        memcpy(exact, &s->image, size);
        const void *desc;
        uint32_t n;
        gpa_t gpa;
        multiboot_load(&s->vm, exact, size, "k", NULL, 0, &s->out);
        multiboot_find_note(exact, size, "Trivisor", 1, &desc, &n);
        elf_gva_to_gpa(exact, size, 0xC0100000, &gpa);
        elf_symbol(exact, size, 0xC0100100, &n);
        free(exact);
    }
    setup_free(s);
}
