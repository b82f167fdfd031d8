; The bare machine under the prober: Multiboot entry, the way into one instruction at any privilege
; level, and the way back through whatever vector, call gate or SYSENTER it left by.

bits 32
default abs

global start, launch, stub_table, sysenter_landing, timer_landing, trap_stack_top, timer_ticks
global launched, arrived
extern probe_main

MB_FLAGS equ 3
MB_MAGIC equ 0x1BADB002
SEL_CODE equ 0x08
SEL_DATA equ 0x10
VECTORS  equ 0x48
VEC_SYSENTER equ 0x100                  ; no vector: only its name in struct arrival

section .multiboot align=4
        dd MB_MAGIC, MB_FLAGS, -(MB_MAGIC + MB_FLAGS)

section .text
; Multiboot 1 section 3.2. Interrupts stay off until an experiment wants them.
start:
        cli
        cld
        mov esp, stack_top
        lgdt [first_gdtr]
        jmp SEL_CODE:.flat
.flat:  mov ax, SEL_DATA
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ss, ax
        call probe_main
.stop:  cli
        hlt
        jmp .stop

; void launch(void): run what `launched` (struct launch) says; returns when it has arrived at some
; vector, with `arrived` (struct arrival) filled. At level 0 the program's own stack is in use, also
; for the frame of the IRET that starts it, which lies below its ESP.
launch:
        pushfd
        pushad
        mov [kernel_esp], esp
        mov ax, [launched + 44]
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov eax, [ss:launched + 36]     ; CS; its RPL is the level
        mov edx, [ss:launched + 28]     ; ESP
        test al, 3
        jz .own
        push dword [ss:launched + 40]
        push edx
        jmp .rest
.own:   mov esp, edx
.rest:  push dword [ss:launched + 32]
        push eax
        push dword [ss:launched + 48]
        mov eax, [ss:launched + 0]
        mov ecx, [ss:launched + 4]
        mov edx, [ss:launched + 8]
        mov ebx, [ss:launched + 12]
        mov esi, [ss:launched + 16]
        mov edi, [ss:launched + 20]
        mov ebp, [ss:launched + 24]
        iretd

%assign v 0
%rep VECTORS
stub_ %+ v:
%if !(v == 8 || (v >= 10 && v <= 14) || v == 17)
        push dword 0
%endif
        push dword v
        jmp near arrival
%assign v v + 1
%endrep

; SYSENTER saves nothing (SDM vol. 2B): a frame of its own, as if it had come from itself.
sysenter_landing:
        push dword 0
        push dword 0
        pushfd
        push cs
        push dword sysenter_landing
        push dword 0
        push dword VEC_SYSENTER
        jmp arrival

; One word through a data segment: what its hidden base makes of a flat address. A null selector
; has no segment.
%macro look_through 1
        mov eax, %1
        push eax
        or ecx, -1
        test eax, 0xFFFC
        jz %%null
        mov ecx, [%1:PROBE_ADDRESS]
%%null: push ecx
%endmacro
PROBE_ADDRESS equ 0x40001800

; On the stack: vector, error, EIP, CS, EFLAGS, and from an outer level ESP, SS.
arrival:
        pushad
        look_through ds
        look_through es
        look_through fs
        look_through gs
        cld
        mov eax, ss
        push eax
        mov eax, SEL_DATA
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov esi, esp
        mov edi, arrived
        mov [edi], esi
        add edi, 4
        mov ecx, 24                     ; SS, four pairs, eight registers, seven words
        rep movsd
        mov ss, ax
        mov esp, [kernel_esp]
        popad
        popfd
        ret

; The timer wakes a halted processor, and goes back to the experiment.
timer_landing:
        push eax
        inc dword [ss:timer_ticks]
        mov al, 0x20
        out 0x20, al
        pop eax
        iretd

section .rodata align=8
stub_table:
%assign v 0
%rep VECTORS
        dd stub_ %+ v
%assign v v + 1
%endrep

section .data align=8
first_gdt: dq 0
        dq 0x00CF9B000000FFFF
        dq 0x00CF93000000FFFF
first_gdtr: dw 23
        dd first_gdt

section .bss align=16
launched:       resd 13
arrived:        resd 25
kernel_esp:     resd 1
timer_ticks:    resd 1
                alignb 16
                resb 4096
trap_stack_top: resb 16
                alignb 16
                resb 32768
stack_top:
