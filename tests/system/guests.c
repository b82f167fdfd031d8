/*
 * Bare guests in assembly (tests/guests). Each check of a guest says what the bare machine does, so
 * on the bare machine, and wherever it is virtualized well, all must pass. What must not pass, and
 * where, is written down here: a check that fails elsewhere, or passes here, is a failed test.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systest.h"

#define STATUS_FAILED 1   /* the guest's own: some check did not pass */
#define STATUS_REFUSED 2  /* by the VMM: a wrong option */
#define STATUS_KILLED 124 /* by the VMM */
#define PASSES 3          /* as the guests have it, but for those that run once */
#define GUEST(name) "build/tests/guests/" name ".elf"

/* A list of words, each with a space behind it. */
static bool in_list(const char *list, const char *word, size_t n)
{
    for (const char *at = list; *at; at += strcspn(at, " ") + 1) {
        if (strcspn(at, " ") == n && !strncmp(at, word, n))
            return true;
    }
    return false;
}

struct tally {
    unsigned passed, failed;
};

/* The lines of one pass, up to the next one or the end: fail unless exactly the checks of `failing`
 * fail. */
static struct tally check_pass(const char *line, const char *failing)
{
    struct tally pass = {0, 0};
    unsigned wanted = 0;
    for (; *line && strncmp(line, "pass ", 5); line += strcspn(line, "\n") + 1) {
        const bool ok = !strncmp(line, "ok ", 3), bad = !strncmp(line, "not ok ", 7);
        const char *name = line + (ok ? 3 : 7);
        if (bad && !in_list(failing, name, strcspn(name, ":\n")))
            fail("%.*s", (int)strcspn(line, "\n"), line);
        if (ok && in_list(failing, name, strcspn(name, "\n")))
            fail("%.*s passed, and should not", (int)strcspn(name, "\n"), name);
        pass.passed += ok;
        pass.failed += bad;
        if (!line[strcspn(line, "\n")])
            break;
    }
    for (const char *at = failing; *at; at += strcspn(at, " ") + 1)
        wanted++;
    if (pass.failed != wanted)
        fail("%u checks failed, expected %u", pass.failed, wanted);
    return pass;
}

/* A guest does its checks in so many passes; each must give the same. Returns how many checks a
 * pass has. */
static unsigned check_lines(const char *console, const char *failing, unsigned passes)
{
    struct tally all = {0, 0};
    unsigned checks = 0;
    const char *at = console;
    for (unsigned n = 1; n <= passes; n++) {
        char *head = passes > 1 ? xasprintf("\npass %u\n", n) : xasprintf("\n");
        at = strstr(at, head);
        if (!at)
            fail("there is no pass %u; the console is:\n%s", n, console);
        at += strlen(head);
        const struct tally pass = check_pass(at, failing);
        if (n > 1 && pass.passed + pass.failed != checks)
            fail("pass %u has %u checks, the one before had %u", n, pass.passed + pass.failed,
                 checks);
        checks = pass.passed + pass.failed;
        all.passed += pass.passed;
        all.failed += pass.failed;
        at--; /* the end of a line again */
        free(head);
    }
    if (!strstr(console, xasprintf("\n%u passed, %u failed\n", all.passed, all.failed)))
        fail("the guest did not count %u and %u; the console is:\n%s", all.passed, all.failed,
             console);
    return checks;
}

/* Run a guest of so many passes, each of at least so many checks, of which exactly those of
 * `failing` fail. The caller frees the run. */
static void run_guest_keep(struct emu_run *run, const struct emu_spec *spec, const char *failing,
                           unsigned least, unsigned passes)
{
    const char *options = spec->files.vmm_options;
    run_expecting(run, spec, *failing ? STATUS_FAILED : 0);
    const unsigned checks = check_lines(xasprintf("\n%s", run->console.text), failing, passes);
    if (checks < least)
        fail("%u checks, expected at least %u", checks, least);
    if (options && strstr(options, "scan=off") &&
        !strstr(run->console.text, "trivisor: scan=off: "))
        fail("the VMM does not say that nothing is scanned; the console is:\n%s",
             run->console.text);
}

static void run_guest(const struct emu_spec *spec, const char *failing, unsigned least)
{
    struct emu_run run;
    run_guest_keep(&run, spec, failing, least, PASSES);
    emu_free(&run);
}

