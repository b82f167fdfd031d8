; What a VMM may have a short way for: each such instruction many times at one address, with operands
; that differ from turn to turn. The first time takes the slow way; a short way that does less, or
; more, than the machine fails in a later turn.
%include "common.inc"
%include "paging.inc"

SEL_UCODE  equ 0x30 | 3
SEL_UDATA  equ 0x38 | 3
SEL_DATA2  equ 0x40             ; like SEL_DATA
SEL_BASE1  equ 0x48             ; data at 4 KB
SEL_BASE2  equ 0x50             ; data at 8 KB

VEC_DE     equ 0
VEC_NM     equ 7
VEC_IRQ    equ 0x20             ; IRQ 0
VEC_CALL   equ 0x80             ; from anybody: on_call notes what it sees and returns
VEC_RETURN equ 0x81             ; from a program back to run_user's caller
VEC_EDIT   equ 0x82             ; its gate is edited
VEC_TRAP   equ 0x83             ; a trap gate

FL_CARRY equ 1
FL_DF equ 0x400
FL_RF equ 0x10000
FL_VM equ 0x20000
FL_AC equ 0x40000
FL_ID equ 0x200000

CR0_TS equ 8
CR4_TSD equ 4
PTE_U equ 4
PTE_LARGE equ 0x80
PTE_ALL equ PTE_P | PTE_W | PTE_U | PTE_A | PTE_D
FAR_IDT equ ALIAS + 0x300000    ; where paging moves an IDT
FAR_TSS equ ALIAS + 0x301000
ABSENT  equ ALIAS + 0x302000    ; no page; the one below is there

SHORT_TICKS equ 1000            ; more than any short way takes, less than any slow one

; Got EAX in this turn, expected the operand. Keeps all registers.
%macro expect 1
        push edx
        mov edx, %1
        call expect_line
        pop edx
%endmacro
; The check of all turns: how many values were expected, and seen.
%macro turns 2 ; name, count
        mov eax, [good]
        mov dword [good], 0
        check %1, %2
%endmacro

section .bss nobits
alignb 4096
second_dir:     resb 4096
edge:           resb 4096 * 3   ; a stack that begins and ends at page borders
user_stack:     resb 4096
stack0:         resb 4096       ; for TSS.ESP0
stack0_top:
stack1:         resb 4096
stack1_top:
idts:           resb 4096 * 2   ; two IDTs
tsses:          resb 4096 * 2
frames:         resb 4096 * 2   ; two pages with different contents
good:           resd 1
shown:          resd 1
kernel_esp:     resd 1
seen_count:     resd 1
seen_flags:     resd 1          ; EFLAGS in the handler
seen_esp:       resd 1          ; ESP in the handler: of the frame
seen_ss:        resd 1
seen_which:     resd 1
seen_cr2:       resd 1
return_esp:     resd 1          ; where the frame of VEC_RETURN ended
seen:           resd 6          ; [error] EIP CS EFLAGS ESP SS as pushed
user_regs:      resd 8          ; as PUSHAD leaves them: EDI first, EAX last
user_frame:     resd 5
user_sels:      resd 4          ; DS ES FS GS
regs_in:        resd 8
regs_out:       resd 8
fault_pte:      resd 1
step_eip:       resd 1
expected_cr0:   resd 1
expected_cr2:   resd 1
expected_cr3:   resd 1
expected_cr4:   resd 1
cpuid_seen:     resd 3
tick_start:     resd 1

section .rodata align=4
text_turn: db "  a turn: got", 0
limits:    db "limits", 0

; EFLAGS, all without TF: each bit alone, none, and all together.
flag_images:
        dd 0x2, 0x202, 0x3202, 0x1002, 0x2202, 0x40002, 0x200002, 0x402, 0x4002, 0x8D7, 0x3, 0x42
        dd 0x247ED7, 0x2, 0x243002, 0x4E02
FLAG_IMAGES equ ($ - flag_images) / 4
; The same without NT, with which no IRET may be executed.
plain_images:
        dd 0x2, 0x202, 0x3202, 0x1002, 0x40002, 0x200002, 0x402, 0x8D7, 0x3, 0x243ED7, 0x2, 0x2202
PLAIN_IMAGES equ ($ - plain_images) / 4

section .text
guest_main:
        call prepare
        call flags_of_the_kernel
        call stack_borders
        call iret_to_the_kernel
        call exceptions_of_the_kernel
        call iret_to_programs
        call data_segments
        call calls_of_programs
        call stepping
        call page_faults
        call gates_edited
        call tables_moved
        call large_page
        call cold_stacks
        call ports
        call control_registers
        call other_registers
        call invlpg_segments
        call interrupts
        ret

; EAX = got, EDX = expected. The first surprises are shown.
expect_line:
        cmp eax, edx
        jne .bad
        inc dword [good]
        ret
