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
    double pages[TARGETS]; /* of the VMM's that are free after a switch to it; 0: there was none */
    bool pair[TARGETS][TARGETS];
};

/* A mode takes as much memory each time, and one that is left gives back all that it had. */
static void check_pages(const struct machine_case *m, struct switches *s, int to,
                        const cJSON *record)
{
    const double pages = record_number(record, "pages", 0);
    if (!pages || (s->pages[to] && s->pages[to] != pages))
        fail("after a switch to %s %.0f pages are free, after an earlier one %.0f", m->targets[to],
             pages, s->pages[to]);
    s->pages[to] = pages;
}

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
        check_pages(m, &s, to, record);
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
    switched_load(test, "", all ? 60 : 8, all ? 1000 : 120, all ? 400 : 1000, &com2);
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

/* Fail unless the guest ran to its end, and only those checks failed that do so in trap mode, or
 * in QEMU with AMD-V (OPEN-PROBLEMS.md: self-modifying code, the exception that the VMM injects,
 * the shadow of STI). */
static void check_bare(const char *guest, const char *console)
{
    static const char *const known[] = {"middle.sensitive", "smc.straight", "ldt.selector",
                                        "gdt.vmm",          "gdt.rpl3",     "double-fault",
                                        "irq.kernel",       "shadow.cpuid", "shadow.in",
                                        "shadow.out",       "shadow.rdmsr", "shadow.touch"};
    if (!strstr(console, " passed, "))
        fail("%s has not ended; the console is:\n%s", guest, console);
    for (const char *at = console; (at = strstr(at, "not ok ")); at++) {
        const char *name = at + strlen("not ok ");
        bool good = false;
        for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            good |= strcspn(name, ":\n") == strlen(known[i]) &&
                    !strncmp(name, known[i], strlen(known[i]));
        if (!good)
            fail("%s: %.*s", guest, (int)strcspn(at, "\n"), at);
    }
}

/* Bare guests, whose checks know nothing of switches. Para mode runs what has recorded sites only
 * when it is at home there, so it is left out. */
static void bare(const struct test_case *test)
{
    static const char *const guests[] = {"code",   "exits", "memory", "events", "levels", "tables",
                                         "shadow", "tlb",   "spaces", "robin",  "work"};
    const struct machine_case *m = machine_of(test);
    const bool by_exits = strstr(test->name, "exits");
    const char *often = by_exits ? "9x" : m->emu == EMU_BOCHS ? "2000" : "150";
    const unsigned all = sizeof(guests) / sizeof(guests[0]);
    for (unsigned i = 0; i < (by_exits && !tests_long() ? 6 : all); i++) {
        struct emu_spec spec = machine_spec(test, guests[i]);
        struct emu_run run;
        spec.files.guest = xasprintf("build/tests/guests/%s.elf", guests[i]);
        spec.files.guest_args = m->emu == EMU_BOCHS ? "limits" : NULL;
        spec.files.vmm_options = xasprintf("switch=random:%u:100000:%s:%s/%s/%s", i + 1, often,
                                           m->targets[0], m->targets[2], m->targets[3]);
        spec.disk = "";
        if (!emu_run(&run, &spec) || run.status > 1)
            fail("%s: status %d, %s", guests[i], run.status, run.error ? run.error : "");
        check_bare(guests[i], run.console.text);
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

/* A name that no mode has. */
static void wrong_name(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    spec.files.vmm_options = "switch=para@1,nonsense@2";
    run_expecting(&run, &spec, 2);
    if (!strstr(run.console.text, "switch=: 'nonsense' is no mode"))
        fail("the VMM says:\n%s", run.console.text);
    emu_free(&run);
    spec.files.vmm_options = xasprintf("switch=random:1:2:3:%0*d", 500, 0);
    run_expecting(&run, &spec, 2);
    if (!strstr(run.console.text, "more characters than there is room for"))
        fail("the VMM says:\n%s", run.console.text);
    emu_free(&run);
}

/* What cannot be done is said, and the guest goes on where it is. */
static void refused(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    spec.files.vmm_options = "switch=vtx@2,trap+shadow@3,para@4,svm@90000";
    spec.files.guest_args = "run=sleep,1;echo,still,here";
    run_expecting(&run, &spec, 0);
    static const char *const texts[] = {"mode vtx cannot run on this CPU",
                                        "mode trap has no choice of paging",
                                        "trivisor: the mode is para now", "still here",
                                        "switch=: the guest ended before the time of svm@90000"};
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!strstr(run.console.text, texts[i]))
            fail("nobody says \"%s\"; the console is:\n%s", texts[i], run.console.text);
    }
    emu_free(&run);
}

