/* The overhead report's arithmetic: figures, cost model, and verdicts that follow the figures. */
#include <criterion/criterion.h>
#include <math.h>

#include "overhead/claims.h"
#include "overhead/model.h"
#include "overhead/plan.h"
#include "overhead/published.h"
#include "overhead_figures.h"

#define NEAR(a, b) cr_expect(fabs((a) - (b)) < 1e-9, "%s is %.12f, expected %.12f", #a, (a), (b))
#define Q EMU_QEMU

/* --- figures --- */

Test(overhead, exits_without_those_of_measuring)
{
    struct figures f = {0};
    struct run_figures *run = add_run(&f, Q, MODE_TRAP, "trap");
    add_op(run, "empty", 0, EXIT_IRET, 11)->n = 11;
    struct op_figures *op = add_op(run, "port-io", 100, EXIT_IRET, 31);
    op->n = 10;
    op->exits[EXIT_IO] = 10;
    op->exits[EXIT_HLT] = 1;
    NEAR(figures_exits(&f, Q, "trap", "port-io", EXIT_IRET), 2);
    NEAR(figures_exits(&f, Q, "trap", "port-io", EXIT_IO), 1);
    NEAR(figures_exits(&f, Q, "trap", "port-io", EXIT_REASON_COUNT), 3.1);
    op->exits[EXIT_IRET] = 10;
    NEAR(figures_exits(&f, Q, "trap", "port-io", EXIT_IRET), 0);
    op->marked = false;
    cr_expect(isnan(figures_exits(&f, Q, "trap", "port-io", EXIT_IO)));
}

Test(overhead, what_was_not_measured_is_no_number)
{
    struct figures f = {0};
    struct run_figures *run = add_run(&f, Q, MODE_NATIVE, "native");
    add_op(run, "compute", 5, EXIT_NONE, 0);
    add_op(run, "compile", 5, EXIT_NONE, 0)->n = 0;
    add_op(run, "pte-mod", 0, EXIT_NONE, 0);
    NEAR(figures_ticks(&f, Q, "native", "compute"), 5);
    cr_expect(isnan(figures_ticks(&f, EMU_BOCHS, "native", "compute")));
    cr_expect(isnan(figures_ticks(&f, Q, "trap", "compute")));
    cr_expect(isnan(figures_ticks(&f, Q, "native", "compile")));
    cr_expect(isnan(figures_ratio(&f, Q, "native", "native", "pte-mod")));
    NEAR(figures_exits(&f, Q, "native", "compute", EXIT_REASON_COUNT), 0);
}

Test(overhead, geometric_mean)
{
    static const char *const ops[] = {"compute", "fork-storm", "compile", NULL};
    static const char *const none[] = {NULL};
    struct figures f = {0};
    struct run_figures *native = add_run(&f, Q, MODE_NATIVE, "native"),
                       *trap = add_run(&f, Q, MODE_TRAP, "trap");
    add_op(native, "compute", 10, EXIT_NONE, 0);
    add_op(native, "fork-storm", 100, EXIT_NONE, 0);
    add_op(trap, "compute", 20, EXIT_NONE, 0);
    add_op(trap, "fork-storm", 800, EXIT_NONE, 0);
    add_op(trap, "compile", 800, EXIT_NONE, 0);
    cr_expect(isnan(figures_mean_ratio(&f, Q, "trap", "native", ops)), "one is missing");
    add_op(native, "compile", 800, EXIT_NONE, 0);
    NEAR(figures_mean_ratio(&f, Q, "trap", "native", ops), cbrt(2 * 8 * 1));
    cr_expect(isnan(figures_mean_ratio(&f, Q, "trap", "native", none)));
}

/* --- the plan --- */

Test(overhead, native_disk_in_qemu_is_not_among_what_repeats)
{
    const struct plan_config *native = plan_config(Q, "native"),
                             *bochs = plan_config(EMU_BOCHS, "native"),
                             *trap = plan_config(Q, "trap"), *disk = plan_config(Q, "trap+virtio");
    cr_assert(native && bochs && trap && disk);
    cr_expect(!plan_measured(native, plan_op("compile"), false));
    cr_expect(plan_measured(bochs, plan_op("compile"), false));
    cr_expect(plan_measured(trap, plan_op("disk-driver"), false));
    cr_expect(plan_measured(native, plan_op("fork-storm"), false));
    cr_expect(!plan_measured(native, plan_op("compute"), false), "its mean has interrupts in it");
    cr_expect(plan_measured(trap, plan_op("compute"), false));
    cr_expect(!plan_measured(trap, plan_op("fork-storm"), true));
    cr_expect(plan_measured(disk, plan_op("empty"), false));
    cr_expect(!plan_measured(disk, plan_op("compute"), false));
    cr_expect(plan_virtio(disk) && plan_virtio(plan_config(Q, "para")));
    cr_expect(!plan_virtio(trap) && !plan_virtio(plan_config(Q, "para+ata")));
}

