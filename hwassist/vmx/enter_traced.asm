; The world switch with a record of each exit (trace.h): world_switch.inc has it.
%include "world_switch.inc"
global vmx_enter_traced, vmx_exit_traced
extern vmx_way_bits, trace_at, trace_limit, trace_entry_call, trace_full

section .text
        world_switch vmx_enter_traced, vmx_exit_traced, 1
