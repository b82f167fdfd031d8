; The world switch of vtx mode (SDM vol. 3C chapters 26 and 27).
;
; int vmx_enter(struct vcpu *vcpu, int launched, vmx_way *const *ways): VMLAUNCH or, when launched,
; VMRESUME. Returns 0 after an exit, or 1 when the instruction itself failed (VMfail). ESP, EIP,
; EFLAGS and the segments are switched by the hardware; the other general registers here. Interrupts
; stay off throughout: with external-interrupt exiting one that waits causes an exit whatever IF is
; (but see vtx_run).
;
; A basic exit reason may have a short way in ways[] (short.c): a function that finishes the exit,
; and says whether the guest is entered again at once.

bits 32
global vmx_enter, vmx_exit

%include "vcpu.inc"

ARG_VCPU     equ 20             ; from ESP, after four pushes
ARG_LAUNCHED equ 28             ; after five
ARG_WAYS     equ 32             ; likewise
VMCS_EXIT_REASON equ 0x4402
VMCS_HOST_ESP equ 0x6C14
WAYS         equ 56             ; length of ways[]; vmx.h asserts it

; EDX = vCPU; MOV keeps the flags.
%macro load_guest 0
        mov eax, [edx + V_EAX]
        mov ecx, [edx + V_ECX]
        mov ebx, [edx + V_EBX]
        mov ebp, [edx + V_EBP]
        mov esi, [edx + V_ESI]
        mov edi, [edx + V_EDI]
        mov edx, [edx + V_EDX]
%endmacro

section .text
align 16
vmx_enter:
        push ebp
        push ebx
        push esi
        push edi
        mov edx, [esp + ARG_VCPU]
        push edx                        ; where vmx_exit finds it
        mov eax, VMCS_HOST_ESP
        vmwrite eax, esp
        cmp dword [esp + ARG_LAUNCHED], 0
        load_guest
        jne .resume
        vmlaunch
        jmp short .failed
.resume:
        vmresume
.failed:
        mov eax, 1
        jmp short vmx_return

align 16
vmx_exit:                               ; HOST_EIP: ESP is ours, the rest is the guest's
        push eax
        mov eax, [esp + 4]              ; vcpu
        mov [eax + V_ECX], ecx
        mov [eax + V_EDX], edx
        mov [eax + V_EBX], ebx
        mov [eax + V_EBP], ebp
        mov [eax + V_ESI], esi
        mov [eax + V_EDI], edi
        pop dword [eax + V_EAX]
        mov edx, VMCS_EXIT_REASON
        vmread ecx, edx
        cmp ecx, WAYS                   ; a failed entry has bit 31 set
        jae .out
        mov ebx, [esp + ARG_WAYS]
        mov ecx, [ebx + ecx * 4]
        jecxz .out
        call ecx                        ; EAX = vCPU
        test al, al
        jz .out
        mov edx, [esp]
        load_guest
        vmresume
        jmp vmx_enter.failed
.out:
        xor eax, eax
vmx_return:
        add esp, 4
        pop edi
        pop esi
        pop ebx
        pop ebp
        ret
