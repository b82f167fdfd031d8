; Many address spaces, for a VMM that remembers shadow tables by CR3: more directories than it has
; room for, loaded thousands of times, with edits of the one in use and of the others, and more page
; tables than it has.
;
; The guest walks its own tables in software, in memory that is mapped one to one, so it knows what
; each access must give: a value, or a page fault, and which accessed and dirty bits there must be
; afterwards. Edits of the directory in use are invalidated, those of others need not be.
%define PASSES 3
%include "common.inc"
%include "xorshift.inc"
%include "paging.inc"
%include "program.inc"

SPACES    equ 40
LOADS     equ 3500              ; of CR3, in a pass
DIRS      equ 0x00800000        ; a directory and a table each
FRAMES    equ 0x00900000        ; and frames for all of them, with values that nothing else has
FRAME_COUNT equ 512
PRIVATE   equ 0x60000000        ; each directory has a table of its own here
PAGES     equ 8                 ; of which so many entries are used
OFFSET    equ 0x10              ; in each page
LARGE     equ 0x01800000        ; memory for a page of 4 MB

SHARED    equ 0x10000000        ; the tables that the second part maps again and again
SWEEP_DIRS equ 4
SWEEP_TABLES equ 64
SWEEP_PDES equ 320              ; page tables in a directory
SWEEP_AT  equ 0x00C00000
CR4_PSE   equ 1 << 4
CR4_PGE   equ 1 << 7

section .bss nobits
alignb 4
loads:    resd 1
wrong:    resd 1                ; the first access that went wrong: its number, from 1
accesses: resd 1
faults:   resd 1                ; of those that were right
large_seen: resd 1              ; of those, pages of 4 MB

section .text
guest_main:
        mov eax, CR4_PSE | CR4_PGE
        mov cr4, eax
        mov dword [random_state], 0x2026ABCD
        mov dword [wrong], 0
        mov dword [accesses], 0
        mov dword [faults], 0
        mov dword [large_seen], 0
        part paging_on
        part program_init
        part spaces
        part crowd
        part sweep
        mov eax, page_dir
        mov cr3, eax
        ret

; EAX = random number below %1, a power of two
%macro random_below 1
        call random
        shr eax, 7
        and eax, (%1) - 1
%endmacro

; EDI = an empty directory. It gets what all share: the kernel, and the programs.
share:  mov esi, page_dir
        mov ecx, 1024
        push edi
        rep movsd
        pop edi
        jmp program_map

; --- the walk in software ---

; ESI = linear address, EBX = directory, EAX = bits as in access. Returns EAX = NO_TRAP or the page
; fault, and when it is NO_TRAP, EDI = physical address, ECX = the entry's address, CF set when it
; is the entry of a table.
walk:   push edx
        push ebp
        mov ebp, eax
        shl eax, 1
        or eax, VEC_PF << 16            ; what it is if it fails
        mov edx, esi
        shr edx, 22
        lea ecx, [ebx + edx * 4]
        mov edx, [ecx]
        test edx, PTE_P
        jz .end
        test edx, PTE_PS
        jnz .large
        push edx
        and edx, ~0xFFF
        mov edi, esi
        shr edi, 12
        and edi, 1023
        lea ecx, [edx + edi * 4]
        mov edi, [ecx]
        pop edx
        test edi, PTE_P
        jz .end
        or eax, 1                       ; from here on it is a matter of rights
        and edx, edi                    ; of both levels
        and edi, ~0xFFF
        push eax
        mov eax, esi
        and eax, 0xFFF
        or edi, eax
        pop eax
        clc
        pushfd
        jmp .rights
.large: or eax, 1
        mov edi, edx
        and edi, 0xFFC00000
        push eax
        mov eax, esi
        and eax, 0x003FFFFF
        or edi, eax
        pop eax
        stc
        pushfd
.rights:
        test ebp, 2
        jz .write
        test edx, PTE_U
        jz .refused
.write: test ebp, 1
        jz .good
        test edx, PTE_W
        jz .refused
.good:  popfd
        mov eax, NO_TRAP
        jmp .end
.refused:
        popfd
.end:   pop ebp
        pop edx
        ret

; One access, held against the walk. ESI = linear address, EBX = the directory in use, EAX = bits.
; Counts; sets `wrong` to the access' number when it is the first that was not right.
tried_access:
        pushad
        inc dword [accesses]
        mov ebp, eax
        call walk
        setc byte [.large]
        cmp eax, NO_TRAP
        jne .must_fault
        mov edx, [ecx]
        mov [.before], edx
        push ecx
        push edi
        mov edx, [edi]                  ; the value that is there
        push edx
        mov edi, edx
        test ebp, 1
        jz .go
        call random
        mov edi, eax
