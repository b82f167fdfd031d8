; What code can do to a VMM that runs copies of it: rewrite itself, appear in new places, be reached
; in odd ways, be stepped and be read.
%define PASSES 3
%include "common.inc"
%include "paging.inc"
%include "program.inc"

OP_RET   equ 0xC3
LOW_CODE equ 0x7000             ; free RAM that 16-bit offsets reach

section .bss nobits
alignb 4096
pages:  resb 4096 * 4
word_at: resd 1

section .text
guest_main:
        clear pages, 4096 * 4
        clear LOW_CODE, 4096
        mov [word_at], eax
        part rewriting
        part places
        part middles
        part own_traps
        part prefixes
        part small_code
        part reading_text
        part widths
        part odd_stack
        part stepping
        part many_pages
        part paging_on
        part paged_code
        part never_run
        part int1
        ret

; --- code that changes ---

function:
        mov eax, 1
        ret

rewriting:
        mov dword [function + 1], 1
        mov dword [.changing], 0xC39007B0       ; as it is below
        call function
        check "smc.before", 1
        mov dword [function + 1], 2
        call function
        check "smc.called", 2
        mov eax, [function + 1]                 ; read, so that a shadow of the page is there
        mov dword [function + 1], 8
        call function
        check "smc.read", 8

        ; Written by instructions that a VMM emulates.
        mov ebx, 3
.emulated:
        mov dword [function + 1], 0
        call function
        test eax, eax
        jnz .emulated_end
        mov [function + 1], cs
        call function
        cmp eax, SEL_CODE
        jne .emulated_end
        mov edx, esp
        mov esp, function + 5
        pushfd
        mov esp, edx
        call function
        and eax, FL_TF | FL_NT | 2
        cmp eax, 2
        jne .emulated_end
        dec ebx
        jnz .emulated
        mov eax, RIGHT
.emulated_end:
        check "smc.emulated", RIGHT

        mov ecx, 3
.again: mov [.next + 1], ecx
        jmp short .next
.next:  mov eax, 0x11
        cmp eax, ecx
        jne .next_end
        loop .again
.next_end:
        mov eax, ecx
        check "smc.next", 0

        mov ecx, 3
.again2:
        mov [.straight + 1], ecx
.straight:
        mov eax, 0x11
        cmp eax, ecx
        jne .straight_end
        loop .again2
.straight_end:
        mov eax, ecx
        check "smc.straight", 0

        ; A harmless instruction becomes a sensitive one, and back.
        cli
        call .changing
        mov dword [.changing], 0xC3589C90       ; nop; pushf; pop eax; ret
        call .changing
        and eax, FL_IF
        check "smc.pushf", 0
        mov dword [.changing], 0xC3401FB0       ; mov al, 0x1F; inc eax; ret
        xor eax, eax
        call .changing
        check "smc.back", 0x20
        ret
.changing:
        mov al, 7
        nop
        ret

; --- code in unusual places ---

places:
        mov dword [pages], 0x90C3C88C           ; mov eax, cs; ret
        mov eax, pages
        call eax
        movzx eax, ax
        check "place.data", SEL_CODE

        push dword 0x90C3C88C
        mov eax, esp
        call eax
        add esp, 4
        movzx eax, ax
        check "place.stack", SEL_CODE

        ; Fresh code that a jump, a return and pointers in memory lead to.
        mov edi, pages + 0x100
        mov ecx, 4
.fresh: mov dword [edi], 0xD3FFC88C             ; mov eax, cs; call ebx
        add edi, 16
        loop .fresh
        mov ebx, .jumped
        mov ecx, pages + 0x100
        jmp ecx
.jumped:
        pop ecx
        movzx eax, ax
        check "place.jump", SEL_CODE
        mov ebx, .returned
        push dword pages + 0x110
        ret
.returned:
        pop ecx
        movzx eax, ax
        check "place.return", SEL_CODE
        mov ebx, .pointed
        mov dword [word_at], pages + 0x120
        jmp [word_at]
.pointed:
        pop ecx
        movzx eax, ax
        check "place.pointer", SEL_CODE
        mov ebx, .called
        mov dword [word_at], pages + 0x130
        call [word_at]
