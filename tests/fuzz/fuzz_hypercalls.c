/*
 * libFuzzer on the hypercalls, with the real shadow page tables behind them: whatever a guest
 * passes, and whatever its tables, its GDT and its shared page hold.
 *
 * Input: a byte of switches, then steps: a byte that names the step, and its arguments (struct
 * input). Addresses, entries and numbers are mostly drawn from those that something happens with.
 *
 * What must hold:
 *  - nothing outside of guest RAM is touched: there is nothing mapped for 4 GB around it;
 *  - results are those of pv_abi.h; a call that fails has changed nothing and asked the MMU for
 *    nothing, but for the queue, which is done first;
 *  - a shadow entry points to guest RAM, the frame buffer or the page of ones; a writable one to
 *    nothing that is watched; what was flushed is gone, and what was entered or kept at a load of
 *    CR3 is what the guest's tables allow now.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "gmem.h"
#include "para.h"
#include "shadow.h"
#include "vmm.h"
#include "x86.h"

#define RAM_SIZE 0x120000u /* a hole, and a little more than 1 MB */
#define RAM_HPA 0x04000000u
#define VGA_HPA 0x000B8000u
#define AROUND 0x100000000ul

/* The pages that are used, from gpa FIRST on. */
#define FIRST 0x100000u
enum { DIR_A, DIR_B, TABLE_A, TABLE_B, GDT_PAGE, SHARED_PAGE, DATA, PAGES = 10 };
#define PAGE_GPA(n) (FIRST + (n)*PAGE_SIZE)
#define HIGH_GVA 0xC0000000u /* DIR_A and DIR_B map their table here, too */

/* May be mapped to, on a page boundary. */
static const uint32_t odd_frames[] = {0xA0000,    0xB8000,    0xBF000,    0xFF000,
                                      0x120000,   0x11F000,   0x10000000, 0xEFFFF000,
                                      0xF0000000, 0xFFFFF000, 0x0,        0x9F000};
static const uint32_t odd_numbers[] = {0,           PV_OP_CLI,  PV_OP_IRET,  PV_OP_WRITE_CR0,
                                       PV_OP_CPUID, PV_OP_INSW, PV_OP_COUNT, 63,
                                       68,          0x80000040, 0xFFFFFFFF};
static const uint32_t services[] = {PV_OP_INVLPG,     PV_OP_SET_PTE,      PV_OP_WRITE_CR3,
                                    PV_OP_SWITCH_CR3, PV_OP_DROP_SPACE,   PV_CALL_NULL,
                                    PV_CALL_MULTI,    PV_CALL_DESCRIPTOR, PV_CALL_DRAIN};

static uint8_t *ram, *pool, copy[PAGES * PAGE_SIZE], watch[RAM_SIZE / PAGE_SIZE];
static unsigned pool_next;
static struct vm vm;
static struct shadow shadow;
static struct para para;
static struct pv_shared *shared;
static unsigned asked, loads;

#define HOLDS(what) ((what) ? (void)0 : broken(#what, __LINE__))

static void broken(const char *what, int line)
{
    fprintf(stderr, "line %d: \"%s\" does not hold\n", line, what);
    abort();
}

/* --- what the shadow needs of the VMM --- */

#define POOL_PAGES (SHADOW_POOL + 16)

void *page_alloc(void)
{
    return pool_next < POOL_PAGES ? pool + PAGE_SIZE * pool_next++ : NULL;
}

void page_free(void *page)
{
    HOLDS((uint8_t *)page >= pool && (uint8_t *)page < pool + POOL_PAGES * PAGE_SIZE);
}

uint64_t host_pde(gva_t gva)
{
    return gva | 0x83;
}

/* --- the guest's tables, by a walk of our own (SDM vol. 3A section 4.3) --- */

struct place {
    gpa_t gpa;
    bool present, writable, user, accessed, dirty, global;
};

