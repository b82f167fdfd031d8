; The seventeen sensitive, unprivileged instructions of Robin and Irvine ("Analysis of the Intel
; Pentium's Ability to Support a Secure Virtual Machine Monitor", USENIX Security 2000), executed by
; a guest kernel that believes to be at CPL 0.
;
; Each check is something that the bare machine does, and that the same instruction does differently
; at CPL 3 without a trap. The names before a dot are the paper's; with a dot is a second look.
%define PASSES 3
%include "common.inc"

section .bss
table:  resb 8

section .text
guest_main:
        clear table, 8
        call sensitive_registers
        part protection_system
        ret

sensitive_registers:
        sgdt [table]
        mov eax, [table + 2]
        check "sgdt", gdt
        movzx eax, word [table]
        check "sgdt.limit", GDT_LIMIT
        sidt [table]
        mov eax, [table + 2]
        check "sidt", idt
        movzx eax, word [table]
        check "sidt.limit", IDT_GATES * 8 - 1
        xor eax, eax
        sldt ax
        check "sldt", SEL_LDT

        ; CR0.NE clear and set: one of them is not what the VMM has.
        mov ecx, cr0
        and ecx, ~(1 << 5)
        mov cr0, ecx
        smsw ax
        shl eax, 16
        or ecx, 1 << 5
        mov cr0, ecx
        smsw ax
        mov ebx, ecx
        shl ebx, 16
        mov bx, cx
        and ebx, ~(1 << 21)
        check "smsw", ebx

        set_flags 2
        cli
        pushfd
        pop eax
        and eax, FL_IF
        check "pushf", 0
        set_flags FL_IOPL | 2
        pushfd
        pop eax
        and eax, FL_IOPL
        check "pushf.iopl", FL_IOPL

        ; Nothing can interrupt: both interrupt controllers are masked.
        set_flags FL_IF | 2
        push dword 2
        popfd
        real_flags
        and eax, FL_IF
        check "popf", 0
        cli
        push dword FL_IF | 2
        popfd
        real_flags
        and eax, FL_IF
        check "popf.on", FL_IF
        push dword FL_IOPL | 2
        popfd
        real_flags
        and eax, FL_IOPL
        check "popf.iopl", FL_IOPL
        set_flags 2
        ret

protection_system:
        ; The access rights show DPL 0.
        xor eax, eax
        mov ecx, SEL_CODE
        lar eax, ecx
        and eax, 0x00F0FF00
        check "lar", 0x00C09B00
        xor eax, eax
        mov ecx, SEL_TSS2
        lar eax, ecx
        and eax, 0x00F0FF00
        check "lar.tss", 0x00008900

        xor eax, eax
        mov ecx, SEL_TSS2
        lsl eax, ecx
        check "lsl", 103
        xor eax, eax
        mov ecx, SEL_DATA
        lsl eax, ecx
        check "lsl.data", 0xFFFFFFFF

        ; A selector of RPL 3 may not reach a segment of DPL 0; one of RPL 0 may.
        mov ecx, SEL_DATA | 3
        verr cx
        call zf
        check "verr", 0
        mov ecx, SEL_DATA
        verr cx
        call zf
        check "verr.rpl0", 1
        mov ecx, SEL_DATA | 3
        verw cx
        call zf
        check "verw", 0
        mov ecx, SEL_DATA
        verw cx
        call zf
        check "verw.rpl0", 1

        ; SS wants RPL = CPL.
        try
        push dword SEL_DATA | 3
        pop ss
        tried
        check "pop-seg", VEC_GP << 16 | SEL_DATA
        mov esp, stack_top - 4
        try
        push dword SEL_DATA
        pop ss
        tried
        check "pop-seg.rpl0", NO_TRAP

        ; Of a selector's four bytes on the stack some processors write only two.
        push cs
        pop eax
        movzx eax, ax
        check "push-seg", SEL_CODE
        push ss
        pop eax
        movzx eax, ax
        check "push-seg.ss", SEL_DATA

        ; The return address on the stack holds the caller's CS.
        mov dword [esp - 4], 0
        call SEL_CODE:.called
.called:
        pop ecx
        pop eax
        check "call-far", SEL_CODE
        mov eax, ecx
        check "call-far.eip", .called

        ; A direct jump wants RPL <= CPL.
        try
        jmp (SEL_CODE | 3):.jumped
.jumped:
        tried
        check "jmp-far", VEC_GP << 16 | SEL_CODE
        xor eax, eax
        jmp SEL_CODE:.jumped0
.jumped0:
        mov eax, 1
        check "jmp-far.rpl0", 1

        ; A gate of DPL 0 is open to CPL 0. In vain for scan=off: the gates that the CPU looks at are
        ; the VMM's, which has closed them, so that INT n always traps.
        try
        int 0x40
.int:   tried
        check "int-n", 0x40 << 16
        mov eax, [trap_cs]
        check "int-n.cs", SEL_CODE
        mov eax, [trap_eip]
        check "int-n.eip", .int

        ; A far return to RPL 3 is one to an outer level, and there this segment may not run.
        try
        mov ebx, esp
        push dword SEL_CODE | 3
        push dword .returned
        retf
.returned:
        tried
        mov esp, ebx
        check "ret-far", VEC_GP << 16 | SEL_CODE
        push dword SEL_CODE
        push dword .returned0
        retf
.returned0:
        mov eax, 1
        check "ret-far.rpl0", 1

        xor eax, eax
        str ax
        check "str", SEL_TSS

        xor eax, eax
        mov ax, cs
        check "mov-seg", SEL_CODE
        xor eax, eax
        mov ax, ss
        check "mov-seg.ss", SEL_DATA
        mov ecx, SEL_DATA | 3
        try
        mov ss, ecx
        tried
        check "mov-seg.load", VEC_GP << 16 | SEL_DATA
        mov ecx, SEL_DATA
        mov es, ecx
        mov ax, es
        movzx eax, ax
        check "mov-seg.es", SEL_DATA
        ret

; EAX = ZF
zf:     setz al
        movzx eax, al
        ret
