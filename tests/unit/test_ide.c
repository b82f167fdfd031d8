/* The IDE channel: registers, the PIO protocols, interrupts, errors (ATA/ATAPI-5). */
#include "devices_helpers.h"

#define SECTORS 2016u /* two cylinders */
#define STATUS 0x1F7
#define ALTERNATE 0x3F6
#define LBA 0xE0
#define IRQ14_VECTOR 0x2E
#define READY 0x50
#define WITH_DATA 0x58
#define FAILED 0x51

static uint8_t media[SECTORS * IDE_SECTOR], expected[SECTORS * IDE_SECTOR];
static struct {
    unsigned writes, sectors, flushes;
    uint32_t last;
} disk_log;

static void disk_written(void *opaque, uint32_t sector, uint32_t count)
{
    (void)opaque;
    disk_log.writes++;
    disk_log.sectors += count;
    disk_log.last = sector;
}

static void disk_flush(void *opaque)
{
    (void)opaque;
    disk_log.flushes++;
}

/* Different in every word. */
static void fill(uint8_t *bytes, uint32_t seed)
{
    for (uint32_t i = 0; i < sizeof(media); i += 2) {
        bytes[i] = (uint8_t)(i / 2 + seed);
        bytes[i + 1] = (uint8_t)(i / IDE_SECTOR * 7 + seed);
    }
}

static void disk_setup(void)
{
    setup();
    fill(media, 0);
    fill(expected, 0);
    memset(&disk_log, 0, sizeof(disk_log));
    const struct device_host host = dev.host;
    devices_init(&dev, &host, 32u << 20, media, SECTORS);
    dev.host.disk_written = disk_written;
    dev.host.disk_flush = disk_flush;
    pic_setup(1, 1);
}

TestSuite(ide, .init = disk_setup);

static void command(uint8_t code, uint32_t sector, uint8_t count)
{
    out(0x1F6, (uint8_t)(LBA | sector >> 24));
    out(0x1F2, count);
    out(0x1F3, (uint8_t)sector);
    out(0x1F4, (uint8_t)(sector >> 8));
    out(0x1F5, (uint8_t)(sector >> 16));
    out(STATUS, code);
}

static void end_of_interrupt(void)
{
    out(0xA0, 0x20), out(0x20, 0x20);
}

/* An interrupt arrives; its handler reads the status. */
#define cr_interrupted(status_expected)                                                            \
    do {                                                                                           \
        cr_assert_eq(take(), IRQ14_VECTOR);                                                        \
        cr_assert_eq(in(STATUS), status_expected);                                                 \
        end_of_interrupt();                                                                        \
        cr_assert_eq(take(), -1);                                                                  \
    } while (0)

static void read_words(uint8_t *to, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const uint16_t word = (uint16_t)devices_in(&dev, 0x1F0, 2);
        memcpy(to + i * 2, &word, 2);
    }
}

static void write_words(const uint8_t *from, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint16_t word;
        memcpy(&word, from + i * 2, 2);
        devices_out(&dev, 0x1F0, 2, word);
    }
}

Test(ide, signature_after_reset)
{
    for (int round = 0; round < 2; round++) {
        cr_assert_eq(in(0x1F1), 1);
        cr_assert_eq(in(0x1F2), 1);
        cr_assert_eq(in(0x1F3), 1);
        cr_assert_eq(in(0x1F4), 0);
        cr_assert_eq(in(0x1F5), 0);
        cr_assert_eq(in(STATUS), READY);
        command(0x20, 5, 9);
        out(ALTERNATE, 0x04);
        out(ALTERNATE, 0x00);
        cr_assert_eq(in(0x1F6), 0xA0);
    }
    cr_assert_eq(take(), -1, "a reset raises no interrupt, and takes the read's back");
}

Test(ide, identify)
{
    uint16_t id[256];
    command(0xEC, 0, 0);
    cr_interrupted(WITH_DATA);
    read_words((uint8_t *)id, 256);
    cr_assert_eq(in(STATUS), READY);
    cr_assert_eq(take(), -1, "the end of a read is not reported");
    cr_assert_eq(id[0], 0x0040);
    cr_assert(id[1] == 2 && id[3] == 16 && id[6] == 63);
    cr_assert_eq(id[47] & 0xFF, IDE_MULTIPLE);
    cr_assert(id[49] & 0x0200, "LBA");
    cr_assert_eq(id[60] | id[61] << 16, (int)SECTORS);
    cr_assert_eq(id[27], 'T' << 8 | 'R');
    cr_assert_eq(id[59], 0, "no multiple setting yet");
}

