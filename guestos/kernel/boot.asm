; From the boot loader's jump (Multiboot 1 section 3.2: EAX magic, EBX information, paging off) to
; C code in the higher half. Nothing here is a site: sites need paging and high addresses.

bits 32
KERNEL_BASE equ 0xC0000000
FLAGS       equ (1 << 0) | (1 << 1)
MAGIC       equ 0x1BADB002

extern kernel_main
global start, boot_stack_top

section .multiboot align=4
        dd MAGIC, FLAGS, -(MAGIC + FLAGS)

section .text
start:
        cli
        cld
        ; Map the first 4 MB at 0 (for the next few instructions) and at KERNEL_BASE.
        mov edi, boot_table - KERNEL_BASE
        mov edx, 0x003                  ; present, writable
        mov ecx, 1024
.entry: mov [edi], edx
        add edi, 4
        add edx, 4096
        loop .entry
        mov edx, boot_table - KERNEL_BASE + 3
        mov [boot_directory - KERNEL_BASE], edx
        mov [boot_directory - KERNEL_BASE + (KERNEL_BASE >> 22) * 4], edx
        mov edx, boot_directory - KERNEL_BASE
        mov cr3, edx
        mov edx, cr0
        and edx, ~((1 << 30) | (1 << 29)) ; some firmware leaves the caches off (CD, NW)
        or edx, (1 << 31) | (1 << 16) | (1 << 2) ; PG, WP; EM: no floating point, no MMX, no SSE
        mov cr0, edx
        mov edx, .high
        jmp edx
.high:
        mov esp, boot_stack_top
        xor ebp, ebp
        push ebx
        push eax
        call kernel_main
.stop:  hlt
        jmp .stop

section .bss align=4096
boot_directory: resb 4096
boot_table:     resb 4096
boot_stack:     resb 8192
boot_stack_top:
