/* The 8259A pair, programmed as kernels program it and as its data sheet says. */
#include "devices_helpers.h"

static uint8_t in_service(uint16_t port)
{
    out(port, 0x0B);
    return in(port);
}

static uint8_t requests(uint16_t port)
{
    out(port, 0x0A);
    return in(port);
}

TestSuite(pic, .init = setup);

Test(pic, silent_until_initialised)
{
    out(0x21, 0), out(0xA1, 0);
    line(1, true);
    cr_expect_eq(take(), -1);
    out(0x20, 0x11), out(0x21, 0x20), out(0x21, 0x04);
    pulse(1);
    cr_expect_eq(take(), -1, "ICW4 was announced and is missing");
    out(0x21, 0x01);
    cr_expect_eq(take(), 0x21);
}

Test(pic, initialisation_words)
{
    static const struct {
        const char *what;
        uint8_t icw1, words[3], count;
    } cases[] = {
        {"cascade with ICW4", 0x11, {0x68, 0x04, 0x01}, 3},
        {"cascade without ICW4", 0x10, {0x68, 0x04}, 2},
        {"single with ICW4", 0x13, {0x68, 0x01}, 2},
        {"single without ICW4", 0x12, {0x68}, 1},
        {"the low bits of ICW2 come from the line", 0x12, {0x6F}, 1},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        setup();
        out(0x20, cases[i].icw1);
        for (unsigned w = 0; w < cases[i].count; w++)
            out(0x21, cases[i].words[w]);
        cr_expect_eq(in(0x21), 0x00, "%s: the mask is open", cases[i].what);
        out(0x21, 0xBF);
        cr_expect_eq(in(0x21), 0xBF, "%s: the next word is the mask", cases[i].what);
        line(6, true);
        cr_expect_eq(take(), 0x6E, "%s", cases[i].what);
    }
}

Test(pic, initialisation_forgets)
{
    pic_setup(1, 1);
    line(3, true), take();
    line(5, true);
    out(0x20, 0xC2); /* rotated */
    out(0x20, 0x68); /* special mask */
    pic_setup(1, 1);
    cr_expect_eq(in(0x20), 0, "the IRR is selected, and edges are gone");
    cr_expect_eq(in_service(0x20), 0);
    cr_expect_eq(take(), -1);
    pulse(3), pulse(0);
    cr_expect_eq(take(), 0x20, "line 0 is the most urgent again");
}

Test(pic, priority_service_and_eoi)
{
    pic_setup(1, 1);
    line(4, true), line(1, true);
    cr_expect_eq(requests(0x20), 0x12);
    cr_expect_eq(take(), 0x21, "line 1 before line 4");
    cr_expect_eq(requests(0x20), 0x10, "an acknowledged edge is used up");
    cr_expect_eq(take(), -1, "line 4 waits for the EOI of line 1");
    line(0, true);
    cr_expect_eq(take(), 0x20, "line 0 is more urgent");
    cr_expect_eq(in_service(0x20), 0x03);
    out(0x20, 0x20);
    cr_expect_eq(in_service(0x20), 0x02, "a non-specific EOI ends the most urgent");
    out(0x20, 0x65);
    cr_expect_eq(in_service(0x20), 0x02, "a specific one for another line ends nothing");
    out(0x20, 0x61);
    cr_expect_eq(take(), 0x24);
}

Test(pic, every_line_has_its_vector)
{
    pic_setup(1, 1);
    for (unsigned irq = 0; irq < 16; irq++) {
        if (irq == 2)
            continue;
        line(irq, true);
        cr_expect_eq(take(), (int)(0x20 + irq));
        cr_expect_eq(take(), -1, "an edge counts once");
        if (irq >= 8)
            out(0xA0, 0x20);
        out(0x20, 0x20);
        line(irq, false);
    }
}

Test(pic, mask_keeps_the_request)
{
    pic_setup(1, 1);
    out(0x21, 0x08);
    line(3, true);
    cr_expect_eq(take(), -1);
    cr_expect_eq(requests(0x20), 0x08);
    out(0x21, 0x00);
    cr_expect_eq(take(), 0x23);
    out(0xA1, 0x40);
    line(14, true);
    cr_expect_eq(requests(0x20) & 4, 0, "the slave asks for nothing that it masks");
}

Test(pic, spurious)
{
    pic_setup(1, 1);
    line(3, true), line(3, false);
    cr_expect_not(devices_irq_pending(&dev), "the input must stay high until INTA");
    cr_expect_eq(devices_irq_ack(&dev), 0x27);
    cr_expect_eq(in_service(0x20), 0x00, "a spurious interrupt is not in service");
    /* Between the two pulses of INTA the slave's request goes: the master still shows line 2. */
    dev.pic.chip[0].irr |= 0x04;
    cr_expect_eq(devices_irq_ack(&dev), 0x2F);
    cr_expect_eq(in_service(0x20), 0x04, "the master does not know and wants its EOI");
    cr_expect_eq(in_service(0xA0), 0x00);
    out(0x20, 0x20);
    line(7, true);
    cr_expect_eq(take(), 0x27);
    cr_expect_eq(in_service(0x20), 0x80, "a real one is in service");
}

