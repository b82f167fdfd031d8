/*
 * Hardware assist in its generations: the CPU models of Bochs with VT-x or AMD-V, with nested and
 * with shadow paging. The guests' checks are those of guests.c, and all must pass.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systest.h"

#define STATUS_REFUSED 2 /* by the VMM: a wrong option */
#define STATUS_KILLED 124

/* How a model does what: with nested or with shadow paging, real mode directly or by help. */
static const struct model {
    const char *cpu; /* NULL: the usual one of the emulator */
    enum emu_kind emu;
    enum run_mode mode;
    const char *options, *paging;
    bool unrestricted;
} models[] = {
    {"core_duo_t2400_yonah", EMU_BOCHS, MODE_VTX, NULL, "shadow", false},
    {"core2_penryn_t9600", EMU_BOCHS, MODE_VTX, NULL, "shadow", false},
    {"corei5_lynnfield_750", EMU_BOCHS, MODE_VTX, NULL, "nested", false},
    {"corei5_arrandale_m520", EMU_BOCHS, MODE_VTX, NULL, "nested", true},
    {"corei7_sandy_bridge_2600k", EMU_BOCHS, MODE_VTX, NULL, "nested", true},
    {"corei7_ivy_bridge_3770k", EMU_BOCHS, MODE_VTX, NULL, "nested", true},
    {"corei7_haswell_4770", EMU_BOCHS, MODE_VTX, NULL, "nested", true},
    {"corei7_haswell_4770", EMU_BOCHS, MODE_VTX, "paging=shadow", "shadow", false},
    {"broadwell_ult", EMU_BOCHS, MODE_VTX, NULL, "nested", true},
    {"corei7_skylake_x", EMU_BOCHS, MODE_VTX, NULL, "nested", true},
    {"corei3_cnl", EMU_BOCHS, MODE_VTX, NULL, "nested", true},
    {"corei7_icelake_u", EMU_BOCHS, MODE_VTX, NULL, "nested", true},
    {"tigerlake", EMU_BOCHS, MODE_VTX, NULL, "nested", true},
    {"turion64_tyler", EMU_BOCHS, MODE_SVM, NULL, "shadow", true},
    {"phenom_8650_toliman", EMU_BOCHS, MODE_SVM, NULL, "nested", true},
    {"zambezi", EMU_BOCHS, MODE_SVM, NULL, "nested", true},
    {"trinity_apu", EMU_BOCHS, MODE_SVM, NULL, "nested", true},
    {"ryzen", EMU_BOCHS, MODE_SVM, NULL, "nested", true},
    {"ryzen", EMU_BOCHS, MODE_SVM, "paging=shadow", "shadow", true},
    {NULL, EMU_QEMU, MODE_SVM, NULL, "nested", true},
    {NULL, EMU_QEMU, MODE_SVM, "paging=shadow", "shadow", true},
};
#define MODELS (sizeof(models) / sizeof(models[0]))

/* The guests that are run in all of them with LONG=1, and where else. */
static const struct {
    const char *name;
    unsigned checks; /* at least, in three passes */
} guests[] = {{"real", 87},    {"tables", 144}, {"code", 300},   {"memory", 177},
              {"events", 177}, {"levels", 93},  {"shadow", 153}, {"tlb", 201},
              {"spaces", 18},  {"work", 87},    {"robin", 111}};
#define GUESTS (sizeof(guests) / sizeof(guests[0]))

static char *model_name(const struct model *m)
{
    return xasprintf("%s%s", m->cpu ? m->cpu : emu_names[m->emu], m->options ? "-shadow" : "");
}

static const struct model *model_of(const struct test_case *test)
{
    const char *name = strrchr(test->name, '/') + 1;
    for (unsigned i = 0; i < MODELS; i++) {
        if (!strcmp(model_name(&models[i]), name))
            return &models[i];
    }
    fail("no model has the name %s", name);
}

static struct emu_spec model_spec(const struct test_case *test, const char *guest)
{
    const struct model *m = model_of(test);
    struct emu_spec spec = test_spec(test, "");
    spec.cpu = m->cpu;
    spec.files.vmm_options = m->options;
    spec.files.guest = xasprintf("build/tests/guests/%s.elf", guest);
    spec.files.guest_args = m->emu == EMU_BOCHS ? "limits" : NULL;
    spec.disk = "";
    return spec;
}

static char *guest_of(const struct test_case *test)
{
    const char *name = strchr(test->name, '-') + 1;
    return xasprintf("%.*s", (int)strcspn(name, "/"), name);
}

static void guest_on_model(const struct test_case *test)
{
    char *guest = guest_of(test);
    const struct emu_spec spec = model_spec(test, guest);
    struct emu_run run;
    unsigned passed = 0, least = 0;
    run_expecting(&run, &spec, 0);
    for (const char *at = run.console.text; (at = strstr(at, "\nok ")); at++)
        passed++;
    for (unsigned i = 0; i < GUESTS; i++) {
        if (!strcmp(guests[i].name, guest))
            least = guests[i].checks;
    }
    if (passed < least || strstr(run.console.text, "\nnot ok "))
        fail("%u checks passed, expected at least %u; the console is:\n%s", passed, least,
             run.console.text);
    const char *paging = record_string(records_last(run.records, "stats"), "paging");
    if (!paging || strcmp(paging, model_of(test)->paging))
        fail("paging is %s, expected %s", paging ? paging : "not told", model_of(test)->paging);
    emu_free(&run);
}

