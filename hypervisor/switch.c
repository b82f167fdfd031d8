/* Live switching; see switch.h. */
#include "switch.h"

#include <string.h>

#include "cpu.h"
#include "host.h"
#include "monitor/monitor.h"
#include "trace.h"
#include "vm_loop.h"

#define PATIENCE_NS 2000000000ull /* a request that waits for longer is given up */
#define OPTIONS_SIZE 1100

static unsigned number_of(const struct vmm_mode *mode)
{
    for (unsigned i = 0; i < vmm_mode_count; i++) {
        if (vmm_modes[i] == mode)
            return i + 1;
    }
    return 0;
}

static const char *refuse(struct vm *vm, const char *fmt, const char *a, const char *b)
{
    static char why[200];
    ksnprintf(why, sizeof(why), fmt, a, b);
    vm->switching.state = SWITCH_REFUSED;
    return why;
}

static void begin(struct vm *vm, const struct vmm_mode *to)
{
    vm->switching.to = to;
    vm->switching.asked_ns = host_now_ns();
    vm->switching.waits = 0;
    vm->stopped = true;
}

static const char *ask(struct vm *vm, const struct vmm_mode *mode, const char *paging)
{
    const char *why = "";
    if (vm->switching.work)
        return refuse(vm, "a snapshot waits to be taken%s%s", "", "");
    if (!mode->supported(&why))
        return refuse(vm, "mode %s cannot run on this CPU: %s", mode->name, why);
    if (paging && !mode->nested_paging)
        return refuse(vm, "mode %s has no choice of paging (+%s)", mode->name, paging);
    begin(vm, mode);
    vm->switching.paging = paging;
    vm->switching.state = SWITCH_WAITS;
    vm->switching.unfit = false;
    return NULL;
}

const char *vm_switch_pause(struct vm *vm, void (*work)(struct vm *vm, const char *why))
{
    if (vm->switching.to)
        return "a switch or a snapshot waits already";
    begin(vm, vm->vcpu.mode);
    vm->switching.work = work;
    return NULL;
}

/* The kinds of paging, and what stands before them in a target. */
static const char *const pagings[] = {"nested", "shadow"};

/* Is target the name, with +paging behind it? */
static bool is_target(const char *target, const char *name, const char **paging)
{
    const size_t n = strlen(name);
    if (strncmp(target, name, n))
        return false;
    *paging = NULL;
    if (!target[n])
        return true;
    for (unsigned i = 0; i < ARRAY_LEN(pagings) && target[n] == '+'; i++) {
        if (!strcmp(target + n + 1, pagings[i]))
            *paging = pagings[i];
    }
    return *paging;
}

static const struct vmm_mode *mode_of(const char *target, const char **paging)
{
    for (unsigned i = 0; i < vmm_mode_count; i++) {
        if (vmm_modes[i] && is_target(target, vmm_modes[i]->name, paging))
            return vmm_modes[i];
    }
    return NULL;
}

bool vm_switch_is_target(const char *target)
{
    const char *paging;
    return mode_of(target, &paging);
}

const char *vm_switch_ask(struct vm *vm, const char *target)
{
    const char *paging;
    const struct vmm_mode *mode = mode_of(target, &paging);
    if (mode)
        return ask(vm, mode, paging);
    return refuse(vm,
                  "'%s' is no mode; there are trap, para, vtx and svm, and of the last two also "
                  "vtx+nested, vtx+shadow and so on%s",
                  target, "");
}

void vm_switch_ask_number(struct vm *vm, uint32_t value)
{
    const unsigned number = value & 0xFF;
    const char *paging = value & SWITCH_SHADOW ? "shadow" : value & SWITCH_NESTED ? "nested" : NULL;
    if (number && number <= vmm_mode_count && vmm_modes[number - 1])
        ask(vm, vmm_modes[number - 1], paging);
    else
        vm->switching.state = SWITCH_REFUSED;
}

uint32_t vm_switch_answer(const struct vm *vm)
{
    const struct vmm_mode *mode = vm->vcpu.mode;
    uint32_t answer = number_of(mode) | (uint32_t)vm->switching.state << SWITCH_STATE_SHIFT;
    if (mode->nested_paging)
        answer |= mode->nested_paging(&vm->vcpu) ? SWITCH_NESTED : SWITCH_SHADOW;
    return answer;
}

bool vm_switch_target(unsigned i, char *name)
{
    const char *why;
    for (unsigned m = 0; m < vmm_mode_count; m++) {
        const struct vmm_mode *mode = vmm_modes[m];
        if (!mode || !mode->supported(&why))
            continue;
        for (unsigned p = 0; p < (mode->nested_paging ? ARRAY_LEN(pagings) : 1); p++) {
            if (i--)
                continue;
            ksnprintf(name, SWITCH_TARGET_SIZE, mode->nested_paging ? "%s+%s" : "%s", mode->name,
                      pagings[p]);
            return true;
        }
    }
    return false;
}

