; Breakpoints on the VMM: a guest may have its debug registers, but where the address that they name is
; one of the VMM's, too, the VMM must not be stopped there. The command line has three addresses in
; hexadecimal, "at=CODE,CODE,DATA". They are armed by a write of DR7, and by writes of DR0 to DR2 behind
; it.
%include "common.inc"

LOOPS equ 200
ALL   equ 0x0F00043F            ; DR7: DR0 and DR1 executed, DR2 read or written, 4 bytes
SPARE equ 0x00001000            ; where nobody is

section .rodata
word_at: db "at=", 0

section .bss nobits align=4
data:   resd 1

section .text
; ESI = text. Returns EAX, and ESI behind the digits.
hex:    xor eax, eax
.next:  movzx edx, byte [esi]
        sub dl, '0'
        jb .done
        cmp dl, 9
        jbe .digit
        sub dl, 'a' - '0' - 10
        cmp dl, 15
        ja .done
.digit: shl eax, 4
        or eax, edx
        inc esi
        jmp .next
.done:  ret

; Exits of several kinds, long ones and short ones.
work:   mov edi, LOOPS
.next:  xor eax, eax
        cpuid
        mov eax, cr4
        mov cr4, eax
        mov dx, 0x3FD
        in al, dx
        mov al, 0x30                    ; a timer's interrupt of the host now and then
        out 0x43, al
        mov al, 1
        out 0x40, al
        out 0x40, al
        dec edi
        jnz .next
        ret

guest_main:
        mov esi, word_at
        call has_word
        mov eax, 0
        setc al
        check "addresses", 1
        mov esi, command_line
.find:  inc esi
        cmp word [esi - 1], 'at'
        jne .find
        cmp byte [esi + 1], '='
        jne .find
        add esi, 2
        call hex
        mov ebx, eax
        inc esi
        call hex
        mov ebp, eax
        inc esi
        call hex
        mov [data], eax

        mov dr0, ebx
        mov dr1, ebp
        mov dr2, eax
        mov eax, ALL
        mov dr7, eax
        call work
        mov eax, SPARE
        mov dr0, eax
        mov dr1, eax
        mov dr2, eax
        call work
        mov dr0, ebx
        mov dr1, ebp
        mov eax, [data]
        mov dr2, eax
        call work
        mov eax, dr0
        check "code", ebx
        mov eax, dr1
        check "code.2", ebp
        mov eax, dr2
        check "data", [data]
        mov eax, dr7
        check "armed", ALL
        ret
