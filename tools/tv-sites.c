/*
 * tv-sites: what mode para does to the guest kernel. Runs a workload twice, with every site trapped
 * and counted (slow, exact) and as always; prints each site with its bytes before and after, what
 * they say, and how often it was executed. `make sites` calls it.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/choose.h"
#include "lib/kernel.h"
#include "lib/measure.h"
#include "lib/pv_words.h"
#include "lib/site_text.h"

#define WORKLOAD "usertests,-q"
#define LIMIT_S 300
#define MAX_PROBLEMS 20

enum order { BY_EXECUTED, BY_ADDRESS };

struct site {
    uint32_t gva;
    uint8_t op;
    const char *name;              /* of the operation, in the records */
    char before[24], after[24];    /* hexadecimal digits of all bytes */
    struct site_text plain, patch; /* what they say */
    char *symbol;
    bool patched;
    double executed; /* negative: not counted */
};

struct operation {
    uint8_t op;
    const char *name;
    unsigned sites;
    double executed; /* negative: not counted */
    double calls;    /* of the VMM in the plain run */
};

struct sites {
    struct kernel_file kernel;
    struct measure counted, plain;
    const char *workload;
    char *off; /* the mechanisms that were switched off, or "" */
    struct site *site;
    unsigned count, patched;
    const char *names[PV_OP_COUNT];
    struct operation operation[PV_OP_COUNT];
    unsigned operations;
    double executed; /* by all */
    char *problems[MAX_PROBLEMS];
    int problem_count;
};

static void problem(struct sites *all, char *text)
{
    if (all->problem_count < MAX_PROBLEMS)
        all->problems[all->problem_count++] = text;
}

/* --- reading --- */

static const struct pv_site *recorded(const struct kernel_file *kernel, uint32_t gva)
{
    for (unsigned i = 0; i < kernel->site_count; i++) {
        if (kernel->sites[i].gva == gva)
            return &kernel->sites[i];
    }
    return NULL;
}

static bool read_hex(const char *text, uint8_t bytes[PV_SITE_LEN])
{
    for (unsigned i = 0; text && i < PV_SITE_LEN; i++) {
        unsigned value;
        if (sscanf(text + 2 * i, "%2x", &value) != 1)
            return false;
        bytes[i] = (uint8_t)value;
    }
    return text && strlen(text) == 2 * PV_SITE_LEN;
}

/* The record of one site. What the VMM says must be what the kernel's file says. */
static void add_site(struct sites *all, const cJSON *record)
{
    const uint32_t gva = (uint32_t)record_number(record, "address", 0);
    const struct pv_site *known = recorded(&all->kernel, gva);
    const uint8_t *file = kernel_bytes(&all->kernel, gva);
    const char *before = record_string(record, "before"), *after = record_string(record, "after");
    uint8_t bytes[2][PV_SITE_LEN];
    if (!known || !file || known->op >= PV_OP_COUNT || !read_hex(before, bytes[0]) ||
        !read_hex(after, bytes[1]) || memcmp(file, bytes[0], PV_SITE_LEN)) {
        problem(all, xasprintf("the VMM's record of the site at %08x does not fit the kernel's "
                               "file",
                               gva));
        return;
    }
    struct site *site = &all->site[all->count++];
    *site = (struct site){.gva = gva, .op = known->op, .name = record_string(record, "op")};
    snprintf(site->before, sizeof(site->before), "%s", before);
    snprintf(site->after, sizeof(site->after), "%s", after);
    site->plain = site_text(&all->kernel.note, all->names, gva, bytes[0]);
    site->patch = site_text(&all->kernel.note, all->names, gva, bytes[1]);
    site->symbol = kernel_symbol(&all->kernel, gva);
    site->patched = memcmp(bytes[0], bytes[1], PV_SITE_LEN);
    site->executed = record_number(record, "executed", -1);
    all->patched += site->patched;
    if (site->patched != (site->executed >= 0))
        problem(all, xasprintf("the site at %08x is patched but not counted, or counted but not "
                               "patched",
                               gva));
}

static bool is_site(const cJSON *record)
{
    const char *type = record_string(record, "type");
    return type && !strcmp(type, "site") && record_string(record, "op");
}

