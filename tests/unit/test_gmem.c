/* The page walk against an oracle written from the manual's tables, and copies across pages. */
#include "machine.h"

TestSuite(gmem, .init = machine_init);

#define GVA 0x00523456u /* directory slot 1, table slot 0x123 */
#define PDE_AT (PAGE_DIR + 4u)
#define TABLE2 0xC000u
#define PTE_AT (TABLE2 + 0x123u * 4)
#define FRAME 0x00345000u

/* What SDM vol. 3A table 5-3 ("Combined Page-Directory and Page-Table Protection") and section
 * 4.7 say, spelled out case by case. Returns -1 when allowed, else the error code. */
static int oracle(unsigned pde, unsigned pte, bool wp, bool write, bool user)
{
    int request = (write ? 2 : 0) | (user ? 4 : 0);
    bool both_user = (pde & 4) && (pte & 4), both_write = (pde & 2) && (pte & 2);

    if (!(pde & 1) || !(pte & 1))
        return request;
    if (user && !both_user)
        return request | 1;
    if (write && !both_write) {
        if (user)
            return request | 1;
        return wp ? (request | 1) : -1;
    }
    return -1;
}

Test(gmem, permission_matrix)
{
    struct vcpu *v = &machine.vcpu;

    for (unsigned i = 0; i < 8 * 8 * 2 * 2 * 2 * 2; i++) {
        unsigned pde = i & 7, pte = i >> 3 & 7;
        bool wp = i >> 6 & 1, write = i >> 7 & 1, user = i >> 8 & 1, peek = i >> 9 & 1;
        int want = oracle(pde, pte, wp, write, user);
        struct walk walk;
        uint32_t error = 0xDEAD;
        bool ok;

        v->cr0 = CR0_PE | CR0_PG | (wp ? CR0_WP : 0);
        put32(PDE_AT, TABLE2 | pde);
        put32(PTE_AT, FRAME | pte);
        ok = guest_walk(v, GVA,
                        (write ? ACCESS_WRITE : 0) | (user ? ACCESS_USER : 0) |
                            (peek ? ACCESS_PEEK : 0),
                        &walk, &error);
        cr_assert_eq(ok, want < 0, "case %u", i);
        if (!ok) {
            cr_assert_eq(error, (uint32_t)want, "case %u: error %x, want %x", i, error, want);
            cr_assert_eq(get32(PDE_AT), TABLE2 | pde, "case %u: A set by a fault", i);
            cr_assert_eq(get32(PTE_AT), FRAME | pte, "case %u: A or D set by a fault", i);
            continue;
        }
        cr_assert_eq(walk.gpa, 0x345456u);
        cr_assert_eq(walk.writable, (pde & pte & 2) != 0);
        cr_assert_eq(walk.user, (pde & pte & 4) != 0);
        cr_assert_not(walk.large);
        cr_assert_eq(get32(PDE_AT), TABLE2 | pde | (peek ? 0 : PTE_A), "case %u", i);
        cr_assert_eq(get32(PTE_AT), FRAME | pte | (peek ? 0 : PTE_A | (write ? PTE_D : 0)),
                     "case %u", i);
        cr_assert_eq(walk.dirty, write && !peek);
    }
}

/* The copies must agree with the walk, whichever way they take: every right and every A and D. */
Test(gmem, copies_obey_the_matrix)
{
    struct vcpu *v = &machine.vcpu;

    for (unsigned i = 0; i < 8 * 8 * 8 * 2 * 2 * 2; i++) {
        unsigned pde = (i & 7) | (i >> 6 & 1 ? PTE_A : 0);
        unsigned pte = (i >> 3 & 7) | (i >> 7 & 1 ? PTE_A : 0) | (i >> 8 & 1 ? PTE_D : 0);
        bool wp = i >> 9 & 1, write = i >> 10 & 1, user = i >> 11 & 1, ok;
        int want = oracle(pde, pte, wp, write, user);
        unsigned access = user ? ACCESS_USER : 0;
        uint32_t value = 0x600D600D;
        struct event fault;

        v->cr0 = CR0_PE | CR0_PG | (wp ? CR0_WP : 0);
        put32(PDE_AT, TABLE2 | pde);
        put32(PTE_AT, FRAME | pte);
        put32(FRAME + (GVA & 0xFFF), 0x01D01D01);
        ok = write ? guest_write(v, GVA, &value, 4, access, &fault)
                   : guest_read(v, GVA, &value, 4, access, &fault);
        cr_assert_eq(ok, want < 0, "case %u", i);
        if (!ok) {
            cr_assert_eq(fault.error, (uint32_t)want, "case %u", i);
            cr_assert_eq(get32(FRAME + (GVA & 0xFFF)), 0x01D01D01u, "case %u", i);
            continue;
        }
        cr_assert_eq(get32(FRAME + (GVA & 0xFFF)), write ? 0x600D600Du : 0x01D01D01u);
        cr_assert(write || value == 0x01D01D01, "case %u", i);
        cr_assert_eq(get32(PDE_AT), TABLE2 | pde | PTE_A, "case %u", i);
        cr_assert_eq(get32(PTE_AT), FRAME | pte | PTE_A | (write ? PTE_D : 0), "case %u", i);
    }
}

