/* Wait for a number of hundredths of a second. */
#include "lib.h"

int main(int argc, char **argv)
{
    bool ok = false;
    const uint32_t time = argc == 2 ? number(argv[1], &ok) : 0;
    if (!ok) {
        dprintf(2, "use: sleep HUNDREDTHS\n");
        return 2;
    }
    const int error = sleep(time);
    if (error < 0)
        dprintf(2, "sleep: %s: %s\n", argv[1], error_text(error));
    return error < 0;
}
