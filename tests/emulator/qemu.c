/*
 * QEMU's ways: where it is known to check less than the manual says, and where to forgive the
 * differences one by one would hide all else. In QEMU the linker's wrappers (--wrap) make the VMM's
 * emulator check as little; in Bochs they change nothing. Each way is counted.
 */
#include "emulator.h"
#include "emutest.h"
#include "vmm.h"

bool __real_segment_allows(const struct vcpu *, const struct segment *, uint32_t, uint32_t, bool);
bool __wrap_segment_allows(const struct vcpu *, const struct segment *, uint32_t, uint32_t, bool);
bool __real_segment_touch(struct vcpu *, struct segment *, struct event *);
bool __wrap_segment_touch(struct vcpu *, struct segment *, struct event *);
bool __real_gate_code_segment(struct vcpu *, uint16_t, bool, struct segment *, struct event *);
bool __wrap_gate_code_segment(struct vcpu *, uint16_t, bool, struct segment *, struct event *);
bool __real_stack_pop(struct vcpu *, struct stack *, uint32_t *, unsigned, unsigned,
                      struct event *);
bool __wrap_stack_pop(struct vcpu *, struct stack *, uint32_t *, unsigned, unsigned,
                      struct event *);
struct segment __real_segment_real(const struct vcpu *, enum sreg, uint16_t);
struct segment __wrap_segment_real(const struct vcpu *, enum sreg, uint16_t);
struct segment __real_descriptor_decode(uint16_t, uint64_t);
struct segment __wrap_descriptor_decode(uint16_t, uint64_t);

enum { WAY_LIMIT, WAY_ACCESSED, WAY_EIP, WAY_SUPERVISOR, WAYS };
static const char *const names[WAYS] = {
    [WAY_LIMIT] = "limits and types of data and stack segments are not checked",
    [WAY_ACCESSED] = "transfers do not set the accessed bit of what they load into CS and SS",
    [WAY_EIP] = "gates, returns and real mode do not check EIP against the limit",
    [WAY_SUPERVISOR] = "far transfers use the stack as a supervisor",
};
static uint32_t counts[WAYS];
static uint32_t code_limit; /* of the segment whose limit was hidden */
static bool hidden;

static void note(unsigned which)
{
    counts[which]++;
}

bool __wrap_segment_allows(const struct vcpu *vcpu, const struct segment *seg, uint32_t offset,
                           uint32_t n, bool write)
{
    if (__real_segment_allows(vcpu, seg, offset, n, write))
        return true;
    note_limit(offset + (n - 1) < offset);
    if (is_bochs)
        return false;
    note(WAY_LIMIT);
    return true;
}

bool __wrap_segment_touch(struct vcpu *vcpu, struct segment *seg, struct event *fault)
{
    if (is_bochs) {
        const bool done = __real_segment_touch(vcpu, seg, fault);

        if (!done)
            note_touch_fault();
        return done;
    }
    if (!(seg->attr & SEG_ACCESSED))
        note(WAY_ACCESSED);
    return true;
}

/* EIP is checked against a limit that allows all; qemu_code_limit() puts the right one back. */
static void hide_limit(struct segment *seg)
{
    if (is_bochs)
        return;
    code_limit = seg->limit;
    hidden = true;
    seg->limit = 0xFFFFFFFF;
}

bool __wrap_gate_code_segment(struct vcpu *vcpu, uint16_t selector, bool inward,
                              struct segment *seg, struct event *fault)
{
    if (!__real_gate_code_segment(vcpu, selector, inward, seg, fault))
        return false;
    hide_limit(seg);
    return true;
}

struct segment __wrap_segment_real(const struct vcpu *vcpu, enum sreg reg, uint16_t selector)
{
    struct segment seg = __real_segment_real(vcpu, reg, selector);

    if (reg == SREG_CS)
        hide_limit(&seg);
    return seg;
}

/* Of another file than segments.c: only returns decode code. */
struct segment __wrap_descriptor_decode(uint16_t selector, uint64_t raw)
{
    struct segment seg = __real_descriptor_decode(selector, raw);

    if (in_return() && is_code(&seg))
        hide_limit(&seg);
    return seg;
}

void qemu_code_limit(struct vcpu *vcpu, bool done)
{
    struct segment *cs = &vcpu->seg[SREG_CS];

    if (hidden && done) {
        cs->limit = code_limit;
        if (vcpu->eip > code_limit)
            note(WAY_EIP);
    }
    hidden = false;
}

unsigned qemu_stack_level(unsigned level)
{
    if (is_bochs || !in_far_transfer() || level != 3)
        return level;
    note(WAY_SUPERVISOR);
    return 0;
}

bool __wrap_stack_pop(struct vcpu *vcpu, struct stack *stack, uint32_t *words, unsigned n,
                      unsigned width, struct event *fault)
{
    const unsigned level = stack->level;
    bool done;

    note_stack(stack);
    note_pop(stack, n * width);
    stack->level = qemu_stack_level(level);
    done = __real_stack_pop(vcpu, stack, words, n, width, fault);
    stack->level = level;
    return done;
}

void qemu_report(void)
{
    for (unsigned i = 0; i < WAYS; i++)
        if (counts[i])
            kprintf("  %u times: QEMU: %s\n", counts[i], names[i]);
}
