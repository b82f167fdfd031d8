/* The 16550A, driven as Linux and Minnow drive it. */
#include "devices_helpers.h"

enum { DATA = 0x3F8, IER, IIR, LCR, MCR, LSR, MSR, SCR };

static void uart_setup(void)
{
    setup();
    pic_setup(1, 1);
    out(LCR, 0x80), out(DATA, 1), out(IER, 0), out(LCR, 3);
    out(IIR, 0x07), out(MCR, 0x0B);
}

static void feed(const char *s)
{
    for (; *s; s++)
        cr_assert(devices_serial_in(&dev, (uint8_t)*s));
}

TestSuite(uart, .init = uart_setup);

Test(uart, registers)
{
    static const struct {
        uint16_t port;
        uint8_t written, read;
    } cases[] = {
        {IER, 0xFF, 0x0F}, {IER, 0x00, 0x00}, {LCR, 0x1B, 0x1B},
        {MCR, 0xFF, 0x1F}, {SCR, 0x5A, 0x5A}, {SCR, 0xA5, 0xA5},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        out(cases[i].port, cases[i].written);
        cr_expect_eq(in(cases[i].port), cases[i].read, "port %x", cases[i].port);
    }
    out(LCR, 0x83);
    out(DATA, 0x34), out(IER, 0x12);
    cr_expect_eq(in(DATA) | in(IER) << 8, 0x1234, "the divisor latch");
    out(LCR, 0x03);
    cr_expect_eq(host_log.sent_count, 0);
    cr_expect_eq(in(IER), 0x00, "is not the interrupt enable register");
}

Test(uart, output)
{
    out(DATA, 'A'), out(DATA, 'B');
    cr_expect_eq(host_log.sent_count, 2);
    cr_expect_arr_eq(host_log.sent, "AB", 2);
    cr_expect_eq(in(LSR), 0x60);
}

Test(uart, input)
{
    out(IER, 0x01);
    cr_expect_eq(take(), -1);
    feed("xy");
    cr_expect_eq(take(), 0x24);
    cr_expect_eq(in(IIR), 0xC4);
    cr_expect_eq(in(LSR), 0x61);
    cr_expect_eq(in(DATA), 'x');
    cr_expect_eq(in(IIR), 0xC4, "one is left");
    cr_expect_eq(in(DATA), 'y');
    cr_expect_eq(in(LSR), 0x60);
    cr_expect_eq(in(IIR), 0xC1, "nothing pending");
    out(0x20, 0x20);
    cr_expect_eq(take(), -1);
    feed("z");
    cr_expect_eq(take(), 0x24, "the next byte is a new edge");
}

Test(uart, room)
{
    unsigned taken = 0;
    while (devices_serial_room(&dev)) {
        cr_assert(devices_serial_in(&dev, (uint8_t)taken));
        taken++;
    }
    cr_expect_geq(taken, 16);
    cr_expect_not(devices_serial_in(&dev, '!'), "no room: nothing is lost, the host keeps it");
    for (unsigned i = 0; i < taken; i++)
        cr_assert_eq(in(DATA), i);
    cr_expect(devices_serial_room(&dev));
    feed("abc");
    out(IIR, 0x03);
    cr_expect_eq(in(LSR), 0x60, "the FIFO was cleared");
    feed("abc");
    out(IIR, 0x00);
    cr_expect_eq(in(LSR), 0x60, "by switching it off as well");
}

Test(uart, trigger_level_and_timeout)
{
    static const struct {
        uint8_t fcr;
        unsigned bytes;
        uint8_t iir;
    } cases[] = {
        {0x01, 1, 0xC4}, {0x41, 3, 0xCC},  {0x41, 4, 0xC4}, {0x81, 7, 0xCC}, {0x81, 8, 0xC4},
        {0xC1, 1, 0xCC}, {0xC1, 14, 0xC4}, {0x00, 1, 0x04}, {0xC0, 1, 0x04},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uart_setup();
        out(IIR, cases[i].fcr);
        out(IER, 0x01);
        for (unsigned n = 0; n < cases[i].bytes; n++)
            feed("x");
        cr_expect_eq(in(IIR), cases[i].iir, "FCR %02x, %u bytes", cases[i].fcr, cases[i].bytes);
    }
}

