/* Reading the words a person gave for an emulator, a mode, a number; wrong ones end the program
 * with one line that says what would be right. */
#ifndef TOOLS_CHOOSE_H
#define TOOLS_CHOOSE_H

#include "machine.h"

/* Parse the name of an emulator. */
enum emu_kind choose_emu(const char *emu);

/* Parse both names and check that they go together. */
void choose_pair(const char *emu, const char *mode, enum emu_kind *emu_out,
                 enum run_mode *mode_out);

/* A decimal number within min..max; `what` names it in the message. */
unsigned choose_number(const char *what, const char *text, unsigned min, unsigned max);

#endif
