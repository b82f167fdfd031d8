/* Programs: ELF files from the disk into a new address space. */
#include "kernel.h"

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
#define ET_EXEC 2
#define EM_386 3
#define PT_LOAD 1u
#define PF_W 2u
#define PREFETCH (64 * 1024u)
#define SEGMENTS_MAX 8
#define PROGRAM_TOP 0x20000000u

static bool read_exactly(struct inode *ip, uint32_t offset, void *to, uint32_t n)
{
    return inode_read(ip, offset, n, copy_to_kernel, (uint32_t)to) == (int)n;
}

static int load_segment(space_t space, struct inode *ip, const struct elf_segment *s, uint32_t *end)
{
    if (s->filesz > s->memsz || s->vaddr < USER_BASE || s->vaddr >= PROGRAM_TOP ||
        s->memsz > PROGRAM_TOP - s->vaddr || s->offset > ip->d.size)
        return E_NOEXEC;
    if (s->memsz / PAGE_SIZE > memory_free_pages())
        return E_NOMEM;
    for (uint32_t va = s->vaddr & PAGE_MASK; va < s->vaddr + s->memsz; va += PAGE_SIZE) {
        const uint32_t from = va > s->vaddr ? va : s->vaddr, done = from - s->vaddr;
        uint32_t n = va + PAGE_SIZE - from;
        if (space_user(space, va, false))
            return E_NOEXEC; /* two segments in one page */
        if (!space_map_new(space, va, s->flags & PF_W))
            return E_NOMEM;
        if (done >= s->filesz)
            continue;
        if (n > s->filesz - done)
            n = s->filesz - done;
        if (!read_exactly(ip, s->offset + done, space_user(space, from, false), n))
            return E_NOEXEC;
    }
    if (s->vaddr + s->memsz > *end)
        *end = s->vaddr + s->memsz;
    return 0;
}

static int load_program(space_t space, struct inode *ip, uint32_t *entry, uint32_t *end)
{
    struct elf_header h;
    struct elf_segment s;
    if (ip->d.type != FS_FILE)
        return E_ISDIR;
    inode_ahead(ip, 0, PREFETCH);
    if (!read_exactly(ip, 0, &h, sizeof(h)) || memcmp(h.ident, "\177ELF\1\1", 6) ||
        h.type != ET_EXEC || h.machine != EM_386 || h.phentsize != sizeof(s) ||
        h.phnum > SEGMENTS_MAX || h.phoff > ip->d.size)
        return E_NOEXEC;
    for (uint32_t i = 0; i < h.phnum; i++) {
        if (!read_exactly(ip, h.phoff + i * sizeof(s), &s, sizeof(s)))
            return E_NOEXEC;
        const int error = s.type == PT_LOAD && s.memsz ? load_segment(space, ip, &s, end) : 0;
        if (error)
            return error;
    }
    *entry = h.entry;
    return *end ? 0 : E_NOEXEC;
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

/* A space with the program and its stack. The disk's errors show at fs_end(). */
static int build(space_t space, const char *path, char *const *argv, int argc, uint32_t *entry,
                 uint32_t *end, uint32_t *sp)
{
    struct inode *ip;
    fs_begin();
    int error = path_inode(path, &ip);
    if (!error) {
        error = load_program(space, ip, entry, end);
        inode_put(ip);
    }
    error = fs_end(error);
    if (!error && !(*sp = build_stack(space, argv, argc)))
        error = E_NOMEM;
    return error;
}

int process_exec(const char *path, char *const *argv, int argc)
{
    uint32_t entry = 0, end = 0, sp = 0;
    space_t space = space_create(), old = current->space;
    if (!space)
        return E_NOMEM;
    const int error = build(space, path, argv, argc, &entry, &end, &sp);
    if (error) {
        space_free(space);
        return error;
    }
    const char *name = path;
    for (const char *c = path; *c; c++) {
        if (*c == '/' && c[1])
            name = c + 1;
    }
    copy_name(current->name, name);
    current->space = space;
    current->heap_start = current->heap_end = (end + PAGE_SIZE - 1) & PAGE_MASK;
    current->fault_handler = 0;
    current->in_fault = false;
    *current->tf = (struct trap_frame){.eip = entry,
                                       .cs = USER_CS,
                                       .eflags = FL_IF | 2,
                                       .esp = sp,
                                       .ss = USER_DS,
                                       .ds = USER_DS,
                                       .es = USER_DS};
    space_load(space);
    if (old)
        space_free(old);
    return 0;
}

/* What a program may change of its own flags: CF PF AF ZF SF TF DF OF. */
#define USER_FLAGS 0xDD5u
#define FLAGS_TF_DF 0x500u

bool process_fault(struct trap_frame *tf, uint32_t address)
{
    const struct fault fault = {tf->edi,    tf->esi,   tf->ebp, tf->ebx,    tf->edx,
                                tf->ecx,    tf->eax,   tf->eip, tf->eflags, tf->esp,
                                tf->vector, tf->error, address};
    if (!current->fault_handler || current->in_fault)
        return false;
    const uint32_t at = (tf->esp - sizeof(fault)) & ~15u;
    const uint32_t call[2] = {UINT32_MAX, at}; /* no return address; the argument */
    if (!copy_to_user(at, &fault, sizeof(fault)) ||
        !copy_to_user(at - sizeof(call), call, sizeof(call)))
        return false;
    tf->esp = at - sizeof(call);
    tf->eip = current->fault_handler;
    tf->eflags &= ~FLAGS_TF_DF;
    current->in_fault = true;
    return true;
}

int process_resume(struct trap_frame *tf, uint32_t fault_va)
{
    struct fault f;
    if (!current->in_fault)
        return E_INVAL;
    if (!copy_from_user(&f, fault_va, sizeof(f)))
        return E_FAULT;
    tf->edi = f.edi;
    tf->esi = f.esi;
    tf->ebp = f.ebp;
    tf->ebx = f.ebx;
    tf->edx = f.edx;
    tf->ecx = f.ecx;
    tf->eip = f.eip;
    tf->esp = f.esp;
    tf->eflags = (tf->eflags & ~USER_FLAGS) | (f.eflags & USER_FLAGS);
    current->in_fault = false;
    return (int)f.eax;
}
