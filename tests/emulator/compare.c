/* The results of both, field by field. A difference that nothing forgives is printed. */
#include <string.h>

#include "emutest.h"
#include "vmm.h"

static const char *const stop_names[STOP_COUNT] = {
    [STOP_END] = "end",           [STOP_HLT] = "hlt",
    [STOP_FAULT] = "fault",       [STOP_DOUBLE] = "double-fault",
    [STOP_REFUSED] = "refused",   [STOP_SHUTDOWN] = "shutdown",
    [SKIP_LIMIT] = "code-limit",  [STOP_TASK] = "task-switch",
    [STOP_RUNAWAY] = "runaway",   [STOP_OTHER] = "other-exit",
    [SKIP_NOT_MINE] = "not-mine", [SKIP_STRANGE] = "strange",
    [SKIP_TASK] = "task",         [SKIP_UNSAFE] = "unsafe",
    [SKIP_ENDLESS] = "endless",   [SKIP_INTERRUPTED] = "interrupted",
};
static const char *const gpr_names[] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
static const char *const sreg_names[] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};

const char *stop_name(enum stop stop)
{
    return stop_names[stop];
}

/* The comparison that goes on. */
static struct {
    const struct test_case *test;
    const struct result *emu, *cpu;
    unsigned failures;
    bool quiet;
    bool cut_short; /* forgiven before all was looked at */
} now;

static void differ(const char *what, const char *part, uint32_t emu, uint32_t cpu)
{
    char name[32];

    ksnprintf(name, sizeof(name), "%s%s", what, part);
    if (forgiven(now.test, now.emu, now.cpu, name, emu, cpu))
        return;
    now.failures++;
    if (!now.quiet)
        kprintf("  %s: emulator %08x, CPU %08x\n", name, emu, cpu);
}

static void same(const char *what, const char *part, uint32_t emu, uint32_t cpu)
{
    if (emu != cpu)
        differ(what, part, emu, cpu);
}

static void compare_segment(int reg, const struct segment *emu, const struct segment *cpu)
{
    const char *name = sreg_names[reg];
    /* The VMCB says "not present" where the register is unusable, and keeps what was there. */
    const bool unusable = (emu->attr | cpu->attr) & SEG_UNUSABLE;
    const uint32_t mask = unusable ? SEG_UNUSABLE : 0xF0FF;

    same(name, ".selector", emu->selector, cpu->selector);
    same(name, ".attr", emu->attr & mask, cpu->attr & mask);
    if (unusable)
        return;
    same(name, ".base", emu->base, cpu->base);
    same(name, ".limit", emu->limit, cpu->limit);
}

static void compare_registers(const struct vcpu *emu, const struct vcpu *cpu)
{
    const bool whole = now.cpu->stop == STOP_END || now.cpu->stop == STOP_HLT;
    const uint32_t flags = whole ? ~0u : ~FL_RF;

    for (unsigned i = 0; i < ARRAY_LEN(gpr_names); i++)
        if (!now.emu->ignore_tsc || (i != GPR_EAX && i != GPR_EDX))
            same(gpr_names[i], "", emu->gpr[i], cpu->gpr[i]);
    /* HLT is left before it is done, as far as EIP is concerned. */
    same("eip", "", emu->eip - now.emu->hlt_length, cpu->eip);
    /* An intercepted fault was not taken: RF in its frame and the end of a shadow are nobody's. */
    same("eflags", "", emu->eflags & flags, cpu->eflags & flags);
    if (now.cpu->stop == STOP_END)
        same("int-shadow", "", emu->int_shadow != 0, cpu->int_shadow != 0);
    for (int reg = SREG_ES; reg < SREG_COUNT; reg++)
        compare_segment(reg, &emu->seg[reg], &cpu->seg[reg]);
    same("gdtr", ".base", emu->gdtr.base, cpu->gdtr.base);
    same("gdtr", ".limit", emu->gdtr.limit, cpu->gdtr.limit);
    same("idtr", ".base", emu->idtr.base, cpu->idtr.base);
    same("idtr", ".limit", emu->idtr.limit, cpu->idtr.limit);
    same("cr0", "", emu->cr0, cpu->cr0);
    same("cr2", "", emu->cr2, cpu->cr2);
    same("cr3", "", emu->cr3, cpu->cr3);
    same("cr4", "", emu->cr4, cpu->cr4);
    same("dr0", "", emu->dr[0], cpu->dr[0]);
    same("dr1", "", emu->dr[1], cpu->dr[1]);
    same("dr2", "", emu->dr[2], cpu->dr[2]);
    same("dr3", "", emu->dr[3], cpu->dr[3]);
    same("dr6", "", emu->dr[6], cpu->dr[6]);
    same("dr7", "", emu->dr[7], cpu->dr[7]);
    same("sysenter", ".cs", emu->sysenter_cs, cpu->sysenter_cs);
    same("sysenter", ".esp", emu->sysenter_esp, cpu->sysenter_esp);
    same("sysenter", ".eip", emu->sysenter_eip, cpu->sysenter_eip);
}