static void run_guest_once(const struct emu_spec *spec, const char *failing, unsigned least)
{
    struct emu_run run;
    run_guest_keep(&run, spec, failing, least, 1);
    emu_free(&run);
}

/* --- the seventeen of Robin and Irvine --- */

/* Unless they are made to trap, all but INT n go wrong at CPL 3: INT n looks at the VMM's gates,
 * which are closed. */
#define UMIP_FIVE "sgdt sgdt.limit sidt sidt.limit sldt smsw str "
#define OTHERS                                                                                     \
    "pushf pushf.iopl popf popf.on popf.iopl lar lar.tss lsl verr verw pop-seg push-seg "          \
    "push-seg.ss call-far jmp-far ret-far mov-seg mov-seg.ss mov-seg.load "
#define ROBIN_CHECKS 37

static struct emu_spec robin_spec(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    spec.files.guest = GUEST("robin");
    spec.disk = "";
    return spec;
}

/* para mode patches what a guest has recorded, and this one has recorded nothing. */
static void robin(const struct test_case *test)
{
    struct emu_spec spec = robin_spec(test);
    run_guest(&spec, test->mode == MODE_PARA ? UMIP_FIVE OTHERS : "", ROBIN_CHECKS);
}

static void robin_unscanned(const struct test_case *test)
{
    struct emu_spec spec = robin_spec(test);
    spec.files.vmm_options = "scan=off";
    run_guest(&spec, UMIP_FIVE OTHERS, ROBIN_CHECKS);
}

/* UMIP makes five of them trap. */
static void robin_umip(const struct test_case *test)
{
    struct emu_spec spec = robin_spec(test);
    spec.files.vmm_options = "scan=off umip=on";
    if (test->emu == EMU_BOCHS)
        spec.cpu = "corei7_icelake_u";
    run_guest(&spec, OTHERS, ROBIN_CHECKS);
}

/* --- attacks on a VMM that runs copies of code and shadows of tables --- */

/* A guest kernel in para mode that has recorded no site, and any kernel without the scanner. */
#define UNSCANNED_CODE                                                                             \
    "smc.emulated smc.pushf place.data place.stack place.jump place.return place.pointer "         \
    "place.call-pointer place.crossing place.prefix middle.sensitive o16.pushf "                   \
    "o16.popf rep.pushf o16.push-cs o16.mov-cs o32.mov-cs o16.str o32.str o16.lar a16.sgdt "       \
    "o16.sidt o16.lgdt code16.pushf code16.cs width.mov-cs pages.fresh "
#define UNSCANNED_MEMORY                                                                           \
    "tables.wild code.base code.conforming code.ldt code.wrap code.gate mixed.code "

/*
 * Where software modes are known to differ from the machine; OPEN-PROBLEMS.md has the reasons.
 *   middle.sensitive  a jump into the middle of a scanned instruction
 *   cs.write          CS is moved onto the window, so a write through it becomes one through SS
 *   ldt.selector      a segment from an LDT has a private selector, and MOV from it shows that
 *   gdt.vmm           a selector of the VMM's own can be loaded
 *   gdt.rpl3          at CPL 3, where the guest kernel runs, RPL 3 is no reason for #GP
 */
#define TRAP_CODE "middle.sensitive "
#define TRAP_CODE_LIMITS TRAP_CODE "cs.write " /* where segments are checked: in Bochs */
#define SOFT_MEMORY "ldt.selector gdt.vmm gdt.rpl3 "

static struct emu_spec guest_spec(const struct test_case *test, const char *guest)
{
    struct emu_spec spec = test_spec(test, "");
    spec.files.guest = guest;
    spec.files.guest_args = test->emu == EMU_BOCHS ? "limits" : NULL;
    spec.disk = "";
    return spec;
}

#define CODE_CHECKS 103
#define MEMORY_CHECKS 59
#define FAR_CHECKS 7

static void code(const struct test_case *test)
{
    struct emu_spec spec = guest_spec(test, GUEST("code"));
    const char *trap = test->emu == EMU_BOCHS ? TRAP_CODE_LIMITS : TRAP_CODE;
    const char *para = UNSCANNED_CODE;
    run_guest(&spec,
              test->mode == MODE_TRAP   ? trap
              : test->mode == MODE_PARA ? para
                                        : "",
              CODE_CHECKS);
}

