/*
 * What the bytes of a site say, for people: the plain instructions of the ABI, and the forms that
 * the patcher writes. No disassembler: it knows these and nothing else.
 */
#ifndef TOOLS_SITE_TEXT_H
#define TOOLS_SITE_TEXT_H

#include "pv_abi.h"

struct site_text {
    char text[48];
    unsigned used; /* bytes before the NOP that fills the site */
};

/*
 * names[PV_OP_COUNT]: what to call the stubs of the hypercall page; NULL entries get their number.
 * Bytes that it does not know are "?" and all used.
 */
struct site_text site_text(const struct pv_note *note, const char *const *names, uint32_t gva,
                           const uint8_t bytes[PV_SITE_LEN]);

#endif
