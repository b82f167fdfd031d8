/* The consistency rules of VMRUN: what no CPU of the two emulators shows. tests/entry has the rest.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "svm/svm.h"
#include "x86.h"

static struct vmcb vmcb;
static struct svm_cpu cpu;
static uint64_t pdpt[4];

static bool read_memory(uint64_t hpa, void *to, unsigned n)
{
    if (hpa < 0x1000 || hpa + n > 0x1000 + sizeof(pdpt))
        return false;
    memcpy(to, (uint8_t *)pdpt + hpa - 0x1000, n);
    return true;
}

static const char *broken(void)
{
    struct svm_entry entry = {.cpu = &cpu, .vmcb = &vmcb, .memory = read_memory};
    const struct entry_rule *rule = svm_check(&entry);
    cr_expect(!rule || rule->section[0]);
    return rule ? rule->sentence : NULL;
}

static void good_vmcb(void)
{
    cpu = (struct svm_cpu){.phys_bits = 40,
                           .cr4_may = 0x7FF | CR4_CET,
                           .efer_may = EFER_SVME | EFER_NXE,
                           .nested = true,
                           .host_paging = true};
    vmcb = (struct vmcb){.intercept_misc2 = MISC2_VMRUN,
                         .asid = 1,
                         .nested_control = 1,
                         .efer = EFER_SVME,
                         .cr0 = CR0_PE,
                         .pat = 0x0007040600070406ull};
}

TestSuite(svm_check, .init = good_vmcb);

Test(svm_check, a_good_vmcb_breaks_no_rule)
{
    cr_expect_null(broken());
}

Test(svm_check, a_cpu_without_long_mode)
{
    vmcb.efer |= EFER_LME;
    cr_expect(strstr(broken(), "no long mode"));
    vmcb.efer = EFER_SVME | EFER_LMA;
    cr_expect(strstr(broken(), "no long mode"));
    cpu.efer_may |= EFER_LME | EFER_LMA;
    cr_expect_null(broken());
}

Test(svm_check, high_halves)
{
    uint64_t *const words[] = {&vmcb.efer, &vmcb.cr0, &vmcb.cr4, &vmcb.dr6, &vmcb.dr7};
    for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
        for (unsigned bit = 32; bit < 64; bit++) {
            *words[i] ^= 1ull << bit;
            cr_expect_not_null(broken(), "word %u bit %u", i, bit);
            *words[i] ^= 1ull << bit;
        }
    }
}

Test(svm_check, cet_needs_write_protection)
{
    vmcb.cr4 |= CR4_CET;
    cr_expect(strstr(broken(), "CET"));
    vmcb.cr0 |= CR0_WP;
    cr_expect_null(broken());
}

Test(svm_check, long_mode)
{
    cpu.efer_may |= EFER_LME | EFER_LMA;
    vmcb.efer |= EFER_LME;
    vmcb.cr0 |= CR0_PG;
    cr_expect(strstr(broken(), "CR4.PAE is zero"));
    vmcb.cr4 |= CR4_PAE;
    cr_expect_null(broken());
    vmcb.cr3 = 1ull << 40;
    cr_expect(strstr(broken(), "CR3"));
    vmcb.cr3 = 0;
    vmcb.seg[VS_CS].attr = 0x600;
    cr_expect(strstr(broken(), "CS.L and CS.D"));
    vmcb.seg[VS_CS].attr = 0x200;
    vmcb.cr0 = CR0_PG;
    cr_expect(strstr(broken(), "CR0.PE is zero"));
}

Test(svm_check, maps_at_the_end_of_memory)
{
    vmcb.iopm_hpa = (1ull << 40) - 3 * PAGE_SIZE;
    vmcb.msrpm_hpa = (1ull << 40) - 2 * PAGE_SIZE;
    cr_expect_null(broken());
    vmcb.iopm_hpa += PAGE_SIZE;
    cr_expect(strstr(broken(), "I/O permission map"));
    vmcb.iopm_hpa = 0;
    vmcb.msrpm_hpa += PAGE_SIZE;
    cr_expect(strstr(broken(), "MSR permission map"));
}

Test(svm_check, pdptes_without_nested_paging)
{
    vmcb.cr0 |= CR0_PG;
    vmcb.cr4 |= CR4_PAE;
    vmcb.cr3 = 0x1000;
    pdpt[3] = 1ull << 41 | PTE_P;
    cr_expect_null(broken(), "nested paging does not load them");
    vmcb.nested_control = 0;
    cr_expect(strstr(broken(), "page-directory-pointer"));
    pdpt[3] &= ~PTE_P;
    cr_expect_null(broken());
    vmcb.nested_control = 1;
    cpu.nested = false;
    pdpt[0] = PTE_P | PTE_W;
    cr_expect(strstr(broken(), "page-directory-pointer"), "the CPU has no nested paging");
}
