/* tv-fsck: check an image of Minnow's file system, list what is in it, and take files out. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/minnowfs.h"

#define STATUS_DAMAGED 1
#define STATUS_TROUBLE 2 /* also STATUS_USAGE */

static const char usage[] =
    "usage: tv-fsck [--recover] [--list | --extract=PATH[:OUT]] IMAGE\n"
    "Checks the image after replaying its log, as mounting does, and prints a line for each\n"
    "problem and one that sums up. The image stays as it is.\n"
    "  --recover   write the image back with its log replayed\n"
    "  --list      print type, links, size, inode and path of all files and directories\n"
    "  --extract=PATH[:OUT]   write the file PATH of the image to OUT (default: standard output)\n"
    "With --list and --extract the problems and the summary go to standard error.\n"
    "The exit status is 0: clean; 1: damaged; 2: wrong usage, or something cannot be read or\n"
    "written.\n";

struct request {
    const char *path; /* of the image */
    bool recover, list;
    char *extract, *to; /* NULL: nothing; standard output */
};

struct disk {
    uint8_t *image;
    size_t size; /* at most what a file system can have; the rest of the file never matters */
    struct fs_super super;
    int replayed; /* blocks; -1: the superblock or the log is damaged, and nothing can be read */
    unsigned problems;
};

static void finish(FILE *f, const char *name)
{
    const bool bad = ferror(f);
    if ((f == stdout ? fflush(f) : fclose(f)) || bad)
        die(STATUS_TROUBLE, "cannot write %s: %s", name, strerror(errno));
}

static void load(struct disk *d, const char *path)
{
    const size_t most = (size_t)FS_BLOCKS_MAX * FS_BLOCK;
    FILE *f = fopen(path, "re");
    if (!f)
        die(STATUS_TROUBLE, "cannot read %s: %s", path, strerror(errno));
    d->image = xrealloc(NULL, most);
    d->size = fread(d->image, 1, most, f);
    if (ferror(f))
        die(STATUS_TROUBLE, "cannot read %s: %s", path, strerror(errno));
    fclose(f);
    if (!d->size)
        die(STATUS_TROUBLE, "%s is empty", path);
}

static void put_block(int fd, const struct disk *d, uint32_t block, const char *path)
{
    const size_t at = (size_t)block * FS_BLOCK;
    if (pwrite(fd, d->image + at, FS_BLOCK, (off_t)at) != FS_BLOCK)
        die(STATUS_TROUBLE, "cannot write %s: %s", path, strerror(errno));
}

static void sync_disk(int fd, const char *path)
{
    if (fsync(fd))
        die(STATUS_TROUBLE, "cannot write %s: %s", path, strerror(errno));
}

/* As the kernel does it: the log is emptied only when all its blocks are home. Whatever happens in
 * between, the log can be replayed again. */
static void write_back(const struct disk *d, const struct fs_log_header *log, const char *path)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        die(STATUS_TROUBLE, "cannot write %s: %s", path, strerror(errno));
    for (uint32_t i = 0; i < log->count; i++)
        put_block(fd, d, log->home[i], path);
    sync_disk(fd, path);
    put_block(fd, d, d->super.log_start, path);
    sync_disk(fd, path);
    close(fd);
}

/* Replays the log in memory, and on the disk when that is wanted. */
static void replay(struct disk *d, const struct request *r, FILE *out)
{
    uint8_t *before = xrealloc(NULL, d->size);
    struct fs_log_header log;
    memcpy(before, d->image, d->size);
    d->replayed = minnowfs_recover(d->image, d->size);
    if (d->replayed >= 0)
        memcpy(&d->super, d->image, sizeof(d->super));
    if (d->replayed > 0) {
        memcpy(&log, before + (size_t)d->super.log_start * FS_BLOCK, sizeof(log));
        if (r->recover)
            write_back(d, &log, r->path);
        fprintf(out, "%s: the log had %d blocks that were not home yet%s\n", r->path, d->replayed,
                r->recover ? ": replayed" : "; checked as if replayed (--recover does it)");
    }
    free(before);
}

static void sum_up(const struct disk *d, const char *path, unsigned orphans, FILE *out)
{
    uint32_t files = 0, directories = 0, used = 0;
    const uint8_t *bitmap = d->image + (size_t)d->super.bitmap_block * FS_BLOCK;
    for (uint32_t n = FS_ROOT; n < d->super.inodes; n++) {
        const struct fs_inode inode = minnowfs_inode(d->image, n);
        files += inode.links && inode.type == FS_FILE;
        directories += inode.links && inode.type == FS_DIRECTORY;
    }
    for (uint32_t b = d->super.data_start; b < d->super.blocks; b++)
        used += bitmap[b / 8] >> b % 8 & 1;
    fprintf(out, "%s: clean, %u files, %u directories, %u of %u blocks used", path, files,
            directories, used, d->super.blocks - d->super.data_start);
    if (orphans)
        fprintf(out, ", %u removed while open (mounting frees them)", orphans);
    fputc('\n', out);
}

