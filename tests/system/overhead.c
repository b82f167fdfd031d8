/* `make report`: the quick form measures, its page shows what its JSON says, and both can be made
 * again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systest.h"

#define TOOL "build/tools/tv-report"

static void usage(const struct test_case *test)
{
    check_usage(test, TOOL, "--help", 0, "usage: tv-report");
    check_usage(test, TOOL, "--emu=kvm", 2, "unknown EMU 'kvm'; choose one of: qemu, bochs");
    check_usage(test, TOOL, "--check=no/such/file", 2, "--check: no/such/file cannot be read");
    check_usage(test, TOOL, "-j0", 2, "-j=0: give a whole number from 1 to 64");
    check_usage(test, TOOL, "all", 2, "unexpected argument 'all'");
    char *argv[] = {TOOL, "--quick", "--emu=bochs", NULL}, *output;
    output = tool_output(test, argv, "quick.txt", 2);
    if (!strstr(output, "--quick measures in QEMU only; leave out --emu=bochs"))
        fail("--quick in Bochs: %s", output);
    argv[2] = "--from=x";
    output = tool_output(test, argv, "from.txt", 2);
    if (!strstr(output, "--from measures nothing; leave out --quick and --emu"))
        fail("--quick with --from: %s", output);
}

static char *path_in(const struct test_case *test, const char *name)
{
    const struct emu_spec spec = test_spec(test, "");
    return xasprintf("%s/%s", spec.dir, name);
}

/* Run the tool without plots (gnuplot is installed for `make report` only). */
static char *report(const struct test_case *test, const char *part, const char *option, int status)
{
    char *out = xasprintf("--out=%s", path_in(test, part));
    char *argv[] = {TOOL, "--no-plots", out, (char *)option, NULL};
    return tool_output(test, argv, xasprintf("%s.txt", part), status);
}

/* --- input that is no measurement --- */

static void bad_input(const struct test_case *test)
{
    static const struct {
        const char *json, *text;
    } cases[] = {
        {"", "is no JSON"},
        {"{}", "it has no list of runs"},
        {"{\"runs\":[]}", "there are no figures in it"},
        {"{\"runs\":[{}]}", "a run has no emulator, mode, configuration, options or cpu"},
        {"{\"runs\":[{\"emulator\":\"qemu\",\"mode\":\"trap\",\"configuration\":\"trap\","
         "\"options\":\"\",\"cpu\":\"max\",\"operations\":[{\"name\":\"compute\",\"n\":-1,"
         "\"ticks\":1,\"result\":\"0\"}]}]}",
         "operation 1 of trap is incomplete or has unknown exits"},
        {"{\"runs\":[{\"emulator\":\"qemu\",\"mode\":\"trap\",\"configuration\":\"trap\","
         "\"options\":\"\",\"cpu\":\"max\",\"operations\":[{\"name\":\"compute\",\"n\":1,"
         "\"ticks\":1,\"result\":\"0\",\"exits\":{\"magic\":1}}]}]}",
         "operation 1 of trap is incomplete or has unknown exits"},
    };
    char *path = path_in(test, "bad.json"), *from = xasprintf("--from=%s", path);
    make_dirs(path_in(test, ""));
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        write_file(path, cases[i].json, strlen(cases[i].json));
        char *output = report(test, "out", from, 1);
        if (!strstr(output, cases[i].text) || strchr(output, '\n')[1])
            fail("expected one line with \"%s\", got:\n%s", cases[i].text, output);
        free(output);
    }
}

/* --- the quick form --- */

static double ticks(const cJSON *measured, const char *config, const char *op)
{
    const cJSON *run, *one;
    cJSON_ArrayForEach(run, cJSON_GetObjectItemCaseSensitive(measured, "runs"))
    {
        if (strcmp(record_string(run, "configuration"), config))
            continue;
        cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(run, "operations"))
        {
            if (!strcmp(record_string(one, "name"), op))
                return record_number(one, "ticks", -1);
        }
    }
    fail("%s was not measured in %s", op, config);
}

/* What must be so whatever the figures are. */
static void check_measured(const cJSON *measured)
{
    if (ticks(measured, "trap", "cli-sti") <= ticks(measured, "native", "cli-sti"))
        fail("CLI and STI cost nothing in mode trap");
    if (ticks(measured, "para", "cli-sti") >= ticks(measured, "trap", "cli-sti"))
        fail("CLI and STI cost as much in para as in trap");
    if (ticks(measured, "svm", "disk-driver") <= ticks(measured, "svm+virtio", "disk-driver"))
        fail("virtio is no cheaper than the ATA drive");
}

/* How often `what` is in a text. */
static int times_in(const char *text, const char *what)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        n++;
    return n;
}

static const char *next_cell(const char *at)
{
    return strstr(at, "<td");
}

/* A cell of the page is what the JSON shows: without it, "none". */
static void check_cell(const char *id, const char **at, const char *shown)
{
    struct text escaped = {0};
    const char *cell = next_cell(*at), *start = cell ? strchr(cell, '>') + 1 : NULL;
    for (const char *c = shown; *c; c++)
        text_printf(&escaped, *c == '<' ? "&lt;" : *c == '>' ? "&gt;" : "%c", *c);
    if (*shown)
        text_printf(&escaped, "</td>");
    else
        text_printf(&escaped, "<span aria-hidden");
    char *plain = start ? xasprintf("%.*s", (int)strcspn(start, "\n"), start) : NULL;
    if (!plain)
        fail("%s: the page has fewer cells than the JSON", id);
    for (char *quote; (quote = strstr(plain, "&#39;"));)
        memmove(quote + 1, quote + 5, strlen(quote + 5) + 1), *quote = '\'';
    if (strncmp(plain, escaped.text, escaped.len))
        fail("%s: the page has \"%.60s\", the JSON \"%s\"", id, plain, shown);
    free(plain);
    text_free(&escaped);
    *at = start;
}

