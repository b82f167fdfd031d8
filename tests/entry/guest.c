/* The guest's memory, the host's paging, random numbers. */
#include <string.h>

#include "cpu.h"
#include "entry.h"

#define OPCODE_CPUID 0xA20Fu
#define PTE_GUEST (PTE_P | PTE_W | PTE_U)
#define GDT_CODE 0x00CF9B000000FFFFull
#define GDT_DATA 0x00CF93000000FFFFull
#define GDT_DPL3 (3ull << 45)
#define GATE_INTERRUPT 0xEE00u /* present, DPL 3, 32 bits */

static void *page(unsigned i)
{
    return (void *)(uintptr_t)GUEST_PAGE(i);
}

static void fill_code(unsigned i)
{
    uint16_t *at = page(i);

    for (unsigned n = 0; n < PAGE_SIZE / 2; n++)
        at[n] = OPCODE_CPUID;
}

static void make_descriptors(void)
{
    uint64_t *gdt = page(PAGE_GDT);
    uint32_t *idt = page(PAGE_IDT), *ivt = page(PAGE_IVT), *tss = page(PAGE_TSS);
    const uint32_t handler = GUEST_PAGE(PAGE_HANDLER), base = GUEST_PAGE(PAGE_TSS);

    gdt[1] = GDT_CODE;
    gdt[2] = GDT_DATA;
    gdt[3] = GDT_CODE | GDT_DPL3;
    gdt[4] = GDT_DATA | GDT_DPL3;
    gdt[5] = 0x67 | (uint64_t)(base & 0xFFFFFF) << 16 | (uint64_t)(SEG_P | SYS_TSS32_BUSY) << 40;
    for (unsigned v = 0; v < 256; v++) {
        idt[2 * v] = SEL_CODE << 16 | (handler & 0xFFFF);
        idt[2 * v + 1] = (handler & 0xFFFF0000) | GATE_INTERRUPT;
        ivt[v] = handler >> 4 << 16;
    }
    tss[1] = GUEST_PAGE(PAGE_STACK) + PAGE_SIZE;
    tss[2] = SEL_DATA;
}

void guest_tables_init(void)
{
    uint32_t *table = page(PAGE_TABLE), *directory = page(PAGE_DIRECTORY);
    uint64_t *pae_table = page(PAGE_PAE_TABLE), *pae_directory = page(PAGE_PAE_DIRECTORY);
    uint64_t *pdpt = page(PAGE_PDPT), *bad = page(PAGE_BAD_PDPT);

    for (unsigned i = 0; i < GUEST_PAGES; i++) {
        const unsigned slot = (GUEST_FIRST >> PAGE_SHIFT) + i;

        table[slot] = GUEST_PAGE(i) | PTE_GUEST;
        pae_table[slot] = GUEST_PAGE(i) | PTE_GUEST;
    }
    directory[0] = GUEST_PAGE(PAGE_TABLE) | PTE_GUEST;
    pae_directory[0] = GUEST_PAGE(PAGE_PAE_TABLE) | PTE_GUEST;
    pdpt[0] = GUEST_PAGE(PAGE_PAE_DIRECTORY) | PTE_P;
    bad[0] = pdpt[0] | PTE_W;
}

void guest_memory_init(void)
{
    memset(page(0), 0, GUEST_PAGES * PAGE_SIZE);
    fill_code(PAGE_CODE);
    fill_code(PAGE_HANDLER);
    make_descriptors();
    guest_tables_init();
}

void host_paging_on(void)
{
    static uint64_t pdpt[4] __attribute__((aligned(32)));
    static uint64_t directories[4][512] __attribute__((aligned(4096)));

    for (unsigned i = 0; i < 4 * 512; i++)
        directories[i / 512][i % 512] = (uint64_t)i << 21 | PTE_PS | PTE_P | PTE_W;
    for (unsigned i = 0; i < 4; i++)
        pdpt[i] = (uintptr_t)directories[i] | PTE_P;
    write_cr4(read_cr4() | CR4_PAE);
    write_cr3((uintptr_t)pdpt);
    write_cr0(read_cr0() | CR0_PG);
}

bool read_physical(uint64_t hpa, void *to, unsigned n)
{
    if (hpa + n > UINT32_MAX)
        memset(to, 0xFF, n);
    else
        memcpy(to, (const void *)(uintptr_t)hpa, n);
    return true;
}

/* xorshift32 on a mix of both, so that neighbours have nothing in common. */
static uint32_t rng;

void rng_start(uint32_t seed, uint32_t number)
{
    rng = (seed * 0x9E3779B1u) ^ (number * 0x85EBCA77u) ^ 0xC2B2AE3Du;
    if (!rng)
        rng = 1;
    for (int i = 0; i < 4; i++)
        rnd();
}

uint32_t rnd(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 17;
    rng ^= rng << 5;
    return rng;
}
