/* vtx mode's pure parts: the choice of controls, events, exit qualifications, the
 * entry checks. */
#include <criterion/criterion.h>
#include <string.h>

#include "vmx/vmx.h"
#include "x86.h"

/* --- the choice of controls --- */

/* A CPU that offers every control and forces none on. */
static struct vmx_capabilities full_cpu(void)
{
    struct vmx_capabilities cap = {
        .basic = 1ull << 54 | 0x2B,
        .misc = 5,
        .ept_vpid = UINT64_MAX,
        .cr0_on = CR0_PE | CR0_NE | CR0_PG,
        .cr0_may = UINT32_MAX,
        .cr4_on = CR4_VMXE,
        .cr4_may = 0x27FF,
    };
    for (int w = 0; w < WORD_COUNT; w++)
        cap.allowed[w] = 0xFFFFFFFF00000000ull;
    return cap;
}

static void forbid(struct vmx_capabilities *cap, enum vmx_word word, uint32_t bit)
{
    cap->allowed[word] &= ~((uint64_t)bit << 32);
}

Test(vmx_negotiate, a_full_cpu)
{
    const struct vmx_capabilities cap = full_cpu();
    struct vmx_controls c;
    cr_assert_null(vmx_negotiate(&cap, &c));
    cr_expect_eq(c.revision, 0x2B);
    cr_expect_eq(c.timer_shift, 5);
    cr_expect_eq(c.invept_type, 1);
    cr_expect_eq(c.invvpid_type, 1);
    cr_expect(c.word[WORD_CPU2] & CPU2_VPID);
    cr_expect_not(c.word[WORD_CPU] & CPU_INTERRUPT_WINDOW, "the window opens on demand");
    cr_expect_not(c.word[WORD_EXIT] & EXIT_HOST_64BIT);
    cr_expect_not(c.word[WORD_ENTRY] & ENTRY_GUEST_64BIT);
}

