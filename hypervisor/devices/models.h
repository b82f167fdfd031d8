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

#endif
