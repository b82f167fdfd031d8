/*
 * Files as the disk knows them: inodes, which blocks belong to them, which blocks are free. All
 * functions are called between fs_begin() and fs_end().
 */
#include "kernel.h"

#define INODES 160 /* in use at one time */

static struct inode table[INODES];
static struct fs_super super;
static uint32_t free_blocks, free_inodes, next_block;

static uint32_t inode_block(uint32_t number)
{
    return super.inode_start + number / FS_INODES_PER_BLOCK;
}

static struct fs_inode *on_disk(uint8_t *block, uint32_t number)
{
    return (struct fs_inode *)block + number % FS_INODES_PER_BLOCK;
}

/* A free block, zeroed and marked as used; 0: the disk is full. */
static uint32_t block_alloc(void)
{
    for (uint32_t i = 0; free_blocks && i < super.blocks; i++) {
        const uint32_t n = next_block;
        next_block = n + 1 < super.blocks ? n + 1 : super.data_start;
        const bool used = block_read(super.bitmap_block)[n / 8] >> n % 8 & 1;
        if (fs_failed())
            return 0;
        if (used)
            continue;
        block_write(super.bitmap_block)[n / 8] |= (uint8_t)(1u << n % 8);
        free_blocks--;
        block_new(n);
        return n;
    }
    return 0;
}

static void block_free(uint32_t n)
{
    uint8_t *bitmap = block_write(super.bitmap_block);
    if (n < super.data_start || n >= super.blocks || !(bitmap[n / 8] >> n % 8 & 1)) {
        fs_damaged("block", n);
        return;
    }
    bitmap[n / 8] &= (uint8_t) ~(1u << n % 8);
    free_blocks++;
}

/* A directory has no holes, so the disk bounds its size. */
static bool is_sound(const struct fs_inode *d)
{
    if (d->type == FS_DIRECTORY)
        return d->size % sizeof(struct fs_dirent) == 0 && d->size <= super.blocks * FS_BLOCK;
    return d->type <= FS_FILE && d->size <= FS_FILE_BLOCKS * FS_BLOCK;
}

struct inode *inode_get(uint32_t number)
{
    struct inode *empty = NULL;
    for (struct inode *ip = table; ip < table + INODES; ip++) {
        if (ip->references && ip->number == number)
            return inode_share(ip);
        if (!ip->references)
            empty = ip;
    }
    if (!empty || !number || number >= super.inodes)
        return NULL;
    const struct fs_inode d = *on_disk(block_read(inode_block(number)), number);
    if (!is_sound(&d))
        fs_damaged("inode", number);
    if (fs_failed())
        return NULL;
    *empty = (struct inode){number, 1, d};
    return empty;
}

struct inode *inode_share(struct inode *ip)
{
    ip->references++;
    return ip;
}

void inode_update(const struct inode *ip)
{
    *on_disk(block_write(inode_block(ip->number)), ip->number) = ip->d;
}

int inode_create(enum fs_type type, struct inode **out)
{
    for (uint32_t n = FS_ROOT; free_inodes && n < super.inodes; n++) {
        if (on_disk(block_read(inode_block(n)), n)->type != FS_FREE)
            continue;
        struct inode *ip = inode_get(n);
        if (!ip)
            return E_MFILE;
        ip->d = (struct fs_inode){.type = (uint16_t)type};
        free_inodes--;
        inode_update(ip);
        *out = ip;
        return 0;
    }
    return E_NOSPC;
}

void inode_put(struct inode *ip)
{
    if (ip->references == 1 && !ip->d.links && ip->d.type != FS_FREE) {
        inode_truncate(ip);
        ip->d.type = FS_FREE;
        free_inodes++;
        inode_update(ip);
    }
    ip->references--;
}

static bool is_data(uint32_t block)
{
    if (block >= super.data_start && block < super.blocks)
        return true;
    fs_damaged("block", block);
    return false;
}

/* The place of a pointer in a block of pointers; makes the block if asked. NULL: there is none. */
static uint32_t *pointer_in(uint32_t *block, uint32_t index, bool make, struct inode *ip)
{
    if (!*block) {
        if (!make || !(*block = block_alloc()))
            return NULL;
        if (ip)
            inode_update(ip);
    }
    if (!is_data(*block))
        return NULL;
    return (uint32_t *)(make ? block_write(*block) : block_read(*block)) + index;
}

/* Which block of the disk holds the file's block n; make: there shall be one. 0: there is none. */
static uint32_t block_of(struct inode *ip, uint32_t n, bool make)
{
    const bool direct = n < FS_DIRECT;
    uint32_t *p;
    if (direct) {
        p = &ip->d.direct[n];
    } else if (n - FS_DIRECT < FS_POINTERS) {
        p = pointer_in(&ip->d.indirect, n - FS_DIRECT, make, ip);
    } else {
        n -= FS_DIRECT + FS_POINTERS;
        p = pointer_in(&ip->d.doubly, n / FS_POINTERS, make, ip);
        if (p)
            p = pointer_in(p, n % FS_POINTERS, make, NULL);
    }
    if (p && !*p && make) {
        *p = block_alloc();
        if (direct && *p)
            inode_update(ip);
    }
    return p && *p && is_data(*p) ? *p : 0;
}

