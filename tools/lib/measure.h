/*
 * Several runs of emulators that are measured, some at a time: each in a process of its own and in
 * a directory of its own, with what they said kept for the caller.
 */
#ifndef TOOLS_MEASURE_H
#define TOOLS_MEASURE_H

#include "emu.h"

struct measure {
    char *name;           /* for the progress; allocated */
    struct emu_spec spec; /* dir: its own; console: a file */

    /* after the run */
    char *failure;  /* one sentence: it did not end with status 0; NULL: it did */
    bool complete;  /* it ended by itself, whatever its status: console and records are whole */
    char *console;  /* without carriage returns */
    cJSON *records; /* never NULL */
};

/*
 * Take a directory, made when missing, for this process alone: it holds those of the runs. Dies
 * with one sentence when another process has it.
 */
void measure_dir(const char *dir);

/* Run all, `parallel` at a time, a line of progress on stderr as each one ends. Returns how many
 * have a failure. */
int measure_all(struct measure *runs, int count, int parallel);

/* How many machines this computer can run at a time. */
int measure_parallel(void);

void measure_free(struct measure *run);

/* Can a result be written there? Dies with one sentence when it cannot, before the long work.
 * NULL: nowhere, which is fine. */
void measure_output(const char *path);

#endif
