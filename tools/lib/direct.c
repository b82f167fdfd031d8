#include "direct.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "util.h"

#define CACHE "build/boot"

static const char *const loader_names[] = {
    [LOADER_USUAL] = "usual", [LOADER_DIRECT] = "direct", [LOADER_GRUB] = "grub"};

int loader_by_name(const char *name)
{
    for (int i = 0; i <= LOADER_GRUB; i++) {
        if (!strcmp(name, loader_names[i]))
            return i;
    }
    return -1;
}

enum loader loader_for(enum emu_kind emu, enum loader wanted, char **error)
{
    const char *said = getenv("TRIVISOR_LOADER");
    const int usual = said && *said ? loader_by_name(said) : LOADER_USUAL;
    if (usual < 0) {
        *error = xasprintf("TRIVISOR_LOADER=%s: choose one of: usual, direct, grub", said);
        return LOADER_USUAL;
    }
    if (wanted == LOADER_USUAL && emu == EMU_QEMU)
        wanted = usual == LOADER_GRUB ? LOADER_GRUB : LOADER_DIRECT;
    if (wanted == LOADER_DIRECT && emu == EMU_BOCHS) {
        *error = xasprintf("Bochs loads no kernel by itself: it needs the loader grub");
        return LOADER_USUAL;
    }
    return wanted == LOADER_USUAL ? LOADER_GRUB : wanted;
}

/* A file of the boot, kept under a name that tells its content and its part. The path, or NULL. */
static char *kept(const char *from, const char *name, char **error)
{
    size_t size;
    char *bytes = read_file(from, &size);
    if (!bytes) {
        *error = xasprintf("cannot read %s: %s%s", from, strerror(errno),
                           errno == ENOENT ? " (make builds it)" : "");
        return NULL;
    }
    const uint64_t key = fnv1a(fnv1a(FNV_START, &size, sizeof(size)), bytes, size);
    char *dir = xasprintf(CACHE "/%016llx", (unsigned long long)key);
    char *path = xasprintf("%s/%s", dir, name);
    if (utimes(path, NULL)) { /* it is not there; or else it is in use, and not old */
        char *fresh = xasprintf("%s.%d", path, (int)getpid());
        make_dirs(dir);
        write_file(fresh, bytes, size);
        if (rename(fresh, path))
            *error = xasprintf("cannot make %s: %s", path, strerror(errno));
        free(fresh);
    }
    free(dir);
    free(bytes);
    return path;
}

/* Multiboot 3.1: the magic number is in the first 8 KB, at a multiple of 4. */
static bool has_header(const char *path, char **error)
{
    size_t size;
    char *bytes = read_file(path, &size);
    bool found = false;
    for (size_t at = 0; bytes && !found && at + 4 <= size && at < 8192; at += 4)
        found = !memcmp(bytes + at, "\x02\xb0\xad\x1b", 4);
    free(bytes);
    if (!found)
        *error = xasprintf("%s has no Multiboot header: it is no kernel", path);
    return found;
}

/* One more part of -initrd: a file and its string. */
static bool add_module(struct text *list, const char *from, const char *name, const char *words,
                       char **error)
{
    char *path = kept(from, name, error);
    if (!path)
        return false;
    char *string = doubled_commas(words ? words : "");
    text_printf(list, "%s%s%s%s", list->len ? "," : "", path, string && *string ? " " : "",
                string ? string : "");
    free(string);
    free(path);
    return true;
}

static const char *or_default(const char *path, const char *standard)
{
    return path ? path : standard;
}

bool direct_for(const struct boot_files *f, struct machine *m, char **error)
{
    struct text list = {0};
    const char *guest = or_default(f->guest, ISO_GUEST);
    const bool native = f->mode == MODE_NATIVE;
    *error = NULL;
    m->boot.kernel = native ? kept(guest, "minnow.elf", error)
                            : kept(or_default(f->vmm, ISO_VMM), "trivisor.elf", error);
    if (!m->boot.kernel || !has_header(native ? guest : or_default(f->vmm, ISO_VMM), error))
        return false;
    if (native)
        m->boot.append = xasprintf("%s", f->guest_args ? f->guest_args : "");
    else
        m->boot.append = xasprintf("mode=%s%s%s", mode_names[f->mode], f->vmm_options ? " " : "",
                                   f->vmm_options ? f->vmm_options : "");
    if (!native && *guest && !add_module(&list, guest, "minnow.elf", f->guest_args, error))
        return false;
    for (unsigned i = 0; i < 4 && f->modules[i]; i++) {
        char name[16];
        snprintf(name, sizeof(name), "module%u", i);
        if (!add_module(&list, f->modules[i], name, NULL, error))
            return false;
    }
    m->boot.initrd = list.text;
    return !*error;
}
