/*
 * The shell: sh [FILE | -c COMMANDS]. `help` prints its language.
 *
 * A line goes through three steps: split() cuts it into words and operators, parse() makes commands
 * of them, and only when the whole line makes sense are they run, one pipeline after the other.
 *
 * A shell that somebody types at gives each pipeline a process group of its own, and makes it the
 * foreground while it waits for it: Ctrl-C kills the pipeline, not the shell. Without somebody at
 * the keyboard the pipelines stay in the shell's group, so that Ctrl-C ends a script as a whole.
 * Pipelines in the background always have a group of their own.
 */
#include "lib.h"
#include "fs_format.h"

#define LINE 1024
#define COMMANDS 32 /* of a line */

enum kind { WORD, PIPE, BACKGROUND, NEXT, END, IN, OUT, APPEND, ERRORS, KINDS };

/* Of two operators of which one begins the other the longer has the higher number. */
static const char *const operators[KINDS] = {
    [PIPE] = "|", [BACKGROUND] = "&", [NEXT] = ";",    [END] = "end of line",
    [IN] = "<",   [OUT] = ">",        [APPEND] = ">>", [ERRORS] = "2>",
};

struct token {
    enum kind kind;
    char *word;
};

struct command {
    char *argv[ARGS_MAX + 1];
    int argc;
    char *file[KINDS]; /* of IN, OUT, APPEND, ERRORS; NULL: none */
    enum kind after;   /* PIPE, BACKGROUND, NEXT or END */
};

static int status; /* of the last pipeline */
static bool interactive;
static int input; /* where the commands come from; -1: from an argument */

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The operator that s begins with; WORD if none. Within a word "2>" is no operator, but ">" is. */
static enum kind operator_at(const char *s, bool in_word)
{
    if (*s == '\n')
        return NEXT;
    for (enum kind k = in_word ? APPEND : ERRORS; k > WORD; k--) {
        const size_t n = strlen(operators[k]);
        if (k != END && s[0] == operators[k][0] && (n == 1 || s[1] == operators[k][1]))
            return k;
    }
    return WORD;
}

static bool wrong(const char *what, const char *about)
{
    dprintf(2, "sh: %s '%s'\n", what, about);
    return false;
}

/* Copy the word at *s to *to, without its quotes, and move both on. */
static bool copy_word(const char **s, char **to)
{
    const char *c = *s;
    char quote = 0;
    for (; *c && (quote || (!blank(*c) && operator_at(c, true) == WORD)); c++) {
        if (quote ? *c == quote : *c == '\'' || *c == '"') {
            quote = quote ? 0 : *c;
        } else if (*c == '\\' && quote != '\'') {
            if (!*++c)
                return wrong("missing character after", "\\");
            *(*to)++ = quote && *c == 'n' ? '\n' : quote && *c == 't' ? '\t' : *c;
        } else {
            *(*to)++ = *c;
        }
    }
    *(*to)++ = 0;
    *s = c;
    return !quote || wrong("missing end of the quotes", quote == '"' ? "\"" : "'");
}

static const char *end_of_line(const char *s)
{
    while (*s && *s != '\n')
        s++;
    return s;
}

/* Cut a line of less than LINE bytes into tokens, the last of which is END. */
static bool split(const char *s, struct token tokens[LINE])
{
    static char text[LINE]; /* no word takes more room than in the line, its end included */
    char *to = text;
    for (struct token *t = tokens;; t++) {
        while (blank(*s))
            s++;
        if (*s == '#')
            s = end_of_line(s);
        if (!*s) {
            t->kind = END;
            return true;
        }
        t->kind = operator_at(s, false);
        t->word = to;
        if (t->kind != WORD)
            s += strlen(operators[t->kind]);
        else if (!copy_word(&s, &to))
            return false;
    }
}

/* Add one token that does not end a command; *t moves on if it takes two. */
static bool add(struct command *c, const struct token **t)
{
    const enum kind kind = (*t)->kind;
    if (kind == WORD) {
        if (c->argc == ARGS_MAX)
            return wrong("too many words for", c->argv[0]);
        c->argv[c->argc++] = (*t)->word;
        return true;
    }
    if ((*t)[1].kind != WORD)
        return wrong("missing file name after", operators[kind]);
    if (c->file[kind])
        return wrong("more than one", operators[kind]);
    c->file[kind] = (++*t)->word;
    return true;
}

