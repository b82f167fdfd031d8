/*
 * What check=on and break= have in common in both hardware modes (svm/entry.c, vmx/entry.c), and
 * how a broken rule is reported.
 */
#ifndef TRIVISOR_ENTRY_H
#define TRIVISOR_ENTRY_H

#include "rules.h"

/* "WHO: SENTENCE (MANUAL section N)", in static storage; otherwise when rule is NULL. */
const char *entry_report(const struct entry_rule *rule, const char *who, const char *manual,
                         const char *otherwise);

/* Physical memory for a checker: n bytes at hpa; false where the VMM cannot read it. */
bool entry_memory(uint64_t hpa, void *to, unsigned n);

/*
 * Read check=on|off and break=NAME. name(i): what the mode can break, NULL behind the last one.
 * *broken becomes the number of the name, or -1. Returns NULL, or one sentence.
 */
const char *entry_options(const char *options, const char *(*name)(unsigned), bool *checked,
                          int *broken);

#endif
