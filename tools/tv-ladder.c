/*
 * tv-ladder: one VMM on every CPU with VT-x or AMD-V that stock Bochs models, oldest first. Boots
 * Minnow on each, runs its tests and the same benchmarks, and tells which features of the CPU were
 * found, which were used, and what the lack of the others costs. `make ladder` calls it.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/choose.h"
#include "lib/measure.h"

#define PROGRAMS "run=usertests,-q;bench,null-syscall,page-fault,context-switch,fork-exec-wait"
#define LIMIT_S 400
#define MAX_OPS 8
#define OPS 4

#define SHADOW "+shadow" /* behind a model's name: with shadow paging, although it has better */

/* The rungs: Bochs' name for the model, the mode that it can run, and the CPU for people. */
static const struct rung {
    const char *model;
    enum run_mode mode;
    const char *cpu;
} rungs[] = {
    {"core_duo_t2400_yonah", MODE_VTX, "Core Duo, 2006"},
    {"core2_penryn_t9600", MODE_VTX, "Core 2, 2008"},
    {"corei5_lynnfield_750", MODE_VTX, "Nehalem, 2009"},
    {"corei5_arrandale_m520", MODE_VTX, "Westmere, 2010"},
    {"corei7_sandy_bridge_2600k", MODE_VTX, "Sandy Bridge, 2011"},
    {"corei7_ivy_bridge_3770k", MODE_VTX, "Ivy Bridge, 2012"},
    {"corei7_haswell_4770", MODE_VTX, "Haswell, 2013"},
    {"corei7_haswell_4770" SHADOW, MODE_VTX, "Haswell, 2013, with shadow paging"},
    {"broadwell_ult", MODE_VTX, "Broadwell, 2014"},
    {"corei7_skylake_x", MODE_VTX, "Skylake X, 2017"},
    {"corei3_cnl", MODE_VTX, "Cannon Lake, 2018"},
    {"corei7_icelake_u", MODE_VTX, "Ice Lake, 2019"},
    {"tigerlake", MODE_VTX, "Tiger Lake, 2020"},
    {"turion64_tyler", MODE_SVM, "Turion 64, 2006"},
    {"phenom_8650_toliman", MODE_SVM, "Phenom X3, 2008"},
    {"zambezi", MODE_SVM, "Bulldozer, 2011"},
    {"trinity_apu", MODE_SVM, "Piledriver, 2012"},
    {"ryzen", MODE_SVM, "Zen, 2017"},
    {"ryzen" SHADOW, MODE_SVM, "Zen, 2017, with shadow paging"},
};
#define RUNGS ((int)(sizeof(rungs) / sizeof(rungs[0])))

struct step {
    const struct rung *rung;
    struct measure run;
    struct bench_op ops[MAX_OPS];
    int count;
    char *problem; /* NULL: all is well */
};

struct chosen {
    const char *models, *opts, *json, *dir;
    int parallel;
};

static const struct bench_op *find_op(const struct step *step, const char *name)
{
    for (int i = 0; i < step->count; i++) {
        if (!strcmp(step->ops[i].name, name) && step->ops[i].n)
            return &step->ops[i];
    }
    return NULL;
}

static const char *const op_names[OPS] = {"null-syscall", "page-fault", "context-switch",
                                          "fork-exec-wait"};

/* --- the runs --- */

static unsigned tests_passed(const char *console)
{
    unsigned n = 0;
    for (const char *at = console; (at = strstr(at, "\nok ")); at++)
        n++;
    return n;
}

/* The same results on every rung as on the first. */
static void check(struct step *steps, int at)
{
    struct step *step = &steps[at];
    step->problem = step->run.failure;
    if (!step->problem && !strstr(step->run.console, " passed, 0 failed\n"))
        step->problem = xasprintf("usertests does not say that all passed");
    for (int i = 0; i < OPS && !step->problem; i++) {
        const struct bench_op *op = find_op(step, op_names[i]),
                              *first = find_op(&steps[0], op_names[i]);
        if (!op)
            step->problem = xasprintf("%s was not measured", op_names[i]);
        else if (first && strcmp(op->result, first->result))
            step->problem = xasprintf("%s computed %s, and %s on %s", op_names[i], op->result,
                                      first->result, steps[0].rung->model);
    }
}

