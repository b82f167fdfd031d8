/* The virtual machine control block (AMD APM vol. 2, appendix B). */
#ifndef TRIVISOR_VMCB_H
#define TRIVISOR_VMCB_H

#include "types.h"

struct vmcb_segment {
    uint16_t selector, attr; /* attr: descriptor bits 7:0 of byte 5, then AVL L DB G */
    uint32_t limit;
    uint64_t base;
};

enum { VS_ES, VS_CS, VS_SS, VS_DS, VS_FS, VS_GS, VS_GDTR, VS_LDTR, VS_IDTR, VS_TR, VS_COUNT };

struct vmcb {
    /* Control area */
    uint16_t intercept_cr_read, intercept_cr_write;
    uint16_t intercept_dr_read, intercept_dr_write;
    uint32_t intercept_exceptions;
    uint32_t intercept_misc1, intercept_misc2;
    uint8_t pad1[0x040 - 0x014];
    uint64_t iopm_hpa, msrpm_hpa, tsc_offset;
    uint32_t asid;
    uint8_t tlb_control, pad2[3];
    uint64_t virtual_interrupt;
    uint64_t interrupt_shadow;
    uint64_t exit_code, exit_info1, exit_info2, exit_int_info;
    uint64_t nested_control;
    uint8_t pad3[0x0A8 - 0x098];
    uint64_t event_injection, nested_cr3;
    uint8_t pad4[0x0C0 - 0x0B8];
    uint32_t clean, pad5;
    uint64_t next_rip;
    uint8_t pad6[0x400 - 0x0D0];
    /* State save area */
    struct vmcb_segment seg[VS_COUNT];
    uint8_t pad7[0x4CB - 0x4A0];
    uint8_t cpl;
    uint32_t pad8;
    uint64_t efer;
    uint8_t pad9[0x548 - 0x4D8];
    uint64_t cr4, cr3, cr0, dr7, dr6;
    union {
        uint64_t rflags;
        uint32_t eflags; /* and so on: the half that a 32-bit guest can change */
    };
    union {
        uint64_t rip;
        uint32_t eip;
    };
    uint8_t pad10[0x5D8 - 0x580];
    uint64_t rsp;
    uint8_t pad11[0x5F8 - 0x5E0];
    union {
        uint64_t rax;
        uint32_t eax;
    };
    uint8_t pad12[0x628 - 0x600];
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip, cr2;
    uint8_t pad13[0x668 - 0x648];
    uint64_t pat;
};

