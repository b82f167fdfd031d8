/*
 * What others say about the same instructions: Robin and Irvine, the decoder's table, and the
 * manual. Only compared with what was derived; derive.c knows nothing of it.
 */
#ifndef PROBE_KNOWN_H
#define PROBE_KNOWN_H

#include "decoder.h"
#include "lib/util.h"
#include "probe/derive.h"

/* Robin and Irvine ("Analysis of the Intel Pentium's ability to support a secure virtual machine
 * monitor", USENIX Security 2000) name seventeen. */
#define ROBIN_COUNT 17
extern const char *const robin_names[ROBIN_COUNT];
/* The one of theirs that an instruction belongs to (its index), or -1. */
int robin_of(const char *name);
/* Of the seventeen, bit by bit, those with an instruction that breaks theorem 1. */
uint32_t robin_found(const struct verdicts *all);

/* One line for each difference, indented; returns how many lack an explanation. */
unsigned compare_robin(const struct verdicts *all, const char *config, struct text *out);
unsigned compare_decoder(const struct verdicts *all, const char *config, struct text *out);

/*
 * Where the CPU departs from the Intel SDM: who may execute the instruction, and how it is refused.
 * Lines as above; returns how many departures there are.
 */
unsigned compare_manual(const struct probe *p, struct text *out);

#endif
