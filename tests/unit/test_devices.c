/* The virtual devices, programmed as kernels program them. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "devices.h"

static uint64_t now;
static char sent[256];
static unsigned sent_count, unknown_count, resets;
static int off_status = -1;
static uint16_t cursor_cell;
static uint32_t mark_value;
static uint64_t date;

static uint64_t get_now(void *o)
{
    (void)o;
    return now;
}
static void serial_out(void *o, uint8_t b)
{
    (void)o;
    sent[sent_count++ % sizeof(sent)] = (char)b;
}
static void cursor(void *o, uint16_t cell)
{
    (void)o;
    cursor_cell = cell;
}
static void power_off(void *o, int status)
{
    (void)o;
    off_status = status;
}
static void reset(void *o)
{
    (void)o;
    resets++;
}
static uint64_t rtc(void *o)
{
    (void)o;
    return date;
}
static void unknown(void *o, uint16_t port, bool in, unsigned size, uint32_t value)
{
    (void)o, (void)port, (void)in, (void)size, (void)value;
    unknown_count++;
}
static void mark(void *o, uint32_t value)
{
    (void)o;
    mark_value = value;
}

static struct devices dev;

static void setup(void)
{
    static const struct device_host host = {NULL,  get_now, serial_out, cursor, power_off,
                                            reset, rtc,     unknown,    mark};
    now = 0;
    devices_init(&dev, &host, 32u << 20);
}

static void out(uint16_t port, uint8_t v)
{
    devices_out(&dev, port, 1, v);
}

static uint8_t in(uint16_t port)
{
    return (uint8_t)devices_in(&dev, port, 1);
}

/* Two reads of one port, low byte first. */
static unsigned in_word(uint16_t port)
{
    const unsigned low = in(port);
    return low | (unsigned)in(port) << 8;
}

/* As every PC kernel does it: master at 0x20, slave at 0x28, all lines open. */
static void pic_setup(uint8_t icw4)
{
    out(0x20, 0x11), out(0xA0, 0x11);
    out(0x21, 0x20), out(0xA1, 0x28);
    out(0x21, 0x04), out(0xA1, 0x02);
    out(0x21, icw4), out(0xA1, icw4);
    out(0x21, 0), out(0xA1, 0);
}

TestSuite(devices, .init = setup);

Test(devices, pic_priority_service_and_eoi)
{
    pic_setup(1);
    cr_expect_not(devices_irq_pending(&dev));
    pic_set_line(&dev.pic, 4, true);
    pic_set_line(&dev.pic, 1, true);
    cr_assert(devices_irq_pending(&dev));
    cr_expect_eq(devices_irq_ack(&dev), 0x21, "line 1 before line 4");
    cr_expect_not(devices_irq_pending(&dev), "line 4 waits for the EOI of line 1");
    pic_set_line(&dev.pic, 0, true);
    cr_expect(devices_irq_pending(&dev), "line 0 is more urgent");
    cr_expect_eq(devices_irq_ack(&dev), 0x20);
    out(0x20, 0x0B);
    cr_expect_eq(in(0x20), 0x03, "in service");
    out(0x20, 0x20);
    out(0x20, 0x0B);
    cr_expect_eq(in(0x20), 0x02, "a non-specific EOI ends the most urgent");
    out(0x20, 0x61);
    cr_expect(devices_irq_pending(&dev));
    cr_expect_eq(devices_irq_ack(&dev), 0x24);
}

Test(devices, pic_edges_masks_and_spurious)
{
    pic_setup(1);
    pic_set_line(&dev.pic, 3, true);
    devices_irq_ack(&dev);
    out(0x20, 0x20);
    cr_expect_not(devices_irq_pending(&dev), "an edge counts once");
    pic_set_line(&dev.pic, 3, false);
    pic_set_line(&dev.pic, 3, true);
    out(0x21, 0x08);
    cr_expect_not(devices_irq_pending(&dev), "masked");
    out(0x21, 0x00);
    cr_expect(devices_irq_pending(&dev), "the request was kept");
    pic_set_line(&dev.pic, 3, false);
    cr_expect_eq(devices_irq_ack(&dev), 0x27, "gone before INTA: spurious");
    out(0x20, 0x0B);
    cr_expect_eq(in(0x20), 0x00, "a spurious interrupt is not in service");
}