.called:
        pop ecx
        pop edx
        movzx eax, ax
        check "place.call-pointer", SEL_CODE

        ; Across a page's end: a sensitive instruction, then a harmless one whose tail changes.
        mov dword [pages + 0xFFF], 0x90C3C88C
        mov ebx, pages + 0xFFF
        call ebx
        movzx eax, ax
        check "place.crossing", SEL_CODE
        mov byte [pages + 0xFFD], 0xB8          ; mov eax, imm32
        mov dword [pages + 0xFFE], 0x11223344
        mov byte [pages + 0x1002], OP_RET
        mov ebx, pages + 0xFFD
        call ebx
        check "place.crossing2", 0x11223344
        mov byte [pages + 0x1001], 0x55
        call ebx
        check "place.tail", 0x55223344
        mov byte [pages + 0xFFE], 0x66
        call ebx
        check "place.head", 0x55223366
        mov byte [pages + 0xFFF], 0x66          ; o16 pushf; o16 pop ax; ret
        mov dword [pages + 0x1000], 0xC358669C
        cli
        mov ebx, pages + 0xFFF
        call ebx
        and eax, FL_IF
        check "place.prefix", 0
        ret

; --- into the middle of an instruction ---

middles:
        call hidden
        xor edx, edx
        mov eax, hidden + 1
        call eax
        mov eax, edx
        check "middle", 3
        call hidden_sensitive
        mov eax, hidden_sensitive + 1
        call eax
        movzx eax, cx
        check "middle.sensitive", SEL_CODE
        ret
hidden:
        mov eax, 0xC3424242                     ; inc edx, three times; ret
        ret
hidden_sensitive:
        mov eax, 0x90C3C98C                     ; mov ecx, cs; ret
        ret

; --- the guest's own traps ---

own_traps:
        try
        int3
.int3:  tried
        check "int3", VEC_BP << 16
        mov eax, [trap_eip]
        check "int3.eip", .int3
        try
        db 0xCD, 3
.int_3: tried
        check "int-3", VEC_BP << 16
        mov eax, [trap_eip]
        check "int-3.eip", .int_3
        try
        db 0x66, 0xCC
.o16:   tried
        mov eax, [trap_eip]
        check "int3.prefix", .o16
        mov eax, 0x7FFFFFFF
        inc eax
        try
        into
.into:  tried
        check "into", VEC_OF << 16
        mov eax, [trap_eip]
        check "into.eip", .into
        try
        db 0xCD, 4
.int_4: tried
        check "int-4", VEC_OF << 16
        mov eax, [trap_eip]
        check "int-4.eip", .int_4
        xor eax, eax
        try
        into
        tried
        check "into.none", NO_TRAP
        try
        int 0x20                        ; the VMM's timer interrupt has this vector
.irq:   tried
        check "int-20", 0x20 << 16
        mov eax, [trap_eip]
        check "int-20.eip", .irq
        try
        int 0xEF                        ; the last gate
        tried
        check "int-ef", 0xEF << 16
        try
        int 0xF0                        ; there is none
        tried
        check "int-f0", VEC_GP << 16 | 0xF0 * 8 + 2

        mov word [pages], 0xC3CC
        mov eax, pages
        try
        call eax
        tried
        mov esp, [trap_esp]
        add esp, 4
        mov eax, [trap_eip]
        check "int3.data", pages + 1
        try
.ud2:   ud2
        tried
        mov eax, [trap_eip]
        check "ud2.eip", .ud2
        ret

; --- operand-size, address-size and other prefixes ---

