/*
 * The paravirtual ABI, version 3. This header is all that a guest kernel and the VMM share.
 *
 * 1. A kernel announces itself with an ELF note (name "Trivisor", type PV_NOTE_TYPE) whose
 *    descriptor is a struct pv_note. Without the note a kernel cannot run in para mode.
 * 2. The kernel sets two pages aside: a hypercall page (executable, filled by the VMM) and a
 *    shared page (data). Nothing else may be on them.
 * 3. Each sensitive operation of the kernel is a site: the plain instruction and one NOP that makes
 *    it PV_SITE_LEN bytes long (of the recommended multi-byte forms: SDM vol. 2B, NOP), recorded as
 *    a struct pv_site. Unpatched it works on the bare machine. In para mode the VMM overwrites the
 *    site; it can undo this. Some operations are recorded, and checked like the others, but never
 *    patched: see below.
 * 4. All sites must be executed at CPL 0, with paging on and the note's addresses mapped.
 *    Privileged instructions outside of sites still work in para mode (they trap and are
 *    emulated); the sensitive ones that do not trap must be at sites.
 *
 * The plain #defines are also read by the assembler (converted at build time), hence no
 * expressions in them.
 */
#ifndef PV_ABI_H
#define PV_ABI_H

#define PV_ABI_VERSION 3
#define PV_NOTE_TYPE 1
#define PV_SITE_LEN 8

/* Operations of sites. Registers are fixed; "clobbers" may change in the patched form. EFLAGS'
 * arithmetic bits may change at every site but IRET. */
#define PV_OP_CLI 1        /* cli */
#define PV_OP_STI 2        /* sti */
#define PV_OP_PUSHF 3      /* pushf; pop eax       EAX = flags with the virtual IF */
#define PV_OP_POPF 4       /* push eax; popf       flags = EAX; clobbers EAX */
#define PV_OP_IRET 5       /* iret                 no clobbers */
#define PV_OP_HLT 6        /* hlt                  clobbers ECX */
#define PV_OP_STI_HLT 7    /* sti; hlt             clobbers ECX; atomic */
#define PV_OP_IN8 8        /* in al, dx            clobbers ECX */
#define PV_OP_IN16 9       /* in ax, dx            clobbers ECX */
#define PV_OP_IN32 10      /* in eax, dx           clobbers ECX */
#define PV_OP_OUT8 11      /* out dx, al           clobbers ECX */
#define PV_OP_OUT16 12     /* out dx, ax           clobbers ECX */
#define PV_OP_OUT32 13     /* out dx, eax          clobbers ECX */
#define PV_OP_READ_CR0 14  /* mov eax, cr0         clobbers ECX */
#define PV_OP_WRITE_CR0 15 /* mov cr0, eax         clobbers ECX */
#define PV_OP_READ_CR2 16  /* mov eax, cr2 */
#define PV_OP_READ_CR3 17  /* mov eax, cr3         clobbers ECX */
#define PV_OP_WRITE_CR3 18 /* mov cr3, eax         clobbers EAX, ECX */
#define PV_OP_READ_CR4 19  /* mov eax, cr4         clobbers ECX */
#define PV_OP_WRITE_CR4 20 /* mov cr4, eax         clobbers ECX */
#define PV_OP_INVLPG 21    /* invlpg [eax]         clobbers EAX, ECX */
#define PV_OP_CPUID 22     /* cpuid                EAX, ECX in; EAX EBX ECX EDX out */
/*
 * The next three say more than their instruction does, in registers that it does not read:
 *   SET_PTE     the entry at [EDX] now maps the address in ECX, which had no translation before:
 *               it may be entered at once.
 *   SWITCH_CR3  what changed in that address space since it was loaded last has been flushed:
 *               loading it flushes nothing. INVLPG flushes of the current space and global entries.
 *   DROP_SPACE  the tables of this value of CR3 are no longer in use, or were changed without
 *               flushing. The plain form does nothing.
 */
#define PV_OP_SET_PTE 23    /* mov [edx], eax       clobbers EAX, ECX */
#define PV_OP_SWITCH_CR3 24 /* mov cr3, eax         clobbers EAX, ECX */
#define PV_OP_DROP_SPACE 25 /* nop                  EAX = value of CR3; clobbers EAX, ECX */
/* Never patched. They trap and are emulated: string I/O moves so much that one trap is small beside
 * it, and the others run once, at boot. They are recorded so that the sites are all there is.
 * The prefixes of the string instructions stand in the order of GNU as: 66 F3 6D, 66 F3 6F. */
#define PV_OP_INSW 26  /* rep insw             EDI, ECX, EDX as the instruction */
#define PV_OP_OUTSW 27 /* rep outsw            ESI, ECX, EDX as the instruction */
#define PV_OP_LGDT 28  /* lgdt [eax] */
#define PV_OP_LIDT 29  /* lidt [eax] */
#define PV_OP_LTR 30   /* ltr ax */
#define PV_OP_LLDT 31  /* lldt ax */
#define PV_OP_COUNT 32

