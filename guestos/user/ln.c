/* Give a file a second name: ln OLD NEW. */
#include "lib.h"

int main(int argc, char **argv)
{
    if (argc != 3) {
        dprintf(2, "use: ln OLD NEW\n");
        return 2;
    }
    const int error = link(argv[1], argv[2]);
    if (error < 0) {
        dprintf(2, "ln: %s, %s: %s\n", argv[1], argv[2], error_text(error));
        return 1;
    }
    return 0;
}
