/* Loading a guest kernel as the Multiboot 1 specification (0.6.96) tells a boot loader to. */
#include "multiboot.h"

#include <string.h>

#include "elf32.h"
#include "gmem.h"
#include "vmm.h"

#define HEADER_MAGIC 0x1BADB002u
#define HEADER_SEARCH 8192u /* section 3.1: the header lies within the first 8192 bytes */
#define HEADER_MUST 0x0000FFFFu
#define HEADER_ALIGN_MODS 0x00000001u
#define HEADER_MEMORY 0x00000002u
#define HEADER_VIDEO 0x00000004u
#define HEADER_ADDRESSES 0x00010000u

#define INFO_MEMORY 0x001u
#define INFO_CMDLINE 0x004u
#define INFO_MODS 0x008u
#define INFO_MMAP 0x040u
#define INFO_LOADER 0x200u

#define RAM_LOW_KB 640u
#define INFO_AREA 0x9000u /* where the information structure goes unless the kernel is there */
#define INFO_AREA_SIZE 0x3000u
#define HIGH_START 0x100000u

struct header {
    uint32_t magic, flags, checksum;
    uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};

struct info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
    uint32_t mmap_length, mmap_addr, drives_length, drives_addr, config_table, boot_loader_name;
};

struct info_module {
    uint32_t start, end, string, reserved;
};

struct __attribute__((packed)) info_mmap {
    uint32_t size;
    uint64_t base, length;
    uint32_t type;
};

struct load {
    struct vm *vm;
    const uint8_t *image;
    uint32_t size;
    gpa_t end;           /* highest address in use */
    bool info_area_used; /* by the kernel */
    char why[160];
};

static const char *fail(struct load *load, const char *what, uint32_t number)
{
    ksnprintf(load->why, sizeof(load->why), what, number);
    return load->why;
}

/* The thing that what names (a format for number) does not fit where it is to go. */
static const char *no_room(struct load *load, const char *what, uint32_t number, gpa_t gpa,
                           uint32_t size)
{
    char name[48];
    ksnprintf(name, sizeof(name), what, number);
    if (gpa < ISA_HOLE_END && (uint64_t)gpa + size > ISA_HOLE)
        ksnprintf(load->why, sizeof(load->why),
                  "%s wants 0x%x bytes at 0x%08x, and a PC has no RAM from 640 KB to 1 MB", name,
                  size, gpa);
    else
        ksnprintf(load->why, sizeof(load->why),
                  "%s wants 0x%x bytes at 0x%08x, beyond the guest's %u MB", name, size, gpa,
                  load->vm->ram_size >> 20);
    return load->why;
}

static const struct header *find_header(const struct load *load)
{
    for (uint32_t at = 0; at + 12 <= load->size && at + 12 <= HEADER_SEARCH; at += 4) {
        const struct header *h = (const struct header *)(load->image + at);
        if (h->magic == HEADER_MAGIC && h->magic + h->flags + h->checksum == 0)
            return h;
    }
    return NULL;
}

/* Copy filesz bytes to gpa and clear up to memsz. what, number: its name, for no_room(). */
static const char *place(struct load *load, gpa_t gpa, const void *from, uint32_t filesz,
                         uint32_t memsz, const char *what, uint32_t number)
{
    if (!memsz)
        return NULL;
    uint8_t *to = guest_ram(load->vm, gpa, memsz);
    if (!to)
        return no_room(load, what, number, gpa, memsz);
    if (filesz)
        memcpy(to, from, filesz);
    memset(to + filesz, 0, memsz - filesz);
    if (gpa + memsz > load->end)
        load->end = gpa + memsz;
    if (gpa < INFO_AREA + INFO_AREA_SIZE && gpa + memsz > INFO_AREA)
        load->info_area_used = true;
    return NULL;
}

/* Section 3.1.3: the header's own address fields say where the image goes. */
static const char *load_by_addresses(struct load *load, const struct header *h, gpa_t *entry)
{
    const uint32_t at = (uint32_t)((const uint8_t *)h - load->image);
    if (at + sizeof(*h) > load->size)
        return "the Multiboot header's address fields are cut off";
    const uint32_t before = h->header_addr - h->load_addr;
    if (h->load_addr > h->header_addr || before > at)
        return "the Multiboot header's load address is impossible";
    const uint8_t *from = load->image + (at - before);
    uint32_t filesz = load->size - (at - before);
    if (h->load_end_addr) {
        if (h->load_end_addr < h->load_addr || h->load_end_addr - h->load_addr > filesz)
            return "the Multiboot header's load end lies behind the end of the file";
        filesz = h->load_end_addr - h->load_addr;
    }
    uint32_t memsz = filesz;
    if (h->bss_end_addr) {
        if (h->bss_end_addr < h->load_addr || h->bss_end_addr - h->load_addr < filesz)
            return "the Multiboot header's bss end is impossible";
        memsz = h->bss_end_addr - h->load_addr;
    }
    *entry = h->entry_addr;
    return place(load, h->load_addr, from, filesz, memsz, "the kernel", 0);
}

/* An ELF entry point is virtual; execution starts with paging off, so it must become physical. */
static gpa_t physical_entry(const struct elf_view *elf)
{
    const uint32_t entry = elf->header->entry;
    for (unsigned i = 0; i < elf->segment_count; i++) {
        const struct elf_segment *s = &elf->segments[i];
        if (s->type == PT_LOAD && entry >= s->vaddr && entry - s->vaddr < s->memsz)
            return entry - s->vaddr + s->paddr;
    }
    return entry;
}

