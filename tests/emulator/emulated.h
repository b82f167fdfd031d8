/*
 * What the files of the emulator's run share: emulated.c runs the case, watch.c looks at what the
 * VMM's files ask of each other, machine.c is the machine and the mode that they need.
 */
#ifndef EMULATOR_TEST_EMULATED_H
#define EMULATOR_TEST_EMULATED_H

#include "emulator.h"
#include "emutest.h"

/* The case that runs, and what it has met. */
struct running {
    struct vcpu *vcpu;
    enum insn_op op;
    bool hole_written; /* device memory forgets, what stands for it with the CPU does not */
    bool task, outside, double_fault, killed, injected;
    bool tss_written; /* the page of the TSS, by INS */
    struct event event;
    uint64_t gate;       /* of the IDT, the last one read */
    uint64_t descriptor; /* the last one read */
    struct result *result;
};
extern struct running now;

/* machine.c: is it a port of the test? */
bool is_scratch(uint16_t port, unsigned size);

/* Wrapped by watch.c; these are the VMM's own. */
bool __real_guest_read(struct vcpu *, gva_t, void *, uint32_t, unsigned, struct event *);
bool __real_segment_allows(const struct vcpu *, const struct segment *, uint32_t, uint32_t, bool);

#endif
