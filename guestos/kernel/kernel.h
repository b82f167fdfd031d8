/*
 * What the kernel's parts offer to each other, in reading order (see guestos/READING-ORDER.md).
 *
 * Two rules hold throughout. The kernel runs with interrupts off, except in the idle loop, so no
 * function here needs a lock. What a system call asks for returns its result, or a negative E_
 * error of syscall.h; parameters named *_va are pointers of the program's and are not to be
 * trusted.
 */
#ifndef MINNOW_KERNEL_H
#define MINNOW_KERNEL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pv_abi.h"
#include "syscall.h"

#define PAGE_SIZE 4096u
#define PAGE_MASK 0xFFFFF000u
#define KERNEL_BASE 0xC0000000u /* physical address 0 is mapped here */
#define PHYS_MAX 0x0E000000u    /* 224 MB: what is mapped at KERNEL_BASE */
#define USER_BASE 0x00400000u
#define USER_TOP 0xBFFFF000u /* first byte behind the user stack */
#define USER_STACK_MAX 0x10000u

#define KERNEL_CS 0x08u
#define KERNEL_DS 0x10u
#define USER_CS 0x1Bu
#define USER_DS 0x23u
#define TSS_SELECTOR 0x28u

#define FL_IF 0x200u

static inline void *phys_to_virt(uint32_t pa)
{
    return (void *)(pa + KERNEL_BASE);
}
static inline uint32_t virt_to_phys(const void *p)
{
    return (uint32_t)p - KERNEL_BASE;
}

/* lib.c: as in C's library; copy_name() cuts at NAME_MAX. */
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
void copy_name(char to[NAME_MAX + 1], const char *from);

/* console.c: serial port and screen out, serial port and keyboard in, one line discipline. */
void console_init(void);   /* output works from here on */
void console_listen(void); /* input does; after cpu_init() */
void console_put(char c);
void console_write(const char *s, uint32_t n);
/* %d %u %x %s %c, with a width and zero padding. */
void kvprintf(const char *fmt, va_list ap);
void kprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Sleeps until a line (or end of file, Ctrl-D) is there; returns bytes put into buf. */
int console_read(char *buf, uint32_t n);
void serial_interrupt(void);   /* IRQ 4 */
void keyboard_interrupt(void); /* IRQ 1 */

