/*
 * The patcher: turns recorded sites of a guest kernel into shared-page accesses and hypercalls, and
 * back. Pure code: works on a struct vm's RAM and ELF image.
 */
#ifndef TRIVISOR_PATCHER_H
#define TRIVISOR_PATCHER_H

#include "pv_abi.h"
#include "pv_switches.h"
#include "vm.h"

struct patcher {
    struct pv_note note;
    const struct pv_site *sites; /* in the ELF image */
    uint32_t site_count;
    uint8_t *hypercall_page;  /* in guest RAM */
    struct pv_shared *shared; /* in guest RAM */
    uint32_t patched;
};

/*
 * Read and check the kernel's note and every site: alignment, bounds, length, operation, and that
 * the bytes in RAM are the operation's plain instruction padded with NOPs.
 * Returns NULL and fills *p; or one sentence in why[] (size bytes) and nothing is changed.
 */
const char *patcher_open(struct patcher *p, struct vm *vm, char *why, unsigned size);

/* Bits of what is switched on: one for each of PV_SWITCHES, and what is no mechanism. */
enum pv_switch {
#define X(id, name, what) PV_SWITCH_##id,
    PV_SWITCHES(X)
#undef X
        PV_SWITCH_COUNT
};

enum pv_feature {
#define X(id, name, what) PV_FEATURE_##id = 1 << PV_SWITCH_##id,
    PV_SWITCHES(X)
#undef X
        PV_FEATURES_ALL = (1 << PV_SWITCH_COUNT) - 1,
    PV_COUNT_SITES = 1 << PV_SWITCH_COUNT,  /* every site traps and is counted: exact, and slow */
    PV_REPATCH = 1 << (PV_SWITCH_COUNT + 1) /* undo and apply all patches again and again: a test */
};

/* Fill the hypercall page and patch every site whose operation has a patched form with these
 * features (enum pv_feature bits); p->patched counts those. Call once after patcher_open(). */
void patcher_apply(struct patcher *p, struct vm *vm, uint32_t features);

/*
 * May sites and stubs change while the guest's EIP is here? Not inside of a site or a stub. Who
 * interrupts a guest only at such points, and patches only then, never leaves a return address in
 * the middle of something that has changed.
 */
bool patcher_safe_point(const struct patcher *p, uint32_t eip);

/* The site that eip is in the middle of, or NULL. */
const struct pv_site *patcher_site_around(const struct patcher *p, uint32_t eip);

/* Where a patched call returns to at eip: behind the site's NOP. Other addresses are returned as
 * they are. */
uint32_t patcher_behind_call(const struct patcher *p, uint32_t eip);

/* Put every site back as it was, and empty the hypercall page: services answer PV_E_UNKNOWN. At a
 * safe point only, as patcher_apply() on a guest that runs already. */
void patcher_undo(struct patcher *p, struct vm *vm);

/* Do all sites hold their plain instruction? NULL, or one sentence in why[]. */
const char *patcher_check(const struct patcher *p, const struct vm *vm, char *why, unsigned size);

/* The plain instruction of an operation: bytes into out[PV_SITE_LEN], padded. false: no such op. */
bool pv_plain_bytes(uint8_t op, uint8_t out[PV_SITE_LEN]);

/* Has the operation a patched form, or is it left to trap? */
bool pv_is_patched(uint8_t op, uint32_t features);

/* Its patched form at site_gva for the note's addresses; the plain one where there is no other. */
void pv_patched_bytes(const struct pv_note *note, uint8_t op, uint32_t features, uint32_t site_gva,
                      uint8_t out[PV_SITE_LEN]);

/* Name of an operation ("cli", ...), or "?" . */
const char *pv_op_name(uint8_t op);

#endif
