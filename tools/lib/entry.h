/* The machines on which the checker of VM entries is compared with the CPU (tests/entry). */
#ifndef TOOLS_ENTRY_H
#define TOOLS_ENTRY_H

#include "machine.h"

#define ENTRY_ELF "build/tests/entry/entry.elf"

/* AMD-V in both emulators, and the history of VT-x: without secondary controls, without EPT,
 * without unrestricted guests, with all of it. */
static const struct entry_machine {
    enum emu_kind emu;
    const char *cpu;
} entry_machines[] = {
    {EMU_QEMU, "max"},
    {EMU_BOCHS, "turion64_tyler"},
    {EMU_BOCHS, "ryzen"},
    {EMU_BOCHS, "core_duo_t2400_yonah"},
    {EMU_BOCHS, "core2_penryn_t9600"},
    {EMU_BOCHS, "corei5_lynnfield_750"},
    {EMU_BOCHS, "corei7_sandy_bridge_2600k"},
    {EMU_BOCHS, "corei7_haswell_4770"},
};
#define ENTRY_MACHINES ((int)(sizeof(entry_machines) / sizeof(entry_machines[0])))

#endif
