/*
 * libFuzzer on the virtio devices: whatever a driver writes into registers, configuration space and
 * rings, and whenever it does, the devices stay within guest memory and the disk; they tell of each
 * byte that they change; and one that needs a reset is quiet.
 * Input: a byte of flags, then operations: see operation().
 *
 * A second CPU of the guest is played by ram_written(): it damages the rings in the middle of a
 * request. A device that reads a field again after checking it goes wrong then.
 */
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>

#include "virtio_driver.h"

#define SECTORS 8u
#define QUEUE 16u     /* entries of the rings, where the driver is a good one */
#define OPERATIONS 32 /* in one case, at most */

#define FLAG_SECOND_CPU 1
#define FLAG_INDIRECT 2
#define FLAG_EVENT_INDEX 4
#define FLAG_NO_SET_UP 8 /* a driver that leaves out the usual beginning */

#define HOLDS(what) ((what) ? (void)0 : broken(#what))

static uint8_t seen_ram[RAM_SIZE], media[SECTORS * IDE_SECTOR], seen_media[sizeof(media)];
static const uint8_t *input;
static size_t left;
static bool second_cpu;
static uint32_t sent, written, input_room;

static void broken(const char *what)
{
    fprintf(stderr, "\"%s\" does not hold\n", what);
    abort();
}

/* The input's next bytes; zeros behind its end. */
static uint32_t take(unsigned n)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < n && left; i++, left--)
        value |= (uint32_t)*input++ << 8 * i;
    return value;
}

/* --- what the devices ask of the host --- */

static uint64_t host_time(void *opaque)
{
    (void)opaque;
    return 0;
}

static void host_byte(void *opaque, uint8_t byte)
{
    (void)opaque, (void)byte;
    sent++;
}

static void host_nothing(void *opaque)
{
    (void)opaque;
}

static void host_room(void *opaque)
{
    (void)opaque;
    input_room++;
}

static void host_cell(void *opaque, uint16_t cell)
{
    (void)opaque, (void)cell;
}

static void host_status(void *opaque, int status)
{
    (void)opaque, (void)status;
}

static void host_port(void *opaque, uint16_t port, bool in, unsigned size, uint32_t value)
{
    (void)opaque, (void)port, (void)in, (void)size, (void)value;
}

static void host_mark(void *opaque, uint32_t value)
{
    (void)opaque, (void)value;
}

static void note_ram(void *opaque, gpa_t gpa, uint32_t n)
{
    (void)opaque;
    HOLDS(ram_at(NULL, gpa, n));
    memcpy(seen_ram + gpa, ram + gpa, n);
    written++;
    if (!second_cpu)
        return;
    const unsigned q = written & 1, i = written / 2 % QUEUE;
    descriptor(TABLE(q), i, 0xFFFFFFFFFFFFFFF0ull, 0xFFFFFFFF, NEXT | WRITE, 0xFFFF);
    descriptor(DATA, i, 0xFFFFFFFFFFFFFFF0ull, 0xFFFFFFFF, NEXT, 0xFFFF);
    poke(AVAILABLE(q) + 4 + 2 * i, 2, 0xFFFF);
}

static void note_media(void *opaque, uint32_t sector, uint32_t count)
{
    (void)opaque;
    HOLDS(sector < SECTORS && count <= SECTORS - sector);
    memcpy(seen_media + sector * IDE_SECTOR, media + sector * IDE_SECTOR, count * IDE_SECTOR);
}

static void start(void)
{
    static const struct device_host host = {
        .now_ns = host_time,
        .serial_out = host_byte,
        .cursor = host_cell,
        .power_off = host_status,
        .reset = host_nothing,
        .rtc_seconds = host_time,
        .unknown_port = host_port,
        .mark = host_mark,
        .disk_written = note_media,
        .disk_flush = host_nothing,
        .ram = ram_at,
        .ram_written = note_ram,
        .input_room = host_room,
    };
    ASAN_UNPOISON_MEMORY_REGION(ram, sizeof(ram));
    memset(ram, 0, sizeof(ram));
    ASAN_POISON_MEMORY_REGION(ram + HOLE, HOLE_END - HOLE);
    memset(media, 0x5A, sizeof(media));
    memset(seen_ram, 0, sizeof(seen_ram));
    ram_copy = seen_ram;
    memset(seen_media, 0x5A, sizeof(seen_media));
    devices_init(&dev, &host, RAM_SIZE, media, SECTORS);
    devices_add_virtio(&dev);
}

