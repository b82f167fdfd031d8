/* Which configurations are measured, and which operations of the guest's bench. Pure. */
#ifndef OVERHEAD_PLAN_H
#define OVERHEAD_PLAN_H

#include <stdbool.h>

#include "lib/machine.h"

struct plan_config {
    enum emu_kind emu;
    const char *name;
    enum run_mode mode;
    const char *options; /* for the VMM's command line, or NULL */
    enum virtio virtio;
    bool disk_only; /* measured for the paths of the disk only */
    bool quick;     /* also in the quick form */
    const char *what;
};

enum op_class {
    OP_NANO,    /* one event of the CPU */
    OP_KERNEL,  /* one service of the guest's kernel */
    OP_PROGRAM, /* what programs do */
    OP_DISK,    /* what waits for the disk */
};

struct plan_op {
    const char *name;
    enum op_class class;
    bool quick;
    bool whole; /* so short that its median, a whole number of ticks, says little: the mean is used
                 */
    const char *what;
};

extern const struct plan_config plan_configs[];
extern const int plan_config_count;
extern const struct plan_op plan_ops[];
extern const int plan_op_count;

/* NULL: none of that name. */
const struct plan_op *plan_op(const char *name);

/* Does an operation give the same figures in every run there? QEMU's own disk, which only a native
 * guest sees, answers in the host's time: so the timer's interrupts come at other moments, too, and
 * are in the means. */
bool plan_repeats(const struct plan_config *config, const struct plan_op *op);

/* Is it measured there, and are the figures among those that repeat? */
bool plan_measured(const struct plan_config *config, const struct plan_op *op, bool quick);

/* Has the guest another disk there than natively? */
bool plan_virtio(const struct plan_config *config);

/* NULL: none of that name. */
const struct plan_config *plan_config(enum emu_kind emu, const char *name);

/* The configuration that runs the guest's CPU with hardware assist on an emulator: "svm", "vtx". */
const char *plan_hardware(enum emu_kind emu);

#endif
