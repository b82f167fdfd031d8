/*
 * A virtual machine: memory, devices, one vCPU. There is no global guest.
 */
#ifndef TRIVISOR_VM_H
#define TRIVISOR_VM_H

#include "devices.h"
#include "vcpu.h"

struct vm {
    const char *name;

    /* Guest RAM: gpa 0 .. ram_size-1, contiguous in host memory. */
    uint8_t *ram;      /* the VMM's pointer to gpa 0 */
    hpa_t ram_hpa;     /* host physical address of gpa 0, 4 MB aligned */
    uint32_t ram_size; /* bytes, multiple of 4 MB */

    /* The text-mode frame buffer, gpa 0xB8000..0xBFFFF: the host's own (console) or a copy. */
    hpa_t vga_hpa;

    struct vcpu vcpu;
    struct devices dev;

    /* Options that modes read (from the VMM's command line). */
    const char *options;

    bool stopped; /* the guest powered off or was killed */
    int exit_status;
    const char *stop_reason;
};

#define VGA_TEXT_GPA 0xB8000u
#define VGA_TEXT_SIZE 0x8000u

/*
 * Where a guest physical page lives in the host.
 * gpa: any address. *hpa receives the page's host physical address (page aligned).
 * Returns false for gpa that has no memory behind it (a hole or device memory): reads there must
 * give all ones and writes must vanish.
 */
bool vm_gpa_to_hpa(const struct vm *vm, gpa_t gpa, hpa_t *hpa);

/* Stop the guest with a reason for the person at the console (one sentence, static storage or
 * kmsg buffer). The VMM goes on. */
void vm_kill(struct vm *vm, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
