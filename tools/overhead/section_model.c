/* Section 6: the cost model, and section 8: efficiency. */
#include <math.h>
#include <string.h>

#include "overhead/model.h"
#include "overhead/published.h"
#include "overhead/sections.h"

void section_costs(struct document *d)
{
    struct table *t = table_new("costs", "CPU", "Published cycles that the model uses");
    const int cycles = table_column(t, CELL_COUNT, "cycles"),
              event = table_column(t, CELL_TEXT, "of what"),
              source = table_column(t, CELL_TEXT, "source");
    for (int i = 0; i < published_cpu_count; i++) {
        const struct published_cpu *cpu = &published_cpus[i];
        table_row(t, "%s", cpu->name);
        table_number(t, cycles, cpu->cycles);
        table_text(t, event, "%s exit and entry", cpu->mode == MODE_VTX ? "VT-x" : "AMD-V");
        table_text(t, source, "%s", cpu->source);
    }
    table_row(t, "Pentium 4, e");
    table_number(t, cycles, PUBLISHED_EXCEPTION);
    table_text(t, event, "native exception, to its handler and back");
    table_text(t, source, "%s: divzero", SOURCE_ADAMS);
    table_row(t, "Pentium 4, p");
    table_number(t, cycles, PUBLISHED_PAGE_FAULT);
    table_text(t, event, "native page fault, to its handler and back");
    table_text(t, source, "%s: pgfault", SOURCE_ADAMS);
    document_add(d, "model", t);
}

static bool modelled(const struct plan_op *op)
{
    return op->class != OP_NANO;
}

/* Could the configuration run there? */
static bool fits(const struct published_cpu *cpu, const char *config, enum run_mode mode)
{
    return cpu->mode == mode && (cpu->nested || strstr(config, "shadow"));
}

/* A hardware mode on the CPUs whose exits are published. */
static void hardware(struct document *d, enum emu_kind emu, const char *config, enum run_mode mode)
{
    char *id = xasprintf("model-%s-%s", emu_names[emu], config);
    struct table *t = table_new(id, "Workload", "%s, %s, modelled: multiples of native in cycles",
                                emu_titles[emu], config);
    int columns[TABLE_COLUMNS];
    const int measured = table_column(t, CELL_RATIO, "as measured, exits free");
    for (int i = 0; i < published_cpu_count; i++) {
        if (fits(&published_cpus[i], config, mode))
            columns[i] = table_column(t, CELL_RATIO, "%s", published_cpus[i].name);
    }
    for (int i = 0; i < plan_op_count; i++) {
        const char *op = plan_ops[i].name;
        const double ratio = figures_ratio(d->figures, emu, config, "native", op);
        if (!modelled(&plan_ops[i]) || isnan(ratio))
            continue;
        table_row(t, "%s", op);
        table_number(t, measured, ratio);
        for (int k = 0; k < published_cpu_count; k++) {
            if (fits(&published_cpus[k], config, mode))
                table_number(t, columns[k],
                             model_hardware(d->figures, emu, config, op, published_cpus[k].cycles));
        }
    }
    document_plot(
        document_add(d, "model", t), PLOT_DOTS, 0, t->column_count,
        xasprintf("Modelled: %s (counted in %s), as multiples of native", config, emu_titles[emu]),
        "times native, modelled, logarithmic",
        "A row for each workload, a point for each CPU whose cost of an exit was "
        "published. The dashed line at 1 is the bare machine. All values are in the "
        "table below.");
}

static void software(struct document *d, enum emu_kind emu)
{
    static const char *const configs[] = {"trap", "para"};
    struct table *t = table_new(xasprintf("model-%s-software", emu_names[emu]), "Workload",
                                "%s, software modes, modelled on a Pentium 4: multiples of native "
                                "in cycles",
                                emu_titles[emu]);
    for (unsigned k = 0; k < ARRAY_LEN(configs); k++) {
        table_column(t, CELL_RATIO, "%s as measured, exits free", configs[k]);
        table_column(t, CELL_RATIO, "%s, modelled", configs[k]);
    }
    for (int i = 0; i < plan_op_count; i++) {
        const char *op = plan_ops[i].name;
        if (!modelled(&plan_ops[i]) || isnan(figures_ratio(d->figures, emu, "trap", "native", op)))
            continue;
        table_row(t, "%s", op);
        for (int k = 0; k < (int)ARRAY_LEN(configs); k++) {
            table_number(t, 2 * k, figures_ratio(d->figures, emu, configs[k], "native", op));
            table_number(t, 2 * k + 1,
                         model_software(d->figures, emu, configs[k], op, PUBLISHED_EXCEPTION,
                                        PUBLISHED_PAGE_FAULT));
        }
    }
    document_add(d, "model", t);
}

void section_model(struct document *d, enum emu_kind emu)
{
    if (emu == EMU_BOCHS) {
        hardware(d, emu, "vtx", MODE_VTX);
        hardware(d, emu, "vtx-shadow", MODE_VTX);
        hardware(d, emu, "vtx+virtio", MODE_VTX);
        hardware(d, emu, "svm", MODE_SVM);
    } else {
        hardware(d, emu, "svm", MODE_SVM);
        hardware(d, emu, "svm-shadow", MODE_SVM);
        hardware(d, emu, "svm+virtio", MODE_SVM);
    }
    software(d, emu);
}

void section_efficiency(struct document *d, enum emu_kind emu)
{
    const char *configs[PLOT_SERIES];
    const int count = sections_configs(d->figures, emu, false, configs);
    struct table *t = table_new(xasprintf("efficiency-%s", emu_names[emu]), "Workload",
                                "%s: guest instructions that ran directly, at least; and the "
                                "VMM's share of all ticks",
                                emu_titles[emu]);
    for (int k = 0; k < count; k++)
        table_column(t, CELL_PERCENT, "%s: direct", configs[k]);
    for (int k = 0; k < count; k++)
        table_column(t, CELL_PERCENT, "%s: VMM", configs[k]);
    for (int i = 0; i < plan_op_count; i++) {
        const char *op = plan_ops[i].name;
        if (!modelled(&plan_ops[i]) || isnan(figures_ticks(d->figures, emu, "native", op)))
            continue;
        table_row(t, "%s", op);
        for (int k = 0; k < count; k++) {
            /* With virtio the guest runs another driver than natively. */
            if (plan_ops[i].class == OP_DISK && plan_virtio(plan_config(emu, configs[k])))
                continue;
            table_number(t, k, 100 * model_direct_share(d->figures, emu, configs[k], op));
            table_number(t, count + k, 100 * model_vmm_share(d->figures, emu, configs[k], op));
        }
    }
    document_add(d, "efficiency", t);
}