/* Make commands[0 .. *count-1] of the tokens; the one behind them is for an empty command. */
static bool parse(const struct token *t, struct command commands[COMMANDS + 1], int *count)
{
    bool after_pipe = false;
    *count = 0;
    for (;; t++) {
        struct command *c = &commands[*count];
        const struct token *const start = t;
        *c = (struct command){.argc = 0};
        for (; t->kind == WORD || t->kind >= IN; t++) {
            if (!add(c, &t))
                return false;
        }
        if (c->argc && *count == COMMANDS)
            return wrong("too many commands before", operators[t->kind]);
        if (!c->argc && (t != start || after_pipe || t->kind == PIPE || t->kind == BACKGROUND))
            return wrong("missing program beside", operators[after_pipe ? PIPE : start->kind]);
        c->after = t->kind;
        after_pipe = t->kind == PIPE;
        *count += c->argc > 0;
        if (t->kind == END)
            return true;
    }
}

static void help(void)
{
    struct fs_dirent d;
    const int fd = open("/bin", O_READ);
    printf("programs:");
    while (read(fd, &d, sizeof(d)) == sizeof(d)) {
        if (d.inode && d.name[0] != '.')
            printf(" %s", d.name);
    }
    close(fd);
    printf("\nbuilt in: cd DIR, exit [N], status (of the last program), help\n"
           "program word 'word' \"word\" word\\ word   # comment; in \"\" also \\n and \\t\n"
           "a | b   a < file   a > file   a >> file   a 2> file   a; b   a & (in the background)\n"
           "Ctrl-C ends what runs, Ctrl-D the input, Ctrl-U takes back the line.\n");
}

/* Run c if it is built in; tells whether it was. */
static bool built_in(const struct command *c)
{
    const char *name = c->argv[0];
    bool ok = true;
    if (!strcmp(name, "status")) {
        printf("%d\n", status);
    } else if (!strcmp(name, "help")) {
        help();
        status = 0;
    } else if (!strcmp(name, "cd")) {
        const int error = c->argc == 2 ? chdir(c->argv[1]) : 0;
        if (c->argc != 2)
            dprintf(2, "use: cd DIR\n");
        else if (error < 0)
            dprintf(2, "sh: %s: %s\n", c->argv[1], error_text(error));
        status = c->argc != 2 ? 2 : error < 0;
    } else if (!strcmp(name, "exit")) {
        const uint32_t n = c->argc > 1 ? number(c->argv[1], &ok) : (uint32_t)status;
        if (ok && c->argc < 3)
            exit((int)n);
        dprintf(2, "use: exit [STATUS]\n");
        status = 2;
    } else {
        return false;
    }
    return true;
}

static void move_to(int fd, int wanted)
{
    if (fd == wanted)
        return;
    close(wanted);
    dup(fd); /* the lowest free one: wanted */
    close(fd);
}

static void redirect(const struct command *c)
{
    static const struct {
        int fd, flags;
    } how[KINDS] = {
        [IN] = {0, O_READ},
        [OUT] = {1, O_WRITE | O_CREATE | O_TRUNCATE},
        [APPEND] = {1, O_WRITE | O_CREATE | O_APPEND},
        [ERRORS] = {2, O_WRITE | O_CREATE | O_TRUNCATE},
    };
    for (enum kind k = IN; k < KINDS; k++) {
        if (!c->file[k])
            continue;
        const int fd = open(c->file[k], how[k].flags);
        if (fd < 0) {
            dprintf(2, "sh: %s: %s\n", c->file[k], error_text(fd));
            exit(1);
        }
        move_to(fd, how[k].fd);
    }
}

/* What the new process does: becomes the program. `unused`: the other end of its output's pipe. */
static void __attribute__((noreturn)) child(const struct command *c, int in, int out, int unused)
{
    if (unused >= 0)
        close(unused);
    if (input > 0)
        close(input);
    move_to(in, 0);
    move_to(out, 1);
    redirect(c);
    if (built_in(c))
        exit(status);
    const int error = exec(c->argv[0], c->argv);
    dprintf(2, "sh: %s: %s\n", c->argv[0], error_text(error));
    exit(error == E_NOENT ? 127 : 126);
}

