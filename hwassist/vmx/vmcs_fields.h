/*
 * The VMCS as data: its fields (SDM vol. 3D appendix B), the control bits (vol. 3C sections 24.6
 * to 24.8) and the basic exit reasons (vol. 3D appendix C). Only definitions: no code, so that
 * hosted tests share them. vmcs.h reads and writes the fields.
 */
#ifndef TRIVISOR_VMCS_FIELDS_H
#define TRIVISOR_VMCS_FIELDS_H

#include "types.h"

/* What an encoding says about its field (section 24.11.2): bits 14:13 and 11:10. */
enum vmcs_width { VMCS_16, VMCS_64, VMCS_32, VMCS_NATURAL };
enum vmcs_group { VMCS_CONTROL, VMCS_EXIT_INFO, VMCS_GUEST, VMCS_HOST };
#define VMCS_WIDTH_OF(encoding) ((enum vmcs_width)((encoding) >> 13 & 3))
#define VMCS_GROUP_OF(encoding) ((enum vmcs_group)((encoding) >> 10 & 3))

/* The fields that this VMM uses or checks. X(name, encoding, width, group). */
#define VMCS_FIELDS(X)                                                                             \
    X(VPID, 0x0000, 16, CONTROL)                                                                   \
    X(POSTED_VECTOR, 0x0002, 16, CONTROL)                                                          \
    X(GUEST_ES, 0x0800, 16, GUEST)                                                                 \
    X(GUEST_CS, 0x0802, 16, GUEST)                                                                 \
    X(GUEST_SS, 0x0804, 16, GUEST)                                                                 \
    X(GUEST_DS, 0x0806, 16, GUEST)                                                                 \
    X(GUEST_FS, 0x0808, 16, GUEST)                                                                 \
    X(GUEST_GS, 0x080A, 16, GUEST)                                                                 \
    X(GUEST_LDTR, 0x080C, 16, GUEST)                                                               \
    X(GUEST_TR, 0x080E, 16, GUEST)                                                                 \
    X(HOST_ES_SEL, 0x0C00, 16, HOST)                                                               \
    X(HOST_CS_SEL, 0x0C02, 16, HOST)                                                               \
    X(HOST_SS_SEL, 0x0C04, 16, HOST)                                                               \
    X(HOST_DS_SEL, 0x0C06, 16, HOST)                                                               \
    X(HOST_FS_SEL, 0x0C08, 16, HOST)                                                               \
    X(HOST_GS_SEL, 0x0C0A, 16, HOST)                                                               \
    X(HOST_TR_SEL, 0x0C0C, 16, HOST)                                                               \
    X(IO_BITMAP_A, 0x2000, 64, CONTROL)                                                            \
    X(IO_BITMAP_B, 0x2002, 64, CONTROL)                                                            \
    X(MSR_BITMAP, 0x2004, 64, CONTROL)                                                             \
    X(EXIT_MSR_STORE_AREA, 0x2006, 64, CONTROL)                                                    \
    X(EXIT_MSR_LOAD_AREA, 0x2008, 64, CONTROL)                                                     \
    X(ENTRY_MSR_LOAD_AREA, 0x200A, 64, CONTROL)                                                    \
    X(PML_ADDRESS, 0x200E, 64, CONTROL)                                                            \
    X(TSC_OFFSET, 0x2010, 64, CONTROL)                                                             \
    X(VIRTUAL_APIC, 0x2012, 64, CONTROL)                                                           \
    X(APIC_ACCESS, 0x2014, 64, CONTROL)                                                            \
    X(POSTED_DESCRIPTOR, 0x2016, 64, CONTROL)                                                      \
    X(EPT_POINTER, 0x201A, 64, CONTROL)                                                            \
    X(GUEST_PHYSICAL, 0x2400, 64, EXIT_INFO)                                                       \
    X(LINK_POINTER, 0x2800, 64, GUEST)                                                             \
    X(GUEST_DEBUGCTL, 0x2802, 64, GUEST)                                                           \
    X(GUEST_PAT, 0x2804, 64, GUEST)                                                                \
    X(GUEST_EFER, 0x2806, 64, GUEST)                                                               \
    X(GUEST_PERF_GLOBAL, 0x2808, 64, GUEST)                                                        \
    X(GUEST_PDPTE0, 0x280A, 64, GUEST)                                                             \
    X(GUEST_PDPTE1, 0x280C, 64, GUEST)                                                             \
    X(GUEST_PDPTE2, 0x280E, 64, GUEST)                                                             \
    X(GUEST_PDPTE3, 0x2810, 64, GUEST)                                                             \
    X(HOST_PAT, 0x2C00, 64, HOST)                                                                  \
    X(HOST_EFER, 0x2C02, 64, HOST)                                                                 \
    X(HOST_PERF_GLOBAL, 0x2C04, 64, HOST)                                                          \
    X(PIN_CONTROLS, 0x4000, 32, CONTROL)                                                           \
    X(CPU_CONTROLS, 0x4002, 32, CONTROL)                                                           \
    X(EXCEPTION_BITMAP, 0x4004, 32, CONTROL)                                                       \
    X(PF_ERROR_MASK, 0x4006, 32, CONTROL)                                                          \
    X(PF_ERROR_MATCH, 0x4008, 32, CONTROL)                                                         \
    X(CR3_TARGETS, 0x400A, 32, CONTROL)                                                            \
    X(EXIT_CONTROLS, 0x400C, 32, CONTROL)                                                          \
    X(EXIT_MSR_STORES, 0x400E, 32, CONTROL)                                                        \
    X(EXIT_MSR_LOADS, 0x4010, 32, CONTROL)                                                         \
    X(ENTRY_CONTROLS, 0x4012, 32, CONTROL)                                                         \
    X(ENTRY_MSR_LOADS, 0x4014, 32, CONTROL)                                                        \
    X(ENTRY_EVENT, 0x4016, 32, CONTROL)                                                            \
    X(ENTRY_EVENT_ERROR, 0x4018, 32, CONTROL)                                                      \
    X(ENTRY_EVENT_LENGTH, 0x401A, 32, CONTROL)                                                     \
    X(TPR_THRESHOLD, 0x401C, 32, CONTROL)                                                          \
    X(CPU_CONTROLS2, 0x401E, 32, CONTROL)                                                          \
    X(INSTRUCTION_ERROR, 0x4400, 32, EXIT_INFO)                                                    \
    X(EXIT_REASON, 0x4402, 32, EXIT_INFO)                                                          \
    X(EXIT_EVENT, 0x4404, 32, EXIT_INFO)                                                           \
    X(EXIT_EVENT_ERROR, 0x4406, 32, EXIT_INFO)                                                     \
    X(IDT_EVENT, 0x4408, 32, EXIT_INFO)                                                            \
    X(IDT_EVENT_ERROR, 0x440A, 32, EXIT_INFO)                                                      \
    X(INSTRUCTION_LENGTH, 0x440C, 32, EXIT_INFO)                                                   \
    X(INSTRUCTION_INFO, 0x440E, 32, EXIT_INFO)                                                     \
    X(GUEST_ES_LIMIT, 0x4800, 32, GUEST)                                                           \
    X(GUEST_CS_LIMIT, 0x4802, 32, GUEST)                                                           \
    X(GUEST_SS_LIMIT, 0x4804, 32, GUEST)                                                           \
    X(GUEST_DS_LIMIT, 0x4806, 32, GUEST)                                                           \
    X(GUEST_FS_LIMIT, 0x4808, 32, GUEST)                                                           \
    X(GUEST_GS_LIMIT, 0x480A, 32, GUEST)                                                           \
    X(GUEST_LDTR_LIMIT, 0x480C, 32, GUEST)                                                         \
    X(GUEST_TR_LIMIT, 0x480E, 32, GUEST)                                                           \
    X(GUEST_GDTR_LIMIT, 0x4810, 32, GUEST)                                                         \
    X(GUEST_IDTR_LIMIT, 0x4812, 32, GUEST)                                                         \
    X(GUEST_ES_RIGHTS, 0x4814, 32, GUEST)                                                          \
    X(GUEST_CS_RIGHTS, 0x4816, 32, GUEST)                                                          \
    X(GUEST_SS_RIGHTS, 0x4818, 32, GUEST)                                                          \
    X(GUEST_DS_RIGHTS, 0x481A, 32, GUEST)                                                          \
    X(GUEST_FS_RIGHTS, 0x481C, 32, GUEST)                                                          \
    X(GUEST_GS_RIGHTS, 0x481E, 32, GUEST)                                                          \
    X(GUEST_LDTR_RIGHTS, 0x4820, 32, GUEST)                                                        \
    X(GUEST_TR_RIGHTS, 0x4822, 32, GUEST)                                                          \
    X(GUEST_INTERRUPTIBILITY, 0x4824, 32, GUEST)                                                   \
    X(GUEST_ACTIVITY, 0x4826, 32, GUEST)                                                           \
    X(GUEST_SYSENTER_CS, 0x482A, 32, GUEST)                                                        \
    X(PREEMPTION_TIMER, 0x482E, 32, GUEST)                                                         \
    X(HOST_SYSENTER_CS, 0x4C00, 32, HOST)                                                          \
    X(CR0_MASK, 0x6000, NATURAL, CONTROL)                                                          \
    X(CR4_MASK, 0x6002, NATURAL, CONTROL)                                                          \
    X(CR0_SHADOW, 0x6004, NATURAL, CONTROL)                                                        \
    X(CR4_SHADOW, 0x6006, NATURAL, CONTROL)                                                        \
    X(QUALIFICATION, 0x6400, NATURAL, EXIT_INFO)                                                   \
    X(GUEST_LINEAR, 0x640A, NATURAL, EXIT_INFO)                                                    \
    X(GUEST_CR0, 0x6800, NATURAL, GUEST)                                                           \
    X(GUEST_CR3, 0x6802, NATURAL, GUEST)                                                           \
    X(GUEST_CR4, 0x6804, NATURAL, GUEST)                                                           \
    X(GUEST_ES_BASE, 0x6806, NATURAL, GUEST)                                                       \
    X(GUEST_CS_BASE, 0x6808, NATURAL, GUEST)                                                       \
    X(GUEST_SS_BASE, 0x680A, NATURAL, GUEST)                                                       \
    X(GUEST_DS_BASE, 0x680C, NATURAL, GUEST)                                                       \
    X(GUEST_FS_BASE, 0x680E, NATURAL, GUEST)                                                       \
    X(GUEST_GS_BASE, 0x6810, NATURAL, GUEST)                                                       \
    X(GUEST_LDTR_BASE, 0x6812, NATURAL, GUEST)                                                     \
    X(GUEST_TR_BASE, 0x6814, NATURAL, GUEST)                                                       \
    X(GUEST_GDTR_BASE, 0x6816, NATURAL, GUEST)                                                     \
    X(GUEST_IDTR_BASE, 0x6818, NATURAL, GUEST)                                                     \
    X(GUEST_DR7, 0x681A, NATURAL, GUEST)                                                           \
    X(GUEST_ESP, 0x681C, NATURAL, GUEST)                                                           \
    X(GUEST_EIP, 0x681E, NATURAL, GUEST)                                                           \
    X(GUEST_EFLAGS, 0x6820, NATURAL, GUEST)                                                        \
    X(GUEST_PENDING_DEBUG, 0x6822, NATURAL, GUEST)                                                 \
    X(GUEST_SYSENTER_ESP, 0x6824, NATURAL, GUEST)                                                  \
    X(GUEST_SYSENTER_EIP, 0x6826, NATURAL, GUEST)                                                  \
    X(HOST_CR0, 0x6C00, NATURAL, HOST)                                                             \
    X(HOST_CR3, 0x6C02, NATURAL, HOST)                                                             \
    X(HOST_CR4, 0x6C04, NATURAL, HOST)                                                             \
    X(HOST_FS_BASE, 0x6C06, NATURAL, HOST)                                                         \
    X(HOST_GS_BASE, 0x6C08, NATURAL, HOST)                                                         \
    X(HOST_TR_BASE, 0x6C0A, NATURAL, HOST)                                                         \
    X(HOST_GDTR_BASE, 0x6C0C, NATURAL, HOST)                                                       \
    X(HOST_IDTR_BASE, 0x6C0E, NATURAL, HOST)                                                       \
    X(HOST_SYSENTER_ESP, 0x6C10, NATURAL, HOST)                                                    \
    X(HOST_SYSENTER_EIP, 0x6C12, NATURAL, HOST)                                                    \
    X(HOST_ESP, 0x6C14, NATURAL, HOST) /* enter.asm knows the encoding */                          \
    X(HOST_EIP, 0x6C16, NATURAL, HOST)

