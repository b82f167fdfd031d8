/*
 * The page walk of 32-bit paging, for the two who do it all day: guest memory accesses (gmem.c) and
 * shadow fills (shadow.c). Inline, because the result is taken apart at once. See gmem.h.
 */
#ifndef TRIVISOR_WALK_H
#define TRIVISOR_WALK_H

#include "gmem.h"
#include "x86.h"

#define LARGE_OFFSET 0x003FFFFFu

/* A table entry; where there is no memory the bus answers with ones. Entries are aligned, so an
 * entry never straddles two pages. */
static inline uint32_t entry_load(const struct vm *vm, gpa_t gpa)
{
    uint32_t entry;

    if (!guest_has_page(vm, gpa & PAGE_MASK))
        return 0xFFFFFFFFu;
    __builtin_memcpy(&entry, vm->ram + gpa, sizeof(entry));
    return entry;
}

/* A mode may watch what is on a page (vm.h); gpa has just been written. */
static inline void note_write(struct vm *vm, gpa_t gpa)
{
    if (vm->page_watch && vm->page_watch[gpa >> PAGE_SHIFT])
        vm->page_written(vm, gpa & PAGE_MASK);
}

static inline void entry_store(struct vm *vm, gpa_t gpa, uint32_t entry)
{
    if (!guest_has_page(vm, gpa & PAGE_MASK))
        return;
    __builtin_memcpy(vm->ram + gpa, &entry, sizeof(entry));
    note_write(vm, gpa);
}

/* Set A, and on a leaf that is written D (SDM vol. 3A section 4.8). */
static inline uint32_t entry_mark(struct vm *vm, gpa_t gpa, uint32_t entry, uint32_t bits)
{
    if ((entry & bits) != bits) {
        entry |= bits;
        entry_store(vm, gpa, entry);
    }
    return entry;
}

/* SDM vol. 3A section 4.6: what the combined R/W and U/S of the levels let an access do. */
static inline bool rights_allow(const struct vcpu *vcpu, uint32_t rights, unsigned access)
{
    if ((access & ACCESS_USER) && !(rights & PTE_U))
        return false;
    if ((access & ACCESS_WRITE) && !(rights & PTE_W))
        return !(access & ACCESS_USER) && !(vcpu->cr0 & CR0_WP);
    return true;
}

/* Neither SMEP nor NX exists for our guests, so the error code never tells a fetch from a read
 * (SDM vol. 3A section 4.7, "I/D flag"). */
static inline bool walk_failed(uint32_t *error, unsigned access, uint32_t why)
{
    *error = (access & (PF_W | PF_U)) | why;
    return false;
}

static inline __attribute__((always_inline)) bool
walk_tables(struct vcpu *vcpu, gva_t gva, unsigned access, struct walk *walk, uint32_t *error)
{
    struct vm *vm = vcpu->vm;
    gpa_t pde_gpa, leaf_gpa;
    uint32_t pde, leaf, rights;
    bool large;

    if (!(vcpu->cr0 & CR0_PG)) {
        *walk = (struct walk){
            .gpa = gva, .writable = true, .user = true, .dirty = true, .accessed = true};
        return true;
    }

    pde_gpa = (vcpu->cr3 & PAGE_MASK) + (gva >> 22) * 4;
    pde = entry_load(vm, pde_gpa);
    if (!(pde & PTE_P))
        return walk_failed(error, access, 0);
    large = (pde & PTE_PS) && (vcpu->cr4 & CR4_PSE);
    if (large) {
        if (pde & PDE_LARGE_RESERVED)
            return walk_failed(error, access, PF_P | PF_RSVD);
        leaf_gpa = pde_gpa;
        leaf = rights = pde;
    } else {
        leaf_gpa = (pde & PAGE_MASK) + ((gva >> PAGE_SHIFT) & 0x3FF) * 4;
        leaf = entry_load(vm, leaf_gpa);
        if (!(leaf & PTE_P))
            return walk_failed(error, access, 0);
        rights = pde & leaf;
    }
    if (!rights_allow(vcpu, rights, access))
        return walk_failed(error, access, PF_P);

    if (!(access & ACCESS_PEEK)) {
        if (!large)
            pde = entry_mark(vm, pde_gpa, pde, PTE_A);
        leaf = entry_mark(vm, leaf_gpa, leaf, access & ACCESS_WRITE ? PTE_A | PTE_D : PTE_A);
    }

    walk->gpa = large ? (leaf & ~LARGE_OFFSET) | (gva & LARGE_OFFSET)
                      : (leaf & PAGE_MASK) | (gva & ~PAGE_MASK);
    walk->writable = rights & PTE_W;
    walk->user = rights & PTE_U;
    walk->global = (leaf & PTE_G) && (vcpu->cr4 & CR4_PGE);
    walk->dirty = leaf & PTE_D;
    walk->large = large;
    walk->accessed = leaf & (large ? leaf : pde) & PTE_A;
    return true;
}

#endif
