/* Where QEMU 7.2 differs from the manual. What would hide too much is in qemu.c. */
#include <string.h>

#include "forgive.h"

/* A shadow follows every STI, also when IF was set, and LSS; and a fault does not end it. */
static bool more_shadow(const struct difference *d)
{
    return is(d, "int-shadow") && d->c &&
           (executed(d->emu, OP_STI) || executed(d->emu, OP_LSS) ||
            executed(d->emu, OP_MOV_TO_SREG) || executed(d->emu, OP_POP_SREG));
}

/* RF is cleared with the end of a translated block, not of an instruction; frames of faults do not
 * have it set; and IRET in real mode does not load it. Nor have error codes of faults in delivery
 * EXT (SDM vol. 3A section 6.13). */
static bool lazy_rf(const struct difference *d)
{
    if (is(d, "eflags"))
        return d->x == FL_RF;
    return d->at && !(d->x & ~0x01010101u) && in_frame(d) && /* bit 0 of a byte, as EXT */
           (executed(d->emu, OP_PUSHF) || d->emu->delivered || is_int(d->op));
}

/* Bits of debug registers that read as zeros or ones. */
static bool dr_reserved(const struct difference *d)
{
    const bool read = !d->at && d->what[0] == 'e' && executed(d->emu, OP_MOV_FROM_DR);

    return ((is(d, "dr6") || read) && d->x == 0x1000) ||
           ((is(d, "dr7") || read) && !(d->x & ~0xD000u));
}

/* MOV of a control or debug register that does not exist: the privilege is checked first. */
static bool privilege_first(const struct difference *d)
{
    const struct event *first = first_fault(d->emu);
    /* also before the rest of the instruction is fetched, from the next page */
    const bool next_page = first->vector == VEC_PF && first->cr2 % PAGE_SIZE == 0;

    if ((first->vector != VEC_UD && !next_page) || vcpu_cpl(&d->test->start) == 0)
        return false;
    for (unsigned i = 0; i < d->test->count; i++)
        if (is_mov_control(d->test->ops[i]))
            return true;
    return false;
}

/* The same of the system instructions with a memory operand, whose displacement is on the next
 * page. */
static bool privilege_before_fetch(const struct difference *d)
{
    static const enum insn_op ops[] = {OP_LGDT, OP_LIDT, OP_LLDT, OP_LTR, OP_LMSW, OP_INVLPG};
    const struct event *first = first_fault(d->emu);

    if (!d->emu->fetch_fault || first->vector != VEC_PF || first->cr2 % PAGE_SIZE ||
        vcpu_cpl(&d->test->start) == 0)
        return false;
    for (unsigned i = 0; i < d->test->count; i++)
        for (unsigned j = 0; j < ARRAY_LEN(ops); j++)
            if (d->test->ops[i] == ops[j])
                return true;
    return false;
}

/* And MOV with a segment register that does not exist is #UD. */
static bool undefined_before_fetch(const struct difference *d)
{
    const struct event *first = first_fault(d->emu);

    if (!d->emu->fetch_fault || first->vector != VEC_PF || first->cr2 % PAGE_SIZE ||
        (d->cpu->stop == STOP_FAULT && d->cpu->fault.vector != VEC_UD))
        return false;
    for (unsigned i = 0; i < d->test->count; i++)
        if (d->test->ops[i] == OP_MOV_TO_SREG || d->test->ops[i] == OP_MOV_FROM_SREG)
            return true;
    return false;
}

/* JMP through a call gate to code that is not present is #GP. */
static bool jmp_gate_absent(const struct difference *d)
{
    const struct event *first = first_fault(d->emu);

    if ((d->op != OP_JMP_FAR && d->op != OP_JMP_FAR_MEM) || first->vector != VEC_NP)
        return false;
    return d->emu->stop != STOP_FAULT ||
           (d->cpu->fault.vector == VEC_GP && d->cpu->fault.error == first->error);
}

/* Not-write-through without cache disable is accepted. */
static bool nw_without_cd(const struct difference *d)
{
    const struct vcpu *v = &d->test->start;

    if (!executed(d->emu, OP_MOV_TO_CR) || first_fault(d->emu)->vector != VEC_GP)
        return false;
    for (unsigned i = 0; i < ARRAY_LEN(v->gpr); i++)
        if ((v->gpr[i] & (CR0_PG | CR0_PE | CR0_NW | CR0_CD)) == (CR0_PG | CR0_PE | CR0_NW))
            return true; /* CR0 may have changed again since */
    return (d->cpu->state.cr0 & (CR0_NW | CR0_CD)) == CR0_NW;
}

