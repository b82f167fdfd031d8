/* The fields of the VMCS that stay as they are while the guest runs (SDM vol. 3C sections 24.5 to
 * 24.8). Called with the VMCS current. */
#include <string.h>

#include "cpu.h"
#include "vmcs.h"
#include "vmm.h"
#include "vmx.h"
#include "x86.h"

#define EPT_POINTER_WRITE_BACK 6u
#define EPT_POINTER_LEVELS (3u << 3) /* four, less one */

/* The longest stay in the guest: 1/8 s. That is longer than the host's own timer ever waits (55
 * ms), so that it ends a stay only when Bochs keeps that timer from doing so (see vtx_run). */
#define STAYS_PER_SECOND 8

/* CR4 bits that a guest may change without an exit. All others are not offered by our CPUID, or
 * are the host's (VMXE): the guest sees them as it set them, and changes of them exit. */
#define CR4_FREE (CR4_TSD | CR4_DE | CR4_PSE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT)

/* SYSENTER's MSRs are switched with the guest: no access to them exits. The bits of reads of low
 * MSRs come first, those of writes 2 KB behind (section 24.6.9). */
void vmx_fill_msr_bitmap(uint8_t *bitmap)
{
    const unsigned writes = 0x800;
    memset(bitmap, 0xFF, PAGE_SIZE);
    for (unsigned msr = MSR_SYSENTER_CS; msr <= MSR_SYSENTER_EIP; msr++) {
        bitmap[msr / 8] &= (uint8_t) ~(1u << msr % 8);
        bitmap[writes + msr / 8] &= (uint8_t) ~(1u << msr % 8);
    }
}

static void setup_controls(const struct vmx *vmx)
{
    const struct vmx_controls *c = &vmx->controls;
    vmcs_write(VMCS_PIN_CONTROLS, c->word[WORD_PIN]);
    vmcs_write(VMCS_CPU_CONTROLS, c->word[WORD_CPU]);
    if (c->word[WORD_CPU] & CPU_SECONDARY)
        vmcs_write(VMCS_CPU_CONTROLS2,
                   vmx->vpid ? c->word[WORD_CPU2] : c->word[WORD_CPU2] & ~CPU2_VPID);
    vmcs_write(VMCS_EXIT_CONTROLS, c->word[WORD_EXIT]);
    vmcs_write(VMCS_ENTRY_CONTROLS, c->word[WORD_ENTRY]);
    vmcs_write(VMCS_EXCEPTION_BITMAP, 0); /* but see load_form() in state.c */
    vmcs_write(VMCS_PF_ERROR_MASK, 0);
    vmcs_write(VMCS_PF_ERROR_MATCH, 0);
    vmcs_write(VMCS_CR3_TARGETS, 0);
    vmcs_write(VMCS_EXIT_MSR_STORES, 0);
    vmcs_write(VMCS_EXIT_MSR_LOADS, 0);
    vmcs_write(VMCS_ENTRY_MSR_LOADS, 0);
    vmcs_write(VMCS_ENTRY_EVENT, 0);
    if (!vmx->paging.shadowed)
        vmcs_write64(VMCS_EPT_POINTER, ptr_to_hpa(vmx->paging.map.root) | EPT_POINTER_WRITE_BACK |
                                           EPT_POINTER_LEVELS);
    if (vmx->vpid)
        vmcs_write(VMCS_VPID, vmx->vpid);
    if (vmx->msr_bitmap)
        vmcs_write64(VMCS_MSR_BITMAP, ptr_to_hpa(vmx->msr_bitmap));
    /* Caching is the host's: VM exits do not put CR0.CD and CR0.NW back (section 27.5.1). */
    vmcs_write(VMCS_CR0_MASK, vmx->cr0_forced | CR0_CD | CR0_NW);
    vmcs_write(VMCS_CR4_MASK, ~CR4_FREE | (vmx->paging.shadowed ? SHADOWED_CR4 : 0) |
                                  (c->unrestricted ? 0 : CR4_PSE));
}

static void setup_guest(const struct vmx *vmx)
{
    const struct vmx_controls *c = &vmx->controls;
    vmcs_write64(VMCS_LINK_POINTER, UINT64_MAX);
    vmcs_write64(VMCS_GUEST_DEBUGCTL, 0);
    if (c->word[WORD_ENTRY] & ENTRY_LOAD_EFER)
        vmcs_write64(VMCS_GUEST_EFER, 0);
    if (c->word[WORD_PIN] & PIN_PREEMPTION_TIMER)
        vmcs_write(VMCS_PREEMPTION_TIMER,
                   (uint32_t)(host_tsc_hz / STAYS_PER_SECOND >> c->timer_shift) + 1);
    vmcs_write(VMCS_GUEST_ACTIVITY, 0); /* active: HLT is common code's */
    vmcs_write(VMCS_GUEST_PENDING_DEBUG, 0);
    vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, 0);
}

/* An exit loads flat segments and descriptor-table limits of FFFF (section 27.5.2), which is what
 * this host has: nothing needs reloading after it. */
static void setup_host(const struct vmx_controls *c)
{
    struct table_operand gdt, idt;
    __asm__ volatile("sgdt %0\n\tsidt %1" : "=m"(gdt), "=m"(idt));
    vmcs_write(VMCS_HOST_CR0, read_cr0());
    vmcs_write(VMCS_HOST_CR3, read_cr3());
    vmcs_write(VMCS_HOST_CR4, read_cr4());
    if (c->word[WORD_EXIT] & EXIT_LOAD_EFER)
        vmcs_write64(VMCS_HOST_EFER, rdmsr(MSR_EFER));
    if (c->word[WORD_EXIT] & EXIT_LOAD_PAT)
        vmcs_write64(VMCS_HOST_PAT, rdmsr(MSR_PAT));
    vmcs_write(VMCS_HOST_CS_SEL, HOST_CS);
    vmcs_write(VMCS_HOST_SS_SEL, HOST_DS);
    vmcs_write(VMCS_HOST_DS_SEL, HOST_DS);
    vmcs_write(VMCS_HOST_ES_SEL, HOST_DS);
    vmcs_write(VMCS_HOST_FS_SEL, 0);
    vmcs_write(VMCS_HOST_GS_SEL, 0);
    vmcs_write(VMCS_HOST_TR_SEL, HOST_TR);
    vmcs_write(VMCS_HOST_FS_BASE, 0);
    vmcs_write(VMCS_HOST_GS_BASE, 0);
    vmcs_write(VMCS_HOST_TR_BASE, (uint32_t)&host_tss);
    vmcs_write(VMCS_HOST_GDTR_BASE, gdt.base);
    vmcs_write(VMCS_HOST_IDTR_BASE, idt.base);
    vmcs_write(VMCS_HOST_SYSENTER_CS, 0);
    vmcs_write(VMCS_HOST_SYSENTER_ESP, 0);
    vmcs_write(VMCS_HOST_SYSENTER_EIP, 0);
    vmcs_write(VMCS_HOST_EIP, (uint32_t)vmx_exit);
}

void vmx_setup(const struct vmx *vmx)
{
    setup_controls(vmx);
    setup_guest(vmx);
    setup_host(&vmx->controls);
}
