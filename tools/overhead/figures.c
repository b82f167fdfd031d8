#include "overhead/figures.h"

#include <math.h>
#include <string.h>

const struct run_figures *figures_run(const struct figures *f, enum emu_kind emu,
                                      const char *config)
{
    for (int i = 0; i < f->count; i++) {
        if (f->runs[i].emu == emu && !strcmp(f->runs[i].config, config))
            return &f->runs[i];
    }
    return NULL;
}

static const struct op_figures *op_of(const struct run_figures *run, const char *op)
{
    for (int i = 0; run && i < run->count; i++) {
        if (!strcmp(run->ops[i].name, op) && run->ops[i].n > 0)
            return &run->ops[i];
    }
    return NULL;
}

const struct op_figures *figures_op(const struct figures *f, enum emu_kind emu, const char *config,
                                    const char *op)
{
    return op_of(figures_run(f, emu, config), op);
}

double figures_ticks(const struct figures *f, enum emu_kind emu, const char *config, const char *op)
{
    const struct op_figures *o = figures_op(f, emu, config, op);
    return o ? o->ticks : NAN;
}

double figures_ratio(const struct figures *f, enum emu_kind emu, const char *config,
                     const char *base, const char *op)
{
    const double below = figures_ticks(f, emu, base, op);
    return below > 0 ? figures_ticks(f, emu, config, op) / below : NAN;
}

/* The marks stand around all batches of an operation, so what `empty` counted between its own marks
 * is taken away once. */
static double net(const struct op_figures *op, const struct op_figures *empty, int reason)
{
    const double around = empty && empty->marked ? empty->exits[reason] : 0;
    return op->exits[reason] > around ? (op->exits[reason] - around) / op->n : 0;
}

double figures_exits(const struct figures *f, enum emu_kind emu, const char *config, const char *op,
                     enum exit_reason reason)
{
    const struct run_figures *run = figures_run(f, emu, config);
    const struct op_figures *o = op_of(run, op), *empty = op_of(run, FIGURE_EMPTY);
    double sum = 0;
    if (!o)
        return NAN;
    if (run->mode == MODE_NATIVE)
        return 0;
    if (!o->marked)
        return NAN;
    if (reason != EXIT_REASON_COUNT)
        return net(o, empty, (int)reason);
    for (int i = 0; i < EXIT_REASON_COUNT; i++)
        sum += net(o, empty, i);
    return sum;
}

double figures_mean_ratio(const struct figures *f, enum emu_kind emu, const char *config,
                          const char *base, const char *const *ops)
{
    double sum = 0;
    int count = 0;
    for (; *ops; ops++, count++) {
        const double ratio = figures_ratio(f, emu, config, base, *ops);
        if (!(ratio > 0))
            return NAN;
        sum += log(ratio);
    }
    return count ? exp(sum / count) : NAN;
}
