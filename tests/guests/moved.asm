; A guest that is moved from mode to mode by its own wish (hvmode.h of Minnow: the port) while what
; observes it is at work. The test (tests/system/switching.c) has a breakpoint set at `target` before
; the guest starts: what the guest has written over it is the guest's, in all modes.
%include "common.inc"

PORT_MODE equ 0x7E4
STATE     equ 0xFF0000
WAITS     equ 1 << 16
NESTED    equ 0x100
SHADOW    equ 0x200
MINE      equ 0x12345678

section .rodata align=4
wishes: dd 1, 2, 4 | NESTED, 4 | SHADOW, 3 | NESTED, 3 | SHADOW, 1
WISHES equ ($ - wishes) / 4

section .data align=4096
target: dd 0
        times 4092 db 0

section .text
; EAX = wish. Until it is done or given up.
move_to:
        mov dx, PORT_MODE
        out dx, eax
.wait:  in eax, dx
        and eax, STATE
        cmp eax, WAITS
        je .wait
        ret

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
