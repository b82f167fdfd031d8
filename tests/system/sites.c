/* `make sites`: every site is told, its bytes are understood, and its counts are exact. */
#include <stdlib.h>
#include <string.h>

#include "lib/site_text.h"
#include "systest.h"

#define TOOL "build/tools/tv-sites"

/* --- what bytes say --- */

#define SITE 0xC0100000u
static const struct pv_note note = {.hypercall_page = 0xC0200000u, .shared_page = 0xC0300000u};

static const struct {
    uint8_t bytes[PV_SITE_LEN];
    unsigned used;
    const char *text;
} samples[] = {
    {{0xFA, 0x0F, 0x1F, 0x80, 0, 0, 0, 0}, 1, "cli"},
    {{0xFB, 0xF4, 0x66, 0x0F, 0x1F, 0x44, 0, 0}, 2, "sti; hlt"},
    {{0x66, 0xF3, 0x6D, 0x0F, 0x1F, 0x44, 0, 0}, 3, "rep insw"},
    {{0x0F, 0x1F, 0x84, 0, 0, 0, 0, 0}, 0, "nop"},
    {{0xCD, 0x83, 0x66, 0x0F, 0x1F, 0x44, 0, 0}, 2, "int 0x83"},
    {{0x3E, 0x80, 0x25, 0x01, 0x00, 0x30, 0xC0, 0xFD}, 8, "and byte [virtual_flags+1], ~IF"},
    {{0x3E, 0x80, 0x25, 0x01, 0x00, 0x30, 0xC0, 0xCD}, 8, "and byte [virtual_flags+1], 0xcd"},
    {{0x3E, 0x80, 0x25, 0x00, 0x00, 0x40, 0xC0, 0xFD}, 8, "and byte [0xc0400000], 0xfd"},
    {{0xA1, 0x08, 0x00, 0x30, 0xC0, 0x0F, 0x1F, 0x00}, 5, "mov eax, [cr2]"},
    /* 5 + 0x000ffffb + 17 * 64, the stub that has a name; the next one has none */
    {{0xE8, 0x3B, 0x04, 0x10, 0x00, 0x0F, 0x1F, 0x00}, 5, "call stub read-cr3"},
    {{0xE8, 0x7B, 0x04, 0x10, 0x00, 0x0F, 0x1F, 0x00}, 5, "call stub 18"},
    {{0xE8, 0x3C, 0x04, 0x10, 0x00, 0x0F, 0x1F, 0x00}, 5, "call 0xc0200441"},
    {{0xE8, 0xFB, 0x0F, 0x10, 0x00, 0x0F, 0x1F, 0x00}, 5, "call 0xc0201000"},
    /* not the NOPs of the ABI behind it, or another instruction */
    {{0xFA, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90}, PV_SITE_LEN, "?"},
    {{0xFA, 0x0F, 0x1F, 0x80, 0, 0, 0, 1}, PV_SITE_LEN, "?"},
    {{0xCD, 0x83, 0x0F, 0x1F, 0x80, 0, 0, 0}, PV_SITE_LEN, "?"},
    {{0xA1, 0x08, 0x00, 0x30, 0xC0, 0x0F, 0x1F, 0x40}, PV_SITE_LEN, "?"},
    {{0xB8, 0x08, 0x00, 0x30, 0xC0, 0x0F, 0x1F, 0x00}, PV_SITE_LEN, "?"},
};

static void texts(const struct test_case *test)
{
    const char *names[PV_OP_COUNT] = {[PV_OP_READ_CR3] = "read-cr3"};
    (void)test;
    for (unsigned i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        const struct site_text got = site_text(&note, names, SITE, samples[i].bytes);
        if (strcmp(got.text, samples[i].text) || got.used != samples[i].used)
            fail("sample %u: \"%s\", %u bytes; expected \"%s\", %u", i, got.text, got.used,
                 samples[i].text, samples[i].used);
    }
}

/* --- wrong usage --- */

