/*
 * The cost model: what the counted exits would cost on silicon, from published cycles. A
 * translation of measurements, no measurement. Pure.
 *
 * G: ticks of the operation on the bare machine. V: ticks that the VMM adds (those of the mode less
 * G). Both are taken as cycles at one instruction a cycle. E: exits of one operation.
 *
 *   hardware modes, on a CPU whose exit and entry cost c cycles:
 *       (G + V + E x c) / G
 *     What system calls, faults and interrupts cost within the guest is the same with and without
 *     the VMM, and left out of both.
 *   software modes, on a CPU where an exception costs e cycles and a page fault p:
 *       (G + V + P x p + (E - P) x e) / (G + N x e)
 *     P: exits by page faults that are the VMM's business. N: the bare machine has events, too:
 *     system calls, exceptions and interrupts, which mode trap sees pass and counts.
 *
 * Left out: misses of caches and of the TLB, and what nested paging makes of the latter.
 */
#ifndef OVERHEAD_MODEL_H
#define OVERHEAD_MODEL_H

#include "overhead/figures.h"

/* Each returns how many times the bare machine's cycles an operation would need; NAN when
 * something was not measured. */

double model_hardware(const struct figures *f, enum emu_kind emu, const char *config,
                      const char *op, double cycles);

double model_software(const struct figures *f, enum emu_kind emu, const char *config,
                      const char *op, double exception, double page_fault);

/* The shares of an operation's ticks: what the VMM executed, of all; and of the guest's own
 * instructions those that ran without the VMM. An exit stands for one instruction of the guest at
 * most, so the second is a lower bound. */
double model_vmm_share(const struct figures *f, enum emu_kind emu, const char *config,
                       const char *op);
double model_direct_share(const struct figures *f, enum emu_kind emu, const char *config,
                          const char *op);

#endif