static int run_all(struct step *steps, int count, const struct chosen *c)
{
    struct measure runs[RUNGS];
    int problems = 0;
    for (int i = 0; i < count; i++) {
        const struct rung *rung = steps[i].rung;
        const char *suffix = strstr(rung->model, SHADOW);
        const int n = (int)(suffix ? (size_t)(suffix - rung->model) : strlen(rung->model));
        char *options = xasprintf("%s%s", suffix ? "paging=shadow " : "", c->opts ? c->opts : "");
        runs[i] = (struct measure){
            .name = xasprintf("%s", rung->model),
            .spec = {.emu = EMU_BOCHS,
                     .files = {.mode = rung->mode,
                               .guest_args = PROGRAMS,
                               .vmm_options = *options ? options : NULL},
                     .cpu = xasprintf("%.*s", n, rung->model),
                     .console = CONSOLE_FILE,
                     .timeout_s = LIMIT_S,
                     .dir = xasprintf("%s/%s", c->dir, rung->model),
                     .echo_fd = -1},
        };
    }
    fprintf(stderr, "Climbing %d rungs, %d at a time:\n", count, c->parallel);
    measure_all(runs, count, c->parallel);
    for (int i = 0; i < count; i++) {
        steps[i].run = runs[i];
        if (runs[i].console)
            steps[i].count = bench_parse(runs[i].console, steps[i].ops, MAX_OPS);
    }
    for (int i = 0; i < count; i++) {
        check(steps, i);
        problems += steps[i].problem != NULL;
    }
    return problems;
}

/* --- what came of it --- */

static double exits_of(const struct step *step)
{
    const cJSON *stats = records_last(step->run.records, "stats"), *one;
    double sum = 0;
    cJSON_ArrayForEach(one, cJSON_GetObjectItem(stats, "exits")) sum += one->valuedouble;
    return sum;
}

static const char *paging_of(const struct step *step)
{
    const char *paging = record_string(records_last(step->run.records, "stats"), "paging");
    return paging ? paging : "-";
}

enum kind { USED, UNUSED, MISSING };

static bool of_kind(const cJSON *record, enum kind kind)
{
    const char *type = record_string(record, "type");
    const bool found = record_number(record, "found", 0) != 0;
    const bool used = record_number(record, "used", 0) != 0;
    if (!type || strcmp(type, "feature"))
        return false;
    return kind == USED ? used : kind == UNUSED ? found && !used : !found;
}

static void list(struct text *out, const struct step *step, enum kind kind, const char *title)
{
    const cJSON *record;
    const char *before = title;
    cJSON_ArrayForEach(record, step->run.records)
    {
        if (!of_kind(record, kind))
            continue;
        text_printf(out, "%s%s", before, record_string(record, "name"));
        before = ", ";
    }
    if (before != title)
        text_printf(out, "\n");
}

/* "io 42041, cpuid 17": why the guest left in this run. */
static void list_exits(struct text *out, const struct step *step)
{
    const cJSON *stats = records_last(step->run.records, "stats"), *one;
    const char *before = "  exits:    ";
    cJSON_ArrayForEach(one, cJSON_GetObjectItem(stats, "exits"))
    {
        text_printf(out, "%s%s %.0f", before, one->string, one->valuedouble);
        before = ", ";
    }
    text_printf(out, "\n");
}

static void row(struct text *out, const struct step *step)
{
    text_printf(out, "%-27s %-4s %-7s %6u %9.0f", step->rung->model, mode_names[step->rung->mode],
                paging_of(step), step->run.console ? tests_passed(step->run.console) : 0,
                exits_of(step));
    for (int i = 0; i < OPS; i++) {
        const struct bench_op *op = find_op(step, op_names[i]);
        if (op)
            text_printf(out, " %14llu", op->ticks);
        else
            text_printf(out, " %14s", "-");
    }
    text_printf(out, "\n");
}

static char *report(const struct step *steps, int count)
{
    struct text out = {0};
    text_printf(&out,
                "The generations of hardware assist that Bochs models. Tests passed and exits "
                "of the whole run;\nticks (instructions, not time) of one operation\n\n");
    text_printf(&out, "%-27s %-4s %-7s %6s %9s", "model", "mode", "paging", "tests", "exits");
    for (int i = 0; i < OPS; i++)
        text_printf(&out, " %14s", op_names[i]);
    text_printf(&out, "\n");
    for (int i = 0; i < count; i++)
        row(&out, &steps[i]);
    for (int i = 0; i < count; i++) {
        text_printf(&out, "\n%s (%s)\n", steps[i].rung->model, steps[i].rung->cpu);
        list_exits(&out, &steps[i]);
        list(&out, &steps[i], USED, "  used:     ");
        list(&out, &steps[i], UNUSED, "  not used: ");
        list(&out, &steps[i], MISSING, "  missing:  ");
    }
    text_printf(&out, "\n");
    for (int i = 0; i < count; i++) {
        if (steps[i].problem)
            text_printf(&out, "PROBLEM: %s: %s\n", steps[i].rung->model, steps[i].problem);
    }
    return out.text;
}

