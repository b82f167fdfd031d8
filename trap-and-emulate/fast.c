/* The short ways' tables; see fast.h for the idea. */
#include "fast.h"

#include <string.h>

#include "cpu.h"
#include "engine.h"
#include "gmem.h"
#include "services.h"

struct sw_fast sw_fast;

#define AT(member) offsetof(struct sw_fast, member)
_Static_assert(AT(level) == 0 && AT(irq_waits) == 4 && AT(crossed) == 8, "fast.inc");
_Static_assert(AT(kernel_cr3) == 12 && AT(user_cr3) == 16, "fast.inc");
_Static_assert(AT(kernel_gdtr) == 20 && AT(user_gdtr) == 28, "fast.inc");
_Static_assert(AT(kernel_cs_real) == 36 && AT(kernel_ss_real) == 40, "fast.inc");
_Static_assert(AT(kernel_cs) == 44 && AT(user_cs) == 48 && AT(user_ss) == 52, "fast.inc");
_Static_assert(AT(user_data) == 56 && AT(tss) == 72 && AT(ss0) == 76, "fast.inc");
_Static_assert(AT(user_flags) == 80 && AT(pf_error) == 84 && AT(count_flags) == 88, "fast.inc");
_Static_assert(AT(count_iret) == 92 && AT(count_soft_int) == 96, "fast.inc");
_Static_assert(AT(count_exception) == 100 && AT(count_fill) == 104, "fast.inc");
_Static_assert(AT(count_cr) == 108 && AT(cold) == 112 && AT(handled) == 116, "fast.inc");
_Static_assert(AT(flags) == 120 && AT(iret_cs) == 124, "fast.inc");
_Static_assert(AT(gate) == 256 && AT(bp_site) == 8448 && AT(gp_site) == 24832, "fast.inc");
_Static_assert(sizeof(struct fast_gate) == 32 && sizeof(struct fast_site) == 16, "fast.inc");
_Static_assert(FL_NATIVE == 0x244CD5, "stub.inc");

/* fast.asm */
void fast_bp(void);
void fast_gp(void);
void fast_pf(void);
void fast_cli(void);
void fast_sti(void);
void fast_pushf(void);
void fast_popf(void);
void fast_iret(void);
void fast_ud(void);
void fast_slow(void);
void fast_gp_slow(void);
void fast_lean(void);
void fast_lean_bp(void);
extern void (*const fast_from_cr[8])(void);     /* by register */
extern void (*const fast_ports[2][2][5])(void); /* by OUT, port in DX, bytes */
extern void (*const fast_int_stubs[256])(void);
extern char fast_guest[], fast_guest_end[], fast_guest_fault[];
extern char fast_deliver[], fast_deliver_end[], fast_deliver_fault[];

/* Exceptions that are the guest's own business in all cases, and have no error code. */
#define BOUNCED                                                                                    \
    (1u << VEC_DE | 1u << VEC_BR | 1u << VEC_UD | 1u << VEC_NM | 1u << VEC_MF | 1u << VEC_XM)

/* What an entry that was not learned is compared with: never equal. */
static const uint32_t no_entry[2] = {0, 0};
#define GATE_PRESENT 0x8000u /* in its upper half */

/* Of a level that is not known. The stubs compare 32 bits: no selector is equal to it. */
#define NO_SELECTOR UINT32_MAX

static void forget_gate(unsigned vector)
{
    struct fast_gate *gate = &sw_fast.gate[vector];
    gate->entry = no_entry;
    gate->low = GATE_NOT_LEARNED;
}

/* An empty slot has an EIP that belongs into another one, for each EIP is one that a trap may
 * report: 0, too. Whoever takes it for a site all the same goes the slow way. */
static struct fast_site empty_bp_site(unsigned slot)
{
    return (struct fast_site){.eip = ~slot, .handler = fast_slow};
}

static struct fast_site empty_gp_site(unsigned slot)
{
    return (struct fast_site){.eip = ~slot, .handler = fast_gp_slow};
}

/* --- which segments belong to the levels --- */

