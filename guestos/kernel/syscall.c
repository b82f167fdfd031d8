/* The system calls: check the arguments, call the part that does the work. */
#include "kernel.h"
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

/* exec(name, argv): all strings are copied before the old space goes. */
static int sys_exec(struct trap_frame *tf)
{
    static char strings[ARG_BYTES_MAX]; /* the kernel is not preempted */
    char name[NAME_MAX + 1], *argv[ARGS_MAX];
    uint32_t used = 0;
    int argc = 0;
    if (!string_from_user(name, A1, sizeof(name)))
        return E_FAULT;
    for (;; argc++) {
        uint32_t va;
        if (!copy_from_user(&va, A2 + (uint32_t)argc * 4, 4))
            return E_FAULT;
        if (!va)
            break;
        if (argc == ARGS_MAX)
            return E_MFILE;
        argv[argc] = strings + used;
        if (!string_from_user(argv[argc], va, ARG_BYTES_MAX - used))
            return E_FAULT;
        used += (uint32_t)strlen(argv[argc]) + 1;
    }
    const int error = process_exec(name, argv, argc);
    return error ? error : (int)tf->eax;
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

static int sys_sleep(struct trap_frame *tf)
{
    if (A1 > INT32_MAX)
        return E_INVAL;
    current->wake_tick = ticks + A1;
    while ((int32_t)(ticks - current->wake_tick) < 0) {
        if (current->killed)
            return E_INVAL;
        sleep_on(&current->wake_tick);
    }
    return 0;
}

static int sys_sbrk(struct trap_frame *tf)
{
    return process_grow((int32_t)A1);
}

static int sys_pipe(struct trap_frame *tf)
{
    return file_pipe(A1);
}

static int sys_open(struct trap_frame *tf)
{
    char name[NAME_MAX + 1];
    return string_from_user(name, A1, sizeof(name)) ? file_open(name) : E_FAULT;
}

static int sys_read(struct trap_frame *tf)
{
    return file_read((int)A1, A2, A3);
}

static int sys_write(struct trap_frame *tf)
{
    return file_write((int)A1, A2, A3);
}

static int sys_close(struct trap_frame *tf)
{
    return file_close((int)A1);
}

static int sys_dup(struct trap_frame *tf)
{
    return file_dup((int)A1);
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
        info.pages = space_pages(p->space);
        copy_name(info.name, p->name);
        memcpy(info.state, states[p->state], strlen(states[p->state]));
    }
    return copy_to_user(A2, &info, sizeof(info)) ? 0 : E_FAULT;
}

static int sys_meminfo(struct trap_frame *tf)
{
    const struct meminfo info = {memory_total_pages(), memory_free_pages()};
    return copy_to_user(A1, &info, sizeof(info)) ? 0 : E_FAULT;
}

static int sys_dirent(struct trap_frame *tf)
{
    struct dirent entry;
    if (A1 >= archive_count)
        return E_NOENT;
    memset(&entry, 0, sizeof(entry));
    copy_name(entry.name, archive[A1].name);
    entry.size = (uint32_t)(archive[A1].end - archive[A1].start);
    return copy_to_user(A2, &entry, sizeof(entry)) ? 0 : E_FAULT;
}

static int sys_hvinfo(struct trap_frame *tf)
{
    struct hvinfo info;
    virt_probe(&info);
    return copy_to_user(A1, &info, sizeof(info)) ? 0 : E_FAULT;
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
