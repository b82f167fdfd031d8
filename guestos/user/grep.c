/*
 * Print the lines that match a pattern: grep [-v] [-n] [-c] PATTERN [FILE...]. -v: those that do
 * not; -n: with line numbers; -c: only how many. The status is 0 if there was such a line, 1 if
 * not, 2 after an error. A line of more than LINE bytes is taken in pieces.
 *
 * A pattern is made of characters that stand for themselves, and of . any character, x* any number
 * of x, ^ at its beginning: the line's beginning, $ at its end: the line's end.
 */
#include "lib.h"

#define LINE 1024

static bool invert, numbers, count_only;

static bool match_here(const char *pattern, const char *s);

/* x* and then the pattern; the fewest x first. */
static bool match_star(char x, const char *pattern, const char *s)
{
    do {
        if (match_here(pattern, s))
            return true;
    } while (*s && (*s++ == x || x == '.'));
    return false;
}

static bool match_here(const char *pattern, const char *s)
{
    for (; *pattern; pattern++, s++) {
        if (pattern[1] == '*')
            return match_star(pattern[0], pattern + 2, s);
        if (pattern[0] == '$' && !pattern[1])
            return !*s;
        if (!*s || (*pattern != '.' && *pattern != *s))
            return false;
    }
    return true;
}

static bool match(const char *pattern, const char *s)
{
    if (*pattern == '^')
        return match_here(pattern + 1, s);
    do {
        if (match_here(pattern, s))
            return true;
    } while (*s++);
    return false;
}

/* The next line without its end; 1, 0 at the end of the file, or an error. */
static int read_line(int fd, char line[LINE + 1])
{
    static char buf[LINE];
    static int at, have;
    int n = 0;
    for (;;) {
        if (at == have) {
            at = 0;
            have = read(fd, buf, sizeof(buf));
            if (have <= 0) {
                const int error = have;
                have = 0;
                line[n] = 0;
                return error ? error : n > 0;
            }
        }
        const char c = buf[at++];
        if (c != '\n')
            line[n++] = c;
        if (c == '\n' || n == LINE) {
            line[n] = 0;
            return 1;
        }
    }
}

static int search(const char *pattern, int fd, const char *name, const char *prefix)
{
    static char line[LINE + 1];
    const char *colon = *prefix ? ":" : "";
    uint32_t number = 0, found = 0;
    int got;
    while ((got = read_line(fd, line)) > 0) {
        number++;
        if (match(pattern, line) == invert)
            continue;
        found++;
        if (count_only)
            continue;
        printf("%s%s", prefix, colon);
        if (numbers)
            printf("%u:", number);
        printf("%s\n", line);
    }
    if (count_only)
        printf("%s%s%u\n", prefix, colon, found);
    if (got < 0) {
        dprintf(2, "grep: %s: %s\n", name, error_text(got));
        return 2;
    }
    return !found;
}

int main(int argc, char **argv)
{
    int i = 1, status = 1;
    bool wrong = false;
    for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        for (const char *c = argv[i] + 1; *c; c++) {
            invert |= *c == 'v';
            numbers |= *c == 'n';
            count_only |= *c == 'c';
            wrong |= *c != 'v' && *c != 'n' && *c != 'c';
        }
    }
    if (wrong || i == argc) {
        dprintf(2, "use: grep [-v] [-n] [-c] PATTERN [FILE...]\n");
        return 2;
    }
    const char *pattern = argv[i++];
    if (i == argc)
        return search(pattern, 0, "standard input", "");
    const bool several = i + 1 < argc;
    for (; i < argc; i++) {
        const int fd = open(argv[i], O_READ);
        int result = 2;
        if (fd < 0) {
            dprintf(2, "grep: %s: %s\n", argv[i], error_text(fd));
        } else {
            result = search(pattern, fd, argv[i], several ? argv[i] : "");
            close(fd);
        }
        status = result == 2 || status == 2 ? 2 : status && result;
    }
    return status;
}
