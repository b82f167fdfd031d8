/* Shadow page tables as a virtual TLB; see shadow.h for the idea. */
#include "shadow.h"

#include <string.h>

#include "gmem.h"
#include "vmm.h"
#include "x86.h"

#define PDE_SHIFT 21
#define PT_INDEX(gva) ((gva) >> PAGE_SHIFT & 511)

static void point_at_vmm(uint64_t *pd3)
{
    for (gva_t gva = VMM_BASE; gva >= VMM_BASE; gva += 1u << PDE_SHIFT)
        pd3[gva >> PDE_SHIFT & 511] = host_pde(gva);
}

static bool alloc_root(struct shadow *s, int root)
{
    s->pdpt[root] = page_alloc();
    if (!s->pdpt[root])
        return false;
    for (int i = 0; i < 4; i++) {
        s->pd[root][i] = page_alloc();
        if (!s->pd[root][i])
            return false;
        s->pdpt[root][i] = ptr_to_hpa(s->pd[root][i]) | PTE_P;
    }
    point_at_vmm(s->pd[root][3]);
    return true;
}

const char *shadow_init(struct shadow *s, struct vm *vm, bool kernel_nx)
{
    memset(s, 0, sizeof(*s));
    s->vm = vm;
    memset(s->slot, 0xFF, sizeof(s->slot));
    s->pde_flags[SHADOW_KERNEL] = PTE_P | PTE_W | PTE_U | (kernel_nx ? PTE_NX : 0);
    s->pde_flags[SHADOW_USER] = PTE_P | PTE_W | PTE_U;
    s->hole_read = page_alloc();
    s->hole_bucket = page_alloc();
    bool ok = s->hole_read && s->hole_bucket;
    for (int root = 0; root < SHADOW_ROOTS && ok; root++)
        ok = alloc_root(s, root);
    while (ok && s->free_count < SHADOW_POOL) {
        s->table[s->free_count].pt = page_alloc();
        ok = s->table[s->free_count].pt;
        s->free[s->free_count] = (uint16_t)s->free_count;
        s->free_count += ok;
    }
    if (!ok) {
        shadow_free(s);
        return "too little memory for the shadow page tables";
    }
    memset(s->hole_read, 0xFF, PAGE_SIZE);
    s->stale = true;
    return NULL;
}

static void free_if(void *page)
{
    if (page)
        page_free(page);
}

void shadow_free(struct shadow *s)
{
    for (int i = 0; i < SHADOW_POOL; i++)
        free_if(s->table[i].pt);
    for (int root = 0; root < SHADOW_ROOTS; root++) {
        for (int i = 0; i < 4; i++)
            free_if(s->pd[root][i]);
        free_if(s->pdpt[root]);
    }
    free_if(s->hole_read);
    free_if(s->hole_bucket);
    memset(s, 0, sizeof(*s));
}

hpa_t shadow_cr3(const struct shadow *s, enum shadow_root_id root)
{
    return ptr_to_hpa(s->pdpt[root]);
}

static void clear_table(struct shadow_table *t)
{
    if (t->count > SHADOW_TRACK) {
        memset(t->pt, 0, PAGE_SIZE);
    } else {
        for (int i = 0; i < t->count; i++)
            t->pt[t->used[i]] = 0;
    }
    t->count = 0;
    t->local = false;
}

static void give_back(struct shadow *s, unsigned index)
{
    struct shadow_table *t = &s->table[index];
    s->pd[t->root][t->pde >> 9][t->pde & 511] = 0;
    s->slot[t->root][t->pde] = -1;
    clear_table(t);
    s->free[s->free_count++] = (uint16_t)index;
}

void shadow_drop_all(struct shadow *s, bool global_too)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < s->in_use_count; i++) {
        unsigned index = s->in_use[i];
        if (global_too || s->table[index].local)
            give_back(s, index);
        else
            s->in_use[kept++] = (uint16_t)index;
    }
    s->in_use_count = kept;
    s->flushes++;
    s->stale = true;
}