static bool cr0_reserved(const struct difference *d)
{
    const uint32_t defined = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM |
                             CR0_NW | CR0_CD | CR0_PG;

    return is(d, "cr0") && executed(d->emu, OP_MOV_TO_CR) && !(d->x & defined);
}

/* A reserved bit of CR4 ends a guest of SVM. */
static bool cr4_ends_guest(const struct difference *d)
{
    return d->op == OP_MOV_TO_CR && d->cpu->stop == STOP_REFUSED;
}

/* IA32_SYSENTER_CS keeps 16 bits. */
static bool sysenter_cs_16(const struct difference *d)
{
    return (is(d, "sysenter.cs") || (is(d, "eax") && executed(d->emu, OP_RDMSR))) &&
           d->c == (d->e & 0xFFFF);
}

/* A far CALL or JMP without a gate, to beyond the limit: #GP with the selector, and not 0. */
static bool limit_names_selector(const struct difference *d)
{
    const struct event *first = first_fault(d->emu);

    if (d->op != OP_JMP_FAR && d->op != OP_JMP_FAR_MEM && !is_far_call(d->op))
        return false;
    return first->vector == VEC_GP && first->error == 0 &&
           (is(d, "error") || (d->at && d->emu->delivered && in_frame(d)));
}

/* LLDT of a null selector leaves the hidden part as it was, but for base and limit. */
static bool ldtr_null(const struct difference *d)
{
    return is(d, "ldtr.attr") && executed(d->emu, OP_LLDT) && (d->e & SEG_UNUSABLE);
}

/* FS and GS keep a null selector with an RPL on return to an outer level. */
static bool null_keeps_rpl(const struct difference *d)
{
    return (is(d, "fs.selector") || is(d, "gs.selector")) && d->e == 0 && d->c < 4;
}

/* A reserved bit in a page-directory entry: P is not set in the error code. */
static bool reserved_without_p(const struct difference *d)
{
    const uint32_t mask = d->op == OP_ARPL ? PF_P | PF_W : PF_P;
    const unsigned shift = d->x ? (unsigned)__builtin_ctz(d->x) & ~7u : 0; /* of an odd stack */

    return (is(d, "error") || in_frame(d)) && !(d->x >> shift & ~mask) &&
           (d->e >> shift & (PF_RSVD | PF_P)) == (PF_RSVD | PF_P);
}

/* IP wraps at 64 KB. Since the 80386 EIP does not: with a limit beyond, code goes on there. */
static bool ip_wraps(const struct difference *d)
{
    const struct vcpu *start = &d->test->start;

    return !(start->seg[SREG_CS].attr & SEG_DB) && start->eip < 0x10000 &&
           start->eip + d->test->code_size > 0xFFFF;
}

/* A stack that is not present: #TS of an inner level, #NP of an outer one, and not #SS. */
static bool absent_stack(const struct difference *d)
{
    const struct event *e = &d->emu->fault, *c = &d->cpu->fault;

    if (d->emu->stop == STOP_FAULT && d->cpu->stop == STOP_FAULT && e->vector == VEC_SS &&
        ((c->vector != VEC_TS && c->vector != VEC_NP) || c->error != e->error))
        return false;
    return d->emu->absent_stack;
}

/* A return to an outer level: the RPL of SS is checked before its descriptor is read, which may be
 * a page fault (SDM vol. 2, RET: it is read first). */
static bool rpl_before_descriptor(const struct difference *d)
{
    const struct event *first = first_fault(d->emu);

    if ((d->op != OP_RET_FAR && d->op != OP_IRET) || first->vector != VEC_PF ||
        (!in_table_page(first->cr2, PAGE_GDT) && !in_table_page(first->cr2, PAGE_LDT)))
        return false;
    return d->cpu->stop != STOP_FAULT || d->cpu->fault.vector == VEC_GP;
}

/* The offset of a 16-bit gate has 32 bits. */
static bool gate_upper(const struct difference *d)
{
    return d->emu->gate_upper;
}

