/* Why a guest leaves in vtx mode: by a control that negotiate.c sets, by a bit that the masks of
 * CR0 and CR4 keep (setup.c), or because VT-x knows no other way (SDM vol. 3C section 25.1.2).
 * Pure. */
#include "causes.h"

#include "vmx.h"

enum { NO_CONTROL = WORD_COUNT };

static const struct row {
    unsigned word; /* enum vmx_word, or NO_CONTROL */
    uint32_t bit;
    struct exit_cause cause;
} rows[] = {
    {WORD_PIN,
     PIN_EXTERNAL_INTERRUPT,
     {"interrupt of the host", "the host's devices are the host's", {EXIT_HOST_IRQ}}},
    {WORD_PIN, PIN_NMI, {"NMI", "it is the host's; the guest has no source of one", {EXIT_NONE}}},
    {WORD_PIN,
     PIN_PREEMPTION_TIMER,
     {"1/8 s without an exit",
      "Bochs keeps interrupts from a guest that runs with IF clear",
      {EXIT_HOST_IRQ}}},
    {WORD_CPU, CPU_HLT, {"HLT", "the host has other things to do", {EXIT_HLT}}},
    {WORD_CPU,
     CPU_UNCONDITIONAL_IO,
     {"IN, OUT, INS, OUTS", "the guest's devices are models", {EXIT_IO}}},
    {WORD_CPU,
     CPU_INTERRUPT_WINDOW,
     {"the guest can take an interrupt", "one waits; only then", {EXIT_IRQ_WINDOW}}},
    {WORD_CPU, CPU_MWAIT, {"MWAIT", "our CPUID hides it, and it would run", {EXIT_EXCEPTION}}},
    {WORD_CPU, CPU_MONITOR, {"MONITOR", "as for MWAIT", {EXIT_EXCEPTION}}},
    {WORD_CPU, CPU_RDPMC, {"RDPMC", "the counters are the host's", {EXIT_EXCEPTION}}},
    {WORD_CPU2,
     CPU2_WBINVD,
     {"WBINVD", "it would write the host's caches back, too", {EXIT_CACHE}}},
    {WORD_CPU,
     CPU_MSR_BITMAPS,
     {"RDMSR and WRMSR, but for SYSENTER's three", "all others are the host's", {EXIT_MSR}}},
    {WORD_CPU2,
     CPU2_EPT,
     {"first access to a piece of memory", "EPT is filled on demand", {EXIT_NESTED_FILL}}},
    {WORD_CPU2,
     CPU2_EPT,
     {"access where the guest has no memory",
      "a bus without a device reads as ones",
      {EXIT_NESTED_FAULT, EXIT_KILL, EXIT_TRIPLE_FAULT}}},
    {NO_CONTROL,
     0,
     {"MOV to CR0 or LMSW that changes CD, NW or NE",
      "caching is the host's, and VMX wants NE set",
      {EXIT_CR}}},
    {NO_CONTROL,
     0,
     {"MOV to CR4 that changes more than TSD DE PSE PGE OSFXSR OSXMMEXCPT",
      "our CPUID offers no more bits, and VMXE is the host's",
      {EXIT_CR}}},
    {NO_CONTROL,
     0,
     {"CPUID", "always; the guest's processor has less than the host's", {EXIT_CPUID}}},
    {NO_CONTROL, 0, {"VMCALL", "always; the guest asks the VMM for something", {EXIT_HYPERCALL}}},
    {NO_CONTROL, 0, {"INVD", "always; it would drop the host's caches, too", {EXIT_CACHE}}},
    {NO_CONTROL,
     0,
     {"GETSEC, XSETBV, all other VMX instructions",
      "always; our CPUID hides them",
      {EXIT_EXCEPTION}}},
    {NO_CONTROL, 0, {"task switch", "always; no mode knows tasks", {EXIT_KILL}}},
    {NO_CONTROL,
     0,
     {"triple fault", "always; the guest ends, and the machine does not", {EXIT_TRIPLE_FAULT}}},
};

/* With shadow paging, or where the CPU has not the better way. */
static const struct row shadow_rows[] = {
    {NO_CONTROL,
     0,
     {"page fault",
      "the shadow lacks an entry, or the fault is the guest's own",
      {EXIT_SHADOW_FILL, EXIT_EXCEPTION, EXIT_NESTED_FAULT}}},
    {WORD_CPU,
     CPU_CR3_LOAD,
     {"MOV to CR3",
      "the shadow is another one then (with EPT: while the guest's paging is off and that of the "
      "VMM on)",
      {EXIT_CR}}},
    {WORD_CPU, CPU_CR3_STORE, {"MOV from CR3", "the processor's is not the guest's", {EXIT_CR}}},
    {WORD_CPU, CPU_INVLPG, {"INVLPG", "the shadow holds what a TLB holds", {EXIT_INVLPG}}},
    {NO_CONTROL,
     0,
     {"MOV to CR0 or CR4 that changes PE, PG, WP, PSE or PGE",
      "the processor runs with others",
      {EXIT_CR}}},
    {NO_CONTROL,
     0,
     {"any exception in real mode, on a CPU without unrestricted guest",
      "it is virtual-8086 mode, where what is not as in real mode faults",
      {EXIT_EXCEPTION, EXIT_HLT, EXIT_IO}}},
};

#define ROWS (ARRAY_LEN(rows) + ARRAY_LEN(shadow_rows))

static const struct row *row(unsigned i)
{
    return i < ARRAY_LEN(rows) ? &rows[i] : &shadow_rows[i - ARRAY_LEN(rows)];
}

const struct exit_cause *vmx_cause(unsigned i)
{
    return i < ROWS ? &row(i)->cause : NULL;
}

bool vmx_cause_is_shadow(unsigned i)
{
    return i >= ARRAY_LEN(rows);
}

bool vmx_cause_control(unsigned i, enum vmx_word *word, uint32_t *bit)
{
    if (row(i)->word == NO_CONTROL)
        return false;
    *word = (enum vmx_word)row(i)->word;
    *bit = row(i)->bit;
    return true;
}
