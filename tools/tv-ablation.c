/*
 * tv-ablation: what each mechanism of mode para is worth. Runs the guest's benchmarks with all of
 * them, without each one alone, without any, and, as the ends of the scale, on the bare machine and
 * in mode trap. `make ablation` calls it.
 */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/choose.h"
#include "lib/measure.h"
#include "lib/pv_words.h"

#define WORKLOADS                                                                                  \
    "null-syscall,fork-exec-wait,context-switch,page-fault,cli-sti,fork-storm,pipe-throughput,"    \
    "compile,disk-seq-write,disk-seq-read,disk-rand-read,disk-rand-write"
#define LIMIT_S 300
#define MAX_OPS 40
#define MAX_PROBLEMS 60
#define COLUMNS 4     /* workloads side by side */
#define SMALLEST 0.05 /* per cent that are shown to people */

/* The rows of the table: three, one for each mechanism, and one without any. */
enum { ROW_NATIVE, ROW_TRAP, ROW_PARA, ROW_FIRST, ROW_NONE = ROW_FIRST + PV_WORDS, ROWS };

struct config {
    struct measure run;
    char *name;     /* "without sti" */
    char *switches; /* "pv=-sti", or "" */
    bool chosen;
    struct bench_op ops[MAX_OPS];
    int count;
};

struct ablation {
    struct config config[ROWS];
    char *workloads[MAX_OPS];
    int workload_count;
    enum emu_kind emu;
    char *problems[MAX_PROBLEMS];
    int problem_count;
};

static void problem(struct ablation *all, char *text)
{
    if (all->problem_count < MAX_PROBLEMS)
        all->problems[all->problem_count++] = text;
}

/* --- the plan --- */

static void name_configs(struct ablation *all, const bool wanted[PV_WORDS])
{
    bool off[PV_WORDS] = {false}, each[PV_WORDS];
    for (int i = 0; i < ROWS; i++)
        all->config[i] = (struct config){.chosen = true, .switches = ""};
    all->config[ROW_NATIVE].name = "native";
    all->config[ROW_TRAP].name = "trap";
    all->config[ROW_PARA].name = "para";
    for (int i = 0; i < PV_WORDS; i++) {
        struct config *config = &all->config[ROW_FIRST + i];
        memset(each, 0, sizeof(each));
        each[i] = off[i] = true;
        config->name = xasprintf("without %s", pv_word_names[i]);
        config->switches = xasprintf("pv=%s", pv_words_off("", each));
        config->chosen = wanted[i];
    }
    all->config[ROW_NONE].name = "without any";
    all->config[ROW_NONE].switches = xasprintf("pv=%s", pv_words_off("", off));
}

static bool repeats(const struct ablation *all, int row, const char *workload)
{
    return row != ROW_NATIVE || all->emu != EMU_QEMU || !bench_on_disk(workload);
}

/* "run=bench,cli-sti,...": what a configuration is to run; NULL when nothing is left. */
static char *programs(const struct ablation *all, int row)
{
    struct text t = {0};
    text_printf(&t, "run=bench");
    const size_t nothing = t.len;
    for (int i = 0; i < all->workload_count; i++) {
        if (repeats(all, row, all->workloads[i]))
            text_printf(&t, ",%s", all->workloads[i]);
    }
    return t.len > nothing ? t.text : NULL;
}

static const enum run_mode modes[] = {MODE_NATIVE, MODE_TRAP, MODE_PARA};

static struct measure machine_for(const struct ablation *all, int row, const char *dir)
{
    const struct config *config = &all->config[row];
    return (struct measure){
        .name = config->name,
        .spec = {.emu = all->emu,
                 .files = {.mode = modes[row < ROW_PARA ? row : ROW_PARA],
                           .guest_args = programs(all, row),
                           .vmm_options = *config->switches ? config->switches : NULL},
                 .console = CONSOLE_FILE,
                 .timeout_s = LIMIT_S,
                 .dir = xasprintf("%s/%d", dir, row),
                 .echo_fd = -1},
    };
}