static void usage(const struct test_case *test)
{
    static const struct {
        const char *argument;
        int status;
        const char *text;
    } cases[] = {
        {"--help", 0, "usage: tv-sites"},
        {"--emu=vmware", 2, "unknown EMU 'vmware'; choose one of: qemu, bochs"},
        {"--by=size", 2, "unknown order 'size'; choose executed or address"},
        {"--without=sti,warp", 2,
         "--without: 'warp' is no mechanism of mode para; choose of: sti,"},
        {"--json=no/such/folder/x", 2, "cannot write no/such/folder/x"},
        {"usertests", 2, "unexpected argument 'usertests'"},
        {"--sort=size", 2, "unrecognized option '--sort=size'"},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_usage(test, TOOL, cases[i].argument, cases[i].status, cases[i].text);
}

/* --- counts --- */

/* Runs the tool; returns its table, and what it wrote as JSON. */
static char *run_tool(const struct test_case *test, const char *part, const char *programs,
                      const char *more, int status, cJSON **json)
{
    const struct emu_spec spec = test_spec(test, "");
    char *dir = xasprintf("%s/%s", spec.dir, part);
    char *path = xasprintf("%s/%s.json", spec.dir, part);
    char *script = xasprintf(TOOL " --emu=%s --run='%s' --dir=%s --json=%s %s 2>%s.progress",
                             emu_names[test->emu], programs, dir, path, more, dir);
    char *argv[] = {"sh", "-c", script, NULL};
    char *output = tool_output(test, argv, xasprintf("%s.txt", part), status);
    *json = json_file(path);
    free(script);
    free(path);
    free(dir);
    return output;
}

static double executed(const cJSON *site)
{
    return record_number(site, "executed", -1);
}

/* The sites of an operation in a function ("" for all): how often they were executed, in all. */
static double count(const cJSON *json, const char *operation, const char *function)
{
    const cJSON *site;
    double sum = 0;
    cJSON_ArrayForEach(site, cJSON_GetObjectItemCaseSensitive(json, "sites"))
    {
        const char *symbol = record_string(site, "symbol");
        if (!strcmp(record_string(site, "operation"), operation) &&
            !strncmp(symbol, function, strlen(function)))
            sum += executed(site);
    }
    return sum;
}

/* What the patcher makes of an operation, as pv_abi.h and patcher.c have it: few are no call. */
static void check_patch(const cJSON *site)
{
    static const char *const other[][2] = {
        {"cli", "and byte [virtual_flags+1], ~IF"},
        {"iret", "int 0x83"},
        {"read-cr0", "mov eax, [cr0]"},
        {"read-cr2", "mov eax, [cr2]"},
    };
    const char *operation = record_string(site, "operation"),
               *got = record_string(site, "after_text");
    const char *want = xasprintf("call stub %s", operation);
    for (unsigned i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        if (!strcmp(operation, other[i][0]))
            want = other[i][1];
    }
    if (executed(site) < 0)
        want = record_string(site, "before_text");
    if (strcmp(got, want))
        fail("%s at %s becomes \"%s\", expected \"%s\"", operation, record_string(site, "symbol"),
             got, want);
}

/* Another reader of ELF files has the same symbol for it. */
static void check_symbol(const cJSON *site, const char *nm)
{
    const char *symbol = record_string(site, "symbol"), *plus = strrchr(symbol, '+');
    if (!plus)
        fail("the site at %.0f has no symbol", record_number(site, "address", 0));
    const unsigned at =
        (unsigned)record_number(site, "address", 0) - (unsigned)strtoul(plus + 1, NULL, 16);
    char *line = xasprintf("\n%08x t %.*s\n", at, (int)(plus - symbol), symbol);
    char *global = xasprintf("\n%08x T %.*s\n", at, (int)(plus - symbol), symbol);
    if (!strstr(nm, line) && !strstr(nm, global))
        fail("nm does not know %s at %08x", symbol, at);
    free(line);
    free(global);
}

static void check_symbols(const struct test_case *test, const cJSON *json)
{
    char *argv[] = {"nm", ISO_GUEST, NULL}, *nm = tool_output(test, argv, "nm.txt", 0);
    const cJSON *site;
    cJSON_ArrayForEach(site, cJSON_GetObjectItemCaseSensitive(json, "sites"))
    {
        check_symbol(site, nm);
    }
    free(nm);
}

/* All sites are there, what they hold is understood, and none of the patched has no count. */
static void check_sites(const cJSON *json, const cJSON *stats)
{
    const cJSON *site;
    double patched = 0;
    cJSON_ArrayForEach(site, cJSON_GetObjectItemCaseSensitive(json, "sites"))
    {
        const bool is_patched = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(site, "patched"));
        check_patch(site);
        if (!strcmp(record_string(site, "before_text"), "?"))
            fail("the plain bytes %s are not understood", record_string(site, "before"));
        if (is_patched != (executed(site) >= 0))
            fail("the site in %s is patched without count, or counted without patch",
                 record_string(site, "symbol"));
        patched += executed(site) >= 0;
    }
    if (patched < 50 || patched != record_number(stats, "patched_sites", -1))
        fail("%.0f sites are patched, the VMM says %.0f", patched,
             record_number(stats, "patched_sites", -1));
}

/* What the VMM counted in the same run, where an exit is finished and not at the sites. */
static void check_exits(const cJSON *json, const cJSON *stats)
{
    const cJSON *exits = cJSON_GetObjectItemCaseSensitive(stats, "exits");
    const double irets = count(json, "iret", "");
    if (!(irets > 0) || irets != record_number(exits, "pv-iret", -1))
        fail("%.0f executed iret sites, the VMM counts %.0f", irets,
             record_number(exits, "pv-iret", -1));
    if (count(json, "sti-hlt", "") + count(json, "hlt", "") != record_number(exits, "hlt", 0))
        fail("%.0f executed hlt sites, the VMM counts %.0f",
             count(json, "sti-hlt", "") + count(json, "hlt", ""), record_number(exits, "hlt", 0));
    if (count(json, "cpuid", "") != record_number(exits, "cpuid", -1))
        fail("%.0f executed cpuid sites, the VMM counts %.0f", count(json, "cpuid", ""),
             record_number(exits, "cpuid", -1));
}

