/* Large files, holes, a disk that is full. */
#include "usertests.h"

#define INDIRECT (FS_DIRECT * FS_BLOCK)
#define DOUBLY (INDIRECT + FS_POINTERS * FS_BLOCK)
#define LARGEST (FS_FILE_BLOCKS * FS_BLOCK)

static void sizes_around_limits(void)
{
    static const uint32_t sizes[] = {1,        FS_BLOCK - 1, FS_BLOCK, FS_BLOCK + 1, INDIRECT - 1,
                                     INDIRECT, INDIRECT + 1};
    for (unsigned i = 0; i < ARRAY(sizes); i++) {
        make_file("f", sizes[i]);
        CHECK(has_pattern("f", sizes[i]));
        CHECK(unlink("f") == 0);
    }
}

/* Direct, indirect and doubly indirect blocks. */
static void big_file(void)
{
    const uint32_t size = 300 * 1024 + 77, before = system_now().free_blocks;
    make_file("f", size);
    CHECK(has_pattern("f", size));
    CHECK(before - system_now().free_blocks == 301 + 3); /* and three of pointers */
    CHECK(unlink("f") == 0);
    CHECK(system_now().free_blocks == before);
}

/* One call may move much; it may also move less than it was asked for. */
static void big_transfers(void)
{
    const uint32_t size = 100000;
    uint8_t *p = sbrk((int)size);
    uint32_t done = 0;
    for (uint32_t i = 0; i < size; i++)
        p[i] = pattern(i);
    int n, fd = open("f", O_WRITE | O_CREATE);
    while (done < size && (n = write(fd, p + done, size - done)) > 0)
        done += (uint32_t)n;
    CHECK(done == size);
    CHECK(has_pattern("f", size));
    memset(p, 0, size);
    fd = open("f", O_READ);
    for (done = 0; (n = read(fd, p + done, size - done)) > 0;)
        done += (uint32_t)n;
    CHECK(n == 0 && done == size);
    for (uint32_t i = 0; i < size; i++)
        CHECK(p[i] == pattern(i));
}

static void overwrite_in_the_middle(void)
{
    uint8_t buf[3000];
    make_file("f", 20000);
    const int fd = open("f", O_READ | O_WRITE);
    memset(buf, 0xAA, sizeof(buf));
    CHECK(write_at(fd, 11111, buf, sizeof(buf)) == sizeof(buf));
    CHECK(size_of("f") == 20000);
    CHECK(read_at(fd, 11110, buf, 2) == 2);
    CHECK(buf[0] == pattern(11110) && buf[1] == 0xAA);
    CHECK(read_at(fd, 14110, buf, 2) == 2);
    CHECK(buf[0] == 0xAA && buf[1] == pattern(14111));
}

static bool zeros_at(int fd, uint32_t offset)
{
    uint8_t buf[64];
    memset(buf, 1, sizeof(buf));
    if (read_at(fd, offset, buf, sizeof(buf)) != sizeof(buf))
        return false;
    for (unsigned i = 0; i < sizeof(buf); i++) {
        if (buf[i])
            return false;
    }
    return true;
}

static void holes(void)
{
    const uint32_t before = system_now().free_blocks;
    const int fd = open("f", O_READ | O_WRITE | O_CREATE);
    char c = 0;
    CHECK(write_at(fd, 400000, "x", 1) == 1);
    CHECK(size_of("f") == 400001);
    CHECK(before - system_now().free_blocks == 3);
    CHECK(zeros_at(fd, 0));
    CHECK(zeros_at(fd, INDIRECT - 32));
    CHECK(zeros_at(fd, DOUBLY - 32));
    CHECK(zeros_at(fd, 399900));
    CHECK(read(fd, &c, 1) == 1 && c == 0);
    CHECK(read_at(fd, 400000, &c, 1) == 1 && c == 'x');
    CHECK(write_at(fd, 100000, "y", 1) == 1); /* fill a part */
    CHECK(read_at(fd, 100000, &c, 1) == 1 && c == 'y');
    CHECK(zeros_at(fd, 100001));
    CHECK(close(fd) == 0);
    CHECK(unlink("f") == 0);
    CHECK(system_now().free_blocks == before);
}

/* Blocks that belonged to another file show nothing of it. */
static void holes_hide_old_data(void)
{
    make_file("secret", 40000);
    CHECK(unlink("secret") == 0);
    const int fd = open("f", O_READ | O_WRITE | O_CREATE);
    for (uint32_t at = 500; at < 40000; at += FS_BLOCK)
        CHECK(write_at(fd, at, "x", 1) == 1);
    for (uint32_t at = 501; at + FS_BLOCK < 40000; at += FS_BLOCK)
        CHECK(zeros_at(fd, at) && zeros_at(fd, at + 900));
}

static void largest_file(void)
{
    const int fd = open("f", O_READ | O_WRITE | O_CREATE);
    CHECK(write_at(fd, LARGEST - 1, "x", 1) == 1);
    CHECK(size_of("f") == LARGEST);
    CHECK(write(fd, "x", 1) == E_FBIG);
    const int n = write_at(fd, LARGEST - 2, "1234", 4);
    CHECK(n == E_FBIG || n == 2);
    CHECK(write_at(fd, LARGEST, "x", 1) < 0);
    CHECK(write_at(fd, 0x7FFFFFFF, "x", 1) < 0);
    CHECK(write_at(fd, 0xFFFFFFFF, "x", 1) < 0);
    CHECK(write_at(fd, 0xFFFFFFF0, "0123456789012345678", 19) < 0);
    CHECK(size_of("f") == LARGEST);
    const int end = open("f", O_WRITE | O_APPEND);
    CHECK(write(end, "x", 1) == E_FBIG);
}

