/*
 * The system calls: number in EAX, arguments in EBX, ECX, EDX, INT 0x80; result in EAX, negative
 * for an error. Shared by kernel and programs.
 */
#ifndef MINNOW_SYSCALL_H
#define MINNOW_SYSCALL_H

#include <stdint.h>

#define SYSCALL_VECTOR 0x80

/* X(NAME, name): the single list of calls, in the order of their numbers. */
#define SYSCALLS(X)                                                                                \
    X(EXIT, exit)                                                                                  \
    X(FORK, fork)                                                                                  \
    X(EXEC, exec)                                                                                  \
    X(WAIT, wait)                                                                                  \
    X(KILL, kill)                                                                                  \
    X(YIELD, yield)                                                                                \
    X(GETPID, getpid)                                                                              \
    X(SLEEP, sleep)                                                                                \
    X(SBRK, sbrk)                                                                                  \
    X(PIPE, pipe)                                                                                  \
    X(OPEN, open)                                                                                  \
    X(READ, read)                                                                                  \
    X(WRITE, write)                                                                                \
    X(CLOSE, close)                                                                                \
    X(DUP, dup)                                                                                    \
    X(UPTIME, uptime)                                                                              \
    X(PROCINFO, procinfo)                                                                          \
    X(MEMINFO, meminfo)                                                                            \
    X(DIRENT, dirent)                                                                              \
    X(HVINFO, hvinfo)                                                                              \
    X(MARK, mark)                                                                                  \
    X(KBENCH, kbench)                                                                              \
    X(POWEROFF, poweroff)

enum syscall_number {
#define X(NAME, name) SYS_##NAME,
    SYSCALLS(X)
#undef X
        SYS_COUNT
};

/* Errors. */
#define E_INVAL -1 /* an argument makes no sense */
#define E_FAULT -2 /* a pointer does not point to the caller's memory */
#define E_NOENT -3 /* no such program, process or entry */
#define E_NOMEM -4
#define E_BADF -5   /* no such descriptor, or not open for this */
#define E_MFILE -6  /* too many descriptors, processes or arguments */
#define E_CHILD -7  /* no children to wait for */
#define E_PIPE -8   /* nobody reads the pipe any more */
#define E_NOEXEC -9 /* not an executable */

#define NAME_MAX 15
#define ARGS_MAX 16
#define ARG_BYTES_MAX 1024
#define TICKS_PER_SECOND 100

struct procinfo {
    int pid, parent;
    uint32_t pages; /* of user memory */
    char state[12];
    char name[NAME_MAX + 1];
};

struct meminfo {
    uint32_t total_pages, free_pages;
};

struct dirent {
    char name[NAME_MAX + 1];
    uint32_t size;
};

/* What the kernel finds out about a hypervisor below it. */
struct hvinfo {
    uint32_t present;    /* CPUID.1:ECX[31] */
    char signature[13];  /* CPUID.40000000 */
    uint32_t mode;       /* CPUID.40000001:EAX: 0 none or unknown, 1 trap, 2 para, 3 vtx, 4 svm */
    uint32_t pv_version; /* shared page: ABI version while patched, else 0 */
    uint32_t patched_sites; /* shared page */
    uint32_t total_sites;   /* recorded in this kernel */
};

/* KBENCH: loops that only the kernel can run. */
enum kbench_op { KBENCH_PORT_IN, KBENCH_CLI_STI, KBENCH_COMPUTE, KBENCH_CR3, KBENCH_HYPERCALL };

struct kbench {
    uint32_t ticks;  /* TSC ticks for n operations, loop included */
    uint32_t result; /* checksum of what the operations gave */
};

#endif
