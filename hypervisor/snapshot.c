/*
 * Snapshots: when they are taken, the drive they are on, the FPU, and time; see snapshot.h.
 *
 * Guest time goes on where it stopped, that of the devices and the TSC. The TSC may count at
 * another rate from then on, if another emulator restores the guest.
 */
#include "snapshot.h"

#include <string.h>

#include "cpu.h"
#include "host.h"
#include "services.h"
#include "vm.h"
#include "x86.h"

#define NS_PER_MS 1000000ull
#define MS_MAX 100000000u
#define FXSR (1u << 24) /* CPUID.1:EDX */
#define MXCSR_AT 24     /* in what FXSAVE writes (SDM vol. 1 table 10-2) */
#define MXCSR_MASK_AT 28
#define MXCSR_MASK_DEFAULT 0xFFBFu

static struct {
    uint64_t due; /* host_now_ns(): snapshot=MS; UINT64_MAX: never, or done */
    uint32_t ms;
    bool wanted, off; /* the command line wants one; the guest ends with it */
    bool asked, asked_off, restore;
    const char *result; /* of the last one; NULL: written */
} plan = {.due = UINT64_MAX};

static struct snap_header restored;

static bool drive_transfer(void *opaque, uint32_t sector, uint32_t count, void *bytes, bool write)
{
    (void)opaque;
    return host_disk_transfer(HOST_SLAVE, sector, count, bytes, write);
}

/* NULL, or why there is no drive. */
static const char *find_drive(struct snap_drive *drive)
{
    *drive = (struct snap_drive){.transfer = drive_transfer};
    drive->sectors = host_disk_init(HOST_SLAVE);
    return drive->sectors ? NULL
                          : "there is no drive for snapshots: it is the slave of the primary IDE "
                            "channel (make run SNAPSHOT=FILE, tv-run --snapshot=FILE)";
}

static bool number(const char **text, uint32_t *value)
{
    const char *c = *text;
    for (*value = 0; *c >= '0' && *c <= '9' && *value < MS_MAX; c++)
        *value = *value * 10 + (uint32_t)(*c - '0');
    const bool good = c != *text && !(*c >= '0' && *c <= '9');
    *text = c;
    return good;
}

static const char *read_time(const char *options)
{
    char text[32];
    const char *c = text;
    if (!option_value(options, "snapshot", text, sizeof(text)))
        return NULL;
    plan.wanted = true;
    const bool good = number(&c, &plan.ms);
    plan.off = good && !strcmp(c, ",off");
    if (!good || (*c && !plan.off))
        return "snapshot= is MS or MS,off: at that time of the guest, in ms since its start; off: "
               "the guest ends then";
    plan.due = plan.ms * NS_PER_MS;
    return NULL;
}

const char *snapshot_options(const char *options)
{
    struct snap_drive drive;
    const char *why = read_time(options);
    if (!why)
        why = option_switch(options, "restore", &plan.restore);
    if (!why && (plan.wanted || plan.restore))
        why = find_drive(&drive);
    if (!why && plan.restore)
        why = snap_open(&drive, &restored);
    return why;
}

const struct snap_header *snapshot_restoring(void)
{
    return plan.restore ? &restored : NULL;
}

/* --- the FPU: the VMM never uses it, so the guest's state is in it all the time --- */

static uint8_t fpu[SNAP_FPU_BYTES] __attribute__((aligned(16)));

static bool has_fxsave(void)
{
    return guest_cpuid_basic[1][CPUID_EDX] & FXSR;
}

/* Between modes CR0.EM and TS are clear. With CR4.OSFXSR the XMM registers are part of it. */
static void fpu_save(void)
{
    const uint32_t cr4 = read_cr4();
    memset(fpu, 0, sizeof(fpu));
    write_cr4(cr4 | CR4_OSFXSR);
    __asm__ volatile("fxsave %0" : "=m"(fpu));
    write_cr4(cr4);
}

/* A reserved bit of MXCSR would fault (SDM vol. 1 section 11.6.6): the CPU says which it knows. */
static const char *fpu_load(void)
{
    static uint8_t here[SNAP_FPU_BYTES] __attribute__((aligned(16)));
    const uint32_t cr4 = read_cr4();
    uint32_t mxcsr, mask;
    memcpy(here, fpu, sizeof(here));
    fpu_save();
    memcpy(&mask, fpu + MXCSR_MASK_AT, sizeof(mask));
    memcpy(&mxcsr, here + MXCSR_AT, sizeof(mxcsr));
    if (mxcsr & ~(mask ? mask : MXCSR_MASK_DEFAULT))
        return "the snapshot's FPU state is not one of this CPU: MXCSR has unknown bits";
    write_cr4(cr4 | CR4_OSFXSR);
    __asm__ volatile("fxrstor %0" : : "m"(here));
    write_cr4(cr4);
    return NULL;
}

/* --- save and restore --- */

static struct snap_contents contents_of(struct vm *vm)
{
    return (struct snap_contents){.vcpu = &vm->vcpu,
                                  .dev = &vm->dev,
                                  .fpu = fpu,
                                  .screen = hpa_to_ptr(vm->vga_hpa),
                                  .ram = vm->ram,
                                  .disk = vm->dev.ide.media};
}

