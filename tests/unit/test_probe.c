/*
 * The classes of Popek and Goldberg, from made-up records: each test changes one record and sees
 * the class change. And the prober's catalogue: nothing that the decoder knows by name is missing.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "decoder.h"
#include "probe/bare/probe.h"
#include "probe/known.h"

/* One configuration, five states; bit 0 base, 1 time, 2 a resource, 3 location, 4 a setting. */
#define HEAD                                                                                       \
    "{\"type\":\"cpu\",\"name\":\"paper\"}\n"                                                      \
    "{\"type\":\"config\",\"n\":0,\"name\":\"plain\",\"iopl\":0,\"cr4\":0}\n"                      \
    "{\"type\":\"state\",\"n\":0,\"name\":\"base\",\"kind\":\"base\"}\n"                           \
    "{\"type\":\"state\",\"n\":1,\"name\":\"time\",\"kind\":\"time\"}\n"                           \
    "{\"type\":\"state\",\"n\":2,\"name\":\"GDTR\",\"kind\":\"resource\"}\n"                       \
    "{\"type\":\"state\",\"n\":3,\"name\":\"location\",\"kind\":\"location\"}\n"                   \
    "{\"type\":\"state\",\"n\":4,\"name\":\"EFLAGS.IOPL\",\"kind\":\"setting\"}\n"
#define FORM(name) "{\"type\":\"form\",\"name\":\"" name "\",\"variant\":\"\",\"bytes\":\"f4\"}\n"
#define RUN(at, out) "{\"type\":\"run\",\"at\":[" at "],\"out\":{" out "}}\n"
#define END "{\"type\":\"guest-end\",\"status\":0}\n"
#define DONE "\"ip\":1"
#define GP "\"v\":13,\"e\":0,\"ip\":0"

/* The verdict on the only instruction of the records. */
static struct verdict judged(const char *runs)
{
    char *error = NULL, *text = xasprintf(HEAD FORM("X") "%s" END, runs);
    struct probe *p = probe_read(text, &error);
    cr_assert_not_null(p, "%s", error);
    struct verdicts all = derive(p, 0);
    cr_assert_eq(all.count, 1);
    struct verdict v = all.of[0];
    v.name = NULL; /* it goes with the records; evidence is only looked at for being there */
    free(all.of);
    free(text);
    probe_free(p);
    return v;
}

static unsigned reasons(const struct verdict *v)
{
    unsigned bits = 0;
    for (unsigned r = 0; r < REASONS; r++)
        bits |= (v->why[r].form ? 1u : 0u) << r;
    return bits;
}

static void expect(const char *runs, enum privilege privilege, unsigned why, bool user)
{
    const struct verdict v = judged(runs);
    cr_expect_eq(v.privilege, privilege, "privilege is %d, not %d, of %s", v.privilege, privilege,
                 runs);
    cr_expect_eq(reasons(&v), why, "reasons are %x, not %x, of %s", reasons(&v), why, runs);
    cr_expect_eq(is_user_sensitive(&v), user, "user-sensitive is wrong of %s", runs);
    cr_expect_eq(breaks_theorem_1(&v), why && privilege != PRIVILEGED);
    cr_expect_eq(breaks_theorem_3(&v), user && privilege != PRIVILEGED);
}

Test(probe, innocuous)
{
    expect(RUN("\"0/0/1f\",\"0/3/1f\"", DONE), NEVER_TRAPS, 0, false);
}

Test(probe, privileged)
{
    expect(RUN("\"0/0/1f\"", DONE) RUN("\"0/3/1f\"", GP), PRIVILEGED, 0, false);
    /* one pair in which user mode does not trap: no longer */
    expect(RUN("\"0/0/1f\",\"0/3/4\"", DONE) RUN("\"0/3/1b\"", GP), SOMETIMES, 0, false);
    /* a pair of another configuration does not count */
    expect(RUN("\"0/0/1f\",\"0/3/10\"", DONE) RUN("\"0/3/f\"", GP), PRIVILEGED, 0, false);
    /* nor does one that was not tried */
    expect(RUN("\"0/0/1b\"", DONE) RUN("\"0/3/1f\"", GP), PRIVILEGED, 0, false);
}

