/* The monitor's two lines, its prompt, and its turns between the guest's exits. */
#include "monitor.h"

#include <string.h>

#include "devices.h"
#include "gmem.h"
#include "host.h"
#include "line.h"
#include "words.h"

#define PROMPT "(trivisor) "

struct monitor monitor;

static struct line console, channel;

/* --- where answers go --- */

/* A sink of this file: the console, the records, or both. */
struct answer {
    struct sink sink;
    bool to_console, to_records;
    char name[40]; /* of the command, for records: escaped */
};

static struct answer *answer_of(struct sink *sink)
{
    return (struct answer *)sink;
}

static void answer_line(struct sink *sink, const char *text)
{
    const struct answer *a = answer_of(sink);
    char escaped[SAY_MAX * 2];
    if (a->to_console)
        kprintf("%s\n", text);
    if (!a->to_records)
        return;
    json_escape(escaped, sizeof(escaped), text);
    record("{\"type\":\"monitor\",\"command\":\"%s\",\"text\":\"%s\"}", a->name, escaped);
}

static void answer_data(struct sink *sink, const char *members)
{
    if (answer_of(sink)->to_records)
        record("{\"type\":\"monitor\",\"command\":\"%s\",%s}", answer_of(sink)->name, members);
}

static void answer_begin(struct sink *sink, const char *name)
{
    json_escape(answer_of(sink)->name, sizeof(answer_of(sink)->name), name);
}

static struct answer answer_to(bool to_console, bool to_records)
{
    return (struct answer){.sink = {.line = answer_line, .data = answer_data},
                           .to_console = to_console,
                           .to_records = to_records};
}

static void answer_end(struct answer *a, bool ok)
{
    if (a->to_records)
        record("{\"type\":\"monitor\",\"command\":\"%s\",\"done\":true,\"ok\":%s}", a->name,
               ok ? "true" : "false");
}

/* text is changed. */
static bool run_line(struct answer *a, char *text)
{
    const bool ok = command_run(monitor.vm, &a->sink, text, answer_begin);
    answer_end(a, ok);
    return ok;
}

/* --- the console --- */

static void echo(const char *text)
{
    kprintf("%s", text);
}

static void prompt(void)
{
    kprintf(PROMPT "%s", console.text);
}

static void open_console(void)
{
    if (!monitor.open) {
        kprintf("\ntrivisor: the guest is paused; 'help' lists the commands, 'continue' leaves\n");
        line_clear(&console);
    }
    monitor.open = monitor.paused = true;
    monitor.vm->stopped = true;
    prompt();
}

static void complete(void)
{
    char rest[24];
    unsigned common;
    const int found = name_find(console.text, command_name, command_count, &common);
    if (strchr(console.text, ' ') || found == NAME_NONE) {
        kprintf("\a");
        return;
    }
    if (found == NAME_MANY && common == console.length) {
        kprintf("\n");
        for (int i = 0; i < command_count; i++) {
            if (!strncmp(command_name(i), console.text, console.length))
                kprintf("%s ", command_name(i));
        }
        kprintf("\n");
        prompt();
        return;
    }
    const char *name = command_name(found >= 0 ? found : 0);
    for (int i = 0; found == NAME_MANY && i < command_count; i++) {
        if (!strncmp(command_name(i), console.text, console.length))
            name = command_name(i);
    }
    ksnprintf(rest, sizeof(rest), "%s", name + console.length);
    rest[common - console.length] = 0;
    line_add(&console, rest);
    if (found >= 0)
        line_add(&console, " ");
}

static void console_line(void)
{
    struct answer a = answer_to(true, false);
    char text[LINE_SIZE];
    memcpy(text, console.text, sizeof(text));
    line_clear(&console);
    if (!is_blank(text))
        run_line(&a, text);
    if (monitor.open && !monitor.vm->stop_reason)
        prompt();
}

static void console_byte(uint8_t byte)
{
    switch (line_byte(&console, byte)) {
    case LINE_MORE:
        break;
    case LINE_READY:
        console_line();
        break;
    case LINE_TOO_LONG:
        kprintf("a line has at most %u characters; it is dropped\n", LINE_SIZE - 1);
        prompt();
        break;
    case LINE_TAB:
        complete();
        break;
    case LINE_QUOTED:
        if (!devices_serial_room(&monitor.vm->dev) ||
            !devices_serial_in(&monitor.vm->dev, LINE_ESCAPE))
            kprintf("\a");
        break;
    case LINE_GIVEN_UP:
        prompt();
        break;
    }
}

bool monitor_wants(struct vm *vm, uint8_t byte)
{
    if (byte != LINE_ESCAPE || monitor.vm != vm)
        return false;
    monitor.called = true; /* the prompt appears when the guest has really stopped */
    vm->stopped = true;
    return true;
}

/* --- the channel of programs --- */

static void channel_irq(void)
{
    monitor.vm->stopped = true;
}

static void channel_byte(uint8_t byte)
{
    struct answer a = answer_to(false, true);
    const bool was_open = monitor.open;
    char text[LINE_SIZE];
    switch (line_byte(&channel, byte)) {
    case LINE_READY:
        memcpy(text, channel.text, sizeof(text));
        line_clear(&channel);
        if (!is_blank(text))
            run_line(&a, text);
        if (was_open && !monitor.open)
            kprintf("\ntrivisor: the guest runs\n");
        break;
    case LINE_TOO_LONG:
        answer_line(&a.sink, "the line is too long, or not text; it is dropped");
        answer_end(&a, false);
        break;
    default:
        break;
    }
}

