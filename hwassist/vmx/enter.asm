; The world switch: world_switch.inc has it.
%include "world_switch.inc"
global vmx_enter, vmx_exit

section .text
        world_switch vmx_enter, vmx_exit, 0
