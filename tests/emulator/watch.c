/*
 * Looks at what the VMM's files ask of each other while the emulator executes a case: the linker
 * sends calls from one file to another through here (--wrap).
 */
#include <string.h>

#include "emulated.h"
#include "forgive.h"
#include "gmem.h"

bool __wrap_guest_read(struct vcpu *, gva_t, void *, uint32_t, unsigned, struct event *);
bool __real_guest_write(struct vcpu *, gva_t, const void *, uint32_t, unsigned, struct event *);
bool __wrap_guest_write(struct vcpu *, gva_t, const void *, uint32_t, unsigned, struct event *);
bool __real_read_descriptor(struct vcpu *, uint16_t, uint64_t *, struct event *);
bool __wrap_read_descriptor(struct vcpu *, uint16_t, uint64_t *, struct event *);
bool __real_stack_push(struct vcpu *, struct stack *, const uint32_t *, unsigned, unsigned,
                       struct event *);
bool __wrap_stack_push(struct vcpu *, struct stack *, const uint32_t *, unsigned, unsigned,
                       struct event *);
bool __real_stack_segment(struct vcpu *, uint16_t, unsigned, uint8_t, struct segment *,
                          struct event *);
bool __wrap_stack_segment(struct vcpu *, uint16_t, unsigned, uint8_t, struct segment *,
                          struct event *);
bool __real_stack_room(struct vcpu *, const struct stack *, unsigned, unsigned, struct event *);
bool __wrap_stack_room(struct vcpu *, const struct stack *, unsigned, unsigned, struct event *);

void note_limit(bool wraps)
{
    now.result->wrapped |= wraps;
}

void note_touch_fault(void)
{
    now.result->touch_fault = true;
}

/* A stack that may cross the end of 4 GB, or one of 16 bits its own. */
void note_stack(const struct stack *stack)
{
    if (stack->seg.attr & SEG_DB)
        now.result->wrapped |= stack->esp + 64 < 128;
    else /* a word that straddles the end */
        now.result->wrapped |= ((stack->esp + 64) & 0xFFFF) < 128 && stack->esp % 4;
}

/* A return pops these bytes of a stack, perhaps after others; or a far CALL, its parameters. */
void note_pop(const struct stack *stack, uint32_t bytes)
{
    const uint16_t sp = (uint16_t)stack->esp, start = (uint16_t)now.vcpu->gpr[GPR_ESP];

    if (!(stack->seg.attr & SEG_DB))
        now.result->stack_wraps |= sp < start || sp + bytes > 0x10000;
}

bool in_return(void)
{
    return now.op == OP_IRET || now.op == OP_RET_FAR;
}

/* Also while an exception is delivered. */
bool in_far_transfer(void)
{
    switch (now.op) {
    case OP_INTN:
    case OP_INT3:
    case OP_INTO:
    case OP_INT1:
    case OP_CALL_FAR:
    case OP_CALL_FAR_MEM:
    case OP_COUNT:
        return true;
    default:
        return in_return();
    }
}

/* Memory that is not compared: without paging, linear addresses are those of the machine; the large
 * page holds more than the arena; and without PSE it is a page table of no meaning. */
static void note_address(const struct vcpu *vcpu, gva_t gva, uint32_t n)
{
    if (vcpu->cr0 & CR0_PG) {
        now.outside |= (gva & 0xFFC00000) == WINDOW_LARGE &&
                       (gva - WINDOW_LARGE > HOT_PAGES * PAGE_SIZE - n || !(vcpu->cr4 & CR4_PSE));
        return;
    }
    if (gva - LOW <= LOW_PAGES * PAGE_SIZE - n || gva - HOT <= HOT_PAGES * PAGE_SIZE - n)
        return;
    now.outside = true;
}

static bool is_gate16(uint64_t raw)
{
    const uint32_t types = 1u << SYS_CALL_GATE16 | 1u << SYS_INT_GATE16 | 1u << SYS_TRAP_GATE16;

    return !(raw >> 44 & 1) && types >> (raw >> 40 & 15) & 1;
}

/* Was something of these 4 bytes pushed just now? */
static bool just_pushed(gva_t gva)
{
    const struct result *r = now.result;
    const struct frame *p = &r->frame[(r->frames - 1) % ARRAY_LEN(r->frame)];

    for (uint32_t n = 1; r->frames && p->done && n <= p->bytes; n++)
        if (p->base + ((p->top - n) & p->mask) - gva < 4)
            return true;
    return false;
}

bool __wrap_guest_read(struct vcpu *vcpu, gva_t gva, void *buf, uint32_t n, unsigned access,
                       struct event *fault)
{
    const bool gate = vcpu == now.vcpu && n == 8 && gva - vcpu->idtr.base < 0x800 &&
                      (gva - vcpu->idtr.base) % 8 == 0 && (vcpu->cr0 & CR0_PE);

