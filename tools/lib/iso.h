/*
 * Boot images: a GRUB CD with the VMM, the guest and their command lines.
 * Specification of what GRUB does with them: Multiboot 1, and the GRUB manual's `multiboot`.
 */
#ifndef TOOLS_ISO_H
#define TOOLS_ISO_H

#include "machine.h"

struct boot_files {
    enum run_mode mode;
    const char *vmm, *guest; /* ELF files; NULL: what this tree builds. guest "" : none at all */
    const char *guest_args;  /* the guest's command line ("run=bench"), or NULL */
    const char *vmm_options; /* further words for the VMM's command line, or NULL */
    const char *modules[4];  /* more multiboot modules: "path" */
};

#define ISO_VMM "build/hypervisor/trivisor.elf"
#define ISO_GUEST "build/guestos/minnow.elf"
#define ISO_PROBE "build/tools/probe/bare/probe.elf"
#define ISO_DISK "build/guestos/minnow.img" /* the guest's disk, as built */

/*
 * The image for these files, made now or found in the cache (build/iso, by content).
 * Returns its path, allocated; or NULL with *error (allocated) one sentence.
 */
char *iso_for(const struct boot_files *files, char **error);

/*
 * An image with a menu: native and every mode, and the prober of the CPU. Returns false with *error
 * as above.
 */
bool iso_menu(const char *path, char **error);

#endif
