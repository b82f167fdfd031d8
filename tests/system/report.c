/* The readers of consoles and records, and the checks behind `make demo`, on made-up runs. */
#include <string.h>

#include "lib/report.h"
#include "systest.h"

static const char console[] = "minnow: 31428 KB of memory free\n"
                              "bench id=0 name=empty n=11 ticks=0 total=0 result=b\r\n"
                              "bench id=1 name=broken line\n"
                              "bench id=5 name=port-io n=100 ticks=607 total=60700 result=898\n"
                              "bench id=11 name=null-hypercall n=0 ticks=0 total=0 result=0\n";

static const char trap_records[] =
    "\x01\xffnoise{\"type\":\"start\",\"mode\":\"trap\"}\n"
    "{\"type\":\"mark\",\"id\":0,\"ticks\":1,\"exits\":{\"io\":1,\"iret\":2}}\n"
    "{\"type\":\"mark\",\"id\":5,\"ticks\":1,\"exits\":{\"io\":101,\"iret\":52}}\n"
    "{\"type\":\"mark\",\"id\":5,\"tic\n"
    "{\"type\":\"stats\",\"exits\":{\"io\":200},\"scanned\":9,\"trapped_sites\":3}\n"
    "[1,2]\n"
    "{\"type\":\"end\",\"status\":0,\"reason\":\"the guest powered off\"}\n";

static void fill(struct report_run *run, enum run_mode mode, const char *text)
{
    *run = (struct report_run){.emu = EMU_QEMU, .mode = mode};
    run->count = bench_parse(console, run->ops, REPORT_OPS);
    run->records = records_parse(text);
}

static struct report sample(void)
{
    struct report report = {.count = 2, .guest_sha256 = "g", .vmm_sha256 = "v"};
    fill(&report.runs[0], MODE_NATIVE, "");
    fill(&report.runs[1], MODE_TRAP, trap_records);
    return report;
}

static void readers(const struct test_case *test)
{
    struct report r = sample();
    const struct report_run *run = &r.runs[1];
    (void)test;
    if (run->count != 3)
        fail("%d bench lines read, expected 3", run->count);
    const struct bench_op *op = report_op(run, 5);
    if (!op || strcmp(op->name, "port-io") || op->n != 100 || op->ticks != 607 ||
        op->total != 60700 || strcmp(op->result, "898"))
        fail("the port-io line was misread");
    if (report_op(run, 11))
        fail("an operation that was not run counts as measured");
    if (cJSON_GetArraySize(run->records) != 5)
        fail("%d records read, expected 5", cJSON_GetArraySize(run->records));
    if (record_number(records_last(run->records, "end"), "status", -1) != 0)
        fail("the end record was misread");
}

/* 101 + 52 exits, less the 3 of the empty measurement, over 100 operations. */
static void exits(const struct test_case *test)
{
    struct report r = sample();
    const struct bench_op *op = report_op(&r.runs[1], 5);
    (void)test;
    if (report_exits(&r.runs[1], op, NULL) != 1.5)
        fail("exits per operation: %f, expected 1.5", report_exits(&r.runs[1], op, NULL));
    if (report_exits(&r.runs[1], op, "io") != 1.0)
        fail("I/O exits per operation: %f, expected 1", report_exits(&r.runs[1], op, "io"));
    if (report_exits(&r.runs[0], report_op(&r.runs[0], 5), NULL) >= 0)
        fail("a native run seems to have exits");
}

static void expect_problem(struct report *report, const char *text)
{
    report->problem_count = 0;
    if (report_check(report) != 1 || !strstr(report->problems[0], text))
        fail("expected the one problem \"%s\", got %d: %s", text, report->problem_count,
             report->problem_count ? report->problems[0] : "");
}

static void checks(const struct test_case *test)
{
    struct report r = sample();
    (void)test;
    if (report_check(&r))
        fail("a good report has a problem: %s", r.problems[0]);
    strcpy(r.runs[1].ops[1].result, "899");
    expect_problem(&r, "port-io computed 899, elsewhere it is 898");
    r = sample();
    r.runs[1].count = 1;
    expect_problem(&r, "port-io was not measured");
    r = sample();
    r.runs[1].failure = xasprintf("timed out\nand more");
    expect_problem(&r, "QEMU trap: timed out");
    r = sample();
    r.runs[1].mode = MODE_PARA;
    expect_problem(&r, "patched_sites is 0 or missing");
}

void tests_report(void)
{
    test_add(readers, EMU_QEMU, MODE_NATIVE, 10, "report-readers");
    test_add(exits, EMU_QEMU, MODE_NATIVE, 10, "report-exits");
    test_add(checks, EMU_QEMU, MODE_NATIVE, 10, "report-checks");
}
