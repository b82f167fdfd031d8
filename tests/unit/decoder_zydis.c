/*
 * The decoder against Zydis, an independent and complete one, in 32-bit and 16-bit code:
 * exhaustively over prefixes, opcode maps, opcodes and ModRM bytes, then on random bytes.
 *
 * usage: decoder-zydis [RANDOM-CASES [SEED]]
 *
 * What must agree: the length of everything that both accept; and that we accept all that Zydis
 * accepts and our guests' CPUID offers. Two kinds of difference are meant:
 *  1. We reject extensions that our CPUID does not offer (a guest that uses them gets #UD from the
 *     emulator). Zydis tells the extension; the list is in not_offered().
 *  2. In the rows of SIMD instructions we accept encodings that Zydis rejects (a missing or wrong
 *     mandatory prefix, a register where memory must be). Such bytes are copied and run, and the
 *     CPU itself raises #UD: nothing sensitive hides there. See simd_row().
 */
#include <Zydis/Zydis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decoder.h"

static ZydisDecoder zydis[2];
static unsigned long cases, disagreements, meant_rejected, meant_accepted;

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
    case ZYDIS_ISA_EXT_MPX:
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
    case ZYDIS_MNEMONIC_EXTRQ:
    case ZYDIS_MNEMONIC_INSERTQ:
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

/* Opcodes whose validity depends on mandatory prefixes, or on the x87 and SIMD tables. */
static bool simd_row(const struct insn *insn)
{
    const uint8_t op = insn->opcode;
    if (insn->map >= 2)
        return true;
    if (insn->map == 0)
        return op >= 0xD8 && op <= 0xDF;
    return op == 0x0D || (op >= 0x10 && op <= 0x1F) || (op >= 0x28 && op <= 0x2F) ||
           (op >= 0x50 && op <= 0x7F) || op == 0xA5 || op == 0xAE || op == 0xB8 || op == 0xC2 ||
           op == 0xC3 || (op >= 0xC4 && op <= 0xC6) || op >= 0xD0;
}

static void report(const uint8_t *bytes, int bits, const char *what, unsigned ours, unsigned theirs,
                   const char *mnemonic)
{
    if (++disagreements > 40)
        return;
    printf("%d-bit", bits);
    for (int i = 0; i < 12; i++)
        printf(" %02x", bytes[i]);
    printf(": %s, ours %u, Zydis %u %s\n", what, ours, theirs, mnemonic);
}

static void compare(const uint8_t bytes[16], int bits)
{
    struct insn insn;
    ZydisDecodedInstruction z;
    const bool ours = decode(&insn, bytes, 16, bits) == DECODE_OK;
    const bool theirs = ZYAN_SUCCESS(
        ZydisDecoderDecodeInstruction(&zydis[bits == 32], NULL, bytes, 15, &z));
    cases++;
    if (ours && theirs) {
        if (insn.len != z.length)
            report(bytes, bits, "length", insn.len, z.length, ZydisMnemonicGetString(z.mnemonic));
    } else if (theirs) {
        if (not_offered(&z))
            meant_rejected++;
        else
            report(bytes, bits, "rejected", 0, z.length, ZydisMnemonicGetString(z.mnemonic));
    } else if (ours) {
        if (simd_row(&insn) || (insn.prefixes & (PFX_REP | PFX_REPNE | PFX_OPSIZE) && insn.map))
            meant_accepted++;
        else
            report(bytes, bits, "accepted", insn.len, 0, "");
    }
}

static void exhaustive(int bits)
{
    static const char *const prefixes[] = {"", "\x66", "\x67", "\xF2", "\xF3", "\x2E", "\xF0",
                                           "\x66\x67", "\x64\xF3"};
    static const char *const maps[] = {"", "\x0F", "\x0F\x38", "\x0F\x3A"};
    static const uint8_t tail[12] = {0x25, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88};
    for (size_t p = 0; p < sizeof(prefixes) / sizeof(prefixes[0]); p++) {
        for (size_t m = 0; m < 4; m++) {
            for (unsigned code = 0; code < 0x10000; code++) {
                uint8_t bytes[16] = {0};
                size_t n = strlen(prefixes[p]), k = strlen(maps[m]);
                memcpy(bytes, prefixes[p], n);
                memcpy(bytes + n, maps[m], k);
                n += k;
                bytes[n] = (uint8_t)(code >> 8);
                bytes[n + 1] = (uint8_t)code;
                memcpy(bytes + n + 2, tail, 16 - (n + 2) < 12 ? 16 - (n + 2) : 12);
                compare(bytes, bits);
            }
        }
    }
}

static void random_bytes(unsigned long n, uint64_t seed)
{
    uint64_t x = seed * 2 + 1;
    for (unsigned long i = 0; i < n; i++) {
        uint8_t bytes[16];
        for (int k = 0; k < 16; k++) {
            x = x * 6364136223846793005ull + 1442695040888963407ull;
            bytes[k] = (uint8_t)(x >> 56);
        }
        compare(bytes, i & 1 ? 32 : 16);
    }
}

int main(int argc, char **argv)
{
    const unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 0) : 1000000;
    ZydisDecoderInit(&zydis[0], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    ZydisDecoderInit(&zydis[1], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    exhaustive(32);
    exhaustive(16);
    random_bytes(n, argc > 2 ? strtoull(argv[2], NULL, 0) : 1);
    printf("decoder-zydis: %lu cases, %lu disagreements (%lu not offered by CPUID, %lu left to the "
           "CPU)\n",
           cases, disagreements, meant_rejected, meant_accepted);
    return disagreements != 0;
}
