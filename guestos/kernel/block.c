/*
 * Blocks of the disk: a cache of them, and the log that makes a group of writes atomic
 * (fs_format.h tells how it looks on the disk).
 *
 * One process at a time works on the file system: between fs_begin() and fs_end() it holds the
 * lock, so nothing here is shared. What it writes stays in the cache, and is committed together
 * with what others wrote before and after: when the log is full, when somebody asks (SYNC), or a
 * second later. After a power cut the disk has a group whole or not at all.
 */
#include "kernel.h"

#define BUFFERS 256u
#define CHAINS 64u
#define OPERATION_MAX 24u /* blocks that one operation may write */
#define AHEAD 16u         /* blocks read at once */

struct buffer {
    bool used;  /* holds `block`, and is in its chain */
    bool dirty; /* belongs to the open group: must not leave the cache */
    uint32_t block;
    struct buffer *next;          /* in its chain */
    struct buffer *newer, *older; /* in the order of their last use */
    uint8_t *data;
};

static uint8_t memory[BUFFERS][FS_BLOCK] __attribute__((aligned(PAGE_SIZE)));
static struct buffer buffers[BUFFERS], *chains[CHAINS];
static struct buffer uses = {.newer = &uses, .older = &uses}; /* a ring: newer is the oldest */
static struct buffer *group[FS_LOG_MAX];
static uint32_t group_size;
static uint32_t log_start, log_capacity, disk_blocks;
static bool failed; /* the operation in hand met an error of the disk */
static bool broken; /* nothing is written any more: better an old disk than a wrong one */

static struct process *owner;

void fs_begin(void)
{
    while (owner)
        sleep_on(&owner);
    owner = current;
    failed = false;
    if (group_size + OPERATION_MAX > log_capacity)
        block_commit();
}

bool fs_failed(void)
{
    return failed;
}

void fs_damaged(const char *what, uint32_t number)
{
    kprintf("minnow: the file system is damaged (%s %u): check it with tv-fsck\n", what, number);
    failed = true;
}

int fs_end(int result)
{
    owner = NULL;
    wakeup(&owner);
    return failed ? E_IO : result;
}

static struct buffer **chain_of(uint32_t block)
{
    return &chains[block % CHAINS];
}

static struct buffer *find(uint32_t block)
{
    struct buffer *b = *chain_of(block);
    while (b && b->block != block)
        b = b->next;
    return b;
}

static void forget(struct buffer *b)
{
    struct buffer **p = chain_of(b->block);
    while (*p != b)
        p = &(*p)->next;
    *p = b->next;
    b->used = false;
}

static void insert_newest(struct buffer *b)
{
    b->newer = &uses;
    b->older = uses.older;
    b->older->newer = uses.older = b;
}

static void touch(struct buffer *b)
{
    b->newer->older = b->older;
    b->older->newer = b->newer;
    insert_newest(b);
}

/* The buffer that was not used for longest, for this block. */
static struct buffer *replace(uint32_t block)
{
    struct buffer *b = uses.newer;
    while (b->dirty)
        b = b->newer;
    if (b->used)
        forget(b);
    b->used = true;
    b->block = block;
    b->next = *chain_of(block);
    touch(b);
    return *chain_of(block) = b;
}

/* Read a run of blocks that are not in the cache; returns the first. What cannot be read looks like
 * zeros for this operation, which will fail. */
static struct buffer *fetch(uint32_t block, uint32_t n)
{
    uint8_t *data[AHEAD] = {NULL};
    struct buffer *b[AHEAD] = {NULL};
    for (uint32_t i = 0; i < n; i++) {
        b[i] = replace(block + i);
        data[i] = b[i]->data;
    }
    const uint32_t per_block = FS_BLOCK / FS_SECTOR;
    if (!disk_transfer(block * per_block, n * per_block, data, false)) {
        failed = true;
        for (uint32_t i = 0; i < n; i++) {
            memset(data[i], 0, FS_BLOCK);
            forget(b[i]);
        }
    }
    return b[0];
}

void block_ahead(uint32_t block, uint32_t n)
{
    uint32_t run = 0;
    while (run < n && run < AHEAD && block + run < disk_blocks && !find(block + run))
        run++;
    if (run > 1)
        fetch(block, run);
}

static struct buffer *get(uint32_t block)
{
    struct buffer *b = find(block);
    if (!b)
        b = fetch(block, 1);
    touch(b);
    return b;
}

uint8_t *block_read(uint32_t block)
{
    return get(block)->data;
}

/* An operation that failed half-way must not be committed, nor anything after it. */
static uint8_t *into_group(struct buffer *b)
{
    if (failed && !broken)
        kprintf("minnow: an operation failed half-way: nothing is saved from now on\n");
    broken |= failed;
    failed |= broken;
    if (b->dirty || broken)
        return b->data;
    if (group_size == log_capacity)
        panic("a file system operation writes too many blocks");
    b->dirty = true;
    group[group_size++] = b;
    return b->data;
}

