/*
 * Shadow descriptor tables (SDM vol. 3A section 3.5).
 *
 * The CPU must never load a descriptor that the guest wrote: two shadow tables hold sanitised
 * copies at the guest's own selectors.
 *   kernel table: code and data descriptors with DPL 3, because the guest kernel runs at CPL 3.
 *   user table: DPL as in the guest, so that loads, LAR, LSL and VERR of guest programs behave.
 * System descriptors are left out: what needs them traps and is emulated. The host's own
 * descriptors sit at the end of both tables.
 *
 * A selector whose shadow descriptor does not match the register's hidden part (stale, from an
 * LDT, or from before the guest had a GDT) is replaced by a private descriptor made from the hidden
 * part.
 */
#include <string.h>

#include "cpu.h"
#include "engine.h"
#include "gmem.h"

#define GDT_PAGES (65536 / PAGE_SIZE)
#define ACCESS_BYTE_SHIFT 40
#define DPL_BITS ((uint64_t)SEG_DPL << ACCESS_BYTE_SHIFT)
#define ACCESSED_BIT ((uint64_t)SEG_ACCESSED << ACCESS_BYTE_SHIFT)

const char *sw_segments_init(struct sw *sw)
{
    for (int i = 0; i < 2; i++) {
        sw->gdt[i] = pages_alloc(GDT_PAGES, PAGE_SIZE);
        if (!sw->gdt[i])
            return "too little memory for the shadow descriptor tables";
        memcpy(&sw->gdt[i][HOST_CS / 8], &host_gdt[HOST_CS / 8], 3 * sizeof(uint64_t));
    }
    return NULL;
}

void sw_segments_free(struct sw *sw)
{
    for (int i = 0; i < 2; i++) {
        if (sw->gdt[i])
            pages_free(sw->gdt[i], GDT_PAGES);
    }
}

static bool is_watched(const struct sw *sw, gpa_t page)
{
    for (unsigned i = 0; i < sw->gdt_pages; i++) {
        if (sw->gdt_page[i] == page)
            return true;
    }
    return false;
}

/* The guest pages that hold the GDT as the guest maps it now; returns their number. */
static unsigned find_gdt(struct sw *sw, gpa_t page[GDT_PAGES_MAX])
{
    const struct table_reg *gdtr = &sw->vcpu->gdtr;
    const uint32_t span = (gdtr->base & ~PAGE_MASK) + gdtr->limit + 1u;
    struct walk walk;
    uint32_t error;
    unsigned n = 0;
    sw->gdt_global = true;
    sw->gdt_large = false;
    for (uint32_t at = 0; at < span && n < GDT_PAGES_MAX; at += PAGE_SIZE) {
        if (!guest_walk(sw->vcpu, (gdtr->base & PAGE_MASK) + at, ACCESS_PEEK, &walk, &error) ||
            !guest_ram(sw->vcpu->vm, walk.gpa & PAGE_MASK, PAGE_SIZE)) {
            sw->gdt_global = false;
            continue;
        }
        page[n++] = walk.gpa & PAGE_MASK;
        sw->gdt_global &= walk.global;
        sw->gdt_large |= walk.large;
    }
    return n;
}

bool sw_gdt_moved(struct sw *sw, bool global_too)
{
    gpa_t page[GDT_PAGES_MAX];
    if (sw->gdt_global && !global_too)
        return false;
    const unsigned n = find_gdt(sw, page);
    return n != sw->gdt_pages || memcmp(page, sw->gdt_page, n * sizeof(page[0]));
}

/* Watch the guest pages that hold the GDT, so that writes are noticed. */
static void watch_gdt(struct sw *sw)
{
    struct vm *vm = sw->vcpu->vm;
    gpa_t page[GDT_PAGES_MAX];
    const unsigned n = find_gdt(sw, page);
    for (unsigned i = 0; i < sw->gdt_pages; i++)
        vm->page_watch[sw->gdt_page[i] >> PAGE_SHIFT] &= (uint8_t)~WATCH_TABLE;
    for (unsigned i = 0; i < n; i++) {
        if (!is_watched(sw, page[i]))
            shadow_protect(&sw->shadow, page[i]);
        vm->page_watch[page[i] >> PAGE_SHIFT] |= WATCH_TABLE;
    }
    memcpy(sw->gdt_page, page, n * sizeof(page[0]));
    sw->gdt_pages = n;
}

