/* Section 2: single events, beside the figures of Adams and Agesen. */
#include <math.h>
#include <string.h>

#include "overhead/published.h"
#include "overhead/sections.h"

#define NATIVE "native"

static const struct published_nano *published_for(const char *op)
{
    for (int i = 0; i < published_nano_count; i++) {
        if (!strcmp(published_nano[i].ours, op))
            return &published_nano[i];
    }
    return NULL;
}

/* Theirs first, in the paper's order, then those that only Minnow's bench has. */
static int operations(const char *ops[FIGURE_OPS])
{
    int count = 0;
    for (int i = 0; i < published_nano_count; i++)
        ops[count++] = published_nano[i].ours;
    for (int i = 0; i < plan_op_count; i++) {
        const struct plan_op *op = &plan_ops[i];
        if (op->class == OP_NANO && strcmp(op->name, FIGURE_EMPTY) && !published_for(op->name))
            ops[count++] = op->name;
    }
    return count;
}

static void published_cell(struct table *t, int column, double number, const char *words)
{
    table_number(t, column, number);
    if (words)
        table_text(t, column, "%s", words);
}

static void row_name(struct table *t, const char *op)
{
    const struct published_nano *p = published_for(op);
    if (p)
        table_row(t, "%s (theirs: %s)", op, p->theirs);
    else
        table_row(t, "%s", op);
}

static struct table *ticks(const struct figures *f, enum emu_kind emu, const char *const *configs,
                           int config_count, const char *const *ops, int op_count)
{
    struct table *t = table_new(xasprintf("nano-ticks-%s", emu_names[emu]), "Operation",
                                "%s: ticks of one operation, and the cycles that were published",
                                emu_titles[emu]);
    int columns[PLOT_SERIES];
    for (int k = 0; k < config_count; k++)
        columns[k] = table_column(t, CELL_COUNT, "%s", configs[k]);
    const int native = table_column(t, CELL_COUNT, "published: native, cycles"),
              software = table_column(t, CELL_COUNT, "published: software VMM, cycles"),
              hardware = table_column(t, CELL_COUNT, "published: hardware VMM, cycles");
    for (int i = 0; i < op_count; i++) {
        const struct published_nano *p = published_for(ops[i]);
        row_name(t, ops[i]);
        for (int k = 0; k < config_count; k++)
            table_number(t, columns[k], figures_ticks(f, emu, configs[k], ops[i]));
        if (p) {
            table_number(t, native, p->native);
            published_cell(t, software, p->software, p->software_words);
            published_cell(t, hardware, p->hardware, p->hardware_words);
        }
    }
    return t;
}

static struct table *ratios(const struct figures *f, enum emu_kind emu, const char *const *configs,
                            int config_count, const char *const *ops, int op_count)
{
    struct table *t =
        table_new(xasprintf("nano-ratios-%s", emu_names[emu]), "Operation",
                  "%s: multiples of native, in ticks; published ones in cycles", emu_titles[emu]);
    int columns[PLOT_SERIES];
    for (int k = 0; k < config_count; k++)
        columns[k] = table_column(t, CELL_RATIO, "%s", configs[k]);
    const int software = table_column(t, CELL_RATIO, "published: software VMM"),
              hardware = table_column(t, CELL_RATIO, "published: hardware VMM");
    for (int i = 0; i < op_count; i++) {
        const struct published_nano *p = published_for(ops[i]);
        row_name(t, ops[i]);
        for (int k = 0; k < config_count; k++)
            table_number(t, columns[k], figures_ratio(f, emu, configs[k], NATIVE, ops[i]));
        if (p) {
            table_number(t, software, p->software / p->native);
            table_number(t, hardware, p->hardware / p->native);
        }
    }
    return t;
}

void section_nano(struct document *d, enum emu_kind emu)
{
    const char *configs[PLOT_SERIES], *ops[FIGURE_OPS];
    const int op_count = operations(ops);
    int count = sections_configs(d->figures, emu, true, configs);
    if (!count)
        return;
    document_add(d, "nano", ticks(d->figures, emu, configs, count, ops, op_count));
    count = sections_configs(d->figures, emu, false, configs);
    document_plot(
        document_add(d, "nano", ratios(d->figures, emu, configs, count, ops, op_count)), PLOT_DOTS,
        0, count + 2, xasprintf("%s: single events as multiples of native", emu_titles[emu]),
        "times native, logarithmic",
        "A row for each operation, a point for each configuration and for the software and the "
        "hardware VMM of Adams and Agesen. The dashed line at 1 is the bare machine; points on its "
        "right cost more. All values are in the table below.");
}
