/*
 * Figures that others published, as this report quotes them. None of them was measured here. Pure.
 */
#ifndef OVERHEAD_PUBLISHED_H
#define OVERHEAD_PUBLISHED_H

#include "lib/machine.h"

#define SOURCE_ADAMS                                                                               \
    "Adams and Agesen, A Comparison of Software and Hardware Techniques for x86 Virtualization, "  \
    "ASPLOS 2006"
#define SOURCE_XEN "Barham et al., Xen and the Art of Virtualization, SOSP 2003"

/* Adams and Agesen's nanobenchmarks, in cycles. The words stand where the paper gives no number:
 * the number beside them is what the words say, worked out from the native one. */
struct published_nano {
    const char *theirs, *ours; /* name of the operation, there and in Minnow's bench */
    double native, software, hardware;
    const char *software_words, *hardware_words; /* or NULL */
};
extern const struct published_nano published_nano[];
extern const int published_nano_count;

/* lmbench on Xen, in microseconds. */
struct published_lmbench {
    const char *theirs, *ours;
    double native, xen, vmware, uml;
};
extern const struct published_lmbench published_lmbench[];
extern const int published_lmbench_count;

/* Cycles of one VM exit and the entry after it. */
struct published_cpu {
    const char *name;
    double cycles;
    enum run_mode mode; /* MODE_VTX or MODE_SVM: whose exits these are */
    bool nested;        /* it has nested paging */
    const char *source;
};
extern const struct published_cpu published_cpus[];
extern const int published_cpu_count;

/* Cycles of an exception and a page fault, to the kernel and back, on the Pentium 4 of Adams and
 * Agesen: what an entry into the VMM of a software mode costs on silicon, as near as it is known.
 */
#define PUBLISHED_EXCEPTION 889.0
#define PUBLISHED_PAGE_FAULT 1093.0

#endif
