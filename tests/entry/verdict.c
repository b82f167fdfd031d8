/* What the checker says against what the CPU does, and the table of that. */
#include <string.h>

#include "entry.h"
#include "vmm.h"

#define MAX_RULES 160

static struct line {
    const struct entry_rule *rule;
    enum verdict stage;
    bool broken; /* in this case */
    struct unchecked *unchecked;
    uint32_t tried, alone, agreed, listed;
} lines[MAX_RULES];
static unsigned count, next;
static enum verdict stage_now;
static struct unchecked *list;
static struct too_strict *strict_list, *strict;
static struct deadly *deadly_list;

struct tally tally;

void known_set(struct unchecked *unchecked, struct too_strict *too_strict, struct deadly *deadly)
{
    deadly_list = deadly;
    list = unchecked;
    strict_list = too_strict;
}

static bool begins(const char *text, const char *with)
{
    while (*with) {
        if (*text++ != *with++)
            return false;
    }
    return true;
}

/* Rules come in the same order nearly always. */
static struct line *line_of(const struct entry_rule *rule)
{
    if (next < count && lines[next].rule == rule)
        return &lines[next++];
    for (next = 0; next < count && lines[next].rule != rule; next++)
        ;
    if (next == MAX_RULES)
        panic("more than %u rules", MAX_RULES);
    if (next == count)
        lines[count++] = (struct line){.rule = rule, .stage = stage_now};
    return &lines[next++];
}

void verdict_begin(void)
{
    next = 0;
    for (unsigned i = 0; i < count; i++)
        lines[i].broken = false;
}

void verdict_stage(enum verdict stage)
{
    stage_now = stage;
}

void verdict_seen(const struct entry_rule *rule, bool broken)
{
    line_of(rule)->broken |= broken;
}

/* Is the rule one that this CPU does not check? */
static struct unchecked *find_unchecked(const struct line *line)
{
    for (struct unchecked *u = list; u->rule; u++) {
        if (begins(line->rule->sentence, u->rule) && (!u->here || u->here()) &&
            (!u->when || u->when()))
            return u;
    }
    return NULL;
}

static struct too_strict *find_strict(void)
{
    for (struct too_strict *s = strict_list; s->when; s++) {
        if ((!s->here || s->here()) && s->when())
            return s;
    }
    return NULL;
}

/* The stage at which it fails, by all rules or without those that the CPU does not check. */
static enum verdict first_stage(bool unchecked_too)
{
    enum verdict first = ENTERS;
    for (unsigned i = 0; i < count; i++) {
        const struct line *l = &lines[i];
        if (l->broken && (unchecked_too || !l->unchecked) && (!first || l->stage < first))
            first = l->stage;
    }
    return first;
}

/* Controls and host state may be checked in any order (SDM vol. 3C section 26.2). */
static bool may_be(enum verdict cpu, bool unchecked_too)
{
    const enum verdict first = first_stage(unchecked_too);
    if (cpu == first)
        return true;
    if (first != FAILS_CONTROLS || cpu != FAILS_HOST)
        return false;
    for (unsigned i = 0; i < count; i++) {
        if (lines[i].broken && lines[i].stage == cpu && (unchecked_too || !lines[i].unchecked))
            return true;
    }
    return false;
}

enum verdict verdict_of_checker(void)
{
    return first_stage(true);
}

bool verdict_will_enter(void)
{
    for (unsigned i = 0; i < count; i++)
        lines[i].unchecked = lines[i].broken ? find_unchecked(&lines[i]) : NULL;
    strict = find_strict();
    return first_stage(false) == ENTERS && !strict;
}

bool verdict_deadly(bool will_enter)
{
    for (struct deadly *d = deadly_list; d->when; d++) {
        if ((will_enter || d->always) && d->when()) {
            d->left_out++;
            tally.skipped++;
            return true;
        }
    }
    return false;
}

static bool as_expected(enum verdict cpu)
{
    const enum verdict rest = first_stage(false);
    if (strict && (!rest || strict->verdict < rest))
        return cpu == strict->verdict;
    return may_be(cpu, false);
}

