/* Shadow page tables as a virtual TLB; see shadow.h for the idea. */
#include "shadow.h"

#include <string.h>

#include "vmm.h"
#include "walk.h"

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
    if (!s->own_user)
        point_at_vmm(s->pd[root][3]);
    return true;
}

const char *shadow_init(struct shadow *s, struct vm *vm, enum shadow_kind kind)
{
    memset(s, 0, sizeof(*s));
    s->vm = vm;
    s->own_user = kind == SHADOW_NATIVE ? PTE_U : 0;
    memset(s->slot, 0xFF, sizeof(s->slot));
    s->recent.part = NO_PART;
    for (unsigned i = 0; i <= SHADOW_SPACES; i++)
        s->spaces[i].first = -1;
    s->spaces[0].used = true;
    s->spaces[0].cr3 = vm->vcpu.cr3;
    s->pde_flags[SHADOW_KERNEL] = PTE_P | PTE_W | PTE_U | (kind == SHADOW_WINDOW ? PTE_NX : 0);
    s->pde_flags[SHADOW_USER] = PTE_P | PTE_W | PTE_U;
    s->hole_read = page_alloc();
    s->hole_bucket = page_alloc();
    bool ok = s->hole_read && s->hole_bucket;
    for (unsigned pde = 0; pde < SHADOW_PDES; pde++)
        s->entries[SHADOW_KERNEL][pde] = s->entries[SHADOW_USER][pde] = s->hole_bucket;
    for (int root = 0; root < (s->own_user ? 1 : SHADOW_ROOTS) && ok; root++)
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
        for (unsigned i = 0; i < t->count; i++)
            t->pt[t->used[i]] = 0;
    }
    t->count = 0;
}

static void install(struct shadow *s, unsigned index)
{
    const struct shadow_table *t = &s->table[index];
    s->slot[t->root][t->pde] = (int16_t)index;
    s->entries[t->root][t->pde] = t->pt;
    s->recent.part = NO_PART;
    s->pd[t->root][t->pde >> 9][t->pde & 511] = ptr_to_hpa(t->pt) | s->pde_flags[t->root];
}

static void uninstall(struct shadow *s, unsigned index)
{
    const struct shadow_table *t = &s->table[index];
    if (s->slot[t->root][t->pde] != (int16_t)index)
        return; /* of a space that is put aside */
    s->slot[t->root][t->pde] = -1;
    s->entries[t->root][t->pde] = s->hole_bucket;
    s->recent.part = NO_PART;
    s->pd[t->root][t->pde >> 9][t->pde & 511] = 0;
}

static void give_back(struct shadow *s, unsigned index)
{
    struct shadow_table *t = &s->table[index];
    uninstall(s, index);
    clear_table(t);
    s->large_count -= t->large;
    if (t->before >= 0)
        s->table[t->before].after = t->after;
    else
        s->spaces[t->space].first = t->after;
    if (t->after >= 0)
        s->table[t->after].before = t->before;
    s->free[s->free_count++] = (uint16_t)index;
}

static void empty_space(struct shadow *s, unsigned space)
{
    while (s->spaces[space].first >= 0)
        give_back(s, (unsigned)s->spaces[space].first);
}

void shadow_drop_all(struct shadow *s)
{
    for (unsigned i = 0; i <= SHADOW_SPACES; i++)
        empty_space(s, i);
    s->recent.part = NO_PART;
    s->flushes++;
    s->stale = true;
}

/* A space that nobody uses, or the one that was not for longest; not the current one. */
static unsigned oldest_space(const struct shadow *s)
{
    unsigned found = s->current ? 0 : 1;
    for (unsigned i = 0; i < SHADOW_SPACES; i++) {
        const struct shadow_space *a = &s->spaces[i], *b = &s->spaces[found];
        if (i == s->current)
            continue;
        if (!a->used || (b->used && s->switches - a->last_use > s->switches - b->last_use))
            found = i;
        if (!a->used)
            break;
    }
    return found;
}

