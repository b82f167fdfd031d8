/* The 8254: against a model that steps clock by clock, and as kernels use it. */
#include "devices_helpers.h"

TestSuite(pit, .init = setup);

/* One counter as the data sheet tells it, one clock after the other; binary. */
struct stepped {
    unsigned mode, n;
    uint32_t count;
    bool output;
};

static void step(struct stepped *s)
{
    const unsigned odd = s->n & 1;
    switch (s->mode) {
    case 0:
        s->count = (s->count - 1) & 0xFFFF;
        s->output |= s->count == 0;
        break;
    case 2:
        s->count = s->count == 1 ? s->n : s->count - 1;
        s->output = s->count != 1;
        break;
    case 3: /* an odd count holds its high half one clock longer, at zero */
        if (odd && s->output && s->count) {
            s->count -= 2;
        } else if (s->count > 2) {
            s->count -= 2;
        } else {
            s->output = !s->output;
            s->count = s->n - odd;
        }
        break;
    case 4:
        s->count = (s->count - 1) & 0xFFFF;
        s->output = s->count != 0;
        break;
    }
}

static bool output_of(unsigned channel)
{
    out(0x43, (uint8_t)(0xE0 | 2u << channel));
    return in((uint16_t)(0x40 + channel)) >> 7;
}

static unsigned latched(unsigned channel)
{
    out(0x43, (uint8_t)(channel << 6));
    return in_word((uint16_t)(0x40 + channel));
}

static void program(unsigned channel, unsigned mode, unsigned count)
{
    out(0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1));
    out((uint16_t)(0x40 + channel), (uint8_t)count);
    out((uint16_t)(0x40 + channel), (uint8_t)(count >> 8));
}

Test(pit, agrees_with_a_stepped_model)
{
    static const struct {
        unsigned mode, n, clocks;
    } cases[] = {
        {0, 5, 40}, {0, 1, 10}, {0, 300, 700}, {2, 2, 20},    {2, 7, 50}, {2, 256, 900},
        {3, 2, 20}, {3, 3, 30}, {3, 8, 50},    {3, 257, 900}, {4, 6, 40}, {4, 1, 10},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const unsigned mode = cases[i].mode, n = cases[i].n;
        struct stepped s = {mode, n, mode == 3 ? n & ~1u : n, mode != 0};
        setup();
        now = clock_ns(1000003);
        program(1, mode, n);
        for (unsigned t = 0; t < cases[i].clocks; t++, step(&s)) {
            now = clock_ns(1000003 + t);
            cr_assert_eq(latched(1), s.count, "mode %u, %u: count at %u", mode, n, t);
            cr_assert_eq(output_of(1), s.output, "mode %u, %u: output at %u", mode, n, t);
        }
    }
}

Test(pit, interrupts_are_in_time)
{
    pic_setup(1, 1);
    program(0, 2, 11931);
    cr_expect_eq(devices_deadline(&dev), clock_ns(11931));
    now = devices_deadline(&dev) - 1;
    devices_tick(&dev);
    cr_expect_eq(take(), -1, "a nanosecond too early");
    now++;
    devices_tick(&dev);
    cr_expect_eq(take(), 0x20);
    out(0x20, 0x20);
    devices_tick(&dev);
    cr_expect_eq(take(), -1, "once");
    cr_expect_eq(devices_deadline(&dev), clock_ns(2 * 11931));
    now = clock_ns(5 * 11931) + 1; /* three periods missed: one interrupt, phase kept */
    devices_tick(&dev);
    cr_expect_eq(take(), 0x20);
    out(0x20, 0x20);
    devices_tick(&dev);
    cr_expect_eq(take(), -1);
    cr_expect_eq(devices_deadline(&dev), clock_ns(6 * 11931));
}

Test(pit, deadline_of_every_mode)
{
    static const struct {
        const char *what;
        unsigned mode;
        uint64_t first, second;
    } cases[] = {
        {"0: at the count, once", 0, 10, 0},
        {"1: needs a rising gate", 1, 0, 0},
        {"2: every count", 2, 10, 20},
        {"3: every count", 3, 10, 20},
        {"4: at the strobe's end, once", 4, 11, 0},
        {"5: needs a rising gate", 5, 0, 0},
        {"6 is 2", 6, 10, 20},
        {"7 is 3", 7, 10, 20},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const uint64_t first = cases[i].first ? clock_ns(77 + cases[i].first) : UINT64_MAX;
        const uint64_t second = cases[i].second ? clock_ns(77 + cases[i].second) : UINT64_MAX;
        setup();
        pic_setup(1, 1);
        now = clock_ns(77);
        cr_expect_eq(devices_deadline(&dev), UINT64_MAX, "nothing is programmed");
        program(0, cases[i].mode, 10);
        cr_expect_eq(devices_deadline(&dev), first, "%s", cases[i].what);
        if (!cases[i].first)
            continue;
        now = first;
        devices_tick(&dev);
        cr_expect_eq(take(), 0x20, "%s", cases[i].what);
        cr_expect_eq(devices_deadline(&dev), second, "%s", cases[i].what);
    }
}

