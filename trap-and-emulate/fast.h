/*
 * The short ways of the deprivileged engine: what a guest does most often, done in the trap stubs
 * themselves, a few dozen instructions each, without saving the guest's registers.
 *
 *   CLI STI PUSHF POPF of the guest kernel     at addresses that the slow way has decoded before,
 *   MOV from CRn, undefined instructions       as all instructions below; operands of 32 bits
 *   INT n and exceptions, to the guest kernel  through gates that the slow way has used before
 *   IRET of the guest kernel                   to itself or to the guest's programs
 *   IN and OUT, but for INS and OUTS           the device is C; no register is saved for it
 *   MOV to CR0 (MP EM TS), CR2, CR3; CLTS,     C on the vCPU's registers, but without its loop
 *   RDMSR WRMSR INVLPG CPUID, and RDTSC
 *   where it traps
 *   page faults: shadow fills, the guest's     C, likewise
 *
 * The slow way (engine.c, classify.c, the general emulator) is right in all cases; a short way
 * handles one case that it can recognise with a few comparisons, and leaves all others. It keeps
 * copies of what the guest has in tables: whoever changes or moves a table calls the functions
 * below. Gates are compared with the guest's own IDT at each use.
 *
 * While a short way is open the vCPU's CS and SS are not kept up to date: sw_fast_collect() does
 * that when the slow way is taken.
 */
#ifndef TRIVISOR_FAST_H
#define TRIVISOR_FAST_H

#include "vcpu.h"
#include "x86.h"

enum fast_level {
    FAST_OFF,
    FAST_KERNEL,
    FAST_USER
}; /* what runs: nobody that a short way may
      serve, the guest's kernel, a program */

struct fast_gate {
    const uint32_t *entry; /* in the guest's IDT */
    uint32_t low, high;    /* what it held when it was learned */
    uint32_t eip;          /* of the guest's handler */
    uint32_t set_flags;    /* in the saved EFLAGS: RF for faults */
    uint32_t keep_flags;   /* of the vCPU's EFLAGS: all, or all but IF */
    uint32_t *counter;
    uint32_t listed; /* in sw_fast.listed */
};

#define GATE_NOT_LEARNED 1u /* low of a gate that is not in use: no gate looks like this */

struct fast_site {
    uint32_t eip; /* that the trap reports */
    void (*handler)(void);
    uint32_t next; /* the instruction's end */
    uint32_t arg;  /* for the handler: the struct insn; the vCPU's CRn; the port */
};

#define FAST_SITES 1024

struct __attribute__((packed)) fast_gdtr {
    uint16_t limit;
    uint32_t base;
    uint16_t unused;
};

/* The stubs know where everything is: fast.inc. */
struct sw_fast {
    uint32_t level;     /* enum fast_level */
    uint32_t irq_waits; /* an interrupt waits until the guest can take it */
    uint32_t crossed;   /* a short way has changed the level: CS and SS of the vCPU are old */
    uint32_t kernel_cr3, user_cr3;
    struct fast_gdtr kernel_gdtr, user_gdtr;
    uint32_t kernel_cs_real, kernel_ss_real;
    uint32_t kernel_cs, user_cs, user_ss; /* as the guest knows them */
    uint32_t user_data[4];                /* DS ES FS GS with which a program may run */
    const uint32_t *tss;                  /* ESP0 and SS0 in the guest's TSS */
    uint32_t ss0;                         /* what SS0 must be */
    uint32_t user_flags;                  /* of the running program: the vCPU's part of EFLAGS */
    uint32_t pf_error;                    /* of a page fault that goes to the guest */
    uint32_t count_flags, count_iret, count_soft_int, count_exception, count_fill, count_cr;
    uint32_t cold;    /* where the kernel's stack had no shadow, | 1; 0: nowhere */
    uint8_t handled;  /* the exit that lean code has finished (enum exit_reason): none is left to
                       * classify */
    uint32_t *flags;  /* sw->kernel_flags */
    uint32_t iret_cs; /* kernel_cs, when IRET of the kernel to itself may go the short way */

    /* From here on only C looks. */
    struct sw *sw; /* whose state this is */
    bool have_kernel, have_user;

    struct fast_gate gate[256] __attribute__((aligned(128)));
    struct fast_site bp_site[FAST_SITES], gp_site[FAST_SITES];
    uint32_t listed_count;
    uint8_t listed[256];                       /* vectors whose gates were learned at any time */
    struct segment kernel_seg[2], user_seg[2]; /* CS and SS that belong to the levels */
    gva_t table_gva[3];                        /* pages of the guest's IDT (two) and TSS */
    gpa_t table_gpa[3];
    bool table_global[3];
};
extern struct sw_fast sw_fast;

struct sw;
struct insn;

/* The slow way loaded this vCPU's state for the kernel or a program (sw->user). */
void sw_fast_loaded(struct sw *sw);
/* Before an entry, immediately before it, and after the exit. */
void sw_fast_warm(struct sw *sw);
void sw_fast_open(struct sw *sw);
void sw_fast_collect(struct sw *sw);
/* The slow way decoded an instruction of the guest kernel that traps (true: it has a short way), or
 * found one undefined; it delivered an event. */
bool sw_fast_learn_site(struct sw *sw, const struct insn *insn, gva_t pc);
void sw_fast_learn_undefined(struct sw *sw, gva_t pc);
void sw_fast_learn_gate(struct sw *sw, unsigned vector, bool soft);
/* Code on that page changed; tables were loaded; translations changed; all is over. */
void sw_fast_forget_site(gva_t pc);
void sw_fast_forget_sites(gva_t page);
void sw_fast_forget_tables(void);
void sw_fast_forget_levels(void); /* a new GDT */
void sw_fast_translations_changed(struct sw *sw, bool global_too);
void sw_fast_translation_changed(struct sw *sw, gva_t gva);
/* Is a table of the short ways in the 4 MB around gva? */
static inline bool sw_fast_table_near(gva_t gva)
{
    return (sw_fast.table_gva[0] ^ gva) >> LARGE_SHIFT == 0 ||
           (sw_fast.table_gva[1] ^ gva) >> LARGE_SHIFT == 0 ||
           (sw_fast.table_gva[2] ^ gva) >> LARGE_SHIFT == 0;
}
void sw_fast_close(struct sw *sw);
/* Add the short ways' counts to the vCPU's. */
void sw_fast_count(struct sw *sw);

#endif