/* Make tables free: of spaces that are put aside, the oldest first; or all. None is free now. */
static void make_room(struct shadow *s)
{
    for (unsigned i = 0; i < SHADOW_SPACES && !s->free_count; i++) {
        unsigned oldest = SHADOW_SPACES;
        for (unsigned k = 0; k < SHADOW_SPACES; k++) {
            const struct shadow_space *space = &s->spaces[k];
            if (k == s->current || space->first < 0)
                continue;
            if (oldest == SHADOW_SPACES ||
                s->switches - space->last_use > s->switches - s->spaces[oldest].last_use)
                oldest = k;
        }
        if (oldest == SHADOW_SPACES)
            break;
        empty_space(s, oldest);
    }
    if (!s->free_count)
        shadow_drop_all(s);
    s->evicted += s->free_count;
}

static struct shadow_table *take_table(struct shadow *s, enum shadow_root_id root, unsigned pde,
                                       unsigned space)
{
    if (!s->free_count)
        make_room(s);
    const unsigned index = s->free[--s->free_count];
    struct shadow_table *t = &s->table[index];
    t->pde = (uint16_t)pde;
    t->root = (uint8_t)root;
    t->space = (uint8_t)space;
    t->mixed = false;
    t->large = false;
    t->before = -1;
    t->after = s->spaces[space].first;
    if (t->after >= 0)
        s->table[t->after].before = (int16_t)index;
    s->spaces[space].first = (int16_t)index;
    install(s, index);
    return t;
}

/* The table for gva; one that is shared must not get an entry of this space alone. */
static __attribute__((noinline)) struct shadow_table *
new_table_for(struct shadow *s, enum shadow_root_id root, gva_t gva, bool global)
{
    const unsigned pde = gva >> PDE_SHIFT;
    const int index = s->slot[root][pde];
    if (index >= 0) {
        give_back(s, (unsigned)index);
        s->stale = true;
    }
    return take_table(s, root, pde, global ? SHADOW_SHARED : s->current);
}

static inline struct shadow_table *table_for(struct shadow *s, enum shadow_root_id root, gva_t gva,
                                             bool global)
{
    const int index = s->slot[root][gva >> PDE_SHIFT];
    if (index >= 0 && (global || s->table[index].space != SHADOW_SHARED))
        return &s->table[index];
    return new_table_for(s, root, gva, global);
}

/* --- coming back to an address space --- */

/* What the guest's tables say about the 2 MB of a shadow table. Nothing, when hardware would set
 * the accessed bit of the directory's entry again, or fault for a reserved one. */
struct guest_part {
    uint32_t pde;
    const uint32_t *pt; /* NULL: a 4 MB page, or nothing */
};

static struct guest_part guest_part(const struct vcpu *vcpu, gva_t gva)
{
    struct guest_part part = {0, NULL};
    const uint32_t *pd = guest_ram(vcpu->vm, vcpu->cr3 & PAGE_MASK, PAGE_SIZE);
    if (!pd || (pd[gva >> 22] & (PTE_P | PTE_A)) != (PTE_P | PTE_A))
        return part;
    part.pde = pd[gva >> 22];
    if ((part.pde & PTE_PS) && (vcpu->cr4 & CR4_PSE)) {
        if (part.pde & PDE_LARGE_RESERVED)
            part.pde = 0;
        return part;
    }
    part.pt = guest_ram(vcpu->vm, part.pde & PAGE_MASK, PAGE_SIZE);
    if (!part.pt)
        part.pde = 0;
    return part;
}

/* The entry for a 4 KB page with the rights of both levels, and a part of a 4 MB page as if it were
 * one; 0: none. */
static inline uint32_t guest_entry(const struct guest_part *part, gva_t gva)
{
    if (part->pt)
        return part->pt[gva >> PAGE_SHIFT & 1023] & (part->pde | ~(PTE_W | PTE_U));
    return part->pde ? (part->pde & 0xFFC00FFFu) | (gva & 0x003FF000u) : 0;
}

/* Does the guest's entry still allow what the shadow's does, with A and D set, which hardware would
 * have to set again? */
