/* The words of a command line: "flag" and "key=value", separated by spaces. */
#include <string.h>

#include "vmm.h"

static const char *find_word(const char *options, const char *word, size_t n)
{
    for (const char *p = options; p && *p;) {
        while (*p == ' ')
            p++;
        if (!strncmp(p, word, n))
            return p + n;
        while (*p && *p != ' ')
            p++;
    }
    return NULL;
}

bool option_present(const char *options, const char *word)
{
    const char *p = options;
    size_t n = strlen(word);
    while ((p = find_word(p, word, n))) {
        if (!*p || *p == ' ')
            return true;
    }
    return false;
}

bool option_value(const char *options, const char *key, char *buf, unsigned size)
{
    const char *p = options;
    size_t n = strlen(key);
    while ((p = find_word(p, key, n))) {
        if (*p != '=')
            continue;
        unsigned i = 0;
        for (p++; *p && *p != ' ' && i + 1 < size; p++)
            buf[i++] = *p;
        buf[i] = 0;
        return true;
    }
    return false;
}

const char *option_switch(const char *options, const char *key, bool *on)
{
    static char why[80];
    char value[16];
    if (!option_value(options, key, value, sizeof(value)))
        return NULL;
    *on = !strcmp(value, "on");
    if (*on || !strcmp(value, "off"))
        return NULL;
    ksnprintf(why, sizeof(why), "%s=%s: a switch is on or off", key, value);
    return why;
}