.bad:   cmp dword [shown], 20
        je .end
        inc dword [shown]
        push esi
        push eax
        mov esi, text_turn
        call put_string
        call put_hex
        mov esi, text_expected
        call put_string
        mov eax, edx
        call put_hex
        mov esi, text_line
        call put_string
        pop eax
        pop esi
.end:   ret

; --- tables ---

%macro put_segment 3 ; selector, base, access byte
        mov edi, gdt + (%1 & ~7)
        mov eax, %2
        mov ecx, 0xFFFFF
        mov edx, 0xC000 | %3
        call put_descriptor
%endmacro
%macro gate 3 ; vector, handler, access byte
        mov ecx, %1
        mov eax, %2
        mov dl, %3
        call put_gate
%endmacro

prepare:
        call pic_init
        put_segment SEL_UCODE, 0, 0xFB
        put_segment SEL_UDATA, 0, 0xF3
        put_segment SEL_DATA2, 0, 0x93
        put_segment SEL_BASE1, 0x1000, 0x93
        put_segment SEL_BASE2, 0x2000, 0x93
        lgdt [gdtr]
        gate VEC_IRQ, on_irq, 0x8E
        gate VEC_CALL, on_call, 0xEE
        gate VEC_RETURN, on_return, 0xEE
        gate VEC_EDIT, on_edit_0, 0xEE
        gate VEC_TRAP, on_call, 0xEF
        mov dword [tss + 4], stack0_top
        call paging_on
        or dword [page_dir], PTE_U      ; 4 MB; most of it remains the kernel's
        mov eax, user_text
        mov ecx, (user_text_end - user_text) / 4096
        call open_pages
        mov eax, user_stack
        mov ecx, 1
        call open_pages
        mov eax, cr3
        mov cr3, eax
        ret

; EAX = address, ECX = pages: programs may use them.
open_pages:
        shr eax, 12
.page:  or dword [page_tables + eax * 4], PTE_U
        inc eax
        loop .page
        ret

; --- handlers ---

; Notes what a handler without error code finds; ESP is at EIP. Keeps all registers.
note:
        pushfd
        pop dword [seen_flags]
        cld
        pushad
        mov eax, ss
        movzx eax, ax
        mov [seen_ss], eax
        lea esi, [esp + 36]
        mov [seen_esp], esi
        mov edi, seen + 4
        mov ecx, 5
        push ds
        push es
        mov eax, SEL_DATA
        mov ds, eax
        mov es, eax
        rep movsd
        inc dword [seen_count]
        pop es
        pop ds
        popad
        ret

on_call:
        call note
        iretd
on_edit_0:
        mov dword [ss:seen_which], 0
        call note
        iretd
on_edit_1:
        mov dword [ss:seen_which], 1
        call note
        iretd
skip_two:                       ; UD2, DIV ECX and LOCK NOP have two bytes
        call note
        add dword [esp], 2
        iretd

on_return:
        pushad
        mov ecx, SEL_DATA
        mov [ss:user_sels], ds
        mov [ss:user_sels + 4], es
        mov [ss:user_sels + 8], fs
        mov [ss:user_sels + 12], gs
        mov ds, ecx
        mov es, ecx
        mov fs, ecx
        mov gs, ecx
        cld
        mov esi, esp
        mov edi, user_regs
        mov ecx, 8 + 5
        rep movsd
        mov [return_esp], esi
        mov eax, SEL_DATA
        mov ss, eax
        mov esp, [kernel_esp]
        ret

; A program at ECX with the flags EAX, the stack EDX and the data segments as they are. EBX, ESI,
; EDI and EBP are what it begins with.
run_user:
        mov [kernel_esp], esp
        push dword SEL_UDATA
        push edx
        push eax
        push dword SEL_UCODE
        push ecx
        iretd

user_segments:
        mov edi, SEL_UDATA
        mov ds, edi
        mov es, edi
        mov fs, edi
        mov gs, edi
        ret

%include "shortways_kernel.inc"
%include "shortways_programs.inc"
%include "shortways_tables.inc"
%include "shortways_registers.inc"

; --- programs ---

align 4096
user_text:
user_return:
        int VEC_RETURN
user_return_end:
user_return_2:
        nop
        int VEC_RETURN
user_return_2_end:
user_ud:
        ud2
        int VEC_RETURN
user_de:
        div ebx
        int VEC_RETURN
user_int:
        int VEC_CALL
user_int_behind:
        int VEC_RETURN
user_edit:
        int VEC_EDIT
        int VEC_RETURN
user_tf:
        push dword FL_TF | 2
        popfd
        int VEC_RETURN
user_store:
        mov [edi], ebp
        int VEC_RETURN
user_timed:
        mov ecx, 3
.again: rdtsc
        mov ebx, eax
        int VEC_CALL
        rdtsc
        sub eax, ebx
        loop .again
        int VEC_RETURN
align 4096
user_text_end:
