/*
 * One experiment: set the machine, execute one instruction, write down what is different.
 *
 * The outcome is a JSON object without judgement:
 *   "v":N "e":N    arrived by vector N with that error code; without "v": at an INT VEC_STOP
 *   "ip":N         saved EIP, from the instruction's first byte; SYSENTER saves none: -1
 *   "cs":N "ss":N  when they are not what they were; "cpl": the level, likewise
 *   "reg":{}       general registers that changed; "sp": how far ESP moved
 *   "fl":N         EFLAGS without the machine's bits, when changed; "mf": the machine's, likewise
 *   "mem":{}       words of the data page that changed
 *   "stk":[]       what stands between the new and the old ESP
 *   "seg":{}       DS, ES, FS, GS that changed; "hid": what they show at a fixed offset, if changed
 *   "mach":{}      the machine's registers and descriptors that changed
 *   "woken":1      an interrupt had to come
 */
#include <stdarg.h>
#include <string.h>

#include "probe.h"
#include "vmm.h"

#define MOST_PUSHED 8u
#define ESI_AT (DATA_AT + 0x40)
#define EDI_AT (DATA_AT + 0x60)

struct trial {
    const struct form *form;
    enum state state;
    unsigned level;
    struct machine before, after;
    uint32_t data[WORDS];
    char *out;
    unsigned len;
};

static void say(struct trial *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct trial *t, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    t->len += (unsigned)kvsnprintf(t->out + t->len, OUTCOME_MAX - t->len, fmt, ap);
    va_end(ap);
    if (t->len > OUTCOME_MAX - 1)
        t->len = OUTCOME_MAX - 1;
}

static uint32_t value(const struct trial *t, struct value v)
{
    const uint32_t *reg = t->before.reg;

    switch (v.of) {
    case V_RPL:
        return v.flip | t->level;
    case V_FLAGS:
        return launched.eflags ^ v.flip;
    case V_STACK:
        return STACK_AT ^ v.flip;
    case V_STACKSEL:
        return launched.ss ^ v.flip;
    case V_CR0:
    case V_CR2:
    case V_CR3:
    case V_CR4:
        return reg[R_CR0 + (v.of - V_CR0)] ^ v.flip;
    case V_DR7:
        return reg[R_DR7] ^ v.flip;
    case V_XCR0:
        return reg[R_XCR0] ^ v.flip;
    case V_GDTR0: /* eight bytes longer than it is */
        return (reg[R_GDTR_LIMIT] + 8) | reg[R_GDTR_BASE] << 16;
    case V_GDTR1:
        return reg[R_GDTR_BASE] >> 16;
    case V_IDTR0:
        return (reg[R_IDTR_LIMIT] + 8) | reg[R_IDTR_BASE] << 16;
    case V_IDTR1:
        return reg[R_IDTR_BASE] >> 16;
    case V_LDTR:
        return reg[R_LDTR] ^ v.flip;
    default:
        return v.flip;
    }
}

static bool is_given(struct value v)
{
    return v.of != V_NUMBER || v.flip;
}

/* The code, the operands in memory and on the stack. */
static void write_program(struct trial *t)
{
    const struct form *f = t->form;
    uint8_t *code = program_page(t->state, 0);
    uint32_t *data = (uint32_t *)program_page(t->state, 1);
    uint32_t *stack = (uint32_t *)(program_page(t->state, 2) + (STACK_AT & 0xFFF));
    uint8_t *next = code + (CODE_AT & 0xFFF), *land = code + (LAND_AT & 0xFFF);

    memcpy(next, f->bytes, f->len);
    next[f->len] = land[0] = 0xCD;
    next[f->len + 1] = land[1] = VEC_STOP;
    for (unsigned i = 0; i < 2; i++)
        if (is_given(f->mem[i]) || (i && is_given(f->mem[0])))
            data[i] = value(t, f->mem[i]);
    for (unsigned i = 0; i < 5; i++)
        stack[i] = value(t, f->stack[i]);
    memcpy(t->data, data, sizeof(t->data));
}

static void set_launch(const struct trial *t, const struct config *config)
{
    static const uint16_t code[4] = {SEL_CODE0, SEL_CODE1 | 1, SEL_CODE2 | 2, SEL_CODE3 | 3};
    static const uint16_t stack[4] = {SEL_DATA0, SEL_DATA1 | 1, SEL_DATA2 | 2, SEL_DATA3 | 3};
    const bool iopl3 = config->iopl3 != (t->state == ST_IOPL);

    launched = (struct launch){
        .ebx = DATA_AT,
        .esi = ESI_AT,
        .edi = EDI_AT,
        .ebp = 0xB0B0B0B0,
        .esp = STACK_AT,
        .eflags = 0x802u | (t->state == ST_IF ? 0 : FLAG_IF) | (iopl3 ? 0x3000 : 0),
        .cs = code[t->level],
        .ss = stack[t->level],
        .ds = SEL_DATA3 | 3,
        .eip = CODE_AT,
    };
    launched.eax = value(t, t->form->eax);
    launched.ecx = value(t, t->form->ecx);
    launched.edx = value(t, t->form->edx);
}

/* --- what happened --- */

static uint32_t arrival_esp(void)
{
    if (arrived.vector == VEC_SYSENTER)
        return 0;
    if (arrived.cs & 3)
        return arrived.outer_esp;
    return arrived.at + __builtin_offsetof(struct arrival, outer_esp) - 4; /* .at is no part */
}