/* What is true of this guest, here and now. */
static struct snap_header header_of(const struct vm *vm)
{
    struct snap_header h = {
        .image_size = vm->image_size,
        .image_crc = snap_crc(0, vm->image, vm->image_size),
        .ram_size = vm->ram_size,
        .disk_sectors = vm->dev.ide.sectors,
        .virtio = vm->dev.console.v.kind,
        .cpuid_ecx = guest_cpuid_basic[1][CPUID_ECX],
        .cpuid_edx = guest_cpuid_basic[1][CPUID_EDX],
        .tsc_hz = host_tsc_hz,
    };
    ksnprintf(h.kernel, sizeof(h.kernel), "%s", vm->image_name);
    ksnprintf(h.mode, sizeof(h.mode), "%s", vm->vcpu.mode->name);
    return h;
}

static const char *save(struct vm *vm, uint64_t tsc, uint32_t *kb)
{
    struct snap_drive drive;
    struct snap_header h = header_of(vm);
    const struct snap_contents contents = contents_of(vm);
    h.now_ns = host_tsc_to_ns(tsc);
    h.guest_tsc = tsc + vm->vcpu.tsc_offset;
    if (!has_fxsave())
        return "this CPU has no FXSAVE";
    fpu_save();
    const char *why = find_drive(&drive);
    if (!why)
        why = snap_save(&drive, &h, &contents);
    if (!why && !host_disk_flush(HOST_SLAVE))
        why = "the snapshot's drive cannot be written";
    *kb = (h.part[SNAP_DISK].sector + h.part[SNAP_DISK].sectors) / 2;
    return why;
}

/* Between two modes (switch.h); or it could not be, and why says what was in the way. For the guest
 * no time passes. */
static void save_now(struct vm *vm, const char *why)
{
    const uint64_t tsc = host_tsc();
    uint32_t kb = 0;
    uint64_t passed = 0;
    if (!why) {
        why = save(vm, tsc, &kb);
        passed = host_tsc() - tsc;
        host_time_skip(passed);
        vm->vcpu.tsc_offset -= passed;
    }
    record("{\"type\":\"snapshot\",\"mode\":\"%s\",\"ns\":%llu,\"kb\":%u,\"done\":%u,"
           "\"why\":\"%s\"}",
           vm->vcpu.mode->name, host_tsc_to_ns(tsc + passed), kb, !why, why ? why : "");
    if (why)
        kprintf("\ntrivisor: no snapshot: %s\n", why);
    plan.asked = false;
    plan.result = why;
    if (why || !plan.asked_off)
        return;
    vm->stopped = true;
    vm->exit_status = 0;
    vm->stop_reason = "a snapshot was taken";
}

const char *snapshot_ask(struct vm *vm, bool off)
{
    if (!vm->started)
        return "the guest has not started: there is nothing to save";
    const char *why = vm_switch_pause(vm, save_now);
    if (why)
        return why;
    plan.asked = true;
    plan.asked_off = off;
    return NULL;
}

const char *snapshot_result(void)
{
    return plan.result;
}

const char *snapshot_restore(struct vm *vm)
{
    struct snap_drive drive;
    const struct snap_header here = header_of(vm);
    const struct snap_contents contents = contents_of(vm);
    const char *why = snap_matches(&restored, &here);
    if (!why)
        why = find_drive(&drive);
    if (why)
        return why;
    memset(contents.screen, 0, VGA_TEXT_SIZE);
    why = snap_load(&drive, &restored, &contents);
    if (!why)
        why = fpu_load();
    if (why)
        return why;
    if (plan.wanted && plan.due <= restored.now_ns)
        return "snapshot=: the guest was saved at a later time than that";
    const struct vmm_mode *mode = vm->vcpu.mode;
    why = mode->refuses ? mode->refuses(&vm->vcpu) : NULL;
    if (why) {
        static char text[160];
        ksnprintf(text, sizeof(text), "mode %s cannot go on from the snapshot: %s", mode->name,
                  why);
        return text;
    }
    guest_disk_written(0, vm->dev.ide.sectors);
    vm->dev.host.cursor(vm, (uint16_t)(vm->dev.vga.crtc[14] << 8 | vm->dev.vga.crtc[15]));
    host_time_set(restored.now_ns);
    vm->vcpu.tsc_offset = restored.guest_tsc - host_tsc();
    vm->started = true; /* as for a mode that a guest comes to from another one */
    record("{\"type\":\"restore\",\"from\":\"%s\",\"ns\":%llu,\"tsc_hz\":%llu}", restored.mode,
           restored.now_ns, restored.tsc_hz);
    return NULL;
}

uint64_t snapshot_deadline(const struct vm *vm)
{
    return vm->switching.to ? UINT64_MAX : plan.due;
}

void snapshot_turn(struct vm *vm, uint64_t now_ns)
{
    if (now_ns < plan.due || vm->switching.to)
        return;
    plan.due = UINT64_MAX;
    plan.result = snapshot_ask(vm, plan.off);
    if (plan.result)
        kprintf("\ntrivisor: no snapshot: %s\n", plan.result);
}

const char *snapshot_missed(void)
{
    static char text[100];
    if (!plan.wanted)
        return NULL;
    if (plan.due == UINT64_MAX && !plan.asked)
        return plan.result;
    ksnprintf(text, sizeof(text), "the guest ended before the time of snapshot=%u", plan.ms);
    return text;
}
