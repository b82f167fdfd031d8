/* fork, wait, exit, kill, groups, preemption. */
#include "usertests.h"

static void exit_with(int status)
{
    exit(status);
}

static void fork_wait(void)
{
    int status = 0;
    const int pid = fork();
    if (!pid)
        exit(42);
    CHECK(pid > 0 && pid != getpid());
    CHECK(wait(&status) == pid);
    CHECK(status == 42);
    CHECK(wait(&status) == E_CHILD);
    CHECK(wait(NULL) == E_CHILD);
}

static void exit_statuses(void)
{
    static const int statuses[] = {0, 1, 127, 255, 256, 65536, -2, -128, 0x7FFFFFFF};
    for (unsigned i = 0; i < ARRAY(statuses); i++)
        CHECK(run(exit_with, statuses[i]) == statuses[i]);
}

static void wait_without_status(void)
{
    const int pid = spawn(exit_with, 3);
    CHECK(wait(NULL) == pid);
    CHECK(wait(NULL) == E_CHILD);
}

/* Every child is reported once, with its own status. */
static void wait_for_many(void)
{
    int pid[20], status;
    for (int i = 0; i < 20; i++)
        pid[i] = spawn(exit_with, i + 1);
    for (int i = 0; i < 20; i++) {
        const int got = wait(&status);
        int which = 0;
        while (which < 20 && pid[which] != got)
            which++;
        CHECK(which < 20);
        CHECK(status == which + 1);
        pid[which] = 0;
    }
    CHECK(wait(&status) == E_CHILD);
}

/* A failing wait must not lose the child. */
static void wait_bad_pointer(void)
{
    int status = 0;
    const int pid = spawn(exit_with, 9);
    CHECK(wait((int *)KERNEL_ADDRESS) == E_FAULT);
    CHECK(wait((int *)UNMAPPED) == E_FAULT);
    CHECK(wait((int *)TEXT_ADDRESS) == E_FAULT);
    CHECK(wait((int *)0xFFFFFFFEu) == E_FAULT);
    CHECK(wait(&status) == pid);
    CHECK(status == 9);
}

static void zombies(void)
{
    struct procinfo p;
    const int pid = spawn(exit_with, 5);
    do {
        yield();
        CHECK(find_process(pid, &p));
    } while (strcmp(p.state, "zombie"));
    CHECK(p.parent == getpid());
    kill(pid); /* too late */
    CHECK(status_of(pid) == 5);
    CHECK(!find_process(pid, &p));
}

static void leave_orphan(int fd)
{
    if (!fork()) {
        char c;
        read(fd, &c, 1);
        exit(0);
    }
}

/* Init takes over the children of the dead. */
static void orphans(void)
{
    struct procinfo p;
    int fds[2], adopted = 0;
    CHECK(pipe(fds) == 0);
    CHECK(run(leave_orphan, fds[0]) == 0);
    for (uint32_t i = 0; system_call(SYS_PROCINFO, i, (uint32_t)&p, 0) == 0; i++)
        adopted += p.pid && p.group == getpid() && p.parent == 1;
    CHECK(adopted == 1);
    CHECK(wait(NULL) == E_CHILD);
    CHECK(write(fds[1], "x", 1) == 1);
}

static void grandchildren(int depth)
{
    if (depth)
        exit(run(grandchildren, depth - 1) + 1);
}

static void deep_family(void)
{
    CHECK(run(grandchildren, 12) == 12);
}

static void fork_often(void)
{
    for (int i = 0; i < 100; i++)
        CHECK(run(exit_with, i) == i);
}

static void block_on(int fd)
{
    char c;
    exit(read(fd, &c, 1)); /* 0: the other end was closed */
}

/* The table of processes gets full, and empty again. */
static void fork_until_full(void)
{
    int fds[2], n = 0, status, pid;
    CHECK(pipe(fds) == 0);
    while ((pid = fork()) > 0)
        n++;
    if (!pid) {
        close(fds[1]);
        block_on(fds[0]);
    }
    CHECK(pid == E_MFILE || (pid == E_NOMEM && system_now().free_pages < 10));
    CHECK(fork() < 0);
    CHECK(n > 20);
    close(fds[1]);
    for (int i = 0; i < n; i++) {
        CHECK(wait(&status) > 0);
        CHECK(status == 0);
    }
    CHECK(run(exit_with, 7) == 7);
}

static void sleep_long(int unused)
{
    (void)unused;
    sleep(100000);
}

static void wait_long(int unused)
{
    (void)unused;
    run(sleep_long, 0);
}

static void kill_sleeping(void)
{
    const int pid = spawn(sleep_long, 0);
    until_asleep(pid);
    CHECK(kill(pid) == 0);
    CHECK(status_of(pid) == -1);
    CHECK(kill(pid) == E_NOENT);
}

static void kill_waiting(void)
{
    const int pid = spawn(wait_long, 0);
    until_asleep(pid);
    CHECK(kill(pid) == 0);
    CHECK(status_of(pid) == -1);
}