static void read_sites(struct sites *all)
{
    const cJSON *record;
    unsigned records = 0;
    cJSON_ArrayForEach(record, all->counted.records)
    {
        const struct pv_site *known =
            recorded(&all->kernel, (uint32_t)record_number(record, "address", 0));
        if (is_site(record) && known && known->op < PV_OP_COUNT)
            all->names[known->op] = record_string(record, "op");
        records += is_site(record);
    }
    if (records != all->kernel.site_count)
        problem(all, xasprintf("the VMM reports %u sites, the kernel has %u", records,
                               all->kernel.site_count));
    all->site = calloc(records + 1, sizeof(*all->site));
    cJSON_ArrayForEach(record, all->counted.records)
    {
        if (is_site(record))
            add_site(all, record);
    }
}

static const cJSON *calls_of(const struct measure *run)
{
    return cJSON_GetObjectItemCaseSensitive(records_last(run->records, "stats"), "hypercalls");
}

/* The VMM counts the operations that it does for the guest in another place than the sites. */
static void check_operation(struct sites *all, const struct operation *op)
{
    const double calls = record_number(calls_of(&all->counted), op->name, 0);
    if (op->executed >= 0 && op->executed != calls)
        problem(all, xasprintf("%s: the sites were executed %.0f times, the VMM did it %.0f times",
                               op->name, op->executed, calls));
}

static void sum_up(struct sites *all)
{
    for (uint8_t op = 1; op < PV_OP_COUNT; op++) {
        struct operation sum = {.op = op, .name = all->names[op], .executed = -1};
        for (unsigned i = 0; i < all->count; i++) {
            const struct site *site = &all->site[i];
            if (site->op != op)
                continue;
            sum.sites++;
            if (site->executed >= 0)
                sum.executed = (sum.executed < 0 ? 0 : sum.executed) + site->executed;
        }
        if (!sum.sites)
            continue;
        sum.calls = record_number(calls_of(&all->plain), sum.name, 0);
        all->executed += sum.executed > 0 ? sum.executed : 0;
        check_operation(all, &sum);
        all->operation[all->operations++] = sum;
    }
}

/* --- order --- */

static int by_address(const void *a, const void *b)
{
    const struct site *x = a, *y = b;
    return x->gva < y->gva ? -1 : x->gva > y->gva;
}

static int by_executed(const void *a, const void *b)
{
    const struct site *x = a, *y = b;
    return x->executed != y->executed ? (x->executed < y->executed ? 1 : -1) : by_address(a, b);
}

static int operation_by_executed(const void *a, const void *b)
{
    const struct operation *x = a, *y = b;
    return x->executed != y->executed ? (x->executed < y->executed ? 1 : -1) : x->op - y->op;
}

/* --- for people --- */

/* A count, or "-" for what was not counted. */
static char *number(double n)
{
    return n < 0 ? xasprintf("-") : xasprintf("%.0f", n);
}

static char *share(const struct sites *all, double n)
{
    return n < 0 || !(all->executed > 0) ? xasprintf("-")
                                         : xasprintf("%.1f %%", 100 * n / all->executed);
}

/* "ee  out dx, al": the bytes without the NOP behind them, and what they say. */
static char *bytes_and_text(const char *hex, const struct site_text *text, int bytes)
{
    return xasprintf("%-*.*s %s", 2 * bytes, (int)(2 * text->used), hex, text->text);
}

/* The widest symbol. */
static int symbol_width(const struct sites *all)
{
    size_t width = 0;
    for (unsigned i = 0; i < all->count; i++) {
        const size_t n = strlen(all->site[i].symbol);
        width = n > width ? n : width;
    }
    return (int)width;
}

static void site_table(struct text *out, const struct sites *all)
{
    const int width = symbol_width(all);
    text_printf(out, "%8s  %-8s  %-*s  %-10s  %-21s  %s\n", "executed", "address", width, "in",
                "operation", "plain", "patched");
    for (unsigned i = 0; i < all->count; i++) {
        const struct site *s = &all->site[i];
        if (s->patched)
            text_printf(out, "%8s  %08x  %-*s  %-10s  %-21s  %s\n", number(s->executed), s->gva,
                        width, s->symbol, s->name, bytes_and_text(s->before, &s->plain, 3),
                        bytes_and_text(s->after, &s->patch, 8));
    }
}

