; What a guest may rely on about translations: what must be seen at once, what after INVLPG, a load of
; CR3 or a change of CR0 and CR4 (SDM vol. 3A section 4.10.4), with pages of 4 KB and 4 MB and global
; pages.
;
; A translation that a TLB may or may not have kept is never used.
%define PASSES 3
%include "common.inc"
%include "paging.inc"
%include "program.inc"
%include "spot.inc"

LARGE    equ 0x90000000         ; pages of 4 MB
LARGE_PDE equ page_dir + (LARGE >> 22) * 4

section .bss nobits
alignb 4096
other_dir:   resb 4096

section .rodata
limits: db "limits", 0
large_gdtr:  dw GDT_LIMIT
             dd LARGE + 0x1000

section .text
guest_main:
        xor eax, eax
        mov cr4, eax
        part paging_on
        part program_init
        part late
        part invalidation
        part large_pages
        part large_tables
        part global_pages
        ret

; An access of kernel or program (bits as in access) that may fault once for nothing, as long as
; rights were only added. ESI = address, EAX. Returns EAX = NO_TRAP, or the second fault.
twice:  push eax
        call access
        cmp eax, NO_TRAP
        pop ecx
        je .end
        mov eax, ecx
        call access
.end:   ret

; --- what needs no invalidation ---

late:   call fresh
        mov esi, SPOT + 0x5000
        try
        mov eax, [esi]
        tried
        check "late.missing", VEC_PF << 16
        point 5, frames + FRAME + ALL
        try
        mov ebx, [esi]
        tried
        check "late.present", NO_TRAP
        mov eax, ebx
        check "late.value", 1
        mov dword [SPOT_PDE + 4], 0
        invlpg [SPOT + 0x400000]
        try
        mov eax, [SPOT + 0x400000]
        tried
        check "late.no-table", VEC_PF << 16
        mov dword [SPOT_PDE + 4], spot_table + ALL
        try
        mov ebx, [SPOT + 0x400000 + 3 * FRAME]
        tried
        check "late.table", NO_TRAP
        mov eax, ebx
        check "late.table-value", 3
        mov dword [SPOT_PDE + 4], 0

        point 0, frames + PTE_P
        invlpg [SPOT]
        mov esi, SPOT
        mov edi, 0x77
        mov eax, [esi]
        mov eax, 1
        call access
        check "late.read-only", VEC_PF << 16 | 3
        point 0, frames + PTE_P + PTE_W
        mov eax, 1
        call twice
        check "late.write", NO_TRAP
        mov eax, [frames]
        check "late.written", 0x77
        mov eax, 2
        call access
        check "late.kernel", VEC_PF << 16 | 5
        point 0, frames + PTE_P + PTE_U
        mov eax, 2
        call twice
        check "late.program", NO_TRAP
        mov eax, 3
        call access
        check "late.program-write", VEC_PF << 16 | 7

        ; what the kernel may write while WP is clear is still read-only for programs
        mov eax, cr0
        push eax
        and eax, ~CR0_WP
        mov cr0, eax
        mov eax, 1
        call access
        check "late.wp-off", NO_TRAP
        mov eax, 3
        call access
        check "late.wp-off-program", VEC_PF << 16 | 7
        mov eax, 2
        call access
        check "late.wp-off-read", NO_TRAP
        mov eax, 1
        call twice
        check "late.wp-off-again", NO_TRAP
        mov eax, cr0
        or eax, CR0_WP
        mov cr0, eax
        mov eax, 1
        call access
        check "late.wp-on", VEC_PF << 16 | 3
        pop eax
        mov cr0, eax
        point 0, frames + ALL
        mov edi, 0x78
        mov eax, 3
        call twice
        check "late.program-written", NO_TRAP
        mov eax, [frames]
        check "late.program-value", 0x78

        ; A page fault invalidates: the read that follows may not use what was there before. QEMU
        ; keeps it.
        mov esi, limits
        call has_word
        jnc .end
        point 1, frames + FRAME + PTE_P
        invlpg [SPOT + FRAME]
        mov esi, SPOT + FRAME
        mov eax, [esi]
        point 1, 0
        mov eax, 1
        call access
        and eax, ~1                     ; it is present, or it is not
        check "late.gone", VEC_PF << 16 | 2
        xor eax, eax
        call access
        check "late.fault-invalidates", VEC_PF << 16
