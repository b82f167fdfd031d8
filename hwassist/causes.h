/*
 * Why a guest leaves for the VMM in the hardware modes: all causes, and for each the reason that it
 * has to be one. What is not in these lists the guest does by itself. Pure code: `make exits-list`
 * prints the lists, and a test compares them with what guests do.
 */
#ifndef TRIVISOR_CAUSES_H
#define TRIVISOR_CAUSES_H

#include "exit.h"

struct exit_cause {
    const char *what;            /* what the guest does, or what happens */
    const char *why;             /* that must not go on without the VMM */
    enum exit_reason counted[3]; /* as what it is counted; EXIT_NONE ends the list */
};

/* Cause number i of a mode, from 0 on; NULL behind the last one. */
const struct exit_cause *svm_cause(unsigned i);
const struct exit_cause *vmx_cause(unsigned i);

/* Is it a cause only with shadow paging, or where the CPU has not the better way? */
bool svm_cause_is_shadow(unsigned i);
bool vmx_cause_is_shadow(unsigned i);

#endif
