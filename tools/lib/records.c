#include "records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

/* Call fn with each line of text, without its end and NUL-terminated. */
static void each_line(const char *text, void (*fn)(void *opaque, const char *line), void *opaque)
{
    while (text && *text) {
        size_t n = strcspn(text, "\r\n");
        char *line = xasprintf("%.*s", (int)n, text);
        fn(opaque, line);
        free(line);
        text += n + (text[n] != 0);
    }
}

static void add_record(void *opaque, const char *line)
{
    const char *start = strchr(line, '{');
    cJSON *json = start ? cJSON_Parse(start) : NULL;
    if (cJSON_IsObject(json))
        cJSON_AddItemToArray(opaque, json);
    else
        cJSON_Delete(json);
}

cJSON *records_parse(const char *text)
{
    cJSON *all = cJSON_CreateArray();
    each_line(text, add_record, all);
    return all;
}

const char *record_string(const cJSON *record, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(record, key));
}

double record_number(const cJSON *record, const char *key, double missing)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(record, key);
    return cJSON_IsNumber(item) ? item->valuedouble : missing;
}

const cJSON *records_last(const cJSON *records, const char *type)
{
    const cJSON *item, *found = NULL;
    cJSON_ArrayForEach(item, records)
    {
        const char *is = record_string(item, "type");
        if (is && !strcmp(is, type))
            found = item;
    }
    return found;
}

const cJSON *records_mark(const cJSON *records, int id)
{
    const cJSON *item, *found = NULL;
    cJSON_ArrayForEach(item, records)
    {
        const char *is = record_string(item, "type");
        if (is && !strcmp(is, "mark") && record_number(item, "id", -1) == id)
            found = item;
    }
    return found;
}

struct bench_reader {
    struct bench_op *ops;
    int count, max;
};

static void add_bench(void *opaque, const char *line)
{
    struct bench_reader *r = opaque;
    struct bench_op op;
    if (sscanf(line, "bench id=%d name=%39s n=%llu ticks=%llu total=%llu result=%39s", &op.id,
               op.name, &op.n, &op.ticks, &op.total, op.result) == 6 &&
        r->count < r->max)
        r->ops[r->count++] = op;
}

int bench_parse(const char *console, struct bench_op *ops, int max)
{
    struct bench_reader r = {ops, 0, max};
    each_line(console, add_bench, &r);
    return r.count;
}

bool bench_on_disk(const char *name)
{
    return !strncmp(name, "disk-", 5) || !strcmp(name, "compile");
}

void json_write(const char *path, cJSON *json)
{
    char *text = cJSON_Print(json);
    write_file(path, text, strlen(text));
    free(text);
    cJSON_Delete(json);
}
