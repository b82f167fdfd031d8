/*
 * Work in parallel processes: each job is a function in a process of its own, so that it can own
 * an emulator (proc.h) and so that a crash or a hang stays its own.
 */
#ifndef TOOLS_JOBS_H
#define TOOLS_JOBS_H

#include <stdbool.h>

struct job {
    const char *name;
    int (*run)(void *opaque); /* in the new process; what it prints is kept; returns 0 for good */
    void *opaque;
    unsigned limit_s; /* wall time; then the process and all its descendants are killed */

    /* after the end */
    bool ok, timed_out;
    int wait_status; /* as from waitpid(2) */
    double seconds;
    char *output; /* stdout and stderr */
};

/*
 * Run all jobs, at most `parallel` at a time, in order. done() is called in this process as each
 * one ends.
 */
void jobs_run(struct job *jobs, int count, int parallel, void (*done)(struct job *job));

#endif
