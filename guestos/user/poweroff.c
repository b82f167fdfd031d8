/* Switch the machine off, with a status that the host sees. */
#include "lib.h"

int main(int argc, char **argv)
{
    bool ok = true;
    const uint32_t status = argc == 2 ? number(argv[1], &ok) : 0;
    if (!ok || argc > 2 || status > 127) {
        dprintf(2, "use: poweroff [STATUS]   (0 to 127)\n");
        return 2;
    }
    sync();
    return system_call(SYS_POWEROFF, status, 0, 0);
}
