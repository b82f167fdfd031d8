/*
 * What the VMM and the guest write for programs: one JSON object a line on COM2 ("records"), and
 * the guest's `bench` lines on its console. Both readers skip what is not theirs.
 */
#ifndef TOOLS_RECORDS_H
#define TOOLS_RECORDS_H

#include <cjson/cJSON.h>
#include <stdbool.h>

/* The records of a run, in order, as a JSON array; the caller calls cJSON_Delete(). Lines that
 * are no JSON object are left out. */
cJSON *records_parse(const char *text);

/* The last record of a type, or NULL. */
const cJSON *records_last(const cJSON *records, const char *type);

/* The last "mark" record of an operation's id, or NULL. */
const cJSON *records_mark(const cJSON *records, int id);

/* Write JSON to a file, and delete it; dies when the file cannot be written. */
void json_write(const char *path, cJSON *json);

/* A number member; `missing` when it is not there. */
double record_number(const cJSON *record, const char *key, double missing);

/* A string member, or NULL. */
const char *record_string(const cJSON *record, const char *key);

/* One line of the guest's bench: bench id=1 name=null-syscall n=1000 ticks=98 total=... result=...
 */
struct bench_op {
    int id;
    char name[40];
    unsigned long long n, ticks, total; /* operations; ticks for one; ticks for all */
    char result[40];
};

/* Read the bench lines of a console into ops[]; returns how many there are (at most max). */
int bench_parse(const char *console, struct bench_op *ops, int max);

/* Has the disk a part in this operation? QEMU's own disk, which only a native guest sees, answers
 * in the host's time: such figures do not repeat. */
bool bench_on_disk(const char *name);

#endif