/* Linux' one-shot clock event: mode 4, then counts only. */
Test(pit, one_shot_is_reprogrammed_by_counts)
{
    pic_setup(1, 1);
    program(0, 4, 1000);
    now = clock_ns(500);
    out(0x40, 0x20), out(0x40, 0x03); /* 800, from here */
    cr_expect_eq(devices_deadline(&dev), clock_ns(1301));
    now = clock_ns(1301);
    devices_tick(&dev);
    cr_expect_eq(take(), 0x20);
    out(0x20, 0x20);
    out(0x40, 5), out(0x40, 0);
    cr_expect_eq(devices_deadline(&dev), clock_ns(1301 + 6));
}

Test(pit, a_missed_rise_survives_reprogramming)
{
    pic_setup(1, 1);
    program(0, 2, 100);
    now = clock_ns(150);
    program(0, 2, 10000);
    cr_expect_eq(devices_deadline(&dev), 0, "at once");
    devices_tick(&dev);
    cr_expect_eq(take(), 0x20);
    cr_expect_eq(devices_deadline(&dev), clock_ns(10150));
}

Test(pit, a_new_period_begins_after_the_old_one)
{
    pic_setup(1, 1);
    program(0, 2, 100);
    now = clock_ns(250);
    devices_tick(&dev);
    take(), out(0x20, 0x20);
    out(0x40, 40), out(0x40, 0);
    out(0x43, 0xE2);
    cr_expect_eq(in(0x40), 0xC0 | 0x34, "null count: the new one waits");
    cr_expect_eq(latched(0), 50, "the old one goes on");
    cr_expect_eq(devices_deadline(&dev), clock_ns(300));
    now = clock_ns(310);
    cr_expect_eq(latched(0), 30);
    devices_tick(&dev);
    cr_expect_eq(take(), 0x20);
    cr_expect_eq(devices_deadline(&dev), clock_ns(340));
    out(0x43, 0xE2);
    cr_expect_eq(in(0x40), 0x80 | 0x34);
}

Test(pit, latches)
{
    program(0, 2, 1000);
    now = clock_ns(100);
    out(0x43, 0x00);
    now = clock_ns(300);
    out(0x43, 0x00); /* a second latch before the first was read is lost */
    cr_expect_eq(in_word(0x40), 900);
    cr_expect_eq(in_word(0x40), 700, "then it is live again");
    out(0x43, 0xC2); /* read back status and count of channel 0 */
    now = clock_ns(400);
    cr_expect_eq(in(0x40), 0x80 | 0x34, "status first: output high, two bytes, mode 2");
    cr_expect_eq(in_word(0x40), 700);
    program(1, 0, 5);
    out(0x43, 0xDE & ~0x10); /* all three counts and statuses */
    cr_expect_eq(in(0x41), 0x30);
    cr_expect_eq(in_word(0x41), 5);
    out(0x43, 0x70);
    out(0x43, 0xE4);
    cr_expect_eq(in(0x41), 0x70, "null count until both bytes are there");
    cr_expect_eq(in(0x43), 0xFF, "write-only");
}

Test(pit, access_modes_and_bcd)
{
    out(0x43, 0x14), out(0x40, 200); /* low byte only */
    now = clock_ns(50);
    cr_expect_eq(in(0x40), 150);
    cr_expect_eq(in(0x40), 150, "every read is the low byte");
    out(0x43, 0x24), out(0x40, 2); /* high byte only: 512 */
    now = clock_ns(50 + 256);
    cr_expect_eq(in(0x40), 1);
    out(0x43, 0x31), out(0x40, 0x00), out(0x40, 0x10); /* BCD 1000, mode 0 */
    const uint64_t start = 306;
    now = clock_ns(start + 1);
    cr_expect_eq(in_word(0x40), 0x0999);
    now = clock_ns(start + 1001);
    cr_expect_eq(in_word(0x40), 0x9999, "below zero");
    out(0x43, 0x35), out(0x40, 0), out(0x40, 0); /* 0 is 10000 */
    cr_expect_eq(in_word(0x40), 0);
    cr_expect_eq(devices_deadline(&dev), 0, "mode 0 ended in between");
    devices_tick(&dev);
    cr_expect_eq(devices_deadline(&dev), clock_ns(start + 1001 + 10000));
}

