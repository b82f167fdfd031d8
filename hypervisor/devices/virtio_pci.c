/*
 * The PCI transport of virtio (OASIS Virtual I/O Device 1.2, 4.1), without MSI-X.
 *
 * The registers are behind an I/O BAR, which the standard leaves to the device: an access is then
 * one trapped instruction that needs no decoding, where a memory BAR would be a page fault.
 */
#include <string.h>

#include "models.h"

#define VENDOR 0x1AF4u
#define ID_BASE 0x1040u
#define REVISION 1
#define CAPABILITY_VENDOR 0x09

/* BAR 0 */
#define BAR_SIZE 0x80u
#define AT_COMMON 0x00u
#define AT_NOTIFY 0x40u
#define AT_ISR 0x44u
#define AT_CONFIG 0x48u

/* Kinds of capabilities (4.1.4) */
enum { CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_CONFIG, CAP_WINDOW };

/* Device status (2.1) */
enum { DRIVER_OK = 4, FEATURES_OK = 8, NEEDS_RESET = 64, DRIVER_BITS = 0x8F };
#define ISR_QUEUE 1
#define ISR_CONFIG 2
#define NO_VECTOR 0xFFFFu

/* 4.1.4.3 */
struct common {
    uint32_t device_select, device_feature, driver_select, driver_feature;
    uint16_t msix_config, queues;
    uint8_t status, generation;
    uint16_t queue_select, queue_size, queue_msix, queue_enable, queue_notify;
    uint64_t address[3];
} __attribute__((packed));
_Static_assert(sizeof(struct common) == 56, "the standard's layout");

static struct virtio *each(struct devices *dev, unsigned i)
{
    return i == 0 ? &dev->blk.v : i == 1 ? &dev->console.v : NULL;
}

static void update_irq(struct devices *dev, const struct virtio *v)
{
    const bool off = pci_word(v->pci, PCI_COMMAND) & PCI_COMMAND_NO_INTX;
    pic_set_line(&dev->pic, v->irq, v->isr && !off);
}

static void raise(struct devices *dev, struct virtio *v, uint8_t why)
{
    v->isr |= why;
    update_irq(dev, v);
}

bool virtio_alive(const struct virtio *v, unsigned queue)
{
    const uint8_t ok = DRIVER_OK | FEATURES_OK;
    return v->kind && (v->status & (ok | NEEDS_RESET)) == ok && v->queue[queue].enabled &&
           pci_word(v->pci, PCI_COMMAND) & PCI_COMMAND_MASTER;
}

void virtio_break(struct devices *dev, struct virtio *v)
{
    v->status |= NEEDS_RESET;
    if (v->status & DRIVER_OK)
        raise(dev, v, ISR_CONFIG);
}

bool virtio_next(struct devices *dev, struct virtio *v, unsigned queue, struct vq_request *r)
{
    if (!virtio_alive(v, queue))
        return false;
    const enum vq_result result = vq_pop(&dev->host, &v->queue[queue], v->features, r);
    if (result == VQ_BROKEN)
        virtio_break(dev, v);
    return result == VQ_REQUEST;
}

/* A device that has just stopped may still tell of what it did before. */
void virtio_end(struct devices *dev, struct virtio *v, unsigned queue, bool more)
{
    struct virtqueue *q = &v->queue[queue];
    if (virtio_alive(v, queue))
        vq_ask(&dev->host, q, v->features, more);
    if (q->enabled && vq_wants_interrupt(q, v->features))
        raise(dev, v, ISR_QUEUE);
}

static void reset(struct devices *dev, struct virtio *v)
{
    v->status = v->isr = 0;
    v->features = 0;
    v->device_select = v->driver_select = v->queue_select = 0;
    for (unsigned i = 0; i < VIRTIO_QUEUES; i++)
        v->queue[i] = (struct virtqueue){.size = VQ_SIZE_MAX};
    update_irq(dev, v);
}

static uint64_t offered(const struct virtio *v)
{
    return v->kind->features | VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX;
}

/* 3.1.1: FEATURES_OK stays off when the driver wants what is not offered, or an older standard. */
static void set_status(struct devices *dev, struct virtio *v, uint8_t value)
{
    if (!value) {
        reset(dev, v);
        return;
    }
    if ((v->features & ~offered(v)) || !(v->features & VIRTIO_F_VERSION_1))
        value &= (uint8_t)~FEATURES_OK;
    v->status |= value & DRIVER_BITS;
}

static struct virtqueue *selected(struct virtio *v)
{
    return v->queue_select < v->kind->queues ? &v->queue[v->queue_select] : NULL;
}

