/*
 * When the VMM itself is wrong: registers, a backtrace with symbols, the last exits; then off.
 * A guest's mistakes never come here.
 */
#include <stdarg.h>
#include <string.h>

#include "cpu.h"
#include "host.h"
#include "symbols.h"
#include "vm_loop.h"

#define STATUS_PANIC 126

extern char _load_start[], _bss_end[];

static void print_address(uint32_t eip)
{
    uint32_t offset = 0;
    const char *name = vmm_symbol(eip, &offset);
    kprintf("  %08x  %s+0x%x\n", eip, name ? name : "?", offset);
}

static void backtrace(uint32_t ebp)
{
    for (int depth = 0; depth < 16; depth++) {
        if (ebp < (uint32_t)_load_start || ebp > (uint32_t)_bss_end - 8 || ebp & 3)
            return;
        const uint32_t *frame = (const uint32_t *)ebp;
        if (!frame[1])
            return;
        print_address(frame[1]);
        ebp = frame[0];
    }
}

static void off(void) __attribute__((noreturn));
static void off(void)
{
    print_last_exits();
    record("{\"type\":\"end\",\"status\":%d,\"reason\":\"VMM panic\"}", STATUS_PANIC);
    host_power_off(STATUS_PANIC);
}

static void once(void)
{
    static bool again;
    __asm__ volatile("cli");
    if (again)
        host_power_off(STATUS_PANIC);
    again = true;
}

void panic(const char *fmt, ...)
{
    char text[256];
    va_list ap;
    once();
    va_start(ap, fmt);
    kvsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    kprintf("\ntrivisor: PANIC (a mistake of the VMM, not of the guest): %s\nbacktrace:\n", text);
    backtrace((uint32_t)__builtin_frame_address(0));
    off();
}

void panic_frame(const struct host_frame *f)
{
    once();
    kprintf("\ntrivisor: PANIC: trap %u (error %x) in the VMM at %08x, CR2 %08x\n", f->vector,
            f->error, f->eip, read_cr2());
    kprintf("eax %08x ebx %08x ecx %08x edx %08x\nesi %08x edi %08x ebp %08x eflags %08x cs %04x\n",
            f->eax, f->ebx, f->ecx, f->edx, f->esi, f->edi, f->ebp, f->eflags, f->cs);
    kprintf("backtrace:\n");
    print_address(f->eip);
    backtrace(f->ebp);
    off();
}
