/*
 * The paravirtual ABI, version 1. This header is all that a guest kernel and the VMM share.
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
 * 4. All sites must be executed with paging on and the note's addresses mapped. Privileged
 *    instructions outside of sites still work in para mode (they trap and are emulated); the
 *    sensitive ones that do not trap must be at sites.
 *
 * The plain #defines are also read by the assembler (converted at build time), hence no
 * expressions in them.
 */
#ifndef PV_ABI_H
#define PV_ABI_H

#define PV_ABI_VERSION 1
#define PV_NOTE_TYPE 1
#define PV_SITE_LEN 8

/* Operations of sites. Registers are fixed; "clobbers" may change in the patched form. EFLAGS'
 * arithmetic bits may change at every site but IRET. */
#define PV_OP_CLI 1        /* cli */
#define PV_OP_STI 2        /* sti */
#define PV_OP_PUSHF 3      /* pushf; pop eax       EAX = flags with the virtual IF */
#define PV_OP_POPF 4       /* push eax; popf       flags = EAX */
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
#define PV_OP_WRITE_CR3 18 /* mov cr3, eax         clobbers ECX */
#define PV_OP_READ_CR4 19  /* mov eax, cr4         clobbers ECX */
#define PV_OP_WRITE_CR4 20 /* mov cr4, eax         clobbers ECX */
#define PV_OP_INVLPG 21    /* invlpg [eax]         clobbers ECX */
#define PV_OP_CPUID 22     /* cpuid                EAX, ECX in; EAX EBX ECX EDX out */
/* Never patched. They trap and are emulated: string I/O moves so much that one trap is small beside
 * it, and the others run once, at boot. They are recorded so that the sites are all there is.
 * The prefixes of the string instructions stand in the order of GNU as: 66 F3 6D, 66 F3 6F. */
#define PV_OP_INSW 23  /* rep insw             EDI, ECX, EDX as the instruction */
#define PV_OP_OUTSW 24 /* rep outsw            ESI, ECX, EDX as the instruction */
#define PV_OP_LGDT 25  /* lgdt [eax] */
#define PV_OP_LIDT 26  /* lidt [eax] */
#define PV_OP_LTR 27   /* ltr ax */
#define PV_OP_LLDT 28  /* lldt ax */
#define PV_OP_COUNT 29

/*
 * Calling the VMM from a hypercall-page stub: ECX = number, EAX, EDX, EBX = arguments; EAX =
 * result, ECX clobbered, the rest kept. Numbers are the PV_OP_ values of the sites that need the
 * VMM, and from 64 on services without an instruction of their own.
 * The guest reaches operation n by a near call to hypercall page + n * PV_STUB_SIZE.
 */
#define PV_STUB_SIZE 64
#define PV_CALL_NULL 64 /* does nothing, returns 0: for measuring */

/* Results of services */
#define PV_OK 0
#define PV_E_UNKNOWN -1 /* no such number */

/* Software modes: the VMM's gates for the hypercall page. Not for direct use by guests. */
#define PV_GATE_CALL 0x82
#define PV_GATE_IRET 0x83

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

/* The shared page. Written by: g guest, v VMM. */
struct pv_shared {
    uint32_t virtual_if;    /* gv 0 or 0x200: the guest's EFLAGS.IF while the kernel runs */
    uint32_t event_pending; /* v  non-zero: an interrupt waits for virtual_if */
    uint32_t cr2;           /* v  set before a page fault is delivered */
    uint32_t version;       /* v  PV_ABI_VERSION while para mode is active, else 0 */
    uint32_t patched_sites; /* v  number of sites patched now, without those never patched */
};
#endif

#endif
