/* How the emulator's tests write instructions and look at results. */
#ifndef TESTS_EMULATE_HELPERS_H
#define TESTS_EMULATE_HELPERS_H

#include "machine.h"

#define LEN 3 /* of every instruction in these tests, so that a wrong advance shows */

/* An instruction; fields that matter are named in the arguments. Sizes not named are 4. */
#define INSN(...) ((struct insn){.len = LEN, __VA_ARGS__})
/* With a register operand rm and the field reg, or a memory operand at an absolute address. */
#define REG(reg, rm) .has_modrm = true, .modrm = (uint8_t)(0xC0 | (reg) << 3 | (rm))
#define MEM(reg, address)                                                                          \
    .has_modrm = true, .modrm = (uint8_t)((reg) << 3 | 5), .disp = (int32_t)(address),             \
    .disp_size = 4

static struct exit emu_exit_out;

static inline enum emu_result run(struct insn insn)
{
    if (!insn.opsize)
        insn.opsize = 4;
    if (!insn.adsize)
        insn.adsize = 4;
    memset(&emu_exit_out, 0xEE, sizeof(emu_exit_out));
    return emulate(&machine.vcpu, &insn, &emu_exit_out);
}

/* It must complete, and go on behind the instruction. */
static inline void expect_done(const char *what, struct insn insn)
{
    uint32_t eip = machine.vcpu.eip;
    enum emu_result result = run(insn);

    cr_assert_eq(result, EMU_DONE, "%s: result %d", what, result);
    cr_assert_eq(machine.vcpu.eip, eip + LEN, "%s: EIP %x", what, machine.vcpu.eip);
}

/* It must raise this fault and change nothing in the vCPU. */
static inline void expect_fault(const char *what, struct insn insn, unsigned vector, uint32_t error)
{
    struct vcpu before = machine.vcpu;
    enum emu_result result = run(insn);
    const struct event *e = &emu_exit_out.exception.event;

    cr_assert_eq(result, EMU_FAULT, "%s: result %d", what, result);
    cr_assert_eq(emu_exit_out.reason, EXIT_EXCEPTION, "%s", what);
    cr_assert_eq(e->kind, EVENT_EXCEPTION, "%s", what);
    cr_assert_eq(e->vector, vector, "%s: vector %u", what, e->vector);
    cr_assert_eq(e->error, error, "%s: error %x", what, e->error);
    cr_assert_eq(e->has_error, vector != VEC_UD, "%s", what);
    cr_assert_eq(memcmp(&before, &machine.vcpu, sizeof(before)), 0, "%s: state changed", what);
}

/* It must ask common code for this exit, and change nothing yet. */
static inline void expect_exit(const char *what, struct insn insn, enum exit_reason reason)
{
    struct vcpu before = machine.vcpu;
    enum emu_result result = run(insn);

    cr_assert_eq(result, EMU_EXIT, "%s: result %d", what, result);
    cr_assert_eq(emu_exit_out.reason, reason, "%s: reason %d", what, emu_exit_out.reason);
    cr_assert_eq(emu_exit_out.insn_len, LEN, "%s", what);
    cr_assert_eq(memcmp(&before, &machine.vcpu, sizeof(before)), 0, "%s: state changed", what);
}

#endif
