/* End a process. */
#include "lib.h"

int main(int argc, char **argv)
{
    bool ok = false;
    const uint32_t pid = argc == 2 ? number(argv[1], &ok) : 0;
    if (!ok) {
        dprintf(2, "use: kill PID\n");
        return 2;
    }
    if (kill((int)pid) < 0) {
        dprintf(2, "kill: no process %u\n", pid);
        return 1;
    }
    return 0;
}
