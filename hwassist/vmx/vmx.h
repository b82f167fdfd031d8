/* Private to vtx mode: the backend, and what its files offer to each other. */
#ifndef TRIVISOR_VMX_H
#define TRIVISOR_VMX_H

#include "capability.h"
#include "paging.h"
#include "rules.h"
#include "short.h"
#include "vcpu.h"
#include "vmcs_fields.h"

#define MSR_FEATURE_CONTROL 0x3Au /* SDM vol. 3C section 23.7 */
#define FEATURE_LOCKED 1u
#define FEATURE_VMXON 4u

/* How the guest's state is in the VMCS. All but the first only without unrestricted guest. */
enum vmx_form {
    FORM_PLAIN,    /* as it is; CR0.PG may be the VMM's */
    FORM_V86,      /* real mode, as a task in virtual-8086 mode */
    FORM_V86_STEP, /* the same for one instruction that uses no segment but CS (see real.c) */
    FORM_NONE,     /* no VM entry would accept it: the VMM executes the next instruction */
};

/* A short way: finishes an exit, or leaves it as it is for the long way. Returns whether the guest
 * goes on at once. */
typedef bool IN_REGISTERS vmx_way(struct vcpu *vcpu);
#define VMX_WAYS 56u /* basic exit reasons that may have one */
_Static_assert(VMX_XSETBV < VMX_WAYS, "enter.asm: WAYS");

/* enter.asm: VMLAUNCH or, when launched, VMRESUME, and the short ways. Returns 0 after an exit; 1
 * when the instruction itself failed. vmx_exit is where the CPU arrives on an exit. And the same
 * for a trace (trace.h). */
typedef int vmx_world_switch(struct vcpu *vcpu, int launched, vmx_way *const *ways);
vmx_world_switch vmx_enter, vmx_enter_traced;
void vmx_exit(void);
void vmx_exit_traced(void);

/* The mode's own state of a vCPU: one page. */
struct vmx {
    struct vmx_controls controls;
    void *vmcs;       /* the VMCS region */
    void *msr_bitmap; /* NULL: the CPU has none, and all accesses to MSRs exit */
    struct hw_paging paging;
    uint32_t *identity;  /* see state.c; NULL where it is not needed */
    uint32_t cr0_forced; /* CR0 bits that are set for the CPU, whatever the guest believes */
    enum vmx_form form;
    uint16_t vpid;  /* 0: the CPU has no VPIDs, or none was free */
    bool launched;  /* the VMCS has been entered since VMCLEAR */
    bool window;    /* EXIT_IRQ_WINDOW is asked for */
    uint8_t shadow; /* what the VMCS says about blocking by STI and MOV SS */
    uint32_t exit_eip;
    uint64_t entries;
    bool watched;                /* check=on or break=: vmx_before_entry() is asked */
    bool checked;                /* check=on */
    const struct broken *broken; /* what break= names, or NULL */
    uint32_t short_entries;      /* entries after a short way, not in entries yet */
    vmx_way *const *ways;        /* the short ways that exits may take */
    bool breakpoints;            /* the monitor has some: INT3 exits */
    bool stepping, guest_steps;  /* in vmx_step(); and the guest has the trap flag set itself */
    uint32_t dr6_before;
    uint8_t handled; /* the exit that a short way has finished (enum exit_reason), and the loop has
                      * something to do */
    vmx_world_switch *enter;
};

static inline struct vmx *vmx_of(const struct vcpu *vcpu)
{
    return vcpu->backend;
}

/* short.c: exits that are finished without the vCPU loop, by basic exit reason. */
extern vmx_way *const vmx_short_ways[VMX_WAYS], *const vmx_no_ways[VMX_WAYS];
extern const uint32_t vmx_way_bits[VMX_WAYS]; /* of a record in a trace */

/*
 * operation.c: VMX operation of this CPU, and the VMCS that is current in it.
 * vmx_open: enter VMX operation if nobody has, and give vmx a clear, current VMCS and a VPID.
 * Returns NULL, or one sentence (then nothing is left behind). vmx_close undoes it.
 * vmx_make_current: before any access to the VMCS of this vmx.
 * vmx_flush: drop all translations of the guest.
 */
const char *vmx_open(struct vmx *vmx);
void vmx_close(struct vmx *vmx);
void vmx_make_current(struct vmx *vmx);
void vmx_flush(const struct vmx *vmx);

/*
 * real.c: guests in real mode, and between it and protected mode, on a CPU that cannot have them.
 * vmx_choose_form: after vmx_load() of changed segments or control registers.
 * vmx_in_real_form: is vmx->form one that real.c looks after?
 * vmx_prepare_real: before an entry in such a form. Returns false when the VMM has done something
 * instead: *exit says what.
 * vmx_real_exception: the exit for an exception in such a form; info as in VMCS_EXIT_EVENT.
 */
void vmx_choose_form(struct vcpu *vcpu);
static inline bool vmx_in_real_form(const struct vmx *vmx)
{
    return vmx->form != FORM_PLAIN;
}
bool vmx_prepare_real(struct vcpu *vcpu, struct exit *exit);
void vmx_real_exception(struct vcpu *vcpu, uint32_t info, struct exit *exit);
/* EFLAGS for the VMCS, and the guest's after an exit. */
uint32_t vmx_flags_in(const struct vmx *vmx, uint32_t eflags);
uint32_t vmx_flags_out(const struct vmx *vmx, uint32_t before, uint32_t eflags);

/* setup.c: all fields of the current VMCS that never change while the guest runs, and a page of MSR
 * bitmap. */
void vmx_fill_msr_bitmap(uint8_t *bitmap);
void vmx_setup(const struct vmx *vmx);