Test(gmem, large_pages)
{
    struct vcpu *v = &machine.vcpu;
    struct walk walk;
    uint32_t error;

    v->cr4 = CR4_PSE | CR4_PGE;
    put32(PDE_AT, 0x00400000 | PTE_PS | PTE_P | PTE_W | PTE_G);
    put32(0x523456, 0xABCD1234);
    put32(0x400000 + 0x123 * 4, FRAME | 0x67); /* what a mistaken table walk would find */
    cr_assert(guest_read(v, GVA, &error, 4, 0, NULL));
    cr_assert_eq(error, 0xABCD1234u);
    cr_assert(guest_read(v, GVA, &error, 4, 0, NULL), "and with A set");
    cr_assert_eq(error, 0xABCD1234u);
    cr_assert(guest_walk(v, GVA, ACCESS_WRITE, &walk, &error));
    cr_assert_eq(walk.gpa, 0x523456u);
    cr_assert(walk.large && walk.global && walk.dirty && walk.writable && !walk.user);
    cr_assert_eq(get32(PDE_AT), 0x00400000u | PTE_PS | PTE_P | PTE_W | PTE_G | PTE_A | PTE_D);

    cr_assert_not(guest_walk(v, GVA, ACCESS_USER | ACCESS_FETCH, &walk, &error));
    cr_assert_eq(error, PF_P | PF_U, "no I bit without NX");

    v->cr4 = CR4_PSE;
    cr_assert(guest_walk(v, GVA, 0, &walk, &error));
    cr_assert_not(walk.global, "CR4.PGE is off");

    /* Each reserved bit by itself; bit 12 is PAT and allowed. */
    for (unsigned bit = 12; bit <= 21; bit++) {
        put32(PDE_AT, 0x00400000 | PTE_PS | PTE_P | PTE_U | 1u << bit);
        cr_assert_eq(guest_walk(v, GVA, ACCESS_USER | ACCESS_WRITE, &walk, &error), false);
        cr_assert_eq(error, PF_P | PF_W | PF_U | (bit == 12 ? 0 : PF_RSVD), "bit %u", bit);
    }

    /* Without PSE the PS bit means nothing: the entry points to a table. */
    v->cr4 = 0;
    put32(PDE_AT, TABLE2 | PTE_PS | PTE_P | PTE_W);
    put32(PTE_AT, FRAME | PTE_P | PTE_PS);
    cr_assert(guest_walk(v, GVA, 0, &walk, &error));
    cr_assert_eq(walk.gpa, 0x345456u);
    cr_assert_not(walk.large);
}

Test(gmem, paging_off_is_identity)
{
    struct walk walk;
    uint32_t error;

    machine.vcpu.cr0 = CR0_PE;
    cr_assert(guest_walk(&machine.vcpu, 0xFEDC1234, ACCESS_USER | ACCESS_WRITE, &walk, &error));
    cr_assert_eq(walk.gpa, 0xFEDC1234u);
    cr_assert(walk.writable && walk.user && !walk.global);
}

Test(gmem, tables_outside_of_ram)
{
    struct vcpu *v = &machine.vcpu;
    struct walk walk;
    uint32_t error;

    /* A directory of ones: with PSE a 4 MB page with reserved bits set. */
    v->cr3 = 0xF0000000;
    cr_assert_not(guest_walk(v, GVA, 0, &walk, &error));
    cr_assert_eq(error, PF_P | PF_RSVD);
    /* Without, the table is ones too: the page at the top of memory. */
    v->cr4 = 0;
    cr_assert(guest_walk(v, GVA, ACCESS_USER | ACCESS_WRITE, &walk, &error));
    cr_assert_eq(walk.gpa, 0xFFFFF456u);
    /* A table in the frame buffer is not RAM either. */
    v->cr3 = PAGE_DIR;
    put32(PDE_AT, VGA_TEXT_GPA | PTE_P);
    cr_assert(guest_walk(v, GVA, 0, &walk, &error));
    cr_assert_eq(walk.gpa, 0xFFFFF456u);
}

Test(gmem, ram_bounds)
{
    cr_assert_eq(guest_ram(&machine, 0, RAM_SIZE), NULL, "the ISA hole is inside");
    cr_assert_eq(guest_ram(&machine, 0x100000, RAM_SIZE - 0x100000), machine_ram + 0x100000);
    cr_assert_eq(guest_ram(&machine, RAM_SIZE - 4, 4), machine_ram + RAM_SIZE - 4);
    cr_assert_eq(guest_ram(&machine, RAM_SIZE - 3, 4), NULL);
    cr_assert_eq(guest_ram(&machine, 0xFFFFFFFF, 2), NULL);
    cr_assert_eq(guest_ram(&machine, 4, 0xFFFFFFFF), NULL);
    cr_assert_eq(guest_ram(&machine, 0x9FFFF, 1), machine_ram + 0x9FFFF);
    cr_assert_eq(guest_ram(&machine, 0x9FFFF, 2), NULL);
    cr_assert_eq(guest_ram(&machine, 0xFFFFF, 1), NULL);
    cr_assert_eq(guest_ram(&machine, 0x100000, 1), machine_ram + 0x100000);
}

