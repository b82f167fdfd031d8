/* svm mode: AMD-V with nested or shadow paging (AMD APM vol. 2 chapter 15). */
#include <string.h>

#include "cpu.h"
#include "emulate.h"
#include "mode.h"
#include "svm.h"
#include "vm.h"
#include "vmm.h"
#include "x86.h"

#define CPUID_SVM (1u << 2)      /* 80000001 ECX */
#define CPUID_NESTED (1u << 0)   /* 8000000A EDX */
#define CPUID_NEXT_RIP (1u << 3) /* likewise */
#define MSR_VM_CR 0xC0010114u
#define VM_CR_DISABLED (1u << 4)
#define MSR_VM_HSAVE_PA 0xC0010117u
#define TLB_FLUSH_ALL 1
#define GUEST_ASID 1
#define DR6_SINGLE_STEP (1u << 14)
#define OPCODE_HLT 0xF4

_Static_assert(sizeof(struct svm) <= PAGE_SIZE, "the backend is one page");

static bool svm_supported(const char **why)
{
    uint32_t r[4];
    cpuid(0x80000000u, r);
    if (r[0] < 0x8000000Au) {
        *why = "it has no AMD-V (CPUID has no leaf 8000000A)";
        return false;
    }
    cpuid(0x80000001u, r);
    if (!(r[2] & CPUID_SVM)) {
        *why = "it has no AMD-V (CPUID 80000001 ECX bit 2 is clear)";
        return false;
    }
    if (rdmsr(MSR_VM_CR) & VM_CR_DISABLED) {
        *why = "its AMD-V is switched off (VM_CR.SVMDIS is set)";
        return false;
    }
    return true;
}

/* Why not, or NULL when it has. */
static const char *no_nested_paging(void)
{
    uint32_t r[4];
    cpuid(0x8000000Au, r);
    return r[3] & CPUID_NESTED
               ? NULL
               : "its AMD-V has no nested paging (CPUID 8000000A EDX bit 0 is clear)";
}

static bool has_next_rip(void)
{
    uint32_t r[4];
    cpuid(0x8000000Au, r);
    return r[3] & CPUID_NEXT_RIP;
}

static void free_pages(struct svm *svm)
{
    void *const pages[] = {svm->vmcb, svm->host, svm->host_save};
    for (unsigned i = 0; i < ARRAY_LEN(pages); i++) {
        if (pages[i])
            page_free(pages[i]);
    }
    if (svm->iopm)
        pages_free(svm->iopm, IOPM_PAGES);
    if (svm->msrpm)
        pages_free(svm->msrpm, MSRPM_PAGES);
    page_free(svm);
}

/* SYSENTER's MSRs are switched with the guest: no access to them exits. Two bits an MSR, APM vol. 2
 * section 15.11. */
static void open_sysenter(uint8_t *msrpm)
{
    for (unsigned msr = MSR_SYSENTER_CS; msr <= MSR_SYSENTER_EIP; msr++)
        msrpm[msr / 4] &= (uint8_t) ~(3u << msr % 4 * 2);
}

static void control_area(struct svm *svm)
{
    struct vmcb *v = svm->vmcb;
    svm_intercepts(v, svm->paging.shadowed);
    v->iopm_hpa = ptr_to_hpa(svm->iopm);
    v->msrpm_hpa = ptr_to_hpa(svm->msrpm);
    v->asid = GUEST_ASID;
    v->tlb_control = TLB_FLUSH_ALL;
    v->virtual_interrupt = V_INTR_MASKING | V_PRIORITY_MAX | V_IGNORE_TPR;
    v->efer = EFER_SVME;
    v->nested_control = !svm->paging.shadowed;
    if (!svm->paging.shadowed)
        v->nested_cr3 = ptr_to_hpa(svm->paging.map.root);
}

/* A guest that single-steps must trap after each instruction, also one that the VMM completed
 * (APM vol. 2 section 13.1.1.2): the trap is ours to raise then. */
static bool stepped(const struct vcpu *vcpu)
{
    return (vcpu->eflags & FL_TF) &&
           (vcpu->eip != svm_of(vcpu)->exit_eip || vcpu->iterated || vcpu->step_due);
}

