#include "jobs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proc.h"
#include "util.h"

#define LOOK_MS 10

struct slot {
    struct job *job; /* NULL: free */
    pid_t pid;
    int output;
    double started;
};

static void start(struct slot *slot, struct job *job)
{
    pid_t parent = getpid();
    *slot = (struct slot){.job = job, .output = memfd_create("job", MFD_CLOEXEC)};
    fflush(NULL);
    slot->started = now_s();
    slot->pid = fork();
    if (slot->pid < 0 || slot->output < 0)
        die(1, "cannot start a job: %s", strerror(errno));
    if (slot->pid == 0) {
        proc_die_with(parent);
        dup2(slot->output, 1);
        dup2(slot->output, 2);
        int status = job->run(job->opaque);
        fflush(NULL);
        _exit(status);
    }
}

/* An emulator of a killed job dies with it (PR_SET_PDEATHSIG), so killing the job is enough. */
static bool ended(struct slot *slot)
{
    struct job *job = slot->job;
    job->seconds = now_s() - slot->started;
    if (waitpid(slot->pid, &job->wait_status, WNOHANG) == slot->pid)
        return true;
    if (job->seconds < job->limit_s)
        return false;
    job->timed_out = true;
    kill(slot->pid, SIGKILL);
    waitpid(slot->pid, &job->wait_status, 0);
    return true;
}

static void collect(struct slot *slot)
{
    struct job *job = slot->job;
    char *path = xasprintf("/proc/self/fd/%d", slot->output);
    job->ok = !job->timed_out && WIFEXITED(job->wait_status) && !WEXITSTATUS(job->wait_status);
    job->output = read_file(path, NULL);
    close(slot->output);
    free(path);
    slot->job = NULL;
}

void jobs_run(struct job *jobs, int count, int parallel, void (*done)(struct job *job))
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000};
    struct slot *slots = calloc((size_t)parallel, sizeof(*slots));
    int next = 0, left = count;
    while (left && slots) {
        for (int s = 0; s < parallel; s++) {
            if (slots[s].job && ended(&slots[s])) {
                struct job *job = slots[s].job;
                collect(&slots[s]);
                left--;
                done(job);
            }
            if (!slots[s].job && next < count)
                start(&slots[s], &jobs[next++]);
        }
        nanosleep(&pause, NULL);
    }
    free(slots);
}
