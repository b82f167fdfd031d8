/* Hypercalls without a turn of the vCPU loop: what pv_gates.asm calls, and the shadow's side of
 * struct pv_mmu. */
#include "cpu.h"
#include "engine.h"
#include "para.h"
#include "services.h"

_Static_assert(EXIT_IO == 1, "pv_gates.asm");

void pv_call_gate(void);
void pv_iret_gate(void);

/* For pv_gates.asm. */
const volatile uint32_t *pv_queue_count;
const uint32_t *pv_queue_done;
uint32_t pv_null_calls, pv_iret_calls;

static struct para *open_para;

/* What the stub does next: go on, leave it all to the slow way, or let the loop have a look. */
enum pv_lean { PV_LEAN_DONE, PV_LEAN_SLOW, PV_LEAN_LOOK };

/* Entries of the current address space went: the TLB must not have them either. */
static void flush_host_tlb(struct sw *sw)
{
    if (sw->shadow.stale) {
        write_cr3(sw_fast.kernel_cr3);
        sw->shadow.stale = false;
    }
}

/* Must the vCPU loop have a look before the guest goes on? An interrupt that the guest knows to be
 * waiting, and cannot take, is no reason. */
static bool loop_needed(const struct sw *sw)
{
    const struct vm *vm = sw->vcpu->vm;
    if (host_work || sw->gdt_stale || sw->vcpu->dirty || vm->stopped)
        return true;
    return devices_irq_pending(&vm->dev) &&
           (!open_para->event_pending || (*sw->kernel_flags & FL_IF));
}

static uint64_t lean_done(struct sw *sw, uint32_t eax)
{
    flush_host_tlb(sw);
    if (!loop_needed(sw))
        return eax;
    sw_fast.handled = EXIT_HYPERCALL;
    return (uint64_t)PV_LEAN_LOOK << 32 | eax;
}

static uint64_t lean_port(struct sw *sw, uint32_t number, uint32_t eax, uint16_t port)
{
    struct devices *dev = &sw->vcpu->vm->dev;
    const bool in = number <= PV_OP_IN32;
    const unsigned size = 1u << (number - (in ? PV_OP_IN8 : PV_OP_OUT8));
    const uint32_t mask = size == 4 ? UINT32_MAX : (1u << 8 * size) - 1;
    if (in)
        eax = (eax & ~mask) | (devices_in(dev, port, size) & mask);
    else
        devices_out(dev, port, size, eax & mask);
    if (port_needs_a_look(port))
        host_work = true;
    sw->vcpu->exit_count[EXIT_IO]++;
    open_para->hypercalls[number]++;
    return lean_done(sw, eax);
}

/* What needs the vCPU's state only. */
static uint64_t lean_cpu(struct sw *sw, uint32_t number, uint32_t eax)
{
    const struct vcpu *vcpu = sw->vcpu;
    switch (number) {
    case PV_OP_CLI:
        *sw->kernel_flags &= ~FL_IF;
        break;
    case PV_OP_STI:
        if (open_para->event_pending)
            return (uint64_t)PV_LEAN_SLOW << 32;
        *sw->kernel_flags |= FL_IF;
        break;
    case PV_OP_READ_CR0:
        eax = vcpu->cr0;
        break;
    case PV_OP_READ_CR2:
        eax = vcpu->cr2;
        break;
    case PV_OP_READ_CR3:
        pv_drain(open_para);
        eax = vcpu->cr3;
        break;
    case PV_OP_READ_CR4:
        eax = vcpu->cr4;
        break;
    default:
        return (uint64_t)PV_LEAN_SLOW << 32;
    }
    open_para->hypercalls[number]++;
    sw->vcpu->exit_count[EXIT_HYPERCALL]++;
    return lean_done(sw, eax);
}

/* May a change of the 4 MB around gva be one for a table that is remembered by its address? */
static inline bool near_a_table(const struct vcpu *vcpu, gva_t gva)
{
    /* The GDT, of 64 KB at most, reaches into the next 4 MB at most. */
    return sw_fast_table_near(gva) || (gva >> LARGE_SHIFT) - (vcpu->gdtr.base >> LARGE_SHIFT) <= 1;
}

