/* Checking, recovering and reading images of Minnow's file system. Making them: minnowfs_make.c. */
#include "minnowfs.h"

#include <stdlib.h>
#include <string.h>

/* The smallest log that the kernel mounts: a header, and room for one operation (block.c). */
#define LOG_BLOCKS_MIN 25u

#define LARGEST_FILE (FS_FILE_BLOCKS * FS_BLOCK)

static const uint8_t *block_at(const uint8_t *image, uint32_t block)
{
    return image + (size_t)block * FS_BLOCK;
}

static struct fs_super super_of(const uint8_t *image)
{
    struct fs_super s;
    memcpy(&s, image, sizeof(s));
    return s;
}

static struct fs_log_header log_of(const uint8_t *image)
{
    struct fs_log_header h;
    memcpy(&h, block_at(image, super_of(image).log_start), sizeof(h));
    return h;
}

/*
 * Reading. Only the superblock has to be right: what lies outside of the disk, or of its data area,
 * is taken for missing.
 */

static bool is_data(const struct fs_super *s, uint32_t block)
{
    return block >= s->data_start && block < s->blocks;
}

static uint32_t pointer_at(const uint8_t *image, uint32_t block, uint32_t index)
{
    uint32_t pointer = 0;
    const struct fs_super s = super_of(image);
    if (is_data(&s, block))
        memcpy(&pointer, block_at(image, block) + index * sizeof(pointer), sizeof(pointer));
    return pointer;
}

/* The block of the disk with the file's block n; 0: none. */
static uint32_t block_of(const uint8_t *image, const struct fs_inode *inode, uint32_t n)
{
    const struct fs_super s = super_of(image);
    uint32_t block = 0;
    if (n < FS_DIRECT) {
        block = inode->direct[n];
    } else if (n < FS_DIRECT + FS_POINTERS) {
        block = pointer_at(image, inode->indirect, n - FS_DIRECT);
    } else if (n < FS_FILE_BLOCKS) {
        n -= FS_DIRECT + FS_POINTERS;
        block = pointer_at(image, inode->doubly, n / FS_POINTERS);
        block = pointer_at(image, block, n % FS_POINTERS);
    }
    return is_data(&s, block) ? block : 0;
}

struct fs_inode minnowfs_inode(const uint8_t *image, uint32_t number)
{
    const struct fs_super s = super_of(image);
    struct fs_inode inode = {0};
    if (number < s.inodes)
        memcpy(&inode, block_at(image, s.inode_start) + (size_t)number * FS_INODE_SIZE,
               sizeof(inode));
    return inode;
}

uint32_t minnowfs_read(const uint8_t *image, uint32_t number, uint32_t offset, void *to, uint32_t n)
{
    const struct fs_inode inode = minnowfs_inode(image, number);
    if (offset >= inode.size)
        return 0;
    if (n > inode.size - offset)
        n = inode.size - offset;
    for (uint32_t done = 0, part; done < n; done += part) {
        const uint32_t at = offset + done, in_block = at % FS_BLOCK;
        const uint32_t block = block_of(image, &inode, at / FS_BLOCK);
        part = n - done < FS_BLOCK - in_block ? n - done : FS_BLOCK - in_block;
        if (block)
            memcpy((uint8_t *)to + done, block_at(image, block) + in_block, part);
        else
            memset((uint8_t *)to + done, 0, part);
    }
    return n;
}

/* The inode that the directory has under a name of n characters; 0: none. */
static uint32_t look_up(const uint8_t *image, uint32_t directory, const char *name, size_t n)
{
    const struct fs_inode inode = minnowfs_inode(image, directory);
    struct fs_dirent entry;
    if (inode.type != FS_DIRECTORY || n > FS_NAME_MAX)
        return 0;
    /* A directory has no holes, so the first ends a damaged one, whatever its size says. */
    for (uint32_t at = 0; at < inode.size && block_of(image, &inode, at / FS_BLOCK);
         at += sizeof(entry)) {
        if (minnowfs_read(image, directory, at, &entry, sizeof(entry)) != sizeof(entry))
            break;
        if (entry.inode && !strncmp(entry.name, name, n) && !entry.name[n])
            return entry.inode;
    }
    return 0;
}

