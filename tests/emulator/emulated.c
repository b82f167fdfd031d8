/*
 * A case by the VMM's emulator: fetch, decode, emulate(), the common exit path of exits.c, and
 * event delivery, on the emulator's image of memory.
 */
#include "emulated.h"

#include <string.h>

#include "gmem.h"
#include "vm_loop.h"

/* What guests are not offered: breakpoints, and #DB at a MOV of a debug register (GD). */
#define DR7_ARMED 0x20FFu
#define PATIENCE 100u /* timer ticks until the emulator does not come back */

struct running now;

/* States that the CPU may not be given: it would leave the arena. */
static bool unsafe(const struct vcpu *vcpu)
{
    const uint32_t cr3 = vcpu->cr3 & PAGE_MASK;
    const gva_t code = vcpu->seg[SREG_CS].base + vcpu->eip;

    if (now.outside || (cr3 != PAGE_DIR_A && cr3 != PAGE_DIR_B) || (vcpu->dr[7] & DR7_ARMED))
        return true;
    if (!(vcpu->cr0 & CR0_PG))
        return code - LOW >= 8 * PAGE_SIZE && code - HOT >= HOT_PAGES * PAGE_SIZE;
    return !(vcpu->cr4 & CR4_PSE) && (code & 0xFFC00000) == WINDOW_LARGE;
}

static bool is_end(const struct insn *insn)
{
    return insn->op == OP_VMMCALL && insn->len == 3;
}

#define CR4_TRIED                                                                                  \
    (CR4_TSD | CR4_DE | CR4_PSE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | 1u << 30 | 1u << 31)

/* Paging with other tables, and more that the machine has and its guests have not. */
static bool cr4_elsewhere(const struct vcpu *vcpu, const struct insn *insn)
{
    return insn->op == OP_MOV_TO_CR && MODRM_REG(insn->modrm) == 4 &&
           (vcpu->gpr[MODRM_RM(insn->modrm)] & ~CR4_TRIED);
}

/* Paging without protection. A guest of SVM may have that (APM vol. 2 section 15.19), and would go
 * on in it with the real-mode table of nobody; else MOV to CR0 is #GP(0) (SDM vol. 2, MOV to CR).
 */
static bool paged_real(const struct vcpu *vcpu, const struct insn *insn)
{
    return insn->op == OP_MOV_TO_CR && MODRM_REG(insn->modrm) == 0 && vcpu_cpl(vcpu) == 0 &&
           (vcpu->gpr[MODRM_RM(insn->modrm)] & (CR0_PG | CR0_PE)) == CR0_PG;
}

/* MSRs that are the machine's own, and values of over 32 bits, which the guest's MSRs do not have.
 */
static bool msr_elsewhere(const struct vcpu *vcpu, const struct insn *insn)
{
    const uint32_t msr = vcpu->gpr[GPR_ECX];

    if (insn->op != OP_RDMSR && insn->op != OP_WRMSR)
        return false;
    return msr - MSR_SYSENTER_CS > 2 || (insn->op == OP_WRMSR && vcpu->gpr[GPR_EDX]);
}

/* IRET to virtual-8086 mode, or to another task. */
static bool iret_elsewhere(struct vcpu *vcpu, const struct insn *insn)
{
    const struct segment *ss = &vcpu->seg[SREG_SS];
    uint32_t offset = vcpu->gpr[GPR_ESP] + 8, flags = 0;
    struct event ignored;

    if (insn->op != OP_IRET || !(vcpu->cr0 & CR0_PE))
        return false;
    if (vcpu->eflags & FL_NT)
        return true;
    if (insn->opsize != 4 || (is_bochs && vcpu_cpl(vcpu) != 0)) /* QEMU enters it from any level */
        return false;
    if (!(ss->attr & SEG_DB))
        offset &= 0xFFFF;
    return __real_guest_read(vcpu, ss->base + offset, &flags, 4, ACCESS_PEEK, &ignored) &&
           (flags & FL_VM);
}

/* MOV to memory, of those that mmio.c knows. */
static bool is_store(const struct insn *insn)
{
    if (insn->map != 0)
        return false;
    return (insn->opcode & 0xFE) == 0x88 || (insn->opcode & 0xFE) == 0xA2 ||
           (insn->opcode & 0xFE) == 0xC6;
}