prefixes:
        set_flags 2
        mov eax, -1
        push eax
        o16 pushf
        pop eax
        pop bx
        shr eax, 9
        and eax, 1
        check "o16.pushf", 0
        push word FL_IF | 2
        o16 popf
        real_flags
        and eax, FL_IF
        check "o16.popf", FL_IF
        set_flags 2
        rep pushfd
        pop eax
        and eax, FL_IF
        check "rep.pushf", 0
        o16 push cs
        pop ax
        movzx eax, ax
        check "o16.push-cs", SEL_CODE
        mov eax, -1
        mov ax, cs
        check "o16.mov-cs", 0xFFFF0000 | SEL_CODE
        mov eax, -1
        mov eax, cs
        check "o32.mov-cs", SEL_CODE
        mov eax, -1
        str ax
        check "o16.str", 0xFFFF0000 | SEL_TSS
        mov eax, -1
        str eax
        check "o32.str", SEL_TSS
        mov eax, -1
        mov ecx, SEL_CODE
        lar ax, cx
        check "o16.lar", 0xFFFF9B00
        mov ebx, LOW_CODE
        a16 sgdt [bx]
        mov eax, [LOW_CODE + 2]
        check "a16.sgdt", gdt
        o16 sidt [LOW_CODE]
        mov eax, [LOW_CODE + 2]
        check "o16.sidt", idt
        o16 lgdt [gdtr]
        sgdt [LOW_CODE]
        mov eax, [LOW_CODE + 2]
        check "o16.lgdt", gdt
        try
        times 15 db 0x66                ; 16 bytes
        nop
        tried
        check "too-long", VEC_GP << 16
        mov esi, limits
        call has_word
        jnc .end                        ; QEMU does not mind the prefix
        try
        db 0xF0, 0xFA                   ; lock cli
        tried
        check "lock.cli", VEC_UD << 16
        try
        db 0xF0
        pushfd
        tried
        check "lock.pushf", VEC_UD << 16
.end:   ret

; Far transfers with 16-bit offsets, and a 16-bit code segment.
small_code:
        mov esi, .low
        mov edi, LOW_CODE
        mov ecx, .low_end - .low
        rep movsb
        mov ecx, .iret
        o16 pushf
        push word SEL_CODE
        push word LOW_CODE
        o16 iret
.iret:  mov ecx, .retf
        push word SEL_CODE
        push word LOW_CODE
        o16 retf
.retf:  mov ecx, .jmp
        db 0x66, 0xEA
        dw LOW_CODE, SEL_CODE
.jmp:   mov eax, 1
        check "o16.far", 1

        mov edi, gdt + SEL_TEST
        xor eax, eax
        mov ecx, 0xFFFF
        mov edx, 0x009B                 ; 16-bit code
        call put_descriptor
        cli
        xor eax, eax
        jmp SEL_TEST:(LOW_CODE + .code16 - .low)
.back16:
        and eax, FL_IF
        check "code16.pushf", 0
        movzx eax, bx
        check "code16.cs", SEL_TEST
        ret
.low:   jmp ecx
bits 16
.code16:
        mov bx, cs
        pushfd
        pop eax
        jmp dword SEL_CODE:.back16
bits 32
.low_end:

; --- code that reads itself ---

reading_text:
        call .probe
        mov eax, [.probe]               ; a trap site, as the guest wrote it
        check "ds.mov", 0x9090589C
        movzx eax, byte [cs:.probe]
        check "cs.mov", 0x9C
        db 0x2E, 0xA1                   ; mov eax, cs:moffs
        dd .probe
        check "cs.moffs", 0x9090589C
        mov esi, .probe
        cs lodsd
        check "cs.lods", 0x9090589C
        mov esi, .probe
        mov edi, word_at
        cs movsd
        mov eax, [word_at]
        check "cs.movs", 0x9090589C
        mov ebx, .probe
        xor eax, eax
        cs xlatb
        check "cs.xlat", 0x9C
        push dword [cs:.probe]
        pop eax
        check "cs.push", 0x9090589C
        mov ecx, [cs:.pointer]
        call [cs:.pointer]
        mov eax, ecx
        check "cs.call", .target
        lgdt [cs:gdtr]
        mov ax, [cs:.selector]
        mov es, [cs:.selector]
        mov ax, es
        movzx eax, ax
        check "cs.sreg", SEL_DATA

        ; All of the text, once through DS and once through CS.
        xor eax, eax
        xor edx, edx
        mov esi, start
.sum:   rol eax, 1
        xor al, [esi]
        rol edx, 1
        xor dl, [cs:esi]
        inc esi
        cmp esi, text_end_here
        jne .sum
        sub eax, edx
        check "cs.sum", 0

        mov esi, limits
        call has_word
        jnc .end
        try
        mov [cs:word_at], eax           ; code segments are not writable
        tried
        check "cs.write", VEC_GP << 16
