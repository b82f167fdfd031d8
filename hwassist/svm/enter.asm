; The world switch: world_switch.inc has it.
%include "world_switch.inc"
global svm_enter

section .text
        world_switch svm_enter, 0
