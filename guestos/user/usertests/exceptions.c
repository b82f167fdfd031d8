/* Exceptions: each kills with the status it should. */
#include "usertests.h"

/* Bytes of machine code, run as a function: one line of a table for each instruction. */
struct code {
    const char *bytes;
    int vector;
};

static const char *code;

/* Pages of a program can always be executed: there is no such bit in 32-bit page tables. */
static void run_code(void)
{
    ((void (*)(void))code)();
}

static void expect(const struct code *list, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        code = list[i].bytes;
        const int status = death(run_code);
        if (status != STATUS_FAULT + list[i].vector)
            printf("usertests: code %u of the table: status %d, not %d\n", i, status,
                   STATUS_FAULT + list[i].vector);
        CHECK(status == STATUS_FAULT + list[i].vector);
    }
}

static void divide(void)
{
    static const struct code list[] = {
        {"\x31\xC9\xF7\xF1", DE}, /* xor ecx, ecx; div ecx */
        {"\x31\xC9\xF7\xF9", DE}, /* xor ecx, ecx; idiv ecx */
        /* -2^31 / -1. Not -2^63 / -1: by that QEMU itself dies. */
        {"\xB8\x00\x00\x00\x80\x99\x83\xC9\xFF\xF7\xF9", DE},
        {"\xB4\x10\xB1\x01\xF6\xF1", DE}, /* the quotient is too large */
        {"\xD4\x00", DE},                 /* aam 0 */
    };
    expect(list, ARRAY(list));
}

static void debug(void)
{
    static const struct code list[] = {
        {"\x9C\x80\x4C\x24\x01\x01\x9D\x90\x90", DB}, /* pushf; or byte [esp+1], 1; popf; nop */
    };
    expect(list, ARRAY(list));
}

static void breakpoint(void)
{
    static const struct code list[] = {{"\xCC", BP}, {"\xCD\x03", BP}};
    expect(list, ARRAY(list));
}

static void overflow(void)
{
    static const struct code list[] = {
        {"\xB8\xFF\xFF\xFF\x7F\x40\xCE", OF}, /* mov eax, 0x7FFFFFFF; inc eax; into */
        {"\xCD\x04", OF},
    };
    expect(list, ARRAY(list));
}

static void bound(void)
{
    static const struct code list[] = {
        /* push 5; push 0; mov eax, 9; bound eax, [esp]: and the same with -1 */
        {"\x6A\x05\x6A\x00\xB8\x09\x00\x00\x00\x62\x04\x24", BR},
        {"\x6A\x05\x6A\x00\x83\xC8\xFF\x62\x04\x24", BR},
    };
    expect(list, ARRAY(list));
}

static void invalid_opcode(void)
{
    static const struct code list[] = {
        {"\x0F\x0B", UD},     /* ud2 */
        {"\x0F\xFF\xC0", UD}, /* ud0 */
        {"\xF0\x90", UD},     /* lock nop */
        {"\xF0\x01\xC0", UD}, /* lock add eax, eax: no memory */
        {"\xFF\xFF", UD},     /* group 5, /7 */
        {"\x8E\xC8", UD},     /* mov cs, eax */
        {"\x0F\x05", UD},     /* syscall: not enabled */
        {"\x8D\xC0", UD},     /* lea with a register */
        {"\x0F\x01\xC1", UD}, /* vmcall: a hypervisor serves kernels only */
        {"\x0F\x01\xD9", UD}, /* vmmcall */
    };
    expect(list, ARRAY(list));
}

/* The kernel saves no floating-point registers, so programs have none (CR0.EM). */
static void no_coprocessor(void)
{
    static const struct code list[] = {
        {"\xDB\xE3", NM},     /* fninit */
        {"\xD9\xEE", NM},     /* fldz */
        {"\xD9\x3C\x24", NM}, /* fnstcw [esp] */
        {"\x0F\x57\xC0", UD}, /* xorps xmm0, xmm0 */
        {"\x0F\xEF\xC0", UD}, /* pxor mm0, mm0 */
    };
    expect(list, ARRAY(list));
}

