/*
 * tv-probe: is this CPU virtualizable? Every instruction that may touch the machine's state is
 * executed, at each privilege level and from many states (tools/probe/bare), and the classes of
 * Popek and Goldberg are derived from what happened (tools/probe/derive.h). `make probe` calls it.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/choose.h"
#include "lib/emu.h"
#include "lib/jobs.h"
#include "probe/machines.h"
#include "probe/page.h"

#define STATUS_UNEXPLAINED 1
#define LIMIT_S 400

static const char usage[] =
    "usage: tv-probe [--emu=qemu|bochs] [--cpu=MODEL] [--config=NAME] [--all] [--json=FILE]\n"
    "                [--again] [--records=FILE]\n"
    "Executes every instruction that may touch the machine's state, in QEMU (the default) or "
    "Bochs,\n"
    "and derives from what happens which are privileged, sensitive and innocuous.\n"
    "  --config=NAME   show that one: plain (the default), UMIP, TSD, \"IOPL 3\", PVI, VME, PCE, "
    "or\n"
    "                  every; a CPU has those that it has\n"
    "  --all           QEMU and every CPU model of Bochs from the Pentium to Tiger Lake (six\n"
    "                  minutes): where their classes differ, and where they depart from the "
    "manual\n"
    "  --json=FILE     also write all verdicts with their evidence\n"
    "  --again         run nothing, judge what the last run of these machines wrote\n"
    "  --records=FILE  the same with the records in a file (a run's com2.txt)\n"
    "The exit status is 0 when every difference from Robin and Irvine and from the decoder's "
    "table\n"
    "has an explanation, 1 when not or when a run fails, 2 for wrong usage.\n";

static struct {
    enum emu_kind emu;
    const char *cpu, *config, *json, *records;
    bool all, again;
} wanted = {EMU_QEMU, NULL, "plain", NULL, NULL, false, false};

static char *directory(const struct probe_machine *m)
{
    return xasprintf("build/run/probe-%s-%s", emu_names[m->emu], m->cpu);
}

static int run_machine(void *opaque)
{
    const struct probe_machine *m = opaque;
    const struct emu_spec spec = {
        .emu = m->emu,
        .files = {.mode = MODE_NATIVE, .guest = ISO_PROBE},
        .cpu = m->cpu,
        .disk = "",
        .timeout_s = LIMIT_S,
        .dir = directory(m),
        .echo_fd = -1,
    };
    struct emu_run run;
    const bool ended = emu_run(&run, &spec) && !run.status;
    if (!ended)
        printf("%s\n", run.error ? run.error : "the prober says that it failed");
    emu_free(&run);
    return !ended;
}

/* The records in a file, or the end of the program. */
static struct probe *records_of(const char *path)
{
    char *error = NULL, *text = read_file(path, NULL);
    if (!text)
        die(STATUS_USAGE, "cannot read %s: %s", path, strerror(errno));
    struct probe *p = probe_read(text, &error);
    if (!p)
        die(STATUS_UNEXPLAINED, "%s: %s", path, error);
    free(text);
    return p;
}

static unsigned show_one(const struct probe *p, const char *machine)
{
    struct text out = {0};
    unsigned unexplained = 0;
    const bool every = !strcmp(wanted.config, "every");
    if (!every && probe_config(p, wanted.config) < 0)
        die(STATUS_USAGE, "this CPU has no configuration '%s' (try --help)", wanted.config);
    text_printf(&out, "=== %s%s%s\n", machine, *p->cpu ? ": " : "", p->cpu);
    for (unsigned c = 0; c < p->configs; c++)
        if (every || (int)c == probe_config(p, wanted.config))
            unexplained += page_of(p, c, &out);
    text_printf(&out, "\nDepartures from the manual:\n");
    if (!compare_manual(p, &out))
        text_printf(&out, "  none\n");
    fputs(out.text, stdout);
    text_free(&out);
    return unexplained;
}

