/* Page-table entries in words (SDM vol. 3A tables 4-5, 4-6, 4-11). Pure code. */
#include "pte_words.h"

#include "vmm.h"
#include "x86.h"

const char *pte_words(uint64_t entry, char *to, unsigned size)
{
    static const struct {
        uint64_t bit;
        const char *set, *clear;
    } words[] = {
        {PTE_P, "present", "not present"},
        {PTE_W, ", writable", ", read-only"},
        {PTE_U, ", for programs too", ", kernel only"},
        {PTE_A, ", accessed", ""},
        {PTE_D, ", dirty", ""},
        {PTE_PS, ", large", ""},
        {PTE_G, ", global", ""},
        {PTE_PWT, ", write-through", ""},
        {PTE_PCD, ", uncached", ""},
        {PTE_NX, ", no-execute", ""},
    };
    unsigned at = 0;
    to[0] = 0;
    for (unsigned i = 0; i < ARRAY_LEN(words) && at + 24 < size; i++) {
        at += (unsigned)ksnprintf(to + at, size - at, "%s",
                                  entry & words[i].bit ? words[i].set : words[i].clear);
        if (!(entry & PTE_P))
            break; /* the rest means nothing to the CPU */
    }
    return to;
}
