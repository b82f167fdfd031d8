/*
 * Benchmarks in TSC ticks (in the emulators: executed instructions): bench [-l | NAME...]. One line
 * an operation:
 *   bench id=I name=N n=OPERATIONS ticks=MEDIAN-PER-OPERATION total=TICKS result=CHECKSUM
 * Each operation runs in batches; the median batch is reported, less the loop's own cost, so that a
 * timer tick in one batch does no harm. The checksum is made of what the operations returned, and
 * must be the same on every machine and in every mode.
 *
 * The nanobenchmarks of Adams and Agesen ("A Comparison of Software and Hardware Techniques for x86
 * Virtualization", ASPLOS 2006) are all here: their syscall, in, cr8wr, call/ret, pgfault, divzero
 * and ptemod are null-syscall, port-io, cr-write, call-ret, page-fault, divide-error and pte-mod.
 */
#include "lib.h"
#include "mark.h"

#define BATCHES_MAX 11
#define ALIGNED __attribute__((noinline, aligned(64)))
#define NOT_HERE UINT32_MAX /* instead of ticks: this machine has no such operation */

/* The id never changes; it is what lines, marks and readers of reports know an operation by. */
struct op {
    uint32_t id;
    const char *name;
    uint32_t batches, per_batch; /* batches: an odd number */
    const char *what;
    /* Run n operations; returns ticks (or NOT_HERE) and adds to *result. NULL: the kernel does. */
    uint32_t (*run)(uint32_t n, uint32_t *result);
    enum kbench_op kernel;
    /* Before and after all batches, not measured; or NULL. */
    void (*set_up)(void);
    void (*clean_up)(void);
};

static bool failed; /* the operation that is measured now */

/* Pass on what a system call returned; if that is an error, say so once. */
static int checked(const char *what, int result)
{
    if (result < 0 && !failed)
        dprintf(2, "bench: %s: %s\n", what, error_text(result));
    failed |= result < 0;
    return result;
}

/* Ticks in which the CPU had something to do: a disk's own slowness is not what is measured, and
 * emulators let time jump while they wait for the host. */
static uint64_t busy_time(void)
{
    struct sysinfo info = {0};
    sysinfo(&info);
    return rdtsc() - info.idle_time;
}

static uint32_t next_random(uint32_t x)
{
    return x * 1664525u + 1013904223u;
}

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

static uint32_t divisions; /* that were skipped */

/* Go on behind the division, which is `div ecx`, two bytes. What else comes shall kill us. */
static void skip_division(struct fault *fault)
{
    if (fault->vector) {
        on_fault(NULL);
        return;
    }
    divisions++;
    fault->eip += 2;
}

/* The exception, the handler of this program, and its way back through the kernel. */
static ALIGNED uint32_t divide_error(uint32_t n, uint32_t *result)
{
    divisions = 0;
    if (checked("on_fault", on_fault(skip_division)) < 0)
        return NOT_HERE;
    const uint64_t start = rdtsc();
    for (uint32_t i = 0; i < n; i++)
        __asm__ volatile("div %%ecx" : : "c"(0), "a"(1), "d"(0) : "cc", "memory");
    const uint32_t ticks = (uint32_t)(rdtsc() - start);
    on_fault(NULL);
    *result += divisions;
    return ticks;
}

#define STORM 16

static ALIGNED uint32_t fork_storm(uint32_t n, uint32_t *result)
{
    static char *const argv[] = {"bench", "child", NULL};
    const uint64_t start = busy_time();
    for (uint32_t i = 0; i < n; i++) {
        uint32_t started = 0;
        for (; started < STORM; started++) {
            const int pid = checked("fork", fork());
            if (pid == 0) {
                exec(argv[0], argv);
                exit(127);
            }
            if (pid < 0)
                break;
        }
        for (; started; started--) {
            int status = 0;
            wait(&status);
            *result += (uint32_t)status;
        }
    }
    return (uint32_t)(busy_time() - start);
}

#define PIECE 512

