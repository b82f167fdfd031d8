/*
 * The decoder against Zydis, an independent and complete one, in 32-bit and 16-bit code:
 * exhaustively over prefixes, opcode maps, opcodes and ModRM bytes; on the real code of ELF files;
 * then on random and on damaged instructions.
 *
 * usage: decoder-zydis [-p] [-r] [-c ELF-FILE]... [CASES [SEED]]
 *   -p  tell the progress of the random cases on stderr
 *   -r  random cases only: the ELF files are what is damaged, and are not compared themselves
 *
 * What must agree: the verdict, on whole instructions and on all that is shorter: good, undefined,
 * longer than 15 bytes, or "give more"; and of what is good the length, displacement, immediates,
 * what Zydis calls privileged, where control goes next, and whether data is reached through CS.
 * Differences that are meant, and counted:
 *  1. We reject extensions that our CPUID does not offer (a guest that uses them gets #UD from the
 *     emulator). Zydis tells the extension; the list is in not_offered().
 *  2. An opcode of such an extension is rejected by us where it stands. Zydis knows the extension
 *     and reads on, up to the end of the bytes or the limit of 15, before it finds the instruction
 *     undefined in any case (LOCK, a reserved VEX field). No CPU runs such bytes, and with all of
 *     them there both say so. The opcodes are listed in of_extension().
 */
#include <Zydis/Zydis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "decoder.h"
#include "guest_code.h"

#define GIVEN 16 /* bytes of a case: one more than an instruction can have */

static ZydisDecoder zydis[2];
static unsigned long cases, disagreements, meant_rejected, meant_early;

static bool not_offered(const ZydisDecodedInstruction *z)
{
    if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
        return true; /* VEX, EVEX, MVEX, XOP, 3DNow! */
    switch (z->meta.isa_ext) {
    case ZYDIS_ISA_EXT_RDRAND:
    case ZYDIS_ISA_EXT_RDSEED:
    case ZYDIS_ISA_EXT_RDPID:
    case ZYDIS_ISA_EXT_RDPRU:
    case ZYDIS_ISA_EXT_XSAVE:
    case ZYDIS_ISA_EXT_XSAVEC:
    case ZYDIS_ISA_EXT_XSAVEOPT:
    case ZYDIS_ISA_EXT_XSAVES:
    case ZYDIS_ISA_EXT_RTM:
    case ZYDIS_ISA_EXT_SMX:
    case ZYDIS_ISA_EXT_SMAP:
    case ZYDIS_ISA_EXT_SGX:
    case ZYDIS_ISA_EXT_SGX_ENCLV:
    case ZYDIS_ISA_EXT_PKU:
    case ZYDIS_ISA_EXT_PT:
    case ZYDIS_ISA_EXT_PCONFIG:
    case ZYDIS_ISA_EXT_CET:
    case ZYDIS_ISA_EXT_MONITORX:
    case ZYDIS_ISA_EXT_CLZERO:
    case ZYDIS_ISA_EXT_SNP:
    case ZYDIS_ISA_EXT_INVPCID:
    case ZYDIS_ISA_EXT_CLWB:
    case ZYDIS_ISA_EXT_CLFLUSHOPT:
    case ZYDIS_ISA_EXT_WAITPKG:
    case ZYDIS_ISA_EXT_SERIALIZE:
    case ZYDIS_ISA_EXT_TSX_LDTRK:
    case ZYDIS_ISA_EXT_HRESET:
    case ZYDIS_ISA_EXT_MCOMMIT:
    case ZYDIS_ISA_EXT_UINTR:
    case ZYDIS_ISA_EXT_RDWRFSGS:
    case ZYDIS_ISA_EXT_PADLOCK:
    case ZYDIS_ISA_EXT_AMD_INVLPGB:
    case ZYDIS_ISA_EXT_KEYLOCKER:
    case ZYDIS_ISA_EXT_KEYLOCKER_WIDE:
    case ZYDIS_ISA_EXT_SHA:
    case ZYDIS_ISA_EXT_SSE4A:
    case ZYDIS_ISA_EXT_GFNI:
    case ZYDIS_ISA_EXT_ADOX_ADCX:
    case ZYDIS_ISA_EXT_MOVDIR:
    case ZYDIS_ISA_EXT_ENQCMD:
    case ZYDIS_ISA_EXT_LONGMODE:
        return true;
    default:
        break;
    }
    switch (z->mnemonic) {
    case ZYDIS_MNEMONIC_SYSCALL:
    case ZYDIS_MNEMONIC_SYSRET:
    case ZYDIS_MNEMONIC_RSM:
    case ZYDIS_MNEMONIC_GETSEC:
    case ZYDIS_MNEMONIC_FEMMS:
    case ZYDIS_MNEMONIC_UD0:
    case ZYDIS_MNEMONIC_UD1:
    case ZYDIS_MNEMONIC_UD2:
    case ZYDIS_MNEMONIC_VMFUNC:
    case ZYDIS_MNEMONIC_TDCALL:
    case ZYDIS_MNEMONIC_SEAMCALL:
    case ZYDIS_MNEMONIC_SEAMOPS:
    case ZYDIS_MNEMONIC_SEAMRET:
        return true;
    default:
        return false;
    }
}

