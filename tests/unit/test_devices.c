/* The port space as a whole: routing, power, marks, unknown ports, and any access in any order. */
#include <stdlib.h>

#include "devices_helpers.h"

TestSuite(devices, .init = setup);

Test(devices, cursor)
{
    out(0x3D4, 0x0E), out(0x3D5, 0x01);
    cr_expect_eq(host_log.cursor, 0x100, "either half moves it");
    out(0x3D4, 0x0F), out(0x3D5, 0x23);
    cr_expect_eq(host_log.cursor, 0x123);
    out(0x3D4, 0x0E);
    cr_expect_eq(in(0x3D4), 0x0E);
    cr_expect_eq(in(0x3D5), 0x01);
    devices_out(&dev, 0x3D4, 2, 0x450F);
    cr_expect_eq(host_log.cursor, 0x145, "a word write is index and data");
    out(0x3D4, 0x0A), out(0x3D5, 0x20);
    cr_expect_eq(host_log.cursor, 0x145, "other registers move nothing");
    cr_expect_eq(in(0x3D5), 0x20);
    out(0x3D4, 0xFF), out(0x3D5, 0x11);
    cr_expect_eq(in(0x3D5), 0xFF, "no such register");
}

Test(devices, vga_rest)
{
    cr_expect_eq(in(0x3CC) & 1, 1, "a colour adapter");
    out(0x3C2, 0x63);
    cr_expect_eq(in(0x3CC), 0x63);
    out(0x3C4, 0x02), out(0x3C5, 0x0F);
    cr_expect_eq(in(0x3C5), 0x0F);
    unsigned seen = 0;
    for (int i = 0; i < 4; i++)
        seen |= in(0x3DA) & 8 ? 2 : 1;
    cr_expect_eq(seen, 3, "waiting for either side of the retrace ends");
    cr_expect_eq(host_log.unknown_count, 0);
}

Test(devices, power)
{
    static const struct {
        uint8_t written;
        int status;
    } cases[] = {{0, 0}, {42, 42}, {127, 127}, {0x80, 0}, {0xFF, 127}};
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        out(PORT_POWER_OFF, cases[i].written);
        cr_expect_eq(host_log.power_offs, i + 1);
        cr_expect_eq(host_log.status, cases[i].status);
    }
}

static void say(const char *word)
{
    for (; *word; word++)
        out(0x8900, (uint8_t)*word);
}

Test(devices, bochs_shutdown)
{
    host_log.status = -1;
    say("shutdown"), say("Shutdow"), say("ShuShutdow");
    cr_expect_eq(host_log.power_offs, 0);
    say("n");
    cr_expect_eq(host_log.power_offs, 1);
    cr_expect_eq(host_log.status, 0);
    setup();
    out(PORT_POWER_OFF, 3), say("Shutdown");
    cr_expect_eq(host_log.power_offs, 1, "the first way counts");
    cr_expect_eq(host_log.status, 3);
}

Test(devices, reset)
{
    static const struct {
        uint16_t port;
        uint8_t value;
        unsigned size, resets;
    } cases[] = {
        {0xCF9, 0x06, 1, 1}, {0xCF9, 0x02, 1, 0}, {0x92, 0x01, 1, 1},
        {0x92, 0x02, 1, 0},  {0x64, 0xFE, 1, 1},  {0xCF9, 0x06, 4, 0},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        host_log.resets = 0;
        devices_out(&dev, cases[i].port, cases[i].size, cases[i].value);
        cr_expect_eq(host_log.resets, cases[i].resets, "%x to %x", cases[i].value, cases[i].port);
    }
    host_log.resets = 0;
    devices_out(&dev, 0xCF8, 4, 0x8000FF00);
    cr_expect_eq(host_log.resets, 0, "a PCI address is not a reset");
    cr_expect_eq(devices_in(&dev, 0xCFC, 4), 0xFFFFFFFF, "no such function");
    cr_expect_eq(in(0x92), 0x02, "A20 is on");
}

Test(devices, marks)
{
    devices_out(&dev, PORT_MARK, 4, 0x10007);
    cr_expect_eq(host_log.mark, 0x10007);
    devices_out(&dev, PORT_MARK, 2, 0x2222);
    cr_expect_eq(host_log.mark, 0x10007, "32 bits only");
    cr_expect_eq(host_log.unknown_count, 1);
}

Test(devices, wide_accesses_are_split)
{
    devices_out(&dev, 0x70, 2, 0x774F);
    out(0x70, 0x4F);
    cr_expect_eq(devices_in(&dev, 0x70, 2), 0x77FF, "index and data");
    cr_expect_eq(devices_in(&dev, 0x60, 4), 0xFFFF0000u | (unsigned)in(0x61) << 8,
                 "keyboard, speaker, two ports of nobody");
    cr_expect_eq(devices_in(&dev, 0xFFFF, 4), 0xFFFFFFFF, "the end of the port space wraps");
}

