/*
 * The mechanisms of para mode that can be left out, one by one, to see what each is worth: words of
 * the VMM's option pv=, with a '-' before each. What the VMM understands, what it says when it does
 * not, and what `make ablation` measures are all made of this list.
 */
#ifndef PV_SWITCHES_H
#define PV_SWITCHES_H

/* X(identifier, name after "pv=-", what is done with it). The single source of the list. */
#define PV_SWITCHES(X)                                                                             \
    X(STI, "sti", "CLI, STI, PUSHF and POPF are memory accesses, without a call of the VMM")       \
    X(CR, "cr", "CR0 and CR2 are read in memory")                                                  \
    X(MMU, "mmu", "the sites of page tables and CR3 that tell more than their instruction")        \
    X(BATCH, "batch", "changes of translations wait in a queue")                                   \
    X(IO, "io", "port I/O by calls instead of traps")                                              \
    X(SHORT, "short", "crossings the short way, without a turn of the vCPU's loop")                \
    X(CLOCK, "clock", "the clock on the shared page")                                              \
    X(TIMER, "timer", "the one-shot timer")                                                        \
    X(VIRTIO, "virtio", "virtio's disk and console instead of an ATA drive and a UART")

#endif