static void memory(const struct test_case *test)
{
    struct emu_spec spec = guest_spec(test, GUEST("memory"));
    const char *para = SOFT_MEMORY UNSCANNED_MEMORY;
    run_guest(&spec,
              test->mode == MODE_TRAP   ? SOFT_MEMORY
              : test->mode == MODE_PARA ? para
                                        : "",
              MEMORY_CHECKS);
}

#define SHORTWAYS_CHECKS 61

/* What trap mode has short ways for; the other modes show that the guest is right. para mode
 * without recorded sites gets these wrong as the others of the kind. */
static void shortways(const struct test_case *test)
{
    struct emu_spec spec = guest_spec(test, GUEST("shortways"));
    run_guest_once(&spec, "", SHORTWAYS_CHECKS);
}

/* What hardware modes finish quickly. What each word adds, and where it does not hold, the guest
 * says. With small nested pages each first touch of a page is an exit. */
#define EXITS_CHECKS 33
#define VMM_CHECKS 1
#define HARDWARE_CHECKS 3
#define TOP_CHECKS 1
#define RF_CHECKS 3
#define TOUCH_CHECKS 1

static void exits_guest(const struct test_case *test)
{
    const bool vmm = test->mode != MODE_NATIVE;
    const bool hardware = test->mode == MODE_VTX || test->mode == MODE_SVM;
    const bool top = hardware || !vmm, rf = vmm || test->emu == EMU_BOCHS;
    const bool touch = test->mode != MODE_SVM;
    struct emu_spec spec = guest_spec(test, GUEST("exits"));
    spec.files.guest_args =
        xasprintf("%s %s %s %s %s", vmm ? "vmm" : "", hardware ? "hardware" : "", top ? "top" : "",
                  rf ? "rf" : "", touch ? "touch" : "");
    if (strstr(test->name, "-4k"))
        spec.files.vmm_options = "nested=4k";
    run_guest(&spec, "",
              EXITS_CHECKS + vmm * VMM_CHECKS + hardware * HARDWARE_CHECKS + top * TOP_CHECKS +
                  rf * RF_CHECKS + touch * TOUCH_CHECKS);
}

static void nested_refused(const struct test_case *test)
{
    struct emu_spec spec = guest_spec(test, GUEST("exits"));
    struct emu_run run;
    spec.files.vmm_options = "nested=1g";
    run_expecting(&run, &spec, STATUS_REFUSED);
    if (!strstr(run.console.text, "nested= takes 4k or 2m"))
        fail("nested=1g is not named as the error; the console is:\n%s", run.console.text);
    emu_free(&run);
}

/* Without the scanner these guests go wrong in many ways, and the VMM takes no harm. */
static void code_unscanned(const struct test_case *test)
{
    struct emu_spec spec = guest_spec(test, GUEST("code"));
    spec.files.vmm_options = "scan=off";
    run_guest(&spec, test->emu == EMU_BOCHS ? UNSCANNED_CODE "cs.write " : UNSCANNED_CODE,
              CODE_CHECKS);
}

/* A far call that nobody has scanned pushes a selector of the VMM's, and does not find back. */
static void memory_unscanned(const struct test_case *test)
{
    struct emu_spec spec = guest_spec(test, GUEST("memory"));
    spec.files.vmm_options = "scan=off";
    spec.files.guest_args = test->emu == EMU_BOCHS ? "limits no-far-calls" : "no-far-calls";
    run_guest(&spec, SOFT_MEMORY "tables.wild mixed.code ", MEMORY_CHECKS - FAR_CHECKS);
}

/* --- the paravirtual ABI --- */

#define PV_CHECKS 158
#define PV_PARA_CHECKS 275

/* A guest that has recorded sites, in the modes that do not know them: they stay as they are. */
static void pv(const struct test_case *test)
{
    struct emu_spec spec = guest_spec(test, GUEST("pv"));
    if (test->mode == MODE_PARA)
        spec.files.guest_args = "para";
    run_guest_once(&spec, "", test->mode == MODE_PARA ? PV_PARA_CHECKS : PV_CHECKS);
}

static void pv_queue(const struct test_case *test)
{
    const struct emu_spec spec = guest_spec(test, GUEST("pv_queue"));
    run_guest_once(&spec, "", 3);
}

