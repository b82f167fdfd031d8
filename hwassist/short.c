/* The rarer half of the short ways; see short.h. */
#include "short.h"

/* What is above the size does not count in an OUT, and stays in an IN. */
void short_port_wide(struct vcpu *vcpu, uint32_t *eax, uint16_t port, unsigned size, bool in)
{
    struct devices *dev = &vcpu->vm->dev;
    if (!in)
        devices_out(dev, port, size, *eax);
    else if (size == 2)
        *eax = (*eax & ~0xFFFFu) | (devices_in(dev, port, size) & 0xFFFFu);
    else
        *eax = devices_in(dev, port, size);
}
