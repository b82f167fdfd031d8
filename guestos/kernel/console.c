/*
 * The console: output goes to COM1 and to the VGA text screen, input comes from COM1 and from the
 * keyboard through one line discipline. (NS16550A data sheet; IBM VGA and PS/2 technical
 * references.) A virtio console takes the place of COM1 once it is found, but not when the kernel
 * panics: the serial port needs nothing but itself.
 */
#include "kernel.h"
#include "sensitive.h"

#define COM1 0x3F8
#define LSR 5
#define LSR_DATA 0x01
#define LSR_EMPTY 0x20
#define PATIENCE 1000000u /* polls before a character is given up: the port may not exist */

#define COLUMNS 80
#define ROWS 25
#define ATTRIBUTE 0x0700u
static volatile uint16_t *const screen = (uint16_t *)(KERNEL_BASE + 0xB8000);
static unsigned cursor;
static bool have_serial, plain;

static void serial_init(void)
{
    port_out8(COM1 + 7, 0x5A);
    have_serial = port_in8(COM1 + 7) == 0x5A;
    if (!have_serial)
        return;
    port_out8(COM1 + 1, 0);
    port_out8(COM1 + 3, 0x80);
    port_out8(COM1 + 0, 1); /* 115200 baud */
    port_out8(COM1 + 1, 0);
    port_out8(COM1 + 3, 0x03);
    port_out8(COM1 + 2, 0x07);
    port_out8(COM1 + 4, 0x0B);
}

static void serial_put(char c)
{
    if (!have_serial)
        return;
    for (uint32_t i = 0; i < PATIENCE && !(port_in8(COM1 + LSR) & LSR_EMPTY); i++)
        ;
    port_out8(COM1, (uint8_t)c);
}

static void move_cursor(void)
{
    port_out8(0x3D4, 0x0E);
    port_out8(0x3D5, (uint8_t)(cursor >> 8));
    port_out8(0x3D4, 0x0F);
    port_out8(0x3D5, (uint8_t)cursor);
}

static void scroll(void)
{
    for (unsigned i = 0; i < COLUMNS * (ROWS - 1); i++)
        screen[i] = screen[i + COLUMNS];
    for (unsigned i = COLUMNS * (ROWS - 1); i < COLUMNS * ROWS; i++)
        screen[i] = ATTRIBUTE | ' ';
    cursor -= COLUMNS;
}

static void screen_put(char c)
{
    if (c == '\n')
        cursor += COLUMNS - cursor % COLUMNS;
    else if (c == '\r')
        cursor -= cursor % COLUMNS;
    else if (c == '\b' && cursor)
        cursor--;
    else if (c >= ' ')
        screen[cursor++] = (uint16_t)(ATTRIBUTE | (uint8_t)c);
    if (cursor >= COLUMNS * ROWS)
        scroll();
}

/* Whoever reads the other end sees one console. */
static void line_put(char c)
{
    if (plain || !virtio_console_put(c))
        serial_put(c);
}

void console_put(char c)
{
    if (c == '\n')
        line_put('\r');
    line_put(c);
    screen_put(c);
}

/* What was put is to be seen now. */
static void show(void)
{
    virtio_console_flush();
    move_cursor();
}

void console_write(const char *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        console_put(s[i]);
    show();
}

/* Input: a ring of finished bytes, and the line being edited behind it. */
#define RING 256
static char ring[RING];
static uint32_t read_at, line_start, edit_at; /* read_at <= line_start <= edit_at */

#define CTRL(c) ((c) - '@')

static void echo(const char *s)
{
    console_write(s, strlen(s));
}

int console_group;

void console_input(char c)
{
    if (c == '\r')
        c = '\n';
    if (c == CTRL('C')) { /* the line is given up, and who runs in the foreground */
        edit_at = line_start;
        echo("^C");
        c = '\n';
        if (console_group) {
            process_kill_group(console_group);
            console_write(&c, 1);
            return;
        }
    }
    if (c == '\b' || c == 0x7F) {
        if (edit_at > line_start) {
            edit_at--;
            echo("\b \b");
        }
        return;
    }
    if (c == CTRL('U')) {
        while (edit_at > line_start) {
            edit_at--;
            echo("\b \b");
        }
        return;
    }
    if (c != '\n' && c != CTRL('D') && (c < ' ' || edit_at - read_at >= RING - 1))
        return; /* the last place is kept for the end of the line */
    if (edit_at - read_at >= RING)
        return;
    ring[edit_at++ % RING] = c;
    if (c != CTRL('D'))
        console_write(&c, 1);
    if (c == '\n' || c == CTRL('D')) {
        line_start = edit_at;
        wakeup(&line_start);
    }
}

