; What data can do to a VMM: segments, descriptor tables, page tables, control registers, ports and
; faults that are hostile or only odd.
%define PASSES 3
%include "common.inc"
%include "paging.inc"

RECURSIVE equ 0x80000000        ; the directory as a page table of itself
LARGE     equ 0x90000000        ; one page of 4 MB
HOLE      equ 0x78000000        ; no memory there
CR4_PSE   equ 1 << 4

section .bss nobits
alignb 4096
scratch:  resb 4096 * 2

section .data
align 4096
; A page that is code, descriptor table and stack at once.
mixed:
mixed_gdt: times 16 dq 0
mixed_code:
        mov eax, cs
        push eax
        pop ecx
        mov [mixed_gdt + SEL_TEST + 7], byte 0
        ret
        times 512 db 0
mixed_stack:
        times 3000 db 0
mixed_gdtr: dw 16 * 8 - 1
            dd mixed_gdt

section .rodata
wild_tables:
        dw 0xFFFF
        dd 0xF0000000           ; the VMM's own memory
        dw 0xFFFF
        dd HOLE
        dw 0xFFFF
        dd 0xFFFFFFF8           ; wraps around
        dw 0x0007
        dd 0xFE000000           ; the code window
        dw 0
        dd 0
WILD_TABLES equ ($ - wild_tables) / 6

limits: db "limits", 0
no_far_calls: db "no-far-calls", 0

section .text
guest_main:
        clear scratch, 4096 * 2
        mov cr4, eax
        part wild_descriptor_tables
        part segments
        mov esi, no_far_calls
        call has_word
        jc .mixed
        part code_segments
.mixed:
        part mixed_page
        part double_fault
        part control_registers
        part paging_on
        part page_faults
        part page_tables_of_themselves
        part string_io
        ret

; GDTR is loaded with nonsense; the segment registers keep what they hold, and traps still work.
; Then IDTR.
wild_descriptor_tables:
        mov ebx, wild_tables
        xor ebp, ebp
.next:  lgdt [ebx]
        cli
        mov eax, cr0
        sgdt [scratch]
        lgdt [gdtr]
        mov eax, [scratch + 2]
        cmp eax, [ebx + 2]
        jne .bad
        lidt [ebx]
        cli
        mov eax, cr0
        sidt [scratch]
        lidt [idtr]
        mov eax, [scratch + 2]
        cmp eax, [ebx + 2]
        jne .bad
        inc ebp
        add ebx, 6
        cmp ebp, WILD_TABLES
        jne .next
.bad:   mov eax, ebp
        check "tables.wild", WILD_TABLES
        real_flags
        mov eax, [trap_vector]
        check "tables.back", VEC_UD
        ret

; SEL_TEST = data segment: EAX base, ECX limit, DX access and flags; loaded into FS.
test_segment:
        mov edi, gdt + SEL_TEST
        call put_descriptor
        mov eax, SEL_TEST
        mov fs, eax
        ret

