/*
 * The machine's state: descriptor tables, page tables, control and debug registers, MSRs, two I/O
 * registers. Two of everything that a state may swap. Intel SDM vol. 3A chapters 2 to 6.
 */
#include <string.h>

#include "cpu.h"
#include "probe.h"

#define CR0_USUAL 0x80010031u /* PG, WP, NE, ET, PE */
#define MSR_SYSENTER_CS 0x174u
#define MSR_SYSENTER_ESP 0x175u
#define MSR_SYSENTER_EIP 0x176u
#define MSR_TSC_AUX 0xC0000103u
#define PTE_USER 7u
#define PDE_4MB 0x87u

const char *const reg_names[R_COUNT] = {
    "cr0",        "cr2",         "cr3",        "cr4",      "dr0",     "dr7",     "gdtr.base",
    "gdtr.limit", "idtr.base",   "idtr.limit", "ldtr",     "tr",      "msr.174", "msr.175",
    "msr.176",    "msr.tsc_aux", "xcr0",       "port.2ff", "port.a1",
};
struct cpu_has cpu_has;

static uint64_t gdt[2][GDT_ENTRIES] __attribute__((aligned(16)));
static uint64_t idt[2][VECTORS] __attribute__((aligned(16)));
static uint32_t tss[3][26];
static uint64_t ldt[3][2];
static uint32_t directory[3][1024] __attribute__((aligned(4096)));
static uint32_t table[2][1024] __attribute__((aligned(4096)));
static uint8_t frames[2][PAGES][4096] __attribute__((aligned(4096)));

/* SDM vol. 3A section 3.4.5. attributes: type, S, DPL, P, then G, D in bits 12 to 15. */
static uint64_t descriptor(uint32_t base, uint32_t limit, uint32_t attributes)
{
    const uint32_t low = base << 16 | (limit & 0xFFFF);
    const uint32_t high = (base & 0xFF000000) | (attributes & 0xF000) << 8 | (limit & 0xF0000) |
                          (attributes & 0xFF) << 8 | (base >> 16 & 0xFF);

    return (uint64_t)high << 32 | low;
}

/* Accessed bits are set beforehand: loading a segment then changes no descriptor. */
#define CODE(dpl) (0xC09B | (dpl) << 5)
#define DATA(dpl) (0xC093 | (dpl) << 5)

static void fill_gdt(uint64_t *g, enum state state)
{
    static const uint8_t code[4] = {SEL_CODE0, SEL_CODE1, SEL_CODE2, SEL_CODE3};
    static const uint8_t data[4] = {SEL_DATA0, SEL_DATA1, SEL_DATA2, SEL_DATA3};
    const uint32_t type = state == ST_DESC_TYPE ? 0xC091 : DATA(0);

    for (unsigned level = 0; level < 4; level++) {
        g[code[level] / 8] = descriptor(0, 0xFFFFF, CODE(level));
        g[data[level] / 8] = descriptor(0, 0xFFFFF, DATA(level));
    }
    for (unsigned i = 0; i < 3; i++) {
        g[SEL_TSS_A / 8 + i] = descriptor((uint32_t)tss[i], sizeof(tss[i]) - 1, 0x89);
        g[SEL_LDT_A / 8 + i] = descriptor((uint32_t)ldt[i], sizeof(ldt[i]) - 1, 0x82);
    }
    g[SEL_CONFORMING / 8] = descriptor(0, 0xFFFFF, 0xC09F);
    g[SEL_TRIED / 8] =
        descriptor(state == ST_DESC_BASE ? 0x10 : 0, state == ST_DESC_LIMIT ? 0xBFFFF : 0xFFFFF,
                   type | (state == ST_DESC_DPL ? 0 : 3 << 5));
    /* SDM vol. 3A section 5.8.3: a 32-bit call gate, DPL 3, no parameters. */
    g[SEL_GATE / 8] =
        (uint64_t)((LAND_AT & 0xFFFF0000) | 0xEC00) << 32 | (SEL_CODE0 << 16 | (LAND_AT & 0xFFFF));
}

/* Interrupt gates: nothing interrupts an arrival. */
static void fill_idt(uint64_t *t)
{
    for (unsigned v = 0; v < VECTORS; v++) {
        const uint32_t to = v == VEC_TIMER ? (uint32_t)timer_landing : stub_table[v];
        const bool open = v == 3 || v == 4 || v == VEC_STOP || v == VEC_OPEN;

        t[v] = (uint64_t)((to & 0xFFFF0000) | (open ? 0xEE00 : 0x8E00)) << 32 |
               (SEL_CODE0 << 16 | (to & 0xFFFF));
    }
}

