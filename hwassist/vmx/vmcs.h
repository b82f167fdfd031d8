/* Access to the current VMCS (SDM vol. 3C section 30.3, VMREAD and VMWRITE). */
#ifndef TRIVISOR_VMCS_H
#define TRIVISOR_VMCS_H

#include "vmcs_fields.h"

/* The name of a field ("GUEST_CR0"); "?" for one that is not in the table. */
const char *vmcs_field_name(enum vmcs_field field);

/* The VMM used a field that this CPU has not, or there is no current VMCS: a mistake of ours. */
void vmcs_access_failed(enum vmcs_field field) __attribute__((noreturn, cold));

/* Both are inline: a world switch uses a dozen of them. */
static inline uint32_t vmcs_read(enum vmcs_field field)
{
    uint32_t value;
    __asm__ volatile goto("vmread %1, %0\n\tjna %l2"
                          : "=r"(value)
                          : "r"((uint32_t)field)
                          : "cc"
                          : failed);
    return value;
failed:
    vmcs_access_failed(field);
}

static inline void vmcs_write(enum vmcs_field field, uint32_t value)
{
    __asm__ volatile goto("vmwrite %0, %1\n\tjna %l2"
                          :
                          : "r"(value), "r"((uint32_t)field)
                          : "cc"
                          : failed);
    return;
failed:
    vmcs_access_failed(field);
}

/* 64-bit fields. Outside of 64-bit mode the high half has an encoding of its own, the low one's
 * plus 1 (section 24.11.2). */
uint64_t vmcs_read64(enum vmcs_field field);
void vmcs_write64(enum vmcs_field field, uint64_t value);

#endif
