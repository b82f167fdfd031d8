/*
 * The one exit path: what each normalised exit means, for all modes. A mode's own exits go to its
 * handle(); everything a device or a policy decides is here.
 */
#include <string.h>

#include "cpu.h"
#include "emulate.h"
#include "gmem.h"
#include "host.h"
#include "vm_loop.h"
#include "x86.h"

static const char *const names[] = {
#define X(id, name, what) name,
    EXIT_REASONS(X)
#undef X
};

const char *exit_reason_name(enum exit_reason reason)
{
    return reason < EXIT_REASON_COUNT ? names[reason] : "?";
}

/* The one place where a completed instruction is stepped over: EIP moves on, RF goes (SDM vol. 3B
 * section 17.3.1.1), and the interrupt shadow of a preceding STI or MOV SS ends (SDM vol. 3A
 * section 6.8.3). */
static void exit_advance(struct vcpu *vcpu, const struct exit *exit)
{
    vcpu->eip += exit->insn_len;
    vcpu->eflags &= ~FL_RF;
    vcpu->int_shadow = 0;
}

static void inject_fault(struct vcpu *vcpu, const struct event *event)
{
    vcpu->mode->inject(vcpu, event);
}

static void inject_gp(struct vcpu *vcpu)
{
    struct event gp = {.kind = EVENT_EXCEPTION, .vector = VEC_GP, .has_error = true};
    inject_fault(vcpu, &gp);
}

static void port_access(struct vcpu *vcpu, uint16_t port, unsigned size, bool in)
{
    struct devices *dev = &vcpu->vm->dev;
    if (in)
        gpr_write(vcpu, GPR_EAX, size, devices_in(dev, port, size));
    else
        devices_out(dev, port, size, gpr_read(vcpu, GPR_EAX, size));
    if (port_needs_a_look(port))
        host_work = true;
}

/* Iterations of INS or OUTS done before the guest is entered again, to bound the time spent. */
#define STRING_IO_BATCH 256

/* Many iterations at once, where the port can; false: none was done. */
static bool string_io_bulk(struct vcpu *vcpu, const struct exit *exit, bool *done)
{
    struct devices *dev = &vcpu->vm->dev;
    uint8_t bytes[STRING_IO_SPAN];
    const uint32_t ready = devices_bulk(dev, exit->io.port, exit->io.size, exit->io.in);
    const uint32_t n = ready ? string_io_span(vcpu, exit, ready) : 0;
    if (!n)
        return false;
    if (exit->io.in) {
        devices_in_bytes(dev, exit->io.port, bytes, n);
        string_io_bytes(vcpu, exit, bytes, n, true);
    } else {
        string_io_bytes(vcpu, exit, bytes, n, false);
        devices_out_bytes(dev, exit->io.port, bytes, n);
    }
    *done = string_io_advance_by(vcpu, exit, n);
    return true;
}

static void string_io_exit(struct vcpu *vcpu, struct exit *exit)
{
    struct devices *dev = &vcpu->vm->dev;
    const unsigned size = exit->io.size;
    struct event fault;
    vcpu->mode->sync(vcpu);
    bool done = exit->io.rep && string_io_finished(vcpu, exit);
    const bool single_step = vcpu->eflags & FL_TF; /* #DB after each iteration */
    for (int i = 0; i < (single_step ? 1 : STRING_IO_BATCH) && !done; i++) {
        uint32_t value = 0;
        if (!single_step && string_io_bulk(vcpu, exit, &done))
            continue;
        /* INS asks for its operand before the port is read: a fault must not lose a byte. */
        bool ok = exit->io.in ? string_io_probe(vcpu, exit, &fault)
                              : string_io_operand(vcpu, exit, &value, false, &fault);
        if (!ok) {
            inject_fault(vcpu, &fault);
            return;
        }
        if (exit->io.in) {
            value = devices_in(dev, exit->io.port, size);
            string_io_operand(vcpu, exit, &value, true, &fault);
        } else {
            devices_out(dev, exit->io.port, size, value);
        }
        done = string_io_advance(vcpu, exit);
    }
    if (done)
        exit_advance(vcpu, exit);
    else
        vcpu->iterated = single_step;
}

