/* Images of Minnow's file system: good ones, and each kind of damage by the line that names it. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/minnowfs.h"

#define BIG_SIZE ((FS_DIRECT + FS_POINTERS + 2) * FS_BLOCK + 5) /* all three kinds of pointers */
#define INODES 16u

/* An image without a free block, so that no pointer can go wrong and still be right. */
struct disk {
    uint8_t *image;
    size_t size;
    struct fs_super *super;
};

static uint8_t big_byte(uint32_t at)
{
    return (uint8_t)(at * 2654435761u >> 24);
}

static void write_in(const char *folder, const char *name, const void *bytes, size_t n)
{
    char *path = xasprintf("%s/%s", folder, name);
    write_file(path, bytes, n);
    free(path);
}

static char *make_folder(void)
{
    static uint8_t big[BIG_SIZE];
    char *folder = xasprintf("/tmp/tv-minnowfs-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    char *deep = xasprintf("%s/dir/sub", folder);
    make_dirs(deep);
    free(deep);
    for (uint32_t i = 0; i < BIG_SIZE; i++)
        big[i] = big_byte(i);
    write_in(folder, "big", big, sizeof(big));
    write_in(folder, "empty", "", 0);
    write_in(folder, "note", "hello\n", 6);
    write_in(folder, "dir/inner", "inside", 6);
    return folder;
}

static uint8_t *make(const char *folder, uint32_t blocks)
{
    char *error;
    uint8_t *image = minnowfs_make(folder, blocks, INODES, &error);
    cr_assert_not_null(image, "%s", error);
    return image;
}

static struct disk disk_of(uint8_t *image, uint32_t blocks)
{
    return (struct disk){image, (size_t)blocks * FS_BLOCK, (struct fs_super *)image};
}

static struct disk disk_new(void)
{
    char *folder = make_folder();
    struct disk d = disk_of(make(folder, 1024), 1024);
    const uint8_t *bitmap = d.image + (size_t)d.super->bitmap_block * FS_BLOCK;
    uint32_t used = d.super->data_start;
    while (bitmap[used / 8] >> used % 8 & 1)
        used++;
    free(d.image);
    d = disk_of(make(folder, used), used);
    remove_tree(folder);
    free(folder);
    return d;
}

static void *block_of(const struct disk *d, uint32_t block)
{
    return d->image + (size_t)block * FS_BLOCK;
}

static struct fs_inode *inode_of(const struct disk *d, uint32_t number)
{
    return (struct fs_inode *)block_of(d, d->super->inode_start) + number;
}

static uint32_t number_of(const struct disk *d, const char *path)
{
    const uint32_t number = minnowfs_find(d->image, path);
    cr_assert_neq(number, 0, "no %s", path);
    return number;
}

static struct fs_inode *inode_at(const struct disk *d, const char *path)
{
    return inode_of(d, number_of(d, path));
}

static struct fs_dirent *entries_of(const struct disk *d, const char *path)
{
    return block_of(d, inode_at(d, path)->direct[0]);
}

static struct fs_dirent *entry_of(const struct disk *d, const char *folder, const char *name)
{
    struct fs_dirent *entry = entries_of(d, folder);
    while (strcmp(entry->name, name))
        entry++;
    return entry;
}

static void set_bit(const struct disk *d, uint32_t block, bool used)
{
    uint8_t *bitmap = block_of(d, d->super->bitmap_block);
    bitmap[block / 8] &= (uint8_t) ~(1u << block % 8);
    bitmap[block / 8] |= (uint8_t)(used << block % 8);
}

/* Gives the folder one more entry. */
static void add_name(const struct disk *d, const char *folder, const char *name, uint32_t number)
{
    struct fs_inode *inode = inode_at(d, folder);
    struct fs_dirent *entry = entries_of(d, folder) + inode->size / sizeof(*entry);
    *entry = (struct fs_dirent){.inode = number};
    strcpy(entry->name, name);
    inode->size += sizeof(*entry);
}

static void erase_name(const struct disk *d, const char *folder, const char *name)
{
    *entry_of(d, folder, name) = (struct fs_dirent){0};
}

static void expect_clean(const struct disk *d, unsigned removed)
{
    struct text report = {0};
    unsigned orphans = 99;
    const unsigned n = minnowfs_check(d->image, d->size, &report, &orphans);
    cr_expect_eq(n, 0, "%s", report.text);
    cr_expect_eq(orphans, removed, "%u removed files", orphans);
    text_free(&report);
}

/* The report must have the line, and each problem a line. Ends the disk. */
static void expect_line(struct disk *d, const char *line)
{
    struct text report = {0};
    unsigned lines = 0;
    const unsigned n = minnowfs_check(d->image, d->size, &report, NULL);
    cr_assert_neq(n, 0, "not found: %s", line);
    for (const char *c = report.text; *c; c++)
        lines += *c == '\n';
    cr_expect_eq(lines, n < MINNOWFS_REPORTED ? n : MINNOWFS_REPORTED);
    cr_expect(strstr(report.text, line), "no \"%s\" in:\n%s", line, report.text);
    text_free(&report);
    free(d->image);
}

/* EXPECT_DAMAGE(what to do to the disk d, what the report says). */
#define EXPECT_DAMAGE(damage, line)                                                                \
    do {                                                                                           \
        struct disk d = disk_new();                                                                \
        damage;                                                                                    \
        expect_line(&d, line);                                                                     \
    } while (0)

Test(minnowfs, a_made_image_is_clean_and_reads_back)
{
    struct disk d = disk_new();
    static uint8_t big[BIG_SIZE + 10];
    char text[16] = "";
    expect_clean(&d, 0);
    const uint32_t number = number_of(&d, "/big");
    cr_expect_neq(inode_of(&d, number)->doubly, 0, "the test wants a doubly indirect block");
    cr_expect_eq(minnowfs_read(d.image, number, 0, big, sizeof(big)), BIG_SIZE);
    for (uint32_t i = 0; i < BIG_SIZE; i++)
        cr_assert_eq(big[i], big_byte(i), "byte %u", i);
    cr_expect_eq(minnowfs_read(d.image, number, BIG_SIZE - 3, big, 100), 3);
    cr_expect_eq(big[0], big_byte(BIG_SIZE - 3));
    cr_expect_eq(minnowfs_read(d.image, number, BIG_SIZE, big, 1), 0);
    cr_expect_eq(minnowfs_read(d.image, number_of(&d, "/dir/inner"), 2, text, sizeof(text)), 4);
    cr_expect_str_eq(text, "side");
    cr_expect_eq(minnowfs_inode(d.image, number_of(&d, "/empty")).size, 0);
    cr_expect_eq(minnowfs_inode(d.image, INODES).type, FS_FREE, "no such inode");
    free(d.image);
}

Test(minnowfs, paths)
{
    struct disk d = disk_new();
    const uint32_t inner = number_of(&d, "/dir/inner");
    cr_expect_eq(minnowfs_find(d.image, "/"), FS_ROOT);
    cr_expect_eq(minnowfs_find(d.image, "//dir//sub/../inner"), inner);
    cr_expect_eq(minnowfs_find(d.image, "dir/./inner"), inner);
    cr_expect_eq(minnowfs_find(d.image, "/../dir/"), number_of(&d, "/dir"));
    const char *const missing[] = {"", "/di", "/dirr", "/note/x", "/dir/inner/..", "/nothing/note"};
    for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++)
        cr_expect_eq(minnowfs_find(d.image, missing[i]), 0, "%s", missing[i]);
    cr_expect_eq(minnowfs_find(d.image, "/a-name-of-more-than-27-characters"), 0);
    free(d.image);
}

