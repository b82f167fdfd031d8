; Real mode: a guest that leaves protected mode, works with segments, vectors, flags, ports and
; interrupts of its own, without a BIOS, and comes back.
;
; The real-mode code is assembled in one piece and copied below 1 MB. Each function of it returns a
; value in EAX, which is checked in protected mode.
%define PASSES 3
%include "common.inc"
%include "paging.inc"

REAL_SEG   equ 0x0800           ; where the code goes, and its data
REAL_BASE  equ REAL_SEG << 4
STACK_SEG  equ 0x0700
OTHER_SEG  equ 0x0900           ; overlaps the code's
IVT_BASE   equ 0x6000           ; a vector table that is not at 0
IVT2_BASE  equ 0x6400
SEL_CODE16 equ SEL_TEST
SEL_DATA16 equ SEL_TEST + 8
TIMER_VECTOR equ 0x50
TIMER_TICKS equ 5

%define real(label) (label - real_begin)

section .bss
real_esp:  resd 1
cpuid_ebx: resd 1

section .text
guest_main:
        call place
        set_flags 2             ; a vector table of protected mode would be read as one of real mode
        call tests
        call with_paging
        ret

; The code to its place, the descriptors for the way there, and two vector tables.
place:  mov esi, real_begin
        mov edi, REAL_BASE
        mov ecx, REAL_SIZE
        rep movsb
        mov edi, gdt + SEL_CODE16
        mov eax, REAL_BASE
        mov ecx, 0xFFFF
        mov edx, 0x9B
        call put_descriptor
        mov edi, gdt + SEL_DATA16
        xor eax, eax
        mov ecx, 0xFFFF
        mov edx, 0x93
        call put_descriptor
        mov edi, IVT_BASE
        mov ecx, 512
        mov eax, REAL_SEG << 16 | real(r_unexpected)
        rep stosd
        xor eax, eax
        cpuid
        mov [cpuid_ebx], ebx
        ret

; Run a function in real mode; EAX = what it returns.
%macro in_real 1
        mov word [REAL_BASE + real(r_entry)], real(%1)
        call enter_real
%endmacro

enter_real:
        push ebx
        push esi
        push edi
        push ebp
        mov [real_esp], esp
        jmp SEL_CODE16:real(r_leave_protected)
back_in_protected:
        mov eax, SEL_DATA
        mov ds, eax
        mov es, eax
        mov fs, eax
        mov gs, eax
        mov ss, eax
        mov esp, [real_esp]
        lidt [idtr]
        mov eax, [REAL_BASE + real(r_value)]
        pop ebp
        pop edi
        pop esi
        pop ebx
        ret

tests:  in_real r_segments
        check "segments", 0xBEEFCAFE
        in_real r_stack
        check "stack.wrap", 0xFFFE1234
        in_real r_selectors
        check "selectors", RIGHT
        in_real r_int
        check "int", 0x03020002
        in_real r_int_flags
        check "int.flags", 1
        in_real r_divide
        check "fault.divide", RIGHT
        in_real r_undefined
        check "fault.undefined", RIGHT
        in_real r_bound
        check "fault.bound", RIGHT
        in_real r_int3
        check "trap.int3", RIGHT
        in_real r_into
        check "trap.into", RIGHT
        mov esi, limits
        call has_word
        jnc .no_limits          ; QEMU checks none
        in_real r_limit
        check "fault.limit", RIGHT
        in_real r_limit_stack
        check "fault.limit-stack", RIGHT
.no_limits:
        in_real r_flags
        check "flags", RIGHT
        in_real r_flags32
        check "flags.32", RIGHT
        in_real r_steps
        check "steps", RIGHT
        in_real r_timer
        check "interrupts", TIMER_TICKS
        in_real r_shadow
        check "interrupts.sti", RIGHT
        in_real r_ports
        check "ports", RIGHT
        in_real r_port_strings
        check "ports.strings", RIGHT
        in_real r_machine_status
        check "cr0", 0
        in_real r_tables
        check "tables", RIGHT
        in_real r_second_table
        check "tables.second", RIGHT
        in_real r_cpuid
        cmp eax, [cpuid_ebx]
        jne .cpuid
        mov eax, RIGHT
