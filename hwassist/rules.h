/*
 * The rules of VM entry and of VMRUN, one sentence each. A checker walks through all rules that
 * apply to what is to be entered, in the order of the manual, and says of each whether it is
 * broken.
 */
#ifndef TRIVISOR_RULES_H
#define TRIVISOR_RULES_H

#include "types.h"

struct entry_rule {
    const char *section;  /* of the manual: "26.2.1.1", "15.5.1" */
    const char *sentence; /* what is wrong when it is broken */
};

/* A walk. Set seen, or leave it NULL; the rest is the checker's. */
struct rule_walk {
    void (*seen)(const struct entry_rule *rule, bool broken);
    const struct entry_rule *broken; /* the first one */
};

/* A rule of the walk: `breaks` is a condition, section and sentence are strings. */
#define RULE(walk, breaks, section, sentence)                                                      \
    do {                                                                                           \
        static const struct entry_rule rule_ = {section, sentence};                                \
        rule_apply(walk, &rule_, breaks);                                                          \
    } while (0)

static inline void rule_apply(struct rule_walk *walk, const struct entry_rule *rule, bool broken)
{
    if (broken && !walk->broken)
        walk->broken = rule;
    if (walk->seen)
        walk->seen(rule, broken);
}

#endif
