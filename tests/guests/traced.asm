; A known list of exits, for tests of traces: each round executes these instructions, in this order,
; and nothing else that leaves the guest. The test (tests/system/trace.c) has the list by name.
; ROUNDS is there, too.
%include "common.inc"

ROUNDS   equ 50
PORT     equ 0x80
MSR_TSC  equ 0x10

section .text
guest_main:
        mov edi, ROUNDS
        align 512
x_begin:
        out PORT, al
x_in:   in al, PORT
x_cli:  cli
x_read: mov eax, cr0
x_push: pushfd
        pop ebx
x_id:   xor eax, eax
x_cpuid:
        cpuid
        mov ecx, MSR_TSC
x_msr:  rdmsr
x_clts: clts
x_out:  out PORT, ax
x_done: dec edi
        jnz x_begin
        ret
