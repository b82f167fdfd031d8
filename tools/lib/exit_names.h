/* The names under which the VMM counts exits, by enum exit_reason. */
#ifndef TRIVISOR_TOOLS_EXIT_NAMES_H
#define TRIVISOR_TOOLS_EXIT_NAMES_H

#include "exit.h"

static const char *const exit_names[EXIT_REASON_COUNT] = {
#define X(id, name, what) name,
    EXIT_REASONS(X)
#undef X
};

#endif
