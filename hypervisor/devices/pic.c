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

/* The slave's INT output is the master's line 2. */
static void update_cascade(struct pic *pic)
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
}

void pic_set_line(struct pic *pic, unsigned irq, bool level)
{
    struct pic_chip *c = &pic->chip[irq >> 3 & 1];
    const uint8_t bit = (uint8_t)(1u << (irq & 7));
    const bool was = c->lines & bit, level_triggered = c->elcr & bit;
    if (level) {
        c->lines |= bit;
        if (!was || level_triggered)
            c->irr |= bit;
    } else {
        c->lines &= (uint8_t)~bit;
        c->irr &= (uint8_t)~bit; /* a request that goes away before INTA becomes spurious */
    }
    update_cascade(pic);
}

bool pic_intr(const struct pic *pic)
{
    return requesting(&pic->chip[0], true) >= 0;
}

/* INTA for one chip; returns the line, or -1 for a spurious interrupt. */
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

uint8_t pic_ack(struct pic *pic)
{
    struct pic_chip *m = &pic->chip[0], *s = &pic->chip[1];
    const int line = acknowledge(m, true);
    uint8_t vector;
    if (line == CASCADE) {
        const int slave_line = acknowledge(s, false);
        vector = s->vector_base | (uint8_t)(slave_line < 0 ? SPURIOUS : slave_line);
    } else {
        vector = m->vector_base | (uint8_t)(line < 0 ? SPURIOUS : line);
    }
    update_cascade(pic);
    return vector;
}

static void begin_init(struct pic_chip *c, uint8_t icw1)
{
    const uint8_t lines = c->lines, elcr = c->elcr;
    *c = (struct pic_chip){.lines = lines, .elcr = elcr};
    c->irr = lines & elcr; /* the edge detectors are cleared */
    c->need_icw4 = icw1 & ICW1_ICW4;
    c->icw_step = 2;
}

/* The words that follow ICW1 on the data port. */
static void continue_init(struct pic_chip *c, uint8_t value)
{
    switch (c->icw_step) {
    case 2:
        c->vector_base = value & 0xF8;
        c->icw_step = 3;
        return;
    case 3:
        c->icw_step = c->need_icw4 ? 4 : 0;
        break;
    case 4:
        c->auto_eoi = value & ICW4_AEOI;
        c->sfnm = value & ICW4_SFNM;
        c->icw_step = 0;
        break;
    }
    c->initialised = !c->icw_step;
}

/* OCW2: end of interrupt and rotation. */
static void ocw2(struct pic_chip *c, uint8_t value)
{
    const unsigned command = value >> 5;
    int line = value & 7;
    if (command == 0 || command == 4) { /* rotate in automatic EOI mode: clear, set */
        c->rotate_aeoi = command == 4;
        return;
    }
    if (command == 2)
        return;
    if (command == 6) { /* set priority: line becomes the least urgent */
        c->priority = (uint8_t)(line + 1) & 7;
        return;
    }
    if (command == 1 || command == 5) /* non-specific: what is most urgent in service */
        line = most_urgent(c, c->special_mask ? c->isr & (uint8_t)~c->imr : c->isr);
    if (line < 0)
        return;
    c->isr &= (uint8_t) ~(1u << line);
    if (command == 5 || command == 7)
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
        pic->chip[port & 1].elcr = value & (port & 1 ? 0xDE : 0xF8);
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
    update_cascade(pic);
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
        update_cascade(pic);
        return line < 0 ? 0 : (uint8_t)(0x80 | line);
    }
    if (port & 1)
        return c->imr;
    return c->read_isr ? c->isr : c->irr;
}
