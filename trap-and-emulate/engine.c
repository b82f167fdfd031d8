/* The deprivileged engine: attach, enter, leave. */
#include "engine.h"

#include <string.h>

#include "cpu.h"
#include "gmem.h"

#define ENTRY_OFFSET(field) (offsetof(struct sw_frame, field))
_Static_assert(ENTRY_OFFSET(ds) == 512 && ENTRY_OFFSET(gs) == 524, "enter.asm: F_DS..F_GS");
_Static_assert(ENTRY_OFFSET(vector) == 528 && ENTRY_OFFSET(eip) == 536,
               "enter.asm: F_VECTOR, F_EIP");
_Static_assert(offsetof(struct sw_frame, ss) + 4 == sizeof(struct sw_frame),
               "the CPU fills the end");

#define CPUID7_ECX_UMIP (1u << 2)

bool sw_supported(const char **why)
{
    (void)why; /* boot.asm has refused CPUs without PAE and NX */
    return true;
}

static bool cpu_has_umip(void)
{
    uint32_t r[4];
    cpuid(0, r);
    if (r[0] < 7)
        return false;
    cpuid(7, r);
    return r[2] & CPUID7_ECX_UMIP;
}

static uint32_t sw_pages(void)
{
    return (sizeof(struct sw) + PAGE_SIZE - 1) / PAGE_SIZE;
}

/* Pages for one byte a guest page. */
static uint32_t watch_pages(const struct vm *vm)
{
    return ((vm->ram_size >> PAGE_SHIFT) + PAGE_SIZE - 1) / PAGE_SIZE;
}

/* Free all that sw_attach() has got so far. */
static void release(struct vcpu *vcpu)
{
    struct sw *sw = sw_of(vcpu);
    struct vm *vm = vcpu->vm;
    window_free(sw);
    shadow_free(&sw->shadow);
    sw_segments_free(sw);
    if (vm->page_watch)
        pages_free(vm->page_watch, watch_pages(vm));
    vm->page_watch = NULL;
    vm->page_written = NULL;
    pages_free(sw, sw_pages());
    vcpu->backend = NULL;
}

static const char *set_up(struct sw *sw)
{
    struct vm *vm = sw->vcpu->vm;
    const char *why =
        shadow_init(&sw->shadow, vm, sw->policy->window ? SHADOW_WINDOW : SHADOW_PLAIN);
    if (!why)
        why = sw_segments_init(sw);
    if (why)
        return why;
    window_init(sw);
    vm->page_watch = pages_alloc(watch_pages(vm), PAGE_SIZE);
    if (!vm->page_watch)
        return "too little memory for the page flags";
    memset(vm->page_watch + (ISA_HOLE >> PAGE_SHIFT), WATCH_NO_RAM,
           (ISA_HOLE_END - ISA_HOLE) >> PAGE_SHIFT);
    vm->page_written = sw_page_written;
    why = option_switch(vm->options, "umip", &sw->umip);
    if (why)
        return why;
    if (sw->umip && !cpu_has_umip())
        return "umip=on, but this CPU has no UMIP";
    return sw->policy->attach ? sw->policy->attach(sw) : NULL;
}

const char *sw_attach(struct vcpu *vcpu, const struct sw_policy *policy)
{
    struct sw *sw = pages_alloc(sw_pages(), PAGE_SIZE);
    if (!sw)
        return "too little memory for the mode's state";
    vcpu->backend = sw;
    sw->vcpu = vcpu;
    sw->policy = policy;
    sw->gdt_stale = true;
    sw->short_ways = true;
    sw->enter = sw_enter;
    sw->kernel_flags = &vcpu->eflags;
    sw->kernel_cr2 = &vcpu->cr2;
    const char *why = set_up(sw);
    if (why) {
        release(vcpu);
        return why;
    }
    vcpu->dirty = DIRTY_ALL;
    return NULL;
}

const char *sw_refuses(const struct vcpu *vcpu)
{
    if (!(vcpu->cr0 & CR0_PE))
        return "the guest is in real mode, which software modes do not run";
    return vcpu->eflags & FL_VM
               ? "the guest is in virtual-8086 mode, which software modes do not run"
               : NULL;
}

/* A triple fault is no state of the vCPU: the loop hears of it at the next entry. */
const char *sw_stays(struct vcpu *vcpu)
{
    return sw_of(vcpu)->triple_fault ? "the guest ends with a triple fault" : NULL;
}

