/* The programs' library; see lib.h. */
#include "lib.h"

void exit(int status)
{
    for (;;)
        system_call(SYS_EXIT, (uint32_t)status, 0, 0);
}

int fork(void)
{
    return system_call(SYS_FORK, 0, 0, 0);
}

int exec(const char *name, char *const argv[])
{
    char path[PATH_MAX] = "/bin/";
    const char *slash = name;
    while (*slash && *slash != '/')
        slash++;
    const uint32_t n = (uint32_t)(slash - name);
    if (*slash || !n || n + 6 > sizeof(path))
        return system_call(SYS_EXEC, (uint32_t)name, (uint32_t)argv, 0);
    memcpy(path + 5, name, n + 1);
    return system_call(SYS_EXEC, (uint32_t)path, (uint32_t)argv, 0);
}

int wait(int *status)
{
    return system_call(SYS_WAIT, (uint32_t)status, 0, 0);
}

int kill(int pid)
{
    return system_call(SYS_KILL, (uint32_t)pid, 0, 0);
}

int yield(void)
{
    return system_call(SYS_YIELD, 0, 0, 0);
}

int getpid(void)
{
    return system_call(SYS_GETPID, 0, 0, 0);
}

int group(int pid, int group_)
{
    return system_call(SYS_GROUP, (uint32_t)pid, (uint32_t)group_, 0);
}

int foreground(int group_)
{
    return system_call(SYS_FOREGROUND, (uint32_t)group_, 0, 0);
}

int sleep(unsigned centiseconds)
{
    return system_call(SYS_SLEEP, centiseconds, 0, 0);
}

void *sbrk(int delta)
{
    return (void *)system_call(SYS_SBRK, (uint32_t)delta, 0, 0);
}

bool sbrk_failed(const void *p)
{
    return (int)p == E_NOMEM;
}

static void (*fault_handler)(struct fault *fault);

/* The kernel enters here, with one argument and no return address worth anything. */
static void handle_fault(struct fault *fault)
{
    fault_handler(fault);
    system_call(SYS_RESUME, (uint32_t)fault, 0, 0);
    exit(127); /* the handler has put nonsense into *fault */
}

int on_fault(void (*handler)(struct fault *fault))
{
    fault_handler = handler;
    return system_call(SYS_ONFAULT, handler ? (uint32_t)handle_fault : 0, 0, 0);
}

int pipe(int fds[2])
{
    return system_call(SYS_PIPE, (uint32_t)fds, 0, 0);
}

int open(const char *path, int flags)
{
    return system_call(SYS_OPEN, (uint32_t)path, (uint32_t)flags, 0);
}

int read(int fd, void *buf, uint32_t n)
{
    return system_call(SYS_READ, (uint32_t)fd, (uint32_t)buf, n);
}

int write(int fd, const void *buf, uint32_t n)
{
    return system_call(SYS_WRITE, (uint32_t)fd, (uint32_t)buf, n);
}

int seek(int fd, uint32_t offset)
{
    return system_call(SYS_SEEK, (uint32_t)fd, offset, 0);
}

int close(int fd)
{
    return system_call(SYS_CLOSE, (uint32_t)fd, 0, 0);
}

int dup(int fd)
{
    return system_call(SYS_DUP, (uint32_t)fd, 0, 0);
}

int fstat(int fd, struct stat *out)
{
    return system_call(SYS_FSTAT, (uint32_t)fd, (uint32_t)out, 0);
}

int stat(const char *path, struct stat *out)
{
    return system_call(SYS_STAT, (uint32_t)path, (uint32_t)out, 0);
}

int mkdir(const char *path)
{
    return system_call(SYS_MKDIR, (uint32_t)path, 0, 0);
}

int chdir(const char *path)
{
    return system_call(SYS_CHDIR, (uint32_t)path, 0, 0);
}

int link(const char *from, const char *to)
{
    return system_call(SYS_LINK, (uint32_t)from, (uint32_t)to, 0);
}

int unlink(const char *path)
{
    return system_call(SYS_UNLINK, (uint32_t)path, 0, 0);
}

int sync(void)
{
    return system_call(SYS_SYNC, 0, 0, 0);
}

unsigned uptime(void)
{
    return (unsigned)system_call(SYS_UPTIME, 0, 0, 0);
}

int date(struct date *out)
{
    return system_call(SYS_DATE, (uint32_t)out, 0, 0);
}

int sysinfo(struct sysinfo *out)
{
    return system_call(SYS_SYSINFO, (uint32_t)out, 0, 0);
}

const char *error_text(int error)
{
    static const char *const texts[] = {
        "no error",
        "bad argument",
        "bad address",
        "no such file, process or entry",
        "out of memory",
        "bad descriptor",
        "too many open files, processes or arguments",
        "no child",
        "nobody reads the pipe",
        "not an executable",
        "exists already",
        "not a directory",
        "is a directory",
        "directory not empty",
        "disk full",
        "file too large",
        "name too long",
        "disk error",
        "too many links",
        "killed",
    };
    const uint32_t i = (uint32_t)-error;
    return i < sizeof(texts) / sizeof(texts[0]) ? texts[i] : "unknown error";
}

void *memcpy(void *to, const void *from, size_t n)
{
    void *start = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    return start;
}

void *memset(void *to, int byte, size_t n)
{
    void *start = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(byte) : "memory");
    return start;
}

size_t strlen(const char *s)
{
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return (uint8_t)*a - (uint8_t)*b;
}

uint32_t number(const char *s, bool *ok)
{
    uint32_t v = 0, base = 10;
    if (s[0] == '0' && s[1] == 'x') {
        base = 16;
        s += 2;
    }
    *ok = *s;
    for (; *s; s++) {
        const uint32_t digit = *s >= 'a' ? (uint32_t)(*s - 'a') + 10 : (uint32_t)(*s - '0');
        if (digit >= base)
            *ok = false;
        v = v * base + digit;
    }
    return v;
}

struct out {
    int fd;
    uint32_t n;
    char buf[128];
};

static void put(struct out *o, char c)
{
    if (o->n == sizeof(o->buf)) {
        write(o->fd, o->buf, o->n);
        o->n = 0;
    }
    o->buf[o->n++] = c;
}

static void put_padded(struct out *o, const char *s, int width, char pad, bool left)
{
    const int n = (int)strlen(s);
    for (int i = n; !left && i < width; i++)
        put(o, pad);
    for (int i = 0; i < n; i++)
        put(o, s[i]);
    for (int i = n; left && i < width; i++)
        put(o, ' ');
}

static char *digits(char *end, uint32_t v, unsigned base)
{
    *--end = 0;
    do {
        *--end = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    return end;
}

static void vprint(int fd, const char *fmt, va_list ap)
{
    struct out o = {.fd = fd};
    char text[16], *end = text + sizeof(text), *s;
    for (; *fmt; fmt++) {
        if (*fmt != '%') {
            put(&o, *fmt);
            continue;
        }
        bool left = false;
        char pad = ' ';
        int width = 0;
        for (fmt++; *fmt == '-' || *fmt == '0'; fmt++) {
            left |= *fmt == '-';
            if (*fmt == '0')
                pad = '0';
        }
        while (*fmt >= '0' && *fmt <= '9')
            width = width * 10 + (*fmt++ - '0');
        switch (*fmt) {
        case 'd': {
            const int v = va_arg(ap, int);
            s = digits(end, v < 0 ? -(uint32_t)v : (uint32_t)v, 10);
            if (v < 0)
                *--s = '-';
            put_padded(&o, s, width, pad, left);
            break;
        }
        case 'u':
        case 'x':
            put_padded(&o, digits(end, va_arg(ap, uint32_t), *fmt == 'u' ? 10 : 16), width, pad,
                       left);
            break;
        case 's':
            put_padded(&o, va_arg(ap, const char *), width, ' ', left);
            break;
        case 'c':
            put(&o, (char)va_arg(ap, int));
            break;
        default:
            put(&o, *fmt);
        }
    }
    write(fd, o.buf, o.n);
}

void printf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vprint(1, fmt, ap);
    va_end(ap);
}

void dprintf(int fd, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vprint(fd, fmt, ap);
    va_end(ap);
}
