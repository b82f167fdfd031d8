/* Words, numbers and names; see words.h. */
#include "words.h"

#include <string.h>

#include "vmm.h"

int words_split(char *text, char *word[WORDS_MAX])
{
    int n = 0;
    for (;;) {
        while (*text == ' ')
            *text++ = 0;
        if (!*text)
            return n;
        if (n == WORDS_MAX)
            return WORDS_MAX + 1;
        word[n++] = text;
        while (*text && *text != ' ')
            text++;
    }
}

bool is_blank(const char *text)
{
    while (*text == ' ')
        text++;
    return !*text;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

static bool number(const char *word, unsigned base, uint32_t *value)
{
    uint64_t v = 0;
    if (!*word)
        return false;
    for (; *word; word++) {
        const unsigned d = (unsigned)digit(*word);
        if (d >= base)
            return false;
        v = v * base + d;
        if (v > UINT32_MAX)
            return false;
    }
    *value = (uint32_t)v;
    return true;
}

static bool is_hex(const char *word)
{
    return word[0] == '0' && (word[1] | 0x20) == 'x';
}

bool word_number(const char *word, uint32_t *value)
{
    return is_hex(word) ? number(word + 2, 16, value) : number(word, 10, value);
}

bool word_address(const char *word, uint32_t *value)
{
    return number(is_hex(word) ? word + 2 : word, 16, value);
}

static unsigned common_length(const char *a, const char *b)
{
    unsigned n = 0;
    while (a[n] && a[n] == b[n])
        n++;
    return n;
}

int name_find(const char *word, const char *(*name)(int i), int n, unsigned *common)
{
    const unsigned length = (unsigned)strlen(word);
    int first = NAME_NONE, found = NAME_NONE;
    *common = 0;
    for (int i = 0; i < n; i++) {
        if (strncmp(name(i), word, length))
            continue;
        if (!name(i)[length]) {
            *common = length;
            return i;
        }
        const unsigned same = common_length(name(i), name(first == NAME_NONE ? i : first));
        if (first == NAME_NONE || same < *common)
            *common = same;
        found = first == NAME_NONE ? i : NAME_MANY;
        first = first == NAME_NONE ? i : first;
    }
    return found;
}

#define NAME_LENGTH 24

/* How many letters must be changed, added or left out (the distance of Levenshtein). */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[NAME_LENGTH + 1];
    const unsigned n = (unsigned)strlen(b);
    if (n > NAME_LENGTH)
        return NAME_LENGTH;
    for (unsigned j = 0; j <= n; j++)
        row[j] = j;
    for (unsigned i = 1; *a; i++, a++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= n; j++) {
            unsigned best = diagonal + (*a != b[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[n];
}

int name_like(const char *word, const char *(*name)(int i), int n)
{
    int found = NAME_NONE;
    unsigned best = 3; /* more mistakes than two are another word */
    if (strlen(word) > NAME_LENGTH)
        return NAME_NONE;
    for (int i = 0; i < n; i++) {
        const unsigned d = distance(word, name(i));
        if (d < best && d < strlen(name(i))) {
            best = d;
            found = i;
        }
    }
    return found;
}

void json_escape(char *to, unsigned size, const char *text)
{
    unsigned n = 0;
    for (; *text && n + 7 < size; text++) {
        const uint8_t c = (uint8_t)*text;
        if (c == '"' || c == '\\')
            to[n++] = '\\';
        if (c >= ' ' && c < 0x7F)
            to[n++] = (char)c;
        else
            n += (unsigned)ksnprintf(to + n, size - n, "\\u%04x", c);
    }
    to[n] = 0;
}
