/*
 * Guest memory by guest virtual address. Every trap reads descriptor tables and writes a stack
 * frame through here, so an access that stays on one page takes one walk and one copy.
 */
#include "gmem.h"

#include <string.h>

#include "x86.h"

/* A PDE of a 4 MB page without PSE-36: these address bits must be zero (SDM vol. 3A table 4-4). */
#define PDE_LARGE_RESERVED 0x003FE000u
#define LARGE_OFFSET 0x003FFFFFu

void *guest_ram(const struct vm *vm, gpa_t gpa, uint32_t n)
{
    if (n > vm->ram_size || gpa > vm->ram_size - n)
        return NULL;
    if (gpa < VGA_TEXT_GPA + VGA_TEXT_SIZE && gpa + n > VGA_TEXT_GPA)
        return NULL;
    return vm->ram + gpa;
}

/* A table entry; where there is no memory the bus answers with ones. Entries are aligned, so an
 * entry never straddles two pages. */
static uint32_t entry_load(const struct vm *vm, gpa_t gpa)
{
    const void *p = guest_ram(vm, gpa, sizeof(uint32_t));
    uint32_t entry = 0xFFFFFFFFu;

    if (p)
        __builtin_memcpy(&entry, p, sizeof(entry));
    return entry;
}

/* A mode may watch what is on a page (vm.h); gpa has just been written. */
static inline void note_write(struct vm *vm, gpa_t gpa)
{
    if (vm->page_watch && vm->page_watch[gpa >> PAGE_SHIFT])
        vm->page_written(vm, gpa & PAGE_MASK);
}

static void entry_store(struct vm *vm, gpa_t gpa, uint32_t entry)
{
    void *p = guest_ram(vm, gpa, sizeof(uint32_t));

    if (!p)
        return;
    __builtin_memcpy(p, &entry, sizeof(entry));
    note_write(vm, gpa);
}

/* Set A, and on a leaf that is written D (SDM vol. 3A section 4.8). */
static uint32_t entry_mark(struct vm *vm, gpa_t gpa, uint32_t entry, uint32_t bits)
{
    if ((entry & bits) != bits) {
        entry |= bits;
        entry_store(vm, gpa, entry);
    }
    return entry;
}

/* SDM vol. 3A section 4.6: what the combined R/W and U/S of the levels let an access do. */
static bool rights_allow(const struct vcpu *vcpu, uint32_t rights, unsigned access)
{
    if ((access & ACCESS_USER) && !(rights & PTE_U))
        return false;
    if ((access & ACCESS_WRITE) && !(rights & PTE_W))
        return !(access & ACCESS_USER) && !(vcpu->cr0 & CR0_WP);
    return true;
}

/* Neither SMEP nor NX exists for our guests, so the error code never tells a fetch from a read
 * (SDM vol. 3A section 4.7, "I/D flag"). */
static bool walk_failed(uint32_t *error, unsigned access, uint32_t why)
{
    *error = (access & (PF_W | PF_U)) | why;
    return false;
}

bool guest_walk(struct vcpu *vcpu, gva_t gva, unsigned access, struct walk *walk, uint32_t *error)
{
    struct vm *vm = vcpu->vm;
    gpa_t pde_gpa, leaf_gpa;
    uint32_t pde, leaf, rights;
    bool large;

    if (!(vcpu->cr0 & CR0_PG)) {
        *walk = (struct walk){.gpa = gva, .writable = true, .user = true, .dirty = true};
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
            entry_mark(vm, pde_gpa, pde, PTE_A);
        leaf = entry_mark(vm, leaf_gpa, leaf, access & ACCESS_WRITE ? PTE_A | PTE_D : PTE_A);
    }

    walk->gpa = large ? (leaf & ~LARGE_OFFSET) | (gva & LARGE_OFFSET)
                      : (leaf & PAGE_MASK) | (gva & ~PAGE_MASK);
    walk->writable = rights & PTE_W;
    walk->user = rights & PTE_U;
    walk->global = (leaf & PTE_G) && (vcpu->cr4 & CR4_PGE);
    walk->dirty = leaf & PTE_D;
    walk->large = large;
    return true;
}

static bool page_fault(struct event *fault, gva_t gva, uint32_t error)
{
    *fault = (struct event){
        .kind = EVENT_EXCEPTION, .vector = VEC_PF, .has_error = true, .error = error, .cr2 = gva};
    return false;
}

/* The sizes of descriptors, stack slots and operands become plain moves. */
static inline void copy_small(void *to, const void *from, uint32_t n)
{
    switch (n) {
    case 1:
        __builtin_memcpy(to, from, 1);
        break;
    case 2:
        __builtin_memcpy(to, from, 2);
        break;
    case 4:
        __builtin_memcpy(to, from, 4);
        break;
    case 8:
        __builtin_memcpy(to, from, 8);
        break;
    default:
        memcpy(to, from, n);
    }
}

/* Within one page, which is either all RAM or no RAM at all. */
static void load_page(const struct vm *vm, gpa_t gpa, void *buf, uint32_t n)
{
    const void *p = guest_ram(vm, gpa, n);

    if (p)
        copy_small(buf, p, n);
    else
        memset(buf, 0xFF, n);
}

static void store_page(struct vm *vm, gpa_t gpa, const void *buf, uint32_t n)
{
    void *p = guest_ram(vm, gpa, n);

    if (!p)
        return;
    copy_small(p, buf, n);
    note_write(vm, gpa);
}

/* Bytes of an access of n bytes that lie on gva's own page. */
static inline uint32_t on_page(gva_t gva, uint32_t n)
{
    uint32_t left = PAGE_SIZE - (gva & ~PAGE_MASK);

    return n < left ? n : left;
}

/* May the whole range be accessed? Sets no A or D: a later page may still fault. */
static bool probe_pages(struct vcpu *vcpu, gva_t gva, uint32_t n, unsigned access,
                        struct event *fault)
{
    while (n > 0) {
        uint32_t chunk = on_page(gva, n), error;
        struct walk walk;

        if (!guest_walk(vcpu, gva, access | ACCESS_PEEK, &walk, &error))
            return page_fault(fault, gva, error);
        gva += chunk; /* wraps at 4 GB, as linear addresses do */
        n -= chunk;
    }
    return true;
}

bool guest_read(struct vcpu *vcpu, gva_t gva, void *buf, uint32_t n, unsigned access,
                struct event *fault)
{
    uint8_t *to = buf;

    if (on_page(gva, n) != n && !probe_pages(vcpu, gva, n, access, fault))
        return false;
    while (n > 0) {
        uint32_t chunk = on_page(gva, n), error;
        struct walk walk;

        if (!guest_walk(vcpu, gva, access, &walk, &error))
            return page_fault(fault, gva, error);
        load_page(vcpu->vm, walk.gpa, to, chunk);
        gva += chunk;
        to += chunk;
        n -= chunk;
    }
    return true;
}

bool guest_write(struct vcpu *vcpu, gva_t gva, const void *buf, uint32_t n, unsigned access,
                 struct event *fault)
{
    const uint8_t *from = buf;

    access |= ACCESS_WRITE;
    if (on_page(gva, n) != n && !probe_pages(vcpu, gva, n, access, fault))
        return false;
    while (n > 0) {
        uint32_t chunk = on_page(gva, n), error;
        struct walk walk;

        /* Only a write that lands on its own page tables can still fail here. */
        if (!guest_walk(vcpu, gva, access, &walk, &error))
            return page_fault(fault, gva, error);
        store_page(vcpu->vm, walk.gpa, from, chunk);
        gva += chunk;
        from += chunk;
        n -= chunk;
    }
    return true;
}