/* What the kernel does to a disk in its ordinary life. */
Test(minnowfs, a_used_disk_is_clean)
{
    struct disk d = disk_new();
    struct fs_inode *note = inode_at(&d, "/note");
    add_name(&d, "/dir", "again", number_of(&d, "/note"));
    note->links = 2;
    expect_clean(&d, 0);
    note->size = 0; /* a write failed half-way: the block stays beyond the size */
    expect_clean(&d, 0);
    set_bit(&d, note->direct[0], false);
    note->direct[0] = 0;
    note->size = 5000; /* a hole */
    expect_clean(&d, 0);
    uint8_t bytes[8] = {1, 2, 3};
    cr_expect_eq(minnowfs_read(d.image, number_of(&d, "/note"), 4995, bytes, 8), 5);
    cr_expect_eq(bytes[0] | bytes[1] | bytes[2], 0, "a hole reads as zeros");
    struct fs_log_header *log = block_of(&d, d.super->log_start);
    log->home[3] = 0xFFFFFFFF; /* left there by a log that is empty now */
    expect_clean(&d, 0);
    ((uint8_t *)block_of(&d, d.super->bitmap_block))[FS_BLOCK - 1] = 0xFF; /* of no block */
    expect_clean(&d, 0);
    free(d.image);
}

