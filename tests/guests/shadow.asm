; Paging as the bare machine does it, for a VMM that keeps shadows of page tables: rights, error
; codes, the accessed and dirty bits (SDM vol. 3A sections 4.6 to 4.8). The translations that are
; used have always been invalidated before (tlb.asm is about that).
%define PASSES 3
%include "common.inc"
%include "paging.inc"
%include "program.inc"
%include "spot.inc"


section .bss nobits
alignb 4
saved_esp:   resd 1
combination: resd 1
large:       resd 1             ; rights of a large page
fault_ignored: resd 1           ; bits of the error code that may be set or not
mark_entry:  resd 1             ; whose bits are looked at

section .rodata
limits: db "limits", 0

section .text
guest_main:
        xor eax, eax
        mov cr4, eax
        part paging_on
        part program_init
        part rights
        part fault_codes
        part marks
        ret

; --- rights ---

; Combinations, by bits: 0 W of the directory's entry, 1 its U; 2 and 3: of the table's entry; 4:
; CR0.WP; 5: a write, 6: by a program. All of them, for 4 KB and for 4 MB pages.
rights: call fresh
        mov eax, CR4_PSE
        mov cr4, eax
        mov dword [large], 0
        call .all
        check "rights", RIGHT
        mov dword [large], 1
        call .all
        check "rights.large", RIGHT
        mov eax, cr0
        or eax, CR0_WP
        mov cr0, eax
        ret
; Returns EAX = RIGHT, or the first combination that is not.
.all:   mov dword [combination], 0
.next:  mov ebp, [combination]
        call .one
        jne .wrong
        inc dword [combination]
        cmp dword [combination], 128
        jne .next
        mov eax, RIGHT
        ret
.wrong: mov eax, [combination]
        ret

; EBP = combination. Returns ZF set when all is as it should be.
.one:   mov eax, ebp
        and eax, 3
        lea ebx, [eax * 2 + PTE_P]      ; the directory's
        mov edx, ebp
        shr edx, 2
        and edx, 3
        lea ecx, [edx * 2 + PTE_P]      ; the table's
        cmp dword [large], 0
        je .small
        lea eax, [ebx + BIG + PTE_PS]
        mov ecx, ebx
        mov edi, BIG
        jmp .set
.small: lea eax, [ecx + frames]
        mov [spot_table], eax
        lea eax, [ebx + spot_table]
        mov edi, frames
.set:   mov [SPOT_PDE], eax
        mov dword [edi + 8], 0x5EC2E7
        and ebx, ecx                    ; both
        mov eax, cr0
        and eax, ~CR0_WP
        mov edx, ebp
        and edx, 1 << 4
        shl edx, 16 - 4
        or eax, edx
        mov cr0, eax
        mov esi, SPOT + 8
        invlpg [esi]
        push edi
        mov edi, 0x0DDBA11
        mov eax, ebp
        shr eax, 5
        call access
        pop edi
        call .expected
        cmp eax, ecx
        jne .end
        cmp eax, NO_TRAP
        je .done
        cmp [trap_cr2], esi             ; refused: nothing has changed
        jne .end
        cmp dword [edi + 8], 0x5EC2E7
        jne .end
        call .entry
        test eax, PTE_D
.end:   ret
.done:  mov eax, edx                    ; what was read, or has been written
        mov ecx, 0x5EC2E7
        test ebp, 1 << 5
        jz .value
        mov eax, [edi + 8]
        mov ecx, 0x0DDBA11
.value: cmp eax, ecx
        jne .end
        test dword [SPOT_PDE], PTE_A
        jz .no
        call .entry
        and eax, PTE_A | PTE_D
        mov ecx, PTE_A
        test ebp, 1 << 5
        jz .bits
        mov ecx, PTE_A | PTE_D
.bits:  cmp eax, ecx
        ret
.no:    or eax, 1                       ; ZF clear
        ret
; EAX = the entry of the page itself
.entry: mov eax, [SPOT_PDE]
        cmp dword [large], 0
        jne .got
        mov eax, [spot_table]
.got:   ret

; EBP = combination, EBX = rights of both levels. Returns ECX = what must come of the access.
.expected:
        mov ecx, ebp
        shr ecx, 4
        and ecx, 6                      ; the error code's W and U
        or ecx, VEC_PF << 16 | 1
        test ebp, 1 << 6
        jz .kernel
        test ebx, PTE_U
        jz .fault
        jmp .write
.kernel:
        test ebp, 1 << 4
        jz .good
.write: test ebp, 1 << 5
        jz .good
        test ebx, PTE_W
        jnz .good
.fault: ret
.good:  mov ecx, NO_TRAP
        ret

; --- error codes and CR2 ---

; Returns EAX = RIGHT when read and write, of kernel and program, fault with W and U and the bits of
; EBX in the error code; else what it was.
all_faults:
        xor ebp, ebp
