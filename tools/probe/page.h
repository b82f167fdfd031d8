/* What tv-probe shows: tables for people, JSON for programs. */
#ifndef PROBE_PAGE_H
#define PROBE_PAGE_H

#include <cjson/cJSON.h>

#include "probe/known.h"

/* "privileged", "sensitive", "innocuous" or "not offered": of a verdict in one word;
 * "not probed" without one. */
const char *class_word(const struct verdict *v);

/* The table of one configuration, the two theorems with their counterexamples, the comparisons.
 * Returns the number of differences without an explanation. */
unsigned page_of(const struct probe *p, unsigned config, struct text *out);

/* Several machines, by name: how many counterexamples each has, where it departs from the manual,
 * and which instructions have not the same class everywhere. Returns as above. */
unsigned page_of_all(const struct probe *const *p, const char *const *names, unsigned count,
                     struct text *out);

/* All configurations, with the outcomes that are the evidence. */
cJSON *json_of(const struct probe *p, const char *machine);

#endif
