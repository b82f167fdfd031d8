; Gates, programs that come in and are returned to, and what changes when all of it has been met
; already: a gate, a table, a stack of the TSS.
%define PASSES 3
%define PROGRAM_WATCH
%include "common.inc"
%include "paging.inc"
%include "program.inc"
%include "spot.inc"
%include "turns.inc"

SEL_DATA2 equ SEL_TEST + 16     ; flat too
SEL_CODE2 equ SEL_TEST + 24
SEL_TSS3 equ SEL_TEST + 32
VMM_STACK equ 0xF0301000        ; in software modes the VMM's

section .bss nobits
alignb 4096
idt2:     resb IDT_GATES * 8
alignb 4096
other_dir: resb 4096
seen_cs:  resd 1

section .text
guest_main:
        part paging_on
        part program_init
        part handlers
        part programs
        part gates
        part tables
        part returns
        ret

; --- gates, seen from the kernel ---

; A gate that programs may use; those that they may not use need not have a short way.
%macro open_gate 2 ; vector, access byte
        mov byte [idt + %1 * 8 + 5], %2
%endmacro

; Gates 0x50 (interrupt) and 0x51 (trap) with all flags set: what the handler starts with, what lies
; on the stack, and what there is behind the IRET.
HANDLER_MASK equ FL_IF | FL_TF | FL_NT | FL_IOPL | FL_AC | FL_ID
HANDLER_IMAGE equ FL_IF | FL_IOPL | FL_NT | FL_AC | FL_ID | FL_CF | 2

%macro through_gate 4 ; names of two checks, vector, flags in the handler
        mov ebx, TURNS
%%next: push dword HANDLER_IMAGE
        popfd
        try
        int %3
        tried
        pushfd
        pop ecx
        cmp eax, %3 << 16
        jne %%end
        mov eax, [trap_inside]
        and eax, HANDLER_MASK
        cmp eax, %4
        jne %%end
        mov eax, [trap_eflags]
        cmp eax, HANDLER_IMAGE
        wrong_unless_equal %%end
        dec ebx
        jnz %%next
%%end:  popf_back
        check %1, RIGHT
        mov eax, ecx
        and eax, HANDLER_MASK
        check %2, HANDLER_IMAGE & HANDLER_MASK
%endmacro

handlers:
        open_gate 0x50, 0xEE
        open_gate 0x51, 0xEF
        through_gate "gate.interrupt", "gate.interrupt-back", 0x50, FL_IOPL | FL_AC | FL_ID
        through_gate "gate.trap", "gate.trap-back", 0x51, FL_IF | FL_IOPL | FL_AC | FL_ID
        ; An exception: the same, and EIP is the instruction's own.
        mov ebx, TURNS
.next:  push dword FL_IF | FL_NT | FL_CF | 2
        popfd
        mov ecx, esp
        try
.ud2:   ud2
        tried
        mov eax, [trap_inside]
        and eax, HANDLER_MASK
        jnz .end
        mov eax, [trap_eflags]
        and eax, ~FL_RF
        cmp eax, FL_IF | FL_NT | FL_CF | 2
        jne .end
        mov eax, [trap_eip]
        cmp eax, .ud2
        jne .end
        mov eax, [trap_esp]
        cmp eax, ecx
        jne .end
        mov eax, [trap_cs]
        cmp eax, SEL_CODE
        wrong_unless_equal .end
        dec ebx
        jnz .next
.end:   popf_back
        check "gate.exception", RIGHT
        ret

; --- programs ---

; EAX = program, EBX = what must come of it, EDX = its saved EIP, from the program's first byte, ECX =
; the flags on the stack. TURNS times; returns EAX = RIGHT, or what was not right.
program_turns:
        mov [.program], eax
        mov dword [turn], TURNS
