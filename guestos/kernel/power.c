/* The end: a clean power-off whose status the host sees, and the panic. */
#include "kernel.h"
#include "sensitive.h"

#define COM1 0x3F8
#define COM2 0x2F8 /* records for programs that watch */
#define LSR 5
#define LSR_EMPTY 0x20
#define LSR_IDLE 0x40
#define PATIENCE 1000000u

static bool uart_present(uint16_t base)
{
    port_out8(base + 7, 0xA5);
    return port_in8(base + 7) == 0xA5;
}

static void uart_wait(uint16_t base, uint8_t bits)
{
    for (uint32_t i = 0; i < PATIENCE && (port_in8(base + LSR) & bits) != bits; i++)
        ;
}

static void uart_string(uint16_t base, const char *s)
{
    for (; *s; s++) {
        uart_wait(base, LSR_EMPTY);
        port_out8(base, (uint8_t)*s);
    }
}

/* {"type":"guest-end","status":N} on COM2: Bochs has no other way to report a status. */
static void record_end(int status)
{
    char digits[4] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10),
                      (char)('0' + status % 10), 0};
    const char *number = digits;
    while (*number == '0' && number[1])
        number++;
    if (!uart_present(COM2))
        return;
    port_out8(COM2 + 1, 0);
    port_out8(COM2 + 3, 0x80);
    port_out8(COM2 + 0, 1);
    port_out8(COM2 + 1, 0);
    port_out8(COM2 + 3, 0x03);
    port_out8(COM2 + 2, 0x07);
    uart_string(COM2, "{\"type\":\"guest-end\",\"status\":");
    uart_string(COM2, number);
    uart_string(COM2, "}\n");
    uart_wait(COM2, LSR_IDLE);
}

void power_off(int status)
{
    static const char bochs_word[] = "Shutdown";
    cpu_cli();
    virtio_console_drain();
    if (uart_present(COM1))
        uart_wait(COM1, LSR_IDLE);
    record_end(status & 127);
    port_out8(0xF4, (uint8_t)(status & 127)); /* QEMU's isa-debug-exit; a VMM's power switch */
    for (const char *c = bochs_word; *c; c++)
        port_out8(0x8900, (uint8_t)*c);
    for (;;)
        cpu_hlt();
}

/* Grow the stack until there is none left: the page below it is not mapped. */
static uint32_t grow_stack(uint32_t depth)
{
    volatile uint32_t frame[64];
    frame[0] = depth;
    return frame[0] < UINT32_MAX ? grow_stack(depth + 1) + frame[0] : 0;
}

void provoke(const char *command_line)
{
    if (strstr(command_line, "provoke=panic"))
        panic("provoked");
    if (strstr(command_line, "provoke=stack-overflow"))
        kprintf("%u\n", grow_stack(0));
}

void panic(const char *fmt, ...)
{
    va_list ap;
    cpu_cli();
    console_plain();
    kprintf("\nminnow: panic: ");
    va_start(ap, fmt);
    kvprintf(fmt, ap);
    va_end(ap);
    kprintf("\n");
    power_off(STATUS_PANIC);
}
