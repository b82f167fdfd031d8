#include "emu.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* Console files are looked at this often; channels are seen at once. */
#define FILE_POLL_MS 20

/* Patience for the echo of a typed character. */
#define ECHO_S 0.5

static char *in_dir(const struct emu_run *run, const char *name)
{
    return xasprintf("%s/%s", run->spec.dir, name);
}

static int open_fresh(const struct emu_run *run, const char *name)
{
    char *path = in_dir(run, name);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        die(1, "cannot write %s: %s", path, strerror(errno));
    free(path);
    return fd;
}

static void set_cloexec(int fd)
{
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* The first complaint an emulator left, for the error message. */
static char *emulator_said(const struct emu_run *run)
{
    char *path = in_dir(run, "emulator.txt");
    char *text = read_file(path, NULL);
    free(path);
    if (!text || run->spec.emu == EMU_BOCHS) {
        free(text);
        path = in_dir(run, "bochs.log");
        text = read_file(path, NULL);
        free(path);
        char *line = text ? strstr(text, ">>PANIC<<") : NULL;
        char *said = line ? xasprintf("%.*s", (int)strcspn(line, "\n"), line) : xasprintf("%s", "");
        free(text);
        return said;
    }
    text[strcspn(text, "\n")] = 0;
    return text;
}

/* The end of the console: what a person looks at first after a run that went wrong. */
static const char *last_lines(const struct emu_run *run)
{
    const char *text = run->console.text ? run->console.text : "";
    const char *p = text + run->console.len;
    for (int lines = 0; p > text; p--) {
        if (p[-1] == '\n' && ++lines == 5)
            break;
    }
    return p;
}

static void broken(struct emu_run *run, enum emu_outcome outcome, char *why)
{
    while (run->console.len && run->console.text[run->console.len - 1] == '\n')
        run->console.text[--run->console.len] = 0;
    const char *last = last_lines(run);
    run->outcome = outcome;
    run->error = *last ? xasprintf("%s; the console's last lines:\n%s", why, last)
                       : xasprintf("%s; the console is empty", why);
    free(why);
}

/*
 * The status comes from the end record of the VMM ("end") or of a native guest ("guest-end"):
 * Bochs' own exit status says nothing. QEMU's is 2 * status + 1 (isa-debug-exit) and must agree.
 */
static void conclude(struct emu_run *run)
{
    char *path = in_dir(run, "com2.txt"), *text = read_file(path, NULL);
    const bool native = run->spec.files.mode == MODE_NATIVE;
    run->records = records_parse(text);
    free(text);
    free(path);
    if (run->outcome != EMU_DONE)
        return;
    const cJSON *end = records_last(run->records, native ? "guest-end" : "end");
    const int exited = WIFEXITED(run->proc.wait_status) ? WEXITSTATUS(run->proc.wait_status) : -1;
    run->status = (int)record_number(end, "status", -1);
    if (run->status < 0) {
        char *said = emulator_said(run);
        broken(run, EMU_BROKEN,
               xasprintf("%s stopped (status %d) without an end record%s%s",
                         emu_titles[run->spec.emu], exited, *said ? ": " : "", said));
        free(said);
    } else if (run->spec.emu == EMU_QEMU && exited != (run->status << 1 | 1)) {
        broken(run, EMU_BROKEN,
               xasprintf("QEMU exited with %d, but the end record says status %d", exited,
                         run->status));
    }
}

/* Bochs draws on a terminal of its own; what it draws is kept as its output. */
static int make_terminal(int *slave)
{
    int master;
    struct winsize size = {.ws_row = 30, .ws_col = 100};
    if (openpty(&master, slave, NULL, NULL, &size))
        die(1, "cannot make a pseudo-terminal: %s", strerror(errno));
    set_cloexec(master);
    set_cloexec(*slave);
    return master;
}

static void make_raw(int tty)
{
    struct termios t;
    tcgetattr(tty, &t);
    cfmakeraw(&t);
    tcsetattr(tty, TCSANOW, &t);
}

/* Make the console's channel; returns the emulator's end of it, and its name for Bochs. */
static int open_console(struct emu_run *run, struct machine *m)
{
    int ends[2] = {-1, -1};
    if (run->spec.console == CONSOLE_FILE) {
        run->console_fd = open_fresh(run, "com1.txt");
        return -1;
    }
    if (run->spec.emu == EMU_QEMU) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
            die(1, "cannot make a socket: %s", strerror(errno));
    } else {
        ends[0] = make_terminal(&ends[1]);
        make_raw(ends[1]);
        m->console_tty = xasprintf("%s", ttyname(ends[1]));
    }
    run->console_fd = ends[0];
    m->console_fd = ends[1];
    return ends[1];
}

