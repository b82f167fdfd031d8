/*
 * The deprivileged engine: runs the guest kernel and the guest's programs at CPL 3. Trap mode and
 * para mode are two policies over it.
 *
 * Protection (0/3/3): everything of the VMM is a supervisor page in every page table, and the guest
 * never runs below CPL 3. The guest's own kernel/user line is drawn by two shadow roots
 * (hypervisor/include/shadow.h) and two shadow descriptor tables; which pair is loaded follows the
 * guest's CPL.
 */
#ifndef TRIVISOR_ENGINE_H
#define TRIVISOR_ENGINE_H

#include "emulate.h"
#include "fast.h"
#include "mode.h"
#include "shadow.h"
#include "vmm.h"
#include "window.h"
#include "x86.h"

/* EFLAGS bits that guest code at CPL 3 changes for real; the others are kept in the vCPU. */
#define FL_NATIVE (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_DF | FL_OF | FL_NT | FL_AC | FL_ID)

/* vm->page_watch bits */
#define WATCH_CODE 1u  /* holds scanned code */
#define WATCH_TABLE 2u /* holds the guest's GDT */

/* What the entry stubs and enter.asm share: the CPU pushes into its end (TSS.ESP0 points just
 * behind it). Offsets are asserted in engine.c. */
struct sw_frame {
    uint32_t
        slack[128]; /* room for the trap frame of a failed IRET, which is taken on this stack */
    uint32_t ds, es, fs, gs;
    uint32_t vector, error, eip, cs, eflags, esp, ss;
};

struct sw;

/* How trap and para differ. All hooks but enter_kernel_code may be NULL. */
struct sw_policy {
    bool window; /* the guest kernel executes from the code window, scanned */
    const char *(*attach)(struct sw *sw);
    void (*detach)(struct sw *sw);
    void (*before_entry)(struct sw *sw); /* canonical state to what the guest reads in memory */
    void (*after_exit)(struct sw *sw);   /* and back */
    void (*settle)(struct sw *sw); /* a page fault of the guest kernel is about to be looked at */
    /* A software interrupt gate of the VMM was used by the guest kernel. Returns true when the
     * policy knows it and has filled *exit. */
    bool (*gate)(struct sw *sw, uint8_t vector, struct exit *exit);
    bool (*own_gate)(uint8_t vector); /* is it one of those? */
};

enum step_kind { STEP_NONE, STEP_WRITE, STEP_SHADOW, STEP_READ, STEP_MONITOR };

#define SITE_CACHE 1024
#define STEP_PAGES 4 /* more than any instruction writes to */
#define DECODED_MAX 16
#define GDT_PAGES_MAX 17 /* 64 KB, unaligned */

struct sw {
    struct sw_frame frame;
    bool
        user; /* what is loaded: guest-user root and tables, or guest-kernel; traced.asm knows it */
    struct vcpu *vcpu;
    const struct sw_policy *policy;
    void *policy_state;

    void (*enter)(struct vcpu *vcpu, struct sw_frame *frame); /* or sw_enter_traced() */

    bool short_ways;        /* fast.h may serve this guest */
    bool watch_iret;        /* the policy must see every IRET of the kernel to itself */
    bool short_ways_held;   /* it may, but the monitor wants to see all exits */
    uint32_t *kernel_flags; /* where EFLAGS.IF and IOPL of the guest kernel are while it runs */
    uint32_t *kernel_cr2;   /* where it reads CR2, if not in the vCPU */

    struct shadow shadow;
    uint64_t *gdt[2];     /* indexed by enum shadow_root_id: DPL raised to 3, or as in the guest */
    uint32_t gdt_entries; /* guest entries present in the shadow tables */
    gpa_t gdt_page[GDT_PAGES_MAX]; /* guest pages that hold the GDT: watched */
    unsigned gdt_pages;
    bool gdt_stale, gdt_global; /* global: all its pages are global ones of the guest's tables */
    bool gdt_large;             /* some of it is in a page of 4 MB */
    struct segment decoded[DECODED_MAX]; /* the guest's first descriptors, as shadowed now */

    /* What was chosen for a segment register last time, per loaded table: the same again as long as
     * register and table are the same. */
    struct {
        struct segment seg;
        uint16_t real;
        bool valid;
    } chosen[2][6];