/* Opcodes that belong, in all or in some forms, to extensions of not_offered(). */
static bool of_extension(const struct insn *insn)
{
    static const uint8_t maps[4][32] = {
        {0x62, 0xC4, 0xC5,                         /* EVEX, VEX */
         0x8F, 0xC6, 0xC7},                        /* XOP; XABORT, XBEGIN */
        {0x01, 0xAE, 0xC7,                         /* groups with forms of many extensions */
         0x0F, 0xA6, 0xA7,                         /* 3DNow!, PadLock */
         0x2B, 0x78,                               /* SSE4A: MOVNTSS, MOVNTSD, EXTRQ, INSERTQ */
         0xB9, 0xFF},                              /* UD1, UD0 */
        {0xC8, 0xC9, 0xCA, 0xCB, 0xCC, 0xCD, 0xCF, /* SHA, GFNI */
         0xD8, 0xDC, 0xDD, 0xDE, 0xDF, 0xFA, 0xFB, /* Key Locker */
         0xF5, 0xF6, 0xF8, 0xF9},                  /* CET, ADX, MOVDIR, ENQCMD */
        {0xCC, 0xCE, 0xCF, 0xF0},                  /* SHA, GFNI, HRESET */
    };
    return insn->opcode && memchr(maps[insn->map], insn->opcode, sizeof(maps[0]));
}

static void report(const uint8_t *bytes, unsigned n, int bits, const char *what, long long ours,
                   long long theirs, ZydisMnemonic mnemonic)
{
    if (++disagreements > 40)
        return;
    printf("%d-bit", bits);
    for (unsigned i = 0; i < n; i++)
        printf(" %02x", bytes[i]);
    printf(": %s, ours %lld, Zydis %lld %s\n", what, ours, theirs,
           mnemonic ? ZydisMnemonicGetString(mnemonic) : "");
}

/* Does Zydis see a data access whose segment is CS? (Hints only name an address.) */
static bool reads_through_cs(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands)
{
    if (z->meta.category == ZYDIS_CATEGORY_NOP || z->meta.category == ZYDIS_CATEGORY_WIDENOP ||
        z->meta.category == ZYDIS_CATEGORY_PREFETCH ||
        z->meta.category == ZYDIS_CATEGORY_PREFETCHWT1 || z->mnemonic == ZYDIS_MNEMONIC_CLDEMOTE)
        return false;
    for (unsigned i = 0; i < z->operand_count; i++) {
        if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
            operands[i].mem.type == ZYDIS_MEMOP_TYPE_MEM &&
            operands[i].mem.segment == ZYDIS_REGISTER_CS)
            return true;
    }
    return false;
}