/* The same for COM2, whose records go to com2.txt by our hand then. */
static int open_commands(struct emu_run *run, struct machine *m)
{
    int ends[2] = {-1, -1};
    if (!run->spec.commands)
        return -1;
    run->record_fd = open_fresh(run, "com2.txt");
    if (run->spec.emu == EMU_QEMU) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
            die(1, "cannot make a socket: %s", strerror(errno));
        fcntl(ends[1], F_SETFD, 0); /* the emulator inherits it */
    } else {
        ends[0] = make_terminal(&ends[1]);
        make_raw(ends[1]);
        m->command_tty = xasprintf("%s", ttyname(ends[1]));
    }
    run->command_fd = ends[0];
    m->command_fd = run->spec.emu == EMU_QEMU ? ends[1] : 0;
    return ends[1];
}

/*
 * Two machines must not write one image, hence the lock; Bochs' own lock file, which a killed Bochs
 * leaves behind, is of no use then. Returns a descriptor, or -1 with run->error set.
 */
static int lock_image(struct emu_run *run, const char *path, int flags)
{
    const int fd = open(path, O_RDWR | O_CLOEXEC | flags, 0666);
    if (fd < 0) {
        run->error = xasprintf("cannot open the disk image %s: %s", path, strerror(errno));
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        run->error = xasprintf("the disk image %s is in use by another machine", path);
        close(fd);
        return -1;
    }
    char *lock = xasprintf("%s.lock", path);
    unlink(lock);
    free(lock);
    return fd;
}

/* Whole cylinders, as Bochs wants them. */
#define CYLINDER (512 * 16 * 63)
#define SNAPSHOT_MORE_MB 65 /* the largest disk of a guest, and what the snapshot itself needs */

/* The drive for snapshots: an image that is there is used as it is; a new one is a sparse file that
 * any guest of this machine fits into. */
static bool take_snapshot(struct emu_run *run, struct machine *m)
{
    const char *path = run->spec.snapshot;
    const off_t mb = (m->mem_mb ? m->mem_mb : MACHINE_MEM_MB) + SNAPSHOT_MORE_MB;
    if (!path)
        return true;
    if (m->mode == MODE_NATIVE) {
        run->error = xasprintf("without a VMM nobody takes snapshots: choose another mode");
        return false;
    }
    const char *words = run->spec.files.vmm_options;
    const bool restores = words && strstr(words, "restore=on");
    run->snapshot_fd = lock_image(run, path, restores ? 0 : O_CREAT);
    if (run->snapshot_fd < 0)
        return false;
    if (!lseek(run->snapshot_fd, 0, SEEK_END) &&
        ftruncate(run->snapshot_fd, ((mb << 20) / CYLINDER + 1) * CYLINDER)) {
        run->error = xasprintf("cannot make the snapshot image %s: %s", path, strerror(errno));
        return false;
    }
    m->snapshot = path;
    return true;
}

/* The disk's image: the caller's own, or a fresh copy of what was built. Returns false with
 * run->error set. */
static bool take_disk(struct emu_run *run, struct machine *m)
{
    const char *wanted = run->spec.disk;
    if (wanted && !*wanted)
        return true;
    char *path = wanted ? xasprintf("%s", wanted) : in_dir(run, "disk.img");
    if (!wanted) {
        size_t size;
        char *bytes = read_file(ISO_DISK, &size);
        if (!bytes) {
            run->error =
                xasprintf("cannot read " ISO_DISK ": %s (make builds it)", strerror(errno));
            return false;
        }
        write_file(path, bytes, size);
        free(bytes);
    }
    run->disk_fd = lock_image(run, path, 0);
    m->disk = path;
    return run->disk_fd >= 0;
}

/* A guest below a VMM keeps what it wrote only if it asked for an image of its own. */
static void keep_disk(struct boot_files *files, const struct emu_spec *spec)
{
    const char *more = files->vmm_options;
    if (spec->disk && *spec->disk && files->mode != MODE_NATIVE)
        files->vmm_options = xasprintf("disk=host%s%s", more ? " " : "", more ? more : "");
}

/* Below a VMM it is the VMM that has the devices. */
static void choose_virtio(struct boot_files *files, enum virtio virtio)
{
    const char *more = files->vmm_options;
    if (virtio != VIRTIO_USUAL && files->mode != MODE_NATIVE)
        files->vmm_options = xasprintf("virtio=%s%s%s", virtio == VIRTIO_ON ? "on" : "off",
                                       more ? " " : "", more ? more : "");
}

static bool choose_boot(struct emu_run *run, struct machine *m)
{
    const enum loader loader = loader_for(m->emu, run->spec.loader, &run->error);
    if (loader == LOADER_DIRECT)
        return direct_for(&run->spec.files, m, &run->error);
    if (loader == LOADER_GRUB)
        m->iso = iso_for(&run->spec.files, &run->error);
    return m->iso;
}

