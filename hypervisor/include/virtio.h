/*
 * Virtio devices: the split virtqueue, the PCI transport, a block device and a console (OASIS
 * Virtual I/O Device 1.2; numbers of sections are that standard's). Pure code.
 *
 * Everything in guest memory is hostile: it is checked, and read once. A driver that breaks a rule
 * gets DEVICE_NEEDS_RESET (2.1.2): the device stops, and what it did before stays done.
 */
#ifndef TRIVISOR_VIRTIO_H
#define TRIVISOR_VIRTIO_H

#include "pci.h"

struct device_host;

#define VQ_SIZE_MAX 128u
#define VIRTIO_QUEUES 2u

/* Feature bits (chapter 6, 5.2.3) */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX (1ull << 29)
#define VIRTIO_F_VERSION_1 (1ull << 32)
#define VIRTIO_BLK_F_SEG_MAX (1ull << 2)
#define VIRTIO_BLK_F_BLK_SIZE (1ull << 6)
#define VIRTIO_BLK_F_FLUSH (1ull << 9)
#define VIRTIO_CONSOLE_F_EMERG_WRITE (1ull << 2)

struct vq_descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};
struct vq_available {
    uint16_t flags, index, ring[]; /* behind the ring: used_event */
};
struct vq_used {
    uint16_t flags, index;
    struct {
        uint32_t head, length;
    } ring[]; /* behind it: available_event */
};

struct virtqueue {
    uint16_t size;
    bool enabled;
    uint64_t address[3]; /* as the driver wrote them: descriptors, available ring, used ring */
    /* The same in our memory, from queue_enable on. */
    volatile struct vq_descriptor *table;
    volatile struct vq_available *available;
    volatile struct vq_used *used;
    uint16_t seen;      /* available entries taken */
    uint16_t done;      /* used entries given */
    uint16_t signalled; /* done, when the driver was last considered for an interrupt */
};

/* A request: pieces of guest memory, those that the device reads before those that it writes. */
struct vq_piece {
    uint8_t *at;
    gpa_t gpa;
    uint32_t length;
};
struct vq_request {
    uint16_t head;
    unsigned pieces, readable;       /* how many; how many of them are readable */
    uint64_t to_device, from_device; /* bytes */
    struct vq_piece piece[VQ_SIZE_MAX];
};

/* A place in a request. */
struct vq_cursor {
    const struct vq_piece *next, *end;
    uint32_t offset;
};

struct virtio {
    const struct virtio_kind *kind; /* NULL: the device is not there */
    struct pci_function *pci;
    uint64_t features; /* the driver's; only what was offered once FEATURES_OK is set */
    uint32_t device_select, driver_select;
    uint16_t queue_select;
    uint8_t status, isr, irq;
    uint8_t window; /* offset of the capability that is a window onto the BAR */
    struct virtqueue queue[VIRTIO_QUEUES];
};

/* Received bytes wait here for a buffer of the driver. */
#define VIRTIO_CONSOLE_FIFO 256u
struct virtio_console {
    struct virtio v;
    uint8_t fifo[VIRTIO_CONSOLE_FIFO];
    uint32_t head, count;
};

struct virtio_blk {
    struct virtio v;
    uint8_t *media;
    uint32_t sectors;
};

#endif