/* Segments with limits of protected mode in real mode: a CPU without unrestricted guest cannot, and
 * the VMM says so. */
static void unreal(const struct test_case *test)
{
    const struct model *m = model_of(test);
    struct emu_spec spec = model_spec(test, "real");
    struct emu_run run;
    spec.files.guest_args = "unreal";
    run_expecting(&run, &spec, m->unrestricted ? 0 : STATUS_KILLED);
    if (!strstr(run.console.text, m->unrestricted ? "\nok unreal\n" : "has no unrestricted guest"))
        fail("the console is:\n%s", run.console.text);
    emu_free(&run);
}

/* A wrong word, and nested paging where there is none. */
static void paging_refused(const struct test_case *test)
{
    static const char *const options[] = {"paging=none", "paging=nested"};
    static const char *const texts[] = {"paging=none: it is nested or shadow", "no nested paging"};
    for (int i = 0; i < 2; i++) {
        struct emu_spec spec = test_spec(test, i ? "nested" : "none");
        struct emu_run run;
        spec.cpu = "turion64_tyler";
        spec.files.vmm_options = options[i];
        run_expecting(&run, &spec, STATUS_REFUSED);
        if (!strstr(run.console.text, "trivisor: error:") || !strstr(run.console.text, texts[i]))
            fail("%s: the console is:\n%s", options[i], run.console.text);
        emu_free(&run);
    }
}

/* The tool, on an old CPU of each kind. */
static void ladder(const struct test_case *test)
{
    const struct emu_spec spec = test_spec(test, "");
    char *dir = xasprintf("--dir=%s/runs", spec.dir), *file = xasprintf("%s/l.json", spec.dir);
    char *argv[] = {"build/tools/tv-ladder",
                    "--models=core_duo_t2400_yonah,turion64_tyler",
                    dir,
                    xasprintf("--json=%s", file),
                    "-j",
                    "2",
                    NULL};
    char *output = tool_output(test, argv, "ladder.txt", 0);
    cJSON *json = json_file(file), *model;
    unsigned count = 0;
    cJSON_ArrayForEach(model, cJSON_GetObjectItem(json, "models"))
    {
        count++;
        if (record_number(model, "tests", 0) < 180 ||
            strcmp(record_string(model, "paging"), "shadow"))
            fail("%s: wrong in %s", record_string(model, "model"), output);
        if (record_number(cJSON_GetObjectItem(model, "exits"), "shadow-fill", 0) < 1000)
            fail("%s took no shadow fills", record_string(model, "model"));
    }
    if (count != 2 || !strstr(output, "missing:  ") || strstr(output, "PROBLEM"))
        fail("the report is:\n%s", output);
    cJSON_Delete(json);
}

static void ladder_usage(const struct test_case *test)
{
    check_usage(test, "build/tools/tv-ladder", "--help", 0, "usage: tv-ladder");
    check_usage(test, "build/tools/tv-ladder", "--models=pentium", 2, "there is no 'pentium'");
    check_usage(test, "build/tools/tv-ladder", "-jx", 2, "-j");
    check_usage(test, "build/tools/tv-ladder", "more", 2, "unexpected argument 'more'");
}

/* What the default run has: real mode wherever it is done by help, and on some CPUs that do it
 * themselves; besides, each way of paging that the usual CPUs do not show. */
static bool in_default(const struct model *m, const char *guest)
{
    static const char *const cpus[] = {"core_duo_t2400_yonah", "corei5_lynnfield_750",
                                       "turion64_tyler"};
    const bool few = !strcmp(guest, "tables") || !strcmp(guest, "events") || !strcmp(guest, "code");
    const bool paging =
        few || !strcmp(guest, "shadow") || !strcmp(guest, "tlb") || !strcmp(guest, "spaces");
    if (!strcmp(guest, "real"))
        return !m->unrestricted || !m->cpu || m->options || !strcmp(m->cpu, "ryzen") ||
               !strcmp(m->cpu, "corei7_haswell_4770");
    for (unsigned i = 0; m->cpu && i < sizeof(cpus) / sizeof(cpus[0]); i++) {
        if (!strcmp(cpus[i], m->cpu))
            return few || (i == 0 && strcmp(guest, "robin"));
    }
    return m->emu == EMU_QEMU && m->options && paging;
}

void tests_hardware(void)
{
    for (unsigned g = 0; g < GUESTS; g++) {
        for (unsigned i = 0; i < MODELS; i++) {
            const struct model *m = &models[i];
            if (tests_long() || in_default(m, guests[g].name))
                test_add(guest_on_model, m->emu, m->mode, 70, "hardware-%s/%s", guests[g].name,
                         model_name(m));
        }
    }
    for (unsigned i = 0; i < MODELS; i++) {
        if (tests_long() || !models[i].unrestricted || !models[i].cpu)
            test_add(unreal, models[i].emu, models[i].mode, 70, "hardware-unreal/%s",
                     model_name(&models[i]));
    }
    test_add(paging_refused, EMU_BOCHS, MODE_SVM, 70, "hardware-paging-refused/bochs");
    test_add(ladder, EMU_BOCHS, MODE_VTX, 190, "hardware-ladder/bochs");
    test_add(ladder_usage, EMU_BOCHS, MODE_VTX, 20, "hardware-ladder-usage");
}
