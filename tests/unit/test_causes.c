/* Why guests leave the hardware modes: the list is what the hardware is told, no more and no less.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "causes.h"
#include "svm/svm.h"
#include "vmx/vmx.h"
#include "x86.h"

static void check_rows(const struct exit_cause *(*cause)(unsigned))
{
    unsigned i = 0;
    for (; cause(i); i++) {
        const struct exit_cause *c = cause(i);
        cr_expect(c->what && strlen(c->what) > 2, "row %u", i);
        cr_expect(c->why && strlen(c->why) > 10, "row %u: %s", i, c->what);
        for (unsigned n = 0; n < 3; n++)
            cr_expect_lt(c->counted[n], EXIT_REASON_COUNT, "row %u", i);
        for (unsigned j = 0; j < i; j++)
            cr_expect_str_neq(cause(j)->what, c->what, "rows %u and %u", j, i);
    }
    cr_expect_gt(i, 10);
    cr_expect_null(cause(i + 1));
}

Test(causes, each_has_a_reason)
{
    check_rows(svm_cause);
    check_rows(vmx_cause);
}

/* What the guest's own work does not need: no page fault, no CR3, no INVLPG, no system call; no
 * interrupt window before one is asked for. */
Test(causes, svm_intercepts_what_is_listed)
{
    struct vmcb v;
    memset(&v, 0, sizeof(v));
    svm_intercepts(&v, false);
    cr_expect_eq(v.intercept_cr_read, 0);
    cr_expect_eq(v.intercept_cr_write, 1 << 4);
    cr_expect_eq(v.intercept_dr_read, 0);
    cr_expect_eq(v.intercept_dr_write, 0x8F); /* DR0 to DR3 and DR7 */
    cr_expect_eq(v.intercept_exceptions, 1u << VEC_DF);
    cr_expect_eq(v.intercept_misc1, MISC1_INTR | MISC1_NMI | MISC1_CR0_SELECTIVE | MISC1_RDPMC |
                                        MISC1_CPUID | MISC1_INVD | MISC1_HLT | MISC1_INVLPGA |
                                        MISC1_IO | MISC1_MSR | MISC1_TASK_SWITCH | MISC1_SHUTDOWN);
    cr_expect_eq(v.intercept_misc2, MISC2_ALL_SVM | MISC2_WBINVD | MISC2_MONITOR | MISC2_MWAIT);
}

/* With shadow paging, the guest's tables and the registers that belong to them, too. */
Test(causes, svm_intercepts_for_shadow_paging)
{
    struct vmcb nested, v;
    memset(&v, 0, sizeof(v));
    memset(&nested, 0, sizeof(nested));
    svm_intercepts(&nested, false);
    svm_intercepts(&v, true);
    cr_expect_eq(v.intercept_cr_read, 1 << 0 | 1 << 3 | 1 << 4);
    cr_expect_eq(v.intercept_cr_write, 1 << 3 | 1 << 4);
    cr_expect_eq(v.intercept_exceptions, 1u << VEC_DF | 1u << VEC_PF);
    cr_expect_eq(v.intercept_misc1, nested.intercept_misc1 | MISC1_INVLPG);
    cr_expect_eq(v.intercept_misc2, nested.intercept_misc2);
}

/* The controls that can make an instruction or an event of the guest exit (SDM vol. 3C sections
 * 24.6.1 and 24.6.2); those that only change what others do are not among them. */
static const uint32_t exiting[WORD_COUNT] = {
    [WORD_PIN] = 0x00000069, [WORD_CPU] = 0x7B999E84, [WORD_CPU2] = 0x00010C46};

Test(causes, vmx_controls_are_what_is_listed)
{
    struct vmx_capabilities cap = {.basic = 1ull << 54, .ept_vpid = UINT64_MAX};
    for (int w = 0; w < WORD_COUNT; w++)
        cap.allowed[w] = 0xFFFFFFFF00000000ull;
    for (int shadow = 0; shadow < 2; shadow++) {
        struct vmx_controls c;
        uint32_t listed[WORD_COUNT] = {0};
        cr_assert_null(vmx_negotiate(&cap, &c));
        if (shadow)
            vmx_without_ept(&c);
        for (unsigned i = 0; vmx_cause(i); i++) {
            enum vmx_word word;
            uint32_t bit;
            if ((shadow || !vmx_cause_is_shadow(i)) && vmx_cause_control(i, &word, &bit))
                listed[word] |= bit;
        }
        c.word[WORD_CPU] |= CPU_INTERRUPT_WINDOW; /* while it is asked for */
        if (shadow)
            listed[WORD_CPU2] &= ~CPU2_EPT;
        for (int w = 0; w < WORD_COUNT; w++)
            cr_expect_eq(c.word[w] & exiting[w], listed[w] & exiting[w],
                         "word %d: %08x is set, %08x is listed", w, c.word[w] & exiting[w],
                         listed[w]);
    }
}
