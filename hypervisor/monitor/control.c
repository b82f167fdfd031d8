/* Pause, continue, step, interrupts, the end. */
#include <string.h>

#include "gmem.h"
#include "monitor.h"

#include "host.h"
#include "snapshot.h"
#include "trace.h"
#include "vmm.h"
#include "words.h"
#include "x86.h"

#define STEPS_MAX 1000000u
#define LOOK_EACH 256u /* steps: has somebody typed something, to stop them? */
#define STATUS_QUIT 0
#define STATUS_MAX 127u /* of what a guest can end with itself */
#define FIRST_IRQ_VECTOR 32u

static void say_place(struct vm *vm, struct sink *sink, const char *what)
{
    const struct vcpu *v = &vm->vcpu;
    char place[80];
    uint8_t bytes[8];
    char hex[2 * sizeof(bytes) + 1] = "";
    struct event ignored;
    if (guest_read(&vm->vcpu, pc_of(v), bytes, sizeof(bytes), ACCESS_READ | ACCESS_PEEK,
                   &ignored)) {
        for (unsigned i = 0; i < sizeof(bytes); i++)
            ksnprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    }
    say(sink, "%s%08x  cpl %u  %-28s %s", what, v->eip, vcpu_cpl(v),
        place_of(vm, pc_of(v), place, sizeof(place)), hex);
}

bool command_pause(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    monitor_pause();
    say_place(vm, sink, "paused at ");
    return true;
}

bool command_continue(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    (void)vm;
    (void)argc;
    (void)argv;
    if (!monitor.paused) {
        say(sink, "the guest is not paused");
        return false;
    }
    monitor_continue();
    say(sink, "the guest runs");
    return true;
}

bool command_step(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    uint32_t n = 1;
    if (argc > 1 && (!word_number(argv[1], &n) || !n || n > STEPS_MAX)) {
        say(sink, "'%s': step 1 to %u instructions", argv[1], STEPS_MAX);
        return false;
    }
    if (!monitor.paused && !monitor.starting)
        monitor_pause();
    const char *why = NULL;
    uint32_t done = 0;
    const bool frozen = monitor_thaw(vm);
    while (done < n && !(why = step_once(vm))) {
        done++;
        if (done < n && (breaks_stop(vm) || (done % LOOK_EACH == 0 && host_serial_waiting())))
            break;
    }
    if (frozen)
        monitor_freeze();
    if (why) {
        say(sink, "%s (after %u steps)", why, done);
        return false;
    }
    vm->vcpu.mode->sync(&vm->vcpu);
    if (done < n)
        say(sink, "stopped after %u of %u steps", done, n);
    say_place(vm, sink, "");
    say_data(sink, "\"eip\":%u,\"eflags\":%u,\"esp\":%u", vm->vcpu.eip, vm->vcpu.eflags,
             vm->vcpu.gpr[GPR_ESP]);
    return true;
}

bool command_inject(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    struct vcpu *v = &vm->vcpu;
    uint32_t vector;
    (void)argc;
    if (!word_number(argv[1], &vector) || vector > 255) {
        say(sink, "'%s' is no vector: they are 0 to 255", argv[1]);
        return false;
    }
    if (vector < FIRST_IRQ_VECTOR && (v->cr0 & CR0_PE)) {
        say(sink, "vector %u is one of the CPU's exceptions; interrupts of devices have 32 to 255",
            vector);
        return false;
    }
    if (vector * 8 + 7 > v->idtr.limit && (v->cr0 & CR0_PE)) {
        say(sink, "the guest's IDT ends before vector %u (limit %04x)", vector, v->idtr.limit);
        return false;
    }
    if (!v->mode->can_take_irq(v)) {
        say(sink, "the guest cannot take an interrupt now: %s",
            !(v->eflags & FL_IF) ? "it has them off (EFLAGS.IF is clear)"
            : v->int_shadow      ? "the instruction after STI or MOV SS comes first"
            : v->pending.kind != EVENT_NONE
                ? "another event is about to be delivered"
                : "it is in the middle of something that the mode must finish first");
        return false;
    }
    const struct event irq = {.kind = EVENT_IRQ, .vector = (uint8_t)vector};
    v->mode->inject(v, &irq);
    v->halted = false;
    say(sink, "vector %u is delivered before the guest's next instruction", vector);
    return true;
}

static void say_mode(struct vm *vm, struct sink *sink)
{
    const struct vmm_mode *mode = vm->vcpu.mode;
    say(sink, "mode %s%s (%s)", mode->name,
        !mode->nested_paging             ? ""
        : mode->nested_paging(&vm->vcpu) ? "+nested"
                                         : "+shadow",
        mode->what);
}

/* At once, if nothing is in the way; else when the guest has gone on for a little. */
bool command_mode(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    if (argc == 1) {
        say_mode(vm, sink);
        return true;
    }
    const bool frozen = monitor_thaw(vm);
    const char *why = vm_switch_ask(vm, argv[1]), *wait = why ? NULL : vm_switch_try(vm);
    if (frozen)
        monitor_freeze();
    if (why) {
        say(sink, "%s", why);
        return false;
    }
    if (wait) {
        say(sink, "not yet: %s; it is done when the guest has gone on from here", wait);
        return true;
    }
    if (vm->switching.state != SWITCH_DONE)
        return false; /* the console says why */
    say_mode(vm, sink);
    return true;
}

/* Likewise. What the snapshot holds is the guest at the moment of the pause. */
bool command_snapshot(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    const bool off = argc > 1 && !strcmp(argv[1], "off");
    if (argc > 1 && !off) {
        say(sink, "'%s': snapshot, or snapshot off", argv[1]);
        return false;
    }
    const bool frozen = monitor_thaw(vm);
    const char *why = snapshot_ask(vm, off), *wait = why ? NULL : vm_switch_try(vm);
    if (frozen)
        monitor_freeze();
    if (why) {
        say(sink, "%s", why);
        return false;
    }
    if (wait)
        say(sink, "not yet: %s; it is done when the guest has gone on from here", wait);
    else if (snapshot_result())
        say(sink, "no snapshot: %s", snapshot_result());
    else
        say(sink, "the guest is saved");
    return wait || !snapshot_result();
}

bool command_trace(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    const char *why = NULL;
    if (argc > 1 && !strcmp(argv[1], "on")) {
        why = trace_start(vm);
    } else if (argc > 1 && !strcmp(argv[1], "off")) {
        trace_stop(vm);
    } else if (argc > 1) {
        say(sink, "'%s' is neither on nor off", argv[1]);
        return false;
    }
    say(sink, "%s", why ? why : trace_is_on() ? "every exit is recorded" : "nothing is recorded");
    return !why;
}

bool command_quit(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    uint32_t status = STATUS_QUIT;
    if (argc > 1 && (!word_number(argv[1], &status) || status > STATUS_MAX)) {
        say(sink, "'%s' is no status: they are 0 to %u", argv[1], STATUS_MAX);
        return false;
    }
    vm->stopped = true;
    vm->exit_status = (int)status;
    vm->stop_reason = "the monitor was told to quit";
    return true;
}
