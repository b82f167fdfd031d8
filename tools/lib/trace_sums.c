/* Sums over a trace: folded stacks and tables. */
#include <stdlib.h>
#include <string.h>

#include "exit_names.h"
#include "trace_write.h"

/* --- a sum for each text --- */

struct sum {
    char *key;
    uint64_t ticks, count;
};

struct sums {
    struct sum *slot; /* empty ones have no key */
    size_t slots, used;
};

static struct sum *slot_of(const struct sums *sums, const char *key)
{
    size_t i = fnv1a(FNV_START, key, strlen(key)) % sums->slots;
    while (sums->slot[i].key && strcmp(sums->slot[i].key, key))
        i = (i + 1) % sums->slots;
    return &sums->slot[i];
}

static void grow(struct sums *sums)
{
    struct sums bigger = {.slots = sums->slots ? sums->slots * 2 : 256, .used = sums->used};
    bigger.slot = calloc(bigger.slots, sizeof(*bigger.slot));
    for (size_t i = 0; i < sums->slots; i++) {
        if (sums->slot[i].key)
            *slot_of(&bigger, sums->slot[i].key) = sums->slot[i];
    }
    free(sums->slot);
    *sums = bigger;
}

/* Takes key. */
static struct sum *sum_at(struct sums *sums, char *key)
{
    if ((sums->used + 1) * 2 > sums->slots)
        grow(sums);
    struct sum *s = slot_of(sums, key);
    if (s->key) {
        free(key);
    } else {
        s->key = key;
        sums->used++;
    }
    return s;
}

static void sums_free(struct sums *sums)
{
    for (size_t i = 0; i < sums->slots; i++)
        free(sums->slot[i].key);
    free(sums->slot);
}

static int by_key(const void *a, const void *b)
{
    const struct sum *x = a, *y = b;
    if (!x->key || !y->key)
        return !x->key - !y->key;
    return strcmp(x->key, y->key);
}

static int by_ticks(const void *a, const void *b)
{
    const struct sum *x = a, *y = b;
    if (!x->key || !y->key)
        return !x->key - !y->key;
    return x->ticks != y->ticks ? (x->ticks < y->ticks ? 1 : -1) : strcmp(x->key, y->key);
}

/* Used ones first; then slots are no longer found by key. */
static void sort(struct sums *sums, int (*order)(const void *, const void *))
{
    if (sums->slots)
        qsort(sums->slot, sums->slots, sizeof(*sums->slot), order);
}

/* --- folded stacks --- */

struct folding {
    struct trace_run *run;
    struct sums sums;
};

static char *stack_of(struct trace_run *run, const struct trace_record *exit)
{
    return xasprintf("%s;%s;%s;%s", run->guest, trace_level_name(exit),
                     trace_function(&run->symbols, exit), trace_name(exit));
}

static void fold(void *opaque, const struct trace_event *event)
{
    struct folding *f = opaque;
    const uint64_t ticks = event->end - event->start;
    if (event->track == TRACK_GUEST)
        return;
    if (!event->slice) {
        sum_at(&f->sums, stack_of(f->run, event->exit))->ticks += ticks;
        return;
    }
    const char *slice = trace_name(event->slice);
    if (!event->exit) {
        sum_at(&f->sums, xasprintf("VMM;%s", slice))->ticks += ticks;
        return;
    }
    char *stack = stack_of(f->run, event->exit);
    sum_at(&f->sums, xasprintf("%s;%s", stack, slice))->ticks += ticks;
    sum_at(&f->sums, stack)->ticks -= ticks;
}

void trace_write_folded(struct trace_run *run, FILE *out)
{
    struct folding f = {.run = run};
    trace_walk(run, fold, &f);
    sort(&f.sums, by_key);
    for (size_t i = 0; i < f.sums.used; i++)
        fprintf(out, "%s %llu\n", f.sums.slot[i].key, (unsigned long long)f.sums.slot[i].ticks);
    sums_free(&f.sums);
}

/* --- tables --- */

struct reason {
    unsigned number;
    uint64_t *durations;
    size_t count, shorts;
    uint64_t ticks;
};

#define KINDS (TRACE_DRAIN + 1)
#define TOP 20

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static int reason_by_ticks(const void *a, const void *b)
{
    const struct reason *x = a, *y = b;
    if (x->ticks != y->ticks)
        return x->ticks < y->ticks ? 1 : -1;
    return (int)x->number - (int)y->number;
}

