; What a kernel does all the time: flags, interrupts that wait for them, ports, control registers,
; MSRs, in instructions that have been met already and then are other ones.
%define PASSES 3
%include "common.inc"
%include "paging.inc"
%include "program.inc"
%include "spot.inc"
%include "turns.inc"

PIC_VECTOR equ 0x20
MSR_SYSENTER_CS equ 0x174

section .bss nobits
alignb 4
irq_eip:  resd 1                ; of the last timer interrupt; 0: none came
irq_vector: resd 1
storms:   resd 1                ; interrupts of a storm
others:   resd 1                ; other events during a storm
kept:     resd 8                ; EAX ECX EDX EBX ESI EDI EBP after an operation, and AH of LAHF

section .text
guest_main:
        part paging_on
        part program_init
        part flags
        part waiting
        part controllers
        part storm
        part registers
        part values
        part sites
        ret

; --- flags ---

section .rodata
images: dd 2, FL_IF | 2, FL_IOPL | 2, FL_IF | FL_IOPL | 2, FL_ARITHMETIC | 2
        dd FL_IF | 0x1000 | FL_ARITHMETIC | 2, FL_NT | 2, FL_AC | FL_IF | 2, FL_ID | 2
        dd FL_DF | FL_IOPL | 2, FL_IF | FL_IOPL | FL_NT | FL_AC | FL_ID | FL_ARITHMETIC | 2
IMAGES equ ($ - images) / 4

section .text
flags:  xor ebx, ebx
.next:  push dword [images + ebx * 4]
        popfd
        pushfd
        pop eax
        cld
        cmp eax, [images + ebx * 4]
        wrong_unless_equal .popf_end
        inc ebx
        cmp ebx, IMAGES
        jne .next
.popf_end:
        popf_back
        check "flags.pushf", RIGHT
        xor ebx, ebx
.real:  push dword [images + ebx * 4]
        popfd
        real_flags
        cld
        and eax, ~FL_RF
        cmp eax, [images + ebx * 4]
        wrong_unless_equal .real_end
        inc ebx
        cmp ebx, IMAGES
        jne .real
.real_end:
        popf_back
        check "flags.popf", RIGHT
        xor ebx, ebx
.iret:  popf_back
        push dword [images + ebx * 4]
        push dword SEL_CODE
        push dword .iret_to
        iretd
.iret_to:
        pushfd
        pop eax
        cld
        cmp eax, [images + ebx * 4]
        wrong_unless_equal .iret_end
        inc ebx
        cmp ebx, IMAGES
        jne .iret
.iret_end:
        popf_back
        check "flags.iret", RIGHT

        mov ebx, TURNS
        push dword FL_IOPL | 2
        popfd
.cli:   sti
        pushfd
        pop eax
        and eax, FL_IF | FL_IOPL
        cmp eax, FL_IF | FL_IOPL
        jne .cli_end
        real_flags
        and eax, FL_IF | FL_IOPL
        cmp eax, FL_IF | FL_IOPL
        jne .cli_end
        cli
        pushfd
        pop eax
        and eax, FL_IF | FL_IOPL
        cmp eax, FL_IOPL
        jne .cli_end
        real_flags
        and eax, FL_IF | FL_IOPL
        cmp eax, FL_IOPL
        wrong_unless_equal .cli_end
        dec ebx
        jnz .cli
.cli_end:
        popf_back
        check "flags.cli-sti", RIGHT
        ret

; --- interrupts that wait ---

; Both PICs, all masked, at vectors from BL on
pics_at:
        mov al, 0x11
        out 0x20, al
        out 0xA0, al
        mov al, bl
        out 0x21, al
        add al, 8
        out 0xA1, al
        mov al, 4
        out 0x21, al
        mov al, 2
        out 0xA1, al
        mov al, 1
        out 0x21, al
        out 0xA1, al
        mov al, 0xFF
        out 0x21, al
        out 0xA1, al
        ret