/* How Zydis would name our flow. Named far and software-interrupt transfers are not branches. */
static enum insn_flow flow_of(const ZydisDecodedInstruction *z)
{
    const bool relative = z->raw.imm[0].is_relative;
    switch (z->meta.category) {
    case ZYDIS_CATEGORY_COND_BR:
        return FLOW_BRANCH;
    case ZYDIS_CATEGORY_UNCOND_BR:
        return z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR ? FLOW_STOP
               : relative                                   ? FLOW_JUMP
                                                            : FLOW_INDIRECT;
    case ZYDIS_CATEGORY_CALL:
        return z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR ? FLOW_NEXT
               : relative                                   ? FLOW_CALL
                                                            : FLOW_CALL_IND;
    case ZYDIS_CATEGORY_RET:
        return z->meta.branch_type == ZYDIS_BRANCH_TYPE_NEAR ? FLOW_RETURN : FLOW_STOP;
    case ZYDIS_CATEGORY_SYSCALL:
    case ZYDIS_CATEGORY_SYSRET:
        return FLOW_STOP;
    default:
        return FLOW_NEXT;
    }
}

static uint64_t low_bytes(uint64_t v, unsigned size)
{
    return size >= 8 ? v : v & ((1ull << 8 * size) - 1);
}

/* Both accept: compare the encodings. */
static void compare_fields(const uint8_t *bytes, unsigned n, int bits, const struct insn *insn,
                           const ZydisDecodedInstruction *z)
{
    const uint8_t disp = z->raw.disp.size / 8, imm = z->raw.imm[0].size / 8;
    const struct {
        const char *what;
        int64_t ours, theirs;
    } fields[] = {
        {"length", insn->len, z->length},
        {"displacement size", insn->disp_size, disp},
        {"displacement", (int64_t)low_bytes((uint32_t)insn->disp, disp),
         (int64_t)low_bytes((uint64_t)z->raw.disp.value, disp)},
        {"immediate size", insn->imm_size, imm},
        {"immediate", (int64_t)low_bytes(insn->imm, imm),
         (int64_t)low_bytes(z->raw.imm[0].value.u, imm)},
        {"second immediate", insn->imm2, (uint16_t)z->raw.imm[1].value.u},
        {"address size", insn->adsize * 8, z->address_width},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (fields[i].ours != fields[i].theirs)
            report(bytes, n, bits, fields[i].what, fields[i].ours, fields[i].theirs, z->mnemonic);
    }
}

/* Both accept and mean the same instruction: compare what a VMM makes of it. */
static void compare_meaning(const uint8_t *bytes, unsigned n, int bits, const struct insn *insn,
                            const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands)
{
    const bool cs = insn_reads_through_cs(insn);
    if (insn->flow != flow_of(z))
        report(bytes, n, bits, "flow", insn->flow, flow_of(z), z->mnemonic);
    if (cs != reads_through_cs(z, operands))
        report(bytes, n, bits, "access through CS", cs, !cs, z->mnemonic);
    if ((z->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED) && insn->class != CLASS_PRIVILEGED)
        report(bytes, n, bits, "privileged", insn->class, CLASS_PRIVILEGED, z->mnemonic);
}

