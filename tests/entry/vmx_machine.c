/* VMX operation, one VMCS, EPT for the guest's pages, and an entry (SDM vol. 3C chapters 23, 24,
 * 26). */
#include <string.h>

#include "cpu.h"
#include "vmm.h"
#include "vmx_test.h"

#define EPT_ALL 7u
#define EPT_WRITE_BACK (6u << 3)
#define PIC_EOI 0x20
#define BASIC_32_BITS (1ull << 48) /* vol. 3D section A.1 */

struct vmx_capabilities vmx_cpu;
uint8_t vmx_pages[OWN_PAGES][PAGE_SIZE] __attribute__((aligned(4096)));
void *vmx_region;
uint64_t ept_root;
static uint8_t regions[2][PAGE_SIZE] __attribute__((aligned(4096)));
static uint64_t ept[4][512] __attribute__((aligned(4096)));
static struct vcpu vcpu;
static vmx_way *const no_ways[VMX_WAYS]; /* all exits are the test's */
static bool launched;
static uint32_t host_cr0, host_cr4;

static bool raw_read(uint32_t encoding, uint32_t *value)
{
    bool failed;
    __asm__ volatile("vmread %2, %0\n\tsetna %1"
                     : "=&r"(*value), "=q"(failed)
                     : "r"(encoding)
                     : "cc");
    return !failed;
}

bool field_exists(uint32_t encoding)
{
    uint32_t value;
    return raw_read(encoding, &value);
}

uint32_t field(enum vmcs_field field)
{
    uint32_t value;
    return raw_read(field, &value) ? value : 0;
}

void field_set(uint32_t encoding, uint32_t value)
{
    __asm__ volatile("vmwrite %0, %1" : : "r"(value), "r"(encoding) : "cc");
}

void field_set64(enum vmcs_field field, uint64_t value)
{
    field_set(field, (uint32_t)value);
    field_set(field + 1, (uint32_t)(value >> 32));
}

bool controls_offered(enum vmx_word word, uint32_t one, uint32_t zero)
{
    const uint32_t must = (uint32_t)vmx_cpu.allowed[word];
    return !(one & ~(uint32_t)(vmx_cpu.allowed[word] >> 32)) && !(zero & ~one & must);
}

/* What the checker reads must be there: the VMM would panic. */
static uint32_t checked_field(enum vmcs_field field)
{
    uint32_t value = 0;
    if (!raw_read(field, &value)) {
        tally.misread++;
        kprintf("the checker reads field %04x, which this CPU has not\n", field);
    }
    return value;
}

void vmx_ask(void)
{
    struct vmx_entry entry = {.cpu = &vmx_cpu,
                              .get = checked_field,
                              .memory = read_physical,
                              .vmcs = (uintptr_t)vmx_region,
                              .rules.seen = verdict_seen};
    verdict_begin();
    verdict_stage(FAILS_CONTROLS);
    vmx_check_controls(&entry);
    verdict_stage(FAILS_HOST);
    vmx_check_host(&entry);
    verdict_stage(FAILS_GUEST);
    vmx_check_guest(&entry);
    verdict_stage(FAILS_MSR);
    vmx_check_msrs(&entry);
}

/* Legal host state differs a little from what this program lives in: back to that. A timer tick
 * that waits is taken. */
static void host_restore(void)
{
    write_cr0(host_cr0);
    write_cr4(host_cr4);
    __asm__ volatile("mov %0, %%ds\n\tmov %0, %%es\n\tmov %0, %%fs\n\tmov %0, %%gs\n\tmov %0, %%ss"
                     :
                     : "r"(SEL_DATA));
    outb(0x20, PIC_EOI);
    __asm__ volatile("sti\n\tnop\n\tcli");
}

enum verdict vmx_try(void)
{
    enum verdict verdict = ENTERS;
    if (vmx_enter(&vcpu, launched, no_ways)) {
        verdict = (enum verdict)field(VMCS_INSTRUCTION_ERROR);
    } else {
        const uint32_t reason = field(VMCS_EXIT_REASON);
        if (reason & VMX_ENTRY_FAILED)
            verdict = (enum verdict)(reason & VMX_REASON_BASIC);
        else
            launched = true;
    }
    host_restore();
    return verdict;
}

static void make_ept(void)
{
    ept[0][0] = (uintptr_t)ept[1] | EPT_ALL;
    ept[1][0] = (uintptr_t)ept[2] | EPT_ALL;
    ept[2][0] = (uintptr_t)ept[3] | EPT_ALL;
    for (unsigned i = 0; i < GUEST_PAGES; i++)
        ept[3][(GUEST_FIRST >> PAGE_SHIFT) + i] = GUEST_PAGE(i) | EPT_ALL | EPT_WRITE_BACK;
    ept_root = (uintptr_t)ept[0];
}

static void make_msrs(void)
{
    uint32_t(*entries)[4] = (void *)vmx_pages[OWN_MSRS];
    entries[MSRS_GOOD][0] = MSR_SYSENTER_ESP;
    entries[MSRS_FS][0] = 0xC0000100;
    entries[MSRS_GS][0] = 0xC0000101;
    entries[MSRS_X2APIC][0] = 0x808;
    entries[MSRS_NUMBER][0] = MSR_SYSENTER_EIP;
    entries[MSRS_NUMBER][1] = 1;
    entries[MSRS_EFER][0] = MSR_EFER;
    entries[MSRS_EFER][2] = 1u << 1;
    entries[MSRS_PAT][0] = MSR_PAT;
    entries[MSRS_PAT][2] = 2;
    entries[MSRS_SMM][0] = 0x9B;
}

