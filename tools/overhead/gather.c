#include "overhead/gather.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/exit_names.h"
#include "lib/measure.h"
#include "overhead/plan.h"

#define LIMIT_S 300
#define MAX_OPS 40
#define ABLATION "build/tools/tv-ablation"

struct gather_run {
    const struct plan_config *config;
    bool unrepeated; /* measure what does not repeat, and nothing else */
};

static void problem(struct gathered *all, char *text)
{
    if (all->problem_count < GATHER_PROBLEMS)
        all->problems[all->problem_count++] = text;
}

/* --- the runs --- */

static bool wanted(const struct gather_run *run, const struct plan_op *op, bool quick)
{
    if (run->unrepeated)
        return !quick && !plan_repeats(run->config, op);
    return plan_measured(run->config, op, quick);
}

/* "run=bench,empty,...;bench,...", or NULL when the configuration has nothing to do. A program
 * takes few arguments, so each class of operations is a call of its own. */
static char *programs(const struct gather_run *run, bool quick)
{
    struct text t = {0};
    int class = -1;
    for (int i = 0; i < plan_op_count; i++) {
        const struct plan_op *op = &plan_ops[i];
        if (!wanted(run, op, quick))
            continue;
        if ((int)op->class != class)
            text_printf(&t, "%sbench", t.len ? ";" : "run=");
        text_printf(&t, ",%s", op->name);
        class = (int)op->class;
    }
    return t.text;
}

static struct measure machine_for(const struct gather_run *run, char *program, const char *dir)
{
    const struct plan_config *config = run->config;
    const char *suffix = run->unrepeated ? "-disk" : "";
    return (struct measure){
        .name = xasprintf("%s%s", config->name, suffix),
        .spec = {.emu = config->emu,
                 .files = {.mode = config->mode,
                           .guest_args = program,
                           .vmm_options = config->options},
                 .virtio = config->virtio,
                 .console = CONSOLE_FILE,
                 .timeout_s = LIMIT_S,
                 .dir = xasprintf("%s/%s-%s%s", dir, emu_names[config->emu], config->name, suffix),
                 .echo_fd = -1},
    };
}

/* --- what they say --- */

static void take_exits(struct op_figures *to, const cJSON *records, int id)
{
    const cJSON *exits = cJSON_GetObjectItemCaseSensitive(records_mark(records, id), "exits");
    to->marked = exits != NULL;
    for (int i = 0; i < EXIT_REASON_COUNT; i++)
        to->exits[i] = record_number(exits, exit_names[i], 0);
}

static void take_op(struct run_figures *to, const struct bench_op *op, const cJSON *records)
{
    const struct plan_op *plan = plan_op(op->name);
    if (to->count == FIGURE_OPS || !op->n)
        return;
    struct op_figures *o = &to->ops[to->count++];
    snprintf(o->name, sizeof(o->name), "%s", op->name);
    snprintf(o->result, sizeof(o->result), "%s", op->result);
    o->n = (double)op->n;
    o->ticks = plan && plan->whole ? (double)op->total / o->n : (double)op->ticks;
    take_exits(o, records, op->id);
}

static void take_run(struct figures *f, const struct gather_run *run, const struct measure *m)
{
    struct bench_op ops[MAX_OPS];
    const int count = bench_parse(m->console, ops, MAX_OPS);
    if (f->count == FIGURE_RUNS)
        die(1, "the plan has more than %d configurations", FIGURE_RUNS);
    struct run_figures *to = &f->runs[f->count++];
    const struct plan_config *config = run->config;
    const struct machine machine = {.emu = config->emu, .mode = config->mode};
    *to = (struct run_figures){.emu = config->emu, .mode = config->mode};
    snprintf(to->config, sizeof(to->config), "%s", config->name);
    snprintf(to->options, sizeof(to->options), "%s%s%s", config->options ? config->options : "",
             config->options && config->virtio ? " " : "",
             config->virtio == VIRTIO_ON    ? "virtio=on"
             : config->virtio == VIRTIO_OFF ? "virtio=off"
                                            : "");
    snprintf(to->cpu, sizeof(to->cpu), "%s", machine_cpu(&machine));
    for (int i = 0; i < count; i++)
        take_op(to, &ops[i], m->records);
}

