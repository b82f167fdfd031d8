#include "proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

void proc_die_with(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before the request was made */
        _exit(127);
}

static void child(char *const argv[], int tty, int out, int keep)
{
    int in = tty >= 0 ? tty : open("/dev/null", O_RDONLY);
    setsid();
    if (tty >= 0) {
        ioctl(tty, TIOCSCTTY, 0);
        out = tty;
    }
    dup2(in, 0);
    dup2(out, 1);
    dup2(out, 2);
    if (keep >= 0)
        fcntl(keep, F_SETFD, 0);
    signal(SIGPIPE, SIG_DFL);
    execvp(argv[0], argv);
    dprintf(2, "cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

bool proc_start(struct proc *p, char *const argv[], int tty, int out, int keep)
{
    pid_t self = getpid();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    *p = (struct proc){.pid = fork(), .pidfd = -1};
    if (p->pid < 0)
        return false;
    if (p->pid == 0) {
        proc_die_with(self);
        child(argv, tty, out, keep);
    }
    p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    if (p->pidfd >= 0)
        fcntl(p->pidfd, F_SETFD, FD_CLOEXEC);
    return true;
}

bool proc_ended(struct proc *p)
{
    if (!p->ended && waitpid(p->pid, &p->wait_status, WNOHANG) == p->pid) {
        p->ended = true;
        if (p->pidfd >= 0)
            close(p->pidfd);
        p->pidfd = -1;
    }
    return p->ended;
}

/* Parent of a process, from /proc/PID/stat (proc(5)); the name in it may hold anything, so look
 * behind its last parenthesis. */
static pid_t parent_of(const char *pid)
{
    char path[64], line[512];
    int parent = -1;
    snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return -1;
    if (fgets(line, sizeof(line), f)) {
        char *after = strrchr(line, ')');
        if (after)
            sscanf(after + 1, " %*c %d", &parent);
    }
    fclose(f);
    return parent;
}

static void kill_children(void)
{
    pid_t self = getpid();
    DIR *dir = opendir("/proc");
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && parent_of(e->d_name) == self)
            kill((pid_t)atoi(e->d_name), SIGKILL);
    }
    closedir(dir);
}

void proc_kill_all(struct proc *p)
{
    if (!proc_ended(p))
        kill(-p->pid, SIGKILL);
    /* Each round may hand us the orphans of those killed in the round before. */
    for (;;) {
        int status;
        kill_children();
        pid_t pid = waitpid(-1, &status, 0);
        if (pid < 0 && errno != EINTR)
            break;
        if (pid == p->pid) {
            p->ended = true;
            p->wait_status = status;
        }
    }
    if (p->pidfd >= 0)
        close(p->pidfd);
    p->pidfd = -1;
}

int proc_run(char *const argv[], const char *log)
{
    struct proc p;
    int out = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (out < 0)
        out = open("/dev/null", O_WRONLY | O_CLOEXEC);
    bool started = proc_start(&p, argv, -1, out, -1);
    close(out);
    if (!started)
        return 127;
    while (waitpid(p.pid, &p.wait_status, 0) < 0 && errno == EINTR)
        ;
    if (p.pidfd >= 0)
        close(p.pidfd);
    return WIFSIGNALED(p.wait_status) ? 128 + WTERMSIG(p.wait_status) : WEXITSTATUS(p.wait_status);
}
