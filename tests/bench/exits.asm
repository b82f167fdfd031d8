; What one exit costs: each operation that a mode may have to intercept, many times in a row, in
; ticks. Run on the bare machine and in a mode; the difference is the mode's round trip.
;
; bench.inc says what is printed. What an operation needs to be set up (the push before a POPF, the
; handler of an exception) is in the figure, on the bare machine too.
AREAS       equ 6
READY_AREAS equ 3
%macro kernel_iret 0
        iretd
%endmacro
%include "bench.inc"

MSR_TSC equ 0x10
MSR_SYSENTER_CS equ 0x174
PORT_PIC   equ 0x21             ; the mask register
PORT_GATE  equ 0x92             ; has a state of a few bits
PORT_NONE  equ 0xEE             ; nobody's

MODE_NATIVE equ 0               ; leaf 40000001h of CPUID: 1 and 2 are the software modes
MODE_VTX equ 3
MODE_SVM equ 4

section .bss
scratch:        resd 2
mode:           resd 1
made:           resb 1

section .rodata
rows:
        add_row "cli", op_cli
        add_row "sti", op_sti
        add_row "cli-sti", op_cli_sti
        add_row "pushf", op_pushf
        add_row "popf", op_popf
        add_row "mov-from-cr0", op_from_cr0
        add_row "mov-to-cr0", op_to_cr0, empty_cr0
        add_row "mov-from-cr3", op_from_cr3
        add_row "mov-from-cr4", op_from_cr4
        add_row "mov-to-cr2", op_to_cr2
        add_row "clts", op_clts
        add_checked_row "rdmsr-tsc", op_rdmsr_tsc, check_tsc
        add_checked_row "rdmsr-sysenter", op_rdmsr, check_msr
        add_checked_row "wrmsr-sysenter", op_wrmsr, check_msr
        add_checked_row "in-nobody", op_in_none, check_ones
        add_checked_row "in-80", op_in_post, check_post
        add_checked_row "in-80-dx", op_in_post_dx, check_post
        add_row "out-80", op_out_post
        add_row "out-80-dx", op_out_post_dx
        add_checked_row "in-92", op_in_gate, check_gate
        add_checked_row "in-21", op_in_pic, check_pic
        add_checked_row "out-21", op_out_pic, check_pic, empty_out_pic
        add_row "ud-kernel", op_ud
        add_row "de-kernel", op_de
        add_row "int80-kernel", op_int
        add_row "iret-kernel", op_iret
        add_user_row "ud-user", user_ud
        add_user_row "de-user", user_de
        add_user_row "syscall", user_int
        add_cold_row "syscall-cold-stack", user_int
        add_row "fill-kernel", op_touch, empty, 128, 1, 0
        add_user_row "fill-user", user_touch, user_empty, 128, 1, 1
        add_row "fill-after-reload", op_reload_many, op_reload_one, 16, RELOAD_PAGES - 1, 2
        add_row "page-fault-kernel", op_touch, empty, 128, 1, 3
        add_user_row "page-fault-user", user_touch, user_empty, 128, 1, 4
        add_user_row "page-fault-cr2-user", user_touch, user_empty, 128, 1, 5, fault_fill_cr2
        add_row "compute-kernel", op_compute
        add_user_row "compute-user", user_compute
        add_row "invlpg-untouched", op_invlpg
        add_row "invlpg-touch", op_invlpg_touch
        add_row "cr3-reload", op_reload
        add_checked_row "cpuid", op_cpuid, check_cpuid
        add_row "cpuid-user", user_cpuid, user_empty, 400, 1, 0, fault_fill, 1, check_cpuid_user
        add_checked_row "hypercall", op_hypercall, check_hypercall
        add_row "mov-to-ds", op_to_ds
        add_row "sgdt", op_sgdt
        add_row "str", op_str
        add_row "lgdt", op_lgdt
        add_row "lidt", op_lidt
        add_checked_row "frames", empty, check_frames
        dd 0

; --- what is measured ---

section .text
align 4096
op_begin empty
        op_end
op_begin op_cli
        cli
        op_end
