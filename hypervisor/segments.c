/*
 * Segment registers and descriptors: decoding, the checks of a load, the accessed bit.
 *
 * Rules: SDM vol. 3A chapters 3.4 and 5, and vol. 2 MOV ("Loading a segment register while in
 * protected mode"), LLDT, LTR. Tables and descriptors are reached by supervisor accesses,
 * whatever the CPL.
 */
#include "emulator.h"

#define DESC_ACCESS_BYTE 5 /* type, S, DPL, P */

void fill_fault(struct event *fault, uint8_t vector, uint32_t error)
{
    const uint32_t with_error = 1u << VEC_DF | 1u << VEC_TS | 1u << VEC_NP | 1u << VEC_SS |
                                1u << VEC_GP | 1u << VEC_PF | 1u << VEC_AC;
    bool has_error = with_error >> vector & 1;

    *fault = (struct event){.kind = EVENT_EXCEPTION,
                            .vector = vector,
                            .has_error = has_error,
                            .error = has_error ? error : 0};
}

/* The error code of a fault that names a selector: RPL gives way to EXT and IDT (SDM vol. 3A
 * section 6.13). */
static bool selector_fault(struct event *fault, uint8_t vector, uint16_t selector)
{
    return raise_fault(fault, vector, selector & ~SEL_RPL);
}

/* Linear address of a descriptor; false when it is not within its table. */
static bool descriptor_gva(const struct vcpu *vcpu, uint16_t selector, gva_t *gva)
{
    uint32_t offset = selector & SEL_INDEX;
    const struct segment *ldt = &vcpu->seg[SREG_LDTR];

    if (!(selector & SEL_TI)) {
        *gva = vcpu->gdtr.base + offset;
        return offset + 7 <= vcpu->gdtr.limit;
    }
    *gva = ldt->base + offset;
    return !(ldt->attr & SEG_UNUSABLE) && offset + 7 <= ldt->limit;
}

bool read_descriptor(struct vcpu *vcpu, uint16_t selector, uint64_t *raw, struct event *fault)
{
    gva_t gva;

    if (!descriptor_gva(vcpu, selector, &gva))
        return selector_fault(fault, VEC_GP, selector);
    return guest_read(vcpu, gva, raw, sizeof(*raw), ACCESS_READ, fault);
}

struct segment descriptor_decode(uint16_t selector, uint64_t raw)
{
    uint32_t low = raw, high = raw >> 32;
    struct segment seg = {
        .selector = selector,
        .attr = (high >> 8) & 0xF0FF,
        .base = low >> 16 | (high & 0xFF) << 16 | (high & 0xFF000000),
        .limit = (low & 0xFFFF) | (high & 0x000F0000),
    };

    if (seg.attr & SEG_G)
        seg.limit = seg.limit << 12 | 0xFFF;
    return seg;
}

uint64_t descriptor_encode(const struct segment *seg)
{
    uint32_t attr = seg->attr & 0xF0FF, limit = seg->limit, low, high;
    bool expand_down = (attr & (SEG_S | SEG_CODE | SEG_CE)) == (SEG_S | SEG_CE);

    if (seg->attr & SEG_UNUSABLE)
        return 0;
    if (limit > 0xFFFFF) {
        /* Round so that never more than the asked-for bytes can be reached; an expand-down
         * segment is the bytes above its limit. */
        attr |= SEG_G;
        limit = (limit & 0xFFF) == 0xFFF || expand_down ? limit >> 12 : (limit >> 12) - 1;
    } else if ((attr & SEG_G) && (limit & 0xFFF) == 0xFFF) {
        limit >>= 12;
    } else {
        attr &= ~SEG_G;
    }
    low = (limit & 0xFFFF) | seg->base << 16;
    high = (seg->base >> 16 & 0xFF) | attr << 8 | (limit & 0xF0000) | (seg->base & 0xFF000000);
    return (uint64_t)high << 32 | low;
}

void segment_set(struct vcpu *vcpu, enum sreg reg, const struct segment *seg)
{
    struct segment *now = &vcpu->seg[reg];

    if (now->selector == seg->selector && now->attr == seg->attr && now->base == seg->base &&
        now->limit == seg->limit)
        return;
    *now = *seg;
    vcpu->dirty |= DIRTY_SEG;
}