segments:
        ; Linear addresses wrap around 4 GB.
        mov eax, 0xF0000000
        mov ecx, 0xFFFFF
        mov edx, 0xC093
        call test_segment
        mov dword [scratch], 0x12345678
        mov ebx, scratch + 0x10000000
        mov eax, [fs:ebx]
        check "segment.wrap", 0x12345678
        mov dword [fs:ebx], 0x87654321
        mov eax, [scratch]
        check "segment.wrap-write", 0x87654321

        ; From an LDT that says something else a moment later.
        mov eax, 0x0C
        mov gs, eax
        mov eax, [gs:scratch]
        check "ldt.data", 0x87654321
        mov byte [ldt + 8 + 4], 0x10    ; base 0x00100000
        mov eax, [gs:scratch]
        check "ldt.cached", 0x87654321
        mov eax, 0x0C
        mov gs, eax
        mov eax, [gs:scratch - 0x100000]
        check "ldt.reloaded", 0x87654321
        mov byte [ldt + 8 + 4], 0
        mov eax, gs
        movzx eax, ax
        check "ldt.selector", 0x0C

        ; A descriptor in use is rewritten: the register keeps what it loaded. Then null.
        mov eax, 4
        mov ecx, 0xFFFFF
        mov edx, 0xC093
        call test_segment
        mov dword [scratch + 4], 0x44444444
        mov byte [gdt + SEL_TEST + 2], 0
        mov eax, [fs:scratch]
        check "gdt.cached", 0x44444444
        cli
        mov eax, [fs:scratch]
        check "gdt.cached-trap", 0x44444444
        mov ecx, SEL_TEST
        try
        mov byte [gdt + SEL_TEST + 5], 0x13     ; not present
        mov fs, ecx
        tried
        check "gdt.not-present", VEC_NP << 16 | SEL_TEST
        mov ecx, SEL_TSS
        try
        mov fs, ecx
        tried
        check "gdt.system", VEC_GP << 16 | SEL_TSS
        mov ecx, GDT_LIMIT + 1
        try
        mov fs, ecx
        tried
        check "gdt.limit", VEC_GP << 16 | (GDT_LIMIT + 1)
        mov ecx, 0xFFA8                         ; the VMM's own selectors are there
        try
        mov fs, ecx
        tried
        check "gdt.vmm", VEC_GP << 16 | 0xFFA8
        mov ecx, SEL_DATA | 3
        try
        mov fs, ecx
        tried
        check "gdt.rpl3", VEC_GP << 16 | SEL_DATA
        xor eax, eax
        mov fs, eax
        mov gs, eax

        mov esi, limits
        call has_word
        jnc .end
        try
        mov eax, [fs:scratch]
        tried
        check "limit.null", VEC_GP << 16
        mov eax, scratch                        ; 16 bytes
        mov ecx, 15
        mov edx, 0x4093
        call test_segment
        mov eax, [fs:12]
        try
        mov eax, [fs:13]
        tried
        check "limit.data", VEC_GP << 16
        mov eax, scratch - 0x1000               ; expand-down: from 0x1000 up
        mov ecx, 0xFFF
        mov edx, 0x4097
        call test_segment
        mov eax, [fs:0x1000]
        try
        mov eax, [fs:0xFFF]
        tried
        check "limit.expand-down", VEC_GP << 16
        mov eax, 0
        mov ecx, 0xFFFFF
        mov edx, 0xC091                         ; read-only
        call test_segment
        try
        mov [fs:scratch], eax
        tried
        check "limit.read-only", VEC_GP << 16
.end:   ret

; Code at other bases, from GDT and LDT, conforming or not.
code_segments:
        mov edi, gdt + SEL_TEST
        mov eax, .here
        mov ecx, 0xFFFFF
        mov edx, 0xC09B
        call put_descriptor
        xor eax, eax
        jmp SEL_TEST:0
.back:  check "code.base", SEL_TEST
        mov edi, gdt + SEL_TEST
        mov eax, .conforming
        mov ecx, 0xFFFFF
        mov edx, 0xC09F
        call put_descriptor
        call SEL_TEST:0
        check "code.conforming", SEL_TEST
        call 0x14:.ldt
        check "code.ldt", 0x14
        mov edi, gdt + SEL_TEST
        mov eax, 0xF0000000                     ; linear addresses wrap around 4 GB
        mov ecx, 0xFFFFF
        mov edx, 0xC09B
        call put_descriptor
        call SEL_TEST:(.wrapped + 0x10000000)
        check "code.wrap", SEL_TEST
        try
        jmp SEL_DATA:0
        tried
        check "code.data", VEC_GP << 16 | SEL_DATA
        try
        jmp SEL_TSS:0                           ; busy: no task switch
        tried
        check "code.busy-task", VEC_GP << 16 | SEL_TSS
        ; A call gate to SEL_CODE.
        mov dword [gdt + SEL_TEST], SEL_CODE << 16
        mov eax, .gate
        mov [gdt + SEL_TEST], ax
        and eax, 0xFFFF0000
        or eax, 0x8C00
        mov [gdt + SEL_TEST + 4], eax
        call SEL_TEST:0
        check "code.gate", SEL_CODE
        mov esi, limits
        call has_word
        jnc .end
        mov edi, gdt + SEL_TEST
        mov eax, 0
        mov ecx, 0xFFFF                         ; code ends at 64 KB
        mov edx, 0x409B
        call put_descriptor
        try
        jmp SEL_TEST:.end
        tried
        check "limit.jmp", VEC_GP << 16
.end:   ret
.here:  mov eax, cs
        movzx eax, ax
        jmp SEL_CODE:.back