void serial_interrupt(void)
{
    while (have_serial && port_in8(COM1 + LSR) & LSR_DATA)
        console_input((char)port_in8(COM1));
}

/* Set 1 scancodes of the US keyboard: plain, then shifted. */
static const char keys[2][58] = {
    "\0\0331234567890-=\b\tqwertyuiop[]\n\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ",
    "\0\033!@#$%^&*()_+\b\tQWERTYUIOP{}\n\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ",
};

#define KEYBOARD_BURST 16 /* bytes taken at once: a controller that is not there never ends */

void keyboard_interrupt(void)
{
    static bool shift, control;
    for (int i = 0; i < KEYBOARD_BURST && (port_in8(0x64) & 1); i++) {
        const uint8_t code = port_in8(0x60), key = code & 0x7F;
        const bool down = !(code & 0x80);
        if (key == 0x2A || key == 0x36)
            shift = down;
        else if (key == 0x1D)
            control = down;
        else if (down && key < sizeof(keys[0]) && keys[shift][key]) {
            char c = keys[shift][key];
            if (control && c >= 'a' && c <= 'z')
                c = (char)(c - 'a' + 1);
            console_input(c);
        }
    }
}

/* The 8259A takes edges: a request that stood before it was initialised would never be seen. So the
 * keyboard is emptied, and the UART gets permission to interrupt, only now. */
void console_listen(void)
{
    keyboard_interrupt();
    if (have_serial)
        port_out8(COM1 + 1, 0x01);
    virtio_console_init();
}

void console_plain(void)
{
    const bool was = plain;
    plain = true;
    if (!was)
        virtio_console_drain();
}

int console_read(char *buf, uint32_t n)
{
    uint32_t i = 0;
    while (read_at == line_start) {
        if (current->killed)
            return E_INTR;
        sleep_on(&line_start);
    }
    while (i < n && read_at < line_start) {
        const char c = ring[read_at % RING];
        if (c == CTRL('D')) {
            if (!i)
                read_at++;
            break;
        }
        buf[i++] = c;
        read_at++;
        if (c == '\n')
            break;
    }
    return (int)i;
}

static void print_number(uint32_t v, unsigned base, int width, char pad, bool negative)
{
    char digits[12];
    int n = 0;
    do {
        digits[n++] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    if (negative)
        digits[n++] = '-';
    for (int i = n; i < width; i++)
        console_put(pad);
    while (n)
        console_put(digits[--n]);
}

/* %d %u %x %s %c, with a width and zero padding. */
void kvprintf(const char *fmt, va_list ap)
{
    for (; *fmt; fmt++) {
        if (*fmt != '%') {
            console_put(*fmt);
            continue;
        }
        char pad = *++fmt == '0' ? '0' : ' ';
        int width = 0;
        while (*fmt >= '0' && *fmt <= '9')
            width = width * 10 + (*fmt++ - '0');
        if (*fmt == 'd') {
            const int v = va_arg(ap, int);
            print_number(v < 0 ? -(uint32_t)v : (uint32_t)v, 10, width, pad, v < 0);
        } else if (*fmt == 'u' || *fmt == 'x') {
            print_number(va_arg(ap, uint32_t), *fmt == 'u' ? 10 : 16, width, pad, false);
        } else if (*fmt == 's') {
            for (const char *s = va_arg(ap, const char *); *s; s++)
                console_put(*s);
        } else if (*fmt == 'c') {
            console_put((char)va_arg(ap, int));
        } else {
            console_put(*fmt);
        }
    }
    show();
}

void kprintf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    kvprintf(fmt, ap);
    va_end(ap);
}

void console_init(void)
{
    serial_init();
    for (unsigned i = 0; i < COLUMNS * ROWS; i++)
        screen[i] = ATTRIBUTE | ' ';
    cursor = 0;
}