/* --- the runs --- */

static const struct bench_op *result_of(const struct ablation *all, int row, const char *workload)
{
    const struct config *config = &all->config[row];
    for (int i = 0; i < config->count; i++) {
        if (!strcmp(config->ops[i].name, workload) && config->ops[i].n)
            return &config->ops[i];
    }
    return NULL;
}

/* Every workload was measured and computed what it did in mode para. */
static void check(struct ablation *all, int row)
{
    const struct config *config = &all->config[row];
    if (config->run.failure) {
        problem(all, xasprintf("%s: %s", config->name, config->run.failure));
        return;
    }
    for (int i = 0; i < all->workload_count; i++) {
        const char *workload = all->workloads[i];
        const struct bench_op *op = result_of(all, row, workload),
                              *para = result_of(all, ROW_PARA, workload);
        if (!op && repeats(all, row, workload))
            problem(all, xasprintf("%s: %s was not measured", config->name, workload));
        else if (op && para && strcmp(op->result, para->result))
            problem(all, xasprintf("%s: %s computed %s, in mode para it is %s", config->name,
                                   workload, op->result, para->result));
    }
}

static void run_all(struct ablation *all, const char *dir, int parallel)
{
    struct measure runs[ROWS];
    int rows[ROWS], count = 0;
    for (int row = 0; row < ROWS; row++) {
        struct config *config = &all->config[row];
        config->run = machine_for(all, row, dir);
        config->chosen &= config->run.spec.files.guest_args != NULL;
        if (config->chosen) {
            rows[count] = row;
            runs[count++] = config->run;
        }
    }
    fprintf(stderr, "Measuring %d workloads in %d configurations, %d machines at a time:\n",
            all->workload_count, count, parallel);
    measure_all(runs, count, parallel);
    for (int i = 0; i < count; i++) {
        struct config *config = &all->config[rows[i]];
        config->run = runs[i];
        config->count = bench_parse(runs[i].console, config->ops, MAX_OPS);
    }
    for (int i = 0; i < count; i++)
        check(all, rows[i]);
}

/* --- figures --- */

/* As a multiple of full para; negative: not known. */
static double factor(const struct ablation *all, int row, const char *workload)
{
    const struct bench_op *op = result_of(all, row, workload),
                          *para = result_of(all, ROW_PARA, workload);
    return op && para && para->ticks ? (double)op->ticks / (double)para->ticks : -1;
}

/* What leaving it out costs, in per cent of full para; NAN: not known. */
static double worth(const struct ablation *all, int row, const char *workload)
{
    const double f = factor(all, row, workload);
    return f < 0 ? NAN : 100 * (f - 1);
}

struct part {
    int word; /* index of the mechanism */
    double percent;
};

static int by_worth(const void *a, const void *b)
{
    const struct part *x = a, *y = b;
    return x->percent != y->percent ? (x->percent < y->percent ? 1 : -1) : x->word - y->word;
}

/* The mechanisms that were measured for a workload, the dearest first; returns how many. */
static int parts_of(const struct ablation *all, const char *workload, struct part parts[PV_WORDS])
{
    int count = 0;
    for (int i = 0; i < PV_WORDS; i++) {
        const double percent = worth(all, ROW_FIRST + i, workload);
        if (!isnan(percent))
            parts[count++] = (struct part){i, percent};
    }
    qsort(parts, (size_t)count, sizeof(*parts), by_worth);
    return count;
}

/* --- for people --- */

static void cell(struct text *out, const struct ablation *all, int row, const char *workload)
{
    const struct bench_op *op = result_of(all, row, workload);
    const double f = factor(all, row, workload);
    if (all->config[row].run.failure)
        text_printf(out, " %18s", "failed");
    else if (!op)
        text_printf(out, " %18s", "-");
    else if (f < 0)
        text_printf(out, " %10llu %7s", op->ticks, "-");
    else
        text_printf(out, " %10llu %6.*f\xc3\x97", op->ticks, f < 100 ? 2 : 0, f);
}

