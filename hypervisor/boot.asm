; Where GRUB hands over: 32-bit protected mode, paging off, EAX = magic, EBX = information
; (Multiboot 1 specification, section 3.2). Builds the first page tables and goes high.
;
; The VMM is linked at VMM_BASE + VMM_LOAD_HPA and runs from the direct map of the first 224 MB of
; host memory that starts at VMM_BASE. PAE paging: NX exists only in the PAE formats, and under
; QEMU nested paging silently does nothing on a host with 2-level tables.

bits 32

VMM_BASE        equ 0xF0000000
DIRECT_2MB      equ 112                 ; 224 MB in 2 MB pages
FLAGS           equ (1 << 0) | (1 << 1) ; page-align modules, give the memory map
MAGIC           equ 0x1BADB002

extern vmm_main, _bss_start, _bss_end, _load_start, _load_end
global _start, boot_pdpt, boot_pd_high

%define PHYS(x) ((x) - VMM_BASE)

section .multiboot align=4
        dd MAGIC, FLAGS, -(MAGIC + FLAGS)

section .text
_start:
        cli
        cld
        ; Clear .bss (the ELF loader did so too, but the page tables below rely on it).
        mov esi, eax
        mov edi, PHYS(_bss_start)
        mov ecx, PHYS(_bss_end)
        sub ecx, edi
        shr ecx, 2
        xor eax, eax
        rep stosd
        mov esp, PHYS(boot_stack_top)

        ; PAE and NX are needed (SDM vol. 3A section 4.1.4): say so in words when missing.
        mov edi, no_pae
        push ebx
        mov eax, 1
        cpuid
        test edx, 1 << 6                ; PAE
        jz .refuse
        mov edi, no_nx
        mov eax, 0x80000000
        cpuid
        cmp eax, 0x80000001
        jb .refuse
        mov eax, 0x80000001
        cpuid
        test edx, 1 << 20               ; NX
        jz .refuse
        pop ebx

        ; Directory of the high direct map, present, writable, 2 MB, global.
        mov edi, PHYS(boot_pd_high) + 384 * 8
        mov eax, 0x183
        mov ecx, DIRECT_2MB
.map:   mov [edi], eax
        add edi, 8
        add eax, 0x200000
        loop .map
        ; A low identity map of 1 GB's first entries, for the few instructions until the jump.
        mov dword [PHYS(boot_pd_low)], 0x083
        mov dword [PHYS(boot_pd_low) + 8], 0x200083
        mov dword [PHYS(boot_pdpt)], PHYS(boot_pd_low) + 1
        mov dword [PHYS(boot_pdpt) + 24], PHYS(boot_pd_high) + 1

        mov eax, cr4
        or eax, (1 << 5) | (1 << 7)     ; PAE, PGE
        mov cr4, eax
        mov eax, PHYS(boot_pdpt)
        mov cr3, eax
        mov ecx, 0xC0000080             ; EFER.NXE
        rdmsr
        or eax, 1 << 11
        wrmsr
        mov eax, cr0
        and eax, ~((1 << 29) | (1 << 30) | (1 << 2)) ; caches on, no x87 emulation
        or eax, (1 << 31) | (1 << 16) | (1 << 5) | 1 ; PG, WP, NE, PE
        mov cr0, eax
        mov eax, .high
        jmp eax
.high:
        mov esp, boot_stack_top
        xor ebp, ebp                    ; ends the backtrace
        push ebx
        push esi
        call vmm_main
.stop:  cli
        hlt
        jmp .stop

; EDI = sentence. Shows it on the serial port and the screen, then stops the machine with the
; status of an error: QEMU by isa-debug-exit, Bochs by its shutdown port.
.refuse:
        mov esi, PHYS(0)
        add esi, edi
        mov ebx, 0xB8000
.char:  lodsb
        test al, al
        jz .off
        mov [ebx], al
        mov byte [ebx + 1], 0x0C
        add ebx, 2
        mov dx, 0x3F8
        out dx, al
        jmp .char
.off:   mov al, 2
        out 0xF4, al
        mov esi, PHYS(shutdown)
        mov dx, 0x8900
        mov ecx, 8
        rep outsb
        jmp .stop

section .rodata
no_pae:   db "trivisor: this CPU has no PAE; choose a CPU model from Pentium Pro on", 13, 10, 0
no_nx:    db "trivisor: this CPU has no NX (execute disable); choose a newer CPU model", 13, 10, 0
shutdown: db "Shutdown"

section .bss align=4096
boot_pd_low:    resb 4096
boot_pd_high:   resb 4096
boot_stack:     resb 16384
boot_stack_top:
alignb 32
boot_pdpt:      resb 32
