/*
 * 8254 programmable interval timer (Intel 8254 data sheet, order number 231164). Channel 0 raises
 * IRQ 0; channel 2 is gated and read back through port 0x61 (IBM PC AT technical reference).
 * The counters are not stepped: their value follows from the time since they were loaded.
 */
#include "models.h"

#define PIT_HZ 1193182u
#define NS 1000000000ull

/* Clock edges in a time, and the time of the n-th edge (rounded up); exact, and without overflow
 * for centuries. */
static uint64_t clocks_in(uint64_t ns)
{
    return ns / NS * PIT_HZ + ns % NS * PIT_HZ / NS;
}

static uint64_t time_of(uint64_t clocks)
{
    return clocks / PIT_HZ * NS + (clocks % PIT_HZ * NS + PIT_HZ - 1) / PIT_HZ;
}

static bool periodic(const struct pit_channel *c)
{
    return c->mode == 2 || c->mode == 3;
}

static uint64_t elapsed(const struct pit_channel *c, uint64_t now)
{
    return now > c->start_ns ? clocks_in(now - c->start_ns) : 0;
}

/* The count that a read sees. */
static uint32_t count_now(const struct pit_channel *c, uint64_t now)
{
    const uint64_t t = elapsed(c, now);
    if (!c->armed || !c->gate)
        return c->reload & 0xFFFF;
    if (c->mode == 3) /* counts by two, twice a period */
        return (c->reload - (uint32_t)(2 * t % c->reload)) & 0xFFFE;
    if (c->mode == 2)
        return (c->reload - (uint32_t)(t % c->reload)) & 0xFFFF;
    return (uint32_t)(c->reload - t) & 0xFFFF; /* goes on below zero */
}

static bool output_now(const struct pit_channel *c, uint64_t now)
{
    const uint64_t t = elapsed(c, now);
    if (!c->armed)
        return c->mode != 0;
    switch (c->mode) {
    case 0:
    case 1:
        return t >= c->reload;
    case 2:
        return t % c->reload != c->reload - 1u;
    case 3:
        return t % c->reload < (c->reload + 1u) / 2;
    default:
        return t != c->reload; /* 4, 5: one low clock */
    }
}

static uint16_t to_bcd(uint32_t v)
{
    return (uint16_t)(v / 1000 % 10 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10);
}

static uint32_t from_bcd(uint16_t v)
{
    return (v >> 12) * 1000u + (v >> 8 & 15) * 100u + (v >> 4 & 15) * 10u + (v & 15);
}

void pit_init(struct pit *pit, uint64_t now)
{
    *pit = (struct pit){0};
    for (int i = 0; i < 3; i++)
        pit->ch[i] = (struct pit_channel){
            .mode = 3, .access = 3, .reload = 65536, .gate = i != 2, .start_ns = now};
}

static void load(struct pit_channel *c, uint16_t value, uint64_t now)
{
    c->reload = c->bcd ? from_bcd(value) : value;
    if (!c->reload)
        c->reload = c->bcd ? 10000 : 65536;
    c->start_ns = now;
    c->fired = 0;
    c->armed = true;
}

static void latch_count(struct pit_channel *c, uint64_t now)
{
    if (c->latched)
        return;
    const uint32_t v = count_now(c, now);
    c->latch = c->bcd ? to_bcd(v) : (uint16_t)v;
    c->latched = true;
}

static void latch_status(struct pit_channel *c, uint64_t now)
{
    if (c->status_latched)
        return;
    c->status = (uint8_t)(output_now(c, now) << 7 | !c->armed << 6 | c->access << 4 | c->mode << 1 |
                          c->bcd);
    c->status_latched = true;
}

