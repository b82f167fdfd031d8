/*
 * A line editor for a terminal at the end of a serial line: Backspace, Ctrl-U, Ctrl-W, Ctrl-C, the
 * lines before this one (arrows up and down, Ctrl-P, Ctrl-N). The cursor is always at the end. Pure
 * code: whatever bytes come, nothing is written outside of the buffer.
 */
#ifndef TRIVISOR_LINE_H
#define TRIVISOR_LINE_H

#include "types.h"

#define LINE_SIZE 200u    /* with the final NUL */
#define LINE_HISTORY 8u   /* lines that are remembered */
#define LINE_ESCAPE 0x1Du /* Ctrl-]: opens the monitor */

struct line {
    char text[LINE_SIZE];
    unsigned length;
    bool overlong; /* bytes were lost: the line will not be used */
    uint8_t escape, last;
    bool terminal; /* somebody types: echo, edit, remember */
    void (*echo)(const char *text);
    char history[LINE_HISTORY][LINE_SIZE];
    unsigned newest, remembered, back; /* back: how far up the person is, 0: at the line itself */
};

enum line_event {
    LINE_MORE,     /* nothing to do yet */
    LINE_READY,    /* text holds a line, NUL-terminated; call line_clear() when done with it */
    LINE_TOO_LONG, /* a line ended that had no room: it is dropped */
    LINE_TAB,      /* the person wants the word completed */
    LINE_QUOTED,   /* LINE_ESCAPE: meant for the guest */
    LINE_GIVEN_UP, /* Ctrl-C: the line is empty again */
};

/* echo: shows text to the person; NULL: the other end is a program, which gets no echo and has no
 * use for editing. */
void line_init(struct line *line, void (*echo)(const char *text));

/* The next byte from the other end. */
enum line_event line_byte(struct line *line, uint8_t byte);

/* Type something for the person; what has no room is left out. */
void line_add(struct line *line, const char *text);

/* Start anew; the line that was is remembered. */
void line_clear(struct line *line);

#endif
