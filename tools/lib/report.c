#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EMPTY_OP 0 /* the measurement around nothing */

const struct bench_op *report_op(const struct report_run *run, int id)
{
    for (int i = 0; i < run->count; i++) {
        if (run->ops[i].id == id && run->ops[i].n)
            return &run->ops[i];
    }
    return NULL;
}

/* Sum of one reason, or of all, in a mark's exits. */
static double mark_exits(const struct report_run *run, int id, const char *reason)
{
    const cJSON *exits = cJSON_GetObjectItemCaseSensitive(records_mark(run->records, id), "exits");
    const cJSON *item;
    double sum = 0;
    if (!exits)
        return -1;
    cJSON_ArrayForEach(item, exits)
    {
        if (cJSON_IsNumber(item) && (!reason || !strcmp(item->string, reason)))
            sum += item->valuedouble;
    }
    return sum;
}

double report_exits(const struct report_run *run, const struct bench_op *op, const char *reason)
{
    double all = mark_exits(run, op->id, reason), empty = mark_exits(run, EMPTY_OP, reason);
    if (all < 0 || !op->n)
        return -1;
    if (empty > 0 && op->id != EMPTY_OP)
        all = all > empty ? all - empty : 0;
    return all / (double)op->n;
}

static const struct report_run *find_run(const struct report *report, enum emu_kind emu,
                                         enum run_mode mode)
{
    for (int i = 0; i < report->count; i++) {
        const struct report_run *r = &report->runs[i];
        if (r->emu == emu && r->mode == mode)
            return r;
    }
    return NULL;
}

/* A counter out of the mode's final statistics. */
static double counter(const struct report_run *run, const char *name)
{
    return record_number(records_last(run->records, "stats"), name, 0);
}

static void problem(struct report *report, char *text)
{
    text[strcspn(text, "\n")] = 0;
    if (report->problem_count < (int)(sizeof(report->problems) / sizeof(report->problems[0])))
        report->problems[report->problem_count++] = text;
}

/* Every result must be that of the first run that has the operation. */
static void check_results(struct report *report, const struct report_run *run)
{
    for (int i = 0; i < run->count; i++) {
        const struct bench_op *op = &run->ops[i], *first = NULL;
        for (int k = 0; k < report->count && !first; k++)
            first = report_op(&report->runs[k], op->id);
        if (op->n && first && strcmp(first->result, op->result))
            problem(report,
                    xasprintf("%s %s: %s computed %s, elsewhere it is %s", emu_titles[run->emu],
                              mode_names[run->mode], op->name, op->result, first->result));
    }
}

static void check_counter(struct report *report, const struct report_run *run, const char *name)
{
    if (!(counter(run, name) > 0))
        problem(report, xasprintf("%s %s: the statistic %s is 0 or missing", emu_titles[run->emu],
                                  mode_names[run->mode], name));
}

/* All of a guest's operations must have been measured, whatever the mode. */
static void check_complete(struct report *report, const struct report_run *run)
{
    const struct report_run *native = find_run(report, run->emu, MODE_NATIVE);
    for (int i = 0; native && i < native->count; i++) {
        if (native->ops[i].n && !report_op(run, native->ops[i].id))
            problem(report, xasprintf("%s %s: %s was not measured", emu_titles[run->emu],
                                      mode_names[run->mode], native->ops[i].name));
    }
}

int report_check(struct report *report)
{
    for (int i = 0; i < report->count; i++) {
        const struct report_run *run = &report->runs[i];
        if (run->failure) {
            problem(report, xasprintf("%s %s: %s", emu_titles[run->emu], mode_names[run->mode],
                                      run->failure));
            continue;
        }
        check_results(report, run);
        check_complete(report, run);
        if (run->mode == MODE_TRAP) {
            check_counter(report, run, "scanned");
            check_counter(report, run, "trapped_sites");
        }
        if (run->mode == MODE_PARA)
            check_counter(report, run, "patched_sites");
    }
    return report->problem_count;
}

