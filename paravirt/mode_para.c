/*
 * para mode: the deprivileged engine without a scanner. The guest kernel's own recorded sites are
 * patched, so that frequent sensitive operations become memory accesses or direct calls; what is
 * not patched still traps and is emulated.
 */
#include <string.h>

#include "engine.h"
#include "gmem.h"
#include "para.h"
#include "traced.h"

static struct para *para_of(struct sw *sw)
{
    return sw->policy_state;
}

/* The clock runs with the guest's TSC; its zero is the devices'. */
static void publish_clock(struct para *para)
{
    const struct vcpu *vcpu = para->vcpu;
    volatile struct pv_shared *shared = para->patcher.shared;
    const uint64_t base = host_tsc_zero() + vcpu->tsc_offset;
    shared->features = (para->features & PV_FEATURE_CLOCK ? PV_HAS_CLOCK : 0) |
                       (para->features & PV_FEATURE_TIMER ? PV_HAS_TIMER : 0);
    shared->clock_version++;
    shared->tsc_khz = (uint32_t)(host_tsc_hz / 1000);
    shared->tsc_base[0] = (uint32_t)base;
    shared->tsc_base[1] = (uint32_t)(base >> 32);
    shared->wall_seconds = (uint32_t)vcpu->vm->dev.cmos.boot_seconds;
    shared->clock_version++;
    para->clock_offset = vcpu->tsc_offset;
}

/* A guest that has run in another mode: its stacks may hold addresses in the middle of sites. */
static const char *join(struct sw *sw, const struct patcher *patcher)
{
    struct event ignored;
    sw->watch_iret = true;
    switch (pv_finish_site(sw->vcpu, patcher, &ignored)) {
    case PV_HALFWAY_FAULT:
        return "the guest is in the middle of a site, and its stack is not there";
    case PV_HALFWAY_HLT:
        sw->vcpu->halted = true;
        return NULL;
    default:
        return NULL;
    }
}

static const char *policy_attach(struct sw *sw)
{
    static char why[200];
    struct para *para = page_alloc();
    _Static_assert(sizeof(struct para) <= PAGE_SIZE, "one page");
    if (!para)
        return "too little memory for the paravirtual state";
    const char *error = pv_features(sw->vcpu->vm->options, &para->features);
    if (!error)
        error = patcher_open(&para->patcher, sw->vcpu->vm, why, sizeof(why));
    if (!error)
        error = pv_sites_open(para);
    if (!error && sw->vcpu->vm->started) {
        error = join(sw, &para->patcher);
        if (error)
            pv_sites_close(para);
    }
    if (error) {
        page_free(para);
        return error;
    }
    para->sw = sw;
    para->vcpu = sw->vcpu;
    para->mmu = &pv_shadow_mmu;
    sw->policy_state = para;
    sw->kernel_flags = &para->patcher.shared->virtual_flags;
    sw->kernel_cr2 = &para->patcher.shared->cr2;
    sw->short_ways = para->features & PV_FEATURE_SHORT;
    patcher_apply(&para->patcher, sw->vcpu->vm, para->features);
    para->patcher.shared->clock_version &= ~1u;
    publish_clock(para);
    pv_fast_open(para);
    return NULL;
}

static void policy_detach(struct sw *sw)
{
    pv_drain(para_of(sw));
    pv_fast_close();
    pv_sites_close(para_of(sw));
    patcher_undo(&para_of(sw)->patcher, sw->vcpu->vm);
    page_free(sw->policy_state);
}

#define REPATCH_PERIOD 16 /* entries */

/* With pv=repatch: what a switch of modes does to the sites, between two instructions of the guest.
 */
static void repatch(struct sw *sw)
{
    static char why[200];
    struct para *para = para_of(sw);
    struct vm *vm = sw->vcpu->vm;
    if (para->entries++ % REPATCH_PERIOD ||
        (vcpu_cpl(sw->vcpu) == 0 && !patcher_safe_point(&para->patcher, sw->vcpu->eip)))
        return;
    patcher_undo(&para->patcher, vm);
    if (patcher_check(&para->patcher, vm, why, sizeof(why)))
        panic("after the patches were undone, %s", why);
    patcher_apply(&para->patcher, vm, para->features);
    para->repatched++;
}

