/*
 * tv-entry: the checker of VM entries against the CPU, in both emulators and on several CPU models:
 * named ways to break a VMCS or VMCB and random ones, and a table that says by rule what was tried
 * and what agreed. `make entry-check` calls it. tests/entry/entry.h says what is compared.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/choose.h"
#include "lib/emu.h"
#include "lib/entry.h"
#include "lib/jobs.h"

#define DEFAULT_CASES 20000
#define STATUS_DIFFERS 1

static const char usage[] =
    "usage: tv-entry [--emu=qemu|bochs] [--cpu=MODEL] [--cases=N] [--seed=N] [--only=TEXT]\n"
    "Compares the VMM's checks of VM entry (VT-x) and VMRUN (AMD-V) with the CPUs of both\n"
    "emulators, or of one of them, or of one model.\n"
    "  --cases=N    random ways to break a VMCS or VMCB, behind the named ones (default 20000)\n"
    "  --seed=N     other random ways (default 1)\n"
    "  --only=TEXT  only the named ways with that one word in their name, no random ones\n"
    "Columns: how often a rule was broken, alone, and verdicts that agree; \"listed\" are those\n"
    "where the emulator is known to depart from the manual, which must not agree.\n"
    "The exit status is 0 when all verdicts are as expected, 1 when not, 2 for wrong usage.\n";

static struct {
    int emu; /* or -1 */
    const char *cpu, *only;
    unsigned cases, seed;
} wanted = {-1, "", "", DEFAULT_CASES, 1};

static int run_machine(void *opaque)
{
    const struct entry_machine *m = opaque;
    struct emu_spec spec = {
        .emu = m->emu,
        .files = {.mode = MODE_NATIVE, .guest = ENTRY_ELF},
        .cpu = m->cpu,
        .disk = "",
        .timeout_s = 60 + wanted.cases / 50,
        .dir = xasprintf("build/run/entry-%s-%s", emu_names[m->emu], m->cpu),
        .echo_fd = -1,
    };
    spec.files.guest_args = xasprintf("cases=%u seed=%u%s%s", wanted.cases, wanted.seed,
                                      *wanted.only ? " only=" : "", wanted.only);
    struct emu_run run;
    const bool ended = emu_run(&run, &spec);
    if (!ended)
        printf("%s\n", run.error);
    else
        fputs(run.console.text, stdout);
    return !ended || run.status ? STATUS_DIFFERS : 0;
}

static int failed;
static bool tried; /* some machine had a way of that name */

static void report(struct job *job)
{
    printf("=== %s\n%s%s\n", job->name, job->output,
           job->ok          ? ""
           : job->timed_out ? "the run was killed at its time limit\n"
                            : "verdicts are not as expected\n");
    fflush(stdout);
    failed += !job->ok;
    tried |= !strstr(job->output, ": 0 named ways");
}

static void read_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"emu", 1, NULL, 'e'},  {"cpu", 1, NULL, 'c'},  {"cases", 1, NULL, 'n'},
        {"seed", 1, NULL, 's'}, {"only", 1, NULL, 'o'}, {"help", 0, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'e' && *optarg && (wanted.emu = emu_by_name(optarg)) < 0)
            die(STATUS_USAGE, "unknown emulator '%s': it is qemu or bochs", optarg);
        else if (c == 'c')
            wanted.cpu = optarg;
        else if (c == 'n' && *optarg)
            wanted.cases = choose_number("N", optarg, 0, 100000000);
        else if (c == 's' && *optarg)
            wanted.seed = choose_number("SEED", optarg, 0, 1000000000);
        else if (c == 'o')
            wanted.only = optarg;
        else if (c == 'h')
            fputs(usage, stdout), exit(0);
        else if (c == '?')
            exit(STATUS_USAGE);
    }
    if (optind < argc)
        die(STATUS_USAGE, "unexpected argument '%s' (try --help)", argv[optind]);
}

int main(int argc, char **argv)
{
    struct job jobs[ENTRY_MACHINES];
    int n = 0;
    read_options(argc, argv);
    for (int i = 0; i < ENTRY_MACHINES; i++) {
        const struct entry_machine *m = &entry_machines[i];
        if ((wanted.emu >= 0 && (int)m->emu != wanted.emu) ||
            (*wanted.cpu && strcmp(wanted.cpu, m->cpu)))
            continue;
        jobs[n++] = (struct job){.name = xasprintf("%s, %s", emu_titles[m->emu], m->cpu),
                                 .run = run_machine,
                                 .opaque = (void *)m,
                                 .limit_s = 90 + wanted.cases / 50};
    }
    if (!n)
        die(STATUS_USAGE, "no machine of this comparison has the CPU '%s'", wanted.cpu);
    jobs_run(jobs, n, 2, report);
    if (*wanted.only && !tried)
        die(STATUS_USAGE, "no way of breaking an entry has '%s' in its name, which counts capitals",
            wanted.only);
    printf("%d of %d machines as expected\n", n - failed, n);
    return failed ? STATUS_DIFFERS : 0;
}