.end:   ret

; --- INVLPG and CR3 ---

invalidation:
        call fresh
        mov eax, [SPOT]
        point 0, frames + FRAME + ALL
        by_invlpg "invlpg.frame", 1
        point 0, frames + 2 * FRAME + ALL
        by_cr3 "cr3.frame", 2
        mov edi, 5
        mov [SPOT], edi                 ; writable, dirty, used by a program
        mov esi, SPOT
        mov eax, 3
        call access
        point 0, frames + PTE_P + PTE_U
        refused "invlpg.read-only", 1, 3
        refused "invlpg.read-only-program", 3, 7
        point 0, frames + PTE_P + PTE_W
        refused "invlpg.kernel", 2, 5
        point 0, frames + ALL
        mov dword [SPOT_PDE], spot_table + PTE_P + PTE_U
        refused "invlpg.table-read-only", 1, 3
        mov dword [SPOT_PDE], spot_table + PTE_P + PTE_W
        refused "invlpg.table-kernel", 2, 5
        mov dword [SPOT_PDE], spot_table + ALL
        point 0, 0
        refused "invlpg.gone", 0, 0
        point 0, frames + ALL
        by_invlpg "invlpg.back", 0

        ; Another table: by CR3 all of its pages are new.
        mov eax, [SPOT + FRAME]
        mov dword [spot_table2], frames + 3 * FRAME + ALL
        mov dword [spot_table2 + 4], frames + 2 * FRAME + ALL
        mov dword [SPOT_PDE], spot_table2 + ALL
        by_cr3 "cr3.table", 3
        mov eax, [SPOT + FRAME]
        check "cr3.table2", 5
        mov dword [SPOT_PDE], spot_table + PTE_P + PTE_U
        call reload
        refused "cr3.table-read-only", 1, 3
        mov dword [SPOT_PDE], 0
        call reload
        refused "cr3.no-table", 0, 0
        mov dword [SPOT_PDE], spot_table + ALL
        by_cr3 "cr3.table-back", 0

        ; Another directory and back: meanwhile entries of this one change.
        mov esi, page_dir
        mov edi, other_dir
        mov ecx, 1024
        rep movsd
        mov dword [spot_table2], frames + FRAME + ALL
        mov dword [other_dir + (SPOT >> 22) * 4], spot_table2 + ALL
        mov dword [SPOT + FRAME], 0x21
        mov ebx, cr3
        mov ecx, other_dir
        mov cr3, ecx
        mov eax, [SPOT]
        check "cr3.other", 0x21
        point 0, frames + 3 * FRAME + ALL
        point 1, 0
        mov cr3, ebx
        mov eax, [SPOT]
        check "cr3.back", 3
        try
        mov eax, [SPOT + FRAME]
        tried
        check "cr3.back-gone", VEC_PF << 16
        ret

; --- pages of 4 MB ---

; What is found at three places of LARGE, added up; each is a number of the page that is mapped.
large_sum:
        mov eax, [LARGE + 0x1000]
        add eax, [LARGE + 0x201000]
        add eax, [LARGE + 0x3FF000]
        ret
; EDI = memory, EAX = number
large_number:
        mov [edi + 0x1000], eax
        shl eax, 4
        mov [edi + 0x201000], eax
        shl eax, 4
        mov [edi + 0x3FF000], eax
        ret

