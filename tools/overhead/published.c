#include "overhead/published.h"

#include <stddef.h>

const struct published_nano published_nano[] = {
    {"syscall", "null-syscall", 242, 242 + 2000, 242, "native + about 2000", "native"},
    {"in", "port-io", 3209, 3209 / 15.0, 15826, "15 times faster than native", NULL},
    {"cr8wr", "cr-write", 140, 35, 140, NULL, "near native"},
    {"call/ret", "call-ret", 11, 51, 11, NULL, NULL},
    {"pgfault", "page-fault", 1093, 3927, 11242, NULL, NULL},
    {"divzero", "divide-error", 889, 3223, 1014, NULL, NULL},
    {"ptemod", "pte-mod", 1, 391, 12733, NULL, NULL},
};
const int published_nano_count = sizeof(published_nano) / sizeof(published_nano[0]);

/* fork by itself is left out: Minnow's bench always has exec behind it. */
const struct published_lmbench published_lmbench[] = {
    {"null call", "null-syscall", 0.45, 0.46, 0.73, 24.7},
    {"exec", "fork-exec-wait", 530, 768, 2300, 33000},
    {"context switch", "context-switch", 0.77, 1.97, 18.1, 15.5},
    {"page fault", "page-fault", 1.42, 2.73, 12.4, 26.3},
};
const int published_lmbench_count = sizeof(published_lmbench) / sizeof(published_lmbench[0]);

const struct published_cpu published_cpus[] = {
    {"Core 2 T5600", 1727, MODE_VTX, false, "vmlatency results"},
    {"Xeon X5570", 2000, MODE_VTX, true, "SplitX: about 2,000, direct cost"},
    {"i7-2600", 817, MODE_VTX, true, "vmlatency results"},
    {"i7-4770", 614, MODE_VTX, true, "vmlatency results"},
    {"i7-8559U", 430, MODE_VTX, true, "vmlatency results"},
    {"AMD, 2012", 1360, MODE_SVM, true,
     "kernel list, 2012: VMRUN section of 1,344 to 1,376; the middle"},
};
const int published_cpu_count = sizeof(published_cpus) / sizeof(published_cpus[0]);
