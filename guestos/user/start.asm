; A program's first instructions: the kernel left argc and argv as arguments of a call.
bits 32
extern main, exit
global start
section .text
start:
        pop eax                         ; no return address
        call main
        push eax
        call exit
