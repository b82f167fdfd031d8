/* svm mode: AMD-V with nested paging (AMD APM vol. 2 chapter 15). */
#include <string.h>

#include "cpu.h"
#include "mode.h"
#include "svm.h"
#include "vm.h"
#include "vmm.h"
#include "x86.h"

#define CPUID_SVM (1u << 2)    /* 80000001 ECX */
#define CPUID_NESTED (1u << 0) /* 8000000A EDX */
#define MSR_VM_CR 0xC0010114u
#define VM_CR_DISABLED (1u << 4)
#define MSR_VM_HSAVE_PA 0xC0010117u
#define IOPM_PAGES 3
#define MSRPM_PAGES 2
#define TLB_FLUSH_ALL 1
#define GUEST_ASID 1

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
    cpuid(0x8000000Au, r);
    if (!(r[3] & CPUID_NESTED)) {
        *why = "its AMD-V has no nested paging (CPUID 8000000A EDX bit 0 is clear)";
        return false;
    }
    if (rdmsr(MSR_VM_CR) & VM_CR_DISABLED) {
        *why = "its AMD-V is switched off (VM_CR.SVMDIS is set)";
        return false;
    }
    return true;
}

static void free_all(struct svm *svm)
{
    nested_free(&svm->map);
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

static hpa_t to_hpa(const void *page)
{
    return ptr_to_hpa(page);
}

static void control_area(struct svm *svm)
{
    struct vmcb *v = svm->vmcb;
    v->intercept_cr_write = 1u << 4;
    v->intercept_misc1 = MISC1_INTR | MISC1_NMI | MISC1_RDPMC | MISC1_CPUID | MISC1_INVD |
                         MISC1_HLT | MISC1_INVLPGA | MISC1_IO | MISC1_MSR | MISC1_TASK_SWITCH |
                         MISC1_SHUTDOWN;
    v->intercept_misc2 = MISC2_ALL_SVM | MISC2_WBINVD | MISC2_MONITOR | MISC2_MWAIT | MISC2_XSETBV;
    v->iopm_hpa = ptr_to_hpa(svm->iopm);
    v->msrpm_hpa = ptr_to_hpa(svm->msrpm);
    v->asid = GUEST_ASID;
    v->tlb_control = TLB_FLUSH_ALL;
    v->virtual_interrupt = V_INTR_MASKING;
    v->nested_control = 1;
    v->nested_cr3 = ptr_to_hpa(svm->map.root);
    v->efer = EFER_SVME;
    v->pat = rdmsr(MSR_PAT);
}

static const char *svm_attach(struct vcpu *vcpu)
{
    struct svm *svm = page_alloc();
    if (!svm)
        return "too little memory for the mode's state";
    svm->vmcb = page_alloc();
    svm->host = page_alloc();
    svm->host_save = page_alloc();
    svm->iopm = pages_alloc(IOPM_PAGES, PAGE_SIZE);
    svm->msrpm = pages_alloc(MSRPM_PAGES, PAGE_SIZE);
    svm->map = (struct nested_map){
        .alloc = page_alloc, .release = page_free, .to_hpa = to_hpa, .to_ptr = hpa_to_ptr};
    const char *why = NULL;
    if (!svm->vmcb || !svm->host || !svm->host_save || !svm->iopm || !svm->msrpm)
        why = "too little memory for the VMCB and its maps";
    else
        why = nested_build(&svm->map, NESTED_NPT, vcpu->vm);
    if (why) {
        free_all(svm);
        return why;
    }
    memset(svm->iopm, 0xFF, IOPM_PAGES * PAGE_SIZE);
    memset(svm->msrpm, 0xFF, MSRPM_PAGES * PAGE_SIZE);
    control_area(svm);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
    wrmsr(MSR_VM_HSAVE_PA, ptr_to_hpa(svm->host_save));
    __asm__ volatile("vmsave" : : "a"(ptr_to_hpa(svm->host)) : "memory");
    vcpu->backend = svm;
    vcpu->dirty = DIRTY_ALL;
    return NULL;
}

static void svm_detach(struct vcpu *vcpu)
{
    svm_store(vcpu);
    wrmsr(MSR_VM_HSAVE_PA, 0);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(uint64_t)EFER_SVME);
    free_all(svm_of(vcpu));
    vcpu->backend = NULL;
}

