/*
 * 8254 programmable interval timer (Intel 8254 data sheet, order number 231164). Channel 0 raises
 * IRQ 0; channel 2 is gated and read back through port 0x61 (IBM PC AT technical reference).
 * The counters are not stepped: their value follows from the PIT clocks since they were loaded.
 * Simplified: a count takes effect in the clock of its writing, not in the next one; and in mode 3
 * a new count waits for the end of the period, not of its half.
 */
#include "models.h"

#define PIT_HZ 1193182u
#define NS 1000000000ull
#define COMMAND_PORT 0x43
#define PORT61 0x61
#define PORT61_GATE 0x01
#define PORT61_REFRESH 0x10
#define PORT61_OUT 0x20
#define REFRESH_NS 15085 /* one memory refresh: 18 PIT clocks */

/* PIT clocks at a time, and the first nanosecond of a clock: exact, and without overflow for
 * centuries, because the seconds are taken apart before multiplying. */
static uint64_t clock_at(uint64_t ns)
{
    return ns / NS * PIT_HZ + ns % NS * PIT_HZ / NS;
}

static uint64_t time_of(uint64_t clock)
{
    return clock / PIT_HZ * NS + (clock % PIT_HZ * NS + PIT_HZ - 1) / PIT_HZ;
}

/* Modes 2 and 3 start again by themselves; 1 and 5 start with a rising gate. */
static bool periodic(const struct pit_channel *c)
{
    return c->mode == 2 || c->mode == 3;
}

static bool triggered(const struct pit_channel *c)
{
    return c->mode == 1 || c->mode == 5;
}

static uint64_t elapsed(const struct pit_channel *c, uint64_t clock)
{
    if (!c->gate && !triggered(c))
        return c->held;
    return clock > c->start ? clock - c->start : 0;
}

static uint32_t modulus(const struct pit_channel *c)
{
    return c->bcd ? 10000 : 65536;
}

/* The count that a read sees. The one-shot modes go on counting below zero. */
static uint32_t count_now(const struct pit_channel *c, uint64_t clock)
{
    const uint64_t t = c->counting ? elapsed(c, clock) : 0;
    const uint32_t n = c->reload, m = modulus(c);
    const uint32_t phase = (uint32_t)(t % n), high = (n + 1) / 2;
    if (c->mode == 3) /* counts by two, once through each half of the period */
        return ((n & ~1u) - 2 * (phase < high ? phase : phase - high)) % m;
    if (c->mode == 2)
        return (n - phase) % m;
    return (n + m - (uint32_t)(t % m)) % m;
}

static bool output_now(const struct pit_channel *c, uint64_t clock)
{
    if (!c->counting)
        return c->mode != 0;
    const uint64_t t = elapsed(c, clock);
    switch (c->mode) {
    case 0:
    case 1:
        return t >= c->reload;
    case 2:
        return !c->gate || t % c->reload != c->reload - 1u;
    case 3:
        return !c->gate || t % c->reload < (c->reload + 1u) / 2;
    default:
        return t != c->reload; /* one low clock, the strobe */
    }
}

/* How often the output rose since start. */
static uint64_t rises(const struct pit_channel *c, uint64_t clock)
{
    if (!c->counting)
        return 0;
    const uint64_t t = elapsed(c, clock);
    if (periodic(c))
        return t / c->reload;
    return t >= c->reload + (c->mode >= 4 ? 1u : 0u);
}

/* Account for what happened up to now; comes before every access that changes the channel. */
static void catch_up(struct pit_channel *c, uint64_t clock)
{
    const uint64_t n = rises(c, clock);
    if (n == c->fired)
        return;
    c->due = true;
    c->fired = n;
    if (periodic(c) && c->next_reload) { /* the period in which it was written is over */
        c->start += c->reload;
        c->reload = c->next_reload;
        c->next_reload = 0;
        c->fired = rises(c, clock);
    }
}

static void start(struct pit_channel *c, uint32_t count, uint64_t clock)
{
    c->reload = count;
    c->next_reload = 0;
    c->start = clock;
    c->held = 0;
    c->fired = 0;
    c->counting = true;
}

static uint16_t to_bcd(uint32_t v)
{
    return (uint16_t)(v / 1000 % 10 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10);
}

static uint32_t from_bcd(uint16_t v)
{
    return (v >> 12) * 1000u + (v >> 8 & 15) * 100u + (v >> 4 & 15) * 10u + (v & 15);
}

/* A whole count was written. Modes 2 and 3 finish their period first, 1 and 5 wait for the gate. */
static void load(struct pit_channel *c, uint16_t value, uint64_t clock)
{
    uint32_t count = c->bcd ? from_bcd(value) : value;
    if (!count)
        count = modulus(c);
    if (triggered(c)) {
        c->next_reload = count;
    } else if (periodic(c) && c->counting) {
        if (c->gate) { /* begin at this period, so that the next rise is the first one from start */
            c->start += c->fired * c->reload;
            c->fired = 0;
        }
        c->next_reload = count;
    } else {
        start(c, count, clock);
    }
}

