/*
 * What the files of the emulator share among themselves: raising faults, stacks, memory operands
 * and the handlers that emulate() dispatches to. Nobody else includes this.
 *
 * Two rules keep "on a fault nothing is changed" true everywhere: a function that can fault works
 * on copies (struct segment, struct stack) and the vCPU is written only after the last check; and
 * the last step that can fail is the one that writes guest memory.
 */
#ifndef TRIVISOR_EMULATOR_H
#define TRIVISOR_EMULATOR_H

#include "emulate.h"
#include "gmem.h"
#include "x86.h"

static inline bool protected_mode(const struct vcpu *vcpu)
{
    return vcpu->cr0 & CR0_PE;
}

static inline unsigned seg_dpl(const struct segment *seg)
{
    return (seg->attr & SEG_DPL) >> SEG_DPL_SHIFT;
}

static inline bool is_null(uint16_t selector)
{
    return selector < 4; /* index 0 of the GDT, whatever the RPL */
}

static inline bool is_code(const struct segment *seg)
{
    return (seg->attr & (SEG_S | SEG_CODE)) == (SEG_S | SEG_CODE);
}

static inline bool is_conforming(const struct segment *seg)
{
    return is_code(seg) && (seg->attr & SEG_CE);
}

static inline bool is_writable_data(const struct segment *seg)
{
    return (seg->attr & (SEG_S | SEG_CODE | SEG_RW)) == (SEG_S | SEG_RW);
}

/* The ACCESS_ bit of a memory access made at a privilege level. */
static inline unsigned access_at(unsigned level)
{
    return level == 3 ? ACCESS_USER : 0;
}

/* Fill *fault with an exception; error only counts for the vectors that push one. Always false,
 * so that a check reads `return raise_fault(...)`. */
void fill_fault(struct event *fault, uint8_t vector, uint32_t error);

static inline bool raise_fault(struct event *fault, uint8_t vector, uint32_t error)
{
    fill_fault(fault, vector, error);
    return false;
}

/* --- segments.c --- */

/* A segment register gets a new value; DIRTY_SEG only when it really changes. */
void segment_set(struct vcpu *vcpu, enum sreg reg, const struct segment *seg);

/* Set the accessed bit of seg, and of its descriptor in guest memory. */
bool segment_touch(struct vcpu *vcpu, struct segment *seg, struct event *fault);

/* What a null selector leaves in a data segment register. */
struct segment segment_null(uint16_t selector);

/* What loading the selector in real mode leaves in the register (base = selector * 16; limit and
 * attributes stay, which is how "unreal mode" works). */
struct segment segment_real(const struct vcpu *vcpu, enum sreg reg, uint16_t selector);

/* May n bytes at offset of the segment in register reg be read or written (limit and type,
 * SDM vol. 3A sections 5.3 and 5.4)? */
bool segment_allows(const struct vcpu *vcpu, const struct segment *seg, uint32_t offset, uint32_t n,
                    bool write);

/* Check a stack segment for privilege level `level` and decode it. bad: the vector for what is
 * wrong with the selector (#TS from a TSS, #GP else); a segment not present is always #SS. */
bool stack_segment(struct vcpu *vcpu, uint16_t selector, unsigned level, uint8_t bad,
                   struct segment *seg, struct event *fault);

/* Check the code segment that a gate names: code, DPL not above CPL, present. inward: it may be of
 * an inner level, as for all but JMP, which is #GP before the segment is seen to be absent. */
bool gate_code_segment(struct vcpu *vcpu, uint16_t selector, bool inward, struct segment *seg,
                       struct event *fault);

/* Check a code segment for a far CALL or JMP without a gate; seg->selector gets RPL = CPL. */
bool direct_code_segment(struct vcpu *vcpu, uint16_t selector, uint64_t raw, struct segment *seg,
                         struct event *fault);

/* --- stack.c --- */

/* A stack that is being worked on; the vCPU learns of it by stack_commit(). */
struct stack {
    struct segment seg;
    uint32_t esp;
    unsigned level;       /* privilege level of the accesses */
    uint32_t fault_error; /* error code of #SS when the limit is hit */
};

struct stack stack_current(const struct vcpu *vcpu);

/* Do n words of width bytes fit within the limit? A page of the stack may still be missing. */
bool stack_room(const struct vcpu *vcpu, const struct stack *stack, unsigned n, unsigned width,
                struct event *fault);

