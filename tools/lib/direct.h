/*
 * Booting without GRUB: QEMU's own Multiboot loader takes the same files and the same command
 * lines. GRUB measures the processor's clock each time it starts, and that alone is 55 million
 * instructions. Specification: Multiboot 1; QEMU's options -kernel, -append and -initrd.
 */
#ifndef TOOLS_DIRECT_H
#define TOOLS_DIRECT_H

#include "iso.h"

/* What boots a machine. LOADER_USUAL: what the environment's TRIVISOR_LOADER says, or QEMU by
 * itself, and Bochs, which cannot, by GRUB. */
enum loader { LOADER_USUAL, LOADER_DIRECT, LOADER_GRUB };

/* The loader of that name ("usual", "direct", "grub"), or -1. */
int loader_by_name(const char *name);

/* Which of the other two it is on this emulator. Returns LOADER_USUAL with *error (allocated) one
 * sentence when that cannot be. */
enum loader loader_for(enum emu_kind emu, enum loader wanted, char **error);

/*
 * Put what boots into m->boot: copies of the files, in a folder whose name is a hash of their
 * content, so that the path, which is a part of the command line, has the same length each time.
 * Returns false with *error (allocated) one sentence.
 */
bool direct_for(const struct boot_files *files, struct machine *m, char **error);

#endif
