/*
 * Traces: each exit is there once, in order, with the right reason and place. What tv-trace writes
 * is held against what the VMM counts by itself, and against a guest whose exits are known.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/exit_names.h"
#include "systest.h"

#define TOOL "build/tools/tv-trace"
#define GUEST "build/tests/guests/traced.elf"
#define DRAINING "usertests,-q" /* more exits than the VMM collects at a time */

/* --- wrong usage --- */

static void usage(const struct test_case *test)
{
    check_usage(test, TOOL, "--help", 0, "usage: tv-trace");
    check_usage(test, TOOL, "--mode=native", 2, "mode native has no VMM");
    check_usage(test, TOOL, "--mode=vtx", 2, "QEMU without KVM");
    check_usage(test, TOOL, "--emu=vmware", 2, "unknown EMU 'vmware'");
    check_usage(test, TOOL, "--guest=no/such/guest", 2, "cannot read no/such/guest");
    check_usage(test, TOOL, "--out=no/such/folder/x", 2, "cannot write no/such/folder/x.json");
    check_usage(test, TOOL, "--opts=trace=maybe", 2, "trace=maybe: choose on, off or drop");
    check_usage(test, TOOL, "--opts=trace=off", 1, "the VMM has made no trace");
    check_usage(test, TOOL, "ls", 2, "unexpected argument 'ls'");
}

/* --- reading what was written --- */

struct traced {
    cJSON *events, *records;
    const cJSON *stats, *info;
    char *table, *folded;
};

static struct traced run_tool(const struct test_case *test, const char *more)
{
    const struct emu_spec spec = test_spec(test, "");
    struct traced t = {0};
    make_dirs(spec.dir);
    char *script =
        xasprintf(TOOL " --emu=%s --mode=%s --out=%s/t --dir=%s/run %s", emu_names[test->emu],
                  mode_names[test->mode], spec.dir, spec.dir, more);
    char *argv[] = {"sh", "-c", script, NULL};
    t.table = tool_output(test, argv, "table.txt", 0);
    cJSON *json = json_file(xasprintf("%s/t.json", spec.dir));
    t.events = cJSON_DetachItemFromObjectCaseSensitive(json, "traceEvents");
    cJSON_Delete(json);
    t.folded = read_file(xasprintf("%s/t.folded", spec.dir), NULL);
    t.records = records_parse(read_file(xasprintf("%s/run/com2.txt", spec.dir), NULL));
    t.stats = records_last(t.records, "stats");
    t.info = records_last(t.records, "trace");
    if (strstr(t.table, "PROBLEM"))
        fail("the tool has found a problem:\n%s", t.table);
    return t;
}

static bool is(const cJSON *event, const char *key, const char *value)
{
    const char *text = record_string(event, key);
    return text && !strcmp(text, value);
}

/* Three decimals of a microsecond, and no rounding. */
static unsigned long long ticks(const cJSON *event, const char *key)
{
    return (unsigned long long)(record_number(event, key, -1) * 1000 + 0.5);
}

static double vmm_counts(const struct traced *t, const char *reason)
{
    const cJSON *exits = cJSON_GetObjectItemCaseSensitive(t->stats, "exits");
    const double null_calls = record_number(t->stats, "null_hypercalls", 0);
    return record_number(exits, reason, 0) + (strcmp(reason, "hypercall") ? 0 : null_calls);
}

/* Reasons of the trace; slot 0 is for exits without one, of which there must be none. */
static void count_events(const struct traced *t, double count[EXIT_REASON_COUNT])
{
    const cJSON *event;
    cJSON_ArrayForEach(event, t->events)
    {
        if (!is(event, "cat", "exit"))
            continue;
        unsigned r = EXIT_REASON_COUNT - 1;
        while (r && !is(event, "name", exit_names[r]))
            r--;
        count[r]++;
    }
    if (count[0])
        fail("%.0f exits have no reason", count[0]);
}

static void check_counts(const struct traced *t, double least)
{
    double count[EXIT_REASON_COUNT] = {0}, all = 0;
    count_events(t, count);
    for (unsigned r = 1; r < EXIT_REASON_COUNT; r++) {
        if (count[r] != vmm_counts(t, exit_names[r]))
            fail("the trace has %.0f exits %s, the VMM counts %.0f", count[r], exit_names[r],
                 vmm_counts(t, exit_names[r]));
        all += count[r];
    }
    if (all < least)
        fail("only %.0f exits, expected at least %.0f", all, least);
}

/* On each track events follow each other; only slices are inside of the event before them. Guest
 * and VMM do not run at a time. Returns the VMM's ticks. */