uint32_t minnowfs_find(const uint8_t *image, const char *path)
{
    uint32_t at = *path ? FS_ROOT : 0;
    for (path += strspn(path, "/"); at && *path; path += strspn(path, "/")) {
        const size_t n = strcspn(path, "/");
        at = look_up(image, at, path, n);
        path += n;
    }
    return at;
}

/*
 * Checking. First the superblock, on which all else relies; then each inode claims its blocks; then
 * each directory's entries name inodes; last, what was claimed and named is held against the bitmap
 * and the numbers of links. Every block is entered once, by the first that claims it, so the work
 * is bounded by the size of the image, whatever it holds.
 */

struct facts {
    uint32_t readable; /* blocks from the start of the file on that are there and its own */
    uint32_t names;    /* entries that name it, but for "." and ".." */
    uint32_t parent;   /* the directory with the last of them */
    uint32_t dotdot;   /* of a directory */
    uint32_t climbed;  /* the directory from which check_loops() came by; 0: not yet */
};

struct check {
    const uint8_t *image;
    struct text *report; /* NULL: only count */
    unsigned found, orphans;
    struct fs_super super;
    uint32_t owner[FS_BLOCKS_MAX]; /* the inode that claimed the block; 0: none */
    struct facts *facts;           /* of every inode */
};

