; What the monitor must leave alone: code that looks at its own flags, is stepped from `steps` to
; `steps_end`, and calls `work` as often as WORKS says. Run freely it does the same.
%include "common.inc"

WORKS equ 100
VEC_MINE equ 0x42

FLAGS_SEEN equ FL_TF | FL_IF

section .bss nobits
alignb 4
seen:     resd 16               ; EFLAGS, but for what arithmetic changes
worked:   resd 1
filled:   resd 4
ports:    resd 1

; EFLAGS now, into seen[n]
%macro see 1
        pushfd
        pop dword [seen + 4 * (%1)]
        and dword [seen + 4 * (%1)], FLAGS_SEEN
%endmacro

; What the last trap saved, into seen[n]
%macro see_trap 1
        mov eax, [trap_eflags]
        and eax, FLAGS_SEEN
        mov [seen + 4 * (%1)], eax
%endmacro

section .text
guest_main:
        call steps
        mov ecx, WORKS
.works: call work
        loop .works
        mov eax, [worked]
        check "work", WORKS
        mov eax, [seen]
        check "pushf.cli", 0
        mov eax, [seen + 4]
        check "pushf.sti", FL_IF
        mov eax, [seen + 8]
        check "pushf.popf", FL_IF
        mov eax, [seen + 12]
        check "int.frame", FL_IF
        mov eax, [seen + 16]
        check "ud.frame", 0
        mov eax, [seen + 20]
        check "de.frame", FL_IF
        mov eax, [seen + 24]
        check "int3.frame", 0
        mov eax, [seen + 28]
        check "pushf.mov-ss", 0
        mov eax, [seen + 32]
        check "db.frame", FL_TF
        mov eax, [filled]
        add eax, [filled + 12]
        check "rep", 2 * 0x1234
        mov eax, [ports]
        check "port", 0xFF
        ret

work:   inc dword [worked]
        ret

; The handler of #DB: EBX = frame.
own_step:
        mov eax, [ebx + F_EFLAGS]
        and eax, FLAGS_SEEN
        mov [seen + 32], eax
        and dword [ebx + F_EFLAGS], ~FL_TF
        ret

; Everything that could show a trap flag which is not the guest's.
steps:  cli
        see 0
        sti
        nop
        see 1
        push dword FL_IF | 2
        popfd
        see 2
        try
        int VEC_MINE
        tried
        see_trap 3
        cli
        try
        ud2
        tried
        see_trap 4
        sti
        try
        xor ecx, ecx
        div ecx
        tried
        see_trap 5
        cli
        try
        int3
        tried
        see_trap 6
        mov eax, ss
        mov ss, eax
        see 7
        mov edi, filled
        mov ecx, 4
        mov eax, 0x1234
        rep stosd
        xor eax, eax
        cpuid
        xor eax, eax
        in al, 0x21
        mov [ports], eax
        mov dword [trap_hook], own_step
        set_flags FL_TF | 2     ; its own single step: #DB after the NOP
        nop
        mov dword [trap_hook], 0
steps_end:
        ret
