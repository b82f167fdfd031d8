/*
 * Benchmarks in TSC ticks (in the emulators: executed instructions). One line an operation:
 *   bench id=I name=N n=OPERATIONS ticks=MEDIAN-PER-OPERATION total=TICKS result=CHECKSUM
 * Each operation runs in batches; the median batch is reported, less the loop's own cost, so that a
 * timer tick in one batch does no harm. The checksum is made of what the operations returned, and
 * must be the same on every machine and in every mode.
 */
#include "lib.h"
#include "mark.h"

#define BATCHES 11
#define ALIGNED __attribute__((noinline, aligned(64)))
#define NOT_HERE UINT32_MAX /* instead of ticks: this machine has no such operation */

/* The id never changes; it is what lines, marks and readers of reports know an operation by. */
struct op {
    uint32_t id;
    const char *name;
    uint32_t per_batch;
    /* Run n operations; returns ticks (or NOT_HERE) and adds to *result. */
    uint32_t (*run)(uint32_t n, uint32_t *result);
};

static ALIGNED uint32_t empty_loop(uint32_t n)
{
    const uint64_t start = rdtsc();
    for (uint32_t i = 0; i < n; i++)
        __asm__ volatile("" : : : "memory");
    return (uint32_t)(rdtsc() - start);
}

static ALIGNED uint32_t nothing(uint32_t n, uint32_t *result)
{
    (void)n;
    *result += 1;
    return 0;
}

static ALIGNED uint32_t null_syscall(uint32_t n, uint32_t *result)
{
    uint32_t sum = 0;
    const uint64_t start = rdtsc();
    for (uint32_t i = 0; i < n; i++)
        sum += (uint32_t)system_call(SYS_GETPID, 0, 0, 0) > 0;
    const uint32_t ticks = (uint32_t)(rdtsc() - start);
    *result += sum;
    return ticks;
}

static ALIGNED uint32_t fork_exec_wait(uint32_t n, uint32_t *result)
{
    static char *const argv[] = {"bench", "child", NULL};
    const uint64_t start = rdtsc();
    for (uint32_t i = 0; i < n; i++) {
        int status = 0;
        const int pid = fork();
        if (pid == 0) {
            exec(argv[0], argv);
            exit(127);
        }
        *result += pid > 0 && wait(&status) == pid ? (uint32_t)status : 1000u;
    }
    return (uint32_t)(rdtsc() - start);
}

/* One byte to and fro through two pipes: two context switches an operation. */
static ALIGNED uint32_t ping_pong(uint32_t n, uint32_t *result)
{
    int to[2], from[2], status;
    uint8_t byte = 0;
    if (pipe(to) < 0 || pipe(from) < 0)
        return 0;
    const int pid = fork();
    if (pid == 0) {
        for (uint32_t i = 0; i < n; i++) {
            read(to[0], &byte, 1);
            byte++;
            write(from[1], &byte, 1);
        }
        exit(0);
    }
    const uint64_t start = rdtsc();
    for (uint32_t i = 0; i < n; i++) {
        write(to[1], &byte, 1);
        read(from[0], &byte, 1);
    }
    const uint32_t ticks = (uint32_t)(rdtsc() - start);
    wait(&status);
    close(to[0]);
    close(to[1]);
    close(from[0]);
    close(from[1]);
    *result += byte;
    return ticks / 2;
}

/* First touch of a fresh heap page: fault, allocation, return. */
static ALIGNED uint32_t page_fault(uint32_t n, uint32_t *result)
{
    volatile uint8_t *p = sbrk((int)(n * 4096));
    if (sbrk_failed((void *)p))
        return 0;
    const uint64_t start = rdtsc();
    for (uint32_t i = 0; i < n; i++)
        p[i * 4096] = 1;
    const uint32_t ticks = (uint32_t)(rdtsc() - start);
    for (uint32_t i = 0; i < n; i++)
        *result += p[i * 4096];
    sbrk(-(int)(n * 4096));
    return ticks;
}

