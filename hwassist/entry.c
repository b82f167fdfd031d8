/* check=on and break= of the hardware modes; see entry.h. */
#include "entry.h"

#include <string.h>

#include "vmm.h"

const char *entry_report(const struct entry_rule *rule, const char *who, const char *manual,
                         const char *otherwise)
{
    static char text[200];
    if (!rule)
        return otherwise;
    ksnprintf(text, sizeof(text), "%s: %s (%s section %s)", who, rule->sentence, manual,
              rule->section);
    return text;
}

bool entry_memory(uint64_t hpa, void *to, unsigned n)
{
    if (hpa > DIRECT_MAP_SIZE - n)
        return false;
    memcpy(to, hpa_to_ptr((hpa_t)hpa), n);
    return true;
}

static const char *choose(const char *word, const char *(*name)(unsigned), int *broken)
{
    static char why[300];
    unsigned n = (unsigned)ksnprintf(why, sizeof(why),
                                     "break=%s: no rule that this mode can break; those are", word);
    for (unsigned i = 0; name(i) && n < sizeof(why); i++) {
        if (!strcmp(name(i), word)) {
            *broken = (int)i;
            return NULL;
        }
        n += (unsigned)ksnprintf(why + n, sizeof(why) - n, "%s %s", i ? "," : "", name(i));
    }
    return why;
}

const char *entry_options(const char *options, const char *(*name)(unsigned), bool *checked,
                          int *broken)
{
    char word[32];
    const char *why = option_switch(options, "check", checked);
    *broken = -1;
    if (!why && option_value(options, "break", word, sizeof(word)))
        why = choose(word, name, broken);
    return why;
}
