/*
 * A virtio console (OASIS Virtual I/O Device 1.2, 5.3): its first port, which is two queues. What
 * is written leaves in one piece for each write of a program, instead of byte by byte.
 */
#include "virtio.h"

enum { RECEIVE = 0, TRANSMIT = 1 };
#define SLOTS 8u
#define SLOT_SIZE 256u
#define PATIENCE 1000000u /* polls before output is given up */

static struct virtio_device device;
static struct virtqueue receive, transmit;
static char in[SLOTS][SLOT_SIZE], out[SLOTS][SLOT_SIZE];
static bool ready;
static uint32_t slot, length; /* the slot in hand, and the bytes put into it */
static uint32_t busy;         /* one bit a slot that the device has */

static void offer(uint16_t i)
{
    const struct virtio_buffer b = {in[i], SLOT_SIZE, true};
    virtio_add(&receive, i, &b, 1);
}

/* Input is here. */
static void changed(struct virtio_device *d)
{
    uint16_t i;
    uint32_t n;
    ready = ready && !d->failed;
    do {
        while (virtio_used(&receive, &i, &n)) {
            for (uint32_t k = 0; k < n && k < SLOT_SIZE; k++)
                console_input(in[i % SLOTS][k]);
            offer(i % SLOTS);
        }
        virtio_kick(&receive);
    } while (virtio_listen(&receive));
}

void virtio_console_init(void)
{
    if (!virtio_find(VIRTIO_CONSOLE, &device) || !virtio_begin(&device, 0) ||
        !virtio_queue(&device, RECEIVE, &receive) || !virtio_queue(&device, TRANSMIT, &transmit))
        return;
    device.changed = changed;
    virtio_ready(&device);
    for (uint16_t i = 0; i < SLOTS; i++)
        offer(i);
    virtio_kick(&receive);
    ready = true;
    changed(&device);
}

/* Wait until no more than `left` slots are the device's. When somebody keeps our output from
 * leaving for long, it is back to the serial port. */
static void wait_for_slots(uint32_t left)
{
    uint16_t i;
    uint32_t n, polls = 0;
    for (;;) {
        while (virtio_used(&transmit, &i, &n))
            busy &= ~(1u << i % SLOTS);
        if (!ready || (uint32_t)__builtin_popcount(busy) <= left)
            return;
        ready = virtio_poll(&device) && polls++ < PATIENCE;
    }
}

void virtio_console_flush(void)
{
    const struct virtio_buffer b = {out[slot], length, false};
    if (!ready || !length)
        return;
    virtio_add(&transmit, (uint16_t)slot, &b, 1);
    virtio_kick(&transmit);
    busy |= 1u << slot;
    length = 0;
    wait_for_slots(SLOTS - 1);
    while (ready && busy >> slot & 1)
        slot = (slot + 1) % SLOTS;
}

/* The machine may be switched off then: a device can be slow to take what it was given. */
void virtio_console_drain(void)
{
    virtio_console_flush();
    wait_for_slots(0);
}

bool virtio_console_put(char c)
{
    if (!ready)
        return false;
    out[slot][length++] = c;
    if (length == SLOT_SIZE)
        virtio_console_flush();
    return true;
}
