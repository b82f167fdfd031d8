/*
 * libFuzzer on the decoder: what must hold for any bytes, whatever they mean.
 * Input: one byte that chooses 16-bit or 32-bit code, then the bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decoder.h"

#define HOLDS(what) ((what) ? (void)0 : broken(#what, n, bits))

static void broken(const char *what, size_t n, int bits)
{
    fprintf(stderr, "%zu bytes of %d-bit code: \"%s\" does not hold\n", n, bits, what);
    abort();
}

/* The first n bytes lie at the end of the block: the address sanitizer sees who reads on. */
static enum decode_result decode_first(struct insn *insn, const uint8_t *bytes, size_t n, int bits)
{
    static uint8_t *block;
    if (!block && !(block = malloc(INSN_MAX + 1)))
        abort();
    memcpy(block + INSN_MAX + 1 - n, bytes, n);
    return decode(insn, block + INSN_MAX + 1 - n, n, bits);
}

static void check_fields(const struct insn *insn, size_t n, int bits)
{
    HOLDS(insn->len >= 1 && insn->len <= INSN_MAX && insn->len <= n);
    HOLDS(insn->opcode_off < insn->len && insn->map < 4);
    HOLDS(!(insn->prefixes & PFX_SEG) || insn->seg_off < insn->opcode_off);
    HOLDS(insn->seg_override < 6);
    HOLDS(insn->opsize == 2 || insn->opsize == 4);
    HOLDS(insn->adsize == 2 || insn->adsize == 4);
    HOLDS(insn->op < OP_COUNT && strcmp(insn_op_name(insn->op), "?"));
    HOLDS(insn->opcode_off + 1 + insn->has_modrm + insn->has_sib + insn->disp_size +
              insn->imm_size <=
          insn->len);
    HOLDS(!insn_reads_through_cs(insn) || insn->seg_override == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const int bits = data[0] & 1 ? 32 : 16;
    const uint8_t *bytes = data + 1;
    const size_t most = size - 1 < INSN_MAX + 1 ? size - 1 : INSN_MAX + 1;
    enum decode_result before = DECODE_MORE;
    struct insn last = {0};
    for (size_t n = 0; n <= most; n++) {
        struct insn insn;
        const enum decode_result result = decode_first(&insn, bytes, n, bits);
        HOLDS(result <= DECODE_LONG);
        HOLDS(result != DECODE_MORE || n < INSN_MAX); /* 15 bytes are enough to know */
        if (before == DECODE_MORE && result == DECODE_OK)
            HOLDS(insn.len == n); /* one byte less was not enough */
        if (before != DECODE_MORE)
            HOLDS(result == before); /* and no more bytes change anything */
        if (before == DECODE_OK)
            HOLDS(!memcmp(&insn, &last, sizeof(insn)));
        if (result == DECODE_OK)
            check_fields(&insn, n, bits);
        before = result;
        last = insn;
    }
    return 0;
}
