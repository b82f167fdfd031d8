/*
 * Who may execute an instruction, as the Intel SDM says it (vol. 2, the page of the instruction,
 * and vol. 3A section 5.9, "Privileged instructions"), and how it is refused otherwise.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/known.h"

enum rule {
    ANYONE,
    LEVEL_0,    /* else #GP(0) */
    LEVEL_0_UD, /* else #UD */
    BY_IOPL,    /* CPL up to IOPL, else #GP(0) */
    BY_IOPL_IF, /* the same; at CPL 3 with CR4.PVI it changes VIF (vol. 3B section 20.4) */
    BY_UMIP,    /* anyone without CR4.UMIP, else level 0 */
    BY_TSD,     /* anyone without CR4.TSD, else level 0 */
    BY_PCE,     /* anyone with CR4.PCE, else level 0 */
};

/* Does every CPU have it? */
enum offer { ALWAYS, MAYBE };

static const struct statement {
    const char *name;
    enum rule rule;
    enum offer offer;
    const char *section;
} statements[] = {
    {"SGDT", BY_UMIP, ALWAYS, "vol. 2B, SGDT"},
    {"SIDT", BY_UMIP, ALWAYS, "vol. 2B, SIDT"},
    {"SLDT", BY_UMIP, ALWAYS, "vol. 2B, SLDT"},
    {"STR", BY_UMIP, ALWAYS, "vol. 2B, STR"},
    {"SMSW", BY_UMIP, ALWAYS, "vol. 2B, SMSW"},
    {"LGDT", LEVEL_0, ALWAYS, "vol. 2A, LGDT/LIDT"},
    {"LIDT", LEVEL_0, ALWAYS, "vol. 2A, LGDT/LIDT"},
    {"LLDT", LEVEL_0, ALWAYS, "vol. 2A, LLDT"},
    {"LTR", LEVEL_0, ALWAYS, "vol. 2A, LTR"},
    {"LMSW", LEVEL_0, ALWAYS, "vol. 2A, LMSW"},
    {"CLTS", LEVEL_0, ALWAYS, "vol. 2A, CLTS"},
    {"MOV from CR", LEVEL_0, ALWAYS, "vol. 2B, MOV control registers"},
    {"MOV to CR", LEVEL_0, ALWAYS, "vol. 2B, MOV control registers"},
    {"MOV from DR", LEVEL_0, ALWAYS, "vol. 2B, MOV debug registers"},
    {"MOV to DR", LEVEL_0, ALWAYS, "vol. 2B, MOV debug registers"},
    {"RDMSR", LEVEL_0, MAYBE, "vol. 2B, RDMSR"},
    {"WRMSR", LEVEL_0, MAYBE, "vol. 2D, WRMSR"},
    {"RDTSC", BY_TSD, ALWAYS, "vol. 2B, RDTSC"},
    {"RDTSCP", BY_TSD, MAYBE, "vol. 2B, RDTSCP"},
    {"RDPMC", BY_PCE, MAYBE, "vol. 2B, RDPMC"},
    {"CPUID", ANYONE, ALWAYS, "vol. 2A, CPUID"},
    {"XGETBV", ANYONE, MAYBE, "vol. 2D, XGETBV"},
    {"XSETBV", LEVEL_0, MAYBE, "vol. 2D, XSETBV"},
    {"INVLPG", LEVEL_0, ALWAYS, "vol. 2A, INVLPG"},
    {"INVPCID", LEVEL_0, MAYBE, "vol. 2A, INVPCID"},
    {"INVD", LEVEL_0, ALWAYS, "vol. 2A, INVD"},
    {"WBINVD", LEVEL_0, ALWAYS, "vol. 2D, WBINVD"},
    {"HLT", LEVEL_0, ALWAYS, "vol. 2A, HLT"},
    {"MONITOR", LEVEL_0_UD, MAYBE, "vol. 2B, MONITOR"},
    {"MWAIT", LEVEL_0_UD, MAYBE, "vol. 2B, MWAIT"},
    {"CLI", BY_IOPL_IF, ALWAYS, "vol. 2A, CLI"},
    {"STI", BY_IOPL_IF, ALWAYS, "vol. 2B, STI"},
    {"PUSHF", ANYONE, ALWAYS, "vol. 2B, PUSHF"},
    {"POPF", ANYONE, ALWAYS, "vol. 2B, POPF"},
    {"IN", BY_IOPL, ALWAYS, "vol. 2A, IN"},
    {"OUT", BY_IOPL, ALWAYS, "vol. 2B, OUT"},
    {"INS", BY_IOPL, ALWAYS, "vol. 2A, INS"},
    {"OUTS", BY_IOPL, ALWAYS, "vol. 2B, OUTS"},
    {"LAR", ANYONE, ALWAYS, "vol. 2A, LAR"},
    {"LSL", ANYONE, ALWAYS, "vol. 2A, LSL"},
    {"VERR", ANYONE, ALWAYS, "vol. 2C, VERR/VERW"},
    {"VERW", ANYONE, ALWAYS, "vol. 2C, VERR/VERW"},
    {"ARPL", ANYONE, ALWAYS, "vol. 2A, ARPL"},
    {"INT3", ANYONE, ALWAYS, "vol. 2A, INT n/INTO/INT3/INT1"},
    {"INTO", ANYONE, ALWAYS, "vol. 2A, INT n/INTO/INT3/INT1"},
    {"INT1", ANYONE, ALWAYS, "vol. 2A, INT n/INTO/INT3/INT1"},
    {"SYSENTER", ANYONE, MAYBE, "vol. 2B, SYSENTER"},
    {"SYSEXIT", LEVEL_0, MAYBE, "vol. 2B, SYSEXIT"},
};

