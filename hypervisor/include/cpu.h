/* The host CPU's instructions that C cannot say. Freestanding code only. */
#ifndef TRIVISOR_CPU_H
#define TRIVISOR_CPU_H

#include "types.h"

static inline void outb(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static inline void outsw(uint16_t port, const void *from, uint32_t words)
{
    __asm__ volatile("cld; rep outsw" : "+S"(from), "+c"(words) : "d"(port) : "memory");
}

static inline void outsb(uint16_t port, const void *from, uint32_t bytes)
{
    __asm__ volatile("cld; rep outsb" : "+S"(from), "+c"(bytes) : "d"(port) : "memory");
}

static inline void insw(uint16_t port, void *to, uint32_t words)
{
    __asm__ volatile("cld; rep insw" : "+D"(to), "+c"(words) : "d"(port) : "memory");
}

static inline uint64_t rdtsc(void)
{
    uint64_t t;
    __asm__ volatile("rdtsc" : "=A"(t));
    return t;
}

static inline uint64_t rdmsr(uint32_t msr)
{
    uint64_t v;
    __asm__ volatile("rdmsr" : "=A"(v) : "c"(msr));
    return v;
}

static inline void wrmsr(uint32_t msr, uint64_t v)
{
    __asm__ volatile("wrmsr" : : "A"(v), "c"(msr));
}

static inline void cpuid(uint32_t leaf, uint32_t out[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                     : "a"(leaf), "c"(0));
}

#define CPU_CR(n)                                                                                  \
    static inline uint32_t read_cr##n(void)                                                        \
    {                                                                                              \
        uint32_t v;                                                                                \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v));                                          \
        return v;                                                                                  \
    }                                                                                              \
    static inline void write_cr##n(uint32_t v)                                                     \
    {                                                                                              \
        __asm__ volatile("mov %0, %%cr" #n : : "r"(v) : "memory");                                 \
    }
CPU_CR(0)
CPU_CR(2)
CPU_CR(3)
CPU_CR(4)
#undef CPU_CR

static inline uint32_t read_dr6(void)
{
    uint32_t v;
    __asm__ volatile("mov %%dr6, %0" : "=r"(v));
    return v;
}

static inline void write_dr7(uint32_t v)
{
    __asm__ volatile("mov %0, %%dr7" : : "r"(v));
}

static inline void write_dr6(uint32_t v)
{
    __asm__ volatile("mov %0, %%dr6" : : "r"(v));
}

static inline void invlpg(gva_t linear)
{
    __asm__ volatile("invlpg (%0)" : : "r"(linear) : "memory");
}

/* The operand of LGDT, LIDT, SGDT, SIDT (SDM vol. 3A section 3.5.1). */
struct __attribute__((packed)) table_operand {
    uint16_t limit;
    uint32_t base;
};

static inline void lgdt(uint32_t base, uint16_t limit)
{
    struct table_operand t = {limit, base};
    __asm__ volatile("lgdt %0" : : "m"(t));
}

static inline void lidt(uint32_t base, uint16_t limit)
{
    struct table_operand t = {limit, base};
    __asm__ volatile("lidt %0" : : "m"(t));
}

#endif
