/*
 * The VMM's emulator against the CPU of both machines (tests/emulator): a seeded part of what `make
 * fuzz` runs. The program itself compares; here it must have compared enough, and every
 * instruction.
 */
#include <stdlib.h>
#include <string.h>

#include "systest.h"

#define ELF "build/tests/emulator/emulator.elf"
#define SEED "7"
#define QEMU_CASES 6000
#define BOCHS_CASES 3000

/* Run it on `cases` cases; the console, allocated. */
static char *run_cases(const struct test_case *test, unsigned cases)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    spec.files.guest = ELF;
    spec.files.guest_args = xasprintf("seed=" SEED " cases=%u", cases);
    spec.disk = "";
    if (test->emu == EMU_BOCHS)
        spec.cpu = "ryzen"; /* has SVM */
    run_expecting(&run, &spec, 0);
    char *console = xasprintf("%s", run.console.text);
    emu_free(&run);
    return console;
}

/* The number behind `word` in the line that begins with `line`, 0 without. */
static unsigned number_after(const char *console, const char *line, const char *word)
{
    const char *at = strstr(console, line);
    const char *end = at ? at + strcspn(at, "\n") : NULL;
    const char *found = at ? strstr(at, word) : NULL;
    return found && found < end ? (unsigned)strtoul(found + strlen(word), NULL, 10) : 0;
}

static void emulator(const struct test_case *test)
{
    const unsigned cases = test->emu == EMU_QEMU ? QEMU_CASES : BOCHS_CASES;
    char *console = run_cases(test, cases);
    const unsigned compared =
        number_after(console, "ends:", " end ") + number_after(console, "ends:", " fault ");
    if (!strstr(console, xasprintf("\n0 of %u cases differ", cases)))
        fail("the program does not say that nothing differs; the console is:\n%s", console);
    if (compared < cases / 2)
        fail("only %u of %u cases ran to an end that can be compared", compared, cases);
    free(console);
}

void tests_emulator(void)
{
    test_add(emulator, EMU_QEMU, MODE_NATIVE, 190, "emulator/qemu-native");
    test_add(emulator, EMU_BOCHS, MODE_NATIVE, 190, "emulator/bochs-native");
}
