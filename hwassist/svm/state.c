/* Canonical vCPU state to the VMCB and back. */
#include "cpu.h"
#include "svm.h"
#include "x86.h"

static const struct {
    enum sreg reg;
    int slot;
} segments[] = {{SREG_ES, VS_ES}, {SREG_CS, VS_CS}, {SREG_SS, VS_SS},     {SREG_DS, VS_DS},
                {SREG_FS, VS_FS}, {SREG_GS, VS_GS}, {SREG_LDTR, VS_LDTR}, {SREG_TR, VS_TR}};

static uint16_t vmcb_attr(uint32_t attr)
{
    if (attr & SEG_UNUSABLE) /* the VMCB has no such bit: not present says the same */
        attr &= ~SEG_P;
    return (uint16_t)((attr & 0xFF) | (attr >> 4 & 0xF00));
}

/* A loaded task register is that of a busy TSS. Not all CPUs say so in the VMCB, and QEMU 7.2 stops
 * at the next change of stacks when VMRUN has loaded a busy one. */
#define TSS_BUSY (SYS_TSS16_BUSY & ~SYS_TSS16_AVAIL)

static void store_segment(struct vcpu *vcpu, const struct vmcb *vmcb, enum sreg reg, int slot)
{
    const struct vmcb_segment *v = &vmcb->seg[slot];
    struct segment *s = &vcpu->seg[reg];
    s->selector = v->selector;
    s->attr = (v->attr & 0xFFu) | (uint32_t)(v->attr & 0xF00) << 4;
    if (!(v->attr & SEG_P))
        s->attr |= SEG_UNUSABLE;
    s->limit = v->limit;
    s->base = (uint32_t)v->base;
    /* The CPL is the DPL of SS for the canonical state; AMD keeps it in a field of its own. */
    if (reg == SREG_TR)
        s->attr |= TSS_BUSY;
    if (reg == SREG_SS)
        s->attr = (s->attr & ~SEG_DPL) | (uint32_t)vmcb->cpl << SEG_DPL_SHIFT;
}

static void load_segments(struct vcpu *vcpu, struct vmcb *vmcb)
{
    for (unsigned i = 0; i < ARRAY_LEN(segments); i++) {
        const struct segment *s = &vcpu->seg[segments[i].reg];
        struct vmcb_segment *v = &vmcb->seg[segments[i].slot];
        v->selector = s->selector;
        v->attr = vmcb_attr(s->attr);
        v->limit = s->limit;
        v->base = s->base;
        if (segments[i].reg == SREG_TR)
            v->attr &= (uint16_t)~TSS_BUSY;
    }
    vmcb->cpl = (uint8_t)vcpu_cpl(vcpu);
}

/* The breakpoints of the guest that cannot be met in the VMM. */
static uint32_t outside_vmm(const struct vcpu *vcpu)
{
    uint32_t dr7 = vcpu->dr[7] & ~DR7_GD;
    for (unsigned i = 0; i < 4; i++) {
        if (vcpu->dr[i] >= VMM_BASE - 3)
            dr7 &= ~(3u << (2 * i));
    }
    return dr7;
}

/*
 * DR0 to DR3 are not part of the VMCB. DR7 is, but QEMU arms a breakpoint when MOV writes DR7 and
 * not when VMRUN loads it; and #VMEXIT, which disarms them all, does not do so in QEMU. So only
 * this function and svm_detach() write DR7, and QEMU's idea of what is armed is always the value
 * here.
 */
static void load_debug(const struct vcpu *vcpu, struct vmcb *vmcb)
{
    write_dr7(DR7_FIXED);
    __asm__ volatile("mov %0, %%dr0" : : "r"(vcpu->dr[0]));
    __asm__ volatile("mov %0, %%dr1" : : "r"(vcpu->dr[1]));
    __asm__ volatile("mov %0, %%dr2" : : "r"(vcpu->dr[2]));
    __asm__ volatile("mov %0, %%dr3" : : "r"(vcpu->dr[3]));
    vmcb->dr6 = vcpu->dr[6];
    vmcb->dr7 = vcpu->dr[7];
    write_dr7(outside_vmm(vcpu));
}

static void store_debug(struct vcpu *vcpu, const struct vmcb *vmcb)
{
    __asm__ volatile("mov %%dr0, %0" : "=r"(vcpu->dr[0]));
    __asm__ volatile("mov %%dr1, %0" : "=r"(vcpu->dr[1]));
    __asm__ volatile("mov %%dr2, %0" : "=r"(vcpu->dr[2]));
    __asm__ volatile("mov %%dr3, %0" : "=r"(vcpu->dr[3]));
    vcpu->dr[6] = (uint32_t)vmcb->dr6;
    vcpu->dr[7] = (uint32_t)vmcb->dr7;
}

/* The selective intercept compares with the CPU's CR0, in which PG and WP are always set: a guest
 * that sets them itself would not exit. While it has not both, all its writes exit. */
static void intercept_cr0(const struct vcpu *vcpu, struct vmcb *vmcb)
{
    const bool as_cpu = (vcpu->cr0 & SHADOWED_CR0) == SHADOWED_CR0;
    vmcb->intercept_cr_write = (uint16_t)((vmcb->intercept_cr_write & ~1u) | !as_cpu);
    vmcb->clean &= ~CLEAN_INTERCEPTS;
}

