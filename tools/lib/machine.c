#include "machine.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"

/* 2026-01-01 00:00:00 UTC: the clock of every machine starts there, so that runs repeat. */
#define START_TIME 1767225600

/*
 * Instructions a second of guest time in Bochs. Slow enough that booting does not drown in timer
 * interrupts, fast enough that the 100 Hz tick of a guest is 500,000 instructions apart.
 */
#define BOCHS_IPS 50000000

const char *const emu_names[EMU_KINDS] = {"qemu", "bochs"};
const char *const emu_titles[EMU_KINDS] = {"QEMU", "Bochs"};
const char *const mode_names[RUN_MODES] = {"native", "trap", "para", "vtx", "svm"};

static int by_name(const char *const *names, int count, const char *name)
{
    for (int i = 0; i < count; i++) {
        if (!strcmp(names[i], name))
            return i;
    }
    return -1;
}

int emu_by_name(const char *name)
{
    return by_name(emu_names, EMU_KINDS, name);
}

int mode_by_name(const char *name)
{
    return by_name(mode_names, RUN_MODES, name);
}

const char *pair_problem(enum emu_kind emu, enum run_mode mode)
{
    if (emu == EMU_QEMU && mode == MODE_VTX)
        return "QEMU without KVM emulates AMD-V but not VT-x, so mode vtx cannot run in it: use "
               "EMU=bochs MODE=vtx, or EMU=qemu MODE=svm";
    return NULL;
}

const char *virtio_problem(enum emu_kind emu, enum run_mode mode, enum virtio virtio)
{
    if (virtio == VIRTIO_ON && emu == EMU_BOCHS && mode == MODE_NATIVE)
        return "Bochs has no virtio devices, and without a VMM nobody else has: use EMU=qemu, or "
               "another MODE";
    return NULL;
}

const char *machine_cpu(const struct machine *m)
{
    if (m->cpu)
        return m->cpu;
    if (m->emu == EMU_QEMU)
        return "max";
    return m->mode == MODE_SVM ? "ryzen" : "corei7_sandy_bridge_2600k";
}

static unsigned memory(const struct machine *m)
{
    return m->mem_mb ? m->mem_mb : MACHINE_MEM_MB;
}

struct args {
    char **argv;
    unsigned n;
};

static void add(struct args *a, char *arg)
{
    a->argv = xrealloc(a->argv, (a->n + 2) * sizeof(char *));
    a->argv[a->n++] = arg;
    a->argv[a->n] = NULL;
}

static void option(struct args *a, const char *name, char *value)
{
    add(a, xasprintf("-%s", name));
    if (value)
        add(a, value);
}

char *doubled_commas(const char *path)
{
    struct text t = {0};
    for (const char *c = path; *c; c++)
        text_add(&t, *c == ',' ? ",," : c, *c == ',' ? 2 : 1);
    return t.text;
}

/* Where COM1 goes; with virtio its console goes to the same place, and gets the input. QEMU's
 * escape character on such a line becomes NUL, which nobody types. */
static void qemu_console(struct args *a, const struct machine *m)
{
    const char *mux = m->virtio ? ",mux=on" : "";
    if (m->console == CONSOLE_FILE)
        option(a, "chardev", xasprintf("file,id=com1,path=%s/com1.txt%s", m->dir, mux));
    else
        option(a, "chardev", xasprintf("socket,id=com1,fd=%d%s", m->console_fd, mux));
    option(a, "serial", xasprintf("chardev:com1"));
    if (!m->virtio)
        return;
    option(a, "echr", xasprintf("0"));
    option(a, "device", xasprintf("virtio-serial-pci"));
    option(a, "device", xasprintf("virtconsole,chardev=com1"));
}

/* Nobody's data: what the host's cache loses in a crash of the host is not worth a flush. */
static void qemu_disk(struct args *a, const struct machine *m)
{
    char *path = doubled_commas(m->disk);
    option(a, "drive",
           xasprintf("file=%s,format=raw,cache=unsafe,%s", path,
                     m->virtio ? "if=none,id=disk" : "if=ide,index=0"));
    if (m->virtio)
        option(a, "device", xasprintf("virtio-blk-pci,drive=disk"));
    free(path);
}

static void qemu_snapshot(struct args *a, const struct machine *m)
{
    char *path = doubled_commas(m->snapshot);
    option(a, "drive", xasprintf("file=%s,format=raw,cache=unsafe,if=ide,index=1", path));
    free(path);
}

static void qemu_boot(struct args *a, const struct machine *m)
{
    if (m->iso) {
        option(a, "cdrom", xasprintf("%s", m->iso));
        option(a, "boot", xasprintf("d"));
        return;
    }
    option(a, "kernel", xasprintf("%s", m->boot.kernel));
    option(a, "append", xasprintf("%s", m->boot.append));
    if (m->boot.initrd)
        option(a, "initrd", xasprintf("%s", m->boot.initrd));
}

