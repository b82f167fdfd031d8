/* Switches at given times: switch= on the VMM's command line; see switch.h. */
#include <string.h>

#include "host.h"
#include "switch.h"
#include "vm_loop.h"
#include "vmm.h"

#define PLAN_MAX 16
#define NS_PER_MS 1000000ull
#define NS_PER_US 1000u
#define USUAL_US 2000u
#define WORD_SIZE 400

static struct {
    unsigned count, next; /* switches in all, and how many were asked for */
    uint64_t due;         /* host_now_ns() */
    bool random, asked;   /* asked: the last one has not been seen done yet */
    unsigned target;      /* that one, and those that do not take this guest: bits */
    uint32_t unfit;
    bool by_exits; /* the time is counted in exits that the loop sees */
    uint32_t seed, mean, exits_left;
    char only[WORD_SIZE]; /* "/trap/svm+shadow/": no others; "": all */
    struct {
        char target[SWITCH_TARGET_SIZE];
        uint32_t ms;
    } at[PLAN_MAX];
} plan = {.due = UINT64_MAX};

static const char wrong[] =
    "switch= is MODE@MS,MODE@MS,... (at most 16, in order of time) or "
    "random:SEED:COUNT[:US[:MODE/MODE/...]], with EXITSx instead of US to count exits";

/* G. Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8 (2003): 13, 17, 5. */
static uint32_t draw(void)
{
    plan.seed ^= plan.seed << 13;
    plan.seed ^= plan.seed >> 17;
    plan.seed ^= plan.seed << 5;
    return plan.seed;
}

static bool number(const char **text, uint32_t *value)
{
    const char *c = *text;
    uint64_t n = 0;
    for (; *c >= '0' && *c <= '9' && n < 100000000; c++)
        n = n * 10 + (uint64_t)(*c - '0');
    *value = (uint32_t)n;
    if (c == *text || (*c >= '0' && *c <= '9'))
        return false;
    *text = c;
    return true;
}

/* The guest runs for that long between two switches, however long a switch takes. */
static void next_random(uint64_t now_ns)
{
    const uint32_t wait = 1 + draw() % (2 * plan.mean);
    if (plan.by_exits)
        plan.exits_left = wait;
    else
        plan.due = now_ns + (uint64_t)wait * NS_PER_US;
}

static const char *read_random(const char *text)
{
    plan.random = true;
    plan.mean = USUAL_US;
    if (!number(&text, &plan.seed) || *text++ != ':' || !number(&text, &plan.count))
        return wrong;
    if (*text == ':' && (text++, !number(&text, &plan.mean) || !plan.mean))
        return wrong;
    plan.by_exits = *text == 'x';
    text += plan.by_exits;
    if (*text == ':')
        ksnprintf(plan.only, sizeof(plan.only), "/%s/", text + 1);
    else if (*text)
        return wrong;
    plan.seed = plan.seed * 2654435761u | 1; /* never 0, which stays 0 */
    if (plan.count)
        next_random(0);
    return NULL;
}

static const char *read_list(const char *text)
{
    static char no_mode[60];
    for (uint32_t before = 0; *text; before = plan.at[plan.count++].ms) {
        unsigned n = 0;
        if (plan.count == PLAN_MAX)
            return wrong;
        for (; *text && *text != '@' && n < SWITCH_TARGET_SIZE - 1; n++)
            plan.at[plan.count].target[n] = *text++;
        plan.at[plan.count].target[n] = 0;
        if (*text == '@' && n && !vm_switch_is_target(plan.at[plan.count].target)) {
            ksnprintf(no_mode, sizeof(no_mode), "switch=: '%s' is no mode",
                      plan.at[plan.count].target);
            return no_mode;
        }
        if (*text++ != '@' || !number(&text, &plan.at[plan.count].ms) ||
            plan.at[plan.count].ms < before || (*text && *text++ != ','))
            return wrong;
    }
    plan.due = plan.at[0].ms * NS_PER_MS;
    return plan.count ? NULL : wrong;
}

