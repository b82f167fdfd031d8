/*
 * A virtio block device (OASIS Virtual I/O Device 1.2, 5.2). One request at a time, of up to
 * DISK_TRANSFER_MAX sectors. Most devices of a VMM are done when they have been told: so an
 * interrupt is asked for only where the answer is not there at once.
 */
#include "virtio.h"

#define FEATURE_SEGMENTS (1u << 2)
#define FEATURE_FLUSH (1u << 9)
enum { CAPACITY = 0, SEGMENTS = 12 }; /* configuration */
enum { READ = 0, WRITE = 1, FLUSH = 4 };
#define OK 0
#define PENDING 0xFF /* ours: the device did not say anything */

#define BLOCKS_MAX (DISK_TRANSFER_MAX * FS_SECTOR / FS_BLOCK)
_Static_assert(BLOCKS_MAX + 2 <= QUEUE_SIZE, "a request must fit into the queue");

static struct virtio_device device;
static struct virtqueue queue;
static struct {
    uint32_t type, reserved;
    uint64_t sector;
} header;
static uint8_t status;
static volatile bool interrupted;

static void changed(struct virtio_device *d)
{
    (void)d;
    interrupted = true;
    disk_wake();
}

static uint32_t init(void)
{
    if (!virtio_find(VIRTIO_BLOCK, &device) ||
        !virtio_begin(&device, FEATURE_SEGMENTS | FEATURE_FLUSH) ||
        !virtio_queue(&device, 0, &queue))
        return 0;
    if ((device.features & FEATURE_SEGMENTS) && virtio_config(&device, SEGMENTS) < BLOCKS_MAX)
        return 0;
    device.changed = changed;
    virtio_ready(&device);
    return virtio_config(&device, CAPACITY + 4) ? UINT32_MAX : virtio_config(&device, CAPACITY);
}

/* Wait until the request is back; false: it failed, or the device did. The device must not touch
 * our memory later, hence the reset. */
static bool finish(void)
{
    uint16_t slot;
    uint32_t written;
    while (!virtio_used(&queue, &slot, &written)) {
        interrupted = false;
        if (virtio_listen(&queue))
            continue;
        if (device.failed || !disk_wait(&interrupted)) {
            virtio_reset(&device);
            disk_give_up();
            return false;
        }
    }
    return status == OK;
}

/* The header, n buffers of data, the status (5.2.6). */
static bool request(uint32_t type, uint32_t sector, struct virtio_buffer *data, unsigned n)
{
    header.type = type;
    header.sector = sector;
    status = PENDING;
    data[-1] = (struct virtio_buffer){&header, sizeof(header), false};
    data[n] = (struct virtio_buffer){&status, sizeof(status), true};
    virtio_add(&queue, 0, data - 1, n + 2);
    virtio_kick(&queue);
    return finish();
}

/* Blocks that are neighbours in memory are one buffer. */
static bool transfer(uint32_t sector, uint32_t count, uint8_t *const blocks[], bool write)
{
    struct virtio_buffer buffers[BLOCKS_MAX + 2], *data = buffers + 1;
    unsigned n = 0;
    for (uint32_t left = count * FS_SECTOR; left; blocks++) {
        const uint32_t part = left < FS_BLOCK ? left : FS_BLOCK;
        if (n && (uint8_t *)data[n - 1].data + data[n - 1].length == *blocks)
            data[n - 1].length += part;
        else
            data[n++] = (struct virtio_buffer){*blocks, part, !write};
        left -= part;
    }
    return request(write ? WRITE : READ, sector, data, n);
}

/* A device without the feature has no cache that could lose something (5.2.5.2). */
static bool flush(void)
{
    struct virtio_buffer buffers[2];
    return !(device.features & FEATURE_FLUSH) || request(FLUSH, 0, buffers + 1, 0);
}

const struct disk_driver virtio_disk = {"a virtio block device", init, transfer, flush};
