/* Formatting for sinks; see sink.h. Pure code. */
#include "sink.h"

#include <stdarg.h>

#include "vmm.h"

#define DATA_MAX 1600

void say(struct sink *sink, const char *fmt, ...)
{
    char text[SAY_MAX];
    va_list ap;
    va_start(ap, fmt);
    kvsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    sink->line(sink, text);
}

void say_data(struct sink *sink, const char *fmt, ...)
{
    static char members[DATA_MAX];
    va_list ap;
    if (!sink->data)
        return;
    va_start(ap, fmt);
    kvsnprintf(members, sizeof(members), fmt, ap);
    va_end(ap);
    sink->data(sink, members);
}
