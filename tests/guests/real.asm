; Real mode: a guest that leaves protected mode, works with segments, vectors, flags, ports and
; interrupts of its own, without a BIOS, and comes back.
;
; The real-mode code (real_code.inc) is assembled in one piece and copied below 1 MB. What its functions
; return is checked in protected mode.
%define PASSES 3
%include "common.inc"
%include "paging.inc"

REAL_SEG   equ 0x0800           ; where the code goes, and its data
REAL_BASE  equ REAL_SEG << 4
STACK_SEG  equ 0x0700
OTHER_SEG  equ 0x0900           ; overlaps the code's
IVT_BASE   equ 0x6000           ; a vector table that is not at 0
IVT2_BASE  equ 0x6400
SEL_CODE16 equ SEL_TEST
SEL_DATA16 equ SEL_TEST + 8
TIMER_VECTOR equ 0x50
TIMER_TICKS equ 5

%define real(label) (label - real_begin)

section .bss
real_esp:  resd 1
cpuid_ebx: resd 1

section .text
guest_main:
        call place
        set_flags 2             ; a vector table of protected mode would be read as one of real mode
        call tests
        call with_paging
        ret

; The code to its place, the descriptors for the way there, and two vector tables.
place:  mov esi, real_begin
        mov edi, REAL_BASE
        mov ecx, REAL_SIZE
        rep movsb
        mov edi, gdt + SEL_CODE16
        mov eax, REAL_BASE
        mov ecx, 0xFFFF
        mov edx, 0x9B
        call put_descriptor
        mov edi, gdt + SEL_DATA16
        xor eax, eax
        mov ecx, 0xFFFF
        mov edx, 0x93
        call put_descriptor
        mov edi, IVT_BASE
        mov ecx, 512
        mov eax, REAL_SEG << 16 | real(r_unexpected)
        rep stosd
        xor eax, eax
        cpuid
        mov [cpuid_ebx], ebx
        ret

; Run a function in real mode; EAX = what it returns.
%macro in_real 1
        mov word [REAL_BASE + real(r_entry)], real(%1)
        call enter_real
%endmacro

enter_real:
        push ebx
        push esi
        push edi
        push ebp
        mov [real_esp], esp
        jmp SEL_CODE16:real(r_leave_protected)
back_in_protected:
        mov eax, SEL_DATA
        mov ds, eax
        mov es, eax
        mov fs, eax
        mov gs, eax
        mov ss, eax
        mov esp, [real_esp]
        lidt [idtr]
        mov eax, [REAL_BASE + real(r_value)]
        pop ebp
        pop edi
        pop esi
        pop ebx
        ret

tests:  in_real r_segments
        check "segments", 0xBEEFCAFE
        in_real r_stack
        check "stack.wrap", 0xFFFE1234
        in_real r_selectors
        check "selectors", RIGHT
        in_real r_int
        check "int", 0x03020002
        in_real r_int_flags
        check "int.flags", 1
        in_real r_divide
        check "fault.divide", RIGHT
        in_real r_undefined
        check "fault.undefined", RIGHT
        in_real r_bound
        check "fault.bound", RIGHT
        in_real r_int3
        check "trap.int3", RIGHT
        in_real r_into
        check "trap.into", RIGHT
        mov esi, limits
        call has_word
        jnc .no_limits          ; QEMU checks none
        in_real r_limit
        check "fault.limit", RIGHT
        in_real r_limit_stack
        check "fault.limit-stack", RIGHT
        in_real r_gd                    ; QEMU knows no GD
        check "debug.guard", RIGHT
        in_real r_gd_step
        check "debug.guard-step", RIGHT
        in_real r_int1                  ; QEMU has it undefined
        check "trap.int1", RIGHT
.no_limits:
        in_real r_flags
        check "flags", RIGHT
        in_real r_flags32
        check "flags.32", RIGHT
        in_real r_steps
        check "steps", RIGHT
        in_real r_step_hlt
        check "steps.hlt", RIGHT
        in_real r_step_ss
        check "steps.ss", RIGHT
        in_real r_timer
        check "interrupts", TIMER_TICKS
        in_real r_shadow
        check "interrupts.sti", RIGHT
        in_real r_ports
        check "ports", RIGHT
        in_real r_port_strings
        check "ports.strings", RIGHT
        in_real r_machine_status
        check "cr0", 0
        in_real r_tables
        check "tables", RIGHT
        in_real r_second_table
        check "tables.second", RIGHT
        in_real r_cpuid
        cmp eax, [cpuid_ebx]
        jne .cpuid
        mov eax, RIGHT
.cpuid: check "cpuid", RIGHT
        in_real r_strings
        check "strings", RIGHT
        in_real r_far
        check "far", RIGHT
        in_real r_addresses
        check "addresses.32", RIGHT
        in_real r_switches
        check "switches", RIGHT
        in_real r_lmsw
        check "switches.lmsw", RIGHT
        mov esi, unreal
        call has_word
        jnc .end
        in_real r_unreal
        check "unreal", MB_MAGIC
.end:   ret

; Paging goes off for the way to real mode, and on again.
with_paging:
        call paging_on
        mov ebx, 3
.next:  mov eax, cr0
        and eax, 0x7FFFFFFF
        mov cr0, eax
        in_real r_segments
        mov edx, cr0
        or edx, 0x80000000
        mov cr0, edx
        cmp eax, 0xBEEFCAFE
        jne .end
        dec ebx
        jnz .next
        mov eax, RIGHT
.end:   check "paging", RIGHT
        mov eax, cr0            ; off for the next pass, as at the start
        and eax, 0x7FFFFFFF
        mov cr0, eax
        ret

section .rodata
limits: db "limits", 0
unreal: db "unreal", 0

%include "real_code.inc"
