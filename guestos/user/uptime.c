/* Print the time since boot. */
#include "lib.h"

int main(int argc, char **argv)
{
    const unsigned t = uptime();
    (void)argv;
    if (argc > 1) {
        dprintf(2, "use: uptime\n");
        return 2;
    }
    printf("up %u.%02u s\n", t / TICKS_PER_SECOND, t % TICKS_PER_SECOND);
    return 0;
}
