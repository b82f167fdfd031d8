/*
 * Snapshots: a guest is saved in the middle of its work in one mode and one emulator, and goes on
 * in another; the results are right, and the disk is clean. What is no snapshot is refused by name.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systest.h"

#define LIMIT_S 300
#define SNAP_SECTOR 512

/* Lines of load, one of each worker. */
static const char *const workers[] = {
    "load: forks ok: ", "load: disk ok: ", "load: pipes ok: ", "load: timer ok: "};
#define WORKERS (sizeof(workers) / sizeof(workers[0]))

static char *fresh_disk(const struct emu_spec *spec)
{
    char *path = xasprintf("%s/own.img", spec->dir);
    size_t size;
    char *bytes = read_file(ISO_DISK, &size);
    if (!bytes)
        fail("no " ISO_DISK);
    make_dirs(spec->dir);
    write_file(path, bytes, size);
    free(bytes);
    return path;
}

/* A machine with a disk of its own and that snapshot drive. */
static struct emu_spec machine(const struct test_case *test, const char *part, enum emu_kind emu,
                               enum run_mode mode, const char *image, const char *options)
{
    struct emu_spec spec = test_spec(test, part);
    spec.emu = emu;
    spec.files.mode = mode;
    spec.files.vmm_options = options;
    spec.disk = fresh_disk(&spec);
    spec.snapshot = image;
    return spec;
}

static char *image_of(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    make_dirs(spec.dir);
    char *path = xasprintf("%s/snapshot.img", spec.dir);
    remove(path);
    return path;
}

static void must_say(const struct emu_run *run, const char *what, const char *text)
{
    if (!strstr(run->console.text, text))
        fail("%s: the console has no \"%s\"; it is:\n%s", what, text, run->console.text);
}

/* Run the load until so many ms of the guest, and save it; the console, allocated. */
static char *save_load(const struct test_case *test, const char *image, unsigned rounds,
                       unsigned ms)
{
    struct emu_run run;
    struct emu_spec spec =
        machine(test, "save", test->emu, test->mode, image, xasprintf("snapshot=%u,off", ms));
    spec.files.guest_args = xasprintf("run=load,%u", rounds);
    run_expecting(&run, &spec, 0);
    const cJSON *record = records_last(run.records, "snapshot");
    if (!record || !record_number(record, "done", 0))
        fail("nothing was saved: %s", record ? cJSON_Print(record) : "no record");
    if (strstr(run.console.text, "workers failed"))
        fail("the guest had ended its work before it was saved:\n%s", run.console.text);
    char *console = xasprintf("%s", run.console.text);
    emu_free(&run);
    return console;
}

/* Each worker has told its result once, before or after; and the disk is in order. */
static void check_end(const struct emu_run *run, const char *name, const char *before)
{
    char *argv[] = {"build/tools/tv-fsck", (char *)run->spec.disk, NULL};
    char *log = xasprintf("%s/fsck.txt", run->spec.dir);
    for (unsigned i = 0; i < WORKERS; i++) {
        const bool early = strstr(before, workers[i]), late = strstr(run->console.text, workers[i]);
        if (early == late)
            fail("%s: \"%s\" was said %s; before:\n%s\nafter:\n%s", name, workers[i],
                 early ? "twice" : "never", before, run->console.text);
    }
    must_say(run, name, "load: 0 workers failed");
    if (*before && strstr(run->console.text, "minnow:"))
        fail("%s: the kernel has booted again:\n%s", name, run->console.text);
    if (proc_run(argv, log))
        fail("%s: tv-fsck:\n%s", name, read_file(log, NULL));
}

static void go_on(const struct test_case *test, enum emu_kind emu, enum run_mode mode,
                  const char *more, const char *image, const char *before)
{
    struct emu_run run;
    char *name = xasprintf("%s-%s%s", emu_names[emu], mode_names[mode], *more ? "+shadow" : "");
    struct emu_spec spec = machine(test, name, emu, mode, image, xasprintf("restore=on%s", more));
    run_expecting(&run, &spec, 0);
    check_end(&run, name, before);
    emu_free(&run);
}

