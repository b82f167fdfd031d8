/*
 * Virtio over PCI, and the split virtqueue: OASIS Virtual I/O Device 1.2, chapters 2 to 4. The
 * device's registers may be behind a memory or an I/O BAR; QEMU has them in memory, where a VMM
 * would have to decode instructions, and Trivisor has them in the port space.
 */
#include "virtio.h"

#include "sensitive.h"

/* PCI configuration space (PCI Local Bus Specification 3.0, 6.1) */
#define PCI_COMMAND 0x04
#define PCI_BARS 0x10
#define PCI_SUBSYSTEM 0x2E
#define PCI_CAPABILITIES 0x34
#define PCI_INTERRUPT 0x3C
#define COMMAND_ON 0x07u /* answer in both spaces, reach memory */
#define COMMAND_NO_INTERRUPT 0x400u
#define CAPABILITY_VENDOR 0x09
#define CAPABILITIES_MAX 48

#define VENDOR 0x1AF4u /* 4.1.2 */
#define ID_TRANSITIONAL 0x1000u
#define ID_MODERN 0x1040u
#define ID_END 0x1080u

/* Kinds of registers (4.1.4) */
enum { COMMON = 1, NOTIFY, ISR, CONFIG };

/* Common registers (4.1.4.3) */
enum {
    DEVICE_FEATURE_SELECT = 0,
    DEVICE_FEATURE = 4,
    DRIVER_FEATURE_SELECT = 8,
    DRIVER_FEATURE = 12,
    STATUS = 20,
    QUEUE_SELECT = 22,
    QUEUE_LENGTH = 24,
    QUEUE_ENABLE = 28,
    QUEUE_NOTIFY = 30,
    QUEUE_TABLE = 32,
    QUEUE_AVAILABLE = 40,
    QUEUE_USED = 48,
};
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, NEEDS_RESET = 64 };
#define ISR_CONFIG 2
#define RESET_PATIENCE 100000u

#define FEATURE_INDIRECT (1u << 28) /* chapter 6 */
#define FEATURE_EVENT_INDEX (1u << 29)
#define FEATURE_VERSION_1 1u /* in the second word */

#define MORE 1 /* flags of a descriptor (2.7.5) */
#define DEVICE_WRITES 2
#define INDIRECT 4
#define NO_NOTIFY 1    /* used.flags */
#define NO_INTERRUPT 1 /* available.flags */

static struct virtio_device *devices;

