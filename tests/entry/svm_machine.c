/* One VMCB, its bases, and an entry (AMD APM vol. 2 chapter 15). */
#include <string.h>

#include "cpu.h"
#include "svm_test.h"
#include "vmm.h"

#define MSR_VM_HSAVE_PA 0xC0010117u
#define TLB_FLUSH_ALL 1
#define PAT_USUAL 0x0007040600070406ull
#define CODE 0xC9Bu
#define DATA 0xC93u
#define REAL 0x093u

struct svm_cpu svm_cpu;
struct vmcb vmcb __attribute__((aligned(4096)));
static struct vmcb host __attribute__((aligned(4096)));
static uint8_t host_save[PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t io_map[IOPM_PAGES * PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t msr_map[MSRPM_PAGES * PAGE_SIZE] __attribute__((aligned(4096)));
static uint64_t npt_root[4] __attribute__((aligned(32)));
static uint64_t npt[2][512] __attribute__((aligned(4096)));
static struct vcpu vcpu;
static svm_way *const no_ways[SVM_WAYS]; /* all exits are the test's */

static const char *const names[SVM_BASES] = {
    [SVM_PROTECTED] = "protected",
    [SVM_RING3] = "ring 3",
    [SVM_PAE] = "PAE",
    [SVM_V86] = "virtual-8086",
    [SVM_PLAIN] = "plain",
    [SVM_PLAIN_PAE] = "plain PAE",
    [SVM_NO_PAGING] = "no paging",
    [SVM_REAL] = "real mode",
    [SVM_IRQ] = "interrupt",
    [SVM_NMI] = "NMI",
    [SVM_FAULT] = "#GP",
    [SVM_SOFT] = "INT 80h",
    [SVM_SHADOW] = "after STI",
    [SVM_LONG] = "long mode to come",
};

/* Guest physical is host physical, for the guest's pages alone. */
static void make_nested(void)
{
    npt_root[0] = (uintptr_t)npt[0] | PTE_P;
    npt[0][0] = (uintptr_t)npt[1] | PTE_P | PTE_W | PTE_U;
    for (unsigned i = 0; i < GUEST_PAGES; i++)
        npt[1][(GUEST_FIRST >> PAGE_SHIFT) + i] = GUEST_PAGE(i) | PTE_P | PTE_W | PTE_U;
}

static bool svm_init(void)
{
    svm_cpu_read(&svm_cpu);
    if (!(svm_cpu.efer_may & EFER_SVME))
        return false;
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
    wrmsr(MSR_VM_HSAVE_PA, (uintptr_t)host_save);
    __asm__ volatile("vmsave" : : "a"(&host) : "memory");
    memset(io_map, 0xFF, sizeof(io_map));
    memset(msr_map, 0xFF, sizeof(msr_map));
    make_nested();
    known_set(svm_unchecked, svm_too_strict, svm_deadly);
    return true;
}

static void make_controls(bool nested)
{
    vmcb.intercept_exceptions = UINT32_MAX;
    vmcb.intercept_misc1 = MISC1_INTR | MISC1_NMI | MISC1_CPUID | MISC1_HLT | MISC1_IO | MISC1_MSR |
                           MISC1_TASK_SWITCH | MISC1_SHUTDOWN;
    vmcb.intercept_misc2 = MISC2_ALL_SVM;
    vmcb.iopm_hpa = (uintptr_t)io_map;
    vmcb.msrpm_hpa = (uintptr_t)msr_map;
    vmcb.asid = 1;
    vmcb.tlb_control = TLB_FLUSH_ALL;
    vmcb.virtual_interrupt = V_INTR_MASKING;
    vmcb.nested_control = nested;
    vmcb.nested_cr3 = (uintptr_t)npt_root;
    vmcb.pat = PAT_USUAL;
    vmcb.efer = EFER_SVME;
}

static void make_segments(enum svm_base base)
{
    const unsigned level = base == SVM_RING3 || base == SVM_V86 ? 3 : 0;
    const bool small = base == SVM_REAL || base == SVM_V86;
    for (int i = VS_ES; i <= VS_GS; i++) {
        struct vmcb_segment *s = &vmcb.seg[i];
        *s = (struct vmcb_segment){(uint16_t)(level ? SEL_USER_DATA : SEL_DATA),
                                   (uint16_t)(DATA | level << SEG_DPL_SHIFT), UINT32_MAX, 0};
        if (i == VS_CS)
            s->attr |= SEG_CODE, s->selector = (uint16_t)(level ? SEL_USER_CODE : SEL_CODE);
        if (small)
            *s = (struct vmcb_segment){GUEST_SEGMENT, (uint16_t)(REAL | level << SEG_DPL_SHIFT),
                                       0xFFFF, GUEST_FIRST};
    }
    vmcb.seg[VS_TR] =
        (struct vmcb_segment){SEL_TSS, SEG_P | SYS_TSS32_BUSY, 0x67, GUEST_PAGE(PAGE_TSS)};
    if (!is_bochs) /* it wants a TSS that is cached as available, which LTR leaves it */
        vmcb.seg[VS_TR].attr = SEG_P | SYS_TSS32_AVAIL;
    vmcb.seg[VS_GDTR] = (struct vmcb_segment){0, 0, 0x2F, GUEST_PAGE(PAGE_GDT)};
    vmcb.seg[VS_IDTR] = (struct vmcb_segment){0, 0, 0x7FF, GUEST_PAGE(PAGE_IDT)};
    if (base == SVM_REAL)
        vmcb.seg[VS_IDTR] = (struct vmcb_segment){0, 0, 0x3FF, GUEST_PAGE(PAGE_IVT)};
    vmcb.cpl = (uint8_t)level;
    vmcb.rip = small ? 0 : GUEST_PAGE(PAGE_CODE);
    vmcb.rsp =
        small ? GUEST_PAGE(PAGE_STACK) - GUEST_FIRST + 0xFF0 : GUEST_PAGE(PAGE_STACK) + 0xFF0;
}

static void make_event(enum svm_base base)
{
    static const uint64_t events[SVM_BASES] = {
        [SVM_IRQ] = EVENT_VALID | 0x40,
        [SVM_NMI] = EVENT_VALID | EVENT_TYPE_NMI << EVENT_TYPE_SHIFT | VEC_NMI,
        [SVM_FAULT] =
            EVENT_VALID | EVENT_HAS_ERROR | EVENT_TYPE_EXCEPTION << EVENT_TYPE_SHIFT | VEC_GP,
        [SVM_SOFT] = EVENT_VALID | EVENT_TYPE_SOFT << EVENT_TYPE_SHIFT | 0x80,
    };
    vmcb.event_injection = events[base];
    vmcb.interrupt_shadow = base == SVM_SHADOW;
}

static bool base_make(enum svm_base base)
{
    const bool plain = base == SVM_PLAIN || base == SVM_PLAIN_PAE;
    const bool pae = base == SVM_PAE || base == SVM_PLAIN_PAE;
    const bool real = base == SVM_REAL;
    const bool paging = !real && base != SVM_NO_PAGING && base != SVM_LONG;
    /* What is not paged needs nested paging to be kept in its memory. */
    if ((!svm_cpu.nested && !paging) || (base == SVM_LONG && !(svm_cpu.efer_may & EFER_LME)))
        return false;
    memset(&vmcb, 0, sizeof(vmcb));
    guest_tables_init();
    make_controls(!plain && svm_cpu.nested);
    make_segments(base);
    make_event(base);
    vmcb.cr0 = CR0_ET | (real ? 0 : CR0_PE) | (paging ? CR0_PG : 0);
    vmcb.cr3 = GUEST_PAGE(pae ? PAGE_PDPT : PAGE_DIRECTORY);
    vmcb.cr4 = pae ? CR4_PAE : 0;
    vmcb.dr6 = 0xFFFF0FF0;
    vmcb.dr7 = 0x400;
    vmcb.rflags = FL_R1 | FL_IF | (base == SVM_V86 ? FL_VM | FL_IOPL : 0);
    if (base == SVM_LONG)
        vmcb.efer |= EFER_LME;
    return true;
}

static void ask(void)
{
    struct svm_entry entry = {
        .cpu = &svm_cpu, .vmcb = &vmcb, .memory = read_physical, .rules.seen = verdict_seen};
    svm_cpu.host_paging = read_cr0() & CR0_PG;
    verdict_begin();
    verdict_stage(REFUSED);
    svm_check(&entry);
}

static enum verdict try(void)
{
    svm_enter(&vcpu, &vmcb, (uintptr_t)&vmcb, (uintptr_t)&host, no_ways);
    outb(0x20, 0x20);
    __asm__ volatile("sti\n\tnop\n\tcli");
    return (uint32_t)vmcb.exit_code == VMEXIT_INVALID ? REFUSED : ENTERS;
}

static void compare(const char *base, const char *way, bool named)
{
    ask();
    if (!verdict_deadly(verdict_will_enter()))
        verdict_end(try(), base, way, named);
}

static void edit(const struct svm_edit *e)
{
    uint8_t *at = (uint8_t *)&vmcb + e->offset;
    uint64_t word, set = e->set;
    if (set == LAST_PAGE)
        set = (1ull << svm_cpu.phys_bits) - PAGE_SIZE;
    else if (set == THE_END)
        set = 1ull << svm_cpu.phys_bits;
    memcpy(&word, at, sizeof(word));
    word = (word & ~e->clear) | set;
    memcpy(at, &word, sizeof(word));
}

static bool suits(const struct svm_way *way)
{
    const bool has_long = svm_cpu.efer_may & EFER_LME;
    return !((way->flags & NEEDS_NESTED) && !svm_cpu.nested) &&
           !((way->flags & NEEDS_NO_LONG) && has_long) &&
           !((way->flags & NEEDS_LONG) && !has_long) &&
           !((way->flags & NEEDS_NO_VME) && (svm_cpu.cr4_may & CR4_VME));
}

static void run_way(const struct svm_way *way, enum svm_base base)
{
    for (unsigned i = 0; i < ARRAY_LEN(way->edits); i++)
        edit(&way->edits[i]);
    if (way->flags & HOST_PAGING_OFF)
        write_cr0(read_cr0() & ~CR0_PG);
    compare(names[base], way->name, true);
    write_cr0(read_cr0() | CR0_PG);
    if ((verdict_of_checker() != ENTERS) != way->broken) {
        tally.differ++;
        kprintf("DIFFERS: base %s, %s: the checker says %s, and the way is meant to be %s\n",
                names[base], way->name, verdict_name(verdict_of_checker()),
                way->broken ? "broken" : "legal");
        verdict_print_broken();
    }
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

static void svm_named(const char *only)
{
    for (enum svm_base base = 0; base < SVM_BASES; base++) {
        if (base_make(base))
            compare(names[base], "as it is", true);
    }
    for (unsigned i = 0; i < svm_way_count; i++) {
        bool ran = false;
        if (!suits(&svm_ways[i]) || (only && !contains(svm_ways[i].name, only)))
            continue;
        for (enum svm_base base = 0; base < SVM_BASES; base++) {
            if (!(svm_ways[i].bases & 1u << base) || !base_make(base))
                continue;
            run_way(&svm_ways[i], base);
            ran = true;
        }
        tally.ways += ran;
    }
}

/* --- at random --- */

/* Left out: intercepts and the addresses of tables, which keep the guest in. */
static const struct {
    uint16_t offset;
    uint64_t may; /* bits that may change */
} targets[] = {
    {AT(asid), UINT32_MAX},
    {AT(iopm_hpa), ~0ull},
    {AT(msrpm_hpa), ~0ull},
    {AT(event_injection), ~0ull},
    {AT(event_injection), 0x80000FFF},
    {AT(intercept_misc2), MISC2_VMRUN},
    {AT(interrupt_shadow), 1},
    {AT(nested_cr3), 0xFFFFFFFF00000000ull},
    {AT(pat), ~0ull},
    {AT(efer), ~0ull},
    {AT(efer), 0xFFFF},
    {AT(cr0), ~0ull},
    {AT(cr0), 0xE0000001},
    {AT(cr3), 0xFFFFFFFF00000FFFull},
    {AT(cr4), ~0ull},
    {AT(cr4), 0x1FFFFFF},
    {AT(dr6), ~0ull},
    {AT(dr7), ~0ull},
    {AT(rflags), 0x3F7FD7},
    {AT(cpl), 3},
    {AT(seg[VS_CS]), 0xFFF0000},
    {AT(seg[VS_SS]), 0xFFF0000},
    {AT(seg[VS_DS]), ~0ull},
    {AT(seg[VS_ES]), ~0ull},
    {AT(seg[VS_FS]), ~0ull},
};

static char text[120];

static void change(unsigned *n)
{
    const unsigned i = below(ARRAY_LEN(targets));
    uint64_t word, flip = 1ull << below(64);
    uint8_t *at = (uint8_t *)&vmcb + targets[i].offset;
    if (below(3) == 0)
        flip |= 1ull << below(32);
    if (below(3) == 0)
        flip = (uint64_t)rnd() << 32 | rnd();
    memcpy(&word, at, sizeof(word));
    word ^= flip & targets[i].may;
    memcpy(at, &word, sizeof(word));
    if (*n < sizeof(text))
        *n += (unsigned)ksnprintf(text + *n, sizeof(text) - *n, " %03x=%llx", targets[i].offset,
                                  word);
}

static void svm_random(uint32_t seed, uint32_t number)
{
    enum svm_base base;
    rng_start(seed, number);
    do
        base = (enum svm_base)below(SVM_BASES);
    while (!base_make(base));
    unsigned n = (unsigned)ksnprintf(text, sizeof(text), "random %u:", number);
    for (uint32_t changes = 1 + below(3); changes; changes--)
        change(&n);
    compare(names[base], text, false);
}

const struct assist svm_assist = {"AMD-V", svm_init, svm_named, svm_random};
