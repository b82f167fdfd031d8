; Page tables and descriptor tables in odd places: the directory as a table of itself, page tables on
; pages that are code or data as well, other tables while paging is off, accesses and stack frames
; across pages, and descriptor tables of which one page is not mapped.
%define PASSES 3
%include "common.inc"
%include "paging.inc"
%include "program.inc"
%include "spot.inc"
%include "turns.inc"

RECURSIVE equ 0xA0000000        ; the directory as a page table of itself
RECURSIVE_PDE equ page_dir + (RECURSIVE >> 22) * 4
IDT_SPLIT equ 0x40              ; the first vector on the second page of the second IDT

section .bss nobits
alignb 4096
other_dir:   resb 4096
second_idt:  resb 4096 * 2
second_gdt:  resb 4096 * 2

section .data
align 4096
; A page that is code at its beginning and a page table in its second half.
code_table:
        mov eax, 0x11
        ret
        times 4096 - 6 db 0

section .rodata
second_idtr: dw IDT_GATES * 8 - 1
             dd second_idt + 4096 - IDT_SPLIT * 8
split_idtr:  dw IDT_GATES * 8 - 1
             dd second_idt + 4096 - VEC_PF * 8
SECOND_GDT equ second_gdt + 4096 - SEL_TEST
second_gdtr: dw GDT_LIMIT
             dd SECOND_GDT
spot_gdtr:   dw GDT_LIMIT
             dd SPOT
fresh_gdtr:  dw GDT_LIMIT
             dd frames + 3 * FRAME

section .text
guest_main:
        xor eax, eax
        mov cr4, eax
        part paging_on
        part program_init
        part recursion
        part aliases
        part paging_off
        part crossing
        part tables_gone
        part vmm_range
        part far_code
        ret

; --- the directory as a page table ---

recursion:
        call fresh
        mov dword [RECURSIVE_PDE], page_dir + PTE_P + PTE_W
        mov eax, [RECURSIVE + (RECURSIVE >> 10) + (SPOT >> 20 & 0xFFC)]
        and eax, ~0xFFF
        check "recursive.directory", spot_table
        mov ebx, RECURSIVE + (SPOT >> 10)       ; SPOT's table
        mov eax, [ebx + 2 * 4]
        and eax, ~0xFFF
        check "recursive.table", frames + 2 * FRAME
        mov dword [ebx], frames + 3 * FRAME + ALL
        by_invlpg "recursive.map", 3
        mov dword [ebx], frames + PTE_P + PTE_U
        refused "recursive.read-only", 1, 3
        mov dword [ebx], 0
        refused "recursive.unmap", 0, 0
        ; As a page's entry the directory's gets A and D, and the directory's own A.
        and dword [SPOT_PDE], ~(PTE_A | PTE_D)
        and dword [RECURSIVE_PDE], ~(PTE_A | PTE_D)
        call reload
        mov eax, [ebx]
        mov eax, [SPOT_PDE]
        and eax, PTE_A | PTE_D
        check "recursive.accessed", PTE_A
        mov dword [ebx], frames + ALL
        mov eax, [SPOT_PDE]
        and eax, PTE_A | PTE_D
        check "recursive.dirty", PTE_A | PTE_D
        mov eax, [RECURSIVE_PDE]
        and eax, PTE_A | PTE_D
        check "recursive.own", PTE_A
        mov dword [RECURSIVE + (RECURSIVE >> 10) + (NOWHERE >> 20 & 0xFFC)], spot_table + ALL
        mov eax, [NOWHERE + FRAME]
        check "recursive.new-table", 1
        mov eax, [RECURSIVE_PDE]
        and eax, PTE_A | PTE_D
        check "recursive.own-dirty", PTE_A | PTE_D
        ; Its own end.
        mov dword [RECURSIVE + (RECURSIVE >> 10) + (RECURSIVE >> 20 & 0xFFC)], 0
        invlpg [ebx]
        try
        mov eax, [ebx]
        tried
        check "recursive.end", VEC_PF << 16
        mov dword [page_dir + (NOWHERE >> 22) * 4], 0
        jmp reload

; --- page tables that are something else too ---

