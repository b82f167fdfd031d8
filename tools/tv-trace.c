/*
 * tv-trace: every exit of a run. Runs a workload with the VMM's trace switched on, and writes it as
 * a file in the Chrome trace-event format and as folded stacks; prints sums. `make trace` calls it.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/choose.h"
#include "lib/emu.h"
#include "lib/exit_names.h"
#include "lib/measure.h"
#include "lib/trace_write.h"

#define WORKLOAD "ls;echo,hi"
#define LIMIT_S 300

static const char usage[] =
    "usage: tv-trace [--emu=qemu|bochs] [--mode=trap|para|vtx|svm] [--run=PROGRAMS] [options]\n"
    "Records every exit of a run: OUT.json is for Perfetto and speedscope, OUT.folded for flame\n"
    "graphs, the tables are for you.\n"
    "  --run=PROGRAMS   the workload: prog,arg,arg;prog2 (default \"" WORKLOAD "\")\n"
    "  --guest=ELF      another guest than Minnow, --args=TEXT its command line; it has no disk\n"
    "  --opts=WORDS     more words for the VMM's command line; trace=drop: keep the first exits\n"
    "                   and count the others, instead of sending all as they come\n"
    "  --out=PREFIX     what the files' names begin with (default build/trace/EMU-MODE)\n"
    "  --dir=DIR        console, records and logs (default build/run/trace-EMU-MODE)\n"
    "Exit status 1 when the run failed, or a program of it, or the trace and the VMM's own counts\n"
    "contradict each other (lines with PROBLEM say what); 2: wrong usage.\n";

struct chosen {
    enum emu_kind emu;
    enum run_mode mode;
    const char *workload, *guest, *args, *opts, *out, *dir;
};

/* Without a value, as make passes what was not given, an option is as if it were not there. */
static struct chosen read_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"emu", 1, NULL, 'e'},   {"mode", 1, NULL, 'm'}, {"run", 1, NULL, 'r'},
        {"guest", 1, NULL, 'g'}, {"args", 1, NULL, 'a'}, {"opts", 1, NULL, 'o'},
        {"out", 1, NULL, 'w'},   {"dir", 1, NULL, 'd'},  {"help", 0, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct chosen c = {.workload = WORKLOAD, .opts = ""};
    const char *emu = "qemu", *mode = "trap";
    for (int o; (o = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        if (o == 'h')
            fputs(usage, stdout), exit(0);
        if (o == '?')
            exit(STATUS_USAGE);
        if (!*optarg)
            continue;
        switch (o) {
        case 'e':
            emu = optarg;
            break;
        case 'm':
            mode = optarg;
            break;
        case 'r':
            c.workload = optarg;
            break;
        case 'g':
            c.guest = optarg;
            break;
        case 'a':
            c.args = optarg;
            break;
        case 'o':
            c.opts = optarg;
            break;
        case 'w':
            c.out = optarg;
            break;
        default:
            c.dir = optarg;
        }
    }
    if (optind < argc)
        die(STATUS_USAGE, "unexpected argument '%s' (try --help)", argv[optind]);
    choose_pair(emu, mode, &c.emu, &c.mode);
    if (c.mode == MODE_NATIVE)
        die(STATUS_USAGE, "mode native has no VMM, and so no exits");
    if (!c.out) {
        make_dirs("build/trace");
        c.out = xasprintf("build/trace/%s-%s", emu, mode);
    }
    if (!c.dir)
        c.dir = xasprintf("build/run/trace-%s-%s", emu, mode);
    return c;
}

static struct emu_spec spec_of(const struct chosen *c)
{
    /* The first word counts. */
    return (struct emu_spec){
        .emu = c->emu,
        .files = {.mode = c->mode,
                  .guest = c->guest,
                  .guest_args = c->guest ? c->args : xasprintf("run=%s", c->workload),
                  .vmm_options = xasprintf("%s%strace=on", c->opts, *c->opts ? " " : "")},
        .disk = c->guest ? "" : NULL,
        .console = CONSOLE_FILE,
        .trace = true,
        .timeout_s = LIMIT_S,
        .dir = c->dir,
        .echo_fd = -1,
    };
}

/* "minnow" of build/guestos/minnow.elf */
static char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *name = xasprintf("%s", slash ? slash + 1 : path);
    char *dot = strrchr(name, '.');
    if (dot && dot != name)
        *dot = 0;
    return name;
}

/* What was sent, with what the VMM says about it. Returns NULL or a sentence. */
static char *load(struct trace_run *run, const struct chosen *c, const cJSON *info)
{
    char *path = xasprintf("%s/" MACHINE_TRACE, c->dir);
    size_t size = 0;
    char *bytes = read_file(path, &size);
    if (!bytes)
        return xasprintf("cannot read %s: %s", path, strerror(errno));
    char *error = trace_read(&run->records, bytes, size);
    free(bytes);
    free(path);
    run->start = (uint64_t)record_number(info, "start", 0);
    run->dropped = (uint64_t)record_number(info, "dropped", 0);
    if (!error && (double)run->records.count !=
                      record_number(info, "exits", 0) + record_number(info, "slices", 0))
        error = xasprintf("the VMM has sent %.0f records, %zu have come",
                          record_number(info, "exits", 0) + record_number(info, "slices", 0),
                          run->records.count);
    return error;
}