Test(minnowfs, removed_but_open_is_no_damage)
{
    struct disk d = disk_new();
    struct fs_inode *note = inode_at(&d, "/note"), *sub = inode_at(&d, "/dir/sub");
    struct fs_dirent *dots = entries_of(&d, "/dir/sub");
    erase_name(&d, "/", "note");
    note->links = 0;
    expect_clean(&d, 1);
    erase_name(&d, "/dir", "sub");
    sub->links = 0;
    dots[1].inode = 9; /* the directory above was removed, and its inode is free */
    expect_clean(&d, 2);
    dots[1].inode = INODES;
    expect_line(&d, "\"..\" is inode 16, which does not exist");
}

Test(minnowfs, orphans_are_checked_too)
{
    struct disk d = disk_new();
    struct fs_inode *sub = inode_at(&d, "/dir/sub");
    add_name(&d, "/dir/sub", "x", number_of(&d, "/note"));
    inode_at(&d, "/note")->links = 2;
    erase_name(&d, "/dir", "sub");
    sub->links = 0;
    expect_line(&d, "was removed, but has the entry \"x\"");
    d = disk_new();
    struct fs_inode *note = inode_at(&d, "/note");
    note->links = 0;
    erase_name(&d, "/", "note");
    set_bit(&d, note->direct[0], false);
    expect_line(&d, "is free in the bitmap");
}

Test(minnowfs, damaged_superblock)
{
    EXPECT_DAMAGE(d.super->magic ^= 1, "superblock: magic");
    EXPECT_DAMAGE(d.super->version = 2, "superblock: version 2");
    EXPECT_DAMAGE(d.super->block_size = 512, "superblock: block_size");
    EXPECT_DAMAGE(d.super->blocks++, "but the image has only");
    EXPECT_DAMAGE(d.super->blocks = FS_BLOCKS_MAX + 1, "superblock: blocks 8193");
    EXPECT_DAMAGE(d.super->blocks = 50, "superblock: data_start");
    EXPECT_DAMAGE(d.super->log_blocks = 24, "superblock: log_blocks 24");
    EXPECT_DAMAGE(d.super->log_blocks = FS_LOG_MAX + 2, "superblock: log_blocks 98");
    EXPECT_DAMAGE(d.super->log_blocks--, "is in no area");
    EXPECT_DAMAGE(d.super->log_start = 0, "superblock: the log area overlaps");
    EXPECT_DAMAGE(d.super->log_start = 0xFFFFFFFF,
                  "superblock: the log area, 97 blocks from 4294967295");
    EXPECT_DAMAGE(d.super->inode_start = 0xFFFFFF00, "superblock: the inode area, 1 blocks");
    EXPECT_DAMAGE(d.super->inodes += INODES, "superblock: the bitmap area overlaps");
    EXPECT_DAMAGE(d.super->inodes = 0, "superblock: inodes 0");
    EXPECT_DAMAGE(d.super->inodes++, "superblock: inodes 17");
    EXPECT_DAMAGE(d.super->inodes = 0xFFFFFFF0, "superblock: the inode area");
    EXPECT_DAMAGE(d.super->bitmap_block = 5, "superblock: the bitmap area overlaps");
    EXPECT_DAMAGE(d.super->bitmap_block = d.super->data_start,
                  "superblock: the bitmap area, 1 block");
    EXPECT_DAMAGE(d.super->data_start++, "is in no area");
    EXPECT_DAMAGE(d.super->data_start = 0, "superblock: the log area");
    EXPECT_DAMAGE(d.image[1000] = 1, "superblock: byte 1000");
}