    bool loaded;            /* roots, tables and TSS are this vCPU's */
    uint16_t loaded_sel[6]; /* real selectors at the last entry, by enum sreg */

    struct window window;

    /* One instruction runs with the trap flag set: it writes to a watched page or a hole, it is in
     * an interrupt shadow while an interrupt waits, it reads through CS while SS is not flat, or
     * the monitor wants it. */
    enum step_kind step;
    struct {
        gva_t gva;
        gpa_t gpa;
    } open[STEP_PAGES]; /* pages that the stepped instruction may write */
    unsigned open_count;
    bool reading;    /* a trap site is open (scan_open()), and DS is the guest's CS */
    gva_t read_site; /* that one */

    bool triple_fault;
    bool umip; /* CR4.UMIP is on: SGDT SIDT SLDT STR SMSW trap by themselves */
    uint64_t bounces;

    /* Decoded instructions that trap, by guest linear address: they trap again and again. */
    struct {
        gva_t gva;
        bool valid, has_short;
        struct insn insn;
    } site[SITE_CACHE];
};

static inline struct sw *sw_of(struct vcpu *vcpu)
{
    return vcpu->backend;
}

/* Linear address of the guest's EIP. */
static inline gva_t sw_pc(const struct vcpu *vcpu)
{
    return vcpu->seg[SREG_CS].base + vcpu->eip;
}

/* engine.c: the struct vmm_mode operations that both policies share. */
const char *sw_attach(struct vcpu *vcpu, const struct sw_policy *policy);
void sw_detach(struct vcpu *vcpu);
void sw_sync(struct vcpu *vcpu);
void sw_run(struct vcpu *vcpu, struct exit *exit);
void sw_inject(struct vcpu *vcpu, const struct event *event);
bool sw_can_take_irq(struct vcpu *vcpu);
void sw_irq_window(struct vcpu *vcpu, bool on);
void sw_tlb_flush(struct vcpu *vcpu, gva_t gva);
void sw_tlb_flush_all(struct vcpu *vcpu, bool global_too);
bool sw_supported(const char **why);
const char *sw_refuses(const struct vcpu *vcpu);
const char *sw_stays(struct vcpu *vcpu);
int sw_stats(struct vcpu *vcpu, char *buf, unsigned size);

/* inspect.c: those for the monitor. */
void sw_watch(struct vcpu *vcpu, unsigned what);
void sw_step_one(struct vcpu *vcpu, struct exit *exit);
void sw_stepped(struct vcpu *vcpu);
bool sw_show(struct vcpu *vcpu, const char *topic, struct sink *sink);
void sw_explain(struct vcpu *vcpu, gva_t gva, gpa_t gpa, struct sink *sink);

/* classify.c: what a trap at CPL 3 means. Fills *exit. */
void sw_classify(struct sw *sw, struct exit *exit);
/* Fetch, decode and emulate the instruction at EIP; fills *exit. native: the exception to pass on
 * when the instruction is none that the VMM emulates. */
void sw_emulate(struct sw *sw, struct exit *exit, const struct event *native);
/* End a step, if one is on: close the page again and note what was written. */
void sw_step_end(struct sw *sw);
void sw_page_written(struct vm *vm, gpa_t page);

/* shadow_segments.c: shadow descriptor tables and real selectors. */
const char *sw_segments_init(struct sw *sw);
void sw_segments_free(struct sw *sw);
void sw_gdt_refresh(struct sw *sw);
bool sw_same_segment(const struct segment *a, const struct segment *b);
/* Do the guest's tables map the GDT to other pages than those it was read from? */
bool sw_gdt_moved(struct sw *sw, bool global_too);
/* After an exit: canonical segment registers for those the guest has loaded natively. */
void sw_segments_collect(struct sw *sw);
/* Before an entry: real selectors for the canonical ones, into sw->frame. */
void sw_segments_choose(struct sw *sw);
/* After that: the guest's CS in DS, for one instruction. */
void sw_segments_lend_cs(struct sw *sw);

/* enter.asm: run until the next trap. */
void sw_enter(struct vcpu *vcpu, struct sw_frame *frame);
void sw_user_trap(void);
extern char sw_enter_loads[], sw_enter_end[], sw_enter_failed[];

#endif
