/*
 * Operands of an instruction: registers, memory by ModRM and SIB (SDM vol. 2A section 2.1.5), and
 * the fetch of the instruction itself.
 */
#include "emulator.h"

uint32_t gpr_read(const struct vcpu *vcpu, unsigned reg, unsigned size)
{
    if (size == 4)
        return vcpu->gpr[reg];
    if (size == 2)
        return vcpu->gpr[reg] & 0xFFFF;
    return vcpu->gpr[reg & 3] >> (reg & 4 ? 8 : 0) & 0xFF;
}

void gpr_write(struct vcpu *vcpu, unsigned reg, unsigned size, uint32_t value)
{
    uint32_t mask = 0xFFFFFFFFu;
    unsigned shift = 0;

    if (size == 2) {
        mask = 0xFFFF;
    } else if (size == 1) {
        mask = 0xFF;
        shift = reg & 4 ? 8 : 0;
        reg &= 3;
    }
    vcpu->gpr[reg] = (vcpu->gpr[reg] & ~(mask << shift)) | (value & mask) << shift;
}

/* SDM vol. 2A table 2-1. -1: no register. */
static uint32_t offset16(const struct vcpu *vcpu, const struct insn *insn, enum sreg *seg)
{
    static const int8_t base[8] = {GPR_EBX, GPR_EBX, GPR_EBP, GPR_EBP, -1, -1, GPR_EBP, GPR_EBX};
    static const int8_t index[8] = {GPR_ESI, GPR_EDI, GPR_ESI, GPR_EDI, GPR_ESI, GPR_EDI, -1, -1};
    unsigned rm = MODRM_RM(insn->modrm);
    uint32_t offset = insn->disp;

    if (MODRM_MOD(insn->modrm) != 0 || rm != 6) {
        if (base[rm] >= 0)
            offset += vcpu->gpr[base[rm]];
        if (index[rm] >= 0)
            offset += vcpu->gpr[index[rm]];
        if (base[rm] == GPR_EBP)
            *seg = SREG_SS;
    }
    return offset & 0xFFFF;
}

/* SDM vol. 2A tables 2-2 and 2-3. */
static uint32_t offset32(const struct vcpu *vcpu, const struct insn *insn, enum sreg *seg)
{
    unsigned mod = MODRM_MOD(insn->modrm), base = MODRM_RM(insn->modrm);
    uint32_t offset = insn->disp;

    if (insn->has_sib) {
        unsigned index = insn->sib >> 3 & 7;

        base = insn->sib & 7;
        if (index != GPR_ESP)
            offset += vcpu->gpr[index] << (insn->sib >> 6);
    }
    if (mod == 0 && base == GPR_EBP)
        return offset; /* disp32 alone */
    if (base == GPR_ESP || base == GPR_EBP)
        *seg = SREG_SS;
    return offset + vcpu->gpr[base];
}

/* Effective address, and the segment register that it goes through. */
static uint32_t operand_offset(const struct vcpu *vcpu, const struct insn *insn, enum sreg *seg)
{
    uint32_t offset;

    *seg = SREG_DS;
    if (!insn->has_modrm)
        offset = insn->disp; /* moffs */
    else if (insn->adsize == 2)
        offset = offset16(vcpu, insn, seg);
    else
        offset = offset32(vcpu, insn, seg);
    if (insn->prefixes & PFX_SEG)
        *seg = insn->seg_override;
    return offset;
}

gva_t insn_operand_gva(const struct vcpu *vcpu, const struct insn *insn, enum sreg *seg_used)
{
    uint32_t offset = operand_offset(vcpu, insn, seg_used);

    return vcpu->seg[*seg_used].base + offset;
}

static bool check_segment(const struct vcpu *vcpu, enum sreg reg, uint32_t offset, uint32_t n,
                          bool write, struct event *fault)
{
    return segment_allows(vcpu, &vcpu->seg[reg], offset, n, write) ||
           raise_fault(fault, reg == SREG_SS ? VEC_SS : VEC_GP, 0);
}

bool seg_read(struct vcpu *vcpu, enum sreg reg, uint32_t offset, void *buf, uint32_t n,
              unsigned access, struct event *fault)
{
    return check_segment(vcpu, reg, offset, n, access & ACCESS_WRITE, fault) &&
           guest_read(vcpu, vcpu->seg[reg].base + offset, buf, n,
                      access | access_at(vcpu_cpl(vcpu)), fault);
}

bool seg_write(struct vcpu *vcpu, enum sreg reg, uint32_t offset, const void *buf, uint32_t n,
               struct event *fault)
{
    return check_segment(vcpu, reg, offset, n, true, fault) &&
           guest_write(vcpu, vcpu->seg[reg].base + offset, buf, n,
                       ACCESS_WRITE | access_at(vcpu_cpl(vcpu)), fault);
}