static void say_way(struct trial *t)
{
    const bool stopped = arrived.vector == VEC_STOP;
    const uint32_t ss = arrived.vector == VEC_SYSENTER ? launched.ss
                        : arrived.cs & 3               ? arrived.outer_ss
                                                       : arrived.ss;

    if (!stopped)
        say(t, ",\"v\":%u,\"e\":%u", arrived.vector, arrived.error);
    if (arrived.vector == VEC_SYSENTER)
        say(t, ",\"ip\":-1");
    else
        say(t, ",\"ip\":%d", (int)(arrived.eip - CODE_AT - (stopped ? 2 : 0)));
    if (arrived.vector != VEC_SYSENTER && (arrived.cs & 3) != t->level)
        say(t, ",\"cpl\":%u", arrived.cs & 3);
    if (arrived.cs != launched.cs && arrived.vector != VEC_SYSENTER)
        say(t, ",\"cs\":%u", arrived.cs & 0xFFFF);
    if ((ss ^ launched.ss) & 0xFFFF)
        say(t, ",\"ss\":%u", ss & 0xFFFF);
    if (timer_ticks)
        say(t, ",\"woken\":1");
}

static void say_registers(struct trial *t)
{
    const struct {
        const char *name;
        uint32_t was, is;
    } r[] = {{"eax", launched.eax, arrived.eax}, {"ecx", launched.ecx, arrived.ecx},
             {"edx", launched.edx, arrived.edx}, {"ebx", launched.ebx, arrived.ebx},
             {"esi", launched.esi, arrived.esi}, {"edi", launched.edi, arrived.edi},
             {"ebp", launched.ebp, arrived.ebp}};
    const uint32_t changed = (arrived.eflags ^ launched.eflags) & ~FLAG_RF;
    unsigned n = 0;

    for (unsigned i = 0; i < sizeof(r) / sizeof(r[0]); i++)
        if (r[i].was != r[i].is)
            say(t, "%s\"%s\":%u", n++ ? "," : ",\"reg\":{", r[i].name, r[i].is);
    say(t, "%s", n ? "}" : "");
    if (changed & ~MACHINE_FLAGS)
        say(t, ",\"fl\":%u", arrived.eflags & ~MACHINE_FLAGS & ~FLAG_RF);
    if (changed & MACHINE_FLAGS)
        say(t, ",\"mf\":%u", arrived.eflags & MACHINE_FLAGS);
}

static void say_stack(struct trial *t)
{
    const uint32_t esp = arrival_esp();
    const uint8_t *page = program_page(t->state, 2);

    if (arrived.vector == VEC_SYSENTER || esp == launched.esp)
        return;
    if (esp < STACK_AT - MOST_PUSHED * 4 || esp > STACK_END) {
        say(t, ",\"sp\":%u", esp);
        return;
    }
    say(t, ",\"sp\":%d", (int)(esp - STACK_AT));
    for (uint32_t at = esp; at < STACK_AT; at += 2)
        say(t, "%s%u", at == esp ? ",\"stk\":[" : ",", *(const uint16_t *)(page + (at & 0xFFF)));
    say(t, "%s", esp < STACK_AT ? "]" : "");
}

static void say_memory(struct trial *t)
{
    const uint32_t *data = (const uint32_t *)program_page(t->state, 1);
    unsigned n = 0;

    for (unsigned i = 0; i < WORDS; i++)
        if (data[i] != t->data[i])
            say(t, "%s\"%u\":%u", n++ ? "," : ",\"mem\":{", i * 4, data[i]);
    say(t, "%s", n ? "}" : "");
}

static void say_segments(struct trial *t)
{
    static const char *const names[4] = {"gs", "fs", "es", "ds"};
    unsigned n = 0;

    for (unsigned i = 0; i < 4; i++)
        if ((arrived.seg[i].selector ^ launched.ds) & 0xFFFF)
            say(t, "%s\"%s\":%u", n++ ? "," : ",\"seg\":{", names[i],
                arrived.seg[i].selector & 0xFFFF);
    say(t, "%s", n ? "}" : "");
    n = 0;
    for (unsigned i = 0; i < 4; i++)
        if (arrived.seg[i].word != DATA_WORD(0x800))
            say(t, "%s\"%s\":%u", n++ ? "," : ",\"hid\":{", names[i], arrived.seg[i].word);
    say(t, "%s", n ? "}" : "");
}

static void say_machine(struct trial *t)
{
    unsigned n = 0;

    for (unsigned i = 0; i < R_COUNT; i++)
        if (t->before.reg[i] != t->after.reg[i])
            say(t, "%s\"%s\":%u", n++ ? "," : ",\"mach\":{", reg_names[i], t->after.reg[i]);
    for (unsigned i = 0; i < GDT_ENTRIES * 2; i++)
        if (t->before.gdt[i] != t->after.gdt[i])
            say(t, "%s\"gdt.%u\":%u", n++ ? "," : ",\"mach\":{", i, t->after.gdt[i]);
    say(t, "%s", n ? "}" : "");
}

bool run_one(const struct form *form, const struct config *config, unsigned level, enum state state,
             char out[OUTCOME_MAX])
{
    static struct trial t;
    const bool waits = form->how & FORM_WAITS;

    if (waits && state == ST_IF)
        return false; /* nothing would end it */
    t = (struct trial){.form = form, .state = state, .level = level, .out = out};
    machine_set(state, config);
    machine_read(&t.before);
    set_launch(&t, config);
    write_program(&t);
    timer_arm(waits);
    launch();
    machine_read(&t.after);
    say_way(&t);
    say_registers(&t);
    say_stack(&t);
    say_memory(&t);
    say_segments(&t);
    say_machine(&t);
    timer_arm(false);
    out[0] = '{'; /* over the first comma */
    say(&t, "}");
    return true;
}