static void table_head(struct text *out, const struct report *report, enum emu_kind emu)
{
    text_printf(out, "%s\n%-18s %9s", emu_titles[emu], "  ticks, \xc3\x97 native, exits", "native");
    for (int m = MODE_TRAP; m < RUN_MODES; m++) {
        if (find_run(report, emu, (enum run_mode)m))
            text_printf(out, " | %-5s%9s%8s", mode_names[m], "", "exits");
    }
    text_printf(out, "\n");
}

static void table_cell(struct text *out, const struct report_run *run,
                       const struct bench_op *native)
{
    const struct bench_op *op = report_op(run, native->id);
    if (run->failure || !op) {
        text_printf(out, " | %22s", run->failure ? "failed" : "-");
        return;
    }
    const double exits = report_exits(run, op, NULL);
    char ratio[24] = "";
    if (native->n && native->ticks)
        snprintf(ratio, sizeof(ratio), "%.*f\xc3\x97", op->ticks < 100 * native->ticks,
                 (double)op->ticks / (double)native->ticks);
    /* The multiplication sign is two bytes and one column. */
    text_printf(out, " | %8llu%*s", op->ticks, *ratio ? 8 : 7, ratio);
    if (exits < 0)
        text_printf(out, "%7s", "?");
    else
        text_printf(out, "%7.*f", exits < 1000, exits);
}

static void table(struct text *out, const struct report *report, enum emu_kind emu)
{
    const struct report_run *base = find_run(report, emu, MODE_NATIVE);
    table_head(out, report, emu);
    for (int i = 0; base && i < base->count; i++) {
        const struct bench_op *native = &base->ops[i];
        text_printf(out, "%-26s", native->name);
        if (native->n)
            text_printf(out, " %9llu", native->ticks);
        else
            text_printf(out, " %9s", "-");
        for (int m = MODE_TRAP; m < RUN_MODES; m++) {
            const struct report_run *run = find_run(report, emu, (enum run_mode)m);
            if (run)
                table_cell(out, run, native);
        }
        text_printf(out, "\n");
    }
    text_printf(out, "\n");
}

static const cJSON *all_exits(const struct report_run *run)
{
    return cJSON_GetObjectItemCaseSensitive(records_last(run->records, "stats"), "exits");
}

/* Exits of whole runs, a row for each reason that any run has. */
static void totals(struct text *out, const struct report *report)
{
    cJSON *reasons = cJSON_CreateObject();
    const cJSON *item;
    text_printf(out, "Exits of the whole run, by reason\n%-16s", "");
    for (int i = 0; i < report->count; i++) {
        if (report->runs[i].mode == MODE_NATIVE)
            continue;
        char *name =
            xasprintf("%s %s", emu_titles[report->runs[i].emu], mode_names[report->runs[i].mode]);
        text_printf(out, "%12s", name);
        free(name);
        cJSON_ArrayForEach(item, all_exits(&report->runs[i]))
        {
            if (!cJSON_HasObjectItem(reasons, item->string))
                cJSON_AddTrueToObject(reasons, item->string);
        }
    }
    text_printf(out, "\n");
    cJSON_ArrayForEach(item, reasons)
    {
        text_printf(out, "%-16s", item->string);
        for (int i = 0; i < report->count; i++) {
            const double n = record_number(all_exits(&report->runs[i]), item->string, 0);
            if (report->runs[i].mode == MODE_NATIVE)
                continue;
            if (n > 0)
                text_printf(out, "%12.0f", n);
            else
                text_printf(out, "%12s", "-");
        }
        text_printf(out, "\n");
    }
    text_printf(out, "\n");
    cJSON_Delete(reasons);
}

static void sites(struct text *out, const struct report *report)
{
    for (int e = 0; e < EMU_KINDS; e++) {
        const struct report_run *trap = find_run(report, (enum emu_kind)e, MODE_TRAP);
        const struct report_run *para = find_run(report, (enum emu_kind)e, MODE_PARA);
        if (trap && para)
            text_printf(out,
                        "%-5s  trap: %.0f instructions scanned, %.0f of them made to trap;  "
                        "para: %.0f sites patched\n",
                        emu_titles[e], counter(trap, "scanned"), counter(trap, "trapped_sites"),
                        counter(para, "patched_sites"));
    }
}

