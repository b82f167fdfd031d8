/* Where everything is on the drive of a snapshot; see snapshot.h. */
#include <string.h>

#include "layout.h"
#include "snapshot.h"
#include "vm.h"
#include "vmm.h"

#define BLOCK_SECTORS (SNAP_BLOCK / SNAP_SECTOR)
#define RUN_BLOCKS 32u                            /* of one transfer at most: 256 sectors */
#define BLOCKS_MAX (DIRECT_MAP_SIZE / SNAP_BLOCK) /* of the largest memory */
#define RAM_STEP 0x400000u
#define HEADER_CRC_AT (SNAP_SECTOR - 4)

static const uint8_t magic[8] = {'T', 'r', 'i', 'v', 'S', 'n', 'a', 'p'};
static const char *const part_names[SNAP_PARTS] = {"state", "screen", "memory", "disk"};

static char sentence[300];

#define SAY(...) (ksnprintf(sentence, sizeof(sentence), __VA_ARGS__), sentence)

/* A place on the drive that moves on, and the checksum of what was moved. */
struct stream {
    const struct snap_drive *drive;
    uint32_t sector, crc;
    bool write;
    const char *why; /* NULL, or what went wrong */
};

static void move(struct stream *s, void *bytes, uint32_t count)
{
    if (s->why)
        return;
    if (s->sector > s->drive->sectors || count > s->drive->sectors - s->sector)
        s->why = SAY("the snapshot needs more than the %u MB that the drive has",
                     s->drive->sectors >> 11);
    else if (!s->drive->transfer(s->drive->opaque, s->sector, count, bytes, s->write))
        s->why = s->write ? "the snapshot's drive cannot be written"
                          : "the snapshot's drive cannot be read";
    if (s->why)
        return;
    s->crc = snap_crc(s->crc, bytes, count * SNAP_SECTOR);
    s->sector += count;
}

/* --- sections of memory --- */

/* Of each block of a memory: its first word, if that is all it has (most kernels link their free
 * pages so); and a bit: it is stored in full. */
static struct {
    uint32_t head[BLOCKS_MAX];
    uint8_t stored[BLOCKS_MAX / 8];
} summary;

#define HEADS_OF_SECTOR (SNAP_SECTOR / 4)
#define BITS_OF_SECTOR (SNAP_SECTOR * 8)

static uint32_t blocks_of(uint32_t bytes)
{
    return (bytes + SNAP_BLOCK - 1) / SNAP_BLOCK;
}

static uint32_t head_sectors(uint32_t blocks)
{
    return (blocks + HEADS_OF_SECTOR - 1) / HEADS_OF_SECTOR;
}

static uint32_t bit_sectors(uint32_t blocks)
{
    return (blocks + BITS_OF_SECTOR - 1) / BITS_OF_SECTOR;
}

static bool is_stored(uint32_t block)
{
    return summary.stored[block / 8] >> block % 8 & 1;
}

static bool has_more_than_a_head(const uint32_t *word)
{
    uint32_t any = word[1] | word[2] | word[3];
    for (uint32_t i = 4; i < SNAP_BLOCK / 4 && !any; i += 4)
        any = word[i] | word[i + 1] | word[i + 2] | word[i + 3];
    return any;
}

static void make_summary(const uint8_t *memory, uint32_t blocks)
{
    memset(&summary, 0, sizeof(summary));
    for (uint32_t i = 0; i < blocks; i++) {
        const uint32_t *word = (const uint32_t *)(memory + (size_t)i * SNAP_BLOCK);
        if (has_more_than_a_head(word))
            summary.stored[i / 8] |= (uint8_t)(1u << i % 8);
        else
            summary.head[i] = word[0];
    }
}

static void move_summary(struct stream *s, uint32_t blocks)
{
    move(s, summary.head, head_sectors(blocks));
    move(s, summary.stored, bit_sectors(blocks));
}

/* Sectors of the section that the summary describes. Blocks behind the memory's end count, too:
 * what has any is longer than what is loaded of it. */
static uint32_t sectors_by_summary(uint32_t blocks)
{
    uint32_t n = head_sectors(blocks) + bit_sectors(blocks);
    for (uint32_t i = 0; i < bit_sectors(blocks) * BITS_OF_SECTOR; i++)
        n += is_stored(i) ? BLOCK_SECTORS : 0;
    return n;
}

static void move_stored(struct stream *s, uint8_t *memory, uint32_t blocks)
{
    for (uint32_t i = 0, n; i < blocks && !s->why; i += n + !n) {
        for (n = 0; n < RUN_BLOCKS && i + n < blocks && is_stored(i + n); n++)
            ;
        if (n)
            move(s, memory + (size_t)i * SNAP_BLOCK, n * BLOCK_SECTORS);
    }
}

static void save_memory(struct stream *s, uint8_t *memory, uint32_t bytes)
{
    const uint32_t blocks = blocks_of(bytes);
    make_summary(memory, blocks);
    move_summary(s, blocks);
    move_stored(s, memory, blocks);
}

