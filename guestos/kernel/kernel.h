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

#include "fs_format.h"
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
#define FL_VM 0x20000u

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
const char *strstr(const char *s, const char *what);
void copy_name(char to[NAME_MAX + 1], const char *from);

/* console.c: serial port and screen out, serial port and keyboard in, one line discipline. A virtio
 * console takes the place of the serial port as soon as it is found. */
void console_init(void);   /* output works from here on */
void console_listen(void); /* input does; after cpu_init() */
void console_plain(void);  /* serial port and screen only, from now on: for panic() */
void console_input(char c);
void console_put(char c);
void console_write(const char *s, uint32_t n);
/* %d %u %x %s %c, with a width and zero padding. */
void kvprintf(const char *fmt, va_list ap);
void kprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Sleeps until a line (or end of file, Ctrl-D) is there; returns bytes put into buf. */
int console_read(char *buf, uint32_t n);
extern int console_group;      /* whom Ctrl-C kills; 0: nobody */
void serial_interrupt(void);   /* IRQ 4 */
void keyboard_interrupt(void); /* IRQ 1 */
/* virtio_console.c */
void virtio_console_init(void);
bool virtio_console_put(char c); /* false: there is none that works */
void virtio_console_flush(void); /* what was put leaves now */
void virtio_console_drain(void); /* and has left */

