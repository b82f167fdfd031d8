/*
 * tv-bench-exits: what one exit costs. Runs a guest of tests/bench/ (exits.asm, or for mode para
 * pv_exits.asm, whose sites are recorded), and Minnow's fork-storm, on the bare machine and in a
 * mode, in both emulators; prints the difference of each operation, which is the mode's round trip,
 * next to what it may cost. `make bench-exits` calls it.
 */
#include <cjson/cJSON.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/emu.h"
#include "lib/jobs.h"

#define REPORT "build/report"
#define GUEST "build/tests/bench/exits.elf"
#define PV_GUEST "build/tests/bench/pv_exits.elf"
#define LIMIT_S 90
#define MAX_OPS 64
#define STORM "fork-storm"

/* In the hardware modes the guest runs a second time, with nested pages of 4 KB: the row that is
 * the first to touch memory then shows what an entry for one costs. With 2 MB it needs one in 512.
 */
#define NESTED_FILL "nested-fill-4k"
#define SMALL_PAGES "nested=4k"
#define FIRST_TOUCH "fill-kernel"

/* What operations may cost in a mode: ticks of the round trip, or a multiple of the bare machine's.
 * The others are for information. */
struct target {
    const char *name;
    double ticks, times;
};

static const struct target trap_targets[] = {
    {"cli", 80, 0},
    {"sti", 80, 0},
    {"pushf", 80, 0},
    {"popf", 80, 0},
    {"mov-from-cr0", 150, 0},
    {"mov-to-cr0", 150, 0},
    {"mov-from-cr4", 150, 0},
    {"rdmsr-tsc", 150, 0},
    {"rdmsr-sysenter", 150, 0},
    {"wrmsr-sysenter", 150, 0},
    {"in-nobody", 150, 0},
    {"in-80", 150, 0},
    {"in-80-dx", 150, 0},
    {"out-80", 150, 0},
    {"out-80-dx", 150, 0},
    {"in-92", 150, 0},
    {"ud-kernel", 200, 0},
    {"de-kernel", 200, 0},
    {"ud-user", 200, 0},
    {"de-user", 200, 0},
    {"syscall", 180, 0},
    {"syscall-cold-stack", 180, 0},
    {"fill-kernel", 400, 0},
    {"fill-user", 400, 0},
    {"fill-after-reload", 400, 0},
    {"page-fault-kernel", 800, 0},
    {"page-fault-user", 800, 0},
    {"page-fault-cr2-user", 800, 0},
    {"compute-kernel", 0, 1},
    {"compute-user", 0, 1},
    {STORM, 0, 4},
    {0},
};

static const struct target para_targets[] = {
    {"cli-sti", 6, 0},     {"null-call", 80, 0},      {"set-pte", 200, 0},
    {"set-pte-32", 60, 0}, {"invlpg", 200, 0},        {"invlpg-32", 60, 0},
    {"syscall", 150, 0},   {"page-fault", 500, 0},    {"compute-kernel", 0, 1},
    {STORM, 0, 1.5},       {"compute-program", 0, 1}, {0},
};

