/* Traces on the host: made-up blocks and records, with all that can be wrong with them. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "exit.h"
#include "lib/trace_write.h"

#define WORD(reason, level)                                                                        \
    (TRACE_STAMPED | TRACE_KNOWN | (uint32_t)(reason) << TRACE_REASON_SHIFT | (level))

static struct trace_record record(uint64_t start, uint64_t end, unsigned reason)
{
    return (struct trace_record){start, end, 0x1000, WORD(reason, TRACE_KERNEL)};
}

static void add_block(struct text *t, uint32_t number, const struct trace_record *r, uint32_t n)
{
    struct trace_block head = {TRACE_MAGIC, number, n * (uint32_t)sizeof(*r)};
    text_add(t, (const char *)&head, sizeof(head));
    text_add(t, (const char *)r, head.bytes);
}

static const struct trace_record three[3] = {
    {10, 20, 0x1000, WORD(EXIT_IO, TRACE_KERNEL)},
    {30, 35, 0x2000, WORD(EXIT_IRET, TRACE_PROGRAM)},
    {40, 41, 0x3000, WORD(EXIT_CPUID, TRACE_KERNEL) | TRACE_SHORT},
};

Test(trace_read, blocks_between_other_output)
{
    struct text t = {0};
    struct trace_records trace;
    text_add(&t, "<bochs:1> TVtrac\n", 17);
    add_block(&t, 0, three, 2);
    text_add(&t, "words\n", 6);
    add_block(&t, 1, three + 2, 1);
    text_add(&t, "the end", 7);
    cr_assert_null(trace_read(&trace, t.text, t.len));
    cr_assert_eq(trace.count, 3);
    cr_assert_eq(trace.blocks, 2);
    cr_assert_arr_eq(trace.record, three, sizeof(three));
    trace_free(&trace);
    text_free(&t);
}

Test(trace_read, nothing_is_no_error)
{
    struct trace_records trace;
    cr_assert_null(trace_read(&trace, "", 0));
    cr_assert_eq(trace.count, 0);
}

static void expect_error(const struct text *t, size_t size, const char *says, size_t records)
{
    struct trace_records trace;
    char *error = trace_read(&trace, t->text, size);
    cr_assert_not_null(error);
    cr_assert(strstr(error, says), "\"%s\" does not say \"%s\"", error, says);
    cr_assert_eq(trace.count, records);
    trace_free(&trace);
    free(error);
}

Test(trace_read, what_is_missing_is_told)
{
    struct text gap = {0}, cut = {0}, odd = {0};
    add_block(&gap, 0, three, 1);
    add_block(&gap, 2, three, 1);
    expect_error(&gap, gap.len, "block 2 of the trace follows block 0", 1);
    add_block(&cut, 0, three, 2);
    add_block(&cut, 1, three, 1);
    expect_error(&cut, cut.len - 1, "cut off in block 1", 2);
    expect_error(&cut, cut.len - sizeof(*three) - 1, "cut off in the head of block 1", 2);
    add_block(&odd, 0, three, 1);
    ((struct trace_block *)odd.text)->bytes = 23;
    expect_error(&odd, odd.len, "23 bytes", 0);
    text_free(&gap);
    text_free(&cut);
    text_free(&odd);
}

/* --- the order of events --- */

struct seen {
    struct trace_event event[16];
    unsigned count;
};

static void see(void *opaque, const struct trace_event *event)
{
    struct seen *seen = opaque;
    seen->event[seen->count++] = *event;
}

static void expect_event(const struct seen *seen, unsigned i, enum trace_track track,
                         unsigned depth, uint64_t start, uint64_t end)
{
    cr_assert_lt(i, seen->count);
    const struct trace_event *e = &seen->event[i];
    cr_assert_eq(e->track, track, "event %u: track", i);
    cr_assert_eq(e->depth, depth, "event %u: depth", i);
    cr_assert(e->start == start && e->end == end, "event %u: %llu to %llu", i,
              (unsigned long long)e->start, (unsigned long long)e->end);
}

/* A drain between exits, one and an idle slice inside an exit, a drain at the end. */
static struct trace_run sliced(struct trace_record *r)
{
    const struct trace_record all[] = {
        record(10, 20, EXIT_IO),     record(22, 30, TRACE_DRAIN), record(60, 70, TRACE_DRAIN),
        record(71, 79, TRACE_IDLE),  record(50, 80, EXIT_HLT),    record(90, 90, EXIT_IO),
        record(91, 95, TRACE_DRAIN),
    };
    memcpy(r, all, sizeof(all));
    return (struct trace_run){
        .guest = "g", .title = "t\"\n", .start = 5, .records = {r, ARRAY_LEN(all), 1}};
}

