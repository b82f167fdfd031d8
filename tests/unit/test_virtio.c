/* The virtio devices: set-up, virtqueues good and bad, the disk, the console (OASIS virtio 1.2). */
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

static void note_flush(void *opaque)
{
    (void)opaque;
    flushes++;
}

static void note_disk(void *opaque, uint32_t sector, uint32_t count)
{
    (void)opaque;
    disk_writes++;
    last_sector = sector;
    last_count = count;
}

static void note_ram(void *opaque, gpa_t gpa, uint32_t n)
{
    (void)opaque;
    cr_assert(ram_at(NULL, gpa, n) && n);
    ram_writes++;
}

static void note_room(void *opaque)
{
    (void)opaque;
    rooms++;
}

static void virtio_setup(void)
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

TestSuite(virtio, .init = virtio_setup);

static void start_blk(uint32_t features)
{
    cr_assert_eq(begin(BLK, features), ACKNOWLEDGE | DRIVER | FEATURES_OK);
    queue(BLK, 0, SIZE);
    go(BLK);
}

static void notify(unsigned base, unsigned q)
{
    reg_out(base, NOTIFY, 2, q);
}

/* --- set-up --- */

Test(virtio, features_on_offer)
{
    reg_out(BLK, DEVICE_SELECT, 4, 0);
    cr_expect_eq(reg_in(BLK, DEVICE_FEATURE, 4),
                 F_INDIRECT | F_EVENT | F_FLUSH | 1u << 6 | 1u << 2);
    reg_out(CONSOLE, DEVICE_SELECT, 4, 0);
    cr_expect_eq(reg_in(CONSOLE, DEVICE_FEATURE, 4), F_INDIRECT | F_EVENT | 1u << 2);
    reg_out(BLK, DEVICE_SELECT, 4, 1);
    cr_expect_eq(reg_in(BLK, DEVICE_FEATURE, 4), 1, "version 1");
    reg_out(BLK, DEVICE_SELECT, 4, 2);
    cr_expect_eq(reg_in(BLK, DEVICE_FEATURE, 4), 0);
}

