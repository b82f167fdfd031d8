#include "iso.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proc.h"
#include "util.h"

#define CACHE "build/iso"
#define LOG "/image.log"

/* Everything that grub.cfg below needs, and nothing else: the image is under 1 MB. */
#define GRUB_MODULES "multiboot normal iso9660 biosdisk serial terminal echo halt test"
#define GRUB_FILES "/usr/lib/grub/i386-pc"

/*
 * When GRUB refuses a file it says so on the screen, where nobody looks: do it again with the
 * serial port as GRUB's terminal, then switch the machine off.
 */
#define GRUB_FAILED                                                                                \
    "serial --unit=0 --speed=115200\n"                                                             \
    "terminal_output serial\n"                                                                     \
    "echo\n"                                                                                       \
    "multiboot %s\n"                                                                               \
    "echo GRUB cannot load %s\n"                                                                   \
    "halt\n"

static const char *or_default(const char *path, const char *standard)
{
    return path ? path : standard;
}

/* A word list for grub.cfg: each word quoted, because ';' ends a command there. */
static void add_words(struct text *cfg, const char *words)
{
    for (const char *w = words ? words : ""; *w;) {
        size_t n = strcspn(w, " ");
        if (n) {
            text_add(cfg, " '", 2);
            for (size_t i = 0; i < n; i++) {
                if (w[i] == '\'')
                    text_add(cfg, "'\\''", 4);
                else
                    text_add(cfg, w + i, 1);
            }
            text_add(cfg, "'", 1);
        }
        w += n + (w[n] == ' ');
    }
}

static void add_boot(struct text *cfg, const struct boot_files *f)
{
    if (f->mode == MODE_NATIVE) {
        text_printf(cfg, "multiboot /boot/minnow.elf");
        add_words(cfg, f->guest_args);
    } else {
        text_printf(cfg, "multiboot /boot/trivisor.elf mode=%s", mode_names[f->mode]);
        add_words(cfg, f->vmm_options);
        if (!f->guest || f->guest[0]) {
            text_printf(cfg, "\nmodule /boot/minnow.elf minnow.elf");
            add_words(cfg, f->guest_args);
        }
    }
    for (unsigned i = 0; i < 4 && f->modules[i]; i++)
        text_printf(cfg, "\nmodule /boot/module%u %s", i, f->modules[i]);
    text_add(cfg, "\n", 1);
}

static void add_config(struct text *cfg, const struct boot_files *f)
{
    const char *kernel = f->mode == MODE_NATIVE ? "/boot/minnow.elf" : "/boot/trivisor.elf";
    text_printf(cfg, "set timeout=0\n");
    add_boot(cfg, f);
    text_printf(cfg, "boot\n" GRUB_FAILED, kernel, kernel);
}

static bool copy_in(const char *from, const char *dir, const char *name, uint64_t *key,
                    char **error)
{
    size_t size;
    char *bytes = read_file(from, &size);
    if (!bytes) {
        *error = xasprintf("cannot read %s: %s%s", from, strerror(errno),
                           errno == ENOENT ? " (make builds it)" : "");
        return false;
    }
    char *to = xasprintf("%s/boot/%s", dir, name);
    write_file(to, bytes, size);
    *key = fnv1a(fnv1a(*key, &size, sizeof(size)), bytes, size);
    free(to);
    free(bytes);
    return true;
}

/* Run one of the two image makers; what it says goes to `log`. */
static bool run_maker(char *argv[], const char *dir, char **error)
{
    char *log = xasprintf("%s" LOG, dir);
    int status = proc_run(argv, log);
    if (status) {
        char *said = read_file(log, NULL);
        *error = xasprintf("%s failed (status %d): %s", argv[0], status, said ? said : "");
        free(said);
    }
    free(log);
    return status == 0;
}

/* For people: a CD and USB stick that starts on everything GRUB knows. */
static bool make_rescue(const char *dir, const char *iso, char **error)
{
    char *tree = xasprintf("%s/tree", dir);
    char *argv[] = {"grub-mkrescue", "-d",         GRUB_FILES,  "--install-modules=" GRUB_MODULES,
                    "--fonts=",      "--locales=", "--themes=", "-o",
                    (char *)iso,     tree,         NULL};
    bool ok = run_maker(argv, dir, error);
    free(tree);
    return ok;
}

/*
 * For the tools: only a CD, and the same files give the same bytes. grub-mkrescue writes the time
 * into its image; GRUB then takes some instructions more or fewer, and all that follows happens at
 * another phase of the timer.
 */
#define DATE "2026010100000000"

