/* Guests that are in the middle of a site when it gets patched: at every boundary between two
 * instructions of every plain form, what is left of it is done as the instructions would have. */
#include "decoder.h"
#include "machine.h"
#include "para.h"

#define SITE CODE
#define ESP_BEFORE 0x8E00u
#define TOP 0x00243246u /* a word that is good as EAX and as flags */

static struct patcher patcher;
static struct pv_site site;

static void at(uint8_t op, uint32_t offset)
{
    machine_init();
    machine_kernel();
    site = (struct pv_site){.gva = SITE, .len = PV_SITE_LEN, .op = op};
    patcher = (struct patcher){.sites = &site, .site_count = 1};
    machine.vcpu.eip = SITE + offset;
    machine.vcpu.gpr[GPR_ESP] = ESP_BEFORE;
    machine.vcpu.gpr[GPR_EAX] = 0x11111111;
    machine.vcpu.int_shadow = SHADOW_STI;
    put32(ESP_BEFORE, TOP);
}

/* What the instruction at the boundary is; the others of a site are NOPs. */
enum rest { REST_NOP, REST_POP_EAX, REST_POPF, REST_HLT };

static enum rest rest_of(const uint8_t *bytes, uint8_t op)
{
    switch (bytes[0]) {
    case 0x58:
        return REST_POP_EAX;
    case 0x9D:
        return REST_POPF;
    case 0xF4:
        return REST_HLT;
    case 0x90:
    case 0x66: /* 66 90, and the longer ones with the prefix */
    case 0x0F:
        return REST_NOP;
    default:
        cr_assert_fail("operation %u has an instruction %02x that is not its first", op, bytes[0]);
        return REST_NOP;
    }
}

static void check(uint8_t op, uint32_t offset, enum rest rest)
{
    struct event fault;
    struct vcpu *v = &machine.vcpu;
    at(op, offset);
    const uint32_t flags = v->eflags;
    const enum pv_halfway got = pv_finish_site(v, &patcher, &fault);
    const bool pops = rest == REST_POP_EAX || rest == REST_POPF;
    cr_expect_eq(got, rest == REST_HLT ? PV_HALFWAY_HLT : PV_FINISHED, "%u+%u: %d", op, offset,
                 got);
    cr_expect_eq(v->eip, SITE + PV_SITE_LEN, "%u+%u ends at %x", op, offset, v->eip);
    cr_expect_eq(v->gpr[GPR_ESP], ESP_BEFORE + 4 * pops, "%u+%u: ESP", op, offset);
    cr_expect_eq(v->gpr[GPR_EAX], rest == REST_POP_EAX ? TOP : 0x11111111, "%u+%u: EAX", op,
                 offset);
    cr_expect_eq(v->eflags,
                 rest == REST_POPF ? (flags & ~PV_KERNEL_MAY_POP) | (TOP & PV_KERNEL_MAY_POP)
                                   : flags,
                 "%u+%u: EFLAGS %x", op, offset, v->eflags);
    cr_expect_eq(v->int_shadow, 0);
}

Test(halfway, every_boundary_of_every_site)
{
    unsigned rests[4] = {0};
    for (uint8_t op = 1; op < PV_OP_COUNT; op++) {
        uint8_t bytes[PV_SITE_LEN];
        struct insn insn;
        cr_assert(pv_plain_bytes(op, bytes));
        for (uint32_t offset = 0; offset < PV_SITE_LEN; offset += insn.len) {
            cr_assert_eq(decode(&insn, bytes + offset, PV_SITE_LEN - offset, 32), DECODE_OK);
            if (!offset)
                continue;
            const enum rest rest = rest_of(bytes + offset, op);
            rests[rest]++;
            check(op, offset, rest);
        }
    }
    cr_expect_eq(rests[REST_POP_EAX], 1);
    cr_expect_eq(rests[REST_POPF], 1);
    cr_expect_eq(rests[REST_HLT], 1);
    cr_expect_gt(rests[REST_NOP], 25);
}

Test(halfway, not_in_the_middle)
{
    static const uint32_t places[] = {SITE, SITE + PV_SITE_LEN, SITE - 1, SITE + PV_SITE_LEN + 1};
    struct event fault;
    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        at(PV_OP_PUSHF, 0);
        machine.vcpu.eip = places[i];
        const struct vcpu before = machine.vcpu;
        cr_expect_eq(pv_finish_site(&machine.vcpu, &patcher, &fault), PV_NOT_HALFWAY);
        cr_expect_eq(memcmp(&before, &machine.vcpu, sizeof(before)), 0);
    }
}

/* A program is in no site, whatever its EIP is. */
Test(halfway, programs_have_no_sites)
{
    struct event fault;
    at(PV_OP_CLI, 1);
    machine_user();
    machine.vcpu.eip = SITE + 1;
    cr_expect_eq(pv_finish_site(&machine.vcpu, &patcher, &fault), PV_NOT_HALFWAY);
    cr_expect_eq(machine.vcpu.eip, SITE + 1);
}

Test(halfway, a_stack_that_is_not_there_is_a_page_fault)
{
    struct event fault = {.kind = EVENT_NONE};
    at(PV_OP_PUSHF, 1);
    put32(PAGE_TABLE + (ESP_BEFORE >> 12) * 4, 0);
    cr_expect_eq(pv_finish_site(&machine.vcpu, &patcher, &fault), PV_HALFWAY_FAULT);
    cr_expect_eq(fault.vector, VEC_PF);
    cr_expect_eq(fault.cr2, ESP_BEFORE);
    cr_expect_eq(machine.vcpu.eip, SITE + 1, "nothing was done");
    cr_expect_eq(machine.vcpu.gpr[GPR_ESP], ESP_BEFORE);
}