/* What is compared of two decodings. */
struct verdict {
    enum decode_result result;
    ZydisDecodedInstruction z;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

static void ask_zydis(struct verdict *v, const uint8_t *bytes, unsigned n, int bits)
{
    switch (ZydisDecoderDecodeFull(&zydis[bits == 32], bytes, n, &v->z, v->operands)) {
    case ZYAN_STATUS_SUCCESS:
        v->result = DECODE_OK;
        return;
    case ZYDIS_STATUS_NO_MORE_DATA:
        v->result = DECODE_MORE;
        return;
    case ZYDIS_STATUS_INSTRUCTION_TOO_LONG:
        v->result = DECODE_LONG;
        return;
    default:
        v->result = DECODE_INVALID;
    }
}

/* Compare the decodings of n bytes. Returns false when it is no use to compare those of fewer. */
static bool compare_bytes(const uint8_t *bytes, unsigned n, int bits)
{
    struct insn insn;
    struct verdict theirs;
    const enum decode_result ours = decode(&insn, bytes, n, bits);
    ask_zydis(&theirs, bytes, n, bits);
    cases++;
    const bool foreign = theirs.result == DECODE_OK && not_offered(&theirs.z);
    if (ours == DECODE_OK && theirs.result == DECODE_OK) {
        compare_fields(bytes, n, bits, &insn, &theirs.z);
        if (!foreign) /* else our opcode is another one, of the same length */
            compare_meaning(bytes, n, bits, &insn, &theirs.z, theirs.operands);
    } else if (foreign && ours == DECODE_INVALID) {
        meant_rejected++;
    } else if (ours != theirs.result) {
        if (ours == DECODE_INVALID && theirs.result != DECODE_OK && of_extension(&insn))
            meant_early++;
        else
            report(bytes, n, bits, "verdict", ours, theirs.result, theirs.z.mnemonic);
    }
    return !foreign;
}

/* The case, and its first bytes only, in all numbers. The bytes lie at the end of a block of
 * memory, so that the address sanitizer sees who reads on. */
static void compare_all_lengths(const uint8_t bytes[GIVEN], int bits)
{
    static uint8_t *block;
    if (!block && !(block = malloc(GIVEN)))
        abort();
    memcpy(block, bytes, GIVEN);
    if (!compare_bytes(block, GIVEN, bits))
        return;
    for (unsigned n = 0; n < GIVEN; n++) {
        memcpy(block + GIVEN - n, bytes, n);
        compare_bytes(block + GIVEN - n, n, bits);
    }
}

/* Instructions to damage. */
static uint8_t corpus[1 << 16][GIVEN];
static unsigned corpus_size;

static void remember(const uint8_t *bytes)
{
    if (corpus_size < sizeof(corpus) / sizeof(corpus[0]))
        memcpy(corpus[corpus_size++], bytes, GIVEN);
}

static void exhaustive(int bits, bool only_remember)
{
    static const char *const prefixes[] = {"",     "\x66", "\x67",     "\xF2",    "\xF3",
                                           "\x2E", "\xF0", "\x66\x67", "\x64\xF3"};
    static const char *const maps[] = {"", "\x0F", "\x0F\x38", "\x0F\x3A"};
    static const uint8_t tail[GIVEN] = {0x25, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88};
    unsigned number = 0;
    for (size_t p = 0; p < sizeof(prefixes) / sizeof(prefixes[0]); p++) {
        for (size_t m = 0; m < 4; m++) {
            for (unsigned code = 0; code < 0x10000; code++) {
                uint8_t bytes[GIVEN];
                struct insn insn;
                const size_t n = strlen(prefixes[p]), k = strlen(maps[m]);
                memcpy(bytes, prefixes[p], n);
                memcpy(bytes + n, maps[m], k);
                bytes[n + k] = (uint8_t)(code >> 8);
                bytes[n + k + 1] = (uint8_t)code;
                memcpy(bytes + n + k + 2, tail, GIVEN - (n + k + 2));
                if (decode(&insn, bytes, GIVEN, bits) == DECODE_OK && number++ % 67 == 0)
                    remember(bytes);
                if (only_remember)
                    continue;
                if (number % 16)
                    compare_bytes(bytes, GIVEN, bits);
                else
                    compare_all_lengths(bytes, bits);
            }
        }
    }
}

/* All instructions of a file, one behind the other. */
static void real_code(const char *path, bool only_remember)
{
    struct guest_file file;
    guest_load(path, &file, false);
    for (unsigned i = 0; i < file.code.areas; i++) {
        const struct area *area = &file.code.area[i];
        for (uint32_t at = 0, len; at + GIVEN <= area->size; at += len) {
            struct insn insn;
            const bool good = decode(&insn, area->bytes + at, GIVEN, 32) == DECODE_OK;
            len = good ? insn.len : 1;
            if (!only_remember)
                compare_all_lengths(area->bytes + at, 32);
            if (good)
                remember(area->bytes + at);
        }
    }
    guest_unload(&file);
}

static uint64_t state;

/* A random number below limit, which is at most 2^32. */
static unsigned below(uint64_t limit)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)((state >> 32) * limit >> 32);
}

static uint8_t random_prefix(void)
{
    static const uint8_t prefixes[] = {0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x26,
                                       0x2E, 0x36, 0x3E, 0x64, 0x65};
    return prefixes[below(sizeof(prefixes))];
}

