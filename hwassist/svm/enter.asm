; The world switch: world_switch.inc has it.
%include "world_switch.inc"
global svm_enter, svm_turns
extern host_work

section .bss
svm_turns: resb 1

section .text
        world_switch svm_enter, 0
