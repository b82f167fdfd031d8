#include "pv_words.h"

#include <string.h>

#include "util.h"

const char *const pv_word_names[PV_WORDS] = {
#define X(id, name, what) name,
    PV_SWITCHES(X)
#undef X
};

const char *const pv_word_whats[PV_WORDS] = {
#define X(id, name, what) what,
    PV_SWITCHES(X)
#undef X
};

static int word_at(const char *text, size_t n)
{
    for (int i = 0; i < PV_WORDS; i++) {
        if (strlen(pv_word_names[i]) == n && !strncmp(pv_word_names[i], text, n))
            return i;
    }
    return -1;
}

static void unknown(const char *what, const char *text, size_t n)
{
    struct text all = {0};
    for (int i = 0; i < PV_WORDS; i++)
        text_printf(&all, "%s%s", i ? ", " : "", pv_word_names[i]);
    die(STATUS_USAGE, "%s: '%.*s' is no mechanism of mode para; choose of: %s", what, (int)n, text,
        all.text);
}

void pv_words_read(const char *what, const char *text, bool wanted[PV_WORDS])
{
    memset(wanted, 0, PV_WORDS * sizeof(*wanted));
    while (*text) {
        text += *text == '-';
        const size_t n = strcspn(text, ",");
        const int i = word_at(text, n);
        if (i < 0)
            unknown(what, text, n);
        wanted[i] = true;
        text += n + (text[n] == ',');
    }
}

char *pv_words_off(const char *first, const bool off[PV_WORDS])
{
    struct text t = {0};
    text_printf(&t, "%s", first);
    for (int i = 0; i < PV_WORDS; i++) {
        if (off[i])
            text_printf(&t, "%s-%s", t.len ? "," : "", pv_word_names[i]);
    }
    return t.text;
}