static char **qemu_argv(const struct machine *m)
{
    struct args a = {0};
    add(&a, xasprintf("qemu-system-i386"));
    option(&a, "M", xasprintf("pc"));
    option(&a, "cpu", xasprintf("%s", machine_cpu(m)));
    option(&a, "m", xasprintf("%u", memory(m)));
    option(&a, "display", xasprintf("none"));
    option(&a, "no-reboot", NULL);
    option(&a, "icount", xasprintf("shift=0,sleep=%s", m->console == CONSOLE_HUMAN ? "on" : "off"));
    option(&a, "rtc", xasprintf("base=2026-01-01T00:00:00,clock=vm"));
    option(&a, "device", xasprintf("isa-debug-exit,iobase=0xf4,iosize=1"));
    qemu_console(&a, m);
    if (m->command_fd) {
        option(&a, "chardev", xasprintf("socket,id=com2,fd=%d", m->command_fd));
        option(&a, "serial", xasprintf("chardev:com2"));
    } else {
        option(&a, "serial", xasprintf("file:%s/com2.txt", m->dir));
    }
    if (m->trace)
        option(&a, "debugcon", xasprintf("file:%s/" MACHINE_TRACE, m->dir));
    if (m->disk)
        qemu_disk(&a, m);
    if (m->snapshot)
        qemu_snapshot(&a, m);
    qemu_boot(&a, m);
    option(&a, "net", xasprintf("none"));
    option(&a, "monitor", xasprintf("none"));
    if (m->gdb_socket) {
        option(&a, "chardev", xasprintf("socket,id=gdb,path=%s,server=on,wait=off", m->gdb_socket));
        option(&a, "gdb", xasprintf("chardev:gdb"));
        option(&a, "S", NULL);
    }
    return a.argv;
}

/*
 * Debian's Bochs has no display that shows nothing. "term" draws with curses on the terminal it
 * is started on, which emu.c makes for it; where that terminal belongs to Bochs' debugger or its
 * output to a trace, "rfb" (a VNC server that nobody needs to connect to) takes its place.
 */
static char **bochs_argv(const struct machine *m)
{
    struct args a = {0};
    struct text rc = {0};
    char *rc_path = xasprintf("%s/bochsrc", m->dir), *cmd_path = xasprintf("%s/commands", m->dir);
    const bool no_screen = m->commands || m->trace;
    text_printf(&rc, "config_interface: textconfig\n");
    text_printf(&rc, "display_library: %s\n", no_screen ? "rfb, options=\"timeout=0\"" : "term");
    text_printf(&rc, "romimage: file=/usr/share/bochs/BIOS-bochs-latest\n");
    text_printf(&rc, "vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest\n");
    text_printf(&rc, "cpu: model=%s, count=1, ips=%d, reset_on_triple_fault=0\n", machine_cpu(m),
                BOCHS_IPS);
    text_printf(&rc, "memory: guest=%u, host=%u\n", memory(m), memory(m));
    text_printf(&rc, "clock: sync=%s, time0=%d\n",
                m->console == CONSOLE_HUMAN ? "slowdown" : "none", START_TIME);
    if (m->disk)
        text_printf(&rc, "ata0-master: type=disk, mode=flat, path=\"%s\"\n", m->disk);
    if (m->snapshot)
        text_printf(&rc, "ata0-slave: type=disk, mode=flat, path=\"%s\"\n", m->snapshot);
    text_printf(&rc,
                "ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15\n"
                "ata1-master: type=cdrom, path=\"%s\", status=inserted\n",
                m->iso);
    text_printf(&rc, "boot: cdrom\n");
    if (m->console == CONSOLE_FILE)
        text_printf(&rc, "com1: enabled=1, mode=file, dev=\"%s/com1.txt\"\n", m->dir);
    else
        text_printf(&rc, "com1: enabled=1, mode=term, dev=%s\n", m->console_tty);
    if (m->command_tty)
        text_printf(&rc, "com2: enabled=1, mode=term, dev=%s\n", m->command_tty);
    else
        text_printf(&rc, "com2: enabled=1, mode=file, dev=\"%s/com2.txt\"\n", m->dir);
    text_printf(&rc, "port_e9_hack: enabled=1\n");
    text_printf(&rc, "sound: driver=dummy\n"
                     "vga: extension=vbe, update_freq=5, realtime=0\n");
    text_printf(&rc, "log: %s/bochs.log\n", m->dir);
    text_printf(&rc, "panic: action=fatal\nerror: action=report\ninfo: action=report\n");
    write_file(rc_path, rc.text, rc.len);
    text_free(&rc);

    /* Debian's Bochs always starts in its debugger; "q" is reached when the machine stops. */
    const char *commands = m->commands ? m->commands : "c\nq\n";
    write_file(cmd_path, commands, strlen(commands));
    add(&a, xasprintf("bochs"));
    option(&a, "q", NULL);
    option(&a, "f", rc_path);
    option(&a, "rc", cmd_path);
    return a.argv;
}

char **machine_argv(const struct machine *m)
{
    return m->emu == EMU_QEMU ? qemu_argv(m) : bochs_argv(m);
}
