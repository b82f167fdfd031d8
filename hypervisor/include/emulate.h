/*
 * The emulator of system instructions, and event delivery, on the canonical vCPU. Pure code: all
 * it touches is the vCPU and guest memory through gmem.h.
 *
 * Source of every rule: Intel SDM vol. 2 (the instruction's Operation section) and vol. 3A
 * chapters 5 (protection) and 6 (interrupts). Reads and writes vcpu->seg, cr, gdtr...; sets the
 * DIRTY_ bits for what it changed.
 */
#ifndef TRIVISOR_EMULATE_H
#define TRIVISOR_EMULATE_H

#include "decoder.h"
#include "vm.h"

enum emu_result {
    EMU_DONE,      /* state updated, EIP advanced (or transferred), int_shadow updated */
    EMU_EXIT,      /* *exit is filled (IO, HLT, CPUID, CR, DR, MSR, INVLPG, CACHE, TSC); nothing
                      changed yet; common code does the work and advances by exit->insn_len */
    EMU_FAULT,     /* *exit is EXIT_EXCEPTION: the guest must get exit->exception.event */
    EMU_UNHANDLED, /* not an instruction that this emulator knows */
};

/*
 * Execute one system instruction on behalf of the guest.
 * insn was decoded at vcpu->eip. Privilege is checked against the guest's own CPL and IOPL.
 */
enum emu_result emulate(struct vcpu *vcpu, const struct insn *insn, struct exit *exit);

/*
 * emulate() has completed an instruction that was begun with TF: does #DB follow at once?
 * interrupt: it was INT n, INT3 or INTO. Not when one was delivered, which clears TF (INTO may not
 * have been), nor after a load of SS (SDM vol. 3A section 6.8.3).
 */
bool traps_when_stepped(const struct vcpu *vcpu, bool interrupt);

/*
 * Fetch and decode the instruction at CS:EIP as the guest would.
 * Returns true; or false with *exit = EXIT_EXCEPTION (#PF, #GP or #UD of the fetch).
 * Looks only (sets no accessed bits).
 */
bool fetch_decode(struct vcpu *vcpu, struct insn *insn, struct exit *exit);

/*
 * Deliver an event through the guest's IDT (SDM vol. 3A section 6.12): checks the gate, switches
 * to the inner stack from the guest's TSS, pushes the frame, loads CS:EIP. A fault during
 * delivery becomes a double fault by table 6-5, and then a triple fault.
 * A software interrupt must have EIP behind its instruction already (emulate() delivers INT n
 * itself, and reports faults of its delivery at the INT). Task gates give #GP: there is no
 * hardware task switching, and no virtual-8086 mode.
 * Returns false on a triple fault (state then as before the last attempt).
 */
bool deliver_event(struct vcpu *vcpu, const struct event *event);

/*
 * What becomes of a fault that came up while `first` was delivered (SDM vol. 3A table 6-5): *fault
 * stays or becomes a double fault; false: nothing more can be delivered, the CPU shuts down.
 */
bool combine_faults(const struct event *first, struct event *fault);

/*
 * Load a data, stack or code segment register as MOV sreg does, all checks included
 * (SDM vol. 2, MOV: "Loading a segment register while in protected mode"). In real mode: base =
 * selector * 16. Sets the accessed bit in the guest's descriptor. SREG_CS is checked as a far JMP
 * does; SREG_LDTR and SREG_TR as LLDT and LTR do (LTR makes the TSS busy).
 * Returns true, or false with *fault.
 */
bool load_segment(struct vcpu *vcpu, enum sreg reg, uint16_t selector, struct event *fault);

/*
 * Read a descriptor (8 bytes) from the guest's GDT or LDT.
 * Returns true and *raw; false with *fault: #GP(selector) past the limit, or #PF.
 */
bool read_descriptor(struct vcpu *vcpu, uint16_t selector, uint64_t *raw, struct event *fault);

/* Raw 8-byte descriptor to a struct segment (base, byte limit, SEG_ attributes). */
struct segment descriptor_decode(uint16_t selector, uint64_t raw);

/* The inverse, for shadow tables: base, limit (rounded to what can be expressed), attributes. */
uint64_t descriptor_encode(const struct segment *seg);

/*
 * Linear address of the instruction's memory operand (segment base added, address size wrapped;
 * segment limits are not checked). *seg_used receives the segment register.
 */
gva_t insn_operand_gva(const struct vcpu *vcpu, const struct insn *insn, enum sreg *seg_used);

/* Width-correct register access: size 1 (encodings 4..7 are AH CH DH BH), 2 or 4. */
uint32_t gpr_read(const struct vcpu *vcpu, unsigned reg, unsigned size);
void gpr_write(struct vcpu *vcpu, unsigned reg, unsigned size, uint32_t value);

/*
 * One iteration of INS or OUTS, for the common exit path (exit->io.string set).
 * string_io_finished: REP with a count of zero, nothing to do.
 * string_io_probe: could the operand be accessed (INS: written)? Else false and *fault.
 * string_io_operand: read (OUTS) or write (INS) the memory operand, exit->io.size bytes of *buf.
 * string_io_advance: update ESI or EDI by DF, and ECX with REP; returns true when it was the last.
 *
 * The same for many iterations at once, n bytes of them, which the port can move in one go:
 * string_io_span: how many bytes of the operand, `most` or less, lie on one page and may be
 * accessed; 0: go one by one. The others work on n bytes of that.
 */
bool string_io_finished(const struct vcpu *vcpu, const struct exit *exit);
bool string_io_probe(struct vcpu *vcpu, const struct exit *exit, struct event *fault);
bool string_io_operand(struct vcpu *vcpu, const struct exit *exit, void *buf, bool write,
                       struct event *fault);
bool string_io_advance(struct vcpu *vcpu, const struct exit *exit);
uint32_t string_io_span(struct vcpu *vcpu, const struct exit *exit, uint32_t most);
void string_io_bytes(struct vcpu *vcpu, const struct exit *exit, void *buf, uint32_t n, bool write);
bool string_io_advance_by(struct vcpu *vcpu, const struct exit *exit, uint32_t n);
#define STRING_IO_SPAN 512u /* string_io_span() at most */

/*
 * MOV to CR0, CR2, CR3 or CR4 with its legality rules (SDM vol. 2B, MOV to CR; reserved and not
 * offered CR4 bits are #GP). Sets DIRTY_CR. Returns true, or false with *fault and no change.
 */
bool vcpu_write_cr(struct vcpu *vcpu, unsigned number, uint32_t value, struct event *fault);

/*
 * The state of the CPU when a Multiboot boot loader jumps to a kernel (Multiboot 1 specification
 * section 3.2), or after RESET (SDM vol. 3A table 9-1).
 */
void vcpu_reset(struct vcpu *vcpu);
void vcpu_multiboot_state(struct vcpu *vcpu, gpa_t entry, gpa_t info);

#endif