/* Each switch takes something from what is patched, and nothing from what works. */
static const struct pv_switch {
    const char *name, *options, *words;
} pv_switches[] = {
    {"sti", "pv=-sti", "para no-sti"},
    {"cr", "pv=-cr", "para"},
    {"mmu", "pv=-mmu", "para no-mmu"},
    {"batch", "pv=-batch", "para no-batch"},
    {"io", "pv=-io", "para no-io"},
    {"short", "pv=-short", "para"},
    {"all", "pv=-sti,-cr,-mmu,-batch,-io,-short", "para no-sti no-mmu no-io no-batch"},
};

static void pv_switched(const struct test_case *test)
{
    const char *name = strrchr(test->name, '-') + 1;
    struct emu_spec spec = guest_spec(test, GUEST("pv"));
    for (unsigned i = 0; i < sizeof(pv_switches) / sizeof(pv_switches[0]); i++) {
        if (strcmp(pv_switches[i].name, name))
            continue;
        spec.files.vmm_options = pv_switches[i].options;
        spec.files.guest_args = pv_switches[i].words;
        run_guest_once(&spec, "", PV_PARA_CHECKS);
        return;
    }
    fail("no switch has the name %s", name);
}

static void pv_refused(const struct test_case *test)
{
    struct emu_spec spec = guest_spec(test, GUEST("pv"));
    struct emu_run run;
    spec.files.vmm_options = "pv=-sti,-everything";
    run_expecting(&run, &spec, STATUS_REFUSED);
    if (!strstr(run.console.text, "trivisor: error:") ||
        !strstr(run.console.text, "'-everything' is no word of pv=; pv= takes"))
        fail("the wrong switch is not named as the error; the console is:\n%s", run.console.text);
    emu_free(&run);
}

/* --- paging, and what a kernel does all the time --- */

/* Guests whose checks all pass in every mode that scans, or need not. */
static const struct whole_guest {
    const char *name, *file;
    unsigned checks;
} whole_guests[] = {
    {"shadow", GUEST("shadow"), 51}, {"tlb", GUEST("tlb"), 67},
    {"tables", GUEST("tables"), 48}, {"spaces", GUEST("spaces"), 6},
    {"events", GUEST("events"), 59}, {"work", GUEST("work"), 29},
};

/* spaces: loads of CR3 in all passes; entries for them and for the page tables of the second part.
 */
#define SPACES_LOADS (3500 * PASSES)
#define SPACES_FILLS (2 * SPACES_LOADS)

static double shadow_stat(const struct emu_run *run, const char *name)
{
    return record_number(records_last(run->records, "stats"), name, -1);
}

/* Did the shadow tables come and go, so that the guest's checks mean something? */
static void check_shadows(const struct emu_run *run)
{
    static const struct {
        const char *name;
        double least;
    } bounds[] = {
        {"shadow_fills", SPACES_FILLS},
        {"shadow_flushes", SPACES_LOADS},  /* each load, and now and then all tables */
        {"shadow_kept", SPACES_LOADS},     /* what was put aside has been of use */
        {"shadow_evicted", 1000 * PASSES}, /* the pool was empty, again and again */
    };
    for (unsigned i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        if (shadow_stat(run, bounds[i].name) < bounds[i].least)
            fail("%s is %.0f, expected at least %.0f", bounds[i].name,
                 shadow_stat(run, bounds[i].name), bounds[i].least);
    }
}

static void whole_guest(const struct test_case *test)
{
    const struct whole_guest *g = whole_guests;
    struct emu_run run;
    while (strncmp(strchr(test->name, '-') + 1, g->name, strlen(g->name)))
        g++;
    struct emu_spec spec = guest_spec(test, g->file);
    run_guest_keep(&run, &spec, "", g->checks, PASSES);
    if (!strcmp(g->name, "spaces") && test->mode == MODE_TRAP)
        check_shadows(&run);
    emu_free(&run);
}

#define LEVELS_CHECKS 31

/* INT3 in the last byte: see the guest. */
static void levels(const struct test_case *test)
{
    const bool last = test->emu == EMU_BOCHS ? test->mode != MODE_PARA : test->mode == MODE_TRAP;
    struct emu_spec spec = guest_spec(test, GUEST("levels"));
    if (last)
        spec.files.guest_args = "last";
    run_guest(&spec, "", LEVELS_CHECKS + (last ? 2 : 0));
}

/* --- what ends a guest --- */

#define STATUS_UNEXPECTED 3 /* the guest's own: an exception that no check expected */

