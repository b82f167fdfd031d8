#include "writelog.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

#define MAGIC 0x6a736677736872ull
#define VERSION 1

/* All numbers are little-endian. Both structures fill a sector of the log. */
struct super {
    uint64_t magic, version, entries;
    uint32_t sector_size; /* of the log, and the unit of what the entries say */
};

struct entry {
    uint64_t sector, sectors, flags, data_bytes; /* data_bytes: of a mark only */
};

enum flag { FLUSH = 1, FUA = 2, DISCARD = 4, MARK = 8 };

/* The part of the file that is still to be read. */
struct rest {
    const char *path;
    const uint8_t *at;
    size_t left;
};

static const uint8_t *take(struct rest *r, uint64_t sectors, uint32_t sector_size)
{
    const uint8_t *at = r->at;
    if (sectors > r->left / sector_size)
        die(1, "%s: the log ends in the middle of an entry", r->path);
    r->at += sectors * sector_size;
    r->left -= sectors * sector_size;
    return at;
}

static void add(struct write_log *log, uint64_t sector, const uint8_t *data)
{
    if (!(log->count & (log->count - 1))) /* full: the room is always a power of two */
        log->writes =
            xrealloc(log->writes, (log->count ? log->count * 2ul : 1) * sizeof(*log->writes));
    log->writes[log->count++] = (struct sector_write){(uint32_t)sector, log->flushes, data};
}

static void read_entry(struct write_log *log, struct rest *r, uint32_t sector_size,
                       uint32_t disk_sectors)
{
    const uint32_t per = sector_size / WRITELOG_SECTOR;
    struct entry e;
    memcpy(&e, take(r, 1, sector_size), sizeof(e));
    if (e.flags & MARK) {
        take(r, (e.data_bytes + sector_size - 1) / sector_size, sector_size);
        return;
    }
    /* Neither comes from a drive as Minnow uses it, so nobody has thought about their order. */
    if (e.flags & ~(uint64_t)FLUSH)
        die(1, "%s: an entry with flags %#llx, of which only 1 (flush) is understood", r->path,
            (unsigned long long)e.flags);
    if (e.sectors > disk_sectors / per || e.sector > disk_sectors / per - e.sectors)
        die(1, "%s: a write to sector %llu, beyond the end of the image", r->path,
            (unsigned long long)e.sector * per);
    log->flushes += (e.flags & FLUSH) != 0; /* before what this entry writes itself */
    const uint8_t *data = take(r, e.sectors, sector_size);
    for (uint64_t i = 0; i < e.sectors * per; i++)
        add(log, e.sector * per + i, data + i * WRITELOG_SECTOR);
}

struct write_log write_log_read(const char *path, uint32_t sectors)
{
    struct write_log log = {0};
    struct super super;
    size_t size;
    log.bytes = read_file(path, &size);
    if (!log.bytes)
        die(1, "%s: %s", path, strerror(errno));
    struct rest r = {path, (const uint8_t *)log.bytes, size};
    if (size >= sizeof(super))
        memcpy(&super, log.bytes, sizeof(super));
    if (size < sizeof(super) || super.magic != MAGIC || super.version != VERSION)
        die(1, "%s: not a log of writes (or the disk was never flushed)", path);
    if (super.sector_size < WRITELOG_SECTOR || super.sector_size % WRITELOG_SECTOR)
        die(1, "%s: sectors of %u bytes", path, super.sector_size);
    take(&r, 1, super.sector_size);
    for (uint64_t i = 0; i < super.entries; i++)
        read_entry(&log, &r, super.sector_size, sectors);
    return log;
}

void write_log_free(struct write_log *log)
{
    free(log->writes);
    free(log->bytes);
    *log = (struct write_log){0};
}
