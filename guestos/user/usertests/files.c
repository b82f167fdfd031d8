/* Files by name and by descriptor: contents, offsets, flags, links. */
#include "usertests.h"

static bool holds(const char *path, const char *text)
{
    char buf[128];
    const int fd = open(path, O_READ);
    if (fd < 0)
        return false;
    const int n = read(fd, buf, sizeof(buf) - 1);
    close(fd);
    buf[n < 0 ? 0 : n] = 0;
    return n >= 0 && !strcmp(buf, text);
}

static void put(const char *path, const char *text)
{
    const int fd = open(path, O_WRITE | O_CREATE | O_TRUNCATE), n = (int)strlen(text);
    CHECK(fd >= 0);
    CHECK(write(fd, text, (uint32_t)n) == n);
    CHECK(close(fd) == 0);
}

static void create_and_read(void)
{
    put("f", "hello");
    CHECK(holds("f", "hello"));
    CHECK(size_of("f") == 5);
    put("f", "bye"); /* truncates */
    CHECK(holds("f", "bye"));
    CHECK(unlink("f") == 0);
    CHECK(open("f", O_READ) == E_NOENT);
    CHECK(unlink("f") == E_NOENT);
}

static void empty_file(void)
{
    char c;
    put("f", "");
    const int fd = open("f", O_READ);
    CHECK(read(fd, &c, 1) == 0);
    CHECK(size_of("f") == 0);
}

static void create_keeps_contents(void)
{
    put("f", "hello");
    const int fd = open("f", O_READ | O_WRITE | O_CREATE);
    CHECK(fd >= 0);
    CHECK(write(fd, "J", 1) == 1);
    CHECK(holds("f", "Jello"));
}

static void open_modes(void)
{
    char c = 'x';
    put("f", "hello");
    int fd = open("f", O_READ);
    CHECK(write(fd, &c, 1) == E_BADF);
    CHECK(read(fd, &c, 1) == 1 && c == 'h');
    close(fd);
    fd = open("f", O_WRITE);
    CHECK(read(fd, &c, 1) == E_BADF);
    CHECK(write(fd, "H", 1) == 1);
    close(fd);
    fd = open("f", O_READ | O_WRITE);
    CHECK(read(fd, &c, 1) == 1 && c == 'H');
    CHECK(write(fd, "E", 1) == 1);
    CHECK(holds("f", "HEllo"));
}

static void open_flags(void)
{
    put("f", "hello");
    CHECK(open("f", 0) == E_INVAL);
    CHECK(open("f", O_CREATE) == E_INVAL);
    CHECK(open("f", O_READ | O_TRUNCATE) == E_INVAL);
    CHECK(open("f", 32 | O_READ) == E_INVAL);
    CHECK(open("f", -1) == E_INVAL);
    CHECK(open("f", (int)0x80000001) == E_INVAL);
    CHECK(holds("f", "hello"));
    CHECK(open("missing", O_READ) == E_NOENT);
    CHECK(open("missing", O_WRITE | O_TRUNCATE) == E_NOENT);
    CHECK(open("missing", O_WRITE | O_APPEND) == E_NOENT);
}

static void offsets(void)
{
    char buf[8] = "";
    const int fd = open("f", O_READ | O_WRITE | O_CREATE);
    CHECK(write(fd, "0123456789", 10) == 10);
    CHECK(read(fd, buf, 4) == 0); /* at the end */
    CHECK(read_at(fd, 2, buf, 4) == 4);
    CHECK(!strcmp(buf, "2345"));
    CHECK(read(fd, buf, 8) == 4); /* what is left */
    CHECK(buf[0] == '6' && buf[3] == '9');
    CHECK(write_at(fd, 3, "xyz", 3) == 3);
    CHECK(holds("f", "012xyz6789"));
    CHECK(read(fd, buf, 1) == 1 && buf[0] == '6');
    CHECK(read_at(fd, 10, buf, 1) == 0);
    CHECK(read_at(fd, 1000, buf, 1) == 0);
    CHECK(size_of("f") == 10);
}

/* Two openings of one file have an offset each. */
static void two_offsets(void)
{
    char c;
    put("f", "hello");
    const int a = open("f", O_READ), b = open("f", O_READ);
    CHECK(read(a, &c, 1) == 1 && c == 'h');
    CHECK(read(a, &c, 1) == 1 && c == 'e');
    CHECK(read(b, &c, 1) == 1 && c == 'h');
}

static void dup_shares_offset(void)
{
    char c;
    put("f", "hello");
    const int a = open("f", O_READ), b = dup(a);
    CHECK(read(a, &c, 1) == 1 && c == 'h');
    CHECK(read(b, &c, 1) == 1 && c == 'e');
    CHECK(close(a) == 0);
    CHECK(read(b, &c, 1) == 1 && c == 'l');
    CHECK(read(a, &c, 1) == E_BADF);
}

