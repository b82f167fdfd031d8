/* The vCPU's registers, addresses that people write, and names of places. */
#include <string.h>

#include "monitor.h"
#include "multiboot.h"
#include "vmm.h"
#include "words.h"
#include "x86.h"

struct bit {
    uint32_t mask;
    const char *name;
};

/* Names of the bits that are set, behind one blank each. */
static void bit_names(const struct bit *bits, unsigned n, uint32_t value, char *to, unsigned size)
{
    unsigned at = 0;
    to[0] = 0;
    for (unsigned i = 0; i < n && at + 8 < size; i++) {
        if (value & bits[i].mask)
            at += (unsigned)ksnprintf(to + at, size - at, " %s", bits[i].name);
    }
}

static const struct bit flag_bits[] = {{FL_CF, "CF"}, {FL_PF, "PF"}, {FL_AF, "AF"}, {FL_ZF, "ZF"},
                                       {FL_SF, "SF"}, {FL_TF, "TF"}, {FL_IF, "IF"}, {FL_DF, "DF"},
                                       {FL_OF, "OF"}, {FL_NT, "NT"}, {FL_RF, "RF"}, {FL_VM, "VM"},
                                       {FL_AC, "AC"}, {FL_ID, "ID"}};
static const struct bit cr0_bits[] = {
    {CR0_PE, "PE"}, {CR0_MP, "MP"}, {CR0_EM, "EM"}, {CR0_TS, "TS"}, {CR0_ET, "ET"}, {CR0_NE, "NE"},
    {CR0_WP, "WP"}, {CR0_AM, "AM"}, {CR0_NW, "NW"}, {CR0_CD, "CD"}, {CR0_PG, "PG"}};
static const struct bit cr4_bits[] = {
    {CR4_VME, "VME"}, {CR4_PVI, "PVI"},       {CR4_TSD, "TSD"},
    {CR4_DE, "DE"},   {CR4_PSE, "PSE"},       {CR4_PAE, "PAE"},
    {CR4_PGE, "PGE"}, {CR4_OSFXSR, "OSFXSR"}, {CR4_OSXMMEXCPT, "OSXMMEXCPT"}};

static const char *const gpr_names[8] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};

static void say_pending(const struct vcpu *vcpu, struct sink *sink)
{
    static const char *const kinds[] = {"", "interrupt", "NMI", "exception", "software interrupt"};
    if (vcpu->pending.kind != EVENT_NONE)
        say(sink, "pending: %s, vector %u", kinds[vcpu->pending.kind], vcpu->pending.vector);
    if (vcpu->int_shadow)
        say(sink, "interrupt shadow: the instruction after %s",
            vcpu->int_shadow & SHADOW_STI ? "STI" : "MOV SS");
    if (vcpu->halted)
        say(sink, "halted: it waits for an interrupt");
}

bool command_regs(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    const struct vcpu *v = &vm->vcpu;
    char place[80], names[100];
    (void)argc;
    (void)argv;
    say(sink, "eax %08x  ebx %08x  ecx %08x  edx %08x", v->gpr[GPR_EAX], v->gpr[GPR_EBX],
        v->gpr[GPR_ECX], v->gpr[GPR_EDX]);
    say(sink, "esi %08x  edi %08x  ebp %08x  esp %08x", v->gpr[GPR_ESI], v->gpr[GPR_EDI],
        v->gpr[GPR_EBP], v->gpr[GPR_ESP]);
    say(sink, "eip %08x  cpl %u  mode %s  %s", v->eip, vcpu_cpl(v), v->mode->name,
        place_of(vm, pc_of(v), place, sizeof(place)));
    bit_names(flag_bits, ARRAY_LEN(flag_bits), v->eflags, names, sizeof(names));
    say(sink, "eflags %08x%s IOPL=%u", v->eflags, names, (v->eflags & FL_IOPL) >> FL_IOPL_SHIFT);
    bit_names(cr0_bits, ARRAY_LEN(cr0_bits), v->cr0, names, sizeof(names));
    say(sink, "cr0 %08x%s", v->cr0, names);
    bit_names(cr4_bits, ARRAY_LEN(cr4_bits), v->cr4, names, sizeof(names));
    say(sink, "cr4 %08x%s", v->cr4, names);
    say(sink, "cr2 %08x, the address of the last page fault", v->cr2);
    say(sink, "cr3 %08x: the page directory is at guest physical %08x", v->cr3, v->cr3 & PAGE_MASK);
    say(sink, "dr0 %08x  dr1 %08x  dr2 %08x  dr3 %08x  dr6 %08x  dr7 %08x", v->dr[0], v->dr[1],
        v->dr[2], v->dr[3], v->dr[6], v->dr[7]);
    say_pending(v, sink);
    say_data(sink,
             "\"eax\":%u,\"ebx\":%u,\"ecx\":%u,\"edx\":%u,\"esi\":%u,\"edi\":%u,\"ebp\":%u,"
             "\"esp\":%u,\"eip\":%u,\"eflags\":%u,\"cpl\":%u,\"cr0\":%u,\"cr2\":%u,\"cr3\":%u,"
             "\"cr4\":%u,\"halted\":%s",
             v->gpr[GPR_EAX], v->gpr[GPR_EBX], v->gpr[GPR_ECX], v->gpr[GPR_EDX], v->gpr[GPR_ESI],
             v->gpr[GPR_EDI], v->gpr[GPR_EBP], v->gpr[GPR_ESP], v->eip, v->eflags, vcpu_cpl(v),
             v->cr0, v->cr2, v->cr3, v->cr4, v->halted ? "true" : "false");
    return true;
}