static uint32_t load32(gpa_t gpa)
{
    uint32_t entry = 0xFFFFFFFF;
    if (gpa < 0xA0000 || (gpa >= 0x100000 && gpa <= RAM_SIZE - 4))
        memcpy(&entry, ram + gpa, 4);
    return entry;
}

static struct place look_up(gva_t gva)
{
    const struct vcpu *vcpu = &vm.vcpu;
    struct place p = {gva, true, true, true, true, true, false};
    if (!(vcpu->cr0 & CR0_PG))
        return p;
    const uint32_t pde = load32((vcpu->cr3 & ~0xFFFu) + (gva >> 22) * 4);
    const bool large = (pde & PTE_PS) && (vcpu->cr4 & CR4_PSE);
    const uint32_t pte = large ? pde : load32((pde & ~0xFFFu) + (gva >> 12 & 1023) * 4);
    const uint32_t both = pde & pte;
    p.gpa = large ? (pde & 0xFFC00000) | (gva & 0x3FFFFF) : (pte & ~0xFFFu) | (gva & 0xFFF);
    p.present = (both & PTE_P) && !(large && (pde & 0x003FE000u));
    p.writable = both & PTE_W;
    p.user = both & PTE_U;
    p.accessed = both & PTE_A;
    p.dirty = pte & PTE_D;
    p.global = (pte & PTE_G) && (vcpu->cr4 & CR4_PGE);
    return p;
}

/* --- what must hold of the shadow --- */

static hpa_t hpa_of(gpa_t gpa)
{
    if (gpa < 0xA0000 || (gpa >= 0x100000 && gpa < RAM_SIZE))
        return RAM_HPA + (gpa & ~0xFFFu);
    if (gpa >= 0xB8000 && gpa < 0xC0000)
        return VGA_HPA + (gpa & ~0xFFFu) - 0xB8000;
    return ptr_to_hpa(shadow.hole_read);
}

static void check_target(uint64_t entry)
{
    const hpa_t hpa = (hpa_t)(entry & ~0xFFFull);
    const bool in_ram = hpa >= RAM_HPA && hpa < RAM_HPA + RAM_SIZE;
    HOLDS((entry & ~(0xFFFFF000ull | PTE_W)) == (PTE_P | PTE_U));
    if (!in_ram) {
        HOLDS(hpa - VGA_HPA < 0x8000 || hpa == ptr_to_hpa(shadow.hole_read));
        HOLDS(hpa != ptr_to_hpa(shadow.hole_read) || !(entry & PTE_W));
        return;
    }
    HOLDS(hpa - RAM_HPA < 0xA0000 || hpa - RAM_HPA >= 0x100000);
    HOLDS(!(entry & PTE_W) || !watch[(hpa - RAM_HPA) / PAGE_SIZE]);
}

/* The entry is what the guest's tables say now. */
static void check_fresh(unsigned root, gva_t gva, uint64_t entry)
{
    const struct place p = look_up(gva);
    HOLDS(p.present);
    HOLDS(p.accessed);
    HOLDS((hpa_t)(entry & ~0xFFFull) == hpa_of(p.gpa));
    HOLDS(p.user || root == SHADOW_KERNEL);
    if (entry & PTE_W)
        HOLDS(p.dirty && (p.writable || (root == SHADOW_KERNEL && !(vm.vcpu.cr0 & CR0_WP))));
}

static uint64_t entry_at(unsigned root, gva_t gva)
{
    const int index = gva < VMM_BASE ? shadow.slot[root][gva >> 21] : -1;
    return index < 0 ? 0 : shadow.table[index].pt[gva >> 12 & 511];
}

#ifdef __clang__
#define UNWATCHED __attribute__((no_sanitize("address", "undefined", "coverage")))
#else
#define UNWATCHED __attribute__((no_sanitize("address", "undefined")))
#endif

/* The first of words[from..n-1] that is not zero, or n. Most are zero, and nothing is learned of
 * looking: without the sanitizers it is quick. */
UNWATCHED static unsigned next_used(const uint64_t *words, unsigned from, unsigned n)
{
    while (from < n && !words[from])
        from++;
    return from;
}

