/* Making an image of Minnow's file system from a folder. */
#include "minnowfs.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct maker {
    uint8_t *image;
    struct fs_super *super;
    uint32_t next_block, next_inode;
    char *error; /* the first one; nothing is done after it */
};

static void fail(struct maker *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct maker *m, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (!m->error)
        m->error = xvasprintf(fmt, ap);
    va_end(ap);
}

static void *block_at(struct maker *m, uint32_t block)
{
    return m->image + (size_t)block * FS_BLOCK;
}

static struct fs_inode *inode_at(struct maker *m, uint32_t number)
{
    return (struct fs_inode *)block_at(m, m->super->inode_start) + number;
}

static uint32_t take_block(struct maker *m)
{
    if (m->next_block == m->super->blocks) {
        fail(m, "the image is too small (%u blocks of %u bytes)", m->super->blocks, FS_BLOCK);
        return 0;
    }
    const uint32_t n = m->next_block++;
    ((uint8_t *)block_at(m, m->super->bitmap_block))[n / 8] |= (uint8_t)(1u << n % 8);
    return n;
}

static uint32_t take_inode(struct maker *m, enum fs_type type)
{
    if (m->next_inode == m->super->inodes) {
        fail(m, "the image has too few inodes (%u)", m->super->inodes);
        return 0;
    }
    *inode_at(m, m->next_inode) = (struct fs_inode){.type = (uint16_t)type, .links = 1};
    return m->next_inode++;
}

/* The pointer in place `index` of the block of pointers *block, which is made if need be; NULL:
 * the image is full. */
static uint32_t *pointer_in(struct maker *m, uint32_t *block, uint32_t index)
{
    if (!*block)
        *block = take_block(m);
    return *block ? (uint32_t *)block_at(m, *block) + index : NULL;
}

static uint32_t *pointer_to(struct maker *m, struct fs_inode *inode, uint32_t n)
{
    if (n < FS_DIRECT)
        return &inode->direct[n];
    n -= FS_DIRECT;
    if (n < FS_POINTERS)
        return pointer_in(m, &inode->indirect, n);
    n -= FS_POINTERS;
    uint32_t *first = pointer_in(m, &inode->doubly, n / FS_POINTERS);
    return first ? pointer_in(m, first, n % FS_POINTERS) : NULL;
}

/* Give an empty file its contents. */
static void fill(struct maker *m, uint32_t number, const void *bytes, size_t size)
{
    struct fs_inode *inode = inode_at(m, number);
    if (size > (size_t)FS_FILE_BLOCKS * FS_BLOCK)
        fail(m, "a file of %zu bytes is larger than the file system allows", size);
    for (size_t done = 0; done < size && !m->error; done += FS_BLOCK) {
        uint32_t *block = pointer_to(m, inode, (uint32_t)(done / FS_BLOCK));
        if (block && (*block = take_block(m)))
            memcpy(block_at(m, *block), (const uint8_t *)bytes + done,
                   size - done < FS_BLOCK ? size - done : FS_BLOCK);
    }
    inode->size = (uint32_t)size;
}

static void add_name(struct maker *m, struct text *entries, const char *name, uint32_t number)
{
    struct fs_dirent entry = {.inode = number};
    if (strlen(name) > FS_NAME_MAX)
        return fail(m, "the name %s has more than %u characters", name, FS_NAME_MAX);
    memcpy(entry.name, name, strlen(name));
    text_add(entries, (const char *)&entry, sizeof(entry));
}

static int visible(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void add_folder(struct maker *m, const char *path, uint32_t number, uint32_t parent);

static uint32_t add_file(struct maker *m, const char *path, uint32_t parent)
{
    struct stat st;
    uint32_t number = 0;
    if (lstat(path, &st)) {
        fail(m, "%s: %s", path, strerror(errno));
    } else if (S_ISDIR(st.st_mode)) {
        number = take_inode(m, FS_DIRECTORY);
        if (number)
            add_folder(m, path, number, parent);
    } else if (S_ISREG(st.st_mode)) {
        size_t size;
        char *bytes = read_file(path, &size);
        number = take_inode(m, FS_FILE);
        if (!bytes)
            fail(m, "%s: %s", path, strerror(errno));
        else if (number)
            fill(m, number, bytes, size);
        free(bytes);
    } else {
        fail(m, "%s is neither a file nor a folder", path);
    }
    return number;
}

static void add_folder(struct maker *m, const char *path, uint32_t number, uint32_t parent)
{
    struct text entries = {0};
    struct dirent **list;
    const int n = scandir(path, &list, visible, by_bytes);
    if (n < 0)
        return fail(m, "%s: %s", path, strerror(errno));
    add_name(m, &entries, ".", number);
    add_name(m, &entries, "..", parent);
    for (int i = 0; i < n; i++) {
        char *below = xasprintf("%s/%s", path, list[i]->d_name);
        if (!m->error)
            add_name(m, &entries, list[i]->d_name, add_file(m, below, number));
        free(below);
        free(list[i]);
    }
    free(list);
    if (!m->error)
        fill(m, number, entries.text, entries.len);
    text_free(&entries);
}

/* Where everything is; the image holds at least that much. */
static struct fs_super plan(uint32_t blocks, uint32_t inodes)
{
    struct fs_super s = {FS_MAGIC, FS_VERSION, FS_BLOCK, blocks, .log_start = 1};
    s.inodes = (inodes + FS_INODES_PER_BLOCK - 1) / FS_INODES_PER_BLOCK * FS_INODES_PER_BLOCK;
    s.log_blocks = 1 + FS_LOG_MAX;
    s.inode_start = s.log_start + s.log_blocks;
    s.bitmap_block = s.inode_start + s.inodes / FS_INODES_PER_BLOCK;
    s.data_start = s.bitmap_block + 1;
    return s;
}

uint8_t *minnowfs_make(const char *dir, uint32_t blocks, uint32_t inodes, char **error)
{
    struct fs_super super = plan(blocks, inodes);
    struct maker m = {.super = &super, .next_inode = FS_ROOT};
    *error = NULL;
    if (blocks > FS_BLOCKS_MAX || inodes < 2 || inodes > FS_BLOCKS_MAX * FS_INODES_PER_BLOCK ||
        super.data_start >= blocks) {
        *error = xasprintf("%u blocks with %u inodes: a file system has %u blocks at most, and "
                           "needs %u for itself",
                           blocks, inodes, FS_BLOCKS_MAX, super.data_start);
        return NULL;
    }
    m.image = xrealloc(NULL, (size_t)blocks * FS_BLOCK);
    memset(m.image, 0, (size_t)blocks * FS_BLOCK);
    while (m.next_block < super.data_start)
        take_block(&m);
    const uint32_t root = take_inode(&m, FS_DIRECTORY);
    add_folder(&m, dir, root, root);
    memcpy(m.image, &super, sizeof(super));
    if (m.error) {
        free(m.image);
        *error = m.error;
        return NULL;
    }
    return m.image;
}