.cpuid: check "cpuid", RIGHT
        in_real r_strings
        check "strings", RIGHT
        in_real r_far
        check "far", RIGHT
        in_real r_addresses
        check "addresses.32", RIGHT
        in_real r_switches
        check "switches", RIGHT
        in_real r_lmsw
        check "switches.lmsw", RIGHT
        mov esi, unreal
        call has_word
        jnc .end
        in_real r_unreal
        check "unreal", MB_MAGIC
.end:   ret

; Paging goes off for the way to real mode, and on again.
with_paging:
        call paging_on
        mov ebx, 3
.next:  mov eax, cr0
        and eax, 0x7FFFFFFF
        mov cr0, eax
        in_real r_segments
        mov edx, cr0
        or edx, 0x80000000
        mov cr0, edx
        cmp eax, 0xBEEFCAFE
        jne .end
        dec ebx
        jnz .next
        mov eax, RIGHT
.end:   check "paging", RIGHT
        mov eax, cr0            ; off for the next pass, as at the start
        and eax, 0x7FFFFFFF
        mov cr0, eax
        ret

section .rodata
limits: db "limits", 0
unreal: db "unreal", 0

; --- from here on: real mode ---

section .rodata
bits 16
real_begin:

r_entry:   dw 0                 ; what to run
r_value:   dd 0                 ; what it returned
r_hook:    dw 0                 ; where an interrupt or exception that is expected goes
r_ip:      dw 0                 ; of the last one
r_word:    dw 0
r_count:   dw 0
r_idtr:    dw 0x3FF
           dd IVT_BASE
r_idtr2:   dw 0x1FF
           dd IVT2_BASE
r_gdtr:    dw GDT_LIMIT
           dd gdt
r_got:     dw 0
           dd 0
r_far_at:  dw real(r_far_function) - 0x200, REAL_SEG + 0x20
r_bounds:  dw 1, 5

; In a 16-bit segment of protected mode, as the manual wants it (SDM vol. 3A section 9.9.2).
r_leave_protected:
        mov ax, SEL_DATA16
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ss, ax
        mov eax, cr0
        and al, 0xFE
        mov cr0, eax
        jmp REAL_SEG:real(.real)
.real:  mov ax, cs
        mov ds, ax
        mov es, ax
        xor bx, bx
        mov fs, bx
        mov gs, bx
        mov bx, STACK_SEG
        mov ss, bx
        mov sp, 0x800
        o32 lidt [real(r_idtr)]
        call [real(r_entry)]
        mov [real(r_value)], eax
        cli
        push word 2
        popf
        o32 lgdt [real(r_gdtr)]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp dword SEL_CODE:back_in_protected

; An interrupt or exception goes to r_hook, once, when it is not 0. DS may be anything.
%macro vector 2 ; number, handler
        mov word [gs:IVT_BASE + (%1) * 4], real(%2)
        mov word [gs:IVT_BASE + (%1) * 4 + 2], REAL_SEG
%endmacro

r_unexpected:
        mov eax, 0xDEADDEAD
        push cs
        pop ds
        mov [real(r_word)], sp
        mov bx, STACK_SEG       ; give up what was going on
        mov ss, bx
        mov sp, 0x800 - 2
        ret

; A handler for faults and traps: keeps the IP, goes on at r_hook with the frame dropped.
r_note: push bp
        mov bp, sp
        push ax
        mov ax, [bp + 2]
        mov [cs:real(r_ip)], ax
        mov ax, [cs:real(r_hook)]
        mov [bp + 2], ax
        pop ax
        pop bp
        iret

%macro expect 2 ; vector, where to go on
        vector %1, r_note
        mov word [real(r_hook)], real(%2)
%endmacro
%macro expected_ip 1 ; EAX = RIGHT, or the IP
        movzx eax, word [real(r_ip)]
        cmp ax, real(%1)
        jne %%end
        mov eax, RIGHT
%%end:
%endmacro

