/*
 * The canonical vCPU: the guest's architectural state, exactly as the guest believes it to be.
 *
 * Every mode (trap, para, vtx, svm) loads this state into its own machinery, runs the guest and
 * stores it back without loss. Nothing of a mode's machinery (shadow selectors, moved CS bases,
 * the real EFLAGS.IF) ever shows here.
 *
 * Who owns which field:
 *  - gpr, eip, eflags, int_shadow, halted: always current when a mode's run() has returned.
 *  - the rest: current after mode->sync(); common code calls vcpu_sync() before it reads them.
 *  - whoever changes a field outside the mode sets the matching DIRTY_ bit; the mode loads what
 *    is dirty before the next entry. gpr, eip, eflags and int_shadow need no bit.
 */
#ifndef TRIVISOR_VCPU_H
#define TRIVISOR_VCPU_H

#include "exit.h"
#include "types.h"

/* General registers in the hardware's encoding order (SDM vol. 2A table 2-2). */
enum gpr { GPR_EAX, GPR_ECX, GPR_EDX, GPR_EBX, GPR_ESP, GPR_EBP, GPR_ESI, GPR_EDI };

/* Segment registers in the hardware's encoding order, then the two system ones. */
enum sreg { SREG_ES, SREG_CS, SREG_SS, SREG_DS, SREG_FS, SREG_GS, SREG_LDTR, SREG_TR, SREG_COUNT };

/* A segment register with its hidden part. limit is in bytes (granularity already applied). */
struct segment {
    uint16_t selector;
    uint32_t attr; /* SEG_ bits of x86.h */
    uint32_t base;
    uint32_t limit;
};

struct table_reg {
    uint32_t base;
    uint16_t limit;
};

#define DIRTY_CR 0x01u    /* cr0, cr3, cr4 */
#define DIRTY_CR2 0x02u   /* cr2 */
#define DIRTY_SEG 0x04u   /* any of seg[] */
#define DIRTY_TABLE 0x08u /* gdtr, idtr */
#define DIRTY_DR 0x10u
#define DIRTY_MSR 0x20u
#define DIRTY_ALL 0x3Fu

#define SHADOW_STI 1u    /* the instruction after STI: no interrupt is taken yet */
#define SHADOW_MOV_SS 2u /* the instruction after MOV SS or POP SS */

struct vm;
struct vmm_mode;

struct vcpu {
    /* The world switches in assembly know where gpr is: vcpu.inc. */
    uint32_t gpr[8];
    uint32_t eip;
    uint32_t eflags;

    struct segment seg[SREG_COUNT];
    struct table_reg gdtr, idtr;
    uint32_t cr0, cr2, cr3, cr4;
    uint32_t dr[8];                                   /* dr[4], dr[5] unused */
    uint32_t sysenter_cs, sysenter_esp, sysenter_eip; /* stored for the guest */
    uint64_t pat, apic_base;
    uint64_t tsc_offset; /* guest TSC = host TSC + tsc_offset */

    uint8_t int_shadow; /* SHADOW_ bits */
    bool halted;        /* in HLT, waiting for an interrupt */
    bool iterated;      /* single-stepping, and an iteration of REP INS or OUTS was completed that
                         * left EIP where it was: #DB is due (SDM vol. 3B section 17.3.1.4) */
    bool step_due;      /* single-stepping, and the VMM executed the instruction: #DB is next. A
                         * mode that can tell by other means does so only when it is left. */
    uint32_t dirty;     /* DIRTY_ bits */

    /* An event that a mode has accepted by inject() and delivers at the next entry; also one
     * whose delivery was cut short by an exit and that must be tried again. */
    struct event pending;

    struct vm *vm;
    const struct vmm_mode *mode;
    void *backend; /* the mode's own state, between attach() and detach() */

    uint64_t exit_count[EXIT_REASON_COUNT];
    uint64_t exit_ticks[EXIT_REASON_COUNT]; /* host TSC ticks from exit to the next entry */
};

/* The guest's current privilege level as the guest believes it (SDM vol. 3A section 5.5). */
static inline unsigned vcpu_cpl(const struct vcpu *vcpu)
{
    return (vcpu->seg[SREG_SS].attr >> 5) & 3;
}

#endif