/* What a guest does by itself costs what it costs on the bare machine; the others exit. */
static const struct target hardware_targets[] = {
    {"cli", 0, 1},
    {"sti", 0, 1},
    {"cli-sti", 0, 1},
    {"pushf", 0, 1},
    {"popf", 0, 1},
    {"mov-from-cr0", 0, 1},
    {"mov-to-cr0", 0, 1},
    {"mov-from-cr3", 0, 1},
    {"mov-from-cr4", 0, 1},
    {"mov-to-cr2", 0, 1},
    {"clts", 0, 1},
    {"rdmsr-sysenter", 0, 1},
    {"wrmsr-sysenter", 0, 1},
    {"in-80", 120, 0},
    {"in-80-dx", 120, 0},
    {"out-80", 120, 0},
    {"out-80-dx", 120, 0},
    {"ud-kernel", 0, 1},
    {"de-kernel", 0, 1},
    {"int80-kernel", 0, 1},
    {"iret-kernel", 0, 1},
    {"ud-user", 0, 1},
    {"de-user", 0, 1},
    {"syscall", 0, 1},
    {"syscall-cold-stack", 0, 1},
    {"fill-kernel", 0, 1},
    {"fill-user", 0, 1},
    {"page-fault-kernel", 0, 1},
    {"page-fault-user", 0, 1},
    {"page-fault-cr2-user", 0, 1},
    {"compute-kernel", 0, 1},
    {"compute-user", 0, 1},
    {"invlpg-untouched", 0, 1},
    {"invlpg-touch", 0, 1},
    {"cr3-reload", 0, 1},
    {"cpuid", 100, 0},
    {"cpuid-user", 100, 0},
    {"hypercall", 100, 0},
    {NESTED_FILL, 150, 0},
    {STORM, 0, 1.05},
    {0},
};

static const struct target *targets_of(enum run_mode mode)
{
    return mode == MODE_TRAP ? trap_targets : mode == MODE_PARA ? para_targets : hardware_targets;
}

struct op {
    char name[40];
    unsigned long long n;
    double ticks;
};

struct run {
    enum emu_kind emu;
    enum run_mode mode;
    const char *guest;   /* NULL: Minnow, and its benchmark */
    const char *options; /* for the VMM, or NULL */
    bool small_pages;    /* SMALL_PAGES is one of them */
    char *failure;
    struct op ops[MAX_OPS];
    int count;
};

static char *run_dir(const struct run *r)
{
    return xasprintf("build/run/%s-%s-%s%s", r->guest ? "exits" : STORM, emu_names[r->emu],
                     mode_names[r->mode], r->small_pages ? "-4k" : "");
}

/* One run, in a process of its own; the parent reads what it leaves in the directory. */
static int run_one(void *opaque)
{
    const struct run *r = opaque;
    struct emu_run run;
    const struct emu_spec spec = {
        .emu = r->emu,
        .files = {.mode = r->mode,
                  .guest = r->guest,
                  .guest_args = r->guest ? NULL : "run=bench," STORM,
                  .vmm_options = r->mode == MODE_NATIVE ? NULL : r->options},
        .disk = r->guest ? "" : NULL,
        .console = CONSOLE_FILE,
        .timeout_s = LIMIT_S,
        .dir = run_dir(r),
        .echo_fd = -1,
    };
    const bool good = emu_run(&run, &spec) && run.status == 0;
    if (run.outcome != EMU_DONE)
        printf("%s\n", run.error);
    else if (!good)
        printf("status %d; see %s/com1.txt\n", run.status, spec.dir);
    emu_free(&run);
    return !good;
}

/* The guest's lines "exit name=cli n=400 ticks=25.0", others are skipped. */
static void parse_exits(struct run *r, const char *console)
{
    for (const char *line = console; line && *line;
         line += strcspn(line, "\n"), line += *line != 0) {
        struct op *op = &r->ops[r->count];
        if (r->count < MAX_OPS &&
            sscanf(line, "exit name=%39s n=%llu ticks=%lf", op->name, &op->n, &op->ticks) == 3)
            r->count++;
    }
}

static void parse_storm(struct run *r, const char *console)
{
    struct bench_op all[8];
    const int count = bench_parse(console, all, 8);
    for (int i = 0; i < count; i++) {
        if (!strcmp(all[i].name, STORM)) {
            r->ops[0] = (struct op){STORM, all[i].n, (double)all[i].ticks};
            r->count = 1;
        }
    }
}

