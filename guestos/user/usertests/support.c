/* What several tests need. */
#include "usertests.h"

/* Checks are constants, so they lie between the text and the data. */
static volatile uint32_t data_begins;

const struct check *failed_check(int status)
{
    const uint32_t va = (uint32_t)status;
    const struct check *at = (const struct check *)va;
    if (va < TEXT_ADDRESS || va >= (uint32_t)&data_begins || va % 4)
        return NULL;
    return at->magic == CHECK_MAGIC ? at : NULL;
}

int spawn(void (*body)(int), int arg)
{
    const int pid = fork();
    CHECK(pid >= 0);
    if (pid)
        return pid;
    body(arg);
    exit(0);
}

/* Children that ended while somebody waited for another one. */
static struct {
    int pid, status;
} ended[64];

static bool ended_before(int pid, int *status)
{
    for (unsigned i = 0; i < ARRAY(ended); i++) {
        if (ended[i].pid != pid)
            continue;
        *status = ended[i].status;
        ended[i].pid = 0;
        return true;
    }
    return false;
}

static void remember(int pid, int status)
{
    for (unsigned i = 0; i < ARRAY(ended); i++) {
        if (!ended[i].pid) {
            ended[i].pid = pid;
            ended[i].status = status;
            return;
        }
    }
}

int status_of(int pid)
{
    int status = 0;
    while (!ended_before(pid, &status)) {
        const int got = wait(&status);
        CHECK(got > 0);
        if (got == pid)
            break;
        remember(got, status);
    }
    if (failed_check(status))
        exit(status);
    return status;
}

int run(void (*body)(int), int arg)
{
    return status_of(spawn(body, arg));
}

void run_together(void (*body)(int), int n, int status[])
{
    int pid[TOGETHER_MAX];
    CHECK(n <= TOGETHER_MAX);
    for (int i = 0; i < n; i++)
        pid[i] = spawn(body, i);
    for (int i = 0; i < n; i++)
        status[i] = status_of(pid[i]);
}

int death(void (*body)(void))
{
    const int pid = fork();
    CHECK(pid >= 0);
    if (pid)
        return status_of(pid);
    body();
    exit(0);
}

bool find_process(int pid, struct procinfo *out)
{
    for (uint32_t i = 0; system_call(SYS_PROCINFO, i, (uint32_t)out, 0) == 0; i++) {
        if (out->pid == pid)
            return true;
    }
    return false;
}

void until_asleep(int pid)
{
    struct procinfo p;
    do {
        yield();
        CHECK(find_process(pid, &p));
    } while (strcmp(p.state, "sleeping"));
}

void kill_group(int group)
{
    struct procinfo p;
    for (uint32_t i = 0; system_call(SYS_PROCINFO, i, (uint32_t)&p, 0) == 0; i++) {
        if (p.pid && p.group == group && p.pid != getpid())
            kill(p.pid);
    }
}

struct sysinfo system_now(void)
{
    struct sysinfo now;
    memset(&now, 0, sizeof(now));
    sysinfo(&now);
    return now;
}

uint8_t pattern(uint32_t offset)
{
    return (uint8_t)(offset * 7 + offset / 251 + 1);
}

void make_file(const char *path, uint32_t size)
{
    uint8_t buf[1024];
    const int fd = open(path, O_WRITE | O_CREATE | O_TRUNCATE);
    CHECK(fd >= 0);
    for (uint32_t at = 0; at < size;) {
        const uint32_t n = size - at < sizeof(buf) ? size - at : sizeof(buf);
        for (uint32_t i = 0; i < n; i++)
            buf[i] = pattern(at + i);
        CHECK(write(fd, buf, n) == (int)n);
        at += n;
    }
    CHECK(close(fd) == 0);
}

bool has_pattern(const char *path, uint32_t size)
{
    uint8_t buf[1000];
    uint32_t at = 0;
    int n;
    bool same = true;
    const int fd = open(path, O_READ);
    if (fd < 0)
        return false;
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        for (int i = 0; i < n; i++)
            same &= buf[i] == pattern(at + (uint32_t)i);
        at += (uint32_t)n;
    }
    close(fd);
    return same && n == 0 && at == size;
}

int read_at(int fd, uint32_t offset, void *buf, uint32_t n)
{
    const int error = seek(fd, offset);
    return error < 0 ? error : read(fd, buf, n);
}

int write_at(int fd, uint32_t offset, const void *buf, uint32_t n)
{
    const int error = seek(fd, offset);
    return error < 0 ? error : write(fd, buf, n);
}

uint32_t size_of(const char *path)
{
    struct stat s;
    CHECK(stat(path, &s) == 0);
    return s.size;
}

static bool is_dots(const char *name)
{
    return !strcmp(name, ".") || !strcmp(name, "..");
}

int entries_of(const char *path)
{
    struct fs_dirent d;
    int n = 0;
    const int fd = open(path, O_READ);
    if (fd < 0)
        return fd;
    while (read(fd, &d, sizeof(d)) == sizeof(d))
        n += d.inode && !is_dots(d.name);
    close(fd);
    return n;
}

/* The first entry besides "." and ".."; false: there is none. */
static bool first_entry(const char *path, struct fs_dirent *d)
{
    bool found = false;
    const int fd = open(path, O_READ);
    while (fd >= 0 && !found && read(fd, d, sizeof(*d)) == sizeof(*d))
        found = d->inode && !is_dots(d->name);
    close(fd);
    return found;
}

/* path lies in a buffer of PATH_MAX bytes, in which names are put behind it. */
static int remove_below(char *path)
{
    struct fs_dirent d;
    int error;
    const size_t n = strlen(path);
    while ((error = unlink(path)) == E_NOTEMPTY && first_entry(path, &d)) {
        if (n + 1 + strlen(d.name) >= PATH_MAX)
            return E_NAME;
        path[n] = '/';
        memcpy(path + n + 1, d.name, strlen(d.name) + 1);
        error = remove_below(path);
        path[n] = 0;
        if (error)
            break;
    }
    return error;
}

int remove_tree(const char *path)
{
    char buf[PATH_MAX];
    memcpy(buf, path, strlen(path) + 1);
    return remove_below(buf);
}

int free_descriptors(void)
{
    int fd[FILES + 1], n = 0;
    while (n <= FILES && (fd[n] = dup(0)) >= 0)
        n++;
    for (int i = 0; i < n; i++)
        close(fd[i]);
    return n;
}

char *name_of(char *to, const char *prefix, uint32_t n)
{
    char digits[12], *d = digits + sizeof(digits) - 1;
    const size_t length = strlen(prefix);
    *d = 0;
    do {
        *--d = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    memcpy(to, prefix, length);
    memcpy(to + length, d, strlen(d) + 1);
    return to;
}

char *last_bytes(uint32_t n)
{
    char *page = sbrk(PAGE);
    CHECK(!sbrk_failed(page));
    CHECK((uint32_t)page % PAGE == 0);
    return page + PAGE - n;
}