/* Fill the disk with one file; returns its size. */
static uint32_t fill(const char *path)
{
    static uint8_t block[8 * FS_BLOCK];
    uint32_t size = 0, step = sizeof(block);
    const int fd = open(path, O_WRITE | O_CREATE | O_APPEND);
    CHECK(fd >= 0);
    while (step) {
        const int n = write(fd, block, step);
        CHECK(n == E_NOSPC || (n > 0 && n <= (int)step));
        if (n != (int)step)
            step /= 2;
        size += n > 0 ? (uint32_t)n : 0;
    }
    CHECK(close(fd) == 0);
    return size;
}

static void disk_full(void)
{
    const struct sysinfo before = system_now();
    make_file("small", 100);
    CHECK(mkdir("d") == 0);
    const uint32_t size = fill("f");
    CHECK(size_of("f") == size);
    CHECK(size > (before.free_blocks - 64) * FS_BLOCK);
    CHECK(system_now().free_blocks == 0);
    const int fd = open("small", O_READ | O_WRITE);
    CHECK(write_at(fd, 2000, "x", 1) == E_NOSPC);
    CHECK(size_of("small") == 100);
    CHECK(write_at(fd, 50, "x", 1) == 1); /* needs no block */
    CHECK(mkdir("e") == E_NOSPC);
    CHECK(chdir("e") == E_NOENT);
    CHECK(system_now().free_inodes == before.free_inodes - 3);
    const int new = open("d/new", O_WRITE | O_CREATE); /* the directory's block has room */
    CHECK(new >= 0);
    CHECK(write(new, "x", 1) == E_NOSPC);
    CHECK(sync() == 0);
    CHECK(unlink("f") == 0);
    CHECK(write(new, "x", 1) == 1);
    CHECK(mkdir("e") == 0);
    CHECK(system_now().free_blocks >= before.free_blocks - 8);
}

/* Directories cannot grow either. */
static void directory_on_full_disk(void)
{
    char name[8];
    int fd;
    uint32_t n = 0;
    CHECK(mkdir("d") == 0);
    CHECK(chdir("d") == 0);
    fill("../f");
    while ((fd = open(name_of(name, "e", n), O_WRITE | O_CREATE)) >= 0) {
        close(fd);
        n++;
        CHECK(n < 100);
    }
    CHECK(fd == E_NOSPC);
    CHECK(link("e0", "another") == E_NOSPC);
    CHECK(entries_of(".") == (int)n);
    const struct sysinfo full = system_now();
    CHECK(mkdir("x") == E_NOSPC);
    CHECK(system_now().free_inodes == full.free_inodes);
    CHECK(unlink("e0") == 0);
    CHECK(open("f0", O_WRITE | O_CREATE) >= 0);
}

static void fill_in_turns(int who)
{
    char name[8];
    static uint8_t block[FS_BLOCK];
    const int fd = open(name_of(name, "f", (uint32_t)who), O_WRITE | O_CREATE);
    CHECK(fd >= 0);
    int n;
    uint32_t size = 0;
    while ((n = write(fd, block, sizeof(block))) > 0) {
        size += (uint32_t)n;
        if (size % (64 * FS_BLOCK) == 0)
            yield();
    }
    CHECK(n == E_NOSPC);
    CHECK(size_of(name) == size);
}

static void disk_full_for_many(void)
{
    int status[3];
    run_together(fill_in_turns, 3, status);
    for (int i = 0; i < 3; i++)
        CHECK(status[i] == 0);
    CHECK(system_now().free_blocks == 0);
}

/* Files of no size, in directories that stay small, until there is no inode. */
static void out_of_inodes(void)
{
    char name[16], directory[8];
    int fd = 0;
    uint32_t n = 0;
    const uint32_t free = system_now().free_inodes;
    while (fd >= 0 && n < 4096) {
        if (n % 32 == 0 && mkdir(name_of(directory, "d", n / 32)) < 0)
            break;
        const size_t length = strlen(directory);
        memcpy(name, directory, length);
        name[length] = '/';
        name_of(name + length + 1, "", n);
        fd = open(name, O_WRITE | O_CREATE);
        CHECK(fd >= 0 || fd == E_NOSPC);
        close(fd);
        n++;
    }
    CHECK(n >= 4096 || system_now().free_inodes == 0);
    CHECK(n >= 4096 || mkdir("x") == E_NOSPC);
    CHECK(unlink("d0/0") == 0);
    CHECK(open("y", O_WRITE | O_CREATE) >= 0);
    CHECK(free > system_now().free_inodes);
}

const struct test big_file_tests[] = {
    {"sizes-around-limits", sizes_around_limits, false},
    {"big-file", big_file, false},
    {"big-transfers", big_transfers, false},
    {"overwrite-in-the-middle", overwrite_in_the_middle, false},
    {"holes", holes, false},
    {"holes-hide-old-data", holes_hide_old_data, false},
    {"largest-file", largest_file, false},
    {"disk-full", disk_full, true},
    {"directory-on-full-disk", directory_on_full_disk, true},
    {"disk-full-for-many", disk_full_for_many, true},
    {"out-of-inodes", out_of_inodes, true},
    {NULL, NULL, false},
};
