/*
 * tv-bench-trace: what recording a trace costs. Runs the guest of tests/bench/ in a mode without a
 * trace and with one, in both emulators; prints what each operation takes more, by exit. How many
 * exits an operation has, the trace says. `make bench-exits TRACE=on` calls it.
 */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/choose.h"
#include "lib/measure.h"
#include "lib/trace_read.h"

#define REPORT "build/report"
#define GUEST "build/tests/bench/exits.elf"
#define PV_GUEST "build/tests/bench/pv_exits.elf"
#define LIMIT_S 90
#define MAX_OPS 64
#define BATCHES 7            /* of each loop: tests/bench/bench.inc */
#define PRINTING "uart_byte" /* puts a byte on COM1: tests/guests/common.inc */
#define FIRST "exit name="   /* where the guest's own text begins */

struct op {
    char name[40];
    unsigned long long n;
    double ticks;
    uint64_t exits; /* of all batches */
};

struct ops {
    struct op op[MAX_OPS];
    unsigned count;
};

/* --- reading --- */

/* The guest's lines "exit name=cli n=400 ticks=25.0". */
static void read_ops(struct ops *ops, const char *console)
{
    for (const char *line = console; *line; line += strcspn(line, "\n"), line += *line != 0) {
        struct op *op = &ops->op[ops->count];
        if (ops->count < MAX_OPS &&
            sscanf(line, FIRST "%39s n=%llu ticks=%lf", op->name, &op->n, &op->ticks) == 3)
            ops->count++;
    }
}

static bool prints(struct trace_symbols *symbols, const struct trace_record *r)
{
    return !strncmp(trace_function(symbols, r), PRINTING, strlen(PRINTING));
}

/* Of the two ports that it touches for a byte, the one that takes it comes last in the code. */
static uint32_t last_print(const struct trace_records *trace, struct trace_symbols *symbols)
{
    uint32_t eip = 0;
    for (size_t i = 0; i < trace->count; i++) {
        if (trace->record[i].eip > eip && prints(symbols, &trace->record[i]))
            eip = trace->record[i].eip;
    }
    return eip;
}

/* The trace shows each byte that the guest prints, so it shows which line is next: exits before it
 * are those of its operation. text: what the guest has printed, with carriage returns. */
static void count_exits(struct ops *ops, const struct trace_records *trace,
                        struct trace_symbols *symbols, const char *text)
{
    const uint32_t out = last_print(trace, symbols);
    unsigned line = 0;
    for (size_t i = 0; i < trace->count && line < ops->count; i++) {
        const struct trace_record *r = &trace->record[i];
        if (r->eip == out && prints(symbols, r))
            line += *text && *text++ == '\n';
        else if (!trace_is_slice(r) && !prints(symbols, r))
            ops->op[line].exits++;
    }
}

static char *left_behind(const struct measure *m, const char *name, size_t *size)
{
    char *path = xasprintf("%s/%s", m->spec.dir, name), *bytes = read_file(path, size);
    if (!bytes)
        die(1, "cannot read %s", path);
    free(path);
    return bytes;
}

static void read_trace(struct ops *ops, const struct measure *traced)
{
    struct trace_records trace;
    struct trace_symbols symbols;
    size_t size;
    char *bytes = left_behind(traced, MACHINE_TRACE, &size);
    char *console = left_behind(traced, "com1.txt", NULL), *text = strstr(console, FIRST);
    char *error = trace_symbols_open(&symbols, traced->spec.files.guest);
    if (!error)
        error = trace_read(&trace, bytes, size);
    if (error)
        die(1, "%s", error);
    count_exits(ops, &trace, &symbols, text ? text : "");
    trace_free(&trace);
    trace_symbols_close(&symbols);
    free(bytes);
    free(console);
}

/* --- tables --- */

/* Beside the operation's own there are a few that the guest has before and behind the loop, and
 * when the VMM learns it. */
static double exits_each(const struct op *op)
{
    const double each = (double)op->exits / (double)(op->n * BATCHES), whole = round(each);
    return whole >= 1 && fabs(each - whole) < 0.2 ? whole : each;
}

