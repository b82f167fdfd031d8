/*
 * The disk: whichever driver finds one. Virtio comes first, because it moves many blocks for the
 * price of one access to a port; programmed I/O of an ATA drive moves two bytes for each.
 */
#include "kernel.h"

#define DEADLINE 30000u /* ticks; emulators let time jump while nothing runs */

static const struct disk_driver *driver;
static uint32_t sectors, deadline;
static const char channel;

uint32_t disk_init(void)
{
    static const struct disk_driver *const drivers[] = {&virtio_disk, &ata_disk};
    for (unsigned i = 0; i < sizeof(drivers) / sizeof(drivers[0]) && !sectors; i++) {
        driver = drivers[i];
        sectors = driver->init();
    }
    if (sectors)
        kprintf("minnow: the disk is %s, %u KB\n", driver->name, sectors / 2);
    return sectors;
}

/* A disk that has lost the thread could give, or overwrite, the data of a later request: it is not
 * used again. */
void disk_give_up(void)
{
    if (sectors)
        kprintf("minnow: the disk does not answer\n");
    sectors = 0;
}

bool disk_wait(const volatile bool *done)
{
    deadline = (ticks + DEADLINE) | 1;
    while (!*done && deadline)
        sleep_on(&channel);
    deadline = 0;
    if (!*done)
        disk_give_up();
    return *done;
}

void disk_wake(void)
{
    wakeup(&channel);
}

void disk_timer(void)
{
    if (deadline && (int32_t)(ticks - deadline) >= 0) {
        deadline = 0;
        disk_wake();
    }
}

bool disk_transfer(uint32_t sector, uint32_t count, uint8_t *const blocks[], bool write)
{
    if (sector >= sectors || count > sectors - sector || !count || count > DISK_TRANSFER_MAX)
        return false;
    return driver->transfer(sector, count, blocks, write);
}

bool disk_flush(void)
{
    return sectors && driver->flush();
}