/* A child writes n pieces, we read them. */
static ALIGNED uint32_t pipe_throughput(uint32_t n, uint32_t *result)
{
    static char piece[PIECE];
    int fds[2], status;
    if (checked("pipe", pipe(fds)) < 0)
        return NOT_HERE;
    const int pid = checked("fork", fork());
    if (pid == 0) {
        close(fds[0]);
        for (uint32_t i = 0; i < n; i++) {
            memset(piece, (int)i, sizeof(piece));
            write(fds[1], piece, sizeof(piece));
        }
        exit(0);
    }
    close(fds[1]);
    uint32_t last = 0;
    const uint64_t start = rdtsc();
    for (int got; (got = read(fds[0], piece, sizeof(piece))) > 0;) {
        *result += (uint32_t)got;
        last = (uint8_t)piece[got - 1];
    }
    const uint32_t ticks = (uint32_t)(rdtsc() - start);
    wait(&status);
    close(fds[0]);
    *result += last;
    return ticks;
}

#define BENCH_DIR "/bench"
#define DATA_FILE BENCH_DIR "/data"
#define DATA_SIZE 0x80000u /* twice the kernel's cache of blocks */
#define CHUNK 4096u
#define BLOCK 1024u

static uint32_t chunk[CHUNK / 4];
static bool have_dir, have_data;
static uint32_t seed;

static void fill_chunk(uint32_t x)
{
    for (uint32_t i = 0; i < CHUNK / 4; i++)
        chunk[i] = x = next_random(x);
}

static int open_file(const char *path, int flags)
{
    return checked(path, open(path, flags));
}

static void make_dir(void)
{
    const int error = have_dir ? 0 : mkdir(BENCH_DIR);
    have_dir = error == E_EXIST || checked(BENCH_DIR, error) == 0;
}

/* n pieces of the data file, one after the other or at random places, which go on from batch to
 * batch. What is written is also brought to the disk. */
static ALIGNED uint32_t disk(uint32_t n, uint32_t *result, int flags, uint32_t size, bool random)
{
    const bool writing = flags & O_WRITE;
    const int fd = open_file(DATA_FILE, flags);
    if (fd < 0)
        return NOT_HERE;
    fill_chunk(1);
    const uint64_t start = busy_time();
    for (uint32_t i = 0; i < n; i++) {
        seed = next_random(seed);
        if (random)
            checked("seek", seek(fd, (seed >> 16) % (DATA_SIZE / size) * size));
        chunk[0] = writing ? i : 0;
        const int done = writing ? write(fd, chunk, size) : read(fd, chunk, size);
        *result += (uint32_t)checked(DATA_FILE, done) + chunk[0] + chunk[1];
    }
    if (writing)
        checked("sync", sync());
    const uint32_t ticks = (uint32_t)(busy_time() - start);
    close(fd);
    return ticks;
}

static uint32_t disk_seq_write(uint32_t n, uint32_t *result)
{
    const uint32_t ticks = disk(n, result, O_WRITE | O_CREATE | O_TRUNCATE, CHUNK, false);
    have_data = n * CHUNK == DATA_SIZE && !failed;
    return ticks;
}

static uint32_t disk_seq_read(uint32_t n, uint32_t *result)
{
    return disk(n, result, O_READ, CHUNK, false);
}

static uint32_t disk_rand_read(uint32_t n, uint32_t *result)
{
    return disk(n, result, O_READ, BLOCK, true);
}

static uint32_t disk_rand_write(uint32_t n, uint32_t *result)
{
    return disk(n, result, O_WRITE, BLOCK, true);
}

static void set_up_data(void)
{
    uint32_t ignored = 0;
    make_dir();
    if (!have_data && !failed)
        disk_seq_write(DATA_SIZE / CHUNK, &ignored);
    seed = 2006;
}

static void remove_data(void)
{
    if (!have_dir)
        return;
    unlink(DATA_FILE);
    unlink(BENCH_DIR);
}

#define SOURCES 16
#define SOURCE_DIR BENCH_DIR "/src"
#define PROGRAM SOURCE_DIR "/program"

/* The path of source or object file number i. */
static const char *numbered(uint32_t i, char suffix)
{
    static char path[] = SOURCE_DIR "/file00.?";
    char *end = path + sizeof(path) - 1;
    end[-4] = (char)('0' + i / 10);
    end[-3] = (char)('0' + i % 10);
    end[-1] = suffix;
    return path;
}

static void write_whole(const char *path, uint32_t n)
{
    const int fd = open_file(path, O_WRITE | O_CREATE | O_TRUNCATE);
    if (fd < 0)
        return;
    checked(path, write(fd, chunk, n));
    close(fd);
}

