/* Several processes use the file system at the same time. */
#include "usertests.h"

#define WORKERS 5

static void all_succeed(void (*body)(int), int n)
{
    int status[TOGETHER_MAX];
    run_together(body, n, status);
    for (int i = 0; i < n; i++)
        CHECK(status[i] == 0);
}

/* Each has files of its own, in the one directory. */
static void own_files(int who)
{
    char name[16];
    const char prefix[] = {(char)('a' + who), 0};
    for (uint32_t round = 0; round < 6; round++) {
        const uint32_t size = 500 + (uint32_t)who * 700 + round * 900;
        for (uint32_t i = 0; i < 3; i++)
            make_file(name_of(name, prefix, i), size + i);
        yield();
        for (uint32_t i = 0; i < 3; i++)
            CHECK(has_pattern(name_of(name, prefix, i), size + i));
        for (uint32_t i = 0; i < 3; i++)
            CHECK(unlink(name_of(name, prefix, i)) == 0);
    }
}

static void create_and_unlink(void)
{
    all_succeed(own_files, WORKERS);
    CHECK(entries_of(".") == 0);
}

#define RECORDS 30

struct record {
    uint32_t who, number, sum;
    uint8_t fill[488]; /* so that records lie across blocks */
};

static void append_records(int who)
{
    struct record r;
    memset(&r, who, sizeof(r));
    const int fd = open("f", O_WRITE | O_CREATE | O_APPEND);
    CHECK(fd >= 0);
    for (uint32_t i = 0; i < RECORDS; i++) {
        r.who = (uint32_t)who;
        r.number = i;
        r.sum = ~(r.who + r.number);
        CHECK(write(fd, &r, sizeof(r)) == sizeof(r));
        if (i % 4 == 0)
            yield();
    }
}

/* Nothing is lost and nothing is torn: each record in one piece, those of one writer in order. */
static void appenders(void)
{
    struct record r;
    uint32_t next[WORKERS] = {0};
    all_succeed(append_records, WORKERS);
    CHECK(size_of("f") == WORKERS * RECORDS * sizeof(r));
    const int fd = open("f", O_READ);
    while (read(fd, &r, sizeof(r)) == sizeof(r)) {
        CHECK(r.who < WORKERS && r.sum == ~(r.who + r.number));
        CHECK(r.number == next[r.who]++);
        for (uint32_t i = 0; i < sizeof(r.fill); i++)
            CHECK(r.fill[i] == r.who);
    }
    for (int i = 0; i < WORKERS; i++)
        CHECK(next[i] == RECORDS);
}

#define ROUNDS 20

static int successes;

/* How many of the calls that all make at the same time have succeeded. */
static void count_status(void (*body)(int))
{
    int status[WORKERS];
    run_together(body, WORKERS, status);
    for (int i = 0; i < WORKERS; i++)
        successes += status[i];
}

static void make_all(int who)
{
    char name[8];
    int made = 0;
    (void)who;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        const int error = mkdir(name_of(name, "d", i));
        CHECK(error == 0 || error == E_EXIST);
        made += !error;
    }
    exit(made);
}

static void remove_all(int who)
{
    char name[8];
    int removed = 0;
    (void)who;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        const int error = unlink(name_of(name, "d", i));
        CHECK(error == 0 || error == E_NOENT);
        removed += !error;
    }
    exit(removed);
}

/* Exactly one of them makes each name, and exactly one removes it. */
static void one_wins(void)
{
    count_status(make_all);
    CHECK(successes == ROUNDS);
    CHECK(entries_of(".") == ROUNDS);
    successes = 0;
    count_status(remove_all);
    CHECK(successes == ROUNDS);
    CHECK(entries_of(".") == 0);
}

static void link_all(int who)
{
    char name[8];
    int made = 0;
    (void)who;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        const int error = link("f", name_of(name, "d", i));
        CHECK(error == 0 || error == E_EXIST);
        made += !error;
    }
    exit(made);
}

static void linkers(void)
{
    struct stat s;
    make_file("f", 10);
    count_status(link_all);
    CHECK(successes == ROUNDS);
    CHECK(stat("f", &s) == 0 && s.links == 1 + ROUNDS);
    successes = 0;
    count_status(remove_all);
    CHECK(successes == ROUNDS);
    CHECK(stat("f", &s) == 0 && s.links == 1);
}

/* Everybody opens, fills, empties and removes the same file. */
static void fight(int who)
{
    char buf[700];
    memset(buf, 'a' + who, sizeof(buf));
    for (int i = 0; i < 25; i++) {
        const int fd = open("f", O_READ | O_WRITE | O_CREATE | (i % 3 ? 0 : O_TRUNCATE));
        CHECK(fd >= 0);
        CHECK(write(fd, buf, sizeof(buf)) == sizeof(buf));
        CHECK(seek(fd, 0) == 0);
        const int n = read(fd, buf, sizeof(buf));
        CHECK(n >= 0 && n <= (int)sizeof(buf));
        for (int k = 0; k < n; k++)
            CHECK(!buf[k] || (buf[k] >= 'a' && buf[k] < 'a' + WORKERS));
        const int error = unlink("f");
        CHECK(error == 0 || error == E_NOENT);
        CHECK(close(fd) == 0);
        memset(buf, 'a' + who, sizeof(buf));
    }
}

