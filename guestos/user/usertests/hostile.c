/* Arguments that make no sense, or that are meant to harm. */
#include "usertests.h"

/* Nothing of a program is there, to read or to write. */
static const uint32_t bad_addresses[] = {
    0,         4,          0x1000,         TEXT_ADDRESS - 4, UNMAPPED,   0x80000000,
    STACK_TOP, 0xC0000000, KERNEL_ADDRESS, 0xD0000000,       0xFFFFF000, 0xFFFFFFFC,
};

/* Calls with a pointer that the kernel reads or writes behind: which argument it is. */
struct pointer_call {
    enum syscall_number number;
    uint32_t a, b, c;
    int pointer; /* 0, 1 or 2: this argument */
};

static int call_with(const struct pointer_call *p, uint32_t pointer)
{
    uint32_t arg[3] = {p->a, p->b, p->c};
    arg[p->pointer] = pointer;
    return system_call(p->number, arg[0], arg[1], arg[2]);
}

static void expect_fault(const struct pointer_call *calls, uint32_t n, uint32_t address)
{
    for (uint32_t i = 0; i < n; i++) {
        const int result = call_with(&calls[i], address);
        if (result != E_FAULT)
            printf("usertests: call %d with pointer %x: %d\n", calls[i].number, address, result);
        CHECK(result == E_FAULT);
    }
}

static const char dot[] = ".";
static char *const no_arguments[] = {NULL};

static const struct pointer_call reading[] = {
    {SYS_OPEN, 0, O_READ, 0, 0},
    {SYS_OPEN, 0, O_WRITE | O_CREATE | O_TRUNCATE, 0, 0},
    {SYS_STAT, 0, (uint32_t)TEXT_ADDRESS, 0, 0},
    {SYS_MKDIR, 0, 0, 0, 0},
    {SYS_CHDIR, 0, 0, 0, 0},
    {SYS_UNLINK, 0, 0, 0, 0},
    {SYS_LINK, 0, (uint32_t)TEXT_ADDRESS, 0, 0},
    {SYS_EXEC, 0, (uint32_t)TEXT_ADDRESS, 0, 0},
    {SYS_WRITE, 3, 0, 1, 1},
    {SYS_WRITE, 3, 0, 5000, 1},
    {SYS_WRITE, 3, 0, 0x7FFFFFFF, 1},
};

static const struct pointer_call writing[] = {
    {SYS_PIPE, 0, 0, 0, 0},
    {SYS_FSTAT, 3, 0, 0, 1},
    {SYS_DATE, 0, 0, 0, 0},
    {SYS_PROCINFO, 0, 0, 0, 1},
    {SYS_SYSINFO, 0, 0, 0, 0},
    {SYS_HVINFO, 0, 0, 0, 0},
    {SYS_KBENCH, KBENCH_COMPUTE, 1, 0, 2},
    {SYS_READ, 3, 0, 1, 1},
    {SYS_READ, 3, 0, 3000, 1},
    {SYS_READ, 3, 0, 0x7FFFFFFF, 1},
};

/* Descriptor 3 is a file with something in it. */
static void open_file(void)
{
    make_file("f", 5000);
    while (close(3) == 0)
        ;
    CHECK(open("f", O_READ | O_WRITE) == 3);
}

static void bad_pointers_in(void)
{
    open_file();
    for (unsigned i = 0; i < ARRAY(bad_addresses); i++) {
        expect_fault(reading, ARRAY(reading), bad_addresses[i]);
        CHECK(system_call(SYS_LINK, (uint32_t) "f", bad_addresses[i], 0) == E_FAULT);
        CHECK(system_call(SYS_EXEC, (uint32_t) "/bin/echo", bad_addresses[i], 0) == E_FAULT);
    }
    CHECK(entries_of(".") == 1);
    CHECK(has_pattern("f", 5000));
}

static void bad_pointers_out(void)
{
    open_file();
    for (unsigned i = 0; i < ARRAY(bad_addresses); i++) {
        expect_fault(writing, ARRAY(writing), bad_addresses[i]);
        CHECK(system_call(SYS_STAT, (uint32_t)dot, bad_addresses[i], 0) == E_FAULT);
    }
}

