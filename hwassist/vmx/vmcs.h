/* The fields of the VMCS that this VMM uses (SDM vol. 3D appendix B), and the control bits
 * (vol. 3C sections 24.6 to 24.8). */
#ifndef TRIVISOR_VMCS_H
#define TRIVISOR_VMCS_H

#include "types.h"

/* X(name, encoding). The encoding tells the width: bits 14:13 are 0 16-bit, 1 64-bit, 2 32-bit,
 * 3 natural. */
#define VMCS_FIELDS(X)                                                                             \
    X(VPID, 0x0000)                                                                                \
    X(GUEST_ES, 0x0800)                                                                            \
    X(GUEST_CS, 0x0802)                                                                            \
    X(GUEST_SS, 0x0804)                                                                            \
    X(GUEST_DS, 0x0806)                                                                            \
    X(GUEST_FS, 0x0808)                                                                            \
    X(GUEST_GS, 0x080A)                                                                            \
    X(GUEST_LDTR, 0x080C)                                                                          \
    X(GUEST_TR, 0x080E)                                                                            \
    X(HOST_ES, 0x0C00)                                                                             \
    X(HOST_CS_SEL, 0x0C02)                                                                         \
    X(HOST_SS, 0x0C04)                                                                             \
    X(HOST_DS_SEL, 0x0C06)                                                                         \
    X(HOST_FS, 0x0C08)                                                                             \
    X(HOST_GS, 0x0C0A)                                                                             \
    X(HOST_TR_SEL, 0x0C0C)                                                                         \
    X(IO_BITMAP_A, 0x2000)                                                                         \
    X(IO_BITMAP_B, 0x2002)                                                                         \
    X(MSR_BITMAP, 0x2004)                                                                          \
    X(TSC_OFFSET, 0x2010)                                                                          \
    X(EPT_POINTER, 0x201A)                                                                         \
    X(GUEST_PHYSICAL, 0x2400)                                                                      \
    X(LINK_POINTER, 0x2800)                                                                        \
    X(GUEST_PAT, 0x2804)                                                                           \
    X(GUEST_EFER, 0x2806)                                                                          \
    X(HOST_PAT, 0x2C00)                                                                            \
    X(HOST_EFER, 0x2C02)                                                                           \
    X(PIN_CONTROLS, 0x4000)                                                                        \
    X(CPU_CONTROLS, 0x4002)                                                                        \
    X(EXCEPTION_BITMAP, 0x4004)                                                                    \
    X(PF_ERROR_MASK, 0x4006)                                                                       \
    X(PF_ERROR_MATCH, 0x4008)                                                                      \
    X(CR3_TARGETS, 0x400A)                                                                         \
    X(EXIT_CONTROLS, 0x400C)                                                                       \
    X(EXIT_MSR_STORES, 0x400E)                                                                     \
    X(EXIT_MSR_LOADS, 0x4010)                                                                      \
    X(ENTRY_CONTROLS, 0x4012)                                                                      \
    X(ENTRY_MSR_LOADS, 0x4014)                                                                     \
    X(ENTRY_EVENT, 0x4016)                                                                         \
    X(ENTRY_EVENT_ERROR, 0x4018)                                                                   \
    X(ENTRY_EVENT_LENGTH, 0x401A)                                                                  \
    X(CPU_CONTROLS2, 0x401E)                                                                       \
    X(INSTRUCTION_ERROR, 0x4400)                                                                   \
    X(EXIT_REASON, 0x4402)                                                                         \
    X(EXIT_EVENT, 0x4404)                                                                          \
    X(EXIT_EVENT_ERROR, 0x4406)                                                                    \
    X(IDT_EVENT, 0x4408)                                                                           \
    X(IDT_EVENT_ERROR, 0x440A)                                                                     \
    X(INSTRUCTION_LENGTH, 0x440C)                                                                  \
    X(INSTRUCTION_INFO, 0x440E)                                                                    \
    X(GUEST_ES_LIMIT, 0x4800)                                                                      \
    X(GUEST_GDTR_LIMIT, 0x4810)                                                                    \
    X(GUEST_IDTR_LIMIT, 0x4812)                                                                    \
    X(GUEST_ES_RIGHTS, 0x4814)                                                                     \
    X(GUEST_INTERRUPTIBILITY, 0x4824)                                                              \
    X(GUEST_ACTIVITY, 0x4826)                                                                      \
    X(GUEST_SYSENTER_CS, 0x482A)                                                                   \
    X(HOST_SYSENTER_CS, 0x4C00)                                                                    \
    X(CR0_MASK, 0x6000)                                                                            \
    X(CR4_MASK, 0x6002)                                                                            \
    X(CR0_SHADOW, 0x6004)                                                                          \
    X(CR4_SHADOW, 0x6006)                                                                          \
    X(QUALIFICATION, 0x6400)                                                                       \
    X(GUEST_CR0, 0x6800)                                                                           \
    X(GUEST_CR3, 0x6802)                                                                           \
    X(GUEST_CR4, 0x6804)                                                                           \
    X(GUEST_ES_BASE, 0x6806)                                                                       \
    X(GUEST_GDTR_BASE, 0x6816)                                                                     \
    X(GUEST_IDTR_BASE, 0x6818)                                                                     \
    X(GUEST_DR7, 0x681A)                                                                           \
    X(GUEST_ESP, 0x681C)                                                                           \
    X(GUEST_EIP, 0x681E)                                                                           \
    X(GUEST_EFLAGS, 0x6820)                                                                        \
    X(GUEST_PENDING_DEBUG, 0x6822)                                                                 \
    X(GUEST_SYSENTER_ESP, 0x6824)                                                                  \
    X(GUEST_SYSENTER_EIP, 0x6826)                                                                  \
    X(HOST_CR0, 0x6C00)                                                                            \
    X(HOST_CR3, 0x6C02)                                                                            \
    X(HOST_CR4, 0x6C04)                                                                            \
    X(HOST_FS_BASE, 0x6C06)                                                                        \
    X(HOST_GS_BASE, 0x6C08)                                                                        \
    X(HOST_TR_BASE, 0x6C0A)                                                                        \
    X(HOST_GDTR_BASE, 0x6C0C)                                                                      \
    X(HOST_IDTR_BASE, 0x6C0E)                                                                      \
    X(HOST_SYSENTER_ESP, 0x6C10)                                                                   \
    X(HOST_SYSENTER_EIP, 0x6C12)                                                                   \
    X(HOST_ESP, 0x6C14)                                                                            \
    X(HOST_EIP, 0x6C16)

