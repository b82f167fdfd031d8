/*
 * One run of an emulator: build the boot image, start it, talk to the guest's console, wait for
 * the end with a time limit, and leave nothing behind.
 *
 * One run at a time in a process (proc.h says why).
 */
#ifndef TOOLS_EMU_H
#define TOOLS_EMU_H

#include "direct.h"
#include "iso.h"
#include "machine.h"
#include "proc.h"
#include "records.h"
#include "util.h"

struct emu_spec {
    enum emu_kind emu;
    struct boot_files files; /* files.mode is the run's mode */
    enum loader loader;      /* what boots it */
    const char *cpu;         /* CPU model, NULL: the mode's usual one */
    unsigned mem_mb;         /* of the machine, 0: 128 */
    enum console console;
    enum virtio virtio;   /* does the guest see virtio devices? */
    const char *disk;     /* image that the guest keeps; NULL: a copy of ISO_DISK; "": no disk */
    const char *snapshot; /* image of the drive for snapshots, made when missing; NULL: no drive */
    bool commands;        /* COM2 takes input, too: emu_command() */
    unsigned timeout_s;   /* wall time for the whole run, 0: no limit */
    bool trace;      /* keep what the VMM sends to port 0xE9 in MACHINE_TRACE; CONSOLE_FILE only */
    const char *dir; /* for the run's files; made when missing */
    int echo_fd;     /* console output is also copied there; -1: nowhere */
};

enum emu_outcome {
    EMU_DONE,      /* the guest, or the VMM for it, ended the run: status is valid */
    EMU_TIMED_OUT, /* the time limit; everything was killed */
    EMU_BROKEN,    /* the machine stopped without an end record, or could not start */
    EMU_STOPPED,   /* by emu_kill() */
};

struct emu_run {
    bool echo_failed; /* the console could not be copied to echo_fd */
    struct emu_spec spec;
    struct proc proc;
    bool running;
    int console_fd, screen_fd; /* console channel or file; what Bochs draws; -1: none */
    int console_tty;           /* our copy of the terminal that is Bochs' COM1, or -1 */
    int command_fd, command_tty, record_fd; /* the same for COM2; what it says goes to a file */
    struct text said;                       /* COM2 so far, with spec.commands */
    size_t heard;                           /* emu_command() has looked this far */
    int disk_fd, snapshot_fd;               /* hold the locks on the images of the drives */
    struct text console;                    /* COM1 so far, without carriage returns */
    size_t seen;                            /* emu_expect() has looked this far */
    double started, seconds; /* now_s() at the start; wall time of the finished run */

    enum emu_outcome outcome;
    int status;     /* the guest's exit status */
    char *error;    /* one sentence when outcome is not EMU_DONE */
    cJSON *records; /* of COM2; after the end */
};

/*
 * Start a run. Always fills *run; returns false when nothing could be started (outcome EMU_BROKEN
 * and error say why). Either way emu_free() ends it.
 */
bool emu_start(struct emu_run *run, const struct emu_spec *spec);

/*
 * Take what the machine has written, waiting up to wait_ms for something to happen. extra_fd (or
 * -1) is watched too. Returns true when extra_fd is readable. When the machine has ended or the
 * time is up, run->running becomes false and outcome, status, error and records are set.
 */
bool emu_step(struct emu_run *run, int extra_fd, int wait_ms);

/* Wait until the console shows `text` after what earlier calls have matched. False: the run ended
 * or `seconds` passed without it. */
bool emu_expect(struct emu_run *run, const char *text, unsigned seconds);

/* Put bytes on the guest's console line (CONSOLE_TYPED and CONSOLE_HUMAN). The line has no flow
 * control: a guest may lose what comes faster than it reads. */
void emu_send(struct emu_run *run, const char *bytes, size_t n);

/*
 * With spec.commands: a line for the monitor of the VMM, on COM2. Waits for its answer, the records
 * up to the one that says "done"; those of events that came meanwhile are among them. Returns them
 * (an array, which the caller deletes); NULL: the run ended or `seconds` passed.
 */
cJSON *emu_command(struct emu_run *run, const char *line, unsigned seconds);

/* Only the bytes, and: wait until a record contains `text`, behind those that were answers. */
void emu_command_bytes(struct emu_run *run, const char *bytes, size_t n);
bool emu_expect_record(struct emu_run *run, const char *text, unsigned seconds);

/* Type as a person does: each character when the one before was echoed. */
void emu_type(struct emu_run *run, const char *text);

/* Wait for the end. Returns true when outcome is EMU_DONE. */
bool emu_wait(struct emu_run *run);

/* End the run now: outcome EMU_STOPPED. */
void emu_kill(struct emu_run *run);

/* Kill what still runs, release everything. */
void emu_free(struct emu_run *run);

/* emu_start() and emu_wait() for a run nobody talks to. */
bool emu_run(struct emu_run *run, const struct emu_spec *spec);

#endif
