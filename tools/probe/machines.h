/* The machines that `tv-probe --all` compares: QEMU, and Bochs' CPU models by age. */
#ifndef PROBE_MACHINES_H
#define PROBE_MACHINES_H

#include "lib/iso.h"

struct probe_machine {
    enum emu_kind emu;
    const char *cpu;
};
static const struct probe_machine probe_machines[] = {
    {EMU_QEMU, "max"},
    {EMU_BOCHS, "pentium"},
    {EMU_BOCHS, "pentium_mmx"},
    {EMU_BOCHS, "amd_k6_2_chomper"},
    {EMU_BOCHS, "p2_klamath"},
    {EMU_BOCHS, "p3_katmai"},
    {EMU_BOCHS, "p4_willamette"},
    {EMU_BOCHS, "athlon64_clawhammer"},
    {EMU_BOCHS, "p4_prescott_celeron_336"},
    {EMU_BOCHS, "athlon64_venice"},
    {EMU_BOCHS, "core_duo_t2400_yonah"},
    {EMU_BOCHS, "turion64_tyler"},
    {EMU_BOCHS, "phenom_8650_toliman"},
    {EMU_BOCHS, "core2_penryn_t9600"},
    {EMU_BOCHS, "atom_n270"},
    {EMU_BOCHS, "corei5_lynnfield_750"},
    {EMU_BOCHS, "corei5_arrandale_m520"},
    {EMU_BOCHS, "corei7_sandy_bridge_2600k"},
    {EMU_BOCHS, "zambezi"},
    {EMU_BOCHS, "corei7_ivy_bridge_3770k"},
    {EMU_BOCHS, "trinity_apu"},
    {EMU_BOCHS, "corei7_haswell_4770"},
    {EMU_BOCHS, "broadwell_ult"},
    {EMU_BOCHS, "ryzen"},
    {EMU_BOCHS, "corei7_skylake_x"},
    {EMU_BOCHS, "corei3_cnl"},
    {EMU_BOCHS, "corei7_icelake_u"},
    {EMU_BOCHS, "tigerlake"},
};
#define PROBE_MACHINES ((unsigned)(sizeof(probe_machines) / sizeof(probe_machines[0])))

#endif
