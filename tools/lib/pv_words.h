/* The words of the VMM's option pv=, for tools: the list itself is paravirt/include/pv_switches.h.
 */
#ifndef TOOLS_PV_WORDS_H
#define TOOLS_PV_WORDS_H

#include <stdbool.h>

#include "pv_switches.h"

enum pv_word {
#define X(id, name, what) PV_WORD_##id,
    PV_SWITCHES(X)
#undef X
        PV_WORDS
};

extern const char *const pv_word_names[PV_WORDS]; /* "sti", "cr", ... */
extern const char *const pv_word_whats[PV_WORDS]; /* what the mechanism does */

/*
 * Read names with commas between them, with or without '-' before each, into wanted[PV_WORDS]; dies
 * with the list of all when one is none of them. `what` names the text in that message.
 */
void pv_words_read(const char *what, const char *text, bool wanted[PV_WORDS]);

/* "-sti,-cr" of those in off[PV_WORDS], behind `first`, with a comma between; allocated. */
char *pv_words_off(const char *first, const bool off[PV_WORDS]);

#endif
