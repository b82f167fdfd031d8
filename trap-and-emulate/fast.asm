; The short ways (fast.h): trap stubs that finish their work without the slow way.
;
; A stub is entered with the guest's registers, DS, ES, FS and GS still in place; SS is the host's
; flat segment, so all of the VMM's and the guest's memory is reached through it. The stack is the
; end of struct sw_frame: [error] EIP CS EFLAGS ESP SS, and below it what the stub pushes. Until a
; short way is sure of itself it changes nothing, and then there is nothing left that can fail: the
; slow way (trap_common, which also knows traps of the VMM itself) can be taken at any point before,
; as if nothing had happened.
;
; Guest memory is touched between fast_guest and fast_guest_end only: a page fault there continues at
; fast_guest_fault, one between fast_deliver and its end at fast_deliver_fault.

bits 32
%include "stub.inc"
%include "resume.inc"

extern sw_fast, sw_return, trap_common, current_vcpu, current_frame, host_esp, fast_deliver
extern sw_lean_way, sw_lean_in, sw_lean_out
global fast_bp, fast_gp, fast_slow, fast_gp_slow
global fast_cli, fast_sti, fast_pushf, fast_popf, fast_iret, fast_ud, fast_from_cr
global fast_ports, fast_lean, fast_lean_bp
global fast_guest, fast_guest_end, fast_guest_fault

section .text

; --- instructions of the guest kernel that trap at an address we know ---

; After these pushes:
%define S_ECX 0
%define S_EAX 4
%define S_ERROR 8
%define S_EIP 12
%define S_EFLAGS 20
%define S_ESP 24

; %1: table, %2: where to go when the site is not in it
%macro FIND_SITE 2
        push eax
        push ecx
        mov eax, [esp + S_EIP]
        mov ecx, eax
        and ecx, FAST_SITES - 1
        shl ecx, 4
        cmp dword [FAST(LEVEL)], LEVEL_KERNEL
        jne %2
        cmp [ss:sw_fast + %1 + ecx + SITE_EIP], eax
        jne %2
%endmacro

align 16
fast_bp:
        push dword 3                    ; the vector, where others have an error code
        FIND_SITE FAST_BP_SITE, bp_slow
        add ecx, FAST_BP_SITE
        jmp dword [ss:sw_fast + ecx + SITE_HANDLER]

; On the stack: the vector, EAX, ECX.
fast_slow:
bp_slow:
        pop ecx
        pop eax
        push dword [esp]
        mov dword [esp + 4], 0
        jmp trap_common

align 16
fast_gp:
        FIND_SITE FAST_GP_SITE, gp_slow
        add ecx, FAST_GP_SITE
        cmp dword [esp + S_ERROR], 0
        jne gp_slow
        jmp dword [ss:sw_fast + ecx + SITE_HANDLER]

fast_gp_slow:
gp_slow:
        pop ecx
        pop eax
        push dword 13
        jmp trap_common

; The instruction is done: go on behind it. %1: which counter
%macro SITE_DONE 1
        inc dword [FAST(COUNT_ %+ %1)]
        RESUME_SITE %1
%endmacro

; From here to the events, ECX is the site's offset in sw_fast.
align 16
fast_cli:
        mov eax, [ss:sw_fast + ecx + SITE_NEXT]
        mov [esp + S_EIP], eax
        mov ecx, [FAST(FLAGS)]
        and dword [ss:ecx], ~(FL_IF | FL_RF)
        mov ecx, [ss:current_vcpu]
        mov byte [ss:ecx + V_INT_SHADOW], 0
        SITE_DONE FLAGS

; No interrupt is taken before the instruction after the next one: the vCPU remembers where.
align 16
fast_sti:
        cmp dword [FAST(IRQ_WAITS)], 0
        jne gp_slow
        mov eax, [ss:sw_fast + ecx + SITE_NEXT]
        mov ecx, [ss:current_vcpu]
        mov [esp + S_EIP], eax
        mov [ss:ecx + V_EIP], eax
        push edx
        mov edx, [FAST(FLAGS)]
        test dword [ss:edx], FL_IF
        setz al
        mov [ss:ecx + V_INT_SHADOW], al
        or dword [ss:edx], FL_IF
        and dword [ss:edx], ~FL_RF
        pop edx
        SITE_DONE FLAGS

