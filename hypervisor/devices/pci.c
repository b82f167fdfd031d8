/*
 * The PCI bus: configuration mechanism #1, type 0 headers (PCI Local Bus Specification 3.0,
 * 3.2.2.3.2 and chapter 6). What software may write is a mask beside the bytes: a BAR's size comes
 * of it, because the bits below it cannot be set (6.2.5.1).
 */
#include <string.h>

#include "pci.h"

#define ADDRESS_ENABLE 0x80000000u
#define ADDRESS_BITS 0x80FFFFFCu
#define BAR_IO 1u
#define STATUS_CAPABILITIES 0x10u
#define FIRST_CAPABILITY 0x40u
#define INTERRUPT_PIN 0x3Du
#define SUBSYSTEM 0x2Cu
#define INTA 1

/* An Intel 440FX, as in QEMU's and Bochs' machine. */
static const struct pci_identity host_bridge = {0x8086, 0x1237, 2, 0x060000, 0, 0};

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value);
    put16(at + 2, value >> 16);
}

uint16_t pci_word(const struct pci_function *f, unsigned offset)
{
    return (uint16_t)(f->bytes[offset] | f->bytes[offset + 1] << 8);
}

uint32_t pci_dword(const struct pci_function *f, unsigned offset)
{
    return pci_word(f, offset) | (uint32_t)pci_word(f, offset + 2) << 16;
}

struct pci_function *pci_add(struct pci *pci, unsigned device, const struct pci_identity *id)
{
    struct pci_function *f = &pci->device[device];
    *f = (struct pci_function){.present = true};
    put16(f->bytes, id->vendor);
    put16(f->bytes + 2, id->device);
    put32(f->bytes + 8, id->class_code << 8 | id->revision);
    put16(f->bytes + SUBSYSTEM, id->subsystem_vendor);
    put16(f->bytes + SUBSYSTEM + 2, id->subsystem);
    put16(f->writable + PCI_COMMAND,
          PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX);
    return f;
}

void pci_init(struct pci *pci)
{
    *pci = (struct pci){0};
    pci_add(pci, 0, &host_bridge);
}

void pci_io_bar(struct pci_function *f, uint16_t port, uint16_t size)
{
    f->ports = size;
    put32(f->bytes + PCI_BAR0, port | BAR_IO);
    put32(f->writable + PCI_BAR0, 0x10000u - size);
    put16(f->bytes + PCI_COMMAND, PCI_COMMAND_IO);
}

void pci_interrupt(struct pci_function *f, uint8_t irq)
{
    f->bytes[PCI_INTERRUPT_LINE] = irq;
    f->writable[PCI_INTERRUPT_LINE] = 0xFF; /* a note for software: nothing is routed by it */
    f->bytes[INTERRUPT_PIN] = INTA;
}

unsigned pci_capability(struct pci_function *f, uint8_t id, const void *body, unsigned size)
{
    unsigned end = FIRST_CAPABILITY, link = PCI_CAPABILITIES;
    while (f->bytes[link]) {
        link = f->bytes[link] + 1u;
        end = link - 1 + f->bytes[link + 1]; /* ours all have their length in the third byte */
    }
    f->bytes[PCI_STATUS] |= STATUS_CAPABILITIES;
    f->bytes[link] = (uint8_t)end;
    f->bytes[end] = id;
    memcpy(f->bytes + end + 2, body, size - 2);
    return end;
}

void pci_select(struct pci *pci, uint32_t address)
{
    pci->address = address & ADDRESS_BITS;
}

struct pci_function *pci_target(struct pci *pci, uint16_t port, unsigned *offset)
{
    const unsigned bus_and_device = pci->address >> 11 & 0x1FFF, function = pci->address >> 8 & 7;
    *offset = (pci->address & 0xFC) | (port & 3);
    if (!(pci->address & ADDRESS_ENABLE) || function || bus_and_device >= PCI_DEVICES ||
        !pci->device[bus_and_device].present)
        return NULL;
    return &pci->device[bus_and_device];
}

uint32_t pci_read(const struct pci_function *f, unsigned offset, unsigned size)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)f->bytes[offset + i] << 8 * i;
    return value;
}

void pci_write(struct pci_function *f, unsigned offset, unsigned size, uint32_t value)
{
    for (unsigned i = 0; i < size; i++) {
        const uint8_t mask = f->writable[offset + i], byte = (uint8_t)(value >> 8 * i);
        f->bytes[offset + i] = (uint8_t)((f->bytes[offset + i] & ~mask) | (byte & mask));
    }
}

bool pci_decodes(const struct pci_function *f, uint16_t port, unsigned *offset)
{
    const uint16_t base = pci_word(f, PCI_BAR0) & (uint16_t)~3u;
    *offset = (uint16_t)(port - base);
    return f->bytes[PCI_COMMAND] & PCI_COMMAND_IO && *offset < f->ports;
}
