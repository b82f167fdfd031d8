/* A machine with nothing but devices: a clock that the test sets, and a host that writes down what
 * the devices ask of it. */
#ifndef TESTS_DEVICES_HELPERS_H
#define TESTS_DEVICES_HELPERS_H

#include <criterion/criterion.h>
#include <string.h>

#include "devices.h"

#define PIT_HZ 1193182ull
#define SECOND 1000000000ull
#define LEAP_DAY 1835480096ull /* 2028-02-29 23:34:56 UTC, a Tuesday */

static struct devices dev;
static uint64_t now;

/* What the host was asked. */
static struct {
    char sent[64];
    unsigned sent_count, unknown_count, resets, power_offs, rtc_reads;
    int status;
    uint16_t cursor, unknown_port;
    unsigned unknown_size;
    uint32_t mark, unknown_value;
} host_log;

static inline uint64_t host_now(void *opaque)
{
    (void)opaque;
    return now;
}

static inline void host_serial(void *opaque, uint8_t byte)
{
    (void)opaque;
    host_log.sent[host_log.sent_count++ % sizeof(host_log.sent)] = (char)byte;
}

static inline void host_cursor(void *opaque, uint16_t cell)
{
    (void)opaque;
    host_log.cursor = cell;
}

static inline void host_power_off(void *opaque, int status)
{
    (void)opaque;
    host_log.status = status;
    host_log.power_offs++;
}

static inline void host_reset(void *opaque)
{
    (void)opaque;
    host_log.resets++;
}

static inline uint64_t host_rtc(void *opaque)
{
    (void)opaque;
    host_log.rtc_reads++;
    return LEAP_DAY;
}

static inline void host_unknown(void *opaque, uint16_t port, bool in, unsigned size, uint32_t value)
{
    (void)opaque, (void)in;
    host_log.unknown_count++;
    host_log.unknown_port = port;
    host_log.unknown_size = size;
    host_log.unknown_value = value;
}

static inline void host_mark(void *opaque, uint32_t value)
{
    (void)opaque;
    host_log.mark = value;
}

static inline void setup(void)
{
    static const struct device_host host = {
        .now_ns = host_now,
        .serial_out = host_serial,
        .cursor = host_cursor,
        .power_off = host_power_off,
        .reset = host_reset,
        .rtc_seconds = host_rtc,
        .unknown_port = host_unknown,
        .mark = host_mark,
    };
    now = 0;
    memset(&host_log, 0, sizeof(host_log));
    devices_init(&dev, &host, 32u << 20, NULL, 0);
}

static inline void out(uint16_t port, uint8_t value)
{
    devices_out(&dev, port, 1, value);
}

static inline uint8_t in(uint16_t port)
{
    return (uint8_t)devices_in(&dev, port, 1);
}

/* Two reads of one port, low byte first. */
static inline unsigned in_word(uint16_t port)
{
    const unsigned low = in(port);
    return low | (unsigned)in(port) << 8;
}

/* As every PC kernel does it: master at 0x20, slave at 0x28, all lines open. */
static inline void pic_setup(uint8_t master_icw4, uint8_t slave_icw4)
{
    out(0x20, 0x11), out(0xA0, 0x11);
    out(0x21, 0x20), out(0xA1, 0x28);
    out(0x21, 0x04), out(0xA1, 0x02);
    out(0x21, master_icw4), out(0xA1, slave_icw4);
    out(0x21, 0), out(0xA1, 0);
}

static inline void line(unsigned irq, bool level)
{
    pic_set_line(&dev.pic, irq, level);
}

static inline void pulse(unsigned irq)
{
    line(irq, false);
    line(irq, true);
}

/* The vector that the CPU takes now, or -1 when INTR is low. */
static inline int take(void)
{
    return devices_irq_pending(&dev) ? devices_irq_ack(&dev) : -1;
}

/* The first nanosecond of a PIT clock. */
static inline uint64_t clock_ns(uint64_t clock)
{
    return (uint64_t)(((unsigned __int128)clock * SECOND + PIT_HZ - 1) / PIT_HZ);
}

#endif
