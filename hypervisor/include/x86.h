/*
 * Names for architectural constants (Intel SDM vol. 3A, chapters 2, 3, 4, 6).
 * Only definitions: no code, so that hosted tests and the freestanding VMM share it.
 */
#ifndef TRIVISOR_X86_H
#define TRIVISOR_X86_H

/* EFLAGS, SDM vol. 1 section 3.4.3 */
#define FL_CF 0x00000001u
#define FL_R1 0x00000002u /* always one */
#define FL_PF 0x00000004u
#define FL_AF 0x00000010u
#define FL_ZF 0x00000040u
#define FL_SF 0x00000080u
#define FL_TF 0x00000100u
#define FL_IF 0x00000200u
#define FL_DF 0x00000400u
#define FL_OF 0x00000800u
#define FL_IOPL 0x00003000u
#define FL_IOPL_SHIFT 12
#define FL_NT 0x00004000u
#define FL_RF 0x00010000u
#define FL_VM 0x00020000u
#define FL_AC 0x00040000u
#define FL_VIF 0x00080000u
#define FL_VIP 0x00100000u
#define FL_ID 0x00200000u

/* Control registers, SDM vol. 3A section 2.5 */
#define CR0_PE 0x00000001u
#define CR0_MP 0x00000002u
#define CR0_EM 0x00000004u
#define CR0_TS 0x00000008u
#define CR0_ET 0x00000010u
#define CR0_NE 0x00000020u
#define CR0_WP 0x00010000u
#define CR0_AM 0x00040000u
#define CR0_NW 0x20000000u
#define CR0_CD 0x40000000u
#define CR0_PG 0x80000000u

#define DR6_BREAKPOINTS 0xFu
#define DR6_BS 0x4000u /* single step, SDM vol. 3B section 17.2.3 */
#define DR6_BD (1u << 13)
#define DR7_FIXED (1u << 10) /* always set; with nothing else, no breakpoint is armed */
#define DR7_GD (1u << 13)

#define CR4_VME 0x0001u
#define CR4_PVI 0x0002u
#define CR4_TSD 0x0004u
#define CR4_DE 0x0008u
#define CR4_PSE 0x0010u
#define CR4_PAE 0x0020u
#define CR4_MCE 0x0040u
#define CR4_PGE 0x0080u
#define CR4_PCE 0x0100u
#define CR4_OSFXSR 0x0200u
#define CR4_OSXMMEXCPT 0x0400u
#define CR4_UMIP 0x0800u
#define CR4_LA57 0x1000u
#define CR4_VMXE 0x2000u
#define CR4_FSGSBASE 0x10000u
#define CR4_PCIDE 0x20000u
#define CR4_OSXSAVE 0x40000u
#define CR4_SMEP 0x100000u
#define CR4_SMAP 0x200000u
#define CR4_PKE 0x400000u
#define CR4_CET 0x800000u
#define CR4_PKS 0x1000000u

#define EFER_SCE 0x0001u
#define EFER_LME 0x0100u
#define EFER_LMA 0x0400u
#define EFER_NXE 0x0800u
#define EFER_SVME 0x1000u
#define MSR_EFER 0xC0000080u
#define MSR_TSC 0x00000010u
#define MSR_APIC_BASE 0x0000001Bu
#define MSR_SYSENTER_CS 0x00000174u
#define MSR_SYSENTER_ESP 0x00000175u
#define MSR_SYSENTER_EIP 0x00000176u
#define MSR_PAT 0x00000277u

/* Exception vectors, SDM vol. 3A table 6-1 */
#define VEC_DE 0
#define VEC_DB 1
#define VEC_NMI 2
#define VEC_BP 3
#define VEC_OF 4
#define VEC_BR 5
#define VEC_UD 6
#define VEC_NM 7
#define VEC_DF 8
#define VEC_TS 10
#define VEC_NP 11
#define VEC_SS 12
#define VEC_GP 13
#define VEC_PF 14
#define VEC_MF 16
#define VEC_AC 17
#define VEC_MC 18
#define VEC_XM 19

/* Page-fault error code, SDM vol. 3A section 4.7 */
#define PF_P 0x01u /* the translation exists: a protection violation */
#define PF_W 0x02u /* the access was a write */
#define PF_U 0x04u /* the access was made in user mode */
#define PF_RSVD 0x08u
#define PF_I 0x10u /* instruction fetch */

/* Page-table entry bits, 32-bit and PAE formats, SDM vol. 3A section 4.3 and 4.4 */
#define PTE_P 0x001u
#define PTE_W 0x002u
#define PTE_U 0x004u
#define PTE_PWT 0x008u
#define PTE_PCD 0x010u
#define PTE_A 0x020u
#define PTE_D 0x040u
#define PTE_PS 0x080u
#define LARGE_SHIFT 22 /* of a page of 4 MB */
#define PTE_G 0x100u
#define PTE_NX (1ull << 63) /* PAE only */

/*
 * Segment access rights, as in bytes 5 and 6 of a descriptor (SDM vol. 3A section 3.4.5) and in
 * the layout of the VMCS access-rights field (SDM vol. 3C section 24.4.1):
 * bits 3:0 type, 4 S, 6:5 DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G, 16 unusable.
 */
#define SEG_TYPE 0x0000Fu
#define SEG_ACCESSED 0x00001u
#define SEG_RW 0x00002u   /* readable code, writable data */
#define SEG_CE 0x00004u   /* conforming code, expand-down data */
#define SEG_CODE 0x00008u /* code (with S set) */
#define SEG_S 0x00010u    /* code or data, not system */
#define SEG_DPL 0x00060u
#define SEG_DPL_SHIFT 5
#define SEG_P 0x00080u
#define SEG_AVL 0x01000u
#define SEG_DB 0x04000u
#define SEG_G 0x08000u
#define SEG_UNUSABLE 0x10000u

/* System segment and gate types (S = 0), SDM vol. 3A table 3-2 */
#define SYS_TSS16_AVAIL 0x1u
#define SYS_LDT 0x2u
#define SYS_TSS16_BUSY 0x3u
#define SYS_CALL_GATE16 0x4u
#define SYS_TASK_GATE 0x5u
#define SYS_INT_GATE16 0x6u
#define SYS_TRAP_GATE16 0x7u
#define SYS_TSS32_AVAIL 0x9u
#define SYS_TSS32_BUSY 0xBu
#define SYS_CALL_GATE32 0xCu
#define SYS_INT_GATE32 0xEu
#define SYS_TRAP_GATE32 0xFu

#define SEL_RPL 3u
#define SEL_TI 4u
#define SEL_INDEX 0xFFF8u

#endif