static bool pointer_instruction(unsigned which, const void *page)
{
    const uint64_t hpa = (uintptr_t)page;
    bool failed;
    if (which == 0)
        __asm__ volatile("vmxon %1\n\tsetna %0" : "=q"(failed) : "m"(hpa) : "cc", "memory");
    else if (which == 1)
        __asm__ volatile("vmclear %1\n\tsetna %0" : "=q"(failed) : "m"(hpa) : "cc", "memory");
    else
        __asm__ volatile("vmptrld %1\n\tsetna %0" : "=q"(failed) : "m"(hpa) : "cc", "memory");
    return !failed;
}

static bool vmx_init(void)
{
    if (vmx_capabilities_read(&vmx_cpu))
        return false;
    /* Bochs' 32-bit CPUs say that VMX takes addresses of 32 bits, and take longer ones: the way
     * with an MSR-load area at the end of memory shows it. The checker is asked about what they do.
     */
    vmx_cpu.basic &= ~BASIC_32_BITS;
    const uint32_t revision = (uint32_t)vmx_cpu.basic & 0x7FFFFFFF;
    memcpy(regions[0], &revision, sizeof(revision));
    memcpy(regions[1], &revision, sizeof(revision));
    memcpy(vmx_pages[OWN_LINKED], &revision, sizeof(revision));
    vmx_region = regions[1];
    if (!(rdmsr(MSR_FEATURE_CONTROL) & FEATURE_LOCKED))
        wrmsr(MSR_FEATURE_CONTROL, FEATURE_LOCKED | FEATURE_VMXON);
    write_cr0(read_cr0() | vmx_cpu.cr0_on);
    write_cr4(read_cr4() | CR4_VMXE);
    if (!pointer_instruction(0, regions[0]) || !pointer_instruction(1, vmx_region) ||
        !pointer_instruction(2, vmx_region))
        panic("no VMX operation");
    host_cr0 = read_cr0();
    host_cr4 = read_cr4();
    make_ept();
    make_msrs();
    vmx_pages[OWN_VIRTUAL_APIC][0x80] = 0x50; /* the virtual TPR */
    known_set(vmx_unchecked, vmx_too_strict, vmx_deadly);
    return true;
}

void vmx_compare(const char *base, const char *way, bool named)
{
    vmx_ask();
    if (!verdict_deadly(verdict_will_enter()))
        verdict_end(vmx_try(), base, way, named);
}

/* The edit for this CPU; false: it has no such field, or does not offer the controls. */
static bool resolve(const struct edit *edit, bool raw, uint32_t *value)
{
    static const enum vmcs_field words[WORD_COUNT] = {VMCS_PIN_CONTROLS, VMCS_CPU_CONTROLS,
                                                      VMCS_CPU_CONTROLS2, VMCS_EXIT_CONTROLS,
                                                      VMCS_ENTRY_CONTROLS};
    if (!field_exists(edit->field))
        return false;
    for (enum vmx_word w = 0; w < WORD_COUNT; w++) {
        if (words[w] == edit->field && !raw && !controls_offered(w, edit->set, edit->clear))
            return false;
    }
    *value = (field((enum vmcs_field)edit->field) & ~edit->clear) | edit->set;
    if ((edit->field & 1) && edit->set == BEYOND)
        *value = vmx_cpu.phys_bits >= 32 ? 1u << (vmx_cpu.phys_bits - 32) : 1;
    else if ((edit->field & 1) && edit->set == BELOW)
        *value = vmx_cpu.phys_bits >= 32 ? (1u << (vmx_cpu.phys_bits - 32)) - 1 : 0;
    else if (edit->set == ANOTHER_VMCS)
        *value = (uintptr_t)vmx_pages[OWN_LINKED];
    else if (edit->set == THIS_VMCS)
        *value = (uintptr_t)vmx_region;
    return true;
}

static bool apply(const struct way *way)
{
    for (unsigned i = 0; i < ARRAY_LEN(way->edits) && (way->edits[i].clear || way->edits[i].set);
         i++) {
        uint32_t value;
        if (!resolve(&way->edits[i], way->raw, &value))
            return false;
        field_set(way->edits[i].field, value);
    }
    return true;
}

/* The way on one base; false: not on this CPU. */
static bool run_way(const struct way *way, enum vmx_base base)
{
    if (!base_make(base) || !apply(way))
        return false;
    vmx_compare(base_names[base], way->name, true);
    if (verdict_of_checker() != way->expected) {
        tally.differ++;
        kprintf("DIFFERS: base %s, %s: the checker says %s, and the way is meant for %s\n",
                base_names[base], way->name, verdict_name(verdict_of_checker()),
                verdict_name(way->expected));
        verdict_print_broken();
    }
    return true;
}

static bool contains(const char *text, const char *part)
{
    for (; *text; text++) {
        unsigned n = 0;
        while (part[n] && text[n] == part[n])
            n++;
        if (!part[n])
            return true;
    }
    return !*part;
}

static void run_list(const struct way_list *list, const char *only)
{
    for (unsigned i = 0; i < list->count; i++) {
        const struct way *way = &list->ways[i];
        bool ran = false;
        if (only && !contains(way->name, only))
            continue;
        for (enum vmx_base base = 0; base < BASE_COUNT; base++) {
            if (way->bases & 1u << base)
                ran |= run_way(way, base);
        }
        tally.ways += ran;
    }
}

static void vmx_named(const char *only)
{
    for (enum vmx_base base = 0; base < BASE_COUNT; base++) {
        if (base_make(base))
            vmx_compare(base_names[base], "as it is", true);
    }
    run_list(&control_ways, only);
    run_list(&host_ways, only);
    run_list(&guest_ways, only);
    run_list(&segment_ways, only);
}

const struct assist vmx_assist = {"VT-x", vmx_init, vmx_named, vmx_random};
