; What one exit costs: each operation that a mode may have to intercept, many times in a row, in
; ticks. Run on the bare machine and in a mode; the difference is the mode's round trip.
;
; One line an operation: "exit name=NAME n=N ticks=T.D". T.D is the median over BATCHES of the ticks
; of N operations, less those of the same loop with the row's baseline in it. What an operation
; needs to be set up (the push before a POPF, the handler of an exception) is in the figure, on the
; bare machine too.
;
; The guest is the plainest there is: flat segments, one code and one data segment a level, GDT, IDT
; and TSS on pages of their own, interrupts enabled and none coming.
%include "common.inc"
%include "paging.inc"

BATCHES equ 7

SEL_USER_CODE equ 0x20 | 3
SEL_USER_DATA equ 0x28 | 3
VEC_DE      equ 0
VEC_SYSCALL equ 0x80
VEC_RETURN  equ 0x81            ; from a program's loop to the kernel

PTE_U equ 4
PTE_READY equ PTE_P | PTE_W | PTE_U | PTE_A | PTE_D

; Fresh pages, 4 MB for each row that wants to be the first to touch one; all of them lie on the
; same 4 MB of memory.
AREAS       equ 6
AREA        equ 0x80000000
AREA_FRAMES equ 0x1000000
AREA_PAGES  equ 1024

MSR_TSC equ 0x10
MSR_SYSENTER_CS equ 0x174
PORT_POST  equ 0x80             ; the VMM knows it and does nothing: no device's model has a part in it
PORT_PIC   equ 0x21             ; the mask register
PORT_GATE  equ 0x92             ; has a state of a few bits
PORT_NONE  equ 0xEE             ; nobody's
FLAGS_ON   equ FL_IF | 2

; --- the rows ---

struc row
.name:      resd 1
.run:       resd 1
.baseline:  resd 1
.n:         resd 1              ; turns of the loop in a batch
.units:     resd 1              ; operations a turn
.area:      resd 1
.on_fault:  resd 1              ; what the page-fault handler does
.user:      resd 1              ; 1: run and baseline are a program's; 2: and nobody has touched
                                ; the kernel's stack since the TLB forgot it
endstruc

section .rodata align=4
rows:
; name, run, baseline, n, operations a turn, area, page-fault handler, user
%macro add_row 2-8 empty, 400, 1, 0, fault_fill, 0
        [section .strings]
%%name: db %1, 0
        __?SECT?__
        dd %%name, %2, %3, %4, %5, %6, %7, %8
%endmacro
%macro add_user_row 2-7 user_empty, 400, 1, 0, fault_fill
        add_row %1, %2, %3, %4, %5, %6, %7, 1
%endmacro
%macro add_cold_row 2
        add_row %1, %2, user_empty, 400, 1, 0, fault_fill, 2
%endmacro
section .strings progbits alloc noexec nowrite
section .rodata
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
        add_row "rdmsr-tsc", op_rdmsr_tsc
        add_row "rdmsr-sysenter", op_rdmsr
        add_row "wrmsr-sysenter", op_wrmsr
        add_row "in-nobody", op_in_none
        add_row "in-80", op_in_post
        add_row "in-80-dx", op_in_post_dx
        add_row "out-80", op_out_post
        add_row "out-80-dx", op_out_post_dx
        add_row "in-92", op_in_gate
        add_row "in-21", op_in_pic
        add_row "out-21", op_out_pic, empty_out_pic
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
        add_row "cpuid", op_cpuid
        add_user_row "cpuid-user", user_cpuid
        add_row "mov-to-ds", op_to_ds
        add_row "sgdt", op_sgdt
        add_row "str", op_str
        add_row "lgdt", op_lgdt
        add_row "lidt", op_lidt
        dd 0

; --- what is measured ---
;
; At the start of a loop ESI = turns, EDI = page of the row's area, EBX = its table entry, EDX = what
; the entry shall be. The loops and the handlers keep apart modulo 512, so that no direct-mapped
; table of a VMM makes two of them share an entry.

section .text
%macro op_begin 1
        align 512
        times 256 nop
%1:
.turn:
%endmacro
%macro op_end 0
        dec esi
        jnz .turn
        ret