Test(devices, pic_cascade)
{
    pic_setup(1);
    pic_set_line(&dev.pic, 14, true);
    cr_assert(devices_irq_pending(&dev));
    cr_expect_eq(devices_irq_ack(&dev), 0x2E);
    out(0x20, 0x0B), out(0xA0, 0x0B);
    cr_expect_eq(in(0x20), 0x04);
    cr_expect_eq(in(0xA0), 0x40);
    pic_set_line(&dev.pic, 8, true);
    cr_expect_not(devices_irq_pending(&dev), "without special fully nested mode the slave waits");
    out(0xA0, 0x20), out(0x20, 0x20);
    cr_expect_eq(devices_irq_ack(&dev), 0x28);
}

Test(devices, pic_auto_eoi_rotation_level)
{
    pic_setup(3);    /* automatic EOI */
    out(0x20, 0x80); /* and rotate */
    pic_set_line(&dev.pic, 0, true);
    cr_expect_eq(devices_irq_ack(&dev), 0x20);
    pic_set_line(&dev.pic, 0, false);
    pic_set_line(&dev.pic, 0, true);
    pic_set_line(&dev.pic, 5, true);
    cr_expect_eq(devices_irq_ack(&dev), 0x25, "line 0 is the least urgent now");
    setup();
    pic_setup(1);
    out(0x4D0, 0x20);
    pic_set_line(&dev.pic, 5, true);
    cr_expect_eq(devices_irq_ack(&dev), 0x25);
    out(0x20, 0x20);
    cr_expect(devices_irq_pending(&dev), "a level asks again");
    pic_set_line(&dev.pic, 5, false);
    cr_expect_not(devices_irq_pending(&dev));
}

#define HZ 1193182ull

Test(devices, pit_counts_and_interrupts)
{
    pic_setup(1);
    out(0x43, 0x34);
    out(0x40, 11931 & 0xFF), out(0x40, 11931 >> 8);
    cr_expect_eq(devices_deadline(&dev), (11931 * 1000000000ull + HZ - 1) / HZ);
    now = devices_deadline(&dev) - 1;
    devices_tick(&dev);
    cr_expect_not(devices_irq_pending(&dev), "a nanosecond too early");
    now++;
    devices_tick(&dev);
    cr_assert(devices_irq_pending(&dev));
    cr_expect_eq(devices_irq_ack(&dev), 0x20);
    out(0x20, 0x20);
    now *= 5; /* three periods missed: one interrupt, phase kept */
    devices_tick(&dev);
    cr_expect_eq(devices_irq_ack(&dev), 0x20);
    out(0x20, 0x20);
    devices_tick(&dev);
    cr_expect_not(devices_irq_pending(&dev));
    cr_expect_eq(devices_deadline(&dev), (6 * 11931 * 1000000000ull + HZ - 1) / HZ);
}

Test(devices, pit_latch_readback_and_modes)
{
    out(0x43, 0x34), out(0x40, 0xE8), out(0x40, 0x03); /* 1000, mode 2 */
    now = 100 * 1000000000ull / HZ + 1;                /* 100 clocks */
    out(0x43, 0x00);
    now *= 3;
    cr_expect_eq(in_word(0x40), 900, "latched, not running");
    out(0x43, 0xE2); /* read back the status of channel 0 */
    cr_expect_eq(in(0x40), 0x80 | 0x34, "output high, low and high byte, mode 2");
    out(0x43, 0x30), out(0x40, 10), out(0x40, 0); /* mode 0: once */
    const uint64_t start = now;
    cr_expect_eq(devices_deadline(&dev), start + (10 * 1000000000ull + HZ - 1) / HZ);
    pic_setup(1);
    now = devices_deadline(&dev);
    devices_tick(&dev);
    cr_expect_eq(devices_irq_ack(&dev), 0x20);
    cr_expect_eq(devices_deadline(&dev), UINT64_MAX, "and never again");
    out(0x43, 0xB0), out(0x42, 0), out(0x42, 0); /* channel 2: 65536 clocks behind the gate */
    out(0x61, 0);
    out(0x61, 1);
    cr_expect_eq(in(0x61) & 0x20, 0);
    now += 65537 * 1000000000ull / HZ;
    cr_expect_eq(in(0x61) & 0x20, 0x20, "the way kernels calibrate delays");
}

