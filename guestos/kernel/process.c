/* Processes: creation, programs, scheduling, sleep and wake-up, death. */
#include "kernel.h"
#include "sensitive.h"

struct process processes[PROCESSES];
struct process *current;
static int next_pid = 1;
static struct process *init_process;

void context_switch(uint32_t *save_esp, uint32_t load_esp);

static struct process *allocate(void)
{
    for (struct process *p = processes; p < processes + PROCESSES; p++) {
        if (p->state != UNUSED)
            continue;
        memset(p, 0, sizeof(*p));
        p->kernel_stack = page_alloc();
        if (!p->kernel_stack)
            return NULL;
        p->state = EMBRYO;
        p->pid = next_pid++;
        return p;
    }
    return NULL;
}

static void release(struct process *p)
{
    if (p->kernel_stack)
        page_free(p->kernel_stack);
    if (p->space)
        space_free(p->space);
    p->kernel_stack = NULL;
    p->space = NULL;
    p->state = UNUSED;
}

/* The stack of a process that has never run: as if trap() was about to return to user mode. */
static struct trap_frame *fresh_stack(struct process *p)
{
    char *top = (char *)p->kernel_stack + PAGE_SIZE;
    struct trap_frame *tf = (struct trap_frame *)(top - sizeof(*tf));
    uint32_t *context = (uint32_t *)tf - 5; /* edi, esi, ebx, ebp, return address */
    context[4] = (uint32_t)trap_return;
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

/* Give the CPU to the next runnable process; returns when current runs again. */
static void schedule(void)
{
    struct process *old = current, *next;
    while (!(next = next_runnable())) {
        cpu_sti_hlt(); /* the interrupt's handler runs on this stack and wakes somebody up */
        cpu_cli();
    }
    next->state = RUNNING;
    if (next == old)
        return;
    current = next;
    cpu_set_kernel_stack((uint32_t)next->kernel_stack + PAGE_SIZE);
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

int process_fork(void)
{
    struct process *child = allocate();
    if (!child)
        return E_NOMEM;
    child->space = space_copy(current->space);
    if (!child->space) {
        release(child);
        return E_NOMEM;
    }
    child->tf = fresh_stack(child);
    *child->tf = *current->tf;
    child->tf->eax = 0;
    child->parent = current;
    child->heap_start = current->heap_start;
    child->heap_end = current->heap_end;
    copy_name(child->name, current->name);
    for (int i = 0; i < FILES; i++)
        child->file[i] = current->file[i] ? file_share(current->file[i]) : NULL;
    child->state = RUNNABLE;
    return child->pid;
}

/* ELF32 headers, as far as needed (System V ABI, chapters 4 and 5). */
struct elf_header {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version, entry, phoff, shoff, flags;
    uint16_t ehsize, phentsize, phnum;
};
struct elf_segment {
    uint32_t type, offset, vaddr, paddr, filesz, memsz, flags, align;
};
#define PT_LOAD 1u
#define PF_W 2u

static int load_segment(space_t space, const struct archive_entry *a, const struct elf_segment *s,
                        uint32_t *end)
{
    const uint32_t size = (uint32_t)(a->end - a->start);
    if (s->offset > size || s->filesz > size - s->offset || s->filesz > s->memsz ||
        s->vaddr < USER_BASE || s->memsz > 0x10000000u || s->vaddr > 0x10000000u)
        return E_NOEXEC;
    for (uint32_t va = s->vaddr & PAGE_MASK; va < s->vaddr + s->memsz; va += PAGE_SIZE) {
        if (!space_map_new(space, va, s->flags & PF_W))
            return E_NOMEM;
        const uint32_t from = va > s->vaddr ? va : s->vaddr;
        uint32_t n = va + PAGE_SIZE - from;
        const uint32_t done = from - s->vaddr;
        if (done >= s->filesz)
            continue;
        if (n > s->filesz - done)
            n = s->filesz - done;
        memcpy(space_user(space, from, false), a->start + s->offset + done, n);
    }
    if (s->vaddr + s->memsz > *end)
        *end = s->vaddr + s->memsz;
    return 0;
}

static int load_program(space_t space, const struct archive_entry *a, uint32_t *entry,
                        uint32_t *end)
{
    const struct elf_header *h = (const struct elf_header *)a->start;
    if (a->end - a->start < (int)sizeof(*h) || memcmp(h->ident, "\177ELF", 4))
        return E_NOEXEC;
    const struct elf_segment *s = (const struct elf_segment *)(a->start + h->phoff);
    for (int i = 0; i < h->phnum; i++, s++) {
        if (s->type != PT_LOAD || !s->memsz)
            continue;
        const int error = load_segment(space, a, s, end);
        if (error)
            return error;
    }
    *entry = h->entry;
    return 0;
}

/* The new stack: strings, argv[], then a call's frame for start(argc, argv). Returns its ESP. */
static uint32_t build_stack(space_t space, char *const *argv, int argc)
{
    uint32_t pointers[ARGS_MAX + 1], sp = USER_TOP;
    if (!space_map_new(space, USER_TOP - PAGE_SIZE, true))
        return 0;
    for (int i = argc - 1; i >= 0; i--) {
        const uint32_t n = (uint32_t)strlen(argv[i]) + 1;
        sp -= n;
        memcpy(space_user(space, sp, true), argv[i], n);
        pointers[i] = sp;
    }
    pointers[argc] = 0;
    sp = (sp & ~15u) - (uint32_t)(argc + 1) * 4;
    const uint32_t argv_va = sp;
    memcpy(space_user(space, sp, true), pointers, (uint32_t)(argc + 1) * 4);
    const uint32_t frame[3] = {0xFFFFFFFFu, (uint32_t)argc, argv_va};
    sp -= sizeof(frame);
    memcpy(space_user(space, sp, true), frame, sizeof(frame));
    return sp;
}

static int become(struct process *p, const char *name, char *const *argv, int argc)
{
    const struct archive_entry *a = archive_find(name);
    uint32_t entry, end = 0, sp = 0;
    if (!a)
        return E_NOENT;
    space_t space = space_create();
    if (!space)
        return E_NOMEM;
    int error = load_program(space, a, &entry, &end);
    if (!error && !(sp = build_stack(space, argv, argc)))
        error = E_NOMEM;
    if (error) {
        space_free(space);
        return error;
    }
    space_t old = p->space;
    p->space = space;
    p->heap_start = p->heap_end = (end + PAGE_SIZE - 1) & PAGE_MASK;
    copy_name(p->name, name);
    *p->tf = (struct trap_frame){.eip = entry,
                                 .cs = USER_CS,
                                 .eflags = FL_IF | 2,
                                 .esp = sp,
                                 .ss = USER_DS,
                                 .ds = USER_DS,
                                 .es = USER_DS};
    if (old) {
        space_load(space);
        space_free(old);
    }
    return 0;
}

int process_exec(const char *name, char *const *argv, int argc)
{
    return become(current, name, argv, argc);
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
            return E_INVAL;
        sleep_on(current);
    }
}

int process_kill(int pid)
{
    for (struct process *p = processes; p < processes + PROCESSES; p++) {
        if (p->state == UNUSED || p->state == ZOMBIE || p->pid != pid || p == init_process)
            continue;
        p->killed = true;
        if (p->state == SLEEPING)
            p->state = RUNNABLE;
        return 0;
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

/* The first process: program init, with the kernel's command line as its argument. */
void process_init(const char *command_line)
{
    static char line[ARG_BYTES_MAX / 2];
    char *argv[] = {"init", line};
    struct process *p = allocate();
    for (uint32_t i = 0; i + 1 < sizeof(line) && command_line[i]; i++)
        line[i] = command_line[i];
    p->tf = fresh_stack(p);
    const int error = become(p, argv[0], argv, 2);
    if (error)
        panic("cannot start init: error %d", error);
    file_console(p);
    init_process = p;
    p->state = RUNNABLE;
    schedule();
    panic("schedule() came back to the boot stack");
}