static void handle_io(struct vcpu *vcpu, struct exit *exit)
{
    if (exit->io.string) {
        string_io_exit(vcpu, exit);
        host_work |= port_needs_a_look(exit->io.port);
        return;
    }
    port_access(vcpu, exit->io.port, exit->io.size, exit->io.in);
    exit_advance(vcpu, exit);
}

static void handle_hlt(struct vcpu *vcpu, struct exit *exit)
{
    exit_advance(vcpu, exit);
    vcpu->halted = true;
}

static void handle_cpuid(struct vcpu *vcpu, struct exit *exit)
{
    guest_cpuid(vcpu);
    exit_advance(vcpu, exit);
}

static uint32_t *cr_field(struct vcpu *vcpu, unsigned number)
{
    switch (number) {
    case 0:
        return &vcpu->cr0;
    case 2:
        return &vcpu->cr2;
    case 3:
        return &vcpu->cr3;
    default:
        return &vcpu->cr4;
    }
}

static void handle_cr(struct vcpu *vcpu, struct exit *exit)
{
    struct event fault;
    const unsigned number = exit->cr.number;
    vcpu->mode->sync(vcpu);
    if (!exit->cr.write) {
        gpr_write(vcpu, exit->cr.gpr, 4, *cr_field(vcpu, number));
        exit_advance(vcpu, exit);
        return;
    }
    uint32_t value = exit->cr.has_value ? exit->cr.value : gpr_read(vcpu, exit->cr.gpr, 4);
    const uint32_t old0 = vcpu->cr0, old4 = vcpu->cr4;
    if (!vcpu_write_cr(vcpu, number, value, &fault)) {
        inject_fault(vcpu, &fault);
        return;
    }
    exit_advance(vcpu, exit);
    /* Which CR changes flush the TLB: SDM vol. 3A section 4.10.4.1. */
    if (number == 3)
        vcpu->mode->tlb_flush_all(vcpu, false);
    if ((number == 0 && (old0 ^ vcpu->cr0) & (CR0_PG | CR0_WP | CR0_PE)) ||
        (number == 4 && (old4 ^ vcpu->cr4) & (CR4_PSE | CR4_PGE)))
        vcpu->mode->tlb_flush_all(vcpu, true);
}

static void handle_dr(struct vcpu *vcpu, struct exit *exit)
{
    vcpu->mode->sync(vcpu);
    unsigned number = exit->cr.number;
    if (number == 4 || number == 5) /* aliases while CR4.DE is 0, SDM vol. 3B section 17.2.2 */
        number += 2;
    if (!exit->cr.write) {
        gpr_write(vcpu, exit->cr.gpr, 4, vcpu->dr[number]);
    } else {
        uint32_t value = gpr_read(vcpu, exit->cr.gpr, 4);
        if (number == 6)
            value = (value & 0x0000E00Fu) | 0xFFFF0FF0u;
        if (number == 7)
            value = (value & 0xFFFF2FFFu) | 0x400u; /* bit 11 stays, as on both CPUs */
        vcpu->dr[number] = value;
        vcpu->dirty |= DIRTY_DR;
    }
    exit_advance(vcpu, exit);
}

static void handle_msr(struct vcpu *vcpu, struct exit *exit)
{
    vcpu->mode->sync(vcpu);
    if (exit->msr.write ? guest_wrmsr(vcpu) : guest_rdmsr(vcpu))
        exit_advance(vcpu, exit);
    else
        inject_gp(vcpu);
}

static void handle_invlpg(struct vcpu *vcpu, struct exit *exit)
{
    vcpu->mode->tlb_flush(vcpu, exit->invlpg.gva);
    exit_advance(vcpu, exit);
}

static void handle_tsc(struct vcpu *vcpu, struct exit *exit)
{
    uint64_t t = rdtsc() + vcpu->tsc_offset;
    vcpu->gpr[GPR_EAX] = (uint32_t)t;
    vcpu->gpr[GPR_EDX] = (uint32_t)(t >> 32);
    exit_advance(vcpu, exit);
}

/* A mode without services of its own knows no hypercall: the guest's kernel gets an error, not a
 * fault. Programs get what the bare machine has for them. */