.conforming:
.ldt:
.gate:
.wrapped:
        mov eax, cs
        movzx eax, ax
        retf

; Every push and the code itself lie on a page that the VMM watches for two reasons.
mixed_page:
        mov esi, gdt
        mov edi, mixed_gdt
        mov ecx, (GDT_LIMIT + 1) / 4
        rep movsd
        mov ebp, esp
        lgdt [mixed_gdtr]
        mov esp, mixed_stack + 2048
        xor ecx, ecx
        mov ebx, 50
.again: call mixed_code
        dec ebx
        jnz .again
        try
        ud2
        tried
        mov edx, eax
        mov esp, ebp
        lgdt [gdtr]
        movzx eax, cx
        check "mixed.code", SEL_CODE
        mov eax, edx
        check "mixed.trap", VEC_UD << 16
        ret

; #GP's gate is not present: while #GP is delivered, #NP; together a double fault.
double_fault:
        and byte [idt + VEC_GP * 8 + 5], 0x7F
        try
        int 0xF1                                ; beyond the IDT
        tried
        check "double-fault.int", VEC_DF << 16
        mov ecx, GDT_LIMIT + 1
        try
        mov ds, ecx
        tried
        or byte [idt + VEC_GP * 8 + 5], 0x80
        check "double-fault", VEC_DF << 16
        and byte [idt + VEC_UD * 8 + 5], 0x7F
        try
        ud2                                     ; benign, then #NP
        tried
        or byte [idt + VEC_UD * 8 + 5], 0x80
        mov eax, [trap_vector]
        check "double-fault.benign", VEC_NP
        ret

control_registers:
        mov ecx, cr0
        mov esi, limits
        call has_word
        jnc .cr4
        mov eax, ecx
        and eax, ~1
        or eax, CR0_PG
        try
        mov cr0, eax                            ; PG without PE
        tried
        check "cr0.pg", VEC_GP << 16
        mov eax, ecx
        or eax, 1 << 29
        and eax, ~(1 << 30)
        try
        mov cr0, eax                            ; NW without CD
        tried
        check "cr0.nw", VEC_GP << 16
        mov eax, cr0
        sub eax, ecx
        check "cr0.kept", 0
        mov eax, 1 << 31                        ; QEMU hangs here
        try
        mov cr4, eax
        tried
        check "cr4.reserved", VEC_GP << 16
.cr4:   mov eax, cr4
        check "cr4.kept", 0
        try
        db 0x0F, 0x20, 0xC8                     ; mov eax, cr1
        tried
        check "cr1", VEC_UD << 16
        try
        db 0x0F, 0x22, 0xE8                     ; mov cr5, eax
        tried
        check "cr5", VEC_UD << 16
        mov eax, 0xABCDEF01
        mov cr2, eax
        xor eax, eax
        mov eax, cr2
        check "cr2", 0xABCDEF01
        ret

page_faults:
        try
        mov eax, [NOWHERE + 4]
        tried
        check "pf.read", VEC_PF << 16
        mov eax, [trap_cr2]
        check "pf.cr2", NOWHERE + 4
        try
        mov [NOWHERE + 8], eax
        tried
        check "pf.write", VEC_PF << 16 | 2
        mov eax, [trap_cr2]
        check "pf.write-cr2", NOWHERE + 8

        ; Read-only: WP decides for supervisors.
        mov ebp, scratch
        shr ebp, 12
        lea ebp, [alias_table + ebp * 4]
        mov eax, scratch + PTE_P
        mov [ebp], eax
        mov eax, [ALIAS + scratch]
        mov eax, [ebp]
        and eax, PTE_A | PTE_D
        check "pte.accessed", PTE_A
        try
        mov [ALIAS + scratch], eax
        tried
        check "pf.read-only", VEC_PF << 16 | 3
        mov eax, cr0
        and eax, ~CR0_WP
        mov cr0, eax
        mov dword [ALIAS + scratch], 0x57
        mov eax, cr0
        or eax, CR0_WP
        mov cr0, eax
        mov eax, [scratch]
        check "wp.off", 0x57
        try
        mov [ALIAS + scratch], eax
        tried
        check "wp.on", VEC_PF << 16 | 3
        mov eax, [ebp]
        and eax, PTE_A | PTE_D
        check "pte.dirty", PTE_A | PTE_D

        ; An access that starts on one page and faults on the next changes nothing.
        mov dword [ebp], scratch + PTE_P + PTE_W
        mov dword [ebp + 4], 0
        mov eax, cr3
        mov cr3, eax
        mov dword [scratch + 0xFFC], 0x11111111
        mov eax, 0x22222222
        try
        mov [ALIAS + scratch + 0xFFE], eax
        tried
        check "pf.crossing", VEC_PF << 16 | 2
        mov eax, [trap_cr2]
        check "pf.crossing-cr2", ALIAS + scratch + 0x1000
        mov eax, [scratch + 0xFFC]
        check "pf.crossing-nothing", 0x11111111

        ret