/* The trap of a single-stepped HLT waits for what wakes the CPU. */
static bool step_due(const struct vcpu *vcpu)
{
    return stepped(vcpu) && !vcpu->halted;
}

static void raise_step(struct vcpu *vcpu)
{
    struct vmcb *v = svm_of(vcpu)->vmcb;
    vcpu->pending = (struct event){.kind = EVENT_EXCEPTION, .vector = VEC_DB};
    v->dr6 |= DR6_SINGLE_STEP;
    v->dr7 &= ~(uint64_t)DR7_GD; /* an injected #DB does not do that by itself */
    v->clean &= ~CLEAN_DR;
}

/* All that the next entry needs into the VMCB. */
static inline void prepare(struct vcpu *vcpu)
{
    struct svm *svm = svm_of(vcpu);
    struct vmcb *v = svm->vmcb;
    if (vcpu->dirty)
        svm_load(vcpu);
    if (svm->paging.shadowed && svm->paging.shadow->stale) {
        svm->paging.shadow->stale = false;
        v->tlb_control = TLB_FLUSH_ALL;
    }
    if (step_due(vcpu) && vcpu->pending.kind == EVENT_NONE)
        raise_step(vcpu);
    v->rax = vcpu->gpr[GPR_EAX];
    v->rsp = vcpu->gpr[GPR_ESP];
    v->rip = vcpu->eip;
    v->rflags = vcpu->eflags;
    v->interrupt_shadow = vcpu->int_shadow != 0;
    svm->injected = vcpu->pending.kind;
    svm->injected_at = vcpu->eip;
    v->event_injection =
        vcpu->pending.kind == EVENT_NONE ? 0 : svm_event_word(&vcpu->pending, vcpu->cr0 & CR0_PE);
}

void svm_prepare(struct vcpu *vcpu)
{
    prepare(vcpu);
}

/* Load, run, and store what must be current after any exit. A refused VMRUN changes nothing. */
static inline void enter_guest(struct vcpu *vcpu)
{
    struct svm *svm = svm_of(vcpu);
    struct vmcb *v = svm->vmcb;
    prepare(vcpu);
    if (svm->watched && !svm_before_entry(vcpu))
        return;

    svm->enter(vcpu, v, ptr_to_hpa(v), ptr_to_hpa(svm->host), svm->ways);

    if ((uint32_t)v->exit_code == VMEXIT_INVALID)
        return;
    if (svm->short_entries)
        svm->injected = EVENT_NONE; /* and has been delivered */
    svm->entries += 1 + svm->short_entries;
    svm->short_entries = 0;
    vcpu->gpr[GPR_EAX] = (uint32_t)v->rax;
    vcpu->gpr[GPR_ESP] = (uint32_t)v->rsp;
    vcpu->eip = svm->exit_eip = (uint32_t)v->rip;
    vcpu->eflags = (uint32_t)v->rflags;
    vcpu->int_shadow = v->interrupt_shadow & 1 ? SHADOW_STI : 0;
    vcpu->pending.kind = EVENT_NONE;
    vcpu->iterated = vcpu->step_due = false;
}

void svm_enter_guest(struct vcpu *vcpu)
{
    enter_guest(vcpu);
}

/*
 * QEMU ignores nested paging, silently, when the host's own paging is not PAE: the guest would then
 * run on the host's memory. So prove it at work: under a nested table that maps nothing, a guest
 * starts at the address that is a page full of HLT in the host. It must end in a nested fault; a
 * HLT says that it saw the host's page. Returns NULL, or what is wrong.
 */
static const char *run_probe(struct svm *svm, struct vm *vm, hpa_t page_of_hlt, hpa_t empty_table)
{
    struct vmcb *v = svm->vmcb;
    struct vcpu probe = {.vm = vm, .backend = svm};
    vcpu_multiboot_state(&probe, page_of_hlt, 0);
    v->nested_cr3 = empty_table;
    for (enter_guest(&probe); (uint32_t)v->exit_code == VMEXIT_INTR; enter_guest(&probe))
        host_irq_poll();
    v->nested_cr3 = ptr_to_hpa(svm->paging.map.root);
    v->tlb_control = TLB_FLUSH_ALL;
    v->clean = 0;
    if ((uint32_t)v->exit_code == VMEXIT_INVALID)
        return svm_refusal(&probe);
    if (v->exit_code != VMEXIT_NPF || v->exit_info2 != page_of_hlt)
        return "nested paging does not work: a guest would see the host's memory";
    return NULL;
}

