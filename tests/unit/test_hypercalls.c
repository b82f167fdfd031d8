/*
 * The services of hypercalls, and the queue, against pv_abi.h. Behind struct pv_mmu is a model that
 * writes down what it is asked for.
 */
#include "machine.h"
#include "para.h"

#define SHARED 0x30000u /* gva and gpa of the shared page */
#define ARRAY 0x14000u  /* where a MULTI has its calls */
#define LOG_MAX 256

enum asked { FLUSH = 'f', ENTER = 'e', LOAD = 'l', KEEP = 'k', DROP = 'd' };

static struct {
    enum asked what;
    uint32_t value;
} logged[LOG_MAX];
static unsigned log_count;
static struct para para;
static struct pv_shared *shared;

static void note(enum asked what, uint32_t value)
{
    cr_assert_lt(log_count, LOG_MAX);
    logged[log_count].what = what;
    logged[log_count++].value = value;
}

/* As the contract allows, not always all that could be done at once: here two. */
static unsigned model_all(struct vcpu *vcpu, enum asked what, const uint32_t (*list)[2], unsigned n)
{
    unsigned done = 0;
    cr_expect_eq(vcpu, &machine.vcpu);
    cr_assert_geq(n, 1);
    do
        note(what, list[done++][1]);
    while (done < 2 && done < n && list[done][0] == list[0][0]);
    return done;
}

static unsigned model_flush(struct vcpu *vcpu, const uint32_t (*list)[2], unsigned n)
{
    return model_all(vcpu, FLUSH, list, n);
}

static unsigned model_enter(struct vcpu *vcpu, const uint32_t (*list)[2], unsigned n)
{
    return model_all(vcpu, ENTER, list, n);
}

static void model_load(struct vcpu *vcpu, uint32_t cr3, bool keep)
{
    vcpu->cr3 = cr3;
    note(keep ? KEEP : LOAD, cr3);
}

static void model_drop(struct vcpu *vcpu, uint32_t cr3)
{
    cr_expect_eq(vcpu, &machine.vcpu);
    note(DROP, cr3);
}

static const struct pv_mmu model = {model_flush, model_enter, model_load, model_drop};

static void setup(void)
{
    machine_init();
    memset(&para, 0, sizeof(para));
    shared = (struct pv_shared *)(machine_ram + SHARED);
    para.patcher.shared = shared;
    para.vcpu = &machine.vcpu;
    para.mmu = &model;
    para.features = PV_FEATURES_ALL;
    log_count = 0;
}

TestSuite(hypercalls, .init = setup);

static int32_t call(uint32_t number, uint32_t eax, uint32_t edx, uint32_t ebx)
{
    return pv_service(&para, number, eax, edx, ebx);
}

static void expect_log(unsigned i, enum asked what, uint32_t value)
{
    cr_assert_lt(i, log_count, "the MMU was asked for %u things only", log_count);
    cr_expect_eq(logged[i].what, what, "%u: %c, expected %c", i, logged[i].what, what);
    cr_expect_eq(logged[i].value, value, "%u: %x, expected %x", i, logged[i].value, value);
}

/* A failed call: the result, and that nothing has changed. */
static void expect_failure(int32_t result, uint32_t number, uint32_t eax, uint32_t edx,
                           uint32_t ebx)
{
    static uint8_t before[RAM_SIZE];
    const struct vcpu vcpu = machine.vcpu;
    const uint64_t bad = para.bad_calls;
    memcpy(before, machine_ram, RAM_SIZE);
    cr_expect_eq(call(number, eax, edx, ebx), result, "call %u(%x, %x, %x)", number, eax, edx, ebx);
    cr_expect_eq(memcmp(before, machine_ram, RAM_SIZE), 0, "call %u changed memory", number);
    cr_expect_eq(memcmp(&vcpu, &machine.vcpu, sizeof(vcpu)), 0, "call %u changed the vCPU", number);
    cr_expect_eq(log_count, 0, "call %u changed translations", number);
    cr_expect_eq(para.bad_calls, bad + 1);
}

/* --- which numbers there are --- */

