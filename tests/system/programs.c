/* Minnow's own test programs, compared with what the same emulator shows without a VMM. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systest.h"

#define LONG_S 240

/* Compare the lines that begin with one of `words` (or, without `keep`, all others). `normalise`
 * takes out what may differ; NULL: nothing may. */
static void compare(const struct test_case *test, const char *programs, const char *words,
                    bool keep, void (*normalise)(char *lines))
{
    char *native = console_of(test, MODE_NATIVE, programs, 0);
    char *want = lines_with(native, words, keep);
    if (!*want)
        fail("%s prints no line to compare", programs);
    if (test->mode != MODE_NATIVE) {
        char *here = console_of(test, test->mode, programs, 0);
        char *got = lines_with(here, words, keep);
        if (normalise) {
            normalise(want);
            normalise(got);
        }
        check_same(programs, got, want);
        free(here);
        free(got);
    }
    free(native);
    free(want);
}

/* Does one of the console's lines say this, and no more? */
static bool has_line(const char *console, const char *line)
{
    const size_t n = strlen(line);
    for (const char *at = console; (at = strstr(at, line)); at++) {
        if ((at == console || at[-1] == '\n') && (at[n] == '\r' || at[n] == '\n'))
            return true;
    }
    return false;
}

/* The console of programs that take long, on a machine with as much memory in all modes. */
static char *long_console(const struct test_case *test, const char *programs)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    spec.timeout_s = LONG_S;
    if (test->mode == MODE_NATIVE)
        spec.mem_mb = 32; /* what a VMM's guest has */
    spec.files.guest_args = xasprintf("run=%s", programs);
    run_expecting(&run, &spec, 0);
    char *console = xasprintf("%s", run.console.text);
    emu_free(&run);
    return console;
}

#define USERTESTS_MIN 70

/* Each test that the list names must have passed; returns how many there are. */
static unsigned all_passed(char *list, const char *console)
{
    unsigned count = 0;
    for (char *name = strtok(list, "\r\n"); name; name = strtok(NULL, "\r\n")) {
        name[strcspn(name, " ")] = 0; /* "name (slow)" */
        if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(name))
            continue; /* what VMM and kernel say at their start */
        if (!has_line(console, xasprintf("ok %s", name)))
            fail("usertests did not pass %s; it says:\n%s", name,
                 lines_with(console, "not usertests:", true));
        count++;
    }
    if (!has_line(console, xasprintf("usertests: %u passed, 0 failed", count)))
        fail("usertests did not count %u passes; it says:\n%s", count,
             lines_with(console, "not usertests:", true));
    return count;
}

/* Every system call, with good, bad and hostile arguments. */
static void usertests(const struct test_case *test)
{
    char *list = long_console(test, "usertests,-l");
    char *console = long_console(test, "usertests");
    const unsigned count = all_passed(list, console);
    if (count < USERTESTS_MIN)
        fail("usertests -l lists %u tests, expected %u", count, USERTESTS_MIN);
    free(list);
    free(console);
}

/* The same without the slow ones. */
void test_usertests_quick(const struct test_case *test)
{
    char *console = long_console(test, "usertests,-q");
    char *line = lines_with(console, "usertests: ", true);
    unsigned passed = 0;
    for (const char *at = line; at && !passed; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (sscanf(at, "usertests: %u passed, 0 failed", &passed) != 1)
            passed = 0;
    }
    if (passed < USERTESTS_MIN)
        fail("usertests -q passed %u tests, expected %u; it says:\n%s", passed, USERTESTS_MIN,
             lines_with(console, "not usertests:", true));
    free(line);
    free(console);
}

/* Random system calls: the kernel survives them, and nothing leaks. LONG=1: five times as many. */
void test_fuzz(const struct test_case *test)
{
    char *console = long_console(test, tests_long() ? "fuzz,2026,100000" : "fuzz,2026,20000");
    if (!strstr(console, " calls, survived; free pages "))
        fail("fuzz did not say what it has seen; the console is:\n%s", console);
    free(console);
}

