/*
 * A disk: an ATA drive, master on the primary channel, by programmed I/O and interrupts
 * (ATA/ATAPI-5, T13 1321D, chapters 7 to 9). One request at a time; block.c sees to that.
 */
#include "kernel.h"
#include "sensitive.h"

#define DATA 0x1F0 /* 16 bits wide; the others have 8 */
#define COUNT 0x1F2
#define LBA_LOW 0x1F3
#define LBA_MID 0x1F4
#define LBA_HIGH 0x1F5
#define DEVICE 0x1F6
#define STATUS 0x1F7 /* read: and take back the interrupt */
#define COMMAND 0x1F7
#define CONTROL 0x3F6

#define BSY 0x80
#define DF 0x20
#define DRQ 0x08
#define ERR 0x01
#define MASTER_LBA 0xE0

#define READ_MULTIPLE 0xC4
#define WRITE_MULTIPLE 0xC5
#define SET_MULTIPLE 0xC6
#define FLUSH_CACHE 0xE7
#define IDENTIFY 0xEC

#define SECTOR_WORDS (FS_SECTOR / 2)
#define CHUNK_MAX 16u    /* sectors between two interrupts */
#define PATIENCE 100000u /* polls for what takes microseconds */

static volatile bool interrupted;
static uint8_t status;
static uint32_t chunk;

void ata_interrupt(void)
{
    status = port_in8(STATUS);
    interrupted = !(status & BSY);
    disk_wake();
}

/* Sleep until the drive interrupts; false: it reports an error, or it does not show the wanted
 * status (DRQ, where data are next), or nothing happens at all. */
static bool wait_interrupt(uint8_t wanted)
{
    const bool ok =
        disk_wait(&interrupted) && !(status & (ERR | DF)) && (status & wanted) == wanted;
    interrupted = false;
    return ok;
}

/* Data to be written are asked for without an interrupt. */
static bool wait_request(void)
{
    uint8_t now = BSY;
    for (uint32_t i = 0; i < PATIENCE && (now & BSY); i++)
        now = port_in8(CONTROL);
    if (now & BSY)
        disk_give_up();
    return (now & (BSY | DRQ | ERR | DF)) == DRQ;
}

static void start(uint8_t command, uint32_t sector, uint32_t count)
{
    port_out8(DEVICE, (uint8_t)(MASTER_LBA | sector >> 24));
    port_out8(COUNT, (uint8_t)count);
    port_out8(LBA_LOW, (uint8_t)sector);
    port_out8(LBA_MID, (uint8_t)(sector >> 8));
    port_out8(LBA_HIGH, (uint8_t)(sector >> 16));
    interrupted = false;
    port_out8(COMMAND, command);
}

static uint32_t init(void)
{
    uint16_t id[SECTOR_WORDS];
    port_out8(CONTROL, 0);
    port_out8(DEVICE, MASTER_LBA);
    if (port_in8(STATUS) == 0xFF || !port_in8(STATUS))
        return 0; /* nobody drives the bus, or there is no such drive */
    start(IDENTIFY, 0, 0);
    if (!wait_interrupt(DRQ))
        return 0; /* a CD-ROM, for instance */
    port_in16s(DATA, id, SECTOR_WORDS);
    chunk = 1;
    while (chunk * 2 <= (id[47] & 0xFFu) && chunk * 2 <= CHUNK_MAX)
        chunk *= 2;
    start(SET_MULTIPLE, 0, chunk);
    if (!wait_interrupt(0))
        return 0;
    return id[60] | (uint32_t)id[61] << 16;
}

static bool transfer(uint32_t sector, uint32_t count, uint8_t *const blocks[], bool write)
{
    start(write ? WRITE_MULTIPLE : READ_MULTIPLE, sector, count);
    for (uint32_t i = 0; i < count; i++) {
        if (i % chunk == 0 && !(write && !i ? wait_request() : wait_interrupt(DRQ)))
            return false;
        uint8_t *at = blocks[i * FS_SECTOR / FS_BLOCK] + i * FS_SECTOR % FS_BLOCK;
        if (write)
            port_out16s(DATA, at, SECTOR_WORDS);
        else
            port_in16s(DATA, at, SECTOR_WORDS);
    }
    return !write || wait_interrupt(0);
}

static bool flush(void)
{
    start(FLUSH_CACHE, 0, 0);
    return wait_interrupt(0);
}

const struct disk_driver ata_disk = {"an ATA drive", init, transfer, flush};
