; The gates of the hypercall page. As the short ways (trap-and-emulate/fast.asm tells how a stub is
; entered), they change nothing before they are sure, and leave what is rare to the slow way.

bits 32
%include "pv_abi.inc"
%include "fast.inc"
%include "resume.inc"
%include "trace.inc"

HOST_DS equ 0xFFE8
EXIT_IO equ 1                   ; exit.h; pv_fast.c asserts it

extern sw_fast, fast_iret, fast_slow, trap_common, host_esp
extern pv_lean_way, pv_lean_drain, pv_queue_count, pv_queue_done, pv_null_calls, pv_iret_calls
extern pv_lean_call, trace_at
global pv_call_gate, pv_iret_gate, pv_lean_call_traced

%define FAST(member) ss:sw_fast + FAST_ %+ member

; On the host's stack and segments, for C; the guest's registers stay as they are but EBP and ESP.
; After it: EBP = the stack of the stub.
%macro ENTER_HOST 0
        push ds
        push es
        push ebp
        mov ebp, HOST_DS
        mov ds, ebp
        mov es, ebp
        mov ebp, esp
        mov esp, [host_esp]
        cld
%endmacro
%macro LEAVE_HOST 0
        mov esp, ebp
        pop ebp
        pop es
        pop ds
%endmacro

section .text

; ECX: number; EAX, EDX, EBX: arguments. EAX receives the result.
align 16
pv_call_gate:
        cmp dword [FAST(LEVEL)], LEVEL_KERNEL
        jne .slow
        cmp ecx, PV_CALL_NULL
        jne .service
        inc dword [ss:pv_null_calls]
        xor eax, eax                    ; PV_OK
        RESUME HYPERCALL
.slow:  push dword 0
        push dword PV_GATE_CALL
        jmp trap_common

.service:
        push edx
        push eax
        push ecx
        ENTER_HOST
        push ebx
        push edx
        push eax
        push ecx
        call [pv_lean_way]              ; EAX: result, EDX: enum pv_lean
        LEAVE_HOST
        cmp edx, 1
        je .undone
        pop ecx                         ; may change
        lea esp, [esp + 4]
        ja .look
        pop edx
        RESUME SERVICE
.look:  pop edx                         ; done, but there is more to do before the guest goes on
        jmp .slow
.undone:
        pop ecx
        pop eax
        pop edx
        jmp .slow

; The frame that IRET is to use is on top of the guest's stack.
align 16
pv_iret_gate:
        push dword PV_GATE_IRET
        push eax
        push ecx
        cmp dword [FAST(LEVEL)], LEVEL_KERNEL
        jne fast_slow
        inc dword [ss:pv_iret_calls]
        mov eax, [ss:pv_queue_count]
        mov eax, [ss:eax]
        mov ecx, [ss:pv_queue_done]
        cmp eax, [ss:ecx]
        je fast_iret
        push edx
        ENTER_HOST
        call pv_lean_drain
        LEAVE_HOST
        pop edx
        test eax, eax
        jnz fast_slow
        jmp fast_iret

; In place of pv_lean_call() while a trace is made: ports are counted in their own way.
align 16
pv_lean_call_traced:
        mov eax, [esp + 4]              ; number
        sub eax, PV_OP_IN8
        cmp eax, PV_OP_OUT32 - PV_OP_IN8
        ja pv_lean_call
        mov eax, [trace_at]
        or dword [eax + T_WORD], EXIT_IO << TRACE_REASON_SHIFT
        jmp pv_lean_call
