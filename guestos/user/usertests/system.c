/* Time, and what the kernel tells of itself. */
#include "usertests.h"

/* What measures time begins with a sync(): emulators let time jump while they wait for a disk. */
static void time_passes(void)
{
    sync();
    const uint32_t start = uptime();
    CHECK(sleep(5) == 0);
    const uint32_t slept = uptime() - start;
    CHECK(slept >= 5 && slept < 30);
}

static void wake_at(int tenths)
{
    sleep((unsigned)tenths * 10);
    exit((int)uptime());
}

/* Who sleeps longer wakes later. */
static void sleepers(void)
{
    sync();
    const int a = spawn(wake_at, 3), b = spawn(wake_at, 1), c = spawn(wake_at, 2);
    const int ta = status_of(a), tb = status_of(b), tc = status_of(c);
    CHECK(tb < tc && tc < ta);
}

static void dates(void)
{
    struct date d;
    CHECK(date(&d) == 0);
    CHECK(d.year >= 2020 && d.year < 2100);
    CHECK(d.month >= 1 && d.month <= 12);
    CHECK(d.day >= 1 && d.day <= 31);
    CHECK(d.hour < 24 && d.minute < 60 && d.second < 60);
}

static void date_moves_on(void)
{
    struct date a, b;
    sync();
    CHECK(date(&a) == 0);
    sleep(2 * TICKS_PER_SECOND + TICKS_PER_SECOND / 2);
    CHECK(date(&b) == 0);
    CHECK(a.second != b.second);
}

static void totals(void)
{
    struct sysinfo s;
    CHECK(sysinfo(&s) == 0);
    CHECK(s.free_pages && s.free_pages < s.total_pages);
    CHECK(s.free_blocks && s.free_blocks < s.total_blocks);
    CHECK(s.free_inodes && s.free_inodes < s.total_inodes);
    CHECK(s.processes >= 4); /* init, commit, usertests, its test and the watcher */
    CHECK(s.open_files >= 1);
    CHECK(s.inodes_in_use >= 2);
    CHECK(s.tsc_khz);
}

static void counts(void)
{
    int fds[2];
    const struct sysinfo a = system_now();
    CHECK(pipe(fds) == 0);
    CHECK(open("f", O_WRITE | O_CREATE) >= 0);
    const int pid = fork();
    if (!pid) {
        char c;
        close(fds[1]);
        read(fds[0], &c, 1);
        exit(0);
    }
    const struct sysinfo b = system_now();
    CHECK(b.pipes == a.pipes + 1);
    CHECK(b.open_files == a.open_files + 3);
    CHECK(b.inodes_in_use == a.inodes_in_use + 1);
    CHECK(b.free_inodes == a.free_inodes - 1);
    CHECK(b.processes == a.processes + 1);
    CHECK(b.free_pages < a.free_pages);
    CHECK(close(fds[1]) == 0);
    CHECK(status_of(pid) == 0);
}

/* While everybody sleeps the CPU is idle. */
static void idle_time(void)
{
    const uint64_t a = system_now().idle_time;
    sleep(10);
    CHECK(system_now().idle_time > a);
}

static void own_entry(void)
{
    struct procinfo p;
    CHECK(find_process(getpid(), &p));
    CHECK(!strcmp(p.name, "usertests"));
    CHECK(!strcmp(p.state, "running"));
    CHECK(p.pages > 2 && p.pages < 200);
    CHECK(p.group == getpid());
    CHECK(find_process(p.parent, &p));
    CHECK(!strcmp(p.name, "usertests"));
    CHECK(!strcmp(p.state, "sleeping"));
    CHECK(find_process(1, &p));
    CHECK(!strcmp(p.name, "init") && p.parent == 0);
}

static void all_entries(void)
{
    struct procinfo p;
    uint32_t n = 0, used = 0;
    while (system_call(SYS_PROCINFO, n, (uint32_t)&p, 0) == 0) {
        used += p.pid != 0;
        n++;
    }
    CHECK(n == 64);
    CHECK(used == system_now().processes);
    CHECK(system_call(SYS_PROCINFO, n, (uint32_t)&p, 0) == E_NOENT);
    CHECK(system_call(SYS_PROCINFO, 0xFFFFFFFF, (uint32_t)&p, 0) == E_NOENT);
    CHECK(system_call(SYS_PROCINFO, 0x80000000, (uint32_t)&p, 0) == E_NOENT);
}