static void handle_hypercall(struct vcpu *vcpu, struct exit *exit)
{
    vcpu->mode->sync(vcpu);
    if (vcpu_cpl(vcpu) != 0) {
        const struct event ud = {.kind = EVENT_EXCEPTION, .vector = VEC_UD};
        inject_fault(vcpu, &ud);
        return;
    }
    if (vcpu->mode->handle) {
        vcpu->mode->handle(vcpu, exit);
        return;
    }
    vcpu->gpr[GPR_EAX] = (uint32_t)-1;
    exit_advance(vcpu, exit);
}

static void handle_exception(struct vcpu *vcpu, struct exit *exit)
{
    inject_fault(vcpu, &exit->exception.event);
}

static void handle_triple_fault(struct vcpu *vcpu, struct exit *exit)
{
    (void)exit;
    vcpu->mode->sync(vcpu);
    vm_kill(vcpu->vm,
            "triple fault: an exception during the double fault's delivery, at EIP %08x "
            "ESP %08x CR2 %08x",
            vcpu->eip, vcpu->gpr[GPR_ESP], vcpu->cr2);
}

static void handle_kill(struct vcpu *vcpu, struct exit *exit)
{
    vcpu->mode->sync(vcpu);
    vm_kill(vcpu->vm, "%s, at EIP %08x", exit->kill.reason, vcpu->eip);
}

static void exit_advance_only(struct vcpu *vcpu, struct exit *exit)
{
    exit_advance(vcpu, exit);
}

static void handle_breakpoint(struct vcpu *vcpu, struct exit *exit)
{
    (void)exit;
    vcpu->vm->breakpoint_hit(vcpu);
}

static void handle_nothing(struct vcpu *vcpu, struct exit *exit)
{
    (void)vcpu;
    (void)exit;
}

typedef void (*exit_handler)(struct vcpu *, struct exit *);
static const exit_handler handlers[EXIT_REASON_COUNT] = {
    [EXIT_NONE] = handle_nothing,
    [EXIT_IO] = handle_io,
    [EXIT_HLT] = handle_hlt,
    [EXIT_CPUID] = handle_cpuid,
    [EXIT_CR] = handle_cr,
    [EXIT_DR] = handle_dr,
    [EXIT_MSR] = handle_msr,
    [EXIT_INVLPG] = handle_invlpg,
    [EXIT_CACHE] = exit_advance_only,
    [EXIT_TSC] = handle_tsc,
    [EXIT_HYPERCALL] = handle_hypercall,
    [EXIT_EXCEPTION] = handle_exception,
    [EXIT_NESTED_FAULT] = mmio_access,
    [EXIT_NESTED_FILL] = handle_nothing,
    [EXIT_MMIO] = mmio_access,
    [EXIT_IRQ_WINDOW] = handle_nothing,
    [EXIT_HOST_IRQ] = handle_nothing,
    /* Software modes have done what there is to do before they report these. */
    [EXIT_FLAGS] = handle_nothing,
    [EXIT_SEGMENT] = handle_nothing,
    [EXIT_DESCRIPTOR] = handle_nothing,
    [EXIT_IRET] = handle_nothing,
    [EXIT_SOFT_INT] = handle_nothing,
    [EXIT_SHADOW_FILL] = handle_nothing,
    [EXIT_SCAN] = handle_nothing,
    [EXIT_WINDOW] = handle_nothing,
    [EXIT_TRACED_WRITE] = handle_nothing,
    [EXIT_STEP] = handle_nothing,
    [EXIT_HOLE_WRITE] = handle_nothing,
    [EXIT_BREAKPOINT] = handle_breakpoint,
    [EXIT_TRIPLE_FAULT] = handle_triple_fault,
    [EXIT_KILL] = handle_kill,
    [EXIT_ENTRY_FAILED] = handle_kill,
};

void exit_dispatch(struct vcpu *vcpu, struct exit *exit)
{
    exit_handler handler = handlers[exit->reason];
    if (handler)
        handler(vcpu, exit);
    else if (vcpu->mode->handle)
        vcpu->mode->handle(vcpu, exit);
    else
        panic("mode %s returned exit %s, which nobody handles", vcpu->mode->name,
              exit_reason_name(exit->reason));
}