static uint32_t read_whole(const char *path)
{
    const int fd = open_file(path, O_READ);
    const int n = fd < 0 ? 0 : checked(path, read(fd, chunk, CHUNK));
    close(fd);
    return n > 0 ? (uint32_t)n : 0;
}

/* An object file has one word for two of its source. */
static void compile_one(uint32_t i)
{
    const uint32_t n = read_whole(numbered(i, 'c')) / 8;
    for (uint32_t k = 0; k < n; k++)
        chunk[k] = chunk[2 * k] * 31 + chunk[2 * k + 1];
    write_whole(numbered(i, 'o'), n * 4);
}

static void link_all(void)
{
    const int fd = open_file(PROGRAM, O_WRITE | O_CREATE | O_TRUNCATE);
    for (uint32_t i = 0; i < SOURCES && !failed; i++)
        checked(PROGRAM, write(fd, chunk, read_whole(numbered(i, 'o'))));
    close(fd);
}

static uint32_t check_program(void)
{
    uint32_t sum = 0;
    const int fd = open_file(PROGRAM, O_READ);
    for (int n; !failed && (n = checked(PROGRAM, read(fd, chunk, CHUNK))) > 0;) {
        for (uint32_t k = 0; k < (uint32_t)n / 4; k++)
            sum = sum * 33 + chunk[k];
    }
    close(fd);
    return sum;
}

/* Sources of 1 to 4 KB are written, compiled, linked; the program is checked, all is removed. */
static ALIGNED uint32_t compile(uint32_t n, uint32_t *result)
{
    const uint64_t start = busy_time();
    for (uint32_t i = 0; i < n; i++) {
        checked(SOURCE_DIR, mkdir(SOURCE_DIR));
        for (uint32_t k = 0; k < SOURCES; k++) {
            fill_chunk(k);
            write_whole(numbered(k, 'c'), BLOCK + k * (CHUNK - BLOCK) / (SOURCES - 1) / 8 * 8);
        }
        for (uint32_t k = 0; k < SOURCES; k++)
            compile_one(k);
        link_all();
        *result += check_program();
        for (uint32_t k = 0; k < SOURCES; k++) {
            unlink(numbered(k, 'c'));
            unlink(numbered(k, 'o'));
        }
        unlink(PROGRAM);
        checked(SOURCE_DIR, unlink(SOURCE_DIR));
    }
    return (uint32_t)(busy_time() - start);
}

#define WALK_PAGES 1024u /* 4 MB */
static volatile uint32_t *walk_area;

static void set_up_walk(void)
{
    void *area = sbrk(WALK_PAGES * 4096);
    if (sbrk_failed(area)) {
        checked("sbrk", E_NOMEM);
        return;
    }
    walk_area = area;
    for (uint32_t i = 0; i < WALK_PAGES; i++)
        walk_area[i * 1024] = i;
}

static void clean_up_walk(void)
{
    if (walk_area)
        sbrk(-(int)(WALK_PAGES * 4096));
    walk_area = NULL;
}

static ALIGNED uint32_t tlb_walk(uint32_t n, uint32_t *result)
{
    uint32_t sum = 0;
    const uint64_t start = rdtsc();
    for (uint32_t i = 0; i < n; i++)
        sum += walk_area[i % WALK_PAGES * 1024];
    const uint32_t ticks = (uint32_t)(rdtsc() - start);
    *result += sum;
    return ticks;
}

