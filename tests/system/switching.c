/*
 * Live switching: a guest goes on in other modes of the VMM while it works, and nobody can tell
 * from what it does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systest.h"

#define LONG_S 400
#define GUEST(name) "build/tests/guests/" name ".elf"
#define TARGETS 4 /* of each machine: trap, para, and two kinds of paging */

static const struct machine_case {
    const char *name, *cpu; /* NULL: the usual one */
    enum emu_kind emu;
    enum run_mode mode;
    const char *targets[TARGETS];
} machines[] = {
    {"qemu", NULL, EMU_QEMU, MODE_TRAP, {"trap", "para", "svm+nested", "svm+shadow"}},
    {"bochs-vtx",
     "corei7_haswell_4770",
     EMU_BOCHS,
     MODE_TRAP,
     {"trap", "para", "vtx+nested", "vtx+shadow"}},
    {"bochs-svm", "ryzen", EMU_BOCHS, MODE_TRAP, {"trap", "para", "svm+nested", "svm+shadow"}},
};
#define MACHINES (sizeof(machines) / sizeof(machines[0]))

static const struct machine_case *machine_of(const struct test_case *test)
{
    const char *name = strrchr(test->name, '/') + 1;
    for (unsigned i = 0; i < MACHINES; i++) {
        if (!strcmp(machines[i].name, name))
            return &machines[i];
    }
    fail("no machine has the name %s", name);
}

static struct emu_spec machine_spec(const struct test_case *test, const char *part)
{
    struct emu_spec spec = test_spec(test, part);
    spec.cpu = machine_of(test)->cpu;
    spec.timeout_s = LONG_S;
    return spec;
}

/* Which of the machine's targets a record tells of, or -1. */
static int target_of(const struct machine_case *m, const cJSON *record)
{
    const char *mode = record_string(record, "to"), *paging = record_string(record, "paging");
    char *name = xasprintf("%s%s%s", mode, *paging ? "+" : "", paging);
    for (int i = 0; i < TARGETS; i++) {
        if (!strcmp(m->targets[i], name))
            return i;
    }
    return -1;
}

struct switches {
    unsigned done, failed;
    bool pair[TARGETS][TARGETS];
};

/* Count the switches of a run, and note which followed which. */
static struct switches count_switches(const struct machine_case *m, const cJSON *records)
{
    struct switches s = {0};
    const cJSON *record;
    int last = 0; /* all start in mode trap */
    cJSON_ArrayForEach(record, records)
    {
        const char *type = record_string(record, "type");
        if (!type || strcmp(type, "switch"))
            continue;
        const int to = target_of(m, record);
        if (to < 0)
            fail("a switch to something that this machine has not: %s", cJSON_Print(record));
        if (!record_number(record, "done", 0)) {
            s.failed++;
            continue;
        }
        s.pair[last][to] = true;
        last = to;
        s.done++;
    }
    return s;
}

static void check_disk(const char *image, const char *log)
{
    char *argv[] = {"build/tools/tv-fsck", (char *)image, NULL};
    const int status = proc_run(argv, log);
    if (status)
        fail("tv-fsck %s ends with status %d:\n%s", image, status, read_file(log, NULL));
}

static void check_load(const char *console)
{
    static const char *const lines[] = {"load: forks ok: ", "load: disk ok: ", "load: pipes ok: ",
                                        "load: timer ok: ", "load: 0 workers failed"};
    for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (!strstr(console, lines[i]))
            fail("the guest does not say \"%s\"; the console is:\n%s", lines[i], console);
    }
}

/* Run the load with so many switches; its console, allocated. */
static char *switched_load(const struct test_case *test, const char *part, unsigned rounds,
                           unsigned switches, unsigned us, char **com2)
{
    const struct machine_case *m = machine_of(test);
    struct emu_spec spec = machine_spec(test, part);
    struct emu_run run;
    spec.files.vmm_options = xasprintf("switch=random:%u:%u:%u", switches + us, switches, us);
    spec.files.guest_args = xasprintf("run=load,%u", rounds);
    run_expecting(&run, &spec, 0);
    check_load(run.console.text);
    const struct switches s = count_switches(m, run.records);
    if (s.done < switches || s.failed)
        fail("%u switches were done and %u failed, expected %u and 0", s.done, s.failed, switches);
    for (int from = 0; from < TARGETS && switches > 100; from++) {
        for (int to = 0; to < TARGETS; to++) {
            if (!s.pair[from][to])
                fail("there was no switch from %s to %s", m->targets[from], m->targets[to]);
        }
    }
    check_disk(xasprintf("%s/disk.img", spec.dir), xasprintf("%s/fsck.txt", spec.dir));
    *com2 = read_file(xasprintf("%s/com2.txt", spec.dir), NULL);
    char *console = xasprintf("%s", run.console.text);
    emu_free(&run);
    return console;
}

static void load(const struct test_case *test)
{
    const bool all = tests_long() || test->emu == EMU_QEMU;
    char *com2;
    switched_load(test, "", all ? 40 : 8, all ? 1000 : 120, all ? 500 : 1000, &com2);
}

