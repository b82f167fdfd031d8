/* The short ways that are in C: called by the stubs, without the vCPU loop. See fast.h for the
 * idea. */
#include "cpu.h"
#include "engine.h"
#include "services.h"
#include "traced.h"

/* What the stub does next. */
enum lean { LEAN_SLOW, LEAN_RESUME, LEAN_BOUNCE };

uint32_t sw_lean_page_fault(uint32_t error);
uint32_t sw_lean_page_fault(uint32_t error)
{
    struct sw *sw = sw_fast.sw;
    const bool user = sw_fast.level == FAST_USER;
    const gva_t gva = read_cr2();
    gpa_t gpa;
    if (!user && (error & PF_I))
        return LEAN_SLOW; /* the code window's */
    if (!user && sw->policy->settle)
        sw->policy->settle(sw);
    if (sw->gdt_stale)
        return LEAN_SLOW;
    switch (shadow_fault(&sw->shadow, user ? SHADOW_USER : SHADOW_KERNEL, gva, error,
                         &sw_fast.pf_error, &gpa)) {
    case SHADOW_FILLED:
        sw_fast.count_fill++;
        if (sw->shadow.stale) { /* the pool was empty: everything has been dropped */
            write_cr3(user ? sw_fast.user_cr3 : sw_fast.kernel_cr3);
            sw->shadow.stale = false;
        }
        return LEAN_RESUME;
    case SHADOW_FAULT:
        if (sw_fast.gate[VEC_PF].low == GATE_NOT_LEARNED)
            return LEAN_SLOW;
        if (sw->shadow.stale) { /* gva has been in a page of 4 MB: all of it is forgotten */
            write_cr3(user ? sw_fast.user_cr3 : sw_fast.kernel_cr3);
            sw->shadow.stale = false;
        }
        sw->vcpu->cr2 = gva;
        *sw->kernel_cr2 = gva;
        return LEAN_BOUNCE;
    default:
        return LEAN_SLOW;
    }
}

/* An interrupt that the guest cannot take now waits for the instruction that enables it. */
static inline bool irq_is_due(struct vcpu *vcpu)
{
    if (!devices_irq_pending(&vcpu->vm->dev))
        return false;
    sw_fast.irq_waits = true;
    return vcpu->eflags & FL_IF;
}

#define FROM_STUB __attribute__((regparm(3))) /* arguments in EAX, EDX, ECX */

/* Done: has the loop anything to look at before the guest goes on? */
static inline __attribute__((always_inline)) uint32_t
lean_done(struct vcpu *vcpu, const struct insn *insn, enum exit_reason reason)
{
    vcpu->eip += insn->len;
    vcpu->int_shadow = 0;
    vcpu->eflags &= ~FL_RF;
    vcpu->exit_count[reason]++;
    if (!host_work && !irq_is_due(vcpu) && !vcpu->dirty && !sw_fast.sw->shadow.stale &&
        !sw_fast.sw->gdt_stale)
        return LEAN_RESUME;
    sw_fast.handled = reason;
    return LEAN_SLOW;
}

/* What the stubs of IN and OUT call. Port I/O of a guest kernel is always allowed. */
uint32_t FROM_STUB sw_lean_in(uint32_t port, uint32_t size);
void FROM_STUB sw_lean_out(uint32_t port, uint32_t size, uint32_t value);

static inline void port_done(struct vcpu *vcpu, uint32_t port)
{
    vcpu->int_shadow = 0;
    vcpu->eflags &= ~FL_RF;
    vcpu->exit_count[EXIT_IO]++;
    if (port_needs_a_look((uint16_t)port))
        host_work = true;
    /* A device may have written to the GDT, or to a page that is watched. */
    if (irq_is_due(vcpu) || host_work || vcpu->vm->stopped || sw_fast.sw->gdt_stale ||
        sw_fast.sw->shadow.stale)
        sw_fast.handled = EXIT_IO;
}

/* What is above the size does not count. */
uint32_t FROM_STUB sw_lean_in(uint32_t port, uint32_t size)
{
    struct vcpu *vcpu = sw_fast.sw->vcpu;
    const uint32_t value = devices_in(&vcpu->vm->dev, (uint16_t)port, size);
    port_done(vcpu, port);
    return value;
}

void FROM_STUB sw_lean_out(uint32_t port, uint32_t size, uint32_t value)
{
    struct vcpu *vcpu = sw_fast.sw->vcpu;
    devices_out(&vcpu->vm->dev, (uint16_t)port, size, value);
    port_done(vcpu, port);
}

/* The root that the CPU has stays the same, with other tables in it. */
static void lean_cr3(struct vcpu *vcpu, uint32_t value)
{
    struct shadow *shadow = &sw_fast.sw->shadow;
    vcpu->cr3 = value;
    sw_tlb_flush_all(vcpu, false);
    write_cr3(sw_fast.kernel_cr3);
    shadow->stale = false;
}

