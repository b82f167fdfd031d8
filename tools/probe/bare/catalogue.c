/*
 * What is executed: every form of the decoder's table that may touch the machine's state, and some
 * plain instructions to compare with. Operands are harmless: a value that is put back afterwards, a
 * far transfer to an instruction that ends the experiment. A unit test checks that no instruction
 * that the decoder knows by name is missing.
 *
 * Registers at the start: EBX the data page, ESI and EDI within it, EAX, ECX, EDX as given here.
 */
#include "probe.h"

/* clang-format off */
#define FORM(name, variant, bytes, ...) {name, variant, bytes, __VA_ARGS__},
#define B(...) sizeof((uint8_t[]){__VA_ARGS__}), {__VA_ARGS__}
#define N(number) {V_NUMBER, number}
#define VALUE(of, flip) {of, flip}
#define OPERAND_FAR(selector) .mem = {N(LAND_AT), N(selector)}
#define NO .eax = N(0)
#define D0 "selector of DPL 0"
#define D3 "selector of DPL 3"
#define TRIED "varied descriptor"
/* Three selectors for what loads or looks at a segment: in ECX or on the stack; in memory. */
#define LOADS(name, where, ...)                                                                    \
    {name, D0, B(__VA_ARGS__), where = N(SEL_DATA0)},                                              \
    {name, D3, B(__VA_ARGS__), where = N(SEL_DATA3 | 3)},                                          \
    {name, TRIED, B(__VA_ARGS__), where = N(SEL_TRIED | 3)},
#define LOADS_FAR(name, ...)                                                                       \
    {name, D0, B(__VA_ARGS__), .mem = {N(0x1234), N(SEL_DATA0)}},                                  \
    {name, D3, B(__VA_ARGS__), .mem = {N(0x1234), N(SEL_DATA3 | 3)}},                              \
    {name, TRIED, B(__VA_ARGS__), .mem = {N(0x1234), N(SEL_TRIED | 3)}},

