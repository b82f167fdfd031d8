/* What SDM or AMD's manual leave open, or what comes from the way the test is made: on both
 * machines. */
#include <string.h>

#include "forgive.h"
#include "gmem.h"

/* The SDM says in which order words are pushed, but not what of it is to be seen after a fault. */
static bool part_of_frame(const struct difference *d)
{
    return d->at && faulted(d->emu) && in_lost_frame(d);
}

/* A and D of pages that a failed transfer was about to use. */
static bool pages_of_fault(const struct difference *d)
{
    return in_page_tables(d->at) && faulted(d->emu) && !(d->x & ~(PTE_A | PTE_D));
}

/* A transfer that fails later may have marked the descriptors it has checked. */
static bool accessed_early(const struct difference *d)
{
    return in_descriptor(d->at) && faulted(d->emu) && d->x == SEG_ACCESSED << 8;
}

bool is_of_words(enum insn_op op)
{
    static const enum insn_op ops[] = {OP_LDS,  OP_LES,          OP_LSS,         OP_LFS,
                                       OP_LGS,  OP_CALL_FAR_MEM, OP_JMP_FAR_MEM, OP_RET_FAR,
                                       OP_IRET, OP_LGDT,         OP_LIDT};

    for (unsigned i = 0; i < ARRAY_LEN(ops); i++)
        if (ops[i] == op)
            return true;
    return false;
}

/* Words of one operand are read one by one, or as one; which page fault is found first is open. */
static bool order_of_words(const struct difference *d)
{
    if (is(d, "error") && d->cpu->fault.vector == VEC_PF)
        return d->x == PF_P && is_of_words(d->op) && d->emu->fault.cr2 != d->cpu->fault.cr2;
    if (!is(d, "fault-cr2") && !is(d, "cr2"))
        return false;
    if (in_tss(d->e) && in_tss(d->c)) /* the inner stack's SS and ESP */
        return d->e - d->c + 8 <= 16;
    if (is(d, "fault-cr2") && in_frame_linear(d, d->e) && in_frame_linear(d, d->c))
        return true;
    if (in_access_byte(d->e) && in_access_byte(d->c)) /* accessed bits of CS and SS */
        return true;
    return is_of_words(d->op) && faulted(d->emu) && d->e - d->c + 20 <= 40;
}

/* SDM vol. 3A section 5.3: what happens at the end of a segment of 4 GB is the model's. With 16-bit
 * addresses Bochs wraps between the words of an operand. */
static bool wraps(const struct difference *d)
{
    return d->emu->wrapped;
}

/* Nor whether the limit is looked at for all words, before the pages of the first. */
static bool limit_or_page(const struct difference *d)
{
    const struct event *first = first_fault(d->emu);
    const struct result *c = d->cpu;

    if ((!is_of_words(d->op) && d->op != OP_SGDT && d->op != OP_SIDT) ||
        (first->vector != VEC_SS && first->vector != VEC_GP) || first->error)
        return false;
    return c->stop == STOP_FAULT ? c->fault.vector == VEC_PF
                                 : d->emu->delivered && c->state.cr2 != d->test->start.cr2;
}

/* SDM vol. 3A section 6.8.3: of several shadows in a row only the first one is sure. */
static bool shadows_in_row(const struct difference *d)
{
    return is(d, "int-shadow") && d->e && d->emu->steps > 1 &&
           (d->op == OP_MOV_TO_SREG || d->op == OP_POP_SREG || d->op == OP_STI);
}

/* The emulator writes the byte with the accessed or busy bit; the machines the doubleword. */
static bool marks_doubleword(const struct difference *d)
{
    return (is(d, "fault-cr2") || is(d, "cr2")) && d->e % 8 == 5 && d->c == d->e - 1;
}

/* LTR has loaded TR before the busy bit cannot be set. */
static bool ltr_loaded(const struct difference *d)
{
    return executed(d->emu, OP_LTR) && first_fault(d->emu)->vector == VEC_PF &&
           !strncmp(d->what, "tr.", 3);
}

/* SGDT and SIDT may have stored a part when they fault. */
static bool part_of_table(const struct difference *d)
{
    return d->at && faulted(d->emu) && (d->op == OP_SGDT || d->op == OP_SIDT) &&
           first_fault(d->emu)->vector != VEC_UD;
}

/* Guests are not offered VME, which these flags belong to; the machine has it. */
static bool vme_flags(const struct difference *d)
{
    const uint32_t mask = FL_VIF | FL_VIP | (is_bochs ? FL_RF : 0);

    return is(d, "eflags") && executed(d->emu, OP_IRET) && !(d->x & ~mask);
}