/* A move on device memory, which a mode would pass to mmio_access(). */
static bool on_hole(struct vcpu *vcpu, const struct insn *insn, struct exit *exit)
{
    struct walk walk;
    uint32_t error;
    enum sreg seg;
    const struct segment *s;
    const bool moffs = insn->map == 0 && insn->opcode >= 0xA0 && insn->opcode <= 0xA3;

    if (!(moffs || (insn->has_modrm && MODRM_MOD(insn->modrm) != 3)))
        return false;
    exit->fault.gva = insn_operand_gva(vcpu, insn, &seg);
    s = &vcpu->seg[seg];
    if (!__real_segment_allows(vcpu, s, exit->fault.gva - s->base, 4, true) ||
        !guest_walk(vcpu, exit->fault.gva, ACCESS_PEEK, &walk, &error))
        return false;
    exit->fault.gpa = walk.gpa;
    exit->reason = EXIT_MMIO;
    exit->insn_len = 0;
    if (walk.gpa - HOLE > PAGE_SIZE - 4 || !walk.writable || !walk.user)
        return false;
    now.hole_written |= is_store(insn);
    guest_walk(vcpu, exit->fault.gva, is_store(insn) ? ACCESS_WRITE : ACCESS_READ, &walk, &error);
    return true;
}

/* The emulator's fetch only looks: whoever runs the guest's code sets the accessed bits. */
static void fetched(struct vcpu *vcpu, unsigned len)
{
    const gva_t gva = vcpu->seg[SREG_CS].base + vcpu->eip;
    struct walk walk;
    uint32_t error;
    const unsigned access = ACCESS_FETCH | (vcpu_cpl(vcpu) == 3 ? ACCESS_USER : 0);

    if (guest_walk(vcpu, gva, access, &walk, &error) && len > PAGE_SIZE - gva % PAGE_SIZE)
        guest_walk(vcpu, gva + len - 1, access, &walk, &error);
}

/* Does an operand of several words cross the end of what a 16-bit address reaches? */
static bool wraps_at_64k(const struct vcpu *vcpu, const struct insn *insn)
{
    enum sreg seg;

    if (insn->adsize == 4 || !insn->has_modrm || MODRM_MOD(insn->modrm) == 3)
        return false;
    const gva_t gva = insn_operand_gva(vcpu, insn, &seg);
    return gva - vcpu->seg[seg].base > 0x10000 - 6;
}

/* Bits 19:16 of what LAR gives are undefined (SDM vol. 2). Bochs gives those of the descriptor, and
 * later instructions may use them: the emulator gets them, too. */
static void bochs_lar(struct vcpu *vcpu, const struct insn *insn)
{
    if (!is_bochs || insn->op != OP_LAR || insn->opsize != 4 || !(vcpu->eflags & FL_ZF))
        return;
    vcpu->gpr[MODRM_REG(insn->modrm)] |= (uint32_t)(now.descriptor >> 32) & 0x000F0000;
}

/* One instruction. Returns true when the guest goes on; else *stop. */
static bool step(struct vcpu *vcpu, const struct insn *insn, struct result *result)
{
    struct exit exit = {.reason = EXIT_NONE};
    enum emu_result done;

    result->wrapped |= wraps_at_64k(vcpu, insn);
    done = emulate(vcpu, insn, &exit);
    qemu_code_limit(vcpu, done == EMU_DONE);

    if (done == EMU_DONE) {
        bochs_lar(vcpu, insn);
        return true;
    }
    if (done == EMU_UNHANDLED) {
        if (!on_hole(vcpu, insn, &exit)) {
            result->stop = SKIP_NOT_MINE;
            result->opcode = insn->opcode;
            return false;
        }
        done = EMU_EXIT;
    }
    if (done == EMU_FAULT) {
        now.injected = true;
        now.event = exit.exception.event;
        return true;
    }
    if (exit.reason == EXIT_IO)
        now.outside |= !is_scratch(exit.io.port, exit.io.size); /* also when no byte is moved */
    if (exit.reason == EXIT_TSC || (exit.reason == EXIT_MSR && vcpu->gpr[GPR_ECX] == MSR_TSC))
        result->ignore_tsc = true;
    exit_dispatch(vcpu, &exit);
    if (now.killed) {
        result->stop = SKIP_NOT_MINE;
        result->opcode = insn->opcode;
        return false;
    }
    if (vcpu->halted && !now.injected) {
        result->stop = STOP_HLT;
        result->hlt_length = insn->len;
        return false;
    }
    return true;
}

/* The exception that came up. Returns true when it was delivered. */
static bool deliver(const struct test_case *test, struct vcpu *vcpu, struct result *result)
{
    now.injected = false;
    if (now.task) {
        result->stop = SKIP_TASK;
        return false;
    }
    if (!test->deliver) {
        result->stop = STOP_FAULT;
        result->fault = now.event;
        return false;
    }
    now.op = OP_COUNT;
    result->events[result->delivered++ % ARRAY_LEN(result->events)] = now.event;
    const bool delivered = deliver_event(vcpu, &now.event);
    qemu_code_limit(vcpu, delivered);
    if (!delivered) {
        result->stop = now.double_fault || is_bochs ? STOP_DOUBLE : STOP_SHUTDOWN;
        return false;
    }
    if (now.task)
        result->stop = SKIP_TASK;
    return !now.task;
}

