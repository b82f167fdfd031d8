/* AMD-V under test: the VMCB, its valid base states, and the ways to break them. */
#ifndef ENTRY_SVM_TEST_H
#define ENTRY_SVM_TEST_H

#include "entry.h"
#include "svm/svm.h"

extern struct svm_cpu svm_cpu;
extern struct vmcb vmcb;

enum svm_base {
    SVM_PROTECTED,
    SVM_RING3,
    SVM_PAE,
    SVM_V86,
    SVM_PLAIN, /* without nested paging */
    SVM_PLAIN_PAE,
    SVM_NO_PAGING,
    SVM_REAL,
    SVM_IRQ, /* these inject an event */
    SVM_NMI,
    SVM_FAULT,
    SVM_SOFT,
    SVM_SHADOW, /* an interrupt shadow */
    SVM_LONG,   /* EFER.LME without paging */
    SVM_BASES
};
#define B(name) (1u << SVM_##name)

/* 64 bits of the VMCB, from any byte on. */
struct svm_edit {
    uint16_t offset;
    uint64_t clear, set;
};
struct svm_way {
    const char *name;
    uint32_t bases;
    bool broken; /* by the manual; else it is legal */
    struct svm_edit edits[4];
    uint8_t flags;
};
#define HOST_PAGING_OFF 1u
#define NEEDS_NESTED 2u  /* a CPU with nested paging */
#define NEEDS_NO_LONG 8u /* a CPU without long mode */
#define NEEDS_LONG 16u
#define NEEDS_NO_VME 4u /* a CPU without CR4.VME */
extern const struct svm_way svm_ways[];
extern const unsigned svm_way_count;
#define AT(field) offsetof(struct vmcb, field)
/* As the set bits of an address: the last page of what the CPU can have, and the end of that. */
#define LAST_PAGE 0xDEAD000000000001ull
#define THE_END 0xDEAD000000000002ull

extern struct unchecked svm_unchecked[];
extern struct too_strict svm_too_strict[];
extern struct deadly svm_deadly[];

#endif
