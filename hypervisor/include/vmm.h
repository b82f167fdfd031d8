/*
 * Services of the VMM proper to the modes: memory, console, time, host interrupts, panic.
 */
#ifndef TRIVISOR_VMM_H
#define TRIVISOR_VMM_H

#include <stdarg.h>

#include "layout.h"
#include "types.h"

/* Host memory. All of it is below DIRECT_MAP_SIZE. */
static inline void *hpa_to_ptr(hpa_t hpa)
{
    return (void *)(uintptr_t)(hpa + VMM_BASE);
}
static inline hpa_t ptr_to_hpa(const void *p)
{
    return (hpa_t)(uintptr_t)p - VMM_BASE;
}

/* One zeroed 4 KB page from the VMM's pool, or NULL when the pool is empty. */
void *page_alloc(void);
/* n contiguous zeroed pages aligned to `align` bytes (power of two >= 4096), or NULL. */
void *pages_alloc(uint32_t n, uint32_t align);
void page_free(void *page);
void pages_free(void *first, uint32_t n);
uint32_t pages_available(void);

/* The VMM's own page-table root: hpa of a PAE page-directory-pointer table. */
hpa_t host_cr3(void);
/* The page-directory entry (2 MB slot) of the VMM's part of every root, for gva >= VMM_BASE. */
uint64_t host_pde(gva_t gva);

/* Console for people (COM1 and nothing else while a guest owns the screen). kprintf knows
 * %d %u %x %08x %s %c %p %llu %llx. */
void kprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int ksnprintf(char *buf, unsigned size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int kvsnprintf(char *buf, unsigned size, const char *fmt, va_list ap);

/* Records for programs: one JSON object a line on COM2. */
void record(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A VMM mistake: print registers, backtrace and the last exits, then stop the machine. */
void panic(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
#define ASSERT(cond)                                                                               \
    do {                                                                                           \
        if (!(cond))                                                                               \
            panic("%s:%d: assertion failed: %s", __FILE__, __LINE__, #cond);                       \
    } while (0)

/* Is `word` present on the VMM's command line? */
bool option_present(const char *options, const char *word);
/* Copies the value of key into buf; returns false when the key is absent. */
bool option_value(const char *options, const char *key, char *buf, unsigned size);
/* A switch, "key=on" or "key=off": sets *on, and leaves it alone when the key is absent. Returns
 * NULL, or a sentence when the value is neither. */
const char *option_switch(const char *options, const char *key, bool *on);

/* Time. */
uint64_t host_tsc(void);
extern uint64_t host_tsc_hz; /* measured at boot against the PIT */

/* Guest time 0 in TSC ticks, and guest time in ns at a value of the TSC since then. */
uint64_t host_tsc_zero(void);
uint64_t host_tsc_to_ns(uint64_t tsc);

/*
 * Let host interrupts that are waiting run their handlers (STI; NOP; CLI). For modes that leave
 * the guest with the interrupt still pending (SVM, VMX without acknowledge-on-exit).
 */
void host_irq_poll(void);

/*
 * The host's selectors. They sit at the very end of a GDT of full size, so that a shadow GDT can
 * hold the guest's descriptors at the guest's own numbers and the host's beside them.
 * HOST_SEG(sreg): a private descriptor per guest segment register (software modes).
 */
#define HOST_GDT_LIMIT 0xFFFFu
#define HOST_CS 0xFFE0u
#define HOST_DS 0xFFE8u
#define HOST_TR 0xFFF0u
#define HOST_SEG_FIRST 0xFFA0u
#define HOST_SEG(sreg) (HOST_SEG_FIRST + 8u * (sreg))
#define HOST_SELECTORS 0xFFA0u /* the guest's own selectors must be below this */

/* The host's GDT (8192 entries) and TSS. */
extern uint64_t host_gdt[8192];
struct host_tss {
    uint32_t link, esp0, ss0, rest[22];
    uint16_t trap, io_map; /* io_map beyond the limit: no port is open to CPL 3 */
};
extern struct host_tss host_tss;

/* Frame that the host's entry stubs build for a trap taken in the VMM itself. */
struct host_frame {
    uint32_t es, ds, edi, esi, ebp, esp_unused, ebx, edx, ecx, eax;
    uint32_t vector, error, eip, cs, eflags;
};

/*
 * Where the stubs jump for a trap or interrupt taken at CPL 3, that is by a guest of a software
 * mode: with the stack holding vector, error, EIP, CS, EFLAGS, ESP, SS. Set by that mode.
 */
extern void (*host_user_trap)(void);

/* The vector that host_user_trap finds when a guest is in virtual-8086 mode: no CPU uses it (SDM
 * vol. 3A table 6-1). */
#define HOST_TRAP_V86 15

/*
 * The instructions of the VMM that may fault because of a guest: segment loads and IRET of the
 * software modes' entry (a CS limit below EIP, for instance), and what their short ways read and
 * write of the guest's memory. A fault from `from` up to `end` continues at `to`; with report, the
 * vector is in EAX then and the error code in EDX.
 */
struct host_fixup {
    uint32_t from, end, to;
    bool report;
};
#define HOST_FIXUPS 3
extern struct host_fixup host_fixups[HOST_FIXUPS];

/* Run the handler of host interrupt vector (HOST_IRQ_BASE..+15): for a mode that took it itself. */
#define HOST_IRQ_BASE 0x20u
void host_irq_handle(unsigned vector);

/* Make the gate of a vector reachable from CPL 3 (on) or not (off). */
void host_gate_user(unsigned vector, bool on);
/* Let a stub of a mode have a vector, for traps of CPL 3 (user: INT n reaches it, too). A trap of
 * the VMM itself it must pass on to trap_common, as the usual stub does. And the end of that. */
void host_gate_take(unsigned vector, void (*stub)(void), bool user);
void host_gate_give_back(unsigned vector);
/* Let stubs[vector] run before the stub of each vector, at which it goes on by host_gate_next[]: it
 * leaves all as it finds it. NULL: no longer. */
void host_gates_wrap(const uint32_t stubs[256]);
extern uint32_t host_gate_next[256];

/* Something of the host (timer, key, serial byte) waits for the vCPU loop. */
extern volatile bool host_work;

#endif