/* A segment in which an offset is a linear address, up to the end of the guest's space at least. */
static bool is_flat(const struct segment *seg)
{
    return !seg->base && seg->limit == UINT32_MAX && (seg->attr & SEG_DB) && (seg->attr & SEG_P) &&
           (seg->attr & (SEG_CODE | SEG_CE)) != SEG_CE;
}

/* Would loading the selector from the guest's GDT give just this? */
static bool is_from_gdt(const struct sw *sw, const struct segment *seg)
{
    const unsigned index = seg->selector >> 3;
    struct segment loaded;
    if ((seg->selector & SEL_TI) || !index || index >= DECODED_MAX || index >= sw->gdt_entries)
        return false;
    loaded = sw->decoded[index];
    loaded.selector = seg->selector;
    return sw_same_segment(&loaded, seg);
}

static bool is_null_segment(const struct segment *seg)
{
    return (seg->attr & SEG_UNUSABLE) && !(seg->selector & ~SEL_RPL);
}

/* The program's data segments stay loaded from level to level: both tables must have the same. */
static bool learn_user_data(const struct sw *sw)
{
    static const uint8_t data[4] = {SREG_DS, SREG_ES, SREG_FS, SREG_GS};
    for (unsigned i = 0; i < 4; i++) {
        const struct segment *seg = &sw->vcpu->seg[data[i]];
        const bool open = is_from_gdt(sw, seg) && (seg->attr & SEG_DPL) == SEG_DPL;
        if ((!open && !is_null_segment(seg)) || sw->loaded_sel[data[i]] != seg->selector)
            return false;
    }
    for (unsigned i = 0; i < 4; i++)
        sw_fast.user_data[i] = sw->loaded_sel[data[i]];
    return true;
}

static void gdtr_set(struct fast_gdtr *gdtr, const uint64_t *table)
{
    gdtr->limit = HOST_GDT_LIMIT;
    gdtr->base = (uint32_t)table;
}

/* Rings 1 and 2 run with the kernel's root and tables, and may not do what the kernel may. */
static bool is_level(const struct sw *sw)
{
    return sw->user || (!vcpu_cpl(sw->vcpu) && !(sw->vcpu->seg[SREG_CS].selector & SEL_RPL));
}

/* Whether the segments that are loaded are those of the level. */
static inline bool level_fits(const struct sw *sw)
{
    const struct segment *mine = sw->user ? sw_fast.user_seg : sw_fast.kernel_seg;
    return (sw->user ? sw_fast.have_user : sw_fast.have_kernel) &&
           sw_same_segment(&mine[0], &sw->vcpu->seg[SREG_CS]) &&
           sw_same_segment(&mine[1], &sw->vcpu->seg[SREG_SS]);
}

/* Returns false when no short way may serve what is loaded now. */
static bool learn_level(struct sw *sw)
{
    const struct segment *cs = &sw->vcpu->seg[SREG_CS], *ss = &sw->vcpu->seg[SREG_SS];
    struct segment *mine = sw->user ? sw_fast.user_seg : sw_fast.kernel_seg;
    if (!sw->user && level_fits(sw))
        return true;
    if (!is_flat(cs) || !is_flat(ss) || !is_from_gdt(sw, cs) || !is_from_gdt(sw, ss) ||
        !is_level(sw))
        return false;
    if (sw->user) {
        if (sw->loaded_sel[SREG_CS] != cs->selector || sw->loaded_sel[SREG_SS] != ss->selector ||
            !learn_user_data(sw))
            return false;
        sw_fast.user_cs = cs->selector;
        sw_fast.user_ss = ss->selector;
    } else {
        sw_fast.kernel_cs = cs->selector;
        sw_fast.iret_cs = sw->watch_iret ? UINT32_MAX : cs->selector;
        sw_fast.ss0 = ss->selector;
        sw_fast_forget_tables(); /* gates lead to the old one */
    }
    mine[0] = *cs;
    mine[1] = *ss;
    *(sw->user ? &sw_fast.have_user : &sw_fast.have_kernel) = true;
    return true;
}

