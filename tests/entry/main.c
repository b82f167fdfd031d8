/*
 * The test of the entry checker: command line, the end of the run. Words of the command line:
 * seed=N cases=N (random ones, behind the named ways) only=TEXT (named ways with it in their name,
 * and no random ones).
 */
#include "cpu.h"
#include "entry.h"
#include "host.h"
#include "vmm.h"

#define STATUS_FAILED 1
#define STATUS_MACHINE 2
#define MB_HAS_CMDLINE 4u
#define MOST 25 /* differences until it gives up */

bool is_bochs;

void test_main(const uint32_t *info);
void host_exception(const uint32_t *frame);
void host_late(void);

static void finish(int status)
{
    record("{\"type\":\"guest-end\",\"status\":%d}", status);
    host_power_off(status);
}

void panic(const char *fmt, ...)
{
    char text[160];
    va_list ap;

    va_start(ap, fmt);
    kvsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    kprintf("entry test: %s\n", text);
    finish(STATUS_MACHINE);
    __builtin_unreachable();
}

void host_exception(const uint32_t *frame)
{
    panic("exception %u, error %x, at %08x, in case %u", frame[0], frame[1], frame[2], tally.cases);
}

/* The timer of start.asm counts no patience here. */
void host_late(void)
{
    panic("late");
}

/* serial.c takes input, too; nobody types here. */
volatile bool host_work; /* the world switch looks at it; here nothing sets it */

void host_irq_open(unsigned irq, void (*handler)(void))
{
    (void)irq;
    (void)handler;
}

/* The word behind "key=", or NULL. */
static const char *option(const char *line, const char *key)
{
    for (const char *at = line; *at; at++) {
        const char *k = key, *v = at;

        while (*k && *k == *v)
            k++, v++;
        if (!*k && *v == '=' && (at == line || at[-1] == ' '))
            return v + 1;
    }
    return NULL;
}

static uint32_t option_number(const char *line, const char *key, uint32_t usual)
{
    const char *v = option(line, key);
    uint32_t value = 0;

    if (!v)
        return usual;
    for (; *v >= '0' && *v <= '9'; v++)
        value = value * 10 + (uint32_t)(*v - '0');
    return value;
}

/* Bochs has the ID of the machine in CPUID; QEMU says TCG at 40000000. */
static void find_machine(void)
{
    uint32_t r[4];

    cpuid(0x40000000u, r);
    is_bochs = r[1] != 0x54474354; /* "TCGT" */
}

static void print_cpu(void)
{
    uint32_t name[13] = {0};

    for (unsigned i = 0; i < 3; i++)
        cpuid(0x80000002u + i, &name[4 * i]);
    kprintf("entry test on %s, %s\n", is_bochs ? "Bochs" : "QEMU", (const char *)name);
}

static const char *copy_word(const char *from)
{
    static char word[64];
    unsigned n = 0;

    for (; from && n + 1 < sizeof(word) && from[n] && from[n] != ' '; n++)
        word[n] = from[n];
    word[n] = 0;
    return from ? word : NULL;
}

void test_main(const uint32_t *info)
{
    static char line[256];
    const char *given = info[0] & MB_HAS_CMDLINE ? (const char *)(uintptr_t)info[4] : "";

    for (unsigned n = 0; n + 1 < sizeof(line) && given[n]; n++)
        line[n] = given[n];
    host_serial_init();
    find_machine();
    print_cpu();
    const uint32_t seed = option_number(line, "seed", 1), cases = option_number(line, "cases", 0);
    const char *only = copy_word(option(line, "only"));
    guest_memory_init();
    host_paging_on();
    const struct assist *assist = vmx_assist.init() ? &vmx_assist : &svm_assist;
    if (assist == &svm_assist && !svm_assist.init())
        panic("this CPU has neither VT-x nor AMD-V");
    assist->named(only);
    const uint32_t named = tally.cases;
    for (uint32_t i = 0; !only && i < cases && tally.differ < MOST; i++)
        assist->random(seed, i);
    const unsigned missing = verdict_report();
    kprintf("\n%s: %u named ways, %u cases, and %u random ones with seed %u; %u skipped\n",
            assist->name, tally.ways, named, tally.cases - named, seed, tally.skipped);
    kprintf("%u differ, %u listed disagreements did not show, %u fields read that are not there\n",
            tally.differ, only ? 0 : missing, tally.misread);
    finish(tally.differ || (missing && !only) || tally.misread ? STATUS_FAILED : 0);
}
