/* Between descriptors.c and state.c. */
#ifndef EMULATOR_TEST_DESCRIPTORS_H
#define EMULATOR_TEST_DESCRIPTORS_H

#include "emutest.h"

/* Slots of the GDT by what they hold. Every slot is filled anew for each case that looks at it. */
enum {
    SLOT_CODE = 1,  /* four flat ones, by DPL */
    SLOT_DATA = 5,  /* four flat ones, by DPL */
    SLOT_ANY = 9,   /* whatever */
    SLOT_TSS = 17,  /* the first one is TR */
    SLOT_LDT = 21,  /* the first one is LDTR */
    SLOT_GATE = 23, /* call gates, now and then task gates */
    SLOT_CONF = 31, /* conforming code */
    SLOT_CODE16 = 35,
    SLOT_STACK = 39,  /* writable data of all kinds, by DPL, four of each */
    SLOT_SYSTEM = 55, /* system segments and gates of all types, for LAR and its like */
    SLOT_END = 59,
};
#define LDT_SLOTS 8u
#define VECTORS 20u

/* base, limit as it stands in the descriptor, access byte, flags (G DB L AVL). */
uint64_t pack(uint32_t base, uint32_t limit, unsigned access, unsigned flags);
uint32_t random_base(void);
/* A code or data segment of this access byte; its limit is near an edge of pages or of 64 KB. */
uint64_t random_segment(unsigned access, uint32_t base);
/* An access byte; mostly present. */
unsigned random_access(unsigned type, unsigned dpl);

/* New contents for a slot of the GDT, of the LDT, or a vector's gate. */
void slot_fill(unsigned slot);
void ldt_fill(unsigned slot);
void gate_fill(unsigned vector);

#endif
