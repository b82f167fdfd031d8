/* The heap, the stack, copy-on-write, memory that runs out. */
#include "usertests.h"

#define FAULT (STATUS_FAULT + 14)

static uint8_t *grow(uint32_t pages)
{
    uint8_t *p = sbrk((int)(pages * PAGE));
    CHECK(!sbrk_failed(p));
    return p;
}

static void touch(uint8_t *p, uint32_t pages)
{
    for (uint32_t i = 0; i < pages; i++)
        p[i * PAGE] = (uint8_t)i;
}

static void heap(void)
{
    uint8_t *start = sbrk(0), *p = grow(3);
    CHECK(p == start);
    p[0] = 1;
    p[3 * PAGE - 1] = 2;
    CHECK(p[PAGE] == 0);
    CHECK(sbrk(0) == p + 3 * PAGE);
    CHECK(sbrk(-(int)(3 * PAGE)) == p + 3 * PAGE);
    CHECK(sbrk(0) == p);
    CHECK(sbrk(100) == p);
    CHECK(sbrk(-50) == p + 100);
    CHECK(sbrk(-50) == p + 50);
}

static uint8_t *victim;

static void read_victim(void)
{
    (void)*(volatile uint8_t *)victim;
}

static void write_victim(void)
{
    *(volatile uint8_t *)victim = 1;
}

static void heap_behind_end(void)
{
    victim = grow(2) + 2 * PAGE;
    CHECK(death(read_victim) == FAULT);
    CHECK(death(write_victim) == FAULT);
    victim[-1] = 1;
    CHECK(!sbrk_failed(sbrk(-(int)PAGE)));
    victim -= PAGE;
    CHECK(death(write_victim) == FAULT);
    CHECK(death(read_victim) == FAULT);
}

/* What comes back after a shrink is new and zero. */
static void heap_is_zero(void)
{
    uint8_t *p = grow(4);
    memset(p, 0xEE, 4 * PAGE);
    CHECK(!sbrk_failed(sbrk(-(int)(3 * PAGE))));
    CHECK(grow(3) == p + PAGE);
    for (uint32_t i = PAGE; i < 4 * PAGE; i++)
        CHECK(p[i] == 0);
    CHECK(p[PAGE - 1] == 0xEE);
}

static void heap_errors(void)
{
    uint8_t *start = sbrk(0);
    CHECK(sbrk_failed(sbrk(-1)));
    CHECK(sbrk_failed(sbrk(-(int)PAGE)));
    CHECK(sbrk_failed(sbrk((int)0x80000000)));
    CHECK(sbrk(0) == start);
    grow(1);
    CHECK(sbrk_failed(sbrk(-(int)PAGE - 1)));
    for (int i = 0; i < 3; i++)
        sbrk(0x7FFFFFFF);
    CHECK(sbrk_failed(sbrk(0x7FFFFFFF)));
    CHECK((uint32_t)sbrk(0) < STACK_TOP);
}

/* Pages cost memory when they are used, not before, and come back. */
static void heap_is_lazy(void)
{
    const uint32_t before = system_now().free_pages;
    uint8_t *p = grow(200);
    CHECK(before - system_now().free_pages < 4);
    touch(p, 50);
    const uint32_t used = before - system_now().free_pages;
    CHECK(used >= 50 && used < 56);
    CHECK(!sbrk_failed(sbrk(-(int)(200 * PAGE))));
    CHECK(before - system_now().free_pages < 6);
}

/* The kernel writes to and reads from pages that nobody has touched. */
static void system_calls_touch_pages(void)
{
    make_file("f", 3 * PAGE);
    uint8_t *p = grow(8);
    int fd = open("f", O_READ);
    CHECK(read(fd, p + 100, 3 * PAGE) == 3 * PAGE);
    for (uint32_t i = 0; i < 3 * PAGE; i++)
        CHECK(p[100 + i] == pattern(i));
    close(fd);
    fd = open("g", O_WRITE | O_CREATE);
    CHECK(write(fd, p + 6 * PAGE, 2 * PAGE) == 2 * PAGE);
    close(fd);
    fd = open("g", O_READ);
    CHECK(read(fd, p, 2 * PAGE) == 2 * PAGE);
    for (uint32_t i = 0; i < 2 * PAGE; i++)
        CHECK(p[i] == 0);
    uint32_t *fds = (uint32_t *)(grow(2) + PAGE - 4); /* over two untouched pages */
    CHECK(pipe((int *)fds) == 0);
    CHECK(fds[0] != fds[1]);
}

static volatile int shared = 1;

static void write_shared(int value)
{
    CHECK(shared == 1);
    shared = value;
    yield();
    CHECK(shared == value);
}

static void copy_on_write(void)
{
    int status[4];
    run_together(write_shared, 4, status);
    CHECK(shared == 1);
}

/* The other direction: the parent writes, the child must not see it. */
static void expect_one(int fd)
{
    char c;
    CHECK(read(fd, &c, 1) == 1);
    CHECK(shared == 1);
}

static void parent_writes(void)
{
    int fds[2];
    CHECK(pipe(fds) == 0);
    const int pid = spawn(expect_one, fds[0]);
    shared = 2;
    CHECK(write(fds[1], "x", 1) == 1);
    CHECK(status_of(pid) == 0);
    CHECK(shared == 2);
}

static char buffer[2 * PAGE];

static void read_into_buffer(int unused)
{
    (void)unused;
    const int fd = open("f", O_READ);
    CHECK(read(fd, buffer, sizeof(buffer)) == sizeof(buffer));
    CHECK((uint8_t)buffer[5] == pattern(5));
}

