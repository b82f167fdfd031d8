/*
 * tv-debug: the machine of tv-run, stopped at the first instruction of the VMM (mode native: of
 * the guest), under a debugger with symbols: QEMU with gdb, or Bochs with its own debugger.
 * `make debug` calls it.
 */
#include <elf.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/choose.h"
#include "lib/iso.h"
#include "lib/proc.h"
#include "lib/util.h"

static const char usage[] =
    "usage: tv-debug [--emu=qemu|bochs] [--mode=native|trap|para|vtx|svm] [--run=PROGRAMS]\n"
    "                [--opts=WORDS]\n"
    "In modes vtx and svm each VM entry is checked by software first (--opts=check=off: not).\n"
    "The guest's console goes to build/debug/com1.txt, records to build/debug/com2.txt.\n";

#define DIR "build/debug"

struct session {
    enum emu_kind emu;
    enum run_mode mode;
    const char *programs, *opts;
    const char *first;  /* the ELF that GRUB starts */
    const char *second; /* the guest under a VMM, or NULL */
};

/* Where GRUB jumps to: a physical address. An entry given as a virtual address lies in a segment
 * whose physical address GRUB uses instead. */
static uint32_t entry_of(const char *path)
{
    size_t size;
    char *bytes = read_file(path, &size);
    const Elf32_Ehdr *eh = (const Elf32_Ehdr *)bytes;
    if (!bytes || size < sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG) ||
        eh->e_phoff + (size_t)eh->e_phnum * sizeof(Elf32_Phdr) > size)
        die(1, "%s is missing or no ELF file (make builds it)", path);
    uint32_t entry = eh->e_entry;
    const Elf32_Phdr *ph = (const Elf32_Phdr *)(bytes + eh->e_phoff);
    for (unsigned i = 0; i < eh->e_phnum; i++) {
        if (ph[i].p_type == PT_LOAD && entry - ph[i].p_vaddr < ph[i].p_memsz) {
            entry = entry - ph[i].p_vaddr + ph[i].p_paddr;
            break;
        }
    }
    free(bytes);
    return entry;
}

static bool have(const char *program)
{
    char *command = xasprintf("command -v %s >/dev/null", program);
    bool found = system(command) == 0;
    free(command);
    return found;
}

static void add(char **argv, int *n, char *arg)
{
    argv[(*n)++] = arg;
    argv[*n] = NULL;
}

/* QEMU waits at its first instruction; gdb gets the symbols and a breakpoint at the entry. */
static int debug_qemu(const struct session *s, struct machine *m)
{
    char *gdb[32];
    int n = 0;
    struct proc qemu;
    m->gdb_socket = DIR "/gdb.sock";
    unlink(m->gdb_socket);
    add(gdb, &n, "gdb");
    add(gdb, &n, "-q");
    add(gdb, &n, "-ex");
    add(gdb, &n, "set confirm off");
    add(gdb, &n, "-ex");
    add(gdb, &n, "set architecture i386");
    add(gdb, &n, "-ex");
    add(gdb, &n, xasprintf("symbol-file %s", s->first));
    if (s->second) {
        add(gdb, &n, "-ex");
        add(gdb, &n, xasprintf("add-symbol-file %s", s->second));
    }
    add(gdb, &n, "-ex");
    add(gdb, &n, xasprintf("target remote %s", m->gdb_socket));
    add(gdb, &n, "-ex");
    add(gdb, &n, xasprintf("hbreak *0x%x", entry_of(s->first)));
    add(gdb, &n, "-ex");
    add(gdb, &n, "continue");
    add(gdb, &n, "-ex");
    add(gdb, &n,
        "echo \\nThe machine stands at the first instruction behind the boot loader. Go on with\\n"
        "  hbreak vmm_main     the VMM's beginning (MODE=native: hbreak kernel_main)\\n"
        "  hbreak exit_dispatch   each time the guest has stopped; then: continue, bt, info "
        "locals\\n"
        "The guest's console goes to " DIR "/com1.txt. Ctrl-C stops the guest, quit ends all.\\n");

    if (!proc_start(&qemu, machine_argv(m), -1, 2, -1))
        die(1, "cannot start QEMU: %s", strerror(errno));
    for (int i = 0; i < 100 && access(m->gdb_socket, F_OK) && !proc_ended(&qemu); i++)
        usleep(50000);
    if (proc_ended(&qemu))
        die(1, "QEMU did not start (its words are above)");
    if (have("gdb")) {
        signal(SIGINT, SIG_IGN); /* Ctrl-C is for gdb: it stops the guest */
        pid_t child = fork();
        if (child == 0) {
            signal(SIGINT, SIG_DFL);
            execvp(gdb[0], gdb);
            _exit(127);
        }
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
    } else {
        printf("gdb is not installed (apt-get install gdb). QEMU waits; in another terminal:\n\n  "
               "gdb");
        for (int i = 2; i + 1 < n; i += 2)
            printf(" -ex '%s'", gdb[i + 1]);
        printf("\n\nPress Return to end QEMU.\n");
        getchar();
    }
    proc_kill_all(&qemu);
    return 0;
}

