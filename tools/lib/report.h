/* The comparison: figures of all runs, the checks on them, tables for people, JSON for programs. */
#ifndef TOOLS_REPORT_H
#define TOOLS_REPORT_H

#include "machine.h"
#include "records.h"
#include "util.h"

#define REPORT_OPS 40
#define REPORT_RUNS 16

struct report_run {
    enum emu_kind emu;
    enum run_mode mode;
    char *failure; /* NULL: the run went well */
    struct bench_op ops[REPORT_OPS];
    int count;
    cJSON *records;
};

struct report {
    struct report_run runs[REPORT_RUNS];
    int count;
    char *guest_sha256, *vmm_sha256;
    char *problems[64]; /* filled by report_check() */
    int problem_count;
};

/*
 * The checks: every run succeeded; each operation that two runs have gave the same result in
 * both; trap mode scanned and trapped, para mode patched. Returns the number of problems.
 */
int report_check(struct report *report);

/* Append the tables, the checks and how to read them. */
void report_tables(const struct report *report, struct text *out);

/* Write all figures. Holds no wall-clock time: the same build gives the same file. */
void report_json(const struct report *report, const char *path);

/*
 * Exits of one operation: how many of `reason` (NULL: of all) a single operation caused, with
 * those of the measurement itself (the operation "empty", id 0) taken away. Negative: not known.
 */
double report_exits(const struct report_run *run, const struct bench_op *op, const char *reason);

/* This run's figures of an operation, or NULL. */
const struct bench_op *report_op(const struct report_run *run, int id);

#endif