static uint64_t sanitised(uint64_t raw, bool kernel)
{
    const struct segment seg = descriptor_decode(0, raw);
    if (!(seg.attr & SEG_P) || !(seg.attr & SEG_S))
        return 0;
    raw |= ACCESSED_BIT; /* the CPU need not write it */
    return kernel ? raw | DPL_BITS : raw;
}

void sw_gdt_refresh(struct sw *sw)
{
    struct vcpu *vcpu = sw->vcpu;
    struct event fault;
    uint32_t n = (vcpu->gdtr.limit + 1u) / 8;
    if (n > HOST_SELECTORS / 8)
        n = HOST_SELECTORS / 8;
    sw->gdt_stale = false;
    watch_gdt(sw);
    for (uint32_t i = 0; i < n || i < sw->gdt_entries; i++) {
        uint64_t raw = 0;
        if (!i || i >= n ||
            !guest_read(vcpu, vcpu->gdtr.base + i * 8, &raw, 8, ACCESS_PEEK, &fault))
            raw = 0;
        sw->gdt[SHADOW_KERNEL][i] = sanitised(raw, true);
        sw->gdt[SHADOW_USER][i] = sanitised(raw, false);
        if (i < DECODED_MAX) {
            sw->decoded[i] = descriptor_decode((uint16_t)(i * 8), raw);
            sw->decoded[i].attr |= SEG_ACCESSED;
        }
    }
    sw->gdt_entries = n;
    memset(sw->chosen, 0, sizeof(sw->chosen));
    sw_fast_forget_levels();
}

static const uint32_t *frame_selector(const struct sw *sw, enum sreg reg)
{
    switch (reg) {
    case SREG_ES:
        return &sw->frame.es;
    case SREG_DS:
        return &sw->frame.ds;
    case SREG_FS:
        return &sw->frame.fs;
    case SREG_GS:
        return &sw->frame.gs;
    case SREG_CS:
        return &sw->frame.cs;
    default:
        return &sw->frame.ss;
    }
}

/* The guest loaded reg natively with selector: its hidden part came from the shadow table. */
static void collect(struct sw *sw, enum sreg reg, uint16_t real, uint16_t selector)
{
    struct segment *seg = &sw->vcpu->seg[reg];
    const unsigned index = selector >> 3;
    sw->loaded_sel[reg] = real;
    if (!(selector & SEL_TI) && index && index < DECODED_MAX && index < sw->gdt_entries) {
        *seg = sw->decoded[index];
        seg->selector = selector;
    } else if (!(selector & SEL_TI) && index && index < sw->gdt_entries) {
        *seg = descriptor_decode(selector, sw->gdt[SHADOW_USER][index]);
    } else {
        /* Null, or a selector of the host's own, which hardware would have refused. */
        *seg = (struct segment){.selector = selector & SEL_RPL, .attr = SEG_UNUSABLE};
    }
}

void sw_segments_collect(struct sw *sw)
{
    static const enum sreg data[] = {SREG_ES, SREG_DS, SREG_FS, SREG_GS};
    for (unsigned i = 0; i < ARRAY_LEN(data); i++) {
        uint16_t now = (uint16_t)*frame_selector(sw, data[i]);
        if (now != sw->loaded_sel[data[i]])
            collect(sw, data[i], now, now);
    }
    const unsigned cpl = vcpu_cpl(sw->vcpu);
    if ((uint16_t)sw->frame.cs != sw->loaded_sel[SREG_CS])
        collect(sw, SREG_CS, (uint16_t)sw->frame.cs, (uint16_t)((sw->frame.cs & ~3u) | cpl));
    if ((uint16_t)sw->frame.ss != sw->loaded_sel[SREG_SS])
        collect(sw, SREG_SS, (uint16_t)sw->frame.ss, (uint16_t)((sw->frame.ss & ~3u) | cpl));
}

