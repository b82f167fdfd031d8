/*
 * The test of the entry checker against the CPU: a bare-metal program that makes valid VMCSs or
 * VMCBs, breaks them in named ways and at random, asks the VMM's checker (hwassist/vmx/check*.c,
 * hwassist/svm/check.c) for its verdict, then tries the entry, and compares.
 *
 * A verdict is more than yes or no: of VMX also where the entry fails (VMfail with error 7 or 8, or
 * an exit with reason 33 or 34). Some ways are legal, so that a checker that cries wolf is found,
 * too. Each named way has the verdict that its author read in the manual: a third opinion.
 *
 * Where the CPU departs from the manual, which is the emulator's fault, a list says so with the
 * reason (vmx_known.c, svm_known.c): rules that it does not check, and what it refuses although
 * the manual allows it. What is listed is expected to the letter: it is a failure also when a
 * listed disagreement does not show, and when none of the named ways shows it.
 *
 * The guest is some pages of CPUID instructions, which exit; every exception exits, too. Nested or
 * its own paging keeps it in 64 KB of memory, whatever a way does to it.
 *
 * Another list names what is not tried, because it would kill the emulator or never end. Not made:
 * host states that entry accepts and no exit survives.
 *
 * The order to read in: guest.c, vmx_machine.c, vmx_bases.c, the ways, vmx_known.c, verdict.c,
 * vmx_random.c; the same for svm; main.c.
 */
#ifndef ENTRY_TEST_H
#define ENTRY_TEST_H

#include "rules.h"
#include "vm.h"
#include "x86.h"

/* --- the guest's memory, guest physical = host physical: guest.c --- */

#define GUEST_FIRST 0x20000u
#define GUEST_PAGES 16u
enum { /* its pages */
       PAGE_CODE,
       PAGE_HANDLER,
       PAGE_GDT,
       PAGE_IDT,
       PAGE_IVT,
       PAGE_TSS,
       PAGE_STACK,
       PAGE_TABLE,
       PAGE_DIRECTORY,
       PAGE_PDPT,
       PAGE_PAE_DIRECTORY,
       PAGE_PAE_TABLE,
       PAGE_BAD_PDPT, /* its first entry has reserved bits */
};
#define GUEST_PAGE(i) (GUEST_FIRST + (i)*PAGE_SIZE)
#define GUEST_SEGMENT (GUEST_FIRST >> 4) /* real mode and virtual-8086 mode */
#define SEL_CODE 0x08u
#define SEL_DATA 0x10u
#define SEL_USER_CODE 0x1Bu
#define SEL_USER_DATA 0x23u
#define SEL_TSS 0x28u

void guest_memory_init(void);
/* Guest-linear is guest-physical, in both formats. Before each case: QEMU sets the accessed bit
 * in PDPTEs, where it is reserved. */
void guest_tables_init(void);
/* PAE paging for the host, identity, and on. */
void host_paging_on(void);
/* Physical memory for the checkers: what is above 4 GB reads as ones, as a bus does. */
bool read_physical(uint64_t hpa, void *to, unsigned n);
extern bool is_bochs;

/* --- random numbers --- */
void rng_start(uint32_t seed, uint32_t number);
uint32_t rnd(void);
static inline uint32_t below(uint32_t n)
{
    return (uint32_t)((uint64_t)rnd() * n >> 32);
}
#define PICK(array) ((array)[below(ARRAY_LEN(array))])

/* --- verdicts: verdict.c --- */

enum verdict {
    ENTERS,
    REFUSED = 1,        /* SVM: VMEXIT_INVALID */
    FAILS_CONTROLS = 7, /* VMX: VMfail, VM-instruction error 7, 8 */
    FAILS_HOST = 8,
    FAILS_GUEST = 33, /* VMX: an exit with the entry-failure bit */
    FAILS_MSR = 34,
};

/* A rule of the manual that this CPU does not check; in the list that ends with rule NULL. */
struct unchecked {
    const char *rule;   /* the beginning of its sentence */
    bool (*when)(void); /* only then; NULL: always */
    bool (*here)(void); /* only on such a machine; NULL: on all */
    const char *reason;
    uint32_t shown;
};
/* What this CPU refuses although no rule is broken; in the list that ends with when NULL. */
struct too_strict {
    bool (*when)(void); /* looks at what is about to be entered */
    enum verdict verdict;
    bool (*here)(void);
    const char *name, *reason;
    uint32_t shown;
};
/* What is not tried when the CPU is expected to enter; in the list that ends with when NULL. */
struct deadly {
    bool (*when)(void);
    const char *reason;
    bool always; /* also when it is expected to refuse */
    uint32_t left_out;
};
void known_set(struct unchecked *unchecked, struct too_strict *too_strict, struct deadly *deadly);

/* A case: begin, walk through the rules stage by stage with verdict_seen as rule_walk.seen, ask for
 * the checker's verdict, try, end. */
void verdict_begin(void);
void verdict_stage(enum verdict stage);
void verdict_seen(const struct entry_rule *rule, bool broken);
/* The checker's, which is the manual's; and whether the CPU is expected to enter. */
enum verdict verdict_of_checker(void);
bool verdict_will_enter(void);
/* Must it not be tried? Counts. */
bool verdict_deadly(bool will_enter);
/* Compare with the CPU's. True: as expected. Prints what is not. named: of a named way. */
bool verdict_end(enum verdict cpu, const char *base, const char *way, bool named);
void verdict_print_broken(void);
/* The table of rules and the list of disagreements; returns how many listed ones never showed. */
unsigned verdict_report(void);
const char *verdict_name(enum verdict verdict);

/* --- the two kinds of hardware assist --- */

/* What was compared. */
struct tally {
    uint32_t ways, cases, differ, skipped, misread;
};
extern struct tally tally;

struct assist {
    const char *name;
    bool (*init)(void);
    void (*named)(const char *only); /* all named ways on all their bases; only: those with it */
    void (*random)(uint32_t seed, uint32_t number);
};
extern const struct assist vmx_assist, svm_assist;

#endif
