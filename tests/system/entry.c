/*
 * Entries: the VMM's checker against the CPUs (tests/entry; `make entry-check` is the long form),
 * and what the console says of an entry that is refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/entry.h"
#include "systest.h"

#define SEED "7"
#define CASES "500"
#define NAMED_SVM 80u
#define NAMED_VMX 270u
#define STATUS_KILLED 124
#define STATUS_REFUSED 2

/* Cases have no room for a CPU model: it is behind the last '/' of the name. */
static void compare(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    unsigned ways = 0;
    spec.files.guest = ENTRY_ELF;
    spec.files.guest_args = "cases=" CASES " seed=" SEED;
    spec.disk = "";
    spec.cpu = strrchr(test->name, '/') + 1;
    run_expecting(&run, &spec, 0);
    const char *vmx = strstr(run.console.text, "VT-x: "),
               *svm = strstr(run.console.text, "AMD-V: ");
    if (vmx)
        sscanf(vmx, "VT-x: %u", &ways);
    else if (svm)
        sscanf(svm, "AMD-V: %u", &ways);
    if (ways < (vmx ? NAMED_VMX : NAMED_SVM))
        fail("only %u named ways were tried; the console is:\n%s", ways, run.console.text);
    if (!strstr(run.console.text, "\n0 differ, 0 listed disagreements did not show"))
        fail("the program does not say that nothing differs; the console is:\n%s",
             run.console.text);
    emu_free(&run);
}

/* What the modes break on purpose, and the rule that must be named. */
static const struct broken {
    enum run_mode mode;
    const char *name, *rule;
} broken[] = {
    {MODE_VTX, "cr3-targets",
     "there are more than four CR3 targets (SDM vol. 3C section 26.2.1.1)"},
    {MODE_VTX, "host-cr4-vmxe", "host's CR4 has bits that VMX operation fixes otherwise (SDM"},
    {MODE_VTX, "cr4-vmxe",
     ": CR4 has bits that VMX operation fixes otherwise (SDM vol. 3C section 26.3.1.1)"},
    {MODE_SVM, "asid", "the ASID is zero, which is the host's (AMD APM vol. 2 section 15.5.1)"},
    {MODE_SVM, "cr0-nw", "CR0.CD is zero and CR0.NW is set (AMD APM vol. 2 section 15.5.1)"},
    {MODE_SVM, "event-type",
     "the event to inject has a reserved type (AMD APM vol. 2 section 15.20)"},
};

/* The console must say who refused, and the rule. */
static void refused(const struct test_case *test, const struct broken *b, bool check)
{
    struct emu_spec spec = test_spec(test, check ? "checked" : b->name);
    struct emu_run run;
    const char *hardware = b->mode == MODE_VTX ? "VM entry failed: " : "VMRUN failed: ";
    spec.files.vmm_options = xasprintf("break=%s%s", b->name, check ? " check=on" : "");
    run_expecting(&run, &spec, STATUS_KILLED);
    const char *line = strstr(run.console.text, "trivisor: guest vm0 was killed: ");
    const char *who = check ? "the check before VM" : hardware;
    if (!line || !strstr(line, who) || !strstr(line, b->rule))
        fail("break=%s: no \"%s...%s\"; the console is:\n%s", b->name, who, b->rule,
             run.console.text);
    emu_free(&run);
}

#define NAMED 3 /* of each mode, in the default run */

/* The hardware refuses, and the report names the rule; with check=on the hardware is not asked. */
static void named(const struct test_case *test)
{
    unsigned done = 0;
    for (unsigned i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        if (broken[i].mode != test->mode)
            continue;
        if (done == NAMED && !tests_long())
            break;
        refused(test, &broken[i], false);
        if (!done)
            refused(test, &broken[i], true);
        done++;
    }
}

/* With every entry checked the guest's own tests run as ever: no false alarm. Under VT-x in Bochs,
 * where a check costs some hundred VMREADs, a part of them has to do. */
static void checked(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    spec.files.vmm_options = strstr(test->name, "-shadow") ? "check=on paging=shadow" : "check=on";
    spec.files.guest_args = test->mode == MODE_VTX ? "run=ls;sensitive" : "run=usertests,-q";
    run_expecting(&run, &spec, 0);
    emu_free(&run);
}

static void unknown(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    spec.files.vmm_options = "break=nothing";
    run_expecting(&run, &spec, STATUS_REFUSED);
    if (!strstr(run.console.text, "break=nothing: no rule that this mode can break; those are "))
        fail("break=nothing is not named as the error; the console is:\n%s", run.console.text);
    emu_free(&run);
}

static void usage(const struct test_case *test)
{
    const char *tool = "build/tools/tv-entry";
    check_usage(test, tool, "--help", 0, "usage: tv-entry");
    check_usage(test, tool, "--emu=vmware", 2, "unknown emulator 'vmware'");
    check_usage(test, tool, "--cpu=i486", 2, "i486");
    check_usage(test, tool, "more", 2, "unexpected argument 'more'");
}

void tests_entry(void)
{
    static const struct {
        enum emu_kind emu;
        enum run_mode mode;
    } pairs[] = {{EMU_BOCHS, MODE_VTX}, {EMU_QEMU, MODE_SVM}, {EMU_BOCHS, MODE_SVM}};
    for (int i = 0; i < ENTRY_MACHINES; i++)
        test_add(compare, entry_machines[i].emu, MODE_NATIVE, 90, "entry/%s/%s",
                 emu_names[entry_machines[i].emu], entry_machines[i].cpu);
    for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        const char *emu = emu_names[pairs[i].emu], *mode = mode_names[pairs[i].mode];
        test_add(named, pairs[i].emu, pairs[i].mode, 150, "entry-refused/%s-%s", emu, mode);
        test_add(checked, pairs[i].emu, pairs[i].mode, 90, "entry-checked/%s-%s", emu, mode);
        test_add(unknown, pairs[i].emu, pairs[i].mode, 60, "entry-unknown/%s-%s", emu, mode);
    }
    test_add(checked, EMU_QEMU, MODE_SVM, 90, "entry-checked/qemu-svm-shadow");
    test_add(usage, EMU_QEMU, MODE_NATIVE, 30, "entry-usage");
}