enum vmcs_field {
#define X(name, encoding) VMCS_##name = encoding,
    VMCS_FIELDS(X)
#undef X
};

/* The fields of the eight segment registers follow one another in the order of enum sreg. */
#define VMCS_SEGMENT(first, reg) ((enum vmcs_field)((first) + 2 * (reg)))

#define PIN_EXTERNAL_INTERRUPT (1u << 0)
#define PIN_NMI (1u << 3)

#define CPU_INTERRUPT_WINDOW (1u << 2)
#define CPU_TSC_OFFSET (1u << 3)
#define CPU_HLT (1u << 7)
#define CPU_MWAIT (1u << 10)
#define CPU_RDPMC (1u << 11)
#define CPU_CR3_LOAD (1u << 15)
#define CPU_CR3_STORE (1u << 16)
#define CPU_UNCONDITIONAL_IO (1u << 24)
#define CPU_MONITOR (1u << 29)
#define CPU_SECONDARY (1u << 31)

#define CPU2_EPT (1u << 1)
#define CPU2_VPID (1u << 5)
#define CPU2_WBINVD (1u << 6)
#define CPU2_UNRESTRICTED (1u << 7)

#define EXIT_SAVE_PAT (1u << 18)
#define EXIT_LOAD_PAT (1u << 19)
#define EXIT_LOAD_EFER (1u << 21)
#define ENTRY_LOAD_PAT (1u << 14)
#define ENTRY_LOAD_EFER (1u << 15)

/* Basic exit reasons, appendix C. */
enum vmx_reason {
    VMX_EXCEPTION = 0,
    VMX_EXTERNAL_INTERRUPT = 1,
    VMX_TRIPLE_FAULT = 2,
    VMX_INTERRUPT_WINDOW = 7,
    VMX_TASK_SWITCH = 9,
    VMX_CPUID = 10,
    VMX_HLT = 12,
    VMX_INVD = 13,
    VMX_INVLPG = 14,
    VMX_RDPMC = 15,
    VMX_VMCALL = 18,
    VMX_VMXON = 27,
    VMX_CR = 28,
    VMX_DR = 29,
    VMX_IO = 30,
    VMX_RDMSR = 31,
    VMX_WRMSR = 32,
    VMX_BAD_GUEST_STATE = 33,
    VMX_BAD_MSR_LOAD = 34,
    VMX_EPT_VIOLATION = 48,
    VMX_EPT_MISCONFIGURATION = 49,
    VMX_WBINVD = 54,
    VMX_XSETBV = 55,
};
#define VMX_ENTRY_FAILED (1u << 31)

/* Interruption information, section 24.8.3. */
#define INFO_VALID (1u << 31)
#define INFO_HAS_ERROR (1u << 11)
#define INFO_TYPE_SHIFT 8
#define INFO_TYPE_EXTERNAL 0u
#define INFO_TYPE_NMI 2u
#define INFO_TYPE_EXCEPTION 3u
#define INFO_TYPE_SOFT_INT 4u
#define INFO_TYPE_SOFT_EXCEPTION 6u

#define BLOCKING_STI 1u
#define BLOCKING_MOV_SS 2u

/* VMREAD and VMWRITE on the current VMCS. A failure is a mistake of the VMM. */
uint32_t vmcs_read(enum vmcs_field field);
void vmcs_write(enum vmcs_field field, uint32_t value);
void vmcs_write64(enum vmcs_field field, uint64_t value); /* 64-bit fields: two halves */
uint64_t vmcs_read64(enum vmcs_field field);

#endif