void report_tables(const struct report *report, struct text *out)
{
    text_printf(out, "The cost of one operation. Ticks are guest instructions (not time); "
                     "the multiplier is against native\nin the same emulator; exits are how often "
                     "one operation entered the VMM.\n\n");
    for (int e = 0; e < EMU_KINDS; e++)
        table(out, report, (enum emu_kind)e);
    totals(out, report);
    sites(out, report);
    text_printf(out, "guest  minnow.elf   SHA-256 %s (the same file in every run)\n",
                report->guest_sha256);
    text_printf(out, "VMM    trivisor.elf SHA-256 %s\n", report->vmm_sha256);
    for (int i = 0; i < report->problem_count; i++)
        text_printf(out, "PROBLEM: %s\n", report->problems[i]);
    if (!report->problem_count)
        text_printf(out, "All %d runs succeeded and computed the same results.\n", report->count);
}

static cJSON *op_json(const struct report *report, const struct report_run *run,
                      const struct bench_op *op)
{
    const struct report_run *base = find_run(report, run->emu, MODE_NATIVE);
    const struct bench_op *native = base ? report_op(base, op->id) : NULL;
    const cJSON *mark = records_mark(run->records, op->id), *item;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "id", op->id);
    cJSON_AddStringToObject(o, "name", op->name);
    cJSON_AddNumberToObject(o, "n", (double)op->n);
    cJSON_AddNumberToObject(o, "ticks", (double)op->ticks);
    cJSON_AddNumberToObject(o, "total_ticks", (double)op->total);
    cJSON_AddStringToObject(o, "result", op->result);
    if (native && native->ticks)
        cJSON_AddNumberToObject(o, "ratio", (double)op->ticks / (double)native->ticks);
    if (mark && op->n) {
        cJSON *by_reason = cJSON_AddObjectToObject(o, "exits_per_op_by_reason");
        cJSON_AddNumberToObject(o, "exits_per_op", report_exits(run, op, NULL));
        cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(mark, "exits"))
        {
            cJSON_AddNumberToObject(by_reason, item->string, report_exits(run, op, item->string));
        }
        cJSON_AddItemToObject(o, "mark", cJSON_Duplicate(mark, true));
    }
    return o;
}

static cJSON *run_json(const struct report *report, const struct report_run *run)
{
    const cJSON *stats = records_last(run->records, "stats");
    cJSON *r = cJSON_CreateObject();
    const struct machine machine = {.emu = run->emu, .mode = run->mode};
    cJSON_AddStringToObject(r, "emu", emu_names[run->emu]);
    cJSON_AddStringToObject(r, "mode", mode_names[run->mode]);
    cJSON_AddStringToObject(r, "cpu", machine_cpu(&machine));
    if (run->failure)
        cJSON_AddStringToObject(r, "failure", run->failure);
    cJSON *ops = cJSON_AddArrayToObject(r, "ops");
    for (int i = 0; i < run->count; i++)
        cJSON_AddItemToArray(ops, op_json(report, run, &run->ops[i]));
    if (stats)
        cJSON_AddItemToObject(r, "stats", cJSON_Duplicate(stats, true));
    return r;
}

void report_json(const struct report *report, const char *path)
{
    cJSON *all = cJSON_CreateObject();
    cJSON_AddStringToObject(all, "unit", "ticks: instructions executed by the emulated CPU");
    cJSON_AddStringToObject(all, "guest_sha256", report->guest_sha256);
    cJSON_AddStringToObject(all, "vmm_sha256", report->vmm_sha256);
    cJSON *problems = cJSON_AddArrayToObject(all, "problems");
    for (int i = 0; i < report->problem_count; i++)
        cJSON_AddItemToArray(problems, cJSON_CreateString(report->problems[i]));
    cJSON *runs = cJSON_AddArrayToObject(all, "runs");
    for (int i = 0; i < report->count; i++)
        cJSON_AddItemToArray(runs, run_json(report, &report->runs[i]));
    json_write(path, all);
}
