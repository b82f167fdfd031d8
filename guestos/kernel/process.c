/* Processes: creation, programs, scheduling, sleep and wake-up, death. */
#include "kernel.h"
#include "sensitive.h"

struct process processes[PROCESSES];
struct process *current;
uint64_t idle_time;
static int next_pid = 1;
static struct process *init_process;

void context_switch(uint32_t *save_esp, uint32_t load_esp);

static int allocate(struct process **out)
{
    for (struct process *p = processes; p < processes + PROCESSES; p++) {
        if (p->state != UNUSED)
            continue;
        memset(p, 0, sizeof(*p));
        p->has_stack = stack_create((unsigned)(p - processes));
        if (!p->has_stack)
            return E_NOMEM;
        p->state = EMBRYO;
        p->pid = p->group = next_pid++;
        *out = p;
        return 0;
    }
    return E_MFILE;
}

static void release(struct process *p)
{
    if (p->has_stack)
        stack_free((unsigned)(p - processes));
    if (p->space)
        space_free(p->space);
    p->has_stack = false;
    p->space = NULL;
    p->state = UNUSED;
}

static uint32_t stack_of(const struct process *p)
{
    return stack_top((unsigned)(p - processes));
}

/* The stack of a process that has never run: as if context_switch() was called at the beginning of
 * `first`, which returns to trap_return and so to user mode. */
static struct trap_frame *fresh_stack(struct process *p, void (*first)(void))
{
    struct trap_frame *tf = (struct trap_frame *)stack_of(p) - 1;
    uint32_t *context = (uint32_t *)tf - 6; /* edi, esi, ebx, ebp, two return addresses */
    context[4] = (uint32_t)first;
    context[5] = (uint32_t)trap_return;
    p->esp = (uint32_t)context;
    return tf;
}

static struct process *next_runnable(void)
{
    const unsigned start = current ? (unsigned)(current - processes) + 1 : 0;
    for (unsigned i = 0; i < PROCESSES; i++) {
        struct process *p = &processes[(start + i) % PROCESSES];
        if (p->state == RUNNABLE)
            return p;
    }
    return NULL;
}

/* Time is idle until an interrupt other than the timer's has something to say. */
static uint64_t idle_since;

void idle_ends(void)
{
    if (idle_since)
        idle_time += rdtsc() - idle_since;
    idle_since = 0;
}

/* Ticks until the first sleeper wants to wake up, at most a second. */
static uint32_t first_wake(void)
{
    int32_t first = TICKS_PER_SECOND;
    for (const struct process *p = processes; p < processes + PROCESSES; p++) {
        const int32_t n = (int32_t)(p->wake_tick - ticks);
        if (p->state == SLEEPING && p->channel == &p->wake_tick && n < first)
            first = n;
    }
    return first > 0 ? (uint32_t)first : 1;
}

/* Nothing to run: wait for interrupts, whose handlers run on this stack, until one wakes somebody
 * up. */
static struct process *idle(void)
{
    struct process *next;
    do {
        if (!idle_since)
            idle_since = rdtsc();
        clock_sleep(first_wake());
        cpu_sti_hlt();
        cpu_cli();
        clock_wake();
        next = next_runnable();
    } while (!next);
    idle_ends();
    return next;
}

/* Give the CPU to the next runnable process; returns when current runs again. */
static void schedule(void)
{
    struct process *old = current, *next = next_runnable();
    if (!next)
        next = idle();
    next->state = RUNNING;
    if (next == old)
        return;
    current = next;
    cpu_set_kernel_stack(stack_of(next));
    if (!old || next->space != old->space)
        space_load(next->space);
    uint32_t nowhere;
    context_switch(old ? &old->esp : &nowhere, next->esp);
}

void yield(void)
{
    current->state = RUNNABLE;
    schedule();
}

void sleep_on(const void *channel)
{
    current->channel = channel;
    current->state = SLEEPING;
    schedule();
    current->channel = NULL;
}

void wakeup(const void *channel)
{
    for (struct process *p = processes; p < processes + PROCESSES; p++) {
        if (p->state == SLEEPING && p->channel == channel)
            p->state = RUNNABLE;
    }
}

/* A sleeper with a wake-up time sleeps on its own wake_tick. */
void wake_sleepers(void)
{
    for (struct process *p = processes; p < processes + PROCESSES; p++) {
        if (p->state == SLEEPING && p->channel == &p->wake_tick &&
            (int32_t)(ticks - p->wake_tick) >= 0)
            p->state = RUNNABLE;
    }
}

static void nothing(void)
{
}

int process_fork(void)
{
    struct process *child;
    const int error = allocate(&child);
    if (error)
        return error;
    child->space = space_copy(current->space);
    if (!child->space) {
        release(child);
        return E_NOMEM;
    }
    child->tf = fresh_stack(child, nothing);
    *child->tf = *current->tf;
    child->tf->eax = 0;
    child->parent = current;
    child->group = current->group;
    child->fault_handler = current->fault_handler;
    child->in_fault = current->in_fault;
    child->directory = inode_share(current->directory);
    child->heap_start = current->heap_start;
    child->heap_end = current->heap_end;
    copy_name(child->name, current->name);
    for (int i = 0; i < FILES; i++)
        child->file[i] = current->file[i] ? file_share(current->file[i]) : NULL;
    child->state = RUNNABLE;
    return child->pid;
}

