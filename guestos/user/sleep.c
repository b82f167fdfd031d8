/* Wait: sleep SECONDS, with up to two digits behind a point. */
#include "lib.h"

/* "1.5" is 150 hundredths. */
static bool hundredths(char *text, uint32_t *out)
{
    char *point = text;
    uint32_t fraction = 0;
    bool ok;
    while (*point && *point != '.')
        point++;
    if (*point) {
        *point++ = 0;
        const bool two = point[0] && point[1];
        fraction = number(point, &ok) * (two ? 1 : 10);
        if (!ok || (two && point[2]))
            return false;
    }
    const uint32_t seconds = number(text, &ok);
    *out = seconds * 100 + fraction;
    return ok && seconds <= INT32_MAX / 100 - 1;
}

int main(int argc, char **argv)
{
    uint32_t time;
    if (argc != 2 || !hundredths(argv[1], &time)) {
        dprintf(2, "use: sleep SECONDS   (as in 2 or 0.25)\n");
        return 2;
    }
    const int error = sleep(time);
    if (error < 0)
        dprintf(2, "sleep: %s\n", error_text(error));
    return error < 0;
}