/* The kernel runs in segments that are not the level's. They may have taken the place of those that
 * the gates lead to: the host has one private descriptor for CS. So there is no level, until the
 * kernel is loaded with good ones again. */
static void forget_kernel(void)
{
    sw_fast.have_kernel = false;
    sw_fast_forget_tables();
}

static void start_empty(struct sw *sw)
{
    memset(&sw_fast, 0, sizeof(sw_fast));
    sw_fast.sw = sw;
    for (unsigned v = 0; v < 256; v++)
        forget_gate(v);
    for (unsigned i = 0; i < FAST_SITES; i++) {
        sw_fast.bp_site[i] = empty_bp_site(i);
        sw_fast.gp_site[i] = empty_gp_site(i);
    }
    sw_fast.flags = sw->kernel_flags;
    sw_fast_forget_levels();
}

void sw_fast_loaded(struct sw *sw)
{
    if (!sw->short_ways)
        return;
    if (sw_fast.sw != sw) {
        start_empty(sw);
        gdtr_set(&sw_fast.kernel_gdtr, sw->gdt[SHADOW_KERNEL]);
        gdtr_set(&sw_fast.user_gdtr, sw->gdt[SHADOW_USER]);
        sw_fast.kernel_cr3 = shadow_cr3(&sw->shadow, SHADOW_KERNEL);
        sw_fast.user_cr3 = shadow_cr3(&sw->shadow, SHADOW_USER);
        host_fixups[1] = (struct host_fixup){(uint32_t)fast_guest, (uint32_t)fast_guest_end,
                                             (uint32_t)fast_guest_fault, false};
        host_fixups[2] = (struct host_fixup){(uint32_t)fast_deliver, (uint32_t)fast_deliver_end,
                                             (uint32_t)fast_deliver_fault, false};
        host_gate_take(VEC_BP, fast_bp, true);
        host_gate_take(VEC_GP, fast_gp, false);
        host_gate_take(VEC_PF, fast_pf, false);
    }
    const bool known = learn_level(sw);
    if (sw->user)
        return;
    if (!known) {
        forget_kernel();
        return;
    }
    sw_fast.kernel_cs_real = sw->loaded_sel[SREG_CS];
    sw_fast.kernel_ss_real = sw->loaded_sel[SREG_SS];
}

/* A short way found the shadow of the kernel's stack missing, and the slow way has done its work
 * through the guest's memory: the next one shall find it. As a read, the fill marks nothing as
 * written that was not; what the slow way has written is writable in it. */
void sw_fast_warm(struct sw *sw)
{
    uint32_t error;
    gpa_t gpa;
    if (sw_fast.sw == sw && sw_fast.cold)
        shadow_fault(&sw->shadow, SHADOW_KERNEL, sw_fast.cold & PAGE_MASK, 0, &error, &gpa);
    sw_fast.cold = 0;
}

void sw_fast_open(struct sw *sw)
{
    const struct vcpu *vcpu = sw->vcpu;
    if (sw_fast.sw != sw || sw->step || (vcpu->eflags & FL_TF) || !level_fits(sw))
        return;
    sw_fast.user_flags = (vcpu->eflags & (FL_IF | FL_IOPL)) | FL_R1;
    sw_fast.level = sw->user ? FAST_USER : FAST_KERNEL;
}

void sw_fast_collect(struct sw *sw)
{
    struct vcpu *vcpu = sw->vcpu;
    if (sw_fast.crossed) {
        sw->user = sw_fast.level == FAST_USER;
        const struct segment *mine = sw->user ? sw_fast.user_seg : sw_fast.kernel_seg;
        vcpu->seg[SREG_CS] = mine[0];
        vcpu->seg[SREG_SS] = mine[1];
        if (sw->user)
            vcpu->eflags =
                (vcpu->eflags & ~(FL_IF | FL_IOPL)) | (sw_fast.user_flags & (FL_IF | FL_IOPL));
        sw->loaded_sel[SREG_CS] = (uint16_t)(sw->user ? sw_fast.user_cs : sw_fast.kernel_cs_real);
        sw->loaded_sel[SREG_SS] = (uint16_t)(sw->user ? sw_fast.user_ss : sw_fast.kernel_ss_real);
        sw_fast.crossed = 0;
    }
    sw_fast.level = FAST_OFF;
}

