; What ends a guest: one thing a run, chosen by a word of the command line. On the bare machine some
; of it works, and then the checks say what it gives; the rest stops the machine.
%include "common.inc"
%include "paging.inc"
%include "program.inc"

BEYOND equ 0x78000000           ; no memory there
VMM    equ 0xF0300000           ; in software modes the VMM's, which the guest has not mapped

section .rodata
choices:
        dd .triple, triple_fault, .no_stack, no_stack, .cr3, bad_cr3, .reserved, reserved_range
        dd .base, reserved_base, .region, region_end, .outside, outside, .real, real_mode
        dd .v86, v86_mode, .nested, nested_task, .halt, halt, .reset, reset, .task, task_gate
        dd .idt, bad_idt, .table, bad_table, .gone_esp0, gone_esp0, .vmm_esp0, vmm_esp0
        dd .overflow, overflow, .vmm_push, vmm_push, .vmm_pushf, vmm_pushf, .vmm_int, vmm_int
        dd 0
.triple:   db "triple", 0
.no_stack: db "no-stack", 0
.cr3:      db "cr3", 0
.reserved: db "reserved", 0
.base:     db "base", 0
.region:   db "region", 0
.outside:  db "outside", 0
.real:     db "real", 0
.v86:      db "v86", 0
.nested:   db "nested", 0
.halt:     db "halt", 0
.reset:    db "reset", 0
.task:     db "task", 0
.idt:      db "idt", 0
.table:    db "table", 0
.gone_esp0: db "gone-esp0", 0
.vmm_esp0: db "vmm-esp0", 0
.overflow: db "overflow", 0
.vmm_push: db "vmm-push-", 0
.vmm_pushf: db "vmm-pushf", 0
.vmm_int:  db "vmm-int", 0

section .text
guest_main:
        mov ebx, choices
.next:  mov esi, [ebx]
        test esi, esi
        jz .none
        push ebx
        call has_word
        pop ebx
        jc .found
        add ebx, 8
        jmp .next
.found: call [ebx + 4]
        mov eax, 1
        check "survived", 1
        ret
.none:  xor eax, eax
        check "known word", 1
        ret

; No gate at all: #UD, #GP, double fault, shutdown.
triple_fault:
        lidt [no_table]
        ud2
section .rodata
no_table: dw 0
          dd 0
section .text

; The stack's page is gone: neither the page fault nor the double fault can be delivered.
no_stack:
        call paging_on
        mov esp, NOWHERE
        push eax
        ret

bad_cr3:
        call paging_on
        mov eax, BEYOND
        mov cr3, eax
        ret

; The guest maps and uses what the VMM keeps for itself in software modes.
reserved_range:
        call paging_on
        mov ebx, 0xF0000000
        mov eax, page_tables + PTE_P + PTE_W
        mov [page_dir + (0xF0000000 >> 22) * 4], eax
        mov eax, [ebx + start]
        cmp eax, [start]
        sete al
        movzx eax, al
        check "reserved.read", 1
        mov eax, 0xFE000000
        mov dword [page_dir + (0xFE000000 >> 22) * 4], page_tables + PTE_P + PTE_W
        add eax, .here
        call eax
        check "reserved.run", 7
        ret
.here:  mov eax, 7
        ret

; The same by a segment whose base is there.
reserved_base:
        call paging_on
        mov dword [page_dir + (0xF0000000 >> 22) * 4], page_tables + PTE_P + PTE_W
        mov edi, gdt + SEL_TEST
        mov eax, 0xF0000000
        mov ecx, 0xFFFFF
        mov edx, 0xC093
        call put_descriptor
        mov eax, SEL_TEST
        mov fs, eax
        mov eax, [fs:start]
        cmp eax, [start]
        sete al
        movzx eax, al
        check "base.read", 1
        ret

