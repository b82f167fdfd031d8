/*
 * What QEMU's block driver blklogwrites recorded: every write and flush of a disk, in the format of
 * Linux' device-mapper target log-writes. Read whole, and cut into writes of one sector.
 */
#ifndef TOOLS_WRITELOG_H
#define TOOLS_WRITELOG_H

#include <stdint.h>

#define WRITELOG_SECTOR 512u

struct sector_write {
    uint32_t sector;
    uint32_t interval; /* number of flushes that the drive had completed before */
    const uint8_t *data;
};

struct write_log {
    struct sector_write *writes;
    uint32_t count, flushes;
    char *bytes; /* the file: data point into it */
};

/* Read a log about a disk of `sectors` sectors; dies with a reason when it is not a whole one. */
struct write_log write_log_read(const char *path, uint32_t sectors);
void write_log_free(struct write_log *log);

#endif
