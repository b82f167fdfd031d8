/*
 * Services of the VMM proper to the modes: memory, console, time, host interrupts, panic.
 */
#ifndef TRIVISOR_VMM_H
#define TRIVISOR_VMM_H

#include <stdarg.h>

#include "layout.h"
#include "types.h"

/* Host memory. All of it is below DIRECT_MAP_SIZE. */
static inline void *hpa_to_ptr(hpa_t hpa) { return (void *)(uintptr_t)(hpa + VMM_BASE); }
static inline hpa_t ptr_to_hpa(const void *p) { return (hpa_t)(uintptr_t)p - VMM_BASE; }

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
int ksnprintf(char *buf, unsigned size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
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

/* Is `word` (like "umip=on") present on the VMM's command line? value of "key=value" or NULL. */
bool option_present(const char *options, const char *word);
/* Copies the value of key into buf; returns false when the key is absent. */
bool option_value(const char *options, const char *key, char *buf, unsigned size);

/* Time. */
uint64_t host_tsc(void);
extern uint64_t host_tsc_hz; /* measured at boot against the PIT */

/*
 * Let host interrupts that are waiting run their handlers (STI; NOP; CLI). For modes that leave
 * the guest with the interrupt still pending (SVM, VMX without acknowledge-on-exit).
 */
void host_irq_poll(void);

/* The host's selectors: flat code, flat data, and the TSS; and the GDT and IDT (linear). */
#define HOST_CS 0x08
#define HOST_DS 0x10
#define HOST_TR 0x18

#endif
