/*
 * The first program. Its argument is the kernel's command line: "run=prog,arg,...;prog2,..." runs
 * the programs one after the other and powers off with the status of the first that failed (its
 * lowest seven bits, or 1 where they are 0);
 * without it there is a shell, again and again.
 */
#include "lib.h"

static const char *hint(const char *name)
{
    for (; *name; name++) {
        if (*name == ' ')
            return " (run= wants commas between a program and its arguments)";
    }
    return "";
}

/* A program in the foreground has a process group of its own, which Ctrl-C kills. The shell is not
 * run so: it looks after its own children. */
static int run(char *const argv[], bool in_foreground)
{
    int status = 0;
    const int pid = fork();
    if (pid == 0) {
        if (in_foreground)
            group(0, 0);
        const int error = exec(argv[0], argv);
        dprintf(2, "init: cannot run '%s': %s%s\n", argv[0], error_text(error), hint(argv[0]));
        exit(127);
    }
    if (pid < 0) {
        if (wait(NULL) < 0) /* somebody's end may be what makes room */
            sleep(1);
        return 127;
    }
    if (in_foreground) {
        group(pid, 0); /* whoever of the two comes first */
        foreground(pid);
    }
    while (wait(&status) != pid) /* orphans come here too */
        ;
    foreground(0);
    return status;
}

/* Cut s at the first c; returns what follows, or NULL. */
static char *cut(char *s, char c)
{
    for (; *s; s++) {
        if (*s == c) {
            *s = 0;
            return s + 1;
        }
    }
    return NULL;
}

static int run_one(char *command)
{
    char *argv[ARGS_MAX + 1];
    int argc = 0;
    for (char *arg = command; arg && argc < ARGS_MAX;) {
        char *next = cut(arg, ',');
        argv[argc++] = arg;
        arg = next;
    }
    argv[argc] = NULL;
    return run(argv, true);
}

/* Run them all and power off with the status of the first that failed. */
static void run_list(char *commands)
{
    uint32_t failed = 0;
    while (commands) {
        char *after = cut(commands, ';');
        const int status = *commands ? run_one(commands) : 0;
        if (status)
            printf("init: %s ended with status %d\n", commands, status);
        if (!failed)
            failed = (uint32_t)status;
        commands = after;
    }
    sync();
    system_call(SYS_POWEROFF, failed & 127 ? failed & 127 : failed != 0, 0, 0);
}

int main(int argc, char **argv)
{
    char *line = argc > 1 ? argv[1] : NULL;
    if (getpid() != 1) {
        dprintf(2, "init: only the kernel starts this program\n");
        return 2;
    }
    while (line) {
        if (line[0] == 'r' && line[1] == 'u' && line[2] == 'n' && line[3] == '=')
            run_list(line + 4);
        line = cut(line, ' ');
    }
    for (;;) {
        char *const shell[] = {"sh", NULL};
        const int status = run(shell, false);
        printf(
            "init: the shell ended with status %d; here is another (poweroff ends the machine)\n",
            status);
    }
}