/* Push words[0..n-1] in this order, each of width 2 or 4 bytes: all or nothing. */
bool stack_push(struct vcpu *vcpu, struct stack *stack, const uint32_t *words, unsigned n,
                unsigned width, struct event *fault);

/* Pop n words into words[0..n-1], zero-extended. */
bool stack_pop(struct vcpu *vcpu, struct stack *stack, uint32_t *words, unsigned n, unsigned width,
               struct event *fault);

/* Add to the stack pointer, 16 or 32 bits wide by the segment. */
void stack_release(struct stack *stack, uint32_t bytes);

/* ESP, and SS where it differs, become the vCPU's. */
void stack_commit(struct vcpu *vcpu, const struct stack *stack);

/* The stack that the guest's TSS names for an inner level (SDM vol. 3A section 7.2.1). */
bool stack_from_tss(struct vcpu *vcpu, unsigned level, struct stack *stack, struct event *fault);

/* --- operands.c --- */

/* Read or write n bytes at the instruction's memory operand, with all checks of the guest's
 * segmentation and paging at the guest's CPL. */
bool operand_read(struct vcpu *vcpu, const struct insn *insn, void *buf, uint32_t n,
                  struct event *fault);
bool operand_write(struct vcpu *vcpu, const struct insn *insn, const void *buf, uint32_t n,
                   struct event *fault);

/* The r/m operand as 16 bits, perhaps of an instruction that writes it later (it must be writable);
 * and its store: a register gets opsize bytes when wide_reg, memory always 16 bits. */
bool rm16_read(struct vcpu *vcpu, const struct insn *insn, uint16_t *value, struct event *fault);
bool rm16_read_to_write(struct vcpu *vcpu, const struct insn *insn, uint16_t *value,
                        struct event *fault);
bool rm16_write(struct vcpu *vcpu, const struct insn *insn, uint32_t value, bool wide_reg,
                struct event *fault);

/* n bytes at offset of segment register reg, as the guest's own code would access them. */
bool seg_read(struct vcpu *vcpu, enum sreg reg, uint32_t offset, void *buf, uint32_t n,
              unsigned access, struct event *fault);
bool seg_write(struct vcpu *vcpu, enum sreg reg, uint32_t offset, const void *buf, uint32_t n,
               struct event *fault);
/* Could n bytes there, all on one page, be read or written? Sets no accessed or dirty bit. */
bool seg_probe(struct vcpu *vcpu, enum sreg reg, uint32_t offset, uint32_t n, bool write,
               struct event *fault);

/* --- deliver.c --- */

/* One attempt to deliver. return_eip goes into the frame. On false nothing has changed but accessed
 * bits and what lies beyond the top of the stack, and *fault is what came up. */
bool deliver_once(struct vcpu *vcpu, const struct event *event, uint32_t return_eip,
                  struct event *fault);

/* --- emulate.c --- */

/* EIP after the instruction. It does not wrap at 64 KB in 16-bit code: since the 80386 it runs into
 * the limit of CS there. */
uint32_t next_eip(const struct vcpu *vcpu, const struct insn *insn);

/* The instruction is complete: EIP, RF and the interrupt shadow move on. */
enum emu_result emu_done(struct vcpu *vcpu, const struct insn *insn);

/* The guest must get the fault that is already in exit->exception.event. */
enum emu_result emu_faulted(struct exit *exit);
enum emu_result emu_fault(struct exit *exit, uint8_t vector, uint32_t error);

/* Common code does the rest: an exit for the whole instruction. */
enum emu_result emu_exit(struct exit *exit, const struct insn *insn, enum exit_reason reason);

/* A handler per instruction or family. */
typedef enum emu_result emu_handler(struct vcpu *vcpu, const struct insn *insn, struct exit *exit);

emu_handler emu_in_out, emu_ins_outs;                                   /* emulate_io.c */
emu_handler emu_int, emu_iret, emu_ret_far, emu_call_far, emu_jmp_far;  /* emulate_far.c */
emu_handler emu_sysenter, emu_sysexit;                                  /* emulate_far.c */
emu_handler emu_lar_lsl, emu_verr_verw, emu_arpl, emu_mov_from_sreg;    /* emulate_seg.c */
emu_handler emu_mov_to_sreg, emu_push_sreg, emu_pop_sreg, emu_load_far; /* emulate_seg.c */
emu_handler emu_lgdt_lidt, emu_sgdt_sidt, emu_lldt_ltr, emu_sldt_str;   /* emulate_seg.c */

#endif