Test(overhead, plan_fits_into_the_figures)
{
    cr_expect_leq(plan_config_count, FIGURE_RUNS);
    cr_expect_leq(plan_op_count, FIGURE_OPS);
    for (int i = 0; i < plan_op_count; i++)
        cr_expect_lt(strlen(plan_ops[i].name), FIGURE_NAME);
    for (int i = 0; i < published_nano_count; i++)
        cr_expect_not_null(plan_op(published_nano[i].ours));
    for (int i = 0; i < published_lmbench_count; i++)
        cr_expect_not_null(plan_op(published_lmbench[i].ours));
}

/* --- the cost model --- */

Test(overhead, model_of_hardware)
{
    struct figures f = {0};
    struct run_figures *native = add_run(&f, Q, MODE_NATIVE, "native"),
                       *svm = add_run(&f, Q, MODE_SVM, "svm");
    add_op(native, "compile", 1000, EXIT_NONE, 0);
    add_op(svm, "compile", 1500, EXIT_IO, 2);
    NEAR(model_hardware(&f, Q, "svm", "compile", 0), 1.5);
    NEAR(model_hardware(&f, Q, "svm", "compile", 500), 2.5);
    cr_expect(isnan(model_hardware(&f, Q, "vtx", "compile", 500)));
    cr_expect(isnan(model_hardware(&f, Q, "svm", "compute", 500)));
    NEAR(model_vmm_share(&f, Q, "svm", "compile"), 1.0 / 3);
    NEAR(model_direct_share(&f, Q, "svm", "compile"), 0.998);
}

/* G 1000, V 200, a page fault of the VMM's (p 30), an instruction (e 20) and three events that the
 * bare machine has, too. */
Test(overhead, model_of_software)
{
    struct figures f = {0};
    struct run_figures *native = add_run(&f, Q, MODE_NATIVE, "native"),
                       *trap = add_run(&f, Q, MODE_TRAP, "trap"),
                       *para = add_run(&f, Q, MODE_PARA, "para");
    add_op(native, "compile", 1000, EXIT_NONE, 0);
    struct op_figures *op = add_op(trap, "compile", 1200, EXIT_SHADOW_FILL, 1);
    op->exits[EXIT_FLAGS] = op->exits[EXIT_SOFT_INT] = 1;
    op->exits[EXIT_EXCEPTION] = op->exits[EXIT_HOST_IRQ] = 1;
    add_op(para, "compile", 1100, EXIT_SOFT_INT, 1);
    NEAR(model_software(&f, Q, "trap", "compile", 20, 30), (1200.0 + 30 + 4 * 20) / (1000 + 60));
    NEAR(model_software(&f, Q, "para", "compile", 20, 30), (1100.0 + 20) / (1000 + 60));
    cr_expect(isnan(model_software(&f, Q, "para", "compute", 20, 30)));
}

/* More exits than instructions: nothing ran directly, and no share is below 0. */
Test(overhead, direct_share_ends_at_nothing)
{
    struct figures f = {0};
    add_op(add_run(&f, Q, MODE_NATIVE, "native"), "cli-sti", 3, EXIT_NONE, 0);
    add_op(add_run(&f, Q, MODE_TRAP, "trap"), "cli-sti", 60, EXIT_FLAGS, 5);
    NEAR(model_direct_share(&f, Q, "trap", "cli-sti"), 0);
}

/* --- the rules --- */