/* --- sites --- */

static struct fast_site port_site(const struct insn *insn)
{
    const bool by_dx = insn->opcode & 8;
    const unsigned size = insn->opcode & 1 ? insn->opsize : 1;
    return (struct fast_site){.handler = fast_ports[insn->op == OP_OUT][by_dx][size],
                              .arg = insn->imm & 0xFF};
}

static uint32_t *cr_of(struct vcpu *vcpu, const struct insn *insn)
{
    uint32_t *const cr[8] = {&vcpu->cr0, NULL, &vcpu->cr2, &vcpu->cr3, &vcpu->cr4};
    return cr[MODRM_REG(insn->modrm)];
}

/* Handler and argument; none: the instruction has no short way. */
static struct fast_site site_of(struct vcpu *vcpu, const struct insn *insn)
{
    const bool wide = insn->opsize == 4;
    const uint32_t itself = (uint32_t)insn;
    struct fast_site none = {0};
    switch (insn->op) {
    case OP_CLI:
        return (struct fast_site){.handler = fast_cli};
    case OP_STI:
        return (struct fast_site){.handler = fast_sti};
    case OP_PUSHF:
        return wide ? (struct fast_site){.handler = fast_pushf} : none;
    case OP_POPF:
        return wide ? (struct fast_site){.handler = fast_popf} : none;
    case OP_IRET:
        return wide ? (struct fast_site){.handler = fast_iret} : none;
    case OP_IN:
    case OP_OUT:
        return port_site(insn);
    case OP_MOV_FROM_CR:
        if (!cr_of(vcpu, insn))
            return none;
        return (struct fast_site){.handler = fast_from_cr[MODRM_RM(insn->modrm)],
                                  .arg = (uint32_t)cr_of(vcpu, insn)};
    case OP_CPUID:
        return (struct fast_site){.handler = fast_lean_bp, .arg = itself};
    case OP_MOV_TO_CR:
    case OP_CLTS:
    case OP_RDMSR:
    case OP_WRMSR:
    case OP_RDTSC:
    case OP_INVLPG:
        return (struct fast_site){.handler = fast_lean, .arg = itself};
    default:
        return none;
    }
}

/* #BP is reported behind its byte, #GP at the instruction. */
static struct fast_site *bp_site(gva_t pc)
{
    return &sw_fast.bp_site[(pc + 1) % FAST_SITES];
}

static struct fast_site *gp_site(gva_t pc)
{
    return &sw_fast.gp_site[pc % FAST_SITES];
}

bool sw_fast_learn_site(struct sw *sw, const struct insn *insn, gva_t pc)
{
    struct fast_site site = site_of(sw->vcpu, insn);
    if (sw_fast.sw != sw || !site.handler || !(sw->vcpu->seg[SREG_CS].attr & SEG_DB))
        return false;
    const bool by_bp = insn->class == CLASS_SENSITIVE;
    site.eip = pc + by_bp;
    site.next = pc + insn->len;
    *(by_bp ? bp_site(pc) : gp_site(pc)) = site;
    return true;
}

void sw_fast_learn_undefined(struct sw *sw, gva_t pc)
{
    if (sw_fast.sw == sw)
        *bp_site(pc) = (struct fast_site){.eip = pc + 1, .handler = fast_ud};
}

void sw_fast_forget_site(gva_t pc)
{
    struct fast_site *bp = bp_site(pc), *gp = gp_site(pc);
    if (bp->eip == pc + 1)
        *bp = empty_bp_site((pc + 1) % FAST_SITES);
    if (gp->eip == pc)
        *gp = empty_gp_site(pc % FAST_SITES);
}

void sw_fast_forget_sites(gva_t page)
{
    for (unsigned i = 0; i < FAST_SITES; i++) {
        if (((sw_fast.bp_site[i].eip - 1) & PAGE_MASK) == page)
            sw_fast.bp_site[i] = empty_bp_site(i);
        if ((sw_fast.gp_site[i].eip & PAGE_MASK) == page)
            sw_fast.gp_site[i] = empty_gp_site(i);
    }
}

