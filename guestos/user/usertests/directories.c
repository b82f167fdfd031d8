/* Paths and directories. */
#include "usertests.h"

static void touch_file(const char *path)
{
    const int fd = open(path, O_WRITE | O_CREATE);
    CHECK(fd >= 0);
    CHECK(close(fd) == 0);
}

static uint32_t inode_of(const char *path)
{
    struct stat s;
    CHECK(stat(path, &s) == 0);
    return s.inode;
}

static void path_forms(void)
{
    touch_file("f");
    CHECK(mkdir("d") == 0);
    touch_file("d/g");
    const uint32_t f = inode_of("f"), g = inode_of("d/g"), d = inode_of("d");
    CHECK(f != g && g != d);
    CHECK(inode_of("./f") == f);
    CHECK(inode_of("d/../f") == f);
    CHECK(inode_of("/t/w/f") == f);
    CHECK(inode_of("//t///w//f") == f);
    CHECK(inode_of("d//g") == g);
    CHECK(inode_of("d/./g") == g);
    CHECK(inode_of("d/") == d);
    CHECK(inode_of("d///") == d);
    CHECK(inode_of("d/.") == d);
    CHECK(inode_of("./d/../d") == d);
    CHECK(inode_of("../w/d") == d);
}

static void root(void)
{
    struct stat s;
    CHECK(stat("/", &s) == 0);
    CHECK(s.inode == FS_ROOT && s.type == FS_DIRECTORY);
    CHECK(inode_of("/..") == FS_ROOT);
    CHECK(inode_of("/.") == FS_ROOT);
    CHECK(inode_of("//") == FS_ROOT);
    CHECK(inode_of("../../../../..") == FS_ROOT);
    CHECK(inode_of("/../t/../t/w") == inode_of("."));
    CHECK(mkdir("/") == E_EXIST);
    CHECK(unlink("/") == E_INVAL);
    CHECK(open("/", O_WRITE) == E_ISDIR);
    CHECK(open("/", O_READ) >= 0);
}

static void path_errors(void)
{
    struct stat s;
    touch_file("f");
    CHECK(stat("", &s) == E_NOENT);
    CHECK(open("", O_READ) == E_NOENT);
    CHECK(open("", O_WRITE | O_CREATE) == E_NOENT);
    CHECK(mkdir("") == E_NOENT);
    CHECK(chdir("") == E_NOENT);
    CHECK(unlink("") == E_NOENT);
    CHECK(open("no/f", O_WRITE | O_CREATE) == E_NOENT);
    CHECK(mkdir("no/d") == E_NOENT);
    CHECK(unlink("no/f") == E_NOENT);
    CHECK(chdir("no") == E_NOENT);
    CHECK(stat("f/x", &s) == E_NOTDIR);
    CHECK(stat("f/.", &s) == E_NOTDIR);
    CHECK(stat("f/..", &s) == E_NOTDIR);
    CHECK(open("f/x", O_WRITE | O_CREATE) == E_NOTDIR);
    CHECK(mkdir("f/d") == E_NOTDIR);
    CHECK(unlink("f/x") == E_NOTDIR);
    CHECK(chdir("f") == E_NOTDIR);
}

/* n bytes of 'n', and a zero. */
static char *long_name(char *to, uint32_t n)
{
    memset(to, 'n', n);
    to[n] = 0;
    return to;
}

static void name_lengths(void)
{
    char name[256];
    struct stat s;
    touch_file(long_name(name, NAME_MAX));
    CHECK(stat(name, &s) == 0);
    CHECK(mkdir(long_name(name, NAME_MAX - 1)) == 0);
    CHECK(entries_of(".") == 2);
    for (uint32_t n = NAME_MAX + 1; n < 200; n += 50) {
        long_name(name, n);
        CHECK(stat(name, &s) == E_NAME);
        CHECK(open(name, O_READ) == E_NAME);
        CHECK(open(name, O_WRITE | O_CREATE) == E_NAME);
        CHECK(mkdir(name) == E_NAME);
        CHECK(unlink(name) == E_NAME);
        CHECK(chdir(name) == E_NAME);
        CHECK(link(".", name) < 0);
    }
    CHECK(entries_of(".") == 2);
}

/* "./././f", all in all n characters. */
static char *long_path(char *to, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        to[i] = (n - i) % 2 ? '.' : '/';
    to[0] = '.';
    to[n - 1] = 'f';
    to[n] = 0;
    return to;
}

static void path_lengths(void)
{
    char path[300];
    struct stat s;
    touch_file("f");
    CHECK(stat(long_path(path, PATH_MAX - 1), &s) == 0);
    CHECK(s.inode == inode_of("f"));
    for (uint32_t n = PATH_MAX + 1; n < 300; n += 100) {
        long_path(path, n);
        CHECK(stat(path, &s) == E_NAME);
        CHECK(open(path, O_READ) == E_NAME);
        CHECK(mkdir(path) == E_NAME);
        CHECK(unlink(path) == E_NAME);
        CHECK(link(path, "g") == E_NAME);
        CHECK(link("f", path) == E_NAME);
    }
    memset(path, '/', sizeof(path));
    path[PATH_MAX] = 0;
    CHECK(stat(path, &s) == E_NAME);
    path[PATH_MAX - 1] = 0;
    CHECK(stat(path, &s) == 0 && s.inode == FS_ROOT);
}