%endmacro
%macro user_end 0
        dec esi
        jnz .turn
        int VEC_RETURN
%endmacro

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
%macro op_begin_after 2+
        align 512
        times 256 nop
%1:
        %2
.turn:
%endmacro
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
        xor eax, eax
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

; Arithmetic, the stack, branches and calls: what nobody should have to intercept.
%macro compute 0
        push eax
        imul eax, eax, 1664525
        add eax, 1013904223
        xor [esp], eax
        pop edx
        call .leaf
        test edx, 1
        jz .even
        not edx
.even:  add eax, edx
%endmacro
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

; --- the guest kernel's handlers ---

align 512
on_syscall:
        iretd
skip_two:                       ; UD2 and DIV ECX have two bytes
        add dword [esp], 2
        iretd
on_fault:
        jmp [on_fault_does]
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
on_return:
        mov eax, SEL_DATA
        mov ds, eax
        mov es, eax
        mov fs, eax
        mov gs, eax
        mov esp, [kernel_esp]
        ret

; --- how it is measured ---

section .bss nobits
alignb 4096
user_stack:     resb 4096
user_stack_top:
bench_tss:      resb 4096
bench_idt:      resb 4096
area_tables:    resb 4096 * AREAS
trap_stack:     resb 4096
trap_stack_top:
kernel_esp:     resd 1
on_fault_does:  resd 1
batch:          resd 1
samples:        resd BATCHES
scratch:        resd 2
stack_cold:     resb 1
alignb 4096

section .data align=4096
bench_gdt:
        dq 0
        dq 0x00CF9B000000FFFF
        dq 0x00CF93000000FFFF
        dq 0                    ; TSS
        dq 0x00CFFB000000FFFF
        dq 0x00CFF3000000FFFF
BENCH_GDT_LIMIT equ $ - bench_gdt - 1
        align 4096, db 0
bench_gdtr:
        dw BENCH_GDT_LIMIT
        dd bench_gdt
bench_idtr:
        dw IDT_GATES * 8 - 1
        dd bench_idt

section .rodata
text_exit:  db "exit name=", 0
text_n:     db " n=", 0
text_ticks: db " ticks=", 0
text_point: db ".", 0

section .text
guest_main:
        call own_tables
        call map_all
        sti
        mov ebp, rows
.row:   cmp dword [ebp + row.name], 0
        je .end
        call measure
        call print_row
        add ebp, row_size
        jmp .row
.end:   cli
        ret

own_tables:
%macro gate 3 ; vector, handler, access byte
        mov ecx, %1
        mov eax, %2
        mov dl, %3
        call put_gate
%endmacro
        gate VEC_DE, skip_two, 0x8E
        gate VEC_UD, skip_two, 0x8E
        gate VEC_PF, on_fault, 0x8E
        gate VEC_SYSCALL, on_syscall, 0xEF
        gate VEC_RETURN, on_return, 0xEF
        mov esi, idt
        mov edi, bench_idt
        mov ecx, IDT_GATES * 2
        rep movsd
        mov edi, bench_gdt + SEL_TSS
        mov eax, bench_tss
        mov ecx, 103
        mov edx, 0x89
        call put_descriptor
        mov dword [bench_tss + 4], trap_stack_top
        mov dword [bench_tss + 8], SEL_DATA
        mov word [bench_tss + 102], 104
        lgdt [bench_gdtr]
        lidt [bench_idtr]
        xor eax, eax
        lldt ax
        mov eax, SEL_TSS
        ltr ax
        ret

; All entries get their A and D bits now, so that nobody has to set them later.
map_all:
        call paging_on
        mov ecx, 1024 * RAM_TABLES
.ram:   or dword [page_tables + ecx * 4 - 4], PTE_A | PTE_D
        loop .ram
        mov eax, user_text
        mov ecx, (user_text_end - user_text) / 4096
        call open_pages
        mov eax, user_stack
        mov ecx, 1
        call open_pages
        mov ecx, RAM_TABLES
.dir:   or dword [page_dir + ecx * 4 - 4], PTE_U | PTE_A
        loop .dir
        mov eax, area_tables
        or eax, PTE_P | PTE_W | PTE_U | PTE_A
        xor ecx, ecx
