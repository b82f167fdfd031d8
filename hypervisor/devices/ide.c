/*
 * The primary IDE channel with one ATA drive as its master, or with nothing on it (T13 1321D,
 * ATA/ATAPI-5: registers in chapter 7, commands in 8, the PIO protocols in 9.5 and 9.6). The drive
 * is infinitely fast: each command or block is done before the guest can look, so that BSY is
 * never seen. No DMA, no packet commands, no power management beyond saying that it is awake.
 */
#include <string.h>

#include "models.h"

enum { DATA = 0x1F0, ERROR, COUNT, LBA_LOW, LBA_MID, LBA_HIGH, DEVICE, STATUS };

#define DEVICE_SLAVE 0x10
#define DEVICE_LBA 0x40
#define DEVICE_ONES 0xA0 /* obsolete bits, which read as ones */
#define CONTROL_NIEN 0x02
#define CONTROL_SRST 0x04
#define ERROR_ABORT 0x04
#define ERROR_NOT_FOUND 0x10
#define READY (IDE_DRDY | IDE_DSC)

#define HEADS 16u /* the default translation of CHS addresses */
#define TRACK 63u

/* The signature of an ATA drive that was reset (9.12). */
static void signature(struct ide *ide)
{
    ide->error = 1; /* diagnostics passed */
    ide->count = ide->lba_low = 1;
    ide->lba_mid = ide->lba_high = ide->device = 0;
    ide->status = READY;
}

void ide_init(struct ide *ide, uint8_t *media, uint32_t sectors)
{
    *ide = (struct ide){.media = media, .sectors = media ? sectors : 0, .heads = HEADS};
    ide->track = TRACK;
    signature(ide);
}

static bool present(const struct ide *ide)
{
    return ide->media != NULL;
}

/* The master answers for the slave that is not there: with zeros where it matters (9.16.1). */
static bool slave_selected(const struct ide *ide)
{
    return ide->device & DEVICE_SLAVE;
}

bool ide_irq(const struct ide *ide)
{
    return ide->irq && !(ide->control & CONTROL_NIEN) && !slave_selected(ide);
}

static void finish(struct ide *ide)
{
    ide->status = READY;
    ide->irq = true;
}

static void fail(struct ide *ide, uint8_t error)
{
    ide->status = READY | IDE_ERR;
    ide->error = error;
    ide->irq = true;
}

/* Where a command begins, from the registers (7.2, 7.6 to 7.9). Beyond the disk for an address that
 * does not exist. */
static uint32_t first_sector(const struct ide *ide)
{
    const uint32_t head = ide->device & 0x0F, cylinder = ide->lba_mid | ide->lba_high << 8;
    if (ide->device & DEVICE_LBA)
        return ide->lba_low | cylinder << 8 | head << 24;
    if (!ide->lba_low || ide->lba_low > ide->track || head >= ide->heads)
        return UINT32_MAX;
    return (cylinder * ide->heads + head) * ide->track + ide->lba_low - 1;
}

static void store_address(struct ide *ide, uint32_t sector)
{
    uint32_t head = sector >> 24 & 0x0F, cylinder = sector >> 8 & 0xFFFF;
    ide->lba_low = (uint8_t)sector;
    if (!(ide->device & DEVICE_LBA)) {
        ide->lba_low = (uint8_t)(sector % ide->track + 1);
        head = sector / ide->track % ide->heads;
        cylinder = sector / ide->track / ide->heads;
    }
    ide->lba_mid = (uint8_t)cylinder;
    ide->lba_high = (uint8_t)(cylinder >> 8);
    ide->device = (uint8_t)((ide->device & 0xF0) | head);
}

/* A string of ASCII in IDENTIFY data: two characters a word, the first in the high byte. */
static void put_text(uint8_t *words, unsigned length, const char *text)
{
    for (unsigned i = 0; i < length; i++)
        words[i ^ 1] = *text ? (uint8_t)*text++ : ' ';
}

static void put_word(uint8_t *words, unsigned word, uint32_t value)
{
    words[word * 2] = (uint8_t)value;
    words[word * 2 + 1] = (uint8_t)(value >> 8);
}

