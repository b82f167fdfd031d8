/* What the files of usertests share. Each test runs in a process of its own, in an empty directory.
 */
#ifndef USERTESTS_H
#define USERTESTS_H

#include "fs_format.h"
#include "lib.h"

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))

struct test {
    const char *name;
    void (*run)(void);
    bool slow; /* fills the disk, the memory or a table: not for a quick pass */
};

/* Each ends with an entry without a name. */
extern const struct test process_tests[], memory_tests[], file_tests[], big_file_tests[],
    path_tests[], directory_tests[], concurrent_tests[], pipe_tests[], exec_tests[],
    exception_tests[], handler_tests[], resume_tests[], pointer_tests[], hostile_tests[],
    system_tests[];

/* A failed check ends its process with the check's address as the status: every process of a test
 * is a copy of usertests, so the address means the same to all of them. */
struct check {
    uint32_t magic;
    const char *text, *file;
    int line;
};
#define CHECK_MAGIC 0x43484543u

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        static const struct check failed_here = {CHECK_MAGIC, #condition, __FILE__, __LINE__};     \
        if (!(condition))                                                                          \
            exit((int)&failed_here);                                                               \
    } while (0)

const struct check *failed_check(int status); /* NULL: this status tells of none */

/* A child that runs body(arg), and exits with 0 when that returns. */
int spawn(void (*body)(int), int arg);
/* Wait for that child. When a check failed in it, this process ends the same way. */
int status_of(int pid);
int run(void (*body)(int), int arg); /* both */
/* The statuses of n children that run body(0) to body(n - 1) at the same time. */
void run_together(void (*body)(int), int n, int status[]);
#define TOGETHER_MAX 8
/* The child dies by what body does; its status. */
int death(void (*body)(void));

/* Entry of a process; false: there is none. And wait until it sleeps. */
bool find_process(int pid, struct procinfo *out);
void until_asleep(int pid);
/* All processes of a group are killed; usertests leaves no process behind. */
void kill_group(int group);

struct sysinfo system_now(void);

/* Files. Contents are a pattern that tells its own offset. */
uint8_t pattern(uint32_t offset);
void make_file(const char *path, uint32_t size);
bool has_pattern(const char *path, uint32_t size);
int read_at(int fd, uint32_t offset, void *buf, uint32_t n);
int write_at(int fd, uint32_t offset, const void *buf, uint32_t n);
uint32_t size_of(const char *path);
/* Number of entries besides "." and "..". */
int entries_of(const char *path);
/* Remove a file, or a directory with all that is in it. */
int remove_tree(const char *path);
int free_descriptors(void);
/* "a" and number 7 give "a7". */
char *name_of(char *to, const char *prefix, uint32_t n);

/* Vectors of exceptions. */
enum vector {
    DE = 0,
    DB = 1,
    BP = 3,
    OF = 4,
    BR = 5,
    UD = 6,
    NM = 7,
    TS = 10,
    SS = 12,
    GP = 13,
    PF = 14,
    AC = 17
};

/* Addresses that no program may use. */
#define KERNEL_ADDRESS 0xC0100000u
#define UNMAPPED 0x30000000u
#define STACK_TOP 0xBFFFF000u /* the first byte behind the stack */
#define TEXT_ADDRESS 0x00400000u
#define PAGE 4096u

/* Lengthen the heap by a page; a pointer to its last n bytes, behind which there is nothing. */
char *last_bytes(uint32_t n);

#endif
