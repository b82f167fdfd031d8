/* Private to hypervisor/: bringing up and using the host machine. */
#ifndef TRIVISOR_HOST_H
#define TRIVISOR_HOST_H

#include "types.h"
#include "vmm.h"

/* GDT, IDT, TSS, PICs (all lines masked). Interrupts stay off. */
void host_traps_init(void);
/* Open one line of the host's PICs; handler runs with interrupts off, EOI is sent for it. */
void host_irq_open(unsigned irq, void (*handler)(void));
void host_trap(struct host_frame *frame);
/* panic() with the registers of a trap that the VMM itself took. */
void panic_frame(const struct host_frame *frame) __attribute__((noreturn));

/* Measure the TSC against the PIT, then own PIT channel 0 as a one-shot timer. Returns NULL, or why
 * this machine's time cannot be measured. */
const char *host_timer_init(void);
/* Nanoseconds since host_timer_init(), from the TSC. */
uint64_t host_now_ns(void);
/* So many ticks of the TSC shall not have passed: guest time stands still while a guest is paused.
 */
void host_time_skip(uint64_t ticks);
/* host_now_ns() is that now, and not less. */
void host_time_set(uint64_t ns);
/* Interrupt (set host_work) at host_now_ns() == deadline or soon after; replaces the last one. */
void host_timer_set(uint64_t deadline_ns);

/* COM1 and COM2. Output is polled with a bound; a port that is not there swallows it. */
void host_serial_init(void);
void host_serial_put(unsigned port_index, uint8_t byte);
/* Next input byte of COM1, or -1. */
int host_serial_get(void);
bool host_serial_waiting(void); /* would it return a byte? */
/* The same for COM2, which interrupts when something comes, once it is opened. */
int host_command_get(void);
void host_command_init(void (*handler)(void));
/* Next keyboard scancode, or -1. */
int host_key_get(void);
void host_input_init(void);

/* Wait until both serial ports are empty, then switch the machine off with the status. */
void host_power_off(int status) __attribute__((noreturn));

/* The drives of the primary IDE channel; the master is the guest's disk, the slave holds a
 * snapshot. Its size in sectors, 0: there is none. Then: count sectors between it and bytes; and
 * make sure that what was written lasts. False: it failed. */
enum host_drive { HOST_MASTER, HOST_SLAVE };
uint32_t host_disk_init(enum host_drive drive);
bool host_disk_transfer(enum host_drive drive, uint32_t sector, uint32_t count, void *bytes,
                        bool write);
bool host_disk_flush(enum host_drive drive);

/* guest_disk.c: the guest's disk, as the word disk= of the options says. Returns NULL, or why it
 * cannot be had. Later: the guest wrote some sectors; save them now (false: that failed). */
struct guest_disk {
    uint8_t *bytes; /* NULL: none */
    uint32_t sectors;
};
const char *guest_disk_open(const char *options, struct guest_disk *disk);
/* One of that size, all zeros, for a snapshot to fill; with disk=host it takes the place of what is
 * on the host's. */
const char *guest_disk_make(const char *options, uint32_t sectors, struct guest_disk *disk);
void guest_disk_written(uint32_t sector, uint32_t count);
bool guest_disk_save(const struct guest_disk *disk);

/* Sleep until an interrupt handler has run. */
void host_idle(void);

/* Memory below DIRECT_MAP_SIZE that is free after boot: set up the page pool. */
void pages_init(hpa_t start, hpa_t end);
/* Take n bytes (4 MB multiple), 4 MB aligned, for a guest; 0 when there is not enough. */
hpa_t guest_ram_alloc(uint32_t bytes);

#endif