/* power.c */
/* Drain the UARTs, leave a record on COM2 and switch the machine off; status is 0 to 127. */
void power_off(int status) __attribute__((noreturn));
/* The kernel is wrong, or cannot start: say so and power off with STATUS_PANIC. */
void panic(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
#define STATUS_PANIC 125

/* memory.c: physical pages with reference counts, and address spaces. */
void memory_init(uint32_t info_pa); /* physical address of the Multiboot information */
void *page_alloc(void);             /* zeroed; NULL when memory is out */
void page_free(void *page);         /* gives one reference back */
uint32_t memory_total_pages(void), memory_free_pages(void);

typedef uint32_t *space_t; /* a page directory */
extern uint32_t kernel_space_pa;
/* With the kernel's half only. NULL when memory is out; so space_copy(), which copies on write and
 * is for the loaded space. */
space_t space_create(void);
space_t space_copy(space_t from);
void space_free(space_t space);      /* with its pages; it must not be loaded */
void space_load(space_t space);      /* NULL: the kernel's own */
uint32_t space_pages(space_t space); /* user pages present */
/* A zeroed user page at va; false when memory is out. */
bool space_map_new(space_t space, uint32_t va, bool writable);
/* The kernel's pointer to user address va, page faulted in as needed; NULL: not the user's. */
void *space_user(space_t space, uint32_t va, bool write);
/* Handle a user page fault; false: the access is wrong or memory is out. */
struct process;
bool user_page_fault(struct process *p, uint32_t va, bool write);
/* Unmap the whole pages of the loaded space in [from, to). */
void space_shrink(space_t space, uint32_t from, uint32_t to);

/* n bytes between kernel and current program; false: not all of it is the program's. */
bool copy_from_user(void *to, uint32_t from, uint32_t n);
bool copy_to_user(uint32_t to, const void *from, uint32_t n);
/* A zero-terminated string of at most size - 1 characters. */
bool string_from_user(char *to, uint32_t from, uint32_t size);

/* cpu.c: descriptor tables, interrupt controller, timer. */
struct trap_frame {
    uint32_t edi, esi, ebp, esp_unused, ebx, edx, ecx, eax;
    uint32_t gs, fs, es, ds;
    uint32_t vector, error;
    uint32_t eip, cs, eflags, esp, ss; /* esp, ss: only from user mode */
};
void cpu_init(void);
void cpu_set_kernel_stack(uint32_t esp0); /* for the next trap from user mode */
void irq_end(unsigned irq);
bool irq_spurious(unsigned irq); /* true: no interrupt, and no irq_end() is due */
#define IRQ_BASE 32

/* trap.c */
extern volatile uint32_t ticks;   /* since boot, TICKS_PER_SECOND */
void trap(struct trap_frame *tf); /* called by traps.asm for every vector */
void trap_return(void);           /* not a function: where a new process begins */

/* process.c */
#define PROCESSES 64
#define FILES 16

enum state { UNUSED, EMBRYO, RUNNABLE, RUNNING, SLEEPING, ZOMBIE };

struct file;
struct process {
    enum state state;
    int pid;
    struct process *parent;
    char name[NAME_MAX + 1];
    space_t space;
    void *kernel_stack; /* one page */
    uint32_t esp;       /* saved in context_switch */
    struct trap_frame *tf;
    const void *channel; /* what it sleeps on */
    uint32_t wake_tick;
    bool killed;
    int status;
    uint32_t heap_start, heap_end;
    struct file *file[FILES];
};
extern struct process processes[PROCESSES];
extern struct process *current;

void process_init(const char *command_line) __attribute__((noreturn));
void yield(void);
/* Sleep until wakeup(channel) or a kill; the caller looks again at what it waits for, and at
 * current->killed. Whoever waits for a time sleeps on its own wake_tick. */
void sleep_on(const void *channel);
void wakeup(const void *channel);
void wake_sleepers(void); /* those whose wake_tick has come */
/* The system calls; see syscall.c for their arguments. */
int process_fork(void);
int process_exec(const char *name, char *const *argv, int argc);
void process_exit(int status) __attribute__((noreturn));
int process_wait(uint32_t status_va);
int process_kill(int pid);
int process_grow(int32_t delta);

/* archive.c: the programs, embedded in the kernel. */
struct archive_entry {
    const char *name;
    const uint8_t *start, *end;
};
extern const struct archive_entry archive[];
extern const uint32_t archive_count;
const struct archive_entry *archive_find(const char *name); /* NULL: there is none */

/* file.c */
void file_console(struct process *p);    /* opens descriptors 0, 1 and 2 */
struct file *file_share(struct file *f); /* takes one more reference */
void file_release(struct file *f);
int file_open(const char *name);
int file_pipe(uint32_t fds_va);
int file_read(int fd, uint32_t va, uint32_t n);
int file_write(int fd, uint32_t va, uint32_t n);
int file_close(int fd);
int file_dup(int fd);

/* syscall.c, kbench.c */
void syscall(struct trap_frame *tf); /* number and arguments in tf, result into tf->eax */
/* n operations of enum kbench_op; a struct kbench goes to result_va. */
int kernel_bench(uint32_t op, uint32_t n, uint32_t result_va);

/* virt.c: the paravirtual note, and what lies below us. */
void virt_probe(struct hvinfo *info);
bool pv_active(void);       /* a VMM has patched this kernel's sites */
int32_t pv_null_call(void); /* only if pv_active(): 0 */

static inline uint64_t rdtsc(void)
{
    uint64_t t;
    __asm__ volatile("rdtsc" : "=A"(t));
    return t;
}

#endif
