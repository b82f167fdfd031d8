/* vtx mode: Intel VT-x with EPT and unrestricted guest (SDM vol. 3C chapters 23 to 28). */
#include "cpu.h"
#include "mode.h"
#include "vm.h"
#include "vmm.h"
#include "vmx.h"
#include "x86.h"

#define MSR_FEATURE_CONTROL 0x3Au
#define FEATURE_ENABLE 5u                /* locked, VMXON outside of SMX */
#define EPT_POINTER_FLAGS (6u | 3u << 3) /* write-back, four levels */
#define GUEST_VPID 1
#define REVISION_MASK 0x7FFFFFFFu

static bool vtx_supported(const char **why)
{
    struct vmx_controls controls;
    *why = vmx_negotiate(&controls);
    return !*why;
}

static hpa_t to_hpa(const void *page)
{
    return ptr_to_hpa(page);
}

/* VMXON, VMCLEAR and VMPTRLD take the address of a 64-bit physical address. */
#define VMX_POINTER_INSTRUCTION(name)                                                              \
    static bool name(const void *page)                                                             \
    {                                                                                              \
        const uint64_t hpa = ptr_to_hpa(page);                                                     \
        bool failed;                                                                               \
        __asm__ volatile(#name " %1\n\tsetna %0" : "=q"(failed) : "m"(hpa) : "cc", "memory");      \
        return !failed;                                                                            \
    }
VMX_POINTER_INSTRUCTION(vmxon)
VMX_POINTER_INSTRUCTION(vmclear)
VMX_POINTER_INSTRUCTION(vmptrld)
#undef VMX_POINTER_INSTRUCTION

static void write_controls(const struct vmx *vmx)
{
    const struct vmx_controls *c = &vmx->controls;
    vmcs_write(VMCS_PIN_CONTROLS, c->pin);
    vmcs_write(VMCS_CPU_CONTROLS, c->cpu);
    vmcs_write(VMCS_CPU_CONTROLS2, c->vpid ? c->cpu2 : c->cpu2 & ~CPU2_VPID);
    vmcs_write(VMCS_EXIT_CONTROLS, c->exit);
    vmcs_write(VMCS_ENTRY_CONTROLS, c->entry);
    vmcs_write(VMCS_EXCEPTION_BITMAP, 0);
    vmcs_write(VMCS_PF_ERROR_MASK, 0);
    vmcs_write(VMCS_PF_ERROR_MATCH, 0);
    vmcs_write(VMCS_CR3_TARGETS, 0);
    vmcs_write(VMCS_EXIT_MSR_STORES, 0);
    vmcs_write(VMCS_EXIT_MSR_LOADS, 0);
    vmcs_write(VMCS_ENTRY_MSR_LOADS, 0);
    vmcs_write(VMCS_ENTRY_EVENT, 0);
    vmcs_write64(VMCS_EPT_POINTER, ptr_to_hpa(vmx->map.root) | EPT_POINTER_FLAGS);
    if (c->vpid)
        vmcs_write(VMCS_VPID, GUEST_VPID);
    /* All of CR4 that a guest may not choose freely exits on a change of it. */
    vmcs_write(VMCS_CR4_MASK,
               ~(CR4_TSD | CR4_DE | CR4_PSE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT));
}

static void write_guest_constants(const struct vmx *vmx)
{
    vmcs_write64(VMCS_LINK_POINTER, UINT64_MAX);
    vmcs_write64(VMCS_GUEST_EFER, 0);
    if (vmx->controls.entry & ENTRY_LOAD_PAT)
        vmcs_write64(VMCS_GUEST_PAT, rdmsr(MSR_PAT));
    vmcs_write(VMCS_GUEST_ACTIVITY, 0);
    vmcs_write(VMCS_GUEST_PENDING_DEBUG, 0);
}

static void write_host_state(const struct vmx *vmx)
{
    struct table_operand gdt, idt;
    __asm__ volatile("sgdt %0\n\tsidt %1" : "=m"(gdt), "=m"(idt));
    vmcs_write(VMCS_HOST_CR0, read_cr0());
    vmcs_write(VMCS_HOST_CR3, read_cr3());
    vmcs_write(VMCS_HOST_CR4, read_cr4());
    vmcs_write64(VMCS_HOST_EFER, rdmsr(MSR_EFER));
    if (vmx->controls.exit & EXIT_LOAD_PAT)
        vmcs_write64(VMCS_HOST_PAT, rdmsr(MSR_PAT));
    vmcs_write(VMCS_HOST_CS_SEL, HOST_CS);
    vmcs_write(VMCS_HOST_SS, HOST_DS);
    vmcs_write(VMCS_HOST_DS_SEL, HOST_DS);
    vmcs_write(VMCS_HOST_ES, HOST_DS);
    vmcs_write(VMCS_HOST_FS, 0);
    vmcs_write(VMCS_HOST_GS, 0);
    vmcs_write(VMCS_HOST_TR_SEL, HOST_TR);
    vmcs_write(VMCS_HOST_FS_BASE, 0);
    vmcs_write(VMCS_HOST_GS_BASE, 0);
    vmcs_write(VMCS_HOST_TR_BASE, (uint32_t)&host_tss);
    vmcs_write(VMCS_HOST_GDTR_BASE, gdt.base);
    vmcs_write(VMCS_HOST_IDTR_BASE, idt.base);
    vmcs_write(VMCS_HOST_SYSENTER_CS, 0);
    vmcs_write(VMCS_HOST_SYSENTER_ESP, 0);
    vmcs_write(VMCS_HOST_SYSENTER_EIP, 0);
    vmcs_write(VMCS_HOST_EIP, (uint32_t)vmx_exit);
}

static void free_all(struct vmx *vmx)
{
    nested_free(&vmx->map);
    if (vmx->vmxon)
        page_free(vmx->vmxon);
    if (vmx->vmcs)
        page_free(vmx->vmcs);
    page_free(vmx);
}

/* Turn VMX operation on and make our VMCS the current one (section 31.5). */
static const char *start_vmx(struct vmx *vmx)
{
    if (!(rdmsr(MSR_FEATURE_CONTROL) & 1))
        wrmsr(MSR_FEATURE_CONTROL, FEATURE_ENABLE);
    write_cr0(read_cr0() | vmx->controls.cr0_on);
    write_cr4(read_cr4() | CR4_VMXE);
    *(uint32_t *)vmx->vmxon = *(uint32_t *)vmx->vmcs =
        (uint32_t)vmx->controls.basic & REVISION_MASK;
    if (!vmxon(vmx->vmxon))
        return "VMXON failed";
    if (!vmclear(vmx->vmcs) || !vmptrld(vmx->vmcs))
        return "the VMCS could not be made current";
    return NULL;
}

static const char *vtx_attach(struct vcpu *vcpu)
{
    struct vmx *vmx = page_alloc();
    if (!vmx)
        return "too little memory for the mode's state";
    const char *why = vmx_negotiate(&vmx->controls);
    vmx->map = (struct nested_map){
        .alloc = page_alloc, .release = page_free, .to_hpa = to_hpa, .to_ptr = hpa_to_ptr};
    vmx->vmxon = page_alloc();
    vmx->vmcs = page_alloc();
    if (!why && (!vmx->vmxon || !vmx->vmcs))
        why = "too little memory for the VMCS";
    if (!why)
        why = nested_build(&vmx->map, NESTED_EPT, vcpu->vm);
    if (!why)
        why = start_vmx(vmx);
    if (why) {
        free_all(vmx);
        return why;
    }
    write_controls(vmx);
    write_guest_constants(vmx);
    write_host_state(vmx);
    vcpu->backend = vmx;
    vcpu->dirty = DIRTY_ALL;
    return NULL;
}

static void vtx_detach(struct vcpu *vcpu)
{
    struct vmx *vmx = vmx_of(vcpu);
    vmx_store(vcpu);
    vmclear(vmx->vmcs);
    __asm__ volatile("vmxoff" : : : "cc");
    write_cr4(read_cr4() & ~CR4_VMXE);
    free_all(vmx);
    vcpu->backend = NULL;
}

static void vtx_inject(struct vcpu *vcpu, const struct event *event)
{
    if (event->kind == EVENT_EXCEPTION && event->vector == VEC_PF)
        write_cr2(event->cr2);
    vmcs_write(VMCS_ENTRY_EVENT, vmx_event_word(event));
    if (event->has_error)
        vmcs_write(VMCS_ENTRY_EVENT_ERROR, event->error);
    vmx_of(vcpu)->event_pending = true;
}

static bool vtx_can_take_irq(struct vcpu *vcpu)
{
    return (vcpu->eflags & FL_IF) && !vcpu->int_shadow && !vmx_of(vcpu)->event_pending;
}

static void vtx_irq_window(struct vcpu *vcpu, bool on)
{
    struct vmx_controls *c = &vmx_of(vcpu)->controls;
    const uint32_t wanted = on ? c->cpu | CPU_INTERRUPT_WINDOW : c->cpu & ~CPU_INTERRUPT_WINDOW;
    if (wanted == c->cpu)
        return;
    c->cpu = wanted;
    vmcs_write(VMCS_CPU_CONTROLS, wanted);
}

/* With EPT the guest's own tables are the hardware's business; an emulated MOV to CR needs the
 * guest's translations dropped: INVVPID, single context (section 30.3). Without VPIDs VM entry
 * itself flushes. */
static void vtx_tlb_flush_all(struct vcpu *vcpu, bool global_too)
{
    const struct {
        uint64_t vpid, gva;
    } operand = {GUEST_VPID, 0};
    const uint32_t single_context = 1;
    (void)global_too;
    if (vmx_of(vcpu)->controls.vpid)
        __asm__ volatile("invvpid %0, %1" : : "m"(operand), "r"(single_context) : "cc", "memory");
}

static void vtx_tlb_flush(struct vcpu *vcpu, gva_t gva)
{
    (void)gva;
    vtx_tlb_flush_all(vcpu, false);
}

/* The event that an exit cut short, if any, is delivered again (section 27.2.4). */
static void reinject(struct vmx *vmx)
{
    const uint32_t info = vmcs_read(VMCS_IDT_EVENT);
    vmx->event_pending = info & INFO_VALID;
    if (!vmx->event_pending)
        return;
    vmcs_write(VMCS_ENTRY_EVENT, info & ~(1u << 12)); /* bit 12 is undefined there */
    if (info & INFO_HAS_ERROR)
        vmcs_write(VMCS_ENTRY_EVENT_ERROR, vmcs_read(VMCS_IDT_EVENT_ERROR));
    vmcs_write(VMCS_ENTRY_EVENT_LENGTH, vmcs_read(VMCS_INSTRUCTION_LENGTH));
}

/* Blocking by STI with IF clear is refused by VM entry, and would mean nothing. */
static uint32_t interruptibility(const struct vcpu *vcpu)
{
    if (vcpu->int_shadow & SHADOW_MOV_SS)
        return BLOCKING_MOV_SS;
    return (vcpu->int_shadow & SHADOW_STI) && (vcpu->eflags & FL_IF) ? BLOCKING_STI : 0;
}

static void vtx_run(struct vcpu *vcpu, struct exit *exit)
{
    struct vmx *vmx = vmx_of(vcpu);
    if (vcpu->dirty)
        vmx_load(vcpu);
    vmcs_write(VMCS_GUEST_ESP, vcpu->gpr[GPR_ESP]);
    vmcs_write(VMCS_GUEST_EIP, vcpu->eip);
    vmcs_write(VMCS_GUEST_EFLAGS, vcpu->eflags);
    vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, interruptibility(vcpu));

    if (vmx_enter(vcpu, vmx->launched)) {
        exit->reason = EXIT_ENTRY_FAILED;
        exit->kill.reason = vmx_instruction_error(vmcs_read(VMCS_INSTRUCTION_ERROR));
        return;
    }

    vmx->launched = true;
    vmx->entries++;
    vcpu->gpr[GPR_ESP] = vmcs_read(VMCS_GUEST_ESP);
    vcpu->eip = vmcs_read(VMCS_GUEST_EIP);
    vcpu->eflags = vmcs_read(VMCS_GUEST_EFLAGS);
    vcpu->int_shadow = (uint8_t)(vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) & 3);
    reinject(vmx);
    vmx_classify(vcpu, exit);
}

