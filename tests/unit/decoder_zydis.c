/*
 * The decoder against Zydis, an independent and complete one, in 32-bit and 16-bit code:
 * exhaustively over prefixes, opcode maps, opcodes and ModRM bytes, then on random instructions.
 *
 * usage: decoder-zydis [RANDOM-CASES [SEED]]
 *
 * What must agree: we accept all that Zydis accepts and our guests' CPUID offers; and of what both
 * accept the length, displacement, immediates, what Zydis calls privileged, where control goes
 * next, and whether data is reached through CS. Differences that are meant:
 *  1. We reject extensions that our CPUID does not offer (a guest that uses them gets #UD from the
 *     emulator). Zydis tells the extension; the list is in not_offered().
 *  2. In the rows of SIMD and x87 instructions we accept encodings that Zydis rejects (a missing or
 *     wrong mandatory prefix, a register where memory must be). Such bytes are copied and run, and
 *     the CPU itself raises #UD: nothing sensitive hides there. See left_to_cpu().
 *  3. System instructions with a prefix that they do not allow: we accept them, and as they are
 *     privileged or sensitive the VMM gets control in any case.
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
    case ZYDIS_ISA_EXT_SHA:
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
static bool left_to_cpu(const struct insn *insn)
{
    const uint8_t op = insn->opcode;
    if (insn->map == 1 && insn->class != CLASS_INNOCUOUS)
        return insn->prefixes & (PFX_REP | PFX_REPNE | PFX_OPSIZE);
    if (insn->class != CLASS_INNOCUOUS)
        return insn->map == 2 && op >= 0x80 && op <= 0x82; /* INVEPT and INVVPID without 66 */
    if (insn->map >= 2)
        return true;
    if (insn->map == 0)
        return op >= 0xD8 && op <= 0xDF;
    return op == 0x0D || (op >= 0x10 && op <= 0x1F) || (op >= 0x28 && op <= 0x2F) ||
           (op >= 0x50 && op <= 0x7F) || op == 0xA5 || op == 0xAE || op == 0xB8 || op == 0xC2 ||
           op == 0xC3 || (op >= 0xC4 && op <= 0xC6) || op >= 0xD0;
}

static void report(const uint8_t *bytes, int bits, const char *what, long long ours,
                   long long theirs, ZydisMnemonic mnemonic)
{
    if (++disagreements > 40)
        return;
    printf("%d-bit", bits);
    for (int i = 0; i < INSN_MAX; i++)
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
static void compare_fields(const uint8_t *bytes, int bits, const struct insn *insn,
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
            report(bytes, bits, fields[i].what, fields[i].ours, fields[i].theirs, z->mnemonic);
    }
}

/* Both accept and mean the same instruction: compare what a VMM makes of it. */
static void compare_meaning(const uint8_t *bytes, int bits, const struct insn *insn,
                            const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands)
{
    const bool cs = insn_reads_through_cs(insn);
    if (insn->flow != flow_of(z))
        report(bytes, bits, "flow", insn->flow, flow_of(z), z->mnemonic);
    if (cs != reads_through_cs(z, operands))
        report(bytes, bits, "access through CS", cs, !cs, z->mnemonic);
    if ((z->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED) && insn->class != CLASS_PRIVILEGED)
        report(bytes, bits, "privileged", insn->class, CLASS_PRIVILEGED, z->mnemonic);
}

static void compare(const uint8_t bytes[16], int bits)
{
    struct insn insn;
    ZydisDecodedInstruction z;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    const bool ours = decode(&insn, bytes, 16, bits) == DECODE_OK;
    const bool theirs =
        ZYAN_SUCCESS(ZydisDecoderDecodeFull(&zydis[bits == 32], bytes, INSN_MAX, &z, operands));
    cases++;
    if (ours && theirs) {
        compare_fields(bytes, bits, &insn, &z);
        if (!not_offered(&z)) /* else our opcode is another one that needs no such prefix */
            compare_meaning(bytes, bits, &insn, &z, operands);
    } else if (theirs) {
        if (not_offered(&z))
            meant_rejected++;
        else
            report(bytes, bits, "rejected", 0, z.length, z.mnemonic);
    } else if (ours) {
        if (left_to_cpu(&insn))
            meant_accepted++;
        else
            report(bytes, bits, "accepted", insn.len, 0, 0);
    }
}

static void exhaustive(int bits)
{
    static const char *const prefixes[] = {"",     "\x66", "\x67",     "\xF2",    "\xF3",
                                           "\x2E", "\xF0", "\x66\x67", "\x64\xF3"};
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

static uint8_t random_byte(uint64_t *state)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint8_t)(*state >> 56);
}

/* A third each: noise; noise behind some prefixes and an escape byte; the last case, damaged. */
static void random_cases(unsigned long n, uint64_t seed)
{
    static const uint8_t common[] = {0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x26, 0x2E, 0x36,
                                     0x3E, 0x64, 0x65, 0x0F, 0x0F, 0x0F, 0x0F, 0x0F};
    uint8_t bytes[16] = {0};
    uint64_t state = seed * 2 + 1;
    for (unsigned long i = 0; i < n; i++) {
        if (i % 3 == 2) {
            bytes[random_byte(&state) % 16] = random_byte(&state);
        } else {
            for (int k = 0; k < 16; k++)
                bytes[k] = random_byte(&state);
            for (int k = random_byte(&state) % 6; i % 3 == 1 && k > 0; k--)
                bytes[k - 1] = common[random_byte(&state) % sizeof(common)];
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
    random_cases(n, argc > 2 ? strtoull(argv[2], NULL, 0) : 1);
    printf("decoder-zydis: %lu cases, %lu disagreements (%lu not offered by CPUID, %lu left to the "
           "CPU)\n",
           cases, disagreements, meant_rejected, meant_accepted);
    return disagreements != 0;
}
