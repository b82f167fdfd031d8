; The world switch of the software modes.
;
; In:  sw_enter(vcpu, frame) loads the guest's registers and goes to CPL 3 by IRET.
; Out: every trap and interrupt at CPL 3 comes to sw_user_trap with the CPU's frame already inside
;      struct sw_frame, because TSS.ESP0 points to the frame's end. It stores the guest's registers
;      and returns from sw_enter to C.

bits 32
global sw_enter, sw_user_trap, sw_return, sw_enter_loads, sw_enter_end, sw_enter_failed
global current_vcpu, current_frame, host_esp

HOST_DS equ 0xFFE8

%include "vcpu.inc"
; struct sw_frame
%define F_DS 512
%define F_ES 516
%define F_FS 520
%define F_GS 524
%define F_VECTOR 528
%define F_ERROR 532
%define F_EIP 536

section .text
align 16
sw_enter:
        push ebp
        push ebx
        push esi
        push edi
        mov eax, [esp + 20]             ; vcpu
        mov edx, [esp + 24]             ; frame
        mov [current_vcpu], eax
        mov [host_esp], esp
        mov [current_frame], edx
        mov ecx, [eax + V_ECX]
        mov ebx, [eax + V_EBX]
        mov ebp, [eax + V_EBP]
        mov esi, [eax + V_ESI]
        mov edi, [eax + V_EDI]
        lea esp, [edx + F_EIP]
sw_enter_loads:
        mov gs, [edx + F_GS]
        mov fs, [edx + F_FS]
        mov es, [edx + F_ES]
        push dword [eax + V_EDX]        ; into frame.error, which is free now
        push dword [eax + V_EAX]        ; into frame.vector
        mov ds, [edx + F_DS]
        pop eax
        pop edx
        iretd
sw_enter_end:

; A segment load or the IRET faulted (host_fixup_from): nothing of the guest ran. EAX vector, EDX
; error code; the guest's registers are unchanged in the vCPU. The trap's own frame lay over the
; selectors in struct sw_frame: store those that are loaded.
sw_enter_failed:
        mov ecx, [ss:current_frame]
        mov [ss:ecx + F_VECTOR], eax
        mov [ss:ecx + F_ERROR], edx
        mov [ss:ecx + F_DS], ds
        mov [ss:ecx + F_ES], es
        mov [ss:ecx + F_FS], fs
        mov [ss:ecx + F_GS], gs
        mov eax, HOST_DS
        mov ds, eax
        mov es, eax
        jmp sw_return

align 16
sw_user_trap:                           ; ESP = &frame.vector, SS = HOST_DS, the rest is the guest's
        mov [esp + F_DS - F_VECTOR], ds
        mov [esp + F_ES - F_VECTOR], es
        mov [esp + F_FS - F_VECTOR], fs
        mov [esp + F_GS - F_VECTOR], gs
        mov [ss:scratch], eax
        mov eax, HOST_DS
        mov ds, eax
        mov es, eax
        mov eax, [current_vcpu]
        mov [eax + V_ECX], ecx
        mov [eax + V_EDX], edx
        mov [eax + V_EBX], ebx
        mov [eax + V_EBP], ebp
        mov [eax + V_ESI], esi
        mov [eax + V_EDI], edi
        mov ecx, [scratch]
        mov [eax + V_EAX], ecx
sw_return:
        mov esp, [host_esp]
        cld
        pop edi
        pop esi
        pop ebx
        pop ebp
        ret

section .bss
alignb 4
current_vcpu: resd 1
host_esp:     resd 1
current_frame: resd 1
scratch:      resd 1
