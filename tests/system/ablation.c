/* `make ablation`: its list of mechanisms is the VMM's, its figures repeat and say what they must.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systest.h"

#define TOOL "build/tools/tv-ablation"
#define MODES 3 /* rows that are not about a mechanism, before those that are */

/* The names of --list, each as " -name". */
static char *listed(const struct test_case *test, int *count)
{
    char *argv[] = {TOOL, "--list", NULL}, *output = tool_output(test, argv, "list.txt", 0), *rest;
    struct text names = {0};
    *count = 0;
    for (char *line = strtok_r(output, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        text_printf(&names, ", -%.*s", (int)strcspn(line, " "), line);
        (*count)++;
    }
    free(output);
    return names.text;
}

/* What the VMM says that it knows is what the tool measures: no more, no less. */
static void same_list(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    int count;
    char *names = listed(test, &count);
    spec.files.vmm_options = "pv=-nothing-of-the-kind";
    run_expecting(&run, &spec, 2);
    const char *text = record_string(records_last(run.records, "error"), "text");
    const char *known = text ? strstr(text, "repatch, -") : NULL;
    if (!known)
        fail("the VMM does not list its words: %s", text ? text : "(no error record)");
    check_same("the tool's list", names, known + strlen("repatch"));
    if (count < 8)
        fail("only %d mechanisms:%s", count, names);
    emu_free(&run);
}

/* Every word is taken by the VMM, alone and with all others. */
static void all_taken(const struct test_case *test)
{
    int count;
    char *names = listed(test, &count), *rest, *word;
    struct text all = {0};
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    text_printf(&all, "pv=");
    for (word = strtok_r(names, ", ", &rest); word; word = strtok_r(NULL, ", ", &rest))
        text_printf(&all, "%s%s", all.len > 3 ? "," : "", word);
    spec.files.vmm_options = all.text;
    spec.files.guest_args = "run=echo,none";
    run_expecting(&run, &spec, 0);
    if (!strstr(run.console.text, "none\n"))
        fail("the guest did not run without any mechanism");
    emu_free(&run);
}

static void usage(const struct test_case *test)
{
    static const struct {
        const char *argument;
        int status;
        const char *text;
    } cases[] = {
        {"--help", 0, "usage: tv-ablation"},
        {"--emu=kvm", 2, "unknown EMU 'kvm'; choose one of: qemu, bochs"},
        {"--without=sti,,io", 2, "--without: '' is no mechanism of mode para; choose of: sti,"},
        {"--without=count", 2, "--without: 'count' is no mechanism"},
        {"--json=no/such/folder/x", 2, "cannot write no/such/folder/x"},
        {"--csv=/", 2, "cannot write /"},
        {"-j0", 2, "-j=0: give a whole number from 1 to 64"},
        {"fast", 2, "unexpected argument 'fast'"},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_usage(test, TOOL, cases[i].argument, cases[i].status, cases[i].text);
}

/* The guest knows its benchmarks; it is asked before anything is measured. */
static void no_workload(const struct test_case *test)
{
    const struct emu_spec spec = test_spec(test, "");
    char *dir = xasprintf("--dir=%s/runs", spec.dir);
    char *argv[] = {TOOL, "--workloads=cli-sti,cli", dir, NULL};
    char *output = tool_output(test, argv, "output.txt", 2);
    if (!strstr(output, "the guest has no benchmark 'cli' (bench -l lists them)\n") ||
        strstr(output, "Measuring"))
        fail("expected one clear line before any measurement, got:\n%s", output);
    free(output);
}

/* --- figures --- */

static char *run_tool(const struct test_case *test, const char *part, cJSON **json, char **csv)
{
    const struct emu_spec spec = test_spec(test, "");
    char *base = xasprintf("%s/%s", spec.dir, part);
    char *script = xasprintf(TOOL " --emu=%s --workloads=cli-sti,port-io,compile --without=sti,io "
                                  "--dir=%s --json=%s.json --csv=%s.csv 2>%s.progress",
                             emu_names[test->emu], base, base, base, base);
    char *argv[] = {"sh", "-c", script, NULL};
    char *output = tool_output(test, argv, xasprintf("%s.txt", part), 0);
    *json = json_file(xasprintf("%s.json", base));
    *csv = read_file(xasprintf("%s.csv", base), NULL);
    free(script);
    return output;
}

static const cJSON *config(const cJSON *json, const char *name)
{
    const cJSON *one;
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(json, "configurations"))
    {
        if (!strcmp(record_string(one, "name"), name))
            return one;
    }
    fail("there is no configuration \"%s\"", name);
}

/* Ticks, or -1 when it was not measured. */
static double ticks(const cJSON *json, const char *name, const char *workload)
{
    const cJSON *workloads = cJSON_GetObjectItemCaseSensitive(config(json, name), "workloads");
    return record_number(cJSON_GetObjectItemCaseSensitive(workloads, workload), "ticks", -1);
}

static void same_ticks(const cJSON *json, const char *a, const char *b, const char *workload)
{
    if (ticks(json, a, workload) != ticks(json, b, workload))
        fail("%s costs %.0f in \"%s\" and %.0f in \"%s\"", workload, ticks(json, a, workload), a,
             ticks(json, b, workload), b);
}

static void dearer(const cJSON *json, const char *a, const char *b, const char *workload)
{
    if (!(ticks(json, a, workload) > ticks(json, b, workload)) || ticks(json, b, workload) < 0)
        fail("%s costs %.0f in \"%s\", not more than the %.0f in \"%s\"", workload,
             ticks(json, a, workload), a, ticks(json, b, workload), b);
}

/* A mechanism matters where it is used, and nowhere else. */
static void check_ticks(const cJSON *json)
{
    dearer(json, "para", "native", "cli-sti");
    dearer(json, "trap", "para", "cli-sti");
    dearer(json, "without sti", "para", "cli-sti");
    dearer(json, "without any", "para", "cli-sti");
    same_ticks(json, "without io", "para", "cli-sti");
    same_ticks(json, "without sti", "para", "port-io");
    if (ticks(json, "without io", "port-io") == ticks(json, "para", "port-io"))
        fail("a port costs the same with and without calls");
}

/* QEMU's own disk does not repeat, so there is no figure of it. */
static void check_native_disk(const cJSON *json, enum emu_kind emu)
{
    if ((ticks(json, "native", "compile") < 0) != (emu == EMU_QEMU))
        fail("compile on the bare machine: %.0f ticks", ticks(json, "native", "compile"));
}

/* 100 * (without / full - 1), the dearest first. */
static void check_worth(const cJSON *json, const char *workload)
{
    const cJSON *one, *worth = cJSON_GetObjectItemCaseSensitive(json, "worth");
    double before = 1e30;
    int count = 0;
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(worth, workload))
    {
        char *name = xasprintf("without %s", record_string(one, "mechanism"));
        const double percent = record_number(one, "percent", -1);
        const double want = 100 * (ticks(json, name, workload) / ticks(json, "para", workload) - 1);
        if (percent - want > 1e-6 || want - percent > 1e-6)
            fail("%s, %s: worth %f %%, expected %f", workload, name, percent, want);
        if (percent > before)
            fail("%s: not sorted by worth", workload);
        before = percent;
        count++;
        free(name);
    }
    if (count != 2)
        fail("%s: the worth of %d mechanisms, expected 2", workload, count);
}