.next:  mov eax, [.program]
        call program_run
        cmp eax, ebx
        jne .end
        mov eax, [trap_eip]
        sub eax, PROGRAM - program_text
        sub eax, [.program]
        cmp eax, edx
        jne .end
        mov eax, [trap_eflags]
        and eax, ~FL_RF
        cmp eax, ecx
        jne .end
        mov eax, [trap_cs]
        cmp eax, SEL_USER_CODE
        jne .end
        mov eax, [program_ss]
        cmp eax, SEL_USER_DATA
        jne .end
        mov eax, [program_esp]
        cmp eax, PROGRAM_STACK
        jne .end
        mov eax, [program_handler_ss]
        cmp eax, SEL_DATA
        jne .end
        mov eax, [program_esp0]
        cmp eax, [tss + 4]
        jne .end
        mov eax, [program_inside]
        and eax, FL_IF | FL_NT | FL_TF
        jnz .end
        dec dword [turn]
        jnz .next
        mov eax, RIGHT
.end:   ret
section .bss
program_turns.program: resd 1
section .text

%macro program_check 5 ; name, program, what comes of it, EIP from its start, flags on the stack
        mov eax, %2
        mov ebx, %3
        mov edx, %4
        mov ecx, %5
        call program_turns
        check %1, RIGHT
%endmacro

; The flags of a program that has divided by ECX = 0 or compared nothing
USER_ON  equ FL_IF | 2

programs:
        mov esi, PROGRAM
        mov dword [program_flags], USER_ON | FL_CF
        program_check "program.int", program_read, NO_TRAP, 4, USER_ON | FL_CF
        program_check "program.undefined", program_undefined, VEC_UD << 16, 0, USER_ON | FL_CF
        mov ecx, TURNS                  ; open to the kernel
.kernel:
        try
        int 0x40
        tried
        loop .kernel
        program_check "program.closed-gate", program_int, VEC_GP << 16 | 0x40 * 8 + 2, 0, USER_ON | FL_CF
        mov dword [program_flags], USER_ON
        mov esi, NOWHERE
        program_check "program.page-fault", program_read, VEC_PF << 16 | 4, 0, USER_ON
        mov eax, [trap_cr2]
        check "program.cr2", NOWHERE
        call fresh                      ; the stack in the kernel is in no TLB: CR2 is the program's
        mov dword [tss + 4], SPOT + FRAME + 0x800
        mov ecx, TURNS
.cold:  invlpg [SPOT + FRAME]
        mov eax, program_read
        call program_run
        cmp eax, VEC_PF << 16 | 4
        jne .cold_end
        mov eax, [trap_cr2]
        cmp eax, NOWHERE
        jne .cold_end
        dec ecx
        jnz .cold
.cold_end:
        mov dword [tss + 4], kernel_stack_top
        check "program.cold-stack", NOWHERE
        program_check "program.divide", program_divide, 0, 2, FL_IF | 0x44 | 2
        ; IOPL decides about ports and CLI.
        mov esi, PROGRAM
        program_check "program.cli", program_cli, VEC_GP << 16, 0, USER_ON
        program_check "program.in", program_in, VEC_GP << 16, 0, USER_ON
        mov dword [program_flags], USER_ON | FL_IOPL
        program_check "program.cli-iopl", program_cli, NO_TRAP, 3, FL_IOPL | 2
        program_check "program.in-iopl", program_in, NO_TRAP, 4, USER_ON | FL_IOPL
        program_check "program.int-iopl", program_read, NO_TRAP, 4, USER_ON | FL_IOPL
        mov dword [program_flags], USER_ON
        program_check "program.cli-again", program_cli, VEC_GP << 16, 0, USER_ON
        program_check "program.int-again", program_read, NO_TRAP, 4, USER_ON
        mov dword [program_flags], 2
        program_check "program.quiet", program_read, NO_TRAP, 4, 2
        mov dword [program_flags], USER_ON
        ; POPF of a program does not reach IF and IOPL; it does reach the others.
        mov edi, FL_IOPL | FL_NT | FL_AC | FL_ID | FL_ARITHMETIC | 2
        mov eax, program_popf
        call program_run
        mov eax, [trap_eflags]
        check "program.popf", FL_IF | FL_NT | FL_AC | FL_ID | FL_ARITHMETIC | 2
        ; One step of it.
        mov dword [program_flags], USER_ON | FL_TF
        program_check "program.step", program_read, VEC_DB << 16, 2, USER_ON | FL_TF
        mov dword [program_flags], USER_ON
        program_check "program.no-step", program_read, NO_TRAP, 4, USER_ON
        ; The kernel's data segments are closed to it, its own are kept.
        mov edi, SEL_DATA
        mov eax, program_load_ds
        call program_run
        check "program.kernel-data", VEC_GP << 16 | SEL_DATA
        mov edi, SEL_USER_DATA
        mov eax, program_load_ds
        call program_run
        check "program.own-data", NO_TRAP

        ; Its own stack comes to its end, at the page that holds its code; or is nowhere.
        mov dword [turn], TURNS
