; The short ways of events: what the guest's programs and its kernel raise goes to the guest kernel's
; handlers. How a stub is entered: fast.asm.

bits 32
%include "stub.inc"
%include "resume.inc"

extern sw_fast, trap_common, current_vcpu, host_esp, sw_lean_page_fault
global fast_pf, fast_int_stubs, fast_deliver, fast_deliver_end, fast_deliver_fault

section .text

; --- events that go to the guest kernel ---

; After these pushes; ECX holds the vector times 32.
%define D_ECX 4
%define D_EAX 8
%define D_ERROR 12
%define D_EIP 16
%define D_CS 20
%define D_EFLAGS 24
%define D_ESP 28
%define D_SS 32

; %1: 1 when there is an error code to push
%macro DELIVER 1
        mov eax, [ss:sw_fast + ecx + FAST_GATE + GATE_ENTRY]
        mov edx, [ss:eax]
        cmp edx, [ss:sw_fast + ecx + FAST_GATE + GATE_LOW]
        jne fast_deliver_abort
        mov edx, [ss:eax + 4]
        cmp edx, [ss:sw_fast + ecx + FAST_GATE + GATE_HIGH]
        jne fast_deliver_abort
        test byte [esp + D_EFLAGS + 2], FL_VM >> 16
        jnz fast_deliver_abort          ; QEMU lets programs IRET to virtual-8086 mode
        cmp dword [FAST(LEVEL)], LEVEL_USER
        jne %%kernel
        mov edx, [esp + D_CS]
        cmp dx, [FAST(USER_CS)]
        jne fast_deliver_abort
        mov edx, [esp + D_SS]
        cmp dx, [FAST(USER_SS)]
        jne fast_deliver_abort
        mov eax, [FAST(TSS)]
        mov edx, [ss:eax + 4]
        cmp dx, [FAST(SS0)]
        jne fast_deliver_abort
        mov eax, [ss:eax]               ; ESP0
        sub eax, 20 + 4 * %1
        cmp eax, VMM_BASE - 24
        ja fast_deliver_abort
        mov edx, [FAST(KERNEL_CR3)]
        mov cr3, edx
        mov edx, [FAST(USER_SS)]
        mov [ss:eax + 16 + 4 * %1], edx
        mov edx, [esp + D_ESP]
        mov [ss:eax + 12 + 4 * %1], edx
        mov edx, [esp + D_EFLAGS]
        and edx, FL_NATIVE | FL_TF
        or edx, [FAST(USER_FLAGS)]
        or edx, [ss:sw_fast + ecx + FAST_GATE + GATE_SET]
        mov [ss:eax + 8 + 4 * %1], edx
        mov edx, [FAST(USER_CS)]
        mov [ss:eax + 4 + 4 * %1], edx
        mov edx, [esp + D_EIP]
        mov [ss:eax + 4 * %1], edx
%if %1
        mov edx, [esp + D_ERROR]
        mov [ss:eax], edx
%endif
        mov edx, [FAST(KERNEL_CS_REAL)] ; nothing can fail from here on
        mov [esp + D_CS], edx
        mov edx, [FAST(KERNEL_SS_REAL)]
        mov [esp + D_SS], edx
        lgdt [FAST(KERNEL_GDTR)]
        mov dword [FAST(LEVEL)], LEVEL_KERNEL
        mov dword [FAST(CROSSED)], 1
%%done: mov [esp + D_ESP], eax
        mov eax, [ss:sw_fast + ecx + FAST_GATE + GATE_EIP]
        mov [esp + D_EIP], eax
        mov eax, [ss:sw_fast + ecx + FAST_GATE + GATE_COUNTER]
        inc dword [ss:eax]
        and dword [esp + D_EFLAGS], ~(FL_TF | FL_NT | FL_RF)
        mov edx, [ss:sw_fast + ecx + FAST_GATE + GATE_KEEP]
        mov eax, [FAST(FLAGS)]
        and [ss:eax], edx
        mov eax, [ss:current_vcpu]
        mov byte [ss:eax + V_INT_SHADOW], 0
        RESUME_POP EVENT
