#include "probe/page.h"

#include <stdlib.h>
#include <string.h>

static const char *const privilege_words[] = {"no", "in part", "yes", "refused"};
static const char *const reason_words[REASONS] = {"control", "location", "resource", "mode"};

const char *class_word(const struct verdict *v)
{
    if (!v)
        return "not probed";
    if (v->privilege == ALWAYS_REFUSED)
        return "not offered";
    if (v->privilege == PRIVILEGED)
        return "privileged";
    return is_sensitive(v) ? "sensitive" : "innocuous";
}

/* "control at 0; resource: GDTR at 3; mode, from LDTR" */
static void add_evidence(struct text *out, const struct probe *p, const struct verdict *v)
{
    const char *between = "";
    for (unsigned r = 0; r < REASONS; r++) {
        const struct evidence *e = v->user_why[r].form ? &v->user_why[r] : &v->why[r];
        if (!e->form)
            continue;
        text_printf(out, "%s%s", between, reason_words[r]);
        if (r == BY_RESOURCE)
            text_printf(out, " %s", p->state[e->state[1]].name);
        if (r == CONTROL && e->state[0])
            text_printf(out, " from %s", p->state[e->state[0]].name);
        if (r != BY_MODE)
            text_printf(out, " at level %u", e->level[1]);
        if (*e->form->variant)
            text_printf(out, " (%s)", e->form->variant);
        between = "; ";
    }
    if (v->privilege == SOMETIMES)
        text_printf(
            out, "%straps at level 3 alone %s%s%s", between, *v->trap.form->variant ? "(" : "from ",
            *v->trap.form->variant ? v->trap.form->variant : p->state[v->trap.state[1]].name,
            *v->trap.form->variant ? ")" : "");
}

static void add_table(struct text *out, const struct probe *p, const struct verdicts *all)
{
    text_printf(out, "%-12s %-11s %-10s %-4s %s\n", "instruction", "class", "privileged", "user",
                "sensitive: evidence");
    for (unsigned i = 0; i < all->count; i++) {
        const struct verdict *v = &all->of[i];
        text_printf(out, "%-12s %-11s %-10s %-4s ", v->name, class_word(v),
                    privilege_words[v->privilege], is_user_sensitive(v) ? "yes" : "");
        add_evidence(out, p, v);
        while (out->text[out->len - 1] == ' ')
            out->text[--out->len] = 0;
        text_printf(out, "\n");
    }
}

static void add_theorem(struct text *out, const struct verdicts *all, unsigned number,
                        bool (*breaks)(const struct verdict *), const char *set)
{
    unsigned broken = 0;
    for (unsigned i = 0; i < all->count; i++)
        broken += breaks(&all->of[i]);
    text_printf(out, "\nTheorem %u: the %s instructions are %sa subset of the privileged", number,
                set, broken ? "not " : "");
    if (broken)
        text_printf(out, "; %u are not", broken);
    for (unsigned i = 0, n = 0; i < all->count; i++)
        if (breaks(&all->of[i]))
            text_printf(out, "%s%s", n++ ? ", " : ": ", all->of[i].name);
    text_printf(out, ".\n");
}

static void add_robin(struct text *out, const struct verdicts *all)
{
    const uint32_t found = robin_found(all);
    text_printf(out, "\nRobin and Irvine's seventeen: %d found here as sensitive and unprivileged",
                __builtin_popcount(found));
    for (unsigned i = 0, n = 0; i < ROBIN_COUNT; i++)
        if (found >> i & 1)
            text_printf(out, "%s%s", n++ ? ", " : ": ", robin_names[i]);
    text_printf(out, ".\n");
}

/* The first state is what the others are compared with, and time is seen where outcomes change. */
static bool is_hole(const struct probe *p, unsigned config, unsigned state)
{
    const enum probe_kind kind = p->state[state].kind;
    return kind != KIND_BASE && kind != KIND_TIME && !is_seen(p, config, state);
}

static void add_holes(struct text *out, const struct probe *p, unsigned config)
{
    unsigned n = 0;
    text_printf(out, "\nStates that no instruction shows:");
    for (unsigned s = 0; s < p->states; s++)
        if (is_hole(p, config, s))
            text_printf(out, "%s %s", n++ ? "," : "", p->state[s].name);
    text_printf(out, "%s.\n", n ? "" : " none");
}

