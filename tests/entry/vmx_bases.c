/* Valid VMCSs: every field, for each of the base states. */
#include "cpu.h"
#include "vmx_test.h"

#define CODE (SEG_P | SEG_S | SEG_CODE | SEG_RW | SEG_ACCESSED | SEG_DB | SEG_G)
#define DATA (SEG_P | SEG_S | SEG_RW | SEG_ACCESSED | SEG_DB | SEG_G)
#define REAL_RIGHTS (SEG_P | SEG_S | SEG_RW | SEG_ACCESSED)
#define PAT_USUAL 0x0007040600070406ull
#define EPT_POINTER_BITS 0x1Eu /* write-back, four levels */
#define TIMER_LONG 0x10000u

const char *const base_names[BASE_COUNT] = {
    [BASE_PROTECTED] = "protected",
    [BASE_RING3] = "ring 3",
    [BASE_PAE] = "PAE",
    [BASE_V86] = "virtual-8086",
    [BASE_PLAIN] = "plain",
    [BASE_PLAIN_PAE] = "plain PAE",
    [BASE_FREE] = "unrestricted",
    [BASE_NO_PAGING] = "no paging",
    [BASE_REAL] = "real mode",
    [BASE_IRQ] = "interrupt",
    [BASE_NMI] = "NMI",
    [BASE_FAULT] = "#GP",
    [BASE_SOFT] = "INT 80h",
    [BASE_STI] = "after STI",
    [BASE_MOV_SS] = "after MOV SS",
    [BASE_STEP] = "single step",
    [BASE_HLT] = "halted",
};

/* As 0 as may be. */
static void clear_all(void)
{
    static const struct {
        uint16_t encoding;
        uint8_t width, group;
    } fields[] = {
#define X(name, encoding, width, group) {encoding, VMCS_##width, VMCS_##group},
        VMCS_FIELDS(X)
#undef X
    };
    for (unsigned i = 0; i < ARRAY_LEN(fields); i++) {
        if (fields[i].group == VMCS_EXIT_INFO)
            continue;
        field_set(fields[i].encoding, 0);
        if (fields[i].width == VMCS_64)
            field_set(fields[i].encoding + 1u, 0);
    }
}

/* Those of `wanted` that the CPU offers, and what it forces. */
static void set_controls(enum vmx_word word, enum vmcs_field field, uint32_t wanted)
{
    const uint64_t allowed = vmx_cpu.allowed[word];
    field_set(field, (wanted & (uint32_t)(allowed >> 32)) | (uint32_t)allowed);
}

static bool offers(enum vmx_word word, uint32_t bits)
{
    return (vmx_cpu.allowed[word] >> 32 & bits) == bits;
}

static void make_controls(enum vmx_base base)
{
    const bool secondary = base != BASE_PLAIN && base != BASE_PLAIN_PAE;
    const bool free = base >= BASE_FREE && base <= BASE_REAL;
    set_controls(WORD_PIN, VMCS_PIN_CONTROLS,
                 PIN_EXTERNAL_INTERRUPT | PIN_NMI | PIN_PREEMPTION_TIMER);
    set_controls(WORD_CPU, VMCS_CPU_CONTROLS,
                 CPU_HLT | CPU_UNCONDITIONAL_IO | (secondary ? CPU_SECONDARY : 0));
    if (offers(WORD_CPU, CPU_SECONDARY))
        set_controls(WORD_CPU2, VMCS_CPU_CONTROLS2,
                     CPU2_EPT | CPU2_VPID | (free ? CPU2_UNRESTRICTED : 0));
    set_controls(WORD_EXIT, VMCS_EXIT_CONTROLS, EXIT_SAVE_DEBUG | EXIT_LOAD_PAT | EXIT_LOAD_EFER);
    set_controls(WORD_ENTRY, VMCS_ENTRY_CONTROLS,
                 ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER);
    field_set(VMCS_EXCEPTION_BITMAP, UINT32_MAX);
    field_set(VMCS_VPID, 1);
    field_set64(VMCS_EPT_POINTER, ept_root | EPT_POINTER_BITS);
    field_set(VMCS_PREEMPTION_TIMER, TIMER_LONG);
    field_set64(VMCS_VIRTUAL_APIC, (uintptr_t)vmx_pages[OWN_VIRTUAL_APIC]);
    field_set64(VMCS_IO_BITMAP_A, (uintptr_t)vmx_pages[OWN_BITMAP_A]);
    field_set64(VMCS_IO_BITMAP_B, (uintptr_t)vmx_pages[OWN_BITMAP_B]);
    field_set64(VMCS_MSR_BITMAP, (uintptr_t)vmx_pages[OWN_MSR_BITMAP]);
    field_set64(VMCS_ENTRY_MSR_LOAD_AREA, (uintptr_t)vmx_pages[OWN_MSRS]);
}

