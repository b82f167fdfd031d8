/* What is known of the machines, in three lists: forgive.c tells how they are used. */
#ifndef EMULATOR_TEST_FORGIVE_H
#define EMULATOR_TEST_FORGIVE_H

#include "emutest.h"

/* One difference. */
struct difference {
    const struct test_case *test;
    const struct result *emu, *cpu;
    const char *what;
    gpa_t at;         /* of memory; 0: not memory */
    uint32_t e, c, x; /* the emulator's, the CPU's, what differs */
    enum insn_op op;  /* the last one executed */
};

struct rule {
    bool (*applies)(const struct difference *);
    const char *why;
};

/* Ends with an empty rule. */
extern const struct rule rules_of_both[], rules_of_qemu[], rules_of_bochs[];

bool is(const struct difference *d, const char *what);
bool executed(const struct result *r, enum insn_op op);
bool is_int(enum insn_op op);
bool is_conforming_attr(const struct result *r);
bool is_mov_control(enum insn_op op);
bool is_far_call(enum insn_op op);
const struct event *first_fault(const struct result *emu);
bool faulted(const struct result *r);
bool in_table_page(gpa_t at, unsigned page);
bool in_tss(gva_t gva);
bool in_access_byte(gva_t gva);
bool in_descriptor(gpa_t at);
bool in_page_tables(gpa_t at);
bool in_frame(const struct difference *d);
bool in_lost_frame(const struct difference *d);
bool in_frame_linear(const struct difference *d, gva_t gva);
/* Words of one operand are read one by one. */
bool is_of_words(enum insn_op op);

#endif
