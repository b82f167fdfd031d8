/*
 * Traces of software modes (trace.h). While one is made
 *
 *   all gates lead to a stub of traced.asm first, which stamps the record;
 *   where short ways resume the guest, a jump to another one is written over their last
 *   instructions (resume.inc); it ends the record;
 *   sw_run() enters by a function that ends the record of the long way;
 *   what stubs call in C is told by a pointer, and says the reason.
 *
 * Nothing of it is there without a trace, and no short way is forgotten or learned anew.
 */
#ifndef TRIVISOR_TRACED_H
#define TRIVISOR_TRACED_H

#include "trace.h"

/* struct vmm_mode's trace(). */
void sw_trace(struct vcpu *vcpu, bool on);

/* lean.c: its part. */
void sw_lean_trace(bool on);

#endif