static void make_host(void)
{
    struct table_operand gdt, idt;
    __asm__ volatile("sgdt %0\n\tsidt %1" : "=m"(gdt), "=m"(idt));
    field_set(VMCS_HOST_CR0, read_cr0());
    field_set(VMCS_HOST_CR3, read_cr3());
    field_set(VMCS_HOST_CR4, read_cr4());
    if (field_exists(VMCS_HOST_EFER))
        field_set64(VMCS_HOST_EFER, 0);
    field_set64(VMCS_HOST_PAT, PAT_USUAL);
    for (unsigned f = VMCS_HOST_ES_SEL; f <= VMCS_HOST_GS_SEL; f += 2)
        field_set(f, SEL_DATA);
    field_set(VMCS_HOST_CS_SEL, SEL_CODE);
    field_set(VMCS_HOST_TR_SEL, SEL_TSS); /* an exit looks at no descriptor */
    field_set(VMCS_HOST_TR_BASE, GUEST_PAGE(PAGE_TSS));
    field_set(VMCS_HOST_GDTR_BASE, gdt.base);
    field_set(VMCS_HOST_IDTR_BASE, idt.base);
    field_set(VMCS_HOST_EIP, (uint32_t)vmx_exit);
}

static void segment(enum sreg reg, uint32_t selector, uint32_t base, uint32_t limit, uint32_t attr)
{
    field_set(VMCS_SEGMENT(VMCS_GUEST_ES, reg), selector);
    field_set(VMCS_SEGMENT(VMCS_GUEST_ES_BASE, reg), base);
    field_set(VMCS_SEGMENT(VMCS_GUEST_ES_LIMIT, reg), limit);
    field_set(VMCS_SEGMENT(VMCS_GUEST_ES_RIGHTS, reg), attr);
}

static void flat_segments(unsigned level)
{
    const uint32_t dpl = level << SEG_DPL_SHIFT;
    for (enum sreg reg = SREG_ES; reg <= SREG_GS; reg++)
        segment(reg, level ? SEL_USER_DATA : SEL_DATA, 0, UINT32_MAX, DATA | dpl);
    segment(SREG_CS, level ? SEL_USER_CODE : SEL_CODE, 0, UINT32_MAX, CODE | dpl);
}

/* 16 bits, each at its selector times 16. */
static void small_segments(uint32_t attr)
{
    for (enum sreg reg = SREG_ES; reg <= SREG_GS; reg++) {
        const uint32_t selector =
            reg == SREG_SS ? GUEST_PAGE(PAGE_STACK) >> 4 : (uint32_t)GUEST_SEGMENT;
        segment(reg, selector, selector << 4, 0xFFFF, attr);
    }
}

static void make_segments(enum vmx_base base)
{
    segment(SREG_LDTR, 0, 0, 0, SEG_UNUSABLE);
    segment(SREG_TR, SEL_TSS, GUEST_PAGE(PAGE_TSS), 0x67, SEG_P | SYS_TSS32_BUSY);
    if (base == BASE_V86)
        small_segments(REAL_RIGHTS | SEG_DPL);
    else if (base == BASE_REAL)
        small_segments(REAL_RIGHTS);
    else
        flat_segments(base == BASE_RING3 ? 3 : 0);
}

