/*
 * A case by the CPU: an SVM guest without nested paging (AMD APM vol. 2 chapter 15), so that its
 * page tables, descriptor tables and TSS are those of the case.
 */
#include <string.h>

#include "cpu.h"
#include "emulator.h"
#include "emutest.h"
#include "svm/svm.h"

#define MSR_VM_HSAVE_PA 0xC0010117u
#define TLB_FLUSH_ALL 1
#define TSS_BUSY (SYS_TSS16_BUSY ^ SYS_TSS16_AVAIL)
#define PATIENCE 4u /* timer ticks until a guest counts as run away */

static struct vmcb vmcb __attribute__((aligned(4096)));
static struct vmcb host __attribute__((aligned(4096)));
static uint8_t host_save[PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t io_map[3 * PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t msr_map[2 * PAGE_SIZE] __attribute__((aligned(4096)));
static struct svm svm = {.vmcb = &vmcb, .host = &host};
static svm_way *const no_ways[SVM_WAYS]; /* all exits are the test's */

static void open_bits(uint8_t *map, unsigned first, unsigned n)
{
    for (unsigned i = first; i < first + n; i++)
        map[i / 8] &= ~(1u << i % 8);
}

/* A guest that went astray must not reach the timer, nor what the host lives on: all ports and MSRs
 * but those of the test are intercepted, after the privilege was checked (APM vol. 2 sections 15.10
 * and 15.11). */
static void fence(void)
{
    memset(io_map, 0xFF, sizeof(io_map));
    open_bits(io_map, PORT_SCRATCH, 1);
    open_bits(io_map, PORT_PAGES, PORT_PAGES_COUNT);
    memset(msr_map, 0xFF, sizeof(msr_map));
    open_bits(msr_map, 2 * MSR_SYSENTER_CS, 2 * 3); /* a bit for reads, one for writes */
}

bool native_init(void)
{
    uint32_t r[4];

    cpuid(0x80000000u, r);
    if (r[0] < 0x8000000Au)
        return false;
    cpuid(0x80000001u, r);
    if (!(r[2] & 4))
        return false;
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
    wrmsr(MSR_VM_HSAVE_PA, (uintptr_t)host_save);
    __asm__ volatile("vmsave" : : "a"(&host) : "memory");
    fence();
    vmcb.intercept_misc1 = MISC1_INTR | MISC1_NMI | MISC1_HLT | MISC1_IO | MISC1_MSR |
                           MISC1_TASK_SWITCH | MISC1_SHUTDOWN;
    vmcb.intercept_misc2 = MISC2_ALL_SVM;
    vmcb.iopm_hpa = (uintptr_t)io_map;
    vmcb.msrpm_hpa = (uintptr_t)msr_map;
    vmcb.asid = 1;
    vmcb.tlb_control = TLB_FLUSH_ALL;
    vmcb.virtual_interrupt = V_INTR_MASKING;
    vmcb.efer = EFER_SVME;
    return true;
}

static void classify(struct result *result)
{
    const uint32_t code = (uint32_t)vmcb.exit_code, vector = code - VMEXIT_EXCEPTION;

    result->exit_code = code;
    if (code == VMEXIT_VMMCALL)
        result->stop = STOP_END;
    else if (code == VMEXIT_HLT)
        result->stop = STOP_HLT;
    else if (code == VMEXIT_TASK_SWITCH)
        result->stop = STOP_TASK;
    else if (code == VMEXIT_SHUTDOWN)
        result->stop = STOP_SHUTDOWN;
    else if (code == VMEXIT_INVALID)
        result->stop = STOP_REFUSED;
    else if (code == VMEXIT_INTR)
        result->stop = STOP_RUNAWAY;
    else if (vector == VEC_DF)
        result->stop = STOP_DOUBLE;
    else if (vector >= 32)
        result->stop = STOP_OTHER;
    else {
        result->stop = STOP_FAULT;
        fill_fault(&result->fault, (uint8_t)vector, (uint32_t)vmcb.exit_info1);
        if (vector == VEC_PF)
            result->fault.cr2 = (uint32_t)vmcb.exit_info2;
    }
}

static void enter(struct vcpu *vcpu)
{
    vmcb.rax = vcpu->gpr[GPR_EAX];
    vmcb.rsp = vcpu->gpr[GPR_ESP];
    vmcb.rip = vcpu->eip;
    vmcb.rflags = vcpu->eflags;
    vmcb.interrupt_shadow = vcpu->int_shadow != 0;
    vmcb.event_injection = 0;
    vmcb.exit_int_info = 0;
    svm_enter(vcpu, &vmcb, (uintptr_t)&vmcb, (uintptr_t)&host, no_ways);
    vcpu->gpr[GPR_EAX] = (uint32_t)vmcb.rax;
    vcpu->gpr[GPR_ESP] = (uint32_t)vmcb.rsp;
    vcpu->eip = (uint32_t)vmcb.rip;
    vcpu->eflags = (uint32_t)vmcb.rflags;
    vcpu->int_shadow = vmcb.interrupt_shadow & 1;
}

void native_run(const struct test_case *test, struct result *result)
{
    struct vcpu *vcpu = &result->state;
    bool interrupted = false;

    memset(result, 0, sizeof(*result));
    *vcpu = test->start;
    vcpu->backend = &svm;
    vcpu->dirty = DIRTY_ALL;
    vmcb.clean = 0;
    /* INT3 and INTO are exceptions to one machine's intercepts and not to the other's. */
    vmcb.intercept_exceptions =
        test->deliver ? 1u << VEC_DF : ~(1u << VEC_DB | 1u << VEC_BP | 1u << VEC_OF);
    if (!is_bochs) /* it wants a TSS of its own cached as available, which LTR leaves it */
        vcpu->seg[SREG_TR].attr &= ~TSS_BUSY;
    svm_load(vcpu);
    if (uses_ports(test))
        ports_set();
    write_cr2(vcpu->cr2);              /* not switched by Bochs without nested paging */
    __asm__ volatile("sti; nop; cli"); /* else a tick that waits is the first thing to happen */
    for (uint32_t begin = timer_ticks; timer_ticks - begin < PATIENCE;) {
        enter(vcpu);
        if ((uint32_t)vmcb.exit_code != VMEXIT_INTR)
            break;
        interrupted = true;
        __asm__ volatile("sti; nop; cli");
    }
    if (uses_ports(test))
        ports_get(result->ports);
    classify(result);
    if (interrupted && result->stop != STOP_RUNAWAY)
        result->stop = SKIP_INTERRUPTED;
    svm_store(vcpu);
    vcpu->cr2 = read_cr2();
    if (!is_bochs)
        vcpu->seg[SREG_TR].attr |= TSS_BUSY;
    vcpu->sysenter_cs = (uint32_t)vmcb.sysenter_cs;
    vcpu->sysenter_esp = (uint32_t)vmcb.sysenter_esp;
    vcpu->sysenter_eip = (uint32_t)vmcb.sysenter_eip;
}
