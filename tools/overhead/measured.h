/* The figures as JSON: what gather.c writes and everything else reads. */
#ifndef OVERHEAD_MEASURED_H
#define OVERHEAD_MEASURED_H

#include <cjson/cJSON.h>

#include "overhead/figures.h"
#include "overhead/table.h"

/* {"runs": [...]}; the caller deletes it. */
cJSON *measured_json(const struct figures *f);

/* Read it back. Returns NULL, or what is wrong with it in one sentence (allocated). */
char *measured_read(const cJSON *json, struct figures *f);

/* A table, with the numbers and with what is shown for them. */
cJSON *table_json(const struct table *t);

#endif