/* --- the driver --- */

/* An address: mostly of something that is there. */
static uint64_t address(void)
{
    static const uint64_t places[] = {
        DATA,     DATA + 0x400, TABLE(0),    TABLE(1),       AVAILABLE(0),
        USED(1),  HOLE - 16,    HOLE,        HOLE_END,       RAM_SIZE - 8,
        RAM_SIZE, 0xFFFFFFF0,   0x100000000, UINT64_MAX - 7, 0x1000000000ull,
    };
    const uint32_t which = take(1);
    const uint32_t n = sizeof(places) / sizeof(places[0]);
    return which < 128 ? DATA + (which & 63) * 16 : places[which % n];
}

static uint32_t length(void)
{
    static const uint32_t lengths[] = {1, 16, 512,    513,        1024,
                                       0, 32, 0x1000, 0xFFFFFFFF, 0x80000000};
    const uint32_t which = take(1);
    return which < 192 ? lengths[which % 5] : lengths[which % (sizeof(lengths) / 4)];
}

static void put_descriptor(uint32_t table)
{
    const uint32_t i = take(1) % QUEUE, bits = take(1);
    const uint64_t at = address();
    const uint32_t next = bits & 0x80 ? take(2) : i + 1;
    descriptor(table, i, at, length(), bits & 7, next);
}

/* The header of a block request, somewhere in the data. */
static void put_header(void)
{
    static const uint32_t types[] = {0, 1, 4, 8, 11, 0xFFFFFFFF};
    const uint32_t which = take(1), at = DATA + (which & 63) * 16;
    poke(at, 4, types[which % 6]);
    poke(at + 8, 8, which & 0x40 ? UINT64_MAX - which : take(1) % (SECTORS + 2));
}

/* Header, data, status: as a good driver would do it, but for a twist now and then. */
static void request(void)
{
    const uint32_t bits = take(1), q = bits >> 7;
    const uint32_t table = bits & 0x40 ? DATA + 0x800 : TABLE(q);
    put_header();
    descriptor(table, 0, DATA + (take(1) & 63) * 16, 16, NEXT, 1);
    descriptor(table, 1, address(), length(), NEXT | (bits & 2), 2);
    descriptor(table, 2, address(), bits & 0x20 ? length() : 1, WRITE, 0);
    if (bits & 0x40)
        descriptor(TABLE(q), 0, table, bits & 0x10 ? length() : 48, INDIRECT | (bits & 1), 0);
    offer(q, QUEUE, 0);
}

/* Are both devices' registers where they were at first? One may have been moved over the other. */
static bool at_home(void)
{
    return pci_word(dev.blk.v.pci, PCI_BAR0) == (BLK | 1) &&
           pci_word(dev.console.v.pci, PCI_BAR0) == (CONSOLE | 1);
}

/* queues: one bit for each that it enables */
static void good_driver(unsigned base, uint32_t features, unsigned queues)
{
    const uint32_t flush = 1u << 9; /* which consoles do not have */
    const uint32_t status = begin(base, base == BLK ? features : features & ~flush);
    HOLDS(!at_home() || status == (ACKNOWLEDGE | DRIVER | FEATURES_OK));
    for (unsigned q = 0; q < VIRTIO_QUEUES; q++) {
        if (!(queues >> q & 1))
            continue;
        memset(ram + RINGS(q), 0, 0xC00);
        memset(seen_ram + RINGS(q), 0, 0xC00);
        queue(base, q, QUEUE);
    }
    go(base);
}