page_tables_of_themselves:
        mov dword [page_dir + (RECURSIVE >> 22) * 4], page_dir + PTE_P + PTE_W
        mov eax, [RECURSIVE + (RECURSIVE >> 10) + (ALIAS >> 22) * 4]
        and eax, 0xFFFFF000
        check "loop.directory", alias_table
        ; Through the loop, map a page, use it, and unmap it.
        mov ebx, RECURSIVE + (ALIAS >> 10)
        mov ecx, scratch
        shr ecx, 12
        mov dword [ebx + ecx * 4], scratch + 4096 + PTE_P + PTE_W
        mov dword [scratch + 4096], 0x1357
        invlpg [ALIAS + scratch]
        mov eax, [ALIAS + scratch]
        check "loop.mapped", 0x1357
        mov dword [ebx + ecx * 4], 0
        invlpg [ALIAS + scratch]
        try
        mov eax, [ALIAS + scratch]
        tried
        check "loop.unmapped", VEC_PF << 16

        ; One large page, and all directory entries the directory itself but those in use.
        mov eax, cr4
        or eax, CR4_PSE
        mov cr4, eax
        mov dword [page_dir + (LARGE >> 22) * 4], 0x83
        mov eax, [LARGE + scratch + 4096]
        check "large.read", 0x1357
        mov dword [LARGE + scratch + 4096], 0x2468
        mov eax, [scratch + 4096]
        check "large.write", 0x2468
        mov eax, [page_dir + (LARGE >> 22) * 4]
        and eax, PTE_A | PTE_D
        check "large.dirty", PTE_A | PTE_D
        mov eax, LARGE + .seven
        call eax
        check "large.run", 7
        mov eax, page_dir + PTE_P + PTE_W
        mov edi, page_dir + (0xA0000000 >> 22) * 4
        mov ecx, 256
        rep stosd
        mov eax, cr3
        mov cr3, eax
        xor ebx, ebx
        mov esi, 0xA0000000
.walk:  mov eax, [esi + (ALIAS >> 22) * 4]
        mov edx, 0xFFFFF000
        and eax, edx
        add ebx, eax
        add esi, 1 << 22
        cmp esi, 0xE0000000
        jne .walk
        mov eax, ebx
        check "loop.many", 256 * 0x100000       ; entry 256 of the first table, 256 times
        ret
.seven: mov eax, 7
        ret

; String I/O up to a page that is not there, and the end of the port space.
string_io:
        mov ebp, scratch
        shr ebp, 12
        lea ebp, [alias_table + ebp * 4]
        mov dword [ebp], scratch + PTE_P + PTE_W
        mov dword [ebp + 4], 0
        mov eax, cr3
        mov cr3, eax
        mov esi, ALIAS + scratch + 4094
        mov ecx, 5
        mov edx, 0x80
        try
        rep outsb
        tried
        check "outs.fault", VEC_PF << 16
        mov eax, ecx
        check "outs.count", 3
        mov eax, esi
        check "outs.address", ALIAS + scratch + 4096
        mov edi, ALIAS + scratch + 4096
        mov ecx, 5
        try
        rep insb
        tried
        check "ins.fault", VEC_PF << 16 | 2
        mov eax, ecx
        check "ins.count", 5
        mov esi, 0x00107000
        mov ecx, 0x00010003
        a16 rep outsb
        mov eax, ecx
        check "a16.outs", 0x00010000
        mov eax, esi
        check "a16.outs-address", 0x00107003
        mov edx, 0xFFFF
        in eax, dx
        in ax, dx
        out dx, ax
        out dx, eax
        mov edx, 0xFFFD
        in eax, dx
        mov eax, 1
        check "ports.end", 1
        ret