static void fill_paging(void)
{
    for (unsigned d = 0; d < 3; d++) {
        for (uint32_t i = 0; i < 1024; i++)
            directory[d][i] = i << 22 | PDE_4MB;
        directory[d][PROGRAM >> 22] = (uint32_t)table[d == 2] | PTE_USER;
    }
    for (unsigned t = 0; t < 2; t++)
        for (unsigned page = 0; page < PAGES; page++)
            table[t][page] = (uint32_t)frames[t][page] | PTE_USER;
}

/* Every word of the data page is different: an address can be told from what is there. */
static void fill_pages(void)
{
    for (unsigned which = 0; which < 2; which++) {
        uint32_t *data = (uint32_t *)frames[which][1];

        memset(frames[which][0], 0x90, 4096);
        for (uint32_t i = 0; i < 1024; i++)
            data[i] = DATA_WORD(i * 4);
    }
}

uint8_t *program_page(enum state state, unsigned page)
{
    return frames[state == ST_LOCATION][page];
}

static bool family_6(uint32_t signature)
{
    return (signature >> 8 & 15) >= 6;
}

void machine_init(void)
{
    uint32_t r[4], most, extended;

    cpuid(0, r);
    most = r[0];
    cpuid(1, r);
    cpu_has.vme = r[3] >> 1 & 1;
    cpu_has.de = r[3] >> 2 & 1;
    cpu_has.tsc = r[3] >> 4 & 1;
    cpu_has.msr = r[3] >> 5 & 1;
    cpu_has.sep = r[3] >> 11 & 1;
    cpu_has.xsave = r[2] >> 26 & 1;
    cpu_has.pce = family_6(r[0]);
    if (most >= 7) {
        cpuid(7, r);
        cpu_has.umip = r[2] >> 2 & 1;
    }
    cpuid(0x80000000u, r);
    extended = r[0];
    if (extended >= 0x80000001u && extended < 0x80010000u) {
        cpuid(0x80000001u, r);
        cpu_has.rdtscp = r[3] >> 27 & 1;
    }
    fill_paging();
    fill_pages();
    for (unsigned i = 0; i < 2; i++)
        fill_idt(idt[i]);
    for (unsigned i = 0; i < 3; i++) {
        tss[i][1] = (uint32_t)trap_stack_top; /* ESP0, SS0; no I/O bitmap within the limit */
        tss[i][2] = SEL_DATA0;
        tss[i][25] = sizeof(tss[i]) << 16;
    }
    outb(0x20, 0x11); /* 8259A data sheet: both PICs to VEC_TIMER, all lines masked */
    outb(0xA0, 0x11);
    outb(0x21, VEC_TIMER);
    outb(0xA1, VEC_TIMER + 8);
    outb(0x21, 4);
    outb(0xA1, 2);
    outb(0x21, 1);
    outb(0xA1, 1);
    outb(0x21, 0xFF);
    outb(0xA1, 0xFF);
    write_cr4(CR4_PSE);
    write_cr3((uint32_t)directory[0]);
    write_cr0(CR0_USUAL);
}