/*
 * bench runs an operation in 11 batches and 4 times before them, so the loops of the kernel
 * (guestos/kernel/kbench.c) are entered 12 times a run and their operations executed n + 4 times.
 */
#define WARM_UP 4
#define LOOPS 12
#define PROGRAM "bench,port-io,cli-sti,cr3-reload,cr-write"

static const struct {
    const char *operation, *function, *benchmark;
    double once; /* more at each call of the function */
} loops[] = {
    {"in8", "port_in+", "port-io", 0},
    {"cli", "cli_sti+", "cli-sti", 1},
    {"sti", "cli_sti+", "cli-sti", 1},
    {"pushf", "cli_sti+", NULL, 2},
    {"write-cr3", "reload_cr3+", "cr3-reload", 0},
    {"read-cr3", "reload_cr3+", NULL, 2},
    {"write-cr0", "write_cr0+", "cr-write", 0},
    {"read-cr0", "write_cr0+", NULL, 2},
};

/* Operations that the guest's bench says it has done. */
static double done(const char *console, const char *benchmark)
{
    struct bench_op ops[16];
    const int n = benchmark ? bench_parse(console, ops, 16) : 0;
    for (int i = 0; i < n; i++) {
        if (!strcmp(ops[i].name, benchmark))
            return (double)ops[i].n + WARM_UP;
    }
    if (benchmark)
        fail("the guest did not measure %s", benchmark);
    return 0;
}

static void check_loops(const cJSON *json, const char *console, double runs)
{
    for (unsigned i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
        const double want = runs * (done(console, loops[i].benchmark) + LOOPS * loops[i].once);
        const double got = count(json, loops[i].operation, loops[i].function);
        if (got != want)
            fail("%s in %s: executed %.0f times, the program did it %.0f times", loops[i].operation,
                 loops[i].function, got, want);
    }
}

static void counts(const struct test_case *test)
{
    const struct emu_spec spec = test_spec(test, "");
    cJSON *first, *second, *twice;
    char *one = run_tool(test, "first", PROGRAM, "", 0, &first);
    char *two = run_tool(test, "second", PROGRAM, "", 0, &second);
    char *both = run_tool(test, "twice", PROGRAM ";" PROGRAM, "--by=address", 0, &twice);
    char *console = read_file(xasprintf("%s/first/counted/com1.txt", spec.dir), NULL);
    char *records = read_file(xasprintf("%s/first/counted/com2.txt", spec.dir), NULL);
    cJSON *all = records_parse(records);
    check_same("the second run of " TOOL, two, one);
    check_sites(first, records_last(all, "stats"));
    check_symbols(test, first);
    check_exits(first, records_last(all, "stats"));
    check_loops(first, console, 1);
    check_loops(twice, console, 2);
    if (strstr(one, "PROBLEM") || strstr(both, "PROBLEM"))
        fail("the tool has found a problem:\n%s%s", one, both);
    cJSON_Delete(all);
    free(console);
    free(records);
}

/* Sorted as it was asked for. */
static void order(const struct test_case *test)
{
    static const char *const by[] = {"executed", "address"};
    for (int i = 0; i < 2; i++) {
        cJSON *json;
        const cJSON *site, *before = NULL;
        run_tool(test, by[i], "echo,hi", xasprintf("--by=%s --without=io", by[i]), 0, &json);
        cJSON_ArrayForEach(site, cJSON_GetObjectItemCaseSensitive(json, "sites"))
        {
            const bool patched = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(site, "patched"));
            const bool is_in = !strcmp(record_string(site, "operation"), "in8");
            if (is_in && patched)
                fail("a port is read by a call though that is switched off");
            if (before && !i && executed(before) < executed(site))
                fail("not sorted by times executed");
            if (before && i &&
                record_number(before, "address", 0) >= record_number(site, "address", 0))
                fail("not sorted by address");
            before = site;
        }
        cJSON_Delete(json);
    }
}

/* What cannot be run is said, with the status that says so, and still counted. */
static void failing(const struct test_case *test)
{
    cJSON *json;
    char *output = run_tool(test, "failing", "no-such-program", "", 1, &json);
    if (!strstr(output, "PROBLEM: counted: status ") || !strstr(output, "PROBLEM: plain: status "))
        fail("the failure is not told:\n%s", output);
    if (!(count(json, "iret", "") > 0))
        fail("nothing was counted before the failure");
    cJSON_Delete(json);
    free(output);
}

void tests_sites(void)
{
    test_add(texts, EMU_QEMU, MODE_PARA, 10, "sites-text");
    test_add(usage, EMU_QEMU, MODE_PARA, 20, "sites-usage");
    test_add(counts, EMU_BOCHS, MODE_PARA, 360, "sites-counts/bochs");
    if (tests_long())
        test_add(counts, EMU_QEMU, MODE_PARA, 360, "sites-counts/qemu");
    test_add(order, EMU_QEMU, MODE_PARA, 120, "sites-order");
    test_add(failing, EMU_QEMU, MODE_PARA, 60, "sites-failing");
}
