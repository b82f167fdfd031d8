/* The monitor: commands of programs on COM2 and of persons on COM1, in every mode. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systest.h"

#define ANSWER_S 30
#define SHELL "minnow$ "
#define PROMPT "(trivisor) "
#define ESCAPE "\035"
#define STEP_GUEST "build/tests/guests/step.elf"

/* --- talking --- */

static bool record_is(const cJSON *record, const char *key, const char *value)
{
    const char *is = record_string(record, key);
    return is && !strcmp(is, value);
}

/* The answer's lines of text, each with its end; *ok: what the last record says. */
static char *answer_text(const cJSON *records, bool *ok)
{
    struct text t = {0};
    const cJSON *r;
    text_add(&t, "", 0);
    *ok = false;
    cJSON_ArrayForEach(r, records)
    {
        if (!record_is(r, "type", "monitor"))
            continue;
        if (record_string(r, "text"))
            text_printf(&t, "%s\n", record_string(r, "text"));
        if (cJSON_HasObjectItem(r, "done"))
            *ok = cJSON_IsTrue(cJSON_GetObjectItem(r, "ok"));
    }
    return t.text;
}

static cJSON *ask_records(struct emu_run *run, const char *line)
{
    cJSON *records = emu_command(run, line, ANSWER_S);
    if (!records)
        fail("no answer to '%s'; %s; COM2 has said:\n%s", line,
             run->error ? run->error : "the machine runs", run->said.text ? run->said.text : "");
    return records;
}

/* The command must end with ok or not, as `good` says, and its text must hold `text`. The text,
 * allocated. */
static char *ask(struct emu_run *run, const char *line, bool good, const char *text)
{
    bool ok;
    cJSON *records = ask_records(run, line);
    char *answer = answer_text(records, &ok);
    if (ok != good || !strstr(answer, text))
        fail("'%s' is %s, expected %s, with \"%s\"; it says:\n%s", line, ok ? "ok" : "not ok",
             good ? "ok" : "not ok", text, answer);
    cJSON_Delete(records);
    return answer;
}

/* A number that the answer has as data. */
static uint32_t ask_number(struct emu_run *run, const char *line, const char *key)
{
    cJSON *records = ask_records(run, line);
    const cJSON *r;
    double found = -1;
    cJSON_ArrayForEach(r, records)
    {
        if (cJSON_HasObjectItem(r, key))
            found = record_number(r, key, -1);
    }
    if (found < 0)
        fail("the answer to '%s' has no \"%s\"", line, key);
    cJSON_Delete(records);
    return (uint32_t)found;
}

static void expect(struct emu_run *run, const char *text)
{
    if (!emu_expect(run, text, ANSWER_S))
        fail("the console never showed \"%s\"; it is:\n%s\n(%s)", text,
             run->console.text ? run->console.text : "", run->error ? run->error : "it runs");
}

static void expect_record(struct emu_run *run, const char *text)
{
    if (!emu_expect_record(run, text, ANSWER_S))
        fail("no record with %s (%s); the last ones are:\n%s", text,
             run->error ? run->error : "it runs",
             run->said.len > 800 ? run->said.text + run->said.len - 800 : run->said.text);
}

static void start(struct emu_run *run, const struct emu_spec *spec)
{
    if (!emu_start(run, spec))
        fail("%s", run->error);
}

/* A guest whose console is typed at, with its shell ready, and the monitor's COM2. */
static void shell_and_monitor(struct emu_run *run, struct emu_spec *spec)
{
    spec->console = CONSOLE_TYPED;
    spec->commands = true;
    start(run, spec);
    expect(run, SHELL);
}

static void end(struct emu_run *run, int status)
{
    if (!emu_wait(run))
        fail("the run did not end well: %s", run->error);
    if (run->status != status)
        fail("status %d, expected %d; the console is:\n%s", run->status, status, run->console.text);
}

/* --- what each command says --- */

/* The entry that the walk shows must be what is in the guest's memory: the kernel maps all physical
 * memory at KERNEL. */
#define KERNEL 0xC0000000u

