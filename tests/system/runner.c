/* The runner itself: time limits, and nothing left behind. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "systest.h"

static void check_dead(pid_t pid, const char *what)
{
    if (pid <= 0)
        fail("%s never started", what);
    if (!kill(pid, 0))
        fail("%s (process %d) survived", what, (int)pid);
}

/* A guest that waits for ever is killed at the limit, and the emulator with it. */
static void time_limit(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    spec.timeout_s = 12; /* enough to boot on a busy machine */
    if (emu_run(&run, &spec) || run.outcome != EMU_TIMED_OUT)
        fail("a shell without input ended by itself (status %d)", run.status);
    if (!strstr(run.error, "timed out after 12 s") || !strstr(run.error, "minnow$"))
        fail("the message lacks the limit or the last lines: %s", run.error);
    if (run.seconds > 20)
        fail("killing took until %.1f s", run.seconds);
    check_dead(run.proc.pid, "the emulator");
    emu_free(&run);
}

/* Children that hide in sessions of their own die as well. */
static void hidden_children(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct proc p;
    make_dirs(spec.dir);
    char *pids = xasprintf("%s/pids", spec.dir);
    char *script = xasprintf(
        "rm -f %s; setsid sh -c 'sleep 300 & echo $! $$ >>%s; wait' & sleep 300", pids, pids);
    char *argv[] = {"sh", "-c", script, NULL}, *text = NULL;
    int child = 0, session = 0;
    if (!proc_start(&p, argv, -1, 2, -1))
        fail("cannot start sh");
    for (int i = 0; i < 200 && !(text && sscanf(text, "%d %d", &child, &session) == 2); i++) {
        usleep(20000);
        free(text);
        text = read_file(pids, NULL);
    }
    proc_kill_all(&p);
    check_dead(p.pid, "the child");
    check_dead(session, "the grandchild in a session of its own");
    check_dead(child, "the great-grandchild");
    free(text);
    free(pids);
    free(script);
}

/* When the runner is killed, the emulator goes too: nobody else would stop it. */
static void killed_runner(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    int channel[2], emulator = 0;
    if (pipe(channel))
        fail("no pipe");
    pid_t runner = fork();
    if (runner == 0) {
        bool started = emu_start(&run, &spec);
        dprintf(channel[1], "%d\n", started ? (int)run.proc.pid : 0);
        emu_wait(&run);
        _exit(0);
    }
    char line[32] = "";
    if (read(channel[0], line, sizeof(line) - 1) > 0)
        emulator = atoi(line);
    kill(runner, SIGKILL);
    waitpid(runner, NULL, 0);
    for (int i = 0; i < 100 && emulator > 0 && !kill(emulator, 0); i++)
        usleep(20000);
    check_dead(emulator, "the emulator of a killed runner");
}

void tests_runner(void)
{
    for (int e = 0; e < EMU_KINDS; e++) {
        test_add(time_limit, (enum emu_kind)e, MODE_NATIVE, 30, "runner-time-limit/%s",
                 emu_names[e]);
        test_add(killed_runner, (enum emu_kind)e, MODE_NATIVE, 30, "runner-killed/%s",
                 emu_names[e]);
    }
    test_add(hidden_children, EMU_QEMU, MODE_NATIVE, 30, "runner-hidden-children");
}