static void refused(const struct test_case *test, const char *name, const struct emu_spec *spec,
                    const char *text)
{
    struct emu_run run;
    run_expecting(&run, spec, 2);
    must_say(&run, name, text);
    must_say(&run, name, "trivisor: error: ");
    emu_free(&run);
    (void)test;
}

/* A snapshot with one byte changed; at: of the file. */
static void damaged(const struct test_case *test, const char *image, const char *name, size_t at,
                    const char *text)
{
    size_t size;
    char *bytes = read_file(image, &size);
    bytes[at] ^= 0x10;
    char *other = xasprintf("%s-%s", image, name);
    write_file(other, bytes, size);
    bytes[at] ^= 0x10;
    struct emu_spec spec = machine(test, name, test->emu, test->mode, other, "restore=on");
    refused(test, name, &spec, text);
    remove(other);
    free(bytes);
}

/* From AMD-V in QEMU to software in QEMU, and to VT-x in Bochs. */
static void from_svm(const struct test_case *test)
{
    char *image = image_of(test), *before = save_load(test, image, 3, 30);
    go_on(test, EMU_QEMU, MODE_TRAP, "", image, before);
    go_on(test, EMU_BOCHS, MODE_VTX, "", image, before);
    damaged(test, image, "state", SNAP_SECTOR + 40, "state is damaged");
    if (!tests_long())
        return;
    go_on(test, EMU_QEMU, MODE_PARA, "", image, before);
    go_on(test, EMU_QEMU, MODE_SVM, " paging=shadow", image, before);
    go_on(test, EMU_BOCHS, MODE_TRAP, "", image, before);
}

/* From any other to trap: vtx in Bochs, and para, whose patches and virtqueues are undone. */
static void to_trap(const struct test_case *test)
{
    char *image = image_of(test);
    char *before = save_load(test, image, 3, test->emu == EMU_BOCHS ? 200 : 30);
    go_on(test, EMU_QEMU, MODE_TRAP, "", image, before);
    if (test->mode == MODE_PARA)
        go_on(test, EMU_QEMU, MODE_PARA, "", image, before);
}

static void save_or_go_on(const struct test_case *test, enum emu_kind emu, enum run_mode mode,
                          const char *image, const char *options)
{
    struct emu_run run;
    char *name = xasprintf("%s-%s", emu_names[emu], mode_names[mode]);
    const bool restored = !strcmp(options, "restore=on");
    struct emu_spec spec = test_spec(test, name);
    spec.emu = emu;
    spec.files.mode = mode;
    spec.files.vmm_options = options;
    spec.files.guest = "build/tests/guests/carried.elf";
    spec.disk = "";
    spec.snapshot = image;
    run_expecting(&run, &spec, 0);
    const bool ended = strstr(run.console.text, " passed, ");
    if (ended != restored || (restored && !strstr(run.console.text, "630 passed, 0 failed")))
        fail("%s, %s: the console ends with:\n%s", name, options,
             run.console.text + (run.console.len > 400 ? run.console.len - 400 : 0));
    emu_free(&run);
    free(name);
}

/* Debug registers, the FPU, the SSE registers and the timer, and a guest that goes on changing
 * modes where it was saved. */
static void carried(const struct test_case *test)
{
    char *image = image_of(test);
    const enum emu_kind other = test->emu == EMU_QEMU ? EMU_BOCHS : EMU_QEMU;
    save_or_go_on(test, test->emu, test->mode, image, "snapshot=100,off");
    save_or_go_on(test, other, MODE_TRAP, image, "restore=on");
    save_or_go_on(test, other, other == EMU_BOCHS ? MODE_VTX : MODE_PARA, image, "restore=on");
    save_or_go_on(test, other, MODE_SVM, image, "restore=on");
}