/* One access, or what belongs together; returns the device that is meant. */
static const struct virtio *operation(uint32_t features)
{
    const unsigned base = take(1) & 1 ? CONSOLE : BLK;
    const unsigned slot = base == BLK ? BLK_SLOT : CONSOLE_SLOT;
    const uint32_t what = take(1) % 16;
    switch (what) {
    case 0:
        reg_out(base, take(1) & 0x7F, 1u << take(1) % 3, take(4));
        break;
    case 1:
        reg_in(base, take(1) & 0x7F, 1u << take(1) % 3);
        break;
    case 2:
        config_out(slot, take(1), 1u << take(1) % 3, take(4));
        break;
    case 3:
        config_in(slot, take(1), 1u << take(1) % 3);
        break;
    case 4:
    case 5:
        put_descriptor(TABLE(take(1) & 1));
        break;
    case 6:
        put_descriptor(DATA + 0x800);
        break;
    case 7:
        put_header();
        break;
    case 8:
        offer(take(1) & 1, QUEUE, take(1) & 0x80 ? take(2) : 0);
        break;
    case 9:
        poke(take(2) % (HOLE - 4), 4, take(4));
        break;
    case 10:
        good_driver(base, features, take(1));
        break;
    case 11:
        for (uint32_t n = take(1); n && devices_serial_in(&dev, (uint8_t)n); n--)
            ;
        devices_tick(&dev);
        return &dev.console.v;
    case 12:
        queue_at(base, take(1) & 1, 1u << take(1) % 9, address(), address(), address());
        go(base);
        break;
    default:
        request();
        reg_out(base, NOTIFY, 2, take(1) & 3);
        break;
    }
    return base == BLK ? &dev.blk.v : &dev.console.v;
}

/* What the registers say about themselves; reading a window's data would do something. */
static void check_device(unsigned base, const struct virtio *v, unsigned irq)
{
    const uint32_t command = pci_word(v->pci, PCI_COMMAND);
    const bool line = dev.pic.chip[1].lines >> (irq - 8) & 1;
    HOLDS(line == (v->isr && !(command & PCI_COMMAND_NO_INTX)));
    HOLDS(v->isr < 4);
    if (command & PCI_COMMAND_IO && at_home())
        HOLDS(reg_in(base, STATUS, 1) == v->status);
    for (unsigned q = 0; q < VIRTIO_QUEUES; q++) {
        const uint16_t size = v->queue[q].size;
        HOLDS(size && size <= VQ_SIZE_MAX && !(size & (size - 1)));
    }
}

/* All that the devices have written they have told of. */
static void check_memory(void)
{
    HOLDS(!memcmp(ram, seen_ram, HOLE));
    HOLDS(!memcmp(ram + HOLE_END, seen_ram + HOLE_END, RAM_SIZE - HOLE_END));
    HOLDS(!memcmp(media, seen_media, sizeof(media)));
}

/* May it write to memory: is it running, with a driver that it has no quarrel with? */
static bool may_write(const struct virtio *v)
{
    return (v->status & (DRIVER_OK | FEATURES_OK | NEEDS_RESET)) == (DRIVER_OK | FEATURES_OK) &&
           pci_word(v->pci, PCI_COMMAND) & PCI_COMMAND_MASTER;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = data;
    left = size;
    start();
    const uint32_t flags = take(1);
    const uint32_t features = (flags & FLAG_INDIRECT ? 1u << 28 : 0) |
                              (flags & FLAG_EVENT_INDEX ? 1u << 29 : 0) | (flags >> 4 & 1) << 9;
    second_cpu = flags & FLAG_SECOND_CPU;
    if (!(flags & FLAG_NO_SET_UP)) {
        good_driver(BLK, features, 1);
        good_driver(CONSOLE, features, 3);
    }
    for (int i = 0; i < OPERATIONS && left; i++) {
        const bool blk = may_write(&dev.blk.v), console = may_write(&dev.console.v);
        written = 0;
        const struct virtio *v = operation(features);
        const bool could = v == &dev.blk.v ? blk : console;
        if (!could && !may_write(v) && at_home())
            HOLDS(!written);
        check_device(BLK, &dev.blk.v, BLK_IRQ);
        check_device(CONSOLE, &dev.console.v, CONSOLE_IRQ);
        HOLDS(dev.console.count <= VIRTIO_CONSOLE_FIFO && dev.console.head < VIRTIO_CONSOLE_FIFO);
    }
    check_memory();
    return 0;
}
