; Who gets what the kernel gets: code at the ends of the address space, the rings between kernel and
; programs, and levels whose segments are not, or are no longer, those of the time before. Each thing
; is done several times at one address: the first time a VMM learns it.
%define PASSES 3
%include "common.inc"
%include "paging.inc"
%include "pv.inc"
%define PROGRAM_IRET pv_iret      ; to CPL 3, IRET does not trap by itself
%include "program.inc"

SEL_RING_CODE equ SEL_TEST + 0x10
SEL_RING_DATA equ SEL_TEST + 0x18
SEL_MOVED_SS  equ SEL_TEST + 0x20 ; data at 4 KB
SEL_MOVED_CS  equ SEL_TEST + 0x28 ; code at 4 KB
VEC_RING_END  equ 0x42          ; of what runs in rings 1 and 2
VEC_BACK      equ 0x43          ; from a program, which goes on behind it

TURNS equ 8                     ; of one instruction in one ring
LAST  equ 0xFFFFFFFF            ; the last byte of the address space

section .bss nobits
alignb 4096
last_table:  resb 4096
last_page:   resb 4096
ring_stack:  resb 1024
ring_stack_top:
ring:        resd 1
ring_eflags: resd 1             ; at the end
ring_esp:    resd 1             ; the kernel's, meanwhile
faults:      resd 1
fault_last:  resd 1             ; vector << 16 | error
fault_skip:  resd 1             ; bytes of the instruction that faults
kernel_esp:  resd 1
handler_ss:  resd 1
handler_trap: resd 1

section .rodata
word_last: db "last", 0

section .text
guest_main:
        part zero
        part paging_on
        part program_init
        part last
        part iret_to_nowhere
        part rings
        part null_selectors
        part moved_stack
        part moved_code
        part program_gone
        ret

; --- instructions at EIP 0, and a trap that reports it ---

; EAX = the code at 0, four bytes. Runs it and returns EAX = EFLAGS.
at_zero:
        mov [0], eax
        xor eax, eax
        call eax
        real_flags
        ret

%macro bytes 4
        mov eax, (%1) | (%2) << 8 | (%3) << 16 | (%4) << 24
%endmacro

zero:   mov edi, TURNS
        xor ebx, ebx
.turn:  bytes 0xFB, 0xC3, 0, 0          ; STI
        call at_zero
        and eax, FL_IF
        add ebx, eax
        bytes 0xFA, 0xC3, 0, 0          ; CLI, where STI was
        call at_zero
        and eax, FL_IF
        shl eax, 16
        add ebx, eax
        dec edi
        jnz .turn
        mov eax, ebx
        check "zero.flags", TURNS * FL_IF

        mov ebx, TURNS
.same:  bytes 0xFA, 0xC3, 0, 0
        call at_zero
        dec ebx
        jnz .same
        and eax, FL_IF
        check "zero.cli", 0

        mov ebx, TURNS
        bytes 0x0F, 0x20, 0xC0, 0xC3    ; MOV EAX, CR0
        mov [0], eax
.cr0:   xor eax, eax
        call eax
        dec ebx
        jnz .cr0
        and eax, 1
        check "zero.cr0", 1

        bytes 0x0F, 0x0B, 0xC3, 0       ; UD2
        mov [0], eax
        mov ebx, TURNS
.ud2:   try
        xor eax, eax
        call eax
        tried
        add esp, 4
        dec ebx
        jnz .ud2
        check "zero.ud2", VEC_UD << 16
        mov eax, [trap_eip]
        check "zero.ud2-eip", 0
        ret

; INT3 in the last byte reports EIP 0. Only with the word "last": in para mode that page is the VMM's,
; and QEMU's translator stops at an assertion of its own.
last:   mov esi, word_last
        call has_word
        jnc .end
        mov byte [last_page + 0xFFF], 0xCC
        mov dword [last_table + 1023 * 4], last_page + PTE_P
        mov dword [page_dir + 1023 * 4], last_table + PTE_P
        mov eax, cr3
        mov cr3, eax
        mov ebx, TURNS
.turn:  try
        mov eax, LAST
        jmp eax
        tried
        dec ebx
        jnz .turn
        check "last.int3", VEC_BP << 16
        mov eax, [trap_eip]
        check "last.int3-eip", 0
        mov dword [page_dir + 1023 * 4], 0
        mov eax, cr3
        mov cr3, eax
.end:   ret

; All selectors null, as a VMM may have them for a program it has not seen yet.
iret_to_nowhere:
        mov ebx, TURNS
        mov ebp, esp
        xor edi, edi
