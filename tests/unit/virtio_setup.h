/* What the tests of the virtio devices share: the host behind them, and the disk's driver. */
#ifndef TESTS_VIRTIO_SETUP_H
#define TESTS_VIRTIO_SETUP_H

#include "devices_helpers.h"
#include "virtio_driver.h"

#define SECTORS 16u
#define SIZE 8u /* of the queues here */
#define F_INDIRECT (1u << 28)
#define F_EVENT (1u << 29)
#define F_FLUSH (1u << 9)
#define BLK_VECTOR (0x28 + BLK_IRQ - 8)
#define HEADER DATA
#define STATUS_BYTE (DATA + 0x20)
#define BUFFER (DATA + 0x400)

static uint8_t media[SECTORS * IDE_SECTOR];
static unsigned flushes, ram_writes, disk_writes, rooms;
static uint32_t last_sector, last_count;

static inline void note_flush(void *opaque)
{
    (void)opaque;
    flushes++;
}

static inline void note_disk(void *opaque, uint32_t sector, uint32_t count)
{
    (void)opaque;
    disk_writes++;
    last_sector = sector;
    last_count = count;
}

static inline void note_ram(void *opaque, gpa_t gpa, uint32_t n)
{
    (void)opaque;
    cr_assert(ram_at(NULL, gpa, n) && n);
    ram_writes++;
}

static inline void note_room(void *opaque)
{
    (void)opaque;
    rooms++;
}

static inline void virtio_setup(void)
{
    setup();
    struct device_host host = dev.host;
    host.ram = ram_at;
    host.ram_written = note_ram;
    host.disk_flush = note_flush;
    host.disk_written = note_disk;
    host.input_room = note_room;
    memset(ram, 0, sizeof(ram));
    for (unsigned i = 0; i < sizeof(media); i++)
        media[i] = (uint8_t)(i / IDE_SECTOR * 16 + i % 7);
    flushes = ram_writes = disk_writes = rooms = 0;
    devices_init(&dev, &host, 32u << 20, media, SECTORS);
    devices_add_virtio(&dev);
    pic_setup(1, 1);
}

static inline void start_blk(uint32_t features)
{
    cr_assert_eq(begin(BLK, features), ACKNOWLEDGE | DRIVER | FEATURES_OK);
    queue(BLK, 0, SIZE);
    go(BLK);
}

static inline void notify(unsigned base, unsigned q)
{
    reg_out(base, NOTIFY, 2, q);
}

/* A request in three pieces, from descriptor 0 of a table on. */
static inline void three_pieces(uint32_t at, uint32_t type, uint64_t sector, uint32_t n)
{
    poke(HEADER, 4, type);
    poke(HEADER + 8, 8, sector);
    poke(STATUS_BYTE, 1, 0xEE);
    descriptor(at, 0, HEADER, 16, NEXT, 1);
    descriptor(at, 1, BUFFER, n, NEXT | (type == 1 ? 0 : WRITE), 2);
    descriptor(at, 2, STATUS_BYTE, 1, WRITE, 0);
}

#endif
