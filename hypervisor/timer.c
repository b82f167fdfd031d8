/*
 * Host time: the TSC, measured once against the 8254, gives nanoseconds; PIT channel 0 in mode 0
 * (interrupt on terminal count) wakes the vCPU loop. Source: Intel 8254 data sheet.
 */
#include "cpu.h"
#include "host.h"

#define PIT_HZ 1193182u
#define PIT_CH0 0x40
#define PIT_COMMAND 0x43
#define PIT_MAX 0xFFFFu
#define MIN_HZ 4000000u /* or ns_per_tick_32 has not bits enough */

uint64_t host_tsc_hz;
static uint64_t tsc_start;
static uint32_t ns_per_tick_32; /* nanoseconds per TSC tick, 8.24 fixed point */

uint64_t host_tsc(void)
{
    return rdtsc();
}

static void timer_irq(void)
{
}

static void start_count(uint32_t count)
{
    outb(PIT_COMMAND, 0x30);
    outb(PIT_CH0, count & 0xFF);
    outb(PIT_CH0, (uint8_t)(count >> 8));
}

/* Has channel 0 counted down? Its output pin, by the read-back command. */
static bool counted_down(void)
{
    outb(PIT_COMMAND, 0xE2);
    return inb(PIT_CH0) & 0x80;
}

/* TSC ticks while channel 0 counts down n PIT clocks. Halted and not polling: emulators execute
 * each IN and skip what is idle. What wakes us may be an interrupt that the boot loader has left.
 */
static uint64_t measure(uint16_t n)
{
    start_count(n);
    const uint64_t start = rdtsc();
    uint64_t end;
    do {
        host_idle();
        end = rdtsc();
    } while (!counted_down());
    return end - start;
}

const char *host_timer_init(void)
{
    outb(PIT_COMMAND, 0x30);
    host_irq_open(0, timer_irq);
    uint64_t ticks = measure(PIT_HZ / 20);
    host_tsc_hz = ticks * 20;
    if (host_tsc_hz < MIN_HZ)
        return "the TSC is slower than 4 MHz: time would be measured wrong";
    ns_per_tick_32 = (uint32_t)((1000000000ull << 24) / host_tsc_hz);
    if (!ns_per_tick_32)
        ns_per_tick_32 = 1;
    tsc_start = rdtsc();
    return NULL;
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
    const uint32_t us = wait < 54000000u ? (uint32_t)wait / 1000 : 0;
    if (wait < 54000000u)
        count = (us * (PIT_HZ / 1000) + us / 5) / 1000 + 1; /* 1193.2 clocks a ms: not too early */
    start_count(count);
}
