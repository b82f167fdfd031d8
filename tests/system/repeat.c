/* The unit of measurement: two runs of one benchmark give the same ticks to the last digit. */
#include <stdlib.h>
#include <string.h>

#include "systest.h"

static void blank(char *from, const char *to)
{
    memset(from, ' ', (size_t)(to - from));
}

/* QEMU's own disk works in host time: it answers in the middle of one thing or the other, how long
 * the guest idles meanwhile is anybody's guess, and the timer's interrupts come at other moments of
 * what is measured after it. What is left is the result, and, where the disk has no part, the
 * median of the ticks. */
static void leave_out_disk(char *lines)
{
    for (char *line = lines, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        char *ticks = strstr(line, " ticks="), *total = strstr(line, " total=");
        char *result = strstr(line, " result=");
        struct bench_op op;
        if (ticks && total && result && bench_parse(line, &op, 1))
            blank(bench_on_disk(op.name) ? ticks : total, result);
        *end = '\n';
    }
}

static char *bench_lines(const struct test_case *test, const char *part)
{
    struct emu_spec spec = test_spec(test, part);
    struct emu_run run;
    spec.files.guest_args = "run=bench";
    run_expecting(&run, &spec, 0);
    char *lines = lines_with(run.console.text, "bench", true);
    if (test->emu == EMU_QEMU && test->mode == MODE_NATIVE)
        leave_out_disk(lines);
    emu_free(&run);
    return lines;
}

static void repeat(const struct test_case *test)
{
    char *first = bench_lines(test, "first"), *second = bench_lines(test, "second");
    if (!*first)
        fail("bench printed nothing");
    check_same("the second run of bench", second, first);
    free(first);
    free(second);
}

/* --- the guest of make bench-exits --- */

#define EXIT_ROWS 50

static char *exit_lines(const struct test_case *test, const char *part)
{
    struct emu_spec spec = test_spec(test, part);
    struct emu_run run;
    spec.files.guest = "build/tests/bench/exits.elf";
    spec.disk = "";
    run_expecting(&run, &spec, 0);
    char *lines = lines_with(run.console.text, "exit", true);
    emu_free(&run);
    return lines;
}

static void exits(const struct test_case *test)
{
    char *first = exit_lines(test, "first"), *second = exit_lines(test, "second");
    unsigned rows = 0;
    for (const char *line = first; *line; line += strcspn(line, "\n") + 1)
        rows += strstr(line, "exit name=") == line && strstr(line, " ticks=");
    if (rows != EXIT_ROWS)
        fail("%u operations were measured, expected %u:\n%s", rows, EXIT_ROWS, first);
    check_same("the second run of the guest", second, first);
    free(first);
    free(second);
}

void tests_repeat(void)
{
    static const enum run_mode compared[] = {MODE_TRAP, MODE_VTX, MODE_SVM, MODE_NATIVE};
    const unsigned last = tests_long() ? 4 : 3;
    for (int e = 0; e < EMU_KINDS; e++) {
        for (unsigned i = 0; i < last; i++) {
            if (tests_pair((enum emu_kind)e, compared[i]))
                test_add(exits, (enum emu_kind)e, compared[i], 130, "repeat-exits/%s-%s",
                         emu_names[e], mode_names[compared[i]]);
        }
    }
    for (int e = 0; e < EMU_KINDS; e++) {
        for (int m = 0; m < RUN_MODES; m++) {
            const bool often = m == MODE_TRAP || m == MODE_PARA || m == MODE_VTX;
            if (tests_pair((enum emu_kind)e, (enum run_mode)m) && (often || tests_long()))
                test_add(repeat, (enum emu_kind)e, (enum run_mode)m, 130, "repeat/%s-%s",
                         emu_names[e], mode_names[m]);
        }
    }
}
