/*
 * Host time: the TSC, measured once against the 8254, gives nanoseconds; PIT channel 0 in mode 0
 * (interrupt on terminal count) wakes the vCPU loop. Intel 8254 data sheet; port 0x61 as in the
 * IBM PC AT technical reference.
 */
#include "cpu.h"
#include "host.h"

#define PIT_HZ 1193182u
#define PIT_CH0 0x40
#define PIT_CH2 0x42
#define PIT_COMMAND 0x43
#define PIT_MAX 0xFFFFu

uint64_t host_tsc_hz;
static uint64_t tsc_start;
static uint32_t ns_per_tick_32; /* nanoseconds per TSC tick, 8.24 fixed point */

uint64_t host_tsc(void)
{
    return rdtsc();
}

/* TSC ticks while channel 2 counts down n PIT clocks (the speaker stays off). */
static uint64_t measure(uint16_t n)
{
    outb(0x61, (uint8_t)((inb(0x61) & ~2u) | 1u));
    outb(PIT_COMMAND, 0xB0);
    outb(PIT_CH2, n & 0xFF);
    outb(PIT_CH2, (uint8_t)(n >> 8));
    uint64_t start = rdtsc();
    while (!(inb(0x61) & 0x20))
        ;
    return rdtsc() - start;
}

static void timer_irq(void)
{
}

void host_timer_init(void)
{
    uint64_t ticks = measure(PIT_HZ / 20);
    host_tsc_hz = ticks * 20;
    ns_per_tick_32 = (uint32_t)((1000000000ull << 24) / host_tsc_hz);
    if (!ns_per_tick_32)
        ns_per_tick_32 = 1;
    tsc_start = rdtsc();
    outb(PIT_COMMAND, 0x30);
    host_irq_open(0, timer_irq);
}

uint64_t host_tsc_zero(void)
{
    return tsc_start;
}

uint64_t host_tsc_to_ns(uint64_t tsc)
{
    uint64_t t = tsc - tsc_start;
    uint64_t high = (t >> 32) * ns_per_tick_32, low = (t & 0xFFFFFFFFu) * ns_per_tick_32;
    return (high << 8) + (low >> 24);
}

void host_time_skip(uint64_t ticks)
{
    tsc_start += ticks;
}

/* The inverse of host_tsc_to_ns(), rounded up. */
void host_time_set(uint64_t ns)
{
    const uint64_t whole = ns / ns_per_tick_32, rest = ns % ns_per_tick_32;
    tsc_start = rdtsc() - (whole << 24) - (rest << 24) / ns_per_tick_32 - 1;
}

uint64_t host_now_ns(void)
{
    return host_tsc_to_ns(rdtsc());
}

void host_timer_set(uint64_t deadline_ns)
{
    uint64_t now = host_now_ns();
    uint64_t wait = deadline_ns > now ? deadline_ns - now : 0;
    uint32_t count = PIT_MAX;
    if (wait < 54000000u)
        count = (uint32_t)wait / 1000 * (PIT_HZ / 1000) / 1000 + 1;
    outb(PIT_COMMAND, 0x30);
    outb(PIT_CH0, count & 0xFF);
    outb(PIT_CH0, (uint8_t)(count >> 8));
}
