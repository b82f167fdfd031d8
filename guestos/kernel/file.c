/* Open files: the console, pipes, and programs of the archive (read-only). */
#include "kernel.h"

#define PIPE_SIZE 512
#define OPEN_FILES 128
#define PIPES 32

enum kind { CLOSED, CONSOLE, PIPE_READ, PIPE_WRITE, ARCHIVE };

struct pipe {
    bool used;
    char data[PIPE_SIZE];
    uint32_t read, written; /* bytes so far */
    int readers, writers;
};

struct file {
    enum kind kind;
    int references;
    struct pipe *pipe;
    const struct archive_entry *entry;
    uint32_t offset;
};

static struct file files[OPEN_FILES];
static struct pipe pipes[PIPES];

static struct file *new_file(enum kind kind)
{
    for (struct file *f = files; f < files + OPEN_FILES; f++) {
        if (f->kind != CLOSED)
            continue;
        *f = (struct file){.kind = kind, .references = 1};
        return f;
    }
    return NULL;
}

struct file *file_share(struct file *f)
{
    f->references++;
    return f;
}

void file_release(struct file *f)
{
    if (--f->references)
        return;
    struct pipe *p = f->pipe;
    if (f->kind == PIPE_READ)
        p->readers--;
    if (f->kind == PIPE_WRITE)
        p->writers--;
    if (p) {
        p->used = p->readers || p->writers;
        wakeup(p);
    }
    f->kind = CLOSED;
}

void file_console(struct process *p)
{
    p->file[0] = new_file(CONSOLE);
    p->file[1] = file_share(p->file[0]);
    p->file[2] = file_share(p->file[0]);
}

static int install(struct file *f)
{
    for (int fd = 0; fd < FILES; fd++) {
        if (!current->file[fd]) {
            current->file[fd] = f;
            return fd;
        }
    }
    return E_MFILE;
}

static struct file *get(int fd)
{
    return fd >= 0 && fd < FILES ? current->file[fd] : NULL;
}

int file_open(const char *name)
{
    const struct archive_entry *entry = archive_find(name);
    struct file *f = entry ? new_file(ARCHIVE) : NULL;
    if (!f)
        return entry ? E_MFILE : E_NOENT;
    f->entry = entry;
    const int fd = install(f);
    if (fd < 0)
        file_release(f);
    return fd;
}

static struct pipe *new_pipe(void)
{
    for (struct pipe *p = pipes; p < pipes + PIPES; p++) {
        if (p->used)
            continue;
        memset(p, 0, sizeof(*p));
        p->used = true;
        return p;
    }
    return NULL;
}

int file_pipe(uint32_t fds_va)
{
    struct pipe *p = new_pipe();
    struct file *r = p ? new_file(PIPE_READ) : NULL;
    struct file *w = r ? new_file(PIPE_WRITE) : NULL;
    if (!w) {
        if (r)
            r->kind = CLOSED;
        if (p)
            p->used = false;
        return E_MFILE;
    }
    r->pipe = w->pipe = p;
    p->readers = p->writers = 1;
    int fds[2] = {install(r), -1};
    if (fds[0] >= 0)
        fds[1] = install(w);
    const bool ok = fds[1] >= 0;
    if (ok && copy_to_user(fds_va, fds, sizeof(fds)))
        return 0;
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0)
            current->file[fds[i]] = NULL;
    }
    file_release(r);
    file_release(w);
    return ok ? E_FAULT : E_MFILE;
}

static int pipe_read(struct pipe *p, uint32_t va, uint32_t n)
{
    uint32_t i = 0;
    while (p->read == p->written) {
        if (!p->writers)
            return 0;
        if (current->killed)
            return E_INVAL;
        sleep_on(p);
    }
    for (; i < n && p->read != p->written; i++) {
        if (!copy_to_user(va + i, &p->data[p->read % PIPE_SIZE], 1))
            return i ? (int)i : E_FAULT;
        p->read++;
    }
    wakeup(p);
    return (int)i;
}

static int pipe_write(struct pipe *p, uint32_t va, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        while (p->written - p->read == PIPE_SIZE && p->readers) {
            if (current->killed)
                return E_INVAL;
            wakeup(p);
            sleep_on(p);
        }
        if (!p->readers)
            return E_PIPE;
        if (!copy_from_user(&p->data[p->written % PIPE_SIZE], va + i, 1))
            return i ? (int)i : E_FAULT;
        p->written++;
    }
    wakeup(p);
    return (int)n;
}

#define CHUNK 128

static int console_in(uint32_t va, uint32_t n)
{
    char buf[CHUNK];
    const int got = console_read(buf, n < CHUNK ? n : CHUNK);
    return got > 0 && !copy_to_user(va, buf, (uint32_t)got) ? E_FAULT : got;
}

static int console_out(uint32_t va, uint32_t n)
{
    char buf[CHUNK];
    for (uint32_t done = 0; done < n;) {
        const uint32_t part = n - done < CHUNK ? n - done : CHUNK;
        if (!copy_from_user(buf, va + done, part))
            return done ? (int)done : E_FAULT;
        console_write(buf, part);
        done += part;
    }
    return (int)n;
}

static int archive_read(struct file *f, uint32_t va, uint32_t n)
{
    const uint32_t left = (uint32_t)(f->entry->end - f->entry->start) - f->offset;
    if (n > left)
        n = left;
    if (!copy_to_user(va, f->entry->start + f->offset, n))
        return E_FAULT;
    f->offset += n;
    return (int)n;
}

int file_read(int fd, uint32_t va, uint32_t n)
{
    struct file *f = get(fd);
    if (n > INT32_MAX)
        return E_INVAL;
    switch (f ? f->kind : CLOSED) {
    case CONSOLE:
        return n ? console_in(va, n) : 0;
    case PIPE_READ:
        return n ? pipe_read(f->pipe, va, n) : 0;
    case ARCHIVE:
        return archive_read(f, va, n);
    default:
        return E_BADF;
    }
}

int file_write(int fd, uint32_t va, uint32_t n)
{
    struct file *f = get(fd);
    if (n > INT32_MAX)
        return E_INVAL;
    switch (f ? f->kind : CLOSED) {
    case CONSOLE:
        return console_out(va, n);
    case PIPE_WRITE:
        return pipe_write(f->pipe, va, n);
    default:
        return E_BADF;
    }
}

int file_close(int fd)
{
    struct file *f = get(fd);
    if (!f)
        return E_BADF;
    current->file[fd] = NULL;
    file_release(f);
    return 0;
}

int file_dup(int fd)
{
    struct file *f = get(fd);
    if (!f)
        return E_BADF;
    const int copy = install(f);
    if (copy >= 0)
        file_share(f);
    return copy;
}
