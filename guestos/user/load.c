/*
 * Keep the machine busy with everything at once, and check every result: load [ROUNDS [SEED]]. Four
 * workers run side by side:
 *
 *   forks   a storm of processes, each of which computes its exit status
 *   disk    files are written, read back, linked and removed
 *   pipes   numbers through a chain of processes, which must arrive whole and in order
 *   timer   sleeps, which must last as long as was asked for
 *
 * Each prints one line at its end. The files of the last round stay in /load.
 */
#include "lib.h"

#define ROUNDS 20
#define WORKERS 4
#define CHILDREN 8
#define FILE_COUNT 6
#define BLOCKS 12
#define BLOCK 512
#define CHAIN 3
#define WORDS 1500

/* G. Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8 (2003). */
static uint32_t state;

static uint32_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static void failed(const char *what, int got)
{
    dprintf(2, "load: %s (%d)\n", what, got);
    exit(1);
}

/* Some work whose result depends on all of it. */
static uint32_t mix(uint32_t seed, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        seed = seed * 1664525 + 1013904223 + (seed >> 16);
    return seed;
}

static uint32_t forks(uint32_t rounds)
{
    uint32_t done = 0;
    for (uint32_t r = 0; r < rounds; r++) {
        const uint32_t seed = draw();
        uint32_t want = 0, got = 0;
        for (uint32_t i = 0; i < CHILDREN; i++) {
            const int pid = fork();
            if (pid < 0)
                failed("fork", pid);
            if (!pid)
                exit((int)(mix(seed + i, 2000) & 63));
            want += mix(seed + i, 2000) & 63;
        }
        for (uint32_t i = 0; i < CHILDREN; i++) {
            int status;
            if (wait(&status) < 0)
                failed("wait", status);
            got += (uint32_t)status;
        }
        if (got != want)
            failed("exit statuses differ", (int)got);
        done += CHILDREN;
    }
    return done;
}

static void path_of(char *path, uint32_t n)
{
    memcpy(path, "/load/file0", 12);
    path[10] = (char)('0' + n);
}

static void fill(uint32_t *block, uint32_t seed)
{
    for (uint32_t i = 0; i < BLOCK / 4; i++)
        block[i] = mix(seed + i, 2);
}

static uint32_t write_file(const char *path, uint32_t seed)
{
    static uint32_t block[BLOCK / 4];
    const int fd = open(path, O_WRITE | O_CREATE | O_TRUNCATE);
    if (fd < 0)
        failed(error_text(fd), fd);
    for (uint32_t b = 0; b < BLOCKS; b++) {
        fill(block, seed + b);
        const int n = write(fd, block, BLOCK);
        if (n != BLOCK)
            failed("write", n);
    }
    close(fd);
    return BLOCKS;
}

static void check_file(const char *path, uint32_t seed)
{
    static uint32_t block[BLOCK / 4], want[BLOCK / 4];
    const int fd = open(path, O_READ);
    if (fd < 0)
        failed(error_text(fd), fd);
    for (uint32_t b = 0; b < BLOCKS; b++) {
        fill(want, seed + b);
        if (read(fd, block, BLOCK) != BLOCK)
            failed("a file is too short", (int)b);
        for (uint32_t i = 0; i < BLOCK / 4; i++) {
            if (block[i] != want[i])
                failed("a file has other contents", (int)b);
        }
    }
    if (read(fd, block, 1))
        failed("a file is too long", 0);
    close(fd);
}

static uint32_t disk(uint32_t rounds)
{
    char path[12];
    uint32_t written = 0, seeds[FILE_COUNT];
    mkdir("/load"); /* may be there */
    for (uint32_t r = 0; r < rounds; r++) {
        for (uint32_t f = 0; f < FILE_COUNT; f++) {
            path_of(path, f);
            seeds[f] = draw();
            written += write_file(path, seeds[f]);
        }
        sync();
        for (uint32_t f = 0; f < FILE_COUNT; f++) {
            path_of(path, f);
            check_file(path, seeds[f]);
        }
        path_of(path, FILE_COUNT);
        unlink(path);
        if (link("/load/file0", path) < 0)
            failed("link", 0);
        check_file(path, seeds[0]);
    }
    return written;
}

/* One link of the chain: what comes in goes out, one more. */
static void pass_on(int in, int out)
{
    uint32_t word;
    while (read(in, &word, sizeof(word)) == sizeof(word)) {
        word++;
        if (write(out, &word, sizeof(word)) != sizeof(word))
            failed("a pipe broke", 0);
    }
    exit(0);
}

/* Processes that pass words on; in: where the last of them writes to. */
static void start_chain(int *in)
{
    for (int i = 0; i < CHAIN; i++) {
        int fds[2];
        if (pipe(fds) < 0)
            failed("pipe", 0);
        if (!fork()) {
            close(fds[0]);
            pass_on(*in, fds[1]);
        }
        close(*in);
        close(fds[1]);
        *in = fds[0];
    }
}

static uint32_t pipes(uint32_t rounds)
{
    int first[2], in, status;
    const uint32_t words = rounds * WORDS / ROUNDS, seed = draw();
    if (pipe(first) < 0)
        failed("pipe", 0);
    if (!fork()) {
        close(first[0]);
        for (uint32_t i = 0; i < words; i++) {
            const uint32_t word = mix(seed + i, 3);
            if (write(first[1], &word, sizeof(word)) != sizeof(word))
                failed("the first pipe broke", 0);
        }
        exit(0);
    }
    close(first[1]);
    in = first[0];
    start_chain(&in);
    for (uint32_t i = 0; i < words; i++) {
        uint32_t word;
        if (read(in, &word, sizeof(word)) != sizeof(word))
            failed("words are missing", (int)i);
        if (word != mix(seed + i, 3) + CHAIN)
            failed("a word is wrong", (int)i);
    }
    for (int i = 0; i <= CHAIN; i++) {
        wait(&status);
        if (status)
            failed("a process of the chain failed", status);
    }
    return words;
}

static uint32_t timer(uint32_t rounds)
{
    for (uint32_t r = 0; r < rounds; r++) {
        const uint32_t n = 1 + draw() % 4, start = uptime();
        sleep(n);
        if (uptime() - start < n)
            failed("a sleep was too short", (int)(uptime() - start));
    }
    return rounds;
}

static const struct {
    const char *name, *unit;
    uint32_t (*run)(uint32_t rounds);
} workers[WORKERS] = {{"forks", "processes", forks},
                      {"disk", "blocks", disk},
                      {"pipes", "words", pipes},
                      {"timer", "sleeps", timer}};

int main(int argc, char **argv)
{
    bool ok = true;
    const uint32_t rounds = argc > 1 ? number(argv[1], &ok) : ROUNDS;
    const bool rounds_ok = ok && rounds;
    const uint32_t seed = argc > 2 ? number(argv[2], &ok) : 1;
    int failures = 0;
    if (argc > 3 || !rounds_ok || !ok) {
        dprintf(2, "use: load [ROUNDS [SEED]]   (%d rounds, seed 1)\n", ROUNDS);
        return 2;
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        if (fork())
            continue;
        state = mix(seed + i, 10) | 1;
        const uint32_t n = workers[i].run(rounds);
        printf("load: %s ok: %u %s\n", workers[i].name, n, workers[i].unit);
        exit(0);
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        int status;
        wait(&status);
        failures += status != 0;
    }
    printf("load: %u workers failed\n", (unsigned)failures);
    return failures != 0;
}