static void check_table(const cJSON *table, const char *html)
{
    const cJSON *row, *cell;
    const char *id = record_string(table, "id");
    char *open = xasprintf("<table id=\"%s\">", id);
    const char *at = strstr(html, open), *end = at ? strstr(at, "</table>") : NULL;
    if (!end || times_in(html, open) != 1)
        fail("the page has not just one table %s", id);
    char *part = xasprintf("%.*s", (int)(end - at), at);
    const int columns = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(table, "columns"));
    at = part;
    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(table, "rows"))
    {
        const cJSON *cells = cJSON_GetObjectItemCaseSensitive(row, "cells");
        if (cJSON_GetArraySize(cells) != columns)
            fail("%s has %d columns and %d cells", id, columns, cJSON_GetArraySize(cells));
        cJSON_ArrayForEach(cell, cells) check_cell(id, &at, record_string(cell, "shown"));
    }
    if (next_cell(at))
        fail("%s: the page has more cells than the JSON", id);
    if (times_in(part, "scope=\"col\"") != columns + 1 || !strstr(part, "<caption"))
        fail("%s has no caption, or columns without a scope", id);
    free(part);
    free(open);
}

/* Fields of one CSV line, quotes respected. */
static int fields(const char *line)
{
    int n = 1;
    bool quoted = false;
    for (; *line && (quoted || *line != '\r'); line++) {
        quoted ^= *line == '"';
        n += !quoted && *line == ',';
    }
    return n;
}

/* As many lines and fields as the table has rows and columns. */
static void check_csv(const struct test_case *test, const cJSON *table)
{
    const char *id = record_string(table, "id");
    char *path = path_in(test, "quick/csv"), *file = xasprintf("%s/%s.csv", path, id);
    char *csv = read_file(file, NULL);
    const cJSON *rows = cJSON_GetObjectItemCaseSensitive(table, "rows");
    const int columns = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(table, "columns"));
    if (!csv)
        fail("there is no %s", file);
    if (times_in(csv, "\r\n") != cJSON_GetArraySize(rows) + 1)
        fail("%s has %d lines for %d rows", file, times_in(csv, "\r\n"), cJSON_GetArraySize(rows));
    for (const char *line = csv; *line; line = strstr(line, "\r\n") + 2) {
        if (fields(line) != columns + 1)
            fail("%s has a line of %d fields, expected %d", file, fields(line), columns + 1);
    }
    free(csv);
    free(file);
    free(path);
}

/* One page without scripts, without anything from elsewhere, with headings in order. */
static void check_page(const char *html)
{
    static const char *const not_there[] = {
        "<script", "<link", "<img", "src=", "url(http", "@import", "href=\"http"};
    int level = 0;
    for (unsigned i = 0; i < sizeof(not_there) / sizeof(not_there[0]); i++) {
        if (strstr(html, not_there[i]))
            fail("the page has %s", not_there[i]);
    }
    for (const char *at = html; (at = strstr(at, "<h")); at++) {
        if (at[2] < '1' || at[2] > '6')
            continue;
        if (at[2] - '0' > level + 1)
            fail("a heading h%c after h%d", at[2], level);
        level = at[2] - '0';
    }
    if (!strstr(html, "<html lang=\"en\"") || times_in(html, "<h1>") != 1)
        fail("the page has no language, or not one title");
}

static void quick(const struct test_case *test)
{
    char *output = report(test, "quick", "--quick", 0), *first = path_in(test, "quick/report.json");
    char *html = read_file(path_in(test, "quick/index.html"), NULL);
    cJSON *json = json_file(first);
    const cJSON *table, *tables = cJSON_GetObjectItemCaseSensitive(json, "tables");
    check_measured(cJSON_GetObjectItemCaseSensitive(json, "measured"));
    if (!html || cJSON_GetArraySize(tables) < 10)
        fail("there is no page, or only %d tables", cJSON_GetArraySize(tables));
    check_page(html);
    cJSON_ArrayForEach(table, tables)
    {
        check_table(table, html);
        check_csv(test, table);
    }
    if (times_in(html, "<table ") != cJSON_GetArraySize(tables))
        fail("the page has other tables than the JSON");

    /* Made again of its own JSON it is the same; of another measurement it is not. */
    char *from = xasprintf("--from=%s", first), *check = xasprintf("--check=%s", first);
    char *out = xasprintf("--out=%s", path_in(test, "again"));
    char *argv[] = {TOOL, "--no-plots", out, from, check, NULL};
    free(tool_output(test, argv, "again.txt", 0));
    check_same("the page made again", read_file(path_in(test, "again/index.html"), NULL), html);
    const cJSON *run =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(
                               cJSON_GetObjectItemCaseSensitive(json, "measured"), "runs"),
                           1);
    cJSON_SetNumberHelper(
        cJSON_GetObjectItemCaseSensitive(
            cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(run, "operations"), 1), "ticks"),
        12345);
    char *other = path_in(test, "other.json");
    json_write(other, json);
    argv[3] = xasprintf("--from=%s", other);
    char *difference = tool_output(test, argv, "other.txt", 1);
    if (!strstr(difference, "differs from"))
        fail("a changed figure was not noticed:\n%s", difference);
    free(output);
}

void tests_overhead(void)
{
    test_add(usage, EMU_QEMU, MODE_NATIVE, 20, "overhead/usage");
    test_add(bad_input, EMU_QEMU, MODE_NATIVE, 20, "overhead/bad-input");
    test_add(quick, EMU_QEMU, MODE_TRAP, 180, "overhead/quick");
}
