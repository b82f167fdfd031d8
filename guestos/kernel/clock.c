/* Time: the timer's ticks, the TSC measured against them, and the date of the CMOS clock (MC146818
 * data sheet). */
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

void clock_tick(void)
{
    ticks++;
    if (!first_tsc) {
        first_tsc = rdtsc();
        first_tick = ticks;
    }
}

uint32_t clock_tsc_khz(void)
{
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

/* Two equal readings: the clock may move on between two registers. */
void clock_date(struct date *date)
{
    struct date again;
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
