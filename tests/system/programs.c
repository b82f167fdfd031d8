/* Minnow's own test programs, compared with what the same emulator shows without a VMM. */
#include <stdlib.h>
#include <string.h>

#include "systest.h"

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

/* Every system call. The lines of killed children hold addresses that depend on the memory size. */
static void selftest(const struct test_case *test)
{
    compare(test, "selftest", "selftest:", true, NULL);
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

/* A program's status is the run's status. */
static void status(const struct test_case *test)
{
    free(console_of(test, test->mode, "echo,fine;poweroff,42;echo,never", 42));
}

void tests_programs(void)
{
    static const struct {
        const char *name;
        void (*run)(const struct test_case *);
    } programs[] = {
        {"selftest", selftest},
        {"crash", crash},
        {"sensitive", sensitive},
        {"status", status},
    };
    for (unsigned p = 0; p < sizeof(programs) / sizeof(programs[0]); p++) {
        for (int e = 0; e < EMU_KINDS; e++) {
            for (int m = 0; m < RUN_MODES; m++) {
                if (!pair_problem((enum emu_kind)e, (enum run_mode)m))
                    test_add(programs[p].run, (enum emu_kind)e, (enum run_mode)m, 130, "%s/%s-%s",
                             programs[p].name, emu_names[e], mode_names[m]);
            }
        }
    }
}
