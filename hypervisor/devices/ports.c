/* The port space: which device owns a port, and what accesses to nobody's port do. */
#include "models.h"

#define SYSTEM_PORTS 0x500u /* everything above is found by comparison */

enum owner { NOBODY, PIC, PIT, UART, KBD, CMOS, VGA, SILENT, POWER, FAST_GATE };

/* Owners of the low ports. SILENT: known to be absent or harmless; reads as ones. */
static const uint8_t owners[SYSTEM_PORTS] = {
    [0x20 ... 0x21] = PIC,
    [0xA0 ... 0xA1] = PIC,
    [0x4D0 ... 0x4D1] = PIC,
    [0x40 ... 0x43] = PIT,
    [0x61] = PIT,
    [0x60] = KBD,
    [0x64] = KBD,
    [0x70 ... 0x71] = CMOS,
    [0x3C0 ... 0x3CF] = VGA,
    [0x3D4 ... 0x3D5] = VGA,
    [0x3DA] = VGA,
    [0x3F8 ... 0x3FF] = UART,
    [0x80] = SILENT,
    [0xED] = SILENT,
    [0x2F8 ... 0x2FF] = SILENT,
    [0x92] = FAST_GATE,
    [PORT_POWER_OFF] = POWER,
};

#define PORT_RESET 0xCF9
#define PORT_BOCHS 0x8900

void devices_init(struct devices *dev, const struct device_host *host, uint32_t ram_size)
{
    *dev = (struct devices){.host = *host};
    pic_init(&dev->pic);
    pit_init(&dev->pit, host->now_ns(host->opaque));
    uart_init(&dev->uart);
    kbd_init(&dev->kbd);
    cmos_init(&dev->cmos, ram_size);
    vga_init(&dev->vga);
}

static uint64_t now(const struct devices *dev)
{
    return dev->host.now_ns(dev->host.opaque);
}

/* Report a port nobody owns, once. */
static void unknown(struct devices *dev, uint16_t port, bool in, unsigned size, uint32_t value)
{
    uint32_t *word = &dev->seen_ports[port >> 5];
    const uint32_t bit = 1u << (port & 31);
    if (*word & bit)
        return;
    *word |= bit;
    if (dev->host.unknown_port)
        dev->host.unknown_port(dev->host.opaque, port, in, size, value);
}

static enum owner owner_of(uint16_t port)
{
    if (port < SYSTEM_PORTS)
        return owners[port];
    return port == PORT_RESET || port == PORT_BOCHS ? POWER : NOBODY;
}

static uint8_t in8(struct devices *dev, uint16_t port)
{
    uint8_t value = 0xFF;
    switch (owner_of(port)) {
    case PIC:
        return pic_in(&dev->pic, port);
    case PIT:
        return pit_in(&dev->pit, port, now(dev));
    case UART:
        value = uart_in(&dev->uart, port);
        pic_set_line(&dev->pic, 4, uart_irq(&dev->uart));
        return value;
    case KBD:
        value = kbd_in(&dev->kbd, port);
        /* The line falls with every byte taken and rises for the next. */
        if (port == 0x60)
            pic_set_line(&dev->pic, 1, false);
        pic_set_line(&dev->pic, 1, kbd_irq(&dev->kbd));
        return value;
    case CMOS:
        return cmos_in(&dev->cmos, port,
                       dev->host.rtc_seconds(dev->host.opaque) + now(dev) / 1000000000u);
    case VGA:
        return vga_in(&dev->vga, port);
    case FAST_GATE:
        return 0x02; /* A20 is on */
    default:
        return value;
    }
}

static void power_out(struct devices *dev, uint16_t port, uint8_t value)
{
    static const char word[] = "Shutdown";
    if (port == PORT_POWER_OFF) {
        dev->host.power_off(dev->host.opaque, value & 0x7F);
    } else if (port == PORT_RESET) {
        if (value & 0x04)
            dev->host.reset(dev->host.opaque);
    } else {
        /* Bochs' way to power off: a word, byte by byte. */
        dev->shutdown_step =
            value == (uint8_t)word[dev->shutdown_step] ? dev->shutdown_step + 1 : value == 'S';
        if (!word[dev->shutdown_step]) {
            dev->shutdown_step = 0;
            dev->host.power_off(dev->host.opaque, 0);
        }
    }
}

static void out8(struct devices *dev, uint16_t port, uint8_t value)
{
    uint8_t tx;
    switch (owner_of(port)) {
    case PIC:
        pic_out(&dev->pic, port, value);
        break;
    case PIT:
        pit_out(&dev->pit, port, value, now(dev));
        break;
    case UART:
        if (uart_out(&dev->uart, port, value, &tx))
            dev->host.serial_out(dev->host.opaque, tx);
        pic_set_line(&dev->pic, 4, uart_irq(&dev->uart));
        break;
    case KBD:
        if (kbd_out(&dev->kbd, port, value))
            dev->host.reset(dev->host.opaque);
        pic_set_line(&dev->pic, 1, kbd_irq(&dev->kbd));
        break;
    case CMOS:
        cmos_out(&dev->cmos, port, value);
        break;
    case VGA:
        if (vga_out(&dev->vga, port, value))
            dev->host.cursor(dev->host.opaque, vga_cursor(&dev->vga));
        break;
    case POWER:
        power_out(dev, port, value);
        break;
    case FAST_GATE:
        if (value & 1)
            dev->host.reset(dev->host.opaque);
        break;
    default:
        break;
    }
}

uint32_t devices_in(struct devices *dev, uint16_t port, unsigned size)
{
    if (size == 1) {
        if (owner_of(port) == NOBODY)
            unknown(dev, port, true, size, 0);
        return in8(dev, port);
    }
    /* The ISA bus splits a wide access to narrow devices into bytes at following ports. */
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= devices_in(dev, (uint16_t)(port + i), 1) << 8 * i;
    return value;
}

void devices_out(struct devices *dev, uint16_t port, unsigned size, uint32_t value)
{
    if (size == 1) {
        if (owner_of(port) == NOBODY)
            unknown(dev, port, false, size, value);
        out8(dev, port, (uint8_t)value);
        return;
    }
    if (size == 4 && port == PORT_MARK) {
        dev->host.mark(dev->host.opaque, value);
        return;
    }
    for (unsigned i = 0; i < size; i++)
        devices_out(dev, (uint16_t)(port + i), 1, value >> 8 * i & 0xFF);
}

void devices_tick(struct devices *dev)
{
    if (!pit_tick(&dev->pit, now(dev)))
        return;
    pic_set_line(&dev->pic, 0, false); /* a new edge, also when the last one was not taken */
    pic_set_line(&dev->pic, 0, true);
}

uint64_t devices_deadline(struct devices *dev)
{
    return pit_deadline(&dev->pit);
}

bool devices_irq_pending(const struct devices *dev)
{
    return pic_intr(&dev->pic);
}

uint8_t devices_irq_ack(struct devices *dev)
{
    return pic_ack(&dev->pic);
}

bool devices_serial_room(const struct devices *dev)
{
    return dev->uart.rx_count < sizeof(dev->uart.rx);
}

bool devices_key_room(const struct devices *dev)
{
    return dev->kbd.count < sizeof(dev->kbd.queue);
}

bool devices_serial_in(struct devices *dev, uint8_t byte)
{
    const bool taken = uart_rx(&dev->uart, byte);
    pic_set_line(&dev->pic, 4, uart_irq(&dev->uart));
    return taken;
}

bool devices_key_in(struct devices *dev, uint8_t scancode)
{
    const bool taken = kbd_key(&dev->kbd, scancode);
    pic_set_line(&dev->pic, 1, kbd_irq(&dev->kbd));
    return taken;
}