static unsigned broken_count(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < count; i++)
        n += lines[i].broken;
    return n;
}

/* What the case says about each broken rule, and about the listed ones. */
static void book(enum verdict cpu, bool named)
{
    const bool alone = broken_count() == 1, agrees = may_be(cpu, true);
    for (unsigned i = 0; i < count; i++) {
        struct line *l = &lines[i];
        if (!l->broken)
            continue;
        l->tried++;
        l->alone += alone;
        l->agreed += agrees;
        l->listed += !agrees;
        if (l->unchecked && named && alone && !agrees)
            l->unchecked->shown++;
    }
    if (strict && named && !agrees)
        strict->shown++;
}

void verdict_print_broken(void)
{
    for (unsigned i = 0; i < count; i++) {
        if (lines[i].broken)
            kprintf("    broken: %s (%s)%s\n", lines[i].rule->sentence, lines[i].rule->section,
                    lines[i].unchecked ? ", which this CPU is known not to check" : "");
    }
    if (strict)
        kprintf("    known to be refused here: %s\n", strict->name);
}

bool verdict_end(enum verdict cpu, const char *base, const char *way, bool named)
{
    const bool good = as_expected(cpu);
    tally.cases++;
    if (good) {
        book(cpu, named);
        return true;
    }
    tally.differ++;
    kprintf("DIFFERS: base %s, %s: the checker says %s, the CPU %s\n", base, way,
            verdict_name(verdict_of_checker()), verdict_name(cpu));
    verdict_print_broken();
    return false;
}

const char *verdict_name(enum verdict verdict)
{
    static char other[24];
    switch (verdict) {
    case ENTERS:
        return "enters";
    case REFUSED:
        return "VMEXIT_INVALID";
    case FAILS_CONTROLS:
        return "VMfail 7 (controls)";
    case FAILS_HOST:
        return "VMfail 8 (host state)";
    case FAILS_GUEST:
        return "exit 33 (guest state)";
    case FAILS_MSR:
        return "exit 34 (MSRs)";
    }
    ksnprintf(other, sizeof(other), "number %u", verdict);
    return other;
}

static void print_number(uint32_t n)
{
    static const uint32_t powers[] = {10000, 1000, 100, 10};
    for (unsigned i = 0; i < ARRAY_LEN(powers); i++) {
        if (n < powers[i])
            kprintf(" ");
    }
    kprintf("%u ", n);
}

static int compare_sections(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a - *b;
}

/* By stage and section; those of a section as they came. */
static void sort_lines(void)
{
    for (unsigned i = 1; i < count; i++) {
        const struct line l = lines[i];
        unsigned to = i;
        for (; to && (lines[to - 1].stage > l.stage ||
                      (lines[to - 1].stage == l.stage &&
                       compare_sections(lines[to - 1].rule->section, l.rule->section) > 0));
             to--)
            lines[to] = lines[to - 1];
        lines[to] = l;
    }
}

unsigned verdict_report(void)
{
    unsigned missing = 0;
    sort_lines();
    kprintf("\n broken  alone agreed listed  section   rule\n");
    for (unsigned i = 0; i < count; i++) {
        const struct line *l = &lines[i];
        kprintf(" ");
        print_number(l->tried);
        print_number(l->alone);
        print_number(l->agreed);
        print_number(l->listed);
        kprintf("  %s  %s\n", l->rule->section, l->rule->sentence);
    }
    kprintf("\nWhere this CPU departs from the manual (how often the named ways showed it):\n");
    for (struct unchecked *u = list; u->rule; u++) {
        if (u->here && !u->here())
            continue;
        kprintf("  %u times not checked: %s...: %s\n", u->shown, u->rule, u->reason);
        missing += !u->shown;
    }
    for (struct too_strict *s = strict_list; s->when; s++) {
        if (s->here && !s->here())
            continue;
        kprintf("  %u times too strict: %s: %s\n", s->shown, s->name, s->reason);
        missing += !s->shown;
    }
    for (struct deadly *d = deadly_list; d->when; d++)
        kprintf("  %u times not tried: %s\n", d->left_out, d->reason);
    return missing;
}