static void check_table(const struct shadow_table *t, bool fresh)
{
    for (unsigned i = next_used(t->pt, 0, 512); i < 512; i = next_used(t->pt, i + 1, 512)) {
        check_target(t->pt[i]);
        if (fresh)
            check_fresh(t->root, (gva_t)t->pde << 21 | i << 12, t->pt[i]);
    }
}

/* Every table is free and empty, or in the list of one space; those of the current one and the
 * shared ones are installed, the others are not. fresh: nothing may be older than the guest's
 * tables, but what is global. */
static void check_shadow(bool fresh)
{
    unsigned used = 0, installed = 0;
    for (unsigned space = 0; space <= SHADOW_SPACES; space++) {
        const bool here = space == shadow.current || space == SHADOW_SHARED;
        for (int i = shadow.spaces[space].first; i >= 0; i = shadow.table[i].after, used++) {
            const struct shadow_table *t = &shadow.table[i];
            HOLDS(used < SHADOW_POOL && t->space == space && t->pde < SHADOW_PDES);
            HOLDS((shadow.slot[t->root][t->pde] == i) == here);
            HOLDS(!here || shadow.pd[t->root][t->pde >> 9][t->pde & 511] ==
                               (ptr_to_hpa(t->pt) | shadow.pde_flags[t->root]));
            installed += here;
            check_table(t, fresh && space == shadow.current && !t->mixed);
        }
    }
    HOLDS(used + shadow.free_count == SHADOW_POOL);
    for (unsigned part = 0; part < SHADOW_ROOTS * 4; part++) {
        const uint64_t *pd = shadow.pd[part / 4][part % 4];
        const unsigned end = part % 4 == 3 ? (VMM_BASE >> 21) - 3 * 512 : 512;
        for (unsigned i = next_used(pd, 0, end); i < end; i = next_used(pd, i + 1, end))
            installed--;
        for (unsigned i = end; i < 512; i++)
            HOLDS(pd[i] == host_pde((gva_t)(part % 4 * 512 + i) << 21));
    }
    HOLDS(installed == 0);
}

/* --- the MMU: as in pv_fast.c, without the tables of the short ways --- */

/* How many entries of the list, from the first on, are one operation in one 2 MB. */
static unsigned one_part(const uint32_t (*list)[2], unsigned n)
{
    unsigned i = 1;
    while (i < n && list[i][0] == list[0][0] && list[i][1] >> 21 == list[0][1] >> 21)
        i++;
    return i;
}

static unsigned mmu_flush(struct vcpu *vcpu, const uint32_t (*list)[2], unsigned n)
{
    const unsigned part = one_part(list, n);
    bool had = false;
    (void)vcpu;
    for (unsigned i = 0; i < part; i++)
        had |= entry_at(0, list[i][1]) || entry_at(1, list[i][1]);
    shadow.stale = false;
    const unsigned done = shadow_drop_pages(&shadow, list, n);
    HOLDS(done == part || (done == 1 && list[0][1] >= VMM_BASE));
    asked += done;
    for (unsigned i = 0; i < done; i++)
        HOLDS(!entry_at(0, list[i][1]) && !entry_at(1, list[i][1]));
    HOLDS(shadow.stale || !had);
    return done;
}

static unsigned mmu_enter(struct vcpu *vcpu, const uint32_t (*list)[2], unsigned n)
{
    uint64_t before[PV_QUEUE_MAX], kernel[PV_QUEUE_MAX];
    const unsigned part = one_part(list, n);
    (void)vcpu;
    for (unsigned i = 0; i < part; i++) {
        before[i] = entry_at(SHADOW_USER, list[i][1]);
        kernel[i] = entry_at(SHADOW_KERNEL, list[i][1]);
    }
    shadow.stale = false;
    const uint64_t fills = shadow.fills;
    const unsigned done = shadow_enter_pages(&shadow, list, n);
    HOLDS(done == 1 || done == part);
    HOLDS(list[0][1] < VMM_BASE || shadow.fills == fills);
    asked += done;
    for (unsigned i = 0; i < done; i++) {
        const uint64_t now = entry_at(SHADOW_USER, list[i][1]);
        if (now && now != before[i])
            check_fresh(SHADOW_USER, list[i][1], now);
        /* Nothing else goes, unless the CPU is told to forget it. */
        HOLDS(shadow.stale ||
              (entry_at(SHADOW_KERNEL, list[i][1]) == kernel[i] && (now || !before[i])));
    }
    return done;
}

