/* Section 3: services of the kernel and what programs do, beside lmbench on Xen. */
#include "overhead/published.h"
#include "overhead/sections.h"

#define NATIVE "native"

typedef double value_fn(const struct figures *f, enum emu_kind emu, const char *config,
                        const char *op);

static double over_native(const struct figures *f, enum emu_kind emu, const char *config,
                          const char *op)
{
    return figures_ratio(f, emu, config, NATIVE, op);
}

/* All operations that are no single event, a column a configuration. Rows without figures are left
 * out. */
static void fill(struct table *t, const struct figures *f, enum emu_kind emu,
                 const char *const *configs, int count, value_fn *value)
{
    for (int i = 0; i < plan_op_count; i++) {
        bool known = false;
        if (plan_ops[i].class == OP_NANO)
            continue;
        for (int k = 0; k < count; k++)
            known |= value(f, emu, configs[k], plan_ops[i].name) > 0;
        if (!known)
            continue;
        table_row(t, "%s", plan_ops[i].name);
        for (int k = 0; k < count; k++)
            table_number(t, k, value(f, emu, configs[k], plan_ops[i].name));
    }
}

static struct table *by_config(const struct figures *f, enum emu_kind emu, const char *id,
                               const char *caption, enum cell_form form, const char *const *configs,
                               int count, value_fn *value)
{
    char *full_id = xasprintf("%s-%s", id, emu_names[emu]);
    struct table *t = table_new(full_id, "Workload", "%s: %s", emu_titles[emu], caption);
    for (int k = 0; k < count; k++)
        table_column(t, form, "%s", configs[k]);
    fill(t, f, emu, configs, count, value);
    return t;
}

static struct table *lmbench(const struct figures *f, enum emu_kind emu)
{
    const char *configs[PLOT_SERIES];
    const int count = sections_configs(f, emu, false, configs);
    char *id = xasprintf("lmbench-%s", emu_names[emu]);
    struct table *t =
        table_new(id, "lmbench, and Minnow's bench",
                  "%s: multiples of native, in ticks; published ones in time", emu_titles[emu]);
    for (int k = 0; k < count; k++)
        table_column(t, CELL_RATIO, "%s", configs[k]);
    const int xen = table_column(t, CELL_RATIO, "published: Xen"),
              vmware = table_column(t, CELL_RATIO, "published: VMware Workstation"),
              uml = table_column(t, CELL_RATIO, "published: UML"),
              native = table_column(t, CELL_DECIMAL, "published: native, \xC2\xB5s");
    for (int i = 0; i < published_lmbench_count; i++) {
        const struct published_lmbench *p = &published_lmbench[i];
        table_row(t, "%s, %s", p->theirs, p->ours);
        for (int k = 0; k < count; k++)
            table_number(t, k, over_native(f, emu, configs[k], p->ours));
        table_number(t, xen, p->xen / p->native);
        table_number(t, vmware, p->vmware / p->native);
        table_number(t, uml, p->uml / p->native);
        table_number(t, native, p->native);
    }
    return t;
}

void section_programs(struct document *d, enum emu_kind emu)
{
    const struct figures *f = d->figures;
    const char *configs[PLOT_SERIES];
    int count = sections_configs(f, emu, true, configs);
    if (!count)
        return;
    document_add(d, "programs",
                 by_config(f, emu, "programs-ticks", "ticks of one operation", CELL_COUNT, configs,
                           count, figures_ticks));
    count = sections_configs(f, emu, false, configs);
    document_plot(document_add(d, "programs",
                               by_config(f, emu, "programs-ratios", "multiples of native",
                                         CELL_RATIO, configs, count, over_native)),
                  PLOT_DOTS, 0, count,
                  xasprintf("%s: services and programs as multiples of native", emu_titles[emu]),
                  "times native, logarithmic",
                  "A row for each workload, a point for each configuration. The dashed line at 1 "
                  "is the bare machine. All values are in the table below.");
    document_plot(document_add(d, "programs", lmbench(f, emu)), PLOT_DOTS, 0, count + 3,
                  xasprintf("%s beside lmbench on Xen, as multiples of native", emu_titles[emu]),
                  "times native, logarithmic",
                  "Four services of the kernel: Trivisor's configurations in ticks, and Xen, "
                  "VMware Workstation and user-mode Linux as published in 2003. All values are in "
                  "the table below.");
}

struct table *section_unrepeated(const struct figures *unrepeated)
{
    struct table *t =
        table_new("unrepeated", "Workload", "QEMU, native: ticks of one operation in this one run");
    const int ticks = table_column(t, CELL_COUNT, "ticks");
    for (int i = 0; i < plan_op_count; i++) {
        const char *op = plan_ops[i].name;
        if (!figures_op(unrepeated, EMU_QEMU, NATIVE, op))
            continue;
        table_row(t, "%s", op);
        table_number(t, ticks, figures_ticks(unrepeated, EMU_QEMU, NATIVE, op));
    }
    if (table_used(t))
        return t;
    table_free(t);
    return NULL;
}