.turn:  mov dword [trap_vector], NO_TRAP
        mov dword [trap_resume], .there
        push edi
        push edi
        push dword 2
        push edi
        push dword .there
        mov ds, edi
        mov es, edi
        mov fs, edi
        mov gs, edi
        iretd
.there: mov eax, SEL_DATA
        mov ds, eax
        mov es, eax
        mov esp, ebp
        mov dword [trap_resume], 0
        call trap_seen
        dec ebx
        jnz .turn
        check "iret.null", VEC_GP << 16
        ret

; --- rings 1 and 2 ---

; EBX = frame
ring_hook:
        cmp dword [ebx + F_VECTOR], VEC_RING_END
        je .end
        inc dword [faults]
        mov eax, [ebx + F_VECTOR]
        shl eax, 16
        or eax, [ebx + F_ERROR]
        mov [fault_last], eax
        mov eax, [fault_skip]
        add [ebx + F_EIP], eax
        ret
.end:   mov eax, [ebx + F_EFLAGS]
        mov [ring_eflags], eax
        mov esp, [ring_esp]
        mov eax, SEL_DATA
        mov ss, eax
        set_flags [pass_flags]
        mov dword [trap_hook], 0
        popad
        ret

; ECX = code, ESI = IOPL. Runs it in the ring.
ring_run:
        pushad
        mov [ring_esp], esp
        mov dword [trap_hook], ring_hook
        mov eax, [ring]
        lea edx, [eax + SEL_RING_DATA]
        add eax, SEL_RING_CODE
        shl esi, 12
        or esi, FL_IF | 2
        push edx
        push dword ring_stack_top
        push esi
        push eax
        push ecx
        mov ds, edx
        mov es, edx
        mov esi, TURNS
        iretd

; ECX = code, EDX = bytes to skip. Returns EAX = faults in both rings.
both_rings:
        mov [fault_skip], edx
        mov dword [faults], 0
        mov dword [fault_last], NO_TRAP
        xor esi, esi
        mov dword [ring], 1
        call set_ring
        call ring_run
        mov dword [ring], 2
        call set_ring
        call ring_run
        mov eax, [faults]
        ret

; The ring's segments.
set_ring:
        push ecx
        mov eax, [ring]
        shl eax, 5
        mov edx, 0xC09B
        or edx, eax
        push eax
        xor eax, eax
        mov ecx, 0xFFFFF
        mov edi, gdt + SEL_RING_CODE
        call put_descriptor
        pop eax
        mov edx, 0xC093
        or edx, eax
        xor eax, eax
        mov ecx, 0xFFFFF
        mov edi, gdt + SEL_RING_DATA
        call put_descriptor
        pop ecx
        ret

; An instruction that faults in both rings, each time: name, its bytes, vector << 16 | error, itself
%macro ring_fault 4+
        %strcat ring_name %1, "-fault"
        jmp %%past
%%code: %4
        dec esi
        jnz %%code
        int VEC_RING_END
%%past: mov ecx, %%code
        mov edx, %2
        call both_rings
        check %1, 2 * TURNS
        mov eax, [fault_last]
        check ring_name, %3
%endmacro

rings:  mov ecx, VEC_RING_END
        mov eax, [stub_table + VEC_RING_END * 4]
        mov dl, 0xEE
        call put_gate
        mov dword [tss + 4], kernel_stack_top
        ring_fault "ring.cli", 1, VEC_GP << 16, cli
        ring_fault "ring.sti", 1, VEC_GP << 16, sti
        ring_fault "ring.in", 2, VEC_GP << 16, in al, 0x80
        ring_fault "ring.cr0", 3, VEC_GP << 16, mov eax, cr0
        ring_fault "ring.clts", 2, VEC_GP << 16, clts
        ; The gates of a hypercall page.
        ring_fault "ring.gate-call", 2, VEC_GP << 16 | PV_GATE_CALL * 8 + 2, int PV_GATE_CALL
        ring_fault "ring.gate-iret", 2, VEC_GP << 16 | PV_GATE_IRET * 8 + 2, int PV_GATE_IRET

        ; POPF changes IF when IOPL allows it.
        mov ecx, ring_popf
        call both_rings
        check "ring.popf", 0
        mov eax, [ring_eflags]
        and eax, FL_IF | FL_IOPL
        check "ring.popf-flags", FL_IF
        ; A site of the kernel's changes nothing either.
        mov ecx, ring_site
        mov edx, 1
        call both_rings
        mov eax, [ring_eflags]
        and eax, FL_IF | FL_IOPL
        check "ring.site-flags", FL_IF
        mov ecx, ring_site
        mov esi, 2
        call ring_run
        mov eax, [ring_eflags]
        and eax, FL_IF | FL_IOPL
        check "ring.site-iopl", 2 << 12
        ret