Test(virtio, features_that_are_not_offered)
{
    cr_expect_eq(begin(BLK, 1u << 5), ACKNOWLEDGE | DRIVER, "read-only: it is not");
    cr_expect_eq(begin(BLK, F_FLUSH), ACKNOWLEDGE | DRIVER | FEATURES_OK);
    reg_out(BLK, DRIVER_SELECT, 4, 0);
    reg_out(BLK, DRIVER_FEATURE, 4, F_EVENT);
    cr_expect_eq(reg_in(BLK, DRIVER_FEATURE, 4), F_FLUSH, "what is agreed on stays");
    reg_out(BLK, STATUS, 1, 0);
    reg_out(BLK, STATUS, 1, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    cr_expect_eq(reg_in(BLK, STATUS, 1), ACKNOWLEDGE | DRIVER, "not even version 1");
}

Test(virtio, a_reset_forgets_all)
{
    start_blk(F_FLUSH);
    reg_out(BLK, STATUS, 1, 0);
    cr_expect_eq(reg_in(BLK, STATUS, 1), 0);
    reg_out(BLK, DRIVER_SELECT, 4, 0);
    cr_expect_eq(reg_in(BLK, DRIVER_FEATURE, 4), 0);
    reg_out(BLK, QUEUE_SELECT, 2, 0);
    cr_expect_eq(reg_in(BLK, QUEUE_LENGTH, 2), VQ_SIZE_MAX);
    cr_expect_eq(reg_in(BLK, QUEUE_ENABLE, 2), 0);
    cr_expect_eq(reg_in(BLK, QUEUE_TABLE, 4), 0);
}

Test(virtio, queue_registers)
{
    begin(CONSOLE, 0);
    reg_out(CONSOLE, QUEUE_SELECT, 2, 2);
    cr_expect_eq(reg_in(CONSOLE, QUEUE_LENGTH, 2), 0, "there is no third queue");
    reg_out(CONSOLE, QUEUE_ENABLE, 2, 1);
    reg_out(CONSOLE, QUEUE_SELECT, 2, 1);
    static const uint16_t odd[] = {0, 3, 129, 256, 0x8000};
    for (unsigned i = 0; i < ARRAY_LEN(odd); i++) {
        reg_out(CONSOLE, QUEUE_LENGTH, 2, odd[i]);
        cr_expect_eq(reg_in(CONSOLE, QUEUE_LENGTH, 2), VQ_SIZE_MAX, "%u", odd[i]);
    }
    queue(CONSOLE, 1, SIZE);
    cr_expect_eq(reg_in(CONSOLE, QUEUE_ENABLE, 2), 1);
    reg_out(CONSOLE, QUEUE_TABLE, 4, 0x12340);
    cr_expect_eq(reg_in(CONSOLE, QUEUE_TABLE, 4), TABLE(1), "fixed while it is enabled");
    reg_out(CONSOLE, QUEUE_ENABLE, 2, 0);
    cr_expect_eq(reg_in(CONSOLE, QUEUE_ENABLE, 2), 1, "a driver cannot");
    cr_expect_eq(reg_in(CONSOLE, 16, 2), 0xFFFF, "no MSI-X");
}

/* --- the disk --- */

/* A request in three pieces, from descriptor 0 of a table on. */
static void three_pieces(uint32_t at, uint32_t type, uint64_t sector, uint32_t n)
{
    poke(HEADER, 4, type);
    poke(HEADER + 8, 8, sector);
    poke(STATUS_BYTE, 1, 0xEE);
    descriptor(at, 0, HEADER, 16, NEXT, 1);
    descriptor(at, 1, BUFFER, n, NEXT | (type == 1 ? 0 : WRITE), 2);
    descriptor(at, 2, STATUS_BYTE, 1, WRITE, 0);
}

/* Make a request; returns its status, and checks the used ring. */
static uint32_t request(uint32_t type, uint64_t sector, uint32_t n, uint32_t used)
{
    const uint32_t index = peek(USED(0) + 2, 2);
    three_pieces(TABLE(0), type, sector, n);
    offer(0, SIZE, 0);
    notify(BLK, 0);
    cr_assert_eq(peek(USED(0) + 2, 2), index + 1, "it is back");
    cr_expect_eq(peek(USED(0) + 4 + index % SIZE * 8, 4), 0, "the head");
    cr_expect_eq(peek(USED(0) + 8 + index % SIZE * 8, 4), used, "type %u: %u bytes", type,
                 peek(USED(0) + 8 + index % SIZE * 8, 4));
    return peek(STATUS_BYTE, 1);
}

Test(virtio, blk_reads_and_writes)
{
    start_blk(F_FLUSH);
    cr_expect_eq(reg_in(BLK, CONFIG, 4), SECTORS);
    cr_expect_eq(reg_in(BLK, CONFIG + 12, 4), VQ_SIZE_MAX - 2);
    cr_expect_eq(reg_in(BLK, CONFIG + 20, 4), IDE_SECTOR);
    cr_expect_eq(request(0, 3, 1024, 1025), 0);
    cr_expect_arr_eq(ram + BUFFER, media + 3 * IDE_SECTOR, 1024);
    memset(ram + BUFFER, 0xAB, 1024);
    cr_expect_eq(request(1, 14, 1024, 1), 0);
    cr_expect_arr_eq(media + 14 * IDE_SECTOR, ram + BUFFER, 1024);
    cr_expect(disk_writes == 1 && last_sector == 14 && last_count == 2 && flushes == 0);
    cr_expect_eq(request(4, 0, 0, 1), 0, "flush");
    cr_expect_eq(flushes, 1);
    cr_expect_eq(request(8, 0, 20, 21), 0, "the identity");
    cr_expect_str_eq((char *)ram + BUFFER, "trivisor");
    cr_expect_eq(request(8, 0, 3, 4), 0, "as much of it as there is room for");
    cr_expect_eq(request(11, 0, 512, 1), 2, "not supported");
}

Test(virtio, blk_errors)
{
    start_blk(F_FLUSH);
    static const struct {
        uint64_t sector;
        uint32_t n;
    } bad[] = {{SECTORS, 512}, {SECTORS - 1, 1024}, {UINT64_MAX, 512}, {0, 511},
               {0, 513},       {1ull << 32, 512},   {1ull << 55, 512}, {UINT64_MAX / 512, 512}};
    uint8_t before[sizeof(media)];
    memcpy(before, media, sizeof(media));
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        cr_expect_eq(request(0, bad[i].sector, bad[i].n, 1), 1, "read %u", i);
        cr_expect_eq(request(1, bad[i].sector, bad[i].n, 1), 1, "write %u", i);
    }
    cr_expect_arr_eq(media, before, sizeof(media));
    cr_expect_eq(disk_writes, 0);
    cr_expect_eq(request(0, SECTORS, 0, 1), 0, "nothing, at the end");
    cr_expect_not(reg_in(BLK, STATUS, 1) & NEEDS_RESET, "an error is no broken rule");
}