/* Some workloads, side by side. */
static void table(struct text *out, const struct ablation *all, int first, int end)
{
    text_printf(out, "%-15s", "");
    for (int i = first; i < end; i++)
        text_printf(out, " %18s", all->workloads[i]);
    text_printf(out, "\n");
    for (int row = 0; row < ROWS; row++) {
        if (!all->config[row].chosen && row >= ROW_FIRST)
            continue;
        text_printf(out, "%-15s", all->config[row].name);
        for (int i = first; i < end; i++)
            cell(out, all, row, all->workloads[i]);
        text_printf(out, "\n");
    }
    text_printf(out, "\n");
}

static void percent(struct text *out, const char *before, const char *name, double value)
{
    text_printf(out, "%s%s %+.*f", before, name, fabs(value) < 100, value);
}

/* "context-switch   short +433  mmu +96.6 | all +550" */
static void worth_line(struct text *out, const struct ablation *all, const char *workload)
{
    struct part parts[PV_WORDS];
    const int count = parts_of(all, workload, parts);
    const double any = worth(all, ROW_NONE, workload);
    const char *before = "";
    text_printf(out, "%-17s", workload);
    for (int i = 0; i < count; i++) {
        if (fabs(parts[i].percent) < SMALLEST)
            continue;
        percent(out, before, pv_word_names[parts[i].word], parts[i].percent);
        before = "  ";
    }
    if (!*before)
        text_printf(out, count ? "nothing" : "not known");
    if (!isnan(any))
        percent(out, " | ", "all", any);
    text_printf(out, "\n");
}

static char *tables(const struct ablation *all)
{
    struct text out = {0};
    bool missing = false;
    text_printf(&out,
                "%s. Ticks (instructions, not time) of one operation, and the multiple of full "
                "para\n\n",
                emu_titles[all->emu]);
    for (int i = 0; i < all->workload_count; i += COLUMNS)
        table(&out, all, i, i + COLUMNS < all->workload_count ? i + COLUMNS : all->workload_count);
    text_printf(
        &out,
        "What each mechanism is worth: what leaving it out alone adds, in %% of full para; "
        "the dearest first,\nless than %.2f left out. \"all\": leaving all of them out. What waits "
        "for the disk\n"
        "meets timer ticks at other moments when anything changes: a few per cent there may "
        "be that.\n",
        SMALLEST);
    for (int i = 0; i < all->workload_count; i++) {
        worth_line(&out, all, all->workloads[i]);
        missing |= !repeats(all, ROW_NATIVE, all->workloads[i]);
    }
    text_printf(&out, "\n");
    for (int i = 0; i < PV_WORDS; i++) {
        if (all->config[ROW_FIRST + i].chosen)
            text_printf(&out, "%-6s %s\n", pv_word_names[i], pv_word_whats[i]);
    }
    if (missing)
        text_printf(&out, "\nNative figures with a disk are left out: QEMU's own disk answers in "
                          "the host's time, so they\ndo not repeat. EMU=bochs has them.\n");
    for (int i = 0; i < all->problem_count; i++)
        text_printf(&out, "PROBLEM: %s\n", all->problems[i]);
    return out.text;
}

/* --- for programs --- */

static cJSON *config_json(const struct ablation *all, int row)
{
    const struct config *config = &all->config[row];
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "name", config->name);
    cJSON_AddStringToObject(json, "mode", mode_names[config->run.spec.files.mode]);
    cJSON_AddStringToObject(json, "options", config->switches);
    if (config->run.failure)
        cJSON_AddStringToObject(json, "failure", config->run.failure);
    cJSON *workloads = cJSON_AddObjectToObject(json, "workloads");
    for (int i = 0; i < all->workload_count; i++) {
        const struct bench_op *op = result_of(all, row, all->workloads[i]);
        const double f = factor(all, row, all->workloads[i]);
        if (!op)
            continue;
        cJSON *one = cJSON_AddObjectToObject(workloads, op->name);
        cJSON_AddNumberToObject(one, "n", (double)op->n);
        cJSON_AddNumberToObject(one, "ticks", (double)op->ticks);
        cJSON_AddStringToObject(one, "result", op->result);
        if (f >= 0)
            cJSON_AddNumberToObject(one, "factor", f);
    }
    return json;
}