/* Every exception that a program can cause: vector, error code, address. */
static void crash(const struct test_case *test)
{
    compare(test, "crash", "crash", true, NULL);
}

/* QEMU leaves the accessed bit of a code descriptor alone when IRET loads it, against SDM vol. 3A
 * section 3.4.5.1; a shadow descriptor always has it set. LAR shows it as bit 8. */
static void ignore_accessed(char *lines)
{
    for (char *c = lines; (c = strstr(c, "lar "));) {
        c += strlen("lar ");
        if (strspn(c, "0123456789abcdef") == 8 && c[5] == 'a')
            c[5] = 'b';
    }
}

/*
 * What unprivileged code can see of the machine. Under hardware assist everything must look as on
 * the bare machine. In the software modes the five instructions that tell where the real tables
 * are (SGDT SIDT SLDT STR SMSW, the ones that UMIP was made for) run in guest programs and show
 * the VMM's: x86 is not virtualizable in the sense of Popek and Goldberg, and only guest kernels
 * are scanned. All other lines must be the same.
 */
static void sensitive(const struct test_case *test)
{
    const bool hardware = test->mode == MODE_VTX || test->mode == MODE_SVM;
    compare(test, "sensitive",
            hardware ? "minnow trivisor" : "minnow trivisor sgdt sidt sldt str smsw", false,
            ignore_accessed);
}

/* The machine's clock: the runner starts it at the beginning of 2026. */
static void date(const struct test_case *test)
{
    char *console = console_of(test, test->mode, "date", 0);
    char *line = lines_with(console, "2026-01-01 00:00:0", true);
    if (!*line)
        fail("date does not say 2026-01-01; the console is:\n%s", console);
    free(console);
    free(line);
}

/* A program's status is the run's status. */
static void status(const struct test_case *test)
{
    free(console_of(test, test->mode, "echo,fine;poweroff,42;echo,never", 42));
}

static bool much_vmm(enum run_mode mode)
{
    return mode == MODE_TRAP || mode == MODE_PARA || mode == MODE_VTX;
}

void tests_programs(void)
{
    static const struct {
        const char *name;
        void (*run)(const struct test_case *);
        unsigned limit_s;
        bool dear; /* the default run has it where most of a VMM is in the way */
    } programs[] = {
        {"usertests", usertests, 2 * LONG_S + 10, true},
        {"fuzz", test_fuzz, LONG_S + 10, true},
        {"crash", crash, 130, false},
        {"sensitive", sensitive, 130, false},
        {"status", status, 130, false},
        {"date", date, 70, false},
    };
    for (unsigned p = 0; p < sizeof(programs) / sizeof(programs[0]); p++) {
        for (int e = 0; e < EMU_KINDS; e++) {
            for (int m = 0; m < RUN_MODES; m++) {
                if (tests_pair((enum emu_kind)e, (enum run_mode)m) &&
                    (tests_long() || !programs[p].dear || much_vmm((enum run_mode)m)))
                    test_add(programs[p].run, (enum emu_kind)e, (enum run_mode)m,
                             programs[p].limit_s, "%s/%s-%s", programs[p].name, emu_names[e],
                             mode_names[m]);
            }
        }
    }
    for (int e = 0; e < EMU_KINDS && !tests_long(); e++) { /* where usertests is left out */
        for (int m = 0; m < RUN_MODES; m++) {
            const enum emu_kind emu = (enum emu_kind)e;
            const enum run_mode mode = (enum run_mode)m;
            if (!pair_problem(emu, mode) && !(tests_pair(emu, mode) && much_vmm(mode)))
                test_add(test_usertests_quick, emu, mode, 250, "usertests-quick/%s-%s",
                         emu_names[emu], mode_names[mode]);
        }
    }
}