.overflow:
        mov eax, program_recurse
        call program_run
        cmp eax, VEC_PF << 16 | 7
        jne .overflow_end
        mov eax, [trap_cr2]
        cmp eax, PROGRAM + 0xFFC
        jne .overflow_end
        mov eax, [program_esp]
        cmp eax, PROGRAM + 0x1000
        jne .overflow_end
        mov eax, [trap_eip]
        cmp eax, PROGRAM + program_recurse - program_text
        wrong_unless_equal .overflow_end
        dec dword [turn]
        jnz .overflow
.overflow_end:
        check "program.overflow", RIGHT
        mov dword [turn], TURNS
        mov esi, VMM_STACK
.wild:  mov eax, program_move_stack
        call program_run
        cmp eax, NO_TRAP
        jne .wild_end
        mov eax, [program_esp]
        cmp eax, esi
        wrong_unless_equal .wild_end
        dec dword [turn]
        jnz .wild
.wild_end:
        check "program.wild-stack", RIGHT
        mov esi, PROGRAM

        ; Its stack in the kernel: the TSS says where, at each entry anew.
        mov edi, gdt + SEL_DATA2
        xor eax, eax
        mov ecx, 0xFFFFF
        mov edx, 0xC093
        call put_descriptor
        program_check "program.before", program_read, NO_TRAP, 4, USER_ON
        mov dword [tss + 4], kernel_stack_top - 512
        program_check "program.esp0", program_read, NO_TRAP, 4, USER_ON
        mov dword [tss + 8], SEL_DATA2
        mov eax, program_read
        call program_run
        mov eax, [program_handler_ss]
        check "program.ss0", SEL_DATA2
        mov dword [tss + 8], SEL_DATA
        program_check "program.ss0-back", program_read, NO_TRAP, 4, USER_ON
        mov dword [tss + 4], kernel_stack_top
        ret

; --- gates that change ---

; INT 0x52, TURNS times: EAX = what came of it, the last time
int_52: mov ecx, TURNS
.next:  try
        int 0x52
        tried
        loop .next
        ret

seen_cs_handler:
        push eax
        mov eax, cs
        mov [seen_cs], eax
        pop eax
        iretd

; The same for the handler above: EAX = CS in it
int_52_cs:
        mov ecx, TURNS
.next:  mov dword [seen_cs], 0
        int 0x52
        loop .next
        mov eax, [seen_cs]
        ret

gates:  mov eax, [stub_table + 0x52 * 4]
        mov ecx, 0x52
        mov dl, 0xEE
        call put_gate
        call int_52
        check "gate.before", 0x52 << 16
        mov eax, [stub_table + 0x53 * 4]
        mov ecx, 0x52
        mov dl, 0xEE
        call put_gate
        call int_52
        check "gate.changed", 0x53 << 16
        and byte [idt + 0x52 * 8 + 5], 0x7F
        call int_52
        check "gate.not-present", VEC_NP << 16 | 0x52 * 8 + 2
        or byte [idt + 0x52 * 8 + 5], 0x80
        mov byte [idt + 0x52 * 8 + 2], 0
        call int_52
        check "gate.null", VEC_GP << 16
        ; Other code segments
        mov edi, gdt + SEL_CODE2
        xor eax, eax
        mov ecx, 0xFFFFF
        mov edx, 0xC09B
        call put_descriptor
        mov eax, seen_cs_handler
        mov ecx, 0x52
        mov dl, 0xEE
        call put_gate
        call int_52_cs
        check "gate.code", SEL_CODE
        mov byte [idt + 0x52 * 8 + 2], SEL_CODE2
        call int_52_cs
        check "gate.other-code", SEL_CODE2
        mov byte [idt + 0x52 * 8 + 2], SEL_CODE
        call int_52_cs
        check "gate.code-back", SEL_CODE
        ; The gate that programs use: closed, then open again.
        mov esi, PROGRAM
        mov eax, program_read
        call program_run
        open_gate VEC_DONE, 0x8E
        mov eax, program_read
        call program_run
        check "gate.closed", VEC_GP << 16 | VEC_DONE * 8 + 2
        open_gate VEC_DONE, 0xEE
        mov eax, program_read
        call program_run
        check "gate.open", NO_TRAP
        ret

