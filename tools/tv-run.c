/*
 * tv-run: start Minnow in one emulator and one mode, with its console on this terminal.
 * The exit status is the guest's. `make run` calls it.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include <fcntl.h>

#include "lib/choose.h"
#include "lib/emu.h"

#define STATUS_FAILED 1
#define STATUS_TIMEOUT 123
#define ESCAPE 0x01 /* Ctrl-A, as QEMU has it */
#define PROMPT "$ "

static const char usage[] =
    "usage: tv-run [--emu=qemu|bochs] [--mode=native|trap|para|vtx|svm] [options]\n"
    "  --virtio=on|off  the guest's disk and console are virtio devices, or an ATA drive and a\n"
    "                   UART (default: on in mode para, off elsewhere); natively, QEMU's own;\n"
    "                   --mode=svm+virtio says it shorter\n"
    "  --run=PROGRAMS   run these instead of the shell, then power off: prog,arg,arg;prog2\n"
    "  --opts=WORDS     more words for the VMM's command line, like \"mem=16 umip=on\"\n"
    "  --mem=MB         memory of the machine (default 128)\n"
    "  --cpu=MODEL      CPU model, by the emulator's name for it\n"
    "  --disk=IMAGE     the guest's disk, and what it writes stays there (default: a fresh copy\n"
    "                   of the disk that was built); \"none\": no disk\n"
    "  --snapshot=FILE  a drive for snapshots, made when missing: --opts=snapshot=MS,off saves "
    "the\n"
    "                   guest there at that time and ends it, --opts=restore=on goes on from "
    "there\n"
    "  --loader=grub|direct  boot by GRUB, or let QEMU load the kernel (default: direct in QEMU,\n"
    "                   grub in Bochs; TRIVISOR_LOADER in the environment changes the default)\n"
    "  --vmm=ELF --guest=ELF   instead of what this tree builds\n"
    "  --timeout=S      kill the machine after S seconds (default: none, or 120 with --run)\n"
    "  --dir=DIR        keep console, records and logs there (default build/run/EMU-MODE)\n"
    "On a terminal, Ctrl-A x ends the run and Ctrl-A a types a Ctrl-A; Ctrl-] opens the VMM's\n"
    "monitor. When input comes from a pipe, a line is typed each time the shell shows its prompt.\n"
    "The exit status is the guest's: that of the first program of --run that failed, modulo 128\n"
    "(never 0 then), or what poweroff was given. Besides, 1: the machine broke; 2: wrong usage; "
    "123: time-out; 124:\n"
    "the VMM killed the guest; 125: the guest's kernel panicked; 126: the VMM panicked.\n";

static struct termios saved;

static void restore_terminal(void)
{
    tcsetattr(0, TCSANOW, &saved);
}

static void raw_terminal(void)
{
    struct termios t;
    tcgetattr(0, &saved);
    atexit(restore_terminal);
    t = saved;
    cfmakeraw(&t);
    t.c_oflag |= OPOST; /* our own messages keep their line ends */
    tcsetattr(0, TCSANOW, &t);
}

/* Keys to the guest, but for the escape; false: the person wants to leave. */
static bool send_keys(struct emu_run *run)
{
    static bool escaped;
    char keys[256];
    ssize_t n = read(0, keys, sizeof(keys));
    for (ssize_t i = 0; i < n; i++) {
        if (!escaped && keys[i] == ESCAPE) {
            escaped = true;
            continue;
        }
        if (escaped && (keys[i] == 'x' || keys[i] == 'X'))
            return false;
        if (!escaped || keys[i] == 'a')
            emu_send(run, escaped ? "\001" : keys + i, 1);
        escaped = false;
    }
    return n > 0;
}

static void talk(struct emu_run *run)
{
    fprintf(stderr, "tv-run: starting; Ctrl-A x ends the run\n");
    raw_terminal();
    while (run->running) {
        if (emu_step(run, 0, 1000) && run->running && !send_keys(run))
            emu_kill(run);
    }
}

/* Input from a pipe: a line for each prompt, so that none is lost while the guest boots. */
static void feed(struct emu_run *run)
{
    char line[256]; /* as long as the guest's own */
    while (emu_expect(run, PROMPT, 3600)) {
        if (!fgets(line, sizeof(line), stdin))
            break;
        if (!line[0]) {
            fprintf(stderr, "tv-run: the input is not text\n");
            break;
        }
        if (strlen(line) == sizeof(line) - 1 && !strchr(line, '\n')) {
            fprintf(stderr, "tv-run: an input line has more than %zu characters\n",
                    sizeof(line) - 2);
            break;
        }
        emu_type(run, line);
    }
    emu_kill(run);
}

/* A directory that no other run uses now: build/run/EMU-MODE, or with -2, -3, ... */
static char *own_dir(const struct emu_spec *spec)
{
    for (int i = 1;; i++) {
        char *dir =
            xasprintf("build/run/%s-%s", emu_names[spec->emu], mode_names[spec->files.mode]);
        if (i > 1)
            dir = xasprintf("%s-%d", dir, i);
        make_dirs(dir);
        int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB))
            return dir; /* fd stays open: the lock lives as long as we do */
        close(fd);
    }
}