static void noise(uint8_t bytes[GIVEN])
{
    for (unsigned i = 0; i < GIVEN; i++)
        bytes[i] = (uint8_t)below(256);
}

/* Some prefixes, perhaps an escape, and noise. */
static void likely(uint8_t bytes[GIVEN])
{
    static const uint8_t escapes[4][2] = {{0}, {0x0F}, {0x0F, 0x38}, {0x0F, 0x3A}};
    unsigned at = below(below(4) ? 4 : 15);
    noise(bytes);
    for (unsigned i = 0; i < at; i++)
        bytes[i] = random_prefix();
    for (unsigned i = 0, map = below(4); i < 2 && at < GIVEN; i++) {
        if (escapes[map][i])
            bytes[at++] = escapes[map][i];
    }
}

static void insert(uint8_t bytes[GIVEN], unsigned at, uint8_t byte)
{
    memmove(bytes + at + 1, bytes + at, GIVEN - 1 - at);
    bytes[at] = byte;
}

/* An instruction of the corpus with one to four things done to it. */
static void damaged(uint8_t bytes[GIVEN])
{
    memcpy(bytes, corpus[below(corpus_size)], GIVEN);
    for (unsigned times = 1 + below(4); times; times--) {
        const unsigned at = below(8);
        switch (below(6)) {
        case 0:
        case 1:
            bytes[at] ^= (uint8_t)(1 << below(8));
            break;
        case 2:
            bytes[at] = (uint8_t)below(256);
            break;
        case 3: /* take a byte out */
            memmove(bytes + at, bytes + at + 1, GIVEN - 1 - at);
            break;
        case 4:
            insert(bytes, below(4), random_prefix());
            break;
        default: /* redundant prefixes, up to the limit and beyond */
            for (unsigned n = below(GIVEN); n; n--)
                insert(bytes, 0, random_prefix());
        }
    }
}

static void random_cases(unsigned long n, bool tell)
{
    uint8_t bytes[GIVEN];
    for (unsigned long i = 0; i < n; i++) {
        const int bits = below(2) ? 32 : 16;
        switch (i % 3) {
        case 0:
            noise(bytes);
            compare_bytes(bytes, GIVEN, bits);
            break;
        case 1:
            likely(bytes);
            compare_bytes(bytes, GIVEN, bits);
            break;
        default:
            damaged(bytes);
            compare_all_lengths(bytes, bits);
        }
        if (tell && n >= 20 && (i + 1) % (n / 20) == 0)
            fprintf(stderr, "decoder-zydis: %lu of %lu strings, %lu disagreements\n", i + 1, n,
                    disagreements);
    }
}

int main(int argc, char **argv)
{
    bool only_random = false, tell = false;
    const char *files[8];
    unsigned file_count = 0;
    for (int option; (option = getopt(argc, argv, "prc:")) != -1;) {
        if (option == 'p')
            tell = true;
        else if (option == 'r')
            only_random = true;
        else if (option == 'c' && file_count < 8)
            files[file_count++] = optarg;
        else
            return 2;
    }
    const unsigned long n = optind < argc ? strtoul(argv[optind], NULL, 0) : 1000000;
    state = (optind + 1 < argc ? strtoull(argv[optind + 1], NULL, 0) : 1) * 0x9E3779B97F4A7C15ull;
    for (int i = 0; i < 2; i++) {
        ZydisDecoderInit(&zydis[i], i ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LEGACY_16,
                         i ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16);
        /* Without these extensions their opcodes are long NOPs. */
        ZydisDecoderEnableMode(&zydis[i], ZYDIS_DECODER_MODE_MPX, false);
        ZydisDecoderEnableMode(&zydis[i], ZYDIS_DECODER_MODE_CET, false);
    }
    for (unsigned i = 0; i < file_count; i++)
        real_code(files[i], only_random);
    exhaustive(32, only_random);
    exhaustive(16, only_random);
    random_cases(n, tell);
    printf(
        "decoder-zydis: %lu cases, %lu disagreements (%lu random strings; meant: %lu not offered "
        "by CPUID, %lu rejected early)\n",
        cases, disagreements, n, meant_rejected, meant_early);
    return disagreements != 0;
}