/* What a program may read but not write: its text, and constants in it. */
static void text_is_no_buffer(void)
{
    const uint8_t before = *(const volatile uint8_t *)TEXT_ADDRESS;
    open_file();
    expect_fault(writing, ARRAY(writing), TEXT_ADDRESS);
    expect_fault(writing, ARRAY(writing), (uint32_t)no_arguments);
    CHECK(system_call(SYS_STAT, (uint32_t)dot, TEXT_ADDRESS, 0) == E_FAULT);
    CHECK(*(const volatile uint8_t *)TEXT_ADDRESS == before);
    CHECK(!no_arguments[0]);
}

/* A structure of which the last bytes are not there any more. */
static void out_over_the_edge(void)
{
    open_file();
    for (uint32_t n = 1; n < 8; n++) {
        const uint32_t heap_end = (uint32_t)last_bytes(n), stack_end = STACK_TOP - n;
        for (unsigned i = 0; i < ARRAY(writing); i++) {
            if (writing[i].number == SYS_READ)
                continue;
            CHECK(call_with(&writing[i], heap_end) == E_FAULT);
            CHECK(call_with(&writing[i], stack_end) == E_FAULT);
        }
    }
}

/* And one that just fits, at the end of the heap and of the stack. */
static void out_just_fits(void)
{
    struct stat *s = (struct stat *)last_bytes(sizeof(*s));
    CHECK(stat(dot, s) == 0 && s->type == FS_DIRECTORY);
    s = (struct stat *)(STACK_TOP - sizeof(*s));
    CHECK(stat(dot, s) == 0 && s->type == FS_DIRECTORY);
    CHECK(sysinfo((struct sysinfo *)((char *)last_bytes(sizeof(struct sysinfo)))) == 0);
}

/* The lowest address that the stack may reach, and the one below it. */
static void stack_edge(void)
{
    const uint32_t lowest = STACK_TOP - 0x10000;
    CHECK(stat(dot, (struct stat *)lowest) == 0);
    CHECK(stat(dot, (struct stat *)(lowest - 4)) == E_FAULT);
    CHECK(((struct stat *)lowest)->type == FS_DIRECTORY);
}

/* The string's zero is the last byte there is, or there is none. */
static void path_over_the_edge(void)
{
    struct stat s;
    char *end = last_bytes(3);
    end[0] = '/';
    end[1] = '.';
    end[2] = 0;
    CHECK(stat(end, &s) == 0 && s.inode == FS_ROOT);
    end[2] = '.';
    CHECK(stat(end, &s) == E_FAULT);
    CHECK(open(end, O_READ) == E_FAULT);
    CHECK(mkdir(end) == E_FAULT);
    CHECK(chdir(end) == E_FAULT);
    CHECK(unlink(end) == E_FAULT);
    CHECK(link(end, "x") == E_FAULT);
    CHECK(link(dot, end) == E_FAULT);
    char *const argv[] = {end, NULL};
    CHECK(exec(end, argv) == E_FAULT);
    CHECK(exec("echo", argv) == E_FAULT);
}

/* Structures that lie on two pages, and at odd addresses. */
static void unaligned(void)
{
    char *p = last_bytes(PAGE);
    CHECK(!sbrk_failed(sbrk(PAGE)));
    for (uint32_t n = 1; n < 24; n++) {
        struct sysinfo *info = (struct sysinfo *)(p + PAGE - n);
        struct sysinfo copy;
        CHECK(sysinfo(info) == 0);
        memcpy(&copy, info, sizeof(copy));
        CHECK(copy.total_pages == system_now().total_pages);
        CHECK(copy.total_inodes == system_now().total_inodes);
    }
}

