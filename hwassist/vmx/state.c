/* Canonical vCPU state to the guest-state area of the VMCS and back (SDM vol. 3C section 24.4).
 * CR2 and DR0 to DR3 and DR6 are not in the VMCS: the guest's stay in the CPU, as the host uses
 * none of them. */
#include "cpu.h"
#include "vmcs.h"
#include "vmx.h"
#include "x86.h"

/* Without unrestricted guest paging is always on. With EPT, a guest that has it off gets a page
 * directory of the VMM that maps each address to itself. While it is in use, CR3 is not the guest's
 * own, and the guest's use of it must exit. */
static bool on_identity(const struct vcpu *vcpu)
{
    return vmx_of(vcpu)->identity && !(vcpu->cr0 & CR0_PG);
}

static void load_cr3_exits(struct vmx *vmx, bool on)
{
    uint32_t *controls = &vmx->controls.word[WORD_CPU];
    const uint32_t exits = CPU_CR3_LOAD | CPU_CR3_STORE;
    const uint32_t wanted = on ? exits : vmx->controls.must[WORD_CPU] & exits;
    if ((*controls & exits) == wanted)
        return;
    *controls = (*controls & ~exits) | wanted;
    vmcs_write(VMCS_CPU_CONTROLS, *controls);
}

static void load_control_registers(const struct vcpu *vcpu)
{
    struct vmx *vmx = vmx_of(vcpu);
    const struct vmx_controls *c = &vmx->controls;
    uint32_t cr3 = vcpu->cr3, cr4 = vcpu->cr4;
    if (vmx->paging.shadowed) {
        cr3 = vmx->paging.shadow_cr3;
        cr4 = (cr4 & ~SHADOWED_CR4) | CR4_PAE;
    } else if (vmx->identity) {
        load_cr3_exits(vmx, on_identity(vcpu));
        if (on_identity(vcpu)) {
            cr3 = VMX_IDENTITY_GPA;
            cr4 |= CR4_PSE;
        }
    }
    vmcs_write(VMCS_GUEST_CR0, (vcpu->cr0 | vmx->cr0_forced) & c->cr0_may);
    vmcs_write(VMCS_CR0_SHADOW, vcpu->cr0);
    vmcs_write(VMCS_GUEST_CR4, (cr4 | c->cr4_on) & c->cr4_may);
    vmcs_write(VMCS_CR4_SHADOW, vcpu->cr4);
    vmcs_write(VMCS_GUEST_CR3, cr3);
}

/* Access rights as VM entry wants them (section 26.3.1.2): usable code and data are accessed, the
 * TSS is busy. A loaded register is; only canonical state made by hand may differ. */
static uint32_t rights(const struct segment *s, enum sreg reg)
{
    if (s->attr & SEG_UNUSABLE)
        return s->attr & (SEG_UNUSABLE | SEG_DPL);
    if (reg == SREG_LDTR)
        return s->attr;
    return s->attr | (reg == SREG_TR ? SYS_TSS16_BUSY & ~SYS_TSS16_AVAIL : SEG_ACCESSED);
}

/* Section 26.3.1.2, "virtual-8086 mode": the hidden parts are what the selector says. A TSS that is
 * too short for a map of ports makes IN and OUT fault, and then the VMM does them. */
#define V86_RIGHTS (SEG_P | SEG_DPL | SEG_S | SEG_RW | SEG_ACCESSED)
#define V86_TSS_LIMIT 0x5F

static void load_v86_segments(const struct vcpu *vcpu)
{
    for (enum sreg reg = SREG_ES; reg <= SREG_GS; reg++) {
        const struct segment *s = &vcpu->seg[reg];
        const uint16_t selector = reg == SREG_CS ? (uint16_t)(s->base >> 4) : s->selector;
        vmcs_write(VMCS_SEGMENT(VMCS_GUEST_ES, reg), selector);
        vmcs_write(VMCS_SEGMENT(VMCS_GUEST_ES_BASE, reg), (uint32_t)selector << 4);
        vmcs_write(VMCS_SEGMENT(VMCS_GUEST_ES_LIMIT, reg), 0xFFFF);
        vmcs_write(VMCS_SEGMENT(VMCS_GUEST_ES_RIGHTS, reg), V86_RIGHTS);
    }
    vmcs_write(VMCS_GUEST_LDTR_RIGHTS, SEG_UNUSABLE);
    vmcs_write(VMCS_GUEST_TR, 0);
    vmcs_write(VMCS_GUEST_TR_LIMIT, V86_TSS_LIMIT);
    vmcs_write(VMCS_GUEST_TR_RIGHTS, SEG_P | SYS_TSS32_BUSY);
}