static uint32_t kernel_loop(enum kbench_op op, uint32_t n, uint32_t *result)
{
    struct kbench out = {0, 0};
    if (system_call(SYS_KBENCH, op, n, (uint32_t)&out) < 0)
        return NOT_HERE;
    *result += out.result;
    return out.ticks;
}

static uint32_t port_io(uint32_t n, uint32_t *result)
{
    return kernel_loop(KBENCH_PORT_IN, n, result);
}

static uint32_t cli_sti(uint32_t n, uint32_t *result)
{
    return kernel_loop(KBENCH_CLI_STI, n, result);
}

static uint32_t compute_kernel(uint32_t n, uint32_t *result)
{
    return kernel_loop(KBENCH_COMPUTE, n, result);
}

static uint32_t cr3_reload(uint32_t n, uint32_t *result)
{
    return kernel_loop(KBENCH_CR3, n, result);
}

static uint32_t null_hypercall(uint32_t n, uint32_t *result)
{
    return kernel_loop(KBENCH_HYPERCALL, n, result);
}

static ALIGNED uint32_t compute(uint32_t n, uint32_t *result)
{
    uint32_t x = 1;
    const uint64_t start = rdtsc();
    for (uint32_t i = 0; i < n; i++)
        x = x * 1664525u + 1013904223u;
    const uint32_t ticks = (uint32_t)(rdtsc() - start);
    *result += x;
    return ticks;
}

static const struct op ops[] = {
    {0, "empty", 1, nothing},
    {1, "null-syscall", 200, null_syscall},
    {2, "fork-exec-wait", 4, fork_exec_wait},
    {3, "context-switch", 50, ping_pong},
    {4, "page-fault", 32, page_fault},
    {5, "port-io", 200, port_io},
    {6, "cli-sti", 200, cli_sti},
    {7, "compute", 100000, compute},
    {8, "compute-kernel", 100000, compute_kernel},
    {9, "cr3-reload", 100, cr3_reload},
    {11, "null-hypercall", 200, null_hypercall},
};
#define OPS (sizeof(ops) / sizeof(ops[0]))

static void sort(uint32_t *v, int n)
{
    for (int i = 1; i < n; i++) {
        const uint32_t x = v[i];
        int k = i;
        for (; k && v[k - 1] > x; k--)
            v[k] = v[k - 1];
        v[k] = x;
    }
}

static void report(const struct op *op, uint32_t n, uint32_t ticks, uint32_t total, uint32_t result)
{
    printf("bench id=%u name=%s n=%u ticks=%u total=%u result=%x\n", op->id, op->name, n, ticks,
           total, result);
}

static void measure(const struct op *op)
{
    const uint32_t n = op->per_batch;
    uint32_t ticks[BATCHES], total = 0, result = 0, loop;
    /* Warm up: first touches are not what is measured. */
    if (op->run(n < 4 ? n : 4, &result) == NOT_HERE) {
        report(op, 0, 0, 0, 0);
        return;
    }
    result = 0;
    system_call(SYS_MARK, MARK_BEGIN | op->id, 0, 0);
    for (int i = 0; i < BATCHES; i++)
        ticks[i] = op->run(n, &result);
    system_call(SYS_MARK, MARK_END | op->id, 0, 0);
    for (int i = 0; i < BATCHES; i++)
        total += ticks[i];
    sort(ticks, BATCHES);
    loop = op->id ? empty_loop(n) : 0;
    const uint32_t median = ticks[BATCHES / 2] > loop ? ticks[BATCHES / 2] - loop : 0;
    report(op, n * BATCHES, (median + n / 2) / n, total, result);
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "child"))
        return 7;
    for (uint32_t i = 0; i < OPS; i++) {
        if (argc < 2 || !strcmp(argv[1], ops[i].name)) {
            measure(&ops[i]);
            if (argc > 1)
                return 0;
        }
    }
    if (argc < 2)
        return 0;
    dprintf(2, "use: bench [OPERATION]   operations:");
    for (uint32_t i = 0; i < OPS; i++)
        dprintf(2, " %s", ops[i].name);
    dprintf(2, "\n");
    return 2;
}
