/* The system calls: check the arguments, call the part that does the work. */
#include "kernel.h"
#include "hvmode.h"
#include "mark.h"
#include "sensitive.h"

#define A1 ((tf)->ebx)
#define A2 ((tf)->ecx)
#define A3 ((tf)->edx)

static int sys_exit(struct trap_frame *tf)
{
    process_exit((int)A1);
}

static int sys_fork(struct trap_frame *tf)
{
    (void)tf;
    return process_fork();
}

static int path_from_user(char path[PATH_MAX], uint32_t va)
{
    uint32_t n = 0;
    do {
        if (!copy_from_user(&path[n], va + n, 1))
            return E_FAULT;
    } while (path[n] && ++n < PATH_MAX);
    return n < PATH_MAX ? 0 : E_NAME;
}

/* The strings of argv[], in one page of the kernel. */
static int arguments(uint32_t argv_va, char *strings, char *argv[ARGS_MAX])
{
    uint32_t used = 0;
    for (int argc = 0;; argc++) {
        uint32_t va;
        if (!copy_from_user(&va, argv_va + (uint32_t)argc * 4, 4))
            return E_FAULT;
        if (!va)
            return argc;
        if (argc == ARGS_MAX)
            return E_MFILE;
        argv[argc] = strings + used;
        do {
            if (used == ARG_BYTES_MAX)
                return E_MFILE;
            if (!copy_from_user(&strings[used], va++, 1))
                return E_FAULT;
        } while (strings[used++]);
    }
}

/* All strings are copied before the old space goes. */
static int sys_exec(struct trap_frame *tf)
{
    char path[PATH_MAX], *argv[ARGS_MAX], *strings = page_alloc();
    if (!strings)
        return E_NOMEM;
    int result = path_from_user(path, A1);
    if (!result)
        result = arguments(A2, strings, argv);
    if (result >= 0)
        result = process_exec(path, argv, result);
    page_free(strings);
    return result ? result : (int)tf->eax;
}

static int sys_wait(struct trap_frame *tf)
{
    return process_wait(A1);
}

static int sys_kill(struct trap_frame *tf)
{
    return process_kill((int)A1);
}

static int sys_yield(struct trap_frame *tf)
{
    (void)tf;
    yield();
    return 0;
}

static int sys_getpid(struct trap_frame *tf)
{
    (void)tf;
    return current->pid;
}

static int sys_group(struct trap_frame *tf)
{
    return A2 > INT32_MAX ? E_INVAL : process_group((int)A1, (int)A2);
}

static int sys_foreground(struct trap_frame *tf)
{
    if (A1 > INT32_MAX)
        return E_INVAL;
    console_group = (int)A1;
    return 0;
}

static int sys_sleep(struct trap_frame *tf)
{
    if (A1 > INT32_MAX)
        return E_INVAL;
    current->wake_tick = ticks + A1;
    while ((int32_t)(ticks - current->wake_tick) < 0) {
        if (current->killed)
            return E_INTR;
        sleep_on(&current->wake_tick);
    }
    return 0;
}

static int sys_sbrk(struct trap_frame *tf)
{
    return process_grow((int32_t)A1);
}

static int sys_onfault(struct trap_frame *tf)
{
    if (A1 >= KERNEL_BASE)
        return E_FAULT;
    current->fault_handler = A1;
    return 0;
}

static int sys_resume(struct trap_frame *tf)
{
    return process_resume(tf, A1);
}

static int sys_pipe(struct trap_frame *tf)
{
    return file_pipe(A1);
}

static int sys_open(struct trap_frame *tf)
{
    char path[PATH_MAX];
    const int error = path_from_user(path, A1);
    return error ? error : file_open(path, (int)A2);
}

static int sys_read(struct trap_frame *tf)
{
    return file_read((int)A1, A2, A3);
}

static int sys_write(struct trap_frame *tf)
{
    return file_write((int)A1, A2, A3);
}

static int sys_seek(struct trap_frame *tf)
{
    return file_seek((int)A1, A2);
}

static int sys_close(struct trap_frame *tf)
{
    return file_close((int)A1);
}

static int sys_dup(struct trap_frame *tf)
{
    return file_dup((int)A1);
}

static int sys_fstat(struct trap_frame *tf)
{
    return file_stat((int)A1, A2);
}

static int sys_stat(struct trap_frame *tf)
{
    char path[PATH_MAX];
    struct stat out;
    struct inode *ip;
    int error = path_from_user(path, A1);
    if (error)
        return error;
    fs_begin();
    error = path_inode(path, &ip);
    if (!error) {
        inode_stat(ip, &out);
        inode_put(ip);
    }
    error = fs_end(error);
    return error ? error : copy_to_user(A2, &out, sizeof(out)) ? 0 : E_FAULT;
}

