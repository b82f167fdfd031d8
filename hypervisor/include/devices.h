/*
 * The virtual devices: what a PC of 1990 has on its ports. Pure code: a device never touches the
 * host; what it needs from outside comes through struct device_host.
 *
 * Time is in nanoseconds of guest time, from device_host.now_ns(). All models are deterministic:
 * state is a function of the accesses and of the times at which they happened.
 */
#ifndef TRIVISOR_DEVICES_H
#define TRIVISOR_DEVICES_H

#include "types.h"
#include "virtio.h"

/* What the machine offers to its devices. */
struct device_host {
    void *opaque;
    uint64_t (*now_ns)(void *opaque);
    /* A byte leaves the guest's serial port. */
    void (*serial_out)(void *opaque, uint8_t byte);
    /* Text cursor moved (cell 0..1999, more when the guest hides it), for a console that shows the
     * guest's screen. */
    void (*cursor)(void *opaque, uint16_t cell);
    /* The guest asked to power off with a status (0..127) or to reset. */
    void (*power_off)(void *opaque, int status);
    void (*reset)(void *opaque);
    /* Wall-clock date for the RTC at guest time 0: seconds since 1970, UTC. Asked once. */
    uint64_t (*rtc_seconds)(void *opaque);
    /* An unknown port was used: called once per port. A wide access that begins at an unknown port
     * is one report, with its whole size and value. */
    void (*unknown_port)(void *opaque, uint16_t port, bool in, unsigned size, uint32_t value);
    /* The guest wrote a benchmark mark (PORT_MARK). */
    void (*mark)(void *opaque, uint32_t value);
    /* The guest asked for another mode (PORT_MODE), or how that went: switch.h has the numbers. */
    void (*mode_ask)(void *opaque, uint32_t value);
    uint32_t (*mode_answer)(void *opaque);
    /* Sectors of the disk were written; all that were shall last (FLUSH CACHE). */
    void (*disk_written)(void *opaque, uint32_t sector, uint32_t count);
    void (*disk_flush)(void *opaque);
    /* For devices that reach memory themselves: n bytes of guest RAM, NULL when it is not all RAM;
     * and: some of it was written. Without ram there are no such devices. */
    void *(*ram)(void *opaque, gpa_t gpa, uint32_t n);
    void (*ram_written)(void *opaque, gpa_t gpa, uint32_t n);
    /* Input that found no room may be offered again. */
    void (*input_room)(void *opaque);
};

/* Two cascaded 8259A, vectors set by ICW2; Intel 8259A data sheet. */
struct pic_chip {
    uint8_t irr, isr, imr, lines; /* lines: present level of each input */
    uint8_t vector_base, icw_step, elcr;
    bool initialised, single, need_icw4, read_isr, poll, auto_eoi, rotate_aeoi, special_mask, sfnm;
    uint8_t priority; /* the most urgent line; rotation moves it */
};
struct pic {
    struct pic_chip chip[2]; /* master, slave (on line 2) */
    bool intr;               /* the master's INT output, kept up to date by every change */
};

/* 8254 timer; Intel 8254 data sheet. Channel 0 drives IRQ 0; channel 2 the speaker, port 0x61. */
struct pit_channel {
    uint8_t mode, access, bcd;
    bool high_next_write, high_next_read, gate, latched, status_latched;
    bool counting; /* the counting element was loaded since the mode was set */
    bool due;      /* the output rose and devices_tick() did not deliver it yet */
    uint16_t latch;
    uint8_t status, write_low;
    uint32_t reload;      /* the count in use, 1..65536 */
    uint32_t next_reload; /* written, waits for the period's end or the gate; 0: none */
    uint64_t start;       /* PIT clock at which counting began */
    uint64_t held;        /* clocks counted when the gate stopped it */
    uint64_t fired;       /* rises of the output since start that were seen */
};
struct pit {
    struct pit_channel ch[3];
    uint8_t port61;
};

/* 16550A UART on COM1, IRQ 4. The receive buffer is deeper than the chip's 16 bytes, so that the
 * host's input can wait in it; input is never lost to an overrun. */
struct uart {
    uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
    uint8_t modem_delta; /* low half of the MSR: which modem lines changed */
    uint8_t rx[64];
    uint8_t rx_head, rx_count;
    bool thre_pending, overrun;
    bool tx_full; /* between uart_out() and uart_sent() */
};

/* 8042 keyboard controller with a keyboard on IRQ 1. */
struct kbd {
    uint8_t status, command_byte, output_port;
    uint8_t output;           /* the byte that port 0x60 gave last */
    uint8_t pending_command;  /* controller command that waits for its data; 0: none */
    uint8_t keyboard_command; /* keyboard command that waits for its argument; 0: none */
    uint8_t reply;            /* answer of the controller, read before the keyboard's bytes */
    bool reply_full, scanning;
    uint8_t queue[32]; /* what the keyboard sends */
    uint8_t head, count;
};

/* MC146818 RTC and CMOS RAM; periodic interrupt on IRQ 8. */
struct cmos {
    uint8_t index;
    uint8_t ram[128];
    uint64_t boot_seconds; /* since 1970, at guest time 0 */
    uint64_t periods;      /* of the periodic flag, that were seen */
};

/* VGA text: CRT controller index/data and status; enough for the cursor. */
struct vga {
    uint8_t crtc_index;
    uint8_t crtc[32];
    uint8_t latch[16]; /* last byte written to each of 0x3C0..0x3CF */
    uint8_t status;
};

