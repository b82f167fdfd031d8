/*
 * tv-systest: runs the system tests and writes TAP. Exit status 0 when all chosen ones passed.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/choose.h"
#include "systest.h"

#define MAX_CASES 1024

static struct test_case cases[MAX_CASES];
static struct job jobs[MAX_CASES];
static int case_count, number, failures;

struct test_case *test_add(void (*run)(const struct test_case *), enum emu_kind emu,
                           enum run_mode mode, unsigned limit_s, const char *fmt, ...)
{
    va_list ap;
    if (case_count == MAX_CASES)
        die(1, "too many test cases");
    va_start(ap, fmt);
    cases[case_count] =
        (struct test_case){xvasprintf(fmt, ap), run, emu, mode, limit_s, VIRTIO_USUAL};
    va_end(ap);
    return &cases[case_count++];
}

static int run_case(void *opaque)
{
    const struct test_case *test = opaque;
    test->run(test);
    return 0;
}

static void report(struct job *job)
{
    number++;
    failures += !job->ok;
    printf("%s %d - system/%s (%.1f s)\n", job->ok ? "ok" : "not ok", number, job->name,
           job->seconds);
    if (job->timed_out)
        printf("  # the test was killed after %u s\n", job->limit_s);
    for (char *line = job->ok ? NULL : strtok(job->output, "\n"); line; line = strtok(NULL, "\n"))
        printf("  # %s\n", line);
    fflush(stdout);
}

bool tests_long(void)
{
    const char *is_long = getenv("LONG");
    return is_long && *is_long;
}

bool tests_pair(enum emu_kind emu, enum run_mode mode)
{
    const bool rare = emu == EMU_BOCHS && mode != MODE_VTX;
    return !pair_problem(emu, mode) && (tests_long() || !rare);
}

static const char usage[] = "usage: tv-systest [--list] [-j N] [TEXT]\n"
                            "Runs the cases whose name contains TEXT (default: all).\n";

int main(int argc, char **argv)
{
    static const struct option options[] = {{"list", 0, NULL, 'l'}, {"help", 0, NULL, 'h'}, {0}};
    int parallel = 2, chosen = 0;
    bool list = false;
    for (int c; (c = getopt_long(argc, argv, "j:lh", options, NULL)) != -1;) {
        if (c == 'l')
            list = true;
        else if (c == 'j')
            parallel = (int)choose_number("-j", optarg, 1, 64);
        else if (c == 'h')
            return fputs(usage, stdout), 0;
        else
            return STATUS_USAGE;
    }
    const char *filter = optind < argc ? argv[optind] : "";
    if (tests_long())
        setenv("TRIVISOR_LOADER", "grub", 0);
    tests_boot();
    tests_report();
    tests_runner();
    tests_errors();
    tests_shell();
    tests_programs();
    tests_disk();
    tests_virtio();
    tests_panics();
    tests_guests();
    tests_sites();
    tests_ablation();
    tests_overhead();
    tests_hardware();
    tests_emulator();
    tests_entry();
    tests_probe();
    tests_repeat();
    tests_causes();
    tests_switching();
    tests_monitor();
    tests_storm();
    tests_trace();
    tests_snapshot();
    for (int i = 0; i < case_count; i++) {
        if (!strstr(cases[i].name, filter))
            continue;
        if (list)
            printf("%s\n", cases[i].name);
        jobs[chosen++] = (struct job){.name = cases[i].name,
                                      .run = run_case,
                                      .opaque = &cases[i],
                                      .limit_s = cases[i].limit_s};
    }
    if (list)
        return 0;
    if (!chosen)
        die(STATUS_USAGE, "no test has '%s' in its name (--list shows all)", filter);
    printf("TAP version 13\n1..%d\n", chosen);
    jobs_run(jobs, chosen, parallel, report);
    return failures != 0;
}