/* False: the summary does not go with the section's length. */
static bool load_memory(struct stream *s, uint8_t *memory, uint32_t bytes, uint32_t sectors)
{
    const uint32_t blocks = blocks_of(bytes);
    if (sectors < head_sectors(blocks) + bit_sectors(blocks))
        return false;
    move_summary(s, blocks);
    if (s->why)
        return true;
    if (sectors_by_summary(blocks) != sectors)
        return false;
    for (uint32_t i = 0; i < blocks; i++) {
        if (!is_stored(i))
            memcpy(memory + (size_t)i * SNAP_BLOCK, &summary.head[i], sizeof(summary.head[i]));
    }
    move_stored(s, memory, blocks);
    return true;
}

/* --- the state: vCPU, FPU, devices --- */

static uint8_t state[SNAP_STATE_SECTORS * SNAP_SECTOR];

static const char *state_io(bool saving, uint32_t sectors, const struct snap_contents *c,
                            uint32_t *used)
{
    struct snap_io io = {.at = state, .end = state + sectors * SNAP_SECTOR, .saving = saving};
    snap_vcpu(&io, c->vcpu);
    snap_bytes(&io, c->fpu, SNAP_FPU_BYTES);
    snap_devices(&io, c->dev);
    *used = (uint32_t)(io.at - state + SNAP_SECTOR - 1) / SNAP_SECTOR;
    return io.wrong;
}

static void save_state(struct stream *s, const struct snap_contents *c)
{
    uint32_t used;
    memset(state, 0, sizeof(state));
    s->why = state_io(true, SNAP_STATE_SECTORS, c, &used);
    move(s, state, used);
}

/* --- the header --- */

/* Names are shown to people and put into records: nothing but letters, digits and the like. */
static void plain_name(char *name, unsigned size)
{
    name[size - 1] = 0;
    for (char *c = name; *c; c++) {
        if (*c < '!' || *c > '~' || *c == '"' || *c == '\\')
            *c = '?';
    }
}

static void header_fields(struct snap_io *io, struct snap_header *h)
{
    snap_bytes(io, h->kernel, sizeof(h->kernel));
    snap_bytes(io, h->mode, sizeof(h->mode));
    SNAP(io, h->image_size);
    SNAP(io, h->image_crc);
    SNAP(io, h->ram_size);
    SNAP(io, h->disk_sectors);
    SNAP(io, h->virtio);
    SNAP(io, h->cpuid_ecx);
    SNAP(io, h->cpuid_edx);
    SNAP(io, h->now_ns);
    SNAP(io, h->guest_tsc);
    SNAP(io, h->tsc_hz);
    for (int i = 0; i < SNAP_PARTS; i++) {
        SNAP(io, h->part[i].sector);
        SNAP(io, h->part[i].sectors);
        SNAP(io, h->part[i].crc);
    }
    plain_name(h->kernel, sizeof(h->kernel));
    plain_name(h->mode, sizeof(h->mode));
}

static struct snap_io header_io(uint8_t *sector, bool saving)
{
    return (struct snap_io){sector + sizeof(magic), sector + HEADER_CRC_AT, saving, NULL};
}

static const char *write_sector(const struct snap_drive *drive, uint8_t *sector)
{
    return drive->transfer(drive->opaque, 0, 1, sector, true)
               ? NULL
               : "the snapshot's drive cannot be written";
}

static const char *save_header(const struct snap_drive *drive, struct snap_header *h)
{
    uint8_t sector[SNAP_SECTOR] = {0};
    struct snap_io io = header_io(sector, true);
    uint32_t format = SNAP_FORMAT;
    memcpy(sector, magic, sizeof(magic));
    SNAP(&io, format);
    header_fields(&io, h);
    io = (struct snap_io){sector + HEADER_CRC_AT, sector + SNAP_SECTOR, true, NULL};
    uint32_t crc = snap_crc(0, sector, HEADER_CRC_AT);
    SNAP(&io, crc);
    return write_sector(drive, sector);
}

/* A section that is somewhere else than the one before it ends is not ours. */
static bool parts_fit(const struct snap_drive *drive, const struct snap_header *h)
{
    uint32_t at = 1;
    for (int i = 0; i < SNAP_PARTS; i++) {
        if (h->part[i].sector != at || h->part[i].sectors > drive->sectors - at)
            return false;
        at += h->part[i].sectors;
    }
    return h->part[SNAP_STATE].sectors <= SNAP_STATE_SECTORS;
}

