/* Access to the current VMCS; see vmcs.h. */
#include "vmcs.h"

#include "vmm.h"

const char *vmcs_field_name(enum vmcs_field field)
{
    switch (field) {
#define X(name, encoding, width, group)                                                            \
    case VMCS_##name:                                                                              \
        return #name;
        VMCS_FIELDS(X)
#undef X
    }
    return "?";
}

void vmcs_access_failed(enum vmcs_field field)
{
    panic("the VMCS field %04x (%s) cannot be accessed", field, vmcs_field_name(field));
}

uint64_t vmcs_read64(enum vmcs_field field)
{
    return (uint64_t)vmcs_read((enum vmcs_field)(field + 1)) << 32 | vmcs_read(field);
}

void vmcs_write64(enum vmcs_field field, uint64_t value)
{
    vmcs_write(field, (uint32_t)value);
    vmcs_write((enum vmcs_field)(field + 1), (uint32_t)(value >> 32));
}
