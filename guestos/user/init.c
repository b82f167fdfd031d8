/*
 * The first program. Its argument is the kernel's command line: "run=prog,arg,...;prog2,..." runs
 * the programs one after the other and powers off with the status of the first that failed;
 * without it there is a shell, again and again.
 */
#include "lib.h"

static int run(char *const argv[])
{
    int status = 0;
    const int pid = fork();
    if (pid == 0) {
        exec(argv[0], argv);
        dprintf(2, "init: cannot run '%s'\n", argv[0]);
        exit(127);
    }
    if (pid < 0)
        return 127;
    while (wait(&status) != pid) /* orphans come here too */
        ;
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
    return run(argv);
}

int main(int argc, char **argv)
{
    char *word = argc > 1 ? argv[1] : NULL;
    while (word) {
        char *next = cut(word, ' ');
        if (word[0] == 'r' && word[1] == 'u' && word[2] == 'n' && word[3] == '=') {
            int failed = 0;
            for (char *command = word + 4; command;) {
                char *after = cut(command, ';');
                const int status = run_one(command);
                if (!failed)
                    failed = status;
                command = after;
            }
            system_call(SYS_POWEROFF, (uint32_t)failed & 127 ? (uint32_t)failed & 127 : failed != 0,
                        0, 0);
        }
        word = next;
    }
    for (;;) {
        char *const shell[] = {"sh", NULL};
        run(shell);
    }
}