/* --- checks --- */

/* What the same operation computed in the first configuration that has it. */
static const struct op_figures *first_of(const struct figures *f, const char *op)
{
    for (int i = 0; i < f->count; i++) {
        const struct op_figures *o = figures_op(f, f->runs[i].emu, f->runs[i].config, op);
        if (o)
            return o;
    }
    return NULL;
}

static void check_run(struct gathered *all, const struct gather_run *run, const struct measure *m,
                      bool quick)
{
    const struct figures *f = run->unrepeated ? &all->unrepeated : &all->figures;
    const struct plan_config *config = run->config;
    const char *emu = emu_titles[config->emu];
    if (m->failure) {
        problem(all, xasprintf("%s, %s: %s", emu, config->name, m->failure));
        return;
    }
    for (int i = 0; i < plan_op_count; i++) {
        const char *name = plan_ops[i].name;
        const struct op_figures *op = figures_op(f, config->emu, config->name, name),
                                *first = first_of(&all->figures, name);
        if (!wanted(run, &plan_ops[i], quick))
            continue;
        if (!op)
            problem(all, xasprintf("%s, %s: %s was not measured", emu, config->name, name));
        else if (first && strcmp(first->result, op->result))
            problem(all, xasprintf("%s, %s: %s computed %s, elsewhere %s", emu, config->name, name,
                                   op->result, first->result));
        else if (config->mode != MODE_NATIVE && !op->marked)
            problem(all,
                    xasprintf("%s, %s: no exits were counted for %s", emu, config->name, name));
    }
}

static int plan_runs(struct gather_run *runs, struct measure *machines, const char *dir, int only,
                     bool quick)
{
    int count = 0;
    for (int i = 0; i < 2 * plan_config_count; i++) {
        const struct gather_run run = {&plan_configs[i / 2], i % 2};
        char *program = programs(&run, quick);
        if ((only >= 0 && (int)run.config->emu != only) || !program)
            continue;
        runs[count] = run;
        machines[count++] = machine_for(&run, program, dir);
    }
    return count;
}

/* --- the ablation: another tool's work --- */

static void gather_ablation(struct gathered *all, const char *dir, int parallel)
{
    char *json = xasprintf("%s/ablation.json", dir), *log = xasprintf("%s/ablation.log", dir);
    char *argv[] = {ABLATION,
                    "--emu=qemu",
                    xasprintf("--json=%s", json),
                    xasprintf("--dir=%s/ablation", dir),
                    xasprintf("-j%d", parallel),
                    NULL};
    fprintf(stderr, "Measuring the mechanisms of mode para; progress in %s\n", log);
    const int status = proc_run(argv, log);
    char *text = status ? NULL : read_file(json, NULL);
    all->ablation = text ? cJSON_Parse(text) : NULL;
    if (!all->ablation)
        problem(all, xasprintf("%s ended with status %d; see %s", ABLATION, status, log));
    free(text);
}

void gather(struct gathered *all, const char *dir, int only, bool quick, int parallel)
{
    struct gather_run runs[2 * FIGURE_RUNS];
    struct measure machines[2 * FIGURE_RUNS];
    memset(all, 0, sizeof(*all));
    const int count = plan_runs(runs, machines, dir, only, quick);
    fprintf(stderr, "Measuring Minnow's bench, %d runs, %d machines at a time:\n", count, parallel);
    measure_all(machines, count, parallel);
    for (int i = 0; i < count; i++)
        take_run(runs[i].unrepeated ? &all->unrepeated : &all->figures, &runs[i], &machines[i]);
    for (int i = 0; i < count; i++)
        check_run(all, &runs[i], &machines[i], quick);
    if (only != EMU_BOCHS && !quick)
        gather_ablation(all, dir, parallel);
}
