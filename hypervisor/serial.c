/*
 * The host's serial ports (NS16550A data sheet) and keyboard port: COM1 is the guest's console,
 * COM2 carries records for programs, and their commands for the monitor.
 */
#include "cpu.h"
#include "host.h"

static const uint16_t bases[2] = {0x3F8, 0x2F8};
static bool present[2];

#define UART_IER 1
#define UART_FCR 2
#define UART_LCR 3
#define UART_MCR 4
#define UART_LSR 5
#define UART_SCR 7
#define LSR_DATA 0x01
#define LSR_THRE 0x20
#define LSR_TEMT 0x40

/* Longest wait for a transmitter, in polls: a character at 115200 baud takes under 100 us. */
#define PATIENCE 1000000u

void host_serial_init(void)
{
    for (unsigned i = 0; i < 2; i++) {
        uint16_t base = bases[i];
        outb(base + UART_SCR, 0x5A);
        present[i] = inb(base + UART_SCR) == 0x5A;
        if (!present[i])
            continue;
        outb(base + UART_IER, 0);
        outb(base + UART_LCR, 0x80);
        outb(base, 1); /* 115200 baud */
        outb(base + 1, 0);
        outb(base + UART_LCR, 0x03);
        outb(base + UART_FCR, 0x07);
        outb(base + UART_MCR, 0x0B);
    }
}

static void wait_for(unsigned index, uint8_t bit)
{
    for (uint32_t i = 0; i < PATIENCE; i++) {
        if (inb(bases[index] + UART_LSR) & bit)
            return;
    }
}

void host_serial_put(unsigned index, uint8_t byte)
{
    if (!present[index])
        return;
    wait_for(index, LSR_THRE);
    outb(bases[index], byte);
}

int host_serial_get(void)
{
    if (!present[0] || !(inb(bases[0] + UART_LSR) & LSR_DATA))
        return -1;
    return inb(bases[0]);
}

bool host_serial_waiting(void)
{
    return present[0] && (inb(bases[0] + UART_LSR) & LSR_DATA);
}

int host_command_get(void)
{
    if (!present[1] || !(inb(bases[1] + UART_LSR) & LSR_DATA))
        return -1;
    return inb(bases[1]);
}

int host_key_get(void)
{
    uint8_t status = inb(0x64);
    if ((status & 0x21) != 0x01) /* output full, and not from the mouse */
        return -1;
    return inb(0x60);
}

/* The handlers only note that there is work: the vCPU loop reads the bytes when it has room. */
static void input_irq(void)
{
}

void host_input_init(void)
{
    if (present[0])
        outb(bases[0] + UART_IER, 1);
    host_irq_open(4, input_irq);
    while (host_key_get() >= 0)
        ;
    host_irq_open(1, input_irq);
}

void host_command_init(void (*handler)(void))
{
    while (host_command_get() >= 0)
        ;
    if (present[1])
        outb(bases[1] + UART_IER, 1);
    host_irq_open(3, handler);
}

void host_power_off(int status)
{
    static const char bochs_word[] = "Shutdown";
    for (unsigned i = 0; i < 2; i++) {
        if (present[i])
            wait_for(i, LSR_TEMT);
    }
    outb(0xF4, (uint8_t)status); /* QEMU isa-debug-exit: exit status 2 * status + 1 */
    for (const char *c = bochs_word; *c; c++)
        outb(0x8900, (uint8_t)*c);
    for (;;)
        __asm__ volatile("cli\n\thlt");
}