/* The shared page holds IF and IOPL while the guest kernel runs: canonical state to page ... */
static void before_entry(struct sw *sw)
{
    const struct vcpu *vcpu = sw->vcpu;
    struct para *para = para_of(sw);
    struct pv_shared *shared = para->patcher.shared;
    shared->virtual_flags =
        (vcpu->eflags & (FL_IF | FL_IOPL)) | (para->event_pending ? PV_EVENT_PENDING : 0);
    shared->cr0 = vcpu->cr0;
    shared->cr2 = vcpu->cr2;
    if (para->clock_offset != vcpu->tsc_offset)
        publish_clock(para);
    if (para->features & PV_REPATCH)
        repatch(sw);
}

/* What code of the guest's privilege level may change of them (SDM vol. 2, CLI and POPF). The page
 * is not closed to rings 1 and 2, which are the kernel to paging. */
static uint32_t changeable(const struct vcpu *vcpu)
{
    const unsigned cpl = vcpu_cpl(vcpu);
    if (!cpl)
        return FL_IF | FL_IOPL;
    return cpl <= (vcpu->eflags & FL_IOPL) >> FL_IOPL_SHIFT ? FL_IF : 0;
}

/* ... and back. A guest program cannot have changed it. */
static void after_exit(struct sw *sw)
{
    struct vcpu *vcpu = sw->vcpu;
    if (sw->user)
        return;
    const uint32_t mine = changeable(vcpu);
    vcpu->eflags = (vcpu->eflags & ~mine) | (para_of(sw)->patcher.shared->virtual_flags & mine);
    pv_catch_up(para_of(sw));
}