static void free_pointers(uint32_t block, bool doubly)
{
    if (!block || !is_data(block))
        return;
    for (uint32_t i = 0; i < FS_POINTERS; i++) {
        const uint32_t n = ((const uint32_t *)block_read(block))[i];
        if (n && doubly)
            free_pointers(n, false);
        else if (n)
            block_free(n);
    }
    block_free(block);
}

void inode_truncate(struct inode *ip)
{
    for (uint32_t i = 0; i < FS_DIRECT; i++) {
        if (ip->d.direct[i])
            block_free(ip->d.direct[i]);
        ip->d.direct[i] = 0;
    }
    free_pointers(ip->d.indirect, false);
    free_pointers(ip->d.doubly, true);
    ip->d.indirect = ip->d.doubly = ip->d.size = 0;
    inode_update(ip);
}

#define AHEAD (16 * FS_BLOCK)

void inode_ahead(struct inode *ip, uint32_t offset, uint32_t n)
{
    if (n > ip->d.size - offset)
        n = ip->d.size - offset;
    const uint32_t last = (offset + n - 1) / FS_BLOCK;
    for (uint32_t i = offset / FS_BLOCK, run; n && i <= last; i += run) {
        const uint32_t first = block_of(ip, i, false);
        for (run = 1; first && i + run <= last && block_of(ip, i + run, false) == first + run;)
            run++;
        if (first)
            block_ahead(first, run);
    }
}

static uint32_t part_of(uint32_t offset, uint32_t left)
{
    const uint32_t room = FS_BLOCK - offset % FS_BLOCK;
    return left < room ? left : room;
}

int inode_read(struct inode *ip, uint32_t offset, uint32_t n, copy_out copy, uint32_t to)
{
    static const uint8_t zeros[FS_BLOCK];
    if (offset >= ip->d.size)
        return 0;
    if (n > ip->d.size - offset)
        n = ip->d.size - offset;
    for (uint32_t done = 0; done < n;) {
        const uint32_t at = offset + done, part = part_of(at, n - done);
        /* Who reads in order passes every multiple, in however small steps. */
        if (at % AHEAD == 0)
            inode_ahead(ip, at, AHEAD);
        else if (!done)
            inode_ahead(ip, at, n < AHEAD - at % AHEAD ? n : AHEAD - at % AHEAD);
        const uint32_t block = block_of(ip, at / FS_BLOCK, false);
        if (!copy(to + done, block ? block_read(block) + at % FS_BLOCK : zeros, part))
            return done ? (int)done : E_FAULT;
        done += part;
    }
    return (int)n;
}

/* Copy into a block; bytes behind the end of the file stay zeros unless all could be copied. */
static bool fill(uint8_t *block, uint32_t at, uint32_t n, copy_in copy, uint32_t from,
                 uint32_t size)
{
    if (copy(block + at % FS_BLOCK, from, n))
        return true;
    const uint32_t end = at + n, keep = at > size ? at : size;
    if (keep < end)
        memset(block + keep - at / FS_BLOCK * FS_BLOCK, 0, end - keep);
    return false;
}

int inode_write(struct inode *ip, uint32_t offset, uint32_t n, copy_in copy, uint32_t from)
{
    int result = 0;
    if (offset > FS_FILE_BLOCKS * FS_BLOCK || n > FS_FILE_BLOCKS * FS_BLOCK - offset)
        return E_FBIG;
    for (uint32_t done = 0; done < n;) {
        const uint32_t at = offset + done, part = part_of(at, n - done);
        const uint32_t block = block_of(ip, at / FS_BLOCK, true);
        if (!block || !fill(block_write(block), at, part, copy, from + done, ip->d.size)) {
            result = done ? (int)done : block ? E_FAULT : E_NOSPC;
            break;
        }
        done += part;
        result = (int)done;
    }
    if (result > 0 && offset + (uint32_t)result > ip->d.size) {
        ip->d.size = offset + (uint32_t)result;
        inode_update(ip);
    }
    return result;
}

void inode_stat(const struct inode *ip, struct stat *out)
{
    *out = (struct stat){ip->number, ip->d.type, ip->d.links, ip->d.size};
}

void inode_info(struct sysinfo *info)
{
    info->total_blocks = super.blocks - super.data_start;
    info->free_blocks = free_blocks;
    info->total_inodes = super.inodes - FS_ROOT;
    info->free_inodes = free_inodes;
    for (const struct inode *ip = table; ip < table + INODES; ip++)
        info->inodes_in_use += ip->references != 0;
}

/* Count what is free; files that were unlinked but still open when the power went are freed now. */
static void take_stock(void)
{
    const uint8_t *bitmap = block_read(super.bitmap_block);
    for (uint32_t n = super.data_start; n < super.blocks; n++)
        free_blocks += !(bitmap[n / 8] >> n % 8 & 1);
    for (uint32_t n = FS_ROOT; n < super.inodes; n++) {
        const struct fs_inode *d = on_disk(block_read(inode_block(n)), n);
        free_inodes += d->type == FS_FREE;
        if (d->type == FS_FREE || d->links)
            continue;
        fs_end(0); /* each in an operation of its own */
        fs_begin();
        struct inode *ip = inode_get(n);
        if (ip)
            inode_put(ip);
    }
}

const char *inode_init(void)
{
    const char *problem = block_init(&super);
    if (problem)
        return problem;
    next_block = super.data_start;
    fs_begin();
    take_stock();
    return fs_end(0) ? "the disk cannot be read" : NULL;
}