/* Symbols for Bochs: lines "ADDRESS NAME", as its ldsym reads them; *n counts them. */
static void add_symbols(struct text *out, const char *elf)
{
    char *argv[] = {"nm", "--defined-only", (char *)elf, NULL};
    char line[256], name[200], type;
    unsigned address;
    if (proc_run(argv, DIR "/nm.txt"))
        die(1, "nm %s failed", elf);
    FILE *f = fopen(DIR "/nm.txt", "re");
    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%x %c %199s", &address, &type, name) == 3 && strchr("tTdDbBrR", type))
            text_printf(out, "%x %s\n", address, name);
    }
    if (f)
        fclose(f);
}

/* Bochs' debugger owns the terminal; it runs up to the entry and then asks. */
static int debug_bochs(const struct session *s, struct machine *m)
{
    struct text symbols = {0};
    add_symbols(&symbols, s->first);
    if (s->second)
        add_symbols(&symbols, s->second);
    write_file(DIR "/symbols.txt", symbols.text, symbols.len);
    m->commands =
        xasprintf("ldsym global \"%s\"\npb 0x%x\nc\n", DIR "/symbols.txt", entry_of(s->first));
    char **argv = machine_argv(m);
    printf("Bochs' debugger: help lists its commands, lb \"vmm_main\" sets a breakpoint by symbol, "
           "q ends it.\n");
    fflush(stdout);
    execvp(argv[0], argv);
    die(1, "cannot run %s: %s", argv[0], strerror(errno));
}

/* Every VM entry is checked before the CPU sees it, unless the person says check=off. */
static const char *debug_options(const struct session *s)
{
    if (s->mode != MODE_VTX && s->mode != MODE_SVM)
        return s->opts;
    return s->opts ? xasprintf("%s check=on", s->opts) : "check=on";
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"emu", 1, NULL, 'e'},  {"mode", 1, NULL, 'm'}, {"run", 1, NULL, 'r'},
        {"opts", 1, NULL, 'o'}, {"help", 0, NULL, 'h'}, {NULL, 0, NULL, 0},
    };
    const char *emu = "qemu", *mode = "trap";
    struct session s = {.first = ISO_VMM, .second = ISO_GUEST};
    char *error;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'e')
            emu = optarg;
        else if (c == 'm')
            mode = optarg;
        else if (c == 'r')
            s.programs = *optarg ? optarg : NULL;
        else if (c == 'o')
            s.opts = optarg;
        else if (c == 'h')
            return fputs(usage, stdout), 0;
        else
            return STATUS_USAGE;
    }
    choose_pair(emu, mode, &s.emu, &s.mode);
    if (s.mode == MODE_NATIVE) {
        s.first = ISO_GUEST;
        s.second = NULL;
    }
    make_dirs(DIR);
    struct boot_files files = {.mode = s.mode, .vmm_options = debug_options(&s)};
    if (s.programs)
        files.guest_args = xasprintf("run=%s", s.programs);
    struct machine m = {.emu = s.emu,
                        .mode = s.mode,
                        .dir = DIR,
                        .iso = iso_for(&files, &error),
                        .disk = DIR "/disk.img"};
    if (!m.iso)
        die(1, "%s", error);
    size_t size;
    char *disk = read_file(ISO_DISK, &size);
    if (!disk)
        die(1, "cannot read " ISO_DISK " (make builds it)");
    write_file(m.disk, disk, size);
    unlink(DIR "/disk.img.lock");
    free(disk);
    return s.emu == EMU_QEMU ? debug_qemu(&s, &m) : debug_bochs(&s, &m);
}
