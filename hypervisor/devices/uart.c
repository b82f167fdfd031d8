/* 16550A serial port (National Semiconductor PC16550D data sheet). The line is infinitely fast: a
 * byte written has left at once, so the transmitter is always empty. */
#include "models.h"

enum { DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

#define LCR_DLAB 0x80
#define IER_RX 0x01
#define IER_THRE 0x02
#define IER_LINE 0x04
#define LSR_DATA 0x01
#define LSR_OVERRUN 0x02
#define LSR_EMPTY 0x60 /* THRE and TEMT */
#define MCR_LOOP 0x10
#define MCR_OUT2 0x08
#define IIR_NONE 0x01
#define IIR_THRE 0x02
#define IIR_RX 0x04
#define IIR_LINE 0x06
#define IIR_FIFO 0xC0
#define FCR_ENABLE 0x01
#define FCR_CLEAR_RX 0x02
#define MSR_READY 0xB0 /* CTS DSR DCD: somebody is there */

void uart_init(struct uart *u)
{
    *u = (struct uart){.dll = 1, .lsr = LSR_EMPTY, .msr = MSR_READY};
}

/* The pending interrupt of the highest priority, as the IIR shows it. */
static uint8_t pending(const struct uart *u)
{
    if ((u->ier & IER_LINE) && u->overrun)
        return IIR_LINE;
    if ((u->ier & IER_RX) && u->rx_count)
        return IIR_RX;
    if ((u->ier & IER_THRE) && u->thre_pending)
        return IIR_THRE;
    return IIR_NONE;
}

bool uart_irq(const struct uart *u)
{
    return (u->mcr & MCR_OUT2) && pending(u) != IIR_NONE;
}

bool uart_rx(struct uart *u, uint8_t byte)
{
    if (u->rx_count == sizeof(u->rx))
        return false;
    u->rx[(u->rx_head + u->rx_count++) % sizeof(u->rx)] = byte;
    return true;
}

static uint8_t read_data(struct uart *u)
{
    if (!u->rx_count)
        return 0;
    const uint8_t byte = u->rx[u->rx_head];
    u->rx_head = (uint8_t)((u->rx_head + 1) % sizeof(u->rx));
    u->rx_count--;
    return byte;
}

static uint8_t read_iir(struct uart *u)
{
    const uint8_t id = pending(u);
    if (id == IIR_THRE)
        u->thre_pending = false; /* reading the cause clears it */
    return id | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static uint8_t read_lsr(struct uart *u)
{
    const uint8_t v = LSR_EMPTY | (u->rx_count ? LSR_DATA : 0) | (u->overrun ? LSR_OVERRUN : 0);
    u->overrun = false;
    return v;
}

/* In loop mode the modem outputs come back as inputs. */
static uint8_t read_msr(const struct uart *u)
{
    if (!(u->mcr & MCR_LOOP))
        return u->msr;
    return (uint8_t)((u->mcr & 0x02) << 3 | (u->mcr & 0x01) << 5 | (u->mcr & 0x0C) << 4);
}

uint8_t uart_in(struct uart *u, uint16_t port)
{
    const bool dlab = u->lcr & LCR_DLAB;
    switch (port & 7) {
    case DATA:
        return dlab ? u->dll : read_data(u);
    case IER:
        return dlab ? u->dlm : u->ier;
    case IIR_FCR:
        return read_iir(u);
    case LCR:
        return u->lcr;
    case MCR:
        return u->mcr;
    case LSR:
        return read_lsr(u);
    case MSR:
        return read_msr(u);
    default:
        return u->scr;
    }
}

static bool write_data(struct uart *u, uint8_t value, uint8_t *tx)
{
    u->thre_pending = true; /* the byte is gone at once */
    if (u->mcr & MCR_LOOP) {
        if (!uart_rx(u, value))
            u->overrun = true;
        return false;
    }
    *tx = value;
    return true;
}

bool uart_out(struct uart *u, uint16_t port, uint8_t value, uint8_t *tx)
{
    const bool dlab = u->lcr & LCR_DLAB;
    switch (port & 7) {
    case DATA:
        if (!dlab)
            return write_data(u, value, tx);
        u->dll = value;
        break;
    case IER:
        if (dlab) {
            u->dlm = value;
            break;
        }
        /* Enabling the THRE interrupt while the transmitter is empty raises it. */
        if ((value & IER_THRE) && !(u->ier & IER_THRE))
            u->thre_pending = true;
        u->ier = value & 0x0F;
        break;
    case IIR_FCR:
        if ((value ^ u->fcr) & FCR_ENABLE || value & FCR_CLEAR_RX)
            u->rx_count = 0;
        u->fcr = value & 0xC9;
        break;
    case LCR:
        u->lcr = value;
        break;
    case MCR:
        u->mcr = value & 0x1F;
        break;
    case SCR:
        u->scr = value;
        break;
    }
    return false;
}