static const char *probe_isolation(struct svm *svm, struct vm *vm)
{
    void *code = page_alloc(), *table = page_alloc();
    const char *why = "too little memory to test nested paging";
    if (code && table) {
        memset(code, OPCODE_HLT, PAGE_SIZE);
        why = run_probe(svm, vm, ptr_to_hpa(code), ptr_to_hpa(table));
    }
    if (code)
        page_free(code);
    if (table)
        page_free(table);
    return why;
}

static void free_all(struct svm *svm)
{
    paging_free(&svm->paging);
    free_pages(svm);
}

static void svm_switch_on(struct svm *svm)
{
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
    wrmsr(MSR_VM_HSAVE_PA, ptr_to_hpa(svm->host_save));
    __asm__ volatile("vmsave" : : "a"(ptr_to_hpa(svm->host)) : "memory");
}

static void svm_switch_off(void)
{
    wrmsr(MSR_VM_HSAVE_PA, 0);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(uint64_t)EFER_SVME);
}

/* What CPUID 8000000A EDX offers (APM vol. 3, E.4.9), and what of it this mode uses. */
static void record_features(const struct svm *svm)
{
    static const struct {
        unsigned bit;
        const char *name;
    } features[] = {{0, "nested paging"},   {1, "LBR virtualization"}, {3, "next RIP"},
                    {4, "TSC rate"},        {5, "VMCB clean bits"},    {6, "flush by ASID"},
                    {7, "decode assists"},  {10, "pause filter"},      {13, "AVIC"},
                    {15, "virtual VMLOAD"}, {16, "virtual GIF"}};
    uint32_t r[4];
    cpuid(0x8000000Au, r);
    for (unsigned i = 0; i < ARRAY_LEN(features); i++) {
        const bool found = r[3] >> features[i].bit & 1;
        const bool used = (features[i].bit == 0 && !svm->paging.shadowed) || features[i].bit == 5;
        record("{\"type\":\"feature\",\"name\":\"%s\",\"found\":%u,\"used\":%u}", features[i].name,
               found, found && used);
    }
}

static const char *svm_attach(struct vcpu *vcpu)
{
    static bool told;
    struct svm *svm = page_alloc();
    if (!svm)
        return "too little memory for the mode's state";
    svm->vmcb = page_alloc();
    svm->host = page_alloc();
    svm->host_save = page_alloc();
    svm->iopm = pages_alloc(IOPM_PAGES, PAGE_SIZE);
    svm->msrpm = pages_alloc(MSRPM_PAGES, PAGE_SIZE);
    const char *why = NULL;
    if (!svm->vmcb || !svm->host || !svm->host_save || !svm->iopm || !svm->msrpm)
        why = "too little memory for the VMCB and its maps";
    if (!why)
        why = paging_choose(vcpu->vm->options, no_nested_paging(), &svm->paging.shadowed);
    if (!why)
        why = paging_init(&svm->paging, NESTED_NPT, vcpu->vm);
    if (why) {
        free_pages(svm);
        return why;
    }
    memset(svm->iopm, 0xFF, IOPM_PAGES * PAGE_SIZE);
    memset(svm->msrpm, 0xFF, MSRPM_PAGES * PAGE_SIZE);
    open_sysenter(svm->msrpm);
    control_area(svm);
    svm->enter = svm_enter;
    svm->ways = svm_no_ways; /* the test has tables of its own */
    svm_switch_on(svm);
    why = svm->paging.shadowed ? NULL : probe_isolation(svm, vcpu->vm);
    vcpu->backend = svm;
    if (!why)
        why = svm_entry_options(vcpu);
    if (why) {
        vcpu->backend = NULL;
        svm_switch_off();
        free_all(svm);
        return why;
    }
    if (!told) /* and not again when a guest comes back */
        record_features(svm);
    told = true;
    svm->entries = 0;
    svm->ways = svm->watched ? svm_no_ways : svm_short_ways;
    svm->next_rip = has_next_rip();
    svm_sites_forget(svm);
    svm->exit_eip = vcpu->eip;
    vcpu->dirty = DIRTY_ALL;
    return NULL;
}

