; One stub per vector. A trap in the VMM itself becomes a struct host_frame for host_trap(); a trap
; at CPL 3 belongs to the software mode that runs a guest there: jump to its handler with the stack
; holding vector, error, EIP, CS, EFLAGS, ESP, SS.

bits 32
HOST_DS equ 0xFFE8
HOST_TRAP_V86 equ 15            ; vmm.h says the same
extern host_trap, host_user_trap
global host_stubs, trap_common

; Vectors where the CPU pushes an error code (SDM vol. 3A table 6-1).
%define HAS_ERROR(v) ((v) == 8 || ((v) >= 10 && (v) <= 14) || (v) == 17 || (v) == 21)

section .text
%assign v 0
%rep 256
align 16
stub_ %+ v:
%if !HAS_ERROR(v)
        push dword 0
%endif
        push dword v
        jmp near trap_common
%assign v v + 1
%endrep

align 16
trap_common:
        test byte [esp + 12], 3         ; RPL of the interrupted CS
        jnz .user
        test byte [esp + 18], 2         ; EFLAGS.VM
        jnz .v86
        pushad
        push ds                         ; the trap may come between a guest's segments and its IRET
        push es
        mov eax, HOST_DS
        mov ds, eax
        mov es, eax
        cld
        push esp
        call host_trap
        add esp, 4
        pop es
        pop ds
        popad
        add esp, 8
        iretd
.user:  test byte [esp + 18], 2
        jnz .v86
.mode:  jmp dword [ss:host_user_trap]

; From virtual-8086 mode. IRET ignores EFLAGS.VM at CPL 3 (SDM vol. 2A, IRET), but QEMU 7.2 does not
; look at the CPL. The CPU has pushed four segment registers first: move the frame over them, so that
; it ends where it always ends, and give it a vector of its own.
.v86:   push eax
%assign i 6
%rep 7
        mov eax, [esp + 4 + 4 * i]
        mov [esp + 20 + 4 * i], eax
%assign i i - 1
%endrep
        pop eax
        add esp, 16
        mov dword [esp], HOST_TRAP_V86
        jmp .mode

section .rodata
align 4
host_stubs:
%assign v 0
%rep 256
        dd stub_ %+ v
%assign v v + 1
%endrep
