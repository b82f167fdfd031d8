#include "probe/records.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

static const char *string_of(const cJSON *record, const char *key)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(record, key));
    return s ? s : "";
}

static double number_of(const cJSON *record, const char *key, double missing)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(record, key);
    return cJSON_IsNumber(item) ? item->valuedouble : missing;
}

static char *copy_of(const char *s)
{
    return xasprintf("%s", s);
}

/* What the machine's registers became, in the words of the record. */
static char *machine_part(cJSON *out)
{
    static const char *const keys[] = {"mach", "mf", "woken"};
    cJSON *machine = cJSON_CreateObject();
    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        cJSON *item = cJSON_DetachItemFromObjectCaseSensitive(out, keys[i]);
        if (item)
            cJSON_AddItemToObject(machine, keys[i], item);
    }
    char *text = machine->child ? cJSON_PrintUnformatted(machine) : copy_of("");
    cJSON_Delete(machine);
    return text;
}

/* An exception that leaves EIP where it was has refused the instruction; a software interrupt, a
 * breakpoint or SYSENTER has been executed. */
#define EXCEPTIONS 32

static struct probe_outcome *read_outcome(struct probe *p, cJSON *out)
{
    struct probe_outcome *o = xrealloc(NULL, sizeof(*o));
    *o = (struct probe_outcome){.whole = cJSON_PrintUnformatted(out)};
    o->vector = (int)number_of(out, "v", -1);
    o->error = (int)number_of(out, "e", 0);
    o->trapped = o->vector >= 0 && o->vector < EXCEPTIONS && number_of(out, "ip", -1) == 0;
    o->level = (int)number_of(out, "cpl", -1);
    if (o->vector >= 0 && !o->trapped)
        o->level = SUPERVISOR; /* through a gate of level 0 */
    o->machine = machine_part(out);
    o->visible = cJSON_PrintUnformatted(out);
    p->outcomes = xrealloc(p->outcomes, (p->outcome_count + 1) * sizeof(struct probe_outcome *));
    p->outcomes[p->outcome_count++] = o;
    return o;
}

/* "config/level/states", the states a bit mask in hexadecimal. */
static bool read_places(struct probe *p, const cJSON *record, const struct probe_outcome *o)
{
    const cJSON *item;
    struct probe_form *f = &p->form[p->forms - 1];
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(record, "at"))
    {
        unsigned config, level, mask;
        if (!cJSON_IsString(item) ||
            sscanf(item->valuestring, "%u/%u/%x", &config, &level, &mask) != 3 ||
            config >= p->configs || level >= PROBE_LEVELS)
            return false;
        for (unsigned s = 0; s < PROBE_STATES; s++) {
            if (!(mask >> s & 1))
                continue;
            if (s >= p->states || f->at[config][level][s])
                return false;
            f->at[config][level][s] = o;
        }
    }
    return true;
}

static bool read_run(struct probe *p, const cJSON *record)
{
    cJSON *out = cJSON_GetObjectItemCaseSensitive(record, "out");
    return p->forms && cJSON_IsObject(out) && read_places(p, record, read_outcome(p, out));
}

static bool read_form(struct probe *p, const cJSON *record)
{
    const char *hex = string_of(record, "bytes");
    p->form = xrealloc(p->form, (p->forms + 1) * sizeof(*p->form));
    struct probe_form *f = &p->form[p->forms++];
    memset(f, 0, sizeof(*f));
    f->name = copy_of(string_of(record, "name"));
    f->variant = copy_of(string_of(record, "variant"));
    for (unsigned byte; f->len < sizeof(f->bytes) && sscanf(hex, "%2x", &byte) == 1; hex += 2)
        f->bytes[f->len++] = (uint8_t)byte;
    return *f->name && f->len;
}

static bool read_config(struct probe *p, const cJSON *record)
{
    if (p->configs == PROBE_CONFIGS || number_of(record, "n", -1) != p->configs)
        return false;
    p->config[p->configs].name = copy_of(string_of(record, "name"));
    p->config[p->configs].iopl = (unsigned)number_of(record, "iopl", 0);
    p->config[p->configs++].cr4 = (uint32_t)number_of(record, "cr4", 0);
    return true;
}

static bool read_state(struct probe *p, const cJSON *record)
{
    const char *kind = string_of(record, "kind");
    if (p->states == PROBE_STATES || number_of(record, "n", -1) != p->states)
        return false;
    p->state[p->states].name = copy_of(string_of(record, "name"));
    p->state[p->states++].kind = !strcmp(kind, "location")   ? KIND_LOCATION
                                 : !strcmp(kind, "resource") ? KIND_RESOURCE
                                 : !strcmp(kind, "setting")  ? KIND_SETTING
                                 : !strcmp(kind, "time")     ? KIND_TIME
                                                             : KIND_BASE;
    return true;
}

/* False: the record makes no sense. */
static bool read_record(struct probe *p, const cJSON *record, bool *ended)
{
    const char *type = string_of(record, "type");
    if (!strcmp(type, "cpu")) {
        free(p->cpu);
        p->cpu = copy_of(string_of(record, "name"));
    } else if (!strcmp(type, "config")) {
        return read_config(p, record);
    } else if (!strcmp(type, "state")) {
        return read_state(p, record);
    } else if (!strcmp(type, "form")) {
        return read_form(p, record);
    } else if (!strcmp(type, "run")) {
        return read_run(p, record);
    } else if (!strcmp(type, "guest-end")) {
        *ended = true;
    }
    return true;
}

static bool read_line(struct probe *p, const char *line, bool *ended)
{
    cJSON *record = *line ? cJSON_Parse(line) : NULL;
    const bool good = !*line || (cJSON_IsObject(record) && read_record(p, record, ended));
    cJSON_Delete(record);
    return good;
}

struct probe *probe_read(const char *text, char **error)
{
    struct probe *p = xrealloc(NULL, sizeof(*p));
    bool ended = false, good = true;
    unsigned number = 0;
    memset(p, 0, sizeof(*p));
    p->cpu = copy_of("");
    while (good && *text) {
        const size_t n = strcspn(text, "\r\n");
        char *line = xasprintf("%.*s", (int)n, text);
        number++;
        good = read_line(p, line, &ended);
        free(line);
        text += n + strspn(text + n, "\r\n");
    }
    if (good && ended && p->forms && p->states && p->configs)
        return p;
    *error = good ? xasprintf("the records are incomplete: the prober did not reach its end")
                  : xasprintf("line %u of the records makes no sense", number);
    probe_free(p);
    return NULL;
}

void probe_free(struct probe *p)
{
    for (unsigned i = 0; i < p->outcome_count; i++) {
        free(p->outcomes[i]->whole);
        free(p->outcomes[i]->visible);
        free(p->outcomes[i]->machine);
        free(p->outcomes[i]);
    }
    for (unsigned i = 0; i < p->forms; i++) {
        free(p->form[i].name);
        free(p->form[i].variant);
    }
    for (unsigned i = 0; i < p->configs; i++)
        free(p->config[i].name);
    for (unsigned i = 0; i < p->states; i++)
        free(p->state[i].name);
    free(p->outcomes);
    free(p->form);
    free(p->cpu);
    free(p);
}