static unsigned long long check_times(const struct traced *t)
{
    unsigned long long end[3] = {0}, start = 0, sum = 0;
    const cJSON *event;
    cJSON_ArrayForEach(event, t->events)
    {
        if (!is(event, "ph", "X"))
            continue;
        const unsigned long long ts = ticks(event, "ts"), to = ts + ticks(event, "dur");
        const unsigned track = (unsigned)record_number(event, "tid", 0);
        const bool nested = is(event, "cat", "slice") && ts < end[track];
        if (track != 1 && track != 2)
            fail("an event is on track %u", track);
        if (ts < start || (nested ? to > end[track] : ts < end[1] || ts < end[2]))
            fail("the event at %llu overlaps the one before it, from %llu", ts, start);
        start = ts;
        sum += track == 1 && !nested ? to - ts : 0;
        end[track] = nested ? end[track] : to;
    }
    return sum;
}

static unsigned long long folded_sum(const struct traced *t)
{
    unsigned long long sum = 0;
    for (const char *line = t->folded; *line; line += strcspn(line, "\n") + 1) {
        const char *space = line + strcspn(line, "\n");
        while (space > line && *space != ' ')
            space--;
        if (space == line || (strncmp(line, "minnow;", 7) && strncmp(line, "VMM;", 4)))
            fail("no folded stack: %.*s", (int)strcspn(line, "\n"), line);
        sum += strtoull(space, NULL, 10);
    }
    return sum;
}

static void check_all(const struct traced *t, double least)
{
    check_counts(t, least);
    const unsigned long long vmm = check_times(t), folded = folded_sum(t);
    if (!vmm || vmm != folded)
        fail("the exits take %llu ticks, the folded stacks %llu", vmm, folded);
}

static unsigned slices(const struct traced *t, const char *name)
{
    unsigned n = 0;
    const cJSON *event;
    cJSON_ArrayForEach(event, t->events)
    {
        n += is(event, "cat", "slice") && is(event, "name", name);
    }
    return n;
}

static void counts(const struct test_case *test)
{
    const struct traced t = run_tool(test, "--run='ls;echo,hi'");
    check_all(&t, 700);
}

/* Calls that mode para counts apart are in the VMM's count also after the mode was left. */
static void left_para(const struct test_case *test)
{
    const struct traced t = run_tool(test, "--run='bench;hvmode,trap;hvmode,para;ls'");
    check_counts(&t, 30000);
}

/* More than fits: it is sent as it comes, and nothing is lost. */
static void draining(const struct test_case *test)
{
    const struct traced t = run_tool(test, "--run=" DRAINING);
    check_all(&t, 44000);
    if (!slices(&t, "drain") || !slices(&t, "idle"))
        fail("%u slices of sending, %u of idling", slices(&t, "drain"), slices(&t, "idle"));
    if (record_number(t.info, "blocks", 0) != slices(&t, "drain") + 1)
        fail("%.0f blocks, and %u slices of sending", record_number(t.info, "blocks", 0),
             slices(&t, "drain"));
}

/* What does not fit is counted, and what fits is kept. */
static void dropping(const struct test_case *test)
{
    const struct traced t = run_tool(test, "--run=" DRAINING " --opts=trace=drop");
    double count[EXIT_REASON_COUNT] = {0}, kept = 0, all = 0;
    count_events(&t, count);
    for (unsigned r = 1; r < EXIT_REASON_COUNT; r++) {
        kept += count[r];
        all += vmm_counts(&t, exit_names[r]);
        if (count[r] > vmm_counts(&t, exit_names[r]))
            fail("the trace has more exits %s than the VMM counts", exit_names[r]);
    }
    const double dropped = record_number(t.info, "dropped", 0);
    if (kept < 40000 || dropped < 1000 || kept + dropped != all)
        fail("%.0f exits kept, %.0f dropped, the VMM counts %.0f", kept, dropped, all);
    const cJSON *last = cJSON_GetArrayItem(t.events, cJSON_GetArraySize(t.events) - 1);
    const cJSON *args = cJSON_GetObjectItemCaseSensitive(last, "args");
    if (!is(last, "ph", "i") || record_number(args, "exits", 0) != dropped)
        fail("the last event does not tell of %.0f dropped exits", dropped);
    if (check_times(&t) != folded_sum(&t))
        fail("the folded stacks have other ticks than the exits");
    if (slices(&t, "drain"))
        fail("something was sent while the guest ran");
}

/* --- a guest whose exits are known --- */