/* Is another instruction where insn was? */
static bool has_changed(const struct vcpu *vcpu, uint32_t eip, const struct insn *insn)
{
    struct vcpu copy = *vcpu;
    struct insn again;
    struct exit exit;

    copy.eip = eip;
    return !fetch_decode(&copy, &again, &exit) || memcmp(&again, insn, sizeof(again));
}

/* Is the guest at an instruction that was meant? */
static bool in_own_code(const struct test_case *test, const struct vcpu *vcpu)
{
    const struct vcpu *start = &test->start;
    const uint32_t offset =
        vcpu->seg[SREG_CS].base + vcpu->eip - start->seg[SREG_CS].base - start->eip;

    return offset < CODE_MAX && (test->starts >> offset & 1);
}

/* The one instruction that is held against the manual alone. */
static void run_paged_real(struct vcpu *vcpu, const struct insn *insn, struct result *result)
{
    struct vcpu before = *vcpu;
    const bool on = step(vcpu, insn, result);
    const struct event *event = &now.event;

    now.injected &= on;
    result->wrong = !now.injected || event->vector != VEC_GP || event->error ||
                    memcmp(&before, vcpu, sizeof(before));
    result->stop = SKIP_UNSAFE;
}

static void run(const struct test_case *test, struct vcpu *vcpu, struct result *result)
{
    struct exit exit;
    struct insn insn;
    uint32_t eip = ~test->start.eip;

    for (;;) {
        result->stop = SKIP_UNSAFE;
        if (unsafe(vcpu))
            return;
        result->stop = SKIP_ENDLESS;
        if (result->steps == MAX_STEPS || result->delivered >= MAX_STEPS)
            return;
        now.op = OP_OTHER;
        if (!fetch_decode(vcpu, &insn, &exit)) {
            result->wrapped |= vcpu->eip > 0xFFFFFFF0;
            result->stop = SKIP_LIMIT;
            if (!is_bochs && exit.exception.event.vector == VEC_GP)
                return;
            result->stop = SKIP_STRANGE; /* not our code: x87 and more, that guests have not */
            if (exit.exception.event.vector == VEC_UD && !in_own_code(test, vcpu))
                return;
            result->fetch_fault = true;
            fetched(vcpu, 1);
            now.injected = true;
            now.event = exit.exception.event;
        } else {
            fetched(vcpu, insn.len);
            if (is_end(&insn)) {
                result->stop = STOP_END;
                return;
            }
            result->stop = SKIP_UNSAFE;
            if ((vcpu->eflags & FL_TF) || result->ignore_tsc || now.hole_written ||
                msr_elsewhere(vcpu, &insn) || cr4_elsewhere(vcpu, &insn))
                return;
            eip = vcpu->eip;
            result->stop = SKIP_STRANGE; /* QEMU takes the number of RET far as signed */
            if (!is_bochs && insn.op == OP_RET_FAR && (insn.imm & 0x8000))
                return;
            result->stop = SKIP_TASK;
            if (iret_elsewhere(vcpu, &insn))
                return;
            result->ops[result->steps++] = now.op = insn.op;
            if (paged_real(vcpu, &insn)) {
                run_paged_real(vcpu, &insn, result);
                return;
            }
            if (!step(vcpu, &insn, result))
                return;
            result->stop = SKIP_STRANGE; /* REP INS has overwritten itself, or its own permission */
            if (insn.op == OP_INS && (now.tss_written || has_changed(vcpu, eip, &insn)))
                return;
        }
        if (now.injected && !deliver(test, vcpu, result))
            return;
    }
}

void emulated_run(const struct test_case *test, struct result *result)
{
    struct vcpu *vcpu = &result->state;

    memset(result, 0, sizeof(*result));
    *vcpu = test->start;
    memset(&now, 0, sizeof(now));
    now.vcpu = vcpu;
    now.result = result;
    if (uses_ports(test))
        ports_set();
    patience = PATIENCE;
    __asm__ volatile("sti" : : : "memory");
    run(test, vcpu, result);
    __asm__ volatile("cli" : : : "memory");
    patience = 0;
    now.op = OP_OTHER;
    if (uses_ports(test))
        ports_get(result->ports);
    if (now.outside)
        result->stop = SKIP_UNSAFE;
}
