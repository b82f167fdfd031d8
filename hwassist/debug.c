/* What both hardware modes do alike for the monitor's steps and breakpoints. */
#include "debug.h"
#include "emulate.h"
#include "services.h"

void hw_software_int(struct vcpu *vcpu, struct exit *exit)
{
    struct insn insn;
    exit->insn_len = 0;
    if (!fetch_decode(vcpu, &insn, exit))
        return;
    switch (emulate(vcpu, &insn, exit)) {
    case EMU_DONE:
        exit->reason = EXIT_SOFT_INT;
        break;
    case EMU_EXIT:
    case EMU_FAULT:
        break;
    case EMU_UNHANDLED:
        exit_kill(exit, "the processor reported a software interrupt where the code has none");
    }
}
