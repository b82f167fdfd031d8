/* Two ways to boot in QEMU: GRUB's and QEMU's own. The guest must not be able to tell. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "systest.h"

#define RUN "build/tools/tv-run"

/* The console of a guest that says much about its machine. */
static char *console_by(const struct test_case *test, enum loader loader, const char *part)
{
    struct emu_spec spec = test_spec(test, part);
    struct emu_run run;
    spec.loader = loader;
    spec.files.guest_args = "run=ls,-l,/;cat,/README";
    run_expecting(&run, &spec, 0);
    /* What the boot loader has done with the timer must not come into the VMM's idea of time. */
    const cJSON *start = records_last(run.records, "start");
    const double hz = start ? record_number(start, "tsc_hz", 0) : 1e9;
    if (hz < 0.9999e9 || hz > 1.0001e9)
        fail("the VMM believes that the TSC has %.0f Hz; QEMU's has 1000000000", hz);
    char *console = run.console.text;
    run.console.text = NULL;
    emu_free(&run);
    return console;
}

static void boot_same(const struct test_case *test)
{
    char *grub = console_by(test, LOADER_GRUB, "grub");
    char *direct = console_by(test, LOADER_DIRECT, "direct");
    check_same("the console of a guest that QEMU has loaded", direct, grub);
    free(grub);
    free(direct);
}

static uint64_t image_hash(const struct boot_files *files)
{
    char *error = NULL, *path = iso_for(files, &error);
    size_t size;
    char *bytes = path ? read_file(path, &size) : NULL;
    if (!bytes)
        fail("no image: %s", error ? error : "it cannot be read");
    const uint64_t hash = fnv1a(FNV_START, bytes, size);
    remove(path);
    free(bytes);
    free(path);
    return hash;
}

/* The same files give the same image, whenever it is made: GRUB then takes as many ticks each time.
 */
static void boot_image(const struct test_case *test)
{
    const struct boot_files files = {.mode = test->mode, .guest_args = "run=echo,image"};
    const uint64_t first = image_hash(&files);
    sleep(2);
    if (image_hash(&files) != first)
        fail("an image that was made two seconds later is another one");
}

static void must_say(const struct test_case *test, char *const argv[], const char *text)
{
    char *output = tool_output(test, argv, "said.txt", 1);
    if (!strstr(output, text))
        fail("%s %s says:\n%s", argv[1], argv[2], output);
    free(output);
}

static void boot_usage(const struct test_case *test)
{
    char *dir = xasprintf("--dir=build/test/%s/run", test->name);
    char *text_file[] = {RUN, "--mode=native", "--guest=README.md", dir, NULL};
    char *bochs[] = {RUN, "--emu=bochs", "--loader=direct", dir, NULL};
    char *plain[] = {RUN, "--emu=qemu", "--run=ls", dir, NULL};
    check_usage(test, RUN, "--loader=lilo", 2, "--loader=lilo: choose one of: usual, direct, grub");
    must_say(test, text_file, "README.md has no Multiboot header");
    must_say(test, bochs, "Bochs loads no kernel by itself");
    setenv("TRIVISOR_LOADER", "lilo", 1);
    must_say(test, plain, "TRIVISOR_LOADER=lilo: choose one of: usual, direct, grub");
    free(dir);
}

void tests_boot(void)
{
    for (int m = 0; m < RUN_MODES; m++) {
        const enum run_mode mode = (enum run_mode)m;
        if (!pair_problem(EMU_QEMU, mode))
            test_add(boot_same, EMU_QEMU, mode, 120, "boot-same/qemu-%s", mode_names[m]);
    }
    test_add(boot_image, EMU_BOCHS, MODE_TRAP, 60, "boot-image");
    test_add(boot_usage, EMU_QEMU, MODE_TRAP, 60, "boot-usage");
}