#define CR4_PVI 0x002u
#define CR4_TSD 0x004u
#define CR4_PCE 0x100u
#define CR4_UMIP 0x800u
#define VECTOR_UD 6
#define VECTOR_GP 13

static bool refuses(const struct probe *p, enum rule rule, unsigned config, unsigned level,
                    unsigned state)
{
    const uint32_t cr4 = p->config[config].cr4;
    /* The state that flips IOPL is known by its name alone. */
    const unsigned iopl = p->config[config].iopl ^ (strstr(p->state[state].name, "IOPL") ? 3u : 0u);
    switch (rule) {
    case ANYONE:
        return false;
    case LEVEL_0:
    case LEVEL_0_UD:
        return level > 0;
    case BY_IOPL_IF:
        if (level == USER && (cr4 & CR4_PVI))
            return false;
        return level > iopl;
    case BY_IOPL:
        return level > iopl;
    case BY_UMIP:
        return level > 0 && (cr4 & CR4_UMIP);
    case BY_TSD:
        return level > 0 && (cr4 & CR4_TSD);
    case BY_PCE:
        return level > 0 && !(cr4 & CR4_PCE);
    }
    return false;
}

struct departure {
    const char *what; /* NULL: none */
    unsigned config, level, state;
};

static void look(struct departure *d, const struct probe *p, const struct statement *s,
                 const struct probe_form *f, unsigned config, unsigned level, unsigned state)
{
    const struct probe_outcome *super = f->at[config][SUPERVISOR][state];
    const struct probe_outcome *o = f->at[config][level][state];
    const int vector = s->rule == LEVEL_0_UD ? VECTOR_UD : VECTOR_GP;
    if (d->what || !super || !o || super->trapped)
        return;
    const bool refused = refuses(p, s->rule, config, level, state);
    if (refused != o->trapped)
        d->what = refused ? "is executed, and should be refused" : "is refused, and should not be";
    else if (refused && (o->vector != vector || o->error))
        d->what = "is refused by the wrong exception";
    d->config = config;
    d->level = level;
    d->state = state;
}

static unsigned compare_form(const struct probe *p, const struct statement *s,
                             const struct probe_form *f, struct text *out)
{
    struct departure d = {0};
    /* A CPU that has CR4.PCE has counters. */
    const bool offered = s->offer == ALWAYS || (s->rule == BY_PCE && probe_config(p, "PCE") >= 0);
    if (offered && f->at[0][SUPERVISOR][0] && f->at[0][SUPERVISOR][0]->trapped) {
        text_printf(out, "  %-12s is refused to everyone, and should be there (%s)\n", f->name,
                    s->section);
        return 1;
    }
    for (unsigned c = 0; c < p->configs; c++)
        for (unsigned level = 1; level < PROBE_LEVELS; level++)
            for (unsigned state = 0; state < p->states && !d.what; state++)
                look(&d, p, s, f, c, level, state);
    if (d.what)
        text_printf(out, "  %-12s %s%s%s at level %u with %s, state %s (%s)\n", f->name, f->variant,
                    *f->variant ? ": " : "", d.what, d.level, p->config[d.config].name,
                    p->state[d.state].name, s->section);
    return d.what ? 1 : 0;
}

unsigned compare_manual(const struct probe *p, struct text *out)
{
    unsigned departures = 0;
    for (unsigned i = 0; i < p->forms; i++)
        for (unsigned s = 0; s < sizeof(statements) / sizeof(statements[0]); s++)
            if (!strcmp(p->form[i].name, statements[s].name))
                departures += compare_form(p, &statements[s], &p->form[i], out);
    return departures;
}