static void privileged(void)
{
    static const struct code list[] = {
        {"\xFA", GP},             /* cli */
        {"\xFB", GP},             /* sti */
        {"\xF4", GP},             /* hlt */
        {"\x0F\x06", GP},         /* clts */
        {"\x0F\x08", GP},         /* invd */
        {"\x0F\x09", GP},         /* wbinvd */
        {"\x0F\x20\xC0", GP},     /* mov eax, cr0 */
        {"\x0F\x22\xC0", GP},     /* mov cr0, eax */
        {"\x0F\x22\xD8", GP},     /* mov cr3, eax */
        {"\x0F\x22\xE0", GP},     /* mov cr4, eax */
        {"\x0F\x23\xF8", GP},     /* mov dr7, eax */
        {"\x0F\x21\xF8", GP},     /* mov eax, dr7 */
        {"\x0F\x01\x14\x24", GP}, /* lgdt [esp] */
        {"\x0F\x01\x1C\x24", GP}, /* lidt [esp] */
        {"\x0F\x00\xD0", GP},     /* lldt ax */
        {"\x0F\x00\xD8", GP},     /* ltr ax */
        {"\x0F\x01\xF0", GP},     /* lmsw ax */
        {"\x0F\x01\x3C\x24", GP}, /* invlpg [esp] */
        {"\x31\xC9\x0F\x32", GP}, /* rdmsr */
        {"\x31\xC9\x0F\x30", GP}, /* wrmsr */
        {"\x0F\x34", GP},         /* sysenter: no entry is set up */
    };
    expect(list, ARRAY(list));
}

static void ports(void)
{
    static const struct code list[] = {
        {"\xE4\x80", GP},                         /* in al, 0x80 */
        {"\xE6\x80", GP},                         /* out 0x80, al */
        {"\x66\xBA\xF8\x03\xEC", GP},             /* mov dx, 0x3F8; in al, dx */
        {"\x66\xBA\xF4\x00\xEE", GP},             /* mov dx, 0xF4; out dx, al: QEMU's switch */
        {"\x66\xBA\xE0\x07\xEF", GP},             /* mov dx, 0x7E0; out dx, eax */
        {"\x66\xBA\x70\x00\x89\xE7\x6C", GP},     /* mov dx, 0x70; mov edi, esp; insb */
        {"\x66\xBA\x70\x00\x89\xE6\xF3\x6E", GP}, /* mov dx, 0x70; mov esi, esp; rep outsb */
    };
    expect(list, ARRAY(list));
}

/* INT n through gates that are the kernel's, or no gates at all. */
static void interrupts(void)
{
    static const struct code list[] = {
        {"\xCD\x00", GP}, {"\xCD\x01", GP}, {"\xCD\x02", GP}, {"\xCD\x08", GP},
        {"\xCD\x0D", GP}, {"\xCD\x0E", GP}, {"\xCD\x20", GP}, {"\xCD\x2E", GP},
        {"\xCD\x30", GP}, {"\xCD\x7F", GP}, {"\xCD\x81", GP}, {"\xCD\xFF", GP},
    };
    expect(list, ARRAY(list));
}

static void segments(void)
{
    static const struct code list[] = {
        {"\x6A\x10\x07", GP},                       /* push 0x10; pop es: the kernel's data */
        {"\x6A\x10\x1F", GP},                       /* pop ds */
        {"\x6A\x10\x17", GP},                       /* pop ss */
        {"\x6A\x00\x17", GP},                       /* pop ss: null */
        {"\x6A\x1B\x17", GP},                       /* pop ss: code */
        {"\x6A\x28\x07", GP},                       /* pop es: the task state */
        {"\x6A\x2B\x07", GP}, {"\x6A\x33\x07", GP}, /* behind the end of the table */
    };
    expect(list, ARRAY(list));
}

/* A local table there is none: but after a reset its register says that it lies at address 0, where
 * nothing is mapped. */
static void local_segment(void)
{
    code = "\x68\xFC\xFF\x00\x00\x07"; /* push 0xFFFC; pop es */
    const int status = death(run_code);
    CHECK(status == STATUS_FAULT + GP || status == STATUS_FAULT + PF);
}

/* Ways into ring 0 that are none. */
static void far_transfers(void)
{
    static const struct code list[] = {
        {"\xEA\x00\x00\x10\xC0\x08\x00", GP}, /* jmp 8:0xC0100000 */
        {"\x9A\x00\x00\x10\xC0\x08\x00", GP}, /* call 8:0xC0100000 */
        {"\xEA\x00\x00\x00\x00\x28\x00", GP}, /* jmp to the task state */
        {"\xEA\x00\x00\x00\x00\x23\x00", GP}, /* jmp to data */
        {"\xEA\x00\x00\x00\x00\x00\x00", GP}, /* jmp to null */
        {"\x6A\x08\x6A\x00\xCB", GP},         /* push 8; push 0; retf */
        {"\x6A\x02\x6A\x08\x6A\x00\xCF", GP}, /* iret to ring 0 */
        /* pushf; or byte [esp+1], 0x40; popf; iret: with NT set it returns to a task, and the task
         * state has no link to one */
        {"\x9C\x80\x4C\x24\x01\x40\x9D\xCF", TS},
    };
    expect(list, ARRAY(list));
}