static struct shadow_table *take_table(struct shadow *s, enum shadow_root_id root, unsigned pde)
{
    if (!s->free_count)
        shadow_drop_all(s, true);
    unsigned index = s->free[--s->free_count];
    struct shadow_table *t = &s->table[index];
    s->in_use[s->in_use_count++] = (uint16_t)index;
    t->pde = (uint16_t)pde;
    t->root = (uint8_t)root;
    s->slot[root][pde] = (int16_t)index;
    s->pd[root][pde >> 9][pde & 511] = ptr_to_hpa(t->pt) | s->pde_flags[root];
    return t;
}

static void set_entry(struct shadow *s, enum shadow_root_id root, gva_t gva, uint64_t pte,
                      bool global)
{
    const unsigned pde = gva >> PDE_SHIFT;
    const int index = s->slot[root][pde];
    struct shadow_table *t = index >= 0 ? &s->table[index] : take_table(s, root, pde);
    if (!t->pt[PT_INDEX(gva)]) {
        if (t->count < SHADOW_TRACK)
            t->used[t->count] = (uint16_t)PT_INDEX(gva);
        if (t->count <= SHADOW_TRACK)
            t->count++;
    }
    t->pt[PT_INDEX(gva)] = pte;
    if (!global)
        t->local = true;
    s->fills++;
}

enum shadow_result shadow_fault(struct shadow *s, enum shadow_root_id root, gva_t gva,
                                uint32_t host_error, uint32_t *error, gpa_t *gpa)
{
    struct vcpu *vcpu = &s->vm->vcpu;
    const bool write = host_error & PF_W;
    struct walk walk;
    hpa_t hpa;
    if (!guest_walk(vcpu, gva, (write ? ACCESS_WRITE : 0) | (root == SHADOW_USER ? ACCESS_USER : 0),
                    &walk, error))
        return SHADOW_FAULT;
    if (gva >= VMM_BASE)
        return SHADOW_RESERVED;
    *gpa = walk.gpa;
    const bool ram = vm_gpa_to_hpa(s->vm, walk.gpa, &hpa);
    if (!ram) {
        if (write)
            return SHADOW_HOLE;
        hpa = ptr_to_hpa(s->hole_read);
    }
    const uint8_t *watch = s->vm->page_watch;
    const bool watched = watch && walk.gpa < s->vm->ram_size && watch[walk.gpa >> PAGE_SHIFT];
    if (write && watched)
        return SHADOW_WATCHED;
    uint64_t pte = hpa | PTE_P | PTE_U;
    /* Read-only until the first write, so that the guest's dirty bit is set when hardware would.
     * A supervisor write with CR0.WP clear got here although the guest's R/W is clear. */
    if (ram && !watched && (write || (walk.writable && walk.dirty)))
        pte |= PTE_W;
    set_entry(s, root, gva, pte, walk.global);
    return SHADOW_FILLED;
}

void shadow_open_page(struct shadow *s, enum shadow_root_id root, gva_t gva, gpa_t gpa)
{
    hpa_t hpa;
    if (!vm_gpa_to_hpa(s->vm, gpa, &hpa)) {
        memset(s->hole_bucket, 0xFF, PAGE_SIZE);
        hpa = ptr_to_hpa(s->hole_bucket);
    }
    set_entry(s, root, gva, hpa | PTE_P | PTE_U | PTE_W, false);
}

void shadow_drop_page(struct shadow *s, gva_t gva)
{
    if (gva >= VMM_BASE)
        return;
    for (int root = 0; root < SHADOW_ROOTS; root++) {
        const int index = s->slot[root][gva >> PDE_SHIFT];
        /* The entry stays counted as used: it is only cleared once more later. */
        if (index >= 0)
            s->table[index].pt[PT_INDEX(gva)] = 0;
    }
    s->stale = true;
}

void shadow_protect(struct shadow *s, gpa_t gpa)
{
    (void)gpa; /* a virtual TLB has no reverse map: drop all, it is rare */
    shadow_drop_all(s, true);
}
