/* The shell: programs with arguments, pipes, and & for the background. */
#include "lib.h"

#define LINE 256

static bool read_line(char *line)
{
    uint32_t n = 0;
    while (n < LINE - 1) {
        const int got = read(0, line + n, LINE - 1 - n);
        if (got <= 0)
            return false;
        n += (uint32_t)got;
        if (line[n - 1] == '\n')
            break;
    }
    line[n] = 0;
    return true;
}

/* Split at blanks, in place; | and & are words of their own even without blanks. */
static int split(char *line, char *words[], int max)
{
    static char text[2 * LINE];
    char *to = text;
    int n = 0;
    while (*line && n < max) {
        while (*line == ' ' || *line == '\n' || *line == '\t')
            line++;
        if (!*line)
            break;
        words[n++] = to;
        if (*line == '|' || *line == '&') {
            *to++ = *line++;
        } else {
            while (*line && *line != ' ' && *line != '\n' && *line != '\t' && *line != '|' &&
                   *line != '&')
                *to++ = *line++;
        }
        *to++ = 0;
    }
    words[n] = NULL;
    return n;
}

static void move_to(int fd, int wanted)
{
    if (fd == wanted)
        return;
    close(wanted);
    dup(fd);
    close(fd);
}

/* Start one program of a pipeline with the given input and output; returns its pid. */
static int start(char **argv, int in, int out, int unused)
{
    const int pid = fork();
    if (pid)
        return pid;
    if (unused >= 0)
        close(unused);
    move_to(in, 0);
    move_to(out, 1);
    exec(argv[0], argv);
    dprintf(2, "sh: no program '%s'\n", argv[0]);
    exit(127);
}

/* Wait for these processes; returns the last one's status. What ran in the background and ends
 * meanwhile is buried too. */
static int wait_for(const int *pids, int n)
{
    int status = 0, s;
    for (int left = n; left;) {
        const int pid = wait(&s);
        if (pid < 0)
            break;
        for (int i = 0; i < n; i++)
            left -= pids[i] == pid;
        if (pid == pids[n - 1])
            status = s;
    }
    return status;
}

static int pipeline(char **words, bool background)
{
    int pids[LINE / 2], in = 0, started = 0;
    while (*words) {
        char **argv = words;
        int fds[2] = {-1, 1};
        while (*words && strcmp(*words, "|"))
            words++;
        const bool more = *words;
        if (more)
            *words++ = NULL;
        if (!argv[0] || (more && !*words)) {
            dprintf(2, "sh: a program is missing beside '|'\n");
            break;
        }
        if (more && pipe(fds) < 0) {
            dprintf(2, "sh: no pipe left\n");
            break;
        }
        const int pid = start(argv, in, more ? fds[1] : 1, more ? fds[0] : -1);
        if (in)
            close(in);
        if (more)
            close(fds[1]);
        in = more ? fds[0] : 0;
        if (pid < 0) {
            dprintf(2, "sh: too many processes or too little memory\n");
            break;
        }
        pids[started++] = pid;
    }
    if (in)
        close(in);
    return background ? 0 : wait_for(pids, started);
}

static void help(void)
{
    printf("programs: ");
    struct dirent d;
    for (uint32_t i = 0; system_call(SYS_DIRENT, i, (uint32_t)&d, 0) == 0; i++)
        printf("%s ", d.name);
    printf("\nbuilt in: help exit status\nuse: program arguments | program & \n");
}

int main(int argc, char **argv)
{
    char line[LINE], *words[LINE / 2 + 1];
    int status = 0;
    (void)argc;
    (void)argv;
    for (;;) {
        printf("minnow$ ");
        if (!read_line(line))
            return status;
        int n = split(line, words, LINE / 2);
        const bool background = n && !strcmp(words[n - 1], "&");
        if (background)
            words[--n] = NULL;
        if (!n)
            continue;
        if (!strcmp(words[0], "exit"))
            return status;
        if (!strcmp(words[0], "help"))
            help();
        else if (!strcmp(words[0], "status"))
            printf("%d\n", status);
        else
            status = pipeline(words, background);
    }
}
