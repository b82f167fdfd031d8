/*
 * A small guest for the emulator's tests: 8 MB of RAM, identity page tables, a GDT with one
 * descriptor of every kind that the rules tell apart, an IDT, a TSS and stacks. Everything is
 * written into guest RAM by hand, so that no function under test helps to build its own input.
 */
#ifndef TESTS_MACHINE_H
#define TESTS_MACHINE_H

#include <criterion/criterion.h>
#include <string.h>

#include "emulate.h"
#include "gmem.h"
#include "x86.h"

enum {
    RAM_SIZE = 8 << 20,
    PAGE_DIR = 0x1000,
    PAGE_TABLE = 0x2000,
    GDT = 0x3000,
    IDT = 0x4000,
    TSS = 0x5000, /* its I/O map reaches 0x7068 */
    LDT = 0xA000,
    TSS16 = 0xB000,
    KERNEL_STACK = 0x9000, /* ESP0 */
    CODE = 0x10000,        /* where kernel tests put instructions */
    DATA = 0x12000,
    USER_CODE = 0x20000, /* pages 0x20000..0x3FFFF are the user's */
    USER_DATA = 0x22000,
    USER_STACK = 0x28000,
    HANDLER = 0x11000, /* every gate's offset is HANDLER + vector */
};

/* Selectors of the machine's GDT. */
enum {
    KCODE = 0x08,
    KDATA = 0x10,
    UCODE = 0x1B,
    UDATA = 0x23,
    S_TSS = 0x28,
    S_LDT = 0x30,
    CONFORMING = 0x38,
    ABSENT_DATA = 0x40,
    READONLY = 0x48,
    CODE16 = 0x50,
    DATA16 = 0x58,
    S_TSS16 = 0x60, /* available */
    CALL_GATE = 0x68,
    EXEC_ONLY = 0x70,
    ABSENT_CODE = 0x78,
    DATA_DPL1 = 0x80,
    S_TSS_FREE = 0x88, /* available, 32-bit */
    CALL_GATE16 = 0x90,
    ABSENT_GATE = 0x98,
    TASK_GATE = 0xA0,
    CODE_DPL1 = 0xA8,
    EXPAND_DOWN = 0xB0, /* limit 0xFFF: offsets 0x1000 and up */
    ABSENT_TSS = 0xB8,
    ABSENT_LDT = 0xC0,
    UCODE_CONF = 0xC8, /* conforming, DPL 3 */
    SMALL_DATA = 0xD0, /* bytes 0..0xFF at DATA */
    GATE_TO_USER = 0xD8,
    GDT_END = 0xE0,
};

static uint8_t machine_ram[RAM_SIZE] __attribute__((aligned(4096)));
static struct vm machine;

static inline void put32(gpa_t gpa, uint32_t v)
{
    memcpy(machine_ram + gpa, &v, 4);
}

static inline uint32_t get32(gpa_t gpa)
{
    uint32_t v;
    memcpy(&v, machine_ram + gpa, 4);
    return v;
}

static inline uint16_t get16(gpa_t gpa)
{
    return (uint16_t)get32(gpa);
}

static inline void put64(gpa_t gpa, uint64_t v)
{
    memcpy(machine_ram + gpa, &v, 8);
}

/* access: descriptor byte 5; flags: the high nibble of byte 6 (G, D/B, L, AVL). */
static inline void put_descriptor(gpa_t gpa, uint32_t base, uint32_t limit, unsigned access,
                                  unsigned flags)
{
    put64(gpa, (uint64_t)(base & 0xFF000000) << 32 | (uint64_t)(flags & 0xF) << 52 |
                   (uint64_t)(limit >> 16 & 0xF) << 48 | (uint64_t)access << 40 |
                   (uint64_t)(base & 0xFFFFFF) << 16 | (limit & 0xFFFF));
}

static inline void put_gate(gpa_t gpa, uint16_t selector, uint32_t offset, unsigned access,
                            unsigned params)
{
    put64(gpa, (uint64_t)(offset >> 16) << 48 | (uint64_t)access << 40 | (uint64_t)params << 32 |
                   (uint64_t)selector << 16 | (offset & 0xFFFF));
}

static inline struct segment flat(uint16_t selector, uint32_t attr)
{
    return (struct segment){.selector = selector, .attr = attr, .limit = 0xFFFFFFFF};
}

/* CPL 0 with flat segments, interrupts on. */
static inline void machine_kernel(void)
{
    struct vcpu *v = &machine.vcpu;

    v->seg[SREG_CS] = flat(KCODE, 0xC09B);
    v->seg[SREG_SS] = v->seg[SREG_DS] = v->seg[SREG_ES] = flat(KDATA, 0xC093);
    v->seg[SREG_FS] = v->seg[SREG_GS] = flat(KDATA, 0xC093);
    v->eip = CODE;
    v->gpr[GPR_ESP] = 0x8F00;
    v->eflags = FL_R1 | FL_IF;
}

/* CPL 3. */
static inline void machine_user(void)
{
    struct vcpu *v = &machine.vcpu;

    machine_kernel();
    v->seg[SREG_CS] = flat(UCODE, 0xC0FB);
    v->seg[SREG_SS] = v->seg[SREG_DS] = v->seg[SREG_ES] = flat(UDATA, 0xC0F3);
    v->seg[SREG_FS] = v->seg[SREG_GS] = flat(UDATA, 0xC0F3);
    v->eip = USER_CODE;
    v->gpr[GPR_ESP] = USER_STACK;
}

