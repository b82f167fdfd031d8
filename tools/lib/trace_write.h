/*
 * What becomes of a trace: a file in the Chrome trace-event format (Perfetto and speedscope read
 * it), folded stacks (flame graphs), tables for people.
 */
#ifndef TOOLS_TRACE_WRITE_H
#define TOOLS_TRACE_WRITE_H

#include <stdio.h>

#include "trace_read.h"
#include "util.h"

struct trace_run {
    const char *guest; /* its name: "minnow" */
    const char *title; /* of the run: "minnow in mode trap on QEMU" */
    uint64_t start;    /* TSC when the trace was started: the zero of all times */
    uint64_t dropped;  /* exits that came after the records */
    struct trace_records records;
    struct trace_symbols symbols;
};

/*
 * The events of a trace in order of time, nested ones after those that contain them: guest
 * stretches, exits, slices. fn gets depth 1 for a slice inside the exit before it.
 */
enum trace_track { TRACK_VMM, TRACK_GUEST }; /* speedscope shows the first one first */
struct trace_event {
    enum trace_track track;
    unsigned depth;
    uint64_t start, end;              /* TSC */
    const struct trace_record *exit;  /* the exit it is, is inside of, or ends with; NULL: none */
    const struct trace_record *slice; /* the slice it is, or NULL */
};
typedef void trace_visitor(void *opaque, const struct trace_event *event);
void trace_walk(const struct trace_run *run, trace_visitor *fn, void *opaque);

/* One microsecond is 1000 ticks there. */
void trace_write_json(struct trace_run *run, FILE *out);

/* "minnow;kernel;symbol;reason ticks": of the VMM's time, without that of nested slices, which are
 * stacks of their own. Sorted. */
void trace_write_folded(struct trace_run *run, FILE *out);

/* Exits by reason and the functions that cost most. */
void trace_write_tables(struct trace_run *run, struct text *out);

/* How many records are exits of that reason. */
uint64_t trace_count(const struct trace_run *run, unsigned reason);

#endif