op_begin op_sti
        sti
        op_end
op_begin op_cli_sti
        cli
        sti
        op_end
op_begin op_pushf
        pushfd
        pop eax
        op_end
op_begin op_popf
        push dword FLAGS_ON
        popfd
        op_end
op_begin op_from_cr0
        mov eax, cr0
        op_end
op_begin op_from_cr3
        mov eax, cr3
        op_end
op_begin op_from_cr4
        mov eax, cr4
        op_end
op_begin op_to_cr2
        mov cr2, eax
        op_end
op_begin op_clts
        clts
        op_end
op_begin op_in_none
        in al, PORT_NONE
        op_end
op_begin op_in_post
        in al, PORT_POST
        op_end
op_begin op_out_post
        out PORT_POST, al
        op_end
op_begin op_in_pic
        in al, PORT_PIC
        op_end
op_begin op_in_gate
        in al, PORT_GATE
        op_end
op_begin op_ud
        ud2
        op_end
op_begin op_int
        int VEC_SYSCALL
        op_end
op_begin op_iret
        push dword FLAGS_ON
        push dword SEL_CODE
        push dword .back
        iretd
.back:  op_end
op_begin op_touch
        mov eax, [edi]
        add edi, 4096
        add ebx, 4
        add edx, 4096
        op_end
op_begin op_invlpg
        invlpg [edi]
        op_end
op_begin op_invlpg_touch
        invlpg [edi]
        mov eax, [edi]
        op_end
op_begin op_reload
        mov eax, cr3
        mov cr3, eax
        op_end
op_begin op_cpuid
        xor eax, eax
        cpuid
        op_end
op_begin op_hypercall
.call:  db 0x0F, 0x1F, 0x00     ; a NOP of three bytes; make_hypercall puts the mode's in
        op_end
op_begin op_to_ds
        mov ds, ebp
        op_end
op_begin op_sgdt
        sgdt [scratch]
        op_end
op_begin op_str
        str eax
        op_end
op_begin op_lgdt
        lgdt [bench_gdtr]
        op_end
op_begin op_lidt
        lidt [bench_idtr]
        op_end

; Before their first turn these load a register.
op_begin_after empty_cr0, mov eax, cr0
        op_end
op_begin_after op_to_cr0, mov eax, cr0
        mov cr0, eax
        op_end
op_begin_after op_in_post_dx, mov edx, PORT_POST
        in al, dx
        op_end
op_begin_after op_out_post_dx, mov edx, PORT_POST
        out dx, al
        op_end
op_begin_after empty_out_pic, in al, PORT_PIC
        op_end
op_begin_after op_out_pic, in al, PORT_PIC
        out PORT_PIC, al
        op_end
op_begin_after op_rdmsr_tsc, mov ecx, MSR_TSC
        rdmsr
        op_end
op_begin_after op_rdmsr, mov ecx, MSR_SYSENTER_CS
        rdmsr
        op_end
op_begin_after op_wrmsr, mov ecx, MSR_SYSENTER_CS
        mov eax, esi
        xor edx, edx
        wrmsr
        op_end
op_begin_after op_de, xor ecx, ecx
        div ecx
        op_end

; The same instructions, on as many pages and on one.
RELOAD_PAGES equ 33
%macro reload_and_touch 2
        align 512
        times 256 nop
%1:
.turn:  mov eax, cr3
        mov cr3, eax
        mov ecx, RELOAD_PAGES
        mov ebp, edi
.page:  mov eax, [ebp]
        add ebp, %2
        dec ecx
        jnz .page
        op_end
%endmacro
        reload_and_touch op_reload_many, 4096
        reload_and_touch op_reload_one, 0

op_begin op_compute
        compute
        op_end
.leaf:  rol edx, 5
        ret

; --- what a program does; it has its pages for itself ---

align 4096
user_text:
op_begin user_empty
        user_end
op_begin user_ud
        ud2
        user_end
op_begin_after user_de, xor ecx, ecx
        div ecx
        user_end
op_begin user_int
        int VEC_SYSCALL
        user_end
