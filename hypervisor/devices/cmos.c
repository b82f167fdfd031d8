/* MC146818 real-time clock and CMOS memory (Motorola MC146818A data sheet; memory-size bytes as in
 * the IBM PC AT technical reference). The clock is read-only: setting it is accepted and ignored.
 */
#include "models.h"

#define STATUS_A 0x0A
#define STATUS_B 0x0B
#define STATUS_C 0x0C
#define STATUS_D 0x0D
#define CENTURY 0x32
#define B_24_HOURS 0x02
#define B_BINARY 0x04
#define PM 0x80

void cmos_init(struct cmos *c, uint32_t ram_size)
{
    const uint32_t above_1m = ram_size > 0x100000 ? (ram_size - 0x100000) / 1024 : 0;
    const uint32_t kb = above_1m > 0xFFFF ? 0xFFFF : above_1m;
    const uint32_t blocks = ram_size > 0x1000000 ? (ram_size - 0x1000000) / 65536 : 0;
    *c = (struct cmos){0};
    c->ram[STATUS_A] = 0x26;
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

uint8_t cmos_in(struct cmos *c, uint16_t port, uint64_t seconds)
{
    if (port == 0x70)
        return 0xFF; /* write-only */
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
    case CENTURY:
        return encode(c, d.year / 100);
    default:
        return c->ram[c->index];
    }
}

void cmos_out(struct cmos *c, uint16_t port, uint8_t value)
{
    if (port == 0x70)
        c->index = value & 0x7F; /* bit 7 masks the NMI, which nobody sends */
    else if (c->index != STATUS_C && c->index != STATUS_D && (c->index > 9 || c->index & 1))
        c->ram[c->index] = value;
}