/* Names are bytes. */
static void odd_names(void)
{
    static const char *const names[] = {" ", "...", "..a", "\n", "\xFF\x80", "-", "a b", "~"};
    for (unsigned i = 0; i < ARRAY(names); i++) {
        touch_file(names[i]);
        CHECK(inode_of(names[i]) != inode_of(".."));
    }
    CHECK(entries_of(".") == ARRAY(names));
    for (unsigned i = 0; i < ARRAY(names); i++)
        CHECK(unlink(names[i]) == 0);
    CHECK(entries_of(".") == 0);
}

static void make_and_remove(void)
{
    struct stat s;
    CHECK(mkdir("d") == 0);
    CHECK(stat("d", &s) == 0 && s.type == FS_DIRECTORY);
    CHECK(mkdir("d") == E_EXIST);
    CHECK(mkdir("d/") == E_EXIST);
    CHECK(mkdir(".") == E_EXIST);
    CHECK(mkdir("..") == E_EXIST);
    touch_file("f");
    CHECK(mkdir("f") == E_EXIST);
    CHECK(mkdir("d/e/") == 0);
    CHECK(inode_of("d/e/..") == inode_of("d"));
    CHECK(inode_of("d/e/.") == inode_of("d/e"));
    CHECK(unlink("d") == E_NOTEMPTY);
    CHECK(unlink("d/e") == 0);
    CHECK(unlink("d") == 0);
    CHECK(stat("d", &s) == E_NOENT);
}

static void not_empty(void)
{
    CHECK(mkdir("d") == 0);
    touch_file("d/f");
    CHECK(unlink("d") == E_NOTEMPTY);
    CHECK(unlink("d/") == E_NOTEMPTY);
    CHECK(unlink("d/f") == 0);
    CHECK(unlink("d") == 0);
}

static void dots_stay(void)
{
    CHECK(mkdir("d") == 0);
    CHECK(mkdir("d/e") == 0);
    CHECK(unlink(".") == E_INVAL);
    CHECK(unlink("..") == E_INVAL);
    CHECK(unlink("d/.") == E_INVAL);
    CHECK(unlink("d/..") == E_INVAL);
    CHECK(unlink("d/e/../.") == E_INVAL);
    CHECK(inode_of("d/e/..") == inode_of("d"));
    CHECK(unlink("/t") == E_NOTEMPTY);
}

/* Subdirectories come and go without a trace in their parent. */
static void directory_links(void)
{
    struct stat before, s;
    CHECK(mkdir("d") == 0);
    CHECK(stat("d", &before) == 0);
    CHECK(before.links > 0);
    CHECK(mkdir("d/e") == 0);
    CHECK(unlink("d/e") == 0);
    CHECK(stat("d", &s) == 0);
    CHECK(s.links == before.links && s.size == before.size + sizeof(struct fs_dirent));
}

static void read_directory(void)
{
    struct fs_dirent d[8];
    struct stat s;
    CHECK(mkdir("d") == 0);
    touch_file("d/f");
    CHECK(mkdir("d/e") == 0);
    const int fd = open("d", O_READ);
    CHECK(fd >= 0);
    CHECK(read(fd, d, sizeof(d)) == 4 * sizeof(d[0]));
    CHECK(!strcmp(d[0].name, ".") && d[0].inode == inode_of("d"));
    CHECK(!strcmp(d[1].name, "..") && d[1].inode == inode_of("."));
    CHECK(!strcmp(d[2].name, "f") && d[2].inode == inode_of("d/f"));
    CHECK(!strcmp(d[3].name, "e") && d[3].inode == inode_of("d/e"));
    CHECK(read(fd, d, sizeof(d)) == 0);
    CHECK(seek(fd, 32) >= 0);
    CHECK(read(fd, d, 32) == 32 && d[0].inode == inode_of("."));
    CHECK(fstat(fd, &s) == 0 && s.type == FS_DIRECTORY && s.size == 4 * sizeof(d[0]));
}

/* Only the kernel writes directories. */
static void directory_as_file(void)
{
    CHECK(mkdir("d") == 0);
    CHECK(open("d", O_WRITE) == E_ISDIR);
    CHECK(open("d", O_READ | O_WRITE) == E_ISDIR);
    CHECK(open("d", O_WRITE | O_TRUNCATE) == E_ISDIR);
    CHECK(open("d", O_WRITE | O_CREATE) == E_ISDIR);
    CHECK(open(".", O_WRITE | O_APPEND) == E_ISDIR);
    const int fd = open("d", O_READ);
    CHECK(write(fd, "x", 1) == E_BADF);
}

