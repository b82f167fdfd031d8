/*
 * Tests of every system call, with good, bad and hostile arguments; guestos/user/usertests/ has
 * them. usertests [-l | -q | NAME...]
 *
 * Each test runs in a child process, so that it may crash, with a second child that kills it when
 * it takes too long. Before and after each, all that the kernel counts must be the same. What the
 * kernel says about a process that an exception killed stands between our lines.
 */
#include "usertests/usertests.h"

#define DIRECTORY "/t"
#define TEST_DIRECTORY "/t/w"
#define SETTLE_TRIES 50

/* Seconds of a test. Emulators let time jump while a disk works and nothing else does, so idle time
 * says little. */
#define BUSY_LIMIT 60
#define IDLE_LIMIT 600

static const struct test *const groups[] = {
    process_tests, memory_tests,    file_tests,    big_file_tests,  path_tests,
    pipe_tests,    directory_tests, exec_tests,    exception_tests, handler_tests,
    resume_tests,  pointer_tests,   hostile_tests, system_tests,    concurrent_tests,
};

static int passed, failed;

struct outcome {
    int status;
    bool timed_out;
};

static void body(const struct test *test)
{
    group(0, 0);
    if (chdir(TEST_DIRECTORY) < 0)
        exit(1);
    sleep(1); /* the watcher gets the pages that it needs, before a test takes them all */
    test->run();
    exit(0);
}

/* Kill the group of a test that takes too long. */
static void watch(int pid)
{
    const uint64_t start = rdtsc() - system_now().idle_time;
    for (int second = 0; second < IDLE_LIMIT; second++) {
        sleep(TICKS_PER_SECOND);
        const struct sysinfo now = system_now();
        if (rdtsc() - now.idle_time - start > (uint64_t)now.tsc_khz * 1000 * BUSY_LIMIT)
            break;
    }
    kill_group(pid);
    exit(0);
}

/* In a process of its own. */
static struct outcome run_child(const struct test *test)
{
    struct outcome o = {E_NOMEM, false};
    int status;
    const int child = fork();
    if (!child)
        body(test);
    if (child < 0)
        return o;
    group(child, 0); /* whoever of the two comes first */
    int watcher = fork();
    if (!watcher)
        watch(child);
    for (int pid = 0; pid != child && pid != E_CHILD;) {
        pid = wait(&status);
        if (pid == child)
            o.status = status;
        if (pid == watcher) {
            o.timed_out = !status;
            watcher = 0;
        }
    }
    if (watcher > 0) {
        o.timed_out = kill(watcher) < 0; /* it has just ended */
        wait(&status);
    }
    kill_group(child); /* grandchildren that the test has left: init buries them */
    return o;
}

/* The name of the first number that is not as before; NULL: nothing leaked. */
static const char *leak(const struct sysinfo *before, const struct sysinfo *after)
{
    if (before->processes != after->processes)
        return "processes";
    if (before->free_pages != after->free_pages)
        return "pages";
    if (before->open_files != after->open_files)
        return "open files";
    if (before->pipes != after->pipes)
        return "pipes";
    if (before->inodes_in_use != after->inodes_in_use)
        return "inodes in use";
    if (before->free_inodes != after->free_inodes)
        return "inodes";
    return before->free_blocks != after->free_blocks ? "blocks" : NULL;
}

/* Init needs a moment to bury orphans. */
static const char *leak_since(const struct sysinfo *before)
{
    const char *what = NULL;
    for (int i = 0; i < SETTLE_TRIES; i++) {
        const struct sysinfo now = system_now();
        what = leak(before, &now);
        if (!what)
            break;
        sleep(1);
    }
    return what;
}

static const char *file_name(const char *path)
{
    const char *name = path;
    for (; *path; path++) {
        if (*path == '/')
            name = path + 1;
    }
    return name;
}