aliases:
        call fresh
        ; Code.
        mov dword [code_table + 1], 0x11
        mov dword [code_table + 0x800], frames + FRAME + ALL
        mov dword [SPOT_PDE], code_table + ALL
        call reload
        call code_table
        check "alias.code", 0x11
        mov eax, [SPOT + 0x200 * FRAME]         ; the CPU sets A in it
        check "alias.read", 1
        mov eax, [code_table + 0x800]
        and eax, PTE_A | PTE_D
        check "alias.accessed", PTE_A
        call code_table
        check "alias.code-again", 0x11
        mov dword [SPOT + 0x200 * FRAME + 4], 0x22      ; D
        mov eax, [code_table + 0x800]
        and eax, PTE_A | PTE_D
        check "alias.dirty", PTE_A | PTE_D
        mov dword [code_table + 0x804], frames + 2 * FRAME + ALL
        mov eax, [SPOT + 0x201 * FRAME]
        check "alias.late", 2
        mov dword [code_table + 1], 0x12
        call code_table
        check "alias.code-changed", 0x12
        mov dword [code_table + 0x804], frames + 3 * FRAME + ALL
        invlpg [SPOT + 0x201 * FRAME]
        mov eax, [SPOT + 0x201 * FRAME]
        check "alias.invlpg", 3
        mov dword [code_table + 0x800], 0
        mov dword [code_table + 0x804], 0
        ; Data, writable twice: the directory.
        call fresh
        point 8, page_dir + ALL
        point 9, page_dir + ALL
        mov dword [SPOT + 8 * FRAME + (NOWHERE >> 20 & 0xFFC)], spot_table + ALL
        mov eax, [NOWHERE + 2 * FRAME]
        check "alias.directory", 2
        mov dword [spot_table2 + 2 * 4], frames + 3 * FRAME + ALL
        mov dword [SPOT + 9 * FRAME + (NOWHERE >> 20 & 0xFFC)], spot_table2 + ALL
        invlpg [NOWHERE + 2 * FRAME]
        mov eax, [NOWHERE + 2 * FRAME]
        check "alias.directory2", 3
        mov dword [SPOT + 8 * FRAME + (NOWHERE >> 20 & 0xFFC)], 0
        invlpg [NOWHERE + 2 * FRAME]
        try
        mov eax, [NOWHERE + 2 * FRAME]
        tried
        check "alias.directory3", VEC_PF << 16
        ; A table that maps itself: one instruction writes the entry of the page it comes to next.
        point 10, spot_table + ALL
        mov esi, SPOT
        mov edi, SPOT + 10 * FRAME + 11 * 4
        mov eax, frames + 2 * FRAME + ALL
        mov ecx, 1024 - 11 + 1
        rep stosd
        mov eax, [frames + 2 * FRAME]
        check "alias.on-the-way", frames + 2 * FRAME + ALL
        mov dword [frames + 2 * FRAME], 2
        ret

; --- paging off and on ---

paging_off:
        call fresh
        mov eax, [SPOT]
        mov ecx, cr0
        and ecx, ~CR0_PG
        mov cr0, ecx
        mov eax, [frames + FRAME]
        check "off.read", 1
        mov dword [frames + FRAME], 0x41
        point 0, frames + FRAME + ALL
        or ecx, CR0_PG
        mov cr0, ecx
        mov eax, [SPOT]
        check "off.on", 0x41
        ; With another directory, loaded meanwhile.
        mov esi, page_dir
        mov edi, other_dir
        mov ecx, 1024
        rep movsd
        mov dword [spot_table2], frames + 2 * FRAME + ALL
        mov dword [other_dir + (SPOT >> 22) * 4], spot_table2 + ALL
        mov ecx, cr0
        and ecx, ~CR0_PG
        mov cr0, ecx
        mov eax, other_dir
        mov cr3, eax
        mov eax, [frames + 3 * FRAME]
        check "off.read2", 3
        or ecx, CR0_PG
        mov cr0, ecx
        mov eax, [SPOT]
        check "off.other", 2
        mov eax, page_dir
        mov cr3, eax
        mov eax, [SPOT]
        check "off.back", 0x41
        ret

; --- accesses that cross a page's end ---

; Kernel and program, read and write: what faults, where. EBX = the error code without W and U,
; EDX = CR2. Returns EAX = RIGHT when all four are right, else what it was.
crossing_faults:
        xor ebp, ebp
.next:  mov esi, SPOT + FRAME - 2
        mov edi, 0x22222222
        push edx
        mov eax, ebp
        call access
        pop edx
        lea ecx, [ebx + ebp * 2 + (VEC_PF << 16)]
        cmp eax, ecx
        jne .end
        mov eax, [trap_cr2]
        cmp eax, edx
        jne .end
        inc ebp
        cmp ebp, 4
        jne .next
        mov eax, [frames + FRAME - 4]           ; nothing of the writes is there
        or eax, [frames + 2 * FRAME]
        jnz .end
        mov eax, RIGHT
