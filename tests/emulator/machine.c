/*
 * What the common exit path of exits.c needs: ports, which are the machine's own, CPUID, and a mode
 * that only remembers what is injected.
 */
#include "cpu.h"
#include "emulated.h"
#include "vm_loop.h"

void __wrap_guest_cpuid(struct vcpu *);

/* What the VMM answers is its own decision; here it answers as the machine. */
void __wrap_guest_cpuid(struct vcpu *vcpu)
{
    uint32_t r[4];

    __asm__ volatile("cpuid"
                     : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
                     : "a"(vcpu->gpr[GPR_EAX]), "c"(vcpu->gpr[GPR_ECX]));
    vcpu->gpr[GPR_EAX] = r[0];
    vcpu->gpr[GPR_EBX] = r[1];
    vcpu->gpr[GPR_ECX] = r[2];
    vcpu->gpr[GPR_EDX] = r[3];
}

/* --- devices: the machine's --- */

volatile bool host_work;

/* The scratch register is eight bits wide (more is fatal to QEMU). */
bool is_scratch(uint16_t port, unsigned size)
{
    return (port == PORT_SCRATCH && size == 1) ||
           (port >= PORT_PAGES && port + size <= PORT_PAGES + PORT_PAGES_COUNT);
}

uint32_t devices_in(struct devices *dev, uint16_t port, unsigned size)
{
    uint32_t value = 0;

    (void)dev;
    if (!is_scratch(port, size))
        return 0;
    if (size == 1)
        value = inb(port);
    else if (size == 2)
        __asm__ volatile("xor %%eax, %%eax; inw %1, %%ax" : "=&a"(value) : "d"(port));
    else
        __asm__ volatile("inl %1, %0" : "=a"(value) : "d"(port));
    return value;
}

void devices_out(struct devices *dev, uint16_t port, unsigned size, uint32_t value)
{
    (void)dev;
    if (!is_scratch(port, size))
        return;
    if (size == 1)
        outb(port, (uint8_t)value);
    else if (size == 2)
        __asm__ volatile("outw %w0, %1" : : "a"(value), "d"(port));
    else
        __asm__ volatile("outl %0, %1" : : "a"(value), "d"(port));
}

/* One port takes and gives many at once, as a disk does. */
uint32_t devices_bulk(const struct devices *dev, uint16_t port, unsigned size, bool in)
{
    (void)dev;
    (void)in;
    return port == PORT_SCRATCH && size == 1 ? 37 : 0;
}

void devices_in_bytes(struct devices *dev, uint16_t port, void *to, uint32_t n)
{
    (void)dev;
    for (uint8_t *at = to; n > 0; n--)
        *at++ = inb(port);
}

void devices_out_bytes(struct devices *dev, uint16_t port, const void *from, uint32_t n)
{
    (void)dev;
    for (const uint8_t *at = from; n > 0; n--)
        outb(port, *at++);
}

/* They cost more than a case without them. */
bool uses_ports(const struct test_case *test)
{
    for (unsigned i = 0; i < test->count; i++)
        if (test->ops[i] >= OP_IN && test->ops[i] <= OP_OUTS)
            return true;
    return false;
}

void ports_set(void)
{
    outb(PORT_SCRATCH, 0x5A);
    for (uint16_t port = PORT_PAGES; port < PORT_PAGES + PORT_PAGES_COUNT; port++)
        outb(port, (uint8_t)(port * 37));
}

void ports_get(uint32_t ports[2])
{
    ports[0] = inb(PORT_SCRATCH);
    ports[1] = 0;
    for (uint16_t port = PORT_PAGES; port < PORT_PAGES + 4; port++)
        ports[1] = ports[1] << 8 | inb(port);
}

/* --- the mode --- */

void vm_kill(struct vm *of, const char *fmt, ...)
{
    (void)of;
    (void)fmt;
    now.killed = true;
}

static void mode_sync(struct vcpu *vcpu)
{
    (void)vcpu;
}

static void mode_inject(struct vcpu *vcpu, const struct event *event)
{
    (void)vcpu;
    now.injected = true;
    now.event = *event;
}

static void mode_tlb_flush(struct vcpu *vcpu, gva_t gva)
{
    (void)vcpu;
    (void)gva;
}

static void mode_tlb_flush_all(struct vcpu *vcpu, bool global_too)
{
    (void)vcpu;
    (void)global_too;
}

const struct vmm_mode emulated_mode = {
    .name = "emulated",
    .sync = mode_sync,
    .inject = mode_inject,
    .tlb_flush = mode_tlb_flush,
    .tlb_flush_all = mode_tlb_flush_all,
};
const struct vmm_mode *const vmm_modes[] = {&emulated_mode};
const unsigned vmm_mode_count = 1;