const struct form forms[] = {
    /* registers that only a supervisor should see */
    FORM("SGDT", "", B(0x0F, 0x01, 0x03), NO)
    FORM("SIDT", "", B(0x0F, 0x01, 0x0B), NO)
    FORM("SLDT", "to a register", B(0x0F, 0x00, 0xC0), NO)
    FORM("SLDT", "to memory", B(0x0F, 0x00, 0x03), NO)
    FORM("STR", "to a register", B(0x0F, 0x00, 0xC8), NO)
    FORM("STR", "to memory", B(0x0F, 0x00, 0x0B), NO)
    FORM("SMSW", "to a register", B(0x0F, 0x01, 0xE0), NO)
    FORM("SMSW", "to memory", B(0x0F, 0x01, 0x23), NO)
    FORM("LGDT", "", B(0x0F, 0x01, 0x13), .mem = {VALUE(V_GDTR0, 0), VALUE(V_GDTR1, 0)})
    FORM("LIDT", "", B(0x0F, 0x01, 0x1B), .mem = {VALUE(V_IDTR0, 0), VALUE(V_IDTR1, 0)})
    FORM("LLDT", "", B(0x0F, 0x00, 0xD1), .ecx = N(SEL_LDT_C))
    FORM("LTR", "", B(0x0F, 0x00, 0xD9), .ecx = N(SEL_TSS_C))
    FORM("LMSW", "register", B(0x0F, 0x01, 0xF0), .eax = VALUE(V_CR0, 8))
    FORM("LMSW", "memory", B(0x0F, 0x01, 0x33), .mem = {VALUE(V_CR0, 8)})
    FORM("CLTS", "", B(0x0F, 0x06), NO)
    FORM("MOV from CR", "CR0", B(0x0F, 0x20, 0xC0), NO)
    FORM("MOV from CR", "CR2", B(0x0F, 0x20, 0xD0), NO)
    FORM("MOV from CR", "CR3", B(0x0F, 0x20, 0xD8), NO)
    FORM("MOV from CR", "CR4", B(0x0F, 0x20, 0xE0), NO)
    FORM("MOV to CR", "CR0, TS flipped", B(0x0F, 0x22, 0xC0), .eax = VALUE(V_CR0, 8))
    FORM("MOV to CR", "CR2", B(0x0F, 0x22, 0xD0), .eax = VALUE(V_CR2, 0x10))
    FORM("MOV to CR", "CR3, PWT flipped", B(0x0F, 0x22, 0xD8), .eax = VALUE(V_CR3, 8))
    FORM("MOV to CR", "CR4, TSD flipped", B(0x0F, 0x22, 0xE0), .eax = VALUE(V_CR4, CR4_TSD))
    FORM("MOV from DR", "DR0", B(0x0F, 0x21, 0xC0), NO)
    FORM("MOV from DR", "DR7", B(0x0F, 0x21, 0xF8), NO)
    FORM("MOV to DR", "DR0", B(0x0F, 0x23, 0xC0), .eax = N(0x9000))
    FORM("MOV to DR", "DR7, LE flipped", B(0x0F, 0x23, 0xF8), .eax = VALUE(V_DR7, 0x100))
    FORM("RDMSR", "SYSENTER_ESP", B(0x0F, 0x32), .ecx = N(0x175))
    FORM("RDMSR", "TSC", B(0x0F, 0x32), .ecx = N(0x10))
    FORM("WRMSR", "SYSENTER_EIP", B(0x0F, 0x30), .ecx = N(0x176), .eax = N(0x2000))
    FORM("WRMSR", "TSC", B(0x0F, 0x30), .ecx = N(0x10), .eax = N(0x2000), .edx = N(0x70))
    FORM("RDTSC", "", B(0x0F, 0x31), NO)
    FORM("RDTSCP", "", B(0x0F, 0x01, 0xF9), NO)
    FORM("RDPMC", "counter 0", B(0x0F, 0x33), .ecx = N(0))
    FORM("CPUID", "leaf 1", B(0x0F, 0xA2), .eax = N(1))
    FORM("XGETBV", "XCR0", B(0x0F, 0x01, 0xD0), .ecx = N(0))
    FORM("XSETBV", "XCR0, SSE flipped", B(0x0F, 0x01, 0xD1), .eax = VALUE(V_XCR0, 2))

    /* caches and the TLB, waiting */
    FORM("INVLPG", "", B(0x0F, 0x01, 0x3B), NO)
    FORM("INVPCID", "all", B(0x66, 0x0F, 0x38, 0x82, 0x03), .eax = N(2),
         .mem = {N(0), N(0)})
    FORM("INVD", "", B(0x0F, 0x08), NO)
    FORM("WBINVD", "", B(0x0F, 0x09), NO)
    FORM("HLT", "", B(0xF4), .how = FORM_WAITS)
    FORM("MONITOR", "", B(0x0F, 0x01, 0xC8), .eax = N(DATA_AT))
    FORM("MWAIT", "", B(0x0F, 0x01, 0xC9), .how = FORM_WAITS)

    /* flags */
    FORM("CLI", "", B(0xFA), NO)
    FORM("STI", "", B(0xFB), NO)
    FORM("PUSHF", "32 bits", B(0x9C), NO)
    FORM("PUSHF", "16 bits", B(0x66, 0x9C), NO)
    FORM("POPF", "IF flipped", B(0x9D), .stack = {VALUE(V_FLAGS, FLAG_IF)})
    FORM("POPF", "IOPL flipped", B(0x9D), .stack = {VALUE(V_FLAGS, 0x3000)})
    FORM("POPF", "16 bits, IF flipped", B(0x66, 0x9D), .stack = {VALUE(V_FLAGS, FLAG_IF)})
    FORM("IRET", "to level 3, IF flipped", B(0xCF),
         .stack = {N(LAND_AT), N(SEL_CONFORMING | 3), VALUE(V_FLAGS, FLAG_IF), N(STACK_AT),
                   N(SEL_DATA3 | 3)})
    FORM("IRET", "to its own level, IF flipped", B(0xCF),
         .stack = {N(LAND_AT), VALUE(V_RPL, SEL_CONFORMING), VALUE(V_FLAGS, FLAG_IF)})

    /* input and output */
    FORM("IN", "port in the instruction", B(0xE4, PORT_PIC), NO)
    FORM("IN", "port in DX", B(0xEC), .edx = N(PORT_SCRATCH))
    FORM("OUT", "port in the instruction", B(0xE6, PORT_PIC), .eax = N(0xBF))
    FORM("OUT", "port in DX", B(0xEE), .edx = N(PORT_SCRATCH), .eax = N(0x77))
    FORM("INS", "", B(0x6C), .edx = N(PORT_SCRATCH))
    FORM("OUTS", "", B(0x6E), .edx = N(PORT_SCRATCH))

    /* protection: looking at descriptors, loading segments */
    LOADS("LAR", .ecx, 0x0F, 0x02, 0xC1)
    LOADS("LSL", .ecx, 0x0F, 0x03, 0xC1)
    LOADS("VERR", .ecx, 0x0F, 0x00, 0xE1)
    LOADS("VERW", .ecx, 0x0F, 0x00, 0xE9)
    FORM("ARPL", "", B(0x63, 0xC8), .eax = N(0x10), .ecx = N(3))
    FORM("PUSH ES", "", B(0x06), NO)
    FORM("PUSH CS", "", B(0x0E), NO)
    FORM("PUSH SS", "", B(0x16), NO)
    FORM("PUSH DS", "", B(0x1E), NO)
    FORM("PUSH FS", "", B(0x0F, 0xA0), NO)
    FORM("PUSH GS", "", B(0x0F, 0xA8), NO)
    LOADS("POP ES", .stack[0], 0x07)
    LOADS("POP SS", .stack[0], 0x17)
    LOADS("POP DS", .stack[0], 0x1F)
    LOADS("POP FS", .stack[0], 0x0F, 0xA1)
    LOADS("POP GS", .stack[0], 0x0F, 0xA9)
    FORM("MOV from ES", "", B(0x8C, 0xC0), NO)
    FORM("MOV from CS", "", B(0x8C, 0xC8), NO)
    FORM("MOV from SS", "", B(0x8C, 0xD0), NO)
    FORM("MOV from DS", "", B(0x8C, 0xD8), NO)
    FORM("MOV from FS", "", B(0x8C, 0xE0), NO)
    FORM("MOV from GS", "", B(0x8C, 0xE8), NO)
    LOADS("MOV to ES", .ecx, 0x8E, 0xC1)
    LOADS("MOV to SS", .ecx, 0x8E, 0xD1)
    LOADS("MOV to DS", .ecx, 0x8E, 0xD9)
    LOADS("MOV to FS", .ecx, 0x8E, 0xE1)
    LOADS("MOV to GS", .ecx, 0x8E, 0xE9)
    LOADS_FAR("LES", 0xC4, 0x03)
    LOADS_FAR("LDS", 0xC5, 0x03)
    LOADS_FAR("LSS", 0x0F, 0xB2, 0x03)
    LOADS_FAR("LFS", 0x0F, 0xB4, 0x03)
    LOADS_FAR("LGS", 0x0F, 0xB5, 0x03)

    /* transfers of control */
    FORM("CALL far", "conforming code", B(0x9A, 0x00, 0x02, 0x00, 0x40, SEL_CONFORMING | 3, 0), NO)
    FORM("CALL far", "a call gate into level 0", B(0x9A, 0, 0, 0, 0, SEL_GATE | 3, 0), NO)
    FORM("CALL far", "from memory, conforming code", B(0xFF, 0x1B), OPERAND_FAR(SEL_CONFORMING | 3))
    FORM("JMP far", "conforming code", B(0xEA, 0x00, 0x02, 0x00, 0x40, SEL_CONFORMING | 3, 0), NO)
    FORM("JMP far", "from memory, conforming code", B(0xFF, 0x2B), OPERAND_FAR(SEL_CONFORMING | 3))
    FORM("RET far", "to level 3", B(0xCB),
         .stack = {N(LAND_AT), N(SEL_CONFORMING | 3), N(STACK_AT), N(SEL_DATA3 | 3)})
    FORM("RET far", "releasing 4 bytes, to level 3", B(0xCA, 0x04, 0x00),
         .stack = {N(LAND_AT), N(SEL_CONFORMING | 3), N(0), N(STACK_AT), N(SEL_DATA3 | 3)})
    FORM("INT n", "a gate of DPL 3", B(0xCD, VEC_OPEN), NO)
    FORM("INT n", "a gate of DPL 0", B(0xCD, VEC_CLOSED), NO)
    FORM("INT3", "a gate of DPL 3", B(0xCC), NO)
    FORM("INTO", "a gate of DPL 3", B(0xCE), NO)
    FORM("INT1", "", B(0xF1), NO)
    FORM("SYSENTER", "", B(0x0F, 0x34), NO)
    FORM("SYSEXIT", "", B(0x0F, 0x35), .edx = N(LAND_AT), .ecx = N(STACK_AT))

    /* hardware virtualization, not switched on */
    FORM("VMCALL", "", B(0x0F, 0x01, 0xC1), NO)
    FORM("VMLAUNCH", "", B(0x0F, 0x01, 0xC2), NO)
    FORM("VMRESUME", "", B(0x0F, 0x01, 0xC3), NO)
    FORM("VMXOFF", "", B(0x0F, 0x01, 0xC4), NO)
    FORM("VMREAD", "", B(0x0F, 0x78, 0xC1), NO)
    FORM("VMWRITE", "", B(0x0F, 0x79, 0xC1), NO)
    FORM("VMPTRLD", "", B(0x0F, 0xC7, 0x33), NO)
    FORM("VMPTRST", "", B(0x0F, 0xC7, 0x3B), NO)
    FORM("VMCLEAR", "", B(0x66, 0x0F, 0xC7, 0x33), NO)
    FORM("VMXON", "", B(0xF3, 0x0F, 0xC7, 0x33), NO)
    FORM("INVEPT", "", B(0x66, 0x0F, 0x38, 0x80, 0x03), NO)
    FORM("INVVPID", "", B(0x66, 0x0F, 0x38, 0x81, 0x03), NO)
    FORM("VMRUN", "", B(0x0F, 0x01, 0xD8), NO)
    FORM("VMMCALL", "", B(0x0F, 0x01, 0xD9), NO)
    FORM("VMLOAD", "", B(0x0F, 0x01, 0xDA), NO)
    FORM("VMSAVE", "", B(0x0F, 0x01, 0xDB), NO)
    FORM("STGI", "", B(0x0F, 0x01, 0xDC), NO)
    FORM("CLGI", "", B(0x0F, 0x01, 0xDD), NO)
    FORM("SKINIT", "", B(0x0F, 0x01, 0xDE), NO)
    FORM("INVLPGA", "", B(0x0F, 0x01, 0xDF), NO)

    /* plain ones, to compare with */
    FORM("ADD", "", B(0x01, 0xC8), .eax = N(0x7FFFFFFF), .ecx = N(1))
    FORM("MOV", "to memory", B(0x89, 0x03), .eax = N(0x1234))
    FORM("MOVS", "", B(0xA5), NO)
    FORM("PUSH", "", B(0x50), .eax = N(0x1234))
    FORM("CALL near", "", B(0xE8, 0xFB, 0x00, 0x00, 0x00), NO)
    FORM("LAHF", "", B(0x9F), NO)
    FORM("STD", "", B(0xFD), NO)
};
/* clang-format on */
const unsigned form_count = sizeof(forms) / sizeof(forms[0]);