Test(gmem, copies_cross_pages)
{
    struct vcpu *v = &machine.vcpu;
    struct event fault;
    uint8_t out[10000], in[10000];

    /* Neighbouring linear pages in frames that are not neighbours. */
    put32(PAGE_TABLE + 0x101 * 4, 0x200000 | PTE_P | PTE_W);
    put32(PAGE_TABLE + 0x102 * 4, 0x180000 | PTE_P | PTE_W);
    for (unsigned i = 0; i < sizeof(out); i++)
        out[i] = i * 7 + (i >> 8);
    for (unsigned n = 0; n <= 9; n++) {
        memset(in, 0, sizeof(in));
        cr_assert(guest_write(v, 0x101FFC, out, n, 0, &fault));
        cr_assert(guest_read(v, 0x101FFC, in, n, 0, &fault));
        cr_assert_arr_eq(in, out, n);
    }
    cr_assert_eq(memcmp(machine_ram + 0x200FFC, out, 4), 0);
    cr_assert_eq(memcmp(machine_ram + 0x180000, out + 4, 5), 0);
    cr_assert(guest_write(v, 0x100F80, out, sizeof(out), 0, &fault));
    cr_assert(guest_read(v, 0x100F80, in, sizeof(in), 0, &fault));
    cr_assert_arr_eq(in, out, sizeof(in));
}

Test(gmem, a_write_is_all_or_nothing)
{
    struct vcpu *v = &machine.vcpu;
    struct event fault;
    uint64_t value = 0x1122334455667788;

    put32(PAGE_TABLE + 0x101 * 4, 0x101000 | PTE_P | PTE_W);
    put32(PAGE_TABLE + 0x102 * 4, 0);
    cr_assert_not(guest_write(v, 0x101FFD, &value, 8, 0, &fault));
    cr_assert_eq(fault.kind, EVENT_EXCEPTION);
    cr_assert_eq(fault.vector, VEC_PF);
    cr_assert(fault.has_error);
    cr_assert_eq(fault.error, PF_W);
    cr_assert_eq(fault.cr2, 0x102000u, "the first byte that could not be written");
    cr_assert_eq(get32(0x101FFC), 0u);
    cr_assert_eq(get32(PAGE_TABLE + 0x101 * 4), 0x101000u | PTE_P | PTE_W, "no A, no D");
}

Test(gmem, linear_addresses_wrap)
{
    struct vcpu *v = &machine.vcpu;
    struct event fault;
    uint32_t value = 0xA1B2C3D4, back;

    put32(PAGE_DIR + 1023 * 4, TABLE2 | PTE_P | PTE_W);
    put32(TABLE2 + 1023 * 4, 0x150000 | PTE_P | PTE_W);
    cr_assert(guest_write(v, 0xFFFFFFFE, &value, 4, 0, &fault));
    cr_assert_eq(get16(0x150FFE), 0xC3D4);
    cr_assert_eq(get16(0), 0xA1B2);
    cr_assert(guest_read(v, 0xFFFFFFFE, &back, 4, 0, &fault));
    cr_assert_eq(back, value);
}

Test(gmem, holes_read_as_ones)
{
    struct vcpu *v = &machine.vcpu;
    struct event fault;
    uint32_t value = 0x12345678;

    v->cr0 = CR0_PE;
    cr_assert(guest_write(v, RAM_SIZE, &value, 4, 0, &fault));
    cr_assert(guest_write(v, VGA_TEXT_GPA, &value, 4, 0, &fault));
    cr_assert_eq(get32(VGA_TEXT_GPA), 0u, "swallowed");
    cr_assert(guest_read(v, RAM_SIZE - 2, &value, 4, 0, &fault));
    cr_assert_eq(value, 0xFFFF0000u);
}

static gpa_t written_page;

static void note_page(struct vm *vm, gpa_t page)
{
    (void)vm;
    written_page = page;
}

Test(gmem, watched_pages_are_reported)
{
    static uint8_t watch[RAM_SIZE / PAGE_SIZE];
    struct vcpu *v = &machine.vcpu;
    struct event fault;
    uint32_t value = 1;

    machine.page_watch = watch;
    machine.page_written = note_page;
    watch[0x123] = 1;
    cr_assert(guest_write(v, 0x122FFC, &value, 4, 0, &fault));
    cr_assert_eq(written_page, 0u);
    cr_assert(guest_read(v, 0x123000, &value, 4, 0, &fault));
    cr_assert_eq(written_page, 0u);
    cr_assert(guest_write(v, 0x123010, &value, 4, 0, &fault));
    cr_assert_eq(written_page, 0x123000u, "within the page");
    written_page = 0;
    cr_assert(guest_write(v, 0x122FFF, &value, 4, 0, &fault));
    cr_assert_eq(written_page, 0x123000u);
}