Test(vmx_negotiate, what_is_missing_is_named)
{
    static const struct {
        enum vmx_word word;
        uint32_t bit;
        const char *text;
    } cases[] = {
        {WORD_PIN, PIN_EXTERNAL_INTERRUPT, "external interrupts"},
        {WORD_CPU, CPU_HLT, "HLT"},
        {WORD_CPU, CPU_INTERRUPT_WINDOW, "ready for an interrupt"},
        {WORD_CPU, CPU_CR3_LOAD, "MOV to CR3"},
        {WORD_CPU, CPU_INVLPG, "INVLPG"},
        {WORD_EXIT, EXIT_SAVE_DEBUG, "DR7"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct vmx_capabilities cap = full_cpu();
        struct vmx_controls c;
        forbid(&cap, cases[i].word, cases[i].bit);
        const char *why = vmx_negotiate(&cap, &c);
        cr_assert_not_null(why, "case %u", i);
        cr_expect(strstr(why, cases[i].text), "case %u: %s", i, why);
    }
}

Test(vmx_negotiate, forced_bits_stay_and_64_bit_is_refused)
{
    struct vmx_capabilities cap = full_cpu();
    struct vmx_controls c;
    cap.allowed[WORD_CPU] |= 1u << 15;
    cr_assert_null(vmx_negotiate(&cap, &c));
    cr_expect(c.word[WORD_CPU] & 1u << 15);
    cap.allowed[WORD_EXIT] |= EXIT_HOST_64BIT;
    cr_expect_not_null(vmx_negotiate(&cap, &c));
}

/* Old CPUs: what is not there is done without, and a reason is given. */
Test(vmx_negotiate, generations)
{
    struct vmx_capabilities cap = full_cpu();
    struct vmx_controls c;
    const uint32_t exits = CPU_CR3_LOAD | CPU_CR3_STORE | CPU_INVLPG;
    cr_assert_null(vmx_negotiate(&cap, &c));
    cr_expect(c.unrestricted && !c.no_ept && c.string_info);
    cr_expect_not(c.word[WORD_CPU] & exits, "EPT needs none of these exits");
    forbid(&cap, WORD_CPU2, CPU2_UNRESTRICTED);
    cr_assert_null(vmx_negotiate(&cap, &c));
    cr_expect(!c.unrestricted && !c.no_ept);
    forbid(&cap, WORD_CPU2, CPU2_EPT);
    cr_assert_null(vmx_negotiate(&cap, &c));
    cr_expect(!c.unrestricted && strstr(c.no_ept, "no EPT"));
    cr_expect_eq(c.word[WORD_CPU] & exits, exits);
    cr_expect(c.word[WORD_CPU2] & CPU2_VPID);
    cap.allowed[WORD_CPU2] = 0;
    cap.ept_vpid = 0;
    cap.basic &= ~(1ull << 54);
    forbid(&cap, WORD_CPU, CPU_SECONDARY);
    cr_assert_null(vmx_negotiate(&cap, &c));
    cr_expect_eq(c.word[WORD_CPU2], 0);
    cr_expect_not(c.word[WORD_CPU] & CPU_SECONDARY);
    cr_expect_not(c.string_info);
}

Test(vmx_negotiate, without_ept_nothing_of_it_is_left)
{
    const struct vmx_capabilities cap = full_cpu();
    struct vmx_controls c;
    cr_assert_null(vmx_negotiate(&cap, &c));
    vmx_without_ept(&c);
    cr_expect_not(c.word[WORD_CPU2] & (CPU2_EPT | CPU2_UNRESTRICTED));
    cr_expect_not(c.unrestricted);
    cr_expect(c.word[WORD_CPU] & CPU_CR3_LOAD && c.word[WORD_CPU] & CPU_CR3_STORE);
    cr_expect(c.word[WORD_CPU] & CPU_INVLPG);
}

/* Loading the guest's EFER and not the host's afterwards would leave the guest's with the host. */
Test(vmx_negotiate, entry_and_exit_are_paired)
{
    struct vmx_capabilities cap = full_cpu();
    struct vmx_controls c;
    forbid(&cap, WORD_EXIT, EXIT_LOAD_EFER);
    forbid(&cap, WORD_ENTRY, ENTRY_LOAD_PAT);
    cr_assert_null(vmx_negotiate(&cap, &c));
    cr_expect_not(c.word[WORD_ENTRY] & (ENTRY_LOAD_EFER | ENTRY_LOAD_PAT));
    cr_expect_not(c.word[WORD_EXIT] & (EXIT_LOAD_EFER | EXIT_LOAD_PAT));
}

Test(vmx_negotiate, no_invvpid_means_no_vpid)
{
    struct vmx_capabilities cap = full_cpu();
    struct vmx_controls c;
    cap.ept_vpid &= UINT32_MAX;
    cr_assert_null(vmx_negotiate(&cap, &c));
    cr_expect_not(c.word[WORD_CPU2] & CPU2_VPID);
    cap.ept_vpid &= ~(1ull << 16);
    cr_assert_null(vmx_negotiate(&cap, &c));
    cr_expect(strstr(c.no_ept, "2 MB pages"));
}

static unsigned found_count, used_count;

static void count_features(const char *name, bool found, bool used, const char *consequence)
{
    cr_expect_not_null(consequence, "%s", name);
    cr_expect(found || !used, "%s", name);
    found_count += found;
    used_count += used;
}

Test(vmx_negotiate, optional_controls_are_listed)
{
    struct vmx_capabilities cap = full_cpu();
    struct vmx_controls c;
    vmx_negotiate(&cap, &c);
    vmx_controls_walk(&c, count_features);
    const unsigned all = found_count;
    cr_expect_eq(used_count, all);
    forbid(&cap, WORD_CPU2, CPU2_VPID | CPU2_WBINVD);
    vmx_negotiate(&cap, &c);
    vmx_without_ept(&c);
    found_count = used_count = 0;
    vmx_controls_walk(&c, count_features);
    cr_expect_eq(found_count, all - 2);
    cr_expect_eq(used_count, all - 4, "without EPT there is no unrestricted guest");
}

/* --- events --- */

static const struct event gp = {
    .kind = EVENT_EXCEPTION, .vector = VEC_GP, .has_error = true, .error = 0x18};

Test(vmx_event, words)
{
    const struct event irq = {.kind = EVENT_IRQ, .vector = 0x20};
    const struct event nmi = {.kind = EVENT_NMI, .vector = 2};
    const struct event int80 = {.kind = EVENT_SOFT_INT, .vector = 0x80};
    const struct event int3 = {.kind = EVENT_SOFT_INT, .vector = VEC_BP};
    cr_expect_eq(vmx_event_info(&irq, true), 0x80000020);
    cr_expect_eq(vmx_event_info(&nmi, true), 0x80000202);
    cr_expect_eq(vmx_event_info(&gp, true), 0x80000B0D);
    cr_expect_eq(vmx_event_info(&gp, false), 0x8000030D, "real mode pushes no error code");
    cr_expect_eq(vmx_event_info(&int80, true), 0x80000480);
    cr_expect_eq(vmx_event_info(&int3, true), 0x80000603);
    cr_expect_eq(vmx_event_length(&int80), 2);
    cr_expect_eq(vmx_event_length(&int3), 1);
    cr_expect_eq(vmx_event_length(&gp), 0);
}

Test(vmx_event, what_was_cut_short_comes_back)
{
    struct event e = vmx_event_decode(0x80000B0D, 0x18);
    cr_expect(e.kind == EVENT_EXCEPTION && e.vector == VEC_GP && e.has_error && e.error == 0x18);
    e = vmx_event_decode(0x80000020, 99);
    cr_expect(e.kind == EVENT_IRQ && e.vector == 0x20 && !e.has_error && e.error == 0);
    e = vmx_event_decode(0x80001480, 0); /* bit 12 is undefined there */
    cr_expect(e.kind == EVENT_SOFT_INT && e.vector == 0x80);
    e = vmx_event_decode(0x80000501, 0);
    cr_expect(e.kind == EVENT_EXCEPTION && e.vector == VEC_DB, "INT1 checks no DPL");
    cr_expect_eq(vmx_event_decode(0x00000B0D, 0).kind, EVENT_NONE);
}

Test(vmx_event, interrupt_shadow)
{
    cr_expect_eq(vmx_interruptibility(SHADOW_STI, FL_IF), BLOCKING_STI);
    cr_expect_eq(vmx_interruptibility(SHADOW_STI, 0), 0);
    cr_expect_eq(vmx_interruptibility(SHADOW_MOV_SS, 0), BLOCKING_MOV_SS);
    cr_expect_eq(vmx_interruptibility(SHADOW_STI | SHADOW_MOV_SS, FL_IF), BLOCKING_MOV_SS);
}

/* --- exit qualifications --- */

Test(vmx_qualification, port_access)
{
    struct exit exit = {0};
    vmx_decode_io(0x03F80000, &exit); /* out 3F8, al */
    cr_expect(exit.reason == EXIT_IO && exit.io.port == 0x3F8 && exit.io.size == 1);
    cr_expect_not(exit.io.in || exit.io.string || exit.io.rep);
    vmx_decode_io(0xFFFF000B, &exit); /* in eax, FFFF */
    cr_expect(exit.io.port == 0xFFFF && exit.io.size == 4 && exit.io.in);
}

Test(vmx_qualification, string_port_access)
{
    struct exit exit = {0};
    vmx_decode_io(0x01F00031, &exit); /* rep outsw, FS, 32-bit addresses */
    vmx_decode_string(0x00020080, &exit);
    cr_expect(exit.io.string && exit.io.rep && !exit.io.in && exit.io.size == 2);
    cr_expect(exit.io.segment == SREG_FS && exit.io.addr_size == 4);
    vmx_decode_io(0x01F00018, &exit); /* insb, 16-bit addresses: always ES */
    vmx_decode_string(0x00018000, &exit);
    cr_expect(exit.io.in && !exit.io.rep && exit.io.segment == SREG_ES && exit.io.addr_size == 2);
}

Test(vmx_qualification, control_registers)
{
    struct exit exit = {0};
    vmx_decode_cr(0x00000404, 0, &exit); /* mov cr4, esp */
    cr_expect(exit.cr.number == 4 && exit.cr.write && !exit.cr.has_value && exit.cr.gpr == GPR_ESP);
    vmx_decode_cr(0x00000313, 0, &exit); /* mov ebx, cr3 */
    cr_expect(exit.cr.number == 3 && !exit.cr.write && exit.cr.gpr == GPR_EBX);
    vmx_decode_cr(0x00000020, CR0_PE | CR0_TS, &exit);
    cr_expect(exit.cr.write && exit.cr.has_value && exit.cr.value == CR0_PE, "CLTS");
    vmx_decode_cr(0x00060030, CR0_PG | CR0_PE | CR0_TS, &exit);
    cr_expect_eq(exit.cr.value, CR0_PG | CR0_PE | CR0_MP | CR0_EM, "LMSW keeps PE");
}

Test(vmx_qualification, nested_faults)
{
    cr_expect_eq(vmx_decode_access(0x181), 0, "a read of what is not mapped");
    cr_expect_eq(vmx_decode_access(0x182), PF_W);
    cr_expect_eq(vmx_decode_access(0x18C), PF_I | PF_P);
}

/* --- the checks of VM entry --- */

static uint32_t vmcs[0x8000]; /* by encoding */
static uint8_t memory[PAGE_SIZE];
static struct vmx_capabilities cpu;
static struct vmx_controls controls;

static uint32_t get(enum vmcs_field field)
{
    return vmcs[field];
}

static bool read_memory(uint64_t hpa, void *to, unsigned n)
{
    if (hpa + n > sizeof(memory))
        return false;
    memcpy(to, memory + hpa, n);
    return true;
}

/* The first broken rule of one part of the walk, or of all. */
static const char *broken(void (*part)(struct vmx_entry *))
{
    struct vmx_entry entry = {.cpu = &cpu, .get = get, .memory = read_memory, .vmcs = 0x7000};
    if (!part)
        vmx_check(&entry);
    else
        part(&entry);
    return entry.rules.broken ? entry.rules.broken->sentence : NULL;
}

#define CODE (SEG_P | SEG_S | SEG_CODE | SEG_RW | SEG_ACCESSED | SEG_DB | SEG_G)
#define DATA (SEG_P | SEG_S | SEG_RW | SEG_ACCESSED | SEG_DB | SEG_G)

/* A VMCS as this VMM makes it, for a guest in flat protected mode. */
static void good_vmcs(void)
{
    cpu = full_cpu();
    cpu.phys_bits = 36;
    cpu.efer_may = EFER_NXE;
    vmx_negotiate(&cpu, &controls);
    vmcs[VMCS_PIN_CONTROLS] = controls.word[WORD_PIN];
    vmcs[VMCS_CPU_CONTROLS] = controls.word[WORD_CPU];
    vmcs[VMCS_CPU_CONTROLS2] = controls.word[WORD_CPU2];
    vmcs[VMCS_EXIT_CONTROLS] = controls.word[WORD_EXIT];
    vmcs[VMCS_ENTRY_CONTROLS] = controls.word[WORD_ENTRY];
    vmcs[VMCS_EPT_POINTER] = 0x1000 | 0x1E;
    vmcs[VMCS_VPID] = 1;
    vmcs[VMCS_HOST_CR0] = CR0_PE | CR0_NE | CR0_PG;
    vmcs[VMCS_HOST_CR4] = CR4_PAE | CR4_VMXE;
    for (int f = VMCS_HOST_ES_SEL; f <= VMCS_HOST_TR_SEL; f += 2)
        vmcs[f] = 0x10;
    vmcs[VMCS_HOST_PAT] = vmcs[VMCS_GUEST_PAT] = 0x00070406;
    vmcs[VMCS_GUEST_CR0] = CR0_PE | CR0_NE;
    vmcs[VMCS_GUEST_CR4] = CR4_VMXE;
    vmcs[VMCS_GUEST_EFLAGS] = FL_R1 | FL_IF;
    vmcs[VMCS_LINK_POINTER] = vmcs[VMCS_LINK_POINTER + 1] = UINT32_MAX;
    for (int reg = SREG_ES; reg <= SREG_GS; reg++) {
        vmcs[VMCS_SEGMENT(VMCS_GUEST_ES_LIMIT, reg)] = UINT32_MAX;
        vmcs[VMCS_SEGMENT(VMCS_GUEST_ES_RIGHTS, reg)] = reg == SREG_CS ? CODE : DATA;
    }
    vmcs[VMCS_GUEST_LDTR_RIGHTS] = SEG_UNUSABLE;
    vmcs[VMCS_GUEST_TR_RIGHTS] = SEG_P | SYS_TSS32_BUSY;
    vmcs[VMCS_GUEST_TR_LIMIT] = 0x67;
}

TestSuite(vmx_check, .init = good_vmcs);

Test(vmx_check, a_good_vmcs_breaks_no_rule)
{
    cr_expect_null(broken(NULL));
    memcpy(memory, &(uint32_t){0x2B}, 4);
    vmcs[VMCS_LINK_POINTER] = vmcs[VMCS_LINK_POINTER + 1] = 0; /* another VMCS */
    cr_expect_null(broken(NULL));
}

Test(vmx_check, real_mode_and_virtual_8086_mode_are_good)
{
    vmcs[VMCS_GUEST_CR0] = CR0_NE;
    vmcs[VMCS_GUEST_CS_RIGHTS] = SEG_P | SEG_S | SEG_RW | SEG_ACCESSED;
    vmcs[VMCS_GUEST_CS_LIMIT] = 0xFFFF;
    cr_expect_null(broken(vmx_check_guest));
    vmcs[VMCS_GUEST_CR0] = CR0_NE | CR0_PE;
    vmcs[VMCS_GUEST_EFLAGS] |= FL_VM;
    for (int reg = SREG_ES; reg <= SREG_GS; reg++) {
        vmcs[VMCS_SEGMENT(VMCS_GUEST_ES, reg)] = 0x1234;
        vmcs[VMCS_SEGMENT(VMCS_GUEST_ES_BASE, reg)] = 0x12340;
        vmcs[VMCS_SEGMENT(VMCS_GUEST_ES_LIMIT, reg)] = 0xFFFF;
        vmcs[VMCS_SEGMENT(VMCS_GUEST_ES_RIGHTS, reg)] = 0xF3;
    }
    cr_expect_null(broken(vmx_check_guest));
    vmcs[VMCS_GUEST_FS_BASE] = 0x12341;
    cr_expect_not_null(broken(vmx_check_guest));
}

/* Break one field and expect a rule that names it. */
struct broken {
    int field;
    uint32_t value;
    const char *text;
};

static void expect_broken(const struct broken *b, unsigned n, void (*part)(struct vmx_entry *))
{
    for (unsigned i = 0; i < n; i++) {
        const uint32_t was = vmcs[b[i].field];
        vmcs[b[i].field] = b[i].value;
        const char *why = broken(part);
        cr_expect(why && strstr(why, b[i].text), "%s: %s", b[i].text, why ? why : "not found");
        vmcs[b[i].field] = was;
    }
}

Test(vmx_check, guest_rules)
{
    static const struct broken cases[] = {
        {VMCS_GUEST_CR0, CR0_PG | CR0_NE, "CR0.PG is set"},
        {VMCS_GUEST_CR0, CR0_PE, "CR0 has bits"},
        {VMCS_GUEST_CR4, 0, "CR4 has bits"},
        {VMCS_GUEST_PAT, 0x02, "PAT"},
        {VMCS_GUEST_PAT + 1, 0x08000000, "PAT"},
        {VMCS_GUEST_EFER, 0x400, "EFER"},
        {VMCS_GUEST_TR_RIGHTS, SEG_P | SYS_TSS32_AVAIL, "busy TSS"},
        {VMCS_GUEST_TR, 4, "TR's selector"},
        {VMCS_GUEST_LDTR_RIGHTS, SEG_P | SYS_TSS32_BUSY, "must be an LDT"},
        {VMCS_GUEST_CS_RIGHTS, CODE & ~SEG_ACCESSED, "accessed code"},
        {VMCS_GUEST_CS_RIGHTS, CODE & ~SEG_P, "not present"},
        {VMCS_GUEST_CS_RIGHTS, CODE | SEG_DPL, "non-conforming CS"},
        {VMCS_GUEST_CS_RIGHTS, CODE | SEG_CE | SEG_DPL, "DPL of conforming CS"},
        {VMCS_GUEST_SS_RIGHTS, DATA & ~SEG_RW, "writable"},
        {VMCS_GUEST_DS_RIGHTS, DATA | 0x100, "reserved access-rights"},
        {VMCS_GUEST_DS_LIMIT, 0xFFFFF000, "granularity"},
        {VMCS_GUEST_TR_LIMIT, 0x100000, "granularity"},
        {VMCS_GUEST_FS_RIGHTS, DATA & ~SEG_ACCESSED, "DS, ES, FS and GS"},
        {VMCS_GUEST_GS_RIGHTS, CODE & ~SEG_RW, "DS, ES, FS and GS"},
        {VMCS_GUEST_GDTR_LIMIT, 0x10000, "descriptor-table limit"},
        {VMCS_GUEST_EFLAGS, 0, "EFLAGS"},
        {VMCS_GUEST_EFLAGS, FL_R1 | 0x8000, "EFLAGS"},
        {VMCS_GUEST_ACTIVITY, 4, "activity"},
        {VMCS_GUEST_INTERRUPTIBILITY, 3, "at once"},
        {VMCS_GUEST_INTERRUPTIBILITY, 0x20, "reserved bits of the interruptibility"},
        {VMCS_LINK_POINTER + 1, 0, "link pointer"},
    };
    expect_broken(cases, ARRAY_LEN(cases), vmx_check_guest);
}

/* An injected interrupt needs IF and no shadow; a shadow of STI needs IF; TF needs a pending step.
 */
Test(vmx_check, events_and_interruptibility)
{
    vmcs[VMCS_ENTRY_EVENT] = 0x80000020;
    cr_expect_null(broken(vmx_check_guest));
    const struct broken with_irq[] = {
        {VMCS_GUEST_EFLAGS, FL_R1, "EFLAGS.IF is clear"},
        {VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_STI, "while interrupts are blocked"},
    };
    expect_broken(with_irq, ARRAY_LEN(with_irq), vmx_check_guest);
    vmcs[VMCS_ENTRY_EVENT] = 0;
    vmcs[VMCS_GUEST_INTERRUPTIBILITY] = BLOCKING_STI;
    cr_expect_null(broken(vmx_check_guest));
    const struct broken with_shadow[] = {
        {VMCS_GUEST_EFLAGS, FL_R1, "blocking by STI"},
        {VMCS_GUEST_EFLAGS, FL_R1 | FL_IF | FL_TF, "single step"},
    };
    expect_broken(with_shadow, ARRAY_LEN(with_shadow), vmx_check_guest);
}

Test(vmx_check, control_rules)
{
    static const struct broken cases[] = {
        {VMCS_CR3_TARGETS, 5, "CR3 targets"},
        {VMCS_VPID, 0, "VPID"},
        {VMCS_CPU_CONTROLS2, CPU2_UNRESTRICTED, "needs EPT"},
        {VMCS_EPT_POINTER, 0x101D, "memory type"},
        {VMCS_EPT_POINTER, 0x1016, "levels"},
        {VMCS_ENTRY_EVENT, 0x80000120, "reserved type"},
        {VMCS_ENTRY_EVENT, 0x80001020, "reserved bits set"},
        {VMCS_ENTRY_EVENT, 0x80000203 | 4, "impossible vector"},
        {VMCS_ENTRY_EVENT, 0x8000030D, "error code"},
        {VMCS_ENTRY_EVENT, 0x80000B06, "error code"},
        {VMCS_ENTRY_EVENT, 0x80000480, "instruction length"},
    };
    expect_broken(cases, ARRAY_LEN(cases), vmx_check_controls);
    cpu.allowed[WORD_PIN] |= 0x16;
    cr_expect_not_null(strstr(broken(vmx_check_controls), "pin-based"));
    cpu.allowed[WORD_PIN] &= ~0xFFFFFFFFull;
    cpu.misc |= 1u << 30;
    vmcs[VMCS_ENTRY_EVENT] = 0x80000480;
    cr_expect_null(broken(vmx_check_controls), "length 0 is offered");
    cpu.basic |= 1ull << 56;
    vmcs[VMCS_ENTRY_EVENT] = 0x8000030D;
    cr_expect_null(broken(vmx_check_controls), "any error code is offered");
}

/* What no CPU of the two emulators offers. */
Test(vmx_check, controls_of_other_cpus)
{
    static const struct broken with_pml[] = {
        {VMCS_CPU_CONTROLS2, CPU2_PML, "logging needs EPT"},
        {VMCS_PML_ADDRESS, 1, "log is no page"},
        {VMCS_CPU_CONTROLS2, CPU2_MODE_EXECUTE, "execute control needs EPT"},
    };
    static const struct broken with_posting[] = {
        {VMCS_CPU_CONTROLS2, 0, "without virtual-interrupt delivery"},
        {VMCS_EXIT_CONTROLS, 0, "without acknowledging"},
        {VMCS_POSTED_VECTOR, 0x100, "vector"},
        {VMCS_POSTED_DESCRIPTOR, 0x20, "descriptor"},
        {VMCS_POSTED_DESCRIPTOR + 1, 0x10, "descriptor"},
    };
    vmcs[VMCS_CPU_CONTROLS2] |= CPU2_PML;
    cr_expect_null(broken(vmx_check_controls));
    expect_broken(with_pml, ARRAY_LEN(with_pml), vmx_check_controls);
    vmcs[VMCS_CPU_CONTROLS2] = CPU2_VIRTUAL_DELIVERY;
    vmcs[VMCS_CPU_CONTROLS] |= CPU_TPR_SHADOW;
    vmcs[VMCS_PIN_CONTROLS] |= PIN_POSTED_INTERRUPTS;
    vmcs[VMCS_EXIT_CONTROLS] |= EXIT_ACKNOWLEDGE;
    cr_expect_null(broken(vmx_check_controls));
    expect_broken(with_posting, ARRAY_LEN(with_posting), vmx_check_controls);
    good_vmcs();
    cpu.ept_vpid = 1ull << 6 | 1ull << 14;
    vmcs[VMCS_PIN_CONTROLS] &= ~PIN_POSTED_INTERRUPTS;
    vmcs[VMCS_CPU_CONTROLS2] = CPU2_EPT;
    vmcs[VMCS_EPT_POINTER] |= 1u << 6;
    cr_expect(strstr(broken(vmx_check_controls), "accessed bits"));
}

Test(vmx_check, cet_needs_write_protection)
{
    cpu.cr4_may |= CR4_CET;
    vmcs[VMCS_HOST_CR4] |= CR4_CET;
    vmcs[VMCS_GUEST_CR4] |= CR4_CET;
    cr_expect(strstr(broken(vmx_check_host), "CET"));
    cr_expect(strstr(broken(vmx_check_guest), "CET"));
    vmcs[VMCS_HOST_CR0] |= CR0_WP;
    vmcs[VMCS_GUEST_CR0] |= CR0_WP;
    cr_expect_null(broken(NULL));
}

/* A VMCS of a CPU without secondary controls: the fields that it has not are not read. */
static uint32_t get_of_old_cpu(enum vmcs_field field)
{
    cr_expect(field != VMCS_CPU_CONTROLS2 && field != VMCS_EPT_POINTER && field != VMCS_VPID &&
                  field != VMCS_GUEST_PAT && field != VMCS_GUEST_EFER && field != VMCS_HOST_PAT &&
                  field != VMCS_HOST_EFER && field != VMCS_GUEST_PDPTE0,
              "field %04x", field);
    return vmcs[field];
}

Test(vmx_check, an_old_cpu)
{
    struct vmx_entry entry = {.cpu = &cpu, .get = get_of_old_cpu, .memory = read_memory};
    forbid(&cpu, WORD_CPU, CPU_SECONDARY);
    cpu.allowed[WORD_CPU2] = 0;
    forbid(&cpu, WORD_EXIT, EXIT_LOAD_PAT | EXIT_LOAD_EFER);
    forbid(&cpu, WORD_ENTRY, ENTRY_LOAD_PAT | ENTRY_LOAD_EFER);
    vmcs[VMCS_CPU_CONTROLS] &= ~CPU_SECONDARY;
    vmcs[VMCS_EXIT_CONTROLS] &= ~(EXIT_LOAD_PAT | EXIT_LOAD_EFER);
    vmcs[VMCS_ENTRY_CONTROLS] &= ~(ENTRY_LOAD_PAT | ENTRY_LOAD_EFER);
    vmcs[VMCS_GUEST_CR0] |= CR0_PG;
    vmcs[VMCS_GUEST_CR4] |= CR4_PAE;
    cr_expect_null(vmx_check(&entry));
    memory[0x20] = 3; /* a PDPTE with bit 1, where CR3 leads */
    vmcs[VMCS_GUEST_CR3] = 0x20;
    cr_expect(strstr(vmx_check(&entry)->sentence, "page-directory-pointer"));
    vmcs[VMCS_CPU_CONTROLS] |= CPU_SECONDARY;
    cr_expect(strstr(vmx_check(&entry)->sentence, "primary"));
}

/* IA32_VMX_BASIC can say that the addresses of VMX have 32 bits, whatever memory the CPU has. */
Test(vmx_check, short_addresses)
{
    vmcs[VMCS_CPU_CONTROLS] |= CPU_IO_BITMAPS;
    vmcs[VMCS_IO_BITMAP_A + 1] = 1;
    cr_expect_null(broken(vmx_check_controls));
    cpu.basic |= 1ull << 48;
    cr_expect(strstr(broken(vmx_check_controls), "I/O bitmap A"));
    vmcs[VMCS_IO_BITMAP_A + 1] = 0;
    vmcs[VMCS_ENTRY_MSR_LOADS] = 2;
    vmcs[VMCS_ENTRY_MSR_LOAD_AREA] = 0xFFFFFFF0;
    cr_expect(strstr(broken(vmx_check_controls), "entry loads MSRs"));
    vmcs[VMCS_ENTRY_MSR_LOADS] = 1;
    cr_expect_null(broken(vmx_check_controls));
}

/* Each rule is seen once or for each register, broken or not, and has a section. */
static unsigned rules_seen;

static void see(const struct entry_rule *rule, bool is_broken)
{
    cr_expect_not(is_broken, "%s", rule->sentence);
    cr_expect(rule->section[0] == '2' && rule->section[1] == '6', "%s", rule->sentence);
    rules_seen++;
}

Test(vmx_check, the_walk_shows_all_rules)
{
    struct vmx_entry entry = {.cpu = &cpu, .get = get, .memory = read_memory, .rules.seen = see};
    vmx_check(&entry);
    cr_expect_gt(rules_seen, 100);
}

Test(vmx_check, host_rules)
{
    static const struct broken cases[] = {
        {VMCS_HOST_CR0, CR0_PE | CR0_PG, "host's CR0"},
        {VMCS_HOST_CR4, CR4_PAE, "host's CR4"},
        {VMCS_HOST_PAT, 3, "host's PAT"},
        {VMCS_HOST_DS_SEL, 0x13, "RPL or TI"},
        {VMCS_HOST_TR_SEL, 0, "null"},
        {VMCS_HOST_SS_SEL, 0, "SS"},
    };
    expect_broken(cases, ARRAY_LEN(cases), vmx_check_host);
}

Test(vmx_check, every_injected_event_of_ours_passes)
{
    const struct event events[] = {
        {.kind = EVENT_IRQ, .vector = 0x20},
        {.kind = EVENT_NMI, .vector = VEC_NMI},
        {.kind = EVENT_EXCEPTION, .vector = VEC_UD},
        {.kind = EVENT_EXCEPTION, .vector = VEC_DF, .has_error = true},
        {.kind = EVENT_EXCEPTION, .vector = VEC_PF, .has_error = true},
        {.kind = EVENT_EXCEPTION, .vector = VEC_AC, .has_error = true},
        {.kind = EVENT_SOFT_INT, .vector = 0x80},
        {.kind = EVENT_SOFT_INT, .vector = VEC_OF},
        gp,
    };
    for (unsigned i = 0; i < 2 * ARRAY_LEN(events); i++) {
        const struct event *e = &events[i / 2];
        vmcs[VMCS_GUEST_CR0] = CR0_NE | (i % 2 ? CR0_PE : 0);
        vmcs[VMCS_ENTRY_EVENT] = vmx_event_info(e, i % 2);
        vmcs[VMCS_ENTRY_EVENT_LENGTH] = vmx_event_length(e);
        const char *why = broken(vmx_check_controls);
        cr_expect_null(why, "event %u: %s", i / 2, why);
    }
}

Test(vmx_check, instruction_errors)
{
    cr_expect(strstr(vmx_instruction_error(VM_ERROR_CONTROLS), "control fields"));
    cr_expect(strstr(vmx_instruction_error(14), "undocumented"));
    cr_expect(strstr(vmx_instruction_error(1000), "undocumented"));
}