r_segments:
        mov ax, OTHER_SEG
        mov es, ax
        mov word [es:0x3010], 0xCAFE
        mov ax, [(OTHER_SEG - REAL_SEG) * 16 + 0x3010]
        push ax
        mov bp, sp
        mov word [bp], 0xBEEF   ; through SS
        mov ax, STACK_SEG
        mov es, ax
        shl eax, 16
        mov di, sp
        mov ax, [es:di]
        shl eax, 16
        pop bx
        push cs
        pop es
        mov ax, [(OTHER_SEG - REAL_SEG) * 16 + 0x3010]
        ret

r_stack:
        mov dx, sp
        mov sp, 0
        push word 0x1234
        mov cx, sp
        mov bx, STACK_SEG
        mov es, bx
        mov ax, cx
        shl eax, 16
        mov ax, [es:0xFFFE]
        mov sp, dx
        ret

; Any number is a selector: no table is looked at.
r_selectors:
        mov bx, 0xFFFF
.next:  mov es, bx
        mov ax, es
        cmp ax, bx
        jne .end
        push es
        pop fs
        mov ax, fs
        cmp ax, bx
        jne .end
        sub bx, 0x1111
        jnc .next
        mov eax, RIGHT
.end:   ret

; EFLAGS.IF and TF inside a handler (low), and after it (high).
r_int:  vector 0x40, .handler
        push word 0x0302        ; IF, TF too, which steps to a handler that only returns
        vector 1, .step
        popf
        int 0x40
        pushf
        push word 2
        popf
        pop ax
        shl eax, 16
        mov ax, [real(r_word)]
        ret
.handler:
        pushf
        pop word [cs:real(r_word)]
        iret
.step:  iret

; A handler may change the flags that it returns to.
r_int_flags:
        vector 0x41, .handler
        clc
        int 0x41
        setc al
        movzx eax, al
        ret
.handler:
        mov bp, sp
        or byte [bp + 4], 1
        iret

r_divide:
        expect 0, .on
        xor cx, cx
.at:    div cx
.on:    expected_ip .at
        ret

r_undefined:
        expect 6, .on
.at:    ud2
.on:    expected_ip .at
        ret

r_bound:
        expect 5, .on
        mov ax, 6
.at:    bound ax, [real(r_bounds)]
.on:    expected_ip .at
        ret

r_int3: expect 3, .on
        int3
.after: nop
.on:    expected_ip .after
        ret

r_into: expect 4, .on
        mov al, 0x7F
        inc al
        into
.after: nop
.on:    expected_ip .after
        ret

r_limit:
        expect 13, .on
        mov bx, 0xFFFF
.at:    mov ax, [bx]
.on:    expected_ip .at
        ret

r_limit_stack:
        expect 12, .on
        mov bp, 0xFFFF
.at:    mov ax, [bp]
.on:    expected_ip .at
        ret

; What POPF sets, PUSHF shows, IOPL and NT too: there is no privilege.
r_flags:
        mov si, real(.images)
.next:  lodsw
        mov dx, ax
        push ax
        popf
        pushf
        pop ax
        cld
        cmp ax, dx
        jne .end
        cmp si, real(.images_end)
        jne .next
        mov eax, RIGHT
.end:   push word 2
        popf
        ret
.images: dw 0x0002, 0x0202, 0x3002, 0x1002, 0x4002, 0x0CD7, 0x7ED7, 0x0002
.images_end:

r_flags32:
        pushfd
        pop edx
        mov ecx, 1 << 21        ; ID
        xor edx, ecx
        push edx
        popfd
        pushfd
        pop eax
        cmp eax, edx
        jne .end
        cli
        pushfd
        pop eax
        test ax, 0x200
        jnz .end
        mov eax, RIGHT
.end:   ret

; One #DB after each instruction.
r_steps:
        vector 1, .step
        mov word [real(r_count)], 0
        xor bx, bx
        push word 0x0102
        popf
        nop
.s1:    mov bl, 5
.s2:    lodsb
.s3:    push word 2
.s4:    popf
.s5:    cmp word [real(r_count)], 5
        mov eax, 0xBAD00000
        mov ax, [real(r_count)]
        jne .end
        movzx eax, bx
        cmp bx, 5
        jne .end
        mov ax, [real(r_ip)]
        cmp ax, real(.s5)
        jne .end
        mov eax, RIGHT
.end:   ret
.step:  push bp
        mov bp, sp
        push ax
        mov ax, [bp + 2]
        mov [cs:real(r_ip)], ax
        inc word [cs:real(r_count)]
        pop ax
        pop bp
        iret