static void take_result(struct job *job)
{
    struct run *r = job->opaque;
    char *dir = run_dir(r), *com1 = xasprintf("%s/com1.txt", dir);
    char *console = read_file(com1, NULL);
    if (r->guest)
        parse_exits(r, console ? console : "");
    else
        parse_storm(r, console ? console : "");
    if (!job->ok)
        r->failure = job->timed_out ? xasprintf("timed out") : job->output;
    else if (!r->count)
        r->failure = xasprintf("no figures on the console; see %s", com1);
    fprintf(stderr, "  %-5s %-6s %-10s %s  %4.1f s\n", emu_titles[r->emu], mode_names[r->mode],
            r->guest ? "exits" : STORM, r->failure ? r->failure : "ok", job->seconds);
    free(console);
    free(com1);
    free(dir);
}

static const struct target *target_of(enum run_mode mode, const char *name)
{
    const struct target *t = targets_of(mode);
    while (t->name && strcmp(t->name, name))
        t++;
    return t->name ? t : NULL;
}

static const struct op *find(const struct run *r, const char *name)
{
    for (int i = 0; i < r->count; i++) {
        if (!strcmp(r->ops[i].name, name))
            return &r->ops[i];
    }
    return NULL;
}

/* The figures have one decimal. */
static bool meets(const struct target *t, double native, double mode)
{
    return t->ticks ? mode - native < t->ticks + 0.05 : mode < native * t->times + 0.05;
}

/* trap: what the same takes there, for comparison; or NULL. */
static void table_row(const struct op *native, const struct op *trap, const struct op *mode,
                      const struct target *t, struct text *out)
{
    text_printf(out, "%-20s %11.1f", native->name, native->ticks);
    if (trap)
        text_printf(out, " %11.1f", trap->ticks);
    text_printf(out, " %11.1f %11.1f", mode->ticks, mode->ticks - native->ticks);
    if (native->ticks)
        text_printf(out, " %8.2f x", mode->ticks / native->ticks);
    else
        text_printf(out, " %8s  ", "-");
    if (t && t->ticks)
        text_printf(out, "  <= %4.0f  ", t->ticks);
    else if (t)
        text_printf(out, "  <= %4.2f x", t->times);
    if (t)
        text_printf(out, "  %s", meets(t, native->ticks, mode->ticks) ? "ok" : "MISSED");
    text_printf(out, "\n");
}

/* Without the digits that binary fractions leave behind. */
static double tenths(double ticks)
{
    return (double)(long long)(ticks * 10 + (ticks < 0 ? -0.5 : 0.5)) / 10;
}

static cJSON *row_json(const struct op *native, const struct op *trap, const struct op *mode,
                       const struct target *t)
{
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "name", native->name);
    cJSON_AddNumberToObject(row, "n", (double)mode->n);
    cJSON_AddNumberToObject(row, "native", native->ticks);
    if (trap)
        cJSON_AddNumberToObject(row, "trap", trap->ticks);
    cJSON_AddNumberToObject(row, "mode", mode->ticks);
    cJSON_AddNumberToObject(row, "difference", tenths(mode->ticks - native->ticks));
    if (t) {
        cJSON_AddNumberToObject(row, t->ticks ? "target" : "target_times", t->ticks + t->times);
        cJSON_AddBoolToObject(row, "met", meets(t, native->ticks, mode->ticks));
    }
    return row;
}

/* What the models of devices add: port 80h has none, it is looked up and reads as ones. So its rows
 * are what a port costs without a model, and what others cost more is their model's. */
static void port_models(const struct run *native, const struct run *mode, struct text *out)
{
    static const struct {
        const char *name, *without;
    } ports[] = {
        {"in-nobody", "in-80"}, {"in-92", "in-80"}, {"in-21", "in-80"}, {"out-21", "out-80"}};
    for (unsigned i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
        const struct op *n = find(native, ports[i].name), *m = find(mode, ports[i].name);
        const struct op *n80 = find(native, ports[i].without), *m80 = find(mode, ports[i].without);
        if (n && m && n80 && m80)
            text_printf(out, "  of %-10s the device's model: %7.1f, all else as in %s: %7.1f\n",
                        ports[i].name, (m->ticks - n->ticks) - (m80->ticks - n80->ticks),
                        ports[i].without, m80->ticks - n80->ticks);
    }
}