static void read_two(int fd)
{
    char c[2];
    CHECK(read(fd, c, 2) == 2);
    CHECK(close(fd) == 0);
}

static void fork_shares_offset(void)
{
    char c;
    put("f", "hello");
    const int fd = open("f", O_READ);
    CHECK(run(read_two, fd) == 0);
    CHECK(read(fd, &c, 1) == 1 && c == 'l');
}

static void append(void)
{
    char c;
    put("f", "abc");
    const int a = open("f", O_READ | O_WRITE | O_APPEND), b = open("f", O_WRITE | O_APPEND);
    CHECK(write(a, "d", 1) == 1);
    CHECK(write(b, "e", 1) == 1);
    CHECK(write_at(a, 0, "f", 1) == 1);
    CHECK(holds("f", "abcdef"));
    CHECK(read_at(a, 1, &c, 1) == 1 && c == 'b');
    CHECK(open("new", O_WRITE | O_APPEND | O_CREATE) >= 0);
    CHECK(size_of("new") == 0);
}

static void truncate_frees(void)
{
    make_file("f", 20000);
    const uint32_t before = system_now().free_blocks;
    const int fd = open("f", O_WRITE | O_TRUNCATE);
    CHECK(fd >= 0);
    CHECK(size_of("f") == 0);
    CHECK(system_now().free_blocks >= before + 20);
    CHECK(write_at(fd, 3, "x", 1) == 1); /* what was there does not come back */
    char buf[4];
    const int in = open("f", O_READ);
    CHECK(read(in, buf, 4) == 4);
    CHECK(!buf[0] && !buf[1] && !buf[2] && buf[3] == 'x');
}

/* A reader goes on with what a truncation left: nothing. */
static void truncate_under_reader(void)
{
    char c;
    make_file("f", 3000);
    const int in = open("f", O_READ);
    CHECK(read_at(in, 2000, &c, 1) == 1);
    CHECK(close(open("f", O_WRITE | O_TRUNCATE)) == 0);
    CHECK(read(in, &c, 1) == 0);
    CHECK(read_at(in, 0, &c, 1) == 0);
}

static void unlink_while_open(void)
{
    uint8_t buf[100];
    make_file("f", 30000);
    const int fd = open("f", O_READ | O_WRITE);
    const uint32_t before = system_now().free_blocks;
    CHECK(unlink("f") == 0);
    CHECK(open("f", O_READ) == E_NOENT);
    CHECK(read_at(fd, 20000, buf, 100) == 100);
    for (uint32_t i = 0; i < 100; i++)
        CHECK(buf[i] == pattern(20000 + i));
    CHECK(write_at(fd, 30000, "tail", 4) == 4);
    put("f", "another"); /* the name is free */
    CHECK(holds("f", "another"));
    CHECK(read_at(fd, 30000, buf, 4) == 4 && buf[0] == 't');
    struct stat s;
    CHECK(fstat(fd, &s) == 0);
    CHECK(s.links == 0 && s.size == 30004 && s.type == FS_FILE);
    CHECK(close(fd) == 0);
    CHECK(system_now().free_blocks + 2 >= before + 30);
}

static void stats(void)
{
    struct stat a, b, c;
    put("f", "hello");
    const int fd = open("f", O_READ);
    CHECK(stat("f", &a) == 0);
    CHECK(fstat(fd, &b) == 0);
    CHECK(a.inode && a.inode == b.inode);
    CHECK(a.type == FS_FILE && b.type == FS_FILE);
    CHECK(a.links == 1 && a.size == 5 && b.size == 5);
    put("g", "");
    CHECK(stat("g", &c) == 0);
    CHECK(c.inode != a.inode);
    CHECK(stat("missing", &c) == E_NOENT);
    CHECK(fstat(0, &c) == 0 && c.type == FS_FREE); /* the console */
    CHECK(fstat(9, &c) == E_BADF);
}

static void links(void)
{
    struct stat a, b;
    put("f", "hello");
    CHECK(link("f", "g") == 0);
    CHECK(stat("f", &a) == 0 && stat("g", &b) == 0);
    CHECK(a.inode == b.inode && a.links == 2 && b.links == 2);
    put("g", "changed");
    CHECK(holds("f", "changed"));
    CHECK(unlink("f") == 0);
    CHECK(stat("g", &b) == 0 && b.links == 1);
    CHECK(holds("g", "changed"));
    CHECK(unlink("g") == 0);
    CHECK(stat("g", &b) == E_NOENT);
}