static void operation_table(struct text *out, const struct sites *all)
{
    const cJSON *stats = records_last(all->plain.records, "stats");
    text_printf(out, "\nBy operation\n%-12s %6s %9s %9s %11s\n", "", "sites", "executed", "share",
                "VMM called");
    for (unsigned i = 0; i < all->operations; i++) {
        const struct operation *op = &all->operation[i];
        text_printf(out, "%-12s %6u %9s %9s %11s\n", op->name, op->sites, number(op->executed),
                    share(all, op->executed), number(op->executed < 0 ? -1 : op->calls));
    }
    text_printf(out, "%-12s %6u %9.0f\n", "all", all->count, all->executed);
    text_printf(out,
                "\"executed\" is exact. \"VMM called\" is of a second run, in which nothing is "
                "counted: time runs otherwise\nin it, so interrupts come at other moments. In that "
                "run the VMM took %.0f changes of translations\nout of the queue, in %.0f goes.\n",
                record_number(stats, "drained", 0), record_number(stats, "drains", 0));
}

static void unpatched_table(struct text *out, const struct sites *all)
{
    const int width = symbol_width(all);
    text_printf(out, "\nNot patched: they trap and are emulated, and are not counted\n");
    for (unsigned i = 0; i < all->count; i++) {
        const struct site *s = &all->site[i];
        if (!s->patched)
            text_printf(out, "%8s  %08x  %-*s  %-10s  %s\n", "-", s->gva, width, s->symbol, s->name,
                        bytes_and_text(s->before, &s->plain, 3));
    }
}

static char *tables(const struct sites *all)
{
    struct text out = {0};
    text_printf(&out,
                "Minnow's sites in mode para%s%s, %s, running %s:\n"
                "%u sites, %u of them patched, executed %.0f times\n\n",
                *all->off ? " with pv=" : "", all->off, emu_titles[all->counted.spec.emu],
                all->workload, all->count, all->patched, all->executed);
    site_table(&out, all);
    operation_table(&out, all);
    unpatched_table(&out, all);
    for (int i = 0; i < all->problem_count; i++)
        text_printf(&out, "PROBLEM: %s\n", all->problems[i]);
    return out.text;
}

/* --- for programs --- */

static void add_count(cJSON *object, const char *key, double n)
{
    if (n < 0)
        cJSON_AddNullToObject(object, key);
    else
        cJSON_AddNumberToObject(object, key, n);
}

static cJSON *site_json(const struct site *site)
{
    cJSON *one = cJSON_CreateObject();
    cJSON_AddNumberToObject(one, "address", site->gva);
    cJSON_AddStringToObject(one, "symbol", site->symbol);
    cJSON_AddStringToObject(one, "operation", site->name);
    cJSON_AddStringToObject(one, "before", site->before);
    cJSON_AddStringToObject(one, "before_text", site->plain.text);
    cJSON_AddStringToObject(one, "after", site->after);
    cJSON_AddStringToObject(one, "after_text", site->patch.text);
    cJSON_AddBoolToObject(one, "patched", site->patched);
    add_count(one, "executed", site->executed);
    return one;
}

static void write_json(const struct sites *all, const char *path)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "emulator", emu_names[all->counted.spec.emu]);
    cJSON_AddStringToObject(json, "workload", all->workload);
    cJSON_AddStringToObject(json, "without", all->off);
    cJSON *sites = cJSON_AddArrayToObject(json, "sites");
    for (unsigned i = 0; i < all->count; i++)
        cJSON_AddItemToArray(sites, site_json(&all->site[i]));
    cJSON *operations = cJSON_AddArrayToObject(json, "operations");
    for (unsigned i = 0; i < all->operations; i++) {
        const struct operation *op = &all->operation[i];
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "operation", op->name);
        cJSON_AddNumberToObject(one, "sites", op->sites);
        add_count(one, "executed", op->executed);
        add_count(one, "vmm_called", op->executed < 0 ? -1 : op->calls);
        cJSON_AddItemToArray(operations, one);
    }
    cJSON *problems = cJSON_AddArrayToObject(json, "problems");
    for (int i = 0; i < all->problem_count; i++)
        cJSON_AddItemToArray(problems, cJSON_CreateString(all->problems[i]));
    json_write(path, json);
}

/* --- the runs --- */

static void plan(struct measure *run, enum emu_kind emu, const char *dir, const char *name,
                 const char *workload, char *switches)
{
    *run = (struct measure){
        .name = xasprintf("%s", name),
        .spec = {.emu = emu,
                 .files = {.mode = MODE_PARA,
                           .guest_args = xasprintf("run=%s", workload),
                           .vmm_options =
                               *switches ? xasprintf("report=on pv=%s", switches) : "report=on"},
                 .console = CONSOLE_FILE,
                 .timeout_s = LIMIT_S,
                 .dir = xasprintf("%s/%s", dir, name),
                 .echo_fd = -1},
    };
}