/* With shadow paging a guest without protection runs in "paged real mode" (APM vol. 2 section
 * 15.19): CR0.PG set and CR0.PE clear, which only VMRUN can load. */
static void load_controls(const struct vcpu *vcpu, struct vmcb *vmcb,
                          const struct hw_paging *paging)
{
    vmcb->cr0 = vcpu->cr0;
    vmcb->cr3 = vcpu->cr3;
    vmcb->cr4 = vcpu->cr4;
    if (paging->shadowed) {
        vmcb->cr0 |= SHADOWED_CR0;
        vmcb->cr3 = paging->shadow_cr3;
        vmcb->cr4 = (vcpu->cr4 & ~SHADOWED_CR4) | CR4_PAE;
        intercept_cr0(vcpu, vmcb);
    }
}

/* With shadow paging every change of CR3, CR4 and the shadowed bits of CR0 exits. */
static void store_controls(struct vcpu *vcpu, const struct vmcb *vmcb,
                           const struct hw_paging *paging)
{
    if (paging->shadowed) {
        vcpu->cr0 = ((uint32_t)vmcb->cr0 & ~SHADOWED_CR0) | (vcpu->cr0 & SHADOWED_CR0);
        return;
    }
    vcpu->cr0 = (uint32_t)vmcb->cr0;
    vcpu->cr3 = (uint32_t)vmcb->cr3;
    vcpu->cr4 = (uint32_t)vmcb->cr4;
}

static void load_tables(const struct vcpu *vcpu, struct vmcb *vmcb)
{
    vmcb->seg[VS_GDTR].base = vcpu->gdtr.base;
    vmcb->seg[VS_GDTR].limit = vcpu->gdtr.limit;
    vmcb->seg[VS_IDTR].base = vcpu->idtr.base;
    vmcb->seg[VS_IDTR].limit = vcpu->idtr.limit;
}

static struct table_reg table_of(const struct vmcb_segment *v)
{
    return (struct table_reg){(uint32_t)v->base, (uint16_t)v->limit};
}

static void load_msrs(const struct vcpu *vcpu, struct vmcb *vmcb)
{
    vmcb->sysenter_cs = vcpu->sysenter_cs;
    vmcb->sysenter_esp = vcpu->sysenter_esp;
    vmcb->sysenter_eip = vcpu->sysenter_eip;
    vmcb->tsc_offset = vcpu->tsc_offset;
    vmcb->pat = vcpu->pat;
}

static void store_msrs(struct vcpu *vcpu, const struct vmcb *vmcb)
{
    vcpu->sysenter_cs = (uint32_t)vmcb->sysenter_cs;
    vcpu->sysenter_esp = (uint32_t)vmcb->sysenter_esp;
    vcpu->sysenter_eip = (uint32_t)vmcb->sysenter_eip;
}

void svm_load(struct vcpu *vcpu)
{
    struct vmcb *vmcb = svm_of(vcpu)->vmcb;
    const uint32_t dirty = vcpu->dirty;
    uint32_t changed = 0;
    if (dirty & DIRTY_CR) {
        load_controls(vcpu, vmcb, &svm_of(vcpu)->paging);
        svm_sites_forget(svm_of(vcpu));
        changed |= CLEAN_CR;
    }
    if (dirty & DIRTY_CR2) {
        vmcb->cr2 = vcpu->cr2;
        write_cr2(vcpu->cr2); /* Bochs 2.7 does not load it from the VMCB */
        changed |= CLEAN_CR2;
    }
    if (dirty & DIRTY_SEG) {
        load_segments(vcpu, vmcb);
        changed |= CLEAN_SEGMENTS;
    }
    if (dirty & DIRTY_TABLE) {
        load_tables(vcpu, vmcb);
        changed |= CLEAN_TABLES;
    }
    if (dirty & DIRTY_DR) {
        load_debug(vcpu, vmcb);
        changed |= CLEAN_DR;
    }
    if (dirty & DIRTY_MSR) {
        load_msrs(vcpu, vmcb);
        changed |= CLEAN_INTERCEPTS | CLEAN_NESTED;
    }
    vmcb->clean &= ~changed;
    vcpu->dirty = 0;
}

void svm_store(struct vcpu *vcpu)
{
    const struct vmcb *vmcb = svm_of(vcpu)->vmcb;
    if (vcpu->dirty) /* what common code changed since the exit is newer */
        svm_load(vcpu);
    store_controls(vcpu, vmcb, &svm_of(vcpu)->paging);
    vcpu->cr2 = (uint32_t)vmcb->cr2;
    for (unsigned i = 0; i < ARRAY_LEN(segments); i++)
        store_segment(vcpu, vmcb, segments[i].reg, segments[i].slot);
    vcpu->gdtr = table_of(&vmcb->seg[VS_GDTR]);
    vcpu->idtr = table_of(&vmcb->seg[VS_IDTR]);
    store_debug(vcpu, vmcb);
    store_msrs(vcpu, vmcb);
}

void svm_store_for_fetch(struct vcpu *vcpu)
{
    const struct vmcb *vmcb = svm_of(vcpu)->vmcb;
    store_controls(vcpu, vmcb, &svm_of(vcpu)->paging);
    store_segment(vcpu, vmcb, SREG_CS, VS_CS);
    store_segment(vcpu, vmcb, SREG_SS, VS_SS);
}
