/* Formatted output: to people on COM1, to programs (one JSON object a line) on COM2. */
#include <stdarg.h>
#include <string.h>

#include "host.h"

struct out {
    char *buf;
    unsigned size, len;
};

static void put(struct out *o, char c)
{
    if (o->len + 1 < o->size)
        o->buf[o->len] = c;
    o->len++;
}

static void put_number(struct out *o, uint64_t v, unsigned base, bool negative, int width, char pad)
{
    char digits[24];
    int n = 0;
    do {
        digits[n++] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    if (negative && pad == '0')
        put(o, '-');
    for (int i = n + negative; i < width; i++)
        put(o, pad);
    if (negative && pad != '0')
        put(o, '-');
    while (n)
        put(o, digits[--n]);
}

static void put_string(struct out *o, const char *s, int width)
{
    int n = 0;
    for (s = s ? s : "(null)"; s[n]; n++)
        put(o, s[n]);
    for (; n < width; n++)
        put(o, ' ');
}

static void put_signed(struct out *o, int64_t v, int width, char pad)
{
    put_number(o, v < 0 ? -(uint64_t)v : (uint64_t)v, 10, v < 0, width, pad);
}

int kvsnprintf(char *buf, unsigned size, const char *fmt, va_list ap)
{
    struct out o = {buf, size, 0};
    for (; *fmt; fmt++) {
        if (*fmt != '%') {
            put(&o, *fmt);
            continue;
        }
        char pad = ' ';
        int width = 0, longs = 0;
        fmt++;
        if (*fmt == '-')
            fmt++;
        if (*fmt == '0')
            pad = '0';
        while (*fmt >= '0' && *fmt <= '9')
            width = width * 10 + (*fmt++ - '0');
        while (*fmt == 'l') {
            longs++;
            fmt++;
        }
        switch (*fmt) {
        case 'd':
            put_signed(&o, longs > 1 ? va_arg(ap, int64_t) : va_arg(ap, int), width, pad);
            break;
        case 'u':
        case 'x':
            put_number(&o, longs > 1 ? va_arg(ap, uint64_t) : va_arg(ap, unsigned),
                       *fmt == 'u' ? 10 : 16, false, width, pad);
            break;
        case 'p':
            put_string(&o, "0x", 0);
            put_number(&o, (uint32_t)va_arg(ap, void *), 16, false, 8, '0');
            break;
        case 's':
            put_string(&o, va_arg(ap, const char *), width);
            break;
        case 'c':
            put(&o, (char)va_arg(ap, int));
            break;
        case '%':
            put(&o, '%');
            break;
        default:
            put(&o, '?');
        }
    }
    if (size)
        buf[o.len < size ? o.len : size - 1] = 0;
    return (int)o.len;
}

int ksnprintf(char *buf, unsigned size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = kvsnprintf(buf, size, fmt, ap);
    va_end(ap);
    return n;
}

static void emit(unsigned port, const char *fmt, va_list ap)
{
    static char line[4096];
    kvsnprintf(line, sizeof(line), fmt, ap);
    for (const char *c = line; *c; c++) {
        if (*c == '\n' && port == 0)
            host_serial_put(port, '\r');
        host_serial_put(port, (uint8_t)*c);
    }
}

void kprintf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    emit(0, fmt, ap);
    va_end(ap);
}

void record(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    emit(1, fmt, ap);
    va_end(ap);
    host_serial_put(1, '\n');
}
