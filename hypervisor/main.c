/* The VMM from GRUB's jump to the guest's end. */
#include <string.h>

#include "cpu.h"
#include "emulate.h"
#include "gmem.h"
#include "host.h"
#include "monitor/monitor.h"
#include "multiboot.h"
#include "snapshot.h"
#include "symbols.h"
#include "trace.h"
#include "vm_loop.h"
#include "x86.h"

#define MB 0x100000u
#define DEFAULT_GUEST_MB 32u
#define MIN_GUEST_MB 4u
#define STATUS_ERROR 2 /* wrong input: the machine's or the user's, before a guest ran */
#define MULTIBOOT_MAGIC 0x2BADB002u
#define MAX_MODULES 8

/* The boot loader's information (Multiboot 1 specification section 3.3). */
struct boot_info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
    uint32_t shdr_num, shdr_size, shdr_addr, shdr_index;
    uint32_t mmap_length, mmap_addr;
};
struct boot_module {
    uint32_t start, end, string, reserved;
};
struct __attribute__((packed)) boot_mmap {
    uint32_t size;
    uint64_t base, length;
    uint32_t type;
};
#define INFO_CMDLINE 0x04u
#define INFO_MODS 0x08u
#define INFO_ELF 0x20u
#define INFO_MMAP 0x40u

extern char _load_start[], _bss_end[], boot_pdpt[], boot_pd_high[];

static char cmdline[1024];
static struct boot_module modules[MAX_MODULES];
static unsigned module_count;

/* The line also on the screen, white on red: not every machine has somebody at its serial port. */
static void show_on_screen(const char *text)
{
    volatile uint16_t *cell = hpa_to_ptr(VGA_TEXT_GPA);
    for (int i = 0; text[i] && i < 80 * 4; i++)
        cell[i] = (uint16_t)(0x4F00u | (uint8_t)text[i]);
}

