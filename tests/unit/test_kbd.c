/* The 8042 and its keyboard. */
#include "devices_helpers.h"

static void kbd_setup(void)
{
    setup();
    pic_setup(1, 1);
}

static bool full(void)
{
    return in(0x64) & 1;
}

TestSuite(kbd, .init = kbd_setup);

/* Bytes written, then all that comes back. */
struct talk {
    const char *what;
    struct {
        uint16_t port;
        uint8_t value;
    } say[4];
    uint8_t hear[4], count;
};

Test(kbd, commands_and_answers)
{
    static const struct talk talks[] = {
        {"self test", {{0x64, 0xAA}}, {0x55}, 1},
        {"interface test", {{0x64, 0xAB}}, {0x00}, 1},
        {"command byte", {{0x64, 0x20}}, {0x45}, 1},
        {"command byte written", {{0x64, 0x60}, {0x60, 0x46}, {0x64, 0x20}}, {0x46}, 1},
        {"disable", {{0x64, 0xAD}, {0x64, 0x20}}, {0x55}, 1},
        {"disable and enable", {{0x64, 0xAD}, {0x64, 0xAE}, {0x64, 0x20}}, {0x45}, 1},
        {"data enables", {{0x64, 0xAD}, {0x60, 0xEE}}, {0xEE}, 1},
        {"output port", {{0x64, 0xD0}}, {0x03}, 1},
        {"A20 off", {{0x64, 0xD1}, {0x60, 0x01}, {0x64, 0xD0}}, {0x01}, 1},
        {"output buffer", {{0x64, 0xD2}, {0x60, 0x77}}, {0x77}, 1},
        {"mouse: silence", {{0x64, 0xD4}, {0x60, 0xFF}, {0x64, 0xA9}}, {0}, 0},
        {"unknown command", {{0x64, 0x99}}, {0}, 0},
        {"echo", {{0x60, 0xEE}}, {0xEE}, 1},
        {"lights", {{0x60, 0xED}, {0x60, 0x07}}, {0xFA, 0xFA}, 2},
        {"set 2", {{0x60, 0xF0}, {0x60, 0x02}}, {0xFA, 0xFA}, 2},
        {"which set", {{0x60, 0xF0}, {0x60, 0x00}}, {0xFA, 0xFA, 0x41}, 3},
        {"set 9", {{0x60, 0xF0}, {0x60, 0x09}}, {0xFA, 0xFE}, 2},
        {"identify", {{0x60, 0xF2}}, {0xFA, 0xAB, 0x41}, 3},
        {"untranslated", {{0x64, 0x60}, {0x60, 0x05}, {0x60, 0xF2}}, {0xFA, 0xAB, 0x83}, 3},
        {"rate", {{0x60, 0xF3}, {0x60, 0x20}}, {0xFA, 0xFA}, 2},
        {"enable", {{0x60, 0xF4}}, {0xFA}, 1},
        {"stop", {{0x60, 0xF5}}, {0xFA}, 1},
        {"defaults", {{0x60, 0xF6}}, {0xFA}, 1},
        {"reset", {{0x60, 0xFF}}, {0xFA, 0xAA}, 2},
        {"no such command", {{0x60, 0x10}}, {0xFE}, 1},
    };
    for (unsigned i = 0; i < sizeof(talks) / sizeof(talks[0]); i++) {
        kbd_setup();
        for (unsigned k = 0; k < 4 && talks[i].say[k].port; k++)
            out(talks[i].say[k].port, talks[i].say[k].value);
        for (unsigned k = 0; k < talks[i].count; k++) {
            cr_expect(full(), "%s: byte %u", talks[i].what, k);
            cr_expect_eq(in(0x60), talks[i].hear[k], "%s: byte %u", talks[i].what, k);
        }
        cr_expect_not(full(), "%s: no more", talks[i].what);
    }
}