static void mmu_load(struct vcpu *vcpu, uint32_t cr3, bool keep)
{
    asked++;
    loads++;
    vcpu->cr3 = cr3;
    shadow_switch(&shadow, keep);
    HOLDS(shadow.stale && shadow.spaces[shadow.current].cr3 == cr3);
    if (!keep)
        check_shadow(true);
}

static void mmu_drop(struct vcpu *vcpu, uint32_t cr3)
{
    const struct shadow_space *now = &shadow.spaces[shadow.current];
    const bool loaded = now->used && now->cr3 == cr3 && now->first >= 0;
    (void)vcpu;
    asked++;
    shadow.stale = false;
    shadow_forget_space(&shadow, cr3);
    HOLDS(shadow.stale || !loaded);
    for (unsigned i = 0; i < SHADOW_SPACES; i++)
        HOLDS(!shadow.spaces[i].used || shadow.spaces[i].cr3 != cr3 || shadow.spaces[i].first < 0);
}

static const struct pv_mmu mmu = {mmu_flush, mmu_enter, mmu_load, mmu_drop};

/* --- the input --- */

static const uint8_t *input, *input_end;

static uint8_t next8(void)
{
    return input < input_end ? *input++ : 0;
}

static uint32_t next32(void)
{
    uint32_t v = next8();
    v |= (uint32_t)next8() << 8;
    v |= (uint32_t)next8() << 16;
    return v | (uint32_t)next8() << 24;
}

#define PICK(list, n) ((list)[(n) % ARRAY_LEN(list)])

static uint32_t next_frame(void)
{
    const uint8_t b = next8();
    return b < 192 ? PAGE_GPA(b % PAGES) : PICK(odd_frames, b);
}

/* A page-table entry: two bytes of flags, and a frame. */
static uint32_t next_entry(void)
{
    const uint32_t flags = next8() | (uint32_t)(next8() & 1) << 8;
    return next_frame() | flags;
}

/* A linear address: on a mapped page, near its end, in the VMM's range, or any. */
static uint32_t next_gva(void)
{
    const uint8_t b = next8();
    const uint32_t page = (b & 32 ? HIGH_GVA : 0) + b % PAGES * PAGE_SIZE;
    switch (b >> 6) {
    case 0:
        return page + next8() * 4u;
    case 1:
        return page + PAGE_SIZE - next8() % 64;
    case 2:
        return (b & 32 ? VMM_BASE : (uint32_t)next8() << 24) | (uint32_t)next8() << 12;
    default:
        return next32();
    }
}

static uint32_t next_number(void)
{
    const uint8_t b = next8();
    return b < 224 ? PICK(services, b) : b < 240 ? PICK(odd_numbers, b) : next32();
}

/* A value of CR3 for a service that wants one, else a linear address or a selector. */
static uint32_t next_argument(uint32_t number)
{
    switch (number) {
    case PV_OP_WRITE_CR3:
    case PV_OP_SWITCH_CR3:
    case PV_OP_DROP_SPACE:
        return next_frame() | (next8() & 0x18);
    case PV_CALL_DESCRIPTOR: {
        const uint8_t b = next8();
        return b < 250 ? b : next32();
    }
    default:
        return next_gva();
    }
}

/* --- the steps --- */

static uint8_t *page_of(unsigned n)
{
    return ram + PAGE_GPA(n);
}

