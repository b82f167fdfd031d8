#include "trace_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exit_names.h"
#include "multiboot.h"
#include "util.h"

#define BLOCK_MAX (64u << 20) /* far more than the VMM collects */
#define FIRST_SLOTS 4096u

/* --- blocks --- */

static char *take_block(struct trace_records *trace, const struct trace_block *head,
                        const char *bytes, size_t left)
{
    const size_t count = head->bytes / sizeof(*trace->record);
    if (head->number != trace->blocks)
        return xasprintf("block %u of the trace follows block %d: there are gaps in it",
                         head->number, (int)trace->blocks - 1);
    if (head->bytes % sizeof(*trace->record) || !head->bytes || head->bytes > BLOCK_MAX)
        return xasprintf("block %u of the trace has %u bytes, which are no records", head->number,
                         head->bytes);
    if (head->bytes > left)
        return xasprintf("the trace is cut off in block %u", head->number);
    trace->record = xrealloc(trace->record, (trace->count + count) * sizeof(*trace->record));
    memcpy(trace->record + trace->count, bytes, head->bytes);
    trace->count += count;
    trace->blocks++;
    return NULL;
}

char *trace_read(struct trace_records *trace, const char *bytes, size_t size)
{
    const size_t magic = sizeof(((struct trace_block *)0)->magic);
    const char *end = bytes + size, *at = bytes;
    *trace = (struct trace_records){0};
    while ((at = memmem(at, (size_t)(end - at), TRACE_MAGIC, magic))) {
        struct trace_block head;
        if ((size_t)(end - at) < sizeof(head))
            return xasprintf("the trace is cut off in the head of block %u", trace->blocks);
        memcpy(&head, at, sizeof(head));
        at += sizeof(head);
        char *error = take_block(trace, &head, at, (size_t)(end - at));
        if (error)
            return error;
        at += head.bytes;
    }
    return NULL;
}

void trace_free(struct trace_records *trace)
{
    free(trace->record);
    *trace = (struct trace_records){0};
}

/* --- names --- */

const char *trace_name(const struct trace_record *r)
{
    const unsigned reason = trace_reason_of(r);
    if (reason == TRACE_IDLE)
        return "idle";
    if (reason == TRACE_DRAIN)
        return "drain";
    return reason < EXIT_REASON_COUNT ? exit_names[reason] : "?";
}

const char *trace_level_name(const struct trace_record *r)
{
    static const char *const names[] = {"?", "kernel", "program", "?"};
    return names[r->word & TRACE_LEVEL];
}

/* --- symbols --- */

char *trace_symbols_open(struct trace_symbols *symbols, const char *path)
{
    *symbols = (struct trace_symbols){.slots = FIRST_SLOTS};
    symbols->bytes = read_file(path, &symbols->size);
    if (!symbols->bytes)
        return xasprintf("cannot read %s: %s", path, strerror(errno));
    symbols->slot = calloc(symbols->slots, sizeof(*symbols->slot));
    return NULL;
}

void trace_symbols_close(struct trace_symbols *symbols)
{
    free(symbols->bytes);
    free(symbols->slot);
    *symbols = (struct trace_symbols){0};
}

static struct trace_symbol *slot_of(const struct trace_symbols *symbols, uint32_t eip)
{
    size_t i = (eip * 2654435761u >> 7) % symbols->slots;
    while (symbols->slot[i].used && symbols->slot[i].eip != eip)
        i = (i + 1) % symbols->slots;
    return &symbols->slot[i];
}

static void grow(struct trace_symbols *symbols)
{
    struct trace_symbols bigger = *symbols;
    bigger.slots *= 2;
    bigger.slot = calloc(bigger.slots, sizeof(*bigger.slot));
    for (size_t i = 0; i < symbols->slots; i++) {
        if (symbols->slot[i].used)
            *slot_of(&bigger, symbols->slot[i].eip) = symbols->slot[i];
    }
    free(symbols->slot);
    *symbols = bigger;
}

const char *trace_symbol(struct trace_symbols *symbols, uint32_t eip, uint32_t *offset)
{
    struct trace_symbol *s = slot_of(symbols, eip);
    if (!s->used) {
        if (++symbols->used * 2 > symbols->slots) {
            grow(symbols);
            s = slot_of(symbols, eip);
        }
        *s = (struct trace_symbol){.eip = eip, .used = true};
        s->name = elf_symbol(symbols->bytes, (uint32_t)symbols->size, eip, &s->offset);
    }
    *offset = s->offset;
    return s->name;
}

const char *trace_function(struct trace_symbols *symbols, const struct trace_record *r)
{
    uint32_t offset;
    const char *name = trace_symbol(symbols, r->eip, &offset);
    if (name)
        return name;
    return (r->word & TRACE_LEVEL) == TRACE_PROGRAM ? "program" : "?";
}