align 16
fast_pushf:
        mov eax, [esp + S_ESP]
        sub eax, 4
        cmp eax, VMM_BASE - 4
        ja bp_slow
        push edx
        mov edx, [ss:current_vcpu]
        mov byte [ss:edx + V_INT_SHADOW], 0
        mov edx, [FAST(FLAGS)]
        mov edx, [ss:edx]
        and edx, FL_IF | FL_IOPL
        or edx, FL_R1
        push ecx
        mov ecx, [esp + S_EFLAGS + 8]
        and ecx, FL_NATIVE
        or edx, ecx
        pop ecx
fast_guest:
        mov [ss:eax], edx
        pop edx
        mov [esp + S_ESP], eax
        mov eax, [ss:sw_fast + ecx + SITE_NEXT]
        mov [esp + S_EIP], eax
        SITE_DONE FLAGS

align 16
fast_popf:
        push edx
        mov eax, [esp + S_ESP + 4]
        cmp eax, VMM_BASE - 4
        ja fast_abort
        mov edx, [ss:eax]
        test edx, FL_TF
        jnz fast_abort
        test edx, FL_IF
        jz .quiet
        cmp dword [FAST(IRQ_WAITS)], 0
        jne fast_abort
.quiet: add eax, 4
        mov [esp + S_ESP + 4], eax
        mov ecx, [ss:sw_fast + ecx + SITE_NEXT]
        mov [esp + S_EIP + 4], ecx
        mov ecx, [FAST(FLAGS)]
        mov eax, [ss:ecx]
        and eax, ~(FL_IF | FL_IOPL | FL_RF)
        mov [ss:ecx], eax
        mov eax, edx
        and eax, FL_IF | FL_IOPL
        or [ss:ecx], eax
        mov ecx, [ss:current_vcpu]
        mov byte [ss:ecx + V_INT_SHADOW], 0
        and edx, FL_NATIVE
        or edx, FL_IF | FL_R1
        mov [esp + S_EFLAGS + 4], edx
        pop edx
        SITE_DONE FLAGS

; IRET: to a program when CS is what programs have, or within the guest kernel.
align 16
fast_iret:
        push edx
        mov eax, [esp + S_ESP + 4]
        cmp eax, VMM_BASE - 20
        ja fast_abort
        mov edx, [ss:eax + 8]           ; EFLAGS
        test edx, FL_TF | FL_NT | FL_VM
        jnz fast_abort
        test edx, FL_IF
        jz .quiet
        cmp dword [FAST(IRQ_WAITS)], 0
        jne fast_abort
.quiet: test byte [esp + S_EFLAGS + 4 + 1], FL_NT >> 8
        jnz fast_abort
        movzx ecx, word [ss:eax + 4]
        cmp ecx, [FAST(USER_CS)]
        jne .kernel
        movzx ecx, word [ss:eax + 16]
        cmp ecx, [FAST(USER_SS)]
        jne fast_abort
        mov ecx, ds                     ; selectors that a program may keep
        cmp cx, [FAST(USER_DATA)]
        jne fast_abort
        mov ecx, es
        cmp cx, [FAST(USER_DATA) + 4]
        jne fast_abort
        mov ecx, fs
        cmp cx, [FAST(USER_DATA) + 8]
        jne fast_abort
        mov ecx, gs
        cmp cx, [FAST(USER_DATA) + 12]
        jne fast_abort
        mov ecx, [ss:eax]               ; nothing can fail from here on
        mov [esp + S_EIP + 4], ecx
        mov ecx, [ss:eax + 12]
        mov [esp + S_ESP + 4], ecx
        mov ecx, [FAST(USER_CS)]
        mov [esp + S_EIP + 8], ecx
        mov ecx, [FAST(USER_SS)]
        mov [esp + S_ESP + 8], ecx
        mov eax, [FAST(USER_CR3)]
        mov cr3, eax
        lgdt [FAST(USER_GDTR)]
        mov dword [FAST(LEVEL)], LEVEL_USER
        mov dword [FAST(CROSSED)], 1
        mov eax, edx
        and eax, FL_IF | FL_IOPL
        or eax, FL_R1
        mov [FAST(USER_FLAGS)], eax
        jmp .flags