bool sw_same_segment(const struct segment *a, const struct segment *b)
{
    return a->selector == b->selector && a->attr == b->attr && a->base == b->base &&
           a->limit == b->limit;
}

/* A selector for reg that the CPU can load at CPL 3 and that gives exactly seg's hidden part. */
static uint16_t choose_anew(struct sw *sw, enum sreg reg)
{
    const struct segment *seg = &sw->vcpu->seg[reg];
    const bool stack_or_code = reg == SREG_SS || reg == SREG_CS;
    uint64_t *gdt = sw->gdt[sw->user ? SHADOW_USER : SHADOW_KERNEL];
    const bool unreadable = (seg->attr & (SEG_CODE | SEG_RW)) == SEG_CODE;
    if (((seg->attr & SEG_UNUSABLE) || unreadable) && !stack_or_code)
        return seg->selector & SEL_RPL;
    struct segment real = *seg;
    real.attr = (real.attr & ~SEG_UNUSABLE) | SEG_DPL | SEG_P | SEG_S | SEG_ACCESSED;
    if (reg == SREG_SS) /* must be writable data, whatever the guest made of it */
        real.attr = (real.attr & ~SEG_CODE) | SEG_RW;
    if (reg == SREG_CS)
        real.attr |= SEG_CODE;
    uint64_t want = descriptor_encode(&real);
    const uint16_t selector = seg->selector;
    if (!(selector & SEL_TI) && selector < HOST_SELECTORS && gdt[selector >> 3] == want)
        return stack_or_code ? selector | SEL_RPL : selector;
    gdt[HOST_SEG(reg) >> 3] = want;
    return (uint16_t)(HOST_SEG(reg) | SEL_RPL);
}

static uint16_t choose(struct sw *sw, enum sreg reg)
{
    const struct segment *seg = &sw->vcpu->seg[reg];
    if (!sw->chosen[sw->user][reg].valid || !sw_same_segment(&sw->chosen[sw->user][reg].seg, seg)) {
        sw->chosen[sw->user][reg].seg = *seg;
        sw->chosen[sw->user][reg].real = choose_anew(sw, reg);
        sw->chosen[sw->user][reg].valid = true;
    }
    return sw->chosen[sw->user][reg].real;
}

/* The guest kernel's CS in window mode: flat, moved so that EIP lands in the window. */
static uint16_t choose_window_cs(struct sw *sw)
{
    struct segment cs = sw->vcpu->seg[SREG_CS];
    cs.base += window_offset(&sw->window);
    cs.limit = UINT32_MAX;
    cs.attr =
        (cs.attr & SEG_DB) | SEG_G | SEG_P | SEG_S | SEG_DPL | SEG_CODE | SEG_RW | SEG_ACCESSED;
    sw->gdt[SHADOW_KERNEL][HOST_SEG(SREG_CS) >> 3] = descriptor_encode(&cs);
    return (uint16_t)(HOST_SEG(SREG_CS) | SEL_RPL);
}

void sw_segments_choose(struct sw *sw)
{
    const bool window = sw->policy->window && !sw->user;
    sw->frame.es = sw->loaded_sel[SREG_ES] = choose(sw, SREG_ES);
    sw->frame.ds = sw->loaded_sel[SREG_DS] = choose(sw, SREG_DS);
    sw->frame.fs = sw->loaded_sel[SREG_FS] = choose(sw, SREG_FS);
    sw->frame.gs = sw->loaded_sel[SREG_GS] = choose(sw, SREG_GS);
    sw->frame.ss = sw->loaded_sel[SREG_SS] = choose(sw, SREG_SS);
    sw->frame.cs = sw->loaded_sel[SREG_CS] = window ? choose_window_cs(sw) : choose(sw, SREG_CS);
}

void sw_segments_lend_cs(struct sw *sw)
{
    struct segment *ds = &sw->vcpu->seg[SREG_DS];
    const struct segment kept = *ds;
    *ds = sw->vcpu->seg[SREG_CS];
    sw->frame.ds = sw->loaded_sel[SREG_DS] = choose(sw, SREG_DS);
    *ds = kept;
    sw->chosen[sw->user][SREG_DS].valid = false; /* the private descriptor is another now */
}
