#include "overhead/model.h"

#include <math.h>

#define NATIVE "native"
#define TRAP "trap"
#define ALL EXIT_REASON_COUNT

/* Exits that are page faults of the VMM's own. Those of the guest are among its exceptions, which
 * are not told apart. */
static const enum exit_reason by_page_fault[] = {EXIT_SHADOW_FILL, EXIT_TRACED_WRITE, EXIT_WINDOW,
                                                 EXIT_HOLE_WRITE};

static double sum_of(const struct figures *f, enum emu_kind emu, const char *config, const char *op,
                     const enum exit_reason *reasons, unsigned count)
{
    double sum = 0;
    for (unsigned i = 0; i < count; i++)
        sum += figures_exits(f, emu, config, op, reasons[i]);
    return sum;
}

static double page_fault_exits(const struct figures *f, enum emu_kind emu, const char *config,
                               const char *op)
{
    return sum_of(f, emu, config, op, by_page_fault, ARRAY_LEN(by_page_fault));
}

/* What the bare machine goes through, too: mode trap sees every one of these pass. */
static double own_events(const struct figures *f, enum emu_kind emu, const char *op)
{
    static const enum exit_reason own[] = {EXIT_SOFT_INT, EXIT_EXCEPTION, EXIT_HOST_IRQ};
    return sum_of(f, emu, TRAP, op, own, ARRAY_LEN(own));
}

double model_hardware(const struct figures *f, enum emu_kind emu, const char *config,
                      const char *op, double cycles)
{
    const double native = figures_ticks(f, emu, NATIVE, op);
    if (!(native > 0))
        return NAN;
    return (figures_ticks(f, emu, config, op) + figures_exits(f, emu, config, op, ALL) * cycles) /
           native;
}

double model_software(const struct figures *f, enum emu_kind emu, const char *config,
                      const char *op, double exception, double page_fault)
{
    const double native = figures_ticks(f, emu, NATIVE, op);
    const double faults = page_fault_exits(f, emu, config, op);
    const double others = figures_exits(f, emu, config, op, ALL) - faults;
    const double below = native + own_events(f, emu, op) * exception;
    if (!(below > 0))
        return NAN;
    return (figures_ticks(f, emu, config, op) + faults * page_fault + others * exception) / below;
}

double model_vmm_share(const struct figures *f, enum emu_kind emu, const char *config,
                       const char *op)
{
    const double ticks = figures_ticks(f, emu, config, op);
    return ticks > 0 ? 1 - figures_ticks(f, emu, NATIVE, op) / ticks : NAN;
}

double model_direct_share(const struct figures *f, enum emu_kind emu, const char *config,
                          const char *op)
{
    const double native = figures_ticks(f, emu, NATIVE, op);
    const double exits = figures_exits(f, emu, config, op, ALL);
    if (!(native > 0) || isnan(exits))
        return NAN;
    return exits < native ? 1 - exits / native : 0;
}
