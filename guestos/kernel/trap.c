/* Every interrupt, exception and system call comes here. The kernel runs with interrupts off; only
 * the idle loop turns them on. */
#include "kernel.h"
#include "sensitive.h"
#include "virtio.h"

volatile uint32_t ticks;

#define VEC_PF 14
#define PF_WRITE 2u
#define EXCEPTIONS 32

static const char *const names[EXCEPTIONS] = {
    "divide error",
    "debug",
    "NMI",
    "breakpoint",
    "overflow",
    "bound",
    "undefined opcode",
    "device not available",
    "double fault",
    "coprocessor overrun",
    "invalid TSS",
    "segment not present",
    "stack fault",
    "general protection",
    "page fault",
    "reserved",
    "x87 error",
    "alignment check",
    "machine check",
    "SIMD error",
};

/* Virtual-8086 mode is not for programs; but QEMU 7.2 lets them get there, by an IRET that it does
 * not check. CS is no selector then. */
static bool is_v86(const struct trap_frame *tf)
{
    return tf->eflags & FL_VM;
}

static bool from_user(const struct trap_frame *tf)
{
    return (tf->cs & 3) == 3 || is_v86(tf);
}

static void exception(struct trap_frame *tf)
{
    const uint32_t address = tf->vector == VEC_PF ? cpu_read_cr2() : 0;
    const char *name = names[tf->vector] ? names[tf->vector] : "reserved exception";
    if (from_user(tf)) {
        if (!is_v86(tf) && tf->vector == VEC_PF &&
            user_page_fault(current, address, tf->error & PF_WRITE))
            return;
        if (!is_v86(tf) && process_fault(tf, address))
            return;
        kprintf("%s (pid %d): %s", current->name, current->pid, name);
        if (tf->vector == VEC_PF)
            kprintf(" at address %08x", address);
        kprintf(", eip %08x error %x: killed\n", tf->eip, tf->error);
        process_exit(STATUS_FAULT + (int)tf->vector);
    }
    panic("%s (error %x) in the kernel at %08x, address %08x, eax %08x ebx %08x ecx %08x edx %08x "
          "esi %08x edi %08x ebp %08x",
          name, tf->error, tf->eip, address, tf->eax, tf->ebx, tf->ecx, tf->edx, tf->esi, tf->edi,
          tf->ebp);
}

static void time_passed(void)
{
    wake_sleepers();
    disk_timer();
}

static void interrupt(unsigned irq)
{
    if (irq_spurious(irq))
        return;
    if (irq)
        idle_ends();
    if (irq == 0) {
        clock_tick();
        time_passed();
    } else if (irq == 1) {
        keyboard_interrupt();
    } else if (irq == 4) {
        serial_interrupt();
    } else if (irq == 14) {
        ata_interrupt();
    } else {
        virtio_interrupt(irq);
    }
    irq_end(irq);
}

void trap(struct trap_frame *tf)
{
    if (tf->vector == SYSCALL_VECTOR) {
        current->tf = tf;
        syscall(tf);
    } else if (tf->vector < EXCEPTIONS) {
        exception(tf);
    } else if (tf->vector == TIMER_VECTOR) {
        clock_vmm_tick();
        time_passed();
    } else {
        interrupt(tf->vector - IRQ_BASE);
    }
    if (!from_user(tf))
        return;
    if (current->killed)
        process_exit(-1);
    if (tf->vector == IRQ_BASE || tf->vector == TIMER_VECTOR) {
        yield();
        if (current->killed)
            process_exit(-1);
    }
}