Test(overhead, rule_of_two_ranges)
{
    static const struct range full = {20, 30}, para = {2, 10};
    static const struct range slow = {65, 75}, fast = {90, 100};
    cr_expect_eq(claim_two_ranges(25, full, 5, para, true), VERDICT_YES);
    cr_expect_eq(claim_two_ranges(20, full, 10, para, true), VERDICT_YES);
    cr_expect_eq(claim_two_ranges(30.1, full, 5, para, true), VERDICT_PART);
    cr_expect_eq(claim_two_ranges(25, full, 16, para, true), VERDICT_PART);
    cr_expect_eq(claim_two_ranges(80, full, 40, para, true), VERDICT_PART);
    cr_expect_eq(claim_two_ranges(80, full, 40.1, para, true), VERDICT_NOT);
    cr_expect_eq(claim_two_ranges(5, full, 25, para, true), VERDICT_NOT);
    cr_expect_eq(claim_two_ranges(25, full, 25, para, true), VERDICT_NOT);
    cr_expect_eq(claim_two_ranges(NAN, full, 5, para, true), VERDICT_UNKNOWN);
    cr_expect_eq(claim_two_ranges(25, full, NAN, para, true), VERDICT_UNKNOWN);
    cr_expect_eq(claim_two_ranges(70, slow, 95, fast, false), VERDICT_YES);
    cr_expect_eq(claim_two_ranges(100, slow, 100, fast, false), VERDICT_NOT);
    cr_expect_eq(claim_two_ranges(99, slow, 98, fast, false), VERDICT_NOT);
    cr_expect_eq(claim_two_ranges(80, slow, 95, fast, false), VERDICT_PART);
    cr_expect_eq(claim_two_ranges(50, slow, 60, fast, false), VERDICT_PART);
    cr_expect_eq(claim_two_ranges(50, slow, 59, fast, false), VERDICT_NOT);
}

Test(overhead, rules_of_faster_and_best)
{
    static const double some[] = {0.9, 1.05, 1.06}, good[] = {1, 1}, bad[] = {2};
    cr_expect_eq(claim_faster(8, 12, 8), VERDICT_YES);
    cr_expect_eq(claim_faster(7.9, 12, 8), VERDICT_PART);
    cr_expect_eq(claim_faster(4, 7.9, 8), VERDICT_NOT);
    cr_expect_eq(claim_faster(NAN, NAN, 8), VERDICT_UNKNOWN);
    cr_expect_eq(claim_best(some, 3, 1.05), VERDICT_PART);
    cr_expect_eq(claim_best(some, 2, 1.05), VERDICT_YES);
    cr_expect_eq(claim_best(good, 2, 1.05), VERDICT_YES);
    cr_expect_eq(claim_best(bad, 1, 1.05), VERDICT_NOT);
    cr_expect_eq(claim_best(bad, 0, 1.05), VERDICT_UNKNOWN);
}

/* --- the claims, with figures that make them true, and false --- */

static struct op_figures *op_in(struct figures *f, const char *config, const char *name)
{
    return (struct op_figures *)figures_op(f, Q, config, name);
}

/* Figures under which every claim is right. */
static void all_true(struct figures *f)
{
    static const struct {
        const char *name;
        double native, trap, para, svm, hybrid, trap_exits, para_exits;
    } ops[] = {
        {"compute", 100, 100 / 0.7, 100 / 0.95, 100, 100, 0, 0},
        {"compute-kernel", 100, 100 / 0.7, 100 / 0.95, 100, 100, 0, 0},
        {"call-ret", 100, 100, 100, 100, 100, 0, 0},
        {"fork-storm", 1000, 1150, 1050, 1000, 1000, 10, 5},
        {"pipe-throughput", 1000, 1150, 1050, 1000, 1000, 10, 5},
        {"compile", 1000, 1250, 1050, 1000, 1000, 10, 5},
        {"disk-seq-write", 1000, 9000, 1000, 9000, 900, 80, 20},
        {"disk-seq-read", 1000, 9000, 1000, 9000, 900, 80, 20},
        {"disk-rand-write", 1000, 9000, 1000, 9000, 900, 80, 20},
        {"disk-rand-read", 1000, 9000, 1000, 9000, 900, 80, 20},
        {"disk-driver", 1000, 9000, 1000, 9000, 900, 8, 2},
    };
    struct run_figures *runs[] = {add_run(f, Q, MODE_NATIVE, "native"),
                                  add_run(f, Q, MODE_TRAP, "trap"),
                                  add_run(f, Q, MODE_PARA, "para"), add_run(f, Q, MODE_SVM, "svm"),
                                  add_run(f, Q, MODE_SVM, "svm+virtio")};
    for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        add_op(runs[0], ops[i].name, ops[i].native, EXIT_NONE, 0);
        add_op(runs[1], ops[i].name, ops[i].trap, EXIT_IO, ops[i].trap_exits);
        add_op(runs[2], ops[i].name, ops[i].para, EXIT_IO, ops[i].para_exits);
        add_op(runs[3], ops[i].name, ops[i].svm, EXIT_IO, 5);
        add_op(runs[4], ops[i].name, ops[i].hybrid, EXIT_IO, 5);
    }
}

