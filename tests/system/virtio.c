/* Minnow on virtio devices: QEMU's own on the bare machine, and ours in every mode; and on the ATA
 * drive and the UART where virtio is the usual thing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/report.h"
#include "systest.h"

#define DISK_LINE "minnow: the disk is a virtio block device, "
#define STATUS_PANIC 125

static struct emu_run run_programs(const struct test_case *test, const char *part,
                                   enum virtio virtio, const char *programs)
{
    struct emu_spec spec = test_spec(test, part);
    struct emu_run run;
    spec.virtio = virtio;
    spec.files.guest_args = xasprintf("run=%s", programs);
    run_expecting(&run, &spec, 0);
    return run;
}

/* The driver says what it has found; each byte of the console comes once, whoever carried it. */
static void found(const struct test_case *test)
{
    struct emu_run run = run_programs(test, "", test->virtio, "echo,one;cat,/README;echo,two");
    const bool virtio = strstr(run.console.text, DISK_LINE);
    if (virtio != (test->virtio == VIRTIO_ON))
        fail("not the disk that was asked for; the console is:\n%s", run.console.text);
    const char *one = strstr(run.console.text, "\none\n"),
               *two = strstr(run.console.text, "\ntwo\n");
    if (!one || !two || strstr(one + 1, "\none\n") || strstr(two + 1, "\ntwo\n"))
        fail("a line is missing, or there twice; the console is:\n%s", run.console.text);
    emu_free(&run);
}

/* pv=-virtio takes the devices away, and virtio=on gives them back. */
static void switched_off(const struct test_case *test)
{
    static const char *const options[] = {"pv=-virtio", "pv=-virtio virtio=on"};
    for (unsigned i = 0; i < 2; i++) {
        struct emu_spec spec = test_spec(test, "");
        struct emu_run run;
        spec.files.vmm_options = options[i];
        spec.files.guest_args = "run=echo,one";
        run_expecting(&run, &spec, 0);
        if (!strstr(run.console.text, DISK_LINE) != !i)
            fail("with %s: not the disk that was asked for; the console is:\n%s", options[i],
                 run.console.text);
        emu_free(&run);
    }
}

/* A panic is told where no queue is needed. */
static void panics(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    spec.files.guest_args = "provoke=panic";
    run_expecting(&run, &spec, STATUS_PANIC);
    const char *said = strstr(run.console.text, "minnow: panic: provoked\n");
    if (!said || strstr(said + 1, "minnow: panic"))
        fail("the panic is not on the console once:\n%s", run.console.text);
    emu_free(&run);
}

#define DRIVER_OP 32 /* bench's disk-driver */
#define TARGET 8     /* times fewer ticks */

static uint64_t driver_ticks(const struct test_case *test, const char *part, enum virtio virtio)
{
    struct bench_op ops[4];
    struct emu_run run = run_programs(test, part, virtio, "bench,disk-driver");
    const int count = bench_parse(run.console.text, ops, 4);
    if (count != 1 || ops[0].id != DRIVER_OP || !ops[0].n || strcmp(ops[0].result, "c0"))
        fail("disk-driver was not measured; the console is:\n%s", run.console.text);
    emu_free(&run);
    return ops[0].ticks;
}

/* What virtio is for. */
static void speed(const struct test_case *test)
{
    const uint64_t ata = driver_ticks(test, "ata", VIRTIO_OFF);
    const uint64_t virtio = driver_ticks(test, "virtio", VIRTIO_ON);
    if (!virtio || ata < TARGET * virtio)
        fail("32 KB from the disk cost %llu ticks by virtio, %llu by ATA: not %d times fewer",
             (unsigned long long)virtio, (unsigned long long)ata, TARGET);
}

static void add(void (*run)(const struct test_case *), const char *name, int emu, int mode,
                unsigned limit_s)
{
    const enum virtio virtio = mode == MODE_PARA ? VIRTIO_OFF : VIRTIO_ON;
    if (pair_problem((enum emu_kind)emu, (enum run_mode)mode) ||
        virtio_problem((enum emu_kind)emu, (enum run_mode)mode, virtio))
        return;
    test_add(run, (enum emu_kind)emu, (enum run_mode)mode, limit_s, "%s/%s-%s%s", name,
             emu_names[emu], mode_names[mode], virtio == VIRTIO_ON ? "+virtio" : "+ata")
        ->virtio = virtio;
}

void tests_virtio(void)
{
    for (int e = 0; e < EMU_KINDS; e++) {
        for (int m = 0; m < RUN_MODES; m++) {
            /* One software and one hardware mode, when time is short. */
            const bool often =
                tests_long() || m == (e == EMU_QEMU ? MODE_SVM : MODE_VTX) || m == MODE_TRAP;
            if (tests_pair((enum emu_kind)e, (enum run_mode)m))
                add(found, "virtio-found", e, m, 60);
            if (tests_long() || m == MODE_TRAP || (often && m == MODE_VTX))
                add(test_shell, "shell", e, m, 90);
            if (tests_long() || (often && (m == MODE_TRAP) == (e == EMU_QEMU)))
                add(test_usertests_quick, "usertests-quick", e, m, 250);
            if (tests_long() || (e == EMU_QEMU && (m == MODE_NATIVE || m == MODE_TRAP)))
                add(test_disk_keeps, "disk-keeps", e, m, 130);
            if ((often || m == MODE_PARA) && m != MODE_NATIVE &&
                tests_pair((enum emu_kind)e, (enum run_mode)m))
                test_add(speed, (enum emu_kind)e, (enum run_mode)m, 130, "virtio-speed/%s-%s",
                         emu_names[e], mode_names[m]);
        }
        if (tests_long())
            add(test_fuzz, "fuzz", e, e == EMU_QEMU ? MODE_NATIVE : MODE_SVM, 250);
        if (e == EMU_QEMU || tests_long())
            add(test_fuzz, "fuzz", e, MODE_TRAP, 250);
        test_add(switched_off, (enum emu_kind)e, MODE_PARA, 60, "virtio-switched-off/%s",
                 emu_names[e]);
        add(panics, "panic", e, MODE_NATIVE, 60);
        add(panics, "panic", e, MODE_TRAP, 60);
    }
}
