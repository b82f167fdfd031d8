#include "overhead/claims.h"

#include <math.h>
#include <stdlib.h>

#include "lib/util.h"
#include "overhead/plan.h"

#define BEST_LIMIT 1.05 /* "as good as": five per cent are no difference */
#define DISK_FASTER 8.0 /* the claim's own number */
#define ALL_EXITS EXIT_REASON_COUNT

const char *const verdict_names[] = {"not measured", "not supported", "supported in part",
                                     "supported"};

/* What programs do. A claim is judged where all of its workloads have figures. */
static const char *const programs[] = {"compute", "fork-storm", "pipe-throughput", "compile", NULL};
static const char *const computing[] = {"compute", "compute-kernel", NULL};
static const char *const disk_ops[] = {"disk-seq-write",  "disk-seq-read", "disk-rand-read",
                                       "disk-rand-write", "disk-driver",   NULL};

static bool inside(double value, struct range range)
{
    return value >= range.low && value <= range.high;
}

enum verdict claim_two_ranges(double full, struct range full_range, double para,
                              struct range para_range, bool less)
{
    if (isnan(full) || isnan(para))
        return VERDICT_UNKNOWN;
    const bool full_fits = inside(full, full_range), para_fits = inside(para, para_range);
    if (full_fits && para_fits)
        return VERDICT_YES;
    const bool better = less ? para < full : para > full;
    const bool apart = less ? full * para_range.high >= para * full_range.low
                            : para * full_range.high >= full * para_range.low;
    return better && (full_fits || para_fits || apart) ? VERDICT_PART : VERDICT_NOT;
}

enum verdict claim_faster(double mean, double best, double least)
{
    if (isnan(mean) || isnan(best))
        return VERDICT_UNKNOWN;
    return mean >= least ? VERDICT_YES : best >= least ? VERDICT_PART : VERDICT_NOT;
}

enum verdict claim_best(const double *excess, int count, double limit)
{
    int good = 0;
    for (int i = 0; i < count; i++)
        good += excess[i] <= limit;
    if (!count)
        return VERDICT_UNKNOWN;
    return good == count ? VERDICT_YES : good ? VERDICT_PART : VERDICT_NOT;
}

static void name_all(struct text *out, const char *const *ops)
{
    for (int i = 0; ops[i]; i++)
        text_printf(out, "%s%s", i ? ", " : "", ops[i]);
}

/* Overhead over native, in per cent, over what programs do. */
static struct claim_result judge_overhead(const struct figures *f, enum emu_kind emu)
{
    static const struct range full = {20, 30}, para = {2, 10};
    const double trap = 100 * (figures_mean_ratio(f, emu, "trap", "native", programs) - 1);
    const double pv = 100 * (figures_mean_ratio(f, emu, "para", "native", programs) - 1);
    struct text t = {0};
    text_printf(&t, "trap %.1f %%, para %.1f %% over native; geometric mean of ", trap, pv);
    name_all(&t, programs);
    return (struct claim_result){
        .id = "overhead",
        .claim = "Paravirtualization costs 2 to 10 % overhead, full virtualization 20 to 30 %.",
        .rule = "Supported: trap's mean lies in 20 to 30 % and para's in 2 to 10 %. In part: para "
                "is cheaper, and one of the two lies there or para's overhead is half of trap's or "
                "less.",
        .verdict = claim_two_ranges(trap, full, pv, para, true),
        .figures = t.text,
    };
}

static struct claim_result judge_disk(const struct figures *f, enum emu_kind emu)
{
    struct text t = {0};
    const double mean = figures_mean_ratio(f, emu, "trap", "para", disk_ops);
    double best = NAN;
    text_printf(&t, "%.2f times faster in the geometric mean (", mean);
    for (const char *const *op = disk_ops; *op; op++) {
        const double faster = figures_ratio(f, emu, "trap", "para", *op);
        if (isnan(faster))
            continue;
        text_printf(&t, "%s%s %.2f", isnan(best) ? "" : ", ", *op, faster);
        best = isnan(best) || faster > best ? faster : best;
    }
    text_printf(&t, ")");
    return (struct claim_result){
        .id = "disk",
        .claim = "Disk I/O is 8 times faster with paravirtualization.",
        .rule = "Ticks of trap with its ATA drive as a multiple of those of para with virtio. "
                "Supported: the geometric mean over the disk's workloads is 8 or more. In part: "
                "one of them is.",
        .verdict = claim_faster(mean, best, DISK_FASTER),
        .figures = t.text,
    };
}

