/* A guest kernel that fails: it is reported, with a status that tells who failed. */
#include <string.h>

#include "systest.h"

#define STATUS_PANIC 125  /* Minnow's own */
#define STATUS_KILLED 124 /* by the VMM */

static void provoke(const struct test_case *test, const char *how, int status, const char *text)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    spec.files.guest_args = xasprintf("provoke=%s run=echo", how);
    run_expecting(&run, &spec, status);
    if (!strstr(run.console.text, text))
        fail("the console does not say \"%s\"; it is:\n%s", text, run.console.text);
    emu_free(&run);
}

static void panics(const struct test_case *test)
{
    provoke(test, "panic", STATUS_PANIC, "minnow: panic: provoked");
}

/* Below each kernel stack lies a page that is not there: a stack that grows too far does no harm
 * to its neighbour. The page fault finds no stack to be delivered on, nor does the double fault. */
static void stack_overflow(const struct test_case *test)
{
    provoke(test, "stack-overflow", STATUS_KILLED, "triple fault");
}

void tests_panics(void)
{
    for (int e = 0; e < EMU_KINDS; e++) {
        for (int m = 0; m < RUN_MODES; m++) {
            const enum emu_kind emu = (enum emu_kind)e;
            const enum run_mode mode = (enum run_mode)m;
            if (!tests_pair(emu, mode))
                continue;
            test_add(panics, emu, mode, 60, "panic/%s-%s", emu_names[e], mode_names[m]);
            if (mode != MODE_NATIVE)
                test_add(stack_overflow, emu, mode, 60, "stack-overflow/%s-%s", emu_names[e],
                         mode_names[m]);
        }
    }
}
