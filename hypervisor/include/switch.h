/*
 * Live switching: a running guest goes on in another mode. The canonical vCPU makes it possible
 * (vcpu.h): the old mode stores all it has there, the new one starts from there. Memory and devices
 * are the VM's and stay as they are.
 *
 * Anybody may ask at any time; the vCPU loop does it between two exits, at the next point where
 * both modes and the guest's state allow it.
 */
#ifndef TRIVISOR_SWITCH_H
#define TRIVISOR_SWITCH_H

#include "mode.h"

#define SWITCH_TARGET_SIZE 20 /* "svm+shadow" and the like */

enum switch_state { SWITCH_DONE, SWITCH_WAITS, SWITCH_REFUSED, SWITCH_FAILED };

/* One request; part of struct vm. */
struct vm_switch {
    const struct vmm_mode *to; /* NULL: nothing is asked for */
    const char *paging;        /* "nested" or "shadow"; NULL: as the options say */
    uint64_t asked_ns;         /* host_now_ns() */
    uint32_t waits;            /* exits at which it could not be done */
    enum switch_state state;   /* of the last request */
    bool unfit;                /* it failed because the mode does not take this guest at all */
    uint32_t done;             /* switches so far */
    /* Not a switch but a pause between two modes that are the same: vm_switch_pause(). */
    void (*work)(struct vm *vm, const char *why);
};

/*
 * Ask for a switch to target: the name of a mode, for a hardware mode also with "+nested" or
 * "+shadow" behind it (paging of that kind; without it, as the VMM's options say). A request that
 * still waits is replaced. Returns NULL, or one sentence that says why it is refused at once
 * (static storage).
 */
const char *vm_switch_ask(struct vm *vm, const char *target);

/*
 * As soon as the mode can be left, leave it, call work(vm, NULL), and enter it again; or, when that
 * did not become possible in a while, call work(vm, why). In between the canonical vCPU is all
 * there is of the guest's state. Returns NULL, or one sentence: something else is asked for
 * already.
 */
const char *vm_switch_pause(struct vm *vm, void (*work)(struct vm *vm, const char *why));

/* Turns of the loop while something is asked for: until it is done or given up, or somebody else
 * wants a turn (vm->stopped). What becomes of it is told in a record on COM2, and on the console
 * when it is not done. */
void vm_switch_turns(struct vm *vm);

/* Do it now, without the guest going on. Returns NULL: it is done or has failed; or what is in the
 * way, and then it is still asked for. */
const char *vm_switch_try(struct vm *vm);

/* Is it the name of a mode, of this CPU or not, with or without a paging behind it? */
bool vm_switch_is_target(const char *target);

/* The name of the i-th of the combinations of mode and paging that this CPU can run, from 0 on;
 * false: there are fewer. name, of SWITCH_TARGET_SIZE bytes, receives it. */
bool vm_switch_target(unsigned i, char *name);

/*
 * The guest's own way to ask, by a port: value is a mode's number (1 trap, 2 para, 3 vtx, 4 svm)
 * and SWITCH_NESTED or SWITCH_SHADOW. The answer has the same form, for the mode that runs now, and
 * the state of the last request.
 */
#define SWITCH_NESTED 0x100u
#define SWITCH_SHADOW 0x200u
#define SWITCH_STATE_SHIFT 16
void vm_switch_ask_number(struct vm *vm, uint32_t value);
uint32_t vm_switch_answer(const struct vm *vm);

/* --- switch_plan.c: switches at given times --- */

/*
 * switch=MODE@MS,MODE@MS,... at these times of the guest (ms since its start), or
 * switch=random:SEED:COUNT[:US[:MODE/MODE/...]]: COUNT switches to random modes (to those, or all
 * that the CPU can run), after random times of US microseconds in the mean (2000), the same for the
 * same SEED; with EXITSx instead of US after so many exits that the vCPU loop sees, that is in the
 * middle of what an exit leaves to be done. Returns NULL, or one sentence.
 */
const char *switch_plan_read(const char *options);

/* When is the next one due (host_now_ns(), UINT64_MAX: never)? Ask for it, if it is over. */
uint64_t switch_plan_deadline(const struct vm *vm);
void switch_plan_turn(struct vm *vm, uint64_t now_ns);

/* Does it count exits? Then each one is told to it. */
bool switch_plan_counts_exits(void);
void switch_plan_exit(struct vm *vm);

/* The guest has ended: NULL, or one sentence about the switches that it has not lived to see. */
const char *switch_plan_missed(void);

#endif