/* What the guest does, where, and what must come of it: a status, and a text on the console. */
static const struct fatal {
    const char *word;
    enum emu_kind emu;
    enum run_mode mode;
    int status;
    const char *text;
    const char *options;
} fatals[] = {
    {"triple", EMU_QEMU, MODE_TRAP, STATUS_KILLED, "triple fault", NULL},
    {"no-stack", EMU_BOCHS, MODE_TRAP, STATUS_KILLED, "triple fault", NULL},
    {"cr3", EMU_QEMU, MODE_TRAP, STATUS_KILLED, "triple fault", NULL},
    {"cr3", EMU_BOCHS, MODE_VTX, STATUS_KILLED, "page tables are where it has no memory", NULL},
    {"cr3", EMU_QEMU, MODE_SVM, STATUS_KILLED, "could not be delivered", NULL},
    {"reserved", EMU_QEMU, MODE_NATIVE, 0, "ok reserved.run", NULL},
    {"reserved", EMU_QEMU, MODE_TRAP, STATUS_KILLED, "linear addresses from 0xF0000000", NULL},
    {"reserved", EMU_BOCHS, MODE_TRAP, STATUS_KILLED, "linear addresses from 0xF0000000", NULL},
    {"reserved", EMU_QEMU, MODE_PARA, STATUS_KILLED, "linear addresses from 0xF0000000", NULL},
    {"reserved", EMU_QEMU, MODE_SVM, 0, "ok reserved.run", NULL},
    {"base", EMU_BOCHS, MODE_NATIVE, 0, "ok base.read", NULL},
    {"base", EMU_BOCHS, MODE_TRAP, STATUS_KILLED, "linear addresses from 0xF0000000", NULL},
    {"region", EMU_QEMU, MODE_TRAP, STATUS_KILLED, "end of a 16 MB region", NULL},
    {"outside", EMU_QEMU, MODE_TRAP, STATUS_UNEXPECTED, "00000006 00000000 78000000", NULL},
    {"real", EMU_QEMU, MODE_TRAP, STATUS_KILLED, "real or virtual-8086 mode", NULL},
    {"v86", EMU_QEMU, MODE_TRAP, STATUS_UNEXPECTED, "0000000d 00000000", NULL},
    {"v86", EMU_QEMU, MODE_TRAP, STATUS_KILLED, "entered virtual-8086 mode", "scan=off"},
    {"v86", EMU_QEMU, MODE_PARA, STATUS_KILLED, "entered virtual-8086 mode", NULL},
    {"v86", EMU_BOCHS, MODE_TRAP, STATUS_UNEXPECTED, "0000000d 00000000", "scan=off"},
    {"nested", EMU_BOCHS, MODE_NATIVE, 0, "ok nested", NULL},
    {"nested", EMU_QEMU, MODE_TRAP, STATUS_FAILED, "not ok nested: got 000d0000", NULL},
    {"nested", EMU_BOCHS, MODE_TRAP, 0, "ok nested", "scan=off"},
    {"halt", EMU_QEMU, MODE_TRAP, STATUS_KILLED, "HLT with interrupts disabled", NULL},
    {"reset", EMU_QEMU, MODE_TRAP, STATUS_KILLED, "asked for a reset", NULL},
    {"task", EMU_BOCHS, MODE_NATIVE, 0, "ok task.ran", NULL},
    {"task", EMU_QEMU, MODE_TRAP, STATUS_FAILED, "not ok task.int: got 000d0202", NULL},
    {"task", EMU_BOCHS, MODE_VTX, STATUS_KILLED, "switched tasks in hardware", NULL},
    {"idt", EMU_BOCHS, MODE_TRAP, STATUS_KILLED, "triple fault", NULL},
    {"idt", EMU_QEMU, MODE_SVM, STATUS_KILLED, "could not be delivered", NULL},
    {"table", EMU_BOCHS, MODE_VTX, STATUS_KILLED, "page tables are where it has no memory", NULL},
    {"gone-esp0", EMU_QEMU, MODE_TRAP, STATUS_KILLED, "triple fault", NULL},
    {"vmm-esp0", EMU_BOCHS, MODE_TRAP, STATUS_KILLED, "at EIP 6f000002 ESP 6f002000", NULL},
    {"overflow", EMU_QEMU, MODE_TRAP, STATUS_KILLED, "triple fault", NULL},
    {"overflow", EMU_BOCHS, MODE_VTX, STATUS_KILLED, "triple fault", NULL},
    {"vmm-push-", EMU_BOCHS, MODE_TRAP, STATUS_KILLED, " ESP f0301000 ", NULL},
    {"vmm-pushf", EMU_BOCHS, MODE_TRAP, STATUS_KILLED, " ESP f0301000 ", NULL},
    {"vmm-int", EMU_BOCHS, MODE_TRAP, STATUS_KILLED, " ESP f0301000 ", NULL},
};