Test(hypercalls, services_are_those_of_the_abi)
{
    static const uint32_t ops[] = {PV_OP_INVLPG, PV_OP_SET_PTE, PV_OP_WRITE_CR3, PV_OP_SWITCH_CR3,
                                   PV_OP_DROP_SPACE};
    for (uint32_t n = 0; n < PV_OP_COUNT; n++) {
        bool is = false;
        for (unsigned i = 0; i < ARRAY_LEN(ops); i++)
            is |= ops[i] == n;
        cr_expect_eq(pv_is_service(n), is, "%u", n);
    }
    cr_expect(pv_is_service(PV_CALL_NULL));
    cr_expect(pv_is_service(PV_CALL_MULTI));
    cr_expect(pv_is_service(PV_CALL_DESCRIPTOR));
    cr_expect(pv_is_service(PV_CALL_DRAIN));
}

Test(hypercalls, unknown_numbers_are_errors)
{
    static const uint32_t bad[] = {
        0,  PV_OP_CLI, PV_OP_IRET, PV_OP_READ_CR3, PV_OP_INSW, PV_OP_LLDT,  32,
        63, 69,        0x100,      0x80000040,     0xFFFFFFFF, PV_OP_CPUID, PV_OP_WRITE_CR0};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        expect_failure(PV_E_UNKNOWN, bad[i], 1, 2, 3);
}

Test(hypercalls, null_does_nothing)
{
    static uint8_t before[RAM_SIZE];
    memcpy(before, machine_ram, RAM_SIZE);
    cr_expect_eq(call(PV_CALL_NULL, 1, 2, 3), PV_OK);
    cr_expect_eq(log_count, 0);
    cr_expect_eq(memcmp(before, machine_ram, RAM_SIZE), 0);
    cr_expect_eq(para.services, 1);
    cr_expect_eq(para.bad_calls, 0);
}

Test(hypercalls, translations_are_passed_on)
{
    cr_expect_eq(call(PV_OP_INVLPG, 0x12345678, 0, 0), PV_OK);
    cr_expect_eq(call(PV_OP_SET_PTE, 0xFFFFF000, 0, 0), PV_OK);
    cr_expect_eq(call(PV_OP_WRITE_CR3, 0x5000, 0, 0), PV_OK);
    cr_expect_eq(call(PV_OP_SWITCH_CR3, 0xF0001018, 0, 0), PV_OK);
    cr_expect_eq(call(PV_OP_DROP_SPACE, 0, 0, 0), PV_OK);
    cr_assert_eq(log_count, 5);
    expect_log(0, FLUSH, 0x12345678);
    expect_log(1, ENTER, 0xFFFFF000);
    expect_log(2, LOAD, 0x5000);
    expect_log(3, KEEP, 0xF0001018);
    expect_log(4, DROP, 0);
    cr_expect_eq(para.hypercalls[PV_OP_INVLPG], 1);
    cr_expect_eq(para.hypercalls[PV_OP_DROP_SPACE], 1);
    cr_expect_eq(para.services, 0);
    cr_expect_eq(para.bad_calls, 0);
}

/* --- DESCRIPTOR --- */

Test(hypercalls, descriptor_is_written)
{
    cr_expect_eq(call(PV_CALL_DESCRIPTOR, DATA_DPL1, 0x11223344, 0x55667788), PV_OK);
    cr_expect_eq(get32(GDT + DATA_DPL1), 0x11223344);
    cr_expect_eq(get32(GDT + DATA_DPL1 + 4), 0x55667788);
    /* RPL is no part of the place. */
    cr_expect_eq(call(PV_CALL_DESCRIPTOR, DATA_DPL1 | 3, 1, 2), PV_OK);
    cr_expect_eq(get32(GDT + DATA_DPL1), 1);
    /* The last one of the table. */
    cr_expect_eq(call(PV_CALL_DESCRIPTOR, GDT_END - 8, 3, 4), PV_OK);
    cr_expect_eq(get32(GDT + GDT_END - 4), 4);
}

