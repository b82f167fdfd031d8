/* The PCI bus: configuration mechanism #1, headers, BARs, capabilities (PCI Local Bus 3.0). */
#include "devices_helpers.h"
#include "virtio_driver.h"

static void bus_setup(void)
{
    static uint8_t disk[4 * IDE_SECTOR];
    setup();
    struct device_host host = dev.host;
    host.ram = ram_at;
    devices_init(&dev, &host, 32u << 20, disk, 4);
    devices_add_virtio(&dev);
}

TestSuite(pci, .init = bus_setup);

Test(pci, address_register)
{
    devices_out(&dev, 0xCF8, 4, 0xFFFFFFFF);
    cr_expect_eq(devices_in(&dev, 0xCF8, 4), 0x80FFFFFC, "reserved bits are zeros");
    devices_out(&dev, 0xCF8, 4, 0x80000800);
    out(0xCF8, 0x55);
    devices_out(&dev, 0xCF8, 2, 0x5555);
    cr_expect_eq(devices_in(&dev, 0xCF8, 4), 0x80000800, "only 32-bit accesses reach it");
    cr_expect_eq(host_log.resets, 0);
    out(0xCF9, 0x06);
    cr_expect_eq(host_log.resets, 1, "the reset register is beside it");
}

Test(pci, who_is_there)
{
    static const struct {
        unsigned slot;
        uint32_t id, class_code;
    } expected[] = {
        {0, 0x12378086, 0x060000},
        {BLK_SLOT, 0x10421AF4, 0x018000},
        {CONSOLE_SLOT, 0x10431AF4, 0x078000},
    };
    for (unsigned i = 0; i < ARRAY_LEN(expected); i++) {
        const unsigned slot = expected[i].slot;
        cr_expect_eq(config_in(slot, 0, 4), expected[i].id, "device %u: %x", slot,
                     config_in(slot, 0, 4));
        cr_expect_eq(config_in(slot, 8, 4) >> 8, expected[i].class_code);
        cr_expect_eq(config_in(slot, 0x0E, 1), 0, "header type 0, one function");
    }
    for (unsigned slot = 3; slot < 32; slot++)
        cr_expect_eq(config_in(slot, 0, 4), 0xFFFFFFFF, "device %u", slot);
    devices_out(&dev, 0xCF8, 4, 0x80000100);
    cr_expect_eq(devices_in(&dev, 0xCFC, 4), 0xFFFFFFFF, "function 1");
    devices_out(&dev, 0xCF8, 4, 0x80010000);
    cr_expect_eq(devices_in(&dev, 0xCFC, 4), 0xFFFFFFFF, "bus 1");
    devices_out(&dev, 0xCF8, 4, 0);
    cr_expect_eq(devices_in(&dev, 0xCFC, 2), 0xFFFF, "not enabled");
    devices_out(&dev, 0xCFC, 4, 0); /* to nobody */
    cr_expect_eq(host_log.unknown_count, 0, "probing is no mistake");
}

Test(pci, accesses_of_all_widths)
{
    cr_expect_eq(config_in(BLK_SLOT, 0, 2), 0x1AF4);
    cr_expect_eq(config_in(BLK_SLOT, 2, 2), 0x1042);
    cr_expect_eq(config_in(BLK_SLOT, 1, 1), 0x1A);
    cr_expect_eq(config_in(BLK_SLOT, 3, 1), 0x10);
    config_out(BLK_SLOT, 4, 1, 0xFF);
    cr_expect_eq(config_in(BLK_SLOT, 4, 2), 0x0007, "I/O, memory, master");
    config_out(BLK_SLOT, 5, 1, 0xFF);
    cr_expect_eq(config_in(BLK_SLOT, 4, 2), 0x0407, "and INTx disable");
    config_out(BLK_SLOT, 4, 4, 0);
    cr_expect_eq(config_in(BLK_SLOT, 4, 4), 0x00100000, "the status stays: there are capabilities");
}

Test(pci, what_cannot_be_written)
{
    static const unsigned fixed[] = {0x00, 0x08, 0x0C, 0x14, 0x20, 0x28, 0x2C, 0x30, 0x34, 0x40};
    for (unsigned i = 0; i < ARRAY_LEN(fixed); i++) {
        const uint32_t before = config_in(BLK_SLOT, fixed[i], 4);
        config_out(BLK_SLOT, fixed[i], 4, ~before);
        cr_expect_eq(config_in(BLK_SLOT, fixed[i], 4), before, "offset %x", fixed[i]);
    }
    cr_expect_eq(config_in(BLK_SLOT, 0x3C, 2), 0x0100 | BLK_IRQ, "INTA, as firmware noted it");
    config_out(BLK_SLOT, 0x3C, 4, 0xFFFFFF05);
    cr_expect_eq(config_in(BLK_SLOT, 0x3C, 4), 0x00000105, "the line is a note, the pin is not");
}

Test(pci, the_size_of_a_bar)
{
    cr_expect_eq(config_in(BLK_SLOT, 0x10, 4), BLK | 1);
    config_out(BLK_SLOT, 0x10, 4, 0xFFFFFFFF);
    cr_expect_eq(config_in(BLK_SLOT, 0x10, 4), 0xFF81, "128 ports");
    config_out(0, 0x10, 4, 0xFFFFFFFF);
    cr_expect_eq(config_in(0, 0x10, 4), 0, "the host bridge has none");
}