/* Write the access byte of seg's descriptor back with more bits set in its type. */
static bool descriptor_mark(struct vcpu *vcpu, struct segment *seg, uint8_t bits,
                            struct event *fault)
{
    uint8_t access = seg->attr | bits;
    gva_t gva;

    if ((seg->attr & bits) == bits)
        return true;
    if (descriptor_gva(vcpu, seg->selector, &gva) &&
        !guest_write(vcpu, gva + DESC_ACCESS_BYTE, &access, 1, ACCESS_WRITE, fault))
        return false;
    seg->attr |= bits;
    return true;
}

bool segment_touch(struct vcpu *vcpu, struct segment *seg, struct event *fault)
{
    return descriptor_mark(vcpu, seg, SEG_ACCESSED, fault);
}

struct segment segment_null(uint16_t selector)
{
    return (struct segment){.selector = selector, .attr = SEG_UNUSABLE};
}

struct segment segment_real(const struct vcpu *vcpu, enum sreg reg, uint16_t selector)
{
    struct segment seg = vcpu->seg[reg];

    /* A null selector loaded before PE was cleared leaves nothing to keep. */
    if (seg.attr & SEG_UNUSABLE) {
        seg.attr = SEG_P | SEG_S | SEG_RW | SEG_ACCESSED;
        seg.limit = 0xFFFF;
    }
    seg.attr &= ~SEG_DPL; /* real mode runs at CPL 0 */
    seg.selector = selector;
    seg.base = (uint32_t)selector << 4;
    return seg;
}

/* SDM vol. 3A section 5.3: an expand-down segment holds the offsets above its limit. */
static bool within_limit(const struct segment *seg, uint32_t offset, uint32_t n)
{
    uint32_t last = offset + n - 1;

    if (last < offset)
        return false;
    if ((seg->attr & (SEG_S | SEG_CODE | SEG_CE)) == (SEG_S | SEG_CE))
        return offset > seg->limit && ((seg->attr & SEG_DB) || last <= 0xFFFF);
    return last <= seg->limit;
}

bool segment_allows(const struct vcpu *vcpu, const struct segment *seg, uint32_t offset, uint32_t n,
                    bool write)
{
    if (seg->attr & SEG_UNUSABLE)
        return false;
    if (protected_mode(vcpu)) {
        if (write && !is_writable_data(seg))
            return false;
        if (is_code(seg) && !(seg->attr & SEG_RW))
            return false;
    }
    return within_limit(seg, offset, n);
}

bool stack_segment(struct vcpu *vcpu, uint16_t selector, unsigned level, uint8_t bad,
                   struct segment *seg, struct event *fault)
{
    uint64_t raw;

    if (is_null(selector))
        return raise_fault(fault, bad, 0);
    if (!read_descriptor(vcpu, selector, &raw, fault)) {
        if (fault->vector == VEC_GP)
            fault->vector = bad;
        return false;
    }
    *seg = descriptor_decode(selector, raw);
    if ((selector & SEL_RPL) != level || seg_dpl(seg) != level || !is_writable_data(seg))
        return selector_fault(fault, bad, selector);
    if (!(seg->attr & SEG_P))
        return selector_fault(fault, VEC_SS, selector);
    return true;
}

bool gate_code_segment(struct vcpu *vcpu, uint16_t selector, bool inward, struct segment *seg,
                       struct event *fault)
{
    uint64_t raw;

    if (is_null(selector))
        return raise_fault(fault, VEC_GP, 0);
    if (!read_descriptor(vcpu, selector, &raw, fault))
        return false;
    *seg = descriptor_decode(selector, raw);
    if (!is_code(seg) || seg_dpl(seg) > vcpu_cpl(vcpu) ||
        (!inward && !is_conforming(seg) && seg_dpl(seg) != vcpu_cpl(vcpu)))
        return selector_fault(fault, VEC_GP, selector);
    if (!(seg->attr & SEG_P))
        return selector_fault(fault, VEC_NP, selector);
    return true;
}