Test(hypercalls, descriptors_out_of_range)
{
    expect_failure(PV_E_VALUE, PV_CALL_DESCRIPTOR, 0, 1, 2);
    expect_failure(PV_E_VALUE, PV_CALL_DESCRIPTOR, 3, 1, 2);
    expect_failure(PV_E_VALUE, PV_CALL_DESCRIPTOR, KDATA | SEL_TI, 1, 2);
    expect_failure(PV_E_VALUE, PV_CALL_DESCRIPTOR, GDT_END, 1, 2);
    expect_failure(PV_E_VALUE, PV_CALL_DESCRIPTOR, 0x10000 | KDATA, 1, 2);
    expect_failure(PV_E_VALUE, PV_CALL_DESCRIPTOR, 0xFFFFFFF8, 1, 2);
    machine.vcpu.gdtr.limit = KDATA + 6; /* one byte is missing */
    expect_failure(PV_E_VALUE, PV_CALL_DESCRIPTOR, KDATA, 1, 2);
    machine.vcpu.gdtr.limit = KDATA + 7;
    cr_expect_eq(call(PV_CALL_DESCRIPTOR, KDATA, 1, 2), PV_OK);
    machine.vcpu.gdtr.limit = 0;
    expect_failure(PV_E_VALUE, PV_CALL_DESCRIPTOR, KDATA, 1, 2);
}

Test(hypercalls, descriptors_that_cannot_be_written)
{
    const gpa_t pte = PAGE_TABLE + (GDT >> 12) * 4;
    const uint32_t entry = get32(pte);
    put32(pte, 0);
    expect_failure(PV_E_ADDRESS, PV_CALL_DESCRIPTOR, KDATA, 1, 2);
    put32(pte, entry & ~PTE_W); /* CR0.WP is set */
    expect_failure(PV_E_ADDRESS, PV_CALL_DESCRIPTOR, KDATA, 1, 2);
    machine.vcpu.cr0 &= ~CR0_WP;
    cr_expect_eq(call(PV_CALL_DESCRIPTOR, KDATA, 1, 2), PV_OK);
    machine.vcpu.cr0 |= CR0_WP;
    /* A table that begins 4 bytes before a page that is not there: neither half is written. */
    put32(pte, entry);
    put32(pte + 4, 0);
    machine.vcpu.gdtr.base = GDT + 0xFF4;
    expect_failure(PV_E_ADDRESS, PV_CALL_DESCRIPTOR, 8, 1, 2);
    /* In the VMM's range it is just an address that the guest has not mapped. */
    machine.vcpu.gdtr.base = 0xF0000000;
    expect_failure(PV_E_ADDRESS, PV_CALL_DESCRIPTOR, KDATA, 1, 2);
    machine.vcpu.gdtr.base = 0xFFFFFFF4; /* and wraps */
    expect_failure(PV_E_ADDRESS, PV_CALL_DESCRIPTOR, 8, 1, 2);
}

/* --- MULTI --- */

static void put_call(uint32_t gva, uint32_t i, uint32_t number, uint32_t eax, uint32_t edx,
                     uint32_t ebx)
{
    const struct pv_multi entry = {number, eax, edx, ebx, 0x5A5A5A5A};
    memcpy(machine_ram + gva + i * sizeof(entry), &entry, sizeof(entry));
}

static int32_t result_of(uint32_t gva, uint32_t i)
{
    return (int32_t)get32(gva + i * (uint32_t)sizeof(struct pv_multi) +
                          (uint32_t)offsetof(struct pv_multi, result));
}

Test(hypercalls, multi_does_all_and_tells_each_result)
{
    put_call(ARRAY, 0, PV_OP_INVLPG, 0x1000, 0, 0);
    put_call(ARRAY, 1, PV_CALL_DESCRIPTOR, DATA_DPL1, 7, 8);
    put_call(ARRAY, 2, PV_CALL_DESCRIPTOR, 0, 7, 8);
    put_call(ARRAY, 3, 1000, 0, 0, 0);
    put_call(ARRAY, 4, PV_CALL_NULL, 0, 0, 0);
    put_call(ARRAY, 5, PV_OP_DROP_SPACE, 0x7000, 0, 0);
    put_call(ARRAY, 6, PV_OP_INVLPG, 0x9000, 0, 0); /* not asked for */
    cr_expect_eq(call(PV_CALL_MULTI, ARRAY, 6, 0), PV_OK);
    cr_expect_eq(result_of(ARRAY, 0), PV_OK);
    cr_expect_eq(result_of(ARRAY, 1), PV_OK);
    cr_expect_eq(result_of(ARRAY, 2), PV_E_VALUE);
    cr_expect_eq(result_of(ARRAY, 3), PV_E_UNKNOWN);
    cr_expect_eq(result_of(ARRAY, 4), PV_OK);
    cr_expect_eq(result_of(ARRAY, 5), PV_OK);
    cr_expect_eq(result_of(ARRAY, 6), 0x5A5A5A5A);
    cr_expect_eq(log_count, 2);
    expect_log(0, FLUSH, 0x1000);
    expect_log(1, DROP, 0x7000);
    cr_expect_eq(get32(GDT + DATA_DPL1), 7);
    /* The arguments are left as they were. */
    cr_expect_eq(get32(ARRAY), PV_OP_INVLPG);
    cr_expect_eq(get32(ARRAY + 4), 0x1000);
}

