; The world switch of vtx mode (SDM vol. 3C chapters 26 and 27).
;
; int vmx_enter(struct vcpu *vcpu, int launched): VMLAUNCH or, when launched, VMRESUME. Returns 0
; after an exit, or 1 when the instruction itself failed (VMfail). ESP, EIP, EFLAGS and the segments
; are switched by the hardware; the other general registers here. Interrupts stay off throughout:
; with external-interrupt exiting one that waits causes an exit whatever IF is (but see vtx_run).

bits 32
global vmx_enter, vmx_exit

%include "vcpu.inc"

ARG_VCPU     equ 20             ; from ESP, after four pushes
ARG_LAUNCHED equ 28             ; after five
VMCS_HOST_ESP equ 0x6C14

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
        mov eax, [edx + V_EAX]          ; MOV keeps the flags
        mov ecx, [edx + V_ECX]
        mov ebx, [edx + V_EBX]
        mov ebp, [edx + V_EBP]
        mov esi, [edx + V_ESI]
        mov edi, [edx + V_EDI]
        mov edx, [edx + V_EDX]
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
        push edx
        mov edx, [esp + 4]              ; vcpu
        mov [edx + V_EAX], eax
        mov [edx + V_ECX], ecx
        mov [edx + V_EBX], ebx
        mov [edx + V_EBP], ebp
        mov [edx + V_ESI], esi
        mov [edx + V_EDI], edi
        pop dword [edx + V_EDX]
        xor eax, eax
vmx_return:
        add esp, 4
        pop edi
        pop esi
        pop ebx
        pop ebp
        ret