/* In real mode the vector is read before the frame is pushed. */
static bool vector_first(const struct difference *d)
{
    return d->emu->vector_pushed;
}

/* A call gate to conforming code leaves the DPL in CS, and not the CPL. */
static bool gate_rpl(const struct difference *d)
{
    return is(d, "cs.selector") && d->x < 4 && is_far_call(d->op) && is_conforming_attr(d->emu);
}

/* INT beyond the table in real mode has an error code. */
static bool real_int_error(const struct difference *d)
{
    return is(d, "error") && d->test->real && is_int(d->op) && d->e == 0;
}

static bool ltr_null(const struct difference *d)
{
    return d->op == OP_LTR && first_fault(d->emu)->vector == VEC_GP &&
           first_fault(d->emu)->error == 0 &&
           d->cpu->state.seg[SREG_TR].selector != d->test->start.seg[SREG_TR].selector;
}

/* ARPL reads before it writes, and does not write what stays the same. */
static bool arpl_reads(const struct difference *d)
{
    const struct event *e = &d->emu->fault, *c = &d->cpu->fault;
    const bool raised = d->emu->stop == STOP_FAULT;
    const uint32_t cr2 = raised ? c->cr2 : d->cpu->state.cr2;

    if (d->op != OP_ARPL)
        return false;
    /* Of a word on two pages, the second cannot be read. */
    if (cr2 % PAGE_SIZE == 0 && cr2 == (raised ? e->cr2 : d->emu->state.cr2) + 1)
        return is(d, "fault-cr2") || is(d, "cr2") || is(d, "error") || in_frame(d);
    if (d->emu->delivered && in_frame(d)) /* W in the error code, perhaps RF in the flags */
        return !(d->x & ~0x03030303u);
    return is(d, "error") ? d->x == PF_W && (d->e & PF_W) : in_page_tables(d->at) && d->x == PTE_D;
}

static bool int1_undefined(const struct difference *d)
{
    return d->op == OP_INT1;
}

const struct rule rules_of_qemu[] = {
    {more_shadow, "QEMU: STI and LSS always have an interrupt shadow"},
    {lazy_rf, "QEMU: RF is cleared late, not loaded, and not in the frames of faults; nor EXT"},
    {dr_reserved, "QEMU: reserved bits of DR6 and DR7 are kept"},
    {privilege_first, "QEMU: MOV of what is no control register checks the privilege first"},
    {privilege_before_fetch,
     "QEMU: privileged instructions check it before the last byte is fetched"},
    {undefined_before_fetch, "QEMU: MOV of no segment register is #UD before its end is fetched"},
    {jmp_gate_absent, "QEMU: JMP through a call gate to code that is not present is #GP"},
    {nw_without_cd, "QEMU: CR0.NW without CR0.CD is accepted"},
    {cr0_reserved, "QEMU: reserved bits of CR0 are kept"},
    {cr4_ends_guest, "QEMU: reserved bits of CR4 end a guest of SVM"},
    {sysenter_cs_16, "QEMU: IA32_SYSENTER_CS has 16 bits"},
    {limit_names_selector, "QEMU: #GP for EIP beyond the limit names the selector"},
    {ldtr_null, "QEMU: LLDT of a null selector leaves the segment present"},
    {null_keeps_rpl, "QEMU: FS and GS keep null selectors on return to an outer level"},
    {reserved_without_p, "QEMU: #PF for reserved bits without P"},
    {ip_wraps, "QEMU: IP wraps at 64 KB in 16-bit code"},
    {absent_stack, "QEMU: a new stack that is not present is #TS or #NP"},
    {rpl_before_descriptor, "QEMU: returns check the RPL of SS before they read its descriptor"},
    {gate_upper, "QEMU: 16-bit gates have offsets of 32 bits"},
    {vector_first, "QEMU: real mode reads the vector before it pushes"},
    {gate_rpl, "QEMU: a call gate to conforming code puts its DPL into CS"},
    {real_int_error, "QEMU: INT beyond the table has an error code in real mode"},
    {ltr_null, "QEMU: LTR of a null selector is accepted"},
    {arpl_reads, "QEMU: ARPL reads first, and does not write what stays the same"},
    {int1_undefined, "QEMU: INT1 is #UD"},
    {0},
};