ring_popf:
        push dword 2
        popfd
        dec esi
        jnz ring_popf
        int VEC_RING_END
ring_site:
        pv_cli
        dec esi
        jnz ring_site
        int VEC_RING_END

; --- programs ---

; A null selector loses its RPL when IRET goes to a program (SDM vol. 2A, IRET: SegmentSelector = 0).
; Not FS and GS, in which QEMU leaves it.
null_selectors:
        mov ecx, VEC_BACK
        mov eax, on_back
        mov dl, 0xEE
        call put_gate
        mov esi, null_program
        mov edi, program_page + 0x800
        mov ecx, null_program_end - null_program
        rep movsb
        mov eax, program_text + 0x800
        call program_run
        mov eax, [program_eax]
        check "null.selectors", 0
        ret

on_back:
        pv_iret

null_program:
        mov edi, TURNS
        xor eax, eax
.turn:  mov ecx, 3
        mov ds, ecx
        mov es, ecx
        int VEC_BACK
        mov ecx, ds
        or eax, ecx
        mov ecx, es
        or eax, ecx
        dec edi
        jnz .turn
        int VEC_DONE
null_program_end:

; A program again and again, so that all ways to it and back are known.
programs:
        mov ebx, TURNS
.turn:  mov eax, program_count
        mov edi, 3
        call program_run
        dec ebx
        jnz .turn
        ret

; The frame of IRET to a program that counts; then IRET.
%macro go_to_program 0
        push dword SEL_USER_DATA
        push dword PROGRAM_STACK
        push dword 2
        push dword SEL_USER_CODE
        push dword PROGRAM + program_count - program_text
        mov edi, 3
        pv_iret
%endmacro

; EBX = frame. What the handler got, and back to the kernel as it was.
level_hook:
        mov eax, ss
        and eax, ~3                     ; where nobody scans it has RPL 3
        mov [handler_ss], eax
        mov eax, [ss:ebx + F_VECTOR]
        mov [handler_trap], eax
        mov eax, SEL_DATA
        mov ss, eax
        mov esp, [kernel_esp]
        mov dword [trap_hook], 0
        set_flags [pass_flags]
        ret

; The kernel has another SS when it goes to the program, whose INT leads to that of the TSS.
moved_stack:
        mov edi, gdt + SEL_MOVED_SS
        mov eax, 0x1000
        mov ecx, 0xFFFFF
        mov edx, 0xC093
        call put_descriptor
        call programs
        call .go
        mov eax, [handler_ss]
        check "moved-stack.ss", SEL_DATA
        mov eax, [handler_trap]
        check "moved-stack.vector", VEC_DONE
        ret
.go:    mov [kernel_esp], esp
        mov dword [trap_hook], level_hook
        mov ebx, SEL_MOVED_SS
        lea ecx, [esp - 0x1000]
        mov ss, ebx
        mov esp, ecx
        go_to_program

; The same with another CS, whose EIP is not the linear address.
moved_code:
        mov edi, gdt + SEL_MOVED_CS
        mov eax, 0x1000
        mov ecx, 0xFFFFF
        mov edx, 0xC09B
        call put_descriptor
        call programs
        mov dword [handler_trap], NO_TRAP
        call .go
        mov eax, [handler_trap]
        check "moved-code.vector", VEC_DONE
        ret
.go:    mov [kernel_esp], esp
        mov dword [trap_hook], level_hook
        push dword SEL_MOVED_CS
        push dword .moved - 0x1000
        retf
.moved: go_to_program

; The descriptor of a program that has run is another one now: IRET finds that out.
program_gone:
        call programs
        mov byte [gdt + (SEL_USER_CODE & ~7) + 5], 0x7B
        mov eax, program_count
        call program_run
        check "gone.absent", VEC_NP << 16 | SEL_USER_CODE & ~3
        call program_init
        call programs
        mov byte [gdt + (SEL_USER_CODE & ~7) + 5], 0xF3
        mov eax, program_count
        call program_run
        check "gone.data", VEC_GP << 16 | SEL_USER_CODE & ~3
        call program_init
        call programs
        check "gone.back", NO_TRAP
        ret