/* The CPU's control registers as the VMM started with them. */
static void unload(struct sw *sw)
{
    sw_fast_close(sw);
    write_cr3(host_cr3());
    write_cr0(read_cr0() & ~(CR0_MP | CR0_EM | CR0_TS));
    write_cr4(read_cr4() & ~(CR4_UMIP | CR4_TSD | CR4_DE | CR4_OSFXSR | CR4_OSXMMEXCPT));
    lgdt((uint32_t)host_gdt, HOST_GDT_LIMIT);
    sw->loaded = false;
}

void sw_detach(struct vcpu *vcpu)
{
    struct sw *sw = sw_of(vcpu);
    sw_step_end(sw);
    if (sw->policy->detach)
        sw->policy->detach(sw);
    unload(sw);
    release(vcpu);
}

/* Every exit leaves the canonical state complete. */
void sw_sync(struct vcpu *vcpu)
{
    sw_fast_count(sw_of(vcpu));
}

/* Host control registers that follow the guest's. */
static void load_control(struct sw *sw)
{
    const struct vcpu *vcpu = sw->vcpu;
    const uint32_t guest0 = CR0_MP | CR0_EM | CR0_TS;
    uint32_t cr0 = (read_cr0() & ~guest0) | (vcpu->cr0 & guest0);
    uint32_t cr4 = read_cr4() & ~(CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_TSD | CR4_DE | CR4_UMIP);
    cr4 |= vcpu->cr4 & (CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_DE);
    if ((vcpu->cr4 & CR4_TSD) || vcpu->tsc_offset)
        cr4 |= CR4_TSD;
    if (sw->umip)
        cr4 |= CR4_UMIP;
    write_cr0(cr0);
    write_cr4(cr4);
}

/* Load everything that is not loaded at every entry. */
static void load_state(struct sw *sw, bool user)
{
    struct vcpu *vcpu = sw->vcpu;
    const bool switched = !sw->loaded || sw->user != user;
    if (vcpu->dirty & (DIRTY_CR | DIRTY_MSR))
        load_control(sw);
    if (vcpu->dirty & DIRTY_TABLE) /* a new mapping of the old table: sw_tlb_flush_all() looks */
        sw->gdt_stale = true;
    if (sw->gdt_stale)
        sw_gdt_refresh(sw);
    sw->user = user;
    if (switched || sw->shadow.stale) {
        write_cr3(shadow_cr3(&sw->shadow, user ? SHADOW_USER : SHADOW_KERNEL));
        sw->shadow.stale = false;
    }
    if (switched)
        lgdt((uint32_t)sw->gdt[user ? SHADOW_USER : SHADOW_KERNEL], HOST_GDT_LIMIT);
    if (!sw->loaded) {
        host_tss.esp0 = (uint32_t)(&sw->frame + 1);
        host_user_trap = sw_user_trap;
        host_fixups[0] = (struct host_fixup){(uint32_t)sw_enter_loads, (uint32_t)sw_enter_end,
                                             (uint32_t)sw_enter_failed, true};
        sw->loaded = true;
    }
    sw_segments_choose(sw);
    if (switched || (vcpu->dirty & DIRTY_SEG)) {
        if (sw->policy->window)
            window_follow_segments(sw, user);
        if (sw->reading)
            sw_segments_lend_cs(sw);
    }
    vcpu->dirty = 0;
    sw_fast_loaded(sw);
}

