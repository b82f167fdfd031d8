/*
 * The test of the emulator: command line, the loop over the cases, the end of the run.
 * Words of the command line: seed=N cases=N first=N case=N (that one alone, printed) most=N
 * (differences until it gives up) raise=1 (exceptions are not delivered) tell=N (cases between two
 * lines of progress).
 */
#include "cpu.h"
#include "emutest.h"
#include "host.h"

#define STATUS_FAILED 1
#define STATUS_MACHINE 2
#define MB_HAS_CMDLINE 4u

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
    kprintf("emulator test: %s\n", text);
    finish(STATUS_MACHINE);
    __builtin_unreachable();
}

static struct test_case test;
static struct result emu, cpu;
static bool never_deliver;

void host_exception(const uint32_t *frame)
{
    panic("exception %u, error %x, at %08x, in case %u", frame[0], frame[1], frame[2], test.number);
}

void host_late(void)
{
    panic("the emulator does not come back, in case %u", test.number);
}

/* serial.c takes input, too; nobody types here. */
void host_irq_open(unsigned irq, void (*handler)(void))
{
    (void)irq;
    (void)handler;
}

static uint32_t option_number(const char *line, const char *key, uint32_t usual)
{
    for (const char *at = line; *at; at++) {
        const char *k = key, *v = at;
        uint32_t value = 0;

        while (*k && *k == *v)
            k++, v++;
        if (*k || *v != '=' || (at != line && at[-1] != ' ' && at[-1] != '='))
            continue;
        for (v++; *v >= '0' && *v <= '9'; v++)
            value = value * 10 + (uint32_t)(*v - '0');
        return value;
    }
    return usual;
}

/* Bochs has the ID of the machine in CPUID; QEMU says TCG at 40000000. */
static void find_machine(void)
{
    uint32_t r[4];

    cpuid(0x40000000u, r);
    is_bochs = r[1] != 0x54474354; /* "TCGT" */
}

/* Returns whether both agree. */
static bool run_case(uint32_t seed, uint32_t number)
{
    rng_start(seed, number);
    test.number = number;
    state_make(&test);
    test.deliver &= !never_deliver;
    code_make(&test);
    report_meant(&test);
    emulated_run(&test, &emu);
    if (emu.stop < SKIP_NOT_MINE) {
        native_run(&test, &cpu);
        if (cpu.stop == SKIP_INTERRUPTED) {
            emu.stop = SKIP_INTERRUPTED;
            arena_restore(true);
        } else if (!compare(&test, &emu, &cpu))
            return false;
    }
    report_case(&test, &emu);
    return !emu.wrong;
}

static void print_skipped(void)
{
    cpu = emu;
    print_case(&test, &emu, &cpu);
}

void test_main(const uint32_t *info)
{
    static char line[256];
    const char *given = info[0] & MB_HAS_CMDLINE ? (const char *)(uintptr_t)info[4] : "";
    unsigned failed = 0, n = 0;

    for (; n + 1 < sizeof(line) && given[n]; n++)
        line[n] = given[n];
    host_serial_init();
    find_machine();
    const uint32_t seed = option_number(line, "seed", 1), most = option_number(line, "most", 5);
    never_deliver = option_number(line, "raise", 0);
    const uint32_t alone = option_number(line, "case", UINT32_MAX);
    const uint32_t first = alone != UINT32_MAX ? alone : option_number(line, "first", 0);
    const uint32_t cases = alone != UINT32_MAX ? 1 : option_number(line, "cases", 1000);
    const uint32_t tell = option_number(line, "tell", 10000);
    kprintf("emulator test on %s: seed %u, cases %u to %u\n", is_bochs ? "Bochs" : "QEMU", seed,
            first, first + cases - 1);
    if (!native_init())
        panic("this CPU has no SVM");
    arena_init(seed);
    for (uint32_t i = 0; i < cases && failed < most; i++) {
        const bool good = run_case(seed, first + i);

        if (!good || alone != UINT32_MAX) {
            if (emu.stop < SKIP_NOT_MINE)
                print_case(&test, &emu, &cpu);
            else
                print_skipped();
        }
        failed += !good;
        arena_restore(!good || i % 1024 == 0);
        if (tell && (i + 1) % tell == 0)
            kprintf("progress: %u cases\n", i + 1);
    }
    const unsigned missing = alone != UINT32_MAX ? 0 : report_print();
    forgive_report();
    kprintf("%u of %u cases differ, %u instructions never compared\n", failed, cases, missing);
    finish(failed || missing ? STATUS_FAILED : 0);
}