; IF is clear, and the timer's request is there.
timer_waits:
        cli
        mov al, 0xFE
        out 0x21, al
        mov dword [irq_eip], 0
        mov al, 0x34                    ; channel 0, mode 2
        out 0x43, al
        mov al, 0
        out 0x40, al
        mov al, 1                       ; 0.2 ms
        out 0x40, al
        mov ecx, 10000000
.wait:  in al, 0x40                     ; in Bochs' SVM nothing else makes time pass
        mov al, 0x0A                    ; read the requests
        out 0x20, al
        in al, 0x20
        test al, 1
        loopz .wait
        ret

irq_hook:
        mov eax, [ebx + F_EIP]
        mov [irq_eip], eax
        mov eax, [ebx + F_VECTOR]
        mov [irq_vector], eax
        and dword [ebx + F_EFLAGS], ~FL_IF
        mov al, 0x20
        out 0x20, al
        ret

; The interrupt comes at once behind an instruction that sets IF, and behind STI one instruction
; later. QEMU and Bochs agree on that.
waiting:
        mov bl, PIC_VECTOR
        call pics_at
        mov dword [trap_hook], irq_hook
        mov dword [turn], TURNS
.next:  call timer_waits
        sti
        nop
.sti:   nop
        mov eax, [irq_eip]
        cmp eax, .sti
        jne .end
        call timer_waits
        sti
        cli
        nop
        mov eax, [irq_eip]
        test eax, eax
        jnz .end
        call timer_waits
        push dword FL_IF | 2
        popfd
.popf:  nop
        mov eax, [irq_eip]
        cmp eax, .popf
        jne .end
        call timer_waits
        push dword FL_IF | 2
        push dword SEL_CODE
        push dword .iret
        iretd
.iret:  nop
        mov eax, [irq_eip]
        cmp eax, .iret
        jne .end
        call timer_waits
        set_flags 2                     ; nothing comes while IF is clear
        pushfd
        popfd
        nop
        mov eax, [irq_eip]
        test eax, eax
        wrong_unless_equal .end
        dec dword [turn]
        jnz .next
.end:   mov dword [trap_hook], 0
        mov ecx, eax
        mov al, 0xFF
        out 0x21, al
        mov eax, ecx
        check "irq.kernel", RIGHT

        ; A program that is returned to: program_hook takes the interrupt for its end.
        mov dword [turn], TURNS
.program:
        call timer_waits
        mov esi, PROGRAM
        mov eax, program_read
        call program_run
        mov ecx, eax
        mov al, 0xFF                    ; the next one may be waiting, and IF may be set
        out 0x21, al
        mov al, 0x20
        out 0x20, al
        mov eax, ecx
        cmp eax, PIC_VECTOR << 16
        jne .program_end
        mov eax, [trap_eip]
        cmp eax, PROGRAM + program_read - program_text
        wrong_unless_equal .program_end
        dec dword [turn]
        jnz .program
.program_end:
        push eax
        mov al, 0x30                    ; the timer stands still
        out 0x43, al
        pop eax
        check "irq.program", RIGHT
        ret

; --- PIC and PIT, programmed again and again ---

section .rodata
pic_bases: db 0x10, 0x28, 0x30, 0x68, 0xE8, PIC_VECTOR  ; also where exceptions are
PIC_BASES equ $ - pic_bases
section .text

; IF on for a while: 800000 instructions, the least that is 800 microseconds
a_while:
        sti
        mov ecx, 64
.next:  mov edx, 6250
.wait:  dec edx
        jnz .wait
        loop .next
        cli
        ret

storm_gate:
        mov eax, storm_irq
        mov ecx, PIC_VECTOR
        mov dl, 0x8E
        jmp put_gate
stub_gate:
        mov eax, [stub_table + PIC_VECTOR * 4]
        mov ecx, PIC_VECTOR
        mov dl, 0x8E
        jmp put_gate

; An interrupt of the storm; the last one masks them.
storm_irq:
        push eax
        inc dword [storms]
        cmp dword [storms], STORM
        jb .more
        mov al, 0xFF
        out 0x21, al