enum { OPT_VMM = 256, OPT_GUEST, OPT_DIR, OPT_CPU, OPT_DISK, OPT_VIRTIO, OPT_SNAPSHOT, OPT_LOADER };
static const struct option options[] = {
    {"emu", 1, NULL, 'e'},           {"mode", 1, NULL, 'm'},
    {"run", 1, NULL, 'r'},           {"opts", 1, NULL, 'o'},
    {"mem", 1, NULL, 'M'},           {"timeout", 1, NULL, 't'},
    {"vmm", 1, NULL, OPT_VMM},       {"guest", 1, NULL, OPT_GUEST},
    {"dir", 1, NULL, OPT_DIR},       {"cpu", 1, NULL, OPT_CPU},
    {"disk", 1, NULL, OPT_DISK},     {"help", 0, NULL, 'h'},
    {"virtio", 1, NULL, OPT_VIRTIO}, {"snapshot", 1, NULL, OPT_SNAPSHOT},
    {"loader", 1, NULL, OPT_LOADER}, {NULL, 0, NULL, 0},
};

static enum virtio read_virtio(const char *text)
{
    if (strcmp(text, "on") && strcmp(text, "off") && *text)
        die(STATUS_USAGE, "VIRTIO=%s: it is on or off", text);
    return !*text ? VIRTIO_USUAL : !strcmp(text, "on") ? VIRTIO_ON : VIRTIO_OFF;
}

static enum loader read_loader(const char *text)
{
    const int loader = *text ? loader_by_name(text) : LOADER_USUAL;
    if (loader < 0)
        die(STATUS_USAGE, "--loader=%s: choose one of: usual, direct, grub", text);
    return (enum loader)loader;
}

/* "svm+virtio" is mode svm with virtio on. */
static const char *plain_mode(const char *mode, enum virtio *virtio)
{
    const char *plus = strstr(mode, "+virtio");
    if (!plus || strcmp(plus, "+virtio"))
        return mode;
    *virtio = VIRTIO_ON;
    return xasprintf("%.*s", (int)(plus - mode), mode);
}

static const char *or_null(const char *text)
{
    return *text ? text : NULL;
}

/* Read the command line into *spec; --run's programs go to *programs. */
static void read_options(int argc, char **argv, struct emu_spec *spec, const char **programs)
{
    const char *emu = "qemu", *mode = "trap";
    bool limit = false;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'e')
            emu = optarg;
        else if (c == 'm')
            mode = optarg;
        else if (c == 'r')
            *programs = or_null(optarg);
        else if (c == 'o')
            spec->files.vmm_options = or_null(optarg);
        else if (c == 'M')
            spec->mem_mb = *optarg ? choose_number("MEM", optarg, 4, 3072) : 0;
        else if (c == 't' && *optarg)
            spec->timeout_s = choose_number("TIMEOUT", optarg, 0, 86400), limit = true;
        else if (c == OPT_VMM)
            spec->files.vmm = or_null(optarg);
        else if (c == OPT_GUEST)
            spec->files.guest = or_null(optarg);
        else if (c == OPT_DIR)
            spec->dir = or_null(optarg);
        else if (c == OPT_CPU)
            spec->cpu = or_null(optarg);
        else if (c == OPT_DISK)
            spec->disk = strcmp(optarg, "none") ? or_null(optarg) : "";
        else if (c == OPT_SNAPSHOT)
            spec->snapshot = or_null(optarg);
        else if (c == OPT_LOADER)
            spec->loader = read_loader(optarg);
        else if (c == OPT_VIRTIO)
            spec->virtio = read_virtio(optarg);
        else if (c == 'h')
            fputs(usage, stdout), exit(0);
        else if (c == '?')
            exit(STATUS_USAGE);
    }
    if (optind < argc)
        die(STATUS_USAGE, "unexpected argument '%s' (try --help)", argv[optind]);
    choose_pair(emu, plain_mode(mode, &spec->virtio), &spec->emu, &spec->files.mode);
    const char *problem = virtio_problem(spec->emu, spec->files.mode, spec->virtio);
    if (problem)
        die(STATUS_USAGE, "%s", problem);
    if (*programs && !limit)
        spec->timeout_s = 120;
}

int main(int argc, char **argv)
{
    struct emu_spec spec = {.echo_fd = 1};
    struct emu_run run;
    const char *programs = NULL;
    read_options(argc, argv, &spec, &programs);
    if (programs)
        spec.files.guest_args = xasprintf("run=%s", programs);
    else
        spec.console = isatty(0) ? CONSOLE_HUMAN : CONSOLE_TYPED;
    if (!spec.dir)
        spec.dir = own_dir(&spec);
    if (emu_start(&run, &spec)) {
        if (programs)
            emu_wait(&run);
        else if (isatty(0))
            talk(&run);
        else
            feed(&run);
    }
    int status = run.outcome == EMU_DONE        ? run.status
                 : run.outcome == EMU_TIMED_OUT ? STATUS_TIMEOUT
                 : run.outcome == EMU_STOPPED   ? 0
                                                : STATUS_FAILED;
    if (run.outcome != EMU_DONE && run.outcome != EMU_STOPPED)
        fprintf(stderr, "tv-run: %s\n", run.error);
    else
        fprintf(stderr, "\ntv-run: %s\n",
                run.outcome == EMU_STOPPED ? "stopped" : xasprintf("guest status %d", status));
    const bool lost = run.echo_failed;
    emu_free(&run);
    if (lost) {
        fprintf(stderr, "tv-run: the output could not be written\n");
        return STATUS_FAILED;
    }
    return status;
}
