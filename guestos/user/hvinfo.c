/*
 * Tell whether and how this kernel is virtualized: what the kernel has found out, and with -v also
 * what this program, which every VMM lets run directly, sees itself.
 */
#include "lib.h"

/* Where Minnow keeps its tables (kernel.ld), and the task register it loads. */
#define KERNEL_START 0xC0000000u
#define KERNEL_END 0xCFFFFFFFu
#define KERNEL_TR 0x28u
#define MSW_NE 0x20u

static const struct {
    const char *name, *meaning;
} modes[] = {
    {"unknown", "a hypervisor that does not tell; or an emulator that names itself like one"},
    {"trap-and-emulate", "this kernel runs deprivileged, in ring 3; what is privileged traps, the "
                         "rest is found by scanning its code"},
    {"paravirtualization", "this kernel runs deprivileged, in ring 3; the sites that it recorded "
                           "call the VMM"},
    {"VT-x", "this kernel runs in ring 0 of VMX non-root operation"},
    {"AMD-V", "this kernel runs in ring 0 of an SVM guest"},
};
#define FIRST_HARDWARE_MODE 3

struct __attribute__((packed)) table {
    uint16_t limit;
    uint32_t base;
};

static void cpuid(uint32_t leaf, uint32_t r[4])
{
    __asm__("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
}

static void show_table(const char *instruction, const struct table *t)
{
    const bool kernels = t->base >= KERNEL_START && t->base <= KERNEL_END;
    printf("  %s: base %08x, limit %04x: %s\n", instruction, t->base, t->limit,
           kernels ? "in the kernel's memory" : "not the kernel's: a VMM's");
}

static void show_facts(const struct hvinfo *h)
{
    struct table g = {0, 0}, i = {0, 0};
    uint32_t r[4], ldtr = 0, tr = 0, msw = 0;
    char signature[13] = "";
    printf("the kernel sees:\n");
    printf("  CPUID.1:ECX[31], a hypervisor is present: %u\n", h->present);
    printf("  CPUID.40000000, its signature: \"%s\"\n", h->signature);
    printf("  CPUID.40000001:EAX, Trivisor's mode: %u\n", h->mode);
    printf("  shared page, ABI version while sites are patched: %u\n", h->pv_version);
    printf("this program sees:\n");
    cpuid(1, r);
    const uint32_t present = r[2] >> 31;
    if (present) {
        cpuid(0x40000000u, r);
        memcpy(signature, &r[1], 12);
    }
    printf("  CPUID.1:ECX[31]: %u, signature \"%s\": %s\n", present, signature,
           present == h->present && !strcmp(signature, h->signature)
               ? "the same as the kernel"
               : "not what the kernel sees: its CPUID is answered by a VMM");
    __asm__ volatile("sgdt %0\n\tsidt %1" : "=m"(g), "=m"(i));
    __asm__ volatile("sldt %0\n\tstr %1\n\tsmsw %2" : "=r"(ldtr), "=r"(tr), "=r"(msw));
    show_table("SGDT", &g);
    show_table("SIDT", &i);
    printf("  SLDT: %04x: %s\n", ldtr & 0xFFFF,
           ldtr & 0xFFFF ? "not the kernel's, which has no LDT" : "no LDT, as the kernel");
    printf("  STR: %04x: %s\n", tr & 0xFFFF,
           (tr & 0xFFFF) == KERNEL_TR ? "the kernel's task" : "not the kernel's: a VMM's task");
    printf("  SMSW: %04x: %s\n", msw & 0xFFFF,
           msw & MSW_NE ? "with NE, which the kernel never sets" : "as the kernel sets it");
}

/* In hardware modes CPUID is the VMM's for programs, too: leaf 40000001 EBX bit 0. */
static const char *paging(uint32_t mode)
{
    uint32_t r[4];
    if (mode < FIRST_HARDWARE_MODE)
        return "";
    cpuid(0x40000001u, r);
    return r[1] & 1 ? ", with nested paging: the CPU walks its page tables and then the VMM's"
                    : ", with shadow paging: the CPU walks the VMM's page tables, not its own";
}

int main(int argc, char **argv)
{
    struct hvinfo h;
    const bool verbose = argc == 2 && !strcmp(argv[1], "-v");
    if (argc > 1 && !verbose) {
        dprintf(2, "use: hvinfo [-v]\n");
        return 2;
    }
    const int error = system_call(SYS_HVINFO, (uint32_t)&h, 0, 0);
    if (error < 0) {
        dprintf(2, "hvinfo: %s\n", error_text(error));
        return 1;
    }
    const uint32_t mode = h.mode < sizeof(modes) / sizeof(modes[0]) ? h.mode : 0;
    if (!h.present) {
        printf("hypervisor: none that CPUID tells of\n");
    } else {
        printf("hypervisor: %s\n", h.signature);
        printf("mode: %s\n", modes[mode].name);
    }
    printf("sites: %u recorded, %u patched (ABI version %u)\n", h.total_sites, h.patched_sites,
           h.pv_version);
    if (h.present)
        printf("%s: %s%s\n", modes[mode].name, modes[mode].meaning, paging(mode));
    printf("patched: a sensitive instruction of the kernel that the VMM has overwritten with a "
           "call of itself%s\n",
           h.patched_sites ? "" : "; here all are as compiled");
    if (verbose)
        show_facts(&h);
    return 0;
}