large_pages:
        call fresh
        mov eax, CR4_PSE
        mov cr4, eax
        mov edi, BIG
        mov eax, 1
        call large_number
        mov edi, BIG2
        mov eax, 2
        call large_number
        mov dword [LARGE_PDE], BIG + ALL_LARGE
        call large_sum
        check "large", 0x111
        mov dword [LARGE_PDE], BIG2 + ALL_LARGE
        invlpg [LARGE + 0x7000]         ; any of its addresses
        call large_sum
        check "large.invlpg", 0x222
        mov dword [LARGE_PDE], BIG + ALL_LARGE
        call reload
        call large_sum
        check "large.cr3", 0x111
        mov dword [LARGE + 0x201000], 0x50
        mov eax, [BIG + 0x201000]
        check "large.write", 0x50

        ; The memory would do as a table, too; what the VMM writes must not take it for one.
        mov dword [BIG + 8 * 4], frames + ALL + PTE_A + PTE_D
        mov dword [LARGE + 0x8000], 0
        sidt [LARGE + 0x8000]
        mov eax, [BIG + 0x8000 + 2]
        check "large.emulated", idt
        mov dword [BIG + 8 * 4], 0

        ; To a table with pages of both, and back.
        mov dword [spot_table2 + 1 * 4], BIG + 0x1000 + ALL
        mov dword [spot_table2 + 0x201 * 4], BIG2 + 0x201000 + ALL
        mov dword [spot_table2 + 0x3FF * 4], BIG2 + 0x1000 + ALL
        mov dword [LARGE_PDE], spot_table2 + ALL
        invlpg [LARGE]
        call large_sum
        check "large.to-table", 0x1 + 0x20 + 0x2
        mov dword [LARGE_PDE], BIG2 + ALL_LARGE
        invlpg [LARGE + 0x1000]
        invlpg [LARGE + 0x201000]
        invlpg [LARGE + 0x3FF000]
        call large_sum
        check "large.from-table", 0x222
        mov dword [LARGE_PDE], spot_table2 + ALL
        call reload
        call large_sum
        check "large.to-table-cr3", 0x1 + 0x20 + 0x2
        mov dword [LARGE_PDE], BIG + ALL_LARGE
        call reload
        call large_sum
        check "large.from-table-cr3", 0x151

        ; Without PSE, the same entry names a table.
        mov dword [BIG + 4], frames + 2 * FRAME + ALL
        xor eax, eax
        mov cr4, eax
        mov eax, [LARGE + 0x1000]
        check "large.no-pse", 2
        mov eax, CR4_PSE
        mov cr4, eax
        mov eax, [LARGE + 0x1000]
        check "large.pse", 1

        ; A reserved bit, with the page in use.
        or dword [LARGE_PDE], RESERVED
        call reload
        try
        mov eax, [LARGE + 0x1000]
        tried
        or eax, 1                       ; QEMU forgets P
        check "large.reserved", VEC_PF << 16 | 9
        mov dword [LARGE_PDE], BIG + PTE_P + PTE_U + PTE_PS
        call reload
        try
        mov [LARGE + 0x1000], eax
        tried
        check "large.read-only", VEC_PF << 16 | 3
        mov dword [LARGE_PDE], BIG + ALL_LARGE
        mov esi, LARGE + 0x1004
        mov edi, 0x99
        mov eax, 1
        call twice
        check "large.late-write", NO_TRAP
        mov eax, [BIG + 0x1004]
        check "large.late-written", 0x99
        ret

; Code and descriptor tables in a large page that becomes another by INVLPG of some address in it.
large_tables:
        call fresh
        mov eax, CR4_PSE
        mov cr4, eax
        mov dword [LARGE_PDE], BIG + ALL_LARGE
        invlpg [LARGE]
        mov dword [BIG + 0x8000], 0xC301B0      ; mov al, 1; ret
        mov dword [BIG2 + 0x8000], 0xC302B0
        xor eax, eax
        mov ebx, LARGE + 0x8000
        call ebx
        check "large.code", 1
        mov dword [LARGE_PDE], BIG2 + ALL_LARGE
        mov esi, limits
        call has_word
        jnc .cr3                        ; QEMU flushes the code of the one address only
        invlpg [LARGE + 0x3000]
        xor eax, eax
        call ebx
        check "large.code-invlpg", 2
        mov dword [LARGE_PDE], BIG + ALL_LARGE
        call reload
        xor eax, eax
        call ebx
        check "large.code-back", 1
        mov dword [LARGE_PDE], BIG2 + ALL_LARGE
