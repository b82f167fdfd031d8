/* Reading what the VMM has sent of a trace (trace_format.h), and addresses as symbols. */
#ifndef TOOLS_TRACE_READ_H
#define TOOLS_TRACE_READ_H

#include <stdbool.h>
#include <stddef.h>

#include "trace_format.h"

struct trace_records {
    struct trace_record *record;
    size_t count;
    unsigned blocks;
};

/*
 * All records in bytes, in which other things may lie between the blocks. Returns NULL, or one
 * sentence (allocated) when a block is missing, cut off or no block; what is before it is there
 * then. trace_free() either way.
 */
char *trace_read(struct trace_records *trace, const char *bytes, size_t size);
void trace_free(struct trace_records *trace);

static inline unsigned trace_reason_of(const struct trace_record *r)
{
    return (r->word & TRACE_REASON) >> TRACE_REASON_SHIFT;
}

static inline bool trace_is_slice(const struct trace_record *r)
{
    return trace_reason_of(r) >= TRACE_IDLE;
}

/* "io", "idle", ... */
const char *trace_name(const struct trace_record *r);

/* "kernel", "program" */
const char *trace_level_name(const struct trace_record *r);

/* The functions of the guest kernel's file; each address is looked up once. */
struct trace_symbols {
    char *bytes;
    size_t size;
    struct trace_symbol {
        uint32_t eip, offset;
        bool used;
        const char *name;
    } * slot;
    size_t slots, used;
};

/* Returns NULL, or one sentence (allocated). */
char *trace_symbols_open(struct trace_symbols *symbols, const char *path);
void trace_symbols_close(struct trace_symbols *symbols);

/* The function at EIP, with the distance from its begin; NULL: it is in none of the kernel's. */
const char *trace_symbol(struct trace_symbols *symbols, uint32_t eip, uint32_t *offset);

/* The same for a stack of names: "program" or "?" when it is in none. */
const char *trace_function(struct trace_symbols *symbols, const struct trace_record *r);

#endif