static void check_entry(struct emu_run *run, const char *walk, const char *name)
{
    unsigned index;
    uint32_t gpa, value;
    const char *at = strstr(walk, name);
    if (!at ||
        sscanf(at + strlen(name), " %u at guest physical %x is %x", &index, &gpa, &value) != 3)
        fail("no %s in the walk:\n%s", name, walk);
    char *line = xasprintf("x /1d 0x%x", KERNEL + gpa);
    char *want = xasprintf("%08x  %08x", KERNEL + gpa, value);
    free(ask(run, line, true, want));
    free(line);
    free(want);
}

static void check_walk(const struct test_case *test, struct emu_run *run)
{
    static const char *const below[RUN_MODES] = {
        [MODE_TRAP] = "the shadow for the guest's kernel",
        [MODE_PARA] = "the shadow for the guest's kernel",
        [MODE_VTX] = "level 4, entry 0",
        [MODE_SVM] = "level 3, entry 0",
    };
    char *walk = ask(run, "walk space_load", true, below[test->mode]);
    const uint32_t gva = ask_number(run, "walk space_load", "gva");
    const uint32_t gpa = ask_number(run, "walk space_load", "gpa");
    if (gva - gpa != KERNEL)
        fail("the walk says that the kernel's %08x is at %08x", gva, gpa);
    check_entry(run, walk, "directory entry");
    check_entry(run, walk, "table entry");
    free(walk);
}

static const struct {
    const char *line;
    bool ok;
    const char *text;
} questions[] = {
    {"help", true, "walk ADDRESS"},
    {"help x", true, "x [/N][b|w|d] ADDRESS"},
    {"regs", true, " PE "},
    {"seg", true, "cs   "},
    {"segments", true, "32-bit TSS"},
    {"exits", true, "io "},
    {"stats", true, "mode "},
    {"x/4b eip", true, "  "},
    {"x /2w esp", true, "  "},
    {"x 1000", false, "the guest maps nothing there"},
    {"stack", true, "#0  "},
    {"devices", true, "ide "},
    {"devices", true, "vectors from 20"},
    {"breaks", true, "there are no breakpoints"},
    {"break space_load", true, "breakpoint 1 at "},
    {"break space_load", false, "breakpoint 1 is there already"},
    {"x/1b space_load", true, " cc "},
    {"breaks", true, "0 hits"},
    {"delete 1", true, ""},
    {"delete 1", false, "there is no breakpoint '1'"},
    {"break nosuch", false, "'nosuch' is no address"},
    {"break 10", false, "the guest has no memory at 00000010"},
    {"hot show", true, "0 exits were looked at"},
    {"brek 10", false, "did you mean 'break'?"},
    {"s", false, "'s' may be scan, segments, snapshot, stack, stats, step"},
    {"zzz", false, "there is no command 'zzz'"},
    {"x", false, "usage: x"},
    {"x /99999b eip", false, "a format is /N"},
    {"step 0", false, "step 1 to"},
    {"inject 300", false, "is no vector"},
    {"inject 3", false, "one of the CPU's exceptions"},
    {"quit 1000", false, "is no status"},
};

static void check_mode_topics(const struct test_case *test, struct emu_run *run)
{
    const bool hardware = test->mode == MODE_VTX || test->mode == MODE_SVM;
    free(
        ask(run, "scan", test->mode == MODE_TRAP, test->mode == MODE_TRAP ? "trap sites" : "mode"));
    free(ask(run, "patches", test->mode == MODE_PARA,
             test->mode == MODE_PARA ? "sites, 1" : "mode"));
    free(ask(run, "nested", hardware, hardware ? "pages of 4 KB" : "mode"));
}

/* A command's answer is "ok". */
static bool good(struct emu_run *run, const char *line)
{
    bool ok;
    cJSON *records = ask_records(run, line);
    free(answer_text(records, &ok));
    cJSON_Delete(records);
    return ok;
}

/* A switch that is asked for while the guest stands still and an event is on its way is done when
 * it goes on, however long it stood. The interrupt is the keyboard's; a program is at work that can
 * be interrupted most of the time. */
static void check_late_switch(struct emu_run *run)
{
    bool injected = false;
    emu_type(run, "load 1\n");
    for (int i = 0; i < 100 && !injected; i++) {
        free(ask(run, "pause", true, "paused at "));
        injected = good(run, "inject 33");
        if (!injected)
            free(ask(run, "continue", true, "the guest runs"));
    }
    if (!injected)
        fail("the guest could never take an interrupt");
    free(ask(run, "mode trap", true, "not yet: "));
    emu_step(run, -1, 300);
    free(ask(run, "continue", true, "the guest runs"));
    expect_record(run, "\"type\":\"switch\"");
    free(ask(run, "mode", true, "mode trap"));
    expect(run, "load: 0 workers failed");
}