bool emu_start(struct emu_run *run, const struct emu_spec *spec)
{
    *run = (struct emu_run){.spec = *spec, .console_fd = -1, .screen_fd = -1, .console_tty = -1};
    run->disk_fd = run->snapshot_fd = run->command_fd = run->command_tty = run->record_fd = -1;
    run->outcome = EMU_BROKEN;
    signal(SIGPIPE, SIG_IGN); /* a machine that ends while we type is no reason to die */
    make_dirs(spec->dir);
    struct machine m = {.emu = spec->emu,
                        .mode = spec->files.mode,
                        .cpu = spec->cpu,
                        .mem_mb = spec->mem_mb,
                        .console = spec->console,
                        .trace = spec->trace,
                        .virtio = spec->virtio == VIRTIO_ON && spec->files.mode == MODE_NATIVE,
                        .dir = spec->dir};
    if (!take_disk(run, &m) || !take_snapshot(run, &m))
        return false;
    keep_disk(&run->spec.files, spec);
    choose_virtio(&run->spec.files, spec->virtio);
    if (!choose_boot(run, &m))
        return false;
    if (spec->trace)
        close(open_fresh(run, MACHINE_TRACE));
    const bool out_is_trace = spec->trace && spec->emu == EMU_BOCHS;
    int out = open_fresh(run, out_is_trace ? MACHINE_TRACE : "emulator.txt"), tty = -1;
    close(open_fresh(run, "com2.txt"));
    int far = open_console(run, &m), far2 = open_commands(run, &m);
    if (spec->emu == EMU_BOCHS && !spec->trace) {
        setenv("TERM", "vt100", 1);
        run->screen_fd = make_terminal(&tty);
    }
    run->running =
        proc_start(&run->proc, machine_argv(&m), tty, out, spec->emu == EMU_QEMU ? far : -1);
    run->started = now_s();
    if (!run->running)
        run->error = xasprintf("cannot start %s: %s", emu_names[spec->emu], strerror(errno));
    close(out);
    if (tty >= 0)
        close(tty);
    /* Our copy of a Bochs console stays open, or its master reads as closed until Bochs opens it;
     * a copy of QEMU's end would hide that QEMU closed it. */
    if (spec->emu == EMU_BOCHS) {
        run->console_tty = far;
        run->command_tty = far2;
        return run->running;
    }
    if (far >= 0)
        close(far);
    if (far2 >= 0)
        close(far2);
    return run->running;
}

static void take(struct emu_run *run, const char *bytes, ssize_t n)
{
    for (ssize_t i = 0; i < n; i++) {
        if (bytes[i] != '\r' && bytes[i])
            text_add(&run->console, bytes + i, 1);
    }
    if (run->spec.echo_fd >= 0 && write(run->spec.echo_fd, bytes, (size_t)n) < 0) {
        run->echo_failed = true;
        run->spec.echo_fd = -1;
    }
}

/* What came from COM2, with spec.commands. */
static void take_records(struct emu_run *run)
{
    char bytes[4096];
    struct pollfd p = {.fd = run->command_fd, .events = POLLIN};
    while (run->command_fd >= 0 && poll(&p, 1, 0) > 0) {
        const ssize_t n = read(run->command_fd, bytes, sizeof(bytes));
        if (n <= 0)
            return;
        text_add(&run->said, bytes, (size_t)n);
        if (write(run->record_fd, bytes, (size_t)n) != n)
            die(1, "cannot write com2.txt: %s", strerror(errno));
    }
}

/* Read everything that a descriptor has now; false when there was nothing. */
static bool drain(struct emu_run *run, int fd, bool is_console)
{
    char bytes[4096];
    bool any = false;
    const bool is_file = is_console && run->spec.console == CONSOLE_FILE;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (fd < 0 || (!is_file && poll(&p, 1, 0) <= 0))
            return any;
        ssize_t n = read(fd, bytes, sizeof(bytes));
        if (n <= 0)
            return any;
        any = true;
        if (is_console)
            take(run, bytes, n);
    }
}

static void finish(struct emu_run *run, enum emu_outcome outcome)
{
    proc_kill_all(&run->proc);
    drain(run, run->console_fd, true);
    take_records(run);
    run->seconds = now_s() - run->started;
    run->running = false;
    run->outcome = outcome;
    if (outcome == EMU_TIMED_OUT)
        broken(run, outcome, xasprintf("timed out after %u s", run->spec.timeout_s));
    else if (outcome == EMU_STOPPED)
        run->error = xasprintf("stopped");
    conclude(run);
}

