/*
 * Time: the timer's ticks, the TSC measured against them, and the date of the CMOS clock (MC146818
 * data sheet). A VMM may offer better: its own clock, and a timer that fires when it is needed
 * instead of all the time (pv_abi.h); it may come and go while this kernel runs.
 */
#include "kernel.h"
#include "sensitive.h"

#define INDEX 0x70
#define DATA 0x71
#define STATUS_A 0x0A
#define STATUS_B 0x0B
#define UPDATING 0x80
#define BINARY 0x04
#define HOURS_24 0x02
#define PM 0x80
#define PATIENCE 100000u

static uint64_t first_tsc;
static uint32_t first_tick;

static uint32_t tick_length; /* in TSC ticks, with the VMM's timer; 0: the 8254 counts */
static uint64_t tick_tsc;    /* when the last tick was due */

bool clock_start(void)
{
    struct pv_clock clock;
    if (!pv_has(PV_HAS_TIMER) || !pv_has(PV_HAS_CLOCK))
        return false;
    pv_clock(&clock);
    const uint32_t length = clock.tsc_khz * (1000 / TICKS_PER_SECOND);
    tick_tsc = rdtsc();
    if (pv_timer(tick_tsc + length, TIMER_VECTOR) != PV_OK)
        return false;
    tick_length = length;
    return true;
}

/* The VMM's timer at the n-th tick from the last one; where it is gone the 8254 goes on. */
static void set_timer(uint32_t n)
{
    if (pv_timer(tick_tsc + (uint64_t)n * tick_length, TIMER_VECTOR) == PV_OK)
        return;
    tick_length = 0;
    timer_init();
    irq_open(0);
}

/* Count the ticks that are over; nobody sleeps for as long as 32 bits of the TSC. */
static void catch_up(void)
{
    const uint32_t n = (uint32_t)(rdtsc() - tick_tsc) / tick_length;
    ticks += n;
    tick_tsc += (uint64_t)n * tick_length;
}

void clock_vmm_tick(void)
{
    if (!tick_length)
        return; /* asked for before the 8254 took over */
    catch_up();
    set_timer(1);
}

void clock_tick(void)
{
    if (tick_length)
        return; /* on its way before the VMM's timer took over */
    ticks++;
    if (!first_tsc) {
        first_tsc = rdtsc();
        first_tick = ticks;
    }
    if (clock_start())
        irq_close(0);
}

void clock_sleep(uint32_t n)
{
    if (tick_length)
        set_timer(n);
}

void clock_wake(void)
{
    if (tick_length) {
        catch_up();
        set_timer(1);
    }
}

uint32_t clock_tsc_khz(void)
{
    struct pv_clock clock;
    if (pv_has(PV_HAS_CLOCK)) {
        pv_clock(&clock);
        return clock.tsc_khz;
    }
    uint64_t tsc = rdtsc() - first_tsc;
    uint64_t ms = (uint64_t)(ticks - first_tick) * (1000 / TICKS_PER_SECOND);
    for (; (tsc | ms) >> 32; ms >>= 1) /* a 32-bit division is enough */
        tsc >>= 1;
    return first_tsc && ms ? (uint32_t)tsc / (uint32_t)ms : 0;
}

static uint8_t cmos(uint8_t index)
{
    port_out8(INDEX, index);
    return port_in8(DATA);
}

static uint32_t number(uint8_t value, bool binary)
{
    return binary ? value : (value >> 4) * 10u + (value & 15);
}

static void read_clock(struct date *d)
{
    static const uint8_t second = 0, minute = 2, hour = 4, day = 7, month = 8, year = 9;
    const uint8_t mode = cmos(STATUS_B), hours = cmos(hour);
    const bool binary = mode & BINARY;
    d->second = number(cmos(second), binary);
    d->minute = number(cmos(minute), binary);
    d->hour = number(mode & HOURS_24 ? hours : hours & (uint8_t)~PM, binary);
    if (!(mode & HOURS_24))
        d->hour = d->hour % 12 + (hours & PM ? 12 : 0);
    d->day = number(cmos(day), binary);
    d->month = number(cmos(month), binary);
    d->year = 2000 + number(cmos(year), binary);
}

static bool leap(uint32_t year)
{
    return year % 4 == 0 && (year % 100 || year % 400 == 0);
}

static void date_of(uint32_t seconds, struct date *d)
{
    static const uint8_t length[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint32_t days = seconds / 86400, n;
    *d = (struct date){.year = 1970, .month = 1};
    for (; days >= (n = leap(d->year) ? 366 : 365); days -= n)
        d->year++;
    for (; days >= (n = length[d->month - 1] + (d->month == 2 && leap(d->year))); days -= n)
        d->month++;
    d->day = days + 1;
    d->hour = seconds / 3600 % 24;
    d->minute = seconds / 60 % 60;
    d->second = seconds % 60;
}

/* 64 by 32 bits, in two steps as on paper. */
static uint64_t divide(uint64_t n, uint32_t by)
{
    const uint32_t high = (uint32_t)(n >> 32);
    uint32_t low = (uint32_t)n, rest = high % by;
    __asm__("divl %2" : "+a"(low), "+d"(rest) : "r"(by) : "cc");
    return (uint64_t)(high / by) << 32 | low;
}

static void read_vmm_clock(struct date *date)
{
    struct pv_clock clock;
    pv_clock(&clock);
    const uint64_t ms = divide(rdtsc() - clock.tsc_base, clock.tsc_khz);
    date_of(clock.wall_seconds + (uint32_t)divide(ms, 1000), date);
}

/* Two equal readings: the clock may move on between two registers. */
void clock_date(struct date *date)
{
    struct date again;
    if (pv_has(PV_HAS_CLOCK)) {
        read_vmm_clock(date);
        return;
    }
    for (uint32_t i = 0; i < PATIENCE && (cmos(STATUS_A) & UPDATING); i++)
        ;
    read_clock(date);
    for (int i = 0; i < 3; i++) {
        read_clock(&again);
        if (!memcmp(&again, date, sizeof(again)))
            return;
        *date = again;
    }
}
