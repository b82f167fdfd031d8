/* Private to hypervisor/devices: what the models offer to the port router (ports.c). All ports are
 * one byte wide; wider accesses are split before they come here. */
#ifndef TRIVISOR_MODELS_H
#define TRIVISOR_MODELS_H

#include "devices.h"

void pic_init(struct pic *pic);
uint8_t pic_in(struct pic *pic, uint16_t port);
void pic_out(struct pic *pic, uint16_t port, uint8_t value);
bool pic_intr(const struct pic *pic);
uint8_t pic_ack(struct pic *pic);

void pit_init(struct pit *pit, uint64_t now_ns);
uint8_t pit_in(struct pit *pit, uint16_t port, uint64_t now_ns);
void pit_out(struct pit *pit, uint16_t port, uint8_t value, uint64_t now_ns);
/* Edges of channel 0's output that were not delivered yet; and when the next one comes. */
bool pit_tick(struct pit *pit, uint64_t now_ns);
uint64_t pit_deadline(const struct pit *pit);

void uart_init(struct uart *uart);
uint8_t uart_in(struct uart *uart, uint16_t port);
/* Returns true when *tx holds a byte that leaves the port. */
bool uart_out(struct uart *uart, uint16_t port, uint8_t value, uint8_t *tx);
bool uart_rx(struct uart *uart, uint8_t byte);
bool uart_irq(const struct uart *uart);

void kbd_init(struct kbd *kbd);
uint8_t kbd_in(struct kbd *kbd, uint16_t port);
/* Returns true when the guest pulsed the reset line. */
bool kbd_out(struct kbd *kbd, uint16_t port, uint8_t value);
bool kbd_key(struct kbd *kbd, uint8_t scancode);
bool kbd_irq(const struct kbd *kbd);

void cmos_init(struct cmos *cmos, uint32_t ram_size);
uint8_t cmos_in(struct cmos *cmos, uint16_t port, uint64_t unix_seconds);
void cmos_out(struct cmos *cmos, uint16_t port, uint8_t value);

void vga_init(struct vga *vga);
uint8_t vga_in(struct vga *vga, uint16_t port);
/* Returns true when the cursor moved. */
bool vga_out(struct vga *vga, uint16_t port, uint8_t value);
uint16_t vga_cursor(const struct vga *vga);

#endif