    note_address(vcpu, gva, n);
    if (!(vcpu->cr0 & CR0_PE) && n == 4 && in_far_transfer() && !in_return() &&
        gva - vcpu->idtr.base < 0x400)
        now.result->vector_pushed |= just_pushed(gva);
    if (gate && gva - vcpu->idtr.base == VEC_DF * 8 && now.op == OP_COUNT && is_bochs) {
        /* Bochs stops at a triple fault, so its double faults are intercepted; QEMU cannot do that.
         * Here the case ends: a fault in this one ends deliver_event(). */
        now.double_fault = true;
        fill_fault(fault, VEC_GP, 0);
        return false;
    }
    if (is_bochs && !(vcpu->cr0 & CR0_PE) && n == 4 && gva == vcpu->idtr.base + VEC_DF * 4 &&
        now.op == OP_COUNT) { /* in real mode */
        now.double_fault = true;
        fill_fault(fault, VEC_GP, 0);
        if (now.result->frames > 0) /* the CPU has not pushed it */
            now.result->frame[(now.result->frames - 1) % ARRAY_LEN(now.result->frame)].done = false;
        return false;
    }
    if (!__real_guest_read(vcpu, gva, buf, n, access, fault))
        return false;
    if (gate)
        memcpy(&now.gate, buf, sizeof(now.gate));
    if (gate)
        now.result->gate_upper |= is_gate16(now.gate) && now.gate >> 48;
    if (gate && (now.gate >> 40 & 0x1F) == SYS_TASK_GATE)
        now.task = true;
    return true;
}

bool __wrap_guest_write(struct vcpu *vcpu, gva_t gva, const void *buf, uint32_t n, unsigned access,
                        struct event *fault)
{
    note_address(vcpu, gva, n);
    if (((gva + n - 1) >> PAGE_SHIFT & 0x3FF) - PAGE_HOLE <= (gva % PAGE_SIZE + n > PAGE_SIZE))
        now.hole_written = true;
    now.tss_written |= now.op == OP_INS && (gva >> PAGE_SHIFT & 0x3FF) - PAGE_TSS < 2;
    return __real_guest_write(vcpu, gva, buf, n, access, fault);
}

bool __wrap_read_descriptor(struct vcpu *vcpu, uint16_t selector, uint64_t *raw,
                            struct event *fault)
{
    const uint32_t types = 1u << SYS_TSS16_AVAIL | 1u << SYS_TSS16_BUSY | 1u << SYS_TASK_GATE |
                           1u << SYS_TSS32_AVAIL | 1u << SYS_TSS32_BUSY;

    if (!__real_read_descriptor(vcpu, selector, raw, fault))
        return false;
    now.descriptor = *raw;
    now.result->gate_upper |= is_gate16(*raw) && *raw >> 48;
    if ((now.op == OP_CALL_FAR || now.op == OP_CALL_FAR_MEM || now.op == OP_JMP_FAR ||
         now.op == OP_JMP_FAR_MEM) &&
        !(*raw >> 44 & 1) && types >> (*raw >> 40 & 15) & 1)
        now.task = true;
    return true;
}

/* The emulator pushes all or nothing; a CPU may have pushed a part when it faults. */
static void note_frame(const struct stack *stack, unsigned n, unsigned width)
{
    struct result *result = now.result;
    const uint32_t mask = stack->seg.attr & SEG_DB ? 0xFFFFFFFF : 0xFFFF;

    note_stack(stack);
    if (is_far_call(now.op) && !(stack->seg.attr & SEG_DB))
        result->stack_wraps |= (stack->esp & 0xFFFF) < n * width;
    result->frame[result->frames++ % ARRAY_LEN(result->frame)] = (struct frame){
        .base = stack->seg.base, .top = stack->esp, .mask = mask, .bytes = n * width};
}

bool __wrap_stack_push(struct vcpu *vcpu, struct stack *stack, const uint32_t *words, unsigned n,
                       unsigned width, struct event *fault)
{
    struct frame *frame = &now.result->frame[now.result->frames % ARRAY_LEN(now.result->frame)];
    const unsigned level = stack->level;

    note_frame(stack, n, width);
    stack->level = qemu_stack_level(level);
    frame->done = __real_stack_push(vcpu, stack, words, n, width, fault);
    stack->level = level;
    return frame->done;
}

/* Is the offset in the gate that was read last beyond the limit of its segment? */
static bool gate_beyond_limit(struct vcpu *vcpu)
{
    const uint32_t offset = (now.gate & 0xFFFF) | (now.gate >> 32 & 0xFFFF0000);
    const bool wide = now.gate >> 43 & 1;
    struct event ignored;
    uint64_t raw;

    if (!now.gate || !__real_read_descriptor(vcpu, now.gate >> 16 & 0xFFFF, &raw, &ignored))
        return false;
    return (wide ? offset : offset & 0xFFFF) > descriptor_decode(0, raw).limit;
}

bool __wrap_stack_room(struct vcpu *vcpu, const struct stack *stack, unsigned n, unsigned width,
                       struct event *fault)
{
    const uint32_t mask = stack->seg.attr & SEG_DB ? 0xFFFFFFFF : 0xFFFF;

    note_frame(stack, n, width);
    if (__real_stack_room(vcpu, stack, n, width, fault))
        return true;
    now.result->both_limits |= gate_beyond_limit(vcpu);
    now.result->room_for_some |=
        __real_segment_allows(vcpu, &stack->seg, (stack->esp - width) & mask, width, true);
    return false;
}

/* A stack that a transfer changes to. */
bool __wrap_stack_segment(struct vcpu *vcpu, uint16_t selector, unsigned level, uint8_t bad,
                          struct segment *seg, struct event *fault)
{
    now.result->calls_inner |= now.op == OP_CALL_FAR || now.op == OP_CALL_FAR_MEM;
    if (__real_stack_segment(vcpu, selector, level, bad, seg, fault))
        return true;
    now.result->absent_stack |= fault->vector == VEC_SS;
    return false;
}