Test(hypercalls, multi_of_none_of_all_and_of_too_many)
{
    cr_expect_eq(call(PV_CALL_MULTI, ARRAY, 0, 0), PV_OK);
    cr_expect_eq(call(PV_CALL_MULTI, 0x50000000, 0, 0), PV_OK, "no entry, no address");
    for (uint32_t i = 0; i <= PV_MULTI_MAX; i++)
        put_call(ARRAY, i, PV_OP_INVLPG, i << 12, 0, 0);
    expect_failure(PV_E_VALUE, PV_CALL_MULTI, ARRAY, PV_MULTI_MAX + 1, 0);
    expect_failure(PV_E_VALUE, PV_CALL_MULTI, ARRAY, 0xFFFFFFFF, 0);
    expect_failure(PV_E_VALUE, PV_CALL_MULTI, ARRAY, 0x0CCCCCCD, 0); /* times 20: 4 */
    cr_expect_eq(call(PV_CALL_MULTI, ARRAY, PV_MULTI_MAX, 0), PV_OK);
    cr_assert_eq(log_count, PV_MULTI_MAX);
    for (uint32_t i = 0; i < PV_MULTI_MAX; i++) {
        expect_log(i, FLUSH, i << 12);
        cr_expect_eq(result_of(ARRAY, i), PV_OK);
    }
    cr_expect_eq(result_of(ARRAY, PV_MULTI_MAX), 0x5A5A5A5A);
}

/* The second page of the array is not the one behind the first in memory. */
Test(hypercalls, multi_across_pages)
{
    const uint32_t gva = ARRAY + 0xFF6;
    struct pv_multi entry = {PV_OP_INVLPG, 0x1000, 0, 0, 99};
    const gpa_t elsewhere = 0x60000;
    put32(PAGE_TABLE + ((ARRAY >> 12) + 1) * 4, elsewhere | PTE_P | PTE_W);
    memcpy(machine_ram + gva, &entry, 10);
    memcpy(machine_ram + elsewhere, (const uint8_t *)&entry + 10, 10);
    cr_expect_eq(call(PV_CALL_MULTI, gva, 1, 0), PV_OK);
    expect_log(0, FLUSH, 0x1000);
    cr_expect_eq(get32(elsewhere + 6), PV_OK);
    cr_expect_eq(get32(PAGE_TABLE + ((ARRAY >> 12) + 1) * 4),
                 elsewhere | PTE_P | PTE_W | PTE_A | PTE_D, "as if the kernel had written");
}

Test(hypercalls, multi_at_bad_addresses)
{
    const gpa_t second = PAGE_TABLE + ((ARRAY >> 12) + 1) * 4;
    const uint32_t entry = get32(second), crossing = ARRAY + 0xFF6;
    memset(machine_ram + ARRAY, 0, 2 * PAGE_SIZE);
    expect_failure(PV_E_ADDRESS, PV_CALL_MULTI, 0x50000000, 1, 0);
    expect_failure(PV_E_ADDRESS, PV_CALL_MULTI, 0xF0000000, 1, 0);
    expect_failure(PV_E_ADDRESS, PV_CALL_MULTI, 0xFFFFFFF8, 1, 0); /* wraps */
    put32(second, 0);
    expect_failure(PV_E_ADDRESS, PV_CALL_MULTI, crossing, 1, 0);
    put32(second, entry & ~PTE_W);
    expect_failure(PV_E_ADDRESS, PV_CALL_MULTI, crossing, 1, 0);
    expect_failure(PV_E_ADDRESS, PV_CALL_MULTI, ARRAY + PAGE_SIZE, 1, 0);
    put32(second, entry);
    cr_expect_eq(call(PV_CALL_MULTI, crossing, 1, 0), PV_OK);
}