/* The rows of two runs of one guest, and one in trap or NULL; returns how many targets are missed.
 */
static int compare(const struct run *native, const struct run *trap, const struct run *mode,
                   struct text *out, cJSON *rows)
{
    int missed = 0;
    if (native->failure || mode->failure || (trap && trap->failure)) {
        text_printf(out, "%-20s failed\n", native->guest ? "exits" : STORM);
        return 0;
    }
    for (int i = 0; i < native->count; i++) {
        const struct op *n = &native->ops[i], *m = find(mode, n->name);
        const struct op *other = trap ? find(trap, n->name) : NULL;
        const struct target *t = target_of(mode->mode, n->name);
        if (!m || (trap && !other))
            continue;
        table_row(n, other, m, t, out);
        cJSON_AddItemToArray(rows, row_json(n, other, m, t));
        missed += t && !meets(t, n->ticks, m->ticks);
    }
    return missed;
}

/* What a nested page of 4 KB costs: the one row that counts of a run with such pages. */
static int compare_fill(const struct run *native, const struct run *small, struct text *out,
                        cJSON *rows)
{
    const struct op *n = find(native, FIRST_TOUCH), *m = find(small, FIRST_TOUCH);
    if (native->failure || small->failure || !n || !m) {
        text_printf(out, "%-20s failed\n", NESTED_FILL);
        return 0;
    }
    struct op n_fill = *n, m_fill = *m;
    const struct target *t = target_of(small->mode, NESTED_FILL);
    snprintf(n_fill.name, sizeof(n_fill.name), NESTED_FILL);
    table_row(&n_fill, NULL, &m_fill, t, out);
    cJSON_AddItemToArray(rows, row_json(&n_fill, NULL, &m_fill, t));
    return !meets(t, n_fill.ticks, m_fill.ticks);
}

static bool is_hardware(enum run_mode mode)
{
    return mode == MODE_VTX || mode == MODE_SVM;
}

static int emulator_table(const struct run *runs, struct text *out, cJSON *json)
{
    const bool trap_too = runs[1].mode == MODE_PARA;
    const char *mode = mode_names[runs[1].mode];
    cJSON *one = cJSON_CreateObject(), *rows = cJSON_CreateArray();
    cJSON_AddStringToObject(one, "emulator", emu_names[runs[0].emu]);
    cJSON_AddStringToObject(one, "mode", mode);
    text_printf(out, "\n%s\n%-20s %11s", emu_titles[runs[0].emu], "  ticks", "native");
    if (trap_too)
        text_printf(out, " %11s", mode_names[MODE_TRAP]);
    text_printf(out, " %11s %11s %10s  %-9s  %s\n", mode, "difference", "x native", "target",
                "verdict");
    int missed = compare(&runs[0], trap_too ? &runs[4] : NULL, &runs[1], out, rows) +
                 compare(&runs[2], trap_too ? &runs[5] : NULL, &runs[3], out, rows);
    if (is_hardware(runs[1].mode))
        missed += compare_fill(&runs[0], &runs[4], out, rows);
    port_models(&runs[0], &runs[1], out);
    cJSON_AddItemToObject(one, "operations", rows);
    cJSON_AddItemToArray(json, one);
    return missed;
}

/* Of each emulator: the guest of exits natively and in the mode, then Minnow likewise; where the
 * mode is para, both in trap; where it is the hardware's, the guest once more with small pages. */
#define RUNS_EACH_MAX 6

static int runs_each(enum run_mode mode)
{
    return mode == MODE_PARA ? RUNS_EACH_MAX : is_hardware(mode) ? 5 : 4;
}

