/* Wrong input: one clear line, an error status, no hang. */
#include <stdlib.h>
#include <string.h>

#include "systest.h"

#define STATUS_REFUSED 2 /* the VMM's status when it starts no guest */

/* Run a machine that the VMM must refuse with a line that contains `text`. */
static void refused(const struct emu_spec *spec, const char *text)
{
    struct emu_run run;
    run_expecting(&run, spec, STATUS_REFUSED);
    char *lines = lines_with(run.console.text, "trivisor: error:", true);
    if (!strstr(lines, text))
        fail("no error line with \"%s\"; the console is:\n%s", text, run.console.text);
    if (strchr(lines, '\n') != strrchr(lines, '\n'))
        fail("more than one error line:\n%s", lines);
    const char *said = record_string(records_last(run.records, "error"), "text");
    if (!said || !strstr(said, text))
        fail("no error record with \"%s\"", text);
    free(lines);
    emu_free(&run);
}

static void no_guest(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    spec.files.guest = "";
    refused(&spec, "no guest kernel");
}

static void not_a_kernel(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    make_dirs(spec.dir);
    char *path = xasprintf("%s/not-a-kernel", spec.dir);
    const char text[] = "This is no kernel at all.\n";
    write_file(path, text, sizeof(text) - 1);
    spec.files.guest = path;
    refused(&spec, "not a Multiboot kernel");
}

static void little_memory(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    spec.mem_mb = 24; /* and the guest gets 32 unless told otherwise */
    refused(&spec, "too little memory");
}

static void odd_memory(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    spec.files.vmm_options = "mem=3";
    refused(&spec, "mem=3");
}

static void odd_option(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    spec.files.vmm_options = "mem=32 umpi=on";
    refused(&spec, "unknown option 'umpi=on'");
}

static void odd_switch(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    spec.files.vmm_options = "virtio=yes";
    refused(&spec, "virtio=yes: a switch is on or off");
}

static void no_such_hardware(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    char *text = xasprintf("mode %s cannot run on this CPU", mode_names[test->mode]);
    if (test->emu == EMU_BOCHS)
        spec.cpu = test->mode == MODE_SVM ? "corei7_sandy_bridge_2600k" : "ryzen";
    refused(&spec, text);
    free(text);
}

/* What GRUB itself refuses must end with GRUB's words and not with a silent wait. */
static void grub_refuses(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    spec.loader = LOADER_GRUB;
    spec.files.guest = "README.md";
    spec.timeout_s = 20;
    if (emu_run(&run, &spec))
        fail("a text file was booted");
    if (!strstr(run.error, "GRUB cannot load"))
        fail("GRUB's refusal is not shown: %s", run.error);
    emu_free(&run);
}

void tests_errors(void)
{
    for (int e = 0; e < EMU_KINDS; e++) {
        const enum emu_kind emu = (enum emu_kind)e;
        const char *name = emu_names[e];
        test_add(no_guest, emu, MODE_TRAP, 70, "error-no-guest/%s", name);
        test_add(not_a_kernel, emu, MODE_TRAP, 70, "error-not-a-kernel/%s", name);
        test_add(little_memory, emu, MODE_TRAP, 70, "error-little-memory/%s", name);
        test_add(odd_memory, emu, MODE_TRAP, 70, "error-odd-memory/%s", name);
        test_add(odd_option, emu, MODE_TRAP, 70, "error-odd-option/%s", name);
        test_add(odd_switch, emu, MODE_TRAP, 70, "error-odd-virtio/%s", name);
        test_add(no_such_hardware, emu, MODE_VTX, 70, "error-no-vtx/%s", name);
        test_add(grub_refuses, emu, MODE_NATIVE, 70, "error-grub/%s", name);
    }
    test_add(no_such_hardware, EMU_BOCHS, MODE_SVM, 70, "error-no-svm/bochs");
}
