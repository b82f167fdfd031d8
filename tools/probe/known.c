#include "probe/known.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

const char *const robin_names[ROBIN_COUNT] = {
    "SGDT", "SIDT", "SLDT", "SMSW", "PUSHF", "POPF", "LAR", "LSL", "VERR/VERW",
    "POP",  "PUSH", "CALL", "JMP",  "INT n", "RET",  "STR", "MOV",
};

/* Their names are the manual's of that time, one for all segment registers. */
static const struct {
    const char *begins;
    int robin;
} robin_members[] = {
    {"VERR", 8},     {"VERW", 8},     {"POP ", 9},       {"PUSH ", 10},   {"CALL far", 11},
    {"JMP far", 12}, {"RET far", 14}, {"MOV from ", 16}, {"MOV to ", 16},
};

static bool begins(const char *name, const char *with)
{
    return !strncmp(name, with, strlen(with));
}

int robin_of(const char *name)
{
    if (strstr(name, " CR") || strstr(name, " DR"))
        return -1;
    for (unsigned i = 0; i < ROBIN_COUNT; i++)
        if (!strcmp(name, robin_names[i]) && strcmp(name, "MOV") && strcmp(name, "PUSH"))
            return (int)i;
    for (unsigned i = 0; i < COUNT(robin_members); i++)
        if (begins(name, robin_members[i].begins))
            return robin_members[i].robin;
    return -1;
}

uint32_t robin_found(const struct verdicts *all)
{
    uint32_t found = 0;
    for (unsigned i = 0; i < all->count; i++) {
        const int robin = robin_of(all->of[i].name);
        if (robin >= 0 && breaks_theorem_1(&all->of[i]))
            found |= 1u << robin;
    }
    return found;
}

/*
 * --- explanations of differences. name: exactly, or with a blank at its end how it begins; config
 * "": in any; here: what was found here, for which alone it is an explanation ---
 */
#define MISSING (-1)
#define FOUND (-2)

struct explanation {
    const char *name, *config;
    int here; /* MISSING, FOUND, or the derived class */
    const char *why;
};

static bool explains(const struct explanation *e, const char *name, const char *config, int here)
{
    const size_t n = strlen(e->name);
    const bool named = e->name[n - 1] == ' ' ? begins(name, e->name) : !strcmp(name, e->name);
    return named && e->here == here && (!*e->config || !strcmp(e->config, config));
}

static unsigned explain(struct text *out, const struct explanation *of, unsigned count,
                        const char *name, const char *config, int here, const char *what)
{
    const char *why = NULL;
    for (unsigned i = 0; i < count && !why; i++)
        if (explains(&of[i], name, config, here))
            why = of[i].why;
    text_printf(out, "  %-12s %s: %s\n", name, what, why ? why : "NOT EXPLAINED");
    return !why;
}

#define UMIP_WHY "CR4.UMIP makes it trap, which CPUs had not in 2000"
#define GATE_WHY "enters the supervisor through a gate as INT n does; not in their list"
#define TIME_WHY "shows the real time; CR4.TSD makes it trap, so they count it as privileged"
#define IOPL_WHY "with IOPL 3 the user is master of IF and of the ports"
#define PVI_WHY "CR4.PVI gives the user a virtual IF: VIF changes, and nobody is told"
#define TABLES_WHY "loads whatever descriptor the table in force holds; they name only POP and MOV"

static const struct explanation robin_why[] = {
    {"SGDT", "UMIP", MISSING, UMIP_WHY},
    {"SIDT", "UMIP", MISSING, UMIP_WHY},
    {"SLDT", "UMIP", MISSING, UMIP_WHY},
    {"STR", "UMIP", MISSING, UMIP_WHY},
    {"SMSW", "UMIP", MISSING, UMIP_WHY},
    {"IRET", "", FOUND, "sets IF and IOPL as POPF does and returns as RET does; not in their list"},
    {"LDS", "", FOUND, TABLES_WHY},
    {"LES", "", FOUND, TABLES_WHY},
    {"LSS", "", FOUND, TABLES_WHY},
    {"LFS", "", FOUND, TABLES_WHY},
    {"LGS", "", FOUND, TABLES_WHY},
    {"INT3", "", FOUND, GATE_WHY},
    {"INTO", "", FOUND, GATE_WHY},
    {"INT1", "", FOUND, GATE_WHY},
    {"SYSENTER", "", FOUND, "enters the supervisor without a trap; newer than the Pentium"},
    {"RDTSC", "", FOUND, TIME_WHY},
    {"RDTSCP", "", FOUND, TIME_WHY},
    {"RDPMC", "", FOUND, "shows the real counters once CR4.PCE is set"},
    {"CPUID", "", FOUND, "shows CR4.OSXSAVE, which is newer than their study"},
    {"XGETBV", "", FOUND, "shows XCR0, which is newer than their study"},
    {"CLI", "IOPL 3", FOUND, IOPL_WHY},
    {"STI", "IOPL 3", FOUND, IOPL_WHY},
    {"IN", "IOPL 3", FOUND, IOPL_WHY},
    {"OUT", "IOPL 3", FOUND, IOPL_WHY},
    {"INS", "IOPL 3", FOUND, IOPL_WHY},
    {"OUTS", "IOPL 3", FOUND, IOPL_WHY},
    {"CLI", "PVI", FOUND, PVI_WHY},
    {"STI", "PVI", FOUND, PVI_WHY},
};