static inline bool still_good(const struct shadow *s, uint32_t need, uint64_t shadow,
                              uint32_t guest)
{
    if (shadow & PTE_W)
        need |= PTE_W | PTE_D;
    need |= (uint32_t)shadow & s->own_user;
    return (guest & need) == need && (guest & PAGE_MASK) < s->vm->ram_size &&
           s->vm->ram_hpa + (guest & PAGE_MASK) == ((uint32_t)shadow & PAGE_MASK);
}

/* False: nothing of the table is left. */
static bool revalidate(struct shadow *s, struct shadow_table *t)
{
    const gva_t base = (gva_t)t->pde << PDE_SHIFT;
    const uint32_t need = PTE_P | PTE_A | (t->root == SHADOW_USER ? PTE_U : 0);
    unsigned kept = 0;
    if (t->count > SHADOW_TRACK)
        return false; /* more work than filling what is really used again */
    const struct guest_part part = guest_part(&s->vm->vcpu, base);
    for (unsigned i = 0; i < t->count; i++) {
        const unsigned index = t->used[i];
        const uint64_t entry = t->pt[index];
        if (entry && still_good(s, need, entry, guest_entry(&part, base | index << PAGE_SHIFT)))
            t->used[kept++] = (uint16_t)index;
        else
            t->pt[index] = 0;
    }
    t->count = kept;
    s->kept += kept;
    return kept;
}

static unsigned space_of(struct shadow *s, uint32_t cr3)
{
    unsigned found;
    for (found = 0; found < SHADOW_SPACES; found++) {
        if (s->spaces[found].used && s->spaces[found].cr3 == cr3)
            return found;
    }
    found = oldest_space(s);
    empty_space(s, found);
    s->spaces[found].used = true;
    s->spaces[found].cr3 = cr3;
    return found;
}

void shadow_switch(struct shadow *s, bool keep)
{
    struct shadow_space *old = &s->spaces[s->current];
    const unsigned next = space_of(s, s->vm->vcpu.cr3);
    if (next != s->current) {
        for (int i = old->first; i >= 0; i = s->table[i].after)
            uninstall(s, (unsigned)i);
    }
    s->current = next;
    s->recent.part = NO_PART;
    s->spaces[next].last_use = ++s->switches;
    for (int i = s->spaces[next].first, after; i >= 0; i = after) {
        const int there = s->slot[s->table[i].root][s->table[i].pde];
        after = s->table[i].after;
        if ((!keep || s->table[i].mixed) && !revalidate(s, &s->table[i])) {
            give_back(s, (unsigned)i);
            continue;
        }
        if (there >= 0 && there != i)
            give_back(s, (unsigned)there); /* a shared one that came meanwhile */
        if (there != i)
            install(s, (unsigned)i);
    }
    s->flushes++;
    s->stale = true;
}

/* An entry of the table is about to be used, perhaps not for the first time. */
static inline void note_entry(struct shadow_table *t, unsigned index)
{
    if (t->count < SHADOW_TRACK)
        t->used[t->count] = (uint16_t)index;
    if (t->count <= SHADOW_TRACK)
        t->count++;
}

static inline void set_entry(struct shadow *s, enum shadow_root_id root, gva_t gva, uint64_t pte,
                             bool global, bool large)
{
    struct shadow_table *t = table_for(s, root, gva, global);
    if (large && !t->large) {
        t->large = true;
        s->large_count++;
    }
    if (!t->pt[PT_INDEX(gva)])
        note_entry(t, PT_INDEX(gva));
    t->pt[PT_INDEX(gva)] = pte;
    t->mixed |= global;
    s->fills++;
}

/* Drop what holds parts of a 4 MB page where gva is: what there has been, whatever the guest's
 * tables say now. */
static __attribute__((noinline)) void forget_large(struct shadow *s, gva_t gva)
{
    const unsigned first = gva >> PDE_SHIFT & ~1u;
    for (int root = 0; root < SHADOW_ROOTS; root++) {
        for (unsigned pde = first; pde < first + 2; pde++) {
            const int index = s->slot[root][pde];
            if (index >= 0 && s->table[index].large) {
                give_back(s, (unsigned)index);
                s->stale = true;
            }
        }
    }
}

