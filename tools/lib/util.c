#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void die(int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fflush(stdout);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(status);
}

void *xrealloc(void *p, size_t size)
{
    p = realloc(p, size);
    if (!p)
        die(1, "out of memory");
    return p;
}

char *xvasprintf(const char *fmt, va_list ap)
{
    char *s;
    if (vasprintf(&s, fmt, ap) < 0)
        die(1, "out of memory");
    return s;
}

char *xasprintf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *s = xvasprintf(fmt, ap);
    va_end(ap);
    return s;
}

void text_add(struct text *t, const char *bytes, size_t n)
{
    if (t->len + n + 1 > t->room) {
        t->room = (t->len + n + 1) * 2;
        t->text = xrealloc(t->text, t->room);
    }
    memcpy(t->text + t->len, bytes, n);
    t->len += n;
    t->text[t->len] = 0;
}

void text_printf(struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *s = xvasprintf(fmt, ap);
    va_end(ap);
    text_add(t, s, strlen(s));
    free(s);
}

void text_free(struct text *t)
{
    free(t->text);
    *t = (struct text){0};
}

char *read_file(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct text t = {0};
    char chunk[65536];
    ssize_t n;
    if (fd < 0)
        return NULL;
    text_add(&t, "", 0);
    while ((n = read(fd, chunk, sizeof(chunk))) > 0)
        text_add(&t, chunk, (size_t)n);
    int err = errno;
    close(fd);
    if (n < 0) {
        text_free(&t);
        errno = err;
        return NULL;
    }
    if (size)
        *size = t.len;
    return t.text;
}

void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "we");
    if (!f || fwrite(bytes, 1, size, f) != size || fclose(f))
        die(1, "cannot write %s: %s", path, strerror(errno));
}

void make_dirs(const char *path)
{
    char *copy = xasprintf("%s/", path);
    for (char *c = copy + 1; *c; c++) {
        if (*c != '/')
            continue;
        *c = 0;
        if (mkdir(copy, 0777) && errno != EEXIST)
            die(1, "cannot make the directory %s: %s", copy, strerror(errno));
        *c = '/';
    }
    free(copy);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    remove(path);
    return 0;
}

void remove_tree(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

uint64_t fnv1a(uint64_t h, const void *bytes, size_t size)
{
    const uint8_t *b = bytes;
    for (size_t i = 0; i < size; i++)
        h = (h ^ b[i]) * 0x100000001b3ull;
    return h;
}

double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
