/*
 * State of para mode, and the services of its hypercalls.
 *
 * hypercalls.c knows what a call means and checks what the guest passes. What changes translations
 * it asks of struct pv_mmu: the shadow's in para mode, a model's in tests.
 */
#ifndef TRIVISOR_PARA_H
#define TRIVISOR_PARA_H

#include "patcher.h"
#include "vcpu.h"

struct sw;

struct pv_mmu {
    /*
     * list: n entries of the queue, at least one; the first is to be done, and so may be those
     * after it with the same operation. Returns how many were. flush: the entries of these
     * addresses have changed: forget the old ones. enter: these had no translation and have one
     * now: they may be entered.
     */
    unsigned (*flush)(struct vcpu *vcpu, const uint32_t (*list)[2], unsigned n);
    unsigned (*enter)(struct vcpu *vcpu, const uint32_t (*list)[2], unsigned n);
    /* Load CR3. keep: what is remembered of that address space is still right. */
    void (*load)(struct vcpu *vcpu, uint32_t cr3, bool keep);
    /* Forget what is remembered of an address space. */
    void (*drop)(struct vcpu *vcpu, uint32_t cr3);
};

struct para {
    struct patcher patcher;
    struct sw *sw;
    struct vcpu *vcpu;
    const struct pv_mmu *mmu;
    uint32_t features; /* enum pv_feature bits: patcher.h */
    bool event_pending;
    uint32_t *site_count;  /* times executed, by site; NULL: nobody counts */
    uint64_t clock_offset; /* TSC offset of the clock on the shared page */
    uint64_t hypercalls[PV_OP_COUNT], services, bad_calls;
    uint32_t queue_done; /* entries of the queue that have been done, and are still counted */
    uint64_t drains, drained, bad_entries, repatched, entries;
};

/*
 * A hypercall that asks for a service or a change of translations: its result (PV_OK or an error).
 * number: PV_CALL_ or one of the PV_OP_ that the queue can hold, which pv_is_service() knows;
 * PV_E_UNKNOWN for all others. The registers are the guest's and may hold anything.
 */
bool pv_is_service(uint32_t number);
int32_t pv_service(struct para *para, uint32_t number, uint32_t eax, uint32_t edx, uint32_t ebx);

/*
 * Do what the queue on the shared page holds. Entries that are none are counted and left out.
 *
 * A stub reads the count, writes the entry behind the others, and then counts it. The guest may be
 * in the middle of that when a fault or an interrupt of the host stops it, or when a handler of its
 * own does IRET, so only a call may empty the queue (pv_drain); elsewhere what is new is done, and
 * the count stays (pv_catch_up).
 */
void pv_drain(struct para *para);
void pv_catch_up(struct para *para);

/* --- halfway.c --- */

/*
 * Does the guest's kernel stand in the middle of a site? Then do what is left of it: FINISHED, or
 * HLT (what was left is a HLT: EIP is behind it, and the CPU is to halt), or FAULT (nothing was
 * done, *fault is for the guest).
 */
enum pv_halfway { PV_NOT_HALFWAY, PV_FINISHED, PV_HALFWAY_HLT, PV_HALFWAY_FAULT };
enum pv_halfway pv_finish_site(struct vcpu *vcpu, const struct patcher *p, struct event *fault);

/* What POPF changes at CPL 0 (SDM vol. 2B, POPF), but for TF, whose trap belongs behind the site.
 */
#define PV_KERNEL_MAY_POP                                                                          \
    (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_DF | FL_OF | FL_NT | FL_AC | FL_ID | FL_IF |       \
     FL_IOPL)

/* --- switches --- */

/* Read "pv=-sti,-mmu,count,..." from the VMM's options. Returns NULL, or a sentence. */
const char *pv_features(const char *options, uint32_t *features);

/* --- sites.c --- */

struct exit;

/* With PV_COUNT_SITES: get the counters. Returns NULL, or a sentence. */
const char *pv_sites_open(struct para *para);
void pv_sites_close(struct para *para);

/* The site before EIP trapped to be counted: its number, or -1. */
int pv_site_at(const struct para *para, uint32_t eip);

/* One record a site: what it is, its bytes before and now, and how often it ran. */
void pv_sites_report(const struct para *para);

/* The same for people. */
struct sink;
void pv_sites_show(const struct para *para, struct sink *sink);

/* --- pv_fast.c --- */

extern const struct pv_mmu pv_shadow_mmu;

/* Take the gates of the hypercall page, and give them back. One VM at a time. */

void pv_fast_open(struct para *para);
void pv_fast_close(void);

/* Let a trace see the calls, or no longer. */
void pv_fast_trace(bool on);

/* Counted by the gates. */
extern uint32_t pv_null_calls, pv_iret_calls;

#endif
