/* What this CPU's AMD-V accepts in a VMCB (AMD APM vol. 3 appendix E, CPUID). */
#include "cpu.h"
#include "svm.h"
#include "x86.h"

#define PHYS_BITS_USUAL 36 /* of CPUs without leaf 80000008 */
#define EFER_FFXSR (1u << 14)

/* CR4 and EFER bits by the CPUID bit that offers them: leaf, register (EAX EBX ECX EDX), bit. */
static const struct {
    uint32_t leaf;
    uint8_t reg, bit;
    uint32_t cr4, efer;
} offers[] = {
    {1, 3, 1, CR4_VME | CR4_PVI, 0},
    {1, 3, 2, CR4_DE, 0},
    {1, 3, 3, CR4_PSE, 0},
    {1, 3, 4, CR4_TSD, 0},
    {1, 3, 6, CR4_PAE, 0},
    {1, 3, 7, CR4_MCE, 0},
    {1, 3, 13, CR4_PGE, 0},
    {1, 3, 24, CR4_OSFXSR, 0},
    {1, 3, 25, CR4_OSXMMEXCPT, 0},
    {1, 2, 17, CR4_PCIDE, 0},
    {1, 2, 26, CR4_OSXSAVE, 0},
    {7, 1, 0, CR4_FSGSBASE, 0},
    {7, 1, 7, CR4_SMEP, 0},
    {7, 1, 20, CR4_SMAP, 0},
    {7, 2, 2, CR4_UMIP, 0},
    {7, 2, 3, CR4_PKE, 0},
    {7, 2, 7, CR4_CET, 0},
    {7, 2, 16, CR4_LA57, 0},
    {7, 2, 31, CR4_PKS, 0},
    {0x80000001u, 2, 2, 0, EFER_SVME},
    {0x80000001u, 3, 11, 0, EFER_SCE},
    {0x80000001u, 3, 20, 0, EFER_NXE},
    {0x80000001u, 3, 25, 0, EFER_FFXSR},
    {0x80000001u, 3, 29, 0, EFER_LME | EFER_LMA | EFER_SCE},
};

/* A leaf above the last one would answer with that one's values. */
static bool read_leaf(uint32_t leaf, uint32_t r[4])
{
    cpuid(leaf & 0x80000000u, r);
    if (r[0] < leaf)
        return false;
    cpuid(leaf, r);
    return true;
}

void svm_cpu_read(struct svm_cpu *cpu)
{
    uint32_t r[4];
    *cpu = (struct svm_cpu){.phys_bits = PHYS_BITS_USUAL, .cr4_may = CR4_PCE};
    for (unsigned i = 0; i < ARRAY_LEN(offers); i++) {
        if (!read_leaf(offers[i].leaf, r) || !(r[offers[i].reg] >> offers[i].bit & 1))
            continue;
        cpu->cr4_may |= offers[i].cr4;
        cpu->efer_may |= offers[i].efer;
    }
    if (read_leaf(0x80000008u, r))
        cpu->phys_bits = r[0] & 0xFF;
    cpu->nested = read_leaf(0x8000000Au, r) && (r[3] & 1);
    cpu->host_paging = read_cr0() & CR0_PG;
}