/* The one line of a test. */
static void report(const struct test *test, struct outcome o, const char *leaked, int remove_error)
{
    const struct check *at = failed_check(o.status);
    const bool ok = !o.timed_out && !o.status && !remove_error && !leaked;
    passed += ok;
    failed += !ok;
    if (ok)
        printf("ok %s\n", test->name);
    else if (o.timed_out)
        printf("not ok %s: takes too long\n", test->name);
    else if (at)
        printf("not ok %s: %s (%s:%d)\n", test->name, at->text, file_name(at->file), at->line);
    else if (o.status)
        printf("not ok %s: status %d\n", test->name, o.status);
    else if (remove_error)
        printf("not ok %s: its files cannot be removed: %s\n", test->name,
               error_text(remove_error));
    else
        printf("not ok %s: leaks %s\n", test->name, leaked);
}

static void run_test(const struct test *test)
{
    const struct sysinfo before = system_now();
    const int error = mkdir(TEST_DIRECTORY);
    if (error < 0) {
        printf("not ok %s: mkdir: %s\n", test->name, error_text(error));
        failed++;
        return;
    }
    const struct outcome o = run_child(test);
    const int remove_error = remove_tree(TEST_DIRECTORY);
    report(test, o, leak_since(&before), remove_error);
}

static void nothing(void)
{
}

#define STACK_USED 0x4000 /* more than we need anywhere */

static __attribute__((noinline)) void use_stack(void)
{
    volatile uint8_t room[STACK_USED];
    for (uint32_t i = 0; i < sizeof(room); i += PAGE)
        room[i] = 0;
}

/* The first test would pay for the pages that this process uses from then on. */
static void warm_up(void)
{
    static const struct test test = {"nothing", nothing, false};
    use_stack();
    mkdir(TEST_DIRECTORY);
    run_child(&test);
    remove_tree(TEST_DIRECTORY);
    sleep(1);
}

static const struct test *find_test(const char *name)
{
    for (unsigned g = 0; g < ARRAY(groups); g++) {
        for (const struct test *t = groups[g]; t->name; t++) {
            if (!strcmp(t->name, name))
                return t;
        }
    }
    return NULL;
}

static int list(void)
{
    for (unsigned g = 0; g < ARRAY(groups); g++) {
        for (const struct test *t = groups[g]; t->name; t++)
            printf("%s%s\n", t->name, t->slow ? " (slow)" : "");
    }
    return 0;
}

static void run_all(bool quick)
{
    for (unsigned g = 0; g < ARRAY(groups); g++) {
        for (const struct test *t = groups[g]; t->name; t++) {
            if (!quick || !t->slow)
                run_test(t);
        }
    }
}

static const char usage[] = "use: usertests [-l | -q | NAME...]   all tests, or these\n"
                            "  -l  list their names\n"
                            "  -q  leave the slow ones out\n";

/* What an earlier run may have left goes; false: there is no directory to work in. */
static bool begin(void)
{
    remove_tree(DIRECTORY);
    const int error = mkdir(DIRECTORY);
    if (error < 0)
        dprintf(2, "usertests: " DIRECTORY ": %s\n", error_text(error));
    else
        warm_up();
    return error >= 0;
}

int main(int argc, char **argv)
{
    const char *option = argc == 2 && argv[1][0] == '-' ? argv[1] : "";
    if (!strcmp(option, "-l"))
        return list();
    if (!strcmp(option, "-h") || !strcmp(option, "--help"))
        return write(1, usage, sizeof(usage) - 1) < 0;
    const bool quick = !strcmp(option, "-q");
    for (int i = 1; i < argc && !quick; i++) {
        if (find_test(argv[i]))
            continue;
        if (argv[i][0] == '-')
            dprintf(2, usage);
        else
            dprintf(2, "usertests: there is no test '%s' (-l lists them)\n", argv[i]);
        return 2;
    }
    if (!begin())
        return 1;
    printf(
        "usertests: the kernel reports processes that are killed; here that is meant to happen\n");
    for (int i = 1; i < argc && !quick; i++)
        run_test(find_test(argv[i]));
    if (argc < 2 || quick)
        run_all(quick);
    const int left = unlink(DIRECTORY);
    if (left < 0)
        dprintf(2, "usertests: " DIRECTORY " cannot be removed: %s\n", error_text(left));
    printf("usertests: %d passed, %d failed\n", passed, failed);
    return failed || left < 0;
}
