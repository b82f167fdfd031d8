/* A quick test of every system call, with good and bad arguments. One line a test. */
#include "lib.h"

#define KERNEL_ADDRESS 0xC0100000u
#define UNMAPPED 0x30000000u
#define MANY 20

static int failures;
static bool test_failed;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("selftest: %s:%d: %s\n", __func__, __LINE__, #condition);                       \
            test_failed = true;                                                                    \
        }                                                                                          \
    } while (0)

static uint32_t free_pages(void)
{
    struct meminfo m = {0, 0};
    system_call(SYS_MEMINFO, (uint32_t)&m, 0, 0);
    return m.free_pages;
}

static void fork_wait(void)
{
    int status = 0;
    const int pid = fork();
    if (!pid)
        exit(42);
    CHECK(pid > 0);
    CHECK(wait(&status) == pid);
    CHECK(status == 42);
    CHECK(wait(&status) == E_CHILD);
    CHECK(wait((int *)KERNEL_ADDRESS) == E_CHILD);
}

static void copy_on_write(void)
{
    static int shared = 1;
    int status = 0;
    if (!fork()) {
        shared = 2;
        exit(shared);
    }
    wait(&status);
    CHECK(status == 2);
    CHECK(shared == 1);
}

static void exec_errors(void)
{
    char *const none[] = {"no-such-program", NULL};
    CHECK(exec("no-such-program", none) == E_NOENT);
    CHECK(exec((char *)UNMAPPED, none) == E_FAULT);
    CHECK(exec("echo", (char **)UNMAPPED) == E_FAULT);
    CHECK(exec("a-name-that-is-much-too-long", none) == E_FAULT);
    char *many[ARGS_MAX + 3];
    for (int i = 0; i < ARGS_MAX + 2; i++)
        many[i] = "x";
    many[ARGS_MAX + 2] = NULL;
    CHECK(exec("echo", many) == E_MFILE);
}

static void pipes(void)
{
    int fds[2], status;
    char buf[700];
    CHECK(pipe(fds) == 0);
    if (!fork()) {
        close(fds[0]);
        memset(buf, 'x', sizeof(buf));
        exit(write(fds[1], buf, sizeof(buf)) == sizeof(buf) ? 0 : 1); /* more than fits at once */
    }
    close(fds[1]);
    uint32_t got = 0;
    int n;
    while ((n = read(fds[0], buf, 100)) > 0)
        got += (uint32_t)n;
    wait(&status);
    CHECK(status == 0);
    CHECK(got == sizeof(buf));
    CHECK(n == 0);
    close(fds[0]);
    CHECK(pipe((int *)KERNEL_ADDRESS) == E_FAULT);
    CHECK(pipe(fds) == 0);
    close(fds[0]);
    CHECK(write(fds[1], buf, 1) == E_PIPE);
    close(fds[1]);
}

static void descriptors(void)
{
    char c;
    CHECK(read(-1, &c, 1) == E_BADF);
    CHECK(read(99, &c, 1) == E_BADF);
    CHECK(write(5, &c, 1) == E_BADF);
    CHECK(close(5) == E_BADF);
    CHECK(dup(99) == E_BADF);
    int fd[MANY], n = 0;
    while (n < MANY && (fd[n] = dup(1)) >= 0)
        n++;
    CHECK(n == 13); /* 16, less the three standard ones */
    while (n)
        CHECK(close(fd[--n]) == 0);
}

static void files(void)
{
    char head[4];
    const int fd = open("echo");
    CHECK(fd >= 3);
    CHECK(read(fd, head, 4) == 4);
    CHECK(head[0] == 0x7F && head[1] == 'E' && head[2] == 'L' && head[3] == 'F');
    CHECK(write(fd, head, 4) == E_BADF);
    CHECK(read(fd, (void *)KERNEL_ADDRESS, 4) == E_FAULT);
    CHECK(close(fd) == 0);
    CHECK(open("nothing") == E_NOENT);
    CHECK(open((char *)UNMAPPED) == E_FAULT);
}

static void bad_pointers(void)
{
    CHECK(write(1, (void *)UNMAPPED, 1) == E_FAULT);
    CHECK(write(1, (void *)KERNEL_ADDRESS, 1) == E_FAULT);
    CHECK(write(1, (void *)0xFFFFFFFFu, 2) == E_FAULT);
    CHECK(write(1, "x", 0xFFFFFFFFu) == E_INVAL);
    CHECK(system_call(SYS_MEMINFO, KERNEL_ADDRESS, 0, 0) == E_FAULT);
    CHECK(system_call(SYS_PROCINFO, 0, 0, 0) == E_FAULT);
    CHECK(system_call(SYS_HVINFO, UNMAPPED, 0, 0) == E_FAULT);
    CHECK(system_call(SYS_DIRENT, 0, 0xBFFFFFFFu, 0) == E_FAULT);
    CHECK(system_call(SYS_KBENCH, KBENCH_COMPUTE, 1, KERNEL_ADDRESS) == E_FAULT);
    CHECK(system_call(SYS_KBENCH, 77, 1, 0) == E_INVAL);
    CHECK(system_call(SYS_COUNT, 0, 0, 0) == E_INVAL);
    CHECK(system_call(0xFFFFFFFFu, 0, 0, 0) == E_INVAL);
    CHECK(system_call(SYS_POWEROFF, 128, 0, 0) == E_INVAL);
}

