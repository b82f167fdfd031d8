/*
 * Minnow's promise, proved on the finished file: every privileged or sensitive instruction of the
 * kernel is at a recorded site. All of the text is disassembled with Zydis, which knows nothing of
 * our decoder.
 *
 * usage: guest-sites MINNOW.ELF PROGRAM.full...     Writes TAP; offenders are comments.
 *
 * The sweep starts anew at every symbol and goes straight on from there. That this is how the CPU
 * will cut the bytes is checked too: every byte is part of an instruction or known filling, and
 * every direct jump and call lands on an instruction that the sweep has seen. (Indirect ones go to
 * functions, or by GCC's tables to places in their own function.) RDTSC is not among the
 * instructions looked for: programs may use it as well.
 *
 * The first results are about the test itself: small pieces of code with known mistakes.
 */
#include <Zydis/Zydis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest_code.h"
#include "patcher.h"

/* Why an instruction must not stand just anywhere. */
enum kind {
    PLAIN = 0,
    PRIVILEGED = 1, /* faults in ring 3, some of them only when IOPL is below 3 */
    SEGMENT = 2,    /* moves a segment register */
    FAR = 4,        /* far jump, call or return */
    TABLE = 8,      /* reads a table register, or looks into a descriptor table */
    FLAGS = 16,     /* PUSHF, POPF: the interrupt flag without a trap */
    TRAP = 32,      /* INT n and its relatives, IRET, SYSENTER */
    CPUID = 64,
    ANY_KIND = 127,
};

/* What may stand outside of sites: as little as possible, and why. Names are those of labels in
 * boot.asm and traps.asm, and of one function of cpu.c. */
static const struct exempt {
    const char *name;
    unsigned kinds;
    bool is_entry; /* it is where the boot loader jumps to, whatever else has the same name */
} exempt[] = {
    {"start", ANY_KIND, true},               /* before paging; sites need it */
    {"trap_entry", SEGMENT, false},          /* saves and loads the segment registers, like: */
    {"trap_return", SEGMENT, false},         /* its IRET is a site */
    {"load_segments", SEGMENT | FAR, false}, /* once at boot, after LGDT */
};
#define EXEMPTS (sizeof(exempt) / sizeof(exempt[0]))

/* Programs that run privileged instructions on purpose, to see them fail. */
static const char *const daring_programs[] = {"crash", "fuzz", "sensitive", "usertests"};

/* One check of the test: counts what is wrong and prints the first of it. */
struct check {
    bool quiet;
    unsigned offenders;
    uint32_t last; /* address of the newest one */
};

static ZydisDecoder decoder;
static ZydisFormatter formatter;
static unsigned results, failures;

