/*
 * tv-report: measure what virtualization costs, in all modes, and write the report: an HTML page,
 * JSON and CSV. `make report` calls it. First everything is measured and written as JSON; all else
 * is made of that file, so it can be made again (--from) and compared (--check).
 */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/choose.h"
#include "lib/measure.h"
#include "overhead/claims.h"
#include "overhead/gather.h"
#include "overhead/measured.h"
#include "overhead/page.h"

#define MEASURED "measured.json"
#define UNREPEATED "unrepeated.json"

struct chosen {
    const char *out, *from, *check, *emu;
    bool quick, plots;
    int parallel;
};

static char *in(const struct chosen *c, const char *name)
{
    return xasprintf("%s/%s", c->out, name);
}

/* --- measure --- */

static cJSON *strings(char *const *texts, int count)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < count; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(texts[i]));
    return list;
}

static void measure(const struct chosen *c)
{
    static struct gathered all;
    const int only = c->quick ? EMU_QEMU : *c->emu ? emu_by_name(c->emu) : -1;
    char *runs = in(c, "runs");
    measure_dir(runs);
    gather(&all, runs, only, c->quick, c->parallel);
    cJSON *json = measured_json(&all.figures);
    cJSON_AddStringToObject(json, "unit", "ticks: instructions executed by the emulated CPU");
    cJSON_AddBoolToObject(json, "quick", c->quick);
    cJSON_AddItemToObject(json, "problems", strings(all.problems, all.problem_count));
    if (all.ablation)
        cJSON_AddItemToObject(json, "ablation", all.ablation);
    json_write(in(c, MEASURED), json);
    json_write(in(c, UNREPEATED), measured_json(&all.unrepeated));
}

/* --- make the report of what was measured --- */

static cJSON *read_json(const char *path)
{
    char *text = read_file(path, NULL);
    cJSON *json = text ? cJSON_Parse(text) : NULL;
    if (!json)
        die(1, "%s: %s", path, text ? "is no JSON" : "cannot be read");
    free(text);
    return json;
}

static void read_figures(struct figures *f, const char *path, const cJSON *json)
{
    char *error = measured_read(json, f);
    if (error)
        die(1, "%s: %s", path, error);
}

static cJSON *claims_json(const struct figures *f)
{
    cJSON *list = cJSON_CreateArray();
    for (int e = 0; e < EMU_KINDS; e++) {
        struct claim_result results[CLAIMS];
        claims_judge(f, (enum emu_kind)e, results);
        for (int i = 0; i < CLAIMS; i++) {
            cJSON *one = cJSON_CreateObject();
            cJSON_AddStringToObject(one, "id", results[i].id);
            cJSON_AddStringToObject(one, "emulator", emu_names[e]);
            cJSON_AddStringToObject(one, "claim", results[i].claim);
            cJSON_AddStringToObject(one, "rule", results[i].rule);
            cJSON_AddStringToObject(one, "verdict", verdict_names[results[i].verdict]);
            cJSON_AddStringToObject(one, "figures", results[i].figures);
            cJSON_AddItemToArray(list, one);
        }
        claims_free(results);
    }
    return list;
}

/* Everything that the page shows, and what it was made of. */
static void write_json(const struct chosen *c, const struct document *d, const cJSON *measured)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddItemToObject(json, "measured", cJSON_Duplicate(measured, true));
    cJSON_AddItemToObject(json, "claims", claims_json(d->figures));
    cJSON *tables = cJSON_AddArrayToObject(json, "tables");
    for (int i = 0; i < d->count; i++)
        cJSON_AddItemToArray(tables, table_json(d->entries[i].table));
    json_write(in(c, "report.json"), json);
}

static void write_csv(const struct chosen *c, const struct document *d)
{
    char *dir = in(c, "csv");
    remove_tree(dir); /* no table of an earlier report among them */
    make_dirs(dir);
    for (int i = 0; i < d->count; i++) {
        struct text out = {0};
        char *path = xasprintf("%s/%s.csv", dir, d->entries[i].table->id);
        table_csv(d->entries[i].table, &out);
        write_file(path, out.text, out.len);
        text_free(&out);
        free(path);
    }
}

static struct table *read_unrepeated(const struct chosen *c)
{
    static struct figures f;
    char *path = in(c, UNREPEATED);
    if (c->from || access(path, R_OK))
        return NULL;
    cJSON *json = read_json(path);
    read_figures(&f, path, json);
    cJSON_Delete(json);
    return section_unrepeated(&f);
}

/* Returns how many problems the measurement had. */
static int make_report(const struct chosen *c, const char *path)
{
    static struct figures figures;
    static struct document d;
    cJSON *json = read_json(path);
    const cJSON *whole = cJSON_GetObjectItemCaseSensitive(json, "measured");
    const cJSON *measured = whole ? whole : json, *one;
    const cJSON *problems = cJSON_GetObjectItemCaseSensitive(measured, "problems");
    read_figures(&figures, path, measured);
    d = (struct document){.figures = &figures,
                          .ablation = cJSON_GetObjectItemCaseSensitive(measured, "ablation")};
    sections_build(&d);
    if (!figures.count)
        die(1, "%s: there are no figures in it", path);
    write_json(c, &d, measured);
    write_csv(c, &d);
    const struct page page = {
        .document = &d,
        .unrepeated = read_unrepeated(c),
        .problems = problems,
        .quick = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(measured, "quick")),
        .plots = c->plots ? in(c, "plots") : NULL,
    };
    char *html = page_html(&page);
    write_file(in(c, "index.html"), html, strlen(html));
    free(html);
    cJSON_ArrayForEach(one, problems)
        fprintf(stderr, "PROBLEM: %s\n", cJSON_IsString(one) ? one->valuestring : "(not a text)");
    const int count = cJSON_GetArraySize(problems);
    cJSON_Delete(json);
    return count;
}