Test(probe, refused_to_all)
{
    expect(RUN("\"0/0/1f\",\"0/3/1f\"", GP), ALWAYS_REFUSED, 0, false);
    /* in one state it is for the supervisor alone */
    expect(RUN("\"0/0/1b\",\"0/3/1f\"", GP) RUN("\"0/0/4\"", DONE), PRIVILEGED, 0, false);
    /* in one state the user may and the supervisor may not: he is not told */
    expect(RUN("\"0/0/1f\",\"0/3/1b\"", GP) RUN("\"0/3/4\"", DONE), NEVER_TRAPS, 1 << BY_MODE,
           false);
}

Test(probe, control)
{
    const unsigned why = 1 << CONTROL;
    expect(RUN("\"0/0/1f\"", DONE ",\"mach\":{\"cr0\":1}") RUN("\"0/3/1f\"", GP), PRIVILEGED, why,
           false);
    expect(RUN("\"0/0/1f\",\"0/3/1f\"", DONE ",\"mach\":{\"cr0\":1}"), NEVER_TRAPS, why, true);
    expect(RUN("\"0/0/1f\",\"0/3/1f\"", DONE ",\"mf\":0"), NEVER_TRAPS, why, true);
    expect(RUN("\"0/0/1f\",\"0/3/1f\"", DONE ",\"woken\":1"), NEVER_TRAPS, why, true);
    /* what the supervisor changes and the user silently does not: POPF and IF */
    expect(RUN("\"0/0/1f\"", DONE ",\"mf\":0") RUN("\"0/3/1f\"", DONE), NEVER_TRAPS,
           why | 1 << BY_MODE, false);
    /* in another configuration it might */
    expect(RUN("\"0/0/f\",\"0/3/f\"", DONE) RUN("\"0/0/10\",\"0/3/10\"", DONE ",\"mf\":0"),
           NEVER_TRAPS, 0, false);
    /* the program's own registers are nobody else's */
    expect(RUN("\"0/0/1f\",\"0/3/1f\"", DONE ",\"reg\":{\"eax\":1},\"fl\":1"), NEVER_TRAPS, 0,
           false);
}

/* Through a gate: the saved EIP is behind the instruction. From level 3 that changes the mode. */
Test(probe, gates)
{
    expect(RUN("\"0/0/1f\",\"0/3/1f\"", "\"v\":3,\"e\":0,\"ip\":1"), NEVER_TRAPS, 1 << CONTROL,
           true);
    expect(RUN("\"0/0/1f\",\"0/3/1f\"", "\"v\":256,\"e\":0,\"ip\":-1"), NEVER_TRAPS, 1 << CONTROL,
           true);
    expect(RUN("\"0/0/1f\"", DONE ",\"cpl\":3") RUN("\"0/3/1f\"", DONE), NEVER_TRAPS,
           1 << CONTROL | 1 << BY_MODE, false);
}

Test(probe, behaviour)
{
#define SEES(n) DONE ",\"reg\":{\"eax\":" #n "}"
    expect(RUN("\"0/0/1b\",\"0/3/1b\"", SEES(1)) RUN("\"0/0/4\",\"0/3/4\"", SEES(2)), NEVER_TRAPS,
           1 << BY_RESOURCE, true);
    expect(RUN("\"0/0/17\",\"0/3/17\"", SEES(1)) RUN("\"0/0/8\",\"0/3/8\"", SEES(2)), NEVER_TRAPS,
           1 << BY_LOCATION, true);
    /* a setting is good to compare with */
    expect(RUN("\"0/0/f\",\"0/3/f\"", SEES(1)) RUN("\"0/0/10\",\"0/3/10\"", SEES(2)), NEVER_TRAPS,
           1 << BY_RESOURCE, true);
    /* but not the mode's: both modes would have the other configuration */
    expect(RUN("\"0/0/1f\",\"0/3/f\"", SEES(1)) RUN("\"0/3/10\"", SEES(2)), NEVER_TRAPS,
           1 << BY_RESOURCE, true);
    expect(RUN("\"0/0/1f\"", SEES(1)) RUN("\"0/3/1f\"", SEES(2)), NEVER_TRAPS, 1 << BY_MODE, false);
    /* seen by the supervisor alone, because the user traps */
    expect(RUN("\"0/0/1b\"", SEES(1)) RUN("\"0/0/4\"", SEES(2)) RUN("\"0/3/1f\"", GP), PRIVILEGED,
           1 << BY_RESOURCE, false);
    /* a trap in one state is no result */
    expect(RUN("\"0/0/1b\",\"0/3/1b\"", SEES(1)) RUN("\"0/0/4\",\"0/3/4\"", GP), NEVER_TRAPS, 0,
           false);
}