/* An instruction may have 15 bytes. */
static void too_long(void)
{
    static const struct code list[] = {
        {"\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90", GP},
    };
    expect(list, ARRAY(list));
}

static void page_fault(void)
{
    static const struct code list[] = {
        {"\xA1\x00\x00\x00\x00", PF}, /* mov eax, [0] */
        {"\xA3\x00\x00\x00\x00", PF}, /* mov [0], eax */
        {"\xA1\x00\x00\x10\xC0", PF}, /* of the kernel */
        {"\xA3\x00\x00\x10\xC0", PF},
        {"\xA1\xFC\xFF\xFF\xFF", PF},
        {"\xA3\x00\x00\x40\x00", PF},         /* write to the text */
        {"\xA1\x00\x00\x00\x30", PF},         /* mapped nowhere */
        {"\xA1\x00\xF0\xFF\xBF", PF},         /* just behind the stack */
        {"\xA1\xFC\xEF\xFE\xBF", PF},         /* just below its limit */
        {"\x31\xC0\xFF\xE0", PF},             /* jmp 0 */
        {"\xB8\x00\x00\x10\xC0\xFF\xE0", PF}, /* jmp 0xC0100000 */
        {"\xBC\x00\x00\x10\xC0\x50", PF},     /* mov esp, 0xC0100000; push eax */
        {"\x31\xE4\x50", PF},                 /* xor esp, esp; push eax: at 0xFFFFFFFC */
        {"\xBC\x00\x10\x00\x00\x50", PF},     /* mov esp, 0x1000; push eax */
    };
    expect(list, ARRAY(list));
}

/* Four bytes at the last but one: behind the segment's limit, which QEMU does not look at. */
static void segment_limit(void)
{
    int status;
    code = "\xA1\xFE\xFF\xFF\xFF";
    status = death(run_code);
    CHECK(status == STATUS_FAULT + GP || status == STATUS_FAULT + PF);
    code = "\xBC\xFE\xFF\xFF\xFF\x58"; /* mov esp, 0xFFFFFFFE; pop eax */
    status = death(run_code);
    CHECK(status == STATUS_FAULT + SS || status == STATUS_FAULT + PF);
}

/* A program may set AC; whether it means something is up to CR0.AM. */
static void alignment_check(void)
{
    code = "\x9C\x80\x4C\x24\x02\x04\x9D"      /* pushf; or byte [esp+2], 4; popf */
           "\x8B\x44\x24\x01"                  /* mov eax, [esp+1] */
           "\x9C\x80\x64\x24\x02\xFB\x9D\xC3"; /* and off again; ret */
    const int status = death(run_code);
    CHECK(status == 0 || status == STATUS_FAULT + AC);
}

/* POPF in ring 3 leaves IF and IOPL alone, without an exception. */
static void flags_stay(void)
{
    uint32_t flags;
    __asm__ volatile("pushf\n\torl $0x3000, (%%esp)\n\tandl $~0x200, (%%esp)\n\tpopf\n\t"
                     "pushf\n\tpop %0"
                     : "=r"(flags)
                     :
                     : "cc", "memory");
    CHECK((flags & 0x3200) == 0x200);
}

/* A process that an exception killed holds nothing any more, and the others go on. */
static void die_holding(void)
{
    int fds[2];
    pipe(fds);
    open("f", O_WRITE | O_CREATE);
    sbrk(4 * PAGE);
    __asm__ volatile("ud2" : : : "memory");
}

static void exceptions_release(void)
{
    for (int i = 0; i < 30; i++)
        CHECK(death(die_holding) == STATUS_FAULT + UD);
}

const struct test exception_tests[] = {
    {"divide-error", divide, false},
    {"debug-exception", debug, false},
    {"breakpoint", breakpoint, false},
    {"overflow", overflow, false},
    {"bound", bound, false},
    {"invalid-opcode", invalid_opcode, false},
    {"no-coprocessor", no_coprocessor, false},
    {"privileged", privileged, false},
    {"ports", ports, false},
    {"interrupts", interrupts, false},
    {"segments", segments, false},
    {"local-segment", local_segment, false},
    {"far-transfers", far_transfers, false},
    {"too-long", too_long, false},
    {"page-fault", page_fault, false},
    {"segment-limit", segment_limit, false},
    {"alignment-check", alignment_check, false},
    {"flags-stay", flags_stay, false},
    {"exceptions-release", exceptions_release, false},
    {NULL, NULL, false},
};