static void change_directory(void)
{
    CHECK(mkdir("d") == 0);
    CHECK(mkdir("d/e") == 0);
    const uint32_t here = inode_of("."), d = inode_of("d"), e = inode_of("d/e");
    CHECK(chdir("d/e") == 0);
    CHECK(inode_of(".") == e && inode_of("..") == d);
    CHECK(chdir("..") == 0);
    CHECK(inode_of(".") == d);
    CHECK(chdir("missing") == E_NOENT);
    CHECK(inode_of(".") == d);
    CHECK(chdir(".") == 0);
    CHECK(chdir("/") == 0);
    CHECK(inode_of(".") == FS_ROOT);
    CHECK(chdir("t/w/") == 0);
    CHECK(inode_of(".") == here);
}

static void child_changes(int unused)
{
    (void)unused;
    CHECK(inode_of(".") == inode_of("../d"));
    CHECK(chdir("/") == 0);
}

static void directory_is_inherited(void)
{
    CHECK(mkdir("d") == 0);
    CHECK(chdir("d") == 0);
    CHECK(run(child_changes, 0) == 0);
    CHECK(inode_of(".") == inode_of("/t/w/d"));
}

/* A directory can be removed under those who are in it: then nothing can be made there. */
static void removed_directory(void)
{
    struct stat s;
    CHECK(mkdir("d") == 0);
    CHECK(chdir("d") == 0);
    const int fd = open(".", O_READ);
    CHECK(fd >= 0);
    CHECK(unlink("/t/w/d") == 0);
    CHECK(open("f", O_WRITE | O_CREATE) == E_NOENT);
    CHECK(mkdir("e") == E_NOENT);
    CHECK(open("f", O_READ) == E_NOENT);
    CHECK(stat("../w", &s) == E_NOENT);
    CHECK(chdir("..") == E_NOENT);
    CHECK(mkdir("/t/w/d") == 0); /* another one */
    CHECK(open("f", O_WRITE | O_CREATE) == E_NOENT);
    CHECK(chdir("/t/w") == 0);
    CHECK(entries_of("d") == 0);
    CHECK(close(fd) == 0);
}

static void deep_directories(void)
{
    char up[PATH_MAX] = "";
    const uint32_t here = inode_of(".");
    for (int i = 0; i < 20; i++) {
        CHECK(mkdir("d") == 0);
        CHECK(chdir("d") == 0);
        memcpy(up + i * 3, "../", 4);
    }
    CHECK(inode_of(up) == here);
    for (int i = 0; i < 20; i++) {
        CHECK(chdir("..") == 0);
        CHECK(unlink("d") == 0);
    }
    CHECK(inode_of(".") == here);
}

/* The places of entries that went are used again. */
static void entries_are_reused(void)
{
    char name[8];
    CHECK(mkdir("d") == 0);
    CHECK(chdir("d") == 0);
    for (uint32_t i = 0; i < 10; i++)
        touch_file(name_of(name, "a", i));
    const uint32_t size = size_of(".");
    for (uint32_t round = 0; round < 5; round++) {
        for (uint32_t i = 0; i < 10; i++)
            CHECK(unlink(name_of(name, round % 2 ? "b" : "a", i)) == 0);
        for (uint32_t i = 0; i < 10; i++)
            touch_file(name_of(name, round % 2 ? "a" : "b", i));
    }
    CHECK(size_of(".") == size);
    CHECK(entries_of(".") == 10);
}

static void many_entries(void)
{
    char name[8];
    for (uint32_t i = 0; i < 200; i++)
        touch_file(name_of(name, "e", i));
    CHECK(entries_of(".") == 200);
    for (uint32_t i = 0; i < 200; i += 2)
        CHECK(unlink(name_of(name, "e", i)) == 0);
    CHECK(entries_of(".") == 100);
    struct stat s;
    for (uint32_t i = 0; i < 200; i += 7)
        CHECK(stat(name_of(name, "e", i), &s) == (i % 2 ? 0 : E_NOENT));
    for (uint32_t i = 1; i < 200; i += 2)
        CHECK(unlink(name_of(name, "e", i)) == 0);
    CHECK(entries_of(".") == 0);
}

const struct test path_tests[] = {
    {"path-forms", path_forms, false},
    {"root", root, false},
    {"path-errors", path_errors, false},
    {"name-lengths", name_lengths, false},
    {"path-lengths", path_lengths, false},
    {"odd-names", odd_names, false},
    {NULL, NULL, false},
};

const struct test directory_tests[] = {
    {"make-and-remove", make_and_remove, false},
    {"not-empty", not_empty, false},
    {"dots-stay", dots_stay, false},
    {"directory-links", directory_links, false},
    {"read-directory", read_directory, false},
    {"directory-as-file", directory_as_file, false},
    {"change-directory", change_directory, false},
    {"directory-is-inherited", directory_is_inherited, false},
    {"removed-directory", removed_directory, false},
    {"deep-directories", deep_directories, false},
    {"entries-are-reused", entries_are_reused, false},
    {"many-entries", many_entries, true},
    {NULL, NULL, false},
};