static void fatal(const struct test_case *test)
{
    const char *name = strchr(test->name, '/') + 1;
    const struct fatal *f = &fatals[atoi(name)];
    struct emu_spec spec = guest_spec(test, GUEST("fatal"));
    struct emu_run run;
    spec.files.guest_args = f->word;
    spec.files.vmm_options = f->options;
    run_expecting(&run, &spec, f->status);
    if (!strstr(run.console.text, f->text))
        fail("the console does not say \"%s\"; it is:\n%s", f->text, run.console.text);
    emu_free(&run);
}

/* --- random code --- */

#define RANDOM_SEED "a" /* any word; see random_code() */

/* Run it; fail if the VMM fails. Returns where a triple fault ended it ("EIP .. ESP .. CR2 .."),
 * or NULL when it ended otherwise. */
static char *random_end(const struct test_case *test, enum run_mode mode, const char *words,
                        const char *options)
{
    struct emu_spec spec = test_spec(test, mode_names[mode]);
    struct emu_run run;
    spec.files.mode = mode;
    spec.files.guest = GUEST("random");
    spec.loader = LOADER_GRUB; /* the seed is one for the memory that GRUB leaves */
    spec.files.guest_args = words;
    spec.files.vmm_options = options;
    spec.disk = "";
    if (!emu_run(&run, &spec))
        fail("%s: %s", mode_names[mode], run.error);
    if (run.status != STATUS_KILLED && run.status != STATUS_UNEXPECTED && run.status > 1)
        fail("%s: status %d; console:\n%s", mode_names[mode], run.status, run.console.text);
    const char *killed = strstr(run.console.text, "triple fault");
    const char *at = killed ? strstr(killed, "EIP ") : NULL;
    char *end = at ? xasprintf("%.*s", (int)strcspn(at, "(\n"), at) : NULL;
    emu_free(&run);
    return end;
}

/* A seed whose end is a triple fault: after thousands of random instructions it must be at the same
 * place under the scanner and on virtual hardware. In para mode nobody has scanned. */
static void random_code(const struct test_case *test)
{
    const enum run_mode mode = test->emu == EMU_QEMU ? MODE_SVM : MODE_VTX;
    char *hardware = random_end(test, mode, RANDOM_SEED, NULL);
    char *trap = random_end(test, MODE_TRAP, RANDOM_SEED, NULL);
    if (!hardware || !trap)
        fail("the guest did not end with a triple fault; choose another RANDOM_SEED");
    check_same("the end of random code", trap, hardware);
    free(random_end(test, MODE_PARA, RANDOM_SEED, NULL));
}

/* Short rounds again at full speed: the VMM survives. */
static void random_again(const struct test_case *test)
{
    free(random_end(test, MODE_TRAP, "again d", NULL));
}

static void random_unscanned(const struct test_case *test)
{
    free(random_end(test, MODE_TRAP, RANDOM_SEED, "scan=off"));
}

static void refused(const struct test_case *test)
{
    struct emu_spec spec = robin_spec(test);
    struct emu_run run;
    spec.files.vmm_options = "scan=maybe";
    run_expecting(&run, &spec, STATUS_REFUSED);
    if (!strstr(run.console.text, "trivisor: error:") || !strstr(run.console.text, "scan=maybe"))
        fail("scan=maybe is not named as the error; the console is:\n%s", run.console.text);
    emu_free(&run);
}

/* Is the same tried in QEMU, too? */
static bool in_qemu(const struct fatal *f)
{
    for (unsigned i = 0; i < sizeof(fatals) / sizeof(fatals[0]); i++) {
        if (fatals[i].emu == EMU_QEMU && !strcmp(fatals[i].word, f->word))
            return true;
    }
    return false;
}