/* Where the VMM's own page directory is for the guest's CR3: far above all memory, see state.c. */
#define VMX_IDENTITY_GPA 0xFFFBC000u

/* state.c: canonical vCPU to guest-state area and back. load loads what vcpu->dirty names. */
void vmx_load(struct vcpu *vcpu);
void vmx_store(struct vcpu *vcpu);

/*
 * entry.c: the checks of an entry, and the entry that breaks a rule on purpose. The VMCS is
 * current. vmx_entry_options: read check= and break=; NULL, or a sentence about a wrong one.
 * vmx_before_entry: with vmx->watched, when all is loaded. NULL, or the rule that check=on has
 * found broken: do not enter.
 * vmx_refusal: the rule that the VMCS breaks, with the manual's section; `otherwise` when none of
 * the rules is broken.
 */
const char *vmx_entry_options(struct vmx *vmx, const char *options);
const char *vmx_before_entry(const struct vmx *vmx);
const char *vmx_refusal(const struct vmx *vmx, const char *otherwise);

/* mode_vtx.c: the mode's run(). */
void vmx_run(struct vcpu *vcpu, struct exit *exit);

/* debug.c: the operations for the monitor; the exceptions that exit now; the exits for exceptions
 * during vmx_step(), and for INT3 while there are breakpoints. */
void vmx_watch(struct vcpu *vcpu, unsigned what);
void vmx_step(struct vcpu *vcpu, struct exit *exit);
void vmx_stepped(struct vcpu *vcpu);
bool vmx_show(struct vcpu *vcpu, const char *topic, struct sink *sink);
void vmx_explain(struct vcpu *vcpu, gva_t gva, gpa_t gpa, struct sink *sink);
uint32_t vmx_exceptions(const struct vmx *vmx);
void vmx_step_exception(struct vcpu *vcpu, uint32_t info, struct exit *exit);
void vmx_int3(struct vcpu *vcpu, struct exit *exit);

/* exits.c: exit information to a normalised exit. */
void vmx_classify(struct vcpu *vcpu, struct exit *exit);

/* causes.c, pure: the control that brings cause i of causes.h about; false: there is none. */
bool vmx_cause_control(unsigned i, enum vmx_word *word, uint32_t *bit);

/*
 * event.c, pure: events as interruption information.
 * vmx_event_info: what VM entry wants. In real mode no error code is pushed.
 * vmx_event_length: bytes of the instruction for a software interrupt, which VM entry adds to EIP;
 * 0 for the others. The canonical EIP is behind the instruction already.
 * vmx_event_decode: an event whose delivery an exit cut short; length as above.
 */
uint32_t vmx_event_info(const struct event *event, bool protected_mode);
uint32_t vmx_event_length(const struct event *event);
struct event vmx_event_decode(uint32_t info, uint32_t error);
/* The interruptibility state for SHADOW_ bits that VM entry accepts with these flags. */
uint32_t vmx_interruptibility(uint8_t shadow, uint32_t eflags);

/*
 * qualification.c, pure: exit qualifications, SDM vol. 3C tables 27-3, 27-5, 27-7.
 * vmx_decode_string: for INS and OUTS, after vmx_decode_io, from the VM-exit instruction
 * information. vmx_decode_cr: cr0 is the guest's, used for CLTS and LMSW.
 */
#define QUAL_IO_SIZE 7u /* port access, table 27-5: bytes, less one */
#define QUAL_IO_IN (1u << 3)
#define QUAL_IO_STRING (1u << 4)
#define QUAL_IO_REP (1u << 5)
#define QUAL_IO_PORT_SHIFT 16
void vmx_decode_io(uint32_t qualification, struct exit *exit);
void vmx_decode_string(uint32_t info, struct exit *exit);
void vmx_decode_cr(uint32_t qualification, uint32_t cr0, struct exit *exit);
/* An EPT violation's access as PF_ bits. */
uint32_t vmx_decode_access(uint32_t qualification);
#define EPT_LINEAR_VALID (1u << 7) /* GUEST_LINEAR is valid */
#define EPT_FINAL_ACCESS (1u << 8) /* the access itself, not the walk of the guest's tables */

/*
 * check*.c, pure: the checks of VM entry in software (SDM vol. 3C sections 26.2 to 26.4), so that
 * a refused entry names the broken rule. Each function walks through the rules of its sections.
 */
typedef uint32_t (*vmcs_reader)(enum vmcs_field field);
struct vmx_entry {
    const struct vmx_capabilities *cpu;
    vmcs_reader get; /* asked only for fields that the CPU has */
    /* Physical memory, n bytes at hpa; false where it cannot be read. What is there is good then.
     */
    bool (*memory)(uint64_t hpa, void *to, unsigned n);
    uint64_t vmcs; /* hpa of the VMCS itself */
    struct rule_walk rules;
};
void vmx_check_controls(struct vmx_entry *entry); /* 26.2.1: VMfail with VM_ERROR_CONTROLS */
void vmx_check_host(struct vmx_entry *entry);     /* 26.2.2 to 26.2.4: VM_ERROR_HOST_STATE */
void vmx_check_guest(struct vmx_entry *entry);    /* 26.3.1: exit VMX_BAD_GUEST_STATE */
void vmx_check_msrs(struct vmx_entry *entry);     /* 26.4: exit VMX_BAD_MSR_LOAD */
/* All four in that order; the first rule that is broken, or NULL. */
const struct entry_rule *vmx_check(struct vmx_entry *entry);
/* The text of a VM-instruction error, section 30.4, and two of the numbers. */
#define VM_ERROR_CONTROLS 7u
#define VM_ERROR_HOST_STATE 8u
const char *vmx_instruction_error(uint32_t number);

#endif