static void table(const struct ops *plain, const struct ops *traced, struct text *out, cJSON *rows)
{
    text_printf(out, "%-20s %11s %11s %11s %8s %9s\n", "  ticks", "no trace", "trace", "difference",
                "exits", "per exit");
    for (unsigned i = 0; i < plain->count && i < traced->count; i++) {
        const struct op *p = &plain->op[i], *t = &traced->op[i];
        const double more = round((t->ticks - p->ticks) * 10) / 10, exits = exits_each(t);
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "name", p->name);
        cJSON_AddNumberToObject(row, "plain", p->ticks);
        cJSON_AddNumberToObject(row, "traced", t->ticks);
        cJSON_AddNumberToObject(row, "difference", more);
        cJSON_AddNumberToObject(row, "exits", exits);
        cJSON_AddItemToArray(rows, row);
        text_printf(out, "%-20s %11.1f %11.1f %11.1f %8.2f", p->name, p->ticks, t->ticks, more,
                    exits);
        if (exits >= 0.99)
            text_printf(out, " %9.1f\n", more / exits);
        else
            text_printf(out, " %9s\n", "-");
    }
}

static struct measure plan(enum emu_kind emu, enum run_mode mode, bool trace)
{
    const char *name = trace ? "trace" : "plain";
    return (struct measure){
        .name = xasprintf("%s %s", mode_names[mode], name),
        .spec = {.emu = emu,
                 .files = {.mode = mode,
                           .guest = mode == MODE_PARA ? PV_GUEST : GUEST,
                           .vmm_options = trace ? "trace=on" : NULL},
                 .disk = "",
                 .console = CONSOLE_FILE,
                 .trace = trace,
                 .timeout_s = LIMIT_S,
                 .dir = xasprintf("build/run/bench-trace-%s-%s-%s", emu_names[emu],
                                  mode_names[mode], name),
                 .echo_fd = -1},
    };
}

static const char usage[] =
    "usage: tv-bench-trace [--mode=trap|para|vtx|svm]\n"
    "Measures what recording a trace adds to each operation of a mode (default trap), in both\n"
    "emulators. Sending is in it only where it falls into the median of an operation's loops.\n"
    "Exit status 1 when a run failed.\n";

static enum run_mode read_mode(int argc, char **argv)
{
    static const struct option known[] = {
        {"mode", 1, NULL, 'm'}, {"help", 0, NULL, 'h'}, {NULL, 0, NULL, 0}};
    int mode = MODE_TRAP;
    for (int c; (c = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        if (c == 'h')
            fputs(usage, stdout), exit(0);
        if (c == '?')
            exit(STATUS_USAGE);
        mode = mode_by_name(optarg);
        if (mode <= MODE_NATIVE)
            die(STATUS_USAGE, "'%s' is not a mode that has exits", optarg);
    }
    if (optind < argc)
        die(STATUS_USAGE, "unexpected argument '%s'", argv[optind]);
    return (enum run_mode)mode;
}

int main(int argc, char **argv)
{
    const enum run_mode mode = read_mode(argc, argv);
    struct measure runs[2 * EMU_KINDS];
    struct text out = {0};
    cJSON *json = cJSON_CreateArray();
    int count = 0;
    for (int e = 0; e < EMU_KINDS; e++) {
        for (int traced = 0; traced < 2 && !pair_problem((enum emu_kind)e, mode); traced++)
            runs[count++] = plan((enum emu_kind)e, mode, traced);
    }
    make_dirs(REPORT);
    const int failed = measure_all(runs, count, measure_parallel());
    for (int i = 0; i < count && !failed; i += 2) {
        struct ops plain = {.count = 0}, traced = {.count = 0};
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "emulator", emu_names[runs[i].spec.emu]);
        cJSON_AddStringToObject(one, "mode", mode_names[mode]);
        read_ops(&plain, runs[i].console);
        read_ops(&traced, runs[i + 1].console);
        read_trace(&traced, &runs[i + 1]);
        text_printf(&out, "\n%s, mode %s\n", emu_titles[runs[i].spec.emu], mode_names[mode]);
        table(&plain, &traced, &out, cJSON_AddArrayToObject(one, "operations"));
        cJSON_AddItemToArray(json, one);
    }
    if (failed)
        return 1;
    fputs(out.text, stdout);
    write_file(REPORT "/trace.txt", out.text, out.len);
    json_write(REPORT "/trace.json", json);
    printf("\nWritten: " REPORT "/trace.txt (this), " REPORT "/trace.json\n");
    return 0;
}
