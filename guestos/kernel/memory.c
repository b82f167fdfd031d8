/*
 * Physical pages with reference counts, and address spaces of 4 KB pages (SDM vol. 3A section 4.3).
 * All physical memory is mapped at KERNEL_BASE in every space, as global pages.
 */
#include "kernel.h"
#include "sensitive.h"

#define PTE_P 0x001u
#define PTE_W 0x002u
#define PTE_U 0x004u
#define PTE_PCD 0x010u /* not to be cached */
#define PTE_A 0x020u
#define PTE_D 0x040u
#define PTE_G 0x100u
#define PTE_COW 0x200u /* ours: shared until written */

#define CR4_PGE 0x80u
#define CPUID_PGE (1u << 13)
#define MIN_MEMORY (8u << 20)
#define BOOT_MAPPED 0x400000u /* what boot.asm maps */

/* Kernel stacks: of each 16 KB the lower half stays unmapped, so that a stack that grows too long
 * faults instead of damaging its neighbour. */
#define STACKS (KERNEL_BASE + PHYS_MAX)
#define STACK_PAGES 2u
#define STACK_STRIDE 4u
/* Registers of devices are in the second half of the same table's 4 MB. */
#define DEVICES_FIRST 512u
#define DEVICES_END 1024u

extern char kernel_end[];
static uint8_t references[PHYS_MAX / PAGE_SIZE];
static uint32_t free_list; /* physical address of the first free page, 0: none */
static uint32_t total_pages, free_pages;
static uint32_t memory_end;
static space_t kernel_space;
static uint32_t *stack_table; /* the page table of the kernel stacks */
static uint32_t global;       /* PTE_G if the CPU has it: for what every space maps alike */
uint32_t kernel_space_pa;

struct boot_info {
    uint32_t flags, mem_lower, mem_upper, unused[8], mmap_length, mmap_addr;
};
struct __attribute__((packed)) boot_mmap {
    uint32_t size;
    uint64_t base, length;
    uint32_t type;
};

/* The end of the memory block at 1 MB. */
static uint32_t find_memory_end(const struct boot_info *info)
{
    uint64_t end = 0x100000 + (uint64_t)info->mem_upper * 1024;
    if (info->flags & 0x40) {
        const uint32_t last = info->mmap_addr + info->mmap_length;
        if (last > BOOT_MAPPED || last < info->mmap_addr)
            panic("the memory map is above 4 MB");
        for (uint32_t at = info->mmap_addr; at < last;) {
            const struct boot_mmap *m = phys_to_virt(at);
            if (m->type == 1 && m->base == 0x100000)
                end = m->base + m->length;
            at += m->size + 4;
        }
    }
    return end > PHYS_MAX ? PHYS_MAX : (uint32_t)end & PAGE_MASK;
}

static void add_free(uint32_t pa)
{
    *(uint32_t *)phys_to_virt(pa) = free_list;
    free_list = pa;
    free_pages++;
}

static uint32_t *early_next;
static void *early_page(void)
{
    void *page = early_next;
    early_next += PAGE_SIZE / 4;
    return memset(page, 0, PAGE_SIZE);
}

/* The boot tables map 4 MB; the kernel's own tables are built inside them, behind the kernel. */
static void map_kernel(void)
{
    uint32_t r[4];
    cpu_cpuid(1, r);
    if (r[3] & CPUID_PGE)
        global = PTE_G;
    kernel_space = early_page();
    kernel_space_pa = virt_to_phys(kernel_space);
    for (uint32_t pa = 0; pa < memory_end; pa += PAGE_SIZE) {
        const uint32_t va = pa + KERNEL_BASE;
        if (!(kernel_space[va >> 22] & PTE_P))
            kernel_space[va >> 22] = virt_to_phys(early_page()) | PTE_P | PTE_W | PTE_U;
        uint32_t *table = phys_to_virt(kernel_space[va >> 22] & PAGE_MASK);
        table[va >> 12 & 1023] = pa | PTE_P | PTE_W | global;
    }
    stack_table = early_page();
    kernel_space[STACKS >> 22] = virt_to_phys(stack_table) | PTE_P | PTE_W;
    cpu_write_cr3(kernel_space_pa);
    if (global)
        cpu_write_cr4(cpu_read_cr4() | CR4_PGE);
}

void memory_init(uint32_t info_pa)
{
    if (info_pa >= BOOT_MAPPED)
        panic("the boot information is above 4 MB");
    memory_end = find_memory_end(phys_to_virt(info_pa));
    if (memory_end < MIN_MEMORY)
        panic("too little memory: %u KB, and Minnow needs %u KB", memory_end / 1024,
              MIN_MEMORY / 1024);
    early_next = (uint32_t *)kernel_end;
    map_kernel();
    for (uint32_t pa = memory_end; pa > virt_to_phys(early_next);) {
        pa -= PAGE_SIZE;
        add_free(pa);
    }
    total_pages = free_pages;
}

uint32_t memory_total_pages(void)
{
    return total_pages;
}