static int sys_mkdir(struct trap_frame *tf)
{
    char path[PATH_MAX];
    struct inode *ip;
    int error = path_from_user(path, A1);
    if (error)
        return error;
    fs_begin();
    error = path_create(path, FS_DIRECTORY, &ip);
    if (!error)
        inode_put(ip);
    return fs_end(error);
}

static int sys_chdir(struct trap_frame *tf)
{
    char path[PATH_MAX];
    struct inode *ip;
    int error = path_from_user(path, A1);
    if (error)
        return error;
    fs_begin();
    error = path_inode(path, &ip);
    if (!error) {
        struct inode *unwanted = ip;
        if (ip->d.type == FS_DIRECTORY) {
            unwanted = current->directory;
            current->directory = ip;
        } else {
            error = E_NOTDIR;
        }
        inode_put(unwanted);
    }
    return fs_end(error);
}

static int sys_link(struct trap_frame *tf)
{
    char from[PATH_MAX], to[PATH_MAX];
    int error = path_from_user(from, A1);
    if (!error)
        error = path_from_user(to, A2);
    if (error)
        return error;
    fs_begin();
    return fs_end(path_link(from, to));
}

static int sys_unlink(struct trap_frame *tf)
{
    char path[PATH_MAX];
    const int error = path_from_user(path, A1);
    if (error)
        return error;
    fs_begin();
    return fs_end(path_unlink(path));
}

static int sys_sync(struct trap_frame *tf)
{
    (void)tf;
    fs_begin();
    block_commit();
    return fs_end(0);
}

static int sys_uptime(struct trap_frame *tf)
{
    (void)tf;
    return (int)ticks;
}

/* procinfo(index, out): slot number index of the table; E_NOENT behind the last. */
static int sys_procinfo(struct trap_frame *tf)
{
    static const char *const states[] = {"unused", "new", "ready", "running", "sleeping", "zombie"};
    struct procinfo info;
    if (A1 >= PROCESSES)
        return E_NOENT;
    const struct process *p = &processes[A1];
    memset(&info, 0, sizeof(info));
    if (p->state != UNUSED) {
        info.pid = p->pid;
        info.parent = p->parent ? p->parent->pid : 0;
        info.group = p->group;
        info.pages = space_pages(p->space);
        copy_name(info.name, p->name);
        memcpy(info.state, states[p->state], strlen(states[p->state]));
    }
    return copy_to_user(A2, &info, sizeof(info)) ? 0 : E_FAULT;
}

static int sys_date(struct trap_frame *tf)
{
    struct date date;
    clock_date(&date);
    return copy_to_user(A1, &date, sizeof(date)) ? 0 : E_FAULT;
}

static int sys_sysinfo(struct trap_frame *tf)
{
    struct sysinfo info = {.total_pages = memory_total_pages(),
                           .free_pages = memory_free_pages(),
                           .tsc_khz = clock_tsc_khz(),
                           .idle_time = idle_time};
    for (const struct process *p = processes; p < processes + PROCESSES; p++)
        info.processes += p->state != UNUSED;
    file_info(&info);
    inode_info(&info);
    return copy_to_user(A1, &info, sizeof(info)) ? 0 : E_FAULT;
}

static int sys_hvinfo(struct trap_frame *tf)
{
    struct hvinfo info;
    virt_probe(&info);
    return copy_to_user(A1, &info, sizeof(info)) ? 0 : E_FAULT;
}

/* Without a VMM that knows the port: E_NOENT. */
static int sys_hvmode(struct trap_frame *tf)
{
    if (A1 & ~(uint32_t)HVMODE_ASKED)
        return E_INVAL;
    if (A1)
        port_out32(HVMODE_PORT, A1);
    const uint32_t answer = port_in32(HVMODE_PORT);
    return answer == UINT32_MAX ? E_NOENT : (int)answer;
}

static int sys_mark(struct trap_frame *tf)
{
    port_out32(MARK_PORT, A1);
    return 0;
}

static int sys_kbench(struct trap_frame *tf)
{
    return kernel_bench(A1, A2, A3);
}

static int sys_poweroff(struct trap_frame *tf)
{
    if (A1 > 127)
        return E_INVAL;
    sys_sync(tf);
    power_off((int)A1);
}

void syscall(struct trap_frame *tf)
{
    static int (*const calls[SYS_COUNT])(struct trap_frame *) = {
#define X(NAME, name) [SYS_##NAME] = sys_##name,
        SYSCALLS(X)
#undef X
    };
    const uint32_t number = tf->eax;
    tf->eax = number < SYS_COUNT ? (uint32_t)calls[number](tf) : (uint32_t)E_INVAL;
}
