/* Pipes. */
#include "usertests.h"

#define MUCH 5000 /* more than fits into a pipe */

static void pipe_basics(void)
{
    int fds[2];
    char buf[10] = "";
    struct stat s;
    CHECK(pipe(fds) == 0);
    CHECK(write(fds[1], "hello", 5) == 5);
    CHECK(read(fds[0], buf, 2) == 2 && buf[0] == 'h' && buf[1] == 'e');
    CHECK(read(fds[0], buf, sizeof(buf)) == 3); /* what there is */
    CHECK(buf[0] == 'l' && buf[2] == 'o');
    CHECK(read(fds[1], buf, 1) == E_BADF);
    CHECK(write(fds[0], buf, 1) == E_BADF);
    CHECK(fstat(fds[0], &s) == 0 && s.type == FS_FREE);
    CHECK(read(fds[0], buf, 0) == 0);
    CHECK(write(fds[1], buf, 0) == 0);
}

static void pipe_end(void)
{
    int fds[2];
    char buf[10];
    CHECK(pipe(fds) == 0);
    CHECK(write(fds[1], "abc", 3) == 3);
    const int copy = dup(fds[1]);
    CHECK(close(fds[1]) == 0);
    CHECK(read(fds[0], buf, 1) == 1);
    CHECK(write(copy, "d", 1) == 1);
    CHECK(close(copy) == 0);
    CHECK(read(fds[0], buf, 10) == 3);
    CHECK(read(fds[0], buf, 10) == 0);
    CHECK(read(fds[0], buf, 10) == 0);
}

static void pipe_without_reader(void)
{
    int fds[2];
    CHECK(pipe(fds) == 0);
    const int copy = dup(fds[0]);
    CHECK(close(fds[0]) == 0);
    CHECK(write(fds[1], "x", 1) == 1);
    CHECK(close(copy) == 0);
    CHECK(write(fds[1], "x", 1) == E_PIPE);
}

static int ends[2];

static void write_much(int unused)
{
    char buf[MUCH];
    (void)unused;
    close(ends[0]);
    for (uint32_t i = 0; i < MUCH; i++)
        buf[i] = (char)pattern(i);
    CHECK(write(ends[1], buf, MUCH) == MUCH);
}

/* The writer waits for room, the reader for bytes; the order stays. */
static void pipe_full(void)
{
    char c;
    CHECK(pipe(ends) == 0);
    const int pid = spawn(write_much, 0);
    close(ends[1]);
    until_asleep(pid);
    for (uint32_t i = 0; i < MUCH; i++) {
        CHECK(read(ends[0], &c, 1) == 1);
        CHECK((uint8_t)c == pattern(i));
    }
    CHECK(read(ends[0], &c, 1) == 0);
    CHECK(status_of(pid) == 0);
}

static void write_for_nobody(int unused)
{
    (void)unused;
    close(ends[0]);
    static char buf[MUCH];
    const int n = write(ends[1], buf, MUCH);
    CHECK(n == E_PIPE || (n > 0 && n < MUCH));
    CHECK(write(ends[1], buf, 1) == E_PIPE);
}

/* The reader goes while the writer waits. */
static void pipe_breaks(void)
{
    char c;
    CHECK(pipe(ends) == 0);
    const int pid = spawn(write_for_nobody, 0);
    until_asleep(pid);
    CHECK(read(ends[0], &c, 1) == 1);
    CHECK(close(ends[0]) == 0);
    CHECK(status_of(pid) == 0);
}

static void read_one(int unused)
{
    char c;
    (void)unused;
    close(ends[1]);
    exit(read(ends[0], &c, 1));
}

static void reader_waits(void)
{
    CHECK(pipe(ends) == 0);
    const int a = spawn(read_one, 0), b = spawn(read_one, 0);
    until_asleep(a);
    until_asleep(b);
    CHECK(write(ends[1], "x", 1) == 1);
    CHECK(close(ends[1]) == 0);
    CHECK(status_of(a) + status_of(b) == 1); /* one has the byte, one the end */
}

#define WRITERS 6
#define LETTERS 300

static void write_letters(int who)
{
    const char c = (char)('a' + who);
    close(ends[0]);
    for (int i = 0; i < LETTERS; i++) {
        CHECK(write(ends[1], &c, 1) == 1);
        if (i % 50 == 0)
            yield();
    }
}

