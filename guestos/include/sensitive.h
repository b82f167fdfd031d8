/*
 * Every sensitive or privileged operation of the kernel, and nothing else
 * (paravirt/include/pv_abi.h tells the rules). Each function is one plain instruction, padded to a
 * fixed length and recorded as a site, so that a VMM which knows the ABI can replace it. On the
 * bare machine, and under a VMM that does not patch, it is just the instruction.
 */
#ifndef MINNOW_SENSITIVE_H
#define MINNOW_SENSITIVE_H

#include <stdint.h>

#include "pv_abi.h"

#define PV_STR_(x) #x
#define PV_STR(x) PV_STR_(x)

/* NOPs of the recommended multi-byte forms (SDM vol. 2B, NOP): one instruction each. */
#define PV_NOP5 ".byte 0x0F, 0x1F, 0x44, 0x00, 0x00\n\t"
#define PV_NOP6 ".byte 0x66, 0x0F, 0x1F, 0x44, 0x00, 0x00\n\t"
#define PV_NOP7 ".byte 0x0F, 0x1F, 0x80, 0x00, 0x00, 0x00, 0x00\n\t"
#define PV_NOP8 ".byte 0x0F, 0x1F, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00\n\t"

/* The plain instruction, the NOP that makes it PV_SITE_LEN bytes, and the record. */
#define PV_SITE(op, instruction, nop)                                                              \
    "771:\n\t" instruction "\n\t" nop ".if . - 771b - " PV_STR(                                    \
        PV_SITE_LEN) "\n\t.error \"wrong site length\"\n\t.endif\n\t"                              \
                     ".pushsection .pv_sites, \"a\"\n\t"                                           \
                     ".long 771b\n\t.byte " PV_STR(PV_SITE_LEN) ", " PV_STR(op) "\n\t.short 0\n\t" \
                                                                                ".popsection\n\t"

static inline void cpu_cli(void)
{
    __asm__ volatile(PV_SITE(PV_OP_CLI, "cli", PV_NOP7) : : : "cc", "memory");
}

static inline void cpu_sti(void)
{
    __asm__ volatile(PV_SITE(PV_OP_STI, "sti", PV_NOP7) : : : "cc", "memory");
}

/* EFLAGS, with the IF that the kernel believes in. */
static inline uint32_t cpu_flags(void)
{
    uint32_t flags;
    __asm__ volatile(PV_SITE(PV_OP_PUSHF, "pushf\n\tpop %%eax", PV_NOP6)
                     : "=a"(flags)
                     :
                     : "cc", "memory");
    return flags;
}

static inline void cpu_set_flags(uint32_t flags)
{
    __asm__ volatile(PV_SITE(PV_OP_POPF, "push %%eax\n\tpopf", PV_NOP6)
                     : "+a"(flags)
                     :
                     : "cc", "memory");
}

static inline void cpu_hlt(void)
{
    __asm__ volatile(PV_SITE(PV_OP_HLT, "hlt", PV_NOP7) : : : "ecx", "cc", "memory");
}

/* Enable interrupts and wait for one, with no gap between the two. */
static inline void cpu_sti_hlt(void)
{
    __asm__ volatile(PV_SITE(PV_OP_STI_HLT, "sti\n\thlt", PV_NOP6) : : : "ecx", "cc", "memory");
}

#define PORT_IN(name, type, op, instruction, nop)                                                  \
    static inline type name(uint16_t port)                                                         \
    {                                                                                              \
        uint32_t value;                                                                            \
        __asm__ volatile(PV_SITE(op, instruction, nop)                                             \
                         : "=a"(value)                                                             \
                         : "d"((uint32_t)port)                                                     \
                         : "ecx", "cc", "memory");                                                 \
        return (type)value;                                                                        \
    }
PORT_IN(port_in8, uint8_t, PV_OP_IN8, "inb %%dx, %%al", PV_NOP7)
PORT_IN(port_in16, uint16_t, PV_OP_IN16, "inw %%dx, %%ax", PV_NOP6)
PORT_IN(port_in32, uint32_t, PV_OP_IN32, "inl %%dx, %%eax", PV_NOP7)
#undef PORT_IN

#define PORT_OUT(name, type, op, instruction, nop)                                                 \
    static inline void name(uint16_t port, type value)                                             \
    {                                                                                              \
        __asm__ volatile(PV_SITE(op, instruction, nop)                                             \
                         :                                                                         \
                         : "a"((uint32_t)value), "d"((uint32_t)port)                               \
                         : "ecx", "cc", "memory");                                                 \
    }
PORT_OUT(port_out8, uint8_t, PV_OP_OUT8, "outb %%al, %%dx", PV_NOP7)
PORT_OUT(port_out16, uint16_t, PV_OP_OUT16, "outw %%ax, %%dx", PV_NOP6)
PORT_OUT(port_out32, uint32_t, PV_OP_OUT32, "outl %%eax, %%dx", PV_NOP7)
#undef PORT_OUT

/* Read words 16-bit words from the port, one after the other. A page fault of the buffer is resumed
 * where it happened, so it may be any mapped or mappable memory. */
