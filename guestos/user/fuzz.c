/*
 * Random system calls: fuzz [SEED [CALLS]]. The kernel must survive them, and afterwards everything
 * that it counts must be as before.
 *
 * The calls are made in rounds. In each a worker process, which may die by them, makes some, all
 * with numbers that follow from SEED and the round. Whatever a round leaves running is killed. What
 * would harm more than the worker is not tried: paths stay in a directory of our own, and nobody
 * else is killed.
 */
#include "fs_format.h"
#include "lib.h"

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))

#define DIRECTORY "/fuzz"
#define ROUND 256       /* calls of a worker, at most */
#define REPORT 32       /* after so many calls it reports them */
#define CHILD_CALLS 16  /* of a worker's own child */
#define CHILDREN 8      /* of a worker */
#define TIME_LIMIT 200  /* ticks of a round: a worker may wait for ever */
#define SETTLE_TRIES 50 /* ticks until init has buried all orphans */
#define PROCESSES_MAX 64

#define PAGE 4096u
#define BUFFER (16 * PAGE)
#define PROGRAM 0x00400000u
#define STACK_TOP 0xBFFFF000u
#define STACK_MAX 0x10000u
#define LARGEST (FS_FILE_BLOCKS * FS_BLOCK)

static uint32_t seed, random_state, calls_wanted;

