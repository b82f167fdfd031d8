; The paravirtual ABI, written from pv_abi.h alone: a kernel and a program that use every operation,
; first as they should be used, then as nobody should. All but the services runs on the bare machine,
; too, and gives the same results there.
;
; Words: "para" (the VMM is said to be there), and by the pv= switches no-sti no-io no-mmu no-batch.
%include "common.inc"
%include "paging.inc"
%include "pv.inc"

SEL_UCODE equ 0x48 | 3
SEL_UDATA equ 0x50 | 3
VEC_IRQ0  equ 0x20              ; where the PIC's lines are
VEC_CALL  equ 0x80              ; of programs

PTE_U equ 4
PTE_G equ 0x100
READY equ PTE_P | PTE_W | PTE_U | PTE_A | PTE_D
CR4_PSE equ 1 << 4
CR4_PGE equ 1 << 7
CR0_TS equ 8
PORT_NONE equ 0x2C0
FL_DF equ 0x400
FL_AC equ 0x40000
FL_ID equ 0x200000

; Pages whose translations the tests change, and memory for them: word 0 of frame k is MARK + k.
WIN     equ 0x80000000
FRAMES  equ 0x1000000
FRAME_COUNT equ 256
MARK    equ 0xABC00000
%define frame(k) (FRAMES + (k) * 4096)
%define page(i) (WIN + (i) * 4096)

section .bss nobits
alignb 4096
win_table:  resb 4096           ; of page_dir
win_table2: resb 4096           ; of dir2
dir2:       resb 4096
idt2:       resb 4096           ; instead of the page of the IDT, in dir2
own_idt:    resb 4096           ; on a page of its own
low_table2: resb 4096
user_stack: resb 4096
user_stack_top:
trap_stack: resb 4096
trap_stack_top:
calls:      resb 20 * 70        ; struct pv_multi[]
buffer:     resb 64
kernel_esp: resd 1
user_eax:   resd 1              ; the program's, when it trapped
user_trap:  resd 1              ; vector << 16 | error
user_eip:   resd 1
user_cr2:   resd 1
user_eflags: resd 1             ; as saved by the trap
start_eflags: resd 1            ; what programs start with
irq_count:  resd 1
fill_pte:   resd 1
fill_value: resd 1
fills:      resd 1
seed:       resd 1
saved_esp:  resd 1

section .data align=4
own_gdtr:   dw GDT_LIMIT
            dd gdt
own_idtr:   dw IDT_GATES * 8 - 1
            dd own_idt

; A data segment with DPL 3, 64 KB, that begins at page 53 or near it.
TEST_HIGH equ page(53) & 0xFF000000 | page(53) >> 16 & 0xFF | 0x0040F300

; --- helpers ---

section .text
%macro lazy 1
        mov dword [shared_page + SHARED_LIMIT], (%1) * PV_QUEUE_MAX
%endmacro
; A service of the VMM: number, EAX, EDX, EBX
%macro service 1-4 0, 0, 0
        mov ecx, %1
        mov eax, %2
        mov edx, %3
        mov ebx, %4
        call hypercall_page
%endmacro
%macro check_service 3-6 0, 0, 0 ; name, result, number, EAX, EDX, EBX
        service %3, %4, %5, %6
        check %1, %2
%endmacro
%macro put_pte 2-3 READY ; page, frame, flags: a plain store
        mov dword [win_table + (%1) * 4], frame(%2) + (%3)
%endmacro
%macro set_pte 2-3 READY ; the same by SET_PTE
        mov eax, frame(%2) + (%3)
        mov ecx, page(%1)
        mov edx, win_table + (%1) * 4
        pv_set_pte
%endmacro
%macro invlpg_page 1
        mov eax, page(%1)
        pv_invlpg
%endmacro
%macro kernel_reads 3 ; name, page, frame
        mov eax, [page(%2)]
        check %1, MARK + %3
%endmacro
%macro user_reads 3
        mov edi, page(%2)
        mov edx, user_read
        call run_user
        check %1, MARK + %3
%endmacro
; The program's trap, when it should have one: name, page, vector << 16 | error
%macro user_faults 4 ; name, program, page, trap
        mov edi, page(%3)
        mov edx, %2
        call run_user
        mov eax, [user_trap]
        check %1, %4