.more:  mov al, 0x20
        out 0x20, al
        pop eax
        iretd

; The timer in mode AH: 0x30 once, 0x34 or 0x36 again and again; each 168 microseconds. What waited
; before is gone.
timer_mode:
        mov dword [storms], 0
        mov al, 0x30
        out 0x43, al
        mov al, 0xFE
        out 0x21, al
        sti
        nop
        nop
        cli
        mov dword [storms], 0
        mov al, ah
        out 0x43, al
        mov al, 200
        out 0x40, al
        mov al, 0
        out 0x40, al
        ret

controllers:
        mov dword [trap_hook], irq_hook
        xor ebp, ebp
.base:  mov bl, [pic_bases + ebp]
        call pics_at
        mov dword [irq_vector], 0
        call timer_waits
        sti
        nop
        nop
        cli
        mov al, 0xFF
        out 0x21, al
        movzx eax, byte [pic_bases + ebp]
        sub eax, [irq_vector]
        jnz .base_end
        inc ebp
        cmp ebp, PIC_BASES
        jne .base
.base_end:
        mov dword [trap_hook], 0
        check "pic.bases", 0

        call storm_gate
        mov dword [turn], TURNS
.mode:  mov ah, 0x34
        call timer_mode
        call a_while
        mov eax, [storms]
        cmp eax, 3
        jb .mode_end
        mov ah, 0x30
        call timer_mode
        call a_while
        mov eax, [storms]
        cmp eax, 1
        jne .mode_end
        mov ah, 0x36
        call timer_mode
        call a_while
        mov eax, [storms]
        cmp eax, 3
        jb .mode_end
        mov eax, RIGHT
        dec dword [turn]
        jnz .mode
.mode_end:
        push eax
        mov ah, 0x30
        call timer_mode
        mov al, 0xFF
        out 0x21, al
        call stub_gate
        pop eax
        check "pit.modes", RIGHT
        ret

; --- storms of interrupts ---

STORM       equ 60              ; interrupts
STORM_COUNT equ 20000           ; turns of a program

; EBX = frame. INT 0x42 and UD2
storm_hook:
        inc dword [others]
        cmp dword [ebx + F_VECTOR], VEC_UD
        jne .end
        add dword [ebx + F_EIP], 2
.end:   ret

storm:  call storm_gate
        mov ah, 0x34
        call timer_mode
        mov dword [trap_hook], storm_hook
        mov dword [others], 0
        xor esi, esi
        mov ecx, 0x21324354
        mov edi, 0x65768798
        sti
.next:  inc esi
        pushfd
        pop edx
        test edx, FL_IF
        jz .end
        cli
        lea ebx, [esi + edi]
        lea ebp, [esi + ecx]
        sti
        ud2
        int 0x42
        mov eax, cr0
        push edx
        popfd
        sub ebx, ebp
        cmp ebx, 0x65768798 - 0x21324354
        jne .end
        cmp dword [storms], STORM
        jb .next
.end:   cli
        mov dword [trap_hook], 0
        mov eax, [storms]
        check "storm.kernel", STORM
        lea eax, [esi * 2]
        sub eax, [others]
        check "storm.others", 0
        mov ah, 0x34
        call timer_mode
.program:
        mov edi, STORM_COUNT
        mov eax, program_count
        call program_run
        cmp eax, NO_TRAP
        jne .program_end
        mov eax, [program_eax]
        cmp eax, STORM_COUNT
        jne .program_end
        cmp dword [storms], STORM
        jb .program
        mov eax, [storms]
.program_end:
        check "storm.program", STORM
        mov ah, 0x30
        call timer_mode
        mov al, 0xFF
        out 0x21, al
        jmp stub_gate

; --- registers that must be kept ---