/* A mode that cannot have the guest, asked for again and again: the one that was left goes on as it
 * was, also where the last switch has chosen its paging. */
static void no_nested(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    const char *const mode = mode_names[test->mode];
    spec.cpu = test->mode == MODE_VTX ? "core2_penryn_t9600" : "turion64_tyler";
    spec.files.guest_args =
        xasprintf("run=hvmode,%s+shadow;hvmode,%s+nested;hvmode,%s+nested;hvmode;hvmode,trap", mode,
                  mode, mode);
    run_expecting(&run, &spec, 1); /* that of the first hvmode that fails */
    char *want = xasprintf("mode: %s+shadow\nmode: trap\n", mode);
    if (!strstr(run.console.text, want))
        fail("the console does not show\n%sit is:\n%s", want, run.console.text);
    emu_free(&run);
}

/* The VMM has too little memory for all modes but svm+nested; nothing of it gets lost in the
 * attempts. The filler makes it so: it takes 64 pages. */
#define FILLER 0x40000

static void little_memory(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    const cJSON *record;
    double pages[2] = {0};
    unsigned count[2] = {0};
    char *filler = xasprintf("%s/filler", spec.dir);
    make_dirs(spec.dir);
    write_file(filler, calloc(1, FILLER), FILLER);
    spec.files.modules[0] = filler;
    spec.mem_mb = 41;
    spec.files.vmm_options = "mem=32 switch=random:3:200:500";
    spec.files.guest_args = "run=load,3";
    run_expecting(&run, &spec, 0);
    check_load(run.console.text);
    cJSON_ArrayForEach(record, run.records)
    {
        if (!record_string(record, "type") || strcmp(record_string(record, "type"), "switch"))
            continue;
        const int done = record_number(record, "done", 0) != 0;
        const double now = record_number(record, "pages", 0);
        if (!now || (pages[done] && pages[done] != now))
            fail("%.0f pages are free, and %.0f were", now, pages[done]);
        pages[done] = now;
        count[done]++;
    }
    if (!count[0] || count[1] < 50)
        fail("%u switches failed and %u were done", count[0], count[1]);
    emu_free(&run);
}

/* What the guest has written over a breakpoint stays its own. */
static void kept(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    spec.files.guest = GUEST("moved");
    spec.files.vmm_options = "monitor=break,target";
    spec.disk = "";
    run_expecting(&run, &spec, 0);
    if (!strstr(run.console.text, "7 passed, 0 failed"))
        fail("the console is:\n%s", run.console.text);
    emu_free(&run);
}

/* What a guest has comes with it: each of the switches that this emulator can do, and all checks.
 */
static void carried(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    unsigned done = 0;
    const cJSON *record;
    spec.files.guest = GUEST("carried");
    spec.disk = "";
    run_expecting(&run, &spec, 0);
    cJSON_ArrayForEach(record, run.records)
    {
        const char *type = record_string(record, "type");
        done += type && !strcmp(type, "switch") && record_number(record, "done", 0) != 0;
    }
    if (done != 32 || !strstr(run.console.text, "630 passed, 0 failed"))
        fail("%u switches; the console ends with:\n%s", done,
             run.console.text + (run.console.len > 400 ? run.console.len - 400 : 0));
    emu_free(&run);
}

/* The address of a symbol of the VMM. */
static unsigned long vmm_symbol(const struct test_case *test, const char *name)
{
    char *argv[] = {"nm", ISO_VMM, NULL};
    char *table = tool_output(test, argv, "nm.txt", 0), *end = xasprintf(" %s\n", name);
    const char *at = strstr(table, end);
    while (at && at > table && at[-1] != '\n')
        at--;
    if (!at)
        fail("the VMM has no symbol %s", name);
    const unsigned long value = strtoul(at, NULL, 16);
    free(table);
    free(end);
    return value;
}