uint32_t memory_free_pages(void)
{
    return free_pages;
}

/* The last pages are for the first process, which must not die of what others take: nobody would
 * clean up after them. */
#define RESERVE 16u

static bool may_take_last_pages(void)
{
    return !current || current->pid <= 1;
}

void *page_alloc(void)
{
    const uint32_t pa = free_list;
    if (!pa || (free_pages <= RESERVE && !may_take_last_pages()))
        return NULL;
    void *page = phys_to_virt(pa);
    free_list = *(uint32_t *)page;
    free_pages--;
    references[pa / PAGE_SIZE] = 1;
    return memset(page, 0, PAGE_SIZE);
}

void page_free(void *page)
{
    const uint32_t pa = virt_to_phys(page);
    if (!references[pa / PAGE_SIZE])
        panic("page %x freed twice", pa);
    if (!--references[pa / PAGE_SIZE])
        add_free(pa);
}

space_t space_create(void)
{
    space_t space = page_alloc();
    if (space)
        memcpy(&space[KERNEL_BASE >> 22], &kernel_space[KERNEL_BASE >> 22], 1024);
    return space;
}

/* Of spaces that are not loaded only new ones change, and the end of one is told. */
void space_load(space_t space)
{
    cpu_switch_cr3(space ? virt_to_phys(space) : kernel_space_pa);
}

uint32_t stack_top(unsigned n)
{
    return STACKS + (n + 1) * STACK_STRIDE * PAGE_SIZE;
}

void stack_free(unsigned n)
{
    for (uint32_t i = 1; i <= STACK_PAGES; i++) {
        uint32_t *pte = &stack_table[(n + 1) * STACK_STRIDE - i];
        if (*pte & PTE_P)
            page_free(phys_to_virt(*pte & PAGE_MASK));
        *pte = 0;
        cpu_invlpg(stack_top(n) - i * PAGE_SIZE);
    }
}

bool stack_create(unsigned n)
{
    for (uint32_t i = 1; i <= STACK_PAGES; i++) {
        void *page = page_alloc();
        if (!page) {
            stack_free(n);
            return false;
        }
        stack_table[(n + 1) * STACK_STRIDE - i] = virt_to_phys(page) | PTE_P | PTE_W | global;
    }
    return true;
}

/* The page-table entry of a user address; create: make the table if needed. */
static uint32_t *entry_of(space_t space, uint32_t va, bool create)
{
    uint32_t *pde = &space[va >> 22];
    if (va >= KERNEL_BASE)
        return NULL;
    if (!(*pde & PTE_P)) {
        void *table = create ? page_alloc() : NULL;
        if (!table)
            return NULL;
        *pde = virt_to_phys(table) | PTE_P | PTE_W | PTE_U | PTE_A;
    }
    return (uint32_t *)phys_to_virt(*pde & PAGE_MASK) + (va >> 12 & 1023);
}

uint32_t *kernel_pte(uint32_t va)
{
    return (uint32_t *)phys_to_virt(kernel_space[va >> 22] & PAGE_MASK) + (va >> 12 & 1023);
}

volatile void *device_map(uint32_t pa, uint32_t n)
{
    static uint32_t next = DEVICES_FIRST;
    const uint32_t first = next, offset = pa & ~PAGE_MASK;
    if (n > (DEVICES_END - first) * PAGE_SIZE - offset)
        return NULL;
    for (pa -= offset, n += offset; n; n -= n < PAGE_SIZE ? n : PAGE_SIZE, pa += PAGE_SIZE)
        stack_table[next++] = pa | PTE_P | PTE_W | PTE_PCD;
    return (volatile uint8_t *)(STACKS + first * PAGE_SIZE + offset);
}

bool space_map_new(space_t space, uint32_t va, bool writable)
{
    uint32_t *pte = entry_of(space, va, true);
    void *page = pte ? page_alloc() : NULL;
    if (!page)
        return false;
    *pte = virt_to_phys(page) | PTE_P | PTE_U | (writable ? PTE_W : 0);
    return true;
}

/* The accessed and dirty bits that the access will set: a VMM that is told of the entry can use it
 * at once. */
static uint32_t about_to(bool write)
{
    return PTE_A | (write ? PTE_D : 0);
}

/* A page of the current space that is used for the first time. */
static bool map_lazily(space_t space, uint32_t va, bool write)
{
    uint32_t *pte = entry_of(space, va, true);
    void *page = pte ? page_alloc() : NULL;
    if (!page)
        return false;
    cpu_set_pte(pte, virt_to_phys(page) | PTE_P | PTE_U | PTE_W | about_to(write), va);
    return true;
}

static void free_table(uint32_t *table)
{
    for (int i = 0; i < 1024; i++) {
        if (table[i] & PTE_P)
            page_free(phys_to_virt(table[i] & PAGE_MASK));
    }
    page_free(table);
}

void space_free(space_t space)
{
    for (uint32_t i = 0; i < KERNEL_BASE >> 22; i++) {
        if (space[i] & PTE_P)
            free_table(phys_to_virt(space[i] & PAGE_MASK));
    }
    cpu_drop_space(virt_to_phys(space));
    page_free(space);
}