static void refusals(const struct test_case *test)
{
    char *image = image_of(test);
    write_file(image, "", 0);
    struct emu_spec spec = machine(test, "empty", test->emu, test->mode, image, "restore=on");
    refused(test, "empty", &spec, "there is no snapshot on the drive");
    spec = machine(test, "none", test->emu, test->mode, NULL, "restore=on");
    refused(test, "none", &spec, "there is no drive for snapshots");
    free(save_load(test, image, 3, 30));
    damaged(test, image, "header", 70, "header is damaged");
    spec = machine(test, "kernel", test->emu, test->mode, image, "restore=on");
    spec.files.guest = "build/tests/guests/work.elf";
    refused(test, "kernel", &spec, "of another guest kernel");
    spec = machine(test, "cpu", test->emu, MODE_TRAP, image, "restore=on");
    spec.cpu = "max,-sse2";
    refused(test, "cpu", &spec, "saw a CPU with SSE2, which this one has not");
    spec = machine(test, "words", test->emu, test->mode, image, "snapshot=5,of");
    refused(test, "words", &spec, "snapshot= is MS or MS,off");
    spec = machine(test, "past", test->emu, test->mode, image, "restore=on snapshot=10");
    refused(test, "past", &spec, "the guest was saved at a later time");
    spec = machine(test, "small", test->emu, test->mode, image, "restore=on");
    spec.mem_mb = 24;
    refused(test, "small", &spec, "too little memory: the guest wants 32 MB");
}

/* A guest that ends before its time, and one that is saved and goes on. */
static void times(const struct test_case *test)
{
    struct emu_run run;
    char *image = image_of(test);
    struct emu_spec spec = machine(test, "never", test->emu, test->mode, image, "snapshot=90000");
    spec.files.guest_args = "run=echo,here";
    run_expecting(&run, &spec, 2);
    must_say(&run, "never", "the guest ended before the time of snapshot=90000");
    emu_free(&run);
    spec = machine(test, "goes-on", test->emu, test->mode, image, "snapshot=30");
    spec.files.guest_args = "run=load,3";
    run_expecting(&run, &spec, 0);
    check_end(&run, "goes-on", "");
}

/* The monitor saves a paused guest, which then goes on; and that snapshot does, too. */
static void by_monitor(const struct test_case *test)
{
    struct emu_run run;
    char *image = image_of(test);
    struct emu_spec spec = machine(test, "monitor", test->emu, test->mode, image, NULL);
    spec.files.guest_args = "run=sleep,1;load,2";
    spec.commands = true;
    if (!emu_start(&run, &spec) || !emu_expect(&run, "the disk is", 60))
        fail("the guest does not start: %s", run.error ? run.error : run.console.text);
    const char *const lines[] = {"pause", "snapshot", "continue"};
    for (unsigned i = 0; i < 3; i++) {
        cJSON *answer = emu_command(&run, lines[i], 60);
        char *text = answer ? cJSON_PrintUnformatted(answer) : xasprintf("nothing");
        if (!strstr(text, "\"ok\":true"))
            fail("%s: the answer is %s", lines[i], text);
    }
    if (!emu_wait(&run) || run.status)
        fail("status %d after the snapshot: %s", run.status, run.error ? run.error : "");
    check_end(&run, "saved", "");
    emu_free(&run);
    go_on(test, EMU_QEMU, MODE_TRAP, "", image, "\n");
}

void tests_snapshot(void)
{
    test_add(from_svm, EMU_QEMU, MODE_SVM, LIMIT_S, "snapshot-load/qemu-svm");
    test_add(to_trap, EMU_BOCHS, MODE_VTX, LIMIT_S, "snapshot-load/bochs-vtx");
    test_add(carried, EMU_QEMU, MODE_SVM, LIMIT_S, "snapshot-carried/qemu-svm");
    test_add(carried, EMU_BOCHS, MODE_VTX, LIMIT_S, "snapshot-carried/bochs-vtx");
    if (!tests_long())
        return;
    test_add(refusals, EMU_QEMU, MODE_TRAP, LIMIT_S, "snapshot-refused/qemu-trap");
    test_add(to_trap, EMU_QEMU, MODE_PARA, LIMIT_S, "snapshot-load/qemu-para");
    test_add(times, EMU_QEMU, MODE_TRAP, LIMIT_S, "snapshot-times/qemu-trap");
    test_add(by_monitor, EMU_QEMU, MODE_SVM, LIMIT_S, "snapshot-monitor/qemu-svm");
}
