/* Private to hypervisor/devices: what the models offer to the port router (ports.c). All ports are
 * one byte wide; wider accesses are split before they come here. Times are guest time in ns. */
#ifndef TRIVISOR_MODELS_H
#define TRIVISOR_MODELS_H

#include "devices.h"

void pic_init(struct pic *pic);
uint8_t pic_in(struct pic *pic, uint16_t port);
void pic_out(struct pic *pic, uint16_t port, uint8_t value);
/* The INTA cycle: returns the vector. */
uint8_t pic_ack(struct pic *pic);

void pit_init(struct pit *pit, uint64_t now_ns);
uint8_t pit_in(struct pit *pit, uint16_t port, uint64_t now_ns);
void pit_out(struct pit *pit, uint16_t port, uint8_t value, uint64_t now_ns);
/* Did channel 0's output rise since the last call? When does it next (0: it did, UINT64_MAX:
 * never)? */
bool pit_tick(struct pit *pit, uint64_t now_ns);
uint64_t pit_deadline(const struct pit *pit);

void uart_init(struct uart *uart);
uint8_t uart_in(struct uart *uart, uint16_t port);
/* Returns true when *tx holds a byte that leaves the port. After each uart_out() the caller samples
 * uart_irq(), calls uart_sent() (the transmitter ran empty) and samples again: that is the edge
 * that a driver sees which writes the next byte without reading the IIR. */
bool uart_out(struct uart *uart, uint16_t port, uint8_t value, uint8_t *tx);
void uart_sent(struct uart *uart);
/* A byte from the line. Returns false when it was not taken: see uart_room(). */
bool uart_rx(struct uart *uart, uint8_t byte);
bool uart_room(const struct uart *uart);
bool uart_irq(const struct uart *uart);

void kbd_init(struct kbd *kbd);
uint8_t kbd_in(struct kbd *kbd, uint16_t port);
/* Returns true when the guest pulsed the reset line. */
bool kbd_out(struct kbd *kbd, uint16_t port, uint8_t value);
/* A key's byte. Returns false when it was not taken: see kbd_room(). */
bool kbd_key(struct kbd *kbd, uint8_t scancode);
bool kbd_room(const struct kbd *kbd);
bool kbd_irq(const struct kbd *kbd);

/* boot_seconds: the date at guest time 0, in seconds since 1970. */
void cmos_init(struct cmos *cmos, uint32_t ram_size, uint64_t boot_seconds);
uint8_t cmos_in(struct cmos *cmos, uint16_t port, uint64_t now_ns);
void cmos_out(struct cmos *cmos, uint16_t port, uint8_t value, uint64_t now_ns);
/* Bring the periodic flag up to date; returns the level of IRQ 8. */
bool cmos_tick(struct cmos *cmos, uint64_t now_ns);
uint64_t cmos_deadline(const struct cmos *cmos);

void vga_init(struct vga *vga);
uint8_t vga_in(struct vga *vga, uint16_t port);
/* Returns true when the cursor moved. */
bool vga_out(struct vga *vga, uint16_t port, uint8_t value);
uint16_t vga_cursor(const struct vga *vga);

/* media: sectors * IDE_SECTOR bytes, which the drive reads and writes; NULL: no drive. */
void ide_init(struct ide *ide, uint8_t *media, uint32_t sectors);
enum ide_effect { IDE_NOTHING, IDE_FLUSHED }; /* FLUSHED: the guest wants its writes to last */
uint8_t ide_in(struct ide *ide, uint16_t port);
enum ide_effect ide_out(struct ide *ide, uint16_t port, uint8_t value);
#define IDE_CONTROL 0x3F6
/* The data register, which is 16 bits wide: bytes that it will give or take before the drive's
 * state changes, and moving some of them. Beyond that, reads give ones and writes are lost.
 * ide_data_out() returns how many sectors, those before ide->next, it completed. */
