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
    X(EXIT, exit)             /* (status) */                                                       \
    X(FORK, fork)             /* () child's pid, 0 in the child */                                 \
    X(EXEC, exec)             /* (path, argv) */                                                   \
    X(WAIT, wait)             /* (int *status or NULL) pid of a child that ended */                \
    X(KILL, kill)             /* (pid) */                                                          \
    X(YIELD, yield)           /* () */                                                             \
    X(GETPID, getpid)         /* () */                                                             \
    X(GROUP, group)           /* (pid or 0: self, group or 0: pid) own or a child's group */       \
    X(FOREGROUND, foreground) /* (group or 0: nobody) the group that Ctrl-C kills */               \
    X(SLEEP, sleep)           /* (ticks) */                                                        \
    X(SBRK, sbrk)             /* (delta) old end of the heap */                                    \
    X(ONFAULT, onfault)       /* (handler or 0) of exceptions: see struct fault */                 \
    X(RESUME, resume)         /* (struct fault *) does not return */                               \
    X(PIPE, pipe)             /* (int fds[2]: read end, write end) */                              \
    X(OPEN, open)             /* (path, O_ flags) descriptor */                                    \
    X(READ, read)             /* (fd, buffer, n) bytes read, 0: the end */                         \
    X(WRITE, write)           /* (fd, buffer, n) bytes written */                                  \
    X(SEEK, seek)             /* (fd, offset from the start) */                                    \
    X(CLOSE, close)           /* (fd) */                                                           \
    X(DUP, dup)               /* (fd) the lowest free descriptor */                                \
    X(FSTAT, fstat)           /* (fd, struct stat *) */                                            \
    X(STAT, stat)             /* (path, struct stat *) */                                          \
    X(MKDIR, mkdir)           /* (path) */                                                         \
    X(CHDIR, chdir)           /* (path) */                                                         \
    X(LINK, link)             /* (old path, new path) */                                           \
    X(UNLINK, unlink)         /* (path) of a file or an empty directory */                         \
    X(SYNC, sync)             /* () everything written so far is on the disk */                    \
    X(UPTIME, uptime)         /* () ticks since boot */                                            \
    X(DATE, date)             /* (struct date *) */                                                \
    X(PROCINFO, procinfo)     /* (index, struct procinfo *) */                                     \
    X(SYSINFO, sysinfo)       /* (struct sysinfo *) */                                             \
    X(HVINFO, hvinfo)         /* (struct hvinfo *) */                                              \
    X(HVMODE, hvmode)         /* (a wish of hvmode.h, or 0: none) the answer of hvmode.h */        \
    X(MARK, mark)             /* (value) to the port of mark.h */                                  \
    X(KBENCH, kbench)         /* (enum kbench_op, n, struct kbench *) */                           \
    X(POWEROFF, poweroff)     /* (status 0..127) does not return */

enum syscall_number {
#define X(NAME, name) SYS_##NAME,
    SYSCALLS(X)
#undef X
        SYS_COUNT
};

/* Errors. */
#define E_INVAL -1     /* an argument makes no sense */
#define E_FAULT -2     /* a pointer does not point to the caller's memory */
#define E_NOENT -3     /* no such file, process or entry */
#define E_NOMEM -4     /* memory is out */
#define E_BADF -5      /* no such descriptor, or not open for this */
#define E_MFILE -6     /* too many descriptors, files, processes or arguments */
#define E_CHILD -7     /* no children to wait for */
#define E_PIPE -8      /* nobody reads the pipe any more */
#define E_NOEXEC -9    /* not an executable */
#define E_EXIST -10    /* the name is taken */
#define E_NOTDIR -11   /* a part of the path is no directory */
#define E_ISDIR -12    /* a directory where a file is wanted */
#define E_NOTEMPTY -13 /* the directory has entries */
#define E_NOSPC -14    /* no free block or inode on the disk */
#define E_FBIG -15     /* beyond the largest file */
#define E_NAME -16     /* a path or a part of it is too long */
#define E_IO -17       /* the disk reports an error */
#define E_LINKS -18    /* too many links to one file */
#define E_INTR -19     /* the process was killed while it waited; its program never sees this */

/* Flags of OPEN. A directory can be opened for reading: it reads as struct fs_dirent. */
#define O_READ 1
#define O_WRITE 2
#define O_CREATE 4   /* make the file if it is not there */
#define O_TRUNCATE 8 /* make it empty; needs O_WRITE */
#define O_APPEND 16  /* every write goes to the end */

#define PATH_MAX 128 /* with the zero at the end */
#define NAME_MAX 27  /* of one part of a path */
#define ARGS_MAX 16
#define ARG_BYTES_MAX 1024
#define FILES 16 /* descriptors of a process */
#define TICKS_PER_SECOND 100

struct stat {
    uint32_t inode;
    uint16_t type; /* enum fs_type of fs_format.h; 0: no file of the disk */
    uint16_t links;
    uint32_t size;
};

struct date {
    uint32_t year, month, day, hour, minute, second;
};

struct procinfo {
    int pid, parent, group;
    uint32_t pages; /* of user memory */
    char state[12];
    char name[NAME_MAX + 1];
};

struct sysinfo {
    uint32_t total_pages, free_pages;
    uint32_t total_blocks, free_blocks; /* of the disk */
    uint32_t total_inodes, free_inodes;
    uint32_t processes, open_files, pipes, inodes_in_use; /* entries of the kernel's tables */
    uint32_t tsc_khz;                                     /* measured against the timer */
    uint64_t idle_time; /* TSC ticks since boot in which nothing could run */
};

/*
 * What a handler of exceptions is given: `void handler(struct fault *)` runs on the program's own
 * stack, below a struct fault with the interrupted state. It may change that state, and goes on
 * with it by RESUME. A fault while a handler runs, before RESUME, kills the process.
 */
struct fault {
    uint32_t edi, esi, ebp, ebx, edx, ecx, eax, eip, eflags, esp;
    uint32_t vector, error, address; /* address: of a page fault */
};

/* Status of a process that an exception killed: STATUS_FAULT + vector. By KILL or Ctrl-C: -1. */
#define STATUS_FAULT 128

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
enum kbench_op {
    KBENCH_PORT_IN,
    KBENCH_CLI_STI,
    KBENCH_COMPUTE,
    KBENCH_CR3,
    KBENCH_HYPERCALL,
    KBENCH_CR0,
    KBENCH_CALL_RET,
    KBENCH_PTE_MOD,
    KBENCH_DISK
};

struct kbench {
    uint32_t ticks;  /* TSC ticks for n operations, loop included */
    uint32_t result; /* checksum of what the operations gave */
};

#endif
