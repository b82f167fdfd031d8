/*
 * Port I/O: who may (SDM vol. 1 section 19.5), and the memory operand of INS and OUTS.
 */
#include "emulator.h"

#define TSS_IO_MAP_BASE 0x66u /* offset of the I/O map base, SDM vol. 3A figure 7-2 */

/* Any set bit for the bytes accessed forbids; the CPU always reads two bytes of the map. */
static bool io_bitmap_allows(struct vcpu *vcpu, uint16_t port, unsigned size, struct event *fault)
{
    const struct segment *tr = &vcpu->seg[SREG_TR];
    uint32_t offset;
    uint16_t word;

    if ((tr->attr & SEG_UNUSABLE) || !(tr->attr & 8) || tr->limit < TSS_IO_MAP_BASE + 1)
        return raise_fault(fault, VEC_GP, 0);
    if (!guest_read(vcpu, tr->base + TSS_IO_MAP_BASE, &word, 2, ACCESS_READ, fault))
        return false;
    offset = word + port / 8u;
    if (offset + 1 > tr->limit)
        return raise_fault(fault, VEC_GP, 0);
    if (!guest_read(vcpu, tr->base + offset, &word, 2, ACCESS_READ, fault))
        return false;
    return !(word >> port % 8 & ((1u << size) - 1)) || raise_fault(fault, VEC_GP, 0);
}

static bool io_allowed(struct vcpu *vcpu, uint16_t port, unsigned size, struct event *fault)
{
    if (!protected_mode(vcpu) || vcpu_cpl(vcpu) <= (vcpu->eflags & FL_IOPL) >> FL_IOPL_SHIFT)
        return true;
    return io_bitmap_allows(vcpu, port, size, fault);
}

/* Opcodes E4..E7 (port in the instruction), EC..EF (DX), 6C..6F (strings): bit 0 is the width. */
static unsigned io_size(const struct insn *insn)
{
    return insn->opcode & 1 ? insn->opsize : 1;
}

enum emu_result emu_in_out(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    uint16_t port = insn->opcode & 8 ? vcpu->gpr[GPR_EDX] : insn->imm & 0xFF;
    unsigned size = io_size(insn);

    if (!io_allowed(vcpu, port, size, &exit->exception.event))
        return emu_faulted(exit);
    exit->io.port = port;
    exit->io.size = size;
    exit->io.in = insn->op == OP_IN;
    exit->io.string = false;
    exit->io.rep = false;
    exit->io.addr_size = insn->adsize;
    exit->io.segment = SREG_DS;
    return emu_exit(exit, insn, EXIT_IO);
}

enum emu_result emu_ins_outs(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    uint16_t port = vcpu->gpr[GPR_EDX];
    unsigned size = io_size(insn);

    if (!io_allowed(vcpu, port, size, &exit->exception.event))
        return emu_faulted(exit);
    exit->io.port = port;
    exit->io.size = size;
    exit->io.in = insn->op == OP_INS;
    exit->io.string = true;
    exit->io.rep = insn->prefixes & (PFX_REP | PFX_REPNE);
    exit->io.addr_size = insn->adsize;
    exit->io.segment = insn->prefixes & PFX_SEG ? insn->seg_override : SREG_DS;
    return emu_exit(exit, insn, EXIT_IO);
}

bool string_io_finished(const struct vcpu *vcpu, const struct exit *exit)
{
    return exit->io.rep && gpr_read(vcpu, GPR_ECX, exit->io.addr_size) == 0;
}

/* INS stores through ES whatever the prefix says; OUTS honours an override (SDM vol. 2, INS). */
static enum sreg io_segment(const struct exit *exit)
{
    return exit->io.in ? SREG_ES : (enum sreg)exit->io.segment;
}

static uint32_t io_offset(const struct vcpu *vcpu, const struct exit *exit)
{
    return gpr_read(vcpu, exit->io.in ? GPR_EDI : GPR_ESI, exit->io.addr_size);
}

bool string_io_probe(struct vcpu *vcpu, const struct exit *exit, struct event *fault)
{
    unsigned access = ACCESS_PEEK | (exit->io.in ? ACCESS_WRITE : ACCESS_READ);
    uint32_t ignored;

    return seg_read(vcpu, io_segment(exit), io_offset(vcpu, exit), &ignored, exit->io.size, access,
                    fault);
}

bool string_io_operand(struct vcpu *vcpu, const struct exit *exit, void *buf, bool write,
                       struct event *fault)
{
    enum sreg reg = io_segment(exit);
    uint32_t offset = io_offset(vcpu, exit);

    return write ? seg_write(vcpu, reg, offset, buf, exit->io.size, fault)
                 : seg_read(vcpu, reg, offset, buf, exit->io.size, ACCESS_READ, fault);
}

uint32_t string_io_span(struct vcpu *vcpu, const struct exit *exit, uint32_t most)
{
    struct event fault;
    const uint32_t offset = io_offset(vcpu, exit), size = exit->io.size;
    const uint32_t linear = vcpu->seg[io_segment(exit)].base + offset;
    const uint32_t count = vcpu->gpr[GPR_ECX], page_left = PAGE_SIZE - linear % PAGE_SIZE;
    uint32_t n = most < STRING_IO_SPAN ? most : STRING_IO_SPAN;

    if (!exit->io.rep || exit->io.addr_size != 4 || vcpu->eflags & FL_DF || !n)
        return 0;
    if (n > page_left)
        n = page_left;
    n = n / size > count ? count * size : n / size * size;
    if (n && !seg_probe(vcpu, io_segment(exit), offset, n, exit->io.in, &fault))
        return 0; /* perhaps a part of it can be; and who meets the fault reports it */
    return n;
}

void string_io_bytes(struct vcpu *vcpu, const struct exit *exit, void *buf, uint32_t n, bool write)
{
    struct event impossible; /* string_io_span() has looked */

    if (write)
        seg_write(vcpu, io_segment(exit), io_offset(vcpu, exit), buf, n, &impossible);
    else
        seg_read(vcpu, io_segment(exit), io_offset(vcpu, exit), buf, n, ACCESS_READ, &impossible);
}

bool string_io_advance_by(struct vcpu *vcpu, const struct exit *exit, uint32_t n)
{
    vcpu->gpr[exit->io.in ? GPR_EDI : GPR_ESI] += n;
    vcpu->gpr[GPR_ECX] -= n / exit->io.size;
    return vcpu->gpr[GPR_ECX] == 0;
}

bool string_io_advance(struct vcpu *vcpu, const struct exit *exit)
{
    unsigned width = exit->io.addr_size;
    enum gpr pointer = exit->io.in ? GPR_EDI : GPR_ESI;
    uint32_t step = vcpu->eflags & FL_DF ? -(uint32_t)exit->io.size : exit->io.size;

    gpr_write(vcpu, pointer, width, vcpu->gpr[pointer] + step);
    if (!exit->io.rep)
        return true;
    gpr_write(vcpu, GPR_ECX, width, vcpu->gpr[GPR_ECX] - 1);
    return gpr_read(vcpu, GPR_ECX, width) == 0;
}
