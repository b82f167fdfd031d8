/* Snapshots: what is saved comes back, and what is damaged or forged does no harm. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "devices_helpers.h"
#include "emulate.h"
#include "snapshot.h"
#include "vm.h"
#include "x86.h"

enum { RAM = 4 << 20, DISK_SECTORS = 20, DISK_ROOM = 3 * SNAP_BLOCK, DRIVE = 600 };

/* Where the header has things (snapshot_file.c). */
enum { PART_AT = 101, PART_BYTES = 12, PART_CRC = 8, HEADER_CRC = 508 };

struct side {
    struct vcpu vcpu;
    struct devices dev;
    uint8_t fpu[SNAP_FPU_BYTES], screen[VGA_TEXT_SIZE];
    uint8_t *ram, *disk;
};
static struct side saved, loaded;
static uint8_t bytes[DRIVE * SNAP_SECTOR], original[sizeof(bytes)];
static struct snap_drive drive;
static struct snap_header header;
static bool broken; /* the drive fails */

static uint32_t seed;
static uint32_t draw(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed;
}

static bool transfer(void *opaque, uint32_t sector, uint32_t count, void *to, bool write)
{
    (void)opaque;
    cr_assert(sector + count <= drive.sectors, "beyond the drive");
    if (broken)
        return false;
    if (write)
        memcpy(bytes + sector * SNAP_SECTOR, to, count * SNAP_SECTOR);
    else
        memcpy(to, bytes + sector * SNAP_SECTOR, count * SNAP_SECTOR);
    return true;
}

static void *ram_at(void *opaque, gpa_t gpa, uint32_t n)
{
    const struct side *s = opaque;
    return gpa <= RAM && n <= RAM - gpa ? s->ram + gpa : NULL;
}

static uint32_t no_mode(void *opaque)
{
    (void)opaque;
    return 0;
}

static void no_ask(void *opaque, uint32_t value)
{
    (void)opaque, (void)value;
}

static void make(struct side *s)
{
    const struct device_host host = {
        .opaque = s,
        .now_ns = host_now,
        .serial_out = host_serial,
        .cursor = host_cursor,
        .power_off = host_power_off,
        .reset = host_reset,
        .rtc_seconds = host_rtc,
        .unknown_port = host_unknown,
        .mark = host_mark,
        .mode_ask = no_ask,
        .mode_answer = no_mode,
        .ram = ram_at,
    };
    uint8_t *ram = s->ram ? s->ram : malloc(RAM), *disk = s->disk ? s->disk : malloc(DISK_ROOM);
    memset(s, 0, sizeof(*s));
    s->ram = memset(ram, 0, RAM);
    s->disk = memset(disk, 0, DISK_ROOM);
    vcpu_reset(&s->vcpu);
    devices_init(&s->dev, &host, RAM, s->disk, DISK_SECTORS);
    devices_add_virtio(&s->dev);
}

static struct snap_contents contents(struct side *s)
{
    return (struct snap_contents){&s->vcpu, &s->dev, s->fpu, s->screen, s->ram, s->disk};
}

static const char *kernel_name = "kernel.elf", *mode_name = "svm";

static const char *save(void)
{
    const struct snap_contents c = contents(&saved);
    header = (struct snap_header){.image_size = 12345,
                                  .image_crc = 0xABCDEF01,
                                  .ram_size = RAM,
                                  .disk_sectors = DISK_SECTORS,
                                  .virtio = true,
                                  .cpuid_ecx = 1,
                                  .cpuid_edx = 0x0780A13D,
                                  .now_ns = 0x123456789ABull,
                                  .guest_tsc = 0xFEDCBA9876543ull,
                                  .tsc_hz = 1000000000};
    snprintf(header.kernel, sizeof(header.kernel), "%s", kernel_name);
    snprintf(header.mode, sizeof(header.mode), "%s", mode_name);
    return snap_save(&drive, &header, &c);
}

static const char *load(void)
{
    struct snap_header h = {0};
    make(&loaded);
    const struct snap_contents c = contents(&loaded);
    const char *why = snap_open(&drive, &h);
    return why ? why : snap_load(&drive, &h, &c);
}

