#include "overhead/sections.h"

#include <stdio.h>
#include <string.h>

struct entry *document_add(struct document *d, const char *section, struct table *table)
{
    if (table_used(table))
        return document_keep(d, section, table);
    table_free(table);
    return NULL;
}

struct entry *document_keep(struct document *d, const char *section, struct table *table)
{
    if (d->count == SECTION_TABLES)
        die(1, "more than %d tables", SECTION_TABLES);
    struct entry *entry = &d->entries[d->count++];
    *entry = (struct entry){.table = table, .section = section};
    return entry;
}

void document_plot(struct entry *entry, enum plot_kind kind, int first, int count,
                   const char *title, const char *axis, const char *description)
{
    if (!entry)
        return;
    entry->plot = (struct plot){.kind = kind,
                                .table = entry->table,
                                .title = title,
                                .axis = axis,
                                .description = description};
    for (int k = first; k < first + count && entry->plot.series_count < PLOT_SERIES; k++)
        entry->plot.series[entry->plot.series_count++] = k;
}

int sections_configs(const struct figures *f, enum emu_kind emu, bool native,
                     const char *names[PLOT_SERIES])
{
    int count = 0;
    for (int i = 0; i < plan_config_count; i++) {
        const struct plan_config *config = &plan_configs[i];
        if (config->emu == emu && !config->disk_only && (native || config->mode != MODE_NATIVE) &&
            count < PLOT_SERIES && figures_run(f, emu, config->name))
            names[count++] = config->name;
    }
    return count;
}

/* The configurations themselves. */
void section_how(struct document *d)
{
    struct table *t = table_new("configurations", "Configuration", "What was run");
    const int emu = table_column(t, CELL_TEXT, "Emulator"),
              mode = table_column(t, CELL_TEXT, "Mode"),
              options = table_column(t, CELL_TEXT, "Options"),
              cpu = table_column(t, CELL_TEXT, "CPU model"),
              what = table_column(t, CELL_TEXT, "What it is"),
              ops = table_column(t, CELL_COUNT, "Workloads");
    for (int i = 0; i < plan_config_count; i++) {
        const struct plan_config *config = &plan_configs[i];
        const struct run_figures *run = figures_run(d->figures, config->emu, config->name);
        if (!run)
            continue;
        table_row(t, "%s", config->name);
        table_text(t, emu, "%s", emu_titles[run->emu]);
        table_text(t, mode, "%s", mode_names[run->mode]);
        table_text(t, options, "%s", run->options);
        table_text(t, cpu, "%s", run->cpu);
        table_text(t, what, "%s", config->what);
        table_number(t, ops, run->count);
    }
    document_add(d, "how", t);
}

void sections_build(struct document *d)
{
    section_how(d);
    for (int e = 0; e < EMU_KINDS; e++)
        section_nano(d, (enum emu_kind)e);
    for (int e = 0; e < EMU_KINDS; e++)
        section_programs(d, (enum emu_kind)e);
    for (int e = 0; e < EMU_KINDS; e++)
        section_exits(d, (enum emu_kind)e);
    section_ablation(d);
    for (int e = 0; e < EMU_KINDS; e++)
        section_pieces(d, (enum emu_kind)e);
    section_costs(d);
    for (int e = 0; e < EMU_KINDS; e++)
        section_model(d, (enum emu_kind)e);
    for (int e = 0; e < EMU_KINDS; e++)
        section_claims(d, (enum emu_kind)e);
    for (int e = 0; e < EMU_KINDS; e++)
        section_efficiency(d, (enum emu_kind)e);
}