static void problem(struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void problem(struct check *c, const char *fmt, ...)
{
    va_list ap;
    if (c->found++ >= MINNOWFS_REPORTED || !c->report)
        return;
    va_start(ap, fmt);
    char *line = xvasprintf(fmt, ap);
    va_end(ap);
    text_printf(c->report, "%s\n", line);
    free(line);
}

/* Note in taken[] the blocks of an area, which must lie before data_start. */
static void take_area(struct check *c, uint8_t *taken, const char *what, uint32_t start, uint32_t n)
{
    const uint32_t end = c->super.data_start;
    if (start >= end || n > end - start)
        return problem(
            c, "superblock: the %s area, %u blocks from %u on, does not end before data_start %u",
            what, n, start, end);
    for (uint32_t b = start; b < start + n; b++) {
        if (taken[b])
            return problem(c, "superblock: the %s area overlaps with another in block %u", what, b);
        taken[b] = 1;
    }
}

/* The areas must fill what lies before data_start: a block there that is in none would be lost. */
static void check_areas(struct check *c)
{
    const struct fs_super *s = &c->super;
    uint8_t taken[FS_BLOCKS_MAX] = {1};
    if (s->data_start >= s->blocks)
        return problem(c, "superblock: data_start %u is not below blocks %u", s->data_start,
                       s->blocks);
    if (s->log_blocks < LOG_BLOCKS_MIN || s->log_blocks > FS_LOG_MAX + 1)
        problem(c, "superblock: log_blocks %u is not within %u and %u", s->log_blocks,
                LOG_BLOCKS_MIN, FS_LOG_MAX + 1);
    if (!s->inodes || s->inodes % FS_INODES_PER_BLOCK)
        problem(c, "superblock: inodes %u is not a multiple of %u", s->inodes, FS_INODES_PER_BLOCK);
    take_area(c, taken, "log", s->log_start, s->log_blocks);
    take_area(c, taken, "inode", s->inode_start, s->inodes / FS_INODES_PER_BLOCK);
    take_area(c, taken, "bitmap", s->bitmap_block, 1);
    for (uint32_t b = 0; b < s->data_start && !c->found; b++) {
        if (!taken[b])
            problem(c, "superblock: block %u, before data_start, is in no area", b);
    }
}

/* May the rest be looked at? An image of something else gets one line, not one for each field. */
static bool super_is_sound(struct check *c, size_t size)
{
    if (size < FS_BLOCK) {
        problem(c, "superblock: an image of %zu bytes has none", size);
        return false;
    }
    const struct fs_super *s = &c->super;
    c->super = super_of(c->image);
    if (s->magic != FS_MAGIC)
        problem(c, "superblock: magic is 0x%x, not 0x%x: no file system of Minnow", s->magic,
                FS_MAGIC);
    else if (s->version != FS_VERSION)
        problem(c, "superblock: version %u is not known", s->version);
    else if (s->block_size != FS_BLOCK)
        problem(c, "superblock: block_size is %u, not %u", s->block_size, FS_BLOCK);
    else if (s->blocks > FS_BLOCKS_MAX)
        problem(c, "superblock: blocks %u is more than %u", s->blocks, FS_BLOCKS_MAX);
    else if (s->blocks > size / FS_BLOCK)
        problem(c, "superblock: blocks is %u, but the image has only %zu", s->blocks,
                size / FS_BLOCK);
    else
        check_areas(c);
    return !c->found;
}

static void check_super_rest(struct check *c)
{
    for (uint32_t i = sizeof(c->super); i < FS_BLOCK; i++) {
        if (c->image[i])
            return problem(c, "superblock: byte %u, behind it, is not zero", i);
    }
}

/* What an empty log had in home[] before is left there. */
static void check_log(struct check *c)
{
    const struct fs_super *s = &c->super;
    const struct fs_log_header h = log_of(c->image);
    if (h.count > s->log_blocks - 1)
        return problem(c, "log: count %u is more than its %u blocks", h.count, s->log_blocks - 1);
    for (uint32_t i = 0; i < h.count; i++) {
        const uint32_t home = h.home[i];
        if (!home || home >= s->blocks || home - s->log_start < s->log_blocks)
            problem(c, "log: home[%u] is block %u, which is never logged", i, home);
        for (uint32_t j = 0; j < i; j++) {
            if (h.home[j] == home)
                problem(c, "log: home[%u] and home[%u] are the same block %u", j, i, home);
        }
    }
}

static bool claim(struct check *c, uint32_t number, uint32_t block)
{
    if (!is_data(&c->super, block)) {
        problem(c, "inode %u: block %u is not in the data area", number, block);
        return false;
    }
    if (c->owner[block]) {
        problem(c, "inode %u: block %u is used twice, also by inode %u", number, block,
                c->owner[block]);
        return false;
    }
    c->owner[block] = number;
    return true;
}

/* A block of the file: of its contents (level 0), of pointers to those (1), or of pointers to
 * blocks of pointers (2). index: the file's first block that is found by it. */
static void claim_all(struct check *c, uint32_t number, uint32_t block, uint32_t index, int level)
{
    const uint32_t step = level == 2 ? FS_POINTERS : 1;
    uint32_t *readable = &c->facts[number].readable;
    if (!block || !claim(c, number, block)) {
        if (index < *readable)
            *readable = index;
        return;
    }
    for (uint32_t i = 0; level && i < FS_POINTERS; i++)
        claim_all(c, number, pointer_at(c->image, block, i), index + i * step, level - 1);
}

/*
 * Blocks beyond the size are right: the kernel leaves them when a write fails half-way, because the
 * disk is full or the program's buffer ends. They are freed with the file. A free inode is all
 * zeros: so tv-mkfs makes it, and so the kernel leaves it.
 */
static void check_inode(struct check *c, uint32_t number)
{
    static const struct fs_inode zero;
    const struct fs_inode inode = minnowfs_inode(c->image, number);
    if (!number || inode.type == FS_FREE) {
        if (memcmp(&inode, &zero, sizeof(zero)))
            problem(c, "inode %u: is %s, but not zero", number, number ? "free" : "never used");
        return;
    }
    if (inode.type > FS_DIRECTORY)
        problem(c, "inode %u: type %u is not known", number, inode.type);
    if (inode.size > LARGEST_FILE)
        problem(c, "inode %u: size %u is beyond the largest file", number, inode.size);
    c->facts[number].readable = FS_FILE_BLOCKS;
    for (uint32_t i = 0; i < FS_DIRECT; i++)
        claim_all(c, number, inode.direct[i], i, 0);
    claim_all(c, number, inode.indirect, FS_DIRECT, 1);
    claim_all(c, number, inode.doubly, FS_DIRECT + FS_POINTERS, 2);
}

/* A name for a report of one line each. */
struct printable {
    char text[FS_NAME_MAX + 2];
};

static struct printable printable(const struct fs_dirent *entry)
{
    struct printable p = {""};
    for (uint32_t i = 0; i < sizeof(entry->name) && entry->name[i]; i++)
        p.text[i] = entry->name[i] >= ' ' && entry->name[i] <= '~' ? entry->name[i] : '?';
    return p;
}

static void check_name(struct check *c, uint32_t number, const struct fs_dirent *entry)
{
    const size_t n = strnlen(entry->name, sizeof(entry->name));
    const char *wrong = NULL;
    if (!n)
        wrong = "is empty";
    else if (n > FS_NAME_MAX)
        wrong = "does not end with a zero";
    else if (memchr(entry->name, '/', n))
        wrong = "has a slash";
    for (size_t i = n; i < sizeof(entry->name) && !wrong; i++) {
        if (entry->name[i])
            wrong = "is not filled up with zeros";
    }
    if (wrong)
        problem(c, "inode %u: the name \"%s\" %s", number, printable(entry).text, wrong);
}

/* The first two entries. */
static void check_dots(struct check *c, uint32_t number, uint32_t index,
                       const struct fs_dirent *entry)
{
    static const char dots[2][FS_NAME_MAX + 1] = {".", ".."};
    if (memcmp(entry->name, dots[index], sizeof(entry->name)))
        problem(c, "inode %u: entry %u is \"%s\", not \"%s\"", number, index, printable(entry).text,
                dots[index]);
    else if (!index && entry->inode != number)
        problem(c, "inode %u: \".\" is inode %u", number, entry->inode);
    if (index)
        c->facts[number].dotdot = entry->inode;
}

static void check_entry(struct check *c, uint32_t number, const struct fs_dirent *entry)
{
    if (!entry->inode)
        return;
    check_name(c, number, entry);
    if (!minnowfs_inode(c->image, number).links)
        problem(c, "inode %u: was removed, but has the entry \"%s\"", number,
                printable(entry).text);
    if (entry->inode >= c->super.inodes)
        return problem(c, "inode %u: \"%s\" is inode %u, which does not exist", number,
                       printable(entry).text, entry->inode);
    if (minnowfs_inode(c->image, entry->inode).type == FS_FREE)
        problem(c, "inode %u: \"%s\" is inode %u, which is free", number, printable(entry).text,
                entry->inode);
    c->facts[entry->inode].names++;
    c->facts[entry->inode].parent = number;
}

static int by_name(const void *a, const void *b)
{
    const struct fs_dirent *x = a, *y = b;
    return strncmp(x->name, y->name, sizeof(x->name));
}

/* Sorts the entries. */
static void check_twice(struct check *c, uint32_t number, struct fs_dirent *entries, uint32_t n)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (entries[i].inode)
            entries[used++] = entries[i];
    }
    qsort(entries, used, sizeof(*entries), by_name);
    for (uint32_t i = 1; i < used; i++) {
        if (!by_name(&entries[i - 1], &entries[i]))
            problem(c, "inode %u: has the name \"%s\" twice", number, printable(&entries[i]).text);
    }
}

