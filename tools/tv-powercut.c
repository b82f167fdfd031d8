/*
 * tv-powercut: cut the power at every write of a recorded workload, and look at the disk.
 *
 * The log of the file system (fs_format.h) promises that a group of writes happens whole or not at
 * all, and that it happens when its header is written. So the recording itself tells how many
 * groups have happened at each point of it, and this is demanded of every disk that a power cut can
 * leave behind: after recovery it is, byte for byte except for the log, the disk that the last of
 * these groups left; not a mixture, not an older one. And each group's disk must be a sound file
 * system.
 *
 * A drive with a cache may write what it got since the last flush in any order. So besides every
 * prefix of the recording random subsets of the writes between two flushes are tried.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/choose.h"
#include "lib/minnowfs.h"
#include "lib/writelog.h"

#define STATUS_INCONSISTENT 1
#define SECTORS_PER_BLOCK (FS_BLOCK / FS_SECTOR)
#define SHOWN 12           /* lines of each kind in a report */
#define PROGRESS_PERIOD 5. /* seconds */

_Static_assert(WRITELOG_SECTOR == FS_SECTOR, "a sector is a sector");

static const char usage[] =
    "usage: tv-powercut [options] BASE.img LOG\n"
    "  --subsets=N   random subsets to try for each interval between two flushes (default 8)\n"
    "  --seed=S      of what is random (default 1)\n"
    "  --stride=N    cut after every Nth write only, and before every flush (default 1)\n"
    "  --keep=DIR    keep the image of the first inconsistency there\n"
    "  --samples=N   write N images that consistent power cuts left to --keep's DIR, too\n"
    "BASE.img is a disk with Minnow's file system, LOG what QEMU's block driver blklogwrites\n"
    "recorded while it was used (-blockdev driver=blklogwrites,...). The power is cut after each\n"
    "sector of the recording, and after random subsets of what a drive may have had in its cache;\n"
    "each time the log is recovered and the disk is checked. Exit status: 0 all consistent, 1 "
    "not,\n"
    "or something cannot be read, 2 wrong usage.\n";

static struct {
    uint32_t subsets, seed, stride, samples;
    const char *keep;
} choice = {.subsets = 8, .seed = 1, .stride = 1};

/*
 * A disk, with a number that stands for its contents without the log: the sum of a hash of each
 * sector, so that a write changes it by what the sector's hash changes.
 */
struct disk {
    uint8_t *image;
    uint32_t blocks;
    uint64_t *hashes, sum;
};

static struct fs_super super;

/* Where a group of blocks is put aside: what recovery is about to change. */
struct undo {
    uint32_t n, block[FS_LOG_MAX + 1];
    uint8_t data[FS_LOG_MAX + 1][FS_BLOCK];
};

/* A state of the disk that a group left: what `sum` says, and where in the recording it began. */
struct state {
    uint64_t sum;
    uint32_t write; /* number of writes, the header included */
    bool checked;
};

static struct write_log recorded;
static struct state *states;  /* [0] is the base, recovered */
static uint32_t *state_after; /* state_after[n]: after n writes */
static bool *sampled;         /* sampled[n]: keep the image after n writes */
static uint8_t *base;
static uint32_t base_blocks, last_state, cuts, subsets;
static unsigned orphans_max;

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

static uint64_t next_random(void)
{
    static uint64_t n;
    return mix(++n * 0x9e3779b97f4a7c15ull + choice.seed * 0xd1342543de82ef95ull);
}

static bool in_log(uint32_t sector)
{
    const uint32_t block = sector / SECTORS_PER_BLOCK;
    return block >= super.log_start && block - super.log_start < super.log_blocks;
}

static void hash_sector(struct disk *d, uint32_t sector)
{
    const uint8_t *at = d->image + (size_t)sector * FS_SECTOR;
    uint64_t h = sector + 1, word;
    if (in_log(sector))
        return;
    for (uint32_t i = 0; i < FS_SECTOR; i += sizeof(word)) {
        memcpy(&word, at + i, sizeof(word));
        h = (h ^ word) * 0x9fb21c651e98df25ull;
        h ^= h >> 32;
    }
    h = mix(h);
    d->sum += h - d->hashes[sector];
    d->hashes[sector] = h;
}