static struct common read_common(struct virtio *v)
{
    const struct virtqueue *q = selected(v);
    struct common c = {
        .device_select = v->device_select,
        .device_feature =
            v->device_select < 2 ? (uint32_t)(offered(v) >> 32 * v->device_select) : 0,
        .driver_select = v->driver_select,
        .driver_feature =
            v->driver_select < 2 ? (uint32_t)(v->features >> 32 * v->driver_select) : 0,
        .msix_config = NO_VECTOR,
        .queues = (uint16_t)v->kind->queues,
        .status = v->status,
        .queue_select = v->queue_select,
        .queue_msix = NO_VECTOR,
    };
    if (q) {
        c.queue_size = q->size;
        c.queue_enable = q->enabled;
        memcpy(c.address, q->address, sizeof(c.address));
    }
    return c;
}

static void set_features(struct virtio *v, uint32_t value)
{
    if (v->driver_select > 1 || v->status & FEATURES_OK)
        return;
    const unsigned shift = 32 * v->driver_select;
    v->features = (v->features & ~(0xFFFFFFFFull << shift)) | (uint64_t)value << shift;
}

static void enable(struct devices *dev, struct virtio *v, struct virtqueue *q)
{
    if (!vq_enable(&dev->host, q))
        virtio_break(dev, v);
}

/* What belongs to the selected queue; fixed once it is enabled (4.1.4.3.2). */
static void write_queue(struct devices *dev, struct virtio *v, uint32_t at, unsigned size,
                        uint32_t value)
{
    struct virtqueue *q = selected(v);
    const uint32_t word = (at - offsetof(struct common, address)) / 4;
    if (!q || q->enabled)
        return;
    if (at == offsetof(struct common, queue_size)) {
        if (value && value <= VQ_SIZE_MAX && !(value & (value - 1)))
            q->size = (uint16_t)value;
    } else if (at == offsetof(struct common, queue_enable)) {
        if (value == 1)
            enable(dev, v, q);
    } else if (at >= offsetof(struct common, address) && size == 4 && at % 4 == 0) {
        const unsigned shift = 32 * (word & 1);
        uint64_t *address = &q->address[word / 2];
        *address = (*address & ~(0xFFFFFFFFull << shift)) | (uint64_t)value << shift;
    }
}

static void write_common(struct devices *dev, struct virtio *v, uint32_t at, unsigned size,
                         uint32_t value)
{
    switch (at) {
    case offsetof(struct common, device_select):
        v->device_select = value;
        break;
    case offsetof(struct common, driver_select):
        v->driver_select = value;
        break;
    case offsetof(struct common, driver_feature):
        set_features(v, value);
        break;
    case offsetof(struct common, status):
        set_status(dev, v, (uint8_t)value);
        break;
    case offsetof(struct common, queue_select):
        v->queue_select = (uint16_t)value;
        break;
    default:
        write_queue(dev, v, at, size, value);
        break;
    }
}

static uint32_t read_isr(struct devices *dev, struct virtio *v)
{
    const uint8_t isr = v->isr;
    v->isr = 0; /* reading takes the interrupt back (4.1.4.5.1) */
    update_irq(dev, v);
    return isr;
}

static uint32_t register_in(struct devices *dev, struct virtio *v, uint32_t at, unsigned size)
{
    uint8_t bytes[BAR_SIZE + 4] = {0};
    uint32_t value;
    if (at == AT_ISR)
        return read_isr(dev, v);
    if (at < AT_NOTIFY) {
        const struct common c = read_common(v);
        memcpy(bytes, &c, sizeof(c));
    } else if (at >= AT_CONFIG && at < AT_CONFIG + VIRTIO_CONFIG_MAX) {
        v->kind->read_config(v, bytes + AT_CONFIG);
    }
    memcpy(&value, bytes + at, sizeof(value));
    return size == 4 ? value : value & ((1u << 8 * size) - 1);
}

static void register_out(struct devices *dev, struct virtio *v, uint32_t at, unsigned size,
                         uint32_t value)
{
    if (at == AT_NOTIFY) {
        if (value < v->kind->queues && virtio_alive(v, value))
            v->kind->notified(dev, v, value);
    } else if (at < AT_NOTIFY) {
        write_common(dev, v, at, size, value);
    } else if (at >= AT_CONFIG && size == 4) {
        v->kind->write_config(dev, v, at - AT_CONFIG, value);
    }
}

/* The window onto BAR 0 in configuration space (4.1.4.9): the guest sets bar, offset and length in
 * the capability, then accesses the data behind them. */
struct window {
    uint8_t id, next, length, kind, bar, pad[3];
    uint32_t at, size;
    uint8_t data[4];
} __attribute__((packed));

static bool in_window(const struct virtio *v, unsigned offset, struct window *w)
{
    memcpy(w, v->pci->bytes + v->window, sizeof(*w));
    return offset == v->window + offsetof(struct window, data) && !w->bar &&
           (w->size == 1 || w->size == 2 || w->size == 4) && w->at % w->size == 0 &&
           w->at < BAR_SIZE;
}