.kernel:
        cmp ecx, [FAST(IRET_CS)]
        jne fast_abort
        mov ecx, [ss:eax]
        mov [esp + S_EIP + 4], ecx
        add eax, 12
        mov [esp + S_ESP + 4], eax
        mov eax, edx
        and eax, FL_IF | FL_IOPL
        or eax, FL_R1
.flags: mov ecx, [FAST(FLAGS)]
        mov [ss:ecx], eax               ; the native bits are collected at the next exit
        mov ecx, [ss:current_vcpu]
        mov byte [ss:ecx + V_INT_SHADOW], 0
        and edx, FL_NATIVE
        or edx, FL_IF | FL_R1
        mov [esp + S_EFLAGS + 4], edx
        inc dword [FAST(COUNT_IRET)]
        RESUME_POP IRET

fast_guest_end:

; A page fault in the guest's memory.
align 16
fast_guest_fault:
        mov eax, cr2
        or eax, 1
        mov [FAST(COLD)], eax

; A site's short way that ends after EDX was pushed.
fast_abort:
        pop edx
        jmp bp_slow

; An undefined instruction. The CPU saw a breakpoint: EIP is one byte behind its begin.
align 16
fast_ud:
        dec dword [esp + S_EIP]
        mov ecx, VEC_UD * 32
        push edx
        jmp fast_deliver

; MOV from CRn: one way for each register; the site knows where the vCPU has CRn.
%macro FROM_CR 2 ; register, how to set it to EAX
align 16
from_cr_%1:
        mov eax, [ss:sw_fast + ecx + SITE_ARG]
        mov eax, [ss:eax]
        %2
        mov eax, [ss:current_vcpu]
        mov ecx, [ss:sw_fast + ecx + SITE_NEXT]
        mov byte [ss:eax + V_INT_SHADOW], 0
        and dword [ss:eax + V_EFLAGS], ~FL_RF
        mov [esp + S_EIP], ecx
        SITE_DONE CR
%endmacro
        FROM_CR eax, {mov [esp + S_EAX], eax}
        FROM_CR ecx, {mov [esp + S_ECX], eax}
        FROM_CR edx, {mov edx, eax}
        FROM_CR ebx, {mov ebx, eax}
        FROM_CR esp, {mov [esp + S_ESP], eax}
        FROM_CR ebp, {mov ebp, eax}
        FROM_CR esi, {mov esi, eax}
        FROM_CR edi, {mov edi, eax}

; --- port I/O: C does it, and never sees the guest's registers ---

; After these pushes:
%define P_EAX 20
%define P_EIP 28

; %1: bytes, %2: the port into EAX, %3: how to call C, which knows nothing of the guest's registers
%macro PORT 3
        %2
        push edx
        push ds
        push es
        push ebx
        mov ebx, HOST_DS
        mov ds, ebx
        mov es, ebx
        mov ebx, esp
        mov esp, [host_esp]
        mov ecx, [sw_fast + ecx + SITE_NEXT]
        mov [ebx + P_EIP], ecx
        mov edx, %1
        cld
        %3
        mov esp, ebx
        cmp byte [FAST(HANDLED)], 0
        jne port_exit
        pop ebx
        pop es
        pop ds
        RESUME_POP IO
%endmacro
; %1: bytes, %2: the part of EAX, %3: immediate or dx, %4: the port into EAX
%macro PORTS 4+
align 16
in_%3_%1:
        PORT %1, {%4}, {IN_TO %2}
align 16
out_%3_%1:
        PORT %1, {%4}, {OUT_FROM %1}
%endmacro
%macro IN_TO 1
        call sw_lean_in
        mov [ebx + P_EAX], %1
%endmacro
%macro OUT_FROM 1
%if %1 == 1
        movzx ecx, byte [ebx + P_EAX]
%elif %1 == 2
        movzx ecx, word [ebx + P_EAX]
%else
        mov ecx, [ebx + P_EAX]
%endif
        call sw_lean_out