/* Every prefix of a good image is too short. */
Test(minnowfs, short_images)
{
    struct disk d = disk_new();
    const size_t sizes[] = {0, 1, 40, FS_BLOCK - 1, FS_BLOCK, d.size - 1};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *cut = malloc(sizes[i] + !sizes[i]);
        memcpy(cut, d.image, sizes[i]);
        cr_expect_eq(minnowfs_check(cut, sizes[i], NULL, NULL), 1, "%zu", sizes[i]);
        cr_expect_eq(minnowfs_recover(cut, sizes[i]), -1, "%zu", sizes[i]);
        free(cut);
    }
    free(d.image);
}

Test(minnowfs, damaged_inodes)
{
    EXPECT_DAMAGE(inode_of(&d, 0)->size = 1, "inode 0: is never used, but not zero");
    EXPECT_DAMAGE(inode_of(&d, 12)->doubly = 200, "inode 12: is free, but not zero");
    EXPECT_DAMAGE(inode_at(&d, "/note")->type = 3, "type 3 is not known");
    EXPECT_DAMAGE(inode_at(&d, "/note")->type = FS_FREE, "is free, but not zero");
    EXPECT_DAMAGE(inode_at(&d, "/note")->type = FS_DIRECTORY, "cannot have size 6");
    EXPECT_DAMAGE(inode_at(&d, "/note")->size = FS_FILE_BLOCKS * FS_BLOCK + 1, "the largest file");
    EXPECT_DAMAGE(inode_of(&d, FS_ROOT)->type = FS_FILE, "inode 1: the root is no directory");
    EXPECT_DAMAGE(inode_of(&d, FS_ROOT)->links = 0, "inode 1: the root has 0 links");
    EXPECT_DAMAGE(inode_at(&d, "/note")->links = 2, "has 2 links, but 1 names");
    EXPECT_DAMAGE(inode_at(&d, "/note")->links = 0, "has 0 links, but 1 names");
    EXPECT_DAMAGE(inode_at(&d, "/dir")->links = 0, "has 0 links, but 1 names");
}

Test(minnowfs, damaged_pointers)
{
    struct fs_inode *big;
    const char *outside = "is not in the data area", *twice = "is used twice";
    EXPECT_DAMAGE(inode_at(&d, "/note")->direct[0] = d.super->blocks, outside);
    EXPECT_DAMAGE(inode_at(&d, "/note")->direct[3] = 0xFFFFFFFF, outside);
    EXPECT_DAMAGE(inode_at(&d, "/note")->direct[11] = d.super->data_start - 1, outside);
    EXPECT_DAMAGE(inode_at(&d, "/note")->indirect = 1, outside);
    EXPECT_DAMAGE(inode_at(&d, "/note")->doubly = 0x80000000, outside);
    EXPECT_DAMAGE((big = inode_at(&d, "/big"), big->direct[2] = big->direct[1]), twice);
    EXPECT_DAMAGE((big = inode_at(&d, "/big"), big->doubly = big->indirect), twice);
    EXPECT_DAMAGE((big = inode_at(&d, "/big"), inode_at(&d, "/note")->direct[0] = big->indirect),
                  twice);
    EXPECT_DAMAGE(
        (big = inode_at(&d, "/big"), ((uint32_t *)block_of(&d, big->indirect))[7] = big->indirect),
        twice);
    EXPECT_DAMAGE((big = inode_at(&d, "/big"),
                   ((uint32_t *)block_of(&d, big->doubly))[1] = d.super->bitmap_block),
                  outside);
    EXPECT_DAMAGE((big = inode_at(&d, "/big"),
                   ((uint32_t *)block_of(&d, *(uint32_t *)block_of(&d, big->doubly)))[200] = 7),
                  outside);
    EXPECT_DAMAGE(inode_at(&d, "/note")->direct[0] = 0,
                  "used in the bitmap, but belongs to nothing");
}