%%kernel:
        cmp dword [FAST(LEVEL)], LEVEL_KERNEL
        jne fast_deliver_abort
        mov edx, [esp + D_CS]
        cmp dx, [FAST(KERNEL_CS_REAL)]
        jne fast_deliver_abort
        mov edx, [esp + D_SS]
        cmp dx, [FAST(KERNEL_SS_REAL)]
        jne fast_deliver_abort
        mov eax, [esp + D_ESP]
        sub eax, 12 + 4 * %1
        cmp eax, VMM_BASE - 16
        ja fast_deliver_abort
        mov edx, [FAST(FLAGS)]
        mov edx, [ss:edx]
        and edx, FL_IF | FL_IOPL
        or edx, FL_R1
        or edx, [ss:sw_fast + ecx + FAST_GATE + GATE_SET]
        push eax
        mov eax, [esp + D_EFLAGS + 4]
        and eax, FL_NATIVE | FL_TF
        or edx, eax
        pop eax
        mov [ss:eax + 8 + 4 * %1], edx
        mov edx, [FAST(KERNEL_CS)]
        mov [ss:eax + 4 + 4 * %1], edx
        mov edx, [esp + D_EIP]
        mov [ss:eax + 4 * %1], edx
%if %1
        mov edx, [esp + D_ERROR]
        mov [ss:eax], edx
%endif
        jmp %%done
%endmacro

align 16
fast_deliver:
        DELIVER 0

align 16
deliver_error:
        DELIVER 1
fast_deliver_end:

; The guest kernel's stack is not there; perhaps only its shadow is not.
fast_deliver_fault:
        mov eax, cr2
        or eax, 1
        mov [FAST(COLD)], eax

; Nothing has been changed but the root, perhaps. ECX: vector times 32.
fast_deliver_abort:
        mov eax, [FAST(USER_CR3)]
        cmp dword [FAST(LEVEL)], LEVEL_USER
        je .root
        mov eax, [FAST(KERNEL_CR3)]
.root:  cmp dword [FAST(LEVEL)], LEVEL_OFF
        je .same
        mov cr3, eax
.same:  shr ecx, 5
        mov [ss:slow_vector], ecx
        cmp ecx, 14
        jne .slow
        mov eax, [ss:current_vcpu]      ; a fault on the guest's stack has changed CR2
        mov eax, [ss:eax + V_CR2]
        mov cr2, eax
.slow:  pop edx
        pop ecx
        pop eax
        push dword [ss:slow_vector]
        jmp trap_common

; Entries of the IDT for exceptions without an error code and for INT n.
%macro INT_STUB 1
align 16
fast_int_%1:
        push eax                        ; where others have an error code
        push eax
        push ecx
        push edx
        mov ecx, %1 * 32
        jmp fast_deliver
%endmacro
%assign v 0
%rep 256
        INT_STUB v
%assign v v + 1
%endrep

section .rodata
align 4
fast_int_stubs:
%assign v 0
%rep 256
        dd fast_int_ %+ v
%assign v v + 1
%endrep
section .text

; --- page faults: C decides ---

align 16
fast_pf:
        push eax
        push ecx
        push edx
        cmp dword [FAST(LEVEL)], LEVEL_OFF
        je pf_slow
        test byte [esp + D_CS], 3
        jz pf_slow
        push ds
        push es
        mov ecx, HOST_DS
        mov ds, ecx
        mov es, ecx
        mov ecx, [esp + D_ERROR + 8]
        push ebx
        mov ebx, esp
        mov esp, [host_esp]
        cld
        push ecx
        call sw_lean_page_fault
        mov esp, ebx
        pop ebx
        pop es
        pop ds
        cmp eax, 1
        jb pf_slow
        ja .guest
        RESUME_POP SHADOW_FILL
.guest: mov eax, [FAST(PF_ERROR)]
        mov [esp + D_ERROR], eax
        mov ecx, 14 * 32
        jmp deliver_error

pf_slow:
        pop edx
        pop ecx
        pop eax
        push dword 14
        jmp trap_common

section .bss
alignb 4
slow_vector: resd 1