static void check_directory(struct check *c, uint32_t number)
{
    const struct fs_inode inode = minnowfs_inode(c->image, number);
    uint32_t size = inode.size;
    if (size % sizeof(struct fs_dirent) || size < 2 * sizeof(struct fs_dirent))
        problem(c, "inode %u: a directory cannot have size %u", number, size);
    if (size > c->facts[number].readable * FS_BLOCK) {
        size = c->facts[number].readable * FS_BLOCK;
        problem(c, "inode %u: the directory has a hole at %u", number, size);
    }
    struct fs_dirent *entries = xrealloc(NULL, size + 1);
    const uint32_t n =
        minnowfs_read(c->image, number, 0, entries, size) / (uint32_t)sizeof(*entries);
    for (uint32_t i = 0; i < n; i++) {
        if (i < 2)
            check_dots(c, number, i, &entries[i]);
        else
            check_entry(c, number, &entries[i]);
    }
    check_twice(c, number, entries, n);
    free(entries);
}

static void check_root(struct check *c)
{
    const struct fs_inode inode = minnowfs_inode(c->image, FS_ROOT);
    const struct facts *f = &c->facts[FS_ROOT];
    if (inode.type != FS_DIRECTORY)
        return problem(c, "inode %u: the root is no directory", FS_ROOT);
    if (inode.links != 1)
        problem(c, "inode %u: the root has %u links, not 1", FS_ROOT, inode.links);
    if (f->names)
        problem(c, "inode %u: the root has a name in inode %u", FS_ROOT, f->parent);
    if (f->dotdot != FS_ROOT)
        problem(c, "inode %u: \"..\" of the root is inode %u", FS_ROOT, f->dotdot);
}

