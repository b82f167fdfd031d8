/* The driver's side of a virtio device, as good or as bad as a test wants it: guest memory with a
 * hole in it, the registers behind BAR 0, and rings at fixed places. */
#ifndef TESTS_VIRTIO_DRIVER_H
#define TESTS_VIRTIO_DRIVER_H

#include <string.h>

#include "devices.h"

#define RAM_SIZE 0x4000u
#define HOLE 0x3000u /* no RAM up to HOLE_END */
#define HOLE_END 0x3400u
static uint8_t ram[RAM_SIZE] __attribute__((aligned(4096)));
/* If there is one, it gets what the driver writes: what else differs, the devices have written. */
static uint8_t *ram_copy;

static inline void *ram_at(void *opaque, gpa_t gpa, uint32_t n)
{
    (void)opaque;
    if (n > RAM_SIZE || gpa > RAM_SIZE - n || (gpa < HOLE_END && gpa + n > HOLE))
        return NULL;
    return ram + gpa;
}

/* Registers, and where this VMM puts the two devices. */
enum { BLK = 0xC000, CONSOLE = 0xC080 };
enum { BLK_SLOT = 1, CONSOLE_SLOT = 2, BLK_IRQ = 11, CONSOLE_IRQ = 10 };
enum {
    DEVICE_SELECT = 0,
    DEVICE_FEATURE = 4,
    DRIVER_SELECT = 8,
    DRIVER_FEATURE = 12,
    QUEUES = 18,
    STATUS = 20,
    QUEUE_SELECT = 22,
    QUEUE_LENGTH = 24,
    QUEUE_ENABLE = 28,
    QUEUE_TABLE = 32,
    QUEUE_AVAILABLE = 40,
    QUEUE_USED = 48,
    NOTIFY = 0x40,
    ISR = 0x44,
    CONFIG = 0x48,
};
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, NEEDS_RESET = 64 };
enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };

/* Rings of queue q, each with room for 128 entries, and room for data behind them. */
#define RINGS(q) (0x1000u * (q))
#define TABLE(q) RINGS(q)
#define AVAILABLE(q) (RINGS(q) + 0x800u)
#define USED(q) (RINGS(q) + 0xA00u)
#define DATA 0x2000u

static struct devices dev;

static inline uint32_t reg_in(unsigned base, unsigned at, unsigned size)
{
    return devices_in(&dev, (uint16_t)(base + at), size);
}

static inline void reg_out(unsigned base, unsigned at, unsigned size, uint32_t value)
{
    devices_out(&dev, (uint16_t)(base + at), size, value);
}

static inline uint32_t config_in(unsigned slot, unsigned at, unsigned size)
{
    devices_out(&dev, 0xCF8, 4, 0x80000000u | slot << 11 | (at & 0xFC));
    return devices_in(&dev, (uint16_t)(0xCFC + (at & 3)), size);
}

static inline void config_out(unsigned slot, unsigned at, unsigned size, uint32_t value)
{
    devices_out(&dev, 0xCF8, 4, 0x80000000u | slot << 11 | (at & 0xFC));
    devices_out(&dev, (uint16_t)(0xCFC + (at & 3)), size, value);
}

static inline void poke(uint32_t gpa, unsigned size, uint64_t value)
{
    memcpy(ram + gpa, &value, size);
    if (ram_copy)
        memcpy(ram_copy + gpa, &value, size);
}

static inline uint32_t peek(uint32_t gpa, unsigned size)
{
    uint32_t value = 0;
    memcpy(&value, ram + gpa, size);
    return value;
}

/* Reset, then up to FEATURES_OK; features: those of the lower 32 bits. Returns the status. */
static inline uint32_t begin(unsigned base, uint32_t features)
{
    config_out(base == BLK ? BLK_SLOT : CONSOLE_SLOT, 4, 2, 0x0005); /* I/O, bus master */
    reg_out(base, STATUS, 1, 0);
    reg_out(base, STATUS, 1, ACKNOWLEDGE);
    reg_out(base, STATUS, 1, ACKNOWLEDGE | DRIVER);
    reg_out(base, DRIVER_SELECT, 4, 0);
    reg_out(base, DRIVER_FEATURE, 4, features);
    reg_out(base, DRIVER_SELECT, 4, 1);
    reg_out(base, DRIVER_FEATURE, 4, 1);
    reg_out(base, STATUS, 1, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    return reg_in(base, STATUS, 1);
}

static inline void queue_at(unsigned base, unsigned q, uint32_t size, uint64_t table,
                            uint64_t available, uint64_t used)
{
    const uint64_t address[] = {table, available, used};
    reg_out(base, QUEUE_SELECT, 2, q);
    reg_out(base, QUEUE_LENGTH, 2, size);
    for (unsigned i = 0; i < 3; i++) {
        reg_out(base, QUEUE_TABLE + 8 * i, 4, (uint32_t)address[i]);
        reg_out(base, QUEUE_TABLE + 8 * i + 4, 4, (uint32_t)(address[i] >> 32));
    }
    reg_out(base, QUEUE_ENABLE, 2, 1);
}

static inline void queue(unsigned base, unsigned q, uint32_t size)
{
    queue_at(base, q, size, TABLE(q), AVAILABLE(q), USED(q));
}

static inline void go(unsigned base)
{
    reg_out(base, STATUS, 1, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

static inline void descriptor(uint32_t at, unsigned i, uint64_t address, uint32_t length,
                              unsigned flags, unsigned next)
{
    poke(at + 16 * i, 8, address);
    poke(at + 16 * i + 8, 4, length);
    poke(at + 16 * i + 12, 2, flags);
    poke(at + 16 * i + 14, 2, next);
}

/* Offer the chain that begins at a descriptor; size: the queue's. */
static inline void offer(unsigned q, uint32_t size, unsigned head)
{
    const uint32_t index = peek(AVAILABLE(q) + 2, 2);
    poke(AVAILABLE(q) + 4 + index % size * 2, 2, head);
    poke(AVAILABLE(q) + 2, 2, index + 1);
}

#endif
