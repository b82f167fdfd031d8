/*
 * The virtio console (OASIS Virtual I/O Device 1.2, 5.3): one port, whose other end is the same
 * console that COM1 of the guest has. Which of the two gets the input? The one with a driver that
 * asked for this device.
 */
#include <string.h>

#include "models.h"

enum { RECEIVE = 0, TRANSMIT = 1 };
#define CONFIG_EMERGENCY 8 /* emerg_wr (5.3.4) */

static void read_config(const struct virtio *v, uint8_t *config)
{
    const uint32_t ports = 1;
    (void)v;
    memcpy(config + 4, &ports, 4); /* columns and rows are not offered, but 0 */
}

/* The emergency write works at any time, without queues. */
static void write_config(struct devices *dev, struct virtio *v, uint32_t offset, uint32_t value)
{
    (void)v;
    if (offset == CONFIG_EMERGENCY)
        dev->host.serial_out(dev->host.opaque, (uint8_t)value);
}

static void send(struct devices *dev, const struct vq_request *r)
{
    struct vq_cursor from = vq_readable(r);
    uint8_t bytes[128];
    for (uint32_t n; (n = vq_read(&from, bytes, sizeof(bytes)));) {
        for (uint32_t i = 0; i < n; i++)
            dev->host.serial_out(dev->host.opaque, bytes[i]);
    }
}

static void transmit(struct devices *dev, struct virtio *v)
{
    struct vq_request *r = &dev->request;
    while (virtio_next(dev, v, TRANSMIT, r)) {
        send(dev, r);
        vq_push(&dev->host, &v->queue[TRANSMIT], r->head, 0);
    }
    virtio_end(dev, v, TRANSMIT, true);
}

bool virtio_console_listens(const struct virtio_console *c)
{
    return virtio_alive(&c->v, RECEIVE);
}

bool virtio_console_room(const struct virtio_console *c)
{
    return c->count < VIRTIO_CONSOLE_FIFO;
}

bool virtio_console_rx(struct virtio_console *c, uint8_t byte)
{
    if (!virtio_console_room(c))
        return false;
    c->fifo[(c->head + c->count++) % VIRTIO_CONSOLE_FIFO] = byte;
    return true;
}

static uint32_t fill(struct devices *dev, struct virtio_console *c, struct vq_cursor *to)
{
    uint32_t n = 0;
    while (c->count && vq_write(&dev->host, to, &c->fifo[c->head], 1)) {
        c->head = (c->head + 1) % VIRTIO_CONSOLE_FIFO;
        c->count--;
        n++;
    }
    return n;
}

/* Buffers are of interest only while there is something to put into one. */
void virtio_console_deliver(struct devices *dev)
{
    struct virtio_console *c = &dev->console;
    struct virtqueue *q = &c->v.queue[RECEIVE];
    struct vq_request *r = &dev->request;
    if (!virtio_console_listens(c))
        return;
    const uint32_t before = c->count;
    while (c->count && virtio_next(dev, &c->v, RECEIVE, r)) {
        struct vq_cursor to = vq_writable(r);
        vq_push(&dev->host, q, r->head, fill(dev, c, &to));
    }
    virtio_end(dev, &c->v, RECEIVE, c->count);
    if (c->count != before && dev->host.input_room)
        dev->host.input_room(dev->host.opaque);
}

static void notified(struct devices *dev, struct virtio *v, unsigned queue)
{
    if (queue == TRANSMIT)
        transmit(dev, v);
    else
        virtio_console_deliver(dev);
}

static const struct virtio_kind kind = {
    .id = 3,
    .class_code = 0x078000, /* simple communication, of no other kind */
    .queues = 2,
    .features = VIRTIO_CONSOLE_F_EMERG_WRITE,
    .config_size = 12,
    .read_config = read_config,
    .write_config = write_config,
    .notified = notified,
};

void virtio_console_attach(struct devices *dev)
{
    enum { DEVICE = 2, PORT = 0xC080, IRQ = 10 };
    virtio_attach(dev, &dev->console.v, &kind, DEVICE, PORT, IRQ);
}