.end:   ret

crossing:
        call fresh
        mov dword [frames + FRAME - 4], 0
        mov dword [frames + 2 * FRAME], 0
        point 1, 0
        invlpg [SPOT + FRAME]
        xor ebx, ebx
        mov edx, SPOT + FRAME
        call crossing_faults
        check "crossing.second", RIGHT
        point 0, 0
        invlpg [SPOT]
        mov edx, SPOT + FRAME - 2
        call crossing_faults
        check "crossing.both", RIGHT
        point 1, frames + 2 * FRAME + ALL
        invlpg [SPOT + FRAME]
        call crossing_faults
        check "crossing.first", RIGHT
        ; Frames that are not neighbours; what the VMM emulates.
        point 0, frames + ALL
        invlpg [SPOT]
        mov dword [SPOT + FRAME - 2], 0x44332211
        mov eax, [frames + FRAME - 4]
        check "crossing.low", 0x22110000
        movzx eax, word [frames + 2 * FRAME]
        check "crossing.high", 0x4433
        mov ecx, 3                      ; INVLPG each time: marks must be set, then are
.again: invlpg [SPOT]
        invlpg [SPOT + FRAME]
        mov ebx, esp
        mov esp, SPOT + FRAME + 2
        pushfd
        pop eax
        mov esp, ebx
        sub ax, [frames + FRAME - 2]
        ror eax, 16
        sub ax, [frames + 2 * FRAME]
        jnz .bad
        mov dword [frames + 2 * FRAME], 0
        sidt [SPOT + FRAME - 3]
        mov eax, [frames + 2 * FRAME]
        mov edx, idt
        shr edx, 8
        sub eax, edx
        jnz .bad
        mov esp, SPOT + FRAME + 6       ; a frame across
        try
.ud2:   ud2
        tried
        mov edx, [SPOT + FRAME + 6 - 12]
        mov esp, ebx
        mov eax, edx
        sub eax, .ud2 + 2               ; where the handler was told to resume
        jnz .bad
        dec ecx
        jnz .again
.bad:   check "crossing.emulated", 0
        ; The second page is not there: nothing may be written on the first.
        mov dword [frames + FRAME - 4], 0
        point 1, 0
        invlpg [SPOT + FRAME]
        mov ecx, 3
.half:  try
        str [SPOT + FRAME - 1]
        tried
        call .half_right
        jne .half_end
        try
        mov [SPOT + FRAME - 1], cs
        tried
        call .half_right
        jne .half_end
        mov edi, SPOT + FRAME - 2
        mov edx, 0x80
        try
        insd
        tried
        call .half_right
        wrong_unless_equal .half_end
        dec ecx
        jnz .half
.half_end:
        check "crossing.emulated-fault", RIGHT
        ret
; Returns ZF set, or EAX = what was there or came instead.
.half_right:
        cmp eax, VEC_PF << 16 | 2
        jne .half_ret
        mov eax, [trap_cr2]
        cmp eax, SPOT + FRAME
        jne .half_ret
        mov eax, [frames + FRAME - 4]
        test eax, eax
.half_ret:
        ret

; --- descriptor tables of two pages, of which one goes ---

%macro identity_entry 2 ; register, address of memory
        mov %1, %2
        shr %1, 12
        lea %1, [page_tables + %1 * 4]
%endmacro

tables_gone:
        call fresh
        mov esi, idt
        mov edi, second_idt + 4096 - IDT_SPLIT * 8
        mov ecx, IDT_GATES * 2
        rep movsd
        mov esi, gdt
        mov edi, SECOND_GDT
        mov ecx, (GDT_LIMIT + 1) / 4
        rep movsd
        mov dword [SECOND_GDT + SEL_TEST + 16], 0x0000FFFF
        mov dword [SECOND_GDT + SEL_TEST + 20], 0x00CF9300
        lidt [second_idtr]
        lgdt [second_gdtr]
        identity_entry ebx, second_idt + 4096
        mov ecx, 3                      ; there and gone, three times