#define ACCESS(bits)                                                                               \
    static uint##bits##_t read##bits(const struct virtio_registers *r, uint32_t at)                \
    {                                                                                              \
        return r->port ? port_in##bits((uint16_t)(r->base + at))                                   \
                       : *(volatile uint##bits##_t *)(r->base + at);                               \
    }                                                                                              \
    static void write##bits(const struct virtio_registers *r, uint32_t at, uint##bits##_t value)   \
    {                                                                                              \
        if (r->port)                                                                               \
            port_out##bits((uint16_t)(r->base + at), value);                                       \
        else                                                                                       \
            *(volatile uint##bits##_t *)(r->base + at) = value;                                    \
    }
ACCESS(8)
ACCESS(16)
ACCESS(32)
#undef ACCESS

/* Transitional devices have the kind among the subsystem's numbers (4.1.2.3). */
static bool is_kind(int function, uint32_t kind)
{
    const uint32_t id = pci_read(function, 0) >> 16;
    if ((pci_read(function, 0) & 0xFFFF) != VENDOR || id < ID_TRANSITIONAL || id >= ID_END)
        return false;
    return id >= ID_MODERN ? id == ID_MODERN + kind : pci_read(function, PCI_SUBSYSTEM) == kind;
}

/* Registers behind a BAR (PCI 3.0, 6.2.5). Those that are out of reach stay { false, 0 }. */
static struct virtio_registers reach(int function, unsigned bar, uint32_t offset, uint32_t length)
{
    const uint32_t at = PCI_BARS + bar * 4, value = bar < 6 ? pci_read(function, at) : 0;
    if (value & 1)
        return (struct virtio_registers){true, (value & ~3u) + offset};
    if (!(value & ~15u) || ((value & 6) == 4 && (bar == 5 || pci_read(function, at + 4))))
        return (struct virtio_registers){false, 0};
    return (struct virtio_registers){false, (uint32_t)device_map((value & ~15u) + offset, length)};
}

/* What one capability points at (4.1.4). Of each kind the first one is the device's favourite. */
static void take_capability(struct virtio_device *d, int function, uint32_t at)
{
    struct virtio_registers *const kinds[] = {
        [COMMON] = &d->common, [NOTIFY] = &d->notify, [ISR] = &d->isr, [CONFIG] = &d->config};
    const uint32_t kind = pci_read(function, at + 3) & 0xFF;
    if (kind < COMMON || kind > CONFIG || kinds[kind]->base)
        return;
    *kinds[kind] = reach(function, pci_read(function, at + 4) & 0xFF, pci_read(function, at + 8),
                         pci_read(function, at + 12));
    if (kind == NOTIFY)
        d->notify_scale = pci_read(function, at + 16);
}

bool virtio_find(uint32_t kind, struct virtio_device *d)
{
    int f = pci_next(-1);
    while (f >= 0 && !is_kind(f, kind))
        f = pci_next(f);
    if (f < 0)
        return false;
    uint32_t at = pci_read(f, PCI_CAPABILITIES) & 0xFC;
    for (int i = 0; at && i < CAPABILITIES_MAX; i++) {
        if ((pci_read(f, at) & 0xFF) == CAPABILITY_VENDOR)
            take_capability(d, f, at);
        at = pci_read(f, at + 1) & 0xFC;
    }
    const uint32_t command = pci_read(f, PCI_COMMAND) & 0xFFFF;
    pci_write(f, PCI_COMMAND, (command | COMMAND_ON) & ~COMMAND_NO_INTERRUPT);
    d->irq = pci_read(f, PCI_INTERRUPT) & 0xFF;
    return d->common.base && d->notify.base && d->isr.base && d->config.base && d->irq < 16;
}

static uint32_t device_features(const struct virtio_device *d, uint32_t word)
{
    write32(&d->common, DEVICE_FEATURE_SELECT, word);
    return read32(&d->common, DEVICE_FEATURE);
}

static void accept_features(const struct virtio_device *d, uint32_t word, uint32_t features)
{
    write32(&d->common, DRIVER_FEATURE_SELECT, word);
    write32(&d->common, DRIVER_FEATURE, features);
}

static void add_status(const struct virtio_device *d, uint8_t bits)
{
    write8(&d->common, STATUS, read8(&d->common, STATUS) | bits);
}

void virtio_reset(struct virtio_device *d)
{
    write8(&d->common, STATUS, 0);
    for (uint32_t i = 0; i < RESET_PATIENCE && read8(&d->common, STATUS); i++)
        ;
}

/* 3.1.1, steps 1 to 6 */
bool virtio_begin(struct virtio_device *d, uint32_t wanted)
{
    virtio_reset(d);
    add_status(d, ACKNOWLEDGE);
    add_status(d, DRIVER);
    if (!(device_features(d, 1) & FEATURE_VERSION_1))
        return false;
    d->features = device_features(d, 0) & (wanted | FEATURE_INDIRECT | FEATURE_EVENT_INDEX);
    accept_features(d, 0, d->features);
    accept_features(d, 1, FEATURE_VERSION_1);
    add_status(d, FEATURES_OK);
    return read8(&d->common, STATUS) & FEATURES_OK;
}

static void write_address(const struct virtio_device *d, uint32_t at, const void *p)
{
    write32(&d->common, at, virt_to_phys(p));
    write32(&d->common, at + 4, 0);
}

bool virtio_queue(struct virtio_device *d, unsigned index, struct virtqueue *q)
{
    memset(q, 0, sizeof(*q));
    q->device = d;
    q->index = (uint16_t)index;
    write16(&d->common, QUEUE_SELECT, (uint16_t)index);
    if (read16(&d->common, QUEUE_LENGTH) < QUEUE_SIZE)
        return false;
    write16(&d->common, QUEUE_LENGTH, QUEUE_SIZE);
    write_address(d, QUEUE_TABLE, q->table);
    write_address(d, QUEUE_AVAILABLE, &q->available);
    write_address(d, QUEUE_USED, &q->used);
    q->notify = read16(&d->common, QUEUE_NOTIFY) * d->notify_scale;
    q->available.flags = NO_INTERRUPT;
    q->available.used_event = (uint16_t)-1;
    write16(&d->common, QUEUE_ENABLE, 1);
    return true;
}

void virtio_ready(struct virtio_device *d)
{
    d->next = devices;
    devices = d;
    irq_open(d->irq);
    add_status(d, DRIVER_OK);
}

uint32_t virtio_config(const struct virtio_device *d, uint32_t offset)
{
    return read32(&d->config, offset);
}

/* A chain of descriptors in the table, where its first entry has the number `at`. */
static void chain(struct virtio_descriptor *table, unsigned at, const struct virtio_buffer *b,
                  unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const bool last = i + 1 == n;
        const unsigned flags = (b[i].device_writes ? DEVICE_WRITES : 0) | (last ? 0 : MORE);
        table[at + i] = (struct virtio_descriptor){virt_to_phys(b[i].data), b[i].length,
                                                   (uint16_t)flags, (uint16_t)(at + i + 1)};
    }
}

void virtio_add(struct virtqueue *q, uint16_t slot, const struct virtio_buffer *b, unsigned n)
{
    if (n > 1 && (q->device->features & FEATURE_INDIRECT)) {
        chain(q->indirect, 0, b, n);
        q->table[slot] = (struct virtio_descriptor){virt_to_phys(q->indirect),
                                                    n * sizeof(q->indirect[0]), INDIRECT, 0};
    } else {
        chain(q->table, slot, b, n);
    }
    q->available.ring[q->added++ % QUEUE_SIZE] = slot;
}

/* The device sees the entries before it sees their number; and the number is there before its wish
 * is read (2.7.13.3, 2.7.13.4.1). */
void virtio_kick(struct virtqueue *q)
{
    const uint16_t before = q->kicked;
    __sync_synchronize();
    *(volatile uint16_t *)&q->available.index = q->kicked = q->added;
    __sync_synchronize();
    const volatile uint16_t *event = &q->used.available_event, *flags = &q->used.flags;
    const bool wanted = q->device->features & FEATURE_EVENT_INDEX
                            ? (uint16_t)(q->added - *event - 1) < (uint16_t)(q->added - before)
                            : !(*flags & NO_NOTIFY);
    if (wanted && q->added != before && !q->device->failed)
        write16(&q->device->notify, q->notify, q->index);
}

static bool anything_used(const struct virtqueue *q)
{
    const bool any = *(const volatile uint16_t *)&q->used.index != q->seen;
    __sync_synchronize();
    return any && !q->device->failed;
}

bool virtio_used(struct virtqueue *q, uint16_t *slot, uint32_t *written)
{
    if (!anything_used(q))
        return false;
    *slot = (uint16_t)q->used.ring[q->seen % QUEUE_SIZE].head;
    *written = q->used.ring[q->seen % QUEUE_SIZE].length;
    q->seen++;
    /* No interrupt for those that follow: an entry that was passed is not met again soon. */
    q->available.flags = NO_INTERRUPT;
    q->available.used_event = (uint16_t)(q->seen - 1);
    return true;
}

bool virtio_listen(struct virtqueue *q)
{
    q->available.flags = 0;
    q->available.used_event = q->seen;
    __sync_synchronize();
    return anything_used(q);
}

/* Asking for the status takes an emulated device's own time, which is what it needs. */
bool virtio_poll(struct virtio_device *d)
{
    if (read8(&d->common, STATUS) & NEEDS_RESET)
        d->failed = true;
    return !d->failed;
}

/* Reading the ISR takes the interrupt back (4.1.4.5). Several devices may share a line. */
void virtio_interrupt(unsigned irq)
{
    for (struct virtio_device *d = devices; d; d = d->next) {
        const uint8_t isr = d->irq == irq ? read8(&d->isr, 0) : 0;
        if ((isr & ISR_CONFIG) && (read8(&d->common, STATUS) & NEEDS_RESET))
            d->failed = true;
        if (isr)
            d->changed(d);
    }
}