/* --- are these all exits, and in order? --- */

static void problem(struct text *out, int *problems, char *text)
{
    text_printf(out, "PROBLEM: %s\n", text);
    free(text);
    ++*problems;
}

static double counted(const cJSON *stats, unsigned reason)
{
    const cJSON *exits = cJSON_GetObjectItemCaseSensitive(stats, "exits");
    double n = record_number(exits, exit_names[reason], 0);
    if (reason == EXIT_HYPERCALL) /* the one that does nothing is counted by itself */
        n += record_number(stats, "null_hypercalls", 0);
    return n;
}

/* By reason, or in all when some were dropped. */
static void check_counts(const struct trace_run *run, const cJSON *stats, struct text *out,
                         int *problems)
{
    double recorded = 0, all = 0;
    for (unsigned r = 1; r < EXIT_REASON_COUNT; r++) {
        const double n = (double)trace_count(run, r);
        recorded += n;
        all += counted(stats, r);
        if (!run->dropped && n != counted(stats, r))
            problem(out, problems,
                    xasprintf("the trace has %.0f exits %s, the VMM counts %.0f", n, exit_names[r],
                              counted(stats, r)));
    }
    recorded += (double)run->dropped;
    if (run->dropped && recorded != all)
        problem(out, problems,
                xasprintf("the trace has %.0f exits with those that were dropped, the VMM counts "
                          "%.0f",
                          recorded, all));
}

static void check_order(const struct trace_run *run, struct text *out, int *problems)
{
    uint64_t before = run->start;
    for (size_t i = 0; i < run->records.count; i++) {
        const struct trace_record *r = &run->records.record[i];
        const bool known = r->word & TRACE_KNOWN && r->word & TRACE_STAMPED;
        if (!known || r->end < r->start || (!trace_is_slice(r) && r->start < before))
            problem(out, problems,
                    xasprintf("record %zu begins before the one before it ends, or "
                              "ends before it begins",
                              i));
        if (!trace_is_slice(r))
            before = r->end;
        if (*problems > 10)
            return;
    }
}

/* --- files --- */

static void write_one(const struct chosen *c, const char *suffix, struct trace_run *run,
                      void (*fn)(struct trace_run *, FILE *))
{
    char *path = xasprintf("%s.%s", c->out, suffix);
    FILE *f = fopen(path, "w");
    if (!f)
        die(1, "cannot write %s: %s", path, strerror(errno));
    fn(run, f);
    const bool lost = ferror(f);
    if (fclose(f) || lost)
        die(1, "cannot write %s: %s", path, strerror(errno));
    free(path);
}

static void check_outputs(const struct chosen *c)
{
    measure_output(xasprintf("%s.json", c->out));
    measure_output(xasprintf("%s.folded", c->out));
}

int main(int argc, char **argv)
{
    const struct chosen c = read_options(argc, argv);
    const char *guest = c.guest ? c.guest : ISO_GUEST;
    struct trace_run run = {.guest = base_name(guest)};
    struct text out = {0};
    struct emu_run machine;
    int problems = 0;
    char *error = trace_symbols_open(&run.symbols, guest);
    if (error)
        die(STATUS_USAGE, "%s", error);
    check_outputs(&c);
    measure_dir(c.dir);
    const struct emu_spec spec = spec_of(&c);
    if (!emu_run(&machine, &spec))
        die(1, "%s", machine.error);
    const cJSON *info = records_last(machine.records, "trace");
    if (!info) {
        const char *text = record_string(records_last(machine.records, "error"), "text");
        die(machine.status ? machine.status : 1, "%s", text ? text : "the VMM has made no trace");
    }
    run.title = xasprintf("%s in mode %s on %s", run.guest, mode_names[c.mode], emu_titles[c.emu]);
    error = load(&run, &c, info);
    if (error)
        die(1, "%s", error);
    const cJSON *stats = records_last(machine.records, "stats");
    write_one(&c, "json", &run, trace_write_json);
    write_one(&c, "folded", &run, trace_write_folded);
    trace_write_tables(&run, &out);
    text_printf(
        &out, "Sending took %.0f ticks, %.1f a record, in %u blocks.\n",
        record_number(info, "drain_ticks", 0),
        run.records.count ? record_number(info, "drain_ticks", 0) / (double)run.records.count : 0,
        run.records.blocks);
    check_counts(&run, stats, &out, &problems);
    check_order(&run, &out, &problems);
    if (machine.status)
        problem(&out, &problems, xasprintf("the guest ended with status %d", machine.status));
    text_printf(&out, "Written: %s.json, %s.folded\n", c.out, c.out);
    fputs(out.text, stdout);
    trace_free(&run.records);
    trace_symbols_close(&run.symbols);
    emu_free(&machine);
    return fflush(stdout) || ferror(stdout) || problems ? 1 : 0;
}