Test(virtio, blk_without_flush_writes_through)
{
    start_blk(0);
    cr_expect_eq(request(1, 0, 512, 1), 0);
    cr_expect_eq(flushes, 1);
}

/* Where pieces begin and end says nothing: a header in four, a status behind data in one. */
Test(virtio, blk_takes_any_framing)
{
    start_blk(F_FLUSH);
    poke(HEADER, 4, 0);
    poke(HEADER + 8, 8, 5);
    static const uint32_t cuts[] = {0, 1, 7, 8, 16};
    for (unsigned i = 0; i < 4; i++)
        descriptor(TABLE(0), i, HEADER + cuts[i], cuts[i + 1] - cuts[i], NEXT, i + 1);
    descriptor(TABLE(0), 4, BUFFER, 100, WRITE | NEXT, 5);
    descriptor(TABLE(0), 5, BUFFER + 100, 0, WRITE | NEXT, 6);
    descriptor(TABLE(0), 6, BUFFER + 100, 413, WRITE, 0);
    poke(BUFFER + 512, 1, 0xEE);
    offer(0, SIZE, 0);
    notify(BLK, 0);
    cr_expect_arr_eq(ram + BUFFER, media + 5 * IDE_SECTOR, 512);
    cr_expect_eq(peek(BUFFER + 512, 1), 0);
    cr_expect_eq(peek(USED(0) + 8, 4), 513);
}

Test(virtio, indirect_descriptors)
{
    start_blk(F_FLUSH | F_INDIRECT);
    three_pieces(DATA + 0x800, 0, 2, 512);
    descriptor(TABLE(0), 3, DATA + 0x800, 48, INDIRECT, 0);
    offer(0, SIZE, 3);
    notify(BLK, 0);
    cr_expect_eq(peek(STATUS_BYTE, 1), 0);
    cr_expect_arr_eq(ram + BUFFER, media + 2 * IDE_SECTOR, 512);
    cr_expect_eq(peek(USED(0) + 4, 4), 3, "the head is the outer one");

    /* Some plain descriptors may come first. */
    descriptor(TABLE(0), 5, HEADER, 16, NEXT, 6);
    descriptor(TABLE(0), 6, DATA + 0x810, 32, INDIRECT, 0);
    descriptor(DATA + 0x810, 0, BUFFER, 512, NEXT | WRITE, 1);
    descriptor(DATA + 0x810, 1, STATUS_BYTE, 1, WRITE, 0);
    poke(STATUS_BYTE, 1, 0xEE);
    poke(HEADER + 8, 8, 7);
    offer(0, SIZE, 5);
    notify(BLK, 0);
    cr_expect_eq(peek(STATUS_BYTE, 1), 0);
    cr_expect_arr_eq(ram + BUFFER, media + 7 * IDE_SECTOR, 512);
}

Test(virtio, several_requests_for_one_notification)
{
    start_blk(F_FLUSH);
    three_pieces(TABLE(0), 0, 1, 512);
    poke(HEADER + 0x100, 4, 1);
    poke(HEADER + 0x108, 8, 9);
    descriptor(TABLE(0), 3, HEADER + 0x100, 16, NEXT, 4);
    descriptor(TABLE(0), 4, BUFFER, 512, NEXT, 5);
    descriptor(TABLE(0), 5, STATUS_BYTE + 1, 1, WRITE, 0);
    offer(0, SIZE, 0);
    offer(0, SIZE, 3);
    notify(BLK, 0);
    cr_expect_eq(peek(USED(0) + 2, 2), 2);
    cr_expect_eq(peek(USED(0) + 12, 4), 3, "in order");
    cr_expect_arr_eq(media + 9 * IDE_SECTOR, media + IDE_SECTOR, 512);
}

