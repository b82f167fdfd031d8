; The world switch of svm mode (AMD APM vol. 2 section 15.5).
;
; void svm_enter(struct vcpu *vcpu, struct vmcb *vmcb, uint32_t vmcb_hpa, uint32_t host_vmcb_hpa,
;                svm_way *const *ways)
;
; VMRUN switches what is in the VMCB: RAX, RSP, RIP, RFLAGS, segments, control registers. The other
; general registers, and what VMLOAD covers (FS GS TR LDTR, SYSENTER MSRs), are switched here.
; Global interrupts are held off (CLGI) from before the first guest register to after the last: an
; interrupt that arrives meanwhile waits, because EFLAGS.IF is set for VMRUN only.
;
; An exit code may have a short way in ways[] (short.c): a function that finishes the exit, and
; says whether the guest is entered again at once. What VMLOAD covers is still the guest's then, as
; no C of this VMM uses it; and nothing that a short way calls changes IF.

bits 32
global svm_enter

%include "vcpu.inc"

ARG_VCPU      equ 20            ; from ESP, after four pushes
ARG_VMCB      equ 24
ARG_VMCB_HPA  equ 28
ARG_HOST_HPA  equ 32
ARG_WAYS      equ 36

VMCB_TLB_CONTROL equ 0x5C       ; vmcb.h has the same
VMCB_EXIT_CODE   equ 0x70
VMCB_EVENT       equ 0xA8
VMCB_CLEAN       equ 0xC0
CLEAN_ALL        equ 0x3FF

WAY_LAST      equ 0x82          ; of ways[]; svm.h asserts both
WAY_NPF       equ 0x82          ; in place of the exit code
VMEXIT_NPF    equ 0x400
VMEXIT_INVALID equ -1          ; nothing was entered, and somebody will want to know why

; EDX = vCPU, EAX = physical address of the VMCB. After it EAX = vCPU, ESP our stack; the rest is
; the guest's, and is in the vCPU.
%macro run_guest 0
        mov ecx, [edx + V_ECX]
        mov ebx, [edx + V_EBX]
        mov ebp, [edx + V_EBP]
        mov esi, [edx + V_ESI]
        mov edi, [edx + V_EDI]
        mov edx, [edx + V_EDX]
        vmrun
        mov eax, [esp + ARG_VCPU]
        mov [eax + V_ECX], ecx
        mov [eax + V_EDX], edx
        mov [eax + V_EBX], ebx
        mov [eax + V_EBP], ebp
        mov [eax + V_ESI], esi
        mov [eax + V_EDI], edi
        mov edx, [esp + ARG_VMCB]
%endmacro

section .text
align 16
svm_enter:
        push ebp
        push ebx
        push esi
        push edi
        mov edx, [esp + ARG_VCPU]
        mov eax, [esp + ARG_VMCB_HPA]
        clgi
        sti                             ; the host's IF, for V_INTR_MASKING; CLGI holds it back
        vmload
        run_guest
        cmp dword [edx + VMCB_EXIT_CODE], VMEXIT_INVALID
        je .out
        xor ecx, ecx                    ; what only the first entry is for has been done
        mov [edx + VMCB_TLB_CONTROL], cl
        mov [edx + VMCB_EVENT], ecx
        mov dword [edx + VMCB_CLEAN], CLEAN_ALL
.look:
        mov ecx, [edx + VMCB_EXIT_CODE]
        cmp ecx, WAY_LAST
        jae .high
.way:   mov ebx, [esp + ARG_WAYS]
        mov ecx, [ebx + ecx * 4]
        jecxz .out
        call ecx                        ; EAX = vCPU, EDX = VMCB
        test al, al
        mov edx, [esp + ARG_VCPU]       ; MOV keeps the flags
        mov eax, [esp + ARG_VMCB_HPA]
        jz .out
        run_guest
        jmp .look
.high:
        cmp ecx, VMEXIT_NPF
        mov ecx, WAY_NPF
        je .way
.out:
        mov eax, [esp + ARG_VMCB_HPA]
        vmsave
        mov eax, [esp + ARG_HOST_HPA]
        vmload
        cli
        stgi
        pop edi
        pop esi
        pop ebx
        pop ebp
        ret
