/* The guest's own page walk in words (SDM vol. 3A section 4.3); the mode tells the rest. */
#include "gmem.h"
#include "monitor.h"
#include "pte_words.h"
#include "vmm.h"
#include "x86.h"

#define LARGE_OFFSET ((1u << LARGE_SHIFT) - 1)

/* The entry at gpa, which the CPU reads as ones where there is no memory. */
static uint32_t entry_at(const struct vm *vm, gpa_t gpa)
{
    const uint32_t *p = guest_ram(vm, gpa, 4);
    return p ? *p : UINT32_MAX;
}

static void say_entry(struct sink *sink, const char *name, unsigned index, gpa_t at, uint32_t entry)
{
    char words[120];
    say(sink, "  %s %u at guest physical %08x is %08x: %s", name, index, at, entry,
        pte_words(entry, words, sizeof(words)));
}

/* What rights both levels give together (section 4.6). */
static void say_rights(const struct vcpu *vcpu, struct sink *sink, uint32_t rights)
{
    const bool kernel_writes = (rights & PTE_W) || !(vcpu->cr0 & CR0_WP);
    say(sink, "  both levels together: programs may %s, the kernel may %s",
        !(rights & PTE_U) ? "do nothing"
        : rights & PTE_W  ? "read and write"
                          : "read",
        kernel_writes ? "read and write" : "read");
}

static bool missing(struct sink *sink, const char *what)
{
    say(sink,
        "  the %s is not present: any access gives the guest #PF, with P clear in the error "
        "code",
        what);
    return false;
}

/* The two levels, told as the CPU reads them. False: they lead nowhere. */
static bool walk_levels(struct vm *vm, struct sink *sink, gva_t gva, gpa_t *gpa)
{
    const struct vcpu *v = &vm->vcpu;
    const gpa_t pde_at = (v->cr3 & PAGE_MASK) + (gva >> LARGE_SHIFT) * 4;
    const uint32_t pde = entry_at(vm, pde_at);
    say_entry(sink, "directory entry", gva >> LARGE_SHIFT, pde_at, pde);
    if (!(pde & PTE_P))
        return missing(sink, "directory entry");
    if ((pde & PTE_PS) && (v->cr4 & CR4_PSE)) {
        if (pde & PDE_LARGE_RESERVED) {
            say(sink, "  a page of 4 MB with reserved bits set: any access gives the guest #PF");
            return false;
        }
        *gpa = (pde & ~LARGE_OFFSET) | (gva & LARGE_OFFSET);
        say(sink, "  it is a page of 4 MB: the walk ends here");
        say_rights(v, sink, pde);
        return true;
    }
    const gpa_t pte_at = (pde & PAGE_MASK) + (gva >> PAGE_SHIFT & 1023) * 4;
    const uint32_t pte = entry_at(vm, pte_at);
    say_entry(sink, "table entry", gva >> PAGE_SHIFT & 1023, pte_at, pte);
    if (!(pte & PTE_P))
        return missing(sink, "table entry");
    *gpa = (pte & PAGE_MASK) | (gva & ~PAGE_MASK);
    say_rights(v, sink, pde & pte);
    return true;
}

static void say_end(const struct vm *vm, struct sink *sink, gva_t gva, gpa_t gpa)
{
    hpa_t hpa;
    if (vm_gpa_to_hpa(vm, gpa, &hpa))
        say(sink, "  so %08x is guest physical %08x, which is %s at host physical %08x", gva, gpa,
            gpa - ISA_HOLE < ISA_HOLE_END - ISA_HOLE ? "the text screen" : "guest RAM",
            hpa | (gpa & ~PAGE_MASK));
    else
        say(sink,
            "  so %08x is guest physical %08x, where the guest has no memory: reads give ones", gva,
            gpa);
    say_data(sink, "\"gva\":%u,\"gpa\":%u", gva, gpa);
}

bool command_walk(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    struct vcpu *v = &vm->vcpu;
    char place[80];
    gva_t gva;
    gpa_t gpa;
    (void)argc;
    if (!parse_address(vm, sink, argv[1], &gva))
        return false;
    gpa = gva;
    say(sink, "the guest's walk for %08x %s", gva, place_of(vm, gva, place, sizeof(place)));
    if (!(v->cr0 & CR0_PG)) {
        say(sink, "  the guest's paging is off (CR0.PG): linear addresses are physical ones");
    } else {
        say(sink,
            "  CR3 %08x: the directory is at guest physical %08x; directory index %u, table "
            "index %u, offset %03x",
            v->cr3, v->cr3 & PAGE_MASK, gva >> LARGE_SHIFT, gva >> PAGE_SHIFT & 1023,
            gva & ~PAGE_MASK);
        if (!walk_levels(vm, sink, gva, &gpa))
            return true;
    }
    say_end(vm, sink, gva, gpa);
    if (v->mode->explain)
        v->mode->explain(v, gva, gpa, sink);
    return true;
}
