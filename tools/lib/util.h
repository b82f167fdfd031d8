/* Small helpers of the host programs: strings, files, errors. Allocation failure ends the program.
 */
#ifndef TOOLS_UTIL_H
#define TOOLS_UTIL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit status of every tool for wrong usage. */
#define STATUS_USAGE 2

/* Print "PROGRAM: message" on stderr and exit with `status`. */
void die(int status, const char *fmt, ...) __attribute__((noreturn, format(printf, 2, 3)));

/* printf into fresh memory; the caller frees. */
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *xvasprintf(const char *fmt, va_list ap);
void *xrealloc(void *p, size_t size);

/* A string that grows. text is never NULL after the first append and always ends with a NUL. */
struct text {
    char *text;
    size_t len, room;
};
void text_add(struct text *t, const char *bytes, size_t n);
void text_printf(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void text_free(struct text *t);

/* The whole file in fresh memory with a NUL after it; NULL (errno set) when it cannot be read. */
char *read_file(const char *path, size_t *size);

/* Write a file; dies when it cannot. */
void write_file(const char *path, const void *bytes, size_t size);

/* Make a directory and those above it; dies when it cannot. */
void make_dirs(const char *path);

/* Remove a directory and all in it; silent when it is not there. */
void remove_tree(const char *path);

/* FNV-1a, 64 bits, of bytes, continued from h. Start with FNV_START. */
#define FNV_START 0xcbf29ce484222325ull
uint64_t fnv1a(uint64_t h, const void *bytes, size_t size);

/* Seconds on a clock that never jumps. */
double now_s(void);

#endif