static uint32_t read_xcr0(void)
{
    uint32_t low, high;

    __asm__ volatile(".byte 0x0F, 0x01, 0xD0" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static void write_xcr0(uint32_t low)
{
    __asm__ volatile(".byte 0x0F, 0x01, 0xD1" : : "a"(low), "d"(0), "c"(0));
}

static void read_tables(struct machine *m)
{
    struct table_operand t;
    uint16_t selector;

    __asm__ volatile("sgdt %0" : "=m"(t));
    m->reg[R_GDTR_BASE] = t.base;
    m->reg[R_GDTR_LIMIT] = t.limit;
    memcpy(m->gdt, (const void *)(uintptr_t)t.base, sizeof(m->gdt));
    __asm__ volatile("sidt %0" : "=m"(t));
    m->reg[R_IDTR_BASE] = t.base;
    m->reg[R_IDTR_LIMIT] = t.limit;
    __asm__ volatile("sldt %0" : "=m"(selector));
    m->reg[R_LDTR] = selector;
    __asm__ volatile("str %0" : "=m"(selector));
    m->reg[R_TR] = selector;
}

void machine_read(struct machine *m)
{
    memset(m, 0, sizeof(*m));
    m->reg[R_CR0] = read_cr0();
    m->reg[R_CR2] = read_cr2();
    m->reg[R_CR3] = read_cr3();
    m->reg[R_CR4] = read_cr4();
    __asm__ volatile("mov %%db0, %0" : "=r"(m->reg[R_DR0]));
    __asm__ volatile("mov %%db7, %0" : "=r"(m->reg[R_DR7]));
    read_tables(m);
    if (cpu_has.sep) {
        m->reg[R_MSR_CS] = (uint32_t)rdmsr(MSR_SYSENTER_CS);
        m->reg[R_MSR_ESP] = (uint32_t)rdmsr(MSR_SYSENTER_ESP);
        m->reg[R_MSR_EIP] = (uint32_t)rdmsr(MSR_SYSENTER_EIP);
    }
    if (cpu_has.rdtscp)
        m->reg[R_TSC_AUX] = (uint32_t)rdmsr(MSR_TSC_AUX);
    if (cpu_has.xsave && (m->reg[R_CR4] & CR4_OSXSAVE))
        m->reg[R_XCR0] = read_xcr0();
    m->reg[R_PORT] = inb(PORT_SCRATCH);
    m->reg[R_PIC] = inb(PORT_PIC);
}

/* The tables first, then the registers that point to them: a wrong order would leave a moment
 * without a stack or a gate. */
static void set_tables(enum state state)
{
    const unsigned which_gdt = state == ST_GDTR, which_idt = state == ST_IDTR;

    fill_gdt(gdt[which_gdt], state);
    lgdt((uint32_t)gdt[which_gdt], sizeof(gdt[0]) - 9); /* room for LGDT to make it longer */
    lidt((uint32_t)idt[which_idt], sizeof(idt[0]) - 9);
    __asm__ volatile("lldt %w0" : : "r"(state == ST_LDTR ? SEL_LDT_B : SEL_LDT_A));
    __asm__ volatile("ltr %w0" : : "r"(state == ST_TR ? SEL_TSS_B : SEL_TSS_A));
}

static void set_msrs(enum state state)
{
    if (cpu_has.sep) {
        wrmsr(MSR_SYSENTER_CS, SEL_CODE0);
        wrmsr(MSR_SYSENTER_ESP, (uint32_t)trap_stack_top - (state == ST_MSR ? 64 : 0));
        wrmsr(MSR_SYSENTER_EIP, (uint32_t)sysenter_landing);
    }
    if (cpu_has.rdtscp)
        wrmsr(MSR_TSC_AUX, state == ST_TSC_AUX ? 7 : 3);
}

static void set_control(enum state state, const struct config *config)
{
    const uint32_t cr0 = CR0_USUAL ^ (state == ST_CR0_TS   ? 8u
                                      : state == ST_CR0_MP ? 2u
                                      : state == ST_CR0_NE ? 0x20u
                                                           : 0u);
    uint32_t cr4 = CR4_PSE | config->cr4;

    if (cpu_has.xsave) {
        write_cr4(read_cr4() | CR4_OSXSAVE);
        write_xcr0(state == ST_XCR0 ? 1 : 3);
        cr4 |= state == ST_CR4_OSXSAVE ? 0 : CR4_OSXSAVE;
    }
    cr4 ^= state == ST_CR4_DE && cpu_has.de ? CR4_DE : 0;
    write_cr4(cr4);
    write_cr3((uint32_t)directory[state == ST_LOCATION ? 2 : state == ST_CR3]);
    write_cr2(state == ST_CR2 ? 0x5000 : 0x3000);
    write_cr0(cr0);
    __asm__ volatile("mov %0, %%db0" : : "r"(state == ST_DR0 ? 0x7000 : 0x6000));
    write_dr7(state == ST_DR7 ? 0x500 : 0x400);
    write_dr6(0);
}

/* What the last experiment may have written: operands, and what stands above the stack pointer. */
static void refill_pages(enum state state)
{
    uint32_t *data = (uint32_t *)program_page(state, 1);

    for (uint32_t i = 0; i < WORDS; i++)
        data[i] = DATA_WORD(i * 4);
    memset(program_page(state, 2) + (STACK_AT & 0xFFF) - 64, 0, 128);
}

void machine_set(enum state state, const struct config *config)
{
    set_tables(state);
    set_control(state, config);
    set_msrs(state);
    outb(PORT_SCRATCH, state == ST_PORT ? 0xA5 : 0x5A);
    outb(PORT_PIC, state == ST_PORT ? 0xEF : 0xFF);
    refill_pages(state);
}

/* 8254 data sheet: counter 0, mode 0, about a millisecond. */
void timer_arm(bool on)
{
    timer_ticks = 0;
    if (on) {
        outb(0x43, 0x30);
        outb(0x40, 1193 & 0xFF);
        outb(0x40, 1193 >> 8);
    }
    outb(0x21, on ? 0xFE : 0xFF);
}
