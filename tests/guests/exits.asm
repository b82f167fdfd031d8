; What a VMM on virtual hardware finishes quickly: CPUID, hypercalls, ports, RDMSR, the first access to
; memory. Each again and again at one address, and where the quick way is not the right one: single
; steps, interrupts that wait, prefixes, code that has changed, code at the end of a page. Words on
; the command line add checks:
;   vmm       wrong MSR numbers fault
;   hardware  the VMM has hypercalls for its mode
;   top       code at the top of the address space
;   rf        RF goes away with each instruction (in QEMU itself with some)
;   touch     the shadow of STI lasts for an instruction that leaves the guest and starts anew (under
;             SVM QEMU forgets it, and Bochs then forgets the interrupt for a while)
%define PASSES 3
%include "common.inc"
%include "paging.inc"
%include "program.inc"
%include "turns.inc"

MSR_TSC   equ 0x10
PORT_POST equ 0x80
PORT_NONE equ 0x108             ; nobody's, and so are the next three
PORT_PIC  equ 0x20
PORT_MASK equ 0x21
UART_IER  equ 0x3F9
UART_IIR  equ 0x3FA
UART_MCR  equ 0x3FC
UART_LSR  equ 0x3FD
VEC_IRQ   equ 0x60              ; what the PIC shall give for line 0
LINE_COM1 equ 4

SITE      equ 0x60000000        ; pages whose code the guest changes
FRESH     equ 0x1000000         ; memory that nobody has touched before
FRESH_PASS equ 0x100000         ; of each pass

section .bss nobits
alignb 4096
site_table: resb 4096
site_dir:   resb 4096           ; another address space
frame_a:    resb 4096
frame_b:    resb 4096
frame_c:    resb 4096
hooked:     resd 1              ; how often
hook_eip:   resd 1              ; of the first one
hook_vector: resd 1
hook_flags: resd 1
fresh:      resd 1
plain:      resd 4
old_top:    resd 1
next_stack: resd 1

section .text
guest_main:
        part paging_on
        part own_pages
        part program_init
        part cpuid_leaves
        part cpuid_prefixes
        part changed_code
        part changed_tables
        part page_ends
        part port_sizes
        part msrs
        part steps_over
        part resume_flag
        part waiting_interrupts
        part fresh_stacks
        part hypercalls
        part top_of_space
        ret

; SITE is frame_a, and so it is in the other address space with frame_b.
own_pages:
        mov dword [page_dir + (SITE >> 22) * 4], site_table + PTE_P + PTE_W
        mov dword [site_table], frame_a + PTE_P + PTE_W
        mov dword [site_table + 4], frame_b + PTE_P + PTE_W
        mov eax, cr3
        mov cr3, eax
        mov eax, [pass]
        dec eax
        imul eax, FRESH_PASS
        add eax, FRESH
        mov [fresh], eax
        ret

; --- CPUID ---

; EAX = 1 when CPUID's results are those at plain.
%macro same_as_plain 0
        cmp eax, [plain]
        jne %%no
        cmp ebx, [plain + 4]
        jne %%no
        cmp ecx, [plain + 8]
        jne %%no
        cmp edx, [plain + 12]
        jne %%no
        mov eax, RIGHT
%%no:
%endmacro
%macro keep_plain 0
        mov [plain], eax
        mov [plain + 4], ebx
        mov [plain + 8], ecx
        mov [plain + 12], edx
%endmacro

cpuid_leaves:
        xor eax, eax
        db 0x2E                 ; which changes nothing
        cpuid
        keep_plain
        mov ebp, 0x11112222
        mov esi, 0x33334444
        mov edi, TURNS
.turn:  xor eax, eax
        mov ecx, 0x55
        cpuid
        same_as_plain
        cmp eax, RIGHT
        jne .end
        dec edi
        jnz .turn
        cmp ebp, 0x11112222
        wrong_unless_equal .end
        cmp esi, 0x33334444
        wrong_unless_equal .end
.end:   check "cpuid", RIGHT
        mov eax, 1
        db 0x2E
        cpuid
        and ebx, 0xFFFFFF       ; not the initial APIC number
        keep_plain
        mov edi, TURNS
