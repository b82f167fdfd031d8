; What the operations of the paravirtual ABI cost, in ticks, next to the bare machine. The guest is
; that of exits.asm, and its sensitive instructions are recorded sites: in mode para they are
; patched, on the bare machine they are the plain instruction and a NOP.
;
; bench.inc says what is printed. Where there is no VMM, the hypercall page holds a RET alone: a call
; of a service costs CALL and RET. What an operation needs to be set up is in the figure, on the bare
; machine too:
;   cli-sti          both sites, nothing pending
;   null-call        CALL of the hypercall page with the number in ECX
;   set-pte          SET_PTE of a page that was not mapped (it stores the entry), done at once
;   invlpg           a store to an entry and INVLPG, done at once
;   ...-drain        the same, noted in the queue, and a call that drains it
;   ...-32           each of 32 that are noted in the queue, and a 32nd part of the drain
;   multi-32         each of 32 stores and INVLPG services in one call, without filling in the array
;   syscall          INT of a program to a handler that is only IRET
;   syscall-work     the same, and an entry that changes is noted in the queue by the handler
;   page-fault       the fault, SET_PTE (noted) and IRET in the handler, the access again
;   ud, de           the exception, and a handler that steps over it
;   iret-kernel      three pushes and IRET to the same level
;   iret-program     five pushes, IRET to a program, its INT, and the return of the handler
;   switch-cr3-back  to another space and back, nothing touched
AREAS       equ 8
READY_AREAS equ 2
%macro kernel_iret 0
        pv_iret
%endmacro
%include "pv.inc"
%include "bench.inc"

BATCH equ 32

section .bss
alignb 4096
other_dir:  resb 4096
resume_esp: resd 1

section .data
align 4
multi:
%rep BATCH
        dd PV_OP_INVLPG, AREA, 0, 0, 0
%endrep

; A row's setup: does the queue take anything?
SETUP_LAZY equ PV_QUEUE_MAX

section .rodata
rows:
        add_row "cli-sti", op_cli_sti
        add_row "cli", op_cli
        add_row "sti", op_sti
        add_row "pushf", op_pushf
        add_row "popf", op_popf, empty_flags
        add_row "read-cr0", op_read_cr0
        add_row "read-cr2", op_read_cr2
        add_row "read-cr3", op_read_cr3
        add_row "write-cr0", op_write_cr0, empty_cr0
        add_row "cpuid", op_cpuid
        add_row "null-call", op_null, empty_number
        add_row "in-80", op_in, empty_port
        add_row "out-80", op_out, empty_port
        add_row "set-pte", op_set_pte, empty_set_pte, 128, 1, 2, 0
        add_row "set-pte-drain", op_set_pte_drain, empty_set_pte, 128, 1, 3, SETUP_LAZY
        add_row "set-pte-32", op_set_pte_32, empty_set_pte_32, 128, 1, 4, SETUP_LAZY
        add_row "invlpg", op_pte_change, empty_pte_change, 400, 1, 0, 0
        add_row "invlpg-drain", op_pte_change_drain, empty_pte_change, 400, 1, 0, SETUP_LAZY
        add_row "invlpg-32", op_pte_change_32, empty_pte_change_32, 16, BATCH, 0, SETUP_LAZY
        add_row "multi-32", op_multi, empty_multi, 16, BATCH, 0, 0
        add_row "write-cr3", op_write_cr3, empty_cr3, 400, 1, 0, 0
        add_row "switch-cr3", op_switch_cr3, empty_cr3, 400, 1, 0, 0
        add_row "switch-cr3-back", op_switch_back, empty_cr3, 200, 1, 0, 0
        add_row "drop-space", op_drop_space, empty_cr3, 400, 1, 0, 0
        add_row "ud-kernel", op_ud
        add_row "de-kernel", op_de, empty_ecx
        add_row "iret-kernel", op_iret
        add_row "iret-program", op_iret_program
        add_user_row "syscall", user_int
        add_user_row "syscall-work", user_int_work, user_empty, 400, 1, 1, SETUP_LAZY
        add_user_row "ud-program", user_ud
        add_user_row "de-program", user_de, user_ecx
        add_user_row "page-fault", user_touch, user_touch_none, 128, 1, 5, SETUP_LAZY
        add_user_row "page-fault-now", user_touch, user_touch_none, 128, 1, 6, 0
        add_row "page-fault-kernel", op_touch, empty_set_pte, 128, 1, 7, 0
        add_row "compute-kernel", op_compute
        add_user_row "compute-program", user_compute
        dd 0

