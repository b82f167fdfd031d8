/*
 * para mode: the deprivileged engine without a scanner. The guest kernel's own recorded sites are
 * patched, so that frequent sensitive operations become memory accesses or direct calls; what is
 * not patched still traps and is emulated.
 */
#include <string.h>

#include "engine.h"
#include "patcher.h"

struct para {
    struct patcher patcher;
    bool event_pending;
    uint64_t hypercalls[PV_OP_COUNT], null_calls, unknown_calls;
};

static struct para *para_of(struct sw *sw)
{
    return sw->policy_state;
}

static const char *policy_attach(struct sw *sw)
{
    static char why[200];
    struct para *para = page_alloc();
    _Static_assert(sizeof(struct para) <= PAGE_SIZE, "one page");
    if (!para)
        return "too little memory for the paravirtual state";
    const char *error = patcher_open(&para->patcher, sw->vcpu->vm, why, sizeof(why));
    if (error) {
        page_free(para);
        return error;
    }
    sw->policy_state = para;
    patcher_apply(&para->patcher, sw->vcpu->vm);
    host_gate_user(PV_GATE_CALL, true);
    host_gate_user(PV_GATE_IRET, true);
    return NULL;
}

static void policy_detach(struct sw *sw)
{
    patcher_undo(&para_of(sw)->patcher, sw->vcpu->vm);
    page_free(sw->policy_state);
    host_gate_user(PV_GATE_CALL, false);
    host_gate_user(PV_GATE_IRET, false);
}

/* The shared page holds IF while the guest kernel runs: canonical state to page ... */
static void before_entry(struct sw *sw)
{
    struct para *para = para_of(sw);
    struct pv_shared *shared = para->patcher.shared;
    shared->virtual_if = sw->vcpu->eflags & FL_IF;
    shared->event_pending = para->event_pending;
    shared->cr2 = sw->vcpu->cr2;
}

/* ... and back. A guest program cannot have changed it. */
static void after_exit(struct sw *sw)
{
    struct vcpu *vcpu = sw->vcpu;
    if (!sw->user)
        vcpu->eflags = (vcpu->eflags & ~FL_IF) | (para_of(sw)->patcher.shared->virtual_if & FL_IF);
}

static void exit_io(struct vcpu *vcpu, struct exit *exit, bool in, uint8_t size)
{
    exit->reason = EXIT_IO;
    exit->io.port = (uint16_t)vcpu->gpr[GPR_EDX];
    exit->io.size = size;
    exit->io.in = in;
    exit->io.string = exit->io.rep = false;
}

static void exit_cr(struct exit *exit, uint8_t number, bool write)
{
    exit->reason = EXIT_CR;
    exit->cr.number = number;
    exit->cr.write = write;
    exit->cr.has_value = false;
    exit->cr.gpr = GPR_EAX;
}

/* Number in ECX; the operation's plain meaning, as the same exit that a trap would have given. EIP
 * is behind the trap already, so nothing is skipped. */
static void hypercall(struct sw *sw, struct exit *exit)
{
    struct vcpu *vcpu = sw->vcpu;
    struct para *para = para_of(sw);
    const uint32_t number = vcpu->gpr[GPR_ECX];
    exit->reason = EXIT_HYPERCALL;
    exit->insn_len = 0;
    if (number < PV_OP_COUNT)
        para->hypercalls[number]++;
    switch (number) {
    case PV_OP_STI: /* the guest has set virtual_if; the loop injects */
        break;
    case PV_OP_STI_HLT:
        vcpu->eflags |= FL_IF;
        exit->reason = EXIT_HLT;
        break;
    case PV_OP_HLT:
        exit->reason = EXIT_HLT;
        break;
    case PV_OP_IN8:
        exit_io(vcpu, exit, true, 1);
        break;
    case PV_OP_IN16:
        exit_io(vcpu, exit, true, 2);
        break;
    case PV_OP_IN32:
        exit_io(vcpu, exit, true, 4);
        break;
    case PV_OP_OUT8:
        exit_io(vcpu, exit, false, 1);
        break;
    case PV_OP_OUT16:
        exit_io(vcpu, exit, false, 2);
        break;
    case PV_OP_OUT32:
        exit_io(vcpu, exit, false, 4);
        break;
    case PV_OP_READ_CR0:
        exit_cr(exit, 0, false);
        break;
    case PV_OP_WRITE_CR0:
        exit_cr(exit, 0, true);
        break;
    case PV_OP_READ_CR3:
        exit_cr(exit, 3, false);
        break;
    case PV_OP_WRITE_CR3:
        exit_cr(exit, 3, true);
        break;
    case PV_OP_READ_CR4:
        exit_cr(exit, 4, false);
        break;
    case PV_OP_WRITE_CR4:
        exit_cr(exit, 4, true);
        break;
    case PV_OP_INVLPG:
        exit->reason = EXIT_INVLPG;
        exit->invlpg.gva = vcpu->gpr[GPR_EAX];
        break;
    case PV_OP_CPUID:
        exit->reason = EXIT_CPUID;
        break;
    case PV_CALL_NULL:
        para->null_calls++;
        vcpu->gpr[GPR_EAX] = PV_OK;
        break;
    default:
        para->unknown_calls++;
        vcpu->gpr[GPR_EAX] = (uint32_t)PV_E_UNKNOWN;
    }
}

