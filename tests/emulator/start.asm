; The bare machine under the test of the emulator: Multiboot entry, flat segments without paging, an
; IDT whose exceptions end the run, and a timer interrupt that stops a guest that runs away, and the
; run when it is the emulator that does not come back (patience).

bits 32
default abs

global start, timer_ticks, patience
extern test_main, host_exception, host_late

MB_FLAGS equ 3
MB_MAGIC equ 0x1BADB002
SEL_CODE equ 0x08
SEL_DATA equ 0x10
VEC_TIMER equ 0x20
VECTORS   equ VEC_TIMER + 16

section .multiboot align=4
        dd MB_MAGIC, MB_FLAGS, -(MB_MAGIC + MB_FLAGS)

section .text
; Multiboot 1 section 3.2: EBX = information.
start:
        cli
        cld
        mov esp, stack_top
        lgdt [gdtr]
        jmp SEL_CODE:.flat
.flat:  mov eax, SEL_DATA
        mov ds, eax
        mov es, eax
        mov fs, eax
        mov gs, eax
        mov ss, eax
        xor ecx, ecx
.gate:  mov eax, [stub_table + ecx * 4]
        mov [idt + ecx * 8], ax
        mov word [idt + ecx * 8 + 2], SEL_CODE
        mov word [idt + ecx * 8 + 4], 0x8E00
        shr eax, 16
        mov [idt + ecx * 8 + 6], ax
        inc ecx
        cmp ecx, VECTORS
        jne .gate
        mov eax, stray_step
        mov [idt + 1 * 8], ax
        shr eax, 16
        mov [idt + 1 * 8 + 6], ax
        lidt [idtr]
        call timer_init
        push ebx
        call test_main
.stop:  cli
        hlt
        jmp .stop

; 8259A and 8254 data sheets: IRQ 0 alone, at VEC_TIMER, every 10 ms.
timer_init:
        mov al, 0x11
        out 0x20, al
        out 0xA0, al
        mov al, VEC_TIMER
        out 0x21, al
        mov al, VEC_TIMER + 8
        out 0xA1, al
        mov al, 4
        out 0x21, al
        mov al, 2
        out 0xA1, al
        mov al, 1
        out 0x21, al
        out 0xA1, al
        mov al, 0xFE
        out 0x21, al
        mov al, 0xFF
        out 0xA1, al
        mov al, 0x34
        out 0x43, al
        mov al, 11932 & 0xFF
        out 0x40, al
        mov al, 11932 >> 8
        out 0x40, al
        ret

; IRQ 7 when IRQ 0 went away (8259A data sheet).
spurious:
        iretd

; Bochs hands the single step that a guest had pending when it was left to the host.
stray_step:
        iretd

timer:
        push eax
        inc dword [timer_ticks]
        mov al, 0x20
        out 0x20, al
        cmp dword [patience], 0
        je .done
        dec dword [patience]
        jnz .done
        cld
        call host_late
.done:  pop eax
        iretd

%assign v 0
%rep VEC_TIMER
stub_ %+ v:
%if !(v == 8 || (v >= 10 && v <= 14) || v == 17)
        push dword 0
%endif
        push dword v
        jmp near exception
%assign v v + 1
%endrep

; A pointer to vector, error, EIP, CS, EFLAGS.
exception:
        push esp
        call host_exception

section .rodata align=8
stub_table:
%assign v 0
%rep VEC_TIMER
        dd stub_ %+ v
%assign v v + 1
%endrep
        dd timer
        times 15 dd spurious
gdtr:   dw 23
        dd gdt
idtr:   dw VECTORS * 8 - 1
        dd idt

section .data align=8
gdt:    dq 0
        dq 0x00CF9B000000FFFF
        dq 0x00CF93000000FFFF

section .bss align=16
idt:            resb VECTORS * 8
timer_ticks:    resd 1
patience:       resd 1                  ; ticks until the run ends; 0: none is counted
                alignb 16
                resb 65536
stack_top:
