/*
 * Two cascaded 8259A interrupt controllers (Intel 8259A data sheet, order number 231468).
 * Master: ports 0x20, 0x21; slave: 0xA0, 0xA1, on the master's line 2. ELCR (edge or level a line):
 * ports 0x4D0, 0x4D1, as in the Intel 82371SB data sheet.
 */
#include "models.h"

#define CASCADE 2
#define ICW1_INIT 0x10
#define ICW1_ICW4 0x01
#define ICW1_SINGLE 0x02
#define ICW4_AEOI 0x02
#define ICW4_SFNM 0x10
#define OCW3 0x08
#define SPURIOUS 7

void pic_init(struct pic *pic)
{
    *pic = (struct pic){0};
    for (int i = 0; i < 2; i++)
        pic->chip[i].imr = 0xFF; /* as firmware leaves it: nothing arrives before set-up */
}

/* Rank of a line: 0 is the most urgent. priority is the line that is most urgent now. */
static unsigned rank(const struct pic_chip *c, unsigned line)
{
    return (line - c->priority) & 7;
}

/* The most urgent line of a mask, or -1. */
static int most_urgent(const struct pic_chip *c, uint8_t mask)
{
    for (unsigned r = 0; mask && r < 8; r++) {
        const unsigned line = (c->priority + r) & 7;
        if (mask >> line & 1)
            return (int)line;
    }
    return -1;
}

/* The line the chip asks its INT output for, or -1. */
static int requesting(const struct pic_chip *c, bool master)
{
    const int line = most_urgent(c, c->irr & (uint8_t)~c->imr);
    if (line < 0 || !c->initialised)
        return -1;
    uint8_t serving = c->isr;
    if (c->special_mask)
        serving &= (uint8_t)~c->imr;
    /* Special fully nested mode: a slave in service may interrupt itself. */
    if (master && c->sfnm && line == CASCADE)
        serving &= (uint8_t) ~(1u << CASCADE);
    const int busy = most_urgent(c, serving);
    return busy < 0 || rank(c, (unsigned)line) < rank(c, (unsigned)busy) ? line : -1;
}

/* After every change: the slave's INT output is the master's line 2, the master's the CPU's INTR.
 */
static void update_outputs(struct pic *pic)
{
    struct pic_chip *m = &pic->chip[0];
    const uint8_t bit = 1u << CASCADE;
    if (requesting(&pic->chip[1], false) >= 0) {
        m->irr |= bit;
        m->lines |= bit;
    } else {
        m->irr &= (uint8_t)~bit;
        m->lines &= (uint8_t)~bit;
    }
    pic->intr = requesting(m, true) >= 0;
}

void pic_set_line(struct pic *pic, unsigned irq, bool level)
{
    struct pic_chip *c = &pic->chip[irq >> 3 & 1];
    const uint8_t bit = (uint8_t)(1u << (irq & 7));
    const bool was = c->lines & bit;
    if (level == was)
        return;
    if (level) {
        c->lines |= bit;
        c->irr |= bit;
    } else {
        c->lines &= (uint8_t)~bit;
        c->irr &= (uint8_t)~bit; /* the input must stay high until INTA ("IR triggering") */
    }
    update_outputs(pic);
}

/* INTA for one chip; returns the line, or -1 when nothing asks any more. */
static int acknowledge(struct pic_chip *c, bool master)
{
    const int line = requesting(c, master);
    if (line < 0)
        return -1;
    const uint8_t bit = (uint8_t)(1u << line);
    if (!(c->elcr & bit))
        c->irr &= (uint8_t)~bit;
    if (!c->auto_eoi)
        c->isr |= bit;
    else if (c->rotate_aeoi)
        c->priority = (uint8_t)(line + 1) & 7;
    return line;
}

/* Both INTA pulses. A request that went away before the first one makes the master answer with its
 * line 7; one that went away before the second makes the slave answer with its own, 15, and then
 * the master's line 2 is in service and wants an EOI. No bit of line 7 is set in service. */