/* A page fault of the guest kernel may come of what is still in the queue. */
static void settle(struct sw *sw)
{
    pv_catch_up(para_of(sw));
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

/* What is left of a stub behind its trap is RET, and a NOP at the site. A CPU that halts does it
 * first: then it waits at a safe point, where the interrupt that ends the wait can come. */
static void leave_stub(struct vcpu *vcpu, const struct patcher *p)
{
    uint32_t eip;
    struct event ignored;
    if (vcpu->eip - p->note.hypercall_page >= PAGE_SIZE ||
        !guest_read(vcpu, vcpu->gpr[GPR_ESP], &eip, 4, 0, &ignored))
        return;
    vcpu->eip = patcher_behind_call(p, eip);
    vcpu->gpr[GPR_ESP] += 4;
}

/* The operation's plain meaning, as the same exit that a trap would have given. EIP is behind the
 * trap already, so nothing is skipped. */
static void hypercall(struct sw *sw, uint32_t number, struct exit *exit)
{
    struct vcpu *vcpu = sw->vcpu;
    struct para *para = para_of(sw);
    exit->reason = EXIT_HYPERCALL;
    exit->insn_len = 0;
    if (pv_is_service(number)) {
        vcpu->gpr[GPR_EAX] = (uint32_t)pv_service(para, number, vcpu->gpr[GPR_EAX],
                                                  vcpu->gpr[GPR_EDX], vcpu->gpr[GPR_EBX]);
        return;
    }
    para->hypercalls[number]++;
    switch (number) {
    case PV_OP_CLI:
        vcpu->eflags &= ~FL_IF;
        break;
    case PV_OP_STI: /* the loop injects */
        vcpu->eflags |= FL_IF;
        break;
    case PV_OP_PUSHF:
        vcpu->gpr[GPR_EAX] = vcpu->eflags;
        break;
    case PV_OP_POPF:
        vcpu->eflags =
            (vcpu->eflags & ~PV_KERNEL_MAY_POP) | (vcpu->gpr[GPR_EAX] & PV_KERNEL_MAY_POP);
        break;
    case PV_OP_STI_HLT:
        vcpu->eflags |= FL_IF;
        leave_stub(vcpu, &para->patcher);
        exit->reason = EXIT_HLT;
        break;
    case PV_OP_HLT:
        leave_stub(vcpu, &para->patcher);
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
    case PV_OP_READ_CR2:
        exit_cr(exit, 2, false);
        break;
    case PV_OP_READ_CR4:
        exit_cr(exit, 4, false);
        break;
    case PV_OP_WRITE_CR4:
        exit_cr(exit, 4, true);
        break;
    case PV_OP_CPUID:
        exit->reason = EXIT_CPUID;
        break;
    default:
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
    if (emulate(sw->vcpu, &iret, exit) != EMU_DONE)
        return;
    exit->reason = EXIT_PV_IRET;
    switch (pv_finish_site(sw->vcpu, &para_of(sw)->patcher, &exit->exception.event)) {
    case PV_HALFWAY_HLT:
        exit->reason = EXIT_HLT;
        exit->insn_len = 0;
        break;
    case PV_HALFWAY_FAULT:
        exit->reason = EXIT_EXCEPTION;
        break;
    default:
        break;
    }
}

/* A site that was patched to be counted: do what it stands for. */
static bool counted(struct sw *sw, struct exit *exit)
{
    struct vcpu *vcpu = sw->vcpu;
    struct para *para = para_of(sw);
    const int i = para->site_count ? pv_site_at(para, vcpu->eip) : -1;
    if (i < 0)
        return false;
    para->site_count[i]++;
    const uint8_t op = para->patcher.sites[i].op;
    if (op == PV_OP_IRET) {
        iret_call(sw, exit);
        return true;
    }
    if (op == PV_OP_SET_PTE) {
        struct event fault;
        if (!guest_write(vcpu, vcpu->gpr[GPR_EDX], &vcpu->gpr[GPR_EAX], 4, 0, &fault)) {
            vcpu->eip -= 2;
            exit->reason = EXIT_EXCEPTION;
            exit->exception.event = fault;
            return true;
        }
        vcpu->gpr[GPR_EAX] = vcpu->gpr[GPR_ECX];
    }
    vcpu->eip += PV_SITE_LEN - 2;
    const uint32_t eax = vcpu->gpr[GPR_EAX];
    hypercall(sw, op, exit);
    if (exit->reason == EXIT_HYPERCALL && op != PV_OP_PUSHF)
        vcpu->gpr[GPR_EAX] = eax; /* sites have no result */
    return true;
}

/* Hypercalls are for the guest kernel; in rings 1 and 2 these are the guest's own INT n. */
static bool gate(struct sw *sw, uint8_t vector, struct exit *exit)
{
    if (vcpu_cpl(sw->vcpu))
        return false;
    switch (vector) {
    case PV_GATE_IRET:
        iret_call(sw, exit);
        return true;
    case PV_GATE_CALL:
        hypercall(sw, sw->vcpu->gpr[GPR_ECX], exit);
        return true;
    case PV_GATE_COUNT:
        return counted(sw, exit);
    default:
        return false;
    }
}

static bool own_gate(uint8_t vector)
{
    return vector == PV_GATE_CALL || vector == PV_GATE_IRET || vector == PV_GATE_COUNT;
}

static const struct sw_policy para_policy = {
    .window = false,
    .attach = policy_attach,
    .detach = policy_detach,
    .before_entry = before_entry,
    .after_exit = after_exit,
    .settle = settle,
    .gate = gate,
    .own_gate = own_gate,
};

static const char *para_attach(struct vcpu *vcpu)
{
    return sw_attach(vcpu, &para_policy);
}

/* Interrupts come between sites only: see patcher_safe_point(). A guest program has none. */
static bool at_safe_point(struct vcpu *vcpu)
{
    return vcpu_cpl(vcpu) == 3 || patcher_safe_point(&para_of(sw_of(vcpu))->patcher, vcpu->eip);
}

static bool para_can_take_irq(struct vcpu *vcpu)
{
    return sw_can_take_irq(vcpu) && at_safe_point(vcpu);
}

/* An event that waits for IF is announced in the shared page: the guest's STI looks. One that waits
 * for the end of a site or stub comes after a few steps. */
static void para_irq_window(struct vcpu *vcpu, bool on)
{
    struct sw *sw = sw_of(vcpu);
    para_of(sw)->event_pending = on;
    sw_irq_window(vcpu, on);
    if (on && sw->step == STEP_NONE && (vcpu->eflags & FL_IF) && !at_safe_point(vcpu))
        sw->step = STEP_SHADOW;
}

/* The sites can be put back only while the guest is in none of them, nor in a stub: that is a few
 * steps away. */
static const char *para_stays(struct vcpu *vcpu)
{
    struct sw *sw = sw_of(vcpu);
    if (at_safe_point(vcpu))
        return sw_stays(vcpu);
    if (sw->step == STEP_NONE)
        sw->step = STEP_SHADOW;
    return "the guest is in the middle of a patched site";
}

/* The engine and hypercall() have done their work before the exit is reported. */
static void para_handle(struct vcpu *vcpu, struct exit *exit)
{
    (void)vcpu;
    (void)exit;
}

/* The numbers that the gates have counted are part of it. */
static uint64_t calls_of(const struct para *para, uint8_t op)
{
    return para->hypercalls[op] + (op == PV_OP_IRET ? pv_iret_calls : 0);
}

static int para_stats(struct vcpu *vcpu, char *buf, unsigned size)
{
    struct para *para = para_of(sw_of(vcpu));
    int n = sw_stats(vcpu, buf, size);
    n += ksnprintf(buf + n, size - (unsigned)n,
                   ",\"patched_sites\":%u,\"null_hypercalls\":%u,\"services\":%llu,"
                   "\"bad_hypercalls\":%llu,\"drains\":%llu,\"drained\":%llu,\"bad_entries\":%llu"
                   ",\"repatched\":%llu,\"hypercalls\":{",
                   para->patcher.patched, pv_null_calls, para->services, para->bad_calls,
                   para->drains, para->drained, para->bad_entries, para->repatched);
    const char *comma = "";
    for (uint8_t op = 1; op < PV_OP_COUNT && n < (int)size; op++) {
        if (!calls_of(para, op))
            continue;
        n += ksnprintf(buf + n, size - (unsigned)n, "%s\"%s\":%llu", comma, pv_op_name(op),
                       calls_of(para, op));
        comma = ",";
    }
    if (n < (int)size)
        n += ksnprintf(buf + n, size - (unsigned)n, "}");
    return n;
}

static void para_report(struct vcpu *vcpu)
{
    pv_sites_report(para_of(sw_of(vcpu)));
}

/* A hypercall's INT: the guest's IDT has nothing for it. */
static bool para_keeps(struct vcpu *vcpu, const struct insn *insn)
{
    return insn->op == OP_INTN && !vcpu_cpl(vcpu) && own_gate((uint8_t)insn->imm);
}

/* A breakpoint inside of a patched site. */
static bool para_splits(struct vcpu *vcpu, gva_t gva)
{
    const struct para *para = para_of(sw_of(vcpu));
    const struct pv_site *site = patcher_site_around(&para->patcher, gva);
    return site && pv_is_patched(site->op, para->features);
}

static bool para_show(struct vcpu *vcpu, const char *topic, struct sink *sink)
{
    if (strcmp(topic, "patches"))
        return sw_show(vcpu, topic, sink);
    pv_sites_show(para_of(sw_of(vcpu)), sink);
    return true;
}

/* What is wrong with the options is said when the mode is attached. */
static bool has_virtio(const char *options)
{
    uint32_t features;
    pv_features(options, &features);
    return features & PV_FEATURE_VIRTIO;
}

static void para_trace(struct vcpu *vcpu, bool on)
{
    sw_trace(vcpu, on);
    pv_fast_trace(on);
}

const struct vmm_mode mode_para;
const struct vmm_mode mode_para = {
    .name = "para",
    .what = "paravirtualization: the guest's own sites patched into hypercalls",
    .virtio = has_virtio,
    .supported = sw_supported,
    .refuses = sw_refuses,
    .stays = para_stays,
    .attach = para_attach,
    .detach = sw_detach,
    .sync = sw_sync,
    .run = sw_run,
    .handle = para_handle,
    .inject = sw_inject,
    .can_take_irq = para_can_take_irq,
    .irq_window = para_irq_window,
    .tlb_flush = sw_tlb_flush,
    .tlb_flush_all = sw_tlb_flush_all,
    .stats = para_stats,
    .trace = para_trace,
    .report = para_report,
    .watch = sw_watch,
    .step = sw_step_one,
    .keeps = para_keeps,
    .splits = para_splits,
    .stepped = sw_stepped,
    .show = para_show,
    .explain = sw_explain,
};