static cJSON *worth_json(const struct ablation *all, const char *workload)
{
    struct part parts[PV_WORDS];
    const int count = parts_of(all, workload, parts);
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < count; i++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "mechanism", pv_word_names[parts[i].word]);
        cJSON_AddNumberToObject(one, "percent", parts[i].percent);
        cJSON_AddItemToArray(list, one);
    }
    return list;
}

static void write_json(const struct ablation *all, const char *path)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "unit", "ticks: instructions executed by the emulated CPU");
    cJSON_AddStringToObject(json, "emulator", emu_names[all->emu]);
    cJSON *mechanisms = cJSON_AddObjectToObject(json, "mechanisms");
    for (int i = 0; i < PV_WORDS; i++)
        cJSON_AddStringToObject(mechanisms, pv_word_names[i], pv_word_whats[i]);
    cJSON *configs = cJSON_AddArrayToObject(json, "configurations");
    for (int row = 0; row < ROWS; row++) {
        if (all->config[row].chosen)
            cJSON_AddItemToArray(configs, config_json(all, row));
    }
    cJSON *worths = cJSON_AddObjectToObject(json, "worth");
    for (int i = 0; i < all->workload_count; i++)
        cJSON_AddItemToObject(worths, all->workloads[i], worth_json(all, all->workloads[i]));
    cJSON *problems = cJSON_AddArrayToObject(json, "problems");
    for (int i = 0; i < all->problem_count; i++)
        cJSON_AddItemToArray(problems, cJSON_CreateString(all->problems[i]));
    json_write(path, json);
}

/* RFC 4180; only the options can hold a comma. */
static void write_csv(const struct ablation *all, const char *path)
{
    struct text out = {0};
    text_printf(&out, "configuration,mode,options,workload,n,ticks,factor,result\n");
    for (int row = 0; row < ROWS; row++) {
        const struct config *config = &all->config[row];
        for (int i = 0; i < all->workload_count; i++) {
            const struct bench_op *op = result_of(all, row, all->workloads[i]);
            const double f = factor(all, row, all->workloads[i]);
            if (!op)
                continue;
            text_printf(&out, "%s,%s,\"%s\",%s,%llu,%llu,", config->name,
                        mode_names[config->run.spec.files.mode], config->switches, op->name, op->n,
                        op->ticks);
            if (f >= 0)
                text_printf(&out, "%.6f", f);
            text_printf(&out, ",%s\n", op->result);
        }
    }
    write_file(path, out.text, out.len);
    text_free(&out);
}

/* --- the command line --- */

static const char usage[] =
    "usage: tv-ablation [--emu=qemu|bochs] [options]\n"
    "Measures what each mechanism of mode para is worth: with all, without each one, without any,\n"
    "and in the modes native and trap.\n"
    "  --workloads=NAMES   of the guest's bench, with commas between them (bench -l lists them;\n"
    "                      default: those that do what programs do)\n"
    "  --without=NAMES     leave only these mechanisms out (default: every one; --list shows "
    "them)\n"
    "  --json=FILE --csv=FILE   write the figures there, too\n"
    "  --dir=DIR           consoles, records and logs of the runs (default "
    "build/run/ablation-EMU)\n"
    "  -j N                machines at a time (default: as many as there are processors)\n"
    "  --list              print the mechanisms and end\n"
    "Exit status 1 when a run failed or computed something else; 2: wrong usage.\n";

struct chosen {
    enum emu_kind emu;
    const char *workloads, *json, *csv, *dir;
    int parallel;
    bool without[PV_WORDS];
};

static void list(void)
{
    for (int i = 0; i < PV_WORDS; i++)
        printf("%-6s %s\n", pv_word_names[i], pv_word_whats[i]);
    exit(0);
}