static const struct op ops[] = {
    {0, "empty", 11, 1, "what measuring itself costs", .run = nothing},
    {1, "null-syscall", 11, 200, "a system call that does next to nothing", .run = null_syscall},
    {2, "fork-exec-wait", 11, 4, "a child becomes a program and ends", .run = fork_exec_wait},
    {3, "context-switch", 11, 50, "to another process, by a byte in a pipe", .run = ping_pong},
    {4, "page-fault", 11, 32, "first touch of a page of the heap", .run = page_fault},
    {5, "port-io", 11, 200, "the kernel reads a port", .kernel = KBENCH_PORT_IN},
    {6, "cli-sti", 11, 200, "the kernel disables, enables interrupts", .kernel = KBENCH_CLI_STI},
    {7, "compute", 11, 100000, "a step of arithmetic in a program", .run = compute},
    {8, "compute-kernel", 11, 100000, "the same in the kernel", .kernel = KBENCH_COMPUTE},
    {9, "cr3-reload", 11, 100, "the kernel writes CR3, a new address space", .kernel = KBENCH_CR3},
    {11, "null-hypercall", 11, 200, "a hypercall that does nothing", .kernel = KBENCH_HYPERCALL},
    {20, "call-ret", 11, 1000, "the kernel calls and returns", .kernel = KBENCH_CALL_RET},
    {21, "cr-write", 11, 100, "the kernel writes CR0", .kernel = KBENCH_CR0},
    {22, "pte-mod", 11, 100, "the kernel changes a page table entry", .kernel = KBENCH_PTE_MOD},
    {23, "divide-error", 11, 50, "an exception that the program handles", .run = divide_error},
    {24, "fork-storm", 3, 1, "16 children at once become programs and end", .run = fork_storm},
    {25, "pipe-throughput", 5, 128, "512 bytes of 64 KB through a pipe", .run = pipe_throughput},
    {26, "compile", 3, 1, "33 files written, read, removed", .run = compile, .set_up = make_dir},
    {27, "disk-seq-write", 3, 128, "4 KB of a file of 512 KB written in order, synced",
     .run = disk_seq_write, .set_up = make_dir},
    {28, "disk-seq-read", 3, 128, "4 KB of it read in order", .run = disk_seq_read,
     .set_up = set_up_data},
    {29, "disk-rand-read", 3, 64, "1 KB read anywhere in it", .run = disk_rand_read,
     .set_up = set_up_data},
    {30, "disk-rand-write", 3, 64, "1 KB written anywhere in it, synced", .run = disk_rand_write,
     .set_up = set_up_data},
    {32, "disk-driver", 3, 64, "32 KB of the disk, read past cache and files",
     .kernel = KBENCH_DISK},
    {31, "tlb-walk", 11, 4096, "a word read, each in another page of 4 MB", .run = tlb_walk,
     .set_up = set_up_walk, .clean_up = clean_up_walk},
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

static uint32_t run(const struct op *op, uint32_t n, uint32_t *result)
{
    return op->run ? op->run(n, result) : kernel_loop(op->kernel, n, result);
}

/* Returns whether nothing failed; an operation that this machine does not have is no failure. */
static bool measure(const struct op *op)
{
    const uint32_t n = op->per_batch, middle = op->batches / 2;
    uint32_t ticks[BATCHES_MAX], total = 0, result = 0;
    failed = false;
    if (op->set_up)
        op->set_up();
    /* Warm up: first touches are not what is measured. */
    const bool here = !failed && run(op, n < 4 ? n : 4, &result) != NOT_HERE;
    result = 0;
    if (here) {
        system_call(SYS_MARK, MARK_BEGIN | op->id, 0, 0);
        for (uint32_t i = 0; i < op->batches; i++)
            ticks[i] = run(op, n, &result);
        system_call(SYS_MARK, MARK_END | op->id, 0, 0);
    }
    if (here && !failed) {
        for (uint32_t i = 0; i < op->batches; i++)
            total += ticks[i];
        sort(ticks, (int)op->batches);
        const uint32_t loop = op->id ? empty_loop(n) : 0;
        const uint32_t median = ticks[middle] > loop ? ticks[middle] - loop : 0;
        report(op, n * op->batches, (median + n / 2) / n, total, result);
    } else {
        report(op, 0, 0, 0, 0);
    }
    if (op->clean_up)
        op->clean_up();
    return !failed;
}

static const struct op *find(const char *name)
{
    for (uint32_t i = 0; i < OPS; i++) {
        if (!strcmp(name, ops[i].name))
            return &ops[i];
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "child"))
        return 7;
    if (argc == 2 && !strcmp(argv[1], "-l")) {
        for (uint32_t i = 0; i < OPS; i++)
            printf("%-16s %s\n", ops[i].name, ops[i].what);
        return 0;
    }
    for (int i = 1; i < argc; i++) {
        if (!find(argv[i])) {
            dprintf(2, "bench: no operation '%s'\nuse: bench [-l | NAME...]   -l lists them\n",
                    argv[i]);
            return 2;
        }
    }
    bool fine = true;
    for (uint32_t i = 0; i < OPS; i++) {
        bool wanted = argc < 2;
        for (int k = 1; k < argc; k++)
            wanted |= find(argv[k]) == &ops[i];
        if (wanted)
            fine &= measure(&ops[i]);
    }
    remove_data();
    return !fine;
}
