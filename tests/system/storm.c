/*
 * The monitor and live switching together: whatever is asked for in whatever order, the guest's
 * work comes out right; and a trace that is switched on and off while the guest runs has each exit
 * of that time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systest.h"

#define ANSWER_S 30
#define LIMIT_S 200

static const char *const targets[EMU_KINDS][4] = {
    [EMU_QEMU] = {"trap", "para", "svm+nested", "svm+shadow"},
    [EMU_BOCHS] = {"trap", "para", "vtx+nested", "vtx+shadow"},
};

static uint32_t draw(uint32_t *seed, uint32_t n)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % n;
}

/* The answer, or NULL when the run has ended instead. */
static cJSON *ask(struct emu_run *run, const char *line)
{
    cJSON *records = emu_command(run, line, ANSWER_S);
    if (!records && run->running)
        fail("no answer to '%s'; COM2 has said:\n%s", line,
             run->said.len > 800 ? run->said.text + run->said.len - 800 : run->said.text);
    return records;
}

static void tell(struct emu_run *run, const char *line)
{
    cJSON_Delete(ask(run, line));
}

static void expect_load(struct emu_run *run)
{
    static const char *const lines[] = {"load: forks ok: ", "load: disk ok: ", "load: pipes ok: ",
                                        "load: timer ok: ", "load: 0 workers failed"};
    if (!emu_wait(run) || run->status)
        fail("the run ended with status %d (%s); the console is:\n%s", run->status,
             run->error ? run->error : "it ended", run->console.text);
    for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (!strstr(run->console.text, lines[i]))
            fail("the guest does not say \"%s\"; the console is:\n%s", lines[i], run->console.text);
    }
}

static void start_load(struct emu_run *run, const struct test_case *test, unsigned rounds)
{
    struct emu_spec spec = test_spec(test, "");
    spec.commands = true;
    spec.files.guest_args = xasprintf("run=load,%u", rounds);
    if (!emu_start(run, &spec))
        fail("%s", run->error);
    if (!emu_expect(run, "of memory free", ANSWER_S))
        fail("the guest does not start; the console is:\n%s", run->console.text);
}

/* --- anything --- */

#define STORM 400

/* Nothing of these changes what the guest computes. */
static const char *const words[] = {
    "pause",
    "continue",
    "continue",
    "step",
    "step 7",
    "step 150",
    "trace on",
    "trace off",
    "hot on",
    "hot off",
    "hot show",
    "break process_fork go",
    "delete all",
    "break sys_exit",
    "break trap go",
    "break file_write+1 go",
    "breaks",
    "regs",
    "segments",
    "walk eip",
    "x /8d esp",
    "stack",
    "scan",
    "patches",
    "nested",
    "exits",
    "stats",
    "mode nonsense",
    "mode",
    "devices",
    "break switch_to",
    "mode trap+shadow",
};
#define WORDS (sizeof(words) / sizeof(words[0]))

static void storm(const struct test_case *test)
{
    struct emu_run run;
    uint32_t seed = 20261122;
    unsigned asked = 0;
    start_load(&run, test, 30);
    for (; asked < STORM && run.running; asked++) {
        const uint32_t n = draw(&seed, WORDS + 16);
        char *line =
            n < WORDS ? xasprintf("%s", words[n]) : xasprintf("mode %s", targets[test->emu][n % 4]);
        tell(&run, line);
        free(line);
    }
    if (asked < STORM)
        fail("the guest was ready after %u commands", asked);
    tell(&run, "delete all");
    tell(&run, "hot off");
    tell(&run, "continue");
    expect_load(&run);
    emu_free(&run);
}

/* --- a trace for a while --- */

#define WHILES 8

/* Exits so far, as the VMM counts them. */
static double exits_in_all(struct emu_run *run)
{
    const cJSON *record;
    double all = -1;
    cJSON *records = ask(run, "exits");
    cJSON_ArrayForEach(record, records)
    {
        const char *text = record_string(record, "text");
        if (text && strstr(text, " in all"))
            all = strtod(text, NULL);
    }
    if (all < 0)
        fail("'exits' does not tell how many there are");
    cJSON_Delete(records);
    return all;
}

static double exits_of_trace(struct emu_run *run)
{
    const cJSON *record;
    double exits = -1;
    cJSON *records = ask(run, "trace off");
    cJSON_ArrayForEach(record, records)
    {
        const char *type = record_string(record, "type");
        if (type && !strcmp(type, "trace"))
            exits = record_number(record, "exits", -1);
    }
    if (exits < 0)
        fail("'trace off' does not tell what the trace has");
    cJSON_Delete(records);
    return exits;
}

static void trace_whiles(const struct test_case *test)
{
    struct emu_run run;
    start_load(&run, test, 30);
    for (unsigned i = 0; i < WHILES; i++) {
        char *mode = xasprintf("mode %s", targets[test->emu][i % 4]);
        tell(&run, "pause");
        const double before = exits_in_all(&run);
        tell(&run, "trace on");
        tell(&run, "continue");
        emu_step(&run, -1, 20);
        tell(&run, mode);
        emu_step(&run, -1, 20);
        tell(&run, "pause");
        const double counted = exits_in_all(&run) - before, traced = exits_of_trace(&run);
        tell(&run, "continue");
        if (!run.running)
            fail("the guest was ready in round %u", i);
        if (!counted || counted != traced)
            fail("round %u, to %s: the VMM counts %.0f exits, the trace has %.0f", i, mode, counted,
                 traced);
        free(mode);
    }
    expect_load(&run);
    emu_free(&run);
}

void tests_storm(void)
{
    for (int e = 0; e < EMU_KINDS; e++) {
        if (e == EMU_BOCHS && !tests_long())
            continue;
        test_add(storm, (enum emu_kind)e, MODE_TRAP, LIMIT_S, "monitor-storm/%s", emu_names[e]);
        test_add(trace_whiles, (enum emu_kind)e, MODE_TRAP, LIMIT_S, "trace-whiles/%s",
                 emu_names[e]);
    }
}
