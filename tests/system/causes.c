/* Why guests leave the hardware modes: what happens is on the list, and the list is in the book of
 * the folder. */
#include <stdlib.h>
#include <string.h>

#include "causes.h"
#include "lib/exit_names.h"
#include "systest.h"

#define READING_ORDER "hwassist/READING-ORDER.md"
#define LONG_S 240

static bool is_listed(enum run_mode mode, const char *name)
{
    const struct exit_cause *(*cause)(unsigned) = mode == MODE_SVM ? svm_cause : vmx_cause;
    for (unsigned i = 0; cause(i); i++) {
        for (unsigned n = 0; n < 3; n++) {
            if (cause(i)->counted[n] && !strcmp(exit_names[cause(i)->counted[n]], name))
                return true;
        }
    }
    return false;
}

/* All of Minnow's benchmarks; exits that a guest like it must have are there, others are listed. */
static void workloads(const struct test_case *test)
{
    static const char *const certain[] = {"io", "hlt", "nested-fill", "cpuid"};
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    spec.timeout_s = LONG_S;
    spec.files.guest_args = "run=bench";
    run_expecting(&run, &spec, 0);
    const cJSON *stats = records_last(run.records, "stats");
    const cJSON *exits = cJSON_GetObjectItem(stats, "exits"), *exit;
    cJSON_ArrayForEach(exit, exits)
    {
        if (!is_listed(test->mode, exit->string))
            fail("%.0f exits are counted as %s, which is no cause on the list", exit->valuedouble,
                 exit->string);
    }
    for (unsigned i = 0; i < sizeof(certain) / sizeof(certain[0]); i++) {
        if (!cJSON_GetObjectItem(exits, certain[i]))
            fail("no exit is counted as %s", certain[i]);
    }
    emu_free(&run);
}

/* Each line of `make exits-list` is in the reading order. */
static void documented(const struct test_case *test)
{
    char *const argv[] = {"build/tools/tv-exits-list", NULL};
    char *list = tool_output(test, argv, "list.txt", 0), *book = read_file(READING_ORDER, NULL);
    if (!book || !strchr(list, '\n'))
        fail("there is no " READING_ORDER ", or no list");
    for (char *line = strtok(list, "\n"); line; line = strtok(NULL, "\n")) {
        if (!strstr(book, line))
            fail(READING_ORDER " has not this line of `make exits-list`:\n%s", line);
    }
    free(book);
    free(list);
}

void tests_causes(void)
{
    for (int e = 0; e < EMU_KINDS; e++) {
        for (int m = MODE_VTX; m <= MODE_SVM; m++) {
            if (!pair_problem((enum emu_kind)e, (enum run_mode)m))
                test_add(workloads, (enum emu_kind)e, (enum run_mode)m, LONG_S + 10, "causes/%s-%s",
                         emu_names[e], mode_names[m]);
        }
    }
    test_add(documented, EMU_QEMU, MODE_NATIVE, 20, "causes-documented");
}
