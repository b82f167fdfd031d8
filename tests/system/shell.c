/* Somebody types at Minnow's shell, in every emulator and mode. */
#include <string.h>

#include "systest.h"

#define PROMPT "minnow$ "
#define ANSWER_S 20
#define CTRL_C "\003"

static void expect(struct emu_run *run, const char *text)
{
    if (emu_expect(run, text, ANSWER_S))
        return;
    emu_kill(run);
    fail("the console never showed \"%s\"; it is:\n%s\n(%s)", text,
         run->console.text ? run->console.text : "", run->error ? run->error : "the guest ended");
}

/* Ctrl-C until it has an effect: what runs may not have become the foreground yet. */
static void interrupt(struct emu_run *run)
{
    for (int i = 0; i < ANSWER_S; i++) {
        emu_send(run, CTRL_C, 1);
        if (emu_expect(run, PROMPT, 1))
            return;
    }
    fail("Ctrl-C gave no prompt; the console is:\n%s", run->console.text);
}

/* hvinfo's name of each mode. */
static const char *const hvinfo_mode[RUN_MODES] = {
    [MODE_TRAP] = "mode: trap-and-emulate\n",
    [MODE_PARA] = "mode: paravirtualization\n",
    [MODE_VTX] = "mode: VT-x\n",
    [MODE_SVM] = "mode: AMD-V\n",
};

void test_shell(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    spec.console = CONSOLE_TYPED;
    if (!emu_start(&run, &spec))
        fail("%s", run.error);
    expect(&run, PROMPT);
    emu_type(&run, "echo hello world\n");
    expect(&run, "echo hello world\n"); /* the terminal's echo */
    expect(&run, "hello world\n");
    expect(&run, PROMPT);
    emu_type(&run, "echo one two three | wc\n");
    expect(&run, "14");
    expect(&run, PROMPT);
    emu_type(&run, "echo 'a  b' \"c  d\" > /t ; echo e >> /t ; cat < /t\n");
    expect(&run, "\na  b c  d\n");
    expect(&run, "e\n");
    expect(&run, PROMPT);
    emu_type(&run, "sleep 1000 | cat\n");
    interrupt(&run);
    emu_type(&run, "sleep 1001 &\n"); /* which Ctrl-C leaves alone */
    expect(&run, PROMPT);
    interrupt(&run);
    emu_type(&run, "ps\n");
    expect(&run, " sleep");
    expect(&run, PROMPT);
    emu_type(&run, "crash ud\n");
    expect(&run, "killed");
    expect(&run, PROMPT);
    emu_type(&run, "hvinfo\n");
    if (hvinfo_mode[test->mode])
        expect(&run, hvinfo_mode[test->mode]);
    expect(&run, "sites: ");
    expect(&run, PROMPT);
    emu_type(&run, "poweroff 3\n");
    if (!emu_wait(&run))
        fail("after poweroff: %s", run.error);
    if (run.status != 3)
        fail("poweroff 3 ended with status %d", run.status);
    emu_free(&run);
}

void tests_shell(void)
{
    for (int e = 0; e < EMU_KINDS; e++) {
        for (int m = 0; m < RUN_MODES; m++) {
            if (tests_pair((enum emu_kind)e, (enum run_mode)m))
                test_add(test_shell, (enum emu_kind)e, (enum run_mode)m, 90, "shell/%s-%s",
                         emu_names[e], mode_names[m]);
        }
    }
}
