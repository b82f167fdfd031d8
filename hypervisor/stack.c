/*
 * The guest's stack: pushes and pops of several words at once, and the inner stacks of the TSS.
 * Rules: SDM vol. 1 section 6.2 and vol. 3A sections 5.8.5 and 7.2.1.
 */
#include "emulator.h"

#define STACK_MAX_WORDS 40 /* a call gate's 31 parameters and its frame */

union frame {
    uint8_t byte[STACK_MAX_WORDS * 4];
    uint16_t word[STACK_MAX_WORDS];
    uint32_t dword[STACK_MAX_WORDS];
};

struct stack stack_current(const struct vcpu *vcpu)
{
    return (struct stack){
        .seg = vcpu->seg[SREG_SS], .esp = vcpu->gpr[GPR_ESP], .level = vcpu_cpl(vcpu)};
}

static uint32_t offset_mask(const struct stack *stack)
{
    return stack->seg.attr & SEG_DB ? 0xFFFFFFFFu : 0xFFFFu;
}

/* A 16-bit stack keeps the upper half of ESP. */
static void move_esp(struct stack *stack, uint32_t delta)
{
    uint32_t mask = offset_mask(stack);

    stack->esp = (stack->esp & ~mask) | ((stack->esp + delta) & mask);
}

/*
 * The words of a transfer are checked as one block, unless they wrap around the stack's end:
 * then one by one, as the hardware's single pushes and pops would be.
 * Returns the bytes to treat at once, or 0 with *fault.
 */
static uint32_t check_limit(const struct vcpu *vcpu, const struct stack *stack, uint32_t low,
                            uint32_t total, unsigned width, bool write, struct event *fault)
{
    uint32_t mask = offset_mask(stack), step = low + (total - 1) <= mask ? total : width;

    if (low + (total - 1) < low)
        step = width;
    for (uint32_t done = 0; done < total; done += step) {
        if (!segment_allows(vcpu, &stack->seg, (low + done) & mask, step, write)) {
            raise_fault(fault, VEC_SS, stack->fault_error);
            return 0;
        }
    }
    return step;
}

bool stack_room(const struct vcpu *vcpu, const struct stack *stack, unsigned n, unsigned width,
                struct event *fault)
{
    const uint32_t low = (stack->esp - n * width) & offset_mask(stack);

    return check_limit(vcpu, stack, low, n * width, width, true, fault) != 0;
}

/* A block could not be written. Pushes go downwards: the fault is that of the highest word that
 * cannot be, and CR2 says so. */
static bool push_fault(struct vcpu *vcpu, const struct stack *stack, uint32_t low, uint32_t total,
                       unsigned width, unsigned access, struct event *fault)
{
    uint8_t probe[4];

    for (uint32_t at = total; at > 0; at -= width) {
        uint32_t offset = (low + at - width) & offset_mask(stack);

        if (!guest_read(vcpu, stack->seg.base + offset, probe, width, access | ACCESS_PEEK, fault))
            break;
    }
    return false;
}

bool stack_push(struct vcpu *vcpu, struct stack *stack, const uint32_t *words, unsigned n,
                unsigned width, struct event *fault)
{
    union frame frame;
    uint8_t probe[4];
    uint32_t mask = offset_mask(stack), total = n * width, low = (stack->esp - total) & mask;
    unsigned access = access_at(stack->level) | ACCESS_WRITE;
    uint32_t step = check_limit(vcpu, stack, low, total, width, true, fault);

    if (!step)
        return false;
    for (unsigned i = 0; i < n; i++) {
        if (width == 4)
            frame.dword[n - 1 - i] = words[i];
        else
            frame.word[n - 1 - i] = words[i];
    }

    /* guest_write() is all or nothing by itself; a frame that wraps needs a look beforehand. */
    for (uint32_t done = 0; step != total && done < total; done += step)
        if (!guest_read(vcpu, stack->seg.base + ((low + done) & mask), probe, step,
                        access | ACCESS_PEEK, fault))
            return push_fault(vcpu, stack, low, total, width, access, fault);
    for (uint32_t done = 0; done < total; done += step)
        if (!guest_write(vcpu, stack->seg.base + ((low + done) & mask), frame.byte + done, step,
                         access, fault))
            return push_fault(vcpu, stack, low, total, width, access, fault);
    move_esp(stack, -total);
    return true;
}

bool stack_pop(struct vcpu *vcpu, struct stack *stack, uint32_t *words, unsigned n, unsigned width,
               struct event *fault)
{
    union frame frame;
    uint32_t mask = offset_mask(stack), total = n * width, low = stack->esp & mask;
    uint32_t step = check_limit(vcpu, stack, low, total, width, false, fault);

    if (!step)
        return false;
    for (uint32_t done = 0; done < total; done += step)
        if (!guest_read(vcpu, stack->seg.base + ((low + done) & mask), frame.byte + done, step,
                        access_at(stack->level), fault))
            return false;
    for (unsigned i = 0; i < n; i++)
        words[i] = width == 4 ? frame.dword[i] : frame.word[i];
    move_esp(stack, total);
    return true;
}

void stack_release(struct stack *stack, uint32_t bytes)
{
    move_esp(stack, bytes);
}

void stack_commit(struct vcpu *vcpu, const struct stack *stack)
{
    segment_set(vcpu, SREG_SS, &stack->seg);
    vcpu->gpr[GPR_ESP] = stack->esp;
}

bool stack_from_tss(struct vcpu *vcpu, unsigned level, struct stack *stack, struct event *fault)
{
    const struct segment *tr = &vcpu->seg[SREG_TR];
    bool wide = tr->attr & 8; /* bit 3 of the type: a 32-bit TSS */
    uint32_t offset = wide ? 4 + 8 * level : 2 + 4 * level, size = wide ? 6 : 4;
    uint8_t image[6];
    uint16_t selector;
    uint32_t mask, esp;

    /* SS is two bytes, but the whole doubleword must be there (SDM vol. 2, CALL and INT). */
    if ((tr->attr & SEG_UNUSABLE) || offset + (wide ? 8 : 4) - 1 > tr->limit)
        return raise_fault(fault, VEC_TS, tr->selector & ~SEL_RPL);
    if (!guest_read(vcpu, tr->base + offset, image, size, ACCESS_READ, fault))
        return false;
    esp = image[0] | image[1] << 8;
    if (wide)
        esp |= (uint32_t)image[2] << 16 | (uint32_t)image[3] << 24;
    selector = image[size - 2] | image[size - 1] << 8;
    stack->level = level;
    stack->fault_error = selector & ~SEL_RPL;
    if (!stack_segment(vcpu, selector, level, VEC_TS, &stack->seg, fault))
        return false;
    /* A 16-bit stack gets SP only, as with a return to an outer level. */
    mask = offset_mask(stack);
    stack->esp = (vcpu->gpr[GPR_ESP] & ~mask) | (esp & mask);
    return true;
}