static void must(const char *why)
{
    cr_assert_null(why, "%s", why);
}

/* Every byte 0 or 1: right for each bool, and no two fields are alike for long. */
static void scatter(void *at, size_t n)
{
    for (uint8_t *b = at; n--; b++)
        *b = draw() >> 8 & 1;
}

static void scatter_vcpu(struct vcpu *v)
{
    scatter(v->gpr, sizeof(v->gpr));
    for (int i = 0; i < SREG_COUNT; i++)
        v->seg[i] = (struct segment){(uint16_t)draw(), draw() & 0x1F0FF, draw(), draw()};
    v->gdtr = (struct table_reg){draw(), (uint16_t)draw()};
    v->idtr = (struct table_reg){draw(), (uint16_t)draw()};
    scatter(v->dr, sizeof(v->dr));
    v->eip = draw();
    v->eflags = FL_R1 | (draw() & 0xFD5);
    v->cr0 = CR0_PE | CR0_ET | (draw() & (CR0_PG | CR0_WP | CR0_TS));
    v->cr2 = draw();
    v->cr3 = draw();
    v->cr4 = draw() & (CR4_PSE | CR4_PGE | CR4_TSD | CR4_OSFXSR);
    v->sysenter_cs = draw();
    v->sysenter_esp = draw();
    v->sysenter_eip = draw();
    v->apic_base = (uint64_t)draw() << 32 | draw();
    v->pat = 0x0006050401000706ull;
    v->int_shadow = draw() % 4;
    v->halted = draw() & 1;
    v->iterated = draw() & 1;
    v->step_due = draw() & 1;
}

static void scatter_virtio(struct virtio *v)
{
    v->features = (uint64_t)draw() << 32 | draw();
    v->device_select = draw();
    v->driver_select = draw();
    v->queue_select = (uint16_t)draw();
    v->status = (uint8_t)draw();
    v->isr = draw() & 3;
    for (unsigned i = 0; i < VIRTIO_QUEUES; i++) {
        struct virtqueue *q = &v->queue[i];
        *q = (struct virtqueue){.size = (uint16_t)(1u << draw() % 8), .enabled = i};
        for (int a = 0; a < 3; a++)
            q->address[a] = draw() % RAM / 2 & ~15u;
        q->seen = (uint16_t)draw();
        q->done = (uint16_t)draw();
        q->signalled = (uint16_t)draw();
    }
}

static void scatter_devices(struct devices *d)
{
    scatter(&d->oneshot, sizeof(d->oneshot));
    scatter(&d->pic, sizeof(d->pic));
    scatter(&d->pit, sizeof(d->pit));
    for (int i = 0; i < 3; i++) {
        d->pit.ch[i].access = (uint8_t)(1 + draw() % 3);
        d->pit.ch[i].mode = draw() % 6;
        d->pit.ch[i].reload = 1 + draw() % 65536;
        d->pit.ch[i].next_reload = draw() % 65537;
    }
    scatter(&d->uart, sizeof(d->uart));
    scatter(&d->kbd, sizeof(d->kbd));
    scatter(&d->cmos, sizeof(d->cmos));
    d->cmos.boot_seconds %= 1ull << 33;
    scatter(&d->vga, sizeof(d->vga));
    const struct ide ide = d->ide;
    scatter(&d->ide, sizeof(d->ide));
    d->ide.media = ide.media;
    d->ide.sectors = ide.sectors;
    d->ide.heads = 1 + draw() % 16;
    d->ide.track = 1 + draw() % 255;
    d->ide.left = draw() % 257;
    d->ide.per_block = 1 + draw() % 16;
    d->ide.end = draw() % 17 * IDE_SECTOR;
    d->ide.at = d->ide.end ? draw() % d->ide.end : 0;
    d->pci.address = draw();
    scatter_virtio(&d->blk.v);
    scatter_virtio(&d->console.v);
    scatter(d->console.fifo, sizeof(d->console.fifo));
    d->console.head = draw() % VIRTIO_CONSOLE_FIFO;
    d->console.count = draw() % (VIRTIO_CONSOLE_FIFO + 1);
    d->powered_off = draw() & 1;
    d->shutdown_step = draw() % 8;
}