/* Looked at from COM2, with the guest running, then paused, the shell must answer as ever. */
static void monitor_commands(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    shell_and_monitor(&run, &spec);
    free(ask(&run, "regs", true, "cr3 "));
    free(ask(&run, "continue", false, "not paused"));
    free(ask(&run, "pause", true, "paused at "));
    for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
        free(ask(&run, questions[i].line, questions[i].ok, questions[i].text));
    check_mode_topics(test, &run);
    check_walk(test, &run);
    free(ask(&run, "hot on", true, "hot on"));
    free(ask(&run, "continue", true, "the guest runs"));
    emu_type(&run, "echo hot\n");
    expect(&run, "\nhot\n");
    expect(&run, SHELL);
    if (ask_number(&run, "hot show 3", "count") == 0)
        fail("hot counted no exit");
    free(ask(&run, "hot show", true, "+0x"));
    free(ask(&run, "hot off", true, "hot off"));

    /* A person: the prompt, completion, a command, and back. */
    emu_send(&run, ESCAPE, 1);
    expect(&run, PROMPT);
    emu_type(&run, "seg");
    emu_send(&run, "\t", 1);
    expect(&run, "segments ");
    emu_send(&run, "\r", 1);
    expect(&run, "gdtr base");
    expect(&run, PROMPT);
    emu_type(&run, "brek\r");
    expect(&run, "did you mean 'break'?");
    expect(&run, PROMPT);
    emu_type(&run, "c\r");
    expect(&run, "the guest runs");
    emu_type(&run, "echo after\n");
    expect(&run, "\nafter\n");
    if (test->mode == MODE_SVM || test->mode == MODE_VTX)
        check_late_switch(&run);
    free(ask(&run, "quit 5", true, ""));
    end(&run, 5);
    emu_free(&run);
}

/* --- breakpoints and steps --- */

static char *check_names(const char *console)
{
    return lines_with(console, "ok not passed", true);
}

/* One step; EIP must then be `offset` behind the symbol. */
static void step_to(struct emu_run *run, const char *want)
{
    free(ask(run, "step", true, want));
}

/*
 * The guest looks at its own flags while it is stepped: its checks must come out as when it runs
 * freely. Then a breakpoint must be hit as often as the guest passes by.
 */
static void monitor_steps(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "free");
    struct emu_run run;
    spec.files.guest = STEP_GUEST;
    spec.disk = "";
    run_expecting(&run, &spec, 0);
    char *wanted = check_names(run.console.text);
    emu_free(&run);

    spec = test_spec(test, "stepped");
    spec.files.guest = STEP_GUEST;
    spec.disk = "";
    spec.commands = true;
    spec.files.vmm_options = "monitor=break,steps;break,work,go;step,3";
    start(&run, &spec);
    expect_record(&run, "\"event\":\"breakpoint\"");
    const uint32_t last = ask_number(&run, "walk steps_end", "gva");
    step_to(&run, "steps+0x1 ");                 /* CLI */
    step_to(&run, "steps+0x2 ");                 /* PUSHF */
    free(ask(&run, "x/1d esp", true, " 00000")); /* no TF (bit 8): checked by the guest, too */
    uint32_t eip = 0;
    unsigned steps = 2, interrupts = 0;
    for (; eip != last && steps < 2000; steps++) {
        char *text = ask(&run, "step", true, "cpl 0");
        eip = (uint32_t)strtoul(text, NULL, 16);
        interrupts += strstr(text, " stub_66+0x0 ") != NULL;
        free(text);
    }
    if (eip != last || interrupts != 1)
        fail("after %u steps EIP is %08x and INT was seen %u times", steps, eip, interrupts);
    free(ask(&run, "breaks", true, "1 hits"));
    free(ask(&run, "delete 1", true, ""));
    free(ask(&run, "continue", true, ""));
    end(&run, 0);
    char *names = check_names(run.console.text);
    check_same("the stepped guest's output", names, wanted);
    if (!strstr(run.said.text, "\"number\":2,\"address\":") ||
        !strstr(run.said.text, ",\"hits\":100,\"paused\":false}"))
        fail("the breakpoint at work was not hit 100 times; COM2 ends with:\n%s",
             run.said.text + (run.said.len > 600 ? run.said.len - 600 : 0));
    emu_free(&run);
    free(names);
    free(wanted);
}

