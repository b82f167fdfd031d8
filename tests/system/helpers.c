#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systest.h"

#define RUN_LIMIT_S 60

void fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    exit(1); /* an emulator that still runs dies with this process (proc.h) */
}

struct emu_spec test_spec(const struct test_case *test, const char *part)
{
    return (struct emu_spec){
        .emu = test->emu,
        .files = {.mode = test->mode},
        .console = CONSOLE_FILE,
        .virtio = test->virtio,
        .timeout_s = RUN_LIMIT_S,
        .dir = xasprintf("build/test/%s%s%s", test->name, *part ? "/" : "", part),
        .echo_fd = -1,
    };
}

void run_expecting(struct emu_run *run, const struct emu_spec *spec, int status)
{
    if (!emu_run(run, spec))
        fail("%s %s: %s", emu_titles[spec->emu], mode_names[spec->files.mode], run->error);
    if (run->status != status)
        fail("%s %s: status %d, expected %d; console:\n%s", emu_titles[spec->emu],
             mode_names[spec->files.mode], run->status, status, run->console.text);
}

char *console_of(const struct test_case *test, enum run_mode mode, const char *programs, int status)
{
    struct emu_run run;
    struct emu_spec spec = test_spec(test, mode_names[mode]);
    spec.files.mode = mode;
    if (mode != test->mode)
        spec.virtio = VIRTIO_USUAL;
    spec.files.guest_args = xasprintf("run=%s", programs);
    run_expecting(&run, &spec, status);
    char *console = xasprintf("%s", run.console.text);
    emu_free(&run);
    return console;
}

static bool begins_with_any(const char *line, size_t n, const char *words)
{
    while (*words) {
        size_t w = strcspn(words, " ");
        if (n >= w && !strncmp(line, words, w))
            return true;
        words += w + (words[w] == ' ');
    }
    return false;
}

char *lines_with(const char *console, const char *words, bool keep)
{
    struct text t = {0};
    text_add(&t, "", 0);
    while (*console) {
        size_t n = strcspn(console, "\n");
        if (begins_with_any(console, n, words) == keep)
            text_printf(&t, "%.*s\n", (int)n, console);
        console += n + (console[n] == '\n');
    }
    return t.text;
}

char *tool_output(const struct test_case *test, char *const argv[], const char *name, int status)
{
    const struct emu_spec spec = test_spec(test, "");
    char *log = xasprintf("%s/%s", spec.dir, name);
    make_dirs(spec.dir);
    const int got = proc_run(argv, log);
    char *output = read_file(log, NULL);
    if (got != status)
        fail("%s ends with status %d, expected %d:\n%s", argv[0], got, status,
             output ? output : "(no output)");
    free(log);
    return output;
}

void check_usage(const struct test_case *test, const char *tool, const char *argument, int status,
                 const char *text)
{
    char *argv[] = {(char *)tool, (char *)argument, NULL};
    char *output = tool_output(test, argv, "usage.txt", status);
    if (!strstr(output, text))
        fail("%s: no \"%s\" in:\n%s", argument, text, output);
    if (status && strchr(output, '\n') != output + strlen(output) - 1)
        fail("%s: not one line:\n%s", argument, output);
    free(output);
}

cJSON *json_file(const char *path)
{
    char *text = read_file(path, NULL);
    cJSON *json = text ? cJSON_Parse(text) : NULL;
    if (!json)
        fail("%s is no JSON", path);
    free(text);
    return json;
}

void check_same(const char *what, const char *got, const char *want)
{
    while (*got && *want) {
        size_t g = strcspn(got, "\n"), w = strcspn(want, "\n");
        if (g != w || strncmp(got, want, g))
            break;
        got += g + (got[g] == '\n');
        want += w + (want[w] == '\n');
    }
    if (*got || *want)
        fail("%s differs; expected \"%.*s\", got \"%.*s\"", what, (int)strcspn(want, "\n"), want,
             (int)strcspn(got, "\n"), got);
}
