/*
 * The PCI bus: configuration space of the functions on bus 0, by configuration mechanism #1 (PCI
 * Local Bus Specification 3.0, 3.2.2.3.2). A function is named by its device number times 8 plus
 * its own. The firmware has given the devices their addresses and interrupt lines.
 */
#include "kernel.h"
#include "sensitive.h"

#define ADDRESS 0xCF8
#define DATA 0xCFC
#define ENABLE 0x80000000u

#define FUNCTIONS 256 /* on one bus */
#define HEADER 0x0C
#define MULTI_FUNCTION 0x00800000u
#define NOBODY 0xFFFFu

uint32_t pci_read(int function, uint32_t offset)
{
    port_out32(ADDRESS, ENABLE | (uint32_t)function << 8 | (offset & 0xFC));
    return port_in32(DATA) >> (offset & 3) * 8;
}

void pci_write(int function, uint32_t offset, uint32_t value)
{
    port_out32(ADDRESS, ENABLE | (uint32_t)function << 8 | (offset & 0xFC));
    port_out32(DATA, value);
}

static bool present(int function)
{
    return (pci_read(function, 0) & 0xFFFF) != NOBODY;
}

/* A device without function 0 is not there at all, and one with a single function may answer for it
 * whatever function is asked for (3.2.2.3.4). */
int pci_next(int function)
{
    while (++function < FUNCTIONS) {
        const int first = function & ~7;
        if (present(function) && (function == first || pci_read(first, HEADER) & MULTI_FUNCTION))
            return function;
        if (function == first)
            function |= 7;
    }
    return -1;
}
