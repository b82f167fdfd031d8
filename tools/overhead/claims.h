/*
 * What people say about virtualization, held against what was measured. The verdict follows from
 * the figures by a rule that is written down with it. Pure.
 */
#ifndef OVERHEAD_CLAIMS_H
#define OVERHEAD_CLAIMS_H

#include "overhead/figures.h"

enum verdict { VERDICT_UNKNOWN, VERDICT_NOT, VERDICT_PART, VERDICT_YES };

extern const char *const verdict_names[]; /* "not measured", "not supported", ... */

#define CLAIMS 5

struct claim_result {
    const char *id;    /* "overhead" */
    const char *claim; /* the sentence */
    const char *rule;  /* how the verdict follows */
    enum verdict verdict;
    char *figures; /* what it rests on, in words; allocated */
};

/* Judge all claims by the figures of one emulator. */
void claims_judge(const struct figures *f, enum emu_kind emu, struct claim_result results[CLAIMS]);

void claims_free(struct claim_result results[CLAIMS]);

/* The rules, for values that may be NAN (then the verdict is VERDICT_UNKNOWN). */

struct range {
    double low, high;
};

/*
 * A claim of two ranges: `full` lies in one, `para` in the other. Yes: both do. In part: para is
 * better than full, and one of them lies in its range or they are apart by the factor, at least,
 * that separates the nearest ends of the ranges. `less`: smaller values are better.
 */
enum verdict claim_two_ranges(double full, struct range full_range, double para,
                              struct range para_range, bool less);

/* A claim that something is `least` times faster. Yes: on the whole; in part: once, at best. */
enum verdict claim_faster(double mean, double best, double least);

/*
 * A claim that one thing is as good as the best of others. excess[]: by which factor it takes
 * longer than the best, workload by workload. Yes: none is above `limit`; in part: not all are.
 */
enum verdict claim_best(const double *excess, int count, double limit);

#endif
