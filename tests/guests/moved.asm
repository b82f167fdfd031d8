; A guest that is moved from mode to mode by its own wish (hvmode.h of Minnow: the port) while what
; observes it is at work. The test (tests/system/switching.c) has a breakpoint set at `target` before
; the guest starts: what the guest has written over it is the guest's, in all modes.
%include "common.inc"
%include "move.inc"

MINE      equ 0x12345678

section .rodata align=4
wishes: dd 1, 2, 4 | NESTED, 4 | SHADOW, 3 | NESTED, 3 | SHADOW, 1
WISHES equ ($ - wishes) / 4

section .data align=4096
target: dd 0
        times 4092 db 0

section .text
guest_main:
        mov dword [target], MINE
        xor ecx, ecx
.next:  mov eax, [wishes + ecx * 4]
        call move_to
        mov eax, [target]
        check "kept", MINE
        inc dword [target]
        dec dword [target]
        inc ecx
        cmp ecx, WISHES
        jne .next
        ret