static unsigned mmu_flush(struct vcpu *vcpu, const uint32_t (*list)[2], unsigned n)
{
    if (!near_a_table(vcpu, list[0][1]))
        return shadow_drop_pages(&sw_of(vcpu)->shadow, list, n);
    sw_tlb_flush(vcpu, list[0][1]);
    return 1;
}

static unsigned mmu_enter(struct vcpu *vcpu, const uint32_t (*list)[2], unsigned n)
{
    return shadow_enter_pages(&sw_of(vcpu)->shadow, list, n);
}

uint64_t pv_lean_call(uint32_t number, uint32_t eax, uint32_t edx, uint32_t ebx);
uint64_t pv_lean_call(uint32_t number, uint32_t eax, uint32_t edx, uint32_t ebx)
{
    struct sw *sw = open_para->sw;
    if ((number == PV_OP_SET_PTE || number == PV_OP_INVLPG) && !*pv_queue_count) {
        const uint32_t one[1][2] = {{number, eax}};
        if (number == PV_OP_SET_PTE)
            mmu_enter(sw->vcpu, one, 1);
        else
            mmu_flush(sw->vcpu, one, 1);
        open_para->hypercalls[number]++;
        sw->vcpu->exit_count[EXIT_HYPERCALL]++;
        return lean_done(sw, PV_OK);
    }
    if (number >= PV_OP_IN8 && number <= PV_OP_OUT32)
        return lean_port(sw, number, eax, (uint16_t)edx);
    if (!pv_is_service(number))
        return lean_cpu(sw, number, eax);
    const int32_t result = pv_service(open_para, number, eax, edx, ebx);
    sw->vcpu->exit_count[EXIT_HYPERCALL]++;
    return lean_done(sw, (uint32_t)result);
}

typedef uint64_t lean_way(uint32_t number, uint32_t eax, uint32_t edx, uint32_t ebx);
lean_way pv_lean_call_traced; /* pv_gates.asm: says the reason, and goes on with pv_lean_call() */
extern lean_way *pv_lean_way; /* what the gate calls */
lean_way *pv_lean_way = pv_lean_call;

void pv_fast_trace(bool on)
{
    pv_lean_way = on ? pv_lean_call_traced : pv_lean_call;
}

/* Returns true when the GDT is to be read anew, which the slow way does. */
uint32_t pv_lean_drain(void);
uint32_t pv_lean_drain(void)
{
    pv_catch_up(open_para);
    flush_host_tlb(open_para->sw);
    return open_para->sw->gdt_stale;
}

void pv_fast_open(struct para *para)
{
    open_para = para;
    pv_queue_count = &para->patcher.shared->queue_count;
    pv_queue_done = &para->queue_done;
    pv_null_calls = pv_iret_calls = 0;
    host_gate_take(PV_GATE_CALL, pv_call_gate, true);
    host_gate_take(PV_GATE_IRET, pv_iret_gate, true);
}

/* The null calls that were counted apart are exits, too, when the mode can no longer tell of them.
 */
void pv_fast_close(void)
{
    open_para->vcpu->exit_count[EXIT_HYPERCALL] += pv_null_calls;
    pv_null_calls = 0;
    host_gate_give_back(PV_GATE_CALL);
    host_gate_give_back(PV_GATE_IRET);
    open_para = NULL;
}

/* --- the shadow's side --- */

/* The space may have other tables of the CPU at the same addresses, unless they are global. */
static void mmu_load(struct vcpu *vcpu, uint32_t cr3, bool keep)
{
    struct sw *sw = sw_of(vcpu);
    vcpu->cr3 = cr3;
    if (!keep) {
        sw_tlb_flush_all(vcpu, false);
        return;
    }
    shadow_switch(&sw->shadow, true);
    sw_fast_translations_changed(sw, false);
    if (sw_gdt_moved(sw, false))
        sw->gdt_stale = true;
}

static void mmu_drop(struct vcpu *vcpu, uint32_t cr3)
{
    shadow_forget_space(&sw_of(vcpu)->shadow, cr3);
}

const struct pv_mmu pv_shadow_mmu = {
    .flush = mmu_flush, .enter = mmu_enter, .load = mmu_load, .drop = mmu_drop};