static void set_option(struct chosen *c, int option, const char **emu)
{
    if (option == 'e')
        *emu = optarg;
    else if (option == 'w')
        c->workloads = optarg;
    else if (option == 'o')
        pv_words_read("--without", optarg, c->without);
    else if (option == 'J')
        c->json = optarg;
    else if (option == 'c')
        c->csv = optarg;
    else if (option == 'd')
        c->dir = optarg;
    else
        c->parallel = (int)choose_number("-j", optarg, 1, 64);
}

/* Without a value, as make passes what was not given, an option is as if it were not there. */
static struct chosen read_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"emu", 1, NULL, 'e'},  {"workloads", 1, NULL, 'w'}, {"without", 1, NULL, 'o'},
        {"json", 1, NULL, 'J'}, {"csv", 1, NULL, 'c'},       {"dir", 1, NULL, 'd'},
        {"list", 0, NULL, 'l'}, {"help", 0, NULL, 'h'},      {NULL, 0, NULL, 0},
    };
    struct chosen c = {.workloads = WORKLOADS, .parallel = measure_parallel()};
    enum run_mode para;
    const char *emu = "qemu";
    memset(c.without, true, sizeof(c.without));
    for (int o; (o = getopt_long(argc, argv, "j:h", known, NULL)) != -1;) {
        if (o == 'h')
            fputs(usage, stdout), exit(0);
        if (o == 'l')
            list();
        if (o == '?')
            exit(STATUS_USAGE);
        if (*optarg)
            set_option(&c, o, &emu);
    }
    if (optind < argc)
        die(STATUS_USAGE, "unexpected argument '%s' (try --help)", argv[optind]);
    choose_pair(emu, "para", &c.emu, &para);
    if (!c.dir)
        c.dir = xasprintf("build/run/ablation-%s", emu);
    return c;
}

static void read_workloads(struct ablation *all, const char *text)
{
    while (*text) {
        const size_t n = strcspn(text, ",");
        if (all->workload_count == MAX_OPS)
            die(STATUS_USAGE, "--workloads: more than %d names", MAX_OPS);
        all->workloads[all->workload_count++] = xasprintf("%.*s", (int)n, text);
        text += n + (text[n] == ',');
    }
}

/* Ask the guest whether it knows the names, before each of the configurations says so. */
static void check_workloads(const struct ablation *all, const char *dir)
{
    struct measure ask = machine_for(all, ROW_PARA, dir);
    ask.name = "bench -l";
    ask.spec.files.guest_args = "run=bench,-l";
    ask.spec.dir = xasprintf("%s/list", dir);
    fprintf(stderr, "Asking the guest for its workloads:\n");
    if (measure_all(&ask, 1, 1))
        die(1, "%s", ask.failure);
    for (int i = 0; i < all->workload_count; i++) {
        char *line = xasprintf("\n%s ", all->workloads[i]);
        if (!strstr(ask.console, line))
            die(STATUS_USAGE, "--workloads: the guest has no benchmark '%s' (bench -l lists them)",
                all->workloads[i]);
        free(line);
    }
}

int main(int argc, char **argv)
{
    const struct chosen c = read_options(argc, argv);
    static struct ablation all;
    all.emu = c.emu;
    read_workloads(&all, c.workloads);
    name_configs(&all, c.without);
    measure_output(c.json);
    measure_output(c.csv);
    measure_dir(c.dir);
    if (strcmp(c.workloads, WORKLOADS))
        check_workloads(&all, c.dir);
    run_all(&all, c.dir, c.parallel);
    char *text = tables(&all);
    fputs(text, stdout);
    if (c.json)
        write_json(&all, c.json);
    if (c.csv)
        write_csv(&all, c.csv);
    const bool lost = fflush(stdout) || ferror(stdout);
    if (lost)
        fprintf(stderr, "tv-ablation: the table could not be written\n");
    free(text);
    return lost || all.problem_count ? 1 : 0;
}