static void offend(struct check *check, uint32_t gva, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void offend(struct check *check, uint32_t gva, const char *format, ...)
{
    check->last = gva;
    if (++check->offenders > 20 || check->quiet)
        return;
    va_list ap;
    va_start(ap, format);
    printf("# %08x: ", gva);
    vprintf(format, ap);
    printf("\n");
    va_end(ap);
}

static void result(bool good, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void result(bool good, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    printf("%sok %u - sites/", good ? "" : "not ", ++results);
    vprintf(format, ap);
    printf("\n");
    va_end(ap);
    failures += !good;
}

/* ---- One instruction. ---- */

struct instruction {
    uint32_t gva;
    ZydisDecodedInstruction z;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

static bool one_of(ZydisMnemonic mnemonic, const ZydisMnemonic *list)
{
    while (*list && *list != mnemonic)
        list++;
    return *list;
}
#define IS(mnemonic, ...) one_of(mnemonic, (const ZydisMnemonic[]){__VA_ARGS__, 0})
#define M(name) ZYDIS_MNEMONIC_##name

/* SDM vol. 3A section 5.9 and the instructions that obey IOPL; what our CPUID does not offer is
 * left to Zydis' attribute, which in turn does not know all of these. */
static bool is_privileged(const ZydisDecodedInstruction *z)
{
    return (z->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED) || z->meta.category == ZYDIS_CATEGORY_IO ||
           z->meta.category == ZYDIS_CATEGORY_IOSTRINGOP ||
           IS(z->mnemonic, M(CLI), M(STI), M(HLT), M(IN), M(OUT), M(INSB), M(INSW), M(INSD),
              M(OUTSB), M(OUTSW), M(OUTSD), M(LGDT), M(LIDT), M(LLDT), M(LTR), M(LMSW), M(CLTS),
              M(INVD), M(WBINVD), M(INVLPG), M(INVPCID), M(RDMSR), M(WRMSR), M(RDPMC), M(XSETBV),
              M(MONITOR), M(MWAIT), M(SYSEXIT), M(SYSRET), M(RSM), M(VMXON), M(VMRUN), M(VMCALL),
              M(VMMCALL));
}

/* The list of Robin and Irvine (USENIX Security 2000): sensitive, but no trap in ring 3. */
static unsigned sensitive_kind(const ZydisDecodedInstruction *z)
{
    if (IS(z->mnemonic, M(SGDT), M(SIDT), M(SLDT), M(SMSW), M(STR), M(LAR), M(LSL), M(VERR),
           M(VERW)))
        return TABLE;
    if (IS(z->mnemonic, M(PUSHF), M(PUSHFD), M(POPF), M(POPFD)))
        return FLAGS;
    if (IS(z->mnemonic, M(INT), M(INT1), M(INT3), M(INTO), M(IRET), M(IRETD), M(SYSENTER),
           M(SYSCALL)))
        return TRAP;
    if (z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
        return FAR;
    return z->mnemonic == M(CPUID) ? CPUID : PLAIN;
}

static unsigned kind_of(const struct instruction *insn)
{
    unsigned kind = (is_privileged(&insn->z) ? PRIVILEGED : 0) | sensitive_kind(&insn->z);
    if (IS(insn->z.mnemonic, M(LDS), M(LES), M(LFS), M(LGS), M(LSS)))
        kind |= SEGMENT;
    for (unsigned i = 0; i < insn->z.operand_count_visible; i++) {
        if (insn->operands[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
            continue;
        switch (ZydisRegisterGetClass(insn->operands[i].reg.value)) {
        case ZYDIS_REGCLASS_SEGMENT:
            kind |= SEGMENT;
            break;
        case ZYDIS_REGCLASS_CONTROL:
        case ZYDIS_REGCLASS_DEBUG:
        case ZYDIS_REGCLASS_TEST:
            kind |= PRIVILEGED;
            break;
        default:
            break;
        }
    }
    return kind;
}

/* ---- The sweep, and what it looks for. ---- */

/* The symbol of an exemption: one alone, or none at all. */
static const struct symbol *exempt_symbol(const struct code *code, const struct exempt *e)
{
    const struct symbol *found = NULL;
    for (unsigned i = 0; i < code->symbols; i++) {
        const struct symbol *s = &code->symbol[i];
        if (strcmp(s->name, e->name) || (e->is_entry && s->gva != code->entry))
            continue;
        if (found)
            return NULL;
        found = s;
    }
    return found;
}

static bool is_exempt(const struct code *code, uint32_t gva, unsigned kinds)
{
    for (unsigned i = 0; i < EXEMPTS; i++) {
        const struct symbol *s = exempt_symbol(code, &exempt[i]);
        if (s && s == owner(code, gva))
            return !(kinds & ~exempt[i].kinds);
    }
    return false;
}

static uint32_t min(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Where the stretch that begins at gva ends: at the next symbol, or with its function. */
static uint32_t stretch_end(const struct code *code, const struct area *area, uint32_t gva)
{
    uint32_t end = area->gva + area->size;
    for (unsigned i = 0; i < code->symbols; i++) {
        const struct symbol *s = &code->symbol[i];
        if (s->gva > gva)
            end = min(end, s->gva);
        if (s->function && s->size && s->gva <= gva && s->gva + s->size > gva)
            end = min(end, s->gva + s->size);
    }
    return end;
}

/* Bytes at gva up to end that are not code: the linker's 0xCC, which is also what the hypercall
 * page holds until a VMM fills it, but only from the last instruction of a stretch to its end; and
 * the Multiboot header (section 3.1: magic, flags, and what makes the sum 0). */
static uint32_t filling(const struct area *area, uint32_t gva, uint32_t end)
{
    const uint8_t *p = area->bytes + (gva - area->gva);
    uint32_t header[3], n = 0;
    if (gva == area->gva && end - gva >= sizeof(header)) {
        memcpy(header, p, sizeof(header));
        if (header[0] == 0x1BADB002 && !(header[0] + header[1] + header[2]))
            return sizeof(header);
    }
    while (gva + n < end && p[n] == 0xCC)
        n++;
    return gva + n == end ? n : 0;
}

/* In the body of a C function, where 0xCC would be an INT3 that somebody wrote. */
static bool in_function(const struct code *code, uint32_t gva)
{
    const struct symbol *s = owner(code, gva);
    return s && s->function && gva - s->gva < s->size;
}

typedef void visit(struct check *check, const struct code *code, const struct instruction *insn);

static void sweep_area(struct check *check, const struct code *code, const struct area *area,
                       visit *visit)
{
    uint32_t gva = area->gva;
    while (gva < area->gva + area->size) {
        const uint32_t end = stretch_end(code, area, gva), fill = filling(area, gva, end);
        struct instruction insn = {.gva = gva};
        if (fill && !in_function(code, gva)) {
            gva += fill;
        } else if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, area->bytes + (gva - area->gva),
                                                       end - gva, &insn.z, insn.operands))) {
            area->starts[gva - area->gva] = 1;
            if (visit)
                visit(check, code, &insn);
            gva += insn.z.length;
        } else {
            if (!visit)
                offend(check, gva, "%s: no instruction fits before %08x", owner_name(code, gva),
                       end);
            gva = end;
        }
    }
}

/* Without a visitor: complains of what does not decode, and marks the starts of instructions. */
static struct check sweep(const struct code *code, bool quiet, visit *visit)
{
    struct check check = {.quiet = quiet};
    for (unsigned i = 0; i < code->areas; i++)
        sweep_area(&check, code, &code->area[i], visit);
    return check;
}

static void offend_instruction(struct check *check, const struct code *code,
                               const struct instruction *insn, const char *what)
{
    char text[128] = "?";
    ZydisFormatterFormatInstruction(&formatter, &insn->z, insn->operands,
                                    insn->z.operand_count_visible, text, sizeof(text), insn->gva,
                                    NULL);
    offend(check, insn->gva, "%s: %s: %s", owner_name(code, insn->gva), text, what);
}

static void want_site(struct check *check, const struct code *code, const struct instruction *insn,
                      unsigned kinds)
{
    const unsigned kind = kind_of(insn);
    if ((kind & kinds) && !site_at(code, insn->gva) && !is_exempt(code, insn->gva, kind))
        offend_instruction(check, code, insn, "not at a site");
}

static void want_privileged_at_site(struct check *check, const struct code *code,
                                    const struct instruction *insn)
{
    want_site(check, code, insn, PRIVILEGED);
}

static void want_sensitive_at_site(struct check *check, const struct code *code,
                                   const struct instruction *insn)
{
    if (!(kind_of(insn) & PRIVILEGED))
        want_site(check, code, insn, ANY_KIND);
}

static void want_nothing_privileged(struct check *check, const struct code *code,
                                    const struct instruction *insn)
{
    if (kind_of(insn) & PRIVILEGED)
        offend_instruction(check, code, insn, "privileged");
}

/* A jump into an instruction would run other bytes than those that were looked at; one into a site
 * would run half of its patched form. */
static void want_good_target(struct check *check, const struct code *code,
                             const struct instruction *insn)
{
    ZyanU64 absolute;
    if (!insn->z.raw.imm[0].is_relative ||
        !ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&insn->z, &insn->operands[0], insn->gva, &absolute)))
        return;
    const uint32_t target = (uint32_t)absolute;
    const struct area *area = area_of(code, target);
    const struct pv_site *site = site_at(code, target);
    const struct symbol *s = owner(code, target);
    if (site && target != site->gva)
        offend_instruction(check, code, insn, "goes into a site");
    else if (!area || (!area->starts[target - area->gva] && !(s && s->gva == target)))
        offend_instruction(check, code, insn, "does not go to the start of an instruction");
}

/* Every site holds what its record says, and the sweep cuts it off from its neighbours. */
static struct check check_sites(const struct code *code, bool quiet)
{
    struct check check = {.quiet = quiet};
    for (unsigned i = 0; i < code->sites; i++) {
        const struct pv_site *site = &code->site[i];
        const struct area *area = area_of(code, site->gva);
        const uint32_t at = area ? site->gva - area->gva : 0;
        uint8_t plain[PV_SITE_LEN];
        if (!area || area->size - at < PV_SITE_LEN)
            offend(&check, site->gva, "site outside of the text");
        else if (site->len != PV_SITE_LEN || site->reserved || !pv_plain_bytes(site->op, plain))
            offend(&check, site->gva, "site of length %u with operation %u", site->len, site->op);
        else if (memcmp(area->bytes + at, plain, PV_SITE_LEN))
            offend(&check, site->gva, "%s: not the plain bytes of %s", owner_name(code, site->gva),
                   pv_op_name(site->op));
        else if (!area->starts[at])
            offend(&check, site->gva, "site in the middle of an instruction");
    }
    return check;
}

static struct check check_overlaps(const struct code *code, bool quiet)
{
    struct check check = {.quiet = quiet};
    for (unsigned i = 0; i < code->sites; i++) {
        const uint32_t gva = code->site[i].gva;
        for (unsigned k = 0; k < i; k++) {
            if (gva - code->site[k].gva < PV_SITE_LEN || code->site[k].gva - gva < PV_SITE_LEN)
                offend(&check, gva, "overlaps the site at %08x", code->site[k].gva);
        }
        for (unsigned k = 0; k < code->symbols; k++) {
            if (code->symbol[k].gva - gva - 1 < PV_SITE_LEN - 1)
                offend(&check, gva, "%s is inside of this site", code->symbol[k].name);
        }
    }
    return check;
}

/* ---- The test of the test. ---- */

#define TEXT 0x1000u

/* A function f of n bytes, with up to one site; other symbols are the caller's. */
struct sample {
    uint8_t bytes[32], starts[32];
    struct symbol symbol[2];
    struct pv_site site[2];
    struct code code;
};

static struct code *sample(struct sample *s, const char *name, const uint8_t *bytes, unsigned n)
{
    memset(s, 0, sizeof(*s));
    memcpy(s->bytes, bytes, n);
    s->symbol[0] = (struct symbol){TEXT, n, name, true};
    s->code.area[0] = (struct area){TEXT, n, s->bytes, s->starts};
    s->code.areas = s->code.symbols = 1;
    s->code.symbol = s->symbol;
    s->code.site = s->site;
    return &s->code;
}
#define SAMPLE(s, name, ...)                                                                       \
    sample(s, name, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static bool finds(struct check check, uint32_t gva)
{
    return check.offenders == 1 && check.last == gva;
}

/* nop; cli; ret: found in any function but the entry point, and not when it is a site. */
static void self_test_stray_instruction(void)
{
    struct sample s;
    struct code *code = SAMPLE(&s, "f", 0x90, 0xFA, 0xC3);
    bool good = finds(sweep(code, true, want_privileged_at_site), TEXT + 1);
    good &= finds(sweep(code, true, want_nothing_privileged), TEXT + 1);
    good &= !sweep(code, true, NULL).offenders;
    s.symbol[0].name = "trap_entry"; /* exempt, but not for this */
    good &= finds(sweep(code, true, want_privileged_at_site), TEXT + 1);
    s.symbol[0].name = "start"; /* some other function of that name */
    good &= finds(sweep(code, true, want_privileged_at_site), TEXT + 1);
    code->entry = TEXT;
    good &= !sweep(code, true, want_privileged_at_site).offenders;
    result(good, "self-test: a stray CLI is found, wherever it is");

    code = SAMPLE(&s, "f", 0x90, 0x8E, 0xD8, 0xC3); /* nop; mov ds, eax; ret */
    good = finds(sweep(code, true, want_sensitive_at_site), TEXT + 1);
    good &= !sweep(code, true, want_privileged_at_site).offenders;
    s.symbol[0].name = "load_segments";
    good &= !sweep(code, true, want_sensitive_at_site).offenders;
    s.symbol[1] = (struct symbol){TEXT + 1, 3, "g", true};
    code->symbols = 2; /* the instruction is g's now */
    good &= finds(sweep(code, true, want_sensitive_at_site), TEXT + 1);
    result(good, "self-test: a stray segment load is found, but for the exempt symbols");
}

static void self_test_sites(void)
{
    struct sample s;
    struct code *code = SAMPLE(&s, "f", 0x90, 0xFB, 0xF4, 0x66, 0x0F, 0x1F, 0x44, 0, 0, 0xC3);
    s.site[0] = s.site[1] = (struct pv_site){TEXT + 1, PV_SITE_LEN, PV_OP_STI_HLT, 0};
    bool good = sweep(code, true, want_privileged_at_site).offenders == 2;
    code->sites = 1;
    good &= !sweep(code, true, want_privileged_at_site).offenders;
    good &= !check_sites(code, true).offenders && !check_overlaps(code, true).offenders;
    code->sites = 2;
    good &= finds(check_overlaps(code, true), TEXT + 1);
    code->sites = 1;
    s.symbol[1] = (struct symbol){TEXT + 3, 0, "label", false};
    code->symbols = 2;
    good &= finds(check_overlaps(code, true), TEXT + 1);
    code->symbols = 1;
    s.bytes[2] = 0x90; /* sti; nop is not sti; hlt */
    good &= finds(check_sites(code, true), TEXT + 1);
    s.bytes[2] = 0xF4;
    s.site[0].op = PV_OP_COUNT;
    good &= finds(check_sites(code, true), TEXT + 1);
    s.site[0].op = PV_OP_STI_HLT;
    s.site[0].gva = TEXT + 3; /* its end is not in the text */
    good &= finds(check_sites(code, true), TEXT + 3);
    result(good, "self-test: a wrong, overlapping or entered site is found");
}

static void self_test_sweep(void)
{
    struct sample s;
    /* mov eax, 0x00FA00FA; and a jump to the CLI inside of it */
    struct code *code = SAMPLE(&s, "f", 0xB8, 0xFA, 0x00, 0xFA, 0x00, 0xEB, 0xFA);
    bool good = !sweep(code, true, NULL).offenders;
    good &= !sweep(code, true, want_privileged_at_site).offenders;
    good &= finds(sweep(code, true, want_good_target), TEXT + 5);
    s.bytes[6] = 0xF9;
    good &= !sweep(code, true, want_good_target).offenders;
    s.site[0] = (struct pv_site){TEXT - 1, PV_SITE_LEN, PV_OP_CLI, 0};
    code->sites = 1;
    good &= finds(sweep(code, true, want_good_target), TEXT + 5);
    result(good, "self-test: a jump into an instruction or a site is found");

    code = SAMPLE(&s, "f", 0x90, 0x0F, 0xFF); /* no such instruction */
    good = finds(sweep(code, true, NULL), TEXT + 1);
    code = SAMPLE(&s, "f", 0x90, 0xC3, 0xCC, 0xCC);
    good &= sweep(code, true, want_sensitive_at_site).offenders == 2; /* INT3 in the function */
    s.symbol[0].size = 2;
    good &= !sweep(code, true, want_sensitive_at_site).offenders; /* filling behind it */
    s.bytes[3] = 0xFA;
    good &= finds(sweep(code, true, want_privileged_at_site), TEXT + 3);
    s.symbol[0].size = 4;
    s.bytes[2] = 0xB8; /* mov eax, and nothing more */
    good &= finds(sweep(code, true, NULL), TEXT + 2);
    result(good, "self-test: what is neither instruction nor filling is found");
}

/* Instructions in hexadecimal, as the assembler writes them, and the kind that each must have. */
static const struct {
    unsigned kind;
    const char *code;
} kinds[] = {
    {PRIVILEGED, "FA FB F4"},                           /* cli sti hlt */
    {PRIVILEGED, "EC 66ED E580 EE EF E680"},            /* in out */
    {PRIVILEGED, "6C F3666D 6E F3666F 6F"},             /* ins outs */
    {PRIVILEGED, "0F20C0 0F22D8 0F20D0 0F21F8 0F23C0"}, /* mov cr, dr */
    {PRIVILEGED, "0F0110 0F0118 0F00D0 0F00D8"},        /* lgdt lidt lldt ltr */
    {PRIVILEGED, "0F01F0 0F06 0F08 0F09 0F0138"},       /* lmsw clts invd wbinvd invlpg */
    {PRIVILEGED, "0F32 0F30 0F33 0F01D1 0F01C1"},       /* rdmsr wrmsr rdpmc xsetbv vmcall */
    {PRIVILEGED, "0F35 0FAA 0F01C8 0F01C9 0F01D9"},     /* sysexit rsm monitor mwait vmmcall */
    {TABLE, "0F0100 0F0108 0F00C0 0F01E0 0F00C8"},      /* sgdt sidt sldt smsw str */
    {TABLE, "0F02C0 0F03C0 0F00E0 0F00E8"},             /* lar lsl verr verw */
    {FLAGS, "9C 669C 9D 669D"},                         /* pushf popf */
    {SEGMENT, "1E 0FA9 8CC8 8EC0 8C18 C400 0FB200"},    /* push pop mov les lss */
    {FAR, "EA000000000800 FF28 9A000000000800 FF18 CB CA0400"}, /* jmp call ret */
    {TRAP, "CD80 CC CE F1 CF 66CF 0F34"}, /* int int3 into int1 iret sysenter */
    {CPUID, "0FA2"},
    {PLAIN, "90 C3 FF10 3E8B00 F3A5 0F31 FC 0F1F440000"}, /* nop ret call ds: movs rdtsc cld nop */
};

/* The next instruction of a list into bytes[]; returns its length, 0 at the end. */
static unsigned next_code(const char **list, uint8_t bytes[ZYDIS_MAX_INSTRUCTION_LENGTH])
{
    unsigned n = 0, byte;
    while (**list == ' ')
        ++*list;
    for (; sscanf(*list, "%2x", &byte) == 1 && **list != ' '; *list += 2)
        bytes[n++] = (uint8_t)byte;
    return n;
}

static void self_test_kinds(void)
{
    unsigned n, count = 0, wrong = 0;
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const char *list = kinds[i].code;
        uint8_t bytes[ZYDIS_MAX_INSTRUCTION_LENGTH];
        while ((n = next_code(&list, bytes))) {
            struct instruction insn = {0};
            const bool ok =
                ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, n, &insn.z, insn.operands));
            count++;
            if (ok && insn.z.length == n && kind_of(&insn) == kinds[i].kind)
                continue;
            wrong++;
            printf("# the %u bytes before \"%s\": not one instruction of kind %u\n", n, list,
                   kinds[i].kind);
        }
    }
    result(!wrong && count > 60, "self-test: %u instructions have the right kind", count);
}

