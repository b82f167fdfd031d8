/*
 * Traces: every exit of a guest with time, reason, address and duration. `trace=on` of the VMM's
 * options starts one with the guest, trace_start() at any time.
 *
 * A record is begun where the guest is left and ended where it is entered again, by the mode's own
 * assembly: so exits that short ways finish are in it like all others. Who the exit was is known in
 * between. While no trace is made nothing of this runs: a mode exchanges its gates, its world
 * switch or the ends of its short ways when trace() is called (mode.h).
 *
 * Records are collected in memory and sent to port 0xE9 when it is full, or with trace=drop counted
 * and forgotten from then on.
 */
#ifndef TRIVISOR_TRACE_H
#define TRIVISOR_TRACE_H

#include "trace_format.h"
#include "vm.h"

/* Read trace=on|off|drop. Sets *on; returns NULL, or a sentence when the word is none of them. */
const char *trace_options(const char *options, bool *on);

/*
 * Start tracing the VM, whose mode is attached. Returns NULL, or a sentence why it cannot be. Stop:
 * what was collected is sent, and a record on COM2 ("type":"trace") says how much that was in all
 * since the start. Both may be called wherever the vCPU loop handles exits or input; the loop looks
 * at it before the next entry. Calls that change nothing do no harm. Stop before the mode is
 * detached; after another one is attached, start again.
 */
const char *trace_start(struct vm *vm);
void trace_stop(struct vm *vm);
bool trace_is_on(void);

/* --- for modes --- */

/* The record that is filled: its start, EIP, level and space where the guest was left. */
extern struct trace_record *trace_at;

void trace_end(void); /* trace_at is complete, but for the time: begin the next one */

/* The long way is about to enter the guest. */
static inline void trace_entry(void)
{
    if (trace_at->word & TRACE_KNOWN)
        trace_end();
}
void trace_entry_call(void); /* for assembly */

/* A short way knows the reason (TRACE_SHORT_BITS gives the rest). */
static inline void trace_reason(enum exit_reason reason)
{
    trace_at->word |= (uint32_t)reason << TRACE_REASON_SHIFT;
}

/* --- for the vCPU loop --- */

extern uint32_t trace_guest; /* level and space of the last exit that the loop has seen */

/* The exit begins as the one before it ends: the guest was not entered. What would run is what has
 * run before; the vCPU's segments and CR3 need not be current now. */
void trace_stamp(const struct vcpu *vcpu);

/* run() has come back. What a short way has said about the reason is more than the mode knows. */
static inline void trace_exit(const struct vcpu *vcpu, const struct exit *exit)
{
    trace_entry();
    if (!(trace_at->word & TRACE_STAMPED))
        trace_stamp(vcpu);
    const uint32_t word = trace_at->word;
    trace_guest = word & (TRACE_LEVEL | TRACE_SPACE);
    if (exit->reason == EXIT_NONE && exit->done && (word & TRACE_REASON))
        trace_at->word = word | TRACE_KNOWN;
    else
        trace_at->word = (word & ~TRACE_REASON) | TRACE_KNOWN |
                         (exit->reason == EXIT_NONE ? exit->done : (uint32_t)exit->reason)
                             << TRACE_REASON_SHIFT;
}

/* Something of the VMM's own has taken the time from start until now. */
void trace_slice_add(enum trace_slice slice, uint64_t start);

/* --- for assembly --- */

/* There is no room for another record (trace.inc). trace_full() counts the last one
 * or sends all; the others are its parts. */
extern struct trace_record *trace_limit;
extern bool trace_dropping;
extern uint64_t trace_dropped;
void trace_full(void);
void trace_drain(void);

#endif
