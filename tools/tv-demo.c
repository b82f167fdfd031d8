/*
 * tv-demo: run the same guest, doing the same benchmark, in every mode in both emulators; check
 * that all computed the same; print what each operation costs, in ticks (DESIGN: the unit of
 * measurement) and exits. `make demo` calls it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/emu.h"
#include "lib/jobs.h"
#include "lib/report.h"

#define REPORT "build/report"
#define LIMIT_S 100

static const struct {
    enum emu_kind emu;
    enum run_mode mode;
} plan[] = {
    {EMU_BOCHS, MODE_NATIVE}, {EMU_BOCHS, MODE_TRAP}, {EMU_BOCHS, MODE_PARA},
    {EMU_BOCHS, MODE_VTX},    {EMU_BOCHS, MODE_SVM},  {EMU_QEMU, MODE_NATIVE},
    {EMU_QEMU, MODE_TRAP},    {EMU_QEMU, MODE_PARA},  {EMU_QEMU, MODE_SVM},
};
#define RUNS ((int)(sizeof(plan) / sizeof(plan[0])))

static char *run_dir(const struct report_run *r)
{
    return xasprintf(REPORT "/%s-%s", emu_names[r->emu], mode_names[r->mode]);
}

/* One run, in a process of its own; the parent reads what it leaves in the directory. */
static int run_bench(void *opaque)
{
    const struct report_run *r = opaque;
    struct emu_run run;
    const struct emu_spec spec = {
        .emu = r->emu,
        .files = {.mode = r->mode, .guest_args = "run=bench"},
        .console = CONSOLE_FILE,
        .timeout_s = LIMIT_S,
        .dir = run_dir(r),
        .echo_fd = -1,
    };
    bool good = emu_run(&run, &spec) && run.status == 0;
    if (run.outcome == EMU_DONE && run.status) {
        const char *text = record_string(records_last(run.records, "error"), "text");
        const char *reason = record_string(records_last(run.records, "end"), "reason");
        printf("status %d: %s; see %s/com1.txt\n", run.status,
               text ? text : (reason ? reason : "the benchmark failed"), spec.dir);
    } else if (!good) {
        printf("%s\n", run.error);
    }
    emu_free(&run);
    return !good;
}

static void take_result(struct job *job)
{
    struct report_run *r = job->opaque;
    char *dir = run_dir(r), *com1 = xasprintf("%s/com1.txt", dir),
         *com2 = xasprintf("%s/com2.txt", dir);
    char *console = read_file(com1, NULL), *records = read_file(com2, NULL);
    r->count = bench_parse(console, r->ops, REPORT_OPS);
    r->records = records_parse(records);
    r->failure = job->ok ? NULL : job->timed_out ? xasprintf("timed out") : job->output;
    if (!r->failure && !r->count)
        r->failure = xasprintf("no bench lines on the console; see %s", com1);
    fprintf(stderr, "  %-5s %-6s %s  %4.1f s\n", emu_titles[r->emu], mode_names[r->mode],
            r->failure ? "FAILED" : "ok", job->seconds);
    free(console);
    free(records);
    free(com1);
    free(com2);
    free(dir);
}

/* SHA-256 of a file as coreutils' sha256sum says. */
static char *sha256(const char *path)
{
    char *argv[] = {"sha256sum", (char *)path, NULL};
    char *text =
        proc_run(argv, REPORT "/sha256.txt") ? NULL : read_file(REPORT "/sha256.txt", NULL);
    unlink(REPORT "/sha256.txt");
    if (!text || strlen(text) < 64)
        die(1, "cannot compute the SHA-256 of %s (is it built?)", path);
    text[64] = 0;
    return text;
}

int main(int argc, char **argv)
{
    struct report report = {.count = RUNS};
    struct job jobs[RUNS];
    struct text table = {0};
    if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        puts("usage: tv-demo   runs every mode in both emulators and compares (no arguments)");
        return 0;
    }
    if (argc > 1)
        die(STATUS_USAGE, "unexpected argument '%s' (it takes none)", argv[1]);
    make_dirs(REPORT);
    report.guest_sha256 = sha256(ISO_GUEST);
    report.vmm_sha256 = sha256(ISO_VMM);
    fprintf(stderr, "Running Minnow's bench, two machines at a time:\n");
    for (int i = 0; i < RUNS; i++) {
        report.runs[i] = (struct report_run){.emu = plan[i].emu, .mode = plan[i].mode};
        jobs[i] = (struct job){.name = mode_names[plan[i].mode],
                               .run = run_bench,
                               .opaque = &report.runs[i],
                               .limit_s = LIMIT_S + 10};
    }
    jobs_run(jobs, RUNS, 2, take_result);

    const int problems = report_check(&report);
    report_tables(&report, &table);
    printf("\n%s", table.text);
    write_file(REPORT "/demo.txt", table.text, table.len);
    report_json(&report, REPORT "/demo.json");
    printf("\nWritten: " REPORT "/demo.txt (this), " REPORT "/demo.json (all figures)\n");
    return problems ? 1 : 0;
}
