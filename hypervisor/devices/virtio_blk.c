/*
 * The virtio block device (OASIS Virtual I/O Device 1.2, 5.2). A request is done when it is found:
 * the disk is memory. So the driver sees it in the used ring as soon as its notification returns.
 */
#include <string.h>

#include "models.h"

#define REQUESTS 0 /* the queue */

/* 5.2.6 */
enum { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4, TYPE_GET_ID = 8 };
enum { STATUS_OK = 0, STATUS_ERROR = 1, STATUS_UNSUPPORTED = 2 };
#define ID_BYTES 20
struct header {
    uint32_t type, reserved;
    uint64_t sector;
};

static void read_config(const struct virtio *v, uint8_t *config)
{
    const struct virtio_blk *blk = (const struct virtio_blk *)v;
    const uint64_t capacity = blk->sectors;
    const uint32_t segments = VQ_SIZE_MAX - 2, block = IDE_SECTOR;
    memcpy(config, &capacity, 8);
    memcpy(config + 12, &segments, 4); /* seg_max: beside header and status */
    memcpy(config + 20, &block, 4);    /* blk_size */
}

static void write_config(struct devices *dev, struct virtio *v, uint32_t offset, uint32_t value)
{
    (void)dev, (void)v, (void)offset, (void)value; /* all of it is for reading */
}

/* Where so many bytes from the request's sector on are, or NULL: not on the disk, or no whole
 * sectors. */
static uint8_t *on_disk(const struct virtio_blk *blk, uint64_t sector, uint64_t bytes)
{
    const uint64_t count = bytes / IDE_SECTOR;
    if (bytes % IDE_SECTOR || sector > blk->sectors || count > blk->sectors - sector)
        return NULL;
    return blk->media + sector * IDE_SECTOR;
}

static void flush(struct devices *dev)
{
    if (dev->host.disk_flush)
        dev->host.disk_flush(dev->host.opaque);
}

static uint8_t read_sectors(struct devices *dev, const struct header *h, uint64_t n,
                            struct vq_cursor *to)
{
    const uint8_t *from = on_disk(&dev->blk, h->sector, n);
    if (!from)
        return STATUS_ERROR;
    vq_write(&dev->host, to, from, (uint32_t)n);
    return STATUS_OK;
}

/* A driver that knows no FLUSH may rely on what it has written (5.2.6.2). */
static uint8_t write_sectors(struct devices *dev, const struct header *h, uint64_t n,
                             struct vq_cursor *from)
{
    uint8_t *to = on_disk(&dev->blk, h->sector, n);
    if (!to)
        return STATUS_ERROR;
    vq_read(from, to, (uint32_t)n);
    if (n && dev->host.disk_written)
        dev->host.disk_written(dev->host.opaque, (uint32_t)h->sector, (uint32_t)n / IDE_SECTOR);
    if (!(dev->blk.v.features & VIRTIO_BLK_F_FLUSH))
        flush(dev);
    return STATUS_OK;
}

static uint8_t get_id(struct devices *dev, uint64_t n, struct vq_cursor *to)
{
    static const char id[ID_BYTES] = "trivisor";
    vq_write(&dev->host, to, id, n < ID_BYTES ? (uint32_t)n : ID_BYTES);
    return STATUS_OK;
}

/* Header, data, and the status, which is the last byte that we write: wherever one piece ends and
 * the next begins (2.7.4). False: there is no room for header or status. */
static bool serve(struct devices *dev, const struct vq_request *r, uint32_t *written)
{
    struct vq_cursor from = vq_readable(r), to = vq_writable(r), end = to;
    struct header h;
    uint8_t status;
    if (!r->from_device || vq_read(&from, &h, sizeof(h)) != sizeof(h))
        return false;
    const uint64_t room = r->from_device - 1;
    *written = 1;
    switch (h.type) {
    case TYPE_IN:
        status = read_sectors(dev, &h, room, &to);
        *written += status == STATUS_OK ? (uint32_t)room : 0;
        break;
    case TYPE_OUT:
        status = write_sectors(dev, &h, r->to_device - sizeof(h), &from);
        break;
    case TYPE_FLUSH:
        flush(dev);
        status = STATUS_OK;
        break;
    case TYPE_GET_ID:
        status = get_id(dev, room, &to);
        *written += room < ID_BYTES ? (uint32_t)room : ID_BYTES;
        break;
    default:
        status = STATUS_UNSUPPORTED;
    }
    vq_skip(&end, room);
    vq_write(&dev->host, &end, &status, 1);
    return true;
}

static void notified(struct devices *dev, struct virtio *v, unsigned queue)
{
    struct vq_request *r = &dev->request;
    uint32_t written;
    while (virtio_next(dev, v, queue, r)) {
        if (!serve(dev, r, &written)) {
            virtio_break(dev, v);
            break;
        }
        vq_push(&dev->host, &v->queue[queue], r->head, written);
    }
    virtio_end(dev, v, queue, true);
}

static const struct virtio_kind kind = {
    .id = 2,
    .class_code = 0x018000, /* mass storage, of no other kind */
    .queues = 1,
    .features = VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH,
    .config_size = 24,
    .read_config = read_config,
    .write_config = write_config,
    .notified = notified,
};

void virtio_blk_attach(struct devices *dev, uint8_t *media, uint32_t sectors)
{
    enum { DEVICE = 1, PORT = 0xC000, IRQ = 11 };
    dev->blk.media = media;
    dev->blk.sectors = sectors;
    virtio_attach(dev, &dev->blk.v, &kind, DEVICE, PORT, IRQ);
}