/* --- gates --- */

void sw_fast_forget_tables(void)
{
    for (unsigned i = 0; i < sw_fast.listed_count; i++)
        forget_gate(sw_fast.listed[i]);
    memset(sw_fast.table_gpa, 0xFF, sizeof(sw_fast.table_gpa));
    sw_fast.tss = no_entry;
}

void sw_fast_forget_levels(void)
{
    sw_fast.have_kernel = sw_fast.have_user = false;
    sw_fast.user_cs = sw_fast.user_ss = NO_SELECTOR; /* IRET asks for nothing else */
    sw_fast_forget_tables();
}

/* Pages 0 and 1: of the IDT; 2: of the TSS. */
static gva_t table_gva(const struct vcpu *vcpu, unsigned i)
{
    return i == 2 ? (vcpu->seg[SREG_TR].base + 4) & PAGE_MASK
                  : (vcpu->idtr.base & PAGE_MASK) + i * PAGE_SIZE;
}

/* Nowhere, when there is no memory, or when an access would have to set the accessed bit again. */
static gpa_t table_walk(struct vcpu *vcpu, gva_t gva, bool *global)
{
    struct walk walk;
    uint32_t error;
    *global = false;
    if (!guest_walk(vcpu, gva, ACCESS_PEEK, &walk, &error) || !walk.accessed ||
        !guest_ram(vcpu->vm, walk.gpa & PAGE_MASK, PAGE_SIZE))
        return ~(gpa_t)0;
    *global = walk.global;
    return walk.gpa & PAGE_MASK;
}

void sw_fast_translations_changed(struct sw *sw, bool global_too)
{
    if (sw_fast.sw != sw)
        return;
    for (unsigned i = 0; i < 3; i++) {
        bool global;
        if (sw_fast.table_gpa[i] == ~(gpa_t)0 || (sw_fast.table_global[i] && !global_too))
            continue;
        if (table_walk(sw->vcpu, sw_fast.table_gva[i], &global) != sw_fast.table_gpa[i] ||
            global != sw_fast.table_global[i]) {
            sw_fast_forget_tables();
            return;
        }
    }
}

/* INVLPG: like hardware, which drops all of a large page. */
void sw_fast_translation_changed(struct sw *sw, gva_t gva)
{
    for (unsigned i = 0; i < 3; i++) {
        if ((sw_fast.table_gva[i] ^ gva) >> LARGE_SHIFT == 0) {
            sw_fast_translations_changed(sw, true);
            return;
        }
    }
}

/* The VMM's pointer to n bytes at gva of one of the guest's tables, which must not move unseen. */
static const uint32_t *table_pointer(struct sw *sw, unsigned i, gva_t gva, uint32_t n)
{
    const uint32_t offset = gva & ~PAGE_MASK;
    if ((gva & 3) || offset + n > PAGE_SIZE)
        return NULL;
    sw_fast.table_gva[i] = table_gva(sw->vcpu, i);
    if ((gva & PAGE_MASK) != sw_fast.table_gva[i])
        return NULL;
    sw_fast.table_gpa[i] = table_walk(sw->vcpu, gva, &sw_fast.table_global[i]);
    if (sw_fast.table_gpa[i] == ~(gpa_t)0)
        return NULL;
    return guest_ram(sw->vcpu->vm, sw_fast.table_gpa[i] + offset, n);
}

static void learn_tss(struct sw *sw)
{
    const struct segment *tr = &sw->vcpu->seg[SREG_TR];
    const uint32_t type = tr->attr & SEG_TYPE;
    if ((tr->attr & SEG_UNUSABLE) || type != SYS_TSS32_BUSY || tr->limit < 11)
        return;
    const uint32_t *p = table_pointer(sw, 2, tr->base + 4, 8);
    if (p)
        sw_fast.tss = p;
}

