/* List the processes. */
#include "lib.h"

int main(int argc, char **argv)
{
    struct procinfo p;
    (void)argv;
    if (argc > 1) {
        dprintf(2, "use: ps\n");
        return 2;
    }
    printf("%5s %6s %5s %5s %-9s %s\n", "pid", "parent", "group", "pages", "state", "name");
    for (uint32_t i = 0; system_call(SYS_PROCINFO, i, (uint32_t)&p, 0) == 0; i++) {
        if (p.pid)
            printf("%5d %6d %5d %5u %-9s %s\n", p.pid, p.parent, p.group, p.pages, p.state, p.name);
    }
    return 0;
}
