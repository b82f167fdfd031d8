/*
 * What the machines do otherwise than the manual says, or where it leaves the order open; each with
 * its reason, and counted. Nothing else is forgiven.
 */
#include <string.h>

#include "forgive.h"
#include "gmem.h"
#include "vmm.h"

#define RULES_MAX 64 /* of one list */

bool is(const struct difference *d, const char *what)
{
    return !strcmp(d->what, what);
}

bool executed(const struct result *r, enum insn_op op)
{
    for (unsigned i = 0; i < r->steps; i++)
        if (r->ops[i] == op)
            return true;
    return false;
}

bool is_int(enum insn_op op)
{
    return op == OP_INTN || op == OP_INT3 || op == OP_INTO || op == OP_INT1;
}

bool is_conforming_attr(const struct result *r)
{
    const uint32_t type = SEG_S | SEG_CODE | SEG_CE;

    return (r->state.seg[SREG_CS].attr & type) == type;
}

bool is_mov_control(enum insn_op op)
{
    return op == OP_MOV_FROM_CR || op == OP_MOV_TO_CR || op == OP_MOV_FROM_DR || op == OP_MOV_TO_DR;
}

bool is_far_call(enum insn_op op)
{
    return op == OP_CALL_FAR || op == OP_CALL_FAR_MEM;
}

/* The emulator's first exception, or an empty event. */
const struct event *first_fault(const struct result *emu)
{
    static const struct event none;

    if (emu->stop == STOP_FAULT)
        return &emu->fault;
    return emu->delivered ? &emu->events[0] : &none;
}

/* An exception came up, to be delivered or not. */
bool faulted(const struct result *r)
{
    return r->delivered || r->stop == STOP_FAULT || r->stop == STOP_DOUBLE;
}

bool in_table_page(gpa_t at, unsigned page)
{
    return at - HOT_PAGE(page) < PAGE_SIZE;
}

bool in_tss(gva_t gva)
{
    return gva - HOT_PAGE(PAGE_TSS) < 2 * PAGE_SIZE;
}

bool in_access_byte(gva_t gva)
{
    return in_table_page(gva, PAGE_GDT) && gva % 8 == 5;
}

/* The second doubleword of a descriptor. */
bool in_descriptor(gpa_t at)
{
    return (in_table_page(at, PAGE_GDT) || in_table_page(at, PAGE_LDT)) && at % 8 == 4;
}

bool in_page_tables(gpa_t at)
{
    return at - TABLES < TABLE_PAGES * PAGE_SIZE;
}

/* The last frame that was pushed there, or was to be; NULL: none. */
static const struct frame *frame_at(const struct result *emu, gpa_t at)
{
    const unsigned most = ARRAY_LEN(emu->frame);
    struct vcpu vcpu = emu->state;
    struct walk walk;
    uint32_t error;

    for (unsigned i = emu->frames; i > 0 && i + most > emu->frames; i--) {
        const struct frame *p = &emu->frame[(i - 1) % most];

        for (uint32_t n = 1; n <= p->bytes; n++) {
            const gva_t gva = p->base + ((p->top - n) & p->mask);

            if ((gva ^ at) & (PAGE_SIZE - 1)) /* offsets in a page are not translated */
                continue;
            if (guest_walk(&vcpu, gva, ACCESS_PEEK, &walk, &error) && walk.gpa == at)
                return p;
        }
    }
    return NULL;
}

/* Is the doubleword part of a frame that was pushed or was to be? */
bool in_frame(const struct difference *d)
{
    for (unsigned i = 0; i < 4; i++)
        if (frame_at(d->emu, d->at + i))
            return true;
    return false;
}

/* Do only bytes differ that the emulator was about to push, and did not? */
bool in_lost_frame(const struct difference *d)
{
    for (unsigned i = 0; i < 4; i++) {
        const struct frame *p = d->x >> 8 * i & 0xFF ? frame_at(d->emu, d->at + i) : NULL;

        if ((d->x >> 8 * i & 0xFF) && (!p || p->done))
            return false;
    }
    return true;
}

/* The same of a linear address. */
bool in_frame_linear(const struct difference *d, gva_t gva)
{
    for (unsigned i = 0; i < d->emu->frames && i < ARRAY_LEN(d->emu->frame); i++) {
        const struct frame *p = &d->emu->frame[i];

        if (p->base + ((p->top - 1) & p->mask) - gva < p->bytes)
            return true;
    }
    return false;
}

/* --- the lists --- */

static struct list {
    const struct rule *rules;
    uint32_t counts[RULES_MAX], last_case[RULES_MAX]; /* in cases; the last one's number and 1 */
} lists[2];

static bool in_list(struct list *list, const struct difference *d)
{
    for (unsigned i = 0; list->rules[i].applies; i++) {
        if (!list->rules[i].applies(d))
            continue;
        list->counts[i] += list->last_case[i] != d->test->number + 1;
        list->last_case[i] = d->test->number + 1;
        return true;
    }
    return false;
}

bool forgiven(const struct test_case *test, const struct result *emu, const struct result *cpu,
              const char *what, uint32_t emu_value, uint32_t cpu_value)
{
    struct difference d = {.test = test,
                           .emu = emu,
                           .cpu = cpu,
                           .what = what,
                           .e = emu_value,
                           .c = cpu_value,
                           .x = emu_value ^ cpu_value,
                           .op = emu->steps ? emu->ops[emu->steps - 1] : OP_OTHER};

    lists[0].rules = rules_of_both;
    lists[1].rules = is_bochs ? rules_of_bochs : rules_of_qemu;
    if (!strncmp(what, "memory ", 7))
        for (const char *c = what + 7; *c; c++)
            d.at = d.at << 4 | (gpa_t)(*c <= '9' ? *c - '0' : *c - 'a' + 10);
    return in_list(&lists[0], &d) || in_list(&lists[1], &d);
}

void forgive_report(void)
{
    kprintf("forgiven, in cases:\n");
    for (unsigned l = 0; l < ARRAY_LEN(lists); l++)
        for (unsigned i = 0; lists[l].rules && lists[l].rules[i].applies; i++)
            if (lists[l].counts[i])
                kprintf("  %u: %s\n", lists[l].counts[i], lists[l].rules[i].why);
    qemu_report();
}