Test(pic, cascade)
{
    pic_setup(1, 1);
    line(14, true);
    cr_expect_eq(requests(0x20), 0x04);
    cr_expect_eq(take(), 0x2E);
    cr_expect_eq(in_service(0x20), 0x04);
    cr_expect_eq(in_service(0xA0), 0x40);
    line(8, true);
    cr_expect_eq(take(), -1, "the master's line 2 is in service");
    line(1, true);
    cr_expect_eq(take(), 0x21, "master lines 0 and 1 are more urgent than the slave's");
    out(0x20, 0x20);
    out(0xA0, 0x20), out(0x20, 0x20);
    line(3, true);
    cr_expect_eq(take(), 0x28, "the slave's lines are more urgent than line 3");
}

Test(pic, special_fully_nested)
{
    pic_setup(0x11, 1);
    line(14, true);
    cr_expect_eq(take(), 0x2E);
    line(15, true);
    cr_expect_eq(take(), -1, "less urgent in the slave");
    line(8, true);
    cr_expect_eq(take(), 0x28, "the slave may interrupt itself");
    out(0xA0, 0x20);
    cr_expect_eq(in_service(0xA0), 0x40, "not empty: the master gets no EOI yet");
    line(3, true);
    cr_expect_eq(take(), -1);
    out(0xA0, 0x20), out(0x20, 0x20);
    cr_expect_eq(take(), 0x2F);
}

Test(pic, auto_eoi)
{
    pic_setup(3, 3);
    line(5, true);
    cr_expect_eq(take(), 0x25);
    cr_expect_eq(in_service(0x20), 0);
    line(6, true);
    cr_expect_eq(take(), 0x26, "nothing is in the way");
    line(9, true);
    cr_expect_eq(take(), 0x29);
    out(0x20, 0x80); /* rotate in automatic EOI mode */
    pulse(0);
    cr_expect_eq(take(), 0x20);
    pulse(0), pulse(5);
    cr_expect_eq(take(), 0x25, "line 0 is the least urgent now");
    cr_expect_eq(take(), 0x20);
    out(0x20, 0x00); /* no more rotation */
    pulse(3);
    cr_expect_eq(take(), 0x23);
    pulse(3), pulse(4);
    cr_expect_eq(take(), 0x23, "line 3 keeps its place");
}

Test(pic, rotation)
{
    static const struct {
        const char *what;
        uint8_t ocw2;
        int first; /* of lines 1, 3 and 6, with 3 in service before */
    } cases[] = {
        {"EOI", 0x20, 0x21},
        {"rotate on EOI: 4 is the most urgent", 0xA0, 0x26},
        {"rotate on specific EOI of 3", 0xE3, 0x26},
        {"set priority, 0 last, EOI afterwards", 0xC0, 0x21},
        {"set priority, 1 last, EOI afterwards", 0xC1, 0x23},
        {"set priority, 6 last, EOI afterwards", 0xC6, 0x21},
        {"no operation", 0x40, 0x21},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        setup();
        pic_setup(1, 1);
        line(3, true);
        cr_assert_eq(take(), 0x23);
        out(0x20, cases[i].ocw2);
        out(0x20, 0x63);
        pulse(1), pulse(3), pulse(6);
        cr_expect_eq(take(), cases[i].first, "%s", cases[i].what);
    }
}

Test(pic, special_mask)
{
    pic_setup(1, 1);
    line(3, true);
    cr_expect_eq(take(), 0x23);
    line(5, true);
    out(0x21, 0x08);
    cr_expect_eq(take(), -1, "line 3 in service blocks, masked or not");
    out(0x20, 0x68);
    cr_expect_eq(take(), 0x25, "in special mask mode the masked line 3 does not");
    out(0x20, 0x20);
    cr_expect_eq(in_service(0x20), 0x08, "nor does a non-specific EOI end it");
    out(0x20, 0x20);
    cr_expect_eq(in_service(0x20), 0x08);
    out(0x20, 0x48);
    out(0x20, 0x20);
    cr_expect_eq(in_service(0x20), 0x00);
}

Test(pic, poll)
{
    pic_setup(1, 1);
    out(0x20, 0x0C);
    cr_expect_eq(in(0x20), 0x00, "nothing to serve");
    line(4, true), line(12, true);
    out(0xA0, 0x0C);
    cr_expect_eq(in(0xA0), 0x84);
    cr_expect_eq(in_service(0xA0), 0x10, "the read was an INTA");
    out(0x20, 0x0C);
    cr_expect_eq(in(0x20), 0x84, "the slave asks no more");
    cr_expect_eq(take(), -1);
    cr_expect_eq(in(0x21), 0x00, "one read only");
}

Test(pic, level_triggered)
{
    pic_setup(1, 1);
    out(0x4D0, 0xFF), out(0x4D1, 0xFF);
    cr_expect_eq(in(0x4D0), 0xF8, "0, 1 and 2 are edges for ever");
    cr_expect_eq(in(0x4D1), 0xDE, "8 and 13 too");
    line(5, true);
    cr_expect_eq(take(), 0x25);
    cr_expect_eq(take(), -1);
    out(0x20, 0x20);
    cr_expect_eq(take(), 0x25, "a level asks again");
    line(5, false);
    out(0x20, 0x20);
    cr_expect_eq(take(), -1);
    line(10, true);
    cr_expect_eq(take(), 0x2A);
    out(0xA0, 0x20), out(0x20, 0x20);
    cr_expect_eq(take(), 0x2A);
    setup();
    pic_setup(1, 1);
    line(5, true), take();
    out(0x20, 0x20);
    out(0x4D0, 0x20);
    cr_expect_eq(take(), 0x25, "the line is high when it becomes a level");
}