/* Wait for these processes; the last one's status is ours. What ran in the background and has ended
 * is buried too. */
static void wait_for(const int *pids, int n)
{
    int s;
    for (int left = n; left;) {
        const int pid = wait(&s);
        if (pid < 0)
            break;
        for (int i = 0; i < n; i++)
            left -= pids[i] == pid;
        if (pid == pids[n - 1])
            status = s;
    }
}

/* Run n commands as one pipeline. */
static void pipeline(const struct command *c, int n)
{
    const bool background = c[n - 1].after == BACKGROUND, grouped = background || interactive;
    int pids[COMMANDS], in = 0, started = 0, error = 0;
    for (; started < n; started++) {
        const bool more = started + 1 < n;
        int fds[2] = {-1, 1};
        error = more ? pipe(fds) : 0;
        if (error < 0)
            break;
        const int pid = fork(), leader = started ? pids[0] : 0; /* 0: this one itself */
        if (!pid) {
            if (grouped)
                group(0, leader);
            child(&c[started], in, fds[1], fds[0]);
        }
        if (grouped && pid > 0)
            group(pid, leader); /* whoever of the two comes first */
        if (in)
            close(in);
        if (more)
            close(fds[1]);
        in = more ? fds[0] : 0;
        if (pid < 0) {
            error = pid;
            break;
        }
        pids[started] = pid;
    }
    if (in)
        close(in);
    if (background) {
        status = 0;
        if (interactive && started)
            dprintf(2, "[%d]\n", pids[started - 1]);
    } else if (started) {
        if (interactive)
            foreground(pids[0]);
        wait_for(pids, started);
        if (interactive)
            foreground(0);
    }
    if (error < 0) {
        dprintf(2, "sh: cannot start '%s': %s\n", c[started].argv[0], error_text(error));
        status = 126;
    }
}

static bool redirected(const struct command *c)
{
    return c->file[IN] || c->file[OUT] || c->file[APPEND] || c->file[ERRORS];
}

static void run(const char *line)
{
    static struct token tokens[LINE];
    static struct command commands[COMMANDS + 1];
    int count;
    if (!split(line, tokens) || !parse(tokens, commands, &count)) {
        status = 2;
        return;
    }
    for (int i = 0, n; i < count; i += n) {
        const struct command *c = &commands[i];
        for (n = 1; c[n - 1].after == PIPE; n++)
            ;
        /* Alone and in the foreground the shell itself is meant, else a copy of it. */
        if (n > 1 || c->after == BACKGROUND || redirected(c) || !built_in(c))
            pipeline(c, n);
    }
}

/* Byte by byte: what the line's programs are to read from the same input must still be there. */
static bool read_line(char line[LINE])
{
    uint32_t n = 0;
    char c;
    int got;
    while ((got = read(input, &c, 1)) == 1 && c != '\n') {
        if (n < LINE)
            line[n++] = c;
    }
    if (n == LINE) {
        dprintf(2, "sh: a line has more than %d bytes\n", LINE - 1);
        status = 2;
        n = 0;
    }
    line[n] = 0;
    return got == 1 || n;
}

int main(int argc, char **argv)
{
    static char line[LINE];
    struct stat s;
    const bool command = argc == 3 && !strcmp(argv[1], "-c");
    if (argc > 2 && !command) {
        dprintf(2, "use: sh [FILE | -c COMMANDS]\n");
        return 2;
    }
    if (command) {
        input = -1;
        run(argv[2]); /* ARG_BYTES_MAX keeps it shorter than LINE */
        return status;
    }
    if (argc == 2 && (input = open(argv[1], O_READ)) < 0) {
        dprintf(2, "sh: %s: %s\n", argv[1], error_text(input));
        return 127;
    }
    interactive = !input && (fstat(0, &s) < 0 || s.type != FS_FILE);
    for (;;) {
        if (interactive) {
            foreground(0); /* whoever started this shell has made it the foreground */
            printf("minnow$ ");
        }
        if (!read_line(line))
            return status;
        run(line);
    }
}