bool emu_step(struct emu_run *run, int extra_fd, int wait_ms)
{
    struct pollfd fds[5] = {
        {.fd = run->proc.pidfd, .events = POLLIN},
        {.fd = extra_fd, .events = POLLIN},
        {.fd = run->screen_fd, .events = POLLIN},
        {.fd = run->spec.console == CONSOLE_FILE ? -1 : run->console_fd, .events = POLLIN},
        {.fd = run->command_fd, .events = POLLIN},
    };
    if (!run->running)
        return false;
    if (run->spec.console == CONSOLE_FILE && wait_ms > FILE_POLL_MS)
        wait_ms = FILE_POLL_MS;
    poll(fds, 5, wait_ms);
    drain(run, run->screen_fd, false);
    drain(run, run->console_fd, true);
    take_records(run);
    if (proc_ended(&run->proc))
        finish(run, EMU_DONE);
    else if (run->spec.timeout_s && now_s() - run->started > run->spec.timeout_s)
        finish(run, EMU_TIMED_OUT);
    return fds[1].revents != 0;
}

bool emu_expect(struct emu_run *run, const char *text, unsigned seconds)
{
    const double until = now_s() + seconds;
    for (;;) {
        const char *from = run->console.text ? run->console.text + run->seen : "";
        const char *at = strstr(from, text);
        if (at) {
            run->seen = (size_t)(at - run->console.text) + strlen(text);
            return true;
        }
        if (!run->running || now_s() > until)
            return false;
        emu_step(run, -1, 100);
    }
}

static void send_to(struct emu_run *run, int fd, const char *bytes, size_t n)
{
    while (run->running && n) {
        ssize_t sent = write(fd, bytes, n);
        if (sent < 0 && errno != EINTR)
            return; /* the machine is gone; emu_step() will say so */
        if (sent > 0) {
            bytes += sent;
            n -= (size_t)sent;
        }
    }
}

void emu_send(struct emu_run *run, const char *bytes, size_t n)
{
    send_to(run, run->console_fd, bytes, n);
}

void emu_command_bytes(struct emu_run *run, const char *bytes, size_t n)
{
    send_to(run, run->command_fd, bytes, n);
}

bool emu_expect_record(struct emu_run *run, const char *text, unsigned seconds)
{
    const double until = now_s() + seconds;
    for (;;) {
        const char *at = run->said.text ? strstr(run->said.text + run->heard, text) : NULL;
        const char *end = at ? strchr(at, '\n') : NULL;
        if (end) {
            run->heard = (size_t)(end + 1 - run->said.text);
            return true;
        }
        if (!run->running || now_s() > until)
            return false;
        emu_step(run, -1, 100);
    }
}

cJSON *emu_command(struct emu_run *run, const char *line, unsigned seconds)
{
    size_t from = run->heard;
    char *text = xasprintf("%s\n", line);
    emu_command_bytes(run, text, strlen(text));
    free(text);
    if (!emu_expect_record(run, "\"done\":true", seconds))
        return NULL;
    text = xasprintf("%.*s", (int)(run->heard - from), run->said.text + from);
    cJSON *records = records_parse(text);
    free(text);
    return records;
}

void emu_type(struct emu_run *run, const char *text)
{
    for (; *text && run->running; text++) {
        const size_t before = run->console.len;
        const double until = now_s() + ECHO_S;
        emu_send(run, text, 1);
        while (run->running && run->console.len == before && now_s() < until)
            emu_step(run, -1, 20);
    }
}

bool emu_wait(struct emu_run *run)
{
    while (run->running)
        emu_step(run, -1, 1000);
    return run->outcome == EMU_DONE;
}

void emu_kill(struct emu_run *run)
{
    if (run->running)
        finish(run, EMU_STOPPED);
}

void emu_free(struct emu_run *run)
{
    emu_kill(run);
    if (run->console_fd >= 0)
        close(run->console_fd);
    if (run->screen_fd >= 0)
        close(run->screen_fd);
    if (run->console_tty >= 0)
        close(run->console_tty);
    if (run->disk_fd >= 0)
        close(run->disk_fd);
    if (run->snapshot_fd >= 0)
        close(run->snapshot_fd);
    if (run->command_fd >= 0)
        close(run->command_fd);
    if (run->command_tty >= 0)
        close(run->command_tty);
    if (run->record_fd >= 0)
        close(run->record_fd);
    text_free(&run->console);
    text_free(&run->said);
    free(run->error);
    cJSON_Delete(run->records);
    *run = (struct emu_run){
        .console_fd = -1, .screen_fd = -1, .console_tty = -1, .disk_fd = -1, .snapshot_fd = -1};
    run->command_fd = run->command_tty = run->record_fd = -1;
}

bool emu_run(struct emu_run *run, const struct emu_spec *spec)
{
    return emu_start(run, spec) && emu_wait(run);
}
