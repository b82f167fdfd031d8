/* What the shadow page tables hold, for people. Pure code. */
#include "pte_words.h"
#include "shadow.h"
#include "sink.h"
#include "vmm.h"
#include "x86.h"

#define ENTRY_ADDRESS 0x000FFFFFFFFFF000ull

static void say_level(struct sink *sink, const char *name, unsigned index, uint64_t entry)
{
    char words[120];
    say(sink, "    %s %u is %08x%08x: %s", name, index, (uint32_t)(entry >> 32), (uint32_t)entry,
        pte_words(entry, words, sizeof(words)));
}

/* Whose page it is that the entry leads to. */
static void say_target(const struct shadow *s, struct sink *sink, uint64_t entry, gva_t gva)
{
    const hpa_t hpa = (hpa_t)(entry & ENTRY_ADDRESS), offset = gva & ~PAGE_MASK;
    if (hpa == ptr_to_hpa(s->hole_read) || hpa == ptr_to_hpa(s->hole_bucket))
        say(sink, "    it leads to a page of the VMM that stands for missing memory");
    else if (hpa - s->vm->ram_hpa < s->vm->ram_size)
        say(sink, "    it leads to host physical %08x, that is guest physical %08x", hpa | offset,
            (hpa - s->vm->ram_hpa) | offset);
    else
        say(sink, "    it leads to host physical %08x", hpa | offset);
}

bool shadow_explain(const struct shadow *s, enum shadow_root_id root, gva_t gva, struct sink *sink)
{
    const uint64_t pdpte = s->pdpt[root][gva >> 30];
    const uint64_t pde = s->pd[root][gva >> 30][gva >> 21 & 511];
    say(sink, "    CR3 %08x; pointer-table entry %u is %08x%08x", shadow_cr3(s, root), gva >> 30,
        (uint32_t)(pdpte >> 32), (uint32_t)pdpte);
    say_level(sink, "directory entry", gva >> 21 & 511, pde);
    if (!(pde & PTE_P)) {
        say(sink,
            "    nothing is cached for these 2 MB: the next access faults into the VMM, which "
            "fills it");
        return false;
    }
    const int slot = s->slot[root][gva >> 21];
    if (slot < 0)
        return true; /* the VMM's own part of the address space */
    const uint64_t pte = s->table[slot].pt[gva >> PAGE_SHIFT & 511];
    say_level(sink, "table entry", gva >> PAGE_SHIFT & 511, pte);
    if (!(pte & PTE_P)) {
        say(sink, "    nothing is cached for the page: the next access faults into the VMM, which "
                  "fills it");
        return false;
    }
    if (s->table[slot].space == SHADOW_SHARED)
        say(sink, "    the table holds global entries only: all address spaces share it");
    if (!(pte & PTE_W))
        say(sink, "    a write faults: the guest's page is read-only, not dirty yet, or watched by "
                  "the VMM");
    say_target(s, sink, pte, gva);
    return true;
}

void shadow_show(const struct shadow *s, struct sink *sink)
{
    unsigned spaces = 0;
    for (unsigned i = 0; i < SHADOW_SPACES; i++)
        spaces += s->spaces[i].used;
    say(sink,
        "shadow: %u address spaces remembered, %u of %u tables in use (%u with parts of 4 MB "
        "pages)",
        spaces, SHADOW_POOL - s->free_count, SHADOW_POOL, s->large_count);
    say(sink, "shadow: %llu fills, %llu entries found still good at CR3 loads, %llu tables evicted",
        (unsigned long long)s->fills, (unsigned long long)s->kept, (unsigned long long)s->evicted);
}