; --- tables that move ---

; Two IDTs, the same but for 0x54.
two_idts:
        mov esi, idt
        mov ecx, IDT_GATES * 2
        push edi
        rep movsd
        pop edi
        mov eax, [idt + 0x55 * 8]
        mov [edi + 0x54 * 8], eax
        mov eax, [idt + 0x55 * 8 + 4]
        mov [edi + 0x54 * 8 + 4], eax
        ret

int_54: mov ecx, TURNS
.next:  try
        int 0x54
        tried
        loop .next
        ret

section .rodata
idt2r:  dw IDT_GATES * 8 - 1
        dd idt2
spot_idtr: dw IDT_GATES * 8 - 1
        dd SPOT
section .text

tables: call fresh
        open_gate 0x54, 0xEE
        open_gate 0x55, 0xEE
        mov edi, idt2
        call two_idts
        call int_54
        check "idt.first", 0x54 << 16
        lidt [idt2r]
        call int_54
        check "idt.second", 0x55 << 16
        lidt [idtr]
        call int_54
        check "idt.back", 0x54 << 16
        ; The same address, other memory: by INVLPG, and by CR3.
        mov esi, idt
        mov edi, frames
        mov ecx, IDT_GATES * 2
        rep movsd
        mov edi, frames + 3 * FRAME
        call two_idts
        lidt [spot_idtr]
        invlpg [SPOT]
        call int_54
        check "idt.mapped", 0x54 << 16
        point 0, frames + 3 * FRAME + PTE_P + PTE_W
        invlpg [SPOT]
        call int_54
        check "idt.remapped", 0x55 << 16
        point 0, frames + PTE_P + PTE_W
        call reload
        call int_54
        check "idt.remapped-cr3", 0x54 << 16
        mov ecx, TURNS                  ; its page is accessed by each interrupt
.mark:  and dword [spot_table], ~PTE_A
        invlpg [SPOT]
        try
        ud2
        tried
        mov eax, [spot_table]
        and eax, PTE_A
        loopnz .mark
        check "idt.accessed", PTE_A
        mov esi, page_dir
        mov edi, other_dir
        mov ecx, 1024
        rep movsd
        mov dword [spot_table2], frames + 3 * FRAME + PTE_P + PTE_W
        mov dword [other_dir + (SPOT >> 22) * 4], spot_table2 + PTE_P + PTE_W
        mov dword [turn], TURNS
.next:  mov eax, other_dir
        mov cr3, eax
        call int_54
        cmp eax, 0x55 << 16
        jne .end
        mov eax, page_dir
        mov cr3, eax
        call int_54
        cmp eax, 0x54 << 16
        wrong_unless_equal .end
        dec dword [turn]
        jnz .next
.end:   check "idt.spaces", RIGHT
        mov eax, page_dir
        mov cr3, eax
        lidt [idtr]

        ; A TSS on a page that becomes another.
        mov edi, gdt + SEL_TSS3
        mov eax, SPOT + FRAME
        mov ecx, 103
        mov edx, 0x89
        call put_descriptor
        mov eax, SEL_TSS3
        ltr ax
        mov dword [frames + FRAME + 4], kernel_stack_top - 256
        mov dword [frames + FRAME + 8], SEL_DATA
        mov dword [frames + 2 * FRAME + 4], kernel_stack_top - 768
        mov dword [frames + 2 * FRAME + 8], SEL_DATA
        mov dword [turn], TURNS
        mov esi, PROGRAM