; --- what is measured ---

section .text
align 4096
op_begin empty
        op_end
op_begin op_cli_sti
        pv_cli
        pv_sti
        op_end
op_begin op_cli
        pv_cli
        op_end
op_begin op_sti
        pv_sti
        op_end
op_begin op_pushf
        pv_pushf
        op_end
op_begin empty_flags
        mov eax, FLAGS_ON
        op_end
op_begin op_popf
        mov eax, FLAGS_ON
        pv_popf
        op_end
op_begin op_read_cr0
        pv_read_cr0
        op_end
op_begin op_read_cr2
        pv_read_cr2
        op_end
op_begin op_read_cr3
        pv_read_cr3
        op_end
op_begin_after empty_cr0, mov eax, cr0
        op_end
op_begin_after op_write_cr0, mov eax, cr0
        pv_write_cr0
        op_end
op_begin op_cpuid
        xor eax, eax
        pv_cpuid
        op_end
op_begin empty_number
        mov ecx, PV_CALL_NULL
        op_end
op_begin op_null
        mov ecx, PV_CALL_NULL
        call hypercall_page
        op_end
op_begin_after empty_port, mov edx, PORT_POST
        op_end
op_begin_after op_in, mov edx, PORT_POST
        pv_in8
        op_end
op_begin_after op_out, mov edx, PORT_POST
        pv_out8
        op_end

; A new page each turn: EDX = its entry, EBX = what it shall be.
%macro next_page 0
        add edi, 4096
        add edx, 4
        add ebx, 4096
%endmacro
op_begin_after empty_set_pte, xchg ebx, edx
        mov eax, ebx
        mov ecx, edi
        next_page
        op_end
op_begin_after op_set_pte, xchg ebx, edx
        mov eax, ebx
        mov ecx, edi
        pv_set_pte
        next_page
        op_end
op_begin_after op_set_pte_drain, xchg ebx, edx
        mov eax, ebx
        mov ecx, edi
        pv_set_pte
        mov ecx, PV_CALL_DRAIN
        call hypercall_page
        next_page
        op_end
; The 32nd turn drains.
op_begin_after empty_set_pte_32, xchg ebx, edx
        mov eax, ebx
        mov ecx, edi
        next_page
        lea eax, [esi - 1]
        test eax, BATCH - 1
        jnz .on
.on:    op_end
op_begin_after op_set_pte_32, xchg ebx, edx
        mov eax, ebx
        mov ecx, edi
        pv_set_pte
        next_page
        lea eax, [esi - 1]
        test eax, BATCH - 1
        jnz .on
        mov ecx, PV_CALL_DRAIN
        call hypercall_page
.on:    op_end

; One entry that goes from one page to another and back: EBX = the entry, EDX = what it is.
op_begin empty_pte_change
        xor edx, 4096
        mov eax, edi
        op_end
op_begin op_pte_change
        xor edx, 4096
        mov [ebx], edx
        mov eax, edi
        pv_invlpg
        op_end
op_begin op_pte_change_drain
        xor edx, 4096
        mov [ebx], edx
        mov eax, edi
        pv_invlpg
        mov ecx, PV_CALL_DRAIN
        call hypercall_page
        op_end
op_begin empty_pte_change_32
        mov ebp, BATCH
.one:   xor edx, 4096
        mov eax, edi
        add edi, 4096
        add ebx, 4
        dec ebp
        jnz .one
        sub edi, 4096 * BATCH
        sub ebx, 4 * BATCH
        op_end
op_begin op_pte_change_32
        mov ebp, BATCH
.one:   xor edx, 4096
        mov [ebx], edx
        mov eax, edi
        pv_invlpg
        add edi, 4096
        add ebx, 4
        dec ebp
        jnz .one
        sub edi, 4096 * BATCH
        sub ebx, 4 * BATCH
        mov ecx, PV_CALL_DRAIN
        call hypercall_page
        op_end
op_begin empty_multi
        mov ebp, BATCH
.one:   xor edx, 4096
        add ebx, 4
        dec ebp
        jnz .one
        sub ebx, 4 * BATCH
        op_end
