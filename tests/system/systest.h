/*
 * System tests: emulators driven from the host. A case is a function run in a process of its own;
 * the first failed check ends it with a message that says what was expected.
 */
#ifndef TESTS_SYSTEST_H
#define TESTS_SYSTEST_H

#include "lib/emu.h"
#include "lib/jobs.h"

struct test_case {
    char *name; /* "shell/qemu-trap": unique */
    void (*run)(const struct test_case *test);
    enum emu_kind emu;
    enum run_mode mode;
    unsigned limit_s; /* wall time */
    enum virtio virtio;
};

/* Add a case; name is printed from its format. It may be changed. */
struct test_case *test_add(void (*run)(const struct test_case *), enum emu_kind emu,
                           enum run_mode mode, unsigned limit_s, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* LONG=1 was given: also what other cases nearly cover. */
bool tests_long(void);

/* Is the pair one for cases that run the same programs in all of them? The default run leaves out
 * the modes in Bochs that QEMU has: Bochs' own cases of these are the bare guests, and the short
 * form of usertests. */
bool tests_pair(enum emu_kind emu, enum run_mode mode);

/* Each file's cases. */
void tests_boot(void);
void tests_shell(void);
void tests_programs(void);
void tests_errors(void);
void tests_report(void);
void tests_runner(void);
void tests_repeat(void);
void tests_disk(void);
void tests_virtio(void);
void tests_panics(void);
void tests_guests(void);
void tests_sites(void);
void tests_ablation(void);
void tests_overhead(void);
void tests_emulator(void);
void tests_hardware(void);
void tests_entry(void);
void tests_probe(void);
void tests_causes(void);
void tests_switching(void);
void tests_monitor(void);
void tests_storm(void);
void tests_trace(void);
void tests_snapshot(void);

/* Fail the case. */
void fail(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* The usual specification for a test's machine: its emulator, mode, and a directory of its own
 * (below build/test; `part` tells several machines of one test apart, "" for one). */
struct emu_spec test_spec(const struct test_case *test, const char *part);

/* The functions of cases, for those of other files. */
void test_shell(const struct test_case *test);
void test_disk_keeps(const struct test_case *test);
void test_fuzz(const struct test_case *test);
void test_usertests_quick(const struct test_case *test);

/* Run a machine to its end, fail unless it ends with `status`. The caller frees. */
void run_expecting(struct emu_run *run, const struct emu_spec *spec, int status);

/* Run Minnow with these programs on the test's emulator in a mode; the console, allocated. */
char *console_of(const struct test_case *test, enum run_mode mode, const char *programs,
                 int status);

/* The lines of a console that begin with one of the words of `words` (space-separated),
 * allocated; with `keep` false, those that do not. */
char *lines_with(const char *console, const char *words, bool keep);

/* Run a tool, its output into a file of that name in the test's directory; fail unless it ends with
 * `status`. Returns the output, allocated. */
char *tool_output(const struct test_case *test, char *const argv[], const char *name, int status);

/* Run a tool with that argument: it must end with `status` and say `text`; an error is one line. */
void check_usage(const struct test_case *test, const char *tool, const char *argument, int status,
                 const char *text);

/* The JSON in a file; fails when there is none. */
cJSON *json_file(const char *path);

/* Fail unless both texts are equal; the message shows the first line that differs. */
void check_same(const char *what, const char *got, const char *want);

#endif