Test(minnowfs, damaged_bitmap)
{
    EXPECT_DAMAGE(set_bit(&d, inode_at(&d, "/note")->direct[0], false), "is free in the bitmap");
    EXPECT_DAMAGE(set_bit(&d, inode_at(&d, "/big")->indirect, false), "is free in the bitmap");
    EXPECT_DAMAGE(set_bit(&d, 0, false), "block 0: belongs to the file system itself");
    EXPECT_DAMAGE(set_bit(&d, d.super->data_start - 1, false), "belongs to the file system itself");
    struct disk d = disk_new();
    struct fs_inode *big = inode_at(&d, "/big");
    const uint32_t block = big->direct[4];
    big->direct[4] = 0;
    set_bit(&d, block, false);
    expect_clean(&d, 0);
    set_bit(&d, block, true);
    expect_line(&d, "belongs to nothing");
}

Test(minnowfs, damaged_directories)
{
    EXPECT_DAMAGE(inode_at(&d, "/dir")->size--, "cannot have size 127");
    EXPECT_DAMAGE(inode_at(&d, "/dir")->size = 32, "cannot have size 32");
    EXPECT_DAMAGE(inode_at(&d, "/dir")->size = 0, "cannot have size 0");
    EXPECT_DAMAGE(inode_at(&d, "/dir")->size = 0xFFFFFFE0, "has a hole at 1024");
    EXPECT_DAMAGE(inode_at(&d, "/dir")->direct[0] = 0, "has a hole at 0");
    EXPECT_DAMAGE(entries_of(&d, "/dir")[0].inode = 1, "\".\" is inode 1");
    EXPECT_DAMAGE(entries_of(&d, "/dir")[0].name[0] = 'x', "entry 0 is \"x\", not \".\"");
    EXPECT_DAMAGE(entries_of(&d, "/dir")[0].name[20] = 'x', "entry 0 is \".\", not \".\"");
    EXPECT_DAMAGE(entries_of(&d, "/dir")[1].inode = 4, "\"..\" is inode 4, but its name");
    EXPECT_DAMAGE(entries_of(&d, "/dir")[1].inode = 0, "\"..\" is inode 0, but its name");
    EXPECT_DAMAGE(entries_of(&d, "/dir")[1].name[2] = '.', "entry 1 is \"...\"");
    EXPECT_DAMAGE(entries_of(&d, "/")[1].inode = 3, "\"..\" of the root is inode 3");
}

Test(minnowfs, damaged_names)
{
    EXPECT_DAMAGE(entry_of(&d, "/", "note")->name[0] = 0, "the name \"\" is empty");
    EXPECT_DAMAGE(entry_of(&d, "/", "note")->name[1] = '/', "the name \"n/te\" has a slash");
    EXPECT_DAMAGE(entry_of(&d, "/", "note")->name[27] = 'x', "\"note\" is not filled up");
    EXPECT_DAMAGE(memset(entry_of(&d, "/", "note")->name, 'y', 28), "does not end with a zero");
    EXPECT_DAMAGE(memcpy(entry_of(&d, "/", "note")->name, "a\n/b", 4), "\"a?/b\" has a slash");
    EXPECT_DAMAGE(strcpy(entry_of(&d, "/", "note")->name, "dir"), "has the name \"dir\" twice");
    EXPECT_DAMAGE(add_name(&d, "/dir", ".", FS_ROOT), "has the name \".\" twice");
}