/* --- compare with an earlier report --- */

/* Byte for byte: there is nothing in the file that may differ. */
static int compare(const struct chosen *c)
{
    char *path = in(c, "report.json"), *now = read_file(path, NULL),
         *then = read_file(c->check, NULL);
    unsigned line = 1;
    if (!now || !then)
        die(1, "%s cannot be read", now ? c->check : path);
    for (size_t i = 0; now[i] == then[i] && now[i]; i++)
        line += now[i] == '\n';
    const bool same = !strcmp(now, then);
    if (same)
        printf("Every figure repeats: %s and %s are the same, byte for byte.\n", path, c->check);
    else
        printf("%s differs from %s, first in line %u\n", path, c->check, line);
    free(now);
    free(then);
    free(path);
    return !same;
}

/* --- the command line --- */

static const char usage[] =
    "usage: tv-report [options]\n"
    "Measures what virtualization costs, in all modes and both emulators, and writes the report:\n"
    "index.html, report.json, csv/. Some minutes.\n"
    "  --quick        few workloads, in QEMU only\n"
    "  --emu=NAME     only that emulator\n"
    "  --out=DIR      where to (default build/report)\n"
    "  --from=FILE    measure nothing: make the report of a report.json or measured.json\n"
    "  --check=FILE   compare the new report.json with that one; exit status 1 when any byte "
    "differs\n"
    "  --no-plots     tables only; needs no gnuplot\n"
    "  -j N           machines at a time (default: as many as there are processors)\n"
    "Exit status 1 when a run failed, computed something else, or --check found a difference; 2:\n"
    "wrong usage.\n";

static void set_option(struct chosen *c, int option)
{
    if (option == 'o')
        c->out = optarg;
    else if (option == 'f')
        c->from = optarg;
    else if (option == 'c')
        c->check = optarg;
    else if (option == 'e')
        c->emu = optarg;
    else
        c->parallel = (int)choose_number("-j", optarg, 1, 64);
}

/* Without a value, as make passes what was not given, an option is as if it were not there. */
static struct chosen read_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"quick", 0, NULL, 'q'},    {"emu", 1, NULL, 'e'},   {"out", 1, NULL, 'o'},
        {"from", 1, NULL, 'f'},     {"check", 1, NULL, 'c'}, {"help", 0, NULL, 'h'},
        {"no-plots", 0, NULL, 'n'}, {NULL, 0, NULL, 0},
    };
    struct chosen c = {
        .out = "build/report", .emu = "", .plots = true, .parallel = measure_parallel()};
    for (int o; (o = getopt_long(argc, argv, "j:h", known, NULL)) != -1;) {
        if (o == 'h')
            fputs(usage, stdout), exit(0);
        if (o == '?')
            exit(STATUS_USAGE);
        if (o == 'q')
            c.quick = true;
        else if (o == 'n')
            c.plots = false;
        else if (*optarg)
            set_option(&c, o);
    }
    if (optind < argc)
        die(STATUS_USAGE, "unexpected argument '%s' (try --help)", argv[optind]);
    if (*c.emu && emu_by_name(c.emu) < 0)
        die(STATUS_USAGE, "unknown EMU '%s'; choose one of: %s, %s", c.emu, emu_names[0],
            emu_names[1]);
    if (c.quick && *c.emu && emu_by_name(c.emu) != EMU_QEMU)
        die(STATUS_USAGE, "--quick measures in QEMU only; leave out --emu=%s", c.emu);
    if (c.from && (c.quick || *c.emu))
        die(STATUS_USAGE, "--from measures nothing; leave out --quick and --emu");
    return c;
}

/* Before minutes of work: what they need is there. */
static void look_ahead(const struct chosen *c)
{
    char *argv[] = {"gnuplot", "--version", NULL};
    if (c->check && access(c->check, R_OK))
        die(STATUS_USAGE, "--check: %s cannot be read", c->check);
    if (c->plots && proc_run(argv, "/dev/null"))
        die(1, "gnuplot is missing (package gnuplot-nox; `make report` installs it); or give "
               "--no-plots");
    make_dirs(c->out);
}

int main(int argc, char **argv)
{
    const struct chosen c = read_options(argc, argv);
    look_ahead(&c);
    if (!c.from)
        measure(&c);
    const int problems = make_report(&c, c.from ? c.from : in(&c, MEASURED));
    printf("Written: %s/index.html (to read), report.json (all figures), csv/\n", c.out);
    const int differs = c.check ? compare(&c) : 0;
    const bool lost = fflush(stdout) || ferror(stdout);
    return problems || differs || lost;
}