.one:   mov eax, 1
        cpuid
        and ebx, 0xFFFFFF
        same_as_plain
        cmp eax, RIGHT
        jne .end_one
        dec edi
        jnz .one
.end_one:
        check "cpuid.one", RIGHT
        mov eax, 0x80000000
        db 0x2E
        cpuid
        keep_plain
        mov edi, TURNS
.ext:   mov eax, 0x80000000
        cpuid
        same_as_plain
        cmp eax, RIGHT
        jne .end_ext
        dec edi
        jnz .ext
.end_ext:
        check "cpuid.extended", RIGHT
        ret

; As many as an instruction may have but one: the next instruction is the right one.
%macro prefixed 2+ ; name, prefixes
        mov edi, TURNS
        xor ebp, ebp
%%turn: xor eax, eax
        db %2
        cpuid
        inc ebp
        dec edi
        jnz %%turn
        mov eax, ebp
        check %1, TURNS
%endmacro
cpuid_prefixes:
        prefixed "prefix.o16", 0x66
        prefixed "prefix.two", 0x2E, 0x67
        prefixed "prefix.many", 0x66, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65, 0x67, 0x2E, 0x36, 0x3E, 0x26
        ret

; --- the code at an address changes ---

; Code of eight bytes that counts its CPUIDs in EBP. They differ in how long each is.
section .rodata align=8
image_plain:    db 0x0F, 0xA2, 0x45, 0xC3, 0x90, 0x90, 0x90, 0x90       ; CPUID; INC EBP; RET
image_prefixed: db 0x2E, 0x0F, 0xA2, 0x45, 0xC3, 0x90, 0x90, 0x90
image_longer:   db 0x36, 0x2E, 0x0F, 0xA2, 0x45, 0xC3, 0x90, 0x90
image_rdmsr:    db 0x0F, 0x32, 0x45, 0xC3, 0x90, 0x90, 0x90, 0x90
image_rdmsr2:   db 0x2E, 0x0F, 0x32, 0x45, 0xC3, 0x90, 0x90, 0x90

section .text
; ESI = image, EDI = where it goes
put_image:
        push ecx
        mov ecx, 8
        cld
        rep movsb
        pop ecx
        ret

; Calls EDX as often as ECX says, with leaf 0 or the TSC's number. Keeps all but EAX; EBP counts.
call_site:
        push ebx
        push ecx
        push edx
.turn:  push ecx
        push edx
        xor eax, eax
        mov ecx, MSR_TSC
        call edx
        pop edx
        pop ecx
        loop .turn
        pop edx
        pop ecx
        pop ebx
        ret

%macro run_image 1
        mov esi, %1
        mov edi, frame_a + 0x100
        call put_image
        mov edx, SITE + 0x100
        mov ecx, TURNS
        call call_site
%endmacro
changed_code:
        xor ebp, ebp
        run_image image_plain
        run_image image_prefixed
        run_image image_longer
        run_image image_plain
        run_image image_rdmsr
        run_image image_rdmsr2
        run_image image_rdmsr
        run_image image_plain
        mov eax, ebp
        check "code.changed", 8 * TURNS
        ret

; The same address leads to other code: by another entry in the table, another table, another
; directory.
changed_tables:
        mov esi, image_plain
        mov edi, frame_a + 0x200
        call put_image
        mov esi, image_prefixed
        mov edi, frame_b + 0x200
        call put_image
        xor ebp, ebp
        mov ebx, TURNS
        mov ecx, 2
        mov edx, SITE + 0x200
.entry: call call_site
        mov dword [site_table], frame_b + PTE_P + PTE_W
        invlpg [SITE]
        call call_site
        mov dword [site_table], frame_a + PTE_P + PTE_W
        invlpg [SITE]
        dec ebx
        jnz .entry
        mov eax, ebp
        check "tables.entry", 4 * TURNS

        ; frame_c is a table that has frame_b where site_table has frame_a
        mov dword [frame_c], frame_b + PTE_P + PTE_W
        xor ebp, ebp
        mov ebx, TURNS
