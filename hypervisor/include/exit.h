/*
 * Normalised exits: why a mode's run() came back. One list for all modes; the names appear in
 * statistics, traces and the report.
 */
#ifndef TRIVISOR_EXIT_H
#define TRIVISOR_EXIT_H

#include "types.h"

/* X(identifier, name in reports, what it means). The single source of the list. */
#define EXIT_REASONS(X)                                                                            \
    X(NONE, "none", "nothing to do: enter again")                                                  \
    X(IO, "io", "IN, OUT, INS or OUTS on an emulated port")                                        \
    X(HLT, "hlt", "HLT")                                                                           \
    X(CPUID, "cpuid", "CPUID")                                                                     \
    X(CR, "cr", "access to a control register")                                                    \
    X(DR, "dr", "access to a debug register")                                                      \
    X(MSR, "msr", "RDMSR or WRMSR")                                                                \
    X(INVLPG, "invlpg", "INVLPG")                                                                  \
    X(CACHE, "cache", "INVD or WBINVD")                                                            \
    X(TSC, "tsc", "RDTSC while CR4.TSD or an offset makes it trap")                                \
    X(HYPERCALL, "hypercall", "the guest asked the VMM for a service")                             \
    X(PV_IRET, "pv-iret", "the return-from-interrupt hypercall")                                   \
    X(FLAGS, "flags", "CLI, STI, PUSHF or POPF (software modes)")                                  \
    X(SEGMENT, "segment", "segment register access or far transfer (software modes)")              \
    X(DESCRIPTOR, "descriptor", "LGDT SGDT LIDT SIDT LLDT SLDT LTR STR SMSW LAR LSL VERR VERW")    \
    X(IRET, "iret", "IRET (software modes)")                                                       \
    X(SOFT_INT, "soft-int", "INT n, INT3 or INTO of the guest (software modes)")                   \
    X(EXCEPTION, "exception", "an exception of the guest, passed on to the guest")                 \
    X(SHADOW_FILL, "shadow-fill", "a shadow page-table entry was missing")                         \
    X(NESTED_FAULT, "nested-fault", "access to a place where the guest has no memory")             \
    X(NESTED_FILL, "nested-fill", "a nested page-table entry was missing, and is there now")       \
    X(SCAN, "scan", "control reached code that was not scanned yet")                               \
    X(WINDOW, "window", "the code window moved or a window page was mapped")                       \
    X(TRACED_WRITE, "traced-write", "a write to a page that the VMM watches")                      \
    X(STEP, "step", "a single step: the guest's own, or the VMM's")                                \
    X(BREAKPOINT, "breakpoint", "INT3 that the monitor has put there")                             \
    X(HOLE_WRITE, "hole-write", "a write where the guest has no memory (software modes)")          \
    X(MMIO, "mmio", "access to device memory")                                                     \
    X(IRQ_WINDOW, "irq-window", "the guest can take an interrupt now")                             \
    X(HOST_IRQ, "host-irq", "a device of the host interrupted")                                    \
    X(TRIPLE_FAULT, "triple-fault", "the guest shut its CPU down by a triple fault")               \
    X(KILL, "kill", "the guest broke a rule; kill_reason says which")                              \
    X(ENTRY_FAILED, "entry-failed", "the hardware refused to enter the guest")

enum exit_reason {
#define X(id, name, what) EXIT_##id,
    EXIT_REASONS(X)
#undef X
        EXIT_REASON_COUNT
};

/* The report name of a reason ("io", "hlt", ...). */
const char *exit_reason_name(enum exit_reason reason);

/* An exception or interrupt on its way to the guest (SDM vol. 3A section 6.3). */
enum event_kind { EVENT_NONE, EVENT_IRQ, EVENT_NMI, EVENT_EXCEPTION, EVENT_SOFT_INT };

struct event {
    enum event_kind kind;
    uint8_t vector;
    bool has_error;
    uint32_t error;
    uint32_t cr2; /* for #PF: the faulting address, loaded into the guest's CR2 on delivery */
};

struct exit {
    enum exit_reason reason;
    /* Length of the instruction that caused the exit. After common code has handled the exit it
     * advances EIP by this much, in one place (exit_advance); 0 where nothing is skipped. */
    uint8_t insn_len;
    /* With EXIT_NONE: enum exit_reason of an exit that the mode has finished and counted. */
    uint8_t done;
    union {
        struct {
            uint16_t port;
            uint8_t size; /* bytes: 1, 2, 4 */
            bool in;      /* IN or INS */
            bool string;  /* INS or OUTS */
            bool rep;
            uint8_t addr_size; /* bytes, for string forms: width of ESI/EDI/ECX used */
            uint8_t segment;   /* enum sreg, source segment of OUTS */
        } io;
        struct {
            uint8_t number; /* 0 2 3 4; for EXIT_DR 0..7 */
            bool write;     /* MOV to CR; CLTS and LMSW arrive as a write of CR0 */
            bool has_value; /* value holds what is to be written (CLTS, LMSW) */
            uint8_t gpr;    /* the other operand, when !has_value */
            uint32_t value;
        } cr;
        struct {
            bool write;
        } msr; /* number in ECX */
        struct {
            gva_t gva;
        } invlpg;
        struct {
            gpa_t gpa;
            gva_t gva;
            uint32_t error; /* PF_ bits */
        } fault;            /* EXIT_NESTED_FAULT, EXIT_MMIO */
        struct {
            struct event event;
        } exception;
        struct {
            const char *reason; /* one sentence for the person at the console */
        } kill;                 /* EXIT_KILL, EXIT_ENTRY_FAILED */
    };
};

/* The guest broke a rule: reason is one sentence for the person at the console. */
static inline void exit_kill(struct exit *exit, const char *reason)
{
    exit->reason = EXIT_KILL;
    exit->kill.reason = reason;
}

#endif
