/*
 * The prober of the instruction set: a bare-metal program that executes every instruction that may
 * touch the machine's state, at each privilege level and from many machine states, and writes down
 * what happened. It judges nothing: tools/probe/derive.c does, from the records alone.
 *
 * One experiment is a form (catalogue.c), a configuration of the processor, a privilege level and a
 * state. The states of one configuration are equal but for one resource (states.c).
 *
 * The program under test is three pages at PROGRAM: code, data, stack. Its instruction stands at
 * CODE_AT, followed by INT VEC_STOP; another INT VEC_STOP is the target of far transfers, LAND_AT.
 */
#ifndef PROBE_H
#define PROBE_H

#include "types.h"

#define PROGRAM 0x40000000u
#define CODE_AT (PROGRAM + 0x100)
#define LAND_AT (PROGRAM + 0x200)
#define DATA_AT (PROGRAM + 0x1000)
#define STACK_AT (PROGRAM + 0x2F00)
#define STACK_END (PROGRAM + 0x3000)
#define PAGES 3
#define WORDS 32                                  /* of the data page are looked at */
#define DATA_WORD(offset) (0xDA7A0000 | (offset)) /* what they hold */

#define VEC_TIMER 0x20
#define VEC_CLOSED 0x40 /* a gate of DPL 0 */
#define VEC_STOP 0x41   /* DPL 3: the end of an experiment */
#define VEC_OPEN 0x42   /* DPL 3: what INT n is tried with */
#define VEC_SYSENTER 0x100
#define VECTORS 0x48

/* Selectors. Level n has code at SEL_CODE(n), data at SEL_STACK(n). SYSENTER and SYSEXIT want the
 * first four in this order (SDM vol. 2B). */
#define SEL_CODE0 0x08
#define SEL_DATA0 0x10
#define SEL_CODE3 0x18
#define SEL_DATA3 0x20
#define SEL_CODE1 0x28
#define SEL_DATA1 0x30
#define SEL_CODE2 0x38
#define SEL_DATA2 0x40
#define SEL_TSS_A 0x48
#define SEL_TSS_B 0x50
#define SEL_TSS_C 0x58
#define SEL_LDT_A 0x60
#define SEL_LDT_B 0x68
#define SEL_LDT_C 0x70
#define SEL_CONFORMING 0x78 /* code of DPL 0 that every level may run at its own level */
#define SEL_TRIED 0x80      /* the data segment whose descriptor the states change */
#define SEL_GATE 0x88       /* a call gate of DPL 3 into level 0 */
#define GDT_ENTRIES 18

#define PORT_SCRATCH 0x2FF /* the scratch register of COM2's UART */
#define PORT_PIC 0xA1 /* the mask of the second PIC; the first lets none of its lines through */

/* EFLAGS that belong to the machine, not to the program: IF, IOPL, VM, VIF, VIP. */
#define MACHINE_FLAGS 0x001A3200u
#define FLAG_RF 0x00010000u
#define FLAG_IF 0x200u

/* --- states: equal to the first but for what the name says; a "setting" is a resource that also
 * tells configurations apart --- */
#define STATES(S)                                                                                  \
    S(BASE, "base", "base")                                                                        \
    S(TIME, "time", "time")                                                                        \
    S(IF, "EFLAGS.IF", "resource")                                                                 \
    S(IOPL, "EFLAGS.IOPL", "setting")                                                              \
    S(CR0_TS, "CR0.TS", "resource")                                                                \
    S(CR0_MP, "CR0.MP", "resource")                                                                \
    S(CR0_NE, "CR0.NE", "resource")                                                                \
    S(CR2, "CR2", "resource")                                                                      \
    S(CR3, "CR3", "resource")                                                                      \
    S(LOCATION, "location", "location")                                                            \
    S(CR4_DE, "CR4.DE", "resource")                                                                \
    S(CR4_OSXSAVE, "CR4.OSXSAVE", "resource")                                                      \
    S(DR0, "DR0", "resource")                                                                      \
    S(DR7, "DR7", "resource")                                                                      \
    S(GDTR, "GDTR", "resource")                                                                    \
    S(IDTR, "IDTR", "resource")                                                                    \
    S(LDTR, "LDTR", "resource")                                                                    \
    S(TR, "TR", "resource")                                                                        \
    S(MSR, "MSR SYSENTER_ESP", "resource")                                                         \
    S(TSC_AUX, "MSR TSC_AUX", "resource")                                                          \
    S(XCR0, "XCR0", "resource")                                                                    \
    S(DESC_BASE, "descriptor's base", "resource")                                                  \
    S(DESC_LIMIT, "descriptor's limit", "resource")                                                \
    S(DESC_TYPE, "descriptor's type", "resource")                                                  \
    S(DESC_DPL, "descriptor's DPL", "resource")                                                    \
    S(PORT, "I/O port", "resource")