.table: call call_site
        mov dword [page_dir + (SITE >> 22) * 4], frame_c + PTE_P + PTE_W
        mov eax, cr3
        mov cr3, eax
        call call_site
        mov dword [page_dir + (SITE >> 22) * 4], site_table + PTE_P + PTE_W
        mov eax, cr3
        mov cr3, eax
        dec ebx
        jnz .table
        mov eax, ebp
        check "tables.table", 4 * TURNS

        mov esi, page_dir
        mov edi, site_dir
        mov ecx, 1024
        rep movsd
        mov dword [site_dir + (SITE >> 22) * 4], frame_c + PTE_P + PTE_W
        xor ebp, ebp
        mov ebx, TURNS
        mov ecx, 2
.space: call call_site
        mov eax, site_dir
        mov cr3, eax
        call call_site
        mov eax, page_dir
        mov cr3, eax
        dec ebx
        jnz .space
        mov eax, ebp
        check "tables.space", 4 * TURNS

        ; Without paging the address is another one: what lies at frame_b itself.
        mov esi, image_plain
        mov edi, frame_a + 0x300
        call put_image
        mov esi, image_prefixed
        mov edi, frame_b + 0x300
        call put_image
        mov eax, frame_b
        shr eax, 12
        mov dword [page_tables + eax * 4], frame_a + PTE_P + PTE_W
        mov edx, frame_b + 0x300
        invlpg [edx]
        xor ebp, ebp
        mov ebx, TURNS
        mov ecx, 2
.paged: call call_site
        mov eax, cr0
        and eax, ~CR0_PG
        mov cr0, eax
        jmp short .off
.off:   call call_site
        mov eax, cr0
        or eax, CR0_PG
        mov cr0, eax
        jmp short .on
.on:    dec ebx
        jnz .paged
        mov eax, frame_b
        shr eax, 12
        mov dword [page_tables + eax * 4], frame_b + PTE_P + PTE_W
        invlpg [edx]
        mov eax, ebp
        check "tables.off", 4 * TURNS
        ret

; Code in the last bytes of a page, and over its end.
page_ends:
        xor ebp, ebp
        mov ebx, 1
.next:  mov esi, image_plain
        mov edi, SITE + 4096
        sub edi, ebx
        mov edx, edi
        call put_image
        mov ecx, TURNS
        call call_site
        inc ebx
        cmp ebx, 6
        jne .next
        mov eax, ebp
        check "page.end", 5 * TURNS
        ret

; --- ports and MSRs ---

port_sizes:
        mov edi, TURNS
        mov edx, PORT_NONE
.turn:  mov eax, 0x11223344
        in al, dx
        cmp eax, 0x112233FF
        jne .end
        mov eax, 0x11223344
        in ax, dx
        cmp eax, 0x1122FFFF
        jne .end
        mov eax, 0x11223344
        in eax, dx
        cmp eax, 0xFFFFFFFF
        jne .end
        mov eax, 0x11223344
        out PORT_POST, al
        out dx, ax
        out dx, eax
        cmp eax, 0x11223344
        wrong_unless_equal .end
        dec edi
        jnz .turn
.end:   check "port.sizes", RIGHT
        cli                     ; the masks let some line through
        mov edi, TURNS
        in al, PORT_MASK
        mov bl, al
.mask:  mov eax, 0xAABBCCA5
        out PORT_MASK, al
        xor eax, eax
        in al, PORT_MASK
        cmp eax, 0xA5
        jne .end_mask
        mov eax, 0xAABBCC5A
        out PORT_MASK, al
        mov ah, 0x77
        in al, PORT_MASK
        cmp eax, 0xAABB775A
        wrong_unless_equal .end_mask
        dec edi
        jnz .mask
.end_mask:
        check "port.mask", RIGHT
        mov al, bl
        out PORT_MASK, al
        popf_back
        ret

; The TSC by RDMSR goes up (natively QEMU has another one there); SYSENTER's MSRs keep what is
; written; a wrong number is a fault at the instruction, each time.
msrs:
        mov edi, TURNS
.turn:  mov ecx, 0x175
        lea eax, [edi + 0x12345678]
        xor edx, edx
        mov ebx, eax
        wrmsr
        mov ecx, 0x176
        lea eax, [edi + 0x23456789]
        wrmsr
        mov ecx, 0x175
        rdmsr
        cmp eax, ebx
        jne .end
        mov ecx, 0x176
        rdmsr
        sub eax, edi
        cmp eax, 0x23456789
        wrong_unless_equal .end
        dec edi
        jnz .turn