static inline void port_in16s(uint16_t port, void *buffer, uint32_t words)
{
    __asm__ volatile(PV_SITE(PV_OP_INSW, "rep insw", PV_NOP5)
                     : "+D"(buffer), "+c"(words)
                     : "d"((uint32_t)port)
                     : "cc", "memory");
}

static inline void port_out16s(uint16_t port, const void *buffer, uint32_t words)
{
    __asm__ volatile(PV_SITE(PV_OP_OUTSW, "rep outsw", PV_NOP5)
                     : "+S"(buffer), "+c"(words)
                     : "d"((uint32_t)port)
                     : "cc", "memory");
}

#define CONTROL_REGISTER(n, read_op, write_op)                                                     \
    static inline uint32_t cpu_read_cr##n(void)                                                    \
    {                                                                                              \
        uint32_t value;                                                                            \
        __asm__ volatile(PV_SITE(read_op, "mov %%cr" #n ", %%eax", PV_NOP5)                        \
                         : "=a"(value)                                                             \
                         :                                                                         \
                         : "ecx", "cc", "memory");                                                 \
        return value;                                                                              \
    }                                                                                              \
    static inline void cpu_write_cr##n(uint32_t value)                                             \
    {                                                                                              \
        __asm__ volatile(PV_SITE(write_op, "mov %%eax, %%cr" #n, PV_NOP5)                          \
                         : "+a"(value)                                                             \
                         :                                                                         \
                         : "ecx", "cc", "memory");                                                 \
    }
CONTROL_REGISTER(0, PV_OP_READ_CR0, PV_OP_WRITE_CR0)
CONTROL_REGISTER(3, PV_OP_READ_CR3, PV_OP_WRITE_CR3)
CONTROL_REGISTER(4, PV_OP_READ_CR4, PV_OP_WRITE_CR4)
#undef CONTROL_REGISTER

static inline uint32_t cpu_read_cr2(void)
{
    uint32_t value;
    __asm__ volatile(PV_SITE(PV_OP_READ_CR2, "mov %%cr2, %%eax", PV_NOP5)
                     : "=a"(value)
                     :
                     : "cc", "memory");
    return value;
}

static inline void cpu_invlpg(uint32_t va)
{
    __asm__ volatile(PV_SITE(PV_OP_INVLPG, "invlpg (%%eax)", PV_NOP5)
                     : "+a"(va)
                     :
                     : "ecx", "cc", "memory");
}

/* Write the page-table entry of va, which had no translation. */
static inline void cpu_set_pte(uint32_t *pte, uint32_t value, uint32_t va)
{
    __asm__ volatile(PV_SITE(PV_OP_SET_PTE, "mov %%eax, (%%edx)", PV_NOP6)
                     : "+a"(value), "+c"(va)
                     : "d"(pte)
                     : "cc", "memory");
}

/* Load CR3 without need for a flush: all that changed below it since its last load was flushed. */
static inline void cpu_switch_cr3(uint32_t value)
{
    __asm__ volatile(PV_SITE(PV_OP_SWITCH_CR3, "mov %%eax, %%cr3", PV_NOP5)
                     : "+a"(value)
                     :
                     : "ecx", "cc", "memory");
}

/* Tell that the tables below this value of CR3 are no longer in use, or have been changed without
 * flushing while another was loaded. */
static inline void cpu_drop_space(uint32_t value)
{
    __asm__ volatile(PV_SITE(PV_OP_DROP_SPACE, "", PV_NOP8)
                     : "+a"(value)
                     :
                     : "ecx", "cc", "memory");
}

/* Operand: 16-bit limit, 32-bit base (SDM vol. 2A, LGDT/LIDT). */
static inline void cpu_lgdt(const void *operand)
{
    __asm__ volatile(PV_SITE(PV_OP_LGDT, "lgdt (%%eax)", PV_NOP5)
                     :
                     : "a"(operand)
                     : "cc", "memory");
}

static inline void cpu_lidt(const void *operand)
{
    __asm__ volatile(PV_SITE(PV_OP_LIDT, "lidt (%%eax)", PV_NOP5)
                     :
                     : "a"(operand)
                     : "cc", "memory");
}

/* The descriptor becomes a busy TSS: "memory". */
static inline void cpu_ltr(uint16_t selector)
{
    __asm__ volatile(PV_SITE(PV_OP_LTR, "ltr %%ax", PV_NOP5)
                     :
                     : "a"((uint32_t)selector)
                     : "cc", "memory");
}

static inline void cpu_lldt(uint16_t selector)
{
    __asm__ volatile(PV_SITE(PV_OP_LLDT, "lldt %%ax", PV_NOP5)
                     :
                     : "a"((uint32_t)selector)
                     : "cc", "memory");
}

/* r[0..3] = EAX, EBX, ECX, EDX of the leaf (sub-leaf 0). */
static inline void cpu_cpuid(uint32_t leaf, uint32_t r[4])
{
    __asm__ volatile(PV_SITE(PV_OP_CPUID, "cpuid", PV_NOP6)
                     : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
                     : "a"(leaf), "c"(0)
                     : "cc", "memory");
}

#endif
