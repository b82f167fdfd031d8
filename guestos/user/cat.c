/* Copy files, or the standard input, to the standard output. */
#include "lib.h"

static int copy(int fd)
{
    char buf[256];
    int n;
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        if (write(1, buf, (uint32_t)n) != n)
            return 1;
    }
    return n < 0;
}

int main(int argc, char **argv)
{
    int failed = argc < 2 ? copy(0) : 0;
    for (int i = 1; i < argc; i++) {
        const int fd = open(argv[i]);
        if (fd < 0) {
            dprintf(2, "cat: no '%s'\n", argv[i]);
            failed = 1;
            continue;
        }
        failed |= copy(fd);
        close(fd);
    }
    return failed;
}