.cr3:   call reload
        xor eax, eax
        call ebx
        check "large.code-cr3", 2
        mov dword [LARGE_PDE], BIG + ALL_LARGE
        call reload
        mov edi, BIG + 0x1000
        call .gdt
        mov edi, BIG2 + 0x1000
        call .gdt
        mov dword [BIG + 0x1000 + SEL_TEST + 16], 0x0000FFFF
        mov dword [BIG + 0x1000 + SEL_TEST + 20], 0x00CF9300
        mov dword [BIG2 + 0x1000 + SEL_TEST + 16], 0x1000FFFF   ; base 0x1000
        mov dword [BIG2 + 0x1000 + SEL_TEST + 20], 0x00CF9300
        lgdt [large_gdtr]
        mov ecx, SEL_TEST + 16
        mov es, ecx
        mov eax, [es:frames]
        check "large.gdt", 0
        mov dword [LARGE_PDE], BIG2 + ALL_LARGE
        invlpg [LARGE + 0x300000]
        mov es, ecx
        mov eax, [es:frames]
        check "large.gdt-invlpg", 1
        lgdt [gdtr]
        mov ecx, SEL_DATA
        mov es, ecx
        ret
.gdt:   mov esi, gdt
        mov ecx, (GDT_LIMIT + 1) / 4
        rep movsd
        ret

; --- global pages ---

global_pages:
        call fresh
        mov eax, CR4_PSE | CR4_PGE
        mov cr4, eax
        point 0, frames + ALL + PTE_G
        invlpg [SPOT]
        mov eax, [SPOT]
        call reload
        mov eax, [SPOT]
        check "global", 0
        point 0, frames + FRAME + ALL + PTE_G
        by_invlpg "global.invlpg", 1
        point 0, frames + 2 * FRAME + ALL + PTE_G
        mov eax, CR4_PSE
        mov cr4, eax
        mov eax, [SPOT]
        check "global.pge-off", 2
        point 0, frames + 3 * FRAME + ALL + PTE_G
        by_cr3 "global.not-enabled", 3
        mov eax, CR4_PSE | CR4_PGE
        mov cr4, eax
        mov eax, [SPOT]
        point 0, frames + ALL + PTE_G
        mov ecx, cr0
        and ecx, ~CR0_PG
        mov cr0, ecx
        or ecx, CR0_PG
        mov cr0, ecx
        mov eax, [SPOT]
        check "global.pg-off", 0

        ; G in the entry of a table means nothing.
        mov dword [SPOT_PDE], spot_table + ALL + PTE_G
        point 1, frames + FRAME + ALL
        call reload
        mov eax, [SPOT + FRAME]
        point 1, frames + 2 * FRAME + ALL
        call reload
        mov eax, [SPOT + FRAME]
        check "global.table", 2

        ; Global pages and others side by side, both ways round.
        point 0, frames + ALL + PTE_G
        invlpg [SPOT]
        mov eax, [SPOT]
        mov eax, [SPOT + 2 * FRAME]
        point 2, frames + 3 * FRAME + ALL
        call reload
        mov eax, [SPOT + 2 * FRAME]
        check "global.beside", 3
        mov eax, [SPOT]
        check "global.kept", 0
        point 0, frames + FRAME + ALL + PTE_G
        by_invlpg "global.beside-invlpg", 1
        mov ebx, cr3                    ; under another directory: its own page, not global
        mov ecx, other_dir
        mov dword [other_dir + (SPOT >> 22) * 4], spot_table2 + ALL
        mov dword [spot_table2], frames + 2 * FRAME + ALL
        mov cr3, ecx
        by_invlpg "global.other", 2
        mov cr3, ebx
        by_invlpg "global.back", 1

        mov dword [LARGE_PDE], BIG + ALL_LARGE + PTE_G
        invlpg [LARGE]
        mov edi, BIG
        mov eax, 1
        call large_number
        mov edi, BIG2
        mov eax, 2
        call large_number
        call large_sum
        mov dword [LARGE_PDE], BIG2 + ALL_LARGE + PTE_G
        invlpg [LARGE + 0x323456]       ; its other half
        call large_sum
        check "global.large", 0x222
        xor eax, eax
        mov cr4, eax
        ret