static void kill_reading(void)
{
    int fds[2];
    CHECK(pipe(fds) == 0);
    const int pid = spawn(block_on, fds[0]);
    until_asleep(pid);
    CHECK(kill(pid) == 0);
    CHECK(status_of(pid) == -1);
}

static void fill_pipe(int fd)
{
    for (;;)
        write(fd, "0123456789", 10);
}

static void kill_writing(void)
{
    int fds[2];
    char c;
    CHECK(pipe(fds) == 0);
    const int pid = spawn(fill_pipe, fds[1]);
    until_asleep(pid);
    CHECK(kill(pid) == 0);
    CHECK(status_of(pid) == -1);
    CHECK(read(fds[0], &c, 1) == 1 && c == '0');
}

static void spin(int unused)
{
    (void)unused;
    for (;;)
        __asm__ volatile("pause");
}

static void kill_running(void)
{
    const int pid = spawn(spin, 0);
    sleep(1);
    CHECK(kill(pid) == 0);
    CHECK(status_of(pid) == -1);
}

/* Before it has run at all. */
static void kill_newborn(void)
{
    const int pid = spawn(spin, 0);
    CHECK(kill(pid) == 0);
    CHECK(status_of(pid) == -1);
}

static void suicide(int unused)
{
    (void)unused;
    kill(getpid());
}

static void kill_self(void)
{
    CHECK(run(suicide, 0) == -1);
}

static void kill_nobody(void)
{
    CHECK(kill(1) < 0);
    CHECK(kill(0) < 0);
    CHECK(kill(-1) < 0);
    CHECK(kill(0x7FFFFFFF) == E_NOENT);
    CHECK(kill((int)0x80000000) < 0);
}

static void expect_group(int group)
{
    struct procinfo p;
    CHECK(find_process(getpid(), &p));
    CHECK(p.group == group);
}

static void groups(void)
{
    struct procinfo p;
    expect_group(getpid());
    CHECK(run(expect_group, getpid()) == 0); /* inherited */
    const int pid = spawn(sleep_long, 0);
    CHECK(group(pid, 0) == 0);
    CHECK(find_process(pid, &p) && p.group == pid);
    CHECK(group(pid, getpid()) == 0);
    CHECK(find_process(pid, &p) && p.group == getpid());
    CHECK(kill(pid) == 0);
    CHECK(status_of(pid) == -1);
}

static void groups_of_others(void)
{
    CHECK(group(1, 0) < 0);
    CHECK(group(0x7FFFFFFF, 0) < 0);
    CHECK(group(-1, 0) < 0);
    CHECK(group(0, -1) < 0);
    expect_group(getpid());
}

/* The group of usertests is the foreground when this begins, and again afterwards. */
static void foreground_group(void)
{
    struct procinfo me, parent;
    CHECK(find_process(getpid(), &me) && find_process(me.parent, &parent));
    CHECK(foreground(getpid()) == 0);
    CHECK(foreground(0) == 0);
    CHECK(foreground(parent.group) == 0);
    CHECK(foreground(-1) < 0);
}

static void yields(void)
{
    for (int i = 0; i < 100; i++)
        CHECK(yield() == 0);
}

/* Neither of two processes that never give the CPU away keeps it from the other. */
static void count_until(int tick)
{
    uint32_t turns = 0;
    while ((int)uptime() < tick)
        turns++;
    exit(turns > 0);
}

static void preemption(void)
{
    sync(); /* time may jump while a disk works */
    const int until = (int)uptime() + 4;
    const int a = spawn(count_until, until), b = spawn(count_until, until);
    CHECK(status_of(a) == 1);
    CHECK(status_of(b) == 1);
}

static void preempt_spinner(void)
{
    const int spinner = spawn(spin, 0);
    CHECK(run(exit_with, 6) == 6);
    CHECK(kill(spinner) == 0);
    CHECK(status_of(spinner) == -1);
}

const struct test process_tests[] = {
    {"fork-wait", fork_wait, false},
    {"exit-statuses", exit_statuses, false},
    {"wait-without-status", wait_without_status, false},
    {"wait-for-many", wait_for_many, false},
    {"wait-bad-pointer", wait_bad_pointer, false},
    {"zombies", zombies, false},
    {"orphans", orphans, false},
    {"deep-family", deep_family, false},
    {"fork-often", fork_often, true},
    {"fork-until-full", fork_until_full, true},
    {"kill-sleeping", kill_sleeping, false},
    {"kill-waiting", kill_waiting, false},
    {"kill-reading", kill_reading, false},
    {"kill-writing", kill_writing, false},
    {"kill-running", kill_running, true},
    {"kill-newborn", kill_newborn, false},
    {"kill-self", kill_self, false},
    {"kill-nobody", kill_nobody, false},
    {"groups", groups, false},
    {"groups-of-others", groups_of_others, false},
    {"foreground", foreground_group, false},
    {"yield", yields, false},
    {"preempt-spinner", preempt_spinner, false},
    {"preemption", preemption, true},
    {NULL, NULL, false},
};
