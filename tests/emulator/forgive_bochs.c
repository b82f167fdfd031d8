/* Where Bochs 2.7 differs from the manual. */
#include <string.h>

#include "forgive.h"

/* A fault when an accessed bit cannot be set comes after CS and SS were loaded. */
static bool touch_after_load(const struct difference *d)
{
    return d->emu->touch_fault;
}

/* PUSH of a segment register with 32 bits writes two bytes, as processors may. */
static bool push_sreg(const struct difference *d)
{
    const uint8_t vector = first_fault(d->emu)->vector;

    if (d->op == OP_PUSH_SREG && (vector == VEC_SS || vector == VEC_PF))
        return true; /* of the other two bytes, perhaps */
    return executed(d->emu, OP_PUSH_SREG) &&
           (d->at || !(d->x & 0xFFFF) || is(d, "cr2") || is(d, "fault-cr2"));
}

/* INT: Bochs looks at the limit of EIP before that of the stack; SDM vol. 2 has it the other way.
 */
static bool limits_of_int(const struct difference *d)
{
    return d->emu->both_limits;
}

/* A frame is pushed word by word: a page fault of the first words comes before the limit of the
 * others. In SDM vol. 2, INT n and CALL, the room is looked at first. */
static bool page_before_room(const struct difference *d)
{
    const struct result *c = d->cpu;

    if (!d->emu->room_for_some)
        return false;
    if (c->stop == STOP_FAULT)
        return c->fault.vector == VEC_PF && in_frame_linear(d, c->fault.cr2);
    /* CR2 is that of the page fault, or of one that its delivery met. */
    return c->state.cr2 != d->emu->state.cr2;
}

/* IRET, RET far and call gates read on beyond 64 KB of a 16-bit stack. Its pointer is SP (SDM vol.
 * 1 section 6.2.3), which wraps; so it does in QEMU. */
static bool stack_wraps(const struct difference *d)
{
    return d->emu->stack_wraps;
}

/* A call gate to an inner level pushes SP instead of ESP from a 16-bit stack, and IP instead of EIP
 * from 16-bit code; SDM vol. 2, CALL, has no such case. */
static bool gate_pushes_words(const struct difference *d)
{
    const struct vcpu *v = &d->test->start;

    if (!d->at || !in_frame(d) ||
        (!executed(d->emu, OP_CALL_FAR) && !executed(d->emu, OP_CALL_FAR_MEM)))
        return false;
    return !(d->c & d->x) && d->emu->calls_inner &&
           (d->emu->steps > 1 || !(v->seg[SREG_SS].attr & v->seg[SREG_CS].attr & SEG_DB));
}

/* A far CALL to conforming code of an inner level keeps the CPL, but Bochs pushes as that level. */
static bool call_conforming(const struct difference *d)
{
    const struct event *first = first_fault(d->emu);

    return is_far_call(d->op) && first->vector == VEC_PF &&
           (first->error & (PF_U | PF_W)) == (PF_U | PF_W);
}

/* What PUSH leaves is what the next instruction pops. */
static bool pushed_and_popped(const struct difference *d)
{
    return executed(d->emu, OP_PUSH_SREG) && d->emu->steps > 1 &&
           (d->op == OP_RET_FAR || d->op == OP_IRET || d->op == OP_POPF || d->op == OP_POP_SREG);
}

/* The flags that INT pushes have RF cleared; SDM vol. 3B section 17.3.1.1: as it was. */
static bool rf_of_int(const struct difference *d)
{
    return d->at && (d->test->start.eflags & FL_RF) && !(d->x & (d->x - 1)) &&
           d->e == (d->c | d->x) && is_int(d->emu->ops[0]) && in_frame(d);
}

