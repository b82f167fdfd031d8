/*
 * The linear address space of the VMM: the top 256 MB, in every page table it ever loads.
 *
 *   0xF0000000  direct map of host physical memory 0 .. DIRECT_MAP_SIZE-1 (supervisor)
 *   0xFE000000  code window (trap mode; user, read-only, executable)
 *   0xFF000000  unused, so that running off the window's end faults
 *
 * Guests cannot use linear addresses from VMM_BASE up in the software modes (the paper by Neiger
 * et al. calls this address-space compression); hardware modes have no such limit.
 */
#ifndef TRIVISOR_LAYOUT_H
#define TRIVISOR_LAYOUT_H

#define VMM_BASE 0xF0000000u
#define DIRECT_MAP_SIZE 0x0E000000u
#define WINDOW_BASE 0xFE000000u
#define WINDOW_SIZE 0x01000000u
#define VMM_LOAD_HPA 0x00200000u

#endif