Test(minnowfs, damaged_tree)
{
    EXPECT_DAMAGE(entry_of(&d, "/", "note")->inode = INODES,
                  "\"note\" is inode 16, which does not");
    EXPECT_DAMAGE(entry_of(&d, "/", "note")->inode = 0xFFFFFFFF, "which does not exist");
    EXPECT_DAMAGE(entry_of(&d, "/", "note")->inode = 12, "\"note\" is inode 12, which is free");
    EXPECT_DAMAGE(erase_name(&d, "/", "note"), "has 1 links, but 0 names");
    EXPECT_DAMAGE(erase_name(&d, "/", "dir"), "has 1 links, but 0 names");
    EXPECT_DAMAGE(add_name(&d, "/dir", "more", number_of(&d, "/note")), "has 1 links, but 2 names");
    EXPECT_DAMAGE(
        (add_name(&d, "/", "more", number_of(&d, "/dir/sub")), inode_at(&d, "/dir/sub")->links = 2),
        "the directory has 2 names");
    EXPECT_DAMAGE(add_name(&d, "/dir", "top", FS_ROOT), "the root has a name in inode");
    struct disk d = disk_new();
    const uint32_t dir = number_of(&d, "/dir"), sub = number_of(&d, "/dir/sub");
    add_name(&d, "/dir/sub", "up", dir);
    entries_of(&d, "/dir")[1].inode = sub;
    erase_name(&d, "/", "dir");
    expect_line(&d, "the directory is below itself");
}

/* The second half of the report is only counted. */
Test(minnowfs, a_report_has_an_end)
{
    EXPECT_DAMAGE(memset(block_of(&d, d.super->bitmap_block), 0, FS_BLOCK), "block 0: ");
}

/* Puts a new "note" of the root and its size into the log. */
static uint32_t fill_log(const struct disk *d)
{
    const uint32_t number = number_of(d, "/note");
    const uint32_t home[] = {inode_at(d, "/note")->direct[0], d->super->inode_start};
    struct fs_log_header *log = block_of(d, d->super->log_start);
    for (uint32_t i = 0; i < 2; i++) {
        log->home[i] = home[i];
        memcpy(block_of(d, d->super->log_start + 1 + i), block_of(d, home[i]), FS_BLOCK);
    }
    memcpy(block_of(d, d->super->log_start + 1), "HELLO AGAIN", 11);
    ((struct fs_inode *)block_of(d, d->super->log_start + 2))[number].size = 11;
    log->count = 2;
    return number;
}

Test(minnowfs, a_log_is_copied_home_once)
{
    struct disk d = disk_new();
    char text[20] = "";
    const uint32_t number = fill_log(&d);
    expect_clean(&d, 0);
    cr_expect_eq(minnowfs_inode(d.image, number).size, 6);
    cr_expect_eq(minnowfs_recover(d.image, d.size), 2);
    expect_clean(&d, 0);
    cr_expect_eq(minnowfs_read(d.image, number, 0, text, sizeof(text)), 11);
    cr_expect_str_eq(text, "HELLO AGAIN");
    uint8_t *copy = malloc(d.size);
    memcpy(copy, d.image, d.size);
    cr_expect_eq(minnowfs_recover(d.image, d.size), 0, "the log is empty now");
    cr_expect_arr_eq(copy, d.image, d.size, "and nothing changes any more");
    free(copy);
    free(d.image);
}

/* A power cut while the log is copied home: it is copied again. */
Test(minnowfs, recovery_may_be_interrupted)
{
    struct disk d = disk_new(), once;
    fill_log(&d);
    once = disk_of(malloc(d.size), d.super->blocks);
    memcpy(once.image, d.image, d.size);
    cr_expect_eq(minnowfs_recover(once.image, once.size), 2);
    const struct fs_log_header *log = block_of(&d, d.super->log_start);
    memcpy(block_of(&d, log->home[0]), block_of(&d, d.super->log_start + 1), FS_BLOCK);
    memset(block_of(&d, log->home[1]), 0xAA, FS_BLOCK / 2);
    cr_expect_eq(minnowfs_recover(d.image, d.size), 2);
    cr_expect_arr_eq(once.image, d.image, d.size);
    free(once.image);
    free(d.image);
}

static void expect_refused(struct disk *d, const char *line)
{
    uint8_t *copy = malloc(d->size);
    memcpy(copy, d->image, d->size);
    cr_expect_eq(minnowfs_recover(d->image, d->size), -1, "not refused: %s", line);
    cr_expect_arr_eq(copy, d->image, d->size, "changed: %s", line);
    free(copy);
    expect_line(d, line);
}

