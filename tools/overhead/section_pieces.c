/* Section 5: what the pieces are worth: the mechanisms of para, the kind of paging, the devices. */
#include <math.h>
#include <string.h>

#include "lib/records.h"
#include "overhead/sections.h"

#define PARA "para"
#define WITHOUT "without "
#define MATTERS 5 /* per cent: mechanisms that never reach it are not in the plot */

/* --- the ablation of para, as tv-ablation measured it --- */

static const cJSON *list_of(const cJSON *json, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(json, key);
}

/* What a configuration adds, in per cent of full para; NAN: not measured. */
static double added(const cJSON *config, const char *workload)
{
    const cJSON *one = list_of(list_of(config, "workloads"), workload);
    return 100 * (record_number(one, "factor", NAN) - 1);
}

static const cJSON *full_para(const cJSON *ablation)
{
    const cJSON *config;
    cJSON_ArrayForEach(config, list_of(ablation, "configurations"))
    {
        const char *name = record_string(config, "name");
        if (name && !strcmp(name, PARA))
            return config;
    }
    return NULL;
}

static struct table *worths(const cJSON *ablation)
{
    const cJSON *config, *workload, *para = list_of(full_para(ablation), "workloads");
    struct table *t = table_new("ablation", "Workload",
                                "QEMU: what leaving out one mechanism of para adds, in per cent of "
                                "full para");
    const int ticks = table_column(t, CELL_COUNT, "full para, ticks");
    cJSON_ArrayForEach(config, list_of(ablation, "configurations"))
    {
        const char *name = record_string(config, "name");
        if (name && !strncmp(name, WITHOUT, strlen(WITHOUT)))
            table_column(t, CELL_SIGNED, "%s", name + strlen(WITHOUT));
    }
    cJSON_ArrayForEach(workload, para)
    {
        int column = ticks;
        table_row(t, "%s", workload->string);
        table_number(t, ticks, record_number(workload, "ticks", NAN));
        cJSON_ArrayForEach(config, list_of(ablation, "configurations"))
        {
            const char *name = record_string(config, "name");
            if (name && !strncmp(name, WITHOUT, strlen(WITHOUT)))
                table_number(t, ++column, added(config, workload->string));
        }
    }
    return t;
}

/* What the words stand for. */
static struct table *mechanisms(const cJSON *ablation)
{
    const cJSON *word;
    struct table *t = table_new("mechanisms", "Mechanism", "The mechanisms of mode para");
    const int what = table_column(t, CELL_TEXT, "What it does");
    const int largest = table_column(t, CELL_SIGNED, "Most that leaving it out adds");
    cJSON_ArrayForEach(word, list_of(ablation, "mechanisms"))
    {
        const cJSON *one, *workload;
        double most = NAN;
        cJSON_ArrayForEach(workload, list_of(ablation, "worth"))
        {
            cJSON_ArrayForEach(one, workload)
            {
                const char *name = record_string(one, "mechanism");
                const double percent = record_number(one, "percent", NAN);
                if (name && !strcmp(name, word->string) && !(percent <= most))
                    most = percent;
            }
        }
        table_row(t, "%s", word->string);
        table_text(t, what, "%s", cJSON_IsString(word) ? word->valuestring : "");
        table_number(t, largest, most);
    }
    return t;
}

/* The same as multiples, of the mechanisms that matter anywhere: a plot with a logarithmic axis. */
static struct table *factors(const struct table *worths)
{
    struct table *t = table_new("ablation-factors", "Workload",
                                "QEMU: multiples of full para, of the mechanisms that matter");
    int from[TABLE_COLUMNS], count = 0;
    for (int k = 1; k < worths->column_count; k++) {
        double most = 0;
        for (int i = 0; i < worths->row_count; i++)
            most = fmax(most, worths->rows[i].cells[k].number);
        if (most < MATTERS)
            continue;
        table_column(t, CELL_RATIO, WITHOUT "%s", worths->columns[k].head);
        from[count++] = k;
    }
    for (int i = 0; i < worths->row_count; i++) {
        table_row(t, "%s", worths->rows[i].head);
        for (int k = 0; k < count; k++)
            table_number(t, k, 1 + worths->rows[i].cells[from[k]].number / 100);
    }
    return t;
}

