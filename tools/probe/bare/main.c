/*
 * The prober's run: all forms, in all configurations that this CPU has, at all levels, from all
 * states; equal outcomes of one form are written as one record. Words of the command line: none.
 *
 * Records on COM2: "cpu", "config" and "state" (numbered as they come), then for each form
 * "form" with its bytes, and "run" with "out" (run.c) and "at": where that came out, as
 * "config/level/states", the states a bit mask in hexadecimal. "guest-end" ends it.
 */
#include <stdarg.h>
#include <string.h>

#include "cpu.h"
#include "host.h"
#include "probe.h"
#include "vmm.h"

#define CONFIGS 7
#define LEVELS 4
#define MOST_OUTCOMES 48

void probe_main(void);

static struct config configs[CONFIGS];
static unsigned config_count;

struct outcome {
    char out[OUTCOME_MAX];
    uint32_t at[CONFIGS][LEVELS];
};
static struct outcome outcomes[MOST_OUTCOMES];
static unsigned outcome_count;

/* serial.c takes input, too; nobody types here. */
void host_irq_open(unsigned irq, void (*handler)(void))
{
    (void)irq;
    (void)handler;
}

void panic(const char *fmt, ...)
{
    (void)fmt;
    host_power_off(2);
}

static void add_config(bool has, const char *name, bool iopl3, uint32_t cr4)
{
    if (has)
        configs[config_count++] = (struct config){name, iopl3, cr4};
}

static void find_configs(void)
{
    add_config(true, "plain", false, 0);
    add_config(cpu_has.umip, "UMIP", false, CR4_UMIP);
    add_config(cpu_has.tsc, "TSD", false, CR4_TSD);
    add_config(true, "IOPL 3", true, 0);
    add_config(cpu_has.vme, "PVI", false, CR4_PVI);
    add_config(cpu_has.vme, "VME", false, CR4_VME);
    add_config(cpu_has.pce, "PCE", false, CR4_PCE);
}

static void record_setting(void)
{
#define STATE_RECORD(id, name, kind)                                                               \
    record("{\"type\":\"state\",\"n\":%u,\"name\":\"%s\",\"kind\":\"%s\"}", ST_##id, name, kind);
    uint32_t r[4], name[13] = {0};

    cpuid(1, r);
    const uint32_t signature = r[0];
    cpuid(0x80000000u, r);
    for (unsigned i = 0; r[0] >= 0x80000004u && r[0] < 0x80010000u && i < 3; i++) {
        uint32_t part[4];

        cpuid(0x80000002u + i, part);
        memcpy(&name[4 * i], part, sizeof(part));
    }
    record("{\"type\":\"cpu\",\"signature\":%u,\"name\":\"%s\"}", signature, (const char *)name);
    for (unsigned i = 0; i < config_count; i++)
        record("{\"type\":\"config\",\"n\":%u,\"name\":\"%s\",\"iopl\":%u,\"cr4\":%u}", i,
               configs[i].name, configs[i].iopl3 ? 3u : 0u, configs[i].cr4);
    STATES(STATE_RECORD)
}

static void say_out(const char *text)
{
    for (; *text; text++)
        host_serial_put(1, (uint8_t)*text);
}

static void flush(void)
{
    char text[64];

    for (unsigned i = 0; i < outcome_count; i++) {
        const char *comma = "";

        say_out("{\"type\":\"run\",\"at\":[");
        for (unsigned c = 0; c < config_count; c++)
            for (unsigned l = 0; l < LEVELS; l++)
                if (outcomes[i].at[c][l]) {
                    ksnprintf(text, sizeof(text), "%s\"%u/%u/%x\"", comma, c, l,
                              outcomes[i].at[c][l]);
                    say_out(text);
                    comma = ",";
                }
        say_out("],\"out\":");
        say_out(outcomes[i].out);
        say_out("}\n");
    }
    outcome_count = 0;
    memset(outcomes, 0, sizeof(outcomes));
}

static void add(const char *out, unsigned config, unsigned level, enum state state)
{
    unsigned i = 0;

    while (i < outcome_count && strcmp(outcomes[i].out, out))
        i++;
    if (i == MOST_OUTCOMES) {
        flush();
        i = 0;
    }
    if (i == outcome_count)
        memcpy(outcomes[outcome_count++].out, out, OUTCOME_MAX);
    outcomes[i].at[config][level] |= 1u << state;
}

static void record_form(const struct form *f)
{
    char bytes[2 * sizeof(f->bytes) + 1];

    for (unsigned i = 0; i < f->len; i++)
        ksnprintf(bytes + 2 * i, 3, "%02x", f->bytes[i]);
    record("{\"type\":\"form\",\"name\":\"%s\",\"variant\":\"%s\",\"bytes\":\"%s\"}", f->name,
           f->variant, bytes);
}

/* Levels 1 and 2 are no user mode and no supervisor mode: a look from the first state is enough. */
static void run_form(const struct form *f)
{
    static char out[OUTCOME_MAX];

    for (unsigned c = 0; c < config_count; c++)
        for (unsigned level = 0; level < LEVELS; level++)
            for (enum state s = 0; s < (level % 3 ? 1 : STATE_COUNT); s++)
                if (run_one(f, &configs[c], level, s, out))
                    add(out, c, level, s);
    flush();
}

void probe_main(void)
{
    host_serial_init();
    machine_init();
    find_configs();
    record_setting();
    for (unsigned i = 0; i < form_count; i++) {
        if (!i || strcmp(forms[i].name, forms[i - 1].name))
            kprintf("%s%s", i ? ", " : "probing ", forms[i].name);
        record_form(&forms[i]);
        run_form(&forms[i]);
    }
    kprintf("\n%u forms, %u configurations, %u states\n", form_count, config_count, STATE_COUNT);
    record("{\"type\":\"guest-end\",\"status\":0}");
    host_power_off(0);
}
