/* The vCPU loop: devices, pending interrupts, enter the guest, handle the exit. */
#include "vm_loop.h"

#include "cpu.h"
#include "host.h"
#include "monitor/monitor.h"
#include "snapshot.h"
#include "trace.h"
#include "x86.h"

/* vcpu.inc says the same to the assembler. */
_Static_assert(offsetof(struct vcpu, gpr) == 0, "vcpu.inc: V_EAX is first");
_Static_assert(offsetof(struct vcpu, eip) == 32 && offsetof(struct vcpu, eflags) == 36 &&
                   offsetof(struct vcpu, cr2) == 188 && offsetof(struct vcpu, int_shadow) == 268,
               "vcpu.inc: V_EIP, V_EFLAGS, V_CR2, V_INT_SHADOW");
_Static_assert(GPR_ESP == 4 && GPR_ECX == 1 && GPR_EDX == 2 && GPR_EBX == 3 && GPR_EBP == 5 &&
                   GPR_ESI == 6 && GPR_EDI == 7,
               "vcpu.inc: the order of the registers");

#define RING 16

/* Parts of both loops (turn()): calls of functions would cost each exit some ticks. */
#define ALWAYS_INLINE inline __attribute__((always_inline))

static struct {
    enum exit_reason reason;
    uint32_t eip;
} ring[RING];
static unsigned ring_next;

void print_last_exits(void)
{
    kprintf("last exits, newest last:\n");
    for (unsigned i = 0; i < RING; i++) {
        unsigned slot = (ring_next + i) % RING;
        if (ring[slot].reason != EXIT_NONE)
            kprintf("  %s at %08x\n", exit_reason_name(ring[slot].reason), ring[slot].eip);
    }
}

int exits_json(const struct vcpu *vcpu, const uint64_t *base, char *buf, unsigned size)
{
    unsigned n = 0;
    const char *comma = "";
    n += ksnprintf(buf, size, "{");
    for (unsigned r = 1; r < EXIT_REASON_COUNT && n < size; r++) {
        uint64_t count = vcpu->exit_count[r] - (base ? base[r] : 0);
        if (!count)
            continue;
        n += ksnprintf(buf + n, size - n, "%s\"%s\":%llu", comma, exit_reason_name(r), count);
        comma = ",";
    }
    if (n < size)
        n += ksnprintf(buf + n, size - n, "}");
    return (int)n;
}

void vm_record_stats(struct vm *vm)
{
    static char exits[1024], more[1024];
    vm->vcpu.mode->sync(&vm->vcpu);
    exits_json(&vm->vcpu, NULL, exits, sizeof(exits));
    more[0] = 0;
    if (vm->vcpu.mode->stats)
        vm->vcpu.mode->stats(&vm->vcpu, more, sizeof(more));
    record("{\"type\":\"stats\",\"vm\":\"%s\",\"mode\":\"%s\",\"exits\":%s%s%s}", vm->name,
           vm->vcpu.mode->name, exits, more[0] ? "," : "", more);
}

/* Input from the host to the guest's devices, time, and the next wake-up. */
static __attribute__((noinline)) void do_host_work(struct vm *vm)
{
    host_work = false;
    while (devices_serial_room(&vm->dev)) {
        int byte = host_serial_get();
        if (byte < 0 || monitor_wants(vm, (uint8_t)byte))
            break;
        devices_serial_in(&vm->dev, (uint8_t)byte);
    }
    while (devices_key_room(&vm->dev)) {
        int code = host_key_get();
        if (code < 0)
            break;
        devices_key_in(&vm->dev, (uint8_t)code);
    }
    devices_tick(&vm->dev);
    const uint64_t now = host_now_ns();
    switch_plan_turn(vm, now);
    snapshot_turn(vm, now);
    const uint64_t devices = devices_deadline(&vm->dev), plan = switch_plan_deadline(vm);
    const uint64_t snapshot = snapshot_deadline(vm), first = plan < snapshot ? plan : snapshot;
    host_timer_set(first < devices ? first : devices);
}

static ALWAYS_INLINE void inject_irq(struct vcpu *vcpu)
{
    const struct vmm_mode *mode = vcpu->mode;
    struct devices *dev = &vcpu->vm->dev;
    if (!devices_irq_pending(dev)) {
        mode->irq_window(vcpu, false);
        return;
    }
    if (!mode->can_take_irq(vcpu)) {
        mode->irq_window(vcpu, true);
        return;
    }
    struct event irq = {.kind = EVENT_IRQ, .vector = devices_irq_ack(dev)};
    mode->inject(vcpu, &irq);
    vcpu->halted = false;
    mode->irq_window(vcpu, devices_irq_pending(dev));
}

static ALWAYS_INLINE void idle(const bool traced)
{
    const uint64_t start = traced ? rdtsc() : 0;
    host_idle();
    if (traced)
        trace_slice_add(TRACE_IDLE, start);
}

/* One turn of the loop. What only the monitor's turns and a trace need costs the usual one
 * nothing. */
static ALWAYS_INLINE void turn(struct vm *vm, struct vcpu *vcpu, struct vm_watch *watch,
                               const bool traced)
{
    struct exit exit;
    if (host_work) {
        do_host_work(vm);
        if (vm->stopped) /* somebody wants a turn at once */
            return;
    }
    inject_irq(vcpu);
    if (vcpu->halted) {
        if (!(vcpu->eflags & FL_IF))
            vm_kill(vm, "HLT with interrupts disabled: nothing can wake this CPU again");
        else
            idle(traced);
        return;
    }
    exit.insn_len = 0;
    if (traced)
        exit.done = EXIT_NONE;
    if (watch)
        watch->entered = rdtsc();
    vcpu->mode->run(vcpu, &exit);
    if (traced)
        trace_exit(vcpu, &exit);
    if (watch) {
        watch->left = rdtsc();
        watch->reason = exit.reason;
        watch->any = true;
        watch->eip = vcpu->eip;
        vcpu->mode->sync(vcpu);
        watch->user = vcpu_cpl(vcpu) == 3;
    }
    vcpu->exit_count[exit.reason]++;
    ring[ring_next].reason = exit.reason;
    ring[ring_next].eip = vcpu->eip;
    ring_next = (ring_next + 1) % RING;
    exit_dispatch(vcpu, &exit);
}

void vm_turn(struct vm *vm, struct vm_watch *watch)
{
    watch->any = false;
    turn(vm, &vm->vcpu, watch, trace_is_on());
}

/* There are two of these loops, so that the one without a trace pays nothing. */
static __attribute__((noinline)) void run_plain(struct vm *vm)
{
    struct vcpu *vcpu = &vm->vcpu;
    while (!vm->stopped)
        turn(vm, vcpu, NULL, false);
}

static __attribute__((noinline)) void run_traced(struct vm *vm)
{
    struct vcpu *vcpu = &vm->vcpu;
    while (!vm->stopped)
        turn(vm, vcpu, NULL, true);
}

/* With a plan of switches after so many exits. */
static void run_counted(struct vm *vm)
{
    struct vm_watch watch;
    while (!vm->stopped) {
        vm_turn(vm, &watch);
        if (watch.any)
            switch_plan_exit(vm);
    }
}

void vm_run(struct vm *vm)
{
    host_work = vm->started = true;
    do {
        if (vm->switching.to)
            vm_switch_turns(vm);
        else if (switch_plan_counts_exits())
            run_counted(vm);
        else
            (trace_is_on() ? run_traced : run_plain)(vm);
    } while (monitor_turn(vm));
}