uint8_t pic_ack(struct pic *pic)
{
    struct pic_chip *c = &pic->chip[0];
    int line = acknowledge(c, true);
    if (line == CASCADE) {
        c = &pic->chip[1];
        line = acknowledge(c, false);
    }
    update_outputs(pic);
    return c->vector_base | (uint8_t)(line < 0 ? SPURIOUS : line);
}

/* ICW1. What is on the lines stays; all else is as after power-up, and the mask is open. The chip's
 * own edge/level bit (LTIM) gave way to the ELCR. */
static void begin_init(struct pic_chip *c, uint8_t icw1)
{
    const uint8_t lines = c->lines, elcr = c->elcr;
    *c = (struct pic_chip){.lines = lines, .elcr = elcr};
    c->irr = lines & elcr; /* the edge detectors are cleared */
    c->single = icw1 & ICW1_SINGLE;
    c->need_icw4 = icw1 & ICW1_ICW4;
    c->icw_step = 2;
}

/* The words that follow ICW1 on the data port: 2, then 3 unless single, then 4 if announced. */
static void continue_init(struct pic_chip *c, uint8_t value)
{
    if (c->icw_step == 2) {
        c->vector_base = value & 0xF8;
    } else if (c->icw_step == 4) {
        c->auto_eoi = value & ICW4_AEOI;
        c->sfnm = value & ICW4_SFNM;
    }
    c->icw_step++;
    if (c->icw_step == 3 && c->single)
        c->icw_step++;
    if (c->icw_step == 5 || (c->icw_step == 4 && !c->need_icw4)) {
        c->icw_step = 0;
        c->initialised = true;
    }
}

/* OCW2: its upper three bits, R (rotate), SL (a line is named) and EOI. */
static void ocw2(struct pic_chip *c, uint8_t value)
{
    const bool rotate = value & 0x80, specific = value & 0x40, eoi = value & 0x20;
    int line = value & 7;
    if (!eoi && !specific) {
        c->rotate_aeoi = rotate;
        return;
    }
    if (eoi && !specific) /* the most urgent in service, but in special mask mode no masked one */
        line = most_urgent(c, c->special_mask ? c->isr & (uint8_t)~c->imr : c->isr);
    if (line < 0)
        return;
    if (eoi)
        c->isr &= (uint8_t) ~(1u << line);
    if (rotate) /* the line becomes the least urgent */
        c->priority = (uint8_t)(line + 1) & 7;
}

static void ocw3(struct pic_chip *c, uint8_t value)
{
    if (value & 0x02)
        c->read_isr = value & 0x01;
    if (value & 0x04)
        c->poll = true;
    if (value & 0x40)
        c->special_mask = value & 0x20;
}

static bool is_elcr(uint16_t port)
{
    return (port & ~1u) == 0x4D0;
}

void pic_out(struct pic *pic, uint16_t port, uint8_t value)
{
    if (is_elcr(port)) {
        /* Lines 0, 1, 2, 8 and 13 are edge only. */
        struct pic_chip *c = &pic->chip[port & 1];
        c->elcr = value & (port & 1 ? 0xDE : 0xF8);
        c->irr |= c->lines & c->elcr;
        update_outputs(pic);
        return;
    }
    struct pic_chip *c = &pic->chip[port >> 7 & 1];
    if (port & 1) {
        if (c->icw_step)
            continue_init(c, value);
        else
            c->imr = value;
    } else if (value & ICW1_INIT) {
        begin_init(c, value);
    } else if (value & OCW3) {
        ocw3(c, value);
    } else {
        ocw2(c, value);
    }
    update_outputs(pic);
}

uint8_t pic_in(struct pic *pic, uint16_t port)
{
    if (is_elcr(port))
        return pic->chip[port & 1].elcr;
    const unsigned which = port >> 7 & 1;
    struct pic_chip *c = &pic->chip[which];
    if (c->poll) { /* the next read after a poll command is an INTA */
        c->poll = false;
        const int line = acknowledge(c, which == 0);
        update_outputs(pic);
        return line < 0 ? 0 : (uint8_t)(0x80 | line);
    }
    if (port & 1)
        return c->imr;
    return c->read_isr ? c->isr : c->irr;
}
