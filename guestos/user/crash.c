/* Provoke an exception in user mode: the kernel must kill this program and nothing else. */
#include "lib.h"

static void divide(void)
{
    __asm__ volatile("div %0" : : "r"(0), "a"(1), "d"(0));
}

static void undefined(void)
{
    __asm__ volatile("ud2");
}

static void breakpoint(void)
{
    __asm__ volatile("int3");
}

static void overflow(void)
{
    __asm__ volatile("mov $0x7FFFFFFF, %%eax\n\tadd $1, %%eax\n\tinto" : : : "eax", "cc");
}

static void bound(void)
{
    static const int32_t range[2] = {0, 5};
    __asm__ volatile("bound %0, %1" : : "r"(9), "m"(range));
}

/* The kernel saves no floating-point registers, so programs have none (CR0.EM). */
static void floating_point(void)
{
    __asm__ volatile("fninit");
}

static void privileged(void)
{
    __asm__ volatile("cli");
}

static void port(void)
{
    __asm__ volatile("inb $0x80, %%al" : : : "eax");
}

static void segment(void)
{
    __asm__ volatile("mov %0, %%es" : : "r"(0x10));
}

static void read_kernel(void)
{
    (void)*(volatile uint32_t *)0xC0100000u;
}

static void write_text(void)
{
    *(volatile uint32_t *)0x00400000u = 0;
}

static void null(void)
{
    (void)*(volatile uint32_t *)0;
}

static void step(void)
{
    __asm__ volatile("pushf\n\torl $0x100, (%%esp)\n\tpopf\n\tnop" : : : "cc", "memory");
}

static void interrupt(void)
{
    __asm__ volatile("int $0x20");
}

/* Name, what to do, and the vector on the bare machine. */
static const struct {
    const char *name;
    void (*provoke)(void);
    int vector;
} ways[] = {
    {"de", divide, 0},         {"db", step, 1},        {"bp", breakpoint, 3},
    {"of", overflow, 4},       {"br", bound, 5},       {"ud", undefined, 6},
    {"nm", floating_point, 7}, {"gp", privileged, 13}, {"port", port, 13},
    {"seg", segment, 13},      {"int", interrupt, 13}, {"pf", read_kernel, 14},
    {"write", write_text, 14}, {"null", null, 14},
};

static int one(int way)
{
    int status = 0;
    const int pid = fork();
    if (pid == 0) {
        ways[way].provoke();
        exit(0);
    }
    while (pid > 0 && wait(&status) != pid)
        ;
    const bool ok = status == 128 + ways[way].vector;
    printf("crash: %s %s (status %d)\n", ways[way].name, ok ? "ok" : "FAILED", status);
    return !ok;
}

int main(int argc, char **argv)
{
    const int n = sizeof(ways) / sizeof(ways[0]);
    int failed = 0;
    if (argc < 2) {
        for (int i = 0; i < n; i++)
            failed |= one(i);
        return failed;
    }
    for (int i = 0; i < n; i++) {
        if (!strcmp(argv[1], ways[i].name)) {
            ways[i].provoke();
            return 1;
        }
    }
    dprintf(2, "use: crash [WAY]   without one, all are tried. Ways:");
    for (int i = 0; i < n; i++)
        dprintf(2, " %s", ways[i].name);
    dprintf(2, "\n");
    return 2;
}
