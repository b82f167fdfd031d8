/* The line editor; see line.h. */
#include "line.h"

#include <string.h>

#define CTRL(c) ((c)&0x1F)
#define ESC 0x1B
#define DEL 0x7F

void line_init(struct line *line, void (*echo)(const char *text))
{
    memset(line, 0, sizeof(*line));
    line->echo = echo;
    line->terminal = echo;
}

static void show(const struct line *line, const char *text)
{
    if (line->echo)
        line->echo(text);
}

static void rub_out(struct line *line)
{
    if (!line->length)
        return;
    line->text[--line->length] = 0;
    show(line, "\b \b");
}

static void rub_out_all(struct line *line)
{
    while (line->length)
        rub_out(line);
}

static void rub_out_word(struct line *line)
{
    while (line->length && line->text[line->length - 1] == ' ')
        rub_out(line);
    while (line->length && line->text[line->length - 1] != ' ')
        rub_out(line);
}

static void add_byte(struct line *line, char byte)
{
    const char text[2] = {byte, 0};
    if (line->length + 1 >= LINE_SIZE) {
        line->overlong = true;
        show(line, "\a");
        return;
    }
    line->text[line->length++] = byte;
    line->text[line->length] = 0;
    show(line, text);
}

void line_add(struct line *line, const char *text)
{
    while (*text && line->length + 1 < LINE_SIZE)
        add_byte(line, *text++);
}

void line_clear(struct line *line)
{
    const bool same = line->remembered && !strcmp(line->history[line->newest], line->text);
    if (line->terminal && line->length && !same) {
        line->newest = (line->newest + 1) % LINE_HISTORY;
        memcpy(line->history[line->newest], line->text, sizeof(line->text));
        if (line->remembered < LINE_HISTORY)
            line->remembered++;
    }
    line->length = 0;
    line->text[0] = 0;
    line->overlong = false;
    line->back = 0;
}

/* Show the line that is `back` lines above, or an empty one. */
static void recall(struct line *line, unsigned back)
{
    if (back > line->remembered)
        return;
    rub_out_all(line);
    line->overlong = false;
    line->back = back;
    if (back)
        line_add(line, line->history[(line->newest + LINE_HISTORY - (back - 1)) % LINE_HISTORY]);
}

static void up(struct line *line)
{
    recall(line, line->back + 1);
}

static void down(struct line *line)
{
    if (line->back)
        recall(line, line->back - 1);
}

static enum line_event ended(struct line *line)
{
    show(line, "\n");
    if (!line->overlong)
        return LINE_READY;
    line->length = 0; /* what there is of it is not worth remembering */
    line_clear(line);
    return LINE_TOO_LONG;
}

/* ESC, '[', parameters, and a final byte from '@' up (ECMA-48 section 5.4). True: taken. */
static bool escape_sequence(struct line *line, uint8_t byte)
{
    if (!line->escape && byte != ESC)
        return false;
    if (byte == ESC || (line->escape == ESC && byte == '[')) {
        line->escape = byte;
        return true;
    }
    if (line->escape == '[' && byte >= ' ' && byte < '@')
        return true;
    if (line->escape == '[' && (byte == 'A' || byte == 'B'))
        (byte == 'A' ? up : down)(line);
    const bool taken = byte >= ' '; /* a control character ends it and counts for itself */
    line->escape = 0;
    return taken;
}

static enum line_event edit(struct line *line, uint8_t byte)
{
    switch (byte) {
    case '\b':
    case DEL:
        rub_out(line);
        break;
    case CTRL('U'):
        rub_out_all(line);
        line->overlong = false;
        break;
    case CTRL('W'):
        rub_out_word(line);
        break;
    case CTRL('P'):
        up(line);
        break;
    case CTRL('N'):
        down(line);
        break;
    case CTRL('C'):
        show(line, "^C\n");
        line->length = 0;
        line_clear(line);
        return LINE_GIVEN_UP;
    case '\t':
        return LINE_TAB;
    case LINE_ESCAPE:
        return LINE_QUOTED;
    }
    return LINE_MORE;
}

enum line_event line_byte(struct line *line, uint8_t byte)
{
    const uint8_t last = line->last;
    line->last = byte;
    if (byte == '\n' && last == '\r')
        return LINE_MORE; /* one end of a line, not two */
    if (byte == '\r' || byte == '\n') {
        line->escape = 0;
        return ended(line);
    }
    if (line->terminal && escape_sequence(line, byte))
        return LINE_MORE;
    if (byte >= ' ' && byte < DEL)
        add_byte(line, (char)byte);
    else if (line->terminal)
        return edit(line, byte);
    else
        line->overlong = true; /* no program sends these: the line is damaged */
    return LINE_MORE;
}
