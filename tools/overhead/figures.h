/*
 * What was measured: for each configuration (an emulator, a mode, options) and each operation of
 * the guest's bench the ticks and the exits of one operation. Everything that the report says is
 * computed from this. Pure.
 */
#ifndef OVERHEAD_FIGURES_H
#define OVERHEAD_FIGURES_H

#include <stdbool.h>

#include "exit.h"
#include "lib/machine.h"

#define FIGURE_OPS 32
#define FIGURE_RUNS 24
#define FIGURE_NAME 24
#define FIGURE_EMPTY "empty" /* the operation that is the measurement around nothing */

struct op_figures {
    char name[FIGURE_NAME];
    char result[40]; /* what it computed: the same in every configuration */
    double n;        /* operations */
    double ticks;    /* of one operation: the median batch's, see plan.h's `whole` */
    bool marked;     /* the VMM counted exits */
    double exits[EXIT_REASON_COUNT]; /* of all n and of the measurement itself, as counted */
};

struct run_figures {
    enum emu_kind emu;
    enum run_mode mode;
    char config[FIGURE_NAME]; /* "svm+virtio": unique among those of an emulator */
    char options[40];         /* words of the VMM's command line */
    char cpu[40];             /* the emulator's name of the model */
    struct op_figures ops[FIGURE_OPS];
    int count;
};

struct figures {
    struct run_figures runs[FIGURE_RUNS];
    int count;
};

/* NULL: not measured. */
const struct run_figures *figures_run(const struct figures *f, enum emu_kind emu,
                                      const char *config);
const struct op_figures *figures_op(const struct figures *f, enum emu_kind emu, const char *config,
                                    const char *op);

/* The functions below give NAN for what was not measured. */

/* Ticks of one operation. */
double figures_ticks(const struct figures *f, enum emu_kind emu, const char *config,
                     const char *op);

/* Ticks as a multiple of those of another configuration. */
double figures_ratio(const struct figures *f, enum emu_kind emu, const char *config,
                     const char *base, const char *op);

/*
 * Exits of one operation, those of the measurement itself taken away: for one reason, or with
 * EXIT_REASON_COUNT for all. On the bare machine 0.
 */
double figures_exits(const struct figures *f, enum emu_kind emu, const char *config, const char *op,
                     enum exit_reason reason);

/* The geometric mean of figures_ratio() over all operations of a list that ends with NULL; NAN when
 * one of them was not measured: a mean of fewer would be of something else. */
double figures_mean_ratio(const struct figures *f, enum emu_kind emu, const char *config,
                          const char *base, const char *const *ops);

#endif
