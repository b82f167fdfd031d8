/* Count lines, words and bytes of the standard input or of files: wc [FILE...]. */
#include "lib.h"

static int complain(const char *name, int error)
{
    dprintf(2, "wc: %s: %s\n", name, error_text(error));
    return 1;
}

static int count(int fd, const char *name)
{
    char buf[1024];
    uint32_t lines = 0, words = 0, bytes = 0;
    bool in_word = false;
    int n;
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        for (int i = 0; i < n; i++) {
            const bool blank = buf[i] == ' ' || buf[i] == '\n' || buf[i] == '\t';
            lines += buf[i] == '\n';
            words += !blank && !in_word;
            in_word = !blank;
        }
        bytes += (uint32_t)n;
    }
    if (n < 0)
        return complain(*name ? name : "standard input", n);
    printf("%u %u %u %s\n", lines, words, bytes, name);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && argv[1][0] == '-') {
        dprintf(2, "use: wc [FILE...]   prints lines, words and bytes\n");
        return 2;
    }
    int failed = argc < 2 ? count(0, "") : 0;
    for (int i = 1; i < argc; i++) {
        const int fd = open(argv[i], O_READ);
        if (fd < 0) {
            failed = complain(argv[i], fd);
            continue;
        }
        failed |= count(fd, argv[i]);
        close(fd);
    }
    return failed;
}