%endmacro
        PORTS 1, al, imm, movzx eax, byte [ss:sw_fast + ecx + SITE_ARG]
        PORTS 2, ax, imm, movzx eax, byte [ss:sw_fast + ecx + SITE_ARG]
        PORTS 4, eax, imm, movzx eax, byte [ss:sw_fast + ecx + SITE_ARG]
        PORTS 1, al, dx, movzx eax, dx
        PORTS 2, ax, dx, movzx eax, dx
        PORTS 4, eax, dx, movzx eax, dx

; The instruction is done; what comes next the loop decides. As sw_user_trap would have left it.
port_exit:
        mov eax, [current_vcpu]
        mov [eax + V_EBP], ebp
        mov [eax + V_ESI], esi
        mov [eax + V_EDI], edi
        pop dword [eax + V_EBX]
        pop ecx                         ; ES
        pop ebx                         ; DS
        pop dword [eax + V_EDX]
        pop dword [eax + V_ECX]
        pop dword [eax + V_EAX]
        mov eax, [current_frame]
        mov [eax + F_ES], ecx
        mov [eax + F_DS], ebx
        mov [eax + F_FS], fs
        mov [eax + F_GS], gs
        mov dword [eax + F_VECTOR], 13
        jmp sw_return

; --- CR, MSR and others: C does it, on all registers ---

; The site is one that the CPU took for a breakpoint.
align 16
fast_lean_bp:
        dec dword [esp + S_EIP]

align 16
fast_lean:
        mov eax, [ss:current_vcpu]
        mov [ss:eax + V_EDX], edx
        mov [ss:eax + V_EBX], ebx
        mov [ss:eax + V_EBP], ebp
        mov [ss:eax + V_ESI], esi
        mov [ss:eax + V_EDI], edi
        pop edx                         ; ECX
        mov [ss:eax + V_ECX], edx
        pop edx                         ; EAX
        mov [ss:eax + V_EAX], edx
        mov edx, [esp + 4]
        mov [ss:eax + V_EIP], edx
        mov edx, [esp + 16]
        mov [ss:eax + V_ESP], edx
        sub esp, F_EIP - 4 - F_DS       ; the frame's selectors
        mov [esp], ds
        mov [esp + F_ES - F_DS], es
        mov [esp + F_FS - F_DS], fs
        mov [esp + F_GS - F_DS], gs
        mov edx, HOST_DS
        mov ds, edx
        mov es, edx
        mov ebx, esp
        mov esp, [host_esp]
        cld
        mov edx, [sw_fast + ecx + SITE_ARG]
        call [sw_lean_way]
        mov esp, ebx
        cmp eax, 1
        jne .exit
        mov eax, [current_vcpu]
        mov es, [esp + F_ES - F_DS]
        mov ds, [esp]
        mov edx, [ss:eax + V_EIP]
        mov [esp + F_EIP - F_DS], edx
        mov edx, [ss:eax + V_ESP]
        mov [esp + F_ESP - F_DS], edx
        mov ecx, [ss:eax + V_ECX]
        mov edx, [ss:eax + V_EDX]
        mov ebx, [ss:eax + V_EBX]
        mov ebp, [ss:eax + V_EBP]
        mov esi, [ss:eax + V_ESI]
        mov edi, [ss:eax + V_EDI]
        mov eax, [ss:eax + V_EAX]
        add esp, F_EIP - F_DS
        RESUME KNOWN
.exit:  mov ecx, [current_frame]        ; as sw_user_trap would have left it
        mov dword [ecx + F_VECTOR], 13
        mov eax, [current_vcpu]         ; lean code may have moved it
        mov edx, [eax + V_EIP]
        mov [ecx + F_EIP], edx
        mov edx, [eax + V_ESP]
        mov [ecx + F_ESP], edx
        jmp sw_return

section .rodata
align 4
fast_ports:
        dd 0, in_imm_1, in_imm_2, 0, in_imm_4
        dd 0, in_dx_1, in_dx_2, 0, in_dx_4
        dd 0, out_imm_1, out_imm_2, 0, out_imm_4
        dd 0, out_dx_1, out_dx_2, 0, out_dx_4
fast_from_cr:
        dd from_cr_eax, from_cr_ecx, from_cr_edx, from_cr_ebx
        dd from_cr_esp, from_cr_ebp, from_cr_esi, from_cr_edi