enum vmcs_field {
#define X(name, encoding, width, group) VMCS_##name = encoding,
    VMCS_FIELDS(X)
#undef X
};

/* A typing error in an encoding is most likely to contradict its own width or group. */
#define X(name, encoding, width, group)                                                            \
    _Static_assert(VMCS_WIDTH_OF(encoding) == VMCS_##width, #name ": width");                      \
    _Static_assert(VMCS_GROUP_OF(encoding) == VMCS_##group, #name ": group");
VMCS_FIELDS(X)
#undef X

/* The fields of the eight segment registers follow one another in the order of enum sreg. */
#define VMCS_SEGMENT(first, reg) ((enum vmcs_field)((first) + 2 * (reg)))

/* Pin-based controls, section 24.6.1. */
#define PIN_EXTERNAL_INTERRUPT (1u << 0)
#define PIN_NMI (1u << 3)
#define PIN_VIRTUAL_NMI (1u << 5)
#define PIN_PREEMPTION_TIMER (1u << 6)
#define PIN_POSTED_INTERRUPTS (1u << 7)

/* Primary and secondary processor-based controls, section 24.6.2. */
#define CPU_INTERRUPT_WINDOW (1u << 2)
#define CPU_TSC_OFFSET (1u << 3)
#define CPU_HLT (1u << 7)
#define CPU_INVLPG (1u << 9)
#define CPU_MWAIT (1u << 10)
#define CPU_RDPMC (1u << 11)
#define CPU_CR3_LOAD (1u << 15)
#define CPU_CR3_STORE (1u << 16)
#define CPU_TPR_SHADOW (1u << 21)
#define CPU_NMI_WINDOW (1u << 22)
#define CPU_UNCONDITIONAL_IO (1u << 24)
#define CPU_IO_BITMAPS (1u << 25)
#define CPU_TRAP_FLAG (1u << 27) /* monitor trap flag */
#define CPU_MSR_BITMAPS (1u << 28)
#define CPU_MONITOR (1u << 29)
#define CPU_SECONDARY (1u << 31)
#define CPU2_APIC_ACCESS (1u << 0) /* virtualize APIC accesses */
#define CPU2_EPT (1u << 1)
#define CPU2_X2APIC (1u << 4)
#define CPU2_VPID (1u << 5)
#define CPU2_WBINVD (1u << 6)
#define CPU2_UNRESTRICTED (1u << 7)
#define CPU2_APIC_REGISTERS (1u << 8)
#define CPU2_VIRTUAL_DELIVERY (1u << 9) /* virtual-interrupt delivery */
#define CPU2_VMCS_SHADOWING (1u << 14)
#define CPU2_PML (1u << 17)
#define CPU2_MODE_EXECUTE (1u << 22) /* mode-based execute control for EPT */

/* VM-exit and VM-entry controls, sections 24.7.1 and 24.8.1. */
#define EXIT_SAVE_DEBUG (1u << 2)
#define EXIT_HOST_64BIT (1u << 9)
#define EXIT_LOAD_PERF_GLOBAL (1u << 12)
#define EXIT_ACKNOWLEDGE (1u << 15)
#define EXIT_LOAD_PAT (1u << 19)
#define EXIT_LOAD_EFER (1u << 21)
#define EXIT_SAVE_TIMER (1u << 22)
#define ENTRY_LOAD_DEBUG (1u << 2)
#define ENTRY_GUEST_64BIT (1u << 9)
#define ENTRY_TO_SMM (1u << 10)
#define ENTRY_LEAVE_DUAL_MONITOR (1u << 11)
#define ENTRY_LOAD_PERF_GLOBAL (1u << 13)
#define ENTRY_LOAD_PAT (1u << 14)
#define ENTRY_LOAD_EFER (1u << 15)

/* Interruption information of entries, exits and IDT vectoring, section 24.8.3. */
#define INFO_VALID (1u << 31)
#define INFO_HAS_ERROR (1u << 11)
#define INFO_RESERVED 0x7FFFF000u
#define INFO_VECTOR 0xFFu
#define INFO_TYPE_SHIFT 8
#define INFO_TYPE(info) ((enum info_type)((info) >> INFO_TYPE_SHIFT & 7))
enum info_type {
    INFO_EXTERNAL,
    INFO_TYPE_RESERVED,
    INFO_NMI,
    INFO_EXCEPTION,
    INFO_SOFT_INT,
    INFO_PRIVILEGED_SOFT, /* INT1 */
    INFO_SOFT_EXCEPTION,  /* INT3, INTO */
    INFO_OTHER,
};

/* Guest interruptibility state, section 24.4.2. The first two are SHADOW_STI, SHADOW_MOV_SS. */
#define BLOCKING_STI 1u
#define BLOCKING_MOV_SS 2u
#define BLOCKING_SMI 4u
#define BLOCKING_NMI 8u

/* Guest activity state, section 24.4.2. */
enum activity { ACTIVITY_ACTIVE, ACTIVITY_HLT, ACTIVITY_SHUTDOWN, ACTIVITY_WAIT_SIPI };
#define PENDING_DEBUG_BS (1u << 14) /* a single step is due */

/* Basic exit reasons. X(name, number, what it means). */
#define VMX_REASONS(X)                                                                             \
    X(EXCEPTION, 0, "an exception or an NMI")                                                      \
    X(EXTERNAL_INTERRUPT, 1, "an external interrupt")                                              \
    X(TRIPLE_FAULT, 2, "a triple fault")                                                           \
    X(INIT, 3, "an INIT signal")                                                                   \
    X(SIPI, 4, "a start-up IPI")                                                                   \
    X(INTERRUPT_WINDOW, 7, "an interrupt window")                                                  \
    X(TASK_SWITCH, 9, "a task switch")                                                             \
    X(CPUID, 10, "CPUID")                                                                          \
    X(GETSEC, 11, "GETSEC")                                                                        \
    X(HLT, 12, "HLT")                                                                              \
    X(INVD, 13, "INVD")                                                                            \
    X(INVLPG, 14, "INVLPG")                                                                        \
    X(RDPMC, 15, "RDPMC")                                                                          \
    X(RDTSC, 16, "RDTSC")                                                                          \
    X(VMCALL, 18, "VMCALL")                                                                        \
    X(VMCLEAR, 19, "VMCLEAR")                                                                      \
    X(VMLAUNCH, 20, "VMLAUNCH")                                                                    \
    X(VMPTRLD, 21, "VMPTRLD")                                                                      \
    X(VMPTRST, 22, "VMPTRST")                                                                      \
    X(VMREAD, 23, "VMREAD")                                                                        \
    X(VMRESUME, 24, "VMRESUME")                                                                    \
    X(VMWRITE, 25, "VMWRITE")                                                                      \
    X(VMXOFF, 26, "VMXOFF")                                                                        \
    X(VMXON, 27, "VMXON")                                                                          \
    X(CR, 28, "access to a control register")                                                      \
    X(DR, 29, "access to a debug register")                                                        \
    X(IO, 30, "port access")                                                                       \
    X(RDMSR, 31, "RDMSR")                                                                          \
    X(WRMSR, 32, "WRMSR")                                                                          \
    X(BAD_GUEST_STATE, 33, "VM entry refused the guest state")                                     \
    X(BAD_MSR_LOAD, 34, "VM entry could not load an MSR")                                          \
    X(MWAIT, 36, "MWAIT")                                                                          \
    X(MONITOR, 39, "MONITOR")                                                                      \
    X(MACHINE_CHECK, 41, "a machine check during VM entry")                                        \
    X(EPT_VIOLATION, 48, "an EPT violation")                                                       \
    X(EPT_MISCONFIGURATION, 49, "an EPT misconfiguration")                                         \
    X(INVEPT, 50, "INVEPT")                                                                        \
    X(PREEMPTION_TIMER, 52, "the preemption timer")                                                \
    X(INVVPID, 53, "INVVPID")                                                                      \
    X(WBINVD, 54, "WBINVD")                                                                        \
    X(XSETBV, 55, "XSETBV")

enum vmx_reason {
#define X(name, number, what) VMX_##name = number,
    VMX_REASONS(X)
#undef X
};
#define VMX_REASON_BASIC 0xFFFFu
#define VMX_ENTRY_FAILED (1u << 31)

#endif