; The 8259s with vectors of ours, and the 8254 at 1 kHz.
r_pic_on:
        mov al, 0x11
        out 0x20, al
        out 0xA0, al
        mov al, TIMER_VECTOR
        out 0x21, al
        mov al, TIMER_VECTOR + 8
        out 0xA1, al
        mov al, 4
        out 0x21, al
        mov al, 2
        out 0xA1, al
        mov al, 1
        out 0x21, al
        out 0xA1, al
        mov al, 0xFF
        out 0xA1, al
        mov al, 0xFE
        out 0x21, al
        mov al, 0x34
        out 0x43, al
        mov al, 1193 & 0xFF
        out 0x40, al
        mov al, 1193 >> 8
        out 0x40, al
        ret
r_pic_off:
        cli
        mov al, 0xFF
        out 0x21, al
        ret

r_timer:
        vector TIMER_VECTOR, .tick
        mov word [real(r_count)], 0
        call r_pic_on
        sti
.wait:  hlt
        cmp word [real(r_count)], TIMER_TICKS
        jb .wait
        call r_pic_off
        movzx eax, word [real(r_count)]
        ret
.tick:  push ax
        inc word [cs:real(r_count)]
        mov al, 0x20
        out 0x20, al
        pop ax
        iret

; An interrupt that waits comes behind the instruction that follows STI.
r_shadow:
        vector TIMER_VECTOR, .tick
        mov word [real(r_ip)], 0
        call r_pic_on
        mov al, 0xFF            ; masked: the request waits
        out 0x21, al
        sti                     ; (under AMD-V in Bochs no time passes with IF clear)
.wait:  mov al, 0x0A            ; the 8259's request register
        out 0x20, al
        in al, 0x20
        test al, 1
        jz .wait
        cli
        mov al, 0xFE
        out 0x21, al
        sti
        nop
.at:    nop
        nop
        call r_pic_off
        expected_ip .at
        ret
.tick:  push bp
        mov bp, sp
        push ax
        mov ax, [bp + 2]
        cmp word [cs:real(r_ip)], 0
        jne .again
        mov [cs:real(r_ip)], ax
.again: mov al, 0x20
        out 0x20, al
        pop ax
        pop bp
        iret

r_ports:
        mov bl, 0xFF
.next:  mov al, bl
        out 0x21, al
        in al, 0x21
        cmp al, bl
        jne .end
        sub bl, 0x11
        jnc .next
        mov dx, 0x21
        mov al, 0xFF
        out dx, al
        mov eax, RIGHT
.end:   mov bx, ax
        mov al, 0xFF
        out 0x21, al
        mov ax, bx
        ret

r_port_strings:
        mov si, real(.masks)
        mov cx, 3
        mov dx, 0x21
        rep outsb
        cmp si, real(.masks) + 3
        jne .end
        mov di, real(r_word)
        push ds
        pop es
        mov word [real(r_word)], 0
        insb
        cmp di, real(r_word) + 1
        jne .end
        cmp word [real(r_word)], 0xFF
        jne .end
        mov eax, RIGHT
.end:   ret
.masks: db 0x5A, 0xA5, 0xFF

; PE by three ways.
r_machine_status:
        smsw ax
        movzx ebx, ax
        mov eax, cr0
        or eax, ebx
        smsw [real(r_word)]
        or ax, [real(r_word)]
        and eax, 0x80000001
        ret

r_tables:
        o32 sidt [real(r_got)]
        mov eax, [real(r_got) + 2]
        cmp eax, IVT_BASE
        jne .end
        mov ax, [real(r_got)]
        cmp ax, 0x3FF
        jne .end
        o32 sgdt [real(r_got)]
        mov eax, [real(r_got) + 2]
        cmp eax, gdt
        jne .end
        mov eax, RIGHT
.end:   ret