%endmacro
%macro to_cr3 1 ; by WRITE_CR3
        mov eax, %1
        pv_write_cr3
%endmacro
%macro switch_to 1
        mov eax, %1
        pv_switch_cr3
%endmacro
%macro drop 1
        mov eax, %1
        pv_drop_space
%endmacro

; A gate: vector, handler, access byte, table
%macro gate_of 2-4 0x8E, own_idt
        mov eax, %2
        mov [%4 + (%1) * 8], ax
        mov word [%4 + (%1) * 8 + 2], SEL_CODE
        mov word [%4 + (%1) * 8 + 4], (%3) << 8
        shr eax, 16
        mov [%4 + (%1) * 8 + 6], ax
%endmacro

; EDX = program, EDI = its argument. Returns what it had in EAX when it trapped; the rest is kept.
run_user:
        pushad
        mov [kernel_esp], esp
        mov eax, SEL_UDATA
        mov ds, eax
        mov es, eax
        mov fs, eax
        mov gs, eax
        push dword SEL_UDATA
        push dword user_stack_top
        push dword [start_eflags]
        push dword SEL_UCODE
        push edx
        xor eax, eax
        pv_iret
user_back:
        mov esp, [kernel_esp]
        popad
        mov eax, [user_eax]
        ret

; trap_hook: traps of programs end them, those of the kernel are recorded as usual.
on_trap:
        test dword [ebx + F_CS], 3
        jz .kernel
        mov eax, [ebx + 36]
        mov [user_eax], eax
        mov eax, [ebx + F_VECTOR]
        shl eax, 16
        or eax, [ebx + F_ERROR]
        mov [user_trap], eax
        mov eax, [ebx + F_EIP]
        mov [user_eip], eax
        mov eax, [ebx + F_EFLAGS]
        mov [user_eflags], eax
        pv_read_cr2
        mov [user_cr2], eax
        jmp user_back
.kernel:
        add esp, 4
        jmp trap_common.record

on_irq:
        push eax
        push ecx
        push edx
        inc dword [irq_count]
        mov edx, 0x20
        mov al, 0x20            ; end of interrupt
        pv_out8
        pop edx
        pop ecx
        pop eax
        pv_iret

; A page fault that sets the entry and tries again. The address is not looked at.
on_fill:
        push eax
        push ecx
        push edx
        inc dword [fills]
        pv_read_cr2
        mov ecx, eax
        mov eax, [fill_value]
        mov edx, [fill_pte]
        pv_set_pte
        pop edx
        pop ecx
        pop eax
        add esp, 4
        pv_iret

; --- what programs do: EDI = a page ---

align 4096
user_text:
user_read:
        mov eax, [edi]
        int VEC_CALL
user_write:
        mov dword [edi + 8], 0x5EED
        mov eax, [edi + 8]
        int VEC_CALL
user_sum:                       ; of word 0 of 100 pages
        mov ecx, 100
.page:  add eax, [edi]
        add edi, 4096
        loop .page
        int VEC_CALL
user_call:
        mov ecx, PV_CALL_NULL
        call edi
        int VEC_CALL
user_gate_call:
        mov ecx, PV_CALL_NULL
        int PV_GATE_CALL
.end:   int VEC_CALL
user_gate_iret:
        int PV_GATE_IRET
.end:   int VEC_CALL
user_ds:                        ; through the first test descriptor
        mov eax, SEL_TEST | 3
        mov ds, eax
        mov eax, [0]
        int VEC_CALL
align 4096
user_text_end:

; --- start ---

guest_main:
        call paging_on
        call build_tables
        mov eax, own_gdtr       ; what was loaded before paging, again by sites
        pv_lgdt
        mov eax, own_idtr
        pv_lidt
        mov byte [gdt + SEL_TSS + 5], 0x89
        mov eax, SEL_TSS
        pv_ltr
        mov eax, SEL_LDT
        pv_lldt
        call test_start
        call test_flags
        call test_registers
        call test_control
        call test_ports
        call test_tables
        call test_interrupts
        call test_translations
        call test_programs
        call test_queue
        call test_spaces
        cmp dword [shared_page + SHARED_VERSION], 0
        je .end
        call test_services
        call test_multi
        call test_hostile
        call test_pages
        call test_random