static void one_file(void)
{
    all_succeed(fight, WORKERS);
}

/* Directories that others remove at the same time. */
static void nest(int who)
{
    char name[8];
    for (uint32_t i = 0; i < 15; i++) {
        int error = mkdir("d");
        CHECK(error == 0 || error == E_EXIST);
        error = chdir("d");
        CHECK(error == 0 || error == E_NOENT);
        if (error)
            continue;
        const int fd = open(name_of(name, "f", (uint32_t)who), O_WRITE | O_CREATE);
        CHECK(fd >= 0 || fd == E_NOENT);
        if (fd >= 0) {
            CHECK(write(fd, "x", 1) == 1);
            CHECK(close(fd) == 0);
            CHECK(unlink(name) == 0);
        }
        CHECK(chdir("/t/w") == 0);
        error = unlink("d");
        CHECK(error == 0 || error == E_NOENT || error == E_NOTEMPTY);
    }
}

static void nesters(void)
{
    all_succeed(nest, WORKERS);
}

static void write_forever(int unused)
{
    static char buf[6000];
    (void)unused;
    for (;;) {
        const int fd = open("f", O_WRITE | O_CREATE);
        for (int i = 0; i < 3; i++)
            write(fd, buf, sizeof(buf));
        close(fd);
        link("f", "g");
        mkdir("d");
        unlink("g");
        unlink("d");
        unlink("f");
    }
}

/* Killed in the middle of whatever they do, they leave a file system that is right. */
static void killed_writers(void)
{
    int pid[3];
    for (unsigned round = 0; round < 8; round++) {
        for (unsigned i = 0; i < ARRAY(pid); i++)
            pid[i] = spawn(write_forever, 0);
        sleep(1 + round % 3);
        for (unsigned i = 0; i < ARRAY(pid); i++)
            CHECK(kill(pid[i]) == 0);
        for (unsigned i = 0; i < ARRAY(pid); i++)
            CHECK(status_of(pid[i]) == -1);
    }
    make_file("h", 5000);
    CHECK(has_pattern("h", 5000));
}

static void run_echo(int who)
{
    static const char *const words[] = {"a", "bb", "ccc", "dddd", "eeeee"};
    char name[8];
    char *const argv[] = {"echo", (char *)words[who], NULL};
    for (int i = 0; i < 4; i++) {
        const int pid = fork();
        CHECK(pid >= 0);
        if (!pid) {
            close(1);
            open(name_of(name, "o", (uint32_t)who), O_WRITE | O_CREATE | O_TRUNCATE);
            exit(exec("echo", argv));
        }
        CHECK(status_of(pid) == 0);
        CHECK(size_of(name_of(name, "o", (uint32_t)who)) == (uint32_t)who + 2);
    }
}

static void run_programs(void)
{
    all_succeed(run_echo, WORKERS);
}

static int go[2];

/* Sit in a directory with open files, until the parent says so. Returns the first error. */
static int sit_with_files(uint32_t who)
{
    char name[8], c;
    int error = mkdir(name_of(name, "s", who));
    if (!error)
        error = chdir(name);
    for (uint32_t i = 0; i < 2 && error >= 0; i++)
        error = open(name_of(name, "f", i), O_WRITE | O_CREATE);
    close(go[1]);
    read(go[0], &c, 1);
    return error < 0 ? error : 0;
}

/* The kernel's table of inodes gets full: directories of processes count, and open files. */
static void inode_table_full(void)
{
    int pid, n = 0, refused = 0, status;
    CHECK(pipe(go) == 0);
    while ((pid = fork()) > 0) {
        until_asleep(pid);
        n++;
    }
    if (!pid)
        exit(sit_with_files(system_now().processes));
    CHECK(n > 40);
    close(go[1]);
    while (n--) {
        CHECK(wait(&status) > 0);
        CHECK(status == 0 || status == E_MFILE);
        refused += status == E_MFILE;
    }
    CHECK(refused);
    make_file("f", 100);
    CHECK(has_pattern("f", 100));
}

const struct test concurrent_tests[] = {
    {"create-and-unlink", create_and_unlink, false},
    {"appenders", appenders, false},
    {"one-wins", one_wins, false},
    {"linkers", linkers, false},
    {"one-file", one_file, false},
    {"nesters", nesters, false},
    {"killed-writers", killed_writers, true},
    {"run-programs", run_programs, false},
    {"inode-table-full", inode_table_full, true},
    {NULL, NULL, false},
};