/* The kernel, too, must write to a copy. */
static void kernel_copies_on_write(void)
{
    make_file("f", sizeof(buffer));
    memset(buffer, 'p', sizeof(buffer));
    CHECK(run(read_into_buffer, 0) == 0);
    for (uint32_t i = 0; i < sizeof(buffer); i++)
        CHECK(buffer[i] == 'p');
}

static void third_generation(int depth)
{
    if (depth)
        CHECK(run(third_generation, depth - 1) == 0);
    CHECK(buffer[PAGE] == 'q');
    buffer[PAGE] = (char)depth;
}

static void copy_on_write_family(void)
{
    buffer[PAGE] = 'q';
    CHECK(run(third_generation, 5) == 0);
    CHECK(buffer[PAGE] == 'q');
}

static __attribute__((noinline)) uint32_t recurse(uint32_t depth)
{
    volatile uint8_t page[1000];
    page[0] = (uint8_t)depth;
    return depth ? recurse(depth - 1) + page[0] : 0;
}

static void stack_grows(void)
{
    CHECK(recurse(40) == 820);
}

static void overflow_stack(void)
{
    recurse(1000000);
}

static void stack_overflows(void)
{
    CHECK(death(overflow_stack) == FAULT);
}

/* Freshly written pages of this process itself may make a small difference. */
static bool all_back(uint32_t before)
{
    const uint32_t now = system_now().free_pages;
    return now + 4 > before && now < before + 4;
}

static void use_everything(void)
{
    const uint32_t pages = system_now().free_pages + 100;
    uint8_t *p = sbrk((int)(pages * PAGE));
    if (!sbrk_failed(p))
        touch(p, pages);
    exit(1); /* there is not so much memory */
}

static void out_of_memory(void)
{
    const uint32_t before = system_now().free_pages;
    const int status = death(use_everything);
    CHECK(status == FAULT || status == 1);
    CHECK(all_back(before));
}

/* A child shares its parent's pages, until it writes to them and there are not enough. */
static void write_half(int pages)
{
    uint8_t *p = grow((uint32_t)pages);
    touch(p, (uint32_t)pages);
    const int pid = fork();
    if (pid == 0) {
        touch(p, (uint32_t)pages);
        exit(1);
    }
    CHECK(pid > 0);
    CHECK(status_of(pid) == FAULT);
    for (uint32_t i = 0; i < (uint32_t)pages; i++)
        CHECK(p[i * PAGE] == (uint8_t)i);
}

static void copy_without_memory(void)
{
    const uint32_t before = system_now().free_pages;
    CHECK(run(write_half, (int)(before / 3 * 2)) == 0);
    CHECK(all_back(before));
}

/* Use all memory but about `left` pages; returns the first page that is not used yet. */
static uint8_t *leave_only(uint32_t left)
{
    const uint32_t pages = system_now().free_pages, at_once = pages - pages / 256 - left - 16;
    uint8_t *p = grow(pages + 10);
    touch(p, at_once);
    p += at_once * PAGE;
    for (; system_now().free_pages > left; p += PAGE)
        *p = 1;
    return p;
}

/* Sooner or later fork fails, or a process dies because it cannot have its copy of a page. */
static void fork_in_need(int left)
{
    int pid;
    group(0, 0);
    leave_only((uint32_t)left);
    while ((pid = fork()) > 0)
        ;
    if (!pid)
        sleep(100000);
    exit(pid == E_NOMEM);
}

static void fork_without_memory(void)
{
    const uint32_t before = system_now().free_pages;
    const int pid = spawn(fork_in_need, 40);
    const int status = status_of(pid);
    CHECK(status == 1 || status == FAULT);
    kill_group(pid);
    for (int i = 0; i < 50 && !all_back(before); i++)
        sleep(1);
    CHECK(all_back(before));
}

/* System calls that need a page for their result fail, or the process dies; the kernel does not. */
static void calls_in_need(int unused)
{
    (void)unused;
    uint8_t *p = leave_only(3);
    int i = 0;
    while (i < 5 && stat(".", (struct stat *)p) == 0) {
        p += PAGE;
        i++;
    }
    CHECK(i < 5);
    CHECK(stat(".", (struct stat *)p) == E_FAULT);
    CHECK(fork() == E_NOMEM);
    CHECK(mkdir("d") == 0);
    CHECK(unlink("d") == 0);
}

static void calls_without_memory(void)
{
    const uint32_t before = system_now().free_pages;
    const int status = run(calls_in_need, 0);
    CHECK(status == 0 || status == FAULT);
    CHECK(all_back(before));
}

const struct test memory_tests[] = {
    {"heap", heap, false},
    {"heap-behind-end", heap_behind_end, false},
    {"heap-is-zero", heap_is_zero, false},
    {"heap-errors", heap_errors, false},
    {"heap-is-lazy", heap_is_lazy, false},
    {"calls-touch-pages", system_calls_touch_pages, false},
    {"copy-on-write", copy_on_write, false},
    {"parent-writes", parent_writes, false},
    {"kernel-copies-on-write", kernel_copies_on_write, false},
    {"copy-on-write-family", copy_on_write_family, false},
    {"stack-grows", stack_grows, false},
    {"stack-overflows", stack_overflows, false},
    {"out-of-memory", out_of_memory, true},
    {"copy-without-memory", copy_without_memory, true},
    {"fork-without-memory", fork_without_memory, true},
    {"calls-without-memory", calls_without_memory, true},
    {NULL, NULL, false},
};