#define STATE_ID(id, name, kind) ST_##id,
enum state { STATES(STATE_ID) STATE_COUNT };

/* --- configurations: what a VMM may choose once, for the whole machine --- */
struct config {
    const char *name;
    bool iopl3;
    uint32_t cr4; /* bits set besides the usual ones */
};
#define CR4_VME 0x001u
#define CR4_PVI 0x002u
#define CR4_TSD 0x004u
#define CR4_DE 0x008u
#define CR4_PSE 0x010u
#define CR4_PCE 0x100u
#define CR4_UMIP 0x800u
#define CR4_OSXSAVE 0x40000u

/* --- forms --- */
enum value_of {
    V_NUMBER,   /* flip alone */
    V_RPL,      /* a selector with the level of the experiment as RPL */
    V_FLAGS,    /* EFLAGS of the experiment */
    V_STACK,    /* its ESP */
    V_STACKSEL, /* its SS */
    V_CR0,
    V_CR2,
    V_CR3,
    V_CR4,
    V_DR7,
    V_XCR0,
    V_GDTR0, /* GDTR's operand, the first and the second word of it */
    V_GDTR1,
    V_IDTR0,
    V_IDTR1,
    V_LDTR,
};
struct value {
    uint8_t of;
    uint32_t flip; /* exclusive-or with what the register held */
};

#define FORM_WAITS 1u /* stops the processor until an interrupt */

struct form {
    const char *name, *variant;
    uint8_t len, bytes[8];
    struct value eax, ecx, edx, mem[2], stack[5];
    uint8_t how;
};
extern const struct form forms[];
extern const unsigned form_count;

/* --- start.asm --- */
struct launch { /* offsets are known there */
    uint32_t eax, ecx, edx, ebx, esi, edi, ebp, esp, eflags, cs, ss, ds, eip;
};
struct arrival {
    uint32_t at; /* of what follows, on the stack */
    uint32_t ss;
    struct {
        uint32_t word, selector;
    } seg[4]; /* GS, FS, ES, DS; word: what it sees at a fixed offset */
    uint32_t edi, esi, ebp, unused, ebx, edx, ecx, eax;
    uint32_t vector, error, eip, cs, eflags, outer_esp, outer_ss;
};
extern struct launch launched;
extern struct arrival arrived;
extern volatile uint32_t timer_ticks;
extern const uint32_t stub_table[VECTORS];
extern uint8_t trap_stack_top[];
void launch(void);
void sysenter_landing(void);
void timer_landing(void);

/* --- machine.c: all of the machine's state that an experiment may change --- */
enum reg {
    R_CR0,
    R_CR2,
    R_CR3,
    R_CR4,
    R_DR0,
    R_DR7,
    R_GDTR_BASE,
    R_GDTR_LIMIT,
    R_IDTR_BASE,
    R_IDTR_LIMIT,
    R_LDTR,
    R_TR,
    R_MSR_CS,
    R_MSR_ESP,
    R_MSR_EIP,
    R_TSC_AUX,
    R_XCR0,
    R_PORT,
    R_PIC,
    R_COUNT
};
extern const char *const reg_names[R_COUNT];
struct machine {
    uint32_t reg[R_COUNT];
    uint32_t gdt[GDT_ENTRIES * 2]; /* of the table that GDTR points to */
};
struct cpu_has {
    bool vme, de, tsc, msr, sep, xsave, rdtscp, umip, pce;
};
extern struct cpu_has cpu_has;
void machine_init(void);
void machine_read(struct machine *m);
/* Everything as states.c says: tables, registers, the program's pages. */
void machine_set(enum state state, const struct config *config);
/* The program's pages, by the frames that the state's page tables name. */
uint8_t *program_page(enum state state, unsigned page);
/* The timer runs, once, so that a halted processor goes on. */
void timer_arm(bool on);

/* --- run.c --- */
#define OUTCOME_MAX 700
/* Execute one; false: it was not, because it would not end. out: JSON, an object. */
bool run_one(const struct form *form, const struct config *config, unsigned level, enum state state,
             char out[OUTCOME_MAX]);

#endif