uint32_t ide_data_ready(const struct ide *ide, bool to_disk);
void ide_data_in(struct ide *ide, void *to, uint32_t n);
uint32_t ide_data_out(struct ide *ide, const void *from, uint32_t n);
bool ide_irq(const struct ide *ide);

/*
 * The split virtqueue. features: the driver's.
 */
/* Bind the rings that the driver named; false: not all of them is guest RAM, rightly aligned. */
bool vq_enable(const struct device_host *host, struct virtqueue *q);
enum vq_result { VQ_EMPTY, VQ_REQUEST, VQ_BROKEN };
/* Take the next request; BROKEN: the driver violates the standard. */
enum vq_result vq_pop(const struct device_host *host, struct virtqueue *q, uint64_t features,
                      struct vq_request *r);
/* Give one back; `written` bytes of its writable part are new. */
void vq_push(const struct device_host *host, struct virtqueue *q, uint16_t head, uint32_t written);
/* Does the driver want to be interrupted for what was given back since this was asked last? */
bool vq_wants_interrupt(struct virtqueue *q, uint64_t features);
/* Tell the driver whether we want to be notified of new requests. */
void vq_ask(const struct device_host *host, struct virtqueue *q, uint64_t features, bool wanted);
/* Copy up to n bytes at a place in a request, which moves on; how many were there. */
struct vq_cursor vq_readable(const struct vq_request *r);
struct vq_cursor vq_writable(const struct vq_request *r);
void vq_skip(struct vq_cursor *c, uint64_t n);
uint32_t vq_read(struct vq_cursor *c, void *to, uint32_t n);
uint32_t vq_write(const struct device_host *host, struct vq_cursor *c, const void *from,
                  uint32_t n);

/* What kind of device stands behind the transport. */
struct virtio_kind {
    uint16_t id; /* chapter 5 */
    uint32_t class_code;
    unsigned queues;
    uint64_t features;
    uint32_t config_size;
    /* Fill in the device's configuration; the driver wrote 32 bits of it; the driver says that a
     * queue has something new. */
    void (*read_config)(const struct virtio *v, uint8_t *config);
    void (*write_config)(struct devices *dev, struct virtio *v, uint32_t offset, uint32_t value);
    void (*notified)(struct devices *dev, struct virtio *v, unsigned queue);
};
#define VIRTIO_CONFIG_MAX 32u
/* Plug it in as this device of the bus, its registers at `port`, its interrupt at `irq`. */
void virtio_attach(struct devices *dev, struct virtio *v, const struct virtio_kind *kind,
                   unsigned device, uint16_t port, uint8_t irq);
/* Its driver runs, it may use the guest's memory, and the queue is enabled. */
bool virtio_alive(const struct virtio *v, unsigned queue);
/* For kinds: take the next request of a queue; false: none (a broken ring stops the device). */
bool virtio_next(struct devices *dev, struct virtio *v, unsigned queue, struct vq_request *r);
/* The driver broke a rule: stop until it resets the device. */
void virtio_break(struct devices *dev, struct virtio *v);
/* There were no more: interrupt the driver, if it wants that, for what was given back. more: it
 * should notify us of new requests. */
void virtio_end(struct devices *dev, struct virtio *v, unsigned queue, bool more);

void virtio_blk_attach(struct devices *dev, uint8_t *media, uint32_t sectors);
void virtio_console_attach(struct devices *dev);
/* Input for the guest: would it be taken (a driver is there)? Is there room? Then take it, and
 * give the driver what has come. */
bool virtio_console_listens(const struct virtio_console *c);
bool virtio_console_room(const struct virtio_console *c);
bool virtio_console_rx(struct virtio_console *c, uint8_t byte);
void virtio_console_deliver(struct devices *dev);

/* Ports of the PCI bus: those of configuration space, and those that BARs claim. False: the port is
 * nobody's. */
bool bus_in(struct devices *dev, uint16_t port, unsigned size, uint32_t *value);
bool bus_out(struct devices *dev, uint16_t port, unsigned size, uint32_t value);

#endif