static int vtx_stats(struct vcpu *vcpu, char *buf, unsigned size)
{
    const struct vmx *vmx = vmx_of(vcpu);
    return ksnprintf(buf, size,
                     "\"entries\":%llu,\"nested_4k\":%u,\"nested_2m\":%u,\"vpid\":%u,"
                     "\"controls\":{\"pin\":%u,\"cpu\":%u,\"cpu2\":%u,\"exit\":%u,\"entry\":%u}",
                     vmx->entries, vmx->map.small_pages, vmx->map.large_pages, vmx->controls.vpid,
                     vmx->controls.pin, vmx->controls.cpu, vmx->controls.cpu2, vmx->controls.exit,
                     vmx->controls.entry);
}

const struct vmm_mode mode_vtx;
const struct vmm_mode mode_vtx = {
    .name = "vtx",
    .what = "Intel VT-x with EPT",
    .supported = vtx_supported,
    .attach = vtx_attach,
    .detach = vtx_detach,
    .sync = vmx_store,
    .run = vtx_run,
    .inject = vtx_inject,
    .can_take_irq = vtx_can_take_irq,
    .irq_window = vtx_irq_window,
    .tlb_flush = vtx_tlb_flush,
    .tlb_flush_all = vtx_tlb_flush_all,
    .stats = vtx_stats,
};