/* A load in virtual-8086 mode changes what it does in real mode; limit and rights stay there. */
static void store_v86_segments(struct vcpu *vcpu)
{
    for (enum sreg reg = SREG_ES; reg <= SREG_GS; reg++) {
        struct segment *s = &vcpu->seg[reg];
        const uint16_t selector = (uint16_t)vmcs_read(VMCS_SEGMENT(VMCS_GUEST_ES, reg));
        if (selector == s->selector)
            continue;
        s->selector = selector;
        s->base = (uint32_t)selector << 4;
    }
}

static void load_segments(const struct vcpu *vcpu)
{
    for (enum sreg reg = SREG_ES; reg < SREG_COUNT; reg++) {
        const struct segment *s = &vcpu->seg[reg];
        vmcs_write(VMCS_SEGMENT(VMCS_GUEST_ES, reg), s->selector);
        vmcs_write(VMCS_SEGMENT(VMCS_GUEST_ES_BASE, reg), s->base);
        vmcs_write(VMCS_SEGMENT(VMCS_GUEST_ES_LIMIT, reg), s->limit);
        vmcs_write(VMCS_SEGMENT(VMCS_GUEST_ES_RIGHTS, reg), rights(s, reg));
    }
}

static void store_segments(struct vcpu *vcpu)
{
    for (enum sreg reg = SREG_ES; reg < SREG_COUNT; reg++) {
        struct segment *s = &vcpu->seg[reg];
        s->selector = (uint16_t)vmcs_read(VMCS_SEGMENT(VMCS_GUEST_ES, reg));
        s->base = vmcs_read(VMCS_SEGMENT(VMCS_GUEST_ES_BASE, reg));
        s->limit = vmcs_read(VMCS_SEGMENT(VMCS_GUEST_ES_LIMIT, reg));
        s->attr = vmcs_read(VMCS_SEGMENT(VMCS_GUEST_ES_RIGHTS, reg));
        /* Of an unusable register only SS.DPL, the CPL, is sure to be saved (section 27.3.2). */
        if (s->attr & SEG_UNUSABLE)
            s->attr &= SEG_UNUSABLE | (reg == SREG_SS ? SEG_DPL : 0);
    }
}

static void load_tables(const struct vcpu *vcpu)
{
    vmcs_write(VMCS_GUEST_GDTR_BASE, vcpu->gdtr.base);
    vmcs_write(VMCS_GUEST_GDTR_LIMIT, vcpu->gdtr.limit);
    vmcs_write(VMCS_GUEST_IDTR_BASE, vcpu->idtr.base);
    vmcs_write(VMCS_GUEST_IDTR_LIMIT, vcpu->idtr.limit);
}

static void store_tables(struct vcpu *vcpu)
{
    vcpu->gdtr.base = vmcs_read(VMCS_GUEST_GDTR_BASE);
    vcpu->gdtr.limit = (uint16_t)vmcs_read(VMCS_GUEST_GDTR_LIMIT);
    vcpu->idtr.base = vmcs_read(VMCS_GUEST_IDTR_BASE);
    vcpu->idtr.limit = (uint16_t)vmcs_read(VMCS_GUEST_IDTR_LIMIT);
}

static void load_debug(const struct vcpu *vcpu)
{
    __asm__ volatile("mov %0, %%dr0" : : "r"(vcpu->dr[0]));
    __asm__ volatile("mov %0, %%dr1" : : "r"(vcpu->dr[1]));
    __asm__ volatile("mov %0, %%dr2" : : "r"(vcpu->dr[2]));
    __asm__ volatile("mov %0, %%dr3" : : "r"(vcpu->dr[3]));
    __asm__ volatile("mov %0, %%dr6" : : "r"(vcpu->dr[6]));
    vmcs_write(VMCS_GUEST_DR7, vcpu->dr[7]);
}

