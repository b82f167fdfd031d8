/*
 * Where the answers of the monitor go, line by line: to a person at the console, or to a program
 * that reads records. Whoever has something to show (a mode, a device) only says lines.
 */
#ifndef TRIVISOR_SINK_H
#define TRIVISOR_SINK_H

#include "types.h"

struct sink {
    /* One line of text, without its end. */
    void (*line)(struct sink *sink, const char *text);
    /* The same facts for programs: members of a JSON object. NULL: nobody wants them. */
    void (*data)(struct sink *sink, const char *members);
};

#define SAY_MAX 256 /* longer lines are cut */

/* A line, printf-like (print.c). */
void say(struct sink *sink, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Members of a JSON object, printf-like: "\"eip\":4096". Not text that a guest could have made. */
void say_data(struct sink *sink, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
