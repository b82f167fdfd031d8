/*
 * How fast are the decoder and the scanner? Instructions a second, of processor time, next to
 * Zydis' minimal decoder, which also does no more than to find lengths and prefixes: all on the
 * same bytes, in turn, in the same run. The best of several rounds counts.
 *
 * usage: decoder-speed ELF-FILE...
 *
 * Two sets of bytes: the code of the files, one instruction behind the other; and random good
 * instructions, which are harder to predict. The scanner starts at every function of the files.
 * This measures; it passes no judgement: the exit status is 0 however slow we are.
 */
#include <Zydis/Zydis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guest_code.h"
#include "scanner.h"

#define ROUNDS 12
#define ROUND_SECONDS 0.05
#define RANDOM_INSNS 20000

static ZydisDecoder zydis;

struct bytes {
    uint8_t *at;
    size_t n;
};

/* The work of one pass over some input; returns how many instructions that were. */
typedef unsigned long pass(const void *input);

static unsigned long pass_ours(const void *input)
{
    const struct bytes *code = input;
    struct insn insn;
    unsigned long count = 0;
    for (size_t at = 0; at < code->n; count++)
        at += decode(&insn, code->at + at, code->n - at, 32) == DECODE_OK ? insn.len : 1u;
    return count;
}

static unsigned long pass_zydis(const void *input)
{
    const struct bytes *code = input;
    ZydisDecodedInstruction z;
    unsigned long count = 0;
    for (size_t at = 0; at < code->n; count++)
        at += ZYAN_SUCCESS(
                  ZydisDecoderDecodeInstruction(&zydis, NULL, code->at + at, code->n - at, &z))
                  ? z.length
                  : 1u;
    return count;
}

/* A file as the scanner sees it: pages of the guest, and of their copies. */
struct image {
    struct guest_file file;
    gva_t base;
    unsigned pages;
    uint8_t *guest;
    uint8_t *copies;
    struct code_page *page;
};

static struct code_page *page_at(void *opaque, gva_t gva, bool bind)
{
    struct image *image = opaque;
    const uint32_t i = (gva - image->base) / PAGE_SIZE;
    (void)bind; /* all of the image counts as executed */
    if (i >= image->pages)
        return NULL;
    image->page[i].bound = true;
    return &image->page[i];
}

static const uint8_t *bytes_of(void *opaque, const struct code_page *page)
{
    const struct image *image = opaque;
    return image->guest + (page - image->page) * PAGE_SIZE;
}

static void drop_page(void *opaque, struct code_page *page)
{
    (void)opaque;
    code_page_clear(page);
}

static void load_image(struct image *image, const char *path)
{
    guest_load(path, &image->file, false);
    const struct area *area = &image->file.code.area[0];
    image->base = area->gva & PAGE_MASK;
    image->pages = (area->gva - image->base + area->size) / PAGE_SIZE + 1;
    image->guest = calloc(image->pages, PAGE_SIZE);
    image->copies = calloc(image->pages, PAGE_SIZE);
    image->page = calloc(image->pages, sizeof(*image->page));
    if (!image->guest || !image->copies || !image->page)
        abort();
    memcpy(image->guest + (area->gva - image->base), area->bytes, area->size);
    for (unsigned i = 0; i < image->pages; i++)
        image->page[i].copy = image->copies + i * PAGE_SIZE;
}

static struct image images[8];
static unsigned image_count;

/* Scan all images anew. */
static unsigned long pass_scanner(const void *input)
{
    struct scan_stats stats = {0};
    (void)input;
    for (unsigned i = 0; i < image_count; i++) {
        struct image *image = &images[i];
        const struct scan_source source = {image, page_at, bytes_of, drop_page, false, false};
        const struct code *code = &image->file.code;
        for (unsigned k = 0; k < image->pages; k++)
            code_page_clear(&image->page[k]);
        for (unsigned k = 0; k < code->symbols; k++) {
            if (code->symbol[k].function)
                scan(&source, code->symbol[k].gva, 32, 100000, &stats);
        }
    }
    return (unsigned long)stats.instructions;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Instructions a second in one round of several passes. */
static double rate(pass *what, const void *input)
{
    const double begin = seconds();
    unsigned long count = 0;
    double now;
    do {
        count += what(input);
        now = seconds();
    } while (now - begin < ROUND_SECONDS);
    return (double)count / (now - begin);
}

static void best(double *value, double other)
{
    if (other > *value)
        *value = other;
}

static void compare_decoders(const char *what, const struct bytes *code)
{
    double ours = 0, theirs = 0;
    for (int round = 0; round < ROUNDS; round++) {
        best(&ours, rate(pass_ours, code));
        best(&theirs, rate(pass_zydis, code));
    }
    printf("%-20s decoder %7.1f  Zydis minimal %7.1f  ratio %5.2f\n", what, ours / 1e6,
           theirs / 1e6, ours / theirs);
}

static void compare_scanner(const struct bytes *code)
{
    double ours = 0, theirs = 0;
    for (int round = 0; round < ROUNDS; round++) {
        best(&ours, rate(pass_scanner, NULL));
        best(&theirs, rate(pass_zydis, code));
    }
    printf("%-20s scanner %7.1f  Zydis minimal %7.1f  ratio %5.2f\n", "real code", ours / 1e6,
           theirs / 1e6, ours / theirs);
}

/* Random instructions that both take. */
static struct bytes random_code(void)
{
    struct bytes code = {malloc(RANDOM_INSNS * INSN_MAX), 0};
    uint64_t state = 1;
    if (!code.at)
        abort();
    for (unsigned count = 0; count < RANDOM_INSNS;) {
        uint8_t bytes[16];
        struct insn insn;
        ZydisDecodedInstruction z;
        for (unsigned i = 0; i < sizeof(bytes); i++) {
            state = state * 6364136223846793005ull + 1442695040888963407ull;
            bytes[i] = (uint8_t)(state >> 56);
        }
        if (decode(&insn, bytes, sizeof(bytes), 32) != DECODE_OK ||
            !ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&zydis, NULL, bytes, sizeof(bytes), &z)))
            continue;
        memcpy(code.at + code.n, bytes, insn.len);
        code.n += insn.len;
        count++;
    }
    return code;
}

static struct bytes real_code(void)
{
    struct bytes code = {NULL, 0};
    for (unsigned i = 0; i < image_count; i++) {
        const struct area *area = &images[i].file.code.area[0];
        code.at = realloc(code.at, code.n + area->size);
        if (!code.at)
            abort();
        memcpy(code.at + code.n, area->bytes, area->size);
        code.n += area->size;
    }
    return code;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 8) {
        fprintf(stderr, "usage: decoder-speed ELF-FILE...\n");
        return 2;
    }
    ZydisDecoderInit(&zydis, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    ZydisDecoderEnableMode(&zydis, ZYDIS_DECODER_MODE_MINIMAL, true);
    for (int i = 1; i < argc; i++)
        load_image(&images[image_count++], argv[i]);
    const struct bytes real = real_code(), random = random_code();
    printf(
        "million instructions a second of processor time, best of %d rounds; %lu instructions of "
        "real code, %lu scanned, %d random ones\n",
        ROUNDS, pass_ours(&real), pass_scanner(NULL), RANDOM_INSNS);
    compare_decoders("real code", &real);
    compare_decoders("random instructions", &random);
    compare_scanner(&real);
    free(real.at);
    free(random.at);
    return 0;
}