/* A pausing breakpoint in the kernel of Minnow, and a person who steps on and continues. */
static void monitor_stops(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    shell_and_monitor(&run, &spec);
    free(ask(&run, "break process_fork", true, "breakpoint 1"));
    for (int i = 1; i <= 3; i++) {
        char *hits = xasprintf("hit %d times", i);
        emu_type(&run, "echo x\n");
        expect(&run, hits);
        expect(&run, PROMPT);
        free(ask(&run, "stack", true, "#1  "));
        free(ask(&run, "step 3", true, ""));
        free(ask(&run, "regs", true, "eip"));
        emu_type(&run, "continue\r");
        expect(&run, "\nx\n");
        expect(&run, SHELL);
        free(hits);
    }
    /* A long step, and a key that stops it. */
    emu_type(&run, "echo x\n");
    expect(&run, PROMPT);
    free(ask(&run, "delete all", true, ""));
    emu_type(&run, "step 1000000\r");
    emu_send(&run, "\r", 1);
    expect(&run, " of 1000000 steps");
    free(ask(&run, "continue", true, "the guest runs"));
    expect(&run, SHELL);
    emu_type(&run, "poweroff 4\n");
    end(&run, 4);
    emu_free(&run);
}

/* --- garbage --- */

static void random_bytes(char *to, size_t n, uint32_t *seed)
{
    for (size_t i = 0; i < n; i++) {
        *seed = *seed * 1664525u + 1013904223u;
        to[i] = (char)(*seed >> 24);
    }
}

/* Whatever comes on either line, the guest's work is right and the VMM answers afterwards. Nothing
 * of it may happen to be a command that ends or changes the guest: no letters. */
static void without_letters(char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((bytes[i] | 0x20) >= 'a' && (bytes[i] | 0x20) <= 'z')
            bytes[i] = '"';
    }
}

/*
 * Read the answers to all that was sent: up to that of a word that nothing else looks like. What
 * comes faster than it is read may be lost in Bochs, whose lines have no flow control, and an
 * answer may just be late. So each try has a word of its own, and only the answer to the last one
 * counts: then nothing of an earlier try can still be on its way.
 */
#define TRIES 6

static void past_answers(struct emu_run *run)
{
    bool passed = false;
    for (int i = 0; i < TRIES && !passed; i++) {
        char *line = xasprintf("\rlast-%d\r", i), *word = xasprintf("'last-%d'", i);
        emu_command_bytes(run, line, strlen(line));
        passed = emu_expect_record(run, word, ANSWER_S / TRIES);
        free(line);
        free(word);
    }
    if (!passed)
        fail("COM2 answers none of %d words; it ends with:\n%s", TRIES,
             run->said.text + (run->said.len > 600 ? run->said.len - 600 : 0));
    expect_record(run, "\"done\":true");
}

static void past_prompts(struct emu_run *run)
{
    bool passed = false;
    for (int i = 0; i < TRIES && !passed; i++) {
        char *line = xasprintf("\rlast-%d\r", i);
        char *answer = xasprintf("there is no command 'last-%d'", i);
        emu_send(run, line, strlen(line));
        passed = emu_expect(run, answer, ANSWER_S / TRIES);
        free(line);
        free(answer);
    }
    if (!passed)
        fail("the monitor's prompt answers none of %d words", TRIES);
    expect(run, PROMPT);
}

#define GARBAGE 3000

