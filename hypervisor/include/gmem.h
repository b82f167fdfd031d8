/*
 * Guest memory by guest virtual address: the page walk of 32-bit paging (SDM vol. 3A section 4.3),
 * with the checks and the accessed and dirty bits the hardware would set. Pure code.
 */
#ifndef TRIVISOR_GMEM_H
#define TRIVISOR_GMEM_H

#include "vm.h"

/* Kinds of access; ACCESS_USER is what CPL 3 does, without it the access is a supervisor one
 * (also the implicit ones: descriptor tables, the TSS, pushes during delivery). */
#define ACCESS_READ 0u
#define ACCESS_WRITE PF_W
#define ACCESS_USER PF_U
#define ACCESS_FETCH PF_I
#define ACCESS_PEEK 0x100u /* look without setting A or D: for monitors, scanners */

/* A PDE of a 4 MB page without PSE-36: these address bits must be zero (SDM vol. 3A table 4-4). */
#define PDE_LARGE_RESERVED 0x003FE000u

struct walk {
    gpa_t gpa;     /* the translated address (with offset) */
    bool writable; /* R/W of the combined levels */
    bool user;     /* U/S of the combined levels */
    bool global;   /* G of the leaf (and CR4.PGE) */
    bool dirty;    /* D of the leaf, after the walk */
    bool large;    /* a 4 MB page */
    bool accessed; /* A of all levels, after the walk */
};

/*
 * Translate gva for the given access (ACCESS_ bits) with the guest's CR0, CR3 and CR4.
 * Returns true and fills *walk; or false with *error = the page-fault error code.
 */
bool guest_walk(struct vcpu *vcpu, gva_t gva, unsigned access, struct walk *walk, uint32_t *error);

/*
 * Copy n bytes (any n, any alignment) from or to guest linear memory.
 * Returns true, or false with *fault = the #PF the guest must get (nothing is written before all
 * pages have been checked). Holes read as 0xFF and swallow writes.
 */
bool guest_read(struct vcpu *vcpu, gva_t gva, void *buf, uint32_t n, unsigned access,
                struct event *fault);
bool guest_write(struct vcpu *vcpu, gva_t gva, const void *buf, uint32_t n, unsigned access,
                 struct event *fault);

/* Is there RAM at gpa (page aligned)? Then it is at vm->ram + gpa. */
static inline bool guest_has_page(const struct vm *vm, gpa_t gpa)
{
    return gpa < vm->ram_size && gpa - ISA_HOLE >= ISA_HOLE_END - ISA_HOLE;
}

/* The VMM's pointer to guest physical memory of n bytes, or NULL when it is not all RAM. */
void *guest_ram(const struct vm *vm, gpa_t gpa, uint32_t n);

#endif