.end:   ret
.probe: pushfd
        pop eax
        nop
        nop
        ret
.pointer:
        dd .target
.selector:
        dw SEL_DATA
.target:
        ret

%include "code_steps.inc"
%include "code_kinds.inc"

section .rodata
limits: db "limits", 0

; --- more pages of code than a VMM keeps ---

section .text
FIRST_PAGE equ 0x00800000
LAST_PAGE  equ 0x01E00000
STRIDE     equ 0x4000

many_pages:
        mov edi, FIRST_PAGE
        xor ebp, ebp
        xor ecx, ecx
.page:  mov dword [edi], 0x83C88C66    ; mov ax, cs; add ecx, 8; add ebp, eax; ret
        mov dword [edi + 4], 0xC50108C1
        mov byte [edi + 8], OP_RET
        xor eax, eax
        call edi
        add edi, STRIDE
        cmp edi, LAST_PAGE
        jb .page
        mov eax, ecx
        sub eax, ebp
        check "pages.fresh", 0
        mov eax, ecx
        check "pages.count", (LAST_PAGE - FIRST_PAGE) / STRIDE * 8
        ret

; --- code and paging ---

paged_code:
        ; A write through an alias; code that runs at the alias.
        mov dword [function + 1], 3
        call function
        mov dword [ALIAS + function + 1], 4
        call function
        check "alias.write", 4
        mov eax, ALIAS + function
        call eax
        check "alias.run", 4
        mov dword [function + 1], 5
        mov eax, ALIAS + function
        call eax
        check "alias.run2", 5

        ; Another frame under the same address, by INVLPG and by a new CR3.
        mov edi, pages
        mov al, 1
        call put_mov
        mov edi, pages + 4096
        mov al, 2
        call put_mov
        mov ebx, ALIAS + pages
        mov ebp, pages
        shr ebp, 12
        lea ebp, [alias_table + ebp * 4]
        call ebx
        check "remap.before", 1
        mov eax, pages
        call eax
        mov eax, pages + 4096 + PTE_P + PTE_A
        mov [ebp], eax
        invlpg [ebx]
        call ebx
        check "remap.invlpg", 2
        mov byte [pages + 1], 7                 ; where the first one is still mapped
        mov eax, pages
        call eax
        check "remap.other", 7
        mov byte [pages + 1], 1
        mov eax, pages + PTE_P + PTE_A
        mov [ebp], eax
        mov eax, cr3
        mov cr3, eax
        call ebx
        check "remap.cr3", 1

        ; Nothing there: the fault is the fetch's.
        mov dword [ebp], 0
        invlpg [ebx]
        try
        call ebx
        tried
        add esp, 4
        check "fetch.unmapped", VEC_PF << 16
        mov eax, [trap_eip]
        check "fetch.eip", ALIAS + pages
        mov eax, [trap_cr2]
        check "fetch.cr2", ALIAS + pages
        mov eax, NOWHERE
        try
        jmp eax
        tried
        check "wild", VEC_PF << 16
        mov eax, [trap_eip]
        check "wild.eip", NOWHERE

        ; The tail is not there: EIP is the instruction's, CR2 the tail's.
        mov dword [ebp], pages + PTE_P
        mov dword [ebp + 4], 0
        invlpg [ALIAS + pages + 4096]
        mov byte [pages + 0xFFD], 0xB8
        mov eax, ALIAS + pages + 0xFFD
        try
        call eax
        tried
        add esp, 4
        check "fetch.tail", VEC_PF << 16
        mov eax, [trap_eip]
        check "fetch.tail-eip", ALIAS + pages + 0xFFD
        mov eax, [trap_cr2]
        check "fetch.tail-cr2", ALIAS + pages + 0x1000
        ret

; At EDI: mov eax, AL; ret
put_mov:
        mov byte [edi], 0xB8
        movzx eax, al
        mov [edi + 1], eax
        mov byte [edi + 5], OP_RET
        ret

text_end_here:
