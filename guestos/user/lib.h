/* The programs' library: system calls, strings, formatted output. */
#ifndef MINNOW_LIB_H
#define MINNOW_LIB_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "syscall.h"

/* Any system call, also with numbers and arguments that make no sense. */
static inline int system_call(uint32_t number, uint32_t a, uint32_t b, uint32_t c)
{
    int result;
    __asm__ volatile("int %1"
                     : "=a"(result)
                     : "i"(SYSCALL_VECTOR), "a"(number), "b"(a), "c"(b), "d"(c)
                     : "memory");
    return result;
}

void exit(int status) __attribute__((noreturn));
int fork(void);
/* A name without '/' is looked for in /bin. */
int exec(const char *name, char *const argv[]);
int wait(int *status);
int kill(int pid);
int yield(void);
int getpid(void);
int group(int pid, int group);
int foreground(int group);
int sleep(unsigned centiseconds);
void *sbrk(int delta); /* (void *)-4 (E_NOMEM) on failure: see sbrk_failed */
bool sbrk_failed(const void *p);
/* Exceptions of this process go to handler from now on (NULL: they kill again); see struct fault.
 * When handler returns, the program goes on with the state in *fault. */
int on_fault(void (*handler)(struct fault *fault));
int pipe(int fds[2]);
int open(const char *path, int flags);
int read(int fd, void *buf, uint32_t n);
int write(int fd, const void *buf, uint32_t n);
int seek(int fd, uint32_t offset);
int close(int fd);
int dup(int fd);
int fstat(int fd, struct stat *out);
int stat(const char *path, struct stat *out);
int mkdir(const char *path);
int chdir(const char *path);
int link(const char *from, const char *to);
int unlink(const char *path);
int sync(void);
unsigned uptime(void);
int date(struct date *out);
int sysinfo(struct sysinfo *out);
/* What an E_ number means, in words. */
const char *error_text(int error);

void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
/* Decimal or 0x number; *ok tells whether all of s was one. */
uint32_t number(const char *s, bool *ok);

/* %d %u %x %s %c with width, '-' and '0'. printf goes to descriptor 1. */
void printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void dprintf(int fd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline uint64_t rdtsc(void)
{
    uint64_t t;
    __asm__ volatile("rdtsc" : "=A"(t));
    return t;
}

int main(int argc, char **argv);

#endif
