/*
 * Private to the checks of VM entry (SDM vol. 3C chapter 26): reading the VMCS that is checked.
 * Rules about 64-bit guests and hosts are left out, where this VMM's 32-bit VMREAD and VMWRITE
 * cannot even reach the fields (the high halves of natural-width ones); so are the rules of SMM,
 * enclaves, processor trace and VM functions.
 */
#ifndef TRIVISOR_VMX_CHECK_H
#define TRIVISOR_VMX_CHECK_H

#include "rules.h"
#include "vmx.h"
#include "x86.h"

static inline uint32_t get(const struct vmx_entry *e, enum vmcs_field field)
{
    return e->get(field);
}

static inline uint64_t get64(const struct vmx_entry *e, enum vmcs_field field)
{
    return (uint64_t)e->get((enum vmcs_field)(field + 1)) << 32 | e->get(field);
}

/* May the control be one on this CPU? Where it may not, its fields may not exist either. */
static inline bool offered(const struct vmx_entry *e, enum vmx_word word, uint32_t bit)
{
    return e->cpu->allowed[word] >> 32 & bit;
}

/* A word of controls; without the secondary ones the CPU acts as if they were 0. */
static inline uint32_t word(const struct vmx_entry *e, enum vmx_word word)
{
    static const enum vmcs_field fields[WORD_COUNT] = {VMCS_PIN_CONTROLS, VMCS_CPU_CONTROLS,
                                                       VMCS_CPU_CONTROLS2, VMCS_EXIT_CONTROLS,
                                                       VMCS_ENTRY_CONTROLS};
    if (word == WORD_CPU2 &&
        (!offered(e, WORD_CPU, CPU_SECONDARY) || !(e->get(VMCS_CPU_CONTROLS) & CPU_SECONDARY)))
        return 0;
    return e->get(fields[word]);
}

/* Is any of these controls in effect? */
static inline bool on(const struct vmx_entry *e, enum vmx_word w, uint32_t bits)
{
    return (word(e, w) & bits & (uint32_t)(e->cpu->allowed[w] >> 32)) != 0;
}

static inline bool unrestricted(const struct vmx_entry *e)
{
    return on(e, WORD_CPU2, CPU2_UNRESTRICTED);
}

static inline bool fixed_bits(uint32_t value, uint32_t ones, uint32_t may)
{
    return (value & ones) == ones && !(value & ~may);
}

/* Does an event of that type enter the guest? */
static inline bool injects(const struct vmx_entry *e, enum info_type type)
{
    const uint32_t event = get(e, VMCS_ENTRY_EVENT);
    return (event & INFO_VALID) && INFO_TYPE(event) == type;
}

/* Bits of a physical address in a field of the VMCS; bit 48 of IA32_VMX_BASIC says 32 (vol. 3D
 * section A.1). */
static inline bool beyond_memory(const struct vmx_entry *e, uint64_t hpa)
{
    return hpa >> (e->cpu->basic & 1ull << 48 ? 32 : e->cpu->phys_bits) != 0;
}

/* check_state.c: eight memory types, each 0, 1, 4, 5, 6 or 7 (vol. 3A section 11.12.2). */
bool vmx_valid_pat(uint64_t pat);

/* check_segments.c: section 26.3.1.2. */
void vmx_check_segments(struct vmx_entry *e);

#endif