/*
 * Calling the VMM from a hypercall-page stub: ECX = number, EAX, EDX, EBX = arguments; EAX =
 * result, ECX clobbered, the rest kept. Numbers are the PV_OP_ values of the sites that need the
 * VMM, and from 64 on services without an instruction of their own.
 * The guest reaches operation n by a near call to hypercall page + n * PV_STUB_SIZE; a service by
 * one to the hypercall page itself, with the number in ECX.
 */
#define PV_STUB_SIZE 64
#define PV_CALL_NULL 64 /* does nothing, returns 0: for measuring */
/* EAX = address of struct pv_multi[EDX], at most PV_MULTI_MAX: several services in one call. Not
 * MULTI itself, nor DRAIN, nor what is port I/O. */
#define PV_CALL_MULTI 65
/* EAX = selector, EDX and EBX = low and high half: write a descriptor of the GDT. The next load of
 * the selector gets the new one. */
#define PV_CALL_DESCRIPTOR 66
#define PV_CALL_DRAIN 67 /* do now what the queue holds */
/* EDX:EAX = value of the TSC at which to interrupt, once, with the vector in EBX (32 to 255). No
 * PIC is involved. Replaces what was asked for before; EBX = 0: no interrupt. */
#define PV_CALL_TIMER 68

/* Results of services. Whatever fails has changed nothing. */
#define PV_OK 0
#define PV_E_UNKNOWN -1 /* no such number, or none that is allowed here */
#define PV_E_ADDRESS -2 /* an address that the kernel itself could not read or write */
#define PV_E_VALUE -3   /* an argument out of range */

/* In virtual_flags, where EFLAGS has a reserved bit: an interrupt waits for IF. It is the sign bit
 * of its byte, so that the instruction which sets IF there tells at once. */
#define PV_EVENT_PENDING 0x8000

/*
 * The queue. While it holds fewer entries than "queue_limit", the stubs of INVLPG, MOV to CR3,
 * SET_PTE, SWITCH_CR3 and DROP_SPACE only note what is to be done, in the order of the calls. The
 * VMM does it, at the latest, before the guest runs at CPL 3 again, before it handles a page fault
 * or a call, and when there is no room. With a limit of 0 everything is done at once; a kernel may
 * have another while it does not itself use the addresses whose translations change. A call or a
 * lack of room empties the queue. An exception may interrupt a stub (a single step, a fault on the
 * shared page): its handler must do neither, if it goes back there.
 */
#define PV_QUEUE_MAX 64
#define PV_MULTI_MAX 64

/* What this VMM offers: bits of "features" in the shared page. */
#define PV_HAS_CLOCK 1 /* the fields of the clock are right */
#define PV_HAS_TIMER 2 /* PV_CALL_TIMER works */

/* Software modes: the VMM's gates for the hypercall page. Not for direct use by guests. */
#define PV_GATE_CALL 0x82
#define PV_GATE_IRET 0x83
#define PV_GATE_COUNT 0x84

#ifndef __ASSEMBLER__
#include <stdint.h>

struct pv_note {
    uint32_t abi_version;
    uint32_t hypercall_page; /* guest virtual address, page aligned */
    uint32_t shared_page;    /* guest virtual address, page aligned */
    uint32_t sites;          /* guest virtual address of struct pv_site[] */
    uint32_t sites_end;
};

struct pv_site {
    uint32_t gva; /* of the first byte */
    uint8_t len;  /* PV_SITE_LEN */
    uint8_t op;   /* PV_OP_ */
    uint16_t reserved;
};

/* One service of a PV_CALL_MULTI: its number and arguments; result receives what it returned. */
struct pv_multi {
    uint32_t number, eax, edx, ebx;
    int32_t result;
};

struct pv_queued {
    uint32_t op;    /* PV_OP_ of the stub */
    uint32_t value; /* its EAX; of SET_PTE its ECX */
};

/* The shared page. Written by: g guest, v VMM. */
struct pv_shared {
    uint32_t virtual_flags; /* gv IF and IOPL of the guest's EFLAGS while its kernel runs, and
                             * v  PV_EVENT_PENDING; other bits mean nothing */
    uint32_t cr0;           /* v  what MOV from CR0 would give */
    uint32_t cr2;           /* v  set before a page fault is delivered */
    uint32_t version;       /* v  PV_ABI_VERSION while para mode is active, else 0 */
    uint32_t patched_sites; /* v  number of sites patched now, without those never patched */
    uint32_t features;      /* v  PV_HAS_ bits */
    /* The clock: UTC in seconds since 1970 is wall_seconds + (TSC - tsc_base) / tsc_khz / 1000.
     * Read clock_version before and after; when it was odd or has changed, read again. */
    uint32_t clock_version;               /* v  odd while the VMM changes the clock */
    uint32_t tsc_khz;                     /* v */
    uint32_t tsc_base[2];                 /* v  low, high */
    uint32_t wall_seconds;                /* v */
    uint32_t queue_limit;                 /* g  0 to PV_QUEUE_MAX: see the queue */
    uint32_t queue_count;                 /* gv entries in use; stubs add, the VMM empties */
    struct pv_queued queue[PV_QUEUE_MAX]; /* g */
};
#endif

#endif