op_begin user_touch
        mov eax, [edi]
        add edi, 4096
        add ebx, 4
        add edx, 4096
        user_end
op_begin user_cpuid
        xor eax, eax
        cpuid
        user_end
op_begin user_compute
        compute
        user_end
.leaf:  rol edx, 5
        ret
align 4096
user_text_end:

; --- the guest kernel's page faults ---

        align 512
        times 64 nop            ; nor with the other handlers' IRET
fault_fill:
        mov [ebx], edx
        add esp, 4
        iretd
fault_fill_cr2:                 ; as a kernel does that was not told where
        push eax
        mov eax, cr2
        shr eax, 10
        and eax, (AREA_PAGES - 1) * 4
        add eax, ebp
        mov [eax], edx
        pop eax
        add esp, 4
        iretd

; --- what must be left ---
; Each returns EAX = 0 when it is right.

; The TSC has not been read later than now, nor long ago. In QEMU's own RDMSR it is another one.
check_tsc:
        mov edx, [mode]
        test edx, edx
        jz .end
        rdtsc
        sub eax, [left_eax]
        sbb edx, [left_edx]
        jnz .end
        cmp eax, 100000
        sbb edx, -1
.end:   mov eax, edx
        ret

; The last turn writes a 1; nobody has written before the first one.
check_msr:
        mov ecx, MSR_SYSENTER_CS
        rdmsr
        or eax, edx
        mov edx, eax
        cmp dword [ebp + row.run], op_rdmsr
        je .read
        dec eax
        ret
.read:  or eax, [left_eax]
        or eax, [left_edx]
        ret

check_ones:
        movzx eax, byte [left_eax]
        xor eax, 0xFF
        ret

; A20 is on. The other half of the register is what it was: 0 turns are left.
check_gate:
        mov eax, [left_eax]
        not eax
        and eax, 2
        ret

check_pic:
        in al, PORT_PIC
        xor al, [left_eax]
        movzx eax, al
        ret

check_post:
        in al, PORT_POST
        xor al, [left_eax]
        movzx eax, al
        ret

; The same with a prefix, which means nothing here, and a VMM may have another way for it.
check_cpuid:
        xor eax, eax
        db 0x2E
        cpuid
        sub eax, [left_eax]
        sub ebx, [left_ebx]
        sub ecx, [left_ecx]
        sub edx, [left_edx]
        or eax, ebx
        or eax, ecx
        or eax, edx
        ret

; In the software modes a program's CPUID is the host's.
check_cpuid_user:
        cmp dword [mode], MODE_VTX
        jae check_cpuid
        cmp dword [mode], MODE_NATIVE
        je check_cpuid
        xor eax, eax
        ret

check_hypercall:
        xor eax, eax
        cmp dword [mode], MODE_VTX
        jb .end
        mov eax, [left_eax]
        inc eax
.end:   ret

; Each page of memory that was touched by way of an area is a page of its own, and the right one.
check_frames:
        mov edi, AREA + 8
        mov ecx, AREA_PAGES
.write: mov [edi], edi
        add edi, 4096
        loop .write
        mov edi, AREA_FRAMES + 8
        mov edx, AREA + 8
        mov ecx, AREA_PAGES
.read:  mov eax, [edi]
        sub eax, edx
        jnz .end
        add edi, 4096
        add edx, 4096
        loop .read
.end:   ret

; VMCALL or VMMCALL, where leaf 40000001h of CPUID says that a mode has it. Called once.
make_hypercall:
        mov byte [made], 1
        mov eax, 1
        cpuid
        test ecx, ecx
        jns .end
        mov eax, 0x40000001
        cpuid
        mov [mode], eax
        mov dl, 0xC1
        cmp eax, MODE_VTX
        je .make
        mov dl, 0xD9
        cmp eax, MODE_SVM
        jne .end
.make:  mov byte [op_hypercall.call + 1], 1
        mov [op_hypercall.call + 2], dl
.end:   ret

row_setup:
        cmp byte [made], 0
        jne .made
        call make_hypercall
.made:  mov eax, [ebp + row.setup]
        mov [on_fault_does], eax
        ret