.area:  mov [page_dir + (AREA >> 22) * 4 + ecx * 4], eax
        add eax, 4096
        inc ecx
        cmp ecx, AREAS
        jne .area
        xor ecx, ecx            ; the first three are there, the others come by page faults
        mov eax, AREA_FRAMES | PTE_READY
.page:  mov [area_tables + ecx * 4], eax
        mov [area_tables + 4096 + ecx * 4], eax
        mov [area_tables + 8192 + ecx * 4], eax
        add eax, 4096
        inc ecx
        cmp ecx, AREA_PAGES
        jne .page
        mov eax, cr3
        mov cr3, eax
        ret

; EAX = address, ECX = pages
open_pages:
        shr eax, 12
.page:  or dword [page_tables + eax * 4], PTE_U
        inc eax
        loop .page
        ret

; EBP = row. Leaves the samples sorted. The first batches are long, as a mode learns.
measure:
        mov eax, [ebp + row.on_fault]
        mov [on_fault_does], eax
        cmp dword [ebp + row.user], 2
        sete [stack_cold]
        mov dword [batch], 0
.batch: mov edx, [ebp + row.baseline]
        call time
        push eax
        mov edx, [ebp + row.run]
        call time
        pop edx
        sub eax, edx
        xor ecx, ecx            ; insert it
.look:  cmp ecx, [batch]
        je .place
        cmp eax, [samples + ecx * 4]
        jge .on
        xchg eax, [samples + ecx * 4]
.on:    inc ecx
        jmp .look
.place: mov [samples + ecx * 4], eax
        inc dword [batch]
        cmp dword [batch], BATCHES
        jne .batch
        ret

; EDX = loop, EBP = row. Returns EAX = ticks of the row's turns.
time:
        push ebp
        mov ecx, edx            ; the loop
        mov esi, [ebp + row.n]
        mov edi, [batch]        ; each batch has pages of its own
        imul edi, esi
        mov edx, edi
        shl edx, 12
        add edx, AREA_FRAMES | PTE_READY
        mov eax, [ebp + row.area]
        shl eax, 10
        add edi, eax
        lea ebx, [area_tables + edi * 4]
        shl edi, 12
        add edi, AREA
        mov eax, [ebp + row.area]
        shl eax, 12
        cmp dword [ebp + row.user], 0
        lea ebp, [area_tables + eax]
        jne .user
        mov ebp, SEL_DATA
        push edx
        rdtsc
        pop edx
        push eax
        call ecx
        jmp .end
.user:  push edx
        rdtsc
        pop edx
        push eax
        call run_program
.end:   rdtsc
        pop edx
        sub eax, edx
        pop ebp
        ret

; ECX = loop in user_text. Its VEC_RETURN comes back to the caller.
run_program:
        mov eax, SEL_USER_DATA
        mov ds, eax
        mov es, eax
        mov fs, eax
        mov gs, eax
        mov [kernel_esp], esp
        cmp byte [stack_cold], 0
        jne .cold
        mov [trap_stack_top - 4], ecx   ; a handler that is only IRET never touches its stack
        jmp .go
.cold:  invlpg [trap_stack]
.go:
        push dword SEL_USER_DATA
        push dword user_stack_top
        push dword FLAGS_ON
        push dword SEL_USER_CODE
        push ecx
        iretd

; EBP = row
print_row:
        mov esi, text_exit
        call put_string
        mov esi, [ebp + row.name]
        call put_string
        mov esi, text_n
        call put_string
        mov eax, [ebp + row.n]
        imul eax, [ebp + row.units]
        mov ecx, eax
        call put_decimal
        mov esi, text_ticks
        call put_string
        mov eax, [samples + BATCHES / 2 * 4]
        test eax, eax
        jns .ticks
        xor eax, eax
.ticks: mov edx, 20             ; tenths, rounded
        mul edx
        add eax, ecx
        adc edx, 0
        add ecx, ecx
        div ecx
        xor edx, edx
        mov ecx, 10
        div ecx
        call put_decimal
        mov esi, text_point
        call put_string
        mov eax, edx
        call put_decimal
        mov esi, text_line
        call put_string
        ret
