/* What both hardware modes do alike for the monitor's steps and breakpoints. */
#ifndef TRIVISOR_HW_DEBUG_H
#define TRIVISOR_HW_DEBUG_H

#include "exit.h"
#include "vcpu.h"

/*
 * A software interrupt exited (INT3, and where the processor reports it as that, INT n), and the
 * vCPU is stored. A breakpoint of the monitor's becomes *exit; what is the guest's own is executed
 * in software, and *exit is EXIT_SOFT_INT or the fault that it ended with. Where the code has no
 * software interrupt, the guest is killed.
 */
void hw_software_int(struct vcpu *vcpu, struct exit *exit);

#endif