/* The patched IRET is a two-byte trap: the frame is what the plain one would have found. */
static void iret_call(struct sw *sw, struct exit *exit)
{
    static const struct insn iret = {.op = OP_IRET,
                                     .len = 2,
                                     .opsize = 4,
                                     .adsize = 4,
                                     .class = CLASS_SENSITIVE,
                                     .flow = FLOW_STOP,
                                     .opcode = 0xCF};
    para_of(sw)->hypercalls[PV_OP_IRET]++;
    sw->vcpu->eip -= iret.len;
    if (emulate(sw->vcpu, &iret, exit) == EMU_DONE)
        exit->reason = EXIT_PV_IRET;
}

static bool gate(struct sw *sw, uint8_t vector, struct exit *exit)
{
    if (vector == PV_GATE_IRET)
        iret_call(sw, exit);
    else if (vector == PV_GATE_CALL)
        hypercall(sw, exit);
    else
        return false;
    return true;
}

static const struct sw_policy para_policy = {
    .window = false,
    .attach = policy_attach,
    .detach = policy_detach,
    .before_entry = before_entry,
    .after_exit = after_exit,
    .gate = gate,
};

static const char *para_attach(struct vcpu *vcpu)
{
    return sw_attach(vcpu, &para_policy);
}

/* An event that waits for virtual_if is announced in the shared page: the guest's STI looks. */
static void para_irq_window(struct vcpu *vcpu, bool on)
{
    para_of(sw_of(vcpu))->event_pending = on;
    sw_irq_window(vcpu, on);
}

/* The engine and hypercall() have done their work before the exit is reported. */
static void para_handle(struct vcpu *vcpu, struct exit *exit)
{
    (void)vcpu;
    (void)exit;
}

static int para_stats(struct vcpu *vcpu, char *buf, unsigned size)
{
    struct para *para = para_of(sw_of(vcpu));
    int n = sw_stats(vcpu, buf, size);
    n += ksnprintf(buf + n, size - (unsigned)n,
                   ",\"patched_sites\":%u,\"null_hypercalls\":%llu,\"hypercalls\":{",
                   para->patcher.patched, para->null_calls);
    const char *comma = "";
    for (uint8_t op = 1; op < PV_OP_COUNT && n < (int)size; op++) {
        if (!para->hypercalls[op])
            continue;
        n += ksnprintf(buf + n, size - (unsigned)n, "%s\"%s\":%llu", comma, pv_op_name(op),
                       para->hypercalls[op]);
        comma = ",";
    }
    if (n < (int)size)
        n += ksnprintf(buf + n, size - (unsigned)n, "}");
    return n;
}

const struct vmm_mode mode_para;
const struct vmm_mode mode_para = {
    .name = "para",
    .what = "paravirtualization: the guest's own sites patched into hypercalls",
    .supported = sw_supported,
    .attach = para_attach,
    .detach = sw_detach,
    .sync = sw_sync,
    .run = sw_run,
    .handle = para_handle,
    .inject = sw_inject,
    .can_take_irq = sw_can_take_irq,
    .irq_window = para_irq_window,
    .tlb_flush = sw_tlb_flush,
    .tlb_flush_all = sw_tlb_flush_all,
    .stats = para_stats,
};