/* Run i, 4 or more, which not every mode has. */
static struct run extra_run(enum emu_kind emu, enum run_mode mode, int i, const char *vmm_options)
{
    if (!is_hardware(mode))
        return (struct run){.emu = emu, .mode = MODE_TRAP, .guest = i == 4 ? PV_GUEST : NULL};
    return (struct run){.emu = emu,
                        .mode = mode,
                        .guest = GUEST,
                        .options = xasprintf("%s%s" SMALL_PAGES, vmm_options ? vmm_options : "",
                                             vmm_options ? " " : ""),
                        .small_pages = true};
}

static int plan(struct run *runs, enum run_mode mode, const char *vmm_options)
{
    const char *guest = mode == MODE_PARA ? PV_GUEST : GUEST;
    int count = 0;
    for (int e = 0; e < EMU_KINDS; e++) {
        for (int i = 0; i < runs_each(mode) && !pair_problem((enum emu_kind)e, mode); i++) {
            runs[count++] = i >= 4 ? extra_run((enum emu_kind)e, mode, i, vmm_options)
                                   : (struct run){.emu = (enum emu_kind)e,
                                                  .mode = i % 2 ? mode : MODE_NATIVE,
                                                  .guest = i / 2 ? NULL : guest,
                                                  .options = vmm_options};
        }
    }
    return count;
}

static const char usage[] =
    "usage: tv-bench-exits [--mode=trap|para|vtx|svm] [--opts=OPTIONS]\n"
    "Compares the bare machine with a mode (default trap) in both emulators. Mode para has a\n"
    "guest of its own, whose sensitive instructions are recorded sites.\n"
    "OPTIONS are words for the VMM: --opts=pv=-batch measures para without its queue.\n"
    "Exit status 1 when a run failed; a missed target is only marked.\n";

static enum run_mode options(int argc, char **argv, const char **vmm_options)
{
    static const struct option known[] = {
        {"mode", 1, NULL, 'm'}, {"opts", 1, NULL, 'o'}, {"help", 0, NULL, 'h'}, {0}};
    int mode = MODE_TRAP;
    *vmm_options = NULL;
    for (int c; (c = getopt_long(argc, argv, "m:o:h", known, NULL)) != -1;) {
        if (c == 'h') {
            fputs(usage, stdout);
            exit(0);
        }
        if (c == 'o')
            *vmm_options = *optarg ? optarg : NULL;
        else if (c != 'm')
            exit(STATUS_USAGE);
        else
            mode = mode_by_name(optarg);
        if (mode <= MODE_NATIVE)
            die(STATUS_USAGE, "'%s' is not a mode that can be compared with native", optarg);
    }
    if (optind < argc)
        die(STATUS_USAGE, "unexpected argument '%s'", argv[optind]);
    return (enum run_mode)mode;
}

int main(int argc, char **argv)
{
    struct run runs[EMU_KINDS * RUNS_EACH_MAX];
    struct job jobs[EMU_KINDS * RUNS_EACH_MAX];
    const char *vmm_options;
    const enum run_mode mode = options(argc, argv, &vmm_options);
    const int count = plan(runs, mode, vmm_options);
    struct text table = {0};
    cJSON *json = cJSON_CreateArray();
    int missed = 0, failed = 0;
    make_dirs(REPORT);
    fprintf(stderr, "Measuring exits, two machines at a time:\n");
    for (int i = 0; i < count; i++)
        jobs[i] = (struct job){.name = mode_names[runs[i].mode],
                               .run = run_one,
                               .opaque = &runs[i],
                               .limit_s = LIMIT_S + 10};
    jobs_run(jobs, count, 2, take_result);
    for (int i = 0; i < count; i++)
        failed += runs[i].failure != NULL;
    for (int i = 0; i < count; i += runs_each(mode))
        missed += emulator_table(&runs[i], &table, json);
    printf("%s\n%d targets missed", table.text, missed);
    printf(failed ? ", %d runs failed\n" : "\n", failed);
    write_file(REPORT "/exits.txt", table.text, table.len);
    json_write(REPORT "/exits.json", json);
    printf("Written: " REPORT "/exits.txt (this), " REPORT "/exits.json\n");
    return failed ? 1 : 0;
}
