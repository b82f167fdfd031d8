/* What the software modes offer to the monitor (mode.h). */
#include "engine.h"

#include <string.h>

#include "sink.h"

/* The short ways report no exits: without them everything comes to the loop. */
void sw_watch(struct vcpu *vcpu, unsigned what)
{
    struct sw *sw = sw_of(vcpu);
    if ((what & WATCH_EXITS) && sw->short_ways) {
        sw->short_ways = false;
        sw->short_ways_held = true;
        sw_fast_close(sw);
    } else if (!(what & WATCH_EXITS) && sw->short_ways_held) {
        sw->short_ways = true;
        sw->short_ways_held = false;
    }
    vcpu->dirty |= DIRTY_SEG; /* sw_fast_loaded() */
}

void sw_step_one(struct vcpu *vcpu, struct exit *exit)
{
    struct sw *sw = sw_of(vcpu);
    if (sw->step == STEP_NONE || sw->step == STEP_SHADOW)
        sw->step = STEP_MONITOR;
    vcpu->step_due = false;
    exit->insn_len = 0;
    sw_run(vcpu, exit);
    if (sw->step == STEP_MONITOR)
        sw->step = STEP_NONE;
}

/* The monitor has emulated instructions: what was begun for the one at EIP is over, and tables may
 * have been loaded. */
void sw_stepped(struct vcpu *vcpu)
{
    struct sw *sw = sw_of(vcpu);
    sw_step_end(sw);
    vcpu->step_due = false;
    sw_fast_forget_tables();
}

static unsigned count_bits(const uint32_t *bits, unsigned words)
{
    unsigned n = 0;
    for (unsigned i = 0; i < words; i++)
        n += (unsigned)__builtin_popcount(bits[i]);
    return n;
}

static void show_page(struct sink *sink, const struct code_page *p)
{
    const unsigned words = PAGE_SIZE / 32;
    unsigned traps = 0;
    for (unsigned i = 0; i < PAGE_SIZE; i++)
        traps += code_page_is_start(p, p->gva + i) && p->copy[i] == TRAP_BYTE;
    say(sink,
        "  %08x  guest physical %08x  %u instructions, %u of them trap sites; %u bytes copied%s",
        p->gva, p->gpa, count_bits(p->start, words), traps, count_bits(p->body, words),
        p->global ? "  global" : "");
}

static bool show_scan(struct sw *sw, struct sink *sink)
{
    const struct window *w = &sw->window;
    unsigned pages = 0;
    if (!sw->policy->window)
        return false;
    say(sink, "pages of the guest's code with a copy in the window:");
    for (const struct code_page *p = w->all; p; p = p->next) {
        if (!p->bound)
            continue;
        pages++;
        show_page(sink, p);
    }
    say(sink,
        "%u pages; %llu instructions scanned in all, %llu trap sites; pages were dropped %llu "
        "times",
        pages, w->stats.instructions, w->stats.trap_sites, w->stats.drops);
    for (int i = 0; i < WINDOW_REGIONS; i++) {
        if (w->region[i].used)
            say(sink, "region %08x%s", w->region[i].base, i == w->current ? " is visible now" : "");
    }
    return true;
}

bool sw_show(struct vcpu *vcpu, const char *topic, struct sink *sink)
{
    return !strcmp(topic, "scan") && show_scan(sw_of(vcpu), sink);
}

void sw_explain(struct vcpu *vcpu, gva_t gva, gpa_t gpa, struct sink *sink)
{
    static const char *const roots[SHADOW_ROOTS] = {"kernel", "programs"};
    const struct sw *sw = sw_of(vcpu);
    const uint8_t watch = vcpu->vm->page_watch && gpa < vcpu->vm->ram_size
                              ? vcpu->vm->page_watch[gpa >> PAGE_SHIFT]
                              : 0;
    say(sink, "the CPU walks no table of the guest, but shadows of them (PAE format, all CPL 3):");
    for (enum shadow_root_id root = 0; root < SHADOW_ROOTS; root++) {
        say(sink, "  the shadow for the guest's %s%s", roots[root],
            sw->user == (root == SHADOW_USER) ? ", which is loaded" : "");
        shadow_explain(&sw->shadow, root, gva, sink);
    }
    if (watch & WATCH_CODE)
        say(sink, "  the page holds scanned code: a write to it drops what was scanned");
    if (watch & WATCH_TABLE)
        say(sink, "  the page holds the guest's GDT: a write to it renews the shadow GDT");
    if (sw->policy->window && sw->window.current >= 0 && window_lookup((struct sw *)sw, gva))
        say(sink, "  as kernel code it executes from the window, at %08x",
            gva + window_offset(&sw->window));
}
