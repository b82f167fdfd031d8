/* The port space: which device owns a port, what accesses to nobody's port do, and which interrupt
 * line a device drives. */
#include "models.h"

#define SYSTEM_PORTS 0x500u /* everything above is found by comparison */
#define IRQ_TIMER 0
#define IRQ_KBD 1
#define IRQ_COM1 4
#define IRQ_CLOCK 8
#define IRQ_DISK 14
#define PORT_DISK_DATA 0x1F0

/* An access to a simple port shall not save registers for the others. */
#define NOINLINE __attribute__((noinline))

enum owner { NOBODY, SILENT, PIC, PIT, UART, KBD, CMOS, VGA, IDE, POWER, FAST_GATE };

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
    [0x1F0 ... 0x1F7] = IDE,
    [IDE_CONTROL] = IDE,
    [0x80] = SILENT,
    [0xED] = SILENT,
    [0x2F8 ... 0x2FF] = SILENT,
    [0x92] = FAST_GATE,
    [PORT_POWER_OFF] = POWER,
};

#define PORT_RESET 0xCF9
#define PORT_BOCHS 0x8900

void devices_init(struct devices *dev, const struct device_host *host, uint32_t ram_size,
                  uint8_t *disk, uint32_t disk_sectors)
{
    *dev = (struct devices){.host = *host, .oneshot = {.deadline = UINT64_MAX}};
    pic_init(&dev->pic);
    pit_init(&dev->pit, host->now_ns(host->opaque));
    uart_init(&dev->uart);
    kbd_init(&dev->kbd);
    cmos_init(&dev->cmos, ram_size, host->rtc_seconds(host->opaque));
    vga_init(&dev->vga);
    ide_init(&dev->ide, disk, disk_sectors);
    pci_init(&dev->pci);
}

void devices_add_virtio(struct devices *dev)
{
    enum { ELCR_SLAVE = 0x4D1, LEVEL_10_11 = 0x0C };
    pic_out(&dev->pic, ELCR_SLAVE, LEVEL_10_11); /* as firmware does for lines of the PCI bus */
    if (dev->ide.media)
        virtio_blk_attach(dev, dev->ide.media, dev->ide.sectors);
    virtio_console_attach(dev);
}

static uint64_t now(const struct devices *dev)
{
    return dev->host.now_ns(dev->host.opaque);
}

/* Has an access to the port, which nobody owns, been reported? */
static inline bool is_seen(const struct devices *dev, uint16_t port)
{
    return dev->seen_ports[port >> 5] >> (port & 31) & 1;
}

/* Report a port nobody owns, once. */
static inline void unknown(struct devices *dev, uint16_t port, bool in, unsigned size,
                           uint32_t value)
{
    if (is_seen(dev, port))
        return;
    dev->seen_ports[port >> 5] |= 1u << (port & 31);
    if (dev->host.unknown_port)
        dev->host.unknown_port(dev->host.opaque, port, in, size, value);
}

/* The reset control register answers to byte accesses only: a wide one at 0xCF8 is PCI's address
 * register (Intel 82371SB data sheet, reset control). */
static enum owner owner_of(uint16_t port, unsigned size)
{
    if (port < SYSTEM_PORTS)
        return owners[port];
    return (port == PORT_RESET && size == 1) || port == PORT_BOCHS ? POWER : NOBODY;
}

/* A byte of a wide access that begins at nobody's port belongs to the report of the first one. */
static bool reports(enum owner first, unsigned i)
{
    return i == 0 || first != NOBODY;
}

static NOINLINE uint8_t uart_read(struct devices *dev, uint16_t port)
{
    const uint8_t value = uart_in(&dev->uart, port);
    pic_set_line(&dev->pic, IRQ_COM1, uart_irq(&dev->uart));
    return value;
}

/* The line falls with every byte taken and rises for the next. */
static NOINLINE uint8_t kbd_read(struct devices *dev, uint16_t port)
{
    const uint8_t value = kbd_in(&dev->kbd, port);
    if (port == 0x60)
        pic_set_line(&dev->pic, IRQ_KBD, false);
    pic_set_line(&dev->pic, IRQ_KBD, kbd_irq(&dev->kbd));
    return value;
}

