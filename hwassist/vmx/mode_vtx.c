/* vtx mode: Intel VT-x with nested or shadow paging (SDM vol. 3C chapters 23 to 28). */
#include "cpu.h"
#include "mode.h"
#include "vm.h"
#include "vmcs.h"
#include "vmm.h"
#include "vmx.h"
#include "x86.h"

_Static_assert(sizeof(struct vmx) <= PAGE_SIZE, "the backend is one page");
_Static_assert(SHADOW_STI == BLOCKING_STI && SHADOW_MOV_SS == BLOCKING_MOV_SS, "the same bits");

static const char *negotiate(struct vmx_controls *controls)
{
    struct vmx_capabilities cap;
    const char *why = vmx_capabilities_read(&cap);
    return why ? why : vmx_negotiate(&cap, controls);
}

static bool vtx_supported(const char **why)
{
    struct vmx_controls controls;
    *why = negotiate(&controls);
    return !*why;
}

static void record_feature(const char *name, bool found, bool used, const char *consequence)
{
    record("{\"type\":\"feature\",\"name\":\"%s\",\"found\":%u,\"used\":%u,\"without\":\"%s\"}",
           name, found, used, consequence);
}

#define IDENTITY_ENTRY (PTE_P | PTE_W | PTE_U | PTE_A | PTE_D | PTE_PS)

/* For EPT without unrestricted guest: a directory of 4 MB pages that map each address to itself,
 * where the guest can read it and not write it. */
static const char *build_identity(struct vmx *vmx)
{
    if (vmx->paging.shadowed || vmx->controls.unrestricted)
        return NULL;
    vmx->identity = page_alloc();
    if (!vmx->identity ||
        !nested_add_page(&vmx->paging.map, VMX_IDENTITY_GPA, ptr_to_hpa(vmx->identity)))
        return "too little memory for the identity page directory";
    for (uint32_t i = 0; i < 1024; i++)
        vmx->identity[i] = i << LARGE_SHIFT | IDENTITY_ENTRY;
    return NULL;
}

static void free_tables(struct vmx *vmx)
{
    paging_free(&vmx->paging);
    if (vmx->identity)
        page_free(vmx->identity);
    if (vmx->msr_bitmap)
        page_free(vmx->msr_bitmap);
}

static const char *open_msrs(struct vmx *vmx)
{
    if (!(vmx->controls.word[WORD_CPU] & CPU_MSR_BITMAPS))
        return NULL;
    vmx->msr_bitmap = page_alloc();
    if (!vmx->msr_bitmap)
        return "too little memory for the MSR bitmap";
    vmx_fill_msr_bitmap(vmx->msr_bitmap);
    return NULL;
}

/* The parts that can fail. On failure only the page of vmx itself is left. */
static const char *build(struct vmx *vmx, struct vm *vm)
{
    struct vmx_controls *c = &vmx->controls;
    const char *why = negotiate(c);
    if (!why)
        why = paging_choose(vm->options, c->no_ept, &vmx->paging.shadowed);
    if (why)
        return why;
    why = vmx_entry_options(vmx, vm->options);
    if (why)
        return why;
    if (vmx->paging.shadowed)
        vmx_without_ept(c);
    vmx->cr0_forced = c->unrestricted ? c->cr0_on & ~(CR0_PE | CR0_PG) : c->cr0_on;
    if (vmx->paging.shadowed)
        vmx->cr0_forced |= SHADOWED_CR0;
    why = paging_init(&vmx->paging, NESTED_EPT, vm);
    if (why)
        return why;
    why = build_identity(vmx);
    if (!why)
        why = open_msrs(vmx);
    if (!why)
        why = vmx_open(vmx);
    if (why)
        free_tables(vmx);
    return why;
}

static const char *vtx_attach(struct vcpu *vcpu)
{
    static bool told;
    struct vmx *vmx = page_alloc();
    if (!vmx)
        return "too little memory for the mode's state";
    const char *why = build(vmx, vcpu->vm);
    if (why) {
        page_free(vmx);
        return why;
    }
    vmx_setup(vmx);
    if (!told) /* and not again when a guest comes back */
        vmx_controls_walk(&vmx->controls, record_feature);
    told = true;
    vmx->enter = vmx_enter;
    vmx->ways = vmx->watched ? vmx_no_ways : vmx_short_ways;
    vmx->exit_eip = vcpu->eip;
    vcpu->backend = vmx;
    vcpu->dirty = DIRTY_ALL;
    return NULL;
}

static void vtx_sync(struct vcpu *vcpu)
{
    vmx_make_current(vmx_of(vcpu));
    vmx_store(vcpu);
}

/* We stepped over an instruction while TF was set: the guest's #DB comes first. */
static bool stepped(const struct vcpu *vcpu)
{
    return (vcpu->eflags & FL_TF) &&
           (vcpu->eip != vmx_of(vcpu)->exit_eip || vcpu->iterated || vcpu->step_due);
}