bool direct_code_segment(struct vcpu *vcpu, uint16_t selector, uint64_t raw, struct segment *seg,
                         struct event *fault)
{
    unsigned cpl = vcpu_cpl(vcpu), rpl = selector & SEL_RPL;

    *seg = descriptor_decode((selector & ~SEL_RPL) | cpl, raw);
    if (!is_code(seg))
        return selector_fault(fault, VEC_GP, selector);
    if (is_conforming(seg) ? seg_dpl(seg) > cpl : rpl > cpl || seg_dpl(seg) != cpl)
        return selector_fault(fault, VEC_GP, selector);
    if (!(seg->attr & SEG_P))
        return selector_fault(fault, VEC_NP, selector);
    return true;
}

/* DS, ES, FS, GS: data or readable code; conforming code is open to every level. */
static bool check_data(const struct vcpu *vcpu, const struct segment *seg, struct event *fault)
{
    unsigned rpl = seg->selector & SEL_RPL, dpl = seg_dpl(seg);
    bool readable = (seg->attr & SEG_S) && (!is_code(seg) || (seg->attr & SEG_RW));

    if (!readable || (!is_conforming(seg) && (rpl > dpl || vcpu_cpl(vcpu) > dpl)))
        return selector_fault(fault, VEC_GP, seg->selector);
    if (!(seg->attr & SEG_P))
        return selector_fault(fault, VEC_NP, seg->selector);
    return true;
}

/* The segment registers proper, in protected mode. */
static bool load_user_segment(struct vcpu *vcpu, enum sreg reg, uint16_t selector,
                              struct segment *seg, struct event *fault)
{
    uint64_t raw;

    if (reg == SREG_SS) {
        if (!stack_segment(vcpu, selector, vcpu_cpl(vcpu), VEC_GP, seg, fault))
            return false;
    } else if (is_null(selector)) {
        if (reg == SREG_CS)
            return raise_fault(fault, VEC_GP, 0);
        *seg = segment_null(selector);
        return true;
    } else if (!read_descriptor(vcpu, selector, &raw, fault)) {
        return false;
    } else if (reg == SREG_CS) {
        if (!direct_code_segment(vcpu, selector, raw, seg, fault))
            return false;
    } else {
        *seg = descriptor_decode(selector, raw);
        if (!check_data(vcpu, seg, fault))
            return false;
    }
    return segment_touch(vcpu, seg, fault);
}

/* LDTR and TR: only from the GDT; LTR also makes the TSS busy (SDM vol. 2, LLDT and LTR). */
static bool load_system_segment(struct vcpu *vcpu, enum sreg reg, uint16_t selector,
                                struct segment *seg, struct event *fault)
{
    uint64_t raw;
    uint32_t type;

    if (is_null(selector)) {
        if (reg == SREG_TR)
            return raise_fault(fault, VEC_GP, 0);
        *seg = segment_null(selector);
        return true;
    }
    if (selector & SEL_TI)
        return selector_fault(fault, VEC_GP, selector);
    if (!read_descriptor(vcpu, selector, &raw, fault))
        return false;
    *seg = descriptor_decode(selector, raw);
    type = seg->attr & (SEG_S | SEG_TYPE);
    if (reg == SREG_LDTR ? type != SYS_LDT : type != SYS_TSS16_AVAIL && type != SYS_TSS32_AVAIL)
        return selector_fault(fault, VEC_GP, selector);
    if (!(seg->attr & SEG_P))
        return selector_fault(fault, VEC_NP, selector);
    return reg == SREG_LDTR || descriptor_mark(vcpu, seg, SYS_TSS16_BUSY ^ SYS_TSS16_AVAIL, fault);
}

bool load_segment(struct vcpu *vcpu, enum sreg reg, uint16_t selector, struct event *fault)
{
    struct segment seg;

    if (reg == SREG_LDTR || reg == SREG_TR) {
        if (!load_system_segment(vcpu, reg, selector, &seg, fault))
            return false;
    } else if (!protected_mode(vcpu)) {
        seg = segment_real(vcpu, reg, selector);
    } else if (!load_user_segment(vcpu, reg, selector, &seg, fault)) {
        return false;
    }
    segment_set(vcpu, reg, &seg);
    return true;
}
