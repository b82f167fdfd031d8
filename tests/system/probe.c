/*
 * The prober of the instruction set: on each CPU the sensitive instructions that do not trap are
 * Robin and Irvine's seventeen and those listed here, and UMIP takes five of them away.
 */
#include <stdlib.h>
#include <string.h>

#include "probe/machines.h"
#include "systest.h"

#define LIMIT_S 240
#define TOOL "build/tools/tv-probe"
#define ROBIN "SGDT SIDT SLDT SMSW PUSHF POPF LAR LSL VERR/VERW POP PUSH CALL JMP INT n RET STR MOV"
#define ROBIN_UMIP "PUSHF POPF LAR LSL VERR/VERW POP PUSH CALL JMP INT n RET MOV"
/* Of the counterexamples of theorem 1 those that belong to no name of theirs. */
#define OTHERS "IRET LES LDS LSS LFS LGS INT3 INTO"

static const struct cpu {
    enum emu_kind emu;
    const char *cpu;
    bool umip;
    const char *before, *behind; /* more others, before IRET and behind INTO */
    const char *holes;           /* states that no instruction shows */
} cpus[] = {
    {EMU_QEMU, "max", true, "RDTSC RDTSCP CPUID XGETBV ", " SYSENTER", "MSR TSC_AUX"},
    {EMU_BOCHS, "tigerlake", true, "RDTSC RDTSCP CPUID XGETBV ", " INT1 SYSENTER", "MSR TSC_AUX"},
    {EMU_BOCHS, "pentium", false, "RDTSC ", " INT1",
     "CR4.OSXSAVE MSR SYSENTER_ESP MSR TSC_AUX XCR0"},
};

static char *joined(const cJSON *names, bool (*wanted)(const char *))
{
    struct text out = {0};
    const cJSON *item;
    text_add(&out, "", 0);
    cJSON_ArrayForEach(item, names)
    {
        if (!wanted || wanted(item->valuestring))
            text_printf(&out, "%s%s", out.len ? " " : "", item->valuestring);
    }
    return out.text ? out.text : xasprintf("%s", "");
}

/* Not one of what the seventeen names stand for. */
static bool is_other(const char *name)
{
    static const char *const theirs[] = {"SGDT",  "SIDT", "SLDT", "SMSW", "PUSH", "POP",
                                         "LAR",   "LSL",  "VERR", "VERW", "STR",  "MOV ",
                                         "CALL ", "JMP ", "RET ", "INT n"};
    for (unsigned i = 0; i < sizeof(theirs) / sizeof(theirs[0]); i++)
        if (!strncmp(name, theirs[i], strlen(theirs[i])))
            return false;
    return true;
}

static const cJSON *configuration(const cJSON *json, const char *name)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(json, "configurations"))
    {
        if (!strcmp(record_string(item, "name"), name))
            return item;
    }
    return NULL;
}

static void check_config(const cJSON *json, const char *name, const char *robin, const char *others)
{
    const cJSON *config = configuration(json, name);
    if (!config)
        fail("the CPU has no configuration %s", name);
    char *found = joined(cJSON_GetObjectItem(config, "robin_and_irvine"), NULL);
    check_same("Robin and Irvine's", found, robin);
    free(found);
    found = joined(cJSON_GetObjectItem(config, "breaks_theorem_1"), is_other);
    check_same("the others", found, others);
    free(found);
}

/* The class that was derived for an instruction. */
static void check_class(const cJSON *json, const char *config, const char *name, const char *class)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(configuration(json, config), "instructions"))
    {
        if (!strcmp(record_string(item, "name"), name)) {
            check_same(name, record_string(item, "class"), class);
            return;
        }
    }
    fail("%s was not probed", name);
}

static void probe_cpu(const struct test_case *test, const struct cpu *cpu)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    spec.files.guest = ISO_PROBE;
    spec.disk = "";
    spec.cpu = cpu->cpu;
    spec.timeout_s = LIMIT_S - 20;
    run_expecting(&run, &spec, 0);
    char *records = xasprintf("--records=%s/com2.txt", spec.dir);
    char *path = xasprintf("%s/probe.json", spec.dir), *to = xasprintf("--json=%s", path);
    char *const argv[] = {TOOL, records, to, "--config=every", NULL};
    char *page = tool_output(test, argv, "page.txt", 0);
    if (!strstr(page, "Theorem 1: the sensitive instructions are not a subset of the privileged") ||
        !strstr(page, "Theorem 3: the user-sensitive instructions are not a subset"))
        fail("the page does not say what the theorems say:\n%s", page);
    cJSON *json = json_file(path);
    char *others = xasprintf("%s" OTHERS "%s", cpu->before, cpu->behind);
    check_config(json, "plain", ROBIN, others);
    char *holes =
        joined(cJSON_GetObjectItem(configuration(json, "plain"), "states_not_shown"), NULL);
    check_same("the states that no instruction shows", holes, cpu->holes);
    if (cpu->umip)
        check_config(json, "UMIP", ROBIN_UMIP, others);
    else if (configuration(json, "UMIP"))
        fail("a %s has no UMIP", cpu->cpu);
    check_class(json, "plain", "CLI", "privileged");
    check_class(json, "IOPL 3", "CLI", "sensitive");
    check_class(json, "TSD", "RDTSC", "privileged");
    check_class(json, "plain", "MOV from DS", "innocuous");
    check_class(json, "plain", "ADD", "innocuous");
    if (cpu->emu == EMU_BOCHS)
        check_class(json, "PVI", "CLI", "sensitive");
    cJSON_Delete(json);
    emu_free(&run);
}

static void probe(const struct test_case *test)
{
    for (unsigned i = 0; i < sizeof(cpus) / sizeof(cpus[0]); i++)
        if (!strcmp(cpus[i].cpu, strrchr(test->name, '/') + 1))
            probe_cpu(test, &cpus[i]);
}

static void usage(const struct test_case *test)
{
    check_usage(test, TOOL, "--help", 0, "usage: tv-probe");
    check_usage(test, TOOL, "--emu=vmware", 2, "unknown EMU 'vmware'; choose one of: qemu, bochs");
    check_usage(test, TOOL, "more", 2, "unexpected argument 'more'");
    check_usage(test, TOOL, "--records=nowhere", 2, "cannot read nowhere");
    check_usage(test, TOOL, "--records=README.md", 1, "makes no sense");
}

void tests_probe(void)
{
    for (unsigned i = 0; i < sizeof(cpus) / sizeof(cpus[0]); i++)
        test_add(probe, cpus[i].emu, MODE_NATIVE, LIMIT_S, "probe/%s/%s", emu_names[cpus[i].emu],
                 cpus[i].cpu);
    test_add(usage, EMU_QEMU, MODE_NATIVE, 30, "probe-usage");
}