static struct virtio *behind(struct devices *dev, const struct pci_function *f)
{
    for (unsigned i = 0; each(dev, i); i++) {
        if (each(dev, i)->kind && each(dev, i)->pci == f)
            return each(dev, i);
    }
    return NULL;
}

static uint32_t config_in(struct devices *dev, uint16_t port, unsigned size)
{
    struct window w;
    unsigned offset;
    struct pci_function *f = pci_target(&dev->pci, port, &offset);
    struct virtio *v = f ? behind(dev, f) : NULL;
    if (!f)
        return size == 4 ? 0xFFFFFFFFu : (1u << 8 * size) - 1; /* master abort */
    if (v && in_window(v, offset, &w)) {
        const uint32_t value = register_in(dev, v, w.at, w.size);
        memcpy(f->bytes + offset, &value, w.size);
    }
    if (v)
        f->bytes[PCI_STATUS] =
            (uint8_t)((f->bytes[PCI_STATUS] & ~PCI_STATUS_INTX) | (v->isr ? PCI_STATUS_INTX : 0));
    return pci_read(f, offset, size);
}

static void config_out(struct devices *dev, uint16_t port, unsigned size, uint32_t value)
{
    struct window w;
    unsigned offset;
    struct pci_function *f = pci_target(&dev->pci, port, &offset);
    struct virtio *v = f ? behind(dev, f) : NULL;
    if (!f)
        return;
    pci_write(f, offset, size, value);
    if (!v)
        return;
    if (in_window(v, offset, &w)) {
        memcpy(&value, w.data, sizeof(value));
        register_out(dev, v, w.at, w.size, w.size == 4 ? value : value & ((1u << 8 * w.size) - 1));
    }
    update_irq(dev, v);
}

static struct virtio *decode(struct devices *dev, uint16_t port, unsigned *offset)
{
    for (unsigned i = 0; each(dev, i); i++) {
        struct virtio *v = each(dev, i);
        if (v->kind && pci_decodes(v->pci, port, offset))
            return v;
    }
    return NULL;
}

static bool is_config_data(uint16_t port, unsigned size)
{
    return port >= PCI_DATA && port + size <= PCI_DATA + 4;
}

bool bus_in(struct devices *dev, uint16_t port, unsigned size, uint32_t *value)
{
    unsigned offset;
    if (port == PCI_ADDRESS && size == 4) {
        *value = dev->pci.address;
        return true;
    }
    if (is_config_data(port, size)) {
        *value = config_in(dev, port, size);
        return true;
    }
    struct virtio *v = decode(dev, port, &offset);
    if (v)
        *value = register_in(dev, v, offset, size);
    return v;
}

bool bus_out(struct devices *dev, uint16_t port, unsigned size, uint32_t value)
{
    unsigned offset;
    if (port == PCI_ADDRESS && size == 4) {
        pci_select(&dev->pci, value);
        return true;
    }
    if (is_config_data(port, size)) {
        config_out(dev, port, size, value);
        return true;
    }
    struct virtio *v = decode(dev, port, &offset);
    if (v)
        register_out(dev, v, offset, size, value);
    return v;
}

/* A capability that points into BAR 0. The first two bytes, identity and link, belong to the bus.
 */
static unsigned add_capability(struct pci_function *f, uint8_t kind, uint32_t at, uint32_t size,
                               unsigned more)
{
    uint8_t body[18] = {(uint8_t)(16 + more), kind};
    memcpy(body + 6, &at, 4);
    memcpy(body + 10, &size, 4); /* what follows is 0: the same notify register for all queues */
    return pci_capability(f, CAPABILITY_VENDOR, body, 16 + more);
}

void virtio_attach(struct devices *dev, struct virtio *v, const struct virtio_kind *kind,
                   unsigned device, uint16_t port, uint8_t irq)
{
    const uint16_t id = (uint16_t)(ID_BASE + kind->id);
    const struct pci_identity identity = {VENDOR, id, REVISION, kind->class_code, VENDOR, id};
    struct pci_function *f = pci_add(&dev->pci, device, &identity);
    pci_io_bar(f, port, BAR_SIZE);
    pci_interrupt(f, irq);
    add_capability(f, CAP_COMMON, AT_COMMON, sizeof(struct common), 0);
    add_capability(f, CAP_NOTIFY, AT_NOTIFY, 2, 4);
    add_capability(f, CAP_ISR, AT_ISR, 1, 0);
    add_capability(f, CAP_CONFIG, AT_CONFIG, kind->config_size, 0);
    v->window = (uint8_t)add_capability(f, CAP_WINDOW, 0, 0, 4);
    memset(f->writable + v->window + offsetof(struct window, bar), 0xFF, 1);
    memset(f->writable + v->window + offsetof(struct window, at), 0xFF, 12);
    v->kind = kind;
    v->pci = f;
    v->irq = irq;
    reset(dev, v);
}