/* Address plus length is beyond the end of all addresses. */
static void wrapped_lengths(void)
{
    static const uint32_t lengths[] = {0x80000000, 0x80000001, 0xC0000000, 0xFFFFF000, 0xFFFFFFFF};
    char *p = last_bytes(100);
    int fds[2];
    open_file();
    CHECK(pipe(fds) == 0);
    for (unsigned i = 0; i < ARRAY(lengths); i++) {
        for (int fd = 1; fd <= fds[1]; fd++) { /* the console, a file, a pipe */
            CHECK(write(fd, p, lengths[i]) < 0);
            CHECK(read(fd, p, lengths[i]) < 0);
            CHECK(write(fd, (void *)(STACK_TOP - 1), lengths[i]) < 0);
            CHECK(write(fd, (void *)0xFFFFFFFF, lengths[i]) < 0);
            CHECK(write(fd, (void *)KERNEL_ADDRESS, lengths[i]) < 0);
        }
    }
    CHECK(has_pattern("f", 5000));
}

/* What is there is written, at most. */
static void huge_counts(void)
{
    int fds[2], n;
    char *p = last_bytes(100);
    CHECK(pipe(fds) == 0);
    memset(p, 'p', 100);
    n = write(fds[1], p, 0x7FFFFFFF);
    CHECK(n == E_FAULT || n == 100);
    n = write(fds[1], (void *)(STACK_TOP - 50), 0x7FFFFFFF);
    CHECK(n == E_FAULT || n == 50);
    CHECK(close(fds[1]) == 0);
    const int fd = open("f", O_READ | O_WRITE | O_CREATE);
    n = write(fd, (void *)(STACK_TOP - 50), 0x40000000);
    CHECK(n == E_FAULT || n == 50);
    n = write(fd, p, 0x7FFFFFFF);
    CHECK(n == E_FAULT || n == 100);
    CHECK(size_of("f") <= 150);
}

static void unknown_calls(void)
{
    static const uint32_t far[] = {1000, 0x10000, 0x7FFFFFFF, 0x80000000, 0xC0000000, 0xFFFFFFFF};
    for (uint32_t n = SYS_COUNT; n < SYS_COUNT + 300; n++)
        CHECK(system_call(n, 1, 2, 3) == E_INVAL);
    for (unsigned i = 0; i < ARRAY(far); i++)
        CHECK(system_call(far[i], 1, 2, 3) == E_INVAL);
}

/* The same nonsense to every call that comes back from it. */
static void nonsense(void)
{
    static const uint32_t values[] = {0x80000000, 0xFFFFFFFF, 0xC0000000, 0x7FFFFFFF, 0xDEADBEEF};
    for (uint32_t n = 0; n < SYS_COUNT; n++) {
        if (n == SYS_EXIT || n == SYS_FORK || n == SYS_WAIT || n == SYS_YIELD || n == SYS_GETPID ||
            n == SYS_FOREGROUND || n == SYS_SLEEP || n == SYS_SYNC || n == SYS_UPTIME ||
            n == SYS_MARK || n == SYS_SBRK || n == SYS_ONFAULT)
            continue;
        for (unsigned i = 0; i < ARRAY(values); i++)
            CHECK(system_call(n, values[i], values[i], values[i]) < 0);
    }
}

/* Only EAX is changed by a system call. */
static void registers_survive(void)
{
    uint32_t a = SYS_UPTIME, b = 0x11111111, c = 0x22222222, d = 0x33333333, s = 0x44444444,
             t = 0x55555555;
    __asm__ volatile("int $0x80" : "+a"(a), "+b"(b), "+c"(c), "+d"(d), "+S"(s), "+D"(t) : : "cc");
    CHECK(b == 0x11111111 && c == 0x22222222 && d == 0x33333333);
    CHECK(s == 0x44444444 && t == 0x55555555);
    a = SYS_YIELD;
    __asm__ volatile("int $0x80" : "+a"(a), "+b"(b), "+c"(c), "+d"(d), "+S"(s), "+D"(t) : : "cc");
    CHECK(b == 0x11111111 && c == 0x22222222 && d == 0x33333333);
    CHECK(s == 0x44444444 && t == 0x55555555);
}