static void write_sector(struct disk *d, uint32_t sector, const void *data)
{
    memcpy(d->image + (size_t)sector * FS_SECTOR, data, FS_SECTOR);
    hash_sector(d, sector);
}

static void hash_block(struct disk *d, uint32_t block)
{
    for (uint32_t i = 0; i < SECTORS_PER_BLOCK; i++)
        hash_sector(d, block * SECTORS_PER_BLOCK + i);
}

static struct disk new_disk(void)
{
    struct disk d = {.blocks = base_blocks};
    d.image = xrealloc(NULL, (size_t)d.blocks * FS_BLOCK);
    memcpy(d.image, base, (size_t)d.blocks * FS_BLOCK);
    d.hashes = xrealloc(NULL, d.blocks * SECTORS_PER_BLOCK * sizeof(*d.hashes));
    memset(d.hashes, 0, d.blocks * SECTORS_PER_BLOCK * sizeof(*d.hashes));
    for (uint32_t i = 0; i < d.blocks; i++)
        hash_block(&d, i);
    return d;
}

static void free_disk(struct disk *d)
{
    free(d->image);
    free(d->hashes);
}

static struct fs_log_header header_of(const struct disk *d)
{
    struct fs_log_header h;
    memcpy(&h, d->image + (size_t)super.log_start * FS_BLOCK, sizeof(h));
    return h;
}

/* Recover the log; *undo gets what the blocks held that this may change. */
static bool recover(struct disk *d, struct undo *undo)
{
    const struct fs_log_header h = header_of(d);
    undo->n = 0;
    undo->block[undo->n++] = super.log_start;
    for (uint32_t i = 0; h.count <= FS_LOG_MAX && i < h.count; i++) {
        if (h.home[i] < d->blocks)
            undo->block[undo->n++] = h.home[i];
    }
    for (uint32_t i = 0; i < undo->n; i++)
        memcpy(undo->data[i], d->image + (size_t)undo->block[i] * FS_BLOCK, FS_BLOCK);
    const bool ok = minnowfs_recover(d->image, (size_t)d->blocks * FS_BLOCK) >= 0;
    for (uint32_t i = 0; i < undo->n; i++)
        hash_block(d, undo->block[i]);
    return ok;
}

static void take_back(struct disk *d, const struct undo *undo)
{
    for (uint32_t i = undo->n; i--;) {
        memcpy(d->image + (size_t)undo->block[i] * FS_BLOCK, undo->data[i], FS_BLOCK);
        hash_block(d, undo->block[i]);
    }
}

/* Does this write make a group happen? */
static bool is_commit(const struct sector_write *w)
{
    uint32_t count;
    memcpy(&count, w->data, sizeof(count));
    return w->sector == super.log_start * SECTORS_PER_BLOCK && count;
}

/* The states that the recording goes through, without looking at whether they are sound. */
static void find_states(void)
{
    struct disk d = new_disk();
    struct undo undo;
    states = xrealloc(NULL, (recorded.count + 1ul) * sizeof(*states));
    state_after = xrealloc(NULL, (recorded.count + 1ul) * sizeof(*state_after));
    recover(&d, &undo);
    states[0] = (struct state){.sum = d.sum};
    state_after[0] = 0;
    take_back(&d, &undo);
    for (uint32_t i = 0; i < recorded.count; i++) {
        write_sector(&d, recorded.writes[i].sector, recorded.writes[i].data);
        if (is_commit(&recorded.writes[i])) {
            recover(&d, &undo);
            states[++last_state] = (struct state){.sum = d.sum, .write = i + 1};
            take_back(&d, &undo);
        }
        state_after[i + 1] = last_state;
    }
    free_disk(&d);
}

/* What a power cut left behind; for messages. */
struct cut {
    uint32_t writes, first; /* all before writes[first], and of first .. writes - 1 ... */
    const bool *chosen;     /* ... these; NULL: all */
    uint32_t low, high;     /* the state shall be one of states[low .. high] */
};