/* No vector that the host uses itself. */
static bool may_take(const struct sw *sw, unsigned vector, bool soft)
{
    if (!soft)
        return vector < 32 && (BOUNCED >> vector & 1);
    return vector >= HOST_IRQ_BASE + 16 &&
           !(sw->policy->own_gate && sw->policy->own_gate((uint8_t)vector));
}

static uint32_t *counter_of(unsigned vector)
{
    return vector < 32 ? &sw_fast.count_exception : &sw_fast.count_soft_int;
}

/* The gate as it is in the guest's IDT now: may a short way go through it? */
static bool fits(uint32_t low, uint32_t high, bool soft)
{
    const uint32_t type = high >> 8 & (SEG_S | SEG_TYPE);
    return (type == SYS_INT_GATE32 || type == SYS_TRAP_GATE32) && (high & GATE_PRESENT) &&
           low >> 16 == sw_fast.kernel_cs && low != GATE_NOT_LEARNED &&
           (!soft || (high >> 13 & 3) == 3);
}

static void list_gate(unsigned vector)
{
    if (sw_fast.gate[vector].listed)
        return;
    sw_fast.gate[vector].listed = true;
    sw_fast.listed[sw_fast.listed_count++] = (uint8_t)vector;
}

void sw_fast_learn_gate(struct sw *sw, unsigned vector, bool soft)
{
    const struct vcpu *vcpu = sw->vcpu;
    struct fast_gate *gate = &sw_fast.gate[vector];
    const gva_t gva = vcpu->idtr.base + vector * 8;
    if (sw_fast.sw != sw || !sw_fast.have_kernel || vector * 8 + 7 > vcpu->idtr.limit ||
        (vector != VEC_PF && !may_take(sw, vector, soft)))
        return;
    if (gate->entry[0] == gate->low && gate->entry[1] == gate->high)
        return;
    forget_gate(vector); /* the guest has changed it in place */
    const uint32_t *entry =
        table_pointer(sw, (gva & PAGE_MASK) != (vcpu->idtr.base & PAGE_MASK), gva, 8);
    if (!entry || !fits(entry[0], entry[1], soft))
        return;
    list_gate(vector);
    const uint32_t low = entry[0], high = entry[1];
    const bool interrupt = (high >> 8 & (SEG_S | SEG_TYPE)) == SYS_INT_GATE32;
    gate->entry = entry;
    gate->low = low;
    gate->high = high;
    gate->eip = (low & 0xFFFF) | (high & 0xFFFF0000);
    gate->set_flags = vector < 32 ? FL_RF : 0;
    gate->keep_flags = ~(FL_TF | FL_NT | FL_RF | FL_VM | (interrupt ? FL_IF : 0));
    gate->counter = counter_of(vector);
    learn_tss(sw);
    if (vector != VEC_PF)
        host_gate_take(vector, fast_int_stubs[vector], soft);
}

void sw_fast_close(struct sw *sw)
{
    if (sw_fast.sw != sw)
        return;
    for (unsigned i = 0; i < sw_fast.listed_count; i++)
        host_gate_give_back(sw_fast.listed[i]);
    host_gate_give_back(VEC_BP);
    host_gate_give_back(VEC_GP);
    host_gate_give_back(VEC_PF);
    sw_fast_count(sw);
    memset(&sw_fast, 0, sizeof(sw_fast));
    host_fixups[1] = host_fixups[2] = (struct host_fixup){0, 0, 0, false};
}

void sw_fast_count(struct sw *sw)
{
    static const struct {
        uint32_t *count;
        enum exit_reason reason;
    } counts[] = {
        {&sw_fast.count_flags, EXIT_FLAGS},       {&sw_fast.count_iret, EXIT_IRET},
        {&sw_fast.count_soft_int, EXIT_SOFT_INT}, {&sw_fast.count_exception, EXIT_EXCEPTION},
        {&sw_fast.count_fill, EXIT_SHADOW_FILL},  {&sw_fast.count_cr, EXIT_CR},
    };
    if (sw_fast.sw != sw)
        return;
    for (unsigned i = 0; i < ARRAY_LEN(counts); i++) {
        sw->vcpu->exit_count[counts[i].reason] += *counts[i].count;
        *counts[i].count = 0;
    }
}