/* Even the top of the address space may be used when the guest has mapped it, but not across. */
Test(hypercalls, multi_at_the_end_of_the_address_space)
{
    const uint32_t top = 0xFFFFFFFF - sizeof(struct pv_multi) + 1;
    put32(PAGE_DIR + 1023 * 4, 0x61000 | PTE_P | PTE_W);
    put32(0x61000 + 1023 * 4, 0x62000 | PTE_P | PTE_W);
    put_call(0x62000 + (top & 0xFFF), 0, PV_OP_INVLPG, 0x3000, 0, 0);
    put32(PAGE_TABLE, PTE_P | PTE_W);
    expect_failure(PV_E_ADDRESS, PV_CALL_MULTI, top + 4, 1, 0);
    expect_failure(PV_E_ADDRESS, PV_CALL_MULTI, top, 2, 0);
}

Test(hypercalls, multi_is_not_nested)
{
    put_call(ARRAY, 0, PV_CALL_MULTI, ARRAY + 0x100, 1, 0);
    put_call(ARRAY, 1, PV_OP_INVLPG, 0x2000, 0, 0);
    put_call(ARRAY + 0x100, 0, PV_OP_INVLPG, 0x1000, 0, 0);
    cr_expect_eq(call(PV_CALL_MULTI, ARRAY, 2, 0), PV_OK);
    cr_expect_eq(result_of(ARRAY, 0), PV_E_UNKNOWN);
    cr_expect_eq(result_of(ARRAY, 1), PV_OK);
    cr_expect_eq(result_of(ARRAY + 0x100, 0), 0x5A5A5A5A);
    cr_expect_eq(log_count, 1);
    expect_log(0, FLUSH, 0x2000);
}

/* A hole takes the results and gives ones: 0xFFFFFFFF is no number. */
Test(hypercalls, multi_in_a_hole)
{
    put32(PAGE_TABLE + (ARRAY >> 12) * 4, 0xC0000 | PTE_P | PTE_W | PTE_A | PTE_D);
    cr_expect_eq(call(PV_CALL_MULTI, ARRAY, 3, 0), PV_OK);
    cr_expect_eq(log_count, 0);
}

/* The array is read once: a call that changes the array does not change what follows. */
Test(hypercalls, multi_is_read_before_anything_is_done)
{
    machine.vcpu.gdtr.base = ARRAY + sizeof(struct pv_multi) - 8; /* selector 8: the second call */
    put_call(ARRAY, 0, PV_CALL_DESCRIPTOR, 8, PV_OP_DROP_SPACE, 0x666000);
    put_call(ARRAY, 1, PV_OP_INVLPG, 0x4000, 0, 0);
    cr_expect_eq(call(PV_CALL_MULTI, ARRAY, 2, 0), PV_OK);
    cr_expect_eq(log_count, 1);
    expect_log(0, FLUSH, 0x4000);
}

/* A load of CR3 may take the array away: its results are lost, and nothing else happens. */
Test(hypercalls, multi_that_loses_its_array)
{
    put_call(ARRAY, 0, PV_OP_WRITE_CR3, 0x70000, 0, 0); /* an empty directory */
    put_call(ARRAY, 1, PV_OP_INVLPG, 0x4000, 0, 0);
    cr_expect_eq(call(PV_CALL_MULTI, ARRAY, 2, 0), PV_OK);
    cr_expect_eq(log_count, 2);
    expect_log(1, FLUSH, 0x4000);
    cr_expect_eq(result_of(ARRAY, 1), 0x5A5A5A5A);
}

/* --- the queue --- */

static void queue(uint32_t op, uint32_t value)
{
    shared->queue[shared->queue_count % PV_QUEUE_MAX] = (struct pv_queued){op, value};
    shared->queue_count++;
}

