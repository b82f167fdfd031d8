/* The guest's disk: what is written stays, whatever wrote it; and a power cut does no harm. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "fs_format.h"
#include "systest.h"

/* A fresh image of the test's own. */
static char *own_image(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    char *path = xasprintf("%s/own.img", spec.dir);
    size_t size;
    char *bytes = read_file(ISO_DISK, &size);
    if (!bytes)
        fail("no " ISO_DISK);
    make_dirs(spec.dir);
    write_file(path, bytes, size);
    free(bytes);
    return path;
}

static void run_on(const struct test_case *test, enum run_mode mode, const char *image,
                   const char *programs, const char *expected)
{
    struct emu_spec spec = test_spec(test, mode_names[mode]);
    struct emu_run run;
    spec.files.mode = mode;
    if (mode != test->mode)
        spec.virtio = VIRTIO_USUAL;
    spec.files.guest_args = xasprintf("run=%s", programs);
    spec.disk = image;
    run_expecting(&run, &spec, 0);
    if (!strstr(run.console.text, expected))
        fail("%s shows no \"%s\"; the console is:\n%s", programs, expected, run.console.text);
    emu_free(&run);
}

static void fsck(const char *image, int status)
{
    char *argv[] = {"build/tools/tv-fsck", (char *)image, NULL};
    char *log = xasprintf("%s.fsck", image);
    if (proc_run(argv, log) != status)
        fail("tv-fsck %s does not end with status %d:\n%s", image, status, read_file(log, NULL));
}

/* Written in one mode, read on the bare machine, and the other way round. */
void test_disk_keeps(const struct test_case *test)
{
    char *image = own_image(test);
    run_on(test, test->mode, image, "mkdir,/d;sh,-c,echo from here > /d/note", "");
    fsck(image, 0);
    run_on(test, MODE_NATIVE, image, "cat,/d/note;sh,-c,echo native >> /d/note", "from here\n");
    fsck(image, 0);
    run_on(test, test->mode, image, "cat,/d/note;ls,/d;rm,-r,/d", "from here\nnative\nnote\n");
    fsck(image, 0);
}

/* Without an image of its own a guest writes to a copy, and the disk as built stays as it is. */
static void throw_away(const struct test_case *test)
{
    size_t before_size, after_size;
    char *before = read_file(ISO_DISK, &before_size);
    free(console_of(test, test->mode, "rm,-r,/home", 0));
    char *after = read_file(ISO_DISK, &after_size);
    if (!before || before_size != after_size || memcmp(before, after, before_size))
        fail(ISO_DISK " was changed by a guest");
    free(before);
    free(after);
}

/* Minnow's status when its kernel panics. */
#define STATUS_PANIC 125

static void no_disk(const struct test_case *test)
{
    struct emu_spec spec = test_spec(test, "");
    struct emu_run run;
    spec.disk = "";
    spec.files.guest_args = "run=echo";
    run_expecting(&run, &spec, STATUS_PANIC);
    if (!strstr(run.console.text, "panic: no disk with a Minnow file system"))
        fail("a missing disk is not named; the console is:\n%s", run.console.text);
    emu_free(&run);
}

/* A disk of zeros is no file system; nor is one whose super block promises too much. A log that
 * makes no sense is not followed. */
static void foreign_disk(const struct test_case *test)
{
    static const char foreign[] = "panic: no disk with a Minnow file system";
    static const char bad_log[] = "panic: the log of the disk is damaged";
    const size_t log = FS_BLOCK; /* where tv-mkfs puts it */
    const struct {
        const char *name;
        size_t at;
        uint32_t value;
        const char *panic;
    } cases[] = {
        {"magic", offsetof(struct fs_super, magic), 0, foreign},
        {"blocks", offsetof(struct fs_super, blocks), FS_BLOCKS_MAX, foreign},
        {"inodes", offsetof(struct fs_super, inodes), 0x10000000, foreign},
        {"bitmap", offsetof(struct fs_super, bitmap_block), 4000, foreign},
        {"count", log + offsetof(struct fs_log_header, count), FS_LOG_MAX + 1, bad_log},
        {"home", log + offsetof(struct fs_log_header, count), 1, bad_log},
    };
    size_t size;
    char *bytes = read_file(ISO_DISK, &size);
    if (!bytes)
        fail("no " ISO_DISK);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct emu_spec spec = test_spec(test, cases[i].name);
        struct emu_run run;
        uint32_t was;
        make_dirs(spec.dir);
        char *path = xasprintf("%s/own.img", spec.dir);
        memcpy(&was, bytes + cases[i].at, 4);
        memcpy(bytes + cases[i].at, &cases[i].value, 4);
        write_file(path, bytes, size);
        memcpy(bytes + cases[i].at, &was, 4);
        spec.disk = path;
        spec.files.guest_args = "run=echo";
        run_expecting(&run, &spec, STATUS_PANIC);
        if (!strstr(run.console.text, cases[i].panic))
            fail("%s: no \"%s\"; the console is:\n%s", cases[i].name, cases[i].panic,
                 run.console.text);
        emu_free(&run);
        fsck(path, 1);
    }
    free(bytes);
}

void tests_disk(void)
{
    for (int e = 0; e < EMU_KINDS; e++) {
        const enum emu_kind emu = (enum emu_kind)e;
        test_add(no_disk, emu, MODE_NATIVE, 60, "disk-missing/%s-native", emu_names[e]);
        test_add(no_disk, emu, MODE_TRAP, 60, "disk-missing/%s-trap", emu_names[e]);
        test_add(foreign_disk, emu, MODE_NATIVE, 130, "disk-foreign/%s-native", emu_names[e]);
        for (int m = 0; m < RUN_MODES; m++) {
            if (!tests_pair(emu, (enum run_mode)m))
                continue;
            test_add(test_disk_keeps, emu, (enum run_mode)m, 130, "disk-keeps/%s-%s", emu_names[e],
                     mode_names[m]);
            test_add(throw_away, emu, (enum run_mode)m, 60, "disk-copy/%s-%s", emu_names[e],
                     mode_names[m]);
        }
    }
}