/* Xorshift (G. Marsaglia, 2003). */
static uint32_t any(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

static uint32_t below(uint32_t n)
{
    return any() % n;
}

static bool one_in(uint32_t n)
{
    return !below(n);
}

/* The worker. */
static int report_fd;       /* how many calls were made goes here, a byte at a time */
static uint8_t unreported;  /* calls */
static uint32_t calls_left; /* of this process */
static uint32_t children;   /* it may still make */
static int last_child;      /* 0: none */
static uint32_t buffer;     /* the kernel writes there; at the end of the heap */
static char path[2][PATH_MAX * 2];

static void report(void)
{
    write(report_fd, &unreported, 1);
    unreported = 0;
}

/* Never the descriptor of the reports. */
static uint32_t some_fd(void)
{
    static const uint32_t odd[] = {FILES, FILES + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
    return one_in(16) ? odd[below(ARRAY(odd))] : below(FILES - 1);
}

static uint32_t some_size(void)
{
    static const uint32_t sizes[] = {0,    1,    2,    511,  512,   513,        1023,       1024,
                                     1025, 4095, 4096, 4097, 17000, 0x7FFFFFFF, 0x80000000, ~0u};
    return one_in(4) ? below(8000) : sizes[below(ARRAY(sizes))];
}

/* Where the kernel must not write. */
static uint32_t bad_pointer(void)
{
    static const uint32_t bad[] = {0,          4,          0x1000,     PROGRAM,
                                   0x30000000, STACK_TOP,  0xC0000000, 0xC0100000,
                                   0xFFFFF000, 0xFFFFFFFF, 0xBFFFEFFF, STACK_TOP - STACK_MAX - 1};
    return bad[below(ARRAY(bad))];
}

/* For structures and data. What this program itself needs is left out: its own variables, and the
 * part of the stack that is in use. */
static uint32_t some_pointer(void)
{
    if (one_in(6))
        return bad_pointer();
    if (one_in(8))
        return buffer + BUFFER - below(64);
    if (one_in(8))
        return STACK_TOP - STACK_MAX + below(PAGE);
    if (one_in(16)) {
        const uint32_t wild = any();
        return wild < buffer || wild >= STACK_TOP - STACK_MAX ? 0x30000000 + wild % 0x1000 : wild;
    }
    return buffer + below(BUFFER);
}

static const char *const names[] = {"a",
                                    "b",
                                    "c",
                                    "d",
                                    "e",
                                    "f",
                                    "d/a",
                                    "d/b",
                                    "d/d",
                                    "e/a",
                                    ".",
                                    "a/b",
                                    DIRECTORY "/a",
                                    DIRECTORY "/d",
                                    "/" DIRECTORY "//d/./a",
                                    "d/e/"};

/* A path that does not lead out of our directory. */
static uint32_t own_path(int which)
{
    char *p = path[which];
    uint32_t n = 0;
    if (one_in(16))
        return bad_pointer();
    if (one_in(32)) { /* a long one: of parts, or one that is */
        const uint32_t length = 1 + below(sizeof(path[0]) - 2);
        for (const uint32_t part = one_in(2) ? 2 : 20 + below(20); n < length; n++)
            p[n] = n % part == part - 1 ? '/' : 'a';
    } else if (one_in(32)) {
        for (; n < 1 + below(12); n++)
            p[n] = (char)(n ? any() : 'x'); /* any bytes, but no '/' in front and no ".." */
        for (uint32_t i = 0; i < n; i++)
            p[i] = p[i] == '.' ? '-' : p[i];
    } else {
        const char *name = names[below(ARRAY(names))];
        n = strlen(name);
        memcpy(p, name, n);
    }
    p[n] = 0;
    return (uint32_t)p;
}

/* For calls that change nothing. */
static uint32_t any_path(void)
{
    static const char *const others[] = {
        "/", "..", "../..", "/bin", "/bin/echo", "/bin/../bin/ls", "", "/nothing"};
    return one_in(4) ? (uint32_t)others[below(ARRAY(others))] : own_path(0);
}

static uint32_t some_offset(void)
{
    static const uint32_t offsets[] = {0,           1,          1023,   1024,    12287,
                                       12288,       274431,     274432, LARGEST, LARGEST - 1,
                                       LARGEST + 1, 0x7FFFFFFF, ~0u};
    return one_in(2) ? below(300000) : offsets[below(ARRAY(offsets))];
}

/* Itself, its child, nobody, or whom the kernel protects. */
static uint32_t some_pid(void)
{
    static const uint32_t odd[] = {0, 1, 0x7FFFFFFF, 0x80000000, ~0u};
    if (one_in(8))
        return (uint32_t)getpid();
    return last_child && one_in(2) ? (uint32_t)last_child : odd[below(ARRAY(odd))];
}

static uint32_t some_growth(void)
{
    static const uint32_t odd[] = {0x7FFFFFFF, 0x80000000, ~0u, 0x40000000, 0xC0000000, 0x01000000};
    if (one_in(6))
        return odd[below(ARRAY(odd))];
    return one_in(2) ? below(8 * PAGE) : 0 - below(2 * PAGE);
}

static uint32_t some_flags(void)
{
    return one_in(16) ? any() : below(32);
}

/* A pipe, which may have nothing to read and no room: whoever waits there waits for ever. */
static bool may_block(uint32_t fd)
{
    struct stat s;
    return fstat((int)fd, &s) == 0 && s.type == FS_FREE && !one_in(8);
}

struct call {
    uint32_t number, a, b, c;
};

static void skip(struct fault *fault)
{
    fault->eip += 2; /* UD2 */
}

/* RESUME means something in a handler only. */
static void resume_badly(struct fault *fault)
{
    system_call(SYS_RESUME, bad_pointer(), 0, 0);
    fault->eip += 2;
}

static void fault(void)
{
    on_fault(one_in(2) ? skip : resume_badly);
    __asm__ volatile("ud2" : : : "memory");
}

/* A child goes on here with other numbers, a few calls and no children of its own. */
static void fork_call(void)
{
    const int pid = fork();
    if (pid > 0)
        last_child = pid;
    if (pid)
        return;
    random_state ^= 0x9E3779B9;
    calls_left = 1 + below(CHILD_CALLS);
    unreported = 0;
    children = 0;
    last_child = 0;
}

static char *const some_arguments[] = {"echo", "x", NULL};

/* Arguments that suit the call, or nearly. false: this one is not tried. */
static bool arguments(struct call *call)
{
    switch (call->number) {
    case SYS_EXIT:
        return one_in(16);
    case SYS_FORK:
        return children && children--;
    case SYS_EXEC:
        call->a = one_in(8) ? (uint32_t) "/bin/echo" : own_path(0);
        call->b = one_in(4) ? some_pointer() : (uint32_t)some_arguments;
        return one_in(2);
    case SYS_WAIT:
        call->a = one_in(4) ? 0 : some_pointer();
        return true;
    case SYS_KILL:
        call->a = some_pid();
        return call->a != (uint32_t)getpid() || one_in(8);
    case SYS_GROUP:
        call->a = some_pid();
        call->b = one_in(2) ? 0 : any();
        return true;
    case SYS_FOREGROUND: /* who gets Ctrl-C is not ours to decide */
        call->a |= 0x80000000;
        return true;
    case SYS_SLEEP:
        call->a = one_in(4) ? below(2) : call->a | 0x80000000;
        return one_in(4);
    case SYS_SBRK:
        call->a = some_growth();
        return true;
    case SYS_ONFAULT:
        call->a = one_in(2) ? bad_pointer() : 0;
        return true;
    case SYS_RESUME:
        if (one_in(2))
            fault();
        call->a = some_pointer();
        return true;
    case SYS_OPEN:
        call->b = some_flags();
        call->a = call->b == O_READ ? any_path() : own_path(0);
        return true;
    case SYS_READ:
    case SYS_WRITE:
        call->a = some_fd();
        call->b = some_pointer();
        call->c = some_size();
        return !may_block(call->a);
    case SYS_SEEK:
        call->a = some_fd();
        call->b = some_offset();
        return true;
    case SYS_CLOSE:
    case SYS_DUP:
        call->a = some_fd();
        return true;
    case SYS_FSTAT:
        call->a = some_fd();
        call->b = some_pointer();
        return true;
    case SYS_STAT:
        call->a = any_path();
        call->b = some_pointer();
        return true;
    case SYS_LINK:
        call->b = own_path(1);
        call->a = own_path(0);
        return true;
    case SYS_MKDIR:
    case SYS_CHDIR:
    case SYS_UNLINK:
        call->a = own_path(0);
        return true;
    case SYS_PIPE:
    case SYS_DATE:
    case SYS_SYSINFO:
    case SYS_HVINFO:
        call->a = some_pointer();
        return true;
    case SYS_PROCINFO:
        call->a = one_in(4) ? call->a : below(PROCESSES_MAX + 2);
        call->b = some_pointer();
        return true;
    case SYS_KBENCH:
        call->a = below(12);
        call->b = one_in(4) ? call->b | 0x80000000 : below(50);
        call->c = some_pointer();
        return true;
    case SYS_HVMODE: /* no wish that would be granted */
        call->a |= 0x400;
        return true;
    case SYS_POWEROFF:
        call->a |= 128;
        return true;
    case SYS_YIELD:
    case SYS_GETPID:
    case SYS_SYNC:
    case SYS_UPTIME:
    case SYS_MARK:
        return true;
    default: /* there are no others */
        return call->number >= SYS_COUNT;
    }
}

static bool deadly(const struct call *call)
{
    return call->number == SYS_EXIT || call->number == SYS_EXEC ||
           (call->number == SYS_KILL && call->a == (uint32_t)getpid());
}

static void one_call(void)
{
    struct call call = {below(SYS_COUNT), any(), any(), any()};
    if (one_in(64))
        call.number = one_in(2) ? SYS_COUNT + below(4) : any() | 0x80000000;
    if (!arguments(&call))
        return;
    calls_left--;
    unreported++;
    if (unreported == REPORT || deadly(&call))
        report();
    if (call.number == SYS_FORK)
        fork_call();
    else
        system_call(call.number, call.a, call.b, call.c);
}

static void work(uint32_t round)
{
    random_state = seed * 2654435761u + round * 40503u + 1;
    random_state += !random_state;
    for (int i = 0; i < 20; i++) /* near seeds begin alike */
        any();
    for (int fd = 0; fd < FILES; fd++) {
        if (fd != report_fd)
            close(fd);
    }
    while (dup(report_fd) != FILES - 1) /* the last one is for the reports */
        ;
    report_fd = FILES - 1;
    for (int fd = 0; fd < report_fd; fd++)
        close(fd);
    buffer = (uint32_t)sbrk(BUFFER);
    calls_left = ROUND;
    children = CHILDREN;
    while (calls_left)
        one_call();
    report();
    exit(0);
}

/* The supervisor. */
static int others[PROCESSES_MAX], n_others; /* who was there before us, and we */

static bool is_other(int pid)
{
    for (int i = 0; i < n_others; i++) {
        if (others[i] == pid)
            return true;
    }
    return false;
}

static void know_others(void)
{
    struct procinfo p;
    for (uint32_t i = 0; system_call(SYS_PROCINFO, i, (uint32_t)&p, 0) == 0; i++) {
        if (p.pid && n_others < PROCESSES_MAX)
            others[n_others++] = p.pid;
    }
}

/* What a round has left: processes that are new, and not some other's child but init's. */
static void kill_strays(void)
{
    struct procinfo p;
    for (uint32_t i = 0; system_call(SYS_PROCINFO, i, (uint32_t)&p, 0) == 0; i++) {
        if (p.pid && !is_other(p.pid) &&
            (p.parent == 1 || p.parent == getpid() || !is_other(p.parent)))
            kill(p.pid);
    }
}

struct count {
    const char *name;
    uint32_t before, now;
};

static struct count counts[] = {
    {"free pages", 0, 0},    {"open files", 0, 0},  {"pipes", 0, 0},      {"processes", 0, 0},
    {"inodes in use", 0, 0}, {"free blocks", 0, 0}, {"free inodes", 0, 0}};
#define COUNTS ARRAY(counts)
#define COUNTS_OF_ROUND 5 /* the first ones; files stay from round to round */

static void take_counts(void)
{
    struct sysinfo s;
    sysinfo(&s);
    const uint32_t now[COUNTS] = {s.free_pages,    s.open_files,  s.pipes,      s.processes,
                                  s.inodes_in_use, s.free_blocks, s.free_inodes};
    for (unsigned i = 0; i < COUNTS; i++)
        counts[i].now = now[i];
}

/* The first of n counts that is not as before; init needs a moment to bury orphans. */
static const char *leak(unsigned n)
{
    const char *what = NULL;
    for (int try = 0; try < SETTLE_TRIES; try++) {
        what = NULL;
        take_counts();
        for (unsigned i = n; i--;) {
            if (counts[i].now != counts[i].before)
                what = counts[i].name;
        }
        if (!what)
            break;
        kill_strays();
        sleep(1);
    }
    return what;
}

/* One worker, and a process that wakes us when that takes too long. Returns the calls made. */
static uint32_t run_round(uint32_t round)
{
    int fds[2], status;
    uint8_t bytes[PAGE / 8];
    uint32_t calls = 0;
    if (pipe(fds) < 0)
        return 0;
    report_fd = fds[1];
    const int worker = fork();
    if (!worker) {
        chdir(DIRECTORY);
        work(round);
    }
    const int watcher = fork();
    if (!watcher) {
        sleep(TIME_LIMIT);
        exit(0);
    }
    if (worker > 0 && watcher > 0)
        wait(&status);
    close(fds[1]);
    kill_strays();
    while (wait(&status) > 0)
        kill_strays();
    /* Nobody else has the other end any more, so this ends. It all fits into the pipe. */
    for (int n; (n = read(fds[0], bytes, sizeof(bytes))) > 0;) {
        for (int i = 0; i < n; i++)
            calls += bytes[i] <= REPORT ? bytes[i] : 0;
    }
    close(fds[0]);
    return calls;
}

static int remove_all(void)
{
    char *const argv[] = {"rm", "-r", DIRECTORY, NULL};
    int status = 127;
    const int pid = fork();
    if (!pid)
        exit(exec("rm", argv));
    while (pid > 0 && wait(&status) != pid)
        ;
    return status;
}

#define STACK_USED 0x4000

static __attribute__((noinline)) void use_stack(void)
{
    volatile uint8_t room[STACK_USED];
    for (uint32_t i = 0; i < sizeof(room); i += PAGE)
        room[i] = 0;
}

/* Directories do not get smaller, and pages stay that were used once: so everything happens once
 * before the counts are taken. */
static bool begin(void)
{
    struct stat s;
    use_stack();
    if (stat(DIRECTORY, &s) == 0 && remove_all())
        return false;
    if (mkdir(DIRECTORY) < 0 || remove_all())
        return false;
    know_others();
    take_counts();
    for (unsigned i = 0; i < COUNTS; i++)
        counts[i].before = counts[i].now;
    return mkdir(DIRECTORY) == 0;
}

/* The one line at the end. */
static void tell(uint32_t calls, const char *leaked)
{
    printf("fuzz: %u, %u calls, %s%s;", seed, calls, leaked ? "LEAKED " : "survived",
           leaked ? leaked : "");
    for (unsigned i = 0; i < COUNTS; i++)
        printf("%s %s %u %u", i ? "," : "", counts[i].name, counts[i].before, counts[i].now);
    printf("\n");
}

static int fuzz(void)
{
    uint32_t calls = 0, tenth = 1;
    const char *leaked = NULL;
    for (uint32_t round = 0; calls < calls_wanted && !leaked; round++) {
        calls += run_round(round);
        leaked = leak(COUNTS_OF_ROUND);
        if (leaked)
            printf("fuzz: round %u leaked\n", round);
        for (; tenth < 10 && calls / 10 >= calls_wanted / 100 * tenth; tenth++)
            printf("fuzz: %u%%, %u calls\n", tenth * 10, calls);
    }
    if (remove_all())
        leaked = "files";
    if (!leaked)
        leaked = leak(COUNTS);
    tell(calls, leaked);
    return leaked != NULL;
}

int main(int argc, char **argv)
{
    bool ok = argc <= 3, calls_ok = true;
    seed = 1;
    calls_wanted = 10000;
    if (argc > 1)
        seed = number(argv[1], &ok);
    if (argc > 2)
        calls_wanted = number(argv[2], &calls_ok);
    if (argc > 3 || !ok || !calls_ok) {
        dprintf(2, "use: fuzz [SEED [CALLS]]   random system calls; without numbers 1 10000\n");
        return 2;
    }
    if (!begin()) {
        dprintf(2, "fuzz: cannot make " DIRECTORY "\n");
        return 1;
    }
    return fuzz();
}