.next:  mov esi, SPOT + 0x123
        mov dword [trap_cr2], 0
        mov eax, ebp
        call access
        or eax, [fault_ignored]
        lea ecx, [ebp * 2 + (VEC_PF << 16)]
        or ecx, ebx
        cmp eax, ecx
        jne .end
        mov eax, [trap_cr2]
        cmp eax, esi
        jne .end
        inc ebp
        cmp ebp, 4
        jne .next
        mov eax, RIGHT
.end:   ret

fault_codes:
        call fresh
        mov dword [SPOT_PDE], 0
        invlpg [SPOT]
        xor ebx, ebx
        call all_faults
        check "fault.no-table", RIGHT
        mov dword [SPOT_PDE], spot_table + ALL
        mov dword [spot_table], frames + PTE_W + PTE_U
        invlpg [SPOT]
        call all_faults
        check "fault.not-present", RIGHT
        mov dword [spot_table], -1 & ~PTE_P
        invlpg [SPOT]
        call all_faults
        check "fault.not-present-ones", RIGHT
        mov eax, CR4_PSE
        mov cr4, eax
        mov dword [SPOT_PDE], BIG + RESERVED + ALL + PTE_PS
        invlpg [SPOT]
        mov ebx, 9                      ; P and RSVD
        mov esi, limits
        call has_word
        setnc [fault_ignored]           ; QEMU forgets P
        call all_faults
        mov byte [fault_ignored], 0
        check "fault.reserved", RIGHT
        xor eax, eax                    ; without PSE it is a table at 0x01A00000
        mov cr4, eax
        mov dword [BIG + RESERVED], frames + ALL
        mov dword [frames + 0x120], 0x3E3E3E3E
        mov eax, [SPOT + 0x120]
        check "fault.no-pse", 0x3E3E3E3E
        ; Fetches: without NX and SMEP they look like reads.
        call fresh
        mov dword [spot_table], 0
        invlpg [SPOT]
        mov esi, SPOT + 0x40
        mov eax, program_jump
        call program_run
        check "fault.fetch", VEC_PF << 16 | 4
        mov eax, [trap_cr2]
        check "fault.fetch-cr2", SPOT + 0x40
        mov dword [spot_table], frames + PTE_P + PTE_W
        mov eax, program_jump
        call program_run
        check "fault.fetch-kernel", VEC_PF << 16 | 5
        mov eax, [trap_eip]
        check "fault.fetch-eip", SPOT + 0x40
        ret

; --- accessed and dirty ---

; The two bits of the page, and the accessed bit of the directory's entry 8 higher.
MARK_A equ PTE_A | PTE_A << 8
MARK_D equ MARK_A | PTE_D

; Six times: clear the bits (of page and directory, of the page, of the directory), drop the
; translation by INVLPG or CR3, call an operation, look.
; EBX = operation, EDX = what is right. Returns EAX = the same, or what was there instead.
mark_six:
        mov ecx, 6
.next:  cmp ecx, 2
        jbe .directory
        mov esi, [mark_entry]
        and dword [esi], ~(PTE_A | PTE_D)
        cmp ecx, 4
        jbe .drop
.directory:
        and dword [SPOT_PDE], ~PTE_A
.drop:  test ecx, 1
        jz .cr3
        invlpg [SPOT]
        jmp .flushed
.cr3:   call reload
.flushed:
        push ecx
        push edx
        push ebx
        call ebx
        pop ebx
        pop edx
        pop ecx
        mov esi, [mark_entry]
        mov esi, [esi]
        and esi, PTE_A | PTE_D
        mov eax, [SPOT_PDE]
        and eax, PTE_A
        shl eax, 8
        or eax, esi
        cmp eax, edx
        jne .end
        loop .next
.end:   ret

%macro mark 3 ; name, right, operation
        mov ebx, %3
        mov edx, %2
        call mark_six
        check %1, %2
%endmacro

; An operation with ESP in the page: on_stack, the instructions, off_stack.
STACK_AT equ 0x800
%macro on_stack 0
        mov [saved_esp], esp
        mov esp, SPOT + STACK_AT
%endmacro
%macro off_stack 0
        mov esp, [saved_esp]
        ret
%endmacro
; What the page holds, in doublewords from ESP on
%macro page_words 1-*
%assign at STACK_AT
%rep %0
        push dword %1
        pop dword [frames + at]
%assign at at + 4
%rotate 1
%endrep
%endmacro