unsigned compare_robin(const struct verdicts *all, const char *config, struct text *out)
{
    const uint32_t found = robin_found(all);
    unsigned unexplained = 0;
    for (unsigned i = 0; i < ROBIN_COUNT; i++)
        if (!(found >> i & 1))
            unexplained += explain(out, robin_why, COUNT(robin_why), robin_names[i], config,
                                   MISSING, "is theirs and not found here");
    for (unsigned i = 0; i < all->count; i++)
        if (breaks_theorem_1(&all->of[i]) && robin_of(all->of[i].name) < 0)
            unexplained += explain(out, robin_why, COUNT(robin_why), all->of[i].name, config, FOUND,
                                   "is found here and not theirs");
    return unexplained;
}

/* --- the decoder's table --- */

#define SHADOW_WHY "the VMM's shadow descriptor tables give a guest the descriptors that it expects"
#define FINDS_WHY "the scanner finds it whether this bit of CR4 makes it trap or not"
#define OPEN_WHY "this configuration is not the VMM's: it never sets this bit"

static const struct explanation decoder_why[] = {
    {"SGDT", "UMIP", CLASS_PRIVILEGED, FINDS_WHY},
    {"SIDT", "UMIP", CLASS_PRIVILEGED, FINDS_WHY},
    {"SLDT", "UMIP", CLASS_PRIVILEGED, FINDS_WHY},
    {"STR", "UMIP", CLASS_PRIVILEGED, FINDS_WHY},
    {"SMSW", "UMIP", CLASS_PRIVILEGED, FINDS_WHY},
    {"POP ", "", CLASS_SENSITIVE, SHADOW_WHY},
    {"MOV to ", "", CLASS_SENSITIVE, SHADOW_WHY},
    {"LDS", "", CLASS_SENSITIVE, SHADOW_WHY},
    {"LES", "", CLASS_SENSITIVE, SHADOW_WHY},
    {"LFS", "", CLASS_SENSITIVE, SHADOW_WHY},
    {"LGS", "", CLASS_SENSITIVE, SHADOW_WHY},
    {"RDTSCP", "TSD", CLASS_PRIVILEGED, FINDS_WHY},
    {"RDTSC", "", CLASS_SENSITIVE, "CR4.TSD makes it trap where the VMM wants that"},
    {"RDTSC", "TSD", CLASS_PRIVILEGED, "CR4.TSD is set here, and not always by the VMM"},
    {"RDPMC", "", CLASS_PRIVILEGED, FINDS_WHY},
    {"RDPMC", "PCE", CLASS_INNOCUOUS, "the counter stands still in this emulator"},
    {"CPUID", "", CLASS_INNOCUOUS,
     "without XSAVE no state of the prober changes its answer; the VMM has its own"},
    {"INT n", "", CLASS_SENSITIVE, "the VMM's gates have DPL 0; here one has DPL 3"},
    {"CLI", "IOPL 3", CLASS_SENSITIVE, OPEN_WHY},
    {"STI", "IOPL 3", CLASS_SENSITIVE, OPEN_WHY},
    {"IN", "IOPL 3", CLASS_SENSITIVE, OPEN_WHY},
    {"OUT", "IOPL 3", CLASS_SENSITIVE, OPEN_WHY},
    {"INS", "IOPL 3", CLASS_SENSITIVE, OPEN_WHY},
    {"OUTS", "IOPL 3", CLASS_SENSITIVE, OPEN_WHY},
    {"CLI", "PVI", CLASS_SENSITIVE, OPEN_WHY},
    {"STI", "PVI", CLASS_SENSITIVE, OPEN_WHY},
};

static const char *const class_names[] = {"innocuous", "privileged", "sensitive"};

static enum insn_class derived_class(const struct verdict *v)
{
    if (v->privilege == PRIVILEGED)
        return CLASS_PRIVILEGED;
    return breaks_theorem_1(v) ? CLASS_SENSITIVE : CLASS_INNOCUOUS;
}

unsigned compare_decoder(const struct verdicts *all, const char *config, struct text *out)
{
    unsigned unexplained = 0;
    for (unsigned i = 0; i < all->count; i++) {
        const struct verdict *v = &all->of[i];
        struct insn insn;
        char *what;
        if (v->privilege == ALWAYS_REFUSED)
            continue;
        if (decode(&insn, v->first->bytes, v->first->len, 32) != DECODE_OK)
            what =
                xasprintf("%s here, and not known to the decoder", class_names[derived_class(v)]);
        else if (insn.class != derived_class(v))
            what = xasprintf("%s here, %s to the decoder", class_names[derived_class(v)],
                             class_names[insn.class]);
        else
            continue;
        unexplained +=
            explain(out, decoder_why, COUNT(decoder_why), v->name, config, derived_class(v), what);
        free(what);
    }
    return unexplained;
}
