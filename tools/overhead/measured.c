#include "overhead/measured.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/exit_names.h"
#include "lib/records.h"

/* --- out --- */

static cJSON *op_json(const struct op_figures *op)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "name", op->name);
    cJSON_AddNumberToObject(json, "n", op->n);
    cJSON_AddNumberToObject(json, "ticks", op->ticks);
    cJSON_AddStringToObject(json, "result", op->result);
    if (!op->marked)
        return json;
    cJSON *exits = cJSON_AddObjectToObject(json, "exits");
    for (int i = 0; i < EXIT_REASON_COUNT; i++) {
        if (op->exits[i] > 0)
            cJSON_AddNumberToObject(exits, exit_names[i], op->exits[i]);
    }
    return json;
}

static cJSON *run_json(const struct run_figures *run)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "emulator", emu_names[run->emu]);
    cJSON_AddStringToObject(json, "configuration", run->config);
    cJSON_AddStringToObject(json, "mode", mode_names[run->mode]);
    cJSON_AddStringToObject(json, "options", run->options);
    cJSON_AddStringToObject(json, "cpu", run->cpu);
    cJSON *ops = cJSON_AddArrayToObject(json, "operations");
    for (int i = 0; i < run->count; i++)
        cJSON_AddItemToArray(ops, op_json(&run->ops[i]));
    return json;
}

cJSON *measured_json(const struct figures *f)
{
    cJSON *json = cJSON_CreateObject(), *runs = cJSON_AddArrayToObject(json, "runs");
    for (int i = 0; i < f->count; i++)
        cJSON_AddItemToArray(runs, run_json(&f->runs[i]));
    return json;
}

/* --- in --- */

static bool copy(char *to, size_t room, const cJSON *json, const char *key)
{
    const char *from = record_string(json, key);
    return from && (size_t)snprintf(to, room, "%s", from) < room;
}

/* A count or a number of ticks: JSON's numbers can be anything. */
static bool amount(double *to, const cJSON *json, const char *key)
{
    *to = record_number(json, key, NAN);
    return isfinite(*to) && *to >= 0;
}

static bool exits_read(const cJSON *json, struct op_figures *op)
{
    const cJSON *item;
    op->marked = json != NULL;
    cJSON_ArrayForEach(item, json)
    {
        int i = 0;
        while (i < EXIT_REASON_COUNT && strcmp(exit_names[i], item->string))
            i++;
        if (i == EXIT_REASON_COUNT || !amount(&op->exits[i], json, item->string))
            return false;
    }
    return true;
}

static bool op_read(const cJSON *json, struct op_figures *op)
{
    return copy(op->name, sizeof(op->name), json, "name") &&
           copy(op->result, sizeof(op->result), json, "result") && amount(&op->n, json, "n") &&
           amount(&op->ticks, json, "ticks") &&
           exits_read(cJSON_GetObjectItemCaseSensitive(json, "exits"), op);
}

static char *run_read(const cJSON *json, struct run_figures *run)
{
    const cJSON *item;
    const char *emu = record_string(json, "emulator"), *mode = record_string(json, "mode");
    if (!emu || emu_by_name(emu) < 0 || !mode || mode_by_name(mode) < 0 ||
        !copy(run->config, sizeof(run->config), json, "configuration") ||
        !copy(run->options, sizeof(run->options), json, "options") ||
        !copy(run->cpu, sizeof(run->cpu), json, "cpu"))
        return xasprintf("a run has no emulator, mode, configuration, options or cpu");
    run->emu = (enum emu_kind)emu_by_name(emu);
    run->mode = (enum run_mode)mode_by_name(mode);
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(json, "operations"))
    {
        if (run->count == FIGURE_OPS)
            return xasprintf("%s has more than %d operations", run->config, FIGURE_OPS);
        if (!op_read(item, &run->ops[run->count++]))
            return xasprintf("operation %d of %s is incomplete or has unknown exits", run->count,
                             run->config);
    }
    return NULL;
}

char *measured_read(const cJSON *json, struct figures *f)
{
    const cJSON *item, *runs = cJSON_GetObjectItemCaseSensitive(json, "runs");
    char *error = cJSON_IsArray(runs) ? NULL : xasprintf("it has no list of runs");
    memset(f, 0, sizeof(*f));
    cJSON_ArrayForEach(item, runs)
    {
        if (error)
            break;
        if (f->count == FIGURE_RUNS)
            error = xasprintf("it has more than %d runs", FIGURE_RUNS);
        else
            error = run_read(item, &f->runs[f->count++]);
    }
    return error;
}

/* --- tables --- */

static cJSON *cell_json(const struct table *t, int row, int column)
{
    const struct cell *cell = &t->rows[row].cells[column];
    char *shown = table_shown(t, row, column);
    cJSON *json = cJSON_CreateObject();
    if (!isnan(cell->number))
        cJSON_AddNumberToObject(json, "value", cell->number);
    cJSON_AddStringToObject(json, "shown", shown);
    free(shown);
    return json;
}

cJSON *table_json(const struct table *t)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "id", t->id);
    cJSON_AddStringToObject(json, "caption", t->caption);
    cJSON_AddStringToObject(json, "row_head", t->row_head);
    cJSON *columns = cJSON_AddArrayToObject(json, "columns");
    for (int k = 0; k < t->column_count; k++)
        cJSON_AddItemToArray(columns, cJSON_CreateString(t->columns[k].head));
    cJSON *rows = cJSON_AddArrayToObject(json, "rows");
    for (int i = 0; i < t->row_count; i++) {
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "head", t->rows[i].head);
        cJSON *cells = cJSON_AddArrayToObject(row, "cells");
        for (int k = 0; k < t->column_count; k++)
            cJSON_AddItemToArray(cells, cell_json(t, i, k));
        cJSON_AddItemToArray(rows, row);
    }
    return json;
}