uint8_t *block_write(uint32_t block)
{
    return into_group(get(block));
}

uint8_t *block_new(uint32_t block)
{
    struct buffer *b = find(block);
    if (!b)
        b = replace(block);
    touch(b);
    memset(b->data, 0, FS_BLOCK);
    return into_group(b);
}

static bool write_blocks(uint32_t block, uint8_t *const data[], uint32_t n)
{
    const uint32_t per_block = FS_BLOCK / FS_SECTOR;
    for (uint32_t i = 0; i < n;) {
        uint32_t part = DISK_TRANSFER_MAX / per_block;
        if (part > n - i)
            part = n - i;
        if (!disk_transfer((block + i) * per_block, part * per_block, data + i, true))
            return false;
        i += part;
    }
    return true;
}

/* The header is one sector, so it is written whole or not at all. */
static bool write_header(uint32_t count)
{
    static union {
        struct fs_log_header header;
        uint8_t sector[FS_SECTOR];
    } log;
    uint8_t *data[] = {log.sector};
    log.header.count = count;
    for (uint32_t i = 0; i < count; i++)
        log.header.home[i] = group[i]->block;
    return disk_transfer(log_start * (FS_BLOCK / FS_SECTOR), 1, data, true) && disk_flush();
}

/* Neighbours in one transfer, where they were also written one behind the other. */
static bool write_home(void)
{
    uint8_t *data[FS_LOG_MAX];
    for (uint32_t i = 0, n; i < group_size; i += n) {
        for (n = 0; i + n < group_size && group[i + n]->block == group[i]->block + n; n++)
            data[n] = group[i + n]->data;
        if (!write_blocks(group[i]->block, data, n))
            return false;
    }
    return disk_flush();
}

/* Each step is on the disk before the next begins: the flushes are part of the idea. */
void block_commit(void)
{
    uint8_t *data[FS_LOG_MAX];
    failed |= broken;
    if (!group_size || broken)
        return;
    for (uint32_t i = 0; i < group_size; i++)
        data[i] = group[i]->data;
    broken = !(write_blocks(log_start + 1, data, group_size) && disk_flush() &&
               write_header(group_size) && write_home() && write_header(0));
    failed |= broken;
    for (uint32_t i = 0; i < group_size; i++)
        group[i]->dirty = false;
    group_size = 0;
    if (broken)
        kprintf("minnow: the disk cannot be written: nothing is saved from now on\n");
}

static bool in_log(uint32_t block)
{
    return block - log_start <= log_capacity;
}

/* A group that was committed but perhaps not copied home: copy it (again). False: it cannot be. */
static bool recover(void)
{
    const struct fs_log_header header = *(const struct fs_log_header *)block_read(log_start);
    if (header.count > log_capacity)
        return false;
    for (uint32_t i = 0; i < header.count; i++) {
        if (!header.home[i] || header.home[i] >= disk_blocks || in_log(header.home[i]))
            return false;
    }
    for (uint32_t i = 0; i < header.count; i++) {
        const uint8_t *saved = block_read(log_start + 1 + i);
        if (failed)
            return false; /* and the log stays as it is */
        memcpy(block_new(header.home[i]), saved, FS_BLOCK);
    }
    if (header.count)
        broken = !(write_home() && write_header(0));
    for (uint32_t i = 0; i < group_size; i++)
        group[i]->dirty = false;
    group_size = 0;
    return !failed && !broken;
}

/* Does the super block describe a disk of ours, with its parts one behind the other? */
static bool plausible(const struct fs_super *s)
{
    const uint32_t inode_blocks = s->inodes / FS_INODES_PER_BLOCK, end = s->data_start;
    return s->magic == FS_MAGIC && s->version == FS_VERSION && s->block_size == FS_BLOCK &&
           s->blocks <= disk_blocks && s->blocks <= FS_BLOCKS_MAX && end < s->blocks &&
           s->log_blocks > OPERATION_MAX && s->log_blocks <= FS_LOG_MAX + 1 && inode_blocks &&
           s->inodes % FS_INODES_PER_BLOCK == 0 && s->log_start == 1 &&
           s->inode_start == s->log_start + s->log_blocks &&
           s->bitmap_block == s->inode_start + inode_blocks && end == s->bitmap_block + 1;
}

const char *block_init(struct fs_super *super)
{
    for (uint32_t i = 0; i < BUFFERS; i++) {
        buffers[i].data = memory[i];
        insert_newest(&buffers[i]);
    }
    disk_blocks = disk_init() / (FS_BLOCK / FS_SECTOR);
    if (disk_blocks)
        *super = *(const struct fs_super *)block_read(0);
    if (!disk_blocks || failed || !plausible(super))
        return "no disk with a Minnow file system (an image made by tv-mkfs, as the master of the "
               "first IDE channel)";
    log_start = super->log_start;
    log_capacity = super->log_blocks - 1;
    disk_blocks = super->blocks;
    return recover() ? NULL : "the log of the disk is damaged: check it with tv-fsck";
}
