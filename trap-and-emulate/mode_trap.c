/*
 * trap mode: classic trap-and-emulate, plus scanning for what x86 does not let trap.
 * Nothing of the guest kernel executes before the scanner has seen it.
 */
#include "engine.h"
#include "traced.h"

/*
 * scan=off shows why there is a scanner: the sensitive instructions that do not trap then do, at
 * CPL 3, what they do there. It harms the guest only: it gains nothing that a guest program, or a
 * guest kernel in para mode, does not have.
 */
static const char *policy_attach(struct sw *sw)
{
    bool scan = true;
    const char *why = option_switch(sw->vcpu->vm->options, "scan", &scan);
    if (why)
        return why;
    sw->window.source.keep_sensitive = !scan;
    if (!scan)
        kprintf("trivisor: scan=off: sensitive instructions that do not trap run as they are, and "
                "give the guest wrong results\n");
    return NULL;
}

static const struct sw_policy trap_policy = {.window = true, .attach = policy_attach};

static const char *trap_attach(struct vcpu *vcpu)
{
    return sw_attach(vcpu, &trap_policy);
}

const struct vmm_mode mode_trap;
const struct vmm_mode mode_trap = {
    .name = "trap",
    .what = "trap-and-emulate with code scanning",
    .supported = sw_supported,
    .refuses = sw_refuses,
    .stays = sw_stays,
    .attach = trap_attach,
    .detach = sw_detach,
    .sync = sw_sync,
    .run = sw_run,
    .inject = sw_inject,
    .can_take_irq = sw_can_take_irq,
    .irq_window = sw_irq_window,
    .tlb_flush = sw_tlb_flush,
    .tlb_flush_all = sw_tlb_flush_all,
    .stats = sw_stats,
    .watch = sw_watch,
    .step = sw_step_one,
    .stepped = sw_stepped,
    .show = sw_show,
    .explain = sw_explain,
    .trace = sw_trace,
};
