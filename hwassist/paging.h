/*
 * How a hardware mode keeps a guest to its memory: by nested page tables (EPT, NPT), which the CPU
 * walks after the guest's own; or by shadow page tables (paging=shadow, and CPUs that have only
 * that), which it walks instead of them. The shadow is the one of the software modes.
 *
 * With shadow paging the guest's page faults, CR3 and INVLPG exit. What the guest believes of CR0,
 * CR3 and CR4 is then not what the CPU runs with: paging is always on, in PAE format.
 */
#ifndef TRIVISOR_HW_PAGING_H
#define TRIVISOR_HW_PAGING_H

#include "exit.h"
#include "shadow.h"
#include "tables.h"

struct hw_paging {
    bool shadowed;
    struct nested_map map; /* when not shadowed */
    struct shadow *shadow; /* when shadowed */
    hpa_t shadow_cr3;      /* what the CPU's CR3 is then */
};

/*
 * What the user wants (paging=nested|shadow), or else the better one that the CPU has.
 * no_nested: why the CPU has no nested paging, NULL when it has. Returns NULL and *shadowed, or one
 * sentence.
 */
const char *paging_choose(const char *options, const char *no_nested, bool *shadowed);

/* Build the tables that paging->shadowed asks for. Returns NULL, or one sentence, and then nothing
 * is left allocated. */
const char *paging_init(struct hw_paging *paging, enum nested_format format, struct vm *vm);
void paging_free(struct hw_paging *paging);

/*
 * A page fault that exited, with shadow paging: the canonical control registers must be current.
 * *exit becomes EXIT_SHADOW_FILL, EXIT_EXCEPTION (the guest's own fault, or the double fault that
 * it makes with `first`), EXIT_TRIPLE_FAULT, or EXIT_NESTED_FAULT where the guest has no memory.
 * first: the exception that the CPU was delivering, NULL when it was none.
 */
void paging_fault(struct hw_paging *paging, const struct event *first, gva_t gva, uint32_t error,
                  struct exit *exit);

/* The guest's INVLPG; and what tlb_flush_all() of mode.h says. The CPU's TLB is the caller's. */
void paging_drop_page(struct hw_paging *paging, gva_t gva);
void paging_drop_all(struct hw_paging *paging, bool global_too);

/* Counters as JSON members. */
int paging_stats(const struct hw_paging *paging, char *buf, unsigned size);

/* For the monitor: show() and explain() of mode.h. */
bool paging_show(const struct hw_paging *paging, const char *topic, struct sink *sink);
void paging_explain(const struct hw_paging *paging, gva_t gva, gpa_t gpa, struct sink *sink);

/* CR0 and CR4 bits that are the CPU's and not the guest's when paging is shadowed: in CR0 both are
 * set, in CR4 PAE is set and the others are clear. */
#define SHADOWED_CR0 (CR0_PG | CR0_WP)
#define SHADOWED_CR4 (CR4_PAE | CR4_PSE | CR4_PGE)

#endif