Test(ide, read_sectors_one_interrupt_each)
{
    uint8_t got[3 * IDE_SECTOR];
    command(0x20, 100, 3);
    for (int i = 0; i < 3; i++) {
        cr_interrupted(WITH_DATA);
        read_words(got + i * IDE_SECTOR, 256);
    }
    cr_assert_eq(take(), -1);
    cr_assert_eq(in(STATUS), READY);
    cr_assert_arr_eq(got, expected + 100 * IDE_SECTOR, sizeof(got));
}

Test(ide, read_multiple_one_interrupt_a_block)
{
    static uint8_t got[40 * IDE_SECTOR];
    command(0xC6, 0, 16);
    cr_interrupted(READY);
    command(0xC4, 7, 40);
    for (int done = 0; done < 40; done += 16) {
        cr_interrupted(WITH_DATA);
        read_words(got + done * IDE_SECTOR, (40 - done < 16 ? 40 - done : 16) * 256);
    }
    cr_assert_eq(in(STATUS), READY);
    cr_assert_arr_eq(got, expected + 7 * IDE_SECTOR, sizeof(got));
}

Test(ide, write_asks_first_and_reports_each_block)
{
    uint8_t data[2 * IDE_SECTOR];
    memset(data, 0xA5, sizeof(data));
    command(0x30, 9, 2);
    cr_assert_eq(take(), -1, "the first block is asked for without an interrupt");
    cr_assert_eq(in(ALTERNATE), WITH_DATA);
    write_words(data, 256);
    cr_assert_eq(disk_log.last, 9);
    cr_interrupted(WITH_DATA);
    write_words(data, 255);
    cr_assert_arr_eq(media + 10 * IDE_SECTOR, expected + 10 * IDE_SECTOR, IDE_SECTOR,
                     "a sector is written whole");
    write_words(data, 1);
    cr_interrupted(READY);
    memset(expected + 9 * IDE_SECTOR, 0xA5, 2 * IDE_SECTOR);
    cr_assert_arr_eq(media, expected, sizeof(media));
    cr_assert(disk_log.writes == 2 && disk_log.sectors == 2 && disk_log.last == 10);
}

Test(ide, write_multiple)
{
    static uint8_t data[20 * IDE_SECTOR];
    memset(data, 0x5A, sizeof(data));
    command(0xC6, 0, 8);
    cr_interrupted(READY);
    command(0xC5, 40, 20);
    write_words(data, 8 * 256);
    cr_interrupted(WITH_DATA);
    write_words(data, 8 * 256);
    cr_interrupted(WITH_DATA);
    write_words(data, 4 * 256);
    cr_interrupted(READY);
    memset(expected + 40 * IDE_SECTOR, 0x5A, sizeof(data));
    cr_assert_arr_eq(media, expected, sizeof(media));
    cr_assert_eq(disk_log.sectors, 20);
}

Test(ide, count_zero_is_256)
{
    static uint8_t got[256 * IDE_SECTOR];
    command(0x21, 0, 0);
    read_words(got, 256 * 256);
    cr_assert_eq(in(STATUS), READY);
    cr_assert_arr_eq(got, expected, sizeof(got));
}

/* Cylinder, head, sector; also with another translation. */
Test(ide, cylinders_heads_sectors)
{
    uint8_t got[IDE_SECTOR];
    static const struct {
        uint8_t track, heads; /* 0: the default */
        uint8_t cylinder, head, sector;
        uint32_t lba;
    } cases[] = {{0, 0, 0, 0, 1, 0},
                 {0, 0, 1, 2, 3, 1008 + 126 + 2},
                 {0, 0, 1, 15, 63, 2015},
                 {17, 4, 2, 3, 17, 203},
                 {17, 4, 0, 1, 1, 17}};
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        disk_setup();
        if (cases[i].track) {
            out(0x1F2, cases[i].track), out(0x1F6, 0xA0 | (cases[i].heads - 1));
            out(STATUS, 0x91);
            cr_assert_eq(in(STATUS), READY);
        }
        out(0x1F2, 1), out(0x1F3, cases[i].sector);
        out(0x1F4, cases[i].cylinder), out(0x1F5, 0), out(0x1F6, 0xA0 | cases[i].head);
        out(STATUS, 0x20);
        read_words(got, 256);
        cr_assert_arr_eq(got, expected + cases[i].lba * IDE_SECTOR, IDE_SECTOR, "case %u", i);
    }
    out(0x1F3, 0); /* there is no sector 0 */
    out(STATUS, 0x20);
    cr_assert_eq(in(STATUS), FAILED);
    cr_assert_eq(in(0x1F1), 0x10);
}

