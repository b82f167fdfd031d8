/*
 * The classes of Popek and Goldberg ("Formal requirements for virtualizable third generation
 * architectures", CACM 17(7), 1974), derived from executions alone. No instruction is known here.
 *
 * User mode is level 3, supervisor mode level 0. An instruction traps when an exception refuses it.
 *  - privileged: in every pair of states that differ in the mode alone it traps in user mode and
 * not in supervisor mode; pairs in which it traps in both do not count, but there must be others.
 *  - control-sensitive: in some state it does not trap and changes the machine's state or the mode.
 *  - behaviour-sensitive: two states differ in one thing alone, it traps in neither, and what the
 *    program sees afterwards differs. The thing is the location (other page frames), a resource
 *    of the machine, or the mode. For the mode one more case counts: trapping in supervisor mode
 * and not in user mode, since no VMM is told then.
 *  - user-sensitive (theorem 3): control-sensitive, or behaviour-sensitive by location or resource,
 *    when executed in user mode.
 * One machine is one configuration: a VMM chooses it once (CR4.UMIP, IOPL and so on).
 */
#ifndef PROBE_DERIVE_H
#define PROBE_DERIVE_H

#include "probe/records.h"

enum privilege {
    NEVER_TRAPS,   /* in no pair in user mode alone */
    SOMETIMES,     /* in some pairs, for some operands */
    PRIVILEGED,    /* in all */
    ALWAYS_REFUSED /* it never works in supervisor mode: not offered, or not switched on */
};

enum reason { CONTROL, BY_LOCATION, BY_RESOURCE, BY_MODE, REASONS };

/* The pair of executions that shows something; form NULL: nothing shows it. */
struct evidence {
    const struct probe_form *form;
    unsigned level[2], state[2];
};

struct verdict {
    const char *name;
    const struct probe_form *first; /* its forms are this one and those of its name behind it */
    unsigned forms;
    enum privilege privilege;
    struct evidence trap;    /* a trap in user mode alone */
    struct evidence no_trap; /* no trap, in neither mode */
    struct evidence why[REASONS], user_why[REASONS];
};

struct verdicts {
    unsigned count;
    struct verdict *of;
};

/* Judge every instruction in one configuration. The records must outlive the verdicts; the caller
 * frees .of. */
struct verdicts derive(const struct probe *p, unsigned config);

bool is_sensitive(const struct verdict *v);
bool is_user_sensitive(const struct verdict *v);
/* The counterexamples of theorems 1 and 3. */
bool breaks_theorem_1(const struct verdict *v);
bool breaks_theorem_3(const struct verdict *v);

/* Does some instruction show the state, not counting what changes by itself? A state that none
 * shows is a hole in the experiment, or something that the CPU has not. */
bool is_seen(const struct probe *p, unsigned config, unsigned state);

/* The number of a configuration, or -1. */
int probe_config(const struct probe *p, const char *name);
/* The verdict on an instruction, or NULL. */
const struct verdict *verdict_on(const struct verdicts *all, const char *name);

#endif
