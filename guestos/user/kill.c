/* End processes: kill PID... */
#include "lib.h"

int main(int argc, char **argv)
{
    bool ok = argc > 1;
    int failed = 0;
    for (int i = 1; ok && i < argc; i++)
        number(argv[i], &ok);
    if (!ok) {
        dprintf(2, "use: kill PID...\n");
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        const int error = kill((int)number(argv[i], &ok));
        if (error < 0) {
            dprintf(2, "kill: %s: %s\n", argv[i], error_text(error));
            failed = 1;
        }
    }
    return failed;
}
