; The world switch with a record of each exit (trace.h): world_switch.inc has it.
%include "world_switch.inc"
global svm_enter_traced
extern host_work, svm_turns, svm_way_bits, trace_at, trace_limit, trace_entry_call, trace_full

section .text
        world_switch svm_enter_traced, 1