Test(trace_walk, slices_are_inside_or_between)
{
    struct trace_record r[7];
    struct trace_run run = sliced(r);
    struct seen seen = {0};
    trace_walk(&run, see, &seen);
    expect_event(&seen, 0, TRACK_GUEST, 0, 5, 10);
    expect_event(&seen, 1, TRACK_VMM, 0, 10, 20);
    expect_event(&seen, 2, TRACK_VMM, 0, 22, 30);
    expect_event(&seen, 3, TRACK_GUEST, 0, 30, 50);
    expect_event(&seen, 4, TRACK_VMM, 0, 50, 80);
    expect_event(&seen, 5, TRACK_VMM, 1, 60, 70);
    expect_event(&seen, 6, TRACK_VMM, 1, 71, 79);
    expect_event(&seen, 7, TRACK_GUEST, 0, 80, 90);
    expect_event(&seen, 8, TRACK_VMM, 0, 90, 90);
    expect_event(&seen, 9, TRACK_VMM, 0, 91, 95);
    cr_assert_eq(seen.count, 10);
}

/* --- files; no address is in the empty kernel --- */

static char *written(struct trace_run *run, void (*fn)(struct trace_run *, FILE *))
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    run->symbols =
        (struct trace_symbols){.slots = 64, .slot = calloc(64, sizeof(*run->symbols.slot))};
    fn(run, f);
    fclose(f);
    trace_symbols_close(&run->symbols);
    return text;
}

Test(trace_write, folded_stacks_have_self_time)
{
    struct trace_record r[7];
    struct trace_run run = sliced(r);
    char *text = written(&run, trace_write_folded);
    cr_assert_str_eq(text, "VMM;drain 12\n"
                           "g;kernel;?;hlt 12\n"
                           "g;kernel;?;hlt;drain 10\n"
                           "g;kernel;?;hlt;idle 8\n"
                           "g;kernel;?;io 10\n");
    free(text);
}

Test(trace_write, json_is_in_microseconds_and_escaped)
{
    struct trace_record r[1] = {record(6005, 7006, EXIT_IO)};
    struct trace_run run = {
        .guest = "g", .title = "t\"\n", .start = 5, .dropped = 9, .records = {r, 1, 1}};
    char *text = written(&run, trace_write_json);
    cr_assert(strstr(text, "\"title\":\"t\\\"\\u000a\""));
    cr_assert(strstr(text, "\"name\":\"io\",\"cat\":\"exit\",\"pid\":1,\"tid\":1,\"ts\":6.000,"
                           "\"dur\":1.001,\"args\":{\"eip\":\"0x00001000\""));
    cr_assert(strstr(text, "\"name\":\"kernel\",\"cat\":\"guest\",\"pid\":1,\"tid\":2,"
                           "\"ts\":0.000,\"dur\":6.000}"));
    cr_assert(strstr(text, "\"ph\":\"i\",\"name\":\"9 exits dropped\""));
    cr_assert(strstr(text, "\"ts\":7.001,\"args\":{\"exits\":9}"));
    free(text);
}

Test(trace_write, tables_count_and_have_the_median)
{
    struct trace_record r[3];
    memcpy(r, three, sizeof(r));
    r[1].word = WORD(EXIT_IO, TRACE_PROGRAM);
    struct trace_run run = {.guest = "g", .title = "t", .records = {r, 3, 1}};
    struct text out = {0};
    run.symbols =
        (struct trace_symbols){.slots = 64, .slot = calloc(64, sizeof(*run.symbols.slot))};
    trace_write_tables(&run, &out);
    cr_assert(strstr(out.text, "3 exits; ticks of the guest 25, of the VMM 16"), "%s", out.text);
    cr_assert(strstr(out.text, "io                     2         0           15  93.8 %        5   "
                               "      10"),
              "%s", out.text);
    cr_assert(strstr(out.text, "cpuid                  1         1            1"), "%s", out.text);
    cr_assert(strstr(out.text, "program  program                              1            5"),
              "%s", out.text);
    cr_assert_eq(trace_count(&run, EXIT_IO), 2);
    text_free(&out);
    trace_symbols_close(&run.symbols);
}

/* More addresses than the table has room for at first. */
Test(trace_symbols, the_table_grows)
{
    struct trace_symbols symbols = {.slots = 64, .slot = calloc(64, sizeof(*symbols.slot))};
    uint32_t offset;
    for (uint32_t eip = 0; eip < 1000; eip++)
        cr_assert_null(trace_symbol(&symbols, eip * 4096, &offset));
    cr_assert_eq(symbols.used, 1000);
    for (uint32_t eip = 0; eip < 1000; eip++)
        trace_symbol(&symbols, eip * 4096, &offset);
    cr_assert_eq(symbols.used, 1000);
    trace_symbols_close(&symbols);
}