/* What changes by itself shows that, and neither location nor mode. */
Test(probe, time)
{
    expect(RUN("\"0/0/1\"", SEES(1)) RUN("\"0/0/2\"", SEES(2)) RUN("\"0/0/1c\"", SEES(3))
               RUN("\"0/3/1\"", SEES(4)) RUN("\"0/3/2\"", SEES(5)) RUN("\"0/3/1c\"", SEES(6)),
           NEVER_TRAPS, 1 << BY_RESOURCE, true);
}

/* A state is seen when an outcome differs, unless that outcome differs by itself. */
Test(probe, seen)
{
    char *error = NULL;
    struct probe *p =
        probe_read(HEAD FORM("X") RUN("\"0/0/1b\",\"0/3/1f\"", SEES(1)) RUN("\"0/0/4\"", GP)
                       FORM("Y") RUN("\"0/3/15\"", SEES(1)) RUN("\"0/3/a\"", SEES(2)) END,
                   &error);
    cr_assert_not_null(p, "%s", error);
    cr_expect(is_seen(p, 0, 2));
    cr_expect_not(is_seen(p, 0, 3));
    cr_expect_not(is_seen(p, 0, 4));
    probe_free(p);
}

static void expect_error(const char *text, const char *want)
{
    char *error = NULL;
    struct probe *p = probe_read(text, &error);
    cr_expect_null(p);
    cr_assert_not_null(error);
    cr_expect_not_null(strstr(error, want), "%s", error);
    free(error);
}

Test(probe, bad_records)
{
    expect_error("", "incomplete");
    expect_error(HEAD FORM("X") RUN("\"0/0/1f\"", DONE), "incomplete");
    expect_error(HEAD "{\"type\":\"run\"\n" END, "line 8 of the records");
    expect_error(HEAD RUN("\"0/0/1f\"", DONE) END, "line 8");           /* of no form */
    expect_error(HEAD FORM("X") RUN("\"1/0/1\"", DONE) END, "line 9");  /* no such configuration */
    expect_error(HEAD FORM("X") RUN("\"0/4/1\"", DONE) END, "line 9");  /* no such level */
    expect_error(HEAD FORM("X") RUN("\"0/0/20\"", DONE) END, "line 9"); /* no such state */
    expect_error(HEAD FORM("X") RUN("\"0/0/3\",\"0/0/2\"", DONE) END, "line 9"); /* twice */
    expect_error(HEAD FORM("X") RUN("7", DONE) END, "line 9");
}

/* --- what others say --- */

/* HLT, held against the manual: what is wrong, NULL for nothing. */
static void expect_departure(const char *runs, const char *want)
{
    char *error = NULL, *text = xasprintf(HEAD FORM("HLT") "%s" END, runs);
    struct text out = {0};
    struct probe *p = probe_read(text, &error);
    cr_assert_not_null(p, "%s", error);
    cr_expect_eq(compare_manual(p, &out), want ? 1 : 0);
    if (want)
        cr_expect_not_null(strstr(out.text, want), "%s", out.text);
    text_free(&out);
    probe_free(p);
    free(text);
}