KEEP_EAX equ 0x1A2AD54A         ; AH: all arithmetic flags
KEEP_ECX equ MSR_SYSENTER_CS
KEEP_EDX equ 0x80
KEEP_ESI equ 0x5A5B5C5D
KEEP_EDI equ 0x6A6B6C6D
KEEP_EBP equ 0x7A7B7C7D

; The rest of the line is an instruction (or more, with semicolons in a macro); EAX and EDX may
; change in the bits that are clear in the masks.
%macro keeps 4+ ; name, mask of EAX, mask of EDX, instruction
        mov dword [turn], TURNS
%%next: mov eax, KEEP_EAX
        mov ecx, KEEP_ECX
        mov edx, KEEP_EDX
        mov ebx, page_dir
        mov esi, KEEP_ESI
        mov edi, KEEP_EDI
        mov ebp, KEEP_EBP
        sahf
        %4
        call keep_all
        and dword [kept], %2
        and dword [kept + 8], %3
        push dword KEEP_EAX & %2
        push dword KEEP_EDX & %3
        call kept_right
        add esp, 8
        cmp eax, RIGHT
        jne %%end
        dec dword [turn]
        jnz %%next
%%end:  check %1, RIGHT
%endmacro

keep_all:
        mov [kept], eax
        mov [kept + 4], ecx
        mov [kept + 8], edx
        mov [kept + 12], ebx
        mov [kept + 16], esi
        mov [kept + 20], edi
        mov [kept + 24], ebp
        lahf
        mov [kept + 28], eax
        ret

; Returns EAX = RIGHT, or the first register that is not as it was.
kept_right:
        mov eax, [kept]
        cmp eax, [esp + 8]
        jne .end
        mov eax, [kept + 8]
        cmp eax, [esp + 4]
        jne .end
        mov eax, [kept + 4]
        cmp eax, KEEP_ECX
        jne .end
        mov eax, [kept + 12]
        cmp eax, page_dir
        jne .end
        mov eax, [kept + 16]
        cmp eax, KEEP_ESI
        jne .end
        mov eax, [kept + 20]
        cmp eax, KEEP_EDI
        jne .end
        mov eax, [kept + 24]
        cmp eax, KEEP_EBP
        jne .end
        mov eax, [kept + 28]
        and eax, 0xFF00
        cmp eax, 0xD700                 ; bit 1 is always set
        wrong_unless_equal .end
.end:   ret

%macro push_pop_flags 0
        pushfd
        popfd
%endmacro
%macro int_and_back 0
        mov dword [trap_resume], %%on
        int 0x42
%%on:
%endmacro
%macro fault_and_back 0
        mov dword [trap_resume], %%on
        ud2
%%on:
%endmacro
%macro iret_here 0
        pushfd
        push dword SEL_CODE
        push dword %%on
        iretd
%%on:
%endmacro

ALL_OF equ -1
registers:
        keeps "keep.cli", ALL_OF, ALL_OF, cli
        keeps "keep.sti", ALL_OF, ALL_OF, sti
        keeps "keep.flags", ALL_OF, ALL_OF, push_pop_flags
        keeps "keep.int", ALL_OF, ALL_OF, int_and_back
        keeps "keep.exception", ALL_OF, ALL_OF, fault_and_back
        keeps "keep.iret", ALL_OF, ALL_OF, iret_here
        keeps "keep.in", 0xFFFFFF00, ALL_OF, in al, dx
        keeps "keep.in16", 0xFFFF0000, ALL_OF, in ax, dx
        keeps "keep.out", ALL_OF, ALL_OF, out dx, al
        keeps "keep.cr3", ALL_OF, ALL_OF, mov cr3, ebx
        keeps "keep.cr0", 0, ALL_OF, mov eax, cr0
        keeps "keep.rdmsr", 0, 0, rdmsr
        keeps "keep.wrmsr", ALL_OF, ALL_OF, wrmsr
        keeps "keep.invlpg", ALL_OF, ALL_OF, invlpg [NOWHERE]
        keeps "keep.push-cs", 0xFFFF0000, ALL_OF, mov ax, cs
        ret