static NOINLINE uint8_t cmos_read(struct devices *dev, uint16_t port)
{
    const uint8_t value = cmos_in(&dev->cmos, port, now(dev));
    pic_set_line(&dev->pic, IRQ_CLOCK, cmos_tick(&dev->cmos, now(dev)));
    return value;
}

static NOINLINE uint8_t ide_read(struct devices *dev, uint16_t port)
{
    const uint8_t value = ide_in(&dev->ide, port);
    pic_set_line(&dev->pic, IRQ_DISK, ide_irq(&dev->ide));
    return value;
}

static uint8_t in8(struct devices *dev, enum owner owner, uint16_t port)
{
    switch (owner) {
    case PIC:
        return pic_in(&dev->pic, port);
    case PIT:
        return pit_in(&dev->pit, port, now(dev));
    case UART:
        return uart_read(dev, port);
    case KBD:
        return kbd_read(dev, port);
    case CMOS:
        return cmos_read(dev, port);
    case VGA:
        return vga_in(&dev->vga, port);
    case IDE:
        return ide_read(dev, port);
    case FAST_GATE:
        return 0x02; /* A20 is on */
    default:
        return 0xFF;
    }
}

static void power_off(struct devices *dev, int status)
{
    dev->powered_off = true;
    dev->host.power_off(dev->host.opaque, status);
}

/* Bochs' way to power off: a word, byte by byte. A guest may use both ways, one after the other, to
 * be sure to hit its emulator's; the first one, with the status, counts. */
static void bochs_out(struct devices *dev, uint8_t value)
{
    static const char word[] = "Shutdown";
    if (value != (uint8_t)word[dev->shutdown_step])
        dev->shutdown_step = 0;
    if (value == (uint8_t)word[dev->shutdown_step])
        dev->shutdown_step++;
    if (word[dev->shutdown_step])
        return;
    dev->shutdown_step = 0;
    if (!dev->powered_off)
        power_off(dev, 0);
}

static NOINLINE void power_out(struct devices *dev, uint16_t port, uint8_t value)
{
    if (port == PORT_POWER_OFF)
        power_off(dev, value & 0x7F);
    else if (port == PORT_BOCHS)
        bochs_out(dev, value);
    else if (value & 0x04)
        dev->host.reset(dev->host.opaque);
}

static NOINLINE void uart_write(struct devices *dev, uint16_t port, uint8_t value)
{
    uint8_t tx;
    const bool leaves = uart_out(&dev->uart, port, value, &tx);
    pic_set_line(&dev->pic, IRQ_COM1, uart_irq(&dev->uart));
    if (leaves)
        dev->host.serial_out(dev->host.opaque, tx);
    uart_sent(&dev->uart);
    pic_set_line(&dev->pic, IRQ_COM1, uart_irq(&dev->uart));
}

static NOINLINE void ide_write(struct devices *dev, uint16_t port, uint8_t value)
{
    if (ide_out(&dev->ide, port, value) == IDE_FLUSHED && dev->host.disk_flush)
        dev->host.disk_flush(dev->host.opaque);
    pic_set_line(&dev->pic, IRQ_DISK, ide_irq(&dev->ide));
}