.go:    mov eax, ebp
        call access
        pop ecx                         ; the old value
        pop ebx                         ; the physical address
        cmp eax, NO_TRAP
        jne .bad_pop
        test ebp, 1
        jz .read
        mov ecx, edi                    ; the new value must be there
        mov edx, [ebx]
.read:  pop ebx                         ; the entry
        cmp edx, ecx
        jne .bad
        mov eax, [ebx]
        test eax, PTE_A
        jz .bad
        mov ecx, PTE_D                  ; set, or as it was
        test ebp, 1
        jnz .dirty
        mov ecx, [.before]
.dirty: xor eax, ecx
        test eax, PTE_D
        jnz .bad
        mov ebx, [esp + 16]
        shr esi, 22
        test dword [ebx + esi * 4], PTE_A
        jz .bad
        movzx eax, byte [.large]
        add [large_seen], eax
        popad
        ret
.must_fault:
        mov ecx, eax
        mov eax, ebp
        call access
        cmp eax, ecx
        jne .bad
        cmp [trap_cr2], esi
        jne .bad
        inc dword [faults]
        popad
        ret
.bad_pop:
        pop ebx
.bad:   cmp dword [wrong], 0
        jne .known
        mov eax, [accesses]
        mov [wrong], eax
.known: popad
        ret
section .bss
tried_access.large: resb 4
tried_access.before: resd 1             ; the entry
section .text

; --- forty directories ---

; EBX = directory of number EAX
directory:
        mov ebx, eax
        shl ebx, 13
        add ebx, DIRS
        ret

; EAX = an entry for a 4 KB page: a random frame with random rights and marks; one in eight is not
; there.
random_entry:
        push ecx
        random_below FRAME_COUNT
        shl eax, 12
        lea ecx, [eax + FRAMES + PTE_P]
        call random
        and eax, PTE_W | PTE_U | PTE_A | PTE_D
        or ecx, eax
        random_below 8
        test eax, eax
        jnz .there
        and ecx, ~PTE_P
.there: mov eax, ecx
        pop ecx
        ret

; A random edit of the directory at EBX: another page, one bit of an entry, or the directory's entry.
; Returns EDI = the linear address it is about, or 0: all of PRIVATE.
random_edit:
        random_below PAGES
        mov ecx, eax
        mov edi, eax
        shl edi, 12
        add edi, PRIVATE
        lea edx, [ebx + 4096 + ecx * 4]         ; the page's entry
        random_below 16
        cmp eax, 4
        jb .page
        cmp eax, 12
        jb .bit
        lea edx, [ebx + (PRIVATE >> 22) * 4]
        xor edi, edi
        cmp eax, 13
        jb .table
        je .large
.bit:   random_below 8
        mov ecx, eax
        mov cl, [.bits + ecx]
        xor [edx], ecx
        ret
.page:  call random_entry
        mov [edx], eax
        ret
.table: call random
        and eax, PTE_W | PTE_U | PTE_A
        lea eax, [eax + ebx + 4096 + PTE_P]
        mov [edx], eax
        ret
.large: call random
        and eax, PTE_W | PTE_U | PTE_A | PTE_D
        or eax, LARGE + PTE_P + PTE_PS
        mov [edx], eax
        ret
section .rodata
random_edit.bits: db PTE_W, PTE_U, PTE_A, PTE_D, PTE_W, PTE_U, PTE_A, PTE_P
section .text

; Accesses of random kinds to random pages of the directory in use, EBX. ECX = how many
random_accesses:
        random_below PAGES
        mov esi, eax
        shl esi, 12
        add esi, PRIVATE + OFFSET
        random_below 4
        call tried_access
        dec ecx
        jnz random_accesses
        ret

spaces_init:
        mov edi, page_tables            ; the kernel's pages are global
.global:
        or dword [edi], PTE_G
        add edi, 4
        cmp edi, page_tables + 4096 * RAM_TABLES
        jne .global
        mov ecx, FRAME_COUNT
        mov edi, FRAMES
.frame: mov eax, edi
        shr eax, 4
        mov [edi + OFFSET], eax
        add edi, 4096
        loop .frame
        mov edi, LARGE
        mov ecx, PAGES
.part:  mov [edi + OFFSET], edi
        add edi, 4096
        loop .part
        xor ebp, ebp
.space: mov eax, ebp
        call directory
        mov edi, ebx
        call share
        clear ebx + 4096, 4096
        lea eax, [ebx + 4096 + PTE_P + PTE_W + PTE_U]
        mov [ebx + (PRIVATE >> 22) * 4], eax
        xor ecx, ecx
.entry: call random_entry
        mov [ebx + 4096 + ecx * 4], eax
        inc ecx
        cmp ecx, PAGES
        jne .entry
        inc ebp
        cmp ebp, SPACES
        jne .space
        ret

