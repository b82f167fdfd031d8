; Random bytes as kernel code, thousands of times. Nobody can say what must come of it, but that the
; VMM survives it; the guest itself usually does.
;
; Nearly all of the linear space is mapped, to a few pages of scratch memory: a stack pointer gone
; astray still takes an exception's frame (SS has a base, so that the stack does not end at 0), and a
; wild write does no harm. A round ends after STEPS single steps, or with the first exception. With the
; word "again", a round that ended soon is done twice more from the same bytes, at full speed: there
; a VMM has its short ways.
%include "common.inc"
%include "xorshift.inc"

ROUNDS  equ 2500
STEPS   equ 40
SOON    equ 8                   ; steps
BYTES   equ 48
SCRATCH equ 0x00400000          ; 64 pages
KERNEL  equ 0x00100000
CODE    equ SCRATCH + 0x4FE0    ; across a page's end

section .bss nobits
alignb 4096
page_dir:    resb 4096
kernel_table: resb 4096
scratch_table: resb 4096
steps:       resd 1
rounds:      resd 1
again:       resd 1             ; 0: single steps; 1, 2: the same code at full speed
full_speed:  resd 1             ; not zero: with the word
code:        resb BYTES

section .rodata
; What such code is likely to go wrong about.
likely:
        db 0x0F, 0x0F, 0x0F, 0x0F, 0x00, 0x01, 0x02, 0x03, 0x20, 0x22, 0xA0, 0xA1, 0xA2, 0xB2, 0xB4
        db 0x06, 0x07, 0x0E, 0x16, 0x17, 0x1E, 0x1F, 0x8C, 0x8E, 0x8C, 0x8E, 0xC4, 0xC5, 0x08, 0x10
        db 0x9A, 0xEA, 0xCA, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF, 0xF1, 0x9C, 0x9D, 0x9C, 0x9D, 0xFA, 0xFB
        db 0xFF, 0x66, 0x67, 0x2E, 0x36, 0x26, 0x64, 0xF0, 0xF2, 0xF3, 0x6C, 0x6F, 0xA4, 0xAB, 0xC8
        db 0xE8, 0xE9, 0xEB, 0x74, 0xC3, 0x50, 0x58, 0xE5, 0xEC, 0x0B, 0x31, 0x32, 0x28
LIKELY equ $ - likely
text_again: db "again", 0

section .text
guest_main:
        xor eax, eax                    ; the seed: another command line, another run
        mov ebx, 0x2026ABCD
        mov esi, command_line
.seed:  lodsb
        imul ebx, ebx, 0x01000193
        xor ebx, eax
        test al, al
        jnz .seed
        mov [random_state], ebx
        call map
        mov edi, gdt + SEL_TEST
        mov eax, 0x08000000
        mov ecx, 0xFFFFF
        mov edx, 0xC093
        call put_descriptor
        mov dword [trap_hook], hook
        mov esi, text_again
        call has_word
        sbb eax, eax
        mov [full_speed], eax
.round: call round_code
        mov dword [again], 0
.run:   mov esi, code
        mov edi, CODE
        mov ecx, BYTES
        rep movsb
        mov dword [steps], 0
        mov edi, SCRATCH + 0x8000       ; what is popped is a usable address
        mov eax, SCRATCH + 0x6100
        mov ecx, 64
        rep stosd
        mov eax, SEL_TEST
        mov ss, eax
        mov esp, SCRATCH + 0x8000
        mov eax, [random_state]
        mov ebx, SCRATCH + 64
        mov ecx, 0x20003
        mov esi, SCRATCH + 0x1000
        mov edi, SCRATCH + 0x2000
        mov ebp, SCRATCH + 0x3000
        cmp dword [again], 1
        sbb edx, edx
        and edx, FL_TF
        or edx, 2
        push edx
        mov edx, 0x10080
        push dword SEL_CODE
        push dword CODE
        iretd
round_end:
        mov eax, SEL_DATA
        mov ss, eax
        mov esp, stack_top - 4
        mov ds, eax
        mov es, eax
        lgdt [gdtr]
        lidt [idtr]
        mov eax, SEL_LDT
        lldt ax
        mov eax, page_dir
        mov cr3, eax
        mov eax, 0x80000011
        mov cr0, eax
        xor eax, eax
        mov cr4, eax
        cmp dword [full_speed], 0
        je .next
        cmp dword [steps], SOON
        jae .next
        inc dword [again]
        cmp dword [again], 2
        jbe guest_main.run
.next:  inc dword [rounds]
        cmp dword [rounds], ROUNDS
        jne guest_main.round
        mov dword [trap_hook], 0
        call serial_init
        mov eax, [rounds]
        check "random", ROUNDS
        ret

; EBX = frame. One more step, or the end of the round.
hook:   inc dword [steps]
        cmp dword [ss:ebx + F_VECTOR], VEC_DB
        jne .end
        cmp dword [steps], STEPS
        jae .end
        cmp dword [again], 0
        jne .back
        or dword [ss:ebx + F_EFLAGS], FL_TF
.back:  ret
.end:   mov dword [ss:ebx + F_EIP], round_end
        mov dword [ss:ebx + F_CS], SEL_CODE
        mov dword [ss:ebx + F_EFLAGS], 2
        ret

; No HLT: nothing would wake the machine.
round_code:
        mov edi, code
        mov ebp, BYTES
.byte:  call random
        test eax, 0x01000000
        jz .store
        movzx eax, al
        xor edx, edx
        mov ecx, LIKELY
        div ecx
        mov al, [likely + edx]
.store: cmp al, 0xF4
        jne .good
        mov al, 0x90
.good:  mov [edi], al
        inc edi
        dec ebp
        jnz .byte
        ret

; The kernel one to one, everything else to the scratch pages. The VMM's part is not mapped.
map:    xor ecx, ecx
.entry: mov eax, ecx
        and eax, 63
        shl eax, 12
        add eax, SCRATCH + 3
        mov [scratch_table + ecx * 4], eax
        mov [kernel_table + ecx * 4], eax
        inc ecx
        cmp ecx, 1024
        jne .entry
        mov ecx, KERNEL >> 12
.kernel:
        mov eax, ecx
        shl eax, 12
        cmp eax, guest_end
        jae .done
        add eax, 3
        mov [kernel_table + ecx * 4], eax
        inc ecx
        jmp .kernel
.done:  mov dword [page_dir], kernel_table + 3
        mov ecx, 1
.dir:   mov dword [page_dir + ecx * 4], scratch_table + 3
        inc ecx
        cmp ecx, 0xF0000000 >> 22
        jne .dir
        mov eax, page_dir
        mov cr3, eax
        mov eax, cr0
        or eax, 1 << 31
        mov cr0, eax
        ret

extern guest_end
