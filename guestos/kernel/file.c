/* What descriptors name: the console, pipes, files and directories of the disk. */
#include "kernel.h"
#include "sensitive.h"

#define PIPE_SIZE 512u
#define OPEN_FILES 128
#define PIPES 32

enum kind { CLOSED, CONSOLE, PIPE_READ, PIPE_WRITE, DISK };

struct pipe {
    bool used;
    char data[PIPE_SIZE];
    uint32_t read, written; /* bytes so far */
    int readers, writers;
};

struct file {
    enum kind kind;
    int references, flags; /* flags: of OPEN */
    struct pipe *pipe;
    struct inode *inode;
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
    if (f->inode) {
        fs_begin();
        inode_put(f->inode);
        fs_end(0);
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

/* The inode of a path for these flags, made and emptied as they say. */
static int open_inode(const char *path, int flags, struct inode **out)
{
    int error = path_inode(path, out);
    if (error == E_NOENT && (flags & O_CREATE))
        return path_create(path, FS_FILE, out);
    if (error)
        return error;
    if ((*out)->d.type == FS_DIRECTORY && (flags & ~O_READ))
        error = E_ISDIR;
    else if (flags & O_TRUNCATE)
        inode_truncate(*out);
    if (error) {
        inode_put(*out);
        *out = NULL;
    }
    return error;
}

int file_open(const char *path, int flags)
{
    const int known = O_READ | O_WRITE | O_CREATE | O_TRUNCATE | O_APPEND;
    if ((flags & ~known) || !(flags & (O_READ | O_WRITE)) ||
        ((flags & (O_TRUNCATE | O_APPEND)) && !(flags & O_WRITE)))
        return E_INVAL;
    struct file *f = new_file(DISK);
    if (!f)
        return E_MFILE;
    const int fd = install(f);
    if (fd < 0) {
        f->kind = CLOSED;
        return fd;
    }
    f->flags = flags;
    fs_begin();
    f->inode = NULL;
    int error = open_inode(path, flags, &f->inode);
    if (fs_failed() && f->inode)
        inode_put(f->inode);
    error = fs_end(error);
    if (error) {
        current->file[fd] = NULL;
        f->kind = CLOSED;
        return error;
    }
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

/* How many bytes from position `at` of the ring on lie together. */
static uint32_t together(uint32_t at, uint32_t n)
{
    const uint32_t room = PIPE_SIZE - at % PIPE_SIZE;
    return n < room ? n : room;
}

static int pipe_read(struct pipe *p, uint32_t va, uint32_t n)
{
    uint32_t done = 0;
    while (p->read == p->written) {
        if (!p->writers)
            return 0;
        if (current->killed)
            return E_INTR;
        sleep_on(p);
    }
    if (n > p->written - p->read)
        n = p->written - p->read;
    while (done < n) {
        const uint32_t part = together(p->read, n - done);
        if (!copy_to_user(va + done, &p->data[p->read % PIPE_SIZE], part))
            break;
        p->read += part;
        done += part;
    }
    wakeup(p);
    return done ? (int)done : E_FAULT;
}

static int pipe_write(struct pipe *p, uint32_t va, uint32_t n)
{
    uint32_t done = 0;
    int error = 0;
    while (done < n && !error) {
        const uint32_t room = PIPE_SIZE - (p->written - p->read);
        const uint32_t part = together(p->written, n - done < room ? n - done : room);
        if (!p->readers) {
            error = E_PIPE;
        } else if (!part) { /* no wakeup() here: two writers would wake each other for ever */
            sleep_on(p);
            error = current->killed ? E_INTR : 0;
        } else if (!copy_from_user(&p->data[p->written % PIPE_SIZE], va + done, part)) {
            error = E_FAULT;
        } else {
            p->written += part;
            done += part;
            wakeup(p);
        }
    }
    return done && error != E_PIPE ? (int)done : error;
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
        if (done == n)
            break;
        cpu_sti(); /* the console is slow: let the others live */
        cpu_cli();
        yield();
        if (current->killed)
            return (int)done;
    }
    return (int)n;
}

static int disk_in(struct file *f, uint32_t va, uint32_t n)
{
    fs_begin();
    const int got = inode_read(f->inode, f->offset, n, copy_to_user, va);
    if (got > 0)
        f->offset += (uint32_t)got;
    return fs_end(got);
}

/* A long write is several operations of the file system, with room in the log for each. */
static int disk_out(struct file *f, uint32_t va, uint32_t n)
{
    uint32_t done = 0;
    int got = 0;
    while (done < n && !current->killed) {
        const uint32_t part = n - done < WRITE_MAX ? n - done : WRITE_MAX;
        fs_begin();
        if (f->flags & O_APPEND)
            f->offset = f->inode->d.size;
        got = inode_write(f->inode, f->offset, part, copy_from_user, va + done);
        if (got > 0)
            f->offset += (uint32_t)got;
        got = fs_end(got);
        if (got > 0)
            done += (uint32_t)got;
        if (got != (int)part)
            break;
    }
    return done ? (int)done : got;
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
    case DISK:
        return f->flags & O_READ ? disk_in(f, va, n) : E_BADF;
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
    case DISK:
        return f->flags & O_WRITE ? disk_out(f, va, n) : E_BADF;
    default:
        return E_BADF;
    }
}

int file_seek(int fd, uint32_t offset)
{
    struct file *f = get(fd);
    if (!f || f->kind != DISK)
        return E_BADF;
    if (offset > FS_FILE_BLOCKS * FS_BLOCK)
        return E_INVAL;
    f->offset = offset;
    return (int)offset;
}

int file_stat(int fd, uint32_t stat_va)
{
    struct file *f = get(fd);
    struct stat out = {0};
    if (!f)
        return E_BADF;
    if (f->inode)
        inode_stat(f->inode, &out);
    return copy_to_user(stat_va, &out, sizeof(out)) ? 0 : E_FAULT;
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

void file_info(struct sysinfo *info)
{
    for (const struct file *f = files; f < files + OPEN_FILES; f++)
        info->open_files += f->kind != CLOSED;
    for (const struct pipe *p = pipes; p < pipes + PIPES; p++)
        info->pipes += p->used;
}
