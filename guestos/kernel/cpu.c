/*
 * Descriptor tables (SDM vol. 3A chapters 3, 6, 7), the two 8259A and the 8254. GDT, IDT and TSS
 * have a page each: nothing else that is written shares a page with a descriptor table.
 */
#include "kernel.h"
#include "sensitive.h"

#define PAGE_OF_ITS_OWN __attribute__((aligned(PAGE_SIZE)))

struct tss {
    uint32_t link, esp0, ss0, unused[22];
    uint16_t trap, io_map;
};

static uint64_t gdt[PAGE_SIZE / 8] PAGE_OF_ITS_OWN;
static uint64_t idt[PAGE_SIZE / 8] PAGE_OF_ITS_OWN;
static union {
    struct tss tss;
    char page[PAGE_SIZE];
} task PAGE_OF_ITS_OWN;

#define GDT_ENTRIES 6
#define STUBS 49 /* exceptions, the PICs' lines, and the VMM's timer */
extern const uint32_t trap_stubs[STUBS + 1];

#define FLAT(access) (0x00CF00000000FFFFull | (uint64_t)(access) << 40)

static void set_gate(unsigned vector, uint32_t handler, unsigned dpl)
{
    idt[vector] = (uint64_t)(handler & 0xFFFF0000u) << 32 | (uint64_t)(0x8E00u | dpl << 13) << 32 |
                  KERNEL_CS << 16 | (handler & 0xFFFFu);
}

struct __attribute__((packed)) table_operand {
    uint16_t limit;
    uint32_t base;
};

/* The selectors of the new GDT. Sensitive, not privileged: in ring 3 the descriptors that are
 * loaded decide whether it traps. The only such code outside of the trap entry and return, hence a
 * function that keeps its name in the symbol table: the test of the sites knows it. */
static __attribute__((noinline)) void load_segments(void)
{
    __asm__ volatile("ljmp %0, $1f\n1:\n\t"
                     "mov %1, %%ds\n\tmov %1, %%es\n\tmov %1, %%ss\n\t"
                     "mov %2, %%fs\n\tmov %2, %%gs"
                     :
                     : "i"(KERNEL_CS), "r"(KERNEL_DS), "r"(0)
                     : "memory");
}

static void load_tables(void)
{
    const struct table_operand g = {GDT_ENTRIES * 8 - 1, (uint32_t)gdt};
    const struct table_operand i = {256 * 8 - 1, (uint32_t)idt};
    cpu_lgdt(&g);
    load_segments();
    cpu_lidt(&i);
    cpu_ltr(TSS_SELECTOR);
    cpu_lldt(0); /* there is none, whatever the boot loader left */
}

#define PIC1 0x20
#define PIC2 0xA0

/* Masked first: between the words of the initialisation an interrupt would arrive on a vector of
 * the exceptions. Unmasked at last: IRQ 0 timer (if it is used), 1 keyboard, 2 the second PIC, 4
 * serial port, and 14 the disk, which is line 6 of the second PIC. */
static void pic_init(bool timer)
{
    port_out8(PIC1 + 1, 0xFF);
    port_out8(PIC2 + 1, 0xFF);
    port_out8(PIC1, 0x11);
    port_out8(PIC2, 0x11);
    port_out8(PIC1 + 1, IRQ_BASE);
    port_out8(PIC2 + 1, IRQ_BASE + 8);
    port_out8(PIC1 + 1, 1 << 2);
    port_out8(PIC2 + 1, 2);
    port_out8(PIC1 + 1, 1);
    port_out8(PIC2 + 1, 1);
    port_out8(PIC1 + 1, 0xFF & ~(timer << 0 | 1 << 1 | 1 << 2 | 1 << 4));
    port_out8(PIC2 + 1, 0xFF & ~(1 << 6));
}

void irq_open(unsigned irq)
{
    const uint16_t mask = (irq < 8 ? PIC1 : PIC2) + 1;
    port_out8(mask, port_in8(mask) & (uint8_t) ~(1u << (irq & 7)));
}

void irq_close(unsigned irq)
{
    const uint16_t mask = (irq < 8 ? PIC1 : PIC2) + 1;
    port_out8(mask, port_in8(mask) | (uint8_t)(1u << (irq & 7)));
}

void irq_end(unsigned irq)
{
    if (irq >= 8)
        port_out8(PIC2, 0x20);
    port_out8(PIC1, 0x20);
}

/*
 * The last line of a PIC without its in-service bit: the request had gone before it was
 * acknowledged (8259A data sheet, "Edge and Level Triggered Modes": the default IR7). When this
 * happens to the second PIC, the first one has served a real interrupt on its line 2 and waits for
 * the end of that.
 */
bool irq_spurious(unsigned irq)
{
    if (irq != 7 && irq != 15)
        return false;
    const uint16_t pic = irq == 7 ? PIC1 : PIC2;
    port_out8(pic, 0x0B); /* the next read gives the in-service register */
    if (port_in8(pic) & 0x80)
        return false;
    if (irq == 15)
        port_out8(PIC1, 0x20);
    return true;
}

void timer_init(void)
{
    const uint32_t divisor = 1193182 / TICKS_PER_SECOND;
    port_out8(0x43, 0x34);
    port_out8(0x40, divisor & 0xFF);
    port_out8(0x40, (uint8_t)(divisor >> 8));
}

void cpu_set_kernel_stack(uint32_t esp0)
{
    task.tss.esp0 = esp0;
}

void cpu_init(void)
{
    const uint32_t base = (uint32_t)&task.tss, limit = sizeof(task.tss) - 1;
    gdt[KERNEL_CS / 8] = FLAT(0x9A);
    gdt[KERNEL_DS / 8] = FLAT(0x92);
    gdt[USER_CS / 8] = FLAT(0xFA);
    gdt[USER_DS / 8] = FLAT(0xF2);
    gdt[TSS_SELECTOR / 8] = (uint64_t)(base & 0xFF000000u) << 32 |
                            (uint64_t)(base & 0xFFFFFFu) << 16 | 0x0000890000000000ull | limit;
    task.tss.ss0 = KERNEL_DS;
    task.tss.io_map = sizeof(task.tss); /* beyond the limit: programs may use no port */
    for (unsigned v = 0; v < STUBS; v++)
        set_gate(v, trap_stubs[v], v == 3 || v == 4 ? 3 : 0);
    set_gate(SYSCALL_VECTOR, trap_stubs[STUBS], 3);
    load_tables();
    const bool vmm_timer = clock_start();
    pic_init(!vmm_timer);
    if (!vmm_timer)
        timer_init();
}