/* SDM vol. 3A section 6.15: the state that a double fault saves is undefined. A part of the one
 * transferred to may have been loaded. */
static bool state_of_double_fault(const struct difference *d)
{
    return d->emu->stop == STOP_DOUBLE && d->cpu->stop == STOP_DOUBLE &&
           (!strncmp(d->what, "cs.", 3) || !strncmp(d->what, "ss.", 3));
}

/* A far CALL pushes before the limit of EIP is looked at: a page fault comes first. */
static bool call_pushes_first(const struct difference *d)
{
    const struct event *first = first_fault(d->emu);
    const struct result *c = d->cpu;

    return is_far_call(d->op) && first->vector == VEC_GP && first->error == 0 &&
           (c->stop == STOP_FAULT ? c->fault.vector == VEC_PF : c->state.cr2 != d->test->start.cr2);
}

static bool rdpmc_otherwise(const struct difference *d)
{
    return d->op == OP_RDPMC;
}

/* Is the doubleword near the stack that a call gate's parameters come from? */
static bool near_old_stack(const struct difference *d)
{
    const struct vcpu *start = &d->test->start;
    const uint32_t mask = start->seg[SREG_SS].attr & SEG_DB ? 0xFFFFFFFF : 0xFFFF;
    struct vcpu vcpu = d->emu->state;
    struct walk walk;
    uint32_t error;

    return guest_walk(&vcpu, start->seg[SREG_SS].base + (start->gpr[GPR_ESP] & mask), ACCESS_PEEK,
                      &walk, &error) &&
           d->at - walk.gpa + 160 < 320;
}

/* The parameters of a call gate may be copied one by one, or looked at beforehand: it
 * shows when a fault comes in between, or when both stacks are one. */
static bool gate_parameters(const struct difference *d)
{
    const struct event *first = first_fault(d->emu);

    if (is_far_call(d->op) && d->at && in_frame(d) && near_old_stack(d))
        return true;
    if (!is_far_call(d->op) || (first->vector != VEC_PF && first->vector != VEC_SS))
        return false;
    if (d->at)
        return !in_descriptor(d->at) && !in_page_tables(d->at);
    return (is(d, "cr2") || is(d, "fault-cr2")) && d->e - d->c + 128 <= 256;
}

/* Which comes first, a fault on the parameters or a page fault of the stack they go to, is open,
 * too. */
static bool parameters_or_frame(const struct difference *d)
{
    const struct vcpu *start = &d->test->start;
    const struct segment *ss = &start->seg[SREG_SS];
    const uint32_t esp = start->gpr[GPR_ESP] & (ss->attr & SEG_DB ? 0xFFFFFFFF : 0xFFFF);
    const struct event *first = first_fault(d->emu);

    if (is_far_call(d->op) && first->vector == VEC_SS && first->error == 0 &&
        d->emu->calls_inner) { /* the parameters are beyond the limit of their stack */
        const struct result *c = d->cpu;

        return in_frame_linear(d, c->stop == STOP_FAULT ? c->fault.cr2 : c->state.cr2);
    }
    if (!is_far_call(d->op) || d->emu->steps != 1 || first->vector != VEC_PF ||
        first->cr2 - (ss->base + esp) >= 31 * 4)
        return false;
    return is(d, "error") || is(d, "fault-cr2") || is(d, "cr2") ||
           (d->at && d->emu->delivered && in_frame(d));
}

const struct rule rules_of_both[] = {
    {part_of_frame, "part of a frame was pushed before the fault"},
    {pages_of_fault, "A or D of pages that a failed access was about to use"},
    {accessed_early, "accessed bit of a descriptor that a failed transfer had checked"},
    {wraps, "an operand crosses the end of 4 GB, or of what its address reaches"},
    {order_of_words, "page faults of an operand of several words in another order"},
    {limit_or_page, "page fault of one word of an operand before the limit of another"},
    {shadows_in_row, "of several interrupt shadows in a row only the first one"},
    {marks_doubleword, "CR2 when the accessed or busy bit cannot be set"},
    {ltr_loaded, "LTR loads TR before it sets the busy bit"},
    {part_of_table, "SGDT and SIDT have stored a part before the fault"},
    {vme_flags, "IRET loads VIF and VIP, of VME, which guests are not offered"},
    {state_of_double_fault, "CS and SS at a double fault"},
    {rdpmc_otherwise, "RDPMC: QEMU has none, Bochs has counters, guests have not"},
    {call_pushes_first, "far CALL pushes before it checks the limit of EIP"},
    {gate_parameters, "parameters of a call gate are copied one by one"},
    {parameters_or_frame, "fault of a call gate's parameters, or of where they go"},
    {0},
};
