/*
 * The modes of this build. The VMM proper sees nothing of a mode but its table; a mode that is
 * left out of the build is simply absent (weak symbols). The order is the numbering of CPUID leaf
 * 0x40000001.
 */
#include "mode.h"

extern const struct vmm_mode mode_trap __attribute__((weak));
extern const struct vmm_mode mode_para __attribute__((weak));
extern const struct vmm_mode mode_vtx __attribute__((weak));
extern const struct vmm_mode mode_svm __attribute__((weak));

const struct vmm_mode *const vmm_modes[] = {&mode_trap, &mode_para, &mode_vtx, &mode_svm};
const unsigned vmm_mode_count = sizeof(vmm_modes) / sizeof(vmm_modes[0]);
