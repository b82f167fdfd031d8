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
; fast_abort, one behind fast_deliver at fast_deliver_abort.

bits 32
%include "vcpu.inc"
%include "fast.inc"

HOST_DS equ 0xFFE8
VMM_BASE equ 0xF0000000

FL_R1 equ 0x2
FL_TF equ 0x100
FL_IF equ 0x200
FL_IOPL equ 0x3000
FL_NT equ 0x4000
FL_RF equ 0x10000
FL_VM equ 0x20000
FL_NATIVE equ 0x244CD5          ; CF PF AF ZF SF DF OF NT AC ID, as in engine.h

F_DS equ 512
F_ES equ 516
F_FS equ 520
F_GS equ 524
F_VECTOR equ 528
F_EIP equ 536
F_ESP equ 548

extern sw_fast, sw_return, trap_common, current_vcpu, current_frame, host_esp, host_stubs
extern sw_lean_gp, sw_lean_page_fault
global fast_bp, fast_gp, fast_pf, fast_int_stubs
global fast_cli, fast_sti, fast_pushf, fast_popf, fast_iret, fast_lean
global fast_guest, fast_abort, fast_deliver, fast_guest_end, fast_deliver_abort

; A member of the state: no register is needed for its address.
%define FAST(member) ss:sw_fast + FAST_ %+ member

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
        push eax                        ; where others have an error code
        FIND_SITE FAST_BP_SITE, bp_slow
        add ecx, FAST_BP_SITE
        jmp dword [ss:sw_fast + ecx + SITE_HANDLER]

bp_slow:
        pop ecx
        pop eax
        mov dword [esp], 0
        push dword 3
        jmp trap_common

align 16
fast_gp:
        FIND_SITE FAST_GP_SITE, gp_slow
        add ecx, FAST_GP_SITE
        cmp dword [esp + S_ERROR], 0
        jne gp_slow
        jmp dword [ss:sw_fast + ecx + SITE_HANDLER]

gp_slow:
        pop ecx
        pop eax
        push dword 13
        jmp trap_common

; ECX: the site's offset in sw_fast. The instruction is done: go on behind it.
%macro SITE_DONE 0
        inc dword [FAST(COUNT_FLAGS)]
        pop ecx
        pop eax
        add esp, 4
        iretd
%endmacro

align 16
fast_cli:
        mov eax, [ss:sw_fast + ecx + SITE_NEXT]
        mov ecx, [ss:current_vcpu]
        mov [esp + S_EIP], eax
        and dword [ss:ecx + V_EFLAGS], ~(FL_IF | FL_RF)
        mov byte [ss:ecx + V_INT_SHADOW], 0
        SITE_DONE

; No interrupt is taken before the instruction after the next one: the vCPU remembers where.
align 16
fast_sti:
        cmp dword [FAST(IRQ_WAITS)], 0
        jne gp_slow
        mov eax, [ss:sw_fast + ecx + SITE_NEXT]
        mov ecx, [ss:current_vcpu]
        mov [esp + S_EIP], eax
        mov [ss:ecx + V_EIP], eax
        test dword [ss:ecx + V_EFLAGS], FL_IF
        setz al
        mov [ss:ecx + V_INT_SHADOW], al
        or dword [ss:ecx + V_EFLAGS], FL_IF
        and dword [ss:ecx + V_EFLAGS], ~FL_RF
        SITE_DONE

align 16
fast_pushf:
        mov eax, [esp + S_ESP]
        sub eax, 4
        cmp eax, VMM_BASE - 4
        ja bp_slow
        push edx
        mov edx, [ss:current_vcpu]
        mov byte [ss:edx + V_INT_SHADOW], 0
        mov edx, [ss:edx + V_EFLAGS]
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
        SITE_DONE

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
        mov ecx, [ss:current_vcpu]
        mov eax, [ss:ecx + V_EFLAGS]
        and eax, ~(FL_IF | FL_IOPL | FL_RF)
        mov [ss:ecx + V_EFLAGS], eax
        mov eax, edx
        and eax, FL_IF | FL_IOPL
        or [ss:ecx + V_EFLAGS], eax
        mov byte [ss:ecx + V_INT_SHADOW], 0
        and edx, FL_NATIVE
        or edx, FL_IF | FL_R1
        mov [esp + S_EFLAGS + 4], edx
        pop edx
        SITE_DONE

