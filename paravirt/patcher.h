/*
 * The patcher: turns recorded sites of a guest kernel into shared-page accesses and hypercalls, and
 * back. Pure code: works on a struct vm's RAM and ELF image.
 */
#ifndef TRIVISOR_PATCHER_H
#define TRIVISOR_PATCHER_H

#include "pv_abi.h"
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

/* Fill the hypercall page and patch every site whose operation has a patched form; p->patched
 * counts those. Call once after patcher_open(). */
void patcher_apply(struct patcher *p, struct vm *vm);

/* Put every site back as it was, and empty the hypercall page. */
void patcher_undo(struct patcher *p, struct vm *vm);

/* The plain instruction of an operation: bytes into out[PV_SITE_LEN], padded. false: no such op. */
bool pv_plain_bytes(uint8_t op, uint8_t out[PV_SITE_LEN]);

/* Has the operation a patched form, or is it left to trap? */
bool pv_is_patched(uint8_t op);

/* Its patched form at site_gva for the note's addresses; the plain one where there is no other. */
void pv_patched_bytes(const struct pv_note *note, uint8_t op, uint32_t site_gva,
                      uint8_t out[PV_SITE_LEN]);

/* Name of an operation ("cli", ...), or "?" . */
const char *pv_op_name(uint8_t op);

#endif