#define ROUNDS 50 /* the guest's */

/* What it does in a round, where; and in which modes that leaves the guest. In para mode, without
 * sites, what does not trap by itself is wrong, and no exit. */
#define TRAP 1
#define PARA 2
#define HARD 4
static const struct known {
    const char *symbol, *reason;
    unsigned modes;
} known[] = {
    {"x_begin+0x0", "io", TRAP | PARA | HARD},
    {"x_in+0x0", "io", TRAP | PARA | HARD},
    {"x_cli+0x0", "flags", TRAP | PARA},
    {"x_read+0x0", "cr", TRAP | PARA},
    {"x_push+0x0", "flags", TRAP},
    {"x_cpuid+0x0", "cpuid", TRAP | HARD},
    {"x_msr+0x0", "msr", TRAP | PARA | HARD},
    {"x_clts+0x0", "cr", TRAP | PARA},
    {"x_out+0x0", "io", TRAP | PARA | HARD},
};
#define KNOWN (sizeof(known) / sizeof(known[0]))

/* Only the first time: the scanner, the code window, memory. At any time: the host's timer. */
static bool is_expected_between(const cJSON *event, unsigned done)
{
    return is(event, "name", "host-irq") ||
           (done < KNOWN && (is(event, "name", "scan") || is(event, "name", "window") ||
                             is(event, "name", "shadow-fill")));
}

static unsigned mode_bit(enum run_mode mode)
{
    return mode == MODE_TRAP ? TRAP : mode == MODE_PARA ? PARA : HARD;
}

/* The next one of the list that this mode has, from number done on. */
static unsigned next_known(unsigned done, enum run_mode mode)
{
    while (!(known[done % KNOWN].modes & mode_bit(mode)))
        done++;
    return done;
}

static void known_exits(const struct test_case *test)
{
    const struct traced t = run_tool(test, "--guest=" GUEST);
    unsigned done = 0;
    const cJSON *event;
    check_counts(&t, ROUNDS * 4);
    cJSON_ArrayForEach(event, t.events)
    {
        const cJSON *args = cJSON_GetObjectItemCaseSensitive(event, "args");
        if (!is(event, "cat", "exit") || done == KNOWN * ROUNDS)
            continue;
        const unsigned next = next_known(done, test->mode);
        const struct known *k = &known[next % KNOWN];
        const bool same = is(args, "symbol", k->symbol) && is(event, "name", k->reason);
        if (same && !is(args, "level", "kernel"))
            fail("the kernel's exit at %s is of a %s", k->symbol, record_string(args, "level"));
        if (same && done > 3 * KNOWN && test->mode != MODE_PARA && !is(args, "way", "short"))
            fail("the exit at %s takes the long way in round %u", k->symbol,
                 done / (unsigned)KNOWN);
        if (same)
            done = next + 1;
        else if (done && !is_expected_between(event, done))
            fail("exit %s at %s in place of %s at %s in round %u", record_string(event, "name"),
                 record_string(args, "symbol"), k->reason, k->symbol, done / (unsigned)KNOWN);
    }
    if (done != KNOWN * ROUNDS)
        fail("the list ends in round %u", done / (unsigned)KNOWN);
}

void tests_trace(void)
{
    test_add(usage, EMU_QEMU, MODE_TRAP, 60, "trace-usage");
    test_add(left_para, EMU_QEMU, MODE_PARA, 200, "trace-left-para");
    for (int e = 0; e < EMU_KINDS; e++) {
        for (int m = MODE_TRAP; m < RUN_MODES; m++) {
            const enum emu_kind emu = (enum emu_kind)e;
            const enum run_mode mode = (enum run_mode)m;
            if (pair_problem(emu, mode))
                continue;
            if (emu == EMU_QEMU || mode == MODE_VTX || tests_long())
                test_add(counts, emu, mode, 120, "trace-counts/%s-%s", emu_names[e], mode_names[m]);
            test_add(known_exits, emu, mode, 70, "trace-known/%s-%s", emu_names[e], mode_names[m]);
            if ((emu == EMU_QEMU && mode == MODE_PARA) || tests_long())
                test_add(draining, emu, mode, 300, "trace-draining/%s-%s", emu_names[e],
                         mode_names[m]);
            if ((emu == EMU_QEMU && mode == MODE_TRAP) || (emu == EMU_BOCHS && mode == MODE_VTX) ||
                tests_long())
                test_add(dropping, emu, mode, 300, "trace-dropping/%s-%s", emu_names[e],
                         mode_names[m]);
        }
    }
}