static const char *part_of_disk(uint32_t block)
{
    if (block == 0)
        return "the superblock";
    if (block == super.bitmap_block)
        return "the bitmap";
    if (block >= super.inode_start &&
        block < super.inode_start + super.inodes / FS_INODES_PER_BLOCK)
        return "inodes";
    return block >= super.data_start ? "data" : "the log";
}

/* Where d, recovered, is not what state s is. */
static void print_difference(const struct disk *d, uint32_t s)
{
    struct disk wanted = new_disk();
    struct undo undo;
    unsigned n = 0;
    for (uint32_t i = 0; i < states[s].write; i++)
        write_sector(&wanted, recorded.writes[i].sector, recorded.writes[i].data);
    recover(&wanted, &undo);
    for (uint32_t b = 0; b < d->blocks; b++) {
        const size_t at = (size_t)b * FS_BLOCK;
        if (in_log(b * SECTORS_PER_BLOCK) || !memcmp(d->image + at, wanted.image + at, FS_BLOCK))
            continue;
        if (n++ < SHOWN)
            printf("  block %u (%s) is not as group %u left it\n", b, part_of_disk(b), s);
    }
    if (n > SHOWN)
        printf("  ... and %u more blocks\n", n - SHOWN);
    free_disk(&wanted);
}

/* `name` is freed. */
static void keep_image(char *name, const uint8_t *image)
{
    char *path = xasprintf("%s/%s.img", choice.keep, name);
    make_dirs(choice.keep);
    write_file(path, image, (size_t)base_blocks * FS_BLOCK);
    free(path);
    free(name);
}

static void print_write(const char *what, uint32_t i)
{
    const struct sector_write *w = &recorded.writes[i];
    const uint32_t block = w->sector / SECTORS_PER_BLOCK;
    printf("  %s: write %u, sector %u, block %u (%s), after %u flushes\n", what, i + 1, w->sector,
           block, part_of_disk(block), w->interval);
}

static void print_cut(const struct cut *c)
{
    const uint32_t all = c->writes - c->first;
    uint32_t lost = 0;
    if (!c->chosen) {
        printf("powercut: INCONSISTENT after %u of %u writes\n", c->writes, recorded.count);
        if (c->writes)
            print_write("the last", c->writes - 1);
        return;
    }
    for (uint32_t i = 0; i < all; i++)
        lost += !c->chosen[i];
    printf("powercut: INCONSISTENT after %u of %u writes, and %u of the %u that come before the "
           "next flush\n",
           c->first, recorded.count, all - lost, all);
    const bool few_lost = lost <= all - lost;
    for (uint32_t i = 0, n = 0; i < all && n < SHOWN; i++) {
        if (c->chosen[i] != few_lost && ++n)
            print_write(few_lost ? "lost" : "written", c->first + i);
    }
}

static uint32_t find_state(uint64_t sum)
{
    uint32_t s = 0;
    while (s <= last_state && states[s].sum != sum)
        s++;
    return s;
}

static void print_report(const struct text *report)
{
    unsigned n = 0;
    printf("  the file system is damaged:\n");
    for (const char *line = report->text, *end; *line; line = end + 1, n++) {
        end = strchrnul(line, '\n');
        if (n < SHOWN)
            printf("  %.*s\n", (int)(end - line), line);
        if (!*end)
            break;
    }
    if (n > SHOWN)
        printf("  ... and more\n");
}

/* Report the first inconsistency, and end. *d is recovered; *undo tells what it was before. */
static void __attribute__((noreturn))
inconsistent(struct disk *d, const struct undo *undo, const struct cut *c, const char *why)
{
    struct text report = {0};
    const uint32_t is = find_state(d->sum);
    print_cut(c);
    printf("  %s\n", why);
    if (c->low == c->high)
        printf("  %u groups have happened, ", c->high);
    else
        printf("  %u groups have happened for certain, and up to %u, ", c->low, c->high);
    if (is > last_state) {
        printf("but what recovery gives no group has left:\n");
        print_difference(d, c->high);
        if (c->low != c->high)
            print_difference(d, c->low);
    } else {
        printf("and recovery gives what group %u left\n", is);
    }
    if (minnowfs_check(d->image, (size_t)d->blocks * FS_BLOCK, &report, NULL))
        print_report(&report);
    take_back(d, undo);
    if (choice.keep) {
        keep_image(xasprintf("inconsistent"), d->image);
        printf("  the image, before recovery: %s/inconsistent.img\n", choice.keep);
    }
    exit(STATUS_INCONSISTENT);
}