static void keep_copy(void)
{
    memcpy(copy, page_of(0), sizeof(copy));
}

static bool is_translation(uint32_t op)
{
    return op == PV_OP_INVLPG || op == PV_OP_SET_PTE || op == PV_OP_WRITE_CR3 ||
           op == PV_OP_SWITCH_CR3 || op == PV_OP_DROP_SPACE;
}

static unsigned queued_translations(void)
{
    const uint32_t count = shared->queue_count;
    unsigned n = 0;
    for (unsigned i = para.queue_done <= count ? para.queue_done : 0; i < PV_QUEUE_MAX && i < count;
         i++)
        n += is_translation(shared->queue[i].op);
    return n;
}

static bool is_result(int32_t result)
{
    return result == PV_OK || result == PV_E_UNKNOWN || result == PV_E_ADDRESS ||
           result == PV_E_VALUE;
}

/* The results of a MULTI, where they can be looked at: all on one page, which is still there. */
static void check_results(uint32_t gva, uint32_t count)
{
    const uint32_t size = count * (uint32_t)sizeof(struct pv_multi);
    const struct place p = look_up(gva);
    if (!count || (gva & 0xFFF) + size > PAGE_SIZE || !p.present || p.gpa < FIRST ||
        p.gpa >= RAM_SIZE || loads)
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct pv_multi call;
        memcpy(&call, ram + p.gpa + i * sizeof(call), sizeof(call));
        HOLDS(is_result(call.result));
        HOLDS(call.number != PV_CALL_MULTI || call.result == PV_E_UNKNOWN);
        HOLDS(!is_translation(call.number) || call.result == PV_OK);
    }
}

static void do_call(void)
{
    const uint32_t number = next_number(), eax = next_argument(number);
    const uint32_t edx = number == PV_CALL_MULTI ? next8() % 68 : next32(), ebx = next8();
    const unsigned queued = queued_translations();
    const uint32_t cr3 = vm.vcpu.cr3;
    if (!pv_is_service(number))
        return;
    keep_copy();
    memset(copy + (PAGE_GPA(SHARED_PAGE) - FIRST) + offsetof(struct pv_shared, queue_count), 0, 4);
    asked = loads = 0;
    const int32_t result = pv_service(&para, number, eax, edx, ebx);
    HOLDS(is_result(result));
    HOLDS(asked >= queued);
    if (result != PV_OK) {
        HOLDS(asked == queued && (loads || vm.vcpu.cr3 == cr3));
        HOLDS(!memcmp(copy, page_of(0), sizeof(copy)));
    } else if (number == PV_CALL_MULTI) {
        HOLDS(edx <= PV_MULTI_MAX);
        check_results(eax, edx);
    } else {
        HOLDS(asked == queued + is_translation(number));
    }
    if (number < PV_OP_COUNT)
        HOLDS(result == (is_translation(number) ? PV_OK : PV_E_UNKNOWN));
}

static void do_queue(void)
{
    const unsigned n = next8() % (PV_QUEUE_MAX + 1);
    for (unsigned i = 0; i < n; i++) {
        const uint8_t b = next8();
        const uint32_t op = b < 240 ? PICK(services, b % 5) : next_number();
        shared->queue[i] = (struct pv_queued){op, next_argument(op)};
    }
    const uint8_t claim = next8();
    shared->queue_count = claim < 240 ? n : claim < 250 ? n + 1 : next32();
    asked = 0;
    para.queue_done = 0;
    const unsigned queued = queued_translations();
    const uint8_t how = next8();
    if (how & 2) {
        const uint32_t count = shared->queue_count;
        pv_catch_up(&para);
        HOLDS(asked == queued);
        HOLDS(shared->queue_count == count);
    }
    if (how & 1) {
        pv_drain(&para);
        HOLDS(asked == queued);
        HOLDS(shared->queue_count == 0);
    }
}