.idt:   try
        int 0x48
        tried
        cmp eax, 0x48 << 16
        jne .idt_end
        mov dword [ebx], 0
        invlpg [second_idt + 4096]
        try
        int 0x48
        tried
        mov dword [ebx], second_idt + 4096 + PTE_P + PTE_W
        cmp eax, VEC_PF << 16
        jne .idt_end
        cmp dword [trap_cr2], second_idt + 4096 + (0x48 - IDT_SPLIT) * 8
        jne .idt_end
        mov esi, PROGRAM                ; of a program too: the CPU looks, not the program
        mov dword [ebx], 0
        invlpg [second_idt + 4096]
        mov eax, program_read
        call program_run
        mov dword [ebx], second_idt + 4096 + PTE_P + PTE_W
        cmp eax, VEC_PF << 16
        jne .idt_end
        mov eax, program_read
        call program_run
        cmp eax, NO_TRAP
        jne .idt_end
        dec ecx
        jnz .idt
        mov eax, RIGHT
.idt_end:
        check "gone.idt", RIGHT

        ; A page fault whose own gate is not there: a double fault, whose gate is.
        lidt [split_idtr]
        mov esi, idt
        mov edi, second_idt + 4096 - VEC_PF * 8
        mov ecx, IDT_GATES * 2
        rep movsd
        mov ecx, 3
.double:
        mov dword [ebx], 0
        invlpg [second_idt + 4096]
        try
        mov eax, [NOWHERE]
        tried
        mov edx, [trap_cr2]
        mov dword [ebx], second_idt + 4096 + PTE_P + PTE_W
        cmp eax, VEC_DF << 16
        jne .double_end
        mov eax, edx                    ; of the fault that came last
        cmp eax, second_idt + 4096
        jne .double_end
        try
        mov eax, [NOWHERE]
        tried
        cmp eax, VEC_PF << 16
        jne .double_end
        dec ecx
        jnz .double
        mov eax, RIGHT
.double_end:
        check "gone.idt-fault", RIGHT
        lidt [idtr]

        identity_entry ebx, second_gdt + 4096
        mov edi, SEL_TEST + 16
        mov ecx, 3
.gdt:   try
        mov es, edi
        tried
        mov edx, SEL_DATA               ; handlers save and load ES
        mov es, edx
        cmp eax, NO_TRAP
        jne .gdt_end
        mov dword [ebx], 0
        invlpg [second_gdt + 4096]
        try
        mov es, edi
        tried
        mov dword [ebx], second_gdt + 4096 + PTE_P + PTE_W
        cmp eax, VEC_PF << 16
        jne .gdt_end
        cmp dword [trap_cr2], SECOND_GDT + SEL_TEST + 16
        jne .gdt_end
        try
        lar eax, edi                    ; it is back, without an invalidation
        tried
        cmp eax, NO_TRAP
        jne .gdt_end
        dec ecx
        jnz .gdt
        mov eax, RIGHT
.gdt_end:
        lgdt [gdtr]
        mov ecx, SEL_DATA
        mov es, ecx
        check "gone.gdt", RIGHT

        call gdt_spaces
        ; LDTs where nothing is mapped: in the VMM's range, and elsewhere; and none at all.
        mov ebx, 0xF0000000
        call .no_ldt
        check "gone.ldt-vmm", VEC_PF << 16
        mov eax, [trap_cr2]
        check "gone.ldt-vmm-cr2", 0xF0000008
        mov ebx, NOWHERE
        call .no_ldt
        check "gone.ldt", VEC_PF << 16
        xor eax, eax
        lldt ax
        mov ecx, 0x0C
        try
        mov fs, ecx
        tried
        check "gone.no-ldt", VEC_GP << 16 | 0x0C
        mov eax, SEL_LDT
        lldt ax
        ret
; An LDT at EBX, and a segment from it, twice
.no_ldt:
        mov edi, gdt + SEL_TEST + 16
        mov eax, ebx
        mov ecx, 0xFFFF
        mov edx, 0x82
        call put_descriptor
        mov eax, SEL_TEST + 16
        lldt ax
        mov ecx, 2
        mov edx, 0x0C
.again: try
        mov fs, edx
        tried
        loop .again
        ret

; A GDT at SPOT, which is another page under another directory.
gdt_spaces:
        mov edi, frames
        call .copy
        mov edi, frames + FRAME
        call .copy
        mov byte [frames + SEL_TEST + 16 + 2], 4        ; base 4
        mov esi, page_dir
        mov edi, other_dir
        mov ecx, 1024
        rep movsd
        mov dword [spot_table2], frames + FRAME + ALL
        mov dword [other_dir + (SPOT >> 22) * 4], spot_table2 + ALL
        mov dword [frames + 2 * FRAME], 0x10
        mov dword [frames + 2 * FRAME + 4], 0x14
        call reload
        lgdt [spot_gdtr]
        mov ecx, SEL_TEST + 16
        mov edx, 3
        xor eax, eax
        xor ebx, ebx
