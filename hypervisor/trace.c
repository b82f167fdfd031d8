/* Traces: the memory that collects records, and their way to the host. */
#include "trace.h"

#include <string.h>

#include "cpu.h"
#include "host.h"
#include "mode.h"

#define AT(member) offsetof(struct trace_record, member)
_Static_assert(AT(start) == 0 && AT(end) == 8 && AT(eip) == 16 && AT(word) == 20, "trace.inc");
_Static_assert(sizeof(struct trace_record) == 24, "trace.inc");
_Static_assert((int)EXIT_REASON_COUNT <= (int)TRACE_IDLE, "slices have numbers of their own");

/* Both emulators have something there that takes bytes at once: QEMU's -debugcon, Bochs'
 * port_e9_hack. Elsewhere nobody listens. */
#define PORT 0xE9

#define BUFFER_PAGES 256u
#define SPARE 2u /* records behind the limit: the one that is filled, and one for a slice */

struct trace_record *trace_at, *trace_limit;
bool trace_dropping;
uint64_t trace_dropped;
uint32_t trace_guest;

static struct trace_record *buffer;
static bool tracing;
static uint32_t blocks;
static uint64_t sent, slices, dropped_slices, drain_ticks, started; /* since trace_start() */

bool trace_is_on(void)
{
    return tracing;
}

const char *trace_options(const char *options, bool *on)
{
    static char why[80];
    char value[16] = "off";
    option_value(options, "trace", value, sizeof(value));
    trace_dropping = !strcmp(value, "drop");
    *on = trace_dropping || !strcmp(value, "on");
    if (*on || !strcmp(value, "off"))
        return NULL;
    ksnprintf(why, sizeof(why), "trace=%s: choose on, off or drop", value);
    return why;
}

/* --- sending --- */

static void send(void)
{
    const uint32_t bytes = (uint32_t)((uint8_t *)trace_at - (uint8_t *)buffer);
    struct trace_block head = {.magic = TRACE_MAGIC, .number = blocks, .bytes = bytes};
    if (!bytes)
        return;
    outsb(PORT, &head, sizeof(head));
    outsb(PORT, buffer, bytes);
    blocks++;
    sent += bytes / sizeof(*buffer);
}

/* Send all whole records. What is filled is moved to the front, behind a record of the time that it
 * took. */
void trace_drain(void)
{
    const uint64_t start = rdtsc();
    const struct trace_record filled = *trace_at;
    send();
    buffer[0] = (struct trace_record){.start = start,
                                      .word = TRACE_STAMPED | TRACE_KNOWN |
                                              (uint32_t)TRACE_DRAIN << TRACE_REASON_SHIFT};
    buffer[1] = filled;
    trace_at = &buffer[1];
    slices++;
    buffer[0].end = rdtsc();
    drain_ticks += buffer[0].end - start;
}

void trace_full(void)
{
    if (trace_dropping) {
        trace_dropped++;
    } else {
        trace_at++;
        trace_at->word = 0;
        trace_drain();
    }
    trace_at->word = 0;
}

/* --- recording --- */

void trace_end(void)
{
    trace_at->end = rdtsc();
    if (trace_at + 1 >= trace_limit) {
        trace_full();
        return;
    }
    trace_at++;
    trace_at->word = 0;
}

void trace_entry_call(void)
{
    trace_entry();
}

void trace_stamp(const struct vcpu *vcpu)
{
    trace_at->start = rdtsc();
    trace_at->eip = vcpu->eip;
    trace_at->word = TRACE_STAMPED | trace_guest;
}

void trace_slice_add(enum trace_slice slice, uint64_t start)
{
    const struct trace_record filled = *trace_at;
    if (trace_at + 1 >= trace_limit) {
        if (trace_dropping) {
            dropped_slices++;
            return;
        }
        trace_drain();
    }
    *trace_at++ = (struct trace_record){.start = start,
                                        .end = rdtsc(),
                                        .word = TRACE_STAMPED | TRACE_KNOWN |
                                                (uint32_t)slice << TRACE_REASON_SHIFT};
    *trace_at = filled;
    slices++;
}

/* --- on and off --- */

static const char *open_buffer(void)
{
    const uint32_t room = BUFFER_PAGES * PAGE_SIZE / sizeof(*buffer);
    buffer = pages_alloc(BUFFER_PAGES, PAGE_SIZE);
    if (!buffer)
        return "too little memory for a trace";
    trace_at = buffer;
    trace_limit = buffer + room - SPARE;
    return NULL;
}

const char *trace_start(struct vm *vm)
{
    if (tracing)
        return NULL;
    const char *why = open_buffer();
    if (why)
        return why;
    trace_guest = TRACE_KERNEL;
    sent = slices = trace_dropped = dropped_slices = drain_ticks = 0;
    tracing = true;
    vm->stopped = true; /* another loop from now on */
    vm->vcpu.mode->trace(&vm->vcpu, true);
    started = rdtsc();
    return NULL;
}

void trace_stop(struct vm *vm)
{
    if (!tracing)
        return;
    trace_entry();
    const uint64_t stopped = rdtsc();
    vm->vcpu.mode->trace(&vm->vcpu, false);
    tracing = false;
    vm->stopped = true;
    send();
    pages_free(buffer, BUFFER_PAGES);
    record("{\"type\":\"trace\",\"start\":%llu,\"stop\":%llu,\"exits\":%llu,\"slices\":%llu,"
           "\"dropped\":%llu,\"dropped_slices\":%llu,\"blocks\":%u,\"drain_ticks\":%llu}",
           started, stopped, sent - slices, slices, trace_dropped, dropped_slices, blocks,
           drain_ticks);
}
