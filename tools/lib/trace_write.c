#include "trace_write.h"

#include <stdlib.h>
#include <string.h>

/* --- order --- */

static void slice_event(trace_visitor *fn, void *opaque, const struct trace_record *slice,
                        const struct trace_record *exit)
{
    fn(opaque, &(struct trace_event){.track = TRACK_VMM,
                                     .depth = exit != NULL,
                                     .start = slice->start,
                                     .end = slice->end,
                                     .exit = exit,
                                     .slice = slice});
}

/*
 * Slices are recorded before the exit that they are inside of. One between two exits has the VMM on
 * both sides of it, but for the guest's stretch that follows. first..end: slices, then an exit or
 * the end of the trace. Returns where the guest went on before that exit.
 */
static uint64_t slices_before(const struct trace_record *first, const struct trace_record *end,
                              uint64_t exit_start, uint64_t guest, trace_visitor *fn, void *opaque)
{
    for (const struct trace_record *s = first; s < end; s++) {
        if (s->start >= exit_start)
            continue;
        slice_event(fn, opaque, s, NULL);
        guest = s->end;
    }
    return guest;
}

void trace_walk(const struct trace_run *run, trace_visitor *fn, void *opaque)
{
    const struct trace_record *r = run->records.record, *end = r + run->records.count;
    uint64_t guest = run->start; /* since then the guest has run */
    while (r < end) {
        const struct trace_record *first = r;
        while (r < end && trace_is_slice(r))
            r++;
        guest = slices_before(first, r, r < end ? r->start : UINT64_MAX, guest, fn, opaque);
        if (r == end)
            return;
        if (r->start > guest)
            fn(opaque, &(struct trace_event){
                           .track = TRACK_GUEST, .start = guest, .end = r->start, .exit = r});
        fn(opaque,
           &(struct trace_event){.track = TRACK_VMM, .start = r->start, .end = r->end, .exit = r});
        for (const struct trace_record *s = first; s < r; s++) {
            if (s->start >= r->start)
                slice_event(fn, opaque, s, r);
        }
        guest = r->end;
        r++;
    }
}

uint64_t trace_count(const struct trace_run *run, unsigned reason)
{
    uint64_t n = 0;
    for (size_t i = 0; i < run->records.count; i++)
        n += trace_reason_of(&run->records.record[i]) == reason;
    return n;
}

/* --- the Chrome trace-event format --- */

#define PROCESS 1

struct json_writer {
    struct trace_run *run;
    FILE *out;
};

static void json_text(FILE *out, const char *text)
{
    putc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if (*c < ' ' || *c > '~')
            fprintf(out, "\\u%04x", *c);
        else
            putc(*c, out);
    }
    putc('"', out);
}

static void microseconds(FILE *out, const char *key, uint64_t ticks)
{
    fprintf(out, ",\"%s\":%llu.%03llu", key, (unsigned long long)(ticks / 1000),
            (unsigned long long)(ticks % 1000));
}

static void meta(FILE *out, const char *what, int thread, const char *name, const char *comma)
{
    fprintf(out, "{\"ph\":\"M\",\"name\":\"%s\",\"pid\":%d,\"tid\":%d,\"args\":{\"name\":", what,
            PROCESS, thread);
    json_text(out, name);
    fprintf(out, "}}%s\n", comma);
}

static void exit_args(struct json_writer *w, const struct trace_record *exit)
{
    uint32_t offset;
    const char *name = trace_symbol(&w->run->symbols, exit->eip, &offset);
    fprintf(w->out, ",\"args\":{\"eip\":\"0x%08x\",\"symbol\":", exit->eip);
    if (name) {
        char *at = xasprintf("%s+0x%x", name, offset);
        json_text(w->out, at);
        free(at);
    } else {
        json_text(w->out, trace_function(&w->run->symbols, exit));
    }
    fprintf(w->out, ",\"level\":\"%s\",\"space\":\"0x%08x\",\"way\":\"%s\"}",
            trace_level_name(exit), exit->word & TRACE_SPACE,
            exit->word & TRACE_SHORT ? "short" : "long");
}

static void json_event(void *opaque, const struct trace_event *event)
{
    struct json_writer *w = opaque;
    const bool guest = event->track == TRACK_GUEST, slice = event->slice != NULL;
    const char *name = guest   ? trace_level_name(event->exit)
                       : slice ? trace_name(event->slice)
                               : trace_name(event->exit);
    fprintf(w->out, ",\n{\"ph\":\"X\",\"name\":\"%s\",\"cat\":\"%s\",\"pid\":%d,\"tid\":%d", name,
            guest   ? "guest"
            : slice ? "slice"
                    : "exit",
            PROCESS, event->track + 1);
    microseconds(w->out, "ts", event->start - w->run->start);
    microseconds(w->out, "dur", event->end - event->start);
    if (!guest && !slice)
        exit_args(w, event->exit);
    fputs("}", w->out);
}

static uint64_t last_end(const struct trace_run *run)
{
    return run->records.count ? run->records.record[run->records.count - 1].end : run->start;
}

void trace_write_json(struct trace_run *run, FILE *out)
{
    struct json_writer w = {run, out};
    fprintf(out, "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"unit\":\"1000 ticks are 1 us\","
                 "\"title\":");
    json_text(out, run->title);
    fprintf(out, "},\"traceEvents\":[\n");
    meta(out, "process_name", 0, run->title, ",");
    meta(out, "thread_name", TRACK_VMM + 1, "VMM", ",");
    meta(out, "thread_name", TRACK_GUEST + 1, run->guest, "");
    trace_walk(run, json_event, &w);
    if (run->dropped) {
        fprintf(
            out,
            ",\n{\"ph\":\"i\",\"name\":\"%llu exits dropped\",\"s\":\"g\",\"pid\":%d,\"tid\":%d",
            (unsigned long long)run->dropped, PROCESS, TRACK_VMM + 1);
        microseconds(out, "ts", last_end(run) - run->start);
        fprintf(out, ",\"args\":{\"exits\":%llu}}", (unsigned long long)run->dropped);
    }
    fprintf(out, "\n]}\n");
}
