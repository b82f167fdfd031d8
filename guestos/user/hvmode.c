/*
 * Go on in another mode of the VMM: hvmode [MODE]. Everything goes on as it is, this program, too;
 * without MODE it tells the present one.
 */
#include "lib.h"
#include "hvmode.h"

#define PATIENCE 300 /* hundredths of a second: longer than the VMM's own */

static const char *const names[] = {"", "trap", "para", "vtx", "svm"};
#define MODES (sizeof(names) / sizeof(names[0]))

static const char use[] = "use: hvmode [trap|para|vtx|svm]   (vtx and svm also with +nested or "
                          "+shadow: how they page)\n";

/* "svm+shadow" as a wish; 0: no such mode. */
static uint32_t wish_of(const char *word)
{
    for (uint32_t i = 1; i < MODES; i++) {
        const char *rest = word;
        for (const char *c = names[i]; *c && *c == *rest; c++)
            rest++;
        if ((size_t)(rest - word) != strlen(names[i]))
            continue;
        if (!*rest)
            return i;
        if (!strcmp(rest, "+nested"))
            return i | HVMODE_NESTED;
        if (!strcmp(rest, "+shadow"))
            return i | HVMODE_SHADOW;
    }
    return 0;
}

static int tell(uint32_t answer)
{
    const uint32_t number = answer & HVMODE_NUMBER;
    printf("mode: %s%s\n", number < MODES ? names[number] : "?",
           answer & HVMODE_NESTED   ? "+nested"
           : answer & HVMODE_SHADOW ? "+shadow"
                                    : "");
    return 0;
}

static int change(const char *word, uint32_t wish)
{
    int answer = system_call(SYS_HVMODE, wish, 0, 0);
    for (int i = 0; answer >= 0 && HVMODE_STATE(answer) == HVMODE_WAITS && i < PATIENCE; i++) {
        sleep(1);
        answer = system_call(SYS_HVMODE, 0, 0, 0);
    }
    if (answer < 0)
        dprintf(2, "hvmode: there is no VMM below that has modes\n");
    else if (HVMODE_STATE(answer) == HVMODE_DONE)
        return tell((uint32_t)answer);
    else if (HVMODE_STATE(answer) == HVMODE_REFUSED)
        dprintf(2, "hvmode: this CPU cannot run mode %s\n", word);
    else
        dprintf(2, "hvmode: the VMM could not change to mode %s; it says why on its console\n",
                word);
    return 1;
}

int main(int argc, char **argv)
{
    const uint32_t wish = argc == 2 ? wish_of(argv[1]) : 0;
    if (argc > 2 || (argc == 2 && !wish)) {
        dprintf(2, "%s", use);
        return 2;
    }
    if (argc == 2)
        return change(argv[1], wish);
    const int answer = system_call(SYS_HVMODE, 0, 0, 0);
    if (answer < 0) {
        printf("mode: none; this is the bare machine, or a VMM that has no modes\n");
        return 0;
    }
    return tell((uint32_t)answer);
}