/* The same switches at the same places, and the same results. */
static void repeats(const struct test_case *test)
{
    char *com2[2], *console[2];
    for (int i = 0; i < 2; i++)
        console[i] = switched_load(test, i ? "again" : "", 4, 60, 1500, &com2[i]);
    check_same("the console of the second run", console[1], console[0]);
    check_same("the records of the second run", com2[1], com2[0]);
}

/* Bare guests, whose checks know nothing of switches. Para mode runs what has recorded sites only
 * when it is at home there, so it is left out. */
static void bare(const struct test_case *test)
{
    static const char *const guests[] = {"code",   "memory", "events", "levels", "tables",
                                         "shadow", "tlb",    "spaces", "robin",  "work"};
    const struct machine_case *m = machine_of(test);
    for (unsigned i = 0; i < sizeof(guests) / sizeof(guests[0]); i++) {
        struct emu_spec spec = machine_spec(test, guests[i]);
        struct emu_run run;
        spec.files.guest = xasprintf("build/tests/guests/%s.elf", guests[i]);
        spec.files.guest_args = m->emu == EMU_BOCHS ? "limits" : NULL;
        spec.files.vmm_options = xasprintf("switch=random:%u:100000:%u:%s/%s/%s", i + 1,
                                           m->emu == EMU_BOCHS ? 2000 : 150, m->targets[0],
                                           m->targets[2], m->targets[3]);
        spec.disk = "";
        run_expecting(&run, &spec, 0);
        if (strstr(run.console.text, "not ok ") || !strstr(run.console.text, " passed, 0 failed"))
            fail("%s: checks failed; the console is:\n%s", guests[i], run.console.text);
        const struct switches s = count_switches(m, run.records);
        if (s.done < 5 || s.failed)
            fail("%s: %u switches were done and %u failed", guests[i], s.done, s.failed);
        emu_free(&run);
    }
}

/* The guest asks itself, by way of hvmode; and the list of the command line. */
static void asked(const struct test_case *test)
{
    const struct machine_case *m = machine_of(test);
    struct emu_spec spec = machine_spec(test, "");
    struct emu_run run;
    const char *const other = m->targets[2][0] == 'v' ? "svm" : "vtx";
    spec.files.vmm_options = xasprintf("switch=%s@3,trap@4", m->targets[2]);
    spec.files.guest_args = xasprintf("run=hvmode;hvmode,%s;hvmode,%s;hvmode,%s;hvinfo;hvmode,%s;"
                                      "hvmode,trap",
                                      m->targets[1], m->targets[2], m->targets[3], other);
    run_expecting(&run, &spec, 1); /* that of the mode that this CPU has not */
    char *want = xasprintf("mode: trap\nmode: %s\nmode: %s\nmode: %s\n", m->targets[1],
                           m->targets[2], m->targets[3]);
    if (!strstr(run.console.text, want) ||
        !strstr(run.console.text, xasprintf("hvmode: this CPU cannot run mode %s\n", other)) ||
        !strstr(run.console.text, "with shadow paging"))
        fail("hvmode does not show\n%sthe console is:\n%s", want, run.console.text);
    if (count_switches(m, run.records).done != 6)
        fail("%u switches were done, expected 6", count_switches(m, run.records).done);
    emu_free(&run);
}

static void wrong_words(const struct test_case *test)
{
    static const char *const words[] = {
        "switch=para",         "switch=para@",           "switch=random:1",
        "switch=random:1:2:0", "switch=para@20,trap@10", "switch="};
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        struct emu_spec spec = test_spec(test, "");
        struct emu_run run;
        spec.files.vmm_options = words[i];
        run_expecting(&run, &spec, 2);
        if (!strstr(run.console.text, "trivisor: error: switch= is MODE@MS"))
            fail("%s: the VMM says:\n%s", words[i], run.console.text);
        emu_free(&run);
    }
}

/* What cannot be done is said, and the guest goes on where it is. */
static void refused(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    spec.files.vmm_options = "switch=nonsense@1,vtx@2,trap+shadow@3";
    spec.files.guest_args = "run=sleep,1;echo,still,here";
    run_expecting(&run, &spec, 0);
    static const char *const texts[] = {"'nonsense' is no mode", "mode vtx cannot run on this CPU",
                                        "mode trap has no choice of paging", "still here"};
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!strstr(run.console.text, texts[i]))
            fail("nobody says \"%s\"; the console is:\n%s", texts[i], run.console.text);
    }
    emu_free(&run);
}

void tests_switching(void)
{
    for (unsigned i = 0; i < MACHINES; i++) {
        const struct machine_case *m = &machines[i];
        test_add(load, m->emu, m->mode, LONG_S, "switch-load/%s", m->name);
        if (m->emu == EMU_QEMU || tests_long())
            test_add(repeats, m->emu, m->mode, LONG_S, "switch-repeat/%s", m->name);
        if (m->emu == EMU_QEMU || tests_long())
            test_add(bare, m->emu, m->mode, LONG_S, "switch-guests/%s", m->name);
        test_add(asked, m->emu, m->mode, LONG_S, "switch-asked/%s", m->name);
    }
    test_add(wrong_words, EMU_QEMU, MODE_TRAP, 60, "switch-words");
    test_add(refused, EMU_QEMU, MODE_TRAP, 60, "switch-refused");
}