; LIDT works in real mode as well; its limit counts (a vector beyond it is #GP, which has one).
r_second_table:
        mov word [gs:IVT2_BASE + 0x42 * 4], real(.handler)
        mov word [gs:IVT2_BASE + 0x42 * 4 + 2], REAL_SEG
        mov word [gs:IVT2_BASE + 13 * 4], real(r_note)
        mov word [gs:IVT2_BASE + 13 * 4 + 2], REAL_SEG
        mov word [real(r_hook)], real(.on)
        xor ebx, ebx
        o32 lidt [real(r_idtr2)]
        int 0x42
.at:    int 0x80
.on:    o32 lidt [real(r_idtr)]
        movzx eax, bx
        cmp bx, 7
        jne .end
        expected_ip .at
.end:   ret
.handler:
        mov bx, 7
        iret

r_cpuid:
        xor eax, eax
        cpuid
        mov eax, ebx
        ret

r_strings:
        cld
        mov ax, OTHER_SEG
        mov es, ax
        mov di, 0x4000
        mov cx, 300
        mov ax, 0x3C5A
        rep stosw
        mov si, 0x4000 + (OTHER_SEG - REAL_SEG) * 16
        mov di, 0x5000
        mov cx, 150
        rep movsd
        mov si, 0x4000 + (OTHER_SEG - REAL_SEG) * 16
        mov di, 0x5000
        mov cx, 600
        repe cmpsb
        mov ax, cx
        jne .end
        cmp di, 0x5000 + 600
        jne .end
        mov eax, RIGHT
.end:   ret

; Far calls and jumps to the same code by another name.
r_far:  call REAL_SEG + 0x10:real(r_far_function) - 0x100
        cmp bx, REAL_SEG + 0x10
        jne .end
        call far [real(r_far_at)]
        cmp bx, REAL_SEG + 0x20
        jne .end
        jmp REAL_SEG + 1:real(.other) - 0x10
.other: mov bx, cs
        jmp REAL_SEG:real(.back)
.back:  cmp bx, REAL_SEG + 1
        jne .end
        push word 0x3002
        push cs
        push word real(.returned)
        iret
.returned:
        pushf
        pop ax
        and ax, 0x3000
        cmp ax, 0x3000
        jne .end
        push word 2
        popf
        mov eax, RIGHT
.end:   ret
r_far_function:
        mov bx, cs
        retf

r_addresses:
        mov esi, 0x3000
        mov ecx, 4
        mov dword [esi + ecx * 4], 0x12345678
        mov eax, [0x3010]
        cmp eax, 0x12345678
        jne .end
        lea ebx, [esi + ecx * 8 + 0x12345]
        cmp ebx, 0x15365
        mov eax, ebx
        jne .end
        mov eax, RIGHT
.end:   ret

; To protected mode and back, again and again, with a short jump behind the change as of old.
r_switches:
        mov cx, 20
        o32 lgdt [real(r_gdtr)]
.next:  mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp short .in
.in:    mov bx, SEL_DATA16
        mov ds, bx
        mov edi, [REAL_BASE + real(.sign)]
        lar ebx, bx             ; there is none in real mode
        mov eax, cr0
        and al, 0xFE
        mov cr0, eax
        jmp short .out
.out:   jmp REAL_SEG:real(.real)
.real:  mov ax, cs
        mov ds, ax
        mov eax, edi
        cmp eax, RIGHT
        jne .end
        mov eax, ebx
        cmp eax, 0x00009300
        jne .end
        loop .next
        mov eax, RIGHT
.end:   ret
.sign:  dd RIGHT

r_lmsw: smsw ax
        or al, 1
        lmsw ax
        jmp SEL_CODE16:real(.in)
.in:    str bx                  ; #UD in real mode
        mov eax, cr0
        and al, 0xFE
        mov cr0, eax
        jmp short .out          ; still with the base of SEL_CODE16
.out:   jmp REAL_SEG:real(.real)
.real:  movzx eax, bx
        cmp ax, SEL_TSS
        jne .end
        mov eax, RIGHT
.end:   ret

; The limit of a segment register stays as protected mode left it, and FS reaches all memory.
r_unreal:
        o32 lgdt [real(r_gdtr)]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        mov bx, SEL_DATA
        mov fs, bx
        and al, 0xFE
        mov cr0, eax
        mov esi, 0x100000
        mov eax, [fs:esi]
        xor bx, bx
        mov fs, bx
        ret

REAL_SIZE equ $ - real_begin
bits 32
