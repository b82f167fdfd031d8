/* What was really compared: per instruction, how often, and how it ended. */
#include "emutest.h"
#include "vmm.h"

static uint32_t meant[OP_COUNT], ended[OP_COUNT], faulted[OP_COUNT][32], inside[OP_COUNT];
static uint32_t stops[STOP_COUNT], not_mine[256], fetch_faults;

void report_meant(const struct test_case *test)
{
    for (unsigned i = 0; i < test->count; i++)
        meant[test->ops[i]]++;
}

/* The last instruction is the one that faulted, all before it are complete. */
void report_case(const struct test_case *test, const struct result *emu)
{
    const bool fault = emu->stop == STOP_FAULT && !emu->fetch_fault;

    (void)test;
    stops[emu->stop]++;
    if (emu->stop == SKIP_NOT_MINE)
        not_mine[emu->opcode]++;
    if (emu->stop >= SKIP_NOT_MINE)
        return;
    fetch_faults += emu->fetch_fault;
    for (unsigned i = 0; i < emu->steps; i++) {
        const enum insn_op op = emu->ops[i];

        if (emu->delivered || emu->stop == STOP_DOUBLE)
            inside[op]++;
        else if (fault && i == emu->steps - 1)
            faulted[op][emu->fault.vector & 31]++;
        else
            ended[op]++;
    }
}

/* Instructions of which the emulator says #UD because guests are not offered them, and those of
 * virtualization, which are a mode's own. */
static bool is_left_out(enum insn_op op)
{
    switch (op) {
    case OP_RDTSCP:
    case OP_XSETBV:
    case OP_MONITOR:
    case OP_MWAIT:
    case OP_VMCALL:
    case OP_VMMCALL:
    case OP_SVM_VMX:
        return true;
    default:
        return false;
    }
}

/* Has it been compared to its end? RDPMC has none but a fault, and QEMU does not know INT1. */
static bool was_compared(enum insn_op op)
{
    if (op == OP_RDPMC)
        return faulted[op][VEC_GP];
    return ended[op] || (op == OP_INT1 && !is_bochs);
}

unsigned report_print(void)
{
    unsigned missing = 0;

    kprintf("instruction: meant; compared complete, in cases with delivery, ended in exception\n");
    for (int op = 0; op < OP_COUNT; op++) {
        if (is_left_out(op))
            continue;
        kprintf("  %s: %u; %u, %u,", insn_op_name(op), meant[op], ended[op], inside[op]);
        for (unsigned v = 0; v < 32; v++)
            if (faulted[op][v])
                kprintf(" #%u:%u", v, faulted[op][v]);
        kprintf("\n");
        if (!was_compared(op)) {
            missing++;
            kprintf("  %s was never compared to its end\n", insn_op_name(op));
        }
    }
    kprintf("ends:");
    for (int i = 0; i < STOP_COUNT; i++)
        if (stops[i])
            kprintf(" %s %u", stop_name(i), stops[i]);
    kprintf("; of the faults, in the fetch: %u\nnot the emulator's, by opcode:", fetch_faults);
    for (unsigned i = 0; i < ARRAY_LEN(not_mine); i++)
        if (not_mine[i])
            kprintf(" %02x:%u", i, not_mine[i]);
    kprintf("\n");
    return missing;
}
