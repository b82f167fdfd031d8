/* Access to the current VMCS (SDM vol. 3C section 30.3, VMREAD and VMWRITE). */
#include "vmcs.h"

#include "vmm.h"

uint32_t vmcs_read(enum vmcs_field field)
{
    uint32_t value;
    bool failed;
    __asm__ volatile("vmread %2, %0\n\tsetna %1"
                     : "=r"(value), "=q"(failed)
                     : "r"((uint32_t)field)
                     : "cc");
    if (failed)
        panic("VMREAD of field %04x failed", field);
    return value;
}

void vmcs_write(enum vmcs_field field, uint32_t value)
{
    bool failed;
    __asm__ volatile("vmwrite %1, %2\n\tsetna %0"
                     : "=q"(failed)
                     : "r"(value), "r"((uint32_t)field)
                     : "cc");
    if (failed)
        panic("VMWRITE of field %04x failed", field);
}

/* Outside of 64-bit mode the high half has an encoding of its own: the low one plus 1. */
void vmcs_write64(enum vmcs_field field, uint64_t value)
{
    vmcs_write(field, (uint32_t)value);
    vmcs_write((enum vmcs_field)(field + 1), (uint32_t)(value >> 32));
}

uint64_t vmcs_read64(enum vmcs_field field)
{
    return (uint64_t)vmcs_read((enum vmcs_field)(field + 1)) << 32 | vmcs_read(field);
}