.next:  mov esi, other_dir
        mov cr3, esi
        mov fs, ecx
        add eax, [fs:frames + 2 * FRAME]
        mov esi, page_dir
        mov cr3, esi
        mov fs, ecx
        add ebx, [fs:frames + 2 * FRAME]
        dec edx
        jnz .next
        lgdt [gdtr]
        mov fs, edx
        check "gdt.spaces", 3 * 0x10
        mov eax, ebx
        check "gdt.spaces-back", 3 * 0x14
        ; A table that was ordinary memory a moment ago, and changes at once.
        mov edx, 3
        xor ebx, ebx
.fresh: mov edi, frames + 3 * FRAME
        call .copy
        lgdt [fresh_gdtr]
        mov byte [frames + 3 * FRAME + SEL_TEST + 16 + 2], 4
        mov ecx, SEL_TEST + 16
        mov fs, ecx
        add ebx, [fs:frames + 2 * FRAME]
        lgdt [gdtr]
        dec edx
        jnz .fresh
        mov fs, edx
        mov eax, ebx
        check "gdt.fresh", 3 * 0x14
        ret
.copy:  mov esi, gdt
        mov ecx, (GDT_LIMIT + 1) / 4
        push edi
        rep movsd
        pop edi
        mov dword [edi + SEL_TEST + 16], 0x0000FFFF
        mov dword [edi + SEL_TEST + 20], 0x00CF9300
        ret

; --- where software modes have their VMM ---

section .rodata
vmm_addresses:
        dd 0xF0000000, 0xF0100000, 0xF0300000, 0xFDFFFFFC, 0xFFFFFFFC
VMM_ADDRESSES equ ($ - vmm_addresses) / 4
section .text

; Nothing is mapped there: page faults. Then something is, and nobody uses it.
vmm_range:
        call fresh
        xor ebx, ebx
.next:  mov esi, [vmm_addresses + ebx * 4]
        invlpg [esi]
        mov edi, 0x33333333
        xor ebp, ebp
.kind:  mov eax, ebp
        call access
        lea ecx, [ebp * 2 + (VEC_PF << 16)]
        cmp eax, ecx
        jne .end
        mov eax, [trap_cr2]
        cmp eax, esi
        jne .end
        inc ebp
        cmp ebp, 4
        jne .kind
        inc ebx
        cmp ebx, VMM_ADDRESSES
        jne .next
        mov eax, RIGHT
.end:   check "vmm-range.faults", RIGHT
        mov edi, page_dir + (0xF0000000 >> 22) * 4
        mov eax, spot_table + ALL
        mov ecx, 64
        rep stosd
        call reload
        invlpg [0xF0300000]
        invlpg [0xFE000000]
        mov eax, [SPOT + FRAME]
        mov esi, PROGRAM
        mov eax, program_read
        call program_run
        call reload
        xor eax, eax
        mov ecx, 64
.entry: or eax, [page_dir + (0xF0000000 >> 22) * 4 + ecx * 4 - 4]
        mov dword [page_dir + (0xF0000000 >> 22) * 4 + ecx * 4 - 4], 0
        loop .entry
        check "vmm-range.mapped", spot_table + ALL
        jmp reload

; --- code everywhere ---

; The same page of code every 16 MB from 32 MB on: wherever a VMM moves code to, there is code of the
; guest some distance away, and it must not be reached unseen.
far_code:
        call fresh
        mov dword [frames + 0x100], 0x90C3C88C  ; mov eax, cs; ret
        mov edi, page_dir + 8 * 4
        mov ecx, 54
.map:   mov dword [edi], spot_table + ALL
        add edi, 16
        loop .map
        mov ebx, 0x02000100
        call ebx
        mov ecx, 54
.read:  mov eax, [ebx]                          ; all of it is in a TLB, or a shadow, as data
        add ebx, 0x01000000
        loop .read
        mov ebx, 0x02000100
        mov ecx, 54
        xor edx, edx
.run:   call ebx
        movzx eax, ax
        add edx, eax
        add ebx, 0x01000000
        loop .run
        mov eax, edx
        check "far-code", 54 * SEL_CODE
        ret
