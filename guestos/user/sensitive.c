/*
 * Execute the sensitive instructions that a program may execute, and print what each returned. On
 * x86 none of them traps (without UMIP), so a VMM that runs programs directly cannot hide all of
 * its state from them.
 */
#include "lib.h"

struct __attribute__((packed)) table {
    uint16_t limit;
    uint32_t base;
};

static void tables(void)
{
    struct table g = {0, 0}, i = {0, 0};
    uint32_t ldtr = 0, tr = 0, msw = 0;
    __asm__ volatile("sgdt %0\n\tsidt %1" : "=m"(g), "=m"(i));
    __asm__ volatile("sldt %0\n\tstr %1\n\tsmsw %2" : "=r"(ldtr), "=r"(tr), "=r"(msw));
    printf("sgdt  base %08x limit %04x\n", g.base, g.limit);
    printf("sidt  base %08x limit %04x\n", i.base, i.limit);
    printf("sldt  %04x\nstr   %04x\nsmsw  %08x\n", ldtr & 0xFFFF, tr & 0xFFFF, msw);
}

static void selectors(void)
{
    uint32_t cs = 0, ss = 0, ds = 0, flags, after;
    __asm__ volatile("mov %%cs, %0\n\tmov %%ss, %1\n\tmov %%ds, %2" : "=r"(cs), "=r"(ss), "=r"(ds));
    __asm__ volatile("pushf\n\tpop %0" : "=r"(flags));
    printf("cs    %04x\nss    %04x\nds    %04x\n", cs, ss, ds);
    printf("pushf IF %u IOPL %u\n", flags >> 9 & 1, flags >> 12 & 3);
    /* Without the privilege POPF does not trap, it leaves IF and IOPL as they are. */
    __asm__ volatile("push %1\n\tpopf\n\tpushf\n\tpop %0"
                     : "=r"(after)
                     : "r"((flags & ~(1u << 9)) | 3u << 12)
                     : "cc", "memory");
    printf("popf  IF %u IOPL %u (asked for IF 0 IOPL 3)\n", after >> 9 & 1, after >> 12 & 3);
}

/* Bytes of the instruction that is tried now, and what it raised. */
static uint32_t length;
static struct fault raised;

static void skip(struct fault *fault)
{
    raised = *fault;
    fault->eip += length;
}

/* INT n through a gate for the kernel only, and instructions that do trap, for comparison. */
static void traps(void)
{
    on_fault(skip);
    length = 2;
    __asm__ volatile("int $0x20" : : : "memory");
    printf("int   20 vector %u error %04x\n", raised.vector, raised.error);
    length = 1;
    __asm__ volatile("cli" : : : "memory");
    printf("cli   vector %u error %04x\n", raised.vector, raised.error);
    __asm__ volatile("hlt" : : : "memory");
    printf("hlt   vector %u error %04x\n", raised.vector, raised.error);
    on_fault(NULL);
}

/* LAR, LSL, VERR, VERW on one selector. */
static void inspect(uint32_t selector)
{
    uint32_t access = 0, limit = 0;
    uint8_t lar, lsl, readable, writable;
    __asm__ volatile("lar %2, %0\n\tsetz %1" : "+r"(access), "=q"(lar) : "r"(selector) : "cc");
    __asm__ volatile("lsl %2, %0\n\tsetz %1" : "+r"(limit), "=q"(lsl) : "r"(selector) : "cc");
    __asm__ volatile("verr %w1\n\tsetz %0" : "=q"(readable) : "r"(selector) : "cc");
    __asm__ volatile("verw %w1\n\tsetz %0" : "=q"(writable) : "r"(selector) : "cc");
    printf("%04x  lar ", selector);
    if (lar)
        printf("%08x", access);
    else
        printf("refused ");
    printf(" lsl ");
    if (lsl)
        printf("%08x", limit);
    else
        printf("refused ");
    printf(" verr %u verw %u\n", readable, writable);
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        dprintf(2, "use: sensitive\n");
        return 2;
    }
    tables();
    selectors();
    for (uint32_t selector = 0; selector <= 0x30; selector += 8)
        inspect(selector | (selector == 0x18 || selector == 0x20 ? 3 : 0));
    traps();
    printf("Compare with MODE=native: every line that differs tells a program that it is "
           "virtualized.\n");
    return 0;
}