Test(ide, beyond_the_last_sector)
{
    static const struct {
        uint8_t code;
        uint32_t sector;
        uint8_t count;
    } cases[] = {{0x20, SECTORS, 1}, {0x20, 0x0FFFFFFF, 1},    {0x40, SECTORS - 1, 2},
                 {0x30, SECTORS, 1}, {0xC4, SECTORS - 15, 16}, {0xC5, SECTORS - 15, 16},
                 {0x40, SECTORS, 0}};
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        disk_setup();
        command(0xC6, 0, 16);
        cr_interrupted(READY);
        command(cases[i].code, cases[i].sector, cases[i].count);
        cr_interrupted(FAILED);
        cr_assert_eq(in(0x1F1), 0x10, "IDNF, case %u", i);
        cr_assert_eq(devices_in(&dev, 0x1F0, 2), 0xFFFF, "no data");
    }
    cr_assert_arr_eq(media, expected, sizeof(media));
}

/* What can be read is; then the error shows where it stopped. */
Test(ide, runs_off_the_end)
{
    uint8_t got[IDE_SECTOR];
    command(0x20, SECTORS - 1, 2);
    cr_interrupted(WITH_DATA);
    read_words(got, 256);
    cr_interrupted(FAILED);
    cr_assert_eq(in(0x1F3) | in(0x1F4) << 8, SECTORS);
}

Test(ide, unknown_commands_abort)
{
    static const uint8_t codes[] = {0x00, 0x08, 0xA0, 0xA1, 0xC8, 0xCA,
                                    0xB0, 0xF5, 0xFF, 0xC4, 0xC5};
    for (unsigned i = 0; i < sizeof(codes); i++) {
        command(codes[i], 0, 1);
        cr_interrupted(FAILED);
        cr_assert_eq(in(0x1F1), 0x04, "command %02x", codes[i]);
    }
    command(0xC6, 0, 3); /* no power of two */
    cr_interrupted(FAILED);
    command(0xC6, 0, 32);
    cr_interrupted(FAILED);
}

Test(ide, commands_without_data)
{
    static const uint8_t codes[] = {0x10, 0x1F, 0x70, 0x40, 0x91, 0xE0, 0xE1, 0xE5, 0xE7};
    for (unsigned i = 0; i < sizeof(codes); i++) {
        command(codes[i], 1, 1);
        cr_interrupted(READY);
    }
    cr_assert_eq(disk_log.flushes, 1);
    command(0xE5, 0, 0);
    cr_assert_eq(in(0x1F2), 0xFF, "active");
    out(0x1F1, 0x02), command(0xEF, 0, 0); /* write cache on */
    cr_assert_eq(in(STATUS), READY);
    out(0x1F1, 0x03), command(0xEF, 0, 0x42); /* a DMA mode */
    cr_assert_eq(in(STATUS), FAILED);
    out(0x1F1, 0x03), command(0xEF, 0, 0x0C); /* PIO 4 */
    cr_assert_eq(in(STATUS), READY);
}

Test(ide, status_takes_the_interrupt_back_and_the_alternate_does_not)
{
    command(0xE7, 0, 0);
    cr_assert_eq(in(ALTERNATE), READY);
    cr_assert(devices_irq_pending(&dev));
    cr_assert_eq(in(STATUS), READY);
    cr_assert_not(dev.pic.chip[1].lines & 1 << 6);
}

Test(ide, interrupts_off)
{
    out(ALTERNATE, 0x02);
    command(0xE7, 0, 0);
    cr_assert_eq(take(), -1);
    out(ALTERNATE, 0x00);
    cr_assert_eq(take(), IRQ14_VECTOR, "it was pending all the time");
}

Test(ide, no_slave)
{
    out(0x1F6, 0xB0);
    cr_assert_eq(in(STATUS), 0);
    cr_assert_eq(in(ALTERNATE), 0);
    out(STATUS, 0xEC);
    cr_assert_eq(take(), -1);
    cr_assert_eq(devices_in(&dev, 0x1F0, 2), 0xFFFF);
    out(0x1F6, 0xA0);
    cr_assert_eq(in(STATUS), READY, "the master heard nothing");
}