static void link_errors(void)
{
    put("f", "hello");
    put("g", "there");
    CHECK(link("missing", "h") == E_NOENT);
    CHECK(link("f", "g") == E_EXIST);
    CHECK(link("f", "f") == E_EXIST);
    CHECK(link("f", ".") == E_EXIST);
    CHECK(link("f", "/") == E_EXIST);
    CHECK(link("f", "no/h") == E_NOENT);
    CHECK(link("f", "g/h") == E_NOTDIR);
    CHECK(link("f", "") == E_NOENT);
    CHECK(link("", "h") == E_NOENT);
    CHECK(mkdir("d") == 0);
    CHECK(link("d", "e") == E_ISDIR);
    CHECK(link(".", "e") == E_ISDIR);
    CHECK(link("/", "e") == E_ISDIR);
    struct stat s;
    CHECK(stat("f", &s) == 0 && s.links == 1);
}

static void many_links(void)
{
    char name[8];
    struct stat s;
    put("f", "x");
    for (uint32_t i = 0; i < 40; i++)
        CHECK(link("f", name_of(name, "l", i)) == 0);
    CHECK(stat("l39", &s) == 0 && s.links == 41);
    CHECK(unlink("f") == 0);
    for (uint32_t i = 0; i < 39; i++)
        CHECK(unlink(name_of(name, "l", i)) == 0);
    CHECK(stat("l39", &s) == 0 && s.links == 1);
    CHECK(holds("l39", "x"));
}

static void bad_descriptors(void)
{
    static const int fds[] = {-1, -2, 9, FILES - 1, FILES, 99, 0x7FFFFFFF, (int)0x80000000};
    char c = 0;
    struct stat s;
    for (unsigned i = 0; i < ARRAY(fds); i++) {
        CHECK(read(fds[i], &c, 1) == E_BADF);
        CHECK(write(fds[i], &c, 1) == E_BADF);
        CHECK(seek(fds[i], 0) == E_BADF);
        CHECK(close(fds[i]) == E_BADF);
        CHECK(dup(fds[i]) == E_BADF);
        CHECK(fstat(fds[i], &s) == E_BADF);
    }
    put("f", "");
    const int fd = open("f", O_READ);
    CHECK(close(fd) == 0);
    CHECK(close(fd) == E_BADF);
}

static void lowest_descriptor(void)
{
    put("f", "");
    const int a = open("f", O_READ), b = open("f", O_READ), c = dup(a);
    CHECK(b == a + 1 && c == a + 2);
    CHECK(close(a) == 0);
    CHECK(dup(c) == a);
    CHECK(close(b) == 0);
    CHECK(open("f", O_READ) == b);
    CHECK(close(1) == 0); /* nobody needs the console here */
    CHECK(dup(a) == 1);
}

static void seek_errors(void)
{
    int fds[2];
    CHECK(pipe(fds) == 0);
    CHECK(seek(fds[0], 0) < 0);
    CHECK(seek(fds[1], 0) < 0);
    CHECK(seek(0, 0) < 0);
    put("f", "hello");
    const int fd = open("f", O_READ);
    char c = 0;
    CHECK(read_at(fd, 4, &c, 1) == 1 && c == 'o');
    seek(fd, 0xFFFFFFFFu); /* refused or not, the next read must not wrap */
    CHECK(read(fd, &c, 1) <= 0);
}

static void zero_bytes(void)
{
    char c;
    put("f", "hello");
    const int fd = open("f", O_READ | O_WRITE);
    CHECK(read(fd, &c, 0) == 0);
    CHECK(write(fd, &c, 0) == 0);
    CHECK(read(fd, &c, 1) == 1 && c == 'h');
    CHECK(write_at(fd, 100, &c, 0) == 0);
    CHECK(size_of("f") == 5);
}

/* A call that fails moves nothing. */
static void failed_read_keeps_offset(void)
{
    char c = 0;
    put("f", "hello");
    const int fd = open("f", O_READ);
    CHECK(read(fd, (void *)UNMAPPED, 3) == E_FAULT);
    CHECK(read(fd, (void *)KERNEL_ADDRESS, 3) == E_FAULT);
    CHECK(read(fd, (void *)TEXT_ADDRESS, 3) == E_FAULT);
    CHECK(read(fd, &c, 1) == 1 && c == 'h');
}

static void failed_write_changes_nothing(void)
{
    put("f", "hello");
    const int fd = open("f", O_WRITE | O_CREATE);
    CHECK(write(fd, (void *)UNMAPPED, 3) == E_FAULT);
    CHECK(write(fd, (void *)KERNEL_ADDRESS, 3000) == E_FAULT);
    CHECK(holds("f", "hello"));
    CHECK(size_of("f") == 5);
    CHECK(write(fd, "J", 1) == 1);
    CHECK(holds("f", "Jello"));
    const int new = open("g", O_WRITE | O_CREATE);
    CHECK(write(new, (void *)UNMAPPED, 3) == E_FAULT);
    CHECK(size_of("g") == 0);
}