static void expect_verdict(const struct figures *f, const char *id, enum verdict verdict)
{
    struct claim_result results[CLAIMS];
    int found = 0;
    claims_judge(f, Q, results);
    for (int i = 0; i < CLAIMS; i++) {
        if (strcmp(results[i].id, id))
            continue;
        found++;
        cr_expect_eq(results[i].verdict, verdict, "%s: %s (%s), expected %s", id,
                     verdict_names[results[i].verdict], results[i].figures, verdict_names[verdict]);
    }
    cr_expect_eq(found, 1);
    claims_free(results);
}

Test(overhead, verdicts_follow_the_figures)
{
    static const char *const ids[CLAIMS] = {"overhead", "disk", "cpu", "steps", "hybrid"};
    struct figures f = {0};
    for (int i = 0; i < CLAIMS; i++)
        expect_verdict(&f, ids[i], VERDICT_UNKNOWN);
    all_true(&f);
    for (int i = 0; i < CLAIMS; i++)
        expect_verdict(&f, ids[i], VERDICT_YES);
}

Test(overhead, verdict_about_overhead)
{
    struct figures f = {0};
    all_true(&f);
    op_in(&f, "trap", "fork-storm")->ticks = 9000;
    expect_verdict(&f, "overhead", VERDICT_PART);
    op_in(&f, "para", "fork-storm")->ticks = 9000;
    expect_verdict(&f, "overhead", VERDICT_NOT);
    expect_verdict(&f, "disk", VERDICT_YES);
}

Test(overhead, verdict_about_the_disk)
{
    static const char *const files[] = {"disk-seq-write", "disk-seq-read", "disk-rand-write",
                                        "disk-rand-read"};
    struct figures f = {0};
    all_true(&f);
    for (int i = 0; i < 4; i++)
        op_in(&f, "trap", files[i])->ticks = 7900;
    expect_verdict(&f, "disk", VERDICT_YES); /* 9 x 7.9^4 is more than 8^5 */
    op_in(&f, "trap", files[0])->ticks = 1000;
    expect_verdict(&f, "disk", VERDICT_PART);
    op_in(&f, "trap", "disk-driver")->ticks = 7900;
    expect_verdict(&f, "disk", VERDICT_NOT);
    op_in(&f, "trap", files[0])->n = 0;
    expect_verdict(&f, "disk", VERDICT_UNKNOWN);
}

Test(overhead, verdict_about_the_cpu)
{
    static const char *const computing[] = {"compute", "compute-kernel"};
    struct figures f = {0};
    all_true(&f);
    for (int i = 0; i < 2; i++)
        op_in(&f, "trap", computing[i])->ticks = 120;
    expect_verdict(&f, "cpu", VERDICT_PART);
    for (int i = 0; i < 2; i++)
        op_in(&f, "trap", computing[i])->ticks = op_in(&f, "para", computing[i])->ticks = 100;
    expect_verdict(&f, "cpu", VERDICT_NOT);
}

Test(overhead, verdict_about_steps)
{
    struct figures f = {0};
    all_true(&f);
    op_in(&f, "trap", "disk-driver")->exits[EXIT_HLT] = 90;
    expect_verdict(&f, "steps", VERDICT_PART);
    op_in(&f, "para", "disk-driver")->exits[EXIT_HLT] = 190;
    expect_verdict(&f, "steps", VERDICT_NOT);
}

Test(overhead, verdict_about_the_hybrid)
{
    struct figures f = {0};
    all_true(&f);
    op_in(&f, "svm+virtio", "disk-driver")->ticks = 1050; /* 5 % more than para */
    op_in(&f, "svm+virtio", "call-ret")->ticks = 200;     /* an event, no workload */
    expect_verdict(&f, "hybrid", VERDICT_YES);
    op_in(&f, "svm+virtio", "disk-driver")->ticks = 1060;
    expect_verdict(&f, "hybrid", VERDICT_PART);
    f.count--;
    expect_verdict(&f, "hybrid", VERDICT_UNKNOWN);
}