static bool make_image(const char *dir, const char *iso, char **error)
{
    char *tree = xasprintf("%s/tree", dir), *core = xasprintf("%s/boot/grub/core.img", tree);
    char modules[] = GRUB_MODULES;
    char *core_argv[32] = {
        "grub-mkimage", "-O", "i386-pc-eltorito", "-d", GRUB_FILES, "-p", "/boot/grub", "-o", core};
    unsigned n = 9;
    for (char *word = strtok(modules, " "); word; word = strtok(NULL, " "))
        core_argv[n++] = word;
    char *cd_argv[] = {"xorriso",
                       "-as",
                       "mkisofs",
                       "-b",
                       "boot/grub/core.img",
                       "-no-emul-boot",
                       "-boot-load-size",
                       "4",
                       "-boot-info-table",
                       "--modification-date=" DATE,
                       "--set_all_file_dates",
                       DATE,
                       "-o",
                       (char *)iso,
                       tree,
                       NULL};
    setenv("SOURCE_DATE_EPOCH", "1767225600", 1); /* xorriso's, for the other dates */
    bool ok = run_maker(core_argv, dir, error) && run_maker(cd_argv, dir, error);
    free(core);
    free(tree);
    return ok;
}

/* Lay the files out below work/tree; *key becomes the hash of all that goes into the image. */
static bool lay_out(const struct boot_files *f, const char *tree, uint64_t *key, char **error)
{
    if (f->mode != MODE_NATIVE &&
        !copy_in(or_default(f->vmm, ISO_VMM), tree, "trivisor.elf", key, error))
        return false;
    if ((!f->guest || f->guest[0]) &&
        !copy_in(or_default(f->guest, ISO_GUEST), tree, "minnow.elf", key, error))
        return false;
    for (unsigned i = 0; i < 4 && f->modules[i]; i++) {
        char name[16];
        snprintf(name, sizeof(name), "module%u", i);
        if (!copy_in(f->modules[i], tree, name, key, error))
            return false;
    }
    return true;
}

static void write_config(const struct text *cfg, const char *tree, uint64_t *key)
{
    char *path = xasprintf("%s/boot/grub/grub.cfg", tree);
    write_file(path, cfg->text, cfg->len);
    *key = fnv1a(*key, cfg->text, cfg->len);
    *key = fnv1a(*key, GRUB_MODULES DATE, sizeof(GRUB_MODULES DATE));
    free(path);
}

char *iso_for(const struct boot_files *files, char **error)
{
    char *work = xasprintf(CACHE "/work.%d", (int)getpid()), *tree = xasprintf("%s/tree", work);
    char *grub = xasprintf("%s/boot/grub", tree), *iso = NULL;
    struct text cfg = {0};
    uint64_t key = FNV_START;
    make_dirs(grub);
    add_config(&cfg, files);
    if (lay_out(files, tree, &key, error)) {
        write_config(&cfg, tree, &key);
        iso = xasprintf(CACHE "/%016llx.iso", (unsigned long long)key);
        if (access(iso, R_OK)) {
            char *fresh = xasprintf("%s/new.iso", work);
            if (!make_image(work, fresh, error) || rename(fresh, iso)) {
                free(iso);
                iso = NULL;
            }
            free(fresh);
        }
    }
    remove_tree(work);
    text_free(&cfg);
    free(grub);
    free(tree);
    free(work);
    return iso;
}

bool iso_menu(const char *path, char **error)
{
    const char *tree = CACHE "/menu/tree";
    const struct boot_files all = {.mode = MODE_TRAP};
    struct text cfg = {0};
    uint64_t key = FNV_START;
    make_dirs(CACHE "/menu/tree/boot/grub");
    if (!lay_out(&all, tree, &key, error) || !copy_in(ISO_PROBE, tree, "probe.elf", &key, error))
        return false;
    text_printf(&cfg, "serial --unit=0 --speed=115200\nterminal_input console serial\n"
                      "terminal_output console serial\nset timeout=5\n");
    for (int m = 0; m < RUN_MODES; m++) {
        const struct boot_files files = {.mode = (enum run_mode)m};
        text_printf(&cfg, "menuentry \"Minnow, %s%s\" {\n", m == MODE_NATIVE ? "" : "mode ",
                    m == MODE_NATIVE ? "native (no hypervisor)" : mode_names[m]);
        add_boot(&cfg, &files);
        text_printf(&cfg, "}\n");
    }
    text_printf(&cfg, "menuentry \"Probe the CPU\" {\nmultiboot /boot/probe.elf\n}\n");
    write_config(&cfg, tree, &key);
    text_free(&cfg);
    bool ok = make_rescue(CACHE "/menu", path, error);
    remove_tree(CACHE "/menu");
    return ok;
}