/* The kernel must not rely on a program's flags. */
static void direction_flag(void)
{
    struct stat s[3];
    int result;
    memset(s, 0xEE, sizeof(s));
    __asm__ volatile("std\n\tint $0x80\n\tcld"
                     : "=a"(result)
                     : "a"(SYS_STAT), "b"(dot), "c"(&s[1])
                     : "cc", "memory");
    CHECK(result == 0);
    CHECK(s[1].type == FS_DIRECTORY);
    CHECK(s[0].inode == 0xEEEEEEEE && s[2].inode == 0xEEEEEEEE);
}

/* Nor on its segment registers. */
static void segment_registers(void)
{
    struct stat s;
    int result;
    uint32_t es = 1, fs = 1, gs = 1;
    __asm__ volatile("push %%es\n\t"
                     "push $0\n\tpop %%es\n\tpush $0\n\tpop %%fs\n\tpush $0x23\n\tpop %%gs\n\t"
                     "push %%ds\n\tpush $0\n\tpop %%ds\n\t"
                     "int $0x80\n\t"
                     "pop %%ds\n\t"
                     "mov %%es, %1\n\tmov %%fs, %2\n\tmov %%gs, %3\n\t"
                     "pop %%es"
                     : "=a"(result), "=&S"(es), "=&D"(fs), "=&d"(gs)
                     : "a"(SYS_STAT), "b"(dot), "c"(&s)
                     : "memory");
    CHECK(result == 0 && s.type == FS_DIRECTORY);
    CHECK((es & 0xFFFF) == 0 && (fs & 0xFFFF) == 0 && (gs & 0xFFFF) == 0x23);
}

/* A stack pointer that is none: the kernel has its own stack. */
static void call_without_stack(void)
{
    int pid, again;
    __asm__ volatile("mov %%esp, %%esi\n\txor %%esp, %%esp\n\tint $0x80\n\t"
                     "mov %%eax, %%edi\n\tmov $0xC0100000, %%esp\n\tmov %2, %%eax\n\tint $0x80\n\t"
                     "mov %%esi, %%esp"
                     : "=a"(again), "=&D"(pid)
                     : "i"(SYS_GETPID), "a"(SYS_GETPID)
                     : "esi", "memory");
    CHECK(pid == getpid() && again == pid);
}

/* Through the timer, too: it must find its way in and out while there is no stack. */
static void interrupt_without_stack(void)
{
    uint32_t turns = 100000000;
    const uint32_t start = uptime();
    while (uptime() - start < 5 && turns) {
        __asm__ volatile("mov %%esp, %%esi\n\txor %%esp, %%esp\n\tmov $20000, %%ecx\n"
                         "1:\tdec %%ecx\n\tjnz 1b\n\tmov %%esi, %%esp"
                         :
                         :
                         : "ecx", "esi", "cc", "memory");
        turns--;
    }
    CHECK(uptime() - start >= 5);
}

static void hostile_sleep(void)
{
    CHECK(sleep(0x80000000) == E_INVAL);
    CHECK(sleep(0xFFFFFFFF) == E_INVAL);
    CHECK(sleep(0) == 0);
}

const struct test pointer_tests[] = {
    {"bad-pointers-in", bad_pointers_in, false},
    {"bad-pointers-out", bad_pointers_out, false},
    {"text-is-no-buffer", text_is_no_buffer, false},
    {"out-over-the-edge", out_over_the_edge, false},
    {"out-just-fits", out_just_fits, false},
    {"stack-edge", stack_edge, false},
    {"path-over-the-edge", path_over_the_edge, false},
    {"unaligned", unaligned, false},
    {NULL, NULL, false},
};

const struct test hostile_tests[] = {
    {"wrapped-lengths", wrapped_lengths, false},
    {"huge-counts", huge_counts, false},
    {"unknown-calls", unknown_calls, false},
    {"nonsense", nonsense, false},
    {"registers-survive", registers_survive, false},
    {"direction-flag", direction_flag, false},
    {"segment-registers", segment_registers, false},
    {"call-without-stack", call_without_stack, false},
    {"interrupt-without-stack", interrupt_without_stack, false},
    {"hostile-sleep", hostile_sleep, false},
    {NULL, NULL, false},
};