Test(devices, pit_is_exact_for_years)
{
    out(0x43, 0x34), out(0x40, 0), out(0x40, 0);
    uint64_t edge = 0;
    now = 10ull * 365 * 86400 * 1000000000;
    devices_tick(&dev);
    edge = devices_deadline(&dev);
    cr_expect_gt(edge, now);
    cr_expect_lt(edge - now, 55000000u);
    const unsigned __int128 n = ((unsigned __int128)edge * HZ) / 1000000000u;
    cr_expect_eq((uint64_t)(n % 65536), 0, "a multiple of the period after ten years");
}

Test(devices, uart_output_input_and_interrupts)
{
    pic_setup(1);
    out(0x3FB, 0x80), out(0x3F8, 1), out(0x3F9, 0), out(0x3FB, 3);
    out(0x3FA, 0x07), out(0x3FC, 0x0B);
    sent_count = 0;
    out(0x3F8, 'A');
    cr_expect_eq(sent_count, 1);
    cr_expect_eq(sent[0], 'A');
    cr_expect_eq(in(0x3FD), 0x60);
    out(0x3F9, 0x01);
    cr_expect_not(devices_irq_pending(&dev));
    cr_assert(devices_serial_in(&dev, 'x'));
    cr_assert(devices_irq_pending(&dev));
    cr_expect_eq(devices_irq_ack(&dev), 0x24);
    cr_expect_eq(in(0x3FA), 0xC4);
    cr_expect_eq(in(0x3FD), 0x61);
    cr_expect_eq(in(0x3F8), 'x');
    cr_expect_eq(in(0x3FD), 0x60);
    cr_expect_eq(in(0x3FA), 0xC1, "nothing pending");
    out(0x20, 0x20);
    out(0x3F9, 0x03); /* enabling the empty-transmitter interrupt raises it */
    cr_expect(devices_irq_pending(&dev));
    cr_expect_eq(in(0x3FA), 0xC2);
    cr_expect_eq(in(0x3FA), 0xC1, "reading the cause cleared it");
    out(0x3FC, 0x03); /* OUT2 off: no interrupts leave the chip */
    devices_serial_in(&dev, 'y');
    cr_expect_not(devices_irq_pending(&dev));
    while (devices_serial_room(&dev))
        devices_serial_in(&dev, 'z');
    cr_expect_not(devices_serial_in(&dev, '!'));
    out(0x3FF, 0x5A);
    cr_expect_eq(in(0x3FF), 0x5A, "scratch");
    out(0x3FC, 0x1F), in(0x3F8), out(0x3F8, 'L');
    cr_expect_eq(sent_count, 1, "loop mode sends nothing");
    cr_expect_eq(in(0x3FE) & 0xF0, 0xF0, "modem lines come back");
}

Test(devices, keyboard)
{
    pic_setup(1);
    cr_expect_eq(in(0x64) & 1, 0);
    out(0x64, 0xAA);
    cr_expect_eq(in(0x64) & 1, 1);
    cr_expect_eq(in(0x60), 0x55, "self test");
    out(0x60, 0xFF);
    cr_expect_eq(in(0x60), 0xFA);
    cr_expect_eq(in(0x60), 0xAA);
    out(0x20, 0x20);
    setup();
    pic_setup(1);
    devices_key_in(&dev, 0x1E);
    devices_key_in(&dev, 0x9E);
    cr_expect_eq(devices_irq_ack(&dev), 0x21);
    cr_expect_eq(in(0x60), 0x1E);
    out(0x20, 0x20);
    cr_expect(devices_irq_pending(&dev), "the second byte interrupts again");
    devices_irq_ack(&dev);
    cr_expect_eq(in(0x60), 0x9E);
    out(0x20, 0x20);
    cr_expect_not(devices_irq_pending(&dev));
    out(0x64, 0x60), out(0x60, 0x44);
    devices_key_in(&dev, 0x1E);
    cr_expect_not(devices_irq_pending(&dev), "interrupts off in the command byte");
    out(0x64, 0x20);
    in(0x60);
    cr_expect_eq(in(0x60), 0x44);
    resets = 0;
    out(0x64, 0xFE);
    cr_expect_eq(resets, 1);
}