/* ".." of a directory that was removed but is still somebody's current one is never followed, and
 * the directory it was in may be gone as well: it may be any inode. */
static void check_dotdot(struct check *c, uint32_t number, bool removed)
{
    const struct facts *f = &c->facts[number];
    if (removed && (!f->dotdot || f->dotdot >= c->super.inodes))
        problem(c, "inode %u: \"..\" is inode %u, which does not exist", number, f->dotdot);
    else if (!removed && f->dotdot != f->parent)
        problem(c, "inode %u: \"..\" is inode %u, but its name is in inode %u", number, f->dotdot,
                f->parent);
}

static void check_links(struct check *c, uint32_t number)
{
    const struct fs_inode inode = minnowfs_inode(c->image, number);
    const uint32_t names = c->facts[number].names;
    if (inode.type == FS_FREE)
        return;
    if (inode.links != names)
        problem(c, "inode %u: has %u links, but %u names", number, inode.links, names);
    else if (inode.type == FS_DIRECTORY && names > 1)
        problem(c, "inode %u: the directory has %u names", number, names);
    else if (inode.type == FS_DIRECTORY)
        check_dotdot(c, number, !names);
    c->orphans += !inode.links;
}

/* Directories in each other, each with one name: no link is wrong, but no path leads there. */
static void check_loops(struct check *c)
{
    for (uint32_t n = FS_ROOT; n < c->super.inodes; n++) {
        uint32_t at = minnowfs_inode(c->image, n).type == FS_DIRECTORY ? n : 0;
        while (at && !c->facts[at].climbed) {
            c->facts[at].climbed = n;
            at = c->facts[at].parent;
        }
        if (at && c->facts[at].climbed == n)
            problem(c, "inode %u: the directory is below itself", at);
    }
}

/* Bits beyond the last block mean nothing: tv-mkfs clears them and the kernel leaves them. */
static void check_bitmap(struct check *c)
{
    const uint8_t *bitmap = block_at(c->image, c->super.bitmap_block);
    for (uint32_t b = 0; b < c->super.blocks; b++) {
        const bool used = bitmap[b / 8] >> b % 8 & 1;
        if (b < c->super.data_start && !used)
            problem(c, "block %u: belongs to the file system itself, but is free in the bitmap", b);
        else if (c->owner[b] && !used)
            problem(c, "block %u: belongs to inode %u, but is free in the bitmap", b, c->owner[b]);
        else if (b >= c->super.data_start && !c->owner[b] && used)
            problem(c, "block %u: is used in the bitmap, but belongs to nothing", b);
    }
}

static void check_all_inodes(struct check *c)
{
    const size_t size = c->super.inodes * sizeof(*c->facts);
    c->facts = xrealloc(NULL, size);
    memset(c->facts, 0, size);
    for (uint32_t n = 0; n < c->super.inodes; n++)
        check_inode(c, n);
    for (uint32_t n = FS_ROOT; n < c->super.inodes; n++) {
        if (minnowfs_inode(c->image, n).type == FS_DIRECTORY)
            check_directory(c, n);
    }
    check_root(c);
    for (uint32_t n = FS_ROOT + 1; n < c->super.inodes; n++)
        check_links(c, n);
    check_loops(c);
    check_bitmap(c);
    free(c->facts);
}

unsigned minnowfs_check(const uint8_t *image, size_t size, struct text *report, unsigned *orphans)
{
    struct check c = {.image = image, .report = report};
    if (super_is_sound(&c, size)) {
        check_super_rest(&c);
        check_log(&c);
        check_all_inodes(&c);
    }
    if (orphans)
        *orphans = c.orphans;
    return c.found;
}

int minnowfs_recover(uint8_t *image, size_t size)
{
    struct check c = {.image = image};
    if (super_is_sound(&c, size))
        check_log(&c);
    if (c.found)
        return -1;
    const struct fs_log_header h = log_of(image);
    uint8_t *header = image + (size_t)c.super.log_start * FS_BLOCK;
    for (uint32_t i = 0; i < h.count; i++)
        memcpy(image + (size_t)h.home[i] * FS_BLOCK, header + (size_t)(i + 1) * FS_BLOCK, FS_BLOCK);
    if (h.count)
        memset(header, 0, FS_SECTOR);
    return (int)h.count;
}