Test(uart, transmitter_interrupt)
{
    out(IER, 0x02);
    cr_expect_eq(take(), 0x24, "enabling it while empty raises it");
    cr_expect_eq(in(LSR), 0x60);
    cr_expect_eq(in(IIR), 0xC2, "the LSR does not clear it");
    cr_expect_eq(in(IIR), 0xC1, "reading the cause does");
    out(0x20, 0x20);
    out(IER, 0x02);
    cr_expect_eq(take(), -1, "writing the same again does not raise it");
    out(DATA, 'a');
    cr_expect_eq(take(), 0x24, "empty again");
    out(0x20, 0x20);
    out(DATA, 'b'); /* a driver that does not look at the IIR */
    cr_expect_eq(take(), 0x24, "the line fell and rose");
    out(0x20, 0x20);
    out(IER, 0x00);
    out(DATA, 'c');
    cr_expect_eq(take(), -1);
    out(IER, 0x02);
    cr_expect_eq(take(), 0x24);
}

Test(uart, priorities)
{
    out(MCR, 0x18); /* loop, OUT2 */
    in(MSR);
    out(IER, 0x0F);
    out(MCR, 0x19); /* a modem line changes */
    for (int i = 0; i < 65; i++)
        out(DATA, 'o'); /* one more than fits */
    cr_expect_eq(in(IIR), 0xC6, "line status first");
    cr_expect_eq(in(LSR), 0x63);
    cr_expect_eq(in(IIR), 0xC4, "then received data");
    while (in(LSR)&1)
        in(DATA);
    cr_expect_eq(in(IIR), 0xC2, "then the transmitter");
    cr_expect_eq(in(IIR), 0xC0, "then the modem");
    cr_expect_eq(in(MSR), 0xA2);
    cr_expect_eq(in(IIR), 0xC1);
}

Test(uart, interrupts_pass_out2)
{
    out(IER, 0x01);
    out(MCR, 0x03);
    feed("x");
    cr_expect_eq(take(), -1);
    out(MCR, 0x0B);
    cr_expect_eq(take(), 0x24);
}

/* Linux' autoconfig(): scratch, IER, loop-back, then what the FIFO bits say. */
Test(uart, linux_finds_a_16550a)
{
    out(IER, 0x00);
    cr_expect_eq(in(IER)&0x0F, 0x00);
    out(IER, 0x0F);
    cr_expect_eq(in(IER)&0x0F, 0x0F);
    out(IER, 0x00);
    out(MCR, 0x1A);
    cr_expect_eq(in(MSR)&0xF0, 0x90, "OUT2 and RTS come back as DCD and CTS");
    out(MCR, 0x0B);
    out(LCR, 0xBF), out(IIR, 0), out(LCR, 0);
    out(IIR, 0x01);
    cr_expect_eq(in(IIR) >> 6, 3);
    out(IIR, 0x00);
    cr_expect_eq(in(IIR) >> 6, 0);
}

Test(uart, loop_mode)
{
    static const struct {
        uint8_t mcr, lines;
    } cases[] = {{0x10, 0x00}, {0x11, 0x20}, {0x12, 0x10},
                 {0x14, 0x40}, {0x18, 0x80}, {0x00, 0xB0}};
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        out(MCR, cases[i].mcr);
        cr_expect_eq(in(MSR)&0xF0, cases[i].lines, "MCR %02x", cases[i].mcr);
    }
    out(MCR, 0x14), in(MSR);
    out(MCR, 0x10);
    cr_expect_eq(in(MSR), 0x04, "the ringing ended");
    out(MCR, 0x14);
    cr_expect_eq(in(MSR), 0x40, "its beginning is no change");
    out(DATA, 'L');
    cr_expect_eq(host_log.sent_count, 0, "nothing leaves");
    cr_expect_not(devices_serial_room(&dev), "nothing enters");
    cr_expect_not(devices_serial_in(&dev, 'x'));
    cr_expect_eq(in(DATA), 'L');
    out(MCR, 0x0B);
    feed("x");
    cr_expect_eq(in(DATA), 'x');
}