struct tables {
    struct trace_run *run;
    struct reason reason[KINDS];
    struct sums functions;
    uint64_t guest, vmm, exits;
};

static void add_duration(struct reason *r, uint64_t ticks)
{
    if (!(r->count & (r->count - 1)))
        r->durations =
            xrealloc(r->durations, (r->count ? r->count * 2 : 1) * sizeof(*r->durations));
    r->durations[r->count++] = ticks;
    r->ticks += ticks;
}

static void tabulate(void *opaque, const struct trace_event *event)
{
    struct tables *t = opaque;
    const uint64_t ticks = event->end - event->start;
    if (event->track == TRACK_GUEST) {
        t->guest += ticks;
        return;
    }
    const struct trace_record *r = event->slice ? event->slice : event->exit;
    struct reason *reason = &t->reason[trace_reason_of(r)];
    add_duration(reason, ticks);
    if (!event->depth)
        t->vmm += ticks;
    if (event->slice)
        return;
    t->exits++;
    reason->shorts += (r->word & TRACE_SHORT) != 0;
    struct sum *s = sum_at(&t->functions, xasprintf("%-8s %s", trace_level_name(r),
                                                    trace_function(&t->run->symbols, r)));
    s->ticks += ticks;
    s->count++;
}

static void reasons_table(struct tables *t, struct text *out)
{
    text_printf(out, "%-14s %9s %9s %12s %7s %8s %10s\n", "reason", "exits", "short", "ticks",
                "share", "median", "max");
    qsort(t->reason, KINDS, sizeof(*t->reason), reason_by_ticks);
    for (unsigned i = 0; i < KINDS; i++) {
        struct reason *r = &t->reason[i];
        const struct trace_record as = {.word = r->number << TRACE_REASON_SHIFT};
        if (!r->count)
            continue;
        char *name = xasprintf(trace_is_slice(&as) ? "(%s)" : "%s", trace_name(&as));
        qsort(r->durations, r->count, sizeof(*r->durations), by_value);
        text_printf(out, "%-14s %9zu %9zu %12llu %5.1f %% %8llu %10llu\n", name, r->count,
                    r->shorts, (unsigned long long)r->ticks,
                    100.0 * (double)r->ticks / (double)t->vmm,
                    (unsigned long long)r->durations[(r->count - 1) / 2],
                    (unsigned long long)r->durations[r->count - 1]);
        free(name);
    }
}

static void functions_table(struct tables *t, struct text *out)
{
    text_printf(out, "\n%-8s %-28s %9s %12s %7s\n", "level", "function", "exits", "ticks", "share");
    sort(&t->functions, by_ticks);
    for (size_t i = 0; i < t->functions.used && i < TOP; i++) {
        const struct sum *s = &t->functions.slot[i];
        text_printf(out, "%-37s %9llu %12llu %5.1f %%\n", s->key, (unsigned long long)s->count,
                    (unsigned long long)s->ticks, 100.0 * (double)s->ticks / (double)t->vmm);
    }
    if (t->functions.used > TOP)
        text_printf(out, "... and %zu more\n", t->functions.used - TOP);
}

void trace_write_tables(struct trace_run *run, struct text *out)
{
    struct tables t = {.run = run};
    for (unsigned i = 0; i < KINDS; i++)
        t.reason[i].number = i;
    trace_walk(run, tabulate, &t);
    text_printf(out, "%s: %llu exits; ticks of the guest %llu, of the VMM %llu\n", run->title,
                (unsigned long long)t.exits, (unsigned long long)t.guest,
                (unsigned long long)t.vmm);
    if (run->dropped)
        text_printf(out, "%llu exits after these were dropped\n", (unsigned long long)run->dropped);
    text_printf(out, "\n");
    if (!t.exits)
        return;
    reasons_table(&t, out);
    functions_table(&t, out);
    text_printf(out,
                "Ticks from an exit to the next entry. \"short\": exits that never reached the "
                "vCPU loop. What is\nin parentheses is no exit; idle time is part of the exit "
                "hlt, too.\n");
    for (unsigned i = 0; i < KINDS; i++)
        free(t.reason[i].durations);
    sums_free(&t.functions);
}