/* Positions are 16 bits wide and wrap, the ring's own size notwithstanding. */
Test(virtio, positions_wrap)
{
    start_blk(F_FLUSH);
    for (uint32_t i = 0; i < 0x10010; i++) {
        descriptor(TABLE(0), 0, HEADER, 16, NEXT, 1);
        poke(HEADER, 4, 4);
        descriptor(TABLE(0), 1, STATUS_BYTE, 1, WRITE, 0);
        offer(0, SIZE, 0);
        notify(BLK, 0);
    }
    cr_expect_eq(flushes, 0x10010);
    cr_expect_eq(peek(USED(0) + 2, 2), 0x10);
}

/* --- interrupts --- */

Test(virtio, interrupt_is_a_level)
{
    start_blk(F_FLUSH);
    request(4, 0, 0, 1);
    cr_expect_eq(config_in(BLK_SLOT, 6, 1) & 8, 8, "the status register shows it");
    cr_expect_eq(take(), BLK_VECTOR);
    out(0xA0, 0x20), out(0x20, 0x20);
    cr_expect_eq(take(), BLK_VECTOR, "it stands until the ISR is read");
    cr_expect_eq(reg_in(BLK, ISR, 1), 1);
    out(0xA0, 0x20), out(0x20, 0x20);
    cr_expect_eq(take(), -1);
    cr_expect_eq(reg_in(BLK, ISR, 1), 0, "and reading clears it");
    cr_expect_eq(config_in(BLK_SLOT, 6, 1) & 8, 0);
}

Test(virtio, interrupt_can_be_disabled)
{
    start_blk(F_FLUSH);
    config_out(BLK_SLOT, 4, 2, 0x0405);
    request(4, 0, 0, 1);
    cr_expect_eq(take(), -1);
    config_out(BLK_SLOT, 4, 2, 0x0005);
    cr_expect_eq(take(), BLK_VECTOR, "it was waiting");
    reg_out(BLK, STATUS, 1, 0);
    out(0xA0, 0x20), out(0x20, 0x20);
    cr_expect_eq(take(), -1, "a reset takes it back");
}

Test(virtio, interrupts_can_be_suppressed)
{
    start_blk(F_FLUSH);
    poke(AVAILABLE(0), 2, 1);
    request(4, 0, 0, 1);
    cr_expect_eq(reg_in(BLK, ISR, 1), 0);
    poke(AVAILABLE(0), 2, 0);
    request(4, 0, 0, 1);
    cr_expect_eq(reg_in(BLK, ISR, 1), 1);
}

/* 2.7.7.1: an interrupt when the entry is met that the driver has named. */
Test(virtio, event_indexes)
{
    static const struct {
        uint16_t event;
        unsigned interrupt;
    } steps[] = {{0xFFFF, 0}, {1, 1}, {1, 0}, {3, 1}, {0, 0}};
    start_blk(F_FLUSH | F_EVENT);
    poke(AVAILABLE(0), 2, 1); /* the flag means nothing now */
    for (unsigned i = 0; i < ARRAY_LEN(steps); i++) {
        poke(AVAILABLE(0) + 4 + 2 * SIZE, 2, steps[i].event);
        request(4, 0, 0, 1);
        cr_expect_eq(reg_in(BLK, ISR, 1), steps[i].interrupt, "step %u", i);
        cr_expect_eq(peek(USED(0) + 4 + 8 * SIZE, 2), i + 1, "the next one is to be told");
    }
    poke(AVAILABLE(0) + 4 + 2 * SIZE, 2, 6);
    offer(0, SIZE, 0), offer(0, SIZE, 0), offer(0, SIZE, 0);
    notify(BLK, 0);
    cr_expect_eq(reg_in(BLK, ISR, 1), 1, "it was in the middle");
}

/* --- drivers that break the rules --- */

enum {
    HOW_INDEX,
    HOW_HEAD,
    HOW_NEXT,
    HOW_LOOP,
    HOW_ORDER,
    HOW_ADDRESS,
    HOW_HOLE,
    HOW_FAR,
    HOW_WRAP,
    HOW_LENGTH,
    HOW_NO_STATUS,
    HOW_NO_HEADER,
    HOW_INDIRECT_UNAGREED,
    HOW_INDIRECT_NEXT,
    HOW_INDIRECT_NESTED,
    HOW_INDIRECT_EMPTY,
    HOW_INDIRECT_ODD,
    HOW_INDIRECT_OUTSIDE,
    HOW_INDIRECT_LONG,
    HOW_COUNT
};