void section_ablation(struct document *d)
{
    if (!d->ablation)
        return;
    struct table *all = worths(d->ablation), *some = factors(all);
    document_add(d, "ablation", mechanisms(d->ablation));
    document_plot(document_add(d, "ablation", some), PLOT_DOTS, 0, some->column_count,
                  "QEMU: para with mechanisms left out, as multiples of full para",
                  "times full para, logarithmic",
                  "A row for each workload, a point for each mechanism left out alone and for all "
                  "left out. The dashed line at 1 is full para. All values are in the tables "
                  "below.");
    document_add(d, "ablation", all);
}

/* --- shadow against nested paging --- */

static double exits_of(const struct document *d, enum emu_kind emu, const char *config,
                       const char *op)
{
    return figures_exits(d->figures, emu, config, op, EXIT_REASON_COUNT);
}

static void paging(struct document *d, enum emu_kind emu)
{
    const char *nested = plan_hardware(emu);
    char *shadow = xasprintf("%s-shadow", nested), *id = xasprintf("paging-%s", emu_names[emu]);
    struct table *t =
        table_new(id, "Workload", "%s, %s: nested against shadow paging", emu_titles[emu], nested);
    const int ratio = table_column(t, CELL_RATIO, "shadow, times nested"),
              a = table_column(t, CELL_COUNT, "nested, ticks"),
              b = table_column(t, CELL_COUNT, "shadow, ticks"),
              x = table_column(t, CELL_DECIMAL, "nested, exits"),
              y = table_column(t, CELL_DECIMAL, "shadow, exits");
    for (int i = 0; i < plan_op_count; i++) {
        const char *op = plan_ops[i].name;
        if (!(figures_ticks(d->figures, emu, shadow, op) > 0))
            continue;
        table_row(t, "%s", op);
        table_number(t, ratio, figures_ratio(d->figures, emu, shadow, nested, op));
        table_number(t, a, figures_ticks(d->figures, emu, nested, op));
        table_number(t, b, figures_ticks(d->figures, emu, shadow, op));
        table_number(t, x, exits_of(d, emu, nested, op));
        table_number(t, y, exits_of(d, emu, shadow, op));
    }
    document_add(d, "paging", t);
}

/* --- the same disk by two ways --- */

struct way {
    const char *mode, *ata, *virtio; /* configurations */
};

static void disk_row(struct document *d, enum emu_kind emu, struct table *t, const struct way *way,
                     const char *op)
{
    const struct figures *f = d->figures;
    const double ata = figures_ticks(f, emu, way->ata, op),
                 virtio = figures_ticks(f, emu, way->virtio, op);
    if (isnan(ata) && isnan(virtio))
        return;
    table_row(t, "%s, %s", op, way->mode);
    table_number(t, 0, ata);
    table_number(t, 1, virtio);
    table_number(t, 2, ata / virtio);
    table_number(t, 3, exits_of(d, emu, way->ata, op));
    table_number(t, 4, exits_of(d, emu, way->virtio, op));
}

static void disk(struct document *d, enum emu_kind emu)
{
    const char *hardware = plan_hardware(emu);
    const struct way ways[] = {{"trap", "trap", "trap+virtio"},
                               {"para", "para+ata", "para"},
                               {hardware, hardware, xasprintf("%s+virtio", hardware)}};
    struct table *t = table_new(xasprintf("disk-%s", emu_names[emu]), "Workload, mode",
                                "%s: one disk, by an ATA drive and by virtio", emu_titles[emu]);
    table_column(t, CELL_COUNT, "ATA, ticks");
    table_column(t, CELL_COUNT, "virtio, ticks");
    table_column(t, CELL_RATIO, "ATA, times virtio");
    table_column(t, CELL_DECIMAL, "ATA, exits");
    table_column(t, CELL_DECIMAL, "virtio, exits");
    for (int i = 0; i < plan_op_count; i++) {
        for (unsigned k = 0; k < ARRAY_LEN(ways) && plan_ops[i].class == OP_DISK; k++)
            disk_row(d, emu, t, &ways[k], plan_ops[i].name);
    }
    document_plot(
        document_add(d, "disk", t), PLOT_DOTS, 2, 1,
        xasprintf("%s: the disk's ticks by ATA as multiples of those by virtio", emu_titles[emu]),
        "ATA, times virtio, logarithmic",
        "A row for each workload of the disk in each mode. A point on the right of the "
        "dashed line at 1: virtio is cheaper. All values are in the table below.");
}

void section_pieces(struct document *d, enum emu_kind emu)
{
    paging(d, emu);
    disk(d, emu);
}
