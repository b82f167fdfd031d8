/* The vCPU in a snapshot; see snapshot.h. */
#include "snapshot.h"
#include "x86.h"

/* What guests can set (emulate.c, features.c): a CPU that enters with more might fault. */
#define CR0_KNOWN                                                                                  \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD |     \
     CR0_PG)
#define CR4_KNOWN (CR4_TSD | CR4_DE | CR4_PSE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT)
#define EFLAGS_KNOWN 0x003F7FD7u
#define SEG_KNOWN 0x1F0FFu

static void segments(struct snap_io *io, struct vcpu *v)
{
    for (int reg = 0; reg < SREG_COUNT; reg++) {
        struct segment *s = &v->seg[reg];
        SNAP(io, s->selector);
        SNAP(io, s->attr);
        SNAP(io, s->base);
        SNAP(io, s->limit);
        snap_check(io, !(s->attr & ~SEG_KNOWN), "a segment has unknown access rights");
    }
    SNAP(io, v->gdtr.base);
    SNAP(io, v->gdtr.limit);
    SNAP(io, v->idtr.base);
    SNAP(io, v->idtr.limit);
}

static void control(struct snap_io *io, struct vcpu *v)
{
    SNAP(io, v->cr0);
    SNAP(io, v->cr2);
    SNAP(io, v->cr3);
    SNAP(io, v->cr4);
    for (int i = 0; i < 8; i++)
        SNAP(io, v->dr[i]);
    snap_check(io, !(v->cr0 & ~CR0_KNOWN) && (v->cr0 & CR0_PE || !(v->cr0 & CR0_PG)),
               "CR0 has a value that no guest can give it");
    snap_check(io, !(v->cr4 & ~CR4_KNOWN), "CR4 has a value that no guest can give it");
}

static void msrs(struct snap_io *io, struct vcpu *v)
{
    SNAP(io, v->sysenter_cs);
    SNAP(io, v->sysenter_esp);
    SNAP(io, v->sysenter_eip);
    SNAP(io, v->pat);
    SNAP(io, v->apic_base);
    for (int i = 0; i < 8; i++) { /* SDM vol. 3A table 11-10 */
        const uint8_t type = v->pat >> 8 * i & 0xFF;
        snap_check(io, type <= 7 && type != 2 && type != 3, "the PAT has a reserved memory type");
    }
}

/* The TSC is part of the header, as the offset means nothing elsewhere. Nothing is pending when a
 * mode is left. */
void snap_vcpu(struct snap_io *io, struct vcpu *v)
{
    for (int i = 0; i < 8; i++)
        SNAP(io, v->gpr[i]);
    SNAP(io, v->eip);
    SNAP(io, v->eflags);
    snap_check(io, !(v->eflags & ~EFLAGS_KNOWN) && v->eflags & FL_R1, "EFLAGS has reserved bits");
    segments(io, v);
    control(io, v);
    msrs(io, v);
    SNAP(io, v->int_shadow);
    SNAP(io, v->halted);
    SNAP(io, v->iterated);
    SNAP(io, v->step_due);
    snap_check(io, v->int_shadow <= (SHADOW_STI | SHADOW_MOV_SS), "an unknown interrupt shadow");
    if (io->saving)
        return;
    v->pending = (struct event){.kind = EVENT_NONE};
    v->dirty = DIRTY_ALL;
}
