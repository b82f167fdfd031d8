/* exec: arguments, errors, and files that only look like programs. */
#include "usertests.h"

#define CODE 0x00400000u
#define EXIT_STATUS 7

struct elf_header {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version, entry, phoff, shoff, flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct elf_segment {
    uint32_t type, offset, vaddr, paddr, filesz, memsz, flags, align;
};

#define PT_LOAD 1
#define PF_X 1
#define PF_W 2
#define PF_R 4

/* The smallest program: exit(EXIT_STATUS). */
struct program {
    struct elf_header h;
    struct elf_segment s[2]; /* the second one is not used, unless phnum says so */
    uint8_t code[12];
};

static const struct program good = {
    .h = {.ident = {0x7F, 'E', 'L', 'F', 1, 1, 1},
          .type = 2,
          .machine = 3,
          .version = 1,
          .entry = CODE,
          .phoff = offsetof(struct program, s),
          .ehsize = sizeof(struct elf_header),
          .phentsize = sizeof(struct elf_segment),
          .phnum = 1},
    .s = {{PT_LOAD, offsetof(struct program, code), CODE, CODE, 12, 12, PF_R | PF_X, 4},
          {PT_LOAD, offsetof(struct program, code), CODE + 2 * PAGE, 0, 12, 12, PF_R | PF_W, 4}},
    .code = {0x31, 0xC0,                        /* xor eax, eax: SYS_EXIT */
             0xBB, EXIT_STATUS, 0, 0, 0,        /* mov ebx, EXIT_STATUS */
             0xCD, SYSCALL_VECTOR, 0xEB, 0xF5}, /* int 0x80; and again */
};

static void put(const char *path, const void *contents, uint32_t n)
{
    const int fd = open(path, O_WRITE | O_CREATE | O_TRUNCATE);
    CHECK(fd >= 0);
    CHECK(write(fd, contents, n) == (int)n);
    CHECK(close(fd) == 0);
}

static void exec_file(int unused)
{
    char *const argv[] = {"p", NULL};
    (void)unused;
    exit(exec("./p", argv));
}

/* What becomes of a process that runs this program: exec's error, or the status. */
static int outcome(const struct program *p)
{
    put("p", p, sizeof(*p));
    return run(exec_file, 0);
}

static bool refused(int status)
{
    return status == E_NOEXEC || status == E_NOMEM;
}

static void exec_own_file(void)
{
    CHECK(outcome(&good) == EXIT_STATUS);
    struct program two = good;
    two.h.phnum = 2;
    CHECK(outcome(&two) == EXIT_STATUS);
    two.s[1].memsz = 3 * PAGE; /* the rest is zero */
    CHECK(outcome(&two) == EXIT_STATUS);
    two.s[1].type = 4; /* a note: of no concern */
    two.s[1].vaddr = KERNEL_ADDRESS;
    CHECK(outcome(&two) == EXIT_STATUS);
}

static void exec_truncated(void)
{
    for (uint32_t n = 0; n < offsetof(struct program, code) + 12; n += n < 50 ? 7 : 9) {
        put("p", &good, n);
        CHECK(run(exec_file, 0) == E_NOEXEC);
    }
}

static void exec_no_program(void)
{
    char *const argv[] = {"p", NULL};
    put("p", "echo hello\n", 11);
    CHECK(exec("./p", argv) == E_NOEXEC);
    make_file("p", 20000);
    CHECK(exec("./p", argv) == E_NOEXEC);
    CHECK(mkdir("d") == 0);
    const int error = exec("./d", argv);
    CHECK(error == E_ISDIR || error == E_NOEXEC);
    CHECK(exec("/", argv) < 0);
    CHECK(exec(".", argv) < 0);
}

static void exec_bad_identity(void)
{
    for (int i = 0; i < 4; i++) {
        struct program p = good;
        p.h.ident[i] ^= 1;
        CHECK(outcome(&p) == E_NOEXEC);
    }
}

/* What a kernel may ignore, or refuse. */
static void exec_odd_headers(void)
{
    for (int i = 0; i < 6; i++) {
        struct program p = good;
        if (i == 0)
            p.h.ident[4] = 2; /* 64 bits */
        if (i == 1)
            p.h.ident[5] = 2; /* big-endian */
        if (i == 2)
            p.h.type = 1;
        if (i == 3)
            p.h.machine = 62;
        if (i == 4)
            p.h.phentsize = 1;
        if (i == 5)
            p.h.ehsize = 0xFFFF;
        const int status = outcome(&p);
        CHECK(refused(status) || status == EXIT_STATUS);
    }
}

static void exec_bad_table(void)
{
    static const uint32_t places[] = {sizeof(struct program) - 4,
                                      sizeof(struct program),
                                      0x10000,
                                      0x7FFFFFFF,
                                      0x80000000,
                                      0xFFFFFFE0,
                                      0xFFFFFFF0,
                                      0xFFFFFFFF};
    for (unsigned i = 0; i < ARRAY(places); i++) {
        struct program p = good;
        p.h.phoff = places[i];
        CHECK(refused(outcome(&p)));
    }
    struct program p = good;
    p.h.phnum = 0xFFFF;
    CHECK(refused(outcome(&p)));
    p = good;
    p.h.phnum = 3; /* the third one would be the code, and end behind the file */
    CHECK(outcome(&p) != 0);
}

static const struct {
    uint32_t offset, vaddr, filesz, memsz;
} bad_segments[] = {
    {0, CODE, 12, 11},              /* more in the file than in memory */
    {0, CODE, 0x10000, 0x10000},    /* beyond the file */
    {0xFFFFFFF0, CODE, 0x20, 0x20}, /* the offset wraps */
    {0x7FFFFFFF, CODE, 0x7FFFFFFF, 0x7FFFFFFF},
    {0, CODE, 0xFFFFFFFF, 0xFFFFFFFF},
    {0, CODE, 12, 0xFFFFFFFF}, /* the size wraps */
    {0, CODE, 12, 0u - CODE},
    {0, CODE, 12, 0u - CODE + 1},
    {0, CODE, 12, KERNEL_ADDRESS - CODE}, /* into the kernel */
    {0, KERNEL_ADDRESS, 12, 12},
    {0, 0xBFFFFFF0, 12, 0x100},
    {0, 0xC0000000, 12, 12},
    {0, 0xFFFFF000, 12, 0x1000}, /* up to the end */
    {0, 0xFFFFFFF0, 12, 0x20},
    {0, 0, 12, 12}, /* where NULL points */
    {0, 0x1000, 12, 12},
    {0, STACK_TOP - PAGE, 12, 12}, /* the stack's place */
    {0, STACK_TOP - PAGE, 12, 0x2000},
    {0, 0x80000000, 12, 0x80000000},
};

static void exec_bad_segments(void)
{
    for (unsigned i = 0; i < ARRAY(bad_segments); i++) {
        struct program p = good;
        p.h.phnum = 2;
        p.s[1].offset = bad_segments[i].offset;
        p.s[1].vaddr = bad_segments[i].vaddr;
        p.s[1].filesz = bad_segments[i].filesz;
        p.s[1].memsz = bad_segments[i].memsz;
        CHECK(refused(outcome(&p)));
    }
}

static void exec_overlapping(void)
{
    struct program p = good;
    p.h.phnum = 2;
    p.s[1].vaddr = CODE;
    CHECK(refused(outcome(&p)));
    p.s[1].vaddr = CODE + 100; /* in the same page */
    CHECK(refused(outcome(&p)));
    p.s[0].memsz = 5 * PAGE;
    p.s[1].vaddr = CODE + 4 * PAGE;
    CHECK(refused(outcome(&p)));
    p.s[0].memsz = 12;
    p.s[1].vaddr = CODE - 8;
    CHECK(refused(outcome(&p)));
}

static void exec_bad_entry(void)
{
    static const uint32_t entries[] = {0, KERNEL_ADDRESS, CODE + PAGE, 0xFFFFFFFF, STACK_TOP};
    for (unsigned i = 0; i < ARRAY(entries); i++) {
        struct program p = good;
        p.h.entry = entries[i];
        const int status = outcome(&p);
        CHECK(refused(status) || status == STATUS_FAULT + 14);
    }
    struct program p = good;
    p.h.phnum = 0;
    const int status = outcome(&p);
    CHECK(refused(status) || status == STATUS_FAULT + 14);
}

/* Much zeroed memory: there is enough, or there is not. */
static void exec_huge(void)
{
    static const uint32_t sizes[] = {0x08000000, 0x0F000000, 0x40000000, 0xB0000000};
    for (unsigned i = 0; i < ARRAY(sizes); i++) {
        struct program p = good;
        p.s[0].memsz = sizes[i];
        const int status = outcome(&p);
        CHECK(refused(status) || status == EXIT_STATUS);
    }
}

static void exec_errors(void)
{
    char *const argv[] = {"x", NULL};
    char *bad[] = {"x", (char *)UNMAPPED, NULL}, path[PATH_MAX + 8] = "/";
    CHECK(exec("no-such-program", argv) == E_NOENT);
    CHECK(exec("", argv) == E_NOENT);
    CHECK(exec("./missing/x", argv) == E_NOENT);
    CHECK(exec("/bin/echo/x", argv) == E_NOTDIR);
    CHECK(exec("/a-name-that-is-longer-than-any", argv) == E_NAME);
    memset(path, '/', sizeof(path) - 1);
    CHECK(exec(path, argv) == E_NAME);
    CHECK(system_call(SYS_EXEC, UNMAPPED, (uint32_t)argv, 0) == E_FAULT);
    CHECK(system_call(SYS_EXEC, KERNEL_ADDRESS, (uint32_t)argv, 0) == E_FAULT);
    CHECK(exec("echo", (char **)UNMAPPED) == E_FAULT);
    CHECK(exec("echo", (char **)KERNEL_ADDRESS) == E_FAULT);
    CHECK(exec("echo", NULL) == E_FAULT);
    CHECK(exec("echo", (char **)0xFFFFFFFC) == E_FAULT);
    CHECK(exec("echo", bad) == E_FAULT);
    bad[1] = (char *)KERNEL_ADDRESS;
    CHECK(exec("echo", bad) == E_FAULT);
    char **edge = (char **)last_bytes(sizeof(char *)); /* no NULL behind it */
    *edge = "x";
    CHECK(exec("echo", edge) == E_FAULT);
}

static void exec_many_arguments(void)
{
    char *argv[ARGS_MAX + 2], text[ARG_BYTES_MAX + 1];
    for (int i = 0; i < ARGS_MAX + 1; i++)
        argv[i] = "x";
    argv[ARGS_MAX + 1] = NULL;
    CHECK(exec("echo", argv) == E_MFILE);
    memset(text, 'y', sizeof(text));
    text[ARG_BYTES_MAX] = 0;
    argv[1] = text;
    argv[2] = NULL;
    CHECK(exec("echo", argv) < 0);
    text[ARG_BYTES_MAX / 2] = 0; /* each is short enough, all of them are not */
    for (int i = 0; i < 3; i++)
        argv[i] = text;
    argv[3] = NULL;
    CHECK(exec("echo", argv) < 0);
}

static int out;

static void echo(int words)
{
    char *argv[ARGS_MAX + 1];
    for (int i = 0; i < words; i++)
        argv[i] = i ? "x" : "echo";
    argv[words] = NULL;
    close(1);
    dup(out);
    exit(exec("echo", argv));
}

/* The program sees its arguments, and has the descriptors that were open. */
static void exec_arguments(void)
{
    int fds[2];
    char buf[64];
    CHECK(pipe(fds) == 0);
    out = fds[1];
    CHECK(run(echo, 3) == 0);
    CHECK(read(fds[0], buf, sizeof(buf)) == 4);
    CHECK(buf[0] == 'x' && buf[1] == ' ' && buf[2] == 'x' && buf[3] == '\n');
    CHECK(run(echo, ARGS_MAX) == 0);
    CHECK(read(fds[0], buf, sizeof(buf)) == 2 * (ARGS_MAX - 1));
}

/* No arguments at all: the program gets argc 0. */
static void no_arguments(int unused)
{
    char *const argv[] = {NULL};
    (void)unused;
    exit(exec("./p", argv));
}

static void exec_without_arguments(void)
{
    put("p", &good, sizeof(good));
    CHECK(run(no_arguments, 0) == EXIT_STATUS);
}

static void handle(struct fault *fault)
{
    (void)fault;
    exit(99);
}

/* The new program has neither the old one's handler nor its memory. */
static void exec_with_handler(int unused)
{
    (void)unused;
    on_fault(handle);
    exec_file(0);
}

static void exec_resets_handler(void)
{
    struct program p = good;
    p.code[0] = 0x0F; /* ud2 */
    p.code[1] = 0x0B;
    put("p", &p, sizeof(p));
    CHECK(run(exec_with_handler, 0) == STATUS_FAULT + 6);
}

/* The program text is read-only, its file may go. */
static void exec_and_unlink(void)
{
    put("p", &good, sizeof(good));
    const int pid = spawn(exec_file, 0);
    CHECK(status_of(pid) == EXIT_STATUS);
    CHECK(unlink("p") == 0);
}

const struct test exec_tests[] = {
    {"exec-own-file", exec_own_file, false},
    {"exec-truncated", exec_truncated, false},
    {"exec-no-program", exec_no_program, false},
    {"exec-bad-identity", exec_bad_identity, false},
    {"exec-odd-headers", exec_odd_headers, false},
    {"exec-bad-table", exec_bad_table, false},
    {"exec-bad-segments", exec_bad_segments, false},
    {"exec-overlapping", exec_overlapping, false},
    {"exec-bad-entry", exec_bad_entry, false},
    {"exec-huge", exec_huge, true},
    {"exec-errors", exec_errors, false},
    {"exec-many-arguments", exec_many_arguments, false},
    {"exec-arguments", exec_arguments, false},
    {"exec-without-arguments", exec_without_arguments, false},
    {"exec-resets-handler", exec_resets_handler, false},
    {"exec-and-unlink", exec_and_unlink, false},
    {NULL, NULL, false},
};
