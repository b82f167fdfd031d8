/* The report's tables, section by section, made of the figures. */
#ifndef OVERHEAD_SECTIONS_H
#define OVERHEAD_SECTIONS_H

#include <cjson/cJSON.h>

#include "overhead/figures.h"
#include "overhead/plan.h"
#include "overhead/plot.h"
#include "overhead/table.h"

#define SECTION_TABLES 60

/* Tables and plots in the order of the page. A table that has no figure at all is not kept. */
struct document {
    struct entry {
        struct table *table;
        struct plot plot;    /* .table NULL: there is none */
        const char *section; /* "nano": the id of its section */
        bool folded;         /* shown when asked for */
    } entries[SECTION_TABLES];
    int count;
    const struct figures *figures;
    const cJSON *ablation; /* what tv-ablation wrote, or NULL */
};

/* Keep a table, or free it when there is nothing in it. Returns the entry or NULL. */
struct entry *document_add(struct document *d, const char *section, struct table *table);

/* Keep a table of words. */
struct entry *document_keep(struct document *d, const char *section, struct table *table);

/* Give an entry a plot of its columns from `first` on, at most PLOT_SERIES of them. */
void document_plot(struct entry *entry, enum plot_kind kind, int first, int count,
                   const char *title, const char *axis, const char *description);

/* All sections, of both emulators. */
void sections_build(struct document *d);

void section_how(struct document *d);
void section_nano(struct document *d, enum emu_kind emu);
void section_programs(struct document *d, enum emu_kind emu);
void section_exits(struct document *d, enum emu_kind emu);
void section_ablation(struct document *d);
void section_pieces(struct document *d, enum emu_kind emu);
void section_model(struct document *d, enum emu_kind emu);
void section_costs(struct document *d);
void section_claims(struct document *d, enum emu_kind emu);
void section_efficiency(struct document *d, enum emu_kind emu);

/* The configurations of an emulator that were measured, without those for the disk only and, unless
 * asked for, without native. Returns how many (at most PLOT_SERIES). */
int sections_configs(const struct figures *f, enum emu_kind emu, bool native,
                     const char *names[PLOT_SERIES]);

/* What does not repeat, in a table of its own; NULL: nothing was measured. */
struct table *section_unrepeated(const struct figures *unrepeated);

#endif