marks:  call fresh
        mov dword [mark_entry], spot_table
        mov eax, [SPOT]
        and dword [SPOT_PDE], ~PTE_A    ; the directory's alone
        call reload
        mov eax, [SPOT]
        mov eax, [SPOT_PDE]
        and eax, PTE_A
        check "mark.directory", PTE_A
        mark "mark.read", MARK_A, .read
        mark "mark.write", MARK_D, .write
        mark "mark.update", MARK_D, .update
        mark "mark.program-read", MARK_A, .program_read
        mark "mark.program-write", MARK_D, .program_write
        mark "mark.read-write", MARK_D, .read_write
        mark "mark.read-sgdt", MARK_D, .read_sgdt
        mark "mark.read-ins", MARK_D, .read_ins
        mark "mark.read-pushf", MARK_D, .read_pushf
        mark "mark.read-int", MARK_D, .read_int
        mark "mark.push", MARK_D, .push
        mark "mark.pushf", MARK_D, .pushf
        mark "mark.popf", MARK_A, .popf
        mark "mark.int", MARK_D, .int
        mark "mark.exception", MARK_D, .exception
        mark "mark.iret", MARK_A, .iret
        mark "mark.program-int", MARK_D, .program_int
        mark "mark.program-fault", MARK_D, .program_fault
        mark "mark.ins", MARK_D, .ins
        mark "mark.outs", MARK_A, .outs
        mark "mark.sgdt", MARK_D, .sgdt
        mark "mark.str", MARK_D, .str
        mark "mark.lgdt", MARK_A, .lgdt
        mark "mark.mov-from-sreg", MARK_D, .mov_from_sreg
        mark "mark.push-sreg", MARK_D, .push_sreg
        mark "mark.pop-sreg", MARK_A, .pop_sreg
        mark "mark.les", MARK_A, .les
        mark "mark.lar", MARK_A, .lar
        mark "mark.call-far", MARK_D, .call_far
        mark "mark.ret-far", MARK_A, .ret_far
        mark "mark.invlpg", 0, .invlpg
        mov byte [frames + 0x400], 0xC3
        mark "mark.fetch", MARK_A, .fetch
        mark "mark.program-fetch", MARK_A, .program_fetch
        mov dword [spot_table], frames + PTE_P + PTE_U
        mov eax, cr0
        and eax, ~CR0_WP
        mov cr0, eax
        mark "mark.wp-off", MARK_D, .write
        mark "mark.wp-off-pushf", MARK_D, .pushf
        mov eax, cr0
        or eax, CR0_WP
        mov cr0, eax
        mov eax, CR4_PSE
        mov cr4, eax
        mov dword [mark_entry], SPOT_PDE
        mov dword [SPOT_PDE], BIG + ALL + PTE_PS
        mark "mark.large-read", MARK_A, .read
        mark "mark.large-write", MARK_D, .write
        mark "mark.large-pushf", MARK_D, .pushf
        mark "mark.large-int", MARK_D, .int
        ret
.read:  mov eax, [SPOT + 4]
        ret
.write: mov [SPOT + 4], eax
        ret
.update:
        or dword [SPOT + 4], 0
        ret
.read_write:
        mov eax, [SPOT + 4]
        mov [SPOT + 4], eax
        ret
.program_read:
        mov eax, program_read
        jmp .program
.program_write:
        mov eax, program_write
.program:
        mov esi, SPOT + 4
        jmp program_run
.push:  on_stack
        push eax
        off_stack
.read_pushf:
        mov eax, [SPOT]
.pushf: on_stack
        pushfd
        off_stack
.popf:  page_words [pass_flags]
        on_stack
        popfd
        off_stack
.read_int:
        mov eax, [SPOT]
.int:   on_stack
        try
        int 0x42
        tried
        off_stack
.exception:
        on_stack
        try
        ud2
        tried
        off_stack
.iret:  page_words .iret_to, SEL_CODE, [pass_flags]
        on_stack
        iretd
.iret_to:
        off_stack
; On a stack that the TSS puts into the page
.program_int:
        mov eax, program_read
        mov esi, PROGRAM
        jmp .inner
.program_fault:
        mov eax, program_read
        mov esi, NOWHERE
.inner: mov dword [tss + 4], SPOT + STACK_AT
        call program_run
        mov dword [tss + 4], kernel_stack_top
        ret
; Accessed already, and now dirty
.read_sgdt:
        mov eax, [SPOT]
.sgdt:  sgdt [SPOT]
        ret
.read_ins:
        mov eax, [SPOT]
.ins:   mov edi, SPOT
        mov ecx, 3
        mov edx, 0x21
        rep insb
        ret
.outs:  mov esi, SPOT
        mov ecx, 3
        mov edx, 0x80
        rep outsb
        ret
.str:   str [SPOT]
        ret
.lgdt:  mov eax, [gdtr]
        mov edx, [gdtr + 4]
        page_words eax, edx
        lgdt [SPOT + STACK_AT]
        ret
.mov_from_sreg:
        mov [SPOT], cs
        ret
.push_sreg:
        on_stack
        push cs
        off_stack
.pop_sreg:
        page_words SEL_DATA
        on_stack
        pop es
        off_stack
.les:   page_words 7, SEL_DATA
        les eax, [SPOT + STACK_AT]
        ret
.lar:   page_words SEL_DATA
        lar eax, [SPOT + STACK_AT]
        ret
.call_far:
        on_stack
        call SEL_CODE:.called
.called:
        off_stack
.ret_far:
        page_words .returned, SEL_CODE
        on_stack
        retf
.returned:
        off_stack
.invlpg:
        invlpg [SPOT]
        ret
.fetch: mov eax, SPOT + 0x400
        jmp eax
.program_fetch:
        mov word [frames + 0x408], 0xCD | VEC_DONE << 8
        mov eax, program_jump
        mov esi, SPOT + 0x408
        jmp program_run
