/* The clock and the CMOS memory. */
#include "devices_helpers.h"

static uint8_t cmos(uint8_t index)
{
    out(0x70, index);
    return in(0x71);
}

static void set(uint8_t index, uint8_t value)
{
    out(0x70, index);
    out(0x71, value);
}

TestSuite(cmos, .init = setup);

/* Guest time is added to the boot date, 2028-02-29 23:34:56. */
Test(cmos, date)
{
    static const struct {
        uint64_t after;
        uint8_t b, want[8]; /* seconds, minutes, hours, weekday, day, month, year, century */
    } cases[] = {
        {0, 2, {0x56, 0x34, 0x23, 3, 0x29, 0x02, 0x28, 0x20}},
        {0, 6, {56, 34, 23, 3, 29, 2, 28, 20}},
        {0, 0, {0x56, 0x34, 0x91, 3, 0x29, 0x02, 0x28, 0x20}},
        {0, 4, {56, 34, 0x8B, 3, 29, 2, 28, 20}},
        {25 * 60 + 3, 2, {0x59, 0x59, 0x23, 3, 0x29, 0x02, 0x28, 0x20}},
        {25 * 60 + 4, 2, {0x00, 0x00, 0x00, 4, 0x01, 0x03, 0x28, 0x20}},
        {25 * 60 + 4, 0, {0x00, 0x00, 0x12, 4, 0x01, 0x03, 0x28, 0x20}},
        {25 * 60 + 4 + 43200, 0, {0x00, 0x00, 0x92, 4, 0x01, 0x03, 0x28, 0x20}},
        {25 * 60 + 4 + 46800, 0, {0x00, 0x00, 0x81, 4, 0x01, 0x03, 0x28, 0x20}},
        {365 * 86400, 2, {0x56, 0x34, 0x23, 4, 0x28, 0x02, 0x29, 0x20}},
        {366 * 86400, 2, {0x56, 0x34, 0x23, 5, 0x01, 0x03, 0x29, 0x20}},
        {306 * 86400ull + 25 * 60 + 4, 2, {0x00, 0x00, 0x00, 2, 0x01, 0x01, 0x29, 0x20}},
        {26298 * 86400ull, 2, {0x56, 0x34, 0x23, 2, 0x01, 0x03, 0x00, 0x21}}, /* 2100: no leap */
    };
    static const uint8_t index[8] = {0, 2, 4, 6, 7, 8, 9, 0x32};
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        now = cases[i].after * SECOND + 999999999;
        set(0x0B, cases[i].b);
        for (unsigned r = 0; r < 8; r++)
            cr_expect_eq(cmos(index[r]), cases[i].want[r], "case %u, register %02x: %02x", i,
                         index[r], cmos(index[r]));
    }
    cr_expect_eq(host_log.rtc_reads, 1,
                 "the host's clock is asked at boot, guest time does the rest");
}

Test(cmos, the_date_is_read_only)
{
    set(0x04, 0x11), set(0x07, 0x01), set(0x0C, 0xFF), set(0x0D, 0x00);
    cr_expect_eq(cmos(0x04), 0x23);
    cr_expect_eq(cmos(0x07), 0x29);
    cr_expect_eq(cmos(0x0C), 0x00);
    cr_expect_eq(cmos(0x0D), 0x80, "the battery stays good");
    set(0x01, 0x55), set(0x05, 0xC0), set(0x40, 0x77);
    cr_expect_eq(cmos(0x01), 0x55, "the alarm is memory");
    cr_expect_eq(cmos(0x05), 0xC0);
    cr_expect_eq(cmos(0xC0), 0x77, "bit 7 of the index is the NMI's mask");
    cr_expect_eq(in(0x70), 0xFF, "write-only");
}

Test(cmos, never_in_the_middle_of_an_update)
{
    set(0x0A, 0xA6);
    for (now = 0; now < 2 * SECOND; now += 100003)
        cr_assert_eq(cmos(0x0A), 0x26);
}

Test(cmos, memory_size)
{
    static const struct {
        uint32_t ram, above_1m, above_16m; /* in KB and in 64 KB */
    } cases[] = {
        {0x80000, 0, 0},         {1u << 20, 0, 0},          {16u << 20, 15360, 0},
        {32u << 20, 31744, 256}, {128u << 20, 65535, 1792}, {2048u << 20, 65535, 32512},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct device_host host = dev.host;
        devices_init(&dev, &host, cases[i].ram, NULL, 0);
        cr_expect_eq(cmos(0x15) | cmos(0x16) << 8, 640);
        cr_expect_eq((unsigned)(cmos(0x17) | cmos(0x18) << 8), cases[i].above_1m);
        cr_expect_eq((unsigned)(cmos(0x30) | cmos(0x31) << 8), cases[i].above_1m);
        cr_expect_eq((unsigned)(cmos(0x34) | cmos(0x35) << 8), cases[i].above_16m);
    }
}

Test(cmos, periodic_interrupt)
{
    pic_setup(1, 1);
    cr_expect_eq(devices_deadline(&dev), UINT64_MAX);
    set(0x0B, 0x42);
    cr_expect_eq(devices_deadline(&dev), (SECOND + 1023) / 1024, "1024 Hz");
    now = devices_deadline(&dev) - 1;
    devices_tick(&dev);
    cr_expect_eq(take(), -1);
    now++;
    devices_tick(&dev);
    cr_expect_eq(take(), 0x28);
    cr_expect_eq(devices_deadline(&dev), UINT64_MAX, "the next waits for register C");
    out(0xA0, 0x20), out(0x20, 0x20);
    now *= 10;
    devices_tick(&dev);
    cr_expect_eq(take(), -1);
    cr_expect_eq(cmos(0x0C), 0xC0);
    cr_expect_eq(cmos(0x0C), 0x00, "reading clears");
    cr_expect_eq(devices_deadline(&dev), (11 * SECOND + 1023) / 1024, "the phase is kept");
    now = devices_deadline(&dev);
    devices_tick(&dev);
    cr_expect_eq(take(), 0x28);
}

Test(cmos, periodic_rates)
{
    for (unsigned rate = 0; rate < 16; rate++) {
        static const unsigned hz[16] = {0,   256, 128, 8192, 4096, 2048, 1024, 512,
                                        256, 128, 64,  32,   16,   8,    4,    2};
        setup();
        set(0x0A, (uint8_t)(0x20 | rate));
        set(0x0B, 0x42);
        const uint64_t want = hz[rate] ? (SECOND + hz[rate] - 1) / hz[rate] : UINT64_MAX;
        cr_expect_eq(devices_deadline(&dev), want, "rate %u", rate);
    }
}

Test(cmos, the_flag_is_there_without_the_interrupt)
{
    pic_setup(1, 1);
    now = SECOND;
    devices_tick(&dev);
    cr_expect_eq(take(), -1);
    set(0x0B, 0x42);
    cr_expect_eq(take(), 0x28, "enabling it with the flag up interrupts");
    set(0x0B, 0x02);
    cr_expect_eq(cmos(0x0C), 0x40);
}
