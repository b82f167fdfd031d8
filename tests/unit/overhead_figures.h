/* Figures made up for the tests of the overhead report: what they say is not what was measured. */
#ifndef TESTS_OVERHEAD_FIGURES_H
#define TESTS_OVERHEAD_FIGURES_H

#include <string.h>

#include "lib/machine.h"
#include "overhead/figures.h"

static inline struct run_figures *add_run(struct figures *f, enum emu_kind emu, enum run_mode mode,
                                          const char *config)
{
    struct run_figures *run = &f->runs[f->count++];
    memset(run, 0, sizeof(*run));
    run->emu = emu;
    run->mode = mode;
    strcpy(run->config, config);
    return run;
}

/* An operation that ran once; its exits are those of `reason`. */
static inline struct op_figures *add_op(struct run_figures *run, const char *name, double ticks,
                                        enum exit_reason reason, double exits)
{
    struct op_figures *op = &run->ops[run->count++];
    memset(op, 0, sizeof(*op));
    strcpy(op->name, name);
    op->n = 1;
    op->ticks = ticks;
    op->marked = run->mode != MODE_NATIVE;
    op->exits[reason] = exits;
    return op;
}

#endif