bool seg_probe(struct vcpu *vcpu, enum sreg reg, uint32_t offset, uint32_t n, bool write,
               struct event *fault)
{
    uint8_t ignored;

    return check_segment(vcpu, reg, offset, n, write, fault) &&
           guest_read(vcpu, vcpu->seg[reg].base + offset, &ignored, 1,
                      (write ? ACCESS_WRITE : ACCESS_READ) | ACCESS_PEEK |
                          access_at(vcpu_cpl(vcpu)),
                      fault);
}

bool operand_read(struct vcpu *vcpu, const struct insn *insn, void *buf, uint32_t n,
                  struct event *fault)
{
    enum sreg reg;
    uint32_t offset = operand_offset(vcpu, insn, &reg);

    return seg_read(vcpu, reg, offset, buf, n, ACCESS_READ, fault);
}

bool operand_write(struct vcpu *vcpu, const struct insn *insn, const void *buf, uint32_t n,
                   struct event *fault)
{
    enum sreg reg;
    uint32_t offset = operand_offset(vcpu, insn, &reg);

    return seg_write(vcpu, reg, offset, buf, n, fault);
}

static bool rm16_access(struct vcpu *vcpu, const struct insn *insn, uint16_t *value,
                        unsigned access, struct event *fault)
{
    enum sreg reg;
    uint32_t offset;

    if (MODRM_MOD(insn->modrm) == 3) {
        *value = gpr_read(vcpu, MODRM_RM(insn->modrm), 2);
        return true;
    }
    offset = operand_offset(vcpu, insn, &reg);
    return seg_read(vcpu, reg, offset, value, sizeof(*value), access, fault);
}

bool rm16_read(struct vcpu *vcpu, const struct insn *insn, uint16_t *value, struct event *fault)
{
    return rm16_access(vcpu, insn, value, ACCESS_READ, fault);
}

bool rm16_read_to_write(struct vcpu *vcpu, const struct insn *insn, uint16_t *value,
                        struct event *fault)
{
    return rm16_access(vcpu, insn, value, ACCESS_WRITE, fault);
}

bool rm16_write(struct vcpu *vcpu, const struct insn *insn, uint32_t value, bool wide_reg,
                struct event *fault)
{
    uint16_t word = value;

    if (MODRM_MOD(insn->modrm) != 3)
        return operand_write(vcpu, insn, &word, sizeof(word), fault);
    gpr_write(vcpu, MODRM_RM(insn->modrm), wide_reg ? insn->opsize : 2, value);
    return true;
}

static bool fetch(struct vcpu *vcpu, gva_t gva, uint8_t *bytes, uint32_t n, struct exit *exit)
{
    return guest_read(vcpu, gva, bytes, n, ACCESS_FETCH | ACCESS_PEEK | access_at(vcpu_cpl(vcpu)),
                      &exit->exception.event);
}

/* The second page is read only when the instruction reaches it, as the CPU would: that page may
 * be missing. */
static bool fetch_and_decode(struct vcpu *vcpu, struct insn *insn, struct exit *exit)
{
    const struct segment *cs = &vcpu->seg[SREG_CS];
    int bits = cs->attr & SEG_DB ? 32 : 16;
    gva_t gva = cs->base + vcpu->eip;
    uint32_t on_page = PAGE_SIZE - (gva & ~PAGE_MASK), in_limit = cs->limit - vcpu->eip, n;
    uint8_t bytes[INSN_MAX];
    enum decode_result result;

    if (vcpu->eip > cs->limit)
        return raise_fault(&exit->exception.event, VEC_GP, 0);
    in_limit = in_limit < INSN_MAX ? in_limit + 1 : INSN_MAX;
    n = in_limit < on_page ? in_limit : on_page;
    if (!fetch(vcpu, gva, bytes, n, exit))
        return false;
    result = decode(insn, bytes, n, bits);
    if (result == DECODE_MORE && n < in_limit) {
        if (!fetch(vcpu, gva + n, bytes + n, in_limit - n, exit))
            return false;
        result = decode(insn, bytes, in_limit, bits);
    }
    if (result == DECODE_OK)
        return true;
    /* Beyond the limit or longer than 15 bytes: SDM vol. 3A section 6.15, #GP. */
    return raise_fault(&exit->exception.event, result == DECODE_INVALID ? VEC_UD : VEC_GP, 0);
}

bool fetch_decode(struct vcpu *vcpu, struct insn *insn, struct exit *exit)
{
    if (fetch_and_decode(vcpu, insn, exit))
        return true;
    emu_faulted(exit);
    return false;
}
