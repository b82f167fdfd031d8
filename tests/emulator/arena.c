/*
 * The guest's memory, three times: the CPU's image, the emulator's, and the base image that every
 * case starts from. Cases write into both by poke(), which keeps what was there; what the emulator
 * writes is known by pages (page_watch); what the CPU writes besides would show as a difference.
 */
#include <string.h>

#include "emutest.h"
#include "gmem.h"

#define PAGES (RAM_SIZE >> PAGE_SHIFT)
#define UNDO_MAX 2048
#define WRITTEN_MAX 64

struct vm vm;

static uint8_t watch[PAGES];
static bool is_written[PAGES];
static gpa_t written[WRITTEN_MAX];
static unsigned written_count;
static gpa_t undo[UNDO_MAX]; /* bytes that poke() wrote */
static unsigned undo_count;
static bool making_base;

static uint32_t rng_state[4];

/* xoshiro128++ by Blackman and Vigna, public domain; seeded through a multiplicative hash. */
uint32_t rnd(void)
{
    uint32_t *s = rng_state, sum = s[0] + s[3], result = (sum << 7 | sum >> 25) + s[0];
    uint32_t t = s[1] << 9;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 11 | s[3] >> 21;
    return result;
}

void rng_start(uint32_t seed, uint32_t number)
{
    uint32_t x = seed * 0x9E3779B9u ^ (number * 0x85EBCA6Bu + 0x1234567u);

    for (unsigned i = 0; i < ARRAY_LEN(rng_state); i++) {
        x += 0x9E3779B9u;
        x = (x ^ x >> 16) * 0x21F0AAADu;
        x = (x ^ x >> 15) * 0x735A2D97u;
        rng_state[i] = x ^ x >> 15;
    }
}

static uint8_t *base_image(gpa_t gpa)
{
    return (uint8_t *)(uintptr_t)(gpa + BASE_OFFSET);
}

static void page_written(struct vm *of, gpa_t page)
{
    (void)of;
    if (is_written[page >> PAGE_SHIFT] || written_count == WRITTEN_MAX)
        return;
    is_written[page >> PAGE_SHIFT] = true;
    written[written_count++] = page;
}

static void page_restore(gpa_t page)
{
    memcpy(cpu_image(page), base_image(page), PAGE_SIZE);
    memcpy(emu_image(page), base_image(page), PAGE_SIZE);
}

void poke(gpa_t gpa, const void *bytes, unsigned n)
{
    const uint8_t *from = bytes;

    for (unsigned i = 0; i < n && undo_count < UNDO_MAX; i++, gpa++) {
        if (making_base)
            *base_image(gpa) = from[i];
        else
            undo[undo_count++] = gpa;
        *cpu_image(gpa) = *emu_image(gpa) = from[i];
    }
}

/* Tables are reached by their gpa only. */
static bool is_memory(gpa_t gpa)
{
    return gpa - HOT < HOT_PAGES * PAGE_SIZE || gpa - LOW < LOW_PAGES * PAGE_SIZE;
}

void poke_linear(struct vcpu *vcpu, gva_t gva, const void *bytes, unsigned n)
{
    const uint8_t *from = bytes;
    struct walk walk;
    uint32_t error;

    for (unsigned i = 0; i < n; i++)
        if (guest_walk(vcpu, gva + i, ACCESS_PEEK, &walk, &error) && is_memory(walk.gpa))
            poke(walk.gpa, from + i, 1);
}

/* --- the base image --- */

static void put32(gpa_t gpa, uint32_t value)
{
    memcpy(base_image(gpa), &value, sizeof(value));
}

/* VMMCALL again and again: where control comes to is mostly an end. */
static void fill_pads(gpa_t page)
{
    static const uint8_t vmmcall[] = {0x0F, 0x01, 0xD9};

    for (unsigned i = 0; i < PAGE_SIZE; i++)
        *base_image(page + i) = vmmcall[i % 3];
}

static void fill_random(gpa_t page)
{
    for (unsigned i = 0; i < PAGE_SIZE; i += 4)
        put32(page + i, random_value(NULL, SREG_DS));
}

static void fill_tables(gpa_t dir)
{
    const uint32_t all = PTE_P | PTE_W | PTE_U;

    put32(dir + (WINDOW_ZERO >> 20), PAGE_TABLE | all);
    put32(dir + (WINDOW_SAME >> 20), PAGE_TABLE | all | PTE_A);
    put32(dir + (WINDOW_LARGE >> 20), HOT | all | PTE_PS);
    put32(dir + (WINDOW_HALF >> 20), PAGE_TABLE | all);
    put32(dir + (WINDOW_TOP >> 20), PAGE_TABLE | all | PTE_A);
}

