; One stub per vector in use, and the way back to what was interrupted. Builds struct trap_frame.

bits 32
%include "pv_abi.inc"

extern trap
global trap_stubs, trap_return, context_switch

KERNEL_DS equ 0x10

; IRET as a site: the plain instruction, one NOP of seven bytes, and the record (see
; guestos/include/sensitive.h).
%macro PV_IRET_SITE 0
%%site: iretd
        db 0x0F, 0x1F, 0x80, 0, 0, 0, 0
        [section .pv_sites]
        dd %%site
        db PV_SITE_LEN, PV_OP_IRET
        dw 0
        __?SECT?__
%endmacro

section .pv_sites progbits alloc noexec nowrite align=4
section .text

%define HAS_ERROR(v) ((v) == 8 || ((v) >= 10 && (v) <= 14) || (v) == 17)

%macro STUB 1
align 8
stub_%1:
%if !HAS_ERROR(%1)
        push dword 0
%endif
        push dword %1
        jmp near trap_entry
%endmacro

%assign v 0
%rep 49
        STUB v
%assign v v + 1
%endrep
        STUB 128

align 16
trap_entry:
        push ds
        push es
        push fs
        push gs
        pushad
        mov eax, KERNEL_DS
        mov ds, eax
        mov es, eax
        cld
        push esp
        call trap
        add esp, 4
trap_return:
        popad
        pop gs
        pop fs
        pop es
        pop ds
        add esp, 8                      ; vector, error code
        PV_IRET_SITE

; void context_switch(uint32_t *save_esp, uint32_t load_esp): called like a C function; returns on
; the other stack.
align 16
context_switch:
        mov eax, [esp + 4]
        mov edx, [esp + 8]
        push ebp
        push ebx
        push esi
        push edi
        mov [eax], esp
        mov esp, edx
        pop edi
        pop esi
        pop ebx
        pop ebp
        ret

section .rodata
align 4
trap_stubs:
%assign v 0
%rep 49
        dd stub_ %+ v
%assign v v + 1
%endrep
        dd stub_128