Test(hypercalls, drain_of_nothing)
{
    pv_drain(&para);
    cr_expect_eq(log_count, 0);
    cr_expect_eq(para.drains, 0);
}

Test(hypercalls, drain_keeps_the_order)
{
    queue(PV_OP_SWITCH_CR3, 0x5000);
    queue(PV_OP_INVLPG, 0x1000);
    queue(PV_OP_SET_PTE, 0x1000);
    queue(PV_OP_WRITE_CR3, 0x6000);
    queue(PV_OP_DROP_SPACE, 0x5000);
    pv_drain(&para);
    cr_assert_eq(log_count, 5);
    expect_log(0, KEEP, 0x5000);
    expect_log(1, FLUSH, 0x1000);
    expect_log(2, ENTER, 0x1000);
    expect_log(3, LOAD, 0x6000);
    expect_log(4, DROP, 0x5000);
    cr_expect_eq(shared->queue_count, 0);
    cr_expect_eq(para.drains, 1);
    cr_expect_eq(para.drained, 5);
    cr_expect_eq(para.bad_entries, 0);
    pv_drain(&para); /* once is enough */
    cr_expect_eq(log_count, 5);
}

/* The steps of a stub that adds an entry, and the VMM, which an interrupt calls before one of them:
 * nothing is lost and nothing is done twice. */
Test(hypercalls, an_interrupt_between_the_steps_of_a_stub)
{
    for (unsigned moment = 0; moment <= 4; moment++) {
        setup();
        queue(PV_OP_INVLPG, 0x1000);
        queue(PV_OP_INVLPG, 0x2000);
        uint32_t count = 0;
        for (unsigned step = 0; step < 4; step++) {
            if (moment == step)
                pv_catch_up(&para);
            if (step == 0)
                count = shared->queue_count;
            else if (step == 1)
                shared->queue[count].value = 0x3000;
            else if (step == 2)
                shared->queue[count].op = PV_OP_INVLPG;
            else
                shared->queue_count++;
        }
        if (moment == 4)
            pv_catch_up(&para);
        cr_expect_eq(log_count, moment == 4 ? 3 : 2);
        pv_drain(&para);
        cr_assert_eq(log_count, 3, "moment %u", moment);
        for (uint32_t i = 0; i < 3; i++)
            expect_log(i, FLUSH, (i + 1) << 12);
        cr_expect_eq(shared->queue_count, 0);
        cr_expect_eq(para.drained, 3);
        queue(PV_OP_INVLPG, 0x4000); /* and the next is the first again */
        pv_catch_up(&para);
        cr_expect_eq(log_count, 4);
    }
}

Test(hypercalls, a_guest_that_empties_its_queue)
{
    queue(PV_OP_INVLPG, 0x1000);
    queue(PV_OP_INVLPG, 0x2000);
    pv_catch_up(&para);
    shared->queue_count = 0;
    queue(PV_OP_INVLPG, 0x3000);
    pv_drain(&para);
    cr_assert_eq(log_count, 3);
    expect_log(2, FLUSH, 0x3000);
    /* as many again as had been done before it was emptied */
    queue(PV_OP_INVLPG, 0x4000);
    pv_catch_up(&para);
    shared->queue_count = 0;
    pv_drain(&para);
    queue(PV_OP_INVLPG, 0x5000);
    pv_catch_up(&para);
    cr_assert_eq(log_count, 5);
    expect_log(4, FLUSH, 0x5000);
}

Test(hypercalls, a_full_queue)
{
    for (uint32_t i = 0; i < PV_QUEUE_MAX; i++)
        queue(PV_OP_INVLPG, i << 12);
    pv_drain(&para);
    cr_assert_eq(log_count, PV_QUEUE_MAX);
    for (uint32_t i = 0; i < PV_QUEUE_MAX; i++)
        expect_log(i, FLUSH, i << 12);
    cr_expect_eq(para.bad_entries, 0);
}

/* A count that no stub writes: what is there is done, and what is not is not looked for. */
Test(hypercalls, a_queue_that_claims_too_much)
{
    static const uint32_t claims[] = {PV_QUEUE_MAX + 1, 0x10000, 0x80000000, 0xFFFFFFFF};
    for (unsigned c = 0; c < ARRAY_LEN(claims); c++) {
        setup();
        for (uint32_t i = 0; i < PV_QUEUE_MAX; i++)
            shared->queue[i] = (struct pv_queued){PV_OP_INVLPG, i};
        shared->queue_count = claims[c];
        memset(machine_ram + SHARED + sizeof(*shared), PV_OP_INVLPG, 64); /* behind it */
        pv_drain(&para);
        cr_expect_eq(log_count, PV_QUEUE_MAX, "claim %x", claims[c]);
        cr_expect_eq(shared->queue_count, 0);
        cr_expect_eq(para.bad_entries, 1);
    }
}

Test(hypercalls, unknown_entries_are_counted_and_left_out)
{
    static const uint32_t bad[] = {0,  PV_OP_CLI,    PV_OP_IRET,    PV_OP_WRITE_CR0,
                                   63, PV_CALL_NULL, PV_CALL_MULTI, PV_CALL_DESCRIPTOR,
                                   67, 0xFFFFFFFF};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        queue(bad[i], DATA_DPL1);
    queue(PV_OP_INVLPG, 0x1000);
    pv_drain(&para);
    cr_expect_eq(para.bad_entries, ARRAY_LEN(bad));
    cr_expect_eq(log_count, 1);
    expect_log(0, FLUSH, 0x1000);
}

/* Whatever call comes, the queue is done before it: the order of the guest's code. */
Test(hypercalls, every_call_drains_first)
{
    static const uint32_t numbers[] = {PV_CALL_NULL,       PV_CALL_DRAIN, PV_CALL_MULTI,
                                       PV_CALL_DESCRIPTOR, PV_OP_INVLPG,  1000};
    for (unsigned i = 0; i < ARRAY_LEN(numbers); i++) {
        setup();
        queue(PV_OP_SET_PTE, 0x7000);
        call(numbers[i], 0x8000, 0, 0);
        cr_expect_eq(shared->queue_count, 0, "%u", numbers[i]);
        cr_expect_eq(log_count, numbers[i] == PV_OP_INVLPG ? 2 : 1, "%u", numbers[i]);
        expect_log(0, ENTER, 0x7000);
        cr_expect_eq(para.drains, 1);
    }
}

/* What the queue does may move the array, and the call sees the new place. */
Test(hypercalls, a_call_sees_what_the_queue_has_done)
{
    memcpy(machine_ram + 0x71000, machine_ram + PAGE_DIR, PAGE_SIZE); /* another directory ... */
    memcpy(machine_ram + 0x72000, machine_ram + PAGE_TABLE, PAGE_SIZE);
    put32(0x71000, 0x72000 | PTE_P | PTE_W | PTE_U | PTE_A);
    put32(0x72000 + (ARRAY >> 12) * 4, 0x73000 | PTE_P | PTE_W); /* ... with another array */
    put_call(ARRAY, 0, PV_OP_INVLPG, 0x1000, 0, 0);
    put_call(0x73000, 0, PV_OP_INVLPG, 0x2000, 0, 0);
    queue(PV_OP_WRITE_CR3, 0x71000);
    cr_expect_eq(call(PV_CALL_MULTI, ARRAY, 1, 0), PV_OK);
    cr_expect_eq(log_count, 2);
    expect_log(1, FLUSH, 0x2000);
    cr_expect_eq(result_of(0x73000, 0), PV_OK);
    cr_expect_eq(result_of(ARRAY, 0), 0x5A5A5A5A);
}

/* --- the switches --- */

static uint32_t features(const char *options)
{
    uint32_t bits = 0xDEADBEEF;
    const char *why = pv_features(options, &bits);
    cr_expect_null(why, "\"%s\": %s", options, why);
    return bits;
}