/* Both runs; false: there is nothing to show. */
static bool run_both(struct sites *all)
{
    struct measure runs[2] = {all->counted, all->plain};
    fprintf(stderr, "Running %s twice in %s; counting is slow:\n", all->workload,
            emu_titles[runs[0].spec.emu]);
    measure_all(runs, 2, measure_parallel());
    all->counted = runs[0];
    all->plain = runs[1];
    for (int i = 0; i < 2; i++) {
        if (runs[i].failure)
            problem(all, xasprintf("%s: %s", runs[i].name, runs[i].failure));
    }
    return runs[0].complete && runs[1].complete;
}

static const char usage[] =
    "usage: tv-sites [--emu=qemu|bochs] [--run=PROGRAMS] [options]\n"
    "Shows what mode para patches in the guest kernel, and how often each site is executed.\n"
    "  --run=PROGRAMS   the workload: prog,arg,arg;prog2 (default " WORKLOAD ")\n"
    "  --by=executed|address   the order of the sites (default executed)\n"
    "  --without=NAMES  leave mechanisms out, with commas between them: as the VMM's pv=-NAME\n"
    "  --json=FILE      write it there, too\n"
    "  --dir=DIR        consoles, records and logs of the runs (default build/run/sites-EMU)\n"
    "Exit status 1 when a run failed, a program of the workload failed, or counts contradict each\n"
    "other (lines with PROBLEM say what); 2: wrong usage.\n";

struct chosen {
    enum emu_kind emu;
    const char *workload, *json, *dir;
    enum order order;
    bool off[PV_WORDS];
};

static enum order read_order(const char *text)
{
    if (!strcmp(text, "executed"))
        return BY_EXECUTED;
    if (strcmp(text, "address"))
        die(STATUS_USAGE, "unknown order '%s'; choose executed or address", text);
    return BY_ADDRESS;
}

/* Without a value, as make passes what was not given, an option is as if it were not there. */
static struct chosen read_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"emu", 1, NULL, 'e'},     {"run", 1, NULL, 'r'},  {"by", 1, NULL, 'b'},
        {"without", 1, NULL, 'w'}, {"json", 1, NULL, 'j'}, {"dir", 1, NULL, 'd'},
        {"help", 0, NULL, 'h'},    {NULL, 0, NULL, 0},
    };
    struct chosen c = {.workload = WORKLOAD};
    enum run_mode para;
    const char *emu = "qemu";
    for (int o; (o = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        if (o == 'h')
            fputs(usage, stdout), exit(0);
        if (o == '?')
            exit(STATUS_USAGE);
        if (!*optarg)
            continue;
        if (o == 'e')
            emu = optarg;
        else if (o == 'r')
            c.workload = optarg;
        else if (o == 'b')
            c.order = read_order(optarg);
        else if (o == 'w')
            pv_words_read("--without", optarg, c.off);
        else if (o == 'j')
            c.json = optarg;
        else
            c.dir = optarg;
    }
    if (optind < argc)
        die(STATUS_USAGE, "unexpected argument '%s' (try --help)", argv[optind]);
    choose_pair(emu, "para", &c.emu, &para);
    if (!c.dir)
        c.dir = xasprintf("build/run/sites-%s", emu);
    return c;
}

int main(int argc, char **argv)
{
    const struct chosen c = read_options(argc, argv);
    struct sites all = {.workload = c.workload, .off = pv_words_off("", c.off)};
    const char *error = kernel_open(&all.kernel, ISO_GUEST);
    if (error)
        die(1, "%s", error);
    measure_output(c.json);
    measure_dir(c.dir);
    plan(&all.counted, c.emu, c.dir, "counted", c.workload, pv_words_off("count", c.off));
    plan(&all.plain, c.emu, c.dir, "plain", c.workload, all.off);
    if (!run_both(&all))
        die(1, "%s", all.problems[0]);
    read_sites(&all);
    sum_up(&all);
    qsort(all.site, all.count, sizeof(*all.site), c.order == BY_ADDRESS ? by_address : by_executed);
    qsort(all.operation, all.operations, sizeof(*all.operation), operation_by_executed);
    char *text = tables(&all);
    fputs(text, stdout);
    if (c.json)
        write_json(&all, c.json);
    const bool lost = fflush(stdout) || ferror(stdout);
    if (lost)
        fprintf(stderr, "tv-sites: the table could not be written\n");
    free(text);
    kernel_close(&all.kernel);
    measure_free(&all.counted);
    measure_free(&all.plain);
    return lost || all.problem_count ? 1 : 0;
}
