/*
 * What the prober wrote (tools/probe/bare), read back: for each form, configuration, privilege
 * level and state the outcome of one execution. Pure: from text to tables.
 */
#ifndef PROBE_RECORDS_H
#define PROBE_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#define PROBE_CONFIGS 8
#define PROBE_STATES 32
#define PROBE_LEVELS 4
#define SUPERVISOR 0
#define USER 3

/* Where a state differs from the first one. */
enum probe_kind {
    KIND_BASE,
    KIND_TIME, /* in nothing: it is the first one again, later */
    KIND_RESOURCE,
    KIND_SETTING, /* in a resource, and in the configuration: good to compare with, no more */
    KIND_LOCATION
};

struct probe_outcome {
    char *whole;   /* the record, as JSON */
    char *visible; /* its part that the program itself can see */
    char *machine; /* its part that belongs to the machine: "" when nothing of it changed */
    bool trapped;  /* an exception refused the instruction: the saved EIP is its own */
    int vector;    /* by which it arrived, -1: it went on within the program */
    int error;     /* the exception's error code */
    int level;     /* the privilege level afterwards, -1: as before */
};

struct probe_form {
    char *name, *variant;
    uint8_t bytes[16];
    unsigned len;
    /* NULL: not executed */
    const struct probe_outcome *at[PROBE_CONFIGS][PROBE_LEVELS][PROBE_STATES];
};

struct probe {
    char *cpu; /* its own name; "" when it has none */
    unsigned configs, states, forms;
    struct {
        char *name;
        unsigned iopl;
        uint32_t cr4;
    } config[PROBE_CONFIGS];
    struct {
        char *name;
        enum probe_kind kind;
    } state[PROBE_STATES];
    struct probe_form *form;
    struct probe_outcome **outcomes;
    unsigned outcome_count;
};

/*
 * Read the records, one JSON object a line. Returns NULL with *error (allocated) one sentence when
 * they are incomplete or wrong; the caller calls probe_free().
 */
struct probe *probe_read(const char *text, char **error);
void probe_free(struct probe *p);

#endif
