/* Remove files and empty directories: rm [-r] PATH... With -r also directories with all that is in
 * them. */
#include "lib.h"
#include "fs_format.h"

/* The first entry of a directory besides "." and ".."; E_NOENT: there is none. */
static int first_entry(const char *path, struct fs_dirent *d)
{
    const int fd = open(path, O_READ);
    if (fd < 0)
        return fd;
    int got;
    do
        got = read(fd, d, sizeof(*d));
    while (got == sizeof(*d) && (!d->inode || !strcmp(d->name, ".") || !strcmp(d->name, "..")));
    close(fd);
    return got < 0 ? got : got == sizeof(*d) ? 0 : E_NOENT;
}

/* `path` is in a buffer of PATH_MAX bytes, so that the names of entries can be put behind it. */
static bool remove_path(char *path, bool recursive)
{
    int error = unlink(path);
    while (recursive && error == E_NOTEMPTY) {
        struct fs_dirent d;
        const size_t length = strlen(path);
        error = first_entry(path, &d);
        if (error)
            break;
        if (length + 1 + strlen(d.name) >= PATH_MAX) {
            error = E_NAME;
            break;
        }
        path[length] = '/';
        memcpy(path + length + 1, d.name, strlen(d.name) + 1);
        const bool removed = remove_path(path, true);
        path[length] = 0;
        if (!removed)
            return false;
        error = unlink(path);
    }
    if (error < 0)
        dprintf(2, "rm: %s: %s\n", path, error_text(error));
    return error >= 0;
}

int main(int argc, char **argv)
{
    const bool recursive = argc > 1 && !strcmp(argv[1], "-r");
    char path[PATH_MAX];
    int failed = 0;
    if (argc < 2 + recursive || (argv[1][0] == '-' && !recursive)) {
        dprintf(2, "use: rm [-r] PATH...\n");
        return 2;
    }
    for (int i = 1 + recursive; i < argc; i++) {
        const size_t n = strlen(argv[i]) + 1;
        if (n > sizeof(path)) {
            dprintf(2, "rm: %s: %s\n", argv[i], error_text(E_NAME));
            failed = 1;
            continue;
        }
        memcpy(path, argv[i], n);
        failed |= !remove_path(path, recursive);
    }
    return failed;
}
