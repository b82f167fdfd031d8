/*
 * Guest memory by guest virtual address. Every trap reads descriptor tables and writes a stack
 * frame through here, so an access that stays on one page takes one walk and one copy.
 */
#include "gmem.h"

#include <string.h>

#include "walk.h"

void *guest_ram(const struct vm *vm, gpa_t gpa, uint32_t n)
{
    if (n > vm->ram_size || gpa > vm->ram_size - n)
        return NULL;
    if (gpa < ISA_HOLE_END && gpa + n > ISA_HOLE)
        return NULL;
    return vm->ram + gpa;
}

bool guest_walk(struct vcpu *vcpu, gva_t gva, unsigned access, struct walk *walk, uint32_t *error)
{
    return walk_tables(vcpu, gva, access, walk, error);
}

static bool page_fault(struct event *fault, gva_t gva, uint32_t error)
{
    *fault = (struct event){
        .kind = EVENT_EXCEPTION, .vector = VEC_PF, .has_error = true, .error = error, .cr2 = gva};
    return false;
}

/* Descriptors, stack frames and operands are a few words; memcpy() has a start-up cost. */
static inline void copy_small(void *to, const void *from, uint32_t n)
{
    uint8_t *t = to;
    const uint8_t *f = from;

    if (n == 8) {
        __builtin_memcpy(to, from, 8);
        return;
    }
    if (n > 64) {
        memcpy(to, from, n);
        return;
    }
    for (; n >= 4; n -= 4, t += 4, f += 4)
        __builtin_memcpy(t, f, 4);
    for (; n > 0; n--)
        *t++ = *f++;
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

/* Kept out of line, so that the quick case has the registers to itself. */
__attribute__((noinline)) static bool read_pages(struct vcpu *vcpu, gva_t gva, uint8_t *to,
                                                 uint32_t n, unsigned access, struct event *fault)
{
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

__attribute__((noinline)) static bool write_pages(struct vcpu *vcpu, gva_t gva, const uint8_t *from,
                                                  uint32_t n, unsigned access, struct event *fault)
{
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

static inline uint8_t *quick_ram(const struct vm *vm, gpa_t gpa)
{
    if (gpa >= vm->ram_size || gpa - ISA_HOLE < ISA_HOLE_END - ISA_HOLE)
        return NULL;
    return vm->ram + gpa;
}

static inline bool quick_entry(const struct vm *vm, gpa_t gpa, uint32_t *entry)
{
    const uint8_t *p = quick_ram(vm, gpa);

    if (!p)
        return false;
    __builtin_memcpy(entry, p, sizeof(*entry));
    return true;
}

/*
 * The case that matters for speed: 4 KB pages, all rights there, A and D set already, RAM that
 * nobody watches. Returns the VMM's pointer, or NULL when it takes the full walk to know more.
 */
static inline uint8_t *quick_walk(const struct vcpu *vcpu, gva_t gva, unsigned access)
{
    const struct vm *vm = vcpu->vm;
    uint32_t need = PTE_P | PTE_A | (access & (PTE_W | PTE_U)), entry;
    gpa_t gpa = gva;

    _Static_assert(ACCESS_WRITE == PTE_W && ACCESS_USER == PTE_U, "rights are asked for by bit");
    if (vcpu->cr0 & CR0_PG) {
        if (!quick_entry(vm, (vcpu->cr3 & PAGE_MASK) + (gva >> 20 & 0xFFC), &entry) ||
            (entry & (need | PTE_PS)) != need)
            return NULL;
        if (access & ACCESS_WRITE)
            need |= PTE_D;
        if (!quick_entry(vm, (entry & PAGE_MASK) + (gva >> 10 & 0xFFC), &entry) ||
            (entry & need) != need)
            return NULL;
        gpa = (entry & PAGE_MASK) | (gva & ~PAGE_MASK);
    }
    return quick_ram(vm, gpa);
}

bool guest_read(struct vcpu *vcpu, gva_t gva, void *buf, uint32_t n, unsigned access,
                struct event *fault)
{
    const uint8_t *p = on_page(gva, n) == n ? quick_walk(vcpu, gva, access) : NULL;

    if (!p)
        return read_pages(vcpu, gva, buf, n, access, fault);
    copy_small(buf, p, n);
    return true;
}

bool guest_write(struct vcpu *vcpu, gva_t gva, const void *buf, uint32_t n, unsigned access,
                 struct event *fault)
{
    const uint8_t *watch = vcpu->vm->page_watch;
    uint8_t *p;

    access |= ACCESS_WRITE;
    p = on_page(gva, n) == n ? quick_walk(vcpu, gva, access) : NULL;
    if (!p || (watch && watch[(p - vcpu->vm->ram) >> PAGE_SHIFT]))
        return write_pages(vcpu, gva, buf, n, access, fault);
    copy_small(p, buf, n);
    return true;
}