Test(kbd, keys_interrupt)
{
    cr_assert(devices_key_in(&dev, 0x1E) && devices_key_in(&dev, 0x9E));
    cr_expect_eq(take(), 0x21);
    cr_expect_eq(in(0x60), 0x1E);
    out(0x20, 0x20);
    cr_expect_eq(take(), 0x21, "the second byte interrupts again");
    cr_expect_eq(in(0x60), 0x9E);
    out(0x20, 0x20);
    cr_expect_eq(take(), -1);
    cr_expect_eq(in(0x60), 0x9E, "an empty buffer gives the last byte again");
    out(0x60, 0xFE);
    cr_expect_eq(in(0x60), 0x9E, "so does the keyboard when asked");
    out(0x64, 0x60), out(0x60, 0x44);
    devices_key_in(&dev, 0x1E);
    out(0x20, 0x20);
    cr_expect_eq(take(), -1, "no interrupt by the command byte");
    cr_expect(full());
    out(0x64, 0x60), out(0x60, 0x45);
    cr_expect_eq(take(), 0x21, "until it allows it");
}

Test(kbd, the_controller_answers_before_the_keyboard)
{
    devices_key_in(&dev, 0x1E);
    out(0x64, 0x20);
    cr_expect_eq(in(0x60), 0x45);
    cr_expect_eq(in(0x60), 0x1E);
}

Test(kbd, disabled_and_stopped)
{
    out(0x64, 0xAD);
    cr_expect(devices_key_in(&dev, 0x1E));
    cr_expect_not(full());
    cr_expect_eq(take(), -1);
    out(0x64, 0xAE);
    cr_expect_eq(take(), 0x21, "the keyboard kept it");
    cr_expect_eq(in(0x60), 0x1E);
    devices_key_in(&dev, 0x1F);
    out(0x60, 0xF5);
    cr_expect_eq(in(0x60), 0xFA, "what was typed is forgotten");
    cr_expect(devices_key_in(&dev, 0x1E));
    cr_expect_not(full(), "a stopped keyboard sends nothing");
    out(0x60, 0xF6), in(0x60);
    devices_key_in(&dev, 0x1E);
    cr_expect_not(full(), "defaults leave it stopped");
    out(0x60, 0xF4), in(0x60);
    devices_key_in(&dev, 0x20);
    cr_expect_eq(in(0x60), 0x20);
}

Test(kbd, room)
{
    unsigned taken = 0;
    while (devices_key_room(&dev)) {
        cr_assert(devices_key_in(&dev, (uint8_t)taken));
        taken++;
    }
    cr_expect_geq(taken, 16);
    cr_expect_not(devices_key_in(&dev, 0x55));
    out(0x60, 0xF2);
    for (unsigned i = 0; i < taken; i++)
        cr_assert_eq(in(0x60), i);
    cr_expect_eq(in(0x60), 0xFA, "answers find room behind a full queue of keys");
    in(0x60), in(0x60);
    cr_expect_not(full());
}

Test(kbd, status_bits)
{
    cr_expect_eq(in(0x64), 0x14, "system flag, not locked");
    out(0x64, 0xAE);
    cr_expect_eq(in(0x64) & 0x08, 0x08, "the last byte was a command");
    out(0x60, 0xEE);
    cr_expect_eq(in(0x64) & 0x09, 0x01);
    out(0x64, 0x60), out(0x60, 0x41);
    cr_expect_eq(in(0x64) & 0x04, 0x00, "the system flag follows the command byte");
    out(0x64, 0x60), out(0x60, 0x45);
    cr_expect_eq(in(0x64) & 0x04, 0x04);
}

Test(kbd, reset_pulse)
{
    for (unsigned command = 0xF0; command < 0x100; command++) {
        const unsigned before = host_log.resets;
        out(0x64, (uint8_t)command);
        cr_expect_eq(host_log.resets - before, !(command & 1), "command %02x", command);
    }
    host_log.resets = 0;
    out(0x64, 0xD1), out(0x60, 0x02);
    cr_expect_eq(host_log.resets, 1, "the reset line by the output port");
}