/* The CPU's speed in per cent of native: 100 / ratio. */
static struct claim_result judge_cpu(const struct figures *f, enum emu_kind emu)
{
    static const struct range full = {65, 75}, para = {90, 100};
    const double trap = 100 / figures_mean_ratio(f, emu, "trap", "native", computing);
    const double pv = 100 / figures_mean_ratio(f, emu, "para", "native", computing);
    struct text t = {0};
    text_printf(&t, "trap %.1f %%, para %.1f %% of native; geometric mean of ", trap, pv);
    name_all(&t, computing);
    return (struct claim_result){
        .id = "cpu",
        .claim = "The CPU reaches 70 % of native speed with full virtualization, 95 % with "
                 "paravirtualization.",
        .rule =
            "Supported: within 5 points of both. In part: para is faster, and one of the two is "
            "there or the factor between them is 90 / 75 or more.",
        .verdict = claim_two_ranges(trap, full, pv, para, false),
        .figures = t.text,
    };
}

static struct claim_result judge_steps(const struct figures *f, enum emu_kind emu)
{
    static const struct range full = {5, 10}, para = {2, 3};
    const double trap = figures_exits(f, emu, "trap", "disk-driver", ALL_EXITS);
    const double pv = figures_exits(f, emu, "para", "disk-driver", ALL_EXITS);
    return (struct claim_result){
        .id = "steps",
        .claim = "A disk request takes 5 to 10 steps in full virtualization, 2 to 3 with "
                 "paravirtualization.",
        .rule = "A step is an exit to the VMM; a request reads 32 KB at the guest's driver. "
                "Supported: both counts lie in their ranges. In part: para needs fewer, and one of "
                "the two lies there or trap needs 5/3 times as many as para or more.",
        .verdict = claim_two_ranges(trap, full, pv, para, true),
        .figures = xasprintf("trap %.1f, para %.1f exits a request", trap, pv),
    };
}

/* How much longer the hybrid takes than the better of its parents; NAN: not measured. */
static double hybrid_excess(const struct figures *f, enum emu_kind emu, const char *op)
{
    const char *hardware = plan_hardware(emu);
    char *hybrid = xasprintf("%s+virtio", hardware);
    const double a = figures_ratio(f, emu, hybrid, hardware, op),
                 b = figures_ratio(f, emu, hybrid, "para", op);
    free(hybrid);
    return isnan(a) || isnan(b) ? NAN : a > b ? a : b;
}

/* Operations of nearly no ticks tell nothing: of 1 and 2 ticks one is twice the other. */
static struct claim_result judge_hybrid(const struct figures *f, enum emu_kind emu)
{
    double excess[FIGURE_OPS], worst = 0;
    const char *worst_op = "nothing";
    int count = 0;
    for (int i = 0; i < plan_op_count && count < FIGURE_OPS; i++) {
        const double e =
            plan_ops[i].class == OP_NANO ? NAN : hybrid_excess(f, emu, plan_ops[i].name);
        if (isnan(e))
            continue;
        excess[count++] = e;
        if (e > worst) {
            worst = e;
            worst_op = plan_ops[i].name;
        }
    }
    int good = 0;
    for (int i = 0; i < count; i++)
        good += excess[i] <= BEST_LIMIT;
    return (struct claim_result){
        .id = "hybrid",
        .claim = "The hybrid, hardware CPU and paravirtual devices, is the best of both worlds.",
        .rule = "Against the better of hardware assist with an ATA drive and para with virtio, in "
                "each workload that is no single event. Supported: never more than 5 % dearer. In "
                "part: in some of them.",
        .verdict = claim_best(excess, count, BEST_LIMIT),
        .figures = xasprintf("as good or better in %d of %d workloads; the worst is %s, %.2f times "
                             "the better of both",
                             good, count, worst_op, worst),
    };
}

void claims_judge(const struct figures *f, enum emu_kind emu, struct claim_result results[CLAIMS])
{
    results[0] = judge_overhead(f, emu);
    results[1] = judge_disk(f, emu);
    results[2] = judge_cpu(f, emu);
    results[3] = judge_steps(f, emu);
    results[4] = judge_hybrid(f, emu);
    for (int i = 0; i < CLAIMS; i++) {
        if (results[i].verdict != VERDICT_UNKNOWN)
            continue;
        free(results[i].figures);
        results[i].figures = xasprintf("%s", "");
    }
}

void claims_free(struct claim_result results[CLAIMS])
{
    for (int i = 0; i < CLAIMS; i++)
        free(results[i].figures);
}