const char *snap_open(const struct snap_drive *drive, struct snap_header *h)
{
    uint8_t sector[SNAP_SECTOR];
    struct snap_io io = header_io(sector, false);
    struct snap_io end = {sector + HEADER_CRC_AT, sector + SNAP_SECTOR, false, NULL};
    uint32_t format = 0, crc = 0;
    if (!drive->transfer(drive->opaque, 0, 1, sector, false))
        return "the snapshot's drive cannot be read";
    if (memcmp(sector, magic, sizeof(magic)))
        return "there is no snapshot on the drive";
    SNAP(&io, format);
    SNAP(&end, crc);
    if (crc != snap_crc(0, sector, HEADER_CRC_AT))
        return "the snapshot's header is damaged: its checksum is wrong";
    if (format != SNAP_FORMAT)
        return SAY("the snapshot has format %u, and this VMM knows format %u only", format,
                   SNAP_FORMAT);
    header_fields(&io, h);
    if (!h->ram_size || h->ram_size % RAM_STEP || h->ram_size > DIRECT_MAP_SIZE ||
        h->disk_sectors > SNAP_DISK_SECTORS_MAX)
        return "the snapshot is of a memory or a disk that no guest has";
    if (!parts_fit(drive, h))
        return "the snapshot does not fit its drive: the end is missing";
    return NULL;
}

static const char *const edx_names[32] = {
    [0] = "an FPU", [2] = "DE",    [3] = "PSE",  [4] = "TSC",   [5] = "MSRs", [8] = "CMPXCHG8B",
    [13] = "PGE",   [15] = "CMOV", [23] = "MMX", [24] = "FXSR", [25] = "SSE", [26] = "SSE2"};

/* The name of the lowest bit of missing, NULL: nothing is missing. */
static const char *missing_name(uint32_t ecx, uint32_t edx)
{
    if (!ecx && !edx)
        return NULL;
    if (!edx)
        return ecx & 1 ? "SSE3" : "an unknown feature";
    const char *name = edx_names[__builtin_ctz(edx)];
    return name ? name : "an unknown feature";
}

const char *snap_matches(const struct snap_header *saved, const struct snap_header *here)
{
    const char *feature =
        missing_name(saved->cpuid_ecx & ~here->cpuid_ecx, saved->cpuid_edx & ~here->cpuid_edx);
    if (saved->image_size != here->image_size || saved->image_crc != here->image_crc)
        return SAY("the snapshot is of another guest kernel (%s, %u bytes, CRC-32 %08x) than the "
                   "one that was loaded (%s, %u bytes, %08x)",
                   saved->kernel, saved->image_size, saved->image_crc, here->kernel,
                   here->image_size, here->image_crc);
    if (feature)
        return SAY("the snapshot's guest saw a CPU with %s, which this one has not", feature);
    return NULL;
}

/* --- all of it --- */

static void save_part(struct stream *s, struct snap_header *h, enum snap_part part,
                      const struct snap_contents *c)
{
    s->crc = 0;
    h->part[part].sector = s->sector;
    if (part == SNAP_STATE)
        save_state(s, c);
    else if (part == SNAP_SCREEN)
        save_memory(s, c->screen, VGA_TEXT_SIZE);
    else if (part == SNAP_MEMORY)
        save_memory(s, c->ram, h->ram_size);
    else
        save_memory(s, c->disk, h->disk_sectors * SNAP_SECTOR);
    h->part[part].sectors = s->sector - h->part[part].sector;
    h->part[part].crc = s->crc;
}

const char *snap_save(const struct snap_drive *drive, struct snap_header *h,
                      const struct snap_contents *c)
{
    uint8_t none[SNAP_SECTOR] = {0};
    struct stream s = {.drive = drive, .sector = 1, .write = true};
    s.why = write_sector(drive, none);
    for (int i = 0; i < SNAP_PARTS && !s.why; i++)
        save_part(&s, h, (enum snap_part)i, c);
    return s.why ? s.why : save_header(drive, h);
}

/* False: the section's length is not what it must be. */
static bool load_part(struct stream *s, const struct snap_header *h, enum snap_part part,
                      const struct snap_contents *c)
{
    const uint32_t sectors = h->part[part].sectors;
    if (part == SNAP_STATE) {
        move(s, state, sectors);
        return true;
    }
    if (part == SNAP_SCREEN)
        return load_memory(s, c->screen, VGA_TEXT_SIZE, sectors);
    if (part == SNAP_MEMORY)
        return load_memory(s, c->ram, h->ram_size, sectors);
    return load_memory(s, c->disk, h->disk_sectors * SNAP_SECTOR, sectors);
}

/* The state comes last: virtqueues are looked for in memory. It waits in `state` until then. */
const char *snap_load(const struct snap_drive *drive, const struct snap_header *h,
                      const struct snap_contents *c)
{
    struct stream s = {.drive = drive, .sector = 1};
    uint32_t used;
    for (int i = 0; i < SNAP_PARTS; i++) {
        s.crc = 0;
        const bool good = load_part(&s, h, (enum snap_part)i, c);
        if (s.why)
            return s.why;
        if (!good || s.crc != h->part[i].crc)
            return SAY("the snapshot's %s is damaged: its %s is wrong", part_names[i],
                       good ? "checksum" : "length");
    }
    const char *wrong = state_io(false, h->part[SNAP_STATE].sectors, c, &used);
    if (!wrong && used != h->part[SNAP_STATE].sectors)
        wrong = "its length is wrong";
    return wrong ? SAY("the snapshot's state is not valid: %s", wrong) : NULL;
}