/* EXPECT_REFUSED(what to do to the filled log, what the report says). */
#define EXPECT_REFUSED(damage, line)                                                               \
    do {                                                                                           \
        struct disk d = disk_new();                                                                \
        fill_log(&d);                                                                              \
        struct fs_log_header *log = block_of(&d, d.super->log_start);                              \
        damage;                                                                                    \
        expect_refused(&d, line);                                                                  \
    } while (0)

Test(minnowfs, a_damaged_log_is_refused)
{
    EXPECT_REFUSED(log->count = FS_LOG_MAX + 1, "log: count 97");
    EXPECT_REFUSED(log->count = 0xFFFFFFFF, "log: count 4294967295");
    EXPECT_REFUSED(log->home[1] = d.super->blocks, "log: home[1]");
    EXPECT_REFUSED(log->home[0] = 0xFFFFFFFF, "log: home[0] is block 4294967295");
    EXPECT_REFUSED(log->home[0] = 0, "log: home[0] is block 0");
    EXPECT_REFUSED(log->home[0] = d.super->log_start, "log: home[0] is block 1, ");
    EXPECT_REFUSED(log->home[1] = d.super->log_start + 96, "log: home[1] is block 97, ");
    EXPECT_REFUSED(log->home[1] = log->home[0], "log: home[0] and home[1] are the same");
    EXPECT_REFUSED((log->count = 3, log->home[2] = 0), "log: home[2] is block 0");
    EXPECT_REFUSED((log->count = 1, d.super->magic = 0), "superblock: magic");
    EXPECT_REFUSED((log->count = 1, d.super->log_start = 3), "superblock: the inode area overlaps");
}

