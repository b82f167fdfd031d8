#include "probe/derive.h"

#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

static void show(struct evidence *e, const struct probe_form *f, unsigned level0, unsigned state0,
                 unsigned level1, unsigned state1)
{
    if (!e->form)
        *e = (struct evidence){f, {level0, level1}, {state0, state1}};
}

/* --- privileged --- */

static void judge_traps(struct verdict *v, const struct probe *p, unsigned config,
                        const struct probe_form *f)
{
    for (unsigned s = 0; s < p->states; s++) {
        const struct probe_outcome *super = f->at[config][SUPERVISOR][s];
        const struct probe_outcome *user = f->at[config][USER][s];
        if (!super || !user || p->state[s].kind == KIND_SETTING ||
            (super->trapped && user->trapped))
            continue;
        show(user->trapped ? &v->trap : &v->no_trap, f, SUPERVISOR, s, USER, s);
    }
}

static enum privilege privilege_of(const struct verdict *v)
{
    if (v->trap.form)
        return v->no_trap.form ? SOMETIMES : PRIVILEGED;
    return v->no_trap.form ? NEVER_TRAPS : ALWAYS_REFUSED;
}

/* --- sensitive --- */

static bool takes_control(const struct probe_outcome *o, unsigned level)
{
    return !o->trapped && (*o->machine || (o->level >= 0 && o->level != (int)level));
}

/* Evidence in one mode; user_why gets the same when the mode is the user's. */
static void note(struct verdict *v, enum reason why, const struct probe_form *f, unsigned level,
                 unsigned state0, unsigned state1)
{
    show(&v->why[why], f, level, state0, level, state1);
    if (level == USER)
        show(&v->user_why[why], f, level, state0, level, state1);
}

/* The same state, another outcome: what changes by itself shows nothing but that. */
static bool is_restless(const struct probe *p, unsigned config, const struct probe_form *f,
                        unsigned level)
{
    const struct probe_outcome *base = f->at[config][level][0];
    for (unsigned s = 0; s < p->states; s++) {
        const struct probe_outcome *later = f->at[config][level][s];
        if (p->state[s].kind == KIND_TIME && base && later && strcmp(base->whole, later->whole))
            return true;
    }
    return false;
}

/* State 0 is the one that the others are compared with. */
static void judge_level(struct verdict *v, const struct probe *p, unsigned config,
                        const struct probe_form *f, unsigned level)
{
    const struct probe_outcome *base = f->at[config][level][0];
    const bool restless = is_restless(p, config, f, level);
    for (unsigned s = 0; s < p->states; s++) {
        const struct probe_outcome *o = f->at[config][level][s];
        const enum probe_kind kind = p->state[s].kind;
        if (!o)
            continue;
        if (kind != KIND_SETTING && takes_control(o, level))
            note(v, CONTROL, f, level, s, s);
        if (base && !base->trapped && !o->trapped && strcmp(base->visible, o->visible) &&
            (!restless || kind == KIND_TIME))
            note(v, kind == KIND_LOCATION ? BY_LOCATION : BY_RESOURCE, f, level, 0, s);
    }
}

static void judge_mode(struct verdict *v, const struct probe *p, unsigned config,
                       const struct probe_form *f)
{
    if (is_restless(p, config, f, SUPERVISOR) || is_restless(p, config, f, USER))
        return;
    for (unsigned s = 0; s < p->states; s++) {
        const struct probe_outcome *super = f->at[config][SUPERVISOR][s];
        const struct probe_outcome *user = f->at[config][USER][s];
        if (super && user && p->state[s].kind != KIND_SETTING && !user->trapped &&
            strcmp(super->whole, user->whole))
            show(&v->why[BY_MODE], f, SUPERVISOR, s, USER, s);
    }
}

static void judge(struct verdict *v, const struct probe *p, unsigned config)
{
    for (unsigned i = 0; i < v->forms; i++) {
        const struct probe_form *f = v->first + i;
        judge_traps(v, p, config, f);
        judge_level(v, p, config, f, SUPERVISOR);
        judge_level(v, p, config, f, USER);
        judge_mode(v, p, config, f);
    }
    v->privilege = privilege_of(v);
}

struct verdicts derive(const struct probe *p, unsigned config)
{
    struct verdicts all = {0};
    for (unsigned i = 0; i < p->forms; i++) {
        struct verdict *last = all.count ? &all.of[all.count - 1] : NULL;
        if (last && !strcmp(last->name, p->form[i].name)) {
            last->forms++;
            continue;
        }
        all.of = xrealloc(all.of, (all.count + 1) * sizeof(*all.of));
        all.of[all.count++] =
            (struct verdict){.name = p->form[i].name, .first = &p->form[i], .forms = 1};
    }
    for (unsigned i = 0; i < all.count; i++)
        judge(&all.of[i], p, config);
    return all;
}

bool is_sensitive(const struct verdict *v)
{
    for (unsigned r = 0; r < REASONS; r++)
        if (v->why[r].form)
            return true;
    return false;
}

bool is_user_sensitive(const struct verdict *v)
{
    for (unsigned r = 0; r < REASONS; r++)
        if (v->user_why[r].form)
            return true;
    return false;
}

bool breaks_theorem_1(const struct verdict *v)
{
    return is_sensitive(v) && v->privilege != PRIVILEGED;
}

bool breaks_theorem_3(const struct verdict *v)
{
    return is_user_sensitive(v) && v->privilege != PRIVILEGED;
}

bool is_seen(const struct probe *p, unsigned config, unsigned state)
{
    for (unsigned i = 0; i < p->forms; i++)
        for (unsigned level = SUPERVISOR; level <= USER; level += USER - SUPERVISOR) {
            const struct probe_outcome *base = p->form[i].at[config][level][0];
            const struct probe_outcome *o = p->form[i].at[config][level][state];
            if (base && o && strcmp(base->whole, o->whole) &&
                !is_restless(p, config, &p->form[i], level))
                return true;
        }
    return false;
}

int probe_config(const struct probe *p, const char *name)
{
    for (unsigned i = 0; i < p->configs; i++)
        if (!strcmp(p->config[i].name, name))
            return (int)i;
    return -1;
}

const struct verdict *verdict_on(const struct verdicts *all, const char *name)
{
    for (unsigned i = 0; i < all->count; i++)
        if (!strcmp(all->of[i].name, name))
            return &all->of[i];
    return NULL;
}