static inline __attribute__((always_inline)) void forget_page(struct shadow *s, gva_t gva)
{
    if (s->large_count)
        forget_large(s, gva);
    /* The entry stays counted as used: it is only looked at once more later. */
    s->entries[SHADOW_KERNEL][gva >> PDE_SHIFT][PT_INDEX(gva)] = 0;
    s->entries[SHADOW_USER][gva >> PDE_SHIFT][PT_INDEX(gva)] = 0;
}

/*
 * SHADOW_NATIVE: the CPU checks U/S and R/W itself, with CR0.WP set. While the guest has WP clear,
 * its kernel writes to read-only pages through entries that programs cannot use; a program that
 * reads the page faults, and makes it read-only again.
 */
enum shadow_result shadow_fault_native(struct shadow *s, gva_t gva, uint32_t host_error,
                                       uint32_t *error, gpa_t *gpa)
{
    struct walk walk;
    hpa_t hpa;
    if (!walk_tables(&s->vm->vcpu, gva, host_error & (ACCESS_WRITE | ACCESS_USER), &walk, error)) {
        forget_page(s, gva);
        return SHADOW_FAULT;
    }
    const bool write = host_error & PF_W;
    *gpa = walk.gpa;
    if (!vm_gpa_to_hpa(s->vm, walk.gpa, &hpa))
        return SHADOW_HOLE;
    uint64_t pte = hpa | PTE_P;
    if (walk.user && (walk.writable || !write))
        pte |= PTE_U;
    if (write || (walk.writable && walk.dirty))
        pte |= PTE_W;
    set_entry(s, SHADOW_KERNEL, gva, pte, walk.global, walk.large);
    return SHADOW_FILLED;
}

enum shadow_result shadow_fault(struct shadow *s, enum shadow_root_id root, gva_t gva,
                                uint32_t host_error, uint32_t *error, gpa_t *gpa)
{
    struct vcpu *vcpu = &s->vm->vcpu;
    const bool write = host_error & PF_W;
    struct walk walk;
    hpa_t hpa;
    if (!walk_tables(vcpu, gva,
                     (write ? ACCESS_WRITE : 0) | (root == SHADOW_USER ? ACCESS_USER : 0), &walk,
                     error)) {
        forget_page(s, gva); /* as the CPU, on this fault, its own (SDM vol. 3A section 4.10.4.1) */
        return SHADOW_FAULT;
    }
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
    const bool watched =
        watch && walk.gpa < s->vm->ram_size && (watch[walk.gpa >> PAGE_SHIFT] & ~WATCH_NO_RAM);
    if (write && watched)
        return SHADOW_WATCHED;
    uint64_t pte = hpa | PTE_P | PTE_U;
    /* Read-only until the first write, so that the guest's dirty bit is set when hardware would.
     * A supervisor write with CR0.WP clear got here although the guest's R/W is clear. */
    if (ram && !watched && (write || (walk.writable && walk.dirty)))
        pte |= PTE_W;
    set_entry(s, root, gva, pte, walk.global, walk.large);
    return SHADOW_FILLED;
}

/* Find the tables for gva: false when programs may not use what is there, or it is not marked
 * accessed. */
static bool find_recent(struct shadow *s, gva_t gva)
{
    struct shadow_recent *r = &s->recent;
    const struct vm *vm = s->vm;
    const uint32_t need = PTE_P | PTE_U | PTE_A, write = PTE_W | PTE_D;
    const gpa_t pd = vm->vcpu.cr3 & PAGE_MASK;
    r->part = NO_PART;
    if (gva >= VMM_BASE || !(vm->vcpu.cr0 & CR0_PG) || !guest_has_page(vm, pd) || !vm->page_watch)
        return false;
    r->pde_at = (const uint32_t *)(vm->ram + pd) + (gva >> LARGE_SHIFT);
    r->pde = *r->pde_at;
    if ((r->pde & (need | PTE_PS)) != need || !guest_has_page(vm, r->pde & PAGE_MASK))
        return false;
    r->guest_pt = (const uint32_t *)(vm->ram + (r->pde & PAGE_MASK)) + (gva >> PDE_SHIFT & 1) * 512;
    r->table = table_for(s, SHADOW_USER, gva, false);
    r->pt = r->table->pt;
    r->pages = vm->ram_size >> PAGE_SHIFT;
    r->watch = vm->page_watch;
    r->usual = need | (r->pde & PTE_W ? write : 0);
    r->look = r->usual | (vm->vcpu.cr4 & CR4_PGE ? PTE_G : 0);
    r->add = vm->ram_hpa | PTE_P | PTE_U | (r->pde & PTE_W);
    r->part = gva >> PDE_SHIFT;
    return true;
}