static void svm_detach(struct vcpu *vcpu)
{
    svm_store(vcpu);
    vcpu->step_due = stepped(vcpu);
    write_dr7(DR7_FIXED);
    svm_switch_off();
    free_all(svm_of(vcpu));
    vcpu->backend = NULL;
}

/* The event stays in the canonical state until the entry that delivers it, so that a change of mode
 * before that takes it along. */
static void svm_inject(struct vcpu *vcpu, const struct event *event)
{
    vcpu->pending = *event;
    if (event->kind == EVENT_EXCEPTION && event->vector == VEC_PF) {
        vcpu->cr2 = event->cr2;
        vcpu->dirty |= DIRTY_CR2;
    }
}

static bool svm_can_take_irq(struct vcpu *vcpu)
{
    return (vcpu->eflags & FL_IF) && !vcpu->int_shadow && vcpu->pending.kind == EVENT_NONE &&
           !step_due(vcpu);
}

/* A virtual interrupt whose only purpose is to exit when it could be taken (section 15.21.4). Bochs
 * looks at V_IRQ when IF changes: it is wanted only while the guest cannot take an interrupt. */
static void svm_irq_window(struct vcpu *vcpu, bool on)
{
    struct vmcb *v = svm_of(vcpu)->vmcb;
    if (on == !!(v->intercept_misc1 & MISC1_VINTR))
        return;
    if (on) {
        v->virtual_interrupt |= V_IRQ;
        v->intercept_misc1 |= MISC1_VINTR;
    } else {
        v->virtual_interrupt &= ~V_IRQ;
        v->intercept_misc1 &= ~MISC1_VINTR;
    }
    v->clean &= ~(CLEAN_INTERCEPTS | CLEAN_V_INTR);
}

static void svm_tlb_flush(struct vcpu *vcpu, gva_t gva)
{
    paging_drop_page(&svm_of(vcpu)->paging, gva);
    svm_of(vcpu)->vmcb->tlb_control = TLB_FLUSH_ALL;
}

static void svm_tlb_flush_all(struct vcpu *vcpu, bool global_too)
{
    paging_drop_all(&svm_of(vcpu)->paging, global_too);
    svm_of(vcpu)->vmcb->tlb_control = TLB_FLUSH_ALL;
}

static void svm_run(struct vcpu *vcpu, struct exit *exit)
{
    enter_guest(vcpu);
    if (svm_of(vcpu)->handled) {
        exit->reason = EXIT_NONE;
        exit->done = svm_of(vcpu)->handled;
        svm_of(vcpu)->handled = EXIT_NONE;
        return;
    }
    svm_classify(vcpu, exit);
}

static bool svm_nested_paging(const struct vcpu *vcpu)
{
    return !svm_of(vcpu)->paging.shadowed;
}

static int svm_stats(struct vcpu *vcpu, char *buf, unsigned size)
{
    const struct svm *svm = svm_of(vcpu);
    const int n = ksnprintf(buf, size, "\"entries\":%llu,", svm->entries);
    return n + paging_stats(&svm->paging, buf + n, size - (unsigned)n);
}

static void svm_trace(struct vcpu *vcpu, bool on)
{
    svm_of(vcpu)->enter = on ? svm_enter_traced : svm_enter;
}

const struct vmm_mode mode_svm;
const struct vmm_mode mode_svm = {
    .name = "svm",
    .what = "AMD-V with nested or shadow paging",
    .supported = svm_supported,
    .attach = svm_attach,
    .detach = svm_detach,
    .sync = svm_store,
    .run = svm_run,
    .inject = svm_inject,
    .can_take_irq = svm_can_take_irq,
    .irq_window = svm_irq_window,
    .tlb_flush = svm_tlb_flush,
    .tlb_flush_all = svm_tlb_flush_all,
    .nested_paging = svm_nested_paging,
    .stats = svm_stats,
    .watch = svm_watch,
    .step = svm_step,
    .stepped = svm_stepped,
    .show = svm_show,
    .explain = svm_explain,
    .trace = svm_trace,
};