Test(devices, unknown_ports_are_reported_once)
{
    static const struct {
        uint16_t port;
        unsigned size, reports; /* all in one machine, in this order */
    } cases[] = {
        {0x1234, 1, 1}, {0x1234, 1, 0}, {0x1234, 4, 0}, {0x2000, 4, 1}, {0x2000, 2, 0},
        {0x2001, 1, 1}, {0x300, 2, 1},  {0x80, 1, 0},   {0xED, 1, 0},   {0x2F8, 1, 0},
        {0x2FF, 1, 0},  {0x70, 4, 2},   {0xCF8, 4, 0},  {0xF4, 1, 0},   {0x3DA, 1, 0},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const unsigned before = host_log.unknown_count;
        devices_in(&dev, cases[i].port, cases[i].size);
        cr_expect_eq(host_log.unknown_count - before, cases[i].reports, "%u bytes at %x",
                     cases[i].size, cases[i].port);
    }
    devices_out(&dev, 0x4000, 4, 0x12345678);
    cr_expect_eq(host_log.unknown_port, 0x4000);
    cr_expect_eq(host_log.unknown_size, 4);
    cr_expect_eq(host_log.unknown_value, 0x12345678);
    devices_in(&dev, 0x4004, 2);
    cr_expect_eq(host_log.unknown_port, 0x4004);
    cr_expect_eq(host_log.unknown_size, 2);
    for (uint16_t port = 0x2F8; port < 0x300; port++)
        cr_expect_eq(in(port), 0xFF, "COM2 is absent");
    out(0x80, 0x55);
    cr_expect_eq(in(0x80), 0xFF);
}

/* The host need not care for reports of unknown ports. */
Test(devices, report_is_optional)
{
    struct device_host host = dev.host;
    host.unknown_port = NULL;
    devices_init(&dev, &host, 1u << 20, NULL, 0);
    cr_expect_eq(in(0x1234), 0xFF);
}

/* INTR says what INTA finds: tried on a copy, so that the machine goes on as it was. */
static void check_interrupt(void)
{
    struct devices copy = dev;
    const uint8_t before = copy.pic.chip[0].isr;
    const bool pending = devices_irq_pending(&copy);
    const uint8_t vector = devices_irq_ack(&copy);
    const struct pic_chip *m = &copy.pic.chip[0];
    if (pending)
        cr_assert(m->auto_eoi || m->isr != before, "an interrupt that is in service nowhere");
    else
        cr_assert(vector == (m->vector_base | 7) && m->isr == before, "spurious");
}

static void check_invariants(void)
{
    check_interrupt();
    cr_assert_leq(dev.uart.rx_count, sizeof(dev.uart.rx));
    cr_assert_leq(dev.kbd.count, sizeof(dev.kbd.queue));
    for (int i = 0; i < 3; i++) {
        cr_assert(dev.pit.ch[i].reload >= 1 && dev.pit.ch[i].reload <= 65536);
        cr_assert_leq(dev.pit.ch[i].mode, 5);
    }
    cr_assert_not(dev.uart.tx_full);
    cr_assert_eq(dev.cmos.ram[0x0A] & 0x80, 0);
}

/* Ports that somebody owns, so that random accesses meet devices. */
static uint16_t random_port(void)
{
    static const uint16_t ports[] = {0x20,  0x21,  0xA0,  0xA1,  0x4D0, 0x4D1, 0x40,  0x41,  0x42,
                                     0x43,  0x61,  0x60,  0x64,  0x70,  0x71,  0x3C0, 0x3CC, 0x3D4,
                                     0x3D5, 0x3DA, 0x3F8, 0x3F9, 0x3FA, 0x3FB, 0x3FC, 0x3FD, 0x3FE,
                                     0x3FF, 0x80,  0x92,  0xF4,  0xCF8, 0xCF9, 0xCFC, 0x8900};
    return rand() % 8 ? ports[(unsigned)rand() % (sizeof(ports) / sizeof(ports[0]))]
                      : (uint16_t)rand();
}

/* The sanitizers watch, and the invariants hold after every step. */
Test(devices, survives_random_access)
{
    srand(20281103);
    for (int i = 0; i < 200000; i++) {
        const uint16_t port = random_port();
        const unsigned size = 1u << rand() % 3;
        now += (uint64_t)(rand() % 100000);
        switch (rand() % 8) {
        case 0:
        case 1:
            devices_in(&dev, port, size);
            break;
        case 2:
            devices_tick(&dev);
            cr_assert_gt(devices_deadline(&dev), now);
            break;
        case 3:
            cr_assert_eq(devices_serial_room(&dev), devices_serial_in(&dev, (uint8_t)rand()));
            break;
        case 4:
            cr_assert_eq(devices_key_room(&dev), devices_key_in(&dev, (uint8_t)rand()));
            break;
        case 5:
            if (devices_irq_pending(&dev))
                devices_irq_ack(&dev);
            break;
        default:
            devices_out(&dev, port, size, (uint32_t)rand() * 2u);
        }
        check_invariants();
    }
}