.end:   pv_cli
        ret

; EAX = address, ECX = pages
open_pages:
        shr eax, 12
.page:  or dword [page_tables + eax * 4], PTE_U
        inc eax
        loop .page
        ret

build_tables:
        mov eax, user_text
        mov ecx, (user_text_end - user_text) / 4096
        call open_pages
        mov eax, user_stack
        mov ecx, 1
        call open_pages
        mov eax, hypercall_page
        mov ecx, 1
        call open_pages
        mov ecx, RAM_TABLES
.dir:   or dword [page_dir + ecx * 4 - 4], PTE_U
        loop .dir
        mov dword [page_dir + (WIN >> 22) * 4], win_table + PTE_P + PTE_W + PTE_U + PTE_A
        mov esi, page_dir
        mov edi, dir2
        mov ecx, 1024
        rep movsd
        mov dword [dir2 + (WIN >> 22) * 4], win_table2 + PTE_P + PTE_W + PTE_U + PTE_A
        xor ecx, ecx
.mark:  mov edx, ecx
        shl edx, 12
        lea eax, [ecx + MARK]
        mov [FRAMES + edx], eax
        inc ecx
        cmp ecx, FRAME_COUNT
        jne .mark
        mov dword [tss + 4], trap_stack_top
        mov dword [trap_hook], on_trap
        mov dword [start_eflags], FL_IF | 2
        mov dword [seed], 12345
        mov edi, gdt + (SEL_UCODE & ~3)
        mov dword [edi], 0x0000FFFF
        mov dword [edi + 4], 0x00CFFB00
        mov dword [edi + 8], 0x0000FFFF
        mov dword [edi + 12], 0x00CFF300
        mov esi, idt
        mov edi, own_idt
        mov ecx, IDT_GATES * 2
        rep movsd
        gate_of VEC_IRQ0, on_irq
        gate_of VEC_CALL, [stub_table + VEC_CALL * 4], 0xEE
        mov eax, cr3
        mov cr3, eax
        ret

; Is the VMM where it is said to be, and has it patched what it should?
test_start:
        mov esi, word_para
        call has_word
        mov edx, 0
        jnc .version
        mov edx, PV_ABI_VERSION
.version:
        mov eax, [shared_page + SHARED_VERSION]
        call check_edx
        db "version", 0
        call count_sites
        mov eax, [shared_page + SHARED_PATCHED]
        call check_edx
        db "patched-sites", 0
        mov eax, [shared_page + SHARED_COUNT]
        or eax, [shared_page + SHARED_LIMIT]
        check "queue.empty", 0
        ret

; EAX = got, EDX = expected; the name stands behind the call.
check_edx:
        xchg esi, [esp]
        call check_line
.skip:  lodsb
        test al, al
        jnz .skip
        xchg esi, [esp]
        ret

; EDX = sites that are patched with the switches of the command line; 0 without a VMM.
count_sites:
        xor edx, edx
        cmp dword [shared_page + SHARED_VERSION], 0
        je .end
        mov ebx, pv_sites
.site:  cmp ebx, pv_sites_end
        je .end
        movzx eax, byte [ebx + 5]
        add ebx, 8
        cmp al, PV_OP_INSW
        jae .site
        mov esi, word_no_io
        mov ah, PV_OP_IN8
        mov cl, PV_OP_OUT32
        call .left_out
        jc .site
        mov esi, word_no_mmu
        mov ah, PV_OP_SET_PTE
        mov cl, PV_OP_DROP_SPACE
        call .left_out
        jc .site
        inc edx
        jmp .site
.left_out:                      ; CF: the operation AL is of AH to CL, and the word ESI is there
        cmp al, ah
        jb .no
        cmp al, cl
        ja .no
        push eax
        call has_word
        pop eax
        ret
.no:    clc
.end:   ret

%include "pv_operations.inc"
%include "pv_memory.inc"
%include "pv_hostile.inc"

section .rodata
word_para:   db "para", 0
word_no_io:  db "no-io", 0
word_no_mmu: db "no-mmu", 0
word_no_sti: db "no-sti", 0
word_no_batch: db "no-batch", 0