static void check(struct disk *d, const char *path, FILE *out)
{
    struct text report = {0};
    unsigned orphans;
    d->problems = minnowfs_check(d->image, d->size, &report, &orphans);
    if (d->problems)
        fputs(report.text, out);
    if (d->problems > MINNOWFS_REPORTED)
        fprintf(out, "... and %u more\n", d->problems - MINNOWFS_REPORTED);
    if (d->problems)
        fprintf(out, "%s: damaged, %u problem%s\n", path, d->problems, d->problems > 1 ? "s" : "");
    else
        sum_up(d, path, orphans, out);
    text_free(&report);
}

static void print_path(const char *path)
{
    for (; *path; path++)
        putchar(*path >= ' ' && *path <= '~' ? *path : '?');
    putchar('\n');
}

/* An inode and, the first time that a directory is met, what is below it: a damaged one may be met
 * again. */
static void list(const struct disk *d, uint32_t number, const char *path, bool *seen)
{
    static const char *const types[] = {"free", "file", "dir "};
    const struct fs_inode inode = minnowfs_inode(d->image, number);
    struct fs_dirent entry;
    printf("%s %5u %8u %5u  ", inode.type <= FS_DIRECTORY ? types[inode.type] : "?   ", inode.links,
           inode.size, number);
    print_path(*path ? path : "/");
    if (inode.type != FS_DIRECTORY || seen[number])
        return;
    seen[number] = true;
    for (uint32_t at = 2 * sizeof(entry); at < d->size; at += sizeof(entry)) {
        if (minnowfs_read(d->image, number, at, &entry, sizeof(entry)) != sizeof(entry))
            break;
        if (!entry.inode)
            continue;
        char *below = xasprintf("%s/%.*s", path, FS_NAME_MAX, entry.name);
        list(d, entry.inode, below, seen);
        free(below);
    }
}

static void list_all(const struct disk *d)
{
    bool *seen = xrealloc(NULL, d->super.inodes);
    memset(seen, 0, d->super.inodes);
    list(d, FS_ROOT, "", seen);
    free(seen);
    finish(stdout, "the list");
}

static void extract(const struct disk *d, const struct request *r)
{
    uint8_t bytes[64 * FS_BLOCK];
    const uint32_t number = minnowfs_find(d->image, r->extract);
    if (!number)
        die(STATUS_TROUBLE, "%s has no file %s", r->path, r->extract);
    if (minnowfs_inode(d->image, number).type != FS_FILE)
        die(STATUS_TROUBLE, "%s of %s is not a file", r->extract, r->path);
    FILE *out = r->to ? fopen(r->to, "we") : stdout;
    if (!out)
        die(STATUS_TROUBLE, "cannot write %s: %s", r->to, strerror(errno));
    for (uint32_t at = 0, n; at < FS_FILE_BLOCKS * FS_BLOCK; at += n) {
        n = minnowfs_read(d->image, number, at, bytes, sizeof(bytes));
        if (!n || fwrite(bytes, 1, n, out) != n)
            break;
    }
    finish(out, r->to ? r->to : "the file");
}

static const struct option options[] = {
    {"recover", 0, NULL, 'r'}, {"list", 0, NULL, 'l'}, {"extract", 1, NULL, 'e'},
    {"help", 0, NULL, 'h'},    {NULL, 0, NULL, 0},
};

static struct request read_options(int argc, char **argv)
{
    struct request r = {0};
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'r')
            r.recover = true;
        else if (c == 'l')
            r.list = true;
        else if (c == 'e')
            r.extract = optarg;
        else if (c == 'h')
            fputs(usage, stdout), exit(0);
        else
            exit(STATUS_USAGE);
    }
    if (argc - optind != 1)
        die(STATUS_USAGE, "give one image (try --help)");
    if (r.list && r.extract)
        die(STATUS_USAGE, "--list and --extract do not go together");
    r.path = argv[optind];
    r.to = r.extract ? strchr(r.extract, ':') : NULL;
    if (r.to)
        *r.to++ = 0;
    if ((r.extract && !*r.extract) || (r.to && !*r.to))
        die(STATUS_USAGE, "--extract wants PATH or PATH:OUT");
    return r;
}

int main(int argc, char **argv)
{
    const struct request r = read_options(argc, argv);
    FILE *talk = r.list || r.extract ? stderr : stdout;
    struct disk d = {0};
    load(&d, r.path);
    replay(&d, &r, talk);
    check(&d, r.path, talk);
    if (d.replayed >= 0 && r.list)
        list_all(&d);
    if (d.replayed >= 0 && r.extract)
        extract(&d, &r);
    finish(stdout, "the report");
    free(d.image);
    return d.problems ? STATUS_DAMAGED : 0;
}