static int one_machine(void)
{
    struct probe_machine m = {wanted.emu, wanted.cpu};
    char *path, *name;
    if (!m.cpu || !*m.cpu)
        m.cpu = m.emu == EMU_QEMU ? "max" : "corei7_sandy_bridge_2600k";
    if (wanted.records) {
        path = xasprintf("%s", wanted.records);
        name = xasprintf("%s", wanted.records);
    } else {
        char *dir = directory(&m);
        if (!wanted.again && run_machine(&m))
            return STATUS_UNEXPLAINED;
        path = xasprintf("%s/com2.txt", dir);
        name = xasprintf("%s, %s", emu_titles[m.emu], m.cpu);
        free(dir);
    }
    struct probe *p = records_of(path);
    const unsigned unexplained = show_one(p, name);
    if (wanted.json)
        json_write(wanted.json, json_of(p, name));
    probe_free(p);
    free(path);
    free(name);
    return unexplained ? STATUS_UNEXPLAINED : 0;
}

/* --- all of them --- */

static unsigned failed;

static void report(struct job *job)
{
    fprintf(stderr, "%s: %s (%.0f s)\n", job->name,
            job->ok          ? "done"
            : job->timed_out ? "killed at its time limit"
                             : job->output,
            job->seconds);
    failed += !job->ok;
}

static int all_machines(void)
{
    struct job jobs[PROBE_MACHINES];
    struct probe *p[PROBE_MACHINES];
    const char *names[PROBE_MACHINES];
    struct text out = {0};
    cJSON *json = cJSON_CreateArray();
    unsigned unexplained = 0;
    for (unsigned i = 0; i < PROBE_MACHINES; i++) {
        const struct probe_machine *m = &probe_machines[i];
        names[i] = m->emu == EMU_QEMU ? xasprintf("qemu-%s", m->cpu) : m->cpu;
        jobs[i] = (struct job){
            .name = names[i], .run = run_machine, .opaque = (void *)m, .limit_s = LIMIT_S + 30};
    }
    if (!wanted.again)
        jobs_run(jobs, PROBE_MACHINES, 2, report);
    if (failed)
        return STATUS_UNEXPLAINED;
    for (unsigned i = 0; i < PROBE_MACHINES; i++) {
        char *path = xasprintf("%s/com2.txt", directory(&probe_machines[i]));
        p[i] = records_of(path);
        cJSON_AddItemToArray(json, json_of(p[i], names[i]));
        free(path);
    }
    unexplained = page_of_all((const struct probe *const *)p, names, PROBE_MACHINES, &out);
    fputs(out.text, stdout);
    if (wanted.json)
        json_write(wanted.json, json);
    return unexplained ? STATUS_UNEXPLAINED : 0;
}

static void read_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"emu", 1, NULL, 'e'},     {"cpu", 1, NULL, 'c'},  {"config", 1, NULL, 'f'},
        {"json", 1, NULL, 'j'},    {"all", 0, NULL, 'a'},  {"again", 0, NULL, 'g'},
        {"records", 1, NULL, 'r'}, {"help", 0, NULL, 'h'}, {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'e' && *optarg)
            wanted.emu = choose_emu(optarg);
        else if (c == 'c' && *optarg)
            wanted.cpu = optarg;
        else if (c == 'f' && *optarg)
            wanted.config = optarg;
        else if (c == 'j' && *optarg)
            wanted.json = optarg;
        else if (c == 'r' && *optarg)
            wanted.records = optarg;
        else if (c == 'a')
            wanted.all = true;
        else if (c == 'g')
            wanted.again = true;
        else if (c == 'h')
            fputs(usage, stdout), exit(0);
        else if (c == '?')
            exit(STATUS_USAGE);
    }
    if (optind < argc)
        die(STATUS_USAGE, "unexpected argument '%s' (try --help)", argv[optind]);
    if (wanted.all && (wanted.cpu || wanted.records))
        die(STATUS_USAGE, "--all runs every CPU: it goes with neither --cpu nor --records");
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    return wanted.all ? all_machines() : one_machine();
}
