/* Section 4: why the guest leaves, workload by workload. */
#include <math.h>
#include <string.h>

#include "lib/exit_names.h"
#include "overhead/sections.h"

#define SEEN 0.005 /* exits of an operation that are shown */
#define BASE "trap"

/* Groups for a plot that can be read; the table below it has every reason. */
enum group { CALLS, OWN_FAULTS, PAGING, FLAGS, INTERRUPTS, DEVICES, HYPERCALLS, OTHER, GROUPS };

static const char *const group_names[GROUPS] = {
    [CALLS] = "system calls, returns",    [OWN_FAULTS] = "exceptions of the guest",
    [PAGING] = "page tables, CR",         [FLAGS] = "interrupt flag",
    [INTERRUPTS] = "interrupts, waiting", [DEVICES] = "devices",
    [HYPERCALLS] = "hypercalls",          [OTHER] = "other",
};

static enum group group_of(enum exit_reason reason)
{
    switch (reason) {
    case EXIT_SOFT_INT:
    case EXIT_IRET:
    case EXIT_PV_IRET:
        return CALLS;
    case EXIT_EXCEPTION:
        return OWN_FAULTS;
    case EXIT_SHADOW_FILL:
    case EXIT_NESTED_FAULT:
    case EXIT_NESTED_FILL:
    case EXIT_TRACED_WRITE:
    case EXIT_INVLPG:
    case EXIT_CR:
        return PAGING;
    case EXIT_FLAGS:
        return FLAGS;
    case EXIT_HLT:
    case EXIT_IRQ_WINDOW:
    case EXIT_HOST_IRQ:
        return INTERRUPTS;
    case EXIT_IO:
    case EXIT_MMIO:
        return DEVICES;
    case EXIT_HYPERCALL:
        return HYPERCALLS;
    default:
        return OTHER;
    }
}

static double group_exits(const struct figures *f, enum emu_kind emu, const char *config,
                          const char *op, enum group group)
{
    double sum = 0;
    for (int i = 0; i < EXIT_REASON_COUNT; i++) {
        if (group_of((enum exit_reason)i) == group)
            sum += figures_exits(f, emu, config, op, (enum exit_reason)i);
    }
    return sum;
}

static double all_exits(const struct figures *f, enum emu_kind emu, const char *config,
                        const char *op)
{
    return figures_exits(f, emu, config, op, EXIT_REASON_COUNT);
}

/* Groups as parts of what mode trap needs for the same work: workloads that differ by thousands fit
 * into one plot. */
static struct table *shares(const struct figures *f, enum emu_kind emu, const char *const *configs,
                            int count)
{
    char *id = xasprintf("exits-groups-%s", emu_names[emu]);
    struct table *t = table_new(id, "Workload, configuration",
                                "%s: exits by kind, in per cent of all exits that mode trap needs",
                                emu_titles[emu]);
    for (int g = 0; g < GROUPS; g++)
        table_column(t, CELL_PERCENT, "%s", group_names[g]);
    const int all = table_column(t, CELL_PERCENT, "all");
    for (int i = 0; i < plan_op_count; i++) {
        const char *op = plan_ops[i].name;
        const double base = all_exits(f, emu, BASE, op);
        if (plan_ops[i].class == OP_NANO || !(base >= SEEN))
            continue;
        for (int k = 0; k < count; k++) {
            if (isnan(all_exits(f, emu, configs[k], op)))
                continue;
            table_row(t, "%s, %s", op, configs[k]);
            for (int g = 0; g < GROUPS; g++)
                table_number(t, g, 100 * group_exits(f, emu, configs[k], op, (enum group)g) / base);
            table_number(t, all, 100 * all_exits(f, emu, configs[k], op) / base);
        }
    }
    return t;
}

/* Does any operation of an emulator cause exits of the reason? */
static bool occurs(const struct figures *f, enum emu_kind emu, const char *const *configs,
                   int count, enum exit_reason reason)
{
    for (int i = 0; i < plan_op_count; i++) {
        for (int k = 0; k < count; k++) {
            if (figures_exits(f, emu, configs[k], plan_ops[i].name, reason) >= SEEN)
                return true;
        }
    }
    return false;
}

static struct table *reasons(const struct figures *f, enum emu_kind emu, const char *const *configs,
                             int count)
{
    int columns[EXIT_REASON_COUNT];
    char *id = xasprintf("exits-reasons-%s", emu_names[emu]);
    struct table *t = table_new(id, "Workload, configuration",
                                "%s: exits of one operation by reason", emu_titles[emu]);
    const int all = table_column(t, CELL_DECIMAL, "all");
    for (int r = 0; r < EXIT_REASON_COUNT; r++) {
        const bool kept = occurs(f, emu, configs, count, (enum exit_reason)r);
        columns[r] = kept ? table_column(t, CELL_DECIMAL, "%s", exit_names[r]) : -1;
    }
    for (int i = 0; i < plan_op_count; i++) {
        for (int k = 0; k < count; k++) {
            const char *op = plan_ops[i].name;
            if (!(all_exits(f, emu, configs[k], op) >= SEEN))
                continue;
            table_row(t, "%s, %s", op, configs[k]);
            table_number(t, all, all_exits(f, emu, configs[k], op));
            for (int r = 0; r < EXIT_REASON_COUNT; r++) {
                const double n = figures_exits(f, emu, configs[k], op, (enum exit_reason)r);
                if (columns[r] >= 0 && n >= SEEN)
                    table_number(t, columns[r], n);
            }
        }
    }
    return t;
}

void section_exits(struct document *d, enum emu_kind emu)
{
    const char *configs[PLOT_SERIES];
    const int count = sections_configs(d->figures, emu, false, configs);
    if (!count)
        return;
    document_plot(
        document_add(d, "exits", shares(d->figures, emu, configs, count)), PLOT_STACKED, 0, GROUPS,
        xasprintf("%s: exits by kind, mode trap being 100 %%", emu_titles[emu]),
        "per cent of the exits of mode trap",
        "A bar for each workload in each configuration; its parts are kinds of exits. A "
        "bar of 100 per cent has as many exits as mode trap for the same work. All values "
        "are in the table below.");
    struct entry *entry = document_add(d, "exits", reasons(d->figures, emu, configs, count));
    if (entry)
        entry->folded = true;
}