static void compare_memory(void)
{
    uint32_t emu = 0, cpu = 0;
    char name[24];

    for (gpa_t at = arena_difference(now.test->real, 0, &emu, &cpu); at;
         at = arena_difference(now.test->real, at, &emu, &cpu)) {
        ksnprintf(name, sizeof(name), "memory %x", at);
        arena_mark(at);
        differ(name, "", emu, cpu);
        if (now.failures > 20)
            return;
    }
}

static bool compare_all(const struct test_case *test, const struct result *emu,
                        const struct result *cpu, bool quiet)
{
    now.test = test;
    now.emu = emu;
    now.cpu = cpu;
    now.failures = 0;
    now.quiet = quiet;
    now.cut_short = true;
    if (emu->stop != cpu->stop) {
        if (forgiven(test, emu, cpu, "stop", emu->stop, cpu->stop))
            return true;
        differ("stop", "", emu->stop, cpu->stop);
    } else if (emu->stop == STOP_FAULT) {
        if (emu->fault.vector != cpu->fault.vector &&
            forgiven(test, emu, cpu, "vector", emu->fault.vector, cpu->fault.vector))
            return true;
        same("vector", "", emu->fault.vector, cpu->fault.vector);
        same("error", "", emu->fault.error, cpu->fault.error);
        same("fault-cr2", "", emu->fault.cr2, cpu->fault.cr2);
    }
    if (emu->stop == STOP_SHUTDOWN && cpu->stop == STOP_SHUTDOWN)
        return true; /* the state is undefined: APM vol. 2 section 15.14.3 */
    now.cut_short = false;
    compare_registers(&emu->state, &cpu->state);
    same("port 2ff", "", emu->ports[0], cpu->ports[0]);
    same("ports 84", "", emu->ports[1], cpu->ports[1]);
    compare_memory();
    return now.failures == 0;
}

bool compare(const struct test_case *test, const struct result *emu, const struct result *cpu)
{
    const bool good = compare_all(test, emu, cpu, true);

    if (now.cut_short)
        arena_restore(true);
    return good;
}

/* --- for people --- */

static void print_state(const char *who, const struct vcpu *v)
{
    kprintf("  %s: eip %08x eflags %08x cr0 %08x cr2 %08x cr3 %08x cr4 %08x\n   ", who, v->eip,
            v->eflags, v->cr0, v->cr2, v->cr3, v->cr4);
    for (unsigned i = 0; i < ARRAY_LEN(gpr_names); i++)
        kprintf(" %s %08x", gpr_names[i], v->gpr[i]);
    kprintf("\n   ");
    for (int i = 0; i < SREG_COUNT; i++)
        kprintf(" %s %04x:%x:%x:%05x%s", sreg_names[i], v->seg[i].selector, v->seg[i].base,
                v->seg[i].limit, v->seg[i].attr, i == 3 ? "\n   " : "");
    kprintf("    gdtr %08x:%04x idtr %08x:%04x\n", v->gdtr.base, v->gdtr.limit, v->idtr.base,
            v->idtr.limit);
}

static void print_end(const char *who, const struct result *r)
{
    kprintf("  %s ended: %s", who, stop_name(r->stop));
    if (r->stop == STOP_FAULT)
        kprintf(" vector %u error %x cr2 %x", r->fault.vector, r->fault.error, r->fault.cr2);
    if (r->stop == STOP_OTHER)
        kprintf(" exit code %llx", (unsigned long long)r->exit_code);
    kprintf("\n");
}

void print_case(const struct test_case *test, const struct result *emu, const struct result *cpu)
{
    kprintf("case %u%s%s:", test->number, test->real ? ", real mode" : "",
            test->deliver ? ", exceptions are delivered" : "");
    for (unsigned i = 0; i < test->code_size; i++)
        kprintf(" %02x", test->code[i]);
    kprintf("\n  meant:");
    for (unsigned i = 0; i < test->count; i++)
        kprintf(" %s", insn_op_name(test->ops[i]));
    kprintf("; executed:");
    for (unsigned i = 0; i < emu->steps; i++)
        kprintf(" %s", insn_op_name(emu->ops[i]));
    kprintf("%s", emu->fetch_fault ? " fetch-fault" : "");
    for (unsigned i = 0; i < emu->delivered && i < ARRAY_LEN(emu->events); i++)
        kprintf(" %s#%u(%x)", i ? "" : "; ", emu->events[i].vector, emu->events[i].error);
    kprintf("\n");
    print_state("before", &test->start);
    print_end("emulator", emu);
    print_state("emulator", &emu->state);
    print_end("CPU", cpu);
    print_state("CPU", &cpu->state);
    compare_all(test, emu, cpu, false);
}