/* Flips every bit of a range; each must be found, or make an orphan that is counted. */
static void flip_each(const struct disk *d, const void *from, size_t n, const char *what)
{
    uint8_t *bytes = d->image + ((const uint8_t *)from - d->image);
    for (size_t bit = 0; bit < n * 8; bit++) {
        unsigned orphans;
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (!minnowfs_check(d->image, d->size, NULL, &orphans) && !orphans)
            cr_expect_fail("%s: bit %zu can be flipped", what, bit);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* But for sizes and names, in which many values are as right as the true one. */
Test(minnowfs, no_bit_of_the_metadata_is_unguarded)
{
    struct disk d = disk_new();
    const struct fs_inode *big = inode_at(&d, "/big");
    flip_each(&d, d.super, FS_BLOCK, "superblock");
    flip_each(&d, block_of(&d, d.super->log_start), 4, "count of the log");
    flip_each(&d, block_of(&d, d.super->bitmap_block), d.super->blocks / 8, "bitmap");
    for (uint32_t n = 0; n < INODES; n++) {
        const struct fs_inode *inode = inode_of(&d, n);
        flip_each(&d, inode, offsetof(struct fs_inode, size), "type and links");
        flip_each(&d, inode->direct, sizeof(*inode) - offsetof(struct fs_inode, direct),
                  "pointers of an inode");
        if (!inode->type)
            flip_each(&d, &inode->size, sizeof(inode->size), "size of a free inode");
    }
    flip_each(&d, block_of(&d, big->indirect), FS_BLOCK, "block of pointers");
    flip_each(&d, block_of(&d, big->doubly), FS_BLOCK, "block of blocks of pointers");
    flip_each(&d, block_of(&d, *(uint32_t *)block_of(&d, big->doubly)), FS_BLOCK, "the last level");
    const char *const folders[] = {"/", "/dir", "/dir/sub"};
    for (int f = 0; f < 3; f++) {
        const struct fs_dirent *entry = entries_of(&d, folders[f]);
        flip_each(&d, entry, 2 * sizeof(*entry), "the dots");
        for (entry += 2; entry->inode; entry++) {
            const size_t n = strlen(entry->name) + 1;
            flip_each(&d, &entry->inode, sizeof(entry->inode), "inode of an entry");
            flip_each(&d, entry->name + n, sizeof(entry->name) - n, "behind a name");
        }
    }
    expect_clean(&d, 0);
    free(d.image);
}

/* xorshift: the same mutations in every run. */
static uint32_t chance(uint32_t *seed, uint32_t below)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed % below;
}

/* A place where damage is interesting: mostly metadata and the contents of directories. */
static uint32_t place(const struct disk *d, uint32_t *seed)
{
    const struct fs_inode *big = inode_of(d, 2);
    const uint32_t blocks[] = {0,
                               d->super->log_start,
                               d->super->inode_start,
                               d->super->inode_start,
                               d->super->bitmap_block,
                               inode_of(d, FS_ROOT)->direct[0],
                               inode_of(d, 3)->direct[0],
                               big->indirect,
                               big->doubly,
                               chance(seed, d->super->blocks)};
    const uint32_t kind = chance(seed, sizeof(blocks) / sizeof(blocks[0]));
    const uint32_t within = kind == 0 ? sizeof(struct fs_super) : kind < 7 ? 256 : FS_BLOCK;
    return blocks[kind] * FS_BLOCK + chance(seed, within / 4) * 4;
}

static void mutate(const struct disk *d, uint8_t *image, uint32_t *seed)
{
    const uint32_t likely[] = {0, 1, 2, 3, 5, 31, 32, 0x10002, 0x7FFFFFFF, 0xFFFFFFFF};
    for (uint32_t n = 1 + chance(seed, 4); n; n--) {
        uint8_t *at = image + place(d, seed);
        uint32_t value;
        switch (chance(seed, 4)) {
        case 0:
            value = likely[chance(seed, sizeof(likely) / sizeof(likely[0]))];
            break;
        case 1:
            value = chance(seed, d->super->blocks + 2); /* a block, perhaps a used one */
            break;
        case 2:
            memcpy(&value, at, 4);
            value ^= 1u << chance(seed, 32);
            break;
        default:
            memcpy(&value, d->image + place(d, seed), 4); /* what is right elsewhere */
        }
        memcpy(at, &value, 4);
    }
}

/* All functions on a damaged image; the sanitizers watch. */
static void use(uint8_t *image, size_t size)
{
    const char *const paths[] = {"/note", "/dir/inner", "/dir/sub/../../big", "/../dir/x"};
    uint8_t bytes[3000];
    struct text report = {0};
    minnowfs_check(image, size, &report, NULL);
    text_free(&report);
    if (minnowfs_recover(image, size) < 0)
        return;
    minnowfs_check(image, size, NULL, NULL);
    cr_assert_eq(minnowfs_recover(image, size), 0, "an empty log stays empty");
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        const uint32_t number = minnowfs_find(image, paths[i]);
        const uint32_t last = minnowfs_inode(image, number).size - sizeof(bytes) / 2;
        minnowfs_read(image, number, last, bytes, sizeof(bytes));
        minnowfs_read(image, number, 0, bytes, sizeof(bytes));
    }
}

Test(minnowfs, no_damage_breaks_the_checker)
{
    struct disk d = disk_new();
    uint8_t *image = malloc(d.size);
    uint32_t seed = 20240229, noticed = 0;
    const uint32_t rounds = 6000;
    fill_log(&d);
    for (uint32_t i = 0; i < rounds; i++) {
        memcpy(image, d.image, d.size);
        mutate(&d, image, &seed);
        noticed += minnowfs_check(image, d.size, NULL, NULL) != 0;
        use(image, d.size);
    }
    cr_expect_gt(noticed, rounds / 2, "%u of %u were noticed", noticed, rounds);
    free(image);
    free(d.image);
}

/* Many inodes with one block of pointers to itself: the work must not multiply. */
Test(minnowfs, a_knot_of_pointers_is_not_followed, .timeout = 20)
{
    struct disk d = disk_new();
    const uint32_t knot = d.super->blocks - 1;
    uint32_t *pointers = block_of(&d, knot);
    for (uint32_t i = 0; i < FS_POINTERS; i++)
        pointers[i] = knot;
    for (uint32_t n = FS_ROOT + 1; n < INODES; n++)
        *inode_of(&d, n) = (struct fs_inode){FS_DIRECTORY, 1, 0xFFFFFFE0, {0}, knot, knot};
    cr_expect_eq(minnowfs_find(d.image, "/dir/x"), 0);
    expect_line(&d, "is used twice");
}