/* Spoil the request at descriptor 0. */
static void spoil(unsigned how)
{
    const uint32_t table = TABLE(0), inner = DATA + 0x800;
    three_pieces(inner, 0, 0, 512);
    switch (how) {
    case HOW_INDEX: /* more requests than the queue has entries */
        poke(AVAILABLE(0) + 2, 2, peek(AVAILABLE(0) + 2, 2) + SIZE);
        break;
    case HOW_HEAD: /* what is behind the table would do */
        descriptor(table, SIZE, HEADER, 16, NEXT, 1);
        poke(AVAILABLE(0) + 4 + 2, 2, SIZE);
        break;
    case HOW_NEXT:
        descriptor(table, SIZE, BUFFER, 512, NEXT | WRITE, 2);
        poke(table + 14, 2, SIZE);
        break;
    case HOW_LOOP:
        poke(table + 16 + 14, 2, 1);
        break;
    case HOW_ORDER: /* readable behind writable */
        poke(table + 32 + 12, 2, 0);
        break;
    case HOW_ADDRESS:
        poke(table + 16, 8, RAM_SIZE - 511);
        break;
    case HOW_HOLE:
        poke(table + 16, 8, HOLE - 256);
        break;
    case HOW_FAR:
        poke(table + 16, 8, (1ull << 32) + BUFFER);
        break;
    case HOW_WRAP:
        poke(table + 16, 8, UINT64_MAX - 255);
        break;
    case HOW_LENGTH:
        poke(table + 16 + 8, 4, 0xFFFFFFFF);
        break;
    case HOW_NO_STATUS:
        poke(table + 12, 2, 0);
        break;
    case HOW_NO_HEADER:
        poke(table + 8, 4, 15);
        break;
    case HOW_INDIRECT_UNAGREED:
    case HOW_INDIRECT_NEXT:
        descriptor(table, 0, inner, 48, INDIRECT | (how == HOW_INDIRECT_NEXT ? NEXT : 0), 1);
        break;
    case HOW_INDIRECT_NESTED:
        descriptor(table, 0, inner, 32, INDIRECT, 0);
        descriptor(inner, 1, inner + 0x40, 32, INDIRECT, 0);
        descriptor(inner + 0x40, 0, BUFFER, 512, NEXT | WRITE, 1);
        descriptor(inner + 0x40, 1, STATUS_BYTE, 1, WRITE, 0);
        break;
    case HOW_INDIRECT_EMPTY:
        descriptor(table, 0, inner, 0, INDIRECT, 0);
        break;
    case HOW_INDIRECT_ODD:
        descriptor(table, 0, inner, 47, INDIRECT, 0);
        break;
    case HOW_INDIRECT_OUTSIDE:
        descriptor(table, 0, RAM_SIZE - 32, 48, INDIRECT, 0);
        break;
    case HOW_INDIRECT_LONG: /* a chain that is longer than the queue */
        descriptor(table, 0, inner, 16 * 16, INDIRECT, 0);
        for (unsigned i = 0; i < 16; i++)
            descriptor(inner, i, HEADER, 16, i < 15 ? NEXT : WRITE, i + 1);
        break;
    }
}

/* A good request, then the bad one: the good one is done and stays done, the bad one leaves no
 * trace, the device stops and says so; and a reset brings it back. */