#define VMCB_AT(field, offset)                                                                     \
    _Static_assert(offsetof(struct vmcb, field) == (offset), "VMCB layout: " #field)
VMCB_AT(iopm_hpa, 0x040);
VMCB_AT(asid, 0x058);
VMCB_AT(virtual_interrupt, 0x060);
VMCB_AT(interrupt_shadow, 0x068);
VMCB_AT(tlb_control, 0x05C);
VMCB_AT(exit_code, 0x070);
VMCB_AT(exit_int_info, 0x088);
VMCB_AT(nested_control, 0x090);
VMCB_AT(event_injection, 0x0A8);
VMCB_AT(nested_cr3, 0x0B0);
VMCB_AT(clean, 0x0C0);
VMCB_AT(next_rip, 0x0C8);
VMCB_AT(seg, 0x400);
VMCB_AT(cpl, 0x4CB);
VMCB_AT(efer, 0x4D0);
VMCB_AT(cr4, 0x548);
VMCB_AT(rflags, 0x570);
VMCB_AT(rip, 0x578);
VMCB_AT(rsp, 0x5D8);
VMCB_AT(rax, 0x5F8);
VMCB_AT(sysenter_cs, 0x628);
VMCB_AT(cr2, 0x640);
VMCB_AT(pat, 0x668);

/* Intercepts, vector 3 (misc1) and 4 (misc2). */
#define MISC1_INTR (1u << 0)
#define MISC1_NMI (1u << 1)
#define MISC1_VINTR (1u << 4)
#define MISC1_CR0_SELECTIVE (1u << 5) /* writes of CR0 bits other than TS and MP */
#define MISC1_RDPMC (1u << 15)
#define MISC1_CPUID (1u << 18)
#define MISC1_INTN (1u << 21)
#define MISC1_INVD (1u << 22)
#define MISC1_HLT (1u << 24)
#define MISC1_INVLPG (1u << 25)
#define MISC1_INVLPGA (1u << 26)
#define MISC1_IO (1u << 27)
#define MISC1_MSR (1u << 28)
#define MISC1_TASK_SWITCH (1u << 29)
#define MISC1_SHUTDOWN (1u << 31)
#define MISC2_VMRUN (1u << 0)
#define MISC2_VMMCALL (1u << 1)
#define MISC2_ALL_SVM 0x7Fu /* VMRUN VMMCALL VMLOAD VMSAVE STGI CLGI SKINIT */
#define MISC2_WBINVD (1u << 9)
#define MISC2_MONITOR (1u << 10)
#define MISC2_MWAIT (1u << 11)

/* Exit codes, appendix C. */
#define VMEXIT_CR_READ 0x000u
#define VMEXIT_CR_WRITE 0x010u
#define VMEXIT_DR_WRITE 0x030u
#define VMEXIT_EXCEPTION 0x040u
#define VMEXIT_INTR 0x060u
#define VMEXIT_NMI 0x061u
#define VMEXIT_VINTR 0x064u
#define VMEXIT_CR0_SELECTIVE 0x065u
#define VMEXIT_RDPMC 0x06Fu
#define VMEXIT_CPUID 0x072u
#define VMEXIT_SWINT 0x075u
#define VMEXIT_INVD 0x076u
#define VMEXIT_INVLPG 0x079u
#define VMEXIT_HLT 0x078u
#define VMEXIT_IO 0x07Bu
#define VMEXIT_MSR 0x07Cu
#define VMEXIT_TASK_SWITCH 0x07Du
#define VMEXIT_SHUTDOWN 0x07Fu
#define VMEXIT_VMRUN 0x080u
#define VMEXIT_VMMCALL 0x081u
#define VMEXIT_WBINVD 0x089u
#define VMEXIT_MONITOR 0x08Au
#define VMEXIT_XSETBV 0x08Du
#define VMEXIT_NPF 0x400u
#define VMEXIT_INVALID 0xFFFFFFFFu /* compare the low 32 bits: QEMU does not sign-extend */

/* EXITINFO1 of VMEXIT_IO, section 15.10.2. Bits 31:16 are the port; EXITINFO2 is the next RIP. */
#define IO_IN 0x001u
#define IO_STRING 0x004u
#define IO_REP 0x008u
#define IO_SIZE_SHIFT 4
#define IO_BYTE (1u << IO_SIZE_SHIFT)

/* Clean bits, section 15.15.3: a set bit says that these fields are as the last exit left them. */
#define CLEAN_INTERCEPTS (1u << 0) /* and the TSC offset */
#define CLEAN_V_INTR (1u << 3)
#define CLEAN_NESTED (1u << 4) /* and the PAT */
#define CLEAN_CR (1u << 5)
#define CLEAN_DR (1u << 6)
#define CLEAN_TABLES (1u << 7)
#define CLEAN_SEGMENTS (1u << 8)
#define CLEAN_CR2 (1u << 9)
#define CLEAN_ALL 0x3FFu

/* Pages of the permission maps, sections 15.10.1 and 15.11. */
#define IOPM_PAGES 3
#define MSRPM_PAGES 2

/* Event injection and EXITINTINFO, section 15.20. */
#define EVENT_VALID (1ull << 31)
#define EVENT_HAS_ERROR (1ull << 11)
#define EVENT_TYPE_SHIFT 8
#define EVENT_TYPE_INTR 0u
#define EVENT_TYPE_NMI 2u
#define EVENT_TYPE_EXCEPTION 3u
#define EVENT_TYPE_SOFT 4u

/* Virtual interrupt control, section 15.21. */
#define V_IRQ (1ull << 8)
#define V_PRIORITY_MAX (15ull << 16)
#define V_IGNORE_TPR (1ull << 20)
#define V_INTR_MASKING (1ull << 24)

#endif