static void store_debug(struct vcpu *vcpu)
{
    __asm__ volatile("mov %%dr0, %0" : "=r"(vcpu->dr[0]));
    __asm__ volatile("mov %%dr1, %0" : "=r"(vcpu->dr[1]));
    __asm__ volatile("mov %%dr2, %0" : "=r"(vcpu->dr[2]));
    __asm__ volatile("mov %%dr3, %0" : "=r"(vcpu->dr[3]));
    __asm__ volatile("mov %%dr6, %0" : "=r"(vcpu->dr[6]));
    vcpu->dr[7] = vmcs_read(VMCS_GUEST_DR7);
}

static void load_msrs(const struct vcpu *vcpu)
{
    vmcs_write(VMCS_GUEST_SYSENTER_CS, vcpu->sysenter_cs);
    vmcs_write(VMCS_GUEST_SYSENTER_ESP, vcpu->sysenter_esp);
    vmcs_write(VMCS_GUEST_SYSENTER_EIP, vcpu->sysenter_eip);
    vmcs_write64(VMCS_TSC_OFFSET, vcpu->tsc_offset);
    if (vmx_of(vcpu)->controls.word[WORD_ENTRY] & ENTRY_LOAD_PAT)
        vmcs_write64(VMCS_GUEST_PAT, vcpu->pat);
}

static void store_msrs(struct vcpu *vcpu)
{
    vcpu->sysenter_cs = vmcs_read(VMCS_GUEST_SYSENTER_CS);
    vcpu->sysenter_esp = vmcs_read(VMCS_GUEST_SYSENTER_ESP);
    vcpu->sysenter_eip = vmcs_read(VMCS_GUEST_SYSENTER_EIP);
}

/* Segments and what depends on the form that they have, without unrestricted guest. */
static void load_form(struct vcpu *vcpu)
{
    struct vmx *vmx = vmx_of(vcpu);
    vmx_choose_form(vcpu);
    if (vmx->form == FORM_PLAIN)
        load_segments(vcpu);
    else if (vmx->form != FORM_NONE)
        load_v86_segments(vcpu);
    vmcs_write(VMCS_EXCEPTION_BITMAP, vmx_exceptions(vmx));
}

void vmx_load(struct vcpu *vcpu)
{
    if (vcpu->dirty & DIRTY_CR)
        load_control_registers(vcpu);
    if (vcpu->dirty & DIRTY_CR2)
        write_cr2(vcpu->cr2);
    if (vcpu->dirty & (DIRTY_SEG | DIRTY_CR) && !vmx_of(vcpu)->controls.unrestricted)
        load_form(vcpu);
    else if (vcpu->dirty & DIRTY_SEG)
        load_segments(vcpu);
    if (vcpu->dirty & DIRTY_TABLE)
        load_tables(vcpu);
    if (vcpu->dirty & DIRTY_DR)
        load_debug(vcpu);
    if (vcpu->dirty & DIRTY_MSR)
        load_msrs(vcpu);
    vcpu->dirty = 0;
}

void vmx_store(struct vcpu *vcpu)
{
    if (vcpu->dirty) /* what common code changed since the exit is newer */
        vmx_load(vcpu);
    const uint32_t mask0 = vmcs_read(VMCS_CR0_MASK), mask4 = vmcs_read(VMCS_CR4_MASK);
    vcpu->cr0 = (vmcs_read(VMCS_GUEST_CR0) & ~mask0) | (vmcs_read(VMCS_CR0_SHADOW) & mask0);
    vcpu->cr4 = (vmcs_read(VMCS_GUEST_CR4) & ~mask4) | (vmcs_read(VMCS_CR4_SHADOW) & mask4);
    if (!vmx_of(vcpu)->paging.shadowed && !on_identity(vcpu))
        vcpu->cr3 = vmcs_read(VMCS_GUEST_CR3);
    vcpu->cr2 = read_cr2();
    if (vmx_of(vcpu)->form == FORM_PLAIN)
        store_segments(vcpu);
    else if (vmx_of(vcpu)->form == FORM_V86)
        store_v86_segments(vcpu);
    store_tables(vcpu);
    store_debug(vcpu);
    store_msrs(vcpu);
}