/* How Linux measures the TSC: channel 2 in mode 0, gated by port 0x61, watched on its bit 5. */
Test(pit, channel_2_calibration)
{
    out(0x61, (in(0x61) & ~2) | 1);
    out(0x43, 0xB0), out(0x42, 11931 & 0xFF), out(0x42, 11931 >> 8);
    cr_expect_eq(in(0x61) & 0x21, 0x01);
    now = clock_ns(11931) - 1;
    cr_expect_eq(in(0x61) & 0x20, 0);
    now++;
    cr_expect_eq(in(0x61) & 0x20, 0x20);
    out(0x42, 100);
    cr_expect_eq(in(0x61) & 0x20, 0, "the first byte of the next count stops mode 0");
}

Test(pit, gate)
{
    program(2, 0, 1000);
    now = clock_ns(400);
    cr_expect_eq(latched(2), 1000, "the gate is closed");
    out(0x61, 1);
    now = clock_ns(500);
    out(0x61, 0);
    now = clock_ns(5000);
    cr_expect_eq(latched(2), 900, "mode 0 stops");
    cr_expect_eq(in(0x61) & 0x20, 0);
    out(0x61, 1);
    now = clock_ns(5899);
    cr_expect_eq(in(0x61) & 0x20, 0);
    now = clock_ns(5900);
    cr_expect_eq(in(0x61) & 0x20, 0x20, "and goes on where it was");

    program(2, 3, 100);
    now = clock_ns(5960);
    cr_expect_eq(in(0x61) & 0x20, 0);
    out(0x61, 0);
    cr_expect_eq(in(0x61) & 0x20, 0x20, "mode 3: the output rises when the gate falls");
    now = clock_ns(6000);
    out(0x42, 20), out(0x42, 0);
    out(0x61, 1);
    cr_expect_eq(latched(2), 20, "and starts again with the new count");

    program(2, 1, 50);
    now = clock_ns(7000);
    cr_expect_eq(in(0x61) & 0x20, 0x20, "mode 1 waits for its trigger");
    out(0x61, 0), out(0x61, 1);
    cr_expect_eq(in(0x61) & 0x20, 0);
    now = clock_ns(7040);
    out(0x61, 0), out(0x61, 1);
    now = clock_ns(7089);
    cr_expect_eq(in(0x61) & 0x20, 0, "triggered again");
    now = clock_ns(7090);
    cr_expect_eq(in(0x61) & 0x20, 0x20);

    program(2, 5, 10);
    out(0x61, 0), out(0x61, 1), out(0x61, 0); /* the gate's level does not matter */
    cr_expect_eq(in(0x61) & 0x20, 0x20);
    now = clock_ns(7100);
    cr_expect_eq(in(0x61) & 0x20, 0, "mode 5: the strobe");
    now = clock_ns(7101);
    cr_expect_eq(in(0x61) & 0x20, 0x20);
}

Test(pit, refresh_bit_toggles)
{
    unsigned changes = 0;
    for (uint8_t last = in(0x61) & 0x10; now < 1000000; now += 1000) {
        const uint8_t bit = in(0x61) & 0x10;
        changes += bit != last;
        last = bit;
    }
    cr_expect_eq(changes, 1000000 / 15085);
}

/* 65536 clocks a period for a century: each edge is where exact arithmetic puts it. */
Test(pit, is_exact_for_a_century)
{
    static const uint64_t years[] = {1, 10, 50, 100};
    program(0, 2, 0);
    for (unsigned i = 0; i < sizeof(years) / sizeof(years[0]); i++) {
        now = years[i] * 365 * 86400 * SECOND;
        devices_tick(&dev);
        const uint64_t clock = (uint64_t)((unsigned __int128)now * PIT_HZ / SECOND);
        cr_expect_eq(latched(0), (65536 - clock % 65536) & 0xFFFF);
        cr_expect_eq(devices_deadline(&dev), clock_ns((clock / 65536 + 1) * 65536));
        now = devices_deadline(&dev) - 1;
        devices_tick(&dev);
        cr_expect_eq(latched(0), 1);
    }
}
