/*
 * The host's descriptor tables, interrupt controllers and trap handling
 * (SDM vol. 3A chapters 3, 6 and 7; Intel 8259A data sheet).
 */
#include "cpu.h"
#include "host.h"
#include "x86.h"

uint64_t host_gdt[8192] __attribute__((aligned(4096)));
static uint64_t host_idt[256] __attribute__((aligned(4096)));
struct host_tss host_tss __attribute__((aligned(128)));
void (*host_user_trap)(void);
struct host_fixup host_fixups[HOST_FIXUPS];
volatile bool host_work;
uint32_t host_gate_next[256];
static const uint32_t *wrappers;

extern const uint32_t host_stubs[256];

static void (*irq_handlers[16])(void);

#define PIC1 0x20
#define PIC2 0xA0
#define PIC_EOI 0x20

/* Flat 4 GB segments of DPL 0: base 0, limit 0xFFFFF pages. */
#define FLAT_CODE 0x00CF9B000000FFFFull
#define FLAT_DATA 0x00CF93000000FFFFull

static void gate_set(unsigned vector, uint32_t stub, unsigned dpl)
{
    const uint32_t handler = wrappers ? wrappers[vector] : stub;
    host_gate_next[vector] = stub;
    host_idt[vector] = (uint64_t)(handler & 0xFFFF0000u) << 32 |
                       (uint64_t)(0x8E00u | dpl << 13) << 32 | (uint32_t)HOST_CS << 16 |
                       (handler & 0xFFFFu);
}

void host_gates_wrap(const uint32_t stubs[256])
{
    wrappers = stubs;
    for (unsigned v = 0; v < 256; v++)
        gate_set(v, host_gate_next[v], host_idt[v] >> 45 & 3);
}

void host_gate_user(unsigned vector, bool on)
{
    gate_set(vector, host_stubs[vector], on ? 3 : 0);
}

void host_gate_take(unsigned vector, void (*stub)(void), bool user)
{
    gate_set(vector, (uint32_t)stub, user ? 3 : 0);
}

static unsigned usual_dpl(unsigned vector)
{
    return vector == VEC_BP || vector == VEC_OF ? 3 : 0;
}

void host_gate_give_back(unsigned vector)
{
    gate_set(vector, host_stubs[vector], usual_dpl(vector));
}

static void load_segments(void)
{
    __asm__ volatile("ljmp %0, $1f\n1:\n\t"
                     "mov %1, %%ds\n\tmov %1, %%es\n\tmov %1, %%ss\n\t"
                     "mov %2, %%fs\n\tmov %2, %%gs\n\t"
                     "lldt %w2\n\tltr %w3"
                     :
                     : "i"(HOST_CS), "r"(HOST_DS), "r"(0), "r"(HOST_TR)
                     : "memory");
}

/* Remap both PICs to HOST_IRQ_BASE with every line but the cascade masked. They are masked before
 * the remapping: IRQ 0 would arrive on vector 8 meanwhile. */
static void pics_init(void)
{
    outb(PIC1 + 1, 0xFF);
    outb(PIC2 + 1, 0xFF);
    outb(PIC1, 0x11);
    outb(PIC2, 0x11);
    outb(PIC1 + 1, HOST_IRQ_BASE);
    outb(PIC2 + 1, HOST_IRQ_BASE + 8);
    outb(PIC1 + 1, 1 << 2);
    outb(PIC2 + 1, 2);
    outb(PIC1 + 1, 1);
    outb(PIC2 + 1, 1);
    outb(PIC1 + 1, (uint8_t) ~(1u << 2));
    outb(PIC2 + 1, 0xFF);
}

void host_traps_init(void)
{
    uint32_t tss = (uint32_t)&host_tss, limit = sizeof(host_tss) - 1;
    host_gdt[HOST_CS / 8] = FLAT_CODE;
    host_gdt[HOST_DS / 8] = FLAT_DATA;
    host_gdt[HOST_TR / 8] = (uint64_t)(tss & 0xFF000000u) << 32 |
                            (uint64_t)(tss & 0x00FFFFFFu) << 16 | 0x0000890000000000ull | limit;
    host_tss.ss0 = HOST_DS;
    host_tss.io_map = sizeof(host_tss);
    lgdt((uint32_t)host_gdt, HOST_GDT_LIMIT);
    load_segments();

    for (unsigned v = 0; v < 256; v++)
        host_gate_give_back(v);
    lidt((uint32_t)host_idt, sizeof(host_idt) - 1);
    pics_init();
}

void host_irq_open(unsigned irq, void (*handler)(void))
{
    uint16_t mask_port = irq < 8 ? PIC1 + 1 : PIC2 + 1;
    irq_handlers[irq] = handler;
    outb(mask_port, inb(mask_port) & (uint8_t) ~(1u << (irq & 7)));
}

void host_irq_handle(unsigned vector)
{
    unsigned irq = vector - HOST_IRQ_BASE;
    host_work = true;
    if (irq_handlers[irq])
        irq_handlers[irq]();
    /* A spurious IRQ 7 has no in-service bit and needs no EOI; an extra one is harmless here
     * because no line above it is ever left in service. */
    if (irq >= 8)
        outb(PIC2, PIC_EOI);
    outb(PIC1, PIC_EOI);
}

void host_irq_poll(void)
{
    __asm__ volatile("sti\n\tnop\n\tcli" : : : "memory");
}

void host_idle(void)
{
    /* STI's shadow covers HLT: an interrupt cannot slip in between (SDM vol. 2B, STI). */
    __asm__ volatile("sti\n\thlt\n\tcli" : : : "memory");
}

void host_trap(struct host_frame *frame)
{
    if (frame->vector >= HOST_IRQ_BASE && frame->vector < HOST_IRQ_BASE + 16) {
        host_irq_handle(frame->vector);
        return;
    }
    /* Nothing here makes NMIs. One that comes, while a guest runs or not, is no reason to stop. */
    if (frame->vector == VEC_NMI)
        return;
    /* The VMM never steps itself. QEMU delivers a single step of the guest to the host when the
     * stepped instruction caused an exit (#VMEXIT with TF set): not the host's, drop it. Neither
     * are breakpoints; with RF at least the instruction goes on. */
    if (frame->vector == VEC_DB) {
        frame->eflags &= ~FL_TF;
        frame->eflags |= FL_RF;
        return;
    }
    for (unsigned i = 0; i < HOST_FIXUPS && frame->vector < 32; i++) {
        const struct host_fixup *f = &host_fixups[i];
        if (frame->eip < f->from || frame->eip >= f->end)
            continue;
        frame->eip = f->to;
        if (f->report) {
            frame->eax = frame->vector;
            frame->edx = frame->error;
        }
        return;
    }
    panic_frame(frame);
}