static void write_json(const struct step *steps, int count, const char *path)
{
    cJSON *json = cJSON_CreateObject(), *record;
    cJSON_AddStringToObject(json, "unit", "ticks: instructions executed by the emulated CPU");
    cJSON *list = cJSON_AddArrayToObject(json, "models");
    for (int i = 0; i < count; i++) {
        const struct step *step = &steps[i];
        cJSON *one = cJSON_CreateObject();
        cJSON_AddItemToArray(list, one);
        cJSON_AddStringToObject(one, "model", step->rung->model);
        cJSON_AddStringToObject(one, "cpu", step->rung->cpu);
        cJSON_AddStringToObject(one, "mode", mode_names[step->rung->mode]);
        cJSON_AddStringToObject(one, "paging", paging_of(step));
        cJSON_AddNumberToObject(one, "tests",
                                step->run.console ? tests_passed(step->run.console) : 0);
        if (step->problem)
            cJSON_AddStringToObject(one, "problem", step->problem);
        cJSON_AddItemToObject(
            one, "exits",
            cJSON_Duplicate(cJSON_GetObjectItem(records_last(step->run.records, "stats"), "exits"),
                            true));
        cJSON *ticks = cJSON_AddObjectToObject(one, "ticks");
        for (int k = 0; k < OPS; k++) {
            const struct bench_op *op = find_op(step, op_names[k]);
            if (op)
                cJSON_AddNumberToObject(ticks, op->name, (double)op->ticks);
        }
        cJSON *features = cJSON_AddArrayToObject(one, "features");
        cJSON_ArrayForEach(record, step->run.records)
        {
            if (of_kind(record, MISSING) || of_kind(record, UNUSED) || of_kind(record, USED))
                cJSON_AddItemToArray(features, cJSON_Duplicate(record, true));
        }
    }
    json_write(path, json);
}

/* --- the command line --- */

static const char usage[] =
    "usage: tv-ladder [options]\n"
    "Runs Minnow's tests and the same benchmarks on every CPU with VT-x or AMD-V that Bochs\n"
    "models, and tells what each CPU has, what of it was used, exits and ticks.\n"
    "  --models=NAMES   only these, with commas between them (default: all; --list shows them)\n"
    "  --opts=WORDS     more words for the VMM's command line, like paging=shadow\n"
    "  --json=FILE      write the figures there, too\n"
    "  --dir=DIR        consoles, records and logs of the runs (default build/run/ladder)\n"
    "  -j N             machines at a time (default: as many as there are processors)\n"
    "  --list           print the models and end\n"
    "Exit status 1 when a run failed or computed something else; 2: wrong usage.\n";

static void show_models(void)
{
    for (int i = 0; i < RUNGS; i++)
        printf("%-27s %s  %s\n", rungs[i].model, mode_names[rungs[i].mode], rungs[i].cpu);
    exit(0);
}

static void set_option(struct chosen *c, int option)
{
    if (option == 'm')
        c->models = optarg;
    else if (option == 'o')
        c->opts = optarg;
    else if (option == 'J')
        c->json = optarg;
    else if (option == 'd')
        c->dir = optarg;
    else
        c->parallel = (int)choose_number("-j", optarg, 1, 64);
}

/* Without a value, as make passes what was not given, an option is as if it were not there. */
static struct chosen read_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"models", 1, NULL, 'm'}, {"opts", 1, NULL, 'o'}, {"json", 1, NULL, 'J'},
        {"dir", 1, NULL, 'd'},    {"list", 0, NULL, 'l'}, {"help", 0, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct chosen c = {.models = "", .dir = "build/run/ladder", .parallel = measure_parallel()};
    for (int o; (o = getopt_long(argc, argv, "j:h", known, NULL)) != -1;) {
        if (o == 'h')
            fputs(usage, stdout), exit(0);
        if (o == 'l')
            show_models();
        if (o == '?')
            exit(STATUS_USAGE);
        if (*optarg)
            set_option(&c, o);
    }
    if (optind < argc)
        die(STATUS_USAGE, "unexpected argument '%s' (try --help)", argv[optind]);
    return c;
}

static const struct rung *find_rung(const char *name, size_t n)
{
    for (int i = 0; i < RUNGS; i++) {
        if (strlen(rungs[i].model) == n && !strncmp(rungs[i].model, name, n))
            return &rungs[i];
    }
    die(STATUS_USAGE, "--models: there is no '%.*s' (--list shows them)", (int)n, name);
}

static int read_models(const char *names, struct step *steps)
{
    int count = 0;
    for (int i = 0; !*names && i < RUNGS; i++)
        steps[count++].rung = &rungs[i];
    while (*names) {
        const size_t n = strcspn(names, ",");
        if (count == RUNGS)
            die(STATUS_USAGE, "--models: more than %d names", RUNGS);
        steps[count++].rung = find_rung(names, n);
        names += n + (names[n] == ',');
    }
    return count;
}

int main(int argc, char **argv)
{
    const struct chosen c = read_options(argc, argv);
    static struct step steps[RUNGS];
    const int count = read_models(c.models, steps);
    measure_output(c.json);
    measure_dir(c.dir);
    const int problems = run_all(steps, count, &c);
    char *text = report(steps, count);
    fputs(text, stdout);
    if (c.json)
        write_json(steps, count, c.json);
    const bool lost = fflush(stdout) || ferror(stdout);
    if (lost)
        fprintf(stderr, "tv-ladder: the table could not be written\n");
    return problems || lost;
}