/* Share every page with the copy; writable ones become copy-on-write in both. */
static bool copy_table(space_t from, space_t to, uint32_t directory_index)
{
    uint32_t *source = phys_to_virt(from[directory_index] & PAGE_MASK);
    uint32_t *table = page_alloc();
    if (!table)
        return false;
    to[directory_index] = virt_to_phys(table) | PTE_P | PTE_W | PTE_U;
    for (int i = 0; i < 1024; i++) {
        if (!(source[i] & PTE_P))
            continue;
        const uint32_t index = source[i] / PAGE_SIZE;
        if (references[index] == UINT8_MAX)
            return false;
        if (source[i] & PTE_W)
            source[i] = (source[i] & ~PTE_W) | PTE_COW;
        table[i] = source[i];
        references[index]++;
    }
    return true;
}

space_t space_copy(space_t from)
{
    space_t to = space_create();
    bool ok = to;
    for (uint32_t i = 0; ok && i < KERNEL_BASE >> 22; i++) {
        if (from[i] & PTE_P)
            ok = copy_table(from, to, i);
    }
    if (to && !ok) {
        space_free(to);
        to = NULL;
    }
    cpu_write_cr3(virt_to_phys(from)); /* its writable pages became read-only: flush */
    return to;
}

uint32_t space_pages(space_t space)
{
    uint32_t n = 0;
    for (uint32_t i = 0; space && i < KERNEL_BASE >> 22; i++) {
        const uint32_t *table = phys_to_virt(space[i] & PAGE_MASK);
        for (int k = 0; (space[i] & PTE_P) && k < 1024; k++)
            n += table[k] & PTE_P;
    }
    return n;
}

void space_shrink(space_t space, uint32_t from, uint32_t to)
{
    for (uint32_t va = (from + PAGE_SIZE - 1) & PAGE_MASK; va < to; va += PAGE_SIZE) {
        uint32_t *pte = entry_of(space, va, false);
        if (!pte || !(*pte & PTE_P))
            continue;
        page_free(phys_to_virt(*pte & PAGE_MASK));
        *pte = 0;
        cpu_invlpg(va);
    }
}

static bool break_cow(uint32_t *pte, uint32_t va)
{
    void *old = phys_to_virt(*pte & PAGE_MASK);
    void *page = old;
    if (references[*pte / PAGE_SIZE] > 1) {
        page = page_alloc();
        if (!page)
            return false;
        memcpy(page, old, PAGE_SIZE);
        page_free(old);
    }
    *pte = virt_to_phys(page) | PTE_P | PTE_U | PTE_W | about_to(true);
    cpu_invlpg(va);
    cpu_set_pte(pte, *pte, va); /* flushed, hence without a translation */
    return true;
}

/* Heap and stack pages appear when they are first used. */
static bool is_lazy(const struct process *p, uint32_t va)
{
    return (va >= p->heap_start && va < p->heap_end) ||
           (va >= USER_TOP - USER_STACK_MAX && va < USER_TOP);
}

bool user_page_fault(struct process *p, uint32_t va, bool write)
{
    uint32_t *pte = entry_of(p->space, va, false);
    if (pte && (*pte & PTE_P))
        return write && (*pte & PTE_COW) && break_cow(pte, va);
    return is_lazy(p, va) && map_lazily(p->space, va, write);
}

void *space_user(space_t space, uint32_t va, bool write)
{
    uint32_t *pte = entry_of(space, va, false);
    const uint32_t need = PTE_P | PTE_U | (write ? PTE_W : 0);
    if (!pte || (*pte & need) != need) {
        if (space != current->space || !user_page_fault(current, va, write))
            return NULL;
        pte = entry_of(space, va, false);
    }
    return (char *)phys_to_virt(*pte & PAGE_MASK) + (va & ~PAGE_MASK);
}

/* Copy page by page through the kernel's own mapping: a bad pointer is an error, never a fault. */
static bool copy_user(uint32_t va, void *kernel, uint32_t n, bool to_user)
{
    char *k = kernel;
    while (n) {
        uint32_t part = PAGE_SIZE - (va & ~PAGE_MASK);
        if (part > n)
            part = n;
        char *user = space_user(current->space, va, to_user);
        if (!user)
            return false;
        memcpy(to_user ? user : k, to_user ? k : user, part);
        va += part;
        k += part;
        n -= part;
    }
    return true;
}

bool copy_from_user(void *to, uint32_t from, uint32_t n)
{
    return copy_user(from, to, n, false);
}

bool copy_to_user(uint32_t to, const void *from, uint32_t n)
{
    return copy_user(to, (void *)from, n, true);
}

bool copy_from_kernel(void *to, uint32_t from, uint32_t n)
{
    memcpy(to, (const void *)from, n);
    return true;
}

bool copy_to_kernel(uint32_t to, const void *from, uint32_t n)
{
    memcpy((void *)to, from, n);
    return true;
}