/* And POP reads two. */
static bool pop_sreg(const struct difference *d)
{
    const struct vcpu *v = &d->test->start;
    const struct segment *ss = &v->seg[SREG_SS];
    const uint32_t sp = ss->attr & SEG_DB ? v->gpr[GPR_ESP] : v->gpr[GPR_ESP] & 0xFFFF;
    const struct event *first = first_fault(d->emu);

    if (d->op != OP_POP_SREG)
        return false;
    if (d->emu->steps != 1) /* ESP may have moved since */
        return first->vector == VEC_PF && first->cr2 % PAGE_SIZE == 0;
    return (ss->base + sp) % PAGE_SIZE >= PAGE_SIZE - 3 || ss->limit - sp < 3;
}

/* Of a selector on the stack two bytes are read: the next page is not touched. */
static bool pop_selector(const struct difference *d)
{
    return in_page_tables(d->at) && d->x == PTE_A && (d->e & PTE_A) &&
           (executed(d->emu, OP_POP_SREG) || executed(d->emu, OP_RET_FAR) ||
            executed(d->emu, OP_IRET));
}

/* Nor a page fault there, of the upper half of a doubleword that holds CS or, further on, SS. */
static bool half_of_selector(const struct difference *d)
{
    const struct event *first = first_fault(d->emu);
    const struct vcpu *v = &d->test->start;
    const struct segment *ss = &v->seg[SREG_SS];
    const uint32_t sp = ss->attr & SEG_DB ? v->gpr[GPR_ESP] : v->gpr[GPR_ESP] & 0xFFFF;
    const uint32_t offset = first->cr2 - (ss->base + sp);

    if ((d->op != OP_RET_FAR && d->op != OP_IRET) || d->emu->steps != 1 || first->vector != VEC_PF)
        return false;
    return first->cr2 % PAGE_SIZE == 0 && offset % 4 >= 2 && (offset / 4 == 1 || offset / 4 >= 3);
}

static bool cs_of_real_mode(const struct difference *d)
{
    return is(d, "cs.attr") && !(d->x & ~SEG_TYPE) &&
           (d->c & SEG_TYPE) == (SEG_RW | SEG_ACCESSED) && executed(d->emu, OP_MOV_TO_CR);
}

/* IRET to an outer level whose stack is not present: #NP, and not #SS as in SDM vol. 2. */
static bool absent_outer_stack(const struct difference *d)
{
    const struct event *first = first_fault(d->emu);

    if (d->op != OP_IRET || first->vector != VEC_SS || first->error <= 1)
        return false;
    return d->emu->stop != STOP_FAULT ||
           (d->cpu->fault.vector == VEC_NP && d->cpu->fault.error == first->error);
}

/* The VMMCALL that ends the case has already cleared RF. */
static bool end_clears_rf(const struct difference *d)
{
    return is(d, "eflags") && d->op == OP_IRET && d->x == FL_RF && (d->e & FL_RF);
}

const struct rule rules_of_bochs[] = {
    {cs_of_real_mode, "Bochs: leaving protected mode makes CS data"},
    {touch_after_load, "Bochs: loads CS and SS before it marks their descriptors"},
    {limits_of_int, "Bochs: INT checks the limit of EIP before that of the stack"},
    {page_before_room, "Bochs: page fault of one word of a frame before the room for the others"},
    {stack_wraps, "Bochs: IRET, RET far and far CALL do not wrap at 64 KB of a 16-bit stack"},
    {gate_pushes_words, "Bochs: a call gate pushes SP and IP of 16-bit stacks and code"},
    {call_conforming, "Bochs: far CALL to conforming code pushes as the inner level"},
    {pushed_and_popped, "Bochs: what PUSH of a segment register left is popped"},
    {rf_of_int, "Bochs: INT pushes flags without RF"},
    {push_sreg, "Bochs: PUSH of a segment register writes two bytes"},
    {pop_selector, "Bochs: of a selector on the stack two bytes are read"},
    {half_of_selector, "Bochs: of a selector on the stack the other two bytes are not read"},
    {pop_sreg, "Bochs: POP of a segment register reads two bytes"},
    {absent_outer_stack, "Bochs: IRET to a stack that is not present is #NP"},
    {end_clears_rf, "Bochs: the end of the case clears RF"},
    {0},
};
