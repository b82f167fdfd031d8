/* Canonical vCPU state to the VMCB and back. */
#include "cpu.h"
#include "svm.h"
#include "x86.h"

static const struct {
    enum sreg reg;
    int slot;
} segments[] = {{SREG_ES, VS_ES}, {SREG_CS, VS_CS}, {SREG_SS, VS_SS},     {SREG_DS, VS_DS},
                {SREG_FS, VS_FS}, {SREG_GS, VS_GS}, {SREG_LDTR, VS_LDTR}, {SREG_TR, VS_TR}};

static void load_segments(struct vcpu *vcpu, struct vmcb *vmcb)
{
    for (unsigned i = 0; i < ARRAY_LEN(segments); i++) {
        const struct segment *s = &vcpu->seg[segments[i].reg];
        struct vmcb_segment *v = &vmcb->seg[segments[i].slot];
        v->selector = s->selector;
        v->attr = (uint16_t)((s->attr & 0xFF) | (s->attr >> 4 & 0xF00));
        if (s->attr & SEG_UNUSABLE)
            v->attr &= (uint16_t)~SEG_P;
        v->limit = s->limit;
        v->base = s->base;
    }
    vmcb->cpl = (uint8_t)vcpu_cpl(vcpu);
}

static void store_segments(struct vcpu *vcpu, const struct vmcb *vmcb)
{
    for (unsigned i = 0; i < ARRAY_LEN(segments); i++) {
        struct segment *s = &vcpu->seg[segments[i].reg];
        const struct vmcb_segment *v = &vmcb->seg[segments[i].slot];
        s->selector = v->selector;
        s->attr = (v->attr & 0xFFu) | (uint32_t)(v->attr & 0xF00) << 4;
        if (!(v->attr & SEG_P))
            s->attr |= SEG_UNUSABLE;
        s->limit = v->limit;
        s->base = (uint32_t)v->base;
    }
    /* The CPL is the DPL of SS for the canonical state; AMD keeps it in a field of its own. */
    vcpu->seg[SREG_SS].attr = (vcpu->seg[SREG_SS].attr & ~SEG_DPL) | (uint32_t)vmcb->cpl
                                                                         << SEG_DPL_SHIFT;
}

/* DR0 to DR3 are not part of the VMCB. */
static void load_debug(const struct vcpu *vcpu, struct vmcb *vmcb)
{
    __asm__ volatile("mov %0, %%dr0" : : "r"(vcpu->dr[0]));
    __asm__ volatile("mov %0, %%dr1" : : "r"(vcpu->dr[1]));
    __asm__ volatile("mov %0, %%dr2" : : "r"(vcpu->dr[2]));
    __asm__ volatile("mov %0, %%dr3" : : "r"(vcpu->dr[3]));
    vmcb->dr6 = vcpu->dr[6];
    vmcb->dr7 = vcpu->dr[7];
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

void svm_load(struct vcpu *vcpu)
{
    struct vmcb *vmcb = svm_of(vcpu)->vmcb;
    const uint32_t dirty = vcpu->dirty;
    if (dirty & DIRTY_CR) {
        vmcb->cr0 = vcpu->cr0;
        vmcb->cr3 = vcpu->cr3;
        vmcb->cr4 = vcpu->cr4;
    }
    if (dirty & DIRTY_CR2)
        vmcb->cr2 = vcpu->cr2;
    if (dirty & DIRTY_SEG)
        load_segments(vcpu, vmcb);
    if (dirty & DIRTY_TABLE) {
        vmcb->seg[VS_GDTR].base = vcpu->gdtr.base;
        vmcb->seg[VS_GDTR].limit = vcpu->gdtr.limit;
        vmcb->seg[VS_IDTR].base = vcpu->idtr.base;
        vmcb->seg[VS_IDTR].limit = vcpu->idtr.limit;
    }
    if (dirty & DIRTY_DR)
        load_debug(vcpu, vmcb);
    if (dirty & DIRTY_MSR) {
        vmcb->sysenter_cs = vcpu->sysenter_cs;
        vmcb->sysenter_esp = vcpu->sysenter_esp;
        vmcb->sysenter_eip = vcpu->sysenter_eip;
        vmcb->tsc_offset = vcpu->tsc_offset;
    }
    if (dirty)
        vmcb->clean = 0;
    vcpu->dirty = 0;
}

void svm_store(struct vcpu *vcpu)
{
    const struct vmcb *vmcb = svm_of(vcpu)->vmcb;
    if (vcpu->dirty) /* what common code changed since the exit is newer */
        svm_load(vcpu);
    vcpu->cr0 = (uint32_t)vmcb->cr0;
    vcpu->cr2 = (uint32_t)vmcb->cr2;
    vcpu->cr3 = (uint32_t)vmcb->cr3;
    vcpu->cr4 = (uint32_t)vmcb->cr4;
    store_segments(vcpu, vmcb);
    vcpu->gdtr =
        (struct table_reg){(uint32_t)vmcb->seg[VS_GDTR].base, (uint16_t)vmcb->seg[VS_GDTR].limit};
    vcpu->idtr =
        (struct table_reg){(uint32_t)vmcb->seg[VS_IDTR].base, (uint16_t)vmcb->seg[VS_IDTR].limit};
    store_debug(vcpu, vmcb);
}