void tests_guests(void)
{
    for (int e = 0; e < EMU_KINDS; e++) {
        const enum emu_kind emu = (enum emu_kind)e;
        const char *name = emu_names[e];
        for (int m = 0; m < RUN_MODES; m++) {
            const enum run_mode mode = (enum run_mode)m;
            if (pair_problem(emu, mode))
                continue;
            test_add(robin, emu, mode, 70, "guests-robin/%s-%s", name, mode_names[m]);
            test_add(code, emu, mode, 70, "guests-code/%s-%s", name, mode_names[m]);
            test_add(memory, emu, mode, 70, "guests-memory/%s-%s", name, mode_names[m]);
            test_add(levels, emu, mode, 70, "guests-levels/%s-%s", name, mode_names[m]);
            if (mode != MODE_PARA)
                test_add(shortways, emu, mode, 70, "guests-shortways/%s-%s", name, mode_names[m]);
            if (mode != MODE_PARA)
                test_add(exits_guest, emu, mode, 70, "guests-exits/%s-%s", name, mode_names[mode]);
            if (mode == MODE_VTX || mode == MODE_SVM)
                test_add(exits_guest, emu, mode, 70, "guests-exits/%s-%s-4k", name,
                         mode_names[mode]);
            /* Under SVM in Bochs no time passes for a guest that waits with interrupts off. */
            if (emu != EMU_BOCHS || mode != MODE_SVM)
                test_add(pv, emu, mode, 70, "guests-pv/%s-%s", name, mode_names[m]);
            for (unsigned i = 0; i < sizeof(whole_guests) / sizeof(whole_guests[0]); i++) {
                if (mode != MODE_PARA)
                    test_add(whole_guest, emu, mode, 70, "guests-%s/%s-%s", whole_guests[i].name,
                             name, mode_names[m]);
            }
        }
        test_add(robin_unscanned, emu, MODE_TRAP, 70, "guests-robin-scan-off/%s", name);
        test_add(robin_umip, emu, MODE_TRAP, 70, "guests-robin-scan-off-umip/%s", name);
        test_add(code_unscanned, emu, MODE_TRAP, 70, "guests-code-scan-off/%s", name);
        test_add(random_code, emu, MODE_TRAP, 190, "guests-random/%s", name);
        test_add(random_again, emu, MODE_TRAP, 70, "guests-random-again/%s", name);
        test_add(random_unscanned, emu, MODE_TRAP, 70, "guests-random-scan-off/%s", name);
        test_add(memory_unscanned, emu, MODE_TRAP, 70, "guests-memory-scan-off/%s", name);
    }
    for (int e = 0; e < EMU_KINDS; e++) {
        test_add(pv_queue, (enum emu_kind)e, MODE_NATIVE, 70, "guests-pv-queue/%s-native",
                 emu_names[e]);
        test_add(pv_queue, (enum emu_kind)e, MODE_PARA, 70, "guests-pv-queue/%s-para",
                 emu_names[e]);
    }
    for (unsigned i = 0; i < sizeof(pv_switches) / sizeof(pv_switches[0]); i++) {
        for (int e = 0; e < EMU_KINDS; e++)
            if (e == EMU_BOCHS || tests_long() || !strcmp(pv_switches[i].name, "all"))
                test_add(pv_switched, (enum emu_kind)e, MODE_PARA, 70, "guests-pv-switch/%s-%s",
                         emu_names[e], pv_switches[i].name);
    }
    test_add(pv_refused, EMU_QEMU, MODE_PARA, 70, "guests-pv-refused/qemu");
    test_add(nested_refused, EMU_QEMU, MODE_SVM, 70, "guests-nested-refused/qemu-svm");
    test_add(nested_refused, EMU_BOCHS, MODE_VTX, 70, "guests-nested-refused/bochs-vtx");
    test_add(refused, EMU_QEMU, MODE_TRAP, 70, "guests-scan-refused/qemu");
    for (unsigned i = 0; i < sizeof(fatals) / sizeof(fatals[0]); i++) {
        const struct fatal *f = &fatals[i];
        if (!tests_long() && f->emu == EMU_BOCHS && f->mode != MODE_VTX && in_qemu(f))
            continue;
        test_add(fatal, f->emu, f->mode, 70, "guests-fatal/%u-%s-%s-%s%s", i, f->word,
                 emu_names[f->emu], mode_names[f->mode], f->options ? "-scan-off" : "");
    }
}
