/* The guest loader on good, bad and hostile images. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "elf32.h"
#include "multiboot.h"

#define MAGIC 0x1BADB002u
#define RAM (4u << 20)
#define CODE 0x100

/* A kernel of one segment: header and code at 1 MB, virtual at 3 GB + 1 MB, with bss. */
struct image {
    struct elf_header eh;
    struct elf_segment ph[2];
    struct elf_section sh[3];
    struct elf_symbol_entry sym[5];
    struct {
        struct elf_note head;
        char name[12];
        uint32_t desc[2];
    } note[2];
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
    /* clang-format off */
    m->eh = (struct elf_header){
        .type = 2, .machine = 3, .version = 1, .entry = 0xC0100000 + CODE,
        .phoff = AT(ph), .phentsize = sizeof(m->ph[0]), .phnum = 2,
        .shoff = AT(sh), .shentsize = sizeof(m->sh[0]), .shnum = 3, .ehsize = sizeof(m->eh),
    };
    memcpy(m->eh.ident, "\177ELF\1\1\1", 7);
    m->ph[0] = (struct elf_segment){
        .type = PT_LOAD, .offset = AT(text), .vaddr = 0xC0100000, .paddr = 0x100000,
        .filesz = sizeof(m->text), .memsz = sizeof(m->text) + 0x1000,
    };
    m->ph[1] = (struct elf_segment){.type = PT_NOTE, .offset = AT(note), .filesz = sizeof(m->note)};
    m->sh[1] = (struct elf_section){
        .type = SHT_SYMTAB, .offset = AT(sym), .size = sizeof(m->sym), .link = 2,
    };
    m->sh[2] = (struct elf_section){.type = 3, .offset = AT(strings), .size = sizeof(m->strings)};
    /* clang-format on */
    for (uint32_t i = 0; i < 2; i++) {
        m->note[i].head = (struct elf_note){9, sizeof(m->note[i].desc), 1};
        memcpy(m->note[i].name, i ? "Trivisor" : "Trivisop", 9);
        m->note[i].desc[0] = 0x1000 + i;
    }
    memcpy(m->strings, "\0main\0helper\0label", 19);
    m->sym[1] = (struct elf_symbol_entry){13, 0xC0100120, 0, STT_NOTYPE, 0, 1};
    m->sym[2] = (struct elf_symbol_entry){1, 0xC0100100, 0x20, STT_FUNC, 0, 1};
    m->sym[3] = (struct elf_symbol_entry){6, 0xC0100120, 0x10, STT_FUNC, 0, 1};
    m->sym[4] = (struct elf_symbol_entry){13, 0xC0100128, 0, STT_NOTYPE, 0, 0xFFF1};
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

/* The sentence names the segment, and says what is wrong with it. */
Test(multiboot, says_why_a_segment_does_not_fit)
{
    static const struct {
        uint32_t paddr, memsz;
        const char *why;
    } cases[] = {
        {0x3FF000, 0x2000,
         "ELF segment 0 wants 0x2000 bytes at 0x003ff000, beyond the guest's 4 MB"},
        {0x9F000, 0x2000,
         "ELF segment 0 wants 0x2000 bytes at 0x0009f000, and a PC has no RAM from 640 KB to 1 MB"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct setup *s = setup_new();
        s->image.ph[0].paddr = cases[i].paddr;
        s->image.ph[0].memsz = cases[i].memsz;
        const char *why = load(s);
        cr_assert_not_null(why);
        cr_expect_str_eq(why, cases[i].why);
        setup_free(s);
    }
}

/* All combinations of values at which a careless sum or comparison would wrap. */
Test(multiboot, survives_hostile_segments)
{
    static const uint32_t evil[] = {0,        1,          0x1000,     AT(text),   RAM - 1,
                                    RAM,      0x7FFFFFFF, 0x80000000, 0xFFFFF000, 0xFFFFFFFF,
                                    ISA_HOLE, 0x9000,     0xFFFFFE00};
    enum { COUNT = sizeof(evil) / sizeof(evil[0]) };
    struct setup *s = setup_new();
    for (unsigned i = 0; i < COUNT * COUNT * COUNT * COUNT; i++) {
        struct elf_segment *ph = &s->image.ph[0];
        ph->offset = evil[i % COUNT];
        ph->paddr = evil[i / COUNT % COUNT];
        ph->filesz = evil[i / COUNT / COUNT % COUNT];
        ph->memsz = evil[i / COUNT / COUNT / COUNT];
        if (ph->memsz > 0x10000 && ph->memsz <= RAM)
            continue; /* only slow */
        if (!load(s)) {
            cr_expect_leq(ph->filesz, ph->memsz);
            cr_expect_leq((uint64_t)ph->offset + ph->filesz, sizeof(s->image));
            cr_expect_leq((uint64_t)ph->paddr + ph->memsz, RAM);
        }
    }
    setup_free(s);
}

Test(multiboot, leaves_a_kernel_in_low_memory_alone)
{
    struct setup *s = setup_new();
    s->image.ph[0].paddr = 0x8E00; /* its text reaches 0x9000, its bss goes on */
    const struct multiboot_guest_module mod = {"module", 6, "m"};
    const char *why =
        multiboot_load(&s->vm, &s->image, sizeof(s->image), "kernel", &mod, 1, &s->out);
    cr_assert_null(why, "%s", why);
    cr_expect_eq(memcmp(s->vm.ram + 0x8E00, s->image.text, sizeof(s->image.text)), 0);
    for (gpa_t gpa = 0x9000; gpa < 0xA000; gpa++)
        cr_assert_eq(s->vm.ram[gpa], 0, "bss at %x", gpa);
    cr_expect_geq(s->out.info, 0x100000u);
    cr_expect_str_eq((char *)s->vm.ram + word(s, s->out.info + 16), "kernel");
    const gpa_t start = word(s, word(s, s->out.info + 24));
    cr_expect_geq(start, s->out.info + 0x3000, "the module lies behind the information");
    cr_expect_eq(memcmp(s->vm.ram + start, "module", 6), 0);
    setup_free(s);
}

Test(multiboot, finds_notes)
{
    struct setup *s = setup_new();
    const void *desc = NULL;
    uint32_t n = 0, first;
    cr_assert(multiboot_find_note(&s->image, sizeof(s->image), "Trivisor", 1, &desc, &n));
    cr_expect_eq(n, 8);
    memcpy(&first, desc, sizeof(first));
    cr_expect_eq(first, 0x1001, "the second note");
    cr_expect_not(multiboot_find_note(&s->image, sizeof(s->image), "Trivisor", 2, &desc, &n));
    cr_expect_not(multiboot_find_note(&s->image, sizeof(s->image), "Triviso", 1, &desc, &n));
    s->image.note[1].head.desc_size = 9;
    cr_expect_not(multiboot_find_note(&s->image, sizeof(s->image), "Trivisor", 1, &desc, &n),
                  "its descriptor would end behind the segment");
    s->image.note[1].head.desc_size = 8;
    s->image.note[0].head.desc_size = 0xFFFFFFFE;
    cr_expect_not(multiboot_find_note(&s->image, sizeof(s->image), "Trivisor", 1, &desc, &n));
    setup_free(s);
}

Test(multiboot, symbols)
{
    struct setup *s = setup_new();
    uint32_t offset = 0;
    const void *m = &s->image;
    cr_expect_str_eq(elf_symbol(m, sizeof(s->image), 0xC0100104, &offset), "main");
    cr_expect_eq(offset, 4);
    cr_expect_str_eq(elf_symbol(m, sizeof(s->image), 0xC010012F, &offset), "helper");
    cr_expect_str_eq(elf_symbol(m, sizeof(s->image), 0xC0100120, &offset), "helper", "not a label");
    cr_expect_null(elf_symbol(m, sizeof(s->image), 0xC0100140, &offset), "behind the last one");
    cr_expect_null(elf_symbol(m, sizeof(s->image), 0x1000, &offset));
    uint32_t gva = 0;
    cr_expect(elf_address(m, sizeof(s->image), "main", &gva) && gva == 0xC0100100);
    cr_expect(elf_address(m, sizeof(s->image), "helper", &gva) && gva == 0xC0100120);
    cr_expect_not(elf_address(m, sizeof(s->image), "mai", &gva), "the beginning is not the name");
    cr_expect_not(elf_address(m, sizeof(s->image), "", &gva), "nothing has no name");
    s->image.sym[3].size = 0;
    cr_expect_str_eq(elf_symbol(m, sizeof(s->image), 0xC0100140, &offset), "helper", "no size");
    cr_expect_null(elf_symbol(m, sizeof(s->image), 0xC0200000, &offset), "outside of the image");
    s->image.strings[sizeof(s->image.strings) - 1] = 'x';
    cr_expect_null(elf_symbol(m, sizeof(s->image), 0xC0100104, &offset), "unterminated strings");
    gpa_t gpa;
    cr_expect(elf_gva_to_gpa(m, sizeof(s->image), 0xC0100010, &gpa));
    cr_expect_eq(gpa, 0x100010);
    cr_expect_not(elf_gva_to_gpa(m, sizeof(s->image), 0xC0200000, &gpa));
    setup_free(s);
}

/* Random damage, half of it with values on the edge, must never read or write out of bounds: the
 * sanitizers watch. */
Test(multiboot, survives_random_damage)
{
    static const uint8_t edges[] = {0x00, 0x01, 0x03, 0x7F, 0x80, 0xFF};
    struct setup *s = setup_new();
    const struct image intact = s->image;
    srand(20260102);
    for (int round = 0; round < 10000; round++) {
        s->image = intact;
        for (int n = rand() % 6; n >= 0; n--) {
            const uint32_t at = (uint32_t)rand() % (AT(text) + 12);
            ((uint8_t *)&s->image)[at] =
                (uint8_t)(rand() & 1 ? rand() : edges[(unsigned)rand() % sizeof(edges)]);
        }
        const uint32_t size = rand() % 4 ? sizeof(s->image) : (uint32_t)rand() % sizeof(s->image);
        uint8_t *exact = malloc(size ? size : 1); /* so that an overrun is seen */
        memcpy(exact, &s->image, size);
        const void *desc;
        uint32_t n;
        gpa_t gpa;
        multiboot_load(&s->vm, exact, size, "k", NULL, 0, &s->out);
        if (multiboot_find_note(exact, size, "Trivisor", 1, &desc, &n))
            cr_assert(!n || ((const uint8_t *)desc)[n - 1] <= 0xFF);
        elf_gva_to_gpa(exact, size, 0xC0100000, &gpa);
        const char *name = elf_symbol(exact, size, 0xC0100100, &n);
        cr_assert(!name || strlen(name) < size);
        free(exact);
    }
    setup_free(s);
}