/* The VMM's options with the wanted paging in front of them, where it is found first. There are two
 * places for them: the mode that is left may have to come back with those that it has now. */
static const char *options_with(const struct vm *vm, const char *paging)
{
    static char texts[2][OPTIONS_SIZE];
    char *text = texts[vm->options == texts[0]];
    if (!paging)
        return vm->base_options;
    ksnprintf(text, OPTIONS_SIZE, "paging=%s %s", paging, vm->base_options);
    return text;
}

/* What is in the way now, or NULL. */
static const char *in_the_way(struct vm *vm)
{
    struct vcpu *vcpu = &vm->vcpu;
    const struct vmm_mode *to = vm->switching.to;
    const char *why = NULL;
    if (vcpu->pending.kind != EVENT_NONE)
        return "an event is being delivered";
    if (vcpu->mode->stays)
        why = vcpu->mode->stays(vcpu);
    if (!why && to->refuses) {
        vcpu->mode->sync(vcpu);
        why = to->refuses(vcpu);
    }
    return why;
}

static void end(struct vm *vm, enum switch_state state, const struct vmm_mode *from,
                const char *why)
{
    struct vm_switch *s = &vm->switching;
    if (state == SWITCH_FAILED)
        kprintf("\ntrivisor: no switch from mode %s to %s: %s\n", from->name, s->to->name, why);
    record("{\"type\":\"switch\",\"from\":\"%s\",\"to\":\"%s\",\"paging\":\"%s\","
           "\"waits\":%u,\"ns\":%llu,\"pages\":%u,\"done\":%u,\"why\":\"%s\"}",
           from->name, s->to->name, s->paging ? s->paging : "", s->waits,
           host_now_ns() - s->asked_ns, pages_available(), state == SWITCH_DONE, why);
    s->state = state;
    s->done += state == SWITCH_DONE;
    s->to = NULL;
    host_work = true; /* whoever plans the next one looks again */
}

/* What observes the guest goes along. A trace takes the switch for a part of the exit before it. */
static void leave(struct vm *vm)
{
    monitor_leave_mode(vm);
    if (trace_is_on())
        vm->vcpu.mode->trace(&vm->vcpu, false);
}

static void enter(struct vm *vm)
{
    if (trace_is_on())
        vm->vcpu.mode->trace(&vm->vcpu, true);
    monitor_enter_mode(vm);
}

static void attach_again(struct vm *vm, const struct vmm_mode *mode)
{
    struct vcpu *vcpu = &vm->vcpu;
    vcpu->mode = mode;
    vcpu->dirty = DIRTY_ALL;
    const char *why = mode->attach(vcpu);
    if (why)
        panic("mode %s does not take its guest back: %s", mode->name, why);
    enter(vm);
}

/* The request is over before the work is done, which may ask for something again. */
static void pause_over(struct vm *vm, const char *why)
{
    void (*const work)(struct vm *, const char *) = vm->switching.work;
    vm->switching.to = NULL;
    vm->switching.work = NULL;
    host_work = true;
    work(vm, why);
}

static void pause_here(struct vm *vm)
{
    leave(vm);
    vm->vcpu.mode->detach(&vm->vcpu);
    pause_over(vm, NULL);
    attach_again(vm, vm->vcpu.mode);
}

/* The mode that was left takes the guest back if the new one cannot have it. */
static void carry_out(struct vm *vm)
{
    struct vcpu *vcpu = &vm->vcpu;
    const struct vmm_mode *from = vcpu->mode, *to = vm->switching.to;
    const char *const old_options = vm->options;
    if (vm->switching.work) {
        pause_here(vm);
        return;
    }
    leave(vm);
    from->detach(vcpu);
    vm->options = options_with(vm, vm->switching.paging);
    vcpu->mode = to;
    vcpu->dirty = DIRTY_ALL;
    const char *why = to->attach(vcpu);
    if (!why) {
        enter(vm);
        end(vm, SWITCH_DONE, from, "");
        return;
    }
    end(vm, SWITCH_FAILED, from, why);
    vm->switching.unfit = true;
    vm->options = old_options;
    attach_again(vm, from);
}

const char *vm_switch_try(struct vm *vm)
{
    const char *why = in_the_way(vm);
    if (!why)
        carry_out(vm);
    return why;
}

static void give_up(struct vm *vm, const char *why)
{
    if (vm->switching.work)
        pause_over(vm, why);
    else
        end(vm, SWITCH_FAILED, vm->vcpu.mode, why);
}

void vm_switch_turns(struct vm *vm)
{
    struct vm_switch *s = &vm->switching;
    struct vm_watch unused;
    vm->stopped = false;
    while (s->to && !vm->stopped) {
        const char *why = in_the_way(vm);
        if (!why) {
            carry_out(vm);
        } else if (host_now_ns() - s->asked_ns > PATIENCE_NS) {
            give_up(vm, why);
        } else {
            s->waits++;
            vm_turn(vm, &unused);
        }
    }
}