void sw_run(struct vcpu *vcpu, struct exit *exit)
{
    struct sw *sw = sw_of(vcpu);
    if (sw->triple_fault) {
        exit->reason = EXIT_TRIPLE_FAULT;
        return;
    }
    if (!(vcpu->cr0 & CR0_PE) || (vcpu->eflags & FL_VM)) {
        exit->reason = EXIT_KILL;
        exit->kill.reason = "the guest entered real or virtual-8086 mode, which software modes do "
                            "not run";
        return;
    }
    if (vcpu->step_due) {
        vcpu->step_due = false;
        vcpu->dr[6] |= DR6_BS;
        exit->reason = EXIT_EXCEPTION;
        exit->exception.event = (struct event){.kind = EVENT_EXCEPTION, .vector = VEC_DB};
        return;
    }
    const bool user = vcpu_cpl(vcpu) == 3;
    if (sw->policy->before_entry)
        sw->policy->before_entry(sw);
    sw_fast_warm(sw);
    if (vcpu->dirty || user != sw->user || sw->shadow.stale || sw->gdt_stale || !sw->loaded)
        load_state(sw, user);
    const uint32_t native = vcpu->eflags & (FL_NATIVE | FL_RF | FL_TF);
    sw->frame.eflags = native | FL_IF | FL_R1 | (sw->step ? FL_TF : 0);
    sw->frame.eip = vcpu->eip;
    sw->frame.esp = vcpu->gpr[GPR_ESP];

    sw_fast_open(sw);

    sw->enter(vcpu, &sw->frame);

    sw_fast_collect(sw);
    const uint32_t changes = FL_NATIVE | (sw->step ? 0 : FL_TF);
    vcpu->eflags = (vcpu->eflags & ~changes) | (sw->frame.eflags & changes);
    if (sw->frame.eip != vcpu->eip) {
        vcpu->eflags &= ~FL_RF;
        vcpu->int_shadow = 0;
    }
    vcpu->eip = sw->frame.eip;
    vcpu->gpr[GPR_ESP] = sw->frame.esp;
    sw_segments_collect(sw);
    if (sw->policy->after_exit)
        sw->policy->after_exit(sw);
    if (sw_fast.handled) {
        exit->reason = EXIT_NONE;
        __asm__("" : "+m"(sw_fast.handled)); /* read again: so the test is one instruction */
        exit->done = sw_fast.handled;
        sw_fast.handled = EXIT_NONE;
        return;
    }
    sw_classify(sw, exit);
}

void sw_inject(struct vcpu *vcpu, const struct event *event)
{
    struct sw *sw = sw_of(vcpu);
    sw_step_end(sw);
    vcpu->step_due = false;
    sw->bounces++;
    if (!deliver_event(vcpu, event))
        sw->triple_fault = true;
    else if (event->kind == EVENT_EXCEPTION)
        sw_fast_learn_gate(sw, event->vector, false);
}

bool sw_can_take_irq(struct vcpu *vcpu)
{
    const struct sw *sw = sw_of(vcpu);
    /* The trap of a single-stepped HLT waits for what wakes the CPU. */
    const bool step_first = vcpu->step_due && !vcpu->halted;
    return (vcpu->eflags & FL_IF) && !vcpu->int_shadow && sw->step != STEP_WRITE &&
           sw->step != STEP_READ && !step_first;
}

/* With IF clear, whatever sets it comes here anyway. In an interrupt shadow one instruction must
 * pass first: step it. */
void sw_irq_window(struct vcpu *vcpu, bool on)
{
    struct sw *sw = sw_of(vcpu);
    sw_fast.irq_waits = on;
    if (on && sw->step == STEP_NONE && (vcpu->eflags & FL_IF) && vcpu->int_shadow)
        sw->step = STEP_SHADOW;
}

void sw_tlb_flush(struct vcpu *vcpu, gva_t gva)
{
    struct sw *sw = sw_of(vcpu);
    shadow_drop_page(&sw->shadow, gva);
    sw_fast_translation_changed(sw, gva);
    if (sw->policy->window)
        window_revalidate_page(sw, gva);
    if (gva - (vcpu->gdtr.base & PAGE_MASK) <= vcpu->gdtr.limit + PAGE_SIZE ||
        (sw->gdt_large && sw_gdt_moved(sw, true)))
        sw->gdt_stale = true;
}

void sw_tlb_flush_all(struct vcpu *vcpu, bool global_too)
{
    struct sw *sw = sw_of(vcpu);
    if (global_too)
        shadow_drop_all(&sw->shadow);
    else
        shadow_switch(&sw->shadow, false);
    sw_fast_translations_changed(sw, global_too);
    if (sw->policy->window)
        window_revalidate(sw, global_too);
    if (sw_gdt_moved(sw, global_too))
        sw->gdt_stale = true;
}

int sw_stats(struct vcpu *vcpu, char *buf, unsigned size)
{
    const struct sw *sw = sw_of(vcpu);
    const struct scan_stats *s = &sw->window.stats;
    return ksnprintf(buf, size,
                     "\"scanned\":%llu,\"trapped_sites\":%llu,\"scans\":%llu,\"conflicts\":%llu,"
                     "\"code_page_drops\":%llu,\"window_moves\":%llu,\"shadow_fills\":%llu,"
                     "\"shadow_flushes\":%llu,\"shadow_kept\":%llu,\"shadow_evicted\":%llu,"
                     "\"events_delivered\":%llu",
                     s->instructions, s->trap_sites, s->scans, s->conflicts, s->drops,
                     sw->window.moves, sw->shadow.fills, sw->shadow.flushes, sw->shadow.kept,
                     sw->shadow.evicted, sw->bounces);
}
