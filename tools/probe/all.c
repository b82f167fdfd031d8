/* Many CPUs next to each other. */
#include <stdlib.h>
#include <string.h>

#include "probe/page.h"

/* Of the configuration of that name; .of NULL: the CPU has none such. */
static struct verdicts verdicts_in(const struct probe *p, const char *config)
{
    const int c = probe_config(p, config);
    return c < 0 ? (struct verdicts){0} : derive(p, (unsigned)c);
}

/* The CPUs on which an instruction is of class[0], and in the other configuration of class[1]. */
static void add_cpus(struct text *out, const char *name, const struct verdicts *all,
                     const struct verdicts *other, const char *const class[2],
                     const char *const *names, unsigned count)
{
    struct text list = {0};
    unsigned n = 0, has = 0;
    for (unsigned i = 0; i < count; i++) {
        has += all[i].of != NULL;
        if (!all[i].of || strcmp(class_word(verdict_on(&all[i], name)), class[0]) ||
            strcmp(class_word(verdict_on(&other[i], name)), class[1]))
            continue;
        n++;
        text_printf(&list, " %s", names[i]);
    }
    if (!n)
        return;
    text_printf(out, "  %-12s %-11s", name, class[0]);
    if (strcmp(class[0], class[1]))
        text_printf(out, " (plain: %s)", class[1]);
    if (n == has)
        text_printf(out, " on all\n");
    else
        text_printf(out, " on %u of %u:%s\n", n, has, list.text);
    text_free(&list);
}

static const char *const words[] = {"privileged", "sensitive", "innocuous", "not offered"};
#define WORDS 4

/* Of the plain configuration: an instruction whose class is not the same everywhere. */
static void add_plain(struct text *out, const char *name, const struct verdicts *plain,
                      const char *const *names, unsigned count)
{
    const char *first = class_word(verdict_on(&plain[0], name));
    unsigned same = 0;
    for (unsigned i = 0; i < count; i++)
        same += !strcmp(class_word(verdict_on(&plain[i], name)), first);
    for (unsigned w = 0; same < count && w < WORDS; w++)
        add_cpus(out, name, plain, plain, (const char *const[]){words[w], words[w]}, names, count);
}

/* Of another one: an instruction whose class is not that of the plain one. */
static void add_change(struct text *out, const char *name, const struct verdicts *all,
                       const struct verdicts *plain, const char *const *names, unsigned count)
{
    for (unsigned w = 0; w < WORDS; w++)
        for (unsigned was = 0; was < WORDS; was++)
            if (w != was)
                add_cpus(out, name, all, plain, (const char *const[]){words[w], words[was]}, names,
                         count);
}

static struct verdicts *verdicts_of(const struct probe *const *p, unsigned count,
                                    const char *config)
{
    struct verdicts *all = xrealloc(NULL, count * sizeof(*all));
    for (unsigned i = 0; i < count; i++)
        all[i] = verdicts_in(p[i], config);
    return all;
}

static void free_verdicts(struct verdicts *all, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free(all[i].of);
    free(all);
}

/* The plain configuration against itself on other CPUs, the others against the plain one. */
static void add_configs(struct text *out, const struct probe *const *p, const char *const *names,
                        unsigned count)
{
    static const char *const configs[] = {"UMIP", "TSD", "IOPL 3", "PVI", "VME", "PCE"};
    struct verdicts *plain = verdicts_of(p, count, "plain");
    text_printf(out, "\nConfiguration plain, classes that are not the same everywhere:\n");
    for (unsigned i = 0; i < plain[0].count; i++)
        add_plain(out, plain[0].of[i].name, plain, names, count);
    for (unsigned c = 0; c < sizeof(configs) / sizeof(configs[0]); c++) {
        struct verdicts *all = verdicts_of(p, count, configs[c]);
        text_printf(out, "\nConfiguration %s, classes that are not those of plain:\n", configs[c]);
        for (unsigned i = 0; i < plain[0].count; i++)
            add_change(out, plain[0].of[i].name, all, plain, names, count);
        free_verdicts(all, count);
    }
    free_verdicts(plain, count);
}

static unsigned add_machine(struct text *out, const struct probe *p, const char *name)
{
    struct text manual = {0}, rest = {0};
    unsigned unexplained = 0;
    text_printf(out, "%-26s", name);
    for (unsigned c = 0; c < p->configs; c++) {
        struct verdicts all = derive(p, c);
        unsigned broken[2] = {0};
        for (unsigned i = 0; i < all.count; i++) {
            broken[0] += breaks_theorem_1(&all.of[i]);
            broken[1] += breaks_theorem_3(&all.of[i]);
        }
        text_printf(out, " %s %u/%u/%d", p->config[c].name, broken[0], broken[1],
                    __builtin_popcount(robin_found(&all)));
        unexplained += compare_robin(&all, p->config[c].name, &rest);
        unexplained += compare_decoder(&all, p->config[c].name, &rest);
        free(all.of);
    }
    text_printf(out, "; departures from the manual: %u%s\n", compare_manual(p, &manual),
                unexplained ? "; DIFFERENCES WITHOUT AN EXPLANATION" : "");
    if (manual.text)
        text_add(out, manual.text, manual.len);
    for (char *line = unexplained ? strtok(rest.text, "\n") : NULL; line; line = strtok(NULL, "\n"))
        if (strstr(line, "NOT EXPLAINED"))
            text_printf(out, "%s\n", line);
    text_free(&manual);
    text_free(&rest);
    return unexplained;
}

unsigned page_of_all(const struct probe *const *p, const char *const *names, unsigned count,
                     struct text *out)
{
    unsigned unexplained = 0;
    text_printf(out,
                "Each CPU: per configuration, the counterexamples of theorem 1, those of theorem "
                "3, and\nhow many of Robin and Irvine's seventeen are among the first.\n");
    for (unsigned i = 0; i < count; i++)
        unexplained += add_machine(out, p[i], names[i]);
    add_configs(out, p, names, count);
    return unexplained;
}
