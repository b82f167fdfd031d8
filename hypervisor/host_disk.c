/*
 * The host's drives: the ATA drives of the primary channel, polled, one sector at a time (T13
 * 1321D, ATA/ATAPI-5, 9.5 and 9.6). The VMM uses the master before a guest runs, and when it saves
 * what the guest wrote; the slave for snapshots.
 */
#include "cpu.h"
#include "host.h"

#define DATA 0x1F0
#define COUNT 0x1F2
#define LBA_LOW 0x1F3
#define LBA_MID 0x1F4
#define LBA_HIGH 0x1F5
#define DEVICE 0x1F6
#define STATUS 0x1F7
#define CONTROL 0x3F6
#define CONTROL_NIEN 0x02 /* no interrupts */

#define BSY 0x80
#define DRDY 0x40
#define DF 0x20
#define DRQ 0x08
#define ERR 0x01
#define LBA_DEVICE 0xE0 /* addresses are LBAs */
#define SLAVE 0x10

#define READ_SECTORS 0x20
#define WRITE_SECTORS 0x30
#define FLUSH_CACHE 0xE7
#define IDENTIFY 0xEC

#define SECTOR_WORDS 256u
#define COMMAND_MAX 256u    /* sectors; the register says 0 for it */
#define PATIENCE 100000000u /* polls, each some 100 ns: drives may have to spin up */

/* The drive has finished and its status is as wanted, error-free. Four reads first: a drive may
 * need 400 ns to raise BSY. */
static bool wait_for(uint8_t wanted)
{
    uint8_t status = BSY;
    for (int i = 0; i < 4; i++)
        inb(CONTROL);
    for (uint32_t i = 0; i < PATIENCE && (status & BSY); i++)
        status = inb(CONTROL);
    return !(status & (BSY | DF | ERR)) && (status & wanted) == wanted;
}

static uint8_t device(enum host_drive drive)
{
    return drive == HOST_SLAVE ? LBA_DEVICE | SLAVE : LBA_DEVICE;
}

static void start(enum host_drive drive, uint8_t command, uint32_t sector, uint32_t count)
{
    outb(DEVICE, (uint8_t)(device(drive) | (sector >> 24 & 0x0F)));
    outb(COUNT, (uint8_t)count);
    outb(LBA_LOW, (uint8_t)sector);
    outb(LBA_MID, (uint8_t)(sector >> 8));
    outb(LBA_HIGH, (uint8_t)(sector >> 16));
    outb(STATUS, command);
}

uint32_t host_disk_init(enum host_drive drive)
{
    static uint16_t id[SECTOR_WORDS];
    outb(CONTROL, CONTROL_NIEN);
    outb(DEVICE, device(drive));
    const uint8_t status = inb(STATUS);
    if (status == 0xFF || !(status & DRDY))
        return 0; /* nobody drives the bus, or there is no such drive */
    start(drive, IDENTIFY, 0, 0);
    if (!wait_for(DRQ))
        return 0; /* a CD-ROM, for instance */
    insw(DATA, id, SECTOR_WORDS);
    return id[60] | (uint32_t)id[61] << 16;
}

static bool transfer(enum host_drive drive, uint32_t sector, uint32_t count, uint8_t *bytes,
                     bool write)
{
    start(drive, write ? WRITE_SECTORS : READ_SECTORS, sector, count);
    for (uint32_t i = 0; i < count; i++, bytes += SECTOR_WORDS * 2) {
        if (!wait_for(DRQ))
            return false;
        if (write)
            outsw(DATA, bytes, SECTOR_WORDS);
        else
            insw(DATA, bytes, SECTOR_WORDS);
    }
    return wait_for(DRDY);
}

bool host_disk_transfer(enum host_drive drive, uint32_t sector, uint32_t count, void *bytes,
                        bool write)
{
    for (uint8_t *at = bytes; count > 0;) {
        const uint32_t part = count < COMMAND_MAX ? count : COMMAND_MAX;
        if (!transfer(drive, sector, part, at, write))
            return false;
        sector += part;
        count -= part;
        at += part * SECTOR_WORDS * 2;
    }
    return true;
}

bool host_disk_flush(enum host_drive drive)
{
    start(drive, FLUSH_CACHE, 0, 0);
    return wait_for(DRDY);
}
