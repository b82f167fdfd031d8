/* MC146818 real-time clock and CMOS memory (Motorola MC146818A data sheet; memory-size bytes as in
 * the IBM PC AT technical reference). Simplified: setting the clock is accepted and ignored, and of
 * the three interrupts only the periodic one exists, neither alarm nor update-ended. */
#include "models.h"

#define STATUS_A 0x0A
#define STATUS_B 0x0B
#define STATUS_C 0x0C
#define STATUS_D 0x0D
#define ALARM_LAST 0x05 /* 1, 3, 5: alarm; 0 to 9 but these: the date */
#define DATE_LAST 0x09
#define CENTURY 0x32
#define A_UPDATING 0x80
#define A_RATE 0x0F
#define B_PERIODIC 0x40
#define B_24_HOURS 0x02
#define B_BINARY 0x04
#define C_REQUEST 0x80
#define C_PERIODIC 0x40
#define PM 0x80
#define NS 1000000000ull
#define DIVIDER_HZ 32768u

void cmos_init(struct cmos *c, uint32_t ram_size, uint64_t boot_seconds)
{
    const uint32_t above_1m = ram_size > 0x100000 ? (ram_size - 0x100000) / 1024 : 0;
    const uint32_t kb = above_1m > 0xFFFF ? 0xFFFF : above_1m;
    const uint32_t blocks = ram_size > 0x1000000 ? (ram_size - 0x1000000) / 65536 : 0;
    *c = (struct cmos){.boot_seconds = boot_seconds};
    c->ram[STATUS_A] = 0x26; /* 32768 Hz, rate 1024 Hz */
    c->ram[STATUS_B] = B_24_HOURS;
    c->ram[STATUS_D] = 0x80; /* the battery is good */
    c->ram[0x15] = 0x80;     /* 640 KB */
    c->ram[0x16] = 0x02;
    c->ram[0x17] = c->ram[0x30] = (uint8_t)kb;
    c->ram[0x18] = c->ram[0x31] = (uint8_t)(kb >> 8);
    c->ram[0x34] = (uint8_t)blocks;
    c->ram[0x35] = (uint8_t)(blocks >> 8);
}

struct date {
    uint32_t year, month, day, weekday; /* month, day from 1; weekday 1 is Sunday */
};

static bool leap(uint32_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static struct date date_of(uint32_t days)
{
    static const uint8_t length[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct date d = {1970, 1, 1, (days + 4) % 7 + 1};
    for (uint32_t n; days >= (n = leap(d.year) ? 366 : 365); days -= n)
        d.year++;
    for (uint32_t n; days >= (n = length[d.month - 1] + (d.month == 2 && leap(d.year))); days -= n)
        d.month++;
    d.day = days + 1;
    return d;
}

static uint8_t encode(const struct cmos *c, uint32_t v)
{
    return (uint8_t)(c->ram[STATUS_B] & B_BINARY ? v : v / 10 << 4 | v % 10);
}

static uint8_t hours(const struct cmos *c, uint32_t hour)
{
    if (c->ram[STATUS_B] & B_24_HOURS)
        return encode(c, hour);
    const uint32_t twelve = hour % 12 ? hour % 12 : 12;
    return encode(c, twelve) | (hour >= 12 ? PM : 0);
}

/* Length of the periodic interrupt in clocks of the divider, 0: none (data sheet, table 5). */
static uint32_t period(const struct cmos *c)
{
    const unsigned rate = c->ram[STATUS_A] & A_RATE;
    if (!rate)
        return 0;
    return 1u << ((rate < 3 ? rate + 7 : rate) - 1);
}

static uint64_t periods_at(const struct cmos *c, uint64_t now_ns)
{
    const uint64_t clock = now_ns / NS * DIVIDER_HZ + now_ns % NS * DIVIDER_HZ / NS;
    return period(c) ? clock / period(c) : 0;
}

/* The request flag is the AND of cause and enable; what it says is the level of IRQ 8. */
static bool request(struct cmos *c)
{
    const bool on = c->ram[STATUS_C] & c->ram[STATUS_B] & C_PERIODIC; /* the bits are the same */
    c->ram[STATUS_C] = (c->ram[STATUS_C] & C_PERIODIC) | (on ? C_REQUEST : 0);
    return on;
}

bool cmos_tick(struct cmos *c, uint64_t now_ns)
{
    const uint64_t n = periods_at(c, now_ns);
    if (n != c->periods)
        c->ram[STATUS_C] |= C_PERIODIC;
    c->periods = n;
    return request(c);
}

uint64_t cmos_deadline(const struct cmos *c)
{
    if (!(c->ram[STATUS_B] & B_PERIODIC) || !period(c) || c->ram[STATUS_C] & C_PERIODIC)
        return UINT64_MAX;
    const uint64_t clock = (c->periods + 1) * period(c);
    return clock / DIVIDER_HZ * NS + (clock % DIVIDER_HZ * NS + DIVIDER_HZ - 1) / DIVIDER_HZ;
}

static bool is_date(uint8_t index)
{
    return index <= DATE_LAST && !(index <= ALARM_LAST && index & 1);
}

static uint8_t date_register(const struct cmos *c, uint64_t seconds)
{
    const uint32_t in_day = (uint32_t)(seconds % 86400);
    const struct date d = date_of((uint32_t)(seconds / 86400));
    switch (c->index) {
    case 0:
        return encode(c, in_day % 60);
    case 2:
        return encode(c, in_day / 60 % 60);
    case 4:
        return hours(c, in_day / 3600);
    case 6:
        return encode(c, d.weekday);
    case 7:
        return encode(c, d.day);
    case 8:
        return encode(c, d.month);
    case 9:
        return encode(c, d.year % 100);
    default:
        return encode(c, d.year / 100);
    }
}

uint8_t cmos_in(struct cmos *c, uint16_t port, uint64_t now_ns)
{
    if (port == 0x70)
        return 0xFF; /* write-only */
    if (is_date(c->index) || c->index == CENTURY)
        return date_register(c, c->boot_seconds + now_ns / NS);
    if (c->index != STATUS_C)
        return c->ram[c->index];
    cmos_tick(c, now_ns);
    const uint8_t flags = c->ram[STATUS_C];
    c->ram[STATUS_C] = 0; /* reading takes the request back */
    return flags;
}

void cmos_out(struct cmos *c, uint16_t port, uint8_t value, uint64_t now_ns)
{
    if (port == 0x70) {
        c->index = value & 0x7F; /* bit 7 masks the NMI, which nobody sends */
        return;
    }
    if (is_date(c->index) || c->index == STATUS_C || c->index == STATUS_D)
        return;
    cmos_tick(c, now_ns); /* the old rate counts up to now */
    c->ram[c->index] = c->index == STATUS_A ? value & (uint8_t)~A_UPDATING : value;
    c->periods = periods_at(c, now_ns);
}