Test(probe, manual)
{
    expect_departure(RUN("\"0/0/1\"", DONE) RUN("\"0/1/1\",\"0/2/1\",\"0/3/1\"", GP), NULL);
    expect_departure(RUN("\"0/0/1\",\"0/2/1\"", DONE) RUN("\"0/1/1\",\"0/3/1\"", GP),
                     "is executed, and should be refused at level 2 with plain");
    expect_departure(RUN("\"0/0/1\"", DONE) RUN("\"0/3/1\"", "\"v\":6,\"e\":0,\"ip\":0"),
                     "is refused by the wrong exception at level 3");
    expect_departure(RUN("\"0/0/1\",\"0/3/1\"", GP), "is refused to everyone");
}

Test(probe, robin_and_irvine)
{
    uint32_t named = 0;
    for (unsigned i = 0; i < form_count; i++) {
        const int robin = robin_of(forms[i].name);
        if (robin >= 0)
            named |= 1u << robin;
    }
    cr_expect_eq(named, (1u << ROBIN_COUNT) - 1, "%x", named);
    cr_expect_eq(robin_of("MOV to CR"), -1);
    cr_expect_eq(robin_of("PUSH"), -1);
    cr_expect_eq(robin_of("CALL near"), -1);
    cr_expect_str_eq(robin_names[robin_of("MOV to SS")], "MOV");
    cr_expect_str_eq(robin_names[robin_of("VERW")], "VERR/VERW");
}

/* An instruction that is no longer sensitive, and a new one, are both differences. */
Test(probe, differences_without_an_explanation)
{
    char *error = NULL;
    struct text out = {0};
    struct probe *p =
        probe_read(HEAD FORM("ADD") RUN("\"0/0/1\",\"0/3/1\"", DONE ",\"mf\":0") END, &error);
    cr_assert_not_null(p, "%s", error);
    struct verdicts all = derive(p, 0);
    cr_expect_eq(compare_robin(&all, "plain", &out), ROBIN_COUNT + 1, "%s", out.text);
    cr_expect_not_null(
        strstr(out.text, "ADD          is found here and not theirs: NOT EXPLAINED"));
    text_free(&out);
    free(all.of);
    probe_free(p);
}

/* CPUID may be found innocuous, and there is a reason; found privileged, there is none. */
Test(probe, an_explanation_is_for_one_class)
{
#define CPUID_FORM "{\"type\":\"form\",\"name\":\"CPUID\",\"variant\":\"\",\"bytes\":\"0fa2\"}\n"
    static const char *const runs[2] = {RUN("\"0/0/1\",\"0/3/1\"", DONE),
                                        RUN("\"0/0/1\"", DONE) RUN("\"0/3/1\"", GP)};
    for (unsigned i = 0; i < 2; i++) {
        char *error = NULL, *text = xasprintf(HEAD CPUID_FORM "%s" END, runs[i]);
        struct text out = {0};
        struct probe *p = probe_read(text, &error);
        cr_assert_not_null(p, "%s", error);
        struct verdicts all = derive(p, 0);
        cr_expect_eq(compare_decoder(&all, "plain", &out), i, "%s", out.text);
        text_free(&out);
        free(all.of);
        probe_free(p);
        free(text);
    }
}

/* --- the catalogue --- */

Test(probe, catalogue_is_complete)
{
    bool has[OP_COUNT] = {[OP_OTHER] = true};
    for (unsigned i = 0; i < form_count; i++) {
        const struct form *f = &forms[i];
        struct insn insn;
        cr_assert_eq(decode(&insn, f->bytes, f->len, 32), DECODE_OK, "%s", f->name);
        cr_expect_eq(insn.len, f->len, "%s has %u bytes too many", f->name, f->len - insn.len);
        has[insn.op] = true;
        for (unsigned j = 0; j < i; j++)
            cr_expect(strcmp(forms[j].name, f->name) || strcmp(forms[j].variant, f->variant),
                      "%s (%s) is there twice", f->name, f->variant);
        if (i && strcmp(forms[i - 1].name, f->name))
            for (unsigned j = 0; j < i; j++)
                cr_expect_str_neq(forms[j].name, f->name, "the forms of %s are apart", f->name);
    }
    for (int op = 0; op < OP_COUNT; op++)
        cr_expect(has[op], "%s is not probed", insn_op_name(op));
}