/* IDE channel with an ATA drive, by PIO, on IRQ 14. */
#define IDE_SECTOR 512u
#define IDE_MULTIPLE 16u /* sectors in one block at most */
#define IDE_DRDY 0x40    /* the status register */
#define IDE_DSC 0x10
#define IDE_DRQ 0x08
#define IDE_ERR 0x01
struct ide {
    uint8_t *media;
    uint32_t sectors;
    uint8_t features, error, count, lba_low, lba_mid, lba_high, device, status, control;
    uint8_t multiple;      /* sectors of a block in READ and WRITE MULTIPLE; 0: not set */
    uint32_t heads, track; /* translation of CHS addresses */
    bool irq, writing;
    uint32_t next, left; /* sectors of the command: the next one of the media, how many */
    uint32_t per_block;
    uint32_t at, end; /* bytes of the block in hand: done, all */
    uint8_t block[IDE_MULTIPLE * IDE_SECTOR];
};

/* A timer that fires once, with an interrupt of its own that no PIC sees. Not part of a PC: guests
 * reach it through their VMM only. */
struct oneshot {
    uint64_t deadline; /* guest time in ns, UINT64_MAX: off */
    uint8_t vector;
    bool pending; /* it has fired, and the CPU has not taken it yet */
};

struct devices {
    struct device_host host;
    struct oneshot oneshot;
    struct pic pic;
    struct pit pit;
    struct uart uart;
    struct kbd kbd;
    struct cmos cmos;
    struct vga vga;
    struct ide ide;
    struct pci pci;
    struct virtio_blk blk;
    struct virtio_console console;
    struct vq_request request; /* the one in hand: too large for a stack */
    bool powered_off;          /* the host was told */
    uint8_t shutdown_step;     /* letters of Bochs' "Shutdown" seen so far */
    uint32_t seen_ports[2048]; /* one bit a port: unknown ports already reported */
};

#define PORT_MARK 0x07E0u      /* 32-bit write: benchmark mark; see guestos/include/mark.h */
#define PORT_MODE 0x07E4u      /* 32 bits: the mode; see guestos/include/hvmode.h */
#define PORT_POWER_OFF 0x00F4u /* byte write: power off with this status (QEMU: isa-debug-exit) */

/* Reset all devices. host stays. ram_size in bytes goes into the CMOS memory-size bytes; disk, NULL
 * for none, has so many sectors. */
void devices_init(struct devices *dev, const struct device_host *host, uint32_t ram_size,
                  uint8_t *disk, uint32_t disk_sectors);

/* Plug virtio devices into the PCI bus: a disk, which is the same as the IDE drive's, and a
 * console, which takes the place of COM1 when the guest drives it. */
void devices_add_virtio(struct devices *dev);

/* Port access of 1, 2 or 4 bytes, routed to the device that owns the port. A port nobody owns
 * reads as all ones; multi-byte access to byte-wide devices is split as the ISA bus does. */
uint32_t devices_in(struct devices *dev, uint16_t port, unsigned size);
void devices_out(struct devices *dev, uint16_t port, unsigned size, uint32_t value);

/* The same for one byte, which is what most accesses are. */
uint8_t IN_REGISTERS devices_in8(struct devices *dev, uint16_t port);
void IN_REGISTERS devices_out8(struct devices *dev, uint16_t port, uint8_t value);

/* String I/O in bulk: how many bytes devices_in_bytes() or devices_out_bytes() can move at the
 * port, in accesses of size bytes, with the same effect as one by one; 0: none. */
uint32_t devices_bulk(const struct devices *dev, uint16_t port, unsigned size, bool in);
void devices_in_bytes(struct devices *dev, uint16_t port, void *to, uint32_t n);
void devices_out_bytes(struct devices *dev, uint16_t port, const void *from, uint32_t n);

/* Bring time-driven devices up to now_ns() (raises IRQ 0, RTC periodic). */
void devices_tick(struct devices *dev);

/* Guest time in ns at which devices_tick() next has something to do (0: at once); UINT64_MAX:
 * never. */
uint64_t devices_deadline(struct devices *dev);

/* Is an interrupt request waiting at the CPU's INTR pin? Asked before each entry to the guest. */
static inline bool devices_irq_pending(const struct devices *dev)
{
    return dev->pic.intr || dev->oneshot.pending;
}

/* The INTA cycle: returns the vector (a spurious one if the request went away). */
uint8_t devices_irq_ack(struct devices *dev);

/* Interrupt with this vector at deadline (guest time in ns; one that is over: at once). Replaces
 * the last one; UINT64_MAX: none. */
void devices_oneshot(struct devices *dev, uint64_t deadline, uint8_t vector);

/* Input from the host: a byte for COM1, a scancode (set 1) for the keyboard.
 * Returns false when the queue is full and the byte was not taken. */
bool devices_serial_in(struct devices *dev, uint8_t byte);
bool devices_key_in(struct devices *dev, uint8_t scancode);

/* Is there room for one more byte of input? (Ask before taking a byte from the host.) */
bool devices_serial_room(const struct devices *dev);
bool devices_key_room(const struct devices *dev);

/* The individual models, for unit tests and the registry in ports.c. Level of an IRQ line: */
void pic_set_line(struct pic *pic, unsigned irq, bool level);

#endif