Test(pci, a_bar_can_be_moved_and_switched_off)
{
    cr_expect_eq(reg_in(BLK, QUEUES, 2), 1);
    reg_in(CONSOLE, 0x7F, 1);
    cr_expect_eq(host_log.unknown_count, 0);
    reg_in(CONSOLE, 0x80, 1);
    cr_expect_eq(host_log.unknown_count, 1, "the first port behind it");
    host_log.unknown_count = 0;
    config_out(BLK_SLOT, 0x10, 4, 0xD000);
    cr_expect_eq(reg_in(0xD000, QUEUES, 2), 1);
    cr_expect_eq(host_log.unknown_count, 0);
    cr_expect_eq(reg_in(BLK, QUEUES, 2), 0xFFFF, "nobody");
    cr_expect_eq(host_log.unknown_count, 1);
    config_out(BLK_SLOT, 4, 2, 0x0006);
    cr_expect_eq(reg_in(0xD000, QUEUES, 2), 0xFFFF, "I/O is off");
    config_out(BLK_SLOT, 4, 2, 0x0001);
    config_out(BLK_SLOT, 0x10, 4, 0x0020);
    cr_expect_eq(in(0x21), 0xFF, "the system's own ports come first");
}

/* Walk the list; each kind once, all within BAR 0, and the registers do not overlap. */
Test(pci, capabilities)
{
    uint8_t used[128] = {0};
    unsigned kinds = 0, at = config_in(BLK_SLOT, 0x34, 1);
    cr_assert(config_in(BLK_SLOT, 6, 2) & 0x10);
    for (; at; at = config_in(BLK_SLOT, at + 1, 1)) {
        const unsigned kind = config_in(BLK_SLOT, at + 3, 1);
        const uint32_t offset = config_in(BLK_SLOT, at + 8, 4), n = config_in(BLK_SLOT, at + 12, 4);
        cr_assert_eq(at % 4, 0);
        cr_assert_eq(config_in(BLK_SLOT, at, 1), 9, "vendor-specific");
        cr_assert_eq(config_in(BLK_SLOT, at + 2, 1), kind == 2 || kind == 5 ? 20u : 16u);
        cr_assert_eq(config_in(BLK_SLOT, at + 4, 1), 0, "the BAR");
        cr_assert(!(kinds >> kind & 1));
        kinds |= 1u << kind;
        cr_assert(offset + n <= sizeof(used));
        for (uint32_t i = offset; kind != 5 && i < offset + n; i++)
            cr_assert_eq(used[i]++, 0, "register %x twice", i);
    }
    cr_expect_eq(kinds, 0x3E, "common, notify, isr, device, window");
}

static unsigned window_of(unsigned slot)
{
    unsigned at = config_in(slot, 0x34, 1);
    while (config_in(slot, at + 3, 1) != 5)
        at = config_in(slot, at + 1, 1);
    return at;
}

/* 4.1.4.9: without any access to the BAR. */
Test(pci, the_window_in_configuration_space)
{
    const unsigned at = window_of(CONSOLE_SLOT);
    config_out(CONSOLE_SLOT, at + 8, 4, QUEUES);
    config_out(CONSOLE_SLOT, at + 12, 4, 2);
    cr_expect_eq(config_in(CONSOLE_SLOT, at + 16, 2), 2, "queues of a console");
    config_out(CONSOLE_SLOT, at + 8, 4, STATUS);
    config_out(CONSOLE_SLOT, at + 12, 4, 1);
    config_out(CONSOLE_SLOT, at + 16, 1, ACKNOWLEDGE | DRIVER);
    cr_expect_eq(reg_in(CONSOLE, STATUS, 1), ACKNOWLEDGE | DRIVER);
    config_out(CONSOLE_SLOT, at + 4, 1, 1); /* another BAR: there is none */
    config_out(CONSOLE_SLOT, at + 16, 1, 0);
    config_out(CONSOLE_SLOT, at + 4, 1, 0);
    config_out(CONSOLE_SLOT, at + 8, 4, 0xFFFFFFFC); /* far outside */
    config_out(CONSOLE_SLOT, at + 12, 4, 4);
    config_in(CONSOLE_SLOT, at + 16, 4);
    config_out(CONSOLE_SLOT, at + 16, 4, 0);
    config_out(CONSOLE_SLOT, at + 8, 4, 0x7C); /* the last four bytes */
    cr_expect_eq(config_in(CONSOLE_SLOT, at + 16, 4), 0);
    cr_expect_eq(reg_in(CONSOLE, STATUS, 1), ACKNOWLEDGE | DRIVER, "nothing else was written");
}

Test(pci, without_virtio_there_is_only_the_bridge)
{
    setup();
    cr_expect_eq(config_in(0, 0, 4), 0x12378086);
    cr_expect_eq(config_in(BLK_SLOT, 0, 4), 0xFFFFFFFF);
    cr_expect_eq(reg_in(BLK, STATUS, 1), 0xFF);
    cr_expect_eq(in(0x4D1), 0, "and no line is level-triggered");
    cr_expect(devices_serial_in(&dev, 'x'));
    cr_expect(dev.uart.rx_count == 1);
}