static void heap(void)
{
    uint8_t *p = sbrk(3 * 4096);
    CHECK(!sbrk_failed(p));
    p[0] = 1;
    p[3 * 4096 - 1] = 2;
    CHECK(p[4096] == 0);
    CHECK(sbrk(-3 * 4096) == p + 3 * 4096);
    CHECK(sbrk(0) == p);
    CHECK(sbrk_failed(sbrk(0x7FFFFFFF)) || sbrk(-0x7FFFFFFF));
    CHECK(sbrk_failed(sbrk(-4096)));
    int status = 0;
    if (!fork()) {
        *(volatile uint8_t *)p = 1; /* behind the end of the heap: killed */
        exit(0);
    }
    wait(&status);
    CHECK(status == 128 + 14);
}

/* Memory runs out in a child: its call fails or it is killed, and everything comes back. */
static void out_of_memory(void)
{
    const uint32_t before = free_pages();
    int status = 0;
    if (!fork()) {
        uint8_t *p = sbrk((int)(before + 100) * 4096);
        for (uint32_t i = 0; i < before + 100; i++)
            p[i * 4096] = 1;
        exit(0);
    }
    wait(&status);
    CHECK(status == 128 + 14);
    CHECK(free_pages() == before);
}

static void kill_process(void)
{
    int status = 0, fds[2];
    CHECK(pipe(fds) == 0);
    const int sleeper = fork();
    if (!sleeper) {
        char c;
        read(fds[0], &c, 1); /* never comes */
        exit(1);
    }
    yield();
    CHECK(kill(sleeper) == 0);
    CHECK(wait(&status) == sleeper);
    CHECK(status == -1);
    const int spinner = fork();
    if (!spinner) {
        for (;;)
            ;
    }
    sleep(3); /* preemption lets us run again */
    CHECK(kill(spinner) == 0);
    CHECK(wait(&status) == spinner);
    CHECK(kill(30000) == E_NOENT);
    CHECK(kill(1) == E_NOENT);
    close(fds[0]);
    close(fds[1]);
}

static void time_passes(void)
{
    const unsigned start = uptime();
    CHECK(sleep(5) == 0);
    CHECK(uptime() - start >= 5);
    CHECK(sleep(0xFFFFFFFFu) == E_INVAL);
}

static void many_processes(void)
{
    const uint32_t before = free_pages();
    int n = 0, status;
    for (;; n++) {
        const int pid = fork();
        if (!pid)
            exit(0);
        if (pid < 0)
            break;
    }
    CHECK(n > 50);
    for (int i = 0; i < n; i++)
        CHECK(wait(&status) > 0);
    CHECK(free_pages() == before);
}

static void exceptions(void)
{
    int status = 0;
    if (!fork()) {
        __asm__ volatile("cli");
        exit(0);
    }
    wait(&status);
    CHECK(status == 128 + 13);
    if (!fork()) {
        __asm__ volatile("div %0" : : "r"(0), "a"(1), "d"(0));
        exit(0);
    }
    wait(&status);
    CHECK(status == 128 + 0);
}

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    {"fork-wait", fork_wait},
    {"copy-on-write", copy_on_write},
    {"exec-errors", exec_errors},
    {"pipes", pipes},
    {"descriptors", descriptors},
    {"files", files},
    {"bad-pointers", bad_pointers},
    {"heap", heap},
    {"out-of-memory", out_of_memory},
    {"kill", kill_process},
    {"time", time_passes},
    {"many-processes", many_processes},
    {"exceptions", exceptions},
};

int main(int argc, char **argv)
{
    int run = 0;
    for (unsigned i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        if (argc > 1 && strcmp(argv[1], tests[i].name))
            continue;
        const uint32_t before = free_pages();
        test_failed = false;
        tests[i].run();
        if (free_pages() != before) {
            printf("selftest: %s leaked pages: %u before, %u after\n", tests[i].name, before,
                   free_pages());
            test_failed = true;
        }
        printf("selftest: %s %s\n", tests[i].name, test_failed ? "FAILED" : "ok");
        failures += test_failed;
        run++;
    }
    printf("selftest: %d passed, %d failed\n", run - failures, failures);
    return failures || !run;
}