; --- what is written is read ---

values: mov dword [turn], TURNS
.next:  mov ebp, [turn]
        lea esi, [ebp * 8 + ebp + 0x1234]
        mov cr2, esi
        mov edi, cr2
        mov eax, 1
        cmp edi, esi
        jne .end
        mov ecx, MSR_SYSENTER_CS + 1
        mov eax, esi
        mov edx, 0
        wrmsr
        inc ecx
        lea eax, [esi + 4]
        wrmsr
        dec ecx
        xor eax, eax
        rdmsr
        sub eax, esi
        mov edi, eax
        inc ecx
        rdmsr
        sub eax, 4
        sub eax, esi
        or edi, eax
        mov eax, 2
        test edi, edi
        jnz .end
        mov eax, ebp                    ; the mask of the second PIC
        or al, 0xA0
        out 0xA1, al
        xor eax, eax
        in al, 0xA1
        sub eax, 0xA0
        cmp eax, ebp
        mov al, 0xFF
        out 0xA1, al
        mov eax, 3
        jne .end
        mov ebx, esp
        mov esp, cr3                    ; ESP is a register like others
        mov ecx, esp
        mov esp, ebx
        mov eax, 4
        cmp ecx, page_dir
        wrong_unless_equal .end
        dec dword [turn]
        jnz .next
.end:   check "values", RIGHT
        ret

; --- instructions that have been met and change ---

; Code of 4 bytes at frames, three times; EAX = what it left there, of which EDX is of interest.
%macro site_is 3 ; code, mask, right
        mov dword [frames], %1
        mov ebx, frames
        mov edx, %2
        call site_runs
        cmp eax, %3
        jne .end
%endmacro
site_runs:
        mov ecx, 3
.next:  mov eax, 0x5A
        call ebx
        loop .next
        and eax, edx
        ret

CODE_MOV_CR2 equ 0xC3D0200F     ; mov eax, cr2; ret
CODE_MOV_CR0 equ 0xC3C0200F     ; mov eax, cr0; ret
CODE_CLI     equ 0xC3589CFA     ; cli; pushfd; pop eax; ret
CODE_STI     equ 0xC3589CFB
CODE_NOP     equ 0xC3589C90     ; nop; pushfd; pop eax; ret
CODE_IN      equ 0xC39021E4     ; in al, 0x21; nop; ret
CODE_MOV_CS  equ 0xC390C88C     ; mov eax, cs; nop; ret

sites:  call fresh
        mov eax, 0xAB
        mov cr2, eax
        mov edi, cr0
        mov dword [turn], TURNS
.next:  site_is CODE_MOV_CR2, -1, 0xAB
        site_is CODE_MOV_CR0, -1, edi
        site_is CODE_STI, FL_IF, FL_IF
        site_is CODE_NOP, FL_IF, FL_IF
        site_is CODE_CLI, FL_IF, 0
        site_is CODE_NOP, FL_IF, 0
        site_is CODE_IN, -1, 0xFF
        site_is CODE_MOV_CS, 0xFFFF, SEL_CODE
        dec dword [turn]
        jnz .next
        mov eax, RIGHT
.end:   check "sites.rewritten", RIGHT

        ; The same address, another page: by INVLPG and by CR3.
        mov dword [frames], CODE_CLI
        mov dword [frames + FRAME], CODE_STI
        mov dword [turn], TURNS
        mov edx, FL_IF
        mov ebx, SPOT
.again: point 0, frames + ALL + PTE_A
        invlpg [SPOT]
        call site_runs
        cmp eax, 0
        jne .mapped
        point 0, frames + FRAME + ALL + PTE_A
        invlpg [SPOT]
        call site_runs
        cmp eax, FL_IF
        jne .mapped
        point 0, frames + ALL + PTE_A
        call reload
        call site_runs
        cmp eax, 0
        wrong_unless_equal .mapped
        dec dword [turn]
        jnz .again
.mapped:
        check "sites.remapped", RIGHT
        ret
