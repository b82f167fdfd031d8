/*
 * What the CPU offers (SDM vol. 3D appendix A), and what we make of it: the one place where control
 * bits are negotiated. Reading the MSRs and choosing are apart, so that choosing can be tested.
 */
#ifndef TRIVISOR_VMX_CAPABILITY_H
#define TRIVISOR_VMX_CAPABILITY_H

#include "types.h"

/* The five words of controls. */
enum vmx_word { WORD_PIN, WORD_CPU, WORD_CPU2, WORD_EXIT, WORD_ENTRY, WORD_COUNT };

/* The capability MSRs as they are. */
struct vmx_capabilities {
    uint64_t basic;               /* IA32_VMX_BASIC */
    uint64_t allowed[WORD_COUNT]; /* low half: bits that must be one; high half: may be one */
    uint64_t misc;                /* IA32_VMX_MISC */
    uint64_t ept_vpid;            /* IA32_VMX_EPT_VPID_CAP, 0 where there is none */
    uint32_t cr0_on, cr0_may;     /* CR0 bits that must be one; bits that may be one */
    uint32_t cr4_on, cr4_may;
    unsigned phys_bits;   /* width of a physical address */
    uint32_t efer_may;    /* EFER bits that may be one */
    uint64_t perf_global; /* IA32_PERF_GLOBAL_CTRL bits that may be one */
};

/* What we use. */
struct vmx_controls {
    uint32_t word[WORD_COUNT];
    uint32_t must[WORD_COUNT], may[WORD_COUNT]; /* what the CPU allows, for the checker */
    uint32_t revision;                          /* VMCS revision identifier */
    uint32_t cr0_on, cr0_may, cr4_on, cr4_may;  /* as in struct vmx_capabilities */
    uint32_t invept_type, invvpid_type;         /* the narrowest that the CPU has */
    unsigned timer_shift;                       /* the preemption timer counts TSC >> this */
    const char *no_ept;                         /* why there is no nested paging; NULL: there is */
    bool unrestricted; /* a guest may run with paging or protection off (needs EPT) */
    bool string_info;  /* exits tell the segment and address size of INS and OUTS */
};

/* Read the MSRs. Returns NULL, or one sentence: there is no VT-x, or it is off. Changes nothing. */
const char *vmx_capabilities_read(struct vmx_capabilities *cap);

/* Choose the controls. Returns NULL and fills *controls, or one sentence that says what this CPU
 * lacks for vtx mode. Pure. */
const char *vmx_negotiate(const struct vmx_capabilities *cap, struct vmx_controls *controls);

/* Do without EPT: shadow paging, which needs more exits and rules an unrestricted guest out. Pure.
 */
void vmx_without_ept(struct vmx_controls *controls);

/* Walk the controls that not every CPU has: is it there, is it used, and what the guest gets where
 * it is not used. */
void vmx_controls_walk(const struct vmx_controls *controls,
                       void (*tell)(const char *name, bool found, bool used,
                                    const char *consequence));

#endif
