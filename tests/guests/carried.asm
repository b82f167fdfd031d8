; What a guest has must come with it from mode to mode (tests/system/switching.c), and into and out of
; a snapshot (snapshot.c): debug registers, the FPU and the SSE registers, control registers, and
; interrupts: one that waits while the guest has them disabled, and one that the timer makes later.
;
; The guest asks for each mode by the port of Minnow's hvmode.h; where there is none, as on the bare
; machine, nothing changes and all must be right as well.
%include "common.inc"
%include "move.inc"
%include "irq0.inc"

VEC_IRQ0  equ 0x60
SOON      equ 1193              ; PIT clocks: 1 ms
LATER     equ 11930             ; 10 ms
FXSR_SSE  equ 3 << 24           ; CPUID.1:EDX
OSFXSR    equ 1 << 9            ; CR4
DE        equ 1 << 3
WP        equ 1 << 16           ; CR0
CONTROL   equ 0x0E7F            ; of the FPU: towards zero, 53 bits
MXCSR     equ 0x7F80            ; towards zero
ARMED     equ 0x000D0402        ; DR7: DR0 breaks when 4 bytes are written; G0
CR2_VALUE equ 0x0BADF00C

section .rodata align=16
wishes: dd 1, 2, 1, 4 | NESTED, 1, 4 | SHADOW, 2, 4 | NESTED, 2, 4 | SHADOW, 4 | NESTED
        dd 1, 3 | NESTED, 1, 3 | SHADOW, 2, 3 | NESTED, 2, 3 | SHADOW, 3 | NESTED, 1
WISHES equ ($ - wishes) / 4
align 16
vector: dd 0x11111111, 0x22222222, 0x33333333, 0x44444444

section .bss nobits align=16
before:   resb 108              ; FNSAVE's picture
after:    resb 108
align 16
got:      resd 4
watched:  resd 1
has_sse:  resd 1
interrupts: resd 1
debug_traps: resd 1
wish:     resd 1

section .text
on_irq: push eax
        inc dword [interrupts]
        mov al, 0x20
        out 0x20, al
        pop eax
        iretd

on_debug:
        inc dword [debug_traps]
        iretd

; An interrupt of the timer, once, after AX PIT clocks.
arm:    push eax
        mov al, 0x30
        out 0x43, al
        pop eax
        out 0x40, al
        mov al, ah
        out 0x40, al
        ret

; Until the timer's interrupt waits at the 8259: its request register says so.
until_rung:
        mov al, 0x0A
        out 0x20, al
.again: in al, 0x20
        test al, 1
        jz .again
        ret

set_up: call irq0_on
        mov eax, on_debug
        mov ecx, VEC_DB
        mov dl, 0x8E
        call put_gate

        mov eax, cr0
        or eax, WP
        mov cr0, eax
        mov eax, cr4
        or eax, DE
        mov cr4, eax
        mov eax, CR2_VALUE
        mov cr2, eax

        mov eax, watched
        mov dr0, eax
        mov eax, 0x11110000
        mov dr1, eax
        mov eax, 0x22220000
        mov dr2, eax
        mov eax, 0x33330000
        mov dr3, eax
        mov eax, ARMED
        mov dr7, eax

        fninit
        push dword CONTROL
        fldcw [esp]
        pop eax
        fldpi
        fldl2e
        fld1
        fldz
        fnsave [before]
        frstor [before]
        mov eax, 1
        cpuid
        and edx, FXSR_SSE
        cmp edx, FXSR_SSE
        jne .no_sse
        inc dword [has_sse]
        mov eax, cr4
        or eax, OSFXSR
        mov cr4, eax
        movups xmm0, [vector]
        movups xmm7, [vector]
        push dword MXCSR
        ldmxcsr [esp]
        pop eax
.no_sse:
        ret

; What FNSAVE stores: the control, status and tag words, and the registers. Where the last
; instruction was is left out: QEMU does not keep it.
check_fpu:
        fnsave [after]
        frstor [after]
        mov eax, RIGHT
        cld
        mov esi, before
        mov edi, after
        mov ecx, 3
.word:  mov dx, [esi + ecx * 4 - 4]
        cmp dx, [edi + ecx * 4 - 4]
        jne .wrong
        loop .word
        add esi, 28
        add edi, 28
        mov ecx, 20
        repe cmpsd
        je .done
.wrong: mov eax, ecx
.done:  check "fpu", RIGHT
        cmp dword [has_sse], 0
        je .no_sse
        movups [got], xmm0
        mov eax, [got + 4]
        check "sse.first", 0x22222222
        movups [got], xmm7
        mov eax, [got + 12]
        check "sse.last", 0x44444444
        push eax
        stmxcsr [esp]
        pop eax
        check "sse.control", MXCSR
.no_sse:
        ret

; EAX = 1 where a breakpoint of DR7 works: not in the software modes (1 trap, 2 para).
breakpoints_work:
        push edx
        mov dx, PORT_MODE
        in eax, dx
        dec al
        cmp al, 2
        setae al
        movzx eax, al
        pop edx
        ret

check_debug:
        mov eax, dr1
        check "debug.1", 0x11110000
        mov eax, dr2
        check "debug.2", 0x22220000
        mov eax, dr3
        check "debug.3", 0x33330000
        mov eax, dr7
        and eax, ~0x400                 ; always set, but some emulators forget
        check "debug.7", ARMED & ~0x400
        mov eax, 0xFFFF0FF0
        mov dr6, eax
        inc dword [watched]
        call breakpoints_work
        mov ecx, eax
        mov eax, [debug_traps]
        check "debug.traps", ecx
        mov dword [debug_traps], 0
        mov eax, dr6
        and eax, 0xF
        check "debug.hit", ecx
        ret

check_control:
        mov eax, cr2
        check "cr2", CR2_VALUE
        mov eax, cr0
        and eax, WP | 1
        check "cr0", WP | 1
        mov eax, cr4
        and eax, DE
        check "cr4", DE
        ret

; The interrupt has come already, and the guest lets it in behind the switch.
waiting_interrupt:
        mov dword [interrupts], 0
        mov ax, SOON
        call arm
        call until_rung
        mov eax, [wish]
        call move_to
        mov eax, [interrupts]
        check "waiting.before", 0
        set_flags FL_IF | 2
        nop
        set_flags 2
        mov eax, [interrupts]
        check "waiting.after", 1
        ret

; The timer runs while the guest is moved; then it is waited for, halted.
later_interrupt:
        mov dword [interrupts], 0
        mov ax, LATER
        call arm
        mov eax, [wish]
        call move_to
        mov eax, [interrupts]
        check "later.before", 0
        sti
        hlt
        cli
        mov eax, [interrupts]
        check "later.after", 1
        ret

guest_main:
        call set_up
        xor ebx, ebx
.next:  mov eax, [wishes + ebx * 4]
        mov [wish], eax
        push ebx
        call waiting_interrupt
        call check_fpu
        call check_debug
        call check_control
        pop ebx
        inc ebx
        cmp ebx, WISHES
        jne .next
        xor ebx, ebx
.again: mov eax, [wishes + ebx * 4]
        mov [wish], eax
        push ebx
        call later_interrupt
        call check_fpu
        call check_debug
        call check_control
        pop ebx
        inc ebx
        cmp ebx, WISHES
        jne .again
        ret