/* An entry of a directory, mostly one that is used and for a table, or of a table. */
static void do_poke_entry(void)
{
    const uint8_t b = next8(), flags = next8();
    uint32_t index = b % 16u, entry = next_entry();
    unsigned page = TABLE_A + (b >> 5 & 1);
    if (b >> 7) {
        page = DIR_A + (b >> 5 & 1);
        if (index < 12) {
            index = b & 0x40 ? HIGH_GVA >> 22 : 0;
            entry = PAGE_GPA(TABLE_A + (b >> 4 & 1)) | flags;
        }
    }
    memcpy(page_of(page) + index * 4, &entry, 4);
}

/* One flag of an entry that is used. */
static void do_change_flag(void)
{
    const uint8_t b = next8();
    const unsigned table = b & 0x80 ? DIR_A : TABLE_A + (b >> 6 & 1);
    uint32_t entry, index = table == DIR_A ? 0 : next8() % PAGES;
    memcpy(&entry, page_of(table) + index * 4, 4);
    entry ^= 1u << b % 9;
    memcpy(page_of(table) + index * 4, &entry, 4);
}

/* MOV to CR3 by the same value. */
static void do_reload(void)
{
    mmu_load(&vm.vcpu, vm.vcpu.cr3, false);
}

/* Any word of any page. */
static void do_poke_word(void)
{
    const uint8_t page = next8() % PAGES, at = next8();
    const uint32_t value = next32();
    memcpy(page_of(page) + at * 4, &value, 4);
}

static void do_calls_array(void)
{
    const uint32_t at = next8() * 16u;
    const unsigned n = next8() % 8;
    for (unsigned i = 0; i < n && at + (i + 1) * sizeof(struct pv_multi) <= 2 * PAGE_SIZE; i++) {
        struct pv_multi call = {.number = next_number()};
        call.eax = next_argument(call.number);
        call.edx = next8();
        call.result = 0x7777;
        memcpy(page_of(DATA) + at + i * sizeof(call), &call, sizeof(call));
    }
}

static void do_registers(void)
{
    struct vcpu *vcpu = &vm.vcpu;
    const uint8_t b = next8();
    vcpu->cr0 = CR0_PE | (b & 1 ? CR0_WP : 0) | (b & 2 || !(b & 4) ? CR0_PG : 0);
    vcpu->cr4 = (b & 8 ? CR4_PSE : 0) | (b & 16 ? CR4_PGE : 0);
    vcpu->gdtr.base = next_gva();
    vcpu->gdtr.limit = (uint16_t)(next8() | (b & 32 ? 0xFF00 : 0));
    shadow_drop_all(&shadow); /* as the loads of these registers do */
}

/* An access of the guest that has no shadow entry: what the VMM does then. */
static void do_access(void)
{
    const uint8_t b = next8();
    const unsigned root = b & 1;
    gva_t gva = next_gva();
    for (unsigned i = 0; i < (b >= 0xE0 ? 100u : 1u);
         i++, gva += 0x200000) { /* also: the pool ends */
        gpa_t gpa = 0;
        uint32_t error = 0;
        const enum shadow_result result = shadow_fault(&shadow, (enum shadow_root_id)root, gva,
                                                       PF_P | (b & 2 ? PF_W : 0), &error, &gpa);
        const struct place p = look_up(gva);
        if (result == SHADOW_FILLED) {
            HOLDS(gva < VMM_BASE && entry_at(root, gva));
            check_fresh(root, gva, entry_at(root, gva));
        }
        HOLDS(result != SHADOW_FILLED || !(b & 2) || (entry_at(root, gva) & PTE_W));
        HOLDS(result == SHADOW_FAULT || p.present);
    }
}

static void do_watch(void)
{
    const uint8_t b = next8();
    const gpa_t gpa = PAGE_GPA(b % PAGES);
    if (guest_has_page(&vm, gpa))
        watch[gpa / PAGE_SIZE] = b >> 7;
    if (b >> 7)
        shadow_protect(&shadow, gpa);
}