/* Real mode: CS:IP 1000:0000, the other segments 0, SP 0x7000, IVT at 0. */
static inline void machine_real(void)
{
    struct vcpu *v = &machine.vcpu;

    v->cr0 = CR0_ET;
    for (int i = 0; i < 6; i++)
        v->seg[i] = (struct segment){.attr = 0x93, .limit = 0xFFFF};
    v->seg[SREG_CS].selector = 0x1000;
    v->seg[SREG_CS].base = 0x10000;
    v->eip = 0;
    v->gpr[GPR_ESP] = 0x7000;
    v->idtr = (struct table_reg){.base = 0, .limit = 0x3FF};
    v->eflags = FL_R1 | FL_IF;
}

static inline void machine_gdt(void)
{
    put_descriptor(GDT + KCODE, 0, 0xFFFFF, 0x9B, 0xC);
    put_descriptor(GDT + KDATA, 0, 0xFFFFF, 0x93, 0xC);
    put_descriptor(GDT + (UCODE & ~3), 0, 0xFFFFF, 0xFB, 0xC);
    put_descriptor(GDT + (UDATA & ~3), 0, 0xFFFFF, 0xF3, 0xC);
    put_descriptor(GDT + S_TSS, TSS, 0x2067, 0x8B, 0);
    put_descriptor(GDT + S_LDT, LDT, 0x1F, 0x82, 0);
    put_descriptor(GDT + CONFORMING, 0, 0xFFFFF, 0x9E, 0xC);
    put_descriptor(GDT + ABSENT_DATA, 0, 0xFFFFF, 0x12, 0xC);
    put_descriptor(GDT + READONLY, 0, 0xFFFFF, 0x90, 0xC);
    put_descriptor(GDT + CODE16, 0, 0xFFFF, 0x9A, 0);
    put_descriptor(GDT + DATA16, 0, 0xFFFF, 0x92, 0);
    put_descriptor(GDT + S_TSS16, TSS16, 0x2B, 0x81, 0);
    put_gate(GDT + CALL_GATE, KCODE, HANDLER, 0xEC, 2);
    put_descriptor(GDT + EXEC_ONLY, 0, 0xFFFFF, 0x98, 0xC);
    put_descriptor(GDT + ABSENT_CODE, 0, 0xFFFFF, 0x1A, 0xC);
    put_descriptor(GDT + DATA_DPL1, 0, 0xFFFFF, 0xB2, 0xC);
    put_descriptor(GDT + S_TSS_FREE, TSS, 0x67, 0x89, 0);
    put_gate(GDT + CALL_GATE16, KCODE, 0x5678, 0xE4, 1);
    put_gate(GDT + ABSENT_GATE, KCODE, HANDLER, 0x6C, 0);
    put_gate(GDT + TASK_GATE, S_TSS, 0, 0xE5, 0);
    put_descriptor(GDT + CODE_DPL1, 0, 0xFFFFF, 0xBA, 0xC);
    put_descriptor(GDT + EXPAND_DOWN, 0, 0xFFF, 0x96, 0x4);
    put_descriptor(GDT + ABSENT_TSS, TSS, 0x67, 0x09, 0);
    put_descriptor(GDT + ABSENT_LDT, LDT, 0x1F, 0x02, 0);
    put_descriptor(GDT + UCODE_CONF, 0, 0xFFFFF, 0xFE, 0xC);
    put_descriptor(GDT + SMALL_DATA, DATA, 0xFF, 0x92, 0x4);
    put_gate(GDT + GATE_TO_USER, UCODE, USER_CODE, 0xEC, 0);
    put_descriptor(LDT + 8, 0x1000, 0xFFFFF, 0x92, 0xC);
}

/* Vectors 0..63 are 32-bit interrupt gates of DPL 0, but 3, 4 and 0x30 have DPL 3. */
static inline void machine_idt(void)
{
    for (unsigned v = 0; v < 64; v++)
        put_gate(IDT + v * 8, KCODE, HANDLER + v, v == 3 || v == 4 || v == 0x30 ? 0xEE : 0x8E, 0);
}

static inline void machine_init(void)
{
    struct vcpu *v = &machine.vcpu;

    memset(machine_ram, 0, sizeof(machine_ram));
    memset(&machine, 0, sizeof(machine));
    machine.ram = machine_ram;
    machine.ram_size = RAM_SIZE;
    v->vm = &machine;
    put32(PAGE_DIR, PAGE_TABLE | PTE_P | PTE_W | PTE_U | PTE_A);
    for (unsigned i = 0; i < 1024; i++)
        put32(PAGE_TABLE + i * 4,
              i << 12 | PTE_P | PTE_W | PTE_A | PTE_D | (i >= 0x20 && i < 0x40 ? PTE_U : 0));
    machine_gdt();
    machine_idt();
    put32(TSS + 4, KERNEL_STACK);
    put32(TSS + 8, KDATA);
    put32(TSS + 0x64, 0x68u << 16);
    memset(machine_ram + TSS + 0x68, 0xFF, 0x2000);
    v->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_WP;
    v->cr3 = PAGE_DIR;
    v->cr4 = CR4_PSE;
    v->gdtr = (struct table_reg){.base = GDT, .limit = GDT_END - 1};
    v->idtr = (struct table_reg){.base = IDT, .limit = 64 * 8 - 1};
    v->seg[SREG_TR] =
        (struct segment){.selector = S_TSS, .attr = 0x8B, .base = TSS, .limit = 0x2067};
    v->seg[SREG_LDTR] =
        (struct segment){.selector = S_LDT, .attr = 0x82, .base = LDT, .limit = 0x1F};
    machine_kernel();
}

#endif