static void armed(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    spec.files.guest = GUEST("armed");
    spec.files.guest_args = xasprintf("at=%lx,%lx,%lx", vmm_symbol(test, "exit_dispatch"),
                                      vmm_symbol(test, "host_trap"), vmm_symbol(test, "host_work"));
    spec.disk = "";
    run_expecting(&run, &spec, 0);
    if (!strstr(run.console.text, "5 passed, 0 failed"))
        fail("the console is:\n%s", run.console.text);
    emu_free(&run);
}

/* A breakpoint at the second instruction of a site waits while mode para has one call there. */
static void inside_of_site(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "sites");
    struct emu_run run;
    spec.files.mode = MODE_PARA;
    spec.files.vmm_options = "report=on";
    spec.files.guest_args = "run=echo,hello";
    run_expecting(&run, &spec, 0);
    uint32_t site = 0;
    const cJSON *record;
    cJSON_ArrayForEach(record, run.records)
    {
        const char *op = record_string(record, "op");
        if (!site && op && !strcmp(op, "pushf"))
            site = (uint32_t)record_number(record, "address", 0);
    }
    if (!site)
        fail("the kernel has no site of PUSHF");
    emu_free(&run);

    spec = test_spec(test, "");
    spec.files.vmm_options = xasprintf("monitor=break,%x,go", site + 1);
    spec.files.guest_args = "run=bench;hvmode,para;bench;hvmode,trap";
    spec.timeout_s = LONG_S;
    run_expecting(&run, &spec, 0);
    emu_free(&run);
    spec.files.mode = MODE_PARA;
    run_expecting(&run, &spec, 2);
    if (!strstr(run.console.text, "is inside of a patched site"))
        fail("the console is:\n%s", run.console.text);
    emu_free(&run);
}

void tests_switching(void)
{
    test_add(no_nested, EMU_BOCHS, MODE_SVM, 120, "switch-no-nested/svm");
    test_add(no_nested, EMU_BOCHS, MODE_VTX, 120, "switch-no-nested/vtx");
    test_add(little_memory, EMU_QEMU, MODE_SVM, 120, "switch-little-memory");
    test_add(kept, EMU_QEMU, MODE_TRAP, 60, "switch-kept/qemu");
    test_add(kept, EMU_BOCHS, MODE_VTX, 60, "switch-kept/bochs");
    test_add(carried, EMU_QEMU, MODE_TRAP, 60, "switch-carried/qemu-trap");
    test_add(carried, EMU_QEMU, MODE_SVM, 60, "switch-carried/qemu-svm");
    test_add(carried, EMU_BOCHS, MODE_VTX, 60, "switch-carried/bochs-vtx");
    test_add(carried, EMU_BOCHS, MODE_SVM, 60, "switch-carried/bochs-svm");
    test_add(armed, EMU_QEMU, MODE_TRAP, 60, "vmm-breakpoints/qemu-trap");
    test_add(armed, EMU_QEMU, MODE_SVM, 60, "vmm-breakpoints/qemu-svm");
    test_add(armed, EMU_BOCHS, MODE_VTX, 60, "vmm-breakpoints/bochs-vtx");
    test_add(armed, EMU_BOCHS, MODE_SVM, 60, "vmm-breakpoints/bochs-svm");
    test_add(inside_of_site, EMU_QEMU, MODE_TRAP, 120, "switch-inside-of-site");
    for (unsigned i = 0; i < MACHINES; i++) {
        const struct machine_case *m = &machines[i];
        test_add(load, m->emu, m->mode, LONG_S, "switch-load/%s", m->name);
        if (m->emu == EMU_QEMU || tests_long())
            test_add(repeats, m->emu, m->mode, LONG_S, "switch-repeat/%s", m->name);
        if (m->emu == EMU_QEMU || tests_long())
            test_add(bare, m->emu, m->mode, LONG_S, "switch-guests/%s", m->name);
        if (m->emu == EMU_QEMU || tests_long())
            test_add(bare, m->emu, m->mode, LONG_S, "switch-exits/%s", m->name);
        test_add(asked, m->emu, m->mode, LONG_S, "switch-asked/%s", m->name);
    }
    test_add(wrong_words, EMU_QEMU, MODE_TRAP, 60, "switch-words");
    test_add(wrong_name, EMU_QEMU, MODE_TRAP, 60, "switch-wrong-name");
    test_add(refused, EMU_QEMU, MODE_TRAP, 60, "switch-refused");
}
