; Interrupts while the kernel notes changes of translations: the VMM may stop a stub between any two
; of its instructions, and nothing of what is noted may be lost. A timer ticks as fast as it can, and
; the kernel changes many pages in each round, and reads them when it was interrupted.
%include "common.inc"
%include "paging.inc"
%include "pv.inc"
%include "irq0.inc"

WIN      equ 0x80000000
FRAMES   equ 0x1000000
FRAME_COUNT equ 64
MARK     equ 0xABC00000
READY    equ PTE_P | PTE_W | PTE_A | PTE_D
CHANGES  equ 60
ROUNDS   equ 6000
SPARE    equ WIN + 0x3FF000     ; a page that does not matter
VEC_IRQ0 equ 0x20
TIMER_COUNT equ 200             ; of the 8254's 1.19 MHz

section .bss nobits
alignb 4096
win_table:  resb 4096
round:      resd 1
interrupts: resd 1
looked:     resd 1              ; interrupts at the last look
stale:      resd 1
wrong:      resd 1              ; entries that are not behind the others

section .text
on_irq: push eax
        mov al, 0x20
        out 0x20, al
        inc dword [interrupts]
        pop eax
        pv_iret

; EAX = the frame of page EBX in this round
frame_now:
        mov eax, [round]
        add eax, ebx
        and eax, FRAME_COUNT - 1
        ret

; Change all pages of a round, the flushes queued; then have the queue emptied.
change:
        mov dword [shared_page + SHARED_LIMIT], PV_QUEUE_MAX
        xor ebx, ebx
.page:  call frame_now
        shl eax, 12
        add eax, FRAMES + READY
        mov [win_table + ebx * 4], eax
        mov eax, ebx
        shl eax, 12
        lea eax, [eax + WIN]
        mov esi, eax
        pv_invlpg
        mov eax, [shared_page + SHARED_COUNT]
        test eax, eax                   ; 0: on the bare machine
        jz .next
        cmp [shared_page + SHARED_QUEUE + eax * 8 - 4], esi
        je .next
        inc dword [wrong]
.next:  inc ebx
        cmp ebx, CHANGES
        jne .page
        mov dword [shared_page + SHARED_LIMIT], 0
        mov eax, SPARE
        pv_invlpg
        ret

; Count the pages that read as something else.
look:   xor ebx, ebx
.page:  call frame_now
        add eax, MARK
        mov ecx, ebx
        shl ecx, 12
        cmp [ecx + WIN], eax
        je .next
        inc dword [stale]
.next:  inc ebx
        cmp ebx, CHANGES
        jne .page
        ret

start_timer:
        call irq0_on
        mov al, 0x34
        out 0x43, al
        mov al, TIMER_COUNT
        out 0x40, al
        mov al, 0
        out 0x40, al
        ret

guest_main:
        xor ecx, ecx
.mark:  mov edx, ecx
        shl edx, 12
        lea eax, [ecx + MARK]
        mov [edx + FRAMES], eax
        inc ecx
        cmp ecx, FRAME_COUNT
        jne .mark
        call paging_on
        mov dword [page_dir + (WIN >> 22) * 4], win_table + READY
        call start_timer
        pv_sti
.round: call change
        mov eax, [interrupts]
        cmp eax, [looked]
        je .unseen
        mov [looked], eax
        call look
.unseen:
        inc dword [round]
        cmp dword [round], ROUNDS
        jne .round
        pv_cli
        mov eax, [interrupts]
        cmp eax, 20
        sbb eax, eax
        check "queue.interrupted", 0
        mov eax, [wrong]
        check "queue.in-order", 0
        mov eax, [stale]
        check "queue.nothing-stale", 0
        ret