/* 8.12, table 20. */
static void identify(struct ide *ide)
{
    uint8_t *id = ide->block;
    const uint32_t cylinders = ide->sectors / (HEADS * TRACK);
    const uint32_t limited = cylinders > 16383 ? 16383 : cylinders;
    const uint32_t chs = limited * HEADS * TRACK;
    memset(id, 0, IDE_SECTOR);
    put_word(id, 0, 0x0040); /* fixed drive */
    put_word(id, 1, limited);
    put_word(id, 3, HEADS);
    put_word(id, 6, TRACK);
    put_text(id + 10 * 2, 20, "TV0001");
    put_text(id + 23 * 2, 8, "1");
    put_text(id + 27 * 2, 40, "TRIVISOR DISK");
    put_word(id, 47, 0x8000 | IDE_MULTIPLE);
    put_word(id, 49, 0x0200); /* LBA */
    put_word(id, 53, 1);      /* words 54 to 58 are valid */
    put_word(id, 54, limited);
    put_word(id, 55, HEADS);
    put_word(id, 56, TRACK);
    put_word(id, 57, chs);
    put_word(id, 58, chs >> 16);
    put_word(id, 59, ide->multiple ? 0x0100u | ide->multiple : 0);
    put_word(id, 60, ide->sectors);
    put_word(id, 61, ide->sectors >> 16);
    put_word(id, 80, 0x003E); /* ATA-1 to ATA-5 */
    put_word(id, 82, 0x0020); /* write cache */
    put_word(id, 83, 0x4000);
    put_word(id, 84, 0x4000);
    put_word(id, 85, 0x0020);
    put_word(id, 87, 0x4000);
}

/* The next DRQ block: data go between the guest and `block`. */
static void request(struct ide *ide, uint32_t sectors)
{
    ide->at = 0;
    ide->end = sectors * IDE_SECTOR;
    ide->status = READY | IDE_DRQ;
}

/* How many of the sectors that are left come in the next block. */
static uint32_t next_block(const struct ide *ide)
{
    return ide->left < ide->per_block ? ide->left : ide->per_block;
}

/* The media's part of a block; false: the guest went beyond the last sector. */
static bool on_disk(struct ide *ide, uint32_t sectors)
{
    if (ide->next < ide->sectors && sectors <= ide->sectors - ide->next)
        return true;
    if (ide->next <= ide->sectors)
        store_address(ide, ide->sectors); /* the first that is not there */
    fail(ide, ERROR_NOT_FOUND);
    return false;
}

static void read_block(struct ide *ide)
{
    const uint32_t n = next_block(ide);
    if (!on_disk(ide, n))
        return;
    memcpy(ide->block, ide->media + (size_t)ide->next * IDE_SECTOR, n * IDE_SECTOR);
    ide->next += n;
    ide->left -= n;
    request(ide, n);
    ide->irq = true;
}

/* A write asks for its first block without an interrupt (9.6). */
static void write_block(struct ide *ide)
{
    const uint32_t n = next_block(ide);
    if (on_disk(ide, n))
        request(ide, n);
}

/* Returns the sectors that reached the media. */
static uint32_t block_written(struct ide *ide)
{
    const uint32_t n = ide->end / IDE_SECTOR;
    memcpy(ide->media + (size_t)ide->next * IDE_SECTOR, ide->block, ide->end);
    ide->next += n;
    ide->left -= n;
    ide->irq = true;
    if (ide->left)
        write_block(ide);
    else
        finish(ide);
    return n;
}

static void transfer(struct ide *ide, bool write, uint32_t per_block)
{
    ide->writing = write;
    ide->per_block = per_block;
    ide->next = first_sector(ide);
    ide->left = ide->count ? ide->count : 256;
    if (!per_block)
        fail(ide, ERROR_ABORT); /* SET MULTIPLE has not been given */
    else if (write)
        write_block(ide);
    else
        read_block(ide);
}

static void set_multiple(struct ide *ide)
{
    const bool power_of_two = !(ide->count & (ide->count - 1));
    const bool good = ide->count <= IDE_MULTIPLE && power_of_two;
    ide->multiple = good ? ide->count : 0;
    if (good)
        finish(ide);
    else
        fail(ide, ERROR_ABORT);
}

/* INITIALIZE DEVICE PARAMETERS: another translation of CHS addresses. */
static void set_geometry(struct ide *ide)
{
    if (!ide->count)
        return fail(ide, ERROR_ABORT);
    ide->track = ide->count;
    ide->heads = (ide->device & 0x0F) + 1u;
    finish(ide);
}

/* SET FEATURES: what cannot matter here is accepted. */
static void set_features(struct ide *ide)
{
    enum { WRITE_CACHE = 0x02, NO_WRITE_CACHE = 0x82, TRANSFER_MODE = 0x03, LOOK_AHEAD = 0xAA };
    enum { NO_LOOK_AHEAD = 0x55, PIO_DEFAULT = 0, PIO_FLOW = 1 };
    const uint8_t f = ide->features;
    const bool pio = f == TRANSFER_MODE && (ide->count >> 3 == PIO_FLOW || ide->count <= 1);
    if (f == WRITE_CACHE || f == NO_WRITE_CACHE || f == LOOK_AHEAD || f == NO_LOOK_AHEAD || pio)
        finish(ide);
    else
        fail(ide, ERROR_ABORT);
}

static void verify(struct ide *ide)
{
    ide->next = first_sector(ide);
    if (on_disk(ide, ide->count ? ide->count : 256))
        finish(ide);
}