/* SDM vol. 3A tables 3-1 and 3-2. */
static const char *kind_of(const struct segment *s)
{
    static const char *const data[4] = {"data", "data, writable", "data, expand-down",
                                        "data, expand-down, writable"};
    static const char *const code[4] = {"code", "code, readable", "code, conforming",
                                        "code, conforming, readable"};
    if (s->attr & SEG_UNUSABLE)
        return "unusable";
    if (s->attr & SEG_S)
        return (s->attr & SEG_CODE ? code : data)[s->attr >> 1 & 3];
    switch (s->attr & SEG_TYPE) {
    case SYS_LDT:
        return "LDT";
    case SYS_TSS16_AVAIL:
    case SYS_TSS16_BUSY:
        return "16-bit TSS";
    case SYS_TSS32_AVAIL:
        return "32-bit TSS, available";
    case SYS_TSS32_BUSY:
        return "32-bit TSS, busy";
    default:
        return "no segment's type";
    }
}

bool command_segments(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    static const char *const names[SREG_COUNT] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};
    const struct vcpu *v = &vm->vcpu;
    (void)argc;
    (void)argv;
    for (int i = 0; i < SREG_COUNT; i++) {
        const struct segment *s = &v->seg[i];
        say(sink, "%-4s %04x  base %08x  limit %08x  dpl %u  %s%s", names[i], s->selector, s->base,
            s->limit, (s->attr & SEG_DPL) >> SEG_DPL_SHIFT, kind_of(s),
            (s->attr & SEG_S) && (s->attr & SEG_DB) ? ", 32-bit" : "");
    }
    say(sink, "gdtr base %08x  limit %04x  (%u descriptors)", v->gdtr.base, v->gdtr.limit,
        (v->gdtr.limit + 1u) / 8);
    say(sink, "idtr base %08x  limit %04x  (%u gates)", v->idtr.base, v->idtr.limit,
        (v->idtr.limit + 1u) / 8);
    return true;
}

const char *place_of(const struct vm *vm, gva_t gva, char *to, unsigned size)
{
    uint32_t offset = 0;
    const char *name = elf_symbol(vm->image, vm->image_size, gva, &offset);
    to[0] = 0;
    if (name)
        ksnprintf(to, size, "%s+0x%x", name, offset);
    return to;
}

/* A number, a register, or a symbol. A symbol may look like a number ("add"): 0x says which. */
static bool parse_base(struct vm *vm, const char *text, gva_t *gva)
{
    const struct vcpu *v = &vm->vcpu;
    for (int i = 0; i < 8; i++) {
        if (!strcmp(text, gpr_names[i])) {
            *gva = v->gpr[i];
            return true;
        }
    }
    if (!strcmp(text, "eip"))
        *gva = pc_of(v);
    else if (!strcmp(text, "cr2"))
        *gva = v->cr2;
    else if (!elf_address(vm->image, vm->image_size, text, gva))
        return word_address(text, gva);
    return true;
}

bool parse_address(struct vm *vm, struct sink *sink, const char *text, gva_t *gva)
{
    char base[80];
    uint32_t offset = 0;
    unsigned n = 0;
    while (text[n] && text[n] != '+' && text[n] != '-' && n + 1 < sizeof(base)) {
        base[n] = text[n];
        n++;
    }
    base[n] = 0;
    if (!parse_base(vm, base, gva)) {
        say(sink,
            "'%s' is no address: neither hexadecimal, nor a register, nor a symbol of the "
            "guest's kernel",
            base);
        return false;
    }
    if (text[n] && !word_number(text + n + 1, &offset)) {
        say(sink, "'%s' is no offset", text + n);
        return false;
    }
    *gva = text[n] == '-' ? *gva - offset : *gva + offset;
    return true;
}