static void make_guest(enum vmx_base base)
{
    const bool pae = base == BASE_PAE || base == BASE_PLAIN_PAE;
    const bool real = base == BASE_REAL, paging = !real && base != BASE_NO_PAGING;
    const bool small = real || base == BASE_V86;
    uint32_t cr0 = vmx_cpu.cr0_on & ~(CR0_PE | CR0_PG);
    cr0 |= (real ? 0 : CR0_PE) | (paging ? CR0_PG : 0);
    field_set(VMCS_GUEST_CR0, cr0);
    field_set(VMCS_GUEST_CR3, GUEST_PAGE(pae ? PAGE_PDPT : PAGE_DIRECTORY));
    field_set(VMCS_GUEST_CR4, vmx_cpu.cr4_on | (pae ? CR4_PAE : 0));
    field_set64(VMCS_GUEST_PDPTE0, GUEST_PAGE(PAGE_PAE_DIRECTORY) | PTE_P);
    field_set64(VMCS_GUEST_PAT, PAT_USUAL);
    field_set(VMCS_GUEST_DR7, 0x400);
    field_set(VMCS_GUEST_GDTR_BASE, GUEST_PAGE(PAGE_GDT));
    field_set(VMCS_GUEST_GDTR_LIMIT, 0x2F);
    field_set(VMCS_GUEST_IDTR_BASE, GUEST_PAGE(real ? PAGE_IVT : PAGE_IDT));
    field_set(VMCS_GUEST_IDTR_LIMIT, real ? 0x3FF : 0x7FF);
    field_set(VMCS_GUEST_EIP, small ? 0 : GUEST_PAGE(PAGE_CODE));
    field_set(VMCS_GUEST_ESP, small ? 0xFF0 : GUEST_PAGE(PAGE_STACK) + 0xFF0);
    field_set(VMCS_GUEST_EFLAGS, FL_R1 | FL_IF | (base == BASE_V86 ? FL_VM | FL_IOPL : 0));
    field_set64(VMCS_LINK_POINTER, UINT64_MAX);
    make_segments(base);
}

static void make_events(enum vmx_base base)
{
    if (base == BASE_IRQ)
        field_set(VMCS_ENTRY_EVENT, INFO_VALID | 0x40);
    else if (base == BASE_NMI)
        field_set(VMCS_ENTRY_EVENT, INFO_VALID | INFO_NMI << INFO_TYPE_SHIFT | VEC_NMI);
    else if (base == BASE_FAULT)
        field_set(VMCS_ENTRY_EVENT,
                  INFO_VALID | INFO_HAS_ERROR | INFO_EXCEPTION << INFO_TYPE_SHIFT | VEC_GP);
    else if (base == BASE_SOFT) {
        field_set(VMCS_ENTRY_EVENT, INFO_VALID | INFO_SOFT_INT << INFO_TYPE_SHIFT | 0x80);
        field_set(VMCS_ENTRY_EVENT_LENGTH, 2);
    } else if (base == BASE_STI)
        field_set(VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_STI);
    else if (base == BASE_MOV_SS || base == BASE_STEP)
        field_set(VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_MOV_SS);
    if (base == BASE_STEP) {
        field_set(VMCS_GUEST_EFLAGS, FL_R1 | FL_IF | FL_TF);
        field_set(VMCS_GUEST_PENDING_DEBUG, PENDING_DEBUG_BS);
    }
    if (base == BASE_HLT)
        field_set(VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
}

static bool possible(enum vmx_base base)
{
    const bool secondary = offers(WORD_CPU, CPU_SECONDARY);
    if (base >= BASE_FREE && base <= BASE_REAL)
        return secondary && offers(WORD_CPU2, CPU2_EPT | CPU2_UNRESTRICTED);
    return base != BASE_HLT || (vmx_cpu.misc >> 6 & 1);
}

bool base_make(enum vmx_base base)
{
    if (!possible(base))
        return false;
    guest_tables_init();
    clear_all();
    make_controls(base);
    make_host();
    make_guest(base);
    make_events(base);
    return true;
}
