/* The intercepts of svm mode (AMD APM vol. 2 section 15.9): the one list that the VMCB is made
 * from. Pure code. */
#include "causes.h"

#include "svm.h"
#include "x86.h"

enum word {
    CR_READ,
    CR_WRITE,
    DR_WRITE,
    EXCEPTIONS,
    MISC1,
    MISC2,
    LATER,  /* misc1, while it is wanted */
    ALWAYS, /* no intercept: nested paging brings it, or it is one now and then (state.c) */
};

static const struct row {
    enum word word;
    uint32_t bits;
    struct exit_cause cause;
} rows[] = {
    {CR_WRITE,
     1u << 4,
     {"MOV to CR4",
      "our CPUID decides which bits exist, and the processor knows more",
      {EXIT_CR, EXIT_EXCEPTION}}},
    {DR_WRITE,
     0x8F,
     {"MOV to DR0, DR1, DR2, DR3, DR7",
      "QEMU arms breakpoints when it is executed, and leaves them armed in the VMM",
      {EXIT_DR}}},
    {EXCEPTIONS,
     1u << VEC_DF,
     {"double fault",
      "at a triple fault Bochs stops instead of leaving the guest",
      {EXIT_TRIPLE_FAULT}}},
    {MISC1,
     MISC1_INTR,
     {"interrupt of the host", "the host's devices are the host's", {EXIT_HOST_IRQ}}},
    {MISC1, MISC1_NMI, {"NMI", "it is the host's; the guest has no source of one", {EXIT_NONE}}},
    {MISC1,
     MISC1_CR0_SELECTIVE,
     {"MOV to CR0 or LMSW, but for TS and MP",
      "QEMU lets a guest set what VMRUN then refuses",
      {EXIT_CR, EXIT_EXCEPTION}}},
    {MISC1, MISC1_RDPMC, {"RDPMC", "the counters are the host's", {EXIT_EXCEPTION}}},
    {MISC1, MISC1_CPUID, {"CPUID", "the guest's processor has less than the host's", {EXIT_CPUID}}},
    {MISC1, MISC1_INVD, {"INVD", "it would drop the host's caches, too", {EXIT_CACHE}}},
    {MISC1, MISC1_HLT, {"HLT", "the host has other things to do", {EXIT_HLT}}},
    {MISC1,
     MISC1_INVLPGA,
     {"INVLPGA", "our CPUID hides SVM, and EFER.SVME must be set for VMRUN", {EXIT_EXCEPTION}}},
    {MISC1, MISC1_IO, {"IN, OUT, INS, OUTS", "the guest's devices are models", {EXIT_IO}}},
    {MISC1,
     MISC1_MSR,
     {"RDMSR and WRMSR, but for SYSENTER's three", "all others are the host's", {EXIT_MSR}}},
    {MISC1,
     MISC1_TASK_SWITCH,
     {"task switch", "no mode knows tasks: the guest ends in all of them alike", {EXIT_KILL}}},
    {MISC1,
     MISC1_SHUTDOWN,
     {"triple fault", "the guest ends, and the machine does not", {EXIT_TRIPLE_FAULT}}},
    {MISC2,
     MISC2_VMMCALL,
     {"VMMCALL", "the guest asks the VMM for something", {EXIT_HYPERCALL, EXIT_EXCEPTION}}},
    {MISC2,
     MISC2_ALL_SVM & ~MISC2_VMMCALL,
     {"VMRUN, VMLOAD, VMSAVE, STGI, CLGI, SKINIT",
      "as for INVLPGA, and VMRUN wants its own",
      {EXIT_EXCEPTION}}},
    {MISC2, MISC2_WBINVD, {"WBINVD", "it would write the host's caches back, too", {EXIT_CACHE}}},
    {MISC2,
     MISC2_MONITOR | MISC2_MWAIT,
     {"MONITOR, MWAIT", "our CPUID hides them, and they would run", {EXIT_EXCEPTION}}},
    {LATER,
     MISC1_VINTR,
     {"the guest can take an interrupt", "one waits; only then", {EXIT_IRQ_WINDOW}}},
    {ALWAYS,
     0,
     {"first access to a piece of memory",
      "nested tables are filled on demand",
      {EXIT_NESTED_FILL}}},
    {ALWAYS,
     0,
     {"access where the guest has no memory",
      "a bus without a device reads as ones",
      {EXIT_NESTED_FAULT, EXIT_KILL}}},
};

/* With shadow paging, or where the CPU has not the better way. */
static const struct row shadow_rows[] = {
    {EXCEPTIONS,
     1u << VEC_PF,
     {"page fault",
      "the shadow lacks an entry, or the fault is the guest's own",
      {EXIT_SHADOW_FILL, EXIT_EXCEPTION, EXIT_NESTED_FAULT}}},
    {CR_WRITE, 1u << 3, {"MOV to CR3", "the shadow is another one then", {EXIT_CR}}},
    {MISC1, MISC1_INVLPG, {"INVLPG", "the shadow holds what a TLB holds", {EXIT_INVLPG}}},
    {CR_READ,
     1u << 0 | 1u << 3 | 1u << 4,
     {"MOV from CR0, CR3, CR4; SMSW", "the processor's are not the guest's", {EXIT_CR}}},
    {ALWAYS,
     0,
     {"MOV to CR0 or CLTS, while the guest has PG or WP clear",
      "the processor has both set, and would not see them set",
      {EXIT_CR}}},
};

#define ROWS (ARRAY_LEN(rows) + ARRAY_LEN(shadow_rows))

static const struct row *row(unsigned i)
{
    return i < ARRAY_LEN(rows) ? &rows[i] : &shadow_rows[i - ARRAY_LEN(rows)];
}

const struct exit_cause *svm_cause(unsigned i)
{
    return i < ROWS ? &row(i)->cause : NULL;
}

bool svm_cause_is_shadow(unsigned i)
{
    return i >= ARRAY_LEN(rows);
}

void svm_intercepts(struct vmcb *v, bool shadowed)
{
    uint32_t words[ALWAYS + 1] = {0};
    for (unsigned i = 0; i < (shadowed ? ROWS : ARRAY_LEN(rows)); i++)
        words[row(i)->word] |= row(i)->bits;
    v->intercept_cr_read = (uint16_t)words[CR_READ];
    v->intercept_cr_write = (uint16_t)words[CR_WRITE];
    v->intercept_dr_write = (uint16_t)words[DR_WRITE];
    v->intercept_exceptions = words[EXCEPTIONS];
    v->intercept_misc1 = words[MISC1];
    v->intercept_misc2 = words[MISC2];
}