; Most loads choose among a few directories, as a system's do that switches between a few processes.
random_space:
        random_below 128
        cmp eax, SPACES
        jb .chosen
        and eax, 7
.chosen:
        ret

spaces: call spaces_init
        mov dword [loads], 0
.load:  call random_space
        call directory
        mov cr3, ebx
        mov ecx, 4
        call random_accesses
        ; The directory in use: an edit, and its invalidation.
        random_below 4
        test eax, eax
        jnz .others
        call random_edit
        test edi, edi
        jz .all
        invlpg [edi]
        jmp .again
.all:   mov cr3, ebx
.again: mov ecx, 2
        call random_accesses
.others:
        push ebx
        call random_space
        call directory
        call random_edit
        pop ecx
        cmp ebx, ecx                    ; the one in use, after all
        jne .next
        mov cr3, ebx
.next:  inc dword [loads]
        cmp dword [loads], LOADS
        jne .load
        mov eax, [loads]
        check "spaces.loads", LOADS
        mov eax, [wrong]
        check "spaces.wrong", 0
        ; Enough of each kind, and the same on every machine.
        mov eax, [faults]
        mov ecx, 10
        mul ecx
        cmp eax, [accesses]
        seta al
        movzx eax, al
        check "spaces.faults", 1
        mov eax, [large_seen]
        cmp eax, 300
        seta al
        movzx eax, al
        check "spaces.large", 1
        ret

; --- more pages of one table than a VMM remembers one by one ---

CROWD equ 150

; Reads of the first CROWD pages of PRIVATE under EBX
crowd_reads:
        mov cr3, ebx
        mov esi, PRIVATE + OFFSET
.page:  mov eax, 0
        call tried_access
        add esi, 4096
        cmp esi, PRIVATE + OFFSET + CROWD * 4096
        jne .page
        ret

; Directory 0 has all of them, directory 1 only its few; between the rounds some of them change.
crowd:  mov dword [wrong], 0
        mov eax, 1
        call directory
        mov ebp, ebx
        xor eax, eax
        call directory
        lea eax, [ebx + 4096 + PTE_P + PTE_W + PTE_U]
        mov [ebx + (PRIVATE >> 22) * 4], eax
        xor ecx, ecx
.entry: mov eax, ecx
        shl eax, 12
        add eax, FRAMES + PTE_P + PTE_W + PTE_U
        mov [ebx + 4096 + ecx * 4], eax
        inc ecx
        cmp ecx, CROWD
        jne .entry
        mov edi, 3
.round: call crowd_reads
        xchg ebx, ebp
        call crowd_reads
        xchg ebx, ebp
        mov edx, edi
        add dword [ebx + 4096 + 7 * 4 + edx * 4], 200 * 4096
        mov dword [ebx + 4096 + 120 * 4 + edx * 4], 0
        dec edi
        jnz .round
        call crowd_reads
        mov eax, [wrong]
        check "crowd.wrong", 0
        ret

; --- more page tables than a VMM keeps ---

; Directory EBP of the second part: SWEEP_PDES entries from SHARED on, which share SWEEP_TABLES
; tables.
sweep_dir:
        mov ebx, ebp
        shl ebx, 12
        add ebx, SWEEP_AT
        ret
SWEEP_TABLES_AT equ SWEEP_AT + SWEEP_DIRS * 4096

sweep_init:
        mov edi, SWEEP_TABLES_AT
        mov ecx, SWEEP_TABLES * 1024
.entry: random_below FRAME_COUNT
        shl eax, 12
        add eax, FRAMES + PTE_P + PTE_W + PTE_U
        stosd
        loop .entry
        xor ebp, ebp
.dir:   call sweep_dir
        mov edi, ebx
        call share
        xor ecx, ecx
.pde:   random_below SWEEP_TABLES
        shl eax, 12
        add eax, SWEEP_TABLES_AT + PTE_P + PTE_W + PTE_U
        mov [ebx + (SHARED >> 22) * 4 + ecx * 4], eax
        inc ecx
        cmp ecx, SWEEP_PDES
        jne .pde
        inc ebp
        cmp ebp, SWEEP_DIRS
        jne .dir
        ret

; One access for each page table of each directory, twice round.
sweep:  call sweep_init
        mov dword [wrong], 0
        mov edi, 2
.round: xor ebp, ebp
.dir:   call sweep_dir
        mov cr3, ebx
        xor ecx, ecx
.pde:   mov esi, ecx
        shl esi, 22
        random_below 1024
        shl eax, 12
        lea esi, [esi + eax + SHARED + OFFSET]
        random_below 4
        call tried_access
        inc ecx
        cmp ecx, SWEEP_PDES
        jne .pde
        inc ebp
        cmp ebp, SWEEP_DIRS
        jne .dir
        dec edi
        jnz .round
        mov eax, [wrong]
        check "sweep.wrong", 0
        ret
