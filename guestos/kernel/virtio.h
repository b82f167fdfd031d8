/*
 * Virtio devices on the PCI bus, for their drivers (OASIS Virtual I/O Device 1.2).
 *
 * A driver calls virtio_find(), virtio_begin(), virtio_queue() for each queue, virtio_ready(). From
 * then on the device takes what virtio_add() and virtio_kick() offer, and gives it back through
 * virtio_used().
 */
#ifndef MINNOW_VIRTIO_H
#define MINNOW_VIRTIO_H

#include "kernel.h"

#define VIRTIO_CONSOLE 3u /* kinds of devices (chapter 5) */
#define VIRTIO_BLOCK 2u

/* Registers of a device: in the port space or in memory. */
struct virtio_registers {
    bool port;
    uint32_t base; /* the port's number, or the kernel's address; 0: there are none */
};

struct virtio_device {
    struct virtio_registers common, notify, isr, config;
    uint32_t notify_scale; /* from a queue's notify offset to bytes */
    uint32_t features;     /* 0 to 31, as negotiated */
    unsigned irq;
    bool failed;                             /* it wants to be reset: nothing comes any more */
    void (*changed)(struct virtio_device *); /* interrupt: look at the queues, and at failed */
    struct virtio_device *next;
};

/* A split virtqueue (2.7). The first three are shared with the device. */
#define QUEUE_SIZE 64u
struct virtio_descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};
struct virtqueue {
    struct virtio_descriptor table[QUEUE_SIZE], indirect[QUEUE_SIZE];
    struct {
        uint16_t flags, index, ring[QUEUE_SIZE], used_event;
    } available;
    struct {
        uint16_t flags, index;
        struct {
            uint32_t head, length;
        } ring[QUEUE_SIZE];
        uint16_t available_event;
    } used;
    struct virtio_device *device;
    uint16_t added, kicked, seen; /* next entry to add, to announce, to get back */
    uint16_t index;
    uint32_t notify; /* offset of its register */
} __attribute__((aligned(16)));

/* Memory that the device reads, or writes. */
struct virtio_buffer {
    void *data;
    uint32_t length;
    bool device_writes;
};

/* The first device of the kind, its registers within reach; false: there is none that works. */
bool virtio_find(uint32_t kind, struct virtio_device *device);
/* Reset it, and agree on features: those of wanted (of the lower 32) that the device has. */
bool virtio_begin(struct virtio_device *device, uint32_t wanted);
bool virtio_queue(struct virtio_device *device, unsigned index, struct virtqueue *queue);
/* Let it run. device->changed is called from now on, if the queues ask for it. */
void virtio_ready(struct virtio_device *device);
void virtio_reset(struct virtio_device *device); /* it forgets all: nothing of it is to be used */
uint32_t virtio_config(const struct virtio_device *device, uint32_t offset); /* 32 bits of it */

/* Offer n buffers as one request, those that the device reads first. slot names it: a number below
 * QUEUE_SIZE that is in nobody's use; a request of several buffers takes slot 0 and all others. */
void virtio_add(struct virtqueue *queue, uint16_t slot, const struct virtio_buffer *b, unsigned n);
void virtio_kick(struct virtqueue *queue); /* tell the device, if it wants to be told */
/* Is a request back? Its slot, and how many bytes the device has written. */
bool virtio_used(struct virtqueue *queue, uint16_t *slot, uint32_t *written);
/* Ask for an interrupt when the next request is back; true: one is already, no interrupt comes. */
bool virtio_listen(struct virtqueue *queue);

/* Wait a little for the device, without interrupts; false: it has failed. */
bool virtio_poll(struct virtio_device *device);

void virtio_interrupt(unsigned irq);

#endif