.tss:   point 1, frames + FRAME + PTE_P + PTE_W
        invlpg [SPOT + FRAME]
        mov eax, program_read
        call program_run
        mov eax, [program_esp0]
        cmp eax, kernel_stack_top - 256
        jne .tss_end
        point 1, frames + 2 * FRAME + PTE_P + PTE_W
        invlpg [SPOT + FRAME]
        mov eax, program_read
        call program_run
        mov eax, [program_esp0]
        cmp eax, kernel_stack_top - 768
        wrong_unless_equal .tss_end
        dec dword [turn]
        jnz .tss
.tss_end:
        check "tss.remapped", RIGHT
        mov dword [turn], TURNS
.tss_mark:
        and dword [spot_table + 4], ~PTE_A
        invlpg [SPOT + FRAME]
        mov eax, program_read
        call program_run
        mov eax, [spot_table + 4]
        and eax, PTE_A
        cmp eax, PTE_A
        jne .tss_marked
        dec dword [turn]
        jnz .tss_mark
.tss_marked:
        check "tss.accessed", PTE_A
        and byte [gdt + SEL_TSS + 5], ~2        ; not busy
        mov eax, SEL_TSS
        ltr ax
        ret

; --- IRET ---

; An IRET with this frame; what comes of it, TURNS times. ESP must be where it was.
%macro bad_iret 7 ; name, what must come of it, EIP, CS, EFLAGS, ESP, SS
        mov ebx, TURNS
%%next: mov ecx, esp
        push dword %7
        push dword %6
        push dword %5
        push dword %4
        push dword %3
        try
        iretd
        tried
        mov edx, [trap_esp]
        add edx, 20
        sub edx, ecx
        add eax, edx
        mov esp, ecx
        cmp eax, %2
        jne %%end
        dec ebx
        jnz %%next
%%end:  check %1, %2
%endmacro

returns:
        bad_iret "iret.null", VEC_GP << 16, 0, 0, 2, 0, 0
        bad_iret "iret.data", VEC_GP << 16 | SEL_DATA, 0, SEL_DATA, 2, 0, 0
        bad_iret "iret.rpl", VEC_GP << 16 | SEL_CODE, 0, SEL_CODE | 3, FL_IF | 2, PROGRAM_STACK, SEL_USER_DATA
        bad_iret "iret.stack", VEC_GP << 16 | SEL_DATA, PROGRAM, SEL_USER_CODE, FL_IF | 2, PROGRAM_STACK, SEL_DATA
        bad_iret "iret.null-stack", VEC_GP << 16, PROGRAM, SEL_USER_CODE, FL_IF | 2, PROGRAM_STACK, 0

        ; The segments of programs go, when programs have run, and come back.
        mov esi, PROGRAM
        call program_runs
        and byte [gdt + (SEL_USER_CODE & ~7) + 5], 0x7F
        bad_iret "iret.gone-code", VEC_NP << 16 | (SEL_USER_CODE & ~3), PROGRAM, SEL_USER_CODE, FL_IF | 2, PROGRAM_STACK, SEL_USER_DATA
        or byte [gdt + (SEL_USER_CODE & ~7) + 5], 0x80
        call program_runs
        check "iret.code-back", NO_TRAP
        and byte [gdt + (SEL_USER_DATA & ~7) + 5], ~2   ; read-only
        bad_iret "iret.gone-stack", VEC_GP << 16 | (SEL_USER_DATA & ~3), PROGRAM, SEL_USER_CODE, FL_IF | 2, PROGRAM_STACK, SEL_USER_DATA
        or byte [gdt + (SEL_USER_DATA & ~7) + 5], 2
        call program_runs
        check "iret.stack-back", NO_TRAP
        ret

; A program, TURNS times. Returns EAX as program_run, the last time.
program_runs:
        mov ecx, TURNS
.next:  mov eax, program_read
        call program_run
        loop .next
        ret