void process_exit(int status)
{
    if (current == init_process)
        panic("init (%s) exited with status %d", current->name, status);
    for (int i = 0; i < FILES; i++) {
        if (current->file[i])
            file_release(current->file[i]);
        current->file[i] = NULL;
    }
    fs_begin();
    inode_put(current->directory);
    fs_end(0);
    for (struct process *p = processes; p < processes + PROCESSES; p++) {
        if (p->state != UNUSED && p->parent == current) {
            p->parent = init_process;
            if (p->state == ZOMBIE)
                wakeup(init_process);
        }
    }
    current->status = status;
    current->state = ZOMBIE;
    wakeup(current->parent);
    schedule();
    panic("a zombie ran");
}

int process_wait(uint32_t status_va)
{
    for (;;) {
        bool children = false;
        for (struct process *p = processes; p < processes + PROCESSES; p++) {
            if (p->state == UNUSED || p->parent != current)
                continue;
            children = true;
            if (p->state != ZOMBIE)
                continue;
            if (status_va && !copy_to_user(status_va, &p->status, sizeof(p->status)))
                return E_FAULT;
            const int pid = p->pid;
            release(p);
            return pid;
        }
        if (!children)
            return E_CHILD;
        if (current->killed)
            return E_INTR;
        sleep_on(current);
    }
}

/* It dies on its way back to user mode; what it sleeps on notices. */
static void kill(struct process *p)
{
    p->killed = true;
    if (p->state == SLEEPING)
        p->state = RUNNABLE;
}

static bool is_alive(const struct process *p)
{
    return p->state != UNUSED && p->state != EMBRYO && p->state != ZOMBIE;
}

int process_kill(int pid)
{
    for (struct process *p = processes; p < processes + PROCESSES; p++) {
        if (!is_alive(p) || p->pid != pid || p == init_process || !p->space)
            continue;
        kill(p);
        return 0;
    }
    return E_NOENT;
}

void process_kill_group(int group)
{
    for (struct process *p = processes; p < processes + PROCESSES; p++) {
        if (is_alive(p) && p->group == group && p != init_process && p->space)
            kill(p);
    }
}

int process_group(int pid, int group)
{
    for (struct process *p = processes; p < processes + PROCESSES; p++) {
        if (is_alive(p) && (pid ? p->pid == pid : p == current) &&
            (p == current || p->parent == current)) {
            p->group = group ? group : p->pid;
            return 0;
        }
    }
    return E_NOENT;
}

int process_grow(int32_t delta)
{
    const uint32_t old = current->heap_end;
    const uint32_t limit = USER_TOP - USER_STACK_MAX - PAGE_SIZE;
    if (delta >= 0 ? (uint32_t)delta > limit - old : -(uint32_t)delta > old - current->heap_start)
        return E_NOMEM;
    current->heap_end = old + (uint32_t)delta;
    if (delta < 0)
        space_shrink(current->space, current->heap_end, old);
    return (int)old;
}

#define COMMIT_PERIOD 100 /* ticks between two looks for something to commit */

/* A process without a program. */
static void commit_now_and_then(void)
{
    for (;;) {
        current->wake_tick = ticks + COMMIT_PERIOD;
        while ((int32_t)(ticks - current->wake_tick) < 0)
            sleep_on(&current->wake_tick);
        fs_begin();
        block_commit();
        fs_end(0);
    }
}

static struct process *kernel_process(const char *name, void (*run)(void))
{
    struct process *p;
    if (allocate(&p))
        panic("no memory for the first processes");
    p->tf = fresh_stack(p, run);
    copy_name(p->name, name);
    p->state = RUNNABLE;
    return p;
}

static char boot_line[ARG_BYTES_MAX / 2];

/* The first process begins in the kernel, because reading the disk means to sleep; it ends here as
 * program init, with the kernel's command line as its argument. */
static void first_process(void)
{
    char *argv[] = {"init", boot_line};
    provoke(boot_line);
    const char *why = inode_init();
    if (why)
        panic("%s", why);
    fs_begin();
    current->directory = inode_get(FS_ROOT);
    fs_end(0);
    const int error = process_exec("/bin/init", argv, 2);
    if (error)
        panic("cannot start /bin/init: error %d", error);
    file_console(current);
    kernel_process("commit", commit_now_and_then);
}

void process_init(const char *command_line)
{
    for (uint32_t i = 0; i + 1 < sizeof(boot_line) && command_line[i]; i++)
        boot_line[i] = command_line[i];
    init_process = kernel_process("init", first_process);
    schedule();
    panic("schedule() came back to the boot stack");
}