void arena_init(uint32_t seed)
{
    memset(cpu_image(HOT), 0, RAM_SIZE - HOT);
    memset(emu_image(0), 0, RAM_SIZE);
    memset(base_image(0), 0, RAM_SIZE);
    memset(cpu_image(HOLE), 0xFF, PAGE_SIZE);
    vm.ram = emu_image(0);
    vm.ram_size = RAM_SIZE;
    vm.page_watch = watch;
    vm.page_written = page_written;
    memset(watch, 1, sizeof(watch));

    rng_start(seed, 0xFFFFFFFF);
    for (unsigned i = 0; i < LOW_PAGES; i++)
        if (i < 8)
            fill_pads(LOW + i * PAGE_SIZE);
        else
            fill_random(LOW + i * PAGE_SIZE);
    for (unsigned i = 0; i < HOT_PAGES; i++)
        if (i == PAGE_CODE || i == PAGE_PADS)
            fill_pads(HOT_PAGE(i));
        else
            fill_random(HOT_PAGE(i));
    for (unsigned i = 0; i < HOT_PAGES; i++)
        put32(PAGE_TABLE + i * 4, HOT_PAGE(i) | PTE_P | PTE_W | PTE_U | (i < 2 ? PTE_A : 0));
    put32(PAGE_TABLE + PAGE_HOLE * 4, HOLE | PTE_P | PTE_W | PTE_U);
    put32(PAGE_TABLE + 1023 * 4, HOT_PAGE(HOT_PAGES - 1) | PTE_P | PTE_W | PTE_U);
    fill_tables(PAGE_DIR_A);
    fill_tables(PAGE_DIR_B);
    arena_restore(true);
    making_base = true;
    state_make_base();
    making_base = false;
}

/* --- after a case --- */

static gpa_t page_difference(gpa_t page, gpa_t after, uint32_t *emu, uint32_t *cpu)
{
    const uint32_t *e = (const uint32_t *)(const void *)emu_image(page);
    const uint32_t *c = (const uint32_t *)(const void *)cpu_image(page);

    for (unsigned i = 0; i < PAGE_SIZE / 4; i += 8) {
        if (!((e[i] ^ c[i]) | (e[i + 1] ^ c[i + 1]) | (e[i + 2] ^ c[i + 2]) |
              (e[i + 3] ^ c[i + 3]) | (e[i + 4] ^ c[i + 4]) | (e[i + 5] ^ c[i + 5]) |
              (e[i + 6] ^ c[i + 6]) | (e[i + 7] ^ c[i + 7])))
            continue;
        for (unsigned j = i; j < i + 8; j++) {
            if (e[j] == c[j] || page + j * 4 <= after)
                continue;
            *emu = e[j];
            *cpu = c[j];
            return page + j * 4;
        }
    }
    return 0;
}

void arena_mark(gpa_t gpa)
{
    page_written(&vm, gpa & PAGE_MASK);
}

gpa_t arena_difference(bool low_too, gpa_t after, uint32_t *emu, uint32_t *cpu)
{
    static const struct {
        gpa_t first;
        unsigned pages;
    } areas[] = {{LOW, LOW_PAGES}, {HOT, HOT_PAGES}, {TABLES, TABLE_PAGES}};
    gpa_t found = 0;

    for (unsigned a = low_too ? 0 : 1; a < ARRAY_LEN(areas) && !found; a++)
        for (unsigned i = 0; i < areas[a].pages && !found; i++)
            if (areas[a].first + (i + 1) * PAGE_SIZE > after)
                found = page_difference(areas[a].first + i * PAGE_SIZE, after, emu, cpu);
    for (unsigned i = 0; i < written_count && !found; i++)
        if (written[i] > after && !is_memory(written[i]) && written[i] < TABLES)
            found = page_difference(written[i], after, emu, cpu);
    return found;
}

void arena_restore(bool all)
{
    if (all) {
        for (unsigned i = 0; i < LOW_PAGES; i++)
            page_restore(LOW + i * PAGE_SIZE);
        for (unsigned i = 0; i < HOT_PAGES; i++)
            page_restore(HOT_PAGE(i));
        for (unsigned i = 0; i < TABLE_PAGES; i++)
            page_restore(TABLES + i * PAGE_SIZE);
    }
    for (unsigned i = 0; i < written_count; i++) {
        page_restore(written[i]);
        is_written[written[i] >> PAGE_SHIFT] = false;
    }
    written_count = 0;
    while (undo_count > 0) {
        const gpa_t gpa = undo[--undo_count];

        *cpu_image(gpa) = *emu_image(gpa) = *base_image(gpa);
    }
    memset(cpu_image(HOLE), 0xFF, PAGE_SIZE);
}
