; The world switch of svm mode (AMD APM vol. 2 section 15.5).
;
; void svm_enter(struct vcpu *vcpu, uint32_t vmcb_hpa, uint32_t host_vmcb_hpa)
;
; VMRUN switches what is in the VMCB: RAX, RSP, RIP, RFLAGS, segments, control registers. The other
; general registers, and what VMLOAD covers (FS GS TR LDTR, SYSENTER MSRs), are switched here.
; Global interrupts are held off (CLGI) from before the first guest register to after the last: an
; interrupt that arrives meanwhile waits, because EFLAGS.IF is set for VMRUN only.

bits 32
global svm_enter

%include "vcpu.inc"

section .text
align 16
svm_enter:
        push ebp
        push ebx
        push esi
        push edi
        mov edx, [esp + 20]             ; vcpu
        mov eax, [esp + 24]             ; VMCB
        clgi
        sti                             ; the host's IF, for V_INTR_MASKING; CLGI holds it back
        vmload
        mov ecx, [edx + V_ECX]
        mov ebx, [edx + V_EBX]
        mov ebp, [edx + V_EBP]
        mov esi, [edx + V_ESI]
        mov edi, [edx + V_EDI]
        mov edx, [edx + V_EDX]
        vmrun
        ; EAX is the VMCB again, ESP our stack; the rest is the guest's
        vmsave
        push edx
        mov edx, [esp + 24]             ; vcpu
        mov [edx + V_ECX], ecx
        mov [edx + V_EBX], ebx
        mov [edx + V_EBP], ebp
        mov [edx + V_ESI], esi
        mov [edx + V_EDI], edi
        pop dword [edx + V_EDX]
        mov eax, [esp + 28]             ; host's VMCB
        vmload
        cli
        stgi
        cld
        pop edi
        pop esi
        pop ebx
        pop ebp
        ret