Test(hypercalls, switches_take_features_away)
{
    cr_expect_eq(features(NULL), PV_FEATURES_ALL);
    cr_expect_eq(features(""), PV_FEATURES_ALL);
    cr_expect_eq(features("mem=32 umip=on"), PV_FEATURES_ALL);
    cr_expect_eq(features("pv="), PV_FEATURES_ALL);
    cr_expect_eq(features("pv=-sti"), PV_FEATURES_ALL & ~PV_FEATURE_STI);
    cr_expect_eq(features("pv=-cr"), PV_FEATURES_ALL & ~PV_FEATURE_CR);
    cr_expect_eq(features("pv=-mmu"), PV_FEATURES_ALL & ~PV_FEATURE_MMU);
    cr_expect_eq(features("pv=-batch"), PV_FEATURES_ALL & ~PV_FEATURE_BATCH);
    cr_expect_eq(features("pv=-io"), PV_FEATURES_ALL & ~PV_FEATURE_IO);
    cr_expect_eq(features("pv=-short"), PV_FEATURES_ALL & ~PV_FEATURE_SHORT);
    cr_expect_eq(features("mem=32 pv=-io,-sti umip=on"),
                 PV_FEATURES_ALL & ~(PV_FEATURE_IO | PV_FEATURE_STI));
    cr_expect_eq(features("pv=-sti,-cr,-mmu,-batch,-io,-short,-clock,-timer,-virtio"), 0);
    cr_expect_eq(features("pv=-sti,-sti"), PV_FEATURES_ALL & ~PV_FEATURE_STI);
}

Test(hypercalls, switches_refuse_all_else)
{
    static const char *const bad[] = {"pv=sti",      "pv=+sti", "pv=-",      "pv=-st",  "pv=-stix",
                                      "pv=off",      "pv=,",    "pv=-sti,,", "pv=-STI", "pv=--sti",
                                      "pv=-sti,-no", "pv=-cr;", "pv=-io,sti"};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        uint32_t bits;
        cr_expect_not_null(pv_features(bad[i], &bits), "\"%s\" was taken", bad[i]);
    }
    uint32_t bits;
    cr_expect_not_null(
        strstr(pv_features("pv=-sti,-stix,-io", &bits), "'-stix' is no word of pv="));
}

/* What does not fit the buffer is not silently cut down to something that does. */
Test(hypercalls, a_long_list_is_refused)
{
    char options[200] = "pv=";
    uint32_t bits;
    while (strlen(options) < 150)
        strcat(options, "-sti,");
    strcat(options, "-bad");
    cr_expect_not_null(pv_features(options, &bits));
}

Test(hypercalls, timer)
{
    const struct oneshot *oneshot = &machine.dev.oneshot;
    machine.vcpu.tsc_offset = 100;
    cr_expect_eq(pv_service(&para, PV_CALL_TIMER, 1105, 0, 32), PV_OK);
    cr_expect_eq(oneshot->deadline, 1000);
    cr_expect_eq(oneshot->vector, 32);
    cr_expect_eq(pv_service(&para, PV_CALL_TIMER, 105, 1, 255), PV_OK);
    cr_expect_eq(oneshot->deadline, 1ull << 32);
    cr_expect_eq(oneshot->vector, 255);
    for (uint32_t vector = 1; vector < 32; vector++)
        cr_expect_eq(pv_service(&para, PV_CALL_TIMER, 0, 0, vector), PV_E_VALUE);
    cr_expect_eq(pv_service(&para, PV_CALL_TIMER, 0, 0, 256), PV_E_VALUE);
    cr_expect_eq(oneshot->deadline, 1ull << 32, "a bad call changes nothing");
    cr_expect_eq(pv_service(&para, PV_CALL_TIMER, 50, 0, 40), PV_OK);
    cr_expect_eq(oneshot->deadline, 0, "before the beginning of time: at once");
    cr_expect_eq(pv_service(&para, PV_CALL_TIMER, 50, 0, 0), PV_OK);
    cr_expect_eq(oneshot->deadline, UINT64_MAX);
    para.features &= ~(uint32_t)PV_FEATURE_TIMER;
    cr_expect_eq(pv_service(&para, PV_CALL_TIMER, 1105, 0, 32), PV_E_UNKNOWN);
}

Test(hypercalls, words_of_the_option)
{
    cr_expect_eq(features("pv=-clock,-timer"),
                 PV_FEATURES_ALL & ~(PV_FEATURE_CLOCK | PV_FEATURE_TIMER));
    cr_expect_eq(features("pv=repatch,count"), PV_FEATURES_ALL | PV_REPATCH | PV_COUNT_SITES);
}
