; What a device writes to memory, it writes behind the CPU's back: code that has run there and
; descriptors that have been loaded from there are others from then on. The device is the VMM's virtio
; disk, which writes its name (OASIS Virtual I/O Device 1.2, 4.1.4 and 5.2.6); so nothing of this runs
; on the bare machine.
%include "common.inc"

PCI_ADDRESS equ 0xCF8
PCI_DATA    equ 0xCFC
DISK        equ 0x80000800      ; device 1
DISK_ID     equ 0x10421AF4

; Registers behind BAR 0, where the VMM's capabilities say they are
DRIVER_SELECT   equ 8
DRIVER_FEATURE  equ 12
STATUS          equ 20
QUEUE_LENGTH    equ 24
QUEUE_ENABLE    equ 28
QUEUE_TABLE     equ 32
QUEUE_AVAILABLE equ 40
QUEUE_USED      equ 48
NOTIFY          equ 0x40
QUEUE_SIZE      equ 4
GET_ID          equ 8
NEXT            equ 1
WRITE           equ 2
TURNS           equ 4

section .bss nobits
alignb 4096
code_page: resb 4096
alignb 4096
table:     resb 16 * QUEUE_SIZE
available: resw 2 + QUEUE_SIZE + 1
alignb 16
used:      resw 2
           resd 2 * QUEUE_SIZE
           resw 1
alignb 16
header:    resd 4
base:      resd 1
status:    resb 1

section .text
%macro pci_in 1
        mov eax, DISK + (%1)
        mov edx, PCI_ADDRESS
        out dx, eax
        mov edx, PCI_DATA
        in eax, dx
%endmacro
%macro reg32 2
        mov edx, [base]
        add edx, %1
        mov eax, %2
        out dx, eax
%endmacro
%macro reg16 2
        mov edx, [base]
        add edx, %1
        mov ax, %2
        out dx, ax
%endmacro
%macro reg8 2
        mov edx, [base]
        add edx, %1
        mov al, %2
        out dx, al
%endmacro
%macro descriptor 4 ; number, address, length, flags
        mov dword [table + 16 * (%1)], %2
        mov dword [table + 16 * (%1) + 8], %3
        mov dword [table + 16 * (%1) + 12], (%4) | ((%1) + 1) << 16
%endmacro

; EDI = where the device's name is to be. CF: the device has not written it.
get_id:
        descriptor 0, header, 16, NEXT
        descriptor 1, edi, 20, NEXT | WRITE
        descriptor 2, status, 1, WRITE
        mov dword [header], GET_ID
        mov byte [status], 0xEE
        inc word [available + 2]        ; the ring is all zeros: descriptor 0
        reg16 NOTIFY, 0
        mov ax, [used + 2]
        cmp ax, [available + 2]
        jne .no
        cmp byte [status], 0
        jne .no
        clc
        ret
.no:    stc
        ret

guest_main:
        pci_in 0
        check "dma.disk", DISK_ID
        pci_in 0x10
        and eax, ~3
        mov [base], eax
        mov eax, DISK + 4
        mov edx, PCI_ADDRESS
        out dx, eax
        mov edx, PCI_DATA
        mov eax, 5                      ; ports, and memory
        out dx, eax
        reg8 STATUS, 0
        reg8 STATUS, 3
        reg32 DRIVER_SELECT, 1
        reg32 DRIVER_FEATURE, 1
        reg8 STATUS, 11
        reg16 QUEUE_LENGTH, QUEUE_SIZE
        reg32 QUEUE_TABLE, table
        reg32 QUEUE_AVAILABLE, available
        reg32 QUEUE_USED, used
        reg16 QUEUE_ENABLE, 1
        reg8 STATUS, 15
        mov ebp, TURNS
.code:  call test_code
        dec ebp
        jnz .code
        mov ebp, TURNS
.table: call test_descriptor
        dec ebp
        jnz .table
        ret

; The name, as code, begins with JZ to its byte 0x74.
test_code:
        mov dword [code_page], 0x000001B8       ; mov eax, 1
        mov dword [code_page + 4], 0x0000C300   ; ret
        mov dword [code_page + 0x74], 0x000002B8
        mov dword [code_page + 0x78], 0x0000C300
        call code_page
        check "dma.code-before", 1
        mov edi, code_page
        call get_id
        sbb eax, eax
        check "dma.code-written", 0
        cmp eax, eax
        call code_page
        check "dma.code", 2
        ret

; The name, as a descriptor, is a segment that is not present.
test_descriptor:
        mov dword [gdt + SEL_TEST], 0x0000FFFF
        mov dword [gdt + SEL_TEST + 4], 0x00CF9300
        try
        mov eax, SEL_TEST
        mov fs, eax
        mov eax, [fs:header]
        tried
        check "dma.segment-before", NO_TRAP
        mov edi, gdt + SEL_TEST
        call get_id
        sbb eax, eax
        check "dma.segment-written", 0
        try
        mov eax, SEL_TEST
        mov fs, eax
        tried
        check "dma.segment", VEC_NP << 16 | SEL_TEST
        mov eax, SEL_DATA
        mov fs, eax
        ret