static void out8(struct devices *dev, enum owner owner, uint16_t port, uint8_t value)
{
    switch (owner) {
    case PIC:
        pic_out(&dev->pic, port, value);
        break;
    case PIT:
        pit_out(&dev->pit, port, value, now(dev));
        break;
    case UART:
        uart_write(dev, port, value);
        break;
    case KBD:
        if (kbd_out(&dev->kbd, port, value))
            dev->host.reset(dev->host.opaque);
        pic_set_line(&dev->pic, IRQ_KBD, kbd_irq(&dev->kbd));
        break;
    case CMOS:
        cmos_out(&dev->cmos, port, value, now(dev));
        pic_set_line(&dev->pic, IRQ_CLOCK, cmos_tick(&dev->cmos, now(dev)));
        break;
    case VGA:
        if (vga_out(&dev->vga, port, value))
            dev->host.cursor(dev->host.opaque, vga_cursor(&dev->vga));
        break;
    case IDE:
        ide_write(dev, port, value);
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

/* The disk's data register is the one that is wider than a byte. */
static bool is_disk_data(uint16_t port, unsigned size)
{
    return port == PORT_DISK_DATA && size > 1;
}

uint32_t devices_bulk(const struct devices *dev, uint16_t port, unsigned size, bool in)
{
    return is_disk_data(port, size) ? ide_data_ready(&dev->ide, !in) / size * size : 0;
}

void devices_in_bytes(struct devices *dev, uint16_t port, void *to, uint32_t n)
{
    (void)port;
    ide_data_in(&dev->ide, to, n);
    pic_set_line(&dev->pic, IRQ_DISK, ide_irq(&dev->ide));
}

void devices_out_bytes(struct devices *dev, uint16_t port, const void *from, uint32_t n)
{
    (void)port;
    const uint32_t sectors = ide_data_out(&dev->ide, from, n);
    if (sectors && dev->host.disk_written)
        dev->host.disk_written(dev->host.opaque, dev->ide.next - sectors, sectors);
    pic_set_line(&dev->pic, IRQ_DISK, ide_irq(&dev->ide));
}

/* A byte of a port that is nobody's, or above the table. */
static NOINLINE uint8_t far_in8(struct devices *dev, uint16_t port)
{
    const enum owner owner = owner_of(port, 1);
    uint32_t value;
    if (owner == NOBODY) {
        if (port >= SYSTEM_PORTS && bus_in(dev, port, 1, &value))
            return (uint8_t)value;
        unknown(dev, port, true, 1, 0);
    }
    return in8(dev, owner, port);
}

static NOINLINE void far_out8(struct devices *dev, uint16_t port, uint8_t value)
{
    const enum owner owner = owner_of(port, 1);
    if (owner == NOBODY) {
        if (port >= SYSTEM_PORTS && bus_out(dev, port, 1, value))
            return;
        unknown(dev, port, false, 1, value);
    }
    out8(dev, owner, port, value);
}

/* No device has the port, and there is nothing to report. */
static inline bool is_quiet(const struct devices *dev, enum owner owner, uint16_t port)
{
    return owner == SILENT || (owner == NOBODY && is_seen(dev, port));
}

/* Most accesses are of one byte, to a port in the table. */
uint8_t IN_REGISTERS devices_in8(struct devices *dev, uint16_t port)
{
    if (port >= SYSTEM_PORTS)
        return far_in8(dev, port);
    const enum owner owner = owners[port];
    if (is_quiet(dev, owner, port))
        return 0xFF;
    return owner == NOBODY ? far_in8(dev, port) : in8(dev, owner, port);
}

void IN_REGISTERS devices_out8(struct devices *dev, uint16_t port, uint8_t value)
{
    if (port >= SYSTEM_PORTS) {
        far_out8(dev, port, value);
        return;
    }
    const enum owner owner = owners[port];
    if (is_quiet(dev, owner, port))
        return;
    if (owner == NOBODY)
        far_out8(dev, port, value);
    else
        out8(dev, owner, port, value);
}

/* The ISA bus splits a wide access to byte-wide devices into bytes at following ports; the port
 * space wraps at its end. */
static NOINLINE uint32_t wide_in(struct devices *dev, uint16_t port, unsigned size)
{
    const enum owner first = owner_of(port, size);
    uint32_t value = 0;
    if (size == 4 && port == PORT_MODE)
        return dev->host.mode_answer(dev->host.opaque);
    if (is_disk_data(port, size)) {
        devices_in_bytes(dev, port, &value, size);
        return value;
    }
    if (first == NOBODY && port >= SYSTEM_PORTS && bus_in(dev, port, size, &value))
        return value;
    for (unsigned i = 0; i < size; i++) {
        const uint16_t p = (uint16_t)(port + i);
        const enum owner owner = owner_of(p, size);
        if (owner == NOBODY && reports(first, i))
            unknown(dev, p, true, i ? 1 : size, 0);
        value |= (uint32_t)in8(dev, owner, p) << 8 * i;
    }
    return value;
}

uint32_t devices_in(struct devices *dev, uint16_t port, unsigned size)
{
    return size == 1 ? devices_in8(dev, port) : wide_in(dev, port, size);
}

static NOINLINE void wide_out(struct devices *dev, uint16_t port, unsigned size, uint32_t value)
{
    const enum owner first = owner_of(port, size);
    if (size == 4 && port == PORT_MARK) {
        dev->host.mark(dev->host.opaque, value);
        return;
    }
    if (size == 4 && port == PORT_MODE) {
        dev->host.mode_ask(dev->host.opaque, value);
        return;
    }
    if (is_disk_data(port, size)) {
        devices_out_bytes(dev, port, &value, size);
        return;
    }
    if (first == NOBODY && port >= SYSTEM_PORTS && bus_out(dev, port, size, value))
        return;
    for (unsigned i = 0; i < size; i++) {
        const uint16_t p = (uint16_t)(port + i);
        const uint8_t byte = (uint8_t)(value >> 8 * i);
        const enum owner owner = owner_of(p, size);
        if (owner == NOBODY && reports(first, i))
            unknown(dev, p, false, i ? 1 : size, i ? byte : value);
        out8(dev, owner, p, byte);
    }
}

void devices_out(struct devices *dev, uint16_t port, unsigned size, uint32_t value)
{
    if (size == 1)
        devices_out8(dev, port, (uint8_t)value);
    else
        wide_out(dev, port, size, value);
}

void devices_tick(struct devices *dev)
{
    const uint64_t t = now(dev);
    if (pit_tick(&dev->pit, t)) {
        /* A new edge, also when the last one was not taken. */
        pic_set_line(&dev->pic, IRQ_TIMER, false);
        pic_set_line(&dev->pic, IRQ_TIMER, true);
    }
    pic_set_line(&dev->pic, IRQ_CLOCK, cmos_tick(&dev->cmos, t));
    virtio_console_deliver(dev);
    if (t >= dev->oneshot.deadline) {
        dev->oneshot.deadline = UINT64_MAX;
        dev->oneshot.pending = true;
    }
}

void devices_oneshot(struct devices *dev, uint64_t deadline, uint8_t vector)
{
    dev->oneshot = (struct oneshot){.deadline = deadline, .vector = vector};
}

uint64_t devices_deadline(struct devices *dev)
{
    const uint64_t clock = cmos_deadline(&dev->cmos), oneshot = dev->oneshot.deadline;
    uint64_t first = pit_deadline(&dev->pit);
    first = clock < first ? clock : first;
    return oneshot < first ? oneshot : first;
}

uint8_t devices_irq_ack(struct devices *dev)
{
    if (dev->oneshot.pending) {
        dev->oneshot.pending = false;
        return dev->oneshot.vector;
    }
    return pic_ack(&dev->pic);
}

bool devices_serial_room(const struct devices *dev)
{
    return virtio_console_listens(&dev->console) ? virtio_console_room(&dev->console)
                                                 : uart_room(&dev->uart);
}

bool devices_key_room(const struct devices *dev)
{
    return kbd_room(&dev->kbd);
}

bool devices_serial_in(struct devices *dev, uint8_t byte)
{
    if (virtio_console_listens(&dev->console))
        return virtio_console_rx(&dev->console, byte);
    const bool taken = uart_rx(&dev->uart, byte);
    pic_set_line(&dev->pic, IRQ_COM1, uart_irq(&dev->uart));
    return taken;
}

bool devices_key_in(struct devices *dev, uint8_t scancode)
{
    const bool taken = kbd_key(&dev->kbd, scancode);
    pic_set_line(&dev->pic, IRQ_KBD, kbd_irq(&dev->kbd));
    return taken;
}
