/* 16550A serial port (National Semiconductor PC16550D data sheet). The line is infinitely fast: a
 * byte written leaves before the guest can look, so that it finds the transmitter always empty. */
#include "models.h"

enum { DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

#define LCR_DLAB 0x80
#define IER_RX 0x01
#define IER_THRE 0x02
#define IER_LINE 0x04
#define IER_MODEM 0x08
#define LSR_DATA 0x01
#define LSR_OVERRUN 0x02
#define LSR_EMPTY 0x60 /* THRE and TEMT */
#define MCR_LOOP 0x10
#define MCR_OUT2 0x08
#define IIR_MODEM 0x00
#define IIR_NONE 0x01
#define IIR_THRE 0x02
#define IIR_RX 0x04
#define IIR_LINE 0x06
#define IIR_TIMEOUT 0x0C
#define IIR_FIFO 0xC0
#define FCR_ENABLE 0x01
#define FCR_CLEAR_RX 0x02
#define MSR_READY 0xB0 /* CTS DSR DCD: somebody is there */
#define MSR_RING 0x40

void uart_init(struct uart *u)
{
    *u = (struct uart){.dll = 1};
}

/* Received data at or above the FIFO's trigger level, or less of it that waited for longer than
 * four characters take; that is at once on this line. */
static uint8_t received(const struct uart *u)
{
    static const uint8_t trigger[4] = {1, 4, 8, 14};
    const bool fifo = u->fcr & FCR_ENABLE;
    return fifo && u->rx_count < trigger[u->fcr >> 6] ? IIR_TIMEOUT : IIR_RX;
}

/* The pending interrupt of the highest priority, as the IIR shows it (data sheet, table IV). */
static uint8_t pending(const struct uart *u)
{
    if ((u->ier & IER_LINE) && u->overrun)
        return IIR_LINE;
    if ((u->ier & IER_RX) && u->rx_count)
        return received(u);
    if ((u->ier & IER_THRE) && u->thre_pending)
        return IIR_THRE;
    if ((u->ier & IER_MODEM) && u->modem_delta)
        return IIR_MODEM;
    return IIR_NONE;
}

/* On a PC the chip's INTR pin reaches the bus through a gate that OUT2 opens. */
bool uart_irq(const struct uart *u)
{
    return (u->mcr & MCR_OUT2) && pending(u) != IIR_NONE;
}

static bool receive(struct uart *u, uint8_t byte)
{
    if (u->rx_count == sizeof(u->rx))
        return false;
    u->rx[(u->rx_head + u->rx_count++) % sizeof(u->rx)] = byte;
    return true;
}

/* In loop mode the line is cut off: what comes has to wait outside. */
bool uart_room(const struct uart *u)
{
    return u->rx_count < sizeof(u->rx) && !(u->mcr & MCR_LOOP);
}

bool uart_rx(struct uart *u, uint8_t byte)
{
    return uart_room(u) && receive(u, byte);
}

void uart_sent(struct uart *u)
{
    if (!u->tx_full)
        return;
    u->tx_full = false;
    u->thre_pending = true;
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

/* The modem's lines; in loop mode the outputs DTR, RTS, OUT1, OUT2 come back as DSR, CTS, RI, DCD.
 */
static uint8_t modem_lines(const struct uart *u)
{
    if (!(u->mcr & MCR_LOOP))
        return MSR_READY;
    return (uint8_t)((u->mcr & 0x02) << 3 | (u->mcr & 0x01) << 5 | (u->mcr & 0x0C) << 4);
}

static uint8_t read_msr(struct uart *u)
{
    const uint8_t v = modem_lines(u) | u->modem_delta;
    u->modem_delta = 0;
    return v;
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

/* Filling the transmitter takes its interrupt back. Returns true when the byte goes outside. */
static bool write_data(struct uart *u, uint8_t value, uint8_t *tx)
{
    u->thre_pending = false;
    u->tx_full = true;
    if (u->mcr & MCR_LOOP) {
        if (!receive(u, value))
            u->overrun = true;
        return false;
    }
    *tx = value;
    return true;
}

static void write_ier(struct uart *u, uint8_t value)
{
    /* Enabling its interrupt while the transmitter is empty raises it. */
    if ((value & IER_THRE) && !(u->ier & IER_THRE))
        u->thre_pending = true;
    u->ier = value & 0x0F;
}

static void write_fcr(struct uart *u, uint8_t value)
{
    if ((value ^ u->fcr) & FCR_ENABLE || value & FCR_CLEAR_RX)
        u->rx_count = 0;
    u->fcr = value & FCR_ENABLE ? value & 0xC9 : 0; /* bit 0 is a condition for the others */
}

/* Of the ring line only the end of the ringing counts as a change (TERI). */
static void write_mcr(struct uart *u, uint8_t value)
{
    const uint8_t before = modem_lines(u);
    u->mcr = value & 0x1F;
    const uint8_t now = modem_lines(u);
    u->modem_delta |= ((before ^ now) & (uint8_t)~MSR_RING) >> 4;
    u->modem_delta |= (before & ~now & MSR_RING) >> 4;
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
        if (dlab)
            u->dlm = value;
        else
            write_ier(u, value);
        break;
    case IIR_FCR:
        write_fcr(u, value);
        break;
    case LCR:
        u->lcr = value;
        break;
    case MCR:
        write_mcr(u, value);
        break;
    case SCR:
        u->scr = value;
        break;
    }
    return false;
}
