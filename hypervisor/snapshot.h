/*
 * Private to hypervisor/: snapshots. The canonical state of a stopped guest (vcpu.h), its devices,
 * memory and disk, on a second drive of the host's machine; restored in any mode, on any emulator.
 *
 * Nothing of the host or of a mode is in it, no pointer and no C structure: each number has its
 * size and is little-endian. Pure code, but for snapshot.c:
 *
 *   snapshot_io.c       numbers to bytes and back, checksums
 *   snapshot_vcpu.c     the vCPU
 *   snapshot_devices.c  the devices
 *   snapshot_file.c     where everything is on the drive: below
 *   snapshot.c          when, where to, the FPU, time
 *
 * The drive, in sectors of 512 bytes: the header; then four sections, one behind the other, each
 * of whole sectors and with a checksum in the header. A section of memory leaves out blocks of 4 KB
 * of which only the first word is not zero. The header is written last: a save that was cut short
 * leaves none.
 *
 * Whatever comes from the drive may be damaged, or forged: all of it is checked before it is used.
 */
#ifndef TRIVISOR_SNAPSHOT_H
#define TRIVISOR_SNAPSHOT_H

#include "devices.h"
#include "vcpu.h"

#define SNAP_FORMAT 1u
#define SNAP_SECTOR 512u
#define SNAP_BLOCK 4096u
#define SNAP_FPU_BYTES 512u /* what FXSAVE writes (SDM vol. 1 section 10.5.1) */
#define SNAP_STATE_SECTORS 64u
#define SNAP_NAME_SIZE 32u
#define SNAP_DISK_SECTORS_MAX (64u << 11) /* 64 MB */

/* --- snapshot_io.c: one function for a thing says how it is saved and how it is loaded --- */

struct snap_io {
    uint8_t *at, *end;
    bool saving;
    const char *wrong; /* NULL, or what is wrong with the bytes: the first thing */
};

/* The next `bytes` bytes (1 to 8) are *v, or become it; 0 and wrong when there are none left. */
void snap_number(struct snap_io *io, uint64_t *v, unsigned bytes);
void snap_bytes(struct snap_io *io, void *bytes, uint32_t n);
/* What must be true of what was loaded; and is true of what is saved, or it could not be loaded. */
void snap_check(struct snap_io *io, bool good, const char *what);

/* A variable or field of any integer type, as many bytes as it has. */
#define SNAP(io, field)                                                                            \
    do {                                                                                           \
        uint64_t snap_v = (uint64_t)(field);                                                       \
        snap_number(io, &snap_v, sizeof(field));                                                   \
        (field) = (__typeof__(field))snap_v;                                                       \
    } while (0)

/* CRC-32 (ISO 3309, ITU-T V.42) of what had `crc` so far, 0 at the beginning, and n more bytes. */
uint32_t snap_crc(uint32_t crc, const void *bytes, uint32_t n);

/* --- parts of the state --- */

void snap_vcpu(struct snap_io *io, struct vcpu *vcpu);
/* Devices are loaded into ones that were just made, with the same disk and the same virtio devices
 * (or have none): queues are bound to the guest's memory again. */
void snap_devices(struct snap_io *io, struct devices *dev);

/* --- snapshot_file.c --- */

struct snap_drive {
    bool (*transfer)(void *opaque, uint32_t sector, uint32_t count, void *bytes, bool write);
    void *opaque;
    uint32_t sectors;
};

enum snap_part { SNAP_STATE, SNAP_SCREEN, SNAP_MEMORY, SNAP_DISK, SNAP_PARTS };

struct snap_header {
    char kernel[SNAP_NAME_SIZE], mode[8]; /* of the guest; that saved it */
    uint32_t image_size, image_crc;       /* of the kernel's ELF file */
    uint32_t ram_size, disk_sectors;
    bool virtio;
    uint32_t cpuid_ecx, cpuid_edx; /* what CPUID leaf 1 told the guest */
    uint64_t now_ns, guest_tsc, tsc_hz;
    struct {
        uint32_t sector, sectors, crc;
    } part[SNAP_PARTS];
};

/* What a snapshot is of. screen has VGA_TEXT_SIZE bytes, disk may be NULL and is rounded up to
 * whole blocks with zeros. All of these are zeros before a load. */
struct snap_contents {
    struct vcpu *vcpu;
    struct devices *dev;
    uint8_t *fpu, *screen, *ram, *disk;
};

/* All three return NULL, or one sentence (static storage). snap_save() fills in header->part.
 * snap_open() reads and checks the header; snap_matches(): is it of this kernel, and has this CPU
 * what the guest saw? After a failed snap_load() the contents are of no use. */
const char *snap_save(const struct snap_drive *drive, struct snap_header *header,
                      const struct snap_contents *contents);
const char *snap_open(const struct snap_drive *drive, struct snap_header *header);
const char *snap_matches(const struct snap_header *saved, const struct snap_header *here);
const char *snap_load(const struct snap_drive *drive, const struct snap_header *header,
                      const struct snap_contents *contents);

/* --- snapshot.c --- */

/* snapshot=MS[,off] and restore=on|off of the VMM's command line. NULL, or one sentence. With
 * restore, the drive's header is read: memory, disk and virtio devices must become as it says. */
const char *snapshot_options(const char *options);
const struct snap_header *snapshot_restoring(void); /* NULL: the guest starts as usual */

/* Make the guest what it was: devices, memory and disk are of the right size, the mode is not
 * attached. NULL, or one sentence, and then the guest cannot run. */
const char *snapshot_restore(struct vm *vm);

/* Take one as soon as the mode can be left; with off, the guest ends then. NULL, or one sentence.
 * snapshot_result(): what became of it; NULL: it was written. */
const char *snapshot_ask(struct vm *vm, bool off);
const char *snapshot_result(void);

/* For the vCPU loop: snapshot=MS is due (host_now_ns(); UINT64_MAX: never); ask for it if so. */
uint64_t snapshot_deadline(const struct vm *vm);
void snapshot_turn(struct vm *vm, uint64_t now_ns);

/* The guest has ended: why what the command line asked for was not done, or NULL. */
const char *snapshot_missed(void);

#endif