static void monitor_garbage(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    char bytes[GARBAGE];
    uint32_t seed = 12345;
    shell_and_monitor(&run, &spec);
    random_bytes(bytes, sizeof(bytes), &seed);
    without_letters(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i += 100) {
        emu_command_bytes(&run, bytes + i, 100);
        emu_step(&run, -1, 5);
    }
    past_answers(&run);
    memset(bytes, 'x', sizeof(bytes)); /* one long line */
    emu_command_bytes(&run, bytes, sizeof(bytes));
    emu_command_bytes(&run, "\n", 1);
    past_answers(&run);
    if (!strstr(run.said.text, "the line is too long, or not text; it is dropped"))
        fail("no line was dropped");
    free(ask(&run, "help", true, "continue"));

    emu_send(&run, ESCAPE, 1);
    expect(&run, PROMPT);
    random_bytes(bytes, sizeof(bytes), &seed);
    without_letters(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i += 50) {
        emu_send(&run, bytes + i, 50);
        emu_step(&run, -1, 5);
    }
    past_prompts(&run);
    free(ask(&run, "regs", true, "eip"));
    free(ask(&run, "continue", true, ""));
    emu_send(&run, "\003\n", 2); /* the escapes among the bytes went to the shell's line */
    expect(&run, SHELL);
    emu_type(&run, "echo one two three | wc\n");
    expect(&run, "14");
    emu_type(&run, "usertests -q\n");
    expect(&run, "passed");
    emu_type(&run, "poweroff 6\n");
    end(&run, 6);
    emu_free(&run);
}

/* --- the words monitor= --- */

static void monitor_script(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "good");
    struct emu_run run;
    spec.files.guest_args = "run=echo,hello";
    spec.files.vmm_options = "monitor=regs;break,process_fork,go;breaks";
    run_expecting(&run, &spec, 0);
    if (!strstr(run.console.text, "eip ") || !strstr(run.console.text, "breakpoint 1 at c0") ||
        !strstr(run.console.text, "\nhello\n"))
        fail("monitor=regs... shows:\n%s", run.console.text);
    emu_free(&run);
    /* Steps before the pause has begun: the guest's clock must not notice. With GRUB the TSC has
     * counted for a while. */
    spec = test_spec(test, "stepped");
    spec.loader = LOADER_GRUB;
    spec.files.guest_args = "run=date";
    spec.files.vmm_options = "monitor=pause;step,3;continue";
    run_expecting(&run, &spec, 0);
    if (!strstr(run.console.text, "\n2026-01-01 00:00:0"))
        fail("after steps at the start the date is wrong:\n%s", run.console.text);
    emu_free(&run);
    /* A long step stops at a breakpoint. */
    spec = test_spec(test, "stop");
    spec.files.guest_args = "run=echo,hello";
    spec.files.vmm_options = "monitor=break,space_load;step,1000000;quit,7";
    run_expecting(&run, &spec, 7);
    if (!strstr(run.console.text, " of 1000000 steps") ||
        !strstr(run.console.text, "space_load+0x0 "))
        fail("a step of many instructions has not stopped at the breakpoint:\n%s",
             run.console.text);
    emu_free(&run);
    spec = test_spec(test, "bad");
    spec.files.vmm_options = "monitor=regs;brek,fork;breaks";
    run_expecting(&run, &spec, 2);
    if (!strstr(run.console.text, "did you mean 'break'?") ||
        !strstr(run.console.text, "error: monitor=: the command 'brek,fork' failed"))
        fail("a wrong command in monitor= shows:\n%s", run.console.text);
    emu_free(&run);
}

void tests_monitor(void)
{
    for (int e = 0; e < EMU_KINDS; e++) {
        for (int m = MODE_TRAP; m < RUN_MODES; m++) {
            const enum emu_kind emu = (enum emu_kind)e;
            const enum run_mode mode = (enum run_mode)m;
            const bool vtx = mode == MODE_VTX && emu == EMU_BOCHS;
            if (pair_problem(emu, mode) || (emu == EMU_BOCHS && !vtx && !tests_long()))
                continue;
            test_add(monitor_commands, emu, mode, 120, "monitor-commands/%s-%s", emu_names[e],
                     mode_names[m]);
            if (mode != MODE_PARA) /* without sites its PUSHF shows the CPU's flags */
                test_add(monitor_steps, emu, mode, 120, "monitor-steps/%s-%s", emu_names[e],
                         mode_names[m]);
            test_add(monitor_stops, emu, mode, 120, "monitor-stops/%s-%s", emu_names[e],
                     mode_names[m]);
            if (mode == MODE_TRAP || mode == MODE_VTX)
                test_add(monitor_garbage, emu, mode, 120, "monitor-garbage/%s-%s", emu_names[e],
                         mode_names[m]);
        }
    }
    test_add(monitor_script, EMU_QEMU, MODE_TRAP, 60, "monitor-script");
}
