/* Exits by reason, exits by place, and the mode's counters. */
#include <string.h>

#include "cpu.h"
#include "monitor.h"
#include "vm_loop.h"
#include "vmm.h"
#include "words.h"

/* --- exits by place --- */

#define PLACES 512u /* a power of two */
#define PROBES 8u
#define SHOW_DEFAULT 16u

/* A hash table of fixed size; a place that finds no room in its PROBES slots is not told apart. */
static struct place {
    uint32_t eip, count; /* count 0: free */
    bool user;
} places[PLACES];
static uint64_t without_room, seen;

/* Since the monitor counts them: how many exits the ticks of exit_ticks[] belong to. */
static uint64_t timed[EXIT_REASON_COUNT];

static void count_place(uint32_t eip, bool user)
{
    const uint32_t hash = (eip ^ eip >> 9 ^ (user ? 0x155 : 0)) * 2654435761u >> 16;
    seen++;
    for (unsigned i = 0; i < PROBES; i++) {
        struct place *p = &places[(hash + i) % PLACES];
        if (p->count && (p->eip != eip || p->user != user))
            continue;
        p->eip = eip;
        p->user = user;
        p->count++;
        return;
    }
    without_room++;
}

void hot_run(struct vm *vm)
{
    struct vcpu *vcpu = &vm->vcpu;
    struct vm_watch now, last = {.any = false};
    while (!vm->stopped) {
        vm_turn(vm, &now);
        if (!now.any)
            continue;
        if (last.any) {
            vcpu->exit_ticks[last.reason] += now.entered - last.left;
            timed[last.reason]++;
        }
        last = now;
        count_place(now.eip, now.user);
    }
}

static void clear_places(struct vcpu *vcpu)
{
    memset(places, 0, sizeof(places));
    memset(timed, 0, sizeof(timed));
    memset(vcpu->exit_ticks, 0, sizeof(vcpu->exit_ticks));
    without_room = seen = 0;
}

/* The place with most exits among those that were not shown; shown ones have a lower rank. */
static const struct place *next_place(const struct place *after)
{
    const struct place *best = NULL;
    for (unsigned i = 0; i < PLACES; i++) {
        const struct place *p = &places[i];
        const bool shown =
            after && (p->count > after->count || (p->count == after->count && p <= after));
        if (p->count && !shown && (!best || p->count > best->count))
            best = p;
    }
    return best;
}

static unsigned permille(uint64_t part, uint64_t whole)
{
    return whole ? (unsigned)(part * 1000 / whole) : 0;
}

static void show_places(struct vm *vm, struct sink *sink, uint32_t n)
{
    char place[80];
    const struct place *p = NULL;
    say(sink, "%llu exits were looked at; %llu of them at places that found no room", seen,
        without_room);
    for (; n && (p = next_place(p)); n--) {
        const unsigned share = permille(p->count, seen);
        say(sink, "%10u  %3u.%u %%  %08x  %s", p->count, share / 10, share % 10, p->eip,
            p->user ? "a program" : place_of(vm, p->eip, place, sizeof(place)));
        say_data(sink, "\"eip\":%u,\"count\":%u,\"user\":%s", p->eip, p->count,
                 p->user ? "true" : "false");
    }
}

bool command_hot(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "show";
    uint32_t n = SHOW_DEFAULT;
    if (!strcmp(word, "show") && (argc < 3 || word_number(argv[2], &n))) {
        show_places(vm, sink, n);
        return true;
    }
    if (argc == 2 && (!strcmp(word, "on") || !strcmp(word, "off"))) {
        monitor.hot = !strcmp(word, "on");
        monitor_watch(vm);
        vm->stopped = true; /* the other loop, from now on */
        say(sink, "hot %s", word);
        return true;
    }
    if (argc == 2 && !strcmp(word, "clear")) {
        clear_places(&vm->vcpu);
        say(sink, "all counts of hot are 0 now");
        return true;
    }
    say(sink, "usage: hot [on|off|clear|show [N]]");
    return false;
}

/* --- exits by reason --- */

static int most_frequent(const struct vcpu *vcpu, const bool *done)
{
    int best = EXIT_NONE;
    for (int r = 1; r < EXIT_REASON_COUNT; r++) {
        if (vcpu->exit_count[r] && !done[r] &&
            (best == EXIT_NONE || vcpu->exit_count[r] > vcpu->exit_count[best]))
            best = r;
    }
    return best;
}

static void say_reason(const struct vcpu *vcpu, struct sink *sink, int reason, uint64_t all)
{
    const uint64_t count = vcpu->exit_count[reason];
    const unsigned share = permille(count, all);
    char ticks[48] = "-";
    if (timed[reason])
        ksnprintf(ticks, sizeof(ticks), "%llu", vcpu->exit_ticks[reason] / timed[reason]);
    say(sink, "%10llu  %3u.%u %%  %-14s %10s", count, share / 10, share % 10,
        exit_reason_name((enum exit_reason)reason), ticks);
}

bool command_exits(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    static char json[1024];
    const struct vcpu *vcpu = &vm->vcpu;
    bool done[EXIT_REASON_COUNT] = {false};
    uint64_t all = 0;
    (void)argc;
    (void)argv;
    for (int r = 1; r < EXIT_REASON_COUNT; r++)
        all += vcpu->exit_count[r];
    say(sink, "     exits    share  reason         mean ticks in the VMM (known while hot is on)");
    for (int r; (r = most_frequent(vcpu, done)) != EXIT_NONE; done[r] = true)
        say_reason(vcpu, sink, r, all);
    say(sink, "%10llu  in all", all);
    exits_json(vcpu, NULL, json, sizeof(json));
    say_data(sink, "\"exits\":%s", json);
    return true;
}

/* --- what the mode counts --- */

/* Members of a JSON object, a line each. */
static void say_members(struct sink *sink, const char *json)
{
    char line[SAY_MAX];
    unsigned n = 0;
    int depth = 0;
    for (;; json++) {
        if (!*json || (*json == ',' && !depth)) {
            line[n] = 0;
            if (n)
                say(sink, "  %s", line);
            n = 0;
            if (!*json)
                return;
            continue;
        }
        depth += *json == '{';
        depth -= *json == '}';
        if (*json != '"' && n + 1 < sizeof(line))
            line[n++] = *json;
    }
}

bool command_stats(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    static char json[1024];
    const struct vmm_mode *mode = vm->vcpu.mode;
    (void)argc;
    (void)argv;
    json[0] = 0;
    if (mode->stats)
        mode->stats(&vm->vcpu, json, sizeof(json));
    say(sink, "mode %s: %s", mode->name, mode->what);
    say_members(sink, json);
    if (json[0])
        say_data(sink, "\"mode\":\"%s\",\"stats\":{%s}", mode->name, json);
    return true;
}

/* --- what only one mode has --- */

static bool show(struct vm *vm, struct sink *sink, const char *topic, const char *otherwise)
{
    struct vcpu *vcpu = &vm->vcpu;
    if (vcpu->mode->show && vcpu->mode->show(vcpu, topic, sink))
        return true;
    say(sink, "mode %s %s", vcpu->mode->name, otherwise);
    return false;
}

bool command_patches(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return show(vm, sink, "patches", "patches nothing in the guest; mode para does");
}

bool command_scan(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return show(vm, sink, "scan", "scans no code; mode trap does");
}

bool command_nested(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return show(vm, sink, "nested", "has no nested tables; modes vtx and svm have");
}
