/*
 * A PCI bus with its configuration space: bus 0 behind the host bridge (PCI Local Bus Specification
 * 3.0, chapters 3.2.2.3 and 6). Pure code.
 */
#ifndef TRIVISOR_PCI_H
#define TRIVISOR_PCI_H

#include "types.h"

#define PCI_ADDRESS 0xCF8u /* ports of configuration mechanism #1; the address is 32 bits wide */
#define PCI_DATA 0xCFCu

/* Offsets in configuration space (6.1) */
#define PCI_COMMAND 0x04u
#define PCI_STATUS 0x06u
#define PCI_BAR0 0x10u
#define PCI_CAPABILITIES 0x34u
#define PCI_INTERRUPT_LINE 0x3Cu

#define PCI_COMMAND_IO 0x0001u
#define PCI_COMMAND_MEMORY 0x0002u
#define PCI_COMMAND_MASTER 0x0004u
#define PCI_COMMAND_NO_INTX 0x0400u
#define PCI_STATUS_INTX 0x0008u

#define PCI_CONFIG_SIZE 256u
#define PCI_DEVICES 3u /* each is one function: the host bridge, two for virtio */

struct pci_function {
    bool present;
    uint16_t ports;                    /* size of BAR 0; 0: there is none */
    uint8_t bytes[PCI_CONFIG_SIZE];    /* what is read */
    uint8_t writable[PCI_CONFIG_SIZE]; /* which bits the guest can change */
};
struct pci {
    uint32_t address;
    struct pci_function device[PCI_DEVICES];
};

/* What a function is. class_code: base class, sub-class, interface, in 24 bits. */
struct pci_identity {
    uint16_t vendor, device;
    uint8_t revision;
    uint32_t class_code;
    uint16_t subsystem_vendor, subsystem;
};

/* An empty bus with its host bridge; and a device on it, which the caller then equips. */
void pci_init(struct pci *pci);
struct pci_function *pci_add(struct pci *pci, unsigned device, const struct pci_identity *id);
/* BAR 0 is `size` ports (a power of two) and lies at `port`, as firmware would have arranged. */
void pci_io_bar(struct pci_function *f, uint16_t port, uint16_t size);
/* INTA# ends at this input of the interrupt controllers. */
void pci_interrupt(struct pci_function *f, uint8_t irq);
/* Append a capability of `size` bytes (body: what follows its ID and link); returns its offset. */
unsigned pci_capability(struct pci_function *f, uint8_t id, const void *body, unsigned size);

uint16_t pci_word(const struct pci_function *f, unsigned offset);
uint32_t pci_dword(const struct pci_function *f, unsigned offset);

/* Write the address register. Then: the function that it names, and the offset there of the data
 * port; NULL: none. */
void pci_select(struct pci *pci, uint32_t address);
struct pci_function *pci_target(struct pci *pci, uint16_t port, unsigned *offset);
/* Accesses of 1, 2 or 4 bytes, within one of the registers' 32 bits. */
uint32_t pci_read(const struct pci_function *f, unsigned offset, unsigned size);
void pci_write(struct pci_function *f, unsigned offset, unsigned size, uint32_t value);

/* Is the port in BAR 0, with I/O enabled? *offset receives where. */
bool pci_decodes(const struct pci_function *f, uint16_t port, unsigned *offset);

#endif
