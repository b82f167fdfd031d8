/* List files and the entries of directories, sorted: ls [-l] [PATH...]. With -l also the type, the
 * number of links, and the size in bytes. */
#include "lib.h"
#include "fs_format.h"

static bool details;

static int complain(const char *path, int error)
{
    dprintf(2, "ls: %s: %s\n", path, error_text(error));
    return 1;
}

/* One line. `path` leads to the file, `name` is what is printed. */
static int show(const char *path, const char *name)
{
    static const char *const types[] = {"-", "file", "dir"};
    struct stat s;
    if (details) {
        const int error = stat(path, &s);
        if (error < 0)
            return complain(path, error);
        printf("%-4s %3u %8u ", s.type <= FS_DIRECTORY ? types[s.type] : "?", s.links, s.size);
    }
    printf("%s\n", name);
    return 0;
}

static void sort(struct fs_dirent *v, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        const struct fs_dirent x = v[i];
        uint32_t k = i;
        for (; k && strcmp(v[k - 1].name, x.name) > 0; k--)
            v[k] = v[k - 1];
        v[k] = x;
    }
}

/* The n entries at v, which are in directory `path`. */
static int show_entries(const char *path, struct fs_dirent *v, uint32_t n)
{
    char full[PATH_MAX + FS_NAME_MAX + 1];
    size_t length = strlen(path);
    int failed = 0;
    length -= length && path[length - 1] == '/';
    if (length >= PATH_MAX)
        return complain(path, E_NAME);
    memcpy(full, path, length);
    full[length] = '/';
    sort(v, n);
    for (uint32_t i = 0; i < n; i++) {
        memcpy(full + length + 1, v[i].name, sizeof(v[i].name));
        failed |= show(full, v[i].name);
    }
    return failed;
}

static int list_directory(const char *path, uint32_t size)
{
    struct fs_dirent d;
    struct fs_dirent *entries = sbrk((int)size);
    uint32_t n = 0;
    int got = sbrk_failed(entries) ? E_NOMEM : open(path, O_READ);
    if (got < 0)
        return complain(path, got);
    const int fd = got;
    while ((got = read(fd, &d, sizeof(d))) == sizeof(d) && n < size / sizeof(d)) {
        if (d.inode && strcmp(d.name, ".") && strcmp(d.name, ".."))
            entries[n++] = d;
    }
    close(fd);
    const int failed = got < 0 ? complain(path, got) : show_entries(path, entries, n);
    sbrk(-(int)size);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0, first = 1;
    if (argc > 1 && argv[1][0] == '-') {
        if (strcmp(argv[1], "-l")) {
            dprintf(2, "use: ls [-l] [PATH...]\n");
            return 2;
        }
        details = true;
        first = 2;
    }
    for (int i = first; i < argc || i == first; i++) {
        const char *path = i < argc ? argv[i] : ".";
        struct stat s;
        const int error = stat(path, &s);
        if (error < 0)
            failed |= complain(path, error);
        else if (s.type != FS_DIRECTORY)
            failed |= show(path, path);
        else {
            if (argc > first + 1)
                printf("%s:\n", path);
            failed |= list_directory(path, s.size);
        }
    }
    return failed;
}