/* Returns how many entries there are now: 0 or 1. */
static __attribute__((noinline)) unsigned enter_unusual(struct shadow *s, unsigned index)
{
    const struct shadow_recent *const r = &s->recent;
    const uint32_t need = PTE_P | PTE_U | PTE_A, entry = r->guest_pt[index];
    const gpa_t gpa = entry & PAGE_MASK;
    if ((entry & need) != need || !guest_has_page(s->vm, gpa) || r->watch[gpa >> PAGE_SHIFT])
        return 0;
    note_entry(r->table, index);
    r->table->mixed |= entry & r->look & PTE_G;
    r->pt[index] = (r->add & ~PTE_W) + gpa;
    return 1;
}

unsigned shadow_enter_pages(struct shadow *s, const uint32_t (*list)[2], unsigned n)
{
    const struct shadow_recent *const r = &s->recent;
    const uint32_t(*at)[2] = list, (*const end)[2] = list + n;
    if ((list[0][1] >> PDE_SHIFT != r->part || *r->pde_at != r->pde) && !find_recent(s, list[0][1]))
        return 1;
    unsigned entered = 0;
    do {
        const unsigned index = PT_INDEX((*at)[1]);
        const uint32_t entry = r->guest_pt[index];
        if (!((entry ^ r->usual) & r->look) && entry >> PAGE_SHIFT < r->pages &&
            !r->watch[entry >> PAGE_SHIFT]) {
            note_entry(r->table, index);
            r->pt[index] = r->add + (entry & PAGE_MASK);
            entered++;
        } else {
            entered += enter_unusual(s, index);
        }
        at++;
    } while (at != end && (*at)[0] == list[0][0] && (*at)[1] >> PDE_SHIFT == r->part);
    s->fills += entered;
    return (unsigned)(at - list);
}

void shadow_forget_space(struct shadow *s, uint32_t cr3)
{
    for (unsigned i = 0; i < SHADOW_SPACES; i++) {
        if (!s->spaces[i].used || s->spaces[i].cr3 != cr3)
            continue;
        empty_space(s, i);
        s->spaces[i].used = i == s->current;
        s->stale |= i == s->current;
    }
}

void shadow_open_page(struct shadow *s, enum shadow_root_id root, gva_t gva, gpa_t gpa)
{
    hpa_t hpa;
    if (!vm_gpa_to_hpa(s->vm, gpa, &hpa)) {
        memset(s->hole_bucket, 0xFF, PAGE_SIZE);
        hpa = ptr_to_hpa(s->hole_bucket);
    }
    set_entry(s, root, gva, hpa | PTE_P | PTE_U | PTE_W, false, false);
}

void shadow_drop_page(struct shadow *s, gva_t gva)
{
    forget_page(s, gva);
    s->stale = true;
}

unsigned shadow_drop_pages(struct shadow *s, const uint32_t (*list)[2], unsigned n)
{
    const uint32_t what = list[0][0], part = list[0][1] >> PDE_SHIFT;
    unsigned i = 0;
    s->stale = true;
    forget_page(s, list[0][1]);
    while (++i < n && list[i][0] == what && list[i][1] >> PDE_SHIFT == part) {
        s->entries[SHADOW_KERNEL][part][PT_INDEX(list[i][1])] = 0;
        s->entries[SHADOW_USER][part][PT_INDEX(list[i][1])] = 0;
    }
    return i;
}

void shadow_protect(struct shadow *s, gpa_t gpa)
{
    (void)gpa; /* a virtual TLB has no reverse map: drop all, it is rare */
    shadow_drop_all(s);
}