; An instruction across a 16 MB boundary, where the code window ends.
region_end:
        mov dword [0x00FFFFFE], 0x000007B8      ; mov eax, 7; ret
        mov word [0x01000002], 0xC300
        mov ebx, 0x00FFFFFE
        call ebx
        check "region", 7
        ret

; A jump to where no memory is.
outside:
        mov eax, BEYOND
        jmp eax

real_mode:
        mov eax, cr0
        and eax, ~1
        mov cr0, eax
        ret

; IRET to virtual-8086 mode.
v86_mode:
        push dword 0
        push dword 0
        push dword 0
        push dword 0
        push dword SEL_DATA
        push dword 0x7000
        push dword 1 << 17 | 2
        push dword 0
        push dword 0x7000
        iretd

; IRET with NT set returns to the task that the TSS names: none.
nested_task:
        try
        push dword FL_NT | 2
        popfd
        iretd
        tried
        push dword 2
        popfd
        mov esp, stack_top - 4
        check "nested", VEC_TS << 16
        ret

halt:   cli
        hlt
        ret

reset:  mov al, 0xFE
        out 0x64, al
.wait:  jmp .wait

; An interrupt through a task gate: the hardware switches tasks, and IRET switches back.
task_gate:
        mov dword [idt + 0x40 * 8], SEL_TSS2 << 16
        mov dword [idt + 0x40 * 8 + 4], 0x8500
        mov dword [tss2 + 32], .task
        mov dword [tss2 + 36], 2
        mov dword [tss2 + 56], stack_low + 1024
        mov eax, SEL_DATA
        mov [tss2 + 72], eax
        mov [tss2 + 80], eax
        mov [tss2 + 84], eax
        mov dword [tss2 + 76], SEL_CODE
        xor ebx, ebx
        try
        int 0x40
        tried
        check "task.int", NO_TRAP
        mov eax, [.mark]
        check "task.ran", 7
        ret
.task:  mov dword [.mark], 7
        iretd
section .data
task_gate.mark: dd 0
section .text

; Interrupt descriptors where no memory is.
bad_idt:
        lidt [.table]
        ud2
section .rodata
bad_idt.table: dw 0x7FF
               dd BEYOND
section .text

; A page table where no memory is, in use.
bad_table:
        call paging_on
        mov dword [page_dir + (NOWHERE >> 22) * 4], BEYOND + PTE_P + PTE_W
        mov eax, [NOWHERE]
        ret

; A program is interrupted, and the kernel's stack for that is not mapped; or it is where the VMM is.
; All of these have worked before, so that short ways have been learned.
gone_esp0:
        mov ebx, NOWHERE + 0x1000
        jmp bad_esp0
vmm_esp0:
        mov ebx, VMM + 0x1000
bad_esp0:
        call paging_on
        call program_init
        mov esi, PROGRAM
        mov ecx, 3
.learn: mov eax, program_read
        call program_run
        loop .learn
        mov [tss + 4], ebx
        mov eax, program_read
        jmp program_run

; Calls without end, and below the stack there is nothing.
overflow:
        call paging_on
        mov eax, stack_low
        shr eax, 12
        mov dword [page_tables + eax * 4], 0
        invlpg [stack_low]
.again: call .again

; The stack is where the VMM is: PUSH, PUSHF, INT.
vmm_push:
        call paging_on
        mov esp, VMM + 0x1000
        push eax
        ret
vmm_pushf:
        call paging_on
        mov ecx, 3
        mov edx, esp
.again: pushfd
        mov esp, edx
        loop .again
        mov edx, VMM + 0x1000
        mov esp, edx
        inc ecx
        jmp .again
vmm_int:
        call paging_on
        mov byte [idt + 0x40 * 8 + 5], 0xEE     ; with DPL 3 it has a short way
        mov ecx, 3
        mov edx, esp
        mov dword [trap_resume], .resumed
.again: int 0x40
.resumed:
        mov dword [trap_resume], .resumed
        mov esp, edx
        loop .again
        mov edx, VMM + 0x1000
        mov esp, edx
        inc ecx
        jmp .again
