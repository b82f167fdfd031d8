/*
 * The machines that Trivisor runs on: which emulator can run which mode, and the command line or
 * configuration file that makes the emulator's machine.
 */
#ifndef TOOLS_MACHINE_H
#define TOOLS_MACHINE_H

#include <stdbool.h>

enum emu_kind { EMU_QEMU, EMU_BOCHS, EMU_KINDS };
enum run_mode { MODE_NATIVE, MODE_TRAP, MODE_PARA, MODE_VTX, MODE_SVM, RUN_MODES };

extern const char *const emu_names[EMU_KINDS];  /* "qemu", "bochs": as on the command line */
extern const char *const emu_titles[EMU_KINDS]; /* "QEMU", "Bochs": in reports */
extern const char *const mode_names[RUN_MODES]; /* "native", "trap", ... */

/* Index of a name, or -1. */
int emu_by_name(const char *name);
int mode_by_name(const char *name);

/* Why this emulator cannot run this mode, and what can, in one sentence; NULL when it can. */
const char *pair_problem(enum emu_kind emu, enum run_mode mode);

/* Has the guest's machine virtio devices, a disk and a console? */
enum virtio {
    VIRTIO_USUAL, /* natively not; below a VMM as the mode has it */
    VIRTIO_OFF,
    VIRTIO_ON,
};

/* Why nobody can give a guest virtio devices there; NULL when somebody can. */
const char *virtio_problem(enum emu_kind emu, enum run_mode mode, enum virtio virtio);

/* Where the guest's console (COM1) goes. */
enum console {
    CONSOLE_FILE,  /* into com1.txt, nothing can be typed: byte-identical runs */
    CONSOLE_TYPED, /* a channel both ways; guest time jumps over idle waits */
    CONSOLE_HUMAN, /* a channel both ways; guest time passes as the clock on the wall does */
};

struct machine {
    enum emu_kind emu;
    enum run_mode mode; /* chooses the CPU model when cpu is NULL */
    const char *cpu;    /* the emulator's own name of a CPU model, or NULL */
    unsigned mem_mb;    /* the machine's memory; 0: MACHINE_MEM_MB */
    enum console console;
    bool trace;      /* what the VMM sends to port 0xE9 is kept; no console is typed at */
    bool virtio;     /* QEMU: its own devices; the disk is no ATA drive then */
    const char *iso; /* what it boots from, by GRUB; NULL: by itself */
    struct {
        const char *kernel, *append, *initrd; /* values of QEMU's options; initrd may be NULL */
    } boot;
    const char *disk;        /* the image of its disk, written in place; NULL: it has none */
    const char *snapshot;    /* the image of a second drive, for the VMM's snapshots; NULL: none */
    const char *dir;         /* com1.txt, com2.txt and bochsrc live here */
    int console_fd;          /* QEMU, typed: the emulator's end of the channel */
    const char *console_tty; /* Bochs, typed: the terminal that is COM1 */
    int command_fd;          /* QEMU: the emulator's end of a channel that is COM2; 0: com2.txt */
    const char *command_tty; /* Bochs: likewise, a terminal; NULL: com2.txt */
    const char *gdb_socket;  /* QEMU: wait for gdb here; NULL: run at once */
    const char *commands;    /* Bochs: commands of its debugger; NULL: "c", that is run */
};

#define MACHINE_MEM_MB 128u

/* The CPU model that the machine will have. */
const char *machine_cpu(const struct machine *m);

/* What came to port 0xE9, below dir. Bochs writes it to its standard output. */
#define MACHINE_TRACE "trace.bin"

/* A comma ends a value in QEMU's options, two are one; the text with two for one, allocated. */
char *doubled_commas(const char *text);

/* The emulator's argument list, NULL-terminated; writes bochsrc where Bochs needs it. Everything
 * is allocated and lives until the program ends. */
char **machine_argv(const struct machine *m);

#endif