static void (*const steps[])(void) = {
    do_call,   do_call,        do_call,      do_queue,       do_queue,
    do_access, do_access,      do_access,    do_poke_entry,  do_poke_word,
    do_watch,  do_calls_array, do_registers, do_change_flag, do_reload,
};

/* --- one case --- */

static void page_written(struct vm *v, gpa_t gpa)
{
    HOLDS(v == &vm && gpa < RAM_SIZE && watch[gpa / PAGE_SIZE]);
}

/* Guest RAM alone between pages that nobody may touch; the shadow's pages below 4 GB, so that their
 * addresses tell them apart when they are cut to 32 bits. */
static void set_up(void)
{
    uint8_t *all =
        mmap(NULL, 2 * AROUND, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    pool = mmap(NULL, POOL_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (all == MAP_FAILED || pool == MAP_FAILED)
        broken("memory", __LINE__);
    ram = all + AROUND;
    HOLDS(!mprotect(ram, RAM_SIZE, PROT_READ | PROT_WRITE));
    vm = (struct vm){.ram = ram,
                     .ram_hpa = RAM_HPA,
                     .ram_size = RAM_SIZE,
                     .vga_hpa = VGA_HPA,
                     .page_watch = watch,
                     .page_written = page_written};
    vm.vcpu.vm = &vm;
    HOLDS(!shadow_init(&shadow, &vm, SHADOW_PLAIN));
}

static void fill_table(unsigned n, uint32_t flags)
{
    for (unsigned i = 0; i < PAGES; i++) {
        const uint32_t entry = PAGE_GPA(i) | flags;
        memcpy(page_of(n) + i * 4, &entry, 4);
    }
}

static void fill_dir(unsigned n, unsigned table)
{
    const uint32_t entry = PAGE_GPA(table) | PTE_P | PTE_W | PTE_U | PTE_A;
    memcpy(page_of(n), &entry, 4);
    memcpy(page_of(n) + (HIGH_GVA >> 22) * 4, &entry, 4);
}

static void begin_case(uint8_t switches)
{
    memset(page_of(0), 0, PAGES * PAGE_SIZE);
    madvise(ram, FIRST, MADV_DONTNEED); /* zeros again, and quick where nothing was written */
    madvise(page_of(PAGES), RAM_SIZE - PAGE_GPA(PAGES), MADV_DONTNEED);
    memset(watch, 0, sizeof(watch));
    memset(watch + (ISA_HOLE >> PAGE_SHIFT), WATCH_NO_RAM, (ISA_HOLE_END - ISA_HOLE) >> PAGE_SHIFT);
    shadow_drop_all(&shadow);
    for (unsigned i = 0; i < SHADOW_SPACES; i++)
        shadow.spaces[i] = (struct shadow_space){.first = -1};
    shadow.current = shadow.switches = 0;
    fill_dir(DIR_A, TABLE_A);
    fill_dir(DIR_B, TABLE_B);
    fill_table(TABLE_A, PTE_P | PTE_W | PTE_U | PTE_A | PTE_D);
    fill_table(TABLE_B, PTE_P | PTE_U | (switches & 2 ? PTE_G : 0));
    vm.vcpu.cr0 = CR0_PE | CR0_PG | (switches & 4 ? CR0_WP : 0);
    vm.vcpu.cr3 = PAGE_GPA(DIR_A);
    vm.vcpu.cr4 = switches & 8 ? CR4_PGE : 0;
    vm.vcpu.gdtr = (struct table_reg){.base = GDT_PAGE * PAGE_SIZE, .limit = 0x7F};
    shared = (struct pv_shared *)page_of(SHARED_PAGE);
    para = (struct para){.vcpu = &vm.vcpu, .mmu = &mmu, .features = PV_FEATURES_ALL};
    para.patcher.shared = shared;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!ram)
        set_up();
    if (size < 2)
        return 0;
    input = data;
    input_end = data + size;
    begin_case(next8());
    while (input < input_end)
        PICK(steps, next8())();
    check_shadow(false);
    return 0;
}