static void command(struct pit *pit, uint8_t value, uint64_t now)
{
    const unsigned which = value >> 6, access = value >> 4 & 3;
    if (which == 3) { /* read-back */
        for (unsigned i = 0; i < 3; i++) {
            if (!(value >> (i + 1) & 1))
                continue;
            if (!(value & 0x20))
                latch_count(&pit->ch[i], now);
            if (!(value & 0x10))
                latch_status(&pit->ch[i], now);
        }
        return;
    }
    struct pit_channel *c = &pit->ch[which];
    if (!access) {
        latch_count(c, now);
        return;
    }
    *c = (struct pit_channel){.mode = value >> 1 & 7,
                              .access = (uint8_t)access,
                              .bcd = value & 1,
                              .gate = c->gate,
                              .reload = c->reload,
                              .start_ns = now};
    if (c->mode > 5)
        c->mode -= 4; /* 6 and 7 are 2 and 3 */
}

static void write_count(struct pit_channel *c, uint8_t value, uint64_t now)
{
    switch (c->access) {
    case 1:
        load(c, value, now);
        break;
    case 2:
        load(c, (uint16_t)(value << 8), now);
        break;
    default:
        if (!c->lsb_next_write) {
            c->write_low = value;
            if (c->mode == 0)
                c->armed = false; /* the first byte stops the count */
        } else {
            load(c, (uint16_t)(value << 8 | c->write_low), now);
        }
        c->lsb_next_write = !c->lsb_next_write;
    }
}

static uint8_t read_count(struct pit_channel *c, uint64_t now)
{
    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    uint16_t v = c->latch;
    if (!c->latched) {
        const uint32_t raw = count_now(c, now);
        v = c->bcd ? to_bcd(raw) : (uint16_t)raw;
    }
    const bool high = c->access == 2 || (c->access == 3 && c->lsb_next_read);
    if (c->access == 3)
        c->lsb_next_read = !c->lsb_next_read;
    if (c->access != 3 || high)
        c->latched = false;
    return (uint8_t)(high ? v >> 8 : v);
}

#define PORT61 0x61
#define PORT61_GATE 0x01
#define PORT61_OUT 0x20
#define PORT61_REFRESH 0x10

uint8_t pit_in(struct pit *pit, uint16_t port, uint64_t now)
{
    if (port == PORT61) {
        /* Bit 4 toggles with every memory refresh, about every 15 us. */
        return (uint8_t)((pit->port61 & 0x0F) | (output_now(&pit->ch[2], now) ? PORT61_OUT : 0) |
                         (now / 15085 & 1 ? PORT61_REFRESH : 0));
    }
    return port == 0x43 ? 0xFF : read_count(&pit->ch[port & 3], now);
}

void pit_out(struct pit *pit, uint16_t port, uint8_t value, uint64_t now)
{
    struct pit_channel *c = &pit->ch[2];
    if (port == PORT61) {
        const bool gate = value & PORT61_GATE;
        if (gate && !c->gate) /* a rising gate starts the count again */
            c->start_ns = now;
        c->gate = gate;
        pit->port61 = value & 0x0F;
    } else if (port == 0x43) {
        command(pit, value, now);
    } else {
        write_count(&pit->ch[port & 3], value, now);
    }
}

/* Rising edges of channel 0's output since it was loaded. */
static uint64_t edges(const struct pit_channel *c, uint64_t now)
{
    const uint64_t t = elapsed(c, now);
    if (!c->armed)
        return 0;
    return periodic(c) ? t / c->reload : t >= c->reload;
}

bool pit_tick(struct pit *pit, uint64_t now)
{
    struct pit_channel *c = &pit->ch[0];
    const uint64_t n = edges(c, now);
    if (n == c->fired)
        return false;
    c->fired = n; /* missed periods are merged into one interrupt; the phase is kept */
    return true;
}

uint64_t pit_deadline(const struct pit *pit)
{
    const struct pit_channel *c = &pit->ch[0];
    if (!c->armed || (!periodic(c) && c->fired))
        return UINT64_MAX;
    return c->start_ns + time_of((c->fired + 1) * c->reload);
}