unsigned page_of(const struct probe *p, unsigned config, struct text *out)
{
    struct verdicts all = derive(p, config);
    const char *name = p->config[config].name;
    text_printf(out, "--- configuration %s\n", name);
    add_table(out, p, &all);
    add_theorem(out, &all, 1, breaks_theorem_1, "sensitive");
    add_theorem(out, &all, 3, breaks_theorem_3, "user-sensitive");
    add_robin(out, &all);
    unsigned unexplained = compare_robin(&all, name, out);
    text_printf(out, "\nDifferences from the decoder's table:\n");
    unexplained += compare_decoder(&all, name, out);
    add_holes(out, p, config);
    free(all.of);
    return unexplained;
}

static cJSON *json_evidence(const struct probe *p, unsigned config, const struct evidence *e)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "variant", e->form->variant);
    for (unsigned i = 0; i < 2; i++) {
        const struct probe_outcome *o = e->form->at[config][e->level[i]][e->state[i]];
        cJSON *side = cJSON_AddObjectToObject(json, i ? "second" : "first");
        cJSON_AddNumberToObject(side, "level", e->level[i]);
        cJSON_AddStringToObject(side, "state", p->state[e->state[i]].name);
        cJSON_AddItemToObject(side, "outcome", cJSON_CreateRaw(o->whole));
    }
    return json;
}

static cJSON *json_verdict(const struct probe *p, unsigned config, const struct verdict *v)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "name", v->name);
    cJSON_AddStringToObject(json, "class", class_word(v));
    cJSON_AddStringToObject(json, "privileged", privilege_words[v->privilege]);
    cJSON_AddBoolToObject(json, "sensitive", is_sensitive(v));
    cJSON_AddBoolToObject(json, "user_sensitive", is_user_sensitive(v));
    cJSON *evidence = cJSON_AddObjectToObject(json, "evidence");
    if (v->trap.form)
        cJSON_AddItemToObject(evidence, "trap", json_evidence(p, config, &v->trap));
    if (v->no_trap.form)
        cJSON_AddItemToObject(evidence, "no_trap", json_evidence(p, config, &v->no_trap));
    for (unsigned r = 0; r < REASONS; r++)
        if (v->why[r].form)
            cJSON_AddItemToObject(evidence, reason_words[r], json_evidence(p, config, &v->why[r]));
    return json;
}

static void add_names(cJSON *json, const char *key, const struct verdicts *all,
                      bool (*breaks)(const struct verdict *))
{
    cJSON *names = cJSON_AddArrayToObject(json, key);
    for (unsigned i = 0; i < all->count; i++)
        if (breaks(&all->of[i]))
            cJSON_AddItemToArray(names, cJSON_CreateString(all->of[i].name));
}

static cJSON *json_config(const struct probe *p, unsigned config)
{
    struct verdicts all = derive(p, config);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "name", p->config[config].name);
    add_names(json, "breaks_theorem_1", &all, breaks_theorem_1);
    add_names(json, "breaks_theorem_3", &all, breaks_theorem_3);
    cJSON *robin = cJSON_AddArrayToObject(json, "robin_and_irvine");
    for (unsigned i = 0; i < ROBIN_COUNT; i++)
        if (robin_found(&all) >> i & 1)
            cJSON_AddItemToArray(robin, cJSON_CreateString(robin_names[i]));
    cJSON *holes = cJSON_AddArrayToObject(json, "states_not_shown");
    for (unsigned s = 0; s < p->states; s++)
        if (is_hole(p, config, s))
            cJSON_AddItemToArray(holes, cJSON_CreateString(p->state[s].name));
    cJSON *list = cJSON_AddArrayToObject(json, "instructions");
    for (unsigned i = 0; i < all.count; i++)
        cJSON_AddItemToArray(list, json_verdict(p, config, &all.of[i]));
    free(all.of);
    return json;
}

cJSON *json_of(const struct probe *p, const char *machine)
{
    cJSON *json = cJSON_CreateObject();
    struct text departures = {0};
    cJSON_AddStringToObject(json, "machine", machine);
    cJSON_AddStringToObject(json, "cpu", p->cpu);
    cJSON_AddNumberToObject(json, "departures_from_the_manual", compare_manual(p, &departures));
    cJSON_AddStringToObject(json, "departures", departures.text ? departures.text : "");
    cJSON *list = cJSON_AddArrayToObject(json, "configurations");
    for (unsigned c = 0; c < p->configs; c++)
        cJSON_AddItemToArray(list, json_config(p, c));
    text_free(&departures);
    return json;
}