/* Cut the power with the disk as it is in *d. */
static void check_cut(struct disk *d, const struct cut *c)
{
    static struct undo undo;
    uint32_t s = c->low;
    if (!recover(d, &undo))
        inconsistent(d, &undo, c, "the log's header is damaged");
    while (s <= c->high && states[s].sum != d->sum)
        s++;
    if (s > c->high)
        inconsistent(d, &undo, c, "a group has happened in part, or not, or too early");
    /* The same bytes give the same answer: it is enough to look at each state once. */
    if (!states[s].checked) {
        struct text report = {0};
        unsigned orphans;
        if (minnowfs_check(d->image, (size_t)d->blocks * FS_BLOCK, &report, &orphans))
            inconsistent(
                d, &undo, c,
                "the log has done its work, but the last group leaves a damaged file system");
        text_free(&report);
        states[s].checked = true;
        orphans_max = orphans > orphans_max ? orphans : orphans_max;
    }
    take_back(d, &undo);
}

static void show_progress(const char *what, uint32_t done, uint32_t all)
{
    static double last;
    const double now = now_s();
    if (!last)
        last = now;
    if (now - last < PROGRESS_PERIOD)
        return;
    fprintf(stderr, "powercut: %u of %u %s\n", done, all, what);
    last = now;
}

/* The power goes after each write. */
static void check_prefixes(void)
{
    struct disk d = new_disk();
    for (uint32_t n = 0; n <= recorded.count; n++) {
        const struct cut c = {.writes = n, .low = state_after[n], .high = state_after[n]};
        const bool flushed = n == recorded.count ||
                             recorded.writes[n].interval != recorded.writes[n ? n - 1 : 0].interval;
        if (n)
            write_sector(&d, recorded.writes[n - 1].sector, recorded.writes[n - 1].data);
        if (sampled[n])
            keep_image(xasprintf("cut-%06u", n), d.image);
        if (n % choice.stride && !flushed)
            continue;
        check_cut(&d, &c);
        cuts++;
        show_progress("writes", n, recorded.count);
    }
    free_disk(&d);
}

/* Which writes of an interval reach the disk: half of them, any part, all but one, just one. */
static void choose_subset(bool *chosen, uint32_t n, uint32_t kind)
{
    const uint64_t one = next_random() % n, chance = next_random() % 256;
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t r = next_random() % 256;
        chosen[i] = kind == 0 ? r < 128 : kind == 1 ? r < chance : kind == 2 ? i != one : i == one;
    }
}

/* The power goes while a part of the writes first .. end - 1 has reached the disk; *d is the disk
 * before them, and is so again afterwards. */
static void check_interval(struct disk *d, uint32_t first, uint32_t end)
{
    const uint32_t n = end - first;
    bool *chosen = xrealloc(NULL, n * sizeof(*chosen));
    uint8_t(*old)[FS_SECTOR] = xrealloc(NULL, n * sizeof(*old));
    const struct cut c = {end, first, chosen, state_after[first], state_after[end]};
    for (uint32_t i = 0; i < n; i++)
        memcpy(old[i], d->image + (size_t)recorded.writes[first + i].sector * FS_SECTOR, FS_SECTOR);
    for (uint32_t k = 0; k < choice.subsets; k++) {
        choose_subset(chosen, n, k % 4);
        for (uint32_t i = 0; i < n; i++) {
            if (chosen[i])
                write_sector(d, recorded.writes[first + i].sector, recorded.writes[first + i].data);
        }
        check_cut(d, &c);
        subsets++;
        for (uint32_t i = 0; i < n; i++)
            write_sector(d, recorded.writes[first + i].sector, old[i]);
    }
    free(old);
    free(chosen);
}

