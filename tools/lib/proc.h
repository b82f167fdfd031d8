/*
 * Child processes that cannot be left behind.
 *
 * The calling process becomes a "subreaper" (prctl(2), PR_SET_CHILD_SUBREAPER): whatever a child
 * leaves behind is handed to us and not to init, so proc_kill_all() finds it even when it changed
 * its session or process group. A child also asks the kernel to be killed when we die
 * (PR_SET_PDEATHSIG). Therefore: one thing at a time in a process; for parallel work fork first
 * (jobs.h).
 */
#ifndef TOOLS_PROC_H
#define TOOLS_PROC_H

#include <stdbool.h>
#include <sys/types.h>

struct proc {
    pid_t pid;
    int pidfd; /* becomes readable when the process ends */
    bool ended;
    int wait_status; /* as from waitpid(2), valid when ended */
};

/*
 * Start argv[0] (searched in PATH) in a session of its own.
 * tty: a terminal that becomes its controlling terminal, stdin, stdout and stderr; or -1: stdin is
 * /dev/null and both outputs go to `out`. keep: a descriptor that it inherits under the same
 * number, or -1. All others must be close-on-exec.
 * Returns false with errno when no process could be made; a program that cannot be executed ends
 * with status 127 and says why on its stderr.
 */
bool proc_start(struct proc *p, char *const argv[], int tty, int out, int keep);

/* Has it ended? Collects the status. */
bool proc_ended(struct proc *p);

/* Kill the process and every descendant of this process, and collect them all. */
void proc_kill_all(struct proc *p);

/* Run argv to its end, outputs to the file `log`. Returns its exit status (128 + signal when
 * killed, 127 when it could not be run). */
int proc_run(char *const argv[], const char *log);

/* Call in a forked child: die when `parent` dies. */
void proc_die_with(pid_t parent);

#endif