; IRET: to a program when CS is what programs have, or within the guest kernel.
align 16
fast_iret:
        push edx
        mov eax, [esp + S_ESP + 4]
        cmp eax, VMM_BASE - 20
        ja fast_abort
        mov edx, [ss:eax + 8]           ; EFLAGS: IF set, neither TF, NT nor VM
        mov ecx, edx
        and ecx, FL_TF | FL_IF | FL_NT | FL_VM
        cmp ecx, FL_IF
        jne fast_abort
        cmp dword [FAST(IRQ_WAITS)], 0
        jne fast_abort
        test byte [esp + S_EFLAGS + 4 + 1], FL_NT >> 8
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
        cmp ecx, [FAST(KERNEL_CS)]
        jne fast_abort
        mov ecx, [ss:eax]
        mov [esp + S_EIP + 4], ecx
        add eax, 12
        mov [esp + S_ESP + 4], eax
        mov eax, edx
        and eax, FL_IF | FL_IOPL
        or eax, FL_R1
.flags: mov ecx, [ss:current_vcpu]
        mov [ss:ecx + V_EFLAGS], eax    ; the native bits are collected at the next exit
        mov byte [ss:ecx + V_INT_SHADOW], 0
        and edx, FL_NATIVE
        or edx, FL_IF | FL_R1
        mov [esp + S_EFLAGS + 4], edx
        inc dword [FAST(COUNT_IRET)]
        pop edx
        pop ecx
        pop eax
        add esp, 4
        iretd

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
        mov eax, [ss:current_vcpu]
        and [ss:eax + V_EFLAGS], edx
        mov byte [ss:eax + V_INT_SHADOW], 0
        pop edx
        pop ecx
        pop eax
        add esp, 4
        iretd
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
        mov edx, [ss:current_vcpu]
        mov edx, [ss:edx + V_EFLAGS]
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
fast_guest_end:

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
        pop edx
        pop ecx
        pop eax
        push dword [ss:slow_vector]
        jmp trap_common

; A page fault in the guest's memory, or a site's short way that ends after EDX was pushed.
align 16
fast_abort:
        pop edx
        jmp bp_slow

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
        pop edx
        pop ecx
        pop eax
        add esp, 4
        iretd
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

; --- port I/O, CR, MSR: C does it, on all registers ---

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
        push ds
        push es
        mov edx, HOST_DS
        mov ds, edx
        mov es, edx
        mov ebx, esp
        mov esp, [host_esp]
        cld
        push dword [sw_fast + ecx + SITE_NEXT + 4]
        call sw_lean_gp
        mov esp, ebx
        cmp eax, 1
        jne .exit
        mov eax, [current_vcpu]
        pop es
        pop ds
        mov edx, [ss:eax + V_EIP]
        mov [esp + 4], edx
        mov edx, [ss:eax + V_ESP]
        mov [esp + 16], edx
        mov ecx, [ss:eax + V_ECX]
        mov edx, [ss:eax + V_EDX]
        mov ebx, [ss:eax + V_EBX]
        mov ebp, [ss:eax + V_EBP]
        mov esi, [ss:eax + V_ESI]
        mov edi, [ss:eax + V_EDI]
        mov eax, [ss:eax + V_EAX]
        add esp, 4
        iretd
.exit:  mov ecx, [current_frame]        ; as sw_user_trap would have left it
        pop edx
        pop eax
        mov [ecx + F_ES], edx
        mov [ecx + F_DS], eax
        mov [ecx + F_FS], fs
        mov [ecx + F_GS], gs
        mov dword [ecx + F_VECTOR], 13
        mov eax, [current_vcpu]         ; lean code may have moved it
        mov edx, [eax + V_EIP]
        mov [ecx + F_EIP], edx
        mov edx, [eax + V_ESP]
        mov [ecx + F_ESP], edx
        jmp sw_return

section .bss
alignb 4
slow_vector: resd 1