static uint8_t cmos(uint8_t index)
{
    out(0x70, index);
    return in(0x71);
}

Test(devices, clock)
{
    date = 1835480096; /* 2028-02-29 23:34:56 UTC, a Tuesday */
    cr_expect_eq(cmos(0), 0x56);
    cr_expect_eq(cmos(2), 0x34);
    cr_expect_eq(cmos(4), 0x23);
    cr_expect_eq(cmos(6), 3);
    cr_expect_eq(cmos(7), 0x29);
    cr_expect_eq(cmos(8), 0x02);
    cr_expect_eq(cmos(9), 0x28);
    cr_expect_eq(cmos(0x32), 0x20);
    cr_expect_eq(cmos(0x0A) & 0x80, 0, "never in the middle of an update");
    out(0x70, 0x0B), out(0x71, 0x04); /* binary, 12 hours */
    cr_expect_eq(cmos(4), 0x80 | 11, "eleven in the evening");
    now = 3600ull * 1000000000;
    cr_expect_eq(cmos(4), 12, "midnight is twelve");
    cr_expect_eq(cmos(7), 1);
    cr_expect_eq(cmos(8), 3);
    cr_expect_eq(cmos(0x17) | cmos(0x18) << 8, 31 * 1024, "memory above 1 MB");
    cr_expect_eq(cmos(0x34) | cmos(0x35) << 8, 16 * 16, "memory above 16 MB in 64 KB");
}

Test(devices, screen_power_and_marks)
{
    out(0x3D4, 0x0E), out(0x3D5, 0x01), out(0x3D4, 0x0F), out(0x3D5, 0x23);
    cr_expect_eq(cursor_cell, 0x123);
    out(0x3D4, 0x0E);
    cr_expect_eq(in(0x3D5), 0x01);
    devices_out(&dev, 0x3D4, 2, 0x450F);
    cr_expect_eq(cursor_cell, 0x145, "a word write is index and data");
    off_status = -1;
    out(0xF4, 42);
    cr_expect_eq(off_status, 42);
    off_status = -1;
    for (const char *c = "ShuShutdown"; *c; c++)
        out(0x8900, (uint8_t)*c);
    cr_expect_eq(off_status, 0);
    devices_out(&dev, PORT_MARK, 4, 0x10007);
    cr_expect_eq(mark_value, 0x10007);
    resets = 0;
    out(0xCF9, 0x06), out(0x92, 0x01);
    cr_expect_eq(resets, 2);
}

Test(devices, unknown_ports_are_reported_once)
{
    unknown_count = 0;
    cr_expect_eq(devices_in(&dev, 0x1234, 1), 0xFF);
    cr_expect_eq(devices_in(&dev, 0x1234, 1), 0xFF);
    cr_expect_eq(unknown_count, 1);
    cr_expect_eq(devices_in(&dev, 0x2000, 4), 0xFFFFFFFF);
    cr_expect_eq(unknown_count, 5);
    devices_in(&dev, 0x80, 1), devices_in(&dev, 0x2F8, 1);
    cr_expect_eq(unknown_count, 5, "known to be absent");
    cr_expect_eq(devices_in(&dev, 0xFFFF, 4), 0xFFFFFFFF, "the end of the port space wraps");
}

/* Any access in any order: the sanitizers watch, and the interrupt logic stays consistent. */
Test(devices, survives_random_access)
{
    srand(20260103);
    for (int i = 0; i < 200000; i++) {
        const uint16_t port = rand() % 3 ? (uint16_t)(rand() % 0x500) : (uint16_t)rand();
        const unsigned size = 1u << rand() % 3;
        now += (uint64_t)(rand() % 100000);
        switch (rand() % 5) {
        case 0:
            devices_in(&dev, port, size);
            break;
        case 1:
        case 2:
            devices_out(&dev, port, size, (uint32_t)rand());
            break;
        case 3:
            devices_tick(&dev);
            cr_assert_gt(devices_deadline(&dev), now);
            devices_serial_in(&dev, (uint8_t)rand());
            break;
        default:
            if (devices_irq_pending(&dev))
                devices_irq_ack(&dev);
            devices_key_in(&dev, (uint8_t)rand());
        }
    }
}
