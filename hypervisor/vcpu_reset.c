/* The two states in which a guest starts. */
#include <string.h>

#include "emulate.h"
#include "x86.h"

#define REAL_DATA (SEG_P | SEG_S | SEG_RW | SEG_ACCESSED)
#define FLAT_DATA (REAL_DATA | SEG_DB | SEG_G)
#define FLAT_CODE (FLAT_DATA | SEG_CODE)

#define PAT_AT_RESET 0x0007040600070406ull       /* SDM vol. 3A section 11.12.4 */
#define APIC_BASE_AT_RESET 0x00000000FEE00900ull /* SDM vol. 3A section 10.4.4 */
#define MULTIBOOT_MAGIC 0x2BADB002u

/* SDM vol. 3A table 9-1, "INIT/power up". vm, mode, backend, counters and time belong to others
 * and stay. */
void vcpu_reset(struct vcpu *vcpu)
{
    memset(vcpu->gpr, 0, sizeof(vcpu->gpr));
    vcpu->gpr[GPR_EDX] = 0x00000600; /* family 6 */
    vcpu->eip = 0xFFF0;
    vcpu->eflags = FL_R1;
    for (int reg = SREG_ES; reg <= SREG_GS; reg++)
        vcpu->seg[reg] = (struct segment){.attr = REAL_DATA, .limit = 0xFFFF};
    vcpu->seg[SREG_CS].selector = 0xF000;
    vcpu->seg[SREG_CS].base = 0xFFFF0000;
    vcpu->seg[SREG_LDTR] = (struct segment){.attr = SEG_P | SYS_LDT, .limit = 0xFFFF};
    vcpu->seg[SREG_TR] = (struct segment){.attr = SEG_P | SYS_TSS32_BUSY, .limit = 0xFFFF};
    vcpu->gdtr = vcpu->idtr = (struct table_reg){.limit = 0xFFFF};
    vcpu->cr0 = CR0_CD | CR0_NW | CR0_ET;
    vcpu->cr2 = vcpu->cr3 = vcpu->cr4 = 0;
    memset(vcpu->dr, 0, sizeof(vcpu->dr));
    vcpu->dr[6] = 0xFFFF0FF0;
    vcpu->dr[7] = 0x00000400;
    vcpu->sysenter_cs = vcpu->sysenter_esp = vcpu->sysenter_eip = 0;
    vcpu->pat = PAT_AT_RESET;
    vcpu->apic_base = APIC_BASE_AT_RESET;
    vcpu->int_shadow = 0;
    vcpu->halted = vcpu->iterated = vcpu->step_due = false;
    vcpu->pending = (struct event){.kind = EVENT_NONE};
    vcpu->dirty = DIRTY_ALL;
}

/*
 * The boot loader's descriptor table is the kernel's to replace, so the GDTR names none; the hidden
 * parts of the segment registers are what counts. The selectors are those that GRUB leaves behind.
 */
void vcpu_multiboot_state(struct vcpu *vcpu, gpa_t entry, gpa_t info)
{
    vcpu_reset(vcpu);
    for (int reg = SREG_ES; reg <= SREG_GS; reg++)
        vcpu->seg[reg] = (struct segment){.selector = 0x18, .attr = FLAT_DATA, .limit = 0xFFFFFFFF};
    vcpu->seg[SREG_CS].selector = 0x10;
    vcpu->seg[SREG_CS].attr = FLAT_CODE;
    vcpu->gdtr.limit = vcpu->idtr.limit = 0;
    vcpu->cr0 = CR0_PE | CR0_ET;
    vcpu->gpr[GPR_EAX] = MULTIBOOT_MAGIC;
    vcpu->gpr[GPR_EBX] = info;
    vcpu->gpr[GPR_EDX] = 0;
    vcpu->eip = entry;
}