/* Between what is mapped and what is not: a part is copied, or nothing. */
static void buffers_over_the_edge(void)
{
    char *p = last_bytes(10);
    make_file("f", 3000);
    int fd = open("f", O_READ);
    int n = read(fd, p, 20);
    CHECK(n == E_FAULT || (n > 0 && n <= 10));
    fd = open("g", O_WRITE | O_CREATE);
    n = write(fd, p, 20);
    CHECK(n == E_FAULT || (n > 0 && n <= 10));
    CHECK(size_of("g") == (n < 0 ? 0 : (uint32_t)n));
    n = write(fd, p - 3000, 0x7FFFFFFF);
    CHECK(n < 0 || n <= 3010);
    n = read(open("f", O_READ), p - 3000, 0x7FFFFFFF);
    CHECK(n == 3000 || n == E_FAULT);
}

static void file_limit(void)
{
    int n = 0, fd;
    put("f", "");
    const int room = free_descriptors();
    CHECK(room >= FILES - 4 && room < FILES);
    while ((fd = open("f", O_READ)) >= 0)
        n++;
    CHECK(fd == E_MFILE);
    CHECK(n == room);
    CHECK(dup(0) == E_MFILE);
    int fds[2] = {-1, -1};
    CHECK(pipe(fds) == E_MFILE);
    CHECK(open("new", O_WRITE | O_CREATE) == E_MFILE);
    CHECK(close(FILES - 1) == 0);
    CHECK(pipe(fds) == E_MFILE); /* needs two */
    CHECK(dup(0) == FILES - 1);
}

/* Every process holds as many files as it can; sooner or later the system has no more. */
static void hold_files(int depth)
{
    int n = 0, fd;
    for (int i = 3; i < FILES; i++)
        close(i);
    while ((fd = open("f", O_READ)) >= 0)
        n++;
    CHECK(fd == E_MFILE);
    if (n == FILES - 3 && depth)
        CHECK(run(hold_files, depth - 1) == 0);
}

static void system_file_limit(void)
{
    put("f", "x");
    CHECK(run(hold_files, 30) == 0);
    CHECK(holds("f", "x"));
}

/* The same with different files, for the table of inodes. */
static void hold_inodes(int depth)
{
    char name[8];
    int fd = 0;
    for (int i = 3; i < FILES; i++)
        close(i);
    for (uint32_t i = 3; i < FILES && fd >= 0; i++) {
        fd = open(name_of(name, "f", (uint32_t)depth * FILES + i), O_WRITE | O_CREATE);
        CHECK(fd >= 0 || fd == E_MFILE);
    }
    if (fd >= 0 && depth)
        CHECK(run(hold_inodes, depth - 1) == 0);
}

static void system_inode_limit(void)
{
    CHECK(run(hold_inodes, 12) == 0);
    put("f", "x");
    CHECK(holds("f", "x"));
}

static void syncs(void)
{
    put("f", "hello");
    CHECK(sync() == 0);
    CHECK(sync() == 0);
    CHECK(holds("f", "hello"));
}

const struct test file_tests[] = {
    {"create-and-read", create_and_read, false},
    {"empty-file", empty_file, false},
    {"create-keeps-contents", create_keeps_contents, false},
    {"open-modes", open_modes, false},
    {"open-flags", open_flags, false},
    {"offsets", offsets, false},
    {"two-offsets", two_offsets, false},
    {"dup-shares-offset", dup_shares_offset, false},
    {"fork-shares-offset", fork_shares_offset, false},
    {"append", append, false},
    {"truncate-frees", truncate_frees, false},
    {"truncate-under-reader", truncate_under_reader, false},
    {"unlink-while-open", unlink_while_open, false},
    {"stat", stats, false},
    {"links", links, false},
    {"link-errors", link_errors, false},
    {"many-links", many_links, false},
    {"bad-descriptors", bad_descriptors, false},
    {"lowest-descriptor", lowest_descriptor, false},
    {"seek-errors", seek_errors, false},
    {"zero-bytes", zero_bytes, false},
    {"failed-read", failed_read_keeps_offset, false},
    {"failed-write", failed_write_changes_nothing, false},
    {"buffers-over-the-edge", buffers_over_the_edge, false},
    {"file-limit", file_limit, false},
    {"system-file-limit", system_file_limit, true},
    {"system-inode-limit", system_inode_limit, true},
    {"sync", syncs, false},
    {NULL, NULL, false},
};