static const char *load_elf(struct load *load, gpa_t *entry)
{
    struct elf_view elf;
    unsigned loaded = 0;
    if (!elf_open(&elf, load->image, load->size))
        return "it has a Multiboot header but is no 32-bit x86 ELF executable";
    for (unsigned i = 0; i < elf.segment_count; i++) {
        const struct elf_segment *s = &elf.segments[i];
        if (s->type != PT_LOAD || !s->memsz)
            continue;
        const void *from = elf_bytes(&elf, s->offset, s->filesz);
        if (!from)
            return fail(load, "ELF segment %u lies outside of the file", i);
        if (s->filesz > s->memsz)
            return fail(load, "ELF segment %u is larger in the file than in memory", i);
        const char *why = place(load, s->paddr, from, s->filesz, s->memsz, "ELF segment %u", i);
        if (why)
            return why;
        loaded++;
    }
    if (!loaded)
        return "the ELF file has nothing to load";
    *entry = physical_entry(&elf);
    return NULL;
}

/* The next page behind everything, at or above 1 MB. */
static gpa_t next_page(const struct load *load)
{
    gpa_t at = load->end < HIGH_START ? HIGH_START : load->end;
    return (at + PAGE_SIZE - 1) & PAGE_MASK;
}

/* A bump allocator for the information structure and its strings. */
struct area {
    struct vm *vm;
    gpa_t next, end;
};

/* Below 640 KB, where kernels expect it; behind everything when the kernel itself lies there. */
static const char *open_area(struct load *load, struct area *area)
{
    gpa_t at = INFO_AREA;
    if (load->info_area_used) {
        at = next_page(load);
        const char *why = place(load, at, NULL, 0, INFO_AREA_SIZE, "the boot information", 0);
        if (why)
            return why;
    }
    *area = (struct area){load->vm, at, at + INFO_AREA_SIZE};
    return NULL;
}

static gpa_t area_put(struct area *area, const void *data, uint32_t n)
{
    const gpa_t at = (area->next + 3) & ~3u;
    if (n > area->end - at)
        return 0;
    if (data)
        memcpy(area->vm->ram + at, data, n);
    area->next = at + n;
    return at;
}

static gpa_t area_string(struct area *area, const char *s)
{
    return area_put(area, s, (uint32_t)strlen(s) + 1);
}

static const char *load_modules(struct load *load, struct area *area, struct info *info,
                                const struct multiboot_guest_module *mods, unsigned nmods)
{
    const uint32_t each = (uint32_t)sizeof(struct info_module);
    const gpa_t table = nmods < INFO_AREA_SIZE / each ? area_put(area, NULL, nmods * each) : 0;
    if (!table)
        return "there are too many modules";
    for (unsigned i = 0; i < nmods; i++) {
        struct info_module m = {.start = next_page(load)};
        const char *why =
            place(load, m.start, mods[i].data, mods[i].size, mods[i].size, "module %u", i + 1);
        if (why)
            return why;
        m.end = m.start + mods[i].size;
        m.string = area_string(area, mods[i].cmdline);
        if (!m.string)
            return "the modules' command lines are too long";
        memcpy(load->vm->ram + table + i * each, &m, each);
    }
    info->flags |= INFO_MODS;
    info->mods_count = nmods;
    info->mods_addr = table;
    return NULL;
}

static const char *build_info(struct load *load, const char *cmdline,
                              const struct multiboot_guest_module *mods, unsigned nmods,
                              gpa_t *where)
{
    struct area area;
    const uint32_t high = load->vm->ram_size - HIGH_START;
    const struct info_mmap map[] = {
        {20, 0, RAM_LOW_KB * 1024, 1},
        {20, RAM_LOW_KB * 1024, HIGH_START - RAM_LOW_KB * 1024, 2},
        {20, HIGH_START, high, 1},
    };
    struct info info = {.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MMAP | INFO_LOADER,
                        .mem_lower = RAM_LOW_KB,
                        .mem_upper = high / 1024};
    const char *why = open_area(load, &area);
    if (why)
        return why;
    *where = area_put(&area, NULL, sizeof(info));
    info.mmap_length = sizeof(map);
    info.mmap_addr = area_put(&area, map, sizeof(map));
    info.boot_loader_name = area_string(&area, "Trivisor");
    info.cmdline = area_string(&area, cmdline);
    if (!info.cmdline)
        return "the kernel's command line is too long";
    why = load_modules(load, &area, &info, mods, nmods);
    if (why)
        return why;
    memcpy(load->vm->ram + *where, &info, sizeof(info));
    return NULL;
}

const char *multiboot_load(struct vm *vm, const void *image, uint32_t size, const char *cmdline,
                           const struct multiboot_guest_module *mods, unsigned nmods,
                           struct multiboot_loaded *out)
{
    static struct load load; /* its why[] outlives the call */
    load = (struct load){.vm = vm, .image = image, .size = size};
    const struct header *h = find_header(&load);
    if (!h)
        return "it is not a Multiboot kernel: no header in the first 8192 bytes";
    const uint32_t unknown = h->flags & HEADER_MUST & ~(HEADER_ALIGN_MODS | HEADER_MEMORY);
    if (unknown & HEADER_VIDEO)
        return "it requires a video mode, which the VMM does not set up";
    if (unknown)
        return fail(&load, "it requires Multiboot features %04x, which the VMM does not know",
                    unknown);
    const char *why = h->flags & HEADER_ADDRESSES ? load_by_addresses(&load, h, &out->entry)
                                                  : load_elf(&load, &out->entry);
    if (why)
        return why;
    if (!guest_ram(vm, out->entry, 1))
        return fail(&load, "its entry point %08x is outside of the guest's memory", out->entry);
    why = build_info(&load, cmdline, mods, nmods, &out->info);
    out->end = load.end;
    return why;
}