static uint64_t event_word(const struct event *event)
{
    static const uint8_t types[] = {[EVENT_IRQ] = EVENT_TYPE_INTR,
                                    [EVENT_NMI] = EVENT_TYPE_NMI,
                                    [EVENT_EXCEPTION] = EVENT_TYPE_EXCEPTION,
                                    [EVENT_SOFT_INT] = EVENT_TYPE_SOFT};
    uint64_t word = EVENT_VALID | event->vector | (uint64_t)types[event->kind] << EVENT_TYPE_SHIFT;
    if (event->has_error)
        word |= EVENT_HAS_ERROR | (uint64_t)event->error << 32;
    return word;
}

static void svm_inject(struct vcpu *vcpu, const struct event *event)
{
    if (event->kind == EVENT_EXCEPTION && event->vector == VEC_PF) {
        vcpu->cr2 = event->cr2;
        vcpu->dirty |= DIRTY_CR2;
    }
    svm_of(vcpu)->vmcb->event_injection = event_word(event);
}

static bool svm_can_take_irq(struct vcpu *vcpu)
{
    return (vcpu->eflags & FL_IF) && !vcpu->int_shadow &&
           !(svm_of(vcpu)->vmcb->event_injection & EVENT_VALID);
}

/* A virtual interrupt whose only purpose is to exit when it could be taken (section 15.21.4). Bochs
 * looks at V_IRQ when IF changes, so it is set only while the guest cannot take an interrupt. */
static void svm_irq_window(struct vcpu *vcpu, bool on)
{
    struct vmcb *v = svm_of(vcpu)->vmcb;
    if (on) {
        v->virtual_interrupt |= V_IRQ | V_PRIORITY_MAX | V_IGNORE_TPR;
        v->intercept_misc1 |= MISC1_VINTR;
    } else {
        v->virtual_interrupt &= ~V_IRQ;
        v->intercept_misc1 &= ~MISC1_VINTR;
    }
    v->clean = 0;
}

/* With nested paging the guest's own tables are the hardware's business. */
static void svm_tlb_flush(struct vcpu *vcpu, gva_t gva)
{
    (void)gva;
    svm_of(vcpu)->vmcb->tlb_control = TLB_FLUSH_ALL;
}

static void svm_tlb_flush_all(struct vcpu *vcpu, bool global_too)
{
    (void)global_too;
    svm_of(vcpu)->vmcb->tlb_control = TLB_FLUSH_ALL;
}

static void svm_run(struct vcpu *vcpu, struct exit *exit)
{
    struct svm *svm = svm_of(vcpu);
    struct vmcb *v = svm->vmcb;
    if (vcpu->dirty)
        svm_load(vcpu);
    v->rax = vcpu->gpr[GPR_EAX];
    v->rsp = vcpu->gpr[GPR_ESP];
    v->rip = vcpu->eip;
    v->rflags = vcpu->eflags;
    v->interrupt_shadow = vcpu->int_shadow != 0;

    svm_enter(vcpu, ptr_to_hpa(v), ptr_to_hpa(svm->host));

    vcpu->gpr[GPR_EAX] = (uint32_t)v->rax;
    vcpu->gpr[GPR_ESP] = (uint32_t)v->rsp;
    vcpu->eip = (uint32_t)v->rip;
    vcpu->eflags = (uint32_t)v->rflags;
    vcpu->int_shadow = v->interrupt_shadow & 1 ? SHADOW_STI : 0;
    v->tlb_control = 0;
    /* An event whose delivery was cut short is delivered again (section 15.7.2). */
    v->event_injection = v->exit_int_info & EVENT_VALID ? v->exit_int_info : 0;
    svm->entries++;
    svm_classify(vcpu, exit);
}

static int svm_stats(struct vcpu *vcpu, char *buf, unsigned size)
{
    const struct svm *svm = svm_of(vcpu);
    return ksnprintf(buf, size, "\"entries\":%llu,\"nested_4k\":%u,\"nested_2m\":%u", svm->entries,
                     svm->map.small_pages, svm->map.large_pages);
}

const struct vmm_mode mode_svm;
const struct vmm_mode mode_svm = {
    .name = "svm",
    .what = "AMD-V with nested paging",
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
    .stats = svm_stats,
};