const char *switch_plan_read(const char *options)
{
    static const char random[] = "random:";
    char text[WORD_SIZE];
    if (!option_value(options, "switch", text, sizeof(text)))
        return NULL;
    if (strlen(text) == sizeof(text) - 1)
        return "switch= is MODE@MS,... and has more characters than there is room for";
    const char *why = strncmp(text, random, sizeof(random) - 1)
                          ? read_list(text)
                          : read_random(text + sizeof(random) - 1);
    if (why || !plan.count)
        plan.due = UINT64_MAX;
    return why;
}

/* While one waits, nothing is due: a deadline that is over would leave the guest no time. */
uint64_t switch_plan_deadline(const struct vm *vm)
{
    return vm->switching.to || plan.by_exits ? UINT64_MAX : plan.due;
}

/* Is the name among those that are wanted? */
static bool wanted(const char *name)
{
    const size_t n = strlen(name);
    for (const char *c = plan.only; *c; c++) {
        if (*c == '/' && !strncmp(c + 1, name, n) && c[n + 1] == '/')
            return true;
    }
    return !plan.only[0];
}

/* One of those that are wanted and take this guest; false: there are none. */
static bool random_target(char *name)
{
    unsigned n = 0, fit = 0;
    for (; vm_switch_target(n, name); n++) {
        if (!wanted(name))
            plan.unfit |= 1u << n;
        fit += !(plan.unfit >> n & 1);
    }
    if (!fit)
        return false;
    do
        plan.target = draw() % n;
    while (plan.unfit >> plan.target & 1);
    return vm_switch_target(plan.target, name);
}

/* What has become of the last one? */
static void look_back(const struct vm *vm, uint64_t now_ns)
{
    plan.asked = false;
    if (!plan.random) {
        if (vm->switching.state == SWITCH_DONE)
            kprintf("\ntrivisor: the mode is %s now\n", plan.at[plan.next - 1].target);
        return;
    }
    if (vm->switching.unfit)
        plan.unfit |= 1u << plan.target;
    if (plan.next < plan.count)
        next_random(now_ns);
}

/* A switch that still waits is not pushed aside: this one comes later then. */
void switch_plan_turn(struct vm *vm, uint64_t now_ns)
{
    char name[SWITCH_TARGET_SIZE];
    if (vm->switching.to)
        return;
    if (plan.asked)
        look_back(vm, now_ns);
    if (plan.by_exits ? plan.exits_left : now_ns < plan.due)
        return;
    if (plan.random && !random_target(name)) {
        kprintf("\ntrivisor: switch=: of the modes that it names, none takes this guest here\n");
        plan.due = UINT64_MAX;
        plan.by_exits = false;
        return;
    }
    if (!plan.random)
        memcpy(name, plan.at[plan.next].target, sizeof(name));
    const char *why = vm_switch_ask(vm, name);
    if (why)
        kprintf("\ntrivisor: switch=: %s\n", why);
    plan.asked = plan.random || !why;
    if (++plan.next == plan.count) {
        plan.due = UINT64_MAX;
        plan.by_exits = false;
    } else if (!plan.random) {
        plan.due = plan.at[plan.next].ms * NS_PER_MS;
    }
}

bool switch_plan_counts_exits(void)
{
    return plan.by_exits;
}

void switch_plan_exit(struct vm *vm)
{
    if (plan.exits_left && !--plan.exits_left)
        switch_plan_turn(vm, host_now_ns());
}

const char *switch_plan_missed(void)
{
    static char text[120];
    if (plan.random || plan.next == plan.count)
        return NULL;
    ksnprintf(text, sizeof(text), "switch=: the guest ended before the time of %s@%u",
              plan.at[plan.next].target, plan.at[plan.next].ms);
    return text;
}
