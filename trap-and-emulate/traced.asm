; Traces of software modes (traced.h): stubs in front of the gates, and behind the short ways. How a
; stub is entered: fast.asm. None of them changes what it finds, but for the record.

bits 32
%include "stub.inc"
%include "trace.inc"

extern sw_fast, current_vcpu, host_esp, host_gate_next
extern trace_at, trace_limit, trace_dropping, trace_dropped, trace_full
extern sw_enter
global traced_gates, sw_enter_traced

; traced.c asserts these
V_CR3 equ 192                   ; vcpu.h
F_USER equ 556                  ; behind struct sw_frame

; exit.h
EXIT_IO equ 1
EXIT_CR equ 4
EXIT_HYPERCALL equ 10
EXIT_FLAGS equ 12
EXIT_IRET equ 15
EXIT_SOFT_INT equ 16
EXIT_EXCEPTION equ 17
EXIT_SHADOW_FILL equ 18

%define BITS(reason) (TRACE_KNOWN | TRACE_SHORT | EXIT_ %+ reason << TRACE_REASON_SHIFT)

; Vectors where the CPU pushes an error code (SDM vol. 3A table 6-1).
%define HAS_ERROR(v) ((v) == 8 || ((v) >= 10 && (v) <= 14) || (v) == 17 || (v) == 21)

; What the CPU's EIP is behind the instruction: one byte for INT3 and INTO (and what the scanner puts
; in place of others), two for INT n, which alone leads to the vectors behind the interrupts.
%define BEHIND(v) (((v) == 3 || (v) == 4) * 1 + ((v) >= 48) * 2)

section .text

; --- in front of the gates ---

; A trap of the VMM itself is no exit. It has none of those that are behind their instruction.
%macro GATE 1
%assign error 4 * HAS_ERROR(%1)
align 16
traced_gate_%1:
%if !BEHIND(%1)
        test byte [esp + error + 4], 3
        jz .next
%endif
        push eax
        push ecx
        push edx
        rdtsc
        mov ecx, [ss:trace_at]
        mov [ss:ecx + T_START], eax
        mov [ss:ecx + T_START + 4], edx
        mov eax, [esp + error + 12]
%if BEHIND(%1)
        sub eax, BEHIND(%1)
%endif
        mov [ss:ecx + T_EIP], eax
        mov eax, [ss:current_vcpu]
        mov eax, [ss:eax + V_CR3]
        and eax, TRACE_SPACE
        or eax, TRACE_STAMPED
        or eax, [FAST(LEVEL)]           ; enum trace_level has the same numbers; 0 where no short
                                        ; way is open
        or [ss:ecx + T_WORD], eax
        pop edx
        pop ecx
        pop eax
.next:  jmp dword [ss:host_gate_next + 4 * %1]
%endmacro
%assign v 0
%rep 256
        GATE v
%assign v v + 1
%endrep

section .rodata
align 4
traced_gates:
%assign v 0
%rep 256
        dd traced_gate_ %+ v
%assign v v + 1
%endrep
section .text

; --- behind the short ways ---

%macro RESUMED_SITE 1
global traced_site_%1
traced_site_%1:
        mov ecx, BITS(%1)
        push edx
        jmp resumed
%endmacro
        RESUMED_SITE FLAGS
        RESUMED_SITE CR

%macro RESUMED_POP 1
global traced_pop_%1
traced_pop_%1:
        mov ecx, BITS(%1)
        jmp resumed
%endmacro
        RESUMED_POP IRET
        RESUMED_POP IO
        RESUMED_POP SHADOW_FILL

global traced_pop_EVENT
traced_pop_EVENT:
        cmp ecx, 32 * 32                ; the vector times 32
        mov ecx, BITS(EXCEPTION)
        jb resumed
        mov ecx, BITS(SOFT_INT)
        jmp resumed

%macro RESUMED_IRET 2 ; name, bits
global traced_iret_%1
traced_iret_%1:
        push eax                        ; a word, where others have an error code
        push eax
        push ecx
        push edx
        mov ecx, %2
        jmp resumed
%endmacro
        RESUMED_IRET HYPERCALL, BITS(HYPERCALL)
        RESUMED_IRET KNOWN, TRACE_KNOWN | TRACE_SHORT

; What has no reason yet is a hypercall like most.
global traced_iret_SERVICE
traced_iret_SERVICE:
        push eax
        push eax
        push ecx
        push edx
        mov ecx, [ss:trace_at]
        test dword [ss:ecx + T_WORD], TRACE_REASON
        mov ecx, TRACE_KNOWN | TRACE_SHORT
        jnz resumed
        mov ecx, BITS(HYPERCALL)
        jmp resumed

; ECX: bits; on the stack: EDX, ECX, EAX, and a word.
align 16
resumed:
        TRACE_END .full
.back:  pop edx
        pop ecx
        pop eax
        add esp, 4
        iretd
.full:
        cmp byte [ss:trace_dropping], 0
        je .send
        mov dword [ss:ecx - T_SIZE + T_WORD], 0
        add dword [ss:trace_dropped], 1
        adc dword [ss:trace_dropped + 4], 0
        jmp .back
.send:
        push ds
        push es
        push ebx
        mov ebx, HOST_DS
        mov ds, ebx
        mov es, ebx
        mov ebx, esp
        mov esp, [host_esp]
        cld
        call trace_full
        mov esp, ebx
        pop ebx
        pop es
        pop ds
        jmp .back

; --- the long way ---

; In place of sw_enter(vcpu, frame). The record's end is some 20 instructions before the guest's first
; one: its registers are loaded in between. The next record has the level already: until its exit
; nobody changes it, and where no short way is open nobody else knows it.
align 16
sw_enter_traced:
        mov ecx, [trace_at]
        test byte [ecx + T_WORD], TRACE_KNOWN
        jz .level
        TRACE_STAMP_END .full
.level: mov edx, [esp + 8]
        movzx edx, byte [edx + F_USER]
        inc edx
        mov [ecx + T_WORD], edx
        jmp sw_enter
.full:
        call trace_full
        mov ecx, [trace_at]
        jmp .level