/* Every figure of the JSON is a line of the CSV, and no more. */
static void check_csv(const cJSON *json, const char *csv)
{
    const cJSON *one, *workload;
    int lines = 1;
    if (strncmp(csv, "configuration,mode,options,workload,n,ticks,factor,result\n", 58))
        fail("the CSV has another first line: %.60s", csv);
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(json, "configurations"))
    {
        cJSON_ArrayForEach(workload, cJSON_GetObjectItemCaseSensitive(one, "workloads"))
        {
            char *line = xasprintf("\n%s,%s,\"%s\",%s,%.0f,%.0f,", record_string(one, "name"),
                                   record_string(one, "mode"), record_string(one, "options"),
                                   workload->string, record_number(workload, "n", -1),
                                   record_number(workload, "ticks", -1));
            if (!strstr(csv, line))
                fail("no line \"%s\" in the CSV:\n%s", line + 1, csv);
            lines++;
            free(line);
        }
    }
    for (; *csv; csv++)
        lines -= *csv == '\n';
    if (lines)
        fail("the CSV has %d lines more than the JSON has figures", -lines);
}

static void figures(const struct test_case *test)
{
    cJSON *json, *again;
    char *csv, *csv_again;
    char *first = run_tool(test, "first", &json, &csv);
    char *second = run_tool(test, "second", &again, &csv_again);
    check_same("the second run's table", second, first);
    check_same("the second run's CSV", csv_again, csv);
    const cJSON *configs = cJSON_GetObjectItemCaseSensitive(json, "configurations");
    if (cJSON_GetArraySize(configs) != MODES + 2 + 1)
        fail("%d configurations", cJSON_GetArraySize(configs));
    check_ticks(json);
    check_native_disk(json, test->emu);
    check_worth(json, "cli-sti");
    check_worth(json, "port-io");
    check_csv(json, csv);
    if (strstr(first, "PROBLEM"))
        fail("the tool has found a problem:\n%s", first);
    free(first);
    free(second);
}

void tests_ablation(void)
{
    test_add(usage, EMU_QEMU, MODE_PARA, 20, "ablation-usage");
    test_add(no_workload, EMU_QEMU, MODE_PARA, 60, "ablation-no-workload");
    for (int e = 0; e < EMU_KINDS; e++) {
        const enum emu_kind emu = (enum emu_kind)e;
        test_add(same_list, emu, MODE_PARA, 70, "ablation-list/%s", emu_names[e]);
        test_add(all_taken, emu, MODE_PARA, 70, "ablation-without-any/%s", emu_names[e]);
        if (emu == EMU_BOCHS || tests_long()) /* the slow one */
            test_add(figures, emu, MODE_PARA, 400, "ablation-figures/%s", emu_names[e]);
    }
}