/* CR0 where only MP, EM and TS change: the host's follow, and nothing else depends on them. */
static uint32_t lean_cr0(struct vcpu *vcpu, const struct insn *insn, uint32_t value)
{
    const uint32_t reach = CR0_MP | CR0_EM | CR0_TS;
    if ((value ^ vcpu->cr0) & ~reach)
        return LEAN_SLOW;
    if (value != vcpu->cr0)
        write_cr0((read_cr0() & ~reach) | (value & reach));
    vcpu->cr0 = value;
    return lean_done(vcpu, insn, EXIT_CR);
}

static uint32_t FROM_STUB lean_to_cr(struct vcpu *vcpu, const struct insn *insn)
{
    const uint32_t value = vcpu->gpr[MODRM_RM(insn->modrm)];
    switch (MODRM_REG(insn->modrm)) {
    case 0:
        return lean_cr0(vcpu, insn, value);
    case 2:
        vcpu->cr2 = value;
        return lean_done(vcpu, insn, EXIT_CR);
    case 3:
        lean_cr3(vcpu, value);
        return lean_done(vcpu, insn, EXIT_CR);
    default:
        return LEAN_SLOW;
    }
}

static uint32_t FROM_STUB lean_clts(struct vcpu *vcpu, const struct insn *insn)
{
    return lean_cr0(vcpu, insn, vcpu->cr0 & ~CR0_TS);
}

static uint32_t FROM_STUB lean_rdmsr(struct vcpu *vcpu, const struct insn *insn)
{
    return guest_rdmsr(vcpu) ? lean_done(vcpu, insn, EXIT_MSR) : LEAN_SLOW;
}

/* Only the TSC's offset matters to the engine (load_control). */
static uint32_t FROM_STUB lean_wrmsr(struct vcpu *vcpu, const struct insn *insn)
{
    const uint64_t offset = vcpu->tsc_offset;
    if (!guest_wrmsr(vcpu))
        return LEAN_SLOW;
    if (vcpu->tsc_offset == offset)
        vcpu->dirty &= ~DIRTY_MSR;
    return lean_done(vcpu, insn, EXIT_MSR);
}

static uint32_t FROM_STUB lean_rdtsc(struct vcpu *vcpu, const struct insn *insn)
{
    const uint64_t tsc = rdtsc() + vcpu->tsc_offset;
    vcpu->gpr[GPR_EAX] = (uint32_t)tsc;
    vcpu->gpr[GPR_EDX] = (uint32_t)(tsc >> 32);
    return lean_done(vcpu, insn, EXIT_TSC);
}

static uint32_t FROM_STUB lean_cpuid(struct vcpu *vcpu, const struct insn *insn)
{
    guest_cpuid(vcpu);
    return lean_done(vcpu, insn, EXIT_CPUID);
}

/* The guest may have loaded segments since the last exit; the stub has left them in the frame. */
static void collect_segments(struct sw *sw)
{
    const uint32_t level = sw_fast.level;
    sw_fast_collect(sw);
    sw_fast.level = level;
    sw_segments_collect(sw);
}

static uint32_t FROM_STUB lean_invlpg(struct vcpu *vcpu, const struct insn *insn)
{
    struct sw *sw = sw_fast.sw;
    enum sreg seg;
    collect_segments(sw);
    sw_tlb_flush(vcpu, insn_operand_gva(vcpu, insn, &seg));
    if (sw->shadow.stale && !sw->gdt_stale) {
        write_cr3(sw_fast.kernel_cr3);
        sw->shadow.stale = false;
    }
    return lean_done(vcpu, insn, EXIT_INVLPG);
}

typedef uint32_t FROM_STUB lean_handler(struct vcpu *vcpu, const struct insn *insn);
static lean_handler *const lean_handlers[OP_COUNT] = {
    [OP_MOV_TO_CR] = lean_to_cr, [OP_CLTS] = lean_clts,   [OP_RDMSR] = lean_rdmsr,
    [OP_WRMSR] = lean_wrmsr,     [OP_RDTSC] = lean_rdtsc, [OP_CPUID] = lean_cpuid,
    [OP_INVLPG] = lean_invlpg,
};

/* The handlers are those of the sites that lead here: site_of(). */
static uint32_t FROM_STUB lean(struct vcpu *vcpu, const struct insn *insn)
{
    return lean_handlers[insn->op](vcpu, insn);
}

/* As they are counted. */
static const uint8_t reasons[OP_COUNT] = {
    [OP_MOV_TO_CR] = EXIT_CR,  [OP_CLTS] = EXIT_CR,   [OP_RDMSR] = EXIT_MSR,
    [OP_WRMSR] = EXIT_MSR,     [OP_RDTSC] = EXIT_TSC, [OP_CPUID] = EXIT_CPUID,
    [OP_INVLPG] = EXIT_INVLPG,
};

static uint32_t FROM_STUB lean_traced(struct vcpu *vcpu, const struct insn *insn)
{
    trace_reason(reasons[insn->op]);
    return lean_handlers[insn->op](vcpu, insn);
}

extern lean_handler *sw_lean_way; /* what the stub calls */
lean_handler *sw_lean_way = lean;

void sw_lean_trace(bool on)
{
    sw_lean_way = on ? lean_traced : lean;
}
