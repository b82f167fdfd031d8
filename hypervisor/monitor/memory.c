/* Guest memory by linear address, and the guest's stack. Looking changes nothing. */
#include "gmem.h"
#include "monitor.h"
#include "vmm.h"
#include "words.h"
#include "x86.h"

#define DUMP_MAX 1024u /* units */
#define LINE_BYTES 16u

/* A byte at gva; false: the guest maps nothing there. */
static bool peek(struct vcpu *vcpu, gva_t gva, void *to, uint32_t n)
{
    struct event ignored;
    return guest_read(vcpu, gva, to, n, ACCESS_READ | ACCESS_PEEK, &ignored);
}

/* One line: n bytes in units of `unit`. */
static bool dump_line(struct vm *vm, struct sink *sink, gva_t gva, unsigned n, unsigned unit)
{
    uint8_t bytes[LINE_BYTES];
    char hex[64], text[LINE_BYTES + 1];
    unsigned at = 0;
    if (!peek(&vm->vcpu, gva, bytes, n)) {
        say(sink, "%08x  the guest maps nothing there (a read page fault)", gva);
        return false;
    }
    for (unsigned i = 0; i < n; i += unit) {
        uint32_t value = 0;
        __builtin_memcpy(&value, bytes + i, unit);
        at += (unsigned)ksnprintf(hex + at, sizeof(hex) - at,
                                  unit == 1   ? " %02x"
                                  : unit == 2 ? " %04x"
                                              : " %08x",
                                  value);
    }
    for (unsigned i = 0; i < n; i++)
        text[i] = bytes[i] >= ' ' && bytes[i] < 0x7F ? (char)bytes[i] : '.';
    text[n] = 0;
    say(sink, "%08x %-48s  %s", gva, hex, text);
    return true;
}

/* "/16b": how many, and in units of what. */
static bool parse_format(struct sink *sink, const char *text, uint32_t *count, unsigned *unit)
{
    uint32_t n = 0;
    const char *c = text + 1;
    for (; *c >= '0' && *c <= '9' && n <= DUMP_MAX; c++)
        n = n * 10 + (uint32_t)(*c - '0');
    if (*text == '/' && (c == text + 1 || n))
        *count = c == text + 1 ? *count : n;
    else
        n = DUMP_MAX + 1;
    *unit = *c == 'b' ? 1 : *c == 'w' ? 2 : 4;
    if (n > DUMP_MAX || (*c && ((*c != 'b' && *c != 'w' && *c != 'd') || c[1]))) {
        say(sink, "'%s': a format is /N, N from 1 to %u, and b, w or d: /16b", text, DUMP_MAX);
        return false;
    }
    return true;
}

bool command_x(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    uint32_t count = 16;
    unsigned unit = 4;
    gva_t gva;
    if ((argc > 2 && !parse_format(sink, argv[1], &count, &unit)) ||
        !parse_address(vm, sink, argv[argc - 1], &gva))
        return false;
    for (uint32_t left = count * unit; left;) {
        const uint32_t n = left < LINE_BYTES ? left : LINE_BYTES;
        if (!dump_line(vm, sink, gva, n, unit))
            return false;
        gva += n;
        left -= n;
    }
    return true;
}

static void say_frame(struct vm *vm, struct sink *sink, unsigned depth, gva_t eip, uint32_t ebp)
{
    char place[80];
    say(sink, "#%u  %08x  %-32s ebp %08x", depth, eip, place_of(vm, eip, place, sizeof(place)),
        ebp);
}

#define FRAMES_MAX 32

/* Each frame begins with the caller's EBP, and behind it is the address to return to. Frames of
 * callers are higher; whatever the guest has there, that ends it. */
bool command_stack(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    const struct vcpu *v = &vm->vcpu;
    uint32_t ebp = v->gpr[GPR_EBP], frame[2];
    (void)argc;
    (void)argv;
    say_frame(vm, sink, 0, pc_of(v), ebp);
    for (unsigned depth = 1; depth < FRAMES_MAX; depth++) {
        if (!peek(&vm->vcpu, v->seg[SREG_SS].base + ebp, frame, sizeof(frame)) || !frame[1])
            break;
        say_frame(vm, sink, depth, frame[1], frame[0]);
        if (frame[0] <= ebp)
            break;
        ebp = frame[0];
    }
    return true;
}