/* ---- The finished files. ---- */

/* An exemption that names nothing, or that nothing needs, is an error in the list. */
static void check_exemptions(const struct code *code)
{
    bool used[EXEMPTS] = {false}, good = true;
    for (unsigned i = 0; i < code->areas; i++) {
        const struct area *area = &code->area[i];
        for (uint32_t k = 0; k < area->size; k++) {
            struct instruction insn = {.gva = area->gva + k};
            if (!area->starts[k] || site_at(code, insn.gva) ||
                !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, area->bytes + k, area->size - k,
                                                     &insn.z, insn.operands)))
                continue;
            for (unsigned e = 0; e < EXEMPTS && kind_of(&insn); e++)
                used[e] |= owner(code, insn.gva) == exempt_symbol(code, &exempt[e]);
        }
    }
    for (unsigned e = 0; e < EXEMPTS; e++) {
        if (!exempt_symbol(code, &exempt[e]))
            printf("# %s: not one symbol of the kernel\n", exempt[e].name);
        else if (!used[e])
            printf("# %s: needs no exemption\n", exempt[e].name);
        good &= exempt_symbol(code, &exempt[e]) && used[e];
    }
    result(good, "kernel: the %zu exempt symbols exist and need it", EXEMPTS);
}

static void check_kernel(const char *path)
{
    struct guest_file f;
    guest_load(path, &f, false);
    guest_load_sites(path, &f);
    const struct code *code = &f.code;
    uint32_t bytes = 0;
    for (unsigned i = 0; i < code->areas; i++)
        bytes += code->area[i].size;
    result(!sweep(code, false, NULL).offenders, "kernel: all %u bytes of text are understood",
           bytes);
    result(!sweep(code, false, want_good_target).offenders,
           "kernel: every direct jump and call lands on an instruction");
    result(code->sites && !check_sites(code, false).offenders,
           "kernel: %u sites hold the plain bytes of their operation", code->sites);
    result(!check_overlaps(code, false).offenders, "kernel: no two sites overlap");
    result(!sweep(code, false, want_privileged_at_site).offenders,
           "kernel: privileged instructions are at sites, or before paging");
    result(!sweep(code, false, want_sensitive_at_site).offenders,
           "kernel: sensitive instructions are at sites, or in the exempt symbols");
    check_exemptions(code);
    guest_unload(&f);
}

