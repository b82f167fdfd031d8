/* Make directories: mkdir DIR... */
#include "lib.h"

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc < 2) {
        dprintf(2, "use: mkdir DIR...\n");
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        const int error = mkdir(argv[i]);
        if (error < 0) {
            dprintf(2, "mkdir: %s: %s\n", argv[i], error_text(error));
            failed = 1;
        }
    }
    return failed;
}
