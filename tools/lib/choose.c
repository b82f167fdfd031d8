#include "choose.h"

#include <stdlib.h>

#include "util.h"

static char *join(const char *const *names, int count)
{
    struct text t = {0};
    for (int i = 0; i < count; i++)
        text_printf(&t, "%s%s", i ? ", " : "", names[i]);
    return t.text;
}

enum emu_kind choose_emu(const char *emu)
{
    const int e = emu_by_name(emu);
    if (e < 0)
        die(STATUS_USAGE, "unknown EMU '%s'; choose one of: %s", emu, join(emu_names, EMU_KINDS));
    return (enum emu_kind)e;
}

void choose_pair(const char *emu, const char *mode, enum emu_kind *emu_out, enum run_mode *mode_out)
{
    const int m = mode_by_name(mode);
    *emu_out = choose_emu(emu);
    if (m < 0)
        die(STATUS_USAGE, "unknown MODE '%s'; choose one of: %s", mode,
            join(mode_names, RUN_MODES));
    *mode_out = (enum run_mode)m;
    const char *problem = pair_problem(*emu_out, *mode_out);
    if (problem)
        die(STATUS_USAGE, "%s", problem);
}

unsigned choose_number(const char *what, const char *text, unsigned min, unsigned max)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value < min || value > max)
        die(STATUS_USAGE, "%s=%s: give a whole number from %u to %u", what, text, min, max);
    return (unsigned)value;
}