/* One clear line, a record, and off with an error status. */
static void refuse(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
static void refuse(const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    kvsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    kprintf("trivisor: error: %s\n", text);
    show_on_screen(text);
    for (char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\' || (uint8_t)*c < ' ')
            *c = '\'';
    }
    record("{\"type\":\"error\",\"text\":\"%s\"}", text);
    record("{\"type\":\"end\",\"status\":%d,\"reason\":\"error\"}", STATUS_ERROR);
    host_power_off(STATUS_ERROR);
}

hpa_t host_cr3(void)
{
    return ptr_to_hpa(boot_pdpt);
}

uint64_t host_pde(gva_t gva)
{
    return ((const uint64_t *)boot_pd_high)[gva >> 21 & 511];
}

/* Copy a string that the boot loader left at hpa. */
static void copy_string(char *to, unsigned size, hpa_t hpa)
{
    unsigned i = 0;
    const char *from = hpa_to_ptr(hpa);
    for (; hpa && hpa < DIRECT_MAP_SIZE && from[i] && i + 1 < size; i++)
        to[i] = from[i];
    to[i] = 0;
}

/* The end of the usable memory that starts at or below the VMM (the block at 1 MB). */
static hpa_t memory_end(const struct boot_info *info)
{
    uint64_t end = 0;
    if (info->flags & INFO_MMAP) {
        for (uint32_t at = info->mmap_addr; at < info->mmap_addr + info->mmap_length;) {
            const struct boot_mmap *m = hpa_to_ptr(at);
            if (m->type == 1 && m->base <= VMM_LOAD_HPA && m->base + m->length > end)
                end = m->base + m->length;
            at += m->size + 4;
        }
    } else {
        end = MB + (uint64_t)info->mem_upper * 1024;
    }
    return end > DIRECT_MAP_SIZE ? DIRECT_MAP_SIZE : (hpa_t)end;
}

/* Read all that the boot loader left, and give the memory behind it to the page pool. */
static void take_over(const struct boot_info *info)
{
    hpa_t used = ptr_to_hpa(_bss_end);
    if (info->flags & INFO_CMDLINE)
        copy_string(cmdline, sizeof(cmdline), info->cmdline);
    if (info->flags & INFO_MODS) {
        module_count = info->mods_count < MAX_MODULES ? info->mods_count : MAX_MODULES;
        if (module_count)
            memcpy(modules, hpa_to_ptr(info->mods_addr), module_count * sizeof(modules[0]));
    }
    for (unsigned i = 0; i < module_count; i++) {
        if (modules[i].end > DIRECT_MAP_SIZE)
            refuse("module %u was loaded above 224 MB, out of the VMM's reach", i);
        if (modules[i].end > used)
            used = modules[i].end;
        if (modules[i].string + 256 > used && modules[i].string < DIRECT_MAP_SIZE - 256)
            used = modules[i].string + 256;
    }
    if (info->flags & INFO_ELF)
        vmm_symbols_init(info->shdr_num, info->shdr_size, info->shdr_addr, &used);
    pages_init(used, memory_end(info));
}

static uint64_t dev_now(void *opaque)
{
    (void)opaque;
    return host_now_ns();
}

static void dev_serial_out(void *opaque, uint8_t byte)
{
    (void)opaque;
    host_serial_put(0, byte);
}

/* The guest writes to the host's own text buffer; let the host's cursor follow (CRTC 0Eh, 0Fh). */
static void dev_cursor(void *opaque, uint16_t cell)
{
    (void)opaque;
    outb(0x3D4, 0x0E);
    outb(0x3D5, (uint8_t)(cell >> 8));
    outb(0x3D4, 0x0F);
    outb(0x3D5, (uint8_t)cell);
}

static void dev_power_off(void *opaque, int status)
{
    struct vm *vm = opaque;
    vm->stopped = true;
    vm->exit_status = status;
    vm->stop_reason = "the guest powered off";
}

static void dev_reset(void *opaque)
{
    vm_kill(opaque, "the guest asked for a reset");
}

/* Seconds since 1970 from the host's own CMOS clock at boot; in 2000..2099, BCD or binary. */
static uint8_t cmos_read(uint8_t index)
{
    outb(0x70, index);
    return inb(0x71);
}

static uint64_t boot_date; /* seconds since 1970, when the VMM started */

static uint64_t read_clock(void)
{
    static const uint16_t before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    uint8_t r[6];
    const uint8_t index[6] = {0, 2, 4, 7, 8, 9}, status_b = cmos_read(0x0B);
    for (int patience = 100000; patience && (cmos_read(0x0A) & 0x80); patience--)
        ;
    for (int i = 0; i < 6; i++) {
        uint8_t v = cmos_read(index[i]);
        r[i] = status_b & 4 ? v : (uint8_t)((v >> 4) * 10 + (v & 15));
    }
    uint32_t year = 2000u + r[5], month = (r[4] + 11u) % 12u;
    uint32_t days = (year - 1970) * 365 + (year - 1969) / 4 + before[month] + r[3] - 1u;
    if (month > 1 && year % 4 == 0)
        days++;
    return ((uint64_t)days * 24 + r[2]) * 3600 + r[1] * 60u + r[0];
}

static uint64_t dev_rtc_seconds(void *opaque)
{
    (void)opaque;
    return boot_date;
}

static void dev_unknown_port(void *opaque, uint16_t port, bool in, unsigned size, uint32_t value)
{
    (void)opaque;
    record("{\"type\":\"unknown-port\",\"port\":%u,\"in\":%d,\"size\":%u,\"value\":%u}", port, in,
           size, value);
}

/* Benchmark marks: the exits between a begin and an end go to COM2. */
#define MARK_BEGIN 0x10000u
#define MARK_END 0x20000u

static void dev_mark(void *opaque, uint32_t value)
{
    static uint64_t base[EXIT_REASON_COUNT], start;
    static char exits[1024];
    struct vm *vm = opaque;
    vm->vcpu.mode->sync(&vm->vcpu);
    if ((value & 0xFFFF0000u) == MARK_BEGIN) {
        memcpy(base, vm->vcpu.exit_count, sizeof(base));
        start = rdtsc();
    } else if ((value & 0xFFFF0000u) == MARK_END) {
        uint64_t ticks = rdtsc() - start;
        exits_json(&vm->vcpu, base, exits, sizeof(exits));
        record("{\"type\":\"mark\",\"id\":%u,\"ticks\":%llu,\"exits\":%s}", value & 0xFFFFu, ticks,
               exits);
    }
}

static void dev_mode_ask(void *opaque, uint32_t value)
{
    vm_switch_ask_number(opaque, value);
}

static uint32_t dev_mode_answer(void *opaque)
{
    return vm_switch_answer(opaque);
}

/* The path of the kernel, which some loaders put before the words. */
static bool is_path(const char *word, unsigned n)
{
    for (unsigned i = 0; i < n && word[i] != '='; i++) {
        if (word[i] == '/')
            return true;
    }
    return false;
}

/* A word that nobody reads is a mistake: better said than ignored. */
static void check_options(void)
{
    static const char *const known[] = {
        "mode=",    "mem=",    "disk=",   "virtio=",   "umip=",   "paging=",
        "nested=",  "scan=",   "report=", "pv=",       "check=",  "break=",
        "monitor=", "switch=", "trace=",  "snapshot=", "restore="};
    for (const char *word = cmdline; *word;) {
        unsigned n = 0;
        while (word[n] && word[n] != ' ')
            n++;
        bool good = word == cmdline && is_path(word, n);
        for (unsigned i = 0; i < ARRAY_LEN(known); i++)
            good |= !strncmp(word, known[i], strlen(known[i]));
        if (n && !good) {
            char text[64];
            ksnprintf(text, sizeof(text), "%s", word);
            if (n < sizeof(text))
                text[n] = 0;
            refuse("unknown option '%s'; known are mode=, mem=MB, disk=ram|host|none, umip=on|off, "
                   "virtio=on|off, paging=nested|shadow, nested=2m|4k, scan=on|off, "
                   "pv=-sti,-mmu,..., report=on|off, check=on|off, break=RULE, "
                   "trace=on|off|drop, monitor=COMMANDS, switch=MODE@MS,..., "
                   "snapshot=MS[,off], restore=on|off",
                   text);
        }
        word += n + (word[n] == ' ');
    }
}

static struct vm vm0;
static struct guest_disk disk0;

static void dev_disk_written(void *opaque, uint32_t sector, uint32_t count)
{
    (void)opaque;
    guest_disk_written(sector, count);
}

static void dev_disk_flush(void *opaque)
{
    if (!guest_disk_save(&disk0))
        vm_kill(opaque, "the host's disk cannot be written");
}

static void *dev_ram(void *opaque, gpa_t gpa, uint32_t n)
{
    return guest_ram(opaque, gpa, n);
}

/* A device has written: a mode may watch what is on these pages (vm.h). */
static void dev_ram_written(void *opaque, gpa_t gpa, uint32_t n)
{
    struct vm *vm = opaque;
    const gpa_t last = (gpa + n - 1) & PAGE_MASK;
    for (gpa_t page = gpa & PAGE_MASK; vm->page_watch && page <= last; page += PAGE_SIZE) {
        if (vm->page_watch[page >> PAGE_SHIFT])
            vm->page_written(vm, page);
    }
}

static void dev_input_room(void *opaque)
{
    (void)opaque;
    host_work = true;
}

/* Find the mode the command line names; refuse in words when there is none. */
static const struct vmm_mode *choose_mode(void)
{
    char name[32] = "", known[128] = "";
    const char *why = "";
    unsigned n = 0;
    option_value(cmdline, "mode", name, sizeof(name));
    for (unsigned i = 0; i < vmm_mode_count; i++) {
        const struct vmm_mode *m = vmm_modes[i];
        if (!m)
            continue;
        n += (unsigned)ksnprintf(known + n, sizeof(known) - n, "%s%s", n ? ", " : "", m->name);
        if (strcmp(m->name, name))
            continue;
        if (!m->supported(&why))
            refuse("mode %s cannot run on this CPU: %s", name, why);
        return m;
    }
    if (!name[0])
        refuse("no mode given; add mode=NAME to the VMM's command line (%s)", known);
    refuse("unknown mode '%s'; known modes: %s", name, known);
}

static uint32_t guest_mb(void)
{
    char text[16];
    uint32_t mb = 0;
    if (!option_value(cmdline, "mem", text, sizeof(text)))
        return DEFAULT_GUEST_MB;
    for (const char *c = text; *c >= '0' && *c <= '9' && mb < 4096; c++)
        mb = mb * 10 + (uint32_t)(*c - '0');
    if (mb < MIN_GUEST_MB || mb % 4)
        refuse("mem=%s: give the guest's memory in MB, a multiple of 4, at least %u", text,
               MIN_GUEST_MB);
    if (mb > DIRECT_MAP_SIZE / MB)
        refuse("mem=%s: the VMM reaches %u MB of memory in all", text, DIRECT_MAP_SIZE / MB);
    return mb;
}

static void vm_create(struct vm *vm, const char *name, uint32_t mb, bool virtio)
{
    const struct device_host host = {
        .opaque = vm,
        .now_ns = dev_now,
        .serial_out = dev_serial_out,
        .cursor = dev_cursor,
        .power_off = dev_power_off,
        .reset = dev_reset,
        .rtc_seconds = dev_rtc_seconds,
        .unknown_port = dev_unknown_port,
        .mark = dev_mark,
        .mode_ask = dev_mode_ask,
        .mode_answer = dev_mode_answer,
        .disk_written = dev_disk_written,
        .disk_flush = dev_disk_flush,
        .ram = dev_ram,
        .ram_written = dev_ram_written,
        .input_room = dev_input_room,
    };
    const struct snap_header *restored = snapshot_restoring();
    const char *why = restored ? guest_disk_make(cmdline, restored->disk_sectors, &disk0)
                               : guest_disk_open(cmdline, &disk0);
    if (why)
        refuse("%s", why);
    vm->name = name;
    vm->ram_size = mb * MB;
    vm->ram_hpa = guest_ram_alloc(vm->ram_size);
    if (!vm->ram_hpa)
        refuse("too little memory: the guest wants %u MB, and only %u MB are free; start the "
               "machine with more memory or use mem=",
               mb, pages_available() / 256);
    vm->ram = hpa_to_ptr(vm->ram_hpa);
    vm->vga_hpa = VGA_TEXT_GPA;
    vm->options = vm->base_options = cmdline;
    devices_init(&vm->dev, &host, vm->ram_size, disk0.bytes, disk0.sectors);
    if (virtio)
        devices_add_virtio(&vm->dev);
    vm->vcpu.vm = vm;
}

/* The first word of the module's string, without folders. */
static const char *name_of(const char *string)
{
    static char name[64];
    unsigned n = 0;
    for (; *string && *string != ' ' && n + 1 < sizeof(name); string++) {
        if (*string == '/')
            n = 0;
        else
            name[n++] = *string;
    }
    name[n] = 0;
    return name;
}

/* Load the guest kernel (module 0) and its modules (the rest). A guest that is restored has them in
 * its memory. */
static void load_guest(struct vm *vm)
{
    static struct multiboot_guest_module guest_modules[MAX_MODULES];
    static char strings[MAX_MODULES][512];
    struct multiboot_loaded loaded;
    for (unsigned i = 0; i < module_count; i++) {
        copy_string(strings[i], sizeof(strings[i]), modules[i].string);
        guest_modules[i].data = hpa_to_ptr(modules[i].start);
        guest_modules[i].size = modules[i].end - modules[i].start;
        guest_modules[i].cmdline = strings[i];
    }
    vm->image = guest_modules[0].data;
    vm->image_size = guest_modules[0].size;
    vm->image_name = name_of(strings[0]);
    if (snapshot_restoring())
        return;
    const char *why = multiboot_load(vm, vm->image, vm->image_size, strings[0], guest_modules + 1,
                                     module_count - 1, &loaded);
    if (why)
        refuse("the guest kernel cannot be loaded: %s", why);
    vcpu_multiboot_state(&vm->vcpu, loaded.entry, loaded.info);
}

static void finish(struct vm *vm) __attribute__((noreturn));
static void finish(struct vm *vm)
{
    bool report = false;
    trace_stop(vm);
    vm_record_stats(vm);
    monitor_finish();
    option_switch(vm->options, "report", &report);
    if (report && vm->vcpu.mode->report)
        vm->vcpu.mode->report(&vm->vcpu);
    if (switch_plan_missed())
        kprintf("\ntrivisor: %s\n", switch_plan_missed());
    const char *missed = snapshot_missed();
    if (missed && !vm->exit_status) {
        kprintf("\ntrivisor: error: %s\n", missed);
        vm->exit_status = STATUS_ERROR;
    }
    if (!guest_disk_save(&disk0))
        kprintf(
            "\ntrivisor: the host's disk cannot be written; the guest's last writes are lost\n");
    if (vm->exit_status == VM_STATUS_KILLED) {
        uint32_t offset = 0;
        const char *symbol = elf_symbol(vm->image, vm->image_size, vm->vcpu.eip, &offset);
        kprintf("\ntrivisor: guest %s was killed: %s", vm->name, vm->stop_reason);
        if (symbol)
            kprintf(" (%s+0x%x)", symbol, offset);
        kprintf("\n");
        print_last_exits();
    }
    record("{\"type\":\"end\",\"status\":%d,\"reason\":\"%s\"}", vm->exit_status, vm->stop_reason);
    host_power_off(vm->exit_status);
}

void vmm_main(uint32_t magic, hpa_t info_hpa);
void vmm_main(uint32_t magic, hpa_t info_hpa)
{
    struct vm *vm = &vm0;
    host_traps_init();
    host_serial_init();
    if (magic != MULTIBOOT_MAGIC)
        refuse("not started by a Multiboot boot loader (magic %08x)", magic);
    take_over(hpa_to_ptr(info_hpa));
    if (!module_count)
        refuse("no guest kernel: load one as a multiboot module after the VMM");
    check_options();
    const struct vmm_mode *mode = choose_mode();
    bool virtio = mode->virtio && mode->virtio(cmdline);
    const char *why = option_switch(cmdline, "virtio", &virtio);
    if (why)
        refuse("%s", why);
    bool traced;
    why = trace_options(cmdline, &traced);
    if (why)
        refuse("%s", why);
    why = switch_plan_read(cmdline);
    if (why)
        refuse("%s", why);
    why = snapshot_options(cmdline);
    if (why)
        refuse("%s", why);
    boot_date = read_clock();
    const struct snap_header *restored = snapshot_restoring();
    virtio = restored ? restored->virtio : virtio;
    vm_create(vm, "vm0", restored ? restored->ram_size / MB : guest_mb(), virtio);
    load_guest(vm);
    why = host_timer_init();
    if (why)
        refuse("%s", why);
    guest_cpuid_init();
    host_input_init();

    vm->vcpu.mode = mode;
    vm->vcpu.dirty = DIRTY_ALL;
    why = restored ? snapshot_restore(vm) : NULL;
    if (why)
        refuse("%s", why);
    why = mode->attach(&vm->vcpu);
    if (why)
        refuse("mode %s cannot start: %s", mode->name, why);
    record("{\"type\":\"start\",\"mode\":\"%s\",\"guest_mb\":%u,\"disk_kb\":%u,\"virtio\":%d,"
           "\"tsc_hz\":%llu}",
           mode->name, vm->ram_size / MB, disk0.sectors / 2, virtio, host_tsc_hz);
    kprintf("trivisor: running %s in mode %s (%s), %u MB\n", vm->name, mode->name, mode->what,
            vm->ram_size / MB);
    why = traced ? trace_start(vm) : NULL;
    if (why)
        refuse("%s", why);
    why = monitor_start(vm);
    if (why)
        refuse("%s", why);
    vm_run(vm);
    finish(vm);
}
