/*
 * What the CPU offers (SDM vol. 3D appendix A): the one place where control bits are negotiated.
 * Each word of controls has bits we must have, bits we take if they are there, and the bits that
 * the CPU forces on. A bit that must be there and is not ends with a sentence.
 */
#ifndef TRIVISOR_VMX_CAPABILITY_H
#define TRIVISOR_VMX_CAPABILITY_H

#include "types.h"

struct vmx_controls {
    uint32_t pin, cpu, cpu2, exit, entry;
    uint64_t basic;           /* IA32_VMX_BASIC */
    uint32_t cr0_on, cr0_may; /* CR0 bits that must be one; bits that may be one */
    uint32_t cr4_on, cr4_may;
    bool vpid;
};

/* Returns NULL and fills *controls, or a sentence that says what this CPU lacks. Changes nothing.
 */
const char *vmx_negotiate(struct vmx_controls *controls);

#endif