/* The trap of a single-stepped HLT waits for what wakes the CPU. */
static bool step_due(const struct vcpu *vcpu)
{
    return stepped(vcpu) && !vcpu->halted;
}

/* An event not delivered yet is in vcpu->pending, and goes with it. */
static void vtx_detach(struct vcpu *vcpu)
{
    struct vmx *vmx = vmx_of(vcpu);
    vtx_sync(vcpu);
    vcpu->step_due = stepped(vcpu);
    vmx_close(vmx);
    free_tables(vmx);
    page_free(vmx);
    vcpu->backend = NULL;
}

static void vtx_inject(struct vcpu *vcpu, const struct event *event)
{
    if (event->kind == EVENT_EXCEPTION && event->vector == VEC_PF) {
        vcpu->cr2 = event->cr2;
        vcpu->dirty |= DIRTY_CR2;
    }
    vcpu->pending = *event;
}

static bool vtx_can_take_irq(struct vcpu *vcpu)
{
    return (vcpu->eflags & FL_IF) && !vcpu->int_shadow && vcpu->pending.kind == EVENT_NONE &&
           !step_due(vcpu);
}

static void vtx_irq_window(struct vcpu *vcpu, bool on)
{
    vmx_of(vcpu)->window = on;
}

/* With EPT the guest's own tables are the hardware's business; what we emulate (MOV to CR) needs
 * the guest's translations dropped. */
static void vtx_tlb_flush_all(struct vcpu *vcpu, bool global_too)
{
    paging_drop_all(&vmx_of(vcpu)->paging, global_too);
    vmx_flush(vmx_of(vcpu));
}

static void vtx_tlb_flush(struct vcpu *vcpu, gva_t gva)
{
    paging_drop_page(&vmx_of(vcpu)->paging, gva);
    vmx_flush(vmx_of(vcpu));
}

static void load_window(struct vmx *vmx)
{
    uint32_t *controls = &vmx->controls.word[WORD_CPU];
    if (!(*controls & CPU_INTERRUPT_WINDOW) == !vmx->window)
        return;
    *controls ^= CPU_INTERRUPT_WINDOW;
    vmcs_write(VMCS_CPU_CONTROLS, *controls);
}

/* The pending event into the VM-entry fields; returns what VM entry will add to EIP. */
static uint32_t load_event(const struct vcpu *vcpu)
{
    const struct event *event = &vcpu->pending;
    const uint32_t length = vmx_event_length(event);
    vmcs_write(VMCS_ENTRY_EVENT, vmx_event_info(event, vmcs_read(VMCS_GUEST_CR0) & CR0_PE));
    if (event->has_error)
        vmcs_write(VMCS_ENTRY_EVENT_ERROR, event->error);
    if (length)
        vmcs_write(VMCS_ENTRY_EVENT_LENGTH, length);
    return length;
}

/*
 * Blocking by STI and MOV SS, and the #DB of a single step that we made for the guest (section
 * 26.3.1.5: with TF set and interrupts blocked it must be pending, too).
 */
static void load_interruptibility(struct vcpu *vcpu, struct vmx *vmx)
{
    const uint32_t blocking = vmx->form == FORM_V86_STEP
                                  ? 0 /* one instruction passes, and interrupts exit */
                                  : vmx_interruptibility(vcpu->int_shadow, vcpu->eflags);
    if (blocking != vmx->shadow)
        vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, blocking);
    if ((vcpu->eflags & FL_TF) && (blocking || step_due(vcpu) || vcpu->pending.kind != EVENT_NONE))
        vmcs_write(VMCS_GUEST_PENDING_DEBUG, blocking || step_due(vcpu) ? PENDING_DEBUG_BS : 0);
}

/*
 * Bochs 2.7 decides at VM entry by the guest's IF whether the host's interrupts are masked, and
 * forgets external-interrupt exiting there: they stay masked until the guest changes IF. So with
 * IF clear we look before entering; the preemption timer ends a loop that never exits.
 */
static bool host_interrupted(struct exit *exit)
{
    host_irq_poll();
    if (!host_work)
        return false;
    exit->reason = EXIT_HOST_IRQ;
    return true;
}

/* VMLAUNCH or VMRESUME failed: no guest state was touched (section 30.2). */
static void entry_refused(const struct vmx *vmx, struct exit *exit)
{
    const uint32_t error = vmcs_read(VMCS_INSTRUCTION_ERROR);
    const char *words = vmx_instruction_error(error);
    const bool rules = error == VM_ERROR_CONTROLS || error == VM_ERROR_HOST_STATE;
    exit->reason = EXIT_ENTRY_FAILED;
    exit->kill.reason = rules ? vmx_refusal(vmx, words) : words;
}

