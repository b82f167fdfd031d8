/* Copy files, or the standard input, to the standard output: cat [FILE...]. */
#include "fs_format.h"
#include "lib.h"

static int complain(const char *name, int error)
{
    dprintf(2, "cat: %s: %s\n", name, error_text(error));
    return 1;
}

static int copy(int fd, const char *name)
{
    char buf[1024];
    struct stat st;
    int n;
    if (!fstat(fd, &st) && st.type == FS_DIRECTORY)
        return complain(name, E_ISDIR);
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        const int written = write(1, buf, (uint32_t)n);
        if (written != n)
            return complain("standard output", written < 0 ? written : E_NOSPC);
    }
    return n < 0 ? complain(name, n) : 0;
}

int main(int argc, char **argv)
{
    int failed = argc < 2 ? copy(0, "standard input") : 0;
    for (int i = 1; i < argc; i++) {
        const int fd = open(argv[i], O_READ);
        if (fd < 0) {
            failed = complain(argv[i], fd);
            continue;
        }
        failed |= copy(fd, argv[i]);
        close(fd);
    }
    return failed;
}