static bool is_daring(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    for (unsigned i = 0; i < sizeof(daring_programs) / sizeof(daring_programs[0]); i++) {
        const size_t n = strlen(daring_programs[i]);
        if (!strncmp(name, daring_programs[i], n) && (!name[n] || name[n] == '.'))
            return true;
    }
    return false;
}

static void check_programs(char **paths, int n)
{
    unsigned meek = 0, offenders = 0, daring = 0, seen = 0;
    for (int i = 0; i < n; i++) {
        struct guest_file f;
        guest_load(paths[i], &f, true);
        if (is_daring(paths[i])) {
            daring++;
            seen += !!sweep(&f.code, true, want_nothing_privileged).offenders;
        } else {
            const unsigned found = sweep(&f.code, false, NULL).offenders +
                                   sweep(&f.code, false, want_nothing_privileged).offenders;
            if (found)
                printf("# that was %s\n", paths[i]);
            offenders += found;
            meek++;
        }
        guest_unload(&f);
    }
    result(meek && !offenders, "programs: no privileged instruction in %u of them", meek);
    result(seen, "programs: those that try some on purpose are seen to (%u of %u)", seen, daring);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 3) {
        fprintf(stderr, "usage: guest-sites MINNOW.ELF PROGRAM.full...\n");
        return 2;
    }
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    printf("TAP version 13\n1..15\n");
    self_test_stray_instruction();
    self_test_sites();
    self_test_sweep();
    self_test_kinds();
    check_kernel(argv[1]);
    check_programs(argv + 2, argc - 2);
    return failures != 0;
}