/* With check=on and break=. Returns whether to enter. */
static bool may_enter(const struct vmx *vmx, struct exit *exit)
{
    const char *rule = vmx_before_entry(vmx);
    if (!rule)
        return true;
    exit->reason = EXIT_ENTRY_FAILED;
    exit->kill.reason = rule;
    return false;
}

void vmx_run(struct vcpu *vcpu, struct exit *exit)
{
    struct vmx *vmx = vmx_of(vcpu);
    uint32_t skipped = 0;
    if (!(vcpu->eflags & FL_IF) && host_interrupted(exit))
        return;
    vmx_make_current(vmx);
    if (vcpu->dirty)
        vmx_load(vcpu);
    if (vmx_in_real_form(vmx) && !vmx_prepare_real(vcpu, exit))
        return;
    if (vmx->paging.shadowed && vmx->paging.shadow->stale) {
        vmx->paging.shadow->stale = false;
        vmx_flush(vmx);
    }
    load_interruptibility(vcpu, vmx);
    load_window(vmx);
    if (vcpu->pending.kind != EVENT_NONE)
        skipped = load_event(vcpu);
    vmcs_write(VMCS_GUEST_ESP, vcpu->gpr[GPR_ESP]);
    vmcs_write(VMCS_GUEST_EIP, vcpu->eip - skipped);
    vmcs_write(VMCS_GUEST_EFLAGS, vmx_flags_in(vmx, vcpu->eflags));
    if (vmx->watched && !may_enter(vmx, exit))
        return;

    if (vmx->enter(vcpu, vmx->launched, vmx->ways)) {
        entry_refused(vmx, exit);
        return;
    }

    vmx->launched = true;
    vmx->entries += 1 + vmx->short_entries;
    vmx->short_entries = 0;
    vcpu->pending.kind = EVENT_NONE;
    vcpu->iterated = vcpu->step_due = false;
    vcpu->gpr[GPR_ESP] = vmcs_read(VMCS_GUEST_ESP);
    vcpu->eip = vmx->exit_eip = vmcs_read(VMCS_GUEST_EIP);
    vcpu->eflags = vmx_flags_out(vmx, vcpu->eflags, vmcs_read(VMCS_GUEST_EFLAGS));
    vmx->shadow = (uint8_t)vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);
    vcpu->int_shadow = vmx->shadow & (SHADOW_STI | SHADOW_MOV_SS);
    if (vmx->handled) {
        exit->reason = EXIT_NONE;
        exit->done = vmx->handled;
        vmx->handled = EXIT_NONE;
        return;
    }
    vmx_classify(vcpu, exit);
}

static bool vtx_nested_paging(const struct vcpu *vcpu)
{
    return !vmx_of(vcpu)->paging.shadowed;
}

static int vtx_stats(struct vcpu *vcpu, char *buf, unsigned size)
{
    const struct vmx *vmx = vmx_of(vcpu);
    const uint32_t *word = vmx->controls.word;
    const int n =
        ksnprintf(buf, size,
                  "\"entries\":%llu,\"vpid\":%u,\"unrestricted\":%u,"
                  "\"controls\":{\"pin\":%u,\"cpu\":%u,\"cpu2\":%u,\"exit\":%u,\"entry\":%u},",
                  vmx->entries, vmx->vpid, vmx->controls.unrestricted, word[WORD_PIN],
                  word[WORD_CPU], word[WORD_CPU2], word[WORD_EXIT], word[WORD_ENTRY]);
    return n + paging_stats(&vmx->paging, buf + n, size - (unsigned)n);
}

static void vtx_trace(struct vcpu *vcpu, bool on)
{
    struct vmx *vmx = vmx_of(vcpu);
    vmx->enter = on ? vmx_enter_traced : vmx_enter;
    vmx_make_current(vmx);
    vmcs_write(VMCS_HOST_EIP, (uint32_t)(on ? vmx_exit_traced : vmx_exit));
}

const struct vmm_mode mode_vtx;
const struct vmm_mode mode_vtx = {
    .name = "vtx",
    .what = "Intel VT-x with nested or shadow paging",
    .supported = vtx_supported,
    .attach = vtx_attach,
    .detach = vtx_detach,
    .sync = vtx_sync,
    .run = vmx_run,
    .inject = vtx_inject,
    .can_take_irq = vtx_can_take_irq,
    .irq_window = vtx_irq_window,
    .tlb_flush = vtx_tlb_flush,
    .tlb_flush_all = vtx_tlb_flush_all,
    .nested_paging = vtx_nested_paging,
    .stats = vtx_stats,
    .watch = vmx_watch,
    .step = vmx_step,
    .stepped = vmx_stepped,
    .show = vmx_show,
    .explain = vmx_explain,
    .trace = vtx_trace,
};