static void many_writers(void)
{
    int pid[WRITERS], count[WRITERS] = {0}, n;
    char buf[100];
    CHECK(pipe(ends) == 0);
    for (int i = 0; i < WRITERS; i++)
        pid[i] = spawn(write_letters, i);
    close(ends[1]);
    while ((n = read(ends[0], buf, sizeof(buf))) > 0) {
        for (int i = 0; i < n; i++) {
            CHECK(buf[i] >= 'a' && buf[i] < 'a' + WRITERS);
            count[buf[i] - 'a']++;
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        CHECK(count[i] == LETTERS);
        CHECK(status_of(pid[i]) == 0);
    }
}

static void write_block(int unused)
{
    static char buf[MUCH];
    (void)unused;
    close(ends[0]);
    CHECK(write(ends[1], buf, MUCH) == MUCH);
}

/* Writers that wait for room must not keep each other, and so the machine, awake. */
static void waiting_writers(void)
{
    char buf[100];
    int pid[3], n;
    uint32_t total = 0;
    CHECK(pipe(ends) == 0);
    for (unsigned i = 0; i < ARRAY(pid); i++)
        pid[i] = spawn(write_block, 0);
    close(ends[1]);
    sleep(3);
    while ((n = read(ends[0], buf, sizeof(buf))) > 0)
        total += (uint32_t)n;
    CHECK(n == 0 && total == ARRAY(pid) * MUCH);
    for (unsigned i = 0; i < ARRAY(pid); i++)
        CHECK(status_of(pid[i]) == 0);
}

static void pipe_bad_buffers(void)
{
    int fds[2];
    char c = 0;
    CHECK(pipe(fds) == 0);
    CHECK(write(fds[1], (void *)UNMAPPED, 1) == E_FAULT);
    CHECK(write(fds[1], (void *)KERNEL_ADDRESS, 100) == E_FAULT);
    CHECK(write(fds[1], "y", 1) == 1);
    CHECK(read(fds[0], (void *)KERNEL_ADDRESS, 1) == E_FAULT);
    CHECK(read(fds[0], (void *)TEXT_ADDRESS, 1) == E_FAULT);
    CHECK(read(fds[0], &c, 1) == 1 && c == 'y'); /* not lost */
    char *edge = last_bytes(3);
    int n = write(fds[1], edge, 10);
    CHECK(n == E_FAULT || (n > 0 && n <= 3));
}

/* When pipe() fails it leaves nothing behind. */
static void pipe_bad_pointer(void)
{
    const int room = free_descriptors();
    const struct sysinfo before = system_now();
    CHECK(pipe((int *)UNMAPPED) == E_FAULT);
    CHECK(pipe((int *)KERNEL_ADDRESS) == E_FAULT);
    CHECK(pipe((int *)TEXT_ADDRESS) == E_FAULT);
    CHECK(pipe((int *)last_bytes(4)) == E_FAULT);
    CHECK(free_descriptors() == room);
    const struct sysinfo after = system_now();
    CHECK(after.pipes == before.pipes && after.open_files == before.open_files);
}

/* Every process makes pipes until it cannot; sooner or later the system has no more. */
static void hold_pipes(int depth)
{
    int fds[2], n = 0, error;
    for (int i = 3; i < FILES; i++)
        close(i);
    while ((error = pipe(fds)) == 0)
        n++;
    CHECK(error == E_MFILE);
    if (n == (FILES - 3) / 2 && depth)
        CHECK(run(hold_pipes, depth - 1) == 0);
}

static void system_pipe_limit(void)
{
    CHECK(run(hold_pipes, 20) == 0);
    pipe_basics();
}

/* Bytes through a chain of processes. */
static void pass_on(int depth)
{
    int from[2];
    char c;
    if (depth) {
        CHECK(pipe(from) == 0);
        const int out = ends[1];
        ends[1] = from[1];
        const int pid = spawn(pass_on, depth - 1);
        close(from[1]);
        while (read(from[0], &c, 1) == 1) {
            c++;
            CHECK(write(out, &c, 1) == 1);
        }
        CHECK(status_of(pid) == 0);
    } else {
        CHECK(write(ends[1], "aAz", 3) == 3);
    }
}

static void pipe_chain(void)
{
    char buf[4] = "";
    CHECK(pipe(ends) == 0);
    CHECK(run(pass_on, 4) == 0);
    CHECK(read(ends[0], buf, 3) == 3);
    CHECK(!strcmp(buf, "eE~"));
}

const struct test pipe_tests[] = {
    {"pipe-basics", pipe_basics, false},
    {"pipe-end", pipe_end, false},
    {"pipe-without-reader", pipe_without_reader, false},
    {"pipe-full", pipe_full, false},
    {"pipe-breaks", pipe_breaks, false},
    {"reader-waits", reader_waits, false},
    {"many-writers", many_writers, false},
    {"waiting-writers", waiting_writers, false},
    {"pipe-bad-buffers", pipe_bad_buffers, false},
    {"pipe-bad-pointer", pipe_bad_pointer, false},
    {"system-pipe-limit", system_pipe_limit, true},
    {"pipe-chain", pipe_chain, false},
    {NULL, NULL, false},
};