static void hypervisor(void)
{
    struct hvinfo h;
    CHECK(system_call(SYS_HVINFO, (uint32_t)&h, 0, 0) == 0);
    CHECK(strlen(h.signature) <= 12);
    CHECK(h.present <= 1 && h.mode <= 4);
    CHECK(h.patched_sites <= h.total_sites);
    CHECK(h.pv_version || !h.patched_sites);
}

static uint32_t bench(enum kbench_op op, uint32_t n)
{
    struct kbench k = {0, 0xABCD};
    const int error = system_call(SYS_KBENCH, op, n, (uint32_t)&k);
    CHECK(error == 0 || (error == E_NOENT && op == KBENCH_HYPERCALL));
    return k.result;
}

/* The loops do what they say, and leave the machine as it was. */
static void kernel_loops(void)
{
    struct kbench k;
    CHECK(bench(KBENCH_PORT_IN, 10) == 10);
    CHECK(bench(KBENCH_CLI_STI, 10) == 1);
    CHECK(bench(KBENCH_COMPUTE, 0) == 1);
    CHECK(bench(KBENCH_COMPUTE, 2) == (1664525u + 1013904223u) * 1664525u + 1013904223u);
    CHECK(bench(KBENCH_CR3, 10) == 1);
    CHECK(bench(KBENCH_CR0, 10) == 1);
    CHECK(bench(KBENCH_CALL_RET, 10) == 10);
    CHECK(bench(KBENCH_PTE_MOD, 11) == 1);
    bench(KBENCH_HYPERCALL, 10);
    CHECK(bench(KBENCH_DISK, 3) == 3);
    CHECK(system_call(SYS_KBENCH, KBENCH_DISK, 1001, (uint32_t)&k) == E_INVAL);
    CHECK(system_call(SYS_KBENCH, KBENCH_DISK + 1, 1, (uint32_t)&k) == E_INVAL);
    CHECK(system_call(SYS_KBENCH, 0xFFFFFFFF, 1, (uint32_t)&k) == E_INVAL);
    CHECK(system_call(SYS_KBENCH, KBENCH_CR3, 0xFFFFFFFF, (uint32_t)&k) == E_INVAL);
    CHECK(system_call(SYS_KBENCH, KBENCH_CR3, 10000001, (uint32_t)&k) == E_INVAL);
}

/* Nobody need listen. */
static void marks(void)
{
    CHECK(system_call(SYS_MARK, 0, 0, 0) == 0);
    CHECK(system_call(SYS_MARK, 0xFFFFFFFF, 0, 0) == 0);
}

static void bad_power_off(void)
{
    CHECK(system_call(SYS_POWEROFF, 128, 0, 0) == E_INVAL);
    CHECK(system_call(SYS_POWEROFF, 0x80000000, 0, 0) == E_INVAL);
    CHECK(system_call(SYS_POWEROFF, 0xFFFFFFFF, 0, 0) == E_INVAL);
}

static void console(void)
{
    struct stat s;
    CHECK(write(1, "", 0) == 0);
    CHECK(read(0, &s, 0) == 0);
    CHECK(write(1, (void *)UNMAPPED, 10) == E_FAULT);
    CHECK(write(1, (void *)KERNEL_ADDRESS, 0x7FFFFFFF) == E_FAULT);
    CHECK(fstat(0, &s) == 0 && s.type == FS_FREE);
    CHECK(seek(1, 0) == E_BADF);
}

const struct test system_tests[] = {
    {"time-passes", time_passes, false},
    {"sleepers", sleepers, false},
    {"date", dates, false},
    {"date-moves-on", date_moves_on, true},
    {"totals", totals, false},
    {"counts", counts, false},
    {"idle-time", idle_time, false},
    {"own-entry", own_entry, false},
    {"all-entries", all_entries, false},
    {"hypervisor", hypervisor, false},
    {"kernel-loops", kernel_loops, false},
    {"marks", marks, false},
    {"bad-power-off", bad_power_off, false},
    {"console", console, false},
    {NULL, NULL, false},
};