static void scatter_memory(uint8_t *at, uint32_t size)
{
    for (int i = 0; i < 30; i++)
        at[draw() % size] = (uint8_t)draw();
    for (int i = 0; i < 10; i++) /* blocks with a head only */
        at[draw() % size & ~(SNAP_BLOCK - 1)] = (uint8_t)draw();
}

static void fresh(uint32_t new_seed)
{
    seed = new_seed * 2654435761u | 1;
    now = 0;
    broken = false;
    memset(bytes, 0, sizeof(bytes));
    drive = (struct snap_drive){transfer, NULL, DRIVE};
    make(&saved);
    scatter_vcpu(&saved.vcpu);
    scatter_devices(&saved.dev);
    scatter(saved.fpu, sizeof(saved.fpu));
    scatter_memory(saved.screen, sizeof(saved.screen));
    scatter_memory(saved.ram, RAM);
    scatter_memory(saved.disk, DISK_SECTORS * SNAP_SECTOR);
}

#define SAME(what)                                                                                 \
    do {                                                                                           \
        __typeof__(saved.what) a = saved.what, b = loaded.what;                                    \
        __builtin_clear_padding(&a);                                                               \
        __builtin_clear_padding(&b);                                                               \
        cr_assert(!memcmp(&a, &b, sizeof(a)), #what " did not come back");                         \
    } while (0)

#define SAME_BYTES(what)                                                                           \
    cr_assert(!memcmp(saved.what, loaded.what, sizeof(saved.what)), #what " did not come back")

static void same_virtio(struct virtio *a, struct virtio *b)
{
    cr_assert(a->features == b->features && a->device_select == b->device_select &&
              a->driver_select == b->driver_select && a->queue_select == b->queue_select &&
              a->status == b->status && a->isr == b->isr);
    for (unsigned i = 0; i < VIRTIO_QUEUES; i++) {
        const struct virtqueue *q = &a->queue[i], *p = &b->queue[i];
        cr_assert(q->size == p->size && q->enabled == p->enabled && q->seen == p->seen &&
                  q->done == p->done && q->signalled == p->signalled &&
                  !memcmp(q->address, p->address, sizeof(q->address)));
        if (q->enabled)
            cr_assert_eq((uint8_t *)p->table, loaded.ram + q->address[0], "not bound again");
    }
}

/* What belongs to the mode, the VM and the counters stays out. */
static void same_vcpu(void)
{
    struct vcpu *a = &saved.vcpu, *b = &loaded.vcpu;
    b->tsc_offset = a->tsc_offset;
    cr_assert_eq(b->dirty, DIRTY_ALL);
    b->dirty = a->dirty;
    b->vm = a->vm;
    SAME(vcpu);
}

static void same_devices(void)
{
    SAME(dev.oneshot);
    SAME(dev.pic);
    for (int i = 0; i < 3; i++)
        SAME(dev.pit.ch[i]);
    SAME(dev.pit.port61);
    SAME(dev.uart);
    SAME(dev.kbd);
    SAME(dev.cmos);
    SAME(dev.vga);
    loaded.dev.ide.media = saved.dev.ide.media;
    SAME(dev.ide);
    SAME(dev.pci);
    same_virtio(&saved.dev.blk.v, &loaded.dev.blk.v);
    same_virtio(&saved.dev.console.v, &loaded.dev.console.v);
    SAME_BYTES(dev.console.fifo);
    SAME(dev.console.head);
    SAME(dev.console.count);
    SAME(dev.powered_off);
    SAME(dev.shutdown_step);
}

Test(snapshot, the_checksum_is_crc_32)
{
    cr_assert_eq(snap_crc(0, "123456789", 9), 0xCBF43926u);
    cr_assert_eq(snap_crc(snap_crc(0, "12345", 5), "6789", 4), 0xCBF43926u);
}

Test(snapshot, everything_comes_back)
{
    for (uint32_t i = 1; i <= 40; i++) {
        fresh(i);
        /* Bits of configuration space that a guest can write. */
        for (int at = 0; at < 256; at++)
            saved.dev.pci.device[1].bytes[at] ^= saved.dev.pci.device[1].writable[at] & draw();
        must(save());
        must(load());
        same_vcpu();
        same_devices();
        SAME_BYTES(fpu);
        SAME_BYTES(screen);
        cr_assert(!memcmp(saved.ram, loaded.ram, RAM), "memory");
        cr_assert(!memcmp(saved.disk, loaded.disk, DISK_SECTORS * SNAP_SECTOR), "disk");
    }
}

Test(snapshot, the_header_comes_back)
{
    struct snap_header h = {.kernel = "something else", .virtio = false};
    fresh(1);
    must(save());
    must(snap_open(&drive, &h));
    __builtin_clear_padding(&h);
    __builtin_clear_padding(&header);
    cr_assert(!memcmp(&h, &header, sizeof(h)));
}

/* Names are shown on terminals and stand in records. */
Test(snapshot, names_are_made_plain)
{
    struct snap_header h;
    fresh(1);
    kernel_name = "a\"b\\c\033[2Jd\n";
    mode_name = "\177\377\t";
    must(save());
    must(snap_open(&drive, &h));
    cr_assert_str_eq(h.kernel, "a?b?c?[2Jd?");
    cr_assert_str_eq(h.mode, "???");
}

Test(snapshot, an_empty_or_foreign_drive_holds_none)
{
    struct snap_header h;
    fresh(1);
    cr_assert_not_null(snap_open(&drive, &h));
    memset(bytes, 0xFF, sizeof(bytes));
    cr_assert_not_null(snap_open(&drive, &h));
    broken = true;
    cr_assert_not_null(snap_open(&drive, &h));
}

Test(snapshot, a_save_that_fails_leaves_no_snapshot)
{
    struct snap_header h;
    fresh(1);
    must(save());
    const uint32_t end = header.part[SNAP_DISK].sector + header.part[SNAP_DISK].sectors;
    for (uint32_t n = 1; n < end; n++) {
        drive.sectors = n;
        cr_assert_not_null(save(), "saved on %u of %u sectors", n, end);
        drive.sectors = DRIVE;
        const char *why = snap_open(&drive, &h);
        cr_assert(why && strstr(why, "no snapshot"), "%u sectors: %s", n, why ? why : "taken");
    }
    drive.sectors = end;
    must(save());
    must(load());
}

Test(snapshot, every_truncation_is_refused)
{
    fresh(2);
    must(save());
    const uint32_t end = header.part[SNAP_DISK].sector + header.part[SNAP_DISK].sectors;
    for (uint32_t n = 1; n < end; n++) {
        drive.sectors = n;
        cr_assert_not_null(load(), "%u of %u sectors are taken for a snapshot", n, end);
    }
    memcpy(original, bytes, sizeof(bytes));
    drive.sectors = DRIVE;
    for (uint32_t n = 1; n < end; n++) { /* what is behind the cut is zeros */
        memcpy(bytes, original, sizeof(bytes));
        memset(bytes + n * SNAP_SECTOR, 0, sizeof(bytes) - n * SNAP_SECTOR);
        if (memcmp(bytes, original, sizeof(bytes)))
            cr_assert_not_null(load(), "cut at sector %u", n);
    }
}

Test(snapshot, every_flipped_bit_of_the_header_is_refused)
{
    fresh(3);
    must(save());
    for (uint32_t bit = 0; bit < SNAP_SECTOR * 8; bit++) {
        struct snap_header h;
        bytes[bit / 8] ^= 1u << bit % 8;
        cr_assert_not_null(snap_open(&drive, &h), "bit %u", bit);
        bytes[bit / 8] ^= 1u << bit % 8;
    }
}

Test(snapshot, flipped_bits_of_sections_are_refused)
{
    fresh(4);
    must(save());
    const uint32_t end = header.part[SNAP_DISK].sector + header.part[SNAP_DISK].sectors;
    for (uint32_t at = SNAP_SECTOR; at < end * SNAP_SECTOR; at += 1 + draw() % 100) {
        const uint8_t bit = (uint8_t)(1u << draw() % 8);
        bytes[at] ^= bit;
        const char *why = load();
        cr_assert(why && strstr(why, "damaged"), "byte %u: %s", at, why ? why : "taken");
        bytes[at] ^= bit;
    }
}

/* The checksums made good. */
static void forge(void)
{
    uint32_t crc;
    for (int i = 0; i < SNAP_PARTS; i++) {
        uint32_t at, n;
        memcpy(&at, bytes + PART_AT + i * PART_BYTES, 4);
        memcpy(&n, bytes + PART_AT + i * PART_BYTES + 4, 4);
        if (at > DRIVE || n > DRIVE - at)
            continue;
        crc = snap_crc(0, bytes + at * SNAP_SECTOR, n * SNAP_SECTOR);
        memcpy(bytes + PART_AT + i * PART_BYTES + PART_CRC, &crc, 4);
    }
    crc = snap_crc(0, bytes, HEADER_CRC);
    memcpy(bytes + HEADER_CRC, &crc, 4);
}

/* Devices that were loaded do no harm, whatever the guest does next (the sanitizer watches). */
static void exercise(struct devices *d)
{
    static const uint16_t ports[] = {0x20,   0x21,   0xA0,   0xA1,  0x40,  0x41,  0x42,
                                     0x43,   0x60,   0x64,   0x70,  0x71,  0x3F8, 0x3F9,
                                     0x3FA,  0x1F1,  0x1F2,  0x1F7, 0x3D4, 0x3D5, 0xC000,
                                     0xC016, 0xC040, 0xC080, 0xC0C0};
    for (int i = 0; i < 60; i++) {
        const uint16_t port = ports[draw() % ARRAY_LEN(ports)];
        uint8_t block[600];
        memset(block, 1, sizeof(block));
        if (draw() & 1)
            devices_out(d, port, 1, draw() & 0xFF);
        else
            devices_in(d, port, 1);
        const uint32_t out = devices_bulk(d, 0x1F0, 2, false), in = devices_bulk(d, 0x1F0, 2, true);
        if (out)
            devices_out_bytes(d, 0x1F0, block, out < sizeof(block) ? out : sizeof(block));
        if (in)
            devices_in_bytes(d, 0x1F0, block, in < sizeof(block) ? in : sizeof(block));
        now += draw() % 100000;
        devices_tick(d);
        devices_deadline(d);
        devices_serial_in(d, 1);
        devices_key_in(d, 1);
        if (devices_irq_pending(d))
            devices_irq_ack(d);
    }
}

Test(snapshot, a_forged_state_is_refused_or_harmless)
{
    unsigned taken = 0, refused = 0;
    for (uint32_t i = 0; i < 800; i++) {
        if (i % 50 == 0) {
            fresh(i + 5);
            must(save());
            memcpy(original, bytes, sizeof(bytes));
        }
        memcpy(bytes, original, sizeof(bytes));
        for (uint32_t n = 1 + draw() % 3; n; n--)
            bytes[SNAP_SECTOR + draw() % (header.part[SNAP_STATE].sectors * SNAP_SECTOR)] =
                (uint8_t)(draw() & 1 ? 0xFF : draw());
        forge();
        if (load()) {
            refused++;
            continue;
        }
        taken++;
        exercise(&loaded.dev);
    }
    cr_assert(taken > 100 && refused > 10, "%u taken, %u refused: one-sided", taken, refused);
}

/* Each of these would be an index or a length of somebody. */
Test(snapshot, impossible_values_are_refused)
{
#define CASE(change)                                                                               \
    do {                                                                                           \
        fresh(6);                                                                                  \
        must(save());                                                                              \
        must(load());                                                                              \
        change;                                                                                    \
        cr_assert(save() || load(), #change);                                                      \
    } while (0)
    struct devices *d = &saved.dev;
    CASE(d->pit.ch[0].reload = 0);
    CASE(d->pit.ch[2].mode = 6);
    CASE(d->uart.rx_head = sizeof(d->uart.rx));
    CASE(d->uart.rx_count = sizeof(d->uart.rx) + 1);
    CASE(d->kbd.head = sizeof(d->kbd.queue));
    CASE(d->kbd.count = sizeof(d->kbd.queue) + 1);
    CASE(d->cmos.index = 128);
    CASE(d->cmos.boot_seconds = 1ull << 33);
    CASE(d->ide.track = 0);
    CASE(d->ide.heads = 0);
    CASE(d->ide.at = d->ide.end + 1);
    CASE(d->ide.end = sizeof(d->ide.block) + IDE_SECTOR);
    CASE((d->ide.writing = true, d->ide.status = IDE_DRQ, d->ide.end = d->ide.at = IDE_SECTOR,
          d->ide.left = 1, d->ide.next = DISK_SECTORS));
    CASE((d->ide.per_block = 0, d->ide.left = 1));
    CASE(d->ide.sectors--);
    CASE(d->console.head = VIRTIO_CONSOLE_FIFO);
    CASE(d->console.count = VIRTIO_CONSOLE_FIFO + 1);
    CASE(d->blk.v.queue[0].size = 3);
    CASE(d->blk.v.queue[0].size = 256);
    CASE(d->blk.v.queue[1].address[0] = RAM);
    CASE(d->pic.chip[1].priority = 8);
    CASE(d->shutdown_step = 8);
    CASE(saved.vcpu.cr0 = CR0_PG);
    CASE(saved.vcpu.cr4 |= CR4_VMXE);
    CASE(saved.vcpu.eflags = 0);
    CASE(saved.vcpu.seg[SREG_CS].attr |= 0x100);
    CASE(saved.vcpu.pat = 2);
    CASE(saved.vcpu.int_shadow = 4);
#undef CASE
}

static void put(uint32_t at, uint32_t value)
{
    memcpy(bytes + at, &value, 4);
}

static const char *forged_header(uint32_t at, uint32_t value)
{
    memcpy(bytes, original, sizeof(bytes));
    put(at, value);
    forge();
    const char *why = load();
    return why ? why : "";
}

Test(snapshot, a_forged_header_is_refused)
{
    enum { FORMAT = 8, RAM_SIZE = 60, DISK = 64 };
    const uint32_t memory = PART_AT + SNAP_MEMORY * PART_BYTES;
    fresh(7);
    must(save());
    memcpy(original, bytes, sizeof(bytes));
    cr_assert(strstr(forged_header(FORMAT, 2), "format 2"));
    cr_assert(strstr(forged_header(RAM_SIZE, RAM + 4096), "no guest has"));
    cr_assert(strstr(forged_header(RAM_SIZE, 0), "no guest has"));
    cr_assert(strstr(forged_header(RAM_SIZE, 0x10000000), "no guest has"));
    cr_assert(strstr(forged_header(DISK, 0x7FFFFFFF), "no guest has"));
    cr_assert(strstr(forged_header(memory, 0), "does not fit"));
    cr_assert(strstr(forged_header(memory + 4, 0xFFFFFFFF), "does not fit"));
    cr_assert(strstr(forged_header(PART_AT + 4, SNAP_STATE_SECTORS + 1), "does not fit"));
}

/* The index of memory claims more, less, or what is behind the end. */
Test(snapshot, a_forged_index_is_refused)
{
    fresh(8);
    must(save());
    memcpy(original, bytes, sizeof(bytes));
    const uint32_t heads = RAM / SNAP_BLOCK * 4 / SNAP_SECTOR;
    const uint32_t bits = (header.part[SNAP_MEMORY].sector + heads) * SNAP_SECTOR;
    cr_assert_str_neq(forged_header(bits, 0xFFFFFFFF), "");
    cr_assert_str_neq(forged_header(bits + RAM / SNAP_BLOCK / 8, 1), "");
}

Test(snapshot, another_kernel_or_a_lesser_cpu_is_named)
{
    fresh(9);
    must(save());
    struct snap_header here = header;
    must(snap_matches(&header, &here));
    here.cpuid_edx |= 1u << 31; /* more does not matter */
    must(snap_matches(&header, &here));
    here.cpuid_edx = header.cpuid_edx & ~(1u << 26);
    cr_assert(strstr(snap_matches(&header, &here), "SSE2"));
    here = header;
    here.cpuid_ecx = 0;
    cr_assert(strstr(snap_matches(&header, &here), "SSE3"));
    here = header;
    here.image_crc++;
    cr_assert(strstr(snap_matches(&header, &here), "another guest kernel"));
    here = header;
    here.image_size++;
    cr_assert(strstr(snap_matches(&header, &here), "another guest kernel"));
}