Test(virtio, broken_rules)
{
    for (unsigned how = 0; how < HOW_COUNT; how++) {
        uint8_t before[sizeof(media)], disk[sizeof(media)];
        virtio_setup();
        start_blk(how == HOW_INDIRECT_UNAGREED ? F_FLUSH : F_FLUSH | F_INDIRECT);
        cr_expect_eq(request(0, 3, 512, 513), 0);
        reg_in(BLK, ISR, 1);
        memcpy(disk, media, sizeof(media));
        memset(ram + BUFFER, 0x77, 1024);
        three_pieces(TABLE(0), 0, 0, 512);
        offer(0, SIZE, 0);
        spoil(how);
        memcpy(before, ram + DATA, 0x1000);
        ram_writes = 0;
        notify(BLK, 0);
        cr_expect_eq(reg_in(BLK, STATUS, 1),
                     ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK | NEEDS_RESET, "%u", how);
        cr_expect_eq(take(), BLK_VECTOR, "%u: the driver is told", how);
        cr_expect_eq(reg_in(BLK, ISR, 1), 2, "%u: a change of configuration", how);
        cr_expect_arr_eq(ram + DATA, before, 0x1000, "%u: data were changed", how);
        cr_expect_arr_eq(media, disk, sizeof(media), "%u: the disk was changed", how);
        cr_expect_eq(peek(USED(0) + 2, 2), 1, "%u: %u are back", how, peek(USED(0) + 2, 2));

        const unsigned writes = ram_writes;
        notify(BLK, 0);
        reg_out(BLK, STATUS, 1, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
        notify(BLK, 0);
        cr_expect_eq(ram_writes, writes, "%u: it is not quiet", how);
        memset(ram, 0, 0x1000);
        start_blk(F_FLUSH);
        cr_expect_eq(request(0, 3, 512, 513), 0, "%u: after the reset", how);
    }
}

Test(virtio, rings_that_are_not_memory)
{
    static const uint64_t bad[][3] = {
        {RAM_SIZE, AVAILABLE(0), USED(0)},     {TABLE(0), RAM_SIZE - 2, USED(0)},
        {TABLE(0), AVAILABLE(0), HOLE - 16},   {TABLE(0) + 8, AVAILABLE(0), USED(0)},
        {TABLE(0), AVAILABLE(0) + 1, USED(0)}, {TABLE(0), AVAILABLE(0), USED(0) + 2},
        {1ull << 32, AVAILABLE(0), USED(0)},   {TABLE(0), UINT64_MAX - 1, USED(0)},
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        begin(BLK, F_FLUSH);
        queue_at(BLK, 0, SIZE, bad[i][0], bad[i][1], bad[i][2]);
        cr_expect(reg_in(BLK, STATUS, 1) & NEEDS_RESET, "%u", i);
        cr_expect_eq(reg_in(BLK, QUEUE_ENABLE, 2), 0, "%u", i);
        go(BLK);
        notify(BLK, 0);
        cr_expect_eq(ram_writes, 0);
    }
}

/* Without permission the device reaches no memory. */
Test(virtio, not_yet)
{
    three_pieces(TABLE(0), 0, 0, 512);
    begin(BLK, F_FLUSH);
    queue(BLK, 0, SIZE);
    offer(0, SIZE, 0);
    notify(BLK, 0);
    cr_expect_eq(ram_writes, 0, "no DRIVER_OK");
    config_out(BLK_SLOT, 4, 2, 0x0001);
    go(BLK);
    notify(BLK, 0);
    cr_expect_eq(ram_writes, 0, "no bus master");
    config_out(BLK_SLOT, 4, 2, 0x0005);
    notify(BLK, 1);
    notify(BLK, 0xFFFF);
    cr_expect_eq(ram_writes, 0, "no such queue");
    notify(BLK, 0);
    cr_expect_eq(peek(STATUS_BYTE, 1), 0);
    cr_expect_gt(ram_writes, 2, "data, status, used ring");
}

/* A driver that says it is ready, and has given the device no queue, or one of two. */
Test(virtio, queues_that_nobody_enabled)
{
    begin(BLK, F_FLUSH);
    go(BLK);
    notify(BLK, 0);
    begin(CONSOLE, F_EVENT);
    queue(CONSOLE, 1, SIZE);
    go(CONSOLE);
    notify(CONSOLE, 0);
    devices_tick(&dev);
    cr_expect_eq(ram_writes, 0);
    cr_expect(devices_serial_in(&dev, 'x'));
    cr_expect_eq(dev.uart.rx_count, 1, "it does not listen");
    begin(CONSOLE, F_EVENT);
    queue(CONSOLE, 0, SIZE);
    go(CONSOLE);
    notify(CONSOLE, 1);
    cr_expect_eq(ram_writes, 0);
    cr_expect_eq(reg_in(CONSOLE, STATUS, 1), ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

/* --- the console --- */

static void start_console(uint32_t features)
{
    cr_assert_eq(begin(CONSOLE, features), ACKNOWLEDGE | DRIVER | FEATURES_OK);
    queue(CONSOLE, 0, SIZE);
    queue(CONSOLE, 1, SIZE);
    go(CONSOLE);
}

Test(virtio, console_output)
{
    start_console(0);
    memcpy(ram + BUFFER, "Hello, world", 12);
    descriptor(TABLE(1), 2, BUFFER, 7, NEXT, 3);
    descriptor(TABLE(1), 3, BUFFER + 7, 5, 0, 0);
    offer(1, SIZE, 2);
    notify(CONSOLE, 1);
    cr_expect_eq(host_log.sent_count, 12);
    cr_expect(!memcmp(host_log.sent, "Hello, world", 12));
    cr_expect_eq(peek(USED(1) + 2, 2), 1);
    cr_expect_eq(peek(USED(1) + 8, 4), 0, "nothing was written to memory");
    cr_expect_eq(reg_in(CONSOLE, ISR, 1), 1);
    reg_out(CONSOLE, CONFIG + 8, 4, '!');
    cr_expect_eq(host_log.sent[12], '!', "emergency write");
    reg_out(CONSOLE, STATUS, 1, 0);
    reg_out(CONSOLE, CONFIG + 8, 4, '?');
    cr_expect_eq(host_log.sent[13], '?', "also without a driver");
}

static void type_text(const char *text)
{
    for (; *text; text++)
        cr_expect(devices_serial_in(&dev, (uint8_t)*text));
    devices_tick(&dev);
}

Test(virtio, console_input)
{
    type_text("u");
    cr_expect_eq(dev.uart.rx_count, 1, "nobody drives the console yet");
    start_console(0);
    type_text("early");
    cr_expect_eq(peek(USED(0) + 2, 2), 0, "there is no buffer");
    for (unsigned i = 0; i < 3; i++) {
        descriptor(TABLE(0), i, BUFFER + 4 * i, 4, WRITE, 0);
        offer(0, SIZE, i);
    }
    notify(CONSOLE, 0);
    cr_expect_eq(rooms, 1);
    cr_expect_eq(peek(USED(0) + 2, 2), 2, "five bytes in two buffers");
    cr_expect(!memcmp(ram + BUFFER, "early", 5));
    cr_expect_eq(peek(USED(0) + 8, 4), 4);
    cr_expect_eq(peek(USED(0) + 16, 4), 1);
    cr_expect_eq(reg_in(CONSOLE, ISR, 1), 1);
    type_text("!");
    cr_expect_eq(peek(BUFFER + 8, 1), '!');
    cr_expect_eq(peek(USED(0) + 24, 4), 1, "a byte does not wait for others");
    cr_expect_eq(dev.uart.rx_count, 1, "the UART is out of it");
}

Test(virtio, console_input_waits_for_room)
{
    start_console(0);
    unsigned taken = 0;
    while (devices_serial_room(&dev) && devices_serial_in(&dev, (uint8_t)taken))
        taken++;
    cr_expect_eq(taken, VIRTIO_CONSOLE_FIFO);
    cr_expect_not(devices_serial_in(&dev, 'x'));
    descriptor(TABLE(0), 0, BUFFER, 200, WRITE, 0);
    offer(0, SIZE, 0);
    notify(CONSOLE, 0);
    cr_expect(devices_serial_room(&dev));
    for (unsigned i = 0; i < 200; i++)
        cr_assert_eq(ram[BUFFER + i], i);
}

/* 2.7.10: buffers for input need not be announced while there is no input. */
Test(virtio, console_suppresses_notifications)
{
    start_console(F_EVENT);
    descriptor(TABLE(0), 0, BUFFER, 1, WRITE, 0);
    offer(0, SIZE, 0);
    notify(CONSOLE, 0);
    cr_expect_eq(peek(USED(0) + 4 + 8 * SIZE, 2), 0xFFFF, "an entry that was passed");
    type_text("ab");
    cr_expect_eq(peek(BUFFER, 1), 'a');
    cr_expect_eq(peek(USED(0) + 4 + 8 * SIZE, 2), 1, "b waits for the next one");
    start_console(0);
    memset(ram, 0, DATA);
    notify(CONSOLE, 0);
    cr_expect_eq(peek(USED(0), 2), 0, "b still waits");
    descriptor(TABLE(0), 0, BUFFER, 1, WRITE, 0);
    offer(0, SIZE, 0);
    notify(CONSOLE, 0);
    cr_expect_eq(peek(BUFFER, 1), 'b');
    cr_expect_eq(peek(USED(0), 2), 1, "no notification is wanted");
}
