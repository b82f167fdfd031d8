/* Run the machines of the plan and take their figures. */
#ifndef OVERHEAD_GATHER_H
#define OVERHEAD_GATHER_H

#include <cjson/cJSON.h>

#include "overhead/figures.h"

#define GATHER_PROBLEMS 60

struct gathered {
    struct figures figures;    /* these repeat to the last digit */
    struct figures unrepeated; /* of QEMU's own disk, which answers in the host's time */
    cJSON *ablation;           /* what tv-ablation wrote, or NULL */
    char *problems[GATHER_PROBLEMS];
    int problem_count;
};

/*
 * Measure. dir: for consoles, records and logs. only: an emulator's number, or -1 for both. quick:
 * the subset, without the ablation. Progress on stderr. What fails or computes something else is in
 * problems[].
 */
void gather(struct gathered *all, const char *dir, int only, bool quick, int parallel);

#endif
