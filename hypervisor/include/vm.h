/*
 * A virtual machine: memory, devices, one vCPU. There is no global guest.
 */
#ifndef TRIVISOR_VM_H
#define TRIVISOR_VM_H

#include "devices.h"
#include "switch.h"
#include "vcpu.h"

#define WATCH_NO_RAM 0x80u /* in vm->page_watch */

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

    /*
     * Guest pages that a mode watches (its scanned code, its descriptor tables): one byte a page,
     * non-zero when watched; WATCH_NO_RAM for those between ISA_HOLE and its end; NULL when no mode
     * watches. Whoever in the VMM writes guest memory calls page_written() for a watched page after
     * the write (gmem.c does).
     */
    uint8_t *page_watch;
    void (*page_written)(struct vm *vm, gpa_t page);

    /* The guest kernel's ELF image (symbols, notes), NULL when none. */
    const void *image;
    uint32_t image_size;
    const char *image_name; /* first word of the module's command line */

    /* Options that modes read: the VMM's command line, with what the last switch wanted in front
     * of it; and that line as it is. */
    const char *options, *base_options;
    struct vm_switch switching;

    /* INT3 at EIP: did the monitor put it there? NULL: it never did. The registers that
     * fetch_decode() reads are current. */
    bool (*breakpoint)(struct vcpu *vcpu);
    void (*breakpoint_hit)(struct vcpu *vcpu); /* and it came to EXIT_BREAKPOINT */

    bool started; /* the guest has executed something */
    /* Leave the vCPU loop: the guest has ended, or the monitor or a switch has a turn. */
    bool stopped;
    const char *stop_reason; /* why the guest powered off or was killed; NULL: it goes on */
    int exit_status;
};

#define VM_STATUS_KILLED 124 /* exit_status of a guest that the VMM killed */

/* Between these a PC has device memory and ROM instead of RAM. */
#define ISA_HOLE 0xA0000u
#define ISA_HOLE_END 0x100000u

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