/* --- turns --- */

void monitor_pause(void)
{
    monitor.paused = true;
    monitor.vm->stopped = true;
}

void monitor_continue(void)
{
    monitor.paused = monitor.open = false;
}

/* Take what has come. False: nothing has. */
static bool take_input(struct vm *vm)
{
    int byte;
    bool any = false;
    while (!vm->stop_reason && (byte = host_command_get()) >= 0) {
        any = true;
        channel_byte((uint8_t)byte);
    }
    while (!vm->stop_reason && monitor.paused && (byte = host_serial_get()) >= 0) {
        any = true;
        if (monitor.open)
            console_byte((uint8_t)byte);
        else if (byte == LINE_ESCAPE)
            open_console();
        else if (devices_serial_room(&vm->dev))
            devices_serial_in(&vm->dev, (uint8_t)byte);
    }
    return any;
}

/* The guest's clocks stand still while it is paused, but for its single steps: those of its devices
 * and its TSC, so that no deadline of the guest is missed. */
static uint64_t frozen_at;
static bool frozen;

void monitor_freeze(void)
{
    if (!frozen)
        frozen_at = host_tsc();
    frozen = true;
}

bool monitor_thaw(struct vm *vm)
{
    const uint64_t passed = host_tsc() - frozen_at;
    if (!frozen)
        return false;
    frozen = false;
    host_time_skip(passed);
    vm->vcpu.tsc_offset -= passed;
    vm->vcpu.dirty |= DIRTY_MSR;
    return true;
}

/* The guest waits; so does the VMM. */
static void wait_for_input(struct vm *vm)
{
    if (!monitor.paused)
        return;
    monitor_freeze();
    while (monitor.paused && !vm->stop_reason) {
        if (!take_input(vm))
            host_idle();
    }
    monitor_thaw(vm);
}

/* The guest stands at a breakpoint that was reported: execute what is below it. */
static void go_over(struct vm *vm)
{
    if (monitor.over && pc_of(&vm->vcpu) == monitor.over_at)
        step_once(vm);
    monitor.over = false;
}

bool monitor_turn(struct vm *vm)
{
    while (!vm->stop_reason) {
        vm->stopped = false;
        if (monitor.called)
            open_console();
        monitor.called = false;
        take_input(vm);
        wait_for_input(vm);
        if (vm->stop_reason)
            break;
        go_over(vm);
        host_work = true; /* time has passed, input may wait for the guest */
        if (monitor.paused || vm->stopped)
            continue;
        if (!monitor.hot || vm->switching.to)
            return true;
        hot_run(vm);
    }
    return false;
}

void monitor_breakpoint(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;
    const unsigned number = break_here(vcpu);
    vcpu->mode->sync(vcpu);
    monitor.over = true;
    monitor.over_at = pc_of(vcpu);
    vm->stopped = true;
    breaks_note(vm, number);
}

void record_hit(unsigned number, gva_t gva, uint32_t hits, bool paused)
{
    record("{\"type\":\"monitor\",\"event\":\"breakpoint\",\"number\":%u,\"address\":%u,"
           "\"hits\":%u,\"paused\":%s}",
           number, gva, hits, paused ? "true" : "false");
}

void monitor_stopped_at(unsigned number, gva_t gva, const char *place, uint32_t hits)
{
    record_hit(number, gva, hits, true);
    kprintf("\ntrivisor: breakpoint %u at %08x %s, hit %u times\n", number, gva, place, hits);
    open_console();
}

void monitor_watch(struct vm *vm)
{
    const struct vmm_mode *mode = vm->vcpu.mode;
    const unsigned what =
        (monitor.hot ? WATCH_EXITS : 0u) | (monitor.breaks ? WATCH_BREAKPOINTS : 0u);
    if (mode->watch)
        mode->watch(&vm->vcpu, what);
}

/* monitor=regs;break,panic: commands as the console knows them, but for the separators. */
static const char *run_script(char *script)
{
    static char why[LINE_SIZE + 64];
    struct answer a = answer_to(true, true);
    for (char *at = script, *next; at; at = next) {
        char text[LINE_SIZE];
        next = strchr(at, ';');
        if (next)
            *next++ = 0;
        if (!*at)
            continue;
        if (strlen(at) >= sizeof(text))
            return "a command of monitor= is too long";
        ksnprintf(text, sizeof(text), "%s", at);
        for (char *c = text; *c; c++) {
            if (*c == ',')
                *c = ' ';
        }
        if (!run_line(&a, text)) {
            ksnprintf(why, sizeof(why), "monitor=: the command '%s' failed", at);
            return why;
        }
    }
    return NULL;
}

const char *monitor_start(struct vm *vm)
{
    static char script[512];
    monitor.vm = vm;
    line_init(&console, echo);
    line_init(&channel, NULL);
    host_command_init(channel_irq);
    if (!option_value(vm->options, "monitor", script, sizeof(script)))
        return NULL;
    if (strlen(script) + 1 == sizeof(script))
        return "monitor= is too long";
    monitor.starting = true;
    const char *why = run_script(script);
    monitor.starting = false;
    return why;
}