/* The drive has a cache. */
static void check_subsets(void)
{
    struct disk d = new_disk();
    for (uint32_t first = 0, end; first < recorded.count; first = end) {
        for (end = first + 1; end < recorded.count &&
                              recorded.writes[end].interval == recorded.writes[first].interval;)
            end++;
        if (end - first > 1) /* the subsets of a single write are prefixes */
            check_interval(&d, first, end);
        for (uint32_t i = first; i < end; i++)
            write_sector(&d, recorded.writes[i].sector, recorded.writes[i].data);
        show_progress("writes in random order", end, recorded.count);
    }
    /* All that was taken back must really be back, or these were other disks. */
    for (uint32_t i = 0; i < recorded.count; i++)
        memcpy(base + (size_t)recorded.writes[i].sector * FS_SECTOR, recorded.writes[i].data,
               FS_SECTOR);
    if (memcmp(base, d.image, (size_t)base_blocks * FS_BLOCK))
        die(1, "recovery changed blocks that the log does not name");
    free_disk(&d);
}

/* Half of the samples are of moments when a group has happened but is not home yet. */
static void choose_samples(void)
{
    bool *full = xrealloc(NULL, recorded.count + 1ul);
    bool now = false;
    uint32_t count, full_count = 0;
    sampled = xrealloc(NULL, recorded.count + 1ul);
    memset(sampled, 0, recorded.count + 1ul);
    full[0] = false;
    for (uint32_t n = 1; n <= recorded.count; n++) {
        if (recorded.writes[n - 1].sector == super.log_start * SECTORS_PER_BLOCK) {
            memcpy(&count, recorded.writes[n - 1].data, sizeof(count));
            now = count != 0;
        }
        full[n] = now;
        full_count += now;
    }
    for (uint32_t i = 0; i < choice.samples && i < recorded.count; i++) {
        const bool in_group = i % 2 == 0 && 2 * full_count > choice.samples;
        uint32_t n;
        do
            n = 1 + (uint32_t)(next_random() % recorded.count);
        while (sampled[n] || (in_group && !full[n]));
        sampled[n] = true;
    }
    free(full);
}

/* The disk at the beginning may itself be what a power cut has left. */
static void read_base(const char *path)
{
    size_t size;
    struct text report = {0};
    base = (uint8_t *)read_file(path, &size);
    if (!base)
        die(1, "%s: %s", path, strerror(errno));
    uint8_t *copy = memcpy(xrealloc(NULL, size + 1), base, size + 1);
    if (minnowfs_recover(copy, size) < 0 || minnowfs_check(copy, size, &report, NULL))
        die(1, "%s: not a sound file system to begin with\n%s", path,
            report.text ? report.text : "");
    free(copy);
    text_free(&report);
    memcpy(&super, base, sizeof(super));
    base_blocks = super.blocks;
}

static void read_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"subsets", 1, NULL, 'n'}, {"seed", 1, NULL, 's'},    {"stride", 1, NULL, 't'},
        {"keep", 1, NULL, 'k'},    {"samples", 1, NULL, 'm'}, {"help", 0, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'n')
            choice.subsets = choose_number("--subsets", optarg, 0, 1000000);
        else if (c == 's')
            choice.seed = choose_number("--seed", optarg, 0, UINT32_MAX);
        else if (c == 't')
            choice.stride = choose_number("--stride", optarg, 1, 1000000);
        else if (c == 'm')
            choice.samples = choose_number("--samples", optarg, 0, 10000);
        else if (c == 'k')
            choice.keep = optarg;
        else if (c == 'h')
            fputs(usage, stdout), exit(0);
        else
            exit(STATUS_USAGE);
    }
    if (argc - optind != 2)
        die(STATUS_USAGE, "give an image and a log of writes (try --help)");
    if (choice.samples && !choice.keep)
        die(STATUS_USAGE, "--samples needs --keep");
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    read_base(argv[optind]);
    recorded = write_log_read(argv[optind + 1], base_blocks * SECTORS_PER_BLOCK);
    if (!recorded.count)
        die(1, "%s: nothing was written", argv[optind + 1]);
    find_states();
    choose_samples();
    check_prefixes();
    check_subsets();
    printf("powercut: %u groups, up to %u files removed but still open\n", last_state, orphans_max);
    printf("powercut: %u sector writes, %u flushes, %u cut points and %u random subsets checked: "
           "all consistent\n",
           recorded.count, recorded.flushes, cuts, subsets);
    write_log_free(&recorded);
    return 0;
}