op_begin op_multi
        mov ebp, BATCH
.one:   xor edx, 4096
        mov [ebx], edx
        add ebx, 4
        dec ebp
        jnz .one
        sub ebx, 4 * BATCH
        push edx
        mov eax, multi
        mov edx, BATCH
        mov ecx, PV_CALL_MULTI
        call hypercall_page
        pop edx
        op_end

op_begin empty_cr3
        mov eax, page_dir
        op_end
op_begin op_write_cr3
        mov eax, page_dir
        pv_write_cr3
        op_end
op_begin op_switch_cr3
        mov eax, page_dir
        pv_switch_cr3
        op_end
op_begin op_switch_back
        mov eax, other_dir
        pv_switch_cr3
        mov eax, page_dir
        pv_switch_cr3
        op_end
op_begin op_drop_space
        mov eax, other_dir
        pv_drop_space
        op_end

op_begin op_ud
        ud2
        op_end
op_begin_after empty_ecx, xor ecx, ecx
        op_end
op_begin_after op_de, xor ecx, ecx
        div ecx
        op_end
op_begin op_iret
        push dword FLAGS_ON
        push dword SEL_CODE
        push dword .back
        pv_iret
.back:  op_end

; To a program whose only instruction is INT, and back to where the kernel was. The data segments are
; the program's all the time.
op_begin_after op_iret_program, call program_segments
        mov [resume_esp], esp
        push dword SEL_USER_DATA
        push dword user_stack_top
        push dword FLAGS_ON
        push dword SEL_USER_CODE
        push dword user_only_int
        pv_iret
.back:  dec esi
        jnz .turn
        mov eax, SEL_DATA
        jmp all_segments
program_segments:
        mov [trap_stack_top - 4], eax   ; as in run_program
        mov eax, SEL_USER_DATA
all_segments:
        mov ds, eax
        mov es, eax
        mov fs, eax
        mov gs, eax
        ret
op_iret_program_back equ op_iret_program.back
op_begin_after op_touch, xchg ebx, edx
        mov eax, ebx
        mov ecx, edi
        mov ebp, [edi]
        next_page
        op_end

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
op_begin_after user_ecx, xor ecx, ecx
        user_end
op_begin user_int
        int VEC_SYSCALL
        user_end
op_begin user_int_work
        int VEC_WORK
        user_end
op_begin user_ud
        ud2
        user_end
op_begin_after user_de, xor ecx, ecx
        div ecx
        user_end
op_begin_after user_touch_none, xchg ebx, edx
        mov ebp, ebp
        next_page
        user_end
op_begin_after user_touch, xchg ebx, edx
        mov ebp, [edi]
        next_page
        user_end
op_begin user_compute
        compute
        user_end
.leaf:  rol edx, 5
        ret
user_only_int:
        int VEC_BACK
align 4096
user_text_end:

; --- the guest kernel's handlers ---

VEC_WORK equ 0x84
VEC_BACK equ 0x85

; EDX = the entry, EBX = what it shall be, EDI = the page; EAX and ECX are free.
        align 512
fault_fill:
        mov eax, ebx
        mov ecx, edi
        pv_set_pte
        add esp, 4
        pv_iret
on_work:
        xor edx, 4096
        mov [ebx], edx
        mov eax, edi
        pv_invlpg
        pv_iret
on_back:
        mov esp, [resume_esp]
        jmp op_iret_program_back

row_setup:
        mov dword [on_fault_does], fault_fill
        mov eax, [ebp + row.setup]
        mov [shared_page + SHARED_LIMIT], eax
        cmp byte [ready], 0
        jne .end
        mov byte [ready], 1
        call prepare
.end:   ret

; Gates of our own, the other address space, and the hypercall page of a machine without a VMM.
prepare:
        gate VEC_WORK, on_work, 0xEF
        gate VEC_BACK, on_back, 0xEF
        mov esi, idt
        mov edi, bench_idt
        mov ecx, IDT_GATES * 2
        rep movsd
        mov esi, page_dir
        mov edi, other_dir
        mov ecx, 1024
        rep movsd
        cmp dword [shared_page + SHARED_VERSION], PV_ABI_VERSION
        je .end
        mov byte [hypercall_page], 0xC3
.end:   ret

section .data
ready:  db 0