static enum ide_effect command(struct ide *ide, uint8_t code)
{
    ide->irq = false;
    ide->error = 0;
    switch (code) {
    case 0x20: /* READ SECTORS, with and without retries */
    case 0x21:
        transfer(ide, false, 1);
        break;
    case 0x30: /* WRITE SECTORS */
    case 0x31:
        transfer(ide, true, 1);
        break;
    case 0xC4: /* READ MULTIPLE */
        transfer(ide, false, ide->multiple);
        break;
    case 0xC5: /* WRITE MULTIPLE */
        transfer(ide, true, ide->multiple);
        break;
    case 0x40: /* READ VERIFY SECTORS */
    case 0x41:
        verify(ide);
        break;
    case 0xC6:
        set_multiple(ide);
        break;
    case 0xEC: /* IDENTIFY DEVICE */
        identify(ide);
        ide->writing = false;
        ide->left = 0;
        request(ide, 1);
        ide->irq = true;
        break;
    case 0xEF:
        set_features(ide);
        break;
    case 0x91:
        set_geometry(ide);
        break;
    case 0x90: /* EXECUTE DEVICE DIAGNOSTIC */
        signature(ide);
        ide->irq = true;
        break;
    case 0xE5: /* CHECK POWER MODE: active */
        ide->count = 0xFF;
        finish(ide);
        break;
    case 0x10 ... 0x1F: /* RECALIBRATE (ATA-1) */
    case 0x70:          /* SEEK */
    case 0xE0 ... 0xE3: /* STANDBY IMMEDIATE, IDLE IMMEDIATE, STANDBY, IDLE */
        finish(ide);
        break;
    case 0xE7: /* FLUSH CACHE */
        finish(ide);
        return IDE_FLUSHED;
    default:
        fail(ide, ERROR_ABORT);
        break;
    }
    return IDE_NOTHING;
}

uint8_t ide_in(struct ide *ide, uint16_t port)
{
    if (!present(ide))
        return 0xFF; /* the bus floats */
    switch (port) {
    case ERROR:
        return ide->error;
    case COUNT:
        return ide->count;
    case LBA_LOW:
        return ide->lba_low;
    case LBA_MID:
        return ide->lba_mid;
    case LBA_HIGH:
        return ide->lba_high;
    case DEVICE:
        return ide->device | DEVICE_ONES;
    case STATUS:
        if (slave_selected(ide))
            return 0;
        ide->irq = false;
        return ide->status;
    case IDE_CONTROL: /* the alternate status: it leaves the interrupt alone */
        return slave_selected(ide) ? 0 : ide->status;
    default:
        return 0xFF; /* the data register by byte */
    }
}

static void control(struct ide *ide, uint8_t value)
{
    const bool resetting = value & ~ide->control & CONTROL_SRST;
    ide->control = value;
    if (!resetting)
        return;
    signature(ide);
    ide->irq = false;
    ide->multiple = 0;
}

/* While a transfer is under way the registers belong to the drive; a reset is always heard. */
static bool registers_locked(const struct ide *ide)
{
    return ide->status & IDE_DRQ;
}

enum ide_effect ide_out(struct ide *ide, uint16_t port, uint8_t value)
{
    if (!present(ide))
        return IDE_NOTHING;
    if (port == IDE_CONTROL) {
        control(ide, value);
        return IDE_NOTHING;
    }
    if (port == STATUS)
        return slave_selected(ide) && value != 0x90 ? IDE_NOTHING : command(ide, value);
    if (registers_locked(ide))
        return IDE_NOTHING;
    switch (port) {
    case ERROR:
        ide->features = value;
        break;
    case COUNT:
        ide->count = value;
        break;
    case LBA_LOW:
        ide->lba_low = value;
        break;
    case LBA_MID:
        ide->lba_mid = value;
        break;
    case LBA_HIGH:
        ide->lba_high = value;
        break;
    case DEVICE:
        ide->device = value;
        break;
    }
    return IDE_NOTHING;
}

static bool moves_data(const struct ide *ide, bool to_disk)
{
    return present(ide) && !slave_selected(ide) && ide->status & IDE_DRQ && ide->writing == to_disk;
}

uint32_t ide_data_ready(const struct ide *ide, bool to_disk)
{
    return moves_data(ide, to_disk) ? ide->end - ide->at : 0;
}

void ide_data_in(struct ide *ide, void *to, uint32_t n)
{
    const uint32_t ready = ide_data_ready(ide, false), part = n < ready ? n : ready;
    memset(to, 0xFF, n);
    memcpy(to, ide->block + ide->at, part);
    ide->at += part;
    if (!part || ide->at < ide->end)
        return;
    if (ide->left)
        read_block(ide);
    else
        ide->status = READY;
}

uint32_t ide_data_out(struct ide *ide, const void *from, uint32_t n)
{
    const uint32_t ready = ide_data_ready(ide, true), part = n < ready ? n : ready;
    memcpy(ide->block + ide->at, from, part);
    ide->at += part;
    return part && ide->at == ide->end ? block_written(ide) : 0;
}
