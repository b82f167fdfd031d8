/*
 * The guest's disk is a copy in memory of the host's: the guest works at the speed of memory, and
 * in the same number of ticks each time. What it writes vanishes with it (disk=ram), or is saved
 * on the host's disk whenever the guest flushes its drive's cache, and at the end (disk=host).
 */
#include <string.h>

#include "devices.h"
#include "host.h"

#define LIMIT_SECTORS (64u << 11) /* 64 MB */

static bool save;
static uint32_t *dirty; /* one bit a sector */

static uint32_t bitmap_bytes(uint32_t sectors)
{
    return (sectors + 31) / 32 * 4;
}

static uint8_t *alloc(uint32_t bytes)
{
    return pages_alloc((bytes + PAGE_SIZE - 1) / PAGE_SIZE, PAGE_SIZE);
}

/* What disk= says; NULL, or one sentence. */
static const char *read_option(const char *options, bool *none)
{
    char how[8] = "ram";
    option_value(options, "disk", how, sizeof(how));
    *none = !strcmp(how, "none");
    save = !strcmp(how, "host");
    if (!save && !*none && strcmp(how, "ram"))
        return "disk=: choose ram (a copy, the default), host (writes stay) or none";
    return NULL;
}

static const char *make(uint32_t sectors, struct guest_disk *disk)
{
    disk->bytes = alloc(sectors * IDE_SECTOR);
    dirty = (uint32_t *)alloc(bitmap_bytes(sectors));
    if (!disk->bytes || !dirty)
        return "too little memory for a copy of the disk; start the machine with more memory, or "
               "use disk=none";
    disk->sectors = sectors;
    return NULL;
}

const char *guest_disk_make(const char *options, uint32_t sectors, struct guest_disk *disk)
{
    bool none;
    const char *why = read_option(options, &none);
    *disk = (struct guest_disk){NULL, 0};
    if (!why && save && host_disk_init(HOST_MASTER) != sectors)
        return "disk=host: the machine's disk has not the size of the snapshot's";
    return why || !sectors ? why : make(sectors, disk);
}

const char *guest_disk_open(const char *options, struct guest_disk *disk)
{
    bool none;
    const char *why = read_option(options, &none);
    *disk = (struct guest_disk){NULL, 0};
    if (why || none)
        return why;
    const uint32_t sectors = host_disk_init(HOST_MASTER);
    if (!sectors)
        return NULL;
    if (sectors > LIMIT_SECTORS)
        return "the disk has more than 64 MB, and the VMM holds the guest's disk in memory; give a "
               "smaller one, or disk=none";
    why = make(sectors, disk);
    if (!why && !host_disk_transfer(HOST_MASTER, 0, sectors, disk->bytes, false))
        why = "the disk cannot be read";
    return why;
}

void guest_disk_written(uint32_t sector, uint32_t count)
{
    for (uint32_t i = sector; save && i < sector + count; i++)
        dirty[i / 32] |= 1u << i % 32;
}

static bool is_dirty(const struct guest_disk *disk, uint32_t sector)
{
    return sector < disk->sectors && dirty[sector / 32] >> sector % 32 & 1;
}

static void clean(uint32_t sector, uint32_t count)
{
    for (uint32_t i = sector; i < sector + count; i++)
        dirty[i / 32] &= ~(1u << i % 32);
}

bool guest_disk_save(const struct guest_disk *disk)
{
    bool good = true;
    for (uint32_t i = 0, n; save && i < disk->sectors; i += n + 1) {
        for (n = 0; is_dirty(disk, i + n); n++)
            ;
        if (n && host_disk_transfer(HOST_MASTER, i, n, disk->bytes + (size_t)i * IDE_SECTOR, true))
            clean(i, n);
        else if (n)
            good = false;
    }
    return !save || !disk->sectors || (host_disk_flush(HOST_MASTER) && good);
}