Test(ide, no_disk)
{
    const struct device_host host = dev.host;
    devices_init(&dev, &host, 32u << 20, NULL, 0);
    for (uint16_t port = 0x1F1; port < 0x1F8; port++)
        cr_assert_eq(in(port), 0xFF);
    cr_assert_eq(in(ALTERNATE), 0xFF);
    command(0xEC, 0, 0);
    cr_assert_eq(take(), -1);
    cr_assert_eq(devices_in(&dev, 0x1F0, 4), 0xFFFFFFFF);
    devices_out(&dev, 0x1F0, 2, 7);
    cr_assert_eq(host_log.unknown_count, 0, "a drive that is missing is nothing unusual");
}

/* Registers are the drive's while it transfers; a new command stops it. */
Test(ide, busy_with_data)
{
    command(0x20, 3, 1);
    out(0x1F2, 77);
    cr_assert_eq(in(0x1F2), 1);
    command(0xE7, 0, 0);
    cr_assert_eq(in(STATUS), READY);
    cr_assert_eq(devices_in(&dev, 0x1F0, 2), 0xFFFF);
}

Test(ide, widths_of_the_data_register)
{
    uint32_t want;
    command(0x20, 0, 1);
    cr_assert_eq(in(0x1F0), 0xFF, "a byte takes nothing");
    memcpy(&want, expected, 4);
    cr_assert_eq(devices_in(&dev, 0x1F0, 4), want);
    uint16_t next;
    memcpy(&next, expected + 4, 2);
    cr_assert_eq(devices_in(&dev, 0x1F0, 2), next);
}

Test(ide, bulk_is_the_same_as_one_by_one)
{
    static uint8_t got[32 * IDE_SECTOR];
    uint32_t at = 0, most;
    command(0xC6, 0, 4);
    command(0xC4, 11, 32);
    while ((most = devices_bulk(&dev, 0x1F0, 2, true))) {
        const uint32_t n = at % 3 ? most : most > 100 ? 100 : most;
        devices_in_bytes(&dev, 0x1F0, got + at, n);
        at += n;
    }
    cr_assert_eq(at, sizeof(got));
    cr_assert_arr_eq(got, expected + 11 * IDE_SECTOR, sizeof(got));
    command(0x30, 1, 1);
    cr_assert_eq(devices_bulk(&dev, 0x1F0, 2, true), 0, "it wants data, and has none");
    cr_assert_eq(devices_bulk(&dev, 0x1F0, 1, false), 0);
    cr_assert_eq(devices_bulk(&dev, 0x1F2, 2, false), 0);
    devices_out_bytes(&dev, 0x1F0, got, devices_bulk(&dev, 0x1F0, 4, false));
    cr_assert_arr_eq(media + IDE_SECTOR, got, IDE_SECTOR);
}

/* Whatever a guest writes to the ports: nothing outside the media and the block is touched (the
 * sanitizers watch), and the drive is still there afterwards. */
Test(ide, fuzz)
{
    uint32_t seed = 2026;
    static uint8_t bytes[IDE_MULTIPLE * IDE_SECTOR];
    for (int i = 0; i < 300000; i++) {
        seed = seed * 1664525 + 1013904223;
        const uint32_t r = seed >> 8;
        static const uint8_t likely[] = {0x20, 0x30, 0xC4, 0xC5, 0xC6, 0xEC, 0x91, 0x40};
        const uint16_t port = (uint16_t)(r % 19 == 0 ? ALTERNATE : 0x1F0 + r % 8);
        const unsigned size = 1u << (r >> 4 & 3) % 3;
        const uint32_t value = port == STATUS ? likely[r >> 9 & 7] : r >> 7;
        if (r >> 5 & 1)
            devices_out(&dev, port, size, port == 0x1F6 ? value & 0x4F : value);
        else
            devices_in(&dev, port, size);
        const uint32_t n = devices_bulk(&dev, 0x1F0, 2, r & 1);
        if (n && r & 2 && r & 1)
            devices_in_bytes(&dev, 0x1F0, bytes, n);
        else if (n && r & 2)
            devices_out_bytes(&dev, 0x1F0, bytes, n);
    }
    out(ALTERNATE, 0), out(ALTERNATE, 4), out(ALTERNATE, 0);
    out(0x1F6, 0xE0);
    cr_assert_eq(in(STATUS), READY);
}
