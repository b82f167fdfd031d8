#include "measure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jobs.h"

#define GRACE_S 10 /* an emulator that is killed at its limit is still reported */

enum end { END_GOOD, END_BROKEN, END_STATUS }; /* exit status of the process of a run */

void measure_dir(const char *dir)
{
    make_dirs(dir);
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        die(1, "cannot use the directory %s: %s", dir, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB)) /* held until the process ends */
        die(1, "the directory %s is in use by another run; choose one with --dir=", dir);
}

void measure_output(const char *path)
{
    if (!path)
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0)
        unlink(path); /* until there is something to write */
    else if (errno == EEXIST)
        fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        die(STATUS_USAGE, "cannot write %s: %s", path, strerror(errno));
    close(fd);
}

int measure_parallel(void)
{
    const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    return cpus < 1 ? 1 : cpus > 16 ? 16 : (int)cpus;
}

static int run_one(void *opaque)
{
    const struct measure *m = opaque;
    struct emu_run run;
    const bool complete = emu_run(&run, &m->spec);
    const int status = run.status;
    if (!complete)
        printf("%s\n", run.error);
    else if (status) {
        const char *text = record_string(records_last(run.records, "error"), "text");
        const char *reason = record_string(records_last(run.records, "end"), "reason");
        printf("status %d: %s; see %s/com1.txt\n", status,
               text     ? text
               : reason ? reason
                        : "a program failed",
               m->spec.dir);
    }
    emu_free(&run);
    return !complete ? END_BROKEN : status ? END_STATUS : END_GOOD;
}

static char *left_behind(const struct measure *m, const char *name)
{
    char *path = xasprintf("%s/%s", m->spec.dir, name), *text = read_file(path, NULL);
    free(path);
    return text ? text : xasprintf("%s", "");
}

static void drop_carriage_returns(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        if (*from != '\r')
            *to++ = *from;
    }
    *to = 0;
}

static int ended, planned; /* runs */

static void take(struct job *job)
{
    struct measure *m = job->opaque;
    char *records = left_behind(m, "com2.txt");
    m->console = left_behind(m, "com1.txt");
    drop_carriage_returns(m->console);
    m->records = records_parse(records);
    m->complete = WIFEXITED(job->wait_status) && WEXITSTATUS(job->wait_status) != END_BROKEN;
    if (job->timed_out)
        m->failure = xasprintf("timed out after %u s", job->limit_s);
    else if (!job->ok)
        m->failure = *job->output ? job->output : xasprintf("the runner died");
    if (m->failure)
        m->failure[strcspn(m->failure, "\n")] = 0;
    fprintf(stderr, "  %2d of %d  %-5s %-16s %s  %.1f s\n", ++ended, planned,
            emu_titles[m->spec.emu], m->name, m->failure ? m->failure : "ok", job->seconds);
    free(records);
}

int measure_all(struct measure *runs, int count, int parallel)
{
    struct job *jobs = xrealloc(NULL, (size_t)count * sizeof(*jobs));
    int failures = 0;
    ended = 0;
    planned = count;
    for (int i = 0; i < count; i++) {
        const struct emu_spec *spec = &runs[i].spec;
        jobs[i] = (struct job){
            .name = runs[i].name,
            .run = run_one,
            .opaque = &runs[i],
            .limit_s = spec->timeout_s + GRACE_S,
        };
        /* What an earlier run left must not pass for this one's. */
        make_dirs(spec->dir);
        unlink(xasprintf("%s/com1.txt", spec->dir));
        unlink(xasprintf("%s/com2.txt", spec->dir));
    }
    jobs_run(jobs, count, parallel, take);
    for (int i = 0; i < count; i++)
        failures += runs[i].failure != NULL;
    free(jobs);
    return failures;
}

void measure_free(struct measure *run)
{
    free(run->name);
    free(run->console);
    cJSON_Delete(run->records);
}