.end:   check "msr.sysenter", RIGHT
        mov esi, text_vmm       ; the emulators know no wrong numbers
        call has_word
        jnc .kept
        mov edi, TURNS
.bad:   mov ecx, 0x12345
        mov eax, 0x77
        try
.rdmsr: rdmsr
        tried
        cmp eax, VEC_GP << 16
        jne .end_bad
        mov eax, [trap_eip]
        cmp eax, .rdmsr
        wrong_unless_equal .end_bad
        dec edi
        jnz .bad
.end_bad:
        check "msr.wrong", RIGHT
.kept:  ; SYSENTER's MSR is what it was when the TSC's was written.
        mov ecx, 0x175
        mov eax, 0x5A5A5A5A
        xor edx, edx
        wrmsr
        mov ecx, MSR_TSC
        rdmsr
        wrmsr
        mov ecx, 0x175
        rdmsr
        check "msr.kept", 0x5A5A5A5A
        ret

%include "exits_events.inc"

; --- hypercalls ---

text_vmm:      db "vmm", 0
text_rf:       db "rf", 0
text_touch:    db "touch", 0
text_hardware: db "hardware", 0
text_top:      db "top", 0

; An unknown one gives -1, with prefixes too, and keeps all other registers.
%macro hypercall 2+ ; name, bytes
        mov edi, TURNS
%%turn: mov eax, 0x1234
        mov ecx, 0x2345
        db %2
        cmp eax, -1
        jne %%end
        mov eax, ecx
        cmp eax, 0x2345
        wrong_unless_equal %%end
        dec edi
        jnz %%turn
%%end:  check %1, RIGHT
%endmacro
hypercalls:
        mov esi, text_hardware
        call has_word
        jnc .none
        mov eax, 0x40000001
        cpuid
        cmp eax, 4
        je .svm
        hypercall "hypercall", 0x0F, 0x01, 0xC1
        hypercall "hypercall.prefix", 0x2E, 0x0F, 0x01, 0xC1
        mov dl, 0xC1
        jmp programs_hypercall
.svm:   hypercall "hypercall", 0x0F, 0x01, 0xD9
        hypercall "hypercall.prefix", 0x2E, 0x0F, 0x01, 0xD9
        mov dl, 0xD9
        jmp programs_hypercall
.none:  ret

; A program has none: it gets the #UD of the bare machine, also where the kernel has just used the
; very same instruction. DL = its last byte.
HYPERCALL_AT equ program_undefined - program_text
programs_hypercall:
        mov word [program_page + HYPERCALL_AT], 0x010F
        mov [program_page + HYPERCALL_AT + 2], dl
        mov byte [program_page + HYPERCALL_AT + 3], 0xC3
        mov ebp, TURNS
.turn:  mov eax, 1
        mov edx, PROGRAM + HYPERCALL_AT
        call edx
        cmp eax, -1
        jne .end
        mov eax, program_undefined
        call program_run
        cmp eax, VEC_UD << 16
        wrong_unless_equal .end
        dec ebp
        jnz .turn
.end:   check "hypercall.program", RIGHT
        ret

; --- the top of the address space ---

; A CPUID in the last two bytes: EIP is 0 behind it. There is a RET for that time.
top_of_space:
        mov esi, text_top
        call has_word
        jnc .none
        mov dword [page_dir + 1023 * 4], site_table + PTE_P + PTE_W
        mov dword [site_table + 1023 * 4], frame_b + PTE_P + PTE_W
        mov eax, cr3
        mov cr3, eax
        mov word [frame_b + 0xFFE], 0xA20F
        mov eax, [0]
        mov [old_top], eax
        mov byte [0], 0xC3
        mov edi, TURNS
        mov ebp, 0
.turn:  xor eax, eax
        mov edx, 0xFFFFFFFE
        call edx
        inc ebp
        dec edi
        jnz .turn
        mov eax, [old_top]
        mov [0], eax
        mov eax, ebp
        check "top", TURNS
.none:  ret