/* power.c */
/* Drain the UARTs, leave a record on COM2 and switch the machine off; status is 0 to 127. */
void power_off(int status) __attribute__((noreturn));
/* The kernel is wrong, or cannot start: say so and power off with STATUS_PANIC. */
void panic(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
#define STATUS_PANIC 125
/* For tests: fail in the way that the word provoke=panic or provoke=stack-overflow names. */
void provoke(const char *command_line);

/* memory.c: physical pages with reference counts, and address spaces. */
void memory_init(uint32_t info_pa); /* physical address of the Multiboot information */
void *page_alloc(void);             /* zeroed; NULL when memory is out */
void page_free(void *page);         /* gives one reference back */
uint32_t memory_total_pages(void), memory_free_pages(void);
uint32_t *kernel_pte(uint32_t va); /* of an address in the kernel's mapping of memory */
/* The kernel's pointer to n bytes of a device's registers; NULL: too many. */
volatile void *device_map(uint32_t pa, uint32_t n);

typedef uint32_t *space_t; /* a page directory */
extern uint32_t kernel_space_pa;
/* Kernel stack number n, with unmapped pages below it; false: memory is out. */
bool stack_create(unsigned n);
void stack_free(unsigned n);
uint32_t stack_top(unsigned n);
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
/* The same calls for kernel memory: they always succeed. */
bool copy_from_kernel(void *to, uint32_t from, uint32_t n);
bool copy_to_kernel(uint32_t to, const void *from, uint32_t n);

/* cpu.c: descriptor tables, interrupt controller, timer. */
struct trap_frame {
    uint32_t edi, esi, ebp, esp_unused, ebx, edx, ecx, eax;
    uint32_t gs, fs, es, ds;
    uint32_t vector, error;
    uint32_t eip, cs, eflags, esp, ss; /* esp, ss: only from user mode */
};
void cpu_init(void);
void cpu_set_kernel_stack(uint32_t esp0); /* for the next trap from user mode */
void irq_open(unsigned irq);              /* from now on it may interrupt */
void irq_close(unsigned irq);             /* no longer */
void irq_end(unsigned irq);
void timer_init(void);           /* the 8254: IRQ 0, TICKS_PER_SECOND */
bool irq_spurious(unsigned irq); /* true: no interrupt, and no irq_end() is due */
#define IRQ_BASE 32
#define TIMER_VECTOR 48 /* the VMM's timer, behind the PICs' lines */

/* trap.c */
extern volatile uint32_t ticks;   /* since boot, TICKS_PER_SECOND */
void trap(struct trap_frame *tf); /* called by traps.asm for every vector */
void trap_return(void);           /* not a function: where a new process begins */

/* clock.c */
bool clock_start(void);       /* with the VMM's timer; false: there is none */
void clock_tick(void);        /* the 8254's interrupt */
void clock_vmm_tick(void);    /* that of the VMM's timer */
void clock_sleep(uint32_t n); /* nothing to do for n ticks, if nothing else interrupts */
void clock_wake(void);        /* it did, or they are over */
uint32_t clock_tsc_khz(void); /* measured since boot; 0: too early */
void clock_date(struct date *date);

/* process.c */
#define PROCESSES 64

enum state { UNUSED, EMBRYO, RUNNABLE, RUNNING, SLEEPING, ZOMBIE };

struct file;
struct process {
    enum state state;
    int pid, group;
    struct process *parent;
    char name[NAME_MAX + 1];
    space_t space;
    bool has_stack;
    uint32_t esp; /* saved in context_switch */
    struct trap_frame *tf;
    const void *channel; /* what it sleeps on */
    uint32_t wake_tick;
    bool killed;
    int status;
    uint32_t heap_start, heap_end;
    uint32_t fault_handler; /* of the program; 0: exceptions kill */
    bool in_fault;          /* it runs now */
    struct inode *directory;
    struct file *file[FILES];
};
extern struct process processes[PROCESSES];
extern struct process *current;
extern uint64_t idle_time; /* TSC ticks spent with nothing to run */
void idle_ends(void);      /* an interrupt other than the timer's is here */

void process_init(const char *command_line) __attribute__((noreturn));
void yield(void);
/* Sleep until wakeup(channel) or a kill; the caller looks again at what it waits for, and at
 * current->killed. Whoever waits for a time sleeps on its own wake_tick. */
void sleep_on(const void *channel);
void wakeup(const void *channel);
void wake_sleepers(void); /* those whose wake_tick has come */
/* The system calls; see syscall.c for their arguments. */
int process_fork(void);
void process_exit(int status) __attribute__((noreturn));
int process_wait(uint32_t status_va);
int process_kill(int pid);
void process_kill_group(int group);
int process_group(int pid, int group);
int process_grow(int32_t delta);
/* program.c */
int process_exec(const char *path, char *const *argv, int argc);
/* Let the program's own handler see to an exception; false: it cannot. And the way back. */
bool process_fault(struct trap_frame *tf, uint32_t address);
int process_resume(struct trap_frame *tf, uint32_t fault_va);

/* pci.c: functions on the PCI bus; they are named by numbers from 0 on. */
int pci_next(int function); /* the one behind this one; -1 before the first, and behind the last */
/* What configuration space holds at the offset, in the lower bits; and change 32 bits of it. */
uint32_t pci_read(int function, uint32_t offset);
void pci_write(int function, uint32_t offset, uint32_t value);

/* disk.c: the disk. Functions that move data sleep, and may be called by one process at a time
 * only. */
uint32_t disk_init(void); /* finds it; its size in sectors, 0: there is none */
/* Count sectors (1 to DISK_TRANSFER_MAX) between the disk and blocks[], FS_BLOCK bytes each. */
bool disk_transfer(uint32_t sector, uint32_t count, uint8_t *const blocks[], bool write);
#define DISK_TRANSFER_MAX 64u
bool disk_flush(void); /* everything written is on the disk, not in its cache */
void disk_timer(void); /* every tick */
/* For drivers: sleep until *done, which an interrupt handler sets before it calls disk_wake().
 * False: that takes so long that the disk is given up. */
bool disk_wait(const volatile bool *done);
void disk_wake(void);
void disk_give_up(void);
struct disk_driver {
    const char *name;
    uint32_t (*init)(void); /* as disk_init() */
    bool (*transfer)(uint32_t sector, uint32_t count, uint8_t *const blocks[], bool write);
    bool (*flush)(void);
};
extern const struct disk_driver virtio_disk, ata_disk; /* virtio_blk.c, ata.c */
void ata_interrupt(void);                              /* IRQ 14 */

/* block.c: the cache and the log. What changes the disk, or reads it, happens between fs_begin()
 * and fs_end(); one process at a time is there. */
const char *block_init(struct fs_super *super); /* NULL, or why there is no file system */
void fs_begin(void);
int fs_end(int result); /* result, or E_IO when the disk failed meanwhile */
bool fs_failed(void);   /* has the operation in hand met an error already? */
/* The disk holds what cannot be: the operation in hand fails. */
void fs_damaged(const char *what, uint32_t number);
/* The block's place in the cache. It is good until the process has asked for 100 others. Errors of
 * the disk show at fs_end(). */
uint8_t *block_read(uint32_t block);
uint8_t *block_write(uint32_t block);         /* the caller changes it */
uint8_t *block_new(uint32_t block);           /* zeroed, whatever was there */
void block_ahead(uint32_t block, uint32_t n); /* these will be read soon */
void block_commit(void);                      /* make all that was written permanent */

/* inode.c: files without names. */
struct inode {
    uint32_t number;
    int references;
    struct fs_inode d; /* as on the disk; after a change: inode_update() */
};
const char *inode_init(void);             /* finds the file system; NULL, or why there is none */
struct inode *inode_get(uint32_t number); /* NULL: too many in use */
struct inode *inode_share(struct inode *ip);
void inode_put(struct inode *ip); /* gives a reference back; frees a file without links */
int inode_create(enum fs_type type, struct inode **out); /* without links */
void inode_update(const struct inode *ip);
void inode_truncate(struct inode *ip); /* to size 0 */
/* Copy to or from user memory (copy_to_user, copy_from_user) or the kernel's. */
typedef bool (*copy_out)(uint32_t to, const void *from, uint32_t n);
typedef bool (*copy_in)(void *to, uint32_t from, uint32_t n);
int inode_read(struct inode *ip, uint32_t offset, uint32_t n, copy_out copy, uint32_t to);
/* At most WRITE_MAX bytes in one operation. */
int inode_write(struct inode *ip, uint32_t offset, uint32_t n, copy_in copy, uint32_t from);
#define WRITE_MAX (16u * FS_BLOCK)
/* So much from offset, which is in the file, will be read soon, as far as it is in the file. */
void inode_ahead(struct inode *ip, uint32_t offset, uint32_t n);
void inode_stat(const struct inode *ip, struct stat *out);
void inode_info(struct sysinfo *info);

/* directory.c: names. Paths are relative to the current process's directory. */
int path_inode(const char *path, struct inode **out);
int path_create(const char *path, enum fs_type type, struct inode **out);
int path_link(const char *from, const char *to);
int path_unlink(const char *path);

/* file.c: what descriptors name. */
void file_console(struct process *p);    /* opens descriptors 0, 1 and 2 */
struct file *file_share(struct file *f); /* takes one more reference */
void file_release(struct file *f);
int file_open(const char *path, int flags);
int file_pipe(uint32_t fds_va);
int file_read(int fd, uint32_t va, uint32_t n);
int file_write(int fd, uint32_t va, uint32_t n);
int file_seek(int fd, uint32_t offset);
int file_stat(int fd, uint32_t stat_va);
int file_close(int fd);
int file_dup(int fd);
void file_info(struct sysinfo *info);

/* syscall.c, kbench.c */
void syscall(struct trap_frame *tf); /* number and arguments in tf, result into tf->eax */
/* n operations of enum kbench_op; a struct kbench goes to result_va. */
int kernel_bench(uint32_t op, uint32_t n, uint32_t result_va);

/* virt.c: the paravirtual note, and what lies below us. */
void virt_probe(struct hvinfo *info);
bool pv_active(void);          /* a VMM has patched this kernel's sites */
bool pv_has(uint32_t feature); /* PV_HAS_ */
void pv_init(void);
struct pv_clock {
    uint32_t tsc_khz, wall_seconds; /* UTC since 1970 at tsc_base */
    uint64_t tsc_base;
};
void pv_clock(struct pv_clock *clock);
/* Interrupt once, then. PV_OK, or PV_E_UNKNOWN: there is no VMM (any more) that does. */
int32_t pv_timer(uint64_t tsc, uint32_t vector);
int32_t pv_null_call(void); /* only if pv_active(): 0 */

static inline uint64_t rdtsc(void)
{
    uint64_t t;
    __asm__ volatile("rdtsc" : "=A"(t));
    return t;
}

#endif