static void set_gate(struct pit_channel *c, bool gate, uint64_t clock)
{
    if (gate == c->gate)
        return;
    if (!gate)
        c->held = elapsed(c, clock);
    c->gate = gate;
    if (!gate || !(c->counting || c->next_reload))
        return;
    if (periodic(c) || triggered(c))
        start(c, c->next_reload ? c->next_reload : c->reload, clock);
    else
        c->start = clock - c->held; /* modes 0 and 4 go on where they were */
}

static void latch_count(struct pit_channel *c, uint64_t clock)
{
    if (c->latched)
        return;
    const uint32_t v = count_now(c, clock);
    c->latch = c->bcd ? to_bcd(v) : (uint16_t)v;
    c->latched = true;
}

static void latch_status(struct pit_channel *c, uint64_t clock)
{
    if (c->status_latched)
        return;
    const bool null_count = !c->counting || c->next_reload;
    c->status = (uint8_t)(output_now(c, clock) << 7 | null_count << 6 | c->access << 4 |
                          c->mode << 1 | c->bcd);
    c->status_latched = true;
}

static void read_back(struct pit *pit, uint8_t value, uint64_t clock)
{
    for (unsigned i = 0; i < 3; i++) {
        if (!(value >> (i + 1) & 1))
            continue;
        catch_up(&pit->ch[i], clock);
        if (!(value & 0x20))
            latch_count(&pit->ch[i], clock);
        if (!(value & 0x10))
            latch_status(&pit->ch[i], clock);
    }
}

static void command(struct pit *pit, uint8_t value, uint64_t clock)
{
    const uint8_t which = value >> 6, access = value >> 4 & 3, mode = value >> 1 & 7;
    if (which == 3) {
        read_back(pit, value, clock);
        return;
    }
    struct pit_channel *c = &pit->ch[which];
    catch_up(c, clock);
    if (!access) {
        latch_count(c, clock);
        return;
    }
    *c = (struct pit_channel){.access = access, .bcd = value & 1, .gate = c->gate, .due = c->due};
    c->mode = mode > 5 ? mode - 4 : mode; /* 6 and 7 are 2 and 3 */
    c->reload = modulus(c);
}

static void write_count(struct pit_channel *c, uint8_t value, uint64_t clock)
{
    catch_up(c, clock);
    if (c->access == 1) {
        load(c, value, clock);
    } else if (c->access == 2) {
        load(c, (uint16_t)(value << 8), clock);
    } else if (c->high_next_write) {
        c->high_next_write = false;
        load(c, (uint16_t)(value << 8 | c->write_low), clock);
    } else {
        c->high_next_write = true;
        c->write_low = value;
        if (c->mode == 0)
            c->counting = false; /* the first byte stops the count */
    }
}

static uint8_t read_count(struct pit_channel *c, uint64_t clock)
{
    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    catch_up(c, clock);
    uint16_t v = c->latch;
    if (!c->latched) {
        const uint32_t count = count_now(c, clock);
        v = c->bcd ? to_bcd(count) : (uint16_t)count;
    }
    const bool high = c->access == 2 || (c->access == 3 && c->high_next_read);
    if (c->access == 3)
        c->high_next_read = !c->high_next_read;
    if (c->access != 3 || high)
        c->latched = false;
    return (uint8_t)(high ? v >> 8 : v);
}

void pit_init(struct pit *pit, uint64_t now_ns)
{
    *pit = (struct pit){0};
    for (int i = 0; i < 3; i++)
        pit->ch[i] = (struct pit_channel){
            .mode = 3, .access = 3, .reload = 65536, .gate = i != 2, .start = clock_at(now_ns)};
}

uint8_t pit_in(struct pit *pit, uint16_t port, uint64_t now_ns)
{
    const uint64_t clock = clock_at(now_ns);
    if (port == COMMAND_PORT)
        return 0xFF; /* write-only */
    if (port != PORT61)
        return read_count(&pit->ch[port & 3], clock);
    catch_up(&pit->ch[2], clock);
    return pit->port61 | (output_now(&pit->ch[2], clock) ? PORT61_OUT : 0) |
           (now_ns / REFRESH_NS & 1 ? PORT61_REFRESH : 0);
}

void pit_out(struct pit *pit, uint16_t port, uint8_t value, uint64_t now_ns)
{
    const uint64_t clock = clock_at(now_ns);
    if (port == COMMAND_PORT) {
        command(pit, value, clock);
    } else if (port == PORT61) {
        catch_up(&pit->ch[2], clock);
        set_gate(&pit->ch[2], value & PORT61_GATE, clock);
        pit->port61 = value & 0x0F;
    } else {
        write_count(&pit->ch[port & 3], value, clock);
    }
}

bool pit_tick(struct pit *pit, uint64_t now_ns)
{
    struct pit_channel *c = &pit->ch[0];
    catch_up(c, clock_at(now_ns));
    const bool rose = c->due;
    c->due = false; /* missed periods are merged into one interrupt; the phase is kept */
    return rose;
}

uint64_t pit_deadline(const struct pit *pit)
{
    const struct pit_channel *c = &pit->ch[0];
    if (c->due)
        return 0;
    if (!c->counting || (!periodic(c) && c->fired))
        return UINT64_MAX;
    if (periodic(c))
        return time_of(c->start + (c->fired + 1) * c->reload);
    return time_of(c->start + c->reload + (c->mode >= 4 ? 1 : 0));
}
