/* Benchmark loops that only the kernel can run. The loops are aligned, so that the figures do not
 * depend on where the linker puts them. */
#include "kernel.h"
#include "sensitive.h"

#define POST_PORT 0x80
#define COUNT_MAX 10000000u
#define DISK_COUNT_MAX 1000u /* of what takes longer, while others wait for the disk */

#define ALIGNED __attribute__((noinline, aligned(64)))

static ALIGNED uint32_t port_in(uint32_t n)
{
    uint32_t done = 0; /* what the port reads as differs between machines: only count */
    for (; done < n; done++)
        port_in8(POST_PORT);
    return done;
}

static ALIGNED uint32_t cli_sti(uint32_t n)
{
    uint32_t enabled = 0;
    while (n--) {
        cpu_sti();
        cpu_cli();
    }
    enabled += (cpu_flags() & FL_IF) != 0;
    cpu_sti();
    enabled = enabled << 1 | ((cpu_flags() & FL_IF) != 0);
    cpu_cli();
    return enabled;
}

static ALIGNED uint32_t compute(uint32_t n)
{
    uint32_t x = 1;
    while (n--)
        x = x * 1664525u + 1013904223u;
    return x;
}

static ALIGNED uint32_t reload_cr3(uint32_t n)
{
    const uint32_t cr3 = cpu_read_cr3();
    while (n--)
        cpu_write_cr3(cr3);
    return cpu_read_cr3() == cr3;
}

static ALIGNED uint32_t null_calls(uint32_t n)
{
    uint32_t sum = 0;
    while (n--)
        sum += pv_null_call() == PV_OK;
    return sum;
}

static ALIGNED uint32_t write_cr0(uint32_t n)
{
    const uint32_t cr0 = cpu_read_cr0();
    while (n--)
        cpu_write_cr0(cr0);
    return cpu_read_cr0() == cr0;
}

static ALIGNED uint32_t leaf(uint32_t x)
{
    __asm__ volatile("" : "+r"(x));
    return x + 1;
}

/* Through a pointer, so that it stays an indirect call. */
static ALIGNED uint32_t call_ret(uint32_t n)
{
    uint32_t (*volatile target)(uint32_t) = leaf;
    uint32_t x = 0;
    while (n--)
        x = target(x);
    return x;
}

#define PTE_AVAILABLE 0x400u /* a bit that the CPU ignores */

/* Change the entry of a mapped page, in a way that needs no flush. */
static ALIGNED uint32_t modify_pte(uint32_t n)
{
    static uint8_t page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
    volatile uint32_t *pte = kernel_pte((uint32_t)page);
    const uint32_t before = *pte;
    for (uint32_t value = before; n--; *pte = value)
        value ^= PTE_AVAILABLE;
    *pte = before;
    return 1;
}

#define DISK_PAGES (DISK_TRANSFER_MAX * FS_SECTOR / PAGE_SIZE)
#define DISK_PLACES 64u /* transfers; then it begins anew */

/* The longest transfers from the disk that there are, one behind the other, past the cache. What
 * they give depends on what was written before: count those that succeed. */
static ALIGNED uint32_t read_disk(uint32_t n)
{
    uint8_t *blocks[DISK_PAGES * (PAGE_SIZE / FS_BLOCK)], *pages[DISK_PAGES];
    uint32_t good = 0;
    bool memory = true;
    for (uint32_t i = 0; i < DISK_PAGES; i++) {
        pages[i] = page_alloc();
        memory &= pages[i] != NULL;
        for (uint32_t k = 0; k < PAGE_SIZE / FS_BLOCK; k++)
            blocks[i * (PAGE_SIZE / FS_BLOCK) + k] = pages[i] + k * FS_BLOCK;
    }
    fs_begin();
    for (uint32_t i = 0; i < n && memory; i++)
        good +=
            disk_transfer(i % DISK_PLACES * DISK_TRANSFER_MAX, DISK_TRANSFER_MAX, blocks, false);
    fs_end(0);
    for (uint32_t i = 0; i < DISK_PAGES; i++) {
        if (pages[i])
            page_free(pages[i]);
    }
    return good;
}

int kernel_bench(uint32_t op, uint32_t n, uint32_t result_va)
{
    static uint32_t (*const loops[])(uint32_t) = {
        [KBENCH_PORT_IN] = port_in,   [KBENCH_CLI_STI] = cli_sti,      [KBENCH_COMPUTE] = compute,
        [KBENCH_CR3] = reload_cr3,    [KBENCH_HYPERCALL] = null_calls, [KBENCH_CR0] = write_cr0,
        [KBENCH_CALL_RET] = call_ret, [KBENCH_PTE_MOD] = modify_pte,   [KBENCH_DISK] = read_disk,
    };
    struct kbench out;
    if (op >= sizeof(loops) / sizeof(loops[0]) ||
        n > (op == KBENCH_DISK ? DISK_COUNT_MAX : COUNT_MAX))
        return E_INVAL;
    if (op == KBENCH_HYPERCALL && !pv_active())
        return E_NOENT;
    const uint64_t start = rdtsc() - idle_time;
    out.result = loops[op](n);
    out.ticks = (uint32_t)(rdtsc() - idle_time - start);
    return copy_to_user(result_va, &out, sizeof(out)) ? 0 : E_FAULT;
}
