/*
 * What the short ways of both hardware modes share. A short way finishes an exit while the guest's
 * other state stays where the hardware has it, and enters the guest again, without the vCPU loop:
 *
 *   CPUID, hypercalls     what common code does for them
 *   IN and OUT            but for INS and OUTS
 *   RDMSR and WRMSR       of what the guest may not reach by itself
 *   first access to       the nested tables get an entry
 *   a piece of memory
 *
 * They serve the plain case only. All else leaves the guest as it is and goes the long way, which
 * is right in all cases: a single step that is due, RF, an interrupt shadow that ends, a fault, the
 * delivery of an event that was cut short. The same exits are counted and traced; only the ring of
 * last exits has the long ones alone.
 */
#ifndef TRIVISOR_SHORT_H
#define TRIVISOR_SHORT_H

#include "services.h"
#include "tables.h"
#include "vmm.h"
#include "x86.h"

/* An instruction that ends with one of these set in EFLAGS is not done by adding its length. */
#define FL_LONG_WAY (FL_TF | FL_RF)

/* IN or OUT by way of AL, AX or EAX at *eax: of one byte, as most are, or of 2 or 4 (size). */
void short_port_wide(struct vcpu *vcpu, uint32_t *eax, uint16_t port, unsigned size, bool in);

static inline void short_port_byte(struct vcpu *vcpu, uint32_t *eax, uint16_t port, bool in)
{
    uint8_t *al = (uint8_t *)eax;
    if (in)
        *al = devices_in8(&vcpu->vm->dev, port);
    else
        devices_out8(&vcpu->vm->dev, port, *al);
}

/* After a device had its turn: has the loop anything to do? window: it asked for EXIT_IRQ_WINDOW,
 * as it does while an interrupt waits that the guest cannot take. */
static inline bool short_loop_must_look(const struct vcpu *vcpu, uint16_t port, bool window)
{
    if (port_needs_a_look(port))
        host_work = true;
    return host_work || vcpu->vm->stopped || devices_irq_pending(&vcpu->vm->dev) != window;
}

#endif
